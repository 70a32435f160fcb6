//! A client's bytes, good and bad, against the receiving end of a stream.

#![allow(clippy::unwrap_used)]

use core::time::Duration;
use std::sync::Arc;

use balcony_machine::{Instant, On, Progress, Secret, Seed};
use balcony_sim::Accounts;
use balcony_stanza::{Stanza, StreamCondition};
use balcony_stream::client::{ClientEvent, ClientStreamConfig};
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent, ServerStreamConfig};
use balcony_stream::{ClientStream, Error, Security, ServerStream, TlsPolicy};
use balcony_xml::Element;

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";
const PLAIN: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABwZW5jaWw=</auth>";
const PLAIN_AND_BIND: &str = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
     <initial-response>AGp1bGlldABwZW5jaWw=</initial-response><bind xmlns='urn:xmpp:bind:0'/></authenticate>";
const WRONG: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABjcmF5b24=</auth>";
const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                    <resource>balcony</resource></bind></iq>";

/// The server's end, with everything that came out of it.
struct Server {
    stream: ServerStream,
    accounts: Accounts,
    now: Instant,
    out: Vec<u8>,
    stanzas: Vec<Stanza>,
    ended: Option<Result<(), Error>>,
}

impl Server {
    fn new(tls: TlsPolicy) -> Self {
        Server::with(|config| config.tls = tls)
    }

    fn with(change: impl FnOnce(&mut ServerStreamConfig)) -> Self {
        let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
        change(&mut config);
        Server {
            stream: ServerStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO),
            accounts: Accounts::new().with("juliet@example.com", "pencil"),
            now: Instant::ZERO,
            out: Vec::new(),
            stanzas: Vec::new(),
            ended: None,
        }
    }

    /// As far as bytes on TLS, where everything but STARTTLS is offered.
    fn secured() -> Self {
        let mut server = Server::new(TlsPolicy::Direct);
        server.stream.secured(Security::default()).unwrap();
        server
    }

    fn bound() -> Self {
        let mut server = Server::secured();
        server.feed(&[HEADER, PLAIN, HEADER, BIND].concat());
        assert!(server.stream.is_open(), "{}", server.output());
        server.out.clear();
        server
    }

    /// Feeds bytes, and returns what came back for them.
    fn feed(&mut self, text: &str) -> String {
        self.feed_bytes(text.as_bytes())
    }

    fn feed_bytes(&mut self, mut input: &[u8]) -> String {
        let before = self.out.len();
        loop {
            match self.stream.advance(self.now, &mut input, &mut self.out) {
                Ok(Progress::Event(ServerEvent::Ask(ticket, ask))) => {
                    let answer = self.accounts.answer(*ask);
                    self.stream.answer(ticket, answer).unwrap();
                }
                Ok(Progress::Event(ServerEvent::Stanza(stanza))) => self.stanzas.push(*stanza),
                Ok(Progress::Event(_)) => {}
                Ok(Progress::NeedInput | Progress::Blocked(_)) => break,
                Ok(Progress::Closed) => {
                    self.ended = Some(Ok(()));
                    break;
                }
                Err(error) => {
                    self.ended = Some(Err(error));
                    break;
                }
            }
        }
        String::from_utf8(self.out[before..].to_vec()).unwrap()
    }

    fn output(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    /// The stream error that ended the stream; on the wire it comes after our header and before our closing tag.
    fn error(&self) -> StreamCondition {
        let Some(Err(Error::Local(error))) = &self.ended else {
            panic!("{:?} {}", self.ended, self.output())
        };
        let output = self.output();
        let on_wire = format!("<{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", error.condition);
        assert!(output.contains(&on_wire), "{output}");
        assert!(output.ends_with("</stream:error></stream:stream>"), "{output}");
        error.condition
    }
}

fn refused(bytes: &[u8]) -> StreamCondition {
    let mut server = Server::secured();
    server.feed_bytes(bytes);
    assert!(
        server.output().starts_with("<?xml version='1.0'?><stream:stream from='example.com'"),
        "{}",
        server.output()
    );
    server.error()
}

fn header(attributes: &str) -> String {
    format!("<stream:stream {attributes} xmlns:stream='http://etherx.jabber.org/streams'>")
}

// RFC 6120 §4.9.1.2 [W8], §11 [X1] [X3] [X4] [X5], §4.9.3.18
#[test]
fn what_is_no_xmpp_gets_the_error_the_rfc_names() {
    let cases: [(&[u8], StreamCondition); 13] = [
        (b"GET / HTTP/1.1\r\n\r\n", StreamCondition::NotWellFormed),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", StreamCondition::NotWellFormed),
        (b"<stream:stream <", StreamCondition::NotWellFormed),
        (b"<stream:stream xmlns='jabber:client'>", StreamCondition::NotWellFormed),
        (b"<!DOCTYPE html><html>", StreamCondition::RestrictedXml),
        (b"<!-- hello -->", StreamCondition::RestrictedXml),
        (b"<?php echo ?>", StreamCondition::RestrictedXml),
        ("<a>".as_bytes(), StreamCondition::InvalidNamespace),
        (b"<stream xmlns='jabber:client'>", StreamCondition::InvalidNamespace),
        (b"<stream:stream to='example.com' version='1.0' xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>", StreamCondition::InvalidNamespace),
        (b"<stream:stream to='example.com' version='1.0' xmlns='jabber:client' xmlns:stream='http://example.com/'>", StreamCondition::InvalidNamespace),
        (b"<?xml version='1.0' encoding='latin1'?>", StreamCondition::UnsupportedEncoding),
        (b"<stream:stream to='\xff'>", StreamCondition::UnsupportedEncoding),
    ];
    for (bytes, condition) in cases {
        assert_eq!(refused(bytes), condition, "{}", String::from_utf8_lossy(bytes));
    }
}

// RFC 6120 §4.7 [H3] [H4] [H13] [H14] [H15], §4.9.3.6, §4.9.3.9, §4.9.3.25
// RFC 7622 §4 [JE1]: addresses of streams
#[test]
fn headers_that_cannot_be_served() {
    let cases = [
        ("to='example.org' version='1.0' xmlns='jabber:client'", StreamCondition::HostUnknown),
        ("to='no body@' version='1.0' xmlns='jabber:client'", StreamCondition::HostUnknown),
        ("to='juliet@example.com' version='1.0' xmlns='jabber:client'", StreamCondition::HostUnknown),
        ("to='example.com' xmlns='jabber:client'", StreamCondition::UnsupportedVersion),
        ("to='example.com' version='0.9' xmlns='jabber:client'", StreamCondition::UnsupportedVersion),
        ("to='example.com' version='one' xmlns='jabber:client'", StreamCondition::UnsupportedVersion),
        ("to='example.com' from='@' version='1.0' xmlns='jabber:client'", StreamCondition::InvalidFrom),
    ];
    for (attributes, condition) in cases {
        assert_eq!(refused(header(attributes).as_bytes()), condition, "{attributes}");
    }
}

