//! What the next stanzas need is read before their turn, all of it together.
//!
//! With many sessions nearly nothing that a message has to do with lies in the processor's cache. The sender's session says where the
//! recipient's account is, and that which session gets it: each of them has to be there before the next one is known, and to wait for
//! them one after the other takes several times as long as all that is done with them. But what one stanza needs does not depend on
//! what another one does, and a processor reads from many places at once as long as that is so, and little else is to be done between them.
//! So each step first finds out where all lies that it needs, reads one word of each line of that, and only then looks at what is there.
//!
//! A session notes to which session its last message to a contact went, so that this one is read together with the contact's account. Should
//! another one have its place by now, only a word of that is read, and nothing done with it.

use core::hint::black_box;

use balcony_stanza::{Kind, Stanza};
use smallvec::SmallVec;

use crate::SessionId;
use crate::account::{Account, Resource, mark};
use crate::router::Router;
use crate::seats::Seating;

/// So many stanzas are read ahead at once. What is read for more would not stay in the cache until their turn.
pub(crate) const TOGETHER: usize = 32;
/// What fewer sessions than so many have to do with is in the cache, or soon is.
const MANY: usize = if cfg!(test) { 2 } else { 2_048 };

impl Router {
    /// Reads what these stanzas have to do with, which are about to be [routed](Router::route), so that it is in the processor's cache
    /// when their turn comes. It changes nothing but how long that takes: with a million sessions a fraction, if there are several stanzas.
    /// Of more than 32 only so many are looked at, and with few sessions none.
    ///
    /// Nothing is looked at of accounts whose presence the senders do not see.
    pub fn look_ahead<'a>(&self, coming: impl IntoIterator<Item = (SessionId, &'a Stanza)>) {
        if !self.has_many() {
            return;
        }
        let mut senders = SmallVec::<[_; TOGETHER]>::new();
        for (from, stanza) in coming.into_iter().take(TOGETHER) {
            if let (Kind::Message(_), Some(to)) = (stanza.head.kind, &stanza.head.to) {
                senders.push((from, to.resourcepart()));
            }
        }
        // Each step reads what all need next.
        let mut places = SmallVec::<[_; TOGETHER]>::new();
        places.extend(senders.iter().filter_map(|(from, _)| self.sessions.place(Seating::of(*from)?)));
        read(places.iter().map(|place| place.is_some().into()));
        places.clear();
        let mut accounts = SmallVec::<[_; TOGETHER]>::new();
        let mut strangers = 0;
        for (from, name) in &senders {
            let Some(session) = self.sessions.get(from) else { continue };
            let recent = session.recent.as_ref();
            match recent.and_then(|recent| Some((recent.index?, recent.goes_to))) {
                Some((index, goes_to)) => {
                    accounts.extend(self.accounts.slot_of(index).map(|slot| (slot, index, *name)));
                    places.extend(goes_to.and_then(|seating| self.sessions.place(seating)));
                }
                None => {
                    let first = session.recent_to.as_ref().and_then(|name| name.as_bytes().first());
                    strangers ^= first.copied().unwrap_or_default();
                }
            }
        }
        black_box(strangers);
        read(accounts.iter().map(|(slot, index, _)| slot.value_of(*index).map_or(0, Account::glance)));
        read(places.iter().map(|place| place.is_some().into()));
        self.look_at_recipients(
            accounts.iter().filter_map(|(slot, index, name)| Some((slot.value_of(*index)?, *name))),
        );
    }

    /// Whether there are so many sessions that it is worth while to look ahead.
    pub(crate) fn has_many(&self) -> bool {
        self.sessions.len() >= MANY
    }

    /// Reads what a message to each of these accounts has to do with, or to its resource of that name. The accounts have been read.
    pub(crate) fn look_at_recipients<'a>(
        &self,
        accounts: impl Iterator<Item = (&'a Account, Option<&'a str>)>,
    ) {
        let mut sessions = SmallVec::<[_; TOGETHER]>::new();
        let mut resources = SmallVec::<[&Resource; TOGETHER]>::new();
        for (account, name) in accounts {
            match name.and_then(|name| account.by_mark(mark(name)).next()) {
                Some(resource) => resources.push(resource),
                None => sessions.extend(account.most_available().first().copied()),
            }
        }
        read(resources.iter().map(|resource| resource.session.0));
        for resource in &resources {
            sessions.push(resource.session);
        }
        let mut places = SmallVec::<[_; TOGETHER]>::new();
        places.extend(sessions.iter().filter_map(|session| self.sessions.place(Seating::of(*session)?)));
        read(places.iter().map(|place| place.is_some().into()));
        for session in &sessions {
            if let Some(session) = self.sessions.get(session) {
                session.outbox.look();
            }
        }
    }
}

