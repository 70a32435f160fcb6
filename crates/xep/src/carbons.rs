//! Message carbons: copies of a conversation for the user's other resources (XEP-0280).

use balcony_jid::Jid;
use balcony_stanza::{Head, Kind, MessageType, Payload, Stanza, ns};
use balcony_xml::{Element, ElementRef, Name, Outline};

use crate::forward::{self, Forwarded};
use crate::hints::Hints;
use crate::{chat_markers, chat_states, conference, muc, receipts};

/// The namespace, which is also the feature.
pub const NS: &str = "urn:xmpp:carbons:2";

/// The content of an iq set to the own account (section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// This resource wants copies.
    Enable,
    /// It wants none.
    Disable,
}

impl Request {
    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Request> {
        match (element.name(), element.namespace()) {
            ("enable", NS) => Some(Request::Enable),
            ("disable", NS) => Some(Request::Disable),
            _ => None,
        }
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        const ENABLE: Name = Name::from_static("enable");
        const DISABLE: Name = Name::from_static("disable");
        Element::new(if self == Request::Enable { ENABLE } else { DISABLE }, NS)
    }
}

/// Why there is a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Another resource has got the message.
    Received,
    /// Another resource has sent it.
    Sent,
}

/// A copy, as it stands in a message. Only the own account makes copies: see that the message comes from there (section 11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carbon {
    /// Why there is a copy.
    pub direction: Direction,
    /// The message, with its own addresses.
    pub message: Stanza,
}

impl Carbon {
    /// Finds the copy in the parsed content of a message; `None` if there is none, or one that is no message.
    #[must_use]
    pub fn read(content: ElementRef<'_>) -> Option<Carbon> {
        let copy = |name| content.child(name, NS);
        let (direction, copy) = match copy("sent") {
            Some(copy) => (Direction::Sent, copy),
            None => (Direction::Received, copy("received")?),
        };
        let message = copy.children().find_map(Forwarded::read)?.stanza;
        matches!(message.head.kind, Kind::Message(_)).then_some(Carbon { direction, message })
    }

    /// Writes it.
    #[must_use]
    pub fn to_payload(&self) -> Payload {
        wrap(&self.message, self.direction)
    }
}

/// The content of the copies of a message: the same for all resources, byte for byte and without parsing the message
/// (section 8).
#[must_use]
pub fn wrap(message: &Stanza, direction: Direction) -> Payload {
    const RECEIVED: Name = Name::from_static("received");
    const SENT: Name = Name::from_static("sent");
    forward::within(if direction == Direction::Sent { SENT } else { RECEIVED }, NS, message)
}

/// The mark of a message that wants no copies (section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Private;

impl Private {
    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Private> {
        element.is("private", NS).then_some(Private)
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        const PRIVATE: Name = Name::from_static("private");
        Element::new(PRIVATE, NS)
    }
}

/// Whether there are copies of a message with this parsed content: whether it is part of a conversation of two (section 6.1), and
/// its sender does not mind (section 9).
#[must_use]
pub fn is_eligible(head: &Head, content: ElementRef<'_>, direction: Direction) -> bool {
    let Kind::Message(kind) = head.kind else { return false };
    if matches!(kind, MessageType::Groupchat | MessageType::Headline) {
        return false;
    }
    let is_full = head.to.as_ref().is_some_and(Jid::is_full);
    if content.child("private", NS).is_some() || is_full && Hints::read(content).no_copy {
        return false;
    }
    if direction == Direction::Received && muc::is_by_occupant(content) {
        return false;
    }
    // An error is judged by the part of the message that it brings back, if any.
    kind == MessageType::Chat || content.children().any(|child| is_talk(child.name(), child.namespace()))
}

fn is_talk(name: &str, namespace: &str) -> bool {
    name == "body" && ns::is_content(namespace)
        || [receipts::NS, chat_states::NS, chat_markers::NS, conference::NS, muc::USER].contains(&namespace)
}

/// The same as [`is_eligible`] of a message that is not parsed. It is only parsed if there is something in it that may forbid copies.
#[must_use]
pub fn is_copied(message: &Stanza, direction: Direction) -> bool {
    let Kind::Message(kind) = message.head.kind else { return false };
    if matches!(kind, MessageType::Groupchat | MessageType::Headline) {
        return false;
    }
    let mut talks = kind == MessageType::Chat;
    for child in message.payload.outline() {
        let namespace = child.namespace();
        let may_forbid = child.name() == "no-copy" || matches!(namespace, None | Some(NS | muc::USER));
        let Some(namespace) = namespace.filter(|_| !may_forbid) else {
            let content = message.payload.parse();
            return content.is_ok_and(|content| is_eligible(&message.head, content.root(), direction));
        };
        talks = talks || is_talk(child.name(), namespace);
    }
    talks
}

/// The content of the message that is copied in the content of another one, without parsing it; `None` if there is no copy, or only a parser can
/// tell. Whether it is in order is not looked at.
#[must_use]
pub fn outline(mut content: Outline<'_>) -> Option<Outline<'_>> {
    let copy = content.find(|child| child.is("sent", NS) || child.is("received", NS))?;
    let forwarded = copy.children().find(|child| child.is("forwarded", forward::NS))?;
    let message = forwarded.children().find(|child| child.namespace() == Some(ns::CLIENT))?;
    (message.name() == "message").then(|| message.children())
}
