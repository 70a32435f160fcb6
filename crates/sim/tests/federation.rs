//! Two servers, and a server and a component, negotiate with each other, in every way of cutting the bytes.

#![allow(clippy::unwrap_used)]

use core::time::Duration;
use std::sync::Arc;

use balcony_machine::{Instant, Progress, Secret, Seed, Ticket};
use balcony_sim::{Accounts, Chunks, End, Happened, Pair, Simulated};
use balcony_stanza::{ErrorCondition, MessageType, Payload, Stanza, StreamCondition, StreamError};
use balcony_stream::component::{ComponentInitiatingConfig, ComponentReceivingConfig};
use balcony_stream::s2s::{
    S2sAnswer, S2sAsk, S2sEvent, S2sInitiatingConfig, S2sReceivingConfig, Verdict, Verification,
};
use balcony_stream::{ComponentStream, Error, S2sStream, Security, TlsPolicy};
use balcony_xml::{Element, Name};
use proptest::prelude::*;

const POLICIES: [TlsPolicy; 4] =
    [TlsPolicy::Required, TlsPolicy::Optional, TlsPolicy::Direct, TlsPolicy::None];

fn chunks(kind: u8, seed: u64) -> Chunks {
    match kind {
        0 => Chunks::Whole,
        1 => Chunks::Bytes,
        _ => Chunks::Random(Box::new(Seed::from_u64(seed).random())),
    }
}

fn proving(domain: &str) -> Security {
    Security::new(None).with_domains(vec![domain.into()])
}

fn hello(from: &str, to: &str) -> Stanza {
    const BODY: Name = Name::from_static("body");
    Stanza::message(MessageType::Chat)
        .with_from(from.parse().unwrap())
        .with_to(to.parse().unwrap())
        .with_id("hello")
        .with_payload(Payload::from(Element::new(BODY, "jabber:client").text("Soft! <3 & ☾")))
}

/// Everything that can be seen of a run.
type Run = (Vec<u8>, Vec<u8>, Vec<Happened>, Vec<Happened>);

fn seen<S: Simulated>(pair: &Pair<S, S>) -> Run {
    (
        pair.sent(End::Client).to_vec(),
        pair.sent(End::Server).to_vec(),
        pair.happened(End::Client).to_vec(),
        pair.happened(End::Server).to_vec(),
    )
}

fn initiating(from: &str, to: &str, secret: Option<&str>, tls: TlsPolicy, seed: u64) -> S2sStream {
    let mut config = S2sInitiatingConfig::new(from.parse().unwrap(), to.parse().unwrap());
    config.tls = tls;
    config.authorize = secret.is_some();
    config.dialback = secret.map(|secret| Secret::new(secret.into()));
    S2sStream::initiating(Arc::new(config), Seed::from_u64(seed), Instant::ZERO)
}

fn receiving(domain: &str, secret: &str, tls: TlsPolicy, seed: u64) -> S2sStream {
    let mut config = S2sReceivingConfig::new(vec![domain.parse().unwrap()]);
    config.tls = tls;
    config.dialback = Some(Secret::new(secret.into()));
    S2sStream::receiving(Arc::new(config), Seed::from_u64(seed), Instant::ZERO)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    // habits.md invariants 1 and 6, RFC 6120 §6.4.5 [N17]: by certificate or by dialback, in whatever pieces it comes.
    #[test]
    fn chunks_make_no_difference_between_servers(seed: u64, tls in 0..4_usize, proven: bool, right: bool) {
        let policy = POLICIES[tls];
        let run = |kind| {
            let mut client = initiating("a.example", "b.example", Some("a's secret"), policy, seed);
            let mut server = receiving("b.example", "b's secret", policy, seed ^ 1);
            let security =
                [proving("b.example"), proving(if proven { "a.example" } else { "c.example" })];
            if policy == TlsPolicy::Direct {
                client.secured(security[0].clone()).unwrap();
                server.secured(security[1].clone()).unwrap();
            }
            let accounts = Accounts::new().with_dialback(if right { "a's secret" } else { "another" });
            let mut pair = Pair::between(client, server, accounts, security, chunks(kind, seed));
            pair.run();
            if pair.client.is_open() {
                pair.send_stanza(End::Client, &hello("romeo@a.example", "juliet@b.example"));
                pair.run();
                pair.close(End::Client);
                pair.run();
            }
            seen(&pair)
        };
        let whole = run(0);
        prop_assert_eq!(&whole, &run(1));
        prop_assert_eq!(&whole, &run(2));

        let by_certificate = proven && policy != TlsPolicy::None;
        let sent = String::from_utf8(whole.0).unwrap();
        prop_assert_eq!(sent.contains("mechanism='EXTERNAL'"), by_certificate);
        prop_assert_eq!(sent.contains("<db:result "), !by_certificate);
        let delivered = whole.3.iter().any(|event| matches!(event, Happened::Event(text) if text.contains("Soft!")));
        prop_assert_eq!(delivered, by_certificate || right);
        prop_assert_eq!(whole.2.last(), Some(&Happened::Closed));
        prop_assert_eq!(whole.3.last(), Some(&Happened::Closed));
    }

    // habits.md invariants 1 and 6, XEP-0114 1.6 §3
    #[test]
    fn chunks_make_no_difference_to_a_component(seed: u64, right: bool) {
        let run = |kind| {
            let domain: balcony_jid::BareJid = "plays.example.com".parse().unwrap();
            let secret = |text: &str| Secret::new(String::from(text));
            let theirs = ComponentInitiatingConfig::new(domain.clone(), secret(if right { "s" } else { "t" }));
            let ours = ComponentReceivingConfig::new("example.com".parse().unwrap(), vec![(domain, secret("s"))]);
            let theirs = ComponentStream::initiating(Arc::new(theirs), Seed::from_u64(seed), Instant::ZERO);
            let ours = ComponentStream::receiving(Arc::new(ours), Seed::from_u64(seed ^ 1), Instant::ZERO);
            let security = [Security::default(), Security::default()];
            let mut pair = Pair::between(theirs, ours, Accounts::new(), security, chunks(kind, seed));
            pair.run();
            if pair.client.is_open() {
                pair.send_stanza(End::Client, &hello("bot@plays.example.com", "juliet@example.com"));
                pair.send_stanza(End::Server, &hello("juliet@example.com", "bot@plays.example.com"));
                pair.run();
                pair.close(End::Server);
                pair.run();
            }
            seen(&pair)
        };
        let whole = run(0);
        prop_assert_eq!(&whole, &run(1));
        prop_assert_eq!(&whole, &run(2));
        let delivered = |happened: &[Happened]| {
            happened.iter().any(|event| matches!(event, Happened::Event(text) if text.contains("Soft!")))
        };
        prop_assert_eq!((delivered(&whole.2), delivered(&whole.3)), (right, right));
        let error = StreamError::new(StreamCondition::NotAuthorized, "that is not the right handshake");
        let expected = if right { Happened::Closed } else { Happened::Failed(Error::Local(error)) };
        prop_assert_eq!(whole.3.last(), Some(&expected));
    }
}

