//! Stream management: which stanzas the other end has got, and going on with a session on a new stream (XEP-0198).
//!
//! Its elements are no stanzas: they stand on a stream between stanzas, or inside of what SASL2 and Bind 2 exchange.

use alloc::borrow::Cow;
use alloc::string::ToString as _;

use balcony_stanza::{ErrorCondition, ns};
use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "urn:xmpp:sm:3";

/// Bytes of the longest identifier of a session (section 5).
pub const LONGEST_ID: usize = 4_000;

const H: Name = Name::from_static("h");
const ID: Name = Name::from_static("id");
const LOCATION: Name = Name::from_static("location");
const MAX: Name = Name::from_static("max");
const PREVID: Name = Name::from_static("previd");
const RESUME: Name = Name::from_static("resume");

/// The stream feature, and the offer inside of that of SASL2 (section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feature;

impl Feature {
    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Feature> {
        element.is("sm", NS).then_some(Feature)
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        const SM: Name = Name::from_static("sm");
        Element::new(SM, NS)
    }
}

/// One end wants stanzas counted (section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enable {
    /// Whether the session is to outlive its stream.
    pub resume: bool,
    /// For how many seconds, at most.
    pub max: Option<u32>,
}

impl Enable {
    /// Reads it; `None` if the element is something else. A time that is none counts as not said.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Enable> {
        let enable = || Enable { resume: is_true(element, "resume"), max: number(element, "max") };
        element.is("enable", NS).then(enable)
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        const ENABLE: Name = Name::from_static("enable");
        let mut element = Element::new(ENABLE, NS);
        if self.resume {
            element.push_attr(RESUME, "true");
        }
        push_number(&mut element, MAX, self.max);
        element
    }
}

/// Stanzas are counted from here on (section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enabled<'a> {
    /// How the session goes on after its stream; `None` if it ends with it.
    pub resumable: Option<Resumable<'a>>,
}

/// How a session goes on after its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumable<'a> {
    /// What the server calls it, for this client alone. Not empty, and at most [`LONGEST_ID`] bytes.
    pub id: Cow<'a, str>,
    /// For how many seconds, at most.
    pub max: Option<u32>,
    /// Where the client is to connect then: a host, and the port after a colon.
    pub location: Option<Cow<'a, str>>,
}

impl<'a> Enabled<'a> {
    /// Reads it; `None` if the element is something else. Without an identifier nothing can be resumed.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Enabled<'a>> {
        if !element.is("enabled", NS) {
            return None;
        }
        let id = identifier(element, "id").filter(|_| is_true(element, "resume"));
        let resumable = id.map(|id| Resumable {
            id,
            max: number(element, "max"),
            location: element.attr("location").filter(|location| !location.is_empty()).map(Cow::Borrowed),
        });
        Some(Enabled { resumable })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const ENABLED: Name = Name::from_static("enabled");
        let mut element = Element::new(ENABLED, NS);
        if let Some(resumable) = &self.resumable {
            element.push_attr(ID, &resumable.id);
            if let Some(location) = &resumable.location {
                element.push_attr(LOCATION, location);
            }
            push_number(&mut element, MAX, resumable.max);
            element.push_attr(RESUME, "true");
        }
        element
    }
}

/// A client wants to go on with a session of an earlier stream (section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume<'a> {
    /// What the server called it. Not empty, and at most [`LONGEST_ID`] bytes.
    pub previd: Cow<'a, str>,
    /// The stanzas that the client has handled in it.
    pub h: u32,
}

impl<'a> Resume<'a> {
    /// Reads it; `None` if the element is something else, or one of its attributes is missing or none.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Resume<'a>> {
        if !element.is("resume", NS) {
            return None;
        }
        Some(Resume { previd: identifier(element, "previd")?, h: number(element, "h")? })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new(RESUME, NS).attr(H, self.h.to_string()).attr(PREVID, &self.previd)
    }
}

