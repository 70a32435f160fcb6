//! The global allocator: the C library's, counted.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes in use.
pub(crate) static USED: AtomicUsize = AtomicUsize::new(0);
/// The most bytes that were in use at a time.
pub(crate) static PEAK: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    fn free(pointer: *mut c_void);
}

struct Counted;

#[global_allocator]
static HEAP: Counted = Counted;

// SAFETY: `aligned_alloc` gives memory of this size and alignment or null, and `free` takes it back.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(used, Relaxed);
        // SAFETY: the alignment is a power of two, and the size a multiple of it.
        unsafe { aligned_alloc(layout.align(), layout.pad_to_align().size()).cast() }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `pointer` came from `alloc`.
        unsafe { free(pointer.cast()) }
    }
}
