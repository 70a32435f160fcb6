//! What an account has said about a subscription is on disk until the contact's end of it is certain, so that two rosters that have to
//! agree do so after a crash or a lost stream (RFC 6121 section 3).
//!
//! A change that has to become true at a contact's, too, is written down in the same commit as the account's own half: a document in
//! [`OWED`], by contact and direction, of which only the last word counts. It is deleted when the contact's half is durable, if that is an
//! account of this server; or when the other server has certainly got it ([`Router::heard`]). What is there when the account is loaded is
//! said again: when the server starts ([`Router::say_again`]), when a domain is [reached](Router::domain_lives) that was not, and when the user
//! comes. To say it twice does no harm, as section 3 foresees.
//!
//! It is deleted a while later ([`Limits::answer`](balcony_machine::Limits::answer)), whatever has become of it: how soon would tell the
//! sender whether there is such an account.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_roster::Decision;
use balcony_stanza::{Kind, PresenceType, Stanza};

use crate::asks::Purpose;
use crate::collections::OWED;
use crate::facts::Said;
use crate::line::Origin;
use crate::router::Router;
use crate::{Ask, Change, Content, Document, DocumentEdit, Effect};

/// The version in which they are written: the type of the presence, and since when it is owed, in milliseconds since 1970.
const VERSION: u8 = 1;
/// What one account may owe. What comes beyond that is said once.
const MOST: usize = 256;
/// How long it is said again for, in milliseconds: 30 days.
const LONGEST: u64 = 30 * 24 * 60 * 60 * 1000;
/// Without a word on it from another server for so long it is lost. Within this one it is after `Limits::answer`.
const PATIENCE: Duration = Duration::from_secs(300);
/// Accounts that are remembered for domains that were not reached.
const MOST_UNREACHED: usize = 16_384;
/// How many accounts at once are loaded to say again what they owe, and how long until the next.
const AT_ONCE: usize = 16;
const PAUSE: Duration = Duration::from_millis(100);

/// Whose subscription it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    /// The account's, to the contact: `subscribe` or `unsubscribe`.
    To,
    /// The contact's, to the account: `subscribed` or `unsubscribed`.
    From,
}

/// What an account owes its contacts.
#[derive(Debug)]
pub(crate) struct Owed {
    /// [`Kept::creation`](crate::Kept::creation).
    creation: u64,
    entries: BTreeMap<(BareJid, Direction), Entry>,
    /// It will be looked through.
    is_awaited: bool,
    /// What would have crossed something will be said when the account has its turn.
    is_in_turn: bool,
}

/// The last word on a subscription.
#[derive(Debug)]
struct Entry {
    kind: PresenceType,
    /// How often words that make and that end the subscription are under way.
    under_way: [u32; 2],
    /// Until when they are taken to be.
    until: Instant,
    /// One of them, of this kind, did not get there.
    is_missed: bool,
    /// It has got there, and the document can go.
    is_done: bool,
}

/// What a router knows of accounts that owe something.
#[derive(Debug, Default)]
pub(crate) struct Debtors {
    /// For domains that were not reached.
    unreached: BTreeMap<BareJid, BTreeSet<BareJid>>,
    count: usize,
    /// Those that are to say it again, in turn, and when the next are.
    turn: VecDeque<BareJid>,
    at: Option<Instant>,
    /// Those that are being loaded for that, and those that could not be.
    loading: BTreeSet<BareJid>,
    failed: BTreeSet<BareJid>,
}

impl Debtors {
    /// When the next accounts have their turn.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.at
    }

    fn add(&mut self, domain: &BareJid, account: &BareJid) {
        if self.count < MOST_UNREACHED
            && self.unreached.entry(domain.clone()).or_default().insert(account.clone())
        {
            self.count += 1;
        }
    }
}

impl Owed {
    const fn of(creation: u64) -> Owed {
        Owed { creation, entries: BTreeMap::new(), is_awaited: false, is_in_turn: false }
    }

    /// Whether something is under way, or a document is to be deleted.
    fn is_busy(&self) -> bool {
        self.entries.values().any(|entry| entry.is_done || entry.is_under_way())
    }
}

impl Entry {
    fn new(kind: PresenceType, now: Instant) -> Entry {
        Entry { kind, under_way: [0; 2], until: now, is_missed: false, is_done: false }
    }

