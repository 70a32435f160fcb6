//! The Bidi rule (RFC 5893 §2): which mixtures of writing directions can't be misread.

use icu_properties::props::{BidiClass, EnumeratedProperty};

/// Whether `text` contains right-to-left characters, so that the rule applies.
pub(super) fn is_rtl(text: &str) -> bool {
    text.chars().any(|c| {
        matches!(
            BidiClass::for_char(c),
            BidiClass::RightToLeft | BidiClass::ArabicLetter | BidiClass::ArabicNumber
        )
    })
}

/// Whether `label`, a domain's label or a whole localpart, satisfies the rule.
pub(super) fn satisfies(label: &str) -> bool {
    let classes = || label.chars().map(BidiClass::for_char);
    let has = |class| classes().any(|c| c == class);
    let Some(last) = classes().rev().find(|c| *c != BidiClass::NonspacingMark) else {
        return false;
    };
    match classes().next() {
        Some(BidiClass::RightToLeft | BidiClass::ArabicLetter) => {
            classes().all(|c| {
                is_neutral(c)
                    || matches!(c, BidiClass::RightToLeft | BidiClass::ArabicLetter | BidiClass::ArabicNumber)
            }) && matches!(
                last,
                BidiClass::RightToLeft
                    | BidiClass::ArabicLetter
                    | BidiClass::EuropeanNumber
                    | BidiClass::ArabicNumber
            ) && !(has(BidiClass::EuropeanNumber) && has(BidiClass::ArabicNumber))
        }
        Some(BidiClass::LeftToRight) => {
            classes().all(|c| is_neutral(c) || c == BidiClass::LeftToRight)
                && matches!(last, BidiClass::LeftToRight | BidiClass::EuropeanNumber)
        }
        _ => false,
    }
}

/// What may stand in a label of either direction.
fn is_neutral(class: BidiClass) -> bool {
    matches!(
        class,
        BidiClass::EuropeanNumber
            | BidiClass::EuropeanSeparator
            | BidiClass::CommonSeparator
            | BidiClass::EuropeanTerminator
            | BidiClass::OtherNeutral
            | BidiClass::BoundaryNeutral
            | BidiClass::NonspacingMark
    )
}
