//! The task of a server, or of one of its parts: it owns the machine and all sockets, hands what happens to the machine, and does what that
//! says. Whose turn it is, and how long a socket lingers after the end, is decided here; nothing of the protocol is.

use core::future::poll_fn;
use core::mem;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::Arc;

use async_channel::Sender;
use balcony_jid::BareJid;
use balcony_machine::{Instant, Ticket};
use balcony_server::{
    Answer, Ask, ConnectionId, Entry, Input, Level, Refusal, Reply, Shard, Stats, Todo, Transport,
};
use slab::Slab;

use crate::clock::Clock;
use crate::mailbox::{Mailbox, Token};
use crate::outgoing::Connected;
use crate::parts::{Common, Parts};
use crate::peer::{Peer, Phase, Place, Tried, Wants};
use crate::{Interest, Listener as _, Record, Runtime, Socket, Timer as _, reason};

/// Bytes that are read of one client's socket at a time. It is the machine that says how many stanzas among them have a turn.
const TURN: usize = 65_536;
/// The same of another server, or of a component: all that is among them is taken in at once.
pub(crate) const TURN_OF_SERVER: usize = 16_384;
/// Sockets that have a turn, and messages that are read, before what the machine says is carried out.
const BATCH: usize = 64;
/// The same in time, for messages and for sockets: those that ask for much keep neither the others waiting for long nor what is to be written.
const HEARING: Duration = Duration::from_millis(4);
/// Batches until the task lets others run, and the runtime look which sockets are ready.
const BATCHES: usize = 8;
/// The same in time: who keeps a few sockets full must not keep the others from being seen.
const AT_A_TIME: Duration = Duration::from_millis(1);
/// Connections that are accepted of one listener at a time.
const ACCEPTS: usize = 16;
/// How long to wait when the operating system has no socket for the next connection.
const PAUSE: Duration = Duration::from_millis(100);
/// How long what a peer still sends is thrown away after the end. Closing a socket with unread input resets the connection, and
/// the peer may lose the last words that were sent to it.
const LINGER: Duration = Duration::from_secs(1);
/// How many of those that are turned away may take that time, at once. Others are closed without a word.
const TURNED_AWAY: usize = 64;

/// What is asked of the task.
pub(crate) enum Message {
    /// The store has answered.
    Answer(Ticket, Answer),
    /// A connection that no listener has brought.
    Socket(Box<dyn Socket>, String, Transport),
    /// A connection that another part has let in.
    Entered(Box<dyn Socket>, String, Transport, Entry),
    /// The DNS has answered.
    Resolved(BareJid, Result<Vec<Record>, String>),
    /// A connection to another server has come about, or not.
    Connected(ConnectionId, Connected),
    /// Something to do with the machine.
    Call(Call),
    /// How busy is the server?
    Stats(Sender<Stats>),
    /// Shut down, and tell when that is done, by dropping this.
    Shutdown(Sender<()>),
}

/// What the driver's sockets are known as to the machine: their place in its table.
pub(crate) type Machine = Shard<usize, Common>;
pub(crate) type Call = Box<dyn FnOnce(&mut Machine, Instant) + Send>;
pub(crate) type AskFn = Arc<dyn Fn(Ask, Reply) + Send + Sync>;

/// The task.
pub(crate) struct Driver<R: Runtime> {
    pub(crate) runtime: R,
    clock: Clock,
    /// When this batch began.
    pub(crate) now: Instant,
    timer: R::Timer,
    pub(crate) machine: Machine,
    /// What it has in common with the tasks of other parts, and which of those it is.
    parts: Arc<Parts>,
    number: usize,
    listeners: Vec<Listening<R::Listener>>,
    pub(crate) peers: Slab<Peer>,
    /// The connections that are being made; each is given up when this is dropped.
    pub(crate) connecting: BTreeMap<ConnectionId, Sender<()>>,
    /// Peers and listeners that have something to do, each once.
    ready: VecDeque<usize>,
    messages: VecDeque<Message>,
    pub(crate) mailbox: Arc<Mailbox<Message>>,
    /// Peers that linger, and until when; the first to go is the first.
    lingering: VecDeque<(Instant, usize)>,
    /// How many of them were turned away.
    turned_away: usize,
    buffer: Box<[u8]>,
    ask: AskFn,
    /// Who waits for the end.
    waiting: Vec<Sender<()>>,
    /// Dropped at the end.
    alive: Sender<()>,
    has_ended: bool,
}

