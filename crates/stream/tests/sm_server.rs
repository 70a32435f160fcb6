//! Stream management at the server (XEP-0198), under the bytes of a scripted client.
#![allow(clippy::unwrap_used, reason = "tests")]

mod scripted;

use core::time::Duration;
use std::sync::Arc;

use balcony_machine::{Instant, Secret, Seed};
use balcony_stanza::{ErrorCondition, MessageType, Stanza, StreamCondition};
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent, ServerStreamConfig};
use balcony_stream::{Counts, Error, ServerStream, TlsPolicy};
use balcony_xep::sm::{Enabled, Resumable};
use scripted::End;

type Server = End<balcony_stream::server::Server>;

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";
const PLAIN: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABwZW5jaWw=</auth>";
const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true' max='600'/>";
const R: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const SM: &str = "<sm xmlns='urn:xmpp:sm:3'/>";
const INVALID: &str = "<message to='@' id='i'/>";
const JID: &str = "juliet@example.com/balcony";

fn a(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

fn resume(h: u32) -> String {
    format!("<resume xmlns='urn:xmpp:sm:3' h='{h}' previd='s'/>")
}

fn failed(condition: &str) -> String {
    format!(
        "<failed xmlns='urn:xmpp:sm:3'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
    )
}

fn with(change: impl FnOnce(&mut ServerStreamConfig)) -> Server {
    let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
    config.tls = TlsPolicy::Direct;
    config.management = true;
    change(&mut config);
    End::new(ServerStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO)).secured(&[])
}

fn authenticated_with(change: impl FnOnce(&mut ServerStreamConfig)) -> Server {
    let mut server = with(change);
    server.feed(&[HEADER, PLAIN].concat());
    server.answer(ServerAnswer::Verified(Some([7; 16].into())));
    server.feed(HEADER);
    server
}

fn authenticated() -> Server {
    authenticated_with(|_| {})
}

fn bound() -> Server {
    let mut server = authenticated();
    server.feed(BIND);
    server.answer(ServerAnswer::Bound(Ok(JID.parse().unwrap())));
    assert!(server.stream.is_open());
    server.events.clear();
    server
}

fn resumable() -> Enabled<'static> {
    Enabled { resumable: Some(Resumable { id: "s".into(), max: Some(300), location: None }) }
}

fn enabled() -> Server {
    let mut server = bound();
    server.feed(ENABLE);
    server.answer(ServerAnswer::Enabled(Ok(resumable())));
    server
}

/// A server that has sent so many messages, and what it has counted.
fn suspended(sent: u32, h: u32) -> Counts {
    let mut server = enabled();
    for _ in 0..sent {
        send(&mut server);
    }
    for _ in 0..h {
        server.feed("<message/>");
    }
    server.stream.handled(h, &mut server.out);
    server.stream.counts().unwrap().clone()
}

fn send(server: &mut Server) {
    server.stream.send(&Stanza::message(MessageType::Chat), &mut server.out).unwrap();
}

/// What is written when so many more are handled.
fn handle(server: &mut Server, count: u32) -> String {
    let before = server.out.len();
    server.stream.handled(count, &mut server.out);
    String::from_utf8(server.out[before..].to_vec()).unwrap()
}

