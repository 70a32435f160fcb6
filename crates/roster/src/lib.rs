//! Rosters and presence subscriptions: whom a user knows, and who may see whose presence (RFC 6121 sections 2 and 3,
//! appendix A).
//!
//! A [`Roster`] is the contact list of one account together with the subscription requests that wait for its user. It is a
//! decision machine: it is told what the user or a contact has sent, changes itself, and appends [`Decision`]s that say
//! what the user's server has to do, in order.
//!
//! | what happens | call |
//! |---|---|
//! | a client asks for the roster, or changes it | [`Request::read`], then [`Roster::get`], [`set`](Roster::set) or [`remove`](Roster::remove) |
//! | the user sends `subscribe`, `subscribed`, `unsubscribe` or `unsubscribed` | [`Roster::outbound`] |
//! | a contact sends one of these | [`Roster::inbound`] |
//! | presence is broadcast, probed, or shown to somebody | [`subscribers`](Roster::subscribers), [`probed`](Roster::probed), [`is_subscriber`](Roster::is_subscriber) |
//! | a resource becomes available | [`requests`](Roster::requests) |
//!
//! A client writes a [`Request`] and reads [`Item`]s and [`Change`]s; it needs no `Roster` of its own.
//!
//! If a contact is local too, what one roster [sends](Decision::Send) is inbound to the other.
//!
//! The nine subscription states and the eight tables between them are [`State`]. Their stanzas go by the RFC's appendix where it
//! and section 3 disagree.
//!
//! ```
//! use balcony_roster::{Audience, RosterConfig, Decision, Roster, State, Version};
//! use balcony_stanza::{PresenceType, Stanza};
//!
//! let mut juliet = Roster::new("juliet@example.com".parse()?, Version(7), RosterConfig::default());
//! let mut decisions = Vec::new();
//!
//! // Romeo asks. The request is kept and shown, but does not make him a contact.
//! let request = Stanza::presence(PresenceType::Subscribe).with_from("romeo@example.net".parse()?);
//! juliet.inbound(request, &mut decisions);
//! assert!(matches!(decisions[..], [Decision::Save(_), Decision::Deliver { to: Audience::Available, .. }]));
//! assert_eq!(juliet.items().len(), 0);
//!
//! // Juliet says yes.
//! decisions.clear();
//! let approval = Stanza::presence(PresenceType::Subscribed).with_to("romeo@example.net".parse()?);
//! juliet.outbound(approval, &mut decisions)?;
//! assert!(matches!(
//!     decisions[..],
//!     [Decision::Save(_), Decision::Send(_), Decision::Push(_), Decision::Available(_)]
//! ));
//! assert_eq!(juliet.state(&"romeo@example.net".parse()?), State::From);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Keeping a roster
//!
//! [`Roster::to_parts`] gives all that a store has to keep, and [`Roster::from_parts`] takes it. After a
//! [`Decision::Save`] only one contact, the version and the list of latest changes differ from what was kept before.
//!
//! # Choices that the RFC leaves open
//!
//! - A pre-approval is used up by the request that it answers (section 3.4.2).
//! - Removing an item also withdraws the user's request and denies that of the contact (section 2.5.2 is silent).
//! - Requests past the bounds of [`RosterConfig`] are ignored. An error would tell the sender that the account exists.
//! - A notification that finds no resource is not kept (section 3.1.6): the roster tells the same.
//! - Items have bare addresses; a full one is refused as malformed.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod client;
mod config;
mod decision;
mod error;
mod item;
mod presence;
mod push;
mod roster;
mod subscription;
mod xml;

pub use config::RosterConfig;
pub use decision::{Audience, Decision};
pub use error::Error;
pub use item::{Item, Set};
pub use push::{Answer, Change, Push, Version};
pub use roster::{Parts, Roster};
pub use subscription::{State, Subscription};
pub use xml::Request;
