//! Bad peers on raw sockets: each gets the error that RFC 6120 names and is closed, memory stays bounded, and a
//! conversation beside them goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::world::{Process, Server, World};

pub const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

/// What a server may take more for all the bad peers together, in KiB: far less than one of them sends.
const MEMORY: u64 = 16 << 10;

pub struct Raw(pub TcpStream);

impl Raw {
    pub fn connect(server: &Server) -> Raw {
        Raw::open(&server.address)
    }

    pub fn open(address: &str) -> Raw {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Raw(stream)
    }

    /// Writes as much as the server takes.
    pub fn write(&mut self, bytes: &[u8]) {
        match self.0.write_all(bytes) {
            Err(error) if [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&error.kind()) => {}
            result => result.unwrap(),
        }
    }

    /// Everything until the server closes the connection.
    pub fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            // It was closed while we still wrote.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            result => drop(result.unwrap()),
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Everything up to `text`.
    pub fn until(&mut self, text: &str) -> String {
        let (mut bytes, mut byte) = (Vec::new(), [0]);
        while !bytes.ends_with(text.as_bytes()) {
            assert_eq!(
                self.0.read(&mut byte).unwrap(),
                1,
                "closed after {}",
                String::from_utf8_lossy(&bytes)
            );
            bytes.push(byte[0]);
        }
        String::from_utf8(bytes).unwrap()
    }
}

/// What a conversation beside the bad peers is: a line sent, and the line received.
struct Conversation<'a> {
    world: &'a World,
    server: &'a Server,
    listener: Process,
    lines: u32,
}

impl Conversation<'_> {
    fn goes_on(&mut self) {
        self.lines += 1;
        let line = format!("line {}", self.lines);
        self.world.send(self.server, "romeo@localhost", "juliet@localhost", &line, &[]).succeeded();
        let received = self.listener.stdout();
        assert!(received.ends_with(&line), "{received}");
    }
}

/// The resident memory of the server, in KiB.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

// RFC 6120 §4.9.3, §5.4.2.2, §6.5, §11, §13.12 [X1] [X3] [X11] [S11] [N13] [W3] [W4]
#[test]
fn bad_peers_are_told_so_and_hurt_nobody() {
    let world = World::new();
    // PLAIN and SCRAM in the clear, so that wrong passwords can be tried by hand.
    let server = world.serve(&["--allow-plaintext", "--negotiation-timeout", "3"]);
    world.account("romeo@localhost");
    world.account("juliet@localhost");
    let listener = world.listen(&server, "juliet@localhost/balcony", &[]);
    let mut conversation = Conversation { world: &world, server: &server, listener, lines: 0 };
    conversation.goes_on();
    let before = memory(&server);
    let silent = Raw::connect(&server);
    let mut stuck = Raw::connect(&server);
    stuck.write(HEADER.as_bytes());
    let since = Instant::now();

    let long = "x".repeat(1 << 20);
    let attributes: String = (0..200_000).map(|n| format!(" a{n}=''")).collect();
    let levels = "<a>".repeat(100_000);
    let unknown = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='KERBEROS_V4'>=</auth>";
    let cases = [
        ("not XML", "not-well-formed", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
        ("a DTD", "restricted-xml", "<!DOCTYPE lolz [<!ENTITY lol 'lol'>]>".to_owned()),
        ("a comment", "restricted-xml", format!("{HEADER}<!-- hello -->")),
        ("a wrong namespace", "invalid-namespace", HEADER.replace("jabber:client", "jabber:server")),
        ("an unknown host", "host-unknown", HEADER.replace("to='localhost'", "to='example.org'")),
        ("1 MiB before authentication", "policy-violation", format!("{HEADER}<auth>{long}")),
        ("200,000 attributes", "policy-violation", format!("{HEADER}<auth{attributes}/>")),
        ("100,000 levels", "policy-violation", format!("{HEADER}{levels}")),
        ("unknown mechanisms", "policy-violation", format!("{HEADER}{}", unknown.repeat(5))),
        (
            "a message before authentication",
            "not-authorized",
            format!("{HEADER}<message to='juliet@localhost'/>"),
        ),
    ];
    for (what, condition, bytes) in &cases {
        let mut peer = Raw::connect(&server);
        peer.write(bytes.as_bytes());
        let told = peer.rest();
        // A peer that still writes when it is closed may lose the end of what it was told.
        if !told.is_empty() || bytes.len() < 10_000 {
            assert!(
                told.contains(&format!("<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>")),
                "{what}: {told}"
            );
            assert!(told.ends_with("</stream:error></stream:stream>"), "{what}: {told}");
        }
    }
    conversation.goes_on();

    // RFC 6120 §6.5.7: the SASL error comes first, and the stream goes on.
    let mut peer = Raw::connect(&server);
    peer.write(format!("{HEADER}{unknown}").as_bytes());
    assert!(peer.until("</failure>").contains("<invalid-mechanism/>"));

    // RFC 6120 §5.4.3.3: what is slipped in behind <starttls/> dies in the handshake.
    let mut peer = Raw::connect(&server);
    let stowaway = "<message to='juliet@localhost'><body>boo</body></message>";
    peer.write(format!("{HEADER}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{stowaway}").as_bytes());
    peer.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert!(!peer.rest().contains("stream"), "after <proceed/> there is TLS or nothing");

    // RFC 6120 §4.6: silence.
    let told = silent.rest();
    assert!(told.contains("<policy-violation "), "{told}");
    let told = stuck.rest();
    assert!(told.contains("<connection-timeout "), "{told}");
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());

    conversation.goes_on();
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < MEMORY, "the server has grown by {grown} KiB");
    // Nothing that was slipped in has arrived.
    assert!(conversation.listener.is_silent());
    server.stop();
}

