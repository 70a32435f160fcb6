//! The rules for ASCII, which are the same with and without Unicode tables.

extern crate alloc;

use alloc::borrow::Cow;

use balcony_jid::{BareJid, FullJid, Jid, JidRef, Part, Reason, domainpart, localpart, resourcepart};

fn reason<T: core::fmt::Debug>(result: Result<T, balcony_jid::JidError>) -> Reason {
    result.expect_err("an error").reason()
}

// RFC 7622 §3.3.1 [JL1] [JL2]
#[test]
fn localpart_octet_by_octet() {
    for b in 0..128u8 {
        let c = char::from(b);
        let expected = match c {
            '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@' => None,
            '!'..='~' => Some(c.to_ascii_lowercase().to_string()),
            _ => None,
        };
        assert_eq!(localpart(&c.to_string()).ok().map(Cow::into_owned), expected, "{c:?}");
        if expected.is_none() {
            assert_eq!(reason(localpart(&format!("a{c}"))), Reason::Forbidden(c));
        }
    }
}

// RFC 7622 §3.2 [JD7] [JD8]
#[test]
fn domainpart_octet_by_octet() {
    for b in 0..128u8 {
        let c = char::from(b);
        let expected = match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' => Some(format!("x{c}x").to_lowercase()),
            _ => None,
        };
        assert_eq!(domainpart(&format!("x{c}x")).ok().map(Cow::into_owned), expected, "{c:?}");
    }
}

// RFC 7622 §3.4, RFC 8265 §4.2 [JR1] [JR2] [JR3]
#[test]
fn resourcepart_octet_by_octet() {
    for b in 0..128u8 {
        let c = char::from(b);
        let text = c.to_string();
        let expected = (!c.is_ascii_control()).then_some(text.as_str());
        assert_eq!(resourcepart(&text).ok().as_deref(), expected, "{c:?}");
    }
}

// RFC 7622 §3.2 [JD8]; lengths and hyphens from RFC 1035 §2.3.4 and RFC 5890 §2.3.1
#[test]
fn labels() {
    let label = |octets: usize| "a".repeat(octets);
    let name = |octets: usize| [label(63), label(63), label(63), label(octets - 192)].join(".");
    for valid in ["a", "a.b", "1", "1.2.3.4", "256.1.1.1", "a-b.c-d", "a--b", "3com.com", "localhost"] {
        assert_eq!(domainpart(valid).unwrap(), valid);
    }
    assert!(domainpart(&label(63)).is_ok());
    assert!(domainpart(&name(253)).is_ok());
    assert!(domainpart(&format!("{}.", name(253))).is_ok());
    let invalid = [
        ("-a", Reason::Hyphen),
        ("a-", Reason::Hyphen),
        ("b.-a", Reason::Hyphen),
        ("a-.b", Reason::Hyphen),
        ("-", Reason::Hyphen),
        ("ab--cd", Reason::Hyphen),
        ("a..b", Reason::EmptyLabel),
        (".a", Reason::EmptyLabel),
        ("a..", Reason::EmptyLabel),
        (&label(64), Reason::DnsLength),
        (&format!("{}.a", label(64)), Reason::DnsLength),
        (&name(254), Reason::DnsLength),
        ("a_b", Reason::Forbidden('_')),
        ("a b", Reason::Forbidden(' ')),
    ];
    for (text, expected) in invalid {
        assert_eq!(reason(domainpart(text)), expected, "{text}");
        assert_eq!(reason(Jid::parse(&format!("u@{text}/r"))), expected, "{text}");
    }
}

// RFC 7622 §3.2 [JD1] [JD2]
#[test]
fn one_trailing_dot_is_stripped() {
    assert_eq!(Jid::parse("u@example.com./r").unwrap().as_str(), "u@example.com/r");
    assert_eq!(Jid::parse("[::1].").unwrap().as_str(), "[::1]");
    assert_eq!(reason(domainpart(".")), Reason::Empty);
    assert_eq!(reason(domainpart("..")), Reason::EmptyLabel);
}

// RFC 7622 §3.2 [JD3] [JD4] [JD5]; RFC 3986 §3.2.2, RFC 6874 §2
#[test]
fn ip_addresses() {
    for (text, normal) in [
        ("[::1]", "[::1]"),
        ("[2001:DB8::A]", "[2001:db8::a]"),
        ("[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]"),
        ("[fe80::1%25eth0]", "[fe80::1%25eth0]"),
        ("[FE80::1%25Eth%2f0]", "[fe80::1%25Eth%2f0]"),
        ("[v1F.addr:~]", "[v1f.addr:~]"),
        ("127.0.0.1", "127.0.0.1"),
    ] {
        assert_eq!(domainpart(text).unwrap(), normal);
    }
    for text in [
        "[127.0.0.1]",
        "[::1",
        "[example.net]",
        "[]",
        "[::1]a",
        "[::1]..",
        "[:::]",
        "[::1%eth0]",
        "[::1%25]",
        "[::1%25a%2]",
        "[::1%25a%zz]",
        "[::1%25a b]",
        "[v1]",
        "[v.a]",
        "[vg.a]",
        "[v1.]",
        "[v1.a%25b]",
        "[::1\u{e9}]",
    ] {
        assert_eq!(reason(domainpart(text)), Reason::IpLiteral, "{text}");
    }
    assert_eq!(reason(domainpart("::1")), Reason::Forbidden(':'));
    assert_eq!(reason(domainpart("::1]")), Reason::Forbidden(':'));
}

