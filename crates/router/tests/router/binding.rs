//! Binding, conflicts and the end of sessions (RFC 6120 section 7).

use balcony_jid::FullJid;
use balcony_machine::Instant;
use balcony_router::{ConflictPolicy, Effect, SessionId};
use balcony_stanza::{
    ErrorCondition, ErrorType, Kind, MessageType, PresenceType, StanzaError, StreamCondition,
};

use crate::world::{World, bare, config, jid, of_kind};

const NOW: Instant = Instant::ZERO;

fn bind(
    world: &mut World,
    session: u64,
    account: &str,
    resource: Option<&str>,
) -> (Result<String, StanzaError>, Vec<Effect>) {
    let mut effects = Vec::new();
    let bound = world.router.bind(NOW, SessionId(session), &bare(account), resource, &mut effects);
    (bound.map(|jid| jid.to_string()), effects)
}

fn refusal(
    world: &mut World,
    session: u64,
    account: &str,
    resource: Option<&str>,
) -> (ErrorCondition, ErrorType) {
    let before = world.router.counts();
    let (bound, effects) = bind(world, session, account, resource);
    assert!(effects.is_empty());
    assert_eq!(world.router.counts(), before);
    let error = bound.unwrap_err();
    (error.condition, error.kind)
}

// RFC 6120 §7.6 [B1]
#[test]
fn without_a_resource_one_is_made_up() {
    let mut world = World::new();
    let first = bind(&mut world, 1, "romeo@example.net", None).0.unwrap();
    let second = bind(&mut world, 2, "romeo@example.net", None).0.unwrap();
    assert_ne!(first, second);
    for made_up in [&first, &second] {
        let resource = made_up.strip_prefix("romeo@example.net/").unwrap();
        assert_eq!(resource.len(), 16);
        assert_eq!(jid(made_up).to_string(), *made_up);
    }
    assert_eq!(world.router.jid(SessionId(1)).unwrap().as_str(), first);
}

// RFC 6120 §7.7 [B2, B8]
#[test]
fn a_resource_is_accepted_in_normal_form() {
    let mut world = World::new();
    assert_eq!(
        bind(&mut world, 1, "romeo@example.net", Some("My Phone")).0.unwrap(),
        "romeo@example.net/My Phone"
    );
    // NO-BREAK SPACE is mapped to SPACE (RFC 7622 §3.4), and so this is the same resource.
    let (bound, effects) = bind(&mut world, 2, "romeo@example.net", Some("My\u{a0}Phone"));
    assert_eq!(bound.unwrap(), "romeo@example.net/My Phone");
    assert_eq!(effects, [Effect::Close { session: SessionId(1), error: StreamCondition::Conflict }]);
}

// RFC 6120 §7.7.2.1 [B3]
#[test]
fn an_unusable_resource_is_a_bad_request() {
    let mut world = World::new();
    for resource in ["", "a\u{0}b", &"x".repeat(1024)] {
        assert_eq!(
            refusal(&mut world, 1, "romeo@example.net", Some(resource)),
            (ErrorCondition::BadRequest, ErrorType::Modify)
        );
    }
}

// RFC 6120 §7.6.2.1, §7.7.2 [B4, B6]
#[test]
fn too_many_resources() {
    let mut config = config();
    config.limits.resources = 2;
    let mut world = World::with(config);
    bind(&mut world, 1, "romeo@example.net", Some("a")).0.unwrap();
    bind(&mut world, 2, "romeo@example.net", None).0.unwrap();
    for resource in [None, Some("b")] {
        assert_eq!(
            refusal(&mut world, 3, "romeo@example.net", resource),
            (ErrorCondition::ResourceConstraint, ErrorType::Wait)
        );
    }
    // Who replaces a session does not add one; other accounts have their own bound.
    assert!(bind(&mut world, 3, "romeo@example.net", Some("a")).0.is_ok());
    assert!(bind(&mut world, 4, "juliet@example.com", Some("a")).0.is_ok());
}

// RFC 6120 §7.6.2.2 [B5]
#[test]
fn only_local_accounts_bind_and_only_once() {
    let mut world = World::new();
    for account in ["romeo@example.org", "example.com"] {
        assert_eq!(
            refusal(&mut world, 1, account, Some("a")),
            (ErrorCondition::NotAllowed, ErrorType::Cancel)
        );
    }
    bind(&mut world, 1, "romeo@example.net", Some("a")).0.unwrap();
    assert_eq!(
        refusal(&mut world, 1, "romeo@example.net", Some("b")),
        (ErrorCondition::NotAllowed, ErrorType::Cancel)
    );
}

