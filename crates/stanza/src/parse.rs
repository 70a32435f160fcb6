//! From an element that a reader has completed to a stanza, by the rules that hold for every stanza whatever is in it (RFC 6120
//! section 8, RFC 6121 sections 4.7.1 and 5.2.2).
//!
//! Who breaks them gets an answer, and the stream goes on. Whether the sender may use the address in `from` is for the stream to
//! say.

use alloc::boxed::Box;
use alloc::sync::Arc;

use balcony_jid::Jid;
use balcony_xml::{ElementRef, ReadError, Reader, Token, XML_NS};

use crate::payload::UNBOUNDED;
use crate::{
    ErrorCondition, Head, IqType, Kind, MessageType, Payload, PresenceType, Stanza, StanzaError, ns,
};

/// An element with the name of a stanza that breaks the rules of stanzas.
///
/// The stream goes on: the sender gets `reply`, if the rules allow one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What is wrong.
    pub error: StanzaError,
    /// The stanza of type error for the sender, the addresses swapped as far as they are valid; `None` where an error must
    /// not be answered.
    pub reply: Option<Stanza>,
}

impl Stanza {
    /// Reads the stanza that `reader` has just completed; `None` if the element is not one.
    ///
    /// Unknown message types count as `normal` (RFC 6121 section 5.2.2).
    ///
    /// # Errors
    ///
    /// [`Invalid`] with `policy-violation` for one that the reader [refused](balcony_xml::Token::Refused), or `resource-constraint` if
    /// there was no memory for it; with `bad-request` for an iq without id, with an unknown type or, as a get or set, without exactly
    /// one child (RFC 6120 section 8.2.3), and for an unknown presence type (RFC 6121 section 4.7.1); with
    /// `jid-malformed` for an address that breaks RFC 7622.
    #[must_use]
    pub fn from_reader(reader: &Reader) -> Option<Result<Stanza, Box<Invalid>>> {
        let element = reader.element();
        if element.namespace() != reader.content_namespace() {
            return None;
        }
        let name = element.name();
        if !matches!(name, "message" | "presence" | "iq") {
            return None;
        }
        Some(
            read_head(element, reader.refusal())
                .map(|head| Stanza { head, payload: Payload::from_reader(reader) }),
        )
    }
}

impl Stanza {
    /// Reads one stanza that stands alone, such as [`write`](Stanza::write) has written it; `None` if the bytes are anything
    /// else. There are no limits: it is for what has passed those of a stream before.
    #[must_use]
    pub fn parse(mut xml: &[u8]) -> Option<Stanza> {
        let mut reader = Reader::framed(UNBOUNDED, ns::CLIENT);
        match reader.read(&mut xml) {
            Ok(Some(Token::Element)) if xml.is_empty() => Stanza::from_reader(&reader)?.ok(),
            _ => None,
        }
    }
}

/// The attributes of a stanza that say something to everybody (RFC 6120 section 8.1).
#[derive(Clone, Copy, Default)]
struct Attributes<'a> {
    to: Option<&'a str>,
    from: Option<&'a str>,
    id: Option<&'a str>,
    kind: Option<&'a str>,
    lang: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    /// Finds them in one pass: there is one for each stanza that comes.
    fn of(element: ElementRef<'a>) -> Self {
        let mut found = Attributes::default();
        for attr in element.attrs() {
            let place = match (attr.name, attr.namespace) {
                ("to", "") => &mut found.to,
                ("from", "") => &mut found.from,
                ("id", "") => &mut found.id,
                ("type", "") => &mut found.kind,
                ("lang", XML_NS) => &mut found.lang,
                _ => continue,
            };
            *place = Some(attr.value);
        }
        found
    }
}

fn read_head(element: ElementRef<'_>, refusal: Option<ReadError>) -> Result<Head, Box<Invalid>> {
    let attributes = Attributes::of(element);
    let fail = |condition, text, kind: Option<Kind>| {
        let error = StanzaError::new(condition, text);
        // Without a known kind there is still a sender who waits: an iq of unknown type is answered like a request.
        let kind = kind.unwrap_or(match element.name() {
            "message" => Kind::Message(MessageType::Normal),
            "presence" => Kind::Presence(PresenceType::Available),
            _ => Kind::Iq(IqType::Get),
        });
        let mut request = Stanza::new(kind);
        request.head.id = attributes.id.map(Arc::from);
        // The reply swaps those addresses that are valid, as any other reply does (RFC 6120 section 8.3.1).
        let address = |text: Option<&str>| text.and_then(|text| Jid::parse(text).ok());
        request.head.to = address(attributes.to);
        request.head.from = address(attributes.from);
        Box::new(Invalid { reply: request.error(&error), error })
    };
    let kind = read_kind(element.name(), attributes.kind)
        .map_err(|text| fail(ErrorCondition::BadRequest, text, None))?;
    if let Some(refusal) = refusal {
        let condition = match refusal {
            ReadError::NoMemory => ErrorCondition::ResourceConstraint,
            _ => ErrorCondition::PolicyViolation,
        };
        let text = match refusal {
            ReadError::NoMemory => "there is no memory for the stanza",
            ReadError::TooDeep => "the stanza is nested too deeply",
            ReadError::TooManyAttributes => "an element of the stanza has too many attributes",
            ReadError::TooManyNodes => "the stanza has too many parts",
            _ => "the stanza is too long",
        };
        return Err(fail(condition, text, Some(kind)));
    }
    if let Kind::Iq(iq) = kind {
        if attributes.id.is_none() {
            return Err(fail(ErrorCondition::BadRequest, "an iq needs an id", Some(kind)));
        }
        let children = element.children().take(3).count();
        if matches!(iq, IqType::Get | IqType::Set) && children != 1 {
            return Err(fail(
                ErrorCondition::BadRequest,
                "an iq get or set has exactly one child",
                Some(kind),
            ));
        }
    }
    let address = |text: Option<&str>, wrong| match text.map(Jid::parse) {
        None => Ok(None),
        Some(Ok(address)) => Ok(Some(address)),
        Some(Err(_)) => Err(fail(ErrorCondition::JidMalformed, wrong, Some(kind))),
    };
    let to = address(attributes.to, "the `to` address is not valid")?;
    let from = address(attributes.from, "the `from` address is not valid")?;
    Ok(Head { kind, to, from, id: attributes.id.map(Arc::from), lang: attributes.lang.map(Arc::from) })
}

fn read_kind(name: &str, type_name: Option<&str>) -> Result<Kind, &'static str> {
    Ok(match name {
        "message" => Kind::Message(match type_name {
            Some("chat") => MessageType::Chat,
            Some("groupchat") => MessageType::Groupchat,
            Some("headline") => MessageType::Headline,
            Some("error") => MessageType::Error,
            _ => MessageType::Normal,
        }),
        "presence" => Kind::Presence(match type_name {
            None => PresenceType::Available,
            Some("error") => PresenceType::Error,
            Some("probe") => PresenceType::Probe,
            Some("subscribe") => PresenceType::Subscribe,
            Some("subscribed") => PresenceType::Subscribed,
            Some("unavailable") => PresenceType::Unavailable,
            Some("unsubscribe") => PresenceType::Unsubscribe,
            Some("unsubscribed") => PresenceType::Unsubscribed,
            Some(_) => return Err("unknown presence type"),
        }),
        _ => Kind::Iq(match type_name {
            Some("get") => IqType::Get,
            Some("set") => IqType::Set,
            Some("result") => IqType::Result,
            Some("error") => IqType::Error,
            _ => return Err("an iq has type get, set, result or error"),
        }),
    })
}
