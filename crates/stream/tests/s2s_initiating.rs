//! Another server's bytes, good and bad, against the initiating end of a stream between servers.

#![allow(clippy::unwrap_used)]

mod scripted;

use core::time::Duration;
use std::sync::Arc;

use balcony_machine::{Instant, Secret, Seed};
use balcony_sasl::SaslCondition;
use balcony_stanza::{ErrorCondition, MessageType, Stanza, StreamCondition};
use balcony_stream::s2s::{Proof, S2s, S2sEvent, S2sInitiatingConfig, Verdict, Verification, dialback_key};
use balcony_stream::{Error, S2sStream, TlsPolicy};
use scripted::{End, STREAM};

const SECRET: &str = "s3cr3tf0rd14lb4ck";
const CLOSE: &str = "</stream:stream>";
const FEATURES: &str = "<stream:features>\
     <dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>";
const EXTERNAL: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
     <mechanism>EXTERNAL</mechanism></mechanisms></stream:features>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const FAILURE: &str = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>YS5leGFtcGxl</auth>";
const VALID: &str = "<db:result from='b.example' to='a.example' type='valid'/>";

fn header(attributes: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream {attributes} xmlns='jabber:server' xmlns:stream='{STREAM}' \
         xmlns:db='jabber:server:dialback'>"
    )
}

/// The header of `b.example`.
fn hello() -> String {
    header("from='b.example' to='a.example' id='D60000229F' version='1.0'")
}

/// The key that goes with that header.
fn key() -> String {
    dialback_key(SECRET, "b.example", "a.example", "D60000229F")
}

/// `a.example` on its stream to `b.example`, on TLS from the first byte.
fn server(change: impl FnOnce(&mut S2sInitiatingConfig)) -> End<S2s> {
    let mut config = S2sInitiatingConfig::new("a.example".parse().unwrap(), "b.example".parse().unwrap());
    config.tls = TlsPolicy::Direct;
    config.dialback = Some(Secret::new(SECRET.into()));
    change(&mut config);
    let direct = config.tls == TlsPolicy::Direct;
    let end = End::new(S2sStream::initiating(Arc::new(config), Seed::from_u64(1), Instant::ZERO));
    if direct { end.secured(&["b.example"]) } else { end }
}

/// The same, authorised by dialback.
fn open() -> End<S2s> {
    let mut end = server(|_| {});
    end.feed(&[&hello(), FEATURES, VALID].concat());
    assert!(end.stream.is_open(), "{}", end.output());
    end.events.clear();
    end.out.clear();
    end
}

fn pair(from: &str, to: &str) -> (balcony_jid::BareJid, balcony_jid::BareJid) {
    (from.parse().unwrap(), to.parse().unwrap())
}

fn message(from: &str, to: &str) -> Stanza {
    Stanza::message(MessageType::Chat).with_from(from.parse().unwrap()).with_to(to.parse().unwrap())
}

fn verification(id: &str) -> Verification {
    // Somebody says to be `b.example`, and wants to send to `a.example`.
    let (from, to) = pair("b.example", "a.example");
    Verification { from, to, id: id.into(), key: "the <key>".into() }
}

// RFC 6120 §4.7.1 [H2], §4.7.2 [H5], §4.7.3 [H8], §4.7.5 [H12], §4.8.2 xml-namespace-content-server; XEP-0220 1.1.1 §2, §2.4.1 [DB1]
#[test]
fn the_initial_header() {
    let mut end = server(|_| {});
    assert_eq!(
        end.feed(""),
        format!(
            "<?xml version='1.0'?><stream:stream from='a.example' to='b.example' version='1.0' xml:lang='en' \
             xmlns='jabber:server' xmlns:stream='{STREAM}' xmlns:db='jabber:server:dialback'>"
        )
    );
}

