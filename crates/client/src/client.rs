//! The machine of a client: one account's connection, its requests, and the answers that every client owes.
//!
//! What the stream tells becomes the client's own events here. Requests that any client answers in the same way are answered by
//! `services.rs`, and shown only if they tell of a change. All else is left to the owner, initial presence and the roster too.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use balcony_connection::{ClientConnection, Error};
use balcony_jid::{BareJid, FullJid, Jid};
use balcony_machine::{ApiMisuse, Deadline, Instant, Progress, Reason, Seed, Ticket};
use balcony_sasl::Mechanism;
use balcony_stanza::{IqType, Kind, Payload, Stanza, StanzaError};
use balcony_stream::client::{ClientAnswer, ClientAsk, ClientEvent, ServerFeatures};

use crate::config::Config;
use crate::requests::{RequestId, RequestOutcome, Requests};
use crate::services;

/// One account's connection to its server. See the [crate].
#[derive(Debug)]
pub struct Client {
    config: Config,
    connection: ClientConnection,
    requests: Requests,
    mechanism: Option<Mechanism>,
}

/// What a [`Client`] tells its owner.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The next byte is TLS's: run it, then call `Client::secured`. Only if the configuration has no TLS of its own.
    StartTls,
    /// Compute this and bring the [`answer`](Client::answer); it takes a while on purpose.
    Ask(Ticket, ClientAsk),
    /// The server has accepted the password, and proven that it knows it where the mechanism can show that.
    Authenticated {
        /// The account.
        account: BareJid,
        /// How. Whoever has seen more than PLAIN can keep to that
        /// ([`mechanisms`](balcony_stream::client::ClientStreamConfig::mechanisms)).
        mechanism: Mechanism,
    },
    /// The resource is bound. Send initial presence (RFC 6121 section 4.2) to receive messages.
    Online(FullJid),
    /// A stanza that answers no request of ours. What the server pushes to its account's clients, changes of the roster
    /// and of the blocked, has been answered already.
    Stanza(Box<Stanza>),
    /// A request has been answered, or has expired.
    Response(RequestId, RequestOutcome),
}

impl Client {
    /// A client that will connect. `now` begins the time allowed for negotiation.
    #[must_use]
    pub fn new(config: Config, seed: &Seed, now: Instant) -> Self {
        let mut random = seed.random();
        let connection = ClientConnection::new(Arc::new(config.stream.clone()), random.seed(), now);
        #[cfg(feature = "tls")]
        let connection = match &config.tls {
            Some(tls) => connection.with_tls(tls.clone(), config.server_name()),
            None => connection,
        };
        #[cfg(feature = "websocket")]
        let connection = match &config.websocket {
            Some(url) => {
                connection.with_websocket(url, &random.seed(), config.stream.limits.after_auth.bytes)
            }
            None => connection,
        };
        Client { connection, requests: Requests::new(random.token(8)), mechanism: None, config }
    }

