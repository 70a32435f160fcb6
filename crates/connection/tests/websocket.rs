//! Streams on WebSockets, with and without TLS: what the HTTP around them has to say (RFC 7395).

#![cfg(feature = "websocket")]
#![allow(clippy::unwrap_used)]

mod common;

use core::time::Duration;
use std::sync::Arc;

use balcony_connection::{ClientConnection, Error, ServerConnection, WEBSOCKET_PATH, WebSocketUrl};
use balcony_machine::{Instant, Limits, Progress, Secret, Seed, XmlLimits};
use balcony_stanza::{MessageType, Stanza, StreamCondition};
use balcony_stream::client::{Client, ClientStreamConfig};
use balcony_stream::server::{Server, ServerStreamConfig};
use balcony_stream::{Framing, TlsPolicy};
use common::{BIND, Cut, End, IDENTITY, PLAIN, Raw, contains, settle};

/// Of an element after login.
const LIMIT: usize = 16_384;

fn tls(secure: bool) -> TlsPolicy {
    if secure { TlsPolicy::Direct } else { TlsPolicy::None }
}

fn client(secure: bool) -> End<Client> {
    let mut config =
        ClientStreamConfig::new("juliet@example.com".parse().unwrap(), Secret::new("pencil".into()));
    (config.tls, config.framing) = (tls(secure), Framing::Messages);
    let mut connection = ClientConnection::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    if secure {
        connection = connection.with_tls(IDENTITY.client.clone(), "example.com");
    }
    let seed = Seed::from_u64(3);
    let scheme = if secure { "wss" } else { "ws" };
    let url = WebSocketUrl::parse(&format!("{scheme}://example.com{WEBSOCKET_PATH}")).unwrap();
    End::of(connection.with_websocket(&url, &seed))
}

fn server(secure: bool) -> End<Server> {
    let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
    (config.tls, config.framing) = (tls(secure), Framing::Messages);
    config.limits.after_auth = XmlLimits { bytes: LIMIT, ..XmlLimits::STANZA };
    let mut connection = ServerConnection::new(Arc::new(config), Seed::from_u64(2), Instant::ZERO);
    if secure {
        connection = connection.with_tls(IDENTITY.server.web());
    }
    End::of(connection.with_websocket())
}

fn message(id: &str) -> Stanza {
    Stanza::message(MessageType::Chat).with_to("juliet@example.com".parse().unwrap()).with_id(id)
}

// RFC 7395 §3.1 [V1], §3.6 [V10], §3.9 [V15]; habits.md invariant 1
#[test]
fn login_chat_and_close_however_the_bytes_are_cut() {
    for secure in [false, true] {
        for mut cut in Cut::all() {
            let (mut client, mut server) = (client(secure), server(secure));
            let sent = settle(&mut client, &mut server, &mut cut);
            assert!(
                client.connection.is_open() && server.connection.is_open(),
                "{:?} {:?}",
                client.ended,
                server.ended
            );
            let request = "Sec-WebSocket-Protocol: xmpp\r\n";
            assert_eq!(contains(&sent[0], request), !secure, "nothing goes in the clear but what may");
            assert!(
                secure || String::from_utf8_lossy(&sent[1]).to_lowercase().contains(&request.to_lowercase())
            );
            for id in ["1", "2", "3"] {
                client.act(|connection| connection.send(&message(id)).unwrap());
                server.act(|connection| connection.send(&message(id)).unwrap());
            }
            settle(&mut client, &mut server, &mut cut);
            assert_eq!(
                (client.stanza_ids(), server.stanza_ids()),
                (vec!["1", "2", "3"], vec!["1", "2", "3"])
            );
            let now = client.now;
            client.act(|connection| connection.close(now));
            settle(&mut client, &mut server, &mut cut);
            assert_eq!((client.ended, server.ended), (Some(Ok(())), Some(Ok(()))));
        }
    }
}

fn request(path: &str, protocol: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
    )
}

/// What the server answers to these bytes, and how it ended.
fn answer(bytes: &[u8]) -> (String, Option<Result<(), Error>>) {
    let mut server = server(false);
    let out = server.receive(bytes, &mut Cut::Whole);
    (String::from_utf8_lossy(&out).into_owned(), server.ended)
}

