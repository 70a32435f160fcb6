//! How a world goes on: what is on its way arrives, asks are answered, time passes.

use core::time::Duration;

use balcony_client::MachineEvent;
use balcony_machine::Progress;
use balcony_server::{Action, Answer, Ask, ConnectionId, Notice};

use super::{Wires, World};

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

    pub(super) fn answer(&mut self, ask: balcony_router::Ask) -> Answer {
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

    /// The store does one thing, if there is any. It keeps the order within an account.
    pub(super) fn step_store(&mut self) -> bool {
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
    pub(super) fn step(&mut self, index: usize) -> bool {
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

    pub(super) fn step_client(&mut self, index: usize) -> bool {
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
                Ok(Progress::Event(MachineEvent::Ask(ticket, ask))) => {
                    let answer = self.accounts.answer(ask);
                    client.answer(ticket, answer).expect("the ask has just been opened");
                }
                Ok(Progress::Event(MachineEvent::Stanza(stanza))) => wires.stanzas.push(*stanza),
                Ok(Progress::Event(MachineEvent::Response(_, outcome))) => wires.outcomes.push(outcome),
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
                            Ask::Holders { collection, after, limit } => {
                                let holders = self.accounts.kept.holders(collection, after.as_ref(), limit);
                                Answer::Holders(Some(holders))
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
