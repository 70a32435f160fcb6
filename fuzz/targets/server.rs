//! Any sequence of stanzas from several sessions through a whole server, with a store in memory: no panic, the same bytes however
//! the network cuts them, XML that clients understand, nobody who is who they are not, and an end.
//!
//! A line of the input is a session, 0 to 3, and what it sends. Alone, `-` cuts its connection, `+` connects it anew, `/` closes it
//! in good order; a line that begins with `t` lets time pass until something is due. 0 and 1 are juliet's, 2 is romeo's, and 3
//! is not logged in.
#![no_main]

use balcony_fuzz::{ACCOUNT, Cuts, Dice, PASSWORD, answer};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_router::Memory;
use balcony_server::{Action, Answer, Ask, Config, ConnectionId, Server};
use balcony_stream::{Error, Event, Initiating, Stream, TlsPolicy};
use libfuzzer_sys::fuzz_target;

const ROMEO: &str = "romeo@example.com";
const SESSIONS: [Option<(&str, &str)>; 4] =
    [Some((ACCOUNT, "balcony")), Some((ACCOUNT, "chamber")), Some((ROMEO, "orchard")), None];
const CLOCK: u64 = 1_031_699_305_000;
/// Lines after this are not looked at: a run is to be short.
const LINES: usize = 64;

fuzz_target!(|data: &[u8]| {
    let whole = World::run(data, false);
    assert_eq!(whole, World::run(data, true), "pieces");
});

struct World {
    server: Server,
    kept: Memory,
    now: Instant,
    sessions: Vec<Session>,
    /// The connections that have been closed.
    closed: Vec<ConnectionId>,
}

struct Session {
    id: ConnectionId,
    client: Option<Stream>,
    gone: bool,
    output: Vec<u8>,
}

impl World {
    /// Everything that was sent, by session.
    fn run(data: &[u8], cut: bool) -> Vec<Vec<u8>> {
        let mut config = Config::new(vec!["example.com".parse().expect("an address")], Secret::new([9; 32]));
        config.tls = TlsPolicy::None;
        config.registration = true;
        config.limits.before_auth.bytes = 2_000;
        config.limits.waiting = 16;
        let server = Server::new(config, Seed::from_u64(1));
        let mut world = World {
            server,
            kept: Memory::default(),
            now: Instant::ZERO,
            sessions: Vec::new(),
            closed: Vec::new(),
        };
        for index in 0..SESSIONS.len() {
            let session = world.connect(index);
            world.sessions.push(session);
            world.settle(index);
        }
        for line in data.split(|byte| *byte == b'\n').take(LINES) {
            let Some((&first, rest)) = line.split_first() else { continue };
            let index = match first {
                b'0'..=b'3' => usize::from(first - b'0'),
                b't' => {
                    world.pass();
                    continue;
                }
                _ => continue,
            };
            match rest {
                b"-" => world.cut(index),
                b"+" => {
                    world.cut(index);
                    let output = core::mem::take(&mut world.sessions[index].output);
                    world.sessions[index] = world.connect(index);
                    world.sessions[index].output = output;
                    world.settle(index);
                }
                b"/" => {
                    world.send(index, b"</stream:stream>");
                    world.settle(index);
                }
                bytes => {
                    let cuts = if cut { Cuts::Random(Dice::new(bytes, 3)) } else { Cuts::Whole };
                    for piece in cuts.pieces(bytes) {
                        world.send(index, piece);
                    }
                    world.settle(index);
                }
            }
        }
        world.end();
        world.sessions.into_iter().map(|session| session.output).collect()
    }

    fn connect(&mut self, index: usize) -> Session {
        let client = SESSIONS[index].map(|(account, resource)| {
            let mut config =
                Initiating::new(account.parse().expect("an address"), Secret::new(PASSWORD.into()));
            config.tls = TlsPolicy::None;
            config.resource = Some(resource.into());
            Stream::initiating(config.into(), Seed::from_u64(index as u64), self.now)
        });
        let mut actions = Vec::new();
        let id = self.server.accept(self.now, TlsPolicy::None, &mut actions);
        self.act(actions);
        Session { id, client, gone: false, output: Vec::new() }
    }

    fn send(&mut self, index: usize, bytes: &[u8]) {
        if self.sessions[index].gone {
            return;
        }
        let (id, mut actions) = (self.sessions[index].id, Vec::new());
        self.server.receive(self.now, id, bytes, &mut actions);
        self.act(actions);
    }

    fn cut(&mut self, index: usize) {
        let mut actions = Vec::new();
        self.sessions[index].gone = true;
        self.server.broken(self.now, self.sessions[index].id, &mut actions);
        self.act(actions);
        self.settle(index);
    }

