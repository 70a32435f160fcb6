//! A client on a thread of its own, whose methods wait.

use core::fmt;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant;

use balcony_client::{Iq, Response};
use balcony_jid::FullJid;
use balcony_stanza::Stanza;

use crate::client::{ClientBuilder, Event};
use crate::{DefaultRuntime, Error};

/// How long dropping a client waits at most: a little longer than its task takes to say goodbye.
const LEAVING: Duration = Duration::from_secs(6);

/// A client whose methods wait. See the [module](crate::blocking).
///
/// Dropping it says goodbye and waits for that, for a few seconds at most; [`close`](BlockingClient::close) says besides what may not have
/// arrived. A process that is killed, or exits without dropping it, leaves its session waiting at the server for some minutes, in which
/// contacts see it online.
pub struct BlockingClient {
    client: crate::Client,
    woken: Arc<Woken>,
}

/// Sends for a [`BlockingClient`], from any thread. It does not keep the client alive.
#[derive(Clone, Debug)]
pub struct BlockingSender(crate::Sender);

/// Ends the waiting of a [`BlockingClient`], from any thread.
#[derive(Clone)]
pub struct Waker(Arc<Woken>);

/// What waiting has come to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Waited {
    /// Something has happened.
    Event(Event),
    /// Somebody has [woken](Waker::wake) the client.
    Woken,
    /// The time is over.
    TimedOut,
    /// The client has been closed by its owner: nothing more happens.
    Closed,
}

impl ClientBuilder<DefaultRuntime> {
    /// Connects, and returns when the client is online, for programs without async: see [`blocking`](crate::blocking).
    ///
    /// # Errors
    ///
    /// As [`start`](ClientBuilder::start); [`Error::Config`] if the operating system has no thread for it.
    pub fn start_blocking(self) -> Result<BlockingClient, Error> {
        let (started, begun) = sync_channel(1);
        let work = move || {
            crate::block_on(async move {
                let client = self.start().await;
                let sender = client.as_ref().ok().map(crate::Client::sender);
                // Whoever waits for it is there until it has come.
                let _ = started.send(client);
                if let Some(sender) = sender {
                    sender.over().await;
                }
            });
        };
        let spawned = thread::Builder::new().name("balcony client".into()).spawn(work);
        spawned.map_err(|error| Error::Config(format!("no thread for the client: {error}")))?;
        let gone = || Error::Config("the thread of the client has ended".into());
        let client = begun.recv().map_err(|_| gone())??;
        Ok(BlockingClient { client, woken: Arc::default() })
    }
}

impl BlockingClient {
    /// Waits for the next event. `None`: the client has been closed by its owner. Being [woken](Waker::wake) does not end it; the next
    /// [`wait`](BlockingClient::wait) says so.
    ///
    /// # Errors
    ///
    /// Why the client has ended for good, as [`crate::Client::next`].
    #[allow(clippy::should_implement_trait, reason = "as the method of the client that does not block")]
    pub fn next(&mut self) -> Result<Option<Event>, Error> {
        block_on(self.client.next())
    }

    /// Waits for the next event, of whatever kind, but no longer than this, and not when somebody wakes it, or has done so since the last time.
    ///
    /// # Errors
    ///
    /// As [`next`](BlockingClient::next).
    pub fn wait(&mut self, most: Duration) -> Result<Waited, Error> {
        let until = Instant::now().checked_add(most);
        let woken = &self.woken;
        let mut next = pin!(self.client.next());
        let waited = park(until, |cx| {
            woken.watch(&thread::current());
            if let Poll::Ready(event) = next.as_mut().poll(cx) {
                return Poll::Ready(event.map(|event| event.map_or(Waited::Closed, Waited::Event)));
            }
            if woken.take() { Poll::Ready(Ok(Waited::Woken)) } else { Poll::Pending }
        });
        waited.unwrap_or(Ok(Waited::TimedOut))
    }

    /// Whoever has it ends the waiting of this client.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.woken))
    }

    /// Sends a message, presence, or any other stanza, and returns its id: as [`crate::Sender::send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send(&self, stanza: impl Into<Stanza>) -> Result<Arc<str>, Error> {
        block_on(self.client.send(stanza))
    }

    /// Sends a request and waits for its result: as [`crate::Sender::request`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn request(&self, iq: Iq) -> Result<Response, Error> {
        block_on(self.client.request(iq))
    }

    /// Another one who sends, for another thread.
    #[must_use]
    pub fn sender(&self) -> BlockingSender {
        BlockingSender(self.client.sender())
    }

    /// The address that the server has bound; `None` while the client is offline.
    #[must_use]
    pub fn jid(&self) -> Option<FullJid> {
        self.client.jid()
    }

    /// The client with async methods, for what has none here, such as [extensions](crate::Client::ext): [`block_on`] waits for them.
    #[must_use]
    pub fn inner(&self) -> &crate::Client {
        &self.client
    }

    /// Sends what still waits, says goodbye, and waits until the client has ended; no longer than a few seconds.
    ///
    /// # Errors
    ///
    /// Why it had ended before.
    pub fn close(self) -> Result<(), Error> {
        block_on(self.client.end())
    }

    /// Logs out for good: see [`crate::Client::log_out`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn log_out(self) -> Result<(), Error> {
        block_on(self.client.end_token())
    }
}

impl Drop for BlockingClient {
    fn drop(&mut self) {
        let mut end = pin!(self.client.end());
        // Why it has ended, or what has not arrived, is for those who close it.
        let _ = park(Instant::now().checked_add(LEAVING), |cx| end.as_mut().poll(cx));
    }
}

impl BlockingSender {
    /// As [`BlockingClient::send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send(&self, stanza: impl Into<Stanza>) -> Result<Arc<str>, Error> {
        block_on(self.0.send(stanza))
    }

    /// As [`BlockingClient::request`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn request(&self, iq: Iq) -> Result<Response, Error> {
        block_on(self.0.request(iq))
    }

    /// Ends the client, and does not wait for that: its [`next`](BlockingClient::next) returns `None`.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Waker {
    /// Ends the [waiting](BlockingClient::wait) of the client; if it does not wait, the next waiting ends at once.
    pub fn wake(&self) {
        self.0.is_woken.store(true, Ordering::SeqCst);
        let waits = self.0.waits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(thread) = &*waits {
            thread.unpark();
        }
    }
}

/// Waits on this thread for what another one works on: something that a client does, not a socket or a timer of a runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Some(value) = park(None, |cx| future.as_mut().poll(cx)) {
            return value;
        }
    }
}

/// Polls whenever this thread is woken; `None` when it is late.
fn park<T>(until: Option<Instant>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    let waker = core::task::Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = poll(&mut cx) {
            return Some(value);
        }
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return None,
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Whether somebody has woken the client, and which thread waits for it.
#[derive(Default)]
struct Woken {
    is_woken: AtomicBool,
    waits: std::sync::Mutex<Option<Thread>>,
}

impl Woken {
    fn watch(&self, thread: &Thread) {
        let mut waits = self.waits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if waits.as_ref().is_none_or(|known| known.id() != thread.id()) {
            *waits = Some(thread.clone());
        }
    }

    fn take(&self) -> bool {
        self.is_woken.swap(false, Ordering::SeqCst)
    }
}

impl fmt::Debug for BlockingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingClient").field("jid", &self.jid()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").finish_non_exhaustive()
    }
}
