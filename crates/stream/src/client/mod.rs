//! The role of a client on its stream to a server (RFC 6120 sections 4 to 7).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::FullJid;
use balcony_machine::{Instant, Seed};
use balcony_sasl::{ClientExchange, SaslCondition};
use balcony_stanza::{IqType, Kind, Stanza, StanzaError, StreamCondition, StreamError, ns};
use balcony_xep::csi;
use balcony_xml::ElementRef;

use crate::common::Common;
use crate::error::Error;
use crate::feature::sasl::{self, Profile};
use crate::feature::{bind, sasl2, sm, starttls};
use crate::header::{Header, Version, check_namespaces};
use crate::side::{Sealed, Side, Sorted};
use crate::state::{Phase, Role, Step};
use crate::stream::Stream;

mod activity;
mod binding;
mod config;
mod event;
#[cfg(feature = "fast")]
mod fast;
mod login;
mod managed;
mod token;
#[cfg(feature = "upgrade")]
mod upgrade;

pub use config::ClientStreamConfig;
pub use event::{ClientAnswer, ClientAsk, ClientEvent};
pub use managed::{Management, Resumption};
pub use token::Token;

use activity::Activity;
use binding::Channel;
use login::{Offer, unexpected};
use managed::Managed;

/// The id of our bind request. Nothing else is under way then, so it need not be unique.
const BIND_ID: &str = "bind";

/// What a server has announced that a client may use once it is online (RFC 6120 section 4.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerFeatures {
    /// A roster get may carry a version (RFC 6121 section 2.6.1).
    pub roster_versions: bool,
    /// A subscription may be approved before it is asked for (RFC 6121 section 3.4.1).
    pub pre_approval: bool,
    /// It wants to know whether somebody uses the client (XEP-0352): [`set_active`](crate::Stream::set_active).
    pub client_state: bool,
}

/// The role of a client. Its server's is [`Server`](crate::server::Server).
pub struct Client {
    config: Arc<ClientStreamConfig>,
    exchange: Option<ClientExchange>,
    /// Whether the server has sent a challenge in it.
    challenged: bool,
    /// What the server offered, until it is used up.
    offer: Offer,
    /// What the login can be bound to.
    channel: Channel,
    /// The refusal of the password in its first form, while the other one is tried.
    refusal: Option<Error>,
    /// The way in which the exchange is carried.
    profile: Profile,
    authenticated: bool,
    /// Tokens (XEP-0484).
    #[cfg(feature = "fast")]
    fast: fast::Fast,
    /// The tasks of the login (XEP-0480).
    #[cfg(feature = "upgrade")]
    upgrade: upgrade::Upgrade,
    /// What SASL2 has bound on the way; told when the features that follow are here.
    bound_inline: Option<FullJid>,
    jid: Option<FullJid>,
    announced: ServerFeatures,
    activity: Activity,
    /// Stream management (XEP-0198).
    managed: Managed,
    /// Where the server has sent us.
    redirect: Option<String>,
    /// What it has announced last, on a stream that looks.
    #[cfg(feature = "look")]
    offered: Option<Box<crate::Offered>>,
    /// Nothing more is to be negotiated before a login, on a stream that looks.
    #[cfg(feature = "look")]
    has_looked: bool,
}

