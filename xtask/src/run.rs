//! Child processes and steps, with their times.

use core::time::Duration;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

/// What can fail says why, in words for the person who has started it.
pub(crate) type Result<T = ()> = core::result::Result<T, String>;

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// What Cargo has built beside this program: so it is in the same folder, whatever the environment and Cargo's configuration say of that.
pub(crate) fn built(name: &str) -> PathBuf {
    profile().join(name)
}

/// The folder for all that Cargo, or a command here, builds or fetches: `target`, unless told otherwise.
pub(crate) fn target() -> PathBuf {
    let mut target = profile();
    target.pop();
    target
}

/// `target/debug`. A test is a folder below it.
fn profile() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap_or_default();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    // Where a system doesn't tell which program this is, it is where Cargo builds by default.
    if folder.as_os_str().is_empty() { root().join("target/debug") } else { folder }
}

/// A command that runs in the root of the checkout.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).stdin(Stdio::null());
    command
}

/// Cargo, as it was called itself. What it has said of this package for this program is not passed on: `ring` takes it for a change, and is built
/// again, and all that depends on it.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut cargo = command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()), args);
    let names = std::env::vars_os().map(|(name, _)| name);
    let of_this = |name: &OsString| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    };
    for name in names.filter(of_this) {
        cargo.env_remove(name);
    }
    cargo
}

