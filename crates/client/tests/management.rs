//! A client that keeps what its server has not acknowledged, and goes on with its session (XEP-0198), in front of a scripted server.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "tests")]

use core::time::Duration;

use balcony_client::{
    ClientConfig, ClientMachine, Endpoint, MachineEvent, Pump, RequestKind, SendError, Session,
};
use balcony_machine::{Instant, On, Progress, Secret, Seed};
use balcony_stanza::{MessageType, Payload, Stanza};
use balcony_stream::client::Management;
use balcony_stream::{Security, TlsPolicy};
use proptest::prelude::*;

const BEFORE: &str = "<stream:stream from='example.com' id='s1' version='1.0' xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
     <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>\
     <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\
     <stream:stream from='example.com' id='s2' version='1.0' xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
     <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>";
const BOUND: &str = "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                     <jid>juliet@example.com/balcony</jid></bind></iq>";
const ENABLED: &str =
    "<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true' location='other.example.com:5299'/>";
const FAILED: &str =
    "<failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
const R: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const SECOND: Duration = Duration::from_secs(1);

fn a(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new("juliet@example.com".parse().unwrap(), Secret::new("pencil".into()));
    config.stream.tls = TlsPolicy::Direct;
    config.stream.resource = Some("balcony".into());
    // 2001-09-09.
    config.clock_start = Some(1_000_000_000_000);
    config
}

/// A client, and what came of it.
struct Side {
    client: ClientMachine,
    now: Instant,
    told: Vec<String>,
    ended: bool,
}

impl Side {
    fn new(client: ClientMachine, now: Instant) -> Side {
        let mut side = Side { client, now, told: Vec::new(), ended: false };
        side.client.secured(Security::default()).unwrap();
        side
    }

    fn with(change: impl FnOnce(&mut ClientConfig)) -> Side {
        let mut config = config();
        change(&mut config);
        let mut side =
            Side::new(ClientMachine::new(config, &Seed::from_u64(1), Instant::ZERO), Instant::ZERO);
        side.feed(&[BEFORE, BOUND].concat());
        side
    }

    fn enabled() -> Side {
        let mut side = Side::with(|_| {});
        side.feed(ENABLED);
        side.told.clear();
        side
    }

    fn resuming(session: Session, now: Instant) -> Side {
        Side::new(ClientMachine::resuming(config(), session, &Seed::from_u64(2), now).unwrap(), now)
    }

    /// Feeds bytes of the server, and returns what came back.
    fn feed(&mut self, text: &str) -> String {
        let (mut input, mut out) = (text.as_bytes(), Vec::new());
        loop {
            match self.client.advance(self.now, &mut input, &mut out) {
                Ok(Progress::Event(event)) => self.told.push(match event {
                    MachineEvent::Stanza(stanza) => format!("Stanza({:?})", stanza.head.id.as_deref()),
                    other => format!("{other:?}"),
                }),
                Ok(Progress::NeedInput | Progress::Blocked(On::Answer)) => break,
                Ok(Progress::Blocked(on)) => panic!("{on:?}"),
                Ok(Progress::Closed) | Err(_) => {
                    self.ended = true;
                    break;
                }
            }
        }
        String::from_utf8(out).unwrap()
    }

