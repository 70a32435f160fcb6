//! A client on messages that a server's stream takes, and what it tells of what comes; and anything else that may come.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_sasl::Credentials;
use balcony_stanza::Stanza;
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent, ServerStreamConfig};
use balcony_stream::{Framing, Security, ServerStream, TlsPolicy};
use proptest::prelude::*;

use crate::client::{CONNECT, DISCONNECT, ENDED, EVENT, MESSAGE, WAIT, WAITING, WebClient};

const NOW: Instant = Instant::from_millis(1_000);

fn client(scheme: &str) -> WebClient {
    let texts = ["juliet@example.com/phone", "r0m30", scheme, "-3", "0", "1"].join("\0");
    WebClient::new(&[&[7; 32][..], texts.as_bytes()].concat()).unwrap()
}

/// A client and the stream of a server, on a WebSocket.
struct Pair {
    client: WebClient,
    server: ServerStream,
    credentials: Credentials,
    /// What the client has told, and what the server has got.
    told: Vec<String>,
    got: Vec<String>,
}

impl Pair {
    fn new(scheme: &str) -> Pair {
        Pair::with_password(scheme, "r0m30")
    }

    /// A server where the account's password is this one.
    fn with_password(scheme: &str, password: &str) -> Pair {
        let mut config =
            ServerStreamConfig::new(vec![BareJid::parse("example.com").unwrap()], Secret::new([1; 32]));
        config.framing = Framing::Messages;
        config.tls = if scheme == "wss" { TlsPolicy::Direct } else { TlsPolicy::None };
        let credentials = Credentials::derive(password, b"salt and salt", config.iterations).unwrap();
        let mut server = ServerStream::new(Arc::new(config), Seed::from_u64(1), NOW);
        if scheme == "wss" {
            // TLS ends in a proxy.
            server.secured(Security::new(None)).unwrap();
        }
        let mut client = client(scheme);
        assert_eq!(client.step(NOW).0, CONNECT);
        assert_eq!(client.step(NOW).0, CONNECT, "until there is a WebSocket");
        client.connected(NOW);
        let mut pair = Pair { client, server, credentials, told: Vec::new(), got: Vec::new() };
        pair.run();
        pair
    }

    /// Until neither has anything to say; what the last step was.
    fn run(&mut self) -> u32 {
        loop {
            let last = loop {
                match self.client.step(NOW) {
                    (EVENT, json) => self.told.push(json),
                    (step, _) => break step,
                }
            };
            let messages: Vec<String> = core::iter::from_fn(|| self.client.message()).collect();
            if messages.is_empty() {
                return last;
            }
            for message in messages {
                assert!(
                    message.starts_with('<') && message.ends_with('>'),
                    "one element a message: {message}"
                );
                self.server_reads(&(message + "\0"));
            }
        }
    }

    fn server_reads(&mut self, bytes: &str) {
        let (mut input, mut out) = (bytes.as_bytes(), Vec::new());
        while let Ok(Progress::Event(event)) = self.server.advance(NOW, &mut input, &mut out) {
            match event {
                ServerEvent::Ask(ticket, ask) => {
                    let answer = match *ask {
                        ServerAsk::Credentials { hash, .. } => {
                            ServerAnswer::Credentials(self.credentials.get(hash).cloned())
                        }
                        ServerAsk::Bind { account, resource, .. } => {
                            let jid = format!("{account}/{}", resource.as_deref().unwrap_or("x"));
                            ServerAnswer::Bound(Ok(jid.parse().unwrap()))
                        }
                        _ => ServerAnswer::Unavailable,
                    };
                    self.server.answer(ticket, answer).unwrap();
                }
                ServerEvent::Stanza(stanza) => self.got.push(stanza.to_xml()),
                _ => {}
            }
        }
        self.client_reads(&out);
    }