// XEP-0198 1.6.3 §3 [SM1, SM4]
#[test]
fn it_is_offered_after_the_login_and_granted_by_the_owner() {
    let mut server = with(|_| {});
    assert!(!server.feed(HEADER).replace(&format!("</bind>{SM}"), "").contains(SM));
    assert!(authenticated().output().contains(SM));
    assert!(!authenticated_with(|config| config.management = false).output().contains(SM));

    let mut server = bound();
    assert_eq!(server.feed(ENABLE), "");
    let (_, ask) = &server.asks[0];
    assert!(matches!(ask, ServerAsk::Enable(enable) if enable.resume && enable.max == Some(600)), "{ask:?}");
    assert_eq!(
        server.answer(ServerAnswer::Enabled(Ok(resumable()))),
        "<enabled xmlns='urn:xmpp:sm:3' id='s' max='300' resume='true'/>"
    );
    assert!(matches!(server.events[..], [ServerEvent::Enabled]));
    assert!(server.stream.counts().is_some());

    let mut server = bound();
    server.feed("<enable xmlns='urn:xmpp:sm:3'/>");
    assert!(matches!(&server.asks[0].1, ServerAsk::Enable(enable) if !enable.resume && enable.max.is_none()));
    let refused = server.answer(ServerAnswer::Enabled(Err(ErrorCondition::ServiceUnavailable)));
    assert_eq!(refused, failed("service-unavailable"));
    assert!(server.events.is_empty() && server.stream.counts().is_none());
    // Nothing was counted, so it can be tried again.
    server.feed(ENABLE);
    assert_eq!(server.answer(ServerAnswer::Unavailable), failed("internal-server-error"));
}

// XEP-0198 1.6.3 §3 [SM2]
#[test]
fn too_early() {
    let mut server = with(|_| {});
    server.feed(HEADER);
    for element in [ENABLE, R, &a(0), &resume(0)] {
        assert_eq!(server.feed(element), failed("unexpected-request"), "{element}");
    }
    // In the middle of an exchange there is nothing else (RFC 6120 §4.9.3.12).
    server.feed("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>");
    server.feed(ENABLE);
    assert_eq!(server.error(), StreamCondition::NotAuthorized);

    let mut server = authenticated();
    for element in [ENABLE, R, &a(0)] {
        assert_eq!(server.feed(element), failed("unexpected-request"), "{element}");
    }
    server.feed(BIND);
    assert_eq!(server.asks.len(), 1);

    let mut server = bound();
    for element in [R, &a(0)] {
        assert_eq!(server.feed(element), failed("unexpected-request"), "{element}");
    }
    assert!(server.stream.is_open());
}

// XEP-0198 1.6.3 §3 [SM3], §5 [SM13]
#[test]
fn too_late() {
    let mut server = enabled();
    assert_eq!(server.feed(&resume(0)), failed("unexpected-request"));
    server.feed(ENABLE);
    assert_eq!(server.error(), StreamCondition::PolicyViolation);

    let mut server = bound();
    assert_eq!(server.feed(&resume(0)), failed("unexpected-request"));
    assert!(server.asks.is_empty());
}

// Where it is not on offer its elements are no stanzas, as others are not.
#[test]
fn not_on_offer() {
    for element in [ENABLE, R] {
        let mut server = authenticated_with(|config| config.management = false);
        server.feed(BIND);
        server.answer(ServerAnswer::Bound(Ok(JID.parse().unwrap())));
        server.feed(element);
        assert_eq!(server.error(), StreamCondition::UnsupportedStanzaType);
    }
}

// XEP-0198 1.6.3 §4 [SM5, SM6, SM8, SM11]
#[test]
fn what_is_handled_is_acknowledged() {
    let mut server = bound();
    // What has come before does not count, whenever it is handled.
    server.feed("<message/>");
    server.feed(ENABLE);
    server.answer(ServerAnswer::Enabled(Ok(Enabled::default())));
    server.feed("<presence/><iq type='get' id='1'><x xmlns='urn:x'/></iq>");
    assert_eq!(server.stanzas.len(), 3);
    assert_eq!(server.feed(R), a(0));
    assert_eq!(handle(&mut server, 1), "");
    assert_eq!(server.feed(R), a(0));
    assert_eq!(handle(&mut server, 1), "");
    // Who has asked is told once more when all is handled that had come by then, and no more often.
    assert_eq!(handle(&mut server, 1), a(2));
    assert_eq!(server.feed(R), a(2));
    assert_eq!(server.feed("<message/>"), "");
    assert_eq!(handle(&mut server, 1), "");
    // More cannot be handled.
    assert_eq!(handle(&mut server, 7), "");
    assert_eq!(server.feed(R), a(3));
}