    fn send(&mut self, stanza: &Stanza) -> Result<String, SendError> {
        let mut out = Vec::new();
        self.client.send(self.now, stanza, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn wait(&mut self, length: Duration) -> String {
        self.now = self.now + length;
        self.feed("")
    }

    /// The line breaks.
    fn broken(mut self) -> (Session, Instant) {
        self.client.eof(self.now, &mut Vec::new()).unwrap_err();
        (self.client.into_session(), self.now)
    }
}

fn message(id: &str) -> Stanza {
    Stanza::message(MessageType::Chat)
        .with_id(id)
        .with_payload(balcony_stanza::Content::body("Ay me!").to_payload())
}

// XEP-0198 1.6.3 §4 [SM8, SM25]
#[test]
fn messages_are_acknowledged_one_by_one() {
    let mut side = Side::enabled();
    assert_eq!(side.client.deadline().unwrap().at, side.now + Duration::from_secs(600));
    assert!(!side.send(&message("1")).unwrap().contains(R));
    side.send(&Stanza::presence(balcony_stanza::PresenceType::Available)).unwrap();
    side.send(&message("2")).unwrap();
    side.send(&Stanza::message(MessageType::Chat)).unwrap();
    // It asks a second after the first, once.
    assert_eq!(side.client.deadline().unwrap().at, side.now + SECOND);
    assert_eq!(side.wait(SECOND), R);
    assert_eq!(side.feed(&a(1)), "");
    assert_eq!(side.told, ["Acknowledged(\"1\")"]);
    side.feed(&a(4));
    assert_eq!(side.told[1..], ["Acknowledged(\"2\")"]);
    assert!(side.client.deadline().unwrap().at > side.now + Duration::from_secs(60));
    // Or after the tenth.
    for number in 0..10 {
        assert_eq!(side.feed(""), "");
        side.send(&message(&number.to_string())).unwrap();
    }
    assert_eq!(side.feed(""), R);
}

// XEP-0198 1.6.3 §4: what comes is handled as soon as the program has it, and so are requests that are answered for it.
#[test]
fn what_comes_is_acknowledged() {
    let mut side = Side::enabled();
    let ping = "<iq type='get' id='p' from='example.com'><ping xmlns='urn:xmpp:ping'/></iq>";
    let said = side.feed(&["<message id='m'/>", ping, R].concat());
    assert!(said.contains("type='result'") && said.ends_with(&a(2)), "{said}");
    assert_eq!(side.told, ["Stanza(Some(\"m\"))"]);
    // The answer to the ping is one of ours: it is acknowledged, and nobody is told.
    side.feed(&a(1));
    assert_eq!(side.told.len(), 1);
}

// Bounded, in stanzas and in bytes.
#[test]
fn no_more_is_kept_than_there_is_room_for() {
    for bytes in [false, true] {
        let mut side = Side::with(|config| {
            let limits = &mut config.stream.limits;
            if bytes { limits.outbox_bytes = 900 } else { limits.outbox = 3 }
        });
        side.feed(ENABLED);
        side.told.clear();
        for number in 0..3 {
            side.send(&message(&number.to_string())).unwrap();
        }
        assert_eq!(side.send(&message("3")), Err(SendError::Full));
        let request = side.client.request(
            side.now,
            RequestKind::Get,
            None,
            Payload::default(),
            SECOND,
            &mut Vec::new(),
        );
        assert_eq!(request, Err(SendError::Full));
        // Nor does a server get answers that says nothing of what it has got.
        assert_eq!(
            side.feed("<iq type='get' id='p' from='example.com'><ping xmlns='urn:xmpp:ping'/></iq>"),
            ""
        );
        side.feed(&a(1));
        side.send(&message("3")).unwrap();
        // A request that was not sent is not waited for.
        side.wait(SECOND);
        assert_eq!(side.told, ["Acknowledged(\"0\")"]);
        side.feed(&a(4));
        // One always has room.
        let large = Stanza::message(MessageType::Chat)
            .with_payload(balcony_stanza::Content::body("x".repeat(2_000)).to_payload());
        side.send(&large).unwrap();
        assert_eq!(side.send(&message("4")).is_err(), bytes);
    }
}

// XEP-0198 1.6.3 §5 [SM14, SM18, SM21]
#[test]
fn a_session_goes_on() {
    let mut side = Side::enabled();
    for id in ["1", "2", "3"] {
        side.send(&message(id)).unwrap();
    }
    let ping = Payload::from(balcony_xep::ping::Ping.to_element());
    side.client.request(side.now, RequestKind::Get, None, ping, 60 * SECOND, &mut Vec::new()).unwrap();
    // What is told on the old connection only after it has broken is not lost either.
    let mut out = Vec::new();
    let acks = a(2);
    let mut input = acks.as_bytes();
    let first = side.client.advance(side.now, &mut input, &mut out).unwrap();
    assert!(matches!(first, Progress::Event(MachineEvent::Acknowledged(id)) if &*id == "1"));
    let (session, now) = side.broken();
    assert_eq!(session.resumable().unwrap().as_str(), "juliet@example.com/balcony");
    let ids = |stanza: &Stanza| stanza.head.id.as_deref().unwrap().to_owned();
    let unacknowledged: Vec<_> = session.unacknowledged().map(ids).collect();
    assert!(unacknowledged.len() == 2 && unacknowledged[0] == "3", "{unacknowledged:?}");

    let mut side = Side::resuming(session, now + SECOND);
    assert!(side.feed(BEFORE).ends_with("<resume xmlns='urn:xmpp:sm:3' h='0' previd='s'/>"));
    assert_eq!(side.told.remove(0), "Acknowledged(\"2\")");
    assert!(matches!(side.send(&message("4")), Err(SendError::Misuse(_))));
    side.told.clear();
    let again = side.feed("<resumed xmlns='urn:xmpp:sm:3' previd='s' h='2'/>");
    assert_eq!(side.told, ["Resumed"]);
    // As they were: the same ids, no stamps.
    assert!(again.starts_with("<message type='chat' id='3'><body>Ay me!</body></message><iq "), "{again}");
    side.send(&message("4")).unwrap();
    side.feed(&[&*format!("<iq type='result' id='{}'/>", unacknowledged[1]), &a(5)].concat());
    assert!(side.told[1].starts_with("Response(RequestId(0), Result("), "{:?}", side.told);
    assert_eq!(side.told[2..], ["Acknowledged(\"3\")", "Acknowledged(\"4\")"]);
}

// XEP-0352 1.0.0 §4.2, §5.2, XEP-0198 1.6.3 §5 [SM18]: that nobody uses it is said on each stream, of whichever session, before all else.
#[test]
fn nobody_uses_it() {
    const INACTIVE: &str = "<inactive xmlns='urn:xmpp:csi:0'/>";
    let before = BEFORE.replace("</stream:features>", "<csi xmlns='urn:xmpp:csi:0'/></stream:features>");
    let set_active = |side: &mut Side, is_active| {
        let mut out = Vec::new();
        side.client.set_active(is_active, &mut out);
        String::from_utf8(out).unwrap()
    };
    let mut side = Side::new(ClientMachine::new(config(), &Seed::from_u64(1), Instant::ZERO), Instant::ZERO);
    side.feed(&[&before, BOUND, ENABLED].concat());
    assert!(side.client.is_active() && side.client.features().client_state);
    assert_eq!(set_active(&mut side, false), INACTIVE);
    side.send(&message("1")).unwrap();

    // The session goes on.
    let (session, now) = side.broken();
    let mut side = Side::resuming(session, now);
    side.feed(&before);
    let again = side.feed("<resumed xmlns='urn:xmpp:sm:3' previd='s' h='0'/>");
    assert!(again.starts_with(&format!("{INACTIVE}<message ")), "{again}");

    // It does not.
    let (session, now) = side.broken();
    let mut side = Side::resuming(session, now);
    side.feed(&[&before, FAILED].concat());
    let again = side.feed(BOUND);
    assert!(
        again.starts_with(&format!("<enable xmlns='urn:xmpp:sm:3' resume='true'/>{INACTIVE}<message ")),
        "{again}"
    );

    // There is no connection when somebody looks.
    let (session, now) = side.broken();
    let mut side = Side::resuming(session, now);
    assert_eq!((set_active(&mut side, true), side.client.is_active()), (String::new(), true));
    side.feed(&before);
    assert!(!side.feed(BOUND).contains("csi"));
}

// XEP-0198 1.6.3 §5 [SM15, SM21], XEP-0203: in another session messages are sent again, with the time at which they were sent first.
#[test]
fn a_session_that_is_gone() {
    let mut side = Side::enabled();
    side.wait(2 * SECOND);
    for id in ["1", "2"] {
        side.send(&message(id)).unwrap();
    }
    // Nobody wants these any more.
    side.send(&Stanza::presence(balcony_stanza::PresenceType::Available)).unwrap();
    let typing = balcony_xep::chat_states::ChatState::ALL[0].to_element();
    side.send(&Stanza::message(MessageType::Chat).with_id("typing").with_child(typing)).unwrap();
    side.send(&Stanza::message(MessageType::Error).with_id("error")).unwrap();
    let ping = Payload::from(balcony_xep::ping::Ping.to_element());
    side.client.request(side.now, RequestKind::Get, None, ping, 60 * SECOND, &mut Vec::new()).unwrap();
    let (session, now) = side.broken();

    let mut side = Side::resuming(session, now + 30 * SECOND);
    let refused = FAILED.replace("'urn:xmpp:sm:3'", "'urn:xmpp:sm:3' h='1'");
    side.feed(&[BEFORE, &refused].concat());
    let again = side.feed(BOUND);
    let expected = "<enable xmlns='urn:xmpp:sm:3' resume='true'/><message type='chat' id='2'><body>Ay me!</body>\
                    <delay xmlns='urn:xmpp:delay' from='juliet@example.com' stamp='2001-09-09T01:46:42.000Z'/></message>";
    assert_eq!(again, expected);
    let online = side.told.iter().position(|told| told.starts_with("Online(")).unwrap();
    assert_eq!(side.told[online - 1], "Acknowledged(\"1\")");
    assert_eq!(side.told[online + 1..], ["Response(RequestId(0), Lost)", "Resent(\"2\")"]);
    side.told.clear();

    // And once more: one stamp, with the first time. It is kept until somebody has got it.
    let (session, now) = side.broken();
    assert!(session.resumable().is_none());
    let mut side = Side::resuming(session, now + 60 * SECOND);
    assert!(side.feed(BEFORE).contains("<bind "));
    assert_eq!(side.feed(BOUND), expected);
    side.feed(&[ENABLED, &a(1)].concat());
    assert_eq!(side.told.last().unwrap(), "Acknowledged(\"2\")");
    assert_eq!(side.client.into_session().unacknowledged().count(), 0);
}

// A server that ends each session because of a message gets that a few times, and not for ever; whoever has sent it hears so.
#[test]
fn what_no_session_takes_is_given_up() {
    let mut side = Side::enabled();
    side.send(&message("1")).unwrap();
    let mut times = 1;
    loop {
        let (session, now) = side.broken();
        side = Side::resuming(session, now + 60 * SECOND);
        let refused = side.feed(BEFORE);
        assert!(times > 1 || refused.contains("<resume "), "{refused}");
        if times == 1 {
            side.feed(FAILED);
        }
        let again = side.feed(BOUND);
        if !again.contains("id='1'") {
            break;
        }
        times += 1;
        assert!(times < 10, "it is sent for ever");
    }
    assert_eq!(times, 5);
    assert!(side.told.contains(&"Stanza(Some(\"1\"))".to_owned()), "{:?}", side.told);
    assert_eq!(side.client.into_session().unacknowledged().count(), 0);
}

// XEP-0198 1.6.3 §3: without it nothing is kept, since nobody will say what has become of it.
#[test]
fn a_server_that_does_not_count() {
    let mut side = Side::with(|config| config.stream.limits.outbox = 2);
    side.send(&message("1")).unwrap();
    side.feed(FAILED);
    let off = Side::with(|config| config.stream.management = Management::Off);
    for mut side in [side, off] {
        for _ in 0..5 {
            side.send(&message("2")).unwrap();
        }
        side.wait(5 * SECOND);
        assert!(!side.told.iter().any(|told| told.starts_with("Ack")));
        assert_eq!(side.broken().0.unacknowledged().count(), 0);
    }
}

// Dead links are noticed, and a device that wakes up knows at once.
#[test]
fn a_server_that_is_gone() {
    let mut side = Side::enabled();
    side.send(&message("1")).unwrap();
    assert_eq!(side.wait(SECOND), R);
    side.wait(Duration::from_secs(30));
    assert!(side.ended);
    assert!(side.client.into_session().resumable().is_some());

    let mut side = Side::enabled();
    side.now = side.now + 300 * SECOND;
    let mut out = Vec::new();
    side.client.wake(side.now, &mut out);
    assert_eq!(out, R.as_bytes());
    assert_eq!(side.client.deadline().unwrap().at, side.now + SECOND);
    side.feed(&a(0));
    side.wait(SECOND);
    assert!(!side.ended);
    side.client.wake(side.now, &mut out);
    side.wait(SECOND);
    assert!(side.ended);
    assert!(side.client.into_session().resumable().is_some());
}

// XEP-0198 1.6.3 §4 [SM9], §5 [SM19]: a session whose stream was closed is over.
#[test]
fn a_session_that_was_closed() {
    let mut side = Side::enabled();
    side.send(&message("1")).unwrap();
    let mut out = Vec::new();
    side.client.close(side.now, &mut out);
    assert_eq!(out, (a(0) + "</stream:stream>").as_bytes());
    side.feed(&[&a(1), "</stream:stream>"].concat());
    assert!(side.ended);
    assert_eq!(side.told, ["Acknowledged(\"1\")"]);
    let session = side.client.into_session();
    assert!(session.resumable().is_none());

    let mut other = config();
    other.stream.account = "romeo@example.com".parse().unwrap();
    let (session, _) = Side::enabled().broken();
    assert!(ClientMachine::resuming(other, session, &Seed::from_u64(1), Instant::ZERO).is_err());
}

// XEP-0198 1.6.3 §5 [SM22]: where it wants to be found again is believed of a server that has proven who it is, and has to again.
#[test]
fn a_place_to_come_back_to() {
    let (session, _) = Side::enabled().broken();
    let at = |direct_tls| {
        let host = "other.example.com".into();
        Some(Endpoint::Address { host, port: 5299, direct_tls })
    };
    for (policy, place) in [
        (TlsPolicy::Direct, at(true)),
        (TlsPolicy::Required, at(false)),
        (TlsPolicy::Optional, None),
        (TlsPolicy::None, None),
    ] {
        let mut config = config();
        config.stream.tls = policy;
        assert_eq!(session.location(&config), place);
    }
}

// What a pump has kept for its owner is not lost with the connection.
#[test]
fn a_pump_hands_on_what_it_has_kept() {
    let now = Instant::ZERO;
    let mut client = ClientMachine::new(config(), &Seed::from_u64(1), now);
    client.secured(Security::default()).unwrap();
    let mut pump = Pump::new(client);
    pump.received([BEFORE, BOUND, ENABLED, "<message id='m'/>"].concat().as_bytes());
    pump.absorb(now).unwrap();
    pump.send(now, &message("1")).unwrap();
    pump.received(a(1).as_bytes());
    pump.absorb(now).unwrap();
    pump.received(&[]);
    pump.absorb(now).unwrap_err();
    let mut side = Side {
        client: ClientMachine::resuming(config(), pump.into_session(), &Seed::from_u64(2), now).unwrap(),
        now,
        told: Vec::new(),
        ended: false,
    };
    loop {
        match side.client.advance(now, &mut &[][..], &mut Vec::new()).unwrap() {
            Progress::Event(event) => side.told.push(format!("{event:?}")),
            Progress::Blocked(On::Tls) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(side.told.iter().any(|told| told.starts_with("Stanza(")));
    assert_eq!(side.told.last().unwrap(), "Acknowledged(\"1\")");
    side.client.secured(Security::default()).unwrap();
    assert!(side.feed(BEFORE).ends_with("<resume xmlns='urn:xmpp:sm:3' h='1' previd='s'/>"));
}

// Whoever cannot send hears why: what the server said when it ended the stream, and not only that it is closed.
#[test]
fn a_stanza_that_is_refused_says_why() {
    let mut side = Side::enabled();
    side.feed(
        "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
    );
    assert!(side.ended);
    let error = side.send(&message("1")).unwrap_err();
    assert!(
        matches!(&error, SendError::Ended(_)) && error.to_string().contains("system-shutdown"),
        "{error}"
    );
    let session = side.client.into_session();
    assert_eq!(session.unacknowledged().count(), 0, "nothing has happened");

    // A client that has not come online can do nothing yet.
    let mut side = Side::new(ClientMachine::new(config(), &Seed::from_u64(1), Instant::ZERO), Instant::ZERO);
    assert!(matches!(side.send(&message("1")), Err(SendError::Misuse(_))));
}

// XEP-0203: the time of a message is that of its sending, however long nothing has happened before; nor is its acknowledgement due at once.
#[test]
fn a_message_has_the_time_of_its_sending() {
    let mut side = Side::enabled();
    side.now = side.now + 300 * SECOND;
    side.send(&message("1")).unwrap();
    assert_eq!(side.client.deadline().unwrap().at, side.now + SECOND);
    let (session, now) = side.broken();
    let mut side = Side::resuming(session, now + 60 * SECOND);
    let again = side.feed(&[BEFORE, FAILED, BOUND].concat());
    assert!(again.contains("stamp='2001-09-09T01:51:40.000Z'"), "{again}");
}

// What is said about subscriptions is said again in another session, as messages are, and without a time: twice is no more than once.
#[test]
fn subscriptions_outlive_a_session() {
    let mut side = Side::enabled();
    let subscribe = |id: &str| {
        Stanza::presence(balcony_stanza::PresenceType::Subscribe)
            .with_id(id)
            .with_to("romeo@example.net".parse().unwrap())
    };
    side.send(&subscribe("s")).unwrap();
    side.send(&Stanza::presence(balcony_stanza::PresenceType::Available)).unwrap();
    let (session, now) = side.broken();
    let mut side = Side::resuming(session, now + SECOND);
    let again = side.feed(&[BEFORE, FAILED, BOUND].concat());
    assert!(again.ends_with("<presence to='romeo@example.net' type='subscribe' id='s'/>"), "{again}");
    assert!(!side.told.iter().any(|told| told.starts_with("Resent")), "messages only: {:?}", side.told);
}

// An owner who is about to go does not wait for the second after which the server is asked.
#[test]
fn acknowledgements_can_be_asked_for_at_once() {
    let mut side = Side::enabled();
    let mut out = Vec::new();
    side.client.request_ack(side.now, &mut out);
    assert!(out.is_empty(), "there is nothing to be acknowledged");
    side.send(&message("1")).unwrap();
    side.client.request_ack(side.now, &mut out);
    assert_eq!(out, R.as_bytes());
    assert_eq!(side.wait(SECOND), "", "it has been asked");
    side.feed(&a(1));
    assert_eq!(side.told, ["Acknowledged(\"1\")"]);
}

/// A client with buffers, whose server has sent this by now.
fn pump(client: ClientMachine, server: &[&str]) -> Pump {
    let mut pump = Pump::new(client);
    pump.secured(Security::default()).unwrap();
    pump.received(server.concat().as_bytes());
    pump.absorb(Instant::ZERO).unwrap();
    pump
}

// XEP-0198 1.6.3 §4 [SM9]: where nothing is counted nothing comes again, and what is made here the server does not have.
#[test]
fn what_does_not_come_again_is_told_on_the_next_connection() {
    let (now, uncounted) = (Instant::ZERO, BEFORE.replace("<sm xmlns='urn:xmpp:sm:3'/>", ""));
    let again = |pump: &mut Pump, seed: u64, said: &[&str]| {
        pump.received(&[]);
        pump.absorb(now).unwrap_err();
        pump.resume(config(), &Seed::from_u64(seed), now).unwrap();
        pump.secured(Security::default()).unwrap();
        pump.received(said.concat().as_bytes());
        pump.absorb(now).unwrap();
        pump.wrote(usize::MAX);
    };
    let told = |pump: &mut Pump| -> Vec<String> {
        let stanzas = core::iter::from_fn(|| pump.next_kept()).filter_map(MachineEvent::into_stanza);
        stanzas.map(|stanza| stanza.head.id.as_deref().unwrap().to_owned()).collect()
    };
    let mut client = ClientMachine::new(config(), &Seed::from_u64(1), now);
    client.tell_handled();
    let mut pump = pump(client, &[&uncounted, BOUND, "<message id='1'/><message id='2'/>"]);
    assert!(pump.next_kept().is_some_and(|event| matches!(event, MachineEvent::Authenticated { .. })));
    assert!(pump.next_kept().is_some_and(|event| matches!(event, MachineEvent::Online(_))));
    assert_eq!(pump.next_kept().unwrap().into_stanza().unwrap().head.id.as_deref(), Some("1"));
    pump.handled(1);
    again(&mut pump, 2, &[BEFORE]);
    // Now it is counted, and what has come before that is not.
    again(&mut pump, 3, &[BEFORE, BOUND, ENABLED, "<message id='3'/>"]);
    assert_eq!(told(&mut pump), ["2", "3"]);
    pump.handled(1);
    pump.received(R.as_bytes());
    pump.absorb(now).unwrap();
    assert_eq!(pump.output(), a(0).as_bytes(), "3 is not handled");
    pump.handled(1);
    assert!(pump.output().ends_with(a(1).as_bytes()));
    pump.wrote(usize::MAX);

    // One that no server has taken comes back; of the others the server has those that are not handled.
    pump.send(now, &message("mine")).unwrap();
    for seed in 4..9 {
        again(&mut pump, seed, &[BEFORE, FAILED, BOUND, ENABLED, "<message id='4'/>"]);
    }
    again(&mut pump, 9, &[BEFORE]);
    again(&mut pump, 10, &[BEFORE, FAILED, BOUND, ENABLED, "<message id='4'/>"]);
    assert_eq!(told(&mut pump), ["mine", "4"]);
    pump.handled(1);
    pump.received(R.as_bytes());
    pump.absorb(now).unwrap();
    assert_eq!(pump.output(), a(0).as_bytes());
    pump.handled(1);
    assert!(pump.output().ends_with(a(1).as_bytes()));
}

fn ids<'a>(unacknowledged: impl Iterator<Item = &'a Stanza>) -> Vec<String> {
    unacknowledged.map(|stanza| stanza.head.id.as_deref().unwrap().to_owned()).collect()
}

proptest! {
    // XEP-0198 1.6.3 §4 [SM8] [SM9] [SM11], §5 [SM13]: what the owner has not handled is not acknowledged, however the stream ends, and comes again; what it has handled is,
    // and so is what the client has dealt with by itself, as far as nothing before it waits.
    #[test]
    fn only_what_is_handled_is_acknowledged(steps in prop::collection::vec((0..4_u8, 0..4_usize), 0..60), closes in any::<bool>()) {
        let now = Instant::ZERO;
        let mut client = ClientMachine::new(config(), &Seed::from_u64(1), now);
        client.tell_handled();
        let mut pump = pump(client, &[BEFORE, BOUND, ENABLED]);
        // Whether each stanza that has come is handled; which of them the owner is told of; which it has got.
        let (mut came, mut told, mut got) = (Vec::new(), Vec::new(), Vec::new());
        let mut handled = 0;
        for (step, count) in steps {
            match step {
                0 => for _ in 0..count {
                    let id = came.len();
                    pump.received(format!("<message id='{id}'/>").as_bytes());
                    told.push(id);
                    came.push(false);
                },
                1 => {
                    let ping = "<iq type='get' id='p' from='example.com'><ping xmlns='urn:xmpp:ping'/></iq>";
                    pump.received((ping.repeat(count) + " ").as_bytes());
                    came.resize(came.len() + count, true);
                }
                2 => {
                    let stanzas = core::iter::from_fn(|| pump.next_kept()).filter_map(MachineEvent::into_stanza);
                    got.extend(stanzas.take(count).map(|stanza| stanza.head.id.unwrap().parse::<usize>().unwrap()));
                }
                _ => {
                    let count = count.min(got.len() - handled);
                    pump.handled(u32::try_from(count).unwrap());
                    got[handled..handled + count].iter().for_each(|id| came[*id] = true);
                    handled += count;
                }
            }
            pump.absorb(now).unwrap();
            pump.wrote(usize::MAX);
            pump.received(R.as_bytes());
            pump.absorb(now).unwrap();
            let h = u32::try_from(came.iter().take_while(|is_handled| **is_handled).count()).unwrap();
            let said = String::from_utf8(pump.output().to_vec()).unwrap();
            prop_assert!(said.ends_with(&a(h)), "{said}: {came:?}");
        }
        prop_assert!(told.starts_with(&got));
        pump.wrote(usize::MAX);
        let h = u32::try_from(came.iter().take_while(|is_handled| **is_handled).count()).unwrap();
        if closes {
            pump.close(now);
            let said = String::from_utf8(pump.output().to_vec()).unwrap();
            prop_assert_eq!(said, a(h) + "</stream:stream>");
            return Ok(());
        }
        pump.received(&[]);
        pump.absorb(now).unwrap_err();
        // The owner may hear of the end later than that.
        let late = u32::from(handled < got.len());
        pump.handled(late);
        got[handled..].iter().take(1).for_each(|id| came[*id] = true);
        let h = came.iter().take_while(|is_handled| **is_handled).count();
        pump.resume(config(), &Seed::from_u64(2), now).unwrap();
        pump.secured(Security::default()).unwrap();
        pump.received(BEFORE.as_bytes());
        pump.absorb(now).unwrap();
        let said = String::from_utf8(pump.output().to_vec()).unwrap();
        let resume = format!("<resume xmlns='urn:xmpp:sm:3' h='{h}' previd='s'/>");
        prop_assert!(said.ends_with(&resume), "{said}: {came:?}");
        // The rest comes again, once, and counts on.
        pump.wrote(usize::MAX);
        let again: String = (h..came.len()).map(|id| format!("<message id='{id}'/>")).collect();
        pump.received(format!("<resumed xmlns='urn:xmpp:sm:3' h='0' previd='s'/>{again}").as_bytes());
        pump.absorb(now).unwrap();
        let stanzas = core::iter::from_fn(|| pump.next_kept()).filter_map(MachineEvent::into_stanza);
        let ids: Vec<usize> = stanzas.map(|stanza| stanza.head.id.unwrap().parse().unwrap()).collect();
        prop_assert_eq!(&ids, &(h..came.len()).collect::<Vec<_>>());
        pump.handled(u32::MAX);
        pump.received(R.as_bytes());
        pump.absorb(now).unwrap();
        let said = String::from_utf8(pump.output().to_vec()).unwrap();
        prop_assert!(said.ends_with(&a(u32::try_from(came.len()).unwrap())), "{said}");
    }

    // XEP-0198 1.6.3 §3 [SM6]: who was told that it is taken, while the server might have counted, loses nothing that has not left when the server refuses.
    #[test]
    fn what_has_not_been_written_outlives_a_refusal(sizes in prop::collection::vec(1..200_usize, 0..12), before in 0..3_000_usize, after in 0..3_000_usize) {
        let now = Instant::ZERO;
        let mut pump = pump(ClientMachine::new(config(), &Seed::from_u64(1), now), &[BEFORE, BOUND]);
        pump.wrote(pump.output().len());
        let mut ends = Vec::new();
        for (number, size) in sizes.into_iter().enumerate() {
            let body = balcony_stanza::Content::body("x".repeat(size)).to_payload();
            pump.send(now, &Stanza::message(MessageType::Chat).with_id(number.to_string()).with_payload(body)).unwrap();
            ends.push((number.to_string(), pump.output().len()));
        }
        let total = ends.last().map_or(0, |(_, end)| *end);
        let unwritten = |written: usize| -> Vec<_> {
            ends.iter().filter(|(_, end)| *end > written).map(|(id, _)| id.clone()).collect()
        };
        pump.wrote(before);
        pump.received(FAILED.as_bytes());
        pump.absorb(now).unwrap();
        prop_assert_eq!(ids(pump.client().unacknowledged()), unwritten(before));
        // What is sent from here on is the owner's until it is written.
        pump.send(now, &message("later")).unwrap();
        pump.wrote(after);
        let written = (before.min(total) + after).min(total);
        prop_assert_eq!(ids(pump.client().unacknowledged()), unwritten(written));
        let session = pump.into_session();
        prop_assert_eq!(ids(session.unacknowledged()), unwritten(written));

        // The next session gets it.
        let mut side = Side::resuming(session, now + SECOND);
        side.feed(BEFORE);
        let again = side.feed(BOUND);
        for (id, _) in &ends {
            prop_assert_eq!(again.contains(&format!("id='{id}'")), unwritten(written).contains(id), "{}", again);
        }
    }
}

// XEP-0198 1.6.3 §5 [SM21]: what is sent again to a server that does not count is not lost either before it has left.
#[test]
fn what_is_sent_again_without_counting_is_kept_until_it_is_written() {
    let no_sm = BEFORE.replace("<sm xmlns='urn:xmpp:sm:3'/>", "");
    let mut side = Side::enabled();
    for id in ["1", "2"] {
        side.send(&message(id)).unwrap();
    }
    let (mut session, now) = side.broken();
    for _ in 0..2 {
        let client = ClientMachine::resuming(config(), session, &Seed::from_u64(2), now).unwrap();
        let mut pump = pump(client, &[&no_sm, BOUND]);
        let output = String::from_utf8(pump.output().to_vec()).unwrap();
        assert!(
            output.contains("id='1'") && output.contains("id='2'") && !output.contains("<enable"),
            "{output}"
        );
        pump.wrote(output.len() - 1);
        session = pump.into_session();
        assert_eq!(ids(session.unacknowledged()), ["1", "2"]);
    }
    let client = ClientMachine::resuming(config(), session, &Seed::from_u64(2), now).unwrap();
    let mut pump = pump(client, &[&no_sm, BOUND]);
    pump.wrote(pump.output().len());
    assert_eq!(pump.into_session().unacknowledged().count(), 0, "nobody will say what has become of it");
}

// XEP-0198 1.6.3 §5 [SM21]: TLS may have failed behind what the server said last, and takes nothing then.
#[test]
fn what_tls_does_not_take_is_kept() {
    for server in [BEFORE.to_owned(), BEFORE.replace("<sm xmlns='urn:xmpp:sm:3'/>", "")] {
        let mut side = Side::enabled();
        side.send(&message("1")).unwrap();
        let (session, now) = side.broken();
        let (certificate, key) = balcony_tls::self_signed(&["example.com"]).unwrap();
        let roots =
            balcony_tls::TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
        let identity =
            balcony_tls::TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
        let mut tls = balcony_tls::Session::server(&identity).unwrap();
        let client =
            ClientMachine::resuming(config().with_tls(roots), session, &Seed::from_u64(2), now).unwrap();
        let mut pump = Pump::new(client);
        // What the client says is not looked at: it says one thing at a time.
        let refusal = server.contains("urn:xmpp:sm:3").then_some(FAILED);
        let mut says = [server.as_str()].into_iter().chain(refusal).chain([BOUND]);
        loop {
            pump.absorb(now).unwrap();
            let (mut out, mut plain) = (Vec::new(), Vec::new());
            let mut input = pump.output();
            while !input.is_empty() {
                tls.read(&mut input, &mut plain, &mut out).unwrap();
            }
            pump.wrote(pump.output().len());
            if !plain.is_empty() {
                let text = says.next().unwrap();
                tls.write(text.as_bytes(), &mut out).unwrap();
                if text == BOUND {
                    out.extend_from_slice(&[0x17, 3, 3, 0, 32]);
                    out.extend_from_slice(&[0; 32]);
                    pump.received(&out);
                    break;
                }
            }
            pump.received(&out);
        }
        pump.absorb(now).unwrap_err();
        pump.wrote(pump.output().len());
        assert_eq!(ids(pump.into_session().unacknowledged()), ["1"]);
    }
}
