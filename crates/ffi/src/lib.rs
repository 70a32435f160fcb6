//! The client of Balcony for C, and for all that can call C: a machine that takes bytes in and gives bytes out, in twelve functions.
//! The program has the socket, the clock, the randomness and the loop; `c/client.c` is one with `poll`.
//!
//! | function | what it does |
//! | --- | --- |
//! | [`balcony_use_memory`] | before all others, if at all: whose memory is used |
//! | [`balcony_client_new`], [`balcony_client_free`] | a client for a connection that has just been made; its end |
//! | [`balcony_client_step`] | what has happened: call it until it says `BALCONY_WAIT` |
//! | [`balcony_client_output`] | bytes for the socket, and how many of them are written |
//! | [`balcony_client_received`] | bytes from the socket, or its end |
//! | [`balcony_client_timeout`] | how long to wait at most |
//! | [`balcony_client_send`], [`balcony_client_message`] | a stanza; a message with a text |
//! | [`balcony_client_request`] | a request, whose answer comes by its number |
//! | [`balcony_client_tell`] | the end, in good order; out of sleep; nobody looks |
//! | [`balcony_client_resume`] | the same session on the next connection: nothing is lost (XEP-0198) |
//!
//! What holds for all of them:
//!
//! - A client is used by one thread at a time; different clients by different threads.
//! - `now` is in milliseconds, of a clock that never goes back, the same for all calls with a client.
//! - Text is UTF-8. What comes in ends with a zero and is copied; what comes out belongs to the client and lasts until the next call with it.
//! - Null, for what must be there, is `BALCONY_RESULT_MISUSE`, or does nothing.
//! - The bounds are those of the [`Pump`](balcony_client::Pump): it keeps at most 64 KiB of input, 1 MiB of output and one stanza more of each, and what is
//!   sent and not yet acknowledged.
//! - A password is not kept in the clear longer than the client itself, and neither it nor what is sent is ever printed.
//!
//! It needs `std`, for TLS. Rust programs have no use for it: the crate `balcony`, or `balcony-client` below it, is theirs.

mod client;
mod config;
mod memory;
mod step;

pub use client::{
    BalconyClient, BalconyTell, balcony_client_free, balcony_client_message, balcony_client_new,
    balcony_client_output, balcony_client_received, balcony_client_request, balcony_client_resume,
    balcony_client_send, balcony_client_tell, balcony_client_timeout,
};
pub use config::{BalconyConfig, BalconyTls};
pub use memory::balcony_use_memory;
pub use step::{BalconyEvent, BalconyStep, balcony_client_step};

/// Whether a call was carried out. Where it was not, nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum BalconyResult {
    /// It was.
    Ok = 0,
    /// Null where something must be, or a call that cannot be made now: nothing can be sent before `BALCONY_STEP_ONLINE`, or after the end.
    Misuse = 1,
    /// A text is no UTF-8, no address, no number of those that are known, or no stanza.
    BadText = 2,
    /// The server has not acknowledged what was sent before, or does not take it, and no more of it is kept; or 1,024 requests wait for their
    /// answers. Go on until there is room.
    Full = 3,
    /// The connection has ended, or is ending; `balcony_client_step` says why.
    Ended = 4,
    /// The certificates to trust cannot be read, or there are none.
    BadTrust = 5,
}
