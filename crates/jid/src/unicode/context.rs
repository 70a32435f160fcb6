//! Characters that are valid only beside certain others (RFC 5892 Appendix A).

use icu_properties::props::{CanonicalCombiningClass, EnumeratedProperty, JoiningType, Script};

use super::class::Class;
use crate::Reason;

/// Checks each character of `text` against its class, which is valid if `accepts` says so, or if its context is right.
pub(super) fn check(
    text: &str,
    class: impl Fn(char) -> Class,
    accepts: impl Fn(Class) -> bool,
) -> Result<(), Reason> {
    for (at, c) in text.char_indices() {
        match class(c) {
            Class::Context if holds(text, at, c) => {}
            Class::Context => return Err(Reason::Misplaced(c)),
            class if accepts(class) => {}
            _ => return Err(Reason::Forbidden(c)),
        }
    }
    check_whole(text)
}

/// The rules that look at the neighbours of the character `c` at octet `at`.
fn holds(text: &str, at: usize, c: char) -> bool {
    let before = || text[..at].chars().rev();
    let after = || text[at + c.len_utf8()..].chars();
    let follows_virama = || {
        before()
            .next()
            .is_some_and(|c| CanonicalCombiningClass::for_char(c) == CanonicalCombiningClass::Virama)
    };
    let script_of = |c: Option<char>| c.map(Script::for_char);
    match c {
        // A.1, A.2: zero width non-joiner and joiner
        '\u{200C}' => follows_virama() || joins(before(), true) && joins(after(), false),
        '\u{200D}' => follows_virama(),
        // A.3: middle dot, as in the Catalan l·l
        '\u{00B7}' => before().next() == Some('l') && after().next() == Some('l'),
        // A.4: Greek keraia
        '\u{0375}' => script_of(after().next()) == Some(Script::Greek),
        // A.5, A.6: Hebrew geresh and gershayim
        '\u{05F3}' | '\u{05F4}' => script_of(before().next()) == Some(Script::Hebrew),
        // A.7 to A.9 look at the whole text: `check_whole`
        _ => true,
    }
}

/// Whether the nearest character that takes part in cursive joining joins towards the non-joiner.
fn joins(mut chars: impl Iterator<Item = char>, before: bool) -> bool {
    let nearest = chars.find_map(|c| match JoiningType::for_char(c) {
        JoiningType::Transparent => None,
        other => Some(other),
    });
    let one_sided = if before { JoiningType::LeftJoining } else { JoiningType::RightJoining };
    nearest == Some(JoiningType::DualJoining) || nearest == Some(one_sided)
}

/// The rules about what else the text contains: once for the text, so that a long one does not cost a square.
fn check_whole(text: &str) -> Result<(), Reason> {
    // A.7: katakana middle dot, beside at least one Japanese character
    let is_japanese = |c| matches!(Script::for_char(c), Script::Hiragana | Script::Katakana | Script::Han);
    if text.contains('\u{30FB}') && !text.chars().any(is_japanese) {
        return Err(Reason::Misplaced('\u{30FB}'));
    }
    // A.8, A.9: Arabic-Indic digits, of one kind only
    let arabic = text.contains(|c| matches!(c, '\u{0660}'..='\u{0669}'));
    match text.chars().find(|c| matches!(c, '\u{06F0}'..='\u{06F9}')) {
        Some(extended) if arabic => Err(Reason::Misplaced(extended)),
        _ => Ok(()),
    }
}
