//! Service discovery: what somebody is and can do, and what belongs to it (XEP-0030).

use alloc::borrow::Cow;
use alloc::vec::Vec;

use balcony_xml::{Element, ElementRef, Name};

/// The namespace of identities and features, which is also a feature.
pub const INFO: &str = "http://jabber.org/protocol/disco#info";
/// The namespace of items, which is also a feature.
pub const ITEMS: &str = "http://jabber.org/protocol/disco#items";

/// Identities, features or items in one answer. One that has more is not read at all: what is left of it would say something else.
const ENTRIES: usize = 4_096;

const QUERY: Name = Name::from_static("query");
const NODE: Name = Name::from_static("node");
const NAME: Name = Name::from_static("name");

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Identities and features.
    Info,
    /// Items.
    Items,
}

impl About {
    /// The namespace of question and answer.
    #[must_use]
    pub const fn namespace(self) -> &'static str {
        match self {
            About::Info => INFO,
            About::Items => ITEMS,
        }
    }
}

/// The content of an iq get (sections 3.1 and 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// What is asked for.
    pub about: About,
    /// The part of the entity that is asked about. The answer has the same (section 3.2).
    pub node: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    /// A question about the entity itself.
    #[must_use]
    pub const fn new(about: About) -> Query<'a> {
        Query { about, node: None }
    }

    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Query<'a>> {
        let about = match (element.name(), element.namespace()) {
            ("query", INFO) => About::Info,
            ("query", ITEMS) => About::Items,
            _ => return None,
        };
        Some(Query { about, node: node(element) })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        query(self.about, self.node.as_deref())
    }
}

/// One way to say what an entity is; the values are from the registry of the XSF (section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Such as `server`, `account` or `client`.
    pub category: Cow<'a, str>,
    /// The type within the category, such as `im`, `registered` or `console`.
    pub kind: Cow<'a, str>,
    /// The name for people.
    pub name: Option<Cow<'a, str>>,
    /// The language of the name.
    pub lang: Option<Cow<'a, str>>,
}

impl<'a> Identity<'a> {
    /// An identity without a name.
    #[must_use]
    pub const fn new(category: &'a str, kind: &'a str) -> Identity<'a> {
        Identity { category: Cow::Borrowed(category), kind: Cow::Borrowed(kind), name: None, lang: None }
    }

    /// The same with a name for people.
    #[must_use]
    pub fn named(mut self, name: &'a str) -> Identity<'a> {
        self.name = Some(Cow::Borrowed(name));
        self
    }

    /// Reads it. `None` without category or type: it says nothing then.
    fn read(element: ElementRef<'a>) -> Option<Identity<'a>> {
        Some(Identity {
            category: Cow::Borrowed(element.attr("category")?),
            kind: Cow::Borrowed(element.attr("type")?),
            name: element.attr("name").map(Cow::Borrowed),
            lang: element.language().map(Cow::Borrowed),
        })
    }

    fn to_element(&self) -> Element {
        const IDENTITY: Name = Name::from_static("identity");
        const CATEGORY: Name = Name::from_static("category");
        const TYPE: Name = Name::from_static("type");
        let mut identity = Element::new(IDENTITY, INFO).attr(CATEGORY, &self.category).attr(TYPE, &self.kind);
        if let Some(name) = &self.name {
            identity.push_attr(NAME, name);
        }
        if let Some(lang) = &self.lang {
            identity.push_lang(lang);
        }
        identity
    }
}

/// The content of the result about identities and features.
///
/// Forms with more about an entity (XEP-0128) are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info<'a> {
    /// The part of the entity that was asked about.
    pub node: Option<Cow<'a, str>>,
    /// What the entity is; at least one.
    pub identities: Vec<Identity<'a>>,
    /// What it can do, mostly the namespaces of its extensions.
    pub features: Vec<Cow<'a, str>>,
}

impl<'a> Info<'a> {
    /// Reads it. `None` if the element is something else, or has more than 4,096 identities and features.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Info<'a>> {
        if !element.is("query", INFO) {
            return None;
        }
        let mut info = Info { node: node(element), ..Info::default() };
        for child in element.children().filter(|child| child.namespace() == INFO) {
            if info.identities.len() + info.features.len() == ENTRIES {
                return None;
            }
            match child.name() {
                "identity" => info.identities.extend(Identity::read(child)),
                "feature" => info.features.extend(child.attr("var").map(Cow::Borrowed)),
                _ => {}
            }
        }
        Some(info)
    }

    /// Whether the entity has this feature.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        info(self.node.as_deref(), &self.identities, self.features.iter().map(|feature| &**feature))
    }
}

/// Writes the content of a result about identities and features, from wherever they are.
pub fn info<'f>(
    node: Option<&str>,
    identities: &[Identity<'_>],
    features: impl IntoIterator<Item = &'f str>,
) -> Element {
    const FEATURE: Name = Name::from_static("feature");
    const VAR: Name = Name::from_static("var");
    let mut query = query(About::Info, node);
    for identity in identities {
        query.push_child(identity.to_element().root());
    }
    for feature in features {
        query.push_child(Element::new(FEATURE, INFO).attr(VAR, feature).root());
    }
    query
}

/// Something that belongs to an entity (section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its address, or that of the entity that it is a part of. It is not checked.
    pub jid: Cow<'a, str>,
    /// The name of the part.
    pub node: Option<Cow<'a, str>>,
    /// The name for people.
    pub name: Option<Cow<'a, str>>,
}

/// The content of the result about items. There may be none: that is no error (section 4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items<'a> {
    /// The part of the entity that was asked about.
    pub node: Option<Cow<'a, str>>,
    /// The items.
    pub items: Vec<Item<'a>>,
}

impl<'a> Items<'a> {
    /// Reads it; items without an address are passed over. `None` if the element is something else, or has more than 4,096 items.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Items<'a>> {
        if !element.is("query", ITEMS) {
            return None;
        }
        let item = |item: ElementRef<'a>| {
            Some(Item {
                jid: Cow::Borrowed(item.attr("jid")?),
                node: node(item),
                name: item.attr("name").map(Cow::Borrowed),
            })
        };
        let items = element.children().filter(|child| child.is("item", ITEMS));
        let items: Vec<Item<'a>> = items.filter_map(item).take(ENTRIES + 1).collect();
        (items.len() <= ENTRIES).then(|| Items { node: node(element), items })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const ITEM: Name = Name::from_static("item");
        const JID: Name = Name::from_static("jid");
        let mut query = query(About::Items, self.node.as_deref());
        for item in &self.items {
            let mut element = Element::new(ITEM, ITEMS).attr(JID, &item.jid);
            if let Some(node) = &item.node {
                element.push_attr(NODE, node);
            }
            if let Some(name) = &item.name {
                element.push_attr(NAME, name);
            }
            query.push_child(element.root());
        }
        query
    }
}

fn node(element: ElementRef<'_>) -> Option<Cow<'_, str>> {
    element.attr("node").map(Cow::Borrowed)
}

fn query(about: About, node: Option<&str>) -> Element {
    let query = Element::new(QUERY, about.namespace());
    match node {
        Some(node) => query.attr(NODE, node),
        None => query,
    }
}
