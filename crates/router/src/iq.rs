//! Requests and their answers (RFC 6121 section 8.5, RFC 6120 section 8.2.3).

use alloc::vec::Vec;

use balcony_stanza::{ErrorCondition, IqType, Kind, Payload, Stanza, ns};

use crate::account::{Account, Resource};
use crate::known::Known;
use crate::line::Origin;
use crate::registration;
use crate::router::{Router, deliver};
use crate::services::{self, Role};
use crate::{Effect, SessionId};

impl Router {
    /// A session sends an iq.
    pub(crate) fn iq(
        &mut self,
        from: SessionId,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        if self.is_blocked_by_sender(&stanza) {
            return self.refuse_blocked(&stanza, effects);
        }
        let Some(to) = &stanza.head.to else { return self.own_request(from, stanza, origin, effects) };
        if !self.is_local(to.domainpart()) {
            effects.push(Effect::Remote { stanza, is_told: true });
        } else if to.localpart().is_none() && !registration::is_for_own_server(&stanza) {
            self.serve(&stanza, effects);
        } else if to.localpart().is_none() || to.is_bare() && is_own(&stanza) {
            self.own_request(from, stanza, origin, effects);
        } else {
            self.arrive(stanza, origin, effects);
        }
    }

    /// An iq has come for an account.
    pub(crate) fn take_iq(&mut self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        let Some(to) = &stanza.head.to else { return };
        match self.accounts.get(to.bare_str()).and_then(|account| self.reached(account, stanza)) {
            Some(resource) => deliver([resource.session], stanza.clone(), effects),
            None => self.refuse_iq(stanza, effects),
        }
    }

    /// Answers an iq to an account that goes to none of its resources. What the server does for an account it does for its owner
    /// only: another answer would tell others that the account exists. Of what it offers only those hear who see its presence; but
    /// that it has no items everybody may hear, be there one or not (XEP-0030 section 8). A result that nobody has asked for is
    /// dropped.
    pub(crate) fn refuse_iq(&self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        let is_for_account = stanza.head.to.as_ref().is_some_and(|to| to.is_bare());
        let is_get = stanza.head.kind == Kind::Iq(IqType::Get);
        let content = stanza.payload.parse().ok().filter(|_| is_for_account);
        let child = content.as_ref().and_then(|content| content.root().children().next());
        let answer = match child.map(|child| (child.namespace(), child)) {
            Some((ns::DISCO_ITEMS, query)) if is_get => Ok(services::no_items(query)),
            Some((ns::DISCO_INFO, _)) if is_get && self.is_shown_account(stanza) => {
                services::answer(Role::Account, &self.config.software, stanza)
            }
            // A roster is for its owner's eyes, be there one or not (RFC 6121 section 2.1.5).
            Some((ns::ROSTER, _)) => Err(ErrorCondition::Forbidden),
            _ => Err(ErrorCondition::ServiceUnavailable),
        };
        match answer {
            Ok(payload) => {
                if let Some(result) = stanza.result() {
                    self.reply(result.payload(payload), effects);
                }
            }
            Err(condition) => self.refuse(stanza, condition, effects),
        }
    }

    /// Whether the sender may know that there is the account that it has addressed.
    fn is_shown_account(&self, stanza: &Stanza) -> bool {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return false };
        let account = self.accounts.get(to.bare_str()).filter(|account| !account.blocks(stanza));
        let known = account.and_then(|account| account.known.as_deref());
        known.is_some_and(|known| known.roster.is_subscriber(&from.to_bare()))
    }

    /// The resource that an iq for the account goes to.
    pub(crate) fn reached<'a>(&self, account: &'a Account, stanza: &Stanza) -> Option<&'a Resource> {
        let name = stanza.head.to.as_ref()?.resourcepart()?;
        let resource = account.by_name(name).filter(|_| !account.blocks(stanza))?;
        let is_request = matches!(stanza.head.kind, Kind::Iq(IqType::Get | IqType::Set));
        (!is_request || self.may_ask(stanza, account, resource)).then_some(resource)
    }

    /// An iq to one of the server's own addresses.
    pub(crate) fn serve(&self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        let Some(result) = stanza.result() else { return };
        let is_server = stanza.head.to.as_ref().is_some_and(|to| to.is_bare());
        let answer = match is_server {
            true => services::answer(Role::Server, &self.config.software, stanza),
            false => Err(ErrorCondition::ServiceUnavailable),
        };
        match answer {
            Ok(payload) => self.reply(result.payload(payload), effects),
            Err(condition) => self.refuse(stanza, condition, effects),
        }
    }

    /// A client asks its own account for something.
    fn own_request(
        &mut self,
        from: SessionId,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Some(result) = stanza.result() else { return };
        let Ok(content) = stanza.payload.parse() else {
            return self.refuse(&stanza, ErrorCondition::BadRequest, effects);
        };
        let is_set = stanza.head.kind == Kind::Iq(IqType::Set);
        let child = content.root().children().next();
        let answer = match child.map(|child| (child.name(), child.namespace(), child)) {
            Some(("query", ns::ROSTER, query)) => {
                return self.roster_request(from, stanza, query, origin, effects);
            }
            Some(("query", ns::REGISTER, query)) => {
                return self.registration_request(stanza, query, origin, effects);
            }
            Some((_, ns::BLOCKING, child)) => {
                return self.blocking_request(from, stanza, child, origin, effects);
            }
            Some((name @ ("enable" | "disable"), ns::CARBONS, _)) if is_set => {
                if let Some(account) =
                    stanza.head.from.as_ref().and_then(|own| self.accounts.get_mut(own.bare_str()))
                {
                    account.set_carbons(from, name == "enable");
                }
                Ok(Payload::EMPTY)
            }
            _ => services::answer(Role::Account, &self.config.software, &stanza),
        };
        match answer {
            Ok(payload) => self.reply(result.payload(payload), effects),
            Err(condition) => self.refuse(&stanza, condition, effects),
        }
    }

    /// Whether a request may reach the resource, and so show its sender that the resource is there (RFC 6121
    /// section 8.5.3.1).
    fn may_ask(&self, request: &Stanza, account: &Account, resource: &Resource) -> bool {
        let shares = |known: &Known| {
            let from = request.head.from.as_ref();
            from.is_some_and(|from| known.roster.is_subscriber(&from.to_bare()))
        };
        !self.config.iq_needs_presence
            || is_own(request)
            || account.known.as_deref().is_some_and(shares)
            || request.head.from.as_ref().is_some_and(|from| resource.has_directed_to(from))
    }
}

/// Whether the stanza stays within one account.
fn is_own(stanza: &Stanza) -> bool {
    stanza.head.from.as_ref().zip(stanza.head.to.as_ref()).is_some_and(|(from, to)| from.same_bare(to))
}
