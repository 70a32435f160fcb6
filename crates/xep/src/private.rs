//! Private XML storage: what a client keeps on the server for its user, such as bookmarks and notes (XEP-0049).
//!
//! The server does not look into it. A [`Document`] is one element, known by its name and namespace, as the bytes that go into
//! the answer.

use alloc::vec::Vec;
use core::cmp::Ordering;

use alloc::boxed::Box;

use balcony_stanza::{ErrorCondition, IqType, Payload, StanzaError};
use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "jabber:iq:private";

/// Documents in one set.
const DOCUMENTS: usize = 16;

const QUERY: Name = Name::from_static("query");

/// Which document: the name and namespace of its element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    name: Name,
    namespace: Box<str>,
}

impl Key {
    /// The document of that name in that namespace; `None` if it has none of its own, as it must (section 2).
    #[must_use]
    pub fn new(name: Name, namespace: &str) -> Option<Key> {
        (!namespace.is_empty() && namespace != NS).then(|| Key { name, namespace: namespace.into() })
    }

    /// The name of the element.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn of(element: ElementRef<'_>) -> Option<Key> {
        Key::new(Name::new(element.name()).ok()?, element.namespace())
    }

    /// The content of the iq get that asks for this document; and of the result when there is none.
    #[must_use]
    pub fn to_payload(&self) -> Payload {
        let element = Element::new(self.name.clone(), &self.namespace);
        Payload::from(Element::new(QUERY, NS).child(element))
    }
}

/// By namespace, then by name.
impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.namespace, self.name()).cmp(&(&other.namespace, other.name()))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A document, as the content of the iq that stores it or brings it. `Debug` does not show what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    key: Key,
    payload: Payload,
}

impl Document {
    /// The document that is this element; `None` if it has no namespace of its own, or is larger than about so many bytes when it
    /// is written.
    #[must_use]
    pub fn new(element: ElementRef<'_>, bytes: usize) -> Option<Document> {
        let key = Key::of(element)?;
        let mut query = Element::new(QUERY, NS);
        query.push_child(element);
        Some(Document { key, payload: Payload::from_element(query.root(), bytes)? })
    }

    /// Reads what was kept of [`payload`](Document::payload), or has come as the content of a result. `None` if it is something
    /// else.
    #[must_use]
    pub fn read(payload: Payload) -> Option<Document> {
        let content = payload.parse().ok()?;
        let query = only(content.root()).filter(|query| query.is("query", NS))?;
        let key = only(query).and_then(Key::of)?;
        Some(Document { key, payload })
    }

    /// Which it is.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The content of the iq.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The element itself.
    #[must_use]
    pub fn element(&self) -> Option<Element> {
        let content = self.payload.parse().ok()?;
        only(content.root()).and_then(only).map(Element::from)
    }
}

/// What a client asks of its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The document, if there is one; otherwise the same element with nothing in it.
    Get(Key),
    /// These documents instead of those of the same keys; at least one, and at most 16. When two have the same key, the later
    /// counts.
    Set(Vec<Document>),
}

impl Request {
    /// Reads the `<query/>` of an iq get or set. No document may be larger than about so many bytes when it is written.
    ///
    /// # Errors
    ///
    /// `bad-request` for a get without exactly one element, and for what is no such request; `not-acceptable` for a set without
    /// one or with more than 16, for an element without a namespace of its own, and for one that is too large (section 2).
    pub fn read(kind: IqType, query: ElementRef<'_>, bytes: usize) -> Result<Request, StanzaError> {
        if !query.is("query", NS) {
            return Err(ErrorCondition::BadRequest.into());
        }
        let no_namespace =
            || StanzaError::new(ErrorCondition::NotAcceptable, "the element has no namespace of its own");
        match kind {
            IqType::Get => {
                let element = only(query).ok_or(ErrorCondition::BadRequest)?;
                Ok(Request::Get(Key::of(element).ok_or_else(no_namespace)?))
            }
            IqType::Set => {
                if !(1..=DOCUMENTS).contains(&query.children().take(DOCUMENTS + 1).count()) {
                    return Err(StanzaError::new(
                        ErrorCondition::NotAcceptable,
                        "1 to 16 elements are needed",
                    ));
                }
                let document = |element| {
                    Key::of(element).ok_or_else(no_namespace)?;
                    let too_large = || StanzaError::new(ErrorCondition::NotAcceptable, "this is too large");
                    Document::new(element, bytes).ok_or_else(too_large)
                };
                query.children().map(document).collect::<Result<_, _>>().map(Request::Set)
            }
            IqType::Result | IqType::Error => Err(ErrorCondition::BadRequest.into()),
        }
    }

    /// The type of the iq.
    #[must_use]
    pub const fn kind(&self) -> IqType {
        match self {
            Request::Get(_) => IqType::Get,
            Request::Set(_) => IqType::Set,
        }
    }

    /// The content of the iq.
    #[must_use]
    pub fn to_payload(&self) -> Payload {
        match self {
            Request::Get(key) => key.to_payload(),
            Request::Set(documents) => match &documents[..] {
                [document] => document.payload.clone(),
                documents => {
                    let mut query = Element::new(QUERY, NS);
                    for element in documents.iter().filter_map(Document::element) {
                        query.push_child(element.root());
                    }
                    Payload::from(query)
                }
            },
        }
    }
}

/// The only child.
fn only(element: ElementRef<'_>) -> Option<ElementRef<'_>> {
    let mut children = element.children();
    children.next().filter(|_| children.next().is_none())
}
