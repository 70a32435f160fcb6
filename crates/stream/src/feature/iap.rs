//! Initial authentication pipelining (XEP-0509): a client that knows what its server offers begins its login with the stream, and says
//! which version of the offer it knows.

use alloc::string::String;
use alloc::vec::Vec;

use balcony_machine::Secret;
use balcony_sasl::to_base64_url;
use balcony_xml::{ElementRef, escape_attr};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::framing::Framing;

const NS: &str = "urn:xmpp:iap:0";

/// The version of an offer: of the features as they are written out, without this one (section 2.3.1).
pub(crate) fn version(secret: &Secret<[u8; 32]>, features: &[u8]) -> String {
    // HMAC takes keys of any length: the error exists for other MACs.
    let Ok(mac) = <Hmac<Sha256>>::new_from_slice(secret.expose()) else { return String::new() };
    // Nothing else that is made from this secret begins so.
    let digest = mac.chain_update(b"features\0").chain_update(features).finalize().into_bytes();
    to_base64_url(&digest[..16])
}

/// The version, in the server's offer or the client's request.
pub(crate) fn write_version(scheme: Option<&str>, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<config-version xmlns='urn:xmpp:iap:0'");
    if let Some(scheme) = scheme {
        out.extend_from_slice(b" scheme='");
        escape_attr(scheme, out);
        out.push(b'\'');
    }
    out.extend_from_slice(b" value='");
    escape_attr(value, out);
    out.extend_from_slice(b"'/>");
}

/// The value of the version in an offer or a request.
pub(crate) fn value(element: ElementRef<'_>) -> Option<&str> {
    element.child("config-version", NS)?.attr("value")
}

/// The scheme of the version in an offer.
#[cfg(feature = "fast")]
pub(crate) fn scheme(element: ElementRef<'_>) -> Option<&str> {
    element.child("config-version", NS)?.attr("scheme")
}

/// The client knows another version. Its login was not looked at (section 2.2).
pub(crate) fn write_mismatch(framing: Framing, out: &mut Vec<u8>) {
    framing.element(out, |out| {
        out.extend_from_slice(
            b"<failure xmlns='urn:xmpp:sasl:2'><aborted xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\
              <config-version-mismatch xmlns='urn:xmpp:iap:0'/></failure>",
        );
    });
}

/// Whether a failure is that.
#[cfg(feature = "fast")]
pub(crate) fn is_mismatch(failure: ElementRef<'_>) -> bool {
    failure.child("config-version-mismatch", NS).is_some()
}