    fn client_reads(&mut self, bytes: &[u8]) {
        for message in bytes.split(|byte| *byte == 0).filter(|message| !message.is_empty()) {
            self.client.received(NOW, message);
            while let (EVENT, json) = self.client.step(NOW) {
                self.told.push(json);
            }
        }
    }

    fn server_says(&mut self, xml: &str) {
        self.server_sends(xml);
        self.run();
    }

    /// The client takes it as far as it can, and nothing leaves it meanwhile.
    fn server_sends(&mut self, xml: &str) {
        let mut out = Vec::new();
        self.server.send(&Stanza::parse(xml.as_bytes()).unwrap(), &mut out).unwrap();
        self.client_reads(&out);
    }
}

// RFC 7395 §3, RFC 6121 §4.2
#[test]
fn it_logs_in_and_says_its_priority() {
    for scheme in ["ws", "wss"] {
        let pair = Pair::new(scheme);
        assert_eq!(
            pair.told,
            ["{\"event\":\"online\",\"jid\":\"juliet@example.com/phone\",\"resumed\":false}"]
        );
        let presence = pair.got.iter().find(|xml| xml.starts_with("<presence")).unwrap();
        assert!(presence.contains("<priority>-3</priority>"), "{presence}");
    }
}

#[test]
fn it_tells_what_comes_and_sends_what_is_wanted() {
    let mut pair = Pair::new("wss");
    pair.told.clear();
    pair.server_says("<message from='romeo@example.net/a' to='juliet@example.com' id='1' type='chat'><body>\"so\"</body></message>");
    pair.server_says("<presence from='romeo@example.net/a' to='juliet@example.com'><show>away</show><priority>7</priority></presence>");
    pair.server_says("<message from='nobody@example.net' to='juliet@example.com' id='2' type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>");
    let begins = [
        "{\"event\":\"message\",\"from\":\"romeo@example.net/a\",\"to\":\"juliet@example.com\",\"id\":\"1\",\"type\":\"chat\",\"body\":\"\\\"so\\\"\",\"subject\":null,\"delayed\":null,",
        "{\"event\":\"presence\",\"from\":\"romeo@example.net/a\",\"to\":\"juliet@example.com\",\"id\":null,\"type\":\"available\",\"show\":\"away\",\"status\":null,\"priority\":7,",
        "{\"event\":\"undelivered\",\"from\":\"nobody@example.net\",\"to\":\"juliet@example.com\",\"id\":\"2\",\"condition\":\"item-not-found\",\"text\":null,",
    ];
    assert_eq!(pair.told.len(), begins.len());
    for (told, begin) in pair.told.iter().zip(begins) {
        assert!(told.starts_with(begin), "{told}");
    }
    pair.got.clear();
    for wrong in ["\0", "\u{1b}", "\u{ffff}"] {
        assert!(pair.client.send(&format!("chat\0romeo@example.net\0so{wrong}ft")).is_err(), "{wrong:?}");
    }
    let id = pair.client.send("headline\0romeo@example.net\0<soft>").unwrap();
    pair.client.presence("5\0dnd\0at night").unwrap();
    pair.client.presence("").unwrap();
    pair.run();
    assert!(
        pair.got[0].contains(&format!("id='{id}'")) && pair.got[0].contains("type='headline'"),
        "{}",
        pair.got[0]
    );
    assert!(pair.got[0].contains("<body>&lt;soft&gt;</body>"), "{}", pair.got[0]);
    assert!(
        pair.got[1].contains("<show>dnd</show><status>at night</status><priority>5</priority>"),
        "{}",
        pair.got[1]
    );
    assert!(pair.got[2].contains("type='unavailable'"), "{}", pair.got[2]);
    for wrong in ["chat\0romeo@example.net", "shout\0romeo@example.net\0x", "chat\0@\0x", ""] {
        assert!(pair.client.send(wrong).is_err(), "{wrong}");
    }
    for wrong in ["128\0\0", "0\0gone\0", "0", "x\0\0"] {
        assert!(pair.client.presence(wrong).is_err(), "{wrong}");
    }
    assert!(pair.client.stanza("<message><body>").is_err());
}

