//! The flat form of an element: nodes in document order, and their strings as places in two texts: the exact bytes that the
//! element was read from, and what doesn't stand there as it is meant.

use alloc::string::String;
use alloc::vec::Vec;

use crate::ReadError;
use crate::critbit::{CritBit, Key};

/// A string of a tree: a piece of what it was read from, or of its pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    /// With `POOL` if it is in the pool.
    start: u32,
    len: u32,
}

/// Neither text is longer than 2 GiB; see `reader::MAX_BYTES`.
const POOL: u32 = 1 << 31;

impl Span {
    pub(crate) const EMPTY: Span = Span { start: 0, len: 0 };

    /// A piece of what the tree is read from.
    pub(crate) fn source(start: usize, end: usize) -> Span {
        Span::between(place(start), place(end))
    }

    /// The same.
    pub(crate) const fn between(start: u32, end: u32) -> Span {
        Span { start, len: end - start }
    }

    /// A piece of the pool, up to its end.
    pub(crate) fn pooled(start: usize, end: usize) -> Span {
        Span { start: index(start) | POOL, len: index(end - start) }
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.len == 0
    }

    pub(crate) const fn len(self) -> usize {
        self.len as usize
    }

    const fn is_pooled(self) -> bool {
        self.start & POOL != 0
    }

    pub(crate) const fn range(self) -> core::ops::Range<usize> {
        let start = (self.start & !POOL) as usize;
        start..start + self.len as usize
    }
}

/// The two texts of a tree that is being built: the source lies with whoever reads it.
#[derive(Clone, Copy)]
pub(crate) struct Texts<'a> {
    pub(crate) source: &'a [u8],
    pub(crate) pool: &'a str,
}

impl<'a> Texts<'a> {
    pub(crate) fn get(self, span: Span) -> &'a [u8] {
        let text = if span.is_pooled() { self.pool.as_bytes() } else { self.source };
        text.get(span.range()).unwrap_or_default()
    }
}

/// Appends to a pool.
pub(crate) fn intern(pool: &mut String, text: &str) -> Span {
    if text.is_empty() {
        return Span::EMPTY;
    }
    let start = pool.len();
    pool.push_str(text);
    Span::pooled(start, pool.len())
}

/// A position in what an element is read from, which `reader::MAX_BYTES` bounds.
pub(crate) fn place(position: usize) -> u32 {
    debug_assert!(position < POOL as usize);
    position as u32
}

/// Positions are half as wide as pointers, and less by a bit; `Reader` keeps its input far below this bound, see
/// `reader::MAX_BYTES`.
pub(crate) fn index(position: usize) -> u32 {
    let index = u32::try_from(position).ok().filter(|index| index & POOL == 0);
    index.expect("an element is smaller than 2 GiB")
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
    /// What the tree was read from: the exact bytes. Empty if it was built.
    pub(crate) source: String,
    /// What is meant differently from how it is written, and what was declared elsewhere or added later.
    pub(crate) pool: String,
    pub(crate) nodes: Vec<Node>,
    /// Those of one element stand together.
    pub(crate) attrs: Vec<AttrNode>,
    /// The last node is text that more text would continue.
    text_open: bool,
}

impl Tree {
    /// Bytes of memory that its parts take.
    pub(crate) fn memory(&self) -> usize {
        self.source.capacity()
            + self.pool.capacity()
            + self.nodes.capacity() * core::mem::size_of::<Node>()
            + self.attrs.capacity() * core::mem::size_of::<AttrNode>()
    }

    pub(crate) const fn new() -> Self {
        Tree {
            source: String::new(),
            pool: String::new(),
            nodes: Vec::new(),
            attrs: Vec::new(),
            text_open: false,
        }
    }