/// Prints the command, runs it, and waits until it has ended well.
pub(crate) fn run(command: &mut Command) -> Result {
    let line = describe(command);
    println!("$ {line}");
    let status = command.status().map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` ended with {status}")) }
}

/// Runs the command, and returns what it has printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = describe(command);
    println!("$ {line}");
    let output = command.output().map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "`{line}` ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as one would type it; what Cargo separates by a control character in its variables, by a space.
pub(crate) fn describe(command: &Command) -> String {
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| {
            Some(format!("{}={}", name.display(), quoted(&value?.to_string_lossy().replace('\u{1f}', " "))))
        })
        .collect();
    let program = PathBuf::from(command.get_program());
    words.push(program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned());
    words.extend(command.get_args().map(|arg| quoted(&arg.to_string_lossy())));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("'{word}'") } else { word.to_owned() }
}

/// A duration as people read it.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

/// A step's name, and what it does.
type Step = (&'static str, fn() -> Result);

/// Does one step of a command in a process of its own: what it has printed, and how it went.
fn step_apart(command: &OsStr, name: &str) -> (String, Result) {
    let run = || -> std::io::Result<_> {
        let (mut output, writer) = std::io::pipe()?;
        // A step before it may have had this program built anew in its place, which this one is not.
        let own = Path::new("/proc/self/exe");
        let own = if cfg!(target_os = "linux") { own.into() } else { std::env::current_exe()? };
        let mut step = Command::new(own);
        step.arg(command).arg(name).current_dir(root()).stdin(Stdio::null());
        let mut child = step.stdout(writer.try_clone()?).stderr(writer).spawn()?;
        // Its ends of the pipe go with it.
        drop(step);
        let mut text = Vec::new();
        output.read_to_end(&mut text)?;
        Ok((String::from_utf8_lossy(&text).into_owned(), child.wait()?))
    };
    match run() {
        Ok((text, status)) if status.success() => (text, Ok(())),
        Ok((text, status)) => (text, Err(format!("it ended with {status}"))),
        Err(error) => (String::new(), Err(format!("cannot run it: {error}"))),
    }
}

/// Steps in order, and a table of how they went.
pub(crate) struct Steps {
    keep_going: bool,
    /// If there are any, only these are done.
    wanted: Vec<String>,
    rows: Vec<(&'static str, Option<Duration>, Result)>,
}

impl Steps {
    /// Unless told to keep going, the steps after one that has failed are left out.
    pub(crate) fn new(keep_going: bool, wanted: Vec<String>) -> Self {
        Steps { keep_going, wanted, rows: Vec::new() }
    }

    /// Does one step.
    pub(crate) fn step(&mut self, name: &'static str, action: impl FnOnce() -> Result) {
        if !self.wanted.is_empty() && !self.wanted.iter().any(|wanted| wanted == name) {
            return;
        }
        if !self.keep_going && self.rows.iter().any(|(_, _, result)| result.is_err()) {
            self.rows.push((name, None, Ok(())));
            return;
        }
        println!("\n=== {name}");
        let start = Instant::now();
        let result = action();
        let took = start.elapsed();
        match &result {
            Ok(()) => println!("=== {name}: ok, {}", seconds(took)),
            Err(error) => println!("=== {name}: FAILED after {}: {error}", seconds(took)),
        }
        self.rows.push((name, Some(took), result));
    }

    /// Does `first`, and meanwhile `others`, one after the other, each in a process of its own, whose output is printed when all are done. The
    /// others must not build in the folder of the first, and nothing of either may be about times.
    pub(crate) fn beside(&mut self, others: &[Step], first: impl FnOnce(&mut Self)) {
        let stops = !self.keep_going && self.rows.iter().any(|(_, _, result)| result.is_err());
        // Who names steps sees what they do, in turn.
        if stops || !self.wanted.is_empty() {
            first(self);
            others.iter().for_each(|(name, action)| self.step(name, action));
            return;
        }
        let (command, keep_going) = (std::env::args_os().nth(1).unwrap_or_default(), self.keep_going);
        let others = others.iter().map(|(name, _)| *name);
        let work = move || {
            let mut done: Vec<(&'static str, Option<Duration>, String, Result)> = Vec::new();
            for name in others {
                if !keep_going && done.iter().any(|(.., result)| result.is_err()) {
                    done.push((name, None, String::new(), Ok(())));
                    continue;
                }
                let start = Instant::now();
                let (text, result) = step_apart(&command, name);
                done.push((name, Some(start.elapsed()), text, result));
            }
            done
        };
        let done = thread::scope(|scope| {
            let work = scope.spawn(work);
            first(self);
            work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        for (name, took, text, result) in done {
            print!("{text}");
            self.rows.push((name, took, result));
        }
    }

    /// Prints the table.
    pub(crate) fn finish(self) -> Result {
        println!();
        let mut failed = Vec::new();
        for (name, took, result) in &self.rows {
            let verdict = match (took, result) {
                (None, _) => "not run",
                (Some(_), Ok(())) => "ok",
                (Some(_), Err(_)) => "FAILED",
            };
            println!("{name:<24} {verdict:<8} {:>12}", took.map(seconds).unwrap_or_default());
            if let Err(error) = result {
                failed.push(format!("{name}: {error}"));
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_not_told_of_this_package() {
        // Cargo has told this test.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        let cargo = cargo(&["build"]);
        assert!(cargo.get_envs().any(|(name, value)| name == "CARGO_PKG_NAME" && value.is_none()));
    }

    #[test]
    fn a_step_apart_prints_nothing_but_tells_all() {
        let (text, result) = step_apart(OsStr::new("--exact"), "run::tests::what_is_built_is_beside_this");
        assert!(text.contains("1 passed"), "{text}");
        result.unwrap();
        let (text, result) = step_apart(OsStr::new("--no-such-option"), "x");
        assert!(text.contains("no-such-option"), "{text}");
        result.unwrap_err();
    }

    #[test]
    fn steps_that_are_named_are_done_in_turn() {
        let mut steps = Steps::new(true, vec!["b".into(), "c".into()]);
        steps.beside(&[("b", || Ok(())), ("d", || Err("it is not wanted".into()))], |steps| {
            steps.step("a", || Err("it is not wanted".into()));
            steps.step("c", || Err("it fails".into()));
        });
        let names: Vec<_> = steps.rows.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, ["c", "b"]);
        assert_eq!(steps.finish().unwrap_err(), "c: it fails");
    }

    #[test]
    fn what_is_built_is_beside_this() {
        let tests = built("deps");
        assert_eq!(std::env::current_exe().unwrap().parent(), Some(tests.as_path()));
        assert_eq!(built("").parent(), Some(target().as_path()));
    }
}
