//! Trees to bytes, in a loop.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

use smallvec::SmallVec;

use crate::tree::{Node, Tree};
use crate::{XML_NS, escape_attr, escape_text};

/// Elements never get a prefix of their own: each says `xmlns` where its namespace is not that of the element around it. So
/// a namespace that was read once, with a prefix, may be written a thousand times: `room` is for how many bytes there is
/// any. It stops at the first element past that, and says whether all is there.
pub(crate) fn write_nodes<'a>(
    tree: &'a Tree,
    range: Range<u32>,
    out: &mut Vec<u8>,
    default_ns: &'a str,
    room: usize,
) -> bool {
    let end = out.len().saturating_add(room);
    let mut default = default_ns;
    // Open elements, each with the default namespace around it.
    let mut open: SmallVec<[(u32, &str); 16]> = SmallVec::new();
    for at in range.start..=range.end {
        while let Some(&(node, outer)) = open.last()
            && tree.head(node).end <= at
        {
            out.extend_from_slice(b"</");
            write_name(tree, node, out);
            out.push(b'>');
            default = outer;
            open.pop();
        }
        if out.len() > end {
            return false;
        }
        if at == range.end {
            break;
        }
        match tree.nodes.get(at as usize) {
            Some(Node::Text(text)) => escape_text(tree.get(*text), out),
            Some(Node::Element(head)) => {
                out.push(b'<');
                write_name(tree, at, out);
                let outer = default;
                let ns = tree.get(head.namespace);
                if ns != default && ns != XML_NS {
                    write_attr(out, &["xmlns"], ns);
                    default = ns;
                }
                write_attrs(tree, at, out);
                if head.end == at + 1 {
                    out.extend_from_slice(b"/>");
                    default = outer;
                } else {
                    out.push(b'>');
                    open.push((at, outer));
                }
            }
            None => {}
        }
    }
    true
}

fn write_name(tree: &Tree, node: u32, out: &mut Vec<u8>) {
    let head = tree.head(node);
    if tree.get(head.namespace) == XML_NS {
        // The one namespace that can't be the default (Namespaces in XML section 3).
        out.extend_from_slice(b"xml:");
    }
    out.extend_from_slice(tree.get(head.name).as_bytes());
}

fn write_attrs(tree: &Tree, node: u32, out: &mut Vec<u8>) {
    // Namespaces of attributes, each with the prefix declared for it on this start tag.
    let mut declared: SmallVec<[(&str, Cow<'_, str>); 2]> = SmallVec::new();
    for attr in tree.attrs(node) {
        let (ns, name, value) = (tree.get(attr.namespace), tree.get(attr.name), tree.get(attr.value));
        match ns {
            "" => write_attr(out, &[name], value),
            XML_NS => write_attr(out, &["xml:", name], value),
            _ => {
                let known = declared.iter().position(|(other, _)| *other == ns).unwrap_or_else(|| {
                    let prefix = free_prefix(tree.get(attr.prefix), &declared);
                    write_attr(out, &["xmlns:", &prefix], ns);
                    declared.push((ns, prefix));
                    declared.len() - 1
                });
                write_attr(out, &[&declared[known].1, ":", name], value);
            }
        }
    }
}

/// The prefix that was read, or another if that one is taken.
fn free_prefix<'a>(read: &'a str, declared: &[(&str, Cow<'_, str>)]) -> Cow<'a, str> {
    let free = |prefix: &str| declared.iter().all(|(_, taken)| taken != prefix);
    if !read.is_empty() && free(read) {
        return Cow::Borrowed(read);
    }
    // One of these is free: there are more of them than of declared ones.
    let mut made = (0..=declared.len()).map(|n| format!("ns{n}"));
    Cow::Owned(made.find(|prefix| free(prefix)).unwrap_or_default())
}

pub(crate) fn write_attr(out: &mut Vec<u8>, name: &[&str], value: &str) {
    out.push(b' ');
    for part in name {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b"='");
    escape_attr(value, out);
    out.push(b'\'');
}