// RFC 6120 §4.7.5 [H13] [H16], §4.7.2 [H17]
#[test]
fn headers_that_can() {
    for attributes in [
        "to='example.com' version='1.0'",
        "to='EXAMPLE.com.' version='01.00'",
        "to='example.com' version='1.7'",
        "to='example.com' version='12.3'",
        "version='1.0'",
        "to='example.com' from='juliet@example.com' id='ignored' version='1.0' xml:lang='it'",
    ] {
        let mut server = Server::secured();
        let answer = server.feed(&header(&format!("{attributes} xmlns='jabber:client'")));
        assert!(
            answer.contains(" version='1.0'") && answer.contains("<mechanisms"),
            "{attributes}: {answer}"
        );
        assert_eq!(answer.contains("to='juliet@example.com'"), attributes.contains("juliet"), "{answer}");
    }
}

// RFC 6120 §4.7.2 [H6]: what the client said, its full JID as well, though the RFC has it send the bare one: who sends the full
// one looks for nothing else in the answer, and leaves
#[test]
fn the_answer_to_a_header_echoes_from_as_it_was_sent() {
    for (from, echoed) in [
        ("juliet@example.com", true),
        ("juliet@example.com/balcony", true),
        ("Juliet@EXAMPLE.com/Balc&apos;ony", true),
        ("example.com", true),
        ("@", false),
    ] {
        let header = header(&format!("to='example.com' from='{from}' version='1.0' xmlns='jabber:client'"));
        let answer = Server::secured().feed(&header);
        assert_eq!(answer.contains(&format!(" from='example.com' to='{from}' id='")), echoed, "{answer}");
        assert_eq!(answer.contains(" to='"), echoed, "{answer}");
    }
    // The stream after the login as well, which is the account's whatever resource it names.
    let again =
        header("to='example.com' from='juliet@example.com/balcony' version='1.0' xmlns='jabber:client'");
    let mut server = Server::secured();
    server.feed(&[&*again, PLAIN].concat());
    let answer = server.feed(&again);
    assert!(answer.contains(" to='juliet@example.com/balcony' ") && answer.contains("<bind "), "{answer}");
}

// RFC 6120 §11.1: the header of a restart where there is none
#[test]
fn a_header_too_many_is_told_of_its_declaration() {
    let mut server = Server::secured();
    server.feed(&[HEADER, HEADER].concat());
    assert_eq!(server.error(), StreamCondition::RestrictedXml);
    assert!(
        server.output().contains("an XML declaration that is not at the beginning of a stream"),
        "{}",
        server.output()
    );
}

// RFC 6120 §15 stream-attribute-response-id-unique
#[test]
fn every_header_has_a_new_id() {
    let mut server = Server::secured();
    let answers = server.feed(&[HEADER, PLAIN, HEADER].concat());
    let ids: Vec<_> = answers.split(" id='").skip(1).map(|rest| rest.split('\'').next().unwrap()).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1] && ids[0].len() >= 22, "{ids:?}");
}

// RFC 6120 §11 [X11], §13.12, §4.9.3.14: bounded before authentication, in every way of being too much.
#[test]
fn too_much_before_authentication() {
    let long = "x".repeat(1 << 20);
    let attributes: String = (0..200_000).map(|n| format!(" a{n}=''")).collect();
    for (what, bytes) in [
        ("a header of one MiB", format!("<stream:stream to='{long}")),
        ("a start tag without end", format!("{HEADER}<auth{}", " ".repeat(1 << 20))),
        ("200,000 attributes", format!("{HEADER}<auth{attributes}/>")),
        ("one MiB of text", format!("{HEADER}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{long}")),
        ("100,000 levels", format!("{HEADER}{}", "<a>".repeat(100_000))),
        ("a long name", format!("{HEADER}<{long}")),
    ] {
        assert_eq!(refused(bytes.as_bytes()), StreamCondition::PolicyViolation, "{what}");
    }
}

// RFC 6120 §4.9.3.14, §13.12: and after it.
#[test]
fn too_much_after_authentication() {
    let long = "x".repeat(300_000);
    for bytes in [
        format!("<message><body>{long}</body></message>"),
        format!("<message>{}", "<a>".repeat(100_000)),
        // Not a stanza: nobody knows whom to tell.
        format!("<a>{}{}</a>", "<a>".repeat(256), "</a>".repeat(256)),
        // Somebody has to be told, and it is not known who.
        format!("<message{}/>", (0..65).map(|n| format!(" a{n}=''")).collect::<String>()),
    ] {
        let mut server = Server::bound();
        server.feed(&bytes);
        assert_eq!(server.error(), StreamCondition::PolicyViolation);
        assert!(server.stanzas.is_empty());
    }
    // RFC 6120 §13.12: ten thousand bytes must be possible.
    let mut server = Server::bound();
    server.feed(&format!("<message><body>{}</body></message>", "x".repeat(10_000)));
    assert_eq!(server.stanzas.len(), 1);
}

// RFC 6120 §4.9.3.12 [N16]
#[test]
fn nothing_is_processed_before_authentication() {
    for stanza in
        ["<message to='romeo@example.com'><body>hi</body></message>", "<presence/>", BIND, "<other/>"]
    {
        let mut server = Server::secured();
        server.feed(HEADER);
        server.feed(stanza);
        assert_eq!(server.error(), StreamCondition::NotAuthorized, "{stanza}");
        assert!(server.stanzas.is_empty());
    }
}

// RFC 6120 §7.1 [N16], §15 bind-mtn
#[test]
fn nothing_is_processed_before_a_resource_is_bound() {
    for stanza in ["<message to='romeo@example.com'><body>hi</body></message>", "<presence/>", "<other/>"] {
        let mut server = Server::secured();
        server.feed(&[HEADER, PLAIN, HEADER, stanza].concat());
        assert_eq!(server.error(), StreamCondition::NotAuthorized, "{stanza}");
        assert!(server.stanzas.is_empty());
    }
}

