//! What the tasks of a server have in common: the hub, who may connect, and the mailboxes by which they reach each other.

use core::hint;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use balcony_server::{Acceptor, AtHub, GivenUp, Hub};

use crate::driver::Message;
use crate::mailbox::Mailbox;

/// The parts of a server, each with a task of its own. The first has the listeners, and all that is not connections of clients.
pub(crate) struct Parts {
    hub: Mutex<Hub>,
    /// How often a part looks whether the hub is free before its thread sleeps.
    looks: u32,
    acceptor: Mutex<Acceptor>,
    /// Held by whoever tells all parts something, so that they hear it in the same order as what others tell all of them.
    telling: Mutex<()>,
    parts: Box<[One]>,
    /// How many of the others have not ended.
    others: AtomicUsize,
}

struct One {
    mailbox: Arc<Mailbox<Message>>,
    /// The sockets that it has.
    sockets: AtomicUsize,
}

impl Parts {
    /// So many parts.
    pub(crate) fn new(hub: Hub, acceptor: Acceptor, count: usize) -> Arc<Self> {
        let one = |_| One { mailbox: Mailbox::new(), sockets: AtomicUsize::new(0) };
        Arc::new(Parts {
            hub: Mutex::new(hub),
            looks: if count > 1 && has_several_processors() { LOOKS } else { 0 },
            acceptor: Mutex::new(acceptor),
            telling: Mutex::new(()),
            parts: (0..count).map(one).collect(),
            others: AtomicUsize::new(count.saturating_sub(1)),
        })
    }

    pub(crate) fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox<Message>>> {
        self.parts.iter().map(|one| &one.mailbox)
    }

    pub(crate) fn mailbox(&self, part: usize) -> &Arc<Mailbox<Message>> {
        &self.parts[part].mailbox
    }

    /// Who has come, and who has gone.
    pub(crate) fn acceptor(&self) -> MutexGuard<'_, Acceptor> {
        self.acceptor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For as long as this is kept nobody else tells all parts something.
    pub(crate) fn tell_all(&self) -> MutexGuard<'_, ()> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part with the fewest sockets, which gets another one.
    pub(crate) fn fewest(&self) -> usize {
        let sockets = |part: &usize| self.parts[*part].sockets.load(Ordering::Relaxed);
        (0..self.parts.len()).min_by_key(sockets).unwrap_or(0)
    }

    /// A part is given a socket.
    pub(crate) fn add(&self, part: usize) {
        self.parts[part].sockets.fetch_add(1, Ordering::Relaxed);
    }

    /// A part has closed a socket that it was given.
    pub(crate) fn remove(&self, part: usize) {
        self.parts[part].sockets.fetch_sub(1, Ordering::Relaxed);
    }

    /// Has a part come to the hub.
    fn call(&self, part: usize) {
        if let Some(one) = self.parts.get(part) {
            one.mailbox.call();
        }
    }

    /// The hub, when no other part has it. They have it for some tens of microseconds at most, which is less than it takes to sleep and be woken,
    /// so that is put off for a while. An error: another part has failed in the middle of something.
    fn hub(&self) -> Result<MutexGuard<'_, Hub>, HasFailed> {
        for _ in 0..self.looks {
            match self.hub.try_lock() {
                Ok(hub) => return Ok(hub),
                Err(TryLockError::Poisoned(_)) => return Err(HasFailed),
                Err(TryLockError::WouldBlock) => (0..PAUSES).for_each(|_| hint::spin_loop()),
            }
        }
        self.hub.lock().map_err(|_| HasFailed)
    }

    /// One of the other parts has ended, in good order. The first may have waited for that.
    pub(crate) fn ended(&self) {
        if self.others.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.call(0);
        }
    }

    /// Whether the first part is the last one.
    pub(crate) fn is_last(&self) -> bool {
        self.others.load(Ordering::SeqCst) == 0
    }

    /// What a server that has shut down has given up; `None` if it has not, or one of its parts has failed.
    pub(crate) fn given_up(&self) -> Option<GivenUp> {
        self.hub.lock().ok()?.given_up()
    }

    /// Ends all parts at once, since one of them has failed.
    pub(crate) fn fail(&self) {
        self.mailboxes().for_each(|mailbox| mailbox.close());
    }
}

/// A part has failed while it had the hub.
struct HasFailed;

/// Some 50 µs altogether, by how long a processor waits each time (10 to 50 ns).
const LOOKS: u32 = 200;
const PAUSES: u32 = 8;

/// Otherwise whoever has the hub waits for the processor of whoever looks.
fn has_several_processors() -> bool {
    std::thread::available_parallelism().is_ok_and(|count| count.get() > 1)
}

/// Another part has failed, and has said why: so does this one fail.
fn fail() -> ! {
    std::panic::resume_unwind(Box::new("another thread of the server has failed"))
}

/// The way of a part to the hub.
pub(crate) struct Common(pub(crate) Arc<Parts>);

impl AtHub for Common {
    fn with_hub<T>(&mut self, act: impl FnOnce(&mut Hub) -> T) -> T {
        match self.0.hub() {
            Ok(mut hub) => act(&mut hub),
            Err(HasFailed) => fail(),
        }
    }

    fn try_with_hub<T>(&mut self, act: impl FnOnce(&mut Hub) -> T) -> Option<T> {
        match self.0.hub.try_lock() {
            Ok(mut hub) => Some(act(&mut hub)),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(_)) => fail(),
        }
    }

    fn call(&mut self, shard: usize) {
        self.0.call(shard);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use core::panic::AssertUnwindSafe;
    use std::panic::catch_unwind;

    use balcony_machine::{Secret, Seed};
    use balcony_server::ServerConfig;

    use super::*;

    fn parts(count: u8) -> Arc<Parts> {
        let config = ServerConfig::new(vec!["localhost".parse().unwrap()], Secret::new([7; 32]));
        Parts::new(Hub::new(&config, &Seed::from_u64(1), count.into()), Acceptor::new(100), count.into())
    }

    // New sockets go where the fewest are, and those that have closed do not count.
    #[test]
    fn sockets_are_spread() {
        let parts = parts(3);
        let given: Vec<usize> = (0..7)
            .map(|_| {
                let part = parts.fewest();
                parts.add(part);
                part
            })
            .collect();
        assert_eq!(given, [0, 1, 2, 0, 1, 2, 0]);
        parts.remove(2);
        parts.remove(2);
        parts.remove(1);
        let next = |parts: &Parts| {
            let part = parts.fewest();
            parts.add(part);
            part
        };
        assert_eq!([next(&parts), next(&parts), next(&parts)], [2, 1, 2]);
    }

    // If one part fails in the middle of something no other goes on with what it has left.
    #[test]
    fn who_finds_the_hub_half_done_fails_too() {
        let parts = parts(2);
        let fails = |act: &dyn Fn(&mut Hub)| {
            let mut common = Common(Arc::clone(&parts));
            catch_unwind(AssertUnwindSafe(|| common.with_hub(act))).is_err()
        };
        assert!(!fails(&|_| ()));
        assert!(fails(&|_| std::panic::resume_unwind(Box::new("a fault"))));
        assert!(fails(&|_| ()));
    }
}
