//! What stanzas are routed by: their kind and type, addresses, id and language (RFC 6120 section 8.1).

use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::Jid;
use balcony_xml::escape_attr;

/// The type of a message (RFC 6121 section 5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// One message on its own; what a missing or unknown type means.
    #[default]
    Normal,
    /// Part of a one-to-one conversation.
    Chat,
    /// Part of a conversation of many.
    Groupchat,
    /// An alert that expects no reply.
    Headline,
    /// An earlier message could not be delivered or handled.
    Error,
}

/// The type of a presence stanza (RFC 6121 section 4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PresenceType {
    /// No type attribute: the sender is available.
    Available,
    /// An earlier presence stanza could not be delivered or handled.
    Error,
    /// A server asks for an entity's current presence.
    Probe,
    /// The sender asks to subscribe to the recipient's presence.
    Subscribe,
    /// The sender grants a subscription.
    Subscribed,
    /// The sender is no longer available.
    Unavailable,
    /// The sender ends its own subscription.
    Unsubscribe,
    /// The sender refuses or ends the recipient's subscription.
    Unsubscribed,
}

impl PresenceType {
    /// Whether this is one of the four types that manage subscriptions (RFC 6121 section 3).
    #[must_use]
    pub const fn is_subscription(self) -> bool {
        matches!(
            self,
            PresenceType::Subscribe
                | PresenceType::Subscribed
                | PresenceType::Unsubscribe
                | PresenceType::Unsubscribed
        )
    }
}

/// The type of an iq stanza (RFC 6120 section 8.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IqType {
    /// Asks for information.
    Get,
    /// Provides data, sets or replaces values.
    Set,
    /// Answers a get or set that succeeded.
    Result,
    /// Answers a get or set that failed.
    Error,
}

/// Which of the three stanzas it is, with its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `<message/>`: push.
    Message(MessageType),
    /// `<presence/>`: broadcast.
    Presence(PresenceType),
    /// `<iq/>`: request and response.
    Iq(IqType),
}

impl Kind {
    /// The element name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Message(_) => "message",
            Kind::Presence(_) => "presence",
            Kind::Iq(_) => "iq",
        }
    }

    /// The value of the `type` attribute; `None` where the attribute is left out.
    #[must_use]
    pub const fn type_name(self) -> Option<&'static str> {
        Some(match self {
            Kind::Message(MessageType::Normal) | Kind::Presence(PresenceType::Available) => return None,
            Kind::Message(MessageType::Chat) => "chat",
            Kind::Message(MessageType::Groupchat) => "groupchat",
            Kind::Message(MessageType::Headline) => "headline",
            Kind::Message(MessageType::Error)
            | Kind::Presence(PresenceType::Error)
            | Kind::Iq(IqType::Error) => "error",
            Kind::Presence(PresenceType::Probe) => "probe",
            Kind::Presence(PresenceType::Subscribe) => "subscribe",
            Kind::Presence(PresenceType::Subscribed) => "subscribed",
            Kind::Presence(PresenceType::Unavailable) => "unavailable",
            Kind::Presence(PresenceType::Unsubscribe) => "unsubscribe",
            Kind::Presence(PresenceType::Unsubscribed) => "unsubscribed",
            Kind::Iq(IqType::Get) => "get",
            Kind::Iq(IqType::Set) => "set",
            Kind::Iq(IqType::Result) => "result",
        })
    }

    /// The same stanza with type error.
    #[must_use]
    pub const fn as_error(self) -> Kind {
        match self {
            Kind::Message(_) => Kind::Message(MessageType::Error),
            Kind::Presence(_) => Kind::Presence(PresenceType::Error),
            Kind::Iq(_) => Kind::Iq(IqType::Error),
        }
    }

    /// Whether this is a stanza of type error, which is never answered with another (RFC 6120 section 8.3.1).
    #[must_use]
    pub const fn is_error(self) -> bool {
        matches!(
            self,
            Kind::Message(MessageType::Error) | Kind::Presence(PresenceType::Error) | Kind::Iq(IqType::Error)
        )
    }
}

/// What a stanza is routed by: its kind and the five common attributes (RFC 6120 section 8.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Message, presence or iq, with the type.
    pub kind: Kind,
    /// The intended recipient. A client leaves it out when it means its own server or account.
    pub to: Option<Jid>,
    /// The sender. On a client's stanzas the server sets it.
    pub from: Option<Jid>,
    /// The sender's name for this stanza; always there on an iq.
    pub id: Option<Arc<str>>,
    /// The language of texts in the stanza that do not name their own.
    pub lang: Option<Arc<str>>,
}

impl Head {
    /// Writes the start tag without its closing `>`, so that the caller can close it as `>` or `/>`.
    pub(crate) fn write_open(&self, namespace: Option<&str>, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(self.kind.name().as_bytes());
        let mut attribute = |name: &str, value: &str| {
            out.extend_from_slice(name.as_bytes());
            escape_attr(value, out);
            out.push(b'\'');
        };
        if let Some(namespace) = namespace {
            attribute(" xmlns='", namespace);
        }
        if let Some(from) = &self.from {
            attribute(" from='", from.as_str());
        }
        if let Some(to) = &self.to {
            attribute(" to='", to.as_str());
        }
        if let Some(name) = self.kind.type_name() {
            attribute(" type='", name);
        }
        if let Some(id) = &self.id {
            attribute(" id='", id);
        }
        if let Some(lang) = &self.lang {
            attribute(" xml:lang='", lang);
        }
    }
}
