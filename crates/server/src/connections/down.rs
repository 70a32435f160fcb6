//! What the router, and whoever asks for it, say to connections.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use balcony_jid::FullJid;
use balcony_machine::{Instant, Ticket};
use balcony_router::SessionId;
use balcony_stanza::{ErrorCondition, Stanza, StanzaError, StreamCondition, StreamError};
use balcony_stream::server::ServerAnswer;
use balcony_stream::{AckPace, AckPolicy, Counts};
use balcony_xep::sm::Enabled;

use super::{Connections, Up};
use crate::action::{Action, ConnectionId};
use crate::conn::{Attached, Conn, Unhandled};

/// What is said to connections, each word to one of them. What is said to one that is gone changes nothing.
#[derive(Debug)]
pub enum Down {
    /// The answer to [`Up::Ask`].
    Answer {
        /// Which connection.
        connection: ConnectionId,
        /// Names the question there.
        ticket: Ticket,
        /// The answer.
        answer: Box<ServerAnswer>,
        /// The number of the question among all that were asked: a login whose keys are older than a change of its account does not
        /// [count](Up::Bind).
        number: u64,
    },
    /// The answer to [`Up::Bind`].
    Bound {
        /// Which connection.
        connection: ConnectionId,
        /// Names the question there.
        ticket: Ticket,
        /// The session that the connection has from now on.
        session: SessionId,
        /// Its address, and whether it acknowledges; or why there is no such session.
        bound: Box<Result<(FullJid, Option<Enabled<'static>>), StanzaError>>,
    },
    /// The answer to [`Up::Enable`].
    Enabled {
        /// Which connection.
        connection: ConnectionId,
        /// Names the question there.
        ticket: Ticket,
        /// What its client is told.
        enabled: Box<Enabled<'static>>,
    },
    /// The answer to [`Up::Resume`]: the connection has this session from now on. What is delivered next comes behind that.
    Resumed {
        /// Which connection.
        connection: ConnectionId,
        /// Names the question there.
        ticket: Ticket,
        /// The session.
        session: SessionId,
        /// Its address.
        jid: Box<FullJid>,
        /// How many stanzas it has sent before.
        received: u64,
        /// What both ends have counted.
        counts: Box<Counts>,
    },
    /// The answer to [`Up::Resume`]: there is no such session.
    NotResumed {
        /// Which connection.
        connection: ConnectionId,
        /// Names the question there.
        ticket: Ticket,
        /// How many stanzas of the client it had got, modulo 2^32, if it has been and that is known.
        h: Option<u32>,
    },
    /// The answer to [`Up::Resume`] of a client that may have the session, but says that it has got more than it was sent: its stream
    /// ends; or less than it has acknowledged before: it may bind a resource. The session goes on waiting.
    TooMuch {
        /// Which connection.
        connection: ConnectionId,
        /// Names the question there.
        ticket: Ticket,
        /// The session's address.
        jid: Box<FullJid>,
        /// What both ends have counted.
        counts: Box<Counts>,
    },
    /// The client of a session is back on another connection, or takes nothing on this one: it has nothing more to do with the session, and
    /// ends with this error. It says [`Up::Lost`], or [`Up::Stays`] if the session can't go on elsewhere.
    Leave {
        /// Which connection.
        connection: ConnectionId,
        /// Which session.
        session: SessionId,
        /// Why.
        error: Box<StreamError>,
    },
    /// Another connection is about to bind the resource of a session: it takes what has come of its client, also what the owner of its socket
    /// [has not read](Action::ReadNow), as far as there is time for that, and ends with this error. [`Up::Ended`] follows, or has been said.
    Finish {
        /// Which connection.
        connection: ConnectionId,
        /// Which session.
        session: SessionId,
        /// Why.
        error: Box<StreamError>,
    },
    /// A stanza of [`Up::Stanza`] is handled.
    Handled {
        /// Which connection.
        connection: ConnectionId,
        /// Its number.
        number: u64,
    },
    /// Take nothing more from the client, which has asked for so much that it does not read, until told otherwise.
    Hold {
        /// Which connection.
        connection: ConnectionId,
        /// Whether that begins or ends.
        is_held: bool,
    },
    /// Write a stanza.
    Deliver {
        /// Which connection.
        connection: ConnectionId,
        /// What; shared by all who get it.
        stanza: Arc<Stanza>,
        /// The [part](ConnectionId::part) that has most likely made it: its thread is the one to free it.
        maker: u8,
    },
    /// The router has forgotten the session, or the connection does not get the one that it has asked for: its stream ends with this error.
    Close {
        /// Which connection.
        connection: ConnectionId,
        /// The session that it has had, if any. If it has another one by now, this is of no account.
        session: Option<SessionId>,
        /// Why.
        error: Box<StreamError>,
    },
}

impl Down {
    /// To which connection it is said.
    #[must_use]
    pub const fn connection(&self) -> ConnectionId {
        match self {
            Down::Answer { connection, .. }
            | Down::Bound { connection, .. }
            | Down::Enabled { connection, .. }
            | Down::Resumed { connection, .. }
            | Down::NotResumed { connection, .. }
            | Down::TooMuch { connection, .. }
            | Down::Leave { connection, .. }
            | Down::Finish { connection, .. }
            | Down::Handled { connection, .. }
            | Down::Hold { connection, .. }
            | Down::Deliver { connection, .. }
            | Down::Close { connection, .. } => *connection,
        }
    }
}

impl Connections {
    /// Does what it is told. [`next_up`](Connections::next_up) and [`next_ready`](Connections::next_ready) then.
    pub fn take(&mut self, now: Instant, down: Down, actions: &mut Vec<Action>) {
        match down {
            Down::Deliver { connection, stanza, maker } => {
                self.deliver(now, connection, &stanza, None, actions);
                if let Some(written) = &mut self.written {
                    let bytes = balcony_router::cost(&stanza);
                    written.add(maker, stanza, bytes);
                }
            }
            Down::Handled { connection, number } => self.handled(connection, number),
            Down::Hold { connection, is_held } => self.hold(connection, is_held),
            Down::Answer { connection, ticket, answer, number } => {
                if let ServerAnswer::Credentials(_) | ServerAnswer::Verified(_) | ServerAnswer::Tokens(_) =
                    *answer
                    && let Some(conn) = self.conn(connection)
                {
                    conn.proven = number;
                }
                self.answer(connection, ticket, *answer);
            }
            Down::Bound { connection, ticket, session, bound } => {
                self.bound(now, connection, ticket, session, *bound, actions);
            }
            Down::Enabled { connection, ticket, enabled } => {
                if !self.answer(connection, ticket, ServerAnswer::Enabled(Ok((*enabled).clone()))) {
                    return self.has_given_up(now, connection, actions);
                }
                self.acknowledges(connection, &enabled);
                // What is delivered next counts.
                self.say(now, connection, actions);
            }
            Down::Resumed { connection, ticket, session, jid, received, counts } => {
                let (jid, kept) = (*jid, (*counts).clone());
                if !self.resumed(now, connection, ticket, session, jid, received, kept, actions) {
                    // Its client has gone again.
                    self.up.push_back(Up::Lost { session, counts });
                    self.has_given_up(now, connection, actions);
                }
            }
            Down::NotResumed { connection, ticket, h } => {
                let condition = ErrorCondition::ItemNotFound;
                self.answer(connection, ticket, ServerAnswer::NotResumed { condition, h });
            }
            Down::TooMuch { connection, ticket, jid, counts } => {
                let (jid, counts) = (*jid, *counts);
                self.answer(connection, ticket, ServerAnswer::Resumed { jid, counts });
            }
            Down::Leave { connection, session, error } => {
                self.leave(now, connection, session, *error, actions)
            }
            Down::Finish { connection, session, error } => {
                let until = now + self.config.limits.closing;
                if self.session(connection) == Some(session) {
                    self.finish(now, connection, *error, until, true, actions);
                }
            }
            Down::Close { connection, session, error } => {
                self.close(now, connection, session, *error, actions)
            }
        }
    }

