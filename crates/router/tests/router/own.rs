//! What the server says in its own name, and what it knows of sessions.

use balcony_router::extension::{Extension, Extensions, Registry, Reply};
use balcony_router::{Effect, SendError, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use core::time::Duration;

use crate::world::{World, available, config, iq, jid, request};

fn notice(to: &str) -> Stanza {
    Stanza::message(MessageType::Chat).with_from(jid("example.com")).with_to(jid(to))
}

fn delivered(effects: &[Effect]) -> Vec<SessionId> {
    let to = |effect: &Effect| match effect {
        Effect::Deliver { session, .. } => Some(*session),
        _ => None,
    };
    effects.iter().filter_map(to).collect()
}

// RFC 6121 §8.5.2.1.1, §8.5.2.2.1: to who is there, and otherwise kept
#[test]
fn a_notice_goes_as_any_other_message() {
    let mut world = World::new();
    let romeo = world.connect("romeo@example.net/street");
    world.send(romeo, available(0));
    let mut effects = Vec::new();
    let now = world.now;
    world.router.send(now, notice("romeo@example.net"), &mut effects).unwrap();
    assert_eq!(delivered(&effects), [romeo]);

    world.unbind(romeo);
    let mut effects = Vec::new();
    world.router.send(now, notice("romeo@example.net"), &mut effects).unwrap();
    world.serve(&mut effects);
    let kept = world.kept("romeo@example.net");
    assert_eq!(
        kept[..].iter().map(|stanza| stanza.head.from.clone()).collect::<Vec<_>>(),
        [Some(jid("example.com"))]
    );
    // Nobody is there to be told that there is no such account.
    let mut effects = Vec::new();
    world.router.send(now, notice("nobody@example.net"), &mut effects).unwrap();
    world.serve(&mut effects);
    assert!(delivered(&effects).is_empty());
    let mut effects = Vec::new();
    world.router.send(now, notice("juliet@example.org"), &mut effects).unwrap();
    assert!(matches!(&effects[..], [Effect::Remote { .. }]), "{effects:?}");
}

#[test]
fn the_server_speaks_for_nobody_else() {
    let mut world = World::new();
    let romeo = world.connect("romeo@example.net/street");
    world.send(romeo, available(0));
    let from = |from: &str| notice("romeo@example.net").with_from(jid(from));
    let show =
        |kind, from: &str| Stanza::presence(kind).with_from(jid(from)).with_to(jid("romeo@example.net"));
    let nobody = Stanza::message(MessageType::Chat);
    let mut unaddressed = notice("romeo@example.net");
    unaddressed.head.to = None;
    for (stanza, error) in [
        (nobody.with_to(jid("romeo@example.net")), SendError::NoSender),
        (unaddressed, SendError::NoAddressee),
        (from("example.org"), SendError::NotOurs),
        (from("juliet@example.com/balcony"), SendError::NotOurs),
        (show(PresenceType::Available, "juliet@example.com"), SendError::Presence),
        (show(PresenceType::Subscribed, "example.com"), SendError::Presence),
        (show(PresenceType::Probe, "example.com"), SendError::Presence),
        (
            iq(balcony_stanza::IqType::Set, "query", "x")
                .with_from(jid("example.com"))
                .with_to(jid("romeo@example.net")),
            SendError::Iq,
        ),
    ] {
        let mut effects = Vec::new();
        assert_eq!(world.router.send(world.now, stanza, &mut effects), Err(error));
        assert!(effects.is_empty(), "{effects:?}");
    }
}

// Whoever sends more than can wait hears so, and nothing that it was told is sent is dropped.
#[test]
fn what_waits_in_the_name_of_the_server_is_bounded() {
    let mut config = config();
    config.limits.waiting = 2;
    let mut world = World::with(config);
    let romeo = world.connect("romeo@example.net/street");
    world.send(romeo, available(-1));
    world.at_once = false;
    let (now, mut effects, mut sent) = (world.now, Vec::new(), 0);
    while world.router.send(now, notice("romeo@example.net"), &mut effects).is_ok() {
        sent += 1;
        assert!(sent < 100, "there is no bound");
    }
    assert_eq!(world.router.send(now, notice("romeo@example.net"), &mut Vec::new()), Err(SendError::Full));
    world.at_once = true;
    world.serve(&mut effects);
    assert_eq!(world.kept("romeo@example.net").len(), sent);
    world.router.send(now, notice("romeo@example.net"), &mut Vec::new()).unwrap();
}

#[test]
fn sessions_are_known() {
    let mut world = World::new();
    world.now = world.now + Duration::from_secs(5);
    let romeo = world.connect("romeo@example.net/street");
    let jid = world.router.jid(romeo).cloned().unwrap();
    assert_eq!(world.router.session(&jid), Some(romeo));
    let priority = |world: &World| world.router.bound(world.now, romeo).unwrap().priority;
    assert_eq!(priority(&world), None);
    world.send(romeo, available(-7));
    assert_eq!(priority(&world), Some(-7));
    world.now = world.now + Duration::from_secs(7);
    let bound = world.router.bound(world.now, romeo).unwrap();
    assert_eq!((bound.age, bound.is_inactive, bound.until), (Duration::from_secs(7), false, None));
    world.unbind(romeo);
    assert_eq!((world.router.session(&jid), world.router.bound(world.now, romeo)), (None, None));
    assert!(matches!(notice("romeo@example.net").head.kind, Kind::Message(_)));
}

/// What its clients say by `<away xmlns='urn:example:away'/>`.
#[derive(Debug)]
struct Away;

impl Extension for Away {
    const NAME: &'static str = "away";
    type Account = ();
    type Client = bool;

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.set("away", "urn:example:away", |_, context, _| {
            *context.client_mut().unwrap() = true;
            Reply::DONE
        });
        registry.inactive(|_, is_away| *is_away);
    }
}

// Whoever knows that nobody uses a client says so; the router itself knows no extension.
#[test]
fn any_extension_says_that_nobody_uses_a_client() {
    let mut config = config();
    config.extensions = Extensions::standard().without("csi").with(Away).build().unwrap();
    let mut world = World::with(config);
    let romeo = world.available("romeo@example.net/street", 0);
    let is_inactive = |world: &World| world.router.bound(world.now, romeo).unwrap().is_inactive;
    assert!(!is_inactive(&world));
    crate::csi::says(&mut world, romeo, balcony_xep::csi::ClientState::Inactive);
    assert!(!is_inactive(&world), "without the extension nobody hears of that");
    world.send(romeo, request(IqType::Set, "<away xmlns='urn:example:away'/>"));
    assert!(is_inactive(&world));
}
