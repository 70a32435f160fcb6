//! The initiating entity: a server on its stream to another server, to which it sends stanzas.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::{ApiMisuse, Instant};
use balcony_stanza::{ErrorCondition, Stanza, StreamCondition, StreamError, ns};

use super::managed::Managed;
use super::{S2sEvent, S2sInitiatingConfig};
use crate::addressed::{Incoming, outgoing};
use crate::common::Common;
use crate::error::Error;
use crate::feature::dialback::{self, Content, Proof, Received, Verdict, Verification, dialback_key};
use crate::feature::sasl::{self, Profile};
use crate::feature::{external, sm, starttls};
use crate::header::{Header, Version, check_namespaces};
use crate::side::Silence;
use crate::state::{Phase, Step};

pub(super) struct Initiator {
    config: Arc<S2sInitiatingConfig>,
    /// The id that the peer gave the stream, part of dialback keys.
    id: String,
    authenticated: bool,
    /// Whether the peer sends on this stream, too.
    bidi: bool,
    /// Whether dialback can begin, or go on.
    ready: bool,
    /// Whether the peer can refuse a dialback without ending the stream (XEP-0220 section 2.4).
    errors: bool,
    /// What stanzas may come from and go to, or are to; bounded.
    pairs: Vec<Pair>,
    /// Keys that wait for their verdict; bounded.
    verifications: Vec<Asked>,
    /// Stream management.
    pub(super) managed: Managed,
    /// What the peer has announced last, on a stream that looks.
    #[cfg(feature = "look")]
    pub(super) offered: Option<Box<crate::Offered>>,
}

struct Pair {
    from: BareJid,
    to: BareJid,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Wanted,
    /// The peer is asked; by when it has to answer.
    Asked(Instant),
    Valid,
}

struct Asked {
    verification: Box<Verification>,
    sent: bool,
    expires: Instant,
}

impl Initiator {
    pub(super) fn new(config: Arc<S2sInitiatingConfig>) -> Self {
        let mut pairs = Vec::new();
        if config.authorize {
            pairs.push(Pair { from: config.from.clone(), to: config.to.clone(), state: State::Wanted });
        }
        Initiator {
            config,
            id: String::new(),
            authenticated: false,
            bidi: false,
            ready: false,
            errors: false,
            pairs,
            verifications: Vec::new(),
            managed: Managed::default(),
            #[cfg(feature = "look")]
            offered: None,
        }
    }
}

impl Initiator {
    pub(super) fn open(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        if common.phase() != Phase::Header || common.header_sent {
            return;
        }
        let header = Header {
            // A server is no secret, and in the clear as well the peer wants to know which certificate to ask for.
            from: Some(self.config.from.as_str()),
            to: Some(self.config.to.as_str()),
            id: None,
            version: true,
            lang: &self.config.lang,
        };
        common.open(&header, out);
    }

    pub(super) fn header(&mut self, common: &mut Common) -> Result<(), Error> {
        let header = common.peer_header();
        check_namespaces(common)?;
        if header.version.major < Version::OURS.major {
            return Err(StreamError::new(
                StreamCondition::UnsupportedVersion,
                "only version 1.0 is spoken here",
            )
            .into());
        }
        self.id = common.reader.header().attr("id").map(String::from).ok_or_else(|| {
            StreamError::new(StreamCondition::BadFormat, "the header of the stream has no id")
        })?;
        common.peer_lang = header.lang;
        common.step(Step::Headers)
    }

    pub(super) fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<S2sEvent>, Error> {
        let element = common.reader.element();
        match (common.phase(), element.namespace(), element.name()) {
            // What the peer has sent before it reads that we have closed the stream counts.
            (Phase::Open | Phase::Closing, ns::SERVER, _) if self.bidi => self.stanza(common),
            (Phase::Open | Phase::Closing, balcony_xep::sm::NS, _) if self.config.management => {
                self.managed.element(common, now, out)
            }
            (Phase::Closing, ..) => Ok(None),
            (Phase::Negotiate, ns::STREAM, "features") if !self.ready => self.features(common, now, out),
            (Phase::Proceed, ns::TLS, "proceed") => {
                common.step(Step::Proceed)?;
                Ok(Some(S2sEvent::StartTls))
            }
            (Phase::Proceed, ns::TLS, "failure") => Err(Error::NoTls),
            (Phase::Sasl, ns::SASL, "challenge") => {
                let authzid = self.config.from.as_str().as_bytes();
                Profile::Classic.write(common.framing, "response", Some(authzid), out);
                Ok(None)
            }
            (Phase::Sasl, ns::SASL, "success") => {
                self.authenticated = true;
                common.step(Step::Authenticated)?;
                common.restart(true);
                Ok(None)
            }
            (Phase::Sasl, ns::SASL, "failure") => self.refused(common).map(|()| None),
            (Phase::Negotiate | Phase::Open, ns::DIALBACK, _) => self.verdict(common, now),
            // RFC 6120 section 4.5: stanzas go one way, and it isn't this one.
            (_, ns::SERVER, _) => Err(StreamError::new(
                StreamCondition::NotAuthorized,
                "stanzas to us take a stream that is opened to us",
            )
            .into()),
            _ => {
                Err(StreamError::new(StreamCondition::UnsupportedStanzaType, "not expected at this point")
                    .into())
            }
        }
    }

