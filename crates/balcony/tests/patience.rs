//! Clients whose owners, servers and networks take their time, on a clock that does not wait for anybody.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use balcony::prelude::*;
use balcony::runtime::{ClientConfig, ConnectedClient, Interest, Pipe, Socket};
use balcony::server::{MemoryAccounts, ServerBuilder, ServerHandle, Transport};
use balcony::stream::client::Management;
use balcony::{ClientBuilder, Context, DefaultRuntime, Disconnected, Extension, Secret, TlsPolicy};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
/// Of this clock: a test that hangs is over soon.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Runs it on a clock that jumps to when something is due as soon as nothing else is to be done.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(async { timeout(PATIENCE, test).await.expect("too slow") });
}

fn serve() -> ServerHandle {
    let accounts = MemoryAccounts::new().with("romeo@localhost", "r").unwrap();
    let accounts = accounts.with("juliet@localhost", "j").unwrap();
    let server = ServerBuilder::on(DefaultRuntime::default(), "localhost").accounts(accounts);
    let server = server.configure(|config| (config.iq_needs_presence, config.tell_strangers) = (false, true));
    server.dangerous_without_tls().start().unwrap()
}

fn builder(name: &str) -> ClientBuilder {
    ClientBuilder::on(DefaultRuntime::default(), format!("{name}@localhost/x"))
        .password(&name[..1])
        .dangerous_without_tls()
}

/// A network between a client and its server.
#[derive(Clone, Default)]
struct Network {
    is_silent: Arc<AtomicBool>,
}

impl Network {
    fn is_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// A client's end of a connection to the server.
    fn connect(&self, server: &ServerHandle) -> Pipe {
        let (ours, near) = Pipe::pair(65_536);
        let (far, theirs) = Pipe::pair(65_536);
        server.connect(theirs, "a network", Transport::Stream);
        let this = self.clone();
        tokio::spawn(async move {
            let (mut near, mut far) = (near, far);
            let (mut up, mut down) = (Vec::new(), Vec::new());
            let mut pause = 1;
            loop {
                let mut has_passed = false;
                if !this.is_silent.load(Ordering::SeqCst) {
                    let (up, down) =
                        (pass(&mut near, &mut far, &mut up), pass(&mut far, &mut near, &mut down));
                    let (Some(up), Some(down)) = (up, down) else { return };
                    has_passed = up || down;
                }
                pause = if has_passed { 1 } else { (pause * 2).min(100) };
                sleep(Duration::from_millis(pause)).await;
            }
        });
        ours
    }
}

/// A server that reads no more when it is told to, and a second later asks so many times what has come, and closes its stream in good order. The
/// connection does not end.
fn wedged(server: &ServerHandle, asks: usize) -> (Pipe, Arc<AtomicBool>) {
    let (ours, mut near) = Pipe::pair(4_096);
    let (mut far, theirs) = Pipe::pair(65_536);
    server.connect(theirs, "a network", Transport::Stream);
    let is_wedged = Arc::new(AtomicBool::new(false));
    let wedges = Arc::clone(&is_wedged);
    tokio::spawn(async move {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        while !wedges.load(Ordering::SeqCst) {
            let _ = pass(&mut near, &mut far, &mut up);
            let _ = pass(&mut far, &mut near, &mut down);
            sleep(Duration::from_millis(1)).await;
        }
        sleep(SECOND).await;
        let words = ["<r xmlns='urn:xmpp:sm:3'/>".repeat(asks).as_str(), "</stream:stream>"].concat();
        let mut words = words.as_bytes();
        while !words.is_empty() {
            words = &words[near.try_write(&[IoSlice::new(words)]).unwrap_or(0)..];
            sleep(Duration::from_millis(1)).await;
        }
        sleep(PATIENCE).await;
    });
    (ours, is_wedged)
}

