//! To the element tree that Rust's XMPP users know, and back.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use minidom::rxml::{Namespace, NcName};

use crate::chars::is_ncname;
use crate::tree::{AttrNode, Node, Span, Tree, index};
use crate::{Element, ElementRef, XMLNS_NS};

/// `minidom` drops its trees recursively: a deep one overflows the stack. This takes less than 1 MiB of it, without
/// optimisations too, and is all that [`DELIVERED`](balcony_machine::XmlLimits::DELIVERED) lets through.
const MAX_DEPTH: usize = 768;
/// Each of its elements has a namespace to itself: those of one element together, in bytes. A small element that uses a long
/// one a thousand times would be a large tree.
const MAX_NAMESPACES: usize = 1 << 20;

/// An element has no counterpart on the other side of a conversion from or to `minidom`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MinidomError {
    /// More than 768 levels of elements.
    TooDeep,
    /// More than a mebibyte of namespaces, counted for each element that has them.
    TooLarge,
    /// A name that is none, as `minidom` doesn't check those of elements.
    InvalidName,
}

impl fmt::Display for MinidomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MinidomError::TooDeep => "the element is nested too deeply",
            MinidomError::TooLarge => "the element uses long namespaces too often",
            MinidomError::InvalidName => "not an XML name without prefix",
        })
    }
}

impl core::error::Error for MinidomError {}

impl TryFrom<&Element> for minidom::Element {
    type Error = MinidomError;

    fn try_from(element: &Element) -> Result<Self, MinidomError> {
        element.root().try_into()
    }
}

impl TryFrom<ElementRef<'_>> for minidom::Element {
    type Error = MinidomError;

    fn try_from(element: ElementRef<'_>) -> Result<Self, MinidomError> {
        let ElementRef { tree, node } = element;
        let mut room = MAX_NAMESPACES;
        let mut shallow = |element| {
            room = room.checked_sub(namespaces(element)).ok_or(MinidomError::TooLarge)?;
            shallow(element)
        };
        let mut root = shallow(element)?;
        // Open elements below the root, each with where it ends.
        let mut open: Vec<(u32, minidom::Element)> = Vec::new();
        let end = tree.head(node).end;
        for at in node + 1..=end {
            while let Some((_, child)) = open.pop_if(|(end, _)| *end <= at) {
                open.last_mut().map_or(&mut root, |(_, parent)| parent).append_child(child);
            }
            match tree.nodes.get(at as usize) {
                _ if at == end => {}
                Some(Node::Element(_)) if open.len() + 1 == MAX_DEPTH => return Err(MinidomError::TooDeep),
                Some(Node::Element(head)) => open.push((head.end, shallow(ElementRef { tree, node: at })?)),
                Some(Node::Text(text)) => {
                    let parent = open.last_mut().map_or(&mut root, |(_, parent)| parent);
                    parent.append_text(tree.get(*text));
                }
                None => {}
            }
        }
        Ok(root)
    }
}

/// The bytes of the namespaces of the element and its attributes.
fn namespaces(element: ElementRef<'_>) -> usize {
    element.namespace().len() + element.attrs().map(|attr| attr.namespace.len()).sum::<usize>()
}

/// The element without its content.
fn shallow(element: ElementRef<'_>) -> Result<minidom::Element, MinidomError> {
    let mut shallow = minidom::Element::bare(element.name(), element.namespace());
    for attr in element.attrs() {
        let name = NcName::try_from(attr.name).map_err(|_| MinidomError::InvalidName)?;
        shallow.set_attr(Namespace::from(String::from(attr.namespace)), name, attr.value);
    }
    Ok(shallow)
}

impl TryFrom<&minidom::Element> for Element {
    type Error = MinidomError;

    fn try_from(element: &minidom::Element) -> Result<Self, MinidomError> {
        let mut tree = Tree::default();
        let root = open(&mut tree, element)?;
        let mut stack = Vec::from([(root, element.nodes())]);
        loop {
            let depth = stack.len();
            let Some((node, rest)) = stack.last_mut() else { return Ok(Element::from(tree)) };
            match rest.next() {
                Some(minidom::Node::Text(text)) => tree.push_text(text),
                Some(minidom::Node::Element(_)) if depth == MAX_DEPTH => {
                    return Err(MinidomError::TooDeep);
                }
                Some(minidom::Node::Element(child)) => {
                    let node = open(&mut tree, child)?;
                    stack.push((node, child.nodes()));
                }
                None => {
                    tree.close(*node);
                    stack.pop();
                }
            }
        }
    }
}

fn open(tree: &mut Tree, element: &minidom::Element) -> Result<u32, MinidomError> {
    let ns = element.ns();
    if !is_ncname(element.name()) || ns == XMLNS_NS {
        return Err(MinidomError::InvalidName);
    }
    let namespace = tree.intern(&ns);
    let name = tree.intern(element.name());
    let node = tree.push_element(Span::EMPTY, name, namespace);
    for ((ns, name), value) in element.attrs() {
        if *ns == *XMLNS_NS || (ns.is_none() && *name == *"xmlns") {
            return Err(MinidomError::InvalidName);
        }
        let attr = AttrNode {
            prefix: Span::EMPTY,
            name: tree.intern(name),
            namespace: tree.intern(ns),
            value: tree.intern(value),
        };
        tree.attrs.push(attr);
    }
    if let Some(head) = tree.head_mut(node) {
        head.attrs = index(element.attrs().len());
    }
    Ok(node)
}
