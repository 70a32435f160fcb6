//! A client with its buffers, in front of a server's end of a stream.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "tests")]

use core::time::Duration;
use std::sync::Arc;

use balcony_client::{
    ClientConfig, ClientMachine, MachineEvent, Pump, PumpError, PumpStep, RequestKind, RequestOutcome, answer,
};
use balcony_machine::{ApiMisuse, Instant, Progress, Secret, Seed};
use balcony_sasl::ScramKeys;
use balcony_stanza::{IqType, Kind, MessageType, Payload, Stanza, StreamCondition};
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent, ServerStreamConfig};
use balcony_stream::{Security, ServerStream, TlsPolicy};
use balcony_xml::{Element, Name};

const NOW: Instant = Instant::ZERO;
const SOON: Duration = Duration::from_secs(5);

/// A client that is online, and the other end of its stream.
struct Pair {
    pump: Pump,
    server: ServerStream,
}

impl Pair {
    fn online() -> Pair {
        Pair::with(TlsPolicy::None)
    }

    /// With TLS it is that of the owners, who let everything pass as it is.
    fn with(tls: TlsPolicy) -> Pair {
        Pair::vouched(tls, false)
    }

    /// With an owner who says whether it is the server, or not.
    fn vouched(tls: TlsPolicy, vouches: bool) -> Pair {
        let trust = balcony_tls::TlsTrust::builder().dangerous_accept_any().build().unwrap();
        let mut config =
            ClientConfig::new("juliet@example.com".parse().unwrap(), Secret::new("pencil".into()))
                .with_tls(trust);
        (config.stream.tls, config.proven_by_owner) = (tls, vouches);
        config.tls = config.tls.filter(|_| tls == TlsPolicy::None);
        let mut receiving =
            ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        receiving.tls = tls;
        let mut pair = Pair {
            pump: Pump::new(ClientMachine::new(config, &Seed::from_u64(1), NOW)),
            server: ServerStream::new(Arc::new(receiving), Seed::from_u64(2), NOW),
        };
        loop {
            match pair.pump.step(NOW).unwrap() {
                PumpStep::Event(MachineEvent::Online(_)) => return pair,
                PumpStep::Event(MachineEvent::Ask(ticket, ask)) => pair.pump.answer(ticket, answer(ask)),
                PumpStep::Event(MachineEvent::StartTls) => {
                    assert!(!pair.pump.client().is_server_proven(), "there is no TLS yet");
                    pair.pump.secured(Security::default()).unwrap();
                    pair.server.secured(Security::default()).unwrap();
                }
                PumpStep::Event(_) => {}
                PumpStep::Wait => pair.exchange(),
                PumpStep::Closed => panic!("closed"),
            }
        }
    }

    /// Everything that the client has written goes to the server, three bytes at a time, and back comes its answer.
    /// Requests are answered.
    fn exchange(&mut self) {
        let mut out = Vec::new();
        loop {
            let written = self.pump.output().len().min(3);
            let mut input = &self.pump.output()[..written].to_vec()[..];
            while let Progress::Event(event) = self.server.advance(NOW, &mut input, &mut out).unwrap() {
                match event {
                    ServerEvent::Ask(ticket, ask) => match *ask {
                        ServerAsk::Credentials { hash, .. } => {
                            let keys = ScramKeys::derive(hash, "pencil", b"salt", 4096).unwrap();
                            self.server.answer(ticket, ServerAnswer::Credentials(Some(keys))).unwrap();
                        }
                        ServerAsk::Bind { account, .. } => {
                            let jid = account.with_resource("balcony").unwrap();
                            self.server.answer(ticket, ServerAnswer::Bound(Ok(jid))).unwrap();
                        }
                        _ => {}
                    },
                    ServerEvent::Stanza(stanza) => {
                        if let Some(result) = stanza.result() {
                            self.server.send(&result, &mut out).unwrap();
                        }
                    }
                    _ => {}
                }
            }
            self.pump.wrote(written);
            if written == 0 {
                break;
            }
        }
        self.bring(&out);
    }

    /// Hands in bytes of the server as there is room.
    fn bring(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.pump.room() > 0 {
            let (now, later) = bytes.split_at(bytes.len().min(self.pump.room()));
            self.pump.received(now);
            bytes = later;
        }
        assert!(bytes.is_empty(), "more than there is room for");
    }

    /// Messages of the server, numbered.
    fn messages(&mut self, numbers: core::ops::Range<usize>) {
        let mut out = Vec::new();
        for number in numbers {
            let message = Stanza::message(MessageType::Chat).with_id(number.to_string());
            self.server.send(&message, &mut out).unwrap();
        }
        self.bring(&out);
    }

