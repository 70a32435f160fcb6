//! A client over a pipe in memory, with the server of the simulator on the other end, and time that passes as a test says.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use balcony_client::{
    AgentConfig, AgentEvent, Backoff, ClientConfig, ConnectError, Device, Disconnected, Message, Presence,
};
use balcony_embedded::{Client, Clock, Event, Link};
use balcony_machine::{Instant, Secret, Seed};
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::Stanza;
use balcony_stream::{Security, TlsPolicy};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use proptest::prelude::*;

const LAMP: &str = "juliet@example.com/lamp";

/// The pipe. Both ends have it.
#[derive(Default)]
struct Pipe {
    up: VecDeque<u8>,
    down: VecDeque<u8>,
    /// There is a way to the server.
    is_there: bool,
    /// The client has opened it.
    is_open: bool,
    /// The server has said that nothing more comes.
    is_over: bool,
    /// It takes nothing more.
    is_deaf: bool,
    /// Bytes that were written and not flushed, now and when it was closed last.
    unflushed: usize,
    lost: usize,
    /// How often it was closed.
    closed: u32,
    /// The next reads and writes get so many bytes, in turn.
    pieces: VecDeque<usize>,
    /// What it says when TLS is wanted, if it has that.
    security: Option<Security>,
    /// What it says when it is opened with TLS.
    direct: Option<Security>,
    /// How often TLS was begun, and how many turns it takes.
    secured: u32,
    handshake: u32,
}

impl Pipe {
    fn piece(&mut self, most: usize) -> usize {
        let piece = self.pieces.pop_front().unwrap_or(most);
        self.pieces.push_back(piece);
        piece.clamp(1, most)
    }
}

/// How much the pipe takes at a time.
const CAPACITY: usize = 100;

/// The line is cut.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the line is cut")
    }
}

impl core::error::Error for Cut {}

impl embedded_io_async::Error for Cut {
    fn kind(&self) -> ErrorKind {
        ErrorKind::ConnectionReset
    }
}

#[derive(Clone, Default)]
struct Line(Rc<RefCell<Pipe>>);

impl ErrorType for Line {
    type Error = Cut;
}

impl Read for Line {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Cut> {
        poll_fn(|_| {
            let mut pipe = self.0.borrow_mut();
            if !pipe.is_there {
                return Poll::Ready(Err(Cut));
            }
            if pipe.down.is_empty() {
                return if pipe.is_over { Poll::Ready(Ok(0)) } else { Poll::Pending };
            }
            let count = pipe.down.len().min(buffer.len());
            let count = pipe.piece(count);
            buffer.iter_mut().zip(pipe.down.drain(..count)).for_each(|(place, byte)| *place = byte);
            Poll::Ready(Ok(count))
        })
        .await
    }
}

