//! `cargo xtask web`: the package for browsers, and the page of examples/web in one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::figures::{flags, has_target};
use crate::options::Options;
use crate::run::{Result, built, cargo, command, describe, root, run};

pub(crate) const USAGE: &str = "[--write] [--test [--pictures]]";
pub(crate) const HELP: &str = "\
Builds crates/web for wasm32-unknown-unknown, and compares what comes of it with crates/web/npm/balcony.wasm, which
is committed, so that whoever has Rust alone gets the page of `balcony serve --demo`. It fails if that is not what the
sources give; after a change of them it only says that it is older.
  --write     puts it there: for a release, and when the page needs it
  --test      runs the page of examples/web in headless Chromium, against the server, by what is committed
  --pictures  makes the pictures of the README anew
Where Rust's target, chromedriver or Node.js is missing it says SKIP.";

const TARGET: &str = "wasm32-unknown-unknown";
/// Where it is built, in the checkout: the paths in it are the same for everybody.
const FOLDER: &str = "target/web";
/// What is committed, and what it was made of.
const WASM: &str = "crates/web/npm/balcony.wasm";
const RECORD: &str = "crates/web/npm/balcony.wasm.txt";
/// Bytes that it may have: everybody who opens the page fetches it, and each copy that is committed stays.
const MOST: usize = 600 * 1024;

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let (write, test, pictures) =
        (options.flag("--write"), options.flag("--test"), options.flag("--pictures"));
    if let Some(unknown) = options.rest()?.first() {
        return Err(format!("unknown argument `{unknown}`"));
    }
    package(write)?;
    if test || pictures { page(pictures) } else { Ok(()) }
}

/// Builds the module, and compares it or puts it there.
fn package(write: bool) -> Result {
    if !has_target(TARGET)? {
        println!("web: SKIP: the module is not built: `rustup target add {TARGET}` brings its target");
        return Ok(());
    }
    let made = build()?;
    println!("web: the module has {} bytes", made.len());
    if made.len() > MOST {
        return Err(format!("the module has {} bytes and may have {MOST}", made.len()));
    }
    let record = record()?;
    if write {
        save(WASM, &made)?;
        save(RECORD, record.as_bytes())?;
        println!("{WASM} is written");
        return Ok(());
    }
    let old = fs::read_to_string(root().join(RECORD)).map_err(|error| format!("{RECORD}: {error}"))?;
    if old != record {
        println!(
            "web: SKIP: {WASM} was made by another compiler or of older sources, and is not compared; `cargo xtask web --write` makes it anew"
        );
        return Ok(());
    }
    let committed = fs::read(root().join(WASM)).map_err(|error| format!("{WASM}: {error}"))?;
    if committed != made {
        return Err(format!(
            "{WASM} is not what its sources give; `cargo xtask web --write`, if it was not changed by hand"
        ));
    }
    println!("web: {WASM} is what its sources give");
    Ok(())
}

fn build() -> Result<Vec<u8>> {
    // A module alone: beside a library it would not be optimised as a whole.
    let mut build =
        cargo(&["rustc", "--locked", "-p", "balcony-web", "--profile", "web", "--crate-type", "cdylib"]);
    build.args(["--target", TARGET, "--target-dir", FOLDER]).env("CARGO_INCREMENTAL", "0");
    build.env("CARGO_ENCODED_RUSTFLAGS", flags()?.join("\u{1f}")).env_remove("RUSTFLAGS");
    run(&mut build)?;
    let path = Path::new(FOLDER).join(TARGET).join("web/balcony_web.wasm");
    fs::read(root().join(&path)).map_err(|error| format!("{}: {error}", path.display()))
}

fn save(path: &str, bytes: &[u8]) -> Result {
    fs::write(root().join(path), bytes).map_err(|error| format!("{path}: {error}"))
}

/// What the module is made of: the compiler, and a number of all that is read for it. It is no proof of anything: who changes the sources and says
/// that they did not is found by the next `--write`.
fn record() -> Result<String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let compiler = command(&rustc, &["-V"]).output().map_err(|error| format!("{rustc}: {error}"))?;
    let compiler = String::from_utf8_lossy(&compiler.stdout).trim().to_owned();
    let mut files = vec![root().join("Cargo.toml"), root().join("Cargo.lock")];
    for name in CRATES {
        let folder = root().join("crates").join(name);
        files.push(folder.join("Cargo.toml"));
        collect(&folder.join("src"), &mut files)?;
    }
    files.sort();
    let mut number = FNV_BASIS;
    for file in &files {
        let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.strip_prefix(root()).unwrap_or(file).to_string_lossy().into_owned();
        for byte in name.bytes().chain([0]).chain(bytes).chain([0]) {
            number = (number ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }
    Ok(format!(
        "balcony.wasm was made by `cargo xtask web --write` with {compiler}, of sources with the number {number:016x}.\n"
    ))
}

/// FNV-1a.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The crates that it is made of.
const CRATES: [&str; 11] =
    ["machine", "jid", "xml", "stanza", "sasl", "roster", "xep", "stream", "connection", "client", "web"];

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// The status by which `xtask/web/page.mjs` says that there is no browser that it could use.
const NO_BROWSER: i32 = 77;

/// The page, in a browser.
fn page(pictures: bool) -> Result {
    for (program, package) in [("chromedriver", "chromium-driver"), ("node", "nodejs")] {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            println!(
                "web: SKIP: the page is not tried: there is no {program}, which Debian has in the package {package}"
            );
            return Ok(());
        }
    }
    run(&mut cargo(&["build", "-p", "balcony-cli"]))?;
    let mut story =
        command("node", &["xtask/web/page.mjs", &built("balcony").to_string_lossy(), "chromedriver"]);
    if pictures {
        story.arg(root().join("docs/web"));
    }
    let line = describe(&story);
    println!("$ {line}");
    let status = story.status().map_err(|error| format!("cannot start `{line}`: {error}"))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(NO_BROWSER) => {
            println!("web: SKIP: the page is not tried: Chromium does not start here, as is said above");
            Ok(())
        }
        _ => Err(format!("`{line}` ended with {status}")),
    }
}
