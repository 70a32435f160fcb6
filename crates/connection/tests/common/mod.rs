//! Connections with real TLS, and memory for a network.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::sync::{Arc, LazyLock};

use balcony_connection::{ClientConnection, Connection, Error, ServerConnection};
use balcony_machine::{Instant, On, Progress, Random, Secret, Seed};
use balcony_sim::{Accounts, Simulated};
use balcony_stanza::Stanza;
use balcony_stream::client::{Client, ClientStreamConfig};
use balcony_stream::server::{Server, ServerStreamConfig};
use balcony_stream::{Side, Sorted, TlsPolicy};
use balcony_tls::{Session, Status, TlsIdentity, TlsTrust};

pub const HEADER: &str = "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
                          xmlns:stream='http://etherx.jabber.org/streams'>";
pub const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
pub const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
pub const PLAIN: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABwZW5jaWw=</auth>";
pub const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
pub const CLOSE: &str = "</stream:stream>";

/// A server's certificate, and a client that trusts nobody else.
pub struct Identity {
    pub server: TlsIdentity,
    pub client: TlsTrust,
}

impl Identity {
    pub fn of(domain: &str) -> Identity {
        let (certificate, key) = balcony_tls::self_signed(&[domain]).unwrap();
        let server = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
        let client = TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
        Identity { server, client }
    }
}

pub static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::of("example.com"));

/// How a wire cuts what it carries.
pub enum Cut {
    Whole,
    Bytes,
    Random(Box<Random>),
}

impl Cut {
    pub fn all() -> [Cut; 3] {
        [Cut::Whole, Cut::Bytes, Cut::Random(Box::new(Seed::from_u64(7).random()))]
    }

    fn next(&mut self, available: usize) -> usize {
        let wanted = match self {
            Cut::Whole => available,
            Cut::Bytes => 1,
            Cut::Random(random) => 1 + usize::try_from(random.next_u64() % 700).unwrap(),
        };
        wanted.min(available)
    }
}

/// One end, with everything that came out of it.
pub struct End<S: Side> {
    pub connection: Connection<S>,
    pub now: Instant,
    pub out: Vec<u8>,
    pub events: Vec<String>,
    pub stanzas: Vec<Stanza>,
    pub ended: Option<Result<(), Error>>,
    accounts: Accounts,
}

impl End<Client> {
    pub fn client(tls: TlsPolicy, identity: &TlsTrust) -> Self {
        let mut config = ClientStreamConfig::new(
            "juliet@example.com".parse().unwrap(),
            Secret::new(String::from("pencil")),
        );
        config.tls = tls;
        let connection = ClientConnection::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
        End::of(connection.with_tls(identity.clone(), "example.com"))
    }
}

impl End<Server> {
    pub fn server(tls: TlsPolicy) -> Self {
        End::server_with(tls, &IDENTITY.server, |_| {})
    }

    pub fn server_with(
        tls: TlsPolicy,
        identity: &TlsIdentity,
        change: impl FnOnce(&mut ServerStreamConfig),
    ) -> Self {
        let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
        config.tls = tls;
        change(&mut config);
        let connection = ServerConnection::new(Arc::new(config), Seed::from_u64(2), Instant::ZERO);
        End::of(connection.with_tls(identity.clone()))
    }
}

impl<S: Simulated> End<S> {
    pub fn of(connection: Connection<S>) -> Self {
        End {
            connection,
            now: Instant::ZERO,
            out: Vec::new(),
            events: Vec::new(),
            stanzas: Vec::new(),
            ended: None,
            accounts: Accounts::new().with("juliet@example.com", "pencil"),
        }
    }

    /// Takes what it can of the input, and has it send what it says to that.
    pub fn advance(&mut self, input: &mut &[u8]) -> Option<On> {
        let on = self.take(input);
        let _ = self.connection.flush(&mut self.out);
        on
    }

