//! Subscriptions through the router (RFC 6121 section 3): two rosters, and what their users see, in order.
//!
//! The tables of appendix A themselves are tested where they are, in `balcony-roster`.

use std::collections::BTreeMap;

use balcony_machine::Ticket;
use balcony_roster::{Roster, State, Subscription};
use balcony_router::{Answer, Ask, Effect, Memory, SessionId};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

use crate::world::{
    World, asks, available, bare, config, content, jid, of_kind, roster_get, roster_set, subscription,
    tickets, unavailable, wires,
};
use PresenceType::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};

const ROMEO: &str = "romeo@example.net";
const JULIET: &str = "juliet@example.com";

/// Both are available and interested.
fn world() -> (World, SessionId, SessionId) {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    world.send(romeo, roster_get());
    let juliet = world.available("juliet@example.com/balcony", 0);
    world.send(juliet, roster_get());
    (world, romeo, juliet)
}

/// How the store has them.
fn state(store: &Memory, user: &str, contact: &str) -> State {
    let parts = store.kept(&bare(user)).and_then(|kept| kept.roster.clone());
    parts.map_or(State::None, |parts| {
        Roster::from_parts(bare(user), parts, balcony_router::RosterConfig::default()).state(&bare(contact))
    })
}

fn about(told: &[String], name: &str) -> Vec<String> {
    told.iter().filter_map(|line| line.strip_prefix(&format!("{name}: "))).map(str::to_owned).collect()
}

// RFC 6121 §3.1 [SB1, SB10, SB11, SB15, A.2.1-1, A.3.1-1, A.2.3-3, A.3.3-2], §12 presence-sub-request, presence-sub-approval;
// RFC 6121 §3.1.3 [SB7]: nobody but she approves
#[test]
fn a_request_and_its_approval() {
    let (mut world, romeo, juliet) = world();
    // The full JID counts as bare.
    let told = world.says(romeo, subscription(Subscribe, "juliet@example.com/balcony"));
    assert_eq!(told, ["street: iq set", "balcony: presence subscribe from romeo@example.net"]);
    assert_eq!(state(&world.store, ROMEO, JULIET), State::NonePendingOut);
    assert_eq!(state(&world.store, JULIET, ROMEO), State::NonePendingIn);

    let told = world.says(juliet, subscription(Subscribed, ROMEO));
    assert_eq!(about(&told, "balcony"), ["iq set"]);
    // The approval, then the push, then her presence.
    assert_eq!(
        about(&told, "street"),
        ["presence subscribed from juliet@example.com", "iq set", "presence from juliet@example.com/balcony"]
    );
    assert_eq!(state(&world.store, ROMEO, JULIET), State::To);
    assert_eq!(state(&world.store, JULIET, ROMEO), State::From);
    // From now on he sees her.
    let told = world.says(juliet, available(3));
    assert_eq!(about(&told, "street"), ["presence from juliet@example.com/balcony"]);
    // And she does not see him.
    assert!(about(&world.says(romeo, available(3)), "balcony").is_empty());
}

// RFC 6121 §3.2.2 [SB13, A.2.4-7, A.3.4-5], §12 presence-sub-cancel
#[test]
fn a_cancellation() {
    let mut world = World::new();
    world.befriend(JULIET, ROMEO, Subscription::From);
    world.befriend(ROMEO, JULIET, Subscription::To);
    let romeo = world.available("romeo@example.net/street", 0);
    world.send(romeo, roster_get());
    let juliet = world.available("juliet@example.com/balcony", 0);
    world.available("juliet@example.com/attic", -1);
    world.send(juliet, roster_get());
    let told = world.says(juliet, subscription(Unsubscribed, ROMEO));
    assert_eq!(
        about(&told, "street"),
        [
            "presence unavailable from juliet@example.com/balcony",
            "presence unavailable from juliet@example.com/attic",
            "presence unsubscribed from juliet@example.com",
            "iq set",
        ]
    );
    assert_eq!(about(&told, "balcony"), ["iq set"]);
    assert!(about(&world.says(juliet, available(3)), "street").is_empty());
}

