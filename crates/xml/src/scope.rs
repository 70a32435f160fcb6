//! Which prefix stands for which namespace (Namespaces in XML section 6.1).

use alloc::string::String;
use alloc::vec::Vec;

use crate::tree::{Span, Tree, intern};
use crate::{ReadError, XML_NS, XMLNS_NS};

/// The declarations in scope, innermost last.
pub(crate) struct Scope {
    pool: String,
    bindings: Vec<Binding>,
}

struct Binding {
    /// How many elements were open inside of which it was declared; 0 is the stream header.
    level: usize,
    prefix: Span,
    /// Of the prefix: a look-up passes all declarations that are in scope, and seldom has to compare more than this.
    hash: u32,
    namespace: Span,
    /// Where its namespace stands in the pool of the tree that is being built.
    in_tree: Option<Span>,
    /// Length of the pool without it.
    mark: usize,
}

impl Scope {
    pub(crate) fn new() -> Self {
        let mut pool = String::new();
        let (prefix, namespace) = (intern(&mut pool, "xml"), intern(&mut pool, XML_NS));
        let mark = pool.len();
        // Declared without a declaration. It stays below all levels: `leave` never gets to it.
        Scope {
            pool,
            bindings: Vec::from([Binding {
                level: 0,
                hash: hash("xml"),
                prefix,
                namespace,
                in_tree: None,
                mark,
            }]),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Takes a declaration of the element at `level`; the default namespace has an empty prefix.
    pub(crate) fn declare(&mut self, level: usize, prefix: &str, namespace: &str) -> Result<(), ReadError> {
        let mut own = self.bindings.iter().skip(1).rev().take_while(|binding| binding.level == level);
        if own.any(|binding| binding.prefix.of(&self.pool) == prefix) {
            return Err(ReadError::NotWellFormed("a namespace is declared twice in one start tag"));
        }
        // XML_NS and the prefix `xml` may only stand for each other, and then it is no news.
        if (prefix == "xml") != (namespace == XML_NS) || prefix == "xmlns" || namespace == XMLNS_NS {
            return Err(ReadError::BadNamespace("a reserved prefix or namespace is declared"));
        }
        if namespace.is_empty() && !prefix.is_empty() {
            return Err(ReadError::BadNamespace("a prefix is declared for no namespace"));
        }
        let mark = self.pool.len();
        let hash = hash(prefix);
        let (prefix, namespace) = (intern(&mut self.pool, prefix), intern(&mut self.pool, namespace));
        self.bindings.push(Binding { level, prefix, hash, namespace, in_tree: None, mark });
        Ok(())
    }

    /// Finds the declaration of a prefix, the empty one for an element without prefix; `None` is no namespace.
    pub(crate) fn resolve(&self, prefix: &str) -> Result<Option<usize>, ReadError> {
        let hash = hash(prefix);
        let is_it = |binding: &Binding| binding.hash == hash && binding.prefix.of(&self.pool) == prefix;
        match self.bindings.iter().rposition(is_it) {
            None if !prefix.is_empty() => Err(ReadError::BadNamespace("a prefix is not declared")),
            found => Ok(found),
        }
    }

    /// The level of a declaration; `None` for `xml`, which is the same everywhere, whoever declares it again.
    pub(crate) fn level(&self, declaration: usize) -> Option<usize> {
        let binding = self.bindings.get(declaration)?;
        (binding.prefix.of(&self.pool) != "xml").then_some(binding.level)
    }

    pub(crate) fn namespace(&self, declaration: Option<usize>) -> &str {
        let binding = declaration.and_then(|at| self.bindings.get(at));
        binding.map_or("", |binding| binding.namespace.of(&self.pool))
    }

    /// The default namespace that the stream header declared.
    pub(crate) fn header_default(&self) -> &str {
        let mut header = self.bindings.iter().take_while(|binding| binding.level == 0);
        header
            .find(|binding| binding.prefix.is_empty())
            .map_or("", |binding| binding.namespace.of(&self.pool))
    }

    /// The namespace for `tree`, in whose pool it is put once.
    pub(crate) fn intern(&mut self, tree: &mut Tree, declaration: Option<usize>) -> Span {
        let Some(binding) = declaration.and_then(|at| self.bindings.get_mut(at)) else { return Span::EMPTY };
        *binding.in_tree.get_or_insert_with(|| tree.intern(binding.namespace.of(&self.pool)))
    }

    /// The element at `level` ends, and its declarations with it.
    pub(crate) fn leave(&mut self, level: usize) {
        while let Some(binding) = self.bindings.pop_if(|binding| binding.level >= level) {
            self.pool.truncate(binding.mark);
        }
    }

    /// Gives memory back that nothing is in.
    pub(crate) fn shrink(&mut self) {
        self.pool.shrink_to(256);
        self.bindings.shrink_to(4);
    }

    #[cfg(test)]
    pub(crate) fn footprint(&self) -> usize {
        self.pool.capacity() + self.bindings.capacity() * size_of::<Binding>()
    }

    /// From now on another tree is built.
    pub(crate) fn new_tree(&mut self) {
        for binding in &mut self.bindings {
            binding.in_tree = None;
        }
    }
}

/// FNV-1a. Who makes two of them alike makes a look-up slower by a constant factor, no more.
fn hash(prefix: &str) -> u32 {
    prefix.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
