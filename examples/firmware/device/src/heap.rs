//! The heap: a fixed arena, and how much of it was used.

use core::alloc::{GlobalAlloc, Layout};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use embedded_alloc::LlffHeap;

/// The size of the arena, in bytes.
pub(crate) const ARENA: usize = 24 * 1024;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// How often memory was asked for.
pub(crate) fn allocations() -> usize {
    ALLOCATIONS.load(Relaxed)
}

/// Bytes that are in use.
pub(crate) fn used() -> usize {
    USED.load(Relaxed)
}

/// The most bytes that were in use at a time since this was asked last.
pub(crate) fn take_peak() -> usize {
    PEAK.swap(used(), Relaxed)
}

/// A heap that counts.
struct Counted(LlffHeap);

#[global_allocator]
static HEAP: Counted = Counted(LlffHeap::empty());

/// Gives the arena to the heap.
pub(crate) fn start() {
    // Not zero at the start, so that it takes no time and no flash.
    static mut MEMORY: [MaybeUninit<u8>; ARENA] = [MaybeUninit::uninit(); ARENA];
    // SAFETY: nobody else has this array, and it is given once, as the heap checks.
    unsafe { HEAP.0.init((&raw mut MEMORY) as usize, ARENA) }
}

impl Counted {
    fn grows(&self, bytes: usize) {
        ALLOCATIONS.fetch_add(1, Relaxed);
        let used = USED.fetch_add(bytes, Relaxed) + bytes;
        PEAK.fetch_max(used, Relaxed);
    }
}

// SAFETY: it is that of the heap.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller has promised.
        let pointer = unsafe { self.0.alloc(layout) };
        if !pointer.is_null() {
            self.grows(layout.size());
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller has promised.
        unsafe { self.0.dealloc(pointer, layout) }
    }
}
