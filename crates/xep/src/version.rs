//! Software version: what program somebody uses (XEP-0092).

use alloc::borrow::Cow;

use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "jabber:iq:version";

const QUERY: Name = Name::from_static("query");

/// The content of an iq get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query;

impl Query {
    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Query> {
        element.is("query", NS).then_some(Query)
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        Element::new(QUERY, NS)
    }
}

/// The content of the result (section 2). What the other side leaves out is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Software<'a> {
    /// What the program is called.
    pub name: Cow<'a, str>,
    /// Its version, in its own way of counting.
    pub version: Cow<'a, str>,
    /// What it runs on; `None` if that is not told.
    pub os: Option<Cow<'a, str>>,
}

impl<'a> Software<'a> {
    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Software<'a>> {
        if !element.is("query", NS) {
            return None;
        }
        let text = |name| element.child(name, NS).map(|child| child.text());
        Some(Software {
            name: text("name").unwrap_or_default(),
            version: text("version").unwrap_or_default(),
            os: text("os"),
        })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const NAME: Name = Name::from_static("name");
        const VERSION: Name = Name::from_static("version");
        const OS: Name = Name::from_static("os");
        let mut query = Element::new(QUERY, NS)
            .child(Element::new(NAME, NS).text(&self.name))
            .child(Element::new(VERSION, NS).text(&self.version));
        if let Some(os) = &self.os {
            query.push_child(Element::new(OS, NS).text(os).root());
        }
        query
    }
}
