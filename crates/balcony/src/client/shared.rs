//! What a client, its senders and its task share.

use core::any::Any;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use balcony_client::{
    Agent, CallId, Callable, Completion, Disconnected, Extension, IncomingId, Iq, RequestError, Response,
};
use balcony_jid::FullJid;
use balcony_machine::Instant;
use balcony_stanza::{Payload, Stanza, StanzaError};
use balcony_stream::client::Token;

use super::builder::BoxedExtensions;
use super::event::{Event, Request};
use crate::Error;

/// The agent behind a lock that is never held while anybody waits.
pub(super) struct Shared {
    state: Mutex<State>,
    /// The runtime's clock.
    now: Box<dyn Fn() -> Instant + Send + Sync>,
}

struct State {
    agent: Agent<BoxedExtensions>,
    /// Who waits for which request or call.
    waiting: BTreeMap<CallId, Waker>,
    /// The task.
    task: Option<Waker>,
    /// Who waits for events.
    reader: Option<Waker>,
    /// Who waits until something is sent, until there is room, or until the end; each with its number.
    watchers: BTreeMap<u64, Waker>,
    next_watcher: u64,
    /// The number of the stanza that is being written.
    in_flight: Option<u64>,
    /// Somebody uses the client (XEP-0352).
    is_active: bool,
    is_closing: bool,
    /// Its token is to end as well.
    logs_out: bool,
    /// Why it has not, if that was tried.
    not_logged_out: Option<Arc<Disconnected>>,
    /// The device has woken up, and the task does not know it yet.
    is_woken: bool,
    /// The task has ended.
    is_over: bool,
    /// What may not have arrived when it had.
    unsent: Vec<Stanza>,
}