/// Reads all of these and does nothing else. A processor begins only so many instructions behind the first that waits, a few hundred: the
/// fewer there are for each of these, the more of them it waits for at once.
pub(crate) fn read(values: impl Iterator<Item = u64>) {
    black_box(values.fold(0, |all, value| all ^ value));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloc::vec::Vec;
    use balcony_jid::BareJid;
    use balcony_machine::{Instant, Seed};
    use balcony_roster::{Item, Parts, Subscription, Version};
    use balcony_stanza::{MessageType, PresenceType, Stanza};

    use crate::seats::Seating;
    use crate::{Config, Effect, Kept, Memory, Router, SessionId};

    fn name(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    /// Carries out what the router asks of its store; to which sessions something goes.
    fn carry_out(router: &mut Router, store: &mut Memory, effects: &mut Vec<Effect>) -> Vec<SessionId> {
        let mut got = Vec::new();
        loop {
            for effect in core::mem::take(effects) {
                match effect {
                    Effect::Ask { ticket, ask } => {
                        router.answer(Instant::ZERO, ticket, store.answer(0, ask), effects);
                    }
                    Effect::Deliver { session, .. } => got.push(session),
                    _ => {}
                }
            }
            if effects.is_empty() && !router.take_in(Instant::ZERO, effects) && effects.is_empty() {
                return got;
            }
        }
    }

    // Where a contact's session is, is read with the contact's account. Of a stranger nothing is known that could be.
    #[test]
    fn a_session_knows_where_its_messages_to_contacts_go() {
        let mut router =
            Router::new(Config::new(["example.com".parse().unwrap()].into()), &Seed::from_u64(1));
        let (mut store, mut effects) = (Memory::default(), Vec::new());
        let [own, contact, stranger] = ["a@example.com", "b@example.com", "c@example.com"].map(name);
        let mut item = Item::new(contact.clone());
        item.subscription = Subscription::Both;
        let roster =
            Parts { version: Version(1), items: [item].into(), requests: Vec::new(), changes: Vec::new() };
        store.keep(own.clone(), Kept { roster: Some(roster), ..Kept::default() });
        store.keep(contact.clone(), Kept::default());
        store.keep(stranger.clone(), Kept::default());
        let sessions =
            [(SessionId(1), own), (SessionId(2), contact.clone()), (SessionId(3), stranger.clone())];
        for (session, account) in sessions {
            router.bind(Instant::ZERO, session, &account, Some("x"), &mut effects).unwrap();
            carry_out(&mut router, &mut store, &mut effects);
            router.route(Instant::ZERO, session, Stanza::presence(PresenceType::Available), &mut effects);
            carry_out(&mut router, &mut store, &mut effects);
        }
        for (to, session) in [(contact, SessionId(2)), (stranger, SessionId(3))] {
            let sees = session == SessionId(2);
            let message = Stanza::message(MessageType::Chat).with_to(to.into());
            router.route(Instant::ZERO, SessionId(1), message, &mut effects);
            assert_eq!(carry_out(&mut router, &mut store, &mut effects), [session]);
            let recent = router.sessions.get(&SessionId(1)).unwrap().recent.as_ref().unwrap();
            assert_eq!(
                (recent.index.is_some(), recent.goes_to),
                (sees, Seating::of(session).filter(|_| sees))
            );
        }
    }
}
