//! The initiating entity: a client on its stream to a server.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::FullJid;
use balcony_machine::Instant;
use balcony_sasl::{Binding, BindingState, ClientExchange, ClientStep, Mechanism, SaslCondition, SaslError};
use balcony_stanza::{IqType, Kind, Payload, Stanza, StanzaError, StreamCondition, StreamError, ns};
use balcony_xml::{Element, ElementRef, Name, escape_text};

use crate::common::Common;
use crate::config::Initiating;
use crate::error::Error;
use crate::event::{Answer, Ask, Event};
use crate::header::{Header, Version, check_namespaces};
use crate::sasl::{self, Profile};
use crate::side::Side;
use crate::starttls;
use crate::state::{Phase, Step};

/// The id of our bind request. Nothing else is under way then, so it need not be unique.
const BIND_ID: &str = "bind";

pub(crate) struct Initiator {
    config: Arc<Initiating>,
    exchange: Option<ClientExchange>,
    /// Mechanisms that the server has refused on this stream.
    refused: Vec<Mechanism>,
    /// Why the last one was.
    refusal: Option<(SaslCondition, Option<Cow<'static, str>>)>,
    /// What the server offered, until it is used up.
    offer: Offer,
    /// The way in which the exchange is carried.
    profile: Profile,
    authenticated: bool,
    /// What SASL2 has bound on the way; told at the next call.
    bound_inline: Option<FullJid>,
    jid: Option<FullJid>,
}

/// The part of the server's features that authentication needs.
#[derive(Default)]
struct Offer {
    mechanisms: Vec<Mechanism>,
    /// Whether tls-exporter was announced (XEP-0440); `None` if nothing was announced at all.
    exporter: Option<bool>,
    /// Whether Bind 2 is offered with SASL2 (XEP-0386).
    bind2: bool,
}

impl Initiator {
    pub(crate) fn new(config: Arc<Initiating>) -> Self {
        Initiator {
            config,
            exchange: None,
            refused: Vec::new(),
            refusal: None,
            offer: Offer::default(),
            profile: Profile::default(),
            authenticated: false,
            bound_inline: None,
            jid: None,
        }
    }
}

impl Side for Initiator {
    /// Writes our header if it is due.
    fn open(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        if common.phase() != Phase::Header || common.header_sent {
            return;
        }
        let header = Header {
            // Who we are is for protected eyes only (RFC 6120 section 4.7.1).
            from: common.security.is_some().then(|| self.config.account.as_str()),
            to: Some(self.config.account.domainpart()),
            id: None,
            version: true,
            lang: &self.config.lang,
        };
        common.open(&header, out);
    }