/// A client's stream to its server. To what every [`Stream`] has it adds:
///
/// 1. **What has happened**: [`handled`](Stream::handled), so many stanzas that count are dealt with; [`unread`](Stream::unread), they are not yet.
/// 2. **What the owner wants**: [`resume`](Stream::resume) before the first byte, [`set_active`](Stream::set_active),
///    [`request_ack`](Stream::request_ack), [`probe`](Stream::probe).
/// 3. **What comes of it**: [`ClientEvent`]s, in the order `StartTls`, `Ask`, `Authenticated`, `Bound` or `Resumed`, `Enabled`; then stanzas.
/// 4. **Looking**: [`jid`](Stream::jid), [`features`](Stream::features), [`redirect`](Stream::redirect); and when it is over
///    [`resumption`](Stream::resumption), for the next one.
///
/// The whole loop, with what a server says in the place of a socket, and TLS below:
///
/// ```
/// use std::sync::Arc;
/// use balcony_machine::{Instant, Progress, Secret, Seed};
/// use balcony_sasl::salt_password;
/// use balcony_stanza::{MessageType, Stanza};
/// use balcony_stream::client::{ClientAnswer, ClientAsk, ClientEvent, ClientStreamConfig};
/// use balcony_stream::{ClientStream, Security, TlsPolicy};
///
/// # let header = "<stream:stream from='example.com' id='1' version='1.0' xmlns='jabber:client' \
/// #               xmlns:stream='http://etherx.jabber.org/streams'>";
/// # let login = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>\
/// #              </stream:features>";
/// # let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
/// # let bind = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
/// # let bound = "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
/// #              <jid>juliet@example.com/balcony</jid></bind></iq>";
/// # let end = "</stream:stream>";
/// # let from_server = [header, login, success, header, bind, bound, end];
/// let mut config = ClientStreamConfig::new("juliet@example.com".parse()?, Secret::new("pencil".into()));
/// config.tls = TlsPolicy::Direct;
/// let (now, mut out) = (Instant::ZERO, Vec::new());
/// let mut stream = ClientStream::new(Arc::new(config), Seed::from_u64(1), now);
/// // TLS has shaken hands. With STARTTLS that is done at `ClientEvent::StartTls`.
/// stream.secured(Security::default())?;
/// // The client speaks first: `advance` is called before anything has come.
/// for bytes in [""].into_iter().chain(from_server) {
///     let mut input = bytes.as_bytes();
///     loop {
///         match stream.advance(now, &mut input, &mut out)? {
///             Progress::Event(ClientEvent::Ask(ticket, ClientAsk::SaltPassword { hash, password, salt, iterations })) => {
///                 let salted = salt_password(hash, password.expose(), &salt, iterations)?;
///                 stream.answer(ticket, ClientAnswer::Salted(salted))?;
///             }
///             Progress::Event(ClientEvent::Bound(jid)) => {
///                 assert_eq!(jid.as_str(), "juliet@example.com/balcony");
///                 stream.send(&Stanza::message(MessageType::Chat).with_to("romeo@example.net".parse()?), &mut out)?;
///             }
///             // It is dealt with here. Where stanzas are counted (XEP-0198) a server sends no more, if it never hears that.
///             Progress::Event(ClientEvent::Stanza(_)) => stream.handled(1, &mut out),
///             Progress::Event(_) => {}
///             Progress::NeedInput | Progress::Closed => break,
///             Progress::Blocked(on) => panic!("nothing was left to wait for: {on:?}"),
///         }
///     }
///     // Here the bytes are written.
/// }
/// let out = String::from_utf8(out)?;
/// assert!(out.contains("to='romeo@example.net'") && out.ends_with("</stream:stream>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What other roles do does not compile:
///
/// ```compile_fail,E0599
/// # use balcony_stream::ClientStream;
/// fn dialback(stream: &mut ClientStream, from: balcony_jid::BareJid, to: balcony_jid::BareJid) {
///     let _ = stream.authorize(from, to);
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use balcony_stream::ClientStream;
/// # use balcony_machine::Ticket;
/// use balcony_stream::server::ServerAnswer;
///
/// fn answer(stream: &mut ClientStream, ticket: Ticket) {
///     let _ = stream.answer(ticket, ServerAnswer::Verified(Some([7; 16].into())));
/// }
/// ```
pub type ClientStream = Stream<Client>;

impl Stream<Client> {
    /// A stream that opens itself.
    #[must_use]
    pub fn new(config: Arc<ClientStreamConfig>, seed: Seed, now: Instant) -> Self {
        let bounds = Arc::<ClientStreamConfig>::clone(&config);
        let common = Common::new(Role::Client, config.tls, config.framing, bounds, &seed, now);
        Stream::begin(common, Client::new(config))
    }

    /// The bound JID, from [`ClientEvent::Bound`] on.
    #[must_use]
    pub fn jid(&self) -> Option<&FullJid> {
        self.side.jid.as_ref()
    }

    /// What the server has announced beside what the stream itself negotiates.
    #[must_use]
    pub fn features(&self) -> ServerFeatures {
        self.side.announced
    }

    /// What the server has announced last; `None` before that, and on a stream that does not [look](ClientStreamConfig::look).
    #[cfg(feature = "look")]
    #[must_use]
    pub fn offered(&self) -> Option<&crate::Offered> {
        self.side.offered.as_deref()
    }

