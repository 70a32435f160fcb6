//! Which connection a session has, and what is kept of it while it has none (XEP-0198).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::mem;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Random, Ticket};
use balcony_router::SessionId;
use balcony_stream::Counts;
use sha2::{Digest as _, Sha256};
use slab::Slab;

use crate::ConnectionId;
use crate::connections::Via;
use crate::ended::Ended;

/// The sessions of a server, and their connections. A session has a number of its own: it is not its connection.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    seats: Slab<Seat>,
    /// How many of them have no connection.
    waiting: usize,
    /// The sessions of a server before this one, by the digests of their names.
    restored: BTreeMap<[u8; DIGEST], SessionId>,
    /// What is remembered of those that are over.
    ended: Ended,
    /// Distinguishes the sessions that have had the same place in the slab.
    generation: u32,
}

#[derive(Debug)]
struct Seat {
    session: SessionId,
    place: Place,
    name: Name,
}

impl Seat {
    /// The digest of what its client calls it.
    fn digest(&self) -> Option<[u8; DIGEST]> {
        match self.name {
            Name::None => None,
            Name::Secret(secret) => Some(digest(&spelled(self.session, secret))),
            Name::Digest(digest) => Some(digest),
        }
    }
}

/// What its client has to say to have a session back.
enum Name {
    /// It can't.
    None,
    /// This, behind the session's number.
    Secret(u128),
    /// A server before this one has named it. This is the SHA-256 of that name.
    Digest([u8; DIGEST]),
}

impl fmt::Debug for Name {
    /// Whoever knows the name has the session, so it is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Name::None => "None",
            Name::Secret(_) => "Secret(..)",
            Name::Digest(_) => "Digest(..)",
        })
    }
}

/// How a session is connected that is about to be [lost](Sessions::lose).
const NOWHERE: Via = Via { is_secured: false, address: None };

/// The length of a digest, in bytes.
pub(crate) const DIGEST: usize = 32;

#[derive(Debug)]
enum Place {
    /// It has a connection. Its client may be back on another one, and waits for this one to let it go.
    On(ConnectionId, Via, Option<alloc::boxed::Box<Back>>),
    /// It waits for its client.
    Nowhere(alloc::boxed::Box<Waiting>),
}

impl Place {
    /// 1 if it waits for its client.
    const fn waits(&self) -> usize {
        matches!(self, Place::Nowhere(_)) as usize
    }
}

/// A session without a connection.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) jid: FullJid,
    /// What both ends have counted.
    pub(crate) counts: Counts,
    /// Its client is back, and waits for what it has sent before to be decided.
    pub(crate) back: Option<Back>,
}

/// Where a client has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Back {
    pub(crate) connection: ConnectionId,
    pub(crate) ticket: Ticket,
    /// How many stanzas it has got, modulo 2^32.
    pub(crate) h: u32,
    /// How it is connected.
    pub(crate) via: Via,
}

/// What is left of a session that is over.
#[derive(Debug)]
pub(crate) struct Over {
    /// Its address, if it had no connection.
    pub(crate) waited: Option<FullJid>,
    /// How many stanzas its client had sent, if it had no connection.
    pub(crate) had_sent: Option<u32>,
    /// Whoever wanted it back.
    pub(crate) back: Option<Back>,
}

impl Sessions {
    /// A new session, on this connection.
    pub(crate) fn begin(&mut self, connection: ConnectionId, via: Via) -> SessionId {
        self.seat(Place::On(connection, via, None), Name::None)
    }

    /// A session of a server before this one, whose client calls it by a name with this digest. It has no connection, and waits as soon as it
    /// is [lost](Sessions::lose). `None` if there is another one with this name.
    pub(crate) fn restore(&mut self, digest: [u8; DIGEST]) -> Option<SessionId> {
        if self.restored.contains_key(&digest) {
            return None;
        }
        let session = self.seat(Place::On(ConnectionId(u64::MAX), NOWHERE, None), Name::Digest(digest));
        self.restored.insert(digest, session);
        Some(session)
    }

    fn seat(&mut self, place: Place, name: Name) -> SessionId {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.seats.vacant_entry();
        let key = entry.key() as u64 & u64::from(u32::MAX);
        let session = SessionId(u64::from(self.generation) << 32 | key);
        entry.insert(Seat { session, place, name });
        session
    }

