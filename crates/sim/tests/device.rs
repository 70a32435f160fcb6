//! A client as one value for a loop of its owner's own, in front of a whole server: it comes online, answers, goes on when its line was cut,
//! and ends.
#![allow(clippy::unwrap_used, reason = "tests")]

use core::time::Duration;

use balcony_client::{
    AgentConfig, AgentEvent, ClientConfig, Completion, Device, DeviceStep, Discovery, Iq, Message, Presence,
    answer,
};
use balcony_machine::{Secret, Seed};
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, MessageType, Stanza};
use balcony_stream::TlsPolicy;

const LAMP: &str = "juliet@example.com/lamp";

/// A device and its server, and what the device has told.
struct Wall {
    world: World,
    device: Device<(Discovery,)>,
    line: Option<Peer>,
    /// How much of what the server has written the device has read.
    read: usize,
    told: Vec<String>,
}

impl Wall {
    fn new(password: &str) -> Wall {
        Wall::with(password, true, 7)
    }

    /// Whether sessions outlive their connections is up to the server.
    fn with(password: &str, stream_management: bool, seed: u64) -> Wall {
        let accounts =
            Accounts::new().with("juliet@example.com", "pencil").with("romeo@example.com", "crayon");
        let world = World::new(accounts, Chunks::Whole, 1, |config| {
            config.stream_management = stream_management;
        });
        let account = "juliet@example.com".parse().unwrap();
        let mut config = ClientConfig::new(account, Secret::new(password.into()));
        config.stream.tls = TlsPolicy::None;
        config.stream.resource = Some("lamp".into());
        let mut agent = AgentConfig::patient();
        agent.presence = Some(Presence::available().priority(5));
        let device = Device::new(config, agent, (Discovery::new("Lamp", "1.0"),), &Seed::from_u64(seed));
        Wall { world, device, line: None, read: 0, told: Vec::new() }
    }

    /// Goes on until nothing happens without time.
    fn run(&mut self) {
        loop {
            match self.device.step(self.world.now) {
                DeviceStep::Connect => {
                    (self.line, self.read) = (Some(self.world.raw()), 0);
                    self.device.connected(self.world.now);
                }
                DeviceStep::Event(event) => self.told.push(match event {
                    AgentEvent::Online(jid) => format!("online as {jid}"),
                    AgentEvent::Resumed => "resumed".into(),
                    AgentEvent::Offline { next, .. } => format!("offline, again: {}", next.is_some()),
                    AgentEvent::Message(message) => {
                        self.device.agent().send(message.reply().body("light").to_stanza()).unwrap();
                        format!("message {}", message.body().unwrap_or_default())
                    }
                    AgentEvent::Presence(_) => continue,
                    event => format!("{event:?}"),
                }),
                DeviceStep::Completed(_, Completion::Response(response)) => {
                    self.told.push(format!("answered: {}", response.is_ok()));
                }
                DeviceStep::Completed(..) | DeviceStep::StartTls => panic!("nobody asked for that"),
                DeviceStep::Ask(ticket, ask) => self.device.answer(ticket, answer(ask)),
                DeviceStep::Disconnect => {
                    self.write();
                    let line = self.line.take().unwrap();
                    if !self.world.is_closed(line) {
                        self.world.hang_up(line);
                        self.world.run();
                    }
                }
                DeviceStep::Ended(why) => {
                    if self.told.last().is_none_or(|last| !last.starts_with("ended")) {
                        self.told.push(format!("ended: {why}"));
                    }
                    return;
                }
                DeviceStep::Wait => {
                    let due = self.device.deadline();
                    assert!(
                        due.is_none_or(|due| due > self.world.now),
                        "{due:?} is due at {:?}",
                        self.world.now
                    );
                    self.write();
                    let Some(line) = self.line else { return };
                    let new = &self.world.received(line)[self.read..];
                    let new = &new[..new.len().min(self.device.room())];
                    // No bytes would be the end of the line.
                    if new.is_empty() {
                        return;
                    }
                    self.device.received(new);
                    self.read += new.len();
                }
            }
        }
    }

    fn write(&mut self) {
        let Some(line) = self.line else { return };
        let output = self.device.output().to_vec();
        self.world.write(line, &output);
        self.device.wrote(output.len());
        self.world.run();
    }

    fn cut(&mut self) {
        self.world.cut(self.line.take().unwrap());
        self.device.broken(self.world.now, "the line is cut");
    }

