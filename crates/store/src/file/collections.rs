//! Documents and logs in the file: read, changed within a transaction, and counted, so that a log keeps to its bound.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_router::extension::Kind;
use balcony_router::{Append, Content, Document, DocumentEdit, Entry, LogEdit};
use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::read::Reading;
use super::tables::{
    COLLECTIONS, DOCUMENTS, DocumentKey, DocumentValue, ENTRIES, EntryKey, EntryValue, LOGS, LogKey, META,
    end,
};
use super::write::counter;
use crate::collection::{EditRef, Held, OwnerKind, Part, content, kind_name};
use crate::record::{address, key};
use crate::{Collections, Documents, Entries, Owner, StoreError};

/// The front of an owner's keys.
fn front(owner: &Owner) -> (u8, &str, &str) {
    let (domain, local) = key(owner.address());
    (owner.kind().number(), domain, local)
}

/// The tables, while they are changed.
pub(super) struct Writing<'t> {
    documents: Table<'t, DocumentKey<'static>, DocumentValue<'static>>,
    entries: Table<'t, EntryKey<'static>, EntryValue<'static>>,
    logs: Table<'t, LogKey<'static>, (u64, u64)>,
    collections: Table<'t, (&'static str, &'static str), u8>,
    /// Milliseconds since 1970.
    now: u64,
    /// The highest number that an entry has had.
    pub(super) number: u64,
}

