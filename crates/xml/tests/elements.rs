//! Elements: building, comparing, writing, and the payload of a stanza.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::borrow::Cow;

use balcony_machine::XmlLimits;
use balcony_xml::{
    Attr, Element, ElementRef, InvalidName, Name, NodeRef, ReadError, Reader, Token, Workspace, Writer,
    escape_attr, escape_text,
};
use proptest::prelude::*;

const A: Name = Name::from_static("a");
const B: Name = Name::from_static("b");

fn parse(xml: &str) -> Element {
    Element::parse(xml.as_bytes(), XmlLimits::STANZA).unwrap()
}

fn write(element: ElementRef<'_>, default_ns: &str) -> String {
    let mut out = Vec::new();
    element.write(&mut out, default_ns);
    String::from_utf8(out).unwrap()
}

/// The payload of the one stanza after `header`, and whether it had to be written anew.
fn payload(header: &str, stanza: &str) -> (String, bool) {
    let mut reader = Reader::new(XmlLimits::STANZA);
    assert_eq!(reader.read(&mut header.as_bytes()), Ok(Some(Token::Header)));
    assert_eq!(reader.read(&mut stanza.as_bytes()), Ok(Some(Token::Element)));
    let payload = reader.payload();
    let is_exact = payload.is_empty() || reader.raw().as_ptr_range().contains(&payload.as_ptr());
    (String::from_utf8(payload.to_vec()).unwrap(), !is_exact)
}

// RFC 6120 §4.8.2, §4.8.3, §4.8.5
#[test]
fn payloads() {
    const CLIENT: &str = "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>";
    const PREFIXED: &str =
        "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' xmlns:p='u'>";
    const OTHER: &str = "<stream xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client'>";
    let table: &[(&str, &str, &str, bool)] = &[
        (CLIENT, "<iq/>", "", false),
        (CLIENT, "<iq id='>'></iq>", "", false),
        (CLIENT, "<iq a='/>'>  <b\n/> x</iq >", "  <b\n/> x", false),
        (CLIENT, "<iq><![CDATA[<]]>&amp;</iq>", "<![CDATA[<]]>&amp;", false),
        // Declared inside: the bytes serve.
        (CLIENT, "<iq><p:q xmlns:p='u' p:a=''/></iq>", "<p:q xmlns:p='u' p:a=''/>", false),
        (CLIENT, "<iq xmlns:p='u'><p:q xmlns:p='v'/></iq>", "<p:q xmlns:p='v'/>", false),
        (PREFIXED, "<iq xmlns='jabber:client'><b xml:lang='de'/></iq>", "<b xml:lang='de'/>", false),
        (CLIENT, "<x xmlns='u'><y xmlns='v'/></x>", "<y xmlns='v'/>", false),
        // Declared on the header or the stanza.
        (PREFIXED, "<iq><p:q a=''><p:r/></p:q></iq>", "<q xmlns='u' a=''><r/></q>", true),
        (PREFIXED, "<iq><b p:a='1'/></iq>", "<b xmlns:p='u' p:a='1'/>", true),
        (CLIENT, "<iq xmlns:p='u'><p:q/><b/></iq>", "<q xmlns='u'/><b/>", true),
        (CLIENT, "<iq xmlns:p='u'><b><c xmlns='u'><p:d/></c></b></iq>", "<b><c xmlns='u'><d/></c></b>", true),
        (CLIENT, "<auth xmlns='u'>x<y/></auth>", "x<y xmlns='u'/>", true),
        (CLIENT, "<x xmlns=''><y/></x>", "<y xmlns=''/>", true),
        (CLIENT, "<iq><s:error/></iq>", "<error xmlns='http://etherx.jabber.org/streams'/>", true),
        (OTHER, "<c:iq><c:b/></c:iq>", "<b xmlns='jabber:client'/>", true),
        ("<s>", "<iq><b/></iq>", "<b/>", false),
        ("<s>", "<iq xmlns='u'><b/></iq>", "<b xmlns='u'/>", true),
    ];
    for (header, stanza, expected, anew) in table {
        assert_eq!(payload(header, stanza), ((*expected).to_owned(), *anew), "{stanza}");
    }
}

