//! One stanza on its way to a session, and what becomes of it if the session does not get it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use balcony_machine::Instant;
use balcony_stanza::{IqType, Kind, MessageType, Stanza};

use crate::asks::cost;
use crate::line::When;

/// A stanza on its way.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) stanza: Arc<Stanza>,
    pub(super) bytes: usize,
    pub(super) is_answer: bool,
    /// It is a request that the session has answered.
    pub(super) is_answered: bool,
    /// When it was put into the queue.
    pub(crate) at: Instant,
    /// It has come from a log, where it still is, by this number.
    pub(super) replayed: Option<u64>,
    /// The same is on its way to other sessions, or a copy, or the message of which this is a copy: whether one of them has got it.
    pub(super) others: Option<Arc<Group>>,
    /// The document in which it is written, under this key.
    pub(super) kept: Option<Arc<str>>,
    /// It says already since when it waits (XEP-0203).
    pub(crate) is_stamped: bool,
    /// Its place among all that has been delivered to any session.
    pub(crate) order: u64,
    /// It was held, because it is not urgent or behind older messages.
    pub(crate) has_waited: bool,
    /// Who of the router's owner [has made](crate::Router::made_by) it.
    pub(crate) maker: u8,
}

/// The sessions that get the same message, or copies of it.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) number: u64,
    /// Whether one of them has got it.
    pub(super) is_taken: AtomicBool,
}

impl Group {
    pub(crate) const fn new(number: u64, is_taken: bool) -> Self {
        Group { number, is_taken: AtomicBool::new(is_taken) }
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::Relaxed)
    }
}

impl Entry {
    #[inline]
    pub(crate) fn new(
        stanza: Arc<Stanza>,
        at: Instant,
        is_answer: bool,
        replayed: Option<u64>,
        others: Option<Arc<Group>>,
        kept: Option<Arc<str>>,
    ) -> Self {
        Entry {
            bytes: cost(&stanza),
            stanza,
            at,
            is_answer,
            is_answered: false,
            replayed,
            others,
            kept,
            is_stamped: false,
            order: 0,
            has_waited: false,
            maker: 0,
        }
    }

    /// It was delivered then.
    #[inline]
    pub(crate) fn at(self, when: When) -> Self {
        let When { order, at, is_stamped } = when;
        Entry { order, at, is_stamped, ..self }
    }

    /// When it was delivered.
    pub(crate) const fn when(&self) -> When {
        When { order: self.order, at: self.at, is_stamped: self.is_stamped }
    }

    /// Puts another stanza into its place.
    pub(crate) fn change(&mut self, stanza: Stanza) {
        self.bytes = cost(&stanza);
        self.stanza = Arc::new(stanza);
    }

    /// What it costs, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it has come from a log.
    pub(crate) const fn is_replayed(&self) -> bool {
        self.replayed.is_some()
    }

    pub(crate) fn is_message(&self) -> bool {
        matches!(self.stanza.head.kind, Kind::Message(_))
    }

    /// Whether a request of the session is answered with it, by its own account or its server.
    pub(crate) const fn is_answer(&self) -> bool {
        self.is_answer
    }

    /// The number of the group of sessions that get the same, if there are several.
    pub(super) fn group(&self) -> Option<u64> {
        self.others.as_ref().map(|others| others.number)
    }

    /// The document in which it is written, if it is, and the group of the sessions that may still get it.
    pub(crate) fn kept_for_others(&self) -> Option<(Arc<str>, Option<u64>)> {
        let group = self.group().filter(|_| self.is_left_to_others());
        Some((self.kept.clone()?, group))
    }

    /// The document in which it is written, if it is; those of groups are known.
    pub(crate) fn document(&self, of_groups: &BTreeMap<u64, Arc<str>>) -> Option<Arc<str>> {
        let of_group = || of_groups.get(&self.group()?).cloned();
        self.kept.clone().or_else(of_group)
    }

    /// Whether its session's end has to be awaited: it may still get through, and nobody else gets it.
    pub(crate) fn matters(&self) -> bool {
        self.is_message() && !self.is_of_several() && !is_copy(&self.stanza)
    }

    /// Whether it is a message that goes elsewhere if nobody gets it, and is nowhere else.
    pub(crate) fn is_returned_message(&self) -> bool {
        self.is_message() && self.replayed.is_none() && self.is_returned() && !self.is_for_one()
    }

    /// Whether it is a copy whose message nobody else is to get by it.
    pub(super) fn is_for_one(&self) -> bool {
        self.others.is_none() && is_copy(&self.stanza)
    }

    /// Whether several sessions were to get it, or copies of it.
    pub(crate) const fn is_of_several(&self) -> bool {
        self.others.is_some()
    }

    /// Whether others may still get it, and nobody has.
    pub(crate) fn is_left_to_others(&self) -> bool {
        self.others.as_ref().is_some_and(|others| !others.is_taken() && Arc::strong_count(others) > 1)
    }

    /// Whether something becomes of it if its session does not get it.
    pub(crate) fn is_returned(&self) -> bool {
        self.replayed.is_some()
            || match self.stanza.head.kind {
                Kind::Message(kind) => kind != MessageType::Error,
                Kind::Iq(kind) => matches!(kind, IqType::Get | IqType::Set),
                Kind::Presence(_) => false,
            }
    }

    /// The stanza of an entry that the session will not get, if somebody else should get it now: not if another session has got it
    /// or still may, nor if it is still where it came from, nor if it is a request that was answered.
    pub(crate) fn undelivered(self) -> Option<Stanza> {
        let Entry { stanza, others, replayed, is_answered, .. } = self;
        let is_last = others.is_none_or(|others| !others.is_taken() && Arc::strong_count(&others) == 1);
        (is_last && replayed.is_none() && !is_answered).then(|| Arc::unwrap_or_clone(stanza))
    }
}

/// Whether a stanza answers a request of the one whom it is for.
pub(crate) const fn is_answer(stanza: &Stanza) -> bool {
    matches!(stanza.head.kind, Kind::Iq(IqType::Result | IqType::Error))
}

/// Whether a message is a copy, which the account has made for one of its own sessions: others speak with the address of a resource.
pub(crate) fn is_copy(stanza: &Stanza) -> bool {
    let from = stanza.head.from.as_ref().filter(|from| from.is_bare());
    from.zip(stanza.head.to.as_ref()).is_some_and(|(from, to)| from.same_bare(to))
}
