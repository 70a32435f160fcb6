//! Builds the programs of `xtask/figures`, and measures them.
//!
//! What varies is pinned: the flags of the compiler, the paths that panics name, the environment of what runs. Two runs that
//! differ in nothing but how often a path is gone are compared, so that what both do falls out.

use core::iter;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, available_parallelism};

use super::table::{ALLOCATIONS, CROWD, Group, INSTRUCTIONS, LINES, MEMORY, Measured, RECIPIENT, SIZE};
use crate::bare::share_lock;
use crate::elf;
use crate::fuzz::host;
use crate::run::{Result, cargo, command, describe, root, run};

/// Where the programs are built, in the checkout.
const TARGET: &str = "target/figures";
/// A device's processor: a Cortex-M4F.
const DEVICE: &str = "thumbv7em-none-eabihf";

/// The main paths: a name of `xtask/figures/src/paths`, and how often each is gone in the shorter run; three times as often in
/// the longer one.
const PATHS: &[(&str, u64)] = &[
    ("message", 500),
    ("message-full", 500),
    ("message-stranger", 500),
    ("message-carbons", 500),
    ("message-blocking", 500),
    ("message-sm", 500),
    ("message-csi", 500),
    ("message-all", 500),
    ("message-offline", 500),
    ("parse", 500),
    ("write", 500),
    ("route", 500),
    ("login", 20),
];
/// The path of which the lines of memory are counted that it touches.
const MANY: (&str, u64) = ("route-many", 8_192);
/// What is measured beside one other and beside a thousand: a path with `-alone` and `-crowd` behind its name, and how often it is gone.
const CROWDS: &[(&str, u64)] = &[
    ("nobody", 200),
    ("stalled", 200),
    ("domains", 200),
    ("waiting", 200),
    ("pairs", 200),
    ("expiry", 200),
    ("ticks", 200),
];
/// What is measured for an address that does not exist, and for other recipients: `parked-missing`, and what is behind it here; and how often
/// it is gone.
const RECIPIENTS: (&[&str], u64) = (&["away", "there"], 200);
/// How many sessions there are.
pub(super) const SESSIONS: u64 = 1_024;

/// Who compiles.
pub(crate) struct Compiler {
    /// What `rustc -V` says.
    pub(crate) version: String,
    /// The target that it runs on.
    pub(crate) host: String,
}

impl Compiler {
    pub(crate) fn find() -> Result<Self> {
        let output = command(&rustc(), &["-V"]).output().map_err(|error| format!("{}: {error}", rustc()))?;
        Ok(Compiler { version: String::from_utf8_lossy(&output.stdout).trim().to_owned(), host: host()? })
    }
}

fn rustc() -> String {
    std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into())
}

/// All figures, or why there is none.
pub(crate) fn all(compiler: &Compiler) -> Result<Vec<Measured>> {
    share_lock("xtask/figures")?;
    build(&compiler.host, "release", "paths")?;
    let program = program(&compiler.host, "release", "paths");
    let valgrind = instructions(&program, "write", 1).map(drop);
    let mut all = together(figures(&program, &valgrind))?;
    all.push(Measured::new(&SIZE, "client", device()?));
    // In the order in which they are written.
    all.sort_by_key(|measured| Group::ALL.iter().position(|group| group.name == measured.group.name));
    Ok(all)
}

/// How a figure is measured.
type Figure<'a> = Box<dyn Fn() -> Result<Measured> + Send + Sync + 'a>;

