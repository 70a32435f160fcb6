//! What an extension may see and do while it answers: its own state, pushes to the account's clients, and what has to be saved,
//! read or asked before it goes on.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Secret};
use balcony_stanza::{ErrorCondition, IqType, Payload, Stanza, StanzaError};

use super::tables::Typed;
use super::{AccountRef, Addressee, Call, Edit, Extension, Hold, Later, Reply, Then, Todo};
use crate::router::deliver;
use crate::shared::Shared;
use crate::{Answer, Content, SessionId, Software};

/// What all accounts of a router share.
#[derive(Clone, Copy)]
pub struct Server<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) now: Instant,
}

impl<'a> Server<'a> {
    /// What the server says it is.
    #[must_use]
    pub const fn software(&self) -> &'a Software {
        &self.shared.config.software
    }

    /// The features of the extensions that this server has, in the order in which they were registered.
    pub fn features(&self, of: Addressee) -> impl Iterator<Item = &'static str> + use<'a> {
        self.shared.tables().features(of)
    }

    /// Whether this is one of the domains that the server serves.
    #[must_use]
    pub fn serves(&self, domain: &str) -> bool {
        self.shared.is_local(domain)
    }

    /// How long the server has been running.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.now.saturating_since(Instant::ZERO)
    }
}

impl fmt::Debug for Server<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("software", self.software()).field("now", &self.now).finish()
    }
}

/// One account and what all accounts share, for a function of the extension `X`.
pub struct Context<'c, 'a, X: Extension> {
    pub(super) call: &'c mut Call<'a>,
    pub(super) typed: &'c Arc<Typed<X>>,
}

impl<'c, 'a, X: Extension> Context<'c, 'a, X> {
    /// The account, to be looked at.
    #[must_use]
    pub fn account(&self) -> AccountRef<'_, X> {
        AccountRef { owner: self.call.owner, account: self.call.account, typed: self.typed }
    }

    /// Whose account it is.
    #[must_use]
    pub fn owner(&self) -> &BareJid {
        self.call.owner
    }

    /// What all accounts share.
    #[must_use]
    pub fn server(&self) -> Server<'a> {
        Server { shared: self.call.shared, now: self.call.now }
    }

    /// The client of this account that has sent the request; `None` if it is somebody else's.
    #[must_use]
    pub const fn session(&self) -> Option<SessionId> {
        self.call.session
    }

    /// What the extension knows of the account.
    #[must_use]
    pub fn state(&self) -> &X::Account {
        self.account().state()
    }

    /// The same, to be changed. What has to outlive the account's stay in memory is [saved](Context::save), and changed here when
    /// that is done. `None` if the account is not loaded yet, as it may be when a client [binds](super::Registry::bind_inline);
    /// [`state`](Context::state) is the default then.
    pub fn state_mut(&mut self) -> Option<&mut X::Account> {
        self.call.account.slots_mut(self.typed.index)?.get_mut(self.typed.index)
    }

    /// What the extension knows of the client that has sent the request, to be changed; `None` if it is none of this account's, or has
    /// left meanwhile.
    pub fn client_mut(&mut self) -> Option<&mut X::Client> {
        let session = self.call.session?;
        self.call.account.by_session(session)?.slots_mut().get_mut(self.typed.index)
    }

    /// When and how long ago the account's last available client left, and what it said; `None` if that is not known, or one is
    /// available.
    #[must_use]
    pub fn last_seen(&self) -> Option<(Duration, &Stanza)> {
        let known = self.call.account.known()?;
        if self.call.account.available().next().is_some() {
            return None;
        }
        let (ago, last) = known.last_seen(self.call.now)?;
        Some((ago, &last.presence))
    }

    /// Sends those of the account's clients that `is_meant` an iq set with this content. What they answer is not looked at.
    pub fn push(&mut self, payload: &Payload, is_meant: impl Fn(&super::Client<'_, X>) -> bool) {
        let account = AccountRef { owner: self.call.owner, account: self.call.account, typed: self.typed };
        for client in account.clients().filter(|client| is_meant(client)) {
            let id = self.call.random.token(10);
            let push = Stanza::iq(IqType::Set)
                .with_to(client.jid.to_jid())
                .with_id(&id)
                .with_payload(payload.clone());
            deliver([client.session], push, self.call.effects);
        }
    }

    /// Has these changes kept, all of them or none, and goes on when they are durable; at once if there are none. The request fails if
    /// that can't be done, or they are of a collection that the extension has not registered, or not in this version.
    ///
    /// Later requests of the account's clients to their account and server wait until then, and more if `hold` says so.
    pub fn save(
        &self,
        edits: Vec<Edit>,
        hold: Hold,
        then: impl FnOnce(&X, &mut Context<'_, '_, X>) -> Reply + Send + 'static,
    ) -> Reply {
        self.later(Todo::Save(edits), hold, |x, context, _| then(x, context))
    }

    /// Reads a document of the account, and goes on with what it holds. The request fails if that can't be done, or the extension has no
    /// such collection. Later requests wait as for [`save`](Context::save).
    pub fn read(
        &self,
        collection: &'static str,
        key: &str,
        then: impl FnOnce(&X, &mut Context<'_, '_, X>, Option<Content>) -> Reply + Send + 'static,
    ) -> Reply {
        let todo = Todo::Read { collection, key: Arc::from(key) };
        self.later(todo, Hold::Requests, |x, context, answer| match answer {
            Answer::Document(content) => then(x, context, content),
            _ => ErrorCondition::InternalServerError.into(),
        })
    }

    /// Has whoever runs the server do something, such as ask another program, and goes on with the answer: see
    /// [`Ask::External`](crate::Ask::External). The request fails if there is none in time. Nothing waits for it: later requests, also to
    /// the same extension, may be answered before.
    pub fn external(
        &self,
        question: impl Into<Arc<[u8]>>,
        then: impl FnOnce(&X, &mut Context<'_, '_, X>, Arc<[u8]>) -> Reply + Send + 'static,
    ) -> Reply {
        self.later(Todo::External(question.into()), Hold::Requests, |x, context, answer| match answer {
            Answer::External(answer) => then(x, context, answer),
            _ => ErrorCondition::InternalServerError.into(),
        })
    }

    /// Gives the account another password. The request fails with `not-acceptable` if nobody can have this one.
    pub fn set_password(&self, password: Secret<String>) -> Reply {
        self.later(Todo::SetPassword(password), Hold::Requests, |_, _, answer| match answer {
            Answer::Unacceptable => Reply::Error(StanzaError {
                text: Some(Cow::Borrowed(
                    "this password cannot be used: it is empty, or has characters that not all programs know",
                )),
                ..ErrorCondition::NotAcceptable.into()
            }),
            _ => Reply::DONE,
        })
    }

    /// Ends the account, with all that is kept of it. The request is answered before its clients' streams end.
    pub fn remove_account(&self) -> Reply {
        self.later(Todo::Remove, Hold::Everything, |_, _, _| Reply::DONE)
    }

    fn later(
        &self,
        todo: Todo,
        hold: Hold,
        then: impl FnOnce(&X, &mut Context<'_, '_, X>, Answer) -> Reply + Send + 'static,
    ) -> Reply {
        let typed = Arc::clone(self.typed);
        let index = typed.index;
        let run = move |call: &mut Call<'_>, answer: Answer| {
            typed.with(call, |x, context| then(x, context, answer))
        };
        Reply::Later(Later { todo, hold, then: Then { index, run: Box::new(run) } })
    }
}

impl<X: Extension> fmt::Debug for Context<'_, '_, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("account", &self.account()).finish_non_exhaustive()
    }
}
