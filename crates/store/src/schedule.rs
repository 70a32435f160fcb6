//! What a [`Worker`](crate::Worker) does when: its queues, without its threads.
//!
//! There is a queue for lookups, one for passwords and one for changes. In each of them accounts are served in turn, and each
//! account has a bound of its own ([`Lanes`]).
//!
//! **Order.** What is asked about one account is seen in the order in which it was asked: a lookup is not made before the changes of that
//! account that were asked before are over, however long these take. That is so for lookups of what is kept with all
//! changes, and for those of keys and passwords with the changes that make, remove or rekey an account: how long a login
//! takes must not tell a stranger that somebody's message is just being stored. A new account alone has its place in this order only when
//! its password is hashed; whoever depends on it waits for the reply.
//!
//! **Notes.** Of the notes of last presence of an account only the latest is worth writing. One that waits is replaced by the next.

use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::Change as Save;

use crate::lanes::{Amount, Lanes};
use crate::order::{Order, Ticket, Touches};
use crate::worker::{ReplyTo, WorkerConfig};
use crate::{Busy, Change, Request, weight};

/// Changes that share one write to the disk at most.
const BATCH: Amount = Amount { entries: 1024, bytes: 8 << 20 };

/// See the [module](self).
pub(crate) struct Schedule {
    is_open: bool,
    order: Order,
    reads: Lanes<ReadLane, Read>,
    /// Passwords of those who may be anybody.
    hashes: Lanes<BareJid, Hashing>,
    /// New passwords of those who have logged in. They don't wait behind those who try to.
    sets: Lanes<BareJid, Hashing>,
    /// Whose turn it is of these two.
    is_set_next: bool,
    writes: Lanes<BareJid, Write>,
    /// Passwords that are being hashed.
    hashing: usize,
    /// Accounts that are being made and have been hashed; and how many there may be until no more are.
    creating: usize,
    most_creating: usize,
}

/// Whose turn it is among lookups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ReadLane {
    Kept(BareJid),
    /// What decides about logins, and so waits for nothing that others cause.
    Keys(BareJid),
    List,
}

/// A lookup.
pub(crate) struct Read {
    pub(crate) lookup: Lookup,
    pub(crate) reply: ReplyTo,
    after: Option<Ticket>,
}

/// What is looked up.
#[derive(Debug)]
pub(crate) enum Lookup {
    Credentials(BareJid),
    Exists(BareJid),
    List { domain: Option<String>, after: Option<BareJid>, limit: usize },
    Kept(BareJid),
    Offline(BareJid, usize),
}

impl Lookup {
    /// The account, and the changes that it waits for.
    fn depends(&self) -> Option<(&BareJid, Touches)> {
        match self {
            Lookup::Credentials(account) | Lookup::Exists(account) => Some((account, Touches::All)),
            Lookup::Kept(account) | Lookup::Offline(account, _) => Some((account, Touches::Kept)),
            Lookup::List { .. } => None,
        }
    }

    fn lane(&self) -> ReadLane {
        match self {
            Lookup::Credentials(account) | Lookup::Exists(account) => ReadLane::Keys(account.clone()),
            Lookup::Kept(account) | Lookup::Offline(account, _) => ReadLane::Kept(account.clone()),
            Lookup::List { .. } => ReadLane::List,
        }
    }

    fn weight(&self) -> usize {
        let domain = match self {
            Lookup::List { domain, .. } => domain.as_ref().map_or(0, String::len),
            _ => 0,
        };
        weight::REQUEST + domain
    }
}

/// What a hasher does for an account with a password.
pub(crate) struct Hashing {
    pub(crate) account: BareJid,
    pub(crate) password: Secret<String>,
    pub(crate) purpose: Purpose,
    pub(crate) reply: ReplyTo,
    after: Option<Ticket>,
}

/// What a password is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Verify,
    Create {
        replace: bool,
    },
    /// Its change has this place among the account's changes.
    Set(Ticket),
}

/// A change that has its place among those of its account.
pub(crate) struct Write {
    pub(crate) ticket: Ticket,
    pub(crate) account: BareJid,
    touches: Touches,
    is_creating: bool,
    /// `None` while a hasher makes it.
    pub(crate) todo: Option<(Change, ReplyTo)>,
}

impl Write {
    fn is_ready(&self) -> bool {
        self.todo.is_some()
    }

    fn is_note(&self) -> bool {
        self.todo.as_ref().is_some_and(|(change, _)| is_note(change))
    }
}

