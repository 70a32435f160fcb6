//! `balcony trace`: a login, some stanzas and the end of a stream, as they go over the wire.
//!
//! Both ends and the router run in memory, on virtual time and from one seed, so that the result is always the same.
//! It is Markdown; `docs/trace.md` is made of it.

use core::fmt::Write as _;
use core::time::Duration;
use std::sync::Arc;

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_machine::{Instant, Progress, Secret, Seed, XmlLimits};
use balcony_router::{Config as RouterConfig, Effect, Router, SessionId};
use balcony_sasl::Credentials;
use balcony_stanza::{IqType, MessageType, PresenceType, Stanza, ns};
use balcony_stream::client::{ClientEvent, ClientStreamConfig};
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent, ServerStreamConfig};
use balcony_stream::{ClientStream, Security, ServerStream};
use balcony_xep::ping::Ping;
use balcony_xml::{Reader, Token};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::failure::Failure;
use crate::message::body;
use crate::output::print;

const DOMAIN: &str = "example.com";
const ACCOUNT: &str = "juliet@example.com";
const PASSWORD: &str = "r0m30myr0m30";
const RESOURCE: &str = "balcony";
const SEED: u64 = 1597;
const SALT: &[u8; 16] = b"salt for a trace";
/// Stands for what TLS would say of itself; in a true session nobody can foresee it.
const EXPORTER: [u8; 32] = *b"what both ends know of their TLS";
const SESSION: SessionId = SessionId(1);

/// Prints the trace.
pub(crate) fn run() -> Result<(), Failure> {
    let trace = record().map_err(|error| Failure::new(format!("the trace went wrong: {error}")))?;
    trace.lines().try_for_each(print)
}

type Error = Box<dyn core::error::Error>;

fn record() -> Result<String, Error> {
    let mut world = World::new()?;
    world.run()?;
    world.send(&Stanza::presence(PresenceType::Available))?;
    let note = Stanza::message(MessageType::Chat).with_to(Jid::parse(ACCOUNT)?).with_id("note1");
    world.send(
        &note.with_payload(body("Wherefore art thou Romeo?").map_err(|failure| failure.to_string())?),
    )?;
    world.send(
        &Stanza::iq(IqType::Get).with_to(Jid::parse(DOMAIN)?).with_id("ping1").with_child(Ping.to_element()),
    )?;
    world.close()?;
    Ok(world.script.finish())
}

/// What passes each time that an end takes what has come.
const STEP: Duration = Duration::from_millis(20);

/// Which end of the stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Client,
    Server,
}

struct World {
    now: Instant,
    client: ClientStream,
    server: ServerStream,
    router: Router,
    credentials: Credentials,
    /// What is under way: to the client, and to the server.
    to_client: Vec<u8>,
    to_server: Vec<u8>,
    script: Script,
}

impl World {
    fn new() -> Result<World, Error> {
        let (account, domain) = (BareJid::parse(ACCOUNT)?, BareJid::parse(DOMAIN)?);
        let mut random = Seed::from_u64(SEED).random();
        let now = Instant::ZERO;
        let mut initiating = ClientStreamConfig::new(account, Secret::new(PASSWORD.into()));
        initiating.resource = Some(RESOURCE.into());
        // The way of RFC 6120, step by step; with SASL2 (XEP-0388) a login has fewer.
        initiating.sasl2 = false;
        let mut receiving = ServerStreamConfig::new(vec![domain.clone()], Secret::new([0; 32]));
        let router = RouterConfig::new(vec![domain]);
        receiving.bind_inline = router.extensions.bind_inline().map(Into::into).collect();
        let features = router.extensions.stream_features();
        receiving.features = features.map(|(name, namespace)| (name.into(), namespace.into())).collect();
        Ok(World {
            now,
            credentials: Credentials::derive(PASSWORD, SALT, receiving.iterations)?,
            client: ClientStream::new(Arc::new(initiating), random.seed(), now),
            server: ServerStream::new(Arc::new(receiving), random.seed(), now),
            router: Router::new(router, &random.seed()),
            to_client: Vec::new(),
            to_server: Vec::new(),
            script: Script::new(),
        })
    }

    /// Lets both ends talk until they have nothing more to say.
    fn run(&mut self) -> Result<(), Error> {
        loop {
            self.advance_client()?;
            self.advance_server()?;
            if self.to_client.is_empty() && self.to_server.is_empty() {
                return Ok(());
            }
        }
    }

    /// The client sends a stanza, and what comes of it.
    fn send(&mut self, stanza: &Stanza) -> Result<(), Error> {
        let mut out = Vec::new();
        self.client.send(stanza, &mut out)?;
        self.carry(End::Client, &out)?;
        self.run()
    }