    /// Checks the server's header. Its features follow as an element of their own.
    fn header(
        &mut self,
        common: &mut Common,
        _now: Instant,
        _out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
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

    /// What this end does of itself, without waiting for the peer.
    fn due(&mut self, common: &mut Common, now: Instant, _out: &mut Vec<u8>) -> Result<Option<Event>, Error> {
        let Some(jid) = self.bound_inline.take_if(|_| common.phase() == Phase::Negotiate) else {
            return Ok(None);
        };
        common.step(Step::Bind)?;
        common.step(Step::Bound)?;
        common.heard(now);
        self.jid = Some(jid.clone());
        Ok(Some(Event::Bound(jid)))
    }

    fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        let element = common.reader.element();
        match (common.phase(), element.namespace(), element.name()) {
            // As long as no resource is bound nobody can mean us.
            (Phase::Closing, ..) if self.jid.is_none() => Ok(None),
            (Phase::Open | Phase::Closing, ..) => Ok(self.stanza(common, out)),
            (Phase::Negotiate, ns::STREAM, "features") => self.features(common, out).map(|()| None),
            (Phase::Proceed, ns::TLS, "proceed") => {
                common.step(Step::Proceed)?;
                Ok(Some(Event::StartTls))
            }
            (Phase::Proceed, ns::TLS, "failure") => Err(Error::NoTls),
            (Phase::Sasl, namespace, name) if namespace == self.profile.namespace() => match name {
                "challenge" => self.challenge(common, now, out),
                "success" => self.success(common).map(Some),
                "failure" => self.failure(common, out).map(|()| None),
                _ => Err(unexpected()),
            },
            (Phase::Bind, ns::CLIENT, "iq") => self.bound(common, now),
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
        answer: Answer,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        match (answer, &mut self.exchange) {
            (Answer::Salted(salted), Some(exchange)) => {
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

    fn jid(&self) -> Option<&FullJid> {
        self.jid.as_ref()
    }
}

impl Initiator {
    fn features(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        let features = common.reader.element();
        if self.authenticated {
            if features.child("bind", ns::BIND).is_none() {
                return Err(unsupported_feature());
            }
            return self.request_bind(common, out);
        }
        let offers_tls = starttls::is_offered(features);
        if starttls::request(common, self.config.tls, offers_tls, out)? {
            return Ok(());
        }
        let features = common.reader.element();
        let sasl2 = features.child("authentication", ns::SASL2);
        let sasl2 = sasl2.filter(|_| self.config.sasl2 && common.security.is_some());
        self.profile = if sasl2.is_some() { Profile::Extensible } else { Profile::Classic };
        self.offer = Offer::read(features, sasl2);
        self.authenticate(common, out)
    }

    /// Starts the best mechanism that both sides have and that has not been refused.
    fn authenticate(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        let exporter = common.security.as_ref().and_then(|security| security.exporter);
        // Without an announcement tls-exporter is what TLS 1.3 implies (RFC 9266); it is tried.
        let can_bind = exporter.filter(|_| self.offer.exporter != Some(false));
        let usable = |mechanism: &Mechanism| {
            self.offer.mechanisms.contains(mechanism)
                && !self.refused.contains(mechanism)
                && match mechanism {
                    Mechanism::Plain => common.security.is_some() && !self.config.require_channel_binding,
                    plus if plus.is_plus() => can_bind.is_some(),
                    _ => !self.config.require_channel_binding,
                }
        };
        let Some(mechanism) = self.config.mechanisms.iter().copied().find(usable) else {
            return Err(match self.refusal.take() {
                Some((condition, text)) => Error::Authentication(condition, text),
                None => Error::NoMechanism,
            });
        };
        let binding = match exporter {
            Some(data) if mechanism.is_plus() => BindingState::Use(Binding::TlsExporter(data)),
            // We could, and the server says that it can't: this is how a server finds out that somebody in between
            // hid its -PLUS mechanisms (RFC 5802 section 6), whatever was announced beside them.
            Some(_) if !self.offer.mechanisms.iter().any(|offered| offered.is_plus()) => {
                BindingState::SupportedNotOffered
            }
            _ => BindingState::Unsupported,
        };
        let username = self.config.account.localpart().unwrap_or_default();
        let nonce = common.random.token(24);
        let mut exchange =
            ClientExchange::new(mechanism, username, self.config.password.clone(), None, binding, nonce)
                .map_err(|error| self.sasl_error(&error))?;
        let initial = exchange.initial();
        match self.profile {
            Profile::Classic => {
                sasl::write_auth(common.framing, mechanism.name(), initial.as_deref(), out);
            }
            Profile::Extensible => self.write_authenticate(common, mechanism, initial.as_deref(), out),
        }
        self.exchange = Some(exchange);
        common.step(Step::Auth)
    }

    /// Begins an exchange of SASL2. If the choice of the resource is the server's, it is bound on the way.
    fn write_authenticate(
        &self,
        common: &Common,
        mechanism: Mechanism,
        initial: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        common.framing.element(out, |out| {
            for part in ["<authenticate xmlns='", ns::SASL2, "' mechanism='", mechanism.name(), "'>"] {
                out.extend_from_slice(part.as_bytes());
            }
            if let Some(initial) = initial {
                out.extend_from_slice(b"<initial-response>");
                Profile::Extensible.encode(initial, out);
                out.extend_from_slice(b"</initial-response>");
            }
            if self.offer.bind2 && self.config.resource.is_none() {
                out.extend_from_slice(b"<bind xmlns='urn:xmpp:bind:0'><tag>");
                escape_text(&self.config.tag, out);
                out.extend_from_slice(b"</tag></bind>");
            }
            out.extend_from_slice(b"</authenticate>");
        });
    }

    fn challenge(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        let data = (self.profile.decode(common.reader.element()))
            .map_err(|condition| Error::Authentication(condition, None))?
            .unwrap_or_default();
        let Some(exchange) = &mut self.exchange else { return Err(unexpected()) };
        let step = exchange.challenge(&data);
        self.client_step(common, now, step, out)
    }

    fn client_step(
        &mut self,
        common: &mut Common,
        now: Instant,
        step: Result<ClientStep, SaslError>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        match step {
            Ok(ClientStep::Send(data)) => {
                self.profile.write(common.framing, "response", Some(&data), out);
                Ok(None)
            }
            Ok(ClientStep::AskSalted { hash, password, salt, iterations }) => {
                Ok(Some(common.ask(now, Ask::SaltPassword { hash, password, salt, iterations })))
            }
            Err(error) => {
                self.profile.write(common.framing, "abort", None, out);
                Err(self.sasl_error(&error))
            }
        }
    }

    fn success(&mut self, common: &mut Common) -> Result<Event, Error> {
        let element = common.reader.element();
        let data = match self.profile {
            Profile::Classic => self.profile.decode(element),
            Profile::Extensible => match element.child("additional-data", ns::SASL2) {
                Some(data) => self.profile.decode(data),
                None => Ok(None),
            },
        };
        let data = data.map_err(|condition| Error::Authentication(condition, None))?;
        let Some(mut exchange) = self.exchange.take() else { return Err(unexpected()) };
        // A server that can't prove itself is not our server, whatever it says (RFC 5802 section 5).
        exchange.success(data.as_deref()).map_err(|_| Error::ServerNotAuthentic)?;
        self.authenticated = true;
        match self.profile {
            Profile::Classic => {
                common.step(Step::Authenticated)?;
                common.restart(true);
            }
            Profile::Extensible => {
                self.bound_inline = read_bound(element)?;
                common.step(Step::AuthenticatedInPlace)?;
                common.reader.set_limits(common.limits.after_auth);
            }
        }
        Ok(Event::Authenticated { account: self.config.account.clone(), mechanism: exchange.mechanism() })
    }

    fn failure(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        let element = common.reader.element();
        let condition = element
            .children()
            .find(|child| child.name() != "text")
            .map_or(SaslCondition::NotAuthorized, |child| SaslCondition::from_name(child.name()));
        let text = element
            .child("text", self.profile.namespace())
            .map(|text| Cow::Owned(String::from(&*text.text())));
        let Some(exchange) = self.exchange.take() else { return Err(unexpected()) };
        let mechanism = exchange.mechanism();
        common.step(Step::AuthFailed)?;
        // One reason to try again: a server that offers -PLUS but announces no channel binding may not have ours.
        // Every other refusal is about the password, and asking again would only lock the account.
        let try_again =
            mechanism.is_plus() && self.offer.exporter.is_none() && !self.config.require_channel_binding;
        if !try_again {
            return Err(Error::Authentication(condition, text));
        }
        self.refused.extend(Mechanism::all().iter().filter(|mechanism| mechanism.is_plus()));
        self.refusal = Some((condition, text));
        self.authenticate(common, out)
    }

    fn request_bind(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        const BIND: Name = Name::from_static("bind");
        const RESOURCE: Name = Name::from_static("resource");
        let mut bind = Element::new(BIND, ns::BIND);
        if let Some(resource) = &self.config.resource {
            bind = bind.child(Element::new(RESOURCE, ns::BIND).text(resource));
        }
        common.framing.stanza(&Stanza::iq(IqType::Set).id(BIND_ID).payload(Payload::from(bind)), out);
        common.step(Step::Bind)
    }

    fn bound(&mut self, common: &mut Common, now: Instant) -> Result<Option<Event>, Error> {
        let Some(Ok(stanza)) = Stanza::from_reader(&common.reader) else { return Ok(None) };
        if stanza.head.id.as_deref() != Some(BIND_ID) {
            return Ok(None);
        }
        match stanza.head.kind {
            Kind::Iq(IqType::Result) => {
                // The JID is what the server says it is (RFC 6120 section 4.3.6), not what we asked for.
                let jid = common
                    .reader
                    .element()
                    .child("bind", ns::BIND)
                    .and_then(|bind| bind.child("jid", ns::BIND))
                    .and_then(|jid| FullJid::parse(&jid.text()).ok())
                    .ok_or_else(no_bound_jid)?;
                common.step(Step::Bound)?;
                common.heard(now);
                self.jid = Some(jid.clone());
                Ok(Some(Event::Bound(jid)))
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
    fn stanza(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Option<Event> {
        match Stanza::from_reader(&common.reader)? {
            Ok(mut stanza) => {
                if stanza.head.lang.is_none() {
                    stanza.head.lang = common.peer_lang.clone();
                }
                Some(Event::Stanza(Box::new(stanza)))
            }
            Err(invalid) => {
                if let (Some(reply), Phase::Open) = (invalid.reply, common.phase()) {
                    common.framing.stanza(&reply, out);
                }
                None
            }
        }
    }

    fn sasl_error(&self, error: &SaslError) -> Error {
        match error {
            SaslError::NotProven => Error::ServerNotAuthentic,
            SaslError::Password(_) => Error::Authentication(
                SaslCondition::MalformedRequest,
                Some(Cow::Borrowed("this password is empty or has characters that no password may have")),
            ),
            SaslError::Refused(_) => Error::Authentication(SaslCondition::NotAuthorized, None),
            _ => Error::Authentication(
                SaslCondition::MalformedRequest,
                Some(Cow::Borrowed("the server's side of the exchange breaks the rules of the mechanism")),
            ),
        }
    }
}

impl Offer {
    /// What is offered for SASL2, if that is to be used, or else for the classic profile: the lists may differ.
    fn read(features: ElementRef<'_>, sasl2: Option<ElementRef<'_>>) -> Offer {
        let mechanisms = sasl2
            .or_else(|| features.child("mechanisms", ns::SASL))
            .into_iter()
            .flat_map(|list| list.children())
            .filter(|child| child.name() == "mechanism")
            .filter_map(|child| Mechanism::from_name(&child.text()))
            .collect();
        let exporter = features
            .child("sasl-channel-binding", ns::SASL_CHANNEL_BINDING)
            .map(|list| list.children().any(|binding| binding.attr("type") == Some("tls-exporter")));
        let bind2 = sasl2
            .and_then(|sasl2| sasl2.child("inline", ns::SASL2))
            .is_some_and(|inline| inline.child("bind", ns::BIND2).is_some());
        Offer { mechanisms, exporter, bind2 }
    }
}

/// The full JID in a success that has bound a resource as well (XEP-0386).
fn read_bound(success: ElementRef<'_>) -> Result<Option<FullJid>, Error> {
    if success.child("bound", ns::BIND2).is_none() {
        return Ok(None);
    }
    // The name of the element has changed between versions of the specification.
    ["authorization-identifier", "authorization-identity"]
        .into_iter()
        .find_map(|name| success.child(name, ns::SASL2))
        .and_then(|identity| FullJid::parse(&identity.text()).ok())
        .map(Some)
        .ok_or_else(no_bound_jid)
}

fn no_bound_jid() -> Error {
    StreamError::new(StreamCondition::UndefinedCondition, "the bound JID is missing or not valid").into()
}

fn unsupported_feature() -> Error {
    StreamError::new(StreamCondition::UnsupportedFeature, "resource binding was not offered").into()
}

fn unexpected() -> Error {
    StreamError::new(StreamCondition::UndefinedCondition, "a SASL element outside an exchange").into()
}
