//! A server with its clients and all that can go wrong around them: peers that stall or hang up, networks that break, a store
//! that is slow or does nothing, a crash.
//!
//! In which order things happen is decided by the seed. A machine that leaves something undone that is due fails the run.

use core::mem;
use core::time::Duration;
use std::collections::VecDeque;

use balcony_client::{Client, Event, RequestKind, RequestOutcome};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Random, Secret, Seed, Ticket};
use balcony_server::{
    Action, Answer, Ask, Config, ConnectionId, Ended, Notice, SavedSession, Server, Transport,
};
use balcony_stanza::{Payload, PresenceType, Stanza};
use balcony_stream::TlsPolicy;

use crate::{Accounts, Chunks};

/// A server and its clients in one thread, with virtual time.
///
/// Streams go in the clear; what happens when is decided by the seed.
#[derive(Debug)]
pub struct World {
    /// The virtual time.
    pub now: Instant,
    /// The server.
    pub server: Server,
    /// Who can log in.
    pub accounts: Accounts,
    /// Whether what the router asks of the store takes a while. Otherwise it is answered at once.
    pub slow_store: bool,
    /// Whether the store does nothing at all, if it is a slow one.
    pub store_hangs: bool,
    /// Whether the server's sessions are kept only when it [gets on](World::keep_sessions), if it shuts down.
    pub sessions_hang: bool,
    /// What answers extensions that ask whoever runs the server. Otherwise nobody does.
    pub external: External,
    /// Whether clients leave requests that they do not know to [`take_stanzas`](World::take_stanzas), or refuse them.
    pub take_requests: bool,
    config: Config,
    /// The sessions that are kept while the server is down.
    sessions: Vec<SavedSession>,
    /// Those that the server wants to be kept.
    keeping: Option<(Ticket, Vec<SavedSession>)>,
    /// What the store has not done yet.
    asks: Vec<(Ticket, balcony_router::Ask)>,
    peers: Vec<Wires>,
    random: Random,
    chunks: Chunks,
}

