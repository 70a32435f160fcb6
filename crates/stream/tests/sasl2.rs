//! The initiating end with SASL2 and Bind 2 (XEP-0388, XEP-0386).

#![allow(clippy::unwrap_used)]

mod common;

use core::time::Duration;

use balcony_machine::{Instant, Progress};
use balcony_sasl::{Mechanism, SaslCondition};
use balcony_stanza::StreamCondition;
use balcony_stream::client::ClientEvent;
use balcony_stream::{Error, TlsPolicy};
use common::{BIND, BOUND, CLOSE, Client, HEADER, Scram, data, features, mechanisms};

const INLINE_BIND: &str = "<inline><bind xmlns='urn:xmpp:bind:0'/></inline>";
const IDENTIFIER: &str = "<authorization-identifier>juliet@example.com/balcony.7</authorization-identifier>";
const INLINE_BOUND: &str = "<bound xmlns='urn:xmpp:bind:0'/>";

/// SASL2 with these mechanisms and whatever else.
fn sasl2(names: &[&str], content: &str) -> String {
    let names: String = names.iter().map(|name| format!("<mechanism>{name}</mechanism>")).collect();
    format!("<authentication xmlns='urn:xmpp:sasl:2'>{names}{content}</authentication>")
}

fn success(content: &str) -> String {
    format!("<success xmlns='urn:xmpp:sasl:2'>{content}</success>")
}

/// A client that leaves the resource to the server, and has been offered PLAIN.
fn offered() -> Client {
    let mut client = Client::secured(None, |config| config.resource = None);
    client.feed(&[HEADER, &features(&sasl2(&["PLAIN"], INLINE_BIND))].concat());
    client
}

// XEP-0388 1.0.4 §2.2, §2.6.1 [SL16] [SL26], XEP-0386 1.1.0 §3.2, §4 [BI3] [BI19]: the tag is the name of the program, nothing of its owner's.
#[test]
fn login_and_resource_at_once() {
    let mut client = offered();
    assert!(client.output().ends_with(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABwZW5jaWw=</initial-response>\
         <bind xmlns='urn:xmpp:bind:0'><tag>balcony</tag></bind></authenticate>"
    ));
    // No restart, and features that have nothing more to say.
    assert_eq!(client.feed(&(success(&format!("{IDENTIFIER}{INLINE_BOUND}")) + &features(""))), "");
    assert_eq!(client.stream.jid().unwrap().as_str(), "juliet@example.com/balcony.7");
    assert!(client.stream.is_open() && client.events.len() == 2, "{:?}", client.events);
    client.feed("<message/>");
    assert_eq!(client.stanzas.len(), 1);
}

// XEP-0388 1.0.4 §4.2
#[test]
fn the_installation_names_itself() {
    let mut client = Client::secured(None, |config| config.agent = Some("d4565fa7'".into()));
    client.feed(&[HEADER, &features(&sasl2(&["PLAIN"], INLINE_BIND))].concat());
    assert!(
        client.output().contains("</initial-response><user-agent id='d4565fa7&apos;'/>"),
        "{}",
        client.output()
    );
    assert!(!offered().output().contains("user-agent"));
    for (software, device, wanted) in [
        (Some("Echo <1.0>"), None, "<software>Echo &lt;1.0&gt;</software>"),
        (None, Some("balcony & garden"), "<device>balcony &amp; garden</device>"),
        (Some("Echo"), Some("balcony"), "<software>Echo</software><device>balcony</device>"),
    ] {
        let of = |text: Option<&str>| text.map(String::from);
        let mut client = Client::secured(None, |config| {
            (config.agent, config.software, config.device) = (Some("1".into()), of(software), of(device));
        });
        client.feed(&[HEADER, &features(&sasl2(&["PLAIN"], INLINE_BIND))].concat());
        let output = client.output();
        assert!(output.contains(&format!("<user-agent id='1'>{wanted}</user-agent>")), "{output}");
    }
    // Without an installation there is nothing to show in a list.
    let mut client = Client::secured(None, |config| config.software = Some("Echo".into()));
    client.feed(&[HEADER, &features(&sasl2(&["PLAIN"], INLINE_BIND))].concat());
    assert!(!client.output().contains("Echo"));
}

// XEP-0388 1.0.4, XEP-0386 [BI21]: without Bind 2, or with a resource of our own choice, binding is as ever.
#[test]
fn login_and_then_a_resource() {
    for (wish, content) in [(Some("balcony"), INLINE_BIND), (None, "")] {
        let mut client = Client::secured(None, |config| config.resource = wish.map(String::from));
        client.feed(&[HEADER, &features(&sasl2(&["PLAIN"], content))].concat());
        assert!(!client.output().contains("urn:xmpp:bind:0"));
        assert_eq!(
            client.feed(&success("<authorization-identifier>juliet@example.com</authorization-identifier>")),
            ""
        );
        assert!(client.feed(BIND).contains("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'"));
        client.feed(BOUND);
        assert!(client.stream.is_open());
    }
}

// XEP-0388 1.0.4 §2.3 [SL9]: its list is its own.
#[test]
fn the_mechanism_is_one_of_the_list_that_is_used() {
    let offer = format!("{}{}", mechanisms(&["SCRAM-SHA-256", "PLAIN"]), sasl2(&["SCRAM-SHA-1"], ""));
    let mut client = Client::at(&[HEADER]);
    assert!(
        client
            .feed(&features(&offer))
            .starts_with("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'>")
    );
    let mut client = Client::secured(None, |config| config.sasl2 = false);
    client.feed(HEADER);
    assert!(
        client
            .feed(&features(&offer))
            .contains("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>")
    );
}

