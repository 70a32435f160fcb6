//! A server, its store, and connections whose other ends a script speaks for. Everything is done in the order in which it comes.

use core::time::Duration;
use std::collections::VecDeque;

use balcony_client::{ClientMachine, MachineEvent};
use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Progress, Secret, Seed, Ticket, XmlLimits};
use balcony_sasl::Mechanism;
use balcony_server::{Action, Answer, Ask, ConnectionId, Server, ServerConfig, Transport};
use balcony_sim::Accounts;
use balcony_stream::TlsPolicy;
use balcony_xml::Reader;

/// How a script is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// What is sent arrives in one piece, and the store answers at once.
    Whole,
    /// Each byte arrives in a piece of its own.
    Bytes,
    /// The store answers when nothing else is left to do.
    LateStore,
}

/// How a client logs in.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) mechanism: Mechanism,
    pub(crate) password: String,
}

impl Default for Login {
    fn default() -> Self {
        Login { mechanism: Mechanism::ScramSha256, password: PASSWORD.into() }
    }
}

/// Something that was seen on a wire: a stanza, a stream header or whatever else stands for itself there.
#[derive(Debug)]
pub(crate) enum Wire {
    /// A client has sent this by itself.
    Sent(String),
    /// The server has sent this.
    Received(String),
    /// The server has closed the connection.
    Closed,
}

/// The password of everybody.
const PASSWORD: &str = "pencil";

pub(crate) struct Stage {
    now: Instant,
    server: Server,
    accounts: Accounts,
    how: How,
    actions: VecDeque<Action>,
    /// What a late store has not done yet.
    asks: VecDeque<(Ticket, balcony_router::Ask)>,
    connections: Vec<Connection>,
}

struct Connection {
    name: String,
    id: ConnectionId,
    /// It speaks until it is bound.
    client: Option<ClientMachine>,
    /// A client speaks, or has done so since the wires were taken.
    logging_in: bool,
    /// Whether the client has asked for a resource.
    named: bool,
    jid: Option<Jid>,
    to_server: VecDeque<u8>,
    reads: bool,
    /// It has ended, by either side.
    ended: bool,
    wires: Vec<Wire>,
    /// Cut what the client, and what the server, sends into lines.
    readers: [Reader; 2],
}

impl Stage {
    /// A server for `example.com` without TLS.
    pub(crate) fn new(how: How, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let domain = BareJid::parse("example.com").unwrap();
        let mut config = ServerConfig::new(vec![domain], Secret::new([9; 32]));
        config.stream_management = false;
        config.tls = TlsPolicy::None;
        config.iterations = 4096;
        config.software = balcony_router::Software { name: "Balcony".into(), version: "1".into() };
        config.extensions = crate::script::extensions().build().unwrap();
        change(&mut config);
        Stage {
            now: Instant::ZERO,
            server: Server::new(config, Seed::from_u64(1)),
            accounts: Accounts::new(),
            how,
            actions: VecDeque::new(),
            asks: VecDeque::new(),
            connections: Vec::new(),
        }
    }

    pub(crate) fn account(&mut self, name: &str) -> Option<()> {
        self.accounts = core::mem::take(&mut self.accounts).with(&format!("{name}@example.com"), PASSWORD);
        Some(())
    }

    /// Opens a connection; its name must be new.
    pub(crate) fn connect(&mut self, name: &str) -> Option<()> {
        if self.connections.iter().any(|other| other.name == name) {
            return None;
        }
        let mut actions = Vec::new();
        let id = self.server.accept(self.now, Transport::Stream, &mut actions);
        self.connections.push(Connection {
            name: name.into(),
            id,
            client: None,
            logging_in: false,
            named: true,
            jid: None,
            to_server: VecDeque::new(),
            reads: true,
            ended: false,
            wires: Vec::new(),
            readers: [(); 2].map(|()| Reader::new(XmlLimits::DELIVERED)),
        });
        self.actions.extend(actions);
        Some(())
    }

