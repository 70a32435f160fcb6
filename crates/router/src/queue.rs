//! What the router has decided to deliver goes through the queues of its sessions.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use balcony_jid::{BareJid, Jid};
use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, Kind, Stanza, StreamCondition};

use crate::account::Account;
use crate::extension::Delivery;
use crate::flow::expects_reply;
use crate::leaving::Leaving;
use crate::line::{Again, Origin, When};
use crate::outbox::{Entry, Group, OfGroups, Outbox, is_answer, is_copy};
use crate::resumption::stamped;
use crate::router::Router;
use crate::{Effect, SessionId};

/// The place of a message that is about to be delivered.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) when: When,
    /// It was delivered then, to a session that has not got it.
    is_returned: bool,
}

/// What becomes of a stanza that is to be delivered.
pub(crate) enum Offer {
    /// It goes to the connection.
    Goes,
    /// It waits for room.
    Waits,
    /// It waits, and more than may wait for this session or its account.
    TooMuch,
    /// It waits, and more than may wait for all sessions together.
    Full,
}

impl Router {
    /// The network has the first so many stanzas that were [delivered](Effect::Deliver) to the session; it may get more now.
    pub fn drained(&mut self, now: Instant, session: SessionId, through: u64, effects: &mut Vec<Effect>) {
        self.asks.clock(now);
        let now = self.asks.now();
        let limits = &self.shared.config.limits;
        if let Some(own) = self.sessions.get_mut(&session) {
            // Whatever leaves the router for a session is counted in its queue first, as long as it lives.
            debug_assert!(own.outbox.can_have(through), "the network has {through} stanzas, of fewer");
            let before = own.outbox.stalls_at(limits);
            let was_held = own.outbox.owes(limits);
            self.queued -= own.outbox.drain(now, through, limits, &mut self.spent);
            if was_held && !own.outbox.owes(limits) {
                effects.push(Effect::Hold { session, is_held: false });
            }
            if before.is_none() && own.outbox.is_simple() {
                return;
            }
            self.forget_acknowledged(session, effects);
            return self.fill_window(session, before, effects);
        }
        let start = effects.len();
        if let Some(left) = self.leaving.get_mut(session) {
            self.queued -= left.outbox.drain(now, through, limits, &mut self.spent);
            let (is_replayed, is_over) = (left.outbox.take_replayed(), left.outbox.is_empty());
            if is_replayed {
                self.written(session, effects);
            }
            if is_over {
                self.finish_leaving(&[session], effects);
            }
            self.go_on(effects);
        }
        self.dispatch(start, effects);
    }

    /// There may be room in the window of a session, which was to be closed at `before` for taking nothing.
    pub(crate) fn fill_window(
        &mut self,
        session: SessionId,
        before: Option<Instant>,
        effects: &mut Vec<Effect>,
    ) {
        let limits = &self.shared.config.limits;
        let Some(own) = self.sessions.get_mut(&session) else { return };
        while let Some(stanza) = own.outbox.pass(limits) {
            effects.push(Effect::Deliver { session, stanza });
        }
        let after = own.outbox.stalls_at(limits);
        let is_replayed = own.outbox.take_replayed();
        self.watch(session, before, after);
        let start = effects.len();
        if is_replayed {
            self.written(session, effects);
            self.go_on(effects);
        }
        self.dispatch(start, effects);
    }

    /// Nothing more can be written to the session: its connection is gone. What it has not got goes elsewhere: messages to another of
    /// the account's sessions, or into the store, or back to their senders, as if they came now (RFC 6121 section 8.5); requests are
    /// answered with an error. Messages wait for the other sessions of the account that are over, so that they go there in the order in
    /// which they came. Call it once for each session, after [`unbind`](Router::unbind).
    pub fn gone(&mut self, now: Instant, session: SessionId, effects: &mut Vec<Effect>) {
        self.asks.clock(now);
        let start = effects.len();
        self.give_up(&[session], effects);
        self.go_on(effects);
        self.dispatch(start, effects);
    }

