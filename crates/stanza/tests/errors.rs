//! Error conditions, and the stanzas that carry them (RFC 6120 sections 4.9.3 and 8.3).

#![allow(clippy::unwrap_used)]

mod common;

use balcony_jid::Jid;
use balcony_machine::XmlLimits;
use balcony_stanza::{
    ErrorCondition, ErrorType, IqType, Kind, Stanza, StanzaError, StreamCondition, StreamError,
};
use balcony_xml::{Element, Name};
use common::{KINDS, valid, wire};

/// rfc6120.md section 9.1: the name, and the types that the RFC gives it, the default first.
const CONDITIONS: [(&str, &[&str]); 22] = [
    ("bad-request", &["modify"]),
    ("conflict", &["cancel"]),
    ("feature-not-implemented", &["cancel", "modify"]),
    ("forbidden", &["auth"]),
    ("gone", &["cancel"]),
    ("internal-server-error", &["cancel"]),
    ("item-not-found", &["cancel"]),
    ("jid-malformed", &["modify"]),
    ("not-acceptable", &["modify"]),
    ("not-allowed", &["cancel"]),
    ("not-authorized", &["auth"]),
    ("policy-violation", &["modify", "wait"]),
    ("recipient-unavailable", &["wait"]),
    ("redirect", &["modify"]),
    ("registration-required", &["auth"]),
    ("remote-server-not-found", &["cancel"]),
    ("remote-server-timeout", &["wait"]),
    ("resource-constraint", &["wait"]),
    ("service-unavailable", &["cancel"]),
    ("subscription-required", &["auth"]),
    ("undefined-condition", &["cancel", "auth", "continue", "modify", "wait"]),
    ("unexpected-request", &["wait", "modify"]),
];

/// rfc6120.md section 6.
const STREAM_CONDITIONS: [&str; 25] = [
    "bad-format",
    "bad-namespace-prefix",
    "conflict",
    "connection-timeout",
    "host-gone",
    "host-unknown",
    "improper-addressing",
    "internal-server-error",
    "invalid-from",
    "invalid-namespace",
    "invalid-xml",
    "not-authorized",
    "not-well-formed",
    "policy-violation",
    "remote-connection-failed",
    "reset",
    "resource-constraint",
    "restricted-xml",
    "see-other-host",
    "system-shutdown",
    "undefined-condition",
    "unsupported-encoding",
    "unsupported-feature",
    "unsupported-stanza-type",
    "unsupported-version",
];

const REQUEST: &str = "<iq type='get' id='1' from='romeo@example.com/garden' to='juliet@example.com'>\
                       <query xmlns='urn:example'/></iq>";

/// The error in a message of type error that has this content.
fn read_error(content: &str) -> Option<StanzaError> {
    let payload = valid(&format!("<message type='error'>{content}</message>")).payload.parse().unwrap();
    StanzaError::from_payload(payload.root())
}

// RFC 6120 §8.3.3, §8.3.3.*
#[test]
fn stanza_error_conditions_are_those_of_the_rfc() {
    assert_eq!(ErrorCondition::ALL.len(), CONDITIONS.len());
    for (condition, (name, types)) in ErrorCondition::ALL.iter().zip(CONDITIONS) {
        assert_eq!((condition.name(), condition.to_string()), (name, name.to_owned()));
        assert_eq!(ErrorCondition::from_name(name), Some(*condition));
        assert_eq!(condition.default_type().name(), types[0], "{name}");

        let reply = valid(REQUEST).error(&StanzaError::from(*condition)).unwrap();
        let standard = format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>");
        assert_eq!(
            wire(&reply),
            format!(
                "<iq from='juliet@example.com' to='romeo@example.com/garden' type='error' id='1'>\
                 <error type='{}'>{standard}</error></iq>",
                types[0]
            )
        );
        // Whatever type a peer gives it is kept; without one, or with a made-up one, the default counts.
        for kind in ErrorType::ALL {
            let error = read_error(&format!("<error type='{}'>{standard}</error>", kind.name())).unwrap();
            assert_eq!((error.condition, error.kind), (*condition, *kind));
        }
        for error in ["<error>", "<error type='fatal'>"] {
            let error = read_error(&format!("{error}{standard}</error>")).unwrap();
            assert_eq!((error.condition, error.kind), (*condition, condition.default_type()));
        }
    }
}

// RFC 6120 §8.3.2 [ST16]
#[test]
fn error_types_are_those_of_the_rfc() {
    let names: Vec<_> = ErrorType::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names, ["auth", "cancel", "continue", "modify", "wait"]);
    assert!(names.iter().zip(ErrorType::ALL).all(|(name, kind)| ErrorType::from_name(name) == Some(*kind)));
}

// RFC 6120 §4.9.3
#[test]
fn stream_error_conditions_are_those_of_the_rfc() {
    assert_eq!(StreamCondition::ALL.len(), STREAM_CONDITIONS.len());
    for (condition, name) in StreamCondition::ALL.iter().zip(STREAM_CONDITIONS) {
        assert_eq!((condition.name(), condition.to_string()), (name, name.to_owned()));
        assert_eq!(StreamCondition::from_name(name), Some(*condition));

        for error in [StreamError::from(*condition), StreamError::new(*condition, "a < b & c")] {
            let mut out = Vec::new();
            error.write_content(&mut out);
            let written = String::from_utf8(out).unwrap();
            // RFC 6120 §4.9.3.19: the one condition that has a content.
            let empty = *condition != StreamCondition::SeeOtherHost || error.text.is_none();
            let content = if empty { "/>" } else { ">a &lt; b &amp; c</see-other-host>" };
            let expected = format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'{content}");
            assert!(written.starts_with(&expected), "{written}");
            assert_eq!(read_stream_error(&written), error);
        }
    }
}