    fn is_under_way(&self) -> bool {
        self.under_way[ends(self.kind)] > 0
    }

    /// One word less is under way. Whether it was one, and the last one of the kind that counts.
    fn arrives(&mut self, kind: PresenceType) -> bool {
        let count = &mut self.under_way[ends(kind)];
        let was_last = *count == 1;
        *count = count.saturating_sub(1);
        was_last && kind == self.kind
    }
}

impl Router {
    /// Has these accounts say again what they owe their contacts, when they have their turn: those that have documents in
    /// [`OWED`](crate::collections::OWED) when the server starts.
    pub fn say_again(&mut self, now: Instant, accounts: impl IntoIterator<Item = BareJid>) {
        self.asks.clock(now);
        self.debtors.turn.extend(accounts);
        self.wake_debtors();
    }

    /// A server of this domain has been talked to: what was said to it in vain is said again.
    pub fn domain_lives(&mut self, now: Instant, domain: &BareJid) {
        self.asks.clock(now);
        if let Some(accounts) = self.debtors.unreached.remove(domain) {
            self.debtors.count -= accounts.len();
            self.debtors.turn.extend(accounts);
            self.wake_debtors();
        }
    }

    /// Another server has got presence for good that manages a subscription: it has said so, and still answered when its store had had its
    /// time; or the stream that took it has lived on for long enough.
    pub fn heard(&mut self, now: Instant, from: &BareJid, to: &BareJid, kind: PresenceType) {
        self.asks.clock(now);
        self.word_arrived(from, to, kind);
    }

    fn wake_debtors(&mut self) {
        if !self.debtors.turn.is_empty() && self.debtors.at.is_none() {
            self.debtors.at = Some(self.asks.now() + PAUSE);
        }
    }

    /// The next accounts have their turn, if it is time.
    pub(crate) fn take_turns(&mut self, effects: &mut Vec<Effect>) {
        let now = self.asks.now();
        if self.debtors.at.is_none_or(|at| at > now) {
            return;
        }
        self.debtors.at = None;
        let next = self.debtors.turn.len().min(AT_ONCE);
        let next: Vec<BareJid> = self.debtors.turn.drain(..next).collect();
        for name in next {
            if self.accounts.get(&name).is_none_or(|account| account.phase.is_loading()) {
                self.load(&name, effects);
                self.debtors.loading.insert(name);
            } else {
                self.say_owed(&name, effects);
            }
        }
        self.wake_debtors();
    }

    /// An account has been loaded, or could not be. In the latter case it has its turn once more when the store has had its time.
    pub(crate) fn had_turn(&mut self, name: &BareJid, is_loaded: bool) {
        if self.debtors.loading.remove(name) && !is_loaded {
            self.debtors.failed.insert(name.clone());
            self.try_later(name);
        }
    }

    /// The store has had its time.
    pub(crate) fn take_turn_again(&mut self, name: &BareJid) {
        if self.debtors.failed.remove(name) {
            self.debtors.turn.push_back(name.clone());
            self.wake_debtors();
        }
    }

    /// An account was about to be removed, and stays.
    pub(crate) fn say_again_after_all(&mut self, name: &BareJid) {
        if self.owed.contains_key(name) {
            self.debtors.turn.push_back(name.clone());
            self.wake_debtors();
        }
    }

    /// What a change of a roster has to write down besides: what is said of it, and that a word of the contact, `heard`, makes what was
    /// said before in that direction pointless.
    pub(crate) fn owed_changes(
        &self,
        name: &BareJid,
        decisions: &[Decision],
        heard: Option<&(BareJid, PresenceType)>,
    ) -> Vec<Change> {
        let Some(account) = self.accounts.get(name) else { return Vec::new() };
        let Some(known) = account.known() else { return Vec::new() };
        let since = known.clock(self.asks.now());
        let none = BTreeMap::new();
        let entries = self.owed.get(name).map_or(&none, |owed| &owed.entries);
        let change = |(contact, direction): &(BareJid, Direction), kind: Option<PresenceType>| {
            let content = kind.map(|kind| write(kind, since));
            Change::Document { creation: known.creation, edit: edit(contact, *direction, content) }
        };
        let mut changes = Vec::new();
        let mut said = BTreeSet::new();
        for (key, kind) in words(decisions) {
            let is_new = !entries.contains_key(&key) && !said.contains(&key);
            if !is_new || entries.len() + said.len() < MOST {
                changes.push(change(&key, Some(kind)));
                said.insert(key);
            }
        }
        let pointless = heard.map(|(contact, kind)| (contact.clone(), answered(*kind)));
        let pointless = pointless.filter(|key| entries.contains_key(key) && !said.contains(key));
        changes.extend(pointless.map(|key| change(&key, None)));
        changes
    }

