//! Which prefix stands for which namespace (Namespaces in XML section 6.1).
//!
//! A prefix is found in time that grows with its own length and not with the declarations in scope, and the default namespace
//! at once.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::critbit::{CritBit, Key};
use crate::tokenizer::RESERVED;
use crate::tree::{Span, Texts, Tree, intern};
use crate::{ReadError, XML_NS, XMLNS_NS};

/// The declarations in scope.
pub(crate) struct Scope {
    /// The declarations at level 0, which outlive the tree that they are read into.
    kept: Kept,
    /// Innermost last.
    bindings: Vec<Binding>,
    /// The innermost declaration of each prefix.
    by_prefix: CritBit,
    /// The innermost declaration of the default namespace.
    default: Option<u32>,
    /// That of level 0.
    header_default: Option<u32>,
    /// Where the namespace of `xml`, which nobody has to declare, stands in the tree.
    xml: InTree,
    /// Which tree is being built, counted.
    tree: u64,
}

/// The declarations of a stream header.
#[derive(Default)]
pub(crate) struct Kept {
    texts: String,
    /// Prefixes and namespaces.
    declared: Box<[(Span, Span)]>,
}

impl Kept {
    /// The default namespace; empty if there is none.
    pub(crate) fn default_namespace(&self) -> &str {
        let default = self.declared.iter().find(|(prefix, _)| prefix.is_empty());
        default.and_then(|(_, namespace)| self.texts.get(namespace.range())).unwrap_or_default()
    }
}

struct Binding {
    /// How many elements were open inside of which it was declared; 0 is the stream header.
    level: usize,
    prefix: Span,
    namespace: Span,
    /// Whether both stand in `kept` and not in the texts of the tree.
    is_kept: bool,
    /// The declaration of the same prefix that it hides.
    hides: Option<u32>,
    in_tree: InTree,
}

/// Where a namespace stands in a tree, if that tree is the one that is being built.
#[derive(Clone, Copy, Default)]
struct InTree {
    tree: u64,
    namespace: Span,
}

/// What a prefix stands for.
#[derive(Clone, Copy)]
pub(crate) enum Declared {
    /// No namespace: there is no default one.
    Nothing,
    /// The namespace of `xml`, whoever declares it again.
    Xml,
    /// That of a declaration.
    By(u32),
}

impl Scope {
    pub(crate) fn new() -> Self {
        Scope {
            kept: Kept::default(),
            bindings: Vec::new(),
            by_prefix: CritBit::new(),
            default: None,
            header_default: None,
            xml: InTree { tree: 0, namespace: Span::EMPTY },
            tree: 1,
        }
    }

    /// How many there are, `xml` among them.
    pub(crate) fn len(&self) -> usize {
        self.bindings.len() + 1
    }

    /// Declares a default namespace around all that is read.
    pub(crate) fn declare_content(&mut self, namespace: &str) {
        let namespace = intern(&mut self.kept.texts, namespace);
        self.kept.declared = [(Span::EMPTY, namespace)].into();
        self.push(Binding::kept(Span::EMPTY, namespace));
    }

    /// Takes a declaration of the element at `level`; the default namespace has an empty prefix.
    pub(crate) fn declare(
        &mut self,
        level: usize,
        prefix: Span,
        namespace: Span,
        texts: Texts<'_>,
    ) -> Result<(), ReadError> {
        let (name, uri) = (texts.get(prefix), texts.get(namespace));
        let hides = if name.is_empty() { self.default } else { self.find(name, texts) };
        if hides.and_then(|at| self.get(at)).is_some_and(|hidden| hidden.level == level) {
            return Err(ReadError::NotWellFormed("a namespace is declared twice in one start tag"));
        }
        // XML_NS and the prefix `xml` may only stand for each other, and then it is no news.
        let is_xml = name == b"xml";
        if is_xml != (uri == XML_NS.as_bytes()) || name == b"xmlns" || uri == XMLNS_NS.as_bytes() {
            return Err(RESERVED);
        }
        if uri.is_empty() && !name.is_empty() {
            return Err(ReadError::BadNamespace("a prefix is declared for no namespace"));
        }
        self.bindings.try_reserve(1)?;
        self.by_prefix.try_reserve(1)?;
        // Where it was declared, it stands.
        let in_tree = InTree { tree: self.tree, namespace };
        let at = self.push(Binding { level, prefix, namespace, is_kept: false, hides, in_tree });
        if !prefix.is_empty() {
            let (bindings, kept) = (&self.bindings, &*self.kept.texts);
            self.by_prefix.insert(Key(name, b""), at, |at| prefix_of(bindings, kept, at, texts));
        }
        Ok(())
    }

