//! Stream management between servers (XEP-0198), at both ends of their stream.

#![allow(clippy::unwrap_used)]

mod scripted;

use core::time::Duration;
use std::sync::Arc;

use balcony_machine::{Instant, Secret, Seed};
use balcony_stanza::{MessageType, Stanza, StreamCondition, StreamError};
use balcony_stream::s2s::{S2s, S2sAnswer, S2sAsk, S2sEvent, S2sInitiatingConfig, S2sReceivingConfig};
use balcony_stream::{Counts, Error, S2sStream, TlsPolicy};
use scripted::{End, STREAM};

const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>YS5leGFtcGxl</auth>";
const EXTERNAL: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
     <mechanism>EXTERNAL</mechanism></mechanisms></stream:features>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const FEATURE: &str = "<stream:features><sm xmlns='urn:xmpp:sm:3'/></stream:features>";
const NONE: &str = "<stream:features></stream:features>";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='first' resume='true'/>";
const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const UNEXPECTED: &str = "<failed xmlns='urn:xmpp:sm:3'><unexpected-request \
     xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
const MESSAGE: &str = "<message from='romeo@a.example' to='juliet@b.example'><body>Hi</body></message>";

fn header(from: &str, to: &str, id: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream from='{from}' to='{to}' {id} version='1.0' xmlns='jabber:server' \
         xmlns:stream='{STREAM}'>"
    )
}

