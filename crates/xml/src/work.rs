//! The work that reading takes, counted in bytes that were looked at or copied, for the tests that say that it is linear.
//!
//! Outside of tests it is nothing.

/// So many bytes, or things of about their size, were looked at.
#[inline(always)]
pub(crate) fn looked_at(bytes: usize) {
    #[cfg(test)]
    counted::add(bytes);
    #[cfg(not(test))]
    let _ = bytes;
}

#[cfg(test)]
pub(crate) mod counted {
    extern crate std;

    use core::cell::Cell;

    std::thread_local! {
        static BYTES: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn add(bytes: usize) {
        BYTES.with(|count| count.set(count.get() + bytes as u64));
    }

    /// The work of `act` on this thread.
    pub(crate) fn of(act: impl FnOnce()) -> u64 {
        let before = BYTES.with(Cell::get);
        act();
        BYTES.with(Cell::get) - before
    }
}
