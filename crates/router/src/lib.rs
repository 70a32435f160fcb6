//! Who gets a stanza: accounts, their resources, priorities, presence and delivery (RFC 6121 sections 4 and 8).
//!
//! A [`Router`] serves one or more local domains. It is a decision machine: it is told that a session has bound a
//! resource, sent a stanza or gone away, and it appends [`Effect`]s that say what has to happen. It never waits: what
//! only the owner's store can know leaves as an [`Ask`] and comes back through [`Router::answer`].
//!
//! - Messages go by Table 1 of RFC 6121 section 8.5.4. To a bare JID they reach the resources that share the highest
//!   priority, a set that is kept up to date when presence changes.
//! - Presence is broadcast to the account's own available resources, or directed to one entity, which later
//!   learns of the end as well (section 4.6).
//! - An iq reaches a resource only if that resource shares its presence with the sender; otherwise the server answers,
//!   in its own name or for the account.
//! - Nobody can tell an account that does not exist from one that is offline, nor a resource that does not exist
//!   from one that hides: their errors are the same but for the addresses (RFC 6120 section 13.10.2).
//!
//! Rosters are not known here yet: stanzas that manage subscriptions are silently ignored, and 'shares presence'
//! means the same account or directed presence.
//!
//! ```
//! use balcony_jid::BareJid;
//! use balcony_machine::{Instant, Seed};
//! use balcony_router::{Config, Effect, Router, SessionId};
//! use balcony_stanza::{MessageType, PresenceType, Stanza};
//!
//! let mut router = Router::new(Config::new(vec!["example.com".parse()?]), &Seed::from_u64(1));
//! let (now, mut effects) = (Instant::ZERO, Vec::new());
//!
//! let (romeo, juliet) = (SessionId(1), SessionId(2));
//! router.bind(now, romeo, &"romeo@example.com".parse()?, Some("garden"), &mut effects)?;
//! router.bind(now, juliet, &"juliet@example.com".parse()?, Some("balcony"), &mut effects)?;
//! router.route(now, juliet, Stanza::presence(PresenceType::Available), &mut effects)?;
//! effects.clear();
//!
//! let message = Stanza::message(MessageType::Chat)
//!     .from("romeo@example.com/garden".parse()?)
//!     .to("juliet@example.com".parse()?);
//! router.route(now, romeo, message, &mut effects)?;
//! assert!(matches!(effects[..], [Effect::Deliver { session, .. }] if session == juliet));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod account;
mod asks;
mod bind;
mod blocking;
mod carbons;
mod config;
mod delay;
mod effect;
mod flow;
mod iq;
mod known;
mod memory;
mod message;
mod offline;
mod presence;
mod probe;
mod router;
mod services;
mod store;
mod subscription;

pub use balcony_roster::Config as RosterConfig;
pub use config::{Config, ConflictPolicy, Software};
pub use effect::{Busy, Effect, SessionId};
pub use memory::Memory;
pub use router::{Counts, Router};
pub use store::{Answer, Ask, Change, Kept, LastSeen, Offline};