    pub(crate) fn login(&mut self, name: &str, jid: &str, login: Login) -> Option<()> {
        self.connect(name)?;
        let jid = Jid::parse(jid).ok()?;
        let mut config = balcony_client::ClientConfig::new(jid.to_bare(), Secret::new(login.password));
        config.stream.tls = TlsPolicy::None;
        config.stream.mechanisms = vec![login.mechanism];
        config.stream.resource = jid.resourcepart().map(String::from);
        let place = self.connections.len() - 1;
        let connection = &mut self.connections[place];
        connection.client = Some(ClientMachine::new(config, &Seed::from_u64(100 + place as u64), self.now));
        connection.named = jid.is_full();
        connection.logging_in = true;
        self.feed(place, &[]);
        Some(())
    }

    /// The resource that the server has made up for a client.
    pub(crate) fn made_up(&self, name: &str) -> Option<String> {
        let connection =
            self.connections.iter().find(|connection| connection.name == name && !connection.named)?;
        connection.jid.as_ref()?.resourcepart().map(String::from)
    }

    pub(crate) fn is_logging_in(&self, name: &str) -> bool {
        self.connections.iter().any(|connection| connection.name == name && connection.logging_in)
    }

    /// Clients that are done are no more.
    pub(crate) fn end_logins(&mut self) {
        for connection in &mut self.connections {
            connection.client = None;
            connection.logging_in = false;
        }
    }

    /// Puts bytes onto the wire of a connection.
    pub(crate) fn send(&mut self, name: &str, bytes: &[u8]) -> Option<()> {
        self.find(name)?.to_server.extend(bytes);
        Some(())
    }

    pub(crate) fn cut(&mut self, name: &str) -> Option<()> {
        let connection = self.find(name)?;
        connection.ended = true;
        let id = connection.id;
        let mut actions = Vec::new();
        self.server.broken(self.now, id, &mut actions);
        self.actions.extend(actions);
        Some(())
    }

    pub(crate) fn hang_up(&mut self, name: &str) -> Option<()> {
        let id = self.find(name)?.id;
        let mut actions = Vec::new();
        self.server.eof(self.now, id, &mut actions);
        self.actions.extend(actions);
        Some(())
    }

    pub(crate) fn remove(&mut self, account: &str) -> Option<()> {
        let account = BareJid::parse(&format!("{account}@example.com")).ok()?;
        let mut actions = Vec::new();
        self.server.remove_account(self.now, &account, &mut actions);
        self.actions.extend(actions);
        Some(())
    }

    pub(crate) fn shutdown(&mut self) {
        let mut actions = Vec::new();
        self.server.shutdown(self.now, &mut actions);
        self.actions.extend(actions);
    }

