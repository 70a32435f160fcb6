//! A user's own account: its password and its end (XEP-0077).

use std::collections::VecDeque;

use balcony_roster::Subscription;
use balcony_router::{Answer, Ask, Effect};
use balcony_stanza::{IqType, PresenceType, Stanza};

use crate::world::{World, asks, bare, condition, jid, request, subscription, wires};

const JULIET: &str = "juliet@example.com";

fn query(kind: IqType, content: &str) -> Stanza {
    request(kind, &format!("<query xmlns='jabber:iq:register'>{content}</query>"))
}

fn set(content: &str) -> Stanza {
    query(IqType::Set, content)
}

/// What the only stanza to this session says is wrong.
fn refused(effects: &[Effect]) -> String {
    let [Effect::Deliver { stanza, .. }] = effects else { panic!("{effects:?}") };
    condition(stanza).unwrap()
}

// XEP-0077 2.4 §3.1
#[test]
fn the_server_says_what_is_registered_but_no_password() {
    let mut world = World::new();
    let balcony = world.connect("juliet@example.com/balcony");
    for to in [None, Some("example.com"), Some(JULIET)] {
        let mut get = query(IqType::Get, "");
        get.head.to = to.map(jid);
        let told = wires(&world.send(balcony, get), balcony);
        let expected = "<query xmlns='jabber:iq:register'><registered/><username>juliet</username><password/></query></iq>";
        assert!(told.len() == 1 && told[0].ends_with(expected), "{told:?}");
    }
    let other = world.send(balcony, query(IqType::Get, "").with_to(jid("example.net")));
    assert_eq!(refused(&other), "service-unavailable/cancel");
}

// XEP-0077 2.4 §3.3
#[test]
fn a_password_is_changed_when_that_is_durable() {
    let mut world = World::new();
    let balcony = world.connect("juliet@example.com/balcony");
    let attic = world.connect("juliet@example.com/attic");
    world.at_once = false;
    for (answer, expected) in [
        (Answer::Saved, "type='result'"),
        (Answer::Unacceptable, "<not-acceptable"),
        (Answer::Refused, "<internal-server-error"),
    ] {
        // User names are compared as addresses are.
        let change =
            set("<username>JULIET</username><password> r&amp;j </password>").with_to(jid("example.com"));
        let effects = world.send(balcony, change);
        let [(ticket, Ask::SetPassword { account, password })] = &asks(&effects)[..] else {
            panic!("{effects:?}")
        };
        assert_eq!((account.as_str(), password.expose().as_str()), (JULIET, " r&j "));
        assert!(!format!("{effects:?}").contains("r&j"));
        assert!(wires(&effects, balcony).is_empty());
        let effects = world.answer(*ticket, answer);
        let told = wires(&effects, balcony);
        assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
        assert_eq!(effects.len(), 1, "nobody is logged out: {effects:?}");
    }
    assert!(wires(&world.send(attic, query(IqType::Get, "")), attic).len() == 1);
}

#[test]
fn what_is_no_change_of_the_own_password_is_refused() {
    let mut world = World::new();
    let balcony = world.connect("juliet@example.com/balcony");
    for (content, expected) in [
        ("", "bad-request/modify"),
        ("<password>x</password>", "bad-request/modify"),
        ("<username>juliet</username>", "bad-request/modify"),
        ("<username>romeo</username><password>x</password>", "bad-request/modify"),
        ("<username>juliet@example.com</username><password>x</password>", "bad-request/modify"),
        ("<username>juliet</username><password/>", "not-acceptable/modify"),
        ("<remove/><username>juliet</username>", "bad-request/modify"),
        ("<username>juliet</username><password>x</password><password>y</password>", "bad-request/modify"),
        ("<username>juliet</username><username>romeo</username><password>x</password>", "bad-request/modify"),
    ] {
        assert_eq!(refused(&world.send(balcony, set(content))), expected, "{content}");
    }
    // Nobody else's account, nor another domain's.
    world.connect("romeo@example.com/garden");
    for to in ["romeo@example.com", "romeo@example.com/garden", "example.net", "example.com/x"] {
        let effects = world.send(balcony, set("<remove/>").with_to(jid(to)));
        assert_eq!(refused(&effects), "service-unavailable/cancel", "{to}");
    }
    assert!(
        world.store.kept(&bare("romeo@example.com")).is_some() && world.store.kept(&bare(JULIET)).is_some()
    );
}

