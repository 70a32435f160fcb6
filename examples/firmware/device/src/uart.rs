//! The serial ports of the board: two UARTs of the CMSDK (Cortex-M System Design Kit TRM, section 4.3).

use core::ptr;

/// Of the processor, and of what is on the board.
pub(crate) const HERTZ: u32 = 25_000_000;

/// A serial port, at its address.
pub(crate) struct Uart(usize);

/// The line to the server, like that of a modem.
pub(crate) const LINE: Uart = Uart(0x4000_4000);
/// Says whether there is a line, `1` when it is up, `0` when it is cut, and is told by an `r` that the program rests.
pub(crate) const CARRIER: Uart = Uart(0x4000_5000);
/// Where the program of the suite is told what to do.
#[allow(dead_code, reason = "lamps are told by commands")]
pub(crate) const CONSOLE: Uart = Uart(0x4000_6000);

const DATA: usize = 0x00;
const STATE: usize = 0x04;
const CTRL: usize = 0x08;
const BAUDDIV: usize = 0x10;

/// Bits of `STATE`.
const IS_SENDING: u32 = 1;
const HAS_RECEIVED: u32 = 2;

impl Uart {
    pub(crate) fn read(&self, register: usize) -> u32 {
        // SAFETY: a register of a UART that the board has at this address.
        unsafe { ptr::read_volatile((self.0 + register) as *const u32) }
    }

    pub(crate) fn write(&self, register: usize, value: u32) {
        // SAFETY: as above.
        unsafe { ptr::write_volatile((self.0 + register) as *mut u32, value) }
    }

    /// Starts it, with these bits of `CTRL`.
    pub(crate) fn start(&self, bits: u32) {
        self.write(BAUDDIV, HERTZ / 115_200);
        self.write(CTRL, bits);
    }

    /// A byte that has come.
    pub(crate) fn byte(&self) -> Option<u8> {
        (self.read(STATE) & HAS_RECEIVED != 0).then(|| self.read(DATA).to_le_bytes()[0])
    }

    /// Whether it can send a byte.
    pub(crate) fn is_free(&self) -> bool {
        self.read(STATE) & IS_SENDING == 0
    }

    /// Sends a byte as soon as it can.
    pub(crate) fn put(&self, byte: u8) {
        while !self.is_free() {}
        self.write(DATA, u32::from(byte));
    }
}
