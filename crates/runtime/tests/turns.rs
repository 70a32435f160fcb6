//! How the task of a server shares its time, on a runtime whose clock and tasks are moved by hand.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of an adapter"
)]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::Wake;
use std::time::Instant;

use balcony_machine::Secret;
use balcony_runtime::{
    Interest, Listener, Pipe, Runtime, Server, ServerConfig, ServerHandle, Socket, Task, Timer, TlsPolicy,
    Transport,
};

const HEADER: &[u8] = b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                        xmlns:stream='http://etherx.jabber.org/streams'>";
/// Bytes that one socket is read of at a time.
const TURN: usize = 65_536;

/// A runtime that does nothing by itself.
#[derive(Clone, Debug)]
struct ByHand(Arc<Hands>);

struct Hands {
    start: Instant,
    /// Milliseconds.
    passed: AtomicUsize,
    task: Mutex<Option<Task>>,
    woken: AtomicUsize,
    /// How often the system will have no socket for the next connection.
    failures: AtomicUsize,
}

impl core::fmt::Debug for Hands {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Hands")
    }
}

impl Wake for Hands {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

impl ByHand {
    fn new() -> Self {
        let [passed, woken, failures] = [0; 3].map(AtomicUsize::new);
        ByHand(Arc::new(Hands { start: Instant::now(), passed, task: Mutex::new(None), woken, failures }))
    }

    /// A server without TLS, and without anything that answers.
    fn serve(&self, change: impl FnOnce(&mut ServerConfig)) -> ServerHandle {
        let mut config = ServerConfig::new(vec!["localhost".parse().unwrap()], Secret::new([7; 32]));
        config.tls = TlsPolicy::None;
        change(&mut config);
        let server = Server::builder_on(self.clone(), config, |_, _| {});
        server.listen("127.0.0.1:0".parse().unwrap(), Transport::Stream).unwrap().start().unwrap()
    }

    /// Runs the task once. Whether it wants to be run again at once, and whether it is still there.
    fn run(&self) -> (bool, bool) {
        let waker = Waker::from(Arc::clone(&self.0));
        self.0.woken.store(0, Ordering::SeqCst);
        let mut task = self.0.task.lock().unwrap();
        let ended = task.as_mut().unwrap().as_mut().poll(&mut Context::from_waker(&waker));
        (self.0.woken.load(Ordering::SeqCst) > 0, ended.is_pending())
    }

    /// Runs the task until it sleeps.
    fn settle(&self) {
        let rounds = (0..1_000).take_while(|_| self.run().0).count();
        assert!(rounds < 1_000, "it does not come to rest");
    }

    fn pass(&self, time: Duration) {
        let millis = usize::try_from(time.as_millis()).unwrap();
        self.0.passed.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Runtime for ByHand {
    type Socket = Pipe;
    type Listener = Nobody;
    type Timer = ByHand;

    fn spawn(&self, task: Task) {
        *self.0.task.lock().unwrap() = Some(task);
    }

    async fn unblock<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(work())
    }

    fn now(&self) -> Instant {
        self.0.start + Duration::from_millis(self.0.passed.load(Ordering::SeqCst) as u64)
    }

    fn timer(&self) -> ByHand {
        self.clone()
    }

    fn listen(&self, _: std::net::TcpListener) -> io::Result<Nobody> {
        Ok(Nobody(self.clone()))
    }

    async fn connect(&self, _: SocketAddr) -> io::Result<Pipe> {
        Err(ErrorKind::Unsupported.into())
    }
}

impl Timer for ByHand {
    fn poll_until(&mut self, _: &mut Context<'_>, at: Instant) -> Poll<()> {
        if self.now() >= at { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Nobody connects; but it may take a while until that is known.
struct Nobody(ByHand);

impl Listener for Nobody {
    type Socket = Pipe;

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(Pipe, SocketAddr)>> {
        let failures = &self.0.0.failures;
        match failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Poll::Ready(Err(ErrorKind::Other.into())),
            Err(_) => Poll::Pending,
        }
    }
}

/// A peer that has always more to say, and with which time passes, or not.
struct Endless(Arc<AtomicUsize>, Option<ByHand>);

impl Socket for Endless {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let before = self.0.fetch_add(buffer.len(), Ordering::SeqCst);
        self.1.iter().for_each(|hands| hands.pass(Duration::from_millis(1)));
        buffer.fill(b' ');
        if before == 0 {
            buffer[..HEADER.len()].copy_from_slice(HEADER);
        }
        Ok(buffer.len())
    }

    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(buffers.iter().map(|buffer| buffer.len()).sum())
    }

