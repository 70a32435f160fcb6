//! The content of a stanza, as bytes that everybody who delivers it shares.
//!
//! It is parsed only by those who look inside. What is put into it or taken out of it on its way leaves the rest byte for byte.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::XmlLimits;
use balcony_xml::{
    Element, ElementRef, Name, Outline, ReadError, Reader, escape_attr, outline, remove_elements,
};

use crate::{Stanza, ns};

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
        Payload::of(reader.payload())
    }

    fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() { Payload::EMPTY } else { Payload(Some(Arc::from(bytes))) }
    }

    /// One element as the whole content; `None` if it is larger than about so many bytes when it is written. That may be far more
    /// than what was read, see [`ElementRef::write`].
    #[must_use]
    pub fn from_element(element: ElementRef<'_>, bytes: usize) -> Option<Self> {
        let mut out = Vec::new();
        element.write_within(bytes, &mut out, ns::CLIENT).then(|| Payload::of(&out))
    }

    /// What somebody has kept of [`as_bytes`](Payload::as_bytes).
    ///
    /// # Errors
    ///
    /// That of the parser if it is no content of a stanza that stands on its own.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        Element::parse_payload(bytes, ns::CLIENT, UNBOUNDED).map(|_| Payload::of(bytes))
    }

    /// A whole stanza inside of elements, the outermost first (XEP-0297). Its own content stays byte for byte.
    #[must_use]
    pub fn forward(stanza: &Stanza, within: &[(Name, &str)]) -> Self {
        Payload::forward_with(None, stanza, within)
    }

    /// The same with an element before the stanza, in the innermost of those around it.
    #[must_use]
    pub fn forward_with(before: Option<&Element>, stanza: &Stanza, within: &[(Name, &str)]) -> Self {
        // Addresses and names are mostly shorter.
        let mut bytes = Vec::with_capacity(stanza.payload.as_bytes().len() + 512);
        for (name, namespace) in within {
            bytes.extend_from_slice(b"<");
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b" xmlns='");
            escape_attr(namespace, &mut bytes);
            bytes.extend_from_slice(b"'>");
        }
        if let Some(before) = before {
            before.root().write(&mut bytes, within.last().map_or(ns::CLIENT, |(_, namespace)| namespace));
        }
        stanza.write_document(ns::CLIENT, &mut bytes);
        for (name, _) in within.iter().rev() {
            bytes.extend_from_slice(b"</");
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b">");
        }
        Payload::of(&bytes)
    }

    /// This content, byte for byte, and one more element behind it.
    #[must_use]
    pub fn with(&self, element: &Element) -> Self {
        let mut bytes = self.as_bytes().to_vec();
        element.root().write(&mut bytes, ns::CLIENT);
        Payload::of(&bytes)
    }

    /// This content without those of its elements that are `unwanted`. The rest stays byte for byte.
    #[must_use]
    pub fn without(&self, unwanted: impl FnMut(ElementRef<'_>) -> bool) -> Self {
        let mut bytes = Vec::new();
        // Content that can't be parsed has no elements; and there is none, see `parse`.
        match remove_elements(self.as_bytes(), ns::CLIENT, UNBOUNDED, unwanted, &mut bytes) {
            Ok(()) => Payload::of(&bytes),
            Err(_) => self.clone(),
        }
    }

    /// This content without those of its elements that are `unwanted`, and with one more behind it: as
    /// [`without`](Payload::without) and [`with`](Payload::with), in one copy.
    #[must_use]
    pub fn exchange(&self, unwanted: impl FnMut(ElementRef<'_>) -> bool, element: &Element) -> Self {
        let mut bytes = Vec::new();
        if remove_elements(self.as_bytes(), ns::CLIENT, UNBOUNDED, unwanted, &mut bytes).is_err() {
            // As in `without`: there is no such content.
            bytes.extend_from_slice(self.as_bytes());
        }
        element.root().write(&mut bytes, ns::CLIENT);
        Payload::of(&bytes)
    }

    /// The XML bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// The content as XML, for tests and for people to read. `Debug` shows none of it.
    #[must_use]
    pub fn to_xml(&self) -> String {
        String::from_utf8_lossy(self.as_bytes()).into_owned()
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

    /// Which elements it has, without parsing it: for those who want to know one thing of it.
    #[must_use]
    pub fn outline(&self) -> Outline<'_> {
        // A reader takes nothing but UTF-8.
        outline(core::str::from_utf8(self.as_bytes()).unwrap_or_default(), ns::CLIENT)
    }

    /// The first element that `T` can be made of. Types of the package `xmpp-parsers` can be, if its version of `minidom` is the same:
    ///
    /// ```
    /// use balcony_stanza::Stanza;
    /// # /// As those of `xmpp-parsers` are.
    /// # #[derive(Debug, PartialEq)]
    /// # struct Version { name: String }
    /// # impl TryFrom<minidom::Element> for Version {
    /// #     type Error = ();
    /// #     fn try_from(element: minidom::Element) -> Result<Self, ()> {
    /// #         let name = element.get_child("name", "jabber:iq:version").ok_or(())?.text();
    /// #         Ok(Version { name })
    /// #     }
    /// # }
    ///
    /// let xml = "<iq type='result' id='1'><query xmlns='jabber:iq:version'><name>Gajim</name></query></iq>";
    /// let stanza = Stanza::parse(xml.as_bytes()).unwrap();
    /// // With `Version` of `xmpp_parsers::version`.
    /// assert_eq!(stanza.payload.get::<Version>().unwrap().name, "Gajim");
    /// ```
    #[cfg(feature = "minidom")]
    #[must_use]
    pub fn get<T: TryFrom<minidom::Element>>(&self) -> Option<T> {
        let content = self.parse().ok()?;
        content.root().children().find_map(|child| T::try_from(minidom::Element::try_from(child).ok()?).ok())
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
        Payload::of(&bytes)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What people write to each other is nobody else's business, logs included.
        write!(f, "Payload({} bytes)", self.as_bytes().len())
    }
}
