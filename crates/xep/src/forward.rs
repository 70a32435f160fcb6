//! Stanzas within stanzas (XEP-0297).

use balcony_machine::XmlLimits;
use balcony_stanza::{Payload, Stanza, ns};
use balcony_xml::{ElementRef, Name};

use crate::delay::Delay;

/// The namespace, which is also the feature.
pub const NS: &str = "urn:xmpp:forward:0";

const FORWARDED: Name = Name::from_static("forwarded");

/// A stanza that somebody passes on. It says of itself whatever that somebody wants: see who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// When it came to whoever passes it on (section 3).
    pub delay: Option<Delay<'a>>,
    /// The stanza, with its own addresses.
    pub stanza: Stanza,
}

impl<'a> Forwarded<'a> {
    /// Reads `<forwarded/>`. `None` if the element is something else, has no stanza of the namespace `jabber:client` in it, one
    /// that breaks the rules of stanzas, or one that is larger than what a server may send to a client.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Forwarded<'a>> {
        if !element.is("forwarded", NS) {
            return None;
        }
        let mut stanzas = element.children().filter(|child| child.namespace() == ns::CLIENT);
        let mut bytes = alloc::vec::Vec::new();
        // Written out, a prefix may become long.
        if !stanzas.next()?.write_within(XmlLimits::DELIVERED.bytes, &mut bytes, ns::CLIENT) {
            return None;
        }
        let delay = element.children().find_map(Delay::read);
        Some(Forwarded { delay, stanza: Stanza::parse(&bytes)? })
    }

    /// Writes it, alone.
    #[must_use]
    pub fn to_payload(&self) -> Payload {
        let delay = self.delay.as_ref().map(Delay::to_element);
        Payload::forward_with(delay.as_ref(), &self.stanza, &[(FORWARDED, NS)])
    }
}

/// Writes a stanza in `<forwarded/>` in that element, byte for byte and without parsing it.
pub(crate) fn within(outer: Name, namespace: &str, stanza: &Stanza) -> Payload {
    Payload::forward(stanza, &[(outer, namespace), (FORWARDED, NS)])
}