// RFC 6120 §6.4.4 [S11]: wrong passwords, with a client that keeps trying.
#[test]
fn many_wrong_passwords_end_the_stream() {
    let world = World::new();
    let server = world.serve(&["--allow-plaintext"]);
    world.account("juliet@localhost");
    let mut peer = Raw::connect(&server);
    peer.write(HEADER.as_bytes());
    peer.until("</stream:features>");
    // n,,n=juliet,r=abc; the proof is 32 zeros.
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biwsbj1qdWxpZXQscj1hYmM=</auth>";
    for attempt in 1..=5 {
        peer.write(auth.as_bytes());
        let challenge = peer.until("</challenge>");
        let data = challenge.rsplit_once("</challenge>").unwrap().0.rsplit_once('>').unwrap().1;
        let first = String::from_utf8(decode(data)).unwrap();
        let nonce = first.split(',').next().unwrap();
        let last = format!("c=biws,{nonce},p={}", encode(&[0; 32]));
        let response = format!(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>",
            encode(last.as_bytes())
        );
        peer.write(response.as_bytes());
        let answer = peer.until("</failure>");
        assert!(answer.contains("<not-authorized/>"), "attempt {attempt}: {answer}");
    }
    let told = peer.rest();
    assert!(
        told.contains("<policy-violation ") && told.ends_with("</stream:error></stream:stream>"),
        "{told}"
    );
}

// RFC 6120 §7.7.2.2 [B5] [B7]: a client that binds again and again.
#[test]
fn second_binds_are_refused_and_then_end_the_stream() {
    let world = World::new();
    let server = world.serve(&["--allow-plaintext", "--allow-registration"]);
    world.account("juliet@localhost");
    let mut peer = Raw::connect(&server);
    log_in(&mut peer);
    let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    peer.write(bind.as_bytes());
    assert!(peer.until("</iq>").contains("<jid>juliet@localhost/"));
    for _ in 0..5 {
        peer.write(bind.as_bytes());
        let answer = peer.until("</iq>");
        assert!(answer.contains("type='error'") && answer.contains("<not-allowed "), "{answer}");
    }
    let told = peer.rest();
    assert!(
        told.contains("<policy-violation ") && told.ends_with("</stream:error></stream:stream>"),
        "{told}"
    );
}

/// Logs juliet in by hand, by SCRAM-SHA-1 without TLS.
fn log_in(peer: &mut Raw) {
    use balcony_machine::Secret;
    use balcony_sasl::{BindingState, ClientExchange, ClientStep, Mechanism, salt_password};
    let password = Secret::new(String::from(crate::world::PASSWORD));
    let mut exchange = ClientExchange::new(
        Mechanism::ScramSha1,
        "juliet",
        password,
        None,
        BindingState::Unsupported,
        "nonce",
    )
    .unwrap();
    peer.write(HEADER.as_bytes());
    peer.until("</stream:features>");
    let initial = encode(&exchange.initial().unwrap());
    peer.write(
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>{initial}</auth>")
            .as_bytes(),
    );
    let challenge = peer.until("</challenge>");
    let data = challenge.rsplit_once("</challenge>").unwrap().0.rsplit_once('>').unwrap().1;
    let ClientStep::AskSalted { hash, password, salt, iterations } =
        exchange.challenge(&decode(data)).unwrap()
    else {
        panic!("a salt is wanted")
    };
    let salted = salt_password(hash, password.expose(), &salt, iterations).unwrap();
    let ClientStep::Send(proof) = exchange.salted(salted).unwrap() else { panic!("a proof is wanted") };
    peer.write(
        format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>", encode(&proof))
            .as_bytes(),
    );
    peer.until("</success>");
    peer.write(HEADER.as_bytes());
    peer.until("</stream:features>");
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
