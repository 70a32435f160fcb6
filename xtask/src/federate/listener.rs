//! Somebody who is online, with Balcony's own client: what they see.

use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::interop::{Process, eventually, read};
use crate::run::Result;

/// How long what one does may take until the other sees it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Listeners that there have been.
static COUNT: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Listener {
    _process: Process,
    output: PathBuf,
    /// How much of the output has been looked at.
    seen: Cell<usize>,
}

impl Listener {
    /// Starts it, and waits until it is online.
    pub(crate) fn start(command: Command, folder: &Path) -> Result<Listener> {
        let output = folder.join(format!("listener-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let errors = output.with_extension("errors");
        let mut process = Process::start(command, &output, &errors)?;
        process.wait_until(PATIENCE, || read(&errors).contains("listening as"))?;
        Ok(Listener { _process: process, output, seen: Cell::new(0) })
    }

    /// Waits until it sees something that nobody has looked at before.
    pub(crate) fn sees(&self, what: &str) -> Result {
        let found = eventually(PATIENCE, || {
            let text = read(&self.output);
            let seen = self.seen.get();
            let at = text.get(seen..).and_then(|rest| rest.find(what));
            if let Some(at) = at {
                self.seen.set(seen + at + what.len());
            }
            at.is_some()
        });
        if found { Ok(()) } else { Err(format!("`{what}` is not seen")) }
    }

    /// Whether it has seen something, whether somebody has looked or not.
    pub(crate) fn has(&self, what: &str) -> bool {
        read(&self.output).contains(what)
    }
}

/// Runs a command to its end: what it says, or what it complains about.
pub(crate) fn done(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if status.success() { Ok(text(&stdout)) } else { Err(text(&stderr)) }
}