    /// The connection of a session, which may be over, as long as something may still be written to it.
    pub(crate) fn connection(&self, session: SessionId) -> Option<ConnectionId> {
        match self.find(session)?.place {
            Place::On(connection, ..) => Some(connection),
            Place::Nowhere(_) => None,
        }
    }

    /// How its client is connected, if it is.
    pub(crate) fn via(&self, session: SessionId) -> Option<Via> {
        match self.find(session)?.place {
            Place::On(_, via, _) => Some(via),
            Place::Nowhere(_) => None,
        }
    }

    /// What its client calls it when it comes back (XEP-0198 section 3): its number, and 128 random bits, so that it can't be guessed.
    pub(crate) fn name(&mut self, session: SessionId, random: &mut Random) -> String {
        let secret = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
        if let Some(seat) = self.seat_of(session) {
            seat.name = Name::Secret(secret);
        }
        spelled(session, secret)
    }

    /// The session that was [named](Sessions::name) so, to the letter.
    pub(crate) fn named(&self, name: &str) -> Option<SessionId> {
        let restored = || self.restored.get(&digest(name)).copied();
        self.named_here(name).or_else(restored)
    }

    fn named_here(&self, name: &str) -> Option<SessionId> {
        let (number, _) = name.split_at_checked(16)?;
        let session = SessionId(u64::from_str_radix(number, 16).ok()?);
        let Name::Secret(secret) = self.find(session)?.name else { return None };
        (name == spelled(session, secret)).then_some(session)
    }

    /// How many stanzas a session of the account had sent that was called so, and is over (XEP-0198 section 5); `None` if that is not remembered.
    pub(crate) fn had_sent(&self, account: &BareJid, name: &str) -> Option<u32> {
        self.ended.h(account, name)
    }

    /// The digest of what its client calls a session that waits, and what is kept of it.
    pub(crate) fn saved(&self, session: SessionId) -> Option<([u8; DIGEST], &Waiting)> {
        let seat = self.find(session)?;
        let Place::Nowhere(waiting) = &seat.place else { return None };
        Some((seat.digest()?, waiting))
    }

    /// The client of a session that has a connection is back on another one. Whoever was so before, if any.
    pub(crate) fn comes_back(&mut self, session: SessionId, to: Back) -> Option<Back> {
        match &mut self.seat_of(session)?.place {
            Place::On(.., back) => back.replace(to.into()).map(|before| *before),
            Place::Nowhere(_) => None,
        }
    }

    /// The session can't leave its connection. Whoever wanted it back.
    pub(crate) fn stays(&mut self, session: SessionId) -> Option<Back> {
        match &mut self.seat_of(session)?.place {
            Place::On(.., back) => back.take().map(|back| *back),
            Place::Nowhere(_) => None,
        }
    }

    /// This connection does not want the session back any more. Whether it did.
    pub(crate) fn gives_up(&mut self, session: SessionId, connection: ConnectionId) -> bool {
        let is_its = |back: &Back| back.connection == connection;
        match self.seat_of(session).map(|seat| &mut seat.place) {
            Some(Place::On(.., back)) => back.take_if(|back| is_its(back)).is_some(),
            Some(Place::Nowhere(waiting)) => waiting.back.take_if(|back| is_its(back)).is_some(),
            None => false,
        }
    }

    /// The session has lost its connection, and waits. Where its client is back, if it is.
    pub(crate) fn lose(&mut self, session: SessionId, jid: FullJid, counts: Counts) -> Option<Back> {
        let back = self.stays(session);
        self.set_place(session, Place::Nowhere(alloc::boxed::Box::new(Waiting { jid, counts, back: None })));
        back
    }

    /// What is kept of a session that waits.
    pub(crate) fn waiting(&mut self, session: SessionId) -> Option<&mut Waiting> {
        match &mut self.seat_of(session)?.place {
            Place::On(..) => None,
            Place::Nowhere(waiting) => Some(waiting),
        }
    }

    /// The session goes on on this connection.
    pub(crate) fn attach(&mut self, session: SessionId, connection: ConnectionId, via: Via) {
        self.set_place(session, Place::On(connection, via, None));
    }

    fn set_place(&mut self, session: SessionId, place: Place) {
        let Some(seat) = self.seat_of(session) else { return };
        let (before, now) = (mem::replace(&mut seat.place, place).waits(), seat.place.waits());
        self.waiting = self.waiting + now - before;
    }

