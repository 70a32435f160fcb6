//! What a [`Worker`](crate::Worker) does when: its queues, without its threads.
//!
//! There is a queue for lookups, one for passwords and one for changes. In each of them accounts are served in turn, and each
//! account has a bound of its own ([`Lanes`]).
//!
//! **Order.** What is asked about one account is seen in the order in which it was asked: a lookup is not made before the changes of that
//! account that were asked before are over, however long these take. That is so for lookups of what is kept with all
//! changes; for those of a document with the changes of documents; and for those of keys and passwords with the changes that
//! make, remove or rekey an account: how long a login takes, or a look at what an account shows to everybody, must not tell a
//! stranger that somebody's message is just being stored, and so that there is the account. A new account alone has its place in this order only when
//! its password is hashed; whoever depends on it waits for the reply.
//!
//! **Notes.** Of the notes of last presence of an account only the latest is worth writing. One that waits is replaced by the next.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::{Change as Save, Collections};

use crate::lanes::{Amount, By, Lanes};
use crate::order::{Order, Ticket, Touches};
use crate::worker::{ReplyTo, WorkerConfig};
use crate::{Busy, Change, Edit, Owner, Request, weight};

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
    writes: Lanes<Owner, Write>,
    /// Passwords that are being hashed.
    hashing: usize,
    /// Accounts that are being made and have been hashed; and how many there may be until no more are.
    creating: usize,
    most_creating: usize,
}

/// Whose turn it is among lookups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ReadLane {
    Kept(Owner),
    /// What strangers may see, and so waits for nothing that others cause.
    Document(Owner),
    /// What others may ask for, too: however often they do, there is room to load the account.
    Collections(Owner),
    /// What decides about logins, and so waits for nothing that others cause.
    Keys(BareJid),
    List,
}

/// A lookup.
pub(crate) struct Read {
    pub(crate) lookup: Lookup,
    pub(crate) reply: ReplyTo,
    /// Whose changes it waits for, of which kind, and the last of them.
    depends: Option<(Owner, Touches)>,
    after: Option<Ticket>,
}

/// What is looked up.
#[derive(Debug)]
pub(crate) enum Lookup {
    Credentials(BareJid),
    Exists(BareJid),
    Tokens(BareJid),
    List { domain: Option<String>, after: Option<BareJid>, limit: usize },
    Holders { collection: Box<str>, after: Option<BareJid>, limit: usize },
    Kept(BareJid, Collections),
    Document { owner: Owner, collection: Cow<'static, str>, key: Arc<str> },
    Documents { owner: Owner, collection: Box<str>, after: Option<Box<str>>, bytes: usize },
    Entries { owner: Owner, log: Cow<'static, str>, after: u64, bytes: usize },
}

impl Lookup {
    /// The account, and the changes that it waits for.
    fn depends(&self) -> Option<(Owner, Touches)> {
        match self {
            Lookup::Credentials(account) | Lookup::Exists(account) | Lookup::Tokens(account) => {
                Some((Owner::Account(account.clone()), Touches::All))
            }
            Lookup::Kept(account, _) => Some((Owner::Account(account.clone()), Touches::Kept)),
            Lookup::Document { owner, .. } => Some((owner.clone(), Touches::Documents)),
            Lookup::Documents { owner, .. } | Lookup::Entries { owner, .. } => {
                Some((owner.clone(), Touches::Kept))
            }
            Lookup::List { .. } | Lookup::Holders { .. } => None,
        }
    }

    fn lane(&self) -> ReadLane {
        match self {
            Lookup::Credentials(account) | Lookup::Exists(account) | Lookup::Tokens(account) => {
                ReadLane::Keys(account.clone())
            }
            Lookup::Kept(account, _) => ReadLane::Kept(Owner::Account(account.clone())),
            Lookup::Document { owner, .. } => ReadLane::Document(owner.clone()),
            Lookup::Documents { owner, .. } | Lookup::Entries { owner, .. } => {
                ReadLane::Collections(owner.clone())
            }
            Lookup::List { .. } | Lookup::Holders { .. } => ReadLane::List,
        }
    }

    fn weight(&self) -> usize {
        let text = match self {
            Lookup::List { domain, .. } => domain.as_ref().map_or(0, String::len),
            Lookup::Document { collection, key, .. } => collection.len() + key.len(),
            Lookup::Holders { collection, .. } => collection.len(),
            Lookup::Documents { collection, after, .. } => {
                collection.len() + after.as_ref().map_or(0, |after| after.len())
            }
            Lookup::Entries { log, .. } => log.len(),
            _ => 0,
        };
        weight::REQUEST + text
    }
}

/// What a hasher does for an account with a password.
pub(crate) struct Hashing {
    pub(crate) account: BareJid,
    pub(crate) password: Secret<String>,
    pub(crate) purpose: Purpose,
    pub(crate) reply: ReplyTo,
    /// The account, and the last change of it that this waits for.
    owner: Owner,
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
    owner: Owner,
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
            Request::Holders { collection, after, limit } => {
                self.read(Lookup::Holders { collection, after, limit }, reply)
            }
            Request::Kept { account, collections } => self.read(Lookup::Kept(account, collections), reply),
            Request::Document { owner, collection, key } => {
                self.read(Lookup::Document { owner, collection, key }, reply)
            }
            Request::Documents { owner, collection, after, bytes } => {
                self.read(Lookup::Documents { owner, collection, after, bytes }, reply)
            }
            Request::Entries { owner, log, after, bytes } => {
                self.read(Lookup::Entries { owner, log, after, bytes }, reply)
            }
            Request::Verify { account, password } => self.hash(account, password, Purpose::Verify, reply),
            Request::Create { account, password, replace } => {
                self.hash(account, password, Purpose::Create { replace }, reply)
            }
            Request::SetPassword { account, password } => self.set(account, password, reply),
            Request::Remove { account } => {
                let owner = Owner::Account(account.clone());
                self.write(owner, Change::Remove { account }, By::Owner, Touches::All, reply)
            }
            Request::Tokens { account } => self.read(Lookup::Tokens(account), reply),
            Request::AddKeys { account, keys } => self.key(Change::AddKeys { account, keys }, reply),
            Request::KeepToken { account, agent, used, token, salt } => {
                self.key(Change::KeepToken { account, agent, used, token, salt }, reply)
            }
            Request::RevokeToken { account, id } => self.key(Change::RevokeToken { account, id }, reply),
            Request::Save { account, changes, by_others } => {
                let owner = Owner::Account(account.clone());
                let change = Change::Save { account, changes };
                if is_note(&change) {
                    self.note(owner, change, reply)
                } else {
                    self.save(owner, change, by_others, reply)
                }
            }
            Request::Edit { owner, creation, edits } => {
                self.save(owner.clone(), Change::Edit { owner, creation, edits }, false, reply)
            }
        }
    }