    /// A change of a roster is durable, with what it has [written down](Router::owed_changes).
    pub(crate) fn owe(
        &mut self,
        name: &BareJid,
        decisions: &[Decision],
        heard: Option<&(BareJid, PresenceType)>,
    ) {
        let now = self.asks.now();
        let known = self.accounts.get(name).and_then(|account| account.known());
        let Some(creation) = known.map(|known| known.creation) else { return };
        if let Some((contact, kind)) = heard
            && let Some(owed) = self.owed.get_mut(name)
        {
            owed.entries.remove(&(contact.clone(), answered(*kind)));
        }
        for (key, kind) in words(decisions) {
            let owed = self.owed.entry(name.clone()).or_insert_with(|| Owed::of(creation));
            let entry = owed.entries.entry(key).or_insert_with(|| Entry::new(kind, now));
            (entry.kind, entry.is_missed, entry.is_done) = (kind, false, false);
        }
    }

    /// An account is about to say this.
    pub(crate) fn saying(&mut self, stanza: &Stanza) {
        let Some((from, key, kind)) = word(stanza) else { return };
        let is_local = self.is_local(key.0.domainpart());
        let patience = if is_local { self.shared.config.limits.answer } else { PATIENCE };
        let until = self.asks.now() + patience;
        let entry = self.owed.get_mut(&from).and_then(|owed| owed.entries.get_mut(&key));
        let Some(entry) = entry.filter(|entry| entry.kind == kind) else { return };
        entry.under_way[ends(kind)] += 1;
        entry.until = until;
        self.await_owed(&from);
    }

    /// Has what an account owes looked through in a while.
    fn await_owed(&mut self, name: &BareJid) {
        let owed = self.owed.get_mut(name);
        if owed.is_some_and(|owed| !core::mem::replace(&mut owed.is_awaited, true)) {
            self.try_later(name);
        }
    }

    /// An account of ours has done with presence that manages a subscription, and that is durable: its sender's account, if it is ours,
    /// hears of it between calls.
    pub(crate) fn note_heard(&mut self, stanza: &Stanza) {
        if let Some((from, (to, _), kind)) = word(stanza)
            && self.is_local(from.domainpart())
        {
            self.arrived_words.push((from, to, kind));
        }
    }

    /// The senders of what has been heard hear of that.
    pub(crate) fn tell_heard(&mut self) {
        while let Some((from, to, kind)) = self.arrived_words.pop() {
            self.word_arrived(&from, &to, kind);
        }
    }

    fn word_arrived(&mut self, from: &BareJid, to: &BareJid, kind: PresenceType) {
        let Some(direction) = said(kind) else { return };
        let owed = self.owed.get_mut(from);
        let Some(entry) = owed.and_then(|owed| owed.entries.get_mut(&(to.clone(), direction))) else {
            return;
        };
        if entry.arrives(kind) {
            entry.is_done = !entry.is_missed;
            self.await_owed(from);
        }
    }

    /// Presence that manages a subscription has come back from the way to another server.
    pub(crate) fn word_lost(&mut self, stanza: &Stanza) {
        let Some((from, key, kind)) = word(stanza) else { return };
        let Ok(domain) = BareJid::from_parts(None, key.0.domainpart()) else { return };
        let owed = self.owed.get_mut(&from);
        let Some(entry) = owed.and_then(|owed| owed.entries.get_mut(&key)) else { return };
        if entry.kind == kind && entry.is_under_way() {
            entry.is_missed = true;
        }
        entry.arrives(kind);
        self.debtors.add(&domain, &from);
    }

    /// Presence that manages a subscription was to be said again within this server, and was dropped, since it could have crossed something:
    /// it is tried once more shortly.
    pub(crate) fn say_soon(&mut self, stanza: &Stanza) {
        let Some((from, key, kind)) = word(stanza) else { return };
        let Some(owed) = self.owed.get_mut(&from) else { return };
        let Some(entry) = owed.entries.get_mut(&key).filter(|entry| entry.kind == kind) else { return };
        entry.arrives(kind);
        if !core::mem::replace(&mut owed.is_in_turn, true) {
            self.debtors.turn.push_back(from);
            self.wake_debtors();
        }
    }

