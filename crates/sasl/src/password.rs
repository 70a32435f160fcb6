//! The forms of a password that keys are made of and compared with (RFC 5802 section 2.2).

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use balcony_machine::Secret;

use crate::CredentialsError;

/// Prepares a password of an account that is made or changed, by `SASLprep` (RFC 4013), so that it is the same however it is typed.
///
/// Printable ASCII is returned as it is. For everything else the feature `unicode` is needed.
///
/// # Errors
///
/// [`EmptyPassword`](CredentialsError::EmptyPassword), also for what is nothing but characters that are dropped;
/// [`ForbiddenCharacter`](CredentialsError::ForbiddenCharacter), [`MixedDirections`](CredentialsError::MixedDirections) and
/// [`UnassignedCharacter`](CredentialsError::UnassignedCharacter); without the feature `unicode`
/// [`NotAscii`](CredentialsError::NotAscii).
pub fn prepare_password(password: &str) -> Result<Cow<'_, str>, CredentialsError> {
    prepare(password, Purpose::Keep)
}

#[derive(Clone, Copy)]
enum Purpose {
    Keep,
    Compare,
}

fn prepare(password: &str, purpose: Purpose) -> Result<Cow<'_, str>, CredentialsError> {
    check(password)?;
    if password.is_ascii() { Ok(Cow::Borrowed(password)) } else { beyond_ascii(password, purpose) }
}

/// What no form of a password may be or have.
fn check(password: &str) -> Result<(), CredentialsError> {
    match password {
        "" => Err(CredentialsError::EmptyPassword),
        _ if password.chars().any(char::is_control) => Err(CredentialsError::ForbiddenCharacter),
        _ => Ok(()),
    }
}

#[cfg(feature = "unicode")]
fn beyond_ascii(password: &str, purpose: Purpose) -> Result<Cow<'_, str>, CredentialsError> {
    use crate::saslprep::{Use, saslprep};

    let purpose = match purpose {
        Purpose::Keep => Use::Stored,
        Purpose::Compare => Use::Query,
    };
    let prepared = saslprep(password, purpose)?;
    match prepared.expose().as_str() {
        "" => Err(CredentialsError::EmptyPassword),
        same if same == password => Ok(Cow::Borrowed(password)),
        other => Ok(Cow::Owned(other.into())),
    }
}

#[cfg(not(feature = "unicode"))]
fn beyond_ascii(_: &str, _: Purpose) -> Result<Cow<'_, str>, CredentialsError> {
    Err(CredentialsError::NotAscii)
}

/// The forms of a password that the keys of an account may have been made of.
///
/// The first is that of `SASLprep` (RFC 4013). Keys made by versions of Balcony that prepared passwords by the newer `OpaqueString`
/// (RFC 8265 section 4.2), and by programs that do so or do nothing, are of the other one, which keeps ligatures, fractions and other
/// compatibility characters. For ASCII, and for most other passwords, the two are the same, and there is one form only. Where
/// `SASLprep` forbids a password and `OpaqueString` does not, that one is the only form: an account with such keys can be logged in to.
#[derive(Clone)]
pub struct PasswordForms {
    first: Secret<String>,
    other: Option<Secret<String>>,
}

impl PasswordForms {
    /// The forms of a password that somebody logs in with.
    ///
    /// # Errors
    ///
    /// Those of [`prepare_password`] if there is no form at all. Code points that Unicode 3.2 does not know (RFC 3454 section 7) are
    /// none here.
    pub fn of(password: &str) -> Result<PasswordForms, CredentialsError> {
        let secret = |form: Cow<'_, str>| Secret::new(form.into_owned());
        let older = opaque(password);
        match prepare(password, Purpose::Compare) {
            Ok(first) => {
                let other = older.ok().filter(|older| *older != first).map(secret);
                Ok(PasswordForms { first: secret(first), other })
            }
            Err(error) => match older {
                Ok(only) => Ok(PasswordForms { first: secret(only), other: None }),
                Err(_) => Err(error),
            },
        }
    }

    /// The form to try first.
    #[must_use]
    pub fn first(&self) -> &Secret<String> {
        &self.first
    }

    /// The form to try if the first one is not it.
    #[must_use]
    pub fn other(&self) -> Option<&Secret<String>> {
        self.other.as_ref()
    }
}

/// One of the [forms](PasswordForms) of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordForm {
    /// The form to try first, that of `SASLprep` wherever there is one.
    First,
    /// The other one, where it differs: with keys of it, clients that use `SASLprep` only can't log in by SCRAM.
    Other,
}

impl fmt::Debug for PasswordForms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordForms").finish_non_exhaustive()
    }
}

/// `OpaqueString` (RFC 8265 section 4.2), as it was used before `SASLprep`: spaces outside ASCII become U+0020, and the rest is
/// normalised to NFC.
#[cfg(feature = "unicode")]
fn opaque(password: &str) -> Result<Cow<'_, str>, CredentialsError> {
    use icu_normalizer::ComposingNormalizerBorrowed;

    check(password)?;
    // Unicode's space separators (category Zs) outside ASCII.
    let is_space = |c| {
        matches!(c, '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}')
    };
    let nfc = ComposingNormalizerBorrowed::new_nfc();
    if password.is_ascii() {
        return Ok(Cow::Borrowed(password));
    }
    if !password.contains(is_space) {
        return Ok(nfc.normalize(password));
    }
    let spaced = password.chars().map(|c| if is_space(c) { ' ' } else { c });
    let spaced = Secret::new(spaced.collect::<String>());
    Ok(Cow::Owned(nfc.normalize(spaced.expose()).into_owned()))
}

