//! The PRECIS profiles of localparts and resourceparts (RFC 8265).

use alloc::borrow::Cow;
use alloc::string::String;
use core::iter::once;

use super::class::{self, Class};
use super::{bidi, context, mapped, narrow, nfc};
use crate::Reason;
use crate::part::is_local_ascii;

/// UsernameCaseMapped (RFC 8265 §3.3) and the exclusions of RFC 7622 §3.3.1.
pub(crate) fn localpart(text: &str) -> Result<Cow<'_, str>, Reason> {
    until_stable(text, |text| {
        let text = mapped(Cow::Borrowed(text), narrow);
        context::check(&text, class::precis, |class| class == Class::Valid)?;
        // Per character: `str::to_lowercase` would treat a sigma at the end of a word differently (RFC 7622 §3.5).
        let text = nfc(mapped(text, char::to_lowercase));
        if bidi::is_rtl(&text) && !bidi::satisfies(&text) {
            return Err(Reason::Bidi);
        }
        match text.bytes().find(|b| b.is_ascii() && !is_local_ascii(*b)) {
            Some(excluded) => Err(Reason::Forbidden(excluded.into())),
            None => Ok(text),
        }
    })
}

/// OpaqueString (RFC 8265 §4.2).
pub(crate) fn resourcepart(text: &str) -> Result<Cow<'_, str>, Reason> {
    until_stable(text, |text| {
        context::check(text, class::precis, |class| matches!(class, Class::Valid | Class::FreeText))?;
        let plain_space = |c| once(if class::is_space(c) { ' ' } else { c });
        Ok(nfc(mapped(Cow::Borrowed(text), plain_space)))
    })
}

/// Applies the rules once, and at most three times more until nothing changes: what is enforced must be in normal form
/// (RFC 8264 §7). `rules` gives back a borrowed text when it changed nothing.
fn until_stable(
    text: &str,
    rules: impl Fn(&str) -> Result<Cow<'_, str>, Reason>,
) -> Result<Cow<'_, str>, Reason> {
    let changed = |text: &str| -> Result<Option<String>, Reason> {
        Ok(match rules(text)? {
            Cow::Borrowed(_) => None,
            Cow::Owned(changed) => Some(changed),
        })
    };
    let mut text = Cow::Borrowed(text);
    for _ in 0..4 {
        match changed(&text)? {
            Some(next) => text = Cow::Owned(next),
            None => return Ok(text),
        }
    }
    Err(Reason::Unstable)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule that adds letters until there are `len`.
    fn grow(text: &str, len: usize) -> Result<Cow<'_, str>, Reason> {
        Ok(if text.len() < len { Cow::Owned(String::from(text) + "a") } else { Cow::Borrowed(text) })
    }

    // RFC 8264 §7 [JL8]
    #[test]
    fn rules_get_three_more_chances() {
        assert_eq!(until_stable("a", |text| grow(text, 1)), Ok(Cow::Borrowed("a")));
        assert_eq!(until_stable("a", |text| grow(text, 4)).as_deref(), Ok("aaaa"));
        assert_eq!(until_stable("a", |text| grow(text, 5)), Err(Reason::Unstable));
    }
}
