//! Sessions that acknowledge what they get, and outlive their connection (XEP-0198).
//!
//! Such a session stays bound without a connection: it is as available as it was, and what is delivered to it waits in its queue. When
//! its client comes back on another connection it says how much it has got, hears how much of what it has sent was handled, and gets the
//! rest. When it does not come back in time the session ends as any other: what it has not got goes elsewhere.

use alloc::vec::Vec;
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_stanza::{Kind, Stanza, StreamCondition};
use balcony_xep::delay;

use crate::account::Account;
use crate::outbox::Management;
use crate::router::{Router, Session};
use crate::{Effect, SessionId};

impl Router {
    /// From now on the session [acknowledges](Router::acknowledged) what it gets, and waits so long for its client, if its connection is
    /// [lost](Router::detach): not at all if that is zero. What is among the effects that are still to be carried out counts already.
    /// Whether there is such a session. Carry out the effects when its client has been told.
    pub fn manage(&mut self, session: SessionId, wait: Duration, effects: &mut Vec<Effect>) -> bool {
        let Some(own) = self.sessions.get_mut(&session) else { return false };
        let is_for_it =
            |effect: &&Effect| matches!(effect, Effect::Deliver { session: to, .. } if *to == session);
        own.outbox.manage(wait, effects.iter().filter(is_for_it).count());
        if own.outbox.behind() > 0 {
            let name = own.jid.to_bare();
            self.refresh(&name);
            let start = effects.len();
            self.dispatch(start, effects);
        }
        true
    }

    /// The session has got so many more of the stanzas that it was sent since it [acknowledges](Router::manage).
    pub fn acknowledged(&mut self, now: Instant, session: SessionId, count: u32, effects: &mut Vec<Effect>) {
        self.asks.clock(now);
        let now = self.asks.now();
        let limits = &self.shared.config.limits;
        if let Some(own) = self.sessions.get_mut(&session) {
            let before = own.outbox.stalls_at(limits);
            let was_held = own.outbox.owes(limits);
            self.queued -= own.outbox.acknowledge(now, count, limits, &mut self.spent);
            // Its owner may hear that before it says that all of it is written.
            if was_held && !own.outbox.owes(limits) {
                effects.push(Effect::Hold { session, is_held: false });
            }
            self.forget_acknowledged(session, effects);
            self.fill_window(session, before, effects);
        }
    }

    /// The session has lost its connection. Whether it waits for its client to come back; otherwise [`unbind`](Router::unbind) it.
    /// Messages that it has not acknowledged, and those that come for it from now on, are written to the store as well.
    pub fn detach(&mut self, now: Instant, session: SessionId, effects: &mut Vec<Effect>) -> bool {
        self.asks.clock(now);
        let now = self.asks.now();
        let limits = &self.shared.config.limits;
        let Some(own) = self.sessions.get_mut(&session) else { return false };
        let stall = own.outbox.stalls_at(limits);
        let before = own.outbox.management().until();
        if !own.outbox.detach(now) {
            return false;
        }
        let after = own.outbox.management().until();
        before.map(|before| self.waiting_for_clients.remove(&(before, session)));
        self.waiting_for_clients.extend(after.map(|after| (after, session)));
        self.watch(session, stall, None);
        self.set_connected(session, false);
        let start = effects.len();
        self.keep_queue(session, effects);
        self.note_queue(session);
        self.look_at_replay_later(session);
        self.dispatch(start, effects);
        true
    }

    /// The client of a session that has [lost its connection](Router::detach) is back, has authenticated as `account`, and has got so many
    /// more of the stanzas that it was sent. [`Effect::Resumed`] follows when all that it had sent before is decided, and then what it
    /// has not got. `false` if there is no such session of the account that waits, or it was not sent so many.
    pub fn resume(
        &mut self,
        now: Instant,
        session: SessionId,
        account: &BareJid,
        count: u32,
        effects: &mut Vec<Effect>,
    ) -> bool {
        self.asks.clock(now);
        let own = self.sessions.get_mut(&session).filter(|own| own.jid.bare_str() == account.as_str());
        if !own.is_some_and(|own| own.outbox.resume(count)) {
            return false;
        }
        self.back.push(session);
        self.answer_resumptions(effects);
        true
    }

    /// Tells the sessions whose clients are back, and of which everything is decided that they had sent before. What comes of it has been
    /// in their queues already.
    pub(crate) fn answer_resumptions(&mut self, effects: &mut Vec<Effect>) {
        while let Some(session) = self.back.pop() {
            self.answer_resumption(session, effects);
        }
    }

