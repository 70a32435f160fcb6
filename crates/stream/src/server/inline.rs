//! SASL2 and what goes along with it: authenticated and bound, or back in a session, without a restart and in one round trip less
//! (XEP-0388, XEP-0386, XEP-0198 section 5).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::Instant;
use balcony_sasl::{Failure, SaslCondition};
use balcony_stanza::{ErrorCondition, StreamCondition, StreamError};
use balcony_xep::sm::{self, Failed, Resume};
use balcony_xml::{Element, ElementRef};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Server, ServerAnswer, ServerAsk, ServerEvent};
use crate::common::Common;
use crate::error::Error;
use crate::feature::sasl::Profile;
use crate::feature::sasl2::Success;
use crate::feature::{bind2, sasl2};
use crate::framing::Framing;
use crate::hex::hex;
use crate::state::Step;

/// What a client asked for inside of `<authenticate/>`.
pub(super) struct Inline {
    /// The session that it wants to go on with.
    resume: Option<Resume<'static>>,
    /// Why it can't, if it has asked for one.
    pub(super) refused: Option<Failed>,
    /// The resource that it wants, unless it has a session.
    bind: Option<bind2::Request>,
    /// What the client calls its installation (XEP-0388 section 4.2); nobody else is told.
    agent: Option<String>,
    /// The data of the success that waits for the resource.
    success: Option<Vec<u8>>,
}

impl Inline {
    pub(super) fn read(profile: Profile, authenticate: ElementRef<'_>, management: bool) -> Option<Self> {
        if profile != Profile::Extensible {
            return None;
        }
        let wish = authenticate.child("resume", sm::NS).filter(|_| management);
        let resume = wish.and_then(Resume::read);
        let resume =
            resume.map(|resume| Resume { previd: Cow::Owned(resume.previd.into_owned()), h: resume.h });
        // Whoever wants to go on learns that it can't (XEP-0198 section 5), as without SASL2.
        let is_malformed = wish.is_some() && resume.is_none();
        let refused = is_malformed.then_some(Failed { condition: ErrorCondition::BadRequest, h: None });
        let bind = bind2::Request::read(authenticate, management);
        if wish.is_none() && bind.is_none() {
            return None;
        }
        Some(Inline { resume, refused, bind, agent: sasl2::agent(authenticate), success: None })
    }

    /// The client is back in its session (XEP-0198 section 5): no features follow.
    pub(super) fn write_resumed(
        self,
        framing: Framing,
        jid: &FullJid,
        resumed: &Element,
        token: &[u8],
        out: &mut Vec<u8>,
    ) {
        let success = Success {
            data: self.success.as_deref(),
            identity: jid.as_str(),
            management: Some(resumed),
            bound: None,
            token,
        };
        success.write(framing, out);
    }
}

impl Server {
    /// The client is known. It is told so now, or, if it wants a resource or a session as well, when it has that.
    pub(super) fn succeed_in_place(&mut self, common: &Common, data: Option<Vec<u8>>, out: &mut Vec<u8>) {
        match &mut self.login.inline {
            Some(inline) => inline.success = data,
            None => self.write_success(common, data.as_deref(), None, out),
        }
    }

    /// The client is known, and has no resource yet.
    fn write_success(
        &mut self,
        common: &Common,
        data: Option<&[u8]>,
        refused: Option<Failed>,
        out: &mut Vec<u8>,
    ) {
        let identity = self.account.as_ref().map(BareJid::as_str).unwrap_or_default();
        let refused = refused.map(Failed::to_element);
        let management = refused.as_ref();
        Success { data, identity, management, bound: None, token: &self.login.issued }
            .write(common.framing, out);
        self.write_features(common, out);
    }

    /// Asks for what goes with the login: first the session that the client had, and then a resource (XEP-0386 section 3.2).
    pub(super) fn go_on_inline(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let Some(inline) = &mut self.login.inline else { return Ok(None) };
        if let Some(resume) = inline.resume.take() {
            return self.ask_to_resume(common, now, resume);
        }
        if inline.bind.is_some() {
            return self.bind_inline(common, now);
        }
        if let Some(inline) = self.login.inline.take() {
            self.write_success(common, inline.success.as_deref(), inline.refused, out);
        }
        Ok(None)
    }

