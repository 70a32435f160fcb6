//! The receiving entity: a server on a client's stream.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_machine::Instant;
use balcony_sasl::{Binding, Failure, Mechanism, SaslCondition, ServerExchange, ServerStep, fake_keys};
use balcony_stanza::{
    ErrorCondition, IqType, Kind, Payload, Stanza, StanzaError, StreamCondition, StreamError, ns,
};
use balcony_xml::{Element, Name};

use crate::common::Common;
use crate::config::{Receiving, TlsPolicy};
use crate::error::Error;
use crate::event::{Answer, Ask, Event};
use crate::header::{Header, PeerHeader, Version, check_namespaces};
use crate::register::{self, Registration};
use crate::sasl;
use crate::state::{Phase, Step};

pub(crate) struct Receiver {
    config: Arc<Receiving>,
    /// The domain that the client asked for.
    domain: Option<BareJid>,
    /// Who the client says it is, in its header.
    claimed: Option<BareJid>,
    exchange: Option<ServerExchange>,
    /// Who is logging in, while an ask about them is open.
    candidate: Option<BareJid>,
    failures: u8,
    account: Option<BareJid>,
    bare: Option<Jid>,
    full: Option<Jid>,
    jid: Option<FullJid>,
    /// The id of the bind request that waits for its answer.
    bind_id: Option<Arc<str>>,
    bind_refusals: u8,
    registration: Registration,
}

impl Receiver {
    pub(crate) fn new(config: Arc<Receiving>) -> Self {
        Receiver {
            config,
            domain: None,
            claimed: None,
            exchange: None,
            candidate: None,
            failures: 0,
            account: None,
            bare: None,
            full: None,
            jid: None,
            bind_id: None,
            bind_refusals: 0,
            registration: Registration::default(),
        }
    }

    pub(crate) fn jid(&self) -> Option<&FullJid> {
        self.jid.as_ref()
    }

    /// Answers the client's header, and offers features (RFC 6120 sections 4.3.2 and 4.7).
    pub(crate) fn header(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        common.header_read = true;
        let header = PeerHeader::read(&common.reader);
        self.claimed = header.claimed();
        let served = match &header.to {
            // Headers without `to` come from clients older than RFC 6120 (section 4.7.2).
            None => self.config.domains.first(),
            Some(Ok(to)) => self.config.domains.iter().find(|domain| domain.as_str() == to.as_str()),
            Some(Err(())) => None,
        };
        // After authentication the account decides which domain this is.
        let served = match &self.account {
            Some(account) => served.filter(|domain| domain.domainpart() == account.domainpart()),
            None => served,
        }
        .cloned();
        let version_known = header.version >= Version { major: 1, minor: 0 };
        self.domain = served.clone().or_else(|| self.domain.take());
        self.write_header(common, Some(&header), out);
        check_namespaces(&common.reader)?;
        if served.is_none() {
            return Err(StreamError::new(
                StreamCondition::HostUnknown,
                "this server does not serve that domain",
            )
            .into());
        }
        if matches!(header.from, Some(Err(()))) {
            return Err(StreamError::new(
                StreamCondition::InvalidFrom,
                "the `from` of the stream is not a valid JID",
            )
            .into());
        }
        if !version_known {
            return Err(StreamError::new(
                StreamCondition::UnsupportedVersion,
                "only version 1.0 is spoken here",
            )
            .into());
        }
        common.peer_lang = header.lang;
        self.write_features(common, out);
        common.step(Step::Headers)
    }

    /// Our header; in answer to `peer`'s, if one has been read.
    pub(crate) fn write_header(&mut self, common: &mut Common, peer: Option<&PeerHeader>, out: &mut Vec<u8>) {
        let domain = self.domain.as_ref().or(self.config.domains.first());
        let id = common.random.token(26);
        Header {
            from: domain.map(BareJid::as_str),
            // Only what the client itself said (section 4.7.2).
            to: self.claimed.as_ref().map(BareJid::as_str),
            id: Some(&id),
            version: peer.is_none_or(|peer| peer.version >= Version { major: 1, minor: 0 }),
            lang: "en",
        }
        .write(out);
        common.header_sent = true;
    }

