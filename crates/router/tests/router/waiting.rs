//! What waits for what: the pairs, the requests to the own server, and nobody else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use balcony_machine::Ticket;
use balcony_roster::Subscription;
use balcony_router::{Answer, Ask, Change, Effect, Kept, LogEdit, SessionId};
use balcony_stanza::{ErrorCondition, IqType, Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

use crate::world::{
    World, asks, available, bare, config, content, iq, jid, of_kind, request, roster_get, roster_set,
    subscription, tickets, unavailable,
};

const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.net";

fn chat(to: &str) -> Stanza {
    of_kind(Kind::Message(MessageType::Chat), to)
}

fn ping() -> Stanza {
    iq(IqType::Get, "ping", "urn:xmpp:ping")
}

/// Romeo and Juliet, who see each other; only Romeo is there. From now on the test answers.
fn world() -> (World, SessionId) {
    let mut world = World::new();
    world.befriend(ROMEO, JULIET, Subscription::Both);
    world.befriend(JULIET, ROMEO, Subscription::Both);
    let romeo = world.connect("romeo@example.net/street");
    world.at_once = false;
    (world, romeo)
}

/// Answers everything that is asked, as the store would, and all that comes of it; what is said.
fn settle(world: &mut World, effects: Vec<Effect>) -> Vec<String> {
    let mut said = world.tell(&effects);
    let mut open = asks(&effects);
    while !open.is_empty() {
        for (ticket, ask) in core::mem::take(&mut open) {
            let answer = world.ask(ask);
            let effects = world.answer(ticket, answer);
            said.extend(world.tell(&effects));
            open.extend(asks(&effects));
        }
    }
    said
}

// RFC 6120 §10.1 [Q10]: a message does not overtake a request of the same sender to the same recipient, though the request waits
// for another message.
#[test]
fn a_message_does_not_overtake_a_request() {
    let mut world = World::new();
    let romeo = world.connect("romeo@example.net/street");
    let other = world.connect("romeo@example.net/orchard");
    world.at_once = false;
    let first = world.send(romeo, chat(ROMEO));
    assert_eq!(tickets(&first).len(), 1, "stored, since nobody is available");
    assert!(world.send(romeo, ping().with_to(jid("romeo@example.net/orchard"))).is_empty());
    assert!(world.send(romeo, chat("romeo@example.net/orchard")).is_empty());
    let rest = world.answer(tickets(&first)[0], Answer::Saved);
    assert_eq!(
        world.tell(&rest),
        [
            "orchard: iq get from romeo@example.net/street",
            "orchard: message chat from romeo@example.net/street"
        ]
    );
    let _ = other;
}

// RFC 6120 §10.1 [Q10]: from a session without presence to its own account, whatever of it there is: the account itself, a resource
// that is not there (`q`), one that is; however late the store answers, everything takes effect in the order it was sent.
#[test]
fn what_one_sends_to_oneself_keeps_its_order() {
    let to_itself = ["romeo@example.net", "romeo@example.net/q", "romeo@example.net/orchard"];
    // A message or a request to each of these, four in a row.
    for sequence in 0..6_u32.pow(4) {
        let mut world = World::new();
        let romeo = world.connect("romeo@example.net/street");
        world.connect("romeo@example.net/orchard");
        world.at_once = false;
        let (mut open, mut done) = (VecDeque::new(), Vec::new());
        for place in 0..4_u32 {
            let kind = sequence / 6_u32.pow(place) % 6;
            let stanza = if kind < 3 { chat(ROMEO) } else { iq(IqType::Get, "query", "urn:example:unknown") };
            let stanza = stanza.with_to(jid(to_itself[kind as usize % 3])).with_id(place.to_string());
            let effects = world.send(romeo, stanza);
            done.extend(effects.iter().filter_map(told_id));
            open.extend(asks(&effects));
        }
        while let Some((ticket, ask)) = open.pop_front() {
            let answer = world.ask(ask);
            let effects = world.answer(ticket, answer);
            done.extend(effects.iter().filter_map(told_id));
            open.extend(asks(&effects));
        }
        assert_eq!(done, ["0", "1", "2", "3"], "{sequence}");
    }
}

// RFC 6120 §10.1 [Q10]: the same with somebody else's account besides, of which a resource is there, another is not, and nobody takes
// messages: what one sends to each account takes effect in order, in whatever order the store answers what concerns different accounts.
#[test]
fn what_one_sends_to_two_accounts_keeps_its_order() {
    let addresses = [
        "romeo@example.net",
        "romeo@example.net/q",
        "romeo@example.net/orchard",
        "juliet@example.com",
        "juliet@example.com/q",
        "juliet@example.com/balcony",
    ];
    // A message or a request to each of these, three in a row; and which account the store prefers: the first that has asked, the last, or
    // each of the two.
    for (sequence, prefers) in
        (0..12_u32.pow(3)).flat_map(|sequence| (0..4).map(move |prefers| (sequence, prefers)))
    {
        let mut world = World::new();
        world.befriend(ROMEO, JULIET, Subscription::Both);
        world.befriend(JULIET, ROMEO, Subscription::Both);
        let romeo = world.connect("romeo@example.net/street");
        world.connect("romeo@example.net/orchard");
        world.connect("juliet@example.com/balcony");
        world.at_once = false;
        let (mut open, mut done, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        for place in 0..3_u32 {
            let kind = sequence / 12_u32.pow(place) % 12;
            let to = addresses[kind as usize % 6];
            sent.push(to.starts_with("romeo"));
            let stanza = if kind < 6 { chat(ROMEO) } else { iq(IqType::Get, "query", "urn:example:unknown") };
            let effects = world.send(romeo, stanza.with_to(jid(to)).with_id(place.to_string()));
            done.extend(effects.iter().filter_map(told_id));
            open.extend(asks(&effects));
        }
        while !open.is_empty() {
            let wanted = match prefers {
                0 => open[0].1.account().clone(),
                1 => open[open.len() - 1].1.account().clone(),
                2 => bare(ROMEO),
                _ => bare(JULIET),
            };
            let first = open.iter().position(|(_, ask)| *ask.account() == wanted).unwrap_or(0);
            let (ticket, ask) = open.remove(first);
            let answer = world.ask(ask);
            let effects = world.answer(ticket, answer);
            done.extend(effects.iter().filter_map(told_id));
            open.extend(asks(&effects));
        }
        for to_romeo in [true, false] {
            let is_to = |place: &usize| sent[*place] == to_romeo;
            let expected: Vec<usize> = (0..3).filter(is_to).collect();
            let ids: Vec<usize> = done.iter().map(|id| id.parse().unwrap()).filter(is_to).collect();
            assert_eq!(ids, expected, "{sequence} {prefers}: {done:?}");
        }
    }
}

/// The id of the stanza that is delivered, answered or stored.
fn told_id(effect: &Effect) -> Option<String> {
    let id = |stanza: &Stanza| stanza.head.id.as_deref().map(str::to_owned);
    match effect {
        Effect::Deliver { stanza, .. } => id(stanza),
        Effect::Ask { ask: Ask::Save { changes, .. }, .. } => match &changes[..] {
            [Change::Log { edit: LogEdit::Append(append), .. }] => {
                id(&Stanza::parse(&append.content.bytes).unwrap())
            }
            _ => None,
        },
        _ => None,
    }
}

// ADR 5: a request to the own server comes back behind the fate of what was sent before to those whom the sender sees; wherever
// that has to wait.
#[test]
fn an_answer_says_that_what_was_sent_is_kept() {
    for request in [ping(), ping().with_to(jid("example.net")), ping().with_to(jid(ROMEO)), roster_get()] {
        let (mut world, romeo) = world();
        let loading = world.send(romeo, chat(JULIET));
        assert!(matches!(asks(&loading)[..], [(_, Ask::Load { .. })]));
        assert!(world.send(romeo, request).is_empty());
        let ticket = tickets(&loading)[0];
        let answer = world.ask(asks(&loading)[0].1.clone());
        let storing = world.answer(ticket, answer);
        assert_eq!(
            world.tell(&storing),
            ["store for juliet@example.com: message chat from romeo@example.net/street"]
        );
        let told = world.answer(tickets(&storing)[0], Answer::Saved);
        let told = world.tell(&told);
        assert!(told[0].starts_with("street: iq result") && told.len() == 1, "{told:?}");
    }
}

// The same for what one sends to oneself while nobody is there.
#[test]
fn an_answer_says_that_what_was_sent_to_oneself_is_kept() {
    let mut world = World::new();
    let romeo = world.connect("romeo@example.net/street");
    world.at_once = false;
    let storing = world.send(romeo, chat(ROMEO));
    assert!(world.send(romeo, ping().with_to(jid("example.net"))).is_empty());
    let told = world.answer(tickets(&storing)[0], Answer::Saved);
    assert_eq!(world.tell(&told), ["street: iq result from example.net"]);
}

// RFC 6120 §13.10.2 [Q12]: a stranger's request waits for nothing.
#[test]
fn strangers_wait_for_nothing() {
    for to in ["nobody@example.com", "tybalt@example.com"] {
        let mut world = World::new();
        let romeo = world.connect("romeo@example.net/street");
        world.store.create(bare("tybalt@example.com"));
        world.at_once = false;
        world.send(romeo, chat(to));
        assert_eq!(world.says(romeo, ping()), ["street: iq result"]);
    }
}

// RFC 6120 §10.1 [Q10]: a change that concerns one contact holds up nothing that passes between others.
#[test]
fn waiting_is_per_pair() {
    let (mut world, romeo) = world();
    world.at_once = true;
    world.befriend("nurse@example.com", ROMEO, Subscription::Both);
    let juliet = world.available("juliet@example.com/balcony", 0);
    let nurse = world.available("nurse@example.com/kitchen", 0);
    world.send(romeo, available(0));
    world.at_once = false;
    // Juliet changes how she stands with Tybalt.
    let change = world.send(juliet, subscription(PresenceType::Subscribe, "tybalt@example.com"));
    assert!(matches!(asks(&change)[..], [(_, Ask::Save { .. })]));
    assert_eq!(world.says(romeo, chat("juliet@example.com/balcony")).len(), 1);
    assert_eq!(world.says(nurse, chat(JULIET)).len(), 1);
    assert_eq!(world.says(juliet, chat("romeo@example.net/street")).len(), 1);
    // What she writes to him comes behind it; what she asks of her server does, too.
    assert!(world.send(juliet, chat("tybalt@example.com/lane")).is_empty());
    assert!(world.send(juliet, roster_get()).is_empty());
    let told = settle(&mut world, change);
    assert!(told.iter().any(|line| line.starts_with("balcony: iq result")), "{told:?}");
}

// RFC 6120 §10.1 [Q10]: nor does a stranger who asks for a subscription, takes that back, and asks again, however slow the store is.
#[test]
fn a_stranger_who_asks_again_and_again_delays_nobody() {
    let (mut world, romeo) = world();
    world.at_once = true;
    let juliet = world.available("juliet@example.com/balcony", 0);
    world.send(romeo, available(0));
    let tybalt = world.available("tybalt@example.com/lane", 0);
    world.at_once = false;
    let mut open = 0;
    for number in 0..20 {
        let kind = if number % 2 == 0 { PresenceType::Subscribe } else { PresenceType::Unsubscribe };
        open += asks(&world.send(tybalt, subscription(kind, JULIET))).len();
        assert_eq!(world.says(romeo, chat("juliet@example.com/balcony")).len(), 1, "{number}");
        assert_eq!(world.says(juliet, chat("romeo@example.net/street")).len(), 1, "{number}");
        let answered = world.says(juliet, ping());
        assert_eq!(answered, ["balcony: iq result"], "{number}");
    }
    assert!(open > 0, "the store has something to do for it");
}

// RFC 6121 §4.2 [PR2], RFC 6120 §10.1 [Q10]: presence that goes to all contacts comes to a contact behind what concerns that contact
// alone.
#[test]
fn broadcasts_keep_the_order_of_each_pair() {
    let (mut world, romeo) = world();
    world.at_once = true;
    let juliet = world.available("juliet@example.com/balcony", 0);
    world.send(juliet, roster_get());
    world.send(romeo, available(0));
    world.at_once = false;
    let change = world.send(romeo, subscription(PresenceType::Unsubscribed, JULIET));
    assert_eq!(world.says(romeo, available(5)), ["street: presence from romeo@example.net/street"]);
    let told = settle(&mut world, change);
    let is_presence = |line: &&String| line.starts_with("balcony: presence");
    let balcony: Vec<_> = told.iter().filter(is_presence).collect();
    assert_eq!(
        balcony,
        [
            "balcony: presence unavailable from romeo@example.net/street",
            "balcony: presence unsubscribed from romeo@example.net"
        ]
    );
}

// RFC 6121 §4.6: directed presence that came back as an error has not arrived, so nobody is told of its end.
#[test]
fn directed_presence_that_failed_is_forgotten() {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    // A domain that can't be reached.
    let sent = world.send(romeo, of_kind(Kind::Presence(PresenceType::Available), "friar@example.org"));
    let [Effect::Remote { stanza, is_told, .. }] = &sent[..] else { panic!("{sent:?}") };
    let mut effects = Vec::new();
    let condition = ErrorCondition::RemoteServerNotFound;
    world.router.undeliverable(stanza, condition, *is_told, &mut effects);
    assert_eq!(world.tell(&effects).len(), 1);
    // One that refuses it, and a resource of this server that does.
    world.send(romeo, of_kind(Kind::Presence(PresenceType::Available), "monk@example.org"));
    let error = || of_kind(Kind::Presence(PresenceType::Error), "romeo@example.net/street");
    world.received("monk@example.org", error());
    let juliet = world.connect("juliet@example.com/balcony");
    world.send(romeo, of_kind(Kind::Presence(PresenceType::Available), "juliet@example.com/balcony"));
    world.send(juliet, error());
    assert_eq!(
        world.says(romeo, unavailable()),
        ["street: presence unavailable from romeo@example.net/street"]
    );
}

// RFC 6121 §4.5.2: what the server says in a client's name is not worth an error to the client.
#[test]
fn errors_about_what_the_server_says_are_not_shown() {
    let mut world = World::new();
    world.befriend(ROMEO, "friar@example.org", Subscription::From);
    let romeo = world.connect("romeo@example.net/street");
    for presence in [available(0), unavailable()] {
        let sent = world.send(romeo, presence);
        let remote = sent.iter().filter_map(|effect| match effect {
            Effect::Remote { stanza, is_told, .. } => Some((stanza, *is_told)),
            _ => None,
        });
        for (stanza, is_told) in remote {
            assert!(!is_told);
            let mut effects = Vec::new();
            world.router.undeliverable(stanza, ErrorCondition::RemoteServerTimeout, is_told, &mut effects);
            assert!(effects.is_empty());
        }
    }
}

// RFC 6121 §4.6.3: nor is the end of directed presence that the server says as its client logs out, or only says that it is unavailable,
// whoever has the client's address by the time it comes back.
#[test]
fn the_end_of_directed_presence_that_comes_back_is_shown_to_nobody() {
    for logs_out in [true, false] {
        let mut world = World::new();
        let romeo = world.available("romeo@example.net/street", 0);
        world.send(romeo, of_kind(Kind::Presence(PresenceType::Available), "friar@example.org"));
        let effects = if logs_out { world.unbound(romeo) } else { world.send(romeo, unavailable()) };
        if logs_out {
            world.available("romeo@example.net/street", 0);
        }
        let end = effects.iter().find_map(|effect| match effect {
            Effect::Remote { stanza, is_told, .. } => Some((stanza, *is_told)),
            _ => None,
        });
        let (stanza, is_told) = end.unwrap();
        assert_eq!(stanza.head.kind, Kind::Presence(PresenceType::Unavailable));
        let mut effects = Vec::new();
        world.router.undeliverable(stanza, ErrorCondition::RemoteServerNotFound, is_told, &mut effects);
        assert_eq!(effects, []);
    }
}

// What an account shows is bounded in bytes, over all its resources: presence, and the addresses of directed presence.
#[test]
fn presence_is_bounded_in_bytes() {
    let mut config = config();
    config.limits.presence_bytes = 2_000;
    let mut world = World::with(config);
    let street = world.connect("romeo@example.net/street");
    let orchard = world.connect("romeo@example.net/orchard");
    let large = |bytes: usize| {
        let mut presence = content(&format!("<status>{}</status>", "x".repeat(bytes)));
        presence.head.kind = Kind::Presence(PresenceType::Available);
        presence
    };
    let too_much = "presence error resource-constraint/wait";
    assert_eq!(world.says(street, large(1_500)).len(), 1);
    assert_eq!(world.says(orchard, large(1_500)), [format!("orchard: {too_much}")]);
    // An update counts instead of what it replaces.
    assert_eq!(world.says(street, large(1_400)).len(), 1);
    let directed = |number: usize| {
        of_kind(Kind::Presence(PresenceType::Available), &format!("friar{number}@example.org"))
    };
    let refused = (0..100).find(|&number| world.says(orchard, directed(number))[0].contains(too_much));
    let refused = refused.expect("there is a bound");
    assert!((1..10).contains(&refused));
    // What has ended makes room.
    world.send(street, unavailable());
    assert!(world.says(orchard, directed(refused))[0].starts_with("remote"));
}

// One note of the last presence an account is under way, and then only the latest.
#[test]
fn one_note_at_a_time() {
    let mut world = World::new();
    let romeo = world.connect("romeo@example.net/street");
    world.at_once = false;
    let mut open = Vec::new();
    for number in 0..50 {
        open.extend(asks(&world.send(romeo, available(0))));
        open.extend(asks(&world.send(romeo, unavailable().with_id(number.to_string()))));
    }
    let noted = |ask: &Ask| match ask {
        Ask::Save { changes, .. } => match &changes[..] {
            [Change::LastSeen(presence)] => presence.head.id.as_deref().unwrap().to_owned(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(open.iter().map(|(_, ask)| noted(ask)).collect::<Vec<_>>(), ["0"]);
    let next = world.answer(open[0].0, Answer::Saved);
    assert_eq!(asks(&next).iter().map(|(_, ask)| noted(ask)).collect::<Vec<_>>(), ["49"]);
    assert!(world.answer(tickets(&next)[0], Answer::Saved).is_empty());
    assert_eq!(world.router.counts().asks, 0);
}

// A message that was on its way to the store when the account was loaded again is not forgotten.
#[test]
fn a_reload_does_not_forget_what_is_being_stored() {
    let (mut world, romeo) = world();
    world.at_once = true;
    let juliet = world.connect("juliet@example.com/balcony");
    world.at_once = false;
    let failing = world.send(juliet, roster_set("<item jid='tybalt@example.com'/>"));
    let putting = world.send(romeo, chat(JULIET));
    assert!(matches!(asks(&putting)[..], [(_, Ask::Save { .. })]));
    let reload = world.answer(tickets(&failing)[0], Answer::Refused);
    let [_, (loading, Ask::Load { .. })] = [asks(&putting), asks(&reload)].concat()[..] else {
        panic!("{reload:?}")
    };
    // The store has counted before the message was there.
    world.answer(loading, Answer::Loaded(Some(Box::new(Kept::default()))));
    let [(ticket, put)] = &asks(&putting)[..] else { panic!() };
    let answer = world.ask(put.clone());
    world.answer(*ticket, answer);
    let fetching = world.send(juliet, available(0));
    assert!(asks(&fetching).iter().any(|(_, ask)| matches!(ask, Ask::Entries { .. })), "{fetching:?}");
}

// A client that unblocks and writes at once is not refused, nor does what it writes after a block pass.
#[test]
fn what_is_sent_waits_for_a_change_of_the_blocked() {
    let (mut world, romeo) = world();
    world.at_once = true;
    world.available("juliet@example.com/balcony", 0);
    let block = |name: &str| {
        request(IqType::Set, &format!("<{name} xmlns='urn:xmpp:blocking'><item jid='{JULIET}'/></{name}>"))
    };
    world.send(romeo, block("block"));
    world.at_once = false;
    let change = world.send(romeo, block("unblock"));
    assert!(world.send(romeo, chat(JULIET)).is_empty());
    let told = settle(&mut world, change);
    assert!(told.contains(&"balcony: message chat from romeo@example.net/street".to_owned()), "{told:?}");
}

// RFC 6120 §10.1, RFC 6121 §3.1.5, §3.2.2, §2.5.2 [SB13]: what a change of a subscription causes for the contact comes before what the user
// has sent to it behind the change, though that waits for the store.
#[test]
fn what_a_change_causes_goes_before_what_is_sent_behind_it() {
    use PresenceType::{Subscribe, Subscribed, Unsubscribed};
    let (presence, gone) =
        ("presence from romeo@example.net/street", "presence unavailable from romeo@example.net/street");
    let message = "message chat from romeo@example.net/street";
    let (ended, over) =
        ("presence unsubscribed from romeo@example.net", "presence unsubscribe from romeo@example.net");
    let removal = format!("<item jid='{JULIET}' subscription='remove'/>");
    let changes = [
        (Subscription::Both, vec![], subscription(Unsubscribed, JULIET), vec![gone, ended, "iq set"]),
        (Subscription::Both, vec![], roster_set(&removal), vec![over, "iq set", gone, ended, "iq set"]),
        (
            Subscription::To,
            vec![subscription(Subscribe, ROMEO)],
            subscription(Subscribed, JULIET),
            vec!["presence subscribed from romeo@example.net", "iq set", presence],
        ),
        // XEP-0191 §3.2: presence, and nothing that is sent then.
        (
            Subscription::Both,
            vec![],
            request(IqType::Set, &format!("<block xmlns='urn:xmpp:blocking'><item jid='{JULIET}'/></block>")),
            vec![gone],
        ),
    ];
    for (sees, asked, change, caused) in changes {
        let mut world = World::new();
        let back = if sees == Subscription::Both { Subscription::Both } else { Subscription::From };
        world.befriend(ROMEO, JULIET, sees);
        world.befriend(JULIET, ROMEO, back);
        let romeo = world.available("romeo@example.net/street", 0);
        let juliet = world.available("juliet@example.com/balcony", 0);
        world.send(juliet, roster_get());
        asked.into_iter().for_each(|stanza| drop(world.send(juliet, stanza)));
        world.at_once = false;
        let is_blocked = caused.len() == 1;
        let stanzas = [chat(JULIET), change, chat(JULIET), chat("juliet@example.com/balcony")];
        let effects = stanzas.into_iter().flat_map(|stanza| world.send(romeo, stanza)).collect();
        let said = settle(&mut world, effects);
        let said: Vec<_> = said.iter().filter_map(|line| line.strip_prefix("balcony: ")).collect();
        let behind = if is_blocked { vec![] } else { vec![message, message] };
        assert_eq!(said, [vec![message], caused, behind].concat());
    }
}

// RFC 6121 §4.6: who shows itself to somebody that has just lost the subscription is there for that one, and not gone.
#[test]
fn what_is_shown_behind_the_end_of_a_subscription_is_not_hidden() {
    let mut world = World::new();
    world.befriend(ROMEO, JULIET, Subscription::Both);
    world.befriend(JULIET, ROMEO, Subscription::Both);
    let romeo = world.available("romeo@example.net/street", 0);
    let _juliet = world.available("juliet@example.com/balcony", 0);
    world.at_once = false;
    let stanzas = [subscription(PresenceType::Unsubscribed, JULIET), available(0).with_to(jid(JULIET))];
    let effects = stanzas.into_iter().flat_map(|stanza| world.send(romeo, stanza)).collect();
    let said = settle(&mut world, effects);
    let (gone, there) = (
        "balcony: presence unavailable from romeo@example.net/street",
        "balcony: presence from romeo@example.net/street",
    );
    assert_eq!(said, [gone, there]);
}

// The same for what was sent before, which waits longer than the change: Romeo's phone, which is over, may still get what Juliet has sent
// before, and what he has sent her waits behind that.
#[test]
fn what_a_change_causes_does_not_overtake_what_was_sent_before() {
    let mut world = World::new();
    world.befriend(ROMEO, JULIET, Subscription::Both);
    world.befriend(JULIET, ROMEO, Subscription::Both);
    let romeo = world.available("romeo@example.net/street", 0);
    let phone = world.available("romeo@example.net/phone", 0);
    let juliet = world.available("juliet@example.com/balcony", 0);
    world.send(juliet, roster_get());
    world.at_once = false;
    world.send(juliet, chat("romeo@example.net/phone"));
    world.unbound(phone);
    world.send(juliet, chat(ROMEO));
    let told = |world: &World, effects: &[Effect]| {
        let said = world.tell(effects);
        said.iter().filter_map(|line| line.strip_prefix("balcony: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let removal = roster_set(&format!("<item jid='{JULIET}' subscription='remove'/>"));
    let mut effects: Vec<_> = [chat(JULIET), removal, chat(JULIET)]
        .into_iter()
        .flat_map(|stanza| world.send(romeo, stanza))
        .collect();
    assert_eq!(told(&world, &effects), Vec::<String>::new());
    for (ticket, ask) in asks(&effects) {
        let answer = world.ask(ask);
        effects.extend(world.answer(ticket, answer));
    }
    world.router.gone(world.now, phone, &mut effects);
    world.at_once = true;
    world.serve(&mut effects);
    let (message, gone) =
        ("message chat from romeo@example.net/street", "presence unavailable from romeo@example.net/street");
    let (over, ended) =
        ("presence unsubscribe from romeo@example.net", "presence unsubscribed from romeo@example.net");
    let said = told(&world, &effects);
    assert_eq!(said, [message, over, "iq set", gone, ended, "iq set", message]);
}

// RFC 6121 §4.5.2, Limits::waiting: of what has to wait there is no room for more than so much, but the end of presence is not lost: whoever
// has seen somebody come hears of it.
#[test]
fn ends_of_presence_need_no_room() {
    let change = || roster_set(&format!("<item jid='{ROMEO}' name='Romeo'/>"));
    for where_it_waits in 0..4 {
        let mut config = config();
        config.limits.waiting = 1;
        let mut world = World::with(config);
        world.befriend(ROMEO, JULIET, Subscription::Both);
        world.befriend(JULIET, ROMEO, Subscription::Both);
        let juliet = world.available("juliet@example.com/balcony", 0);
        let romeo: Vec<_> =
            (0..9).map(|number| world.available(&format!("romeo@example.net/{number}"), 0)).collect();
        world.at_once = false;
        let mut effects = match where_it_waits {
            // In Romeo's account, for a change of his.
            0 => world.send(romeo[0], roster_set(&format!("<item jid='{JULIET}' name='Juliet'/>"))),
            // In Juliet's account, for a change of hers.
            1 => world.send(juliet, change()),
            // For her account, which is loaded anew because the store has not made a change.
            2 => {
                let asked = tickets(&world.send(juliet, change()));
                world.answer(asked[0], Answer::Refused)
            }
            // Nowhere.
            _ => Vec::new(),
        };
        for session in romeo {
            effects.extend(world.unbound(session));
        }
        let said = settle(&mut world, effects);
        let mut ends: Vec<_> = said
            .iter()
            .filter_map(|line| line.strip_prefix("balcony: presence unavailable from romeo@example.net/"))
            .collect();
        ends.sort_unstable();
        assert_eq!(ends, ["0", "1", "2", "3", "4", "5", "6", "7", "8"], "{where_it_waits}");
    }
}

// The same of presence to one entity (RFC 6121 §4.6.3), also from elsewhere.
#[test]
fn ends_of_directed_presence_need_no_room() {
    for from in ["nurse@example.com/kitchen", "friar@example.org/cell"] {
        let mut config = config();
        config.limits.waiting = 1;
        let mut world = World::with(config);
        world.befriend(JULIET, "nurse@example.com", Subscription::None);
        world.befriend(JULIET, "friar@example.org", Subscription::None);
        let juliet = world.available("juliet@example.com/balcony", 0);
        let is_local = from.starts_with("nurse");
        let nurse = is_local.then(|| world.available(from, 0));
        let to = |stanza: Stanza| stanza.with_to(jid("juliet@example.com/balcony"));
        let send = |world: &mut World, stanza: Stanza| match nurse {
            Some(nurse) => world.send(nurse, stanza),
            None => world.received(from, stanza),
        };
        send(&mut world, to(available(0)));
        world.at_once = false;
        // What concerns the contact waits for this.
        let contact = bare(from.split('/').next().unwrap());
        let mut effects = world.send(juliet, roster_set(&format!("<item jid='{contact}' name='x'/>")));
        for stanza in [to(chat("x.example")), to(chat("x.example")), to(unavailable())] {
            effects.extend(send(&mut world, stanza));
        }
        let said = settle(&mut world, effects);
        assert!(said.contains(&format!("balcony: presence unavailable from {from}")), "{said:?}");
    }
}

/// What happens between Romeo and Juliet.
#[derive(Clone, Debug)]
enum Step {
    /// One of the two comes on one of its devices, or goes there.
    Toggle(usize, usize),
    /// One of them changes how the other is called: what is between the two waits for that.
    Rename(usize),
    /// The store does the next thing for one of them, or refuses it.
    Answer(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize, 0..4_usize).prop_map(|(user, device)| Step::Toggle(user, device)),
        2 => (0..2_usize).prop_map(Step::Rename),
        2 => (0..2_usize, prop::bool::weighted(0.9)).prop_map(|(user, works)| Step::Answer(user, works)),
    ]
}

/// The store, which does what concerns one account in order, and what the sessions have seen.
#[derive(Default)]
struct Seen {
    asked: [VecDeque<(Ticket, Ask)>; 2],
    views: BTreeMap<SessionId, BTreeSet<String>>,
}

impl Seen {
    fn see(&mut self, effects: &[Effect]) {
        for (ticket, ask) in asks(effects) {
            self.asked[usize::from(ask.account().as_str() == JULIET)].push_back((ticket, ask));
        }
        for effect in effects {
            let Effect::Deliver { session, stanza } = effect else { continue };
            let Some(from) = &stanza.head.from else { continue };
            let view = self.views.entry(*session).or_default();
            match stanza.head.kind {
                Kind::Presence(PresenceType::Available) => drop(view.insert(from.to_string())),
                Kind::Presence(PresenceType::Unavailable) => drop(view.remove(from.as_str())),
                _ => {}
            }
        }
    }

    fn answer(&mut self, world: &mut World, user: usize, works: bool) {
        let Some((ticket, ask)) = self.asked[user].pop_front() else { return };
        let may_fail =
            matches!(&ask, Ask::Save { changes, .. } if matches!(changes[..], [Change::Roster { .. }]));
        let answer = if works || !may_fail { world.ask(ask) } else { Answer::Refused };
        let effects = world.answer(ticket, answer);
        self.see(&effects);
    }
}

proptest! {
    // RFC 6121 §4.5.2: however little room there is, and however late the store, nobody sees for ever who is gone.
    #[test]
    fn who_is_gone_is_not_seen_where_there_is_no_room(steps in prop::collection::vec(step(), 1..60)) {
        let users = [ROMEO, JULIET];
        let mut config = config();
        config.limits.waiting = 1;
        config.limits.waiting_bytes = 300;
        let mut world = World::with(config);
        world.befriend(ROMEO, JULIET, Subscription::Both);
        world.befriend(JULIET, ROMEO, Subscription::Both);
        world.at_once = false;
        let (mut seen, mut devices, mut next) = (Seen::default(), BTreeMap::new(), 0);
        for step in steps {
            match step {
                Step::Toggle(user, device) => {
                    let effects = match devices.remove(&(user, device)) {
                        Some(session) => {
                            seen.views.remove(&session);
                            world.unbound(session)
                        }
                        None => {
                            next += 1;
                            let session = SessionId(next);
                            devices.insert((user, device), session);
                            let mut effects = world.bind(session, users[user], &format!("{device}.{next}"));
                            effects.extend(world.send(session, available(0)));
                            effects
                        }
                    };
                    seen.see(&effects);
                }
                Step::Rename(user) => {
                    let device = (0..4).find_map(|device| devices.get(&(user, device)));
                    let item = format!("<item jid='{}' name='x{next}'/>", users[1 - user]);
                    if let Some(session) = device {
                        seen.see(&world.send(*session, roster_set(&item)));
                    }
                }
                Step::Answer(user, works) => seen.answer(&mut world, user, works),
            }
        }
        while let Some(user) = (0..2).find(|user| !seen.asked[*user].is_empty()) {
            seen.answer(&mut world, user, true);
        }
        let there: BTreeSet<String> = devices.values().map(|session| world.router.jid(*session).unwrap().to_string()).collect();
        for session in devices.values() {
            for other in seen.views.get(session).into_iter().flatten() {
                prop_assert!(there.contains(other), "{} sees {}", world.router.jid(*session).unwrap(), other);
            }
        }
    }
}
