//! Who pays for a stanza that waits, and what becomes of one for which there is no room.

use alloc::vec::Vec;
use core::mem;

use balcony_stanza::{ErrorCondition, Kind, Stanza, StanzaError};

use crate::Effect;
use crate::account::is_to_itself;
use crate::asks::{Charge, cost};
use crate::line::{Origin, Sent};
use crate::router::{Recent, Router, Session};
use crate::slab::Index;
use crate::text::Text;
use crate::waits::{Place, memory};

impl Router {
    /// Charges its sender for a stanza that waits in the sender's own account. `None` if too much of the sender waits there: it has
    /// been refused.
    pub(crate) fn charge_own(
        &mut self,
        stanza: &Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) -> Option<Charge> {
        let from = stanza.head.from.as_ref()?;
        let facts = origin.facts();
        let (sent, bytes) = match mem::replace(origin, Origin::Taken) {
            Origin::Waited(charge) => return Some(charge),
            Origin::Session { sent, bytes, .. } => (Some(sent), bytes),
            Origin::Parked { bytes } => (None, bytes),
            Origin::Remote
            | Origin::Server(_)
            | Origin::Answer
            | Origin::Undelivered(_)
            | Origin::Taken
            | Origin::Refused => (None, cost(stanza)),
        };
        let payer = self.payer(from);
        if sent.is_some() && !self.asks.has_room(&payer, &Place::Own, bytes) {
            self.refuse_busy(stanza, origin, effects);
            return None;
        }
        Some(self.asks.charge(payer, bytes, Place::Own, sent, facts))
    }

    /// Charges its sender for a stanza that waits in the account of somebody else, or for that account's store. `None` if too much
    /// of the sender waits there: it has been refused, or, if the sender may not know what becomes of it, dropped.
    pub(crate) fn charge(
        &mut self,
        stanza: &Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) -> Option<Charge> {
        let place = self.place_of(stanza, origin)?;
        self.charge_at(place, stanza, origin, effects)
    }

    /// Whether there is room for one more stanza that waits in the account of somebody else.
    pub(crate) fn has_room(&self, stanza: &Stanza, origin: &Origin) -> bool {
        let payer = stanza.head.from.as_ref().map(|from| self.payer(from));
        let place = self.place_of(stanza, origin);
        payer.zip(place).is_some_and(|(payer, place)| self.asks.has_room(&payer, &place, cost(stanza)))
    }

    /// Where a stanza waits that is for somebody else.
    fn place_of(&self, stanza: &Stanza, origin: &Origin) -> Option<Place> {
        let to = stanza.head.to.as_ref()?;
        Some(match (sees(stanza, origin), origin.is_said()) {
            _ if matches!(origin, Origin::Answer) => Place::SaidAtHome,
            (true, false) => Place::Seen,
            (true, true) => Place::SaidToSeen,
            (false, false) if self.is_from_contact(stanza) && !self.waits_for_sessions(stanza) => {
                Place::Contact
            }
            (false, false) => Place::Stranger(to.to_bare()),
            (false, true) => Place::SaidToStranger(to.to_bare()),
        })
    }

