//! What an administrator can bound (RFC 6120 section 13.12).
#![allow(clippy::unwrap_used)]

use core::time::Duration;

use balcony_machine::{Instant, Secret, Seed};
use balcony_server::{Acceptor, Action, Answer, Ask, Entry, Level, Server, ServerConfig, Transport};
use balcony_stanza::{ErrorCondition, StreamCondition, StreamError};
use balcony_stream::TlsPolicy;

const HEADER: &[u8] = b"<stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
                        xmlns:stream='http://etherx.jabber.org/streams'>";

fn config() -> ServerConfig {
    let mut config = ServerConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
    config.tls = TlsPolicy::None;
    config
}

/// Whether such a connection is let in.
fn enter(acceptor: &mut Acceptor, config: &ServerConfig, from: &str) -> Option<Entry> {
    acceptor.enter(Instant::ZERO, config, Transport::Stream, from).ok()
}

// RFC 6120 §13.12 [Q14]: connections from one address, where all addresses of one customer are one
#[test]
fn connections_from_one_address() {
    let mut limited = config();
    limited.connections_per_ip = Some(2);
    for (addresses, others) in [
        (["192.0.2.1:1", "192.0.2.1:2", "[::ffff:192.0.2.1]:3"], "192.0.2.2:1"),
        (["[2001:db8:0:1::1]:1", "[2001:db8:0:1::2]:1", "[2001:db8:0:1:ffff::]:1"], "[2001:db8:0:2::1]:1"),
    ] {
        let mut acceptor = Acceptor::new(100);
        let [first, second, third] = addresses;
        let one = enter(&mut acceptor, &limited, first).unwrap();
        assert!(enter(&mut acceptor, &limited, second).is_some());
        let refusal = acceptor.enter(Instant::ZERO, &limited, Transport::Stream, third).unwrap_err();
        assert_eq!(refusal.error.condition, StreamCondition::PolicyViolation);
        assert!(enter(&mut acceptor, &limited, others).is_some(), "others go on");
        // When one has gone, there is room for one.
        acceptor.leave(Instant::ZERO, one);
        assert!(enter(&mut acceptor, &limited, third).is_some());
        assert_eq!(enter(&mut acceptor, &limited, first), None);
    }
    // A proxy on this machine, and what is no address, stand for many; and without a bound there is none.
    for (config, from) in
        [(&limited, "127.0.0.1:1"), (&limited, "[::1]:1"), (&limited, "a pipe"), (&config(), "192.0.2.1:1")]
    {
        let mut acceptor = Acceptor::new(100);
        assert!((0..10).all(|_| enter(&mut acceptor, config, from).is_some()), "{from}");
    }
}

// RFC 6120 §13.12 [Q14]: an administrator hears that addresses are turned away; nobody fills the log by that
#[test]
fn the_log_hears_of_an_address_once_a_minute() {
    let mut limited = config();
    limited.connections_per_ip = Some(1);
    let mut acceptor = Acceptor::new(100);
    let mut level = |seconds: u64| {
        let now = Instant::from_millis(seconds * 1000);
        let entered = acceptor.enter(now, &limited, Transport::Stream, "192.0.2.1:1");
        entered.err().and_then(|refusal| refusal.line).map(|(level, _)| level)
    };
    let levels = [0, 1, 2, 60, 61, 62].map(&mut level);
    let (told, not) = (Some(Level::Warn), Some(Level::Debug));
    assert_eq!(levels, [None, told, not, not, told, not]);
}

// RFC 6120 §13.12 [Q14]: connections in total; the log is told once
#[test]
fn connections_in_total() {
    let (mut acceptor, config) = (Acceptor::new(2), config());
    let one = enter(&mut acceptor, &config, "192.0.2.1:1").unwrap();
    assert!(enter(&mut acceptor, &config, "127.0.0.1:1").is_some());
    for is_first in [true, false, false] {
        let refusal = acceptor.enter(Instant::ZERO, &config, Transport::Stream, "192.0.2.2:1").unwrap_err();
        assert_eq!(refusal.error.condition, StreamCondition::ResourceConstraint);
        assert_eq!(refusal.line.is_some(), is_first);
    }
    acceptor.leave(Instant::ZERO, one);
    assert_eq!(acceptor.count(), 1);
    assert!(enter(&mut acceptor, &config, "192.0.2.2:1").is_some());
}