struct Listening<L> {
    listener: L,
    transport: Transport,
    token: Arc<Token<Message>>,
    waker: Waker,
    /// It has no socket for the next connection, and tries again then.
    paused: Option<Instant>,
}

impl<R: Runtime> Driver<R> {
    /// The task of the part with this number.
    pub(crate) fn new(
        (runtime, clock): (R, Clock),
        machine: Machine,
        (parts, number): (Arc<Parts>, usize),
        listeners: Vec<(R::Listener, Transport)>,
        ask: AskFn,
        alive: Sender<()>,
    ) -> Self {
        let mailbox = Arc::clone(parts.mailbox(number));
        let listening = |(index, (listener, transport))| {
            // Peers count from below.
            let token = Token::new(usize::MAX - index, &mailbox);
            token.list();
            Listening { listener, transport, waker: Waker::from(Arc::clone(&token)), token, paused: None }
        };
        let listeners: Vec<_> = listeners.into_iter().enumerate().map(listening).collect();
        Driver {
            clock,
            now: Instant::ZERO,
            timer: runtime.timer(),
            runtime,
            machine,
            parts,
            number,
            ready: (0..listeners.len()).map(|index| usize::MAX - index).collect(),
            listeners,
            peers: Slab::new(),
            connecting: BTreeMap::new(),
            messages: VecDeque::new(),
            mailbox,
            lingering: VecDeque::new(),
            turned_away: 0,
            buffer: vec![0; TURN].into(),
            ask,
            waiting: Vec::new(),
            alive,
            has_ended: false,
        }
    }

    fn look_at_the_clock(&mut self) {
        self.now = self.clock.now(&self.runtime);
    }

    /// One batch. What has come is all told to the machine before what it says is done: that makes one write of
    /// many deliveries.
    fn batch(&mut self) {
        self.look_at_the_clock();
        let until = self.now + HEARING;
        for _ in 0..BATCH.min(self.messages.len()) {
            let Some(message) = self.messages.pop_front() else { break };
            self.message(message);
            self.look_at_the_clock();
            if self.now >= until {
                break;
            }
        }
        let until = self.now + HEARING;
        for _ in 0..BATCH.min(self.ready.len()) {
            let Some(key) = self.ready.pop_front() else { break };
            match self.listeners.get_mut(usize::MAX - key) {
                Some(listening) => {
                    listening.token.unlist();
                    self.accept_from(usize::MAX - key);
                }
                None => self.turn(key),
            }
            self.look_at_the_clock();
            if self.now >= until {
                break;
            }
        }
        self.look_at_the_clock();
        self.tick();
        self.carry_out();
    }

    fn message(&mut self, message: Message) {
        let now = self.now;
        match message {
            Message::Answer(ticket, answer) => self.machine.handle(now, Input::Answer(ticket, answer)),
            Message::Socket(socket, from, transport) if !self.machine.is_closing() => {
                self.accept(socket, from, transport);
            }
            Message::Socket(..) => {}
            Message::Entered(socket, from, transport, entry) if !self.machine.is_closing() => {
                self.enter(socket, from, transport, entry);
            }
            Message::Entered(.., entry) => self.leave(entry),
            Message::Resolved(domain, records) => {
                self.machine.handle(now, Input::Resolved(&domain, records));
            }
            Message::Connected(id, connected) => self.connected(id, connected),
            Message::Call(call) => call(&mut self.machine, now),
            Message::Stats(tell) => {
                let mut stats = self.machine.stats();
                stats.connections = self.parts.acceptor().count();
                // Whoever asked may have gone.
                let _ = tell.try_send(stats);
            }
            Message::Shutdown(done) => {
                self.machine.shutdown(now);
                self.waiting.push(done);
            }
        }
    }

    /// Takes in what waits to be accepted, but not all at once.
    fn accept_from(&mut self, index: usize) {
        for _ in 0..ACCEPTS {
            let now = self.now;
            let Some(listening) =
                self.listeners.get_mut(index).filter(|one| one.paused.is_none_or(|at| at <= now))
            else {
                return;
            };
            let was_failing = listening.paused.take().is_some();
            match listening.listener.poll_accept(&mut Context::from_waker(&listening.waker)) {
                Poll::Pending => return,
                Poll::Ready(Ok((socket, from))) => {
                    let transport = listening.transport;
                    self.accept(Box::new(socket), from.to_string(), transport);
                }
                // The peer has gone before it was accepted.
                Poll::Ready(Err(error))
                    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                // Too few file descriptors, most likely: some become free again.
                Poll::Ready(Err(error)) => {
                    listening.paused = Some(now + PAUSE);
                    if !was_failing {
                        self.machine
                            .log(Level::Warn, format!("connections cannot be accepted: {}", reason(&error)));
                    }
                    return;
                }
            }
        }
        self.list(usize::MAX - index);
    }

