//! Who gets a stanza: accounts, their resources, priorities, presence and delivery (RFC 6121 sections 4 and 8).
//!
//! A [`Router`] serves one or more local domains. It is a decision machine: it is told that a session has bound a
//! resource, sent a stanza or gone away, and it appends [`Effect`]s that say what has to happen. It never waits: what
//! only the owner's store can know leaves as an [`Ask`] and comes back through [`Router::answer`]. An account is loaded when it
//! is needed, and kept as long as it has sessions. What concerns it waits meanwhile, in order; other accounts go on.
//!
//! - Messages go by Table 1 of RFC 6121 section 8.5.4. To a bare JID they reach the resources that share the highest
//!   priority, a set that is kept up to date when presence changes.
//!   If there are none, an extension may have the message stored and delivered later, in order.
//! - Presence is broadcast to those who are subscribed to it and to the account's own available resources, or directed to one
//!   entity, which later learns of the end as well (section 4.6).
//! - Rosters and subscriptions are those of [`balcony_roster`]; what a client is told of a change is durable.
//! - What is on its way to a session waits here until its connection has room: a reader that is slow loses nothing, and what a
//!   session that ends has not got goes elsewhere.
//! - What a server does beyond that is a module each, under [`extension`]: blocking, copies of messages, messages for those who are
//!   away, registration, discovery, and what a program adds of its own.
//! - An iq reaches a resource only if that resource shares its presence with the sender; otherwise the server answers,
//!   in its own name or for the account.
//! - Nobody can tell an account that does not exist from one that is offline, nor a resource that does not exist
//!   from one that hides: strangers get the same errors, but for the addresses, or the same silence (RFC 6120
//!   section 13.10.2, RFC 6121 section 8.1).
//!
//! ```
//! use balcony_jid::BareJid;
//! use balcony_machine::{Instant, Seed};
//! use balcony_router::{Config, Effect, Memory, Router, SessionId};
//! use balcony_stanza::{MessageType, PresenceType, Stanza};
//!
//! let mut router = Router::new(Config::new(vec!["example.com".parse()?]), &Seed::from_u64(1));
//! let (mut store, now, mut effects) = (Memory::default(), Instant::ZERO, Vec::new());
//!
//! let (romeo, juliet) = (SessionId(1), SessionId(2));
//! for (session, account, resource) in
//!     [(romeo, "romeo@example.com", "garden"), (juliet, "juliet@example.com", "balcony")]
//! {
//!     store.create(account.parse()?);
//!     router.bind(now, session, &account.parse()?, Some(resource), &mut effects)?;
//! }
//! // Both accounts are to be loaded.
//! for effect in std::mem::take(&mut effects) {
//!     let Effect::Ask { ticket, ask } = effect else { continue };
//!     router.answer(now, ticket, store.answer(0, ask), &mut effects);
//! }
//!
//! router.route(now, juliet, Stanza::presence(PresenceType::Available), &mut effects);
//! effects.clear();
//!
//! let message = Stanza::message(MessageType::Chat)
//!     .with_from("romeo@example.com/garden".parse()?)
//!     .with_to("juliet@example.com".parse()?);
//! router.route(now, romeo, message, &mut effects);
//! // He does not see her presence, so this comes when all that came with it is dealt with.
//! router.take_in(now, &mut effects);
//! assert!(matches!(effects[..], [Effect::Deliver { session, .. }] if session == juliet));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod account;
mod ahead;
mod answers;
mod asks;
mod bind;
mod by_stanza;
mod charging;
mod commit;
mod complaints;
mod config;
mod directed;
mod effect;
pub mod extension;
mod facts;
mod farewells;
mod flow;
mod hold;
mod iq;
mod known;
mod leaving;
mod level;
mod line;
mod lookup;
mod memory;
mod message;
mod orders;
mod outbox;
mod owed;
mod own;
mod phase;
mod places;

mod presence;
mod probe;
mod queue;
mod reload;
mod replay;
mod request;
mod resumption;
mod router;
mod saved;
mod seats;
mod shared;
mod slab;
mod spent;
mod store;
mod strangers;
mod subscription;
mod text;
mod turns;
mod undelivered;
mod waits;

pub use asks::cost;
pub use balcony_roster::RosterConfig;
pub use config::{Config, ConflictPolicy, Software};
pub use effect::{Effect, Removal, SessionId};
pub use level::Level;
pub use memory::Memory;
pub use own::{Bound, SendError};
pub use router::{Counts, Router};
pub use saved::Restoring;
pub use spent::Spent;
pub use store::{
    Answer, Append, Ask, Change, Collections, Content, Document, DocumentEdit, Entry, Kept, LastSeen,
    LogEdit, Room, collections,
};