/// The session goes on (section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed<'a> {
    /// What the server called it. Not empty, and at most [`LONGEST_ID`] bytes.
    pub previd: Cow<'a, str>,
    /// The stanzas that the server has handled in it.
    pub h: u32,
}

impl<'a> Resumed<'a> {
    /// Reads it; `None` if the element is something else, or one of its attributes is missing or none.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Resumed<'a>> {
        if !element.is("resumed", NS) {
            return None;
        }
        Some(Resumed { previd: identifier(element, "previd")?, h: number(element, "h")? })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const RESUMED: Name = Name::from_static("resumed");
        Element::new(RESUMED, NS).attr(H, self.h.to_string()).attr(PREVID, &self.previd)
    }
}

/// Stanzas are not counted, or the session does not go on (sections 3 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Why not.
    pub condition: ErrorCondition,
    /// The stanzas that the server had handled in the session that is gone, if it still knows.
    pub h: Option<u32>,
}

impl Failed {
    /// Reads it; `None` if the element is something else. A condition that is missing or none is `undefined-condition`.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Failed> {
        if !element.is("failed", NS) {
            return None;
        }
        let condition = element
            .children()
            .filter(|child| child.namespace() == ns::STANZA_ERRORS)
            .find_map(|child| ErrorCondition::from_name(child.name()))
            .unwrap_or(ErrorCondition::UndefinedCondition);
        Some(Failed { condition, h: number(element, "h") })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        const FAILED: Name = Name::from_static("failed");
        let mut element = Element::new(FAILED, NS);
        push_number(&mut element, H, self.h);
        match Name::new(self.condition.name()) {
            Ok(condition) => element.child(Element::new(condition, ns::STANZA_ERRORS)),
            // All conditions are names.
            Err(_) => element,
        }
    }
}

/// How many stanzas have been handled? (section 4)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request;

impl Request {
    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Request> {
        element.is("r", NS).then_some(Request)
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        const R: Name = Name::from_static("r");
        Element::new(R, NS)
    }
}

/// So many stanzas have been handled (section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// How many since the counting has begun, modulo 2<sup>32</sup>.
    pub h: u32,
}

impl Ack {
    /// Reads it; `None` if the element is something else, or does not say how many.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Ack> {
        if !element.is("a", NS) {
            return None;
        }
        Some(Ack { h: number(element, "h")? })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        const A: Name = Name::from_static("a");
        Element::new(A, NS).attr(H, self.h.to_string())
    }
}

/// What the one who acknowledged more than was sent is told in its stream error, beside `undefined-condition` (section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooHigh {
    /// What it said.
    pub h: u32,
    /// What had been sent.
    pub sent: u32,
}

impl TooHigh {
    /// Reads it; `None` if the element is something else, or does not say these numbers.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<TooHigh> {
        if !element.is("handled-count-too-high", NS) {
            return None;
        }
        Some(TooHigh { h: number(element, "h")?, sent: number(element, "send-count")? })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        const TOO_HIGH: Name = Name::from_static("handled-count-too-high");
        const SENT: Name = Name::from_static("send-count");
        Element::new(TOO_HIGH, NS).attr(H, self.h.to_string()).attr(SENT, self.sent.to_string())
    }
}

/// An attribute that is the identifier of a session.
fn identifier<'a>(element: ElementRef<'a>, name: &str) -> Option<Cow<'a, str>> {
    element.attr(name).filter(|id| (1..=LONGEST_ID).contains(&id.len())).map(Cow::Borrowed)
}

/// An attribute of the type `xs:boolean` that is `true`.
fn is_true(element: ElementRef<'_>, name: &str) -> bool {
    matches!(element.attr(name), Some("true" | "1"))
}

/// An attribute of the type `xs:unsignedInt`.
fn number(element: ElementRef<'_>, name: &str) -> Option<u32> {
    let digits = element.attr(name)?;
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn push_number(element: &mut Element, name: Name, number: Option<u32>) {
    if let Some(number) = number {
        element.push_attr(name, &number.to_string());
    }
}
