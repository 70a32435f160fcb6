//! Time passes for a connection whatever its peer does, reads or leaves undone: when it has been advanced, nothing is due.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used)]

mod common;

use core::time::Duration;
use std::sync::Arc;

use balcony_connection::{ClientConnection, Connection, S2sConnection, ServerConnection};
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_sim::{Accounts, Simulated};
use balcony_stream::client::ClientStreamConfig;
use balcony_stream::s2s::{S2sInitiatingConfig, S2sReceivingConfig};
use balcony_stream::server::ServerStreamConfig;
use balcony_stream::{Sorted, TlsPolicy};
use common::{BIND, CLOSE, HEADER, IDENTITY, PLAIN, PROCEED, STARTTLS};
use proptest::prelude::*;

/// What peers may say, and what they had better not.
const WORDS: [&str; 16] = [
    HEADER,
    "<stream:stream from='example.net' to='example.com' version='1.0' xmlns='jabber:server' \
     xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' id='1'>",
    STARTTLS,
    PROCEED,
    PLAIN,
    BIND,
    CLOSE,
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1qdWxpZXQscj14</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
    "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>",
    "<db:result from='example.net' to='example.com'>key</db:result>",
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><mechanisms \
     xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>",
    "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>",
    " ",
    "\u{16}\u{3}\u{1}",
    "GET /xmpp-websocket HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n",
];

#[derive(Clone, Debug)]
enum Act {
    /// The peer says this, so often.
    Say(usize, usize),
    /// Until the next deadline.
    Wait,
    /// A part of that time.
    WaitABit,
    /// As [`Wait`](Act::Wait), and the owner can take nothing more of what the peer says then.
    WaitAlone,
    /// The peer reads everything that was written.
    Read,
    /// The oldest ask is answered.
    Answer,
    Close,
    Eof,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..WORDS.len(), 1..100_usize).prop_map(|(word, times)| Act::Say(word, times)),
        3 => Just(Act::Wait),
        1 => Just(Act::WaitABit),
        3 => Just(Act::WaitAlone),
        1 => Just(Act::Read),
        2 => Just(Act::Answer),
        1 => Just(Act::Close),
        1 => Just(Act::Eof),
    ];
    // Chance alone seldom gets beyond the headers.
    let begin = prop::sample::select(vec![
        vec![],
        vec![Act::Say(0, 1)],
        vec![Act::Say(0, 1), Act::Say(9, 20)],
        vec![Act::Say(1, 1), Act::Say(10, 1)],
        vec![Act::Say(1, 1), Act::Say(12, 1)],
    ]);
    (begin, prop::collection::vec(act, 0..24)).prop_map(|(begin, more)| [begin, more].concat())
}

const POLICIES: [TlsPolicy; 3] = [TlsPolicy::None, TlsPolicy::Required, TlsPolicy::Direct];

/// Lets all of this happen to every kind of connection there is, with little room for output.
fn live_all(acts: &[Act]) {
    let (now, seed) = (Instant::ZERO, || Seed::from_u64(1));
    let domain = || "example.com".parse().unwrap();
    for tls in POLICIES {
        let mut config = ServerStreamConfig::new(vec![domain()], Secret::new([9; 32]));
        (config.tls, config.registration, config.limits.output) = (tls, true, 1_000);
        let connection = ServerConnection::new(Arc::new(config), seed(), now);
        live(connection.with_tls(IDENTITY.server.clone()), acts);

        let mut config =
            ClientStreamConfig::new("juliet@example.com".parse().unwrap(), Secret::new("pencil".into()));
        (config.tls, config.limits.output) = (tls, 1_000);
        let connection = ClientConnection::new(Arc::new(config), seed(), now);
        live(connection.with_tls(IDENTITY.client.clone(), "example.com"), acts);

        let mut config = S2sReceivingConfig::new(vec![domain()]);
        (config.tls, config.limits.output) = (tls, 1_000);
        config.dialback = Some(Secret::new("dialback".into()));
        let connection = S2sConnection::receiving(Arc::new(config), seed(), now);
        live(connection.with_server_tls(IDENTITY.server.clone()), acts);

        let mut config = S2sInitiatingConfig::new(domain(), "example.net".parse().unwrap());
        (config.tls, config.limits.output) = (tls, 1_000);
        config.dialback = Some(Secret::new("dialback".into()));
        let connection = S2sConnection::initiating(Arc::new(config), seed(), now);
        live(connection.with_client_tls(IDENTITY.client.clone(), "example.net"), acts);
    }
    #[cfg(feature = "websocket")]
    {
        let mut config = ServerStreamConfig::new(vec![domain()], Secret::new([9; 32]));
        (config.tls, config.framing, config.limits.output) =
            (TlsPolicy::None, balcony_stream::Framing::Messages, 1_000);
        live(ServerConnection::new(Arc::new(config), seed(), now).with_websocket(), acts);
    }
}

/// Lets all of this happen to a connection.
fn live<S: Simulated>(mut connection: Connection<S>, acts: &[Act]) {
    let (mut now, mut out, mut asks, mut left) = (Instant::ZERO, Vec::new(), Vec::new(), Vec::new());
    let mut accounts = Accounts::new().with("juliet@example.com", "pencil");
    for act in acts.iter().chain(&[Act::Wait, Act::Wait, Act::Wait, Act::Wait]) {
        match act {
            Act::Say(word, times) => left.extend_from_slice(WORDS[*word].repeat(*times).as_bytes()),
            Act::Wait | Act::WaitAlone => {
                now = connection.deadline().map_or(now, |deadline| now.max(deadline.at))
            }
            Act::WaitABit => now = now + Duration::from_secs(7),
            Act::Read => {
                let _ = connection.flush(&mut out);
                out.clear();
            }
            Act::Answer if !asks.is_empty() => {
                let (ticket, ask) = asks.remove(0);
                // It may have expired.
                let _ = connection.answer(ticket, accounts.answer(ask));
            }
            Act::Answer => {}
            Act::Close => connection.close(now),
            Act::Eof => drop(connection.eof(now, &mut out)),
        }
        let mut input = left.as_slice();
        let over = loop {
            let progress = match act {
                Act::WaitAlone => connection.tick(now, &mut out),
                _ => connection.advance(now, &mut input, &mut out),
            };
            match progress {
                Ok(Progress::Event(event)) => match S::sort(event) {
                    Sorted::Ask(ticket, ask) if format!("{ask:?}").starts_with("Credentials") => {
                        asks.push((ticket, ask));
                    }
                    _ => {}
                },
                Ok(Progress::NeedInput | Progress::Blocked(_)) => break false,
                Ok(Progress::Closed) | Err(_) => break true,
            }
        };
        let taken = left.len() - input.len();
        left.drain(..taken);
        let deadline = connection.deadline();
        assert!(deadline.is_none_or(|deadline| deadline.at > now), "{deadline:?} at {now:?}");
        assert!(!over || deadline.is_none(), "{deadline:?} after the end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // RFC 6120 §4.6; the architecture's rules
    #[test]
    fn nothing_is_due_after_it(acts in acts()) {
        live_all(&acts);
    }
}
