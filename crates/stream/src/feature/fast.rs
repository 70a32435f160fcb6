//! FAST (XEP-0484): a token for the next login, given with this one and used in one message.

use alloc::vec::Vec;

use balcony_machine::Secret;
use balcony_sasl::Mechanism;
use balcony_xep::datetime;
use balcony_xml::{ElementRef, escape_attr};

use super::sasl::write_mechanisms;

const NS: &str = "urn:xmpp:fast:0";

/// The server's offer, inside of that of SASL2 (section 3.1). Early data is not accepted, so nothing is said of it.
pub(crate) fn write_feature(mechanisms: impl Iterator<Item = Mechanism>, out: &mut Vec<u8>) {
    let mut mechanisms = mechanisms.peekable();
    if mechanisms.peek().is_some() {
        out.extend_from_slice(b"<fast xmlns='urn:xmpp:fast:0'>");
        write_mechanisms(mechanisms, out);
        out.extend_from_slice(b"</fast>");
    }
}

/// What a client says of tokens inside of `<authenticate/>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// It logs in by one.
    pub(crate) is_used: bool,
    /// That one is to end.
    pub(crate) invalidate: bool,
    /// It wants one for this mechanism.
    pub(crate) wanted: Option<Mechanism>,
}

impl Request {
    /// The count of attempts (section 3.4) is passed over: it is for early data.
    pub(crate) fn read(authenticate: ElementRef<'_>) -> Request {
        let fast = authenticate.child("fast", NS);
        let invalidate = fast.and_then(|fast| fast.attr("invalidate"));
        let wanted = authenticate.child("request-token", NS).and_then(|wanted| wanted.attr("mechanism"));
        Request {
            is_used: fast.is_some(),
            invalidate: matches!(invalidate, Some("true" | "1")),
            wanted: wanted.and_then(Mechanism::for_token_from_name),
        }
    }
}

/// A new token, inside of `<success/>` (section 3.3). `expires` is in seconds since the start of 1970 (UTC).
pub(crate) fn write_token(token: &Secret<alloc::string::String>, expires: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<token xmlns='urn:xmpp:fast:0' token='");
    escape_attr(token.expose(), out);
    out.extend_from_slice(b"' expiry='");
    out.extend_from_slice(datetime::format(expires.saturating_mul(1_000)).as_bytes());
    out.extend_from_slice(b"'/>");
}

/// The mechanisms that a server takes tokens by, of those that are known here.
#[cfg(feature = "fast")]
pub(crate) fn offered(inline: ElementRef<'_>) -> Vec<Mechanism> {
    let names = inline.child("fast", NS).into_iter().flat_map(super::sasl::mechanisms);
    names.filter_map(|name| Mechanism::for_token_from_name(&name)).collect()
}

/// The client logs in by a token, for the last time if it ends, or wants one for this mechanism.
#[cfg(feature = "fast")]
pub(crate) fn write_request(is_used: bool, ends: bool, wanted: Option<Mechanism>, out: &mut Vec<u8>) {
    if is_used {
        let ends = if ends { " invalidate='true'" } else { "" };
        for part in ["<fast xmlns='urn:xmpp:fast:0'", ends, "/>"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    if let Some(wanted) = wanted {
        for part in ["<request-token xmlns='urn:xmpp:fast:0' mechanism='", wanted.name(), "'/>"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// The token in a success, and when it ends, in seconds since the start of 1970 (UTC).
#[cfg(feature = "fast")]
pub(crate) fn token(success: ElementRef<'_>) -> Option<(Secret<alloc::string::String>, u64)> {
    let token = success.child("token", NS)?;
    let text = token.attr("token").filter(|text| !text.is_empty())?;
    let expires = token.attr("expiry").and_then(datetime::parse)? / 1_000;
    Some((Secret::new(text.into()), expires))
}
