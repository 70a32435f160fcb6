//! A client that stays online.

mod builder;
mod event;
mod ext;
mod shared;
mod task;

use core::fmt;
use core::future::poll_fn;
use std::sync::Arc;

use balcony_client::{Extension, Iq, Response};
use balcony_jid::FullJid;
use balcony_stanza::Stanza;

pub use builder::{BoxedExtensions, ClientBuilder};
pub use event::{Event, Request};
pub use ext::Ext;
use shared::Shared;

use crate::Error;

/// One account's client: what happens to it, as a stream of [events](Event), and a [`Sender`] for what it says.
///
/// It connects again by itself, with growing pauses, and says so. It works whether somebody waits for its events or not: up to a
/// thousand of them, and a megabyte, it keeps itself, and as many with its connection; then it reads no more, and its server keeps the rest as
/// long as that has patience. Dropping it ends it, and all that it has started; [`close`](Client::close) waits for that, and says what may
/// not have arrived.
///
/// ```no_run
/// use balcony::prelude::*;
///
/// # async fn example(password: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let mut client = Client::builder("romeo@example.com/bot").password(password).start().await?;
/// while let Some(event) = client.next().await? {
///     if let Event::Message(message) = event && let Some(body) = message.body() {
///         client.send(message.reply().body(body)).await?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// The methods are of four kinds: [`next`](Client::next) for what happens; [`send`](Client::send) and [`request`](Client::request), which
/// a [`sender`](Client::sender) has, too; [`ext`](Client::ext) for what extensions can do; and [`close`](Client::close).
pub struct Client {
    sender: Sender,
}

impl Client {
    fn new(shared: Arc<Shared>) -> Client {
        Client { sender: Sender { shared } }
    }

    /// The address that the server has bound; `None` while the client is offline.
    #[must_use]
    pub fn jid(&self) -> Option<FullJid> {
        self.sender.jid()
    }

    /// Waits for the next event. `None`: the client has been closed by its owner, or its runtime has ended.
    ///
    /// Cancel-safe: if another branch of a `select!` is first, nothing is lost.
    ///
    /// # Errors
    ///
    /// Why the client has ended for good: the server does not take its password, for example. What can pass is an event,
    /// [`Offline`](Event::Offline).
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        poll_fn(|cx| self.sender.shared.poll_event(cx)).await
    }

    /// Sends a message, presence, or any other stanza: see [`Sender::send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send(&self, stanza: impl Into<Stanza>) -> Result<Arc<str>, Error> {
        self.sender.send(stanza).await
    }

    /// Sends a request and waits for its result: see [`Sender::request`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn request(&self, iq: Iq) -> Result<Response, Error> {
        self.sender.request(iq).await
    }

    /// Says whether somebody uses this client: see [`Sender::set_active`].
    pub fn set_active(&self, is_active: bool) {
        self.sender.set_active(is_active);
    }

    /// Another one who sends, for another task.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// An extension that the client was [built](ClientBuilder::with) with.
    ///
    /// # Errors
    ///
    /// [`Error::NoExtension`]
    pub fn ext<X: Extension>(&self) -> Result<Ext<'_, X>, Error> {
        self.sender.ext()
    }

    /// The device has slept, or its network has changed: see [`Sender::wake`].
    pub fn wake(&self) {
        self.sender.wake();
    }

    /// Sends what still waits, says goodbye, and waits until the server has acknowledged it and the client has ended; no longer than five
    /// seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Unsent`]: what may not have arrived. [`Error::Ended`]: why it had ended before.
    pub async fn close(self) -> Result<(), Error> {
        self.end().await
    }

    /// As [`close`](Client::close).
    pub(crate) async fn end(&self) -> Result<(), Error> {
        self.sender.close();
        self.sender.shared.over().await;
        self.sender.shared.ended_well()
    }

    /// The owner logs out for good: as [`close`](Client::close), and then the server is told that the [token](crate::Event::Token) of this
    /// client ends, which takes another connection, of five seconds at most. Without that whoever finds the token can log in by it until its
    /// time is over. A client that has not been online has no token.
    ///
    /// # Errors
    ///
    /// As [`close`](Client::close). [`Error::Ended`] also if the token could not be ended; [`Error::Unsent`] comes first.
    pub async fn log_out(self) -> Result<(), Error> {
        self.end_token().await
    }

    /// As [`log_out`](Client::log_out), for an owner that keeps it.
    pub(crate) async fn end_token(&self) -> Result<(), Error> {
        self.sender.shared.log_out();
        self.sender.shared.over().await;
        self.sender.shared.ended_well()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.sender.close();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("jid", &self.jid()).finish_non_exhaustive()
    }
}

