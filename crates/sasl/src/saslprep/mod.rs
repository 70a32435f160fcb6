//! SASLprep (RFC 4013), the profile of stringprep (RFC 3454) that makes a password the same however it was typed.

use alloc::string::String;

use balcony_machine::Secret;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{BidiClass, EnumeratedProperty as _};

use crate::CredentialsError;

mod unassigned;

/// Whether a password is to be kept (RFC 3454 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is compared with what is kept, a query: code points that Unicode 3.2 does not know pass.
    Query,
    /// It will be compared with what others type, a stored string: they do not, as not everybody prepares them alike.
    Stored,
}

/// Prepares a password. The result may be empty: some characters are mapped to nothing.
pub(crate) fn saslprep(password: &str, purpose: Use) -> Result<Secret<String>, CredentialsError> {
    // Section 2.1. The zero width space is in both tables; as in other implementations it is a space.
    let mapped = password.chars().filter(|&c| !is_mapped_to_nothing(c));
    let mapped = Secret::new(mapped.map(|c| if is_space(c) { ' ' } else { c }).collect::<String>());
    // Section 2.5. What a normaliser of Unicode 3.2 would have kept, one of today may take apart: so this is asked before.
    if purpose == Use::Stored && mapped.expose().chars().any(is_unassigned) {
        return Err(CredentialsError::UnassignedCharacter);
    }
    // Section 2.2.
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    let normal = Secret::new(nfkc.normalize(mapped.expose()).into_owned());
    // Section 2.3.
    if normal.expose().chars().any(is_prohibited) {
        return Err(CredentialsError::ForbiddenCharacter);
    }
    // Section 2.4.
    if mixes_directions(normal.expose()) {
        return Err(CredentialsError::MixedDirections);
    }
    Ok(normal)
}

/// RFC 3454 table C.1.2: spaces outside ASCII.
fn is_space(c: char) -> bool {
    matches!(c, '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200B}' | '\u{202F}' | '\u{205F}' | '\u{3000}')
}

/// RFC 3454 table B.1, without the zero width space.
fn is_mapped_to_nothing(c: char) -> bool {
    matches!(
        c,
        '\u{AD}' | '\u{34F}' | '\u{1806}' | '\u{180B}'..='\u{180D}' | '\u{200C}' | '\u{200D}' | '\u{2060}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
    )
}

/// RFC 3454 tables C.1.2 and C.2.1 to C.9; surrogates (C.5) are no `char`.
fn is_prohibited(c: char) -> bool {
    // The last two code points of each plane are not characters.
    let is_noncharacter = matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE;
    let is_private = matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{FFFFD}' | '\u{100000}'..);
    let is_control = c.is_control()
        || matches!(
            c,
            '\u{6DD}' | '\u{70F}' | '\u{180E}' | '\u{200C}' | '\u{200D}' | '\u{2028}' | '\u{2029}'
                | '\u{2060}'..='\u{2063}' | '\u{206A}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFC}'
                | '\u{1D173}'..='\u{1D17A}'
        );
    let is_unsuitable = matches!(
        c,
        '\u{340}' | '\u{341}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2FF0}'..='\u{2FFB}'
            | '\u{FFFD}' | '\u{E0001}' | '\u{E0020}'..='\u{E007F}'
    );
    is_space(c) || is_control || is_private || is_noncharacter || is_unsuitable
}

/// RFC 3454 table A.1.
fn is_unassigned(c: char) -> bool {
    let code = u32::from(c);
    let ranges = &unassigned::UNASSIGNED;
    let at = ranges.partition_point(|&(_, last)| last < code);
    ranges.get(at).is_some_and(|&(first, _)| first <= code)
}

/// RFC 3454 section 6: characters from right to left stand alone, and at both ends.
fn mixes_directions(text: &str) -> bool {
    let is_right = |c| matches!(BidiClass::for_char(c), BidiClass::RightToLeft | BidiClass::ArabicLetter);
    let at_ends = text.starts_with(is_right) && text.ends_with(is_right);
    text.contains(is_right)
        && (!at_ends || text.contains(|c| BidiClass::for_char(c) == BidiClass::LeftToRight))
}

#[cfg(test)]
mod tests;
