//! Which stanzas a client has handled (XEP-0198 section 4), where its owner says so.

use alloc::collections::VecDeque;

use crate::MachineEvent;
use crate::queue::Queue;

/// Stanzas that the owner was told of and has not handled, in the order in which they came.
///
/// An acknowledgement is one number, and says that all stanzas up to there are handled. So what the client deals with by itself has to
/// wait for what came before it.
#[derive(Debug, Default)]
pub(crate) struct Unhandled {
    told: VecDeque<Told>,
}

#[derive(Debug)]
struct Told {
    /// How many of the server's stanzas are handled with it: that one, unless it was made here, and those behind it that the client has
    /// dealt with.
    count: u32,
    /// The server has counted it, so that it sends it again if it is not handled.
    comes_again: bool,
}

impl Unhandled {
    /// The owner is told of a stanza that the server has sent, and has counted or not.
    pub(crate) fn tell(&mut self, is_counted: bool) {
        self.told.push_back(Told { count: 1, comes_again: is_counted });
    }

    /// The owner is told of a stanza that was made here.
    pub(crate) fn tell_own(&mut self) {
        self.told.push_back(Told { count: 0, comes_again: false });
    }

    /// The client has dealt with a stanza of the server's by itself. How many more are handled now.
    #[must_use]
    pub(crate) fn took(&mut self) -> u32 {
        match self.told.back_mut() {
            Some(last) => {
                last.count += 1;
                0
            }
            None => 1,
        }
    }

    /// The owner has handled so many more of those it was told of. How many more of the server's are handled now.
    #[must_use]
    pub(crate) fn handled(&mut self, count: u32) -> u32 {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.told.len());
        self.told.drain(..count).map(|told| told.count).sum()
    }

    /// The connection is over, and another one begins. `events` have not come to the owner yet, and are told then: without the stanzas that
    /// the server sends again.
    pub(crate) fn go_on(&mut self, events: &mut Queue<MachineEvent>, later: &mut VecDeque<MachineEvent>) {
        let is_stanza = |event: &MachineEvent| matches!(event, MachineEvent::Stanza(_));
        let waiting = events.iter().chain(&*later).filter(|event| is_stanza(event)).count();
        // Those before them the owner has; and some may have come before it said that it would say what is handled.
        self.told.drain(..self.told.len().saturating_sub(waiting));
        while self.told.len() < waiting {
            self.told.push_front(Told { count: 0, comes_again: false });
        }
        let mut told = self.told.iter();
        let mut is_told =
            |event: &MachineEvent| !is_stanza(event) || told.next().is_none_or(|told| !told.comes_again);
        events.retain(&mut is_told);
        later.retain(&mut is_told);
        self.told.retain(|told| !told.comes_again);
        // Nobody counts them on the next one.
        self.told.iter_mut().for_each(|told| told.count = 0);
    }
}
