//! What the extensions of a client can do for its owner.

use core::fmt;
use core::marker::PhantomData;
use std::sync::Arc;

use balcony_client::{Callable, Contacts, Extension, PrivateStorage, Roster, StorageCall};
use balcony_machine::XmlLimits;
use balcony_xep::private::{Document, Key};
use balcony_xml::{Element, ElementRef, Name};

use super::shared::Shared;
use crate::Error;

/// An extension of a client, while it runs.
pub struct Ext<'a, X> {
    shared: &'a Arc<Shared>,
    extension: PhantomData<fn() -> X>,
}

impl<'a, X: Extension> Ext<'a, X> {
    pub(super) fn new(shared: &'a Arc<Shared>) -> Self {
        Ext { shared, extension: PhantomData }
    }

    /// Looks at the value, or changes it. The client stands still meanwhile: do nothing else with it there.
    ///
    /// # Errors
    ///
    /// [`Error::NoExtension`]
    pub fn with<T>(&self, look: impl FnOnce(&mut X) -> T) -> Result<T, Error> {
        self.shared.with(look)
    }
}

impl<X: Callable> Ext<'_, X> {
    /// Tells it to do something, and waits for what comes of it.
    ///
    /// # Errors
    ///
    /// [`Error::Request`]: the client is or goes offline. [`Error::Ended`].
    pub async fn call(&self, command: X::Command) -> Result<X::Outcome, Error> {
        self.shared.call::<X>(command)?.outcome().await
    }
}

impl Ext<'_, PrivateStorage> {
    /// The document of that name and namespace which the server keeps; `None` if it keeps none.
    ///
    /// # Errors
    ///
    /// As [`call`](Ext::call); the request can be refused; [`Error::Config`]: there can be no such document.
    pub async fn get(&self, name: &str, namespace: &str) -> Result<Option<Element>, Error> {
        let key = Name::new(name).ok().and_then(|name| Key::new(name, namespace));
        let key = key.ok_or_else(|| Error::Config(format!("`{name}` in `{namespace}` can't be kept")))?;
        let document = self.call(StorageCall::Get(key)).await??;
        Ok(document.and_then(|document| document.element()))
    }

    /// Has the server keep this document, in the place of that which had the same name and namespace.
    ///
    /// # Errors
    ///
    /// As [`get`](Ext::get).
    pub async fn set(&self, document: ElementRef<'_>) -> Result<(), Error> {
        let cannot =
            || Error::Config("a document needs a namespace of its own, and must not be large".into());
        let document = Document::new(document, XmlLimits::STANZA.bytes).ok_or_else(cannot)?;
        self.call(StorageCall::Set(Box::new(document))).await??;
        Ok(())
    }
}

impl Ext<'_, Roster> {
    /// Looks at the contacts; `None` as long as none are known.
    ///
    /// # Errors
    ///
    /// [`Error::NoExtension`]
    pub fn contacts<T>(&self, look: impl FnOnce(&Contacts) -> T) -> Result<Option<T>, Error> {
        self.with(|roster| roster.contacts().map(look))
    }
}

impl<X> fmt::Debug for Ext<'_, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ext").field("extension", &core::any::type_name::<X>()).finish()
    }
}