/// Two ends of one stream on one wire, and what comes out of them that somebody has to deal with.
struct Wire {
    ends: [S2sStream; 2],
    now: Instant,
    under_way: [Vec<u8>; 2],
    asks: Vec<(Ticket, Verification)>,
    events: [Vec<S2sEvent>; 2],
}

impl Wire {
    fn new(initiating: S2sStream, receiving: S2sStream) -> Self {
        let (under_way, events) = Default::default();
        Wire { ends: [initiating, receiving], now: Instant::ZERO, under_way, asks: Vec::new(), events }
    }

    /// Until neither end has anything to say.
    fn run(&mut self) {
        loop {
            let before = self.under_way.clone();
            for end in [0, 1] {
                let bytes = core::mem::take(&mut self.under_way[end]);
                let mut input = bytes.as_slice();
                let mut out = Vec::new();
                while let Ok(Progress::Event(event)) = self.ends[end].advance(self.now, &mut input, &mut out)
                {
                    match event {
                        S2sEvent::Ask(ticket, S2sAsk::VerifyDialback(asked)) => {
                            self.asks.push((ticket, asked))
                        }
                        event => self.events[end].push(event),
                    }
                }
                self.under_way[1 - end].extend(out);
            }
            if before.iter().chain(&self.under_way).all(Vec::is_empty) {
                return;
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.run();
    }
}

/// Server A opens a stream to server B, which opens one to the server of `a.example`, which has this secret, to ask about the
/// key. What the event on the first stream is at A, and whether a stanza then arrives at B.
fn call_back(secret: &str) -> (S2sEvent, bool) {
    let tls = TlsPolicy::None;
    let mut first = Wire::new(
        initiating("a.example", "b.example", Some("a's secret"), tls, 1),
        receiving("b.example", "b's secret", tls, 2),
    );
    first.run();
    let (ticket, asked) = first.asks.remove(0);

    let mut second =
        Wire::new(initiating("b.example", "a.example", None, tls, 3), receiving("a.example", secret, tls, 4));
    second.ends[0].verify(second.now, asked.clone()).unwrap();
    second.run();
    let Some(S2sEvent::KeyVerified(answered, verdict)) = second.events[0].pop() else {
        panic!("{:?}", second.events)
    };
    assert_eq!(answered, asked);
    // The server of `a.example` has asked nobody.
    assert!(second.asks.is_empty() && second.events[1].is_empty());

    first.ends[1].answer(ticket, S2sAnswer::Verdict(verdict)).unwrap();
    first.run();
    let outcome = first.events[0].pop().unwrap();
    let mut out = Vec::new();
    let sent = first.ends[0].send(&hello("romeo@a.example", "juliet@b.example"), &mut out).is_ok();
    first.under_way[1].extend(out);
    first.run();
    let arrived = matches!(first.events[1].last(), Some(S2sEvent::Stanza(_)));
    assert_eq!(sent, arrived);
    (outcome, arrived)
}

// XEP-0220 1.1.1 §1.3: all four steps, with nothing but streams between them.
#[test]
fn the_other_server_is_called_back() {
    let (outcome, arrived) = call_back("a's secret");
    assert!(matches!(outcome, S2sEvent::Authorized { .. }) && arrived, "{outcome:?}");
    // Whoever is not the server of the domain has another secret.
    let (outcome, arrived) = call_back("somebody else's");
    assert!(
        matches!(outcome, S2sEvent::Refused { verdict: Verdict::Invalid, .. }) && !arrived,
        "{outcome:?}"
    );
}

// XEP-0220 1.1.1 §2.1.1: nobody comes back with a verdict, and both ends know.
#[test]
fn nobody_can_be_asked() {
    let mut wire = Wire::new(
        initiating("a.example", "b.example", Some("a's secret"), TlsPolicy::None, 1),
        receiving("b.example", "b's secret", TlsPolicy::None, 2),
    );
    wire.run();
    wire.wait(Duration::from_secs(30));
    let timeout = ErrorCondition::RemoteServerTimeout;
    assert!(
        matches!(&wire.events[0][..], [S2sEvent::Refused { verdict: Verdict::Error(error), .. }] if *error == timeout),
        "{:?}",
        wire.events
    );
    assert!(matches!(&wire.events[1][..], [S2sEvent::AuthenticationFailed { .. }]), "{:?}", wire.events);
}
