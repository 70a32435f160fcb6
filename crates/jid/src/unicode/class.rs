//! Which characters a part may contain: derived properties, computed from the Unicode properties as the RFCs say, so that
//! they follow the version of Unicode.

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{
    BinaryProperty, ChangesWhenNfkcCasefolded, DefaultIgnorableCodePoint, EnumeratedProperty,
    GeneralCategory, GeneralCategoryGroup, HangulSyllableType, JoinControl, WhiteSpace,
};

/// What a class of characters says about one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Valid everywhere.
    Valid,
    /// Valid in free text, not in an identifier.
    FreeText,
    /// Valid where the rule for it holds (`context.rs`).
    Context,
    /// Never valid.
    Disallowed,
}

/// Lower-case, upper-case, other and modifier letters, decimal digits, marks but enclosing ones (RFC 5892 §2.1).
const LETTER_DIGITS: GeneralCategoryGroup = GeneralCategoryGroup::LowercaseLetter
    .union(GeneralCategoryGroup::UppercaseLetter)
    .union(GeneralCategoryGroup::OtherLetter)
    .union(GeneralCategoryGroup::ModifierLetter)
    .union(GeneralCategoryGroup::DecimalNumber)
    .union(GeneralCategoryGroup::NonspacingMark)
    .union(GeneralCategoryGroup::SpacingMark);

/// What free text allows beyond identifiers, by category (RFC 8264 §9.15, §9.16, §9.18, §9.19, §9.20).
const FREE_TEXT: GeneralCategoryGroup = GeneralCategoryGroup::TitlecaseLetter
    .union(GeneralCategoryGroup::LetterNumber)
    .union(GeneralCategoryGroup::OtherNumber)
    .union(GeneralCategoryGroup::EnclosingMark)
    .union(GeneralCategoryGroup::SpaceSeparator)
    .union(GeneralCategoryGroup::Symbol)
    .union(GeneralCategoryGroup::Punctuation);

/// The classes of PRECIS (RFC 8264 §8): IdentifierClass takes `Valid`, FreeformClass `FreeText` too.
///
/// Unassigned and private characters are in no group below, and so end up disallowed.
pub(super) fn precis(c: char) -> Class {
    if let Some(class) = exception(c) {
        return class;
    }
    match c {
        '!'..='~' => Class::Valid,
        c if JoinControl::for_char(c) => Class::Context,
        c if is_old_hangul(c) || DefaultIgnorableCodePoint::for_char(c) => Class::Disallowed,
        c => match GeneralCategory::for_char(c) {
            category if LETTER_DIGITS.contains(category) && !has_compat(c) => Class::Valid,
            category if LETTER_DIGITS.union(FREE_TEXT).contains(category) => Class::FreeText,
            _ => Class::Disallowed,
        },
    }
}

/// The characters of U-labels (RFC 5892 §3): `Valid`, `Context` or `Disallowed`.
pub(super) fn idna(c: char) -> Class {
    if let Some(class) = exception(c) {
        return class;
    }
    match c {
        'a'..='z' | '0'..='9' | '-' => Class::Valid,
        c if JoinControl::for_char(c) => Class::Context,
        c if is_old_hangul(c)
            || is_musical(c)
            || DefaultIgnorableCodePoint::for_char(c)
            || WhiteSpace::for_char(c)
            // The RFC's 'unstable': another character after NFKC and case folding.
            || ChangesWhenNfkcCasefolded::for_char(c) =>
        {
            Class::Disallowed
        }
        c if LETTER_DIGITS.contains(GeneralCategory::for_char(c)) => Class::Valid,
        _ => Class::Disallowed,
    }
}

/// Whether `c` is a combining mark: no label begins with one (RFC 5891 §4.2.3.2).
pub(super) fn is_mark(c: char) -> bool {
    GeneralCategoryGroup::Mark.contains(GeneralCategory::for_char(c))
}

/// Whether `c` is a space of another width or behaviour than U+0020.
pub(super) fn is_space(c: char) -> bool {
    GeneralCategory::for_char(c) == GeneralCategory::SpaceSeparator
}

/// The characters that RFC 5892 §2.6 and RFC 8264 §9.6 decide one by one.
fn exception(c: char) -> Option<Class> {
    Some(match c {
        'ß' | 'ς' | '\u{06FD}' | '\u{06FE}' | '\u{0F0B}' | '\u{3007}' => Class::Valid,
        '\u{00B7}' | '\u{0375}' | '\u{05F3}' | '\u{05F4}' | '\u{30FB}' => Class::Context,
        '\u{0660}'..='\u{0669}' | '\u{06F0}'..='\u{06F9}' => Class::Context,
        '\u{0640}' | '\u{07FA}' | '\u{302E}' | '\u{302F}' | '\u{3031}'..='\u{3035}' | '\u{303B}' => {
            Class::Disallowed
        }
        _ => return None,
    })
}

/// The letters that Hangul syllables are made of, alone (RFC 5892 §2.9).
fn is_old_hangul(c: char) -> bool {
    matches!(
        HangulSyllableType::for_char(c),
        HangulSyllableType::LeadingJamo | HangulSyllableType::VowelJamo | HangulSyllableType::TrailingJamo
    )
}

/// Marks for symbols and for music: the blocks that RFC 5892 §2.4 leaves out of names.
fn is_musical(c: char) -> bool {
    matches!(c, '\u{20D0}'..='\u{20FF}' | '\u{1D100}'..='\u{1D1FF}' | '\u{1D200}'..='\u{1D24F}')
}

/// Whether there is another character that this one is only a variant of (RFC 8264 §9.17).
fn has_compat(c: char) -> bool {
    const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfkc();
    !NFKC.is_normalized(c.encode_utf8(&mut [0; 4]))
}