    /// It is time to see what has become of what an account owes.
    pub(crate) fn look_at_owed(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let now = self.asks.now();
        let Some(owed) = self.owed.get_mut(name) else { return };
        owed.is_awaited = false;
        let mut is_lost_here = false;
        for ((contact, _), entry) in owed.entries.iter_mut().filter(|(_, entry)| entry.until <= now) {
            is_lost_here |= entry.is_under_way() && self.shared.is_local(contact.domainpart());
            entry.under_way = [0; 2];
        }
        if is_lost_here {
            // It was refused, or dropped, for want of room or since it would have crossed something.
            self.debtors.turn.push_back(name.clone());
        }
        let creation = owed.creation;
        let done = owed.entries.extract_if(.., |_, entry| entry.is_done);
        let changes: Vec<Change> = done
            .map(|((contact, direction), _)| {
                let edit = edit(&contact, direction, None);
                Change::Document { creation, edit }
            })
            .collect();
        if owed.is_busy() {
            self.await_owed(name);
        } else if !self.accounts.contains_key(name) {
            self.owed.remove(name);
        }
        self.wake_debtors();
        if !changes.is_empty() {
            // What is not deleted is said again some day.
            let ask = Ask::Save { account: name.clone(), changes, by_others: false };
            self.ask(ask, Purpose::Settled, None, effects);
        }
    }

    /// An account is not in memory any more.
    pub(crate) fn forget_owed(&mut self, name: &BareJid) {
        if self.owed.get(name).is_some_and(|owed| !owed.is_busy()) {
            self.owed.remove(name);
        }
    }

    /// An account has been loaded, with these documents.
    pub(crate) fn take_owed(&mut self, name: &BareJid, documents: &[Document], effects: &mut Vec<Effect>) {
        // As mostly: nobody is to be looked at for it.
        if documents.is_empty() && !self.owed.contains_key(name) {
            return;
        }
        let now = self.asks.now();
        let known = self.accounts.get(name).and_then(|account| account.known());
        let Some((creation, clock)) = known.map(|known| (known.creation, known.clock(now))) else { return };
        for document in documents {
            let Some((key, kind, since)) = read(document) else { continue };
            let owed = self.owed.entry(name.clone()).or_insert_with(|| Owed::of(creation));
            let entry = owed.entries.entry(key).or_insert_with(|| Entry::new(kind, now));
            if entry.kind != kind {
                *entry = Entry::new(kind, now);
            }
            entry.is_done |= clock.saturating_sub(since) > LONGEST;
        }
        if self.owed.get(name).is_some_and(Owed::is_busy) {
            self.await_owed(name);
        }
        self.say_owed(name, effects);
        self.settle(name, effects);
    }

    /// An account says again what it owes, unless that is under way.
    pub(crate) fn say_owed(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let Some(owed) = self.owed.get_mut(name) else { return };
        // If it can't now it does when it has been loaded anew.
        owed.is_in_turn = false;
        let Some(account) = self.accounts.get(name).filter(|account| account.phase.is_open()) else { return };
        let mut again = Vec::new();
        // Whom the user has asked is asked again when the user is there.
        let is_coming = account.available().next().is_none() && !account.resources().is_empty();
        for ((contact, _), entry) in &mut owed.entries {
            let waits = is_coming && entry.kind == PresenceType::Subscribe;
            if !entry.is_done && !entry.is_under_way() && !waits {
                entry.is_missed = false;
                again.push(Stanza::presence(entry.kind).with_from(name.to_jid()).with_to(contact.to_jid()));
            }
        }
        let account = self.accounts.get(name);
        again.retain(|stanza| {
            let to = stanza.head.to.as_ref();
            account.zip(to).is_some_and(|(account, to)| self.shared.allows(name, account, to))
        });
        for stanza in again {
            self.saying(&stanza);
            let Some((_, (contact, _), _)) = word(&stanza) else { continue };
            if self.is_local(contact.domainpart()) {
                // Of two words for one contact the second may have to wait for the first: then it is said soon.
                self.pass_on(stanza, false, &mut Origin::said(Said::Again), effects);
            } else {
                // The user has heard of it, if it has failed before.
                effects.push(Effect::Remote { stanza, is_told: false, is_answer: false });
            }
        }
    }