    /// Lets a connection in, if it may come, and gives it to the part with the fewest.
    fn accept(&mut self, socket: Box<dyn Socket>, from: String, transport: Transport) {
        let entry = self.parts.acceptor().enter(self.now, self.machine.config(), transport, &from);
        let entry = match entry {
            Ok(entry) => entry,
            Err(refusal) => return self.turn_away(socket, transport, refusal),
        };
        let part = if transport.is_of_server() { self.number } else { self.parts.fewest() };
        self.parts.add(part);
        if part == self.number {
            return self.enter(socket, from, transport, entry);
        }
        let message = Message::Entered(socket, from, transport, entry);
        if let Err(Message::Entered(.., entry)) = self.parts.mailbox(part).send(message) {
            self.parts.remove(part);
            self.parts.acceptor().leave(self.now, entry);
        }
    }

    /// Takes in a connection that has been let in.
    fn enter(&mut self, socket: Box<dyn Socket>, from: String, transport: Transport, entry: Entry) {
        let place = self.peers.vacant_entry();
        let key = place.key();
        let id = self.machine.accept(self.now, transport, from, entry.origin(), key);
        let turn = if transport.is_of_server() { TURN_OF_SERVER } else { TURN };
        place.insert(Peer::new(socket, Token::new(key, &self.mailbox)).open(id, turn, Place::Entry(entry)));
        self.list(key);
    }

    /// Tells a peer that it may not connect, and why.
    fn turn_away(&mut self, socket: Box<dyn Socket>, transport: Transport, refusal: Refusal) {
        if let Some((level, line)) = refusal.line {
            self.machine.log(level, line);
        }
        if self.turned_away < TURNED_AWAY {
            let words = self.machine.last_words(self.now, transport, refusal.error);
            let place = self.peers.vacant_entry();
            let key = place.key();
            let peer = place.insert(Peer::new(socket, Token::new(key, &self.mailbox)));
            // All of them find room in a socket that has just been opened, or they are lost.
            if !words.is_empty() && peer.begin(words, true) == Tried::Done {
                self.turned_away += 1;
                return self.linger(key);
            }
            self.peers.remove(key);
        }
    }

    /// A connection that this part was given is closed.
    fn leave(&self, entry: Entry) {
        self.parts.remove(self.number);
        self.parts.acceptor().leave(self.now, entry);
    }

    /// Has a peer's, or a listener's, turn come later.
    pub(crate) fn list(&mut self, key: usize) {
        let token = match self.listeners.get(usize::MAX - key) {
            Some(listening) => Some(&listening.token),
            None => self.peers.get(key).map(|peer| &peer.token),
        };
        if token.is_some_and(|token| token.list()) {
            self.ready.push_back(key);
        }
    }