    fn ping(&mut self) -> balcony_client::RequestId {
        let ping = Payload::from(balcony_xep::ping::Ping.to_element());
        self.pump.request(NOW, RequestKind::Get, None, ping, SOON).unwrap()
    }

    fn next_number(&mut self) -> Option<String> {
        match self.pump.step(NOW).unwrap() {
            PumpStep::Event(MachineEvent::Stanza(stanza)) => {
                assert!(matches!(stanza.head.kind, Kind::Message(_)));
                stanza.head.id.map(|id| id.to_string())
            }
            _ => None,
        }
    }
}

// RFC 6120 §13.7.2
#[test]
fn a_server_is_proven_if_the_owner_of_tls_vouches_for_it() {
    for tls in [TlsPolicy::None, TlsPolicy::Required, TlsPolicy::Optional] {
        for vouches in [false, true] {
            let pair = Pair::vouched(tls, vouches);
            assert_eq!(pair.pump.client().is_server_proven(), vouches, "{tls:?}");
        }
    }
}

// RFC 6120 §10.1: what comes while a request waits is kept in its order
#[test]
fn what_comes_before_an_outcome_is_kept() {
    let mut pair = Pair::online();
    let request = pair.ping();
    pair.messages(0..100);
    assert_eq!(pair.pump.outcome(NOW, request), Ok(None));
    pair.exchange();
    pair.messages(100..110);
    assert!(matches!(pair.pump.outcome(NOW, request), Ok(Some(RequestOutcome::Result(_)))));
    for number in 0..110 {
        assert_eq!(pair.next_number(), Some(number.to_string()));
    }
    assert_eq!(pair.next_number(), None);
}

#[test]
fn what_is_kept_has_a_bound() {
    let mut pair = Pair::online();
    let request = pair.ping();
    pair.messages(0..1_000);
    assert_eq!(pair.pump.outcome(NOW, request), Ok(None));
    pair.messages(1_000..1_100);
    assert_eq!(pair.pump.outcome(NOW, request), Err(PumpError::Overrun));
    // Somebody who only writes waits for nothing, and loses nothing.
    assert_eq!(pair.pump.absorb(NOW), Ok(()));
    assert!(pair.pump.deadline().is_some_and(|at| at > NOW));
    for number in 0..1_100 {
        assert_eq!(pair.next_number(), Some(number.to_string()));
    }
    assert!(pair.pump.deadline().is_some());
    pair.exchange();
    assert!(matches!(pair.pump.outcome(NOW, request), Ok(Some(RequestOutcome::Result(_)))));
}

#[test]
fn a_request_expires_and_a_lost_connection_shows() {
    let mut pair = Pair::online();
    let request = pair.ping();
    assert_eq!(pair.pump.deadline(), Some(NOW + SOON));
    assert_eq!(pair.pump.outcome(NOW + SOON, request), Ok(Some(RequestOutcome::TimedOut)));
    let request = pair.ping();
    pair.messages(0..1);
    pair.pump.received(&[]);
    assert_eq!(pair.pump.room(), 0);
    let lost = Err(PumpError::Ended(balcony_stream::Error::Truncated.into()));
    assert_eq!(pair.pump.outcome(NOW, request), lost);
    // What came before is still there.
    assert_eq!(pair.next_number(), Some("0".into()));
}

// RFC 6120 §4.4
#[test]
fn a_close_from_either_side_is_in_good_order() {
    let mut pair = Pair::online();
    pair.pump.close(NOW);
    pair.exchange();
    assert!(matches!(pair.pump.step(NOW), Ok(PumpStep::Closed)));
    assert!(matches!(
        pair.pump.send(NOW, &Stanza::message(MessageType::Chat)),
        Err(PumpError::Misuse(ApiMisuse::NotOpen))
    ));

    let mut pair = Pair::online();
    let mut out = Vec::new();
    pair.server.close(NOW, &mut out);
    pair.bring(&out);
    assert!(matches!(pair.pump.step(NOW), Ok(PumpStep::Closed)));
    assert_eq!(pair.pump.output(), b"</stream:stream>");
}

/// Lets time pass for a client whose server reads nothing, until that is given up. It is busy at its deadlines only.
fn give_up(pair: &mut Pair) -> PumpError {
    let mut now = NOW;
    for _ in 0..64 {
        now = pair.pump.deadline().unwrap();
        if let Err(error) = pair.pump.absorb(now) {
            assert!(now < NOW + Duration::from_secs(1_000));
            return error;
        }
        assert!(pair.pump.deadline().unwrap() > now, "no busy waiting");
    }
    panic!("it waits for ever: {now:?}");
}

