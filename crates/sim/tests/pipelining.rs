//! A client that comes back has its session after one round trip: token, session and all in its first flight (XEP-0509, XEP-0484,
//! XEP-0198).
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_sasl::Mechanism;
use balcony_sim::Accounts;
use balcony_stream::client::{ClientEvent, ClientStreamConfig, Resumption, Token};
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent, ServerStreamConfig};
use balcony_stream::{ClientStream, Counts, Security, ServerStream, TlsPolicy};
use balcony_xep::sm::{Enabled, Resumable};
use proptest::prelude::*;

fn juliet() -> BareJid {
    "juliet@example.com".parse().unwrap()
}

/// A server and what it keeps when a connection ends.
struct Server {
    accounts: Accounts,
    config: ServerStreamConfig,
    /// The counts of the session that waits.
    session: Option<Counts>,
}

impl Server {
    fn new() -> Server {
        let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        (config.tls, config.management) = (TlsPolicy::Direct, true);
        config.tokens = Mechanism::for_tokens().to_vec();
        let mut accounts = Accounts::new().with("juliet@example.com", "pencil");
        accounts.now = 1_700_000_000;
        Server { accounts, config, session: None }
    }

    fn answer(&mut self, ask: ServerAsk) -> ServerAnswer {
        let resumable = || Resumable { id: "s".into(), max: None, location: None };
        match ask {
            ServerAsk::Bind { account, resource, enable: Some(_), .. } => ServerAnswer::BoundEnabled(
                account.with_resource(&resource.unwrap()).unwrap(),
                Enabled { resumable: Some(resumable()) },
            ),
            ServerAsk::Resume { account, .. } if self.session.is_some() => ServerAnswer::Resumed {
                jid: account.with_resource("phone").unwrap(),
                counts: self.session.take().unwrap(),
            },
            other => self.accounts.answer(other),
        }
    }
}

/// What a connection of a client has come to.
#[derive(Debug, Default)]
struct Connection {
    /// Flights of the client's, each answered by the server, until it could send stanzas.
    round_trips: usize,
    passwords: usize,
    token: Option<Token>,
    is_refused: bool,
    is_resumed: bool,
    resumption: Option<Resumption>,
    failures: usize,
    up: String,
    error: Option<String>,
}

fn connect(
    server: &mut Server,
    token: Option<&Token>,
    resumption: Option<Resumption>,
    chunk: usize,
) -> Connection {
    let mut config = ClientStreamConfig::new(juliet(), Secret::new("pencil".into()));
    (config.tls, config.agent, config.request_token) = (TlsPolicy::Direct, Some("a".into()), true);
    config.token = token.cloned();
    let mut client = ClientStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    if let Some(resumption) = resumption {
        client.resume(resumption).unwrap();
    }
    let mut stream = ServerStream::new(Arc::new(server.config.clone()), Seed::from_u64(2), Instant::ZERO);
    let security = || Security::new(Some([5; 32])).with_end_point(Some(vec![6; 48]));
    client.secured(security()).unwrap();
    stream.secured(security()).unwrap();
    let mut end = Connection::default();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let bytes = core::mem::take(&mut down);
        // However the network cuts it.
        let pieces: Vec<&[u8]> = if bytes.is_empty() { vec![&[]] } else { bytes.chunks(chunk).collect() };
        for mut input in pieces {
            loop {
                match client.advance(Instant::ZERO, &mut input, &mut up) {
                    Ok(Progress::Event(event)) => match event {
                        ClientEvent::Ask(ticket, ask) => {
                            client.answer(ticket, server.accounts.answer(ask)).unwrap();
                        }
                        ClientEvent::Token(token) => end.token = Some(*token),
                        ClientEvent::TokenRefused(_) => end.is_refused = true,
                        ClientEvent::Resumed { .. } => end.is_resumed = true,
                        _ => {}
                    },
                    Ok(_) => break,
                    Err(error) => {
                        end.error = Some(error.to_string());
                        return end;
                    }
                }
            }
        }
        if client.is_open() {
            end.resumption = client.resumption();
            server.session = stream.counts().cloned();
            return end;
        }
        end.round_trips += 1;
        let bytes = core::mem::take(&mut up);
        end.up += str::from_utf8(&bytes).unwrap();
        for mut input in bytes.chunks(chunk) {
            while let Ok(Progress::Event(event)) = stream.advance(Instant::ZERO, &mut input, &mut down) {
                match event {
                    ServerEvent::Ask(ticket, ask) => {
                        let is_password =
                            matches!(*ask, ServerAsk::Credentials { .. } | ServerAsk::Verify { .. });
                        end.passwords += usize::from(is_password);
                        stream.answer(ticket, server.answer(*ask)).unwrap();
                    }
                    ServerEvent::AuthenticationFailed { .. } => end.failures += 1,
                    _ => {}
                }
            }
        }
    }
    panic!("no end: {end:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // XEP-0509 §2.2, XEP-0484 §3.4, XEP-0198 §5 [IA1] [IA3] [IA4] [IA11] [SM23] [BI5]: and however the bytes arrive
    #[test]
    fn a_client_that_comes_back_has_its_session_after_one_round_trip(chunk in 1..2_000_usize) {
        let mut server = Server::new();
        let first = connect(&mut server, None, None, chunk);
        // Header and features, SCRAM in two: the last brings the resource, too.
        prop_assert_eq!((first.round_trips, first.passwords), (3, 1));
        let token = first.token.unwrap();
        let second = connect(&mut server, Some(&token), first.resumption, chunk);
        prop_assert_eq!((second.round_trips, second.passwords, second.failures), (1, 0, 0));
        prop_assert!(second.is_resumed && second.token.is_none() && !second.is_refused);
        prop_assert!(second.up.contains("<config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='"));
        // Without a session a resource comes as quickly.
        let third = connect(&mut server, Some(&token), None, chunk);
        prop_assert_eq!((third.round_trips, third.passwords), (1, 0));
        prop_assert!(!third.is_resumed);
        // A session that is gone costs no more either.
        server.session = None;
        let fourth = connect(&mut server, Some(&token), second.resumption, chunk);
        prop_assert_eq!((fourth.round_trips, fourth.passwords), (1, 0));
        prop_assert!(!fourth.is_resumed);
    }
}

