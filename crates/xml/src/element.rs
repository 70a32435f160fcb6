//! An element with all that is in it, as a flat value: built, parsed by itself, or cut out of a fragment. It is looked into
//! through [`ElementRef`], and `tree.rs` has its form in memory.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::XmlLimits;

use crate::reader::Body;
use crate::tree::{AttrNode, Node, Span, Tree, index};
use crate::{ElementRef, Name, ReadError, Token, XML_NS, XMLNS_NS, escape_attr};

/// An element with everything in it, in four allocations at most however much that is.
///
/// Built from names and strings, or parsed; read through [`root`](Element::root). Two are equal if they mean the same:
/// prefixes and the order of attributes don't count. `Debug` shows the name and the size, never the content.
///
/// An element and its content are smaller than 2 GiB; the methods that add to it panic past that.
///
/// ```
/// use balcony_xml::{Element, Name};
///
/// const MESSAGE: Name = Name::from_static("message");
/// const TO: Name = Name::from_static("to");
/// const BODY: Name = Name::from_static("body");
///
/// let message = Element::new(MESSAGE, "jabber:client")
///     .attr(TO, "juliet@capulet.example")
///     .child(Element::new(BODY, "jabber:client").text("Art thou not Romeo & a Montague?"));
/// let mut out = Vec::new();
/// message.root().write(&mut out, "jabber:client");
/// assert_eq!(
///     out,
///     b"<message to='juliet@capulet.example'><body>Art thou not Romeo &amp; a Montague?</body></message>"
/// );
/// ```
#[derive(Clone)]
pub struct Element(Tree);

impl Element {
    /// An empty element. The namespace is empty for none; that of `xmlns` itself, which can't be declared, counts as
    /// none.
    #[must_use]
    pub fn new(name: Name, ns: &str) -> Element {
        let mut tree = Tree::default();
        let namespace = tree.intern(permitted(ns));
        let name = tree.intern(name.as_str());
        tree.push_element(Span::EMPTY, name, namespace);
        Element(tree)
    }

    /// Sets an attribute without namespace.
    #[must_use]
    pub fn attr(mut self, name: Name, value: impl AsRef<str>) -> Element {
        self.push_attr(name, value.as_ref());
        self
    }

    /// Sets an attribute in a namespace.
    #[must_use]
    pub fn attr_ns(mut self, name: Name, ns: &str, value: impl AsRef<str>) -> Element {
        self.push_attr_ns(name, ns, value.as_ref());
        self
    }

    /// Sets `xml:lang`.
    #[must_use]
    pub fn lang(mut self, lang: impl AsRef<str>) -> Element {
        self.push_lang(lang.as_ref());
        self
    }

    /// Appends text.
    #[must_use]
    pub fn text(mut self, text: impl AsRef<str>) -> Element {
        self.push_text(text.as_ref());
        self
    }

    /// Appends a child.
    #[must_use]
    pub fn child(mut self, child: Element) -> Element {
        self.push_child(child.root());
        self
    }

    /// Sets an attribute without namespace.
    pub fn push_attr(&mut self, name: Name, value: &str) {
        self.push_attr_ns(name, "", value);
    }

    /// Sets an attribute in a namespace; see [`new`](Element::new) about namespaces.
    pub fn push_attr_ns(&mut self, name: Name, ns: &str, value: &str) {
        let (tree, ns) = (&mut self.0, permitted(ns));
        let value = tree.intern(value);
        let same = |attr: &AttrNode| tree.get(attr.name) == name.as_str() && tree.get(attr.namespace) == ns;
        if let Some(at) = tree.attrs(0).iter().position(same) {
            tree.attrs[at].value = value;
            return;
        }
        let attr = AttrNode {
            prefix: Span::EMPTY,
            name: tree.intern(name.as_str()),
            namespace: tree.intern(ns),
            value,
        };
        // The root's attributes come first.
        tree.attrs.insert(tree.head(0).attrs as usize, attr);
        for (at, node) in tree.nodes.iter_mut().enumerate() {
            match node {
                Node::Element(head) if at == 0 => head.attrs += 1,
                Node::Element(head) => head.attr += 1,
                Node::Text(_) => {}
            }
        }
    }

    /// Sets `xml:lang`.
    pub fn push_lang(&mut self, lang: &str) {
        const LANG: Name = Name::from_static("lang");
        self.push_attr_ns(LANG, XML_NS, lang);
    }

    /// Appends text. Characters that XML can't carry are replaced when it is written, see
    /// [`forbidden_char`](crate::forbidden_char).
    pub fn push_text(&mut self, text: &str) {
        self.0.push_text(text);
        self.grow_root();
    }