// XEP-0198 1.6.3 §4 [SM5]: a stanza is a stanza, even if it is answered by an error.
#[test]
fn what_the_stream_answers_itself_counts_too() {
    let mut server = enabled();
    server.feed(INVALID);
    assert_eq!(server.feed(R), a(1));
    server.feed(&["<message/>", INVALID, BIND].concat());
    assert_eq!(server.stanzas.len(), 1);
    // They come after one that is not handled.
    assert_eq!(server.feed(R), a(1));
    assert_eq!(handle(&mut server, 1), a(4));

    // Its errors are stanzas that the client has to handle: they are not the owner's.
    send(&mut server);
    assert_eq!(server.stream.counts().unwrap().unacknowledged(), 1);
    server.events.clear();
    server.feed(&a(2));
    assert!(server.events.is_empty(), "{}", server.told());
    server.feed(&a(4));
    assert!(matches!(server.events[..], [ServerEvent::Acked(1)]), "{}", server.told());
}

// XEP-0198 1.6.3 §4 [SM6, SM8, SM10]
#[test]
fn the_client_acknowledges() {
    let mut server = bound();
    send(&mut server);
    assert!(!server.stream.request_ack(server.now, &mut server.out));
    server.feed(ENABLE);
    send(&mut server);
    server.answer(ServerAnswer::Enabled(Ok(Enabled::default())));
    server.events.clear();
    for _ in 0..5 {
        send(&mut server);
    }
    let before = server.out.len();
    assert!(server.stream.request_ack(server.now, &mut server.out));
    assert_eq!(&server.out[before..], R.as_bytes());
    server.feed(&[&a(0), &a(2), &a(2), &*a(5)].concat());
    assert!(matches!(server.events[..], [ServerEvent::Acked(2), ServerEvent::Acked(3)]), "{}", server.told());
    assert_eq!(server.stream.counts().unwrap().unacknowledged(), 0);

    // More than was sent, and less than before: of the numbers, which begin anew, half lie before any.
    for (wrong, is_high) in [(6, true), (5 + (1 << 31) - 1, true), (4, false), (0, false), (u32::MAX, false)]
    {
        let mut server = enabled();
        (0..5).for_each(|_| send(&mut server));
        server.feed(&a(5));
        let end = server.feed(&a(wrong));
        if is_high {
            assert_eq!(server.ended, Some(Err(Error::HandledTooHigh { h: wrong, sent: 5 })));
            assert_eq!(
                end,
                format!(
                    "{}<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                     <handled-count-too-high xmlns='urn:xmpp:sm:3' h='{wrong}' send-count='5'/></stream:error></stream:stream>",
                    a(0)
                )
            );
        } else {
            assert_eq!(server.error(), StreamCondition::PolicyViolation);
            assert!(end.contains(&format!(">h={wrong} goes back: 5 were acknowledged before<")), "{end}");
        }
    }
    for wrong in ["<a xmlns='urn:xmpp:sm:3'/>", "<a xmlns='urn:xmpp:sm:3' h='x'/>"] {
        let mut server = enabled();
        server.feed(wrong);
        assert_eq!(server.error(), StreamCondition::InvalidXml);
    }
}

// XEP-0198 1.6.3 §4 [SM9]
#[test]
fn the_last_word_is_an_acknowledgement() {
    let mut server = enabled();
    server.feed("<message/>");
    handle(&mut server, 1);
    assert_eq!(server.feed("</stream:stream>"), a(1) + "</stream:stream>");

    let mut server = enabled();
    send(&mut server);
    server.events.clear();
    let before = server.out.len();
    server.stream.close(server.now, &mut server.out);
    assert_eq!(&server.out[before..], (a(0) + "</stream:stream>").as_bytes());
    // The client's is heard, and its questions are not answered any more.
    assert_eq!(server.feed(&["<message/>", R, ENABLE, &a(1)].concat()), "");
    assert_eq!(handle(&mut server, 1), "");
    assert!(matches!(server.events[..], [ServerEvent::Acked(1)]), "{}", server.told());
    assert_eq!((server.stanzas.len(), server.stream.counts().unwrap().h()), (1, 1));

    // Also when the stream ends with an error, whoever has made it.
    let mut server = enabled();
    server.feed("<message/>");
    handle(&mut server, 1);
    let error = (a(1) + "<stream:error>").into_bytes();
    let before = server.out.len();
    server.stream.abort(StreamCondition::PolicyViolation.into(), &mut server.out);
    assert!(server.out[before..].starts_with(&error));

    let mut server = enabled();
    server.feed("<message/>");
    handle(&mut server, 1);
    assert!(server.feed("<message></presence>").as_bytes().starts_with(&error));
}

