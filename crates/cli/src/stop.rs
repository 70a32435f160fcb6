//! The wish that a command ends: Ctrl-C, SIGTERM, or a terminal that is closed.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, io};

/// Ctrl-C, or a polite request of the system to end.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if that is to end nobody, as with `nohup`.
    hang_up: Option<Signal>,
    times: u32,
}

impl Stop {
    pub(crate) fn new() -> Result<Stop, Failure> {
        let catch = |kind| signal(kind).map_err(io("cannot catch signals"));
        Ok(Stop {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hang_up: is_hung_up().then(|| catch(SignalKind::hangup())).transpose()?,
            times: 0,
        })
    }

    /// Waits until it is asked for, once more with each call.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            Some(_) = async { self.hang_up.as_mut()?.recv().await } => {}
        }
        self.times = self.times.saturating_add(1);
    }

    /// Waits until it has been asked for a second time in all: for who is about to end anyway, and would only say goodbye.
    pub(crate) async fn insisted(&mut self) {
        while self.times < 2 {
            self.asked().await;
        }
    }

    /// How often it has been asked for, as far as somebody has waited for that.
    pub(crate) fn times(&self) -> u32 {
        self.times
    }
}

/// Whether a terminal that is closed ends this program: whether its parent has not had SIGHUP ignored. Where that can't be known nothing is changed.
fn is_hung_up() -> bool {
    // As a number in base 16; the first signal is SIGHUP.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|ignored| u64::from_str_radix(ignored.trim(), 16).ok())
        .is_some_and(|ignored| ignored & 1 == 0)
}

/// What a command says that was told to end before it was done.
pub(crate) fn interrupted() -> Failure {
    Failure::new("interrupted")
}