    fn poll_ready(&mut self, _: &mut Context<'_>, _: Interest) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn try_shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(pipe: &mut Pipe, bytes: &[u8]) {
    assert_eq!(pipe.try_write(&[IoSlice::new(bytes)]).unwrap(), bytes.len());
}

/// All that has come, and whether the end has.
fn read(pipe: &mut Pipe) -> (String, bool) {
    let (mut out, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match pipe.try_read(&mut buffer) {
            Ok(0) => return (String::from_utf8(out).unwrap(), true),
            Ok(count) => out.extend_from_slice(&buffer[..count]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return (String::from_utf8(out).unwrap(), false);
            }
        }
    }
}

// Whoever has much to say waits after 64 KiB until all others had their turn, and the task lets other tasks run.
#[test]
fn turns_are_equal_and_the_task_yields() {
    let hands = ByHand::new();
    let server = hands.serve(|_| {});
    let sent: Vec<_> = (0..100).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    for (index, sent) in sent.iter().enumerate() {
        server.connect(Endless(Arc::clone(sent), None), format!("endless {index}"), Transport::Stream);
    }
    let (mut ours, theirs) = Pipe::pair(10_000);
    let mut theirs = Some(theirs);
    // They come in one after the other.
    hands.run();
    let counts = || -> Vec<usize> { sent.iter().map(|sent| sent.load(Ordering::SeqCst)).collect() };
    let begin = counts();
    for round in 0..20 {
        if round == 10 {
            server.connect(theirs.take().unwrap(), "a pipe", Transport::Stream);
            write(&mut ours, HEADER);
        }
        let before: usize = counts().iter().sum();
        assert_eq!(hands.run(), (true, true), "it wants to go on, but not now");
        let read: Vec<usize> = counts().iter().zip(&begin).map(|(now, begin)| now - begin).collect();
        let (least, most) = (read.iter().min().unwrap(), read.iter().max().unwrap());
        assert!(*most > 0 && most - least <= TURN, "{least} {most}");
        assert!(counts().iter().sum::<usize>() - before <= 8 * 64 * TURN);
    }
    let (answer, _) = read(&mut ours);
    assert!(answer.contains("<stream:features>"), "{answer}");
}

// A task that always has more to do lets its runtime see which other sockets are ready, however few are busy: it does not read on for
// longer than a moment.
#[test]
fn the_task_yields_before_long() {
    let hands = ByHand::new();
    let server = hands.serve(|_| {});
    let sent = Arc::new(AtomicUsize::new(0));
    server.connect(Endless(Arc::clone(&sent), Some(hands.clone())), "endless", Transport::Stream);
    hands.run();
    for _ in 0..20 {
        let before = sent.load(Ordering::SeqCst);
        assert_eq!(hands.run(), (true, true), "it wants to go on, but not now");
        assert!(sent.load(Ordering::SeqCst) - before <= 2 * TURN);
    }
}

// An idle server is not run at all; time wakes it.
#[test]
fn a_server_sleeps_until_something_is_due() {
    let hands = ByHand::new();
    let server = hands.serve(|config| config.limits.negotiation = Duration::from_secs(5));
    hands.settle();
    assert_eq!(hands.run(), (false, true));
    let (mut ours, theirs) = Pipe::pair(10_000);
    server.connect(theirs, "a pipe", Transport::Stream);
    hands.settle();
    write(&mut ours, HEADER);
    assert_eq!(hands.0.woken.load(Ordering::SeqCst), 1, "what is written wakes it, once");
    hands.settle();
    assert!(read(&mut ours).0.contains("<stream:features>"));
    hands.pass(Duration::from_secs(4));
    hands.settle();
    assert_eq!(read(&mut ours), (String::new(), false));
    hands.pass(Duration::from_secs(2));
    hands.settle();
    let (answer, is_over) = read(&mut ours);
    assert!(answer.ends_with("</stream:error></stream:stream>") && is_over, "{answer}");
}

#[test]
fn limits_within_which_no_server_works_are_refused() {
    let hands = ByHand::new();
    let mut config = ServerConfig::new(vec!["localhost".parse().unwrap()], Secret::new([7; 32]));
    config.limits.stall = Duration::ZERO;
    let server = Server::builder_on(hands.clone(), config.clone(), |_, _| {});
    let error = server.listen("127.0.0.1:0".parse().unwrap(), Transport::Stream).unwrap_err();
    let text =
        "the limit `stall` must not be zero: a session would be closed as soon as something waits for it";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, text));
    // One that runs keeps those that it has.
    let server = hands.serve(|_| {});
    let mut reload = Box::pin(server.reload(config));
    let Poll::Ready(Err(error)) = reload.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!()
    };
    assert_eq!(error.to_string(), text);
}