// RFC 6120 §4.6: whatever stands between them
#[test]
fn a_server_that_reads_nothing_is_given_up() {
    let timeout = |error| match error {
        PumpError::Ended(balcony_client::Error::Stream(balcony_stream::Error::Local(error))) => {
            error.condition == StreamCondition::ConnectionTimeout
        }
        other => panic!("{other:?}"),
    };
    // As many answers as there is room for are not read, nor is what comes with them.
    let mut pair = Pair::online();
    let mut out = Vec::new();
    for _ in 0..40_000 {
        let ask = Stanza::iq(IqType::Get)
            .with_id("i")
            .with_payload(Payload::from(Element::new(Name::from_static("x"), "u")));
        pair.server.send(&ask, &mut out).unwrap();
    }
    let mut rest = out.as_slice();
    while pair.pump.room() > 0 {
        let (now, later) = rest.split_at(pair.pump.room().min(rest.len()));
        pair.pump.received(now);
        pair.pump.absorb(NOW).unwrap();
        rest = later;
    }
    assert_eq!(pair.pump.room(), 0, "blocked");
    assert!(timeout(give_up(&mut pair)));

    // Nor is a message, by somebody who keeps as much as can be kept.
    let mut pair = Pair::online();
    pair.messages(0..1_100);
    pair.pump.send(NOW, &Stanza::message(MessageType::Chat)).unwrap();
    pair.pump.absorb(NOW).unwrap();
    assert!(timeout(give_up(&mut pair)));
    assert_eq!(pair.next_number(), Some("0".into()));
}

// RFC 6120 §4.4: the time that the server has for its closing tag is over, though nothing more can be kept.
#[test]
fn a_close_has_an_end_for_somebody_who_takes_no_events() {
    let mut pair = Pair::online();
    pair.messages(0..1_100);
    pair.pump.absorb(NOW).unwrap();
    pair.pump.close(NOW);
    pair.pump.absorb(NOW).unwrap();
    for _ in 0..64 {
        if pair.pump.is_closed() {
            break;
        }
        let now = pair.pump.deadline().expect("it waits for ever");
        pair.pump.absorb(now).unwrap();
    }
    assert!(pair.pump.is_closed());
    assert_eq!(pair.next_number(), Some("0".into()));
}

// A device has TLS of its own, and the same pump.
#[test]
fn tls_can_be_the_owners() {
    let mut pair = Pair::with(TlsPolicy::Required);
    pair.messages(0..1);
    assert_eq!(pair.next_number(), Some("0".into()));
    assert!(
        matches!(pair.pump.secured(Security::default()), Err(PumpError::Misuse(ApiMisuse::NoHandshakeDue))),
        "none is due"
    );
}

// An adapter reads no more than there is room for, and nothing is what it then reads.
#[test]
fn reading_without_room_is_not_the_end() {
    let mut pair = Pair::online();
    pair.pump.received(&vec![b' '; pair.pump.room()]);
    assert_eq!(pair.pump.room(), 0);
    pair.pump.received(&[]);
    assert!(matches!(pair.pump.step(NOW), Ok(PumpStep::Wait)));
    pair.messages(0..1);
    assert_eq!(pair.next_number(), Some("0".into()));
    pair.pump.received(&[]);
    assert!(matches!(pair.pump.step(NOW), Err(PumpError::Ended(_))), "that was the end");
}

// RFC 6120 §8.1.3: it could never be answered.
#[test]
fn a_request_without_an_id_is_not_sent() {
    let mut pair = Pair::online();
    let request = Stanza::iq(IqType::Get).with_child(balcony_xep::ping::Ping.to_element());
    assert!(matches!(pair.pump.send(NOW, &request), Err(PumpError::Misuse(ApiMisuse::IqWithoutId))));
    assert!(pair.pump.output().is_empty());
    assert_eq!(pair.pump.send(NOW, &request.with_id("1")), Ok(()));
}

// XEP-0484 §3.3: a token is the client's, and not its session's.
#[test]
fn a_token_is_told_in_a_new_session() {
    let text = "balcony-token-1\njuliet@example.com\nagent\nHT-SHA-256-NONE\n1\nsecret";
    let token = balcony_stream::client::Token::from_text(text).unwrap();
    assert!(MachineEvent::Token(Box::new(token)).outlives_session());
}
