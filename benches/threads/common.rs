//! What the shards have in common: the hub behind a mutex, and how they call each other.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, Thread};

use balcony_server::{AtHub, Hub};

pub(crate) struct Parts {
    hub: Mutex<Hub>,
    parts: Box<[One]>,
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
        Arc::new(Parts { hub: Mutex::new(hub), parts })
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

impl AtHub for Common {
    fn with_hub<T>(&mut self, act: impl FnOnce(&mut Hub) -> T) -> T {
        act(&mut self.0.hub.lock().expect("no other thread has failed"))
    }

    fn call(&mut self, shard: usize) {
        self.0.parts[shard].is_called.store(true, Ordering::Release);
        self.0.wake(shard);
    }
}
