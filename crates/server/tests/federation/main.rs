//! Streams to and from other servers: who is found, who is believed, and what becomes of stanzas.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod bounds;
mod dane;
mod dialback;
mod hostile;
mod managed;
mod order;
mod policy;
mod reach;
mod spoofing;
mod world;