    /// Lets time pass, and the server do at its time what becomes due.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        while let Some(deadline) = self.server.deadline().filter(|deadline| deadline.at <= end) {
            self.now = self.now.max(deadline.at);
            let mut actions = Vec::new();
            self.server.tick(self.now, &mut actions);
            self.actions.extend(actions);
            self.settle();
        }
        self.now = end;
    }

    /// What has been seen on the wires since the last call, connection by connection.
    pub(crate) fn take_wires(&mut self) -> Vec<(String, Wire)> {
        let connections = self.connections.iter_mut();
        let wires = connections.flat_map(|connection| {
            let name = connection.name.clone();
            connection.wires.drain(..).map(move |wire| (name.clone(), wire))
        });
        wires.collect()
    }

    /// Lets happen what happens by itself, until nothing does.
    pub(crate) fn settle(&mut self) {
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        if let Some(action) = self.actions.pop_front() {
            self.act(action);
            return true;
        }
        if self.server.router().has_parked() {
            let mut actions = Vec::new();
            self.server.take_in(self.now, &mut actions);
            self.actions.extend(actions);
            return true;
        }
        let ready = |connection: &Connection| connection.reads && !connection.to_server.is_empty();
        if let Some(place) = self.connections.iter().position(ready) {
            let connection = &mut self.connections[place];
            let length = if self.how == How::Bytes { 1 } else { connection.to_server.len() };
            let piece: Vec<u8> = connection.to_server.drain(..length).collect();
            connection.reads = false;
            let mut actions = Vec::new();
            self.server.receive(self.now, connection.id, &piece, &mut actions);
            self.actions.extend(actions);
            return true;
        }
        if let Some((ticket, ask)) = self.asks.pop_front() {
            self.store(ticket, ask);
            return true;
        }
        false
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Write(id) => {
                let (mut bytes, mut actions) = (Vec::new(), Vec::new());
                self.server.take_output(id, &mut bytes);
                self.server.written(self.now, id, &mut actions);
                self.actions.extend(actions);
                if let Some(place) = self.place(id) {
                    self.connections[place].see(1, &bytes);
                    self.feed(place, &bytes);
                }
            }
            Action::Read(id) => self.with(id, |connection| connection.reads = true),
            Action::ReadNow(id) => {
                let (mut has_come, mut actions) = (false, Vec::new());
                self.with(id, |connection| {
                    connection.reads = true;
                    has_come = !connection.to_server.is_empty();
                });
                if !has_come {
                    self.server.nothing_yet(self.now, id, &mut actions);
                    self.actions.extend(actions);
                }
            }
            Action::Close(id) => self.with(id, |connection| {
                connection.ended = true;
                connection.wires.push(Wire::Closed);
            }),
            Action::Ask(ticket, Ask::Stream(ask)) => {
                let answer = Answer::Stream(self.accounts.answer(ask));
                self.answer(ticket, answer);
            }
            Action::Ask(ticket, Ask::Router(ask)) if self.how == How::LateStore => {
                self.asks.push_back((ticket, ask));
            }
            Action::Ask(ticket, Ask::Router(ask)) => self.store(ticket, ask),
            Action::Ask(ticket, Ask::Sessions { .. }) => self.answer(ticket, Answer::Sessions(false)),
            Action::Ask(ticket, Ask::Holders { .. }) => {
                self.answer(ticket, Answer::Holders(Some(Vec::new())))
            }
            Action::Removed(account, _) => self.accounts.remove(&account),
            // It has no other servers.
            Action::Notice(..) | Action::Abandoned(_) => {}
            Action::Resolve(..) | Action::Connect(..) | Action::Log(..) => {}
        }
    }

    /// The store does something. The clock of a world that begins on 2002-09-10T23:08:25Z is in milliseconds since 1970.
    fn store(&mut self, ticket: Ticket, ask: balcony_router::Ask) {
        let clock = 1_031_699_305_000 + self.now.as_nanos() / 1_000_000;
        let answer = Answer::Router(self.accounts.kept.answer(clock, ask));
        self.answer(ticket, answer);
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let mut actions = Vec::new();
        self.server.answer(self.now, ticket, answer, &mut actions);
        self.actions.extend(actions);
    }

    /// Lets the client of a connection, if there is one, take bytes and say something.
    fn feed(&mut self, place: usize, mut input: &[u8]) {
        let connection = &mut self.connections[place];
        let Some(client) = &mut connection.client else { return };
        let mut out = Vec::new();
        while let Ok(Progress::Event(event)) = client.advance(self.now, &mut input, &mut out) {
            match event {
                MachineEvent::Ask(ticket, ask) => client.answer(ticket, self.accounts.answer(ask)).unwrap(),
                MachineEvent::Online(_) => connection.jid = client.jid().map(|jid| jid.to_jid()),
                _ => {}
            }
        }
        connection.see(0, &out);
        connection.to_server.extend(out);
    }

    /// A connection that has not ended.
    fn find(&mut self, name: &str) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.name == name && !connection.ended)
    }

    fn place(&self, id: ConnectionId) -> Option<usize> {
        self.connections.iter().position(|connection| connection.id == id)
    }

    fn with(&mut self, id: ConnectionId, change: impl FnOnce(&mut Connection)) {
        if let Some(place) = self.place(id) {
            change(&mut self.connections[place]);
        }
    }
}

impl Connection {
    /// Writes down what the client (0) or the server (1) has sent, a line for each thing.
    fn see(&mut self, end: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let before = bytes;
            if bytes.starts_with(b"<?xml") {
                self.readers[end] = Reader::new(XmlLimits::DELIVERED);
            }
            // What is sent is sent whole, so half an element is a fault; then it is written down as it is.
            if !matches!(self.readers[end].read(&mut bytes), Ok(Some(_))) {
                bytes = &[];
            }
            let text = String::from_utf8(before[..before.len() - bytes.len()].to_vec()).unwrap();
            self.wires.push(if end == 0 { Wire::Sent(text) } else { Wire::Received(text) });
        }
    }
}
