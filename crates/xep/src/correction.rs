//! Last message correction: a message takes the place of one that its sender has sent before (XEP-0308).

use alloc::borrow::Cow;

use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "urn:xmpp:message-correct:0";

/// A message is a correction of another (section 4).
///
/// Whoever receives it believes it only if it comes from the same sender: the same bare address, or in a room the same full one (section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction<'a> {
    /// The id of the message that is corrected: of the first, not of an earlier correction.
    pub id: Cow<'a, str>,
}

impl<'a> Correction<'a> {
    /// Reads it; `None` if the element is something else, or names no message.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Correction<'a>> {
        let id = element.attr("id").filter(|_| element.is("replace", NS))?;
        Some(Correction { id: Cow::Borrowed(id) })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const REPLACE: Name = Name::from_static("replace");
        const ID: Name = Name::from_static("id");
        Element::new(REPLACE, NS).attr(ID, &self.id)
    }
}
