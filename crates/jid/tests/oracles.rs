//! The same inputs to other implementations. Every difference is explained here, or a bug.
#![cfg(feature = "unicode")]

use balcony_jid::{Jid, Reason, domainpart, localpart, resourcepart};
use icu_properties::props::{BidiClass, EnumeratedProperty, GeneralCategory, GeneralCategoryGroup};
use idna::uts46::{AsciiDenyList, Hyphens, Uts46};
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::precis_core::{DerivedPropertyValue, Error as PrecisError};
use precis_profiles::{OpaqueString, UsernameCaseMapped};
use proptest::prelude::*;

/// Characters of many scripts and properties, for texts in which they meet.
const CHARS: &str = "aZ0-. @'\u{B7}lL\u{A0}\u{AD}\u{C9}\u{E9}\u{DF}\u{1E9E}\u{130}\u{300}\u{301}\u{338}=\u{3A3}\u{3C2}\u{3C3}\
    \u{375}\u{387}\u{5D0}\u{5F3}\u{627}\u{628}\u{64E}\u{660}\u{6F0}\u{915}\u{94D}\u{1100}\u{1161}\u{13A0}\u{AB70}\u{200C}\
    \u{200D}\u{212A}\u{212B}\u{2163}\u{265A}\u{3000}\u{30A2}\u{30FB}\u{3099}\u{4E00}\u{FE0F}\u{FF20}\u{FF21}\u{FF65}\u{FF76}\
    \u{FF9E}\u{378}\u{1F600}\u{10400}";

fn text() -> impl Strategy<Value = String> {
    let chars: Vec<char> = CHARS.chars().collect();
    let one = prop_oneof![8 => proptest::sample::select(chars), 1 => any::<char>()];
    prop::collection::vec(one, 1..6).prop_map(String::from_iter)
}

type Precis = fn(&str) -> Result<String, PrecisError>;

fn username(text: &str) -> Result<String, PrecisError> {
    UsernameCaseMapped::enforce(text).map(String::from)
}

fn opaque(text: &str) -> Result<String, PrecisError> {
    OpaqueString::enforce(text).map(String::from)
}

/// Why `precis-profiles` may say something else, or `None` if it may not.
fn precis_difference(
    text: &str,
    ours: &Result<String, Reason>,
    theirs: &Result<String, PrecisError>,
    oracle: Precis,
) -> Option<&'static str> {
    match (ours, theirs) {
        // Its classes are those of Unicode 6.3, ours are computed from the current version, as RFC 8264 §8 has it.
        (Ok(_), Err(PrecisError::BadCodepoint(_))) if text.chars().any(is_newer) => Some("newer"),
        // It doesn't know the characters that RFC 7622 §3.3.1 takes away.
        (Err(Reason::Forbidden(c)), Ok(_)) if "\"&'/:<>@".contains(*c) => Some("excluded"),
        // It applies the rules once, and so gives texts that it refuses or changes itself (RFC 8264 §7).
        (_, Ok(normal)) if oracle(normal).as_ref() != Ok(normal) => Some("unstable"),
        // It allows nonspacing marks at the end of right-to-left text only, where RFC 5893 §2 allows them anywhere behind
        // the first character.
        (Ok(normal), Err(PrecisError::Invalid)) if has_mark(normal) => Some("mark"),
        _ => None,
    }
}

fn is_newer(c: char) -> bool {
    matches!(opaque(&c.to_string()), Err(PrecisError::BadCodepoint(bad)) if bad.property == DerivedPropertyValue::Unassigned)
}

fn has_mark(text: &str) -> bool {
    text.chars().any(|c| BidiClass::for_char(c) == BidiClass::NonspacingMark)
}