// RFC 6120 §13.12 [Q14]: servers that connect take no room of clients, nor clients of them
#[test]
fn servers_and_clients_have_room_of_their_own() {
    let (mut acceptor, mut config) = (Acceptor::new(2), config());
    config.server_connections = 3;
    let mut enter = |transport| acceptor.enter(Instant::ZERO, &config, transport, "192.0.2.1:1").is_ok();
    let of_servers = [Transport::Server, Transport::ServerDirectTls, Transport::Component, Transport::Server];
    assert_eq!(of_servers.map(&mut enter), [true, true, true, false]);
    assert_eq!(
        [Transport::Stream, Transport::DirectTls, Transport::Stream].map(&mut enter),
        [true, true, false]
    );
    assert_eq!(acceptor.count(), 5);
}

// RFC 6120 §13.12 [Q14]: attempts of one address, which count even if they last no time; others have their own
#[test]
fn attempts_of_one_address() {
    let (mut acceptor, mut config) = (Acceptor::new(100), config());
    config.attempts_per_ip = Some(6);
    let mut now = Instant::from_millis(5);
    let mut tries = |now, from: &str, tries: usize| {
        let enter = |_: &usize| match acceptor.enter(now, &config, Transport::Stream, from) {
            Ok(entry) => {
                acceptor.leave(now, entry);
                true
            }
            Err(refusal) => {
                assert_eq!(refusal.error.condition, StreamCondition::PolicyViolation);
                false
            }
        };
        (0..tries).filter(enter).count()
    };
    assert_eq!(tries(now, "192.0.2.1:1", 20), 6);
    assert_eq!(tries(now, "192.0.2.2:1", 3), 3);
    assert_eq!(tries(now, "127.0.0.1:1", 20), 20);
    now = now + Duration::from_secs(20);
    assert_eq!(tries(now, "192.0.2.1:1", 20), 2);
    now = now + Duration::from_secs(600);
    assert_eq!(tries(now, "192.0.2.1:1", 20), 6);
}

// RFC 6120 §4.9.1.2: with a header and a closing tag; what would take a handshake is not said
#[test]
fn last_words_of_connections_that_are_turned_away() {
    let mut server = Server::new(config(), Seed::from_u64(1));
    let error = || StreamError::new(StreamCondition::ResourceConstraint, "there are too many connections");
    let words = server.last_words(Instant::ZERO, Transport::Stream, error());
    let words = String::from_utf8(words).unwrap();
    assert!(words.starts_with("<?xml version='1.0'?><stream:stream "), "{words}");
    assert!(words.contains("<stream:error><resource-constraint "), "{words}");
    assert!(words.ends_with("</stream:error></stream:stream>"), "{words}");
    assert!(server.last_words(Instant::ZERO, Transport::DirectTls, error()).is_empty());
    assert_eq!(server.connections(), 0);
}

/// How many bytes a peer that sends as much as it can gets rid of, and when, with chunks of this size.
fn pour(rate: Option<u32>, chunk: usize, seconds: u64) -> usize {
    let mut config = config();
    config.bytes_per_second = rate;
    config.limits.negotiation = Duration::from_secs(3600);
    let mut server = Server::new(config, Seed::from_u64(1));
    let (mut now, mut actions) = (Instant::ZERO, Vec::new());
    // What a server asks when it starts.
    server.tick(now, &mut actions);
    let id = server.accept(now, Transport::Stream, &mut actions);
    let mut poured = 0;
    let mut next = HEADER.to_vec();
    while now < Instant::from_millis(seconds * 1000) && poured < 1_000_000 {
        poured += next.len();
        server.receive(now, id, &next, &mut actions);
        let mut out = Vec::new();
        server.take_output(id, &mut out);
        if !out.is_empty() {
            // What has come is dealt with at once.
            assert!(String::from_utf8_lossy(&out).contains("<stream:features>"));
            server.written(now, id, &mut actions);
        }
        next = vec![b' '; chunk];
        while !actions.contains(&Action::Read(id)) {
            let at = server.deadline().unwrap().at;
            assert!(at > now, "no busy waiting");
            now = at;
            server.tick(now, &mut actions);
        }
        actions.retain(|action| *action != Action::Read(id));
        assert!(!actions.iter().any(|action| matches!(action, Action::Close(_))));
    }
    poured
}