// RFC 6121 §3.3 [A.2.2-9, A.3.2-9], §4.6.1 [PR26], §12 presence-sub-unsubscribe: he leaves; directed presence goes with the subscription.
#[test]
fn an_unsubscription() {
    let mut world = World::new();
    world.befriend(JULIET, ROMEO, Subscription::Both);
    world.befriend(ROMEO, JULIET, Subscription::Both);
    let romeo = world.available("romeo@example.net/street", 0);
    let silent = world.connect("romeo@example.net/silent");
    let juliet = world.available("juliet@example.com/balcony", 0);
    let attic = world.connect("juliet@example.com/attic");
    world.send(juliet, roster_get());
    for to in ["romeo@example.net/silent", "romeo@example.net/street", "romeo@example.net"] {
        world.send(juliet, of_kind(Kind::Presence(PresenceType::Available), to));
        world.send(attic, of_kind(Kind::Presence(PresenceType::Available), to));
    }
    let told = world.says(romeo, subscription(Unsubscribe, JULIET));
    assert_eq!(about(&told, "balcony"), ["presence unsubscribe from romeo@example.net", "iq set"]);
    let mut street = about(&told, "street");
    street.sort();
    assert_eq!(
        street,
        [
            "presence unavailable from juliet@example.com/attic",
            "presence unavailable from juliet@example.com/attic",
            "presence unavailable from juliet@example.com/balcony",
        ]
    );
    let mut unheard = about(&told, "silent");
    unheard.sort();
    assert_eq!(
        unheard,
        [
            "presence unavailable from juliet@example.com/attic",
            "presence unavailable from juliet@example.com/balcony",
        ]
    );
    // They have been told, and are not told again.
    assert!(about(&world.unbind(juliet), "silent").is_empty());
    assert!(world.unbind(attic).is_empty());
    let _ = silent;
    assert_eq!(state(&world.store, JULIET, ROMEO), State::To);
    assert_eq!(state(&world.store, ROMEO, JULIET), State::From);
}

// RFC 6121 §3.1.3 [SB8, A.3.1-3], §4.2.2 [PR6]: a request waits, whole, and comes with each new resource until it is answered.
#[test]
fn a_request_to_who_is_away() {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    world.store.create(bare(JULIET));
    let mut request =
        content("<status>It is my lady</status><nick xmlns='urn:example:nick'>R</nick>").with_id("1");
    request.head.kind = Kind::Presence(Subscribe);
    assert!(world.says(romeo, request.with_to(jid(JULIET))).is_empty());
    let shown = "<presence from='romeo@example.net' to='juliet@example.com' type='subscribe' id='1'>\
                 <status>It is my lady</status><nick xmlns='urn:example:nick'>R</nick></presence>";
    let juliet = world.connect("juliet@example.com/balcony");
    assert_eq!(wires(&world.send(juliet, available(-1)), juliet)[1..], [shown]);
    assert_eq!(wires(&world.send(juliet, available(5)), juliet).len(), 1);
    // One a requester.
    world.send(romeo, subscription(Subscribe, JULIET));
    let attic = world.connect("juliet@example.com/attic");
    let welcome = wires(&world.send(attic, available(0)), attic);
    assert_eq!(welcome.iter().filter(|wire| wire.contains("subscribe")).collect::<Vec<_>>(), [shown]);
    // It is in nobody's roster.
    assert!(!wires(&world.send(juliet, roster_get()), juliet)[0].contains("<item"));
    world.send(juliet, subscription(Unsubscribed, ROMEO));
    world.unbind(attic);
    let attic = world.connect("juliet@example.com/attic");
    assert!(!wires(&world.send(attic, available(0)), attic).iter().any(|wire| wire.contains("subscribe")));
}

// RFC 6121 §3.1.2 [SB6]: who has not answered is asked again by the next resource; it heals what was lost.
#[test]
fn unanswered_requests_are_sent_again() {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    for to in ["friar@example.org", JULIET] {
        world.send(romeo, subscription(Subscribe, to));
    }
    // Her server did not have her then, and has her now.
    world.store.create(bare(JULIET));
    world.connect("romeo@example.net/orchard");
    let orchard = world.available("romeo@example.net/cell", 0);
    assert!(world.says(orchard, available(1)).iter().all(|line| !line.contains("subscribe")));
    assert_eq!(state(&world.store, JULIET, ROMEO), State::NonePendingIn);
    world.unbind(orchard);
    let orchard = world.connect("romeo@example.net/cell");
    let told = world.says(orchard, available(0));
    assert!(told.contains(&"remote friar@example.org: presence subscribe from romeo@example.net".to_owned()));
}

