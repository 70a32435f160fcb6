//! Another server's bytes, good and bad, against the receiving end of a stream between servers.

#![allow(clippy::unwrap_used)]

mod scripted;

use core::time::Duration;
use std::sync::Arc;

use balcony_machine::{Instant, Secret, Seed};
use balcony_stanza::{ErrorCondition, MessageType, Stanza, StanzaError, StreamCondition};
use balcony_stream::s2s::{
    Proof, S2s, S2sAnswer, S2sAsk, S2sEvent, S2sReceivingConfig, Verdict, Verification, dialback_key,
};
use balcony_stream::{S2sStream, TlsPolicy};
use scripted::{End, STREAM, proving, stream_id};

const SECRET: &str = "d14lb4ck43v3r";
const EMPTY_FEATURES: &str = "<stream:features></stream:features>";
const EXTERNAL: &str =
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
const DIALBACK: &str = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
/// EXTERNAL for `a.example`.
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>YS5leGFtcGxl</auth>";
const MESSAGE: &str =
    "<message from='romeo@a.example' to='juliet@b.example/balcony'><body>Hi</body></message>";

fn header(attributes: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream {attributes} xmlns='jabber:server' xmlns:stream='{STREAM}' \
         xmlns:db='jabber:server:dialback'>"
    )
}

/// The header of `a.example`.
fn hello() -> String {
    header("from='a.example' to='b.example' version='1.0'")
}

/// A server of `b.example` and `chat.b.example`, on TLS from the first byte.
fn server(proven: &[&str], change: impl FnOnce(&mut S2sReceivingConfig)) -> End<S2s> {
    let domains = ["b.example", "chat.b.example"].map(|domain| domain.parse().unwrap());
    let mut config = S2sReceivingConfig::new(domains.to_vec());
    config.gone = vec!["old.b.example".parse().unwrap()];
    config.tls = TlsPolicy::Direct;
    config.dialback = Some(Secret::new(SECRET.into()));
    change(&mut config);
    let direct = config.tls == TlsPolicy::Direct;
    let end = End::new(S2sStream::receiving(Arc::new(config), Seed::from_u64(1), Instant::ZERO));
    if direct { end.secured(proven) } else { end }
}

/// The same, authorised for `a.example` to `b.example` by certificate.
fn open() -> End<S2s> {
    let mut end = server(&["a.example"], |_| {});
    end.feed(&[&hello(), AUTH, &hello()].concat());
    assert!(end.stream.is_open(), "{}", end.output());
    end.out.clear();
    end
}

fn result(from: &str, to: &str) -> String {
    format!("<db:result from='{from}' to='{to}'>\n  the key\n</db:result>")
}

fn pair(event: &S2sEvent) -> (&str, &str, Proof) {
    let S2sEvent::Authorized { from, to, proof } = event else { panic!("{event:?}") };
    (from.as_str(), to.as_str(), *proof)
}

// RFC 6120 §4.7.1 [H3], §4.7.2 [H7], §4.7.3 [H9], §4.8.2 xml-namespace-content-server; XEP-0220 1.1.1 §2, §2.4.1 [DB1]
#[test]
fn the_response_header() {
    let mut end = server(&["a.example"], |_| {});
    let answer = end.feed(&hello());
    assert!(answer.contains("<stream:stream from='b.example' to='a.example' id='"), "{answer}");
    assert!(answer.contains(" version='1.0' "), "{answer}");
    let namespaces = format!(
        " xmlns='jabber:server' xmlns:stream='{STREAM}' xmlns:db='jabber:server:dialback'><stream:features>"
    );
    assert!(answer.contains(&namespaces), "{answer}");
    let first = stream_id(&answer).to_owned();
    let again = end.feed(&[AUTH, &hello()].concat());
    assert!(first.len() >= 26 && first != stream_id(&again), "{again}");

    // RFC 6120 §4.7.2 [H6]: `to` is what the peer itself has said, so nothing without a `from`. [H17]: nor is it refused.
    let answer = server(&["a.example"], |_| {}).feed(&header("version='1.0'"));
    assert!(answer.contains("<stream:stream from='b.example' id='"), "{answer}");
    assert!(!answer.contains(EXTERNAL) && answer.contains(DIALBACK), "{answer}");
}

// RFC 6120 §4.9.1.2 [W8], §4.7.1 [H4], §4.9.3
#[test]
fn bad_headers() {
    use StreamCondition as C;
    let good = "from='a.example' to='b.example' version='1.0'";
    for (bytes, condition) in [
        (header("from='a.example' to='c.example' version='1.0'"), C::HostUnknown),
        (header("from='a.example' to='old.b.example' version='1.0'"), C::HostGone),
        (header("from='a.example' to='@' version='1.0'"), C::HostUnknown),
        (header("from='romeo@a.example' to='b.example' version='1.0'"), C::InvalidFrom),
        (header("from='a.example/r' to='b.example' version='1.0'"), C::InvalidFrom),
        (header("from='a b' to='b.example' version='1.0'"), C::InvalidFrom),
        (header("from='a.example' to='b.example'"), C::UnsupportedVersion),
        (header(good).replace("jabber:server'", "jabber:client'"), C::InvalidNamespace),
        (header(good).replace("jabber:server'", "jabber:component:accept'"), C::InvalidNamespace),
        (header(good).replace(STREAM, "urn:example"), C::InvalidNamespace),
    ] {
        let mut end = server(&["a.example"], |_| {});
        let answer = end.feed(&bytes);
        assert_eq!(end.error(), condition, "{bytes}");
        assert!(answer.starts_with("<?xml version='1.0'?><stream:stream from='b.example' "), "{answer}");
    }
}

