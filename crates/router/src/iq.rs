//! Requests and their answers (RFC 6121 section 8.5, RFC 6120 section 8.2.3).

use alloc::vec::Vec;

use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza};

use crate::Effect;
use crate::account::Resource;
use crate::router::{Router, Target, deliver};
use crate::services::{self, Role};

impl Router {
    pub(crate) fn iq(&self, stanza: Stanza, effects: &mut Vec<Effect>) {
        let is_request = matches!(stanza.head.kind, Kind::Iq(IqType::Get | IqType::Set));
        let role = match &stanza.head.to {
            None => Some(Role::Account),
            Some(to) => match self.locate(to) {
                Target::Remote => return effects.push(Effect::Remote { stanza }),
                Target::Resource(_, resource) if !is_request || self.may_ask(&stanza, resource) => {
                    return deliver([resource.session], stanza, effects);
                }
                Target::Server if to.is_bare() => Some(Role::Server),
                // What the server does for an account it does for its owner only: an answer would tell others that
                // the account exists.
                Target::Account(_) if to.is_bare() && is_own(&stanza) => Some(Role::Account),
                _ => None,
            },
        };
        // An answer that nobody has asked for is dropped.
        let Some(result) = stanza.result() else { return };
        let answer = match role {
            Some(role) => services::answer(role, &self.config.software, &stanza),
            None => Err(ErrorCondition::ServiceUnavailable),
        };
        match answer {
            Ok(payload) => self.reply(result.payload(payload), effects),
            Err(condition) => self.refuse(&stanza, condition, effects),
        }
    }

    /// Whether a request may reach the resource, and so show its sender that the resource is there (RFC 6121
    /// section 8.5.3.1).
    fn may_ask(&self, request: &Stanza, resource: &Resource) -> bool {
        !self.config.iq_needs_presence
            || is_own(request)
            || request.head.from.as_ref().is_some_and(|from| resource.has_directed_to(from))
    }
}

/// Whether the stanza stays within one account.
fn is_own(stanza: &Stanza) -> bool {
    stanza.head.from.as_ref().zip(stanza.head.to.as_ref()).is_some_and(|(from, to)| from.same_bare(to))
}
