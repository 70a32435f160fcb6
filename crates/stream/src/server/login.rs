//! How a client proves who it is: STARTTLS, SASL, and registration for those who have no account yet.

use alloc::boxed::Box;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_sasl::{
    Binding, Failure, Mechanism, Offered, SaslCondition, ServerExchange, ServerStep, fake_keys,
};
use balcony_stanza::{Stanza, StreamCondition, StreamError, ns};

use super::{Fast, Inline, Server, ServerAnswer, ServerAsk, ServerEvent, Upgrade};
use crate::common::Common;
use crate::error::Error;
use crate::feature::sasl::{self, Profile};
use crate::feature::{channel_binding, iap, register, sasl2, starttls};
use crate::state::{Phase, Step};

impl Server {
    pub(super) fn write_mechanisms(&self, common: &Common, out: &mut Vec<u8>) {
        // The list has at least one (RFC 6120 section 6.4.1).
        if self.offered(common).next().is_none() {
            return;
        }
        sasl::write_feature(self.offered(common), out);
        if self.offers_sasl2(common) {
            sasl2::write_feature(
                self.offered(common),
                &self.config.bind_inline,
                self.config.management,
                &self.config.upgrades,
                &self.token_mechanisms(common),
                out,
            );
        }
        if self.offers_plus(common) {
            channel_binding::write_feature(bindings(common), out);
        }
    }

    /// The mechanisms that fit this stream.
    fn offered(&self, common: &Common) -> impl Iterator<Item = Mechanism> {
        self.config.mechanisms.iter().copied().filter(|mechanism| offers(common, *mechanism))
    }

    fn offers_plus(&self, common: &Common) -> bool {
        self.offered(common).any(Mechanism::is_plus)
    }

    /// The same as the client should have got them, in either profile (XEP-0474 section 6.1).
    fn offer(&self, common: &Common) -> Offered {
        let mechanisms = self.offered(common).map(Mechanism::name);
        let bindings = self.offers_plus(common).then(|| bindings(common).map(|binding| binding.name()));
        let version = common.security.as_deref().and_then(|security| security.version);
        Offered::new(mechanisms, bindings).with_tls_version(version)
    }

    /// SASL2 is for protected streams only (XEP-0388 section 3), and there is some mechanism.
    fn offers_sasl2(&self, common: &Common) -> bool {
        common.is_secured && self.offered(common).next().is_some()
    }

