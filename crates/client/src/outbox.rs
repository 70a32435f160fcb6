//! What the client has sent and the server has not acknowledged (XEP-0198), in a queue with the bounds of
//! [`Limits::outbox`](balcony_machine::Limits::outbox) and [`Limits::outbox_bytes`](balcony_machine::Limits::outbox_bytes).

use balcony_machine::Instant;
use balcony_stanza::{Kind, Stanza};
use balcony_xep::delay;

use crate::lasting;

/// A stanza that may have to be sent again.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) stanza: Stanza,
    /// When it was sent first.
    pub(crate) at: Instant,
    /// In how many sessions it has been sent.
    pub(crate) sessions: u8,
    /// Where it ends in what its owner writes, once the owner [has said so](crate::ClientMachine::put_until).
    pub(crate) end: Option<u64>,
}

/// Until when what was sent is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Until the server acknowledges it, unless it refuses to count: it has not said yet.
    Unsettled,
    /// Until the server acknowledges it.
    UntilAcknowledged,
    /// Until it is written: nobody will say what becomes of it after that.
    UntilWritten,
}

/// In so many sessions a stanza is sent. A server that does not take it may end each of them because of it.
pub(crate) const MOST_SESSIONS: u8 = 5;

impl Entry {
    /// The same for a session that has not seen it; `None` if it makes no sense there. A message says when it was sent, if that is known
    /// in milliseconds since the start of 1970 (XEP-0203).
    pub(crate) fn for_another_session(mut self, own: &str, sent: Option<u64>) -> Option<Entry> {
        if !lasting::outlives_session(&self.stanza) {
            return None;
        }
        if let (Kind::Message(_), Some(sent)) = (self.stanza.head.kind, sent) {
            self.stanza.payload = delay::stamp(&self.stanza.payload, own, sent);
        }
        self.sessions += 1;
        Some(self)
    }
}
