//! What a client takes along from one connection to the next (XEP-0198 section 5).

use alloc::collections::VecDeque;
use core::fmt;

use balcony_jid::FullJid;
use balcony_sasl::Mechanism;
use balcony_stanza::Stanza;
use balcony_stream::client::Resumption;

#[cfg(feature = "fast")]
use balcony_stream::client::Token;

use crate::MachineEvent;
use crate::config::ClientConfig;
use crate::outbox::Entry;
use crate::queue::Queue;
use crate::requests::Requests;
use crate::unhandled::Unhandled;

/// What outlives the connection of a [`ClientMachine`](crate::ClientMachine): its session, if the server lets it go on, what it has sent and the
/// server has not acknowledged, and the requests that wait for an answer.
///
/// [`ClientMachine::into_session`](crate::ClientMachine::into_session) makes it when a connection has ended, and
/// [`ClientMachine::resuming`](crate::ClientMachine::resuming) goes on with it on the next one. `Debug` shows nothing of what was sent or has come.
pub struct Session {
    pub(crate) resumption: Option<Resumption>,
    pub(crate) outbox: Queue<Entry>,
    pub(crate) requests: Requests,
    /// The token for the next login, if anything has been heard of one.
    #[cfg(feature = "fast")]
    pub(crate) token: Option<Option<Token>>,
    /// Whether the account has been logged in to by SCRAM.
    pub(crate) knows_scram: bool,
    /// What has happened and has not been told.
    pub(crate) told: VecDeque<MachineEvent>,
    /// Somebody uses the client (XEP-0352).
    pub(crate) is_active: bool,
    /// What is not handled, if the owner says what is (XEP-0198).
    pub(crate) unhandled: Option<Unhandled>,
}

impl Session {
    /// The configuration of the connection that goes on with it.
    pub(crate) fn adjust(&self, mut config: ClientConfig) -> ClientConfig {
        #[cfg(feature = "fast")]
        if let Some(token) = &self.token {
            config.stream.token.clone_from(token);
        }
        if self.knows_scram {
            // XEP-0474 section 7.
            config.stream.mechanisms.retain(|mechanism| *mechanism != Mechanism::Plain);
        }
        config
    }

    /// Forgets what the owner has not been told and the server tells again: of `first`, and of what comes behind that.
    pub(crate) fn leave_to_server(&mut self, first: &mut Queue<MachineEvent>) {
        if let Some(unhandled) = &mut self.unhandled {
            unhandled.go_on(first, &mut self.told);
        }
    }

    /// The resource that the client may come back to; `None` if it has to begin a new session.
    #[must_use]
    pub fn resumable(&self) -> Option<&FullJid> {
        self.resumption.as_ref().map(Resumption::jid)
    }

    /// What was sent and may not have arrived, the oldest first. A client that [goes on](crate::ClientMachine::resuming) sends it again.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &Stanza> {
        self.outbox.iter().map(|entry| &entry.stanza)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("resumption", &self.resumption)
            .field("unacknowledged", &self.outbox.len())
            .field("told", &self.told.len())
            .finish_non_exhaustive()
    }
}