// Dead links are noticed; whoever says anything lives.
#[test]
fn a_client_that_does_not_answer_is_given_up() {
    let answer = Duration::from_secs(30);
    let mut server = enabled();
    send(&mut server);
    assert!(server.stream.request_ack(server.now, &mut server.out));
    assert_eq!(server.stream.deadline().unwrap().at, server.now + answer);
    server.now = server.now + answer / 2;
    server.feed(" ");
    assert_eq!(server.stream.deadline().unwrap().at, server.now + answer);
    // Asked twice, answered once.
    server.stream.request_ack(server.now, &mut server.out);
    server.feed(&a(1));
    assert_eq!(server.stream.deadline().unwrap().at, server.now + answer);
    server.feed(&a(1));
    assert!(server.stream.deadline().unwrap().at > server.now + answer);
    // Silence is met with a question that costs no answer of an application.
    assert_eq!(server.wait(), R);
    server.wait();
    assert_eq!(server.error(), StreamCondition::ConnectionTimeout);
    assert_eq!(server.stream.deadline(), None);
    // What it has counted is still there, for the next stream.
    assert!(server.stream.counts().is_some());
}

// XEP-0198 1.6.3 §5 [SM13, SM14]
#[test]
fn a_session_goes_on() {
    let mut server = authenticated();
    assert_eq!(server.feed(&resume(2)), "");
    let (_, ask) = &server.asks[0];
    assert!(
        matches!(ask, ServerAsk::Resume { account, previd, h: 2 } if account.as_str() == "juliet@example.com" && previd == "s"),
        "{ask:?}"
    );
    server.events.clear();
    let counts = suspended(3, 4);
    assert_eq!((counts.acknowledged_by(2), counts.acknowledged_by(4)), (Some(2), None));
    let resumed = server.answer(ServerAnswer::Resumed { jid: JID.parse().unwrap(), counts });
    assert_eq!(resumed, "<resumed xmlns='urn:xmpp:sm:3' h='4' previd='s'/>");
    assert!(
        matches!(&server.events[..], [ServerEvent::Resumed { jid, acknowledged: 2 }] if jid.as_str() == JID)
    );
    assert!(server.stream.is_open());
    assert_eq!(server.stream.jid().unwrap().as_str(), JID);
    // The counts go on; what is sent again counts again.
    send(&mut server);
    server.feed(&("<message/>".to_owned() + &a(3)));
    assert!(matches!(server.events[1..], [ServerEvent::Acked(1)]), "{}", server.told());
    assert_eq!(server.stanzas[0].head.from.as_ref().unwrap().as_str(), JID);
    handle(&mut server, 1);
    assert_eq!(server.feed(R), a(5));
    // It is a session like any other: enabled, and bound.
    assert_eq!(server.feed(&resume(0)), failed("unexpected-request"));
    server.feed(ENABLE);
    assert_eq!(server.error(), StreamCondition::PolicyViolation);
}

