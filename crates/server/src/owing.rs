//! What accounts have said about subscriptions, and may not have reached their contacts, is said again when the server starts: it asks
//! its store who has such words, whoever runs it.

use alloc::vec::Vec;
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_router::collections::OWED;

use crate::action::{Action, Ask};
use crate::asks::Asker;
use crate::hub::Hub;
use crate::journal::Level;

/// So many accounts are asked for at once.
const PAGE: usize = 1000;
/// When it is asked again, if the store can't tell.
const AGAIN: Duration = Duration::from_secs(60);

/// How far it is known who has something to say again.
#[derive(Debug)]
pub(crate) enum Owing {
    /// It is to be asked then, for those behind this one.
    Due { at: Instant, after: Option<BareJid> },
    /// It has been asked.
    Asked { after: Option<BareJid> },
    /// All are known.
    Done,
}

impl Default for Owing {
    fn default() -> Self {
        Owing::Due { at: Instant::ZERO, after: None }
    }
}

impl Hub {
    /// When it is to be asked.
    pub(crate) fn owing_due(&self) -> Option<Instant> {
        match &self.owing {
            Owing::Due { at, .. } if !self.is_closing => Some(*at),
            _ => None,
        }
    }

    /// Asks if it is time.
    pub(crate) fn look_for_owing(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.owing_due().is_none_or(|at| at > now) {
            return;
        }
        if let Owing::Due { after, .. } = &self.owing {
            let after = after.clone();
            self.owing = Owing::Asked { after: after.clone() };
            let ticket = self.asks.open(Asker::Owing);
            actions.push(Action::Ask(ticket, Ask::Holders { collection: OWED, after, limit: PAGE }));
        }
    }

    /// These accounts have something to say again; none if there are no more, `None` if the store can't tell.
    pub(crate) fn owe(&mut self, now: Instant, holders: Option<Vec<BareJid>>, actions: &mut Vec<Action>) {
        let Owing::Asked { after } = &mut self.owing else { return };
        let Some(holders) = holders else {
            let line =
                "it can't be found out yet whose words about subscriptions others may not have heard".into();
            actions.push(Action::Log(Level::Warn, line));
            self.owing = Owing::Due { at: now + AGAIN, after: after.take() };
            return;
        };
        let Some(last) = holders.last().cloned() else {
            self.owing = Owing::Done;
            return;
        };
        self.owing = Owing::Due { at: now, after: Some(last) };
        if self.is_closing {
            return;
        }
        let own: Vec<BareJid> =
            holders.into_iter().filter(|account| self.router.is_local(account.domainpart())).collect();
        self.router.say_again(now, own);
        // Nobody has to come for the next of them.
        self.look_for_owing(now, actions);
    }
}
