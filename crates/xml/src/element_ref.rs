//! A view of an element: its names, attributes, children and text, and their way back to XML.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::tree::{AttrNode, Node, Tree};
use crate::write::write_nodes;
use crate::{Element, XML_NS};

/// A borrowed element: one of an [`Element`] or the one that a [`Reader`](crate::Reader) has just completed.
#[derive(Clone, Copy)]
pub struct ElementRef<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) node: u32,
}

/// An attribute. Namespace declarations are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr<'a> {
    /// Its local name.
    pub name: &'a str,
    /// Its namespace, empty if none.
    pub namespace: &'a str,
    /// Its value, without the quotes and with references resolved.
    pub value: &'a str,
}

/// A child element or a run of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRef<'a> {
    /// An element.
    Element(ElementRef<'a>),
    /// Text; it is not empty, and two runs never stand side by side.
    Text(&'a str),
}

impl<'a> ElementRef<'a> {
    /// The local name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.tree.get(self.tree.head(self.node).name)
    }

    /// The namespace, empty if none.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        self.tree.get(self.tree.head(self.node).namespace)
    }

    /// The prefix that it was read with, empty if none. It has no meaning, but RFC 6120 section 4.8.5 has rules for it.
    #[must_use]
    pub fn prefix(&self) -> &'a str {
        self.tree.get(self.tree.head(self.node).prefix)
    }

    /// Whether name and namespace are these.
    #[must_use]
    pub fn is(&self, name: &str, ns: &str) -> bool {
        let head = self.tree.head(self.node);
        let same_lengths = head.name.len() == name.len() && head.namespace.len() == ns.len();
        same_lengths && self.name() == name && self.namespace() == ns
    }

    /// The value of the attribute of that name without namespace.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&'a str> {
        self.attr_ns(name, "")
    }

    /// The value of the attribute of that name and namespace.
    #[must_use]
    pub fn attr_ns(&self, name: &str, ns: &str) -> Option<&'a str> {
        // Most others have another length.
        let is_it = |attr: &&AttrNode| {
            let same_lengths = attr.name.len() == name.len() && attr.namespace.len() == ns.len();
            same_lengths && self.tree.get(attr.name) == name && self.tree.get(attr.namespace) == ns
        };
        self.tree.attrs(self.node).iter().find(is_it).map(|attr| self.tree.get(attr.value))
    }

    /// All attributes.
    pub fn attrs(&self) -> impl ExactSizeIterator<Item = Attr<'a>> + use<'a> {
        let tree = self.tree;
        let attr = |attr: &AttrNode| Attr {
            name: tree.get(attr.name),
            namespace: tree.get(attr.namespace),
            value: tree.get(attr.value),
        };
        tree.attrs(self.node).iter().map(attr)
    }

    /// The element's own `xml:lang`. Without one, that of the element around it holds.
    #[must_use]
    pub fn language(&self) -> Option<&'a str> {
        self.attr_ns("lang", XML_NS)
    }

    /// Child elements and text in order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef<'a>> + use<'a> {
        let (tree, end) = (self.tree, self.tree.head(self.node).end);
        let mut next = self.node + 1;
        core::iter::from_fn(move || {
            let node = next;
            if node >= end {
                return None;
            }
            Some(match tree.nodes.get(node as usize)? {
                Node::Element(head) => {
                    next = head.end;
                    NodeRef::Element(ElementRef { tree, node })
                }
                Node::Text(span) => {
                    next += 1;
                    NodeRef::Text(tree.get(*span))
                }
            })
        })
    }

    /// Child elements in order.
    pub fn children(&self) -> impl Iterator<Item = ElementRef<'a>> + use<'a> {
        self.nodes().filter_map(|node| match node {
            NodeRef::Element(element) => Some(element),
            NodeRef::Text(_) => None,
        })
    }

    /// The first child of that name and namespace.
    #[must_use]
    pub fn child(&self, name: &str, ns: &str) -> Option<ElementRef<'a>> {
        self.children().find(|child| child.is(name, ns))
    }

    /// Its own text, without that of its children. Borrowed unless a child stands in the middle of it.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        let mut runs = self.texts();
        let first = runs.next().unwrap_or_default();
        match runs.next() {
            None => Cow::Borrowed(first),
            Some(second) => Cow::Owned([first, second].into_iter().chain(runs).collect::<String>()),
        }
    }

    /// Whether its own text is white space or nothing.
    #[must_use]
    pub fn has_only_whitespace_text(&self) -> bool {
        self.texts().all(|text| text.trim_ascii().is_empty())
    }

    fn texts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.nodes().filter_map(|node| match node {
            NodeRef::Text(text) => Some(text),
            NodeRef::Element(_) => None,
        })
    }

    /// A copy.
    #[must_use]
    pub fn to_owned(&self) -> Element {
        let mut tree = Tree::default();
        tree.push_copy(self.tree, self.node);
        Element::from(tree)
    }

    /// The element as XML that stands on its own, with all of its content, for tests and for people to read. `Debug` shows none of it,
    /// since what people write to each other is not for logs.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out, "");
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Appends the element as XML for a place where the default namespace is `default_ns`, and where nothing is known
    /// about prefixes.
    ///
    /// A namespace that was read once, with a prefix, is written with each element that it is not the default for, so this may
    /// be far more than what was read; see [`write_within`](ElementRef::write_within).
    pub fn write(&self, out: &mut Vec<u8>, default_ns: &str) {
        write_nodes(self.tree, self.node..self.tree.head(self.node).end, out, default_ns, usize::MAX);
    }

    /// As [`write`](ElementRef::write), but no more than about so many bytes: whether that was enough. Otherwise what was
    /// appended is not whole.
    #[must_use]
    pub fn write_within(&self, bytes: usize, out: &mut Vec<u8>, default_ns: &str) -> bool {
        write_nodes(self.tree, self.node..self.tree.head(self.node).end, out, default_ns, bytes)
    }

    /// Appends the children and text only, for a place as [`write`](ElementRef::write) wants it.
    pub fn write_content(&self, out: &mut Vec<u8>, default_ns: &str) {
        let _ = self.write_content_within(usize::MAX, out, default_ns);
    }

    pub(crate) fn write_content_within(&self, bytes: usize, out: &mut Vec<u8>, default_ns: &str) -> bool {
        write_nodes(self.tree, self.node + 1..self.tree.head(self.node).end, out, default_ns, bytes)
    }

    fn same_attrs(self, other: ElementRef<'_>) -> bool {
        self.attrs().len() == other.attrs().len()
            && self.attrs().all(|attr| other.attr_ns(attr.name, attr.namespace) == Some(attr.value))
    }
}