/// What a program tells, and what valgrind tells of it, if that is there.
fn figures<'a>(program: &'a Path, valgrind: &'a Result) -> Vec<Figure<'a>> {
    let counted = move |value: &dyn Fn() -> Result<f64>| match valgrind {
        Ok(()) => value().map(Ok),
        Err(reason) => Ok(Err(reason.clone())),
    };
    // What one time more costs.
    let each = |few: u64, cost: &dyn Fn(u64) -> Result<u64>| -> Result<f64> {
        let (less, more) = (cost(few)?, cost(3 * few)?);
        Ok(more.saturating_sub(less) as f64 / (2 * few) as f64)
    };
    let mut all: Vec<Figure<'a>> = Vec::new();
    // Those that take longest first.
    let (path, few) = MANY;
    all.push(Box::new(move || {
        let value =
            counted(&|| Ok((each(few, &|count| lines(program, path, count))? * 10.0).round() / 10.0))?;
        Ok(Measured::new(&LINES, path, value))
    }));
    for &(path, few) in CROWDS {
        all.push(Box::new(move || {
            let among = |company: &str| {
                let path = format!("{path}-{company}");
                each(few, &|count| instructions(program, &path, count))
            };
            let value = counted(&|| Ok((among("crowd")? * 100.0 / among("alone")?.max(1.0)).round()))?;
            Ok(Measured::new(&CROWD, path, value))
        }));
    }
    let (recipients, few) = RECIPIENTS;
    for &recipient in recipients {
        all.push(Box::new(move || {
            let to = |recipient: &str| {
                let path = format!("parked-{recipient}");
                each(few, &|count| instructions(program, &path, count))
            };
            let value = counted(&|| Ok((to(recipient)? * 100.0 / to("missing")?.max(1.0)).round()))?;
            Ok(Measured::new(&RECIPIENT, recipient, value))
        }));
    }
    for &(path, few) in PATHS {
        all.push(Box::new(move || {
            let value = counted(&|| Ok(each(few, &|count| instructions(program, path, count))?.round()))?;
            Ok(Measured::new(&INSTRUCTIONS, path, value))
        }));
        all.push(Box::new(move || {
            let value = each(few, &|count| number(program, path, count))?;
            Ok(Measured::new(&ALLOCATIONS, path, Ok((value * 100.0).round() / 100.0)))
        }));
    }
    for path in ["session", "session-sm", "session-contacts", "tls", "tls-client"] {
        all.push(Box::new(move || {
            Ok(Measured::new(&MEMORY, path, Ok(number(program, path, SESSIONS)? as f64)))
        }));
    }
    all
}

/// All of them in their order, as many at a time as there are processors: they are counts, and no times, so none disturbs another.
fn together(figures: Vec<Figure<'_>>) -> Result<Vec<Measured>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mine = iter::from_fn(|| {
            let place = next.fetch_add(1, Ordering::Relaxed);
            Some((place, figures.get(place)?()))
        });
        mine.collect::<Vec<_>>()
    };
    let mut done = thread::scope(|scope| {
        let workers = available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, measured)| measured).collect()
}

/// Octets of a device's client, or why that can't be said.
fn device() -> Result<core::result::Result<f64, String>> {
    if !has_target(DEVICE)? {
        return Ok(Err(format!("`rustup target add {DEVICE}` brings its target")));
    }
    build(DEVICE, "device", "device")?;
    let file = root().join(program(DEVICE, "device", "device"));
    let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let size = elf::constant_size(&bytes).ok_or_else(|| format!("{}: not an ELF file", file.display()))?;
    Ok(Ok(size as f64))
}

fn build(target: &str, profile: &str, bin: &str) -> Result {
    let mut build = cargo(&["build", "--manifest-path", "xtask/figures/Cargo.toml"]);
    build.args(["--target-dir", TARGET, "--target", target, "--profile", profile, "--bin", bin]);
    build.env("CARGO_ENCODED_RUSTFLAGS", flags()?.join("\u{1f}"));
    run(build.env_remove("RUSTFLAGS").env("CARGO_INCREMENTAL", "0"))
}

/// Panics name files. Where the checkout is, and where Cargo keeps other packages, makes no difference to their length.
pub(crate) fn flags() -> Result<Vec<String>> {
    let home = std::env::var("CARGO_HOME");
    let home = home.or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
    let sources = Path::new(&home.map_err(|_| "neither CARGO_HOME nor HOME is set")?).join("registry/src");
    let mut folders = vec![(root(), ".")];
    // Cargo has packages there by now, if it has ever fetched any; a folder for each registry.
    for entry in fs::read_dir(&sources).into_iter().flatten() {
        folders.push((entry.map_err(|error| format!("{}: {error}", sources.display()))?.path(), "packages"));
    }
    folders.sort();
    Ok(folders.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect())
}

