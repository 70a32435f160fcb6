//! Two clients log in to a server, and one writes to the other: bytes in slices, nothing else.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use balcony_client::{ClientMachine, MachineEvent};
use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_roster as _;
use balcony_router::Memory;
use balcony_sasl::{Credentials, Mechanism, salt_password};
use balcony_server::{Action, Answer, Ask, ConnectionId, Server, Transport};
use balcony_stanza::{MessageType, PresenceType, Stanza};
use balcony_stream::TlsPolicy;
use balcony_xep as _;
use balcony_xml::{Element, Name};

const NOW: Instant = Instant::ZERO;

/// How many messages were delivered: one, if all is well.
pub(crate) fn run() -> usize {
    let mut world = World::new();
    let romeo = world.connect("romeo@example.com", 1);
    let juliet = world.connect("Juliet@Example.COM", 2);
    world.settle();
    world.send(juliet, &Stanza::presence(PresenceType::Available));
    world.settle();

    const BODY: Name = Name::from_static("body");
    let to = Jid::parse("juliet@example.com").expect("an address");
    let body = Element::new(BODY, "jabber:client").text("Art thou not Romeo & a Montague?");
    world.send(romeo, &Stanza::message(MessageType::Chat).with_to(to).with_child(body));
    world.settle();
    world.messages
}

struct World {
    server: Server,
    actions: Vec<Action>,
    credentials: Credentials,
    kept: Memory,
    clients: Vec<(ConnectionId, ClientMachine)>,
    messages: usize,
}

impl World {
    fn new() -> Self {
        let domain = BareJid::parse("example.com").expect("an address");
        let mut config = balcony_server::ServerConfig::new(vec![domain], Secret::new([7; 32]));
        config.tls = TlsPolicy::None;
        World {
            server: Server::new(config, Seed::from_u64(0)),
            actions: Vec::new(),
            credentials: Credentials::derive("pencil", b"sixteen bytes ok", 4096).expect("a password"),
            kept: Memory::default(),
            clients: Vec::new(),
            messages: 0,
        }
    }

    fn connect(&mut self, account: &str, seed: u64) -> usize {
        let account = BareJid::parse(account).expect("an address");
        self.kept.create(account.clone());
        let mut config = balcony_client::ClientConfig::new(account, Secret::new(String::from("pencil")));
        config.stream.tls = TlsPolicy::None;
        config.stream.mechanisms = vec![Mechanism::ScramSha256];
        let client = ClientMachine::new(config, &Seed::from_u64(seed), NOW);
        let id = self.server.accept(NOW, Transport::Stream, &mut self.actions);
        self.clients.push((id, client));
        let at = self.clients.len() - 1;
        self.feed(at, &[]);
        at
    }

    fn send(&mut self, client: usize, stanza: &Stanza) {
        let mut out = Vec::new();
        self.clients[client].1.send(NOW, stanza, &mut out).expect("online");
        self.server.receive(NOW, self.clients[client].0, &out, &mut self.actions);
    }

    /// Lets a client take bytes, and the server what comes of it.
    fn feed(&mut self, client: usize, mut input: &[u8]) {
        let (id, client) = &mut self.clients[client];
        let mut out = Vec::new();
        loop {
            match client.advance(NOW, &mut input, &mut out).expect("a good server") {
                Progress::Event(MachineEvent::Ask(
                    ticket,
                    balcony_stream::client::ClientAsk::SaltPassword { hash, password, salt, iterations },
                )) => {
                    let salted =
                        salt_password(hash, password.expose(), &salt, iterations).expect("a password");
                    client
                        .answer(ticket, balcony_stream::client::ClientAnswer::Salted(salted))
                        .expect("an open ask");
                }
                Progress::Event(MachineEvent::Stanza(stanza)) => {
                    self.messages += usize::from(!stanza.payload.is_empty())
                }
                Progress::Event(_) => {}
                Progress::NeedInput | Progress::Blocked(_) | Progress::Closed => break,
            }
        }
        self.server.receive(NOW, *id, &out, &mut self.actions);
    }

    /// Does what the server says until it says nothing more.
    fn settle(&mut self) {
        while !self.actions.is_empty() || self.server.router().has_parked() {
            if self.actions.is_empty() {
                self.server.take_in(NOW, &mut self.actions);
            }
            for action in core::mem::take(&mut self.actions) {
                match action {
                    Action::Write(id) => {
                        let mut bytes = Vec::new();
                        self.server.take_output(id, &mut bytes);
                        self.server.written(NOW, id, &mut self.actions);
                        if let Some(client) = self.clients.iter().position(|(other, _)| *other == id) {
                            self.feed(client, &bytes);
                        }
                    }
                    Action::Ask(
                        ticket,
                        Ask::Stream(balcony_stream::server::ServerAsk::Credentials { hash, .. }),
                    ) => {
                        let keys = self.credentials.get(hash).cloned();
                        let answer = Answer::Stream(balcony_stream::server::ServerAnswer::Credentials(keys));
                        self.server.answer(NOW, ticket, answer, &mut self.actions);
                    }
                    Action::Ask(ticket, Ask::Router(ask)) => {
                        let answer = Answer::Router(self.kept.answer(0, ask));
                        self.server.answer(NOW, ticket, answer, &mut self.actions);
                    }
                    _ => {}
                }
            }
        }
    }
}