// XEP-0198 1.6.3 §5 [SM15, SM16]
#[test]
fn a_session_that_is_gone() {
    let not = |condition, h| ServerAnswer::NotResumed { condition, h };
    let somebody_elses =
        ServerAnswer::Resumed { jid: "romeo@example.com/orchard".parse().unwrap(), counts: suspended(0, 0) };
    let with_h = "<failed xmlns='urn:xmpp:sm:3' h='7'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    for (answer, refusal) in [
        (not(ErrorCondition::ItemNotFound, None), failed("item-not-found")),
        (not(ErrorCondition::ItemNotFound, Some(7)), with_h.into()),
        (not(ErrorCondition::FeatureNotImplemented, None), failed("feature-not-implemented")),
        (somebody_elses, failed("item-not-found")),
        (ServerAnswer::Unavailable, failed("internal-server-error")),
    ] {
        let mut server = authenticated();
        server.feed(&resume(0));
        assert_eq!(server.answer(answer), refusal);
        assert!(!server.stream.is_open() && server.stream.counts().is_none());
        server.feed(BIND);
        server.answer(ServerAnswer::Bound(Ok(JID.parse().unwrap())));
        assert!(server.stream.is_open());
    }
    // Nobody asks for ever.
    let mut server = authenticated();
    for _ in 0..5 {
        server.feed(&resume(0));
        if !server.asks.is_empty() {
            server.answer(not(ErrorCondition::ItemNotFound, None));
        }
    }
    assert_eq!(server.error(), StreamCondition::PolicyViolation);
    // What names no session is refused without asking anybody.
    let mut server = authenticated();
    for wrong in ["", " previd='s'", " h='1'", " previd='' h='1'", " previd='s' h='-1'"] {
        if server.ended.is_none() {
            let refused = server.feed(&format!("<resume xmlns='urn:xmpp:sm:3'{wrong}/>"));
            assert!(refused.starts_with(&failed("bad-request")), "{refused}");
        }
    }
    assert!(server.asks.is_empty());
}

// XEP-0198 1.6.3 §4 [SM10], §5 [SM14]
#[test]
fn a_client_that_resumes_with_what_it_never_got() {
    let mut server = authenticated();
    server.feed(&resume(9));
    server.answer(ServerAnswer::Resumed { jid: JID.parse().unwrap(), counts: suspended(3, 0) });
    assert_eq!(server.ended, Some(Err(Error::HandledTooHigh { h: 9, sent: 3 })));
    assert!(server.output().ends_with(
        "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='9' send-count='3'/></stream:error></stream:stream>"
    ));
}

// XEP-0198 1.6.3 §5 [SM15]: a client that goes back behind what it has acknowledged, which is forgotten, hears that it can't have the session, how
// much of its own is handled, and may bind a resource on the same stream.
#[test]
fn a_client_that_resumes_with_less_than_it_has_acknowledged() {
    let acknowledged = |sent, through| {
        let mut server = enabled();
        (0..sent).for_each(|_| send(&mut server));
        server.feed(&a(through));
        server.feed("<message/>");
        handle(&mut server, 1);
        server.stream.counts().unwrap().clone()
    };
    for h in [2, 1, 0] {
        let mut server = authenticated();
        server.feed(&resume(h));
        let told =
            server.answer(ServerAnswer::Resumed { jid: JID.parse().unwrap(), counts: acknowledged(5, 3) });
        assert_eq!(told, failed("item-not-found").replacen("sm:3'", "sm:3' h='1'", 1));
        server.feed(BIND);
        server.answer(ServerAnswer::Bound(Ok(JID.parse().unwrap())));
        assert!(server.stream.is_open(), "{:?}", server.ended);
    }
    let mut server = authenticated();
    server.feed(&resume(3));
    server.answer(ServerAnswer::Resumed { jid: JID.parse().unwrap(), counts: acknowledged(5, 3) });
    assert!(server.stream.is_open());
}

// XEP-0198 1.6.3 §5 [SM14]: `<resumed/>` says what is handled, and that goes on when the stream is gone.
#[test]
fn what_is_still_under_way_is_handled_after_the_end() {
    let mut server = enabled();
    server.feed("<message/><message/>");
    server.stream.eof(server.now, &mut server.out).unwrap_err();
    let mut counts = server.stream.counts().unwrap().clone();
    assert!(!counts.is_settled());
    counts.handled(2);
    assert_eq!((counts.is_settled(), counts.h()), (true, 2));
}

/// SASL2 with PLAIN, and this inside.
fn authenticate(inline: &str) -> String {
    format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
         <initial-response>AGp1bGlldABwZW5jaWw=</initial-response>{inline}</authenticate>"
    )
}

