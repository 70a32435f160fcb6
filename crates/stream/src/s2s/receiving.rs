//! The receiving entity: a server on the stream of another server, from which stanzas come.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::{ApiMisuse, Instant, Reason, Ticket};
use balcony_sasl::SaslCondition;
use balcony_stanza::{ErrorCondition, Stanza, StreamCondition, StreamError, ns};

use super::{S2sAnswer, S2sAsk, S2sEvent, S2sReceivingConfig, managed};
use crate::addressed::{Incoming, domain, outgoing};
use crate::common::Common;
use crate::error::Error;
use crate::feature::dialback::{self, Content, Proof, Received, Verdict, Verification, dialback_key};
use crate::feature::sasl::Profile;
use crate::feature::{external, sm, starttls};
use crate::header::{Header, PeerHeader, check_namespaces, not_served};
use crate::hex::same;
use crate::security::TlsPolicy;
use crate::state::{Phase, Step};

/// How many times the time for negotiation a stream may last that is for keys only: whoever has more of them opens another.
const KEYS_ONLY: u32 = 10;

pub(super) struct Receiver {
    config: Arc<S2sReceivingConfig>,
    /// The domain of ours that the peer named in its header.
    domain: Option<BareJid>,
    /// The domain that the peer says it is, in its header.
    claimed: Option<BareJid>,
    /// The id of the stream, part of dialback keys.
    id: String,
    /// The domain that SASL has confirmed.
    authenticated: Option<BareJid>,
    /// Who vouches for the certificate.
    vouching: Vouching,
    failures: usize,
    /// Whether the peer has asked for stanzas the other way, too.
    bidi: bool,
    /// When the stream ends if it is for keys only.
    end: Option<Instant>,
    /// What the stream is called when it is over (XEP-0198).
    pub(super) managed_id: Option<Box<str>>,
    /// What stanzas may come from and go to, and what is about to be found out; bounded.
    pairs: Vec<Pair>,
}

struct Pair {
    from: BareJid,
    to: BareJid,
    state: State,
}

enum State {
    /// The peer has sent this key. It is its turn when few enough are being asked about.
    Wanted(String),
    /// Somebody asks the authoritative server.
    Asked(Ticket, Instant),
    /// The peer is to be told.
    Answered(Verdict),
    Valid,
}

/// Whether somebody vouches for the certificate of the peer.
#[derive(Clone, Copy)]
enum Vouching {
    /// Nobody does.
    No,
    /// They are asked, and have to answer until then.
    Asked(Ticket, Instant),
    /// They have answered, and the peer is to be told what it may do.
    Answered(bool),
    /// They do, for the domain that the peer says it is.
    Yes,
}

impl Receiver {
    pub(super) fn new(config: Arc<S2sReceivingConfig>) -> Self {
        Receiver {
            config,
            domain: None,
            claimed: None,
            id: String::new(),
            authenticated: None,
            vouching: Vouching::No,
            failures: 0,
            bidi: false,
            end: None,
            managed_id: None,
            pairs: Vec::new(),
        }
    }
}

impl Receiver {
    pub(super) fn force_header(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        self.write_header(common, None, out);
    }

