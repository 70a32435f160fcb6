//! A component by itself, with a server that is played here: what it keeps, whom it believes, and when it connects again (XEP-0114).
#![allow(clippy::unwrap_used, reason = "tests")]

use core::time::Duration;
use std::sync::Arc;

use balcony_client::component::{Component, ComponentEvent};
use balcony_client::{Iq, Message, OutboxError, RequestError};
use balcony_connection::ComponentConnection;
use balcony_jid::Jid;
use balcony_machine::{Instant, Limits, Progress, Secret, Seed};
use balcony_stanza::{MessageType, Stanza};
use balcony_stream::component::{
    ComponentAnswer, ComponentAsk, ComponentEvent as StreamEvent, ComponentInitiatingConfig,
    ComponentReceivingConfig,
};
use balcony_xep::ping::Ping;
use proptest::prelude::*;

fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}

/// The first wait is shorter than that, and a session that lasts so long has lasted.
const LASTING: Duration = Duration::from_secs(1);

fn component(secret: &str) -> Component {
    let secret = Secret::new(secret.into());
    let config = ComponentInitiatingConfig::new("echo.example".parse().unwrap(), secret);
    Component::new(config, Seed::from_u64(1))
}

/// The server's end.
struct Server {
    connection: ComponentConnection,
    out: Vec<u8>,
    stanzas: Vec<Stanza>,
}

impl Server {
    fn new(now: Instant) -> Server {
        let components = vec![("echo.example".parse().unwrap(), Secret::new(String::from("pencil")))];
        let mut config = ComponentReceivingConfig::new("example".parse().unwrap(), components);
        config.limits = Limits::federated();
        let connection = ComponentConnection::receiving(Arc::new(config), Seed::from_u64(2), now);
        Server { connection, out: Vec::new(), stanzas: Vec::new() }
    }

    fn receive(&mut self, now: Instant, mut input: &[u8]) {
        loop {
            match self.connection.advance(now, &mut input, &mut self.out) {
                Ok(Progress::Event(StreamEvent::Ask(ticket, ComponentAsk::Attach { .. }))) => {
                    self.connection.answer(ticket, ComponentAnswer::Attached(true)).unwrap();
                }
                Ok(Progress::Event(StreamEvent::Stanza(stanza))) => self.stanzas.push(*stanza),
                Ok(Progress::Event(_)) => {}
                _ => break,
            }
        }
        let _ = self.connection.flush(&mut self.out);
    }

    fn send(&mut self, stanza: &Stanza) {
        self.connection.send(stanza).unwrap();
        self.connection.flush(&mut self.out).unwrap();
    }
}

/// Carries bytes until nobody has anything to say.
fn settle(now: Instant, component: &mut Component, server: &mut Server) {
    loop {
        let up = core::mem::take(component.output());
        server.receive(now, &up);
        let down = core::mem::take(&mut server.out);
        if up.is_empty() && down.is_empty() {
            return;
        }
        component.receive(now, &down);
    }
}

/// One that is attached.
fn attached(now: Instant) -> (Component, Server) {
    let (mut component, mut server) = (component("pencil"), Server::new(now));
    assert!(component.connects(now) && !component.connects(now));
    component.connected(now);
    settle(now, &mut component, &mut server);
    assert!(matches!(component.next_event(), Some(ComponentEvent::Online)));
    (component, server)
}

fn to_echo(from: &str, body: &str) -> Stanza {
    let message: Stanza = Message::chat(jid("wall@echo.example")).from(jid(from)).body(body).into();
    message
}

// What waits while it is away goes when it is there, from the domain unless it says another address of it.
#[test]
fn what_waits_is_sent_when_it_is_attached() {
    let now = Instant::ZERO;
    let mut component = component("pencil");
    let message = |body: &str| Message::chat(jid("romeo@example")).body(body);
    component.send(message("first").into()).unwrap();
    component.send(message("second").from(jid("wall@echo.example")).into()).unwrap();
    let forged = component.send(message("third").from(jid("wall@example")).into());
    assert_eq!(forged, Err(OutboxError::OtherDomain));
    let mut server = Server::new(now);
    assert!(component.connects(now));
    component.connected(now);
    settle(now, &mut component, &mut server);
    let from: Vec<_> = server.stanzas.iter().map(|stanza| stanza.head.from.clone().unwrap()).collect();
    assert_eq!(from, [jid("echo.example"), jid("wall@echo.example")]);
}

