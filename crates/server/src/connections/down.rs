//! What the router, and whoever asks for it, say to connections.

use alloc::vec::Vec;
use core::mem;
use core::net::IpAddr;

use balcony_jid::FullJid;
use balcony_machine::{Instant, Ticket};
use balcony_router::SessionId;
use balcony_stanza::{ErrorCondition, Stanza, StanzaError, StreamCondition, StreamError};
use balcony_stream::server::ServerAnswer;
use balcony_stream::{AckPace, AckPolicy, Counts};
use balcony_xep::sm::Enabled;

use super::Connections;
#[cfg(doc)]
use super::Up;
use crate::action::{Action, ConnectionId};
use crate::conn::{Attached, Conn, Unhandled};

impl Connections {
    /// The answer to [`Up::Ask`]. [`advance`](Connections::advance) next.
    pub fn answer(&mut self, id: ConnectionId, ticket: Ticket, answer: ServerAnswer) {
        if let Some(conn) = self.conn(id) {
            // Misuse here means that the stream has given up waiting.
            let _ = conn.link.connection.answer(ticket, answer);
        }
    }

    /// The answer to [`Up::Bind`]: which session the connection has from now on, its address, and whether it acknowledges; or why it has
    /// none. The client is told before this returns, so that it can get what is delivered next.
    pub fn bound(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ticket: Ticket,
        session: SessionId,
        bound: Result<(FullJid, Option<Enabled<'static>>), StanzaError>,
        actions: &mut Vec<Action>,
    ) {
        let answer = match bound {
            Ok((jid, enabled)) => {
                if let Some(conn) = self.conn(id) {
                    conn.attached = Some(Attached { session, is_over: false, is_resumable: false });
                }
                if let Some(enabled) = &enabled {
                    self.acknowledges(id, enabled);
                }
                match enabled {
                    Some(enabled) => ServerAnswer::BoundEnabled(jid, enabled),
                    None => ServerAnswer::Bound(Ok(jid)),
                }
            }
            Err(error) => ServerAnswer::Bound(Err(error)),
        };
        self.answer(id, ticket, answer);
        self.say(now, id, actions);
    }

    /// Has a connection say what it has been told, before anything else is delivered. What its client has sent behind its request is
    /// said up later; and whoever has this called by taking that in may have more of it, so no more is read yet.
    fn say(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id) else { return };
        let was_unread = conn.link.keep_unread(false);
        self.advance(now, id, &mut &[][..], actions);
        if let Some(conn) = self.conn(id) {
            conn.link.keep_unread(was_unread);
            self.ready.push_back(id);
        }
    }

    /// The answer to [`Up::Enable`].
    pub fn enabled(&mut self, id: ConnectionId, ticket: Ticket, enabled: Enabled<'static>) {
        self.acknowledges(id, &enabled);
        self.answer(id, ticket, ServerAnswer::Enabled(Ok(enabled)));
    }

    fn acknowledges(&mut self, id: ConnectionId, enabled: &Enabled<'_>) {
        if let Some(conn) = self.conn(id) {
            conn.acks = Some(AckPace::new(AckPolicy::default()));
            if let Some(attached) = &mut conn.attached {
                attached.is_resumable = enabled.resumable.is_some();
            }
        }
    }

    /// The answer to [`Up::Resume`]: the connection has this session from now on, which has sent so many stanzas before. What is
    /// delivered next comes behind that. `false` if the connection is gone.
    #[expect(clippy::too_many_arguments, reason = "all that a session brings along")]
    pub fn resumed(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ticket: Ticket,
        session: SessionId,
        jid: FullJid,
        received: u64,
        counts: Counts,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some(conn) = self.conn(id).filter(|conn| !conn.link.has_ended()) else { return false };
        if conn.link.connection.answer(ticket, ServerAnswer::Resumed { jid, counts }).is_err() {
            return false;
        }
        conn.attached = Some(Attached { session, is_over: false, is_resumable: true });
        conn.unhandled = Unhandled::beginning_at(received);
        conn.acks = Some(AckPace::new(AckPolicy::default()));
        self.say(now, id, actions);
        true
    }

