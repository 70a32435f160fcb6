//! How a world goes on: what is on its way arrives, asks are answered, time passes.

use core::mem;
use core::time::Duration;

use balcony_client::MachineEvent;
use balcony_machine::{Instant, Progress};
use balcony_server::{Action, Answer, Ask, ConnectionId, Notice};

use super::{Pace, Wires, World};

/// What a socket holds for a peer that reads at its own [pace](World::pace), in bytes.
const SOCKET: usize = 64 << 10;
/// What such a peer takes at once, if so much is there: a packet.
const PACKET: usize = 1_400;

impl Pace {
    /// How long the peer takes for so many bytes.
    fn span(self, bytes: usize) -> Duration {
        Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / self.rate)
    }
}

impl Wires {
    /// Whether the socket has room for more of what the server writes.
    fn has_room(&self) -> bool {
        !self.stalled && (self.pace.is_none() || self.to_client.len() < SOCKET)
    }

    /// How much of what is on its way the peer takes now, of so many bytes that it would.
    fn takes(&mut self, now: Instant, wanted: usize) -> usize {
        let Some(pace) = &mut self.pace else { return wanted };
        let bytes = wanted.min(PACKET);
        let until = pace.until + pace.span(bytes);
        if until > now {
            return 0;
        }
        pace.until = until;
        bytes
    }

    /// The server has written this.
    fn write(&mut self, now: Instant, bytes: &[u8]) {
        if let Some(pace) = self.pace.as_mut().filter(|_| self.to_client.is_empty()) {
            pace.until = pace.until.max(now);
        }
        self.to_client.extend(bytes);
        self.received.extend(bytes);
        if !bytes.is_empty() {
            self.writes.push((now, bytes.len()));
        }
    }

    /// When a peer with a pace takes the next packet, if there is one.
    fn next_packet(&self) -> Option<Instant> {
        let bytes = self.to_client.len().min(PACKET);
        let pace = self.pace.filter(|_| bytes > 0 && self.client.is_some() && self.failed.is_none())?;
        Some(pace.until + pace.span(bytes))
    }
}

