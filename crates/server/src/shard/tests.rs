//! Shards that talk to other servers.
#![allow(clippy::unwrap_used, reason = "tests")]

use alloc::vec;

use balcony_machine::{Secret, Seed};
use balcony_stream::TlsPolicy;

use super::*;
use crate::federation::FederationConfig;

const HEADER: &[u8] = b"<stream:stream from='b.example' to='a.example' version='1.0' xmlns='jabber:server' \
                        xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>\
                        <db:result from='b.example' to='a.example'>00ff</db:result>";

fn name(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

/// A server that other servers reach without TLS.
fn config(domain: &str) -> ServerConfig {
    let mut config = ServerConfig::new(vec![name(domain)], Secret::new([7; 32]));
    let mut federation = FederationConfig::new(vec![name(domain)]);
    (federation.tls, federation.dialback) = (TlsPolicy::None, Some(Secret::new("a secret".into())));
    federation.limits.patience = Duration::from_secs(3);
    config.federation = Some(federation);
    config
}

// A connection that is still being made is given up when nobody waits for it any more.
#[test]
fn what_does_not_connect_in_time_is_given_up() {
    let mut shard = Shard::new(config("a.example"), Seed::from_u64(1));
    let now = Instant::ZERO;
    let id = shard.accept(now, Transport::Server, "192.0.2.1:1".into(), None, ());
    shard.handle(now, Input::Received(id, HEADER));
    let (mut connecting, mut given_up) = (None, None);
    for time in [0, 61] {
        let now = now + Duration::from_secs(time);
        shard.tick(now);
        let mut resolve = None;
        loop {
            match shard.next() {
                Some(Todo::Resolve(domain, _)) => resolve = Some(domain),
                Some(Todo::Connect(id, ..)) => connecting = Some(id),
                Some(Todo::GiveUp(id)) => given_up = Some(id),
                Some(_) => {}
                None => match resolve.take() {
                    Some(domain) => shard.handle(now, Input::Resolved(&domain, Ok(Vec::new()))),
                    None => break,
                },
            }
        }
        assert_eq!(given_up.is_some(), time > 0);
    }
    assert!(connecting.is_some());
    assert_eq!(given_up, connecting);
}

/// Two servers that reach each other. Their sockets are known by their place in a list: whose each is, and what it is connected to.
struct Two {
    shards: [Shard<usize>; 2],
    sockets: Vec<(usize, ConnectionId, usize)>,
    /// Whether the sockets take messages of the first.
    takes_messages: bool,
    /// How many of those there were.
    messages: usize,
}

impl Two {
    fn new() -> Two {
        let shards = ["a.example", "b.example"].map(|domain| Shard::new(config(domain), Seed::from_u64(1)));
        Two { shards, sockets: Vec::new(), takes_messages: true, messages: 0 }
    }

    /// Does what there is to do, until nothing is; its sockets take all bytes.
    fn run(&mut self, now: Instant) {
        let mut quiet = 0;
        for side in [0, 1].into_iter().cycle() {
            let (mut written, mut resolve, mut connect) = (Vec::new(), Vec::new(), Vec::new());
            while let Some(todo) = self.shards[side].next() {
                match todo {
                    Todo::Write(&mut place, bytes) => written.push((place, bytes)),
                    Todo::Resolve(domain, _) => resolve.push(domain),
                    Todo::Connect(id, ..) => connect.push(id),
                    _ => {}
                }
            }
            let shard = &mut self.shards[side];
            let due = shard.hub.deadline().map(|deadline| deadline.at);
            assert_eq!(shard.part.news().deadline, due, "it does not know what is due");
            quiet =
                if written.is_empty() && resolve.is_empty() && connect.is_empty() { quiet + 1 } else { 0 };
            if quiet > 4 {
                return;
            }
            for domain in resolve {
                shard.handle(now, Input::Resolved(&domain, Ok(Vec::new())));
            }
            for id in connect {
                let place = self.sockets.len();
                assert!(self.shards[side].connected(now, id, 0, "a peer".into(), place));
                self.sockets.push((side, id, place + 1));
                let other = 1 - side;
                let id = self.shards[other].accept(now, Transport::Server, "a peer".into(), None, place + 1);
                self.sockets.push((other, id, place));
            }
            for (place, bytes) in written {
                let (_, id, to) = self.sockets[place];
                if side == 0 && bytes.starts_with(b"<message") {
                    self.messages += 1;
                    if !self.takes_messages {
                        continue;
                    }
                }
                self.shards[side].handle(now, Input::Written(id));
                let (other, id, _) = self.sockets[to];
                self.shards[other].handle(now, Input::Received(id, &bytes));
            }
        }
    }

    /// The first says something to the second.
    fn send(&mut self, now: Instant) {
        let message = Stanza::message(balcony_stanza::MessageType::Normal);
        let message = message.with_from("a.example".parse().unwrap()).with_to("b.example".parse().unwrap());
        self.shards[0].send(now, message).unwrap();
        self.run(now);
    }
}

// It wakes in time to see that another server does not read.
#[test]
fn what_is_written_to_another_server_has_its_time() {
    let mut two = Two::new();
    two.send(Instant::ZERO);
    two.takes_messages = false;
    two.send(Instant::ZERO);
    assert_eq!(two.messages, 2);
    let patience = config("a.example").federation.unwrap().limits.patience;
    assert!(two.shards[0].deadline().is_some_and(|at| at <= Instant::ZERO + patience));
}

// A configuration counts at once, though nothing else happens.
#[test]
fn who_is_denied_is_cut_off_while_nothing_else_happens() {
    let mut two = Two::new();
    two.send(Instant::ZERO);
    let mut changed = config("a.example");
    changed.federation.as_mut().unwrap().deny.insert(name("b.example"));
    two.shards[0].configure(changed);
    let mut closing = 0;
    while let Some(todo) = two.shards[0].next() {
        closing += usize::from(matches!(todo, Todo::Write(..) | Todo::Close(_)));
    }
    assert!(closing > 0, "it stays open");
}

// A server that shuts down gives its store the time that it takes to write much, as long as it writes; one that hangs does not hold it up.
#[test]
fn a_slow_store_has_time_to_write_all() {
    let slow = config("a.example");
    for answered in [0, 2, 4, 5] {
        let mut shard: Shard<()> = Shard::new(slow.clone(), Seed::from_u64(1));
        let mut now = Instant::ZERO;
        let answers = alloc::sync::Arc::new(core::sync::atomic::AtomicUsize::new(0));
        for number in 0..5 {
            let answers = alloc::sync::Arc::clone(&answers);
            shard.remove_account(now, name(&format!("{number}@a.example")), move |removal| {
                // The others are given up.
                if removal == Removal::Missing {
                    answers.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
                }
            });
        }
        let (mut asks, mut said) = (VecDeque::new(), String::new());
        let mut run = |shard: &mut Shard<()>, asks: &mut VecDeque<Ticket>| {
            while let Some(todo) = shard.next() {
                match todo {
                    Todo::Ask(ticket, Ask::Router(balcony_router::Ask::Load { .. })) => {
                        asks.push_back(ticket)
                    }
                    Todo::Log(_, line) => said.push_str(&line),
                    _ => {}
                }
            }
        };
        run(&mut shard, &mut asks);
        assert_eq!(asks.len(), 5);
        shard.shutdown(now);
        run(&mut shard, &mut asks);
        assert_eq!(shard.given_up(), None);
        for _ in 0..answered {
            now = now + Duration::from_secs(19);
            shard.tick(now);
            assert!(!shard.is_closed(), "{answered}: it is over at {now:?}");
            let missing = Answer::Router(balcony_router::Answer::Loaded(None));
            shard.handle(now, Input::Answer(asks.pop_front().unwrap(), missing));
            run(&mut shard, &mut asks);
        }
        let end = shard.deadline();
        assert_eq!(end.is_none(), answered == 5);
        if let Some(end) = end {
            assert!(!shard.is_closed() && end <= now + Duration::from_secs(26));
            shard.tick(end);
            run(&mut shard, &mut asks);
        }
        assert!(shard.is_closed());
        assert_eq!(answers.load(core::sync::atomic::Ordering::Relaxed), answered);
        assert_eq!(said.contains("is still writing: 3 requests"), answered > 0, "{said}");
        let given_up = match 5 - answered {
            1 => String::from(": 1 request to it is given up"),
            number => format!(": {number} requests to it are given up"),
        };
        assert_eq!(said.contains(&given_up), answered < 5, "{said}");
        assert_eq!(said.contains("given up"), answered < 5, "{said}");
        let given_up = shard.given_up().unwrap();
        assert_eq!((given_up.requests, given_up.sessions), (5 - answered, 0));
        assert_eq!(given_up.is_nothing(), answered == 5);
    }
}
