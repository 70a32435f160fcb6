//! Internationalised domain names (IDNA2008, RFC 5890 to 5893) as RFC 7622 §3.2 wants them: in U-labels.

use alloc::borrow::Cow;
use alloc::string::String;
use core::iter::once;

use idna::punycode;

use super::class::{self, Class};
use super::{bidi, context, mapped, narrow, nfc};
use crate::Reason;
use crate::domain::{MAX_LABEL, MAX_NAME, check_hyphens, check_ldh, is_a_label, strip_root};

/// What begins every A-label.
const PREFIX: &str = "xn--";

pub(crate) fn domainpart(text: &str) -> Result<Cow<'_, str>, Reason> {
    let mapped = nfc(mapped(mapped(Cow::Borrowed(text), |c| narrow(dot(c))), lowercase));
    let name = strip_root(&mapped);
    if name.is_empty() {
        return Err(Reason::Empty);
    }
    let mut normal = String::with_capacity(name.len());
    // Octets in DNS, where the labels are A-labels, with the dots between them.
    let mut octets = 0;
    for label in name.split('.') {
        let label = if is_a_label(label) { Cow::Owned(to_u_label(label)?) } else { Cow::Borrowed(label) };
        if octets > 0 {
            normal.push('.');
            octets += 1;
        }
        octets +=
            if label.is_ascii() { check_ldh(&label).map(|()| label.len()) } else { check_u_label(&label) }?;
        normal.push_str(&label);
    }
    if octets > MAX_NAME {
        return Err(Reason::DnsLength);
    }
    // One right-to-left label, and all must be safe beside it (RFC 5893 §1.4).
    if bidi::is_rtl(&normal) && !normal.split('.').all(bidi::satisfies) {
        return Err(Reason::Bidi);
    }
    Ok(if normal == text { Cow::Borrowed(text) } else { Cow::Owned(normal) })
}

/// The dots that keyboards for Chinese and Japanese give (RFC 5895 §2); the fullwidth one is narrowed anyway.
fn dot(c: char) -> char {
    if matches!(c, '\u{3002}' | '\u{FF61}') { '.' } else { c }
}

/// Lower case, where a label needs it. The Cherokee letters that Unicode calls upper-case are the ones that labels consist
/// of, so what is valid as it is stays.
fn lowercase(c: char) -> impl Iterator<Item = char> {
    let keep = class::idna(c) == Class::Valid;
    once(c).filter(move |_| keep).chain(c.to_lowercase().filter(move |_| !keep))
}

/// The U-label for `label`, an A-label in lower case.
fn to_u_label(label: &str) -> Result<String, Reason> {
    if label.len() > MAX_LABEL {
        return Err(Reason::DnsLength);
    }
    let code = &label[PREFIX.len()..];
    let decoded = punycode::decode_to_string(code).ok_or(Reason::ALabel)?;
    // It must be the A-label of a normal label, and the only way to write it (RFC 5891 §5.4).
    let is_normal = !decoded.is_ascii()
        && matches!(nfc(Cow::Borrowed(&decoded)), Cow::Borrowed(_))
        && punycode::encode_str(&decoded).as_deref() == Some(code);
    if is_normal { Ok(decoded) } else { Err(Reason::ALabel) }
}

/// Checks a label that is not ASCII (RFC 5891 §4.2) and gives its octets in DNS.
fn check_u_label(label: &str) -> Result<usize, Reason> {
    check_hyphens(label)?;
    if let Some(mark) = label.chars().next().filter(|c| class::is_mark(*c)) {
        return Err(Reason::Misplaced(mark));
    }
    context::check(label, class::idna, |class| class == Class::Valid)?;
    // An A-label is longer than its U-label has characters; so this bounds the work of encoding, which grows by the square.
    if label.chars().nth(MAX_LABEL).is_some() {
        return Err(Reason::DnsLength);
    }
    match punycode::encode_str(label).map(|code| PREFIX.len() + code.len()) {
        Some(octets) if octets <= MAX_LABEL => Ok(octets),
        _ => Err(Reason::DnsLength),
    }
}
