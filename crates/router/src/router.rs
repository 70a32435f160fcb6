//! The router itself: its parts, and all that its owner can tell it. What is done with it is in the other files, each of which
//! has a part of the router's methods.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_machine::{Deadline, Instant, Limits, Random, Reason, Seed, Ticket};
use balcony_stanza::{ErrorCondition, Kind, PresenceType, Stanza, StanzaError};

use crate::account::{Account, Resource};
use crate::asks::{Asks, cost, payer};
use crate::by_stanza::ByStanza;
use crate::complaints::Complaints;
use crate::facts::SenderFacts;
use crate::farewells::Farewells;
use crate::leaving::LeavingSessions;
use crate::line::{Origin, Sent};
use crate::lookup::Lookups;
use crate::orders::Orders;
use crate::outbox::{Outbox, is_answer};
use crate::owed::{Debtors, Owed};
use crate::queue::Placed;
use crate::seats::{Seating, Seats};
use crate::shared::Shared;
use crate::slab::{Index, Slab};
use crate::spent::SpentStanzas;
use crate::strangers::Parked;
use crate::text::Text;
use crate::turns::Storing;
use crate::undelivered::Keeps;
use crate::{Answer, Config, Effect, SessionId};

/// The router of one or more local domains. The [crate documentation](crate) says what it decides.
///
/// 1. **What has happened goes in**: [`bind`](Router::bind) and [`bind_inline`](Router::bind_inline) when a session begins, [`route`](Router::route)
///    for each stanza of it, [`drained`](Router::drained) when the network has what it was delivered, [`unbind`](Router::unbind) when it ends and
///    [`gone`](Router::gone) when nothing can be written to it any more; of a session that can be resumed [`manage`](Router::manage),
///    [`acknowledged`](Router::acknowledged), [`detach`](Router::detach), [`resume`](Router::resume). From other servers
///    [`receive`](Router::receive) and [`undeliverable`](Router::undeliverable). The [`answer`](Router::answer) to each ask, and
///    [`tick`](Router::tick) at the [`deadline`](Router::deadline).
/// 2. **What the owner wants**: [`send`](Router::send), [`remove_account`](Router::remove_account), and around a restart
///    [`save`](Router::save), [`let_go`](Router::let_go), [`restore`](Router::restore). An owner with several threads frees what is
///    [spent](Router::keep_spent).
/// 3. **What comes of it**: [`Effect`]s, which each of these appends to the owner's list, to be carried out in their order. When all are done, and what
///    they have led to, [`take_in`](Router::take_in), until it is `false`.
/// 4. **Looking**: [`jid`](Router::jid), [`sessions`](Router::sessions), [`session`](Router::session), [`bound`](Router::bound),
///    [`counts`](Router::counts), [`is_local`](Router::is_local), [`can_save`](Router::can_save).
///
/// The whole loop, with a store in memory and lists in the place of connections. Where there are several steps to what has happened, such as
/// the stanzas of one read, they go in first, and their effects are carried out together.
///
/// ```
/// use std::collections::{BTreeMap, VecDeque};
/// use balcony_machine::{Instant, Seed};
/// use balcony_router::{Config, Effect, Memory, Router, SessionId};
/// use balcony_stanza::{MessageType, PresenceType, Stanza};
///
/// /// Carries out what the router has decided, and what that leads to.
/// fn carry_out(
///     router: &mut Router,
///     now: Instant,
///     effects: &mut Vec<Effect>,
///     store: &mut Memory,
///     written: &mut BTreeMap<SessionId, Vec<String>>,
/// ) {
///     loop {
///         for effect in std::mem::take(effects) {
///             match effect {
///                 Effect::Deliver { session, stanza } => {
///                     let stream = written.entry(session).or_default();
///                     stream.push(stanza.to_xml());
///                     // Not before the network has it, on a real connection.
///                     router.drained(now, session, stream.len() as u64, effects);
///                 }
///                 // Somewhere else, as it may take long; `router.tick` at `router.deadline` gives up on it.
///                 Effect::Ask { ticket, ask } => router.answer(now, ticket, store.answer(0, ask), effects),
///                 // There are no other servers.
///                 Effect::Remote { stanza, .. } => println!("nobody takes {}", stanza.to_xml()),
///                 Effect::Close { session, .. } => drop(written.remove(&session)),
///                 // Bookkeeping: how much may be read from whom, and the log.
///                 _ => {}
///             }
///         }
///         if effects.is_empty() && !router.take_in(now, effects) && effects.is_empty() {
///             return;
///         }
///     }
/// }
///
/// let mut router = Router::new(Config::new(vec!["example.com".parse()?]), &Seed::from_u64(1));
/// let (now, mut effects) = (Instant::ZERO, Vec::new());
/// let (mut store, mut written) = (Memory::default(), BTreeMap::new());
/// let (romeo, juliet) = (SessionId(1), SessionId(2));
/// let mut happens = VecDeque::from([
///     (juliet, Stanza::presence(PresenceType::Available)),
///     (romeo, Stanza::message(MessageType::Chat).with_id("1").with_to("juliet@example.com".parse()?)),
/// ]);
/// for (session, account) in [(romeo, "romeo@example.com"), (juliet, "juliet@example.com")] {
///     store.create(account.parse()?);
///     router.bind(now, session, &account.parse()?, Some("balcony"), &mut effects)?;
/// }
/// while let Some((session, mut stanza)) = happens.pop_front() {
///     // Their streams say so of all that they send.
///     stanza.head.from = router.jid(session).map(|jid| jid.clone().into());
///     router.route(now, session, stanza, &mut effects);
///     carry_out(&mut router, now, &mut effects, &mut store, &mut written);
/// }
/// assert!(written[&juliet].iter().any(|stanza| stanza.contains("id='1'")));
/// for session in [romeo, juliet] {
///     router.unbind(now, session, &mut effects);
///     router.gone(now, session, &mut effects);
/// }
/// carry_out(&mut router, now, &mut effects, &mut store, &mut written);
/// assert_eq!(router.counts().sessions, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Router {
    pub(crate) shared: Shared,
    pub(crate) random: Random,
    /// Accounts with bound resources, and those for which something waits. Never iterated.
    pub(crate) accounts: Slab<Account>,
    pub(crate) sessions: Seats<Session>,
    /// Sessions that are over, while something may still be written to them.
    pub(crate) leaving: LeavingSessions,
    /// What is on its way to all sessions, in bytes.
    pub(crate) queued: usize,
    /// What is on its way to sessions that have ended without a connection, in bytes: it goes elsewhere. Nothing between calls.
    pub(crate) going: usize,
    /// How many messages have gone to several sessions so far.
    pub(crate) groups: u64,
    /// How many stanzas have been delivered so far; what goes to several sessions counts once.
    pub(crate) delivered: u64,
    /// Messages that are about to be delivered and have their place already. Empty between calls.
    pub(crate) placed: ByStanza<Placed>,
    /// Copies that are about to be delivered, each behind the message that it is a copy of. Empty between calls.
    pub(crate) copies: ByStanza<()>,
    /// Sessions without a connection for which stored messages are on their way that somebody else would take. Empty between calls.
    pub(crate) superseded: Vec<SessionId>,
    /// Sessions to which messages have come back that are not in their places yet. Empty between calls.
    pub(crate) merging: Vec<SessionId>,
    /// Its sessions are [kept elsewhere](Router::let_go).
    pub(crate) is_over: bool,
    /// Messages that are being written, with the keys of their documents. Empty between calls.
    pub(crate) keeps: Keeps,
    /// Distinguishes the documents that this router writes from those of all others, once it has written one; and how many it has.
    pub(crate) run: Option<u64>,
    pub(crate) kept: u64,
    /// When which session is closed if it takes no more until then.
    pub(crate) stalls: BTreeSet<(Instant, SessionId)>,
    /// Until when which sessions without a connection wait for their clients.
    pub(crate) waiting_for_clients: BTreeSet<(Instant, SessionId)>,
    /// Sessions that have just asked for more than they take. Empty between calls.
    pub(crate) owing: Vec<SessionId>,
    /// Sessions for which nothing is held any more. Empty between calls.
    pub(crate) to_flush: Vec<SessionId>,
    /// Sessions for which messages have waited behind stored ones, of which no more are to come. Empty between calls.
    pub(crate) caught_up: Vec<SessionId>,
    /// Sessions whose clients may be told that they are resumed. Empty between calls.
    pub(crate) back: Vec<SessionId>,
    /// Sessions that have ended without a connection. Empty between calls.
    pub(crate) abandoned: BTreeSet<SessionId>,
    /// These and those before are being ended. Not so between calls.
    pub(crate) is_disposing: bool,
    /// The accounts that [are placing](crate::replay::Backlog::is_placing) a message. Empty between calls.
    pub(crate) placing: Vec<BareJid>,
    pub(crate) is_going_on: bool,
    /// What has been replayed and is to be delivered next, its number in its log, and whether it is the last. Empty between calls.
    pub(crate) replays: VecDeque<(Arc<Stanza>, u64, bool)>,
    pub(crate) asks: Asks,
    /// What senders have stored in accounts.
    pub(crate) storing: Storing,
    /// What sessions have got, if its owner frees that.
    pub(crate) spent: SpentStanzas,
    /// What was said to whoever runs the server about its extensions.
    pub(crate) complaints: Complaints,
    /// What extensions want to have done, and are told.
    pub(crate) orders: Orders,
    pub(crate) parked: Parked,
    pub(crate) lookups: Lookups,
    /// Whose stored messages are to be looked at again, and when, the next one first: all wait equally long.
    pub(crate) retries: VecDeque<(Instant, BareJid)>,
    /// How many accounts have bound resources.
    pub(crate) online: usize,
    /// How many accounts have been loaded so far.
    pub(crate) incarnations: u64,
    /// Accounts that have nothing undecided any more. Empty between calls.
    pub(crate) decided: Vec<BareJid>,
    /// What those are still to be told who have ended their own accounts.
    pub(crate) farewells: Farewells,
    /// What accounts have said about subscriptions and may not have reached the contacts: of accounts in memory, and where something is
    /// under way.
    pub(crate) owed: BTreeMap<BareJid, Owed>,
    /// Accounts that have something to say again.
    pub(crate) debtors: Debtors,
    /// Who has said what about subscriptions to whom, and has been heard. Empty between calls.
    pub(crate) arrived_words: Vec<(BareJid, BareJid, PresenceType)>,
}

