//! What people have been told, and what may be so besides.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::{Item, Roster};
use crate::{AWAY, BUSY};

/// The books of a run.
#[derive(Default)]
pub struct Ledger {
    people: [Own; BUSY],
    /// For each who is away: the messages that wait, or may wait, and whether they were accepted.
    waiting: [BTreeMap<String, bool>; AWAY],
    seen: BTreeSet<String>,
    changes: u64,
}

/// What concerns one who does things.
#[derive(Default)]
struct Own {
    roster: Roster,
    /// The change of the roster whose outcome is not known: whom it is about, and what it makes of them.
    open: Option<(String, Option<Item>)>,
    /// Messages of which it is not known yet whether they were accepted: to whom, and what they say.
    said: Vec<(usize, String)>,
}

impl Ledger {
    pub fn new() -> Ledger {
        Ledger::default()
    }

    pub fn item(&self, person: usize, contact: &str) -> Option<Item> {
        self.people[person].roster.get(contact).cloned()
    }

    pub fn message_begins(&mut self, person: usize, to: usize, text: &str) {
        self.people[person].said.push((to, text.into()));
        self.waiting[to].insert(text.into(), false);
    }

    pub fn roster_begins(&mut self, person: usize, contact: &str, after: Option<Item>) {
        self.people[person].open = Some((contact.into(), after));
    }

    /// The change of the roster is done, and so all that was sent before it.
    pub fn acknowledged(&mut self, person: usize) {
        let own = &mut self.people[person];
        if let Some((contact, after)) = own.open.take() {
            match after {
                Some(item) => own.roster.insert(contact, item),
                None => own.roster.remove(&contact),
            };
        }
        for (to, text) in own.said.drain(..) {
            *self.waiting[to].get_mut(&text).unwrap() = true;
        }
        self.changes += 1;
    }

    /// The roster is as it was acknowledged, or the change under way has been made, too.
    pub fn see_roster(&mut self, person: usize, found: Roster) {
        let own = &mut self.people[person];
        if let Some((contact, after)) = own.open.take()
            && found.get(&contact) == after.as_ref()
        {
            match after {
                Some(item) => own.roster.insert(contact, item),
                None => own.roster.remove(&contact),
            };
        }
        assert_eq!(found, own.roster, "the roster of busy{person}");
    }

    /// They are messages that wait. Each is there once, in the order in which each sender has sent them.
    pub fn see_messages(&mut self, person: usize, found: Vec<String>) {
        let mut last = BTreeMap::new();
        for text in found {
            let known = self.waiting[person].remove(&text);
            assert!(known.is_some(), "away{person} has got {text} twice, or nobody has sent it");
            assert!(self.seen.insert(text.clone()), "{text} again");
            let numbers: Vec<u64> = text.split('.').map(|number| number.parse().unwrap()).collect();
            let before = last.insert(numbers[1], numbers[3]);
            assert!(before < Some(numbers[3]), "away{person} has got {text} after {before:?}");
        }
    }

    /// Everybody has looked. What was accepted must have been seen; what was not, has never been and never will be.
    pub fn settle(&mut self) {
        for (person, waiting) in self.waiting.iter_mut().enumerate() {
            let lost: Vec<_> = waiting.iter().filter(|(_, accepted)| **accepted).collect();
            assert!(lost.is_empty(), "away{person} has never got {lost:?}");
            waiting.clear();
        }
        for own in &mut self.people {
            own.said.clear();
        }
    }

    pub fn delivered(&self) -> usize {
        self.seen.len()
    }

    pub fn summary(&self) -> String {
        let (messages, changes) = (self.seen.len(), self.changes);
        let waiting: usize = self.waiting.iter().map(BTreeMap::len).sum();
        format!(
            "so far {changes} changes of rosters acknowledged; {messages} messages seen, {waiting} may wait"
        )
    }
}
