use alloc::borrow::Cow;

use crate::CredentialsError;

/// Prepares a password for hashing or comparing (`OpaqueString`, RFC 8265 section 4.2), so that it is the same however
/// it was typed: spaces outside ASCII become U+0020, and the rest is normalised to NFC.
///
/// Printable ASCII is returned as it is. For nearly all other passwords the result is the one of the older `SASLprep`
/// (RFC 4013); they differ in compatibility characters such as ligatures, which this profile keeps. Without the
/// feature `unicode` everything outside ASCII is kept unchanged. Preparing twice changes nothing.
///
/// # Errors
///
/// [`EmptyPassword`](CredentialsError::EmptyPassword) and, for control characters,
/// [`ForbiddenCharacter`](CredentialsError::ForbiddenCharacter).
pub fn prepare_password(password: &str) -> Result<Cow<'_, str>, CredentialsError> {
    if password.is_empty() {
        return Err(CredentialsError::EmptyPassword);
    }
    if password.chars().any(char::is_control) {
        return Err(CredentialsError::ForbiddenCharacter);
    }
    Ok(normalise(password))
}

#[cfg(feature = "unicode")]
fn normalise(password: &str) -> Cow<'_, str> {
    use alloc::string::String;

    use balcony_machine::Secret;
    use icu_normalizer::ComposingNormalizerBorrowed;

    // Unicode's space separators (category Zs) outside ASCII.
    let is_space = |c| {
        matches!(c, '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}')
    };
    let nfc = ComposingNormalizerBorrowed::new_nfc();
    if password.is_ascii() {
        return Cow::Borrowed(password);
    }
    if !password.contains(is_space) {
        return nfc.normalize(password);
    }
    let spaced = password.chars().map(|c| if is_space(c) { ' ' } else { c });
    let spaced = Secret::new(spaced.collect::<String>());
    Cow::Owned(nfc.normalize(spaced.expose()).into_owned())
}

#[cfg(not(feature = "unicode"))]
fn normalise(password: &str) -> Cow<'_, str> {
    Cow::Borrowed(password)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use proptest::prelude::*;

    use super::*;

    // rfc6120.md [PL4]
    #[test]
    fn empty_or_control_is_refused() {
        assert_eq!(prepare_password(""), Err(CredentialsError::EmptyPassword));
        for c in ('\0'..='\u{FF}').filter(|c| c.is_control()) {
            let password = alloc::format!("a{c}b");
            assert_eq!(prepare_password(&password), Err(CredentialsError::ForbiddenCharacter), "{c:?}");
        }
    }

    // RFC 8265 §4.2.2 steps 2 and 4
    #[cfg(feature = "unicode")]
    #[test]
    fn spaces_are_mapped_and_text_is_composed() {
        for space in "\u{A0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200A}\u{202F}\u{205F}\u{3000}".chars() {
            assert_eq!(prepare_password(&alloc::format!(" a{space}b")).unwrap(), " a b", "{space:?}");
        }
        assert_eq!(prepare_password("\u{1680}a\u{308}").unwrap(), " \u{E4}");
        assert_eq!(prepare_password("a\u{308}").unwrap(), "\u{E4}");
        // RFC 8265 §4.2.2 step 3: case is kept; NFC, not NFKC: a ligature stays.
        assert_eq!(prepare_password("\u{FB01}Ä").unwrap(), "\u{FB01}Ä");
        // Not a space separator: the zero-width space.
        assert_eq!(prepare_password("a\u{200B}b").unwrap(), "a\u{200B}b");
    }

    // RFC 8265 §4.2.3 example 8 to 11
    #[test]
    fn printable_ascii_is_borrowed() {
        for password in ["correct horse battery staple", "Correct Horse Battery Staple", " ~!"] {
            assert!(matches!(prepare_password(password), Ok(Cow::Borrowed(same)) if same == password));
        }
    }

    proptest! {
        // RFC 8265 §4.2.3
        #[test]
        fn preparing_twice_changes_nothing(password in "\\PC{1,12}") {
            if let Ok(once) = prepare_password(&password) {
                prop_assert_eq!(prepare_password(&once).unwrap().to_string(), once.to_string());
            }
        }
    }
}