    /// The answer to [`Up::Resume`]: there is no such session. [`advance`](Connections::advance) next.
    pub fn not_resumed(&mut self, id: ConnectionId, ticket: Ticket) {
        let condition = ErrorCondition::ItemNotFound;
        self.answer(id, ticket, ServerAnswer::NotResumed { condition, h: None });
        self.ready.push_back(id);
    }

    /// The answer to [`Up::Resume`] of a client that may have the session, but says that it has got more than it was sent: its stream
    /// ends. [`advance`](Connections::advance) next.
    pub fn too_much(&mut self, id: ConnectionId, ticket: Ticket, jid: FullJid, counts: Counts) {
        self.answer(id, ticket, ServerAnswer::Resumed { jid, counts });
        self.ready.push_back(id);
    }

    /// The client of a session is back on another connection: this one has nothing more to do with it, and ends. What both ends have
    /// counted; `None` if the session can't go on elsewhere.
    pub fn leave(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) -> Option<Counts> {
        let conn = self.conn(id)?;
        let counts = conn.attached.filter(|attached| attached.is_resumable && !attached.is_over);
        let counts = counts.and_then(|_| conn.link.connection.counts().cloned())?;
        conn.attached = None;
        let error = StreamError::new(StreamCondition::Conflict, "the session goes on on another stream");
        self.abort(now, id, error, actions);
        Some(counts)
    }

    pub(super) fn session(&mut self, id: ConnectionId) -> Option<SessionId> {
        self.conn(id)?.attached.map(|attached| attached.session)
    }

    /// The stanza with this number, which was said up, is handled.
    pub fn handled(&mut self, id: ConnectionId, number: u64) {
        let (conns, limits) = (&mut self.conns, &self.config.limits);
        let Some(conn) = conns.get_mut(id) else { return };
        let before = conn.unhandled.through();
        if conn.unhandled.handled(number, limits) {
            self.ready.push_back(id);
        }
        let count = conn.unhandled.through() - before;
        if count > 0 {
            conn.link.connection.handled(u32::try_from(count).unwrap_or(u32::MAX));
            // The peer may have asked for that.
            if !conn.link.is_writing() && conn.link.connection.pending() > 0 {
                self.ready.push_back(id);
            }
        }
    }

    /// Takes nothing more from a connection, which has asked for so much that it does not read, until told otherwise.
    pub fn hold(&mut self, id: ConnectionId, is_held: bool) {
        let Some(conn) = self.conn(id) else { return };
        if mem::replace(&mut conn.owes, is_held) && !is_held {
            self.ready.push_back(id);
        }
    }

    /// Writes a stanza.
    pub fn deliver(&mut self, now: Instant, id: ConnectionId, stanza: &Stanza, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id).filter(|conn| !conn.missed) else { return };
        // The only misuse there is: the stream has been closed a moment ago, and the router is about to hear of it.
        if conn.link.connection.send(stanza).is_err() {
            conn.missed = true;
            return;
        }
        conn.delivered += 1;
        if let Some(acks) = &mut conn.acks {
            acks.sent(now);
        }
        if conn.link.begin_writing() {
            actions.push(Action::Write(id));
        }
    }

    /// The router has forgotten the session: its stream ends with this error.
    pub fn close(&mut self, now: Instant, id: ConnectionId, error: StreamError, actions: &mut Vec<Action>) {
        if let Some(conn) = self.conn(id) {
            if let Some(attached) = &mut conn.attached {
                attached.is_over = true;
            }
            self.abort(now, id, error, actions);
        }
    }

    /// Whether there is TLS on the connection, by this server.
    #[must_use]
    pub fn is_secured(&self, id: ConnectionId) -> bool {
        #[cfg(feature = "tls")]
        let is_secured = |conn: &Conn| conn.link.connection.tls().is_some();
        #[cfg(not(feature = "tls"))]
        let is_secured = |_: &Conn| false;
        self.conns.get(id).is_some_and(is_secured)
    }

    /// Where the connection comes from, if that is known.
    #[must_use]
    pub fn origin(&self, id: ConnectionId) -> Option<IpAddr> {
        self.conns.get(id)?.origin
    }
}
