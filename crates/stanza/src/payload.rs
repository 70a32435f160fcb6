use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::XmlLimits;
use balcony_xml::{Element, ReadError, Reader};

use crate::ns;

/// For what has passed the limits of a stream before.
pub(crate) const UNBOUNDED: XmlLimits =
    XmlLimits { bytes: usize::MAX, depth: 1024, attributes: usize::MAX, nodes: usize::MAX };

/// The content of a stanza: well-formed XML bytes that stand on their own, shared by everyone who delivers them.
///
/// Standing on its own means: every prefix is declared inside, and only elements of the content namespace rely on the
/// default namespace around them. The bytes can therefore be copied into a stanza of any stream, and RFC 6120 section
/// 4.8.5's change of namespace between clients and servers needs no rewriting.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload(Option<Arc<[u8]>>);

impl Payload {
    /// No content: the stanza is a single empty tag.
    pub const EMPTY: Payload = Payload(None);

    /// The content of the element that `reader` has just completed.
    #[must_use]
    pub fn from_reader(reader: &Reader) -> Self {
        let bytes = reader.payload();
        if bytes.is_empty() { Payload::EMPTY } else { Payload(Some(Arc::from(&*bytes))) }
    }

    /// The XML bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether there is no content.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Parses the content. The element returned is a frame: its children are the children of the stanza.
    ///
    /// # Errors
    ///
    /// None for a payload that came from a reader or from elements, as all of them do.
    pub fn parse(&self) -> Result<Element, ReadError> {
        Element::parse_payload(self.as_bytes(), ns::CLIENT, UNBOUNDED)
    }
}

/// One element as the whole content.
impl From<Element> for Payload {
    fn from(element: Element) -> Self {
        [element].iter().collect()
    }
}

/// Several elements, in their order.
impl<'a> FromIterator<&'a Element> for Payload {
    fn from_iter<I: IntoIterator<Item = &'a Element>>(elements: I) -> Self {
        let mut bytes = Vec::new();
        for element in elements {
            element.root().write(&mut bytes, ns::CLIENT);
        }
        if bytes.is_empty() { Payload::EMPTY } else { Payload(Some(Arc::from(bytes))) }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What people write to each other is nobody else's business, logs included.
        write!(f, "Payload({} bytes)", self.as_bytes().len())
    }
}