impl<'t> Writing<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, number: u64, now: u64) -> Result<Self, StoreError> {
        Ok(Writing {
            documents: transaction.open_table(DOCUMENTS)?,
            entries: transaction.open_table(ENTRIES)?,
            logs: transaction.open_table(LOGS)?,
            collections: transaction.open_table(COLLECTIONS)?,
            now,
            number,
        })
    }

    /// How much a log holds, or a part of it.
    pub(super) fn held(&self, owner: &Owner, log: &str, part: Part) -> Result<Held, StoreError> {
        let (kind, domain, local) = front(owner);
        let Part::Between(after, up_to) = part else {
            return held(&self.logs, (kind, domain, local, log));
        };
        let Some(first) = after.checked_add(1).filter(|first| *first <= up_to) else {
            return Ok(Held::default());
        };
        let mut all = Held::default();
        for entry in
            self.entries.range((kind, domain, local, log, first)..=(kind, domain, local, log, up_to))?
        {
            all = all.with(Held::one(entry?.1.value().3.len()));
        }
        Ok(all)
    }

    pub(super) fn edit(&mut self, owner: &Owner, edit: EditRef<'_>) -> Result<(), StoreError> {
        let (kind, domain, local) = front(owner);
        match edit {
            EditRef::Document(DocumentEdit { collection, key, content: Some(content) }) => {
                self.note(Kind::Documents, collection, content.version)?;
                let key = (kind, domain, local, &**collection, &**key);
                self.documents.insert(key, (content.version, &*content.bytes))?;
            }
            EditRef::Document(DocumentEdit { collection, key, content: None }) => {
                self.documents.remove((kind, domain, local, &**collection, &**key))?;
            }
            EditRef::Log(LogEdit::Append(Append { log, tag, content, .. })) => {
                self.note(Kind::Log, log, content.version)?;
                self.number += 1;
                let value = (self.now, &**tag, content.version, &*content.bytes);
                self.entries.insert((kind, domain, local, &**log, self.number), value)?;
                let one = Held::one(content.bytes.len());
                count(&mut self.logs, (kind, domain, local, log), |held| held.with(one))?;
            }
            EditRef::Log(LogEdit::Trim { log, up_to }) => {
                let range = (kind, domain, local, &**log, 0)..=(kind, domain, local, &**log, *up_to);
                let mut gone = Held::default();
                self.entries.retain_in(range, |_, value| {
                    gone = gone.with(Held::one(value.3.len()));
                    false
                })?;
                count(&mut self.logs, (kind, domain, local, log), |held| held.without(gone))?;
            }
        }
        Ok(())
    }

    /// Puts all that was exported, with the same numbers; entries without one get new ones.
    pub(super) fn restore(&mut self, owner: &Owner, collections: &Collections) -> Result<(), StoreError> {
        let (kind, domain, local) = front(owner);
        for Document { collection, key, content } in &collections.documents {
            self.note(Kind::Documents, collection, content.version)?;
            self.documents
                .insert((kind, domain, local, &**collection, &**key), (content.version, &*content.bytes))?;
        }
        let given = collections.logs.iter().flat_map(|(_, entries)| entries).map(|entry| entry.number);
        self.number = given.fold(self.number, u64::max);
        for (log, entries) in &collections.logs {
            for Entry { number, at, tag, content } in entries {
                self.note(Kind::Log, log, content.version)?;
                let number = match *number {
                    0 => {
                        self.number += 1;
                        self.number
                    }
                    number => number,
                };
                self.entries.insert(
                    (kind, domain, local, &**log, number),
                    (*at, &**tag, content.version, &*content.bytes),
                )?;
                let one = Held::one(content.bytes.len());
                count(&mut self.logs, (kind, domain, local, log), |held| held.with(one))?;
            }
        }
        Ok(())
    }

    /// Whether an owner has anything.
    pub(super) fn has_any(&self, owner: &Owner) -> Result<bool, StoreError> {
        let (kind, domain, local) = front(owner);
        let end = end(local);
        let mut documents =
            self.documents.range((kind, domain, local, "", "")..(kind, domain, &*end, "", ""))?;
        let mut logs = self.logs.range((kind, domain, local, "")..(kind, domain, &*end, ""))?;
        Ok(documents.next().transpose()?.is_some() || logs.next().transpose()?.is_some())
    }

    /// Takes away all that an owner has.
    pub(super) fn clear(&mut self, owner: &Owner) -> Result<(), StoreError> {
        let (kind, domain, local) = front(owner);
        let end = end(local);
        self.documents
            .retain_in((kind, domain, local, "", "")..(kind, domain, &*end, "", ""), |_, _| false)?;
        self.entries.retain_in((kind, domain, local, "", 0)..(kind, domain, &*end, "", 0), |_, _| false)?;
        self.logs.retain_in((kind, domain, local, "")..(kind, domain, &*end, ""), |_, _| false)?;
        Ok(())
    }

    /// Remembers the highest version of a collection.
    fn note(&mut self, kind: Kind, name: &str, version: u8) -> Result<(), StoreError> {
        let before = self.collections.get((kind_name(kind), name))?.map(|before| before.value());
        if before.is_none_or(|before| before < version) {
            self.collections.insert((kind_name(kind), name), version)?;
        }
        Ok(())
    }
}

/// How much a log holds.
fn held(logs: &impl ReadableTable<LogKey<'static>, (u64, u64)>, key: LogKey<'_>) -> Result<Held, StoreError> {
    let found = logs.get(key)?.map(|found| found.value());
    Ok(found.map_or_else(Held::default, |(entries, bytes)| Held { entries, bytes }))
}

/// Counts how much a log holds now.
pub(super) fn count(
    logs: &mut Table<'_, LogKey<'static>, (u64, u64)>,
    key: LogKey<'_>,
    change: impl FnOnce(Held) -> Held,
) -> Result<(), StoreError> {
    let before = held(logs, key)?;
    match change(before) {
        now if now == before => {}
        Held { entries: 0, .. } => drop(logs.remove(key)?),
        Held { entries, bytes } => drop(logs.insert(key, (entries, bytes))?),
    }
    Ok(())
}

/// What a document holds. Whether there is such an owner is not looked at.
pub(super) fn document(
    reading: &Reading,
    owner: &Owner,
    collection: &str,
    key: &str,
) -> Result<Option<Content>, StoreError> {
    let (kind, domain, local) = front(owner);
    let found = reading.documents()?.get((kind, domain, local, collection, key))?;
    Ok(found.map(|found| {
        let (version, octets) = found.value();
        content(version, octets)
    }))
}

