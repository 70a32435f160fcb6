//! SASL as XMPP writes it: base64 in elements (RFC 6120 section 6.4, RFC 4648 section 4).

use alloc::string::String;
use alloc::vec::Vec;

use balcony_sasl::SaslCondition;
use balcony_stanza::ns;
use balcony_xml::{ElementRef, escape_text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The data in a SASL element: `None` if there is none, empty if it is the single `=` of zero-length data.
///
/// Other characters, misplaced `=` and padding bits that are not zero are refused (section 13.9.1).
pub(crate) fn decode(element: ElementRef<'_>) -> Result<Option<Vec<u8>>, SaslCondition> {
    match &*element.text() {
        "" => Ok(None),
        "=" => Ok(Some(Vec::new())),
        text => STANDARD.decode(text).map(Some).map_err(|_| SaslCondition::IncorrectEncoding),
    }
}

/// Writes `<name xmlns='…'>data</name>`; without data an empty element.
pub(crate) fn write(name: &str, data: Option<&[u8]>, out: &mut Vec<u8>) {
    write_with(name, "", data, out);
}

/// Writes `<auth mechanism='…'>data</auth>`. The name of a mechanism needs no escaping.
pub(crate) fn write_auth(mechanism: &str, data: Option<&[u8]>, out: &mut Vec<u8>) {
    let mut attribute = String::from(" mechanism='");
    attribute.push_str(mechanism);
    attribute.push('\'');
    write_with("auth", &attribute, data, out);
}

fn write_with(name: &str, attributes: &str, data: Option<&[u8]>, out: &mut Vec<u8>) {
    for part in ["<", name, " xmlns='", ns::SASL, "'", attributes] {
        out.extend_from_slice(part.as_bytes());
    }
    let Some(data) = data else {
        out.extend_from_slice(b"/>");
        return;
    };
    out.push(b'>');
    if data.is_empty() {
        out.push(b'=');
    } else {
        out.extend_from_slice(STANDARD.encode(data).as_bytes());
    }
    for part in ["</", name, ">"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Writes `<failure/>` with a text for people (section 6.5).
pub(crate) fn write_failure(condition: SaslCondition, text: Option<&str>, out: &mut Vec<u8>) {
    for part in ["<failure xmlns='", ns::SASL, "'><", condition.name(), "/>"] {
        out.extend_from_slice(part.as_bytes());
    }
    if let Some(text) = text {
        out.extend_from_slice(b"<text xml:lang='en'>");
        escape_text(text, out);
        out.extend_from_slice(b"</text>");
    }
    out.extend_from_slice(b"</failure>");
}