// RFC 6120 §4.4: a stream that is closed is over, whether the server takes what was to be written or not: what is being sent when it is closed,
// and what is sent behind answers that fill the socket.
#[test]
fn a_closed_stream_is_over_though_nothing_can_be_written() {
    for (asks, begin) in [(0, 0), (500, 2)] {
        run(async move {
            let server = serve();
            let (socket, is_wedged) = wedged(&server, asks);
            let mut romeo = builder("romeo").over(socket).await.unwrap();
            assert!(matches!(romeo.next().await, Ok(Some(Event::Online(_)))));
            // By then the server counts.
            sleep(SECOND).await;
            is_wedged.store(true, Ordering::SeqCst);
            let sender = romeo.sender();
            tokio::spawn(async move {
                sleep(begin * SECOND).await;
                for number in 0..200 {
                    let _ = sender.send(to_juliet(&format!("{number}{}", " ".repeat(100)))).await;
                }
            });
            let offline = timeout(60 * SECOND, async {
                loop {
                    if let Some(Event::Offline { why, .. }) = romeo.next().await.unwrap() {
                        return why;
                    }
                }
            });
            assert_eq!(*offline.await.expect("it takes the stream for open"), Disconnected::ByServer);
        });
    }
}

// What the last words of a connection have left in it has not been written, and nobody is told that it has.
#[test]
fn what_has_not_left_when_the_stream_ends_was_not_sent() {
    run(async {
        let server = serve();
        let (socket, is_wedged) = wedged(&server, 0);
        let mut config = ClientConfig::new("romeo@localhost".parse().unwrap(), Secret::new("r".into()));
        config.stream.tls = TlsPolicy::None;
        config.stream.management = Management::Off;
        let mut romeo = ConnectedClient::over(DefaultRuntime::default(), socket, config).await.unwrap();
        is_wedged.store(true, Ordering::SeqCst);
        let queued = romeo.queue(&to_juliet(&" ".repeat(100_000)).into()).await.unwrap();
        assert!(romeo.next().await.unwrap().is_none(), "the server closes the stream");
        assert!(romeo.written(queued).await.is_err());
    });
}

// RFC 6120 §4.9.3.3: whoever has lost its resource to another client hears it, though it was just about to send something.
#[test]
fn what_has_come_is_read_before_a_broken_connection_is_given_up() {
    run(async {
        let server = serve();
        let (socket, mut near) = Pipe::pair(65_536);
        let (mut far, theirs) = Pipe::pair(65_536);
        server.connect(theirs, "a network", Transport::Stream);
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let carried = async {
            loop {
                let _ = pass(&mut near, &mut far, &mut up);
                let _ = pass(&mut far, &mut near, &mut down);
                sleep(Duration::from_millis(1)).await;
            }
        };
        let mut romeo = tokio::select! {
            romeo = builder("romeo").over(socket) => romeo.unwrap(),
            () = carried => unreachable!(),
        };
        let error = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        near.try_write(&[IoSlice::new(error.as_bytes()), IoSlice::new(b"</stream:stream>")]).unwrap();
        drop(near);
        let _ = romeo.send(to_juliet("farewell")).await;
        let why = loop {
            if let Some(Event::Offline { why, .. }) = romeo.next().await.unwrap() {
                break why;
            }
        };
        assert!(why.is_permanent(), "{why}");
    });
}

/// Takes away what a server acknowledges with its closing tag; many do not do that.
fn without_last_ack(held: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(held).into_owned();
    if let Some((before, after)) = text.split_once("</stream:stream>")
        && let Some(at) = before.rfind("<a xmlns='urn:xmpp:sm:3'")
        && before[at..].ends_with("'/>")
        && !before[at + 1..].contains('<')
    {
        *held = [&before[..at], "</stream:stream>", after].concat().into_bytes();
    }
}

/// Passes on what there is, and says whether there was something; `None`: it is the end.
fn pass(from: &mut Pipe, to: &mut Pipe, held: &mut Vec<u8>) -> Option<bool> {
    let mut buffer = [0; 65_536];
    if held.is_empty() {
        match from.try_read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => {
                held.extend_from_slice(&buffer[..count]);
                without_last_ack(held);
            }
            Err(error) => return (error.kind() == ErrorKind::WouldBlock).then_some(false),
        }
    }
    match to.try_write(&[IoSlice::new(held)]) {
        Ok(count) => drop(held.drain(..count)),
        Err(error) => return (error.kind() == ErrorKind::WouldBlock).then_some(false),
    }
    Some(true)
}

async fn online(builder: ClientBuilder, network: &Network, server: &ServerHandle) -> Client {
    let mut client = builder.over(network.connect(server)).await.unwrap();
    assert!(matches!(client.next().await, Ok(Some(Event::Online(_)))));
    client
}

