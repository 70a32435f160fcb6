//! Whose memory is used: that of the system, or the caller's.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::ptr;
use std::alloc::System;
use std::sync::OnceLock;

use crate::BalconyResult;

/// Gives `size` bytes whose address is a multiple of `align`, a power of two; null if there are none.
type Take = unsafe extern "C" fn(size: usize, align: usize) -> *mut c_void;
/// Takes back what was given for `size` and `align`.
type GiveBack = unsafe extern "C" fn(memory: *mut c_void, size: usize, align: usize);

/// What the caller has set, or that of the system for good once anything was taken of it.
static MEMORY: OnceLock<Option<(Take, GiveBack)>> = OnceLock::new();

struct Memory;

#[global_allocator]
static GLOBAL: Memory = Memory;

// SAFETY: each call goes to the one allocator that `MEMORY` has settled on before the first memory was given, so that all goes back to
// where it came from; what it gives is as `Layout` says, by the contract of `balcony_use_memory` or that of `System`.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match MEMORY.get_or_init(|| None) {
            // SAFETY: the caller has promised that it may be called with any size and alignment, from any thread.
            Some((take, _)) => unsafe { take(layout.size(), layout.align()) }.cast(),
            // SAFETY: handed through.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match MEMORY.get() {
            // SAFETY: it was given by `take` of the same pair, with the same layout.
            Some(Some((_, give_back))) => unsafe { give_back(memory.cast(), layout.size(), layout.align()) },
            // SAFETY: handed through.
            _ => unsafe { System.dealloc(memory, layout) },
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if let Some(None) = MEMORY.get() {
            // SAFETY: handed through.
            return unsafe { System.realloc(memory, layout, size) };
        }
        // SAFETY: the alignment is that of a valid layout, and the caller of `realloc` has made sure that the size is one, too.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both have at least so many bytes, and do not overlap, as the new one was just given.
            unsafe { ptr::copy_nonoverlapping(memory, new, layout.size().min(size)) };
            // SAFETY: as the caller of `realloc` says.
            unsafe { self.dealloc(memory, layout) };
        }
        new
    }
}

/// All memory is the caller's from now on: `take` gives `size` bytes whose address is a multiple of `align`, a power of two, or null if there are
/// none, which ends the process; `give_back` takes back what was given for the same `size` and `align`. Both may be called from any thread that
/// calls functions of this library. Neither throws, jumps out, or calls this library.
///
/// It is called before all other functions, once. `BALCONY_RESULT_MISUSE` otherwise: memory that was given by one cannot go back to the other.
///
/// # Safety
///
/// Both functions do as it says here, as long as the process lasts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn balcony_use_memory(
    take: Option<unsafe extern "C" fn(size: usize, align: usize) -> *mut c_void>,
    give_back: Option<unsafe extern "C" fn(memory: *mut c_void, size: usize, align: usize)>,
) -> BalconyResult {
    match take.zip(give_back) {
        Some(both) if MEMORY.set(Some(both)).is_ok() => BalconyResult::Ok,
        _ => BalconyResult::Misuse,
    }
}