// RFC 6120 §6.3.4 [S3], §13.7.1.2 [T2] [T3] [T5] tls-correlate, RFC 7590 §3.4 [U4], RFC 6120 §13.8 security-mti-both-external, §8.1.2.2; XEP-0178 1.2 §3 [EX12, EX14, EX15],
// XEP-0220 1.1.1 §2.4.2 [DB2], XEP-0368 1.1 §3 [DT3]
#[test]
fn external_is_offered_to_whom_the_certificate_proves() {
    for (proven, from, offered) in [
        (&["a.example"][..], "a.example", true),
        (&["other.example", "A.Example"], "a.example", true),
        (&["xn--mnchen-3ya.example"], "münchen.example", true),
        (&["*.a.example"], "chat.a.example", true),
        (&["*.xn--mnchen-3ya.example"], "chat.münchen.example", true),
        (&["*.a.example"], "a.example", false),
        (&["*.a.example"], "x.chat.a.example", false),
        (&["c*.a.example", "*", "*.*.example"], "chat.a.example", false),
        (&["chat.a.example"], "a.example", false),
        (&["a.example"], "chat.a.example", false),
        (&[], "a.example", false),
    ] {
        let mut end = server(proven, |_| {});
        let answer = end.feed(&header(&format!("from='{from}' to='b.example' version='1.0'")));
        let expected =
            format!("<stream:features>{}{DIALBACK}</stream:features>", if offered { EXTERNAL } else { "" });
        assert!(answer.ends_with(&expected), "{proven:?} {from}: {answer}");
    }
    // RFC 6120 §6.3.4 [S2], §5.3.1 [N8]: nor before TLS, whatever it will prove.
    let mut end = server(&[], |config| config.tls = TlsPolicy::Required);
    let answer = end.feed(&hello());
    assert!(
        answer.ends_with(
            "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
        ),
        "{answer}"
    );
}

// RFC 6120 §6.4 [S6] [S9], §4.3.5 [N3], §15 sasl-restart; XEP-0178 1.2 §3 [EX11, EX17, EX22]
#[test]
fn authorised_by_certificate() {
    let auth = |data: &str| {
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>{data}</auth>")
    };
    let response =
        |data: &str| format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{data}</response>");
    let challenge = "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    for (exchange, expected) in [
        (auth("YS5leGFtcGxl"), SUCCESS.to_owned()),
        (auth("="), SUCCESS.to_owned()),
        (auth("") + &response("YS5leGFtcGxl"), format!("{challenge}{SUCCESS}")),
        (auth("") + &response(""), format!("{challenge}{SUCCESS}")),
        // RFC 6120 §6.4.2 [S7]
        (auth("") + &auth("="), format!("{challenge}{SUCCESS}")),
    ] {
        let mut end = server(&["a.example"], |_| {});
        end.feed(&hello());
        assert_eq!(end.feed(&exchange), expected, "{exchange}");
        assert!(!end.stream.is_open() && end.events.is_empty());
        let answer = end.feed(&hello());
        assert!(answer.ends_with(EMPTY_FEATURES), "{answer}");
        assert_eq!(pair(&end.events[0]), ("a.example", "b.example", Proof::Certificate));
        end.feed(MESSAGE);
        assert!(end.stream.is_open() && end.stanzas.len() == 1, "{}", end.output());
    }
}

// RFC 6120 §6.5, §6.4.5, XEP-0178 1.2 §3 [EX17, EX18, EX19, EX22]: and whoever fails may still use dialback.
#[test]
fn external_that_fails() {
    let auth = |mechanism: &str, data: &str| {
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{data}</auth>")
    };
    for (proven, from, exchange, condition) in [
        // `b.example`, and what is no address.
        ("a.example", "a.example", auth("EXTERNAL", "Yi5leGFtcGxl"), "invalid-authzid"),
        ("a.example", "a.example", auth("EXTERNAL", "cm9tZW9AYS5leGFtcGxl"), "invalid-authzid"),
        ("a.example", "a.example", auth("EXTERNAL", "/w=="), "invalid-authzid"),
        ("a.example", "a.example", auth("EXTERNAL", "!"), "incorrect-encoding"),
        ("a.example", "a.example", auth("PLAIN", "AGEAYg=="), "invalid-mechanism"),
        (
            "a.example",
            "a.example",
            auth("EXTERNAL", "") + "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
            "aborted",
        ),
        // XEP-0178 1.2 §3: it was not offered, and is not to be had.
        ("c.example", "a.example", auth("EXTERNAL", "YS5leGFtcGxl"), "not-authorized"),
        ("c.example", "a.example", auth("EXTERNAL", "Yy5leGFtcGxl"), "not-authorized"),
        ("c.example", "a.example", auth("EXTERNAL", "="), "not-authorized"),
    ] {
        let mut end = server(&[proven], |_| {});
        end.feed(&header(&format!("from='{from}' to='b.example' version='1.0'")));
        let answer = end.feed(&exchange);
        assert!(
            answer.contains(&format!(
                "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/></failure>"
            )),
            "{exchange}: {answer}"
        );
        assert!(end.told().starts_with("AuthenticationFailed") && end.ended.is_none());
        end.feed(&result("a.example", "b.example"));
        assert!(end.answer(S2sAnswer::Verdict(Verdict::Valid)).contains("type='valid'"));
        end.feed(MESSAGE);
        assert_eq!(end.stanzas.len(), 1);
    }
    // Without `from` there is nothing to prove.
    let mut end = server(&["a.example"], |_| {});
    end.feed(&header("to='b.example' version='1.0'"));
    assert!(end.feed(AUTH).contains("<not-authorized/>"));
    // RFC 6120 §6.5.4
    let mut end = server(&[], |config| config.tls = TlsPolicy::Required);
    end.feed(&hello());
    assert!(end.feed(AUTH).contains("<encryption-required/>"));
    // RFC 6120 §6.4.4 [S11]
    let mut end = server(&["a.example"], |_| {});
    end.feed(&[hello(), auth("X", "=").repeat(5)].concat());
    assert_eq!(end.error(), StreamCondition::PolicyViolation);
}

