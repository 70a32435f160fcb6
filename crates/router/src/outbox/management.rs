//! How far a session has come with stream management (XEP-0198): whether it acknowledges what it gets, and whether it has a connection.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use balcony_machine::Instant;

use super::Entry;

/// A session and stream management (XEP-0198).
#[derive(Debug, Default)]
pub(crate) enum Management {
    /// It does not acknowledge, and has a connection: what the network has, it has got.
    #[default]
    Off,
    /// It acknowledges, and has a connection.
    Attached(Box<Managed>),
    /// It has lost its connection, and ends at `until`.
    Detached { managed: Box<Managed>, until: Instant },
    /// The same, and its client has come back, and has got so many more stanzas; but not everything is decided that it had sent before.
    Resuming { managed: Box<Managed>, until: Instant, count: u32 },
}

/// What is known of a session that acknowledges, as long as it does.
#[derive(Debug)]
pub(crate) struct Managed {
    /// How many stanzas there were before the first that counts.
    pub(crate) first: u64,
    /// How long it waits for its client; it does not if that is zero.
    pub(crate) wait: Duration,
    /// How long it had been bound when it was taken over from a router before this one, if it was.
    pub(crate) age: Duration,
    /// Of which account it was when it was [saved](crate::Router::save), if it was: the account may be another by now.
    pub(crate) creation: Option<u64>,
    /// What has come back to it from other sessions while it has no connection, and is not in its place yet. Nothing between calls.
    pub(super) returned: Vec<Entry>,
}

impl Management {
    /// What there is if it acknowledges.
    pub(crate) fn managed(&self) -> Option<&Managed> {
        match self {
            Management::Off => None,
            Management::Attached(managed)
            | Management::Detached { managed, .. }
            | Management::Resuming { managed, .. } => Some(managed),
        }
    }

    pub(super) fn managed_mut(&mut self) -> Option<&mut Managed> {
        match self {
            Management::Off => None,
            Management::Attached(managed)
            | Management::Detached { managed, .. }
            | Management::Resuming { managed, .. } => Some(managed),
        }
    }

    /// When it ends, if it has no connection.
    pub(crate) const fn until(&self) -> Option<Instant> {
        match self {
            Management::Off | Management::Attached(_) => None,
            Management::Detached { until, .. } | Management::Resuming { until, .. } => Some(*until),
        }
    }

    /// Whether it has no connection, and its client has not come back.
    pub(crate) const fn waits_for_client(&self) -> bool {
        matches!(self, Management::Detached { .. })
    }

    pub(crate) const fn is_detached(&self) -> bool {
        self.until().is_some()
    }

    /// Whether it waits for its client when its connection is lost.
    pub(crate) fn outlives_its_connection(&self) -> bool {
        self.managed().is_some_and(|managed| managed.wait > Duration::ZERO)
    }

    /// From here on it acknowledges, beginning behind the first so many stanzas. If it did before nothing changes but how long it waits.
    pub(super) fn begin(&mut self, wait: Duration, first: u64) {
        match self {
            Management::Off => {
                *self = Management::Attached(Box::new(Managed {
                    first,
                    wait,
                    age: Duration::ZERO,
                    creation: None,
                    returned: Vec::new(),
                }));
            }
            Management::Attached(managed)
            | Management::Detached { managed, .. }
            | Management::Resuming { managed, .. } => managed.wait = wait,
        }
    }

    /// It has lost its connection, if only the one on which its client has come back. Whether it waits for its client.
    pub(super) fn detach(&mut self, now: Instant) -> bool {
        match mem::take(self) {
            Management::Attached(managed)
            | Management::Detached { managed, .. }
            | Management::Resuming { managed, .. }
                if managed.wait > Duration::ZERO =>
            {
                let until = now + managed.wait;
                *self = Management::Detached { managed, until };
                true
            }
            other => {
                *self = other;
                false
            }
        }
    }

    /// Its client has come back. `false` if it was not gone.
    pub(super) fn resume(&mut self, got: u32) -> bool {
        match mem::take(self) {
            Management::Detached { managed, until } | Management::Resuming { managed, until, .. } => {
                *self = Management::Resuming { managed, until, count: got };
                true
            }
            other => {
                *self = other;
                false
            }
        }
    }

    /// It has the connection on which its client has come back. How many more stanzas that has got.
    pub(super) fn attach(&mut self) -> Option<u32> {
        match mem::take(self) {
            Management::Resuming { managed, count, .. } => {
                *self = Management::Attached(managed);
                Some(count)
            }
            other => {
                *self = other;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn resuming(session: &Management) -> Option<u32> {
        if let Management::Resuming { count, .. } = session { Some(*count) } else { None }
    }

    fn managed() -> Management {
        let mut management = Management::Off;
        management.begin(WAIT, 7);
        management
    }

    // Who does not acknowledge, or does not wait, is over with its connection.
    #[test]
    fn without_it_no_session_outlives_its_connection() {
        let mut off = Management::Off;
        assert!(!off.detach(at(0)) && !off.resume(0) && off.attach().is_none() && !off.is_detached());
        assert!(off.managed().is_none());
        let mut brief = Management::Off;
        brief.begin(Duration::ZERO, 0);
        assert!(!brief.detach(at(0)) && !brief.is_detached() && brief.managed().is_some());
    }

    // What it counts from stays, however often it comes back; a client that is lost while it comes back has not come back.
    #[test]
    fn a_session_goes_from_connection_to_connection() {
        let mut session = managed();
        assert!(!session.resume(1), "it is not gone");
        assert!(session.attach().is_none());
        assert!(session.detach(at(1)));
        assert_eq!(session.until(), Some(at(61)));
        assert!(session.attach().is_none(), "nobody has come back");
        assert!(session.resume(3));
        assert_eq!((resuming(&session), session.until()), (Some(3), Some(at(61))));
        assert!(session.detach(at(2)));
        assert_eq!((resuming(&session), session.until()), (None, Some(at(62))));
        assert!(session.resume(4));
        assert_eq!(session.attach(), Some(4));
        assert_eq!((session.until(), resuming(&session)), (None, None));
        session.begin(WAIT * 2, 9);
        assert_eq!(session.managed().map(|managed| (managed.first, managed.wait)), Some((7, WAIT * 2)));
    }
}