/// All documents of these collections. Whoever has none is looked up once, and not for each of them.
pub(super) fn documents_of(
    reading: &Reading,
    owner: &Owner,
    collections: &[Cow<'static, str>],
) -> Result<Vec<Document>, StoreError> {
    let (kind, domain, local) = front(owner);
    let (table, end) = (reading.documents()?, end(local));
    let mut names: BTreeSet<&str> = collections.iter().map(|name| &**name).collect();
    let mut found = Vec::new();
    while let Some(name) = names.first().copied() {
        let mut next = table.range((kind, domain, local, name, "")..(kind, domain, &*end, "", ""))?;
        let Some((place, _)) = next.next().transpose()? else { break };
        let there = place.value().3;
        if there == name {
            found.extend(documents(reading, owner, name, None, usize::MAX)?.documents);
            names.pop_first();
        } else {
            // There is nothing between.
            names = names.split_off(there);
        }
    }
    Ok(found)
}

/// The logs that are not empty, and how many entries each has.
pub(super) fn logs(reading: &Reading, owner: &Owner) -> Result<Vec<(Cow<'static, str>, usize)>, StoreError> {
    let (kind, domain, local) = front(owner);
    let table = reading.logs()?;
    let logs = table.range((kind, domain, local, "")..(kind, domain, &*end(local), ""))?;
    logs.map(|log| {
        let (key, value) = log?;
        let count = usize::try_from(value.value().0).unwrap_or(usize::MAX);
        Ok((Cow::Owned(String::from(key.value().3)), count))
    })
    .collect()
}

/// A part of a collection: what comes after `after`, as many as fit into so many bytes, but at least one.
pub(super) fn documents(
    reading: &Reading,
    owner: &Owner,
    collection: &str,
    after: Option<&str>,
    bytes: usize,
) -> Result<Documents, StoreError> {
    let (kind, domain, local) = front(owner);
    let table = reading.documents()?;
    let next = end(collection);
    let range =
        (kind, domain, local, collection, after.unwrap_or_default())..(kind, domain, local, &*next, "");
    let (mut found, mut total) = (Documents::default(), 0_usize);
    for entry in table.range(range)? {
        let (place, value) = entry?;
        let (_, _, _, collection, key) = place.value();
        if after == Some(key) {
            continue;
        }
        let (version, octets) = value.value();
        total = total.saturating_add(key.len() + octets.len());
        if total > bytes && !found.documents.is_empty() {
            found.more = true;
            break;
        }
        found.documents.push(a_document(collection, key, content(version, octets)));
    }
    Ok(found)
}

/// Accounts that have documents in a collection. Those that have none at all are passed over, and of the others one place is looked at.
pub(super) fn holders(
    reading: &Reading,
    collection: &str,
    after: Option<&BareJid>,
    limit: usize,
) -> Result<Vec<BareJid>, StoreError> {
    let table = reading.documents()?;
    let kind = OwnerKind::Account.number();
    let place = |account: &BareJid| {
        let (domain, local) = key(account);
        (String::from(domain), end(local), String::new())
    };
    // The first place that may be an answer.
    let mut from = after.map_or_else(Default::default, place);
    let mut found = Vec::new();
    while found.len() < limit {
        let (domain, local, name) = &from;
        let mut next = table.range((kind, domain.as_str(), local.as_str(), name.as_str(), "")..)?;
        let Some(entry) = next.next() else { break };
        let (at, _) = entry?;
        let (of, domain, local, name, _) = at.value();
        if of != kind {
            break;
        }
        let (domain, local) = (String::from(domain), String::from(local));
        from = match name.cmp(collection) {
            core::cmp::Ordering::Less => (domain, local, String::from(collection)),
            core::cmp::Ordering::Equal => {
                found.push(address(&domain, &local)?);
                (domain, end(&local), String::new())
            }
            core::cmp::Ordering::Greater => (domain, end(&local), String::new()),
        };
    }
    Ok(found)
}

fn a_document(collection: &str, key: &str, content: Content) -> Document {
    Document { collection: Cow::Owned(collection.into()), key: key.into(), content }
}

/// A part of a log: the entries with higher numbers than `after`, as many as fit into so many bytes, but at least one.
pub(super) fn entries(
    reading: &Reading,
    owner: &Owner,
    log: &str,
    after: u64,
    bytes: usize,
) -> Result<Entries, StoreError> {
    let (kind, domain, local) = front(owner);
    let table = reading.entries()?;
    let (mut found, mut total) = (Entries::default(), 0_usize);
    let Some(first) = after.checked_add(1) else { return Ok(found) };
    let range = (kind, domain, local, log, first)..=(kind, domain, local, log, u64::MAX);
    for item in table.range(range)? {
        let (place, value) = item?;
        let item = entry(place.value().4, value.value());
        total = total.saturating_add(item.content.bytes.len());
        if total > bytes && !found.entries.is_empty() {
            found.more = true;
            break;
        }
        found.entries.push(item);
    }
    Ok(found)
}

fn entry(number: u64, (at, tag, version, octets): EntryValue<'_>) -> Entry {
    Entry { number, at, tag: tag.into(), content: content(version, octets) }
}

/// All that an owner has.
pub(super) fn all(reading: &Reading, owner: &Owner) -> Result<Collections, StoreError> {
    let (kind, domain, local) = front(owner);
    let next = end(local);
    let mut found = Collections::default();
    let table = reading.documents()?;
    for entry in table.range((kind, domain, local, "", "")..(kind, domain, &*next, "", ""))? {
        let (place, value) = entry?;
        let (_, _, _, collection, key) = place.value();
        let (version, octets) = value.value();
        found.documents.push(a_document(collection, key, content(version, octets)));
    }
    let table = reading.entries()?;
    for item in table.range((kind, domain, local, "", 0)..(kind, domain, &*next, "", 0))? {
        let (place, value) = item?;
        let (_, _, _, log, number) = place.value();
        found.push(log, entry(number, value.value()));
    }
    Ok(found)
}

/// The first owner after this one that has something and is not an account.
pub(super) fn next_owner(reading: &Reading, after: Option<&Owner>) -> Result<Option<Owner>, StoreError> {
    let first = OwnerKind::Service.number();
    let (kind, domain, local) = after.map_or((first, "", ""), front);
    let next = if after.is_some() { end(local) } else { local.into() };
    let documents = reading.documents()?;
    let document = documents.range((kind, domain, &*next, "", "")..)?.next().transpose()?;
    let entries = reading.entries()?;
    let entry = entries.range((kind, domain, &*next, "", 0)..)?.next().transpose()?;
    let document = document.as_ref().map(|(key, _)| {
        let (kind, domain, local, ..) = key.value();
        (kind, domain, local)
    });
    let entry = entry.as_ref().map(|(key, _)| {
        let (kind, domain, local, ..) = key.value();
        (kind, domain, local)
    });
    document
        .into_iter()
        .chain(entry)
        .min()
        .map(|(kind, domain, local)| owner(kind, domain, local))
        .transpose()
}

/// The owner with this key.
pub(super) fn owner(kind: u8, domain: &str, local: &str) -> Result<Owner, StoreError> {
    let kind =
        OwnerKind::numbered(kind).ok_or_else(|| StoreError::Corrupt("the owner of a collection".into()))?;
    Ok(Owner::of(kind, address(domain, local)?))
}

/// The highest number that an entry has had.
pub(super) fn last_number(transaction: &ReadTransaction) -> Result<u64, StoreError> {
    counter(&transaction.open_table(META)?, "entries")
}