// RFC 7622 §3.1 [J2] [J3] [J4] [J5] [J6]
#[test]
fn separators() {
    let cases: [(&str, Result<_, (Part, Reason)>); 13] = [
        ("d", Ok((None, "d", None))),
        ("l@d", Ok((Some("l"), "d", None))),
        ("d/r", Ok((None, "d", Some("r")))),
        ("l@d/r", Ok((Some("l"), "d", Some("r")))),
        ("l@d//@/", Ok((Some("l"), "d", Some("/@/")))),
        ("d/l@e", Ok((None, "d", Some("l@e")))),
        ("@d", Err((Part::Localpart, Reason::Empty))),
        ("d/", Err((Part::Resourcepart, Reason::Empty))),
        ("l@d/", Err((Part::Resourcepart, Reason::Empty))),
        ("l@", Err((Part::Domainpart, Reason::Empty))),
        ("l@/r", Err((Part::Domainpart, Reason::Empty))),
        ("/r", Err((Part::Domainpart, Reason::Empty))),
        ("l@m@d", Err((Part::Domainpart, Reason::Forbidden('@')))),
    ];
    for (text, expected) in cases {
        let jid = Jid::parse(text);
        let got = jid.as_ref().map(|jid| (jid.localpart(), jid.domainpart(), jid.resourcepart()));
        assert_eq!(got.map_err(|e| (e.part(), e.reason())), expected, "{text}");
    }
}

// RFC 7622 §3.1 [J4] [J6]
#[test]
fn putting_parts_together() {
    let jid = Jid::from_parts(Some("Juliet"), "Example.COM.", Some("R")).unwrap();
    assert_eq!(jid, Jid::parse("juliet@example.com/R").unwrap());
    let part = |local, domain, resource| Jid::from_parts(local, domain, resource).unwrap_err().part();
    assert_eq!(part(Some(""), "d", None), Part::Localpart);
    assert_eq!(part(Some("a@b"), "d", None), Part::Localpart);
    assert_eq!(part(None, "", None), Part::Domainpart);
    assert_eq!(part(None, "d/r", None), Part::Domainpart);
    assert_eq!(part(None, "l@d", None), Part::Domainpart);
    assert_eq!(part(None, "d", Some("")), Part::Resourcepart);
    let bare = BareJid::from_parts(Some("L"), "d").unwrap();
    assert_eq!(bare.with_resource("a/@b").unwrap().as_str(), "l@d/a/@b");
    assert_eq!(bare.with_resource("a/@b").unwrap(), FullJid::parse("l@d/a/@b").unwrap());
    assert_eq!(bare.with_resource("").unwrap_err().part(), Part::Resourcepart);
}

#[test]
fn bare_and_full_addresses() {
    let (bare, full) = (Jid::parse("l@d").unwrap(), Jid::parse("l@d/r").unwrap());
    assert!(bare.is_bare() && !bare.is_full() && full.is_full() && !full.is_bare());
    assert!(bare.same_bare(&full) && !bare.same_bare(&Jid::parse("d/r").unwrap()));
    assert_eq!(full.to_full().unwrap().resourcepart(), "r");
    assert_eq!(bare.to_full(), None);
    assert_eq!(bare.clone().try_into_full(), Err(bare.clone()));
    assert_eq!(reason(BareJid::parse("l@d/r")), Reason::NotBare);
    assert_eq!(reason(FullJid::parse("l@d")), Reason::NotFull);
    // The bare address shares the text of the full one, and nothing of the resourcepart shows.
    let shared = full.to_bare();
    assert_eq!((shared.as_str(), shared.to_jid().resourcepart()), ("l@d", None));
    assert_eq!(shared.to_jid(), bare);
    assert_eq!(shared.to_jid().to_string(), "l@d");
    assert_eq!(shared.with_resource("s").unwrap().as_str(), "l@d/s");
}

// RFC 7622 §4 [JE3]
#[test]
fn strict_refuses_what_liberal_maps() {
    for (text, part) in
        [("L@d/r", Part::Localpart), ("l@D/r", Part::Domainpart), ("l@d./r", Part::Domainpart)]
    {
        assert!(Jid::parse(text).is_ok());
        let error = Jid::parse_strict(text).unwrap_err();
        assert_eq!((error.part(), error.reason()), (part, Reason::NotNormal), "{text}");
        assert_eq!(JidRef::parse(text), Ok(None));
    }
    assert_eq!(Jid::parse_strict("l@d/R").unwrap().as_str(), "l@d/R");
    assert_eq!(reason(Jid::parse_strict("l@@")), Reason::Forbidden('@'));
}

#[test]
fn errors_say_what_and_where() {
    let say = |text| Jid::parse(text).unwrap_err().to_string();
    assert_eq!(say("a b@d"), "the localpart of the address contains U+0020, which is not allowed there");
    assert_eq!(say("l@d/"), "the resourcepart of the address is empty");
    assert_eq!(say("l@"), "the domainpart of the address is empty");
}

#[cfg(not(feature = "unicode"))]
#[test]
fn without_tables_the_rest_is_refused() {
    for (text, part) in [
        ("\u{e9}@d/r", Part::Localpart),
        ("l@\u{e9}/r", Part::Domainpart),
        ("l@xn--bcher-kva/r", Part::Domainpart),
        ("l@d/\u{e9}", Part::Resourcepart),
    ] {
        let error = Jid::parse(text).unwrap_err();
        assert_eq!((error.part(), error.reason()), (part, Reason::NoUnicode));
    }
}