/// The error that has this content.
fn read_stream_error(content: &str) -> StreamError {
    let xml = format!("<error xmlns='http://etherx.jabber.org/streams'>{content}</error>");
    StreamError::from_element(Element::parse(xml.as_bytes(), XmlLimits::STANZA).unwrap().root())
}

// RFC 6120 §4.9.2 [W9]
#[test]
fn an_unknown_stream_error_condition_is_undefined() {
    for content in [
        "",
        "<made-up xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>",
        "<conflict xmlns='urn:example'/>",
        "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>",
    ] {
        let error = read_stream_error(content);
        assert_eq!(error, StreamCondition::UndefinedCondition.into(), "{content}");
    }
    // An application's element and the text may stand anywhere.
    let error = read_stream_error(
        "<too-many xmlns='urn:example'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>No</text>\
         <reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>",
    );
    assert_eq!(error, StreamError::new(StreamCondition::Reset, "No"));
    assert_eq!(error.to_string(), "reset: No");
}

// RFC 6120 §8.3.2 [ST17]
#[test]
fn an_unknown_stanza_error_condition_is_undefined() {
    for content in [
        "",
        "text",
        "<made-up xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>",
        "<conflict xmlns='urn:example'/>",
        "<conflict/>",
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>item-not-found</text>",
    ] {
        let error = read_error(&format!("<error type='wait'>{content}</error>")).unwrap();
        assert_eq!((error.condition, error.kind), (ErrorCondition::UndefinedCondition, ErrorType::Wait));
    }
}

// RFC 6120 §8.3.1 [ST15] [ST16]: the original payload may stand before the error.
#[test]
fn the_error_is_found_among_the_payload() {
    let error = read_error(
        "<body>Hello</body><error xmlns='urn:example' type='auth'/>\
         <error by='example.com' type='modify'><too-long xmlns='urn:example'>140</too-long>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>Say less.</text>\
         <not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    )
    .unwrap();
    assert_eq!((error.condition, error.kind), (ErrorCondition::NotAcceptable, ErrorType::Modify));
    assert_eq!(error.text.as_deref(), Some("Say less."));
    assert_eq!(error.to_string(), "not-acceptable: Say less.");
    assert!(error.application.as_ref().unwrap().root().is("too-long", "urn:example"));
    assert_eq!(read_error("<body>Hello</body>"), None);
    assert_eq!(read_error("<error xmlns='urn:example'/>"), None);
}

// RFC 6120 §8.3.4
#[test]
fn errors_are_read_as_they_were_written() {
    const TOO_LONG: Name = Name::from_static("too-long");
    for condition in ErrorCondition::ALL {
        for kind in ErrorType::ALL {
            let mut error = StanzaError::new(*condition, "<&> it's \"wrong\"").with_type(*kind);
            error.application = Some(Box::new(Element::new(TOO_LONG, "urn:example").text("140")));
            let reply = valid(REQUEST).error(&error).unwrap();
            let payload = valid(&wire(&reply)).payload.parse().unwrap();
            assert_eq!(StanzaError::from_payload(payload.root()), Some(error));
        }
    }
}

// RFC 6120 §8.3.1 [ST9] [ST15] stanza-error stanza-error-child stanza-error-id stanza-error-reply, §8.2.3 [ST11]
#[test]
fn who_is_answered_and_how() {
    let romeo: Jid = "romeo@example.com/garden".parse().unwrap();
    let juliet: Jid = "juliet@example.com".parse().unwrap();
    for (kind, name, type_name) in KINDS {
        let mut stanza =
            Stanza::new(kind).with_from(romeo.clone()).with_to(juliet.clone()).with_id("it's <1>");
        stanza.head.lang = Some("de".into());
        let error = stanza.error(&ErrorCondition::ServiceUnavailable.into());
        let answered = !matches!(type_name, Some("error" | "result"));
        assert_eq!(error.is_some(), answered, "{name} {type_name:?}");
        if let Some(error) = error {
            assert_eq!(error.head.kind.name(), name);
            assert_eq!(error.head.kind.type_name(), Some("error"));
            assert!(error.head.kind.is_error());
            assert_eq!(error.head.id.as_deref(), Some("it's <1>"));
            assert_eq!((error.head.from, error.head.to), (stanza.head.to.clone(), stanza.head.from.clone()));
        }
        let result = stanza.result();
        assert_eq!(result.is_some(), matches!(type_name, Some("get" | "set")), "{name} {type_name:?}");
        if let Some(result) = result {
            assert_eq!(result.head.kind, Kind::Iq(IqType::Result));
            assert_eq!(result.head.id.as_deref(), Some("it's <1>"));
            assert_eq!((result.head.from, result.head.to), (stanza.head.to, stanza.head.from));
            assert!(result.payload.is_empty() && result.head.lang.is_none());
        }
    }
}

// RFC 6120 §8.3.3.5, §8.3.3.14: these two say where else to go.
#[test]
fn a_new_address_stands_in_the_condition() {
    for condition in ErrorCondition::ALL {
        let moved = matches!(condition, ErrorCondition::Gone | ErrorCondition::Redirect);
        let name = condition.name();
        let content = format!(
            "<error type='cancel'><{name} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:romeo@example.org</{name}></error>"
        );
        let error = read_error(&content).unwrap();
        assert_eq!(error.address.as_deref(), moved.then_some("xmpp:romeo@example.org"), "{name}");
        if moved {
            let mut written = Vec::new();
            error.to_element().root().write(&mut written, "jabber:client");
            assert_eq!(String::from_utf8(written).unwrap(), content);
        }
    }
}
