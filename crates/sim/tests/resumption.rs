//! A client and a server over a line that breaks at any byte, again and again (XEP-0198): with resumption every message arrives
//! once and in order, in both directions; without it at least once.
//!
//! The client is a whole one. The server is the stream, and an owner that is as simple as one can be: a queue, and a list.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use balcony_client::{ClientConfig, ClientMachine, MachineEvent, RequestKind, RequestOutcome, SendError};
use balcony_jid::FullJid;
use balcony_machine::{Instant, On, Progress, Secret, Seed};
use balcony_sasl::Mechanism;
use balcony_stanza::{
    ErrorCondition, IqType, Kind, MessageType, Payload, Stanza, StreamCondition, StreamError,
};
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent, ServerStreamConfig};
use balcony_stream::{Counts, Framing, Security, ServerStream, TlsPolicy};
use balcony_xep::delay::Delay;
use balcony_xep::sm::{Enabled, Resumable};
use balcony_xml::{Element, Name};
use proptest::prelude::*;

/// What the two are like.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// Whether they have SASL2, and with it everything in one round trip.
    sasl2: bool,
    /// Whether the client leaves its resource to the server, which can then be bound inline.
    any_resource: bool,
    framing: Framing,
    /// Whether the server lets sessions go on.
    resumes: bool,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// The client sends a message.
    Up,
    /// The client sends a request.
    Request,
    /// The client asks for a resource once more, which the server's stream answers by itself.
    Rebind,
    /// The server sends a message, to a client that may be away.
    Down,
    /// So many bytes arrive at the server.
    ToServer(usize),
    /// So many bytes arrive at the client.
    ToClient(usize),
    /// The server handles so many of the stanzas that have come.
    Handle(u32),
    /// The server asks what has arrived.
    Ask,
    /// Time passes.
    Wait(u64),
    /// The line breaks, and what was on it is lost. The client has a new one; whether the server knows of the old one.
    Cut(bool),
    /// The server forgets the session of a client that is away, or refuses it then.
    Forget,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Up),
        1 => Just(Act::Request),
        1 => Just(Act::Rebind),
        4 => Just(Act::Down),
        6 => (1_usize..400).prop_map(Act::ToServer),
        6 => (1_usize..400).prop_map(Act::ToClient),
        2 => (1_u32..4).prop_map(Act::Handle),
        1 => Just(Act::Ask),
        1 => (0_u64..2_000).prop_map(Act::Wait),
        2 => any::<bool>().prop_map(Act::Cut),
    ]
}

fn manner(resumes: bool) -> impl Strategy<Value = Manner> {
    let framing = prop_oneof![2 => Just(Framing::Document), 1 => Just(Framing::Messages)];
    (any::<bool>(), any::<bool>(), framing).prop_map(move |(sasl2, any_resource, framing)| Manner {
        sasl2,
        any_resource,
        framing,
        resumes,
    })
}

/// The session that a server keeps.
struct Held {
    id: String,
    jid: FullJid,
    /// What was sent and is not acknowledged.
    queue: VecDeque<Stanza>,
    /// The counts of the connection that is gone.
    counts: Option<Counts>,
    /// Stanzas that have come and are not handled.
    unhandled: u32,
}

struct World {
    manner: Manner,
    now: Instant,
    seed: u64,
    client: Option<ClientMachine>,
    config: ClientConfig,
    server: ServerStream,
    server_config: Arc<ServerStreamConfig>,
    session: Option<Held>,
    /// Whether stanzas of the session go to the stream that is there now.
    attached: bool,
    sessions: u32,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// The ids of what has been sent and has arrived, in either direction.
    sent: [Vec<String>; 2],
    arrived: [Vec<String>; 2],
    /// What the client was told of its messages.
    acknowledged: Vec<String>,
    resent: Vec<String>,
    requests: usize,
    answers: usize,
    lost: usize,
    resumed: usize,
    asked_to_rebind: usize,
    rebinds: usize,
}

/// More of these, and the stream would end.
const REBINDS: usize = 4;
const UP: usize = 0;
const DOWN: usize = 1;

