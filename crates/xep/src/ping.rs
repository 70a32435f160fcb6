//! Ping: whether somebody is there (XEP-0199).
//!
//! A request is answered with an empty result. An error is a sign of life, too.

use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "urn:xmpp:ping";

const PING: Name = Name::from_static("ping");

/// The content of an iq get (section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ping;

impl Ping {
    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Ping> {
        element.is("ping", NS).then_some(Ping)
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        Element::new(PING, NS)
    }
}