// RFC 6121 §3.4 [PA5, PA6, PA7, PA8], §12 presence-sub-preapproval
#[test]
fn pre_approval() {
    let (mut world, romeo, juliet) = world();
    assert_eq!(world.says(juliet, subscription(Subscribed, ROMEO)), ["balcony: iq set"]);
    let told = world.says(romeo, subscription(Subscribe, JULIET));
    assert_eq!(about(&told, "balcony"), ["iq set"]);
    assert_eq!(
        about(&told, "street"),
        [
            "iq set",
            "presence subscribed from juliet@example.com",
            "iq set",
            "presence from juliet@example.com/balcony"
        ]
    );
    assert_eq!(
        (state(&world.store, ROMEO, JULIET), state(&world.store, JULIET, ROMEO)),
        (State::To, State::From)
    );
}

// RFC 6121 §8.5.1 [P0], §8.5.3.2.2 [P3n], §3.1.5 [SB16]
#[test]
fn what_comes_to_nothing() {
    let (mut world, romeo, _) = world();
    for kind in [Subscribed, Unsubscribe, Unsubscribed] {
        // Even where the state would allow it.
        world.receives("friar@example.org", of_kind(Kind::Presence(Subscribe), ROMEO));
        let before = world.store.kept(&bare(ROMEO)).cloned();
        assert!(
            world
                .receives("friar@example.org/cell", of_kind(Kind::Presence(kind), "romeo@example.net/gone"))
                .is_empty()
        );
        assert_eq!(world.store.kept(&bare(ROMEO)).cloned(), before);
        assert!(
            world
                .receives("friar@example.org", of_kind(Kind::Presence(kind), "nobody@example.net"))
                .is_empty()
        );
    }
    let own = world.says(romeo, subscription(Subscribe, ROMEO));
    assert!(own.is_empty());
    assert!(
        world
            .receives("friar@example.org", of_kind(Kind::Presence(Subscribe), "nobody@example.net"))
            .is_empty()
    );
}

// RFC 6121 §3.1.2 [SB5]: the user hears of a request that could not be sent.
#[test]
fn an_undeliverable_request() {
    let (mut world, romeo, _) = world();
    let effects = world.send(romeo, subscription(Subscribe, "friar@example.org"));
    let remote = effects.iter().find_map(|effect| match effect {
        Effect::Remote { stanza, .. } => Some(stanza),
        _ => None,
    });
    let mut effects = Vec::new();
    let condition = balcony_stanza::ErrorCondition::RemoteServerNotFound;
    world.router.undeliverable(remote.unwrap(), condition, true, &mut effects);
    assert_eq!(
        world.tell(&effects),
        ["street: presence error remote-server-not-found/cancel from friar@example.org"]
    );
    // Probes are the server's own: nobody has asked for an error.
    effects.clear();
    let probe = Stanza::presence(PresenceType::Probe).with_from(jid(ROMEO)).with_to(jid("friar@example.org"));
    world.router.undeliverable(&probe, condition, true, &mut effects);
    assert!(effects.is_empty());
}

// A request is sent only when it is durable, and shown only when the contact's server has it.
#[test]
fn both_rosters_are_durable_first() {
    let (mut world, romeo, juliet) = world();
    world.at_once = false;
    let effects = world.send(romeo, subscription(Subscribe, JULIET));
    assert_eq!((effects.len(), asks(&effects).len()), (1, 1));
    let effects = world.answer(tickets(&effects)[0], Answer::Saved);
    // His push, and her save.
    assert!(wires(&effects, juliet).is_empty() && wires(&effects, romeo).len() == 1);
    assert_eq!(asks(&effects)[0].1.account(), &bare(JULIET));
    // What follows the request waits with it.
    assert!(world.send(romeo, of_kind(Kind::Message(balcony_stanza::MessageType::Chat), JULIET)).is_empty());
    let effects = world.answer(tickets(&effects)[0], Answer::Saved);
    assert_eq!(
        world.tell(&effects),
        [
            "balcony: presence subscribe from romeo@example.net",
            "balcony: message chat from romeo@example.net/street"
        ]
    );
}