    fn read(&mut self, lookup: Lookup, reply: ReplyTo) -> Result<Option<ReplyTo>, Busy> {
        let (lane, weight) = (lookup.lane(), lookup.weight());
        if !self.reads.has_room(&lane, weight, By::Owner) {
            return Err(Busy);
        }
        let depends = lookup.depends();
        let after = depends.as_ref().and_then(|(owner, touches)| self.order.last(owner, *touches));
        let order = &self.order;
        let read = Read { lookup, reply, depends, after };
        self.reads.push(lane, weight, By::Owner, read, |read| read.is_ready(order));
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
        let owner = Owner::Account(account.clone());
        let (lanes, after) = match purpose {
            Purpose::Set(_) => (&mut self.sets, None),
            Purpose::Verify | Purpose::Create { .. } => {
                (&mut self.hashes, self.order.last(&owner, Touches::All))
            }
        };
        if !lanes.has_room(&account, weight, By::Owner) {
            return Err(Busy);
        }
        let order = &self.order;
        let lane = account.clone();
        let hash = Hashing { account, password, purpose, reply, owner, after };
        lanes.push(lane, weight, By::Owner, hash, |hash| hash.is_ready(order));
        Ok(None)
    }

    fn set(
        &mut self,
        account: BareJid,
        password: Secret<String>,
        reply: ReplyTo,
    ) -> Result<Option<ReplyTo>, Busy> {
        let owner = Owner::Account(account.clone());
        if !self.writes.has_room(&owner, weight::REQUEST, By::Owner) {
            return Err(Busy);
        }
        let ticket = self.order.begin(&owner, Touches::All);
        let taken = self.hash(account, password, Purpose::Set(ticket), reply);
        if taken.is_err() {
            self.order.end(&owner, ticket);
            return taken;
        }
        let write =
            Write { ticket, owner: owner.clone(), touches: Touches::All, is_creating: false, todo: None };
        self.writes.push(owner, weight::REQUEST, By::Owner, write, Write::is_ready);
        taken
    }

    /// A change of what decides about logins.
    fn key(&mut self, change: Change, reply: ReplyTo) -> Result<Option<ReplyTo>, Busy> {
        let owner = change.owner();
        self.write(owner, change, By::Owner, Touches::All, reply)
    }

