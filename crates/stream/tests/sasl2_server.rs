//! SASL2 at the server (XEP-0388), under the bytes of a scripted client.
#![allow(clippy::unwrap_used, reason = "tests")]

mod scripted;

use core::time::Duration;

use std::sync::Arc;

use balcony_machine::{Instant, Secret, Seed};
use balcony_sasl::{BindingState, ClientExchange, ClientStep, Credentials, Mechanism, salt_password};
use balcony_stanza::{ErrorCondition, StanzaError, StreamCondition};
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerStreamConfig};
use balcony_stream::{ServerStream, TlsPolicy};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

fn just_before(at: Instant) -> Instant {
    Instant::ZERO + (at.saturating_since(Instant::ZERO) - Duration::from_millis(1))
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

/// What is offered to a client on TLS with this configuration, and this seed.
fn offer(seed: u64, change: impl FnOnce(&mut ServerStreamConfig)) -> String {
    let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
    config.tls = TlsPolicy::Direct;
    change(&mut config);
    let mut server =
        End::new(ServerStream::new(Arc::new(config), Seed::from_u64(seed), Instant::ZERO)).secured(&[]);
    let sent = server.feed(&header("from='juliet@example.com'"));
    sent.split_once("<stream:features>").unwrap().1.to_owned()
}

// [SL1] [SL3] [SL5]: the same offer for the same, with what can be wanted on the way; the mechanisms fit any account. Without one there is
// nothing to offer.
#[test]
fn the_offer() {
    let first = offer(1, |_| {});
    let (_, rest) = first.split_once("<authentication xmlns='urn:xmpp:sasl:2'>").unwrap();
    let (authentication, _) = rest.split_once("</authentication>").unwrap();
    let (mechanisms, inline) = authentication.split_once("<inline>").unwrap();
    assert_eq!(
        mechanisms,
        "<mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism>"
    );
    assert!(inline.starts_with("<bind xmlns='urn:xmpp:bind:0'") && inline.ends_with("</inline>"), "{inline}");
    for seed in 2..5 {
        assert_eq!(offer(seed, |_| {}), first);
    }
    let none = offer(1, |config| config.mechanisms.clear());
    assert!(!none.contains("authentication") && !none.contains("mechanism"), "{none}");
    // All that there are need what the stream does not have.
    let none = offer(1, |config| config.mechanisms.retain(|mechanism| mechanism.is_plus()));
    assert!(!none.contains("authentication") && !none.contains("mechanism"), "{none}");
}

// [SL10] [SL14] [SL38]: only what was offered; who does not say what it is, or says what nobody knows, is let in as well.
#[test]
fn what_a_login_has_in_it() {
    for name in ["SCRAM-SHA-256-PLUS", "X-TOKEN", "", "plain", "HT-SHA-256-NONE"] {
        let mut server = server("");
        let login = plain(&format!("<initial-response>{JULIET}</initial-response>")).replace("PLAIN", name);
        assert!(failed(&says(&mut server, &login), "invalid-mechanism"), "{name}");
        assert!(says(&mut server, &login.replace(&format!("'{name}'"), "'PLAIN'")).contains("<success"));
    }
    for more in [
        "",
        "<user-agent/>",
        "<user-agent id='not a uuid'><software>S</software><x xmlns='urn:x'/></user-agent>",
        "<x xmlns='urn:x'><initial-response>AA==</initial-response></x><bind xmlns='urn:y'/>",
        "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-X</upgrade>",
        "<resume xmlns='urn:xmpp:sm:2' previd='x' h='1'/>",
    ] {
        for login in [
            format!("<initial-response>{JULIET}</initial-response>{more}"),
            format!("{more}<initial-response>{JULIET}</initial-response>"),
        ] {
            let said = says(&mut server(""), &plain(&login));
            assert!(said.starts_with("<success "), "{login}: {said}");
        }
    }
}

// [SL19] [SL22]: until the end a server says nothing but what belongs to the exchange, and what the mechanism has to say last goes into the
// success.
#[test]
fn the_server_says_nothing_else_during_an_exchange() {
    let password = Secret::new("pencil".into());
    let mechanism = Mechanism::ScramSha256;
    let mut client =
        ClientExchange::new(mechanism, "juliet", password, None, BindingState::Unsupported, "abcdef")
            .unwrap();
    let first = STANDARD.encode(client.initial().unwrap());
    let mut server = server("");
    let challenge = says(&mut server, &SCRAM.replace("biwsbj1qdWxpZXQscj1hYmNkZWY=", &first));
    assert!(challenge.starts_with("<challenge ") && challenge.ends_with("</challenge>"), "{challenge}");
    assert_eq!(challenge.matches('<').count(), 2);
    // However long it takes.
    server.now = just_before(server.stream.deadline().unwrap().at);
    assert_eq!(server.feed(""), "");
    let decode = |data: &str| STANDARD.decode(data.split('<').next().unwrap()).unwrap();
    let ClientStep::AskSalted { hash, password, salt, iterations } =
        client.challenge(&decode(challenge.split_once('>').unwrap().1)).unwrap()
    else {
        panic!()
    };
    let ClientStep::Send(response) =
        client.salted(salt_password(hash, password.expose(), &salt, iterations).unwrap()).unwrap()
    else {
        panic!()
    };
    let response = STANDARD.encode(response);
    let said = says(&mut server, &format!("<response xmlns='urn:xmpp:sasl:2'>{response}</response>"));
    let data = said.strip_prefix("<success xmlns='urn:xmpp:sasl:2'><additional-data>").unwrap();
    assert_eq!(client.success(Some(&decode(data))), Ok(()));
}

// [SL27] [SL28] [SL34]: a failure, whoever ends the exchange, leaves everything as it was; five of them end the stream.
#[test]
fn failures_change_nothing() {
    let wrong = plain("<initial-response>AGp1bGlldABjcmF5b24=</initial-response>");
    let refuse = |server: &mut Server, text: &str| {
        let mut said = server.feed(text);
        while !server.asks.is_empty() {
            said += &server.answer(ServerAnswer::Verified(None));
        }
        said
    };
    let mut server = server("");
    for _ in 0..4 {
        let said = refuse(&mut server, &wrong);
        assert!(failed(&said, "not-authorized") && said.ends_with("</failure>"), "{said}");
        assert!(server.stanzas.is_empty() && server.ended.is_none());
    }
    assert!(failed(&refuse(&mut server, &wrong), "not-authorized"));
    assert_eq!(server.error(), StreamCondition::PolicyViolation);
    for abort in [
        "<abort xmlns='urn:xmpp:sasl:2'/>",
        "<abort xmlns='urn:xmpp:sasl:2'><text>The user has pressed Escape</text></abort>",
    ] {
        let mut server = self::server("");
        says(&mut server, SCRAM);
        assert!(failed(&server.feed(abort), "aborted"));
        let said = says(&mut server, &plain(&format!("<initial-response>{JULIET}</initial-response>")));
        assert!(said.starts_with("<success "), "{said}");
    }
}

// [BI4]: whoever is not let in gets no resource, and it is not even asked for.
#[test]
fn no_resource_without_a_login() {
    let bind = "<bind xmlns='urn:xmpp:bind:0'><tag>phone</tag></bind>";
    let login = plain(&format!("<initial-response>{JULIET}</initial-response>{bind}"));
    let mut server = server("");
    server.feed(&login);
    assert!(matches!(server.asks[0].1, ServerAsk::Verify { .. }));
    let said = server.answer(ServerAnswer::Verified(None));
    assert!(failed(&said, "not-authorized") && server.asks.is_empty(), "{said}");
    // Nor with the next login, which does not want one.
    let said = says(&mut server, &plain(&format!("<initial-response>{JULIET}</initial-response>")));
    assert!(said.contains("<success") && !said.contains("<bound"), "{said}");
    // Who is let in hears of it when it has one, not before.
    let mut server = self::server("");
    server.feed(&login);
    assert_eq!(server.answer(ServerAnswer::Verified(Some([7; 16].into()))), "");
    assert!(matches!(&server.asks[0].1, ServerAsk::Bind { .. }));
}

// XEP-0386 §3.2: who is known and gets no resource is told why, and has not failed to prove who it is.
#[test]
fn why_there_is_no_resource() {
    let login =
        plain(&format!("<initial-response>{JULIET}</initial-response><bind xmlns='urn:xmpp:bind:0'/>"));
    for (answer, why) in [
        (
            ServerAnswer::Bound(Err(StanzaError::new(
                ErrorCondition::ResourceConstraint,
                "too many of them",
            ))),
            "too many of them",
        ),
        (ServerAnswer::Bound(Err(ErrorCondition::Conflict.into())), "no resource could be bound"),
        (ServerAnswer::Unavailable, "no resource could be bound"),
    ] {
        let mut server = server("");
        server.feed(&login);
        server.answer(ServerAnswer::Verified(Some([7; 16].into())));
        let said = server.answer(answer);
        assert!(failed(&said, "temporary-auth-failure") && said.contains(why), "{said}");
        let told = server.told();
        assert!(
            told.contains("BindRefused { account: BareJid(\"juliet@example.com\")")
                && !told.contains("AuthenticationFailed"),
            "{told}"
        );
    }
}

// RFC 6120 §7.7.2.3, §6.4.4: nor does it count as a failed login. As a bind that is refused it does, and the log hears of the last one as well.
#[test]
fn refused_binds_within_logins_are_no_failed_logins() {
    let login =
        plain(&format!("<initial-response>{JULIET}</initial-response><bind xmlns='urn:xmpp:bind:0'/>"));
    let wrong = plain("<initial-response>AGp1bGlldABjcmF5b24=</initial-response>");
    let mut server = server("");
    for attempt in 1..=5 {
        assert!(server.ended.is_none(), "{attempt}");
        // There may be as many of these.
        if attempt < 5 {
            server.feed(&wrong);
            assert!(failed(&server.answer(ServerAnswer::Verified(None)), "not-authorized"));
        }
        server.feed(&login);
        server.answer(ServerAnswer::Verified(Some([7; 16].into())));
        let said = server.answer(ServerAnswer::Bound(Err(ErrorCondition::Conflict.into())));
        assert!(failed(&said, "temporary-auth-failure"), "{said}");
        assert_eq!(server.told().matches("BindRefused {").count(), attempt);
    }
    assert_eq!(server.error(), StreamCondition::PolicyViolation);
    assert!(server.output().contains("too many refused attempts to bind"));
    assert_eq!(server.told().matches("AuthenticationFailed {").count(), 4);
}

// The same of those that come after the login.
#[test]
fn the_log_hears_of_the_last_bind_that_is_refused() {
    let mut server = server("");
    says(&mut server, AUTH);
    server.feed(&header(""));
    for attempt in 1..=5 {
        assert!(server.ended.is_none(), "{attempt}");
        server.feed("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
        let error = StanzaError::new(ErrorCondition::ResourceConstraint, "too many of them");
        let said = server.answer(ServerAnswer::Bound(Err(error)));
        assert!(said.starts_with("<iq type='error' id='b'>") && said.contains("too many of them"), "{said}");
        assert_eq!(server.told().matches("BindRefused {").count(), attempt);
    }
    assert_eq!(server.error(), StreamCondition::PolicyViolation);
}

// [SL13]: what a client says of itself is for its server: nothing that goes out has it.
#[test]
fn nobody_is_told_what_a_client_is() {
    let agent = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>Echo</software>\
                 <device>Kitchen</device></user-agent>";
    let bind = "<bind xmlns='urn:xmpp:bind:0'><tag>phone</tag></bind>";
    let mut server = server("");
    server.feed(&plain(&format!("<initial-response>{JULIET}</initial-response>{agent}{bind}")));
    server.answer(ServerAnswer::Verified(Some([7; 16].into())));
    let ServerAsk::Bind { account, resource, .. } = &server.asks[0].1 else { panic!("{:?}", server.asks) };
    let jid = account.with_resource(resource.as_ref().unwrap()).unwrap();
    let asked = format!("{:?}", server.asks);
    let said = server.answer(ServerAnswer::Bound(Ok(jid)));
    assert!(said.contains("/phone/") && server.stream.is_open(), "{said}");
    for told in [&asked, &said, &server.told()] {
        for secret in ["d4565fa7", "Echo", "Kitchen"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
}

// XEP-0509 §3.1 [IA10]: who has waited for the offer may say which it was. Another one is no attempt to log in; but there is no end of
// such words that is waited for.
#[test]
fn a_login_may_say_which_offer_it_knows() {
    let server = || {
        let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
        (config.tls, config.tokens) = (TlsPolicy::Direct, Mechanism::for_tokens().to_vec());
        let stream = ServerStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
        let mut server = End::new(stream).secured(&[]);
        let features = server.feed(&header(""));
        let (_, rest) = features.split_once("<config-version ").unwrap();
        (server, format!("<config-version {}/>", rest.split_once("/>").unwrap().0))
    };
    let login = |version: &str| plain(&format!("<initial-response>{JULIET}</initial-response>{version}"));
    let (mut known, version) = server();
    assert!(says(&mut known, &login(&version)).starts_with("<success "));
    let (mut other, version) = server();
    let wrong = version.replace("value='", "value='x");
    for _ in 0..4 {
        let said = says(&mut other, &login(&wrong));
        assert!(failed(&said, "aborted") && said.contains("<config-version-mismatch "), "{said}");
        assert!(other.told().is_empty(), "{}", other.told());
    }
    assert!(says(&mut other, &login(&version)).starts_with("<success "));
}

// XEP-0386 §3.2 [BI18]: whoever binds says by which installation, so that its older sessions end; by what only this server makes of its name.
#[test]
fn a_resource_says_which_installation_it_is_of() {
    let bound = |agent: &str, bind: &str| {
        let mut server = server("");
        server.feed(&plain(&format!("<initial-response>{JULIET}</initial-response>{agent}{bind}")));
        server.answer(ServerAnswer::Verified(Some([7; 16].into())));
        match &server.asks[0].1 {
            ServerAsk::Bind { resource, installation, .. } => (resource.clone(), installation.clone()),
            ask => panic!("{ask:?}"),
        }
    };
    let (mine, other) = ("<user-agent id='4f5a'/>", "<user-agent id='4f5b'/>");
    let tags = ["<tag>phone</tag>", "<tag>desk</tag>", "", "<tag>a\tb</tag>"];
    let all: Vec<_> =
        tags.map(|tag| bound(mine, &format!("<bind xmlns='urn:xmpp:bind:0'>{tag}</bind>"))).into();
    for (resource, installation) in &all {
        assert_eq!(installation, &all[0].1);
        let (resource, installation) = (resource.as_ref().unwrap(), installation.as_ref().unwrap());
        assert!(resource == installation || resource.ends_with(&format!("/{installation}")), "{resource}");
        assert!(installation.len() >= 16 && !installation.contains("4f5a"));
    }
    let bind = "<bind xmlns='urn:xmpp:bind:0'><tag>phone</tag></bind>";
    assert_ne!(bound(other, bind).1, all[0].1);
    for agent in ["", "<user-agent/>", "<user-agent id=''/>"] {
        assert_eq!(bound(agent, bind).1, None, "{agent}");
    }
}
