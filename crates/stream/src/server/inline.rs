//! SASL2 and Bind 2: authenticated and bound without a restart, in one round trip less (XEP-0388, XEP-0386).

use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_sasl::{Failure, SaslCondition};
use balcony_stanza::{StreamCondition, StreamError};
use balcony_xml::ElementRef;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Server, ServerAnswer, ServerAsk, ServerEvent};
use crate::common::Common;
use crate::error::Error;
use crate::feature::sasl::Profile;
use crate::feature::{bind2, sasl2};
use crate::hex::hex;
use crate::state::Step;

/// What a client asked for inside of `<authenticate/>`.
pub(super) struct InlineBind {
    request: bind2::Request,
    /// What the client calls its installation (XEP-0388 section 4.2); nobody else is told.
    agent: Option<String>,
    /// The data of the success that waits for the resource.
    success: Option<Vec<u8>>,
}

impl InlineBind {
    pub(super) fn read(profile: Profile, authenticate: ElementRef<'_>) -> Option<Self> {
        if profile != Profile::Extensible {
            return None;
        }
        let request = bind2::Request::read(authenticate)?;
        Some(InlineBind { request, agent: sasl2::agent(authenticate), success: None })
    }
}

impl Server {
    /// The client is known. It is told so now, or, if it wants a resource as well, when that is bound.
    pub(super) fn succeed_in_place(&mut self, common: &Common, data: Option<Vec<u8>>, out: &mut Vec<u8>) {
        match &mut self.inline_bind {
            Some(bind) => bind.success = data,
            None => {
                let account = self.account.as_ref().map(|account| account.as_str());
                sasl2::write_success(
                    common.framing,
                    data.as_deref(),
                    account.unwrap_or_default(),
                    false,
                    out,
                );
                self.write_features(common, out);
            }
        }
    }

    /// Asks for the resource that goes with the login.
    pub(super) fn bind_inline(
        &mut self,
        common: &mut Common,
        now: Instant,
    ) -> Result<Option<ServerEvent>, Error> {
        let (Some(bind), Some(account)) = (&self.inline_bind, &self.account) else { return Ok(None) };
        // XEP-0386 section 3.2.1: the client's tag, and something of ours that makes it one of its kind. An installation that
        // comes back gets the resource that it had, and so takes the place of its old session, which is dead most likely.
        let own = match &bind.agent {
            Some(agent) => Some(self.installation(account, agent)),
            None if bind.request.tag.is_some() => Some(common.random.token(12)),
            None => None,
        };
        let resource = match (&bind.request.tag, own) {
            (Some(tag), Some(own)) => {
                let tagged = alloc::format!("{tag}/{own}");
                // A tag that can't be part of a resource is no reason to refuse somebody who is known.
                Some(if account.with_resource(&tagged).is_ok() { tagged } else { own })
            }
            (_, own) => own,
        };
        let ask = ServerAsk::Bind { account: account.clone(), resource, inline: bind.request.inline.clone() };
        common.step(Step::Bind)?;
        Ok(Some(ServerEvent::Ask(common.ask(now), ask)))
    }

    pub(super) fn bound_inline(
        &mut self,
        common: &mut Common,
        now: Instant,
        answer: ServerAnswer,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let success = self.inline_bind.take().and_then(|bind| bind.success);
        let ServerAnswer::Bound(Ok(jid)) = answer else {
            // Neither specification says what a client gets that is known but can have no resource. It has no session, so
            // it has not succeeded.
            common.step(Step::BindRefused)?;
            self.account = None;
            self.bare = None;
            common.reader.set_limits(common.limits.before_auth);
            let failure = Failure::new(SaslCondition::TemporaryAuthFailure, "no resource could be bound");
            return self.sasl_failure(common, failure, out);
        };
        sasl2::write_success(common.framing, success.as_deref(), jid.as_str(), true, out);
        common.step(Step::Bound)?;
        common.heard(now);
        self.full = Some(jid.to_jid());
        self.jid = Some(jid.clone());
        self.write_features(common, out);
        Ok(Some(ServerEvent::Bound(jid)))
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
