//! SASL EXTERNAL between servers: the certificate has proven who the peer is, and the exchange only says so (RFC 6120
//! section 6, XEP-0178).

use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_sasl::SaslCondition;
use balcony_xml::ElementRef;

use super::sasl::Profile;

pub(crate) const NAME: &str = "EXTERNAL";

/// The message of an exchange, as the receiving end reads it: whom the peer wants to act for. `None`: it has yet to say.
///
/// A peer may leave out who it is, since it has said so in its header. It can't act for anybody else.
pub(crate) fn read(message: ElementRef<'_>, claimed: &BareJid) -> Result<Option<()>, SaslCondition> {
    match Profile::Classic.decode(message)? {
        None => Ok(None),
        Some(data) if data.is_empty() => Ok(Some(())),
        Some(data) => {
            let authzid = core::str::from_utf8(&data).ok().and_then(|text| BareJid::parse(text).ok());
            match authzid.as_ref() == Some(claimed) {
                true => Ok(Some(())),
                false => Err(SaslCondition::InvalidAuthzid),
            }
        }
    }
}

/// The receiving end's offer (RFC 6120 section 6.3.4: this mechanism comes first, and between servers there is no other).
pub(crate) fn write_feature(out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>",
    );
}

/// Whether it is among the mechanisms of an offer.
pub(crate) fn is_offered(offer: ElementRef<'_>) -> bool {
    offer.children().any(|mechanism| mechanism.text() == NAME)
}
