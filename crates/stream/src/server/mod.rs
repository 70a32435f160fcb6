//! The role of a server on a client's stream (RFC 6120 sections 4 to 8).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Instant, Seed};
use balcony_sasl::ServerExchange;
use balcony_stanza::{ErrorCondition, Stanza, StanzaError, StreamCondition, StreamError, ns};
use balcony_xep::register;
use balcony_xep::sm::Resume;
use balcony_xml::Element;

use crate::common::Common;
use crate::error::Error;
use crate::feature::register::Registration;
use crate::feature::sasl::Profile;
use crate::feature::{announced, bind, iap, sm, starttls};
use crate::header::{Header, PeerHeader, check_namespaces, not_served};
use crate::side::{Sealed, Side, Sorted};
use crate::state::{Phase, Role, Step};
use crate::stream::Stream;

mod config;
mod event;
mod fast;
mod inline;
mod login;
mod managed;
mod session;
mod upgrade;

pub use config::ServerStreamConfig;
pub use event::{HeldToken, NewToken, ServerAnswer, ServerAsk, ServerEvent};

use fast::Fast;
use inline::Inline;
use upgrade::Upgrade;

/// The role of a server on a client's stream. The client's is [`Client`](crate::client::Client).
pub struct Server {
    config: Arc<ServerStreamConfig>,
    login: LoggingIn,
    /// The way in which the client has logged in, or tries to.
    profile: Profile,
    account: Option<BareJid>,
    jid: Option<FullJid>,
    bind_refusals: u8,
}

/// What is known of a client that has no resource yet, and is of no use afterwards.
#[derive(Default)]
struct Login {
    /// The domain that the client asked for.
    domain: Option<BareJid>,
    /// Who the client says it is, in its header.
    claimed: Option<BareJid>,
    exchange: Option<ServerExchange>,
    /// What the client wants done as soon as it is authenticated (XEP-0388).
    inline: Option<Box<Inline>>,
    /// The keys that it gives before that (XEP-0480).
    upgrade: Option<Box<Upgrade>>,
    /// What it has to do with tokens (XEP-0484).
    fast: Option<Box<Fast>>,
    /// The token that it gets with its success, written out.
    issued: Vec<u8>,
    /// The session that the client asks for, while the owner is asked about it (XEP-0198).
    resume: Option<Box<Resume<'static>>>,
    /// Who is logging in, while an ask about them is open.
    candidate: Option<BareJid>,
    /// The store has keys of the candidate, so it is no password that was typed in the wrong place.
    exists: bool,
    failures: u8,
    /// Tries that were refused for their channel binding.
    binding_failures: u8,
    /// The id of the bind request that waits for its answer.
    bind_id: Option<Arc<str>>,
    registration: Registration,
}

/// A [`Login`], which is there from when the client has said something until it has a resource. Before and after that it is blank.
#[derive(Default)]
struct LoggingIn(Option<Box<Login>>);

impl Deref for LoggingIn {
    type Target = Login;

    fn deref(&self) -> &Login {
        static BLANK: Login = Login {
            domain: None,
            claimed: None,
            exchange: None,
            inline: None,
            upgrade: None,
            fast: None,
            issued: Vec::new(),
            resume: None,
            candidate: None,
            exists: false,
            failures: 0,
            binding_failures: 0,
            bind_id: None,
            registration: Registration::NONE,
        };
        self.0.as_deref().unwrap_or(&BLANK)
    }
}

impl DerefMut for LoggingIn {
    fn deref_mut(&mut self) -> &mut Login {
        self.0.get_or_insert_default()
    }
}

