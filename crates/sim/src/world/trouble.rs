//! What goes wrong in a world: peers that stall or hang up, networks that break, servers that crash or start again.

use core::mem;
use core::time::Duration;

use balcony_client::ClientMachine;
use balcony_server::{Answer, SavedSession};

use super::{Pace, Peer, World};

impl World {
    /// From now on the peer takes nothing that the server sends, or again everything.
    pub fn stall(&mut self, peer: Peer, stalled: bool) {
        self.peers[peer.0].stalled = stalled;
    }

    /// From now on the peer takes so many bytes a second, and no more is on its way to it than a socket holds (64 KiB and what is written
    /// at once). Whoever [runs](World::run) this world has the time pass that this takes.
    ///
    /// # Panics
    ///
    /// If the rate is 0: that is [`stall`](World::stall).
    pub fn pace(&mut self, peer: Peer, rate: u64) {
        assert!(rate > 0, "whoever takes nothing stalls");
        self.peers[peer.0].pace = Some(Pace { rate, until: self.now });
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
        let client = ClientMachine::resuming(config.clone(), client.into_session(), &seed, self.now);
        let client = client.expect("an account of its own");
        let peer = self.raw();
        (self.peers[peer.0].client, self.peers[peer.0].config) = (Some(client), Some(config));
        peer
    }

    /// The server's machine is suspended for so long: nothing that is under way goes on meanwhile. Then what is due is done, before anything
    /// else.
    pub fn suspend(&mut self, span: Duration) {
        self.now = self.now + span;
        if self.server.deadline().is_some_and(|deadline| deadline.at <= self.now) {
            self.tick();
        }
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
    /// change, and has not carried out yet, a part has become durable.
    pub fn crash(&mut self) {
        let (open, clock) = (self.asks.drain(), self.clock());
        let done = self.below(open.len() + 1);
        for ask in open.into_iter().take(done) {
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
    pub(super) fn begin_again(&mut self) {
        self.server = self.new_server();
        let (mut actions, clock) = (Vec::new(), self.clock());
        let sessions = mem::take(&mut self.sessions);
        self.server.restore(self.now, clock, sessions, &mut actions);
        self.act(actions);
    }
}