    /// Takes the server's bytes up to the next event, and appends what is to be sent to `out`. Call it once without
    /// input to begin.
    ///
    /// # Errors
    ///
    /// The [`Error`] that ended the connection.
    pub fn advance(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress<Event>, Error> {
        self.run(now, out, |connection, out| connection.advance(now, input, out))
    }

    /// Does what has become due, and takes no input, not even such as has come before: for an owner who has no place for
    /// another stanza now. Call it until it returns no event.
    ///
    /// # Errors
    ///
    /// As for [`advance`](Client::advance).
    pub fn tick(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<Progress<Event>, Error> {
        self.run(now, out, |connection, out| connection.tick(now, out))
    }

    fn run(
        &mut self,
        now: Instant,
        out: &mut Vec<u8>,
        mut step: impl FnMut(&mut ClientConnection, &mut Vec<u8>) -> Result<Progress<ClientEvent>, Error>,
    ) -> Result<Progress<Event>, Error> {
        loop {
            if let Some(request) = self.requests.expired(now) {
                return Ok(Progress::Event(Event::Response(request, RequestOutcome::TimedOut)));
            }
            let event = match step(&mut self.connection, out)? {
                Progress::Event(event) => event,
                other => return Ok(other.map(|_| Event::StartTls)),
            };
            if let Some(event) = self.translate(event, out)? {
                return Ok(Progress::Event(event));
            }
        }
    }

    fn translate(&mut self, event: ClientEvent, out: &mut Vec<u8>) -> Result<Option<Event>, Error> {
        Ok(Some(match event {
            ClientEvent::StartTls => Event::StartTls,
            ClientEvent::Ask(ticket, ask) => Event::Ask(ticket, ask),
            ClientEvent::Authenticated { account, mechanism } => {
                self.mechanism = Some(mechanism);
                Event::Authenticated { account, mechanism }
            }
            ClientEvent::Bound(jid) => Event::Online(jid),
            ClientEvent::Stanza(stanza) => {
                if let Some(request) = self.connection.jid().and_then(|own| self.requests.close(&stanza, own))
                {
                    return Ok(Some(Event::Response(request, outcome(*stanza))));
                }
                let own = self.connection.jid();
                let is_push = own.is_some_and(|own| services::is_push(&stanza, own));
                if let Some(answer) = services::answer(&stanza, is_push, &self.config) {
                    // While the stream is closing there is nobody left to answer to.
                    let _ = self.connection.send(&answer);
                    self.connection.flush(out)?;
                    if !is_push {
                        return Ok(None);
                    }
                }
                Event::Stanza(stanza)
            }
        }))
    }

    /// The transport has ended.
    ///
    /// # Errors
    ///
    /// If the stream had not been closed by then.
    pub fn eof(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<Progress<Event>, Error> {
        Ok(self.connection.eof(now, out)?.map(|_| Event::StartTls))
    }

    /// When to call [`advance`](Client::advance) even if nothing has come. It is later than the time of the last such call,
    /// unless that call returned an event.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        let request = self.requests.deadline().map(|at| Deadline { at, reason: Reason::Request });
        match (self.connection.deadline(), request) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Brings the answer to an ask.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if the ask is not open.
    pub fn answer(&mut self, ticket: Ticket, answer: ClientAnswer) -> Result<(), ApiMisuse> {
        self.connection.answer(ticket, answer)
    }

    /// The TLS session that the caller runs is up.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if no handshake was due.
    pub fn secured(&mut self, security: balcony_stream::Security) -> Result<(), ApiMisuse> {
        self.connection.secured(security)
    }

    /// What TLS has negotiated; `None` in the clear.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(&self) -> Option<&balcony_tls::Established> {
        self.connection.tls()
    }

    /// Whether the server has proven who it is: TLS is up, and its certificate was checked and is for the account's
    /// domain. Never where TLS is the owner's.
    #[must_use]
    pub fn is_server_proven(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls().is_some_and(|tls| tls.peer_valid_for.is_some());
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Appends a stanza to `out`. Give an iq get or set an id of your own only if you watch for its answer yourself;
    /// otherwise use [`request`](Client::request).
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] unless the client is online.
    pub fn send(&mut self, stanza: &Stanza, out: &mut Vec<u8>) -> Result<(), ApiMisuse> {
        self.connection.send(stanza)?;
        self.connection.flush(out).map_err(|_| ApiMisuse("the connection has failed"))
    }

    /// Sends a request (RFC 6120 section 8.2.3); its outcome arrives as [`Event::Response`] within `timeout`.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] unless the client is online.
    pub fn request(
        &mut self,
        now: Instant,
        kind: RequestKind,
        to: Option<Jid>,
        payload: Payload,
        timeout: Duration,
        out: &mut Vec<u8>,
    ) -> Result<RequestId, ApiMisuse> {
        if !self.connection.is_open() {
            return Err(ApiMisuse("requests can be sent while the client is online"));
        }
        let (request, id) = self.requests.open(now, to.clone(), timeout);
        let mut stanza = Stanza::iq(match kind {
            RequestKind::Get => IqType::Get,
            RequestKind::Set => IqType::Set,
        })
        .id(&id)
        .payload(payload);
        stanza.head.to = to;
        self.send(&stanza, out)?;
        Ok(request)
    }

    /// Closes the stream in good order; call [`advance`](Client::advance) until it says
    /// [`Closed`](Progress::Closed). Say goodbye with unavailable presence first (RFC 6121 section 4.5).
    pub fn close(&mut self, now: Instant, out: &mut Vec<u8>) {
        self.connection.close(now);
        // A TLS failure shows at the next advance.
        let _ = self.connection.flush(out);
    }

    /// The JID that the server has bound.
    #[must_use]
    pub fn jid(&self) -> Option<&FullJid> {
        self.connection.jid()
    }

    /// How the login went, from [`Event::Authenticated`] on.
    #[must_use]
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism
    }

    /// What the server has announced that the owner may use.
    #[must_use]
    pub fn features(&self) -> ServerFeatures {
        self.connection.features()
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Asks.
    Get,
    /// Changes.
    Set,
}

fn outcome(stanza: Stanza) -> RequestOutcome {
    if stanza.head.kind != Kind::Iq(IqType::Error) {
        return RequestOutcome::Result(stanza);
    }
    let error = stanza.payload.parse().ok().and_then(|payload| StanzaError::from_payload(payload.root()));
    RequestOutcome::Error(error.unwrap_or_else(|| balcony_stanza::ErrorCondition::UndefinedCondition.into()))
}
