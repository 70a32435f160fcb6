//! Connections that break while the store is busy.
#![allow(clippy::unwrap_used)]

use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed, Ticket};
use balcony_roster::{Item, Parts, Subscription, Version};
use balcony_router::{Answer as Found, Ask as Lookup, Kept, Offline};
use balcony_sasl::ScramKeys;
use balcony_server::{Action, Answer, Ask, Config, ConnectionId, Server};
use balcony_stanza::{MessageType, Stanza};
use balcony_stream::{Event, Initiating, Stream, TlsPolicy};

const JULIET: &str = "juliet@example.com";
const NURSE: &str = "nurse@example.com";

/// A server, and a store where Juliet sees her nurse and has a message waiting, and where nothing is ever written.
struct World {
    server: Server,
    actions: Vec<Action>,
    /// What is to be written.
    open: Vec<(Ticket, Lookup)>,
    /// How many times the store has been asked for the messages.
    fetched: usize,
}

fn kept(account: &BareJid) -> Kept {
    let mut item = Item::new(NURSE.parse().unwrap());
    item.subscription = Subscription::To;
    let (version, requests, changes) = (Version(1), vec![], vec![]);
    let roster = Parts { version, items: vec![item], requests, changes };
    match account.as_str() {
        JULIET => Kept { roster: Some(roster), offline: 1, ..Kept::default() },
        _ => Kept::default(),
    }
}

impl World {
    fn new() -> World {
        let mut config = Config::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        config.tls = TlsPolicy::None;
        let server = Server::new(config, Seed::from_u64(1));
        World { server, actions: Vec::new(), open: Vec::new(), fetched: 0 }
    }

    /// Answers what can be answered.
    fn act(&mut self) {
        while let Some(action) = self.actions.pop() {
            let Action::Ask(ticket, ask) = action else { continue };
            let answer = match ask {
                Ask::Stream(ask) => Answer::Stream(credentials(ask)),
                Ask::Router(Lookup::Load { account, .. }) => {
                    Answer::Router(Found::Loaded(Some(Box::new(kept(&account)))))
                }
                Ask::Router(Lookup::Offline { .. }) => {
                    self.fetched += 1;
                    assert!(self.fetched < 10, "the store is asked for the same again and again");
                    let stanza = Stanza::message(MessageType::Chat).to(JULIET.parse().unwrap()).id("waits");
                    let messages = vec![Offline { number: 1, at: 0, stanza: stanza.into() }];
                    Answer::Router(Found::Offline { messages, more: false })
                }
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
        let id = self.server.accept(Instant::ZERO, TlsPolicy::None, &mut self.actions);
        let mut config = Initiating::new(JULIET.parse().unwrap(), Secret::new(String::from("pencil")));
        config.tls = TlsPolicy::None;
        let mut client = Stream::initiating(config.into(), Seed::from_u64(1), Instant::ZERO);
        let mut read = Vec::new();
        while !client.is_open() {
            let (mut input, mut said) = (read.as_slice(), Vec::new());
            loop {
                match client.advance(Instant::ZERO, &mut input, &mut said).unwrap() {
                    Progress::Event(Event::Ask(ticket, ask)) => {
                        client.answer(ticket, credentials(ask)).unwrap();
                    }
                    Progress::Event(_) => {}
                    _ => break,
                }
            }
            self.receive(id, &said);
            read = self.written(id);
        }
        id
    }
}

fn credentials(ask: balcony_stream::Ask) -> balcony_stream::Answer {
    use balcony_stream::{Answer, Ask};
    match ask {
        Ask::Credentials { hash, .. } => {
            Answer::Credentials(Some(ScramKeys::derive(hash, "pencil", b"salt", 4096).unwrap()))
        }
        Ask::SaltPassword { hash, password, salt, iterations } => {
            Answer::Salted(balcony_sasl::salt_password(hash, password.expose(), &salt, iterations).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

// XEP-0160 §2: what waits for somebody is not got again and again for a connection that is broken, whose last stanzas wait for the
// store. It is there for the next one.
#[test]
fn a_broken_connection_gets_nothing_more() {
    let mut world = World::new();
    let id = world.login();
    let more = format!("<message to='{NURSE}' type='chat' id='m'><body>x</body></message>").repeat(100);
    world.receive(id, format!("<presence/>{more}").as_bytes());
    assert_eq!(world.fetched, 1);
    world.server.broken(Instant::ZERO, id, &mut world.actions);
    world.act();
    assert_eq!(world.fetched, 1);
    assert_eq!(world.server.router().counts().sessions, 1, "not all that it has sent is handled");
    // The store writes, and so the connection ends.
    while let Some((ticket, ask)) = world.open.pop() {
        assert!(!matches!(&ask, Lookup::Save { changes, .. } if changes.is_empty()));
        let saved = Answer::Router(Found::Saved);
        world.server.answer(Instant::ZERO, ticket, saved, &mut world.actions);
        world.act();
    }
    assert_eq!((world.server.connections(), world.server.router().counts().sessions), (0, 0));
    // It comes to the next one.
    let id = world.login();
    world.receive(id, b"<presence/>");
    assert_eq!(world.fetched, 2);
    assert!(String::from_utf8(world.written(id)).unwrap().contains("id='waits'"));
}
