//! Streams on WebSockets (RFC 7395): the same machine, with messages instead of one document. In the bytes each message is
//! followed by a byte of zero.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use balcony_machine::{Instant, Progress, Secret, Seed, XmlLimits};
use balcony_sim::{Accounts, Chunks, End, Pair};
use balcony_stanza::{MessageType, Stanza, StreamCondition, StreamError, ns};
use balcony_stream::client::ClientStreamConfig;
use balcony_stream::server::ServerStreamConfig;
use balcony_stream::{ClientStream, Error, Framing, Security, ServerStream, TlsPolicy};
use balcony_xml::Element;

fn server_config() -> ServerStreamConfig {
    let mut server = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
    (server.tls, server.framing) = (TlsPolicy::Direct, Framing::Messages);
    server
}

fn negotiated() -> Pair {
    let mut client =
        ClientStreamConfig::new("juliet@example.com".parse().unwrap(), Secret::new(String::from("pencil")));
    (client.tls, client.framing, client.sasl2) = (TlsPolicy::Direct, Framing::Messages, false);
    let accounts = Accounts::new().with("juliet@example.com", "pencil");
    let mut pair = Pair::new(client, server_config(), accounts, None, Chunks::Whole, 1);
    // The TLS of wss://.
    pair.client.secured(Security::default()).unwrap();
    pair.server.secured(Security::default()).unwrap();
    pair.run();
    assert!(pair.client.is_open() && pair.server.is_open());
    pair
}

fn messages(bytes: &[u8]) -> Vec<&str> {
    assert!(bytes.ends_with(b"\0"), "every message ends");
    core::str::from_utf8(&bytes[..bytes.len() - 1]).unwrap().split('\0').collect()
}

// RFC 7395 §3.2 [V2], §3.3.3 [V3] [V4] [V5], §3.8 [V14]
#[test]
fn every_message_is_one_document() {
    let mut pair = negotiated();
    let stanza = Stanza::message(MessageType::Chat).with_to("romeo@example.com".parse().unwrap());
    pair.send_stanza(End::Client, &stanza);
    pair.send_stanza(End::Server, &stanza);
    pair.run();
    pair.close(End::Server);
    pair.run();
    for end in [End::Client, End::Server] {
        for message in messages(pair.sent(end)) {
            assert!(message.starts_with('<') && !message.starts_with("<?"), "{message}");
            // On its own it parses, so all its namespaces are declared.
            let element = Element::parse(message.as_bytes(), XmlLimits::STANZA).unwrap();
            assert!(!element.root().namespace().is_empty(), "{message}");
            if matches!(element.root().name(), "message" | "iq") {
                assert_eq!(element.root().namespace(), ns::CLIENT);
            }
        }
    }
}

// RFC 7395 §3.4 [V7], §3.7 [V13], §3.9 [V15], §3.6 [V10]
#[test]
fn open_restart_close() {
    let mut pair = negotiated();
    let names = |pair: &Pair, end| -> Vec<String> {
        messages(pair.sent(end))
            .into_iter()
            .map(|message| {
                Element::parse(message.as_bytes(), XmlLimits::STANZA).unwrap().root().name().to_owned()
            })
            .collect()
    };
    // The restart after SASL is another <open/>, without a <close/> before it.
    assert_eq!(names(&pair, End::Client), ["open", "auth", "response", "open", "iq"]);
    assert_eq!(
        names(&pair, End::Server),
        ["open", "features", "challenge", "success", "open", "features", "iq"]
    );
    assert!(!messages(pair.sent(End::Server)).iter().any(|message| message.contains("starttls")));
    pair.close(End::Client);
    pair.run();
    for end in [End::Client, End::Server] {
        assert_eq!(
            *messages(pair.sent(end)).last().unwrap(),
            "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"
        );
    }
}

/// The server's end alone: what it answers to these messages, and how it ended.
fn serve(input: &str) -> (String, Option<Error>) {
    let now = Instant::ZERO;
    let mut stream = ServerStream::new(Arc::new(server_config()), Seed::from_u64(1), now);
    stream.secured(Security::default()).unwrap();
    let (mut input, mut out) = (input.as_bytes(), Vec::new());
    let ended = loop {
        match stream.advance(now, &mut input, &mut out) {
            Ok(Progress::NeedInput | Progress::Blocked(_) | Progress::Closed) => {
                break None;
            }
            Ok(Progress::Event(_)) => {}
            Err(error) => break Some(error),
        }
    };
    (String::from_utf8(out).unwrap(), ended)
}

const OPEN: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>\0";