impl Schedule {
    pub(crate) fn new(config: &WorkerConfig) -> Schedule {
        let all = Amount { entries: config.queue, bytes: config.queue_bytes };
        let each = Amount { entries: config.account_queue, bytes: config.account_bytes };
        Schedule {
            is_open: true,
            order: Order::default(),
            reads: Lanes::new(all, each),
            hashes: Lanes::new(all, each),
            sets: Lanes::new(all, each),
            is_set_next: false,
            writes: Lanes::new(all, each),
            hashing: 0,
            creating: 0,
            most_creating: config.queue.max(1),
        }
    }

    /// Takes no more requests.
    pub(crate) fn close(&mut self) {
        self.is_open = false;
    }

    /// Takes a request. If it replaces another, what is returned has to be told that the other was not done.
    pub(crate) fn submit(&mut self, request: Request, reply: ReplyTo) -> Result<Option<ReplyTo>, Busy> {
        if !self.is_open {
            return Err(Busy);
        }
        match request {
            Request::Credentials { account } => self.read(Lookup::Credentials(account), reply),
            Request::Exists { account } => self.read(Lookup::Exists(account), reply),
            Request::List { domain, after, limit } => self.read(Lookup::List { domain, after, limit }, reply),
            Request::Kept { account } => self.read(Lookup::Kept(account), reply),
            Request::Offline { account, bytes } => self.read(Lookup::Offline(account, bytes), reply),
            Request::Verify { account, password } => self.hash(account, password, Purpose::Verify, reply),
            Request::Create { account, password, replace } => {
                self.hash(account, password, Purpose::Create { replace }, reply)
            }
            Request::SetPassword { account, password } => self.set(account, password, reply),
            Request::Remove { account } => {
                self.write(account.clone(), Change::Remove { account }, Touches::All, reply)
            }
            Request::Save { account, changes } => {
                let change = Change::Save { account: account.clone(), changes };
                if is_note(&change) {
                    self.note(account, change, reply)
                } else {
                    self.save(account, change, reply)
                }
            }
        }
    }

    fn read(&mut self, lookup: Lookup, reply: ReplyTo) -> Result<Option<ReplyTo>, Busy> {
        let (lane, weight) = (lookup.lane(), lookup.weight());
        if !self.reads.has_room(&lane, weight, self.reads.each()) {
            return Err(Busy);
        }
        let after = lookup.depends().and_then(|(account, touches)| self.order.last(account, touches));
        let order = &self.order;
        self.reads.push(lane, weight, Read { lookup, reply, after }, |read| read.is_ready(order));
        Ok(None)
    }

    fn hash(
        &mut self,
        account: BareJid,
        password: Secret<String>,
        purpose: Purpose,
        reply: ReplyTo,
    ) -> Result<Option<ReplyTo>, Busy> {
        let weight = weight::REQUEST + password.expose().len();
        // Whatever came before a new password, its change comes after.
        let (lanes, after) = match purpose {
            Purpose::Set(_) => (&mut self.sets, None),
            Purpose::Verify | Purpose::Create { .. } => {
                (&mut self.hashes, self.order.last(&account, Touches::All))
            }
        };
        if !lanes.has_room(&account, weight, lanes.each()) {
            return Err(Busy);
        }
        let order = &self.order;
        let lane = account.clone();
        let hash = Hashing { account, password, purpose, reply, after };
        lanes.push(lane, weight, hash, |hash| hash.is_ready(order));
        Ok(None)
    }

    fn set(
        &mut self,
        account: BareJid,
        password: Secret<String>,
        reply: ReplyTo,
    ) -> Result<Option<ReplyTo>, Busy> {
        if !self.writes.has_room(&account, weight::REQUEST, self.writes.each()) {
            return Err(Busy);
        }
        let ticket = self.order.begin(&account, Touches::All);
        let taken = self.hash(account.clone(), password, Purpose::Set(ticket), reply);
        if taken.is_err() {
            self.order.end(&account, ticket);
            return taken;
        }
        let write =
            Write { ticket, account: account.clone(), touches: Touches::All, is_creating: false, todo: None };
        self.writes.push(account, weight::REQUEST, write, Write::is_ready);
        taken
    }

    /// What others cause takes half of an account's room at most, so that the user's own changes find some.
    fn save(&mut self, account: BareJid, change: Change, reply: ReplyTo) -> Result<Option<ReplyTo>, Busy> {
        let each = self.writes.each();
        let bound = if is_by_strangers(&change) { each.half() } else { each };
        if !self.writes.has_room(&account, weight::change(&change), bound) {
            return Err(Busy);
        }
        self.write(account, change, Touches::Kept, reply)
    }