// RFC 6120 §8.2.3: every request has an answer
#[test]
fn requests_of_others_are_refused() {
    let mut pair = Pair::new("wss");
    pair.got.clear();
    pair.server_says("<iq from='romeo@example.net/a' to='juliet@example.com/phone' id='q' type='get'><x xmlns='urn:example:x'/></iq>");
    assert!(
        pair.got[0].contains("type='error'") && pair.got[0].contains("<service-unavailable"),
        "{:?}",
        pair.got
    );
}

// RFC 7395 §3.6
#[test]
fn it_ends_in_good_order() {
    let mut pair = Pair::new("wss");
    pair.client.close(NOW);
    pair.run();
    assert_eq!(pair.client.step(NOW).0, ENDED);
    assert!(pair.got.last().unwrap().contains("type='unavailable'"), "{:?}", pair.got);
    assert!(pair.client.send("chat\0romeo@example.net\0x").is_err());
}

/// What is told from here on, until nothing goes on; what the last step was.
fn tell(client: &mut WebClient) -> (Vec<String>, u32) {
    let mut told = Vec::new();
    loop {
        while client.message().is_some() {}
        match client.step(NOW) {
            (EVENT, json) => told.push(json),
            (DISCONNECT, _) => {}
            (step, _) => return (told, step),
        }
    }
}

// The browser has checked the certificate, or nobody is in between: what the server says of the password is the server's.
#[test]
fn a_wrong_password_is_the_end() {
    for scheme in ["ws", "wss"] {
        let mut pair = Pair::with_password(scheme, "another");
        let (_, step) = tell(&mut pair.client);
        assert_eq!(step, ENDED, "{:?}", pair.told);
        assert!(pair.told[0].contains("not-authorized") && pair.told[0].ends_with("\"next\":null}"));
    }
}

#[test]
fn the_end_tells_what_was_not_sent() {
    let mut never = client("wss");
    let first = never.send("chat\0romeo@example.net\0one").unwrap();
    let second = never.send("normal\0romeo@example.net\0two").unwrap();
    never.presence("3\0\0").unwrap();
    never.close(NOW);
    let (told, step) = tell(&mut never);
    assert_eq!(step, ENDED);
    let unsent: Vec<_> = told.iter().filter(|told| told.starts_with("{\"event\":\"unsent\"")).collect();
    assert_eq!(unsent.len(), 2, "{told:?}");
    for (told, id) in unsent.iter().zip([first, second]) {
        assert!(told.contains(&format!("\"to\":\"romeo@example.net\",\"id\":\"{id}\"")), "{told}");
        assert!(told.contains("\"xml\":\"<message"), "{told}");
    }

    // So it is with what had no room to leave before the connection broke.
    let mut pair = Pair::new("wss");
    let text = format!("chat\0romeo@example.net\0{}", "x".repeat(100_000));
    let mut ids = Vec::new();
    while let Ok(id) = pair.client.send(&text) {
        ids.push(id);
        assert_eq!(pair.client.step(NOW).0, WAIT);
    }
    pair.client.close(NOW);
    pair.client.broken(NOW, "gone");
    let (told, step) = tell(&mut pair.client);
    assert_eq!(step, ENDED);
    let unsent: Vec<_> = told.iter().filter(|told| told.starts_with("{\"event\":\"unsent\"")).collect();
    assert!(!unsent.is_empty() && unsent.len() < ids.len(), "{} of {}", unsent.len(), ids.len());
    for (told, id) in unsent.iter().rev().zip(ids.iter().rev()) {
        assert!(told.contains(id));
    }
}

