//! Rooms (XEP-0045): the mark by which the messages of their occupants are known.

use balcony_xml::ElementRef;

/// The namespace of what rooms say of their occupants, and of invitations by way of a room.
pub const USER: &str = "http://jabber.org/protocol/muc#user";

/// Whether a message with this parsed content was sent through a room, by one occupant to another (section 7.5). An invitation,
/// which has the same mark, is not: whoever is invited is no occupant yet (section 7.8.2).
#[must_use]
pub fn is_by_occupant(content: ElementRef<'_>) -> bool {
    content.child("x", USER).is_some_and(|x| x.child("invite", USER).is_none())
}
