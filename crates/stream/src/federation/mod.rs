//! Streams between servers: the negotiation parts of federation (RFC 6120 sections 4.5, 6 and 8.1, XEP-0178, XEP-0220).
//!
//! Such a stream carries stanzas one way: the [initiating](Initiating) end sends, the [receiving](Receiving) end receives,
//! and answers take a stream in the other direction. (XEP-0288 would change that. It is not spoken; its place is in the
//! features, after TLS and before authentication.)
//!
//! Stanzas flow for authorised *pairs*: from one domain of the initiating server to one of the receiving server. There are
//! two ways to prove a pair:
//!
//! - The certificate of the initiating server proves the domain. The owner says so in
//!   [`Security::domains`](crate::Security), and SASL EXTERNAL does the rest.
//! - *Dialback*: the initiating server sends a [key](dialback_key) that only the server of the domain can make for this
//!   stream, and the receiving server asks that server about it, on a stream that it opens itself. One stream may so be
//!   authorised for many pairs.
//!
//! # Whom a dialback concerns
//!
//! ```text
//!   server of a.example                        server of b.example
//!   initiating stream 1  ── result, key ──>    receiving stream 1: Ask::VerifyDialback
//!                                                  │ open stream 2 to a.example, Stream::verify
//!   receiving stream 2   <── verify, key ──    initiating stream 2
//!      compares the key  ── valid ──────────>      Event::KeyVerified
//!                                                  │ answer with Answer::Verdict
//!   Event::Authorized    <── valid ────────    receiving stream 1: Event::Authorized
//! ```
//!
//! Finding the other server, opening streams and queueing stanzas until a pair is authorised is the owner's. Stanzas between
//! two domains are to go over one stream, so that they keep their order (RFC 6120 section 10.1).

mod config;
mod dialback;
mod external;
mod initiating;
mod receiving;

pub use config::{Initiating, Receiving};
pub use dialback::{Proof, Verdict, Verification, dialback_key};
pub(crate) use initiating::Initiator;
pub(crate) use receiving::Receiver;
