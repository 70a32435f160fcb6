//! What the program says to a server, and in which order: here the server is a test, and writes it down.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{JoinHandle, spawn};

use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_sasl::ScramKeys;
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use balcony_stream::{Answer, Ask, Event, Receiving, Stream, TlsPolicy};

use crate::world::{PASSWORD, World};

/// Serves one client; returns what it has sent.
fn witness() -> (String, JoinHandle<Vec<Stanza>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, spawn(move || attend(listener.accept().unwrap().0)))
}

fn attend(mut socket: TcpStream) -> Vec<Stanza> {
    let mut receiving = Receiving::new(vec!["localhost".parse().unwrap()], Secret::new([7; 32]));
    receiving.tls = TlsPolicy::None;
    let mut stream = Stream::receiving(Arc::new(receiving), Seed::from_u64(1), Instant::ZERO);
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = socket.read(&mut buffer).unwrap();
        let (mut input, mut out, mut closed) = (&buffer[..length], Vec::new(), length == 0);
        loop {
            match stream.advance(Instant::ZERO, &mut input, &mut out).unwrap() {
                Progress::Event(Event::Ask(ticket, Ask::Credentials { hash, .. })) => {
                    let keys = ScramKeys::derive(hash, PASSWORD, b"salt", 4096).unwrap();
                    stream.answer(ticket, Answer::Credentials(Some(keys))).unwrap();
                }
                Progress::Event(Event::Ask(ticket, Ask::Bind { account, .. })) => {
                    let jid = account.with_resource("here").unwrap();
                    stream.answer(ticket, Answer::Bound(Ok(jid))).unwrap();
                }
                Progress::Event(Event::Stanza(stanza)) => {
                    // Whatever is asked is done, and whoever is there gets a message.
                    stanza.result().iter().for_each(|result| result.write(&mut out));
                    if stanza.head.kind == Kind::Presence(PresenceType::Available) {
                        let hello = Stanza::message(MessageType::Chat);
                        hello.payload(balcony_stanza::Content::body("hello").to_payload()).write(&mut out);
                    }
                    seen.push(*stanza);
                }
                Progress::Event(_) => {}
                Progress::Closed => {
                    closed = true;
                    break;
                }
                Progress::NeedInput | Progress::Blocked(_) => break,
            }
        }
        socket.write_all(&out).unwrap();
        if closed {
            return seen;
        }
    }
}

/// What the program with these arguments says.
fn said(args: &[&str]) -> Vec<Stanza> {
    let (address, server) = witness();
    let there = ["--connect", &address, "--allow-plaintext"];
    World::new().run_as(PASSWORD, &[args, &there].concat()).succeeded();
    server.join().unwrap()
}

fn place(said: &[Stanza], is_it: impl Fn(&Stanza) -> bool) -> usize {
    said.iter().position(is_it).unwrap_or_else(|| panic!("{said:?}"))
}

// RFC 6121 §2.2 [R15], §4.5.1 [PR17]
#[test]
fn the_roster_comes_before_presence_and_its_end_before_that_of_the_stream() {
    let said =
        said(&["listen", "--as", "romeo@localhost", "--count", "1", "--show", "dnd", "--priority", "5"]);
    let asks = |stanza: &Stanza| {
        stanza.head.kind == Kind::Iq(IqType::Get)
            && stanza.payload.as_bytes().starts_with(b"<query xmlns='jabber:iq:roster'")
    };
    let roster = place(&said, asks);
    let here = place(&said, |stanza| stanza.head.kind == Kind::Presence(PresenceType::Available));
    assert!(roster < here, "{said:?}");
    assert!(String::from_utf8_lossy(said[here].payload.as_bytes()).contains("<show>dnd</show>"));
    let last = said.last().unwrap();
    assert_eq!((last.head.kind, &last.head.to), (Kind::Presence(PresenceType::Unavailable), &None));
    assert!(last.payload.is_empty());
}

// RFC 6121 §3.1.1 [SB3]
#[test]
fn requests_are_addressed_to_accounts() {
    let said = said(&["roster", "--as", "romeo@localhost", "add", "juliet@localhost"]);
    let asked = &said[place(&said, |stanza| stanza.head.kind == Kind::Presence(PresenceType::Subscribe))];
    assert_eq!(asked.head.to, Some("juliet@localhost".parse().unwrap()));
    assert!(asked.head.id.is_some());
}
