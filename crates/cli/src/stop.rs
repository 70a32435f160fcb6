//! The wish that a command ends: Ctrl-C, or SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, io};

/// Ctrl-C, or a polite request of the system to end.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    times: u32,
}

impl Stop {
    pub(crate) fn new() -> Result<Stop, Failure> {
        let catch = |kind| signal(kind).map_err(io("cannot catch signals"));
        Ok(Stop {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            times: 0,
        })
    }

    /// Waits until it is asked for, once more with each call.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        self.times = self.times.saturating_add(1);
    }

    /// How often it has been asked for, as far as somebody has waited for that.
    pub(crate) fn times(&self) -> u32 {
        self.times
    }
}

/// What a command says that was told to end before it was done.
pub(crate) fn interrupted() -> Failure {
    Failure::new("interrupted")
}
