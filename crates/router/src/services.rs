//! What the server answers itself: ping (XEP-0199), discovery (XEP-0030), version (XEP-0092), sessions of old clients.

use balcony_stanza::{ErrorCondition, IqType, Kind, Payload, Stanza, ns};
use balcony_xml::{Element, ElementRef, Name};

use crate::Software;

/// In whose name the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Its own, as the domain.
    Server,
    /// That of the sender's account.
    Account,
}

impl Role {
    /// What discovery announces: mostly the namespaces that requests are answered in.
    const fn features(self) -> &'static [&'static str] {
        match self {
            Role::Server => &[
                ns::DISCO_INFO,
                ns::DISCO_ITEMS,
                ns::PING,
                ns::VERSION,
                ns::BLOCKING,
                ns::CARBONS,
                ns::REGISTER,
                // XEP-0160 section 5: the only one that is no namespace.
                "msgoffline",
            ],
            Role::Account => &[ns::DISCO_INFO, ns::DISCO_ITEMS, ns::PING, ns::BLOCKING, ns::CARBONS],
        }
    }
}

const QUERY: Name = Name::from_static("query");

/// The content of the result, or why there is none: `service-unavailable` for whatever is not known.
pub(crate) fn answer(role: Role, software: &Software, request: &Stanza) -> Result<Payload, ErrorCondition> {
    let content = request.payload.parse().map_err(|_| ErrorCondition::BadRequest)?;
    let child = content.root().children().next().ok_or(ErrorCondition::BadRequest)?;
    let get = request.head.kind == Kind::Iq(IqType::Get);
    match (child.name(), child.namespace()) {
        ("ping", ns::PING) if get => Ok(Payload::EMPTY),
        ("query", ns::DISCO_INFO) if get => without_node(child).map(|()| info(role, software).into()),
        ("query", ns::DISCO_ITEMS) if get && role == Role::Account => Ok(no_items(child)),
        ("query", ns::DISCO_ITEMS) if get => {
            without_node(child).map(|()| Element::new(QUERY, ns::DISCO_ITEMS).into())
        }
        ("query", ns::VERSION) if get && role == Role::Server => Ok(version(software).into()),
        // RFC 3921 section 3. The session has existed since the resource was bound.
        ("session", ns::SESSION) if !get => Ok(Payload::EMPTY),
        _ => Err(ErrorCondition::ServiceUnavailable),
    }
}

/// Whether a request asks what an account offers, be it there or not.
pub(crate) fn is_about_account(request: &Stanza) -> bool {
    request.head.kind == Kind::Iq(IqType::Get)
        && request.head.to.as_ref().is_some_and(|to| to.is_bare())
        && request
            .payload
            .parse()
            .is_ok_and(|content| content.root().child("query", ns::DISCO_INFO).is_some())
}

/// The empty list of what is at an address, or at a node of it.
pub(crate) fn no_items(query: ElementRef<'_>) -> Payload {
    const NODE: Name = Name::from_static("node");
    let items = Element::new(QUERY, ns::DISCO_ITEMS);
    match query.attr("node") {
        Some(node) => items.attr(NODE, node).into(),
        None => items.into(),
    }
}

/// There are no nodes here.
fn without_node(query: ElementRef<'_>) -> Result<(), ErrorCondition> {
    query.attr("node").map_or(Ok(()), |_| Err(ErrorCondition::ItemNotFound))
}

fn info(role: Role, software: &Software) -> Element {
    const IDENTITY: Name = Name::from_static("identity");
    const CATEGORY: Name = Name::from_static("category");
    const TYPE: Name = Name::from_static("type");
    const NAME: Name = Name::from_static("name");
    const FEATURE: Name = Name::from_static("feature");
    const VAR: Name = Name::from_static("var");
    let identity = Element::new(IDENTITY, ns::DISCO_INFO);
    let identity = match role {
        Role::Server => identity.attr(CATEGORY, "server").attr(TYPE, "im").attr(NAME, &software.name),
        Role::Account => identity.attr(CATEGORY, "account").attr(TYPE, "registered"),
    };
    let mut info = Element::new(QUERY, ns::DISCO_INFO).child(identity);
    for feature in role.features() {
        info = info.child(Element::new(FEATURE, ns::DISCO_INFO).attr(VAR, feature));
    }
    info
}

fn version(software: &Software) -> Element {
    const NAME: Name = Name::from_static("name");
    const VERSION: Name = Name::from_static("version");
    Element::new(QUERY, ns::VERSION)
        .child(Element::new(NAME, ns::VERSION).text(&software.name))
        .child(Element::new(VERSION, ns::VERSION).text(&software.version))
}
