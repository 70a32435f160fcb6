//! What a store has been asked, and has not answered yet.
//!
//! A store takes what it is asked, carries it out, and answers; between any two of these there is time, in which whoever has asked may give
//! up. It keeps the order of each account, as the contract says: what was asked first is carried out first, and answered first.

use std::collections::BTreeMap;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Ticket};
use balcony_router::{Answer, Ask};

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// In the order in which they came.
    asks: Vec<Asked>,
}

#[derive(Debug)]
struct Asked {
    ticket: Ticket,
    account: BareJid,
    work: Work,
    /// Nothing happens to it before.
    at: Instant,
}

#[derive(Debug)]
enum Work {
    Waits(Ask),
    Taken(Ask),
    /// It is durable, if it was a change.
    Done(Answer),
}

impl Work {
    const fn stage(&self) -> u8 {
        match self {
            Work::Waits(_) => 0,
            Work::Taken(_) => 1,
            Work::Done(_) => 2,
        }
    }
}

impl Late {
    /// It is asked. Nothing happens to that before `at`.
    pub(crate) fn ask(&mut self, ticket: Ticket, ask: Ask, at: Instant) {
        self.asks.push(Asked { ticket, account: ask.account().clone(), work: Work::Waits(ask), at });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    /// Those to which something may happen next: everything before them that concerns the same account is further.
    fn first(&self) -> impl Iterator<Item = usize> {
        let mut stages: BTreeMap<&BareJid, u8> = BTreeMap::new();
        self.asks.iter().enumerate().filter_map(move |(place, asked)| {
            let stage = asked.work.stage();
            let before = stages.insert(&asked.account, stage);
            before.is_none_or(|before| before > stage).then_some(place)
        })
    }

    /// When something may happen next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.first().map(|place| self.asks[place].at).min()
    }

    /// One step of one of those whose time has come, a random one; the next step of the same is not before `later`. `carry_out` does what
    /// is asked. What is answered, if that is the step; `None` if nothing can be done now.
    pub(crate) fn step(
        &mut self,
        now: Instant,
        later: Instant,
        random: u64,
        carry_out: impl FnOnce(Ask) -> Answer,
    ) -> Option<Option<(Ticket, Answer)>> {
        let due: Vec<usize> = self.first().filter(|place| self.asks[*place].at <= now).collect();
        let any = random.checked_rem(due.len() as u64)?;
        let place = due[usize::try_from(any).ok()?];
        let Asked { ticket, account, work, .. } = self.asks.remove(place);
        let work = match work {
            Work::Waits(ask) => Work::Taken(ask),
            Work::Taken(ask) => Work::Done(carry_out(ask)),
            Work::Done(answer) => return Some(Some((ticket, answer))),
        };
        self.asks.insert(place, Asked { ticket, account, work, at: later });
        Some(None)
    }

    /// What is not carried out yet, in order; nothing is answered any more.
    pub(crate) fn drain(&mut self) -> Vec<Ask> {
        let open = |asked: Asked| match asked.work {
            Work::Waits(ask) | Work::Taken(ask) => Some(ask),
            Work::Done(_) => None,
        };
        self.asks.drain(..).filter_map(open).collect()
    }
}