impl World {
    fn new(manner: Manner) -> World {
        let mut config =
            ClientConfig::new("juliet@example.com".parse().unwrap(), Secret::new(String::from("pencil")));
        config.stream.tls = TlsPolicy::Direct;
        config.stream.framing = manner.framing;
        config.stream.mechanisms = vec![Mechanism::Plain];
        config.stream.sasl2 = manner.sasl2;
        config.stream.resource = (!manner.any_resource).then(|| "balcony".into());
        config.clock_start = Some(1_000_000_000_000);
        let mut server = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        (server.tls, server.framing, server.management) = (TlsPolicy::Direct, manner.framing, true);
        let server = Arc::new(server);
        let mut world = World {
            manner,
            now: Instant::ZERO,
            seed: 1,
            client: Some(ClientMachine::new(config.clone(), &Seed::from_u64(1), Instant::ZERO)),
            config,
            server: ServerStream::new(Arc::clone(&server), Seed::from_u64(2), Instant::ZERO),
            server_config: server,
            session: None,
            attached: false,
            sessions: 0,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            sent: [Vec::new(), Vec::new()],
            arrived: [Vec::new(), Vec::new()],
            acknowledged: Vec::new(),
            resent: Vec::new(),
            requests: 0,
            answers: 0,
            lost: 0,
            resumed: 0,
            asked_to_rebind: 0,
            rebinds: 0,
        };
        world.begin();
        world
    }

    /// A new line: TLS is up at once.
    fn begin(&mut self) {
        self.server.secured(Security::default()).unwrap();
        let client = self.client.as_mut().unwrap();
        let progress = client.advance(self.now, &mut &[][..], &mut Vec::new()).unwrap();
        let is_due = matches!(progress, Progress::Blocked(On::Tls));
        // What was not told on the line before comes first.
        if is_due {
            client.secured(Security::default()).unwrap();
        } else {
            let Progress::Event(event) = progress else { panic!("{progress:?}") };
            self.told(event);
            return self.begin_client();
        }
        self.feed_client(&[]);
    }

