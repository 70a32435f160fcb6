//! How a message is encrypted (XEP-0380), and whether it is.

use alloc::borrow::Cow;

use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "urn:xmpp:eme:0";
/// The namespace of what is encrypted by OpenPGP in the old way (XEP-0027).
pub const LEGACY: &str = "jabber:x:encrypted";

/// By which extension a message is encrypted, for whoever does not know that one (section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption<'a> {
    /// Its namespace.
    pub namespace: Cow<'a, str>,
    /// What it is called, for people.
    pub name: Option<Cow<'a, str>>,
}

impl<'a> Encryption<'a> {
    /// Reads it; `None` if the element is something else, or names no namespace.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Encryption<'a>> {
        let text = |name| element.attr(name).map(Cow::Borrowed);
        let namespace = text("namespace").filter(|_| element.is("encryption", NS))?;
        Some(Encryption { namespace, name: text("name") })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const ENCRYPTION: Name = Name::from_static("encryption");
        const NAMESPACE: Name = Name::from_static("namespace");
        const NAME: Name = Name::from_static("name");
        let mut encryption = Element::new(ENCRYPTION, NS).attr(NAMESPACE, &self.namespace);
        if let Some(name) = &self.name {
            encryption.push_attr(NAME, name);
        }
        encryption
    }
}

/// Whether a message with this in it is encrypted: it says so, or this is what has been encrypted, which is called the same by all
/// extensions for it (OMEMO, OX), whatever their namespace.
#[must_use]
pub fn is_encrypted(child: ElementRef<'_>) -> bool {
    child.name() == "encrypted" || [NS, LEGACY].contains(&child.namespace())
}
