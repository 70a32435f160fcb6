//! What a program that uses Balcony mostly names: `use balcony::prelude::*;`
//!
//! The names are those of the crate's root and of its modules; nothing is only here.

#[cfg(feature = "client")]
pub use crate::client::{Client, Event, Sender};
#[cfg(feature = "client")]
pub use crate::component::{Component, ComponentEvent};
#[cfg(feature = "client")]
pub use balcony_client::{
    CommandAnswer, Commands, Discovery, Iq, Message, News, Presence, PrivateStorage, Receipts, RequestError,
    Roster, Show,
};
pub use balcony_jid::{BareJid, FullJid, Jid};
pub use balcony_stanza::{ErrorCondition, MessageType, Payload, PresenceType, Stanza};
pub use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};
pub use balcony_xml::{Element, ElementRef, Name};

pub use crate::Error;
#[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
pub use crate::block_on;
#[cfg(feature = "server")]
pub use crate::server::{MemoryAccounts, Server};
