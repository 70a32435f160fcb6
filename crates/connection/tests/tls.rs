//! A stream on TLS: the order of things at its begin (RFC 6120 section 5.4.3) and at its end (section 4.4).

#![cfg(feature = "tls")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "these are tests, and one peer is a plain rustls"
)]

mod common;

use std::sync::Arc;

use balcony_connection::{ClientConnection, Error};
use balcony_machine::{Instant, On, Progress, Secret, Seed};
use balcony_stanza::{MessageType, Stanza, StreamCondition};
use balcony_stream::client::ClientStreamConfig;
use balcony_stream::{Error as StreamError, Side, TlsPolicy};
use balcony_tls::{Error as TlsError, Refusal, Session, Status};
use common::{CLOSE, Cut, End, HEADER, IDENTITY, Identity, PLAIN, PROCEED, Raw, STARTTLS, contains, settle};

const FEATURES: &str =
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";

fn message(id: &str) -> Stanza {
    Stanza::message(MessageType::Chat).with_to("juliet@example.com".parse().unwrap()).with_id(id)
}

// RFC 6120 §15 tls-support tls-restart security-mti-confidentiality, XEP-0368 1.1 §3 [DT2, DT3]; habits.md invariant 1
#[test]
fn login_and_chat_however_the_bytes_are_cut() {
    for tls in [TlsPolicy::Required, TlsPolicy::Optional, TlsPolicy::Direct] {
        for mut cut in Cut::all() {
            let (mut client, mut server) = (End::client(tls, &IDENTITY.client), End::server(tls));
            let sent = settle(&mut client, &mut server, &mut cut);
            assert!(
                client.connection.is_open() && server.connection.is_open(),
                "{:?} {:?}",
                client.ended,
                server.ended
            );
            // In the clear there is the way to TLS at most, and nobody's name.
            assert_eq!(contains(&sent[0], STARTTLS), tls != TlsPolicy::Direct);
            for secret in ["juliet", "pencil", "<auth"] {
                assert!(!contains(&sent[0], secret) && !contains(&sent[1], secret), "{secret}");
            }
            // The handshake has bound SASL to itself: both ends see the same channel (RFC 9266).
            let (ours, theirs) = (client.connection.tls().unwrap(), server.connection.tls().unwrap());
            assert!(
                ours.protocol == "TLSv1.3" && ours.exporter.is_some() && ours.exporter == theirs.exporter
            );
            assert!(
                client.events.iter().any(|event| event.contains("ScramSha256Plus")),
                "{:?}",
                client.events
            );
            assert!(!client.events.iter().any(|event| event == "StartTls"), "{:?}", client.events);

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

/// The first words of a client in TLS.
fn hello() -> Vec<u8> {
    let mut session = Session::client(&IDENTITY.client, "example.com").unwrap();
    let (mut out, mut plain) = (Vec::new(), Vec::new());
    session.read(&mut &[][..], &mut plain, &mut out).unwrap();
    out
}

// RFC 6120 §5.3.3 [N9]: go-sendxmpp 0.5 sends a line feed behind every element, this one included.
#[test]
fn white_space_behind_starttls_is_passed_over() {
    for space in ["", "\n", " \t\r\n"] {
        for mut cut in Cut::all() {
            let mut server = End::server(TlsPolicy::Required);
            let bytes = [HEADER.as_bytes(), STARTTLS.as_bytes(), space.as_bytes(), &hello()].concat();
            let sent = server.receive(&bytes, &mut cut);
            assert_eq!(server.ended, None, "{space:?}");
            let proceed = sent.windows(PROCEED.len()).position(|window| window == PROCEED.as_bytes());
            // A handshake record of TLS answers.
            assert_eq!(sent[proceed.unwrap() + PROCEED.len()..][..2], [22, 3], "{space:?}");
        }
    }
    // Where TLS comes first, there is nothing that it could be behind.
    let mut server = End::server(TlsPolicy::Direct);
    server.receive(&[b"\n", &*hello()].concat(), &mut Cut::Whole);
    assert_eq!(server.ended, Some(Err(Error::Tls(TlsError::NotTls))));
}

// RFC 6120 §5.4.3.3 [N13]: buffer injection, at the server. Who can write into the clear part can say nothing in the
// protected one.
#[test]
fn text_behind_starttls_never_reaches_the_stream() {
    for injected in [PLAIN, HEADER, "<auth", "<message to='romeo@example.com'/>", "\n<", "\0"] {
        for mut cut in Cut::all() {
            // A handshake behind it does not help.
            for rest in [Vec::new(), hello()] {
                let mut server = End::server(TlsPolicy::Required);
                let bytes = [HEADER.as_bytes(), STARTTLS.as_bytes(), injected.as_bytes(), &rest].concat();
                let sent = server.receive(&bytes, &mut cut);
                let end =
                    sent.windows(PROCEED.len()).position(|window| window == PROCEED.as_bytes()).unwrap();
                let sent = &sent[end + PROCEED.len()..];
                assert!(!contains(sent, "xmlns"), "{injected}: {}", String::from_utf8_lossy(sent));
                assert!(
                    server.events.is_empty() && server.stanzas.is_empty(),
                    "{injected}: {:?}",
                    server.events
                );
                assert!(server.connection.tls().is_none());
                // A few bytes may still become a record; more of them or a handshake can not.
                if injected.len() > 5 || !rest.is_empty() {
                    assert!(
                        matches!(server.ended, Some(Err(Error::Tls(_)))),
                        "{injected}: {:?}",
                        server.ended
                    );
                }
            }
        }
    }
}

// RFC 6120 §5.4.3.3 [N13]: and at the client.
#[test]
fn text_behind_proceed_never_reaches_the_stream() {
    let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    for injected in [HEADER, success, "<message/><message/>", CLOSE] {
        for mut cut in Cut::all() {
            let mut client = End::client(TlsPolicy::Required, &IDENTITY.client);
            let header = HEADER.replace("to=", "id='1' from=");
            let sent = client.receive([&header, FEATURES, PROCEED, injected].concat().as_bytes(), &mut cut);
            assert!(matches!(client.ended, Some(Err(Error::Tls(_)))), "{injected}: {:?}", client.ended);
            assert!(client.events.is_empty() && client.stanzas.is_empty());
            assert!(!contains(&sent, "juliet") && !contains(&sent, CLOSE));
        }
    }
}

// RFC 6120 §13.7.2 [T3] [T4], §5.4.3.2 [N11]: no closing tag, no word.
#[test]
fn a_wrong_certificate() {
    let other = Identity::of("example.org");
    let stranger = Identity::of("example.com");
    for tls in [TlsPolicy::Required, TlsPolicy::Direct] {
        for (server, client, expected) in [
            (&IDENTITY.server, &stranger.client, Refusal::Untrusted),
            (&other.server, &other.client, Refusal::WrongName(Vec::new())),
        ] {
            for mut cut in Cut::all() {
                let mut client = End::client(tls, client);
                let mut server = End::server_with(tls, server, |_| {});
                let sent = settle(&mut client, &mut server, &mut cut);
                let Some(Err(Error::Tls(TlsError::Certificate { domain, refusal }))) = &client.ended else {
                    panic!("{:?}", client.ended)
                };
                assert_eq!(domain, "example.com");
                assert_eq!(core::mem::discriminant(refusal), core::mem::discriminant(&expected));
                assert!(
                    matches!(server.ended, Some(Err(Error::Tls(TlsError::Alert(_))))),
                    "{:?}",
                    server.ended
                );
                assert!(!contains(&sent[0], CLOSE) && !contains(&sent[0], "juliet"));
                assert!(!contains(&sent[1], CLOSE));
                assert!(client.events.is_empty() && server.events.is_empty());
            }
        }
    }
}

// XEP-0368 1.1 §3 [DT2]: the other end does not speak TLS at all.
#[test]
fn a_peer_without_tls() {
    let mut client = End::client(TlsPolicy::Direct, &IDENTITY.client);
    client.receive(&[], &mut Cut::Whole);
    client.receive(HEADER.as_bytes(), &mut Cut::Whole);
    assert_eq!(client.ended, Some(Err(Error::Tls(TlsError::NotTls))));
    let mut server = End::server(TlsPolicy::Direct);
    let sent = server.receive(HEADER.as_bytes(), &mut Cut::Whole);
    assert_eq!(server.ended, Some(Err(Error::Tls(TlsError::NotTls))));
    assert!(!contains(&sent, "stream"));
}

// XEP-0368: nor does it say so in XML. A client learns it from the alert that it gets, a server from the handshake.
#[test]
fn tls_where_the_stream_begins_in_the_clear() {
    for mut cut in Cut::all() {
        let mut client = End::client(TlsPolicy::Required, &IDENTITY.client);
        client.receive(&[], &mut Cut::Whole);
        let alert = [21, 3, 1, 0, 2, 2, 10];
        client.receive(&alert, &mut cut);
        let mut server = End::server(TlsPolicy::Required);
        server.receive(&hello(), &mut cut);
        for ended in [client.ended, server.ended] {
            let Some(Err(error)) = ended else { panic!("it goes on") };
            assert!(error.to_string().contains("speaks TLS from the first byte"), "{error}");
        }
    }
    // Behind other bytes it is what it always was.
    let mut server = End::server(TlsPolicy::Required);
    server.receive(&[HEADER.as_bytes(), &hello()].concat(), &mut Cut::Bytes);
    assert!(matches!(server.ended, Some(Err(error)) if !error.to_string().contains("first byte")));
}

// RFC 6120 §4.4 [W5] [W6]: first the closing tags, then close_notify.
#[test]
fn close_notify_comes_after_the_closing_tag() {
    for cut in Cut::all() {
        let mut raw = Raw::bound(cut);
        assert_eq!(raw.say(CLOSE), CLOSE);
        assert_eq!((raw.status, &raw.server.ended), (Status::PeerClosed, &Some(Ok(()))));
    }
    for cut in Cut::all() {
        let mut raw = Raw::bound(cut);
        let now = raw.server.now;
        raw.server.act(|connection| connection.close(now));
        let sent = core::mem::take(&mut raw.server.out);
        assert_eq!(raw.hear(&sent), CLOSE);
        // The peer may still have something to say, so TLS stays.
        assert_eq!(raw.status, Status::Established);
        assert_eq!(raw.say("<message id='1'/>"), "");
        assert_eq!((raw.status, raw.server.stanza_ids()), (Status::Established, vec!["1"]));
        assert_eq!(raw.say(CLOSE), "");
        assert_eq!((raw.status, &raw.server.ended), (Status::PeerClosed, &Some(Ok(()))));
        // Once.
        assert!(raw.server.receive(&[], &mut Cut::Whole).is_empty());
    }
}

// RFC 6120 §4.9.1.1: an error ends TLS in good order too.
#[test]
fn close_notify_comes_after_a_stream_error() {
    for cut in Cut::all() {
        let mut raw = Raw::bound(cut);
        let answer = raw.say("<message></presence>");
        assert!(answer.starts_with("<stream:error><not-well-formed ") && answer.ends_with(CLOSE), "{answer}");
        assert_eq!(raw.status, Status::PeerClosed);
    }
    let mut raw = Raw::bound(Cut::Whole);
    raw.server.act(|connection| connection.abort(StreamCondition::SystemShutdown.into()));
    assert!(raw.server.receive(&[], &mut Cut::Whole).len() > 20);
    assert!(matches!(raw.server.ended, Some(Err(Error::Stream(StreamError::Local(_))))));
}

/// The transport of an end ends, which has nothing to say to it.
fn eof<S: Side>(end: &mut End<S>) {
    let mut out = Vec::new();
    end.ended = Some(end.connection.eof(end.now, &mut out).map(|progress| {
        assert!(matches!(progress, Progress::Closed));
    }));
    assert!(out.is_empty());
}

// RFC 6120 §4.4: whoever cuts the connection cannot make it look finished.
#[test]
fn truncated_tls() {
    let truncated = Some(Err(Error::Stream(StreamError::Truncated)));
    // Without a word.
    let mut raw = Raw::bound(Cut::Whole);
    eof(&mut raw.server);
    assert_eq!(raw.server.ended, truncated);
    // In the middle of a record.
    let mut raw = Raw::bound(Cut::Bytes);
    let mut bytes = raw.encrypt("<message id='1'/></stream:stream>");
    bytes.pop();
    raw.send(&bytes);
    eof(&mut raw.server);
    assert_eq!((raw.server.ended, raw.server.stanzas.len()), (truncated.clone(), 0));
    // With the end of TLS, but not of the stream; what follows that is nobody's.
    for cut in Cut::all() {
        let mut raw = Raw::bound(cut);
        let mut bytes = raw.encrypt("<message id='1'/>");
        raw.session.close(&mut bytes);
        bytes.extend(b"\x17\x03\x03\x00\x05hello");
        raw.send(&bytes);
        assert_eq!((&raw.server.ended, raw.server.stanza_ids()), (&truncated, vec!["1"]));
    }
    // During the handshake.
    let mut client = End::client(TlsPolicy::Direct, &IDENTITY.client);
    client.receive(&[], &mut Cut::Whole);
    eof(&mut client);
    assert_eq!(client.ended, truncated);
    // After our closing tag it is just the end.
    let mut raw = Raw::bound(Cut::Whole);
    let now = raw.server.now;
    raw.server.act(|connection| connection.close(now));
    eof(&mut raw.server);
    assert_eq!(raw.server.ended, Some(Ok(())));
}

// RFC 6120 §5.4.3.2; habits.md invariants 1 and 3: what came before a damaged record counts, and nothing after it.
#[test]
fn damaged_tls() {
    for (cut, more) in Cut::all().into_iter().zip([true; 3]).chain(Cut::all().into_iter().zip([false; 3])) {
        let mut raw = Raw::bound(cut);
        let mut bytes = raw.encrypt("<message id='1'/><message id='2'/>");
        let mut damaged = raw.encrypt("<message id='3'/>");
        *damaged.last_mut().unwrap() ^= 1;
        bytes.extend(damaged);
        if more {
            bytes.extend(raw.encrypt("<message id='4'/>"));
        }
        let sent = raw.server.receive(&bytes, &mut raw.cut);
        assert_eq!(raw.server.stanza_ids(), ["1", "2"]);
        let Some(Err(error @ Error::Tls(_))) = raw.server.ended.clone() else {
            panic!("{:?}", raw.server.ended)
        };
        // The alert, encrypted, is all that is said.
        assert!(sent.len() < 40, "{sent:?}");
        for bytes in [&b""[..], b"x", &bytes] {
            let mut out = Vec::new();
            let again = raw.server.connection.advance(raw.server.now, &mut &bytes[..], &mut out);
            assert!(matches!(&again, Err(again) if *again == error) && out.is_empty(), "{again:?}");
        }
    }
}

// The end of the handshake, the first words of the stream and a fault behind them may come in one piece.
#[test]
fn damaged_tls_with_the_end_of_the_handshake() {
    for mut cut in Cut::all() {
        let mut server = End::server(TlsPolicy::Direct);
        let mut session = Session::client(&IDENTITY.client, "example.com").unwrap();
        let (mut hello, mut last, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        session.read(&mut &[][..], &mut plain, &mut hello).unwrap();
        let answer = server.receive(&hello, &mut cut);
        session.read(&mut &answer[..], &mut plain, &mut last).unwrap();
        session.write(HEADER.as_bytes(), &mut last).unwrap();
        // A record that nobody has encrypted.
        last.extend([23, 3, 3, 0, 20]);
        last.extend([0; 20]);
        server.receive(&last, &mut cut);
        assert!(matches!(server.ended, Some(Err(Error::Tls(_)))), "{:?}", server.ended);
    }
}

#[test]
fn a_stream_that_is_closed_during_the_handshake() {
    let mut client = End::client(TlsPolicy::Direct, &IDENTITY.client);
    let mut server = End::server(TlsPolicy::Direct);
    let hello = client.receive(&[], &mut Cut::Whole);
    let flight = server.receive(&hello, &mut Cut::Whole);
    let now = client.now;
    client.act(|connection| connection.close(now));
    let sent = client.receive(&flight, &mut Cut::Whole);
    assert_eq!(client.ended, Some(Ok(())));
    assert!(!contains(&sent, "stream"));
    assert!(client.connection.deadline().is_none());
}

// RFC 6120 §5.4.3.2 [N11]
#[test]
fn a_handshake_that_takes_too_long() {
    for hello in [&b""[..], b"\x16\x03\x01"] {
        let mut server = End::server(TlsPolicy::Direct);
        server.receive(hello, &mut Cut::Whole);
        server.now = server.connection.deadline().unwrap().at;
        let sent = server.receive(&[], &mut Cut::Whole);
        assert!(
            matches!(server.ended, Some(Err(Error::Stream(StreamError::Local(_))))),
            "{:?}",
            server.ended
        );
        assert!(!contains(&sent, "stream"));
    }
}

// machine::Limits::output: who does not read is not read from, and nothing is lost.
#[test]
fn output_has_a_limit() {
    const LIMIT: usize = 3_000;
    let requests: String = (0..200)
        .map(|id| format!("<iq type='get' id='{id}'><query xmlns='jabber:iq:register'/></iq>"))
        .collect();
    for tls in [TlsPolicy::Direct, TlsPolicy::None] {
        let mut server = End::server_with(tls, &IDENTITY.server, |config| {
            config.limits.output = LIMIT;
            config.registration = true;
        });
        let (mut raw, bytes) = match tls {
            TlsPolicy::Direct => {
                let mut raw = Raw::new(server, Cut::Whole);
                raw.say(HEADER);
                let bytes = raw.encrypt(&requests);
                server = core::mem::replace(&mut raw.server, End::server(tls));
                (Some(raw), bytes)
            }
            _ => {
                server.receive(HEADER.as_bytes(), &mut Cut::Whole);
                (None, requests.clone().into_bytes())
            }
        };
        let (mut input, mut answers, mut waits) = (bytes.as_slice(), String::new(), 0);
        loop {
            let blocked = server.advance(&mut input);
            assert!(server.out.len() < 3 * LIMIT, "{} bytes of output", server.out.len());
            let out = core::mem::take(&mut server.out);
            answers += &match &mut raw {
                Some(raw) => raw.hear(&out),
                None => String::from_utf8(out).unwrap(),
            };
            match blocked {
                Some(on) => assert_eq!(on, On::OutputFull),
                None => break,
            }
            waits += 1;
        }
        assert!(waits > 5, "{tls:?}: {waits}");
        let ids: Vec<_> =
            answers.split(" id='").skip(1).map(|rest| rest.split('\'').next().unwrap()).collect();
        assert_eq!(ids, (0..200).map(|id| id.to_string()).collect::<Vec<_>>());
    }
}

// rfc6120.md [SC14]: a client of TLS 1.2 is offered no channel binding, as it knows none that is here.
#[test]
fn channel_binding_is_offered_from_tls_1_3_on() {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    use std::io::{Read as _, Write as _};

    let (certificate, key) = balcony_tls::self_signed(&["example.com"]).unwrap();
    let identity =
        balcony_tls::TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
    for (version, is_offered) in [(&rustls::version::TLS12, false), (&rustls::version::TLS13, true)] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "example.com".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
        client.writer().write_all(HEADER.as_bytes()).unwrap();
        let mut server = End::server_with(TlsPolicy::Direct, &identity, |_| {});
        while client.wants_write() || !server.out.is_empty() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            assert!(server.advance(&mut &wire[..]).is_none() && server.ended.is_none());
            let back = core::mem::take(&mut server.out);
            let mut rest = &back[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        let mut features = vec![0; 8192];
        let length = client.reader().read(&mut features).unwrap();
        let features = String::from_utf8_lossy(&features[..length]);
        assert!(features.contains("<mechanism>SCRAM-SHA-256</mechanism>"), "{features}");
        assert_eq!(features.contains("-PLUS"), is_offered, "{features}");
        assert_eq!(features.contains("channel-binding"), is_offered, "{features}");
    }
}

// RFC 6120 §5.4.3.3: with TLS up nothing goes out in the clear, whenever the transport ends; here in the middle of logins, one of which is
// a second try with another form of the password.
#[test]
fn nothing_is_in_the_clear_when_the_transport_ends() {
    let mut seen = Vec::new();
    for pieces in 0..14 {
        let mut config = ClientStreamConfig::new(
            "juliet@example.com".parse().unwrap(),
            Secret::new(String::from("m\u{B2}")),
        );
        config.tls = TlsPolicy::Direct;
        let connection = ClientConnection::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
        let mut client = End::of(connection.with_tls(IDENTITY.client.clone(), "example.com"));
        let mut server = End::server(TlsPolicy::Direct);
        for _ in 0..pieces {
            let up = client.receive(&[], &mut Cut::Whole);
            let down = server.receive(&up, &mut Cut::Whole);
            client.out = client.receive(&down, &mut Cut::Whole);
        }
        let (now, mut last) = (client.now, Vec::new());
        let ended = client.connection.eof(now, &mut last);
        assert!(!contains(&last, "stream"), "{ended:?}: {}", String::from_utf8_lossy(&last));
        // And it stays so.
        let after = client.connection.advance(now, &mut &[][..], &mut last);
        assert_eq!(after.as_ref().err(), ended.as_ref().err());
        assert!(!contains(&last, "stream"));
        seen.push(format!("{ended:?}"));
    }
    assert!(seen.iter().any(|ended| ended.contains("not-authorized")), "{seen:?}");
}