/// Compares one part, and says which known difference there is.
fn compare_precis(text: &str, is_local: bool) -> Option<&'static str> {
    let oracle: Precis = if is_local { username } else { opaque };
    let ours = if is_local { localpart(text) } else { resourcepart(text) };
    let (ours, theirs) = (ours.map(String::from).map_err(|e| e.reason()), oracle(text));
    if ours.as_ref().ok() == theirs.as_ref().ok() {
        return None;
    }
    let difference = precis_difference(text, &ours, &theirs, oracle);
    assert!(difference.is_some(), "{text:?}: {ours:?}, and there {theirs:?}");
    difference
}

// RFC 8265 §3.3, §4.2 [JL3] [JL4] [JR1]
#[test]
fn precis_of_every_character() {
    let (mut excluded, mut unstable) = (0, Vec::new());
    for c in '\0'..=char::MAX {
        for is_local in [true, false] {
            match compare_precis(&c.to_string(), is_local) {
                Some("excluded") => excluded += 1,
                Some("unstable") => unstable.push(c),
                _ => {}
            }
        }
    }
    // The eight and their fullwidth counterparts; the Greek ano teleia, which is a middle dot after NFC.
    assert_eq!((excluded, unstable), (16, vec!['\u{387}']));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    // RFC 8265 §3.3, §4.2
    #[test]
    fn precis_of_texts(text in text()) {
        compare_precis(&text, true);
        compare_precis(&text, false);
    }

    // RFC 7622 §3.2 [JD6] [JD7]
    #[test]
    fn idna_of_texts(text in text(), more in "(\\.xn--[a-z0-9-]{1,8}|\\.[a-zA-Z0-9-]{1,3})?") {
        compare_idna(&(text + &more));
    }

    // The `jid` package and RFC 7622 agree on all addresses of ASCII, but for what this excludes.
    #[test]
    fn jid_package_on_ascii(text in "([a-zA-Z@'\\\\~ ]{1,3}@)?([a-zA-Z0-9-]{0,4}\\.)?[a-zA-Z0-9-]{0,4}(/[ -~\t]{0,3})?") {
        // It leaves A-labels and the dot at the end of a domain as they are (`jid_package_elsewhere`).
        let bare = text.split('/').next().unwrap_or_default();
        if bare.to_lowercase().contains("xn--") || bare.ends_with('.') {
            return Ok(());
        }
        let theirs = jid::Jid::new(&text).ok().map(|jid| jid.as_str().to_owned());
        prop_assert_eq!(Jid::parse(&text).ok().map(|jid| jid.as_str().to_owned()), theirs);
    }
}

