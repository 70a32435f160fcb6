//! A client with its socket, as its user awaits it. It has no task of its own: a `Pump` says what is to be done next, and each
//! method does so while it is awaited.

mod begin;
mod log_out;
mod wire;

use core::fmt;
use core::time::Duration;

use balcony_client::{
    ClientConfig, Endpoint, MachineEvent, Mark, PumpError as Error, RequestId, RequestKind, RequestOutcome,
};
use balcony_jid::{FullJid, Jid};
use balcony_stanza::{Payload, Stanza};

use crate::Runtime;
use wire::Wire;
pub(crate) use wire::{poll_try, poll_write};

/// One account's connection to its server.
///
/// It has no task of its own: what the server sends is handled while one of its methods is being awaited, usually
/// [`next`](ConnectedClient::next).
pub struct ConnectedClient<R: Runtime> {
    wire: Wire<R>,
    jid: FullJid,
    config: ClientConfig,
    endpoint: Endpoint,
    /// A new session has begun that [`reconnect`](ConnectedClient::reconnect) has not told of.
    has_untold_session: bool,
}

impl<R: Runtime> ConnectedClient<R> {
    /// The device has slept, or its network has changed: asks the server at once whether the connection still lives, as soon as one of the
    /// other methods is awaited. If it does not, [`next`](ConnectedClient::next) says so within [`ClientConfig::wake`], and
    /// [`reconnect`](ConnectedClient::reconnect) can go on with the session.
    pub fn wake(&mut self) {
        self.wire.pump.wake(self.wire.now());
    }

    /// Says whether somebody uses this client (XEP-0352), so that the server may hold back what is not urgent while nobody does; see
    /// [`balcony_client::ClientMachine::set_active`]. It leaves as soon as one of the other methods is awaited, and holds for later
    /// sessions, too.
    pub fn set_active(&mut self, is_active: bool) {
        self.wire.pump.set_active(is_active);
    }

    /// From now on it is said which stanzas are [handled](ConnectedClient::handled), also after [`reconnect`](ConnectedClient::reconnect): for
    /// somebody who must not lose what [`next`](ConnectedClient::next) has brought. Say it before initial presence; see
    /// [`balcony_client::ClientMachine::tell_handled`].
    pub fn tell_handled(&mut self) {
        self.wire.pump.tell_handled();
    }

    /// So many more of the stanzas that [`next`](ConnectedClient::next) has brought are handled, so that the server may forget them; see
    /// [`balcony_client::ClientMachine::handled`]. Where that is counted (XEP-0198) those that are not when the
    /// stream is closed the server has for the next client, and those that are not when `reconnect` is called come again.
    pub fn handled(&mut self, count: u32) {
        self.wire.pump.handled(count);
    }

    /// The JID that the server has bound.
    #[must_use]
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// The client below, to look at.
    #[must_use]
    pub fn machine(&self) -> &balcony_client::ClientMachine {
        self.wire.pump.client()
    }

    /// Waits for the next event: a stanza, or the outcome of a request that was [started](ConnectedClient::start_request). `None`:
    /// the server has closed the stream in good order.
    ///
    /// Cancel-safe: if another branch of a `select!` is first, nothing is lost.
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    pub async fn next(&mut self) -> Result<Option<MachineEvent>, Error> {
        self.wire.next().await
    }

    /// Goes on with everything but events, for somebody who cannot take any now: what was sent is written, what is due is done, and what comes
    /// is kept for [`next`](ConnectedClient::next), up to 1,024 events and 1 MiB. Then nothing more is read; the server is still told every few seconds
    /// what was taken and that the client is there, so that it does not think the connection dead.
    ///
    /// It returns when the connection has ended; cancel-safe. What was kept still comes from `next`.
    ///
    /// # Errors
    ///
    /// Why the connection has ended, unless the server has closed the stream in good order.
    pub async fn hold(&mut self) -> Result<(), Error> {
        let end = loop {
            match self.wire.pump.absorb(self.wire.now()) {
                Ok(()) if self.wire.pump.is_closed() => break Ok(()),
                Ok(()) => {}
                Err(error) => break Err(error),
            }
            self.wire.exchange().await?;
        };
        self.wire.last_words().await;
        end
    }

    /// Waits until the server has acknowledged all that was sent, where that is counted (XEP-0198): for somebody who is about to close. What
    /// comes meanwhile is kept for [`next`](ConnectedClient::next).
    ///
    /// # Errors
    ///
    /// Why the connection has ended; [`Error::Overrun`] if more than 1,024 stanzas, or 1 MiB, come meanwhile.
    pub async fn acknowledged(&mut self) -> Result<(), Error> {
        self.wire.pump.request_ack(self.wire.now());
        loop {
            self.wire.pump.absorb(self.wire.now())?;
            if self.machine().unacknowledged().next().is_none() {
                return Ok(());
            }
            if self.wire.pump.is_full() {
                return Err(Error::Overrun);
            }
            if self.wire.pump.is_closed() {
                return Err(Error::Ended(balcony_stream::Error::Truncated.into()));
            }
            self.wire.exchange().await?;
        }
    }

