//! A stanza: how it is put together, answered, and written.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::Jid;
use balcony_xml::Element;

use crate::{Head, IqType, Kind, MessageType, Payload, PresenceType, StanzaError};

/// A message, presence or iq stanza (RFC 6120 section 8). Cloning it copies no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// What it is routed by.
    pub head: Head,
    /// What it says.
    pub payload: Payload,
}

impl Stanza {
    /// A stanza without addresses, id and content.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Stanza { head: Head { kind, to: None, from: None, id: None, lang: None }, payload: Payload::EMPTY }
    }

    /// An empty message.
    #[must_use]
    pub const fn message(kind: MessageType) -> Self {
        Stanza::new(Kind::Message(kind))
    }

    /// An empty presence stanza.
    #[must_use]
    pub const fn presence(kind: PresenceType) -> Self {
        Stanza::new(Kind::Presence(kind))
    }

    /// An empty iq. Give it an id, and a payload if it is a get or set.
    #[must_use]
    pub const fn iq(kind: IqType) -> Self {
        Stanza::new(Kind::Iq(kind))
    }

    /// Message, presence or iq, with the type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.head.kind
    }

    /// Whom it is for; `None`: whoever has sent it, or their server (RFC 6120 section 8.1.1.1).
    #[must_use]
    pub const fn to(&self) -> Option<&Jid> {
        self.head.to.as_ref()
    }

    /// Who has sent it; `None`: on a client's stream the own account or its server (RFC 6120 section 8.1.2.1).
    #[must_use]
    pub const fn from(&self) -> Option<&Jid> {
        self.head.from.as_ref()
    }

    /// Its sender's name for it.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.head.id.as_deref()
    }

    /// The language of texts in it that do not name their own.
    #[must_use]
    pub fn lang(&self) -> Option<&str> {
        self.head.lang.as_deref()
    }

    /// The same, for this recipient.
    #[must_use]
    pub fn with_to(mut self, to: Jid) -> Self {
        self.head.to = Some(to);
        self
    }

    /// The same, from this sender.
    #[must_use]
    pub fn with_from(mut self, from: Jid) -> Self {
        self.head.from = Some(from);
        self
    }

    /// The same, with this id.
    #[must_use]
    pub fn with_id(mut self, id: impl AsRef<str>) -> Self {
        self.head.id = Some(Arc::from(id.as_ref()));
        self
    }

    /// The same, with this content in the place of what it has.
    #[must_use]
    pub fn with_payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// The same, with this element behind what it has.
    #[must_use]
    pub fn with_child(mut self, child: Element) -> Self {
        self.payload = self.payload.with(&child);
        self
    }

    /// The stanza that answers this one: the same kind and id, the addresses swapped, no content.
    fn reply(&self, kind: Kind) -> Stanza {
        Stanza {
            head: Head {
                kind,
                to: self.head.from.clone(),
                from: self.head.to.clone(),
                id: self.head.id.clone(),
                lang: None,
            },
            payload: Payload::EMPTY,
        }
    }

    /// The iq result that answers this get or set; `None` if this is not one.
    #[must_use]
    pub fn result(&self) -> Option<Stanza> {
        match self.head.kind {
            Kind::Iq(IqType::Get | IqType::Set) => Some(self.reply(Kind::Iq(IqType::Result))),
            _ => None,
        }
    }

    /// The stanza that tells the sender about an error; `None` if this stanza must not be answered with one: it is an
    /// error itself (RFC 6120 section 8.3.1) or the result of a request (section 8.2.3).
    #[must_use]
    pub fn error(&self, error: &StanzaError) -> Option<Stanza> {
        if self.head.kind.is_error() || self.head.kind == Kind::Iq(IqType::Result) {
            return None;
        }
        Some(self.reply(self.head.kind.as_error()).with_child(error.to_element()))
    }

    /// The stanza as XML, with all of its content, for tests and for people to read. `Debug` shows no content, since what people write
    /// to each other is not for logs.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Appends the stanza as XML, for a stream whose default namespace is the content namespace.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_with(None, out);
    }

    /// Appends the stanza as XML that declares its own content namespace, for a transport where each stanza is a document
    /// of its own (RFC 7395 section 3.3.3).
    pub fn write_document(&self, namespace: &str, out: &mut Vec<u8>) {
        self.write_with(Some(namespace), out);
    }

    fn write_with(&self, namespace: Option<&str>, out: &mut Vec<u8>) {
        let payload = self.payload.as_bytes();
        out.reserve(payload.len() + 256);
        self.head.write_open(namespace, out);
        if payload.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        out.extend_from_slice(payload);
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.head.kind.name().as_bytes());
        out.push(b'>');
    }
}