// RFC 6120 §5.3.1 [N8] [N9], §6.5.4, §15 tls-mtn
#[test]
fn tls_comes_first() {
    let mut server = Server::new(TlsPolicy::Required);
    let features = server.feed(HEADER);
    assert!(features.ends_with(
        "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
    ));
    // In the profile of whoever asked (XEP-0388 §2.6.3).
    let sasl2 = PLAIN
        .replace("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'", "<authenticate xmlns='urn:xmpp:sasl:2'");
    let sasl2 = sasl2
        .replace("'PLAIN'>", "'PLAIN'><initial-response>")
        .replace("</auth>", "</initial-response></authenticate>");
    for (auth, failure) in [
        (PLAIN, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><encryption-required/>"),
        (
            &*sasl2,
            "<failure xmlns='urn:xmpp:sasl:2'><encryption-required xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        ),
        (PLAIN, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><encryption-required/>"),
    ] {
        let answer = server.feed(auth);
        assert!(answer.contains(failure), "{answer}");
        assert!(server.ended.is_none());
    }
}

// RFC 6120 §5.4.3.3 [N13]: what is slipped in behind <starttls/> is TLS's input, never ours.
#[test]
fn plaintext_behind_starttls_is_not_ours() {
    let mut server = Server::new(TlsPolicy::Required);
    let bytes = format!("{HEADER}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{PLAIN}");
    let mut input = bytes.as_bytes();
    let mut events = Vec::new();
    loop {
        match server.stream.advance(server.now, &mut input, &mut server.out).unwrap() {
            Progress::Event(event) => events.push(event),
            Progress::Blocked(On::Tls) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(events[..], [ServerEvent::StartTls]));
    assert_eq!(input, PLAIN.as_bytes());
    assert!(server.output().ends_with("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
    // After the handshake nothing of the old stream counts (§5.4.3.3 [N12]).
    server.stream.secured(Security::default()).unwrap();
    let answer = server.feed(HEADER);
    assert!(answer.contains("<mechanism>PLAIN</mechanism>") && !answer.contains("starttls"), "{answer}");
}

// RFC 6120 §5.4.2.2 [N10]: what was not offered, and what is no such command
#[test]
fn starttls_that_was_not_offered_or_is_malformed() {
    const EMPTY: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    for (tls, command) in [
        (TlsPolicy::Direct, EMPTY),
        (TlsPolicy::Required, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"),
        (TlsPolicy::Required, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>now</starttls>"),
    ] {
        let mut server = if tls == TlsPolicy::Direct { Server::secured() } else { Server::new(tls) };
        server.feed(HEADER);
        let answer = server.feed(command);
        assert_eq!(answer, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>", "{command}");
        // In the words of this end: here nobody wanted TLS of a server that has none.
        assert_eq!(server.ended, Some(Err(Error::TlsNotOffered)));
        assert!(!Error::TlsNotOffered.to_string().contains("server"));
    }
}

// RFC 6120 §6.5 sasl-errors [S4] [S7] [S8]
#[test]
fn sasl_errors() {
    let auth = |mechanism: &str, data: &str| {
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{data}</auth>")
    };
    let cases = [
        (auth("LOGIN", "="), "invalid-mechanism"),
        ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".into(), "invalid-mechanism"),
        (auth("SCRAM-SHA-256-PLUS", "="), "invalid-mechanism"),
        (auth("PLAIN", "no base64!"), "incorrect-encoding"),
        (auth("PLAIN", "AGE"), "incorrect-encoding"),
        (auth("PLAIN", "AGp1bGlldABwZW5jaWx="), "incorrect-encoding"),
        (auth("PLAIN", "anVsaWV0"), "malformed-request"),
        (auth("SCRAM-SHA-1", "anVsaWV0"), "malformed-request"),
        (auth("PLAIN", "cm9tZW9AZXhhbXBsZS5jb20AanVsaWV0AHBlbmNpbA=="), "invalid-authzid"),
        (WRONG.into(), "not-authorized"),
        (auth("PLAIN", "AG5vYm9keQBwZW5jaWw="), "not-authorized"),
        (auth("PLAIN", "AG5vIGJvZHkAcGVuY2ls"), "not-authorized"),
        (auth("SCRAM-SHA-1", "") + "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "aborted"),
    ];
    for (bytes, condition) in cases {
        let mut server = Server::secured();
        server.feed(HEADER);
        let answer = server.feed(&bytes);
        let expected = format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/>");
        assert!(answer.contains(&expected), "{bytes}: {answer}");
        // And the stream goes on: the right password is still taken (§6.4.5).
        assert!(server.feed(PLAIN).contains("<success"), "{bytes}");
    }
}

// XEP-0388 §2.4, §4.5 [SL18] [SL34]: during an exchange of SASL2 there is nothing but its answers, and no change from one profile to the other. In
// the older one a client may begin anew (RFC 6120 §6.4.2).
#[test]
fn an_exchange_is_not_left_for_another_one() {
    const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biwsbj1qdWxpZXQscj1hYmNkZWY=</auth>";
    const AUTHENTICATE: &str = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'>\
         <initial-response>biwsbj1qdWxpZXQscj1hYmNkZWY=</initial-response></authenticate>";
    const PLAIN2: &str = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
         <initial-response>AGp1bGlldABwZW5jaWw=</initial-response></authenticate>";
    for (first, second, goes_on) in [
        (AUTH, PLAIN, true),
        (AUTH, PLAIN2, false),
        (AUTHENTICATE, PLAIN, false),
        (AUTHENTICATE, PLAIN2, false),
        (AUTHENTICATE, AUTHENTICATE, false),
    ] {
        let mut server = Server::secured();
        server.feed(HEADER);
        assert!(server.feed(first).starts_with("<challenge"), "{first}");
        let answer = server.feed(second);
        assert_eq!(answer.contains("<success"), goes_on, "{first} {second} {answer}");
        if !goes_on {
            assert_eq!(server.error(), StreamCondition::PolicyViolation);
        }
    }
    // Who gives it up may begin anew in either.
    for second in [PLAIN, PLAIN2] {
        let mut server = Server::secured();
        server.feed(HEADER);
        server.feed(AUTHENTICATE);
        assert!(server.feed("<abort xmlns='urn:xmpp:sasl:2'/>").contains("<aborted "));
        assert!(server.feed(second).contains("<success"), "{second}");
    }
}

// RFC 6120 §6.4.4 [S11]
#[test]
fn five_wrong_passwords_end_the_stream() {
    let mut server = Server::secured();
    server.feed(HEADER);
    for attempt in 1..=4 {
        let answer = server.feed(WRONG);
        assert!(
            answer.contains("<not-authorized/>") && server.ended.is_none(),
            "attempt {attempt}: {answer}"
        );
    }
    assert!(server.feed(WRONG).contains("<not-authorized/>"));
    assert_eq!(server.error(), StreamCondition::PolicyViolation);
}

// RFC 5802 §6, RFC 6120 §6.4.4 [S11]: a client that tries types of channel binding has not guessed at a password, and hears what was
// wrong. But it can't go on for ever.
#[test]
fn channel_bindings_that_do_not_fit_are_no_wrong_passwords() {
    use base64::Engine as _;
    for (mechanism, first, text) in [
        // A type that is not known.
        (
            "SCRAM-SHA-256-PLUS",
            "p=tls-unique,,n=juliet,r=abcdefgh",
            "type of channel binding is not supported",
        ),
        // The client thinks that there is none here.
        ("SCRAM-SHA-256", "y,,n=juliet,r=abcdefgh", "somebody may have hidden it"),
    ] {
        let first = base64::engine::general_purpose::STANDARD.encode(first);
        let auth =
            format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{first}</auth>");
        let mut server = Server::new(TlsPolicy::Direct);
        server.stream.secured(Security::new(Some([1; 32]))).unwrap();
        server.feed(HEADER);
        for _ in 0..4 {
            let answer = server.feed(&auth);
            assert!(answer.contains("<not-authorized/>") && answer.contains(text), "{answer}");
            assert!(!server.feed(WRONG).contains("channel binding"));
        }
        assert!(server.ended.is_none(), "{first}");
        server.feed(&auth);
        assert_eq!(server.error(), StreamCondition::PolicyViolation);
        // Nor is it one of the five: whoever knows the password still gets in behind four of these.
        let mut server = Server::new(TlsPolicy::Direct);
        server.stream.secured(Security::new(Some([1; 32]))).unwrap();
        server.feed(HEADER);
        for _ in 0..4 {
            server.feed(&auth);
        }
        assert!(server.feed(PLAIN).contains("<success"));
    }
}

// rfc6120.md [SC14]: clients of TLS 1.2 know tls-unique, which is not here: what can't work is not offered, and the rest works.
#[test]
fn no_channel_binding_before_tls_1_3() {
    let mut server = Server::new(TlsPolicy::Direct);
    let security = Security::new(Some([1; 32])).with_end_point(Some(vec![2; 32])).with_version(Some(0x0303));
    server.stream.secured(security).unwrap();
    let features = server.feed(HEADER);
    assert!(features.contains("SCRAM-SHA-256<") && !features.contains("-PLUS"), "{features}");
    assert!(!features.contains("sasl-channel-binding"));
    assert!(server.feed(PLAIN).contains("<success"));
}

// RFC 5802 §2.2, RFC 4616 §2 [PL4]: however the client has prepared the password.
#[test]
fn passwords_are_prepared() {
    use base64::Engine as _;
    for typed in ["m²", "m2", "m\u{AD}²", "ｍ２"] {
        let mut server = Server::secured();
        server.accounts = Accounts::new().with("juliet@example.com", "m²");
        let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0juliet\0{typed}"));
        let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>");
        let answer = server.feed(&[HEADER, &auth].concat());
        assert!(answer.contains("<success"), "{typed}: {answer}");
    }
}

// RFC 6120 §6.5.10 [S16]: an unknown user looks like a wrong password, byte for byte.
#[test]
fn unknown_users_look_like_wrong_passwords() {
    let dialogue = |user: &str| {
        use base64::Engine as _;
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let mut server = Server::secured();
        server.feed(HEADER);
        let challenge = server.feed(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>{}</auth>",
            base64(&format!("n,,n={user},r=abc"))
        ));
        let data = challenge.split('>').nth(1).unwrap().split('<').next().unwrap();
        let first =
            String::from_utf8(base64::engine::general_purpose::STANDARD.decode(data).unwrap()).unwrap();
        let fields: Vec<_> = first.split(',').collect();
        let proof = base64(&[7; 32].map(char::from).iter().collect::<String>());
        let last = server.feed(&format!(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>",
            base64(&format!("c=biws,{},p={proof}", fields[0]))
        ));
        (fields[1].len(), fields[1].to_owned(), last)
    };
    let known = dialogue("juliet");
    let unknown = dialogue("nobody");
    assert_eq!((known.0, &known.2), (unknown.0, &unknown.2));
    // The made-up salt is the same every time, and another for another name.
    assert_eq!(unknown.1, dialogue("nobody").1);
    assert_ne!(unknown.1, dialogue("anybody").1);
}

// RFC 6120 §6.4.6 sasl-correlate [S13]; without a client certificate that is all there is to correlate
#[test]
fn the_header_and_the_login_name_the_same_account() {
    let mut server = Server::secured();
    server.feed(&header("from='romeo@example.com' to='example.com' version='1.0' xmlns='jabber:client'"));
    server.feed(PLAIN);
    assert_eq!(server.error(), StreamCondition::InvalidFrom);
}

// RFC 6120 §7.6 bind-gen [B1] [B2] [B8]
#[test]
fn binding() {
    let mut server = Server::secured();
    let answer = server.feed(&[HEADER, PLAIN, HEADER].concat());
    assert!(
        answer.contains("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
            && !answer.ends_with("</mechanisms>")
    );
    let answer = server.feed("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    assert_eq!(
        answer,
        "<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>juliet@example.com/made-by-the-server</jid></bind></iq>"
    );
}

// RFC 6121 §2.6.1, §3.4.1 [PA1], XEP-0388 1.0.4: whichever way a client logs in, it learns what rosters can do here.
#[test]
fn rosters_are_announced() {
    const ROSTERS: &str = "<ver xmlns='urn:xmpp:features:rosterver'/><sub xmlns='urn:xmpp:features:pre-approval'/></stream:features>";
    let mut server = Server::secured();
    let before = server.feed(HEADER);
    assert!(!before.contains("urn:xmpp:features:"), "{before}");
    let after = [server.feed(PLAIN), server.feed(HEADER)].concat();
    assert!(after.contains("<bind ") && after.ends_with(ROSTERS), "{after}");

    let mut server = Server::secured();
    let after = server.feed(&[HEADER, PLAIN_AND_BIND].concat());
    assert!(server.stream.is_open(), "{after}");
    assert!(after.ends_with(&format!("</success><stream:features>{ROSTERS}")), "{after}");
}

// RFC 6120 §7.7.2.2 [B5] [B7]
#[test]
fn a_second_bind_is_refused_and_many_end_the_stream() {
    let mut server = Server::bound();
    let answer = server.feed(BIND);
    assert!(answer.starts_with("<iq type='error' id='b'><error type='cancel'><not-allowed"), "{answer}");
    assert!(server.ended.is_none() && server.stanzas.is_empty());
    for _ in 0..4 {
        server.feed(BIND);
    }
    assert_eq!(server.error(), StreamCondition::PolicyViolation);
}

// RFC 6120 §7.7.2.1 [B3] [B7]
// RFC 7622 §4 [JE1]: resources to be bound
#[test]
fn unusable_resources_are_refused_a_few_times() {
    let mut server = Server::secured();
    server.feed(&[HEADER, PLAIN, HEADER].concat());
    let bad = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>\u{9}</resource></bind></iq>";
    for _ in 0..4 {
        assert!(server.feed(bad).contains("<bad-request"));
        assert!(server.ended.is_none());
    }
    server.feed(bad);
    assert_eq!(server.error(), StreamCondition::PolicyViolation);
}

// RFC 6120 §8.1.2.1 stanza-attribute-from-stamp [ST4]
#[test]
fn from_is_stamped() {
    let mut server = Server::bound();
    server.feed(
        "<message to='a@b'/><message from='juliet@example.com'/><message from='juliet@example.com/balcony'/>\
         <presence type='subscribe' to='a@b'/><presence/>",
    );
    let from: Vec<_> = server.stanzas.iter().map(|s| s.head.from.as_ref().unwrap().as_str()).collect();
    let full = "juliet@example.com/balcony";
    assert_eq!(from, [full, full, full, "juliet@example.com", full]);
}

// RFC 6120 §4.9.3.9 [ST5]
#[test]
fn a_wrong_from_ends_the_stream() {
    for from in ["romeo@example.com", "juliet@example.com/other", "example.com"] {
        let mut server = Server::bound();
        server.feed(&format!("<message from='{from}' to='a@b'/>"));
        assert_eq!(server.error(), StreamCondition::InvalidFrom, "{from}");
        assert!(server.stanzas.is_empty());
    }
}

// RFC 6120 §4.7.4 [H18]
#[test]
fn the_stream_language_is_added_to_stanzas_without_one() {
    let mut server = Server::secured();
    let header = header("to='example.com' version='1.0' xml:lang='it' xmlns='jabber:client'");
    server.feed(&[&header, PLAIN, &header, BIND].map(|part: &str| part).concat());
    server.feed("<message/><message xml:lang='de'/>");
    let langs: Vec<_> = server.stanzas.iter().map(|s| s.head.lang.as_deref().unwrap()).collect();
    assert_eq!(langs, ["it", "de"]);
}

// RFC 5646 §2.1: it is to be added to every stanza, so it has to be a language.
#[test]
fn a_header_without_a_language_tag_names_no_language() {
    let long = ["en"; 30].join("-");
    let quotes = "\"".repeat(4_000);
    let cases = [
        ("de-Latn-DE-1996", true),
        ("x", true),
        ("", false),
        ("en_GB", false),
        ("a-b-", false),
        ("123456789", false),
    ];
    for (lang, is_one) in cases.into_iter().chain([(&*long, false), (&*quotes, false)]) {
        let mut server = Server::secured();
        let header =
            header(&format!("to='example.com' version='1.0' xml:lang='{lang}' xmlns='jabber:client'"));
        server.feed(&[&header, PLAIN, &header, BIND, "<message/>"].concat());
        let [message] = &server.stanzas[..] else { panic!("{lang}") };
        assert_eq!(message.head.lang.as_deref(), is_one.then_some(lang));
    }
}

// RFC 6120 §8.3.1 stanza-error-reply, §8.2.3 stanza-iq-child stanza-iq-id stanza-iq-type, RFC 7622 §4 [JE2]
// RFC 7622 §4 [JE1]: addresses of stanzas
#[test]
fn invalid_stanzas_get_an_error_and_the_stream_goes_on() {
    let cases = [
        ("<iq type='get' id='1'/>", Some("bad-request")),
        ("<iq type='get' id='1'><a xmlns='x'/><b xmlns='x'/></iq>", Some("bad-request")),
        ("<iq type='get'><a xmlns='x'/></iq>", Some("bad-request")),
        ("<iq type='order' id='1'><a xmlns='x'/></iq>", Some("bad-request")),
        ("<iq id='1'><a xmlns='x'/></iq>", Some("bad-request")),
        ("<presence type='available'/>", Some("bad-request")),
        ("<message to='@'/>", Some("jid-malformed")),
        ("<iq type='error' to='@' id='1'/>", None),
        ("<message type='error' to='a b@c'/>", None),
    ];
    for (bytes, condition) in cases {
        let mut server = Server::bound();
        let answer = server.feed(bytes);
        match condition {
            Some(condition) => assert!(answer.contains(&format!("<{condition} ")), "{bytes}: {answer}"),
            None => assert_eq!(answer, "", "{bytes}"),
        }
        assert_eq!(answer.contains(" id='1'"), condition.is_some() && bytes.contains("id='1'"));
        server.feed("<message/>");
        assert!(server.ended.is_none() && server.stanzas.len() == 1, "{bytes}");
    }
}

// RFC 6120 §8.2.3 stanza-iq-child: white space around it is no child, and its prefix is nobody's business.
#[test]
fn a_child_may_be_written_in_many_ways() {
    let mut server = Server::bound();
    let query = "<v:query xmlns:v='jabber:iq:version'/>";
    assert_eq!(server.feed(&format!("<iq type='get' id='1' to='example.com'>\n\t{query}\r\n</iq>")), "");
    assert_eq!(server.stanzas.len(), 1);
    let content = server.stanzas[0].payload.parse().unwrap();
    assert!(content.root().child("query", "jabber:iq:version").is_some());
}

// RFC 6120 §8.3.3.12, §13.12 [X11]: where the reader can go on, only the stanza is refused.
#[test]
fn a_stanza_with_too_much_in_it_gets_an_error_and_the_stream_goes_on() {
    let nested = |levels| format!("{}{}", "<x xmlns='u'>".repeat(levels), "</x>".repeat(levels));
    let attributes: String = (0..65).map(|n| format!(" a{n}=''")).collect();
    let reply =
        "<message from='romeo@example.com' type='error' id='1'><error type='modify'><policy-violation ";
    for content in [nested(256), "<a/>".repeat(10_000), format!("<a{attributes}/>")] {
        let mut server = Server::bound();
        let answer = server.feed(&format!("<message to='romeo@example.com' id='1'>{content}</message>"));
        assert!(answer.starts_with(reply), "{answer}");
        assert!(!answer.contains(&content));
        // An error is never answered.
        let silence = format!("<message to='romeo@example.com' type='error'>{content}</message>");
        assert_eq!(server.feed(&silence), "");
        assert!(server.stanzas.is_empty());
        server.feed(&format!("<message>{}</message>", nested(255)));
        assert!(server.ended.is_none() && server.stanzas.len() == 1);
        // After our closing tag nothing is answered.
        server.stream.close(server.now, &mut server.out);
        server.out.clear();
        assert_eq!(server.feed(&format!("<message id='1'>{content}</message>")), "");
        server.feed("<message/>");
        assert_eq!(server.stanzas.len(), 2);
    }
}

// RFC 6120 §11.4, XML §2.8: nothing stands before an XML declaration; but behind the last element of the stream before.
#[test]
fn white_space_before_the_declaration() {
    for bytes in [format!(" {HEADER}"), format!("\r\n{HEADER}")] {
        assert_eq!(refused(bytes.as_bytes()), StreamCondition::NotWellFormed);
    }
    let mut server = Server::secured();
    server.feed(&[HEADER, PLAIN, "\n", HEADER, "\n", BIND, "\n<message/>\n"].concat());
    assert!(server.ended.is_none() && server.stanzas.len() == 1);
}

// RFC 6120 §8 [X10]: a part of a stanza is nothing.
#[test]
fn a_stanza_counts_when_it_is_whole() {
    let mut server = Server::bound();
    let stanza = "<message to='romeo@example.com'><body>hi</body></message>";
    for (at, byte) in stanza.char_indices() {
        assert!(server.stanzas.is_empty(), "after {at} bytes");
        server.feed(byte.encode_utf8(&mut [0; 4]));
    }
    assert_eq!((server.stanzas.len(), server.output().as_str()), (1, ""));
    // What is cut off never was.
    server.feed("<message to='romeo@example.com'><body>");
    assert!(server.stream.eof(server.now, &mut server.out).is_err());
    assert_eq!(server.stanzas.len(), 1);
}

// RFC 6120 §4.9.1, §4.9.3 stream-error-generate: the error, the closing tag, and then nothing.
#[test]
fn after_a_stream_error_nothing_follows() {
    let mut server = Server::bound();
    server.feed("<order xmlns='urn:example'/><message/>");
    assert_eq!(server.error(), StreamCondition::UnsupportedStanzaType);
    let said = server.output();
    server.feed("<message/><iq type='get' id='1'/>");
    assert_eq!((server.output(), server.stanzas.len()), (said, 0));
}

// RFC 6120 §4.9.3.24
#[test]
fn other_first_level_elements_end_the_stream() {
    let mut server = Server::bound();
    server.feed("<order xmlns='urn:example'/>");
    assert_eq!(server.error(), StreamCondition::UnsupportedStanzaType);
}

// RFC 6120 §4.4 [W5]
#[test]
fn closing_from_either_side() {
    let mut server = Server::bound();
    assert_eq!(server.feed("<message/></stream:stream>"), "</stream:stream>");
    assert_eq!((server.ended.clone(), server.stanzas.len()), (Some(Ok(())), 1));

    let mut server = Server::bound();
    server.stream.close(server.now, &mut server.out);
    assert_eq!(server.output(), "</stream:stream>");
    // What was on its way is still taken, and nothing is sent any more.
    server.feed("<message/><iq type='get' id='1'/></stream:stream>");
    assert_eq!((server.output().as_str(), server.stanzas.len()), ("</stream:stream>", 1));
    assert_eq!(server.ended, Some(Ok(())));
}

// RFC 6120 §4.4 [W5]: the wait for the peer's closing tag is bounded.
#[test]
fn a_peer_that_never_closes() {
    let mut server = Server::bound();
    server.stream.close(server.now, &mut server.out);
    server.now = server.stream.deadline().unwrap().at;
    server.feed("");
    assert_eq!(server.ended, Some(Ok(())));
}

// RFC 6120 §4.9.1.1 [W7] [W9]
#[test]
fn a_stream_error_of_the_peer_closes_ours() {
    let mut server = Server::bound();
    let answer = server.feed("<stream:error xmlns:stream='http://etherx.jabber.org/streams'><made-up xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
    assert_eq!(answer, "</stream:stream>");
    assert!(
        matches!(&server.ended, Some(Err(Error::Remote(error))) if error.condition == StreamCondition::UndefinedCondition)
    );
}

// RFC 6120 §4.6, §4.9.3.4 [W3] [W4]
#[test]
fn silence_before_negotiation_is_over() {
    // A peer that has said nothing was asked nothing.
    let mut server = Server::secured();
    let deadline = server.stream.deadline().unwrap();
    assert_eq!(deadline.at.saturating_since(Instant::ZERO), Duration::from_secs(60));
    server.now = deadline.at;
    server.feed("");
    assert_eq!(server.error(), StreamCondition::PolicyViolation);

    let mut server = Server::secured();
    server.feed(HEADER);
    server.now = server.stream.deadline().unwrap().at;
    server.feed("");
    assert_eq!(server.error(), StreamCondition::ConnectionTimeout);
}

// The same in each phase up to the bound resource: all of them together have a minute, however often the peer says a little.
#[test]
fn silence_in_each_phase_before_the_resource() {
    let scram = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'><initial-response>biwsbj1qdWxpZXQscj14\
                 </initial-response></authenticate>";
    let bind = &BIND[..40];
    for said in [
        &[HEADER][..],
        &[HEADER, "<auth xmlns='urn:ietf:params"],
        &[HEADER, scram],
        &[HEADER, PLAIN],
        &[HEADER, PLAIN, HEADER],
        &[HEADER, PLAIN, HEADER, bind],
    ] {
        let mut server = Server::secured();
        server.feed(&said.concat());
        assert!(!server.stream.is_open(), "{said:?}");
        // As far as white space may stand there.
        for seconds in [20, 40] {
            server.now = Instant::ZERO + Duration::from_secs(seconds);
            server.feed(if said == [HEADER, scram] { "" } else { " " });
        }
        let at = server.stream.deadline().unwrap().at;
        assert!(at <= Instant::ZERO + Duration::from_secs(60), "{said:?}: {at:?}");
        server.now = Instant::ZERO + Duration::from_secs(60);
        server.feed("");
        // Who has not begun the stream, or begun it anew, was asked nothing.
        let (is_asked, error) = (said != [HEADER, PLAIN], server.error());
        let expected =
            if is_asked { StreamCondition::ConnectionTimeout } else { StreamCondition::PolicyViolation };
        assert_eq!(error, expected, "{said:?}");
    }
}

// RFC 6120 §4.6.1 [W3] [W4]
#[test]
fn an_idle_peer_is_asked_and_then_dropped() {
    let mut server = Server::bound();
    server.now = server.stream.deadline().unwrap().at;
    let ping = server.feed("");
    assert!(ping.contains("<ping xmlns='urn:xmpp:ping'/>"), "{ping}");
    // Any sign of life will do, white space too (§4.6.1).
    server.feed(" ");
    server.now = server.stream.deadline().unwrap().at;
    assert!(server.feed("").contains("<ping"));
    server.now = server.stream.deadline().unwrap().at;
    server.feed("");
    assert_eq!(server.error(), StreamCondition::ConnectionTimeout);
}

// rfc6120.md [W1]
#[test]
fn white_space_between_elements_is_nothing() {
    let mut server = Server::secured();
    server.feed(&[HEADER, "\n", PLAIN, "\n", HEADER, "\n\t ", BIND, " "].concat());
    assert!(server.stream.is_open(), "{}", server.output());
}

// RFC 6120 §4.8 [X6], prefixes and quotes as clients like them.
#[test]
fn other_ways_to_write_the_same_header() {
    for header in [
        "<stream:stream\n\tversion=\"1.0\"\n\txmlns:stream=\"http://etherx.jabber.org/streams\"\n\txmlns=\"jabber:client\"\n\tto=\"example.com\"\n>",
        "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' to='example.com' version='1.0'>",
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<stream:stream to='example.com' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
    ] {
        let mut server = Server::secured();
        server.feed(&[header, PLAIN, header, BIND].concat());
        assert!(server.stream.is_open(), "{header}: {}", server.output());
    }
}

// habits.md: every ask is answered once or expires.
#[test]
fn an_ask_that_is_not_answered_expires() {
    let mut server = Server::secured();
    let bytes = [HEADER, PLAIN].concat();
    let mut input = bytes.as_bytes();
    let progress = server.stream.advance(server.now, &mut input, &mut server.out).unwrap();
    let Progress::Event(ServerEvent::Ask(ticket, _)) = progress else { panic!("{progress:?}") };
    // Input waits meanwhile.
    let mut more = HEADER.as_bytes();
    let progress = server.stream.advance(server.now, &mut more, &mut server.out).unwrap();
    assert!(matches!(progress, Progress::Blocked(On::Answer)) && more.len() == HEADER.len());
    server.now = server.stream.deadline().unwrap().at;
    // RFC 6120 §6.5.11
    assert!(server.feed("").contains("<temporary-auth-failure/>"));
    assert!(server.stream.answer(ticket, ServerAnswer::Verified(Some([7; 16].into()))).is_err());
}

/// A stream on which accounts are registered.
fn registering() -> Server {
    let mut server = Server::with(|config| {
        config.tls = TlsPolicy::Direct;
        config.registration = true;
    });
    server.stream.secured(Security::default()).unwrap();
    assert!(server.feed(HEADER).contains("<register xmlns='http://jabber.org/features/iq-register'/>"));
    server
}

// XEP-0077 2.4 §3.1
#[test]
fn registration_before_login() {
    let mut server = registering();
    let form =
        server.feed("<iq type='get' id='r1' to='example.com'><query xmlns='jabber:iq:register'/></iq>");
    assert!(form.contains("<username/>") && form.contains("<password/>"), "{form}");
    let set = |user: &str, password: &str| {
        format!(
            "<iq type='set' id='r2'><query xmlns='jabber:iq:register'><username>{user}</username>\
             <password>{password}</password></query></iq>"
        )
    };
    assert!(server.feed(&set("nurse", "")).contains("<not-acceptable"));
    assert!(server.feed(&set("n u r s e", "x")).contains("<jid-malformed"));
    assert!(server.feed(&set("juliet", "x")).contains("<conflict"));
    assert_eq!(server.feed(&set("nurse", "susan")), "<iq type='result' id='r2'/>");
    // As many as the owner lets pass.
    assert_eq!(server.feed(&set("peter", "x")), "<iq type='result' id='r2'/>");
    // §3.2: an account is ended by who has logged in to it.
    let query = |content: &str| {
        format!("<iq type='set' id='r3'><query xmlns='jabber:iq:register'>{content}</query></iq>")
    };
    let fields = "<username>nurse</username><password>susan</password>";
    assert!(server.feed(&query("<remove/>")).contains("<unexpected-request"));
    assert!(server.feed(&query(&format!("<remove/>{fields}"))).contains("<bad-request"));
    // Nor is one made of it.
    let new = "<username>paris</username><password>x</password>";
    for content in [format!("<remove/>{new}"), format!("{new}<remove/>")] {
        assert!(server.feed(&query(&content)).contains("<bad-request"), "{content}");
    }
    // `\0paris\0x`
    let login = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHBhcmlzAHg=</auth>";
    assert!(server.feed(login).contains("<not-authorized"));
    assert_eq!(server.feed(&set("paris", "x")), "<iq type='result' id='r2'/>");
    for double in ["<username>peter</username>", "<password>x</password>"] {
        assert!(server.feed(&query(&format!("{fields}{double}"))).contains("<bad-request"));
    }
    let login = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AG51cnNlAHN1c2Fu</auth>";
    assert!(server.feed(login).contains("<success"));

    // RFC 6120 §4.9.3.12, §8.1.2.1: who registers speaks to the domain of its stream, whose answer comes from what it called it.
    for (to, from) in [("example.com", "example.com"), ("EXAMPLE.com", "example.com")] {
        let mut server = registering();
        let to = |stanza: &str| stanza.replacen("<iq ", &format!("<iq to='{to}' "), 1);
        let form = server.feed(&to("<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>"));
        assert!(form.contains(&format!("from='{from}'")) && form.contains("<username/>"), "{form}");
        let made = server.feed(&to(&set("nurse", "susan")));
        assert!(made.contains("type='result'") && made.contains(&format!("from='{from}'")), "{made}");
        let taken = server.feed(&to(&set("juliet", "x")));
        assert!(taken.contains("<conflict") && taken.contains(&format!("from='{from}'")), "{taken}");
    }
    for to in ["second.example", "gmail.example", "juliet@example.com", "example.com/x"] {
        for request in
            [set("nurse", "susan"), "<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>".into()]
        {
            let mut server = registering();
            server.feed(&request.replacen("<iq ", &format!("<iq to='{to}' "), 1));
            assert_eq!(server.error(), StreamCondition::NotAuthorized, "{to}");
            assert!(server.accounts.credentials(&"nurse@example.com".parse().unwrap()).is_none());
        }
    }

    // Without permission there is no such thing.
    let mut server = Server::secured();
    assert!(!server.feed(HEADER).contains("iq-register"));
    server.feed(&set("nurse", "susan"));
    assert_eq!(server.error(), StreamCondition::NotAuthorized);
}

// XEP-0077 2.4 §14: whoever looks for names that are taken gets as many tries on a stream as whoever guesses at passwords.
#[test]
fn failed_registrations_end_the_stream() {
    let set = |user: &str| {
        format!(
            "<iq type='set' id='r2'><query xmlns='jabber:iq:register'><username>{user}</username>\
             <password>x</password></query></iq>"
        )
    };
    let mut server = registering();
    for number in 1..=5 {
        // What is made in between is no failure, nor what says nothing of accounts.
        assert!(server.feed(&set(&format!("nurse{number}"))).contains("type='result'"));
        assert!(server.feed(&set("n u r s e")).contains("<jid-malformed"));
        assert!(server.feed(&set("juliet")).contains("<conflict"), "{number}");
        assert_eq!(server.ended.is_some(), number == 5);
    }
    assert_eq!(server.error(), StreamCondition::PolicyViolation);
    assert!(server.output().contains("too many failed registrations"));
}

// XEP-0440 1.0.0 §2, §3 [CB1] [CB2], XEP-0388 §2.1 [SL6], rfc6120.md [SC15]: every server has tls-server-end-point, announces what it has, and takes either
#[test]
fn the_types_of_channel_binding() {
    const LIST: &str = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>";
    let (exporter, end_point) = (Some([1; 32]), Some(vec![2; 32]));
    for (security, types) in [
        (
            Security::new(exporter).with_end_point(end_point.clone()),
            &["tls-exporter", "tls-server-end-point"][..],
        ),
        (Security::new(None).with_end_point(end_point.clone()), &["tls-server-end-point"]),
        (Security::new(exporter), &["tls-exporter"]),
        (Security::default(), &[]),
    ] {
        let mut server = Server::new(TlsPolicy::Direct);
        server.stream.secured(security).unwrap();
        let features = server.feed(HEADER);
        let types: String = types.iter().map(|name| format!("<channel-binding type='{name}'/>")).collect();
        assert_eq!(features.contains(&format!("{LIST}{types}</sasl-channel-binding>")), !types.is_empty());
        assert_eq!(features.contains("-PLUS"), !types.is_empty());
    }
    // Types without mechanisms that use them would look like an attack.
    let mut server = Server::with(|config| {
        config.tls = TlsPolicy::Direct;
        config.mechanisms.retain(|mechanism| !mechanism.is_plus());
    });
    server.stream.secured(Security::new(exporter).with_end_point(end_point.clone())).unwrap();
    assert!(!server.feed(HEADER).contains(LIST));

    for (theirs, works) in [(vec![2; 32], true), (vec![3; 32], false)] {
        let mut server = Server::new(TlsPolicy::Direct);
        server.stream.secured(Security::new(exporter).with_end_point(end_point.clone())).unwrap();
        let mut config =
            ClientStreamConfig::new("juliet@example.com".parse().unwrap(), Secret::new("pencil".into()));
        config.tls = TlsPolicy::Direct;
        let mut client = ClientStream::new(Arc::new(config), Seed::from_u64(2), Instant::ZERO);
        client.secured(Security::new(None).with_end_point(Some(theirs))).unwrap();
        let (mut input, mut bound) = (String::new(), false);
        loop {
            let (mut rest, mut out) = (input.as_bytes(), Vec::new());
            let ended = loop {
                match client.advance(Instant::ZERO, &mut rest, &mut out) {
                    Ok(Progress::Event(ClientEvent::Ask(ticket, ask))) => {
                        client.answer(ticket, server.accounts.answer(ask)).unwrap();
                    }
                    Ok(Progress::Event(ClientEvent::Bound(_))) => bound = true,
                    Ok(Progress::Event(_)) => {}
                    Ok(_) => break false,
                    Err(_) => break true,
                }
            };
            if out.is_empty() || ended {
                break;
            }
            input = server.feed(core::str::from_utf8(&out).unwrap());
        }
        assert_eq!(bound, works, "{}", server.output());
    }
}

// XEP-0386 1.1.0 §3.2.1 [BI8] [BI9] [BI10] [BI11] [BI12], XEP-0388 1.0.4 §4.2: an installation keeps its resource, and nobody learns what it
// calls itself
#[test]
fn the_resource_of_an_installation() {
    let resource = |agent: &str, tag: &str, decoy: u8| {
        let mut config =
            ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([decoy; 32]));
        config.tls = TlsPolicy::Direct;
        let mut server = Server::new(TlsPolicy::Direct);
        server.stream = ServerStream::new(Arc::new(config), Seed::from_u64(u64::from(decoy)), Instant::ZERO);
        server.stream.secured(Security::default()).unwrap();
        let agent = if agent.is_empty() { String::new() } else { format!("<user-agent id='{agent}'/>") };
        let tag = if tag.is_empty() { String::new() } else { format!("<tag>{tag}</tag>") };
        let login = format!(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABwZW5jaWw=\
             </initial-response>{agent}<bind xmlns='urn:xmpp:bind:0'>{tag}</bind></authenticate>"
        );
        let told = server.feed(&format!("{HEADER}{login}"));
        let jid = server.stream.jid().unwrap();
        // Its account ends at the first slash.
        assert_eq!(
            (jid.bare_str(), jid.as_str().split_once('/').unwrap().1),
            ("juliet@example.com", jid.resourcepart())
        );
        let bound = format!(
            "<authorization-identifier>{jid}</authorization-identifier><bound xmlns='urn:xmpp:bind:0'/></success>"
        );
        assert!(told.contains(&bound), "{told}");
        jid.resourcepart().to_owned()
    };
    let phone = resource("4f5a", "phone", 1);
    assert!(phone.starts_with("phone/") && phone.len() >= 16 && !phone.contains("4f5a"), "{phone}");
    assert_eq!(phone, resource("4f5a", "phone", 1), "whenever it comes back");
    assert_ne!(phone, resource("4f5b", "phone", 1), "another installation");
    assert_ne!(phone, resource("4f5a", "phone", 2), "another server has another name for it");
    let untagged = resource("4f5a", "", 1);
    assert!(!untagged.contains('/') && untagged == resource("4f5a", "", 1));
    assert!(resource("", "phone", 1).starts_with("phone/"));
    // However long it is.
    assert_eq!(resource(&"x".repeat(5000), "phone", 1).len(), phone.len());
    // A tag that can't be part of a resource: the login is right all the same, and the server chooses.
    for tag in ["\u{1f468}\u{200d}\u{1f469}", "a\tb", "\u{200b}", &"x".repeat(1_015)] {
        for agent in ["", "4f5a"] {
            let chosen = resource(agent, tag, 1);
            assert!(chosen.len() >= 12 && !chosen.contains(tag), "{tag:?}: {chosen}");
            assert!(chosen.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{tag:?}: {chosen}");
        }
    }
}

// XEP-0388 1.0.4 §3 [SL2]: on protected streams only; nor is it taken where it was not offered.
#[test]
fn no_sasl2_without_tls() {
    for tls in [TlsPolicy::None, TlsPolicy::Optional] {
        let mut server = Server::new(tls);
        let offer = server.feed(HEADER);
        assert!(offer.contains("<mechanisms ") && !offer.contains("urn:xmpp:sasl:2"), "{offer}");
        let sent = server.feed(PLAIN_AND_BIND);
        assert!(!sent.contains("<success") && !server.stream.is_open(), "{sent}");
        assert_eq!(server.error(), StreamCondition::NotAuthorized);
    }
}

// XEP-0386 1.1.0 §3.1, §3.2.1 [BI1] [BI17]: what else is wanted along with the resource, such as carbons.
#[test]
fn what_is_inside_of_bind2() {
    for (inside, wanted) in
        [("<enable xmlns='urn:xmpp:carbons:2'/>", true), ("<enable xmlns='urn:x'/>", false), ("", false)]
    {
        let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([1; 32]));
        config.tls = TlsPolicy::Direct;
        config.bind_inline = vec!["urn:xmpp:carbons:2".into()];
        let mut stream = ServerStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
        stream.secured(Security::default()).unwrap();
        let login = format!(
            "{HEADER}<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABwZW5jaWw=\
             </initial-response><bind xmlns='urn:xmpp:bind:0'>{inside}</bind></authenticate>"
        );
        let mut accounts = Accounts::new().with("juliet@example.com", "pencil");
        let (mut input, mut out, mut asked) = (login.as_bytes(), Vec::new(), None);
        while let Progress::Event(event) = stream.advance(Instant::ZERO, &mut input, &mut out).unwrap() {
            if let ServerEvent::Ask(ticket, ask) = event {
                if let ServerAsk::Bind { inline, .. } = &*ask {
                    let wants =
                        |inline: &Element| inline.root().child("enable", "urn:xmpp:carbons:2").is_some();
                    asked = Some(inline.as_ref().is_some_and(wants));
                }
                stream.answer(ticket, accounts.answer(*ask)).unwrap();
            }
        }
        assert_eq!(asked, Some(wanted), "{inside}");
        let features = String::from_utf8(out).unwrap();
        assert!(
            features.contains("<inline><feature var='urn:xmpp:carbons:2'/></inline></bind>"),
            "{features}"
        );
    }
}

// RFC 6120 §4.8.2: a header need not declare a content namespace; then each first-level element brings its own, and is the same
// stanza as anywhere else.
#[test]
fn a_header_without_a_content_namespace() {
    let own = |element: &str| element.replacen(" type=", " xmlns='jabber:client' type=", 1);
    for header in [
        "<stream xmlns='http://etherx.jabber.org/streams' to='example.com' version='1.0'>",
        "<s:stream xmlns:s='http://etherx.jabber.org/streams' to='example.com' version='1.0'>",
    ] {
        let mut server = Server::secured();
        server.feed(&[header, PLAIN, header, &own(BIND)].concat());
        assert!(server.stream.is_open(), "{}", server.output());
        let message =
            "<message type='chat' to='romeo@example.net'><body>hi</body><x xmlns='urn:x'><y/></x></message>";
        server.feed(&own(message));
        let [stanza] = &server.stanzas[..] else { panic!("{}", server.output()) };
        assert_eq!(stanza.payload.as_bytes(), b"<body>hi</body><x xmlns='urn:x'><y/></x>");
        // What declares none is no stanza.
        server.feed(message);
        assert_eq!(server.error(), StreamCondition::UnsupportedStanzaType);
    }
}
