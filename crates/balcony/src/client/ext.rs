//! What the extensions of a client can do for its owner.

use core::fmt;
use core::marker::PhantomData;
use std::sync::Arc;

use balcony_client::{
    Callable, CommandCall, CommandOutcome, Commands, Contacts, Extension, Iq, Presence, PrivateStorage, Push,
    RequestError, Roster, StorageCall,
};
use balcony_jid::{BareJid, Jid};
use balcony_machine::XmlLimits;
use balcony_xep::commands::{Action, Request, Response as Step};
use balcony_xep::data_form::DataForm;
use balcony_xep::private::{Document, Key};
use balcony_xep::push;
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

impl Ext<'_, Push> {
    /// Has the server tell this push service, and this node of it, when messages wait for this client (XEP-0357 section 5). `options` is
    /// what the service wants back each time: a form of the type [`PUBLISH_OPTIONS`](push::PUBLISH_OPTIONS).
    ///
    /// # Errors
    ///
    /// As [`call`](Ext::call); the request can be refused.
    pub async fn enable(
        &self,
        service: Jid,
        node: Option<&str>,
        options: Option<DataForm<'_>>,
    ) -> Result<(), Error> {
        let node = node.map(|node| node.to_owned().into());
        let options = options.map(DataForm::into_owned);
        let enable = push::Enable { jid: service, node, options };
        Ok(self.call(push::Request::Enable(enable)).await??)
    }

    /// Has it do so no longer (XEP-0357 section 6); without a node for none of the service.
    ///
    /// # Errors
    ///
    /// As [`enable`](Ext::enable).
    pub async fn disable(&self, service: Jid, node: Option<&str>) -> Result<(), Error> {
        let node = node.map(|node| node.to_owned().into());
        Ok(self.call(push::Request::Disable(push::Disable { jid: service, node })).await??)
    }
}

impl Ext<'_, Commands> {
    /// The commands that an entity offers to us: the node of each, and its name for people (XEP-0050 section 2.2).
    ///
    /// # Errors
    ///
    /// As [`call`](Ext::call); the request can be refused.
    pub async fn list(&self, of: Jid) -> Result<Vec<(String, Option<String>)>, Error> {
        match self.call(CommandCall::List(of)).await?? {
            CommandOutcome::Listed(listed) => Ok(listed),
            _ => Err(RequestError::Unreadable.into()),
        }
    }

    /// Begins a command of an entity. What comes back says whether that was all, or has a form to be answered: then
    /// [`go_on`](Ext::go_on).
    ///
    /// ```no_run
    /// use balcony::prelude::*;
    /// use balcony::xep::commands::{Action, Status};
    ///
    /// # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let (server, commands) = ("example.com".parse::<Jid>()?, client.ext::<Commands>()?);
    /// let step = commands.run(server.clone(), "greet").await?;
    /// if let Some(form) = step.form.as_ref().filter(|_| step.status == Status::Executing) {
    ///     let answer = form.answer().set("name", ["Romeo"]);
    ///     let step = commands.go_on(server, &step, Action::Execute, Some(answer)).await?;
    ///     println!("{:?}", step.notes);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`list`](Ext::list).
    pub async fn run(&self, of: Jid, node: &str) -> Result<Step<'static>, Error> {
        self.step(of, Request::begin(String::from(node))).await
    }

    /// Takes the next step of a command, mostly with the [answers](balcony_xep::data_form::DataForm::answer) to its form.
    ///
    /// # Errors
    ///
    /// As [`list`](Ext::list).
    pub async fn go_on(
        &self,
        of: Jid,
        step: &Step<'_>,
        action: Action,
        form: Option<DataForm<'static>>,
    ) -> Result<Step<'static>, Error> {
        self.step(of, step.reply(action, form)).await
    }

    async fn step(&self, of: Jid, request: Request<'static>) -> Result<Step<'static>, Error> {
        match self.call(CommandCall::Step(of, Box::new(request))).await?? {
            CommandOutcome::Stepped(step) => Ok(*step),
            _ => Err(RequestError::Unreadable.into()),
        }
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

    /// Adds a contact to the account's roster, or gives it another name and other groups (RFC 6121 section 2.3). What is new comes as
    /// [`News`](balcony_client::News), here and at the account's other clients.
    ///
    /// # Errors
    ///
    /// [`Error::Request`]: the client is or goes offline, or the server refuses it. [`Error::Ended`].
    pub async fn set(&self, contact: balcony_roster::Set) -> Result<(), Error> {
        self.change(balcony_roster::Request::Set(contact)).await
    }

    /// Removes a contact, and by that both subscriptions (RFC 6121 section 2.5).
    ///
    /// # Errors
    ///
    /// As [`set`](Ext::set).
    pub async fn remove(&self, contact: BareJid) -> Result<(), Error> {
        self.change(balcony_roster::Request::Remove(contact)).await
    }

    /// Asks a contact whether we may see its presence (RFC 6121 section 3.1). The answer comes when its user has decided: as
    /// [`News`](balcony_client::News), and then presence does. It adds the contact if it is none yet.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`]
    pub async fn subscribe(&self, contact: &BareJid) -> Result<(), Error> {
        self.shared.send(&mut Some(Presence::subscribe(contact))).await.map(drop)
    }

    async fn change(&self, request: balcony_roster::Request) -> Result<(), Error> {
        self.shared.request(Iq::set(request.to_element()))?.response().await.map(drop)
    }
}

impl<X> fmt::Debug for Ext<'_, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ext").field("extension", &core::any::type_name::<X>()).finish()
    }
}