    fn save(
        &mut self,
        owner: Owner,
        change: Change,
        by_others: bool,
        reply: ReplyTo,
    ) -> Result<Option<ReplyTo>, Busy> {
        let by = if by_others { By::Others } else { By::Owner };
        let touches = if touches_documents(&change) { Touches::Documents } else { Touches::Kept };
        self.write(owner, change, by, touches, reply)
    }

    /// A note counts as its account's own, whoever causes it: there is one at a time, so others can't take the owner's room with that, and the last one
    /// replaces any other.
    fn note(&mut self, owner: Owner, change: Change, reply: ReplyTo) -> Result<Option<ReplyTo>, Busy> {
        let weight = weight::change(&change);
        // Not one from before the account was removed.
        let recent = |write: &&mut Write| write.touches != Touches::All;
        let note = self.writes.items(&owner).rev().take_while(recent).find(|write| write.is_note());
        if let Some(ticket) = note.map(|note| note.ticket) {
            if !self.writes.resize(&owner, weight, |write| write.ticket == ticket) {
                return Err(Busy);
            }
            let note = self.writes.items(&owner).find(|write| write.ticket == ticket);
            let replaced = note.and_then(|note| note.todo.replace((change, reply)));
            return Ok(replaced.map(|(_, reply)| reply));
        }
        self.save(owner, change, false, reply)
    }

    fn write(
        &mut self,
        owner: Owner,
        change: Change,
        by: By,
        touches: Touches,
        reply: ReplyTo,
    ) -> Result<Option<ReplyTo>, Busy> {
        let weight = weight::change(&change);
        if !self.writes.has_room(&owner, weight, by) {
            return Err(Busy);
        }
        let ticket = self.order.begin(&owner, touches);
        let todo = Some((change, reply));
        let write = Write { ticket, owner: owner.clone(), touches, is_creating: false, todo };
        self.writes.push(owner, weight, by, write, Write::is_ready);
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

    /// A password was hashed, and this has to be written; if that is nothing, it has been answered.
    pub(crate) fn hashed(&mut self, account: &BareJid, purpose: Purpose, change: Option<(Change, ReplyTo)>) {
        self.hashing -= 1;
        let owner = Owner::Account(account.clone());
        match (purpose, change) {
            (Purpose::Set(ticket), Some(change)) => {
                if let Some(write) = self.writes.items(&owner).find(|write| write.ticket == ticket) {
                    write.todo = Some(change);
                }
                self.writes.wake(&owner, Write::is_ready);
            }
            (Purpose::Set(ticket), None) => {
                if let Some(write) = self.writes.remove(&owner, |write| write.ticket == ticket) {
                    self.writes.wake(&owner, Write::is_ready);
                    self.over(&write);
                }
            }
            (_, Some(change)) => {
                let ticket = self.order.begin(&owner, Touches::All);
                let weight = weight::change(&change.0);
                self.creating += 1;
                let write = Write {
                    ticket,
                    owner: owner.clone(),
                    touches: Touches::All,
                    is_creating: true,
                    todo: Some(change),
                };
                self.writes.push(owner, weight, By::Owner, write, Write::is_ready);
            }
            (_, None) => {}
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
        let owner = &write.owner;
        self.order.end(owner, write.ticket);
        self.creating -= usize::from(write.is_creating);
        let order = &self.order;
        let lanes = [ReadLane::Kept, ReadLane::Document, ReadLane::Collections];
        for lane in lanes.map(|lane| lane(owner.clone())) {
            self.reads.wake(&lane, |read| read.is_ready(order));
        }
        if let Owner::Account(account) = owner {
            self.reads.wake(&ReadLane::Keys(account.clone()), |read| read.is_ready(order));
            self.hashes.wake(account, |hash| hash.is_ready(order));
        }
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
        let depends = self.depends.as_ref();
        depends.is_none_or(|(owner, touches)| order.is_over(owner, *touches, self.after))
    }
}

impl Hashing {
    fn is_ready(&self, order: &Order) -> bool {
        matches!(self.purpose, Purpose::Set(_)) || order.is_over(&self.owner, Touches::All, self.after)
    }
}

/// Whether it is a note of last presence and nothing else.
fn is_note(change: &Change) -> bool {
    matches!(change, Change::Save { changes, .. } if matches!(changes[..], [Save::LastSeen(_)]))
}

/// Whether documents are other ones after it.
fn touches_documents(change: &Change) -> bool {
    match change {
        Change::Save { changes, .. } => changes.iter().any(|change| matches!(change, Save::Document { .. })),
        Change::Edit { edits, .. } => edits.iter().any(|edit| matches!(edit, Edit::Document(_))),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