    /// Sends the requests that wait, and gives up those that were not answered in time.
    pub(super) fn due(&mut self, common: &mut Common, now: Instant, out: &mut Vec<u8>) -> Option<S2sEvent> {
        if !matches!(common.phase(), Phase::Closing | Phase::Closed)
            && let Some(late) = self.verifications.iter().position(|asked| now >= asked.expires)
        {
            let asked = self.verifications.remove(late);
            let verdict = Verdict::Error(ErrorCondition::RemoteServerTimeout);
            return Some(S2sEvent::KeyVerified(*asked.verification, verdict));
        }
        if !self.ready || !matches!(common.phase(), Phase::Negotiate | Phase::Open) {
            return None;
        }
        let is_late = |pair: &Pair| matches!(pair.state, State::Asked(expires) if now >= expires);
        if let Some(late) = self.pairs.iter().position(is_late) {
            let Pair { from, to, .. } = self.pairs.remove(late);
            let verdict = Verdict::Error(ErrorCondition::RemoteServerTimeout);
            return Some(S2sEvent::Refused { from, to, verdict });
        }
        if let Some(secret) = &self.config.dialback {
            for pair in self.pairs.iter_mut().filter(|pair| matches!(pair.state, State::Wanted)) {
                let key = dialback_key(secret.expose(), pair.to.as_str(), pair.from.as_str(), &self.id);
                dialback::write_key(&pair.from, &pair.to, None, &key, out);
                // The peer in turn has to ask our own server, and may take its time for that.
                pair.state = State::Asked(now + common.limits().answer.saturating_mul(2));
            }
        }
        let event = self.managed.due(common, now, out);
        if event.is_some() {
            return event;
        }
        for asked in self.verifications.iter_mut().filter(|asked| !asked.sent) {
            let Verification { from, to, id, key } = &*asked.verification;
            dialback::write_key(to, from, Some(id), key, out);
            asked.sent = true;
            common.heard(now);
        }
        None
    }

    pub(super) fn expires(&self, phase: Phase) -> Option<Instant> {
        let are_due = self.ready && matches!(phase, Phase::Negotiate | Phase::Open);
        let pairs = self.pairs.iter().filter(|_| are_due).filter_map(|pair| match pair.state {
            State::Asked(expires) => Some(expires),
            State::Wanted | State::Valid => None,
        });
        let managed = self.managed.expires().filter(|_| are_due);
        pairs.chain(self.verifications.iter().map(|asked| asked.expires)).chain(managed).min()
    }

    /// A stream for keys only is idle when we have no more of them, whatever the peer says: it may be anybody, and have had it
    /// opened.
    pub(super) fn heard(&self, common: &mut Common, now: Instant) {
        if self.config.authorize || !self.pairs.is_empty() {
            common.heard(now);
        }
    }

    /// The peer has next to nothing to say here, so its silence means nothing; it is the one to end what is idle. A stream for
    /// keys only is ours to end.
    pub(super) fn silence(&self) -> Silence {
        if self.config.authorize { Silence::Keep } else { Silence::Close }
    }

    pub(super) fn may_send(&self, stanza: &Stanza) -> Result<(), ApiMisuse> {
        let (from, to) = outgoing(stanza)?;
        let is_valid = |pair: &Pair| {
            matches!(pair.state, State::Valid) && pair.from.as_str() == from && pair.to.as_str() == to
        };
        match self.pairs.iter().any(is_valid) {
            true => Ok(()),
            false => Err(ApiMisuse::UnauthorizedPair),
        }
    }

    pub(super) fn authorize(&mut self, from: BareJid, to: BareJid) -> Result<(), ApiMisuse> {
        if self.config.dialback.is_none() {
            return Err(ApiMisuse::NoDialback);
        }
        if to != self.config.to && !self.errors {
            return Err(ApiMisuse::SinglePair);
        }
        if self.pairs.iter().any(|pair| pair.from == from && pair.to == to) {
            return Ok(());
        }
        if self.pairs.len() >= self.config.limits.domain_pairs {
            return Err(ApiMisuse::TooManyPairs);
        }
        self.pairs.push(Pair { from, to, state: State::Wanted });
        Ok(())
    }

    pub(super) fn verify(&mut self, now: Instant, verification: Verification) -> Result<(), ApiMisuse> {
        if self.verifications.len() >= self.config.limits.domain_pairs {
            return Err(ApiMisuse::TooManyKeys);
        }
        let expires = now + self.config.limits.answer;
        self.verifications.push(Asked { verification: Box::new(verification), sent: false, expires });
        Ok(())
    }
}

