//! The rules for each of the three parts, and their normal form (RFC 7622 sections 3.2 to 3.4).
//!
//! What is ASCII is decided here and in `domain.rs`; all else needs the tables of Unicode.

use alloc::borrow::Cow;

use crate::{JidError, Part, Reason, domain, unicode};

/// The most octets that a part has in normal form.
pub(crate) const MAX_OCTETS: usize = 1023;

/// More octets than this are refused unseen: no mapping makes a part shorter than a third of what it was (fullwidth letters
/// and decomposed characters come close), so the result would be too long, and the work stays bounded.
const MAX_INPUT: usize = 4 * MAX_OCTETS;

/// A localpart in normal form: the profile UsernameCaseMapped without `"&'/:<>@` (RFC 7622 §3.3, RFC 8265 §3.3).
/// What is in normal form already comes back borrowed.
///
/// # Errors
///
/// [`JidError`] if the localpart breaks a rule that no mapping mends.
pub fn localpart(text: &str) -> Result<Cow<'_, str>, JidError> {
    enforce(Part::Localpart, text, |text| {
        if !text.is_ascii() {
            return unicode::localpart(text);
        }
        match text.bytes().find(|&b| !is_local_ascii(b)) {
            Some(bad) => Err(Reason::Forbidden(bad.into())),
            None => Ok(lowercase(text)),
        }
    })
}

/// A domainpart in normal form: labels of lower-case letters, digits and hyphens, U-labels, or an IP address, and no dot at
/// the end (RFC 7622 §3.2). What is in normal form already comes back borrowed.
///
/// # Errors
///
/// [`JidError`] if the domainpart breaks a rule that no mapping mends.
pub fn domainpart(text: &str) -> Result<Cow<'_, str>, JidError> {
    enforce(Part::Domainpart, text, domain::enforce)
}

/// A resourcepart in normal form: the profile OpaqueString (RFC 7622 §3.4, RFC 8265 §4.2). What is in normal form already
/// comes back borrowed.
///
/// # Errors
///
/// [`JidError`] if the resourcepart breaks a rule that no mapping mends.
pub fn resourcepart(text: &str) -> Result<Cow<'_, str>, JidError> {
    enforce(Part::Resourcepart, text, |text| {
        if !text.is_ascii() {
            return unicode::resourcepart(text);
        }
        match text.bytes().find(u8::is_ascii_control) {
            Some(bad) => Err(Reason::Forbidden(bad.into())),
            None => Ok(Cow::Borrowed(text)),
        }
    })
}

/// Whether UsernameCaseMapped and the exclusions of RFC 7622 §3.3.1 leave this octet of ASCII, or map it to lower case.
pub(crate) const fn is_local_ascii(b: u8) -> bool {
    b.is_ascii_graphic() && !matches!(b, b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@')
}

pub(crate) fn lowercase(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// What the three parts have in common: 1 to 1023 octets, counted after all mapping.
fn enforce<'a>(
    part: Part,
    text: &'a str,
    rules: impl FnOnce(&'a str) -> Result<Cow<'a, str>, Reason>,
) -> Result<Cow<'a, str>, JidError> {
    let normal = match text.len() {
        0 => Err(Reason::Empty),
        1..=MAX_INPUT => rules(text),
        _ => Err(Reason::TooLong),
    };
    match normal {
        Ok(normal) if normal.len() > MAX_OCTETS => Err(JidError::new(part, Reason::TooLong)),
        normal => normal.map_err(|reason| JidError::new(part, reason)),
    }
}
