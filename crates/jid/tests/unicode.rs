//! The rules beyond ASCII.
#![cfg(feature = "unicode")]

use balcony_jid::{Jid, Part, Reason, domainpart, localpart, resourcepart};

fn reason<T: core::fmt::Debug>(result: Result<T, balcony_jid::JidError>) -> Reason {
    result.expect_err("an error").reason()
}

// RFC 7622 §3.1 [J1], §3.3.1 [JL5]
#[test]
fn cut_first_and_map_then() {
    assert_eq!(reason(Jid::parse("a\u{FF20}b@d")), Reason::Forbidden('@'));
    assert_eq!(reason(Jid::parse("a\u{FF0F}b@d")), Reason::Forbidden('/'));
    assert_eq!(reason(Jid::parse("a\u{FF20}b")), Reason::Forbidden('@'));
    assert_eq!(Jid::parse("a\u{FF20}b").unwrap_err().part(), Part::Domainpart);
    let kept = "l@d/a\u{FF20}b\u{FF0F}c";
    assert_eq!(Jid::parse(kept).unwrap().as_str(), kept);
}

// RFC 7622 §3.1 [J7]
#[test]
fn lengths_count_after_mapping() {
    assert_eq!(localpart(&"\u{FF21}".repeat(1023)).unwrap(), "a".repeat(1023));
    assert_eq!(reason(localpart(&"\u{FF21}".repeat(1024))), Reason::TooLong);
    assert_eq!(resourcepart(&"e\u{301}".repeat(511)).unwrap(), "\u{E9}".repeat(511));
    assert_eq!(reason(resourcepart(&"e\u{301}".repeat(512))), Reason::TooLong);
    assert_eq!(reason(resourcepart(&"\u{E9}".repeat(100_000))), Reason::TooLong);
    // \u{23A} has two octets, its lower case three.
    assert_eq!(localpart(&"\u{23A}".repeat(341)).unwrap().len(), 1023);
    assert_eq!(reason(localpart(&"\u{23A}".repeat(342))), Reason::TooLong);
    // The longest address there is: the domain reaches the limit of DNS before its own.
    let label = "d".repeat(63);
    let name = [label.as_str(), &label, &label, &label[..61]].join(".");
    let longest = format!("{}@{name}/{}", "l".repeat(1023), "r".repeat(1023));
    assert_eq!(Jid::parse(&longest).unwrap().resourcepart().map(str::len), Some(1023));
}

// RFC 7622 §3.3, RFC 8264 §4.2.3 [JL3]
#[test]
fn localparts_refuse() {
    for (c, what) in [
        ('\u{A0}', "a space"),
        ('\u{3000}', "a wide space"),
        ('\u{85}', "a control"),
        ('\u{AD}', "an ignorable"),
        ('\u{200B}', "an ignorable"),
        ('\u{FE0F}', "an ignorable"),
        ('\u{20AC}', "a symbol"),
        ('\u{265A}', "a symbol"),
        ('\u{1F600}', "a symbol"),
        ('\u{2014}', "punctuation"),
        ('\u{2163}', "a compatibility character"),
        ('\u{212B}', "a compatibility character"),
        ('\u{FB01}', "a compatibility character"),
        ('\u{1C5}', "a titlecase letter"),
        ('\u{1100}', "an old jamo"),
        ('\u{1161}', "an old jamo"),
        ('\u{11A8}', "an old jamo"),
        ('\u{640}', "an exception"),
        ('\u{E000}', "private"),
        ('\u{378}', "unassigned"),
        ('\u{10FFFF}', "not a character"),
    ] {
        assert_eq!(reason(localpart(&format!("a{c}"))), Reason::Forbidden(c), "{what}");
    }
}

/// Texts in which a contextual character is in its place or not: RFC 5892 Appendix A.
const CONTEXTS: [(&str, Option<char>); 19] = [
    // A.1: after a virama, or between letters that join
    ("\u{915}\u{94D}\u{200C}\u{937}", None),
    ("\u{628}\u{64E}\u{200C}\u{64E}\u{628}", None),
    ("a\u{200C}b", Some('\u{200C}')),
    ("\u{628}\u{200C}", Some('\u{200C}')),
    ("\u{627}\u{200C}\u{628}", Some('\u{200C}')),
    // A.2: after a virama
    ("\u{915}\u{94D}\u{200D}\u{937}", None),
    ("\u{628}\u{200D}\u{628}", Some('\u{200D}')),
    // A.3: between two l
    ("l\u{B7}l", None),
    ("l\u{B7}a", Some('\u{B7}')),
    ("a\u{B7}l", Some('\u{B7}')),
    // A.4: before Greek
    ("\u{375}\u{3B1}", None),
    ("\u{3B1}\u{375}", Some('\u{375}')),
    // A.5, A.6: after Hebrew
    ("\u{5D0}\u{5F3}", None),
    ("a\u{5F4}", Some('\u{5F4}')),
    // A.7: with Japanese
    ("\u{30FB}\u{30A2}", None),
    ("a\u{30FB}", Some('\u{30FB}')),
    // A.8, A.9: one kind of digits
    ("\u{627}\u{660}\u{661}", None),
    ("\u{627}\u{6F0}\u{6F1}", None),
    ("\u{627}\u{660}\u{6F0}", Some('\u{6F0}')),
];