    /// Until the next thing is due.
    fn pass(&mut self) {
        if let Some(deadline) = self.server.deadline() {
            self.now = self.now.max(deadline.at);
            let mut actions = Vec::new();
            self.server.tick(self.now, &mut actions);
            let left = self.server.deadline();
            assert!(left.is_none_or(|left| left.at > self.now), "{left:?} is still due");
            self.act(actions);
            self.settle(0);
        }
    }

    /// Carries everything everywhere, from this session on.
    fn settle(&mut self, first: usize) {
        for _ in 0..1000 {
            let mut busy = false;
            for turn in 0..self.sessions.len() {
                busy |= self.carry((first + turn) % self.sessions.len());
            }
            if !busy {
                return;
            }
        }
        panic!("it never ends");
    }

    fn carry(&mut self, index: usize) -> bool {
        let (mut bytes, mut actions) = (Vec::new(), Vec::new());
        let session = &mut self.sessions[index];
        self.server.take_output(session.id, &mut bytes);
        self.server.written(self.now, session.id, &mut actions);
        session.output.extend_from_slice(&bytes);
        let mut out = Vec::new();
        if let Some(client) = &mut session.client {
            listen(client, self.now, &bytes, &mut out);
        }
        let id = session.id;
        if !out.is_empty() && !session.gone {
            self.server.receive(self.now, id, &out, &mut actions);
        }
        self.act(actions);
        !bytes.is_empty() || !out.is_empty()
    }

    /// Does what the server wants done. The store answers at once.
    fn act(&mut self, mut actions: Vec<Action>) {
        while !actions.is_empty() {
            let mut next = Vec::new();
            for action in actions {
                match action {
                    Action::Ask(ticket, Ask::Stream(ask)) => {
                        let answer = Answer::Stream(answer(as_juliet(ask)));
                        self.server.answer(self.now, ticket, answer, &mut next);
                    }
                    Action::Ask(ticket, Ask::Router(ask)) => {
                        let clock = CLOCK + self.now.as_nanos() / 1_000_000;
                        let answer = Answer::Router(self.kept.answer(clock, ask));
                        self.server.answer(self.now, ticket, answer, &mut next);
                    }
                    Action::Close(id) => {
                        assert!(!self.closed.contains(&id), "closed twice");
                        self.closed.push(id);
                    }
                    Action::Write(_) | Action::Read(_) | Action::Notice(..) | Action::Removed(..) => {}
                }
            }
            actions = next;
        }
    }

    /// Every connection ends, and nothing is left.
    fn end(&mut self) {
        let mut actions = Vec::new();
        self.server.shutdown(self.now, &mut actions);
        self.act(actions);
        self.settle(0);
        for _ in 0..8 {
            self.pass();
        }
        assert_eq!(self.server.connections(), 0, "connections that never end");
        assert_eq!(self.server.router().counts().sessions, 0, "sessions without connections");
    }
}

/// romeo has the same password.
fn as_juliet(ask: balcony_stream::Ask) -> balcony_stream::Ask {
    use balcony_stream::Ask as Stream;
    let juliet = |account: BareJid| {
        if account.as_str() == ROMEO { ACCOUNT.parse().expect("an address") } else { account }
    };
    match ask {
        Stream::Credentials { account, hash } => Stream::Credentials { account: juliet(account), hash },
        Stream::Verify { account, password } => Stream::Verify { account: juliet(account), password },
        other => other,
    }
}

/// What a client makes of what the server sends: there may be a stream error in it, but nothing that is against the rules.
fn listen(client: &mut Stream, now: Instant, bytes: &[u8], out: &mut Vec<u8>) {
    let mut input = bytes;
    loop {
        match client.advance(now, &mut input, out) {
            Ok(Progress::Event(Event::Ask(ticket, ask))) => {
                client.answer(ticket, answer(ask)).expect("an open ask");
            }
            Ok(Progress::Event(Event::Stanza(stanza))) => {
                if let Some(from) = &stanza.head.from {
                    let known = [ACCOUNT, ROMEO, "example.com"].contains(&from.bare_str());
                    let of_us = from.domainpart() == "example.com";
                    assert!(known || of_us, "a stanza of {from}");
                }
            }
            Ok(Progress::Event(_)) => {}
            Ok(_) => return,
            Err(Error::Local(error)) => {
                // A client has its own patience.
                let ours = matches!(
                    error.condition,
                    balcony_stanza::StreamCondition::ConnectionTimeout
                        | balcony_stanza::StreamCondition::PolicyViolation
                );
                assert!(ours, "the server broke a rule: {error}: {}", String::from_utf8_lossy(bytes));
                return;
            }
            Err(_) => return,
        }
    }
}