// XEP-0178 1.2 §3 [EX20], RFC 6120 §8.1.2.2: a certificate may name others, and the stream is for the one that it was opened for.
#[test]
fn other_names_of_the_certificate_need_their_own_proof() {
    let mut end = server(&["a.example", "c.example"], |_| {});
    end.feed(&[&hello(), AUTH, &hello(), MESSAGE].concat());
    assert!(end.stream.is_open() && end.stanzas.len() == 1);
    end.feed("<message from='romeo@c.example' to='juliet@b.example'/>");
    assert_eq!((end.error(), end.stanzas.len()), (StreamCondition::InvalidFrom, 1));
}

// RFC 6120 §6.4.6 sasl-correlate [S13]
#[test]
fn the_header_after_sasl_names_whom_sasl_did() {
    let mut end = server(&["a.example", "c.example"], |_| {});
    end.feed(&[&hello(), AUTH, &header("from='c.example' to='b.example' version='1.0'")].concat());
    assert_eq!(end.error(), StreamCondition::InvalidFrom);
}

// RFC 6120 §6.4.5 [N17], §4.3.5 [N3], XEP-0178 1.2 §3 [EX13, EX15]: empty features would mean that all is well.
#[test]
fn without_a_certificate_and_without_dialback() {
    let mut end = server(&["c.example"], |config| config.dialback = None);
    end.feed(&hello());
    assert_eq!(end.error(), StreamCondition::PolicyViolation);
    // And nobody tries what was not offered.
    let mut end = server(&["a.example"], |config| config.dialback = None);
    end.feed(&[hello(), result("a.example", "b.example")].concat());
    assert_eq!(end.error(), StreamCondition::NotAuthorized);
}

// RFC 7712 §5.1: a certificate that proves nothing by itself is as good as any if somebody vouches for it; who that is is asked about before
// anything is offered, once, and only where nothing else would do
#[test]
fn somebody_vouches_for_the_certificate() {
    let vouching = |config: &mut S2sReceivingConfig| (config.dialback, config.vouching) = (None, true);
    let asks = || {
        let mut end = server(&[], vouching);
        let answer = end.feed(&hello());
        assert!(answer.ends_with("dialback'>"), "{answer}");
        assert!(matches!(&end.asks[..], [(_, S2sAsk::Vouch(domain))] if domain.as_str() == "a.example"));
        end
    };
    let mut end = asks();
    let answer = end.answer(S2sAnswer::Vouched(true));
    assert_eq!(answer, format!("<stream:features>{EXTERNAL}</stream:features>"));
    end.feed(&[AUTH, &hello()].concat());
    assert!(end.stream.is_open() && end.asks.is_empty(), "{}", end.output());
    assert_eq!(pair(&end.events[0]), ("a.example", "b.example", Proof::Certificate));
    // For no other domain.
    let mut end = asks();
    end.answer(S2sAnswer::Vouched(true));
    end.feed(&[AUTH, &header("from='c.example' to='b.example' version='1.0'")].concat());
    assert_eq!(end.error(), StreamCondition::InvalidFrom);

    for answer in [Some(S2sAnswer::Vouched(false)), Some(S2sAnswer::Unavailable), None] {
        let mut end = asks();
        match answer {
            Some(answer) => drop(end.answer(answer)),
            None => drop(end.wait()),
        }
        assert_eq!(end.error(), StreamCondition::PolicyViolation);
    }
    // Nothing that comes before the answer helps.
    let mut end = asks();
    assert!(end.feed(AUTH).contains("<not-authorized/>"));

    for (proven, dialback, from) in
        [(&["a.example"][..], false, "from='a.example'"), (&[], true, "from='a.example'"), (&[], true, "")]
    {
        let mut end = server(proven, |config| {
            vouching(config);
            config.dialback = dialback.then(|| Secret::new(SECRET.into()));
        });
        let answer = end.feed(&header(&format!("{from} to='b.example' version='1.0'")));
        assert!(answer.ends_with("</stream:features>") && end.asks.is_empty(), "{answer}");
    }
}

// XEP-0220 1.1.1 §2.2.1 [DB13, DB15, DB20, DB24]: an ask that the stream does not wait for; then stanzas of this pair flow.
#[test]
fn authorised_by_dialback() {
    let mut end = server(&[], |_| {});
    end.feed(&hello());
    let id = stream_id(&end.output()).to_owned();
    assert_eq!(end.feed(&result("a.example", "b.example")), "");
    let [(_, S2sAsk::VerifyDialback(verification))] = &end.asks[..] else { panic!("{:?}", end.asks) };
    let expected = Verification {
        from: "a.example".parse().unwrap(),
        to: "b.example".parse().unwrap(),
        id,
        key: "the key".into(),
    };
    assert_eq!(*verification, expected);
    // Meanwhile the stream goes on.
    assert!(
        end.feed("<db:verify from='c.example' to='b.example' id='x'>k</db:verify>")
            .contains("type='invalid'")
    );
    assert!(!end.stream.is_open());
    assert_eq!(
        end.answer(S2sAnswer::Verdict(Verdict::Valid)),
        "<db:result from='b.example' to='a.example' type='valid'/>"
    );
    assert!(end.stream.is_open());
    assert_eq!(pair(&end.events[0]), ("a.example", "b.example", Proof::Dialback));
    end.feed(MESSAGE);
    assert_eq!(end.stanzas.len(), 1);
}

// RFC 6120 §4.9.3.12 [N16], XEP-0220 1.1.1 §2.2.1 [DB13]: not before it is known.
#[test]
fn stanzas_before_the_verdict() {
    for first in ["", &result("a.example", "b.example")] {
        let mut end = server(&["a.example"], |_| {});
        end.feed(&[&hello(), first, MESSAGE].concat());
        assert_eq!(end.error(), StreamCondition::NotAuthorized);
        assert!(end.stanzas.is_empty());
    }
}

