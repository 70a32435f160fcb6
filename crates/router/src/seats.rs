//! Values of sessions, found by the numbers of these.
//!
//! Of a million sessions the processor's cache has none, and a table that says where each lies would be one more line of it to wait for. Here
//! the lower half of a session's number says it: an owner that counts its sessions, and uses the lower half of the numbers of those that are
//! over once more, as `balcony-server` does, needs no table. Whoever has other numbers has them found by one.
//!
//! Since the number says where it lies a session never moves, so the places of those that are over are kept for others until the last session is over: 128
//! bytes for each that there were at once, where a session that is there takes some kilobytes. Rows in which nobody is any more could be given back, but
//! of a crowd of which one in a hundred stays, spread over all rows, there is hardly such a row.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;

use hashbrown::HashMap;

use crate::SessionId;

/// So many places lie side by side. More begin elsewhere, so that few have to move when there are more; where each of these rows begins is to
/// be in the processor's cache.
const ROW: usize = 512;

/// Values of sessions. Never iterated.
pub(crate) struct Seats<V> {
    rows: Vec<Vec<Option<Seat<V>>>>,
    /// How many have their places.
    seated: usize,
    /// Those whose places have others, or are too far from all.
    others: HashMap<SessionId, Box<V>>,
}

/// The number and the beginning of the value are in one line of the cache.
#[repr(C, align(64))]
pub(crate) struct Seat<V> {
    session: SessionId,
    value: V,
}

/// Which place a session has, if it is not among the others. Another one may have it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seating(NonZeroU32);

impl Seating {
    /// That of this session.
    pub(crate) const fn of(session: SessionId) -> Option<Self> {
        match NonZeroU32::new((session.0 as u32).wrapping_add(1)) {
            Some(place) => Some(Seating(place)),
            None => None,
        }
    }
}

/// The row of a session, and which place in that.
const fn place(session: SessionId) -> (usize, usize) {
    let place = (session.0 & u32::MAX as u64) as usize;
    (place / ROW, place % ROW)
}

impl<V> Default for Seats<V> {
    fn default() -> Self {
        Seats { rows: Vec::new(), seated: 0, others: HashMap::new() }
    }
}

impl<V> Seats<V> {
    pub(crate) fn len(&self) -> usize {
        self.seated + self.others.len()
    }

    pub(crate) fn contains_key(&self, session: &SessionId) -> bool {
        self.get(session).is_some()
    }

    pub(crate) fn get(&self, session: &SessionId) -> Option<&V> {
        let (row, place) = place(*session);
        match self.rows.get(row).and_then(|row| row.get(place)) {
            Some(Some(seat)) if seat.session == *session => Some(&seat.value),
            _ if self.others.is_empty() => None,
            _ => self.others.get(session).map(|value| &**value),
        }
    }

    /// What lies there, without a look at it.
    pub(crate) fn place(&self, Seating(seat): Seating) -> Option<&Option<Seat<V>>> {
        let place = (seat.get() - 1) as usize;
        self.rows.get(place / ROW)?.get(place % ROW)
    }

    pub(crate) fn get_mut(&mut self, session: &SessionId) -> Option<&mut V> {
        let (row, place) = place(*session);
        match self.rows.get_mut(row).and_then(|row| row.get_mut(place)) {
            Some(Some(seat)) if seat.session == *session => Some(&mut seat.value),
            _ if self.others.is_empty() => None,
            _ => self.others.get_mut(session).map(|value| &mut **value),
        }
    }

    /// Has this value for the session from now on.
    pub(crate) fn insert(&mut self, session: SessionId, value: V) {
        if let Some(before) = self.get_mut(&session) {
            *before = value;
        } else if let Some(seat) = self.free_seat(session) {
            *seat = Some(Seat { session, value });
            self.seated += 1;
        } else {
            self.others.insert(session, Box::new(value));
        }
    }

    /// The place of a session that has none, if nobody is there. At most half of all places are empty because of numbers that are left out.
    fn free_seat(&mut self, session: SessionId) -> Option<&mut Option<Seat<V>>> {
        let (row, place) = place(session);
        let is_there = self.rows.get(row).is_some_and(|row| place < row.len());
        if !is_there && row * ROW + place > 2 * (self.seated + ROW) {
            return None;
        }
        if row >= self.rows.len() {
            self.rows.resize_with(row + 1, Vec::new);
        }
        let row = self.rows.get_mut(row)?;
        if place >= row.len() {
            row.resize_with(place + 1, || None);
        }
        row.get_mut(place).filter(|seat| seat.is_none())
    }