// RFC 7395 §3.1 [V1]: the server echoes the subprotocol if the client offers it, and else there is no WebSocket
#[test]
fn what_the_server_answers() {
    for protocol in ["xmpp", "chat, xmpp", "xmpp,chat", "chat\r\nSec-WebSocket-Protocol: xmpp"] {
        let (out, ended) =
            answer(request(WEBSOCKET_PATH, &format!("Sec-WebSocket-Protocol: {protocol}\r\n")).as_bytes());
        assert!(out.starts_with("HTTP/1.1 101 ") && ended.is_none(), "{out}");
        // RFC 6455 §1.3 has this key with its answer.
        assert!(out.to_lowercase().contains("sec-websocket-protocol: xmpp\r\n"), "{out}");
        assert!(out.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{out}");
    }
    let plain = "Sec-WebSocket-Protocol: xmpp\r\n";
    for (bytes, status) in [
        (request(WEBSOCKET_PATH, ""), "400"),
        (request(WEBSOCKET_PATH, "Sec-WebSocket-Protocol: xmpps, soap\r\n"), "400"),
        (request("/", plain), "404"),
        (request(WEBSOCKET_PATH, plain).replace("Upgrade: websocket\r\n", ""), "426"),
        (request(WEBSOCKET_PATH, plain).replace("Version: 13", "Version: 8"), "426"),
        (request(WEBSOCKET_PATH, plain).replace("GET", "POST"), "400"),
        ("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>\0".into(), "400"),
        (format!("GET / HTTP/1.1\r\nCookie: {}", "x".repeat(9000)), "400"),
        // Too long, though it has come whole.
        (request(WEBSOCKET_PATH, &format!("{plain}Cookie: {}\r\n", "x".repeat(9000))), "400"),
    ] {
        let (out, ended) = answer(bytes.as_bytes());
        assert!(out.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes} {out}");
        assert!(matches!(ended, Some(Err(Error::WebSocket(_)))), "{ended:?}");
    }
}

// RFC 7395 §3.1 [V1]: a server that does not echo the subprotocol speaks something else, and the client leaves
#[test]
fn what_the_client_takes() {
    // With the seed of `client`, the key is always the same.
    let mut probe = client(false);
    let request = String::from_utf8(probe.receive(&[], &mut Cut::Whole)).unwrap();
    let response = String::from_utf8(server(false).receive(request.as_bytes(), &mut Cut::Whole)).unwrap();
    assert!(response.contains("sec-websocket-protocol: xmpp\r\n"), "{response}");
    for (response, works) in [
        (response.clone(), true),
        (response.replace("sec-websocket-protocol: xmpp\r\n", ""), false),
        (response.replace("protocol: xmpp", "protocol: soap"), false),
        (response.replace("101 Switching Protocols", "200 OK"), false),
        (response.replace("sec-websocket-accept: ", "sec-websocket-accept: A"), false),
        ("HTTP/1.1 404 Not Found\r\n\r\n".into(), false),
        ("x".repeat(9000), false),
        (response.replacen("\r\n", &format!("\r\nSet-Cookie: {}\r\n", "x".repeat(9000)), 1), false),
    ] {
        for mut cut in [Cut::Whole, Cut::Bytes] {
            let mut client = client(false);
            client.receive(&[], &mut Cut::Whole);
            let out = client.receive(response.as_bytes(), &mut cut);
            assert_eq!(client.ended.is_none(), works, "{response}");
            // The first frame is the header of the stream; who leaves says nothing.
            assert_eq!(!out.is_empty(), works);
            if !works {
                assert!(matches!(client.ended, Some(Err(Error::WebSocket(_)))), "{:?}", client.ended);
            }
        }
    }
}

/// A frame of a client, with a mask of zeros.
fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80 | kind];
    match u8::try_from(content.len()) {
        Ok(short) if short < 126 => out.push(0x80 | short),
        _ => {
            out.push(0x80 | 126);
            out.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(content);
    out
}

// RFC 7395 §3.2 [V2], §3.8 [V14]; RFC 6120 §4.9.3: the error that the RFC names, as text, then the end of both
#[test]
fn frames_that_are_no_messages() {
    const OPEN: &[u8] = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>";
    let handshake = request(WEBSOCKET_PATH, "Sec-WebSocket-Protocol: xmpp\r\n").into_bytes();
    let serve = |frames: &[Vec<u8>], cut: &mut Cut| {
        let mut server = server(false);
        let out = server.receive(&[handshake.clone(), frames.concat()].concat(), cut);
        (String::from_utf8_lossy(&out).into_owned(), server.ended)
    };
    for mut cut in [Cut::Whole, Cut::Bytes] {
        for (bad, condition) in [
            (frame(2, OPEN), StreamCondition::BadFormat),
            (frame(1, b"<a/>\0<b/>"), StreamCondition::NotWellFormed),
            (frame(1, &[b'<'; 3 * LIMIT]), StreamCondition::PolicyViolation),
        ] {
            let (out, ended) = serve(&[frame(1, OPEN), bad], &mut cut);
            let Some(Err(Error::Stream(balcony_stream::Error::Local(error)))) = ended else {
                panic!("{ended:?} {out}")
            };
            assert_eq!(error.condition, condition);
            // What came before it has been answered.
            assert!(out.contains("<stream:features") && out.contains(condition.name()), "{out}");
            assert!(out.contains("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"));
        }
        // A ping is the WebSocket's own business.
        let (out, ended) = serve(&[frame(9, b"still there?")], &mut cut);
        assert!(out.ends_with("still there?") && ended.is_none(), "{out}");
        // RFC 7395 §3.6 [V11]: a WebSocket that ends before its stream has ended the session.
        let (out, ended) = serve(&[frame(1, OPEN), frame(8, &[])], &mut cut);
        assert_eq!(ended, Some(Err(Error::Stream(balcony_stream::Error::Truncated))));
        // RFC 6455 §5.5.1: nothing goes behind its end, so what came before that has been answered before.
        assert!(out.contains("<stream:features"), "{out}");
        // RFC 6455 §5.1: a client masks.
        let mut naked = frame(1, OPEN);
        naked[1] &= 0x7f;
        assert!(matches!(serve(&[naked], &mut cut).1, Some(Err(Error::WebSocket(_)))));
    }
}

// RFC 7395 §3.8 [V14], RFC 6120 §4.6: a client that sends nothing but pings is there, as one that sends white space on TCP is. So is one whose message
// takes long to come, and who was asked and sends a ping before the answer.
#[test]
fn every_frame_is_a_sign_of_life() {
    let (idle, moment) = (Limits::default().idle.unwrap(), Duration::from_secs(1));
    let mut fragments = [frame(1, b"<message xmlns='jabber:client'>"), frame(0, b"<body>")];
    fragments.iter_mut().for_each(|fragment| fragment[0] &= 0x7f);
    let [ping, pong] = [9, 10].map(|kind| frame(kind, b"there"));
    let halves = [ping[..5].to_vec(), ping[5..].to_vec()];
    for [first, next] in [[ping.clone(), ping], [pong.clone(), pong], fragments, halves] {
        for mut cut in Cut::all() {
            let (mut client, mut server) = (client(false), server(false));
            settle(&mut client, &mut server, &mut Cut::Whole);
            server.now = server.now + (idle - moment);
            server.receive(&first, &mut cut);
            assert_eq!(server.connection.deadline().unwrap().at, server.now + idle);
            server.now = server.now + idle;
            assert!(contains(&server.receive(&[], &mut cut), "urn:xmpp:ping"));
            server.now = server.now + (Limits::default().answer - moment);
            server.receive(&next, &mut cut);
            assert_eq!(server.connection.deadline().unwrap().at, server.now + idle);
            assert!(server.connection.is_open(), "{:?}", server.ended);
        }
    }
}

/// The condition with which a server has ended the stream.
fn condition(ended: Option<&Result<(), Error>>) -> Option<StreamCondition> {
    match ended {
        Some(Err(Error::Stream(balcony_stream::Error::Local(error)))) => Some(error.condition),
        _ => None,
    }
}

const CLIENT_OPEN: &str =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>";

// RFC 6120 §13.12, docs/limits.md: what nobody has logged in for is as little as on TCP, and of a message that is not finished no more
// is kept.
#[test]
fn a_message_before_login_has_the_bound_of_an_element_before_login() {
    let handshake = request(WEBSOCKET_PATH, "Sec-WebSocket-Protocol: xmpp\r\n").into_bytes();
    let begin = || {
        let mut server = server(false);
        let open = [&handshake[..], &frame(1, CLIENT_OPEN.as_bytes())].concat();
        server.receive(&open, &mut Cut::Whole);
        assert_eq!(server.ended, None);
        server
    };
    // Fragments that never end.
    let mut server = begin();
    let (mut fragment, mut taken) = (frame(1, &[b'<'; 1000]), 0);
    fragment[0] &= 0x7f;
    let mut out = Vec::new();
    while server.ended.is_none() && taken < 100_000 {
        out.extend(server.receive(&fragment, &mut Cut::Whole));
        fragment[0] &= 0xf0;
        taken += 1000;
    }
    assert_eq!(taken, 11_000, "{:?}", server.ended);
    assert_eq!(condition(server.ended.as_ref()), Some(StreamCondition::PolicyViolation));
    let says = String::from_utf8_lossy(&out);
    assert!(says.contains("policy-violation"), "{says}");
    // RFC 6455 §7.4.1.
    assert!(out.windows(2).any(|at| at == 1009_u16.to_be_bytes()));
    // One frame that says how long it is going to be, of which nothing else has come.
    for (length, works) in [(10_000_u16, true), (10_001, false)] {
        let mut server = begin();
        let head = [&[0x81, 0x80 | 126][..], &length.to_be_bytes(), &[0; 4]].concat();
        server.receive(&head, &mut Cut::Bytes);
        assert_eq!(condition(server.ended.as_ref()), (!works).then_some(StreamCondition::PolicyViolation));
    }
}

// The same after login, with the other bound; and what is sent behind a login, without waiting for its answer, has that already.
#[test]
fn a_message_after_login_has_the_bound_of_a_stanza() {
    let handshake = request(WEBSOCKET_PATH, "Sec-WebSocket-Protocol: xmpp\r\n").into_bytes();
    let bind = BIND.replace("<iq", "<iq xmlns='jabber:client'");
    let login = [CLIENT_OPEN, PLAIN, CLIENT_OPEN, &bind].map(|text| frame(1, text.as_bytes())).concat();
    let message = |id: u32, bytes: usize| {
        let head = format!("<message xmlns='jabber:client' id='{id}'><body>");
        let body = "x".repeat(bytes - head.len() - "</body></message>".len());
        format!("{head}{body}</body></message>").into_bytes()
    };
    let in_two = |id: u32, bytes: usize| {
        let whole = message(id, bytes);
        let (mut first, mut second) = (frame(1, &whole[..9000]), frame(0, &whole[9000..]));
        (first[0], second[0]) = (0x01, 0x80);
        [first, second].concat()
    };
    let send = |raw: &mut Raw, frames: &[u8]| {
        let mut bytes = Vec::new();
        raw.session.write(frames, &mut bytes).unwrap();
        raw.server.receive(&bytes, &mut raw.cut);
    };
    for too_long in [frame(1, &message(3, LIMIT + 1)), in_two(3, LIMIT + 1)] {
        for cut in Cut::all() {
            let mut raw = Raw::new(server(true), cut);
            send(
                &mut raw,
                &[&handshake[..], &login, &frame(1, &message(1, LIMIT)), &in_two(2, LIMIT)].concat(),
            );
            assert_eq!((raw.server.stanza_ids(), &raw.server.ended), (vec!["1", "2"], &None));
            send(&mut raw, &too_long);
            assert_eq!(condition(raw.server.ended.as_ref()), Some(StreamCondition::PolicyViolation));
            assert_eq!(raw.server.stanza_ids(), ["1", "2"]);
        }
    }
}

// RFC 6455 §7.4.1: whose fault the end is. The status is the last that the server says.
#[test]
fn the_close_frame_says_why() {
    const OPEN: &[u8] = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>";
    let handshake = request(WEBSOCKET_PATH, "Sec-WebSocket-Protocol: xmpp\r\n").into_bytes();
    let naked = [&[0x81, 5][..], b"<a/>\n"].concat();
    let (mut reserved, mut fragmented) = (frame(1, b"<a/>"), frame(9, b"?"));
    reserved[0] |= 0x40;
    fragmented[0] &= 0x7f;
    const CLOSE: &[u8] = b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";
    for (last, status) in [
        (frame(1, CLOSE), 1000_u16),
        (frame(1, b"<iq/>"), 1000),
        // A client that knows its reason hears it back.
        (frame(8, &1001_u16.to_be_bytes()), 1001),
        // One that is not allowed on the wire (section 7.4.2).
        (frame(8, &1005_u16.to_be_bytes()), 1002),
        (naked, 1002),
        (reserved, 1002),
        (fragmented, 1002),
        (frame(3, b"<a/>"), 1002),
        (frame(8, &[3]), 1002),
        (frame(2, OPEN), 1003),
        (frame(1, b"<a>\xff</a>"), 1007),
        (frame(1, &[b'<'; 3 * LIMIT]), 1009),
    ] {
        for mut cut in [Cut::Whole, Cut::Bytes] {
            let mut server = server(false);
            let out = server.receive(&[handshake.clone(), frame(1, OPEN), last.clone()].concat(), &mut cut);
            // A server's frames have no masks, and XML no such byte.
            let is_close = |at: &[u8]| at[0] == 0x88 && at[2..] == status.to_be_bytes();
            assert!(
                out.windows(4).filter(|at| is_close(at)).count() == 1,
                "{status} for {last:02x?}: {:?}",
                String::from_utf8_lossy(&out)
            );
        }
    }
}

#[test]
fn a_handshake_that_never_ends_is_given_up() {
    let mut server = server(false);
    server.receive(b"GET /xmpp-websocket HTTP/1.1\r\n", &mut Cut::Whole);
    server.now = server.connection.deadline().unwrap().at;
    let mut out = Vec::new();
    assert!(!matches!(
        server.connection.advance(server.now, &mut &[][..], &mut out),
        Ok(Progress::NeedInput)
    ));
}

// RFC 7395 §4 [V16], XEP-0156 1.4.0 §3: where the WebSocket is, for whoever asks, programs of other sites too
#[test]
fn it_says_where_it_is() {
    use balcony_xep::host_meta::Format;
    let ask = |path: &str, host: &str| answer(format!("GET {path} HTTP/1.1\r\n{host}\r\n").as_bytes());
    for format in [Format::Xrd, Format::Jrd] {
        for host in ["example.com", "example.com:5281", "[::1]:5281"] {
            let (out, ended) = ask(format.path(), &format!("Host: {host}\r\n"));
            let (head, file) = out.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Access-Control-Allow-Origin: *"));
            let found = format.websockets(&format.url("example.com"), file.as_bytes()).unwrap();
            assert_eq!(found, [format!("wss://{host}{WEBSOCKET_PATH}")]);
            assert!(matches!(ended, Some(Err(Error::WebSocket(_)))), "{ended:?}");
        }
        let long = format!("Host: {}.example\r\n", "x".repeat(600));
        for host in [
            "",
            "Host: a b\r\n",
            "Host: a'><b\r\n",
            "Host: user@example.com\r\n",
            &long,
            // More than a host and a port (RFC 9110 section 7.2).
            "Host: example.com:99/..\r\n",
            "Host: example.com/\r\n",
            "Host: example.com?\r\n",
            "Host: example.com?x=\r\n",
            "Host: example.com#\r\n",
            "Host: example.com:+99\r\n",
            "Host: example.com\r\nHost: example.org\r\n",
        ] {
            assert!(ask(format.path(), host).0.starts_with("HTTP/1.1 400 "), "{host}");
        }
    }
    assert!(ask("/.well-known/host-meta.xml", "Host: example.com\r\n").0.starts_with("HTTP/1.1 404 "));
}
