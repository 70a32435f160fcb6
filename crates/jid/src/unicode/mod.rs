//! Parts beyond ASCII: PRECIS for localparts and resourceparts, IDNA2008 for domainparts.

mod bidi;
mod class;
mod context;
mod idna;
mod precis;

use alloc::borrow::Cow;
use alloc::string::String;
use core::iter::once;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

pub(crate) use idna::domainpart;
pub(crate) use precis::{localpart, resourcepart};

/// `text` with every character replaced by what `map` gives for it.
fn mapped<'a, I: Iterator<Item = char>>(text: Cow<'a, str>, map: impl Fn(char) -> I) -> Cow<'a, str> {
    if text.chars().flat_map(&map).eq(text.chars()) {
        text
    } else {
        Cow::Owned(text.chars().flat_map(map).collect::<String>())
    }
}

/// Normalization Form C.
fn nfc(text: Cow<'_, str>) -> Cow<'_, str> {
    const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();
    if NFC.is_normalized(&text) { text } else { Cow::Owned(NFC.normalize(&text).into_owned()) }
}

/// The ordinary counterpart of a fullwidth or halfwidth character (RFC 8265 §3.3.2).
///
/// Characters whose counterparts neither a localpart nor a label may contain (brackets, Hangul compatibility jamo,
/// arrows) are left alone: both are refused.
fn narrow(c: char) -> impl Iterator<Item = char> {
    const NFKD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizerBorrowed::new_nfkd();
    let narrow = match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0),
        '\u{FF65}'..='\u{FF9F}' => NFKD.normalize_iter(once(c)).next(),
        _ => None,
    };
    once(narrow.unwrap_or(c))
}
