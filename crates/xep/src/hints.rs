//! Message processing hints: what a sender wants done, or not done, with a message on its way (XEP-0334).

use alloc::vec::Vec;

use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "urn:xmpp:hints";

/// The hints of one message. Nobody must rely on others doing what they say (section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Not to be kept for good, in archives or logs; until the recipient is there it may be (section 4.1).
    pub no_permanent_store: bool,
    /// Not to be kept at all, not even until the recipient is there (section 4.2).
    pub no_store: bool,
    /// No copies for other resources. Only messages to full addresses say so (section 4.3).
    pub no_copy: bool,
    /// To be kept although it might not look worth it (section 4.4).
    pub store: bool,
}

impl Hints {
    /// Reads the hints in the parsed content of a message.
    #[must_use]
    pub fn read(content: ElementRef<'_>) -> Hints {
        let mut hints = Hints::default();
        for child in content.children().filter(|child| child.namespace() == NS) {
            match child.name() {
                "no-permanent-store" => hints.no_permanent_store = true,
                "no-store" => hints.no_store = true,
                "no-copy" => hints.no_copy = true,
                "store" => hints.store = true,
                _ => {}
            }
        }
        hints
    }

    /// Writes them, an element each.
    #[must_use]
    pub fn to_elements(self) -> Vec<Element> {
        const NO_PERMANENT_STORE: Name = Name::from_static("no-permanent-store");
        const NO_STORE: Name = Name::from_static("no-store");
        const NO_COPY: Name = Name::from_static("no-copy");
        const STORE: Name = Name::from_static("store");
        let all = [
            (self.no_permanent_store, NO_PERMANENT_STORE),
            (self.no_store, NO_STORE),
            (self.no_copy, NO_COPY),
            (self.store, STORE),
        ];
        all.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| Element::new(name, NS)).collect()
    }
}