/// As far as a login that has this inside, and the next question.
fn inline(content: &str) -> Server {
    let mut server = with(|_| {});
    let offer = server.feed(HEADER);
    assert!(
        offer.contains(
            "<inline><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind>\
             <sm xmlns='urn:xmpp:sm:3'/></inline>"
        ),
        "{offer}"
    );
    server.feed(&authenticate(content));
    assert_eq!(server.answer(ServerAnswer::Verified(Some([7; 16].into()))), "");
    server.events.clear();
    server
}

fn success(jid: &str, content: &str) -> String {
    format!(
        "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>{jid}</authorization-identifier>{content}</success>"
    )
}

const WITH_ENABLE: &str = "<bind xmlns='urn:xmpp:bind:0'><tag>x</tag><enable xmlns='urn:xmpp:sm:3'/></bind>";

// XEP-0198 1.6.3 [SM23], XEP-0386 1.1.0 §3.2.1 [BI7, BI14]
#[test]
fn enabled_with_the_resource() {
    let mut server = inline(WITH_ENABLE);
    let (_, ask) = &server.asks[0];
    assert!(
        matches!(ask, ServerAsk::Bind { inline: None, enable: Some(enable), .. } if !enable.resume),
        "{ask:?}"
    );
    let told = server.answer(ServerAnswer::BoundEnabled(JID.parse().unwrap(), resumable()));
    let enabled = "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='s' max='300' resume='true'/></bound>";
    assert!(told.starts_with(&(success(JID, enabled) + "<stream:features>")), "{told}");
    assert!(!told.contains(SM), "{told}");
    assert!(matches!(server.events[..], [ServerEvent::Bound(_)]), "{}", server.told());
    // Everything counts, from the first stanza on.
    send(&mut server);
    server.feed(&["<message/>", &a(1)].concat());
    assert!(matches!(server.events[1..], [ServerEvent::Acked(1)]), "{}", server.told());
    handle(&mut server, 1);
    assert_eq!(server.feed(R), a(1));

    // An owner that does not want it, and a client that has not asked.
    let mut server = inline(WITH_ENABLE);
    let told = server.answer(ServerAnswer::Bound(Ok(JID.parse().unwrap())));
    let refused = format!("<bound xmlns='urn:xmpp:bind:0'>{}</bound>", failed("feature-not-implemented"));
    assert!(told.starts_with(&success(JID, &refused)), "{told}");
    assert!(told.contains(SM) && server.stream.counts().is_none());
    let mut server = inline("<bind xmlns='urn:xmpp:bind:0'/>");
    assert!(matches!(server.asks[0].1, ServerAsk::Bind { enable: None, .. }));
    let told = server.answer(ServerAnswer::BoundEnabled(JID.parse().unwrap(), resumable()));
    assert!(told.starts_with(&success(JID, "<bound xmlns='urn:xmpp:bind:0'/>")), "{told}");
    assert!(server.stream.counts().is_none());
}

// XEP-0198 1.6.3 [SM23], XEP-0386 1.1.0 §3.2 [BI5], XEP-0388 1.0.4 §2.6.1 [SL21, SL25]
#[test]
fn resumed_with_the_login() {
    for bind in ["", WITH_ENABLE] {
        let mut server = inline(&[&resume(1), bind].concat());
        assert!(matches!(server.asks[0].1, ServerAsk::Resume { h: 1, .. }));
        let told =
            server.answer(ServerAnswer::Resumed { jid: JID.parse().unwrap(), counts: suspended(2, 3) });
        // No features follow, and the resource that was asked for as well is none.
        assert_eq!(told, success(JID, "<resumed xmlns='urn:xmpp:sm:3' h='3' previd='s'/>"));
        assert!(
            matches!(server.events[..], [ServerEvent::Resumed { acknowledged: 1, .. }]),
            "{}",
            server.told()
        );
        assert!(server.stream.is_open() && server.asks.is_empty());
        assert_eq!(server.feed(R), a(3));
    }
}