#[cfg(not(feature = "unicode"))]
fn opaque(password: &str) -> Result<Cow<'_, str>, CredentialsError> {
    prepare(password, Purpose::Compare)
}

#[cfg(test)]
mod tests {
    use super::*;

    // rfc6120.md [PL4]
    #[test]
    fn empty_or_control_is_refused() {
        let refused = |password: &str, error| {
            assert_eq!(prepare_password(password), Err(error), "{password:?}");
            assert_eq!(PasswordForms::of(password).map(|_| ()), Err(error), "{password:?}");
        };
        refused("", CredentialsError::EmptyPassword);
        for c in ('\0'..='\u{FF}').filter(|c| c.is_control()) {
            refused(&alloc::format!("a{c}b"), CredentialsError::ForbiddenCharacter);
        }
    }

    // RFC 4013 §3
    #[test]
    fn printable_ascii_is_borrowed() {
        for password in ["correct horse battery staple", "Correct Horse Battery Staple", " ~!"] {
            assert!(matches!(prepare_password(password), Ok(Cow::Borrowed(same)) if same == password));
            let forms = PasswordForms::of(password).unwrap();
            assert!(forms.first().expose() == password && forms.other().is_none());
        }
    }

    #[cfg(not(feature = "unicode"))]
    #[test]
    fn what_is_not_ascii_is_refused() {
        assert_eq!(prepare_password("m\u{B2}"), Err(CredentialsError::NotAscii));
        assert_eq!(PasswordForms::of("\u{E4}").map(|_| ()), Err(CredentialsError::NotAscii));
    }

    #[cfg(feature = "unicode")]
    mod unicode {
        use alloc::string::ToString as _;
        use proptest::prelude::*;

        use super::*;

        // RFC 8265 §4.2.2 steps 2 and 4
        #[test]
        fn opaque_spaces_are_mapped_and_text_is_composed() {
            for space in "\u{A0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200A}\u{202F}\u{205F}\u{3000}".chars() {
                assert_eq!(opaque(&alloc::format!(" a{space}b")).unwrap(), " a b", "{space:?}");
            }
            assert_eq!(opaque("\u{1680}a\u{308}").unwrap(), " \u{E4}");
            assert_eq!(opaque("a\u{308}").unwrap(), "\u{E4}");
            // RFC 8265 §4.2.2 step 3: case is kept; NFC, not NFKC: a ligature stays.
            assert_eq!(opaque("\u{FB01}Ä").unwrap(), "\u{FB01}Ä");
            // Not a space separator: the zero-width space.
            assert_eq!(opaque("a\u{200B}b").unwrap(), "a\u{200B}b");
        }

        // What SASLprep drops or forbids, the older form keeps; where they are the same there is one.
        #[test]
        fn forms_of_a_password() {
            for (password, first, other) in [
                ("m\u{B2}", "m2", Some("m\u{B2}")),
                ("so\u{AD}ft", "soft", Some("so\u{AD}ft")),
                ("a\u{308}\u{A0}", "\u{E4} ", None),
                // Nothing is left of it, it is of private use, it mixes directions: the older form is the only one.
                ("\u{AD}", "\u{AD}", None),
                ("\u{E000}", "\u{E000}", None),
                ("a\u{5D0}", "a\u{5D0}", None),
                ("\u{1F600}", "\u{1F600}", None),
            ] {
                let forms = PasswordForms::of(password).unwrap();
                let other_form = forms.other().map(|form| form.expose().as_str());
                assert_eq!((forms.first().expose().as_str(), other_form), (first, other), "{password:?}");
            }
            assert_eq!(prepare_password("\u{AD}"), Err(CredentialsError::EmptyPassword));
            assert_eq!(prepare_password("\u{1F600}"), Err(CredentialsError::UnassignedCharacter));
        }

        proptest! {
            // RFC 4013 §2
            #[test]
            fn preparing_twice_changes_nothing(password in "\\PC{1,12}") {
                if let Ok(once) = prepare_password(&password) {
                    prop_assert_eq!(prepare_password(&once).unwrap().to_string(), once.to_string());
                }
            }

            // What an account is made with gets in: its form is one that is tried.
            #[test]
            fn what_is_kept_is_tried(password in "\\PC{1,12}") {
                if let Ok(kept) = prepare_password(&password) {
                    let forms = PasswordForms::of(&password).unwrap();
                    prop_assert_eq!(forms.first().expose().as_str(), &*kept);
                }
                if let Ok(kept) = opaque(&password) {
                    let forms = PasswordForms::of(&password).unwrap();
                    let is_tried = [Some(forms.first()), forms.other()].into_iter().flatten().any(|form| *form.expose() == *kept);
                    prop_assert!(is_tried);
                }
            }
        }
    }
}