async fn message(client: &mut Client) -> String {
    loop {
        match client.next().await.unwrap().expect("the client has been closed") {
            Event::Message(message) => return message.body().unwrap().to_owned(),
            Event::Presence(_) | Event::Note(_) => {}
            event => panic!("no message: {event:?}"),
        }
    }
}

fn to_juliet(text: &str) -> balcony::MessageBuilder {
    Message::chat("juliet@localhost/x".parse().unwrap()).body(text)
}

// XEP-0198 §4: an owner who takes nothing keeps its connection. What its server asks is behind what is not read, and is answered all the same.
#[test]
fn an_owner_who_takes_nothing_keeps_the_connection() {
    run(async {
        let (server, network) = (serve(), Network::default());
        let romeo = online(builder("romeo"), &network, &server).await;
        let mut juliet = online(builder("juliet"), &network, &server).await;
        for number in 0..5_000 {
            romeo.send(to_juliet(&number.to_string())).await.unwrap();
        }
        // A server has patience for five minutes with somebody who does not read on.
        sleep(280 * SECOND).await;
        let stats = server.stats().await;
        assert_eq!((stats.connections, stats.sessions), (2, 2));
        for number in 0..5_000 {
            assert_eq!(message(&mut juliet).await, number.to_string());
        }
        // One that is only behind with its events, and not with its network, has any time.
        for number in 0..1_500 {
            romeo.send(to_juliet(&number.to_string())).await.unwrap();
        }
        sleep(2_000 * SECOND).await;
        assert_eq!(server.stats().await.connections, 2);
        for number in 0..1_500 {
            assert_eq!(message(&mut juliet).await, number.to_string());
        }
    });
}

// XEP-0198 §4: the end waits until the server has taken responsibility for what was said before.
#[test]
fn the_end_waits_for_acknowledgements() {
    run(async {
        let (server, network, slow) = (serve(), Network::default(), Network::default());
        let romeo = online(builder("romeo"), &slow, &server).await;
        let mut juliet = online(builder("juliet"), &network, &server).await;
        slow.is_silent(true);
        for number in 0..20 {
            romeo.send(to_juliet(&number.to_string())).await.unwrap();
        }
        let start = Instant::now();
        let awakes = async {
            sleep(3 * SECOND).await;
            slow.is_silent(false);
        };
        let (closed, ()) = futures_lite::future::zip(romeo.close(), awakes).await;
        assert_eq!(closed, Ok(()));
        assert!((3 * SECOND..5 * SECOND).contains(&start.elapsed()));
        for number in 0..20 {
            assert_eq!(message(&mut juliet).await, number.to_string());
        }
    });
}