    /// Whether a user of another server has sent it to a contact, who shows itself to that one.
    fn is_from_contact(&self, stanza: &Stanza) -> bool {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return false };
        !self.is_local(from.domainpart())
            && self.accounts.get(to.bare_str()).is_some_and(|account| account.shows(&self.shared, stanza))
    }

    /// Whether the account that it is for has it wait for the ends of its own sessions, which the account brings about as it likes: no others of the
    /// sender's server wait for that.
    fn waits_for_sessions(&self, stanza: &Stanza) -> bool {
        let account = stanza.head.to.as_ref().and_then(|to| self.accounts.get(to.bare_str()));
        account.is_some_and(|account| account.leaving() > 0)
    }

    pub(crate) fn charge_at(
        &mut self,
        place: Place,
        stanza: &Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) -> Option<Charge> {
        let pays = if matches!(origin, Origin::Answer) { &stanza.head.to } else { &stanza.head.from };
        let payer = self.payer(pays.as_ref()?);
        let (sees, facts) = (sees(stanza, origin), origin.facts());
        let bytes = match origin {
            Origin::Session { bytes, .. } | Origin::Parked { bytes } => *bytes,
            Origin::Waited(charge) => charge.bytes(),
            Origin::Remote
            | Origin::Server(_)
            | Origin::Answer
            | Origin::Undelivered(_)
            | Origin::Taken
            | Origin::Refused => cost(stanza),
        };
        if origin.is_new() && !self.asks.has_room(&payer, &place, bytes) {
            // Requests for what anybody may read are counted alike, whomever they ask, so this shows nothing.
            let is_public = place == Place::Probe && matches!(stanza.head.kind, Kind::Iq(_));
            let may_hear = sees || !origin.is_said() && self.is_from_contact(stanza);
            if (may_hear || is_public || self.tells_strangers_of(stanza)) && !origin.is_said() {
                self.refuse_busy(stanza, origin, effects);
            }
            return None;
        }
        let mut charge = match mem::replace(origin, Origin::Taken) {
            Origin::Waited(mut charge) => {
                self.asks.pass_on(&mut charge, place);
                charge
            }
            Origin::Session { sent, bytes, .. } => self.asks.charge(payer, bytes, place, Some(sent), facts),
            Origin::Undelivered(again) => {
                let mut charge = self.asks.charge(payer, bytes, place, None, facts);
                charge.again = Some(again);
                charge
            }
            Origin::Remote
            | Origin::Parked { .. }
            | Origin::Server(_)
            | Origin::Answer
            | Origin::Taken
            | Origin::Refused => self.asks.charge(payer, bytes, place, None, facts),
        };
        if !sees {
            self.handled(&mut charge, effects);
        } else if charge.sent.is_some() {
            self.asks.await_fate(&mut charge);
        }
        Some(charge)
    }

    /// A stanza leaves its sender's account for another one of ours: the account says what it [knows](crate::facts) of the sender, and
    /// notes that something goes to somebody whose presence the sender does not see, whatever will become of it. `None` if those are too
    /// many: it has been refused, or dropped.
    pub(crate) fn crosses(
        &mut self,
        stanza: &Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) -> Option<Crossed> {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return Some(Crossed(None)) };
        if !origin.is_new() || matches!(origin, Origin::Answer) {
            return Some(Crossed(None));
        }
        // This is on the way of most messages. Who writes to the same again has been noted not long ago.
        let now = self.asks.now();
        let span = memory(&self.shared.config.limits) / 3;
        let session = match origin {
            Origin::Session { sent, .. } => self.sessions.get_mut(&sent.session),
            _ => None,
        };
        let lies_there = |index| self.accounts.is_at(index, to.bare_str());
        let is_to = |name: &Text<30>| name.is(to.bare_str());
        if let Some(Session { recent: Some(recent), recent_to, .. }) = session
            && recent.at + span > now
            && let is_there = recent.index.is_some_and(lies_there)
            && (is_there || recent_to.as_ref().is_some_and(is_to))
        {
            let account = || self.accounts.get(from.bare_str());
            let sees = || account().is_some_and(|account| account.sees(&to.to_bare()));
            let sees = *recent.sees.get_or_insert_with(sees);
            origin.say(sees);
            if !is_there {
                recent.index = if sees { self.accounts.index(to.bare_str()) } else { None };
            }
            return Some(Crossed(recent.index));
        }
        let name = to.to_bare();
        self.say_facts(stanza, origin);
        let sees_presence = origin.facts().sees_presence;
        // Nothing of somebody whom the sender does not see is looked at here, if only to find it.
        let index = if sees_presence { self.accounts.index(to.bare_str()) } else { None };
        let is_noted = sees(stanza, origin) || self.asks.note(&self.payer(from), &name, origin.is_said());
        if let Origin::Session { sent, .. } = origin
            && let Some(session) = self.sessions.get_mut(&sent.session)
        {
            let recent = Recent { at: now, index, sees: Some(sees_presence), goes_to: None };
            (session.recent, session.recent_to) =
                (is_noted.then_some(recent), Some(Text::new(name.as_str())));
        }
        if !is_noted && !origin.is_said() && !matches!(origin, Origin::Remote) {
            self.refuse_busy(stanza, origin, effects);
        }
        is_noted.then_some(Crossed(index))
    }

    /// The sender's account says what the recipient's has to know of the sender.
    pub(crate) fn say_facts(&self, stanza: &Stanza, origin: &mut Origin) {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return };
        // There is nothing that the server has to hide from itself.
        let is_server = from.localpart().is_none() && self.is_local(from.domainpart());
        let account = self.accounts.get(from.bare_str());
        origin.say(is_server || account.is_some_and(|account| account.sees(&to.to_bare())));
    }

    /// The sender may send more instead of this stanza.
    fn handled(&mut self, charge: &mut Charge, effects: &mut Vec<Effect>) {
        if let Some(Sent { session, number }) = charge.sent.take() {
            effects.push(Effect::Handled { session, number });
            if let Some(own) = self.sessions.get_mut(&session) {
                own.undecided -= 1;
                if own.undecided == 0 && own.outbox.management().managed().is_some() {
                    self.back.push(session);
                }
            }
        }
    }

    /// A stanza waits no longer, and its fate is known.
    pub(crate) fn release(&mut self, mut charge: Charge, effects: &mut Vec<Effect>) {
        self.handled(&mut charge, effects);
        let number = charge.number();
        if let Some(decided) = self.asks.release(charge) {
            self.decided.push(decided);
        }
        self.bid_farewell(number, effects);
    }

    /// Whoever had it waiting has done with it, unless it waits again.
    pub(crate) fn finish(&mut self, origin: Origin, effects: &mut Vec<Effect>) {
        if let Origin::Waited(charge) = origin {
            self.release(charge, effects);
        }
    }

    fn refuse_busy(&mut self, stanza: &Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        let error = StanzaError::new(ErrorCondition::ResourceConstraint, "too much that you have sent waits");
        self.refuse(stanza, error, effects);
        self.finish(mem::replace(origin, Origin::Refused), effects);
    }
}

/// A stanza has left its sender's account.
pub(crate) struct Crossed(
    /// Where the account lies that it is for, if it is there and has been looked for.
    pub(crate) Option<Index>,
);

/// Whether its sender may know what becomes of a stanza.
pub(crate) fn sees(stanza: &Stanza, origin: &Origin) -> bool {
    is_to_itself(stanza) || origin.facts().sees_presence
}