    /// Sends a stanza, and waits until the operating system has taken it.
    ///
    /// If it is cancelled, the stanza still goes out with the next call of any method, unless it has waited until the server had
    /// acknowledged others, which it does when there is no room for more ([`outbox`](balcony_machine::Limits::outbox)).
    ///
    /// # Errors
    ///
    /// Why the connection has ended, if the stanza has not been sent: neither has all of it left, nor does the session
    /// [keep](balcony_client::ClientMachine::unacknowledged) it to send it again. It may be given to another session then, and is not there twice.
    /// [`Error::Full`] if there is no room, and more than 1,024 stanzas or 1 MiB have come that [`next`](ConnectedClient::next) has not brought.
    pub async fn send(&mut self, stanza: &Stanza) -> Result<(), Error> {
        let queued = self.queue(stanza).await?;
        self.written(queued).await
    }

    /// The first half of [`send`](ConnectedClient::send): takes the stanza as soon as there is room for it. Cancelled it has not taken it.
    ///
    /// # Errors
    ///
    /// As `send`.
    pub async fn queue(&mut self, stanza: &Stanza) -> Result<Queued, Error> {
        loop {
            match self.wire.pump.send(self.wire.now(), stanza) {
                Err(Error::Full) if !self.wire.pump.is_full() => {}
                result => {
                    result?;
                    return Ok(self.queued());
                }
            }
            self.wire.pump.absorb(self.wire.now())?;
            self.wire.exchange().await?;
        }
    }

    fn queued(&self) -> Queued {
        Queued { end: self.wire.pump.mark(), is_kept: self.machine().counts_sent() }
    }

    /// The second half: waits until the operating system has taken what was [queued](ConnectedClient::queue). Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`send`](ConnectedClient::send). What is kept to be sent again is no error: that the connection has ended is what
    /// [`next`](ConnectedClient::next) says.
    pub async fn written(&mut self, queued: Queued) -> Result<(), Error> {
        let result = loop {
            if let Err(error) = self.wire.pump.absorb(self.wire.now()) {
                break Err(error);
            }
            if self.wire.pump.has_written(queued.end) {
                return Ok(());
            }
            if let Err(error) = self.wire.exchange().await {
                break Err(error);
            }
        };
        if queued.is_kept || self.wire.pump.has_written(queued.end) { Ok(()) } else { result }
    }

    /// The oldest event that was kept, for somebody who does not go on with this connection: [`next`](ConnectedClient::next) without waiting and
    /// without the connection.
    pub fn next_kept(&mut self) -> Option<MachineEvent> {
        self.wire.early.pop_front().or_else(|| self.wire.pump.next_kept())
    }

    /// Sends a request (RFC 6120 section 8.2.3) and waits for its outcome. Stanzas that come meanwhile are kept for
    /// [`next`](ConnectedClient::next), which brings them even if the connection has ended. `to` is `None` for one's own account.
    ///
    /// If it is cancelled, the outcome comes from `next`.
    ///
    /// # Errors
    ///
    /// Why the connection has ended; [`Error::Overrun`] if more than 1,024 stanzas, or 1 MiB, come meanwhile.
    pub async fn request(
        &mut self,
        kind: RequestKind,
        to: Option<Jid>,
        payload: Payload,
        timeout: Duration,
    ) -> Result<RequestOutcome, Error> {
        let request = self.wire.pump.request(self.wire.now(), kind, to, payload, timeout)?;
        loop {
            match self.wire.pump.outcome(self.wire.now(), request)? {
                Some(outcome) => return Ok(outcome),
                None => self.wire.exchange().await?,
            }
        }
    }

    /// Sends a request whose outcome comes from [`next`](ConnectedClient::next) as [`MachineEvent::Response`].
    ///
    /// # Errors
    ///
    /// Why the connection has ended.
    pub async fn start_request(
        &mut self,
        kind: RequestKind,
        to: Option<Jid>,
        payload: Payload,
        timeout: Duration,
    ) -> Result<RequestId, Error> {
        let request = self.wire.pump.request(self.wire.now(), kind, to, payload, timeout)?;
        let queued = self.queued();
        self.written(queued).await?;
        Ok(request)
    }

    /// Begins to close the stream in good order: [`next`](ConnectedClient::next) brings what still comes, and in the end `None`. Send
    /// unavailable presence first (RFC 6121 section 4.5).
    pub fn start_close(&mut self) {
        self.wire.pump.close(self.wire.now());
    }

    /// Closes the stream in good order, and waits, for a bounded time, until the server has closed its side. What still
    /// comes is dropped; [`start_close`](ConnectedClient::start_close) drops nothing.
    ///
    /// # Errors
    ///
    /// Why it did not end in good order.
    pub async fn close(mut self) -> Result<(), Error> {
        self.start_close();
        while self.next().await?.is_some() {}
        Ok(())
    }
}

impl<R: Runtime> fmt::Debug for ConnectedClient<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectedClient").field("jid", &self.jid).finish_non_exhaustive()
    }
}

/// A stanza that a [`ConnectedClient`] has taken, and that may not have left yet.
#[derive(Clone, Copy, Debug)]
pub struct Queued {
    /// Where it ends in the output.
    end: Mark,
    /// The session keeps it until it is acknowledged.
    is_kept: bool,
}
