//! `cargo xtask fuzz`: the fuzz targets on the stable toolchain.
//!
//! It does what `cargo fuzz` does, with the compiler that builds everything else: the flags for coverage and the address
//! sanitizer are unstable ones, which `RUSTC_BOOTSTRAP=1` permits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::bare::share_lock;
use crate::options::Options;
use crate::run::{Result, cargo, describe, root, run};

pub(crate) const USAGE: &str =
    "[--seconds N | --total N] [--jobs N] [--minimise] [--reproduce FILE] [TARGET...]";
pub(crate) const HELP: &str = "\
Runs fuzz targets, all of them unless some are named, on the stable toolchain.
  --seconds N       each for N seconds; 60 unless told otherwise
  --total N         all of them together in N seconds of your time
  --jobs N          so many at a time; as many as there are cores unless told otherwise
  --minimise        no fuzzing: makes the smallest fuzz/corpus/TARGET with the coverage of all that was found
  --reproduce FILE  no fuzzing: runs one input, as it was kept in fuzz/artifacts/TARGET
Inputs come from fuzz/seeds/TARGET (written by people) and fuzz/corpus/TARGET (found); new ones go to
target/fuzz/found/TARGET, so that the checkout stays as it is.
Targets run with the address sanitizer, but for `adversary`, `federation` and `server`: these run without, at eight times
the speed, and then all their inputs once with it.
The first run builds for some 13 minutes on two cores, beside the time that it is told.";

/// Coverage as libFuzzer wants it.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// The same for comparisons: what was compared with what is a hint at what to try.
const COMPARISONS: &str = "-Cllvm-args=-sanitizer-coverage-trace-compares";

/// Checked memory. A check is a call: as a branch it would count as one of the program's, and half of all that is covered would
/// be checks that never fail.
const CHECKS: [&str; 2] = ["-Zsanitizer=address", "-Cllvm-args=-asan-instrumentation-with-call-threshold=0"];

/// How a target is built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Build {
    /// With checked memory, and with coverage of everything that is compiled.
    Checked,
    /// Without checks, with assertions of our own packages alone, and with coverage of those of them that decide something in
    /// a history.
    Fast,
}

impl Build {
    /// What a target fuzzes with. Targets of bytes reach the unsafe code that there is, which is all in dependencies, by short
    /// ways, and look for what its branches do. Those that run a history of many steps reach it through safe code only; what
    /// they look for takes many runs.
    fn of(target: &str) -> Self {
        if HISTORIES.contains(&target) { Build::Fast } else { Build::Checked }
    }

    fn command(self) -> Result<Command> {
        let mut build = cargo(&["build", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
        build.args(["--target-dir", self.folder(), "--target", &host()?]);
        let flags = match self {
            Build::Checked => [&COVERAGE[..], &[COMPARISONS], &CHECKS, &["--cfg fuzzing"]].concat().join(" "),
            Build::Fast => {
                let profile = root().join(self.folder()).join("profile.toml");
                create(&root().join(self.folder()))?;
                fs::write(&profile, fast_profile()?)
                    .map_err(|error| format!("{}: {error}", profile.display()))?;
                build.args(["-Zprofile-rustflags", "--config", &profile.to_string_lossy()]);
                build.args(["--features", "fast"]);
                "--cfg fuzzing".into()
            }
        };
        // The workspace's coverage or lint flags, if any, have no place here.
        build.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", flags).env_remove("CARGO_ENCODED_RUSTFLAGS");
        Ok(build)
    }

    /// Each has a folder of its own, or one would undo what the other has built.
    fn folder(self) -> &'static str {
        match self {
            Build::Checked => "target/fuzz",
            Build::Fast => "target/fuzz/fast",
        }
    }
}

/// Targets in which a run is a history of many steps.
const HISTORIES: [&str; 3] = ["adversary", "federation", "server"];

/// Longer inputs find little more, and slowly.
const MAX_LENGTH: usize = 4096;

pub(crate) fn main(args: &[String]) -> Result {
    let mut options = Options::new(args);
    let (seconds, total) = (options.number("--seconds")?, options.number("--total")?);
    let jobs = options.number("--jobs")?;
    let (minimise, file) = (options.flag("--minimise"), options.value("--reproduce")?);
    let targets = choose(options.rest()?)?;
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let jobs = jobs.unwrap_or(cores).max(1);

    build(&targets)?;
    if let Some(file) = file {
        return targets
            .iter()
            .try_for_each(|target| run(Command::new(binary(target, Build::Checked)).arg(&file)));
    }
    if minimise {
        return targets.iter().try_for_each(|target| minimise_corpus(target));
    }
    let rounds = (targets.len() as u64).div_ceil(jobs);
    let seconds = seconds.or(total.map(|total| (total / rounds).max(1))).unwrap_or(60);
    println!("fuzz: {} targets, {seconds} s each, {jobs} at a time", targets.len());
    fuzz(&targets, seconds, jobs)
}

/// The targets named, or all there are.
fn choose(named: Vec<String>) -> Result<Vec<String>> {
    let folder = root().join("fuzz/targets");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut all: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into()))
        .collect();
    all.sort();
    match named.iter().find(|name| !all.contains(name)) {
        Some(unknown) => Err(format!("there is no target `{unknown}`; there are {}", all.join(", "))),
        None if named.is_empty() => Ok(all),
        None => Ok(named),
    }
}

