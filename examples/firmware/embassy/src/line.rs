//! The line to the server: a UART whose interrupts fill and empty buffers, as `embedded-io-async` has it.
//!
//! The board is an Arm MPS2 with a Cortex-M4 (AN386), as QEMU plays it. Its first UART is the line; the second says whether there is one, `1`
//! when the line is up, `0` when it is cut, and is told by an `r` that the program rests.

use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use balcony_embedded::Link;
use balcony_stream::Security;
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;
use critical_section::Mutex;
use embassy_time::Instant;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

use crate::uart::{CARRIER, LINE};

/// A register of the UARTs: which interrupts there are; those that are written are over.
const INTERRUPTS: usize = 0x0c;
/// Bits of their `CTRL`: sends and receives, with an interrupt for each.
const ALL: u32 = 0b1111;

/// The interrupts of both: received and sent.
const NUMBERS: [u16; 4] = [0, 1, 2, 3];

/// Bytes on their way, first in, first out.
struct Ring<const N: usize> {
    bytes: [u8; N],
    start: usize,
    length: usize,
}

impl<const N: usize> Ring<N> {
    const EMPTY: Self = Ring { bytes: [0; N], start: 0, length: 0 };

    fn is_full(&self) -> bool {
        self.length == N
    }

    /// Puts a byte behind the others; there has to be room.
    fn push(&mut self, byte: u8) {
        self.bytes[(self.start + self.length) % N] = byte;
        self.length += 1;
    }

    fn pop(&mut self) -> Option<u8> {
        self.length = self.length.checked_sub(1)?;
        let byte = self.bytes[self.start];
        self.start = (self.start + 1) % N;
        Some(byte)
    }
}

/// What the interrupts and the task have in common.
struct Shared {
    received: Ring<256>,
    to_send: Ring<64>,
    is_up: bool,
    /// How often the line was cut: one that is there again is another one.
    cuts: u32,
    /// When something has come last.
    heard: Instant,
    /// The task, which waits for anything of this.
    waker: Option<Waker>,
}

static SHARED: Mutex<RefCell<Shared>> = Mutex::new(RefCell::new(Shared {
    received: Ring::EMPTY,
    to_send: Ring::EMPTY,
    is_up: false,
    cuts: 0,
    heard: Instant::MIN,
    waker: None,
}));

impl Shared {
    /// Does what can be done without waiting.
    fn serve(&mut self) {
        while let Some(byte) = CARRIER.byte() {
            self.cuts += u32::from(self.is_up);
            self.is_up = byte == b'1';
            self.to_send = Ring::EMPTY;
        }
        // What has no room stays in the UART, whose flow control holds the other end.
        while !self.received.is_full()
            && let Some(byte) = LINE.byte()
        {
            // What was sent over a line that has been cut since is of no use to the next one.
            if self.is_up {
                self.received.push(byte);
                self.heard = Instant::now();
            }
        }
        if LINE.is_free()
            && let Some(byte) = self.to_send.pop()
        {
            LINE.put(byte);
        }
    }
}

fn shared<T>(f: impl FnOnce(&mut Shared) -> T) -> T {
    critical_section::with(|token| f(&mut SHARED.borrow_ref_mut(token)))
}

/// All interrupts of the board: these are those of the UARTs.
#[exception]
unsafe fn DefaultHandler(_number: i16) {
    for uart in [LINE, CARRIER] {
        uart.write(INTERRUPTS, uart.read(INTERRUPTS));
    }
    shared(|shared| {
        shared.serve();
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
    });
}

#[derive(Clone, Copy)]
struct Number(u16);

// SAFETY: it is that of an interrupt of the board.
unsafe impl InterruptNumber for Number {
    fn number(self) -> u16 {
        self.0
    }
}

/// Starts the UARTs.
pub(crate) fn start() {
    for uart in [LINE, CARRIER] {
        uart.start(ALL);
    }
    for number in NUMBERS {
        // SAFETY: no critical section stands on these being masked.
        unsafe { NVIC::unmask(Number(number)) };
    }
}

/// When something has come last.
pub(crate) fn heard() -> Instant {
    shared(|shared| shared.heard)
}

/// Says on the second UART that the program is at rest.
pub(crate) fn rests() {
    CARRIER.put(b'r');
}

/// The line is cut.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the line is cut")
    }
}

impl core::error::Error for Cut {}

impl embedded_io_async::Error for Cut {
    fn kind(&self) -> ErrorKind {
        ErrorKind::ConnectionReset
    }
}

/// The line that there is, by how often it was cut before. Each half of it is one: they have the interrupts' buffers in common.
#[derive(Clone, Copy)]
pub(crate) struct Line(u32);

impl Line {
    pub(crate) const fn new() -> Line {
        Line(0)
    }

    /// Waits until `f` has done something, or the line is cut. It may be dropped: nothing is done then.
    async fn wait<T>(self, mut f: impl FnMut(&mut Shared) -> Option<T>) -> Result<T, Cut> {
        poll_fn(|context| {
            shared(|shared| {
                if !shared.is_up || shared.cuts != self.0 {
                    return Poll::Ready(Err(Cut));
                }
                let done = f(shared);
                // There may be room now, or something to be sent.
                shared.serve();
                shared.waker = Some(context.waker().clone());
                done.map_or(Poll::Pending, |done| Poll::Ready(Ok(done)))
            })
        })
        .await
    }
}

impl ErrorType for Line {
    type Error = Cut;
}

impl Read for Line {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Cut> {
        let room = buffer.len();
        self.wait(|shared| {
            let bytes = core::iter::from_fn(|| shared.received.pop());
            let count = buffer.iter_mut().zip(bytes).map(|(place, byte)| *place = byte).count();
            (count > 0 || room == 0).then_some(count)
        })
        .await
    }
}

impl Write for Line {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Cut> {
        self.wait(|shared| {
            let mut count = 0;
            while let Some(byte) = bytes.get(count)
                && !shared.to_send.is_full()
            {
                shared.to_send.push(*byte);
                count += 1;
            }
            (count > 0 || bytes.is_empty()).then_some(count)
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Cut> {
        self.wait(|shared| (shared.to_send.length == 0).then_some(())).await
    }
}

impl Link for Line {
    type Error = Cut;

    async fn open(&mut self) -> Result<Option<Security>, Cut> {
        self.0 = poll_fn(|context| {
            shared(|shared| {
                shared.serve();
                shared.waker = Some(context.waker().clone());
                if shared.is_up { Poll::Ready(shared.cuts) } else { Poll::Pending }
            })
        })
        .await;
        shared(|shared| shared.received = Ring::EMPTY);
        Ok(None)
    }

    fn split(&mut self) -> (impl Read, impl Write) {
        (*self, *self)
    }

    fn close(&mut self) {}
}