fn refused(input: &str) -> StreamCondition {
    let (out, ended) = serve(input);
    let Some(Error::Local(StreamError { condition, .. })) = ended else { panic!("{input}: {ended:?} {out}") };
    // RFC 7395 §3.5 [V9]: our <open/> comes first, then the error and <close/>, each in a message of its own.
    let messages = messages(out.as_bytes());
    let [open, .., error, close] = messages[..] else { panic!("{out}") };
    assert!(open.starts_with("<open "), "{out}");
    assert!(error.starts_with("<stream:error xmlns:stream='http://etherx.jabber.org/streams'>"), "{out}");
    assert!(error.contains(condition.name()) && close.starts_with("<close "), "{out}");
    condition
}

// RFC 7395 §3.3.2 [V6], §3.4 [V7] [V8], §3.5 [V9], §3.3.3 [V3]
#[test]
fn what_is_no_such_stream() {
    use StreamCondition::{HostUnknown, InvalidNamespace, NotAuthorized, NotWellFormed};
    let cases = [
        ("<open xmlns='urn:example' to='example.com' version='1.0'/>\0".to_owned(), InvalidNamespace),
        ("<message xmlns='jabber:client'/>\0".to_owned(), InvalidNamespace),
        (OPEN.replace("example.com", "example.org"), HostUnknown),
        // Two elements in one message, or none, or a part of one.
        (format!("{OPEN}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/><a/>\0"), NotWellFormed),
        (format!("{OPEN}\0"), NotWellFormed),
        (format!("{OPEN}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\0"), NotWellFormed),
        // No second stream on this WebSocket while the first stands.
        (format!("{OPEN}{OPEN}"), NotAuthorized),
        (format!("{OPEN}<presence xmlns='jabber:client'/>\0"), NotAuthorized),
    ];
    for (input, condition) in cases {
        assert_eq!(refused(&input), condition, "{input:?}");
    }
}

// RFC 7395 §3.4 [V7]: a client that takes this for TCP is told what is wrong
#[test]
fn a_header_of_tcp_on_a_websocket() {
    const HEADER: &str = "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
                          xmlns:stream='http://etherx.jabber.org/streams'>\0";
    for input in [String::from(HEADER), format!("<?xml version='1.0'?>{HEADER}")] {
        assert_eq!(refused(&input), StreamCondition::NotWellFormed);
        let (out, _) = serve(&input);
        assert!(out.contains("begins with &lt;open/&gt; in a message of its own (RFC 7395)"), "{out}");
        assert!(out.contains("the message ends inside of its element"), "{out}");
    }
}

// RFC 7395 §3.6 [V10] [V11]
#[test]
fn the_end_of_the_websocket() {
    let (out, ended) = serve(&format!("{OPEN}<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>\0"));
    assert!(
        out.ends_with("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>\0") && ended.is_none(),
        "{out}"
    );

    // Without <close/> the session is over as well.
    let mut pair = negotiated();
    assert_eq!(pair.server.eof(pair.now, &mut Vec::new()).err(), Some(Error::Truncated));
}

// RFC 7395 §3.6.1 [V12]: to another place, but never to a less protected one
#[test]
fn a_server_that_sends_us_elsewhere() {
    for (uri, secure, followed) in [
        ("wss://other.example/xmpp-websocket", true, true),
        ("WSS://other.example/", true, true),
        ("https://other.example/bosh", true, true),
        ("ws://other.example/", true, false),
        ("http://other.example/", true, false),
        ("xmpp:other.example", true, false),
        ("wss:other.example", true, false),
        ("", true, false),
        ("ws://other.example/", false, true),
        ("wss://other.example/", false, true),
    ] {
        let mut config =
            ClientStreamConfig::new("juliet@example.com".parse().unwrap(), Secret::new(String::new()));
        config.tls = if secure { TlsPolicy::Direct } else { TlsPolicy::None };
        config.framing = Framing::Messages;
        let mut client = ClientStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
        if secure {
            client.secured(Security::default()).unwrap();
        }
        let close = format!("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' see-other-uri='{uri}'/>\0");
        // In answer to <open/>, or on the open stream.
        for input in [close.clone(), format!("{}{close}", OPEN.replace("to=", "id='1' from="))] {
            let (mut input, mut out) = (input.as_bytes(), Vec::new());
            if matches!(client.advance(Instant::ZERO, &mut input, &mut out), Ok(Progress::Closed)) {
                break;
            }
        }
        assert_eq!(client.redirect(), followed.then_some(uri), "{secure}");
    }
    // Others are closed without more ado.
    let mut pair = negotiated();
    pair.close(End::Server);
    pair.run();
    assert_eq!(pair.client.redirect(), None);
}