// XEP-0388 1.0.4: on protected streams only.
#[test]
fn never_without_tls() {
    let mut client = Client::new(TlsPolicy::None);
    client.feed(HEADER);
    assert_eq!(client.feed(&features(&sasl2(&["SCRAM-SHA-256"], ""))), CLOSE);
    assert_eq!(client.failure(), Error::NoMechanism);
}

// RFC 5802 §5 [SC9], XEP-0388 §2.6.1 [SL23]: in this profile too.
#[test]
fn the_server_proves_itself() {
    for (proof, proven) in [("", false), ("<additional-data>dj0=</additional-data>", false), ("PROOF", true)]
    {
        let mut client = Client::secured(None, |config| config.resource = None);
        client.feed(HEADER);
        let authenticate = client.feed(&features(&sasl2(&["SCRAM-SHA-256"], INLINE_BIND)));
        let mut scram = Scram::new(Mechanism::ScramSha256, None, false);
        let challenge = scram.challenge(&data(&authenticate, "initial-response"));
        let in_profile = |name: &str, data: &[u8]| {
            common::sasl(name, data).replace("urn:ietf:params:xml:ns:xmpp-sasl", "urn:xmpp:sasl:2")
        };
        let response = client.feed(&in_profile("challenge", &challenge));
        let data = in_profile("additional-data", &scram.success(&data(&response, "response")));
        client.feed(&success(&format!("{}{IDENTIFIER}{INLINE_BOUND}", proof.replace("PROOF", &data))));
        match proven {
            true => {
                // XEP-0388 1.0.4: the features that follow belong to the negotiation.
                assert!(!client.stream.is_open());
                client.feed(&features("<ver xmlns='urn:xmpp:features:rosterver'/>"));
                assert!(client.stream.is_open());
                assert!(client.stream.features().roster_versions && !client.stream.features().pre_approval);
            }
            false => assert_eq!((client.failure(), client.events.len()), (Error::ServerNotAuthentic, 0)),
        }
    }
}

// XEP-0388 1.0.4 §2.4, §2.5 [SL17] [SL20]: an answer for each challenge, and nothing else until the end, whatever the owner wants and
// however long it takes. Then the wait is over, and so is the stream.
#[test]
fn nothing_else_is_said_during_an_exchange() {
    let mut client = Client::secured(None, |config| config.resource = None);
    client.feed(HEADER);
    let authenticate = client.feed(&features(&sasl2(&["SCRAM-SHA-256"], INLINE_BIND)));
    assert!(authenticate.starts_with("<authenticate ") && authenticate.ends_with("</authenticate>"));
    let silent = |client: &mut Client| {
        let message = balcony_stanza::Stanza::message(balcony_stanza::MessageType::Chat);
        assert!(client.stream.send(&message, &mut client.out).is_err());
        let due = client.stream.deadline().unwrap().at.saturating_since(Instant::ZERO);
        client.now = Instant::ZERO + (due - Duration::from_millis(1));
        assert_eq!(client.feed(" \n"), "");
    };
    silent(&mut client);
    let mut scram = Scram::new(Mechanism::ScramSha256, None, false);
    let challenge = scram.challenge(&data(&authenticate, "initial-response"));
    let challenge =
        common::sasl("challenge", &challenge).replace("urn:ietf:params:xml:ns:xmpp-sasl", "urn:xmpp:sasl:2");
    let response = client.feed(&challenge);
    assert!(
        response.starts_with("<response xmlns='urn:xmpp:sasl:2'>") && response.matches('<').count() == 2,
        "{response}"
    );
    silent(&mut client);
    client.now = client.stream.deadline().unwrap().at;
    client.feed("");
    assert_eq!(client.error(), StreamCondition::ConnectionTimeout);
}

// XEP-0388 1.0.4 §2.6.2, §4.5 [SL27] [SL34]
#[test]
fn failures() {
    let mut client = offered();
    client.feed(
        "<failure xmlns='urn:xmpp:sasl:2'><account-disabled xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\
         <text>Ask the nurse</text></failure>",
    );
    assert_eq!(
        client.failure(),
        Error::Authentication(SaslCondition::AccountDisabled, Some("Ask the nurse".into()))
    );
    // The server may give up as well.
    let mut client = offered();
    client.feed(
        "<failure xmlns='urn:xmpp:sasl:2'><aborted xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\
         <x xmlns='urn:x'/></failure>",
    );
    assert_eq!(client.failure(), Error::Authentication(SaslCondition::Aborted, None));
    // A resource that nobody can have.
    for identifier in ["", "<authorization-identifier>juliet@example.com</authorization-identifier>"] {
        let mut client = offered();
        client.feed(&success(&format!("{identifier}{INLINE_BOUND}")));
        assert_eq!(client.error(), StreamCondition::UndefinedCondition);
    }
}

/// Between the success and the resource that came with it the owner may change its mind.
#[test]
fn a_close_between_login_and_resource() {
    let mut client = offered();
    let bytes = success(&format!("{IDENTIFIER}{INLINE_BOUND}"));
    let mut input = bytes.as_bytes();
    let progress = client.stream.advance(client.now, &mut input, &mut client.out).unwrap();
    assert!(matches!(progress, Progress::Event(ClientEvent::Authenticated { .. })), "{progress:?}");
    client.stream.close(client.now, &mut client.out);
    assert_eq!(client.feed("<message/>"), "");
    assert_eq!((client.ended.clone(), client.stanzas.len()), (None, 0));
    client.feed(CLOSE);
    assert_eq!(client.ended, Some(Ok(())));
}
