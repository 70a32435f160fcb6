//! A client's end under the bytes of a scripted server.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::sync::Arc;

use balcony_machine::{Instant, On, Progress, Secret, Seed};
use balcony_sasl::{Binding, Credentials, Mechanism, ServerExchange, ServerStep};
use balcony_sim::Accounts;
use balcony_stanza::{Stanza, StreamCondition};
use balcony_stream::client::{ClientEvent, ClientStreamConfig};
use balcony_stream::{ClientStream, Error, Security, TlsPolicy};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub const HEADER: &str = "<?xml version='1.0'?><stream:stream from='example.com' id='s1' version='1.0' xml:lang='en' \
                          xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
pub const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
pub const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
pub const BIND: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
pub const BOUND: &str = "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                         <jid>juliet@example.com/balcony</jid></bind></iq>";
pub const CLOSE: &str = "</stream:stream>";
pub const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
pub const EXPORTER: [u8; 32] = [5; 32];

/// Features with these elements.
pub fn features(content: &str) -> String {
    format!("<stream:features>{content}</stream:features>")
}

/// The list of mechanisms.
pub fn mechanisms(names: &[&str]) -> String {
    let names: String = names.iter().map(|name| format!("<mechanism>{name}</mechanism>")).collect();
    format!("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{names}</mechanisms>")
}

pub fn config() -> ClientStreamConfig {
    let mut config =
        ClientStreamConfig::new("juliet@example.com".parse().unwrap(), Secret::new(String::from("pencil")));
    config.resource = Some("balcony".into());
    config
}

/// The client's end, with everything that came out of it.
pub struct Client {
    pub stream: ClientStream,
    pub now: Instant,
    pub out: Vec<u8>,
    /// What happened but stanzas, in words.
    pub events: Vec<String>,
    pub stanzas: Vec<Stanza>,
    pub ended: Option<Result<(), Error>>,
    /// What TLS says of itself when it is asked for.
    pub exporter: Option<[u8; 32]>,
}

impl Client {
    /// On a transport that is not protected.
    pub fn new(tls: TlsPolicy) -> Self {
        Client::with(|config| config.tls = tls)
    }