/// A client's stream, at its server. To what every [`Stream`] has it adds:
///
/// 1. **What has happened**: [`handled`](Stream::handled), so many stanzas that count are dealt with; [`unread`](Stream::unread), they are not yet.
/// 2. **What the owner wants**: [`request_ack`](Stream::request_ack).
/// 3. **What comes of it**: [`ServerEvent`]s, in the order `StartTls`, `Authenticated`, `Bound` or `Resumed`, `Enabled`, with asks in
///    between; then stanzas. Until an ask is answered the stream is blocked.
/// 4. **Looking**: [`jid`](Stream::jid), [`counts`](Stream::counts).
///
/// The whole loop, with what a client says in the place of a socket, and TLS below:
///
/// ```
/// use std::sync::Arc;
/// use balcony_machine::{Instant, Progress, Secret, Seed};
/// use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent, ServerStreamConfig};
/// use balcony_stream::{Security, ServerStream, TlsPolicy};
///
/// # let header = "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
/// #               xmlns:stream='http://etherx.jabber.org/streams'>";
/// # let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABwZW5jaWw=</auth>";
/// # let bind = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>balcony</resource></bind></iq>";
/// # let presence = "<presence/>";
/// # let end = "</stream:stream>";
/// # let from_client = [header, auth, header, bind, presence, end];
/// let mut config = ServerStreamConfig::new(vec!["example.com".parse()?], Secret::new([7; 32]));
/// config.tls = TlsPolicy::Direct;
/// let (now, mut out, mut stanzas) = (Instant::ZERO, Vec::new(), Vec::new());
/// let mut stream = ServerStream::new(Arc::new(config), Seed::from_u64(1), now);
/// // TLS has shaken hands. With STARTTLS that is done at `ServerEvent::StartTls`.
/// stream.secured(Security::default())?;
/// for bytes in from_client {
///     let mut input = bytes.as_bytes();
///     loop {
///         match stream.advance(now, &mut input, &mut out)? {
///             Progress::Event(ServerEvent::Ask(ticket, ask)) => {
///                 // A real server looks this up elsewhere, and goes on with other streams meanwhile.
///                 let answer = match *ask {
///                     ServerAsk::Verify { password, .. } => {
///                         ServerAnswer::Verified((password.expose() == "pencil").then(|| [1; 16].into()))
///                     }
///                     ServerAsk::Bind { account, resource, .. } => {
///                         ServerAnswer::Bound(Ok(account.with_resource(resource.as_deref().unwrap_or("any"))?))
///                     }
///                     _ => ServerAnswer::Unavailable,
///                 };
///                 stream.answer(ticket, answer)?;
///             }
///             Progress::Event(ServerEvent::Stanza(stanza)) => stanzas.push(stanza),
///             Progress::Event(_) => {}
///             Progress::NeedInput | Progress::Closed => break,
///             Progress::Blocked(on) => panic!("every ask was answered: {on:?}"),
///         }
///     }
///     // Here the bytes are written.
/// }
/// assert_eq!(stanzas[0].head.from, Some("juliet@example.com/balcony".parse()?));
/// assert!(String::from_utf8(out)?.ends_with("</stream:stream>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What other roles do does not compile; a server sends nobody elsewhere by itself, for one:
///
/// ```compile_fail,E0599
/// # use balcony_stream::ServerStream;
/// fn redirect(stream: &ServerStream) -> Option<&str> {
///     stream.redirect()
/// }
/// ```
pub type ServerStream = Stream<Server>;

impl Stream<Server> {
    /// A stream that a client is about to open.
    #[must_use]
    pub fn new(config: Arc<ServerStreamConfig>, seed: Seed, now: Instant) -> Self {
        let bounds = Arc::<ServerStreamConfig>::clone(&config);
        let common = Common::new(Role::Server, config.tls, config.framing, bounds, &seed, now);
        Stream::begin(common, Server::new(config))
    }

    /// The bound JID, from [`ServerEvent::Bound`] on.
    #[must_use]
    pub fn jid(&self) -> Option<&FullJid> {
        self.side.jid.as_ref()
    }
}

impl Server {
    fn new(config: Arc<ServerStreamConfig>) -> Self {
        Server {
            config,
            login: LoggingIn::default(),
            profile: Profile::default(),
            account: None,
            jid: None,
            bind_refusals: 0,
        }
    }
}