// RFC 6121 §2.3.3 [RE8]: a request that can't be saved is not sent.
#[test]
fn a_request_that_fails() {
    let (mut world, romeo, juliet) = world();
    world.at_once = false;
    let effects = world.send(romeo, subscription(Subscribe, JULIET));
    let effects = world.answer(tickets(&effects)[0], Answer::Refused);
    assert_eq!(
        world.tell(&effects),
        ["street: presence error internal-server-error/cancel from juliet@example.com"]
    );
    assert!(wires(&effects, juliet).is_empty());
    assert!(matches!(asks(&effects)[..], [(_, Ask::Load { .. })]));
}

/// Romeo sees Juliet's presence; the store does nothing yet.
fn watched() -> (World, SessionId, SessionId) {
    let mut world = World::new();
    world.befriend(JULIET, ROMEO, Subscription::From);
    world.befriend(ROMEO, JULIET, Subscription::To);
    let juliet = world.available("juliet@example.com/balcony", 0);
    let romeo = world.available("romeo@example.net/street", 0);
    world.at_once = false;
    (world, romeo, juliet)
}

/// Has the store do what it was asked, but for its first `refused` changes, and what is asked in turn.
fn work(world: &mut World, mut effects: Vec<Effect>, mut refused: usize) -> Vec<Effect> {
    let mut next = 0;
    while next < effects.len() {
        if let Effect::Ask { ticket, ask } = effects[next].clone() {
            let is_refused = matches!(ask, Ask::Save { .. }) && refused > 0;
            refused -= usize::from(is_refused);
            let answer = if is_refused { Answer::Refused } else { world.ask(ask) };
            effects.extend(world.answer(ticket, answer));
        }
        next += 1;
    }
    effects
}

/// What Romeo has got of Juliet then.
fn seen_by_romeo(world: &mut World, effects: Vec<Effect>, refused: usize) -> Vec<String> {
    let effects = work(world, effects, refused);
    let mut told = about(&world.tell(&effects), "street");
    told.retain(|line| line.starts_with("presence") && line.contains("from juliet@example.com"));
    told
}

const HERS: &str = "presence from juliet@example.com/balcony";
const HER_END: &str = "presence unavailable from juliet@example.com/balcony";

type Act = fn(&mut World, SessionId, SessionId) -> Vec<Effect>;

/// What takes Juliet's presence from Romeo.
const ENDS: [Act; 3] = [
    |world, _, juliet| world.send(juliet, subscription(Unsubscribed, ROMEO)),
    |world, _, juliet| {
        world.send(juliet, roster_set("<item jid='romeo@example.net' subscription='remove'/>"))
    },
    |world, romeo, _| {
        let effects = world.send(romeo, subscription(Unsubscribe, JULIET));
        // His own roster first.
        world.answer(tickets(&effects)[0], Answer::Saved)
    },
];

// RFC 6121 §3.2.2, §3.3.3, §4.5.2: whoever goes while the end of a subscription is on its way to the store does not stay in the contact's
// sight, whatever the store does, and however she goes.
#[test]
fn who_goes_while_a_subscription_ends_is_hidden() {
    let goes: [Act; 2] =
        [|world, _, juliet| world.send(juliet, unavailable()), |world, _, juliet| world.unbound(juliet)];
    for (number, end) in ENDS.into_iter().enumerate() {
        for go in goes {
            for refused in [0, 1] {
                let (mut world, romeo, juliet) = watched();
                let mut effects = end(&mut world, romeo, juliet);
                effects.extend(go(&mut world, romeo, juliet));
                let seen = seen_by_romeo(&mut world, effects, refused);
                let ends = seen.iter().filter(|line| *line == HER_END).count();
                assert_eq!((ends, seen.iter().any(|line| line == HERS)), (1, false), "{number}: {seen:?}");
            }
        }
    }
}

