//! Every bound holds, and to the byte.

use balcony_machine::XmlLimits;
use balcony_xml::{Element, ReadError, Reader, Token};

const WIDE: XmlLimits = XmlLimits { bytes: 1 << 20, depth: 100, attributes: 100, nodes: 10_000 };

fn open(limits: XmlLimits) -> Reader {
    let mut reader = Reader::new(WIDE);
    assert_eq!(reader.read(&mut &b"<s xmlns='jabber:client'>"[..]), Ok(Some(Token::Header)));
    reader.set_limits(limits);
    reader
}

/// `ok` is the most that `limits` allow, `over` is one more, and ends the stream.
fn edge(limits: XmlLimits, ok: &str, over: &str, error: ReadError) {
    edges(limits, ok, over, error, Err(error));
}

/// The same where `over` is refused alone.
fn inner_edge(limits: XmlLimits, ok: &str, over: &str, error: ReadError) {
    edges(limits, ok, over, error, Ok(Some(Token::Refused(error))));
}

fn edges(
    limits: XmlLimits,
    ok: &str,
    over: &str,
    error: ReadError,
    expected: Result<Option<Token>, ReadError>,
) {
    assert_eq!(open(limits).read(&mut ok.as_bytes()), Ok(Some(Token::Element)), "{ok}");
    assert_eq!(open(limits).read(&mut over.as_bytes()), expected, "{over}");
    assert!(Element::parse(ok.as_bytes(), limits).is_ok());
    assert_eq!(Element::parse(over.as_bytes(), limits), Err(error));
}

// RFC 6120 §13.12, §4.9.3.14 rfc6120.md [X11]
#[test]
fn bytes() {
    edge(XmlLimits { bytes: 9, ..WIDE }, "<a>b</a >", "<a>bc</a >", ReadError::TooLong);
    edge(XmlLimits { bytes: 9, ..WIDE }, "<a b=''/>", "<a b='c'/>", ReadError::TooLong);
    edge(XmlLimits { bytes: 4, ..WIDE }, "<a/>", "<a />", ReadError::TooLong);
    // A token of any kind is cut off as soon as the bound is passed, not when it is complete.
    for endless in ["<a>text", "<name", "<a b='value", "<a ", "<a b", "<a><![CDATA[", "<a></a ", "<a>]]]"] {
        let mut reader = open(XmlLimits { bytes: 1000, ..WIDE });
        let filler = endless.chars().last().unwrap();
        let input: String =
            endless.chars().chain(core::iter::repeat_n(filler, 1000 - endless.len())).collect();
        assert_eq!(reader.read(&mut input.as_bytes()), Ok(None), "{endless}");
        assert_eq!(reader.read(&mut filler.to_string().as_bytes()), Err(ReadError::TooLong), "{endless}");
    }
}

// RFC 6120 §4.6.1: white space between elements is in no element.
#[test]
fn whitespace_between_elements_has_no_bound() {
    let mut reader = open(XmlLimits { bytes: 10, ..WIDE });
    for _ in 0..100 {
        assert_eq!(reader.read(&mut &b" \n \n "[..]), Ok(None));
    }
    assert_eq!(reader.whitespace(), 500);
}

// RFC 6120 §13.12
#[test]
fn one_name_or_attribute_value() {
    let value = |len| format!("<a b='{}'/>", "v".repeat(len));
    let name = |len| format!("<{}/>", "n".repeat(len));
    edge(WIDE, &value(16_384), &value(16_385), ReadError::TooLong);
    edge(WIDE, &name(16_384), &name(16_385), ReadError::TooLong);
    // Text has no such bound.
    let text = "\u{e9}".repeat(50_000);
    let parsed = Element::parse(format!("<a>{text}</a>").as_bytes(), WIDE).unwrap();
    assert_eq!(parsed.root().text(), text);
    assert_eq!(parsed.root().nodes().count(), 1);
}

#[test]
fn depth() {
    let nested = |levels| format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels));
    inner_edge(XmlLimits { depth: 1, ..WIDE }, "<a/>", "<a><b/></a>", ReadError::TooDeep);
    inner_edge(XmlLimits { depth: 64, ..WIDE }, &nested(64), &nested(65), ReadError::TooDeep);
    inner_edge(XmlLimits::STANZA, &nested(256), &nested(257), ReadError::TooDeep);
    // Siblings don't add up.
    inner_edge(
        XmlLimits { depth: 2, ..WIDE },
        "<a><b/><b/><b/></a>",
        "<a><b/><b><c/></b></a>",
        ReadError::TooDeep,
    );
}

#[test]
fn attributes() {
    let limits = XmlLimits { attributes: 2, ..WIDE };
    edge(limits, "<a b='' c=''/>", "<a b='' c='' d=''/>", ReadError::TooManyAttributes);
    edge(limits, "<a xmlns='u' c=''/>", "<a xmlns='u' xmlns:p='v' d=''/>", ReadError::TooManyAttributes);
    // Each element counts for itself.
    inner_edge(
        limits,
        "<a b='' c=''><a b='' c=''/></a>",
        "<a><b/><b c='' d='' e=''/></a>",
        ReadError::TooManyAttributes,
    );
}