// XEP-0077 2.4 §3.2: the account is gone first, then others hear of it, however long that takes, then its client, whose stream ends behind
// its answer.
#[test]
fn an_account_is_ended_by_its_user() {
    let mut world = World::new();
    world.befriend(JULIET, "romeo@example.com", Subscription::Both);
    world.befriend(JULIET, "friar@example.org", Subscription::Both);
    // He is away, so his account is to be loaded first.
    world.befriend(JULIET, "paris@example.net", Subscription::To);
    world.befriend("romeo@example.com", JULIET, Subscription::Both);
    world.befriend("paris@example.net", JULIET, Subscription::From);
    let garden = world.available("romeo@example.com/garden", 0);
    world.send(garden, crate::world::roster_get());
    let balcony = world.available("juliet@example.com/balcony", 0);
    world.connect("juliet@example.com/attic");
    world.at_once = false;
    let mut open: VecDeque<_> = asks(&world.send(balcony, set("<remove/>"))).into();
    let (mut told, mut last_asked) = (Vec::new(), 0);
    while let Some((ticket, ask)) = open.pop_front() {
        let answer = world.ask(ask);
        let effects = world.answer(ticket, answer);
        assert!(told.last() != Some(&"balcony: closed with not-authorized".to_owned()), "{told:?}");
        last_asked = told.len();
        told.extend(world.tell(&effects));
        open.extend(asks(&effects));
        // Whatever comes too late has no effect.
        assert!(world.says(balcony, subscription(PresenceType::Subscribe, "romeo@example.com")).is_empty());
    }
    assert!(world.store.kept(&bare(JULIET)).is_none());
    assert_eq!(
        told[..4],
        [
            "remote friar@example.org: presence unavailable from juliet@example.com/balcony",
            "garden: presence unavailable from juliet@example.com/balcony",
            "remote friar@example.org: presence unsubscribe from juliet@example.com",
            "remote friar@example.org: presence unsubscribed from juliet@example.com",
        ]
    );
    let place =
        |line: &str| told.iter().position(|told| told == line).unwrap_or_else(|| panic!("{line}: {told:?}"));
    assert!(place("attic: closed with not-authorized") < place("balcony: iq result"));
    for end in ["unsubscribe", "unsubscribed"] {
        assert!(place(&format!("garden: presence {end} from {JULIET}")) < place("balcony: iq result"));
    }
    assert_eq!(told[told.len() - 2..], ["balcony: iq result", "balcony: closed with not-authorized"]);
    assert!(last_asked > 4, "{told:?}");
    let item = &world.store.kept(&bare("paris@example.net")).unwrap().roster.as_ref().unwrap().items[0];
    assert_eq!(item.subscription, Subscription::None);
    assert_eq!(world.router.counts().accounts, 1);
}

// The same when the store of a contact never answers: its client hears when that is given up.
#[test]
fn the_end_of_an_account_waits_for_nobody_for_ever() {
    let mut world = World::new();
    world.befriend(JULIET, "romeo@example.com", Subscription::Both);
    world.befriend("romeo@example.com", JULIET, Subscription::Both);
    world.available("romeo@example.com/garden", 0);
    let balcony = world.available("juliet@example.com/balcony", 0);
    world.at_once = false;
    let removal = asks(&world.send(balcony, set("<remove/>")))[0].0;
    let effects = world.answer(removal, Answer::Saved);
    assert!(wires(&effects, balcony).is_empty() && !asks(&effects).is_empty());
    let mut told = Vec::new();
    for _ in 0..3 {
        world.now = world.now + core::time::Duration::from_secs(60);
        told.extend(world.tick());
    }
    let own: Vec<_> = told.iter().filter(|line| line.starts_with("balcony")).collect();
    assert_eq!(own, ["balcony: iq result", "balcony: closed with not-authorized"]);
}

#[test]
fn an_account_that_cannot_be_ended_stays() {
    let mut world = World::new();
    let balcony = world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let effects = world.send(balcony, set("<remove/>"));
    let [(ticket, Ask::Remove { account })] = &asks(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(account.as_str(), JULIET);
    assert_eq!(refused(&world.answer(*ticket, Answer::Refused)), "internal-server-error/cancel");
    assert!(wires(&world.send(balcony, query(IqType::Get, "")), balcony).len() == 1);
}

// The owner removes an account: what the store can't do is not done, and said.
#[test]
fn an_account_that_cannot_be_removed_stays() {
    for is_there in [false, true] {
        for (load, remove) in [(false, Some(Answer::Refused)), (true, Some(Answer::Refused)), (true, None)] {
            let mut world = World::new();
            world.store.create(bare(JULIET));
            let balcony = is_there.then(|| world.connect("juliet@example.com/balcony"));
            world.at_once = false;
            let mut told = Vec::new();
            let mut effects = world.removed(JULIET);
            // However often it is said.
            assert!(world.removed(JULIET).is_empty());
            if !is_there {
                let [(loading, Ask::Load { .. })] = asks(&effects)[..] else { panic!("{effects:?}") };
                let kept = if load { Answer::Loaded(Some(Box::default())) } else { Answer::Refused };
                effects = world.answer(loading, kept);
                told.extend(world.tell(&effects));
            }
            if is_there || load {
                let [(removal, Ask::Remove { .. })] = asks(&effects)[..] else { panic!("{effects:?}") };
                match remove {
                    Some(answer) => {
                        let effects = world.answer(removal, answer);
                        told.extend(world.tell(&effects));
                    }
                    None => {
                        // It is loaded again, since it may be removed some time.
                        world.at_once = true;
                        world.now = balcony_machine::Instant::from_millis(3_600_000);
                        told.extend(world.tick());
                    }
                }
            }
            assert_eq!(told, ["juliet@example.com: Failed"]);
            let counts = world.router.counts();
            assert_eq!((counts.sessions, counts.asks), (usize::from(is_there), 0));
            // It goes on, and can be removed later.
            if let Some(balcony) = balcony {
                assert_eq!(wires(&world.send(balcony, query(IqType::Get, "")), balcony).len(), 1);
            }
            world.at_once = true;
            assert!(world.remove(JULIET).contains(&"juliet@example.com: Removed".to_owned()));
            assert!(world.store.kept(&bare(JULIET)).is_none());
        }
    }
}
