//! Connections that break while the store is busy.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used)]

use core::net::IpAddr;

use std::sync::LazyLock;

use balcony_connection::ClientConnection;
use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed, Ticket};
use balcony_roster::{Item, Parts, Subscription, Version};
use balcony_router::extension::offline::OFFLINE;
use balcony_router::{Answer as Found, Ask as Lookup, Change, Content, Entry, Kept, LogEdit};
use balcony_sasl::ScramKeys;
use balcony_server::{Action, Answer, Ask, ConnectionId, Server, ServerConfig, Transport};
use balcony_stanza::{IqType, MessageType, PresenceType, Stanza};
use balcony_stream::TlsPolicy;
use balcony_stream::client::{ClientAnswer, ClientAsk, ClientEvent, ClientStreamConfig};
use balcony_stream::server::{ServerAnswer, ServerAsk};
use balcony_tls::{TlsIdentity, TlsTrust};
use balcony_xml::{Element, Name};

const JULIET: &str = "juliet@example.com";
const NURSE: &str = "nurse@example.com";

static IDENTITY: LazyLock<(TlsIdentity, TlsTrust)> = LazyLock::new(|| {
    let (certificate, key) = balcony_tls::self_signed(&["example.com"]).unwrap();
    let server = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
    let client = TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
    (server, client)
});

/// A server, and a store where Juliet sees her nurse and has a message waiting, and where nothing is ever written.
struct World {
    server: Server,
    actions: Vec<Action>,
    /// What is to be written.
    open: Vec<(Ticket, Lookup)>,
    client: Option<ClientConnection>,
    /// The ids of the stanzas that came to the client.
    heard: Vec<String>,
    /// How many times the store has been asked for the messages.
    fetched: usize,
}

fn kept(account: &BareJid) -> Kept {
    let mut item = Item::new(NURSE.parse().unwrap());
    item.subscription = Subscription::To;
    let (version, requests, changes) = (Version(1), vec![], vec![]);
    let roster = Parts { version, items: vec![item], requests, changes };
    match account.as_str() {
        JULIET => Kept { roster: Some(roster), logs: vec![(OFFLINE.into(), 1)], ..Kept::default() },
        _ => Kept::default(),
    }
}

impl World {
    fn new() -> World {
        let mut config = ServerConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        config.stream_management = false;
        config.certificate = Some(IDENTITY.0.clone());
        let server = Server::new(config, Seed::from_u64(1));
        World { server, actions: Vec::new(), open: Vec::new(), client: None, heard: Vec::new(), fetched: 0 }
    }

    /// Answers what can be answered.
    fn act(&mut self) {
        loop {
            let Some(action) = self.actions.pop() else {
                if self.server.router().has_parked() {
                    self.server.take_in(Instant::ZERO, &mut self.actions);
                    continue;
                }
                return;
            };
            let Action::Ask(ticket, ask) = action else { continue };
            let answer = match ask {
                Ask::Stream(ask) => Answer::Stream(credentials(ask)),
                Ask::Router(Lookup::Load { account, .. }) => {
                    Answer::Router(Found::Loaded(Some(Box::new(kept(&account)))))
                }
                Ask::Router(Lookup::Entries { .. }) => {
                    self.fetched += 1;
                    assert!(self.fetched < 10, "the store is asked for the same again and again");
                    let stanza =
                        Stanza::message(MessageType::Chat).with_to(JULIET.parse().unwrap()).with_id("waits");
                    let mut bytes = Vec::new();
                    stanza.write(&mut bytes);
                    let content = Content { version: 1, bytes: bytes.into() };
                    let entries = vec![Entry { number: 1, at: 0, tag: "".into(), content }];
                    Answer::Router(Found::Entries { entries, more: false })
                }
                Ask::Sessions { .. } => Answer::Sessions(false),
                Ask::Holders { .. } => Answer::Holders(Some(Vec::new())),
                Ask::Router(ask) => {
                    self.open.push((ticket, ask));
                    continue;
                }
            };
            self.server.answer(Instant::ZERO, ticket, answer, &mut self.actions);
        }
    }

    fn receive(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.server.receive(Instant::ZERO, id, bytes, &mut self.actions);
        self.act();
    }

