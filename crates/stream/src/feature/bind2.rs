//! Bind 2 (XEP-0386): a resource that is bound with a login by [SASL2](super::sasl2), without a round trip of its own.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_stanza::ns;
use balcony_xml::{Element, ElementRef, escape_attr, escape_text};

/// The server's offer, inside of that of SASL2, with the namespaces of what a client can have on the way.
pub(crate) fn write_feature(inline: &[Cow<'static, str>], out: &mut Vec<u8>) {
    if inline.is_empty() {
        return out.extend_from_slice(b"<bind xmlns='urn:xmpp:bind:0'/>");
    }
    out.extend_from_slice(b"<bind xmlns='urn:xmpp:bind:0'><inline>");
    for namespace in inline {
        out.extend_from_slice(b"<feature var='");
        escape_attr(namespace, out);
        out.extend_from_slice(b"'/>");
    }
    out.extend_from_slice(b"</inline></bind>");
}

/// Whether this list of what SASL2 can have inline has it.
pub(crate) fn is_offered(inline: ElementRef<'_>) -> bool {
    inline.child("bind", ns::BIND2).is_some()
}

/// The client's request: the resource begins with this tag.
pub(crate) fn write_request(tag: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<bind xmlns='urn:xmpp:bind:0'><tag>");
    escape_text(tag, out);
    out.extend_from_slice(b"</tag></bind>");
}

/// What a client asked for.
pub(crate) struct Request {
    /// What the resource begins with.
    pub(crate) tag: Option<String>,
    /// The whole request, if there is something in it that is not of Bind 2 itself.
    pub(crate) inline: Option<Element>,
}

impl Request {
    /// The request inside of `<authenticate/>`, if there is one.
    pub(crate) fn read(authenticate: ElementRef<'_>) -> Option<Request> {
        let bind = authenticate.child("bind", ns::BIND2)?;
        let tag = bind.child("tag", ns::BIND2).map(|tag| String::from(&*tag.text()));
        let has_more = bind.children().any(|child| child.namespace() != ns::BIND2);
        let inline = has_more.then(|| Element::from(bind));
        Some(Request { tag: tag.filter(|tag| !tag.is_empty()), inline })
    }
}

/// The server's word that a resource is bound, inside of `<success/>`, which names the full JID.
pub(crate) fn write_bound(out: &mut Vec<u8>) {
    out.extend_from_slice(b"<bound xmlns='urn:xmpp:bind:0'/>");
}

/// Whether a success has bound a resource as well.
pub(crate) fn is_bound(success: ElementRef<'_>) -> bool {
    success.child("bound", ns::BIND2).is_some()
}