    /// So many seconds pass for both.
    fn wait(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.world.wait(Duration::from_secs(1));
            self.run();
        }
    }

    fn take(&mut self) -> Vec<String> {
        core::mem::take(&mut self.told)
    }
}

fn light(romeo: Peer, wall: &mut Wall, body: &str) {
    wall.world.send(romeo, &Message::chat(LAMP.parse().unwrap()).body(body).to_stanza());
    wall.world.run();
}

/// How many messages have come to him since he was asked last.
fn messages(romeo: Peer, wall: &mut Wall) -> usize {
    let stanzas = wall.world.take_stanzas(romeo);
    stanzas.iter().filter(|stanza| matches!(stanza.head.kind, Kind::Message(_))).count()
}

// RFC 6120 §3.3, XEP-0198 §5
#[test]
fn a_device_goes_on_when_its_line_was_cut() {
    let mut wall = Wall::new("pencil");
    wall.run();
    assert_eq!(wall.take(), [format!("online as {LAMP}")]);
    let romeo = wall.world.online("romeo@example.com/garden", "crayon", 0);
    light(romeo, &mut wall, "But soft");
    wall.run();
    assert_eq!(wall.take(), ["message But soft"]);
    assert_eq!(messages(romeo, &mut wall), 1, "the answer");

    // What is said while the line is cut comes when it is back, in the same session.
    let now = wall.world.now;
    let ping = || Iq::get(balcony_xep::ping::Ping.to_element());
    wall.device.agent().request(now, ping()).unwrap();
    wall.cut();
    wall.run();
    light(romeo, &mut wall, "what light");
    wall.device.unreachable(wall.world.now, "nobody is there");
    wall.wait(20);
    let told = wall.take();
    assert_eq!(told[0], "offline, again: true");
    assert!(told.contains(&"resumed".into()) && told.contains(&"message what light".into()), "{told:?}");
    assert!(told.contains(&"answered: true".into()), "{told:?}");
    assert!(!told.iter().any(|told| told.starts_with("online as")), "{told:?}");
    assert_eq!(messages(romeo, &mut wall), 1, "the answer, once");

    // It says goodbye, and all that waits.
    let words = Stanza::message(MessageType::Chat).with_to("romeo@example.com/garden".parse().unwrap());
    wall.device.agent().send(words).unwrap();
    wall.device.close(wall.world.now);
    wall.run();
    wall.run();
    assert_eq!(messages(romeo, &mut wall), 1, "what waited");
    let told = wall.take();
    assert_eq!(told[0], "offline, again: false");
    assert!(told[1].starts_with("ended: ") && told.len() == 2, "{told:?}");
    assert!(wall.device.agent().take_unsent().is_empty());
    assert_eq!(wall.world.server.router().counts().sessions, 1);
}

// A device that may not log in says so, and tries again: without TLS nobody has proven that it is the server that says no.
#[test]
fn a_device_that_is_refused_waits() {
    let mut wall = Wall::new("wrong");
    wall.run();
    let (told, now) = (wall.take(), wall.world.now);
    assert_eq!(told, ["offline, again: true"]);
    assert!(wall.device.deadline().is_some_and(|due| due > now));
    assert!(wall.line.is_none());
    wall.device.close(now);
    wall.run();
    assert!(wall.take()[0].starts_with("offline, again: false"));
}

// A device that is closing and whose line breaks has ended: it does not connect again, and says what may not have arrived.
#[test]
fn a_device_that_closes_ends_when_its_line_breaks() {
    let close: [fn(&mut Wall); 3] = [
        // Nobody has heard its goodbye.
        |wall| wall.cut(),
        // The server is gone without a word.
        |wall| {
            wall.device.received(&[]);
            wall.run();
        },
        // What comes is no XMPP.
        |wall| {
            wall.device.received(b"</nothing>");
            wall.run();
        },
    ];
    for lose in close {
        let mut wall = Wall::new("pencil");
        wall.run();
        wall.take();
        let words = Message::chat("romeo@example.com/garden".parse().unwrap()).body("Good night");
        wall.device.agent().send(words.to_stanza()).unwrap();
        let now = wall.world.now;
        wall.device.close(now);
        lose(&mut wall);
        wall.run();
        let told = wall.take();
        assert_eq!(told, ["offline, again: false", "ended: the client has been closed"]);
        assert_eq!((wall.device.deadline(), wall.line), (None, None));
        assert_eq!(wall.device.agent().take_unsent().len(), 1, "the message");
        wall.wait(120);
        assert!(wall.take().iter().all(|told| told.starts_with("ended: ")), "it stays ended");
    }
}

