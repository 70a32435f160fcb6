use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::{Instant, Ticket};
use balcony_stream::TlsPolicy;

use crate::journal::{Journal, Level};
use crate::{Action, Answer, Ask, ConnectionId, Server};

/// A [`Server`] with a table of its sockets: what an adapter of any runtime puts between them.
///
/// `P` is whatever the adapter needs to reach one socket, such as the channels of its tasks. The adapter tells what
/// happened with [`handle`](Shard::handle), for everything that has happened so far, and then does all that
/// [`next`](Shard::next) says. That order makes one write of many deliveries.
pub struct Shard<P> {
    server: Server,
    peers: BTreeMap<ConnectionId, (P, Journal)>,
    actions: Vec<Action>,
    todo: VecDeque<Action>,
    now: Instant,
}

/// What happened to a socket, or elsewhere outside.
#[derive(Debug)]
pub enum Input {
    /// These bytes came.
    Received(ConnectionId, Vec<u8>),
    /// The peer has closed its side.
    Eof(ConnectionId),
    /// Nothing can be read or written any more.
    Broken(ConnectionId),
    /// What [`Todo::Write`] gave has been written.
    Written(ConnectionId),
    /// The answer to an ask.
    Answer(Ticket, Answer),
}

/// What an adapter has to do.
#[derive(Debug)]
pub enum Todo<'a, P> {
    /// Write these bytes; there is no other write under way on this socket.
    Write(&'a mut P, Vec<u8>),
    /// Read on.
    Read(&'a mut P),
    /// Close the socket. What is still being written is of no use any more.
    Close(P),
    /// Find this out, and bring the answer as [`Input::Answer`].
    Ask(Ticket, Ask),
    /// Write this line to the log. It holds nothing secret, and is one line.
    Log(Level, String),
}

impl<P> Shard<P> {
    /// A server without sockets.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Shard {
            server,
            peers: BTreeMap::new(),
            actions: Vec::new(),
            todo: VecDeque::new(),
            now: Instant::ZERO,
        }
    }

    /// Takes in a socket that is connected to `from`, made known by `peer`. Read from it; that is not said again.
    pub fn accept(
        &mut self,
        now: Instant,
        tls: TlsPolicy,
        from: String,
        peer: impl FnOnce(ConnectionId) -> P,
    ) {
        self.now = now;
        let id = self.server.accept(now, tls, &mut self.actions);
        self.peers.insert(id, (peer(id), Journal::new(from)));
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        let (server, actions) = (&mut self.server, &mut self.actions);
        match input {
            Input::Received(id, bytes) => server.receive(now, id, &bytes, actions),
            Input::Eof(id) => server.eof(now, id, actions),
            Input::Broken(id) => {
                server.broken(now, id, actions);
                actions.push(Action::Close(id));
            }
            Input::Written(id) => server.written(now, id, actions),
            Input::Answer(ticket, answer) => server.answer(now, ticket, answer, actions),
        }
    }

    /// Does what has become due.
    pub fn tick(&mut self, now: Instant) {
        self.now = now;
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.server.tick(now, &mut self.actions);
        }
    }

    /// When to call [`tick`](Shard::tick).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.server.deadline().map(|deadline| deadline.at)
    }

    /// Does something else with the server.
    pub fn with<R>(&mut self, f: impl FnOnce(&mut Server, &mut Vec<Action>) -> R) -> R {
        f(&mut self.server, &mut self.actions)
    }

    /// What to do next.
    #[expect(clippy::should_implement_trait, reason = "what it returns borrows from it")]
    pub fn next(&mut self) -> Option<Todo<'_, P>> {
        loop {
            self.todo.extend(self.actions.drain(..));
            match self.todo.pop_front()? {
                Action::Write(id) => {
                    let mut bytes = Vec::new();
                    self.server.take_output(id, &mut bytes);
                    if bytes.is_empty() || !self.peers.contains_key(&id) {
                        self.server.written(self.now, id, &mut self.actions);
                    } else {
                        return self.peers.get_mut(&id).map(|(peer, _)| Todo::Write(peer, bytes));
                    }
                }
                Action::Read(id) if self.peers.contains_key(&id) => {
                    return self.peers.get_mut(&id).map(|(peer, _)| Todo::Read(peer));
                }
                Action::Close(id) => {
                    if let Some((peer, _)) = self.peers.remove(&id) {
                        return Some(Todo::Close(peer));
                    }
                }
                Action::Ask(ticket, ask) => return Some(Todo::Ask(ticket, ask)),
                Action::Notice(id, notice) => {
                    if let Some((level, line)) =
                        self.peers.get_mut(&id).and_then(|(_, journal)| journal.line(notice))
                    {
                        return Some(Todo::Log(level, line));
                    }
                }
                Action::Read(_) => {}
            }
        }
    }

    /// How many sockets there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.peers.len()
    }
}

impl<P> fmt::Debug for Shard<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("server", &self.server).finish_non_exhaustive()
    }
}
