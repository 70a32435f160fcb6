//! Bind 2 (XEP-0386): a resource that is bound with a login by [SASL2](super::sasl2), without a round trip of its own.

use alloc::string::String;
use alloc::vec::Vec;

use balcony_stanza::ns;
use balcony_xep::carbons;
use balcony_xml::{ElementRef, escape_text};

/// The server's offer, inside of that of SASL2, with what a client can have on the way.
pub(crate) fn write_feature(out: &mut Vec<u8>) {
    out.extend_from_slice(b"<bind xmlns='urn:xmpp:bind:0'><inline><feature var='");
    out.extend_from_slice(carbons::NS.as_bytes());
    out.extend_from_slice(b"'/></inline></bind>");
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
    /// Whether it wants carbons (XEP-0280) from the first moment on.
    pub(crate) carbons: bool,
}

impl Request {
    /// The request inside of `<authenticate/>`, if there is one.
    pub(crate) fn read(authenticate: ElementRef<'_>) -> Option<Request> {
        let bind = authenticate.child("bind", ns::BIND2)?;
        let tag = bind.child("tag", ns::BIND2).map(|tag| String::from(&*tag.text()));
        let carbons =
            bind.children().any(|child| carbons::Request::read(child) == Some(carbons::Request::Enable));
        Some(Request { tag: tag.filter(|tag| !tag.is_empty()), carbons })
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