    fn begin_client(&mut self) {
        loop {
            let client = self.client.as_mut().unwrap();
            match client.advance(self.now, &mut &[][..], &mut Vec::new()).unwrap() {
                Progress::Event(event) => self.told(event),
                Progress::Blocked(On::Tls) => {
                    client.secured(Security::default()).unwrap();
                    return self.feed_client(&[]);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn told(&mut self, event: MachineEvent) {
        match event {
            MachineEvent::Stanza(stanza) => {
                if stanza.head.kind == Kind::Iq(IqType::Error) {
                    self.rebinds += 1;
                    assert!(self.rebinds <= REBINDS);
                    return;
                }
                assert_eq!(stanza.head.kind, Kind::Message(MessageType::Chat));
                self.arrived[DOWN].push(stanza.head.id.unwrap().to_string());
            }
            MachineEvent::Acknowledged(id) => self.acknowledged.push(id.to_string()),
            MachineEvent::Resent(id) => self.resent.push(id.to_string()),
            MachineEvent::Resumed => self.resumed += 1,
            MachineEvent::Response(_, RequestOutcome::Result(_)) => self.answers += 1,
            MachineEvent::Response(_, RequestOutcome::Lost) => self.lost += 1,
            MachineEvent::Online(_) | MachineEvent::Authenticated { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn feed_client(&mut self, mut input: &[u8]) {
        let mut out = Vec::new();
        loop {
            let client = self.client.as_mut().unwrap();
            match client.advance(self.now, &mut input, &mut out) {
                Ok(Progress::Event(event)) => self.told(event),
                Ok(Progress::NeedInput | Progress::Blocked(_)) => break,
                // The server has ended a line of which it thinks that it is another one; or it was silent for too long.
                Ok(Progress::Closed) | Err(_) => {
                    return self.cut(false);
                }
            }
        }
        self.to_server.extend(out);
    }

    fn feed_server(&mut self, bytes: &[u8]) {
        let (mut input, mut out) = (bytes, Vec::new());
        loop {
            match self.server.advance(self.now, &mut input, &mut out) {
                Ok(Progress::Event(event)) => self.server_event(event, &mut out),
                Ok(Progress::NeedInput) => break,
                Ok(Progress::Blocked(on)) => panic!("{on:?}"),
                Ok(Progress::Closed) => panic!("nobody closes a stream"),
                Err(error) => {
                    assert_eq!(
                        error,
                        StreamError::new(
                            StreamCondition::ConnectionTimeout,
                            "no answer within the time allowed"
                        )
                        .into(),
                    );
                    self.detach();
                    break;
                }
            }
        }
        self.to_client.extend(out);
    }

    fn server_event(&mut self, event: ServerEvent, out: &mut Vec<u8>) {
        match event {
            ServerEvent::Ask(ticket, ask) => {
                let answer = self.answer(*ask);
                self.server.answer(ticket, answer).unwrap();
            }
            ServerEvent::Bound(jid) => {
                let id = format!("session-{}", self.sessions);
                let held = Held { id, jid, queue: VecDeque::new(), counts: None, unhandled: 0 };
                // Whatever an earlier session had not got is lost with it; this server has no store.
                self.session = Some(held);
                self.attached = true;
            }
            // What has been sent before is not in the queue for ever: nobody will acknowledge it.
            ServerEvent::Enabled => self.session.as_mut().unwrap().queue.clear(),
            ServerEvent::Resumed { jid, acknowledged } => {
                let held = self.session.as_mut().unwrap();
                assert_eq!(jid, held.jid);
                (held.counts, held.unhandled) = (None, 0);
                held.queue.drain(..acknowledged as usize);
                self.attached = true;
                for stanza in &held.queue {
                    self.server.send(stanza, out).unwrap();
                }
            }
            ServerEvent::Acked(count) => {
                let queue = &mut self.session.as_mut().unwrap().queue;
                assert!(count > 0);
                queue.drain(..count as usize);
            }
            ServerEvent::Stanza(stanza) => {
                self.session.as_mut().unwrap().unhandled += 1;
                let id = stanza.head.id.as_deref().unwrap().to_owned();
                if stanza.head.kind == Kind::Iq(IqType::Get) {
                    let result = stanza.result().unwrap();
                    self.send_down(&result, out);
                } else {
                    self.arrived[UP].push(id);
                    if self.manner.resumes {
                        return;
                    }
                    // What comes again in another session says when it was sent first.
                    let content = stanza.payload.parse().unwrap();
                    let stamps = content.root().children().filter_map(Delay::read).count();
                    assert!(stamps <= 1);
                }
            }
            ServerEvent::Authenticated { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, ask: ServerAsk) -> ServerAnswer {
        match ask {
            ServerAsk::Verify { .. } => ServerAnswer::Verified(Some([7; 16].into())),
            ServerAsk::Bind { account, resource, enable, .. } => {
                self.sessions += 1;
                let resource = resource.unwrap_or_else(|| "made-by-the-server".into());
                let jid = account.with_resource(&resource).unwrap();
                match enable {
                    Some(_) => ServerAnswer::BoundEnabled(jid, self.enabled()),
                    None => ServerAnswer::Bound(Ok(jid)),
                }
            }
            ServerAsk::Enable(enable) => {
                assert!(enable.resume);
                ServerAnswer::Enabled(Ok(self.enabled()))
            }
            ServerAsk::Resume { previd, h, .. } => {
                let Some(held) = self.session.as_mut().filter(|held| held.id == previd) else {
                    return ServerAnswer::NotResumed { condition: ErrorCondition::ItemNotFound, h: None };
                };
                // All that has come is decided first.
                let mut counts = held.counts.clone().unwrap();
                counts.handled(held.unhandled);
                assert!(counts.is_settled() && counts.acknowledged_by(h).is_some());
                ServerAnswer::Resumed { jid: held.jid.clone(), counts }
            }
            other => panic!("{other:?}"),
        }
    }

    fn enabled(&self) -> Enabled<'static> {
        let resumable =
            || Resumable { id: format!("session-{}", self.sessions).into(), max: None, location: None };
        Enabled { resumable: self.manner.resumes.then(resumable) }
    }

    /// The connection of the session is gone; the session is not.
    fn detach(&mut self) {
        if core::mem::take(&mut self.attached) {
            let held = self.session.as_mut().unwrap();
            held.counts = self.server.counts().cloned();
            if held.counts.is_none() {
                // It had not got so far as to outlive its connection.
                self.session = None;
            }
        }
    }

    fn send_down(&mut self, stanza: &Stanza, out: &mut Vec<u8>) {
        let Some(held) = &mut self.session else { return };
        held.queue.push_back(stanza.clone());
        if self.attached && self.server.is_open() {
            self.server.send(stanza, out).unwrap();
        }
    }

    /// The line breaks, and there is a new one. `noticed`: the server has heard of it; if not, it hears of it when the client is back.
    fn cut(&mut self, noticed: bool) {
        let mut out = Vec::new();
        let mut client = self.client.take().unwrap();
        if noticed {
            let _ = self.server.eof(self.now, &mut out);
        } else {
            self.server.abort(StreamCondition::Conflict.into(), &mut out);
        }
        let _ = client.eof(self.now, &mut out);
        self.detach();
        self.to_server.clear();
        self.to_client.clear();
        self.seed += 2;
        let session = client.into_session();
        let seed = Seed::from_u64(self.seed);
        self.client = Some(ClientMachine::resuming(self.config.clone(), session, &seed, self.now).unwrap());
        let config = Arc::clone(&self.server_config);
        self.server = ServerStream::new(config, Seed::from_u64(self.seed + 1), self.now);
        self.begin();
    }

    fn act(&mut self, act: Act) {
        let is_online = self.client.as_ref().unwrap().jid().is_some();
        match act {
            Act::Up if is_online => {
                let id = format!("up-{}", self.sent[UP].len());
                let body = balcony_stanza::Content::body("Wherefore?").to_payload();
                let message = Stanza::message(MessageType::Chat).with_id(&id).with_payload(body);
                let mut out = Vec::new();
                match self.client.as_mut().unwrap().send(self.now, &message, &mut out) {
                    Ok(()) => self.sent[UP].push(id),
                    Err(error) => {
                        assert!(matches!(error, SendError::Misuse(_) | SendError::Ended(_)), "{error}")
                    }
                }
                self.to_server.extend(out);
            }
            Act::Request if is_online => {
                let ping = Payload::from(balcony_xep::ping::Ping.to_element());
                let (mut out, long) = (Vec::new(), Duration::from_secs(1_000_000));
                let client = self.client.as_mut().unwrap();
                if client.request(self.now, RequestKind::Get, None, ping, long, &mut out).is_ok() {
                    self.requests += 1;
                }
                self.to_server.extend(out);
            }
            Act::Rebind if is_online && self.asked_to_rebind < REBINDS => {
                let bind = Element::new(Name::from_static("bind"), balcony_stanza::ns::BIND);
                let mut out = Vec::new();
                let request = Stanza::iq(IqType::Set).with_id("again").with_child(bind);
                if self.client.as_mut().unwrap().send(self.now, &request, &mut out).is_ok() {
                    self.asked_to_rebind += 1;
                }
                self.to_server.extend(out);
            }
            Act::Up | Act::Request | Act::Rebind => {}
            Act::Down => {
                // Only what is sent after stream management is enabled can be told to have arrived.
                let is_counted = match &self.session {
                    Some(held) => held.counts.is_some() || self.server.counts().is_some(),
                    None => false,
                };
                if is_counted {
                    let id = format!("down-{}", self.sent[DOWN].len());
                    let mut out = Vec::new();
                    self.send_down(&Stanza::message(MessageType::Chat).with_id(&id), &mut out);
                    self.sent[DOWN].push(id);
                    self.to_client.extend(out);
                }
            }
            Act::ToServer(count) => {
                let bytes: Vec<u8> = self.to_server.drain(..count.min(self.to_server.len())).collect();
                self.feed_server(&bytes);
            }
            Act::ToClient(count) => {
                let bytes: Vec<u8> = self.to_client.drain(..count.min(self.to_client.len())).collect();
                self.feed_client(&bytes);
            }
            Act::Handle(count) => self.handle(count),
            Act::Ask => {
                let mut out = Vec::new();
                self.server.request_ack(self.now, &mut out);
                self.to_client.extend(out);
            }
            Act::Wait(millis) => {
                self.now = self.now + Duration::from_millis(millis);
                self.feed_client(&[]);
                self.feed_server(&[]);
            }
            Act::Cut(noticed) => self.cut(noticed),
            Act::Forget => {
                if !self.attached {
                    self.session = None;
                }
            }
        }
    }

    fn handle(&mut self, count: u32) {
        let Some(held) = &mut self.session else { return };
        let count = count.min(held.unhandled);
        held.unhandled -= count;
        if let Some(counts) = &mut held.counts {
            return counts.handled(count);
        }
        let mut out = Vec::new();
        self.server.handled(count, &mut out);
        self.to_client.extend(out);
    }

    /// Nothing breaks any more.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.act(Act::Handle(u32::MAX));
            self.act(Act::ToServer(usize::MAX));
            self.act(Act::ToClient(usize::MAX));
            let is_quiet = self.to_server.is_empty() && self.to_client.is_empty();
            let is_told =
                self.session.as_ref().is_some_and(|held| held.queue.is_empty() && held.unhandled == 0);
            let deadline = self.client.as_ref().unwrap().deadline().map(|deadline| deadline.at);
            if is_quiet && is_told && firsts(&self.acknowledged).len() == self.sent[UP].len() {
                return;
            }
            if is_quiet {
                self.act(Act::Ask);
                // As long as it takes until the client asks by itself.
                let soon = self.now + Duration::from_secs(2);
                self.now = deadline.map_or(soon, |at| at.min(soon)).max(self.now);
            }
        }
        panic!("they never come to rest: {:?} of {:?}", self.acknowledged, self.sent);
    }
}

/// The first time that each came.
fn firsts(all: &[String]) -> Vec<&String> {
    let mut seen = Vec::new();
    for id in all {
        if !seen.contains(&id) {
            seen.push(id);
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 256 } else { 4_096 }))]

    // XEP-0198 1.6.3 §5 [SM14, SM17, SM19, SM21, SM23]
    #[test]
    fn all_arrives_once_and_in_order(manner in manner(true), acts in prop::collection::vec(act(), 0..120)) {
        let mut world = World::new(manner);
        // The first session has to be there: before it nothing can go on.
        world.settle();
        for act in acts {
            world.act(act);
        }
        world.settle();
        prop_assert_eq!(&world.arrived, &world.sent);
        prop_assert_eq!(&world.acknowledged, &world.sent[UP]);
        prop_assert_eq!((world.answers, world.lost), (world.requests, 0));
        prop_assert_eq!((world.resent.len(), world.sessions), (0, 1));
    }

    // Without resumption: at least once, by the same id, and the first ones in order.
    #[test]
    fn what_is_not_acknowledged_is_sent_again(manner in manner(false), acts in prop::collection::vec(act(), 0..120)) {
        let mut world = World::new(manner);
        world.settle();
        for act in acts {
            world.act(act);
        }
        world.settle();
        prop_assert_eq!(firsts(&world.arrived[UP]), world.sent[UP].iter().collect::<Vec<_>>());
        for id in &world.arrived[UP] {
            let times = world.arrived[UP].iter().filter(|other| *other == id).count();
            let again = world.resent.iter().filter(|other| *other == id).count();
            prop_assert!(times <= 1 + again, "{} came {} times", id, times);
        }
        prop_assert_eq!(world.answers + world.lost, world.requests);
        prop_assert_eq!(world.resumed, 0);
        // Nothing comes twice to the client.
        prop_assert_eq!(firsts(&world.arrived[DOWN]).len(), world.arrived[DOWN].len());
    }

    // A session that is forgotten now and then: what the client sends arrives all the same.
    #[test]
    fn a_server_that_forgets(
        manner in manner(true),
        acts in prop::collection::vec(prop_oneof![20 => act(), 1 => Just(Act::Forget)], 0..120),
    ) {
        let mut world = World::new(manner);
        world.settle();
        for act in acts {
            world.act(act);
        }
        world.settle();
        prop_assert_eq!(firsts(&world.arrived[UP]), world.sent[UP].iter().collect::<Vec<_>>());
        prop_assert_eq!(world.answers + world.lost, world.requests);
    }
}
