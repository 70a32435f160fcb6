//! The log of a connection, in words for whoever runs the server: which notices are worth a line, and how much each of them
//! matters.
//!
//! No secrets get into it, nor what people write to each other, and nothing that a peer has chosen can look like a line of its
//! own. Where lines are written to is the owner's to decide.

use alloc::format;
use alloc::string::String;

use balcony_connection::Error;
use balcony_jid::FullJid;
pub use balcony_router::Level;
use balcony_sasl::Mechanism;
use balcony_stanza::{StreamCondition, is_unprintable};

use crate::{Ended, Notice};

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
            Notice::AuthenticationFailed { reason, account: None } => {
                (Level::Warn, format!("{from} failed to authenticate: {reason}"))
            }
            Notice::AuthenticationFailed { reason, account: Some(account) } => {
                (Level::Warn, format!("{from} failed to authenticate as {account}: {reason}"))
            }
            Notice::BindRefused { account, error } => {
                (Level::Info, format!("{account} from {from} has logged in, and gets no resource: {error}"))
            }
            Notice::Bound(jid) => {
                let how = self.mechanism.map_or("", Mechanism::name);
                let line = format!("{jid} is online ({how}) from {from}");
                self.jid = Some(jid);
                (Level::Info, line)
            }
            Notice::Resumed(jid) => {
                let how = self.mechanism.map_or("", Mechanism::name);
                let line = format!("{jid} is back ({how}) from {from}");
                self.jid = Some(jid);
                (Level::Info, line)
            }
            Notice::Lost(ended) => {
                let why = match ended {
                    Ended::Closed => String::new(),
                    Ended::Failed(error) => format!(": {error}"),
                };
                let who = self.jid.as_ref().map_or(from, FullJid::as_str);
                (Level::Info, format!("{who} has lost its connection from {from}, and may come back{why}"))
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
            // Of a client that was online: its account has been removed.
            | StreamCondition::NotAuthorized
            | StreamCondition::ConnectionTimeout => Level::Info,
            _ => Level::Warn,
        },
        _ => Level::Warn,
    }
}

/// A peer chooses some of the words: they must not look like a line of their own.
pub(crate) fn one_line(line: String) -> String {
    if line.contains(is_unprintable) { line.replace(is_unprintable, " ") } else { line }
}

#[cfg(test)]
mod tests {
    use balcony_stanza::{ErrorCondition, StanzaError, StreamError};

    use super::*;

    fn journal() -> Journal {
        Journal::new("127.0.0.1:5555".into())
    }

    // Whoever looks for guessed passwords in the log is not told of one.
    #[test]
    fn who_gets_no_resource_has_not_failed_to_authenticate() {
        let account = "juliet@localhost".parse().unwrap();
        let text = "too many resources are connected";
        let error = StanzaError::new(ErrorCondition::ResourceConstraint, text);
        let line = "juliet@localhost from 127.0.0.1:5555 has logged in, and gets no resource: \
                    resource-constraint: too many resources are connected";
        let told = journal().line(Notice::BindRefused { account, error });
        assert_eq!(told, Some((Level::Info, line.into())));
    }

    #[test]
    fn who_is_online_and_how() {
        let mut journal = journal();
        let jid: FullJid = "juliet@localhost/phone".parse().unwrap();
        let account = jid.to_bare();
        assert_eq!(
            journal.line(Notice::Authenticated { account, mechanism: Mechanism::ScramSha256Plus }),
            None
        );
        let online = "juliet@localhost/phone is online (SCRAM-SHA-256-PLUS) from 127.0.0.1:5555";
        assert_eq!(journal.line(Notice::Bound(jid)), Some((Level::Info, online.into())));
        let offline = "juliet@localhost/phone is offline";
        assert_eq!(journal.line(Notice::Ended(Ended::Closed)), Some((Level::Info, offline.into())));
    }

    #[test]
    fn strangers_fail_with_their_address() {
        let failed =
            |account| journal().line(Notice::AuthenticationFailed { reason: "wrong password", account });
        let words = "127.0.0.1:5555 failed to authenticate: wrong password";
        assert_eq!(failed(None), Some((Level::Warn, words.into())));
        let words = "127.0.0.1:5555 failed to authenticate as juliet@localhost: wrong password";
        assert_eq!(failed("juliet@localhost".parse().ok()), Some((Level::Warn, words.into())));
        // Whoever knocks at the wrong door is no reason to be woken up.
        let truncated = Ended::Failed(balcony_stream::Error::Truncated.into());
        assert!(matches!(journal().line(Notice::Ended(truncated)), Some((Level::Info, _))));
        assert!(matches!(journal().line(Notice::Ended(Ended::Closed)), Some((Level::Debug, _))));
    }

    // docs/administration.md: warnings are what somebody has to see to.
    #[test]
    fn the_end_of_an_account_is_no_warning() {
        let mut journal = journal();
        journal.line(Notice::Bound("juliet@localhost/phone".parse().unwrap()));
        let removed = StreamError::from(StreamCondition::NotAuthorized);
        let removed = Ended::Failed(balcony_stream::Error::Local(removed).into());
        assert!(matches!(journal.line(Notice::Ended(removed)), Some((Level::Info, _))));
    }

    #[test]
    fn a_peer_cannot_write_lines_of_its_own() {
        let error = StreamError {
            condition: StreamCondition::UndefinedCondition,
            text: Some("so\nINFO romeo@localhost/x is online\u{1b}[2J\u{85}\u{2028}\u{202e}".into()),
        };
        let ended = Ended::Failed(balcony_stream::Error::Remote(error).into());
        let (_, line) = journal().line(Notice::Ended(ended)).unwrap();
        assert!(
            line.ends_with(r"so\nINFO romeo@localhost/x is online\u{1b}[2J\u{85}\u{2028}\u{202e}"),
            "{line}"
        );
        // What comes in words that nobody has escaped before.
        assert_eq!(one_line("a\nb\u{2029}c\u{202e}d\u{2067}e\u{200f}".into()), "a b c d e ");
    }
}