// RFC 6121 §3.2.2: what she shows after she has ended his subscription is not for him, also where it has to wait; nor is why she goes.
#[test]
fn who_has_lost_a_subscription_learns_only_of_its_end() {
    let status = |kind| Stanza::presence(kind).with_payload(content("<status>alone</status>").payload);
    for waits_before in [false, true] {
        let (mut world, romeo, juliet) = watched();
        let mut effects = Vec::new();
        if waits_before {
            effects.extend(world.send(juliet, subscription(Subscribe, ROMEO)));
        }
        effects.extend(world.send(juliet, subscription(Unsubscribed, ROMEO)));
        effects.extend(world.send(juliet, status(PresenceType::Available)));
        effects.extend(world.send(juliet, status(PresenceType::Unavailable)));
        let effects = work(&mut world, effects, 0);
        let his = wires(&effects, romeo);
        let about_her: Vec<_> =
            his.iter().filter(|wire| wire.contains("from='juliet@example.com/balcony'")).collect();
        assert_eq!(
            about_her,
            ["<presence from='juliet@example.com/balcony' to='romeo@example.net' type='unavailable'/>"]
        );
    }
}

// RFC 6121 §3.2.2, §4.4.2: if the store does not end a subscription after all, the contact gets what was shown meanwhile.
#[test]
fn whose_subscription_does_not_end_has_missed_nothing() {
    for end in ENDS {
        let (mut world, romeo, juliet) = watched();
        let mut effects = end(&mut world, romeo, juliet);
        effects.extend(world.send(juliet, available(7)));
        let seen = seen_by_romeo(&mut world, effects, 1);
        assert_eq!(seen.iter().filter(|line| *line != HERS).collect::<Vec<_>>(), Vec::<&String>::new());
        assert!(!seen.is_empty());
    }
}

// RFC 6121 §3.1.5 [RE8]: nobody is shown what a change would let him see that is not made.
#[test]
fn an_approval_that_fails_shows_nothing() {
    for refused in [0, 1] {
        let (mut world, romeo, juliet) = world();
        world.send(romeo, subscription(Subscribe, JULIET));
        world.at_once = false;
        let mut effects = world.send(juliet, subscription(Subscribed, ROMEO));
        effects.extend(world.send(juliet, available(7)));
        let seen = seen_by_romeo(&mut world, effects, refused);
        assert_eq!(seen.iter().filter(|line| *line == HERS).count(), 1 - refused, "{seen:?}");
        assert_eq!(seen.len(), 2 * (1 - refused), "{seen:?}");
    }
}

// XEP-0077 2.4 §3.2: who is no more has no subscriptions.
#[test]
fn a_removed_account_leaves_its_contacts() {
    let mut world = World::new();
    world.befriend(JULIET, ROMEO, Subscription::Both);
    world.befriend(ROMEO, JULIET, Subscription::Both);
    world.befriend(ROMEO, "friar@example.org", Subscription::From);
    let juliet = world.available("juliet@example.com/balcony", 0);
    world.send(juliet, roster_get());
    world.available("romeo@example.net/street", 0);
    let told = world.remove(ROMEO);
    assert_eq!(
        told,
        [
            "remote friar@example.org: presence unavailable from romeo@example.net/street",
            "balcony: presence unavailable from romeo@example.net/street",
            "remote friar@example.org: presence unsubscribed from romeo@example.net",
            "street: closed with not-authorized",
            "romeo@example.net: Removed",
            "balcony: presence unsubscribe from romeo@example.net",
            "balcony: iq set",
            "balcony: presence unsubscribed from romeo@example.net",
            "balcony: iq set",
        ]
        .map(str::to_owned)
    );
    assert_eq!(state(&world.store, JULIET, ROMEO), State::None);
}

