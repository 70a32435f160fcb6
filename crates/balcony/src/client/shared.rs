//! What a client, its senders and its task share.

use core::any::Any;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use balcony_client::{
    Agent, AgentEvent, CallId, Callable, Completion, Disconnected, Extension, IncomingId, Iq, RequestError,
    Response,
};
use balcony_jid::FullJid;
use balcony_machine::Instant;
use balcony_stanza::{Payload, Stanza, StanzaError};

use super::event::{Event, Request};
use crate::Error;

pub(super) type Extensions = Vec<Box<dyn Extension + Send>>;

/// The agent behind a lock that is never held while anybody waits.
pub(super) struct Shared {
    state: Mutex<State>,
    /// The runtime's clock.
    now: Box<dyn Fn() -> Instant + Send + Sync>,
}

struct State {
    agent: Agent<Extensions>,
    /// Who waits for requests and calls.
    waiting: BTreeMap<CallId, Waiting>,
    /// The task.
    task: Option<Waker>,
    /// Who waits for events.
    reader: Option<Waker>,
    /// Who waits until something is sent, until there is room, or until the end.
    watchers: Vec<Waker>,
    /// The number of the stanza that is being written.
    in_flight: Option<u64>,
    /// Somebody uses the client (XEP-0352).
    is_active: bool,
    is_closing: bool,
    /// The task has ended.
    is_over: bool,
}

enum Waiting {
    For(Option<Waker>),
    Done(Completion),
}

impl Shared {
    pub(super) fn new(
        agent: Agent<Extensions>,
        is_active: bool,
        now: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Arc<Shared> {
        let state = State {
            agent,
            waiting: BTreeMap::new(),
            task: None,
            reader: None,
            watchers: Vec::new(),
            in_flight: None,
            is_active,
            is_closing: false,
            is_over: false,
        };
        Arc::new(Shared { state: Mutex::new(state), now: Box::new(now) })
    }

    pub(super) fn now(&self) -> Instant {
        (self.now)()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // An extension that panics takes its task with it, and no more.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the agent, and wakes everybody whom it may concern.
    fn change<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let result = self.change_here(change);
        let task = self.lock().task.take();
        task.into_iter().for_each(Waker::wake);
        result
    }

    /// The same for the task, which knows of it already.
    fn change_here<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state, self.now());
        let mut wakers: Vec<Waker> = Vec::new();
        while let Some((call, completion)) = state.agent.next_completed() {
            // Whoever does not wait any longer has gone.
            if let Some(waiting) = state.waiting.get_mut(&call)
                && let Waiting::For(Some(waker)) = core::mem::replace(waiting, Waiting::Done(completion))
            {
                wakers.push(waker);
            }
        }
        wakers.extend(state.reader.take());
        wakers.append(&mut state.watchers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        result
    }
}

/// For the owner.
impl Shared {
    pub(super) fn close(&self) {
        self.change(|state, _| state.is_closing = true);
    }

    pub(super) fn set_active(&self, is_active: bool) {
        self.change(|state, _| state.is_active = is_active);
    }

    pub(super) fn is_active(&self) -> bool {
        self.lock().is_active
    }

    pub(super) fn jid(&self) -> Option<FullJid> {
        self.lock().agent.jid().cloned()
    }

