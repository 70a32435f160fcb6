//! The stack, and how much of it was used.

/// How much of the stack has ever been used, in bytes: it was painted before the program began, and grows down.
pub(crate) fn used() -> usize {
    unsafe extern "C" {
        static mut _stack_start: u32;
        static mut _stack_end: u32;
    }
    let (top, end) = ((&raw const _stack_start) as usize, (&raw const _stack_end) as usize);
    // SAFETY: between the two lies the stack, in words.
    let is_painted = |at: &usize| unsafe { core::ptr::read_volatile(*at as *const u32) } == PAINT;
    top - (end..top).step_by(4).find(|at| !is_painted(at)).unwrap_or(top)
}

/// What cortex-m-rt paints the stack with.
const PAINT: u32 = 0xcccc_cccc;
