//! The examples of RFC 7622 §3.5 and further vectors (spec/rfc7622.md §6).
#![cfg(feature = "unicode")]

use balcony_jid::{Jid, JidRef, Part};

/// Text, normal form, localpart, domainpart, resourcepart.
type Valid = (&'static str, &'static str, Option<&'static str>, &'static str, Option<&'static str>);

fn check_valid(rows: &[Valid]) {
    for &(text, normal, local, domain, resource) in rows {
        let jid = Jid::parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(jid.as_str(), normal, "{text:?}");
        assert_eq!(
            (jid.localpart(), jid.domainpart(), jid.resourcepart()),
            (local, domain, resource),
            "{text:?}"
        );
        assert_eq!(
            JidRef::parse(text).map(|jid| jid.map(JidRef::as_str)),
            Ok((text == normal).then_some(text))
        );
    }
}

fn check_invalid(rows: &[(&str, Part)]) {
    for &(text, part) in rows {
        assert_eq!(Jid::parse(text).map_err(|e| e.part()), Err(part), "{text:?}");
        assert_eq!(JidRef::parse(text).map_err(|e| e.part()), Err(part), "{text:?}");
    }
}

// RFC 7622 §3.5 examples 1 to 15
#[test]
fn valid_examples() {
    check_valid(&[
        ("juliet@example.com", "juliet@example.com", Some("juliet"), "example.com", None),
        ("juliet@example.com/foo", "juliet@example.com/foo", Some("juliet"), "example.com", Some("foo")),
        (
            "juliet@example.com/foo bar",
            "juliet@example.com/foo bar",
            Some("juliet"),
            "example.com",
            Some("foo bar"),
        ),
        (
            "juliet@example.com/foo@bar",
            "juliet@example.com/foo@bar",
            Some("juliet"),
            "example.com",
            Some("foo@bar"),
        ),
        (r"foo\20bar@example.com", r"foo\20bar@example.com", Some(r"foo\20bar"), "example.com", None),
        ("fussball@example.com", "fussball@example.com", Some("fussball"), "example.com", None),
        ("fu\u{DF}ball@example.com", "fu\u{DF}ball@example.com", Some("fu\u{DF}ball"), "example.com", None),
        ("\u{3C0}@example.com", "\u{3C0}@example.com", Some("\u{3C0}"), "example.com", None),
        ("\u{3A3}@example.com/foo", "\u{3C3}@example.com/foo", Some("\u{3C3}"), "example.com", Some("foo")),
        ("\u{3C3}@example.com/foo", "\u{3C3}@example.com/foo", Some("\u{3C3}"), "example.com", Some("foo")),
        ("\u{3C2}@example.com/foo", "\u{3C2}@example.com/foo", Some("\u{3C2}"), "example.com", Some("foo")),
        (
            "king@example.com/\u{265A}",
            "king@example.com/\u{265A}",
            Some("king"),
            "example.com",
            Some("\u{265A}"),
        ),
        ("example.com", "example.com", None, "example.com", None),
        ("example.com/foobar", "example.com/foobar", None, "example.com", Some("foobar")),
        (
            "a.example.com/b@example.net",
            "a.example.com/b@example.net",
            None,
            "a.example.com",
            Some("b@example.net"),
        ),
    ]);
}

// RFC 7622 §3.5 examples 16, 17, 19 to 23
#[test]
fn invalid_examples() {
    check_invalid(&[
        ("\"juliet\"@example.com", Part::Localpart),
        ("foo bar@example.com", Part::Localpart),
        ("@example.com/", Part::Localpart),
        ("henry\u{2163}@example.com", Part::Localpart),
        ("\u{265A}@example.com", Part::Localpart),
        ("juliet@", Part::Domainpart),
        ("/foobar", Part::Domainpart),
    ]);
}

// RFC 7622 §3.5 example 18: the table calls it invalid, erratum 4560 takes that back. OpaqueString allows the space, and
// nothing trims it.
#[test]
fn leading_space_in_the_resourcepart_is_valid() {
    let text = "juliet@example.com/ foo";
    check_valid(&[(text, text, Some("juliet"), "example.com", Some(" foo"))]);
}

// RFC 7622 §3.5 examples 6, 7, 9, 10, 11
#[test]
fn which_examples_are_the_same_address() {
    let jid = |text| Jid::parse(text).unwrap();
    assert_ne!(jid("fussball@example.com"), jid("fu\u{DF}ball@example.com"));
    assert_eq!(jid("\u{3A3}@example.com/foo"), jid("\u{3C3}@example.com/foo"));
    assert_ne!(jid("\u{3A3}@example.com/foo"), jid("\u{3C2}@example.com/foo"));
}

// rfc7622.md [a1] [a2] [a3] [a8] [a9] [a11] [a12]
#[test]
fn further_valid_vectors() {
    check_valid(&[
        ("server/resource@foo/bar", "server/resource@foo/bar", None, "server", Some("resource@foo/bar")),
        ("node@server.", "node@server", Some("node"), "server", None),
        ("NODE@EXAMPLE.com/Res", "node@example.com/Res", Some("node"), "example.com", Some("Res")),
        ("u@[::1]", "u@[::1]", Some("u"), "[::1]", None),
        ("u@[::1]/r", "u@[::1]/r", Some("u"), "[::1]", Some("r")),
        ("u@127.0.0.1", "u@127.0.0.1", Some("u"), "127.0.0.1", None),
        ("u@d/a\u{1680}b", "u@d/a b", Some("u"), "d", Some("a b")),
        ("\u{FF2A}@d", "j@d", Some("j"), "d", None),
        ("e\u{301}@d", "\u{E9}@d", Some("\u{E9}"), "d", None),
        ("\u{E9}@d", "\u{E9}@d", Some("\u{E9}"), "d", None),
    ]);
}

// rfc7622.md [a4] [a7] [a10]
#[test]
fn further_invalid_vectors() {
    check_invalid(&[
        ("user@@host", Part::Domainpart),
        ("user@host/", Part::Resourcepart),
        ("@", Part::Localpart),
        ("@/", Part::Localpart),
        ("/", Part::Domainpart),
        ("", Part::Domainpart),
        ("b&d@x.y", Part::Localpart),
        ("b'd@x.y", Part::Localpart),
        ("b:d@x.y", Part::Localpart),
        ("b<d@x.y", Part::Localpart),
        ("b>d@x.y", Part::Localpart),
        ("u@d/a\tb", Part::Resourcepart),
        ("u@d/a\0b", Part::Resourcepart),
    ]);
}

// rfc7622.md [a5] [a6]
// RFC 7622 §8 address-domain-length address-localpart-length address-resource-length
#[test]
fn length_vectors() {
    let long = |octets: usize| "x".repeat(octets);
    for text in [format!("{}@d", long(1023)), format!("d/{}", long(1023))] {
        assert_eq!(Jid::parse(&text).unwrap().as_str(), text);
    }
    assert_eq!(Jid::parse(&format!("{}@d", "\u{E9}".repeat(511))).unwrap().as_str().len(), 1024);
    for (text, part) in [
        (format!("{}@d", long(1024)), Part::Localpart),
        (long(1024), Part::Domainpart),
        (format!("d/{}", long(1024)), Part::Resourcepart),
        (format!("{}@d", "\u{E9}".repeat(512)), Part::Localpart),
        (format!("d/{}", "\u{E9}".repeat(512)), Part::Resourcepart),
    ] {
        assert_eq!(Jid::parse(&text).unwrap_err().part(), part);
    }
}