// RFC 6120 §8.1.2.1: an answer comes from whom was asked, to whom has asked, with the id of the request
#[test]
fn nobody_else_answers_a_request() {
    let now = Instant::ZERO;
    let (mut component, mut server) = attached(now);
    let ping = || Iq::get(Ping.to_element()).to(jid("romeo@example/garden"));
    let call = component.request(now, ping(), Some(jid("wall@echo.example"))).unwrap();
    settle(now, &mut component, &mut server);
    let request = server.stanzas.pop().unwrap();
    let answer = request.result().unwrap();
    for (from, to) in
        [("juliet@example/garden", "wall@echo.example"), ("romeo@example/garden", "door@echo.example")]
    {
        let mut forged = answer.clone();
        (forged.head.from, forged.head.to) = (Some(jid(from)), Some(jid(to)));
        server.send(&forged);
        settle(now, &mut component, &mut server);
        assert!(component.take_completed(call).is_none(), "{from} {to}");
        assert!(matches!(component.next_event(), Some(ComponentEvent::Stanza(_))));
    }
    server.send(&answer);
    settle(now, &mut component, &mut server);
    assert!(component.take_completed(call).unwrap().is_ok());
    // Once, and in time.
    assert!(component.take_completed(call).is_none());
    let late = component.request(now, ping().timeout(Duration::from_secs(5)), None).unwrap();
    assert_eq!(component.deadline(), Some(now + Duration::from_secs(5)));
    component.tick(now + Duration::from_secs(5));
    assert_eq!(component.take_completed(late), Some(Err(RequestError::TimedOut)));
}

// Who takes no events reads no more, and then all of them, in their order.
#[test]
fn an_owner_who_takes_nothing_is_not_flooded() {
    let now = Instant::ZERO;
    let (mut component, mut server) = attached(now);
    for number in 0..1_100 {
        server.send(&to_echo("romeo@example/garden", &format!("{number}")));
    }
    let bytes = core::mem::take(&mut server.out);
    component.receive(now, &bytes);
    assert!(!component.wants_input());
    let mut taken = 0;
    while let Some(event) = component.next_event() {
        let ComponentEvent::Message(message) = event else { panic!("{event:?}") };
        assert_eq!(message.body(), Some(&*format!("{taken}")));
        taken += 1;
        component.tick(now);
    }
    assert_eq!(taken, 1_100);
    assert!(component.wants_input());
}

#[test]
fn the_outbox_is_bounded() {
    let mut component = component("pencil");
    let mut sent = 0;
    while component.has_room() {
        component.send(Stanza::message(MessageType::Chat).with_to(jid("romeo@example"))).unwrap();
        sent += 1;
    }
    assert_eq!(sent, 1_024);
    let more = Stanza::message(MessageType::Chat).with_to(jid("romeo@example"));
    assert_eq!(component.send(more), Err(OutboxError::Full));
    let big = "x".repeat(1 << 19);
    let mut component = self::component("pencil");
    for _ in 0..2 {
        component.send(Message::chat(jid("romeo@example")).body(&big).into()).unwrap();
    }
    assert!(!component.has_room());
}

