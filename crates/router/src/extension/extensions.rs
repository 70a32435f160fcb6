//! Which extensions a router has, in which order, and what they announce, answer and keep. It is put together once, before the
//! router.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_stanza::IqType;

use super::clash::Claims;
use super::tables::Tables;
use super::{Addressee, Clash, Extension};
use crate::collections::{OWED, SESSIONS, SESSIONS_VERSION, UNDELIVERED};

/// The most extensions that a router has.
pub(super) const MOST: usize = 64;
/// Whose the router's own collections are: no extension's.
const NOBODY: u8 = u8::MAX;

/// The extensions of a router, with all that they have registered. Clones are the same.
#[derive(Clone)]
pub struct Extensions {
    names: Arc<[&'static str]>,
    tables: Arc<Tables>,
}

/// Something that an extension keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Its name.
    pub name: Cow<'static, str>,
    /// The version in which it is written.
    pub version: u8,
    /// What it is.
    pub kind: Kind,
}

/// What a collection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Documents, found by their keys.
    Documents,
    /// A log.
    Log,
}

/// A request that an extension answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// To whom it is addressed.
    pub of: Addressee,
    /// Get or set.
    pub kind: IqType,
    /// The name of its element.
    pub name: &'static str,
    /// The namespace of its element.
    pub namespace: &'static str,
}

impl Extensions {
    /// None.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { extensions: Vec::new(), always: false, too_many: None }
    }

    /// Their names, in the order in which they were added.
    #[must_use]
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// What discovery announces.
    pub fn features(&self, of: Addressee) -> impl Iterator<Item = &'static str> {
        self.tables.features(of)
    }

    /// The requests that they answer.
    pub fn requests(&self) -> impl Iterator<Item = Asked> {
        self.tables.requests()
    }

    /// What they keep: names and versions for whoever keeps it.
    #[must_use]
    pub fn collections(&self) -> &[Collection] {
        &self.tables.collections
    }

    /// The namespaces of what clients may want at once when they bind their resource (XEP-0386), once each.
    pub fn bind_inline(&self) -> impl Iterator<Item = &'static str> {
        let all = &self.tables.bind_inline;
        let namespace = |at: usize| all.get(at).map(|((_, namespace), _)| *namespace);
        let is_first = move |at: &usize| !(0..*at).any(|before| namespace(before) == namespace(*at));
        (0..all.len()).filter(is_first).filter_map(namespace)
    }

    /// What is announced among the features of a stream, by name and namespace.
    pub fn stream_features(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.tables.stream_features.iter().copied()
    }

    /// What clients may send beside stanzas, by name and namespace: [`Router::element`](crate::Router::element).
    pub fn elements(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.tables.elements.iter().map(|(name, _)| *name)
    }

    /// What an extension is called.
    pub(crate) fn name(&self, index: u8) -> &'static str {
        self.names.get(usize::from(index)).copied().unwrap_or_default()
    }

    /// The place of the extension of this name.
    pub(crate) fn index(&self, name: &str) -> Option<u8> {
        self.names.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok())
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }
}

impl Default for Extensions {
    fn default() -> Self {
        // Those that are ours have nothing in common, as a test says.
        Extensions::standard().put_together(None).0
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Extensions").field(&self.names).finish()
    }
}

type Add = Box<dyn FnOnce(&mut Tables, u8)>;

/// Puts [`Extensions`] together.
pub struct Builder {
    extensions: Vec<(&'static str, Add)>,
    always: bool,
    /// The first for which there was no room.
    too_many: Option<&'static str>,
}

impl Builder {
    /// One more, behind those that are there; or instead of the one of the same name, in its place. There can be 64.
    #[must_use]
    pub fn with<X: Extension>(mut self, extension: X) -> Builder {
        let add: Add = Box::new(move |tables, index| tables.add(extension, index));
        if let Some((_, before)) = self.extensions.iter_mut().find(|(name, _)| *name == X::NAME) {
            *before = add;
        } else if self.extensions.len() < MOST {
            self.extensions.push((X::NAME, add));
        } else {
            self.too_many.get_or_insert(X::NAME);
        }
        self
    }

    /// Without the one of this name, if it is there.
    #[must_use]
    pub fn without(mut self, name: &str) -> Builder {
        self.extensions.retain(|(known, _)| *known != name);
        self
    }

    /// Asks each of them about everything, also where it knows nothing of an account or a client. Nothing but the cost may change: for
    /// tests of that.
    #[doc(hidden)]
    #[must_use]
    pub fn always(mut self) -> Builder {
        self.always = true;
        self
    }

    /// Has them register.
    ///
    /// # Errors
    ///
    /// [`Clash`] if two of them have registered the same request, feature, collection or log, or they are too many.
    pub fn build(self) -> Result<Extensions, Clash> {
        if let Some(name) = self.too_many {
            return Err(Clash::TooMany(name));
        }
        let (extensions, claims) = self.put_together(Some(Claims::default()));
        match claims.and_then(|claims| claims.twice) {
            None => Ok(extensions),
            Some((claim, first, second)) => {
                let (first, second) = (extensions.name(first), extensions.name(second));
                Err(Clash::Both { claim, first, second })
            }
        }
    }

    /// All of them, and what they have registered, if anybody wants to know.
    fn put_together(self, claims: Option<Claims>) -> (Extensions, Option<Claims>) {
        let mut tables = Tables::new(self.always);
        tables.claims = claims;
        let mut names = Vec::new();
        for (index, (name, add)) in (0_u8..).zip(self.extensions) {
            names.push(name);
            add(&mut tables, index);
        }
        for (name, version) in [(UNDELIVERED, 1), (OWED, 1), (SESSIONS, SESSIONS_VERSION)] {
            tables.collections.push(Collection { name: name.into(), version, kind: Kind::Documents });
            tables.keepers.push(NOBODY);
        }
        let claims = tables.claims.take();
        (Extensions { names: names.into(), tables: Arc::new(tables) }, claims)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.extensions.iter().map(|(name, _)| name)).finish()
    }
}
