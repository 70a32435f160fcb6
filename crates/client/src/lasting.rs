//! Which stanzas outlive the session in which they were said: the one rule for what waits to be sent, for what was sent and may not
//! have arrived, and for what has come and was not told.
//!
//! A session is what the server knows of one resource: its presence, its requests (RFC 6121 section 4, XEP-0198). What says something of it
//! is over with it. Messages are for people, and subscriptions for accounts, who stay.

use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};
use balcony_xep::chat_states;

/// Whether a stanza that was to be sent in a session makes sense in another one: a message that somebody may want to read, and what is said about
/// subscriptions, which twice is no more than once (RFC 6121 section 3). Nobody waits for an error about something that came in the old
/// session, or wants to know who was typing then.
#[must_use]
pub fn outlives_session(stanza: &Stanza) -> bool {
    match stanza.head.kind {
        Kind::Message(MessageType::Error) => false,
        Kind::Message(_) => {
            stanza.payload.parse().is_ok_and(|content| !chat_states::is_only_state(content.root()))
        }
        Kind::Presence(kind) => kind != PresenceType::Error && kind.is_subscription(),
        Kind::Iq(_) => false,
    }
}

/// Whether something that has come in an old session is still told in a new one: the same, and that a message could not be delivered.
/// Presence says who was there then, and the answers to requests have nowhere to go.
pub(crate) fn outlives_here(stanza: &Stanza) -> bool {
    stanza.head.kind == Kind::Message(MessageType::Error) || outlives_session(stanza)
}