    /// Puts a stanza into the outbox as soon as there is room. Returns its id, and the number that it has there.
    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        stanza: &mut Option<Stanza>,
    ) -> Poll<Result<(Arc<str>, u64), Error>> {
        let mut state = self.lock();
        if let Some(error) = state.ended() {
            return Poll::Ready(Err(error));
        }
        if !state.agent.has_room() {
            state.watch(cx);
            return Poll::Pending;
        }
        drop(state);
        self.change(|state, _| {
            // Somebody else may have been first: the stanza is taken only when there is room for it.
            let stanza = stanza.take_if(|_| state.agent.has_room());
            let Some(stanza) = stanza else {
                state.watch(cx);
                return Poll::Pending;
            };
            let sent = state.agent.send(stanza).map(|id| (id, state.agent.outbox().end));
            // There was room; so it has just ended.
            let ended = |_| state.ended().unwrap_or(Error::Ended(Arc::new(Disconnected::ByOwner)));
            Poll::Ready(sent.map_err(ended))
        })
    }

    /// Whether all stanzas with numbers below this one have been written; or wait, because there is no session.
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>, below: u64) -> Poll<()> {
        let mut state = self.lock();
        let first = state.in_flight.unwrap_or(state.agent.outbox().start);
        if first >= below || state.agent.jid().is_none() || state.is_over {
            return Poll::Ready(());
        }
        state.watch(cx);
        Poll::Pending
    }

    pub(super) fn request(self: &Arc<Self>, iq: Iq) -> Result<Answer, Error> {
        let call = self.change(|state, now| {
            state.ended().map_or(Ok(()), Err)?;
            let call = state.agent.request(now, iq)?;
            state.waiting.insert(call, Waiting::For(None));
            Ok::<_, Error>(call)
        })?;
        Ok(Answer { call, shared: Arc::clone(self) })
    }

    pub(super) fn call<X: Callable>(self: &Arc<Self>, command: X::Command) -> Result<Answer, Error> {
        let call = self.change(|state, now| {
            state.ended().map_or(Ok(()), Err)?;
            let call = state.agent.call::<X>(now, command).ok_or_else(no_extension::<X>)??;
            state.waiting.insert(call, Waiting::For(None));
            Ok::<_, Error>(call)
        })?;
        Ok(Answer { call, shared: Arc::clone(self) })
    }

    pub(super) fn with<X: Extension, T>(&self, look: impl FnOnce(&mut X) -> T) -> Result<T, Error> {
        self.lock().agent.ext().map(look).ok_or_else(no_extension::<X>)
    }

    pub(super) fn reply(&self, request: IncomingId, content: Payload) {
        self.change(|state, _| state.agent.reply(request, content));
    }

    pub(super) fn refuse(&self, request: IncomingId, error: &StanzaError) {
        self.change(|state, _| state.agent.refuse(request, error));
    }

    pub(super) fn poll_event(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<Result<Option<Event>, Error>> {
        let mut state = self.lock();
        let was_full = state.agent.is_full();
        if let Some(event) = state.agent.next_event() {
            let task = if was_full { state.task.take() } else { None };
            drop(state);
            task.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(Some(self.event(event))));
        }
        // One that is being closed tells what happens until that is done.
        if let Some(error) = state.ended().filter(|_| state.is_over || state.agent.end().is_some()) {
            return Poll::Ready(match &error {
                Error::Ended(why) if **why == Disconnected::ByOwner => Ok(None),
                _ => Err(error),
            });
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn event(self: &Arc<Self>, event: AgentEvent) -> Event {
        match event {
            AgentEvent::Online(jid) => Event::Online(jid),
            AgentEvent::Resumed => Event::Resumed,
            AgentEvent::Offline { why, next } => Event::Offline { why, next },
            AgentEvent::Message(message) => Event::Message(message),
            AgentEvent::Presence(presence) => Event::Presence(presence),
            AgentEvent::Undelivered(undelivered) => Event::Undelivered(undelivered),
            AgentEvent::Request(id, request) => Event::Request(Request::new(id, request, self)),
            AgentEvent::Note(note) => Event::Note(note),
            AgentEvent::Token(token) => Event::Token(token),
            AgentEvent::Stanza(stanza) => Event::Stanza(stanza),
        }
    }

    /// Ready when the client has been online, or has ended before it was.
    pub(super) fn poll_started(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = self.lock();
        if let Some(error) = state.ended() {
            return Poll::Ready(Err(error));
        }
        if state.agent.jid().is_some() {
            return Poll::Ready(Ok(()));
        }
        state.watch(cx);
        Poll::Pending
    }

    /// Whether it was the owner who has ended it.
    pub(super) fn ended_well(&self) -> Result<(), Error> {
        match self.lock().ended() {
            Some(Error::Ended(why)) if *why != Disconnected::ByOwner => Err(Error::Ended(why)),
            _ => Ok(()),
        }
    }

    /// Ready when the task has ended.
    pub(super) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_over {
            return Poll::Ready(());
        }
        state.watch(cx);
        Poll::Pending
    }
}

fn no_extension<X>() -> Error {
    Error::NoExtension(core::any::type_name::<X>())
}

impl State {
    /// Wakes this one at the next change, once.
    fn watch(&mut self, cx: &Context<'_>) {
        if !self.watchers.iter().any(|watcher| watcher.will_wake(cx.waker())) {
            self.watchers.push(cx.waker().clone());
        }
    }

    /// Why nothing goes on; `None` while it does.
    fn ended(&self) -> Option<Error> {
        match self.agent.end() {
            Some(why) => Some(Error::Ended(Arc::clone(why))),
            None if self.is_over || self.is_closing => Some(Error::Ended(Arc::new(Disconnected::ByOwner))),
            None => None,
        }
    }
}

/// What the task is to do next.
pub(super) enum Todo {
    /// Send this.
    Send(Stanza),
    /// Say whether somebody uses the client.
    SetActive(bool),
    /// Say goodbye.
    Close,
    /// Take what comes.
    Read,
    /// Take nothing: too much waits for the owner.
    Wait,
}

