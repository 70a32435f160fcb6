//! What the owner of a server says in its name, and does with the sessions of its accounts.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::Instant;
use balcony_router::SessionId;
use balcony_stanza::StreamError;

use crate::action::Action;
use crate::hub::Hub;
use crate::sessions::Over;

/// A session: a resource that is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its number, which no other session has.
    pub id: SessionId,
    /// Its full address.
    pub jid: FullJid,
    /// Its priority (RFC 6121 section 4.7.2.3) if it is available, which it is since it has sent presence. `None`: it is connected only,
    /// and gets what is addressed to its full address.
    pub priority: Option<i8>,
    /// How long it has been bound: as long as its client goes on with it, on one connection after the other, and at one server after
    /// the other.
    pub age: Duration,
    /// What it is connected by.
    pub connection: SessionConnection,
    /// The address from which its client is connected, if it is told to the server ([`Server::came_from`](crate::Server::came_from)): of IPv6 the network, which
    /// are the first 64 bits. `None` for clients on this machine, and for those that are not connected.
    pub address: Option<IpAddr>,
    /// Whether its client has said that nobody uses it (XEP-0352).
    pub is_inactive: bool,
    /// How long it still waits for its client, if that is not connected.
    pub waits: Option<Duration>,
}

/// How a session reaches its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionConnection {
    /// Through TLS, which ends here.
    Secured,
    /// In the clear, or through TLS that ends somewhere before this server.
    Clear,
    /// Not at all for now: its client may come back and go on (XEP-0198 section 5).
    Lost,
}

impl Hub {
    /// See [`Server::sessions_of`](crate::Server::sessions_of).
    pub(crate) fn sessions_of(&self, now: Instant, account: &BareJid) -> Vec<SessionInfo> {
        self.router.sessions(account).filter_map(|session| self.session_info(now, session)).collect()
    }

    /// See [`Server::sessions`](crate::Server::sessions).
    pub(crate) fn sessions(&self, now: Instant, after: Option<SessionId>, limit: usize) -> Vec<SessionInfo> {
        let mut listed = Vec::new();
        let mut after = after;
        while listed.len() < limit {
            let Some(session) = self.sessions.behind(after) else { break };
            listed.extend(self.session_info(now, session));
            after = Some(session);
        }
        listed
    }

    /// See [`Server::disconnect`](crate::Server::disconnect).
    pub(crate) fn disconnect(
        &mut self,
        now: Instant,
        jid: &FullJid,
        error: StreamError,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some(session) = self.router.session(jid) else { return false };
        self.close(session, error, actions);
        self.router.unbind(now, session, &mut self.effects);
        true
    }

    /// A session without a connection is over.
    pub(crate) fn abandon(&mut self, session: SessionId, actions: &mut Vec<Action>) {
        if let Some(Over { waited, had_sent, back }) = self.sessions.end(session) {
            actions.extend(waited.map(Action::Abandoned));
            if let Some(back) = back {
                self.not_resumed(back, had_sent);
            }
        }
    }

    fn session_info(&self, now: Instant, session: SessionId) -> Option<SessionInfo> {
        let bound = self.router.bound(now, session)?;
        let via = self.sessions.via(session);
        let connection = match via.map(|via| via.is_secured) {
            Some(true) => SessionConnection::Secured,
            Some(false) => SessionConnection::Clear,
            None => SessionConnection::Lost,
        };
        Some(SessionInfo {
            id: session,
            jid: bound.jid.clone(),
            priority: bound.priority,
            age: bound.age,
            connection,
            address: via.and_then(|via| via.address),
            is_inactive: bound.is_inactive,
            waits: bound.until.map(|until| until.saturating_since(now)),
        })
    }
}