// XEP-0220 1.1.1 §2.2.1, §2.5 [DB20, DB21, DB27, DB28]
#[test]
fn dialback_that_fails() {
    let told = |verdict: &str| format!("<db:result from='b.example' to='a.example' type={verdict}");
    let error = |kind: &str, condition: &str| {
        told(&format!(
            "'error'><error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>"
        ))
    };
    let timeout = error("wait", "remote-server-timeout");
    for (answer, expected) in [
        (S2sAnswer::Verdict(Verdict::Invalid), told("'invalid'/>") + "</stream:stream>"),
        (
            S2sAnswer::Verdict(Verdict::Error(ErrorCondition::RemoteServerNotFound)),
            error("cancel", "remote-server-not-found"),
        ),
        (S2sAnswer::Unavailable, timeout.clone()),
    ] {
        let closes = expected.ends_with("</stream:stream>");
        let mut end = server(&[], |_| {});
        end.feed(&[hello(), result("a.example", "b.example")].concat());
        assert_eq!(end.answer(answer), expected);
        assert!(end.told().starts_with("AuthenticationFailed") && end.ended.is_none());
        if closes {
            end.feed("</stream:stream>");
            assert_eq!(end.ended, Some(Ok(())));
        } else {
            // An error is not fatal: the peer may try again.
            end.feed(&result("a.example", "b.example"));
            assert!(end.answer(S2sAnswer::Verdict(Verdict::Valid)).contains("'valid'"));
        }
    }
    // habits.md: every ask is answered once or expires.
    let mut end = server(&[], |_| {});
    end.feed(&[hello(), result("a.example", "b.example")].concat());
    assert_eq!(end.wait(), timeout);
    let (ticket, _) = end.asks.remove(0);
    assert!(end.stream.answer(ticket, S2sAnswer::Verdict(Verdict::Valid)).is_err());
    end.feed(MESSAGE);
    assert_eq!(end.error(), StreamCondition::NotAuthorized);
}

// XEP-0220 1.1.1 §2.1.2, §2.5, §2.6.1 [DB21, DB29, DB30]: pairs are decided one by one, and one that is refused does no harm to the others.
#[test]
fn many_pairs_on_one_stream() {
    let mut end = open();
    for (from, to) in
        [("c.example", "b.example"), ("a.example", "chat.b.example"), ("d.example", "b.example")]
    {
        assert_eq!(end.feed(&result(from, to)), "");
    }
    // In whatever order the answers come.
    let (second, _) = end.asks.remove(1);
    end.stream.answer(second, S2sAnswer::Verdict(Verdict::Valid)).unwrap();
    assert_eq!(end.feed(""), "<db:result from='chat.b.example' to='a.example' type='valid'/>");
    let refused = end.answer(S2sAnswer::Verdict(Verdict::Invalid));
    assert!(refused.contains("to='c.example' type='error'><error type='auth'><forbidden "), "{refused}");
    assert!(end.ended.is_none() && end.stream.is_open());
    assert!(end.answer(S2sAnswer::Verdict(Verdict::Valid)).contains("to='d.example' type='valid'"));
    end.feed("<message from='x@a.example' to='y@chat.b.example'/><message from='d.example' to='b.example'/>");
    assert_eq!(end.stanzas.len(), 2, "{}", end.output());
    // Per pair: what two pairs have in common is not a third.
    end.feed("<message from='d.example' to='y@chat.b.example'/>");
    assert_eq!(end.error(), StreamCondition::InvalidFrom);
}

// habits.md: every list has a bound.
#[test]
fn pairs_are_bounded_and_asked_for_once() {
    let mut end = server(&["a.example"], |config| config.limits.domain_pairs = 3);
    end.feed(&[&hello(), AUTH, &hello()].concat());
    end.feed(&result("1.example", "b.example"));
    assert_eq!(end.feed(&result("1.example", "b.example")), "");
    end.feed(&result("2.example", "b.example"));
    assert_eq!(end.asks.len(), 2);
    let refused = end.feed(&result("3.example", "b.example"));
    assert!(
        refused.contains("to='3.example' type='error'><error type='wait'><resource-constraint "),
        "{refused}"
    );
    // A pair that is authorised is so; it costs no ask to say it again.
    assert!(end.feed(&result("a.example", "b.example")).ends_with("to='a.example' type='valid'/>"));
    assert_eq!(end.asks.len(), 2);
    // What has failed makes room.
    end.answer(S2sAnswer::Unavailable);
    assert_eq!(end.feed(&result("3.example", "b.example")), "");
}

// RFC 6120 §6.4.4 [S11], XEP-0220 1.1.1 §2.4.2: each request makes us connect to somebody, so who has proven nothing has five.
#[test]
fn who_has_proven_nothing_has_few_requests() {
    let requests: String = (0..20).map(|n| result(&format!("{n}.example"), "b.example")).collect();
    let mut end = server(&[], |_| {});
    assert!(!end.feed(&[hello(), requests.clone()].concat()).contains("<db:"));
    for n in 0..5 {
        assert_eq!(end.asks.len(), 5 - n);
        assert!(end.ended.is_none());
        end.answer(S2sAnswer::Verdict(Verdict::Error(ErrorCondition::RemoteServerNotFound)));
    }
    assert!(end.asks.is_empty());
    assert_eq!(end.error(), StreamCondition::PolicyViolation);

    // One after the other they are no more.
    let mut end = server(&[], |_| {});
    end.feed(&hello());
    for n in 0..5 {
        assert!(end.ended.is_none());
        end.feed(&result(&format!("{n}.example"), "b.example"));
        end.answer(S2sAnswer::Unavailable);
    }
    assert_eq!(end.error(), StreamCondition::PolicyViolation);

    // Nor if they are given up in between.
    for give_up in [AUTH, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"] {
        let mut end = server(&[], |config| config.tls = TlsPolicy::Optional);
        end.feed(&[&hello(), &requests, give_up, &hello(), &requests].concat());
        assert!(end.ended.is_some() && end.asks.len() == 5, "{give_up}");
    }

    // The others wait, and are asked about when the first of them is proven.
    let mut end = server(&[], |_| {});
    end.feed(&[hello(), requests].concat());
    end.answer(S2sAnswer::Unavailable);
    end.answer(S2sAnswer::Verdict(Verdict::Valid));
    assert!(end.stream.is_open() && end.asks.len() == 18, "{}", end.asks.len());
}

