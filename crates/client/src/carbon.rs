use balcony_jid::FullJid;
use balcony_machine::XmlLimits;
use balcony_stanza::{Kind, Stanza, ns};
use balcony_xml::ElementRef;

use alloc::vec::Vec;

/// A copy of a message that another resource of the own account has sent or received (XEP-0280).
///
/// The server makes them for clients that have sent [`enable`](Carbon::enable).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carbon {
    /// Whether the user has sent it, from another resource; otherwise another resource has received it.
    pub is_sent: bool,
    /// The message, with its own addresses.
    pub message: Stanza,
}

impl Carbon {
    /// The content of the iq set to the own account that asks for copies.
    #[must_use]
    pub fn enable() -> balcony_xml::Element {
        balcony_xml::Element::new(balcony_xml::Name::from_static("enable"), ns::CARBONS)
    }

    /// The copy in a message; `None` if there is none. Only the own account makes copies: those from anybody else are
    /// forged, and ignored (section 11).
    #[must_use]
    pub fn read(stanza: &Stanza, own: &FullJid) -> Option<Carbon> {
        let from = stanza.head.from.as_ref()?;
        if from.as_str() != own.bare_str() || !matches!(stanza.head.kind, Kind::Message(_)) {
            return None;
        }
        let content = stanza.payload.parse().ok()?;
        let copy = |name| content.root().child(name, ns::CARBONS);
        let (is_sent, copy) = match copy("sent") {
            Some(copy) => (true, copy),
            None => (false, copy("received")?),
        };
        let message = copy.child("forwarded", ns::FORWARD)?.child("message", ns::CLIENT)?;
        Some(Carbon { is_sent, message: read(message)? })
    }
}

fn read(message: ElementRef<'_>) -> Option<Stanza> {
    let mut bytes = Vec::new();
    let is_whole = message.write_within(XmlLimits::DELIVERED.bytes, &mut bytes, ns::CLIENT);
    is_whole.then(|| Stanza::parse(&bytes)).flatten()
}
