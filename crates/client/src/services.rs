//! The requests that a client answers itself, such as pings and what it is, and those that are pushes of its own server: changes
//! of the roster (RFC 6121 section 2.1.6), and of who is blocked (XEP-0191).

use balcony_jid::FullJid;
use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza, ns};
use balcony_xep::blocking;

use crate::ClientConfig;

/// Whether the server tells its account's clients of a change: of the roster (RFC 6121 section 2.1.6), or of who is blocked
/// (XEP-0191 section 3.3). Only the server may; anybody else could fill the roster with strangers.
pub(crate) fn is_push(stanza: &Stanza, own: &FullJid) -> bool {
    let is_ours = stanza.head.from.as_ref().is_none_or(|from| from.as_str() == own.bare_str());
    if !is_ours || stanza.head.kind != Kind::Iq(IqType::Set) {
        return false;
    }
    let Ok(payload) = stanza.payload.parse() else { return false };
    payload
        .root()
        .children()
        .next()
        .is_some_and(|child| child.is("query", ns::ROSTER) || child.namespace() == blocking::NS)
}

/// The answer to a request; `None` if `stanza` is no request, or one for the owner.
pub(crate) fn answer(stanza: &Stanza, is_push: bool, config: &ClientConfig) -> Option<Stanza> {
    let Kind::Iq(kind @ (IqType::Get | IqType::Set)) = stanza.head.kind else { return None };
    if is_push {
        return stanza.result();
    }
    let payload = stanza.payload.parse().ok()?;
    let child = payload.root().children().next()?;
    // A push that is none.
    if kind == IqType::Set && matches!(child.namespace(), ns::ROSTER | blocking::NS) {
        return stanza.error(&ErrorCondition::ServiceUnavailable.into());
    }
    let answer = config.discovery.as_ref().and_then(|discovery| discovery.answer(stanza, &[]));
    if answer.is_some() || config.take_requests {
        return answer;
    }
    stanza.error(&ErrorCondition::ServiceUnavailable.into())
}