// XEP-0220 1.1.1 §2.2.2 [DB23, DB24, DB25], XEP-0185 1.0 §3 [DK4]: our own keys are judged without asking anybody.
#[test]
fn keys_of_our_own() {
    let key = dialback_key(SECRET, "a.example", "b.example", "id&1");
    let verify = |to: &str, id: &str, key: &str| {
        format!("<db:verify from='a.example' to='{to}' id='{id}'> {key}\n</db:verify>")
    };
    let answer = |verdict: &str| {
        format!("<db:verify from='b.example' to='a.example' id='id&amp;1' type='{verdict}'/>")
    };
    let mut end = server(&[], |_| {});
    end.feed(&hello());
    assert_eq!(end.feed(&verify("b.example", "id&amp;1", &key)), answer("valid"));
    assert_eq!(end.feed(&verify("b.example", "id&amp;1", &key.to_uppercase())), answer("invalid"));
    assert_eq!(end.feed(&verify("b.example", "id&amp;1", &key[1..])), answer("invalid"));
    assert_eq!(end.feed(&verify("b.example", "id&amp;1", "")), answer("invalid"));
    for (to, id) in [("b.example", "other"), ("chat.b.example", "id&amp;1")] {
        assert!(end.feed(&verify(to, id, &key)).contains("type='invalid'"));
    }
    // XEP-0220 1.1.1 §2.2.2: never a stream error.
    let unknown = end.feed(&verify("c.example", "id", &key));
    assert!(
        unknown.starts_with("<db:verify from='c.example' to='a.example' id='id' type='error'>"),
        "{unknown}"
    );
    assert!(unknown.contains("<item-not-found "));
    assert!(end.asks.is_empty() && end.ended.is_none());
}

// XEP-0220 1.1.1 §2.2.1 [DB14]: a target that is not ours is no stream error either.
#[test]
fn dialback_to_somebody_else() {
    let mut end = open();
    for to in ["c.example", "old.b.example"] {
        let answer = end.feed(&result("a.example", to));
        assert!(answer.contains(" type='error'><error type='cancel'><item-not-found "), "{answer}");
    }
    assert!(end.asks.is_empty() && end.stream.is_open());
}

// XEP-0220 1.1.1 §3.1 [DB26], XEP-0288 1.0.1 §4 [BD9]: answers belong on streams on which we ask, and that are those that we have opened,
// also where stanzas go both ways.
#[test]
fn answers_that_nobody_waits_for() {
    for is_bidi in [false, true] {
        let mut end = server(&[], |config| config.bidi = is_bidi);
        let bidi = if is_bidi { BIDI } else { "" };
        end.feed(&[&hello(), bidi, &result("a.example", "b.example")].concat());
        assert_eq!(end.stream.is_bidirectional(), is_bidi);
        for kind in ["valid", "invalid", "error"] {
            for (name, from, to) in
                [("result", "a.example", "b.example"), ("verify", "a.example", "b.example")]
            {
                let id = stream_id(&end.output()).to_owned();
                let spoof = format!("<db:{name} from='{from}' to='{to}' id='{id}' type='{kind}'/>");
                assert_eq!(end.feed(&spoof), "", "{spoof}");
            }
        }
        assert!(!end.stream.is_open() && end.events.is_empty() && end.asks.len() == 1);
    }
}

// RFC 6120 §4.9.3.7, §4.9.3.1, §4.9.3.24
#[test]
fn malformed_dialback() {
    use StreamCondition as C;
    for (bytes, condition) in [
        ("<db:result to='b.example'>k</db:result>", C::ImproperAddressing),
        ("<db:result from='a.example'>k</db:result>", C::ImproperAddressing),
        ("<db:result from='romeo@a.example' to='b.example'>k</db:result>", C::ImproperAddressing),
        ("<db:result from='a.example/r' to='b.example'>k</db:result>", C::ImproperAddressing),
        ("<db:result from='' to='b.example'>k</db:result>", C::ImproperAddressing),
        ("<db:verify from='a.example' to='b.example'>k</db:verify>", C::BadFormat),
        ("<db:confirm from='a.example' to='b.example'>k</db:confirm>", C::UnsupportedStanzaType),
    ] {
        let mut end = server(&[], |_| {});
        end.feed(&[&hello(), bytes].concat());
        assert_eq!(end.error(), condition, "{bytes}");
    }
}

// XEP-0220 1.1.1 §2.4.2, XEP-0344 0.4 [DW7]: policy-violation where TLS is required first.
#[test]
fn dialback_before_tls() {
    let mut end = server(&[], |config| config.tls = TlsPolicy::Required);
    end.feed(&hello());
    for request in
        [&result("a.example", "b.example"), "<db:verify from='a.example' to='b.example' id='x'>k</db:verify>"]
    {
        let answer = end.feed(request);
        assert!(answer.contains(" type='error'><error type='modify'><policy-violation "), "{answer}");
    }
    assert!(end.asks.is_empty() && end.ended.is_none());
    // Where it is not, both are offered.
    let mut end = server(&[], |config| config.tls = TlsPolicy::Optional);
    let answer = end.feed(&hello());
    assert!(
        answer.contains(&format!("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{DIALBACK}")),
        "{answer}"
    );
}

