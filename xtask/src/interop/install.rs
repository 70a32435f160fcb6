//! Getting the others: below target/interop or, for Debian's servers, with apt-get.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::folder;
use super::newest::Newest;
use super::process::output;
use crate::run::{Result, built, cargo, command, root, run};

/// The interpreter that has slixmpp, and slixmpp's version.
pub(crate) fn slixmpp() -> Result<(PathBuf, String)> {
    python("slixmpp")
}

/// The interpreter that has aioxmpp, and aioxmpp's version.
pub(crate) fn aioxmpp() -> Result<(PathBuf, String)> {
    python("aioxmpp")
}

/// An interpreter with what the requirements of this library say, which has the library's name, and the library's version.
fn python(library: &str) -> Result<(PathBuf, String)> {
    let folder = folder(library)?;
    let requirements = root().join("xtask/interop").join(library).join("requirements.txt");
    let python = folder.join("bin/python");
    let version = |python: &Path| {
        let print = format!("import {library}; print({library}.__version__)");
        output(Command::new(python).args(["-W", "ignore", "-c", &print]))
    };
    let is_current = fs::read(folder.join("installed")).ok() == fs::read(&requirements).ok();
    if !is_current || version(&python).is_err() {
        let path = folder.to_string_lossy();
        let venv = || run(&mut command("python3", &["-m", "venv", &path]));
        venv().or_else(|_| apt(&["python3-venv"]).and_then(|()| venv()))?;
        let install = ["-m", "pip", "install", "--quiet", "--requirement", &requirements.to_string_lossy()];
        run(&mut command(&python.to_string_lossy(), &install))?;
        copy(&requirements, &folder.join("installed"))?;
    }
    let version = version(&python)?;
    Ok((python, version))
}

/// The scenario "people" in Balcony's own client, built.
pub(crate) fn balcony() -> Result<PathBuf> {
    run(&mut cargo(&["build", "--package", "interop-balcony"]))?;
    Ok(built("interop-balcony"))
}