    fn note(&mut self, account: BareJid, change: Change, reply: ReplyTo) -> Result<Option<ReplyTo>, Busy> {
        let weight = weight::change(&change);
        // Not one from before the account was removed.
        let recent = |write: &&mut Write| write.touches == Touches::Kept;
        let note = self.writes.items(&account).rev().take_while(recent).find(|write| write.is_note());
        if let Some(ticket) = note.map(|note| note.ticket) {
            if !self.writes.resize(&account, weight, |write| write.ticket == ticket) {
                return Err(Busy);
            }
            let note = self.writes.items(&account).find(|write| write.ticket == ticket);
            let replaced = note.and_then(|note| note.todo.replace((change, reply)));
            return Ok(replaced.map(|(_, reply)| reply));
        }
        self.save(account, change, reply)
    }

    fn write(
        &mut self,
        account: BareJid,
        change: Change,
        touches: Touches,
        reply: ReplyTo,
    ) -> Result<Option<ReplyTo>, Busy> {
        let weight = weight::change(&change);
        if !self.writes.has_room(&account, weight, self.writes.each()) {
            return Err(Busy);
        }
        let ticket = self.order.begin(&account, touches);
        let todo = Some((change, reply));
        let write = Write { ticket, account: account.clone(), touches, is_creating: false, todo };
        self.writes.push(account, weight, write, Write::is_ready);
        Ok(None)
    }

    /// The next lookup that may be made.
    pub(crate) fn next_read(&mut self) -> Option<Read> {
        let order = &self.order;
        self.reads.pop(|read| read.is_ready(order)).map(|(_, read)| read)
    }

    /// The next password that may be hashed; [`hashed`](Schedule::hashed) has to be called for it.
    pub(crate) fn next_hash(&mut self) -> Option<Hashing> {
        self.is_set_next = !self.is_set_next;
        let order = &self.order;
        let set = |sets: &mut Lanes<_, Hashing>| sets.pop(|_| true);
        let other = |hashes: &mut Lanes<_, Hashing>| hashes.pop(|hash| hash.is_ready(order));
        let (_, hash) = match self.is_set_next {
            _ if self.creating >= self.most_creating => set(&mut self.sets),
            true => set(&mut self.sets).or_else(|| other(&mut self.hashes)),
            false => other(&mut self.hashes).or_else(|| set(&mut self.sets)),
        }?;
        self.hashing += 1;
        Some(hash)
    }

    /// A password was hashed, and this has to be written. Returns its reply if that is nothing.
    pub(crate) fn hashed(
        &mut self,
        account: &BareJid,
        purpose: Purpose,
        reply: ReplyTo,
        change: Option<Change>,
    ) -> Option<ReplyTo> {
        self.hashing -= 1;
        match (purpose, change) {
            (Purpose::Set(ticket), Some(change)) => {
                if let Some(write) = self.writes.items(account).find(|write| write.ticket == ticket) {
                    write.todo = Some((change, reply));
                }
                self.writes.wake(account, Write::is_ready);
                None
            }
            (Purpose::Set(ticket), None) => {
                if let Some(write) = self.writes.remove(account, |write| write.ticket == ticket) {
                    self.writes.wake(account, Write::is_ready);
                    self.over(&write);
                }
                Some(reply)
            }
            (_, Some(change)) => {
                let ticket = self.order.begin(account, Touches::All);
                let weight = weight::change(&change);
                self.creating += 1;
                let write = Write {
                    ticket,
                    account: account.clone(),
                    touches: Touches::All,
                    is_creating: true,
                    todo: Some((change, reply)),
                };
                self.writes.push(account.clone(), weight, write, Write::is_ready);
                None
            }
            (_, None) => Some(reply),
        }
    }

