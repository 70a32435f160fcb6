//! Client state indication (XEP-0352) on streams, at both ends, under the bytes of a scripted peer.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
mod scripted;

use std::sync::Arc;

use balcony_machine::{Instant, Secret, Seed};
use balcony_stanza::StreamCondition;
use balcony_stream::client::ClientStreamConfig;
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent, ServerStreamConfig};
use balcony_stream::{ServerStream, TlsPolicy};
use balcony_xep::csi::ClientState;
use balcony_xep::sm::Enabled;
use common::{BIND, BOUND, Client, HEADER, SUCCESS, features, mechanisms};
use scripted::End;

type Server = End<balcony_stream::server::Server>;

const CSI: &str = "<csi xmlns='urn:xmpp:csi:0'/>";
const ACTIVE: &str = "<active xmlns='urn:xmpp:csi:0'/>";
const INACTIVE: &str = "<inactive xmlns='urn:xmpp:csi:0'/>";
const SM: &str = "<sm xmlns='urn:xmpp:sm:3'/>";

const TO_SERVER: &str = "<?xml version='1.0'?><stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
                         xmlns:stream='http://etherx.jabber.org/streams'>";
const PLAIN: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABwZW5jaWw=</auth>";
const BIND_REQUEST: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";

/// A server that takes client states, or not.
fn server(takes: bool) -> Server {
    let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
    (config.tls, config.management) = (TlsPolicy::Direct, true);
    if takes {
        config.features = vec![("csi".into(), "urn:xmpp:csi:0".into())];
        config.elements =
            vec![("active".into(), "urn:xmpp:csi:0".into()), ("inactive".into(), "urn:xmpp:csi:0".into())];
        config.bind_inline = vec!["urn:xmpp:csi:0".into()];
    }
    End::new(ServerStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO)).secured(&[])
}

fn authenticated(takes: bool) -> Server {
    let mut server = server(takes);
    server.feed(&[TO_SERVER, PLAIN].concat());
    server.answer(ServerAnswer::Verified(Some([7; 16].into())));
    server
}

fn bound(takes: bool) -> Server {
    let mut server = authenticated(takes);
    server.feed(&[TO_SERVER, BIND_REQUEST].concat());
    server.answer(ServerAnswer::Bound(Ok("juliet@example.com/balcony".parse().unwrap())));
    server.events.clear();
    server
}

// XEP-0352 1.0.0 §4.1 [CI1], RFC 6120 §4.3.2: announced to those who have authenticated, and in what can be wanted with a resource.
#[test]
fn announced_after_the_login() {
    let mut server = server(true);
    let before = server.feed(TO_SERVER);
    assert!(!before.contains(CSI) && before.contains("<feature var='urn:xmpp:csi:0'/>"), "{before}");
    server.feed(PLAIN);
    server.answer(ServerAnswer::Verified(Some([7; 16].into())));
    assert!(server.feed(TO_SERVER).contains(CSI));
    let mut server = authenticated(false);
    assert!(!server.feed(TO_SERVER).contains("csi"));
}

