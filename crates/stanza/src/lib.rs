//! XMPP stanzas: message, presence and iq, and the errors that travel about them (RFC 6120 section 8).
//!
//! A [`Stanza`] is a typed [`Head`] and an opaque [`Payload`]. The head holds what servers route by: kind, type, `to`,
//! `from`, `id`, `xml:lang`. The payload is the content of the stanza as XML bytes, shared and immutable; it is parsed
//! into elements only by whoever wants to look inside. A server can so pass a message on to a hundred resources
//! without ever looking into it.
//!
//! ```
//! use balcony_stanza::{MessageType, Payload, Stanza};
//! use balcony_xml::{Element, Name};
//!
//! const BODY: Name = Name::from_static("body");
//!
//! let stanza = Stanza::message(MessageType::Chat)
//!     .with_to("juliet@example.com".parse()?)
//!     .with_id("m1")
//!     .with_payload(Payload::from(Element::new(BODY, "jabber:client").text("Art thou not Romeo?")));
//!
//! let mut wire = Vec::new();
//! stanza.write(&mut wire);
//! assert_eq!(
//!     String::from_utf8(wire).unwrap(),
//!     "<message to='juliet@example.com' type='chat' id='m1'><body>Art thou not Romeo?</body></message>"
//! );
//! # Ok::<(), balcony_jid::JidError>(())
//! ```
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `minidom` | what stanzas hold as types that are made of `minidom::Element`, such as those of the package `xmpp-parsers`. Needs std |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod conditions;
mod content;
mod error;
mod head;
pub mod ns;
mod parse;
mod payload;
mod printed;
mod stanza;
mod stream_error;

pub use content::{Content, Texts, Thread};
pub use error::{ErrorCondition, ErrorType, StanzaError};
pub use head::{Head, IqType, Kind, MessageType, PresenceType};
pub use parse::Invalid;
pub use payload::Payload;
pub use printed::is_unprintable;
pub use stanza::Stanza;
pub use stream_error::{StreamCondition, StreamError};