    /// The next changes that are written together, in their order; [`over`](Schedule::over) has to be called for each.
    pub(crate) fn next_writes(&mut self) -> Vec<Write> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH.entries
            && bytes < BATCH.bytes
            && let Some((size, write)) = self.writes.pop(Write::is_ready)
        {
            bytes += size;
            batch.push(write);
        }
        batch
    }

    /// The change was made and can be read, or it was not and won't be. What waited for it goes on.
    pub(crate) fn over(&mut self, write: &Write) {
        let account = &write.account;
        self.order.end(account, write.ticket);
        self.creating -= usize::from(write.is_creating);
        let order = &self.order;
        for lane in [ReadLane::Kept(account.clone()), ReadLane::Keys(account.clone())] {
            self.reads.wake(&lane, |read| read.is_ready(order));
        }
        self.hashes.wake(account, |hash| hash.is_ready(order));
    }

    /// Whether there will be no more lookups.
    pub(crate) fn has_read_all(&self) -> bool {
        !self.is_open && self.reads.is_empty()
    }

    /// Whether there will be no more passwords.
    pub(crate) fn has_hashed_all(&self) -> bool {
        !self.is_open && self.hashes.is_empty() && self.sets.is_empty()
    }

    /// Whether there will be no more changes.
    pub(crate) fn has_written_all(&self) -> bool {
        self.has_hashed_all() && self.hashing == 0 && self.writes.is_empty()
    }
}

impl Read {
    fn is_ready(&self, order: &Order) -> bool {
        self.lookup.depends().is_none_or(|(account, touches)| order.is_over(account, touches, self.after))
    }
}

impl Hashing {
    fn is_ready(&self, order: &Order) -> bool {
        matches!(self.purpose, Purpose::Set(_)) || order.is_over(&self.account, Touches::All, self.after)
    }
}

/// Whether it is a note of last presence and nothing else.
fn is_note(change: &Change) -> bool {
    matches!(change, Change::Save { changes, .. } if matches!(changes[..], [Save::LastSeen(_)]))
}