    /// STARTTLS, SASL and registration: everything before the client is known.
    pub(super) fn negotiate(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let element = common.reader.element();
        match (element.namespace(), element.name()) {
            (ns::TLS, "starttls") => self.start_tls(common, out).map(Some),
            (ns::SASL, "auth") => self.begin(common, now, Profile::Classic, out),
            // Before TLS the failure says what has to come first, whichever profile it is.
            (ns::SASL2, "authenticate") if self.offers_sasl2(common) || !self.may_authenticate(common) => {
                self.begin(common, now, Profile::Extensible, out)
            }
            (namespace, "response") if self.is_under_way(common, namespace) => {
                let step = match (&mut self.login.exchange, self.profile.decode(element)) {
                    (Some(exchange), Ok(data)) => exchange.response(&data.unwrap_or_default()),
                    (_, Err(condition)) => Err(Failure::new(condition, "bad base64")),
                    (None, _) => {
                        Err(Failure::new(SaslCondition::MalformedRequest, "a response to no challenge"))
                    }
                };
                self.sasl_step(common, now, step, out)
            }
            (namespace, "abort") if self.is_under_way(common, namespace) => {
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

    fn is_under_way(&self, common: &Common, namespace: &str) -> bool {
        common.phase() == Phase::Sasl && self.profile.namespace() == namespace
    }

    /// Begins an exchange, in whichever profile.
    fn begin(
        &mut self,
        common: &mut Common,
        now: Instant,
        profile: Profile,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        // Only in the older profile may a client begin anew while an exchange is under way (RFC 6120 section 6.4.2, XEP-0388 section 2.4).
        let are_classic = [self.profile, profile] == [Profile::Classic; 2];
        if common.phase() == Phase::Sasl && !are_classic {
            let says = "a login is under way: finish or abort it first";
            return Err(StreamError::new(StreamCondition::PolicyViolation, says).into());
        }
        let element = common.reader.element();
        if !self.may_authenticate(common) {
            self.profile = profile;
            let failure =
                Failure::new(SaslCondition::EncryptionRequired, "authentication was tried before TLS");
            return self.sasl_failure(common, failure, out);
        }
        let name = element.attr("mechanism").unwrap_or_default();
        let mechanism = Mechanism::from_name(name);
        let token = Mechanism::for_token_from_name(name).filter(|_| sasl2::uses_token(element));
        let data = match profile {
            Profile::Classic => profile.decode(element),
            Profile::Extensible => sasl2::initial_response(element),
        };
        // A new attempt discards the one before (section 6.4.2).
        self.login.inline = Inline::read(profile, element, self.config.management).map(Box::new);
        self.login.upgrade = Upgrade::read(profile, element, &self.config.upgrades).map(Box::new);
        if profile == Profile::Extensible && self.knows_another_offer(common) {
            return self.refuse_unknown_offer(common, out);
        }
        let tokens = self.token_mechanisms(common);
        self.login.fast = Fast::read(profile, element, &tokens).map(Box::new);
        self.login.issued.clear();
        self.profile = profile;
        (self.login.exchange, self.login.candidate, self.login.exists) = (None, None, false);
        common.step(Step::Auth)?;
        if let Some(mechanism) =
            token.filter(|token| profile == Profile::Extensible && tokens.contains(token))
        {
            self.login.upgrade = None;
            return self.begin_with_token(common, now, mechanism, data, out);
        }
        let offered = mechanism.filter(|wanted| self.offered(common).any(|mechanism| mechanism == *wanted));
        let Some(mechanism) = offered else {
            let failure = Failure::new(SaslCondition::InvalidMechanism, "a mechanism that was not offered");
            return self.sasl_failure(common, failure, out);
        };
        let nonce = common.random.token(24);
        let mut exchange = ServerExchange::new(mechanism, None, self.offers_plus(common), nonce);
        exchange = exchange.with_offer(self.offer(common));
        for binding in bindings(common) {
            exchange = exchange.with_binding(binding);
        }
        let step = match data {
            Ok(data) => exchange.initial(data.as_deref()),
            Err(condition) => Err(Failure::new(condition, "bad base64")),
        };
        self.login.exchange = Some(exchange);
        self.sasl_step(common, now, step, out)
    }

    fn start_tls(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<ServerEvent, Error> {
        starttls::grant(common, self.config.tls, out)?;
        self.login.domain = None;
        self.login.claimed = None;
        Ok(ServerEvent::StartTls)
    }

    pub(super) fn sasl_step(
        &mut self,
        common: &mut Common,
        now: Instant,
        step: Result<ServerStep, Failure>,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        match step {
            Ok(ServerStep::Challenge(data)) => {
                self.profile.write(common.framing, "challenge", Some(&data), out);
                Ok(None)
            }
            Ok(ServerStep::AskCredentials { username, authzid }) => {
                let Some(hash) =
                    self.login.exchange.as_ref().and_then(|exchange| exchange.mechanism().hash())
                else {
                    return Err(StreamError::from(StreamCondition::InternalServerError).into());
                };
                match self.account_of(&username, authzid.as_deref()) {
                    Err(failure) => self.sasl_failure(common, failure, out),
                    Ok(Some(account)) => {
                        self.login.candidate = Some(account.clone());
                        Ok(Some(ServerEvent::Ask(
                            common.ask(now),
                            Box::new(ServerAsk::Credentials { account, hash }),
                        )))
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
                        self.login.candidate = Some(account.clone());
                        Ok(Some(ServerEvent::Ask(
                            common.ask(now),
                            Box::new(ServerAsk::Verify { account, password }),
                        )))
                    }
                    Ok(None) => {
                        let step = self.with_exchange(|exchange| exchange.verified(false));
                        self.sasl_step(common, now, step, out)
                    }
                }
            }
            Ok(ServerStep::Success { data, .. }) => self.look_for_upgrades(common, now, data, out),
            Err(failure) => self.sasl_failure(common, failure, out),
        }
    }

    /// The answer to a question about the candidate.
    pub(super) fn login_answered(
        &mut self,
        common: &mut Common,
        now: Instant,
        answer: ServerAnswer,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let step = match answer {
            ServerAnswer::Credentials(keys) => {
                let hash = self.login.exchange.as_ref().and_then(|exchange| exchange.mechanism().hash());
                let (Some(hash), Some(account)) = (hash, &self.login.candidate) else {
                    return Err(StreamError::from(StreamCondition::InternalServerError).into());
                };
                let exists = keys.is_some();
                let keys = keys.unwrap_or_else(|| {
                    fake_keys(self.config.decoy.expose(), account.as_str(), hash, self.config.iterations)
                });
                self.login.exists = exists;
                if let Some(fast) = &mut self.login.fast {
                    fast.proven_by(keys.salt());
                }
                self.with_exchange(|exchange| exchange.credentials(keys))
            }
            ServerAnswer::Verified(salt) => {
                if let Some((fast, salt)) = self.login.fast.as_mut().zip(salt.as_deref()) {
                    fast.proven_by(salt);
                }
                self.with_exchange(|exchange| exchange.verified(salt.is_some()))
            }
            _ => Err(Failure::new(SaslCondition::TemporaryAuthFailure, "the account store did not answer")),
        };
        self.sasl_step(common, now, step, out)
    }

    /// Whether the client has proven who it is, and is not let in yet.
    pub(super) fn exchange_is_over(&self) -> bool {
        self.login.exchange.as_ref().is_some_and(ServerExchange::is_over)
    }

    fn with_exchange(
        &mut self,
        act: impl FnOnce(&mut ServerExchange) -> Result<ServerStep, Failure>,
    ) -> Result<ServerStep, Failure> {
        match &mut self.login.exchange {
            Some(exchange) => act(exchange),
            None => Err(Failure::new(SaslCondition::MalformedRequest, "no exchange is going on")),
        }
    }

    /// The account that a user name stands for; `None` if it can be nobody's.
    ///
    /// Acting for somebody else is not supported: an authzid is the account's own bare JID (section 6.3.8).
    pub(super) fn account_of(
        &self,
        username: &str,
        authzid: Option<&str>,
    ) -> Result<Option<BareJid>, Failure> {
        let Some(domain) = &self.login.domain else { return Ok(None) };
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

    /// The client has begun its login before it could know the offer, and knows another one (XEP-0509 section 2.2). That is no attempt
    /// to log in; but there is no end of reasons to make one.
    fn refuse_unknown_offer(
        &mut self,
        common: &mut Common,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        (self.profile, self.login.exchange, self.login.candidate) = (Profile::Extensible, None, None);
        self.login.exists = false;
        (self.login.inline, self.login.upgrade, self.login.fast) = (None, None, None);
        common.step(Step::Auth)?;
        common.step(Step::AuthFailed)?;
        iap::write_mismatch(common.framing, out);
        self.login.binding_failures = self.login.binding_failures.saturating_add(1);
        if self.login.binding_failures >= common.limits().sasl_attempts {
            return Err(too_many_failures());
        }
        Ok(None)
    }

    pub(super) fn sasl_failure(
        &mut self,
        common: &mut Common,
        failure: Failure,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        // The reason stays here: the same words for a wrong password and an unknown user (section 6.5.10). But who could not bind is
        // to know what was wrong, and it says nothing of the account.
        let text = match failure.is_of_binding {
            true => Some(failure.reason),
            false => failure_text(failure.condition),
        };
        let account = self.login.candidate.take().filter(|_| self.login.exists);
        self.refuse_login(common, failure, text, out)?;
        // A client that has to find out which channel binding works has not guessed at a password.
        let failures =
            if failure.is_of_binding { &mut self.login.binding_failures } else { &mut self.login.failures };
        *failures = failures.saturating_add(1);
        if *failures >= common.limits().sasl_attempts {
            return Err(too_many_failures());
        }
        Ok(Some(ServerEvent::AuthenticationFailed { reason: failure.reason, account }))
    }

    /// Nothing has come of a login, and the client is told this text.
    pub(super) fn refuse_login(
        &mut self,
        common: &mut Common,
        failure: Failure,
        text: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.login.exchange = None;
        (self.login.candidate, self.login.exists) = (None, false);
        self.login.inline = None;
        self.login.upgrade = None;
        self.login.fast = None;
        self.login.issued.clear();
        if matches!(common.phase(), Phase::Sasl | Phase::Tasks) {
            common.step(Step::AuthFailed)?;
        }
        self.profile.write_failure(common.framing, failure.condition, text, out);
        Ok(())
    }

    pub(super) fn authenticated(
        &mut self,
        common: &mut Common,
        data: Option<Vec<u8>>,
        out: &mut Vec<u8>,
    ) -> Result<ServerEvent, Error> {
        let fast = self.login.fast.take();
        let mechanism = self.login.exchange.take().map(|exchange| exchange.mechanism());
        let mechanism = mechanism.or(fast.and_then(|fast| fast.mechanism()));
        let (Some(account), Some(mechanism)) = (self.login.candidate.take(), mechanism) else {
            return Err(StreamError::from(StreamCondition::InternalServerError).into());
        };
        // RFC 6120 section 6.4.6: the identity must be the one that the (protected) header claimed.
        if common.is_secured && self.login.claimed.as_ref().is_some_and(|claimed| *claimed != account) {
            return Err(StreamError::new(
                StreamCondition::InvalidFrom,
                "the `from` of the stream is not who logged in",
            )
            .into());
        }
        self.account = Some(account.clone());
        match self.profile {
            Profile::Classic => {
                self.profile.write(common.framing, "success", data.as_deref(), out);
                common.step(Step::Authenticated)?;
                common.restart(true);
                self.login.claimed = None;
            }
            Profile::Extensible => {
                common.step(Step::AuthenticatedInPlace)?;
                common.reader.set_limits(common.limits().after_auth);
                self.succeed_in_place(common, data, out);
            }
        }
        Ok(ServerEvent::Authenticated { account, mechanism })
    }

    fn register(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let not_authorized =
            || Error::from(StreamError::new(StreamCondition::NotAuthorized, "authenticate first"));
        if common.phase() != Phase::Negotiate {
            return Err(not_authorized());
        }
        let stanza = match Stanza::from_reader(&common.reader) {
            Some(Ok(stanza)) => stanza,
            Some(Err(invalid)) => {
                if let Some(reply) = invalid.reply {
                    common.framing.stanza(&reply, out);
                }
                return Ok(None);
            }
            None => return Err(not_authorized()),
        };
        let query =
            common.reader.element().child("query", balcony_xep::register::NS).ok_or_else(not_authorized)?;
        let login = &mut *self.login;
        let domain = login.domain.as_ref().ok_or_else(not_authorized)?;
        // The domain of the stream is all that a client may speak to before its login (RFC 6120 section 4.9.3.12): what is for others, be
        // it another domain that is served here, is not for this one to answer.
        if stanza.head.to.as_ref().is_some_and(|to| *to != domain.to_jid()) {
            return Err(not_authorized());
        }
        match login.registration.request(common.framing, &stanza, query, domain, out) {
            register::Outcome::Answered => Ok(None),
            register::Outcome::Ask(ask) => Ok(Some(ServerEvent::Ask(common.ask(now), Box::new(ask)))),
        }
    }
}

fn too_many_failures() -> Error {
    StreamError::new(StreamCondition::PolicyViolation, "too many failed authentications").into()
}

/// Whether a mechanism fits this stream: -PLUS needs a channel to bind to, PLAIN needs TLS.
fn offers(common: &Common, mechanism: Mechanism) -> bool {
    match mechanism {
        Mechanism::Plain => common.is_secured,
        mechanism if mechanism.is_plus() => bindings(common).next().is_some(),
        _ => true,
    }
}

/// What -PLUS mechanisms can bind to, best first.
pub(super) fn bindings(common: &Common) -> impl Iterator<Item = Binding> {
    let security = common.security.as_deref().filter(|security| !security.is_before_1_3());
    let exporter = security.and_then(|security| security.exporter).map(Binding::TlsExporter);
    let end_point = security.and_then(|security| security.end_point.as_deref());
    exporter.into_iter().chain(end_point.map(|digest| Binding::TlsServerEndPoint(digest.into())))
}

fn failure_text(condition: SaslCondition) -> Option<&'static str> {
    match condition {
        SaslCondition::NotAuthorized => Some("The user name or the password is wrong."),
        SaslCondition::CredentialsExpired => Some("The token has expired."),
        SaslCondition::EncryptionRequired => Some("Start TLS first."),
        SaslCondition::InvalidMechanism => Some("Use one of the mechanisms that were offered."),
        SaslCondition::TemporaryAuthFailure => {
            Some("Authentication is not possible right now. Try again later.")
        }
        _ => None,
    }
}