/// A bound resource, as seen from its connection.
///
/// In the order in which it lies in memory: first what every message needs of its sender, in a line of the processor's cache, then what it
/// needs of its recipient.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Session {
    /// How many stanzas it has sent.
    pub(crate) received: u64,
    /// How many of these are not handled.
    pub(crate) undecided: u32,
    /// Its messages go past its account: that waits for nothing, blocks nobody and copies nothing.
    pub(crate) is_plain: bool,
    /// An extension may hold back what comes for it, or stored messages go before that.
    pub(crate) holds: bool,
    /// An extension wants to know which messages wait for it.
    pub(crate) is_told: bool,
    pub(crate) marks: Marks,
    /// What is known of the one whom it has written to last.
    pub(crate) recent: Option<Recent>,
    /// What is on its way to it.
    pub(crate) outbox: Outbox,
    /// Whom it has written to last. It is not read as long as that one's account is where it was.
    pub(crate) recent_to: Option<Text<30>>,
    pub(crate) jid: FullJid,
    /// When it was bound, or taken over from a router before this one.
    pub(crate) since: Instant,
}

/// What is rarely looked at of a session, in the byte that is left for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks(u8);

impl Marks {
    /// It is seen later whether the session has acknowledged what it has got.
    pub(crate) const WATCHED: u8 = 1;
    /// It has shown presence, or sent a message.
    pub(crate) const SPOKEN: u8 = 2;