    pub(super) fn header(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<S2sEvent>, Error> {
        let header = common.peer_header();
        let from = header.from.as_ref().map(|from| from.as_ref().ok().and_then(domain));
        self.claimed = from.clone().flatten();
        let served = header.served(&self.config.domains).cloned();
        self.domain = served.clone().or_else(|| self.domain.take());
        self.write_header(common, Some(&header), out);
        check_namespaces(common)?;
        let Some(served) = served else { return Err(not_served(&self.config.gone, &header).into()) };
        let is_whom = |known: &BareJid| self.claimed.as_ref().is_none_or(|claimed| claimed == known);
        if from == Some(None) || !self.authenticated.as_ref().is_none_or(is_whom) {
            return Err(StreamError::new(
                StreamCondition::InvalidFrom,
                "the `from` of the stream is no domain, or not the one that was authenticated",
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
        common.step(Step::Headers)?;
        match self.authenticated.clone() {
            Some(from) => self.complete(common, now, from, served, out).map(Some),
            None if self.is_to_be_vouched_for(common) => Ok(self.claimed.clone().map(|claimed| {
                let ticket = common.ticket();
                self.vouching = Vouching::Asked(ticket, now + common.limits().answer);
                S2sEvent::Ask(ticket, S2sAsk::Vouch(claimed))
            })),
            None => self.write_features(common, out).map(|()| None),
        }
    }

    /// Whether the peer has shown a certificate that proves nothing by itself, and nothing else would do.
    fn is_to_be_vouched_for(&self, common: &Common) -> bool {
        let has_shown = common.is_secured && self.claimed.is_some() && !self.is_proven(common);
        has_shown && self.config.vouching && self.config.dialback.is_none()
    }

    pub(super) fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<S2sEvent>, Error> {
        let element = common.reader.element();
        match (common.phase(), element.namespace(), element.name()) {
            // After our closing tag nothing is answered, but what was sent before it was read still counts.
            (Phase::Closing, ns::DIALBACK, _) => Ok(None),
            (Phase::Closing, ..) if self.pairs.is_empty() => Ok(None),
            (Phase::Negotiate | Phase::Open, ns::DIALBACK, _) if self.config.dialback.is_some() => {
                self.dialback(common, now, out).map(|()| None)
            }
            (Phase::Negotiate | Phase::Open | Phase::Closing, balcony_xep::sm::NS, _)
                if self.config.management =>
            {
                managed::received(&mut self.managed_id, common, now, out)
            }
            (Phase::Open | Phase::Closing, ..) => self.stanza(common),
            (_, ns::TLS, "starttls") => {
                self.forget(common)?;
                starttls::grant(common, self.config.tls, out)?;
                (self.domain, self.claimed, self.bidi) = (None, None, false);
                self.vouching = Vouching::No;
                Ok(Some(S2sEvent::StartTls))
            }
            // XEP-0288 section 2.2: after TLS, before anybody is authenticated, and without an answer.
            (Phase::Negotiate, ns::BIDI, "bidi") if self.takes_bidi(common) && self.pairs.is_empty() => {
                self.bidi = true;
                Ok(None)
            }
            (_, ns::SASL, "auth") => self.authenticate(common, out),
            (Phase::Sasl, ns::SASL, "response") => self.external(common, out),
            (Phase::Sasl, ns::SASL, "abort") => {
                self.sasl_failure(common, SaslCondition::Aborted, "aborted by the peer", out)
            }
            // RFC 6120 section 4.9.3.12.
            _ => Err(StreamError::new(StreamCondition::NotAuthorized, "authenticate first").into()),
        }
    }

    /// Tells the peer what has been found out, and finds out more.
    pub(super) fn due(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<S2sEvent>, Error> {
        if !matches!(common.phase(), Phase::Negotiate | Phase::Open) {
            return Ok(None);
        }
        let is_vouched_for = match self.vouching {
            Vouching::Answered(is_vouched_for) => Some(is_vouched_for),
            Vouching::Asked(_, expires) if now >= expires => Some(false),
            _ => None,
        };
        if let Some(is_vouched_for) = is_vouched_for {
            self.vouching = if is_vouched_for { Vouching::Yes } else { Vouching::No };
            self.write_features(common, out)?;
        }
        let found = self.pairs.iter().enumerate().find_map(|(index, pair)| match pair.state {
            State::Answered(verdict) => Some((index, verdict)),
            State::Asked(_, expires) if now >= expires => {
                Some((index, Verdict::Error(ErrorCondition::RemoteServerTimeout)))
            }
            _ => None,
        });
        match found {
            Some((index, verdict)) => self.settle(common, now, index, verdict, out).map(Some),
            None => Ok(self.ask(common, now)),
        }
    }

    pub(super) fn put_answer(&mut self, ticket: Ticket, answer: S2sAnswer) -> bool {
        if matches!(self.vouching, Vouching::Asked(open, _) if open == ticket) {
            self.vouching = Vouching::Answered(matches!(answer, S2sAnswer::Vouched(true)));
            return true;
        }
        let asked = |pair: &&mut Pair| matches!(pair.state, State::Asked(open, _) if open == ticket);
        let Some(pair) = self.pairs.iter_mut().find(asked) else { return false };
        pair.state = State::Answered(match answer {
            S2sAnswer::Verdict(verdict) => verdict,
            _ => Verdict::Error(ErrorCondition::RemoteServerTimeout),
        });
        true
    }

    pub(super) fn claimed(&self) -> Option<&BareJid> {
        self.claimed.as_ref()
    }

    pub(super) fn is_bidirectional(&self) -> bool {
        self.bidi
    }

    /// On a stream that goes both ways: the inverse of what was proven (XEP-0288 section 2.3).
    pub(super) fn may_send(&self, stanza: &Stanza) -> Result<(), ApiMisuse> {
        let (from, to) = outgoing(stanza)?;
        let is_valid = |pair: &Pair| {
            matches!(pair.state, State::Valid) && pair.from.as_str() == to && pair.to.as_str() == from
        };
        match self.bidi && self.pairs.iter().any(is_valid) {
            true => Ok(()),
            false => Err(ApiMisuse::OnlyReceives),
        }
    }

    pub(super) fn expires(&self, phase: Phase) -> Option<Instant> {
        if !matches!(phase, Phase::Negotiate | Phase::Open) {
            return None;
        }
        let expires = |pair: &Pair| match pair.state {
            State::Asked(_, expires) => Some(expires),
            _ => None,
        };
        let vouching = match self.vouching {
            Vouching::Asked(_, expires) => Some(expires),
            _ => None,
        };
        self.pairs.iter().filter_map(expires).chain(vouching).min()
    }
}

impl Receiver {
    fn write_header(&mut self, common: &mut Common, peer: Option<&PeerHeader>, out: &mut Vec<u8>) {
        self.id = common.random.token(26);
        let header = Header {
            from: self.domain.as_ref().or(self.config.domains.first()).map(BareJid::as_str),
            to: peer.and_then(PeerHeader::echo).filter(|_| self.claimed.is_some()),
            id: Some(&self.id),
            version: peer.is_none_or(PeerHeader::has_features),
            lang: "en",
        };
        common.open(&header, out);
    }

    /// TLS if it is needed, then the ways in which the peer can prove itself.
    fn write_features(&self, common: &Common, out: &mut Vec<u8>) -> Result<(), Error> {
        let secure = starttls::is_secure_enough(common, self.config.tls);
        let (external, dialback) = (self.is_proven(common), self.config.dialback.is_some());
        let tls_is_over = common.is_secured || self.config.tls == TlsPolicy::None;
        if tls_is_over && !external && !dialback {
            // RFC 6120 section 6.4.5: without a certificate that fits there is nothing left to offer. Features with
            // nothing in them would mean that all is well (section 4.3.5).
            return Err(StreamError::new(
                StreamCondition::PolicyViolation,
                "a certificate that proves your domain is needed",
            )
            .into());
        }
        common.framing.features(out, |out| {
            starttls::write_feature(common, self.config.tls, out);
            if secure && external {
                external::write_feature(out);
            }
            if secure && dialback {
                out.extend_from_slice(b"<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>");
            }
            if secure && self.config.management {
                sm::write_feature(out);
            }
            if self.takes_bidi(common) {
                out.extend_from_slice(b"<bidi xmlns='urn:xmpp:features:bidi'/>");
            }
        });
        Ok(())
    }

    fn takes_bidi(&self, common: &Common) -> bool {
        self.config.bidi && starttls::is_secure_enough(common, self.config.tls)
    }

    /// Whether the certificate proves the domain that the peer says it is, by itself or since somebody vouches for it.
    fn is_proven(&self, common: &Common) -> bool {
        match (common.security.as_deref(), &self.claimed) {
            (Some(security), Some(claimed)) => {
                security.proves(claimed) || matches!(self.vouching, Vouching::Yes)
            }
            _ => false,
        }
    }

    /// The stream after authentication: nothing is left to negotiate (RFC 6120 section 4.3.5).
    fn complete(
        &mut self,
        common: &mut Common,
        now: Instant,
        from: BareJid,
        to: BareJid,
        out: &mut Vec<u8>,
    ) -> Result<S2sEvent, Error> {
        common.framing.features(out, |out| {
            if self.config.management {
                sm::write_feature(out);
            }
        });
        common.step(Step::Complete)?;
        common.heard(now);
        self.pairs.push(Pair { from: from.clone(), to: to.clone(), state: State::Valid });
        Ok(S2sEvent::Authorized { from, to, proof: Proof::Certificate })
    }

    fn authenticate(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<Option<S2sEvent>, Error> {
        if !common.is_secured {
            let reason = "authentication was tried before TLS";
            return self.sasl_failure(common, SaslCondition::EncryptionRequired, reason, out);
        }
        common.step(Step::Auth)?;
        // Who tries another way has given up this one; nothing of it may stand between the messages of the exchange.
        self.forget(common)?;
        if common.reader.element().attr("mechanism") != Some(external::NAME) {
            let reason = "a mechanism that was not offered";
            return self.sasl_failure(common, SaslCondition::InvalidMechanism, reason, out);
        }
        self.external(common, out)
    }

    fn external(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<Option<S2sEvent>, Error> {
        let claimed = match self.claimed.clone() {
            Some(claimed) if self.is_proven(common) => claimed,
            _ => {
                let reason = "the certificate does not prove the `from` of the stream";
                return self.sasl_failure(common, SaslCondition::NotAuthorized, reason, out);
            }
        };
        let message = common.reader.element();
        match external::read(message, &claimed) {
            // A response without data is one without an authzid.
            Ok(None) if message.name() == "auth" => {
                Profile::Classic.write(common.framing, "challenge", None, out);
                Ok(None)
            }
            Ok(_) => {
                Profile::Classic.write(common.framing, "success", None, out);
                common.step(Step::Authenticated)?;
                common.restart(true);
                self.authenticated = Some(claimed);
                Ok(None)
            }
            Err(condition) => {
                self.sasl_failure(common, condition, "an authzid other than the `from` of the stream", out)
            }
        }
    }

    /// The peer may still use dialback.
    fn sasl_failure(
        &mut self,
        common: &mut Common,
        condition: SaslCondition,
        reason: &'static str,
        out: &mut Vec<u8>,
    ) -> Result<Option<S2sEvent>, Error> {
        if common.phase() == Phase::Sasl {
            common.step(Step::AuthFailed)?;
        }
        Profile::Classic.write_failure(common.framing, condition, None, out);
        self.failed(common, 1)?;
        Ok(Some(S2sEvent::AuthenticationFailed { reason }))
    }

    /// Counts what has failed. A peer that has proven nothing has only so many attempts, by SASL and dialback together (RFC 6120
    /// section 6.4.4): with each dialback it makes us connect to whom it likes.
    fn failed(&mut self, common: &Common, times: usize) -> Result<(), StreamError> {
        if common.phase() == Phase::Open {
            return Ok(());
        }
        self.failures += times;
        match times > 0 && self.failures >= common.limits().sasl_attempts.into() {
            true => {
                Err(StreamError::new(StreamCondition::PolicyViolation, "too many failed authentications"))
            }
            false => Ok(()),
        }
    }

    /// Forgets all requests. What is being asked about has been an attempt all the same.
    fn forget(&mut self, common: &Common) -> Result<(), StreamError> {
        let asked = self.pairs.drain(..).filter(|pair| matches!(pair.state, State::Asked(..))).count();
        self.failed(common, asked)
    }

    /// A request of dialback (XEP-0220 section 2.2).
    fn dialback(&mut self, common: &mut Common, now: Instant, out: &mut Vec<u8>) -> Result<(), Error> {
        let Received { verify, from, to, content } = Received::read(common.reader.element())?;
        // Answers belong on streams that we have opened. Whoever takes one from here can be told anything.
        let Content::Key(key) = content else { return Ok(()) };
        let id = verify.as_deref();
        let error = if !starttls::is_secure_enough(common, self.config.tls) {
            Some(ErrorCondition::PolicyViolation)
        } else if !self.config.domains.contains(&to) {
            Some(ErrorCondition::ItemNotFound)
        } else {
            None
        };
        if let Some(condition) = error {
            dialback::write_verdict(&to, &from, id, Verdict::Error(condition), out);
            return Ok(());
        }
        match verify {
            Some(id) => {
                self.judge(&from, &to, &id, &key, out);
                if common.phase() == Phase::Negotiate {
                    // A stream for keys only is in order without ever being opened, but nobody has shown who they are.
                    let negotiation = common.limits().negotiation;
                    let end = *self.end.get_or_insert(now + negotiation.saturating_mul(KEYS_ONLY));
                    common.set_timer(end.min(now + negotiation), Reason::Idle);
                }
            }
            None => self.authorize(common, from, to, key, out),
        }
        Ok(())
    }

    /// Tells whether a key is one of ours. It needs nothing but the secret.
    fn judge(&self, from: &BareJid, to: &BareJid, id: &str, key: &str, out: &mut Vec<u8>) {
        let Some(secret) = &self.config.dialback else { return };
        let right = same(&dialback_key(secret.expose(), from.as_str(), to.as_str(), id), key);
        let verdict = if right { Verdict::Valid } else { Verdict::Invalid };
        dialback::write_verdict(to, from, Some(id), verdict, out);
    }

    /// The peer wants to send stanzas of this pair.
    fn authorize(&mut self, common: &Common, from: BareJid, to: BareJid, key: String, out: &mut Vec<u8>) {
        if let Some(pair) = self.pairs.iter().find(|pair| pair.from == from && pair.to == to) {
            // One request at a time; the answer to the first is the answer.
            if matches!(pair.state, State::Valid) {
                dialback::write_verdict(&to, &from, None, Verdict::Valid, out);
            }
        } else if self.pairs.len() >= common.limits().domain_pairs {
            let verdict = Verdict::Error(ErrorCondition::ResourceConstraint);
            dialback::write_verdict(&to, &from, None, verdict, out);
        } else {
            self.pairs.push(Pair { from, to, state: State::Wanted(key) });
        }
    }

    /// Begins to find out about the next pair. A peer that has proven nothing has no more of them under way than it has attempts
    /// left.
    fn ask(&mut self, common: &mut Common, now: Instant) -> Option<S2sEvent> {
        let asked = self.pairs.iter().filter(|pair| matches!(pair.state, State::Asked(..))).count();
        let attempts = usize::from(common.limits().sasl_attempts).max(1);
        if common.phase() != Phase::Open && self.failures + asked >= attempts {
            return None;
        }
        self.pairs.iter_mut().find_map(|pair| {
            let State::Wanted(key) = &mut pair.state else { return None };
            let (from, to, key) = (pair.from.clone(), pair.to.clone(), core::mem::take(key));
            let ticket = common.ticket();
            pair.state = State::Asked(ticket, now + common.limits().answer);
            let verification = Verification { from, to, id: self.id.clone(), key };
            Some(S2sEvent::Ask(ticket, S2sAsk::VerifyDialback(verification)))
        })
    }

    /// The peer is told, and may send stanzas or not.
    fn settle(
        &mut self,
        common: &mut Common,
        now: Instant,
        index: usize,
        verdict: Verdict,
        out: &mut Vec<u8>,
    ) -> Result<S2sEvent, Error> {
        let pair = self.pairs.remove(index);
        let is_open = self.pairs.iter().any(|pair| matches!(pair.state, State::Valid));
        let told = match verdict {
            // Others go on on this stream, so this one is refused without an end to it (section 2.1.2).
            Verdict::Invalid if is_open => Verdict::Error(ErrorCondition::Forbidden),
            verdict => verdict,
        };
        dialback::write_verdict(&pair.to, &pair.from, None, told, out);
        match verdict {
            Verdict::Valid => {
                if common.phase() == Phase::Negotiate {
                    common.step(Step::Verified)?;
                    common.reader.set_limits(common.limits().after_auth);
                    common.heard(now);
                }
                let (from, to) = (pair.from.clone(), pair.to.clone());
                self.pairs.push(Pair { state: State::Valid, ..pair });
                Ok(S2sEvent::Authorized { from, to, proof: Proof::Dialback })
            }
            Verdict::Invalid => {
                if !is_open {
                    common.close(now, out)?;
                }
                Ok(S2sEvent::AuthenticationFailed {
                    reason: "the server of the domain does not know this key",
                })
            }
            Verdict::Error(_) => {
                self.failed(common, 1)?;
                Ok(S2sEvent::AuthenticationFailed {
                    reason: "the server of the domain could not be asked about the key",
                })
            }
        }
    }

    /// A first-level element of the open stream (RFC 6120 sections 8.1.1.2 and 8.1.2.2).
    fn stanza(&self, common: &mut Common) -> Result<Option<S2sEvent>, Error> {
        if common.is_past_last_ack() {
            return Ok(None);
        }
        let incoming = Incoming::read(common)?;
        let Some((from, to)) = incoming.domains() else {
            common.took();
            return Ok(None);
        };
        if !self.config.domains.iter().any(|domain| domain.as_str() == to) {
            let gone = self.config.gone.iter().any(|domain| domain.as_str() == to);
            let condition = if gone { StreamCondition::HostGone } else { StreamCondition::HostUnknown };
            return Err(StreamError::new(condition, "stanzas for that domain are not taken here").into());
        }
        let is_valid = |pair: &Pair| {
            matches!(pair.state, State::Valid) && pair.from.as_str() == from && pair.to.as_str() == to
        };
        if !self.pairs.iter().any(is_valid) {
            return Err(StreamError::new(
                StreamCondition::InvalidFrom,
                "stanzas between these domains are not authorised on this stream",
            )
            .into());
        }
        common.took();
        Ok(match incoming {
            Incoming::Stanza(stanza) => Some(S2sEvent::Stanza(stanza)),
            Incoming::Refused(reply) if common.phase() == Phase::Open => Some(S2sEvent::Reply(reply)),
            _ => None,
        })
    }
}