// A secret that is not taken is the end; a server that goes is not.
#[test]
fn it_connects_again_unless_that_is_of_no_use() {
    let mut now = Instant::ZERO;
    let (mut component, _) = attached(now);
    let ping = Iq::get(Ping.to_element()).to(jid("example"));
    let call = component.request(now, ping, None).unwrap();
    component.disconnected(now, Some("it was cut"));
    let Some(ComponentEvent::Offline { next: Some(pause), .. }) = component.next_event() else {
        panic!("it is offline")
    };
    assert_eq!(component.take_completed(call), Some(Err(RequestError::Offline)));
    assert!(!component.connects(now) || pause.is_zero());
    let mut longest = pause;
    for _ in 0..12 {
        now = component.deadline().unwrap();
        assert!(component.connects(now));
        component.unreachable(now, "nobody is there");
        let Some(ComponentEvent::Offline { next: Some(pause), .. }) = component.next_event() else {
            panic!("it tries again")
        };
        longest = longest.max(pause);
    }
    assert!(longest > Duration::from_secs(5) && longest <= Duration::from_secs(60), "{longest:?}");

    let (mut wrong, mut server) = (self::component("rubber"), Server::new(now));
    assert!(wrong.connects(now));
    wrong.connected(now);
    settle(now, &mut wrong, &mut server);
    assert!(matches!(wrong.next_event(), Some(ComponentEvent::Offline { next: None, .. })));
    assert!(wrong.end().unwrap().is_permanent() && wrong.is_over() && wrong.deadline().is_none());
    // What is said of a connection that is over changes nothing.
    wrong.disconnected(now, Some("again"));
    assert!(wrong.next_event().is_none());
    assert_eq!(wrong.send(Stanza::message(MessageType::Chat)), Err(OutboxError::Ended));
}

// RFC 6120 §3.3: a server that lets a component in and throws it out is asked ever more seldom; one session that has lasted, for as long as
// the first wait may be, makes the next wait a first one.
#[test]
fn only_a_session_that_has_lasted_begins_anew() {
    let mut longest = [Duration::ZERO; 2];
    for seed in 0..40 {
        for (is_long, longest) in longest.iter_mut().enumerate() {
            let secret = Secret::new("pencil".into());
            let config = ComponentInitiatingConfig::new("echo.example".parse().unwrap(), secret);
            let (mut component, mut now) = (Component::new(config, Seed::from_u64(seed)), Instant::ZERO);
            let mut pause = Duration::ZERO;
            for session in 0..9 {
                now = component.deadline().unwrap_or(now).max(now);
                let mut server = Server::new(now);
                assert!(component.connects(now));
                component.connected(now);
                settle(now, &mut component, &mut server);
                assert!(matches!(component.next_event(), Some(ComponentEvent::Online)));
                let is_last = session == 8;
                let lasted = if is_last {
                    LASTING - Duration::from_millis(u64::from(is_long == 0))
                } else {
                    Duration::ZERO
                };
                now = now + lasted;
                component.disconnected(now, Some("it was cut"));
                let Some(ComponentEvent::Offline { next: Some(next), .. }) = component.next_event() else {
                    panic!("it tries again")
                };
                pause = next;
            }
            *longest = pause.max(*longest);
        }
    }
    assert!(longest[0] > 8 * LASTING && longest[1] < LASTING, "{longest:?}");
}

// What waits goes before the end.
#[test]
fn closing_sends_what_waits() {
    let now = Instant::ZERO;
    let (mut component, mut server) = attached(now);
    component.send(Message::chat(jid("romeo@example")).body("farewell").into()).unwrap();
    component.close(now);
    settle(now, &mut component, &mut server);
    assert_eq!(server.stanzas.len(), 1);
    assert!(component.is_over());
    assert!(matches!(component.next_event(), Some(ComponentEvent::Offline { next: None, .. })));
}

// RFC 6120 §4.6.4 [W2]: a network that has forgotten the connection, or a server whose machine is gone, says nothing; who only listens would
// wait for ever. What is written and not acknowledged breaks the connection.
#[test]
fn a_component_that_only_listens_finds_out_that_nobody_is_there() {
    let now = Instant::ZERO;
    let (mut component, mut server) = attached(now);
    let mut spaces = 0;
    for _ in 0..3 {
        let due = component.deadline().expect("it would never notice");
        assert!(due >= now + Duration::from_secs(300), "more often than need be");
        component.tick(due);
        spaces += component.output().len();
        settle(due, &mut component, &mut server);
        assert!(component.is_online() && server.stanzas.is_empty());
    }
    assert_eq!(spaces, 3);
}

