//! What the owner of a server says in its name, and does with the sessions of its accounts.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::Instant;
use balcony_router::{SendError, SessionId};
use balcony_stanza::{Stanza, StreamError};

use crate::action::Action;
use crate::server::Server;
use crate::sessions::Waiting;

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
    /// The address from which its client is connected, if it is told to the server ([`Server::came_from`]): of IPv6 the network, which
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

impl Server {
    /// Sends a message, or presence of a domain, in the name of a domain or an account of this server; see
    /// [`Router::send`](balcony_router::Router::send).
    ///
    /// # Errors
    ///
    /// [`SendError`]; then nothing has been sent.
    pub fn send(&mut self, now: Instant, stanza: Stanza, actions: &mut Vec<Action>) -> Result<(), SendError> {
        let sent = self.router.send(now, stanza, &mut self.effects);
        self.converse(now, actions);
        self.go_on(now, actions);
        sent
    }

    /// The sessions of one account, in the order in which they have bound.
    #[must_use]
    pub fn sessions_of(&self, now: Instant, account: &BareJid) -> Vec<SessionInfo> {
        self.router.sessions(account).filter_map(|session| self.session_info(now, session)).collect()
    }

    /// Some sessions of all accounts, at most `limit`: those behind the session `after`, or the first. None is listed twice by calls of
    /// which each goes on behind the last of the one before, and none left out that is there all the time. An empty list is the end.
    #[must_use]
    pub fn sessions(&self, now: Instant, after: Option<SessionId>, limit: usize) -> Vec<SessionInfo> {
        let mut listed = Vec::new();
        let mut after = after;
        while listed.len() < limit {
            let Some(session) = self.sessions.behind(after) else { break };
            listed.extend(self.session_info(now, session));
            after = Some(session);
        }
        listed
    }

    /// Ends a session with this stream error, as far as its client can hear it: it can't be resumed. Its resource becomes unavailable,
    /// and what has not reached it goes elsewhere. `false` if nobody has bound that address.
    pub fn disconnect(
        &mut self,
        now: Instant,
        jid: &FullJid,
        error: StreamError,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some(session) = self.router.session(jid) else { return false };
        match self.sessions.connection(session) {
            Some(id) => self.connections.close(now, id, error, actions),
            None => self.abandon(session, actions),
        }
        self.router.unbind(now, session, &mut self.effects);
        self.converse(now, actions);
        self.go_on(now, actions);
        true
    }

    /// A session without a connection is over.
    pub(crate) fn abandon(&mut self, session: SessionId, actions: &mut Vec<Action>) {
        if let Some(Waiting { jid, back, .. }) = self.sessions.end(session) {
            actions.push(Action::Abandoned(jid));
            if let Some(back) = back {
                self.connections.not_resumed(back.connection, back.ticket);
            }
        }
    }

    fn session_info(&self, now: Instant, session: SessionId) -> Option<SessionInfo> {
        let bound = self.router.bound(now, session)?;
        let on = self.sessions.connection(session);
        let connection = match on.map(|id| self.connections.is_secured(id)) {
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
            address: on.and_then(|id| self.connections.origin(id)),
            is_inactive: bound.is_inactive,
            waits: bound.until.map(|until| until.saturating_since(now)),
        })
    }
}