// RFC 6120 §5.4.3.3 [N12] [N13], XEP-0178 1.2 §3 [EX19]: nothing from before TLS counts after it, nor who the peer said to be.
#[test]
fn starttls_begins_anew() {
    let mut end = server(&[], |config| config.tls = TlsPolicy::Optional);
    end.security = proving(&["a.example"]);
    end.feed(&[hello(), result("a.example", "b.example")].concat());
    let answer = end.feed("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert_eq!(answer, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    let (ticket, _) = end.asks.remove(0);
    assert!(end.stream.answer(ticket, S2sAnswer::Verdict(Verdict::Valid)).is_err());
    let answer = end.feed(&hello());
    assert!(
        answer.ends_with(&format!("<stream:features>{EXTERNAL}{DIALBACK}</stream:features>")),
        "{answer}"
    );
    let mut other = server(&[], |config| config.tls = TlsPolicy::Optional);
    other.security = proving(&["a.example"]);
    other.feed(&(hello() + "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
    let answer_to_other = other.feed(&header("from='c.example' to='b.example' version='1.0'"));
    assert!(answer_to_other.ends_with(&format!("<stream:features>{DIALBACK}</stream:features>")));
    // RFC 6120 §5.4.2.2 [N10]
    let answer = end.feed("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert_eq!(answer, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>");
}

// RFC 6120 §8.1.1.2 stanza-attribute-to-validate, §8.1.2.2 stanza-attribute-from-validate [ST8] [Q3], RFC 7622 §4 [JE6], RFC 6120, §4.9.3.24
#[test]
fn stanzas_that_end_the_stream() {
    use StreamCondition as C;
    for (bytes, condition) in [
        ("<message from='romeo@a.example'/>", C::ImproperAddressing),
        ("<message to='juliet@b.example'/>", C::ImproperAddressing),
        ("<presence/>", C::ImproperAddressing),
        ("<message from='romeo@a.example' to='juliet@b..example'/>", C::ImproperAddressing),
        ("<message from='romeo@/x' to='juliet@b.example'/>", C::ImproperAddressing),
        ("<iq type='get' id='1' to='b.example'/>", C::ImproperAddressing),
        ("<message from='romeo@a.example' to='juliet@c.example'/>", C::HostUnknown),
        ("<message from='romeo@a.example' to='romeo@a.example'/>", C::HostUnknown),
        ("<message from='romeo@a.example' to='juliet@old.b.example'/>", C::HostGone),
        ("<message from='romeo@c.example' to='juliet@b.example'/>", C::InvalidFrom),
        ("<message from='romeo@x.a.example' to='juliet@b.example'/>", C::InvalidFrom),
        ("<message from='juliet@b.example' to='juliet@b.example'/>", C::InvalidFrom),
        ("<message from='romeo@a.example' to='juliet@chat.b.example'/>", C::InvalidFrom),
        ("<iq type='get' id='1' from='romeo@c.example' to='b.example'/>", C::InvalidFrom),
        ("<message from='ro meo@c.example' to='juliet@b.example'/>", C::InvalidFrom),
        ("<message from='romeo@a.example' to='ju liet@c.example'/>", C::HostUnknown),
        ("<order xmlns='urn:example'/>", C::UnsupportedStanzaType),
        (
            "<message xmlns='jabber:client' from='romeo@a.example' to='juliet@b.example'/>",
            C::UnsupportedStanzaType,
        ),
        // RFC 6120 §4.9.3.2
        (
            "<x:message xmlns:x='jabber:server' from='romeo@a.example' to='juliet@b.example'/>",
            C::BadNamespacePrefix,
        ),
    ] {
        let mut end = open();
        end.feed(bytes);
        assert_eq!(end.error(), condition, "{bytes}");
        assert!(end.stanzas.is_empty() && end.events.len() == 1, "{bytes}");
    }
}

// RFC 7622 §4 [JE2], appendix A: what other servers take for an address is none here. That ends no stream of others, as section 4.9.3.7 of RFC 6120
// would have it.
#[test]
fn an_address_of_older_rules_ends_no_stream() {
    for from in
        ["\u{263a}@a.example", "ro meo@a.example", "@a.example", "r@a.example/\u{1160}", "r@a.example/"]
    {
        let mut end = open();
        let events = end.events.len();
        end.feed(&format!("<message from='{from}' to='juliet@b.example' id='1'/>{MESSAGE}"));
        assert!(end.ended.is_none(), "{from} {:?}", end.ended);
        assert_eq!((end.stanzas.len(), end.events.len()), (1, events), "{from}");
    }
    // Who can be told is told.
    for to in ["\u{263a}@b.example/x", "@b.example", "juliet@b.example/\u{1160}"] {
        let mut end = open();
        end.events.clear();
        end.feed(&format!("<message from='romeo@a.example/x' to='{to}' id='1'/>{MESSAGE}"));
        assert!(end.ended.is_none(), "{to} {:?}", end.ended);
        let [S2sEvent::Reply(reply)] = &end.events[..] else { panic!("{to} {:?}", end.events) };
        assert!(
            reply
                .to_xml()
                .starts_with("<message from='b.example' to='romeo@a.example/x' type='error' id='1'>"),
            "{}",
            reply.to_xml()
        );
        assert!(reply.to_xml().contains("<jid-malformed "), "{}", reply.to_xml());
        end.feed(&format!("<message type='error' from='romeo@a.example/x' to='{to}' id='1'/>"));
        assert_eq!((end.stanzas.len(), end.events.len()), (1, 1), "{to}");
    }
}

// RFC 7622 §4 [JE2]: the same of a stanza that is wrong in another way, too, which is found first.
#[test]
fn an_address_of_older_rules_ends_no_stream_whatever_else_is_wrong() {
    let deep = ["<a>".repeat(300), "</a>".repeat(300)].concat();
    for (kind, rest, inside) in [
        ("message", "", &*deep),
        ("iq", "type='get' id='1'", ""),
        ("iq", "type='what' id='1'", "<a/>"),
        ("presence", "type='what'", ""),
    ] {
        let stanza = |from, to| format!("<{kind} from='{from}' to='{to}' {rest}>{inside}</{kind}>");
        let mut end = open();
        let events = end.events.len();
        end.feed(&[&*stanza("\u{263a}@a.example", "juliet@b.example"), MESSAGE].concat());
        assert!(end.ended.is_none(), "{kind} {rest} {:?}", end.ended);
        assert_eq!((end.stanzas.len(), end.events.len()), (1, events), "{kind} {rest}");
        let mut end = open();
        end.events.clear();
        end.feed(&[&*stanza("romeo@a.example", "\u{263a}@b.example"), MESSAGE].concat());
        assert!(end.ended.is_none(), "{kind} {rest} {:?}", end.ended);
        let [S2sEvent::Reply(reply)] = &end.events[..] else { panic!("{kind} {rest} {:?}", end.events) };
        let begin = format!("<{kind} from='b.example' to='romeo@a.example' type='error'");
        assert!(reply.to_xml().starts_with(&begin), "{}", reply.to_xml());
        // Who may not speak for the domain is told nothing.
        let mut end = open();
        end.events.clear();
        end.feed(&stanza("romeo@c.example", "\u{263a}@b.example"));
        assert!(end.ended.is_some() && end.events.is_empty(), "{kind} {rest} {:?}", end.events);
    }
}

// RFC 6120 §8.2.3 stanza-iq-child, §4.5 [N18]: the reply can't go back on this stream, so its owner gets it.
#[test]
fn replies_take_another_stream() {
    let mut end = open();
    end.events.clear();
    assert_eq!(end.feed("<iq type='get' id='1' from='romeo@a.example/x' to='b.example'/>"), "");
    let [S2sEvent::Reply(reply)] = &end.events[..] else { panic!("{:?}", end.events) };
    let mut wire = Vec::new();
    reply.write(&mut wire);
    let wire = String::from_utf8(wire).unwrap();
    assert!(wire.starts_with("<iq from='b.example' to='romeo@a.example/x' type='error' id='1'>"), "{wire}");
    // RFC 6120 §8.3.3.12
    let deep = "<a>".repeat(600) + &"</a>".repeat(600);
    let message = format!("<message id='2' from='romeo@a.example/x' to='b.example'>{deep}</message>");
    assert_eq!(end.feed(&message), "");
    let Some(S2sEvent::Reply(reply)) = end.events.pop() else { panic!("{:?}", end.events) };
    let error = StanzaError::from_payload(reply.payload.parse().unwrap().root()).unwrap();
    assert_eq!((reply.head.id.as_deref(), error.condition), (Some("2"), ErrorCondition::PolicyViolation));
    // An error is never answered with another.
    end.feed("<iq type='error' from='romeo@a.example/x' to='b.example'/>");
    assert!(end.events.len() == 1 && end.stream.is_open());
}

// RFC 6120 §4.5 [N18]
#[test]
fn the_receiving_end_only_receives() {
    let mut end = open();
    let stanza = Stanza::message(MessageType::Chat)
        .with_from("juliet@b.example".parse().unwrap())
        .with_to("romeo@a.example".parse().unwrap());
    assert!(end.stream.send(&stanza, &mut end.out).is_err());
    let (a, b) = ("a.example".parse().unwrap(), "b.example".parse().unwrap());
    assert!(end.stream.authorize(b, a).is_err());
    assert_eq!(end.output(), "");
}

// RFC 6120 §4.7.4 [H18]
#[test]
fn the_stream_language_is_added() {
    let mut end = server(&["a.example"], |_| {});
    let header = header("from='a.example' to='b.example' version='1.0' xml:lang='it'");
    end.feed(&[&header, AUTH, &header, MESSAGE].concat());
    assert_eq!(end.stanzas[0].head.lang.as_deref(), Some("it"));
}

// RFC 6120 §4.4 [W5], §4.6 [W3]
#[test]
fn the_end() {
    // Who is idle is closed; whoever has something to say opens another.
    let mut end = open();
    assert_eq!(end.wait(), "</stream:stream>");
    // What was on its way still counts, and nothing is answered.
    end.feed(&[MESSAGE, &result("c.example", "b.example"), "</stream:stream>"].concat());
    assert_eq!((end.stanzas.len(), &end.ended), (1, &Some(Ok(()))));
    assert_eq!(end.output(), "</stream:stream>");
    assert!(end.asks.is_empty());

    // RFC 6120 §4.9.3.4 [W4]: who has said nothing of use was asked, and did not answer.
    let mut end = server(&[], |_| {});
    end.feed(&hello());
    end.wait();
    assert_eq!(end.error(), StreamCondition::ConnectionTimeout);
    // XEP-0220 1.1.1 §2.1.2: but a stream for keys only is in order.
    let mut end = server(&[], |_| {});
    end.feed(&[&hello(), "<db:verify from='c.example' to='b.example' id='x'>k</db:verify>"].concat());
    assert_eq!(end.wait(), "</stream:stream>");
    assert!(end.ended.is_none());
    // Nor is anything decided after the end.
    let mut end = server(&[], |_| {});
    end.feed(&[hello(), result("a.example", "b.example")].concat());
    end.stream.close(end.now, &mut end.out);
    let (ticket, _) = end.asks.remove(0);
    assert!(end.stream.answer(ticket, S2sAnswer::Verdict(Verdict::Valid)).is_err());
    end.feed(MESSAGE);
    assert!(end.stanzas.is_empty() && end.output().ends_with("</stream:stream>"));
}

// XEP-0220 1.1.1 §2.1.2: a stream for keys only goes on as long as it is used, but not for ever.
#[test]
fn a_stream_for_keys_only_has_an_end() {
    let verify = "<db:verify from='c.example' to='b.example' id='x'>k</db:verify>";
    let mut end = server(&[], |_| {});
    end.feed(&hello());
    let mut lasted = Duration::ZERO;
    while end.feed(verify).contains("type='invalid'") {
        lasted += Duration::from_secs(59);
        end.now = end.now + Duration::from_secs(59);
        assert!(lasted < Duration::from_secs(3600), "it lasts for ever");
    }
    assert!(lasted > Duration::from_secs(599), "{lasted:?}");
    assert!(end.output().ends_with("</stream:stream>") && !end.output().contains("stream:error"));
    end.wait();
    assert_eq!(end.ended, Some(Ok(())));
    // Whoever shows who they are in time stays.
    let mut end = server(&[], |_| {});
    end.feed(&[&hello(), verify, &result("a.example", "b.example")].concat());
    end.answer(S2sAnswer::Verdict(Verdict::Valid));
    end.now = end.now + Duration::from_secs(599);
    end.feed(&[verify, MESSAGE].concat());
    end.now = end.now + Duration::from_secs(599);
    assert!(end.feed(verify).contains("type='invalid'") && end.stream.is_open());
}

// XEP-0185 1.0 §2 [DK1], §3, XEP-0220 1.1.1 §2.1.1 and §2.1.2
#[test]
fn the_keys_of_the_specifications() {
    for (secret, receiving, originating, id, key) in [
        (
            "s3cr3tf0rd14lb4ck",
            "xmpp.example.com",
            "example.org",
            "D60000229F",
            "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643",
        ),
        (
            "s3cr3tf0rd14lb4ck",
            "montague.example",
            "capulet.example",
            "D60000229F",
            "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3",
        ),
        (
            "d14lb4ck43v3r",
            "capulet.example",
            "montague.example",
            "417GAF25",
            "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d",
        ),
    ] {
        assert_eq!(dialback_key(secret, receiving, originating, id), key);
    }
}

// RFC 6120 §4.7.2 [H7]: the answer echoes `from` as it was sent, whatever its case, and only if it is a domain
#[test]
fn the_answer_to_a_header_echoes_from() {
    for (from, echoed) in [("a.example", true), ("A.Example", true), ("romeo@a.example", false), ("@", false)]
    {
        let mut end = server(&[], |_| {});
        let answer = end.feed(&header(&format!("from='{from}' to='b.example' version='1.0'")));
        assert_eq!(answer.contains(&format!(" from='b.example' to='{from}' ")), echoed, "{answer}");
        assert_eq!(answer.contains(" to='"), echoed, "{answer}");
    }
}

const BIDI: &str = "<bidi xmlns='urn:xmpp:bidi'/>";

fn back(from: &str, to: &str) -> Stanza {
    Stanza::message(MessageType::Chat).with_from(from.parse().unwrap()).with_to(to.parse().unwrap())
}

// XEP-0288 1.0.1 §2.1, §2.2 [BD4, BD6], §2.3: offered after TLS, asked for before authentication, and for the inverse of what is proven
#[test]
fn both_ways_on_one_stream() {
    for by_certificate in [true, false] {
        let mut end = server(if by_certificate { &["a.example"] } else { &[] }, |config| config.bidi = true);
        let offer = end.feed(&hello());
        assert!(offer.contains("<bidi xmlns='urn:xmpp:features:bidi'/></stream:features>"), "{offer}");
        // Nothing comes back.
        assert_eq!(end.feed(BIDI), "");
        assert!(end.stream.is_bidirectional());
        if by_certificate {
            let said = end.feed(&[AUTH, &hello()].concat());
            assert!(said.ends_with(EMPTY_FEATURES), "{said}");
        } else {
            end.feed(&result("a.example", "b.example"));
            assert!(end.stream.send(&back("juliet@b.example", "romeo@a.example"), &mut Vec::new()).is_err());
            end.answer(S2sAnswer::Verdict(Verdict::Valid));
        }
        assert!(end.stream.is_open());
        let mut out = Vec::new();
        end.stream.send(&back("juliet@b.example/balcony", "romeo@a.example"), &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().starts_with("<message "));
        for (from, to) in [
            ("juliet@chat.b.example", "romeo@a.example"),
            ("juliet@b.example", "romeo@c.example"),
            ("romeo@a.example", "juliet@b.example"),
        ] {
            assert!(end.stream.send(&back(from, to), &mut Vec::new()).is_err(), "{from} {to}");
        }
    }
}

// XEP-0288 §2.2: too late, before TLS, or where it was not offered, it is nothing
#[test]
fn not_both_ways() {
    let mut end = server(&["a.example"], |_| {});
    let offer = end.feed(&hello());
    assert!(!offer.contains("bidi"), "{offer}");
    assert!(end.feed(BIDI).contains("<not-authorized "));
    let mut end = server(&["a.example"], |config| config.bidi = true);
    end.feed(&[&hello(), AUTH, &hello()].concat());
    assert!(!end.stream.is_bidirectional());
    assert!(end.feed(BIDI).contains("<unsupported-stanza-type "));
    let mut end = server(&[], |config| (config.bidi, config.tls) = (true, TlsPolicy::Required));
    let offer = end.feed(&hello());
    assert!(!offer.contains("bidi"), "{offer}");
    assert!(end.feed(BIDI).contains("<not-authorized "));
}

// RFC 6120 §4.8.2: a header need not declare a content namespace; then each first-level element brings its own.
#[test]
fn a_header_without_a_content_namespace() {
    let own = |element: &str| element.replacen(" from=", " xmlns='jabber:server' from=", 1);
    let attributes = "from='a.example' to='b.example' version='1.0'";
    for header in [
        format!("<stream xmlns='{STREAM}' {attributes}>"),
        format!("<s:stream xmlns:s='{STREAM}' {attributes}>"),
    ] {
        let mut end = server(&["a.example"], |_| {});
        end.feed(&[&header, AUTH, &header].concat());
        assert!(end.stream.is_open(), "{}", end.output());
        end.feed(&own(MESSAGE));
        let [stanza] = &end.stanzas[..] else { panic!("{}", end.output()) };
        assert_eq!(stanza.payload.as_bytes(), b"<body>Hi</body>");
        // What declares none is no stanza.
        end.feed(MESSAGE);
        assert_eq!(end.error(), StreamCondition::UnsupportedStanzaType);

        // XEP-0220 1.1.1 §2.1.1: dialback likewise.
        let mut end = server(&[], |_| {});
        end.feed(&header);
        end.feed("<result xmlns='jabber:server:dialback' from='a.example' to='b.example'>key</result>");
        assert_eq!(end.asks.len(), 1, "{}", end.output());
    }
}