/// What reads and writes forms, which targets of bytes go through by themselves. Histories are full of it, and what is new there is
/// not what they look for: to count its branches takes time, and inputs that differ in nothing else would be kept.
const BY_BYTES: [&str; 6] =
    ["balcony-jid", "balcony-machine", "balcony-sasl", "balcony-stanza", "balcony-xep", "balcony-xml"];

/// Other packages without assertions, which are about their own promises and would be half of what a run does.
fn fast_profile() -> Result<String> {
    let mut profile = String::from(
        "[profile.release]\npanic = \"abort\"\n\
         [profile.release.package.\"*\"]\ndebug-assertions = false\noverflow-checks = false\n",
    );
    for package in own()? {
        profile.push_str(&format!(
            "[profile.release.package.{package}]\ndebug-assertions = true\noverflow-checks = true\n"
        ));
        if !BY_BYTES.contains(&&*package) {
            profile.push_str(&format!("rustflags = {COVERAGE:?}\n"));
        }
    }
    Ok(profile)
}

/// The packages that are ours, of those that the targets are made of.
fn own() -> Result<Vec<String>> {
    let mut tree =
        cargo(&["tree", "--manifest-path", "fuzz/Cargo.toml", "--edges", "normal", "--prefix", "none"]);
    let output = tree.output().map_err(|error| format!("cargo tree: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{}`: {}", describe(&tree), String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.split(' ').next());
    let mut own: Vec<String> = names.filter(|name| name.starts_with("balcony-")).map(str::to_owned).collect();
    own.sort();
    own.dedup();
    Ok(own)
}

/// The host's triple: flags that are for the target only need it named.
pub(crate) fn host() -> Result<String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(&rustc).arg("-vV").output().map_err(|error| format!("{rustc}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| format!("{rustc} -vV does not name the host"))
}

fn build(targets: &[String]) -> Result {
    share_lock("fuzz")?;
    for kind in [Build::Fast, Build::Checked] {
        // Those that fuzz without checks are run again with them.
        let wanted: Vec<&String> =
            targets.iter().filter(|target| kind == Build::Checked || Build::of(target) == kind).collect();
        if wanted.is_empty() {
            continue;
        }
        let mut build = kind.command()?;
        for target in wanted {
            build.args(["--bin", target]);
        }
        run(&mut build)?;
    }
    Ok(())
}

fn binary(target: &str, build: Build) -> PathBuf {
    root().join(build.folder()).join(host().unwrap_or_default()).join("release").join(target)
}

/// Where a target's inputs are: those found on this machine, those committed, those written by people.
fn inputs(target: &str) -> [PathBuf; 3] {
    [root().join("target/fuzz/found"), root().join("fuzz/corpus"), root().join("fuzz/seeds")]
        .map(|folder| folder.join(target))
}

fn create(folder: &Path) -> Result {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn fuzz(targets: &[String], seconds: u64, jobs: u64) -> Result {
    let rest = Mutex::new(targets.iter());
    let mut rows: Vec<Row> = std::thread::scope(|scope| {
        let work = || {
            let mut rows = Vec::new();
            while let Some(target) = rest.lock().ok().and_then(|mut rest| rest.next()) {
                rows.push(fuzz_one(target, seconds));
            }
            rows
        };
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect::<Result<_>>()
    })?;
    rows.sort_by(|a, b| a.target.cmp(&b.target));
    println!(
        "\n{:<12} {:>12} {:>9} {:>8} {:>9}  findings",
        "target", "executions", "exec/s", "inputs", "peak MB"
    );
    for row in &rows {
        let Row { target, executions, speed, inputs, memory, .. } = row;
        println!("{target:<12} {executions:>12} {speed:>9} {inputs:>8} {memory:>9}  {}", row.findings.len());
    }
    let mut findings = 0;
    for row in rows.iter().filter(|row| row.failed) {
        findings += row.findings.len().max(1);
        println!("\n{}, whose whole output is in {}:", row.target, row.log.display());
        println!("{}", row.tail);
        for file in &row.findings {
            println!("  cargo xtask fuzz --reproduce {} {}", file.display(), row.target);
        }
    }
    if findings == 0 { Ok(()) } else { Err(format!("{findings} findings")) }
}

/// How one target did.
struct Row {
    target: String,
    executions: String,
    speed: String,
    inputs: usize,
    memory: String,
    findings: Vec<PathBuf>,
    failed: bool,
    log: PathBuf,
    tail: String,
}

fn fuzz_one(target: &str, seconds: u64) -> Result<Row> {
    let artifacts = root().join("fuzz/artifacts").join(target);
    let [found, corpus, seeds] = inputs(target);
    for folder in [&artifacts, &found, &corpus, &seeds] {
        create(folder)?;
    }
    let before = files(&artifacts)?;
    let mut command = fuzzer(target, Build::of(target));
    command
        .arg(format!("-max_total_time={seconds}"))
        .args(["-print_final_stats=1", "-timeout=10", "-rss_limit_mb=2048"])
        .arg(format!("-max_len={MAX_LENGTH}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()));
    if Build::of(target) == Build::Fast {
        // A history covers thousands of branches. To weigh inputs by how rare each is takes longer than the history itself.
        command.arg("-entropic=0");
    }
    command.args([&found, &corpus, &seeds]);
    println!("$ {}", describe(&command));
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{target}: {error}"))?;
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut succeeded = output.status.success();
    if succeeded && Build::of(target) == Build::Fast {
        let mut again = fuzzer(target, Build::Checked);
        again.args(["-runs=0", "-timeout=60", "-rss_limit_mb=4096"]);
        again.arg(format!("-artifact_prefix={}/", artifacts.display())).args([&found, &corpus, &seeds]);
        println!("$ {}", describe(&again));
        let output = again.stdin(Stdio::null()).output().map_err(|error| format!("{target}: {error}"))?;
        succeeded = output.status.success();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    let log = root().join("target/fuzz").join(format!("{target}.log"));
    fs::write(&log, &text).map_err(|error| format!("{}: {error}", log.display()))?;

    let stat = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("stat::{name}:")));
        line.map_or_else(|| "?".into(), |value| value.trim().to_owned())
    };
    // What the panic says, or else the end of it all; the stack is in the log.
    let lines: Vec<&str> = text.lines().collect();
    let panic = lines.iter().position(|line| line.contains(" panicked at "));
    let shown = panic.unwrap_or(lines.len().saturating_sub(20));
    Ok(Row {
        target: target.to_owned(),
        executions: stat("number_of_executed_units"),
        speed: stat("average_exec_per_sec"),
        inputs: files(&found)?.len() + files(&corpus)?.len() + files(&seeds)?.len(),
        memory: stat("peak_rss_mb"),
        findings: files(&artifacts)?.into_iter().filter(|file| !before.contains(file)).collect(),
        failed: !succeeded,
        log,
        tail: lines
            .iter()
            .skip(shown)
            .take(20)
            .take_while(|line| !line.starts_with("=="))
            .copied()
            .collect::<Vec<_>>()
            .join("\n"),
    })
}

/// The target's program, with its dictionary.
fn fuzzer(target: &str, build: Build) -> Command {
    let mut command = Command::new(binary(target, build));
    command.current_dir(root());
    let own = root().join("fuzz/dictionaries").join(format!("{target}.dict"));
    let dictionary = if own.exists() { own } else { root().join("fuzz/dictionaries/xmpp.dict") };
    command.arg(format!("-dict={}", dictionary.display()));
    command
}

/// A new corpus from the old one and all that was found; what the seeds cover already is left out.
fn minimise_corpus(target: &str) -> Result {
    let [found, corpus, seeds] = inputs(target);
    let merged = root().join("target/fuzz/merged").join(target);
    if merged.exists() {
        fs::remove_dir_all(&merged).map_err(|error| format!("{}: {error}", merged.display()))?;
    }
    for folder in [&found, &corpus, &seeds, &merged] {
        create(folder)?;
    }
    let known = files(&seeds)?;
    for file in &known {
        copy(file, &merged)?;
    }
    let mut merge = fuzzer(target, Build::of(target));
    // By coverage alone, however often: an order of magnitude fewer inputs to keep in the repository.
    merge
        .args(["-set_cover_merge=1", "-use_counters=0"])
        .arg(format!("-max_len={MAX_LENGTH}"))
        .args([&merged, &corpus, &found]);
    merge.stderr(Stdio::null());
    run(&mut merge)?;
    let names: Vec<_> = known.iter().filter_map(|file| file.file_name()).collect();
    fs::remove_dir_all(&corpus).map_err(|error| format!("{}: {error}", corpus.display()))?;
    create(&corpus)?;
    for file in
        files(&merged)?.iter().filter(|file| !file.file_name().is_some_and(|name| names.contains(&name)))
    {
        copy(file, &corpus)?;
    }
    let kept = files(&corpus)?;
    let size: u64 = kept.iter().filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum();
    println!("{target}: {} inputs, {size} bytes", kept.len());
    Ok(())
}

fn copy(file: &Path, folder: &Path) -> Result {
    let to = folder.join(file.file_name().unwrap_or_default());
    fs::copy(file, &to).map(drop).map_err(|error| format!("{}: {error}", to.display()))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}