    fn push(&mut self, binding: Binding) -> u32 {
        // As many as there are attributes and levels, which are counted in an element of less than 2 GiB.
        let at = u32::try_from(self.bindings.len()).unwrap_or(u32::MAX);
        if binding.prefix.is_empty() {
            self.default = Some(at);
            if binding.level == 0 {
                self.header_default = Some(at);
            }
        }
        self.bindings.push(binding);
        at
    }

    fn get(&self, at: u32) -> Option<&Binding> {
        self.bindings.get(at as usize)
    }

    /// The innermost declaration of a prefix.
    fn find<'a>(&'a self, prefix: &'a [u8], texts: Texts<'a>) -> Option<u32> {
        self.by_prefix.find(Key(prefix, b""), |at| prefix_of(&self.bindings, &self.kept.texts, at, texts))
    }

    /// What a prefix stands for, the empty one that of an element without prefix.
    pub(crate) fn resolve(&self, prefix: Span, texts: Texts<'_>) -> Result<Declared, ReadError> {
        if prefix.is_empty() {
            return Ok(self.default.map_or(Declared::Nothing, Declared::By));
        }
        let prefix = texts.get(prefix);
        if prefix == b"xml" {
            return Ok(Declared::Xml);
        }
        let found = self.find(prefix, texts).map(Declared::By);
        found.ok_or(ReadError::BadNamespace("a prefix is not declared"))
    }

    /// The level of a declaration; `None` for `xml`, which is the same everywhere.
    pub(crate) fn level(&self, declared: Declared) -> Option<usize> {
        match declared {
            Declared::By(at) => self.get(at).map(|binding| binding.level),
            Declared::Nothing | Declared::Xml => None,
        }
    }

    pub(crate) fn namespace<'a>(&'a self, declared: Declared, texts: Texts<'a>) -> &'a [u8] {
        match declared {
            Declared::By(at) => {
                self.get(at).map_or(&[], |binding| binding.text(binding.namespace, &self.kept.texts, texts))
            }
            Declared::Nothing => &[],
            Declared::Xml => XML_NS.as_bytes(),
        }
    }

    /// The default namespace that the stream header declared.
    pub(crate) fn header_default(&self) -> &str {
        let binding = self.header_default.and_then(|at| self.get(at));
        let namespace = binding.and_then(|binding| self.kept.texts.get(binding.namespace.range()));
        namespace.unwrap_or_default()
    }

    /// Whether a declaration is that of the header's default namespace, or of the same.
    pub(crate) fn is_header_default(&self, declared: Declared, texts: Texts<'_>) -> bool {
        matches!(declared, Declared::By(at) if Some(at) == self.header_default)
            || self.namespace(declared, texts) == self.header_default().as_bytes()
    }

    /// The namespace for `tree`, in whose texts it is put once.
    pub(crate) fn intern(&mut self, tree: &mut Tree, declared: Declared) -> Result<Span, ReadError> {
        let (in_tree, kept) = match declared {
            Declared::Nothing => return Ok(Span::EMPTY),
            Declared::Xml => (&mut self.xml, None),
            Declared::By(at) => match self.bindings.get_mut(at as usize) {
                // All that isn't kept is of this tree, and stands there.
                Some(binding) => (&mut binding.in_tree, Some(binding.namespace)),
                None => return Ok(Span::EMPTY),
            },
        };
        if in_tree.tree != self.tree {
            let namespace = kept.map_or(XML_NS, |span| self.kept.texts.get(span.range()).unwrap_or_default());
            tree.pool.try_reserve(namespace.len())?;
            *in_tree = InTree { tree: self.tree, namespace: tree.intern(namespace) };
        }
        Ok(in_tree.namespace)
    }

    /// The element at `level` ends, and its declarations with it.
    pub(crate) fn leave(&mut self, level: usize, texts: Texts<'_>) {
        while let Some(binding) = self.bindings.pop_if(|binding| binding.level >= level) {
            if binding.prefix.is_empty() {
                self.default = binding.hides;
            } else {
                let prefix = binding.text(binding.prefix, &self.kept.texts, texts);
                self.by_prefix.take_back(Key(prefix, b""), binding.hides);
            }
        }
    }

    /// The tree that is complete is that of the header, whose declarations stay.
    pub(crate) fn keep(&mut self, header: &Tree) {
        let texts = &mut self.kept.texts;
        for binding in &mut self.bindings {
            binding.prefix = intern(texts, header.get(binding.prefix));
            binding.namespace = intern(texts, header.get(binding.namespace));
            binding.is_kept = true;
        }
        texts.shrink_to_fit();
        self.kept.declared =
            self.bindings.iter().map(|binding| (binding.prefix, binding.namespace)).collect();
        self.new_tree();
    }

    /// Hands out the declarations of the header, which are all that there are. Where they stood is still known: others have the same most times.
    pub(crate) fn rest(&mut self) -> Kept {
        core::mem::take(&mut self.kept)
    }

    /// Has the declarations of a header, and none beside them.
    pub(crate) fn wake(&mut self, kept: Kept) {
        let is_same =
            |(binding, declared): (&Binding, &(Span, Span))| (binding.prefix, binding.namespace) == *declared;
        // One prefix is found without a look at what it is.
        let are_same = self.bindings.len() == kept.declared.len()
            && !self.by_prefix.has_branches()
            && self.bindings.iter().zip(&kept.declared).all(is_same);
        if are_same {
            self.kept = kept;
            return self.new_tree();
        }
        self.bindings.clear();
        self.by_prefix.clear();
        (self.default, self.header_default) = (None, None);
        for &(prefix, namespace) in &kept.declared {
            let at = self.push(Binding::kept(prefix, namespace));
            if !prefix.is_empty() {
                let texts = Texts { source: &[], pool: &kept.texts };
                let bindings = &self.bindings;
                let name = Key(texts.get(prefix), b"");
                self.by_prefix.insert(name, at, |at| prefix_of(bindings, &kept.texts, at, texts));
            }
        }
        self.kept = kept;
        self.new_tree();
    }

    /// Gives memory back that nothing is in.
    pub(crate) fn shrink(&mut self) {
        self.bindings.shrink_to(4);
        self.by_prefix.shrink();
    }

    #[cfg(test)]
    pub(crate) fn footprint(&self) -> usize {
        self.kept.texts.capacity()
            + self.bindings.capacity() * size_of::<Binding>()
            + self.by_prefix.footprint()
    }

    /// From now on another tree is built.
    pub(crate) fn new_tree(&mut self) {
        self.tree += 1;
    }
}

impl Binding {
    /// One of the header.
    const fn kept(prefix: Span, namespace: Span) -> Binding {
        let in_tree = InTree { tree: 0, namespace: Span::EMPTY };
        Binding { level: 0, prefix, namespace, is_kept: true, hides: None, in_tree }
    }

    fn text<'a>(&self, span: Span, kept: &'a str, texts: Texts<'a>) -> &'a [u8] {
        if self.is_kept { Texts { source: &[], pool: kept }.get(span) } else { texts.get(span) }
    }
}

fn prefix_of<'a>(bindings: &[Binding], kept: &'a str, at: u32, texts: Texts<'a>) -> Key<'a> {
    Key(bindings.get(at as usize).map_or(&[], |binding| binding.text(binding.prefix, kept, texts)), b"")
}
