//! Messages: Table 1 of RFC 6121 section 8.5.4.
//!
//! Where the table leaves a choice: what nobody can take is stored, if it may be, and otherwise answered with
//! `service-unavailable`, but for headlines, which expect no reply. Strangers get no such answer (section 8.1): it would
//! tell them who has an account, and who is there.

use alloc::vec::Vec;

use balcony_stanza::{ErrorCondition, Kind, MessageType, Stanza};

use crate::account::{Account, is_to_itself};
use crate::charging::{Crossed, sees};
use crate::extension::{Copies, Copying};
use crate::line::Origin;
use crate::request::For;
use crate::router::{Router, deliver};
use crate::seats::Seating;
use crate::shared::Shared;
use crate::slab::Index;
use crate::{Effect, SessionId};

impl Router {
    /// A session sends a message, and its account may have something to do with it.
    pub(crate) fn message(
        &mut self,
        from: SessionId,
        kind: MessageType,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        if self.is_refused(&stanza, None, effects) {
            return;
        }
        let account = stanza.head.from.as_ref().and_then(|from| self.accounts.get(from.bare_str()));
        let mut copies = Vec::new();
        // What stays in the account is copied where it arrives.
        if let Some(account) = account.filter(|_| !is_to_itself(&stanza)) {
            account.copy(&self.shared, Copying::Sent(from), &stanza, &mut copies);
        }
        self.pass_message(kind, stanza, origin, effects);
        // There is no copy of what was not sent.
        if !matches!(origin, Origin::Refused) {
            effects.append(&mut copies);
        }
    }

    /// Takes a message on its way. This is what most stanzas come to.
    pub(crate) fn pass_message(
        &mut self,
        kind: MessageType,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Some(to) = &stanza.head.to else { return };
        if !self.is_local(to.domainpart()) {
            return effects.push(Effect::Remote { stanza, is_told: true, is_answer: false });
        }
        // Both are refused whether or not there is such an account, and so without a look.
        if to.localpart().is_none() || kind == MessageType::Groupchat && to.is_bare() {
            return self.refuse(&stanza, ErrorCondition::ServiceUnavailable, effects);
        }
        let Some(Crossed(index)) = self.crosses(&stanza, origin, effects) else { return };
        let sees = sees(&stanza, origin);
        if self.has_to_park(&stanza, sees, origin, effects) {
            return self.park(stanza, origin, effects);
        }
        self.hand_over(kind, stanza, index, origin, effects);
    }

    /// Gives a message to the account that it is for, now or later. `index`: where that may lie.
    pub(crate) fn hand_over(
        &mut self,
        kind: MessageType,
        stanza: Stanza,
        index: Option<Index>,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Some(to) = &stanza.head.to else { return };
        let index = self.accounts.index_again(to.bare_str(), index);
        let account = index.and_then(|index| self.accounts.at(index));
        let account = account.filter(|account| account.takes_message(&stanza));
        let Some(account) = account else { return self.arrive(For::Others, stanza, origin, effects) };
        let start = effects.len();
        let placed = account.place(&self.shared, kind, stanza, true, effects);
        self.note_placing(start, effects);
        if self.has_many()
            && let Origin::Session { sent, .. } = origin
            && let Some(Effect::Deliver { session, .. }) = effects.get(start)
            && let Some(recent) = self.sessions.get_mut(&sent.session).and_then(|own| own.recent.as_mut())
        {
            recent.goes_to = Seating::of(*session);
        }
        self.finish_placing(placed, start, origin, effects);
    }

    /// A message has come for an account.
    pub(crate) fn take_message(
        &mut self,
        kind: MessageType,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let account = stanza.head.to.as_ref().and_then(|to| self.accounts.get(to.bare_str()));
        let Some(account) = account else { return };
        let start = effects.len();
        let placed = account.place(&self.shared, kind, stanza, true, effects);
        self.note_placing(start, effects);
        self.finish_placing(placed, start, origin, effects);
    }

