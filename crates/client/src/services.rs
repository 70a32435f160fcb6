//! The requests that a client answers itself, such as pings and what it is, and those that are pushes of its own server: changes
//! of the roster (RFC 6121 section 2.1.6), and of who is blocked (XEP-0191).

use balcony_jid::FullJid;
use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza, ns};
use balcony_xep::disco::{self, About, Identity};
use balcony_xep::ping::Ping;
use balcony_xep::version::{self, Software};
use balcony_xep::{blocking, ping};
use balcony_xml::Element;

use crate::Config;

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
pub(crate) fn answer(stanza: &Stanza, is_push: bool, config: &Config) -> Option<Stanza> {
    let Kind::Iq(kind @ (IqType::Get | IqType::Set)) = stanza.head.kind else { return None };
    if is_push {
        return stanza.result();
    }
    let payload = stanza.payload.parse().ok()?;
    let child = payload.root().children().next()?;
    let asks = kind == IqType::Get;
    match child.namespace() {
        // A push that is none.
        ns::ROSTER | blocking::NS if !asks => stanza.error(&ErrorCondition::ServiceUnavailable.into()),
        ping::NS if asks && Ping::read(child).is_some() => stanza.result(),
        version::NS if asks && version::Query::read(child).is_some() => {
            let (name, version) = &config.software;
            let software = Software { name: (**name).into(), version: (**version).into(), os: None };
            Some(stanza.result()?.child(software.to_element()))
        }
        _ if config.take_requests => None,
        _ => match disco::Query::read(child).filter(|query| asks && query.about == About::Info) {
            Some(query) if query.node.is_none() => Some(stanza.result()?.child(info(config))),
            // There are no nodes here (XEP-0030 section 3.3).
            Some(_) => stanza.error(&ErrorCondition::ItemNotFound.into()),
            None => stanza.error(&ErrorCondition::ServiceUnavailable.into()),
        },
    }
}

fn info(config: &Config) -> Element {
    let identity = Identity::new("client", "console").named(&config.software.0);
    disco::info(None, &[identity], [disco::INFO, ping::NS, version::NS])
}