// RFC 6120 §13.12 [Q14]: bandwidth
#[test]
fn a_client_that_sends_too_fast_is_read_from_more_slowly() {
    for (rate, chunk) in [(1000_u32, 100), (1000, 16_384), (50_000, 1000)] {
        let poured = pour(Some(rate), chunk, 100);
        let allowed = rate as usize * 101;
        assert!(poured <= allowed + chunk + HEADER.len(), "{rate} {chunk}: {poured}");
        assert!(poured >= allowed.min(1_000_000) - chunk - HEADER.len(), "{rate} {chunk}: {poured}");
    }
    assert!(pour(None, 1000, 1) >= 1_000_000);
}

// XEP-0077 2.4 §3.1, §14: a stream registers as many accounts as may come from its address, and goes on when there are no more.
#[test]
fn accounts_registered_from_one_address() {
    let mut config = config();
    config.registration = true;
    config.limits.negotiation = Duration::from_secs(3600);
    let mut server = Server::new(config, Seed::from_u64(1));
    let mut now = Instant::ZERO;
    let open = |server: &mut Server, address: &str| {
        let id = server.accept(now, Transport::Stream, &mut Vec::new());
        server.came_from(id, address.parse().unwrap());
        id
    };
    let (one, same, other) =
        (open(&mut server, "192.0.2.1"), open(&mut server, "192.0.2.1"), open(&mut server, "192.0.2.2"));
    // What comes back for this, and whether an account was to be made.
    let say = |server: &mut Server, now, id, text: &[u8]| {
        let is_taken = text.windows(5).any(|bytes| bytes == b"taken");
        let (mut actions, mut output, mut asked) = (Vec::new(), Vec::new(), false);
        server.receive(now, id, text, &mut actions);
        while !actions.is_empty() {
            for action in core::mem::take(&mut actions) {
                match action {
                    Action::Ask(ticket, Ask::Stream(balcony_stream::server::ServerAsk::Register { .. })) => {
                        asked = true;
                        let result = if is_taken { Err(ErrorCondition::Conflict.into()) } else { Ok(()) };
                        let answer = Answer::Stream(balcony_stream::server::ServerAnswer::Registered(result));
                        server.answer(now, ticket, answer, &mut actions);
                    }
                    Action::Write(id) => {
                        server.take_output(id, &mut output);
                        server.written(now, id, &mut actions);
                    }
                    Action::Read(_) | Action::Log(..) => {}
                    action => panic!("{action:?}"),
                }
            }
        }
        (String::from_utf8(output).unwrap(), asked)
    };
    for id in [one, same, other] {
        assert!(say(&mut server, now, id, HEADER).0.contains("<stream:features>"));
        // Tries for names that are taken count for the address: nobody finds out for ever which are.
        let taken = "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>taken</username>\
                     <password>x</password></query></iq>";
        for _ in 0..4 {
            assert!(say(&mut server, now, id, taken.as_bytes()).0.contains("<conflict"));
        }
    }
    let mut number = 0;
    let mut register = |server: &mut Server, now, id| {
        number += 1;
        let request = format!(
            "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>user{number}</username>\
             <password>x</password></query></iq>"
        );
        let (answer, asked) = say(server, now, id, request.as_bytes());
        assert_eq!(answer.contains("type='result'"), asked, "{answer}");
        assert!(
            asked || (answer.contains("<resource-constraint") && answer.contains("try again later")),
            "{answer}"
        );
        asked
    };
    assert_eq!((0..30).filter(|_| register(&mut server, now, one)).count(), 20 - 2 * 4);
    assert!(!register(&mut server, now, same), "another stream is no way around it");
    assert!(register(&mut server, now, other), "others go on");
    now = now + Duration::from_secs(60);
    assert!(register(&mut server, now, one) && !register(&mut server, now, same));
}