#[test]
fn the_payload_is_there_until_the_next_read() {
    let mut reader = Reader::new(XmlLimits::STANZA);
    assert!(
        reader.payload().is_empty()
            && reader.element().name().is_empty()
            && reader.header().name().is_empty()
    );
    let mut input = &b"<s xmlns='u'><p:a xmlns:p='v'>x</p:a><b"[..];
    assert_eq!(reader.read(&mut input), Ok(Some(Token::Header)));
    assert!(reader.header().is("s", "u") && reader.element().name().is_empty());
    assert!(reader.payload().is_empty() && reader.raw().is_empty());
    assert_eq!(reader.content_namespace(), "u");
    assert_eq!(reader.read(&mut input), Ok(Some(Token::Element)));
    assert_eq!(
        (reader.element().prefix(), reader.element().name(), reader.element().namespace()),
        ("p", "a", "v")
    );
    assert_eq!(reader.raw(), b"<p:a xmlns:p='v'>x</p:a>");
    assert_eq!(reader.read(&mut input), Ok(None));
    assert!(reader.payload().is_empty() && reader.raw().is_empty());
    assert_eq!(reader.read(&mut &b"/></s>"[..]), Ok(Some(Token::Element)));
    assert_eq!(reader.raw(), b"<b/>");
    assert_eq!(reader.read(&mut &b"</s>"[..]), Ok(Some(Token::End)));
    assert!(reader.raw().is_empty());
    assert!(reader.header().name().is_empty() && reader.content_namespace() == "u");
}

// What is declared stands in the same places in some of these headers.
#[test]
fn readers_in_one_workspace_have_declarations_of_their_own() {
    let headers = [
        ("<s xmlns:x='abc' xmlns='def'>", "x", "abc", "def"),
        ("<s xmlns:y='ghi' xmlns='jkl'>", "y", "ghi", "jkl"),
        ("<s xmlns='jkl' xmlns:y='ghi'>", "y", "ghi", "jkl"),
        ("<s xmlns:x='abc' xmlns:z='zz' xmlns='def'>", "z", "zz", "def"),
        ("<s xmlns:z='zz' xmlns:x='abc'>", "x", "abc", ""),
    ];
    for [first, second] in headers.iter().flat_map(|one| headers.iter().map(move |other| [one, other])) {
        let mut workspace = Workspace::new();
        let mut readers = [first, second].map(|known| {
            let mut reader = Reader::new(XmlLimits::STANZA);
            assert_eq!(reader.read(&mut known.0.as_bytes()), Ok(Some(Token::Header)));
            reader.rest(&mut workspace);
            (reader, *known)
        });
        for _ in 0..3 {
            for (reader, (_, prefix, namespace, default)) in &mut readers {
                reader.wake(&mut workspace);
                let element = format!("<{prefix}:a xmlns:q='q'><b/></{prefix}:a>");
                assert_eq!(reader.read(&mut element.as_bytes()), Ok(Some(Token::Element)));
                let root = reader.element();
                assert_eq!(root.namespace(), *namespace);
                assert!(root.child("b", default).is_some());
                assert_eq!(reader.content_namespace(), *default);
                reader.rest(&mut workspace);
                assert_eq!(reader.content_namespace(), *default);
            }
        }
    }
}

#[test]
fn reading() {
    let element = parse("<a b='1' xml:lang='de' xmlns:p='u' p:b='2'> x<c xmlns='v'>y<d/></c>z<c/></a>");
    let root = element.root();
    assert_eq!((root.attr("b"), root.attr_ns("b", "u"), root.attr("lang")), (Some("1"), Some("2"), None));
    assert_eq!(root.language(), Some("de"));
    let last = Attr { name: "b", namespace: "u", value: "2" };
    assert_eq!((root.attrs().len(), root.attrs().last()), (3, Some(last)));
    assert_eq!(root.text(), " xz");
    assert!(!root.has_only_whitespace_text());
    assert_eq!(root.children().map(|child| child.namespace()).collect::<Vec<_>>(), ["v", ""]);
    let child = root.child("c", "v").unwrap();
    assert!(matches!(child.text(), Cow::Borrowed("y")));
    assert!(child.child("d", "v").is_some() && child.child("d", "").is_none());
    assert!(parse("<a> <b>x</b>\n</a>").root().has_only_whitespace_text());
    assert!(matches!(root.nodes().next(), Some(NodeRef::Text(" x"))));
    assert_eq!(child.to_owned(), parse("<c xmlns='v'>y<d/></c>"));
}

#[test]
fn equality_is_by_meaning() {
    let same = ["<a b='1' c='2'/>", "<a c='2' b='1'></a>", "<a c=\"&#50;\" b='1' xmlns:p='u'/>"];
    for other in same {
        assert_eq!(parse(other), parse(same[0]));
    }
    assert_eq!(
        parse("<p:a xmlns:p='u' p:b=''>x&amp;<p:c/></p:a>"),
        parse("<a xmlns='u' xmlns:q='u' q:b=''>x<![CDATA[&]]><c/></a>")
    );
    let different = [
        "<a/>",
        "<b/>",
        "<a xmlns='u'/>",
        "<a b=''/>",
        "<a b='1'/>",
        "<a c=''/>",
        "<a xmlns:p='u' p:b=''/>",
        "<a>x</a>",
        "<a>y</a>",
        "<a> </a>",
        "<a><b/></a>",
        "<a><b/><c/></a>",
        "<a><c/><b/></a>",
        "<a><b><c/></b></a>",
        "<a><b/>x</a>",
        "<a>x<b/></a>",
        "<a><b>x</b></a>",
    ];
    for (i, a) in different.iter().enumerate() {
        for (j, b) in different.iter().enumerate() {
            assert_eq!(parse(a) == parse(b), i == j, "{a} {b}");
        }
    }
}

