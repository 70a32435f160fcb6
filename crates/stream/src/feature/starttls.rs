//! STARTTLS, the same between clients and servers as between servers (RFC 6120 section 5).

use alloc::vec::Vec;

use balcony_stanza::ns;
use balcony_xml::ElementRef;

use crate::common::Common;
use crate::error::Error;
use crate::security::TlsPolicy;
use crate::state::{Phase, Step};

/// Whether the policy lets authentication begin on this stream as it is.
pub(crate) fn is_secure_enough(common: &Common, policy: TlsPolicy) -> bool {
    common.is_secured || matches!(policy, TlsPolicy::Optional | TlsPolicy::None)
}

/// The receiving entity's offer, if there is one (section 5.4.1).
pub(crate) fn write_feature(common: &Common, policy: TlsPolicy, out: &mut Vec<u8>) {
    out.extend_from_slice(match policy {
        TlsPolicy::Required if !common.is_secured => {
            b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
        }
        TlsPolicy::Optional if !common.is_secured => b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        _ => b"",
    });
}

/// Grants what was offered (section 5.4.2).
pub(crate) fn grant(common: &mut Common, policy: TlsPolicy, out: &mut Vec<u8>) -> Result<(), Error> {
    let offered = !common.is_secured && matches!(policy, TlsPolicy::Required | TlsPolicy::Optional);
    let is_empty = common.reader.element().nodes().next().is_none();
    if !offered || !is_empty || common.phase() != Phase::Negotiate {
        // Section 5.4.2.2: a failure, then the end of the stream. It is not a stream error.
        common.framing.element(out, |out| {
            out.extend_from_slice(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        });
        return Err(Error::TlsNotOffered);
    }
    common.step(Step::StartTls)?;
    common.step(Step::Proceed)?;
    // Whatever follows the `>` in the input is TLS's, never ours: text slipped in behind it dies in the handshake.
    out.extend_from_slice(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    Ok(())
}

/// Asks for TLS if the policy demands it, or wants it and these features have it; whether it was asked for.
pub(crate) fn request(
    common: &mut Common,
    policy: TlsPolicy,
    features: bool,
    out: &mut Vec<u8>,
) -> Result<bool, Error> {
    if common.is_secured {
        return Ok(false);
    }
    match (policy, features) {
        // An attacker may have taken the feature out, or the server may not tell: whoever needs TLS asks for it all the same
        // (RFC 7590 section 3.1), and does not go on without it.
        (TlsPolicy::Required, _) | (TlsPolicy::Optional, true) => {
            out.extend_from_slice(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            common.tls_offered = features;
            common.step(Step::StartTls).map(|()| true)
        }
        (TlsPolicy::Direct, _) => Err(Error::NoTls),
        (TlsPolicy::Optional | TlsPolicy::None, _) => Ok(false),
    }
}

/// Whether these features have STARTTLS.
pub(crate) fn is_offered(features: ElementRef<'_>) -> bool {
    features.child("starttls", ns::TLS).is_some()
}
