//! The protocol crates, tiers 0 to 3, in a program without `std`: proof that they need none, and a measure of what they
//! cost a device.
//!
//! There is no `std` anywhere in this program. The panic handler below is what `std` would bring; should a dependency
//! link `std` after all, there are two of them, and the compiler refuses the program: "found duplicate lang item
//! `panic_impl`". Tried by hand, with a dependency here on base64 with its feature `std`, which `balcony-sasl` then gets
//! too: refused.
//!
//! Built for the host, so that it also runs. From the host's C library it takes memory and one line of output; a device
//! brings these itself.
#![no_std]
#![no_main]

extern crate alloc;

mod heap;
mod login;

use core::ffi::{c_char, c_int};
use core::panic::PanicInfo;

#[link(name = "c")]
unsafe extern "C" {
    fn puts(line: *const c_char) -> c_int;
    fn abort() -> !;
}

#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    let delivered = login::run();
    say(&alloc::format!(
        "bare: logged in and delivered {delivered} stanza; {} bytes of heap at most, {} at the end\0",
        heap::PEAK.load(core::sync::atomic::Ordering::Relaxed),
        heap::USED.load(core::sync::atomic::Ordering::Relaxed),
    ));
    c_int::from(delivered != 1)
}

/// `line` ends in a zero.
fn say(line: &str) {
    if line.ends_with('\0') {
        // SAFETY: a pointer to octets that end in a zero, for the length of the call.
        unsafe { puts(line.as_ptr().cast()) };
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say(&alloc::format!("bare: {info}\0"));
    // SAFETY: it takes nothing and does not return.
    unsafe { abort() }
}

// `core` and `alloc` come compiled for unwinding, and name these two. Here a panic ends the program: nothing calls them.

#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: it takes nothing and does not return.
    unsafe { abort() }
}
