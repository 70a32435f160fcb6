//! SASL2 at the server (XEP-0388), under the bytes of a scripted client.
#![allow(clippy::unwrap_used, reason = "tests")]

mod scripted;

use std::sync::Arc;

use balcony_machine::{Instant, Secret, Seed};
use balcony_sasl::Credentials;
use balcony_stanza::StreamCondition;
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerStreamConfig};
use balcony_stream::{ServerStream, TlsPolicy};
use scripted::End;

type Server = End<balcony_stream::server::Server>;

/// `\0juliet\0pencil`
const JULIET: &str = "AGp1bGlldABwZW5jaWw=";
const SCRAM: &str = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'>\
                     <initial-response>biwsbj1qdWxpZXQscj1hYmNkZWY=</initial-response></authenticate>";
const AUTH: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABwZW5jaWw=</auth>";

fn header(from: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream {from} to='example.com' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    )
}

/// It has had this header.
fn server(from: &str) -> Server {
    let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
    config.tls = TlsPolicy::Direct;
    let mut server =
        End::new(ServerStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO)).secured(&[]);
    server.feed(&header(from));
    server
}

fn plain(response: &str) -> String {
    format!("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>{response}</authenticate>")
}

/// Sends this; the password is the right one, and so are the keys. What comes back.
fn says(server: &mut Server, text: &str) -> String {
    let mut said = server.feed(text);
    while let Some((_, ask)) = server.asks.first() {
        let answer = match ask {
            ServerAsk::Verify { .. } => ServerAnswer::Verified(Some([7; 16].into())),
            ServerAsk::Credentials { hash, .. } => {
                let all = Credentials::derive("pencil", &[7; 16], 4096).unwrap();
                ServerAnswer::Credentials(Some(all.get(*hash).unwrap().clone()))
            }
            _ => ServerAnswer::Unavailable,
        };
        said += &server.answer(answer);
    }
    said
}

fn failed(said: &str, condition: &str) -> bool {
    said.contains(&format!(
        "<failure xmlns='urn:xmpp:sasl:2'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
    ))
}

// [SL4] [SL7]: whom the header names is of the domain that it is to; whether there is such an account does not show.
#[test]
fn the_header_names_somebody_of_its_domain() {
    for from in ["from='juliet@example.org'", "from='example.org'", "from='juliet@mail.example.com'"] {
        let server = server(from);
        assert_eq!(server.error(), StreamCondition::InvalidFrom, "{from}");
    }
    let offer = |from: &str| {
        let output = server(from).output();
        output.split_once("<stream:features>").unwrap().1.to_owned()
    };
    let all = ["", "from='juliet@example.com'", "from='nobody@EXAMPLE.com/balcony'", "from='example.com'"];
    for from in all {
        assert_eq!(offer(from), offer(""), "{from}");
    }
}

// [SL11]: who is to be logged in is the one whom the header names, however that is written.
#[test]
fn the_header_and_the_login_name_the_same() {
    // Each with an identity to act as: `juliet@example.com`, `JULIET@EXAMPLE.com`, `romeo@example.com`, none.
    let juliet = "anVsaWV0QGV4YW1wbGUuY29tAGp1bGlldABwZW5jaWw=";
    let loud = "SlVMSUVUQEVYQU1QTEUuY29tAGp1bGlldABwZW5jaWw=";
    let romeo = "cm9tZW9AZXhhbXBsZS5jb20AanVsaWV0AHBlbmNpbA==";
    for from in ["", "from='juliet@example.com'", "from='Juliet@EXAMPLE.com'"] {
        for response in [juliet, loud, JULIET] {
            let said =
                says(&mut server(from), &plain(&format!("<initial-response>{response}</initial-response>")));
            let identity = "<authorization-identifier>juliet@example.com</authorization-identifier>";
            assert!(said.contains(identity), "{from} {response}: {said}");
        }
        let said = says(&mut server(from), &plain(&format!("<initial-response>{romeo}</initial-response>")));
        assert!(failed(&said, "invalid-authzid"), "{from}: {said}");
    }
    for response in [juliet, JULIET] {
        let mut server = server("from='romeo@example.com'");
        let said = says(&mut server, &plain(&format!("<initial-response>{response}</initial-response>")));
        assert!(!said.contains("<success"), "{said}");
        assert_eq!(server.error(), StreamCondition::InvalidFrom);
    }
}

