//! Resource binding (RFC 6120 section 7): the client asks for a resource, or leaves the choice to the server, and gets its full
//! JID.

use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::FullJid;
use balcony_stanza::{IqType, Kind, Payload, Stanza, ns};
use balcony_xml::{Element, ElementRef, Name, escape_attr, escape_text};

use crate::framing::Framing;

const BIND: Name = Name::from_static("bind");

/// The server's offer (section 7.4).
pub(crate) fn write_feature(out: &mut Vec<u8>) {
    out.extend_from_slice(b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>");
    // Session establishment is a no-op since RFC 6121, but old clients insist on seeing it.
    out.extend_from_slice(b"<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>");
}

/// Whether these features have it.
pub(crate) fn is_offered(features: ElementRef<'_>) -> bool {
    features.child("bind", ns::BIND).is_some()
}

/// The client's request (sections 7.6.1 and 7.7.1).
pub(crate) fn request(id: &str, resource: Option<&str>) -> Stanza {
    const RESOURCE: Name = Name::from_static("resource");
    let mut bind = Element::new(BIND, ns::BIND);
    if let Some(resource) = resource {
        bind = bind.child(Element::new(RESOURCE, ns::BIND).text(resource));
    }
    Stanza::iq(IqType::Set).with_id(id).with_payload(Payload::from(bind))
}

/// What a request asks for: a resource, or one that the server chooses.
pub(crate) struct Request {
    pub(crate) resource: Option<String>,
}

impl Request {
    /// Reads `stanza`, of which this is the element; `None` if it is something else.
    pub(crate) fn read(stanza: &Stanza, element: ElementRef<'_>) -> Option<Request> {
        if stanza.head.kind != Kind::Iq(IqType::Set) {
            return None;
        }
        let resource = element.child("bind", ns::BIND)?.child("resource", ns::BIND);
        let resource = resource.map(|resource| String::from(&*resource.text()));
        Some(Request { resource: resource.filter(|resource| !resource.is_empty()) })
    }
}

/// Writes the server's result to the request with this id: this is who the client is now.
pub(crate) fn write_result(framing: Framing, id: &str, jid: &FullJid, out: &mut Vec<u8>) {
    let namespace = match framing {
        Framing::Document => "",
        Framing::Messages => " xmlns='jabber:client'",
    };
    framing.element(out, |out| {
        for part in ["<iq", namespace, " type='result' id='"] {
            out.extend_from_slice(part.as_bytes());
        }
        escape_attr(id, out);
        out.extend_from_slice(b"'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>");
        escape_text(jid.as_str(), out);
        out.extend_from_slice(b"</jid></bind></iq>");
    });
}

/// Reads a result; `None` if it has no valid full JID.
pub(crate) fn read_result(element: ElementRef<'_>) -> Option<FullJid> {
    let jid = element.child("bind", ns::BIND)?.child("jid", ns::BIND)?;
    FullJid::parse(&jid.text()).ok()
}
