//! What extensions want to have done that is no answer to a request, and what comes of it: requests of the server and their answers,
//! messages that wait, of which extensions are told, and the times at which they are to be called.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use balcony_jid::{BareJid, Jid};
use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza, StanzaError};

use crate::asks::Purpose;
use crate::extension::{Call, Order, Respond, Response, Waiting, What};
use crate::facts::Said;
use crate::line::Origin;
use crate::router::{Marks, Router, deliver};
use crate::{Ask, Change, Effect, SessionId};

/// How long the answer to a request of the server may take: longer than another server may take to be found.
const ANSWER: Duration = Duration::from_secs(90);
/// A time that is later than now, and short.
const SOON: Duration = Duration::from_millis(1);
/// A message of which a client that is connected says nothing for so long is one that waits.
const SILENCE: Duration = Duration::from_secs(15);

/// What extensions have wanted, and wait for.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// Messages that wait, of which extensions are to be told. Empty between calls.
    pub(crate) news: Vec<News>,
    /// What is to be done. Empty between calls.
    pub(crate) orders: Vec<Order>,
    /// Requests of the server to clients of ours, on their way to the accounts of these. Empty between calls.
    crossing: VecDeque<Crossing>,
    /// Requests of the server that are not answered. All wait equally long, so the first is the next to expire.
    open: BTreeMap<u64, Open>,
    /// How many there have been.
    asked: u64,
    /// When an extension is to be called, of which account.
    wakes: BTreeMap<(BareJid, u8), Wake>,
    due: BTreeSet<(Instant, BareJid, u8)>,
    /// When to see whether sessions have acknowledged what they have got.
    silent: BTreeSet<(Instant, SessionId)>,
}

/// A message that waits for a session, or is stored.
#[derive(Debug)]
pub(crate) struct News {
    account: BareJid,
    /// Which of the accounts that have had this name.
    incarnation: u64,
    session: Option<SessionId>,
    message: Arc<Stanza>,
    is_again: bool,
}

#[derive(Clone, Copy, Debug)]
struct Wake {
    at: Instant,
    incarnation: u64,
}

/// A request of the server that leaves the account on whose behalf it is made for another one.
#[derive(Debug)]
struct Crossing {
    number: u64,
    /// On whose behalf, which is all that the other account has to know.
    owner: BareJid,
    request: Stanza,
}

/// A request that waits for its answer.
struct Open {
    id: Arc<str>,
    to: Jid,
    account: BareJid,
    /// Which of the accounts that have had this name.
    incarnation: u64,
    expires: Instant,
    then: Respond,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("to", &self.to).field("account", &self.account).finish_non_exhaustive()
    }
}

impl Orders {
    /// When something is due next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let expires = self.open.first_key_value().map(|(_, open)| open.expires);
        let due = self.due.first().map(|(at, ..)| *at);
        let silent = self.silent.first().map(|(at, _)| *at);
        expires.into_iter().chain(due).chain(silent).min()
    }

    /// The request that this is the answer to: of this entity, with this id.
    fn find(&self, from: &Jid, id: &str) -> Option<u64> {
        let number = u64::from_str_radix(id.split_once('-')?.0, 16).ok()?;
        let open = self.open.get(&number)?;
        (*open.id == *id && open.to == *from).then_some(number)
    }
}

impl Router {
    /// Something is put into the queue of a session of which extensions are told. If it is a message, and the session has no connection,
    /// they hear of it.
    pub(crate) fn note_waiting(&mut self, session: SessionId, stanza: &Arc<Stanza>) {
        if !matches!(stanza.head.kind, Kind::Message(_)) {
            return;
        }
        let Some(own) = self.sessions.get(&session).filter(|own| own.outbox.management().managed().is_some())
        else {
            return;
        };
        if own.outbox.is_detached() {
            let name = own.jid.to_bare();
            self.note(&name, Some(session), Arc::clone(stanza), false);
        } else if !own.marks.has(Marks::WATCHED) {
            self.watch_silence(session, self.asks.now());
        }
    }

    /// A session that has got something at that time is looked at later.
    fn watch_silence(&mut self, session: SessionId, since: Instant) {
        let Some(own) = self.sessions.get_mut(&session) else { return };
        own.marks.set(Marks::WATCHED, true);
        self.orders.silent.insert((since + SILENCE, session));
    }

    /// A session has no connection: what is in its queue waits, and what is held.
    pub(crate) fn note_queue(&mut self, session: SessionId) {
        let Some(own) = self.sessions.get(&session).filter(|own| own.is_told && own.outbox.is_detached())
        else {
            return;
        };
        let name = own.jid.to_bare();
        let messages = own.outbox.messages().map(|(_, message)| message).chain(own.outbox.held_messages());
        let messages: Vec<_> = messages.cloned().collect();
        messages.into_iter().for_each(|message| self.note(&name, Some(session), message, true));
    }

    /// Sessions of a server before this one wait for their clients, and their account is known now. Nobody remembers what was told of them.
    pub(crate) fn note_restored(&mut self, name: &BareJid) {
        if self.accounts.get(name).is_none_or(|account| !self.shared.is_told_of(account)) {
            return;
        }
        let sessions: Vec<SessionId> = self.sessions(name).collect();
        sessions.into_iter().for_each(|session| self.note_queue(session));
    }

