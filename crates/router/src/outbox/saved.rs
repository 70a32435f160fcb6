//! The queue of a session that waits for its client, as it is kept while the server is down, and made of that again.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::time::Duration;

use balcony_machine::{Instant, RecordReader, RecordWriter};
use balcony_stanza::Stanza;

use super::{Entry, Group, Held, Managed, Management, Outbox, Queue, Rare};

/// The groups of sessions that get the same message, by the numbers that they had before. Whoever holds one is to get the message, and this
/// is nobody.
pub(crate) type Groups = BTreeMap<u64, Weak<Group>>;

impl Outbox {
    /// Writes the queue of a session without a connection. `stamp` says in what waits since when it does (XEP-0203).
    pub(crate) fn write(
        &self,
        record: &mut RecordWriter,
        stamp: impl Fn(&Stanza, Instant) -> Option<Stanza>,
    ) {
        let queue = self.queue();
        let since = |number: u64| number.saturating_sub(self.removed);
        record.number(since(queue.management.managed().map_or(0, |managed| managed.first)));
        record.number(since(queue.highest));
        record.option(queue.replay(), |record, end| {
            record.number(since(end));
        });
        record.option(self.replayed(), |record, number| {
            record.number(number);
        });
        // What is not urgent goes along behind the rest: whether anybody uses the client it will say anew.
        let entries: Vec<&Entry> = queue.all().collect();
        record.list(entries.iter().copied(), |record, entry| {
            let late = Some(entry).filter(|entry| entry.replayed.is_none() && !entry.is_stamped);
            let late = late.and_then(|entry| stamp(&entry.stanza, entry.at));
            let mut bytes = Vec::new();
            late.as_ref().unwrap_or(&entry.stanza).write(&mut bytes);
            record.bytes(bytes).flag(entry.is_answer).flag(entry.is_answered);
            record.option(entry.replayed, |record, number| {
                record.number(number);
            });
            record.option(entry.kept.as_deref(), |record, key| {
                record.bytes(key);
            });
            record.option(entry.others.as_deref(), |record, group| {
                record.number(group.number).flag(group.is_taken());
            });
        });
        record.list(entries.into_iter(), |record, entry| {
            record.number(entry.order);
        });
    }

    /// The place of the latest in it among all that has been delivered.
    pub(crate) fn last_order(&self) -> u64 {
        self.queue().all().map(|entry| entry.order).max().unwrap_or(0)
    }

    /// The last so many of what was [read](Outbox::read) waited behind stored messages, and do so again. `None` if that can't be.
    pub(crate) fn put_behind(mut self, count: u64) -> Option<Outbox> {
        let queue = self.queue_mut();
        let place = queue.entries.len().checked_sub(usize::try_from(count).ok()?)?;
        if queue.highest > place as u64 || queue.replay().is_some_and(|end| end > place as u64) {
            return None;
        }
        queue.held = Held::of_behind(queue.entries.split_off(place));
        Some(self)
    }

    /// Its session, which acknowledges, had been bound so long when it was taken over.
    pub(crate) fn set_age(&mut self, age: Duration) {
        if let Some(managed) = self.queue.as_mut().and_then(|queue| queue.management.managed_mut()) {
            managed.age = age;
        }
    }

    /// Makes the queue again, of a session that waits for its client until then, of so long altogether, and that was of the account which
    /// was the `creation`th. It has come now; since when its stanzas wait they say themselves. `None` if the record is damaged.
    pub(crate) fn read(
        now: Instant,
        (wait, until, creation): (Duration, Instant, u64),
        record: &mut RecordReader<'_>,
        groups: &mut Groups,
        new_group: &mut impl FnMut(bool) -> Arc<Group>,
    ) -> Option<Outbox> {
        let first = record.number()?;
        let highest = record.number()?;
        let replay = record.option(RecordReader::number)?;
        let replayed = record.option(RecordReader::number)?;
        let mut entries: VecDeque<Entry> = record
            .list(|record| {
                let stanza = Arc::new(Stanza::parse(record.bytes()?)?);
                let (is_answer, is_answered) = (record.flag()?, record.flag()?);
                let replayed = record.option(RecordReader::number)?;
                let kept = record.option(RecordReader::text)?.map(Arc::from);
                let group = record.option(|record| Some((record.number()?, record.flag()?)))?;
                let others = group.map(|(number, is_taken)| {
                    let known = groups.get(&number).and_then(Weak::upgrade);
                    known.unwrap_or_else(|| {
                        let group = new_group(is_taken);
                        groups.insert(number, Arc::downgrade(&group));
                        group
                    })
                });
                let entry = Entry::new(stanza, now, is_answer, replayed, others, kept);
                Some(Entry { is_answered, is_stamped: replayed.is_none(), ..entry })
            })?
            .into();
        // There were records that did not say it.
        let orders = if record.is_at_end() { Vec::new() } else { record.list(RecordReader::number)? };
        entries.iter_mut().zip(orders).for_each(|(entry, order)| entry.order = order);
        let length = entries.len() as u64;
        if highest > length || first > length || replay.is_some_and(|end| end > length) {
            return None;
        }
        let bytes = entries.iter().map(|entry| entry.bytes).sum();
        let answers = entries.iter().filter(|entry| entry.is_answer).map(|entry| entry.bytes).sum();
        let managed = Box::new(Managed {
            first,
            wait,
            age: Duration::ZERO,
            creation: Some(creation),
            returned: Vec::new(),
        });
        let rare = Rare { replay, replayed, ..Rare::default() };
        let queue = Queue {
            entries,
            highest,
            management: Management::Detached { managed, until },
            bytes,
            answers,
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
            ..Queue::default()
        };
        Some(Outbox { removed: 0, queue: Some(Box::new(queue)) })
    }
}