/// For the task.
impl Shared {
    /// What there is to do, and when to ask again whatever happens. The task is woken when there is something else. `is_active`: what
    /// the connection knows.
    pub(super) fn poll_todo(
        &self,
        cx: &mut Context<'_>,
        sends: bool,
        is_active: bool,
    ) -> (Todo, Option<Instant>) {
        self.tick();
        let mut state = self.lock();
        let start = state.agent.outbox().start;
        let todo = if state.is_active != is_active {
            Todo::SetActive(state.is_active)
        } else if sends && let Some(stanza) = state.agent.next_stanza() {
            state.in_flight = Some(start);
            Todo::Send(stanza)
        } else if state.is_closing {
            Todo::Close
        } else if state.agent.is_full() {
            Todo::Wait
        } else {
            Todo::Read
        };
        state.task = Some(cx.waker().clone());
        (todo, state.agent.deadline())
    }

    /// Whether more has come than the owner has taken.
    pub(super) fn is_full(&self) -> bool {
        self.lock().agent.is_full()
    }

    /// Whether the task is to stop what it does now; it is woken when it is. And when to ask again.
    pub(super) fn poll_closing(&self, cx: &mut Context<'_>) -> (bool, Option<Instant>) {
        self.tick();
        let mut state = self.lock();
        state.task = Some(cx.waker().clone());
        (state.is_closing, state.agent.deadline())
    }

    fn tick(&self) {
        let is_due = |state: &State| state.agent.deadline().is_some_and(|at| at <= self.now());
        let is_due = is_due(&self.lock());
        if is_due {
            self.change_here(|state, now| state.agent.tick(now));
        }
    }

    /// Whether it is time to connect.
    pub(super) fn connects(&self) -> bool {
        let now = self.now();
        self.lock().agent.connects(now)
    }

    /// What was being written has been, or has not.
    pub(super) fn sent(&self, unsent: Option<Stanza>) {
        self.change_here(|state, _| {
            state.in_flight = None;
            unsent.into_iter().for_each(|stanza| state.agent.unsent(stanza));
        });
    }

    pub(super) fn online(&self, jid: FullJid, features: balcony_stream::client::ServerFeatures) {
        self.change_here(|state, now| state.agent.online(now, jid, features));
    }

    /// Whether there was a session to go on with.
    pub(super) fn resumed(&self) -> bool {
        self.change_here(|state, now| state.agent.resumed(now))
    }

    pub(super) fn stanza(&self, stanza: Stanza) {
        self.change_here(|state, now| state.agent.stanza(now, stanza));
    }

    /// Whether there is another attempt.
    pub(super) fn offline(&self, why: Disconnected, resumable: bool) -> bool {
        self.change_here(|state, now| {
            state.in_flight = None;
            state.agent.offline(now, why, resumable).is_some()
        })
    }

    /// Whether initial presence was sent, so that it must be taken back.
    pub(super) fn is_available(&self) -> bool {
        self.lock().agent.is_available()
    }

    /// The task has ended.
    pub(super) fn over(&self) {
        self.change_here(|state, now| {
            state.agent.offline(now, Disconnected::ByOwner, false);
            state.is_over = true;
        });
    }
}

/// The answer to a request or call that is to come. Dropped, nobody waits for it.
pub(super) struct Answer {
    call: CallId,
    shared: Arc<Shared>,
}

impl Answer {
    async fn completion(&self) -> Completion {
        core::future::poll_fn(|cx| {
            let mut state = self.shared.lock();
            match state.waiting.remove(&self.call) {
                Some(Waiting::Done(completion)) => Poll::Ready(completion),
                // It is completed once.
                None => Poll::Ready(Completion::Lost),
                Some(Waiting::For(_)) if state.is_over => Poll::Ready(Completion::Lost),
                Some(Waiting::For(_)) => {
                    state.waiting.insert(self.call, Waiting::For(Some(cx.waker().clone())));
                    Poll::Pending
                }
            }
        })
        .await
    }

    pub(super) async fn response(self) -> Result<Response, Error> {
        match self.completion().await {
            Completion::Response(outcome) => Ok(outcome?),
            _ => Err(RequestError::Offline.into()),
        }
    }

    pub(super) async fn outcome<T: Any>(self) -> Result<T, Error> {
        match self.completion().await {
            Completion::Call(outcome) => match outcome.downcast() {
                Ok(outcome) => Ok(*outcome),
                Err(_) => Err(RequestError::Unreadable.into()),
            },
            _ => Err(RequestError::Offline.into()),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.shared.lock().waiting.remove(&self.call);
    }
}
