//! Copies of what other resources of the account send and receive (XEP-0280).

use balcony_jid::FullJid;
use balcony_stanza::{Kind, Stanza};
use balcony_xep::carbons::{self, Direction, Request};
use balcony_xml::Element;

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
    pub fn enable() -> Element {
        Request::Enable.to_element()
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
        let carbons::Carbon { direction, message } = carbons::Carbon::read(content.root())?;
        Some(Carbon { is_sent: direction == Direction::Sent, message })
    }
}