// XEP-0509 §2.2, §2.3 [IA2] [IA5] [IA6] [IA7] [IA9]: the offer has changed: one round trip more, and no failed login
#[test]
fn a_server_that_has_changed_says_so() {
    let mut server = Server::new();
    let first = connect(&mut server, None, None, 4_000);
    let token = first.token.unwrap();
    server.config.mechanisms = Mechanism::all().to_vec();
    let second = connect(&mut server, Some(&token), first.resumption, 4_000);
    assert_eq!((second.round_trips, second.passwords, second.failures), (2, 0, 0), "{second:?}");
    assert!(second.is_resumed && !second.is_refused);
    // It knows it now.
    let token = second.token.unwrap();
    let third = connect(&mut server, Some(&token), second.resumption, 4_000);
    assert!(third.round_trips == 1 && third.is_resumed && third.token.is_none());
}

// A token that was revoked: the password is used on the same stream, and nothing that went along with the first try has happened [SL24]
#[test]
fn a_token_that_is_refused_costs_what_a_password_does() {
    let mut server = Server::new();
    let first = connect(&mut server, None, None, 4_000);
    server.accounts.tokens(&juliet()).revoke(None);
    let second = connect(&mut server, first.token.as_ref(), first.resumption, 4_000);
    assert_eq!((second.round_trips, second.passwords, second.failures), (3, 1, 1));
    assert!(second.is_refused && second.is_resumed && second.token.is_some());
}

// A server that knows nothing of it any more, as before an upgrade: the next login begins as one does that knows nothing
#[test]
fn a_server_that_has_forgotten_it_is_asked_no_more() {
    let mut server = Server::new();
    let first = connect(&mut server, None, None, 4_000);
    server.config.tokens = Vec::new();
    let second = connect(&mut server, first.token.as_ref(), first.resumption, 4_000);
    assert!(second.is_refused, "{second:?}");
    let third = connect(&mut server, None, None, 4_000);
    assert!(third.error.is_none() && third.round_trips == 3 && third.token.is_none());
}

// [FA19] the version is part of the text
#[test]
fn what_is_known_of_the_server_is_kept_with_the_token() {
    let mut server = Server::new();
    let first = connect(&mut server, None, None, 4_000);
    let token = first.token.unwrap();
    let text = token.to_text();
    let again = Token::from_text(text.expose()).unwrap();
    assert_eq!(again, token);
    assert_eq!(connect(&mut server, Some(&again), first.resumption, 4_000).round_trips, 1);
    // Without it the features are waited for.
    let (short, known) = text.expose().rsplit_once('\n').unwrap();
    assert!(known.starts_with("+ber opaque "), "{known}");
    let blind = Token::from_text(short).unwrap();
    let waits = connect(&mut server, Some(&blind), None, 4_000);
    assert_eq!((waits.round_trips, waits.passwords), (2, 0));
    assert_eq!(waits.token.as_ref(), Some(&token));
    for bad in ["", "x", "+", "+b", "+b opaque ", "+b opaque \u{7}"] {
        assert!(Token::from_text(&format!("{short}\n{bad}")).is_none(), "{bad}");
    }
}
