//! The requests that a client answers itself.

use balcony_jid::FullJid;
use balcony_stanza::{ErrorCondition, IqType, Kind, Payload, Stanza, ns};
use balcony_xml::{Element, Name};

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
        .is_some_and(|child| child.is("query", ns::ROSTER) || child.namespace() == ns::BLOCKING)
}

/// The answer to a request; `None` if `stanza` is no request, or one for the owner.
pub(crate) fn answer(stanza: &Stanza, is_push: bool, config: &Config) -> Option<Stanza> {
    let Kind::Iq(kind @ (IqType::Get | IqType::Set)) = stanza.head.kind else { return None };
    if is_push {
        return stanza.result();
    }
    let payload = stanza.payload.parse().ok()?;
    let child = payload.root().children().next()?;
    match (kind, child.namespace(), child.name()) {
        // A push that is none.
        (IqType::Set, ns::ROSTER | ns::BLOCKING, _) => {
            stanza.error(&ErrorCondition::ServiceUnavailable.into())
        }
        (IqType::Get, ns::PING, "ping") => stanza.result(),
        (IqType::Get, ns::VERSION, "query") => {
            const QUERY: Name = Name::from_static("query");
            const NAME: Name = Name::from_static("name");
            const VERSION: Name = Name::from_static("version");
            let (name, version) = &config.software;
            let query = Element::new(QUERY, ns::VERSION)
                .child(Element::new(NAME, ns::VERSION).text(name))
                .child(Element::new(VERSION, ns::VERSION).text(version));
            Some(stanza.result()?.payload(Payload::from(query)))
        }
        (IqType::Get, ns::DISCO_INFO, "query") if !config.take_requests => {
            Some(stanza.result()?.payload(Payload::from(disco(config))))
        }
        _ if config.take_requests => None,
        _ => stanza.error(&ErrorCondition::ServiceUnavailable.into()),
    }
}

fn disco(config: &Config) -> Element {
    const QUERY: Name = Name::from_static("query");
    const IDENTITY: Name = Name::from_static("identity");
    const FEATURE: Name = Name::from_static("feature");
    const CATEGORY: Name = Name::from_static("category");
    const TYPE: Name = Name::from_static("type");
    const NAME: Name = Name::from_static("name");
    const VAR: Name = Name::from_static("var");
    let mut query = Element::new(QUERY, ns::DISCO_INFO).child(
        Element::new(IDENTITY, ns::DISCO_INFO)
            .attr(CATEGORY, "client")
            .attr(TYPE, "console")
            .attr(NAME, &config.software.0),
    );
    for feature in [ns::DISCO_INFO, ns::PING, ns::VERSION] {
        query = query.child(Element::new(FEATURE, ns::DISCO_INFO).attr(VAR, feature));
    }
    query
}