    pub(crate) const fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    /// Puts a mark, or takes it away. Whether it was there.
    pub(crate) const fn set(&mut self, mark: u8, is: bool) -> bool {
        let before = self.has(mark);
        self.0 = if is { self.0 | mark } else { self.0 & !mark };
        before
    }
}

impl Session {
    /// How long it has been bound.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        let before = self.outbox.management().managed().map_or(Duration::ZERO, |managed| managed.age);
        before.saturating_add(now.saturating_since(self.since))
    }

    /// Whether it has just been bound: its client has shown no presence and sent no message yet, nor said that it acknowledges what it gets. It may be
    /// about to, and what is lost before that is lost for good. Who does not for longer does not mean to.
    pub(crate) fn is_early(&self, now: Instant, limits: &Limits) -> bool {
        !self.marks.has(Marks::SPOKEN)
            && self.outbox.management().managed().is_none()
            && now.saturating_since(self.since) < limits.answer
    }

    /// Since when it waits for its client, at this router, if it does.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        let management = self.outbox.management();
        let (managed, until) = (management.managed()?, management.until()?);
        let lost = Instant::ZERO + until.saturating_since(Instant::ZERO).saturating_sub(managed.wait);
        Some(lost.max(self.since))
    }
}

/// What is known of the one whom a session has written to last.
#[derive(Debug)]
pub(crate) struct Recent {
    /// When that was [noted](Router::crosses).
    pub(crate) at: Instant,
    /// Where its account lay then, if it was there, and the session's user sees its presence: otherwise the account is none of the
    /// sender's business.
    pub(crate) index: Option<Index>,
    /// Whether the session's user sees the presence of whom it is; `None` if that may have changed since it was looked at.
    pub(crate) sees: Option<bool>,
    /// Where the session is that has got the last message, if the session's user sees its presence: the next one most likely goes there, too.
    pub(crate) goes_to: Option<Seating>,
}

