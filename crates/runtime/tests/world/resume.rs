//! Clients that lose their connection and go on with their session on another one (XEP-0198).

use core::task::{Context, Poll};
use std::io::{ErrorKind, IoSlice};

use balcony_client::{RequestKind, RequestOutcome};
use balcony_runtime::{Interest, Pipe, Socket, Transport};
use balcony_stanza::{StreamCondition, StreamError};

use super::relay::Relay;
use super::rough::connections;
use super::*;

const PHONE: &str = "romeo@localhost/phone";
const LAPTOP: &str = "juliet@localhost/laptop";

/// A phone behind a network, and a laptop that is available.
pub(super) async fn phone_and_laptop(
    change: impl FnOnce(&mut ServerConfig),
) -> (World, Relay, ConnectedClient, ConnectedClient) {
    let world = World::with(change, 100).await;
    let relay = Relay::to(world.ports[0]);
    let endpoint = Endpoint::Address { host: "localhost".into(), port: relay.port, direct_tls: false };
    let mut phone = soon(runtime::connect(world.account(PHONE), endpoint)).await.unwrap();
    // There is nothing to go on with before the server has said so, which it has when it answers.
    let server: Jid = "localhost".parse().unwrap();
    let outcome = soon(phone.request(RequestKind::Get, Some(server), ping(), PATIENCE)).await;
    assert!(matches!(outcome, Ok(RequestOutcome::Result(_))), "{outcome:?}");
    let laptop = world.online(LAPTOP, 0).await;
    (world, relay, phone, laptop)
}

/// Up to the end of the connection.
pub(super) async fn lost(client: &mut ConnectedClient) {
    while let Some(event) = soon(client.next()).await.ok().flatten() {
        assert!(!matches!(event, MachineEvent::Stanza(_)), "{event:?}");
    }
}

// [SM13] [SM14] [SM18]: what was sent on either side meanwhile arrives once, in order.
pub(crate) async fn a_session_goes_on_after_each_cut() {
    let (world, relay, mut phone, mut laptop) = phone_and_laptop(|_| {}).await;
    for round in 0..5 {
        // Sent when the network is already gone, without anybody's knowing.
        relay.cut();
        let from_phone = soon(phone.send(&chat(LAPTOP, &format!("{round} up")))).await;
        soon(laptop.send(&chat(PHONE, &format!("{round} down")))).await.unwrap();
        lost(&mut phone).await;
        assert!(soon(phone.reconnect()).await.unwrap(), "round {round}");
        assert_eq!(phone.jid().as_str(), PHONE);
        // Sent again when that returns, whatever is awaited next.
        if from_phone.is_ok() {
            assert_eq!(body(&message(&mut laptop).await), format!("{round} up"));
        }
        assert_eq!(body(&message(&mut phone).await), format!("{round} down"));
        soon(phone.send(&chat(LAPTOP, &format!("{round} again")))).await.unwrap();
        assert_eq!(body(&message(&mut laptop).await), format!("{round} again"));
    }
    let stats = soon(world.server.stats()).await;
    assert_eq!((stats.connections, stats.sessions), (2, 2));
}

// [SM15]: where the session can't go on there is a new one, at the same address.
pub(crate) async fn without_resumption_a_session_begins_anew() {
    let (_world, relay, mut phone, mut laptop) =
        phone_and_laptop(|config| config.limits.resumption = Duration::ZERO).await;
    relay.cut();
    lost(&mut phone).await;
    assert!(!soon(phone.reconnect()).await.unwrap());
    assert_eq!(phone.jid().as_str(), PHONE);
    soon(laptop.send(&chat(PHONE, "anew"))).await.unwrap();
    assert_eq!(body(&message(&mut phone).await), "anew");
}

// While nobody is there to connect to, trying changes nothing.
pub(crate) async fn a_session_outlasts_attempts_that_fail() {
    let (world, relay, mut phone, mut laptop) = phone_and_laptop(|_| {}).await;
    relay.cut();
    lost(&mut phone).await;
    for _ in 0..3 {
        let (ours, theirs) = Pipe::pair(1_000);
        drop(theirs);
        assert!(soon(phone.reconnect_over(ours)).await.is_err());
    }
    soon(laptop.send(&chat(PHONE, "patience"))).await.unwrap();
    // On whatever carries bytes.
    let (ours, theirs) = Pipe::pair(1_000);
    world.server.connect(theirs, "a pipe", Transport::Stream);
    assert!(soon(phone.reconnect_over(ours)).await.unwrap());
    assert_eq!(body(&message(&mut phone).await), "patience");
}

/// A socket that fails when so much has been written.
struct Breaks {
    socket: Pipe,
    writes: usize,
}

impl Socket for Breaks {
    fn try_read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.socket.try_read(buffer)
    }

    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> std::io::Result<usize> {
        let Some(left) = self.writes.checked_sub(1) else { return Err(ErrorKind::BrokenPipe.into()) };
        let count = self.socket.try_write(buffers)?;
        self.writes = left;
        Ok(count)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<std::io::Result<()>> {
        self.socket.poll_ready(cx, interest)
    }

    fn try_shutdown(&mut self) -> std::io::Result<()> {
        self.socket.try_shutdown()
    }
}

