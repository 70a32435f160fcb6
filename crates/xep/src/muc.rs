//! Rooms (XEP-0045): the marks by which what they and their occupants say is known.

use balcony_xml::ElementRef;

/// The namespace of what rooms say of their occupants, and of invitations by way of a room.
pub const USER: &str = "http://jabber.org/protocol/muc#user";

/// Whether a message with this parsed content was sent through a room, by one occupant to another (section 7.5). An invitation,
/// which has the same mark, is not: whoever is invited is no occupant yet (section 7.8.2).
#[must_use]
pub fn is_by_occupant(content: ElementRef<'_>) -> bool {
    content.child("x", USER).is_some_and(|x| x.child("invite", USER).is_none())
}

/// Whether a message with this in it invites somebody into a room, or answers an invitation (section 7.8.2).
#[must_use]
pub fn is_invitation(child: ElementRef<'_>) -> bool {
    child.is("x", USER) && child.children().any(|told| ["invite", "decline"].contains(&told.name()))
}

/// Whether presence of a room with this parsed content is that of whoever gets it, as the room shows it to all (section 15.6, status 110).
#[must_use]
pub fn is_of_recipient(content: ElementRef<'_>) -> bool {
    let is_self = |told: ElementRef<'_>| told.name() == "status" && told.attr("code") == Some("110");
    content.child("x", USER).is_some_and(|x| x.children().any(is_self))
}
