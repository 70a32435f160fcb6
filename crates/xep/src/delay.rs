//! Delayed delivery: when a stanza was held back, and by whom (XEP-0203), and its older form (XEP-0091).
//!
//! Anybody can write such an element. Whoever holds a stanza back [stamps](stamp) it, and takes away what claims to be its own stamp
//! (XEP-0203 section 5).

use alloc::borrow::Cow;

use balcony_stanza::Payload;
use balcony_xml::{Element, ElementRef, Name};

use crate::datetime;

/// The namespace, which is also the feature.
pub const NS: &str = "urn:xmpp:delay";
/// The namespace of the older form.
pub const LEGACY: &str = "jabber:x:delay";

/// When a stanza was held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay<'a> {
    /// Milliseconds since the start of 1970 (UTC). From the year 10000 on it is written as the end of 9999.
    pub at: u64,
    /// Who has held it back: an address, which is not checked.
    pub from: Option<Cow<'a, str>>,
    /// Why, for people.
    pub reason: Option<Cow<'a, str>>,
}

impl<'a> Delay<'a> {
    /// Held back by this entity at that time.
    #[must_use]
    pub const fn new(from: &'a str, at: u64) -> Delay<'a> {
        Delay { at, from: Some(Cow::Borrowed(from)), reason: None }
    }

    /// Reads `<delay/>`; `None` if the element is something else, or says no time from 1970 to 9999.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Delay<'a>> {
        if !element.is("delay", NS) {
            return None;
        }
        Delay::with_time(element, datetime::parse(element.attr("stamp")?)?)
    }

    /// Reads `<x/>`, the older form, with a time written in the older or the newer way (XEP-0082 section 4).
    #[must_use]
    pub fn read_legacy(element: ElementRef<'a>) -> Option<Delay<'a>> {
        if !element.is("x", LEGACY) {
            return None;
        }
        let stamp = element.attr("stamp")?;
        Delay::with_time(element, datetime::parse_legacy(stamp).or_else(|| datetime::parse(stamp))?)
    }

    fn with_time(element: ElementRef<'a>, at: u64) -> Option<Delay<'a>> {
        let reason = element.text();
        Some(Delay {
            at,
            from: element.attr("from").map(Cow::Borrowed),
            reason: (!reason.is_empty()).then_some(reason),
        })
    }

    /// Writes `<delay/>`.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const DELAY: Name = Name::from_static("delay");
        const FROM: Name = Name::from_static("from");
        const STAMP: Name = Name::from_static("stamp");
        let mut delay = Element::new(DELAY, NS);
        if let Some(from) = &self.from {
            delay.push_attr(FROM, from);
        }
        delay.push_attr(STAMP, &datetime::format(self.at));
        if let Some(reason) = &self.reason {
            delay.push_text(reason);
        }
        delay
    }
}

/// Whether the element says, in either form, that this entity has held the stanza back.
#[must_use]
pub fn claims(element: ElementRef<'_>, from: &str) -> bool {
    (element.is("delay", NS) || element.is("x", LEGACY)) && element.attr("from") == Some(from)
}

/// The content of a stanza that this entity has held back since then. If it claims a delay by the same entity already, that goes;
/// the rest stays byte for byte.
#[must_use]
pub fn stamp(payload: &Payload, from: &str, at: u64) -> Payload {
    payload.exchange(|child| claims(child, from), &Delay::new(from, at).to_element())
}