// A system that has no socket for the next connection is asked again, but not all the time; then all is as before.
#[test]
fn a_listener_without_sockets_waits() {
    let hands = ByHand::new();
    hands.0.failures.store(3, Ordering::SeqCst);
    let _server = hands.serve(|_| {});
    for left in [2, 1, 0] {
        hands.settle();
        assert_eq!((hands.run(), hands.0.failures.load(Ordering::SeqCst)), ((false, true), left));
        hands.pass(Duration::from_millis(100));
    }
    hands.settle();
    hands.pass(Duration::from_secs(3600));
    hands.settle();
    assert_eq!(hands.run(), (false, true));
}

// Output that is not taken stops neither the reading nor the end, and nothing of it is lost when it is taken late.
#[test]
fn a_peer_that_takes_little_gets_everything() {
    let hands = ByHand::new();
    let server = hands.serve(|_| {});
    let (mut ours, theirs) = Pipe::pair(7);
    server.connect(theirs, "a pipe", Transport::Stream);
    hands.settle();
    let (mut answer, mut rest) = (String::new(), HEADER);
    for _ in 0..1_000 {
        if let Ok(count) = ours.try_write(&[IoSlice::new(rest)]) {
            rest = &rest[count..];
        }
        hands.settle();
        answer += &read(&mut ours).0;
        if rest.is_empty() {
            break;
        }
    }
    for _ in 0..1_000 {
        hands.settle();
        answer += &read(&mut ours).0;
    }
    assert!(answer.starts_with("<?xml version='1.0'?><stream:stream "), "{answer}");
    assert!(answer.ends_with("</stream:features>"), "{answer}");

    // The last words are written, too, and then the end is said.
    let mut shutdown = Box::pin(server.shutdown());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(shutdown.as_mut().poll(&mut cx).is_pending());
    let (mut words, mut is_over) = (String::new(), false);
    while !is_over {
        hands.settle();
        let (more, end) = read(&mut ours);
        words += &more;
        is_over = end;
    }
    assert!(words.contains("<system-shutdown ") && words.ends_with("</stream:stream>"), "{words}");
    // The peer may still say something; a second later it is gone, and so is the server.
    assert_eq!(hands.run(), (false, true));
    hands.pass(Duration::from_millis(1_100));
    assert!(!hands.run().1);
    assert!(shutdown.as_mut().poll(&mut cx).is_ready());
}

/// A socket that notes how it is written to, and that its end is said.
struct Noting(Pipe, Arc<Mutex<Vec<&'static str>>>);

impl Socket for Noting {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }

    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.1.lock().unwrap().push("words");
        self.0.try_write(buffers)
    }

    fn try_write_last(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.1.lock().unwrap().push("last words");
        self.0.try_write(buffers)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
        self.0.poll_ready(cx, interest)
    }

    fn try_shutdown(&mut self) -> io::Result<()> {
        self.1.lock().unwrap().push("end");
        self.0.try_shutdown()
    }
}

// RFC 6120 §4.4: the closing tag and the end of what is sent can leave together. Whoever ends the stream, and for whatever reason, the system is
// told that nothing comes behind the last words, and of no others: it may hold them back until the end is said.
#[test]
fn the_system_is_told_which_words_are_the_last() {
    let hands = ByHand::new();
    let server = hands.serve(|_| {});
    for said in ["</stream:stream>", "<unknown/></stream:stream>", "<not <well formed"] {
        let noted = Arc::default();
        let (mut ours, theirs) = Pipe::pair(10_000);
        server.connect(Noting(theirs, Arc::clone(&noted)), "a pipe", Transport::Stream);
        write(&mut ours, HEADER);
        hands.settle();
        assert_eq!(*noted.lock().unwrap(), ["words"], "{said}");
        write(&mut ours, said.as_bytes());
        hands.settle();
        assert_eq!(*noted.lock().unwrap(), ["words", "last words", "end"], "{said}");
        let (words, is_over) = read(&mut ours);
        assert!(words.ends_with("</stream:stream>") && is_over, "{words}");
    }
}
