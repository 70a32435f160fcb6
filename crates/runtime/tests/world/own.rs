//! What the owner of a server says, sees and ends while it runs.

use balcony_client::{RequestKind, RequestOutcome};
use balcony_jid::FullJid;
use balcony_runtime::{SendError, SessionConnection, TlsPolicy};
use balcony_stanza::{StreamCondition, StreamError};

use super::resume::{lost, phone_and_laptop};
use super::*;

fn notice(from: &str, to: &str, text: &str) -> Stanza {
    chat(to, text).with_from(from.parse().unwrap())
}

// RFC 6121 §8.5.2.1.1: as a message of anybody else
pub(crate) async fn the_owner_speaks_in_the_name_of_the_server() {
    let world = World::new().await;
    let mut juliet = world.online("juliet@localhost/balcony", 0).await;
    let mut romeo = world.online("romeo@localhost/orchard", 0).await;
    for from in ["localhost", "localhost/announce", "romeo@localhost"] {
        soon(world.server.send(notice(from, "juliet@localhost", "the night is over"))).await.unwrap();
        let heard = message(&mut juliet).await;
        assert_eq!(heard.head.from.as_ref().map(Jid::as_str), Some(from));
        assert_eq!(body(&heard), "the night is over");
    }
    let presence = Stanza::presence(PresenceType::Available);
    let from = |from: &str| presence.clone().with_from(from.parse().unwrap());
    let to_romeo: Jid = "romeo@localhost/orchard".parse().unwrap();
    soon(world.server.send(from("localhost").with_to(to_romeo.clone()))).await.unwrap();
    assert_eq!(receive(&mut romeo).await.head.from, Some("localhost".parse().unwrap()));

    let request = Stanza::iq(balcony_stanza::IqType::Get).with_id("1").with_payload(ping());
    for (stanza, error) in [
        (chat("juliet@localhost", "who?"), SendError::NoSender),
        (from("localhost"), SendError::NoAddressee),
        (notice("example.com", "juliet@localhost", "no"), SendError::NotOurs),
        (notice("romeo@localhost/orchard", "juliet@localhost", "no"), SendError::NotOurs),
        (from("romeo@localhost").with_to(to_romeo.clone()), SendError::Presence),
        (request.with_from("localhost".parse().unwrap()).with_to(to_romeo), SendError::Iq),
    ] {
        assert_eq!(soon(world.server.send(stanza)).await, Err(error));
    }
    soon(world.server.shutdown()).await;
    let late = soon(world.server.send(notice("localhost", "juliet@localhost", "late"))).await;
    assert_eq!(late, Err(SendError::Ended));
}

pub(crate) async fn sessions_are_listed() {
    let world = World::with(|config| config.tls = TlsPolicy::Optional, 100).await;
    let _phone = world.online("juliet@localhost/phone", 7).await;
    let _laptop = world.online("juliet@localhost/laptop", None).await;
    let mut account = world.account("romeo@localhost/orchard");
    account.stream.tls = TlsPolicy::None;
    account.stream.channel_binding = balcony_stream::ChannelBinding::Off;
    let url = format!("ws://localhost:{}/xmpp-websocket", world.ports[2]);
    let _romeo = soon(runtime::connect(account, Endpoint::parse(&url, false).unwrap())).await.unwrap();

    let sessions = soon(world.server.sessions()).await;
    let seen: Vec<_> =
        sessions.iter().map(|session| (session.jid.as_str(), session.priority, session.connection)).collect();
    assert_eq!(
        seen,
        [
            ("juliet@localhost/phone", Some(7), SessionConnection::Secured),
            ("juliet@localhost/laptop", None, SessionConnection::Secured),
            ("romeo@localhost/orchard", None, SessionConnection::Clear),
        ]
    );
    assert!(sessions.iter().all(|session| session.age < PATIENCE * 3));
    assert!(sessions[0].age >= sessions[2].age);
    let juliet = soon(world.server.sessions_of("juliet@localhost".parse().unwrap())).await;
    assert_eq!(juliet[..].iter().map(|one| one.id).collect::<Vec<_>>(), [sessions[0].id, sessions[1].id]);
    assert!(soon(world.server.sessions_of("nobody@localhost".parse().unwrap())).await.is_empty());
}

// RFC 6120 §4.9.3.14: the client hears why, others see it go, and it can't go on with that session.
pub(crate) async fn sessions_are_ended() {
    let (world, relay, mut phone, _laptop) = phone_and_laptop(|_| {}).await;
    let error = || StreamError::new(StreamCondition::PolicyViolation, "not on this balcony");
    let phone_jid: FullJid = phone.jid().clone();
    assert!(!soon(world.server.disconnect("juliet@localhost/nowhere".parse().unwrap(), error())).await);
    assert!(soon(world.server.disconnect(phone_jid.clone(), error())).await);
    assert!(!soon(world.server.disconnect(phone_jid.clone(), error())).await);
    let ended = loop {
        match soon(phone.next()).await {
            Ok(Some(MachineEvent::Stanza(_))) => {}
            other => break other.map(|event| format!("{event:?}")),
        }
    };
    let ended = ended.unwrap_err().to_string();
    assert!(ended.contains("policy-violation") && ended.contains("not on this balcony"), "{ended}");
    assert!(!soon(phone.reconnect()).await.unwrap(), "it went on");

    // One whose client is on its way is ended, too. There is nothing to go on with before the server has said so, which it has when
    // it answers.
    let outcome = soon(phone.request(RequestKind::Get, Some("localhost".parse().unwrap()), ping(), PATIENCE));
    assert!(matches!(outcome.await, Ok(RequestOutcome::Result(_))));
    relay.cut();
    lost(&mut phone).await;
    let is_lost = || async {
        let sessions = soon(world.server.sessions_of(phone_jid.to_bare())).await;
        let own = sessions.iter().find(|session| session.jid == phone_jid).map(|session| session.connection);
        own == Some(SessionConnection::Lost)
    };
    soon(async {
        while !is_lost().await {
            runtime::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(soon(world.server.disconnect(phone_jid.clone(), error())).await);
    assert!(soon(world.server.sessions()).await.iter().all(|session| session.jid != phone_jid));
    assert!(!soon(phone.reconnect()).await.unwrap(), "it went on");
}