#[test]
fn building() {
    // Whatever the order of the calls.
    let built = Element::new(A, "u")
        .text("x")
        .child(Element::new(B, "u").attr(A, "1"))
        .text("y")
        .attr(B, "2")
        .text("z");
    assert_eq!(built, parse("<a xmlns='u' b='2'>x<b a='1'/>yz</a>"));
    let built = built.attr(B, "3").attr(A, "4").attr_ns(B, "v", "5").lang("de");
    assert_eq!(built, parse("<a xmlns='u' b='3' a='4' xmlns:p='v' p:b='5' xml:lang='de'>x<b a='1'/>yz</a>"));
    assert_eq!(built.root().nodes().count(), 3);
    // Empty text is nothing, and the namespace that can't be declared is none.
    let ns = "http://www.w3.org/2000/xmlns/";
    assert_eq!(Element::new(A, ns).text("").attr_ns(B, ns, "x"), parse("<a b='x'/>"));
}

#[test]
fn writing_is_minimal() {
    let nested = parse("<p:a xmlns:p='u'><p:b/><c xmlns='v'><d/><p:e/></c><f/></p:a>");
    assert_eq!(
        write(nested.root(), ""),
        "<a xmlns='u'><b/><c xmlns='v'><d/><e xmlns='u'/></c><f xmlns=''/></a>"
    );
    assert_eq!(write(nested.root(), "u"), "<a><b/><c xmlns='v'><d/><e xmlns='u'/></c><f xmlns=''/></a>");
    let attrs = Element::new(A, "").attr_ns(A, "u", "1").attr_ns(B, "u", "2").attr_ns(A, "v", "3").lang("x");
    assert_eq!(
        write(attrs.root(), ""),
        "<a xmlns:ns0='u' ns0:a='1' ns0:b='2' xmlns:ns1='v' ns1:a='3' xml:lang='x'/>"
    );
    let taken =
        parse("<a xmlns:ns0='v' xmlns:ns1='w' ns1:a='' ns0:b=''/>").root().to_owned().attr_ns(A, "x", "");
    assert_eq!(parse(&write(taken.root(), "")), taken);
    let xml = parse("<xml:a xml:b=''><c/></xml:a>");
    assert_eq!(write(xml.root(), ""), "<xml:a xml:b=''><c/></xml:a>");
}

// rfc6120.md [X2]
#[test]
fn writer_closes_what_is_open_and_ignores_nonsense() {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.text("no").attr(A, "no").close();
    writer
        .open(A)
        .xmlns("u")
        .attr(B, "<'>")
        .attr(B, "no")
        .open(B)
        .text("")
        .lang("de")
        .close()
        .attr(A, "no")
        .text("&")
        .open(B);
    drop(writer);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "<a xmlns='u' b='&lt;&apos;&gt;'><b xml:lang='de'/>&amp;<b/></a>"
    );
}

// XML 1.0 §2.2, §2.4, §2.11, §3.3.3
#[test]
fn escapes() {
    let given = "a&<>'\"\t\n\r\u{1}\u{1f}\u{7f}\u{fffd}\u{fffe}\u{ffff}\u{feff}\u{10000}";
    let escaped = |escape: fn(&str, &mut Vec<u8>)| {
        let mut out = b"kept ".to_vec();
        escape(given, &mut out);
        String::from_utf8(out).unwrap()
    };
    let end = "\u{fffd}\u{fffd}\u{7f}\u{fffd}\u{fffd}\u{fffd}\u{feff}\u{10000}";
    assert_eq!(escaped(escape_text), format!("kept a&amp;&lt;&gt;'\"\t\n&#13;{end}"));
    assert_eq!(escaped(escape_attr), format!("kept a&amp;&lt;&gt;&apos;&quot;&#9;&#10;&#13;{end}"));
}

// Namespaces in XML 1.0 §3
#[test]
fn names() {
    for name in ["a", "_", "a-b.c_1", "\u{e9}", "xml", "\u{10000}"] {
        assert_eq!(Name::new(name).unwrap().as_str(), name);
    }
    for name in ["", "a:b", ":", "1", "-a", ".a", "a b", "a>", "a'", "xmlns", "\u{d7}", "a\u{0}", "\u{301}a"]
    {
        assert_eq!(Name::new(name), Err(InvalidName), "{name}");
    }
}

