//! Logins and conversations as they are meant: on each kind of transport, wherever the DNS leads to, and by each method of a
//! client.

use balcony_client::{RequestKind, RequestOutcome};
use balcony_sasl::Mechanism;
use balcony_stanza::ErrorCondition;

use super::*;

// RFC 6121 §8.5.2.1.1 [D4b]: the greatest priority gets it, through sockets, STARTTLS and SCRAM-SHA-256-PLUS
pub(crate) async fn messages_reach_the_greatest_priority() {
    let world = World::new().await;
    let mut phone = world.online("juliet@localhost/phone", 5).await;
    let mut laptop = world.online("juliet@localhost/laptop", 10).await;
    let mut romeo = world.online("romeo@localhost/orchard", 0).await;
    assert_eq!(romeo.machine().tls().unwrap().protocol, "TLSv1.3");

    soon(romeo.send(&chat("juliet@localhost", "by yonder blessed moon"))).await.unwrap();
    let heard = message(&mut laptop).await;
    assert_eq!(body(&heard), "by yonder blessed moon");
    assert_eq!(heard.head.from, Some(romeo.jid().to_jid()));
    assert_eq!(heard.head.to.as_ref().map(Jid::as_str), Some("juliet@localhost"));

    // Had the phone got the first message, it would come before this one.
    soon(romeo.send(&chat("juliet@localhost/phone", "I swear"))).await.unwrap();
    assert_eq!(body(&message(&mut phone).await), "I swear");

    soon(laptop.send(&chat(romeo.jid().as_str(), "swear not by the moon"))).await.unwrap();
    assert_eq!(body(&message(&mut romeo).await), "swear not by the moon");

    let stats = soon(world.server.stats()).await;
    assert_eq!((stats.connections, stats.sessions, stats.accounts), (3, 3, 2));
    for client in [phone, laptop, romeo] {
        soon(client.close()).await.unwrap();
    }
    soon(world.server.shutdown()).await;
}

// XEP-0368 §3: TLS from the first byte
pub(crate) async fn direct_tls() {
    let world = World::new().await;
    let mut romeo = world.connect(world.account("romeo@localhost"), true).await.unwrap();
    assert_eq!(romeo.machine().tls().unwrap().alpn.as_deref(), Some(&b"xmpp-client"[..]));
    assert_eq!(romeo.machine().mechanism(), Some(Mechanism::ScramSha256Plus));
    let to_myself = chat(romeo.jid().as_str(), "alone");
    soon(romeo.send(&to_myself)).await.unwrap();
    assert_eq!(body(&message(&mut romeo).await), "alone");
    soon(romeo.close()).await.unwrap();
}

// RFC 7395 §3.1 [V1], §3.6 [V10]: on a WebSocket, with TLS and without, and to those on other streams
pub(crate) async fn websockets() {
    let world = World::new().await;
    let mut juliet = world.online("juliet@localhost/balcony", 0).await;
    for (port, scheme) in [(world.ports[2], "ws"), (world.ports[3], "wss")] {
        let url = format!("{scheme}://localhost:{port}/xmpp-websocket");
        let mut config = world.account("romeo@localhost/orchard");
        if scheme == "ws" {
            // Not without being told so: the policy is to have TLS.
            let endpoint = Endpoint::parse(&url, false).unwrap();
            assert!(soon(runtime::connect(config.clone(), endpoint)).await.is_err());
            config.stream.tls = balcony_stream::TlsPolicy::None;
            config.stream.channel_binding = balcony_stream::ChannelBinding::Off;
        }
        let mut romeo = soon(runtime::connect(config, Endpoint::parse(&url, false).unwrap())).await.unwrap();
        assert_eq!(romeo.machine().tls().is_some(), scheme == "wss");
        soon(romeo.send(&chat("juliet@localhost/balcony", &"But soft. ".repeat(5_000)))).await.unwrap();
        let heard = message(&mut juliet).await;
        assert_eq!(body(&heard).len(), 50_000);
        soon(juliet.send(&chat(heard.head.from.unwrap().as_str(), "Ay me!"))).await.unwrap();
        assert_eq!(body(&message(&mut romeo).await), "Ay me!");
        soon(romeo.close()).await.unwrap();
    }
    // Elsewhere there is none, and each listener speaks its own language.
    for (port, path) in [(world.ports[2], "elsewhere"), (world.ports[0], "xmpp-websocket")] {
        let endpoint = Endpoint::parse(&format!("ws://localhost:{port}/{path}"), false).unwrap();
        let error = soon(runtime::connect(world.account("romeo@localhost"), endpoint)).await.unwrap_err();
        let expected =
            if path == "elsewhere" { "the server has no WebSocket there" } else { "no WebSocket: " };
        assert!(error.to_string().contains(expected), "{error}");
    }
}

