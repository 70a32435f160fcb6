//! The real program, on real sockets: what a person types, and what they see.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests of a program"
)]

mod accounts;
mod bench;
mod browsers;
mod certificates;
mod check;
mod command;
mod component;
mod delivery;
#[cfg(target_os = "linux")]
mod disk;
mod domains;
mod endings;
mod failures;
mod federation;
mod goodbye;
mod hangs;
mod hostile;
mod import;
mod inactive;
mod lamp;
mod login;
mod mechanisms;
mod network;
mod order;
mod packet;
mod people;
mod printed;
mod push;
mod rebind;
mod registration;
#[cfg(feature = "postgres")]
#[allow(dead_code, reason = "it does more for the tests of other crates")]
#[path = "../../../runtime/tests/world/relay.rs"]
mod relay;
mod reload;
mod revoked;
mod store;
mod trace;
mod trust;
mod witness;
mod world;