/// Sends for a [`Client`], from any task. It does not keep the client alive.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

impl Sender {
    /// Sends a message, presence, or any other stanza, and returns the id under which it goes.
    ///
    /// It waits until the operating system has taken the stanza. While the client is offline it waits only until there is room, up
    /// to a thousand stanzas and a megabyte: what lies there is sent when the client is online again. Cancelled when there was room,
    /// the stanza is sent all the same. Where the server has stream management (XEP-0198) what was on its way when a connection broke is
    /// sent again; otherwise nobody knows whether it has come, and a [receipt](balcony_client::Receipts) tells.
    ///
    /// Presence without `to` is what everybody sees; it is sent again whenever the client comes online.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`]
    pub async fn send(&self, stanza: impl Into<Stanza>) -> Result<Arc<str>, Error> {
        let mut stanza = Some(stanza.into());
        let (id, number) = self.shared.send(&mut stanza).await?;
        self.shared.sent_below(number).await;
        Ok(id)
    }

    /// Sends a request and waits for its result.
    ///
    /// # Errors
    ///
    /// [`Error::Request`]: it was refused, has no answer in time (30 seconds unless it says otherwise), or the client is or goes
    /// offline; or too much waits, 1,024 stanzas or 1 MiB to be sent, or 1,024 requests for their answers. [`Error::Ended`].
    pub async fn request(&self, iq: Iq) -> Result<Response, Error> {
        self.shared.request(iq)?.response().await
    }

    /// Says whether somebody uses this client (XEP-0352): on a phone, whether the screen is on and shows it. As long as nobody does the
    /// server may hold back what is not urgent, such as presence, and send it together with the next message, so that the radio can sleep
    /// meanwhile. At first somebody does. It holds until it is called again, whatever becomes of the connection, and needs a server that
    /// has it; others send everything at once, as ever.
    pub fn set_active(&self, is_active: bool) {
        self.shared.set_active(is_active);
    }

    /// An extension of the client.
    ///
    /// # Errors
    ///
    /// [`Error::NoExtension`]
    pub fn ext<X: Extension>(&self) -> Result<Ext<'_, X>, Error> {
        self.shared.with(|_: &mut X| {})?;
        Ok(Ext::new(&self.shared))
    }

    /// The address that the server has bound; `None` while the client is offline.
    #[must_use]
    pub fn jid(&self) -> Option<FullJid> {
        self.shared.jid()
    }

    /// The device has slept, or its network has changed: for programs that are told so. If the client is online it asks the server at once
    /// whether the connection still lives; if nothing comes within a second ([`wake`](balcony_client::ClientConfig::wake)), it connects again at
    /// once. If it waits to connect again, it does so now.
    pub fn wake(&self) {
        self.shared.wake();
    }

    /// Waits until the client has ended.
    #[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
    pub(crate) async fn over(&self) {
        self.shared.over().await;
    }

    /// Ends the client: it sends what still waits, says goodbye, and its [`next`](Client::next) returns `None`.
    pub fn close(&self) {
        self.shared.close();
    }

    /// What may not have arrived, the oldest first, after the client has ended: as in [`Error::Unsent`], but also if it was not closed, or
    /// ended for another reason. Once.
    #[must_use]
    pub fn take_unsent(&self) -> Vec<Stanza> {
        self.shared.take_unsent()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("jid", &self.jid()).finish_non_exhaustive()
    }
}