// RFC 6120 §3.2.1 [C1]: where the SRV records say, on all runtimes
pub(crate) async fn the_dns_says_where() {
    let (certificate, key) = balcony_tls::self_signed(&["example.com"]).unwrap();
    let trust = TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
    let certificate = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
    let mut config = config(certificate);
    config.domains = vec!["example.com".parse().unwrap()];
    let (server, ports) = runtime::serve(Options::default(), config, accounts::ask(), 100).await;
    let world = World { server, trust, ports };
    let mut options = Options::default();
    for by in [dns::By::Udp, dns::By::Tcp] {
        options.name_server = Some(dns::serve("_xmpp-client._tcp.example.com", world.ports[0], by));
        let account = world.account("romeo@example.com/orchard");
        let connect = ConnectedClient::connect_on(crate::kind::with(options), account, Endpoint::Domain);
        let romeo = soon(connect).await.unwrap();
        assert_eq!(romeo.jid().as_str(), "romeo@example.com/orchard");
        soon(romeo.close()).await.unwrap();
    }
    // This one does not know that domain, and nobody is at its own port.
    let account = world.account("romeo@unknown.invalid");
    let connect = ConnectedClient::connect_on(crate::kind::with(options), account, Endpoint::Domain);
    let error = soon(connect).await.unwrap_err().to_string();
    assert!(error.contains("unknown.invalid:5222"), "{error}");
}

// RFC 6120 §8.2.3: a request has one answer, and what comes before it is not lost
pub(crate) async fn requests_wait_and_keep_the_rest() {
    let world = World::new().await;
    let mut romeo = world.online("romeo@localhost/orchard", 0).await;
    for number in 0..20 {
        let to_myself = chat(romeo.jid().as_str(), &number.to_string());
        soon(romeo.send(&to_myself)).await.unwrap();
    }
    let server: Jid = "localhost".parse().unwrap();
    let outcome = romeo.request(RequestKind::Get, Some(server.clone()), ping(), PATIENCE);
    assert!(matches!(soon(outcome).await, Ok(RequestOutcome::Result(_))));
    let nobody: Jid = "juliet@localhost/nowhere".parse().unwrap();
    let outcome = romeo.request(RequestKind::Get, Some(nobody), ping(), PATIENCE);
    match soon(outcome).await.unwrap() {
        RequestOutcome::Error(error) => assert_eq!(error.condition, ErrorCondition::ServiceUnavailable),
        other => panic!("{other:?}"),
    }
    for number in 0..20 {
        assert_eq!(body(&message(&mut romeo).await), number.to_string());
    }

    let started = soon(romeo.start_request(RequestKind::Get, Some(server), ping(), PATIENCE)).await.unwrap();
    match soon(romeo.next()).await.unwrap() {
        Some(MachineEvent::Response(request, RequestOutcome::Result(_))) => assert_eq!(request, started),
        other => panic!("{other:?}"),
    }

    // RFC 6120 §4.4: what has come is still there while the stream closes.
    soon(romeo.send(&chat(romeo.jid().as_str(), "last"))).await.unwrap();
    let outcome = romeo.request(RequestKind::Get, Some("localhost".parse().unwrap()), ping(), PATIENCE);
    assert!(matches!(soon(outcome).await, Ok(RequestOutcome::Result(_))));
    romeo.start_close();
    assert_eq!(body(&message(&mut romeo).await), "last");
    assert!(soon(romeo.next()).await.unwrap().is_none());
}

// What `next` promises.
pub(crate) async fn next_can_be_cancelled() {
    let world = World::new().await;
    let mut romeo = world.online("romeo@localhost/orchard", 0).await;
    let mut juliet = world.online("juliet@localhost/balcony", 0).await;
    let (romeo_jid, filling) = (romeo.jid().to_string(), "O, ".repeat(700));
    let mut heard = 0;
    for number in 0..200 {
        soon(juliet.send(&chat(&romeo_jid, &format!("{number} {filling}")))).await.unwrap();
        // Gives up at once, or in the middle of something.
        for wait in [0, 50] {
            if let Some(event) = runtime::timeout(Duration::from_micros(wait), romeo.next()).await {
                let stanza = event.unwrap().unwrap().into_stanza().unwrap();
                assert!(body(&stanza).starts_with(&format!("{heard} O, ")));
                heard += 1;
            }
        }
    }
    while heard < 200 {
        assert!(body(&message(&mut romeo).await).starts_with(&format!("{heard} O, ")));
        heard += 1;
    }
}

// The configuration of connections that come later.
pub(crate) async fn reload_changes_the_certificate() {
    let mut world = World::new().await;
    let mut old = world.online("romeo@localhost/old", 0).await;
    let (certificate, trust) = certificate();
    soon(world.server.reload(config(certificate))).await.unwrap();
    assert!(world.connect(world.account("romeo@localhost/new"), false).await.is_err());
    world.trust = trust;
    let mut new = world.online("romeo@localhost/new", 1).await;
    soon(new.send(&chat("romeo@localhost/old", "still there?"))).await.unwrap();
    assert_eq!(body(&message(&mut old).await), "still there?");
}