    /// Appends a copy of `child`.
    pub fn push_child(&mut self, child: ElementRef<'_>) {
        self.0.push_copy(child.tree, child.node);
        self.grow_root();
    }

    /// The root now reaches to the last node.
    fn grow_root(&mut self) {
        let end = index(self.0.nodes.len());
        if let Some(root) = self.0.head_mut(0) {
            root.end = end;
        }
    }

    /// The element for reading.
    #[must_use]
    pub fn root(&self) -> ElementRef<'_> {
        ElementRef { tree: &self.0, node: 0 }
    }

    /// How many bytes of memory it takes, with everything in it.
    #[must_use]
    pub fn memory(&self) -> usize {
        core::mem::size_of::<Element>() + self.0.memory()
    }

    /// The element as XML; see [`ElementRef::to_xml`].
    #[must_use]
    pub fn to_xml(&self) -> String {
        self.root().to_xml()
    }

    /// Parses one standalone element, without an XML declaration; white space may stand around it.
    ///
    /// # Errors
    ///
    /// As [`Reader::read`](crate::Reader::read), and [`ReadError::NotWellFormed`] if there is not exactly one whole element.
    pub fn parse(mut bytes: &[u8], limits: XmlLimits) -> Result<Element, ReadError> {
        let mut reader = Body::fragment(limits);
        match reader.read(&mut bytes)? {
            Some(Token::Element) if bytes.trim_ascii().is_empty() => Ok(Element(reader.take_tree())),
            Some(Token::Element) => Err(ReadError::NotWellFormed("something follows the element")),
            Some(Token::Refused(error)) => Err(error),
            _ => Err(INCOMPLETE),
        }
    }

    /// Parses a fragment, siblings and text, as it may stand in an element whose default namespace is `ns`.
    ///
    /// The element returned is a frame around it: it is named `payload`, in `ns`. The frame doesn't count for `limits`.
    ///
    /// # Errors
    ///
    /// As [`Reader::read`](crate::Reader::read), and [`ReadError::NotWellFormed`] if an element is not complete.
    pub fn parse_payload(payload: &[u8], ns: &str, limits: XmlLimits) -> Result<Element, ReadError> {
        Ok(Element(read_payload(payload, ns, limits)?.take_tree()))
    }
}

/// Appends a fragment without those of its elements that are `unwanted`. All else stays byte for byte.
///
/// # Errors
///
/// Those of [`Element::parse_payload`]; then nothing was appended.
pub fn remove_elements(
    payload: &[u8],
    ns: &str,
    limits: XmlLimits,
    mut unwanted: impl FnMut(ElementRef<'_>) -> bool,
    out: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let reader = read_payload(payload, ns, limits)?;
    let before = reader.content_start();
    let mut kept = 0;
    for (_, place) in reader.children().filter(|(child, _)| unwanted(*child)) {
        out.extend_from_slice(payload.get(kept..place.start - before).unwrap_or_default());
        kept = place.end - before;
    }
    out.extend_from_slice(payload.get(kept..).unwrap_or_default());
    Ok(())
}

/// A reader that has read a fragment in a frame.
fn read_payload(payload: &[u8], ns: &str, limits: XmlLimits) -> Result<Body, ReadError> {
    const OPEN: &[u8] = b"<payload xmlns='";
    const CLOSE: &[u8] = b"</payload>";
    let mut framed = Vec::with_capacity(OPEN.len() + ns.len() + 2 + payload.len() + CLOSE.len());
    framed.extend_from_slice(OPEN);
    escape_attr(ns, &mut framed);
    framed.extend_from_slice(b"'>");
    let frame = framed.len() + CLOSE.len();
    framed.extend_from_slice(payload);
    framed.extend_from_slice(CLOSE);
    let mut reader = Body::fragment(XmlLimits {
        bytes: limits.bytes.saturating_add(frame),
        depth: limits.depth.saturating_add(1),
        attributes: limits.attributes.max(1),
        nodes: limits.nodes.saturating_add(1),
    });
    match reader.read_whole(framed)? {
        Some(Token::Element) => Ok(reader),
        Some(Token::Refused(error)) => Err(error),
        _ => Err(INCOMPLETE),
    }
}

const INCOMPLETE: ReadError = ReadError::NotWellFormed("the element is not complete");

/// Namespaces in XML section 3: no prefix but `xmlns` stands for this one, and it is not the default one either.
fn permitted(ns: &str) -> &str {
    if ns == XMLNS_NS { "" } else { ns }
}

impl From<Tree> for Element {
    fn from(tree: Tree) -> Self {
        Element(tree)
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for Element {}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().fmt(f)
    }
}

impl From<ElementRef<'_>> for Element {
    fn from(element: ElementRef<'_>) -> Self {
        element.to_owned()
    }
}