// RFC 6120 §4.9.3.10, §4.9.3.25, §4.7.3 [H9], §4.7.5 [H14]
#[test]
fn bad_headers() {
    use StreamCondition as C;
    for (bytes, condition) in [
        (header("from='b.example' id='1'"), C::UnsupportedVersion),
        (header("from='b.example' version='1.0'"), C::BadFormat),
        (hello().replace("jabber:server'", "jabber:client'"), C::InvalidNamespace),
    ] {
        let mut end = server(|_| {});
        end.feed(&bytes);
        assert_eq!(end.error(), condition, "{bytes}");
    }
    // RFC 6120 §4.7.1 [H3]: the other server may answer in the name of another of its domains.
    let mut end = server(|_| {});
    end.feed(&header("from='chat.b.example' id='1' version='1.0'"));
    assert!(end.ended.is_none());
}

// RFC 6120 §6.3.4 [S1] [S3] [S9], §4.3.5 [N3], §15 sasl-restart; XEP-0178 1.2 §3 [EX16, EX22]
#[test]
fn authorised_by_certificate() {
    let mut end = server(|_| {});
    assert!(end.feed(&[&hello(), EXTERNAL].concat()).ends_with(AUTH));
    assert!(
        end.feed(SUCCESS).starts_with("<?xml version='1.0'?><stream:stream from='a.example' to='b.example' ")
    );
    assert!(!end.stream.is_open() && end.events.is_empty());
    assert_eq!(end.feed(&[&hello(), "<stream:features/>"].concat()), "");
    let [S2sEvent::Authorized { from, to, proof: Proof::Certificate }] = &end.events[..] else {
        panic!("{:?}", end.events)
    };
    assert_eq!((from.as_str(), to.as_str()), ("a.example", "b.example"));
    end.out.clear();
    end.stream.send(&message("romeo@a.example", "juliet@b.example"), &mut end.out).unwrap();
    assert_eq!(end.output(), "<message from='romeo@a.example' to='juliet@b.example' type='chat'/>");

    // RFC 6120 §6.4 [S6]: a challenge for what was said already.
    let mut end = server(|_| {});
    end.feed(&[&hello(), EXTERNAL].concat());
    let response = end.feed("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    assert_eq!(response, "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>YS5leGFtcGxl</response>");
}

// RFC 6120 §6.4.5 [N17], §13.8, XEP-0220 1.1.1 §2.1.1 [DB4]: what is tried, in which order.
#[test]
fn certificate_then_dialback() {
    let result = format!("<db:result from='a.example' to='b.example'>{}</db:result>", key());
    // Not offered, or another mechanism only.
    for features in [FEATURES, "<stream:features/>", &EXTERNAL.replace("EXTERNAL", "PLAIN")] {
        let mut end = server(|_| {});
        assert!(end.feed(&[&hello(), features].concat()).ends_with(&result), "{features}");
        let mut end = server(|config| config.dialback = None);
        end.feed(&[&hello(), features].concat());
        assert_eq!(end.ended, Some(Err(Error::NoMechanism)));
        assert!(end.output().ends_with(CLOSE));
    }
    // Refused.
    let mut end = server(|_| {});
    end.feed(&[&hello(), EXTERNAL].concat());
    assert_eq!(end.feed(FAILURE), result);
    end.feed(VALID);
    assert!(end.stream.is_open());
    let mut end = server(|config| config.dialback = None);
    end.feed(&[&hello(), EXTERNAL, FAILURE].concat());
    assert_eq!(end.ended, Some(Err(Error::Authentication(SaslCondition::NotAuthorized, None))));
    // RFC 6120 §6.3.4 [S2]: never in the clear, whatever is offered.
    let mut end = server(|config| config.tls = TlsPolicy::Optional);
    assert!(end.feed(&[&hello(), EXTERNAL].concat()).ends_with(&result));
}

// RFC 6120 §5.3.1 tls-mtn, §5.4.3.3 [N12]; RFC 7590 §3.1 [U2]; XEP-0185 1.0 [DK5]
#[test]
fn tls_comes_first() {
    let tls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    let features = format!("<stream:features>{tls}</stream:features>");
    let mut end = server(|config| config.tls = TlsPolicy::Required);
    assert!(end.feed(&[&hello(), &features[..]].concat()).ends_with(tls));
    let again = end.feed("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert!(again.starts_with("<?xml version='1.0'?><stream:stream from='a.example' "), "{again}");
    // The key is made for the id of this stream, not for that before TLS.
    let other = header("from='b.example' id='other' version='1.0'");
    let key = dialback_key(SECRET, "b.example", "a.example", "other");
    assert!(end.feed(&[&other, FEATURES].concat()).contains(&format!(">{key}<")));

    for bytes in [FEATURES, &features] {
        let mut end = server(|config| config.tls = TlsPolicy::Required);
        // It is asked for, whether it is offered or not.
        assert!(end.feed(&[&hello(), bytes].concat()).ends_with(tls));
        end.feed("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert_eq!(end.ended, Some(Err(Error::NoTls)));
        assert!(!end.output().contains("<db:") && end.output().ends_with(CLOSE));
    }
}

// XEP-0220 1.1.1 §2.1.1, §2.5 [DB7, DB11, DB12], XEP-0288 1.0.1 §2.2 [BD8]
#[test]
fn the_verdicts_on_our_key() {
    let error = "<db:result from='b.example' to='a.example' type='error'><error type='cancel'>\
                 <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>";
    for (answer, verdict, bounce) in [
        (&VALID.replace("valid", "invalid")[..], Verdict::Invalid, ErrorCondition::InternalServerError),
        (error, Verdict::Error(ErrorCondition::ItemNotFound), ErrorCondition::RemoteServerTimeout),
        (
            "<db:result from='b.example' to='a.example' type='maybe'/>",
            Verdict::Error(ErrorCondition::UndefinedCondition),
            ErrorCondition::RemoteServerTimeout,
        ),
    ] {
        let mut end = server(|_| {});
        end.feed(&[&hello(), FEATURES].concat());
        assert_eq!(end.feed(answer), "");
        let [S2sEvent::Refused { from, to, verdict: told }] = &end.events[..] else {
            panic!("{:?}", end.events)
        };
        assert_eq!((from.as_str(), to.as_str()), ("a.example", "b.example"));
        assert_eq!((*told, told.bounce()), (verdict, bounce));
        // It is not the end of the stream: the owner may try again.
        assert!(!end.stream.is_open() && end.ended.is_none());
        let (from, to) = pair("a.example", "b.example");
        end.stream.authorize(from, to).unwrap();
        assert!(end.feed("").contains(&key()));
        end.feed(VALID);
        assert!(end.stream.is_open());
    }
    // An answer that does not come is an error as well.
    let mut end = open();
    let (from, to) = pair("c.example", "b.example");
    end.stream.authorize(from, to).unwrap();
    end.feed("");
    end.wait();
    assert!(end.told().contains("verdict: Error(RemoteServerTimeout)"), "{}", end.told());
    end.feed("<db:result from='b.example' to='c.example' type='valid'/>");
    assert!(end.stream.send(&message("c.example", "b.example"), &mut Vec::new()).is_err());
}

// XEP-0220 1.1.1 §3.1 [DB8, DB17]: the attack of 2012. Only what was asked on this stream is answered on it.
#[test]
fn answers_to_nothing() {
    let mut end = server(|_| {});
    end.stream.verify(Instant::ZERO, verification("id")).unwrap();
    end.feed(&hello());
    // Not even the right answer before the question.
    end.feed("<db:verify from='b.example' to='a.example' id='id' type='valid'/>");
    end.feed(VALID);
    end.feed(FEATURES);
    for spoof in [
        "<db:result from='c.example' to='a.example' type='valid'/>",
        "<db:result from='b.example' to='c.example' type='valid'/>",
        "<db:result from='a.example' to='b.example' type='valid'/>",
        "<db:verify from='b.example' to='a.example' id='other' type='valid'/>",
        "<db:verify from='c.example' to='a.example' id='id' type='valid'/>",
        "<db:verify from='b.example' to='c.example' id='id' type='valid'/>",
        "<db:verify from='a.example' to='b.example' id='id' type='valid'/>",
        // Requests belong on the other stream.
        "<db:result from='b.example' to='a.example'>key</db:result>",
        "<db:verify from='b.example' to='a.example' id='D60000229F'>key</db:verify>",
    ] {
        assert_eq!(end.feed(spoof), "", "{spoof}");
        assert!(end.events.is_empty() && !end.stream.is_open() && end.ended.is_none(), "{spoof}");
    }
    // Each answer counts once.
    end.feed(&VALID.repeat(2));
    end.feed(&"<db:verify from='b.example' to='a.example' id='id' type='valid'/>".repeat(2));
    assert_eq!(end.events.len(), 2, "{}", end.told());
}

// XEP-0220 1.1.1 §2.1.2 [DB15, DB6]
#[test]
fn keys_of_others_are_verified() {
    let asked = |id: &str| {
        format!("<db:verify from='a.example' to='b.example' id='{id}'>the &lt;key&gt;</db:verify>")
    };
    // On a stream that is open, beside its stanzas.
    let mut end = open();
    end.stream.verify(end.now, verification("1")).unwrap();
    end.stream.verify(end.now, verification("2")).unwrap();
    assert_eq!(end.feed(""), asked("1") + &asked("2"));
    end.feed("<db:verify from='b.example' to='a.example' id='2' type='valid'/>");
    end.feed("<db:verify from='b.example' to='a.example' id='1' type='invalid'/>");
    let [S2sEvent::KeyVerified(second, Verdict::Valid), S2sEvent::KeyVerified(first, Verdict::Invalid)] =
        &end.events[..]
    else {
        panic!("{}", end.told())
    };
    assert_eq!((first, second), (&verification("1"), &verification("2")));

    // On one of its own: it needs no authorisation, and waits only for TLS.
    let mut end = server(|config| (config.authorize, config.dialback) = (false, None));
    end.stream.verify(end.now, verification("1")).unwrap();
    assert!(!end.feed(&hello()).contains("<db:"));
    assert_eq!(end.feed(EXTERNAL), asked("1"));
    assert!(end.events.is_empty());
    assert!(end.stream.send(&message("a.example", "b.example"), &mut Vec::new()).is_err());
    // What is not answered in time is an error, and the stream goes on.
    end.wait();
    let [S2sEvent::KeyVerified(_, Verdict::Error(ErrorCondition::RemoteServerTimeout))] = &end.events[..]
    else {
        panic!("{}", end.told())
    };
    end.feed("<db:verify from='b.example' to='a.example' id='1' type='valid'/>");
    assert!(end.events.len() == 1 && end.ended.is_none());
    // RFC 6120 §4.6 [W3]: idle, it is closed.
    assert_eq!(end.wait(), CLOSE);
    assert!(end.stream.verify(end.now, verification("2")).is_err());

    // Also if the stream is never ready for it.
    let mut end = server(|_| {});
    end.stream.verify(end.now, verification("1")).unwrap();
    end.wait();
    assert!(end.told().contains("RemoteServerTimeout"));
}

// XEP-0220 1.1.1 §2.1.2: whoever wants a key verified has such a stream opened to them, and can't keep it open.
#[test]
fn a_stream_for_keys_only_is_ours_to_end() {
    let mut end = server(|config| config.authorize = false);
    end.feed(&[&hello(), FEATURES].concat());
    let minutes = |end: &mut End<S2s>, minutes: u64| {
        for _ in 0..minutes {
            end.now = end.now + Duration::from_secs(60);
            end.feed("\n<db:verify from='b.example' to='a.example' id='x' type='valid'/>");
        }
    };
    minutes(&mut end, 9);
    assert!(end.stream.is_open());
    // What we ask keeps it open.
    end.stream.verify(end.now, verification("1")).unwrap();
    end.feed("");
    minutes(&mut end, 9);
    assert!(end.stream.is_open());
    minutes(&mut end, 1);
    assert!(!end.stream.is_open() && end.output().ends_with(CLOSE));
}

// XEP-0220 1.1.1 §2.1.1, §2.3, §2.5, §2.6 [DB3, DB5, DB6, DB29, DB30, DB31], habits.md: every list has a bound.
#[test]
fn more_pairs() {
    let authorize = |end: &mut End<S2s>, from: &str, to: &str| {
        let (from, to) = pair(from, to);
        end.stream.authorize(from, to)
    };
    let mut end = server(|config| config.limits.domain_pairs = 3);
    end.feed(&hello());
    // Another target only if the peer can say no without ending the stream.
    assert!(authorize(&mut end, "a.example", "chat.b.example").is_err());
    end.feed(FEATURES);
    authorize(&mut end, "a.example", "chat.b.example").unwrap();
    authorize(&mut end, "c.example", "b.example").unwrap();
    assert!(authorize(&mut end, "d.example", "b.example").is_err());
    // What is wanted already is not asked for twice.
    authorize(&mut end, "c.example", "b.example").unwrap();
    let sent = end.feed("");
    assert_eq!(sent.matches("<db:result ").count(), 2, "{sent}");
    let key = dialback_key(SECRET, "chat.b.example", "a.example", "D60000229F");
    assert!(sent.contains(&format!("to='chat.b.example'>{key}<")), "{sent}");
    end.feed("<db:result from='b.example' to='c.example' type='valid'/>");
    assert!(end.stream.is_open());
    // Per pair and in one direction.
    for (from, to, authorised) in [
        ("x@c.example/y", "b.example", true),
        ("a.example", "b.example", false),
        ("a.example", "chat.b.example", false),
        ("c.example", "chat.b.example", false),
        ("b.example", "c.example", false),
    ] {
        let sent = end.stream.send(&message(from, to), &mut Vec::new());
        assert_eq!(sent.is_ok(), authorised, "{from} {to}");
    }
    // RFC 6120 §8.1.1.2, §8.1.2.2 [ST8]
    assert!(end.stream.send(&Stanza::message(MessageType::Chat), &mut Vec::new()).is_err());

    let mut end = open();
    for n in 0..64 {
        end.stream.verify(end.now, verification(&n.to_string())).unwrap();
    }
    assert!(end.stream.verify(end.now, verification("one more")).is_err());

    // Without errors, other targets are no use; without a secret, nothing is.
    let mut end = server(|_| {});
    end.feed(&[&hello(), &FEATURES.replace("<errors/>", ""), VALID].concat());
    assert!(authorize(&mut end, "a.example", "chat.b.example").is_err());
    authorize(&mut end, "c.example", "b.example").unwrap();
    let mut end = server(|config| config.dialback = None);
    end.feed(&[&hello(), EXTERNAL, SUCCESS, &hello(), FEATURES].concat());
    assert!(end.stream.is_open());
    assert!(authorize(&mut end, "c.example", "b.example").is_err());
}

// RFC 6120 §4.5 [N18]: stanzas go one way.
#[test]
fn stanzas_against_the_direction() {
    let stanza = "<message from='juliet@b.example' to='romeo@a.example'/>";
    for before in [&[][..], &[FEATURES], &[FEATURES, VALID]] {
        let mut end = server(|_| {});
        end.feed(&[&hello(), &before.concat()[..], stanza].concat());
        assert_eq!(end.error(), StreamCondition::NotAuthorized);
        assert!(end.stanzas.is_empty());
    }
    let mut end = open();
    end.feed("<order xmlns='urn:example'/>");
    assert_eq!(end.error(), StreamCondition::UnsupportedStanzaType);
    // After our closing tag nothing matters any more.
    let mut end = open();
    end.stream.close(end.now, &mut end.out);
    end.feed(&[stanza, VALID, "<order xmlns='urn:example'/>", CLOSE].concat());
    assert_eq!((end.ended, end.stanzas.len()), (Some(Ok(())), 0));
}

// RFC 6120 §4.6 [W3]: the other end has nothing to say, so its silence means nothing.
#[test]
fn a_silent_peer() {
    let mut end = open();
    end.wait();
    assert!(end.stream.is_open() && end.stream.deadline().is_none());
    // RFC 6120 §4.9.3.4 [W4]: before, it does.
    let mut end = server(|_| {});
    end.feed(&hello());
    end.wait();
    assert_eq!(end.error(), StreamCondition::ConnectionTimeout);
}

// habits.md: secrets never print.
#[test]
fn the_secret_never_prints() {
    let mut config = S2sInitiatingConfig::new("a.example".parse().unwrap(), "b.example".parse().unwrap());
    config.dialback = Some(Secret::new(SECRET.into()));
    assert!(!format!("{config:?}").contains(SECRET));
}

// XEP-0288 1.0.1 §2.2 [BD3, BD4], §2.3: asked for before authentication where it is offered; then stanzas come, between these domains only
#[test]
fn both_ways_on_one_stream() {
    let offered =
        FEATURES.replace("</stream:features>", "<bidi xmlns='urn:xmpp:features:bidi'/></stream:features>");
    let stanza = |from: &str, to: &str| format!("<message from='{from}' to='{to}'><body>Hi</body></message>");
    let good = stanza("juliet@b.example/balcony", "romeo@a.example");
    for (is_wanted, is_offered) in [(true, true), (true, false), (false, true)] {
        let mut end = server(|config| config.bidi = is_wanted);
        let said = end.feed(&[hello().as_str(), if is_offered { &offered } else { FEATURES }].concat());
        let asked = said.find("<bidi xmlns='urn:xmpp:bidi'/>");
        assert_eq!(asked.is_some(), is_wanted && is_offered);
        assert!(asked.is_none_or(|asked| asked < said.find("<db:result ").unwrap()), "{said}");
        assert_eq!(end.stream.is_bidirectional(), asked.is_some());
        end.feed(VALID);
        end.events.clear();
        let said = end.feed(&good);
        let has_come = end.stanzas.len() == 1;
        assert_eq!((has_come, said.is_empty()), (asked.is_some(), asked.is_some()), "{said}");
    }
    for (from, to) in [
        ("juliet@c.example", "romeo@a.example"),
        ("juliet@b.example", "romeo@other.a.example"),
        ("romeo@a.example", "juliet@b.example"),
    ] {
        let mut end = server(|config| config.bidi = true);
        end.feed(&[hello().as_str(), &offered, VALID].concat());
        end.events.clear();
        let said = end.feed(&stanza(from, to));
        assert!(said.contains("<invalid-from "), "{said}");
        assert!(end.stanzas.is_empty());
    }
    // Before anything is proven nothing comes.
    let mut end = server(|config| config.bidi = true);
    let said = end.feed(&[hello().as_str(), &offered, &good].concat());
    assert!(said.contains("<not-authorized "), "{said}");
}

// XEP-0288 1.0.1 §2.1 [BD2]: not before TLS, also where it is offered there
#[test]
fn both_ways_only_behind_tls() {
    let bidi = "<bidi xmlns='urn:xmpp:features:bidi'/></stream:features>";
    let tls = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    let mut end = server(|config| (config.bidi, config.tls) = (true, TlsPolicy::Required));
    let said = end.feed(&[&hello(), tls, bidi].concat());
    assert!(said.ends_with("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), "{said}");
    end.feed("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    let said = end.feed(&[hello(), FEATURES.replace("</stream:features>", bidi)].concat());
    assert!(said.contains("<bidi xmlns='urn:xmpp:bidi'/>") && end.stream.is_bidirectional(), "{said}");
}

// RFC 6120 §4.8.2: a header need not declare a content namespace; then each first-level element brings its own.
#[test]
fn a_header_without_a_content_namespace() {
    let attributes = "from='b.example' to='a.example' id='D60000229F' version='1.0'";
    let valid = VALID.replacen("<db:result ", "<result xmlns='jabber:server:dialback' ", 1);
    for (header, prefix) in [
        (format!("<stream xmlns='{STREAM}' {attributes}>"), ""),
        (format!("<s:stream xmlns:s='{STREAM}' {attributes}>"), "s:"),
    ] {
        let prefixed = |features: &str| features.replace("stream:", prefix);
        let mut end = server(|_| {});
        let answer = end.feed(&[&header, &*prefixed(FEATURES)].concat());
        assert!(answer.contains(&key()), "{answer}");
        end.feed(&valid);
        assert!(end.stream.is_open(), "{}", end.output());

        let mut end = server(|_| {});
        assert!(end.feed(&[&header, &*prefixed(EXTERNAL)].concat()).ends_with(AUTH));
        end.feed(&[SUCCESS, &header, &prefixed("<stream:features/>")].concat());
        assert!(end.stream.is_open(), "{}", end.output());
    }
}

// Who waits for ever waits twice as long, too.
#[test]
fn an_answer_may_take_any_time() {
    let mut end = server(|config| config.limits.answer = Duration::MAX);
    end.feed(&[&hello(), FEATURES, VALID].concat());
    assert!(end.stream.is_open(), "{}", end.output());
}