    /// The client closes the stream.
    fn close(&mut self) -> Result<(), Error> {
        let mut out = Vec::new();
        self.client.close(self.now, &mut out);
        self.carry(End::Client, &out)?;
        self.run()
    }

    fn advance_client(&mut self) -> Result<(), Error> {
        self.now = self.now + STEP;
        let input = core::mem::take(&mut self.to_client);
        let (mut input, mut out) = (input.as_slice(), Vec::new());
        while let Progress::Event(event) = self.client.advance(self.now, &mut input, &mut out)? {
            match event {
                ClientEvent::StartTls => {
                    self.carry(End::Client, &core::mem::take(&mut out))?;
                    self.script.remark("(TLS handshake; from here on everything is encrypted)");
                    self.client.secured(Security::new(Some(EXPORTER)))?;
                }
                ClientEvent::Ask(ticket, ask) => self.client.answer(ticket, balcony_client::answer(ask))?,
                ClientEvent::Token(_)
                | ClientEvent::TokenRefused(_)
                | ClientEvent::Authenticated { .. }
                | ClientEvent::Bound(_)
                | ClientEvent::Enabled { .. }
                | ClientEvent::NotEnabled(_)
                | ClientEvent::Resumed { .. }
                | ClientEvent::NotResumed { .. }
                | ClientEvent::Acked(_)
                | ClientEvent::Stanza(_) => {}
            }
        }
        self.carry(End::Client, &out)
    }

    fn advance_server(&mut self) -> Result<(), Error> {
        self.now = self.now + STEP;
        let input = core::mem::take(&mut self.to_server);
        let (mut input, mut out) = (input.as_slice(), Vec::new());
        while let Progress::Event(event) = self.server.advance(self.now, &mut input, &mut out)? {
            match event {
                ServerEvent::StartTls => {
                    self.carry(End::Server, &core::mem::take(&mut out))?;
                    self.server.secured(Security::new(Some(EXPORTER)))?;
                }
                ServerEvent::Ask(ticket, ask) => {
                    let answer = self.answer(*ask);
                    self.server.answer(ticket, answer)?;
                }
                ServerEvent::Stanza(stanza) => self.route(*stanza, &mut out)?,
                ServerEvent::Authenticated { .. }
                | ServerEvent::AuthenticationFailed { .. }
                | ServerEvent::BindRefused { .. }
                | ServerEvent::Bound(_)
                | ServerEvent::Enabled
                | ServerEvent::Resumed { .. }
                | ServerEvent::Acked(_)
                | ServerEvent::Element(_) => {}
            }
        }
        self.carry(End::Server, &out)
    }

    fn carry(&mut self, from: End, bytes: &[u8]) -> Result<(), Error> {
        self.script.wire(from, bytes)?;
        match from {
            End::Client => self.to_server.extend(bytes),
            End::Server => self.to_client.extend(bytes),
        }
        Ok(())
    }

    fn answer(&mut self, ask: ServerAsk) -> ServerAnswer {
        match ask {
            ServerAsk::Credentials { hash, .. } => {
                ServerAnswer::Credentials(self.credentials.get(hash).cloned())
            }
            ServerAsk::Bind { account, resource, .. } => {
                ServerAnswer::Bound(self.bind(&account, resource.as_deref()))
            }
            ServerAsk::Verify { .. }
            | ServerAsk::Register { .. }
            | ServerAsk::KeysLacking { .. }
            | ServerAsk::AddKeys { .. }
            | ServerAsk::Tokens { .. }
            | ServerAsk::KeepToken { .. }
            | ServerAsk::Enable(_)
            | ServerAsk::Resume { .. } => ServerAnswer::Unavailable,
        }
    }

    fn bind(
        &mut self,
        account: &BareJid,
        resource: Option<&str>,
    ) -> Result<FullJid, balcony_stanza::StanzaError> {
        let mut effects = Vec::new();
        let bound = self.router.bind(self.now, SESSION, account, resource, &mut effects);
        // The account is an empty one.
        for effect in effects {
            if let Effect::Ask { ticket, .. } = effect {
                let answer = balcony_router::Answer::Loaded(Some(Box::default()));
                self.router.answer(self.now, ticket, answer, &mut Vec::new());
            }
        }
        bound
    }

    fn route(&mut self, stanza: Stanza, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut effects = Vec::new();
        self.router.route(self.now, SESSION, stanza, &mut effects);
        for effect in effects {
            if let Effect::Deliver { stanza, .. } = effect {
                self.server.send(&stanza, out)?;
            }
        }
        Ok(())
    }
}

/// The text that comes of it.
struct Script {
    text: String,
    section: usize,
    headers: usize,
    /// Cuts what the client, and what the server, sends into lines.
    readers: [Reader; 2],
}

impl Script {
    fn new() -> Self {
        let reader = || Reader::new(XmlLimits::STANZA);
        Script { text: INTRODUCTION.into(), section: 0, headers: 0, readers: [reader(), reader()] }
    }

