//! Binding a resource (RFC 6120 section 7), also one that another session has.
//!
//! That session ends, and what its client has sent comes before what the new one sends (RFC 6120 section 10.1). Some of it may have been read and not be taken
//! yet, as connections have turns. So its connection is told to [finish](Down::Finish), and the resource is bound when that session has ended. Nobody
//! else waits for that.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Ticket};
use balcony_router::SessionId;
use balcony_stanza::{StreamCondition, StreamError};

use crate::action::ConnectionId;
use crate::connections::{BindRequest, Down};
use crate::hub::Hub;

/// Those who want to bind a resource, by a session that has to end before.
pub(crate) type Binds = BTreeMap<SessionId, Vec<Bind>>;

/// Somebody who wants to bind a resource.
pub(crate) struct Bind {
    connection: ConnectionId,
    ticket: Ticket,
    request: Box<BindRequest>,
}

impl BindRequest {
    /// Whether it is for the same resource as another one of the account, or of the same installation, however these are spelled.
    fn replaces(&self, other: &BindRequest) -> bool {
        let is_same = |one: &Option<String>, other: &Option<String>| {
            let of = |part: &Option<String>| self.account.with_resource(part.as_deref()?).ok();
            of(one).is_some_and(|one| of(other) == Some(one))
        };
        is_same(&self.resource, &other.resource) || is_same(&self.installation, &other.installation)
    }
}

impl Hub {
    /// Binds a resource, at once or when those whose place it takes have ended.
    pub(crate) fn bind(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        ticket: Ticket,
        request: Box<BindRequest>,
    ) {
        if !self.revocations.allow(&request.account, request.proven) {
            return self.revoke(connection);
        }
        self.waits_no_more(now, &request.account, connection);
        if let Some(session) = self.make_way(&request) {
            return self.wait_for_place(session, Bind { connection, ticket, request });
        }
        let BindRequest { account, resource, installation, inline, enable, proven: _, via } = *request;
        let session = self.sessions.begin(connection, via);
        let (resource, installation) = (resource.as_deref(), installation.as_deref());
        let bound = self.router.bind_of(now, session, &account, resource, installation, &mut self.effects);
        match &bound {
            Ok(_) => {
                if let Some(inline) = inline {
                    self.router.bind_inline(session, inline.root(), &mut self.effects);
                }
            }
            Err(_) => {
                self.sessions.end(session);
            }
        }
        let bound = bound.map(|jid| (jid, enable.map(|enable| self.manage(session, enable))));
        self.say(Down::Bound { connection, ticket, session, bound: Box::new(bound) });
    }

    /// A connection that has waited for a session of the account, or for the place of one, wants another one: it has given up, and has told its client so.
    /// The session waits on, or the stream would be given both.
    fn waits_no_more(&mut self, now: Instant, account: &BareJid, connection: ConnectionId) {
        let own: Vec<SessionId> = self.router.sessions(account).collect();
        for session in own {
            if self.sessions.gives_up(session, connection) && self.sessions.waiting(session).is_some() {
                self.router.detach(now, session, &mut self.effects);
            }
            if let Some(binds) = self.binds.get_mut(&session) {
                binds.retain(|bind| bind.connection != connection);
            }
        }
    }

    /// Somebody waits for the place of a session. Whoever waits there already and would make way for it at once ends now: it would cost the more the more
    /// have come one after the other, whose connections may be gone.
    fn wait_for_place(&mut self, session: SessionId, bind: Bind) {
        let waiting = self.binds.entry(session).or_default();
        let before: Vec<_> =
            waiting.extract_if(.., |before| bind.request.replaces(&before.request)).collect();
        let by = bind.connection;
        waiting.push(bind);
        for Bind { connection, .. } in before.into_iter().filter(|before| before.connection != by) {
            let error = Box::new(StreamError::from(StreamCondition::Conflict));
            self.say(Down::Close { connection, session: None, error });
        }
    }

    /// Tells the connections to finish whose sessions it takes the place of. One of these sessions, if there are any.
    fn make_way(&mut self, request: &BindRequest) -> Option<SessionId> {
        // All of them have been told to end.
        if self.is_closing {
            return None;
        }
        let BindRequest { account, resource, installation, .. } = request;
        let old = self.router.replaced_by(account, resource.as_deref(), installation.as_deref());
        let mut first = None;
        for session in old {
            if let Some(connection) = self.sessions.connection(session) {
                let error = Box::new(StreamError::from(StreamCondition::Conflict));
                self.say(Down::Finish { connection, session, error });
                first = first.or(Some(session));
            }
        }
        first
    }

    /// A session has ended, or has no connection any more: whoever has waited for its place goes on.
    pub(crate) fn has_made_way(&mut self, now: Instant, session: SessionId) {
        for Bind { connection, ticket, request } in self.binds.remove(&session).unwrap_or_default() {
            self.bind(now, connection, ticket, request);
        }
    }
}
