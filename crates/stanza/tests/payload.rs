//! A payload stands on its own, whatever stood around it, and is shown to nobody.

#![allow(clippy::unwrap_used)]

mod common;

use balcony_machine::XmlLimits;
use balcony_stanza::{ErrorCondition, Payload, Stanza, StanzaError};
use balcony_xml::{Element, ElementRef, Name};
use common::{HEADER, read_under, valid, wire};

/// A header that binds more than it should (RFC 6120 section 4.8.1 forbids it, but what if?).
const BINDING: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
                       xmlns:x='urn:x' xmlns:y='urn:y'>";

// RFC 6120 §4.8.5, §8.4 [ST14]
#[test]
fn borrowed_prefixes_are_declared_again() {
    for content in [
        "<x:a/>",
        "<x:a y:b='1' c='2'><body>text</body></x:a>",
        "<body y:b='1'>text</body>",
        "<a xmlns='urn:a'><x:b><c/></x:b></a>",
        "text <x:a>and</x:a> <stream:error/> more",
        "<x:a xmlns:x='urn:other'/><x:a/>",
        "<a xmlns='urn:a' xmlns:x='urn:x'><x:b y:c=''/></a>",
        "<x:a xmlns=''><b xmlns=''/></x:a>",
    ] {
        let read = read_under(BINDING, &format!("<message>{content}</message>")).unwrap().unwrap();
        // It means the same on a stream that knows none of these prefixes, and there it is already as it should be.
        let again = read_under(HEADER, &wire(&read)).unwrap().unwrap();
        assert_eq!(again, read, "{content}");
        let declared = read_under(
            HEADER,
            &format!(
                "<message xmlns:x='urn:x' xmlns:y='urn:y' xmlns:stream='http://etherx.jabber.org/streams'>{content}</message>"
            ),
        );
        assert_eq!(declared.unwrap().unwrap(), read, "{content}");
        assert_eq!(children(&read), children(&again));
        assert!(!children(&read).is_empty(), "{content}");
    }
}

// RFC 6120 §4.8.5: what stands on its own already is passed on byte for byte.
#[test]
fn payloads_that_borrow_nothing_are_left_as_they_are() {
    for content in [
        "<body>text</body>",
        "<a  xmlns = \"urn:a\" b=\"it's\"><c></c></a >",
        "<x:a xmlns:x='urn:a' x:b='&#65;'/>",
        "<body><![CDATA[<&>]]></body>",
        " <body/>\n<c xmlns='urn:c'/>\t",
    ] {
        let stanza = read_under(BINDING, &format!("<message>{content}</message>")).unwrap().unwrap();
        assert_eq!(stanza.payload.as_bytes(), content.as_bytes());
    }
}

// RFC 6120 §4.8.5: a stanza from a server's stream is one for a client's, without rewriting.
#[test]
fn the_content_namespace_follows_the_stream() {
    let server = HEADER.replace("jabber:client", "jabber:server");
    let content = "<body>text</body><a xmlns='urn:a'><b/></a>";
    for (header, xml) in [
        (HEADER, format!("<message>{content}</message>")),
        (&server, format!("<message>{content}</message>")),
        (HEADER, format!("<c:message xmlns:c='jabber:client'>{content}</c:message>")),
        (
            HEADER,
            "<c:message xmlns:c='jabber:client'><c:body>text</c:body><a xmlns='urn:a'><b/></a></c:message>"
                .into(),
        ),
        (
            HEADER,
            "<c:message xmlns:c='jabber:client' xmlns='urn:a'><c:body>text</c:body><a><b/></a></c:message>"
                .into(),
        ),
    ] {
        let stanza = read_under(header, &xml).unwrap().unwrap();
        assert_eq!(wire(&stanza), format!("<message>{content}</message>"), "{xml}");
        let payload = stanza.payload.parse().unwrap();
        assert_eq!(payload.root().child("body", "jabber:client").unwrap().text(), "text");
        assert!(payload.root().child("a", "urn:a").unwrap().child("b", "urn:a").is_some());
    }
}

#[test]
fn no_content_is_an_empty_tag() {
    for xml in ["<presence/>", "<presence></presence>", "<presence ></presence >"] {
        let stanza = valid(xml);
        assert!(stanza.payload.is_empty());
        assert_eq!(stanza.payload, Payload::EMPTY);
        assert_eq!(wire(&stanza), "<presence/>");
    }
    assert_eq!([].iter().collect::<Payload>(), Payload::EMPTY);
    assert_eq!(Payload::EMPTY.parse().unwrap().root().nodes().count(), 0);
}

#[test]
fn several_elements_keep_their_order() {
    const NAMES: [(Name, &str); 3] = [
        (Name::from_static("a"), "urn:x"),
        (Name::from_static("body"), "jabber:client"),
        (Name::from_static("c"), "urn:x"),
    ];
    let elements = NAMES.map(|(name, namespace)| Element::new(name, namespace));
    let payload: Payload = elements.iter().collect();
    assert_eq!(payload.as_bytes(), b"<a xmlns='urn:x'/><body/><c xmlns='urn:x'/>");
}

