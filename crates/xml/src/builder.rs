//! Events to trees, with namespaces resolved and limits kept.

use alloc::boxed::Box;

use balcony_machine::XmlLimits;
use smallvec::SmallVec;

use crate::ReadError;
use crate::critbit::{CritBit, Key};
use crate::scope::{Declared, Kept, Scope};
use crate::tokenizer::{LEVELS, QName};
use crate::tree::{AttrNode, Span, Texts, Tree, index};

/// Builds the header first and then one top-level element after the other.
pub(crate) struct Builder {
    tree: Tree,
    scope: Scope,
    /// The open elements of the tree.
    open: SmallVec<[u32; LEVELS]>,
    /// 1 once the header is complete: the level of top-level elements.
    base: usize,
    /// Attributes and declarations of the start tag that is being read.
    attributes: usize,
    /// What the owner says that the content namespace is, where the header declares none.
    pub(crate) content: Option<Box<str>>,
    /// The content of the tree's root depends on declarations outside of that content.
    borrows: bool,
    /// The attributes of an element that has many.
    seen: CritBit,
}

/// So many attributes are compared each with each; more are looked up.
const FEW: usize = 8;

/// Things are built from pieces of `source`: what has been read of the element, which the tree gets when it is complete.
impl Builder {
    pub(crate) fn new() -> Self {
        Builder {
            tree: Tree::new(),
            scope: Scope::new(),
            open: SmallVec::new(),
            base: 0,
            attributes: 0,
            content: None,
            borrows: false,
            seen: CritBit::new(),
        }
    }

    /// A builder of top-level elements where none is around them, and the default namespace is `content`.
    pub(crate) fn within(content: &str) -> Self {
        let mut builder = Builder::new();
        if !content.is_empty() {
            builder.scope.declare_content(content);
        }
        builder.base = 1;
        builder
    }

    /// Open elements of the tree.
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// Whether the content of the element needs declarations from outside of it, other than the default namespace that
    /// the header declared.
    pub(crate) fn borrows(&self) -> bool {
        self.borrows
    }

    /// The tree is that of the header, and complete. What comes next are top-level elements.
    pub(crate) fn finish_header(&mut self) {
        self.scope.keep(&self.tree);
        self.open.clear();
        self.base = 1;
    }

    /// Hands out what the header declared.
    pub(crate) fn rest(&mut self) -> Kept {
        self.scope.rest()
    }

    /// What comes next are top-level elements behind a header that declared this.
    pub(crate) fn wake(&mut self, kept: Kept, content: Option<Box<str>>) {
        self.scope.wake(kept);
        self.content = content;
        self.base = 1;
    }

    /// The default namespace that the header declared, or what was said instead.
    pub(crate) fn content_namespace(&self) -> &str {
        self.content.as_deref().unwrap_or_else(|| self.scope.header_default())
    }