    /// What there is to be written to the peer.
    fn written(&mut self, id: ConnectionId) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.server.take_output(id, &mut bytes);
        self.server.written(Instant::ZERO, id, &mut self.actions);
        self.act();
        bytes
    }

    /// Logs Juliet in.
    fn login(&mut self) -> ConnectionId {
        self.login_from(None)
    }

    fn login_from(&mut self, address: Option<IpAddr>) -> ConnectionId {
        let id = self.server.accept(Instant::ZERO, Transport::DirectTls, &mut self.actions);
        if let Some(address) = address {
            self.server.came_from(id, address);
        }
        let mut config =
            ClientStreamConfig::new(JULIET.parse().unwrap(), Secret::new(String::from("pencil")));
        config.tls = TlsPolicy::Direct;
        let client = ClientConnection::new(config.into(), Seed::from_u64(1), Instant::ZERO);
        self.client = Some(client.with_tls(IDENTITY.1.clone(), "example.com"));
        let mut read = Vec::new();
        while !self.client.as_ref().unwrap().is_open() {
            let said = self.client(&mut read);
            self.receive(id, &said);
            read = self.written(id);
        }
        id
    }

    /// What the client says to this.
    fn client(&mut self, read: &mut Vec<u8>) -> Vec<u8> {
        let client = self.client.as_mut().unwrap();
        let (mut input, mut said) = (read.as_slice(), Vec::new());
        loop {
            match client.advance(Instant::ZERO, &mut input, &mut said) {
                Ok(Progress::Event(ClientEvent::Ask(ticket, ask))) => {
                    client.answer(ticket, salted(ask)).unwrap();
                }
                Ok(Progress::Event(ClientEvent::Stanza(stanza))) => {
                    self.heard.extend(stanza.head.id.as_deref().map(str::to_owned));
                }
                Ok(Progress::Event(_)) => {}
                // An end shows in what follows.
                _ => break,
            }
        }
        let _ = client.flush(&mut said);
        said
    }

    fn says(&mut self, id: ConnectionId, stanzas: &[Stanza]) {
        let client = self.client.as_mut().unwrap();
        let mut bytes = Vec::new();
        for stanza in stanzas {
            client.send(stanza).unwrap();
        }
        client.flush(&mut bytes).unwrap();
        self.receive(id, &bytes);
    }

    /// What the store is to write is done.
    fn save(&mut self) {
        while let Some((ticket, _)) = self.open.pop() {
            self.server.answer(Instant::ZERO, ticket, Answer::Router(Found::Saved), &mut self.actions);
            self.act();
        }
    }

    /// Juliet comes back, and gets what waits.
    fn comes_back(&mut self) {
        assert_eq!((self.server.connections(), self.server.router().counts().sessions), (0, 0));
        let before = self.fetched;
        let id = self.login();
        self.says(id, &[available()]);
        assert_eq!(self.fetched, before + 1);
        let mut read = self.written(id);
        self.client(&mut read);
        assert!(self.heard.contains(&"waits".to_owned()));
    }
}

fn available() -> Stanza {
    Stanza::presence(PresenceType::Available)
}

fn credentials(ask: ServerAsk) -> ServerAnswer {
    match ask {
        ServerAsk::Credentials { hash, .. } => {
            ServerAnswer::Credentials(Some(ScramKeys::derive(hash, "pencil", b"salt", 4096).unwrap()))
        }
        other => panic!("{other:?}"),
    }
}

fn salted(ask: ClientAsk) -> ClientAnswer {
    let ClientAsk::SaltPassword { hash, password, salt, iterations } = ask;
    ClientAnswer::Salted(balcony_sasl::salt_password(hash, password.expose(), &salt, iterations).unwrap())
}

// XEP-0160 §2: what waits for somebody is not got again and again for a connection that is broken, whose last stanzas wait for the
// store. It is there for the next one.
#[test]
fn a_broken_connection_gets_nothing_more() {
    let mut world = World::new();
    let id = world.login();
    let message = Stanza::message(MessageType::Chat).with_to(NURSE.parse().unwrap()).with_id("m");
    world.says(id, &[vec![available()], vec![message; 100]].concat());
    assert_eq!(world.fetched, 1);
    world.server.broken(Instant::ZERO, id, &mut world.actions);
    world.act();
    assert_eq!(world.fetched, 1);
    assert_eq!(world.server.router().counts().sessions, 1, "not all that it has sent is handled");
    world.save();
    world.comes_back();
}

// ADR 5, deliver, write, delete: what was said before TLS failed is written before that shows, and is not kept besides.
#[test]
fn what_was_said_before_tls_failed_is_written() {
    let mut world = World::new();
    let id = world.login();
    world.says(id, &[available()]);
    assert_eq!(world.fetched, 1);
    world.receive(id, b"\x17\x03\x03\x00\x20this is not what TLS looks like.");
    let mut read = world.written(id);
    world.client(&mut read);
    assert_eq!(world.heard, ["waits"]);
    let drops = |(_, ask): &(Ticket, Lookup)| matches!(ask, Lookup::Save { changes, .. } if matches!(changes[..], [Change::Log { edit: LogEdit::Trim { .. }, .. }]));
    assert!(world.open.iter().any(drops), "{:?}", world.open);
}

// The same where something was said that TLS could not take any more, as it comes behind the failure: then nothing of what was taken last counts as
// written, and it comes again.
#[test]
fn what_tls_has_not_taken_is_not_written() {
    let mut world = World::new();
    let id = world.login();
    world.says(id, &[available()]);
    assert_eq!(world.fetched, 1);
    let roster = Element::new(Name::from_static("query"), "jabber:iq:roster");
    let request = Stanza::iq(IqType::Get).with_id("r").with_child(roster);
    let client = world.client.as_mut().unwrap();
    let mut bytes = Vec::new();
    client.send(&request).unwrap();
    client.flush(&mut bytes).unwrap();
    bytes.extend(b"\x17\x03\x03\x00\x20this is not what TLS looks like.");
    world.receive(id, &bytes);
    let mut read = world.written(id);
    world.client(&mut read);
    assert!(!world.heard.contains(&"r".to_owned()), "it has been answered");
    let drops = |(_, ask): &(Ticket, Lookup)| matches!(ask, Lookup::Save { changes, .. } if matches!(changes[..], [Change::Log { edit: LogEdit::Trim { .. }, .. }]));
    assert!(!world.open.iter().any(drops), "{:?}", world.open);
    world.save();
    world.comes_back();
}

// Whoever owns the server sees where a client is, as far as it is told, and as long as it is connected.
#[test]
fn where_a_client_is() {
    let network = "2001:db8:1:2::".parse().unwrap();
    for from in [None, Some(network)] {
        let mut world = World::new();
        world.login_from(from);
        assert_eq!(world.server.sessions(Instant::ZERO, None, 9)[0].address, from);
    }
}