    /// Something may have happened on a socket.
    fn turn(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.token.unlist();
        match peer.phase {
            Phase::Open { .. } => {
                if peer.is_writing() {
                    let tried = peer.write();
                    self.wrote(key, tried);
                }
                self.read(key);
            }
            Phase::New | Phase::Lingering { .. } => {
                if peer.shutdown().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                    self.wait(key, Interest::Write);
                }
                self.discard(key);
            }
        }
    }

    /// Reads what nobody wants.
    fn discard(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        match peer.read(&mut self.buffer) {
            Ok(0) => self.remove(key),
            Ok(_) if peer.has_more => self.list(key),
            Ok(_) => self.wait(key, Interest::Read),
            Err(error) => self.wait_or(key, Interest::Read, &error, Self::remove),
        }
    }

    /// Reads, if the machine wants to.
    fn read(&mut self, key: usize) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Phase::Open { id, ref mut wants } = peer.phase else { return };
        // It says when it wants more.
        let wanted = mem::replace(wants, Wants::Nothing);
        let read = match wanted {
            Wants::Nothing => return,
            Wants::Input => peer.read(&mut self.buffer),
            Wants::InputNow => peer.read_now(&mut self.buffer),
        };
        match read {
            Ok(0) => {
                peer.is_eof = true;
                self.machine.handle(now, Input::Eof(id));
            }
            Ok(count) => self.machine.handle(now, Input::Received(id, &self.buffer[..count])),
            Err(error) => {
                let is_nothing = error.kind() == ErrorKind::WouldBlock;
                peer.wants(if is_nothing { Wants::Input } else { wanted });
                self.wait_or(key, Interest::Read, &error, Self::broken);
                if is_nothing && wanted == Wants::InputNow {
                    self.machine.handle(now, Input::NothingYet(id));
                }
            }
        }
    }

    /// The machine wants to read on.
    fn read_on(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.wants(Wants::Input);
        if peer.has_more {
            self.list(key);
        } else {
            self.wait(key, Interest::Read);
        }
    }

    /// The machine wants to read on, and to know if there is nothing. The peer has its turn as all others.
    fn read_now(&mut self, key: usize) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.wants(Wants::InputNow);
            self.list(key);
        }
    }

    /// What came of a write.
    fn wrote(&mut self, key: usize, tried: Tried) {
        let now = self.now;
        let Some(peer) = self.peers.get(key) else { return };
        let Phase::Open { id, .. } = peer.phase else { return };
        match tried {
            Tried::Done => self.machine.handle(now, Input::Written(id)),
            Tried::Part => self.wait(key, Interest::Write),
            Tried::Broken => self.broken(key),
        }
    }

    /// Waits, if that is what `error` says; otherwise it is serious.
    fn wait_or(&mut self, key: usize, interest: Interest, error: &io::Error, serious: fn(&mut Self, usize)) {
        match error.kind() {
            ErrorKind::WouldBlock => self.wait(key, interest),
            ErrorKind::Interrupted => self.list(key),
            _ => serious(self, key),
        }
    }

    /// Waits until the socket is ready for something; if it is, its turn comes again.
    fn wait(&mut self, key: usize, interest: Interest) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.poll_ready(interest).is_ready() {
            // An error shows when it is tried again.
            self.list(key);
        }
    }

    /// Nothing can be read or written any more.
    fn broken(&mut self, key: usize) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.is_broken = true;
        peer.wants(Wants::Nothing);
        if let Phase::Open { id, .. } = peer.phase {
            // The machine wants it closed, when it has dealt with what came before.
            self.machine.handle(now, Input::Broken(id));
        }
    }

    /// The machine is done with a connection.
    fn close(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        // A peer that does not read is given up, and one that has closed its side has nothing to lose.
        if peer.is_broken || peer.is_writing() || peer.is_eof {
            if !peer.is_broken && !peer.is_writing() {
                // Dropping it says the same.
                let _ = peer.shutdown();
            }
            return self.remove(key);
        }
        self.linger(key);
    }

    /// Says that nothing more will be written, and throws away what still comes for a while.
    fn linger(&mut self, key: usize) {
        let until = self.now + LINGER;
        let Some(peer) = self.peers.get_mut(key) else { return };
        match peer.shutdown() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => self.remove(key),
            _ => {
                peer.linger(until);
                self.lingering.push_back((until, key));
                self.list(key);
            }
        }
    }

    fn remove(&mut self, key: usize) {
        let Some(peer) = self.peers.try_remove(key) else { return };
        match peer.into_place() {
            Place::Entry(entry) => self.leave(entry),
            Place::TurnedAway => self.turned_away = self.turned_away.saturating_sub(1),
            Place::Outgoing => {}
        }
    }

    /// Does what has become due.
    fn tick(&mut self) {
        let now = self.now;
        // After its end nothing is due any more; the last sockets may take a moment.
        if !self.machine.is_closed() {
            self.machine.tick(now);
        }
        while let Some((until, key)) = self.lingering.pop_front_if(|(until, _)| *until <= now) {
            // Another peer may have its place by now.
            if self.peers.get(key).is_some_and(|peer| peer.lingers_until() == Some(until)) {
                self.remove(key);
            }
        }
        for index in 0..self.listeners.len() {
            if self.listeners[index].paused.is_some_and(|at| at <= now) {
                self.list(usize::MAX - index);
            }
        }
        // Or it would never sleep. A listener that was paused has its turn.
        let left = self.machine.deadline().filter(|_| !self.machine.is_closed());
        debug_assert!(left.is_none_or(|left| left > now), "{left:?} is still due at {now:?}");
    }

    /// When something becomes due.
    fn deadline(&self) -> Option<Instant> {
        let lingering = self.lingering.front().map(|(until, _)| *until);
        let paused = self.listeners.iter().filter_map(|listening| listening.paused);
        let machine = self.machine.deadline().filter(|_| !self.machine.is_closed());
        machine.into_iter().chain(lingering).chain(paused).min()
    }

    /// Does what the machine says.
    fn carry_out(&mut self) {
        while let Some(todo) = self.machine.next() {
            match todo {
                Todo::Write(&mut key, bytes) => {
                    if let Some(peer) = self.peers.get_mut(key) {
                        let is_last =
                            matches!(peer.phase, Phase::Open { id, .. } if self.machine.is_ending(id));
                        let tried = peer.begin(bytes, is_last);
                        self.wrote(key, tried);
                    }
                }
                Todo::Read(&mut key) => self.read_on(key),
                Todo::ReadNow(_, &mut key) => self.read_now(key),
                Todo::Close(key) => self.close(key),
                Todo::Ask(ticket, ask) => {
                    let mailbox = Arc::clone(&self.mailbox);
                    let reply: Reply = Box::new(move |answer| {
                        // A server that has ended wants to know nothing any more.
                        let _ = mailbox.send(Message::Answer(ticket, answer));
                    });
                    (self.ask)(ask, reply);
                }
                Todo::Resolve(domain, dane) => self.resolve(domain, dane),
                Todo::Connect(id, targets, reach) => self.connect(id, targets, reach),
                Todo::GiveUp(id) => self.give_up(id),
                Todo::Log(Level::Debug, line) => tracing::debug!(target: "balcony", "{line}"),
                Todo::Log(Level::Info, line) => tracing::info!(target: "balcony", "{line}"),
                Todo::Log(Level::Warn, line) => tracing::warn!(target: "balcony", "{line}"),
            }
        }
        if self.machine.is_closing() {
            self.listeners.clear();
        }
        if self.machine.is_closed() {
            // Those that are still open have been given up.
            let open = |(key, peer): (usize, &Peer)| matches!(peer.phase, Phase::Open { .. }).then_some(key);
            let open: Vec<usize> = self.peers.iter().filter_map(open).collect();
            open.into_iter().for_each(|key| self.remove(key));
        }
    }

    fn is_over(&self) -> bool {
        // The first part outlives the others.
        self.machine.is_closed() && self.peers.is_empty() && (self.number > 0 || self.parts.is_last())
    }
}