/// Whether strangers alone are the cause.
fn is_by_strangers(change: &Change) -> bool {
    let is_strange = |change: &Save| matches!(change, Save::PutOffline { from_contact: false, .. });
    matches!(change, Change::Save { changes, .. } if changes.iter().all(is_strange))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::collections::{BTreeMap, BTreeSet};
    use core::num::NonZeroUsize;
    use proptest::prelude::*;

    const SMALL: WorkerConfig = WorkerConfig {
        iterations: 0,
        hashers: NonZeroUsize::MIN,
        queue: 24,
        queue_bytes: 1 << 20,
        account_queue: 12,
        account_bytes: 1 << 20,
    };

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Save(u8),
        Remove(u8),
        Set(u8),
        Create(u8),
        Kept(u8),
        Exists(u8),
        Verify(u8),
        Read,
        Hash,
        /// A password is done, and whether there is a change.
        Hashed(bool),
        Write,
        /// All changes under way are over.
        Over,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        use Step as S;
        let request = (0..7_usize, 0..3_u8).prop_map(|(kind, who)| {
            let kinds: [fn(u8) -> Step; 7] =
                [S::Save, S::Remove, S::Set, S::Create, S::Kept, S::Exists, S::Verify];
            kinds[kind](who)
        });
        let work = prop_oneof![
            3 => Just(S::Read), 2 => Just(S::Hash), 2 => any::<bool>().prop_map(S::Hashed),
            1 => Just(S::Write), 1 => Just(S::Over),
        ];
        prop::collection::vec(prop_oneof![request, work], 0..120)
    }

    fn account(who: u8) -> BareJid {
        ["a@b", "c@b", "d@b"][usize::from(who)].parse().unwrap()
    }

    fn reply() -> ReplyTo {
        Box::new(|_| {})
    }

    /// The schedule beside the rule that it keeps: what has to be over before each lookup.
    #[derive(Default)]
    struct Model {
        /// Changes that were asked and are not over, in their order: what they touch.
        open: BTreeMap<(BareJid, Ticket), Touches>,
        /// For each lookup that was asked, by its number: the changes before it.
        lookups: BTreeMap<usize, BTreeSet<(BareJid, Ticket)>>,
        hashing: Vec<Hashing>,
        writing: Vec<Write>,
        /// The last change of each account that was taken.
        taken: BTreeMap<BareJid, Ticket>,
        next: usize,
    }

    impl Model {
        /// The changes of the account that are under way, as the schedule knows them.
        fn note(&mut self, schedule: &Schedule, account: &BareJid, touches: Touches) {
            if let Some(ticket) = schedule.order.last(account, Touches::Kept) {
                self.open.entry((account.clone(), ticket)).or_insert(touches);
            }
        }

        fn before(&self, account: &BareJid, touches: Touches) -> BTreeSet<(BareJid, Ticket)> {
            let matters = |kind: Touches| touches == Touches::Kept || kind == Touches::All;
            let own = self.open.iter().filter(|((who, _), kind)| who == account && matters(**kind));
            own.map(|(key, _)| key.clone()).collect()
        }

        fn step(&mut self, schedule: &mut Schedule, step: Step) -> Result<(), TestCaseError> {
            let password = || Secret::new(String::from("x"));
            match step {
                Step::Save(who) | Step::Remove(who) | Step::Set(who) => {
                    let account = account(who);
                    let (request, touches) = match step {
                        Step::Save(_) => {
                            let changes = Vec::from([Save::UnblockAll]);
                            (Request::Save { account: account.clone(), changes }, Touches::Kept)
                        }
                        Step::Remove(_) => (Request::Remove { account: account.clone() }, Touches::All),
                        _ => {
                            let (account, password) = (account.clone(), password());
                            (Request::SetPassword { account, password }, Touches::All)
                        }
                    };
                    if schedule.submit(request, reply()).is_ok() {
                        self.note(schedule, &account, touches);
                    }
                }
                Step::Create(who) => {
                    let (account, password) = (account(who), password());
                    drop(schedule.submit(Request::Create { account, password, replace: true }, reply()));
                }
                Step::Verify(who) => {
                    let (account, password) = (account(who), password());
                    drop(schedule.submit(Request::Verify { account, password }, reply()));
                }
                Step::Kept(who) | Step::Exists(who) => {
                    let account = account(who);
                    let (before, number) = match step {
                        Step::Kept(_) => (self.before(&account, Touches::Kept), self.next),
                        // It has no number; at any time there is one of an account at most.
                        _ => (self.before(&account, Touches::All), usize::MAX - usize::from(who)),
                    };
                    let request = match step {
                        Step::Kept(_) => Request::Offline { account, bytes: number },
                        _ if self.lookups.contains_key(&number) => return Ok(()),
                        _ => Request::Exists { account },
                    };
                    if schedule.submit(request, reply()).is_ok() {
                        self.lookups.insert(number, before);
                        self.next += 1;
                    }
                }
                Step::Read => {
                    let Some(read) = schedule.next_read() else { return Ok(()) };
                    let number = match &read.lookup {
                        Lookup::Offline(_, number) => *number,
                        Lookup::Exists(of) => {
                            usize::MAX - usize::from((0..3).find(|who| account(*who) == *of).unwrap())
                        }
                        other => panic!("{other:?}"),
                    };
                    let before = self.lookups.remove(&number).unwrap();
                    prop_assert!(before.iter().all(|change| !self.open.contains_key(change)));
                }
                Step::Hash => self.hashing.extend(schedule.next_hash()),
                Step::Hashed(has_change) => {
                    let Some(Hashing { account, purpose, .. }) = self.hashing.pop() else { return Ok(()) };
                    let change = Change::Remove { account: account.clone() };
                    let has_change = has_change && !matches!(purpose, Purpose::Verify);
                    schedule.hashed(&account, purpose, reply(), has_change.then_some(change));
                    match purpose {
                        Purpose::Set(ticket) if !has_change => drop(self.open.remove(&(account, ticket))),
                        Purpose::Create { .. } if has_change => self.note(schedule, &account, Touches::All),
                        _ => {}
                    }
                }
                Step::Write => {
                    for write in schedule.next_writes() {
                        let before = self.taken.insert(write.account.clone(), write.ticket);
                        prop_assert!(before < Some(write.ticket) && write.todo.is_some());
                        self.writing.push(write);
                    }
                }
                Step::Over => {
                    for write in self.writing.drain(..) {
                        self.open.remove(&(write.account.clone(), write.ticket));
                        schedule.over(&write);
                    }
                }
            }
            Ok(())
        }
    }

    proptest! {
        // No lookup is made before the changes that were asked before it are over; changes of one account keep their order; and
        // nothing that was taken stays behind.
        #[test]
        fn nothing_overtakes_a_change(steps in steps()) {
            let mut schedule = Schedule::new(&SMALL);
            let mut model = Model::default();
            for step in steps {
                model.step(&mut schedule, step)?;
            }
            schedule.close();
            for _ in 0..400 {
                for step in [Step::Hash, Step::Hashed(true), Step::Write, Step::Over, Step::Read] {
                    model.step(&mut schedule, step)?;
                }
            }
            prop_assert!(schedule.has_read_all() && schedule.has_hashed_all() && schedule.has_written_all());
            prop_assert!(model.lookups.is_empty() && model.open.is_empty() && schedule.order.is_empty());
            let held = [schedule.reads.held(), schedule.writes.held(), schedule.hashes.held(), schedule.sets.held()];
            prop_assert_eq!((held, schedule.creating, schedule.hashing), ([Amount::default(); 4], 0, 0));
        }
    }
}