// XEP-0077 2.4 §3.2: it makes no difference whether anybody is there. Whoever gets the name next is nobody to the contacts.
#[test]
fn an_account_that_is_removed_while_it_is_away_leaves_its_contacts() {
    const NURSE: &str = "nurse@example.com";
    for is_there in [false, true] {
        let mut world = World::new();
        world.befriend(JULIET, ROMEO, Subscription::Both);
        world.befriend(ROMEO, JULIET, Subscription::Both);
        // The nurse has asked, and has no answer yet.
        world.store.create(bare(ROMEO));
        let nurse = world.available("nurse@example.com/kitchen", 0);
        world.send(nurse, subscription(Subscribe, ROMEO));
        assert!(state(&world.store, NURSE, ROMEO).is_pending_out());
        world.unbind(nurse);
        if is_there {
            let juliet = world.available("juliet@example.com/balcony", 0);
            world.send(juliet, roster_get());
        }
        let told = world.remove(ROMEO);
        assert_eq!(told.first().map(String::as_str), Some("romeo@example.net: Removed"));
        let ends = ["presence unsubscribe", "iq set", "presence unsubscribed", "iq set"];
        let ends: Vec<_> = ends
            .iter()
            .map(|end| if end.starts_with("iq") { (*end).to_owned() } else { format!("{end} from {ROMEO}") })
            .collect();
        assert_eq!(about(&told, "balcony"), if is_there { ends } else { Vec::new() });
        assert_eq!(state(&world.store, JULIET, ROMEO), State::None);
        assert_eq!(state(&world.store, NURSE, ROMEO), State::None);

        let impostor = world.available("romeo@example.net/street", 0);
        let juliet = world.available("juliet@example.com/balcony", 0);
        assert!(world.says(impostor, available(1)).iter().all(|line| !line.starts_with("balcony")));
        assert!(world.says(juliet, available(1)).iter().all(|line| !line.starts_with("street")));
    }
}

const USERS: [&str; 3] = ["a@example.com", "b@example.com", "c@example.net"];

