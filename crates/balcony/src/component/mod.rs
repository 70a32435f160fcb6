//! A component that stays attached to its server (XEP-0114).

mod builder;
mod task;

use core::fmt;
use core::future::poll_fn;
use core::ops::Deref;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use balcony_client::component::{
    Component as Machine, ComponentEvent as MachineEvent, ComponentRequestId, Detached,
};
use balcony_client::{IncomingRequest, Iq, Message, MessageBuilder, OutboxError, RequestError, Response};
use balcony_jid::{BareJid, Jid};
use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, Payload, Stanza, StanzaError};

pub use builder::ComponentBuilder;

use crate::Error;

/// What a [`Component`] tells. What nobody looks at does no harm: a [`ComponentRequest`] that is dropped is refused.
pub type ComponentEvent = MachineEvent<ComponentRequest>;

/// A service with a domain of its own, such as rooms or a gateway, that attaches to a server with a secret (XEP-0114): what is addressed to
/// the domain comes as [events](ComponentEvent), and it speaks for all of its addresses.
///
/// It connects again by itself, with growing pauses, and says so. It keeps up to a thousand events, and a megabyte, for whoever takes
/// them; then it reads no more. What was on its way when a connection broke may be lost: there is no stream management. Dropping it ends
/// it; [`close`](Component::close) waits for that.
///
/// ```no_run
/// use balcony::prelude::*;
///
/// # async fn example() -> Result<(), Error> {
/// let mut component = Component::builder("echo.example.com").secret("a long secret").connect("127.0.0.1:5347").start().await?;
/// while let Some(event) = component.next().await? {
///     if let ComponentEvent::Message(message) = event && let Some(body) = message.body() {
///         component.send(component.reply(&message).body(body)).await?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Component {
    shared: Arc<Shared>,
}

impl Component {
    /// Its domain.
    #[must_use]
    pub fn domain(&self) -> BareJid {
        self.shared.lock().machine.domain().clone()
    }

    /// Whether it is attached now.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.shared.lock().machine.is_online()
    }

    /// Waits for the next event. `None`: the component has been closed by its owner, or its runtime has ended.
    ///
    /// Cancel-safe: if another branch of a `select!` is first, nothing is lost.
    ///
    /// # Errors
    ///
    /// [`Error::Detached`]: why it has ended for good, such as a wrong secret. What can pass is an event,
    /// [`Offline`](MachineEvent::Offline).
    pub async fn next(&mut self) -> Result<Option<ComponentEvent>, Error> {
        let event = self.shared.until(|state| {
            if let Some(event) = state.machine.next_event() {
                return Some(Ok(Some(event)));
            }
            state.ended().map(|why| match *why {
                Detached::ByOwner => Ok(None),
                _ => Err(Error::Detached(why)),
            })
        });
        let event = event.await?;
        // There may be room again to read.
        self.shared.wake_task();
        Ok(event.map(|event| event.map_request(|request| ComponentRequest::new(request, &self.shared))))
    }

    /// Sends a stanza: from the domain, unless it says which address of it it is from. It waits until there is room; while the component
    /// is offline that is for a thousand stanzas and a megabyte, which are sent when it is online again.
    ///
    /// # Errors
    ///
    /// [`Error::Detached`]: it has ended. [`Error::Config`]: the stanza is from an address of another domain.
    pub async fn send(&self, stanza: impl Into<Stanza>) -> Result<(), Error> {
        let mut stanza = Some(stanza.into());
        let sent = self.shared.until(|state| {
            if let Some(why) = state.ended() {
                return Some(Err(Error::Detached(why)));
            }
            let stanza = stanza.take_if(|_| state.machine.has_room())?;
            Some(state.machine.send(stanza).map_err(not_sent))
        });
        sent.await?;
        self.shared.wake_task();
        Ok(())
    }

    /// A message back to whoever has sent this one, from the address that it was sent to.
    pub fn reply(&self, message: &Message) -> MessageBuilder {
        match message.to() {
            Some(to) => message.reply().from(to.clone()),
            None => message.reply(),
        }
    }

    /// Sends a request in the name of the domain, and waits for its result.
    ///
    /// # Errors
    ///
    /// [`Error::Request`]: it was refused, has no answer in time (30 seconds unless it says otherwise), or the component is or goes offline;
    /// or too much waits.
    pub async fn request(&self, iq: Iq) -> Result<Response, Error> {
        self.request_as(None, iq).await
    }

    /// The same in the name of this address of the domain.
    ///
    /// # Errors
    ///
    /// As for [`request`](Component::request).
    pub async fn request_from(&self, from: Jid, iq: Iq) -> Result<Response, Error> {
        self.request_as(Some(from), iq).await
    }

    async fn request_as(&self, from: Option<Jid>, iq: Iq) -> Result<Response, Error> {
        let call = self.shared.change(|machine, now| machine.request(now, iq, from))?;
        let call = Call { call, shared: &self.shared };
        let done = self.shared.until(|state| match state.machine.take_completed(call.call) {
            None if state.is_over => Some(Err(RequestError::Offline)),
            completed => completed,
        });
        Ok(done.await?)
    }

    /// Sends what still waits, says goodbye, and waits until the component has ended; no longer than five seconds.
    pub async fn close(self) {
        self.shared.change(Machine::close);
        self.shared.until(|state| state.is_over.then_some(())).await;
    }
}

