//! An account that is known is loaded again: what it has told others is compared with what is kept now, and they are told the
//! difference, whoever has made it.
//!
//! That is so after a change that the store has not made, or of which it has not said in time whether it has: then memory and store may
//! differ, either way.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_roster::{Change, Decision, Item, Push, Roster};
use balcony_stanza::Stanza;

use crate::Effect;
use crate::asks::Purpose;
use crate::extension::Call;
use crate::phase::Outdated;
use crate::request::Seen;
use crate::router::Router;

/// A change of a roster that is made in memory, and of which nobody has been told: it may not be in the store.
#[derive(Debug)]
pub(crate) struct Doubt {
    contact: BareJid,
    item: Option<Item>,
    request: Option<Arc<Stanza>>,
    /// What comes of it if it is.
    decisions: Vec<Decision>,
    /// [`Commit::number`](crate::commit::Commit).
    number: u64,
}

impl Doubt {
    /// The roster has just been changed like this.
    pub(crate) fn new(roster: &Roster, contact: BareJid, decisions: Vec<Decision>, number: u64) -> Doubt {
        let (item, request) = (roster.item(&contact).cloned(), roster.request(&contact).cloned());
        Doubt { contact, item, request, decisions, number }
    }

    fn is_made(&self, roster: &Roster) -> bool {
        roster.item(&self.contact) == self.item.as_ref()
            && roster.request(&self.contact) == self.request.as_ref()
    }
}

impl Router {
    /// What is in memory is not what the store has, or may not be. Every change that was asked for before is in what is loaded now, or
    /// has been refused: the store takes what concerns one account in order.
    pub(crate) fn reload(&mut self, name: &BareJid, doubt: Option<Doubt>, effects: &mut Vec<Effect>) {
        if self.accounts.get_mut(name).is_some_and(|account| account.phase.reload(doubt)) {
            self.load_again(name, effects);
            self.refresh(name);
        }
    }

    /// Asks the store for an account that is known already.
    pub(crate) fn load_again(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let ask = self.load_ask(name);
        self.ask(ask, Purpose::Load, None, effects);
    }

    /// It was loaded again. `before` is what was known, with the changes that were in doubt, and `seen` who saw the user then.
    pub(crate) fn tell_difference(
        &mut self,
        name: &BareJid,
        before: Outdated,
        mut seen: Seen,
        effects: &mut Vec<Effect>,
    ) {
        let Outdated { known: before, doubts } = before;
        let Some(account) = self.accounts.get(name) else { return };
        let Some(known) = account.known() else { return };
        let told: BTreeSet<&BareJid> = doubts.iter().map(|doubt| &doubt.contact).collect();
        let (old, new) = (&before.roster, &known.roster);
        let contacts: BTreeSet<&BareJid> = old.items().chain(new.items()).map(|item| &item.jid).collect();
        let pushes: Vec<Push> = contacts
            .into_iter()
            .filter(|contact| !told.contains(*contact) && old.item(contact) != new.item(contact))
            .map(|contact| Push { version: new.version(), change: change(new, contact) })
            .collect();
        let (made, not_made): (Vec<_>, Vec<_>) = doubts.into_iter().partition(|doubt| doubt.is_made(new));
        // To these it is told here.
        seen.leave_out(made.iter().map(|doubt| &doubt.contact));
        if let Some(account) = self.accounts.get_mut(name) {
            made.iter().chain(&not_made).for_each(|doubt| account.end_change(&doubt.contact));
        }
        for doubt in made {
            self.owe(name, &doubt.decisions, None);
            self.carry_out(name, doubt.decisions, None, None, doubt.number, effects);
        }
        for push in pushes {
            self.push_all(name, &push, effects);
        }
        let Some(account) = self.accounts.get_mut(name) else { return };
        let mut call = Call {
            shared: &self.shared,
            owner: name,
            account,
            session: None,
            now: self.asks.now(),
            random: &mut self.random,
            orders: &mut self.orders.orders,
            effects,
        };
        self.shared.tables().loaded_again(&before.slots, &mut call);
        self.show_difference(name, seen, u64::MAX, effects);
    }
}

fn change(roster: &Roster, contact: &BareJid) -> Change {
    let item = roster.item(contact).cloned();
    item.map_or_else(|| Change::Removed(contact.clone()), Change::Item)
}
