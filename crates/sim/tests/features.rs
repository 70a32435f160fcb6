//! The conformance features of RFC 6120 section 15, shown on whole negotiations: who writes what, in which order.
#![allow(clippy::unwrap_used)]

use balcony_machine::{Secret, XmlLimits};
use balcony_sasl::Mechanism;
use balcony_sim::{Accounts, Chunks, End, Pair};
use balcony_stanza::{IqType, MessageType, PresenceType, Stanza, ns};
use balcony_stream::TlsPolicy;
use balcony_stream::client::ClientStreamConfig;
use balcony_stream::server::ServerStreamConfig;
use balcony_xml::{Element, Name, Reader, Token};

fn pair(tls: TlsPolicy, change: impl FnOnce(&mut ClientStreamConfig)) -> Pair {
    let mut client =
        ClientStreamConfig::new("juliet@example.com".parse().unwrap(), Secret::new(String::from("pencil")));
    client.tls = tls;
    client.sasl2 = false;
    client.resource = Some("balcony".into());
    client.lang = "it".into();
    change(&mut client);
    let mut server = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
    server.tls = tls;
    let accounts = Accounts::new().with("juliet@example.com", "pencil");
    Pair::new(client, server, accounts, Some([5; 32]), Chunks::Whole, 1)
}

fn negotiated() -> Pair {
    let mut pair = pair(TlsPolicy::Required, |_| {});
    pair.run();
    assert!(pair.client.is_open() && pair.server.is_open());
    pair
}

// RFC 6120 §6.3.7 [S10]: the user name is the localpart, and no white space is in an exchange (§6.4 [S14]).
#[test]
fn the_user_name_is_the_localpart() {
    let mut pair = pair(TlsPolicy::Required, |client| client.mechanisms = vec![Mechanism::Plain]);
    pair.run();
    let sent = core::str::from_utf8(pair.sent(End::Client)).unwrap();
    // NUL juliet NUL pencil
    assert!(sent.contains(" mechanism='PLAIN'>AGp1bGlldABwZW5jaWw=</auth>"), "{sent}");
    for end in [End::Client, End::Server] {
        let sent = core::str::from_utf8(pair.sent(end)).unwrap();
        assert!(!sent.contains("> <") && !sent.contains(">\n"), "{sent}");
    }
}

/// What one end has sent: one list of elements for each stream, the header first.
fn streams(pair: &Pair, end: End) -> Vec<Vec<Element>> {
    let bytes = pair.sent(end);
    let text = core::str::from_utf8(bytes).unwrap();
    let mut streams = Vec::new();
    for stream in text.split("<?xml version='1.0'?>").skip(1) {
        let mut reader = Reader::new(XmlLimits::STANZA);
        let mut input = stream.as_bytes();
        let mut elements = Vec::new();
        while let Some(token) = reader.read(&mut input).unwrap() {
            match token {
                Token::Header => elements.push(reader.header().to_owned()),
                Token::Element => elements.push(reader.element().to_owned()),
                Token::End => break,
                Token::Refused(error) => panic!("{error}"),
            }
        }
        streams.push(elements);
    }
    streams
}

fn names(elements: &[Element]) -> Vec<String> {
    elements.iter().map(|element| element.root().name().to_owned()).collect()
}

// RFC 6120 §4.3, §13.3 [N1] [N2] [N7] [N12] [N14] [N15] [H9]
// RFC 6120 §15 tls-support tls-restart sasl-support sasl-mtn sasl-restart bind-support bind-mtn bind-restart
// RFC 6120 §15 stream-negotiation-features stream-negotiation-restart stream-negotiation-complete
#[test]
fn the_order_of_things() {
    let pair = negotiated();
    let client: Vec<_> = streams(&pair, End::Client).iter().map(|stream| names(stream)).collect();
    assert_eq!(
        client,
        [vec!["stream", "starttls"], vec!["stream", "auth", "response"], vec!["stream", "iq"]]
            .map(|stream| stream.into_iter().map(String::from).collect::<Vec<_>>())
    );
    let server = streams(&pair, End::Server);
    assert_eq!(names(&server[0]), ["stream", "features", "proceed"]);
    assert_eq!(names(&server[1]), ["stream", "features", "challenge", "success"]);
    // No restart after binding: the result is in the same stream.
    assert_eq!(names(&server[2]), ["stream", "features", "iq"]);
    // What is offered: TLS and nothing else; SASL and no TLS; binding and no SASL.
    let offers = |stream: &[Element], name: &str, ns: &str| stream[1].root().child(name, ns).is_some();
    for (stream, (tls, sasl, bind)) in
        server.iter().zip([(true, false, false), (false, true, false), (false, false, true)])
    {
        assert_eq!(offers(stream, "starttls", ns::TLS), tls);
        assert_eq!(offers(stream, "mechanisms", ns::SASL), sasl);
        assert_eq!(offers(stream, "bind", ns::BIND), bind);
    }
    let ids: Vec<_> = server.iter().map(|stream| stream[0].root().attr("id").unwrap().to_owned()).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
}

