//! The client of Balcony for browsers: agent and connection on wasm32, without the sockets, the clock and the randomness, which are the browser's.
//!
//! People use the package for npm in `npm/`, whose `balcony.js` brings these: the browser's WebSocket (RFC 7395), `performance.now`, `setTimeout` and
//! `crypto.getRandomValues`. It calls the functions below; the module that the compiler makes of this crate imports nothing at all, so it can do no
//! more than compute.
//!
//! | function | what it does |
//! | --- | --- |
//! | [`balcony_input`] | the place for a text that is handed in with the next call |
//! | [`balcony_output`], [`balcony_output_length`] | the text that the last call has given |
//! | [`balcony_make`], [`balcony_free`] | a client; its end |
//! | [`balcony_step`] | what has happened, or is to be done: call it until it says [`WAIT`] |
//! | [`balcony_connected`], [`balcony_unreachable`], [`balcony_broken`] | there is a WebSocket; there is none; it is gone |
//! | [`balcony_received`], [`balcony_message`] | a message that has come on it; the next one for it |
//! | [`balcony_deadline`] | when to step even if nothing has come |
//! | [`balcony_send`], [`balcony_stanza()`], [`balcony_presence`] | a message with a text; a stanza; presence |
//! | [`balcony_close`], [`balcony_wake`] | the end, in good order; out of sleep |
//! | [`balcony_shown`] | a message of the wire without what is secret in it |
//!
//! What holds for all of them:
//!
//! - Texts are UTF-8. Several that belong together have a byte of zero between them, which stands in no XML.
//! - `now` is in milliseconds, of a clock that never goes back.
//! - A client has a number, from 1 on. Calls with a number that no client has do nothing.
//! - The bounds are those of the [`Device`](balcony_client::Device), and [`WAITING`] bytes more of messages that have come while much was to be sent:
//!   more of them break the connection, as does one that is longer than [`MESSAGE`].
//! - What balcony.js does is relied upon: a `ws` without TLS is to this machine alone, and the browser has checked the certificate of a `wss`. What a server says of a
//!   password is believed, and is the end.
//! - Neither a password nor what is sent is ever printed.
//!
//! There is no `wasm-bindgen`: with texts as the only values the JavaScript is a page long, and nobody needs a tool of the right version.
//!
//! It needs `std`, for its allocator. Rust programs have no use for it: the crate `balcony`, or `balcony-client` below it, is theirs.

mod client;
mod config;
mod exports;
mod json;
mod shown;
#[cfg(test)]
mod tests;

pub use client::{CONNECT, DISCONNECT, ENDED, EVENT, MESSAGE, WAIT, WAITING};
pub use exports::{
    balcony_broken, balcony_close, balcony_connected, balcony_deadline, balcony_free, balcony_input,
    balcony_make, balcony_message, balcony_output, balcony_output_length, balcony_presence, balcony_received,
    balcony_send, balcony_shown, balcony_stanza, balcony_step, balcony_unreachable, balcony_wake,
};
