//! A hostile server with any number of domains below one against a whole server: on the streams that it opens, and on those that are
//! opened to it. No panic, nobody believed but its own domains, what is held bounded, and an end.
//!
//! A line of the input begins with a stream: 0 to 3 are opened by the hostile server, 0 and 1 from the same address, 4 to 7 are the
//! first that are opened to it. What follows is sent there, or what one character says: `h` is the header of a stream and its
//! features, `v` and `i` answer the keys that were asked about on it with `valid` and `invalid`, `-` cuts the connection, `/` closes it
//! in good order, `+` opens it anew. A line that begins with `t` lets time pass until something is due.
//!
//! The DNS has `evil.example` and what is below it at the hostile server, and `good.example` at one that does not answer.
#![no_main]

use std::collections::VecDeque;

use balcony_fuzz::{Cuts, Dice};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Secret, Seed};
use balcony_router::Memory;
use balcony_router::extension::offline::OFFLINE;
use balcony_server::federation::{FederationConfig, Unreachable};
use balcony_server::{Action, Answer, Ask, ConnectionId, Server, ServerConfig, Transport};
use balcony_stanza::Stanza;
use balcony_stream::TlsPolicy;
use libfuzzer_sys::fuzz_target;

const ACCOUNTS: [&str; 2] = ["juliet@example.com", "romeo@example.com"];
const CLOCK: u64 = 1_031_699_305_000;
/// Lines after this are not looked at: a run is to be short.
const LINES: usize = 64;
/// What may wait altogether.
const WAITING: usize = 20_000;

fuzz_target!(|data: &[u8]| {
    // What one stream says may come before or behind what another does, as the pieces come: the outputs need not be the same.
    World::run(data, Dice::new(data, 1).roll(2) == 0);
});

struct World {
    server: Server,
    kept: Memory,
    now: Instant,
    /// Those that the hostile server has opened.
    opened: [Option<Wire>; 4],
    /// Those that were opened to it, also when they have ended.
    taken: Vec<Wire>,
    is_cut: bool,
}

struct Wire {
    id: ConnectionId,
    is_closed: bool,
    /// The server reads.
    reads: bool,
    to_server: VecDeque<u8>,
    /// What the server has written since it was last looked at.
    heard: Vec<u8>,
}

impl Wire {
    fn new(id: ConnectionId) -> Wire {
        Wire { id, is_closed: false, reads: true, to_server: VecDeque::new(), heard: Vec::new() }
    }
}

impl World {
    fn run(data: &[u8], is_cut: bool) {
        let mut world = World {
            server: Server::new(config(), Seed::from_u64(1)),
            kept: Memory::default(),
            now: Instant::ZERO,
            opened: [None, None, None, None],
            taken: Vec::new(),
            is_cut,
        };
        for account in ACCOUNTS {
            world.kept.create(account.parse().expect("an address"));
        }
        for line in data.split(|byte| *byte == b'\n').take(LINES) {
            let Some((&first, rest)) = line.split_first() else { continue };
            match first {
                b't' => world.pass(),
                b'0'..=b'7' => world.play(usize::from(first - b'0'), rest),
                _ => {}
            }
            world.check();
        }
        world.end();
    }

    /// Something happens on one stream.
    fn play(&mut self, stream: usize, what: &[u8]) {
        let (mut actions, now) = (Vec::new(), self.now);
        if stream < 4 && (what == b"+" || self.opened[stream].is_none()) {
            if let Some(old) = self.opened[stream].take().filter(|old| !old.is_closed) {
                self.server.broken(now, old.id, &mut actions);
            }
            let from = ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:3", "192.0.2.3:4"][stream];
            let id = self.server.accept_server(now, Transport::Server, from.into(), &mut actions);
            self.opened[stream] = Some(Wire::new(id));
        }
        self.act(actions);
        self.settle();
        let Some(wire) = self.wire(stream).filter(|wire| !wire.is_closed) else { return };
        let (id, mut actions) = (wire.id, Vec::new());
        match what {
            b"+" => {}
            b"-" => {
                wire.is_closed = true;
                self.server.broken(now, id, &mut actions);
            }
            b"/" => self.server.eof(now, id, &mut actions),
            _ => {
                let bytes = match what {
                    b"h" => HEADER.to_vec(),
                    b"v" => verdicts(&wire.heard, "valid"),
                    b"i" => verdicts(&wire.heard, "invalid"),
                    _ => what.to_vec(),
                };
                let cuts = if self.is_cut { Cuts::of(&bytes) } else { Cuts::Whole };
                for piece in cuts.pieces(&bytes) {
                    if let Some(wire) = self.wire(stream) {
                        wire.to_server.extend(piece);
                    }
                    self.settle();
                }
                return;
            }
        }
        self.act(actions);
        self.settle();
    }

    fn wire(&mut self, stream: usize) -> Option<&mut Wire> {
        match stream.checked_sub(4) {
            None => self.opened[stream].as_mut(),
            Some(taken) => self.taken.get_mut(taken),
        }
    }

    fn wires(&mut self) -> impl Iterator<Item = &mut Wire> {
        self.opened.iter_mut().flatten().chain(&mut self.taken)
    }