    /// A message of the account comes back that was lost on its way to a session. It was copied when it came.
    pub(crate) fn take_returned(&mut self, stanza: Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        let Kind::Message(kind) = stanza.head.kind else { return };
        let account = stanza.head.to.as_ref().and_then(|to| self.accounts.get(to.bare_str()));
        let Some(account) = account else { return };
        let creation = origin.again().and_then(|again| again.creation);
        let is_successor = |of: u64| account.known().is_some_and(|known| known.creation != of);
        if creation.is_some_and(is_successor) {
            return self.nobody(&stanza, effects);
        }
        let start = effects.len();
        let placed = account.place(&self.shared, kind, stanza, false, effects);
        self.note_placing(start, effects);
        self.finish_placing(placed, start, origin, effects);
    }

    /// The effects from there on give a message to sessions of an account, and stored ones may still be to come to one of these.
    fn note_placing(&mut self, start: usize, effects: &[Effect]) {
        // This is on the way of every message, and looks at nothing that is not looked at later.
        let holds = |effect: &Effect| match effect {
            Effect::Deliver { session, .. } => self.sessions.get(session).filter(|own| own.holds),
            _ => None,
        };
        let Some(own) = effects.iter().skip(start).find_map(holds) else { return };
        let name = own.jid.to_bare();
        if let Some(account) = self.accounts.get_mut(&name)
            && account.has_older_to_come().is_some()
            && !core::mem::replace(&mut account.backlog.is_placing, true)
        {
            self.placing.push(name);
        }
    }

    /// What nobody has taken is stored, or comes back. What has been delivered, from there on among the effects, is kept where nobody is
    /// connected to get it.
    fn finish_placing(
        &mut self,
        placed: Placed,
        start: usize,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        match placed {
            Placed::Done => {
                self.note_copies(start, effects);
                self.put_in_order(start, origin, effects);
                self.keep_delivered(start, origin, effects);
            }
            Placed::Bounces(stanza) => self.bounce(&stanza, ErrorCondition::ServiceUnavailable, effects),
            Placed::Left(stanza) => {
                if let Some(name) = stanza.head.to.as_ref().map(|to| to.to_bare()) {
                    self.keep_for_absent(&name, stanza, origin, effects);
                }
            }
        }
    }
}

/// What has become of a message at its recipient's account.
enum Placed {
    /// Somebody has got it, or nobody was to.
    Done,
    /// Nobody gets it, and its sender hears so, if the sender may.
    Bounces(Stanza),
    /// Nobody is there who takes it.
    Left(Stanza),
}

impl Account {
    /// Gives the message to those of the account who get it.
    fn place(
        &self,
        shared: &Shared,
        kind: MessageType,
        stanza: Stanza,
        is_new: bool,
        effects: &mut Vec<Effect>,
    ) -> Placed {
        if self.shuts_out(shared, &stanza) {
            // Headlines get no answer from those who are away, so here none either.
            return if kind == MessageType::Headline { Placed::Done } else { Placed::Bounces(stanza) };
        }
        let resource = stanza.head.to.as_ref().and_then(|to| to.resourcepart());
        if let Some(addressed) = resource.and_then(|name| self.by_name(name)) {
            self.give(shared, &[addressed.session], stanza, is_new, effects);
            return Placed::Done;
        }
        match (kind, resource.is_some()) {
            (MessageType::Error, _) | (MessageType::Headline, true) => {}
            (MessageType::Groupchat, _) | (MessageType::Normal, true) => return Placed::Bounces(stanza),
            (MessageType::Headline, false) => deliver(self.receptive(), stanza, effects),
            (MessageType::Normal, false) | (MessageType::Chat, _) => match self.most_available() {
                [] => return Placed::Left(stanza),
                sessions => self.give(shared, sessions, stanza, is_new, effects),
            },
        }
        Placed::Done
    }

    fn give(
        &self,
        shared: &Shared,
        to: &[SessionId],
        stanza: Stanza,
        is_new: bool,
        effects: &mut Vec<Effect>,
    ) {
        let mut copies = Vec::new();
        if is_new {
            self.copy(shared, Copying::Received(to), &stanza, &mut copies);
        }
        deliver(to.iter().copied(), stanza, effects);
        effects.append(&mut copies);
    }

    fn copy(&self, shared: &Shared, why: Copying<'_>, stanza: &Stanza, effects: &mut Vec<Effect>) {
        if let Some(known) = self.known() {
            let mut copies = Copies { account: self, effects };
            shared.tables().copy(known.roster.owner(), self, why, stanza, &mut copies);
        }
    }
}
