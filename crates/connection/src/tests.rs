//! What can't be seen from outside: the buffers that a connection keeps.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use alloc::sync::Arc;

use balcony_machine::{Instant, Secret, Seed};
use balcony_stream::TlsPolicy;
use balcony_stream::server::ServerStreamConfig;
use balcony_tls::{Session, TlsIdentity, TlsTrust};
use balcony_xml::Workspace;

use super::*;

const HEADER: &[u8] = b"<stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
                        xmlns:stream='http://etherx.jabber.org/streams'>";

/// A server's connection, and the TLS of its client.
struct Pair {
    server: ServerConnection,
    client: Session,
    workspace: Workspace,
}

impl Pair {
    fn new() -> Pair {
        let (certificate, key) = balcony_tls::self_signed(&["example.com"]).unwrap();
        let identity = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
        let trust = TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
        let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
        config.tls = TlsPolicy::Direct;
        let server = ServerConnection::new(Arc::new(config), Seed::from_u64(2), Instant::ZERO);
        Pair {
            server: server.with_tls(identity),
            client: Session::client(&trust, "example.com").unwrap(),
            workspace: Workspace::new(),
        }
    }

    /// What the client has decrypted when both have said all that they have to say, with `text` after the handshake.
    fn say(&mut self, text: &[u8]) -> Vec<u8> {
        let (mut plain, mut up, mut down) = (Vec::new(), Vec::new(), Vec::new());
        let mut text = Some(text);
        self.client.read(&mut &[][..], &mut plain, &mut up).unwrap();
        loop {
            if self.client.established().is_some()
                && let Some(text) = text.take()
            {
                self.client.write(text, &mut up).unwrap();
            }
            if up.is_empty() {
                return plain;
            }
            let mut input = &*up;
            while let Progress::Event(_) = self.server.advance(Instant::ZERO, &mut input, &mut down).unwrap()
            {
            }
            assert!(input.is_empty());
            self.server.flush(&mut down).unwrap();
            up.clear();
            self.client.read(&mut &*down, &mut plain, &mut up).unwrap();
            down.clear();
        }
    }

    fn capacities(&mut self) -> [usize; 2] {
        [self.server.input.buffer().capacity(), self.server.output.capacity()]
    }
}

#[test]
fn a_connection_on_tls_that_rests_keeps_no_buffer() {
    let mut pair = Pair::new();
    let said = pair.say(HEADER);
    assert!(said.ends_with(b"</stream:features>"), "{}", String::from_utf8_lossy(&said));
    // While it is awake it takes no memory for each message.
    assert!(pair.capacities().iter().all(|capacity| (1..=IDLE_CAPACITY).contains(capacity)));
    pair.server.rest(&mut pair.workspace);
    assert_eq!(pair.capacities(), [0, 0]);

    // What it is given to send it sends all the same, and keeps no buffer of that.
    pair.server.output.extend_from_slice(b"<presence/>");
    let (mut plain, mut up, mut down) = (Vec::new(), Vec::new(), Vec::new());
    pair.server.flush(&mut down).unwrap();
    pair.client.read(&mut &*down, &mut plain, &mut up).unwrap();
    assert_eq!(plain, b"<presence/>");
    assert_eq!(pair.capacities(), [0, 0]);

    // Awake again it goes on.
    pair.server.wake(&mut pair.workspace);
    assert_eq!(pair.say(b"</stream:stream>"), b"</stream:stream>");
}

#[test]
fn a_connection_that_rests_loses_nothing_that_waits() {
    let mut pair = Pair::new();
    pair.say(HEADER);
    pair.server.output.extend_from_slice(b"<presence/>");
    pair.server.input.buffer().extend_from_slice(b"</stream:stream>");
    pair.server.rest(&mut pair.workspace);
    assert_eq!((pair.server.pending(), pair.server.input.as_slice()), (11, &b"</stream:stream>"[..]));
    // Whoever has many connections knows that this one is about to read.
    assert!(pair.server.has_input());
    // Whoever had been kept waiting with it goes on without new bytes, and keeps no buffer then either.
    let mut down = Vec::new();
    assert!(matches!(pair.server.advance(Instant::ZERO, &mut &[][..], &mut down), Ok(Progress::Closed)));
    assert!(!pair.server.has_input());
    assert_eq!(pair.capacities(), [0, 0]);
}