#[derive(Clone, Debug)]
enum Op {
    Send(usize, PresenceType, usize),
    Remove(usize, usize),
    /// The store answers what it was asked this many asks ago, and was not yet.
    Answer,
    Reconnect(usize),
    /// The account is removed, and made anew at once.
    End(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let user = || 0..USERS.len();
    let kind = prop_oneof![Just(Subscribe), Just(Subscribed), Just(Unsubscribe), Just(Unsubscribed)];
    prop_oneof![
        6 => (user(), kind, user()).prop_map(|(from, kind, to)| Op::Send(from, kind, to)),
        1 => (user(), user()).prop_map(|(from, to)| Op::Remove(from, to)),
        6 => Just(Op::Answer),
        2 => user().prop_map(Op::Reconnect),
        1 => user().prop_map(Op::End),
    ]
}

/// The store's answer, and what is asked in turn.
fn answer(world: &mut World, (ticket, ask): (Ticket, Ask)) -> Vec<Effect> {
    let again = matches!(ask, Ask::Remove { .. }).then(|| ask.account().clone());
    let answer = world.ask(ask);
    again.into_iter().for_each(|account| world.store.create(account));
    world.answer(ticket, answer)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // RFC 6121 §A.1: whatever the users of one server do, two rosters say the same of each other, unless stanzas cross each other
    // on the way of a slow store; and however slow it is, the router knows what the store has.
    #[test]
    fn rosters_agree(slow: bool, ops in prop::collection::vec(op(), 1..60)) {
        let mut config = config();
        config.limits.asks = 10_000;
        let mut world = World::with(config);
        let mut sessions: Vec<SessionId> =
            USERS.iter().map(|user| world.available(&format!("{user}/r"), 0)).collect();
        world.at_once = false;
        let mut open = std::collections::VecDeque::new();
        for op in &ops {
            while let Some(next) = if slow { None } else { open.pop_front() } {
                open.extend(asks(&answer(&mut world, next)));
            }
            let effects = match *op {
                Op::Send(from, kind, to) => world.send(sessions[from], subscription(kind, USERS[to])),
                Op::Remove(from, to) => {
                    let item = format!("<item jid='{}' subscription='remove'/>", USERS[to]);
                    world.send(sessions[from], roster_set(&item))
                }
                Op::Answer => open.pop_front().map(|next| answer(&mut world, next)).unwrap_or_default(),
                Op::End(user) => world.removed(USERS[user]),
                Op::Reconnect(user) => {
                    let mut effects = Vec::new();
                    world.router.unbind(world.now, sessions[user], &mut effects);
                    sessions[user] = SessionId(1_000 + sessions[user].0);
                    let account = bare(USERS[user]);
                    world.router.bind(world.now, sessions[user], &account, Some("r"), &mut effects).unwrap();
                    effects.extend(world.send(sessions[user], available(0)));
                    effects
                }
            };
            open.extend(asks(&effects));
        }
        while let Some(next) = open.pop_front() {
            open.extend(asks(&answer(&mut world, next)));
        }
        prop_assert_eq!(world.router.counts().asks, 0);
        let states: BTreeMap<_, _> = USERS
            .iter()
            .flat_map(|user| USERS.iter().map(move |contact| (*user, *contact)))
            .map(|(user, contact)| ((user, contact), state(&world.store, user, contact)))
            .collect();
        for (&(user, contact), state) in states.iter().filter(|_| !slow) {
            let other = states[&(contact, user)];
            prop_assert_eq!(state.subscription().has_to(), other.subscription().has_from(), "{} {}", user, contact);
            prop_assert_eq!(state.is_pending_out(), other.is_pending_in(), "{} {}", user, contact);
        }
        // What is in memory is what is in the store.
        world.at_once = true;
        for (user, session) in USERS.iter().zip(&sessions) {
            let told = wires(&world.send(*session, roster_get()), *session);
            let parts = world.store.kept(&bare(user)).unwrap().roster.clone();
            // Whose account has ended is not there.
            if let (Some(parts), Some(told)) = (parts, told.first()) {
                let kept = Roster::from_parts(bare(user), parts, balcony_router::RosterConfig::default());
                let mut xml = Vec::new();
                kept.to_element().root().write(&mut xml, "jabber:client");
                prop_assert!(told.contains(&String::from_utf8(xml).unwrap()), "{:?}", told);
            }
        }
    }
}

// RFC 6121 §3.1.2 [SB6]: a request that is made again when its user comes back does not follow the answer that is on its way: nobody is
// asked who has just denied it.
#[test]
fn a_request_made_again_does_not_cross_its_answer() {
    let (mut world, romeo, juliet) = world();
    world.send(romeo, subscription(Subscribe, JULIET));
    world.send(romeo, unavailable());
    world.at_once = false;
    let mut effects = world.send(juliet, subscription(Unsubscribed, ROMEO));
    effects.extend(world.send(romeo, available(0)));
    let mut next = 0;
    while next < effects.len() {
        if let Effect::Ask { ticket, ask } = effects[next].clone() {
            let answer = world.ask(ask);
            effects.extend(world.answer(ticket, answer));
        }
        next += 1;
    }
    assert_eq!(about(&world.tell(&effects), "balcony"), Vec::<String>::new());
    assert_eq!(state(&world.store, ROMEO, JULIET), State::None);
    assert_eq!(state(&world.store, JULIET, ROMEO), State::None);
}

// Limits::waiting: what a sender may know of a recipient is looked at anew when the roster has changed, also for a session that writes to
// the same one again.
#[test]
fn a_new_contact_is_no_stranger_any_more() {
    let (mut world, romeo, juliet) = world();
    let chat = || Stanza::message(MessageType::Chat).with_to(jid(JULIET));
    // While the store is slow a contact's message is handled when it is kept, and a stranger's before.
    let waits = |world: &mut World| {
        world.at_once = false;
        world.handled.clear();
        let before = world.waited.len();
        let effects = world.send(romeo, chat());
        let waits = world.waited.len() > before && world.handled.is_empty();
        world.at_once = true;
        for (ticket, ask) in asks(&effects) {
            let answer = world.ask(ask);
            world.answer(ticket, answer);
        }
        waits
    };
    world.send(juliet, unavailable());
    assert!(!waits(&mut world));
    world.send(romeo, subscription(Subscribe, JULIET));
    world.send(juliet, subscription(Subscribed, ROMEO));
    assert!(waits(&mut world));
    world.send(romeo, subscription(Unsubscribe, JULIET));
    assert!(!waits(&mut world));
}