    /// What a session with a connection has got by then, and has not acknowledged, waits; when the first of what it has got later came.
    fn note_unacknowledged(&mut self, session: SessionId, by: Instant) -> Option<Instant> {
        let own = self.sessions.get(&session).filter(|own| own.is_told)?;
        let name = own.jid.to_bare();
        let messages = own.outbox.messages().filter(|(at, _)| *at <= by);
        let messages: Vec<_> = messages.map(|(_, message)| Arc::clone(message)).collect();
        let next = own.outbox.messages().map(|(at, _)| at).filter(|at| *at > by).min();
        messages.into_iter().for_each(|message| self.note(&name, Some(session), message, true));
        next
    }

    /// A message is stored for whoever of the account comes next.
    pub(crate) fn note_stored(&mut self, account: &BareJid, message: &Arc<Stanza>, is_again: bool) {
        if self.accounts.get(account).is_some_and(|account| self.shared.is_told_of(account)) {
            self.note(account, None, Arc::clone(message), is_again);
        }
    }

    /// Tells extensions what they are to be told, and does what they want, until that is all.
    pub(crate) fn carry_out_orders(&mut self, effects: &mut Vec<Effect>) {
        let Orders { news, orders, crossing, .. } = &self.orders;
        if news.is_empty() && orders.is_empty() && crossing.is_empty() {
            return;
        }
        let start = effects.len();
        for news in core::mem::take(&mut self.orders.news) {
            self.tell_of(&news, effects);
        }
        self.carry_out_all(effects);
        while let Some(crossing) = self.orders.crossing.pop_front() {
            self.take_request(crossing, effects);
        }
        self.go_on(effects);
        self.dispatch(start, effects);
    }

    fn tell_of(&mut self, news: &News, effects: &mut Vec<Effect>) {
        let News { account: name, session, message, is_again, incarnation } = news;
        let waiting = Waiting { message, client: *session, is_again: *is_again };
        let account = self.accounts.get_mut(name);
        if let Some(account) = account.filter(|account| account.incarnation == *incarnation) {
            account.asks -= 1;
            self.call(name, *session, effects, |tables, call| tables.waits(call, &waiting));
        }
    }

    fn carry_out_all(&mut self, effects: &mut Vec<Effect>) {
        for order in core::mem::take(&mut self.orders.orders) {
            self.carry_out_order(order, effects);
        }
    }