    /// Writes down what one end has sent.
    fn wire(&mut self, from: End, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let before = bytes;
            if bytes.starts_with(b"<?xml") {
                self.readers[from as usize] = Reader::new(XmlLimits::STANZA);
            }
            let token = self.readers[from as usize].read(&mut bytes)?.ok_or("half an element was sent")?;
            if from == End::Client {
                self.turn(token);
            }
            let line = str::from_utf8(&before[..before.len() - bytes.len()])?;
            let who = if from == End::Client { 'C' } else { 'S' };
            writeln!(self.text, "{who}: {line}")?;
            if token == Token::Element {
                self.explain(from);
            }
        }
        Ok(())
    }

    /// The client begins every step; see which one this is.
    fn turn(&mut self, token: Token) {
        let element = || self.readers[End::Client as usize].element();
        let section = match token {
            Token::Header => {
                self.headers += 1;
                match self.headers {
                    1 => 1,
                    2 => 3,
                    _ => 4,
                }
            }
            Token::Element if element().is("starttls", ns::TLS) => 2,
            Token::Element if element().is("presence", ns::CLIENT) => 5,
            Token::Element if element().is("message", ns::CLIENT) => 6,
            Token::Element if element().children().any(|child| Ping::read(child).is_some()) => 7,
            Token::Element | Token::Refused(_) => self.section,
            Token::End => 8,
        };
        if section != self.section {
            self.end_section();
            self.section = section;
            if let Some((title, text)) = SECTIONS.get(section - 1) {
                // Writing to a string does not fail.
                let _ = write!(self.text, "\n## {section}. {title}\n\n{text}\n\n```text\n");
            }
        }
    }

    /// SASL messages are in base64; what is in them is worth a line of its own.
    fn explain(&mut self, from: End) {
        let element = self.readers[from as usize].element();
        if element.namespace() != ns::SASL {
            return;
        }
        let decoded =
            STANDARD.decode(element.text().as_bytes()).ok().and_then(|data| String::from_utf8(data).ok());
        if let Some(text) = decoded.filter(|text| !text.is_empty()) {
            self.remark(&format!("   = {text}"));
        }
    }

    fn remark(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn end_section(&mut self) {
        if self.section > 0 {
            self.text.push_str("```\n");
        }
    }

    fn finish(mut self) -> String {
        self.end_section();
        self.text
    }
}

const INTRODUCTION: &str = "\
# A login, line by line

`balcony trace` prints this page. A client (C) and a server (S) talk in memory, on virtual time and from a fixed seed, so
that it is the same each time. One line is what XMPP thinks of as one thing: a stream header, a stanza, or an element of
the negotiation. Lines with `=` show what is inside of base64. The password is `r0m30myr0m30`; it never stands on the wire.
";

const SECTIONS: [(&str, &str); 8] = [
    (
        "The stream opens (RFC 6120 section 4)",
        "\
The client names the domain that it wants, and the server says what can be negotiated. Nothing is protected yet, so there
is but one thing to do, and it is required. The client does not say who it is: that is nobody else's business.",
    ),
    (
        "TLS (RFC 6120 section 5)",
        "\
Both agree to encrypt. What either has said so far counts for nothing, since anybody could have changed it on the way.",
    ),
    (
        "Authentication (RFC 6120 section 6)",
        "\
The stream begins anew, on TLS, and now the server offers SASL mechanisms. The client takes the strongest: SCRAM (RFC 5802,
RFC 7677) proves to each side that the other knows the password, without showing it. `-PLUS` binds the proof to this very TLS
session by `tls-exporter` (RFC 9266), so that nobody in between can pass it on. `r` is a nonce to which both contribute, `s`
the salt, `i` the number of hash iterations, `c` the channel binding, `p` the client's proof and `v` the server's.",
    ),
    (
        "Resource binding (RFC 6120 section 7)",
        "\
The stream begins anew a last time. The client asks for a resource, and gets its full JID. Stanzas flow from here on.",
    ),
    (
        "Presence (RFC 6121 section 4.2)",
        "\
The client is connected, but gets no messages to the bare JID before it says that it is available. All available resources
of the account hear of it, the new one among them.",
    ),
    (
        "A message (RFC 6121 section 8.5.2.1.1)",
        "\
It goes to the bare JID, and so to the available resource with the highest priority: here, the one that sent it. The server
adds `from`, which no client can forge, and leaves `to` as it is.",
    ),
    (
        "A request (XEP-0199)",
        "\
Every iq of type get or set is answered by exactly one of type result or error, with the same id.",
    ),
    (
        "The stream closes (RFC 6120 section 4.4)",
        "\
Each side closes its own direction; then TLS and TCP end.",
    ),
];
