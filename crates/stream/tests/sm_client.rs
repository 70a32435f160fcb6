//! Stream management at the client (XEP-0198), under the bytes of a scripted server.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use core::time::Duration;
use std::sync::Arc;

use balcony_machine::{Instant, Seed};
use balcony_stanza::{MessageType, Stanza, StreamCondition};
use balcony_stream::client::{ClientStreamConfig, Management, Resumption};
use balcony_stream::{ClientStream, Error};
use common::{BIND, BOUND, CLOSE, Client, HEADER, SUCCESS, config, features, mechanisms};

const SM: &str = "<sm xmlns='urn:xmpp:sm:3'/>";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const ENABLED: &str =
    "<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true' max='300' location='[2001:db8::1]:5222'/>";
const R: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const RESUMED: &str = "<resumed xmlns='urn:xmpp:sm:3' previd='s' h='1'/>";
const FAILED: &str = "<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
const BIND_AND_SM: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                           <sm xmlns='urn:xmpp:sm:3'/></stream:features>";

fn a(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

/// A login by PLAIN, as far as the features after it.
fn authenticated(mut client: Client) -> Client {
    client.feed(&[HEADER, &features(&mechanisms(&["PLAIN"])), SUCCESS, HEADER].concat());
    client.events.clear();
    client
}

fn client(change: impl FnOnce(&mut ClientStreamConfig)) -> Client {
    authenticated(Client::secured(None, change))
}

fn bound_with(change: impl FnOnce(&mut ClientStreamConfig)) -> Client {
    let mut client = client(change);
    client.feed(BIND_AND_SM);
    client.feed(BOUND);
    assert!(client.stream.is_open());
    client
}

fn enabled() -> Client {
    let mut client = bound_with(|_| {});
    client.feed(ENABLED);
    client.events.clear();
    client
}

fn send(client: &mut Client) {
    client.stream.send(&Stanza::message(MessageType::Chat), &mut client.out).unwrap();
}

/// A session that has sent two messages and handled one.
fn suspended() -> Resumption {
    let mut client = enabled();
    send(&mut client);
    send(&mut client);
    client.feed("<message/>");
    client.stream.handled(1, &mut client.out);
    client.eof();
    client.stream.resumption().unwrap()
}

fn resuming(change: impl FnOnce(&mut ClientStreamConfig)) -> Client {
    let mut client = Client::secured(None, change);
    client.stream.resume(suspended()).unwrap();
    client
}

// XEP-0198 1.6.3 §3 [SM1, SM2, SM4]
#[test]
fn it_is_enabled_after_the_resource_is_bound() {
    let mut client = client(|_| {});
    assert!(!client.feed(BIND_AND_SM).contains("urn:xmpp:sm:3"));
    assert_eq!(client.feed(BOUND), ENABLE);
    assert_eq!(client.events.len(), 1);
    assert!(client.stream.counts_sent() && client.stream.resumption().is_none());
    assert_eq!(client.feed(ENABLED), "");
    assert_eq!(client.events[1], "Enabled { resumable: true }");
    let resumption = client.stream.resumption().unwrap();
    assert_eq!(resumption.jid().as_str(), "juliet@example.com/balcony");
    assert_eq!(resumption.max(), Some(Duration::from_secs(300)));
    assert_eq!(resumption.location(), Some("[2001:db8::1]:5222"));
    assert!(!format!("{resumption:?}").contains("\"s\""));
    // Once is enough, and a second word changes nothing.
    assert_eq!(client.feed(ENABLED), "");
    assert_eq!(client.events.len(), 2);

    for (management, says) in [
        (Management::Off, ""),
        (Management::Count, "<enable xmlns='urn:xmpp:sm:3'/>"),
        (Management::Resume { max: Some(9) }, "<enable xmlns='urn:xmpp:sm:3' resume='true' max='9'/>"),
    ] {
        let mut client = self::client(|config| config.management = management);
        client.feed(BIND_AND_SM);
        assert_eq!(client.feed(BOUND), says);
    }
    // Not to a server that does not offer it.
    let mut client = self::client(|_| {});
    client.feed(BIND);
    assert_eq!(client.feed(BOUND), "");
    assert!(!client.stream.counts_sent());
    assert_eq!(client.feed(&[R, ENABLED, &a(7)].concat()), "");
    assert!(client.stream.is_open() && client.stream.resumption().is_none());
}

// XEP-0198 1.6.3 §3
#[test]
fn a_server_that_does_not_grant_it() {
    let mut client = bound_with(|_| {});
    send(&mut client);
    client.events.clear();
    client.feed(FAILED);
    assert_eq!(client.events, ["NotEnabled(ItemNotFound)"]);
    assert!(!client.stream.counts_sent() && client.stream.resumption().is_none());
    assert_eq!(client.feed(&[R, &a(1)].concat()), "");

    let mut client = bound_with(|_| {});
    client.feed("<enabled xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(client.events[1], "Enabled { resumable: false }");
    assert!(client.stream.counts_sent() && client.stream.resumption().is_none());
}

// XEP-0198 1.6.3 §4 [SM5, SM6, SM8, SM11]
#[test]
fn what_comes_is_counted_and_acknowledged() {
    let mut client = bound_with(|_| {});
    assert_eq!(client.feed(&["<message/>", ENABLED].concat()), "");
    client.feed("<message/><iq type='get' id='1'><x xmlns='urn:x'/></iq><other xmlns='urn:x'/>");
    assert_eq!(client.feed(R), a(0));
    let before = client.out.len();
    client.stream.handled(2, &mut client.out);
    client.stream.handled(1, &mut client.out);
    assert_eq!(&client.out[before..], a(2).as_bytes());
    assert_eq!(client.feed(R), a(2));
    // One that is answered by the stream itself.
    assert!(client.feed("<message from='romeo@example.net' to='@' type='chat'/>").contains("jid-malformed"));
    assert_eq!(client.feed(R), a(3));
}

// XEP-0198 1.6.3 §4 [SM6]: what is sent between `<enable/>` and `<enabled/>` counts.
#[test]
fn what_is_sent_is_acknowledged() {
    let mut client = bound_with(|_| {});
    send(&mut client);
    assert!(!client.stream.request_ack(client.now, &mut client.out));
    client.feed(ENABLED);
    send(&mut client);
    assert!(client.stream.request_ack(client.now, &mut client.out));
    assert!(client.output().ends_with(R));
    client.events.clear();
    client.feed(&[a(1), a(1), a(2)].concat());
    assert_eq!(client.events, ["Acked(1)", "Acked(1)"]);
    client.feed(&a(3));
    assert_eq!(client.ended, Some(Err(Error::HandledTooHigh { h: 3, sent: 2 })));
    assert!(client.output().contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='3' send-count='2'/>"));
    let mut client = enabled();
    client.feed("<a xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(client.error(), StreamCondition::InvalidXml);
}

// XEP-0198 1.6.3 §4 [SM9]
#[test]
fn the_last_word_is_an_acknowledgement() {
    let mut client = enabled();
    client.feed("<message/>");
    client.stream.handled(1, &mut client.out);
    let before = client.out.len();
    client.stream.close(client.now, &mut client.out);
    assert_eq!(&client.out[before..], (a(1) + CLOSE).as_bytes());
    client.feed(CLOSE);
    assert_eq!(client.ended, Some(Ok(())));
}

// XEP-0198 1.6.3 §5 [SM13, SM14, SM18]
#[test]
fn a_session_goes_on() {
    let mut client = authenticated(resuming(|_| {}));
    assert_eq!(client.feed(BIND_AND_SM), "<resume xmlns='urn:xmpp:sm:3' h='1' previd='s'/>");
    // Until it is known that the session goes on nobody can mean us.
    client.feed("<message/>");
    assert!(client.stanzas.is_empty() && !client.stream.is_open());
    assert_eq!(client.feed(RESUMED), "");
    assert_eq!(client.events, ["Resumed { acknowledged: 1 }"]);
    assert!(client.stream.is_open());
    assert_eq!(client.stream.jid().unwrap().as_str(), "juliet@example.com/balcony");
    // The counts go on.
    assert_eq!(client.feed(R), a(1));
    send(&mut client);
    client.feed(&["<message/>", &a(2)].concat());
    assert_eq!(client.events[1..], ["Acked(1)"]);
    client.stream.handled(1, &mut client.out);
    client.eof();
    // And once more, with the name that the server gave it at first.
    let again = client.stream.resumption().unwrap();
    assert_eq!(again.max(), Some(Duration::from_secs(300)));
    let mut client = authenticated({
        let mut client = Client::secured(None, |_| {});
        client.stream.resume(again).unwrap();
        client
    });
    assert_eq!(client.feed(BIND_AND_SM), "<resume xmlns='urn:xmpp:sm:3' h='2' previd='s'/>");
}

// RFC 6120 §4.6, §4.9.3.4 [W3] [W4]: a server that falls silent while the client waits to be back, or to have its acknowledgements.
#[test]
fn a_server_that_falls_silent_on_the_way_back() {
    let begins: [fn() -> Client; 4] = [
        || {
            let mut client = authenticated(resuming(|_| {}));
            client.feed(BIND_AND_SM);
            client
        },
        || login(resuming(|config| config.resource = None), INLINE).0,
        || {
            let mut client = login(resuming(|_| {}), INLINE).0;
            client.feed(&success(FAILED));
            client
        },
        || {
            let (mut client, _) = login(Client::secured(None, |config| config.resource = None), INLINE);
            client.feed(&success(&format!("<bound xmlns='urn:xmpp:bind:0'>{ENABLED}</bound>")));
            client
        },
    ];
    for (number, begin) in begins.into_iter().enumerate() {
        let mut client = begin();
        assert!(!client.stream.is_open(), "{number}");
        // Half of what is awaited is no sign of an end.
        client.feed("<iq type='res");
        let at = client.stream.deadline().unwrap().at;
        assert!(at <= Instant::ZERO + Duration::from_secs(60), "{number}");
        client.now = at;
        client.feed("");
        assert_eq!(client.error(), StreamCondition::ConnectionTimeout, "{number}");
    }
}

// XEP-0198 1.6.3 §5 [SM15]
#[test]
fn a_session_that_is_gone() {
    let mut client = authenticated(resuming(|_| {}));
    client.feed(BIND_AND_SM);
    // An attempt that comes to nothing takes nothing away.
    assert!(client.stream.resumption().is_some());
    assert!(client.feed(FAILED).contains("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'"));
    assert_eq!(client.events, ["NotResumed { condition: ItemNotFound, acknowledged: 1 }"]);
    assert!(client.stream.resumption().is_none());
    assert_eq!(client.feed(BOUND), ENABLE);
    client.feed(ENABLED);
    assert_eq!(client.stream.resumption().unwrap().counts().h(), 0);

    // What a server says of a session that it has forgotten is not believed if it cannot be.
    let mut client = authenticated(resuming(|_| {}));
    client.feed(&[BIND_AND_SM, &*FAILED.replace("h='1'", "h='7'")].concat());
    assert_eq!(client.events, ["NotResumed { condition: ItemNotFound, acknowledged: 0 }"]);
    // A server that does not have it at all.
    let mut client = authenticated(resuming(|_| {}));
    assert!(client.feed(BIND).contains("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'"));
    client.feed(BOUND);
    assert!(client.stream.is_open() && client.stream.resumption().is_none());
    // And one that has nothing else.
    let mut client = authenticated(resuming(|_| {}));
    client.feed(&[&features(SM), FAILED].concat());
    assert_eq!(client.error(), StreamCondition::UnsupportedFeature);
}

// XEP-0198 1.6.3 §4 [SM10], §5
#[test]
fn a_server_that_says_what_cannot_be() {
    let mut client = authenticated(resuming(|_| {}));
    client.feed(&[BIND_AND_SM, &*RESUMED.replace("h='1'", "h='3'")].concat());
    assert_eq!(client.ended, Some(Err(Error::HandledTooHigh { h: 3, sent: 2 })));
    for wrong in ["<resumed xmlns='urn:xmpp:sm:3' previd='s'/>", R, ENABLED] {
        let mut client = authenticated(resuming(|_| {}));
        client.feed(&[BIND_AND_SM, wrong].concat());
        assert_eq!(client.error(), StreamCondition::UndefinedCondition, "{wrong}");
    }
    let stranger = ClientStreamConfig::new("romeo@example.com".parse().unwrap(), config().password);
    let mut stream = ClientStream::new(Arc::new(stranger), Seed::from_u64(1), Instant::ZERO);
    assert!(stream.resume(suspended()).is_err());
}

const INLINE: &str = "<inline><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind>\
                      <sm xmlns='urn:xmpp:sm:3'/></inline>";
const WITH_ENABLE: &str =
    "<bind xmlns='urn:xmpp:bind:0'><tag>balcony</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>";

/// What a client says to a server with SASL2, and it.
fn login(mut client: Client, inline: &str) -> (Client, String) {
    let offer = format!(
        "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism>{inline}</authentication>"
    );
    client.feed(&[HEADER, &features(&offer)].concat());
    let said = client.output();
    let inside = said.rsplit_once("</initial-response>").unwrap().1;
    let inside = inside.strip_suffix("</authenticate>").unwrap().to_owned();
    (client, inside)
}

fn success(content: &str) -> String {
    format!(
        "<success xmlns='urn:xmpp:sasl:2'>\
         <authorization-identifier>juliet@example.com/balcony</authorization-identifier>{content}</success>"
    )
}

// XEP-0198 1.6.3 [SM23], XEP-0386 1.1.0 §3.2.1 [BI14]
#[test]
fn enabled_with_the_resource() {
    let client = || Client::secured(None, |config| config.resource = None);
    let (mut client, said) = login(client(), INLINE);
    assert_eq!(said, WITH_ENABLE);
    client.feed(&success(&format!("<bound xmlns='urn:xmpp:bind:0'>{ENABLED}</bound>")));
    assert!(!client.stream.is_open());
    assert_eq!(client.feed(&features(SM)), "");
    assert_eq!(client.events[2], "Enabled { resumable: true }");
    client.feed("<message/>");
    client.stream.handled(1, &mut client.out);
    assert_eq!(client.feed(R), a(1));

    // One that does not grant it is not asked again.
    let (mut client, _) = login(Client::secured(None, |config| config.resource = None), INLINE);
    client.feed(&success(&format!("<bound xmlns='urn:xmpp:bind:0'>{FAILED}</bound>")));
    assert_eq!(client.feed(&features(SM)), "");
    assert!(client.stream.is_open() && !client.stream.counts_sent());
    // One that only has it later is.
    let (mut client, said) = login(
        Client::secured(None, |config| config.resource = None),
        "<inline><bind xmlns='urn:xmpp:bind:0'/></inline>",
    );
    assert_eq!(said, "<bind xmlns='urn:xmpp:bind:0'><tag>balcony</tag></bind>");
    client.feed(&success("<bound xmlns='urn:xmpp:bind:0'/>"));
    assert_eq!(client.feed(&features(SM)), ENABLE);
}

// XEP-0198 1.6.3 [SM23], XEP-0386 1.1.0 §3.2 [BI5], XEP-0388 1.0.4 §2.6.1 [SL25]
#[test]
fn resumed_with_the_login() {
    const RESUME: &str = "<resume xmlns='urn:xmpp:sm:3' h='1' previd='s'/>";
    let (mut client, said) = login(resuming(|config| config.resource = None), INLINE);
    assert_eq!(said, [RESUME, WITH_ENABLE].concat());
    assert_eq!(client.feed(&success(RESUMED)), "");
    assert!(client.stream.is_open());
    assert_eq!(client.events[1..], ["Resumed { acknowledged: 1 }"]);
    assert_eq!(client.feed(R), a(1));
    // Features that come all the same mean nothing.
    assert_eq!(client.feed(&features("")), "");
    assert!(client.stream.is_open());

    // With a resource of its own choice it goes the long way if the session is gone.
    let (mut client, said) = login(resuming(|_| {}), INLINE);
    assert_eq!(said, RESUME);
    assert_eq!(client.feed(&success(FAILED)), "");
    assert_eq!(client.events[1..], ["NotResumed { condition: ItemNotFound, acknowledged: 1 }"]);
    assert!(client.feed(BIND_AND_SM).contains("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'"));

    let (mut client, _) = login(resuming(|config| config.resource = None), INLINE);
    client.feed(&success(&format!("{FAILED}<bound xmlns='urn:xmpp:bind:0'>{ENABLED}</bound>")));
    client.feed(&features(""));
    assert_eq!(client.events[1], "NotResumed { condition: ItemNotFound, acknowledged: 1 }");
    assert!(client.events[2].starts_with("Bound("));
    assert_eq!(client.events[3], "Enabled { resumable: true }");

    // Nobody is resumed who has not asked for it.
    let (mut client, _) = login(Client::secured(None, |config| config.resource = None), INLINE);
    client.feed(&success(RESUMED));
    assert!(!client.stream.is_open());
}

// A device comes out of sleep.
#[test]
fn a_probe() {
    let second = Duration::from_secs(1);
    let mut client = enabled();
    client.now = client.now + 100 * second;
    let before = client.out.len();
    client.stream.probe(client.now, second, &mut client.out);
    assert_eq!(&client.out[before..], R.as_bytes());
    assert_eq!(client.stream.deadline().unwrap().at, client.now + second);
    client.feed(&a(0));
    assert!(client.stream.deadline().unwrap().at > client.now + second);
    client.stream.probe(client.now, second, &mut client.out);
    client.now = client.now + second;
    client.feed("");
    assert_eq!(client.error(), StreamCondition::ConnectionTimeout);
    assert!(client.stream.resumption().is_some());

    // Without stream management it is a ping, and whatever comes is an answer.
    let mut client = self::client(|_| {});
    client.feed(&[BIND, BOUND].concat());
    let before = client.out.len();
    client.stream.probe(client.now, second, &mut client.out);
    assert!(String::from_utf8_lossy(&client.out[before..]).contains("<ping xmlns='urn:xmpp:ping'/>"));
    client.feed("<iq type='error' id='x'/>");
    client.now = client.now + second;
    client.feed("");
    assert!(client.stream.is_open());
    client.stream.close(client.now, &mut client.out);
    let before = client.out.len();
    client.stream.probe(client.now, second, &mut client.out);
    assert_eq!(client.out.len(), before);
}

// XEP-0198 1.6.3 §5: a stream that was closed in good order takes its session with it. One that was cut while it was being closed may have left it at the
// server, which has not heard then what was handled last.
#[test]
fn a_session_ends_with_a_stream_that_is_closed_by_both() {
    for (words, is_over) in [("</stream:stream>", true), ("", false), ("<message/>", false)] {
        let mut client = enabled();
        client.feed("<message/>");
        client.stream.handled(1, &mut client.out);
        client.stream.close(Instant::ZERO, &mut client.out);
        client.feed(words);
        client.eof();
        assert!(matches!(client.ended, Some(Ok(()))));
        assert_eq!(client.stream.resumption().is_none(), is_over, "{words}");
        if let Some(resumption) = client.stream.resumption() {
            assert_eq!(resumption.counts().h(), 1);
        }
    }
    // The server has had its time.
    let mut client = enabled();
    client.stream.close(Instant::ZERO, &mut client.out);
    client.now = client.stream.deadline().unwrap().at;
    client.feed("");
    assert!(client.stream.resumption().is_none());
}