    /// Extensions are to be told of a message. Its account stays in memory until then.
    fn note(&mut self, name: &BareJid, session: Option<SessionId>, message: Arc<Stanza>, is_again: bool) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        account.asks += 1;
        let (account, incarnation) = (name.clone(), account.incarnation);
        self.orders.news.push(News { account, incarnation, session, message, is_again });
    }

    /// Calls extensions about an account that is known, and does what they want, before the account may be forgotten.
    fn call(
        &mut self,
        name: &BareJid,
        session: Option<SessionId>,
        effects: &mut Vec<Effect>,
        call: impl FnOnce(&crate::extension::Tables, &mut Call<'_>),
    ) {
        let Some(account) = self.accounts.get_mut(name).filter(|account| account.known().is_some()) else {
            return self.settle(name, effects);
        };
        let mut about = Call {
            shared: &self.shared,
            owner: name,
            account,
            session,
            now: self.asks.now(),
            random: &mut self.random,
            orders: &mut self.orders.orders,
            effects,
        };
        call(self.shared.tables(), &mut about);
        self.refresh(name);
        self.carry_out_all(effects);
        self.settle(name, effects);
    }

    fn carry_out_order(&mut self, order: Order, effects: &mut Vec<Effect>) {
        let Order { account: name, index, what } = order;
        let now = self.asks.now();
        let Some(account) = self.accounts.get_mut(&name) else { return };
        let Some(creation) = account.known().map(|known| known.creation) else { return };
        let incarnation = account.incarnation;
        match what {
            What::Request { to, payload, then } => {
                account.asks += 1;
                let number = self.orders.asked;
                self.orders.asked += 1;
                let id: Arc<str> = format!("{number:x}-{}", self.random.token(16)).into();
                let open = Open {
                    id: Arc::clone(&id),
                    to: to.clone(),
                    account: name.clone(),
                    incarnation,
                    expires: now + ANSWER,
                    then,
                };
                self.orders.open.insert(number, open);
                let Ok(domain) = BareJid::from_parts(None, name.domainpart()) else { return };
                let request = Stanza::iq(IqType::Set)
                    .with_from(domain.into())
                    .with_to(to)
                    .with_id(&id)
                    .with_payload(payload);
                self.send_request(name, number, request, effects);
            }
            What::Save(edits) => {
                let tables = self.shared.tables();
                if edits.iter().all(|edit| tables.may_change(index, edit)) {
                    account.asks += 1;
                    let changes = edits.into_iter().map(|edit| Change::of(creation, edit)).collect();
                    let ask = Ask::Save { account: name, changes, by_others: false };
                    self.ask(ask, Purpose::Keep(Vec::new()), None, effects);
                }
            }
            What::Tell(message) => {
                if let Kind::Message(kind) = message.head.kind {
                    self.pass_message(kind, message, &mut Origin::said(Said::New), effects);
                }
            }
            What::Wake(after) => {
                let wake = Wake { at: now + after.max(SOON), incarnation };
                let before = self.orders.wakes.insert((name.clone(), index), wake);
                match before.filter(|before| before.incarnation == incarnation) {
                    Some(_) => {}
                    None => account.asks += 1,
                }
                if let Some(before) = before {
                    self.orders.due.remove(&(before.at, name.clone(), index));
                }
                self.orders.due.insert((wake.at, name, index));
            }
        }
    }

    /// Sends a request of the server on behalf of an account.
    fn send_request(&mut self, owner: BareJid, number: u64, request: Stanza, effects: &mut Vec<Effect>) {
        let Some(to) = &request.head.to else { return };
        if self.is_local(to.domainpart()) {
            self.orders.crossing.push_back(Crossing { number, owner, request });
        } else {
            effects.push(Effect::Remote { stanza: request, is_told: true, is_answer: false });
        }
    }

    /// The account of the client that it is addressed to takes a request of the server: it reaches nobody whom a request of the user would
    /// not reach.
    fn take_request(&mut self, crossing: Crossing, effects: &mut Vec<Effect>) {
        let Crossing { number, owner, request } = crossing;
        let Some(to) = &request.head.to else { return };
        let as_owner = request.clone().with_from(owner.into());
        let account = self.accounts.get(to.bare_str());
        match account.and_then(|account| self.reached(account, &as_owner)) {
            Some(resource) => deliver([resource.session], request, effects),
            None => {
                // It may come back.
                let error = ErrorCondition::RecipientUnavailable.into();
                self.respond(number, Response::Error(error), effects);
            }
        }
    }

    /// An iq result or error has come for a domain of the server: perhaps it answers a request.
    pub(crate) fn take_response(&mut self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        let (Some(from), Some(id)) = (&stanza.head.from, &stanza.head.id) else { return };
        let Some(number) = self.orders.find(from, id) else { return };
        let response = match stanza.head.kind {
            Kind::Iq(IqType::Result) => Response::Result(stanza.payload.clone()),
            Kind::Iq(IqType::Error) => {
                let error = stanza.payload.parse().ok();
                let error = error.and_then(|content| StanzaError::from_payload(content.root()));
                Response::Error(error.unwrap_or_else(|| ErrorCondition::UndefinedCondition.into()))
            }
            _ => return,
        };
        self.respond(number, response, effects);
    }

    /// A stanza could not be sent to another server. Whether it was a request of ours, whose sender is told so here.
    pub(crate) fn is_request_unsent(
        &mut self,
        stanza: &Stanza,
        condition: ErrorCondition,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let (Some(to), Some(id)) = (&stanza.head.to, &stanza.head.id) else { return false };
        let is_ours = stanza.head.kind == Kind::Iq(IqType::Set)
            && stanza.head.from.as_ref().is_some_and(|from| from.localpart().is_none());
        let Some(number) = is_ours.then(|| self.orders.find(to, id)).flatten() else { return false };
        self.respond(number, Response::Error(condition.into()), effects);
        true
    }

    fn respond(&mut self, number: u64, response: Response, effects: &mut Vec<Effect>) {
        let Some(open) = self.orders.open.remove(&number) else { return };
        let Open { account: name, incarnation, then, .. } = open;
        let Some(account) = self.accounts.get_mut(&name).filter(|own| own.incarnation == incarnation) else {
            return;
        };
        account.asks -= 1;
        self.call(&name, None, effects, |_, call| then(call, response));
    }

    /// Does what has become due.
    pub(crate) fn tick_orders(&mut self, effects: &mut Vec<Effect>) {
        let now = self.asks.now();
        while let Some((number, _)) =
            self.orders.open.first_key_value().filter(|(_, open)| open.expires <= now)
        {
            self.respond(*number, Response::Nothing, effects);
        }
        while let Some((at, name, index)) = self.orders.due.pop_first() {
            if at > now {
                self.orders.due.insert((at, name, index));
                break;
            }
            let Some(wake) = self.orders.wakes.remove(&(name.clone(), index)) else { continue };
            let account = self.accounts.get_mut(&name);
            let Some(account) = account.filter(|account| account.incarnation == wake.incarnation) else {
                continue;
            };
            account.asks -= 1;
            self.call(&name, None, effects, |tables, call| tables.woken(index, call));
        }
        while let Some((_, session)) = self.orders.silent.first().filter(|(at, _)| *at <= now).copied() {
            self.orders.silent.pop_first();
            let Some(own) = self.sessions.get_mut(&session) else { continue };
            own.marks.set(Marks::WATCHED, false);
            if own.outbox.is_detached() {
                continue;
            }
            let by = Instant::ZERO + now.saturating_since(Instant::ZERO).saturating_sub(SILENCE);
            if let Some(next) = self.note_unacknowledged(session, by) {
                self.watch_silence(session, next);
            }
        }
    }
}