/// By meaning, as [`Element`].
impl PartialEq for ElementRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) =
            (self.tree.head(self.node).end - self.node, other.tree.head(other.node).end - other.node);
        ours == theirs
            && (0..ours).all(|step| {
                let (a, b) = (self.node + step, other.node + step);
                match (self.tree.nodes.get(a as usize), other.tree.nodes.get(b as usize)) {
                    (Some(Node::Text(x)), Some(Node::Text(y))) => self.tree.get(*x) == other.tree.get(*y),
                    (Some(Node::Element(x)), Some(Node::Element(y))) => {
                        let (l, r) = (
                            ElementRef { tree: self.tree, node: a },
                            ElementRef { tree: other.tree, node: b },
                        );
                        x.end - a == y.end - b && l.is(r.name(), r.namespace()) && l.same_attrs(r)
                    }
                    (x, y) => x.is_none() && y.is_none(),
                }
            })
    }
}

impl Eq for ElementRef<'_> {}

impl fmt::Debug for ElementRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What people write to each other is nobody else's business, logs included.
        let (nodes, attrs) = (self.tree.head(self.node).end - self.node, self.attrs().len());
        write!(f, "<{} xmlns='{}'> ({attrs} attributes, {nodes} nodes)", self.name(), self.namespace())
    }
}
