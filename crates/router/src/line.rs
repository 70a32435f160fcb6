//! What waits between an account and one other entity, what is to be done with it, and who has brought it.
//!
//! Whether a stanza has to wait is decided in `account.rs`, when it goes on in `flow.rs`, and who pays for it in `charging.rs`.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use balcony_machine::Instant;
use balcony_stanza::Stanza;

use crate::SessionId;
use crate::asks::Charge;
use crate::facts::{Said, SenderFacts};

/// What passes between an account and one entity, as long as something of it has to wait. Nobody else's stanzas wait behind it.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Changes under way that concern the entity: everything waits for them.
    pub(crate) commits: usize,
    /// Messages of the entity that are being stored.
    pub(crate) puts: usize,
    /// What waits, in order.
    pub(crate) queue: VecDeque<Waiting>,
}

impl Line {
    /// Where that waits which the account says because of a change, which was asked for by what has this [number](Charge::number): before
    /// what its sessions have sent later. `None` if nothing has to come before it.
    pub(crate) fn place(&self, number: u64) -> Option<usize> {
        let is_later =
            |waiting: &Waiting| matches!(waiting.task, Task::Sent(_)) && waiting.charge.number() > number;
        let end = self.queue.len();
        let place =
            if number == u64::MAX { end } else { self.queue.iter().position(is_later).unwrap_or(end) };
        // What it sends by itself, and not because of a change, comes behind all that passes between the two.
        let is_own = |waiting: &Waiting| number == u64::MAX || waiting.task.is_outward();
        (self.commits > 0 || self.queue.iter().take(place).any(is_own)).then_some(place)
    }

    /// Whether it can be forgotten.
    pub(crate) fn is_idle(&self) -> bool {
        self.commits == 0 && self.puts == 0 && self.queue.is_empty()
    }
}

/// A stanza that an account has not taken yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) task: Task,
    pub(crate) stanza: Stanza,
    pub(crate) charge: Charge,
}

/// What the account has to do with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// This session has sent it.
    Sent(SessionId),
    /// It is addressed to the account or to one of its resources.
    Arrived,
    /// It has been there before, and was lost on its way to a session.
    Returned,
    /// The server sends it in the account's name.
    Leaving,
}

impl Task {
    /// Whether it goes from the account to the other entity.
    pub(crate) const fn is_outward(self) -> bool {
        matches!(self, Task::Sent(_) | Task::Leaving)
    }
}

/// A stanza that a session has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) session: SessionId,
    /// How many it had sent before.
    pub(crate) number: u64,
}

/// When a stanza was delivered. A message that a session has not got comes once more: it goes before what was delivered after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct When {
    /// Its place among all that has been delivered.
    pub(crate) order: u64,
    /// By the clock.
    pub(crate) at: Instant,
    /// It says since when the server has it (XEP-0203).
    pub(crate) is_stamped: bool,
}

/// What is known of a message that comes once more, since a session has not got it.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) when: When,
    /// Of which account the session was, if that is known: its successor, of the same name, may not have it.
    pub(crate) creation: Option<u64>,
    /// It is [written](crate::undelivered) in the document with this key, if it is, and is then for nobody else.
    pub(crate) document: Option<Arc<str>>,
}

/// Who has brought a stanza that is on its way. Whoever has it wait takes it, and leaves `Taken`; whoever turns it away
/// leaves `Refused`.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A session, just now. What it [cost](crate::cost) as the session has handed it in.
    Session { sent: Sent, bytes: usize, facts: SenderFacts },
    /// It has waited before, and its sender is charged for it.
    Waited(Charge),
    /// Another server, just now.
    Remote,
    /// Its sender, from here or from there, who takes it as handled: it has been [parked](crate::strangers). What it cost.
    Parked { bytes: usize },
    /// This server, in the name of the sender, who pays for it if it waits.
    Server(SenderFacts),
    /// This server, in the name of somebody of whom the recipient may not know whether that is one: it answers the recipient, who pays
    /// for it.
    Answer,
    /// This server, which had taken it already and could not deliver it.
    Undelivered(Again),
    /// It waits somewhere.
    Taken,
    /// There was no room for it, and its sender has been told so.
    Refused,
}

impl Origin {
    /// This server, in the name of the sender, for this reason.
    pub(crate) const fn said(why: Said) -> Origin {
        Origin::Server(SenderFacts { sees_presence: false, said: why })
    }

    /// What the sender's account has said of the sender.
    pub(crate) const fn facts(&self) -> SenderFacts {
        match self {
            Origin::Session { facts, .. } | Origin::Server(facts) => *facts,
            Origin::Waited(charge) => charge.facts,
            Origin::Remote
            | Origin::Parked { .. }
            | Origin::Answer
            | Origin::Undelivered(_)
            | Origin::Taken
            | Origin::Refused => SenderFacts::STRANGER,
        }
    }

    /// The sender's account says whether the sender sees the recipient's presence.
    pub(crate) const fn say(&mut self, sees_presence: bool) {
        match self {
            Origin::Session { facts, .. } | Origin::Server(facts) => facts.sees_presence = sees_presence,
            Origin::Waited(charge) => charge.facts.sees_presence = sees_presence,
            Origin::Remote
            | Origin::Parked { .. }
            | Origin::Answer
            | Origin::Undelivered(_)
            | Origin::Taken
            | Origin::Refused => {}
        }
    }

    /// Whether the server says it, in somebody's name.
    pub(crate) const fn is_said(&self) -> bool {
        match self {
            Origin::Server(_) | Origin::Answer => true,
            Origin::Waited(charge) => charge.place().is_said(),
            Origin::Session { .. }
            | Origin::Remote
            | Origin::Parked { .. }
            | Origin::Undelivered(_)
            | Origin::Taken
            | Origin::Refused => false,
        }
    }

    /// What the sender has sent later, and waits, has a higher one.
    pub(crate) const fn number(&self) -> u64 {
        if let Origin::Waited(charge) = self { charge.number() } else { u64::MAX }
    }

    /// What is known of it from the first time, if it has been delivered once.
    pub(crate) const fn again(&self) -> Option<&Again> {
        match self {
            Origin::Undelivered(again) => Some(again),
            Origin::Waited(charge) => charge.again.as_ref(),
            Origin::Session { .. }
            | Origin::Remote
            | Origin::Parked { .. }
            | Origin::Server(_)
            | Origin::Answer
            | Origin::Taken
            | Origin::Refused => None,
        }
    }

    /// The document in which it is written, if it is. From now on it is whoever's this is told.
    pub(crate) const fn take_document(&mut self) -> Option<Arc<str>> {
        match self {
            Origin::Undelivered(Again { document, .. })
            | Origin::Waited(Charge { again: Some(Again { document, .. }), .. }) => document.take(),
            Origin::Waited(_) => None,
            Origin::Session { .. }
            | Origin::Remote
            | Origin::Parked { .. }
            | Origin::Server(_)
            | Origin::Answer
            | Origin::Taken
            | Origin::Refused => None,
        }
    }

    /// Whether the server has said on it since when it had it (XEP-0203).
    pub(crate) fn is_stamped(&self) -> bool {
        self.again().is_some_and(|again| again.when.is_stamped)
    }

    /// Whether it comes just now to where others are than its sender.
    pub(crate) const fn is_new(&self) -> bool {
        match self {
            Origin::Waited(charge) => charge.place().is_at_home(),
            Origin::Session { .. }
            | Origin::Remote
            | Origin::Parked { .. }
            | Origin::Server(_)
            | Origin::Answer => true,
            Origin::Undelivered(_) | Origin::Taken | Origin::Refused => false,
        }
    }
}
