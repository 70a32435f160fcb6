//! One packet, an answer, and `kill -9`: an answer of the own server says that what was sent before it is kept, for all whom the
//! sender sees (docs/adr/0005-told-is-durable.md).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use balcony_client::{ClientConfig, ClientMachine, MachineEvent, Pump, PumpStep, answer};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Seed};
use balcony_stream::TlsPolicy;
use balcony_stream::client::Management;

use crate::hostile::Raw;
use crate::world::{PASSWORD, Server, World};

/// How often each: a promise that is not kept may still come true now and then.
const ROUNDS: usize = 6;

/// A session that has a resource and nothing else, and decides from now on what it writes at once.
pub fn login(server: &Server, name: &str) -> Raw {
    let account = BareJid::parse(&format!("{name}@localhost")).unwrap();
    let mut config = ClientConfig::new(account, String::from(PASSWORD).into());
    (config.stream.tls, config.stream.management) = (TlsPolicy::None, Management::Off);
    let mut socket = TcpStream::connect(&server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (now, mut buffer) = (Instant::ZERO, [0; 4096]);
    let mut pump = Pump::new(ClientMachine::new(config, &Seed::from_u64(1), now));
    loop {
        match pump.step(now).unwrap() {
            PumpStep::Event(MachineEvent::Ask(ticket, ask)) => pump.answer(ticket, answer(ask)),
            PumpStep::Event(MachineEvent::Online(_)) => break,
            PumpStep::Event(_) => {}
            PumpStep::Closed => panic!("{name} does not get in"),
            PumpStep::Wait if pump.output().is_empty() => {
                let count = socket.read(&mut buffer).unwrap();
                pump.received(&buffer[..count]);
            }
            PumpStep::Wait => {
                socket.write_all(pump.output()).unwrap();
                pump.wrote(pump.output().len());
            }
        }
    }
    assert!(pump.output().is_empty());
    Raw(socket)
}

/// Something to the own server, and its answer.
pub fn asked(raw: &mut Raw, before: &str, id: &str) {
    raw.write(
        format!("{before}<iq type='get' id='{id}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
            .as_bytes(),
    );
    raw.until(&format!("id='{id}'"));
}

/// Romeo sees Juliet, and she him if so.
fn befriend(server: &Server, is_mutual: bool) {
    let subscribes = |name: &str, other: &str| {
        let mut raw = login(server, name);
        asked(&mut raw, &format!("<presence type='subscribe' to='{other}@localhost'/>"), "s");
    };
    let approves = |name: &str, other: &str| {
        let mut raw = login(server, name);
        asked(&mut raw, &format!("<presence type='subscribed' to='{other}@localhost'/>"), "a");
    };
    approves("juliet", "romeo");
    subscribes("romeo", "juliet");
    if is_mutual {
        approves("romeo", "juliet");
        subscribes("juliet", "romeo");
    }
    let subscription = if is_mutual { "both" } else { "to" };
    for _ in 0..1_000 {
        let mut raw = login(server, "romeo");
        raw.write(b"<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
        if raw.until("</iq>").contains(&format!("subscription='{subscription}'")) {
            return;
        }
    }
    panic!("Romeo never sees Juliet");
}

/// Romeo writes to somebody who is away and asks his server something, all in one packet; as soon as he has the answer the server is
/// dead. Then whoever it was for comes.
fn outlives(to: &str, is_mutual: bool) {
    let world = World::new();
    let server = world.serve(&["--allow-plaintext"]);
    world.account("romeo");
    world.account("juliet");
    befriend(&server, is_mutual);
    server.stop();
    let mut lost = Vec::new();
    for round in 0..ROUNDS {
        let mut server = world.serve(&["--allow-plaintext"]);
        let mut romeo = login(&server, "romeo");
        let message =
            format!("<message type='chat' to='{to}@localhost'><body>round {round}</body></message>");
        asked(&mut romeo, &message, "q");
        server.process.kill();
        let server = world.serve(&["--allow-plaintext"]);
        let mut heir = login(&server, to);
        heir.write(format!("<presence/><message to='{to}@localhost'><body>mark</body></message>").as_bytes());
        if !heir.until("<body>mark</body>").contains(&format!("<body>round {round}</body>")) {
            lost.push(round);
        }
        server.stop();
    }
    assert!(lost.is_empty(), "of {ROUNDS} messages to {to} these are gone: {lost:?}");
}

#[test]
fn an_answer_says_that_a_message_to_a_contact_is_kept() {
    outlives("juliet", true);
}

#[test]
fn an_answer_says_that_a_message_to_oneself_is_kept() {
    outlives("romeo", false);
}

#[test]
fn an_answer_says_that_a_message_to_somebody_one_sees_is_kept() {
    outlives("juliet", false);
}