// What was sent on a line that is gone has not got through either, when it is closed while it waits.
#[test]
fn a_device_that_is_closed_while_its_line_is_cut_has_what_was_sent() {
    let mut wall = Wall::new("pencil");
    wall.run();
    let words = Message::chat("romeo@example.com/garden".parse().unwrap()).body("Good night");
    wall.device.agent().send(words.to_stanza()).unwrap();
    assert!(matches!(wall.device.step(wall.world.now), DeviceStep::Wait));
    wall.cut();
    wall.device.close(wall.world.now);
    wall.run();
    assert_eq!(wall.device.agent().take_unsent().len(), 1, "the message");
}

// RFC 6120 §4.9.3.4, XEP-0198 §5: the server, which has heard nothing for too long, keeps the session. Its error may come late, when the network does.
#[test]
fn a_device_goes_on_when_the_server_has_heard_nothing_for_too_long() {
    let mut wall = Wall::new("pencil");
    wall.run();
    wall.take();
    wall.world.cut(wall.line.take().unwrap());
    wall.device.received(
        b"<stream:error><connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
    );
    while !matches!(wall.device.step(wall.world.now), DeviceStep::Disconnect) {}
    wall.wait(20);
    let told = wall.take();
    assert_eq!(told, ["resumed"]);
}

// It is replaced by another client and does not come back: what may not have arrived is its owner's again, as when it is closed.
#[test]
fn a_device_that_ends_for_good_has_what_was_sent() {
    let mut wall = Wall::new("pencil");
    wall.run();
    wall.take();
    let words = Message::chat("romeo@example.com/garden".parse().unwrap()).body("Good night");
    wall.device.agent().send(words.to_stanza()).unwrap();
    assert!(matches!(wall.device.step(wall.world.now), DeviceStep::Wait));
    wall.device.received(
        b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
    );
    wall.run();
    let told = wall.take();
    assert!(told[0] == "offline, again: false" && told[1].starts_with("ended: "), "{told:?}");
    assert_eq!(wall.device.agent().take_unsent().len(), 1, "the message");
}

// The same where it has not come online yet.
#[test]
fn a_device_that_closes_during_its_login_ends() {
    let mut wall = Wall::new("wrong");
    assert!(matches!(wall.device.step(wall.world.now), DeviceStep::Connect));
    wall.line = Some(wall.world.raw());
    wall.device.connected(wall.world.now);
    assert!(matches!(wall.device.step(wall.world.now), DeviceStep::Wait));
    wall.device.close(wall.world.now);
    wall.cut();
    wall.run();
    assert_eq!(wall.take(), ["offline, again: false", "ended: the client has been closed"]);
}

// A transport that was being opened when the device was closed is closed again; it gets nothing of what was for the one before.
#[test]
fn a_device_that_was_closed_takes_no_transport() {
    let mut wall = Wall::new("pencil");
    assert!(matches!(wall.device.step(wall.world.now), DeviceStep::Connect));
    wall.device.close(wall.world.now);
    let now = wall.world.now;
    wall.line = Some(wall.world.raw());
    wall.device.connected(now);
    assert!(wall.device.client().is_none() && wall.device.output().is_empty());
    wall.run();
    assert_eq!(wall.take(), ["offline, again: false", "ended: the client has been closed"]);
    assert!(wall.line.is_none(), "it is closed");
}

// RFC 6120 §3.3: a server that lets a device in and throws it out is asked ever more seldom. A session of half a minute makes the next wait a
// first one.
#[test]
fn only_a_session_that_has_lasted_begins_anew() {
    let mut longest = [Duration::ZERO; 2];
    for seed in 0..20 {
        for (is_long, longest) in longest.iter_mut().enumerate() {
            let mut wall = Wall::with("pencil", false, seed);
            let mut pause = Duration::ZERO;
            for session in 0..8 {
                wall.world.wait(pause);
                wall.run();
                assert_eq!(wall.take().last().unwrap(), &format!("online as {LAMP}"));
                if session == 7 {
                    wall.world.wait(Duration::from_millis(29_999 + u64::from(is_long == 1)));
                    wall.run();
                }
                wall.cut();
                wall.run();
                pause = wall.device.deadline().unwrap().saturating_since(wall.world.now);
            }
            *longest = pause.max(*longest);
        }
    }
    let minute = Duration::from_secs(60);
    assert!(longest[0] > 20 * minute && longest[1] < minute, "{longest:?}");
}