    /// Whether a request of a contact of this server has crossed a word on its way there, or one that a crash has kept from going: that its
    /// subscription is denied, or over. Then it was made before that word, and is answered by it. That another server has not heard such a
    /// word is not known for sure.
    pub(crate) fn crosses_refusal(&self, name: &BareJid, request: &Stanza) -> bool {
        let Some(contact) = request.head.from.as_ref().map(|from| from.to_bare()) else { return false };
        if !self.is_local(contact.domainpart()) {
            return false;
        }
        let owed = self.owed.get(name);
        let entry = owed.and_then(|owed| owed.entries.get(&(contact, Direction::From)));
        entry.is_some_and(|entry| entry.kind == PresenceType::Unsubscribed && !entry.is_done)
    }

    /// Whether nothing of this account waits for that one.
    pub(crate) fn is_quiet(&self, from: &BareJid, to: &BareJid) -> bool {
        self.accounts.get(to).is_none_or(|account| account.is_quiet_with(&from.to_jid()))
            && !self.parked.is_between(from, to)
    }
}

/// Takes what is owed out of what was loaded.
pub(crate) fn split_off(documents: &mut Vec<Document>) -> Vec<Document> {
    documents.extract_if(.., |document| document.collection == OWED).collect()
}

/// Which count of what is under way it is in.
const fn ends(kind: PresenceType) -> usize {
    matches!(kind, PresenceType::Unsubscribe | PresenceType::Unsubscribed) as usize
}

/// Which subscription an account speaks of by this.
const fn said(kind: PresenceType) -> Option<Direction> {
    match kind {
        PresenceType::Subscribe | PresenceType::Unsubscribe => Some(Direction::To),
        PresenceType::Subscribed | PresenceType::Unsubscribed => Some(Direction::From),
        _ => None,
    }
}

/// Which subscription of the account a contact speaks of by this.
const fn answered(kind: PresenceType) -> Direction {
    match kind {
        PresenceType::Subscribed | PresenceType::Unsubscribed => Direction::To,
        _ => Direction::From,
    }
}

/// What the decisions say to the contact.
fn words(decisions: &[Decision]) -> impl Iterator<Item = ((BareJid, Direction), PresenceType)> {
    decisions.iter().filter_map(|decision| match decision {
        Decision::Send(stanza) => word(stanza).map(|(_, key, kind)| (key, kind)),
        _ => None,
    })
}

/// Who says what to whom, if it is about a subscription, as servers say it.
fn word(stanza: &Stanza) -> Option<(BareJid, (BareJid, Direction), PresenceType)> {
    let Kind::Presence(kind) = stanza.head.kind else { return None };
    let direction = said(kind)?;
    let (from, to) = stanza.head.from.as_ref().zip(stanza.head.to.as_ref())?;
    (from.is_bare() && to.is_bare()).then(|| (from.to_bare(), (to.to_bare(), direction), kind))
}

fn edit(contact: &BareJid, direction: Direction, content: Option<Content>) -> DocumentEdit {
    let name = match direction {
        Direction::To => "to",
        Direction::From => "from",
    };
    DocumentEdit { collection: OWED.into(), key: format!("{name} {contact}").into(), content }
}

fn write(kind: PresenceType, since: u64) -> Content {
    let name = Kind::Presence(kind).type_name().unwrap_or_default();
    Content { version: VERSION, bytes: Arc::from(format!("{name} {since}").as_bytes()) }
}

fn read(document: &Document) -> Option<((BareJid, Direction), PresenceType, u64)> {
    let (direction, contact) = document.key.split_once(' ')?;
    let (kind, since) = core::str::from_utf8(&document.content.bytes).ok()?.split_once(' ')?;
    let direction = match direction {
        "to" => Direction::To,
        "from" => Direction::From,
        _ => return None,
    };
    let kinds = [
        PresenceType::Subscribe,
        PresenceType::Subscribed,
        PresenceType::Unsubscribe,
        PresenceType::Unsubscribed,
    ];
    let kind = kinds.into_iter().find(|known| Kind::Presence(*known).type_name() == Some(kind))?;
    let is_whole = document.content.version == VERSION && said(kind) == Some(direction);
    let contact = BareJid::parse(contact).ok()?;
    is_whole.then_some(((contact, direction), kind, since.parse().ok()?))
}