    pub fn with(change: impl FnOnce(&mut ClientStreamConfig)) -> Self {
        let mut config = config();
        change(&mut config);
        Client {
            stream: ClientStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO),
            now: Instant::ZERO,
            out: Vec::new(),
            events: Vec::new(),
            stanzas: Vec::new(),
            ended: None,
            exporter: None,
        }
    }

    /// On TLS from the first byte.
    pub fn secured(exporter: Option<[u8; 32]>, change: impl FnOnce(&mut ClientStreamConfig)) -> Self {
        let mut client = Client::with(|config| {
            config.tls = TlsPolicy::Direct;
            change(config);
        });
        client.stream.secured(Security::new(exporter)).unwrap();
        client
    }

    /// The same with nothing special about it, as far as these bytes of the server.
    pub fn at(script: &[&str]) -> Self {
        let mut client = Client::secured(None, |_| {});
        client.feed(&script.concat());
        assert!(client.ended.is_none(), "{:?} {}", client.ended, client.output());
        client
    }

    /// Feeds bytes, and returns what came back for them.
    pub fn feed(&mut self, text: &str) -> String {
        let mut input = text.as_bytes();
        let sent = self.feed_bytes(&mut input);
        assert!(input.is_empty() || self.ended.is_some(), "{:?}", String::from_utf8_lossy(input));
        sent
    }

    pub fn feed_bytes(&mut self, input: &mut &[u8]) -> String {
        let before = self.out.len();
        loop {
            match self.stream.advance(self.now, input, &mut self.out) {
                Ok(Progress::Event(ClientEvent::Ask(ticket, ask))) => {
                    let answer = Accounts::new().answer(ask);
                    self.stream.answer(ticket, answer).unwrap();
                }
                Ok(Progress::Event(ClientEvent::Stanza(stanza))) => self.stanzas.push(*stanza),
                Ok(Progress::Event(event)) => self.events.push(format!("{event:?}")),
                Ok(Progress::NeedInput | Progress::Blocked(On::Tls)) => break,
                Ok(Progress::Blocked(on)) => panic!("{on:?}"),
                Ok(Progress::Closed) => {
                    self.ended = Some(Ok(()));
                    break;
                }
                Err(error) => {
                    self.ended = Some(Err(error));
                    break;
                }
            }
        }
        String::from_utf8(self.out[before..].to_vec()).unwrap()
    }

    /// The transport ends.
    pub fn eof(&mut self) -> String {
        let before = self.out.len();
        self.ended = Some(match self.stream.eof(self.now, &mut self.out) {
            Ok(Progress::Closed) => Ok(()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        });
        String::from_utf8(self.out[before..].to_vec()).unwrap()
    }

    pub fn output(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    /// The error that ended the stream without a stream error of ours: the last thing sent is our closing tag.
    pub fn failure(&self) -> Error {
        let Some(Err(error)) = &self.ended else { panic!("{:?} {}", self.ended, self.output()) };
        assert!(!matches!(error, Error::Local(_)), "{error:?}");
        assert!(
            self.output().ends_with(CLOSE) && !self.output().contains("<stream:error"),
            "{}",
            self.output()
        );
        error.clone()
    }

    /// The stream error that we ended the stream with; on the wire it comes before our closing tag.
    pub fn error(&self) -> StreamCondition {
        let Some(Err(Error::Local(error))) = &self.ended else {
            panic!("{:?} {}", self.ended, self.output())
        };
        let on_wire =
            format!("<stream:error><{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", error.condition);
        assert_eq!(self.output().matches(&on_wire).count(), 1, "{}", self.output());
        assert!(self.output().ends_with("</stream:error></stream:stream>"), "{}", self.output());
        error.condition
    }
}

/// What `<name …>data</name>` holds, decoded; the last one in `xml`.
pub fn data(xml: &str, name: &str) -> Vec<u8> {
    let start = xml.rfind(&format!("<{name}")).unwrap_or_else(|| panic!("no <{name}> in {xml}"));
    let content = xml[start..].split_once('>').unwrap().1.split('<').next().unwrap();
    STANDARD.decode(content).unwrap()
}

pub fn sasl(name: &str, data: &[u8]) -> String {
    format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</{name}>", STANDARD.encode(data))
}

/// The server's side of SCRAM, by the book.
pub struct Scram {
    exchange: ServerExchange,
    mechanism: Mechanism,
    password: &'static str,
}

impl Scram {
    /// A server that knows this channel, and has offered -PLUS mechanisms or not.
    pub fn new(mechanism: Mechanism, exporter: Option<[u8; 32]>, plus_offered: bool) -> Self {
        let exchange =
            ServerExchange::new(mechanism, exporter.map(Binding::TlsExporter), plus_offered, "servers-nonce");
        Scram { exchange, mechanism, password: "pencil" }
    }

    /// The same of an account with this password.
    pub fn with_password(self, password: &'static str) -> Self {
        Scram { password, ..self }
    }

    /// The challenge for an initial response.
    pub fn challenge(&mut self, initial: &[u8]) -> Vec<u8> {
        let Ok(ServerStep::AskCredentials { username, .. }) = self.exchange.initial(Some(initial)) else {
            panic!("{}", String::from_utf8_lossy(initial))
        };
        assert_eq!(username, "juliet");
        let credentials = Credentials::derive(self.password, b"salt of the tests", 4096).unwrap();
        let keys = credentials.get(self.mechanism.hash().unwrap()).unwrap().clone();
        let Ok(ServerStep::Challenge(challenge)) = self.exchange.credentials(keys) else { panic!() };
        challenge
    }

    /// The proof of the server's own for a response that is right.
    pub fn success(&mut self, response: &[u8]) -> Vec<u8> {
        match self.exchange.response(response) {
            Ok(ServerStep::Success { data, .. }) => data.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}
