//! Tests of XMPP programs: a deterministic world, and values to test with.
//!
//! # Worlds
//!
//! A [`Simulation`] is a server with its clients, which log in, lose their connections, connect again and wait, in one thread and with
//! virtual time; what they do with what happens is a closure. No socket, clock or thread is anywhere near, so that a run is repeated by its
//! seed, and ten thousand of them take seconds:
//!
//! ```
//! use balcony_client::{Agent, AgentEvent, Discovery, Message};
//! use balcony_sim::{Accounts, Chunks, Simulation, World};
//! use core::time::Duration;
//!
//! let accounts = Accounts::new().with("romeo@example.com", "r0m30").with("juliet@example.com", "j00l13t");
//! let mut simulation = Simulation::new(World::new(accounts, Chunks::Whole, 7, |_| {}));
//! let bot = simulation.config("romeo@example.com/bot", "r0m30");
//! let bot = simulation.bot(bot, (Discovery::new("Echo bot", "1.0"),), |agent, _, event| {
//!     if let AgentEvent::Message(message) = event
//!         && let Some(body) = message.body()
//!     {
//!         agent.send(message.reply().body(body).into()).expect("room for one more");
//!     }
//! });
//! let juliet = simulation.client("juliet@example.com/balcony", "j00l13t");
//! simulation.cut(bot); // and it connects again, within a minute; after each further cut it may take twice as long, up to an hour
//! simulation.wait(Duration::from_secs(60));
//! simulation.send(juliet, Message::chat("romeo@example.com/bot".parse()?).body("Romeo?"));
//! assert_eq!(simulation.messages(juliet), ["Romeo?"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Beside this crate a test needs `balcony`, or `balcony-client`, which have the types of a client, such as `Iq` and `Message`; with
//! `balcony` they are `balcony::{AgentEvent, Iq, Message}`. `Chunks::random(seed)` has the network cut what it carries anywhere.
//!
//! Below it a [`World`] has a server with clients that are driven step by step, whose store may be slow, and which may crash; a [`Pair`] joins
//! the two ends of one stream. A [`Network`] is several servers, with links between them that break.
//!
//! [`for_each_seed`] goes through as many seeds as you like, and says with which one a test has failed.
//!
//! # Values
//!
//! With the feature `proptest` there are strategies for addresses, names, texts, elements, stanzas, and streams in pieces, in
//! `balcony_sim::strategies`; with `arbitrary` types of the same for fuzzers, in `balcony_sim::arbitrary`. `Debug` shows nothing of what a
//! stanza holds: put `stanza.to_xml()` into the words of an assertion, and a failing case can be read.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `world` (on) | simulations |
//! | `proptest` | strategies |
//! | `arbitrary` | values of any bytes |
#![forbid(unsafe_code)]

#[cfg(feature = "world")]
mod accounts;
#[cfg(feature = "arbitrary")]
pub mod arbitrary;
#[cfg(feature = "world")]
mod chunks;
#[cfg(feature = "world")]
mod keys;
#[cfg(feature = "world")]
mod late;
#[cfg(feature = "world")]
mod network;
#[cfg(feature = "world")]
mod pair;
mod seeds;
#[cfg(feature = "world")]
mod simulation;
#[cfg(feature = "proptest")]
pub mod strategies;
#[cfg(any(feature = "arbitrary", feature = "proptest"))]
mod values;
#[cfg(feature = "world")]
mod world;

#[cfg(feature = "world")]
pub use accounts::{Accounts, Asked};
#[cfg(feature = "world")]
pub use chunks::Chunks;
#[cfg(feature = "world")]
pub use network::Network;
#[cfg(feature = "world")]
pub use pair::{End, Happened, Pair, Simulated};
pub use seeds::for_each_seed;
#[cfg(feature = "world")]
pub use simulation::{ClientId, Logic, Simulation};
#[cfg(feature = "world")]
pub use world::{External, Peer, World};

/// The programs in the README are compiled and run.
#[cfg(all(doctest, feature = "world"))]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The same for that of this crate.
#[cfg(all(doctest, feature = "world", feature = "proptest"))]
#[doc = include_str!("../README.md")]
struct OwnReadme;