    /// What is on its way to all sessions, in bytes.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queued
    }

    /// The message that the effects from there on give to sessions has its place among all that are delivered, as it is written with that;
    /// or it has had it for long.
    pub(crate) fn put_in_order(&mut self, start: usize, origin: &Origin, effects: &[Effect]) {
        let again = origin.again().map(|again| again.when);
        // This is on the way of every message.
        if again.is_none() && self.waiting_for_clients.is_empty() {
            return;
        }
        let Some(Effect::Deliver { stanza, .. }) = effects.get(start) else { return };
        let when = again.unwrap_or_else(|| {
            self.delivered += 1;
            When { order: self.delivered, at: self.asks.now(), is_stamped: false }
        });
        self.placed.insert(stanza, Placed { when, is_returned: again.is_some() });
        // A copy has the place of its message.
        for effect in effects.iter().skip(start + 1) {
            if let Effect::Deliver { stanza, .. } = effect
                && self.copies.get(stanza).is_some()
            {
                self.placed.insert(stanza, Placed { when, is_returned: false });
            }
        }
    }

    /// Of the stanzas that the effects from there on give to sessions the first is a message, the others are its copies: whoever has got
    /// one of those has got the message.
    pub(crate) fn note_copies(&mut self, start: usize, effects: &[Effect]) {
        let Some([Effect::Deliver { stanza: first, .. }, others @ ..]) = effects.get(start..) else { return };
        // This is on the way of every message.
        if matches!(others.last(), Some(Effect::Deliver { stanza, .. }) if !Arc::ptr_eq(stanza, first))
            && self.shared.tables().knows_originals()
        {
            for effect in others {
                if let Effect::Deliver { stanza, .. } = effect
                    && is_copy(stanza)
                {
                    self.copies.insert(stanza, ());
                }
            }
        }
    }

    /// Puts what is to be delivered into the queues of its sessions. What has no room in a window yet is taken out of the effects.
    pub(crate) fn dispatch(&mut self, start: usize, effects: &mut Vec<Effect>) {
        let (mut kept, mut next) = (start, start);
        // What has been held for a session, and goes before the next stanza to it.
        let mut front = Vec::new();
        // The latest message that goes to more than one session, itself or as a copy.
        let mut group: Option<(Arc<Stanza>, Arc<Group>)> = None;
        // Where the latest stanza lies: nothing else comes to lie there as long as it is among the effects.
        let mut latest = None;
        while next < effects.len() {
            let mut goes = true;
            if let Effect::Deliver { session, stanza } = &effects[next] {
                let (session, stanza) = (*session, Arc::clone(stanza));
                let is_same = |other: &Arc<Stanza>| Arc::ptr_eq(other, &stanza);
                let is_of_group = self.copies.get(&stanza).is_some();
                let is_of_group = |of: &Arc<Stanza>| is_of_group || is_same(of);
                if matches!(stanza.head.kind, Kind::Message(_))
                    && !group.as_ref().is_some_and(|(of, _)| is_of_group(of))
                {
                    let has_more = matches!(effects.get(next + 1), Some(Effect::Deliver { stanza, .. })
                        if is_same(stanza) || self.copies.get(stanza).is_some());
                    self.groups += u64::from(has_more);
                    group = has_more.then(|| (Arc::clone(&stanza), Arc::new(Group::new(self.groups, false))));
                }
                let place = Some(Arc::as_ptr(&stanza));
                if latest != place {
                    (self.delivered, latest) = (self.delivered + 1, place);
                }
                let others =
                    group.as_ref().filter(|(of, _)| is_of_group(of)).map(|(_, others)| Arc::clone(others));
                let offer = self.offer(session, stanza, others, &mut front, effects);
                if !front.is_empty() {
                    let count = front.len();
                    let first = front.drain(..).map(|stanza| Effect::Deliver { session, stanza });
                    effects.splice(kept..kept, first);
                    (kept, next) = (kept + count, next + count);
                }
                match offer {
                    Offer::Goes => {}
                    Offer::Waits => goes = false,
                    Offer::TooMuch => {
                        goes = false;
                        self.close_full(session, effects);
                    }
                    Offer::Full => {
                        goes = false;
                        self.make_room(session, effects);
                    }
                }
            }
            if goes {
                effects.swap(kept, next);
                kept += 1;
            }
            next += 1;
        }
        effects.truncate(kept);
        // Whether a session is the last one that has a message is told by how many hold its group.
        drop(group);
        while let Some(session) = self.merging.pop() {
            if let Some(own) = self.sessions.get_mut(&session) {
                own.outbox.merge();
            }
        }
        self.keeps.clear();
        self.placed.clear();
        self.copies.clear();
        // Who is not listened to can't acknowledge anything: what has waited for that goes now.
        while let Some(session) = self.owing.pop() {
            let Some(own) = self.sessions.get_mut(&session) else { continue };
            while let Some(stanza) = own.outbox.pass(&self.shared.config.limits) {
                effects.push(Effect::Deliver { session, stanza });
            }
        }
        self.answer_resumptions(effects);
        self.catch_up_all(effects);
        self.flush_all(effects);
        self.carry_out_orders(effects);
        self.write_moved(effects);
        // What comes of that comes here once more, for as many accounts as there are.
        if !mem::replace(&mut self.is_disposing, true) {
            self.dispose(effects);
            self.is_disposing = false;
        }
        self.go_on_placed(effects);
        let holds = self.asks.holds.drain(..);
        effects.extend(holds.map(|(domain, is_held)| Effect::HoldDomain { domain, is_held }));
    }

    /// What was given to sessions for which stored messages are still to come is in their queues now: what their accounts have shown meanwhile
    /// goes on.
    fn go_on_placed(&mut self, effects: &mut Vec<Effect>) {
        if mem::replace(&mut self.is_going_on, true) {
            return;
        }
        while let Some(name) = self.placing.pop() {
            let Some(account) = self.accounts.get_mut(&name) else { continue };
            account.backlog.is_placing = false;
            if account.line(name.as_str()).is_none() {
                continue;
            }
            let start = effects.len();
            self.drain(&name, &name, effects);
            self.settle(&name, effects);
            self.go_on(effects);
            self.dispatch(start, effects);
        }
        self.is_going_on = false;
    }

    /// Ends the sessions that others would take messages of, and gives what has been left without a connection to others.
    fn dispose(&mut self, effects: &mut Vec<Effect>) {
        loop {
            let start = effects.len();
            if let Some(session) = self.superseded.pop() {
                let own = self.sessions.get(&session);
                if own.is_some_and(|own| own.outbox.management().waits_for_client()) {
                    effects.push(Effect::Close { session, error: StreamCondition::ResourceConstraint });
                    self.end_session(session, effects);
                }
            } else if let Some(session) = self.abandoned.pop_first() {
                let account = self.leaving.get(session).map(|left| left.account.clone());
                let mut sessions = account.map(|account| self.leaving.of(&account)).unwrap_or_default();
                sessions.retain(|other| self.abandoned.remove(other));
                sessions.push(session);
                self.give_up(&sessions, effects);
            } else {
                return;
            }
            self.go_on(effects);
            self.dispatch(start, effects);
        }
    }

    fn offer(
        &mut self,
        id: SessionId,
        stanza: Arc<Stanza>,
        others: Option<Arc<Group>>,
        front: &mut Vec<Arc<Stanza>>,
        effects: &mut Vec<Effect>,
    ) -> Offer {
        let now = self.asks.now();
        let kept = self.kept_as(&stanza);
        let placed = self.placed.get(&stanza);
        let is_returned = placed.is_some_and(|placed| placed.is_returned);
        let new = When { order: self.delivered, at: now, is_stamped: false };
        let when = placed.map_or(new, |placed| placed.when);
        let replayed = self.replays.pop_front_if(|(replayed, ..)| Arc::ptr_eq(replayed, &stanza));
        let Some(session) = self.sessions.get_mut(&id) else {
            let is_last = replayed.as_ref().is_some_and(|(.., is_last)| *is_last);
            let entry = Entry::new(stanza, now, false, replayed.map(|(_, number, _)| number), others, kept);
            let entry = entry.at(when);
            return self.offer_late(id, entry, is_last);
        };
        let session = if session.is_told && replayed.is_none() {
            self.note_waiting(id, &stanza);
            let Some(session) = self.sessions.get_mut(&id) else { return Offer::Goes };
            session
        } else {
            session
        };
        // Nobody but the server speaks for a whole account or a domain of ours.
        let is_own = |from: &Jid| {
            from.bare_str() == session.jid.bare_str()
                || from.is_bare() && self.shared.is_local(from.domainpart())
        };
        let is_answer = is_answer(&stanza) && stanza.head.from.as_ref().is_none_or(is_own);
        let holds = session.holds || session.outbox.holds();
        let (number, is_last) =
            replayed.map_or((None, false), |(_, number, is_last)| (Some(number), is_last));
        let mut entry = Entry::new(stanza, now, is_answer, number, others, kept).at(when);
        entry.maker = self.spent.maker;
        let is_early = is_returned && entry.is_message() && session.is_early(now, &self.shared.config.limits);
        if is_early && session.outbox.behind() == 0 {
            // At the latest then.
            let name = session.jid.to_bare();
            self.retries.push_back((now + self.shared.config.limits.answer, name));
        }
        if is_early || holds && number.is_none() && self.waits_behind(id, &entry) {
            return self.hold_behind(id, entry, is_returned);
        }
        let offer = self.admit(id, entry, is_returned, front, effects);
        if is_last && let Some(session) = self.sessions.get_mut(&id) {
            session.outbox.end_replay();
        }
        offer
    }

    /// Puts into the queue of a session what has its turn there, unless it is to be held. `front`: what has been held, and goes before it.
    pub(crate) fn admit(
        &mut self,
        id: SessionId,
        entry: Entry,
        is_returned: bool,
        front: &mut Vec<Arc<Stanza>>,
        effects: &mut Vec<Effect>,
    ) -> Offer {
        let now = self.asks.now();
        let Some(session) = self.sessions.get_mut(&id) else { return Offer::Goes };
        let session = if session.holds || session.outbox.held() > 0 {
            let held = match self.delivery(id, &entry.stanza, entry.is_replayed()) {
                (_, Delivery::Pass) => None,
                (_, Delivery::Hold) => Some(None),
                (index, Delivery::Latest(name)) => Some(Some((index, name.into()))),
                (_, Delivery::Flush) => {
                    self.flush(id, front);
                    None
                }
            };
            if let Some(key) = held {
                return self.hold_back(id, key, entry, front);
            }
            let Some(session) = self.sessions.get_mut(&id) else { return Offer::Goes };
            session
        } else {
            session
        };
        let limits = &self.shared.config.limits;
        let before = session.outbox.stalls_at(limits);
        let owed = session.outbox.owes(limits);
        self.queued += entry.bytes();
        let moved = if is_returned { entry.bytes() } else { 0 };
        let goes = if is_returned && session.outbox.is_detached() {
            if session.outbox.push_returned(entry) {
                self.merging.push(id);
            }
            false
        } else {
            session.outbox.push(now, entry, limits, &mut self.spent)
        };
        if is_returned && !goes {
            session.outbox.moved(moved);
        }
        if !owed && session.outbox.owes(limits) {
            effects.push(Effect::Hold { session: id, is_held: true });
            self.owing.push(id);
        }
        let after = session.outbox.stalls_at(limits);
        self.watch(id, before, after);
        if goes { Offer::Goes } else { self.has_to_wait(id) }
    }

    /// Something waits for this session: whether that is more than may.
    pub(crate) fn has_to_wait(&self, id: SessionId) -> Offer {
        let limits = &self.shared.config.limits;
        let Some(session) = self.sessions.get(&id) else { return Offer::Waits };
        if session.outbox.counted() > limits.queue_bytes
            || self.queued_of(&session.jid.to_bare()) > limits.account_queue_bytes
        {
            Offer::TooMuch
        } else if self.queued > limits.total_queue_bytes + self.going {
            Offer::Full
        } else {
            Offer::Waits
        }
    }

    /// Takes in what was for a session that is over. What came to it in the call that ended it does not overtake the rest of its
    /// queue, and goes elsewhere behind that. What is said to it because of its end is the last that it hears.
    pub(crate) fn offer_late(&mut self, id: SessionId, entry: Entry, is_last: bool) -> Offer {
        let Some(left) = self.leaving.get_mut(id).filter(|_| entry.is_returned()) else {
            return Offer::Goes;
        };
        self.queued += entry.bytes();
        if left.outbox.is_detached() {
            self.going += entry.bytes();
        }
        let (holds, returns) = (entry.matters() && !left.holds, entry.is_returned_message() && !left.returns);
        if (holds || returns)
            && let Some(account) = self.accounts.get_mut(&left.account)
            && account.incarnation == left.incarnation
        {
            account.add_leaving(usize::from(holds));
            account.ending += usize::from(returns);
            (left.holds, left.returns) = (left.holds || holds, left.returns || returns);
        }
        left.outbox.append(entry);
        if is_last {
            left.outbox.end_replay();
        }
        Offer::Waits
    }

    /// What is on its way to the sessions of an account.
    fn queued_of(&self, name: &BareJid) -> usize {
        let resources = self.accounts.get(name).map(|account| account.resources()).unwrap_or_default();
        resources
            .iter()
            .filter_map(|resource| self.sessions.get(&resource.session))
            .map(|own| own.outbox.bytes())
            .sum()
    }

    /// Keeps in mind when a session has taken too little.
    pub(crate) fn watch(&mut self, session: SessionId, before: Option<Instant>, after: Option<Instant>) {
        if before != after {
            if let Some(before) = before {
                self.stalls.remove(&(before, session));
            }
            if let Some(after) = after {
                self.stalls.insert((after, session));
            }
        }
    }

    /// Closes the sessions that have taken too little. Those that can wait for their clients lose their connections only.
    pub(crate) fn close_stalled(&mut self, effects: &mut Vec<Effect>) {
        let now = self.asks.now();
        while let Some((at, session)) = self.stalls.first().filter(|(at, _)| *at <= now).copied() {
            let own = self.sessions.get_mut(&session);
            match own.filter(|own| own.outbox.management().outlives_its_connection()) {
                Some(own) => {
                    own.outbox.unwatch();
                    self.stalls.remove(&(at, session));
                    effects.push(Effect::Disconnect { session, error: StreamCondition::ConnectionTimeout });
                }
                None => self.close_full(session, effects),
            }
        }
    }

    /// More waits for all sessions together than may. Those go first that have no connection, as their clients take nothing now, and of
    /// them the one whose time is over first; if there is none, the one for which something has just come.
    pub(crate) fn make_room(&mut self, session: SessionId, effects: &mut Vec<Effect>) {
        while self.queued > self.shared.config.limits.total_queue_bytes + self.going {
            let Some(first) = self.first_to_go() else { return self.close_full(session, effects) };
            self.close_full(first, effects);
        }
    }

    /// More waits for a session than may.
    pub(crate) fn close_full(&mut self, session: SessionId, effects: &mut Vec<Effect>) {
        effects.push(Effect::Close { session, error: StreamCondition::ResourceConstraint });
        self.end_session(session, effects);
    }

    /// A session of the account that was made then, as far as that is known, is over. What is on its way to it may still get through.
    pub(crate) fn leave_queue(
        &mut self,
        id: SessionId,
        name: &BareJid,
        creation: Option<u64>,
        mut outbox: Outbox,
    ) {
        outbox.merge();
        let dropped = outbox.end_hold();
        self.queued -= dropped.iter().map(Entry::bytes).sum::<usize>();
        self.give_up_documents(name, dropped.iter().filter_map(Entry::kept_for_others));
        let stall = outbox.stalls_at(&self.shared.config.limits);
        self.watch(id, stall, None);
        if outbox.is_empty() {
            return;
        }
        let (mut holds, returns) = (outbox.matters(), outbox.returns_messages());
        let mut incarnation = 0;
        let saved = outbox.management().managed().and_then(|managed| managed.creation);
        if let Some(account) = self.accounts.get_mut(name) {
            incarnation = account.incarnation;
            // What comes next is stored, unless somebody else takes it: what is in there goes before it.
            holds |= returns && account.most_available().is_empty();
            account.add_leaving(usize::from(holds));
            account.ending += usize::from(returns);
        }
        if outbox.is_detached() {
            self.abandoned.insert(id);
            self.going += outbox.bytes();
        }
        let account = name.clone();
        let creation = creation.or(saved);
        let left = Leaving { account, incarnation, creation, outbox, holds, returns, ended: None };
        self.leaving.insert(id, left);
    }

    /// Which of the senders of what is on its way to the sessions of the account, of those that are over as well, know of it. Its user, who goes with it,
    /// is none of them.
    pub(crate) fn acquainted(&self, name: &BareJid, account: &Account) -> BTreeSet<Jid> {
        let own = account.resources().iter().filter_map(|resource| self.sessions.get(&resource.session));
        let leaving = self.leaving.of(name);
        let left = leaving.iter().filter_map(|session| self.leaving.get(*session));
        let outboxes = own.map(|own| &own.outbox).chain(left.map(|left| &left.outbox));
        let mut senders = BTreeSet::new();
        for stanza in outboxes.flat_map(Outbox::returned_messages).filter(|stanza| expects_reply(stanza)) {
            let original = is_copy(stanza).then(|| self.shared.tables().original(stanza)).flatten();
            let from = original.as_ref().unwrap_or(stanza).head.from.as_ref();
            senders
                .extend(from.filter(|from| from.bare_str() != name.as_str() && account.tells(from)).cloned());
        }
        senders
    }

    /// The account is no more, and its sessions are over: nobody gets what they have not got. Of messages those senders hear that who are
    /// [acquainted](Router::acquainted) with it.
    pub(crate) fn end_queues(&mut self, name: &BareJid, acquainted: BTreeSet<Jid>) {
        let acquainted = Arc::new(acquainted);
        for session in self.leaving.of(name) {
            if let Some(left) = self.leaving.get_mut(session) {
                left.ended.get_or_insert_with(|| Arc::clone(&acquainted));
            }
        }
    }

    /// A message has not got to an account which is no more: its sender hears that who was acquainted with it, and a stranger what strangers hear.
    fn message_ended(&mut self, stanza: &Stanza, acquainted: &BTreeSet<Jid>, effects: &mut Vec<Effect>) {
        let is_known = stanza.head.from.as_ref().is_some_and(|from| acquainted.contains(from));
        if is_known && expects_reply(stanza) {
            self.refuse(stanza, ErrorCondition::ServiceUnavailable, effects);
        } else {
            self.nobody(stanza, effects);
        }
    }

    /// These sessions of one account get nothing more. Messages that they have not got go elsewhere as soon as that is so of all sessions of
    /// the account that are over and have some: what went to different sessions is in order then.
    fn give_up(&mut self, sessions: &[SessionId], effects: &mut Vec<Effect>) {
        let Some(left) = sessions.first().and_then(|session| self.leaving.get(*session)) else { return };
        let name = left.account.clone();
        let mut others = sessions.to_vec();
        if let Some(account) = self.accounts.get_mut(&name) {
            let leaving = &self.leaving;
            let waits = |session: &mut SessionId| {
                let is_its = |left: &Leaving| left.returns && left.incarnation == account.incarnation;
                leaving.get(*session).is_some_and(is_its)
            };
            let waiting: Vec<_> = others.extract_if(.., waits).collect();
            account.gone.extend(waiting);
            if account.gone.len() == account.ending {
                others.extend(mem::take(&mut account.gone));
            }
        }
        self.finish_leaving(&others, effects);
    }

    /// What these sessions of one account have not got goes elsewhere, in the order in which it came.
    fn finish_leaving(&mut self, sessions: &[SessionId], effects: &mut Vec<Effect>) {
        let left: Vec<_> =
            sessions.iter().filter_map(|session| Some((*session, self.leaving.remove(*session)?))).collect();
        let Some(name) = left.first().map(|(_, left)| left.account.clone()) else { return };
        let (mut holders, mut returning) = (Vec::new(), Vec::new());
        let mut kept = BTreeMap::new();
        let mut entries = Vec::new();
        // Those of a message that several of them were to get may be known to one of them only.
        let mut documents = BTreeMap::new();
        for (session, Leaving { incarnation, creation, outbox, holds, returns, ended, .. }) in left {
            self.queued -= outbox.bytes();
            let is_detached = outbox.is_detached();
            if is_detached {
                self.going = self.going.saturating_sub(outbox.bytes());
            }
            if outbox.is_replaying() {
                self.unwritten(&name, session, outbox.replayed(), effects);
                // What is stored is older than what has come since.
                self.fetch(&name, effects);
            }
            // If the account could not be loaded and its messages have it loaded anew, it is still the one that has these documents.
            if ended.is_none() {
                kept.extend(outbox.kept_for_others());
                documents.extend(outbox.kept_in_groups());
            }
            holders.extend(holds.then_some(incarnation));
            returning.extend(returns.then_some(incarnation));
            let all = outbox.into_entries().into_iter();
            entries.extend(all.map(|entry| (entry, creation, is_detached, ended.clone())));
        }
        entries.sort_by_key(|(entry, ..)| entry.order);
        let mut is_left_to_others = false;
        for (entry, creation, is_detached, ended) in entries {
            let (is_message, when) = (entry.is_message(), entry.when());
            let (has_waited, was_stamped) = (is_detached || entry.has_waited, entry.is_stamped);
            let document = entry.document(&documents).filter(|_| ended.is_none());
            is_left_to_others |= entry.is_left_to_others();
            let may_be_copy = entry.is_of_several();
            let Some(mut stanza) = entry.undelivered() else { continue };
            if may_be_copy && is_copy(&stanza) {
                let Some(original) = self.shared.tables().original(&stanza) else { continue };
                stanza = original;
            }
            let stamped = || stamped(self.accounts.get(&name), &stanza, when.at);
            let stamped = (is_message && has_waited && !was_stamped).then(stamped).flatten();
            let when = When { is_stamped: was_stamped || stamped.is_some(), ..when };
            stanza = stamped.unwrap_or(stanza);
            match (stanza.head.kind, ended) {
                (Kind::Iq(_), _) => self.refuse_iq(&stanza, effects),
                (_, Some(acquainted)) if is_message => self.message_ended(&stanza, &acquainted, effects),
                _ if is_message => self.returned(&name, stanza, Again { when, creation, document }, effects),
                _ => {}
            }
        }
        if let Some(account) = self.accounts.get_mut(&name) {
            account.remove_leaving(holders.iter().filter(|of| **of == account.incarnation).count());
            account.ending -= returning.iter().filter(|of| **of == account.incarnation).count();
        }
        self.give_up_documents(&name, kept);
        if is_left_to_others {
            self.keep_queues(&name, effects);
        }
        // What is stored is older than what waits.
        self.fetch(&name, effects);
        self.drain_all(&name, effects);
        self.settle(&name, effects);
        // They may have been the last for which others have waited.
        let waiting = self.accounts.get_mut(&name).filter(|account| account.gone.len() == account.ending);
        let waiting: Vec<_> =
            waiting.map(|account| mem::take(&mut account.gone)).into_iter().flatten().collect();
        self.finish_leaving(&waiting, effects);
    }

    /// The same as [`Outbox::take_over`], of sessions of the account that have ended as well, and whose queues are still to go elsewhere.
    pub(crate) fn leave_to_others(&mut self, name: &BareJid, groups: &mut OfGroups) {
        let account = self.accounts.get(name);
        for other in self.leaving.of(name) {
            if (self.abandoned.contains(&other)
                || account.is_some_and(|account| account.gone.contains(&other)))
                && let Some(left) = self.leaving.get_mut(other)
            {
                left.outbox.take_over(groups);
            }
        }
    }

    /// A message that a session has not got goes its way once more.
    pub(crate) fn returned(
        &mut self,
        name: &BareJid,
        stanza: Stanza,
        again: Again,
        effects: &mut Vec<Effect>,
    ) {
        // Copies are for the session that is no more.
        if is_copy(&stanza) || stanza.head.to.as_ref().is_none_or(|to| to.bare_str() != name.as_str()) {
            return;
        }
        self.come_again(name, stanza, &mut Origin::Undelivered(again), effects);
    }

    /// The same, whether or not it has waited meanwhile: it does so for stored messages that are wanted, which are older.
    pub(crate) fn come_again(
        &mut self,
        name: &BareJid,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        match self.accounts.get(name).filter(|account| account.phase.is_open()) {
            Some(account) if !account.wanted.is_any() => self.take_returned(stanza, origin, effects),
            account => {
                let has_line = account.is_some();
                self.wait_returned(stanza, has_line, origin, effects);
            }
        }
    }
}