    fn answer_resumption(&mut self, session: SessionId, effects: &mut Vec<Effect>) {
        let now = self.asks.now();
        let Some(own) = self.sessions.get_mut(&session).filter(|own| own.undecided == 0) else { return };
        // What waits can't be told since when it does, as long as the account is not known.
        if self.accounts.get(own.jid.bare_str()).is_none_or(|account| account.known().is_none()) {
            return;
        }
        let Management::Resuming { until, .. } = own.outbox.management() else { return };
        self.waiting_for_clients.remove(&(*until, session));
        effects.push(Effect::Resumed { session, jid: own.jid.clone(), received: own.received });
        self.set_connected(session, true);
        self.begin_again(session);
        let limits = &self.shared.config.limits;
        let Some(own) = self.sessions.get_mut(&session) else { return };
        self.queued -= own.outbox.attach(&mut self.spent);
        let account = self.accounts.get(own.jid.bare_str());
        let before = own.outbox.bytes();
        own.outbox.change(|stanza, at| stamped(account, stanza, at));
        self.queued = self.queued - before + own.outbox.bytes();
        if own.outbox.owes(limits) {
            effects.push(Effect::Hold { session, is_held: true });
        }
        while let Some(stanza) = own.outbox.pass(limits) {
            effects.push(Effect::Deliver { session, stanza });
        }
        own.outbox.watch(now, limits);
        let after = own.outbox.stalls_at(limits);
        let is_replayed = own.outbox.take_replayed();
        let name = own.jid.to_bare();
        self.watch(session, None, after);
        self.forget_acknowledged(session, effects);
        // It may take what was stored meanwhile. What others get because of that goes through their queues.
        let start = effects.len();
        if is_replayed {
            self.written(session, effects);
        }
        self.fetch(&name, effects);
        self.dispatch(start, effects);
    }

    /// If stored messages are on their way to this session, which has no connection, somebody else may have to get them when its client has
    /// had some time to come back.
    pub(crate) fn look_at_replay_later(&mut self, session: SessionId) {
        let Some(name) = self.sessions.get(&session).map(|own| own.jid.to_bare()) else { return };
        if self.accounts.get(&name).is_some_and(|account| account.backlog.delivered_to(session).is_some()) {
            self.try_later(&name);
        }
    }

    /// The account knows whether a client of it has a connection.
    fn set_connected(&mut self, session: SessionId, is_connected: bool) {
        let Some(name) = self.sessions.get(&session).map(|own| own.jid.to_bare()) else { return };
        let account = self.accounts.get_mut(&name);
        if let Some(resource) = account.and_then(|account| account.by_session(session)) {
            resource.is_connected = is_connected;
        }
    }

    /// Ends the sessions whose clients have not come back in time.
    pub(crate) fn end_abandoned(&mut self, effects: &mut Vec<Effect>) {
        let now = self.asks.now();
        while let Some((_, session)) =
            self.waiting_for_clients.first().filter(|(until, _)| *until <= now).copied()
        {
            effects.push(Effect::Close { session, error: StreamCondition::ConnectionTimeout });
            self.end_session(session, effects);
        }
    }
}

impl Router {
    /// The session of the account that has waited longest for its client, but for `others`.
    pub(crate) fn waits_longest(&self, account: &BareJid, others: &[SessionId]) -> Option<SessionId> {
        let since = |session: SessionId| {
            let management = self.sessions.get(&session)?.outbox.management();
            let (managed, until) = (management.managed()?, management.until()?);
            Some((until.saturating_since(Instant::ZERO).saturating_sub(managed.wait), session))
        };
        let waiting = self.sessions(account).filter(|session| !others.contains(session)).filter_map(since);
        waiting.min().map(|(_, session)| session)
    }

    /// Of the sessions without a connection for which something waits, the one whose time is over first.
    pub(crate) fn first_to_go(&self) -> Option<SessionId> {
        let holds =
            |session: &SessionId| self.sessions.get(session).is_some_and(|own| own.outbox.bytes() > 0);
        self.waiting_for_clients.iter().map(|(_, session)| *session).find(holds)
    }

    /// The session is over.
    pub(crate) fn waits_no_longer(&mut self, session: SessionId, own: &Session) {
        if let Some(until) = own.outbox.management().until() {
            self.waiting_for_clients.remove(&(until, session));
        }
    }
}

/// What has waited for a client, with the time at which it came (XEP-0203).
pub(crate) fn stamped(account: Option<&Account>, stanza: &Stanza, at: Instant) -> Option<Stanza> {
    let is_late = matches!(stanza.head.kind, Kind::Message(_) | Kind::Presence(_));
    let known = account.and_then(|account| account.known()).filter(|_| is_late)?;
    let payload = delay::stamp(&stanza.payload, known.roster.owner().domainpart(), known.clock(at));
    Some(Stanza::clone(stanza).with_payload(payload))
}