    /// What was sent arrives.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let wire = self.wires().find(|wire| wire.reads && !wire.is_closed && !wire.to_server.is_empty());
            let Some(wire) = wire else { return };
            let (id, bytes) = (wire.id, wire.to_server.drain(..).collect::<Vec<u8>>());
            wire.reads = false;
            let mut actions = Vec::new();
            self.server.receive(self.now, id, &bytes, &mut actions);
            self.act(actions);
        }
        panic!("it never ends");
    }

    /// Time passes until something is due.
    fn pass(&mut self) {
        let Some(due) = self.server.deadline() else { return };
        self.now = self.now.max(due.at);
        let mut actions = Vec::new();
        self.server.tick(self.now, &mut actions);
        let left = self.server.deadline();
        assert!(left.is_none_or(|left| left.at > self.now), "{left:?} is still due");
        self.act(actions);
        self.settle();
    }

    fn act(&mut self, mut actions: Vec<Action>) {
        while !actions.is_empty() {
            let mut next = Vec::new();
            for action in actions {
                match action {
                    Action::Ask(ticket, Ask::Router(ask)) => {
                        let clock = CLOCK + self.now.as_nanos() / 1_000_000;
                        let answer = Answer::Router(self.kept.answer(clock, ask));
                        self.server.answer(self.now, ticket, answer, &mut next);
                    }
                    Action::Write(id) => {
                        let mut bytes = Vec::new();
                        self.server.take_output(id, &mut bytes);
                        if let Some(wire) = self.wires().find(|wire| wire.id == id) {
                            wire.heard.extend_from_slice(&bytes);
                        }
                        self.server.written(self.now, id, &mut next);
                    }
                    Action::Read(id) => {
                        self.wires().filter(|wire| wire.id == id).for_each(|wire| wire.reads = true);
                    }
                    Action::ReadNow(_) => panic!("there are no clients"),
                    Action::Close(id) => {
                        self.wires().filter(|wire| wire.id == id).for_each(|wire| wire.is_closed = true);
                    }
                    Action::Resolve(domain, _) => {
                        self.server.resolved(self.now, &domain, Ok(Vec::new()), &mut next);
                    }
                    Action::Connect(id, targets, _) => {
                        if targets.first().is_some_and(|target| is_evil(&target.host)) {
                            self.taken.push(Wire::new(id));
                            assert!(self.server.connected(self.now, id, 0, &mut next));
                        } else {
                            let unreachable = Unreachable { is_unknown: false, reason: "no answer".into() };
                            self.server.unreachable(self.now, id, &unreachable, &mut next);
                        }
                    }
                    Action::Ask(ticket, Ask::Holders { collection, after, limit }) => {
                        let holders = self.kept.holders(collection, after.as_ref(), limit);
                        self.server.answer(self.now, ticket, Answer::Holders(Some(holders)), &mut next);
                    }
                    Action::Ask(_, Ask::Stream(_) | Ask::Sessions { .. }) => panic!("there are no clients"),
                    Action::Notice(..) | Action::Removed(..) | Action::Abandoned(_) | Action::Log(..) => {}
                }
            }
            actions = next;
        }
    }

    /// What has come is from who says so, and not too much is held.
    fn check(&mut self) {
        for account in ACCOUNTS {
            let account: BareJid = account.parse().expect("an address");
            for entry in self.kept.entries(&account, OFFLINE) {
                let stanza = Stanza::parse(&entry.content.bytes).expect("a message");
                let from = stanza.head.from.expect("a sender");
                assert!(is_evil(from.domainpart()), "{from} is believed");
            }
        }
        let federation = self.server.federation().expect("other servers");
        assert!(federation.waiting_bytes() <= WAITING, "{} wait", federation.waiting_bytes());
        assert!(federation.streams() <= 4 + 4 + 8, "{} streams", federation.streams());
    }

    /// Nobody says anything any more, and in time nothing is left.
    fn end(&mut self) {
        for _ in 0..10_000 {
            if self.server.deadline().is_none() {
                break;
            }
            self.pass();
        }
        assert_eq!(self.server.deadline(), None, "it never ends");
        assert_eq!(self.server.connections(), 0);
    }
}

/// The names that the DNS has at the hostile server.
fn is_evil(name: &str) -> bool {
    name == "evil.example" || name.ends_with(".evil.example")
}

const HEADER: &[u8] = b"<stream:stream from='evil.example' to='example.com' id='x' version='1.0' xmlns='jabber:server' \
                        xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>\
                        <stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>";

/// The answers to all keys that were asked about.
fn verdicts(heard: &[u8], verdict: &str) -> Vec<u8> {
    let heard = String::from_utf8_lossy(heard);
    let attribute = |asked: &str, name: &str| {
        let (_, value) = asked.split_once(&format!(" {name}='"))?;
        value.split_once('\'').map(|(value, _)| value.to_owned())
    };
    let answers = heard.split("<db:verify").skip(1).filter_map(|asked| {
        let (from, to, id) = (attribute(asked, "from")?, attribute(asked, "to")?, attribute(asked, "id")?);
        Some(format!("<db:verify from='{to}' to='{from}' id='{id}' type='{verdict}'/>"))
    });
    answers.collect::<String>().into()
}

fn config() -> ServerConfig {
    let name = |name: &str| -> BareJid { name.parse().expect("a domain") };
    let mut config = ServerConfig::new(vec![name("example.com")], Secret::new([7; 32]));
    config.tls = TlsPolicy::None;
    let mut federation = FederationConfig::new(vec![name("example.com")]);
    federation.tls = TlsPolicy::None;
    federation.dialback = Some(Secret::new("s3cr3tf0rd14lb4ck".into()));
    federation.stream.before_auth.bytes = 2_000;
    federation.stream.after_auth.bytes = 4_000;
    federation.stream.domain_pairs = 4;
    let limits = &mut federation.limits;
    (limits.waiting_bytes, limits.answers_bytes, limits.answer_bytes) = (WAITING / 2, WAITING / 2, 4_000);
    (limits.domains, limits.domains_per_address, limits.outgoing_streams) = (8, 3, 4);
    (limits.attempts, limits.attempts_per_address, limits.keys_per_address) = (4, 2, 3);
    config.federation = Some(federation);
    config
}
