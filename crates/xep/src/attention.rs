//! Attention: somebody wants to be noticed now (XEP-0224).

use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "urn:xmpp:attention:0";

/// A message is to draw its reader's attention (section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention;

impl Attention {
    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Attention> {
        element.is("attention", NS).then_some(Attention)
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        Element::new(Name::from_static("attention"), NS)
    }
}