    fn bind_inline(&self, common: &mut Common, now: Instant) -> Result<Option<ServerEvent>, Error> {
        let (Some(inline), Some(account)) = (&self.login.inline, &self.account) else { return Ok(None) };
        let Some(request) = &inline.bind else { return Ok(None) };
        // XEP-0386 section 3.2.1: the client's tag, and something of ours that makes it one of its kind. An installation that
        // comes back gets the resource that it had, and so takes the place of its old session, which is dead most likely.
        let installation = inline.agent.as_ref().map(|agent| self.installation(account, agent));
        let own = match &installation {
            Some(installation) => Some(installation.clone()),
            None if request.tag.is_some() => Some(common.random.token(12)),
            None => None,
        };
        let resource = match (&request.tag, own) {
            (Some(tag), Some(own)) => {
                let tagged = alloc::format!("{tag}/{own}");
                // A tag that can't be part of a resource is no reason to refuse somebody who is known.
                Some(if account.with_resource(&tagged).is_ok() { tagged } else { own })
            }
            (_, own) => own,
        };
        let ask = ServerAsk::Bind {
            account: account.clone(),
            resource,
            installation,
            inline: request.inline.clone(),
            enable: request.enable,
        };
        common.step(Step::Bind)?;
        Ok(Some(ServerEvent::Ask(common.ask(now), Box::new(ask))))
    }

    pub(super) fn bound_inline(
        &mut self,
        common: &mut Common,
        now: Instant,
        answer: ServerAnswer,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let Some(inline) = self.login.inline.take() else { return Ok(None) };
        let refusal = match &answer {
            ServerAnswer::Bound(Err(error)) => Some(error.clone()),
            _ => None,
        };
        let wanted = inline.bind.as_ref().is_some_and(|bind| bind.enable.is_some());
        let Some(granted) = Server::granted(common, wanted, answer) else {
            // Neither specification says what a client gets that is known but can have no resource. It has no session, so
            // it has not succeeded.
            common.step(Step::BindRefused)?;
            let account = self.account.take();
            common.reader.set_limits(common.limits().before_auth);
            let failure = Failure::new(SaslCondition::TemporaryAuthFailure, "no resource could be bound");
            let error = refusal.unwrap_or_else(|| ErrorCondition::InternalServerError.into());
            // Why is for somebody who has proven to be the owner of the account.
            let text = error.text.as_deref().unwrap_or(failure.reason);
            // Nor has it failed to prove who it is, so this is one of its tries to bind.
            self.refuse_login(common, failure, Some(text), out)?;
            self.count_refused_bind();
            return Ok(account.map(|account| ServerEvent::BindRefused { account, error }));
        };
        let refused = inline.refused.map(Failed::to_element);
        let success = Success {
            data: inline.success.as_deref(),
            identity: granted.jid.as_str(),
            management: refused.as_ref(),
            bound: Some(granted.enabled.as_ref()),
            token: &self.login.issued,
        };
        success.write(common.framing, out);
        common.step(Step::Bound)?;
        common.heard(now);
        self.is_bound(common, granted.jid.clone());
        self.write_features(common, out);
        Ok(Some(ServerEvent::Bound(granted.jid)))
    }

    /// The installation of a client, in letters and digits that tell nobody what it calls itself.
    fn installation(&self, account: &BareJid, agent: &str) -> String {
        // HMAC takes keys of any length: the error exists for other MACs.
        let Ok(mac) = <Hmac<Sha256>>::new_from_slice(self.config.decoy.expose()) else {
            return String::new();
        };
        // No address has a zero in it, so the parts stay apart; nor has anything else that is made from this secret.
        let digest =
            mac.chain_update(account.as_str()).chain_update("\0agent\0").chain_update(agent).finalize();
        hex(&digest.into_bytes()[..10])
    }

    /// A second login on a stream that has one.
    pub(super) fn refuse_second_login(&self) -> Error {
        StreamError::new(StreamCondition::PolicyViolation, "this stream is authenticated already").into()
    }
}