    /// What may follow now. Before authentication: TLS if it is needed, then SASL; after it: binding.
    fn write_features(&self, common: &Common, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<stream:features>");
        if self.account.is_some() {
            out.extend_from_slice(b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>");
            // Session establishment is a no-op since RFC 6121, but old clients insist on seeing it.
            out.extend_from_slice(
                b"<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>",
            );
        } else {
            if common.security.is_none() {
                match self.config.tls {
                    TlsPolicy::Required => out.extend_from_slice(
                        b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>",
                    ),
                    TlsPolicy::Optional => {
                        out.extend_from_slice(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
                    }
                    TlsPolicy::Direct | TlsPolicy::None => {}
                }
            }
            if self.may_authenticate(common) {
                self.write_mechanisms(common, out);
                if self.config.registration {
                    out.extend_from_slice(b"<register xmlns='http://jabber.org/features/iq-register'/>");
                }
            }
        }
        out.extend_from_slice(b"</stream:features>");
    }

    fn write_mechanisms(&self, common: &Common, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>");
        for mechanism in self.config.mechanisms.iter().filter(|mechanism| offers(common, **mechanism)) {
            for part in ["<mechanism>", mechanism.name(), "</mechanism>"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(b"</mechanisms>");
        if exporter(common).is_some() {
            // XEP-0440: which channel bindings the -PLUS mechanisms can use here.
            out.extend_from_slice(
                b"<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>",
            );
        }
    }

    fn may_authenticate(&self, common: &Common) -> bool {
        common.security.is_some() || matches!(self.config.tls, TlsPolicy::Optional | TlsPolicy::None)
    }

    pub(crate) fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        match common.phase() {
            Phase::Open => self.stanza(common, now, out),
            // After our closing tag nothing is answered, but what was sent before it was read still counts.
            Phase::Closing => Ok(self.jid.is_some().then(|| self.incoming(common)).transpose()?.flatten()),
            _ if self.account.is_some() => self.bind(common, now, out),
            _ => self.negotiate(common, now, out),
        }
    }

    /// STARTTLS, SASL and registration: everything before the client is known.
    fn negotiate(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        let element = common.reader.element();
        match (element.namespace(), element.name()) {
            (ns::TLS, "starttls") => self.start_tls(common, out).map(Some),
            (ns::SASL, "auth") => {
                if !self.may_authenticate(common) {
                    return self.sasl_failure(
                        common,
                        Failure::new(
                            SaslCondition::EncryptionRequired,
                            "authentication was tried before TLS",
                        ),
                        out,
                    );
                }
                let mechanism = element.attr("mechanism").and_then(Mechanism::from_name);
                let data = sasl::decode(element);
                // A new attempt discards the one before (section 6.4.2).
                common.step(Step::Auth)?;
                self.exchange = None;
                let offered = mechanism.filter(|m| self.config.mechanisms.contains(m) && offers(common, *m));
                let Some(mechanism) = offered else {
                    let failure =
                        Failure::new(SaslCondition::InvalidMechanism, "a mechanism that was not offered");
                    return self.sasl_failure(common, failure, out);
                };
                let plus = exporter(common).is_some() && self.config.mechanisms.iter().any(|m| m.is_plus());
                let mut exchange =
                    ServerExchange::new(mechanism, exporter(common), plus, common.random.token(24));
                let step = match data {
                    Ok(data) => exchange.initial(data.as_deref()),
                    Err(condition) => Err(Failure::new(condition, "bad base64")),
                };
                self.exchange = Some(exchange);
                self.sasl_step(common, now, step, out)
            }
            (ns::SASL, "response") if common.phase() == Phase::Sasl => {
                let data = sasl::decode(element);
                let step = match (&mut self.exchange, data) {
                    (Some(exchange), Ok(data)) => exchange.response(&data.unwrap_or_default()),
                    (_, Err(condition)) => Err(Failure::new(condition, "bad base64")),
                    (None, _) => {
                        Err(Failure::new(SaslCondition::MalformedRequest, "a response to no challenge"))
                    }
                };
                self.sasl_step(common, now, step, out)
            }
            (ns::SASL, "abort") if common.phase() == Phase::Sasl => {
                let failure = Failure::new(SaslCondition::Aborted, "aborted by the client");
                self.sasl_failure(common, failure, out)
            }
            (ns::CLIENT, "iq") if self.config.registration && self.may_authenticate(common) => {
                self.register(common, now, out)
            }
            // RFC 6120 section 4.9.3.12.
            _ => Err(StreamError::new(StreamCondition::NotAuthorized, "authenticate first").into()),
        }
    }

    fn start_tls(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<Event, Error> {
        let offered =
            common.security.is_none() && matches!(self.config.tls, TlsPolicy::Required | TlsPolicy::Optional);
        if !offered || common.phase() != Phase::Negotiate {
            // Section 5.4.2.2: a failure, then the end of the stream. It is not a stream error.
            out.extend_from_slice(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            return Err(Error::NoTls);
        }
        common.step(Step::StartTls)?;
        common.step(Step::Proceed)?;
        out.extend_from_slice(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        // Whatever follows the `>` in the input is TLS's, never ours: text slipped in behind it dies in the handshake.
        self.domain = None;
        self.claimed = None;
        Ok(Event::StartTls)
    }

    fn sasl_step(
        &mut self,
        common: &mut Common,
        now: Instant,
        step: Result<ServerStep, Failure>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        match step {
            Ok(ServerStep::Challenge(data)) => {
                sasl::write("challenge", Some(&data), out);
                Ok(None)
            }
            Ok(ServerStep::AskCredentials { username, authzid }) => {
                let Some(hash) = self.exchange.as_ref().and_then(|exchange| exchange.mechanism().hash())
                else {
                    return Err(StreamError::from(StreamCondition::InternalServerError).into());
                };
                match self.account_of(&username, authzid.as_deref()) {
                    Err(failure) => self.sasl_failure(common, failure, out),
                    Ok(Some(account)) => {
                        self.candidate = Some(account.clone());
                        Ok(Some(common.ask(now, Ask::Credentials { account, hash })))
                    }
                    // No account can have this name; it is treated like one that doesn't exist.
                    Ok(None) => {
                        let keys =
                            fake_keys(self.config.decoy.expose(), &username, hash, self.config.iterations);
                        let step = self.with_exchange(|exchange| exchange.credentials(keys));
                        self.sasl_step(common, now, step, out)
                    }
                }
            }
            Ok(ServerStep::AskVerify { username, authzid, password }) => {
                match self.account_of(&username, authzid.as_deref()) {
                    Err(failure) => self.sasl_failure(common, failure, out),
                    Ok(Some(account)) => {
                        self.candidate = Some(account.clone());
                        Ok(Some(common.ask(now, Ask::Verify { account, password })))
                    }
                    Ok(None) => {
                        let step = self.with_exchange(|exchange| exchange.verified(false));
                        self.sasl_step(common, now, step, out)
                    }
                }
            }
            Ok(ServerStep::Success { data, .. }) => self.authenticated(common, data, out).map(Some),
            Err(failure) => self.sasl_failure(common, failure, out),
        }
    }

    fn with_exchange(
        &mut self,
        act: impl FnOnce(&mut ServerExchange) -> Result<ServerStep, Failure>,
    ) -> Result<ServerStep, Failure> {
        match &mut self.exchange {
            Some(exchange) => act(exchange),
            None => Err(Failure::new(SaslCondition::MalformedRequest, "no exchange is going on")),
        }
    }

    /// The account that a user name stands for; `None` if it can be nobody's.
    ///
    /// Acting for somebody else is not supported: an authzid is the account's own bare JID (section 6.3.8).
    fn account_of(&self, username: &str, authzid: Option<&str>) -> Result<Option<BareJid>, Failure> {
        let Some(domain) = &self.domain else { return Ok(None) };
        let account = BareJid::from_parts(Some(username), domain.domainpart()).ok();
        if let Some(authzid) = authzid {
            let wanted = BareJid::parse(authzid).ok();
            if wanted.is_none() || wanted != account {
                return Err(Failure::new(
                    SaslCondition::InvalidAuthzid,
                    "an authzid other than the account itself",
                ));
            }
        }
        Ok(account)
    }

    fn sasl_failure(
        &mut self,
        common: &mut Common,
        failure: Failure,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        self.exchange = None;
        self.candidate = None;
        if common.phase() == Phase::Sasl {
            common.step(Step::AuthFailed)?;
        }
        // The reason stays here: the same words for a wrong password and an unknown user (section 6.5.10).
        sasl::write_failure(failure.condition, failure_text(failure.condition), out);
        self.failures = self.failures.saturating_add(1);
        if self.failures >= common.limits.sasl_attempts {
            return Err(StreamError::new(
                StreamCondition::PolicyViolation,
                "too many failed authentications",
            )
            .into());
        }
        Ok(Some(Event::AuthenticationFailed { reason: failure.reason }))
    }

    fn authenticated(
        &mut self,
        common: &mut Common,
        data: Option<Vec<u8>>,
        out: &mut Vec<u8>,
    ) -> Result<Event, Error> {
        let (Some(account), Some(exchange)) = (self.candidate.take(), self.exchange.take()) else {
            return Err(StreamError::from(StreamCondition::InternalServerError).into());
        };
        sasl::write("success", data.as_deref(), out);
        common.step(Step::Authenticated)?;
        // RFC 6120 section 6.4.6: the identity must be the one that the (protected) header claimed.
        if common.security.is_some() && self.claimed.as_ref().is_some_and(|claimed| *claimed != account) {
            return Err(StreamError::new(
                StreamCondition::InvalidFrom,
                "the `from` of the stream is not who logged in",
            )
            .into());
        }
        common.restart(true);
        self.claimed = None;
        self.bare = Some(account.to_jid());
        self.account = Some(account.clone());
        Ok(Event::Authenticated { account, mechanism: exchange.mechanism() })
    }

    /// The answer to the ask that this stream waited for.
    pub(crate) fn answered(
        &mut self,
        common: &mut Common,
        now: Instant,
        answer: Answer,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        if self.bind_id.is_some() {
            return match answer {
                Answer::Bound(result) => self.bound(common, now, result, out),
                _ => self.bound(common, now, Err(ErrorCondition::InternalServerError.into()), out),
            };
        }
        if self.registration.is_pending() {
            let result = match answer {
                Answer::Registered(result) => result,
                _ => Err(StanzaError::new(
                    ErrorCondition::ResourceConstraint,
                    "registration is not possible right now",
                )),
            };
            self.registration.finish(result, out);
            return Ok(None);
        }
        let step = match answer {
            Answer::Credentials(keys) => {
                let hash = self.exchange.as_ref().and_then(|exchange| exchange.mechanism().hash());
                let (Some(hash), Some(account)) = (hash, &self.candidate) else {
                    return Err(StreamError::from(StreamCondition::InternalServerError).into());
                };
                let keys = keys.unwrap_or_else(|| {
                    fake_keys(self.config.decoy.expose(), account.as_str(), hash, self.config.iterations)
                });
                self.with_exchange(|exchange| exchange.credentials(keys))
            }
            Answer::Verified(right) => self.with_exchange(|exchange| exchange.verified(right)),
            _ => Err(Failure::new(SaslCondition::TemporaryAuthFailure, "the account store did not answer")),
        };
        self.sasl_step(common, now, step, out)
    }

    /// Before a resource is bound the only thing to do is to bind one (section 7.1).
    fn bind(&mut self, common: &mut Common, now: Instant, out: &mut Vec<u8>) -> Result<Option<Event>, Error> {
        let stanza = match Stanza::from_reader(&common.reader) {
            Some(Ok(stanza)) if matches!(stanza.head.kind, Kind::Iq(IqType::Set | IqType::Get)) => stanza,
            Some(Err(invalid)) => {
                if let Some(reply) = invalid.reply {
                    reply.write(out);
                }
                return Ok(None);
            }
            _ => return Err(StreamError::new(StreamCondition::NotAuthorized, "bind a resource first").into()),
        };
        let request = common.reader.element().child("bind", ns::BIND);
        let (Some(request), Kind::Iq(IqType::Set), Some(account)) =
            (request, stanza.head.kind, &self.account)
        else {
            reply_error(&stanza, &StanzaError::new(ErrorCondition::NotAllowed, "bind a resource first"), out);
            return Ok(None);
        };
        let resource = request
            .child("resource", ns::BIND)
            .map(|resource| String::from(&*resource.text()))
            .filter(|resource| !resource.is_empty());
        self.bind_id = stanza.head.id.clone();
        common.step(Step::Bind)?;
        Ok(Some(common.ask(now, Ask::Bind { account: account.clone(), resource })))
    }

    fn bound(
        &mut self,
        common: &mut Common,
        now: Instant,
        result: Result<FullJid, StanzaError>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        const BIND: Name = Name::from_static("bind");
        const JID: Name = Name::from_static("jid");
        let mut request = Stanza::iq(IqType::Set);
        request.head.id = self.bind_id.take();
        match result {
            Ok(jid) => {
                let bind = Element::new(BIND, ns::BIND).child(Element::new(JID, ns::BIND).text(jid.as_str()));
                if let Some(reply) = request.result() {
                    reply.payload(Payload::from(bind)).write(out);
                }
                common.step(Step::Bound)?;
                common.heard(now);
                self.full = Some(jid.to_jid());
                self.jid = Some(jid.clone());
                Ok(Some(Event::Bound(jid)))
            }
            Err(error) => {
                reply_error(&request, &error, out);
                common.step(Step::BindRefused)?;
                self.refused_bind(common)?;
                Ok(None)
            }
        }
    }

    fn refused_bind(&mut self, common: &Common) -> Result<(), Error> {
        self.bind_refusals = self.bind_refusals.saturating_add(1);
        if self.bind_refusals >= common.limits.bind_attempts {
            return Err(StreamError::new(
                StreamCondition::PolicyViolation,
                "too many refused attempts to bind",
            )
            .into());
        }
        Ok(())
    }

    /// A first-level element of the open stream.
    fn stanza(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        let _ = now;
        match Stanza::from_reader(&common.reader) {
            Some(Err(invalid)) => {
                if let Some(reply) = invalid.reply {
                    reply.write(out);
                }
                Ok(None)
            }
            // One stream, one resource.
            Some(Ok(stanza)) if common.reader.element().child("bind", ns::BIND).is_some() => {
                reply_error(
                    &stanza,
                    &StanzaError::new(
                        ErrorCondition::NotAllowed,
                        "a resource is already bound to this stream",
                    ),
                    out,
                );
                self.refused_bind(common).map(|()| None)
            }
            _ => self.incoming(common),
        }
    }

    /// Makes an event of a stanza, its `from` stamped with what was authenticated (section 8.1.2.1).
    fn incoming(&mut self, common: &Common) -> Result<Option<Event>, Error> {
        let mut stanza = match Stanza::from_reader(&common.reader) {
            Some(Ok(stanza)) => stanza,
            Some(Err(_)) => return Ok(None),
            None => {
                return Err(StreamError::new(
                    StreamCondition::UnsupportedStanzaType,
                    "only message, presence and iq are understood here",
                )
                .into());
            }
        };
        let (Some(bare), Some(full)) = (&self.bare, &self.full) else { return Ok(None) };
        if stanza.head.from.as_ref().is_some_and(|from| from != full && from != bare) {
            return Err(StreamError::new(
                StreamCondition::InvalidFrom,
                "`from` is not the JID of this stream",
            )
            .into());
        }
        // Subscriptions belong to the account, all else to the resource.
        let subscription = matches!(stanza.head.kind, Kind::Presence(presence) if presence.is_subscription());
        stanza.head.from = Some(if subscription { bare.clone() } else { full.clone() });
        if stanza.head.lang.is_none() {
            stanza.head.lang = common.peer_lang.clone();
        }
        Ok(Some(Event::Stanza(stanza.into())))
    }

    fn register(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        let not_authorized =
            || Error::from(StreamError::new(StreamCondition::NotAuthorized, "authenticate first"));
        if common.phase() != Phase::Negotiate {
            return Err(not_authorized());
        }
        let stanza = match Stanza::from_reader(&common.reader) {
            Some(Ok(stanza)) => stanza,
            Some(Err(invalid)) => {
                if let Some(reply) = invalid.reply {
                    reply.write(out);
                }
                return Ok(None);
            }
            None => return Err(not_authorized()),
        };
        let query = common.reader.element().child("query", ns::REGISTER).ok_or_else(not_authorized)?;
        let domain = self.domain.as_ref().ok_or_else(not_authorized)?;
        match self.registration.request(&stanza, query, domain, out) {
            register::Outcome::Answered => Ok(None),
            register::Outcome::Ask(ask) => Ok(Some(common.ask(now, ask))),
        }
    }
}

/// Whether a mechanism fits this stream: -PLUS needs a channel to bind to, PLAIN needs TLS.
fn offers(common: &Common, mechanism: Mechanism) -> bool {
    match mechanism {
        Mechanism::Plain => common.security.is_some(),
        mechanism if mechanism.is_plus() => exporter(common).is_some(),
        _ => true,
    }
}

fn exporter(common: &Common) -> Option<Binding> {
    common.security.as_ref().and_then(|security| security.exporter).map(Binding::TlsExporter)
}

fn reply_error(request: &Stanza, error: &StanzaError, out: &mut Vec<u8>) {
    if let Some(reply) = request.error(error) {
        reply.write(out);
    }
}

fn failure_text(condition: SaslCondition) -> Option<&'static str> {
    match condition {
        SaslCondition::NotAuthorized => Some("The user name or the password is wrong."),
        SaslCondition::EncryptionRequired => Some("Start TLS first."),
        SaslCondition::InvalidMechanism => Some("Use one of the mechanisms that were offered."),
        SaslCondition::TemporaryAuthFailure => {
            Some("Authentication is not possible right now. Try again later.")
        }
        _ => None,
    }
}