impl Sealed for Server {}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it holds is secret, or said by the stream.
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Side for Server {
    const ROLE: Role = Role::Server;

    type Event = ServerEvent;
    type Ask = ServerAsk;
    type Answer = ServerAnswer;

    fn sort(event: ServerEvent) -> Sorted<Self> {
        match event {
            ServerEvent::StartTls => Sorted::StartTls,
            ServerEvent::Ask(ticket, ask) => Sorted::Ask(ticket, *ask),
            ServerEvent::Stanza(stanza) => Sorted::Stanza(stanza),
            event => Sorted::Other(event),
        }
    }

    fn starts_tls(event: &ServerEvent) -> bool {
        matches!(event, ServerEvent::StartTls)
    }

    fn unavailable() -> ServerAnswer {
        ServerAnswer::Unavailable
    }

    fn force_header(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        self.write_header(common, None, out);
    }

    /// Answers the client's header, and offers features (RFC 6120 sections 4.3.2 and 4.7).
    fn header(
        &mut self,
        common: &mut Common,
        _now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let header = common.peer_header();
        self.login.claimed = header.claimed();
        let served = header.served(&self.config.domains);
        // After authentication the account decides which domain this is.
        let served = match &self.account {
            Some(account) => served.filter(|domain| domain.domainpart() == account.domainpart()),
            None => served,
        }
        .cloned();
        self.login.domain = served.clone().or_else(|| self.login.domain.take());
        self.write_header(common, Some(&header), out);
        check_namespaces(common)?;
        if served.is_none() {
            return Err(not_served(&self.config.gone, &header).into());
        }
        if matches!(header.from, Some(Err(()))) {
            return Err(StreamError::new(
                StreamCondition::InvalidFrom,
                "the `from` of the stream is not a valid JID",
            )
            .into());
        }
        // XEP-0388 section 2.1, where SASL2 is: on protected streams.
        let is_of_another = |claimed: &BareJid| {
            served.as_ref().is_some_and(|domain| domain.domainpart() != claimed.domainpart())
        };
        if common.is_secured
            && self.account.is_none()
            && self.login.claimed.as_ref().is_some_and(is_of_another)
        {
            return Err(StreamError::new(
                StreamCondition::InvalidFrom,
                "the `from` of the stream is of another domain than its `to`",
            )
            .into());
        }
        if !header.has_features() {
            return Err(StreamError::new(
                StreamCondition::UnsupportedVersion,
                "only version 1.0 is spoken here",
            )
            .into());
        }
        common.peer_lang = header.lang;
        self.write_features(common, out);
        common.step(Step::Headers).map(|()| None)
    }

    fn is_strict(&self, common: &Common) -> bool {
        self.profile == Profile::Extensible && matches!(common.phase(), Phase::Sasl | Phase::Tasks)
    }

    /// What this end does of itself, without waiting for the peer.
    fn due(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        match common.phase() {
            Phase::Negotiate => {
                self.check_refused_binds(common)?;
                if self.account.is_some() { self.go_on_inline(common, now, out) } else { Ok(None) }
            }
            _ => Ok(None),
        }
    }

    fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        match common.phase() {
            Phase::Open => self.stanza(common, now, out),
            // After our closing tag nothing is answered, but what was sent before it was read still counts.
            Phase::Closing if self.jid.is_some() => self.late(common, now, out),
            Phase::Closing => Ok(None),
            Phase::Negotiate if self.is_managing(common) => self.manage(common, now, out),
            Phase::Tasks => self.task(common, now, out),
            _ if self.account.is_some() => self.bind(common, now, out),
            _ => self.negotiate(common, now, out),
        }
    }

    /// The answer to the ask that this stream waited for.
    fn answered(
        &mut self,
        common: &mut Common,
        now: Instant,
        answer: ServerAnswer,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        match common.phase() {
            Phase::Sasl | Phase::Tasks if self.login.upgrade.is_some() && self.exchange_is_over() => {
                return self.upgrade_answered(common, now, answer, out);
            }
            Phase::Sasl | Phase::Tasks if self.asks_for_tokens() => {
                return self.token_answered(common, now, answer, out);
            }
            Phase::Bind if self.login.inline.is_some() => return self.bound_inline(common, now, answer, out),
            Phase::Resume => return self.resume_answered(common, now, answer, out),
            // On an open stream nothing else is asked.
            Phase::Open => return Ok(self.enable_answered(common, answer, out)),
            _ => {}
        }
        if self.login.bind_id.is_some() {
            return match answer {
                ServerAnswer::Bound(result) => self.bound(common, now, result, out),
                _ => self.bound(common, now, Err(ErrorCondition::InternalServerError.into()), out),
            };
        }
        if self.login.registration.is_pending() {
            let result = match answer {
                ServerAnswer::Registered(result) => result,
                _ => Err(StanzaError::new(
                    ErrorCondition::ResourceConstraint,
                    "registration is not possible right now",
                )),
            };
            let most = common.limits().sasl_attempts;
            return self.login.registration.finish(common.framing, result, most, out).map(|()| None);
        }
        self.login_answered(common, now, answer, out)
    }

    fn jid(&self) -> Option<&FullJid> {
        self.jid.as_ref()
    }
}

