//! A client without stream management that binds its resource anew while the server has not read all that it had sent before.

use std::io::{ErrorKind, Write as _};
use std::net::Shutdown;

use crate::hostile::Raw;
use crate::revoked::logged_in;
use crate::world::{PASSWORD, World};

fn bind(resource: &str) -> String {
    let bind =
        format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind>");
    format!("<iq type='set' id='b'>{bind}</iq>")
}

fn message(number: usize) -> String {
    format!("<message to='juliet@localhost/hears'><body>{number}:{:100}</body></message>", "")
}

/// The numbers in all that has come.
fn numbers(told: &str) -> Vec<usize> {
    let bodies = told.split("<body>").skip(1).filter_map(|rest| rest.split_once(':'));
    bodies.map(|(number, _)| number.parse().unwrap()).collect()
}

/// Writes as much as the system takes at once, and gives how much that is.
fn fill(client: &mut Raw, bytes: &[u8]) -> usize {
    client.0.set_nonblocking(true).unwrap();
    let mut written = 0;
    while written < bytes.len() {
        match client.0.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    client.0.set_nonblocking(false).unwrap();
    written
}

// docs/guarantees.md: what a client had sent before the end of its stream, or of its connection, comes before what it sends when it has bound its resource anew,
// however little of it the server had read by then. Here it is stopped meanwhile, so it has read nothing.
#[test]
fn what_a_client_had_sent_is_taken_before_its_resource_is_bound_anew() {
    let world = World::new();
    let server = world.serve(&["--allow-plaintext"]);
    world.account("juliet@localhost");
    let mut hears = logged_in(&server, PASSWORD);
    hears.write(bind("hears").as_bytes());
    hears.until("</iq>");
    let ends: [fn(Raw) -> Option<Raw>; 3] = [
        |client| {
            drop(client);
            None
        },
        |client| {
            client.0.shutdown(Shutdown::Write).unwrap();
            Some(client)
        },
        |mut client| {
            client.write(b"</stream:stream>");
            Some(client)
        },
    ];
    for end in ends {
        let [mut old, mut new] = [(); 2].map(|()| logged_in(&server, PASSWORD));
        old.write(bind("speaks").as_bytes());
        old.until("</iq>");
        server.process.signal("STOP");
        let all: String = (0..800).map(message).collect();
        // The system takes all of it, or there would be no room for the end.
        assert_eq!(fill(&mut old, all.as_bytes()), all.len());
        let old = end(old);
        let more: String = (800..805).map(message).collect();
        new.write((bind("speaks") + &more).as_bytes());
        server.process.signal("CONT");
        assert!(new.until("</iq>").contains("<jid>juliet@localhost/speaks</jid>"));
        let mut told = hears.until(">804:");
        told += &hears.until("</message>");
        assert_eq!(numbers(&told), (0..805).collect::<Vec<_>>());
        if let Some(old) = old {
            // Its own end was seen.
            assert!(!old.rest().contains("stream:error"));
        }
    }
}
