//! The two ends of one stream, of any two roles, and the wires between them.
//!
//! TLS is only announced, so that the bytes can be read and compared. What happens at each end is noted in words, by which two
//! runs can be compared.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use balcony_machine::{Instant, Progress, Seed};
use balcony_stanza::Stanza;
use balcony_stream::client::{Client, ClientStreamConfig};
use balcony_stream::server::{Server, ServerStreamConfig};
use balcony_stream::{ClientStream, Error, Security, ServerStream, Side, Sorted, Stream};

use crate::{Accounts, Asked, Chunks};

/// Which end of a [`Pair`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The initiating entity.
    Client,
    /// The receiving entity.
    Server,
}

/// Something that came out of one end, in words that two runs can be compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// An event; stanzas as they look on the wire.
    Event(String),
    /// The stream was closed in good order.
    Closed,
    /// The stream ended.
    Failed(Error),
}

/// A role whose asks [`Accounts`] can answer: every one.
pub trait Simulated: Side<Ask: Asked<Answer = <Self as Side>::Answer>> {}

impl<S: Side<Ask: Asked<Answer = <S as Side>::Answer>>> Simulated for S {}

/// Both ends of one stream, the wires between them, and the accounts of the server.
///
/// TLS is simulated: both ends are told that it is up, and what it says of itself, and the bytes go through as they are.
#[derive(Debug)]
pub struct Pair<C: Side = Client, S: Side = Server> {
    /// The virtual time.
    pub now: Instant,
    /// The initiating end.
    pub client: Stream<C>,
    /// The receiving end.
    pub server: Stream<S>,
    /// Who can log in.
    pub accounts: Accounts,
    chunks: Chunks,
    /// What TLS says of itself at either end.
    security: [Security; 2],
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    sent: [Vec<u8>; 2],
    happened: [Vec<Happened>; 2],
}

impl Pair {
    /// A client and a server that have exchanged nothing yet. `exporter` is what a simulated TLS session says of itself.
    #[must_use]
    pub fn new(
        client: ClientStreamConfig,
        server: ServerStreamConfig,
        accounts: Accounts,
        exporter: Option<[u8; 32]>,
        chunks: Chunks,
        seed: u64,
    ) -> Self {
        let mut random = Seed::from_u64(seed).random();
        let now = Instant::ZERO;
        let client = ClientStream::new(Arc::new(client), random.seed(), now);
        let server = ServerStream::new(Arc::new(server), random.seed(), now);
        let security = Security::new(exporter);
        Pair::between(client, server, accounts, [security.clone(), security], chunks)
    }
}

impl<C: Simulated, S: Simulated> Pair<C, S> {
    /// Any two ends of a stream that have exchanged nothing yet; the initiating one stands for the client. `security` is
    /// what a simulated TLS session says of itself to either.
    #[must_use]
    pub fn between(
        client: Stream<C>,
        server: Stream<S>,
        accounts: Accounts,
        security: [Security; 2],
        chunks: Chunks,
    ) -> Self {
        Pair {
            now: Instant::ZERO,
            client,
            server,
            accounts,
            chunks,
            security,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            sent: [Vec::new(), Vec::new()],
            happened: [Vec::new(), Vec::new()],
        }
    }

    /// Lets bytes go back and forth until neither end has anything to say. Every piece takes a millisecond.
    pub fn run(&mut self) {
        loop {
            self.step(End::Client);
            self.step(End::Server);
            if self.to_server.is_empty() && self.to_client.is_empty() {
                // Whoever spoke last may have been answered by nothing.
                return;
            }
        }
    }

    /// Gives `end` the next piece of what has been sent to it.
    fn step(&mut self, end: End) {
        let wire = match end {
            End::Client => &mut self.to_client,
            End::Server => &mut self.to_server,
        };
        let length = self.chunks.next(wire.len());
        let chunk: Vec<u8> = wire.drain(..length).collect();
        self.now = self.now + Duration::from_millis(1);
        let mut input = chunk.as_slice();
        let mut out = Vec::new();
        let (happened, security) = (&mut self.happened[end as usize], &self.security[end as usize]);
        let (now, accounts) = (self.now, &mut self.accounts);
        match end {
            End::Client => drive(&mut self.client, now, &mut input, &mut out, accounts, security, happened),
            End::Server => drive(&mut self.server, now, &mut input, &mut out, accounts, security, happened),
        }
        self.send(end, &out);
    }

    fn send(&mut self, end: End, bytes: &[u8]) {
        self.sent[end as usize].extend_from_slice(bytes);
        match end {
            End::Client => self.to_server.extend(bytes),
            End::Server => self.to_client.extend(bytes),
        }
    }

    /// Sends a stanza from one end.
    ///
    /// # Panics
    ///
    /// Unless the stream is open there.
    pub fn send_stanza(&mut self, end: End, stanza: &Stanza) {
        let mut out = Vec::new();
        let sent = match end {
            End::Client => self.client.send(stanza, &mut out),
            End::Server => self.server.send(stanza, &mut out),
        };
        sent.expect("an open stream");
        self.send(end, &out);
    }

    /// Closes the stream from one end.
    pub fn close(&mut self, end: End) {
        let mut out = Vec::new();
        match end {
            End::Client => self.client.close(self.now, &mut out),
            End::Server => self.server.close(self.now, &mut out),
        }
        self.send(end, &out);
    }

    /// Everything that an end has sent.
    #[must_use]
    pub fn sent(&self, end: End) -> &[u8] {
        &self.sent[end as usize]
    }

    /// Everything that came out of an end.
    #[must_use]
    pub fn happened(&self, end: End) -> &[Happened] {
        &self.happened[end as usize]
    }
}

/// Lets one end take bytes until it wants more, and notes what happened.
fn drive<S: Simulated>(
    stream: &mut Stream<S>,
    now: Instant,
    input: &mut &[u8],
    out: &mut Vec<u8>,
    accounts: &mut Accounts,
    security: &Security,
    happened: &mut Vec<Happened>,
) {
    let end = loop {
        match stream.advance(now, input, out) {
            Ok(Progress::Event(event)) => match S::sort(event) {
                Sorted::Ask(ticket, ask) => {
                    let answer = accounts.answer(ask);
                    stream.answer(ticket, answer).expect("the ask has just been opened");
                }
                Sorted::StartTls => {
                    happened.push(Happened::Event("StartTls".into()));
                    stream.secured(security.clone()).expect("the handshake is due");
                }
                Sorted::Stanza(stanza) => {
                    let mut wire = Vec::new();
                    stanza.write(&mut wire);
                    happened.push(Happened::Event(String::from_utf8_lossy(&wire).into_owned()));
                }
                Sorted::Other(event) => happened.push(Happened::Event(format!("{event:?}"))),
            },
            Ok(Progress::NeedInput | Progress::Blocked(_)) => return,
            Ok(Progress::Closed) => break Happened::Closed,
            Err(error) => break Happened::Failed(error),
        }
    };
    // How an end came to its end, once.
    if happened.last() != Some(&end) {
        happened.push(end);
    }
}
