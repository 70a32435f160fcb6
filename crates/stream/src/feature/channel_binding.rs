//! Which types of channel binding a server has for the -PLUS mechanisms (XEP-0440).

use alloc::vec::Vec;

use balcony_sasl::Binding;
use balcony_stanza::ns;
use balcony_xml::ElementRef;

/// The server's list, best first.
pub(crate) fn write_feature(bindings: impl Iterator<Item = Binding>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>");
    for binding in bindings {
        for part in ["<channel-binding type='", binding.name(), "'/>"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out.extend_from_slice(b"</sasl-channel-binding>");
}

/// The types in the list among these features, known here or not, if the server says which types it has.
#[cfg(feature = "downgrade")]
pub(crate) fn names(features: ElementRef<'_>) -> Option<impl Iterator<Item = &str>> {
    let list = features.child("sasl-channel-binding", ns::SASL_CHANNEL_BINDING)?;
    let types = list.children().filter(|child| child.is("channel-binding", ns::SASL_CHANNEL_BINDING));
    Some(types.filter_map(|binding| binding.attr("type")))
}

/// The types that are known here, as far as a server has them.
#[derive(Clone, Copy)]
pub(crate) struct Announced {
    pub(crate) exporter: bool,
    pub(crate) end_point: bool,
}

impl Announced {
    /// The list among these features, if the server says which types it has.
    pub(crate) fn read(features: ElementRef<'_>) -> Option<Announced> {
        let list = features.child("sasl-channel-binding", ns::SASL_CHANNEL_BINDING)?;
        let has = |kind| list.children().any(|binding| binding.attr("type") == Some(kind));
        Some(Announced { exporter: has("tls-exporter"), end_point: has("tls-server-end-point") })
    }
}
