//! What makes an element a stanza, and one in order (RFC 6120 section 8, RFC 6121 sections 4.7 and 5.2).

#![allow(clippy::unwrap_used)]

mod common;

use balcony_stanza::{ErrorCondition, IqType, Kind, MessageType};
use common::{HEADER, KINDS, read, read_under, refused, valid, wire};

// RFC 6120 §8.1.4 stanza-attribute-type, RFC 6121 §4.7.1, §5.2.2
#[test]
fn every_kind_is_read_and_written() {
    for (kind, name, type_name) in KINDS {
        let attribute = type_name.map(|name| format!(" type='{name}'")).unwrap_or_default();
        let xml = format!("<{name}{attribute} id='1'><a xmlns='urn:a'/></{name}>");
        let stanza = valid(&xml);
        assert_eq!(stanza.head.kind, kind);
        assert_eq!(wire(&stanza), xml);
    }
}

// RFC 6121 §5.2.2 [M4]
#[test]
fn an_unknown_message_type_is_normal() {
    for type_name in ["", "normal", "Chat", "chat ", "get", "unavailable", "made-up"] {
        let stanza = valid(&format!("<message type='{type_name}'/>"));
        assert_eq!(stanza.head.kind, Kind::Message(MessageType::Normal), "{type_name}");
    }
}

// RFC 6121 §4.7.1 [PR32]: `available` is one that nobody knows.
#[test]
fn an_unknown_presence_type_is_a_bad_request() {
    for type_name in ["", "available", "Probe", "chat", "get", "invisible"] {
        let (condition, reply) = refused(&format!("<presence type='{type_name}' id='7'/>"));
        assert_eq!(condition, ErrorCondition::BadRequest, "{type_name}");
        assert!(
            reply.unwrap().starts_with("<presence type='error' id='7'><error type='modify'><bad-request ")
        );
    }
}

// RFC 6120 §8.2.3 stanza-iq-type [ST10]
#[test]
fn an_iq_without_a_type_it_knows_is_a_bad_request() {
    for attribute in ["", " type=''", " type='GET'", " type='subscribe'", " type='order'"] {
        let (condition, reply) = refused(&format!("<iq id='7'{attribute}><a xmlns='urn:a'/></iq>"));
        assert_eq!(condition, ErrorCondition::BadRequest, "{attribute}");
        assert!(reply.unwrap().starts_with("<iq type='error' id='7'><error type='modify'><bad-request "));
    }
}

// RFC 6120 §8.2.3 stanza-iq-id [ST9]
#[test]
fn an_iq_has_an_id() {
    for (type_name, answered) in [("get", true), ("set", true), ("result", false), ("error", false)] {
        let (condition, reply) = refused(&format!("<iq type='{type_name}'><a xmlns='urn:a'/></iq>"));
        assert_eq!(condition, ErrorCondition::BadRequest);
        assert_eq!(reply.is_some(), answered, "{type_name}");
    }
    // The others may go without.
    assert_eq!(valid("<message/>").head.id, None);
    assert_eq!(valid("<presence id=''/>").head.id.as_deref(), Some(""));
}

// RFC 6120 §8.2.3 stanza-iq-child [ST12]
#[test]
fn a_request_has_exactly_one_child() {
    let one = "<a xmlns='urn:a'><b/><b/></a>";
    for type_name in ["get", "set"] {
        for content in ["", "text", &one.repeat(2), &one.repeat(50)] {
            let (condition, reply) = refused(&format!("<iq type='{type_name}' id='7'>{content}</iq>"));
            assert_eq!(condition, ErrorCondition::BadRequest, "{content}");
            assert!(reply.is_some());
        }
        // White space around it is nothing.
        valid(&format!("<iq type='{type_name}' id='7'>\n {one}\n</iq>"));
    }
    // A response may have none, and an error comes with one or two.
    for content in ["", one] {
        assert_eq!(
            valid(&format!("<iq type='result' id='7'>{content}</iq>")).head.kind,
            Kind::Iq(IqType::Result)
        );
        valid(&format!("<iq type='error' id='7'>{content}<error type='wait'/></iq>"));
    }
}