impl<R: Runtime> Driver<R> {
    /// Drives the server until it has shut down.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.look_at_the_clock();
        let until = self.now + AT_A_TIME;
        for _ in 0..BATCHES {
            let taken = self.mailbox.take(&mut self.ready, &mut self.messages);
            if taken.is_closed {
                // Another part has failed.
                return Poll::Ready(());
            }
            if taken.is_called {
                self.machine.called();
            }
            self.batch();
            if self.is_over() {
                self.end();
                return Poll::Ready(());
            }
            if self.ready.is_empty() && self.messages.is_empty() && !self.machine.has_more() {
                let at = self.deadline();
                let due = at.map(|at| self.timer.poll_until(cx, self.clock.at(at)));
                if !due.is_some_and(|due| due.is_ready()) && self.mailbox.sleep(cx.waker()) {
                    return Poll::Pending;
                }
            }
            if self.now >= until {
                break;
            }
        }
        // There is more to do, but others have something to do as well.
        self.runtime.yield_now(cx);
        Poll::Pending
    }
}

impl<R: Runtime> Driver<R> {
    /// The server has shut down.
    fn end(&mut self) {
        self.has_ended = true;
        self.mailbox.close();
        self.messages.clear();
        if self.number > 0 {
            return self.parts.ended();
        }
        tracing::info!(target: "balcony", "the server has shut down");
        // They learn of it by this; what the owner has given us may take longer to go.
        self.waiting.clear();
        self.alive.close();
    }
}

impl<R: Runtime> Drop for Driver<R> {
    fn drop(&mut self) {
        // After a panic, and when the runtime ends. Without one of its parts a server is none.
        if !self.has_ended {
            self.parts.fail();
        }
    }
}