impl Server {
    /// Our header; in answer to `peer`'s, if one has been read.
    fn write_header(&mut self, common: &mut Common, peer: Option<&PeerHeader>, out: &mut Vec<u8>) {
        let domain = self.login.domain.as_ref().or(self.config.domains.first());
        let id = common.random.token(26);
        let header = Header {
            from: domain.map(BareJid::as_str),
            // Only what the client itself said (section 4.7.2).
            to: peer.and_then(PeerHeader::echo),
            id: Some(&id),
            version: peer.is_none_or(PeerHeader::has_features),
            lang: "en",
        };
        common.open(&header, out);
    }

    /// What may follow now. Before authentication: TLS if it is needed, then SASL; after it: binding.
    fn write_features(&self, common: &Common, out: &mut Vec<u8>) {
        common.framing.features(out, |out| self.write_feature_list(common, out));
    }

    fn write_feature_list(&self, common: &Common, out: &mut Vec<u8>) {
        if self.account.is_some() {
            // With a resource bound nothing is left to negotiate (section 4.3.5); what remains is for the client to know.
            if self.jid.is_none() {
                bind::write_feature(out);
            }
            if self.config.management && !common.is_managed() {
                sm::write_feature(out);
            }
            // RFC 6121 sections 2.6.1 and 3.4.1: rosters have versions, and requests can be approved before they come.
            out.extend_from_slice(
                b"<ver xmlns='urn:xmpp:features:rosterver'/><sub xmlns='urn:xmpp:features:pre-approval'/>",
            );
            for (name, namespace) in &self.config.features {
                announced::write(name, namespace, out);
            }
        } else {
            let start = out.len();
            self.write_first_features(common, out);
            if self.offers_pipelining(common) {
                let version = iap::version(&self.config.decoy, &out[start..]);
                iap::write_version(Some("opaque"), &version, out);
            }
        }
    }

    /// What is offered to a client that has not authenticated, without its version.
    fn write_first_features(&self, common: &Common, out: &mut Vec<u8>) {
        starttls::write_feature(common, self.config.tls, out);
        if self.may_authenticate(common) {
            self.write_mechanisms(common, out);
            if self.config.registration {
                register::feature().root().write(out, ns::CLIENT);
            }
        }
    }

    /// Whether a client may begin its login with the stream (XEP-0509): it is of use where that takes one message.
    fn offers_pipelining(&self, common: &Common) -> bool {
        self.may_authenticate(common) && !self.token_mechanisms(common).is_empty()
    }

    /// Whether the client knows another offer than the one that it has got.
    fn knows_another_offer(&self, common: &Common) -> bool {
        let Some(known) = iap::value(common.reader.element()).filter(|_| self.offers_pipelining(common))
        else {
            return false;
        };
        let mut features = Vec::new();
        self.write_first_features(common, &mut features);
        known != iap::version(&self.config.decoy, &features)
    }

    /// Whether an element of stream management has come, and means something here.
    fn is_managing(&self, common: &Common) -> bool {
        self.config.management && sm::is_element(common.reader.element())
    }

    /// The element that has come, if it is no stanza and the owner's.
    fn own_element(&self, common: &Common) -> Option<Element> {
        let element = common.reader.element();
        let is_own = self.config.elements.iter().any(|(name, namespace)| element.is(name, namespace));
        is_own.then(|| Element::from(element))
    }

    /// The client has a resource.
    fn is_bound(&mut self, common: &mut Common, jid: FullJid) {
        self.jid = Some(jid);
        self.login = LoggingIn::default();
        common.forget_security();
    }

    fn may_authenticate(&self, common: &Common) -> bool {
        starttls::is_secure_enough(common, self.config.tls)
    }
}

fn reply_error(common: &mut Common, request: &Stanza, error: &StanzaError, out: &mut Vec<u8>) {
    if let Some(reply) = request.error(error) {
        common.write_stanza(&reply, out);
    }
}