    /// Has a stream go on with an answer. `false` if it has given up waiting.
    fn answer(&mut self, id: ConnectionId, ticket: Ticket, answer: ServerAnswer) -> bool {
        let Some(conn) = self.conn(id) else { return false };
        let has_waited = conn.link.connection.answer(ticket, answer).is_ok();
        self.list(id);
        has_waited
    }

    /// A session was given to a stream that has told its client meanwhile that there is none, or that nothing is counted. The stream ends, whatever
    /// it has bound since: what is on its way to it is for another session, or counts where nothing does.
    fn has_given_up(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id).filter(|conn| !conn.link.has_ended()) else { return };
        let text = "what you have been told of your session has been overtaken: log in again";
        let why = conn.link.abort(now, StreamError::new(StreamCondition::InternalServerError, text));
        self.end_as(now, id, why, true, actions);
    }

    /// The client is told before this returns, so that it can get what is delivered next.
    fn bound(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ticket: Ticket,
        session: SessionId,
        bound: Result<(FullJid, Option<Enabled<'static>>), StanzaError>,
        actions: &mut Vec<Action>,
    ) {
        let (is_bound, enabled) = match &bound {
            Ok((_, enabled)) => (true, enabled.clone()),
            Err(_) => (false, None),
        };
        let answer = match bound {
            Ok((jid, Some(enabled))) => ServerAnswer::BoundEnabled(jid, enabled),
            bound => ServerAnswer::Bound(bound.map(|(jid, _)| jid)),
        };
        let is_there = self.conn(id).is_some_and(|conn| !conn.link.has_ended());
        if !(is_there && self.answer(id, ticket, answer)) {
            if is_bound {
                // Its client has gone again, or does not wait any more.
                self.up.extend([Up::Ended { session }, Up::Gone { session }]);
                self.has_given_up(now, id, actions);
            }
            return;
        }
        if let Some(conn) = self.conn(id).filter(|_| is_bound) {
            conn.attached = Some(Attached { session, is_over: false, is_resumable: false });
        }
        if let Some(enabled) = &enabled {
            self.acknowledges(id, enabled);
        }
        self.say(now, id, actions);
    }

    /// Has a connection say what it has been told, before anything else is delivered. What its client has sent behind its request is
    /// said up later; and whoever has this called by taking that in may have more of it, so no more is read yet.
    fn say(&mut self, now: Instant, id: ConnectionId, actions: &mut Vec<Action>) {
        let Some(conn) = self.conn(id) else { return };
        let was_unread = conn.link.keep_unread(false);
        // However much is to be said up already.
        let most = mem::replace(&mut self.most, self.up.len() + 1);
        let has_request = mem::take(&mut self.has_request);
        self.advance(now, id, &mut &[][..], actions);
        self.most = most;
        self.has_request |= has_request;
        if let Some(conn) = self.conn(id) {
            conn.link.keep_unread(was_unread);
            self.list(id);
        }
    }

    fn acknowledges(&mut self, id: ConnectionId, enabled: &Enabled<'_>) {
        if let Some(conn) = self.conn(id) {
            conn.acks = Some(Box::new(AckPace::new(AckPolicy::default())));
            if let Some(attached) = &mut conn.attached {
                attached.is_resumable = enabled.resumable.is_some();
            }
        }
    }

    /// `false` if the connection is gone.
    #[expect(clippy::too_many_arguments, reason = "all that a session brings along")]
    fn resumed(
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
        conn.acks = Some(Box::new(AckPace::new(AckPolicy::default())));
        self.say(now, id, actions);
        true
    }

    fn leave(
        &mut self,
        now: Instant,
        id: ConnectionId,
        session: SessionId,
        error: StreamError,
        actions: &mut Vec<Action>,
    ) {
        let Some(conn) = self.conn(id) else { return };
        let goes_on =
            |attached: &Attached| attached.session == session && attached.is_resumable && !attached.is_over;
        if conn.attached.filter(goes_on).and(conn.link.connection.counts()).is_none() {
            return self.up.push_back(Up::Stays { session, connection: id });
        }
        // The stream of a session that is not over has not ended.
        let why = conn.link.abort(now, error);
        self.end_as(now, id, why, true, actions);
    }

    pub(super) fn session(&mut self, id: ConnectionId) -> Option<SessionId> {
        self.conn(id)?.attached.map(|attached| attached.session)
    }

    fn handled(&mut self, id: ConnectionId, number: u64) {
        let (conns, limits) = (&mut self.conns, &self.config.limits);
        let Some(conn) = conns.get_mut(id) else { return };
        let before = conn.unhandled.through();
        let mut has_turn = conn.unhandled.handled(number, limits);
        let count = conn.unhandled.through() - before;
        if count > 0 {
            conn.link.connection.handled(u32::try_from(count).unwrap_or(u32::MAX));
            // The peer may have asked for that.
            has_turn |= !conn.link.is_writing() && conn.link.connection.pending() > 0;
        }
        if has_turn {
            self.list(id);
        }
    }

    fn hold(&mut self, id: ConnectionId, is_held: bool) {
        let Some(conn) = self.conn(id) else { return };
        if mem::replace(&mut conn.owes, is_held) && !is_held {
            self.list(id);
        }
    }

    /// [Delivers](Down::Deliver) a short stanza that another part has made and written already: nothing of the stanza itself is read, unless its
    /// recipient's connection is of an uncommon kind.
    pub(crate) fn deliver_written(
        &mut self,
        now: Instant,
        id: ConnectionId,
        stanza: Arc<Stanza>,
        maker: u8,
        bytes: &[u8],
        actions: &mut Vec<Action>,
    ) {
        self.deliver(now, id, &stanza, Some(bytes), actions);
        if let Some(written) = &mut self.written {
            written.add(maker, stanza, bytes.len());
        }
    }

    /// `written`: the stanza, if it is written already.
    fn deliver(
        &mut self,
        now: Instant,
        id: ConnectionId,
        stanza: &Stanza,
        written: Option<&[u8]>,
        actions: &mut Vec<Action>,
    ) {
        let Some(conn) = self.conn(id).filter(|conn| !conn.missed) else { return };
        let connection = &mut conn.link.connection;
        let sent = match written {
            Some(written) => connection.send_written(stanza, written),
            None => connection.send(stanza),
        };
        // The only misuse there is: the stream has been closed a moment ago, and the router is about to hear of it.
        if sent.is_err() {
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

    fn close(
        &mut self,
        now: Instant,
        id: ConnectionId,
        session: Option<SessionId>,
        error: StreamError,
        actions: &mut Vec<Action>,
    ) {
        let is_its = |conn: &&mut Conn| conn.attached.map(|attached| attached.session) == session;
        let Some(conn) = self.conn(id).filter(is_its) else { return };
        if let Some(attached) = &mut conn.attached {
            attached.is_over = true;
        }
        self.abort(now, id, error, actions);
    }
}
