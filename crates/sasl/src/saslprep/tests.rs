//! SASLprep by the examples of RFC 4013, by the tables of RFC 3454, character by character, and as another implementation has it.

use proptest::prelude::*;

use super::*;

fn prepared(password: &str, purpose: Use) -> Result<String, CredentialsError> {
    saslprep(password, purpose).map(|prepared| prepared.expose().clone())
}

// RFC 4013 §3; RFC 5802 §2.2 names U+00BD and U+00B4.
#[test]
fn examples() {
    use CredentialsError::{ForbiddenCharacter, MixedDirections};
    for (password, expected) in [
        ("I\u{AD}X", Ok("IX")),
        ("user", Ok("user")),
        ("USER", Ok("USER")),
        ("\u{AA}", Ok("a")),
        ("\u{2168}", Ok("IX")),
        ("\u{7}", Err(ForbiddenCharacter)),
        ("\u{627}1", Err(MixedDirections)),
        ("\u{627}1\u{628}", Ok("\u{627}1\u{628}")),
        ("\u{627}a\u{628}", Err(MixedDirections)),
        ("\u{BD}life", Ok("1\u{2044}2life")),
        ("\u{B4}", Ok(" \u{301}")),
        ("m\u{B2}", Ok("m2")),
        ("\u{B5}Torrent", Ok("\u{3BC}Torrent")),
        ("\u{FB01}sh", Ok("fish")),
        ("me\u{2122}", Ok("meTM")),
        ("\u{1680}a\u{308}\u{200B}", Ok(" \u{E4} ")),
        ("\u{AD}", Ok("")),
    ] {
        for purpose in [Use::Query, Use::Stored] {
            assert_eq!(prepared(password, purpose), expected.map(String::from), "{password:?}");
        }
    }
}

// RFC 3454 §7: an emoji, and a letter in a box, which a normaliser of today takes apart.
#[test]
fn what_unicode_3_2_does_not_know_is_not_stored() {
    for password in ["\u{1F600}", "\u{1F130}"] {
        assert_eq!(prepared(password, Use::Stored), Err(CredentialsError::UnassignedCharacter));
        assert!(prepared(password, Use::Query).is_ok());
    }
}

// RFC 3454 appendices A to C, character by character: another implementation has the same tables.
#[test]
fn tables_are_those_of_the_rfc() {
    use stringprep::tables as theirs;
    for c in '\0'..=char::MAX {
        assert_eq!(is_unassigned(c), theirs::unassigned_code_point(c), "{c:?}");
        assert_eq!(is_space(c), theirs::non_ascii_space_character(c), "{c:?}");
        assert_eq!(is_mapped_to_nothing(c), !is_space(c) && theirs::commonly_mapped_to_nothing(c), "{c:?}");
        let prohibited = theirs::non_ascii_space_character(c)
            || theirs::ascii_control_character(c)
            || theirs::non_ascii_control_character(c)
            || theirs::private_use(c)
            || theirs::non_character_code_point(c)
            || theirs::inappropriate_for_plain_text(c)
            || theirs::inappropriate_for_canonical_representation(c)
            || theirs::change_display_properties_or_deprecated(c)
            || theirs::tagging_character(c);
        assert_eq!(is_prohibited(c), prohibited, "{c:?}");
    }
}

/// Characters of which much is to be said.
fn odd() -> impl Strategy<Value = char> {
    prop_oneof![
        any::<char>(),
        proptest::char::range('\0', '\u{700}'),
        proptest::char::range('\u{2000}', '\u{2200}'),
        proptest::char::range('\u{F900}', '\u{FFFF}'),
    ]
}

proptest! {
    // RFC 4013: as another implementation has it. Theirs takes letters apart of which Unicode 3.2 knows nothing.
    #[test]
    fn prepares_as_others_do(password in proptest::collection::vec(odd(), 1..8)) {
        let password: String = password.into_iter().collect();
        match (prepared(&password, Use::Stored), stringprep::saslprep(&password)) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Err(CredentialsError::UnassignedCharacter), _) => prop_assert!(password.chars().any(is_unassigned)),
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?}"),
        }
    }

    // RFC 4013 §2.5: what may be kept is what is asked for.
    #[test]
    fn both_purposes_agree(password in proptest::collection::vec(odd(), 1..8)) {
        let password: String = password.into_iter().collect();
        match prepared(&password, Use::Stored) {
            Err(CredentialsError::UnassignedCharacter) => {}
            stored => prop_assert_eq!(stored, prepared(&password, Use::Query)),
        }
    }
}