// XEP-0352 §4.2 [CI2], XEP-0198 1.6.2 §4 [SM5]: in its place among the stanzas, without an answer, and not counted.
#[test]
fn between_stanzas() {
    let mut server = bound(true);
    server.feed("<enable xmlns='urn:xmpp:sm:3'/>");
    server.answer(ServerAnswer::Enabled(Ok(Enabled { resumable: None })));
    server.events.clear();
    assert_eq!(server.feed(&["<message id='1'/>", INACTIVE, "<message id='2'/>", ACTIVE].concat()), "");
    assert_eq!(server.stanzas.len(), 2);
    let states: Vec<_> = server
        .events
        .iter()
        .map(|event| match event {
            ServerEvent::Element(element) => ClientState::read(element.root()).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(states, [ClientState::Inactive, ClientState::Active]);
    server.stream.handled(2, &mut server.out);
    assert_eq!(server.feed("<r xmlns='urn:xmpp:sm:3'/>"), "<a xmlns='urn:xmpp:sm:3' h='2'/>");
    // One after the other, as they come.
    let mut input = ["<message id='3'/>", INACTIVE, "<message id='4'/>"].concat();
    let mut kinds = Vec::new();
    let mut bytes = core::mem::take(&mut input).into_bytes();
    let mut rest = &bytes[..];
    while let Ok(balcony_machine::Progress::Event(event)) =
        server.stream.advance(server.now, &mut rest, &mut server.out)
    {
        kinds.push(matches!(event, ServerEvent::Element(_)));
    }
    bytes.clear();
    assert_eq!(kinds, [false, true, false]);
}

// RFC 6120 §4.9.3.24, §7.1: before there is a resource, and where it is not announced, it has no place; nor anything else of the namespace.
#[test]
fn out_of_place() {
    let mut server = bound(false);
    server.feed(INACTIVE);
    assert_eq!(server.error(), StreamCondition::UnsupportedStanzaType);
    let mut server = bound(true);
    server.feed("<asleep xmlns='urn:xmpp:csi:0'/>");
    assert_eq!(server.error(), StreamCondition::UnsupportedStanzaType);
    let mut server = authenticated(true);
    server.feed(&[TO_SERVER, INACTIVE].concat());
    assert_eq!(server.error(), StreamCondition::NotAuthorized);
    // What comes after our closing tag changes nothing any more.
    let mut server = bound(true);
    server.stream.close(server.now, &mut server.out);
    server.feed(&[INACTIVE, "</stream:stream>"].concat());
    assert!(server.events.is_empty() && server.ended == Some(Ok(())), "{:?}", server.ended);
}

// XEP-0386 1.1.0 §3.2 [BI16]: with the resource.
#[test]
fn wanted_with_the_resource() {
    let mut server = server(true);
    server.feed(TO_SERVER);
    server.feed(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABwZW5jaWw=</initial-response>\
         <bind xmlns='urn:xmpp:bind:0'>{INACTIVE}</bind></authenticate>"
    ));
    server.answer(ServerAnswer::Verified(Some([7; 16].into())));
    let (_, ask) = &server.asks[0];
    let ServerAsk::Bind { inline: Some(inline), .. } = ask else { panic!("{ask:?}") };
    assert_eq!(inline.root().children().find_map(ClientState::read), Some(ClientState::Inactive));
}

/// A client that has logged in by PLAIN, as far as these features.
fn client(change: impl FnOnce(&mut ClientStreamConfig), after: &str) -> Client {
    let mut client = Client::secured(None, change);
    client.feed(&[HEADER, &features(&mechanisms(&["PLAIN"])), SUCCESS, HEADER, after].concat());
    client.events.clear();
    client
}

fn set_active(client: &mut Client, is_active: bool) -> String {
    let before = client.out.len();
    client.stream.set_active(is_active, &mut client.out);
    String::from_utf8(client.out[before..].to_vec()).unwrap()
}

fn with_csi(more: &str) -> String {
    BIND.replace("</stream:features>", &format!("{CSI}{more}</stream:features>"))
}

// XEP-0352 §4.1, §4.2 [CI2]: it is told where it wants to know, when there is news, and once.
#[test]
fn told_where_it_is_offered() {
    let mut client = self::client(|_| {}, &with_csi(""));
    assert!(client.stream.features().client_state && client.stream.is_active());
    // Not before there is a resource.
    assert_eq!((set_active(&mut client, false), client.stream.is_active()), (String::new(), false));
    assert_eq!(client.feed(BOUND), INACTIVE);
    assert_eq!(set_active(&mut client, false), "");
    assert_eq!(set_active(&mut client, true), ACTIVE);
    assert_eq!(set_active(&mut client, true), "");
    client.stream.close(client.now, &mut client.out);
    assert_eq!(set_active(&mut client, false), "");

    // As configured.
    let mut client = self::client(|config| config.active = false, &with_csi(""));
    assert_eq!(client.feed(BOUND), INACTIVE);
    let mut client = self::client(|_| {}, &with_csi(""));
    assert_eq!(client.feed(BOUND), "");
    // Not to a server that does not offer it.
    let mut client = self::client(|config| config.active = false, BIND);
    assert_eq!((client.feed(BOUND), set_active(&mut client, true)), (String::new(), String::new()));
    assert!(!client.stream.features().client_state && client.stream.is_active());
}

const INLINE: &str = "<inline><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:csi:0'/></inline></bind>\
                      <sm xmlns='urn:xmpp:sm:3'/></inline>";
const BOUND_INLINE: &str = "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@example.com/balcony.7\
                            </authorization-identifier><bound xmlns='urn:xmpp:bind:0'/></success>";

/// A login by SASL2; what the client has said.
fn login(mut client: Client, inline: &str) -> (Client, String) {
    let offer = format!(
        "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism>{inline}</authentication>"
    );
    let said = client.feed(&[HEADER, &features(&offer)].concat());
    (client, said)
}

// XEP-0386 §3.2 [BI16]: with the resource it is said once, and what has changed meanwhile is said later.
#[test]
fn told_with_the_resource() {
    let inactive = |config: &mut ClientStreamConfig| (config.active, config.resource) = (false, None);
    let (mut client, said) = login(Client::secured(None, inactive), INLINE);
    assert!(said.contains(&format!("<tag>balcony</tag>{INACTIVE}</bind>")), "{said}");
    assert_eq!(client.feed(&(BOUND_INLINE.to_owned() + &features(CSI))), "");
    assert_eq!(set_active(&mut client, true), ACTIVE);

    let (mut client, _) = login(Client::secured(None, inactive), INLINE);
    assert_eq!(set_active(&mut client, true), "");
    assert_eq!(client.feed(&(BOUND_INLINE.to_owned() + &features(CSI))), ACTIVE);

    // Where it can't be said so it is said afterwards.
    let without = "<inline><bind xmlns='urn:xmpp:bind:0'/></inline>";
    let (mut client, said) = login(Client::secured(None, inactive), without);
    assert!(!said.contains("csi"), "{said}");
    assert_eq!(client.feed(&(BOUND_INLINE.to_owned() + &features(CSI))), INACTIVE);
    let (_, said) = login(Client::secured(None, |config| config.resource = None), INLINE);
    assert!(!said.contains("csi"), "{said}");
}

// XEP-0352 §5.2 [CI4], XEP-0198 §5 [SM18]: a session that goes on begins as active, so it is said again; also where the login brings no features.
#[test]
fn told_again_when_the_session_goes_on() {
    let mut client = self::client(|_| {}, &with_csi(SM));
    client.feed(BOUND);
    client.feed("<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true'/>");
    assert_eq!(set_active(&mut client, false), INACTIVE);
    client.eof();
    let resumption = client.stream.resumption().unwrap();
    let resuming = || {
        let mut client = Client::secured(None, |config| config.active = false);
        client.stream.resume(resumption.clone()).unwrap();
        client
    };
    let resumed = "<resumed xmlns='urn:xmpp:sm:3' previd='s' h='0'/>";

    let mut client = resuming();
    client.feed(&[HEADER, &features(&mechanisms(&["PLAIN"])), SUCCESS, HEADER, &with_csi(SM)].concat());
    assert_eq!(client.feed(resumed), INACTIVE);

    let (mut client, said) = login(resuming(), INLINE);
    assert!(said.contains("<resume "), "{said}");
    let success = format!(
        "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@example.com/balcony\
         </authorization-identifier>{resumed}</success>"
    );
    assert_eq!(client.feed(&success), INACTIVE);
    assert_eq!(set_active(&mut client, true), ACTIVE);
    // And so for the next one.
    client.eof();
    assert_eq!(client.stream.resumption().map(|next| format!("{next:?}")), Some(format!("{resumption:?}")));

    // A server that has not got it any more.
    let mut client = resuming();
    client.feed(&[HEADER, &features(&mechanisms(&["PLAIN"])), SUCCESS, HEADER].concat());
    client.feed(&BIND.replace("</stream:features>", &format!("{SM}</stream:features>")));
    assert_eq!(client.feed(resumed), "");
}