/// Where an address leads.
enum Target<'a> {
    /// To another server.
    Remote,
    /// To a local domain, or to a resource of one.
    Server,
    /// To a bound resource.
    Resource(&'a Resource),
    /// To an account; if the address is full the account has no such resource. `None` if it has no resource at all, or
    /// does not exist, which is the same to the router.
    Account(Option<&'a Account>),
}

/// How much a router holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Accounts with at least one bound resource.
    pub accounts: usize,
    /// Bound resources.
    pub sessions: usize,
    /// Asks that wait for an answer.
    pub asks: usize,
    /// Accounts that are in memory, because they have bound resources or because something waits for them.
    pub loaded: usize,
}

impl Router {
    /// A router without sessions. The seed is for the resources that it makes up.
    #[must_use]
    pub fn new(config: Config, seed: &Seed) -> Self {
        Router {
            asks: Asks::new(config.limits),
            storing: Storing::default(),
            spent: SpentStanzas::default(),
            complaints: Complaints::default(),
            shared: Shared::new(config),
            random: seed.random(),
            parked: Parked::default(),
            lookups: Lookups::default(),
            orders: Orders::default(),
            accounts: Slab::default(),
            sessions: Seats::default(),
            leaving: LeavingSessions::default(),
            queued: 0,
            going: 0,
            groups: 0,
            delivered: 0,
            placed: ByStanza::default(),
            copies: ByStanza::default(),
            superseded: Vec::new(),
            merging: Vec::new(),
            is_over: false,
            keeps: Keeps::default(),
            run: None,
            kept: 0,
            stalls: BTreeSet::new(),
            waiting_for_clients: BTreeSet::new(),
            owing: Vec::new(),
            to_flush: Vec::new(),
            caught_up: Vec::new(),
            back: Vec::new(),
            abandoned: BTreeSet::new(),
            is_disposing: false,
            placing: Vec::new(),
            is_going_on: false,
            replays: VecDeque::new(),
            retries: VecDeque::new(),
            online: 0,
            incarnations: 0,
            decided: Vec::new(),
            farewells: Farewells::default(),
            owed: BTreeMap::new(),
            debtors: Debtors::default(),
            arrived_words: Vec::new(),
        }
    }

    /// Takes a stanza that a session has sent. Its `from` is the session's full JID, as the stream has stamped it;
    /// for presence that manages subscriptions it is the bare JID (RFC 6120 section 8.1.2.1).
    ///
    /// Returns whether the stanza is handled: what becomes of it is decided, or the sender may not know when it is. Otherwise
    /// [`Effect::Handled`] follows, once. Read no more from a session whose stanzas that are not handled [cost](crate::cost) more than
    /// its window.
    ///
    /// Whatever is wrong with the stanza, its sender is told by an effect. What comes when
    /// [`Limits::waiting`](balcony_machine::Limits::waiting) stanzas of the account wait already, and has to wait, too, gets
    /// `resource-constraint`; if its sender may not know who is there it is dropped. A session that is not bound has no effects.
    pub fn route(
        &mut self,
        now: Instant,
        from: SessionId,
        mut stanza: Stanza,
        effects: &mut Vec<Effect>,
    ) -> bool {
        self.asks.clock(now);
        let start = effects.len();
        let Some(session) = self.sessions.get_mut(&from) else { return true };
        let sent = Sent { session: from, number: session.received };
        // Requests come before a client has stanzas counted, and after.
        let is_word = !matches!(stanza.head.kind, Kind::Iq(_)) && !session.marks.set(Marks::SPOKEN, true);
        let was_awaited = is_word && session.outbox.behind() > 0;
        let awaited = was_awaited.then(|| session.jid.to_bare());
        session.received += 1;
        session.undecided += 1;
        let mut origin = Origin::Session { sent, bytes: cost(&stanza), facts: SenderFacts::STRANGER };
        stanza.head.from.get_or_insert_with(|| session.jid.to_jid());
        if is_answer(&stanza)
            && let (Some(to), Some(id)) = (&stanza.head.to, &stanza.head.id)
        {
            session.outbox.answer(to, id);
        }
        match stanza.head.kind {
            Kind::Message(kind) => {
                // RFC 6120 section 10.3.1: without `to` it is for the sender's own account.
                stanza.head.to.get_or_insert_with(|| session.jid.to_bare().into());
                if session.is_plain {
                    self.pass_message(kind, stanza, &mut origin, effects);
                } else {
                    self.depart(from, stanza, &mut origin, effects);
                }
            }
            _ => {
                let name = session.jid.to_bare();
                if was_awaited {
                    // If it is available from now on it gets what is stored as well, and that came later.
                    self.refresh(&name);
                }
                self.depart(from, stanza, &mut origin, effects);
                self.settle(&name, effects);
            }
        }
        let is_handled = matches!(origin, Origin::Session { .. } | Origin::Refused);
        if let Some(session) = self.sessions.get_mut(&from).filter(|_| is_handled) {
            session.undecided -= 1;
        }
        if let Some(name) = awaited {
            self.refresh(&name);
        }
        self.go_on(effects);
        self.dispatch(start, effects);
        is_handled
    }