impl Initiator {
    fn features(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<S2sEvent>, Error> {
        let offers_tls = starttls::is_offered(common.reader.element());
        #[cfg(feature = "look")]
        if self.config.look {
            self.offered = Some(Box::new(crate::Offered::read(common)));
        }
        if starttls::request(common, self.config.tls, offers_tls, out)? {
            return Ok(None);
        }
        #[cfg(feature = "look")]
        if self.config.look {
            return Ok(None);
        }
        let features = common.reader.element();
        let dialback = features.child("dialback", ns::DIALBACK_FEATURE);
        self.errors =
            dialback.is_some_and(|dialback| dialback.child("errors", ns::DIALBACK_FEATURE).is_some());
        let has_management = self.config.management && self.config.authorize;
        self.managed.set_offered(has_management && sm::is_offered(features));
        if self.authenticated {
            return self.complete(common, now).map(Some);
        }
        if self.config.bidi && self.config.authorize && features.child("bidi", ns::BIDI_FEATURE).is_some() {
            // XEP-0288 section 2.2: before anybody is authenticated.
            out.extend_from_slice(b"<bidi xmlns='urn:xmpp:bidi'/>");
            self.bidi = true;
        }
        // Whoever offers it has seen our certificate, and believes it (XEP-0178 section 3).
        let external = common.is_secured && sasl::offer(features).is_some_and(external::is_offered);
        if external && self.config.authorize {
            let authzid = self.config.from.as_str().as_bytes();
            sasl::write_auth(common.framing, external::NAME, Some(authzid), out);
            return common.step(Step::Auth).map(|()| None);
        }
        if self.config.authorize && self.config.dialback.is_none() {
            return Err(Error::NoMechanism);
        }
        self.ready = true;
        if !self.config.authorize {
            common.step(Step::Complete)?;
            common.heard(now);
        }
        Ok(None)
    }

    /// The stream after authentication: nothing is left to negotiate (RFC 6120 section 4.3.5).
    fn complete(&mut self, common: &mut Common, now: Instant) -> Result<S2sEvent, Error> {
        common.step(Step::Complete)?;
        common.heard(now);
        self.ready = true;
        let (from, to) = (self.config.from.clone(), self.config.to.clone());
        for pair in self.pairs.iter_mut().filter(|pair| pair.from == from && pair.to == to) {
            pair.state = State::Valid;
        }
        Ok(S2sEvent::Authorized { from, to, proof: Proof::Certificate })
    }

    /// A stanza that comes the other way: from where the stream was opened to, as is proven by having been found there, or by a
    /// certificate, to the domain of ours that it was opened for (XEP-0288 section 2.3).
    fn stanza(&self, common: &mut Common) -> Result<Option<S2sEvent>, Error> {
        if common.is_past_last_ack() {
            return Ok(None);
        }
        let incoming = Incoming::read(common)?;
        let Some((from, to)) = incoming.domains() else {
            common.took();
            return Ok(None);
        };
        let is_valid = |pair: &Pair| {
            matches!(pair.state, State::Valid) && pair.from.as_str() == to && pair.to.as_str() == from
        };
        if from != self.config.to.as_str() || !self.pairs.iter().any(is_valid) {
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

    pub(super) fn opened_for(&self) -> &BareJid {
        &self.config.from
    }

    pub(super) fn opened_to(&self) -> &BareJid {
        &self.config.to
    }

    pub(super) fn is_bidirectional(&self) -> bool {
        self.bidi
    }

    /// Our certificate was not enough. There is still dialback.
    fn refused(&mut self, common: &mut Common) -> Result<(), Error> {
        let (condition, text) = Profile::Classic.read_failure(common.reader.element());
        if self.config.dialback.is_none() {
            return Err(Error::Authentication(condition, text));
        }
        common.step(Step::AuthFailed)?;
        self.ready = true;
        Ok(())
    }

    /// An answer of dialback. One that answers nothing is dropped (XEP-0220 section 3.1), as are requests, which belong on
    /// a stream that the peer opens.
    fn verdict(&mut self, common: &mut Common, now: Instant) -> Result<Option<S2sEvent>, Error> {
        let Received { verify, from, to, content } = Received::read(common.reader.element())?;
        let Content::Verdict(verdict) = content else { return Ok(None) };
        if let Some(id) = verify {
            let answered = self.verifications.iter().position(|asked| {
                let verification = &asked.verification;
                asked.sent && verification.from == from && verification.to == to && verification.id == id
            });
            let asked = answered.map(|index| self.verifications.remove(index));
            return Ok(asked.map(|asked| S2sEvent::KeyVerified(*asked.verification, verdict)));
        }
        let answered = self
            .pairs
            .iter()
            .position(|pair| matches!(pair.state, State::Asked(_)) && pair.from == to && pair.to == from);
        let Some(index) = answered else { return Ok(None) };
        let mut pair = self.pairs.remove(index);
        let (from, to) = (pair.from.clone(), pair.to.clone());
        if verdict != Verdict::Valid {
            return Ok(Some(S2sEvent::Refused { from, to, verdict }));
        }
        pair.state = State::Valid;
        self.pairs.push(pair);
        if common.phase() == Phase::Negotiate {
            common.step(Step::Verified)?;
            common.reader.set_limits(common.limits().after_auth);
            common.heard(now);
        }
        Ok(Some(S2sEvent::Authorized { from, to, proof: Proof::Dialback }))
    }
}