// RFC 8264 §4.2.2, RFC 5892 Appendix A [JL4]
#[test]
fn contextual_characters() {
    for (text, misplaced) in CONTEXTS {
        let expected = misplaced.map_or(Ok(text.into()), |c| Err(Reason::Misplaced(c)));
        assert_eq!(localpart(text).map_err(|e| e.reason()), expected, "{text:?}");
        assert_eq!(resourcepart(text).map_err(|e| e.reason()), expected, "{text:?}");
        assert_eq!(domainpart(text).map_err(|e| e.reason()), expected, "{text:?}");
    }
}

// RFC 7622 §3.5 [JL6] [JL7]; RFC 8265 §3.3.2
// RFC 7622 §8 address-localpart-prep
#[test]
fn localparts_map() {
    for (text, normal) in [
        ("\u{39F}\u{394}\u{39F}\u{3A3}", "\u{3BF}\u{3B4}\u{3BF}\u{3C3}"),
        ("STRA\u{1E9E}E", "stra\u{DF}e"),
        ("\u{130}", "i\u{307}"),
        ("\u{FF21}\u{FF11}\u{FF01}", "a1!"),
        ("\u{FF76}\u{FF9E}", "\u{30AC}"),
        ("\u{3B1}\u{313}\u{300}\u{345}", "\u{1F82}"),
        ("\u{13A0}", "\u{AB70}"),
    ] {
        assert_eq!(localpart(text).unwrap(), normal, "{text:?}");
    }
}

// RFC 8264 §7 [JL8]: the overlay makes another character of the one before it, which a second application refuses
#[test]
fn rules_apply_until_nothing_changes() {
    assert_eq!(reason(localpart("a=\u{338}")), Reason::Forbidden('\u{2260}'));
    assert_eq!(reason(localpart("a>\u{338}")), Reason::Forbidden('\u{226F}'));
    assert_eq!(reason(resourcepart("\u{387}")), Reason::Misplaced('\u{B7}'));
}

// RFC 8265 §3.3.2, RFC 5893 §2
#[test]
fn bidi_rule() {
    for (text, valid) in [
        ("\u{5D0}\u{5D1}", true),
        ("\u{5D0}1", true),
        ("\u{5D0}1\u{5B0}", true),
        ("\u{627}\u{661}", true),
        ("\u{5D0}-\u{5D1}", true),
        // 1: the first character
        ("1\u{5D0}", false),
        ("-\u{5D0}", false),
        // 2, 3: right to left
        ("\u{5D0}a", false),
        ("\u{5D0}a\u{5D1}", false),
        ("\u{5D0}-", false),
        // 4: digits of both kinds
        ("\u{627}1\u{661}", false),
        // 5: left to right
        ("a\u{5D0}", false),
        ("a\u{5D0}b", false),
    ] {
        assert_eq!(localpart(text).is_ok(), valid, "{text:?}");
        // RFC 8265 §4.2.1: none for resourceparts
        assert!(resourcepart(text).is_ok(), "{text:?}");
    }
    assert_eq!(reason(localpart("a\u{5D0}")), Reason::Bidi);
    // RFC 5893 §1.4: one right-to-left label, and each must satisfy the rule
    assert!(domainpart("\u{5D0}.com").is_ok());
    assert_eq!(reason(domainpart("\u{5D0}.1com")), Reason::Bidi);
    assert!(domainpart("\u{E9}.1com").is_ok());
}

// RFC 7622 §3.4, RFC 8265 §4.2 [JR1] [JR2] [JR3]
// RFC 7622 §8 address-resource-prep
#[test]
fn resourceparts() {
    for text in [
        "\u{1F600}",
        "\u{2163}",
        "\u{FF21}",
        "\u{FB01}",
        "\u{20AC} \u{2014}",
        "\u{DF}\u{1E9E}",
        "\u{1C5}",
        " ",
    ] {
        assert_eq!(resourcepart(text).unwrap(), text);
    }
    for (text, normal) in
        [("a\u{A0}b\u{3000}c\u{2003}", "a b c "), ("e\u{301}", "\u{E9}"), ("\u{212B}", "\u{C5}")]
    {
        assert_eq!(resourcepart(text).unwrap(), normal);
    }
    for c in [
        '\u{85}', '\u{AD}', '\u{200B}', '\u{FE0F}', '\u{1100}', '\u{378}', '\u{E000}', '\u{2028}', '\u{FFFF}',
    ] {
        assert_eq!(reason(resourcepart(&format!("a{c}"))), Reason::Forbidden(c));
    }
}

