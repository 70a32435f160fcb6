//! What the program says, its end and its randomness, which go over the debugger (semihosting).

use core::panic::PanicInfo;

use cortex_m_semihosting::{debug, hio, syscall};

/// Bytes that nobody can guess. A real device has a source of randomness, or mixes a secret that it was given when it was made with
/// a count of its starts in flash. Here the machine that plays the board gives them; `None` if it has none.
pub(crate) fn entropy() -> Option<[u8; 32]> {
    const NAME: &[u8] = b"/dev/urandom\0";
    const READ_BINARY: usize = 1;
    let mut bytes = [0; 32];
    // SAFETY: the numbers and arguments of SYS_OPEN, SYS_READ and SYS_CLOSE; what they point to outlives the calls.
    unsafe {
        let file = syscall!(OPEN, NAME.as_ptr(), READ_BINARY, NAME.len() - 1);
        if file == usize::MAX {
            return None;
        }
        let left = syscall!(READ, file, bytes.as_mut_ptr(), bytes.len());
        syscall!(CLOSE, file);
        (left == 0).then_some(bytes)
    }
}

/// A line for whoever watches.
pub(crate) fn say(parts: &[&str]) {
    if let Ok(mut out) = hio::hstdout() {
        for part in parts {
            // Nobody watches, perhaps.
            let _ = out.write_all(part.as_bytes());
        }
        let _ = out.write_all(b"\n");
    }
}

/// A line with a number at its end.
pub(crate) fn say_number(name: &str, mut number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    say(&[name, " ", core::str::from_utf8(&digits[at..]).unwrap_or_default()]);
}

/// The end of the program.
pub(crate) fn end(is_good: bool) -> ! {
    debug::exit(if is_good { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

/// What is not so ends the program.
pub(crate) fn check(is_so: bool, what: &str) {
    if !is_so {
        say(&["lamp: this is wrong: ", what]);
        end(false);
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say(&["lamp: a panic at ", info.location().map_or("an unknown place", |place| place.file())]);
    say_number("lamp: line", info.location().map_or(0, |place| place.line() as usize));
    end(false)
}