/// UTS 46 is wider than IDNA2008: it keeps symbols, and maps compatibility characters. So what we accept, it accepts with the
/// same result, and what it accepts, we accept if it is made of letters and digits.
fn compare_idna(text: &str) {
    if text.starts_with('[') {
        return;
    }
    let (theirs, verdict) = Uts46::new().to_unicode(text.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    let theirs = verdict.map(|()| theirs.strip_suffix('.').unwrap_or(&theirs).to_owned());
    if let Ok(ours) = domainpart(text) {
        assert_eq!(theirs.as_deref().ok(), Some(&*ours), "{text:?}");
    }
}

// RFC 5892 §2.6, §2.9, §3 [JD6]
#[test]
fn idna_of_every_character() {
    for c in '\0'..=char::MAX {
        let text = format!("a{c}");
        compare_idna(&text);
        let (same, verdict) = Uts46::new().to_unicode(text.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
        // Letters, but for old Hangul and the ones that IDNA2008 takes away one by one.
        let is_letter = GeneralCategoryGroup::Letter.contains(GeneralCategory::for_char(c));
        let is_jamo =
            matches!(c, '\u{1100}'..='\u{11FF}' | '\u{A960}'..='\u{A97F}' | '\u{D7B0}'..='\u{D7FF}');
        let is_exception = matches!(c, '\u{640}' | '\u{7FA}' | '\u{3031}'..='\u{3035}' | '\u{303B}');
        if verdict.is_ok() && same == text && is_letter && !is_jamo && !is_exception {
            assert_eq!(domainpart(&text).as_deref(), Ok(text.as_str()));
        }
    }
}

/// Text, our verdict, that of the `jid` package, why.
type Row = (&'static str, Option<&'static str>, Option<&'static str>, &'static str);

// RFC 7622 Appendix A; rfc7622.md §8
const DIFFERENCES: [Row; 25] = [
    ("fu\u{DF}ball@d", Some("fu\u{DF}ball@d"), Some("fussball@d"), "Nodeprep folds sharp s"),
    ("\u{3C2}@d", Some("\u{3C2}@d"), Some("\u{3C3}@d"), "Nodeprep folds final sigma"),
    ("henry\u{2163}@d", None, Some("henryiv@d"), "NFKC takes compatibility characters apart"),
    ("\u{FB01}@d", None, Some("fi@d"), "NFKC takes compatibility characters apart"),
    ("\u{212B}@d", None, Some("\u{E5}@d"), "NFKC replaces compatibility characters"),
    ("\u{265A}@d", None, Some("\u{265A}@d"), "symbols are no part of identifiers"),
    ("a\u{AD}b@d", None, Some("ab@d"), "stringprep deletes invisible characters"),
    ("a\u{200D}b@d", None, Some("ab@d"), "stringprep deletes joiners"),
    (
        "\u{915}\u{94D}\u{200D}\u{937}@d",
        Some("\u{915}\u{94D}\u{200D}\u{937}@d"),
        Some("\u{915}\u{94D}\u{937}@d"),
        "joiners have their place",
    ),
    ("l\u{B7}a@d", None, Some("l\u{B7}a@d"), "the middle dot stands between two l"),
    ("\u{5D0}1@d", Some("\u{5D0}1@d"), None, "the newer Bidi rule allows digits at the end"),
    ("\u{528}@d", Some("\u{529}@d"), None, "newer than Unicode 3.2"),
    ("d/\u{1F600}", Some("d/\u{1F600}"), None, "newer than Unicode 3.2"),
    ("d/\u{2163}", Some("d/\u{2163}"), Some("d/IV"), "Resourceprep has NFKC"),
    ("d/\u{FF21}", Some("d/\u{FF21}"), Some("d/A"), "Resourceprep has NFKC"),
    ("d/a\u{AD}b", None, Some("d/ab"), "stringprep deletes invisible characters"),
    ("d/\u{5D0}a", Some("d/\u{5D0}a"), None, "OpaqueString has no Bidi rule"),
    ("d/\u{A0}", Some("d/ "), Some("d/ "), "a space in both"),
    ("d/\u{1680}", Some("d/ "), None, "Resourceprep forbids other spaces"),
    ("fa\u{DF}.de", Some("fa\u{DF}.de"), Some("fass.de"), "Nameprep folds sharp s"),
    ("xn--bcher-kva.de", Some("b\u{FC}cher.de"), Some("xn--bcher-kva.de"), "U-labels are the normal form"),
    ("\u{2603}.net", None, Some("\u{2603}.net"), "IDNA2008 has no symbols"),
    ("a_b.example", None, Some("a_b.example"), "labels are letters, digits and hyphens"),
    ("l@d.", Some("l@d"), Some("l@d."), "the dot of the root is stripped"),
    ("l@d./r", Some("l@d/r"), Some("l@d./r"), "the dot of the root is stripped"),
];

#[test]
fn jid_package_elsewhere() {
    for (text, ours, theirs, why) in DIFFERENCES {
        assert_eq!(Jid::parse(text).ok().as_ref().map(Jid::as_str), ours, "ours: {text:?}: {why}");
        let jid = jid::Jid::new(text).ok();
        assert_eq!(jid.as_ref().map(jid::Jid::as_str), theirs, "theirs: {text:?}: {why}");
    }
    // It keeps the dot, but cuts where the slash would be without it.
    assert_eq!(jid::Jid::new("l@d./r").unwrap().resource().map(|r| r.as_str()), Some("/r"));
}