fn not_sent(error: OutboxError) -> Error {
    match error {
        OutboxError::Ended => Error::Detached(Arc::new(Detached::ByOwner)),
        error => Error::Config(error.to_string()),
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.shared.change(Machine::close);
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("domain", &self.domain())
            .field("is_online", &self.is_online())
            .finish_non_exhaustive()
    }
}

/// A request that somebody makes of an address of the domain. If it is dropped it is refused, with `service-unavailable`: nobody waits in
/// vain (RFC 6120 section 8.2.3). What it asks for is in the [`IncomingRequest`] that it stands for; whom, in its stanza.
#[must_use = "dropped it is refused"]
pub struct ComponentRequest {
    request: Box<IncomingRequest>,
    is_answered: bool,
    shared: Arc<Shared>,
}

impl ComponentRequest {
    fn new(request: Box<IncomingRequest>, shared: &Arc<Shared>) -> ComponentRequest {
        ComponentRequest { request, is_answered: false, shared: Arc::clone(shared) }
    }

    /// Answers it. An answer without anything in it says that the request was carried out: [`Payload::EMPTY`].
    pub fn reply(mut self, content: impl Into<Payload>) {
        let answer = self.request.stanza().result().map(|answer| answer.with_payload(content.into()));
        self.answer(answer);
    }

    /// Refuses it.
    pub fn refuse(mut self, error: impl Into<StanzaError>) {
        let answer = self.request.stanza().error(&error.into());
        self.answer(answer);
    }

    fn answer(&mut self, answer: Option<Stanza>) {
        if !core::mem::replace(&mut self.is_answered, true)
            && let Some(answer) = answer
        {
            // One that has ended can't answer any more, and nobody waits then.
            let _ = self.shared.change(|machine, _| machine.answer(answer));
        }
    }
}

impl Deref for ComponentRequest {
    type Target = IncomingRequest;

    fn deref(&self) -> &IncomingRequest {
        &self.request
    }
}

impl Drop for ComponentRequest {
    fn drop(&mut self) {
        let refusal = self.request.stanza().error(&ErrorCondition::ServiceUnavailable.into());
        self.answer(refusal);
    }
}

impl fmt::Debug for ComponentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt(f)
    }
}

/// A request that waits for its answer. Dropped, nobody does.
struct Call<'a> {
    call: ComponentRequestId,
    shared: &'a Shared,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.shared.lock().machine.forget(self.call);
    }
}

/// The machine behind a lock that is never held while anybody waits.
struct Shared {
    state: Mutex<State>,
    /// The runtime's clock.
    now: Box<dyn Fn() -> Instant + Send + Sync>,
}

struct State {
    machine: Machine,
    task: Option<Waker>,
    /// Who waits until something has changed, each with its number.
    watchers: BTreeMap<u64, Waker>,
    next_watcher: u64,
    /// The task has ended.
    is_over: bool,
}

impl State {
    /// Why nothing goes on; `None` while it does.
    fn ended(&self) -> Option<Arc<Detached>> {
        match self.machine.end() {
            Some(why) => Some(Arc::clone(why)),
            None => self.is_over.then(|| Arc::new(Detached::ByOwner)),
        }
    }
}

impl Shared {
    fn new(machine: Machine, now: impl Fn() -> Instant + Send + Sync + 'static) -> Arc<Shared> {
        let state = State { machine, task: None, watchers: BTreeMap::new(), next_watcher: 0, is_over: false };
        Arc::new(Shared { state: Mutex::new(state), now: Box::new(now) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the machine, and wakes the task.
    fn change<T>(&self, change: impl FnOnce(&mut Machine, Instant) -> T) -> T {
        let result = change(&mut self.lock().machine, (self.now)());
        self.wake_task();
        result
    }

    fn wake_task(&self) {
        let task = self.lock().task.take();
        task.into_iter().for_each(Waker::wake);
    }

    /// Wakes all who wait for something.
    fn wake_watchers(&self) {
        let watchers = core::mem::take(&mut self.lock().watchers);
        watchers.into_values().for_each(Waker::wake);
    }

    /// Waits until this is so.
    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut watcher = Watcher { shared: self, number: None };
        poll_fn(|cx: &mut Context<'_>| {
            let mut state = self.lock();
            let seen = look(&mut state);
            if seen.is_none() {
                let number = *watcher.number.get_or_insert(state.next_watcher);
                state.next_watcher = state.next_watcher.max(number + 1);
                state.watchers.insert(number, cx.waker().clone());
            }
            seen.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Somebody who waits until something has changed. Dropped, nobody does.
struct Watcher<'a> {
    shared: &'a Shared,
    number: Option<u64>,
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shared.lock().watchers.remove(&number);
        }
    }
}
