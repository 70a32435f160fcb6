//! Events to trees, with namespaces resolved and limits kept.

use alloc::vec::Vec;

use balcony_machine::XmlLimits;

use crate::ReadError;
use crate::scope::Scope;
use crate::tree::{AttrNode, Span, Tree, index};

/// Builds the header first and then one top-level element after the other.
pub(crate) struct Builder {
    tree: Tree,
    scope: Scope,
    /// The open elements of the tree.
    open: Vec<u32>,
    /// 1 once the header is complete: the level of top-level elements.
    base: usize,
    /// Attributes and declarations of the start tag that is being read.
    attributes: usize,
    /// The content of the tree's root depends on declarations outside of that content.
    borrows: bool,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Builder {
            tree: Tree::default(),
            scope: Scope::new(),
            open: Vec::new(),
            base: 0,
            attributes: 0,
            borrows: false,
        }
    }

    /// A builder of top-level elements in a stream without a header, whose content namespace is `content`.
    pub(crate) fn within(content: &str) -> Self {
        let mut builder = Builder::new();
        // A namespace of ours is a valid one.
        let _ = builder.scope.declare(0, "", content);
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

    /// Hands out the header's tree. What comes next are top-level elements.
    pub(crate) fn finish_header(&mut self) -> Tree {
        let mut header = core::mem::take(&mut self.tree);
        header.shrink();
        self.open.clear();
        self.base = 1;
        self.scope.new_tree();
        header
    }

    /// The default namespace that the header declared.
    pub(crate) fn content_namespace(&self) -> &str {
        self.scope.header_default()
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
    pub(crate) fn drop_content(&mut self) {
        self.tree.drop_content();
        self.open.truncate(1);
        self.borrows = false;
        self.scope.leave(self.base + 1);
    }

    pub(crate) fn open(&mut self, prefix: &str, name: &str, limits: &XmlLimits) -> Result<(), ReadError> {
        if self.depth() >= limits.depth {
            return Err(ReadError::TooDeep);
        }
        self.count_node(limits)?;
        self.attributes = 0;
        let node = self.tree.push_element(prefix, name, Span::EMPTY);
        self.open.push(node);
        Ok(())
    }

    pub(crate) fn attribute(
        &mut self,
        prefix: &str,
        name: &str,
        value: &str,
        limits: &XmlLimits,
    ) -> Result<(), ReadError> {
        self.attributes += 1;
        // Looking a prefix up walks the scope, so that has a bound too: room for one element with as many declarations
        // as it may have, and for one declaration on every level.
        if self.attributes > limits.attributes
            || self.scope.len() > limits.attributes.saturating_add(limits.depth)
        {
            return Err(ReadError::TooManyAttributes);
        }
        match (prefix, name) {
            ("", "xmlns") => self.scope.declare(self.level(), "", value),
            ("xmlns", prefix) => self.scope.declare(self.level(), prefix, value),
            _ => {
                let tree = &mut self.tree;
                let (prefix, name, value) = (tree.intern(prefix), tree.intern(name), tree.intern(value));
                tree.attrs.push(AttrNode { prefix, name, namespace: Span::EMPTY, value });
                Ok(())
            }
        }
    }

    /// The start tag is complete: its declarations are known, so its prefixes can be resolved.
    pub(crate) fn opened(&mut self) -> Result<(), ReadError> {
        let Some(&node) = self.open.last() else { return Ok(()) };
        let head = self.tree.head(node);
        let namespace = self.namespace(head.prefix)?;
        let count = index(self.tree.attrs.len()) - head.attr;
        if let Some(head) = self.tree.head_mut(node) {
            head.namespace = namespace;
            head.attrs = count;
        }
        let first = head.attr as usize;
        for at in first..self.tree.attrs.len() {
            let prefix = self.tree.attrs[at].prefix;
            // A default namespace is not for attributes.
            if !prefix.is_empty() {
                self.tree.attrs[at].namespace = self.namespace(prefix)?;
            }
        }
        self.refuse_duplicates(first)
    }

    /// Quadratic, in at most `limits.attributes`.
    fn refuse_duplicates(&self, first: usize) -> Result<(), ReadError> {
        let tree = &self.tree;
        for (at, attr) in tree.attrs.iter().enumerate().skip(first) {
            let same = |other: &&AttrNode| {
                tree.get(other.name) == tree.get(attr.name)
                    && tree.get(other.namespace) == tree.get(attr.namespace)
            };
            if let Some(other) = tree.attrs[first..at].iter().find(same) {
                return Err(if tree.get(other.prefix) == tree.get(attr.prefix) {
                    ReadError::NotWellFormed("an attribute stands twice in one start tag")
                } else {
                    ReadError::BadNamespace("an attribute stands twice in one start tag, with two prefixes")
                });
            }
        }
        Ok(())
    }

    /// The namespace for a prefix that stands in the tree, noting where it comes from.
    fn namespace(&mut self, prefix: Span) -> Result<Span, ReadError> {
        let prefix = self.tree.get(prefix);
        let declaration = self.scope.resolve(prefix)?;
        // The root may borrow; its content is what must stand on its own.
        if self.depth() > 1 && !self.borrows {
            let level = declaration.and_then(|at| self.scope.level(at));
            let outside = level.is_some_and(|level| level <= self.base);
            let as_expected =
                prefix.is_empty() && self.scope.namespace(declaration) == self.scope.header_default();
            self.borrows = outside && !as_expected;
        }
        Ok(self.scope.intern(&mut self.tree, declaration))
    }

    pub(crate) fn text(&mut self, text: &str, limits: &XmlLimits) -> Result<(), ReadError> {
        if self.tree.text_begins() {
            self.count_node(limits)?;
        }
        self.tree.push_text(text);
        Ok(())
    }

    /// The innermost open element ends.
    pub(crate) fn close(&mut self) {
        let level = self.level();
        if let Some(node) = self.open.pop() {
            self.tree.close(node);
            self.scope.leave(level);
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
        self.tree.footprint() + self.scope.footprint() + self.open.capacity() * size_of::<u32>()
    }

    /// Gives memory back that nothing is in.
    pub(crate) fn shrink(&mut self) {
        self.tree.shrink();
        self.scope.shrink();
        self.open.shrink_to(16);
    }
}