    pub(crate) fn set_content_namespace(&mut self, content: &str) {
        self.content = Some(content.into());
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(crate) fn tree_mut(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// Drops the tree for the next one.
    pub(crate) fn clear(&mut self) {
        self.tree.clear();
        self.open.clear();
        self.borrows = false;
        self.scope.new_tree();
    }

    /// Drops everything but the start tag of the root.
    pub(crate) fn drop_content(&mut self, source: &[u8]) {
        self.tree.drop_content();
        self.open.truncate(1);
        self.borrows = false;
        self.scope.leave(self.base + 1, Texts { source, pool: &self.tree.pool });
    }

    pub(crate) fn open(&mut self, name: QName, limits: &XmlLimits) -> Result<(), ReadError> {
        if self.depth() >= limits.depth {
            return Err(ReadError::TooDeep);
        }
        self.count_node(limits)?;
        self.tree.nodes.try_reserve(1)?;
        self.open.try_reserve(1)?;
        self.attributes = 0;
        let node = self.tree.push_element(name.prefix(), name.local(), Span::EMPTY);
        self.open.push(node);
        Ok(())
    }

    pub(crate) fn attribute(
        &mut self,
        source: &[u8],
        name: QName,
        value: Span,
        limits: &XmlLimits,
    ) -> Result<(), ReadError> {
        self.attributes += 1;
        // What is in scope is memory, and time to look a prefix up: room for one element with as many declarations as it may
        // have, and for one declaration on every level.
        if self.attributes > limits.attributes
            || self.scope.len() > limits.attributes.saturating_add(limits.depth)
        {
            return Err(ReadError::TooManyAttributes);
        }
        let texts = Texts { source, pool: &self.tree.pool };
        let (prefix, name) = (name.prefix(), name.local());
        const XMLNS: &[u8] = b"xmlns";
        let level = self.level();
        if prefix.is_empty() && name.len() == XMLNS.len() && texts.get(name) == XMLNS {
            self.scope.declare(level, Span::EMPTY, value, texts)
        } else if prefix.len() == XMLNS.len() && texts.get(prefix) == XMLNS {
            self.scope.declare(level, name, value, texts)
        } else {
            self.tree.attrs.try_reserve(1)?;
            self.tree.attrs.push(AttrNode { prefix, name, namespace: Span::EMPTY, value });
            Ok(())
        }
    }

    /// The start tag is complete: its declarations are known, so its prefixes can be resolved.
    pub(crate) fn opened(&mut self, source: &[u8]) -> Result<(), ReadError> {
        let Some(&node) = self.open.last() else { return Ok(()) };
        let head = self.tree.head(node);
        let namespace = self.namespace(source, head.prefix)?;
        let count = index(self.tree.attrs.len()) - head.attr;
        if let Some(head) = self.tree.head_mut(node) {
            head.namespace = namespace;
            head.attrs = count;
        }
        if count == 0 {
            return Ok(());
        }
        let first = head.attr as usize;
        for at in first..self.tree.attrs.len() {
            let prefix = self.tree.attrs[at].prefix;
            // A default namespace is not for attributes.
            if !prefix.is_empty() {
                self.tree.attrs[at].namespace = self.namespace(source, prefix)?;
            }
        }
        self.refuse_duplicates(source, first)
    }

    /// No two attributes of the element whose first is `first` may mean the same (Namespaces in XML section 6.3).
    fn refuse_duplicates(&mut self, source: &[u8], first: usize) -> Result<(), ReadError> {
        let texts = Texts { source, pool: &self.tree.pool };
        let attrs = &self.tree.attrs[first..];
        let twice = if attrs.len() <= FEW {
            attrs.iter().enumerate().find_map(|(at, attr)| {
                let same = |other: &&AttrNode| {
                    other.name.len() == attr.name.len()
                        && texts.get(other.name) == texts.get(attr.name)
                        && texts.get(other.namespace) == texts.get(attr.namespace)
                };
                Some((attrs[..at].iter().find(same)?, attr))
            })
        } else {
            let key = |attr: &AttrNode| Key(texts.get(attr.name), texts.get(attr.namespace));
            self.seen.clear();
            self.seen.try_reserve(attrs.len())?;
            attrs.iter().zip(0..).find_map(|(attr, at)| {
                let before = self.seen.insert(key(attr), at, |at| key(&attrs[at as usize]))?;
                Some((&attrs[before as usize], attr))
            })
        };
        match twice {
            None => Ok(()),
            Some((one, other)) if texts.get(one.prefix) == texts.get(other.prefix) => {
                Err(ReadError::NotWellFormed("an attribute stands twice in one start tag"))
            }
            Some(_) => {
                Err(ReadError::BadNamespace("an attribute stands twice in one start tag, with two prefixes"))
            }
        }
    }

    /// The namespace for a prefix, noting where it comes from.
    fn namespace(&mut self, source: &[u8], prefix: Span) -> Result<Span, ReadError> {
        let texts = Texts { source, pool: &self.tree.pool };
        let declared = self.scope.resolve(prefix, texts)?;
        // The root may borrow; its content is what must stand on its own.
        if self.depth() > 1
            && !self.borrows
            && self.scope.level(declared).is_some_and(|level| level <= self.base)
        {
            self.borrows = !prefix.is_empty() || !self.is_content(source, declared);
        }
        self.scope.intern(&mut self.tree, declared)
    }

    /// Whether a default namespace is the content namespace.
    fn is_content(&self, source: &[u8], declared: Declared) -> bool {
        let texts = Texts { source, pool: &self.tree.pool };
        match &self.content {
            None => self.scope.is_header_default(declared, texts),
            Some(content) => self.scope.namespace(declared, texts) == content.as_bytes(),
        }
    }

    pub(crate) fn text(&mut self, source: &[u8], piece: Span, limits: &XmlLimits) -> Result<(), ReadError> {
        if self.tree.text_begins() {
            self.count_node(limits)?;
            self.tree.nodes.try_reserve(1)?;
        }
        self.tree.push_piece(source, piece)
    }

    pub(crate) fn char(&mut self, source: &[u8], c: char, limits: &XmlLimits) -> Result<(), ReadError> {
        if self.tree.text_begins() {
            self.count_node(limits)?;
            self.tree.nodes.try_reserve(1)?;
        }
        self.tree.push_char(source, c)
    }

    /// The innermost open element ends.
    pub(crate) fn close(&mut self, source: &[u8]) {
        let level = self.level();
        if let Some(node) = self.open.pop() {
            self.tree.close(node);
            self.scope.leave(level, Texts { source, pool: &self.tree.pool });
        }
    }

    fn count_node(&self, limits: &XmlLimits) -> Result<(), ReadError> {
        if self.tree.nodes.len() < limits.nodes { Ok(()) } else { Err(ReadError::TooManyNodes) }
    }

    /// Of the innermost open element; the header's is 0.
    fn level(&self) -> usize {
        (self.base + self.depth()).saturating_sub(1)
    }

    #[cfg(test)]
    pub(crate) fn footprint(&self) -> usize {
        self.tree.footprint()
            + self.scope.footprint()
            + (self.open.capacity() - LEVELS) * size_of::<u32>()
            + self.seen.footprint()
    }

    /// Gives memory back that nothing is in.
    pub(crate) fn shrink(&mut self) {
        self.tree.shrink();
        self.scope.shrink();
        self.open.shrink_to_fit();
        self.seen.clear();
        self.seen.shrink();
    }
}