// Looking a prefix up takes as long as there are declarations in scope.
#[test]
fn declarations_in_scope() {
    let limits = XmlLimits { attributes: 4, depth: 10, ..WIDE };
    let level = |n: usize| format!("<a xmlns:a{n}='u' xmlns:b{n}='u' xmlns:c{n}='u' xmlns:d{n}='u'>");
    let nested = |levels| (0..levels).map(level).collect::<String>() + &"</a>".repeat(levels);
    assert!(Element::parse(nested(3).as_bytes(), limits).is_ok());
    assert_eq!(Element::parse(nested(4).as_bytes(), limits), Err(ReadError::TooManyAttributes));
    // One on each level is always fine, and those of siblings don't add up.
    let each = "<a xmlns='u'>".repeat(10) + &"</a>".repeat(10);
    assert!(Element::parse(each.as_bytes(), limits).is_ok());
    let siblings = format!("<a>{}</a>", "<b xmlns='u' xmlns:p='v'/>".repeat(500));
    assert!(Element::parse(siblings.as_bytes(), limits).is_ok());
}

#[test]
fn nodes() {
    let limits = XmlLimits { nodes: 3, ..WIDE };
    inner_edge(limits, "<a><b/><b/></a>", "<a><b/><b/><b/></a>", ReadError::TooManyNodes);
    inner_edge(limits, "<a>x<b/></a>", "<a>x<b/>x</a>", ReadError::TooManyNodes);
    // However it is written, it is one run of text.
    inner_edge(
        limits,
        "<a><b>x&amp;<![CDATA[y]]>&#65;\r</b></a>",
        "<a><b>x</b>&amp;</a>",
        ReadError::TooManyNodes,
    );
}

// RFC 6120 §8.3.3.12: who is refused can be told so, and what follows is read.
#[test]
fn behind_a_refused_element_the_stream_goes_on() {
    let limits = XmlLimits { bytes: 60, depth: 2, attributes: 2, nodes: 4 };
    let mut reader = open(limits);
    for (over, error) in [
        ("<a id='1'><b><c>t<d/></c>&amp;</b><e/></a>", ReadError::TooDeep),
        ("<a id='1'><b/><b/><b/>t<b/>t</a>", ReadError::TooManyNodes),
        ("<a id='1'><b c='' d='' e='' f=''><g/></b></a>", ReadError::TooManyAttributes),
        // Nobody looks prefixes up in there.
        ("<a id='1'><b><c><p:d/></c></b></a>", ReadError::TooDeep),
    ] {
        let mut input = over.as_bytes();
        assert_eq!(reader.read(&mut input), Ok(Some(Token::Refused(error))), "{over}");
        assert_eq!((input, reader.raw(), reader.payload()), (&b""[..], over.as_bytes(), &b""[..]));
        assert_eq!((reader.element().attr("id"), reader.element().nodes().count()), (Some("1"), 0));
        assert_eq!(reader.refusal(), Some(error));
        assert_eq!(reader.read(&mut &b"<a><b x='1'/></a>"[..]), Ok(Some(Token::Element)));
        assert_eq!((reader.refusal(), reader.payload()), (None, &b"<b x='1'/>"[..]));
    }
    let refused = |input: &str| open(limits).read(&mut input.as_bytes());
    // All else holds for what is dropped, too.
    assert_eq!(refused(&format!("<a><b><c>{}", "t".repeat(60))), Err(ReadError::TooLong));
    assert_eq!(
        refused("<a><b><c></b>"),
        Err(ReadError::NotWellFormed("an end tag does not match its start tag"))
    );
    assert_eq!(refused("<a><b><c><!--"), Err(ReadError::Restricted("a comment")));
    // And the names of open elements are memory.
    assert_eq!(refused("<a><b><c><d></d></c></b></a>"), Ok(Some(Token::Refused(ReadError::TooDeep))));
    assert_eq!(refused("<a><b><c><d><e>"), Err(ReadError::TooDeep));
}

// RFC 6120 §4.7: the header is an element like any other.
#[test]
fn the_header_has_the_same_bounds() {
    let limits = XmlLimits { bytes: 20, depth: 1, attributes: 1, nodes: 1 };
    let read = |mut input: &[u8]| Reader::new(limits).read(&mut input);
    assert_eq!(read(b"<?xml version='1.0'?><s to='12345678901'>"), Err(ReadError::TooLong));
    assert_eq!(read(b"     <s to='12345678901'>"), Ok(Some(Token::Header)));
    assert_eq!(read(b"<s to='123456789012'>"), Err(ReadError::TooLong));
    assert_eq!(read(b"<s a='' b=''>"), Err(ReadError::TooManyAttributes));
    let none = XmlLimits { bytes: 20, depth: 0, attributes: 0, nodes: 0 };
    assert_eq!(Reader::new(none).read(&mut &b"<s>"[..]), Err(ReadError::TooDeep));
}

#[test]
fn a_payload_has_the_bounds_of_its_content() {
    let limits = XmlLimits { bytes: 18, depth: 1, attributes: 1, nodes: 2 };
    let parse = |payload: &str| Element::parse_payload(payload.as_bytes(), "jabber:client", limits).map(drop);
    assert_eq!(parse("<a b='123456'/>xxx"), Ok(()));
    assert_eq!(parse("<a b='123456'/>xxxx"), Err(ReadError::TooLong));
    assert_eq!(parse("<a><b/></a>"), Err(ReadError::TooDeep));
    assert_eq!(parse("<a/><b/><c/>"), Err(ReadError::TooManyNodes));
    assert_eq!(parse("<a b='' c=''/>"), Err(ReadError::TooManyAttributes));
}