// XEP-0198 1.6.3 [SM23], XEP-0386 1.1.0 §3.2 [BI5]
#[test]
fn not_resumed_with_the_login() {
    let gone = || ServerAnswer::NotResumed { condition: ErrorCondition::ItemNotFound, h: None };
    let mut server = inline(&[&resume(1), WITH_ENABLE].concat());
    assert_eq!(server.answer(gone()), "");
    assert!(matches!(server.asks[0].1, ServerAsk::Bind { enable: Some(_), .. }));
    let told = server.answer(ServerAnswer::BoundEnabled(JID.parse().unwrap(), Enabled::default()));
    let both =
        failed("item-not-found") + "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3'/></bound>";
    assert!(told.starts_with(&success(JID, &both)), "{told}");

    // Without a resource in it the login is done, and what can be done next follows.
    let mut server = inline(&resume(1));
    let told = server.answer(gone());
    assert!(
        told.starts_with(&(success("juliet@example.com", &failed("item-not-found")) + "<stream:features>")),
        "{told}"
    );
    server.feed(BIND);
    server.answer(ServerAnswer::Bound(Ok(JID.parse().unwrap())));
    assert!(server.stream.is_open());
}

// XEP-0388 1.0.4 §2.6.2 [SL24]: nothing of it happens after a failure.
// XEP-0198 §5, XEP-0388 §2.6: a request that can't be read is refused as it is outside of a login, and the login goes on
#[test]
fn a_malformed_resume_with_the_login() {
    let failed = failed("bad-request");
    for attributes in
        ["previd='s'", "previd='s' h='-1'", "previd='s' h='x'", "previd='s' h='4294967296'", "h='1'"]
    {
        let resume = format!("<resume xmlns='urn:xmpp:sm:3' {attributes}/>");
        let mut server = with(|_| {});
        server.feed(HEADER);
        server.feed(&authenticate(&resume));
        let told = server.answer(ServerAnswer::Verified(Some([7; 16].into())));
        assert!(told.starts_with(&success("juliet@example.com", &failed)), "{attributes}: {told}");
        // With a resource that is wanted instead.
        let mut server = inline(&[&resume, WITH_ENABLE].concat());
        assert!(matches!(server.asks[0].1, ServerAsk::Bind { enable: Some(_), .. }));
        let told = server.answer(ServerAnswer::Bound(Ok(JID.parse().unwrap())));
        assert!(
            told.starts_with("<success ") && told.contains(&failed) && told.contains("<bound "),
            "{told}"
        );
    }
}

#[test]
fn a_wrong_password_resumes_nothing() {
    let mut server = with(|_| {});
    server.feed(&[HEADER, &*authenticate(&resume(0))].concat());
    server.answer(ServerAnswer::Verified(None));
    assert!(server.asks.is_empty());
    // Nor does it with the next login.
    server.feed(&authenticate("<bind xmlns='urn:xmpp:bind:0'/>"));
    server.answer(ServerAnswer::Verified(Some([7; 16].into())));
    assert!(matches!(server.asks[..], [(_, ServerAsk::Bind { .. })]));
}

// An owner that takes too long, or closes meanwhile.
#[test]
fn nobody_waits_for_ever() {
    let mut server = authenticated();
    server.feed(&resume(0));
    assert_eq!(server.wait(), failed("internal-server-error"));
    let mut server = bound();
    server.feed(ENABLE);
    assert_eq!(server.wait(), failed("internal-server-error"));
    assert!(server.stream.is_open());

    for element in [&resume(0), ENABLE] {
        let mut server = if element == ENABLE { bound() } else { authenticated() };
        server.feed(element);
        server.stream.close(server.now, &mut server.out);
        let (ticket, _) = server.asks.remove(0);
        server.stream.answer(ticket, ServerAnswer::Enabled(Ok(resumable()))).unwrap_err();
        assert_eq!(server.feed("</stream:stream>"), "");
        assert_eq!(server.ended, Some(Ok(())));
    }
}