// RFC 7622 §3.2, RFC 5890 §2.3 [JD6]
// RFC 7622 §8 address-domain-prep
#[test]
fn a_labels_become_u_labels() {
    assert_eq!(domainpart("xn--bcher-kva.example").unwrap(), "b\u{FC}cher.example");
    assert_eq!(domainpart("XN--BCHER-KVA.Example.").unwrap(), "b\u{FC}cher.example");
    assert_eq!(domainpart("xn--fa-hia.de").unwrap(), "fa\u{DF}.de");
    assert_eq!(domainpart("a.xn--n3h").map_err(|e| e.reason()), Err(Reason::Forbidden('\u{2603}')));
    // Not Punycode, or nothing but ASCII inside.
    for text in ["xn--a\u{E9}", "xn--99999999", "xn--abc-", "xn--"] {
        assert_eq!(reason(domainpart(text)), Reason::ALabel, "{text}");
    }
    // Not normal inside.
    let a_label = |inside| format!("xn--{}", idna::punycode::encode_str(inside).unwrap());
    assert_eq!(domainpart(&a_label("b\u{FC}cher")).unwrap(), "b\u{FC}cher");
    assert_eq!(reason(domainpart(&a_label("b\u{DC}cher"))), Reason::Forbidden('\u{DC}'));
    assert_eq!(reason(domainpart(&a_label("bu\u{308}cher"))), Reason::ALabel);
    assert_eq!(reason(domainpart(&a_label("\u{FC}b--a"))), Reason::Hyphen);
    // Longer than a label may be, and not the only way to write what it stands for.
    assert_eq!(reason(domainpart(&format!("xn--{}", "a".repeat(60)))), Reason::DnsLength);
}

// RFC 7622 §3.2.2 [JD7]
#[test]
fn domains_map() {
    for (text, normal) in [
        ("B\u{DC}CHER.example", "b\u{FC}cher.example"),
        ("bu\u{308}cher.example", "b\u{FC}cher.example"),
        ("\u{FF22}\u{FC}cher", "b\u{FC}cher"),
        ("\u{FF45}\u{FF58}.com", "ex.com"),
        ("\u{FF76}\u{FF9E}.jp", "\u{30AC}.jp"),
        ("STRA\u{1E9E}E.de", "stra\u{DF}e.de"),
        ("COL\u{B7}LECTIU.cat", "col\u{B7}lectiu.cat"),
        // Labels consist of the upper-case Cherokee letters (RFC 5892 §2.2).
        ("\u{13A0}.example", "\u{13A0}.example"),
    ] {
        assert_eq!(domainpart(text).unwrap(), normal, "{text:?}");
    }
}

// RFC 7622 §3.2 [JD10]: the RFC is silent; RFC 5895 §2 maps them
#[test]
fn other_dots_are_dots() {
    for dot in ['\u{3002}', '\u{FF0E}', '\u{FF61}'] {
        assert_eq!(domainpart(&format!("a{dot}b\u{FC}{dot}")).unwrap(), "a.b\u{FC}");
        assert_eq!(reason(domainpart(&format!("a{dot}{dot}b"))), Reason::EmptyLabel);
        assert_eq!(reason(domainpart(&dot.to_string())), Reason::Empty);
    }
}

// RFC 5891 §4.2.3, RFC 5892 §3 [JD6] [JD8]
#[test]
fn u_labels_refuse() {
    for (text, expected) in [
        ("\u{2603}", Reason::Forbidden('\u{2603}')),
        ("a_\u{FC}", Reason::Forbidden('_')),
        ("\u{2173}", Reason::Forbidden('\u{2173}')),
        ("\u{FC}\u{AD}", Reason::Forbidden('\u{AD}')),
        ("\u{1100}", Reason::Forbidden('\u{1100}')),
        ("a\u{20D0}\u{FC}", Reason::Forbidden('\u{20D0}')),
        ("\u{300}a", Reason::Misplaced('\u{300}')),
        ("-\u{FC}", Reason::Hyphen),
        ("\u{FC}-", Reason::Hyphen),
        ("\u{FC}a--b", Reason::Hyphen),
        ("\u{FC}..a", Reason::EmptyLabel),
        (".\u{FC}", Reason::EmptyLabel),
    ] {
        assert_eq!(reason(domainpart(text)), expected, "{text:?}");
    }
}

// RFC 5891 §4.2.4 [JD8]: DNS counts the A-labels
#[test]
fn dns_limits_of_u_labels() {
    let fits = |count: usize| {
        domainpart(&format!("{}\u{FC}", "a".repeat(count))).map(|_| ()).map_err(|e| e.reason())
    };
    let limit = (0..64).find(|count| fits(*count).is_err()).unwrap();
    let a_label =
        |count: usize| idna::punycode::encode_str(&format!("{}\u{FC}", "a".repeat(count))).unwrap().len() + 4;
    assert_eq!((a_label(limit - 1), a_label(limit)), (63, 64));
    assert_eq!(fits(limit), Err(Reason::DnsLength));
    assert_eq!(reason(domainpart(&"\u{FC}".repeat(64))), Reason::DnsLength);
    let name = |last: usize| {
        let label = format!("{}\u{FC}", "a".repeat(limit - 1));
        format!("{label}.{label}.{label}.{}", "a".repeat(last))
    };
    assert!(domainpart(&name(253 - 192)).is_ok());
    assert_eq!(reason(domainpart(&name(254 - 192))), Reason::DnsLength);
}