impl Write for Line {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Cut> {
        poll_fn(|_| {
            let mut pipe = self.0.borrow_mut();
            let room = CAPACITY.saturating_sub(pipe.up.len());
            if !pipe.is_there || pipe.is_deaf {
                Poll::Ready(Err(Cut))
            } else if room == 0 {
                Poll::Pending
            } else {
                let count = pipe.piece(room.min(bytes.len()));
                pipe.up.extend(&bytes[..count]);
                pipe.unflushed += count;
                Poll::Ready(Ok(count))
            }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Cut> {
        self.0.borrow_mut().unflushed = 0;
        Ok(())
    }
}

impl Link for Line {
    type Error = Cut;

    async fn open(&mut self) -> Result<Option<Security>, Cut> {
        poll_fn(|_| {
            let mut pipe = self.0.borrow_mut();
            assert!(!pipe.is_open, "it is open already");
            if !pipe.is_there {
                return Poll::Pending;
            }
            pipe.is_open = true;
            Poll::Ready(Ok(pipe.direct.clone()))
        })
        .await
    }

    fn split(&mut self) -> (impl Read, impl Write) {
        assert!(self.0.borrow().is_open, "it is closed");
        (self.clone(), self.clone())
    }

    async fn start_tls(&mut self) -> Result<Option<Security>, Cut> {
        self.0.borrow_mut().secured += 1;
        poll_fn(|_| {
            let mut pipe = self.0.borrow_mut();
            if pipe.handshake == 0 {
                return Poll::Ready(Ok(pipe.security.take()));
            }
            pipe.handshake -= 1;
            Poll::Pending
        })
        .await
    }

    fn close(&mut self) {
        let mut pipe = self.0.borrow_mut();
        (pipe.is_open, pipe.lost) = (false, pipe.unflushed);
        pipe.closed += 1;
        pipe.down.clear();
    }
}

#[derive(Clone)]
struct Time(Rc<Cell<Instant>>);

impl Default for Time {
    fn default() -> Self {
        Time(Rc::new(Cell::new(Instant::ZERO)))
    }
}

impl Clock for Time {
    fn now(&self) -> Instant {
        self.0.get()
    }

    async fn wait_until(&self, at: Instant) {
        poll_fn(|_| if self.0.get() >= at { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

type TestClient = Client<(), Line, Time>;

fn client(line: &Line, time: &Time, change: impl FnOnce(&mut ClientConfig, &mut AgentConfig)) -> TestClient {
    let mut config =
        ClientConfig::new("juliet@example.com".parse().expect("an address"), Secret::new("j00l13t".into()));
    config.stream.resource = Some("lamp".into());
    config.stream.tls = TlsPolicy::None;
    let mut agent = AgentConfig::patient();
    agent.presence = Some(Presence::available().priority(5));
    agent.backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    change(&mut config, &mut agent);
    let device = Device::new(config, agent, (), &Seed::from_u64(7));
    Client::new(device, line.clone(), time.clone())
}

/// Asks for the next event, so many times at most; then the future is dropped.
fn poll(client: &mut TestClient, polls: usize) -> Option<Result<Event, Arc<Disconnected>>> {
    let mut next = pin!(client.next());
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).find_map(|_| match next.as_mut().poll(&mut context) {
        Poll::Ready(event) => Some(event),
        Poll::Pending => None,
    })
}

/// The server, the client, and what is between them.
struct Test {
    world: World,
    /// The connection that the server has, and how much it has sent there so far.
    peer: Option<(Peer, usize)>,
    line: Line,
    time: Time,
    client: TestClient,
}

impl Test {
    fn new(seed: u64) -> Test {
        let accounts =
            Accounts::new().with("juliet@example.com", "j00l13t").with("romeo@example.com", "r0m30");
        let world = World::new(accounts, Chunks::Whole, seed, |config| config.stream_management = true);
        let (line, time) = (Line::default(), Time::default());
        line.0.borrow_mut().is_there = true;
        let client = client(&line, &time, |_, _| {});
        Test { world, peer: None, line, time, client }
    }

    /// Bytes go to the server and back, as far as they can.
    fn carry(&mut self) {
        let mut pipe = self.line.0.borrow_mut();
        if let Some((peer, _)) = self.peer
            && !(pipe.is_there && pipe.is_open)
        {
            if !self.world.is_closed(peer) {
                self.world.cut(peer);
            }
            self.peer = None;
            pipe.up.clear();
        }
        if pipe.is_there && pipe.is_open {
            let (peer, seen) = self.peer.get_or_insert_with(|| {
                pipe.is_over = false;
                (self.world.raw(), 0)
            });
            let bytes: Vec<u8> = pipe.up.drain(..).collect();
            self.world.write(*peer, &bytes);
            self.world.run();
            let received = self.world.received(*peer);
            pipe.down.extend(&received[*seen..]);
            *seen = received.len();
            pipe.is_over = self.world.is_closed(*peer);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.world.wait(time);
        self.time.0.set(self.time.0.get() + time);
    }

    /// The next event, with time passing while there is none.
    fn next(&mut self) -> Result<Event, Arc<Disconnected>> {
        for _ in 0..2_000 {
            self.carry();
            if let Some(event) = poll(&mut self.client, 3) {
                return event;
            }
            self.pass(Duration::from_millis(100));
        }
        panic!("nothing happens");
    }

    /// Goes on until this has happened.
    fn until(&mut self, what: &str, is_it: impl Fn(&AgentEvent) -> bool) {
        for _ in 0..100 {
            match self.next() {
                Ok(Event::Agent(event)) if is_it(&event) => return,
                Ok(_) => {}
                Err(why) => panic!("{what}: {why}"),
            }
        }
        panic!("{what}");
    }

    /// Goes on to the end.
    fn end(&mut self) -> Arc<Disconnected> {
        (0..100).find_map(|_| self.next().err()).expect("it does not end")
    }

    fn message(&mut self) -> Message {
        loop {
            if let Event::Agent(AgentEvent::Message(message)) = self.next().expect("it goes on") {
                return *message;
            }
        }
    }

    /// What somebody gets next.
    fn heard(&mut self, peer: Peer) -> String {
        for _ in 0..100 {
            assert!(poll(&mut self.client, 1).is_none());
            self.carry();
            if let Some(body) = bodies(&mut self.world, peer).pop() {
                return body;
            }
        }
        panic!("nothing comes");
    }

    fn cut(&mut self) {
        self.line.0.borrow_mut().is_there = false;
        self.carry();
    }
}

/// The bodies of what somebody has got.
fn bodies(world: &mut World, peer: Peer) -> Vec<String> {
    let stanzas = world.take_stanzas(peer);
    let body = |stanza: Stanza| Message::read(stanza)?.body().map(String::from);
    stanzas.into_iter().filter_map(body).collect()
}

// XEP-0198: the session goes on when the line was cut, and what came meanwhile is there.
#[test]
fn a_cut_line_is_opened_again_and_the_session_goes_on() {
    let mut test = Test::new(1);
    let romeo = test.world.online("romeo@example.com/garden", "r0m30", 0);
    let to_juliet = |text: &str| Message::chat("juliet@example.com".parse().unwrap()).body(text).to_stanza();
    test.until("online", |event| matches!(event, AgentEvent::Online(jid) if jid.as_str() == LAMP));
    test.world.send(romeo, &to_juliet("But soft, what light?"));
    let message = test.message();
    assert_eq!(message.body(), Some("But soft, what light?"));
    test.client.agent().send(message.reply().body("It is dark.").to_stanza()).unwrap();
    assert_eq!(test.heard(romeo), "It is dark.");

    test.cut();
    test.world.send(romeo, &to_juliet("Art thou gone so?"));
    test.until("offline", |event| matches!(event, AgentEvent::Offline { .. }));
    test.line.0.borrow_mut().is_there = true;
    test.until("resumed", |event| matches!(event, AgentEvent::Resumed));
    assert_eq!(test.message().body(), Some("Art thou gone so?"));

    test.client.close();
    let end = test.end();
    assert!(matches!(*end, Disconnected::ByOwner), "{end}");
    assert!(!test.line.0.borrow().is_open);
    assert!(poll(&mut test.client, 1).is_some_and(|end| end.is_err()), "it is said for ever");
}

// The end of a stream: the client has the last word, and the link is closed.
#[test]
fn a_server_that_ends_is_answered_and_connected_to_again() {
    let mut test = Test::new(2);
    test.until("online", |event| matches!(event, AgentEvent::Online(_)));
    test.world.shutdown();
    test.until("offline", |event| matches!(event, AgentEvent::Offline { .. }));
    test.until("online", |event| matches!(event, AgentEvent::Online(_) | AgentEvent::Resumed));
    let pipe = test.line.0.borrow();
    assert!(pipe.closed > 0);
    assert_eq!(pipe.lost, 0, "what it said at last was flushed");
}

#[test]
fn a_wrong_password_is_the_end() {
    let mut test = Test::new(3);
    test.client = client(&test.line, &test.time, |config, agent| {
        config.stream.password = Secret::new("wrong".into());
        agent.is_patient = false;
    });
    let end = test.end();
    assert!(matches!(&*end, Disconnected::Failed(_)), "{end}");
    assert!(!test.line.0.borrow().is_open);
}

// RFC 6120 §4.9.3.3: whoever has lost its resource to another client hears it, though it was just about to send something.
#[test]
fn what_has_come_is_read_before_a_broken_link_is_given_up() {
    let mut test = Test::new(1);
    test.until("online", |event| matches!(event, AgentEvent::Online(_)));
    let error = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    {
        let mut pipe = test.line.0.borrow_mut();
        pipe.down.extend(error.as_bytes());
        pipe.is_deaf = true;
    }
    let farewell = Message::chat("romeo@example.com".parse().unwrap()).body("farewell").to_stanza();
    test.client.agent().send(farewell).unwrap();
    let why = (0..10).find_map(|_| poll(&mut test.client, 1)?.err()).expect("it does not hear why");
    assert!(why.is_permanent(), "{why}");
}

#[test]
fn a_link_that_does_not_open_is_tried_again() {
    let mut test = Test::new(4);
    test.line.0.borrow_mut().is_there = false;
    let Ok(Event::Agent(AgentEvent::Offline { why, .. })) = test.next() else { panic!("something else") };
    assert_eq!(why.to_string(), "the connection broke down: the link could not be opened in time");
    assert!((30..31).contains(&(test.time.0.get() - Instant::ZERO).as_secs()));
    test.line.0.borrow_mut().is_there = true;
    test.until("online", |event| matches!(event, AgentEvent::Online(_)));
}

// A server that reads nothing any more does not hold the client: its own deadlines end the connection.
#[test]
fn a_line_that_takes_nothing_is_given_up() {
    let mut test = Test::new(5);
    test.until("online", |event| matches!(event, AgentEvent::Online(_)));
    let long = Message::chat("romeo@example.com".parse().unwrap()).body("x".repeat(5 * CAPACITY));
    test.client.agent().send(long.to_stanza()).unwrap();
    let start = test.time.0.get();
    let why = loop {
        // Nothing is carried.
        match poll(&mut test.client, 1) {
            Some(Ok(Event::Agent(AgentEvent::Offline { why, .. }))) => break why,
            Some(_) => {}
            None => test.pass(Duration::from_secs(1)),
        }
        assert!(test.time.0.get() - start < Duration::from_secs(1_800), "it waits for ever");
    };
    assert!(matches!(*why, Disconnected::Lost(_)), "{why}");
}

/// A server that says what it is told, up to TLS.
fn up_to_tls(line: &Line, client: &mut TestClient) {
    line.0.borrow_mut().is_there = true;
    let wait_for = |client: &mut TestClient, end: &str| {
        let mut said = Vec::new();
        for _ in 0..100 {
            assert!(poll(client, 1).is_none());
            said.extend(line.0.borrow_mut().up.drain(..));
            if String::from_utf8_lossy(&said).contains(end) {
                return;
            }
        }
        panic!("{}", String::from_utf8_lossy(&said));
    };
    wait_for(client, "xmlns:stream");
    line.0.borrow_mut().down.extend(
        b"<?xml version='1.0'?><stream:stream from='example.com' id='a' version='1.0' xml:lang='en' \
          xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
          <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>",
    );
    wait_for(client, "<starttls");
    line.0.borrow_mut().down.extend(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
}

// RFC 6120 section 5.4.3: TLS is put on the link, and the stream begins anew on it. Nothing is read or written meanwhile.
#[test]
fn tls_is_put_on_the_link() {
    let (line, time) = (Line::default(), Time::default());
    let mut client = client(&line, &time, |config, _| config.stream.tls = TlsPolicy::Required);
    {
        let mut pipe = line.0.borrow_mut();
        (pipe.security, pipe.handshake) = (Some(Security::default()), 5);
    }
    up_to_tls(&line, &mut client);
    for _ in 0..5 {
        assert!(poll(&mut client, 1).is_none());
        assert!(line.0.borrow().up.is_empty());
    }
    assert!(poll(&mut client, 3).is_none());
    assert_eq!(line.0.borrow().secured, 6, "each time the future was dropped it was begun again");
    let said: Vec<u8> = line.0.borrow_mut().up.drain(..).collect();
    assert!(String::from_utf8_lossy(&said).contains("<stream:stream"), "{said:?}");
}

// XEP-0368: TLS is there before the first byte of the stream; and where none is wanted it is refused.
#[test]
fn tls_may_be_there_from_the_first_byte() {
    for policy in [TlsPolicy::Direct, TlsPolicy::None] {
        let (line, time) = (Line::default(), Time::default());
        let mut client = client(&line, &time, |config, _| config.stream.tls = policy);
        {
            let mut pipe = line.0.borrow_mut();
            (pipe.is_there, pipe.direct) = (true, Some(Security::default()));
        }
        let event = poll(&mut client, 3);
        let said: Vec<u8> = line.0.borrow_mut().up.drain(..).collect();
        if policy == TlsPolicy::Direct {
            assert!(event.is_none() && String::from_utf8_lossy(&said).contains("<?xml"), "{event:?}");
        } else {
            assert!(matches!(event, Some(Ok(Event::Agent(AgentEvent::Offline { .. })))), "{event:?}");
            assert!(said.is_empty() && !line.0.borrow().is_open);
        }
    }
}

#[test]
fn a_link_without_tls_says_so() {
    let (line, time) = (Line::default(), Time::default());
    let mut client = client(&line, &time, |config, _| config.stream.tls = TlsPolicy::Required);
    up_to_tls(&line, &mut client);
    let Some(Ok(Event::Agent(AgentEvent::Offline { why, .. }))) = poll(&mut client, 3) else {
        panic!("something else");
    };
    assert!(
        matches!(&*why, Disconnected::Failed(ConnectError::Broken(why)) if why == "the link has no TLS"),
        "{why}"
    );
    assert!(!line.0.borrow().is_open);
}

// A handshake that does not come to its end is ended by the time that a negotiation may take.
#[test]
fn tls_that_takes_too_long_is_given_up() {
    let (line, time) = (Line::default(), Time::default());
    let mut client = client(&line, &time, |config, _| config.stream.tls = TlsPolicy::Required);
    line.0.borrow_mut().handshake = u32::MAX;
    up_to_tls(&line, &mut client);
    for _ in 0..300 {
        if let Some(event) = poll(&mut client, 1) {
            assert!(matches!(event, Ok(Event::Agent(AgentEvent::Offline { .. }))), "{event:?}");
            assert!(poll(&mut client, 1).is_none());
            assert!(!line.0.borrow().is_open);
            return;
        }
        time.0.set(time.0.get() + Duration::from_secs(1));
    }
    panic!("it waits for ever");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // Whatever pieces the link carries, wherever it is cut, and however often the future is dropped: what both sides say arrives
    // once, and in order.
    #[test]
    fn everything_arrives_once(
        seed in any::<u64>(),
        pieces in proptest::collection::vec(1..64_usize, 1..20),
        turns in proptest::collection::vec((1..4_usize, 0..10_u8), 100..300),
    ) {
        let mut test = Test::new(seed);
        let romeo = test.world.online("romeo@example.com/garden", "r0m30", 0);
        test.until("online", |event| matches!(event, AgentEvent::Online(_)));
        test.line.0.borrow_mut().pieces = pieces.into();
        let (mut said, mut answered, mut heard, mut has_heard) = (0, 0, Vec::new(), Vec::new());
        let mut take = |event| {
            if let Ok(Event::Agent(AgentEvent::Message(message))) = event {
                heard.extend(message.body().map(String::from));
            }
        };
        let everything = turns.len();
        for (turn, (polls, what)) in turns.into_iter().chain(vec![(3, 9); 600]).enumerate() {
            let is_over = turn >= everything;
            match what {
                0 => test.cut(),
                1 => {
                    said += 1;
                    let message = Message::chat("juliet@example.com".parse().unwrap()).body(said.to_string());
                    test.world.send(romeo, &message.to_stanza());
                }
                2 => {
                    answered += 1;
                    let message = Message::chat("romeo@example.com/garden".parse().unwrap()).body(answered.to_string());
                    test.client.agent().send(message.to_stanza()).unwrap();
                }
                3..=5 => test.line.0.borrow_mut().is_there = true,
                _ if is_over => test.line.0.borrow_mut().is_there = true,
                _ => {}
            }
            if what % 2 == 0 || is_over {
                test.carry();
            }
            if let Some(event) = poll(&mut test.client, polls) {
                take(event);
            } else {
                test.pass(Duration::from_millis(500));
            }
            test.world.run();
            has_heard.extend(bodies(&mut test.world, romeo));
        }
        let all = |count: u32| (1..=count).map(|number| number.to_string()).collect::<Vec<_>>();
        prop_assert_eq!(heard, all(said));
        prop_assert_eq!(has_heard, all(answered));
    }
}
