//! The stanzas of one pair of domains that wait for a stream to take them (RFC 6120 section 10.4).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::mem;

use balcony_jid::{BareJid, Jid};
use balcony_stanza::{IqType, Kind, PresenceType, Stanza};

use super::bounds::Payer;

/// A stanza on its way to another server.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) stanza: Box<Stanza>,
    /// Whether its sender is to hear if it does not get there.
    pub(crate) is_told: bool,
    /// Who pays for it while it waits.
    pub(crate) payer: Payer,
    /// What it [costs](balcony_router::cost), in bytes.
    pub(crate) bytes: usize,
    /// More than it takes on a stream, in bytes.
    pub(crate) written: usize,
    /// How often a stream has taken it and may have lost it.
    pub(crate) losses: u8,
    /// What it is called while a stream has it that counts, and then until it is known whether it has arrived.
    pub(crate) number: Option<u64>,
}

/// What the name of a stanza and those of its attributes take on a stream.
const ELEMENT: usize = 128;

impl Item {
    pub(crate) fn new(stanza: Stanza, is_told: bool, payer: Payer) -> Item {
        let bytes = balcony_router::cost(&stanza);
        let head = &stanza.head;
        let addresses = [&head.from, &head.to].into_iter().flatten().map(Jid::as_str);
        let texts = [&head.id, &head.lang].into_iter().flatten().map(AsRef::as_ref);
        let attributes: usize = addresses.chain(texts).map(escaped).sum();
        let written = stanza.payload.as_bytes().len() + attributes + ELEMENT;
        Item { stanza: Box::new(stanza), is_told, payer, bytes, written, losses: 0, number: None }
    }

    /// Whether it is a request that has certainly not arrived: somebody waits for the answer, and can ask again.
    pub(crate) fn is_fresh_request(&self) -> bool {
        self.number.is_none() && matches!(self.stanza.head.kind, Kind::Iq(IqType::Get | IqType::Set))
    }

    /// What it says about a subscription, if its sender is owed the certainty that it gets there, whom, and to whom.
    pub(crate) fn word(&self) -> Option<(BareJid, BareJid, PresenceType)> {
        let head = &self.stanza.head;
        match (&head.kind, &head.from, &head.to, &self.payer) {
            (Kind::Presence(kind), Some(from), Some(to), Payer::Sender(_)) if kind.is_subscription() => {
                Some((from.to_bare(), to.to_bare(), *kind))
            }
            _ => None,
        }
    }

    /// In whose turn it goes: the account of ours that it comes from, or all of another server's domain.
    pub(crate) fn sender(&self) -> Option<BareJid> {
        let from = self.stanza.head.from.as_ref()?;
        match &self.payer {
            Payer::Domain(domain) if domain.as_str() == from.domainpart() => Some(domain.clone()),
            _ => Some(from.to_bare()),
        }
    }
}

/// More than a text takes in an attribute, where a character may become `&apos;`.
fn escaped(text: &str) -> usize {
    let special = text.bytes().filter(|byte| matches!(byte, b'&' | b'<' | b'>' | b'\'' | b'"' | 0..0x20));
    text.len() + 5 * special.count()
}

/// What waits from one domain of ours to one of theirs. What one sender has sent keeps its order; senders take turns, so that one who
/// sends much does not hold up the others.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    senders: BTreeMap<BareJid, VecDeque<Item>>,
    /// Whose turn it is. Each sender of which something waits stands there once.
    turns: VecDeque<BareJid>,
    bytes: usize,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts a stanza behind the others of its sender.
    pub(crate) fn push(&mut self, sender: BareJid, item: Item) {
        self.bytes += item.bytes;
        let line = self.senders.entry(sender.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(sender);
        }
        line.push_back(item);
    }

    /// Puts stanzas that were [taken](Queue::take) before everything else, in the order in which they were.
    pub(crate) fn put_back(&mut self, items: Vec<Item>) {
        for item in items.into_iter().rev() {
            let Some(sender) = item.sender() else { continue };
            self.bytes += item.bytes;
            let line = self.senders.entry(sender.clone()).or_default();
            if line.is_empty() {
                self.turns.push_front(sender);
            }
            line.push_front(item);
        }
    }

    /// The next stanza.
    pub(crate) fn first(&self) -> Option<&Item> {
        self.senders.get(self.turns.front()?)?.front()
    }

    /// Takes the next stanza.
    pub(crate) fn pop(&mut self) -> Option<Item> {
        let sender = self.turns.pop_front()?;
        let line = self.senders.get_mut(&sender)?;
        let item = line.pop_front();
        if line.is_empty() {
            self.senders.remove(&sender);
        } else {
            self.turns.push_back(sender);
        }
        self.bytes -= item.as_ref().map_or(0, |item| item.bytes);
        item
    }

    /// Takes stanzas that take no more than `most` bytes on a stream together with those in `batch`, or if there are none one at least.
    pub(crate) fn take(&mut self, most: usize, batch: &mut Vec<Item>) {
        let mut bytes: usize = batch.iter().map(|item| item.written).sum();
        while let Some(next) = self.next_written()
            && (batch.is_empty() || bytes + next <= most)
        {
            bytes += next;
            batch.extend(self.pop());
        }
    }

    fn next_written(&self) -> Option<usize> {
        self.first().map(|item| item.written)
    }

    /// Does this with each stanza.
    pub(crate) fn each(&mut self, act: impl FnMut(&mut Item)) {
        self.senders.values_mut().flatten().for_each(act);
    }

    /// Takes those for which this is so, in the order of their senders.
    pub(crate) fn extract(&mut self, mut is_it: impl FnMut(&Item) -> bool) -> Vec<Item> {
        let mut taken = Vec::new();
        for line in self.senders.values_mut() {
            let all = mem::take(line);
            for item in all {
                match is_it(&item) {
                    true => taken.push(item),
                    false => line.push_back(item),
                }
            }
        }
        self.bytes -= taken.iter().map(|item| item.bytes).sum::<usize>();
        self.senders.retain(|_, line| !line.is_empty());
        self.turns.retain(|sender| self.senders.contains_key(sender));
        taken
    }

    /// Takes everything.
    pub(crate) fn drain(&mut self) -> Vec<Item> {
        core::iter::from_fn(|| self.pop()).collect()
    }
}