/// What people write to each other is nobody else's business.
#[test]
fn debug_shows_no_content() {
    let stanza = valid(
        "<message to='juliet@example.com' id='7'><body>my secret</body><a xmlns='urn:a' b='my secret'>my secret</a></message>",
    );
    let mut error = StanzaError::from(ErrorCondition::NotAcceptable);
    error.application = stanza.payload.parse().ok().map(Box::new);
    let refused =
        read_under(HEADER, "<iq type='get' id='7'><a xmlns='urn:a'>my secret</a><b>my secret</b></iq>");
    for shown in [
        format!("{stanza:?} {:?} {:?}", stanza.payload, stanza.payload.parse()),
        format!("{error:?} {:?}", stanza.error(&error)),
        format!("{refused:?}"),
    ] {
        assert!(!shown.contains("secret"), "{shown}");
    }
    assert!(format!("{stanza:?}").contains("juliet@example.com"));
}

fn children(stanza: &Stanza) -> Vec<Element> {
    stanza.payload.parse().unwrap().root().children().map(|child: ElementRef<'_>| child.to_owned()).collect()
}

// XEP-0297 §3, XEP-0203 §2: what is put around it or beside it leaves it byte for byte.
#[test]
fn contents_are_kept_byte_for_byte() {
    const SENT: Name = Name::from_static("sent");
    const FORWARDED: Name = Name::from_static("forwarded");
    let content = " <body><![CDATA[<a/>]]></body >text<x:a xmlns:x=\"u\"><x:b/></x:a>&lt;<a/>";
    let stanza = valid(&format!("<message to='a@b' type='chat'>{content}</message>"));

    let forward = Payload::forward(&stanza, &[(SENT, "urn:'s'"), (FORWARDED, "urn:f")]);
    let expected = format!(
        "<sent xmlns='urn:&apos;s&apos;'><forwarded xmlns='urn:f'>\
         <message xmlns='jabber:client' to='a@b' type='chat'>{content}</message></forwarded></sent>"
    );
    assert_eq!(String::from_utf8_lossy(forward.as_bytes()), expected);
    let parsed = forward.parse().unwrap();
    let message = parsed.root().child("sent", "urn:'s'").unwrap().child("forwarded", "urn:f").unwrap();
    let body = message.child("message", "jabber:client").unwrap().child("body", "jabber:client").unwrap();
    assert_eq!(body.text(), "<a/>");

    let delay = Element::new(Name::from_static("delay"), "urn:d");
    let with = stanza.payload.with(&delay);
    assert_eq!(String::from_utf8_lossy(with.as_bytes()), format!("{content}<delay xmlns='urn:d'/>"));

    assert_eq!(stanza.payload.without(|_| false), stanza.payload);
    let without = stanza.payload.without(|child| child.name() == "a");
    assert_eq!(String::from_utf8_lossy(without.as_bytes()), " <body><![CDATA[<a/>]]></body >text&lt;");
    assert_eq!(Payload::EMPTY.with(&delay).without(|_| true), Payload::EMPTY);
    // Both in one.
    let exchanged = stanza.payload.exchange(|child| child.name() == "a", &delay);
    assert_eq!(exchanged, without.with(&delay));

    // What stands before a forwarded stanza is written for its place.
    let before = Payload::forward_with(Some(&Element::new(SENT, "urn:f")), &stanza, &[(FORWARDED, "urn:f")]);
    let expected = format!(
        "<forwarded xmlns='urn:f'><sent/><message xmlns='jabber:client' to='a@b' type='chat'>{content}</message></forwarded>"
    );
    assert_eq!(String::from_utf8_lossy(before.as_bytes()), expected);
}

// What others write once, with a prefix, may be much when it is written out.
#[test]
fn an_element_is_content_within_a_bound() {
    let spread = format!("<p:a xmlns:p='urn:{}'>{}</p:a>", "x".repeat(90), "<b><p:c/></b>".repeat(20));
    let spread = Element::parse(spread.as_bytes(), XmlLimits::STANZA).unwrap();
    let whole = Payload::from(spread.clone());
    let size = whole.as_bytes().len();
    assert!(size > 2_000);
    assert_eq!(Payload::from_element(spread.root(), size), Some(whole));
    assert_eq!(Payload::from_element(spread.root(), size - 1), None);
}

#[test]
fn what_was_kept_of_content_is_content() {
    for content in ["", "<body>x</body>", " <a xmlns='u'/>text<p:b xmlns:p='u'/>"] {
        let kept = Payload::from_bytes(content.as_bytes()).unwrap();
        assert_eq!(kept.as_bytes(), content.as_bytes());
        assert_eq!(kept == Payload::EMPTY, content.is_empty());
    }
    for wrong in ["<a>", "</a>", "<p:a/>", "&x;", "<a/></payload><payload>", "<!-- -->"] {
        assert!(Payload::from_bytes(wrong.as_bytes()).is_err(), "{wrong}");
    }
}
