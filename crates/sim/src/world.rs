//! A server with its clients and all that can go wrong around them: peers that stall or hang up, networks that break, a store
//! that is slow or does nothing, a crash.
//!
//! In which order things happen is decided by the seed. A machine that leaves something undone that is due fails the run.

use core::time::Duration;
use std::collections::VecDeque;

use balcony_client::{ClientMachine, RequestKind, RequestOutcome};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Random, Secret, Seed, Ticket};
use balcony_server::{ConnectionId, Ended, SavedSession, Server, ServerConfig, Transport};
use balcony_stanza::{Payload, PresenceType, Stanza};
use balcony_stream::TlsPolicy;

use crate::late::Late;
use crate::{Accounts, Chunks};

mod rest;
mod run;
mod trouble;

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
    /// How long a slow store takes at most until it takes something that it is asked, then until it carries it out, and then until it
    /// answers: each time as the seed says, while time [passes](World::wait). Zero: it waits for nothing, and other things happen meanwhile.
    /// What takes longer than the server waits for an answer it gives up, and the store does it all the same.
    pub store_takes: Duration,
    /// Whether the store does nothing at all, if it is a slow one.
    pub store_hangs: bool,
    /// Whether the server's sessions are kept only when it [gets on](World::keep_sessions), if it shuts down.
    pub sessions_hang: bool,
    /// What answers extensions that ask whoever runs the server. Otherwise nobody does.
    pub external: External,
    /// Whether clients leave requests that they do not know to [`take_stanzas`](World::take_stanzas), or refuse them.
    pub take_requests: bool,
    config: ServerConfig,
    /// Of the connections of its server.
    parts: u16,
    /// The sessions that are kept while the server is down.
    sessions: Vec<SavedSession>,
    /// Those that the server wants to be kept.
    keeping: Option<(Ticket, Vec<SavedSession>)>,
    /// What the store has not done yet.
    asks: Late,
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
    client: Option<ClientMachine>,
    /// The client, if its network is gone.
    asleep: Option<ClientMachine>,
    config: Option<balcony_client::ClientConfig>,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// The server waits for this connection's output to be written.
    writing: bool,
    /// The server is ready for more input.
    reads: bool,
    /// Whether the peer takes what the server sends.
    stalled: bool,
    /// How fast the peer takes what has been written to it, if that has a bound.
    pace: Option<Pace>,
    /// The server has closed it.
    closed: bool,
    ended: Option<Ended>,
    received: Vec<u8>,
    writes: Vec<(Instant, usize)>,
    stanzas: Vec<Stanza>,
    outcomes: Vec<RequestOutcome>,
    /// Whether the client goes on with the session that it had, as soon as that is known.
    resumed: Option<bool>,
    failed: Option<balcony_client::Error>,
}

/// How fast a peer reads.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// In bytes a second.
    rate: u64,
    /// It has taken what there was for it to take until then.
    until: Instant,
}

impl World {
    /// A world for `example.com` without TLS, with these accounts. Its sessions end with their connections; those who want to see them
    /// resumed set [`stream_management`](ServerConfig::stream_management).
    #[must_use]
    pub fn new(
        accounts: Accounts,
        chunks: Chunks,
        seed: u64,
        change: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let mut random = Seed::from_u64(seed).random();
        let domain = BareJid::parse("example.com").expect("a valid domain");
        let mut config = ServerConfig::new(vec![domain], Secret::new([9; 32]));
        config.tls = TlsPolicy::None;
        config.stream_management = false;
        change(&mut config);
        World {
            now: Instant::ZERO,
            server: Server::new(config.clone(), random.seed()),
            parts: 0,
            accounts,
            slow_store: false,
            store_takes: Duration::ZERO,
            store_hangs: false,
            sessions_hang: false,
            external: |_, _, _| None,
            take_requests: false,
            config,
            sessions: Vec::new(),
            keeping: None,
            asks: Late::default(),
            peers: Vec::new(),
            random,
            chunks,
        }
    }

    /// The same, with the connections of its server in so many parts, whose turns are decided by the seed, as several threads would have
    /// them ([`Server::in_parts`]); 0 is the server that there was. Before anybody connects.
    #[must_use]
    pub fn in_parts(mut self, parts: u16) -> Self {
        self.parts = parts;
        if parts > 0 {
            self.server = self.new_server();
        }
        self
    }

    fn new_server(&mut self) -> Server {
        let (config, seed) = (self.config.clone(), self.random.seed());
        match self.parts {
            0 => Server::new(config, seed),
            parts => Server::in_parts(config, seed, parts),
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
            pace: None,
            closed: false,
            ended: None,
            received: Vec::new(),
            writes: Vec::new(),
            stanzas: Vec::new(),
            outcomes: Vec::new(),
            resumed: None,
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
        self.connect_with(jid, password, |_| {})
    }

    /// The same for a client whose configuration is changed.
    ///
    /// # Panics
    ///
    /// If the JID has no resource.
    pub fn connect_with(
        &mut self,
        jid: &str,
        password: &str,
        change: impl FnOnce(&mut balcony_client::ClientConfig),
    ) -> Peer {
        let jid = balcony_jid::FullJid::parse(jid).expect("a full JID");
        let mut config =
            balcony_client::ClientConfig::new(jid.to_bare(), Secret::new(String::from(password)));
        config.stream.tls = TlsPolicy::None;
        config.stream.resource = Some(String::from(jid.resourcepart()));
        config.take_requests = self.take_requests;
        change(&mut config);
        let client = ClientMachine::new(config.clone(), &self.random.seed(), self.now);
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
        self.send(peer, &Stanza::presence(PresenceType::Available).with_payload(payload));
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

    /// Ends the server's streams.
    pub fn shutdown(&mut self) {
        let mut actions = Vec::new();
        self.server.shutdown(self.now, &mut actions);
        self.act(actions);
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

    /// Whether a client goes on with the session that it had before it [came back](World::come_back), and not with a new one; `None` as long
    /// as it has neither.
    #[must_use]
    pub fn has_resumed(&self, peer: Peer) -> Option<bool> {
        self.peers[peer.0].resumed
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
