//! SASL2 (XEP-0388): a login without a restart of the stream, in which other things can be done on the way. What is between its
//! begin and its end is SASL of the [extensible profile](super::sasl::Profile::Extensible).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::FullJid;
use balcony_sasl::{Mechanism, SaslCondition};
use balcony_stanza::ns;
use balcony_xml::{ElementRef, escape_attr, escape_text};

use super::bind2;
use super::sasl::{Profile, write_mechanisms};
use crate::framing::Framing;

/// The server's offer.
pub(crate) fn write_feature(
    mechanisms: impl Iterator<Item = Mechanism>,
    bind_inline: &[Cow<'static, str>],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"<authentication xmlns='urn:xmpp:sasl:2'>");
    write_mechanisms(mechanisms, out);
    out.extend_from_slice(b"<inline>");
    bind2::write_feature(bind_inline, out);
    out.extend_from_slice(b"</inline></authentication>");
}

/// The offer among these features, a list of mechanisms.
pub(crate) fn offer(features: ElementRef<'_>) -> Option<ElementRef<'_>> {
    features.child("authentication", ns::SASL2)
}

/// Whether an offer has Bind 2 inside.
pub(crate) fn offers_bind2(offer: ElementRef<'_>) -> bool {
    offer.child("inline", ns::SASL2).is_some_and(bind2::is_offered)
}

/// How a client begins.
pub(crate) struct Authenticate<'a> {
    pub(crate) mechanism: Mechanism,
    pub(crate) initial: Option<&'a [u8]>,
    /// What the client calls its installation (section 4.2).
    pub(crate) agent: Option<&'a str>,
    /// The tag of the resource that is to be bound on the way, if one is.
    pub(crate) bind: Option<&'a str>,
}

impl Authenticate<'_> {
    pub(crate) fn write(&self, framing: Framing, out: &mut Vec<u8>) {
        framing.element(out, |out| {
            for part in ["<authenticate xmlns='", ns::SASL2, "' mechanism='", self.mechanism.name(), "'>"] {
                out.extend_from_slice(part.as_bytes());
            }
            if let Some(initial) = self.initial {
                out.extend_from_slice(b"<initial-response>");
                Profile::Extensible.encode(initial, out);
                out.extend_from_slice(b"</initial-response>");
            }
            if let Some(agent) = self.agent {
                out.extend_from_slice(b"<user-agent id='");
                escape_attr(agent, out);
                out.extend_from_slice(b"'/>");
            }
            if let Some(tag) = self.bind {
                bind2::write_request(tag, out);
            }
            out.extend_from_slice(b"</authenticate>");
        });
    }
}

/// The initial response inside of `<authenticate/>`.
pub(crate) fn initial_response(authenticate: ElementRef<'_>) -> Result<Option<Vec<u8>>, SaslCondition> {
    match authenticate.child("initial-response", ns::SASL2) {
        Some(initial) => Profile::Extensible.decode(initial),
        None => Ok(None),
    }
}

/// What the client calls its installation, inside of `<authenticate/>`.
pub(crate) fn agent(authenticate: ElementRef<'_>) -> Option<String> {
    let id = authenticate.child("user-agent", ns::SASL2)?.attr("id")?;
    (!id.is_empty()).then(|| id.into())
}

/// The server's end of an exchange that has succeeded: who the client is, with a resource if one is bound.
pub(crate) fn write_success(
    framing: Framing,
    data: Option<&[u8]>,
    identity: &str,
    is_bound: bool,
    out: &mut Vec<u8>,
) {
    framing.element(out, |out| {
        out.extend_from_slice(b"<success xmlns='urn:xmpp:sasl:2'>");
        if let Some(data) = data {
            out.extend_from_slice(b"<additional-data>");
            Profile::Extensible.encode(data, out);
            out.extend_from_slice(b"</additional-data>");
        }
        out.extend_from_slice(b"<authorization-identifier>");
        escape_text(identity, out);
        out.extend_from_slice(b"</authorization-identifier>");
        if is_bound {
            bind2::write_bound(out);
        }
        out.extend_from_slice(b"</success>");
    });
}

/// What the mechanism says in a success.
pub(crate) fn additional_data(success: ElementRef<'_>) -> Result<Option<Vec<u8>>, SaslCondition> {
    match success.child("additional-data", ns::SASL2) {
        Some(data) => Profile::Extensible.decode(data),
        None => Ok(None),
    }
}

/// The full JID that a success names; `None` if there is no valid one.
pub(crate) fn full_jid(success: ElementRef<'_>) -> Option<FullJid> {
    // The name of the element has changed between versions of the specification.
    let identity = ["authorization-identifier", "authorization-identity"]
        .into_iter()
        .find_map(|name| success.child(name, ns::SASL2))?;
    FullJid::parse(&identity.text()).ok()
}