// RFC 6120 §7.7.2.2 option 3
#[test]
fn conflict_replaces_the_old_session() {
    let mut world = World::new();
    let old = world.available("romeo@example.net/street", 1);
    let other = world.available("romeo@example.net/orchard", 0);
    let (bound, effects) = bind(&mut world, 1, "romeo@example.net", Some("street"));
    assert_eq!(bound.unwrap(), "romeo@example.net/street");
    assert_eq!(
        world.tell(&effects),
        ["street: closed with conflict", "orchard: presence unavailable from romeo@example.net/street"]
    );
    // The old session is forgotten: neither its stanzas nor its end have effects any more.
    assert!(
        world.send(old, of_kind(Kind::Message(MessageType::Chat), "romeo@example.net/orchard")).is_empty()
    );
    assert!(world.unbind(old).is_empty());
    let to_new = world.send(other, of_kind(Kind::Message(MessageType::Chat), "romeo@example.net/street"));
    assert!(matches!(to_new[..], [Effect::Deliver { session: SessionId(1), .. }]));
    assert_eq!(world.router.counts().sessions, 2);
}

// RFC 6120 §7.7.2.2 option 2
#[test]
fn conflict_refuses_the_newcomer() {
    let mut config = config();
    config.conflict = ConflictPolicy::RefuseNew;
    let mut world = World::with(config);
    bind(&mut world, 1, "romeo@example.net", Some("street")).0.unwrap();
    assert_eq!(
        refusal(&mut world, 2, "romeo@example.net", Some("street")),
        (ErrorCondition::Conflict, ErrorType::Cancel)
    );
    assert!(bind(&mut world, 2, "romeo@example.net", Some("orchard")).0.is_ok());
}

// RFC 6120 §7.7.2.2 option 1
#[test]
fn conflict_renames_the_newcomer() {
    let mut config = config();
    config.conflict = ConflictPolicy::Rename;
    let mut world = World::with(config);
    bind(&mut world, 1, "romeo@example.net", Some("street")).0.unwrap();
    let (bound, effects) = bind(&mut world, 2, "romeo@example.net", Some("street"));
    assert!(effects.is_empty());
    assert_ne!(bound.unwrap(), "romeo@example.net/street");
    assert_eq!(world.router.jid(SessionId(1)).unwrap().as_str(), "romeo@example.net/street");
}

// RFC 6121 §4.5.2 [PR18]; XEP-0077 §3.2
#[test]
fn a_removed_account_is_gone() {
    let mut world = World::new();
    let street = world.available("romeo@example.net/street", 0);
    world.available("romeo@example.net/orchard", 0);
    let balcony = world.available("juliet@example.com/balcony", 0);
    world.send(street, of_kind(Kind::Presence(PresenceType::Available), "juliet@example.com"));
    assert_eq!(
        world.remove("romeo@example.net"),
        [
            "balcony: presence unavailable from romeo@example.net/street",
            "street: closed with not-authorized",
            "orchard: closed with not-authorized",
            "romeo@example.net: Removed"
        ]
    );
    assert_eq!((world.router.counts().accounts, world.router.counts().sessions), (1, 1));
    let told = world.says(balcony, of_kind(Kind::Message(MessageType::Chat), "romeo@example.net/street"));
    assert!(told.is_empty());
    for missing in ["romeo@example.net", "romeo@example.org", "example.net"] {
        assert_eq!(world.remove(missing), [format!("{missing}: Missing")]);
    }
}

// A session that has not bound has no effects.
#[test]
fn the_unbound_have_no_effects() {
    let mut world = World::new();
    world.available("juliet@example.com/balcony", 0);
    let stranger = SessionId(9);
    for kind in [
        Kind::Message(MessageType::Chat),
        Kind::Presence(PresenceType::Available),
        Kind::Presence(PresenceType::Probe),
        Kind::Iq(balcony_stanza::IqType::Get),
    ] {
        for to in [None, Some("juliet@example.com"), Some("example.com"), Some("friar@example.org")] {
            let mut stanza = balcony_stanza::Stanza::new(kind).with_from(jid("juliet@example.com/balcony"));
            stanza.head.to = to.map(jid);
            assert!(world.send(stranger, stanza).is_empty());
        }
    }
    assert!(world.unbind(stranger).is_empty());
    assert_eq!(world.router.jid(stranger), None);
}

// RFC 6120 §8.1.2.1 [ST4]: a stanza that has come without `from` gets the full JID.
#[test]
fn from_is_never_missing() {
    let mut world = World::new();
    let street = world.connect("romeo@example.net/street");
    world.connect("romeo@example.net/orchard");
    let stanza = of_kind(Kind::Message(MessageType::Chat), "romeo@example.net/orchard");
    let mut effects = Vec::new();
    world.router.route(NOW, street, stanza, &mut effects);
    assert_eq!(world.tell(&effects), ["orchard: message chat from romeo@example.net/street"]);
}