    /// Sends a request that a server takes before a login, such as the registration of an account (XEP-0077 section 3.1), on a stream that
    /// [looks](ClientStreamConfig::look) and has [seen](Self::offered) all features. What the server says to it comes as [`ClientEvent::Stanza`];
    /// which of these is the answer is for the caller to see, by its id.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotOpen`](balcony_machine::ApiMisuse::NotOpen) at any other time.
    #[cfg(feature = "look")]
    pub fn request_before_login(
        &mut self,
        request: &balcony_stanza::Stanza,
        out: &mut Vec<u8>,
    ) -> Result<(), balcony_machine::ApiMisuse> {
        if !self.side.has_looked || self.common.phase() != Phase::Negotiate {
            return Err(balcony_machine::ApiMisuse::NotOpen);
        }
        self.common.framing.stanza(request, out);
        Ok(())
    }

    /// Whether a stream that looks has seen all that there is to see before a login: under TLS, where there is to be TLS.
    #[cfg(feature = "look")]
    #[must_use]
    pub fn has_looked(&self) -> bool {
        self.side.has_looked
    }

    /// The URI that the server has closed the stream for, to be used instead (RFC 7395 section 3.6.1). One that would be less
    /// protected than this stream is left out, so what is here may be followed; the server there has to be checked as this
    /// one was.
    #[must_use]
    pub fn redirect(&self) -> Option<&str> {
        self.side.redirect.as_deref()
    }
}

impl Client {
    fn new(config: Arc<ClientStreamConfig>) -> Self {
        Client {
            activity: Activity { is_inactive: !config.active, ..Activity::default() },
            config,
            exchange: None,
            challenged: false,
            offer: Offer::default(),
            channel: Channel::default(),
            refusal: None,
            profile: Profile::default(),
            authenticated: false,
            #[cfg(feature = "fast")]
            fast: fast::Fast::default(),
            #[cfg(feature = "upgrade")]
            upgrade: upgrade::Upgrade::default(),
            bound_inline: None,
            jid: None,
            announced: ServerFeatures::default(),
            managed: Managed::default(),
            redirect: None,
            #[cfg(feature = "look")]
            offered: None,
            #[cfg(feature = "look")]
            has_looked: false,
        }
    }
}