impl World {
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
            if !busy && !self.wait_for_packet() {
                return;
            }
        }
    }

    /// Lets time pass until somebody who reads at a pace takes something, if anything is on its way.
    fn wait_for_packet(&mut self) -> bool {
        let Some(at) = self.peers.iter().filter_map(Wires::next_packet).min() else { return false };
        self.now = self.now.max(at);
        if self.server.deadline().is_some_and(|deadline| deadline.at <= self.now) {
            self.tick();
        }
        true
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
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.tick();
            self.run();
        }
        self.now = end;
    }

    /// When the server, or its store, has something to do.
    pub(crate) fn next(&self) -> Option<Instant> {
        let store = self.asks.deadline().filter(|_| !self.store_hangs);
        self.server.deadline().map(|deadline| deadline.at).into_iter().chain(store).min()
    }

    pub(super) fn answer(&mut self, ask: balcony_router::Ask) -> balcony_router::Answer {
        use balcony_router::{Answer as Says, Ask as Asks};
        match ask {
            Asks::External { account, extension, question } => {
                let answer = (self.external)(&account, extension, &question);
                answer.map_or(Says::Refused, |answer| Says::External(answer.into()))
            }
            ask => self.accounts.kept.answer(self.clock(), ask),
        }
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
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random.next_u64() % end as u64).unwrap_or(0)
    }

    /// Some of what strangers have sent comes to its recipients, if there is any, and what is under way in the server goes on.
    pub(super) fn take_in(&mut self) -> bool {
        let (has_more, mut actions) = (self.server.has_more(), Vec::new());
        self.server.take_in(self.now, &mut actions);
        self.act(actions);
        has_more
    }

    /// The store takes something that it is asked, carries it out or answers, if it can do so now. It keeps the order within an account.
    pub(super) fn step_store(&mut self) -> bool {
        if self.asks.is_empty() || self.store_hangs {
            return false;
        }
        let (random, later) = (self.random.next_u64(), self.store_pause());
        let mut asks = mem::take(&mut self.asks);
        let done = asks.step(self.now, later, random, |ask| self.answer(ask));
        self.asks = asks;
        let Some(answered) = done else { return false };
        if let Some((ticket, answer)) = answered {
            let mut actions = Vec::new();
            self.server.answer(self.now, ticket, Answer::Router(answer), &mut actions);
            self.act(actions);
        }
        true
    }

    /// When the store goes on with something.
    fn store_pause(&mut self) -> Instant {
        let most = u64::try_from(self.store_takes.as_micros()).unwrap_or(u64::MAX);
        let pause = if most > 0 { self.random.next_u64() % most } else { 0 };
        self.now + Duration::from_micros(pause)
    }

    /// Moves one piece in each direction of one connection; whether there was any.
    pub(super) fn step(&mut self, index: usize) -> bool {
        self.now = self.now + Duration::from_micros(10);
        let mut busy = false;
        let mut actions = Vec::new();
        let wires = &mut self.peers[index];
        let Some(id) = wires.id else { return self.step_client(index) };
        if wires.writing && wires.has_room() {
            let mut bytes = Vec::new();
            self.server.take_output(id, &mut bytes);
            wires.writing = false;
            busy = true;
            wires.write(self.now, &bytes);
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

    pub(super) fn step_client(&mut self, index: usize) -> bool {
        let wires = &mut self.peers[index];
        if wires.client.is_none() {
            wires.to_client.clear();
            return false;
        }
        if wires.failed.is_some() {
            return false;
        }
        let (now, wanted) = (self.now, self.chunks.next(wires.to_client.len()));
        let length = wires.takes(now, wanted);
        let chunk: Vec<u8> = wires.to_client.drain(..length).collect();
        let Some(client) = &mut wires.client else { return false };
        let (mut input, mut out) = (chunk.as_slice(), Vec::new());
        loop {
            match client.advance(self.now, &mut input, &mut out) {
                Ok(Progress::Event(MachineEvent::Ask(ticket, ask))) => {
                    let answer = self.accounts.answer(ask);
                    client.answer(ticket, answer).expect("the ask has just been opened");
                }
                Ok(Progress::Event(MachineEvent::Stanza(stanza))) => wires.stanzas.push(*stanza),
                Ok(Progress::Event(MachineEvent::Response(_, outcome))) => wires.outcomes.push(outcome),
                Ok(Progress::Event(MachineEvent::Online(_))) => wires.resumed = Some(false),
                Ok(Progress::Event(MachineEvent::Resumed)) => wires.resumed = Some(true),
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
    pub(super) fn act(&mut self, mut actions: Vec<Action>) {
        while !actions.is_empty() {
            let mut next = Vec::new();
            for action in actions {
                match action {
                    Action::Ask(ticket, Ask::Router(ask)) if self.slow_store => {
                        let at = self.store_pause();
                        self.asks.ask(ticket, ask, at);
                    }
                    Action::Ask(ticket, Ask::Sessions { sessions, .. }) if self.sessions_hang => {
                        self.keeping = Some((ticket, sessions));
                    }
                    Action::Ask(ticket, ask) => {
                        let answer = match ask {
                            Ask::Stream(ask) => Answer::Stream(self.accounts.answer(ask)),
                            Ask::Router(ask) => Answer::Router(self.answer(ask)),
                            Ask::Sessions { sessions, .. } => {
                                self.sessions.extend(sessions);
                                Answer::Sessions(true)
                            }
                            Ask::Holders { collection, after, limit } => {
                                let holders = self.accounts.kept.holders(collection, after.as_ref(), limit);
                                Answer::Holders(Some(holders))
                            }
                        };
                        self.server.answer(self.now, ticket, answer, &mut next);
                    }
                    Action::Write(id) => self.with(id, |wires| wires.writing = true),
                    Action::Read(id) => self.with(id, |wires| wires.reads = true),
                    Action::ReadNow(id) => {
                        let mut has_come = false;
                        self.with(id, |wires| {
                            wires.reads = true;
                            has_come = !wires.to_server.is_empty();
                        });
                        if !has_come {
                            self.server.nothing_yet(self.now, id, &mut next);
                        }
                    }
                    Action::Close(id) => self.with(id, |wires| wires.closed = true),
                    Action::Notice(id, Notice::Ended(ended)) => {
                        self.with(id, |wires| wires.ended = Some(ended))
                    }
                    Action::Removed(account, _) => self.accounts.remove(&account),
                    // It has no other servers.
                    Action::Notice(..) | Action::Abandoned(_) => {}
                    Action::Resolve(..) | Action::Connect(..) | Action::Log(..) => {}
                }
            }
            actions = next;
        }
    }

    pub(super) fn with(&mut self, id: ConnectionId, act: impl FnOnce(&mut Wires)) {
        if let Some(wires) = self.peers.iter_mut().find(|wires| wires.id == Some(id)) {
            act(wires);
        }
    }
}