// [SM15]: wherever an attempt breaks off that has begun a new session, the next one does not take that for the session that was told of.
pub(crate) async fn a_session_that_nobody_was_told_of_is_told_as_new() {
    let world = World::with(|_| {}, 100).await;
    let pipe = || {
        let (ours, theirs) = Pipe::pair(500);
        world.server.connect(theirs, "a pipe", Transport::Stream);
        ours
    };
    let server: Jid = "localhost".parse().unwrap();
    let config = world.account("romeo@localhost");
    let mut phone = soon(ConnectedClient::over(Default::default(), pipe(), config)).await.unwrap();
    for writes in 0.. {
        soon(phone.request(RequestKind::Get, Some(server.clone()), ping(), PATIENCE)).await.unwrap();
        let old = phone.jid().clone();
        let error = StreamError::new(StreamCondition::PolicyViolation, "go");
        assert!(soon(world.server.disconnect(old.clone(), error)).await);
        // There is something to be sent again.
        let _ = soon(phone.send(&chat(LAPTOP, &"x".repeat(2_000)))).await;
        while let Ok(Some(_)) = soon(phone.next()).await {}
        let first = soon(phone.reconnect_over(Breaks { socket: pipe(), writes })).await;
        let is_over = first.is_ok();
        let goes_on = match first {
            Ok(goes_on) => goes_on,
            Err(_) => soon(phone.reconnect_over(pipe())).await.unwrap(),
        };
        assert!(!goes_on && *phone.jid() != old, "after {writes} writes");
        if is_over {
            return;
        }
    }
}

// [SM17]: the network falls silent, and the device wakes up: a second later it knows, and goes on elsewhere.
pub(crate) async fn a_device_that_wakes_up_looks_at_once() {
    let (world, relay, mut phone, mut laptop) = phone_and_laptop(|_| {}).await;
    // As long as all is well nothing comes of it.
    phone.wake();
    let nothing = runtime::timeout(Duration::from_millis(1_500), phone.next()).await;
    assert!(nothing.is_none(), "{nothing:?}");
    relay.is_silent(true);
    soon(laptop.send(&chat(PHONE, "art thou there?"))).await.unwrap();
    phone.wake();
    lost(&mut phone).await;
    relay.is_silent(false);
    assert!(soon(phone.reconnect()).await.unwrap());
    assert_eq!(body(&message(&mut phone).await), "art thou there?");
    // The old connection is closed as soon as the session goes on elsewhere.
    connections(&world, 2).await;
}

// [SM14] [SM21]: what `send` has taken is sent again by the session; what it has refused it has not, so that whoever sends that again does
// not send it twice.
pub(crate) async fn what_is_sent_into_a_broken_connection_arrives_once() {
    let (_world, relay, mut phone, mut laptop) = phone_and_laptop(|_| {}).await;
    let mut number = 0;
    for _ in 0..5 {
        relay.cut();
        let mut refused = Vec::new();
        for _ in 0..10 {
            number += 1;
            let stanza = chat(LAPTOP, &number.to_string());
            if soon(phone.send(&stanza)).await.is_err() {
                refused.push(stanza);
            }
        }
        assert!(soon(phone.reconnect()).await.unwrap());
        for stanza in refused {
            soon(phone.send(&stanza)).await.unwrap();
        }
    }
    for expected in 1..=number {
        assert_eq!(body(&message(&mut laptop).await), expected.to_string());
    }
}

// RFC 6121 §4: who was there when a session ended says nothing of another one; what people have said is not lost.
pub(crate) async fn presence_of_an_old_session_is_not_told_in_a_new_one() {
    for resumption in [Duration::from_secs(60), Duration::ZERO] {
        let (_world, relay, mut phone, mut laptop) =
            phone_and_laptop(|config| config.limits.resumption = resumption).await;
        let seen = Stanza::presence(PresenceType::Available).with_to(PHONE.parse().unwrap()).with_id("seen");
        soon(laptop.send(&seen)).await.unwrap();
        soon(laptop.send(&chat(PHONE, "kept"))).await.unwrap();
        soon(laptop.request(RequestKind::Get, Some("localhost".parse().unwrap()), ping(), PATIENCE))
            .await
            .unwrap();
        // They are strangers, so what one says comes to the other when the answer is written; on several threads nobody can tell when.
        runtime::sleep(Duration::from_millis(500)).await;
        // While it waits for this it keeps them for later.
        let outcome =
            soon(phone.request(RequestKind::Get, Some("localhost".parse().unwrap()), ping(), PATIENCE)).await;
        assert!(matches!(outcome, Ok(RequestOutcome::Result(_))), "{outcome:?}");
        relay.cut();
        let goes_on = soon(phone.reconnect()).await.unwrap();
        assert_eq!(goes_on, resumption > Duration::ZERO);
        let mut told = Vec::new();
        loop {
            let Some(MachineEvent::Stanza(stanza)) = soon(phone.next()).await.unwrap() else { continue };
            if stanza.head.kind.name() == "message" {
                assert_eq!(body(&stanza), "kept");
                break;
            }
            told.extend(stanza.head.id);
        }
        assert_eq!(told.iter().any(|id| &**id == "seen"), goes_on);
    }
}
