//! Strategies for property tests with `proptest`: addresses, names, texts, elements, stanzas, and streams in pieces.
//!
//! They make what is valid, odd cases first: whatever their values do to a program another client can do to it. Bytes that are not valid
//! are `any::<Vec<u8>>()`.

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_stanza::{Content, IqType, Kind, MessageType, Payload, PresenceType, Stanza};
use balcony_xml::{Element, Name};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use crate::values::{DOMAINS, KINDS, LOCALS, NAMES, NAMESPACES, RESOURCES, SPECIAL, is_xml};

/// Any address: of a domain, an account or a session.
pub fn jid() -> impl Strategy<Value = Jid> + Clone {
    (of(local()), domain(), of(resource())).prop_filter_map("an address", |(local, domain, resource)| {
        Jid::from_parts(local.as_deref(), &domain, resource.as_deref()).ok()
    })
}

/// The address of an account or a domain.
pub fn bare_jid() -> impl Strategy<Value = BareJid> + Clone {
    jid().prop_map(Jid::into_bare)
}

/// The address of an account.
pub fn account() -> impl Strategy<Value = BareJid> + Clone {
    (local(), domain())
        .prop_filter_map("an account", |(local, domain)| BareJid::from_parts(Some(&local), &domain).ok())
}

/// The address of an account's session.
pub fn full_jid() -> impl Strategy<Value = FullJid> + Clone {
    (account(), resource())
        .prop_filter_map("a full address", |(account, resource)| account.with_resource(&resource).ok())
}

fn local() -> impl Strategy<Value = String> + Clone {
    prop_oneof![select(LOCALS).prop_map(String::from), "[a-z0-9._-]{1,12}"]
}

fn domain() -> impl Strategy<Value = String> + Clone {
    prop_oneof![select(DOMAINS).prop_map(String::from), "[a-z]{1,8}\\.example"]
}

fn resource() -> impl Strategy<Value = String> + Clone {
    prop_oneof![select(RESOURCES).prop_map(String::from), "[ -~]{1,12}"]
}

/// A name of an element or an attribute.
pub fn name() -> impl Strategy<Value = Name> + Clone {
    let any = "[a-z_\u{e9}][a-z0-9._-]{0,8}".prop_filter_map("a name", |name| Name::new(&name).ok());
    prop_oneof![3 => select(NAMES).prop_map(Name::from_static), 1 => any]
}

/// What XML can carry, with everything that has to be escaped; it may be empty.
pub fn text() -> impl Strategy<Value = String> + Clone {
    let special = select(SPECIAL).prop_map(String::from);
    let any =
        any::<char>().prop_filter("a character of XML 1.0", |char| is_xml(*char)).prop_map(String::from);
    vec(prop_oneof![2 => special, 2 => any, 1 => "[a-z]{1,4}"], 0..12).prop_map(|parts| parts.concat())
}

/// The same, and neither empty nor white space alone.
pub fn some_text() -> impl Strategy<Value = String> + Clone {
    text().prop_map(|text| text + "x")
}

/// Any element, up to five deep.
pub fn element() -> impl Strategy<Value = Element> {
    let empty = || {
        let attributes = vec((name(), namespace(), text()), 0..3);
        (name(), namespace(), attributes, of(text())).prop_map(|(name, namespace, attributes, lang)| {
            let mut element = Element::new(name, namespace);
            for (name, namespace, value) in attributes {
                element.push_attr_ns(name, namespace, &value);
            }
            if let Some(lang) = lang {
                element.push_lang(&lang);
            }
            element
        })
    };
    empty().boxed().prop_recursive(4, 24, 4, move |inner| {
        let node = prop_oneof![inner.prop_map(Ok), text().prop_map(Err)];
        (empty(), vec(node, 0..4)).prop_map(|(mut element, nodes)| {
            for node in nodes {
                match node {
                    Ok(child) => element.push_child(child.root()),
                    Err(text) => element.push_text(&text),
                }
            }
            element
        })
    })
}

fn namespace() -> impl Strategy<Value = &'static str> + Clone {
    select(NAMESPACES)
}

/// Any stanza that may stand on a stream, of any kind, and the elements that it holds.
pub fn stanza_and_content() -> impl Strategy<Value = (Stanza, Vec<Element>)> {
    let elements = vec(element(), 1..4);
    (select(KINDS), of(jid()), of(jid()), of(text()), of(text()), elements, any::<bool>()).prop_map(
        |(kind, to, from, id, lang, mut elements, empty)| {
            match kind {
                Kind::Iq(IqType::Get | IqType::Set) => elements.truncate(1),
                _ if empty => elements.clear(),
                _ => {}
            }
            let mut stanza = Stanza::new(kind).with_payload(elements.iter().collect::<Payload>());
            (stanza.head.to, stanza.head.from) = (to, from);
            stanza.head.id = id.map(Into::into);
            stanza.head.lang = lang.map(Into::into);
            if let (Kind::Iq(_), None) = (kind, &stanza.head.id) {
                stanza.head.id = Some("1".into());
            }
            (stanza, elements)
        },
    )
}

/// Any stanza that may stand on a stream, of any kind.
pub fn stanza() -> impl Strategy<Value = Stanza> {
    stanza_and_content().prop_map(|(stanza, _)| stanza)
}

/// A message that somebody sends to a person: with a body, from a session.
pub fn chat() -> impl Strategy<Value = Stanza> {
    let kind = select(&[MessageType::Chat, MessageType::Normal][..]);
    (kind, full_jid(), some_text(), of(some_text()))
        .prop_map(|(kind, from, body, id)| chat_of(kind, from.into(), &body, id.as_deref()))
}

/// Presence of a session, available or not.
pub fn presence() -> impl Strategy<Value = Stanza> {
    let kind = select(&[PresenceType::Available, PresenceType::Unavailable][..]);
    (kind, full_jid()).prop_map(|(kind, from)| Stanza::presence(kind).with_from(from.into()))
}

/// Bytes cut into pieces, none of them empty: nothing may depend on where a network cuts.
pub fn pieces(bytes: Vec<u8>) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let length = bytes.len();
    vec(0..=length, 0..8).prop_map(move |mut cuts| {
        cuts.extend([0, length]);
        cuts.sort_unstable();
        cuts.dedup();
        cuts.windows(2).map(|ends| bytes[ends[0]..ends[1]].to_vec()).collect()
    })
}

/// Stanzas, and the pieces in which a network brings them: what comes behind the header of a stream.
pub fn stream() -> impl Strategy<Value = (Vec<Stanza>, Vec<Vec<u8>>)> {
    vec(stanza(), 0..6).prop_flat_map(|stanzas| {
        let mut bytes = Vec::new();
        stanzas.iter().for_each(|stanza| stanza.write(&mut bytes));
        (Just(stanzas), pieces(bytes))
    })
}

fn chat_of(kind: MessageType, from: Jid, body: &str, id: Option<&str>) -> Stanza {
    let mut stanza = Stanza::message(kind).with_from(from).with_payload(Content::body(body).to_payload());
    stanza.head.id = id.map(Into::into);
    stanza
}
