//! Which connection a session has.

use balcony_router::SessionId;
use slab::Slab;

use crate::ConnectionId;

/// The sessions of a server, and their connections. A session has a number of its own: it is not its connection.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    seats: Slab<Seat>,
    /// Distinguishes the sessions that have had the same place in the slab.
    generation: u32,
}

#[derive(Debug)]
struct Seat {
    session: SessionId,
    connection: ConnectionId,
}

impl Sessions {
    /// A new session, on this connection.
    pub(crate) fn begin(&mut self, connection: ConnectionId) -> SessionId {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.seats.vacant_entry();
        let key = entry.key() as u64 & u64::from(u32::MAX);
        let session = SessionId(u64::from(self.generation) << 32 | key);
        entry.insert(Seat { session, connection });
        session
    }

    /// The connection of a session, which may be over, as long as something may still be written to it.
    pub(crate) fn connection(&self, session: SessionId) -> Option<ConnectionId> {
        let seat = self.seats.get(key(session)).filter(|seat| seat.session == session)?;
        Some(seat.connection)
    }

    /// There is no such session any more.
    pub(crate) fn end(&mut self, session: SessionId) {
        if self.connection(session).is_some() {
            self.seats.remove(key(session));
        }
    }
}

const fn key(session: SessionId) -> usize {
    (session.0 & u32::MAX as u64) as usize
}
