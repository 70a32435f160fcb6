//! Delivery receipts: a message has come to the other person's client (XEP-0184).

use alloc::borrow::Cow;

use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "urn:xmpp:receipts";

/// What a message says about receipts (section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt<'a> {
    /// Its sender asks for one. The message has an id.
    Request,
    /// It is one.
    Received {
        /// The id of the message that has come.
        id: Cow<'a, str>,
    },
}

impl<'a> Receipt<'a> {
    /// Reads it; `None` if the element is something else, or a receipt without id.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Receipt<'a>> {
        match (element.name(), element.namespace()) {
            ("request", NS) => Some(Receipt::Request),
            ("received", NS) => Some(Receipt::Received { id: Cow::Borrowed(element.attr("id")?) }),
            _ => None,
        }
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const REQUEST: Name = Name::from_static("request");
        const RECEIVED: Name = Name::from_static("received");
        const ID: Name = Name::from_static("id");
        match self {
            Receipt::Request => Element::new(REQUEST, NS),
            Receipt::Received { id } => Element::new(RECEIVED, NS).attr(ID, id),
        }
    }
}
