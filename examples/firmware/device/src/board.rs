//! What this program needs of a board: a line and a clock.
//!
//! The board is an Arm MPS2 with a Cortex-M4 (AN386), as QEMU plays it. Its first UART is the line to the server, like that of a
//! modem; the second says whether there is one, `1` when the line is up, `0` when it is cut, and is
//! told by an `r` that the program rests. Another board has another file like this one.

use core::cell::Cell;

use balcony_machine::Instant;
use cortex_m::interrupt::{self, Mutex};
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;

use crate::uart::{CARRIER, HERTZ, LINE};

/// Milliseconds since the start.
static MILLIS: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

/// Bits of the UARTs' `CTRL`: sends and receives.
const BOTH: u32 = 3;

/// The board, once it is started.
pub(crate) struct Board {
    is_up: bool,
}

impl Board {
    /// Starts the clock and the line; `None` if that has been done before.
    pub(crate) fn start() -> Option<Board> {
        let mut clock = cortex_m::Peripherals::take()?.SYST;
        clock.set_clock_source(SystClkSource::Core);
        clock.set_reload(HERTZ / 1_000 - 1);
        clock.clear_current();
        clock.enable_counter();
        clock.enable_interrupt();
        LINE.start(BOTH);
        CARRIER.start(BOTH);
        Some(Board { is_up: false })
    }

    /// The clock: it never runs backwards, and nobody sets it.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_millis(interrupt::free(|token| MILLIS.borrow(token).get()))
    }

    /// Whether there is a line to the server. One that was cut and is there again is another one, so each change shows once.
    pub(crate) fn is_up(&mut self) -> bool {
        if let Some(byte) = CARRIER.byte() {
            self.is_up = byte == b'1';
        }
        self.is_up
    }

    /// What has come, as far as there is room; how much.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        while let Some(place) = buffer.get_mut(count)
            && let Some(byte) = LINE.byte()
        {
            *place = byte;
            count += 1;
        }
        count
    }

    /// Sends all of it.
    pub(crate) fn write(&self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| LINE.put(*byte));
    }

    /// Says on the second UART that the program is at rest.
    pub(crate) fn rests(&self) {
        CARRIER.put(b'r');
    }

    /// What was sent over a line that has been cut since is of no use to the next one.
    pub(crate) fn forget(&self) {
        while LINE.byte().is_some() {}
    }
}

/// A millisecond has passed.
#[exception]
fn SysTick() {
    interrupt::free(|token| {
        let millis = MILLIS.borrow(token);
        millis.set(millis.get() + 1);
    });
}