    /// Takes the value of a session out.
    pub(crate) fn remove(&mut self, session: &SessionId) -> Option<V> {
        let (row, place) = place(*session);
        let seat = self.rows.get_mut(row).and_then(|row| row.get_mut(place));
        let value = match seat.and_then(|seat| seat.take_if(|seat| seat.session == *session)) {
            Some(seat) => {
                self.seated -= 1;
                Some(seat.value)
            }
            None => self.others.remove(session).map(|value| *value),
        };
        if self.len() == 0 {
            // Nothing is kept of a crowd that has gone.
            *self = Seats::default();
        }
        value
    }
}

impl<V> fmt::Debug for Seats<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seats").field("values", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Outbox;
    use crate::router::Session;
    use alloc::collections::BTreeMap;
    use core::mem::offset_of;
    use proptest::prelude::*;

    /// Numbers as a server has them, with the same lower halves, and far away ones.
    fn number() -> impl Strategy<Value = SessionId> {
        let lower = prop_oneof![8 => 0..40_u64, 1 => 500..530_u64, 1 => Just(u64::from(u32::MAX))];
        (0..3_u64, lower).prop_map(|(upper, lower)| SessionId(upper << 32 | lower))
    }

    proptest! {
        // A map of the standard library has the same.
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((number(), prop::option::of(any::<u64>())), 1..300)) {
            let (mut seats, mut model) = (Seats::default(), BTreeMap::new());
            for (session, value) in steps {
                match value {
                    Some(value) => {
                        seats.insert(session, value);
                        model.insert(session, value);
                    }
                    None => prop_assert_eq!(seats.remove(&session), model.remove(&session)),
                }
                prop_assert_eq!(seats.len(), model.len());
                for session in model.keys().copied().chain([session]) {
                    prop_assert_eq!(seats.get(&session), model.get(&session));
                    prop_assert_eq!(seats.get_mut(&session).copied(), model.get(&session).copied());
                    prop_assert_eq!(seats.contains_key(&session), model.contains_key(&session));
                    // Its place is its own, if it is not among the others.
                    let seat = Seating::of(session).and_then(|seating| seats.place(seating)?.as_ref());
                    if let Some(seat) = seat.filter(|seat| seat.session == session) {
                        prop_assert_eq!(Some(&seat.value), model.get(&session));
                    } else {
                        prop_assert_eq!(seats.others.contains_key(&session), model.contains_key(&session));
                    }
                }
            }
        }
    }

    // What a message needs of a session is in one line of the processor's cache, and all of it in two.
    #[test]
    fn a_session_takes_two_lines() {
        assert_eq!(size_of::<Option<Seat<Session>>>(), 128);
        assert!(offset_of!(Seat<Session>, value) + offset_of!(Session, outbox) + size_of::<Outbox>() <= 64);
    }

    // Places of those that are gone are used again, and given back with the last one.
    #[test]
    fn nothing_is_kept_of_those_that_are_gone() {
        let mut seats = Seats::default();
        for round in 0..10_u64 {
            (0..1_600).for_each(|number| seats.insert(SessionId(round << 32 | number), number));
            assert_eq!((seats.rows.len(), seats.others.len()), (4, 0));
            (0..1_600).for_each(|number| {
                assert_eq!(seats.remove(&SessionId(round << 32 | number)), Some(number));
            });
            assert_eq!((seats.rows.capacity(), seats.seated), (0, 0));
        }
    }

    // An owner may choose any numbers: they cost no more memory than as many others.
    #[test]
    fn numbers_that_are_far_apart_take_no_places() {
        let mut seats = Seats::default();
        (0..1_000_u64).for_each(|number| seats.insert(SessionId(number * 0x1_0001), number));
        assert!(seats.rows.iter().map(Vec::len).sum::<usize>() <= 2 * (seats.seated + ROW));
        assert!((0..1_000).all(|number| seats.get(&SessionId(number * 0x1_0001)) == Some(&number)));
    }
}
