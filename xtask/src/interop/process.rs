//! Programs that run beside this one, and end with it.

use core::time::Duration;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Instant;

use crate::run::{Result, describe};

/// How often to look whether something has happened.
const TICK: Duration = Duration::from_millis(20);
/// How long a program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(10);

/// A program that is ended when this is dropped.
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts it, with its output in files.
    pub(crate) fn start(command: Command, out: &Path, errors: &Path) -> Result<Self> {
        let name = describe(&command);
        let file = |path: &Path| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
        let mut command = bound_to_us(command);
        command.stdin(Stdio::null()).stdout(file(out)?).stderr(file(errors)?);
        let child = command.spawn().map_err(|error| format!("cannot start `{name}`: {error}"))?;
        Ok(Process { child, name })
    }

    /// Its number, also where it was started by way of other programs: each of those becomes the next one.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until something is true, for as long as the program runs.
    pub(crate) fn wait_until(&mut self, patience: Duration, mut ready: impl FnMut() -> bool) -> Result {
        let mut ended = None;
        let is_over = eventually(patience, || {
            ended = self.child.try_wait().ok().flatten();
            ended.is_some() || ready()
        });
        match ended {
            Some(status) => Err(format!("`{}` has ended with {status}", self.name)),
            None if is_over => Ok(()),
            None => Err(format!("`{}` is not ready after {} s", self.name, patience.as_secs())),
        }
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let mut ended = None;
        eventually(patience, || {
            ended = self.child.try_wait().ok().flatten();
            ended.is_some()
        });
        ended
    }

    /// Asks it to end (SIGTERM), and makes it end if it doesn't. What it ended with, if it did so itself.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        let _ = Command::new("sh").args(["-c", "kill -TERM $0", &self.child.id().to_string()]).status();
        let status = self.ended(GRACE);
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits until something is true; whether it became so in time.
pub(crate) fn eventually(patience: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    while !ready() {
        if Instant::now() > end {
            return false;
        }
        sleep(TICK);
    }
    true
}

/// The same command, ended by the system if this program is killed.
fn bound_to_us(command: Command) -> Command {
    let wrapper = Path::new("/usr/bin/setpriv");
    if !wrapper.exists() {
        return command;
    }
    let mut bound = Command::new(wrapper);
    bound.args(["--pdeathsig", "TERM", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bound.current_dir(folder);
    }
    bound
}

/// Runs a command to its end and gives what it prints; an error has the last thing that it complained about.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = describe(command);
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("cannot start `{name}`: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let complaint =
        String::from_utf8_lossy(&output.stderr).trim().lines().next_back().unwrap_or_default().to_owned();
    Err(format!("`{name}` ended with {}: {complaint}", output.status))
}

/// What a file holds; nothing if it isn't there.
pub(crate) fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
