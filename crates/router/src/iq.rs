//! Requests and their answers (RFC 6121 section 8.5, RFC 6120 section 8.2.3).

use alloc::vec::Vec;

use balcony_jid::Jid;
use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza, ns};

use crate::account::{Account, Resource};
use crate::extension::Found;
use crate::known::Known;
use crate::line::Origin;
use crate::request::For;
use crate::router::{Router, deliver};
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
        if self.is_refused(&stanza, None, effects) {
            return;
        }
        let Some(to) = &stanza.head.to else { return self.own_request(from, stanza, origin, effects) };
        if !self.is_local(to.domainpart()) {
            effects.push(Effect::Remote { stanza, is_told: true, is_answer: false });
        } else if to.localpart().is_none() && !self.is_about_own_account(&stanza) {
            self.serve(&stanza, effects);
        } else if to.localpart().is_none() || to.is_bare() && is_own(&stanza) {
            self.own_request(from, stanza, origin, effects);
        } else {
            self.pass_across(stanza, origin, effects);
        }
    }

    /// Whether a session asks its own server about its account.
    fn is_about_own_account(&self, stanza: &Stanza) -> bool {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return false };
        let Ok(content) = stanza.payload.parse() else { return false };
        to.as_str() == from.domainpart()
            && Router::read(stanza, content.root())
                .is_some_and(|request| self.shared.tables().is_about_own_account(request.element))
    }

    /// An iq has come for an account.
    pub(crate) fn take_iq(&mut self, stanza: &Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        let Some(to) = &stanza.head.to else { return };
        if let Some(resource) =
            self.accounts.get(to.bare_str()).and_then(|account| self.reached(account, stanza))
        {
            return deliver([resource.session], stanza.clone(), effects);
        }
        match stanza.payload.parse() {
            Ok(content) if self.is_shown_account(stanza) && self.audience_of(stanza) == For::Subscribers => {
                self.account_request(&to.to_bare(), None, stanza, content.root(), origin, effects);
            }
            _ => self.refuse_iq(stanza, effects),
        }
    }

    /// Answers an iq to an account that goes to none of its resources, and that the account itself does not answer: what is said for any
    /// account, be there one or not. A result that nobody has asked for is dropped.
    pub(crate) fn refuse_iq(&self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        let content =
            stanza.payload.parse().ok().filter(|_| stanza.head.to.as_ref().is_some_and(Jid::is_bare));
        let request = content.as_ref().and_then(|content| Router::read(stanza, content.root()));
        let every = request.and_then(|request| {
            match self.shared.tables().at_account(request.kind, request.element)? {
                Found::Every(every) => Some(every.answer(self.server(), &request)),
                Found::Own(_) | Found::Public(_) => None,
            }
        });
        match every {
            Some(Ok(payload)) => self.give_result(stanza, payload, effects),
            Some(Err(error)) => self.refuse(stanza, error, effects),
            // A roster is for its owner's eyes, be there one or not (RFC 6121 section 2.1.5).
            None if request.is_some_and(|request| request.element.namespace() == ns::ROSTER) => {
                self.refuse(stanza, ErrorCondition::Forbidden, effects);
            }
            None => self.refuse(stanza, ErrorCondition::ServiceUnavailable, effects),
        }
    }

    /// Whether the sender may know that there is the account that it has addressed.
    pub(crate) fn is_shown_account(&self, stanza: &Stanza) -> bool {
        let Some(to) = &stanza.head.to else { return false };
        let account = self.accounts.get(to.bare_str());
        account.is_some_and(|account| account.is_shown_to(&self.shared, stanza))
    }

    /// The resource that an iq for the account goes to.
    pub(crate) fn reached<'a>(&self, account: &'a Account, stanza: &Stanza) -> Option<&'a Resource> {
        let name = stanza.head.to.as_ref()?.resourcepart()?;
        let resource = account.by_name(name).filter(|_| !account.shuts_out(&self.shared, stanza))?;
        let is_request = matches!(stanza.head.kind, Kind::Iq(IqType::Get | IqType::Set));
        (!is_request || self.may_ask(stanza, account, resource)).then_some(resource)
    }

    /// An iq to one of the server's own addresses.
    pub(crate) fn serve(&mut self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        if stanza.result().is_none() {
            return self.take_response(stanza, effects);
        }
        if !stanza.head.to.as_ref().is_some_and(Jid::is_bare) {
            return self.refuse(stanza, ErrorCondition::ServiceUnavailable, effects);
        }
        let content = stanza.payload.parse();
        let request = content.as_ref().ok().and_then(|content| Router::read(stanza, content.root()));
        let Some(request) = request else { return self.refuse(stanza, ErrorCondition::BadRequest, effects) };
        let found = self.shared.tables().at_server(request.kind, request.element);
        match found.map(|found| found.answer(self.server(), &request)) {
            Some(Ok(payload)) => self.give_result(stanza, payload, effects),
            Some(Err(error)) => self.refuse(stanza, error, effects),
            None => self.refuse(stanza, ErrorCondition::ServiceUnavailable, effects),
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
        if stanza.result().is_none() {
            return;
        }
        let Ok(content) = stanza.payload.parse() else {
            return self.refuse(&stanza, ErrorCondition::BadRequest, effects);
        };
        match content.root().children().next() {
            Some(query) if query.is("query", ns::ROSTER) => {
                self.roster_request(from, stanza, query, origin, effects);
            }
            _ => self.own_extension_request(from, stanza, content.root(), origin, effects),
        }
    }

    /// Whether a request may reach the resource, and so show its sender that the resource is there (RFC 6121
    /// section 8.5.3.1).
    fn may_ask(&self, request: &Stanza, account: &Account, resource: &Resource) -> bool {
        let shares = |known: &Known| {
            let from = request.head.from.as_ref();
            from.is_some_and(|from| known.roster.is_subscriber(&from.to_bare()))
        };
        !self.shared.config.iq_needs_presence
            || is_own(request)
            || account.known().is_some_and(shares)
            || request.head.from.as_ref().is_some_and(|from| resource.has_directed_to(from))
    }
}

/// Whether the stanza stays within one account.
fn is_own(stanza: &Stanza) -> bool {
    stanza.head.from.as_ref().zip(stanza.head.to.as_ref()).is_some_and(|(from, to)| from.same_bare(to))
}