fn ack(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

/// `b.example`, to which `a.example` has opened a stream that is authorised.
fn receiving() -> End<S2s> {
    let mut config = S2sReceivingConfig::new(vec!["b.example".parse().unwrap()]);
    (config.tls, config.management) = (TlsPolicy::Direct, true);
    let stream = S2sStream::receiving(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    let mut end = End::new(stream).secured(&["a.example"]);
    let hello = header("a.example", "b.example", "");
    let answer = end.feed(&[&hello, AUTH, &hello].concat());
    assert!(answer.ends_with(FEATURE), "{answer}");
    end.events.clear();
    end
}

/// `a.example`, which has opened a stream to `b.example`; it is authorised there, and has been told of these features.
fn initiating(features: &str, earlier: Option<(&str, Counts)>) -> End<S2s> {
    let mut config = S2sInitiatingConfig::new("a.example".parse().unwrap(), "b.example".parse().unwrap());
    (config.tls, config.management) = (TlsPolicy::Direct, true);
    let mut stream = S2sStream::initiating(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    if let Some((id, counts)) = earlier {
        stream.ask_about(id.into(), counts).unwrap();
    }
    let mut end = End::new(stream).secured(&["b.example"]);
    let hello = header("b.example", "a.example", "id='1'");
    end.feed(&[&hello, EXTERNAL, SUCCESS, &hello].concat());
    end.out.clear();
    end.feed(features);
    assert!(end.stream.is_open());
    end
}

fn send(end: &mut End<S2s>) {
    let stanza = Stanza::message(MessageType::Chat).with_from("romeo@a.example".parse().unwrap());
    end.stream.send(&stanza.with_to("juliet@b.example".parse().unwrap()), &mut end.out).unwrap();
}

fn fails(end: &mut End<S2s>, text: &str) -> Error {
    end.feed(text);
    end.ended.take().unwrap().unwrap_err()
}

fn acked(end: &mut End<S2s>) -> Vec<u32> {
    let events = end.events.drain(..);
    events.filter_map(|event| if let S2sEvent::Acked(count) = event { Some(count) } else { None }).collect()
}

// XEP-0198 §3 [SM1, SM4, SM6], §4 [SM5, SM8]
#[test]
fn both_ends_count() {
    let mut end = initiating(FEATURE, None);
    assert_eq!(end.output(), ENABLE);
    assert!(end.stream.is_settling());
    end.out.clear();
    end.feed(ENABLED);
    assert!(matches!(end.events.last(), Some(S2sEvent::Managed)) && end.stream.counts_sent());
    assert_eq!((end.stream.is_settling(), end.stream.managed_id()), (false, Some("first")));
    send(&mut end);
    send(&mut end);
    assert!(end.stream.request_ack(Instant::ZERO, &mut end.out));
    assert!(end.output().ends_with(ASK));
    end.feed(&[ack(0), ack(1), ack(2)].concat());
    assert_eq!(acked(&mut end), [0, 1, 1]);
    assert_eq!(end.stream.counts().unwrap().unacknowledged(), 0);

    let mut end = receiving();
    let answer = end.feed(ENABLE);
    let id = end.stream.managed_id().unwrap().to_owned();
    assert!(id.len() >= 20 && answer == format!("<enabled xmlns='urn:xmpp:sm:3' id='{id}' resume='true'/>"));
    assert_eq!(end.feed(&[MESSAGE, ASK, MESSAGE, MESSAGE, ASK].concat()), [ack(1), ack(3)].concat());
    // It says so unasked while its owner reads nothing.
    end.stream.unread(Instant::ZERO, &mut end.out);
    assert!(end.output().ends_with(&ack(3)));
    // Whoever wants nothing after the stream is given no name.
    let mut end = receiving();
    assert_eq!(end.feed("<enable xmlns='urn:xmpp:sm:3'/>"), "<enabled xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(end.stream.managed_id(), None);
}

// XEP-0198 §3 [SM2, SM3]
#[test]
fn at_the_wrong_time() {
    let mut config = S2sReceivingConfig::new(vec!["b.example".parse().unwrap()]);
    (config.tls, config.management) = (TlsPolicy::Direct, true);
    let stream = S2sStream::receiving(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    let mut end = End::new(stream).secured(&["a.example"]);
    end.feed(&header("a.example", "b.example", ""));
    end.out.clear();
    for element in [ENABLE, ASK, "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>"] {
        assert_eq!(end.feed(element), UNEXPECTED);
        end.out.clear();
    }
    let mut end = receiving();
    assert_eq!(end.feed(ASK), UNEXPECTED);
    end.feed(ENABLE);
    assert_eq!(end.feed("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>"), UNEXPECTED);
    let error = fails(&mut end, ENABLE);
    assert!(
        matches!(&error, Error::Local(error) if error.condition == StreamCondition::PolicyViolation),
        "{error}"
    );
}

// XEP-0198 §4 [SM10]
#[test]
fn more_than_was_sent() {
    let mut end = initiating(FEATURE, None);
    end.feed(ENABLED);
    send(&mut end);
    let error = fails(&mut end, &ack(2));
    assert_eq!(error, Error::HandledTooHigh { h: 2, sent: 1 });
}

// XEP-0198 §5 [SM15]: the next stream asks, and counts anew.
#[test]
fn an_earlier_stream_is_asked_about() {
    let mut lost = initiating(FEATURE, None);
    lost.feed(ENABLED);
    (0..3).for_each(|_| send(&mut lost));
    lost.feed(&ack(1));
    let counts = lost.stream.counts().unwrap().clone();

    let mut next = initiating(FEATURE, Some(("first", counts.clone())));
    assert_eq!(next.output(), "<resume xmlns='urn:xmpp:sm:3' h='0' previd='first'/>");
    assert!(next.stream.is_settling() && !next.stream.counts_sent());
    next.out.clear();
    let failed = "<failed xmlns='urn:xmpp:sm:3' h='2'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    assert_eq!(next.feed(failed), ENABLE);
    assert!(matches!(next.events.last(), Some(S2sEvent::Earlier { h: Some(2) })));
    next.feed("<enabled xmlns='urn:xmpp:sm:3' id='second' resume='true'/>");
    assert_eq!(next.stream.managed_id(), Some("second"));
    assert_eq!((counts.acknowledged_by(2), counts.acknowledged_by(4)), (Some(1), None));

    // Whoever goes on with the session is followed.
    let mut next = initiating(FEATURE, Some(("first", counts.clone())));
    next.feed("<resumed xmlns='urn:xmpp:sm:3' h='2' previd='first'/>");
    assert!(matches!(
        next.events[next.events.len() - 2..],
        [S2sEvent::Earlier { h: Some(2) }, S2sEvent::Managed]
    ));
    send(&mut next);
    next.feed(&ack(3));
    assert_eq!((acked(&mut next), next.stream.managed_id()), (vec![1], Some("first")));
    let mut next = initiating(FEATURE, Some(("first", counts)));
    assert_eq!(
        fails(&mut next, "<resumed xmlns='urn:xmpp:sm:3' h='4' previd='first'/>"),
        Error::HandledTooHigh { h: 4, sent: 3 }
    );

    // The other end asks its owner.
    for h in [Some(7), None] {
        let mut end = receiving();
        end.feed("<resume xmlns='urn:xmpp:sm:3' previd='first' h='5'/>");
        assert!(matches!(&end.asks[0].1, S2sAsk::Earlier { id, h: 5 } if id == "first"));
        let told = end.answer(S2sAnswer::Earlier(h));
        let h = h.map(|h| format!(" h='{h}'")).unwrap_or_default();
        let expected = format!(
            "<failed xmlns='urn:xmpp:sm:3'{h}><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
        );
        assert_eq!(told, expected);
        assert!(end.feed(ENABLE).starts_with("<enabled "));
    }
}

// A server without it, one that refuses, and one that offers it and says nothing: stanzas go, and do not count.
#[test]
fn without_an_answer() {
    let mut end = initiating(NONE, None);
    assert_eq!((end.output().as_str(), end.stream.is_settling()), ("", false));
    send(&mut end);
    let mut end = initiating(FEATURE, None);
    end.feed(UNEXPECTED);
    assert!(!end.stream.is_settling() && !end.stream.counts_sent());
    assert!(!end.stream.request_ack(Instant::ZERO, &mut end.out));
    let mut end = initiating(FEATURE, None);
    let at = end.stream.deadline().unwrap().at;
    assert_eq!(at, Instant::ZERO + Duration::from_secs(30));
    end.now = at;
    end.feed("");
    assert!(matches!(end.events.last(), Some(S2sEvent::Managed)) && !end.stream.counts_sent());
    send(&mut end);
}

// XEP-0198 §4 [SM9]: the last word on what has come is said before the end, also before an error.
#[test]
fn the_last_word() {
    let mut end = receiving();
    end.feed(&[ENABLE, MESSAGE, MESSAGE].concat());
    end.out.clear();
    end.stream.close(Instant::ZERO, &mut end.out);
    assert_eq!(end.output(), [&ack(2), "</stream:stream>"].concat());
    // What was under way then is not taken, since nobody can be told any more: it comes again on another stream. An answer of the other end is.
    end.feed(MESSAGE);
    assert_eq!((end.stream.counts().unwrap().h(), end.stanzas.len()), (2, 2));
    // Who does not count does not send it again.
    let mut end = receiving();
    end.stream.close(Instant::ZERO, &mut end.out);
    end.feed(MESSAGE);
    assert_eq!(end.stanzas.len(), 1);
    let mut end = receiving();
    end.feed(&[ENABLE, MESSAGE].concat());
    end.out.clear();
    end.stream.abort(StreamError::from(StreamCondition::SystemShutdown), &mut end.out);
    assert!(end.output().starts_with(&[&ack(1), "<stream:error>"].concat()), "{}", end.output());
    // Who says that more has come than was sent is wrong about that, and hears what has come to us all the same.
    let mut end = receiving();
    end.feed(&[ENABLE, MESSAGE].concat());
    end.out.clear();
    fails(&mut end, &ack(9));
    assert!(end.output().starts_with(&[&ack(1), "<stream:error>"].concat()), "{}", end.output());
    let mut end = initiating(FEATURE, None);
    end.feed(ENABLED);
    send(&mut end);
    end.stream.close(Instant::ZERO, &mut end.out);
    end.feed(&[&ack(1), "</stream:stream>"].concat());
    assert_eq!(acked(&mut end), [1]);
}

// A key that is being asked about runs out while the peer waits for something else: it is dealt with, and no deadline stays behind.
#[test]
fn a_key_runs_out_while_an_earlier_stream_is_asked_about() {
    let mut config = S2sReceivingConfig::new(vec!["b.example".parse().unwrap()]);
    (config.tls, config.management) = (TlsPolicy::Direct, true);
    config.dialback = Some(Secret::new("known to b.example only".into()));
    let stream = S2sStream::receiving(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    let mut end = End::new(stream).secured(&["a.example"]);
    let hello = header("a.example", "b.example", "");
    end.feed(&[&hello, AUTH, &hello].concat());
    end.feed("<result xmlns='jabber:server:dialback' from='c.example' to='b.example'>key</result>");
    end.now = Instant::ZERO + Duration::from_secs(10);
    end.feed("<resume xmlns='urn:xmpp:sm:3' previd='first' h='5'/>");
    assert_eq!(end.asks.len(), 2);
    end.out.clear();
    let told = end.wait();
    assert_eq!(end.now, Instant::ZERO + Duration::from_secs(30));
    assert!(end.stream.deadline().unwrap().at > end.now, "{told}");
    assert!(told.contains("remote-server-timeout"), "{told}");
}
