//! Peers that send and never read, until their time is over: they end, and nobody else notices.
#![allow(clippy::unwrap_used)]

use core::time::Duration;

use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_sasl::ScramKeys;
use balcony_server::{Action, Answer, Ask, ConnectionId, Ended, Notice, Server, ServerConfig, Transport};
use balcony_stanza::StreamCondition;
use balcony_stream::client::{ClientAnswer, ClientAsk, ClientEvent, ClientStreamConfig};
use balcony_stream::server::{ServerAnswer, ServerAsk};
use balcony_stream::{ClientStream, TlsPolicy};

const HEADER: &str = "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";
const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";

struct World {
    server: Server,
    now: Instant,
    actions: Vec<Action>,
    reads: Vec<ConnectionId>,
    closed: Vec<ConnectionId>,
    ended: Vec<(ConnectionId, Ended)>,
}

impl World {
    fn new() -> World {
        let mut config = ServerConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        config.tls = TlsPolicy::None;
        config.registration = true;
        config.limits.output = 10_000;
        World {
            server: Server::new(config, Seed::from_u64(1)),
            now: Instant::ZERO,
            actions: Vec::new(),
            reads: Vec::new(),
            closed: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Everybody has the same password, and nothing in the store. Nobody reads what is written.
    fn act(&mut self) {
        while let Some(action) = self.actions.pop() {
            let answer = match action {
                Action::Ask(ticket, Ask::Stream(ask)) => (ticket, Answer::Stream(answer(ask))),
                Action::Ask(ticket, Ask::Router(_)) => {
                    (ticket, Answer::Router(balcony_router::Answer::Loaded(Some(Box::default()))))
                }
                Action::Read(id) => {
                    self.reads.push(id);
                    continue;
                }
                Action::Close(id) => {
                    self.closed.push(id);
                    continue;
                }
                Action::Notice(id, Notice::Ended(ended)) => {
                    self.ended.push((id, ended));
                    continue;
                }
                _ => continue,
            };
            self.server.answer(self.now, answer.0, answer.1, &mut self.actions);
        }
    }

    fn accept(&mut self, transport: Transport) -> ConnectionId {
        let id = self.server.accept(self.now, transport, &mut self.actions);
        self.act();
        id
    }

    fn receive(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.reads.retain(|reading| *reading != id);
        self.server.receive(self.now, id, bytes, &mut self.actions);
        self.act();
    }

    /// Logs in, and gets no further.
    fn login(&mut self, id: ConnectionId) {
        let account = "juliet@example.com".parse().unwrap();
        let mut config = ClientStreamConfig::new(account, Secret::new(String::from("pencil")));
        config.tls = TlsPolicy::None;
        let mut client = ClientStream::new(config.into(), Seed::from_u64(1), self.now);
        let mut read = Vec::new();
        loop {
            let (mut input, mut said) = (read.as_slice(), Vec::new());
            loop {
                match client.advance(self.now, &mut input, &mut said).unwrap() {
                    Progress::Event(ClientEvent::Ask(ticket, ask)) => {
                        client.answer(ticket, salt(ask)).unwrap();
                    }
                    Progress::Event(ClientEvent::Authenticated { .. }) => {
                        return self.receive(id, HEADER.as_bytes());
                    }
                    Progress::NeedInput => break,
                    other => panic!("{other:?}"),
                }
            }
            self.receive(id, &said);
            read.clear();
            self.server.take_output(id, &mut read);
            self.server.written(self.now, id, &mut self.actions);
            self.act();
        }
    }

    /// Sends this over and over, until the server reads no more.
    fn pour(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.receive(id, bytes);
        for _ in 0..100_000 {
            if !self.reads.contains(&id) {
                return;
            }
            self.receive(id, bytes);
        }
        panic!("it reads for ever");
    }

    /// Lets this time pass. Each deadline is met once.
    fn wait(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some(deadline) = self.server.deadline().filter(|deadline| deadline.at <= end) {
            self.now = deadline.at;
            self.server.tick(self.now, &mut self.actions);
            let left = self.server.deadline();
            assert!(left.is_none_or(|left| left.at > self.now), "{left:?} is still due at {:?}", self.now);
            self.act();
        }
        self.now = end;
    }

    /// Whoever says this until nothing of it is read any more is thrown out in time.
    fn throws_out(mut self, id: ConnectionId, again: &[u8], error: StreamCondition) {
        self.pour(id, again);
        assert!(self.ended.is_empty(), "{:?}", self.ended);
        self.wait(Duration::from_secs(700));
        let [(ended, Ended::Failed(reason))] = &self.ended[..] else { panic!("{:?}", self.ended) };
        assert_eq!(*ended, id);
        assert!(reason.to_string().contains(error.name()), "{reason}");
        assert_eq!((self.closed, self.server.connections()), (vec![id], 0));
    }
}

fn salt(ask: ClientAsk) -> ClientAnswer {
    let ClientAsk::SaltPassword { hash, password, salt, iterations } = ask;
    ClientAnswer::Salted(balcony_sasl::salt_password(hash, password.expose(), &salt, iterations).unwrap())
}

fn answer(ask: ServerAsk) -> ServerAnswer {
    match ask {
        ServerAsk::Credentials { hash, .. } => {
            ServerAnswer::Credentials(Some(ScramKeys::derive(hash, "pencil", b"salt", 4096).unwrap()))
        }
        other => panic!("{other:?}"),
    }
}

fn many(request: &str) -> Vec<u8> {
    request.repeat(20).into_bytes()
}

const FORM: &str = "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>";

// RFC 6120 §4.6.1, §13.12; XEP-0077 §3.1
#[test]
fn requests_for_registration_before_the_login() {
    let mut world = World::new();
    let id = world.accept(Transport::Stream);
    world.receive(id, HEADER.as_bytes());
    world.throws_out(id, &many(FORM), StreamCondition::ConnectionTimeout);
}

// RFC 6120 §4.6.1, §7.3.1
#[test]
fn requests_between_login_and_bind() {
    let mut world = World::new();
    let id = world.accept(Transport::Stream);
    world.login(id);
    let roster = many("<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>");
    world.throws_out(id, &roster, StreamCondition::ConnectionTimeout);
}

// RFC 6120 §4.6.1: then it is silent, as far as can be known.
#[test]
fn a_bound_resource() {
    let mut world = World::new();
    let id = world.accept(Transport::Stream);
    world.login(id);
    world.receive(id, BIND.as_bytes());
    assert_eq!(world.server.router().counts().sessions, 1);
    world.receive(id, &many("<iq type='get' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"));
    world.wait(Duration::from_secs(700));
    assert!(format!("{:?}", world.ended).contains("connection-timeout"), "{:?}", world.ended);
    assert_eq!((world.closed, world.server.connections()), (vec![id], 0));
}

// RFC 6455 §5.5.2: a ping has to be answered
#[cfg(feature = "websocket")]
#[test]
fn pings_of_a_websocket_before_the_login() {
    let request: &[u8] = b"GET /xmpp-websocket HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
        Sec-WebSocket-Protocol: xmpp\r\n\r\n";
    let mut world = World::new();
    let id = world.accept(Transport::WebSocket);
    world.receive(id, request);
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'.'; 125]].concat().repeat(20);
    // It has not opened a stream, and was asked nothing.
    world.throws_out(id, &ping, StreamCondition::PolicyViolation);
}

// Somebody else logs in meanwhile.
#[test]
fn others_go_on() {
    let mut world = World::new();
    let silent = world.accept(Transport::Stream);
    world.receive(silent, HEADER.as_bytes());
    world.pour(silent, &many(FORM));
    world.wait(Duration::from_secs(50));
    let other = world.accept(Transport::Stream);
    world.wait(Duration::from_secs(20));
    world.login(other);
    world.receive(other, BIND.as_bytes());
    assert_eq!(world.server.router().counts().sessions, 1);
    assert_eq!(world.closed, [silent]);
}
