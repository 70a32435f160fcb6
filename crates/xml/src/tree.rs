//! The flat form of an element: nodes in document order, strings in one pool.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// A piece of the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    pub(crate) const EMPTY: Span = Span { start: 0, len: 0 };

    pub(crate) fn of(self, pool: &str) -> &str {
        let start = self.start as usize;
        pool.get(start..start + self.len as usize).unwrap_or_default()
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// Appends to a pool.
pub(crate) fn intern(pool: &mut String, text: &str) -> Span {
    if text.is_empty() {
        return Span::EMPTY;
    }
    let span = Span { start: index(pool.len()), len: index(text.len()) };
    pool.push_str(text);
    span
}

/// Positions are half as wide as pointers; `Reader` keeps its input far below this bound, see `reader::MAX_BYTES`.
pub(crate) fn index(position: usize) -> u32 {
    u32::try_from(position).expect("an element is smaller than 4 GiB")
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    Element(Head),
    Text(Span),
}

/// An element but for its content, which is what stands between it and `end`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    pub(crate) prefix: Span,
    pub(crate) name: Span,
    pub(crate) namespace: Span,
    /// Its first attribute.
    pub(crate) attr: u32,
    pub(crate) attrs: u32,
    /// The node after its last descendant.
    pub(crate) end: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct AttrNode {
    pub(crate) prefix: Span,
    pub(crate) name: Span,
    pub(crate) namespace: Span,
    pub(crate) value: Span,
}

#[derive(Clone, Default)]
pub(crate) struct Tree {
    pub(crate) pool: String,
    pub(crate) nodes: Vec<Node>,
    /// Those of one element stand together.
    pub(crate) attrs: Vec<AttrNode>,
    /// The last node is text that more text would continue.
    text_open: bool,
}

impl Tree {
    pub(crate) fn get(&self, span: Span) -> &str {
        span.of(&self.pool)
    }

    pub(crate) fn intern(&mut self, text: &str) -> Span {
        intern(&mut self.pool, text)
    }

    /// The element at `node`; a blank one if there is none.
    pub(crate) fn head(&self, node: u32) -> Head {
        match self.nodes.get(node as usize) {
            Some(Node::Element(head)) => *head,
            _ => Head { end: node.saturating_add(1), ..Head::default() },
        }
    }

    pub(crate) fn head_mut(&mut self, node: u32) -> Option<&mut Head> {
        match self.nodes.get_mut(node as usize) {
            Some(Node::Element(head)) => Some(head),
            _ => None,
        }
    }

    pub(crate) fn attrs(&self, node: u32) -> &[AttrNode] {
        let head = self.head(node);
        let first = head.attr as usize;
        self.attrs.get(first..first + head.attrs as usize).unwrap_or_default()
    }

    /// Appends an element without content; the next attributes are its own.
    pub(crate) fn push_element(&mut self, prefix: &str, name: &str, namespace: Span) -> u32 {
        let node = index(self.nodes.len());
        let (prefix, name) = (self.intern(prefix), self.intern(name));
        let attr = index(self.attrs.len());
        self.nodes.push(Node::Element(Head { prefix, name, namespace, attr, attrs: 0, end: node + 1 }));
        self.text_open = false;
        node
    }

    /// Makes everything that was appended after `node` its content.
    pub(crate) fn close(&mut self, node: u32) {
        let end = index(self.nodes.len());
        if let Some(head) = self.head_mut(node) {
            head.end = end;
        }
        self.text_open = false;
    }

    /// Whether `push_text` would begin a node.
    pub(crate) const fn text_begins(&self) -> bool {
        !self.text_open
    }

    pub(crate) fn push_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let end = self.pool.len();
        match self.nodes.last_mut() {
            Some(Node::Text(last)) if self.text_open => {
                // Something else may have been put into the pool since.
                if last.start as usize + last.len as usize != end {
                    let start = last.start as usize;
                    self.pool.extend_from_within(start..start + last.len as usize);
                    last.start = index(end);
                }
                self.pool.push_str(text);
                last.len = index(self.pool.len()) - last.start;
            }
            _ => {
                let span = self.intern(text);
                self.nodes.push(Node::Text(span));
                self.text_open = true;
            }
        }
    }

    /// Appends a copy of the element `node` of `from`, with its content.
    pub(crate) fn push_copy(&mut self, from: &Tree, node: u32) {
        let base = index(self.nodes.len());
        // Those that share a namespace go on sharing it.
        let mut copied = BTreeMap::new();
        let mut namespace =
            |tree: &mut Tree, span: Span| *copied.entry(span).or_insert_with(|| tree.intern(from.get(span)));
        for source in node..from.head(node).end {
            let Some(Node::Element(head)) = from.nodes.get(source as usize) else {
                if let Some(Node::Text(span)) = from.nodes.get(source as usize) {
                    let span = self.intern(from.get(*span));
                    self.nodes.push(Node::Text(span));
                }
                continue;
            };
            let ns = namespace(self, head.namespace);
            let copy = self.push_element(from.get(head.prefix), from.get(head.name), ns);
            for attr in from.attrs(source) {
                let attr = AttrNode {
                    prefix: self.intern(from.get(attr.prefix)),
                    name: self.intern(from.get(attr.name)),
                    namespace: namespace(self, attr.namespace),
                    value: self.intern(from.get(attr.value)),
                };
                self.attrs.push(attr);
            }
            if let Some(new) = self.head_mut(copy) {
                new.attrs = head.attrs;
                new.end = base + (head.end - node);
            }
        }
        self.text_open = false;
    }

    /// Drops everything but the start tag of the first element.
    pub(crate) fn drop_content(&mut self) {
        let attrs = self.head(0).attrs as usize;
        self.nodes.truncate(1);
        self.attrs.truncate(attrs);
        if let Some(root) = self.head_mut(0) {
            root.end = 1;
        }
        self.text_open = false;
    }

    pub(crate) fn clear(&mut self) {
        self.pool.clear();
        self.nodes.clear();
        self.attrs.clear();
        self.text_open = false;
    }

    #[cfg(test)]
    pub(crate) fn footprint(&self) -> usize {
        self.pool.capacity()
            + self.nodes.capacity() * size_of::<Node>()
            + self.attrs.capacity() * size_of::<AttrNode>()
    }

    /// Gives memory back that nothing is in.
    pub(crate) fn shrink(&mut self) {
        self.pool.shrink_to(1024);
        self.nodes.shrink_to(16);
        self.attrs.shrink_to(16);
    }
}