// [SL15] [SL16]: data is base64 without anything between; none is no element, empty data is an empty one, and `=` is neither.
#[test]
fn data_is_written_in_one_way() {
    let wrong = [
        "AGp1bGlldABw ZW5jaWw=",
        "AGp1bGlldABw\nZW5jaWw=",
        " AGp1bGlldABwZW5jaWw=",
        "AGp1bGlldABwZW5jaWw= ",
        "=",
    ];
    for data in wrong {
        let mut server = server("");
        let said = says(&mut server, &plain(&format!("<initial-response>{data}</initial-response>")));
        assert!(failed(&said, "incorrect-encoding"), "{data:?}: {said}");
        // The stream goes on.
        assert!(
            says(&mut server, &plain(&format!("<initial-response>{JULIET}</initial-response>")))
                .contains("<success")
        );
        // As an answer.
        let mut server = self::server("");
        server.feed(&plain(""));
        let said = says(&mut server, &format!("<response xmlns='urn:xmpp:sasl:2'>{data}</response>"));
        assert!(failed(&said, "incorrect-encoding"), "{data:?}: {said}");
    }
    // Without an initial response the server asks for it.
    let mut server = server("");
    assert_eq!(server.feed(&plain("")), "<challenge xmlns='urn:xmpp:sasl:2'/>");
    let said = says(&mut server, &format!("<response xmlns='urn:xmpp:sasl:2'>{JULIET}</response>"));
    assert!(said.starts_with("<success ") && !said.contains("<additional-data"), "{said}");
    // Empty data is data: PLAIN has more to say.
    for empty in ["<initial-response/>", "<initial-response></initial-response>"] {
        assert!(failed(&says(&mut self::server(""), &plain(empty)), "malformed-request"), "{empty}");
    }
    let challenge = says(&mut self::server(""), SCRAM);
    let data = challenge.strip_prefix("<challenge xmlns='urn:xmpp:sasl:2'>").unwrap();
    let data = data.strip_suffix("</challenge>").unwrap();
    assert!(
        data.len() > 60 && data.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
    );
}

// [SL18]: nothing else comes during an exchange, not even white space.
#[test]
fn nothing_else_comes_during_an_exchange() {
    let others = [
        " ",
        "\n",
        "\r\n\t",
        "<message/>",
        "<iq type='get' id='i'/>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<next xmlns='urn:xmpp:sasl:2'/>",
    ];
    for other in others {
        let mut server = server("");
        assert!(says(&mut server, SCRAM).starts_with("<challenge "));
        let said = server.feed(other);
        assert!(server.ended.is_some(), "{other:?}: {said}");
        let expected = match other.starts_with('<') {
            true => StreamCondition::NotAuthorized,
            false => StreamCondition::PolicyViolation,
        };
        assert_eq!(server.error(), expected, "{other:?}");
        // Before and after it white space is as harmless as anywhere.
        let mut server = self::server("");
        server.feed(" ");
        assert!(
            says(&mut server, &plain(&format!("<initial-response>{JULIET}</initial-response>")))
                .contains("<success")
        );
        assert_eq!(server.feed(" "), "");
        assert!(server.ended.is_none());
    }
}

// [SL39]: both profiles are on offer, and each login is by one of them; after it there is none.
#[test]
fn one_profile_logs_in() {
    let offer = server("").output();
    assert!(offer.contains("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"), "{offer}");
    assert!(offer.contains("<authentication xmlns='urn:xmpp:sasl:2'>"), "{offer}");
    let sasl2 = plain(&format!("<initial-response>{JULIET}</initial-response>"));
    for second in [AUTH, sasl2.as_str()] {
        let mut server = server("");
        assert!(says(&mut server, &sasl2).contains("<success xmlns='urn:xmpp:sasl:2'>"));
        let said = says(&mut server, second);
        assert!(server.ended.is_some() && !said.contains("<success"), "{said}");
        let mut server = self::server("");
        assert!(says(&mut server, AUTH).contains("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"));
        server.feed(&header(""));
        let said = says(&mut server, second);
        assert!(server.ended.is_some() && !said.contains("<success"), "{said}");
    }
    // During one there is none of the other.
    let mut server = server("");
    says(&mut server, SCRAM);
    says(&mut server, AUTH);
    assert_eq!(server.error(), StreamCondition::PolicyViolation);
}

// [BI2]: what comes with SASL2 is on offer only inside of it; who logs in by the older profile binds as ever.
#[test]
fn the_resource_comes_with_sasl2_only() {
    let offer = server("").output();
    let (before, rest) = offer.split_once("<authentication xmlns='urn:xmpp:sasl:2'>").unwrap();
    let (inside, after) = rest.split_once("</authentication>").unwrap();
    assert!(inside.contains("urn:xmpp:bind:0") && !before.contains("urn:xmpp:bind:0"), "{offer}");
    assert!(!after.contains("urn:xmpp:bind:0"), "{offer}");
    let mut server = server("");
    says(&mut server, AUTH);
    let features = server.feed(&header(""));
    assert!(features.contains("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"), "{features}");
    assert!(!features.contains("urn:xmpp:bind:0") && !features.contains("urn:xmpp:sasl:2"), "{features}");
    // Without TLS there is no SASL2, and so no resource with it.
    let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
    config.tls = TlsPolicy::Optional;
    let mut server = End::new(ServerStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO));
    let offer = server.feed(&header(""));
    assert!(!offer.contains("urn:xmpp:bind:0") && offer.contains("<mechanisms "), "{offer}");
}
