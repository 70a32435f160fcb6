//! A client and a server, and between them somebody who cuts, repeats, drops, bends and injects, but has no password.
//!
//! Three bytes of input are one act: what, to whom and how much, and a choice.
#![no_main]

use std::collections::VecDeque;
use std::sync::Arc;

use balcony_fuzz::{ACCOUNT, Dice, Driver, Outcome, PASSWORD, Seen};
use balcony_machine::{Instant, Secret, Seed};
use balcony_sasl::Mechanism;
use balcony_stanza::{MessageType, Stanza};
use balcony_stream::client::{Client, ClientStreamConfig};
use balcony_stream::server::{Server, ServerStreamConfig};
use balcony_stream::{ClientStream, Framing, ServerStream, TlsPolicy};
use libfuzzer_sys::fuzz_target;

/// What the adversary has to say.
const WORDS: &[&str] = &[
    "<?xml version='1.0'?><stream:stream to='example.com' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>",
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj0xMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</success>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</challenge>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABjcmF5b24=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biwsbj1qdWxpZXQscj1h</auth>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
    "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@example.com/evil</jid></bind></iq>",
    "<message to='romeo@example.com'><body>evil</body></message>",
    "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    "</stream:stream>",
    "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
    "<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true'/>",
    "<resume xmlns='urn:xmpp:sm:3' previd='s' h='0'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='s' h='0'/>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<a xmlns='urn:xmpp:sm:3' h='1'/>",
    "<success xmlns='urn:xmpp:sasl:2'><resumed xmlns='urn:xmpp:sm:3' previd='s' h='0'/></success>",
    "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline><bind xmlns='urn:xmpp:bind:0'/></inline></authentication></stream:features>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'><initial-response>biwsbj1qdWxpZXQscj1h</initial-response><bind xmlns='urn:xmpp:bind:0'/></authenticate>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@example.com/evil</authorization-identifier><bound xmlns='urn:xmpp:bind:0'/></success>",
    "<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>",
    "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>\0",
    "\0",
    " ",
    "<",
];

fuzz_target!(|data: &[u8]| {
    let mut world = World::new(data);
    let mut honest = true;
    for act in data.chunks_exact(3) {
        honest &= world.act(act[0], act[1], usize::from(act[2]));
    }
    world.deliver_all();
    let open = [world.client.stream().is_open(), world.server.stream().is_open()];
    if honest {
        assert_eq!(open, [true, true], "nobody came between them");
    }
    // RFC 5802 §5: a server is believed only if it has proven that it knows the password, and only ours can. It does
    // so when the client has; if it still wants keys of the client (XEP-0480) it says so before the login is over.
    let (client, server) = (authenticated(world.client.outcome()), authenticated(world.server.outcome()));
    let has_proven = server || told(world.server.outcome(), "KeysLacking");
    assert!(!client || has_proven, "the client believes somebody who is not its server");
    assert!(!open[0] || client, "open without authentication");
    assert!(!open[1] || server, "open without authentication");

    world.client.finish(data.len().is_multiple_of(2));
    world.server.finish(data.len().is_multiple_of(2));
});

fn authenticated(outcome: &Outcome) -> bool {
    told(outcome, "Authenticated")
}

/// Whether an end has said something that begins so.
fn told(outcome: &Outcome, what: &str) -> bool {
    outcome.seen.iter().any(|seen| matches!(seen, Seen::Event(event) if event.starts_with(what)))
}

/// The client, the server, and what is under way to each.
struct World {
    client: Driver<Client>,
    server: Driver<Server>,
    wires: [VecDeque<u8>; 2],
}

impl World {
    fn new(data: &[u8]) -> Self {
        let mut dice = Dice::new(data, 1);
        let mut client = ClientStreamConfig::new(
            ACCOUNT.parse().expect("an address"),
            Secret::new(String::from(PASSWORD)),
        );
        client.tls = [TlsPolicy::None, TlsPolicy::Direct][dice.roll(2)];
        // Nobody can come between them in TLS, but with SCRAM it would do them no good. PLAIN is never used without.
        client.mechanisms = match (client.tls, dice.roll(2)) {
            (TlsPolicy::None, 0) => Mechanism::all().to_vec(),
            (TlsPolicy::None, _) => vec![Mechanism::ScramSha1, Mechanism::Plain],
            (_, 0) => Mechanism::all().iter().copied().filter(|m| *m != Mechanism::Plain).collect(),
            (_, _) => vec![Mechanism::ScramSha256],
        };
        client.sasl2 = dice.roll(2) == 0;
        client.resource = [None, Some("balcony".into())][dice.roll(2)].clone();
        client.framing = [Framing::Document, Framing::Document, Framing::Messages][dice.roll(3)];
        let mut server =
            ServerStreamConfig::new(vec!["example.com".parse().expect("an address")], Secret::new([9; 32]));
        (server.tls, server.framing) = (client.tls, client.framing);
        server.management = true;
        server.upgrades = balcony_sasl::Hash::all().to_vec();
        server.tokens = balcony_sasl::Mechanism::for_tokens().to_vec();
        let (client, server) = (Arc::new(client), Arc::new(server));
        let client = Driver::new(ClientStream::new(client, Seed::from_u64(1), Instant::ZERO), None);
        let server = Driver::new(ServerStream::new(server, Seed::from_u64(2), Instant::ZERO), None);
        let mut world = World { client, server, wires: [VecDeque::new(), VecDeque::new()] };
        world.feed(0, &[]);
        world
    }

    /// Hands bytes to one end, and puts what it says on the wire to the other.
    fn feed(&mut self, end: usize, bytes: &[u8]) {
        let said = if end == 0 {
            self.client.feed(bytes);
            self.client.unsent()
        } else {
            self.server.feed(bytes);
            self.server.unsent()
        };
        self.wires[1 - end].extend(said);
    }

    /// Does one thing; whether it was harmless.
    fn act(&mut self, what: u8, amount: u8, choice: usize) -> bool {
        let end = usize::from(amount & 1);
        let length = usize::from(amount >> 1) * 4;
        let wire = &mut self.wires[end];
        let mut piece: Vec<u8> = wire.drain(..length.min(wire.len())).collect();
        match what % 8 {
            0 | 1 => self.feed(end, &piece),
            2 => {
                let all: Vec<u8> = piece.into_iter().chain(self.wires[end].drain(..)).collect();
                self.feed(end, &all);
            }
            // Whoever can speak does.
            3 => {
                self.feed(end, &piece);
                let message = Stanza::message(MessageType::Chat);
                if end == 0 {
                    self.client.send(&message)
                } else {
                    self.server.send(&message)
                }
                self.feed(end, &[]);
            }
            4 => {
                self.feed(end, &piece);
                self.feed(end, &piece);
                return piece.is_empty();
            }
            5 => return piece.is_empty(),
            6 => {
                let Some(length) = piece.len().checked_sub(1) else { return true };
                piece[choice.min(length)] ^= 1 << (choice % 8);
                self.feed(end, &piece);
                return false;
            }
            _ => {
                self.feed(end, &piece);
                self.feed(end, WORDS[choice % WORDS.len()].as_bytes());
                return false;
            }
        }
        true
    }

    fn deliver_all(&mut self) {
        // Each round trip of a negotiation is two of these; nothing goes on for ever.
        for _ in 0..64 {
            for end in [0, 1] {
                let all: Vec<u8> = self.wires[end].drain(..).collect();
                self.feed(end, &all);
            }
            if self.wires.iter().all(VecDeque::is_empty) {
                return;
            }
        }
        panic!("they never stop talking");
    }
}
