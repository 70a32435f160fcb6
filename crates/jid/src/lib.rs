//! XMPP addresses (RFC 7622), historically called Jabber Identifiers or JIDs.
//!
//! An address has one to three parts, `localpart@domainpart/resourcepart`. It is *bare* without a resourcepart, and *full*
//! with one. Two texts are the same address if they have the same normal form, and every value of this crate is in normal
//! form: what compares equal is equal.
//!
//! | type | is |
//! |---|---|
//! | [`Jid`] | any address; owned, shared when cloned |
//! | [`BareJid`] | an account, a room, a server: the key of maps |
//! | [`FullJid`] | one connection of an account, one occupant of a room |
//! | [`JidRef`] | any address; borrowed, nothing allocated |
//!
//! ```
//! use balcony_jid::{Jid, JidRef};
//!
//! let jid = Jid::parse("Juliet@Example.COM/Balcony")?;
//! assert_eq!(jid.as_str(), "juliet@example.com/Balcony");
//! assert_eq!(jid.localpart(), Some("juliet"));
//! assert_eq!(jid.to_bare().as_str(), "juliet@example.com");
//!
//! let borrowed = JidRef::parse("romeo@example.net")?;
//! assert_eq!(borrowed.map(|jid| jid.domainpart()), Some("example.net"));
//!
//! let error = Jid::parse("romeo montague@example.net").unwrap_err();
//! assert_eq!(error.to_string(), "the localpart of the address contains U+0020, which is not allowed there");
//! # Ok::<(), balcony_jid::JidError>(())
//! ```
//!
//! # Liberal and strict
//!
//! RFC 7622 §4 asks to map what can be mapped, and to refuse only what can't. So [`Jid::parse`], [`Jid::from_parts`] and the
//! functions for single parts, [`localpart`], [`domainpart`] and [`resourcepart`], accept upper case, fullwidth letters,
//! decomposed accents, A-labels and a dot at the end of the domain, and give the normal form. They are for what a peer or a
//! person wrote. [`Jid::parse_strict`] refuses all that is not in normal form already. It is for what this software wrote
//! earlier: a store, a configuration, a test. A program that creates addresses has nothing to choose, since it can only
//! create normal ones.
//!
//! Some consequences surprise. Emoji are welcome in resourceparts, but not those that are glued together with U+200D or
//! coloured with U+FE0F: PRECIS refuses invisible characters. `_` is not allowed in domains. White space at the ends of a
//! resourcepart is part of it.
//!
//! # Without Unicode tables
//!
//! The feature `unicode`, on by default, brings tables of character properties. Without it, ASCII addresses behave the same, upper
//! case included, and all others are refused with [`Reason::NoUnicode`]. The feature `jid` adds conversions from and to the
//! types of the `jid` package.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `unicode` (on) | addresses outside ASCII. Without it they are refused, and the crate has no dependencies |
//! | `jid` | conversions from and to the types of the `jid` package |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bare;
mod borrowed;
mod domain;
mod error;
mod full;
#[cfg(feature = "jid")]
mod interop;
mod jid;
mod part;
mod parts;
mod scan;
#[cfg(feature = "unicode")]
mod unicode;
#[cfg(not(feature = "unicode"))]
#[path = "without_unicode.rs"]
mod unicode;

pub use crate::jid::Jid;
pub use bare::BareJid;
pub use borrowed::JidRef;
pub use error::{JidError, Part, Reason};
pub use full::FullJid;
pub use part::{domainpart, localpart, resourcepart};