// RFC 6121 §4.7.2.3: a priority that is left out would be 0
#[test]
fn presence_without_a_priority_keeps_the_last_one() {
    let mut pair = Pair::new("wss");
    pair.got.clear();
    for presence in ["\0away\0", "12\0\0", "128\0\0", "\0dnd\0"] {
        let _ = pair.client.presence(presence);
    }
    pair.run();
    let priorities: Vec<_> =
        pair.got.iter().map(|xml| xml.split("priority>").nth(1).unwrap_or_default()).collect();
    assert_eq!(priorities, ["-3</", "12</", "12</"], "{:?}", pair.got);
}

#[test]
fn messages_come_while_much_is_sent() {
    let mut pair = Pair::new("wss");
    pair.told.clear();
    let body = "x".repeat(100_000);
    for _ in 0..12 {
        pair.client.send(&format!("chat\0romeo@example.net\0{body}")).unwrap();
        assert_eq!(pair.client.step(NOW).0, WAIT);
    }
    for id in ["one", "two"] {
        pair.server_sends(&format!("<message from='romeo@example.net/a' to='juliet@example.com' id='{id}' type='chat'><body>{body}</body></message>"));
    }
    pair.run();
    let told: Vec<_> = pair.told.iter().map(|told| &told[..told.len().min(110)]).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("\"id\":\"one\"") && told[1].contains("\"id\":\"two\""), "{told:?}");
    // All that was sent has left, too.
    assert_eq!(pair.got.iter().filter(|xml| xml.len() > 100_000).count(), 12);
}

#[test]
fn what_waits_to_be_taken_is_bounded() {
    let mut pair = Pair::new("wss");
    pair.told.clear();
    let body = "x".repeat(100_000);
    while pair.client.send(&format!("chat\0romeo@example.net\0{body}")).is_ok() {
        assert_eq!(pair.client.step(NOW).0, WAIT);
    }
    let mut count = 0;
    while pair.told.is_empty() {
        pair.server_sends(&format!("<message from='romeo@example.net/a' to='juliet@example.com' type='chat'><body>{body}</body></message>"));
        count += 1;
        assert!(count * body.len() < 8 * MESSAGE + (4 << 20), "it keeps all that comes");
    }
    assert!(count * body.len() > WAITING, "{count}");
    assert!(pair.told[0].contains("offline") && pair.told[0].contains("more than"), "{:?}", pair.told);
}

#[test]
fn a_message_that_is_none_breaks_the_connection() {
    for wrong in [vec![b'<', 0], vec![b'x'; MESSAGE + 1]] {
        let mut pair = Pair::new("wss");
        pair.told.clear();
        pair.client.received(NOW, &wrong);
        pair.run();
        assert!(pair.told[0].starts_with("{\"event\":\"offline\",\"reason\":"), "{:?}", pair.told);
    }
}

/// Steps until it waits, and forgets what it says.
fn settle(client: &mut WebClient) -> u32 {
    loop {
        while client.message().is_some() {}
        match client.step(NOW).0 {
            EVENT | DISCONNECT => {}
            step => return step,
        }
    }
}

proptest! {
    /// Whatever a server says, and in whatever order its owner calls: no panic, and it comes to rest.
    #[test]
    fn it_comes_to_rest(calls in proptest::collection::vec((0u8..8, "[<>/a-z'= \0é]{0,40}"), 0..40)) {
        let mut client = client("ws");
        for (call, text) in calls {
            match call {
                0 => client.connected(NOW),
                1 => client.unreachable(NOW, &text),
                2 => client.broken(NOW, &text),
                3 => client.received(NOW, text.as_bytes()),
                4 => drop(client.send(&text)),
                5 => drop(client.stanza(&text)),
                6 => client.wake(NOW),
                _ => drop(client.presence(&text)),
            }
            let step = settle(&mut client);
            prop_assert!(matches!(step, WAIT | CONNECT | ENDED));
        }
        client.close(NOW);
        let _ = settle(&mut client);
    }
}