impl Sealed for Client {}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it holds is secret, or said by the stream.
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Side for Client {
    const ROLE: Role = Role::Client;

    type Event = ClientEvent;
    type Ask = ClientAsk;
    type Answer = ClientAnswer;

    fn sort(event: ClientEvent) -> Sorted<Self> {
        match event {
            ClientEvent::StartTls => Sorted::StartTls,
            ClientEvent::Ask(ticket, ask) => Sorted::Ask(ticket, ask),
            ClientEvent::Stanza(stanza) => Sorted::Stanza(stanza),
            event => Sorted::Other(event),
        }
    }

    fn starts_tls(event: &ClientEvent) -> bool {
        matches!(event, ClientEvent::StartTls)
    }

    fn unavailable() -> ClientAnswer {
        ClientAnswer::Unavailable
    }

    /// Writes our header if it is due.
    fn open(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        if common.phase() != Phase::Header || common.header_sent {
            return;
        }
        let header = Header {
            // Who we are is for protected eyes only (RFC 6120 section 4.7.1).
            from: common.is_secured.then(|| self.config.account.as_str()),
            to: Some(self.config.account.domainpart()),
            id: None,
            version: true,
            lang: &self.config.lang,
        };
        common.open(&header, out);
        #[cfg(feature = "fast")]
        self.begin_ahead(common, out);
    }

    /// Checks the server's header. Its features follow as an element of their own.
    fn header(
        &mut self,
        common: &mut Common,
        _now: Instant,
        _out: &mut Vec<u8>,
    ) -> Result<Option<ClientEvent>, Error> {
        let header = common.peer_header();
        check_namespaces(common)?;
        // Section 4.7.5: a server that is a whole version behind never sends features.
        if header.version.major < Version::OURS.major {
            return Err(StreamError::new(
                StreamCondition::UnsupportedVersion,
                "only version 1.0 is spoken here",
            )
            .into());
        }
        common.peer_lang = header.lang;
        common.step(Step::Headers).map(|()| None)
    }

    fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ClientEvent>, Error> {
        let element = common.reader.element();
        match (common.phase(), element.namespace(), element.name()) {
            // As long as no resource is bound nobody can mean us.
            (Phase::Closing, ..) if self.jid.is_none() => Ok(None),
            (Phase::Open | Phase::Closing, balcony_xep::sm::NS, _) => self.manage(common, now, out),
            (Phase::Open | Phase::Closing, ..) => Ok(self.stanza(common, out)),
            (Phase::Resume, balcony_xep::sm::NS, _) => self.resume_answered(common, now, out),
            (Phase::Negotiate, ns::STREAM, "features") => self.features(common, now, out),
            (Phase::Proceed, ns::TLS, "proceed") => {
                common.step(Step::Proceed)?;
                Ok(Some(ClientEvent::StartTls))
            }
            (Phase::Proceed, ns::TLS, "failure") => Err(Error::NoTls),
            (Phase::Sasl, namespace, name) if namespace == self.profile.namespace() => match name {
                "challenge" => self.challenge(common, now, out),
                "success" => self.success(common).map(Some),
                "failure" => self.failure(common, out).map(|()| None),
                #[cfg(feature = "upgrade")]
                "continue" => self.task_offered(common, out).map(|()| None),
                _ => Err(unexpected()),
            },
            #[cfg(feature = "upgrade")]
            (Phase::Tasks, ns::SASL2, _) => self.task(common, now, out),
            (Phase::Bind, ns::CLIENT, "iq") => self.bound(common, now, out),
            #[cfg(feature = "look")]
            (Phase::Negotiate, ns::CLIENT, "iq") if self.has_looked => {
                let answer = Stanza::from_reader(&common.reader).and_then(Result::ok);
                Ok(answer.map(|answer| ClientEvent::Stanza(Box::new(answer))))
            }
            // Stanzas have no business here yet; one that comes early is ignored, as it could be the server's greeting.
            (_, ns::CLIENT, _) => Ok(None),
            _ => {
                Err(StreamError::new(StreamCondition::UnsupportedStanzaType, "not expected at this point")
                    .into())
            }
        }
    }

    /// The answer to the ask that this stream waited for: a client asks for one thing only.
    fn answered(
        &mut self,
        common: &mut Common,
        now: Instant,
        answer: ClientAnswer,
        out: &mut Vec<u8>,
    ) -> Result<Option<ClientEvent>, Error> {
        #[cfg(feature = "upgrade")]
        let answer = match answer {
            ClientAnswer::Salted(salted) if common.phase() == Phase::Tasks => {
                return self.task_salted(common, &salted, out).map(|()| None);
            }
            answer => answer,
        };
        match (answer, &mut self.exchange) {
            (ClientAnswer::Salted(salted), Some(exchange)) => {
                let step = exchange.salted(salted);
                self.client_step(common, now, step, out)
            }
            _ => {
                self.profile.write(common.framing, "abort", None, out);
                Err(Error::Authentication(
                    SaslCondition::TemporaryAuthFailure,
                    Some(Cow::Borrowed("our own password could not be prepared in time")),
                ))
            }
        }
    }

    fn due(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ClientEvent>, Error> {
        #[cfg(feature = "fast")]
        if let Some(event) = self.tell_token() {
            return Ok(Some(event));
        }
        self.tell_inline(common, now, out)
    }

    fn jid(&self) -> Option<&FullJid> {
        self.jid.as_ref()
    }

    fn refusal(&self) -> Option<&Error> {
        self.refusal.as_ref()
    }

    fn sent_elsewhere(&mut self, common: &Common) {
        let secure = common.is_secured;
        let uri = common.reader.element().attr("see-other-uri").filter(|uri| may_follow(secure, uri));
        self.redirect = uri.map(String::from);
    }
}

impl Client {
    fn features(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ClientEvent>, Error> {
        let features = common.reader.element();
        if self.authenticated {
            self.announced = ServerFeatures {
                roster_versions: features.child("ver", "urn:xmpp:features:rosterver").is_some(),
                pre_approval: features.child("sub", "urn:xmpp:features:pre-approval").is_some(),
                client_state: features.children().any(|child| csi::Feature::read(child).is_some()),
            };
            self.activity.is_offered = self.announced.client_state;
            let (can_bind, is_managed) = (bind::is_offered(features), sm::is_offered(features));
            self.managed.is_offered = is_managed;
            self.managed.may_bind = can_bind;
            if let Some(jid) = self.bound_inline.take() {
                common.step(Step::Bind)?;
                return self.open_with(jid, common, now, out).map(Some);
            }
            if self.ask_to_resume(common, out)? {
                return Ok(None);
            }
            if !can_bind {
                return Err(unsupported_feature());
            }
            return self.request_bind(common, out).map(|()| None);
        }
        let offers_tls = starttls::is_offered(features);
        #[cfg(feature = "look")]
        if self.config.look {
            self.offered = Some(Box::new(crate::Offered::read(common)));
        }
        if starttls::request(common, self.config.tls, offers_tls, out)? {
            return Ok(None);
        }
        #[cfg(feature = "look")]
        if self.config.look {
            self.has_looked = true;
            return Ok(None);
        }
        let features = common.reader.element();
        let extensible = sasl2::offer(features);
        let extensible = extensible.filter(|_| self.config.sasl2 && common.is_secured);
        self.profile = if extensible.is_some() { Profile::Extensible } else { Profile::Classic };
        self.offer = Offer::read(features, extensible);
        #[cfg(feature = "fast")]
        self.read_fast(features, extensible.and_then(|offer| offer.child("inline", ns::SASL2)));
        // RFC 6120 section 4.9.3.23: nothing to authenticate with, and something else that must be done.
        let has_sasl = extensible.is_some() || sasl::offer(features).is_some();
        let is_required = |feature: ElementRef<'_>| {
            feature.namespace() != ns::TLS && feature.children().any(|child| child.name() == "required")
        };
        if !has_sasl && features.children().any(is_required) {
            return Err(unsupported_feature());
        }
        self.channel = Channel::new(&self.config, common.security.as_deref(), &self.offer, self.profile)?;
        #[cfg(feature = "fast")]
        if self.was_ahead(common) {
            self.profile = Profile::Extensible;
            self.challenged = false;
            return common.step(Step::Auth).map(|()| None);
        }
        self.authenticate(common, out).map(|()| None)
    }

    fn open_with(
        &mut self,
        jid: FullJid,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<ClientEvent, Error> {
        common.step(Step::Bound)?;
        common.heard(now);
        self.begin_session(common, out);
        self.tell_activity(common, out);
        self.jid = Some(jid.clone());
        Ok(ClientEvent::Bound(jid))
    }

    fn request_bind(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        common.framing.stanza(&bind::request(BIND_ID, self.config.resource.as_deref()), out);
        common.step(Step::Bind)
    }

    fn bound(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ClientEvent>, Error> {
        let Some(Ok(stanza)) = Stanza::from_reader(&common.reader) else { return Ok(None) };
        if stanza.head.id.as_deref() != Some(BIND_ID) {
            return Ok(None);
        }
        match stanza.head.kind {
            Kind::Iq(IqType::Result) => {
                // The JID is what the server says it is (RFC 6120 section 4.3.6), not what we asked for.
                let jid = bind::read_result(common.reader.element()).ok_or_else(no_bound_jid)?;
                self.open_with(jid, common, now, out).map(Some)
            }
            Kind::Iq(IqType::Error) => {
                let error = StanzaError::from_payload(common.reader.element());
                Err(Error::Bind(
                    error.unwrap_or_else(|| balcony_stanza::ErrorCondition::UndefinedCondition.into()),
                ))
            }
            _ => Ok(None),
        }
    }

    /// A first-level element of the open stream. What is no valid stanza is answered or ignored; the stream goes on.
    fn stanza(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Option<ClientEvent> {
        match Stanza::from_reader(&common.reader)? {
            Ok(mut stanza) => {
                if stanza.head.lang.is_none() {
                    stanza.head.lang = common.peer_lang.clone();
                }
                common.brought();
                Some(ClientEvent::Stanza(Box::new(stanza)))
            }
            Err(invalid) => {
                common.took();
                // Without an address it would go to our own account; only the server itself has none.
                let is_by_server = common.reader.element().attr("from").is_none();
                let reply = invalid.reply.filter(|reply| is_by_server || reply.head.to.is_some());
                if let (Some(reply), Phase::Open) = (reply, common.phase()) {
                    common.write_stanza(&reply, out);
                }
                None
            }
        }
    }
}

fn no_bound_jid() -> Error {
    StreamError::new(StreamCondition::UndefinedCondition, "the bound JID is missing or not valid").into()
}

fn unsupported_feature() -> Error {
    StreamError::new(StreamCondition::UnsupportedFeature, "resource binding was not offered").into()
}

/// Whether this is the URI of a WebSocket or of BOSH, and not less protected than what is left for it.
fn may_follow(secure: bool, uri: &str) -> bool {
    let scheme = uri.split_once(':').filter(|(_, rest)| rest.starts_with("//")).map(|(scheme, _)| scheme);
    let scheme = scheme.unwrap_or_default();
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    is("wss") || is("https") || (!secure && (is("ws") || is("http")))
}