#[test]
fn nothing_of_the_content_is_shown() {
    let shown = format!("{:?}", parse("<a xmlns='u' b='secret'>secret<c/></a>"));
    assert_eq!(shown, "<a xmlns='u'> (1 attributes, 3 nodes)");
    let mut reader = Reader::new(XmlLimits::STANZA);
    let mut input = &b"<s><a b='topsecret'>topsecret</a>"[..];
    while reader.read(&mut input).unwrap().is_some() {
        assert!(!format!("{reader:?}").contains("topsecret"));
    }
}

// Nothing recurses: these would overflow the stack if it did.
#[test]
fn depth_is_no_danger() {
    const DEEP: XmlLimits =
        XmlLimits { bytes: usize::MAX, depth: usize::MAX, attributes: usize::MAX, nodes: usize::MAX };
    let levels = 100_000;
    let xml = "<a>".repeat(levels) + &"</a>".repeat(levels);
    let deep = Element::parse(xml.as_bytes(), DEEP).unwrap();
    let copy = deep.clone();
    assert_eq!(copy, deep);
    assert_eq!(copy.root().to_owned().root(), deep.root());
    assert_eq!(write(deep.root(), "").len(), xml.len() - "<a></a>".len() + "<a/>".len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_built_is_what_is_parsed(parts in prop::collection::vec((0..4_u8, "[ab]", "[uv ]"), 0..12)) {
        let mut built = Element::new(A, "u");
        let mut expected: Vec<(bool, String)> = Vec::new();
        for (call, name, text) in &parts {
            let name = Name::new(name).unwrap();
            match call {
                0 => built.push_attr(name, text),
                1 => built.push_attr_ns(name, "w", text),
                2 => {
                    built.push_text(text);
                    match expected.last_mut() {
                        Some((false, last)) => last.push_str(text),
                        _ => expected.push((false, text.clone())),
                    }
                }
                _ => {
                    expected.push((true, name.as_str().to_owned()));
                    built.push_child(Element::new(name, text.trim()).child(Element::new(A, "u").text("x")).attr(B, "").root());
                }
            }
        }
        let nodes = |element: &Element| -> Vec<(bool, String)> {
            element.root().nodes().map(|node| match node {
                NodeRef::Element(child) => (true, child.name().to_owned()),
                NodeRef::Text(text) => (false, text.to_owned()),
            }).collect()
        };
        prop_assert_eq!(nodes(&built), expected);
        let parsed = parse(&write(built.root(), "v"));
        // Written for a place where the default namespace is `v`, `xmlns=''` is not left out.
        let parsed_again = Element::parse_payload(write(built.root(), "v").as_bytes(), "v", XmlLimits::STANZA).unwrap();
        prop_assert_eq!(parsed_again.root().children().next().unwrap(), built.root());
        prop_assert_eq!(parsed.root().attrs().len(), built.root().attrs().len());
    }
}

// rfc6120.md [X11]: what was declared once, outside, is declared again and again inside.
#[test]
fn a_payload_that_grows_past_the_limit_is_too_long() {
    let limits = XmlLimits { bytes: 10_000, ..XmlLimits::STANZA };
    let read = |quotes: usize, children: usize| {
        let mut reader = Reader::new(limits);
        reader
            .read(&mut &b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>"[..])
            .unwrap();
        let xml = format!("<iq xmlns:x='{}'>{}</iq>", "\"".repeat(quotes), "<x:a/>".repeat(children));
        assert!(xml.len() < limits.bytes);
        let read = reader.read(&mut xml.as_bytes()).map(|token| (token, reader.payload().len()));
        assert_eq!(reader.read(&mut &b"<iq/>"[..]), Ok(Some(Token::Element)));
        read
    };
    let written = |quotes: usize| "<a xmlns=''/>".len() + "&quot;".len() * quotes;
    assert_eq!(read(1_000, 1), Ok((Some(Token::Element), written(1_000))));
    assert_eq!(read(100, 16), Ok((Some(Token::Element), 16 * written(100))));
    assert_eq!(read(100, 17), Ok((Some(Token::Refused(ReadError::TooLong)), 0)));
    assert_eq!(read(4_000, 900), Ok((Some(Token::Refused(ReadError::TooLong)), 0)));
}

#[test]
fn writing_stops_where_there_is_no_room() {
    let element = parse(&format!("<w xmlns:x='{}'>{}</w>", "u".repeat(1_000), "<x:a/>".repeat(1_000)));
    let write = |room: usize| {
        let mut out = Vec::new();
        (element.root().write_within(room, &mut out, ""), out.len())
    };
    let (whole, length) = write(usize::MAX);
    assert!(whole && length > 1_000_000);
    assert_eq!(write(length), (true, length));
    let (whole, length) = write(10_000);
    assert!(!whole && length < 12_000, "{length}");
}