/// The scenarios in tokio-xmpp, built.
pub(crate) fn tokio_xmpp() -> Result<(PathBuf, String)> {
    let manifest = "xtask/interop/tokio-xmpp/Cargo.toml";
    let target = folder("tokio-xmpp")?;
    let target = ["--target-dir", &target.to_string_lossy()];
    run(cargo(&["build", "--locked", "--manifest-path", manifest]).args(target))?;
    let lock = fs::read_to_string(root().join("xtask/interop/tokio-xmpp/Cargo.lock")).unwrap_or_default();
    let version = lock
        .split("name = \"tokio-xmpp\"\nversion = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or("?");
    Ok((folder("tokio-xmpp")?.join("debug/interop-tokio-xmpp"), version.to_owned()))
}

/// The folder with xmpp.js and the scenarios, and its version. Modules are found beside the file that imports them.
pub(crate) fn xmpp_js() -> Result<(PathBuf, String)> {
    let folder = folder("xmpp.js")?;
    let ours = root().join("xtask/interop/xmpp.js");
    let lock = Path::new("package-lock.json");
    let is_current = folder.join("node_modules").exists()
        && fs::read(folder.join("installed")).ok() == fs::read(ours.join(lock)).ok();
    for file in ["package.json", "package-lock.json", "common.js", "people.js", "resources.js", "resume.js"] {
        copy(&ours.join(file), &folder.join(file))?;
    }
    if !is_current {
        output(Command::new("node").arg("--version"))?;
        run(command("npm", &["ci", "--no-audit", "--no-fund", "--loglevel", "error"]).current_dir(&folder))?;
        copy(&ours.join(lock), &folder.join("installed"))?;
    }
    let print = "console.log(JSON.parse(require('fs').readFileSync('node_modules/@xmpp/client/package.json')).version)";
    let version = output(Command::new("node").args(["-e", print]).current_dir(&folder))?;
    Ok((folder, version))
}

/// Where Java finds Smack and the scenarios, compiled, and Smack's version.
pub(crate) fn smack() -> Result<(String, String)> {
    let folder = folder("smack")?;
    let ours = root().join("xtask/interop/smack");
    let pom = fs::read_to_string(ours.join("pom.xml")).unwrap_or_default();
    if fs::read_to_string(folder.join("installed")).ok().as_ref() != Some(&pom) {
        copy(&ours.join("pom.xml"), &folder.join("pom.xml"))?;
        let words = ["--batch-mode", "--quiet", "dependency:copy-dependencies", "-DincludeScope=runtime"];
        let _ = fs::remove_dir_all(folder.join("lib"));
        run(command("mvn", &words).arg("-DoutputDirectory=lib").current_dir(&folder))?;
        copy(&ours.join("pom.xml"), &folder.join("installed"))?;
    }
    let classes = folder.join("classes");
    let libraries = folder.join("lib/*").to_string_lossy().into_owned();
    let mut compile = command("javac", &["-encoding", "UTF-8", "-cp", &libraries, "-d"]);
    compile.arg(&classes);
    for file in ["Common.java", "People.java", "Resources.java"] {
        compile.arg(ours.join(file));
    }
    run(&mut compile)?;
    let version = pom.split(['<', '>']).skip_while(|word| *word != "smack").nth(1).unwrap_or("?");
    Ok((format!("{}:{libraries}", classes.display()), version.to_owned()))
}

/// The scenarios in mellium, built.
pub(crate) fn mellium() -> Result<(PathBuf, String)> {
    let ours = root().join("xtask/interop/mellium");
    let program = folder("mellium")?.join("mellium");
    run(command("go", &["build", "-o", &program.to_string_lossy()]).current_dir(&ours))?;
    let modules = fs::read_to_string(ours.join("go.mod")).unwrap_or_default();
    let version =
        modules.lines().find_map(|line| line.trim().strip_prefix("mellium.im/xmpp v")).unwrap_or("?");
    Ok((program, version.to_owned()))
}

/// The scenarios in QXmpp, built.
pub(crate) fn qxmpp() -> Result<(PathBuf, String)> {
    let version = debian("libqxmpp-dev")?;
    let sources = ["common", "people", "resources"].map(|name| format!("xtask/interop/qxmpp/{name}.cpp"));
    let program = folder("qxmpp")?.join("qxmpp");
    compile("g++", &["-std=c++17", "-fPIC"], &sources, &["qxmpp", "Qt5Network", "Qt5Xml"], &program)?;
    Ok((program, version))
}

/// The small client on libpurple, built.
pub(crate) fn libpurple() -> Result<(PathBuf, String)> {
    let version = debian("libpurple-dev")?;
    let sources = ["xtask/interop/libpurple/purple.c".to_owned()];
    let program = folder("libpurple")?.join("purple");
    compile("gcc", &["-Wextra", "-Wno-cast-function-type"], &sources, &["purple"], &program)?;
    Ok((program, version))
}

/// The scenario on libstrophe, built.
pub(crate) fn libstrophe() -> Result<(PathBuf, String)> {
    let version = debian("libstrophe-dev")?;
    let sources = ["xtask/interop/libstrophe/resume.c".to_owned()];
    let program = folder("libstrophe")?.join("resume");
    compile("gcc", &["-Wextra"], &sources, &["libstrophe"], &program)?;
    Ok((program, version))
}

/// Has a compiler make a program of some sources and libraries, which pkg-config knows.
fn compile(compiler: &str, flags: &[&str], sources: &[String], libraries: &[&str], program: &Path) -> Result {
    let libraries = output(Command::new("pkg-config").args(["--cflags", "--libs"]).args(libraries))?;
    let mut compile = command(compiler, &["-Wall", "-Werror"]);
    compile.args(flags).args(sources).arg("-o").arg(program).args(libraries.split_whitespace());
    run(&mut compile)
}

/// A Debian package, installed if it isn't, and its version.
pub(crate) fn debian(package: &str) -> Result<String> {
    // A package that was removed has a version, too.
    let version = || {
        let status =
            output(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status} ${Version}", package]))?;
        status.strip_prefix("installed ").map(str::to_owned).ok_or_else(|| format!("{package} is {status}"))
    };
    let version = version().or_else(|_| apt(&[package]).and_then(|()| version()))?;
    // 0.12.3-1+deb12u1 is the 0.12.3 of its authors.
    Ok(version.split(['-', '+']).next().unwrap_or(&version).to_owned())
}

/// The newest Prosody and ejabberd.
pub(crate) fn newest() -> Result {
    Newest::prepare().map(drop)
}

/// Whether this may install what it likes.
pub(crate) fn is_root() -> bool {
    output(Command::new("id").arg("-u")).as_deref() == Ok("0")
}

/// Installs Debian packages without starting the services in them.
fn apt(packages: &[&str]) -> Result {
    let by_hand = format!("install it with `apt-get install {}`", packages.join(" "));
    if !is_root() {
        return Err(format!("not root; {by_hand}"));
    }
    let _policy = NoServices::hold()?;
    let install = || {
        let words = ["install", "--yes", "--quiet", "--no-install-recommends"];
        run(command("apt-get", &words).args(packages).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    install()
        .or_else(|_| run(&mut command("apt-get", &["update", "--quiet"])).and_then(|()| install()))
        .map_err(|error| format!("{error}; {by_hand}"))
}

/// While this is held, packages don't start their services when they are installed.
struct NoServices {
    is_ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn hold() -> Result<Self> {
        let is_ours = !Path::new(POLICY).exists();
        if is_ours {
            fs::write(POLICY, "#!/bin/sh\nexit 101\n").map_err(|error| format!("{POLICY}: {error}"))?;
            run(&mut command("chmod", &["755", POLICY]))?;
        }
        Ok(NoServices { is_ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result {
    fs::copy(from, to).map(drop).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}