/// The program of the paths, which knows of which line of the source each instruction is.
pub(super) fn with_lines(compiler: &Compiler) -> Result<PathBuf> {
    share_lock("xtask/figures")?;
    let folder = Path::new(TARGET).join("lines");
    let mut build =
        cargo(&["build", "--manifest-path", "xtask/figures/Cargo.toml", "--release", "--bin", "paths"]);
    build.args(["--config", "profile.release.debug=\"line-tables-only\"", "--target", &compiler.host]);
    run(build.arg("--target-dir").arg(&folder).env("CARGO_ENCODED_RUSTFLAGS", flags()?.join("\u{1f}")))?;
    Ok(folder.join(&compiler.host).join("release/paths"))
}

/// What a tool of valgrind writes about a program that goes a path so often.
pub(super) fn traced(program: &Path, tool: &str, options: &[&str], path: &str, count: u64) -> Result<String> {
    let file = root().join(TARGET).join(format!("{tool}.out"));
    let mut command = command("valgrind", &[&format!("--tool={tool}")]);
    command.args(options).arg(format!("--{tool}-out-file={}", file.display()));
    command.arg(program).args([path, &format!("{count:06}")]).env_clear();
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    let output = command.output().map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` ended with {}: {text}", describe(&command), output.status));
    }
    fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))
}

/// The path of a program from the root of the checkout.
fn program(target: &str, profile: &str, bin: &str) -> PathBuf {
    Path::new(TARGET).join(target).join(profile).join(bin)
}

pub(crate) fn has_target(target: &str) -> Result<bool> {
    let output = command(&rustc(), &["--print", "target-libdir", "--target", target])
        .output()
        .map_err(|error| format!("{}: {error}", rustc()))?;
    Ok(Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists())
}

/// What a program says of a path that it goes so often.
fn number(program: &Path, path: &str, count: u64) -> Result<u64> {
    let mut command = command(&program.to_string_lossy(), &[path, &format!("{count:06}")]);
    let output = command.env_clear().output().map_err(|error| format!("{}: {error}", program.display()))?;
    let (words, text) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    if !output.status.success() {
        return Err(format!("`{}` ended with {}: {words}", describe(&command), output.status));
    }
    text.trim().parse().map_err(|_| format!("`{}` says `{}`", describe(&command), text.trim()))
}

/// How many instructions a program takes for that.
fn instructions(program: &Path, path: &str, count: u64) -> Result<u64> {
    // `==1== I   refs:      1,234`
    let text = counted(program, &["--cache-sim=no"], path, count)?;
    let line = text.lines().find(|line| line.contains("refs:")).and_then(|line| line.rsplit(' ').next());
    number_in(line.unwrap_or_default())
}

/// How often it reads or writes what is not in a cache of a size that processors have for each core.
fn lines(program: &Path, path: &str, count: u64) -> Result<u64> {
    let caches = ["--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64"];
    // `==1== LLd misses:    1,234  (    1,000 rd   +    234 wr)`
    let text = counted(program, &caches, path, count)?;
    let line =
        text.lines().find_map(|line| line.split_once("LLd misses:")).map(|(_, rest)| rest.trim_start());
    number_in(line.and_then(|line| line.split(' ').next()).unwrap_or_default())
}

fn number_in(text: &str) -> Result<u64> {
    let digits: String = text.chars().filter(|digit| *digit != ',').collect();
    digits.parse().map_err(|_| format!("valgrind says `{text}`, which is no number"))
}

/// What valgrind's cachegrind says of a program that goes a path so often.
fn counted(program: &Path, options: &[&str], path: &str, count: u64) -> Result<String> {
    let mut command = command("valgrind", &["--tool=cachegrind", "--cachegrind-out-file=/dev/null"]);
    command.args(options).arg(program).args([path, &format!("{count:06}")]).env_clear();
    // Where hash tables begin to look depends on where things lie, and that on how long the environment is.
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    let output = command.output().map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("`{}` ended with {}: {text}", describe(&command), output.status));
    }
    Ok(text.into_owned())
}