#[test]
fn queries() {
    let mut world = World::new();
    let street = world.connect("romeo@example.net/street");
    let orchard = world.connect("romeo@example.net/orchard");
    let romeo = bare("romeo@example.net");
    assert_eq!(world.router.sessions(&romeo).collect::<Vec<_>>(), [street, orchard]);
    assert_eq!(world.router.sessions(&bare("juliet@example.com")).count(), 0);
    assert!(world.router.is_local("example.com") && world.router.is_local("example.net"));
    assert!(!world.router.is_local("example.org") && !world.router.is_local("a.example.com"));
    assert_eq!((world.router.counts().accounts, world.router.counts().sessions), (1, 2));
    world.unbind(street);
    world.unbind(orchard);
    assert_eq!((world.router.counts().accounts, world.router.counts().sessions), (0, 0));
}

// XEP-0386 §3.2 [BI18]: the sessions that an installation of a client has begun before end when it begins another, whatever their tags
// say; those of other installations and of clients that name none stay, and those of other accounts.
#[test]
fn an_installation_has_one_session() {
    const OTHERS: [&str; 5] = ["fone", "tablet/2f0e", "phone/x4f5a", "4f5a/phone", "4f5a "];
    for policy in [ConflictPolicy::ReplaceOld, ConflictPolicy::RefuseNew, ConflictPolicy::Rename] {
        let mut config = config();
        config.conflict = policy;
        let mut world = World::with(config);
        for (session, resource) in (1..).zip(["phone/4f5a", "4f5a", "a/b/4f5a"].iter().chain(&OTHERS)) {
            bind(&mut world, session, "juliet@example.com", Some(resource)).0.unwrap();
        }
        bind(&mut world, 20, "romeo@example.net", Some("phone/4f5a")).0.unwrap();
        for (session, account, own) in [(30, "nobody@example.com", "4f5a"), (31, "juliet@example.com", "")] {
            let (bound, effects) = bind_of(&mut world, session, account, "room", own);
            bound.unwrap();
            assert_eq!(closed(&effects), [0; 0]);
            world.unbind(SessionId(session));
        }
        let (bound, effects) = bind_of(&mut world, 32, "juliet@example.com", "room/4f5a", "4f5a");
        bound.unwrap();
        let expected = if policy == ConflictPolicy::ReplaceOld { &[1, 2, 3][..] } else { &[] };
        assert_eq!(closed(&effects), expected, "{policy:?}");
        assert_eq!(world.router.counts().sessions, 10 - expected.len());
    }
}

// RFC 7622 §3.4: an installation is known by the name that it has in an address, however that was written. With its own resource it takes
// that, which is closed once.
#[test]
fn an_installation_is_known_in_any_form() {
    let mut world = World::new();
    bind(&mut world, 1, "juliet@example.com", Some("phone/fu\u{308}r\u{3000}sie")).0.unwrap();
    bind(&mut world, 2, "juliet@example.com", Some("f\u{fc}r sie")).0.unwrap();
    let (bound, effects) =
        bind_of(&mut world, 3, "juliet@example.com", "phone/f\u{fc}r sie", "fu\u{308}r\u{3000}sie");
    assert_eq!(bound.unwrap().resourcepart(), "phone/f\u{fc}r sie");
    assert_eq!(closed(&effects), [1, 2]);
}

// XEP-0386 §3.2 [BI18]: who can have no session ends none of its installation.
#[test]
fn nobody_ends_for_a_session_that_does_not_begin() {
    let mut world = World::new();
    bind(&mut world, 1, "juliet@example.com", Some("phone/4f5a")).0.unwrap();
    for (session, resource) in [(2, "\u{0}"), (1, "tablet/4f5a")] {
        let (bound, effects) = bind_of(&mut world, session, "juliet@example.com", resource, "4f5a");
        assert!(bound.is_err());
        assert_eq!(effects, []);
    }
}

fn bind_of(
    world: &mut World,
    session: u64,
    account: &str,
    resource: &str,
    installation: &str,
) -> (Result<FullJid, StanzaError>, Vec<Effect>) {
    let (session, own, mut effects) = (SessionId(session), Some(installation), Vec::new());
    let bound = world.router.bind_of(NOW, session, &bare(account), Some(resource), own, &mut effects);
    (bound, effects)
}

/// The sessions that end for another one.
fn closed(effects: &[Effect]) -> Vec<u64> {
    let closed = |effect: &Effect| match effect {
        Effect::Close { session, error: StreamCondition::Conflict } => Some(session.0),
        _ => None,
    };
    effects.iter().filter_map(closed).collect()
}