    fn take(&mut self, input: &mut &[u8]) -> Option<On> {
        loop {
            match self.connection.advance(self.now, input, &mut self.out) {
                Ok(Progress::Event(event)) => match S::sort(event) {
                    Sorted::Ask(ticket, ask) => {
                        let answer = self.accounts.answer(ask);
                        self.connection.answer(ticket, answer).unwrap();
                    }
                    Sorted::Stanza(stanza) => self.stanzas.push(*stanza),
                    Sorted::StartTls => self.events.push("StartTls".into()),
                    Sorted::Other(event) => self.events.push(format!("{event:?}")),
                },
                Ok(Progress::NeedInput) => {
                    assert!(input.is_empty());
                    return None;
                }
                Ok(Progress::Blocked(on)) => return Some(on),
                Ok(Progress::Closed) => {
                    self.ended = Some(Ok(()));
                    return None;
                }
                Err(error) => {
                    self.ended = Some(Err(error));
                    return None;
                }
            }
        }
    }

    /// Takes all of these bytes, cut in this way, and returns what came back.
    pub fn receive(&mut self, mut bytes: &[u8], cut: &mut Cut) -> Vec<u8> {
        loop {
            let (mut piece, rest) = bytes.split_at(cut.next(bytes.len()));
            assert_eq!(self.advance(&mut piece), None);
            bytes = rest;
            if bytes.is_empty() || self.ended.is_some() {
                return core::mem::take(&mut self.out);
            }
        }
    }

    /// What the owner does, on its way to the other end.
    pub fn act(&mut self, act: impl FnOnce(&mut Connection<S>)) {
        act(&mut self.connection);
        self.connection.flush(&mut self.out).unwrap();
    }

    pub fn stanza_ids(&self) -> Vec<&str> {
        self.stanzas.iter().map(|stanza| stanza.head.id.as_deref().unwrap()).collect()
    }
}

/// Carries bytes until nobody has anything to say; returns all that each of them has sent.
pub fn settle(client: &mut End<Client>, server: &mut End<Server>, cut: &mut Cut) -> [Vec<u8>; 2] {
    let mut sent = [Vec::new(), Vec::new()];
    loop {
        // What an owner has just done goes out first.
        let mut up = core::mem::take(&mut client.out);
        up.extend(client.receive(&[], cut));
        let mut down = core::mem::take(&mut server.out);
        down.extend(server.receive(&up, cut));
        let last = client.receive(&down, cut);
        client.out = last;
        sent[0].extend(&up);
        sent[1].extend(&down);
        if up.is_empty() && down.is_empty() && client.out.is_empty() {
            return sent;
        }
    }
}

/// A client without manners: it speaks TLS, and says whatever the test wants.
pub struct Raw {
    pub session: Session,
    pub server: End<Server>,
    /// Everything that the server has said, decrypted.
    pub plain: Vec<u8>,
    pub status: Status,
    pub cut: Cut,
}

impl Raw {
    /// With its handshake done.
    pub fn new(mut server: End<Server>, cut: Cut) -> Raw {
        let mut session = Session::client(&IDENTITY.client, "example.com").unwrap();
        let (mut out, mut plain) = (Vec::new(), Vec::new());
        let mut status = session.read(&mut &[][..], &mut plain, &mut out).unwrap();
        let mut cut = cut;
        while !out.is_empty() {
            let back = server.receive(&core::mem::take(&mut out), &mut cut);
            status = session.read(&mut &back[..], &mut plain, &mut out).unwrap();
        }
        assert_eq!(status, Status::Established);
        Raw { session, server, plain, status, cut }
    }

    /// On a stream with a resource.
    pub fn bound(cut: Cut) -> Raw {
        let mut raw = Raw::new(End::server(TlsPolicy::Direct), cut);
        raw.say(&[HEADER, PLAIN, HEADER, BIND].concat());
        assert!(raw.server.connection.is_open(), "{}", String::from_utf8_lossy(&raw.plain));
        raw
    }

    /// As ciphertext.
    pub fn encrypt(&mut self, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        self.session.write(text.as_bytes(), &mut out).unwrap();
        out
    }

    /// Says something, and returns what the server says to it.
    pub fn say(&mut self, text: &str) -> String {
        let bytes = self.encrypt(text);
        self.send(&bytes)
    }

    pub fn send(&mut self, bytes: &[u8]) -> String {
        let answer = self.server.receive(bytes, &mut self.cut);
        self.hear(&answer)
    }

    /// Decrypts.
    pub fn hear(&mut self, mut bytes: &[u8]) -> String {
        let before = self.plain.len();
        let mut out = Vec::new();
        self.status = self.session.read(&mut bytes, &mut self.plain, &mut out).unwrap();
        String::from_utf8(self.plain[before..].to_vec()).unwrap()
    }
}

pub fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}