    pub(crate) fn get(&self, span: Span) -> &str {
        let text = if span.is_pooled() { &self.pool } else { &self.source };
        text.get(span.range()).unwrap_or_default()
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
    pub(crate) fn push_element(&mut self, prefix: Span, name: Span, namespace: Span) -> u32 {
        let node = index(self.nodes.len());
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

    /// Appends text to the last node if it is text that goes on, or else as a node.
    pub(crate) fn push_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        // The source of a tree that is complete is its own.
        let source = core::mem::take(&mut self.source);
        let pooled = self.pool_text(source.as_bytes());
        self.source = source;
        // It has been valid since it was read.
        debug_assert!(pooled.is_ok());
        self.pool.push_str(text);
        self.text_grows(text.len());
    }

    /// The same with a piece of the source from which the tree is being read.
    pub(crate) fn push_piece(&mut self, source: &[u8], piece: Span) -> Result<(), ReadError> {
        if !self.text_open {
            self.nodes.push(Node::Text(piece));
            self.text_open = true;
            return Ok(());
        }
        self.pool_text(source)?;
        push_valid(&mut self.pool, source, piece)?;
        self.text_grows(piece.len());
        Ok(())
    }

    /// The same with a character that does not stand in the source.
    pub(crate) fn push_char(&mut self, source: &[u8], c: char) -> Result<(), ReadError> {
        self.pool_text(source)?;
        self.pool.try_reserve(c.len_utf8())?;
        self.pool.push(c);
        self.text_grows(c.len_utf8());
        Ok(())
    }

    /// Makes the last node text that ends with the pool.
    fn pool_text(&mut self, source: &[u8]) -> Result<(), ReadError> {
        let end = self.pool.len();
        match self.nodes.last_mut() {
            Some(Node::Text(last)) if self.text_open => {
                if !last.is_pooled() {
                    push_valid(&mut self.pool, source, *last)?;
                    *last = Span::pooled(end, self.pool.len());
                } else if last.range().end != end {
                    // Something else has been put into the pool since.
                    self.pool.try_reserve(last.len())?;
                    self.pool.extend_from_within(last.range());
                    *last = Span::pooled(end, self.pool.len());
                }
            }
            _ => {
                self.nodes.push(Node::Text(Span::pooled(end, end)));
                self.text_open = true;
            }
        }
        Ok(())
    }

    /// The last node is text, and so many bytes have been put behind it.
    fn text_grows(&mut self, bytes: usize) {
        crate::work::looked_at(bytes);
        if let Some(Node::Text(last)) = self.nodes.last_mut() {
            *last = Span { start: last.start, len: last.len + index(bytes) };
        }
    }

    /// Appends a copy of the element `node` of `from`, with its content.
    pub(crate) fn push_copy(&mut self, from: &Tree, node: u32) {
        let base = index(self.nodes.len());
        // Those that share a namespace go on sharing it.
        let (mut copied, mut spans) = (CritBit::new(), Vec::<(Span, Span)>::new());
        let mut namespace = |tree: &mut Tree, span: Span| {
            let key = |span| Key(from.get(span).as_bytes(), b"");
            match copied.find(key(span), |at| key(spans[at as usize].0)) {
                Some(at) => spans[at as usize].1,
                None => {
                    copied.insert(key(span), index(spans.len()), |at| key(spans[at as usize].0));
                    let copy = tree.intern(from.get(span));
                    spans.push((span, copy));
                    copy
                }
            }
        };
        for source in node..from.head(node).end {
            let Some(Node::Element(head)) = from.nodes.get(source as usize) else {
                if let Some(Node::Text(span)) = from.nodes.get(source as usize) {
                    let span = self.intern(from.get(*span));
                    self.nodes.push(Node::Text(span));
                }
                continue;
            };
            let ns = namespace(self, head.namespace);
            let (prefix, name) = (self.intern(from.get(head.prefix)), self.intern(from.get(head.name)));
            let copy = self.push_element(prefix, name, ns);
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
        self.source.clear();
        self.pool.clear();
        self.nodes.clear();
        self.attrs.clear();
        self.text_open = false;
    }

    #[cfg(test)]
    pub(crate) fn footprint(&self) -> usize {
        self.source.capacity()
            + self.pool.capacity()
            + self.nodes.capacity() * size_of::<Node>()
            + self.attrs.capacity() * size_of::<AttrNode>()
    }

    /// Gives memory back that nothing is in.
    pub(crate) fn shrink(&mut self) {
        self.source.shrink_to(1024);
        self.pool.shrink_to(1024);
        self.nodes.shrink_to(16);
        self.attrs.shrink_to(16);
    }
}

/// Appends a piece of a source that may not be UTF-8.
pub(crate) fn push_valid(pool: &mut String, source: &[u8], piece: Span) -> Result<(), ReadError> {
    crate::work::looked_at(piece.len());
    let bytes = source.get(piece.range()).unwrap_or_default();
    let text = core::str::from_utf8(bytes).map_err(|_| ReadError::Encoding)?;
    pool.try_reserve(text.len())?;
    pool.push_str(text);
    Ok(())
}