    /// How many sessions have no connection, and how many have one, or are over and may still be written to.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.waiting, self.seats.len() - self.waiting)
    }

    /// All sessions that wait.
    pub(crate) fn all_waiting(&self) -> Vec<SessionId> {
        let is_waiting = |seat: &&Seat| matches!(seat.place, Place::Nowhere(_));
        self.seats.iter().map(|(_, seat)| seat).filter(is_waiting).map(|seat| seat.session).collect()
    }

    /// The session in the next place behind that of `after`, which may be over; without one the first.
    pub(crate) fn behind(&self, after: Option<SessionId>) -> Option<SessionId> {
        let first = after.map_or(0, |after| key(after) + 1);
        (first..self.seats.capacity()).find_map(|place| self.seats.get(place)).map(|seat| seat.session)
    }

    /// There is no such session any more.
    pub(crate) fn end(&mut self, session: SessionId) -> Option<Over> {
        self.find(session)?;
        let seat = self.seats.remove(key(session));
        self.waiting -= seat.place.waits();
        if let Name::Digest(digest) = seat.name {
            self.restored.remove(&digest);
        }
        if self.seats.is_empty() {
            // Nothing is kept of a crowd that has gone; and the router finds sessions fastest whose places begin at 0.
            self.seats = Slab::new();
        }
        let name = seat.digest();
        Some(match seat.place {
            Place::On(.., back) => Over { waited: None, had_sent: None, back: back.map(|back| *back) },
            Place::Nowhere(mut waiting) => {
                // What has come is dealt with, whatever becomes of the session.
                waiting.counts.handled(u32::MAX);
                let h = waiting.counts.h();
                if let Some(name) = name {
                    self.ended.add(waiting.jid.to_bare(), name, h);
                }
                Over { waited: Some(waiting.jid), had_sent: Some(h), back: waiting.back }
            }
        })
    }

    fn seat_of(&mut self, session: SessionId) -> Option<&mut Seat> {
        self.seats.get_mut(key(session)).filter(|seat| seat.session == session)
    }

    fn find(&self, session: SessionId) -> Option<&Seat> {
        self.seats.get(key(session)).filter(|seat| seat.session == session)
    }
}

fn spelled(session: SessionId, secret: u128) -> String {
    format!("{:016x}{secret:032x}", session.0)
}

pub(crate) fn digest(name: &str) -> [u8; DIGEST] {
    Sha256::digest(name).into()
}

const fn key(session: SessionId) -> usize {
    (session.0 & u32::MAX as u64) as usize
}

#[cfg(test)]
mod tests {
    use balcony_machine::Seed;

    use super::*;

    // XEP-0198 1.6.2 §3 [SM12]: one name has one session, and a session one name
    #[test]
    fn a_name_is_taken_to_the_letter() {
        let mut sessions = Sessions::default();
        let mut random = Seed::from_u64(1).random();
        let session = sessions.begin(ConnectionId(1), NOWHERE);
        let name = sessions.name(session, &mut random);
        assert_eq!(sessions.named(&name), Some(session));
        let (number, secret) = name.split_at(16);
        let others = [
            name.to_uppercase(),
            format!("+{}{secret}", &number[1..]),
            format!("{number}+{}", &secret[1..]),
            format!("{name}0"),
            name[..47].into(),
            number.into(),
            String::new(),
            "é".repeat(24),
        ];
        assert!(name.chars().any(|letter| letter.is_ascii_lowercase()));
        for other in others {
            assert_eq!(sessions.named(&other), None, "{other}");
        }
        sessions.end(session);
        assert_eq!(sessions.named(&name), None);
    }

    // The lower half of a session's number is its place in the router, which has a table beside for places that are far from all others.
    #[test]
    fn places_begin_anew_when_all_have_gone() {
        let mut sessions = Sessions::default();
        for _ in 0..2 {
            let all: Vec<_> = (0..5_000).map(|_| sessions.begin(ConnectionId(1), NOWHERE)).collect();
            assert!(all.iter().enumerate().all(|(place, session)| key(*session) == place));
            all.into_iter().for_each(|session| drop(sessions.end(session)));
            assert_eq!(sessions.seats.capacity(), 0);
        }
    }
}
