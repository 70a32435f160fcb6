//! Bind 2 (XEP-0386): a resource that is bound with a login by [SASL2](super::sasl2), without a round trip of its own.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_stanza::ns;
use balcony_xep::csi::ClientState;
use balcony_xep::sm::{self, Enable};
use balcony_xml::{Element, ElementRef, escape_attr, escape_text};

/// The server's offer, inside of that of SASL2, with the namespaces of what a client can have on the way.
pub(crate) fn write_feature(inline: &[Cow<'static, str>], management: bool, out: &mut Vec<u8>) {
    let mut inline =
        inline.iter().map(|namespace| &**namespace).chain(management.then_some(sm::NS)).peekable();
    if inline.peek().is_none() {
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

/// Whether in this list it can have what has this namespace on the way.
pub(crate) fn offers(inline: ElementRef<'_>, namespace: &str) -> bool {
    let list = inline.child("bind", ns::BIND2).and_then(|bind| bind.child("inline", ns::BIND2));
    let is_it =
        |feature: ElementRef<'_>| feature.is("feature", ns::BIND2) && feature.attr("var") == Some(namespace);
    list.is_some_and(|list| list.children().any(is_it))
}

/// The client's request: the resource begins with this tag, its stanzas are counted as that says (XEP-0198), and it is used or not
/// (XEP-0352).
pub(crate) fn write_request(
    tag: &str,
    enable: Option<Enable>,
    state: Option<ClientState>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"<bind xmlns='urn:xmpp:bind:0'><tag>");
    escape_text(tag, out);
    out.extend_from_slice(b"</tag>");
    if let Some(enable) = enable {
        enable.to_element().root().write(out, ns::BIND2);
    }
    if let Some(state) = state {
        state.to_element().root().write(out, ns::BIND2);
    }
    out.extend_from_slice(b"</bind>");
}

/// What a client asked for.
pub(crate) struct Request {
    /// What the resource begins with.
    pub(crate) tag: Option<String>,
    /// Whether its stanzas are to be counted (XEP-0198).
    pub(crate) enable: Option<Enable>,
    /// The whole request, if there is something else in it that is not of Bind 2 itself.
    pub(crate) inline: Option<Element>,
}

impl Request {
    /// The request inside of `<authenticate/>`, if there is one. Of stream management only if that is on offer.
    pub(crate) fn read(authenticate: ElementRef<'_>, management: bool) -> Option<Request> {
        let bind = authenticate.child("bind", ns::BIND2)?;
        let tag = bind.child("tag", ns::BIND2).map(|tag| String::from(&*tag.text()));
        let enable = bind.children().filter(|_| management).find_map(Enable::read);
        let has_more = bind.children().any(|child| ![ns::BIND2, sm::NS].contains(&child.namespace()));
        let inline = has_more.then(|| Element::from(bind));
        Some(Request { tag: tag.filter(|tag| !tag.is_empty()), enable, inline })
    }
}

/// The server's word that a resource is bound, inside of `<success/>`, which names the full JID; with what it says of stream
/// management.
pub(crate) fn write_bound(enabled: Option<&Element>, out: &mut Vec<u8>) {
    let Some(enabled) = enabled else { return out.extend_from_slice(b"<bound xmlns='urn:xmpp:bind:0'/>") };
    out.extend_from_slice(b"<bound xmlns='urn:xmpp:bind:0'>");
    enabled.root().write(out, ns::BIND2);
    out.extend_from_slice(b"</bound>");
}

/// That word in a success; `None` if it has bound no resource.
pub(crate) fn bound(success: ElementRef<'_>) -> Option<ElementRef<'_>> {
    success.child("bound", ns::BIND2)
}