// And says what may not have arrived, in its order, if it has waited in vain, or can't.
#[test]
fn the_end_says_what_may_not_have_arrived() {
    run(async {
        let (server, network) = (serve(), Network::default());
        let romeo = online(builder("romeo"), &network, &server).await;
        let sender = romeo.sender();
        network.is_silent(true);
        for number in 0..3 {
            sender.send(to_juliet("x").id(number.to_string())).await.unwrap();
        }
        sender.send(Presence::available().show(Show::Away)).await.unwrap();
        // More than the network takes: some of it waits in the outbox.
        let flood = to_juliet(&"x".repeat(200_000)).id("large");
        let waits = tokio::spawn({
            let sender = sender.clone();
            async move { sender.send(flood).await }
        });
        let behind = tokio::spawn({
            let sender = sender.clone();
            async move { sender.send(to_juliet("x").id("behind")).await }
        });
        sleep(SECOND).await;
        let start = Instant::now();
        let Err(Error::Unsent(unsent)) = romeo.close().await else { panic!("it has arrived") };
        assert!((4 * SECOND..6 * SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
        let ids: Vec<_> = unsent.iter().map(|stanza| stanza.head.id.as_deref().unwrap()).collect();
        assert_eq!(ids, ["0", "1", "2", "large", "behind"]);
        assert_eq!(sender.take_unsent(), [], "once");
        // Nobody waits for ever.
        let _ = (waits.await.unwrap(), behind.await.unwrap());

        // One that has never been online.
        let romeo = builder("romeo").connect("127.0.0.1:1").start_in_background().unwrap();
        romeo.send(to_juliet("x").id("a")).await.unwrap();
        romeo.send(Presence::available()).await.unwrap();
        let closed = romeo.close().await;
        assert!(matches!(&closed, Err(Error::Unsent(unsent)) if unsent.len() == 1), "{closed:?}");
        assert!(closed.unwrap_err().to_string().contains("1 of its stanzas may not have arrived"));

        // One whose connection has ended for another reason says that, and this when it is asked.
        let (server, network) = (serve(), Network::default());
        let mut romeo = online(builder("romeo"), &network, &server).await;
        network.is_silent(true);
        romeo.send(to_juliet("x").id("b")).await.unwrap();
        drop(server);
        let end = loop {
            match romeo.next().await {
                Ok(event) => assert!(event.is_some()),
                Err(error) => break error,
            }
        };
        assert!(matches!(end, Error::Ended(_)));
        let unsent = romeo.sender().take_unsent();
        assert_eq!(unsent[0].head.id.as_deref(), Some("b"));
        assert_eq!(romeo.close().await, Err(end));
    });
}

// What has come and was acknowledged is told, however the connection ends.
#[test]
fn what_was_acknowledged_is_told_after_the_end() {
    run(async {
        let (server, network) = (serve(), Network::default());
        let romeo = online(builder("romeo"), &network, &server).await;
        let mut juliet = online(builder("juliet"), &network, &server).await;
        for number in 0..1_500 {
            romeo.send(to_juliet(&number.to_string())).await.unwrap();
        }
        sleep(20 * SECOND).await;
        server.shutdown().await;
        sleep(20 * SECOND).await;
        let mut next = 0;
        let end = loop {
            match juliet.next().await {
                Ok(Some(Event::Message(message))) => {
                    assert_eq!(message.body(), Some(&*next.to_string()));
                    next += 1;
                }
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        assert!(matches!(end, Err(Error::Ended(_))), "{end:?}");
        assert_eq!(next, 1_500);
    });
}

// A link that is dead since the device slept is seen within a second; one that lives is left alone.
#[test]
fn waking_up_probes_the_link() {
    run(async {
        let (server, network) = (serve(), Network::default());
        let mut romeo = online(builder("romeo"), &network, &server).await;
        romeo.wake();
        while let Ok(event) = timeout(5 * SECOND, romeo.next()).await {
            assert!(matches!(event, Ok(Some(Event::Presence(_)))), "it lives: {event:?}");
        }
        network.is_silent(true);
        let start = Instant::now();
        romeo.wake();
        let Ok(Some(Event::Offline { why, .. })) = romeo.next().await else { panic!("it lives") };
        assert!(matches!(&*why, Disconnected::Lost(_)), "{why}");
        assert!(start.elapsed() < 2 * SECOND, "{:?}", start.elapsed());
    });
}

/// Takes so many bytes more, and is broken then.
struct Breaks(Pipe, Arc<AtomicUsize>);

impl Socket for Breaks {
    fn try_read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.try_read(buffer)
    }

    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> std::io::Result<usize> {
        let room = self.1.load(Ordering::SeqCst);
        let bytes = &buffers[0][..buffers[0].len().min(room)];
        if bytes.is_empty() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = self.0.try_write(&[IoSlice::new(bytes)])?;
        self.1.fetch_sub(count, Ordering::SeqCst);
        Ok(count)
    }

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
        interest: Interest,
    ) -> Poll<std::io::Result<()>> {
        self.0.poll_ready(cx, interest)
    }

    fn try_shutdown(&mut self) -> std::io::Result<()> {
        self.0.try_shutdown()
    }
}

// Where nothing is counted, a stanza that has left whole is no error, whatever becomes of what was to follow it: sent to another session it
// would be there twice. One that has not left whole was not sent.
#[test]
fn a_stanza_that_has_left_is_not_sent_again() {
    run(async {
        let server = serve();
        let (ours, theirs) = Pipe::pair(65_536);
        server.connect(theirs, "a pipe", Transport::Stream);
        let mut config = balcony_client::ClientConfig::new(
            "romeo@localhost".parse().unwrap(),
            balcony::Secret::new("r".into()),
        );
        config.stream.tls = balcony::TlsPolicy::None;
        config.stream.management = balcony_stream::client::Management::Off;
        let room = Arc::new(AtomicUsize::new(usize::MAX));
        let socket = Breaks(ours, Arc::clone(&room));
        let mut client =
            balcony::runtime::ConnectedClient::over(DefaultRuntime::default(), socket, config).await.unwrap();
        let (first, second) = (to_juliet("1").to_stanza(), to_juliet("2").to_stanza());
        let mut bytes = Vec::new();
        first.write(&mut bytes);
        second.write(&mut bytes);
        room.store(bytes.len() - 1, Ordering::SeqCst);
        let queued = (client.queue(&first).await.unwrap(), client.queue(&second).await.unwrap());
        assert_eq!(client.written(queued.0).await, Ok(()));
        assert!(client.written(queued.1).await.is_err());
    });
}

/// Asks twice, and takes no answer well.
struct Fragile;

impl Extension for Fragile {
    fn online(&mut self, context: &mut Context<'_>) {
        let ping = || Iq::get(balcony::xep::ping::Ping.to_element());
        context.request(ping()).unwrap();
        context.request(ping().to("juliet@localhost/x".parse().unwrap())).unwrap();
    }

    fn answered(
        &mut self,
        _: &mut Context<'_>,
        _: balcony_client::RequestId,
        outcome: Result<balcony_client::Response, RequestError>,
    ) {
        panic!("{outcome:?}");
    }
}

// An extension that panics takes its client with it and nobody else, though it panics once more when it is told of the end; whoever waits for
// that client is told.
#[test]
fn an_extension_that_panics_again_and_again_ends_its_client_alone() {
    run(async {
        let (server, network) = (serve(), Network::default());
        let mut juliet = online(builder("juliet"), &network, &server).await;
        let mut romeo = builder("romeo").with(Fragile).over(network.connect(&server)).await.unwrap();
        let sender = romeo.sender();
        let asked = tokio::spawn(async move {
            let mood = Element::new(Name::from_static("mood"), "urn:mood");
            sender.request(Iq::get(mood).to("juliet@localhost/x".parse().unwrap())).await
        });
        while let Ok(Some(_)) = romeo.next().await {}
        assert!(asked.await.unwrap().is_err());
        assert!(romeo.close().await.is_ok());
        juliet.send(Message::chat("juliet@localhost/x".parse().unwrap()).body("still here")).await.unwrap();
        loop {
            if let Event::Message(message) = juliet.next().await.unwrap().unwrap() {
                break assert_eq!(message.body(), Some("still here"));
            }
        }
    });
}

/// Counts what it is shown.
struct Counter(Arc<AtomicUsize>);

impl Extension for Counter {
    fn take(&mut self, _: &mut Context<'_>, _: &Stanza) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        false
    }
}

// However much there is to be read, other tasks of the same thread have their turn.
#[test]
fn a_flood_leaves_room_for_other_tasks() {
    // The server has a thread of its own, so that it does not give way for the client.
    let (ours, theirs) = Pipe::pair(4 << 20);
    let (ready, filled) = std::sync::mpsc::channel();
    let (online_at, is_online) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        balcony::block_on(async move {
            let server = serve();
            server.connect(theirs, "a pipe", Transport::Stream);
            let _ = is_online.await;
            let juliet = online(builder("juliet"), &Network::default(), &server).await;
            for _ in 0..900 {
                juliet.send(Message::chat("romeo@localhost/x".parse().unwrap()).body("x")).await.unwrap();
            }
            juliet.close().await.unwrap();
            ready.send(()).unwrap();
            sleep(SECOND).await;
        });
    });
    balcony::block_on(async {
        let count = Arc::new(AtomicUsize::new(0));
        let romeo = builder("romeo").with(Counter(Arc::clone(&count))).over(ours).await.unwrap();
        online_at.send(()).unwrap();
        // Nothing is read until all of it is there.
        filled.recv().unwrap();
        let other = tokio::spawn(async move {
            let (mut last, mut most) = (count.load(Ordering::SeqCst), 0);
            while last < 900 {
                // Behind all others, and not when they have nothing more to do.
                let mut is_again = false;
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    if core::mem::replace(&mut is_again, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                let now = count.load(Ordering::SeqCst);
                (last, most) = (now, most.max(now - last));
            }
            most
        });
        let most = other.await.unwrap();
        assert!(most <= 100, "{most} in one go");
        drop(romeo);
    });
    thread.join().unwrap();
}