/// What a program does that runs a server with extensions of its own: it answers the question of an extension, which it names, for an
/// account; `None` if it can't.
pub type External = fn(&BareJid, &'static str, &[u8]) -> Option<Vec<u8>>;

/// Names one connection of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer(usize);

#[derive(Debug)]
struct Wires {
    /// Unless the server that had it has crashed.
    id: Option<ConnectionId>,
    client: Option<Client>,
    /// The client, if its network is gone.
    asleep: Option<Client>,
    config: Option<balcony_client::Config>,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// The server waits for this connection's output to be written.
    writing: bool,
    /// The server is ready for more input.
    reads: bool,
    /// Whether the peer takes what the server sends.
    stalled: bool,
    /// The server has closed it.
    closed: bool,
    ended: Option<Ended>,
    received: Vec<u8>,
    writes: Vec<(Instant, usize)>,
    stanzas: Vec<Stanza>,
    outcomes: Vec<RequestOutcome>,
    failed: Option<balcony_client::Error>,
}

impl World {
    /// A world for `example.com` without TLS, with these accounts. Its sessions end with their connections; those who want to see them
    /// resumed set [`stream_management`](Config::stream_management).
    #[must_use]
    pub fn new(accounts: Accounts, chunks: Chunks, seed: u64, change: impl FnOnce(&mut Config)) -> Self {
        let mut random = Seed::from_u64(seed).random();
        let domain = BareJid::parse("example.com").expect("a valid domain");
        let mut config = Config::new(vec![domain], Secret::new([9; 32]));
        config.tls = TlsPolicy::None;
        config.stream_management = false;
        change(&mut config);
        World {
            now: Instant::ZERO,
            server: Server::new(config.clone(), random.seed()),
            accounts,
            slow_store: false,
            store_hangs: false,
            sessions_hang: false,
            external: |_, _, _| None,
            take_requests: false,
            config,
            sessions: Vec::new(),
            keeping: None,
            asks: Vec::new(),
            peers: Vec::new(),
            random,
            chunks,
        }
    }

    /// Randomness for what belongs to this world.
    pub(crate) fn seed(&mut self) -> Seed {
        self.random.seed()
    }

    /// How much of so many bytes comes at once.
    pub(crate) fn piece(&mut self, available: usize) -> usize {
        self.chunks.next(available)
    }

    /// Opens a connection that sends nothing by itself.
    pub fn raw(&mut self) -> Peer {
        let mut actions = Vec::new();
        let id = self.server.accept(self.now, Transport::Stream, &mut actions);
        self.peers.push(Wires {
            id: Some(id),
            client: None,
            asleep: None,
            config: None,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            writing: false,
            reads: true,
            stalled: false,
            closed: false,
            ended: None,
            received: Vec::new(),
            writes: Vec::new(),
            stanzas: Vec::new(),
            outcomes: Vec::new(),
            failed: None,
        });
        self.act(actions);
        Peer(self.peers.len() - 1)
    }

    /// Logs a client in; `jid` has a resource. It sends no presence yet.
    ///
    /// # Panics
    ///
    /// If the JID has no resource.
    pub fn client(&mut self, jid: &str, password: &str) -> Peer {
        let peer = self.connect(jid, password);
        self.run();
        peer
    }

    /// Has a client begin to log in; nothing else happens yet.
    ///
    /// # Panics
    ///
    /// If the JID has no resource.
    pub fn connect(&mut self, jid: &str, password: &str) -> Peer {
        let jid = balcony_jid::FullJid::parse(jid).expect("a full JID");
        let mut config = balcony_client::Config::new(jid.to_bare(), Secret::new(String::from(password)));
        config.stream.tls = TlsPolicy::None;
        config.stream.resource = Some(String::from(jid.resourcepart()));
        config.take_requests = self.take_requests;
        let client = Client::new(config.clone(), &self.random.seed(), self.now);
        let peer = self.raw();
        (self.peers[peer.0].client, self.peers[peer.0].config) = (Some(client), Some(config));
        peer
    }

    /// A client that has sent presence with this priority.
    pub fn online(&mut self, jid: &str, password: &str, priority: i8) -> Peer {
        let peer = self.client(jid, password);
        self.available(peer, priority);
        peer
    }

    /// Sends presence with this priority, and lets it arrive.
    pub fn available(&mut self, peer: Peer, priority: i8) {
        let xml = format!("<priority>{priority}</priority>");
        let payload = parse(&xml);
        self.send(peer, &Stanza::presence(PresenceType::Available).payload(payload));
        self.run();
    }

    /// Sends a stanza from a client. It is on its way until [`run`](World::run).
    ///
    /// # Panics
    ///
    /// If the client is not online.
    pub fn send(&mut self, peer: Peer, stanza: &Stanza) {
        let mut out = Vec::new();
        let wires = &mut self.peers[peer.0];
        let client = wires.client.as_mut().expect("a client");
        client
            .send(self.now, stanza, &mut out)
            .unwrap_or_else(|_| panic!("the client is not online: {:?}", wires.failed));
        wires.to_server.extend(out);
    }

    /// Has a client say whether somebody uses it (XEP-0352).
    ///
    /// # Panics
    ///
    /// If it is no client, or has no connection.
    pub fn set_active(&mut self, peer: Peer, is_active: bool) {
        let mut out = Vec::new();
        let wires = &mut self.peers[peer.0];
        wires.client.as_mut().expect("a client").set_active(is_active, &mut out);
        wires.to_server.extend(out);
    }

    /// Sends a request from a client.
    ///
    /// # Panics
    ///
    /// If the client is not online.
    pub fn request(&mut self, peer: Peer, kind: RequestKind, to: Option<&str>, xml: &str) {
        let mut out = Vec::new();
        let wires = &mut self.peers[peer.0];
        let client = wires.client.as_mut().expect("a client");
        let to = to.map(|to| to.parse().expect("a JID"));
        client
            .request(self.now, kind, to, parse(xml), Duration::from_secs(30), &mut out)
            .expect("the client is online");
        wires.to_server.extend(out);
    }

    /// Puts bytes on the wire to the server.
    pub fn write(&mut self, peer: Peer, bytes: &[u8]) {
        self.peers[peer.0].to_server.extend(bytes);
    }

    /// From now on the peer takes nothing that the server sends, or again everything.
    pub fn stall(&mut self, peer: Peer, stalled: bool) {
        self.peers[peer.0].stalled = stalled;
    }

    /// Closes a client in good order.
    ///
    /// # Panics
    ///
    /// If it is no client.
    pub fn close(&mut self, peer: Peer) {
        let mut out = Vec::new();
        let wires = &mut self.peers[peer.0];
        wires.client.as_mut().expect("a client").close(self.now, &mut out);
        wires.to_server.extend(out);
    }

    /// Ends an account, and with it its sessions.
    pub fn remove(&mut self, account: &str) {
        let account = BareJid::parse(account).expect("a bare JID");
        let mut actions = Vec::new();
        self.server.remove_account(self.now, &account, &mut actions);
        self.act(actions);
    }

    /// The time that the store's clock shows, in milliseconds since 1970. The world begins on 2002-09-10T23:08:25Z.
    #[must_use]
    pub fn clock(&self) -> u64 {
        1_031_699_305_000 + self.now.as_nanos() / 1_000_000
    }

    /// Cuts the connection, as a network does. What the server had written before still arrives.
    pub fn cut(&mut self, peer: Peer) {
        let mut actions = Vec::new();
        self.peers[peer.0].closed = true;
        if let Some(id) = self.peers[peer.0].id {
            self.server.broken(self.now, id, &mut actions);
        }
        self.act(actions);
    }

    /// All connections are lost at once, and the server goes on. What it had written before still arrives.
    pub fn lose_connections(&mut self) {
        for wires in &mut self.peers {
            (wires.id, wires.closed, wires.writing) = (None, true, false);
        }
        let mut actions = Vec::new();
        self.server.lose_connections(self.now, &mut actions);
        self.act(actions);
    }

    /// The network of a peer is gone, and with it all but so many bytes of what is on its way, in each direction. If the server is not
    /// told it goes on as if the peer did not read.
    pub fn vanish(&mut self, peer: Peer, left: usize, is_told: bool) {
        let wires = &mut self.peers[peer.0];
        wires.stalled = true;
        let mut to_server = mem::take(&mut wires.to_server);
        to_server.truncate(left);
        wires.to_client.truncate(left);
        self.drain(peer);
        self.peers[peer.0].to_server = to_server;
        while self.peers[peer.0].reads && !self.peers[peer.0].to_server.is_empty() && self.step(peer.0) {}
        let wires = &mut self.peers[peer.0];
        wires.to_server.clear();
        wires.asleep = wires.client.take();
        if is_told {
            self.cut(peer);
        }
    }

    /// The client of a peer whose connection is lost comes back on another one, with the session that it had if it can.
    ///
    /// # Panics
    ///
    /// If it is no client, or has come back already.
    pub fn come_back(&mut self, peer: Peer) -> Peer {
        let wires = &mut self.peers[peer.0];
        let client = wires.asleep.take().or(wires.client.take());
        let (client, config) = client.zip(wires.config.take()).expect("a client");
        let seed = self.random.seed();
        let client = Client::resuming(config.clone(), client.into_session(), &seed, self.now);
        let client = client.expect("an account of its own");
        let peer = self.raw();
        (self.peers[peer.0].client, self.peers[peer.0].config) = (Some(client), Some(config));
        peer
    }

    /// The peer closes its side of the transport, behind what it has sent; it still reads.
    pub fn hang_up(&mut self, peer: Peer) {
        while !self.peers[peer.0].to_server.is_empty() && self.step(peer.0) {}
        let mut actions = Vec::new();
        if let Some(id) = self.peers[peer.0].id {
            self.server.eof(self.now, id, &mut actions);
        }
        self.act(actions);
    }

    /// The server dies, and with it all connections; another one begins with what the store has. Of what the store was to
    /// change a part has become durable.
    pub fn crash(&mut self) {
        let done = self.below(self.asks.len() + 1);
        let clock = self.clock();
        for (_, ask) in self.asks.drain(..).take(done) {
            self.accounts.kept.answer(clock, ask);
        }
        for wires in &mut self.peers {
            (wires.id, wires.closed, wires.writing) = (None, true, false);
        }
        self.begin_again();
    }

    /// The server ends in good order, with all connections, and another one begins after it was down for so long, with what the store has
    /// and the sessions that are kept.
    ///
    /// # Panics
    ///
    /// If the server does not get done.
    pub fn restart(&mut self, down: Duration) {
        self.shutdown();
        self.run();
        // Those that do not read are given up.
        let closing = self.config.limits.closing + Duration::from_secs(1);
        self.wait(closing);
        assert_eq!((self.server.connections(), self.server.router().counts().asks), (0, 0));
        self.start(down);
    }

    /// Another server begins after so long, when the one before has [shut down](World::shutdown).
    pub fn start(&mut self, down: Duration) {
        for wires in &mut self.peers {
            (wires.id, wires.closed, wires.writing) = (None, true, false);
        }
        self.now = self.now + down;
        self.begin_again();
    }

    /// The sessions that are kept while the server is down.
    pub fn kept_sessions(&mut self) -> &mut Vec<SavedSession> {
        &mut self.sessions
    }

    /// Keeps those that the server wants to be kept, if there are any and it has waited for that so far. Whether there were.
    pub fn keep_sessions(&mut self) -> bool {
        let Some((ticket, sessions)) = self.keeping.take() else { return false };
        self.sessions.extend(sessions);
        let mut actions = Vec::new();
        self.server.answer(self.now, ticket, Answer::Sessions(true), &mut actions);
        self.act(actions);
        true
    }

    /// Another server begins, with what the store has.
    fn begin_again(&mut self) {
        self.server = Server::new(self.config.clone(), self.random.seed());
        let (mut actions, clock) = (Vec::new(), self.clock());
        let sessions = mem::take(&mut self.sessions);
        self.server.restore(self.now, clock, sessions, &mut actions);
        self.act(actions);
    }

    /// Ends the server's streams.
    pub fn shutdown(&mut self) {
        let mut actions = Vec::new();
        self.server.shutdown(self.now, &mut actions);
        self.act(actions);
    }

    /// Lets everything that is on its way arrive, in an order that the seed decides.
    pub fn run(&mut self) {
        loop {
            let mut busy = false;
            let first = usize::try_from(self.random.next_u64()).unwrap_or(0);
            for turn in 0..self.peers.len() {
                let peer = (first.wrapping_add(turn)) % self.peers.len();
                busy |= self.step(peer);
            }
            busy |= self.step_store();
            busy |= self.take_in();
            if !busy {
                return;
            }
        }
    }

    /// Lets so many pieces of what is on its way arrive, so many asks be answered, or strangers' stanzas come to their recipients.
    pub fn run_some(&mut self, steps: usize) {
        for _ in 0..steps {
            let one = self.below(self.peers.len() + 2);
            if one < self.peers.len() {
                self.step(one);
            } else if one == self.peers.len() {
                self.step_store();
            } else {
                self.take_in();
            }
        }
    }

    /// Lets time pass until the server has nothing more to do at a certain time, or `limit` is over.
    pub fn wait(&mut self, limit: Duration) {
        let end = self.now + limit;
        self.run();
        while let Some(deadline) = self.server.deadline().filter(|deadline| deadline.at <= end) {
            self.now = self.now.max(deadline.at);
            self.tick();
            self.run();
        }
        self.now = end;
    }

    fn answer(&mut self, ask: balcony_router::Ask) -> Answer {
        use balcony_router::{Answer as Says, Ask as Asks};
        Answer::Router(match ask {
            Asks::External { account, extension, question } => {
                let answer = (self.external)(&account, extension, &question);
                answer.map_or(Says::Refused, |answer| Says::External(answer.into()))
            }
            ask => self.accounts.kept.answer(self.clock(), ask),
        })
    }

    /// Has the server do what is due. Then nothing is due any more.
    pub(crate) fn tick(&mut self) {
        let mut actions = Vec::new();
        self.server.tick(self.now, &mut actions);
        let left = self.server.deadline();
        assert!(left.is_none_or(|left| left.at > self.now), "{left:?} is still due at {:?}", self.now);
        self.act(actions);
    }

    /// A number below `end`, by the seed.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random.next_u64() % end as u64).unwrap_or(0)
    }

    /// Some of what strangers have sent comes to its recipients, if there is any.
    fn take_in(&mut self) -> bool {
        let (has_parked, mut actions) = (self.server.router().has_parked(), Vec::new());
        self.server.take_in(self.now, &mut actions);
        self.act(actions);
        has_parked
    }

    /// The store does one thing, if there is any. It keeps the order within an account.
    fn step_store(&mut self) -> bool {
        if self.asks.is_empty() || self.store_hangs {
            return false;
        }
        let any = self.below(self.asks.len());
        let account = self.asks[any].1.account();
        let first = self.asks.iter().position(|(_, ask)| ask.account() == account).unwrap_or(any);
        let (ticket, ask) = self.asks.remove(first);
        let mut actions = Vec::new();
        let answer = self.answer(ask);
        self.server.answer(self.now, ticket, answer, &mut actions);
        self.act(actions);
        true
    }

    /// Moves one piece in each direction of one connection; whether there was any.
    fn step(&mut self, index: usize) -> bool {
        self.now = self.now + Duration::from_micros(10);
        let mut busy = false;
        let mut actions = Vec::new();
        let wires = &mut self.peers[index];
        let Some(id) = wires.id else { return self.step_client(index) };
        if wires.writing && !wires.stalled {
            let mut bytes = Vec::new();
            self.server.take_output(id, &mut bytes);
            wires.writing = false;
            busy = true;
            wires.to_client.extend(&bytes);
            wires.received.extend(&bytes);
            if !bytes.is_empty() {
                wires.writes.push((self.now, bytes.len()));
            }
            self.server.written(self.now, id, &mut actions);
        }
        let wires = &mut self.peers[index];
        if wires.reads && !wires.closed && !wires.to_server.is_empty() {
            let length = self.chunks.next(wires.to_server.len());
            let chunk: Vec<u8> = wires.to_server.drain(..length).collect();
            wires.reads = false;
            busy = true;
            self.server.receive(self.now, id, &chunk, &mut actions);
        }
        self.act(actions);
        busy | self.step_client(index)
    }

    fn step_client(&mut self, index: usize) -> bool {
        let wires = &mut self.peers[index];
        let Some(client) = &mut wires.client else {
            wires.to_client.clear();
            return false;
        };
        if wires.failed.is_some() {
            return false;
        }
        let length = self.chunks.next(wires.to_client.len());
        let chunk: Vec<u8> = wires.to_client.drain(..length).collect();
        let (mut input, mut out) = (chunk.as_slice(), Vec::new());
        loop {
            match client.advance(self.now, &mut input, &mut out) {
                Ok(Progress::Event(Event::Ask(ticket, ask))) => {
                    let answer = self.accounts.answer(ask);
                    client.answer(ticket, answer).expect("the ask has just been opened");
                }
                Ok(Progress::Event(Event::Stanza(stanza))) => wires.stanzas.push(*stanza),
                Ok(Progress::Event(Event::Response(_, outcome))) => wires.outcomes.push(outcome),
                Ok(Progress::Event(_)) => {}
                Ok(Progress::NeedInput | Progress::Blocked(_) | Progress::Closed) => break,
                Err(error) => {
                    wires.failed = Some(error);
                    break;
                }
            }
        }
        let due = client.deadline().filter(|due| due.at <= self.now);
        assert!(due.is_none() || wires.failed.is_some(), "a client has {due:?} left at {:?}", self.now);
        wires.to_server.extend(&out);
        length > 0 || !out.is_empty()
    }

    /// Does what the server wants done.
    fn act(&mut self, mut actions: Vec<Action>) {
        while !actions.is_empty() {
            let mut next = Vec::new();
            for action in actions {
                match action {
                    Action::Ask(ticket, Ask::Router(ask)) if self.slow_store => self.asks.push((ticket, ask)),
                    Action::Ask(ticket, Ask::Sessions { sessions, .. }) if self.sessions_hang => {
                        self.keeping = Some((ticket, sessions));
                    }
                    Action::Ask(ticket, ask) => {
                        let answer = match ask {
                            Ask::Stream(ask) => Answer::Stream(self.accounts.answer(ask)),
                            Ask::Router(ask) => self.answer(ask),
                            Ask::Sessions { sessions, .. } => {
                                self.sessions.extend(sessions);
                                Answer::Sessions(true)
                            }
                        };
                        self.server.answer(self.now, ticket, answer, &mut next);
                    }
                    Action::Write(id) => self.with(id, |wires| wires.writing = true),
                    Action::Read(id) => self.with(id, |wires| wires.reads = true),
                    Action::Close(id) => self.with(id, |wires| wires.closed = true),
                    Action::Notice(id, Notice::Ended(ended)) => {
                        self.with(id, |wires| wires.ended = Some(ended))
                    }
                    Action::Removed(account, _) => self.accounts.remove(&account),
                    // It has no other servers.
                    Action::Notice(..) | Action::Abandoned(_) => {}
                    Action::Resolve(_) | Action::Connect(..) | Action::Log(..) => {}
                }
            }
            actions = next;
        }
    }

    fn with(&mut self, id: ConnectionId, act: impl FnOnce(&mut Wires)) {
        if let Some(wires) = self.peers.iter_mut().find(|wires| wires.id == Some(id)) {
            act(wires);
        }
    }

    /// Has a client take everything that has been written to it.
    pub fn drain(&mut self, peer: Peer) {
        while self.step_client(peer.0) {}
    }

    /// The JID that the client has bound, while it is online.
    #[must_use]
    pub fn jid(&self, peer: Peer) -> Option<&balcony_jid::FullJid> {
        let wires = &self.peers[peer.0];
        wires.client.as_ref().filter(|_| wires.failed.is_none() && !wires.closed)?.jid()
    }

    /// The stanzas that a client has received since the last call.
    pub fn take_stanzas(&mut self, peer: Peer) -> Vec<Stanza> {
        core::mem::take(&mut self.peers[peer.0].stanzas)
    }

    /// What a client has sent that the server has not acknowledged, as far as the client knows.
    #[must_use]
    pub fn unacknowledged(&self, peer: Peer) -> Vec<&Stanza> {
        let wires = &self.peers[peer.0];
        let client = wires.client.as_ref().or(wires.asleep.as_ref());
        client.map(|client| client.unacknowledged().collect()).unwrap_or_default()
    }

    /// The outcomes of a client's requests since the last call.
    pub fn take_outcomes(&mut self, peer: Peer) -> Vec<RequestOutcome> {
        core::mem::take(&mut self.peers[peer.0].outcomes)
    }

    /// Everything that the server has sent to a peer.
    #[must_use]
    pub fn received(&self, peer: Peer) -> &[u8] {
        &self.peers[peer.0].received
    }

    /// When the server has written to a peer, and how many bytes.
    #[must_use]
    pub fn writes(&self, peer: Peer) -> &[(Instant, usize)] {
        &self.peers[peer.0].writes
    }

    /// Whether the server has closed the connection.
    #[must_use]
    pub fn is_closed(&self, peer: Peer) -> bool {
        self.peers[peer.0].closed
    }

    /// How the server says that the connection ended.
    #[must_use]
    pub fn ended(&self, peer: Peer) -> Option<&Ended> {
        self.peers[peer.0].ended.as_ref()
    }

    /// Why a client's connection failed, as the client sees it.
    #[must_use]
    pub fn failed(&self, peer: Peer) -> Option<&balcony_client::Error> {
        self.peers[peer.0].failed.as_ref()
    }
}

fn parse(xml: &str) -> Payload {
    let element = balcony_xml::Element::parse_payload(
        xml.as_bytes(),
        "jabber:client",
        balcony_machine::XmlLimits::STANZA,
    )
    .expect("well-formed XML");
    let children: Vec<_> = element.root().children().map(|child| child.to_owned()).collect();
    children.iter().collect()
}
