//! What the shards have in common: the hub behind a mutex, and how they call each other.

use core::hint;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::{self, Thread};
use std::time::Instant;

use balcony_server::{AtHub, Hub};

/// As in `balcony_runtime`.
const LOOKS: u32 = 200;
const PAUSES: u32 = 8;

pub(crate) struct Parts {
    hub: Mutex<Hub>,
    parts: Box<[One]>,
    /// For how long the hub was waited for, and had, in nanoseconds, and how often.
    waited: AtomicU64,
    had: AtomicU64,
    meetings: AtomicU64,
}

/// On lines of the processor's cache of its own.
#[derive(Default)]
#[repr(align(128))]
struct One {
    is_called: AtomicBool,
    /// The thread that has it.
    thread: OnceLock<Thread>,
}

impl Parts {
    pub(crate) fn new(hub: Hub, count: usize) -> Arc<Self> {
        let parts = (0..count).map(|_| One::default()).collect();
        let (waited, had, meetings) = Default::default();
        Arc::new(Parts { hub: Mutex::new(hub), parts, waited, had, meetings })
    }

    /// As `balcony_runtime` waits for it.
    fn hub(&self) -> MutexGuard<'_, Hub> {
        for _ in 0..LOOKS {
            if let Ok(hub) = self.hub.try_lock() {
                return hub;
            }
            (0..PAUSES).for_each(|_| hint::spin_loop());
        }
        self.hub.lock().expect("no other thread has failed")
    }

    /// For how long the hub was waited for, for how long it was had, and how often, since this was asked last.
    pub(crate) fn take_times(&self) -> (Duration, Duration, u64) {
        let take = |number: &AtomicU64| number.swap(0, Ordering::Relaxed);
        let nanos = |number| Duration::from_nanos(take(number));
        (nanos(&self.waited), nanos(&self.had), take(&self.meetings))
    }

    /// This thread has a shard from now on.
    pub(crate) fn is_here(&self, shard: usize) {
        self.parts[shard].thread.get_or_init(thread::current);
    }

    /// Whether a shard has been called since this was last asked.
    pub(crate) fn take_call(&self, shard: usize) -> bool {
        let called = &self.parts[shard].is_called;
        called.load(Ordering::Acquire) && called.swap(false, Ordering::AcqRel)
    }

    /// Has the thread of a shard look whether there is something to do.
    pub(crate) fn wake(&self, shard: usize) {
        if let Some(thread) = self.parts[shard].thread.get() {
            thread.unpark();
        }
    }
}

/// The way of a shard to the hub.
pub(crate) struct Common(pub(crate) Arc<Parts>);

impl Parts {
    /// Does something with the hub, which was waited for since then.
    fn meet<T>(&self, mut hub: MutexGuard<'_, Hub>, before: Instant, act: impl FnOnce(&mut Hub) -> T) -> T {
        let begin = Instant::now();
        let result = act(&mut hub);
        // Nobody else counts meanwhile.
        let count = |number: &AtomicU64, more| {
            number.store(number.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        };
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        count(&self.waited, nanos(begin - before));
        count(&self.had, nanos(begin.elapsed()));
        count(&self.meetings, 1);
        drop(hub);
        result
    }
}

impl AtHub for Common {
    fn with_hub<T>(&mut self, act: impl FnOnce(&mut Hub) -> T) -> T {
        let before = Instant::now();
        self.0.meet(self.0.hub(), before, act)
    }

    fn try_with_hub<T>(&mut self, act: impl FnOnce(&mut Hub) -> T) -> Option<T> {
        let before = Instant::now();
        self.0.hub.try_lock().ok().map(|hub| self.0.meet(hub, before, act))
    }

    fn call(&mut self, shard: usize) {
        self.0.parts[shard].is_called.store(true, Ordering::Release);
        self.0.wake(shard);
    }
}
