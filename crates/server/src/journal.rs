use alloc::format;
use alloc::string::{String, ToString as _};

use balcony_connection::Error;
use balcony_jid::FullJid;
use balcony_sasl::Mechanism;
use balcony_stanza::StreamCondition;

use crate::{Ended, Notice};

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// The ordinary course of things.
    Info,
    /// Somebody may want to look into this.
    Warn,
}

/// Puts what happens on one connection into words, with what is known of it from before.
pub(crate) struct Journal {
    from: String,
    mechanism: Option<Mechanism>,
    jid: Option<FullJid>,
}

impl Journal {
    pub(crate) fn new(from: String) -> Self {
        Journal { from, mechanism: None, jid: None }
    }

    /// The line for a notice, if it is worth one.
    pub(crate) fn line(&mut self, notice: Notice) -> Option<(Level, String)> {
        let from = self.from.as_str();
        let (level, line) = match notice {
            Notice::Authenticated { mechanism, .. } => {
                self.mechanism = Some(mechanism);
                return None;
            }
            Notice::AuthenticationFailed { reason } => {
                (Level::Warn, format!("{from} failed to authenticate: {reason}"))
            }
            Notice::Bound(jid) => {
                let how = self.mechanism.map_or("", Mechanism::name);
                let line = format!("{jid} is online ({how}) from {from}");
                self.jid = Some(jid);
                (Level::Info, line)
            }
            Notice::Ended(ended) => match (&self.jid, ended) {
                (None, Ended::Closed) => (Level::Debug, format!("{from} has closed the connection")),
                (Some(jid), Ended::Closed) => (Level::Info, format!("{jid} is offline")),
                (None, Ended::Failed(error)) => (
                    severity(&error).min(Level::Info),
                    format!("the connection from {from} has ended: {error}"),
                ),
                (Some(jid), Ended::Failed(error)) => {
                    (severity(&error), format!("{jid} from {from} is offline: {error}"))
                }
            },
        };
        Some((level, one_line(line)))
    }
}

/// Networks fail and peers go away; that is not what an operator has to see to.
fn severity(error: &Error) -> Level {
    match error {
        Error::Stream(balcony_stream::Error::Truncated | balcony_stream::Error::Remote(_)) => Level::Info,
        Error::Stream(balcony_stream::Error::Local(error)) => match error.condition {
            StreamCondition::SystemShutdown
            | StreamCondition::Conflict
            | StreamCondition::ConnectionTimeout => Level::Info,
            _ => Level::Warn,
        },
        _ => Level::Warn,
    }
}

/// A peer chooses some of the words: they must not look like a line of their own.
fn one_line(line: String) -> String {
    if line.contains(char::is_control) { line.replace(char::is_control, " ").to_string() } else { line }
}
