//! The time by the clock of the operating system, as certificates and tickets are checked by it.
//!
//! A machine without a battery for its clock begins at 1970, or anywhere. What rustls asks by itself panics when the clock is before that:
//! nobody else here calls it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::OnceLock;
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;

use crate::Error;

/// Now. A clock before 1970 is taken for one at 1970: no certificate is valid yet then, and that is what is said.
pub(crate) fn now() -> UnixTime {
    since_1970(system())
}

fn since_1970(now: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

#[allow(clippy::disallowed_methods, reason = "certificates are valid by the calendar")]
fn system() -> SystemTime {
    SystemTime::now()
}

/// The clock of all configurations.
#[derive(Debug)]
pub(crate) struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(now())
    }
}

/// Makes tickets for resuming sessions (RFC 5077, RFC 8446 section 4.6.1), under keys that rotate by the clock. As long as that is before
/// 1970 there are none, and each handshake is a whole one.
#[derive(Debug, Default)]
pub(crate) struct Tickets(OnceLock<Arc<dyn ProducesTickets>>);

impl Tickets {
    /// # Errors
    ///
    /// [`Error::Protocol`] if the operating system gives no randomness.
    pub(crate) fn new() -> Result<Arc<Tickets>, Error> {
        Tickets::at(system()).map(Arc::new)
    }

    fn at(now: SystemTime) -> Result<Tickets, Error> {
        let tickets = Tickets::default();
        if is_after_1970(now) {
            let maker = ring::Ticketer::new().map_err(|error| Error::from_rustls(error, None))?;
            let _ = tickets.0.set(maker);
        }
        Ok(tickets)
    }

    /// Who makes them now. It asks the clock itself, and panics before 1970.
    fn maker(&self, now: SystemTime) -> Option<&dyn ProducesTickets> {
        if !is_after_1970(now) {
            return None;
        }
        if self.0.get().is_none() {
            // If another thread was faster, its one counts.
            let _ = self.0.set(ring::Ticketer::new().ok()?);
        }
        self.0.get().map(|maker| &**maker)
    }
}

fn is_after_1970(now: SystemTime) -> bool {
    now >= SystemTime::UNIX_EPOCH
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // A session whose ticket cannot be made is given none.
        self.maker(system()).map_or(0, |maker| maker.lifetime())
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.maker(system())?.encrypt(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.maker(system())?.decrypt(ticket)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use core::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_is_one_at_1970() {
        let second = Duration::from_secs(1);
        for (now, expected) in [
            (SystemTime::UNIX_EPOCH - 1_000_000_000 * second, 0),
            (SystemTime::UNIX_EPOCH - second, 0),
            (SystemTime::UNIX_EPOCH, 0),
            (SystemTime::UNIX_EPOCH + second, 1),
        ] {
            assert_eq!(since_1970(now).as_secs(), expected);
        }
    }

    // RFC 8446 §4.6.1: a server may give no ticket.
    #[test]
    fn there_are_no_tickets_before_1970_and_some_when_the_clock_is_set() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let tickets = Tickets::at(before).unwrap();
        assert!(tickets.maker(before).is_none());
        let ticket = tickets.encrypt(b"a session").unwrap();
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"a session");
        assert!(tickets.maker(before).is_none(), "set back again");
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"a session", "the keys stay");
        assert!(tickets.lifetime() > 0);
    }
}