// RFC 6120 §8.3.3.8, RFC 7622 §4 [JE2]
#[test]
fn an_invalid_address_is_malformed() {
    for attribute in ["to", "from"] {
        for address in
            ["", "@", "a b@example.com", "@example.com", "juliet@", "example.com/", "a@b@c/\u{0009}"]
        {
            let (condition, reply) = refused(&format!("<message {attribute}='{address}' id='7'/>"));
            assert_eq!(condition, ErrorCondition::JidMalformed, "{attribute}='{address}'");
            assert!(
                reply
                    .unwrap()
                    .starts_with("<message type='error' id='7'><error type='modify'><jid-malformed ")
            );
            assert_eq!(refused(&format!("<message type='error' {attribute}='{address}'/>")).1, None);
            assert_eq!(refused(&format!("<iq type='result' id='7' {attribute}='{address}'/>")).1, None);
        }
    }
    // Valid ones are kept in normal form (RFC 7622 §3.2, §3.3).
    let head = valid("<message to='JULIET@Example.COM./Balcony' from='\u{00df}@example.com'/>").head;
    assert_eq!(head.to.unwrap().as_str(), "juliet@example.com/Balcony");
    assert_eq!(head.from.unwrap().as_str(), "\u{00df}@example.com");
}

// RFC 6120 §8.3.1 [ST15]: the reply of a client goes to whoever sent the stanza, not to its own server.
#[test]
fn the_reply_to_an_invalid_stanza_has_the_addresses_swapped() {
    let addresses = "from='romeo@example.com/garden' to='juliet@example.com/balcony'";
    for xml in [
        format!("<iq {addresses} type='get' id='7'/>"),
        format!("<iq {addresses} type='order' id='7'/>"),
        format!("<presence {addresses} type='made-up' id='7'/>"),
    ] {
        let reply = refused(&xml).1.unwrap();
        let expected = "from='juliet@example.com/balcony' to='romeo@example.com/garden' type='error' id='7'";
        assert!(reply.contains(expected), "{reply}");
    }
    let reply = refused("<message from='romeo@example.com/garden' to='@'/>").1.unwrap();
    assert!(reply.starts_with("<message to='romeo@example.com/garden' type='error'>"), "{reply}");
}

// RFC 6120 §8.1.5 stanza-attribute-xmllang
#[test]
fn the_language_is_the_stanzas_own() {
    let stanza = valid("<message xml:lang='de-AT'><body xml:lang='en'>Hello</body></message>");
    assert_eq!(stanza.head.lang.as_deref(), Some("de-AT"));
    assert_eq!(wire(&stanza), "<message xml:lang='de-AT'><body xml:lang='en'>Hello</body></message>");
    // That of the stream is the stream's to add, and an attribute `lang` is nobody's.
    let header = HEADER.replace("<stream:stream ", "<stream:stream xml:lang='it' ");
    let stanza = read_under(&header, "<message lang='de'/>").unwrap().unwrap();
    assert_eq!(stanza.head.lang, None);
}

// RFC 6120 §4.8.4: only message, presence and iq in the content namespace are stanzas.
#[test]
fn what_is_no_stanza() {
    for xml in [
        "<order/>",
        "<Message/>",
        "<message xmlns='urn:example'/>",
        "<message xmlns='jabber:server'/>",
        "<message xmlns=''/>",
        "<stream:message/>",
        "<iq xmlns='urn:example' type='get'/>",
    ] {
        assert!(read(xml).is_none(), "{xml}");
    }
    // Which namespace that is, the header says (§4.8.3); a prefix makes no difference (§4.8.5).
    let server = HEADER.replace("jabber:client", "jabber:server");
    assert!(read_under(&server, "<message/>").is_some());
    assert!(read_under(&server, "<message xmlns='jabber:client'/>").is_none());
    assert!(read("<c:presence xmlns:c='jabber:client'/>").is_some());
}
