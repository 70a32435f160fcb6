//! Chat markers: how far somebody has read (XEP-0333).

use alloc::borrow::Cow;

use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "urn:xmpp:chat-markers:0";

/// What a message says about markers (section 4). Earlier versions have others, which are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker<'a> {
    /// Its sender asks for one. The message has an id.
    Markable,
    /// Everything up to a message has been shown.
    Displayed {
        /// The id of that message.
        id: Cow<'a, str>,
    },
}

impl<'a> Marker<'a> {
    /// Reads it; `None` if the element is something else, or a marker without id.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Marker<'a>> {
        match (element.name(), element.namespace()) {
            ("markable", NS) => Some(Marker::Markable),
            ("displayed", NS) => Some(Marker::Displayed { id: Cow::Borrowed(element.attr("id")?) }),
            _ => None,
        }
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const MARKABLE: Name = Name::from_static("markable");
        const DISPLAYED: Name = Name::from_static("displayed");
        const ID: Name = Name::from_static("id");
        match self {
            Marker::Markable => Element::new(MARKABLE, NS),
            Marker::Displayed { id } => Element::new(DISPLAYED, NS).attr(ID, id),
        }
    }
}