    /// Takes a stanza that another server has sent; one that has no `from` there, or no `to` here, has no effects. If too many
    /// stanzas of its `from`'s domain wait, and it would have to, too, it is dropped.
    pub fn receive(&mut self, now: Instant, stanza: Stanza, effects: &mut Vec<Effect>) {
        self.asks.clock(now);
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return };
        if self.is_local(from.domainpart()) || !self.is_local(to.domainpart()) {
            return;
        }
        let (start, mut origin) = (effects.len(), Origin::Remote);
        match stanza.head.kind {
            Kind::Message(kind) => self.pass_message(kind, stanza, &mut origin, effects),
            Kind::Iq(_) if to.localpart().is_none() => self.serve(&stanza, effects),
            Kind::Presence(_) if to.localpart().is_none() => {}
            _ => self.pass_across(stanza, &mut origin, effects),
        }
        self.go_on(effects);
        self.dispatch(start, effects);
    }

    /// Tells the sender of a stanza that it could not be sent to its remote domain: `remote-server-not-found` if there
    /// is none, `remote-server-timeout` if no stream came about (RFC 6120 section 10.4). Probes get no error, nor does what was
    /// not to be told of ([`Effect::Remote`]).
    ///
    /// A resource that has sent directed presence there has not done so, and hears no more of it (RFC 6121 section 4.6).
    pub fn undeliverable(
        &mut self,
        stanza: &Stanza,
        condition: ErrorCondition,
        is_told: bool,
        effects: &mut Vec<Effect>,
    ) {
        let start = effects.len();
        self.word_lost(stanza);
        self.come_back(stanza, condition, is_told, effects);
        self.dispatch(start, effects);
    }

    pub(crate) fn come_back(
        &mut self,
        stanza: &Stanza,
        condition: ErrorCondition,
        is_told: bool,
        effects: &mut Vec<Effect>,
    ) {
        if matches!(stanza.head.kind, Kind::Presence(_))
            && let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to)
        {
            self.forget_directed(from, to);
        }
        if is_told && self.is_request_unsent(stanza, condition, effects) {
            return;
        }
        // Probes are the server's own.
        if is_told && stanza.head.kind != Kind::Presence(PresenceType::Probe) {
            self.refuse(stanza, condition, effects);
        }
    }

    /// Takes the answer to an ask. One that comes too late, or for the second time, has no effects.
    pub fn answer(&mut self, now: Instant, ticket: Ticket, answer: Answer, effects: &mut Vec<Effect>) {
        self.asks.clock(now);
        if let Some(open) = self.asks.close(ticket) {
            let start = effects.len();
            self.resolve(ticket, open, Some(answer), effects);
            self.dispatch(start, effects);
        }
    }

    /// Has all open asks wait as long as if they were made now: for whoever is about to end and has much to be written, as long as the store
    /// answers anything. What was about to expire may have its turn now, and the store is asked for it.
    pub fn wait_anew(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let was_due = self.asks.has_due();
        self.asks.clock(now);
        self.asks.wait_anew();
        if was_due {
            self.ask_for_delayed(effects);
        }
    }

    /// When to call [`tick`](Router::tick): the next ask expires then, one that has failed is made again, or something of strangers
    /// has not been [taken in](Router::take_in). A router that has [let sessions go](Router::let_go) has nothing left to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        if self.is_over {
            return None;
        }
        let retry = self.retries.front().map(|(at, _)| *at);
        let stall = self.stalls.first().map(|(at, _)| *at);
        let abandoned = self.waiting_for_clients.first().map(|(at, _)| *at);
        let parked = self.parked.due();
        let at = self
            .asks
            .deadline()
            .into_iter()
            .chain(retry)
            .chain(stall)
            .chain(abandoned)
            .chain(parked)
            .chain(self.orders.deadline())
            .chain(self.debtors.due())
            .min()?;
        Some(Deadline { at, reason: Reason::Answer })
    }

    /// Expires the asks whose time is over. Their senders are told to try again later. Stored messages that could not be got or
    /// deleted are tried again.
    pub fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.asks.clock(now);
        if self.is_over {
            return;
        }
        let start = effects.len();
        self.close_stalled(effects);
        self.end_abandoned(effects);
        while let Some((ticket, open)) = self.asks.expire() {
            self.resolve(ticket, open, None, effects);
        }
        let now = self.asks.now();
        while let Some((_, account)) = self.retries.pop_front_if(|(at, _)| *at <= now) {
            self.try_again(&account, effects);
        }
        self.tick_orders(effects);
        self.take_turns(effects);
        self.go_on(effects);
        self.dispatch(start, effects);
        if self.parked.due().is_some_and(|due| due <= now) {
            self.take_in(now, effects);
        }
    }

    /// The full JID that the session has bound.
    #[must_use]
    pub fn jid(&self, session: SessionId) -> Option<&FullJid> {
        self.sessions.get(&session).map(|session| &session.jid)
    }

    /// The account's sessions, in the order in which they bound.
    pub fn sessions(&self, account: &BareJid) -> impl Iterator<Item = SessionId> {
        self.accounts.get(account).map(Account::resources).unwrap_or_default().iter().map(|r| r.session)
    }

    /// Whether this is one of the domains that the router serves.
    #[must_use]
    pub fn is_local(&self, domain: &str) -> bool {
        self.shared.is_local(domain)
    }

    /// How much the router holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            accounts: self.online,
            sessions: self.sessions.len(),
            asks: self.asks.len(),
            loaded: self.accounts.len(),
        }
    }

    /// Who answers for the stanzas of this sender that wait.
    pub(crate) fn payer(&self, sender: &Jid) -> BareJid {
        payer(sender, self.is_local(sender.domainpart()))
    }

    /// Who has been shown the presence of this account's user.
    pub(crate) fn witnesses(&self, name: &BareJid) -> Vec<BareJid> {
        self.accounts.get(name).map(|account| account.witnesses(&self.shared)).unwrap_or_default()
    }

    fn locate(&self, to: &Jid) -> Target<'_> {
        if !self.is_local(to.domainpart()) {
            return Target::Remote;
        }
        if to.localpart().is_none() {
            return Target::Server;
        }
        let account = self.accounts.get(to.bare_str());
        let resource = account.zip(to.resourcepart()).and_then(|(account, name)| account.by_name(name));
        resource.map_or(Target::Account(account), Target::Resource)
    }

    /// Tells the sender that its stanza failed, if the rules allow it (RFC 6120 section 8.3.1).
    pub(crate) fn refuse(&self, stanza: &Stanza, error: impl Into<StanzaError>, effects: &mut Vec<Effect>) {
        if let Some(reply) = stanza.error(&error.into()) {
            self.reply(reply, effects);
        }
    }

    /// Sends what the server itself says to the entity that it answers; drops it if that has gone away. What has become of
    /// the presence that an account has sent concerns all its available resources.
    pub(crate) fn reply(&self, stanza: Stanza, effects: &mut Vec<Effect>) {
        let Some(to) = &stanza.head.to else { return };
        match self.locate(to) {
            Target::Remote => effects.push(Effect::Remote { stanza, is_told: false, is_answer: true }),
            Target::Resource(resource) => deliver([resource.session], stanza, effects),
            Target::Account(Some(account))
                if to.is_bare() && matches!(stanza.head.kind, Kind::Presence(_)) =>
            {
                deliver(account.available().map(|resource| resource.session), stanza, effects);
            }
            Target::Server | Target::Account(_) => {}
        }
    }
}

/// Gives the same stanza to several sessions.
pub(crate) fn deliver(
    sessions: impl IntoIterator<Item = SessionId>,
    stanza: Stanza,
    effects: &mut Vec<Effect>,
) {
    let stanza = Arc::new(stanza);
    effects
        .extend(sessions.into_iter().map(|session| Effect::Deliver { session, stanza: Arc::clone(&stanza) }));
}
