//! A store that keeps accounts in memory and answers each [`Ask`] at once.
//!
//! It is the contract of `store.rs` in its shortest form: a save is done whole or not at all, and refused if there is no room or
//! if it is meant for another account of the same name. Passwords are not kept, since who may log in is no question of a router.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_roster::Parts;
use balcony_stanza::Stanza;

use crate::{Answer, Append, Ask, Change, Content, Document, DocumentEdit, Entry, Kept, LastSeen, LogEdit};

/// Accounts in memory: answers a router's [`Ask`]s at once.
///
/// It is for tests, and for servers whose accounts need not outlive them. Whoever writes another store can read in it what that has
/// to do.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    accounts: BTreeMap<BareJid, Account>,
    /// How many accounts were made.
    created: u64,
}

#[derive(Clone, Debug, Default)]
struct Account {
    kept: Kept,
    /// The number of the next message or entry.
    next: u64,
    documents: BTreeMap<(Cow<'static, str>, Arc<str>), Content>,
    entries: BTreeMap<(Cow<'static, str>, u64), Entry>,
}

impl Memory {
    /// Makes an account, unless it exists.
    pub fn create(&mut self, account: BareJid) {
        self.made(account);
    }

    /// Ends an account, with all that is kept of it.
    pub fn remove(&mut self, account: &BareJid) {
        self.accounts.remove(account);
    }

    /// What is kept of an account, if it exists.
    #[must_use]
    pub fn kept(&self, account: &BareJid) -> Option<&Kept> {
        self.accounts.get(account).map(|account| &account.kept)
    }

    /// Keeps something else of an account, which is made if it doesn't exist.
    pub fn keep(&mut self, account: BareJid, kept: Kept) {
        let account = self.made(account);
        let creation = account.kept.creation;
        account.kept = Kept { creation, ..kept };
    }

    /// The account, which is made if it doesn't exist.
    fn made(&mut self, account: BareJid) -> &mut Account {
        let created = &mut self.created;
        self.accounts.entry(account).or_insert_with(|| {
            *created += 1;
            let kept = Kept { creation: *created, ..Kept::default() };
            Account { kept, ..Account::default() }
        })
    }

    /// The documents of one of an account's collections, by their keys.
    pub fn documents(&self, account: &BareJid, collection: &str) -> impl Iterator<Item = (&str, &Content)> {
        let account = self.accounts.get(account).into_iter();
        account
            .flat_map(|account| &account.documents)
            .filter_map(move |((name, key), content)| (name == collection).then_some((&**key, content)))
    }

    /// Up to `limit` accounts that have documents in this collection, in the order of their names, behind `after`.
    #[must_use]
    pub fn holders(&self, collection: &str, after: Option<&BareJid>, limit: usize) -> Vec<BareJid> {
        let holds = |account: &&BareJid| self.documents(account, collection).next().is_some();
        let behind = |account: &&BareJid| after.is_none_or(|after| *account > after);
        self.accounts.keys().filter(behind).filter(holds).take(limit).cloned().collect()
    }

    /// The entries of one of an account's logs, the oldest first.
    pub fn entries(&self, account: &BareJid, log: &str) -> impl Iterator<Item = &Entry> {
        let account = self.accounts.get(account).into_iter();
        account
            .flat_map(|account| &account.entries)
            .filter_map(move |((name, _), entry)| (name == log).then_some(entry))
    }

    /// Answers. `now` is in milliseconds since the start of 1970 (UTC).
    pub fn answer(&mut self, now: u64, ask: Ask) -> Answer {
        if let Ask::Remove { account } = &ask {
            return if self.accounts.remove(account).is_some() { Answer::Saved } else { Answer::Refused };
        }
        let account = self.accounts.get_mut(ask.account());
        match (ask, account) {
            (Ask::Load { collections, .. }, account) => Answer::Loaded(account.map(|account| {
                Kept {
                    now,
                    documents: account.documents_of(&collections),
                    logs: account.logs(),
                    ..account.kept.clone()
                }
                .into()
            })),
            (Ask::Document { collection, key, .. }, account) => Answer::Document(
                account.and_then(|account| account.documents.get(&(collection, key)).cloned()),
            ),
            (Ask::Entries { log, bytes, .. }, account) => {
                let (entries, more) =
                    account.map_or_else(Default::default, |account| account.oldest_entries(&log, bytes));
                Answer::Entries { entries, more }
            }
            (Ask::Save { changes, .. }, Some(account)) => {
                let mut changed = account.clone();
                for change in changes {
                    if !changed.apply(now, change) {
                        return Answer::Refused;
                    }
                }
                *account = changed;
                Answer::Saved
            }
            // Nobody logs in here, so passwords are of no use.
            (Ask::SetPassword { .. }, Some(_)) => Answer::Saved,
            _ => Answer::Refused,
        }
    }
}

impl Account {
    fn documents_of(&self, collections: &[Cow<'static, str>]) -> Vec<Document> {
        let wanted = self.documents.iter().filter(|((name, _), _)| collections.contains(name));
        wanted
            .map(|((collection, key), content)| Document {
                collection: collection.clone(),
                key: Arc::clone(key),
                content: content.clone(),
            })
            .collect()
    }

    fn logs(&self) -> Vec<(Cow<'static, str>, usize)> {
        let mut logs: Vec<(Cow<'static, str>, usize)> = Vec::new();
        for (name, _) in self.entries.keys() {
            match logs.last_mut() {
                Some((last, count)) if last == name => *count += 1,
                _ => logs.push((name.clone(), 1)),
            }
        }
        logs
    }

    /// The oldest entries that fit, or only one; and whether there are more.
    fn oldest_entries(&self, log: &str, bytes: usize) -> (Vec<Entry>, bool) {
        let all = self.entries.iter().filter(|((name, _), _)| name == log).map(|(_, entry)| entry);
        let (mut entries, mut total) = (Vec::new(), 0_usize);
        for entry in all {
            total = total.saturating_add(entry.content.bytes.len());
            if total > bytes && !entries.is_empty() {
                return (entries, true);
            }
            entries.push(entry.clone());
        }
        (entries, false)
    }

    /// Makes a change; `false` if there is no room, or it is meant for another account.
    fn apply(&mut self, now: u64, change: Change) -> bool {
        let kept = &mut self.kept;
        match change {
            Change::Roster { contact, item, request, version, pushed } => {
                let empty =
                    || Parts { version, items: Vec::new(), requests: Vec::new(), changes: Vec::new() };
                let roster = kept.roster.get_or_insert_with(empty);
                let is_other = |stanza: &Stanza| {
                    stanza.head.from.as_ref().is_none_or(|from| from.bare_str() != contact.as_str())
                };
                roster.version = version;
                roster.items.retain(|item| item.jid != contact);
                roster.items.extend(item);
                roster.requests.retain(|request| is_other(request));
                roster.requests.extend(request);
                if pushed {
                    roster.changes.push(contact);
                    let excess = roster.changes.len().saturating_sub(MOST_CHANGES);
                    roster.changes.drain(..excess);
                }
            }
            Change::LastSeen(presence) => kept.last = Some(LastSeen { at: now, presence }),
            Change::Document { creation, .. } | Change::Log { creation, .. } if creation != kept.creation => {
                return false;
            }
            Change::Document { edit, .. } if edit.key.len() > DocumentEdit::LONGEST_KEY => return false,
            Change::Document { edit: DocumentEdit { collection, key, content }, .. } => {
                match content {
                    Some(content) => self.documents.insert((collection, key), content),
                    None => self.documents.remove(&(collection, key)),
                };
            }
            Change::Log { edit: LogEdit::Append(entry), .. } => return self.append(now, entry),
            Change::Log { edit: LogEdit::Trim { log, up_to }, .. } => {
                self.entries.retain(|(name, number), _| *name != log || *number > up_to);
            }
        }
        true
    }

    /// Appends to a log; `false` if there is no room.
    fn append(&mut self, now: u64, Append { log, tag, content, room }: Append) -> bool {
        let held = self.entries.iter().filter(|((name, _), _)| *name == log);
        let sizes = held.map(|(_, entry)| entry.content.bytes.len());
        if sizes.clone().count() >= room.entries
            || sizes.sum::<usize>() > room.bytes.saturating_sub(content.bytes.len())
            || content.bytes.len() > room.bytes
        {
            return false;
        }
        self.entries.insert((log, self.next), Entry { number: self.next, at: now, tag, content });
        self.next += 1;
        true
    }
}

/// As many as the default of [`balcony_roster::RosterConfig::changes`].
const MOST_CHANGES: usize = 256;
