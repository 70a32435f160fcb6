//! What this program needs of a board: a line and a clock.
//!
//! The board is an Arm MPS2 with a Cortex-M4 (AN386), as QEMU plays it. Its first UART is the line to the server, like that of a
//! modem; the second says whether there is one, `1` when the line is up, `0` when it is cut, and is
//! told by an `r` that the program rests. Another board has another file like this one.

use core::cell::Cell;
use core::ptr;

use balcony_machine::Instant;
use cortex_m::interrupt::{self, Mutex};
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;

/// Of the processor.
const HERTZ: u32 = 25_000_000;

/// Milliseconds since the start.
static MILLIS: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

/// A UART of the CMSDK (Cortex-M System Design Kit TRM, section 4.3).
struct Uart(usize);

const LINE: Uart = Uart(0x4000_4000);
const CARRIER: Uart = Uart(0x4000_5000);

const DATA: usize = 0x00;
const STATE: usize = 0x04;
const CTRL: usize = 0x08;
const BAUDDIV: usize = 0x10;

/// Bits of `STATE`.
const IS_SENDING: u32 = 1;
const HAS_RECEIVED: u32 = 2;
/// Bits of `CTRL`: sends and receives.
const BOTH: u32 = 3;

impl Uart {
    fn read(&self, register: usize) -> u32 {
        // SAFETY: a register of a UART that the board has at this address.
        unsafe { ptr::read_volatile((self.0 + register) as *const u32) }
    }

    fn write(&self, register: usize, value: u32) {
        // SAFETY: as above.
        unsafe { ptr::write_volatile((self.0 + register) as *mut u32, value) }
    }

    fn start(&self) {
        self.write(BAUDDIV, HERTZ / 115_200);
        self.write(CTRL, BOTH);
    }

    fn byte(&self) -> Option<u8> {
        (self.read(STATE) & HAS_RECEIVED != 0).then(|| self.read(DATA).to_le_bytes()[0])
    }
}

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
        LINE.start();
        CARRIER.start();
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
        for byte in bytes {
            while LINE.read(STATE) & IS_SENDING != 0 {}
            LINE.write(DATA, u32::from(*byte));
        }
    }

    /// Says on the second UART that the program is at rest.
    pub(crate) fn rests(&self) {
        while CARRIER.read(STATE) & IS_SENDING != 0 {}
        CARRIER.write(DATA, u32::from(b'r'));
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