/// What happens to a component.
#[derive(Clone, Debug)]
enum Step {
    /// The server sends so many stanzas, of so many bytes.
    Stanzas(usize, usize),
    /// So many bytes of what the server has said arrive.
    Arrives(usize),
    /// Bytes arrive that are no XML.
    Garbage,
    /// All that is to be written is, or a part.
    Writes(usize),
    Sends(usize),
    /// With so many seconds of time.
    Requests(u8),
    Takes(usize),
    /// So many milliseconds go by.
    Passes(u32),
    /// Time goes by until something is due.
    Due,
    /// The connection is lost, or was never made.
    Lost,
    Closes,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..1_500_usize, 1..1_000_usize).prop_map(|(count, bytes)| Step::Stanzas(count, bytes)),
        6 => (1..2_000_000_usize).prop_map(Step::Arrives),
        1 => Just(Step::Garbage),
        6 => (0..100_000_usize).prop_map(Step::Writes),
        2 => (1..300_000_usize).prop_map(Step::Sends),
        3 => (0..40_u8).prop_map(Step::Requests),
        3 => (0..2_000_usize).prop_map(Step::Takes),
        2 => (0..100_000_u32).prop_map(Step::Passes),
        8 => Just(Step::Due),
        1 => Just(Step::Lost),
        1 => Just(Step::Closes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    // The architecture's rule 8: after it was told the time nothing is due any more, whatever the server sends, reads or leaves, and
    // whatever its owner leaves. Every request comes to one end.
    #[test]
    fn nothing_stays_due(steps in prop::collection::vec(steps(), 1..40)) {
        let (mut now, mut component, mut server) = (Instant::ZERO, component("pencil"), None::<Server>);
        let (mut wire, mut open, mut connections) = (Vec::new(), Vec::new(), 0);
        for step in steps.into_iter().chain([Step::Closes]).chain(core::iter::repeat_n(Step::Due, 8)) {
            match (step, &mut server) {
                (Step::Stanzas(count, bytes), Some(server)) if component.is_online() => {
                    let stanza = to_echo("romeo@example/garden", &"x".repeat(bytes));
                    // It may have heard the end already.
                    for _ in 0..count.min(1 + 200_000 / bytes) {
                        if server.connection.send(&stanza).is_ok() {
                            server.connection.flush(&mut server.out).unwrap();
                        }
                    }
                }
                (Step::Arrives(count), Some(server)) => {
                    wire.append(&mut server.out);
                    if component.wants_input() {
                        let bytes: Vec<u8> = wire.drain(..count.min(wire.len())).collect();
                        component.receive(now, &bytes);
                    }
                }
                (Step::Garbage, Some(_)) => component.receive(now, b"<<<"),
                (Step::Writes(count), Some(server)) => {
                    let out = component.output();
                    let bytes: Vec<u8> = out.drain(..count.min(out.len())).collect();
                    server.receive(now, &bytes);
                }
                (Step::Sends(bytes), _) => {
                    let _ = component.send(Message::chat(jid("romeo@example")).body("x".repeat(bytes)).into());
                }
                (Step::Requests(seconds), _) => {
                    let ping = Iq::get(Ping.to_element()).to(jid("romeo@example/garden"));
                    let ping = ping.timeout(Duration::from_secs(seconds.into()));
                    open.extend(component.request(now, ping, None));
                }
                (Step::Takes(count), _) => for _ in 0..count {
                    if component.next_event().is_none() {
                        break;
                    }
                },
                (Step::Passes(millis), _) => now = now + Duration::from_millis(millis.into()),
                (Step::Due, _) => now = component.deadline().map_or(now, |due| now.max(due)),
                (Step::Lost, Some(_)) => {
                    server = None;
                    component.disconnected(now, Some("it was cut"));
                }
                (Step::Closes, _) => component.close(now),
                _ => {}
            }
            if server.is_some() && component.is_over() {
                server = None;
                component.disconnected(now, None);
            }
            if component.connects(now) {
                wire.clear();
                component.connected(now);
                let server = server.insert(Server::new(now));
                connections += 1;
                // Others get stuck on their way.
                if connections % 3 > 0 {
                    settle(now, &mut component, server);
                }
            }
            component.tick(now);
            prop_assert!(component.deadline().is_none_or(|due| due > now), "{:?} at {:?}", component.deadline(), now);
            open.retain(|call| component.take_completed(*call).is_none());
        }
        prop_assert!(open.is_empty(), "{open:?}");
    }
}