// RFC 6120 §4.7 [H1] [H3] [H5] [H6] [H8] [H9] [H10] [H11] [H12]
// RFC 6120 §15 stream-attribute-initial-from stream-attribute-initial-lang stream-attribute-initial-to
// RFC 6120 §15 stream-attribute-response-from stream-attribute-response-id stream-attribute-response-to
#[test]
fn the_attributes_of_headers() {
    let pair = negotiated();
    for (number, stream) in streams(&pair, End::Client).iter().enumerate() {
        let header = stream[0].root();
        // Who we are is for protected eyes only.
        assert_eq!(header.attr("from"), (number > 0).then_some("juliet@example.com"));
        assert_eq!(header.attr("to"), Some("example.com"));
        assert_eq!((header.attr("version"), header.attr("id")), (Some("1.0"), None));
        assert_eq!(header.language(), Some("it"));
    }
    for (number, stream) in streams(&pair, End::Server).iter().enumerate() {
        let header = stream[0].root();
        assert_eq!(header.attr("from"), Some("example.com"));
        // Only to those who said who they are.
        assert_eq!(header.attr("to"), (number > 0).then_some("juliet@example.com"));
        assert_eq!(header.attr("version"), Some("1.0"));
        // The server has no Italian, so it is the default (section 4.7.4).
        assert_eq!(header.language(), Some("en"));
    }
}

// RFC 6120 §4.8, §11 [X2] [X6] [X7] [X9]
// RFC 6120 §15 xml-namespace-content-client xml-namespace-streams-declaration xml-namespace-streams-prefix
// RFC 6120 §15 xml-restriction-comment xml-restriction-dtd xml-restriction-pi xml-restriction-ref
// RFC 6120 §15 xml-wellformed-xml xml-wellformed-ns
#[test]
fn what_is_written_is_restricted_xml() {
    let mut pair = negotiated();
    const BODY: Name = Name::from_static("body");
    let text = "<!-- no comment --> <?pi?> <!DOCTYPE x> &nbsp; ]]>";
    let stanza = Stanza::message(MessageType::Chat).with_child(Element::new(BODY, ns::CLIENT).text(text));
    pair.send_stanza(End::Client, &stanza);
    pair.send_stanza(End::Server, &stanza);
    pair.run();
    for end in [End::Client, End::Server] {
        // That the reader takes it shows that it is well-formed and that nothing forbidden is in it.
        let streams = streams(&pair, end);
        for stream in &streams {
            assert!(stream[0].root().is("stream", ns::STREAM));
            assert_eq!(stream[0].root().prefix(), "stream");
            for element in &stream[1..] {
                let element = element.root();
                assert_eq!(element.prefix(), if element.namespace() == ns::STREAM { "stream" } else { "" });
            }
        }
        let body = streams[2].last().unwrap().root().child("body", ns::CLIENT).unwrap().text().into_owned();
        assert_eq!(body, text);
        let bytes = pair.sent(end);
        assert!(
            bytes.starts_with(b"<?xml version='1.0'?>") && !bytes.windows(10).any(|w| w == b"standalone")
        );
    }
}

// RFC 6120 §13.8 security-mti-auth-scram security-mti-both-scram security-mti-both-plain, §13.8.3, RFC 7677 [SC17]
// RFC 4616, RFC 6120 §13.8.3 [PL1] [PL2]
#[test]
fn mandatory_mechanisms() {
    for mechanism in &Mechanism::for_every_account() {
        let mut pair = pair(TlsPolicy::Required, |client| client.mechanisms = vec![*mechanism]);
        pair.run();
        assert!(pair.client.is_open() && pair.server.is_open(), "{}", mechanism.name());
    }
    // PLAIN is the last resort, and nothing without TLS.
    let offered =
        streams(&negotiated(), End::Server)[1][1].root().child("mechanisms", ns::SASL).unwrap().to_owned();
    let offered: Vec<_> = offered.root().children().map(|child| child.text().into_owned()).collect();
    assert_eq!(offered.last().map(String::as_str), Some("PLAIN"));
    let mut pair = pair(TlsPolicy::None, |_| {});
    pair.run();
    assert!(pair.client.is_open());
    let sent = core::str::from_utf8(pair.sent(End::Server)).unwrap();
    assert!(sent.contains("<mechanism>SCRAM-SHA-1</mechanism>"));
    assert!(!sent.contains("PLAIN") && !sent.contains("-PLUS"), "{sent}");
}

// RFC 6120 §8 [ST1] [ST3] [ST9]
// RFC 6120 §15 stanza-kind-message stanza-kind-presence stanza-kind-iq stanza-attribute-to stanza-attribute-from
// RFC 6120 §15 stanza-attribute-id stanza-attribute-type stanza-attribute-xmllang
#[test]
fn stanzas_of_every_kind_with_every_attribute() {
    let mut pair = negotiated();
    let kinds = [
        Stanza::message(MessageType::Headline),
        Stanza::presence(PresenceType::Unavailable),
        Stanza::iq(IqType::Get).with_child(balcony_xep::ping::Ping.to_element()),
    ];
    for stanza in kinds {
        let mut stanza = stanza
            .with_to("romeo@example.com/garden".parse().unwrap())
            .with_id("id<&>'\"")
            .with_from("juliet@example.com".parse().unwrap());
        stanza.head.lang = Some("cs".into());
        pair.send_stanza(End::Client, &stanza);
        pair.run();
        // At the server's end the sender is the one that has logged in (section 8.1.2.1).
        let mut wire = Vec::new();
        stanza.with_from("juliet@example.com/balcony".parse().unwrap()).write(&mut wire);
        let wire = String::from_utf8(wire).unwrap();
        assert!(pair.happened(End::Server).contains(&balcony_sim::Happened::Event(wire)));
    }
}