impl Shared {
    pub(super) fn new(
        agent: Agent<BoxedExtensions>,
        is_active: bool,
        now: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Arc<Shared> {
        let state = State {
            agent,
            waiting: BTreeMap::new(),
            task: None,
            reader: None,
            watchers: BTreeMap::new(),
            next_watcher: 0,
            in_flight: None,
            is_active,
            is_closing: false,
            logs_out: false,
            not_logged_out: None,
            is_woken: false,
            is_over: false,
            unsent: Vec::new(),
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
        let State { agent, waiting, reader, watchers, .. } = &mut *state;
        wakers.extend(agent.completed().filter_map(|call| waiting.remove(&call)));
        wakers.extend(reader.take());
        wakers.extend(core::mem::take(watchers).into_values());
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        result
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

impl Shared {
    /// Waits until this is so.
    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut watcher = Watcher { shared: self, number: None };
        poll_fn(|cx| {
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

/// For the owner.
impl Shared {
    pub(super) fn close(&self) {
        self.change(|state, _| state.is_closing = true);
    }

    pub(super) fn log_out(&self) {
        self.change(|state, _| (state.is_closing, state.logs_out) = (true, true));
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

    pub(super) fn wake(&self) {
        self.change(|state, now| {
            state.agent.wake(now);
            state.is_woken = true;
        });
    }

    /// Puts a stanza into the outbox as soon as there is room. Returns its id, and the number that it has there.
    pub(super) async fn send(&self, stanza: &mut Option<Stanza>) -> Result<(Arc<str>, u64), Error> {
        let sent = self
            .until(|state| {
                if let Some(error) = state.ended() {
                    return Some(Err(error));
                }
                let stanza = stanza.take_if(|_| state.agent.has_room())?;
                let sent = state.agent.send(stanza).map(|id| (id, state.agent.outbox().end));
                Some(sent.map_err(|_| Error::Ended(Arc::new(Disconnected::ByOwner))))
            })
            .await?;
        // The task has something to do.
        self.change(|_, _| {});
        Ok(sent)
    }

    /// Waits until all stanzas with numbers below this one have been written; or do not leave now, because there is no session.
    pub(super) async fn sent_below(&self, below: u64) {
        self.until(|state| {
            let first = state.in_flight.unwrap_or(state.agent.outbox().start);
            (first >= below || state.agent.jid().is_none() || state.is_over).then_some(())
        })
        .await;
    }

    pub(super) fn request(self: &Arc<Self>, iq: Iq) -> Result<Answer, Error> {
        let call = self.change(|state, now| {
            state.ended().map_or(Ok(()), Err)?;
            Ok::<_, Error>(state.agent.request(now, iq)?)
        })?;
        Ok(Answer { call, shared: Arc::clone(self) })
    }

    pub(super) fn call<X: Callable>(self: &Arc<Self>, command: X::Command) -> Result<Answer, Error> {
        let call = self.change(|state, now| {
            state.ended().map_or(Ok(()), Err)?;
            Ok::<_, Error>(state.agent.call::<X>(now, command).ok_or_else(no_extension::<X>)??)
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
            let event = event.map_request(|(id, request)| Request::new(id, request, self));
            return Poll::Ready(Ok(Some(event)));
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

    /// Waits until the client has been online, or has ended before it was.
    pub(super) async fn started(&self) -> Result<(), Error> {
        self.until(|state| match state.ended() {
            Some(error) => Some(Err(error)),
            None => state.agent.jid().map(|_| Ok(())),
        })
        .await
    }

    /// Whether it was the owner who has ended it, and nothing is left.
    pub(super) fn ended_well(&self) -> Result<(), Error> {
        let mut state = self.lock();
        match state.ended() {
            Some(Error::Ended(why)) if *why != Disconnected::ByOwner => Err(Error::Ended(why)),
            _ if !state.unsent.is_empty() => Err(Error::Unsent(core::mem::take(&mut state.unsent))),
            _ => state.not_logged_out.take().map_or(Ok(()), |why| Err(Error::Ended(why))),
        }
    }

    pub(super) fn take_unsent(&self) -> Vec<Stanza> {
        core::mem::take(&mut self.lock().unsent)
    }

    /// Waits until the task has ended.
    pub(super) async fn over(&self) {
        self.until(|state| state.is_over.then_some(())).await;
    }
}

fn no_extension<X>() -> Error {
    Error::NoExtension(core::any::type_name::<X>())
}

impl State {
    /// Why nothing goes on; `None` while it does.
    fn ended(&self) -> Option<Error> {
        match self.agent.end() {
            Some(why) => Some(Error::Ended(Arc::clone(why))),
            None if self.is_over || self.is_closing => Some(Error::Ended(Arc::new(Disconnected::ByOwner))),
            None => None,
        }
    }
}

/// Why the task is to stop what it does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The owner wants the end.
    Closing,
    /// The device has woken up.
    Woken,
}

/// What the task is to do next.
pub(super) enum Todo {
    /// Send this.
    Send(Stanza),
    /// Say whether somebody uses the client.
    SetActive(bool),
    /// Say goodbye, and send what waits before.
    Close,
    /// Ask the server whether the connection still lives.
    Wake,
    /// Take what comes.
    Read,
    /// Take nothing, and keep the connection alive: too much waits for the owner.
    Hold,
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
        let todo = if state.is_closing {
            Todo::Close
        } else if state.is_active != is_active {
            Todo::SetActive(state.is_active)
        } else if core::mem::take(&mut state.is_woken) {
            Todo::Wake
        } else if sends && let Some(stanza) = state.agent.next_stanza() {
            state.in_flight = Some(start);
            Todo::Send(stanza)
        } else if state.agent.is_full() {
            Todo::Hold
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

    /// The next stanza to be sent, when the client is being closed.
    pub(super) fn next_stanza(&self) -> Option<Stanza> {
        let mut state = self.lock();
        let start = state.agent.outbox().start;
        let stanza = state.agent.next_stanza()?;
        state.in_flight = Some(start);
        Some(stanza)
    }

    /// Whether the task is to stop what it does now, and why; it is woken when it is. And when to ask again.
    pub(super) fn poll_stop(&self, cx: &mut Context<'_>) -> (Option<Stop>, Option<Instant>) {
        self.tick();
        let mut state = self.lock();
        state.task = Some(cx.waker().clone());
        let stop = if state.is_closing {
            Some(Stop::Closing)
        } else {
            core::mem::take(&mut state.is_woken).then_some(Stop::Woken)
        };
        (stop, state.agent.deadline())
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

    pub(super) fn token(&self, token: Box<Token>) {
        self.change_here(|state, _| state.agent.token(token));
    }

    pub(super) fn acknowledged(&self, id: Arc<str>) {
        self.change_here(|state, _| state.agent.acknowledged(id));
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

    /// The task has ended, and this is what the last session has not seen acknowledged.
    pub(super) fn logs_out(&self) -> bool {
        self.lock().logs_out
    }

    pub(super) fn not_logged_out(&self, why: Disconnected) {
        self.change_here(|state, _| state.not_logged_out = Some(Arc::new(why)));
    }

    pub(super) fn end(&self, unacknowledged: Vec<Stanza>) {
        self.change_here(|state, now| {
            state.agent.offline(now, Disconnected::ByOwner, false);
            state.unsent.extend(unacknowledged);
            let waiting = state.agent.take_unsent();
            state.unsent.extend(waiting);
            state.is_over = true;
        });
    }

    /// The task has ended, and so badly that not even the extensions could be told.
    pub(super) fn abandon(&self) {
        let waiting = {
            let mut state = self.lock();
            state.is_over = true;
            core::mem::take(&mut state.waiting)
        };
        waiting.into_values().for_each(Waker::wake);
        self.change_here(|_, _| {});
    }
}

/// The answer to a request or call that is to come. Dropped, nobody waits for it.
pub(super) struct Answer {
    call: CallId,
    shared: Arc<Shared>,
}

impl Answer {
    async fn completion(&self) -> Completion {
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            let was_full = state.agent.is_full();
            match state.agent.take_completed(self.call) {
                Some(completion) => {
                    let task = if was_full { state.task.take() } else { None };
                    drop(state);
                    task.into_iter().for_each(Waker::wake);
                    Poll::Ready(completion)
                }
                None if state.is_over => Poll::Ready(Completion::Lost),
                None => {
                    state.waiting.insert(self.call, cx.waker().clone());
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
        let mut state = self.shared.lock();
        let was_full = state.agent.is_full();
        state.waiting.remove(&self.call);
        state.agent.forget(self.call);
        let task = if was_full { state.task.take() } else { None };
        drop(state);
        task.into_iter().for_each(Waker::wake);
    }
}
