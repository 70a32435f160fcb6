//! Sessions outlive their connections (XEP-0198): whole clients and a whole server on a network that dies at any byte.
#![allow(clippy::unwrap_used)]

use core::time::Duration;
use std::collections::BTreeSet;

use balcony_client::RequestKind;
use balcony_machine::Seed;
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.com";

fn world(seed: u64) -> World {
    let accounts = Accounts::new().with(JULIET, "pencil").with(ROMEO, "pencil");
    let chunks = Chunks::Random(Box::new(Seed::from_u64(seed).random()));
    World::new(accounts, chunks, seed, |config| {
        (config.stream_management, config.keep_sessions) = (true, true);
    })
    .in_parts((seed % 4) as u16)
}

/// Both see each other. None of their sessions is left.
fn befriend(world: &mut World) {
    let juliet = world.client("juliet@example.com/window", "pencil");
    let romeo = world.client("romeo@example.com/garden", "pencil");
    for (from, kind, to) in [
        (romeo, PresenceType::Subscribe, JULIET),
        (juliet, PresenceType::Subscribed, ROMEO),
        (juliet, PresenceType::Subscribe, ROMEO),
        (romeo, PresenceType::Subscribed, JULIET),
    ] {
        world.send(from, &Stanza::presence(kind).with_to(to.parse().unwrap()));
        world.run();
    }
    world.close(romeo);
    world.close(juliet);
    world.run();
}

fn chat(to: &str, number: usize, size: usize) -> Stanza {
    let body = "x".repeat(size);
    let xml = format!("<message to='{to}' type='chat' id='{number}'><body>{body}</body></message>");
    Stanza::parse(xml.as_bytes()).unwrap()
}

/// The same that says nothing to a person.
fn receipt(to: &str, number: usize, size: usize) -> Stanza {
    let text = "x".repeat(size);
    let xml = format!(
        "<message to='{to}' type='chat' id='{number}'><received xmlns='urn:xmpp:receipts' id='1'>{text}</received></message>"
    );
    Stanza::parse(xml.as_bytes()).unwrap()
}

/// The numbers of the messages that a client has got, in order, and what else it was told, by kind and type.
fn got(world: &mut World, peer: Peer) -> (Vec<usize>, Vec<String>) {
    let (mut numbers, mut others) = (Vec::new(), Vec::new());
    for stanza in world.take_stanzas(peer) {
        match stanza.head.kind {
            Kind::Message(MessageType::Chat) => numbers.push(stanza.head.id.unwrap().parse().unwrap()),
            kind => others.push(format!("{} {:?}", kind.name(), kind.type_name())),
        }
    }
    (numbers, others)
}

// [SM14] [SM18] [SM19]: the phone loses its network for a minute, and nobody sees it.
#[test]
fn nobody_sees_that_a_phone_was_away() {
    let mut world = world(1);
    befriend(&mut world);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    let juliet = world.online("juliet@example.com/phone", "pencil", 0);
    let _ = (got(&mut world, romeo), got(&mut world, juliet));
    world.vanish(juliet, 0, true);
    world.send(romeo, &chat(JULIET, 0, 10));
    world.run();
    world.wait(Duration::from_secs(60));
    assert_eq!(got(&mut world, romeo), (vec![], vec![]));
    let juliet = world.come_back(juliet);
    world.run();
    assert_eq!(world.jid(juliet).unwrap().as_str(), "juliet@example.com/phone");
    assert_eq!(got(&mut world, juliet), (vec![0], vec![]));
    assert!(world.accounts.waiting(JULIET).is_empty());
    world.send(juliet, &chat(ROMEO, 1, 10));
    world.send(romeo, &chat(JULIET, 2, 10));
    world.run();
    assert_eq!((got(&mut world, romeo), got(&mut world, juliet)), ((vec![1], vec![]), (vec![2], vec![])));
    // The server asks what it has got.
    world.wait(Duration::from_secs(2));
    // When it stays away for too long it is seen to be gone, and gets the rest when it comes again.
    world.vanish(juliet, 0, true);
    world.send(romeo, &chat(JULIET, 3, 10));
    world.run();
    world.wait(Duration::from_secs(601));
    assert_eq!(got(&mut world, romeo), (vec![], vec!["presence Some(\"unavailable\")".to_owned()]));
    let juliet = world.come_back(juliet);
    world.run();
    world.available(juliet, 0);
    assert_eq!(got(&mut world, juliet).0, [3]);
}

// [SM17]: a client that comes back before its server has noticed that it was gone.
#[test]
fn back_before_it_was_missed() {
    let mut world = world(2);
    befriend(&mut world);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    let before = world.online("juliet@example.com/phone", "pencil", 0);
    let _ = (got(&mut world, romeo), got(&mut world, before));
    world.vanish(before, 0, false);
    for number in 0..3 {
        world.send(romeo, &chat(JULIET, number, 100));
    }
    world.run();
    let juliet = world.come_back(before);
    world.run();
    assert_eq!(got(&mut world, juliet), (vec![0, 1, 2], vec![]));
    assert_eq!(got(&mut world, romeo), (vec![], vec![]));
    world.wait(Duration::from_secs(30));
    assert!(world.is_closed(before), "the old stream ends");
    assert_eq!(world.server.router().counts().sessions, 2);
}

// RFC 6120 §7.7.2.2, XEP-0198: a client that does not go on with its session, but takes its resource with another one. What the old one
// has not got comes to it, and so does everything later.
#[test]
fn another_session_takes_the_resource() {
    let mut world = world(3);
    befriend(&mut world);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    let before = world.online("juliet@example.com/phone", "pencil", 0);
    let _ = (got(&mut world, romeo), got(&mut world, before));
    world.vanish(before, 0, true);
    let to = "juliet@example.com/phone";
    world.send(romeo, &chat(to, 0, 10));
    world.send(romeo, &chat(to, 1, 10));
    world.run();
    let juliet = world.client(to, "pencil");
    assert_eq!(got(&mut world, juliet).0, [0, 1]);
    world.request(juliet, RequestKind::Get, None, "<query xmlns='jabber:iq:roster'/>");
    world.send(romeo, &chat(to, 2, 10));
    world.run();
    assert_eq!((got(&mut world, juliet).0, world.take_outcomes(juliet).len()), (vec![2], 1));
}

/// How many histories: so many, or as `BALCONY_SESSIONS` says.
#[allow(clippy::disallowed_methods, reason = "whoever runs this by hand says how long")]
fn seeds(usual: u32) -> u32 {
    std::env::var("BALCONY_SESSIONS").map_or(usual, |seeds| seeds.parse().unwrap())
}

/// What happens in a history.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// One of them writes so many messages of this size.
    Write(usize, usize, usize),
    /// So much arrives.
    Some(usize),
    /// The network of one of them dies, when so many bytes more have arrived; the server is told or not.
    Vanish(usize, usize, bool),
    /// One of them is back.
    Back(usize),
    /// So many seconds pass.
    Wait(u64),
    /// The server ends in good order, and begins again after so many seconds.
    Restart(u64),
    /// One of them says whether somebody uses the device (XEP-0352).
    Use(usize, bool),
    /// One of them is seen once more.
    Show(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_usize, 1..8_usize, prop_oneof![1..200_usize, 1..20_000_usize]).prop_map(|(who, count, size)| Step::Write(who, count, size)),
        5 => (1..60_usize).prop_map(Step::Some),
        3 => (0..2_usize, prop_oneof![0..300_usize, 0..5_000_usize], any::<bool>()).prop_map(|(who, left, told)| Step::Vanish(who, left, told)),
        4 => (0..2_usize).prop_map(Step::Back),
        1 => (1..20_u64).prop_map(Step::Wait),
        1 => (0..400_u64).prop_map(Step::Restart),
        3 => (0..2_usize, any::<bool>()).prop_map(|(who, is_used)| Step::Use(who, is_used)),
        3 => (0..2_usize).prop_map(Step::Show),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(seeds(64)))]

    // XEP-0198 §4, §5, XEP-0352 1.0.0 §5: both write to each other over networks that die at any byte, and come back each time, used or not.
    // Everything arrives once, and in order, both ways.
    #[test]
    fn everything_arrives_once(seed: u64, slow: bool, steps in prop::collection::vec(step(), 1..40)) {
        let mut world = world(seed);
        befriend(&mut world);
        let names = [JULIET, ROMEO];
        let mut peers = [
            world.online("juliet@example.com/phone", "pencil", 0),
            world.online("romeo@example.com/garden", "pencil", 0),
        ];
        world.slow_store = slow;
        let (mut sent, mut arrived) = ([0, 0], [Vec::new(), Vec::new()]);
        let mut there = [true, true];
        let end = [Step::Back(0), Step::Back(1), Step::Use(0, true), Step::Use(1, true), Step::Wait(2), Step::Wait(2)];
        for step in steps.into_iter().chain(end) {
            match step {
                Step::Write(who, count, size) => for _ in 0..count {
                    if there[who] && world.jid(peers[who]).is_some() {
                        // What is not urgent waits for somebody who does not look.
                        let stanza = if size % 3 == 0 { receipt } else { chat };
                        world.send(peers[who], &stanza(names[1 - who], sent[who], size));
                        sent[who] += 1;
                    }
                },
                Step::Some(steps) => world.run_some(steps),
                Step::Vanish(who, left, told) if there[who] => {
                    world.vanish(peers[who], left, told);
                    arrived[who].extend(got(&mut world, peers[who]).0);
                    there[who] = false;
                }
                Step::Back(who) if !there[who] => {
                    peers[who] = world.come_back(peers[who]);
                    there[who] = true;
                }
                Step::Wait(seconds) => world.wait(Duration::from_secs(seconds)),
                Step::Restart(seconds) => {
                    world.restart(Duration::from_secs(seconds));
                    for who in [0, 1] {
                        if there[who] {
                            arrived[who].extend(got(&mut world, peers[who]).0);
                        }
                        // Nobody stays away for longer than a session waits, however often the server does.
                        peers[who] = world.come_back(peers[who]);
                        there[who] = true;
                    }
                    world.run();
                }
                Step::Use(who, is_used) if there[who] => world.set_active(peers[who], is_used),
                Step::Show(who) if there[who] && world.jid(peers[who]).is_some() => {
                    world.send(peers[who], &Stanza::presence(PresenceType::Available));
                }
                _ => {}
            }
        }
        world.run();
        for who in [0, 1] {
            arrived[who].extend(got(&mut world, peers[who]).0);
            prop_assert_eq!(&arrived[who], &(0..sent[1 - who]).collect::<Vec<_>>(), "{}", names[who]);
        }
        prop_assert!(world.accounts.waiting(JULIET).is_empty() && world.accounts.waiting(ROMEO).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(seeds(48)))]

    // docs/guarantees.md: the phone is away, and the server dies at any moment. What its sender was told to be handled the phone gets when it
    // begins again, in order; what it does not know to be handled its client sends again.
    #[test]
    fn a_crash_loses_nothing_that_waits(
        seed: u64,
        before in 0..16_usize,
        left in 0..400_usize,
        rounds in prop::collection::vec((1..25_usize, prop_oneof![1..100_usize, 1..5_000_usize], 0..300_usize, any::<bool>()), 1..4),
    ) {
        let mut world = world(seed);
        befriend(&mut world);
        let mut romeo = world.online("romeo@example.com/garden", "pencil", 0);
        let (mut sent, mut got) = (0, Vec::new());
        for (count, size, steps, comes_back) in rounds {
            world.slow_store = false;
            let juliet = world.online("juliet@example.com/phone", "pencil", 0);
            // None of these gets through.
            world.stall(juliet, before % 2 == 0);
            for _ in 0..before {
                world.send(romeo, &chat(JULIET, sent, size));
                sent += 1;
            }
            world.run();
            world.vanish(juliet, left, true);
            got.extend(self::got(&mut world, juliet).0);
            // What was on its way to a connection is on disk when the server, in all of its parts, knows that this is lost.
            world.run();
            world.slow_store = true;
            for _ in 0..count {
                world.send(romeo, &chat(JULIET, sent, size));
                sent += 1;
            }
            world.run_some(steps);
            if comes_back {
                // What comes when it has a connection may be lost on the way to it.
                world.run();
                let juliet = world.come_back(juliet);
                world.run_some(steps);
                world.vanish(juliet, left, false);
                got.extend(self::got(&mut world, juliet).0);
            }
            world.vanish(romeo, 0, false);
            let ids = world.unacknowledged(romeo).into_iter();
            let open: Vec<usize> = ids.filter_map(|stanza| stanza.head.id.as_deref()?.parse().ok()).collect();
            world.crash();
            world.slow_store = false;
            world.run();
            let juliet = world.online("juliet@example.com/phone", "pencil", 0);
            let after = self::got(&mut world, juliet).0;
            prop_assert!(after.is_sorted_by(|a, b| a < b), "{:?}", after);
            got.extend(after);
            let lost: Vec<_> = (0..sent).filter(|number| !got.contains(number) && !open.contains(number)).collect();
            prop_assert!(lost.is_empty(), "{:?} are not in {:?}, and {:?} are to be sent again", lost, got, open);
            world.close(juliet);
            world.run();
            romeo = world.come_back(romeo);
            world.run();
            // It sends again what it does not know to be handled, and that waits now for Juliet's next session.
        }
        let juliet = world.online("juliet@example.com/phone", "pencil", 0);
        // It gets stored messages in parts, each when it has acknowledged the one before.
        world.wait(Duration::from_secs(60));
        got.extend(self::got(&mut world, juliet).0);
        let lost: Vec<_> = (0..sent).filter(|number| !got.contains(number)).collect();
        prop_assert!(lost.is_empty(), "{:?} are not in {:?}", lost, got);
        let juliet: balcony_jid::BareJid = JULIET.parse().unwrap();
        let left = world.accounts.kept.documents(&juliet, "undelivered").count();
        prop_assert_eq!(left, 0);
    }
}

/// What happens to two devices of one account.
#[derive(Clone, Copy, Debug)]
enum Both {
    /// So many messages of this size come for the account, or for one of the devices.
    Come(usize, usize, Option<usize>),
    Some(usize),
    /// The network of one of them dies.
    Vanish(usize, usize, bool),
    Back(usize),
    Wait(u64),
    /// The server ends, and keeps each part of its sessions when so many seconds have passed; after so many another begins.
    Restart(u64, u64),
}

fn both() -> impl Strategy<Value = Both> {
    prop_oneof![
        4 => (1..8_usize, prop_oneof![1..200_usize, 10_000..60_000_usize], prop::option::of(0..2_usize))
            .prop_map(|(count, size, to)| Both::Come(count, size, to)),
        4 => (1..60_usize).prop_map(Both::Some),
        4 => (0..2_usize, 0..3_000_usize, any::<bool>()).prop_map(|(who, left, told)| Both::Vanish(who, left, told)),
        3 => (0..2_usize).prop_map(Both::Back),
        3 => prop_oneof![1..20_u64, 200..590_u64].prop_map(Both::Wait),
        2 => (prop_oneof![Just(0), 1..400_u64], 0..300_u64).prop_map(|(part, down)| Both::Restart(part, down)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(seeds(16)))]

    // XEP-0198 §5, RFC 6121 §8.5, docs/guarantees.md: whatever becomes of two devices of one account, and of their server in good order, each
    // message comes to one of them at least, and to none of them twice that goes on with its session.
    #[test]
    fn two_devices_get_everything_and_nothing_twice(seed: u64, slow: bool, steps in prop::collection::vec(both(), 1..30)) {
        let mut world = world(seed);
        befriend(&mut world);
        let mut romeo = world.online("romeo@example.com/garden", "pencil", 0);
        let names = ["juliet@example.com/phone", "juliet@example.com/desk"];
        let mut devices = names.map(|name| world.online(name, "pencil", 0));
        world.slow_store = slow;
        let (mut sent, mut arrived) = (0, [Vec::new(), Vec::new()]);
        // Since when they are away: who is away for too long does not come back, since that would be another session.
        let mut away = [None, None];
        for step in steps {
            match step {
                Both::Come(count, size, to) => for _ in 0..count {
                    world.send(romeo, &chat(to.map_or(JULIET, |to| names[to]), sent, size));
                    sent += 1;
                },
                Both::Some(steps) => world.run_some(steps),
                Both::Vanish(who, left, told) if away[who].is_none() => {
                    world.vanish(devices[who], left, told);
                    arrived[who].extend(got(&mut world, devices[who]).0);
                    away[who] = Some(world.now);
                }
                Both::Back(who) => if let Some(since) = away[who] && world.now - since < Duration::from_secs(500) {
                    devices[who] = world.come_back(devices[who]);
                    away[who] = None;
                },
                Both::Wait(seconds) => world.wait(Duration::from_secs(seconds)),
                Both::Restart(part, down) => {
                    world.sessions_hang = true;
                    world.shutdown();
                    // Those that do not read are given up.
                    world.wait(Duration::from_secs(6 + part));
                    while world.keep_sessions() {
                        world.wait(Duration::from_secs(part));
                    }
                    prop_assert_eq!((world.server.connections(), world.server.router().counts().asks), (0, 0));
                    world.sessions_hang = false;
                    world.start(Duration::from_secs(down));
                    romeo = world.come_back(romeo);
                    for who in [0, 1] {
                        arrived[who].extend(got(&mut world, devices[who]).0);
                        if away[who].is_none() {
                            devices[who] = world.come_back(devices[who]);
                        }
                    }
                    world.run();
                }
                Both::Vanish(..) => {}
            }
        }
        world.run();
        // What a device has not got that does not come back is for the other one, or waits for the next.
        world.wait(Duration::from_secs(1_300));
        for who in [0, 1] {
            if away[who].is_none() {
                arrived[who].extend(got(&mut world, devices[who]).0);
            }
            let mut once = arrived[who].clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), arrived[who].len(), "{} {:?}", names[who], arrived[who]);
        }
        let next = world.online("juliet@example.com/next", "pencil", 1);
        // It gets stored messages in parts, each when it has acknowledged the one before.
        world.wait(Duration::from_secs(60));
        let next = got(&mut world, next).0;
        let all: BTreeSet<usize> = arrived.iter().flatten().chain(&next).copied().collect();
        prop_assert_eq!(all, (0..sent).collect::<BTreeSet<_>>());
        let juliet: balcony_jid::BareJid = JULIET.parse().unwrap();
        prop_assert_eq!(world.accounts.kept.documents(&juliet, "undelivered").count(), 0);
    }
}

// XEP-0198 §5, Limits::stall: a client that takes nothing, though its network seems to live, loses its connection and not its session: it
// has that back later, and with it each message once.
#[test]
fn who_takes_nothing_keeps_the_session() {
    for is_back_soon in [true, false] {
        let mut world = world(0);
        befriend(&mut world);
        let romeo = world.online("romeo@example.com/garden", "pencil", 0);
        let desk = world.online("juliet@example.com/desk", "pencil", 0);
        world.stall(desk, true);
        (0..40).for_each(|number| world.send(romeo, &chat(JULIET, number, 10_000)));
        world.wait(Duration::from_secs(if is_back_soon { 310 } else { 800 }));
        world.stall(desk, false);
        let mut arrived = got(&mut world, desk).0;
        let desk = world.come_back(desk);
        world.run();
        arrived.extend(got(&mut world, desk).0);
        assert_eq!(arrived, (0..40).collect::<Vec<_>>(), "{is_back_soon}");
    }
}

// XEP-0198 §5, RFC 6120 §4.9.3.20: keeping the sessions takes the store longer than the router's timers run, and an account that owes its
// contacts a word has nothing to load for that meanwhile: what is written down for the sessions is theirs.
#[test]
fn sessions_are_kept_slowly() {
    let mut world = world(0);
    befriend(&mut world);
    let mut romeo = world.online("romeo@example.com/garden", "pencil", 0);
    let names = ["juliet@example.com/phone", "juliet@example.com/desk"];
    let mut devices = names.map(|name| world.online(name, "pencil", 0));
    (0..2).for_each(|number| world.send(romeo, &chat(JULIET, number, 1)));
    let mut arrived = [vec![], vec![]];
    for part in [0, 13, 60] {
        world.sessions_hang = true;
        world.shutdown();
        world.wait(Duration::from_secs(6 + part));
        while world.keep_sessions() {
            world.wait(Duration::from_secs(part));
        }
        world.sessions_hang = false;
        world.start(Duration::ZERO);
        romeo = world.come_back(romeo);
        devices = devices.map(|device| world.come_back(device));
        world.run();
        for who in [0, 1] {
            arrived[who].extend(got(&mut world, devices[who]).0);
        }
    }
    assert_eq!(arrived, [[0, 1], [0, 1]]);
}

// XEP-0198 §5, RFC 6120 §4.9.3.20: the server ends in good order and begins again: both resume, nothing is lost, nothing comes twice, and
// neither sees the other go.
#[test]
fn a_restart_is_not_seen() {
    let mut world = world(6);
    befriend(&mut world);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    let juliet = world.online("juliet@example.com/phone", "pencil", 0);
    let _ = (got(&mut world, romeo), got(&mut world, juliet));
    world.vanish(juliet, 0, true);
    world.send(romeo, &chat(JULIET, 0, 10));
    world.run();
    world.restart(Duration::from_secs(30));
    assert!(world.failed(romeo).unwrap().to_string().contains("system-shutdown"));
    assert_eq!(world.server.router().counts().sessions, 2);
    let (mut romeo, mut juliet) = (world.come_back(romeo), world.come_back(juliet));
    world.run();
    for number in 1..4 {
        world.send(romeo, &chat(JULIET, number, 10));
        world.send(juliet, &chat(ROMEO, number, 10));
        world.run();
        world.restart(Duration::from_secs(300));
        let numbers = if number == 1 { vec![0, 1] } else { vec![number] };
        assert_eq!(
            (got(&mut world, juliet), got(&mut world, romeo)),
            ((numbers, vec![]), (vec![number], vec![]))
        );
        // Each comes back by the name that its session had at the first server.
        (romeo, juliet) = (world.come_back(romeo), world.come_back(juliet));
        world.run();
        assert_eq!(world.jid(juliet).unwrap().as_str(), "juliet@example.com/phone");
    }
    assert!(world.accounts.waiting(JULIET).is_empty());
    // Who does not come back is seen to be gone when the rest of its time is over.
    world.vanish(juliet, 0, true);
    world.restart(Duration::from_secs(100_000));
    let romeo = world.come_back(romeo);
    world.wait(Duration::from_secs(59));
    assert_eq!(got(&mut world, romeo), (vec![], vec![]));
    world.wait(Duration::from_secs(2));
    assert_eq!(got(&mut world, romeo), (vec![], vec!["presence Some(\"unavailable\")".to_owned()]));
}

// XEP-0198 §5, docs/guarantees.md: a message is for two devices that wait for their clients. When the server ends it keeps their sessions in
// several parts, and the time of the other device is over before the last of them is kept. It comes once.
#[test]
fn a_sibling_ends_while_sessions_are_kept() {
    for stays in [0, 1] {
        let mut world = world(8);
        befriend(&mut world);
        let romeo = world.online("romeo@example.com/garden", "pencil", 0);
        let devices = [
            world.online("juliet@example.com/phone", "pencil", 0),
            world.online("juliet@example.com/desk", "pencil", 0),
        ];
        // Each has so much in its queue that a part holds one of them.
        world.vanish(devices[1 - stays], 0, true);
        world.wait(Duration::from_secs(300));
        world.vanish(devices[stays], 0, true);
        for number in 0..20 {
            world.send(romeo, &chat(JULIET, number, 20_000));
        }
        world.run();
        world.close(romeo);
        world.wait(Duration::from_secs(290));
        world.sessions_hang = true;
        world.shutdown();
        world.run();
        let mut parts = 0;
        world.wait(Duration::from_secs(20));
        while world.keep_sessions() {
            parts += 1;
            world.wait(Duration::from_secs(20));
        }
        assert_eq!(world.server.connections(), 0);
        world.start(Duration::from_secs(1));
        let device = world.come_back(devices[stays]);
        world.run();
        assert_eq!(got(&mut world, device).0, (0..20).collect::<Vec<_>>());
        world.wait(Duration::from_secs(700));
        assert!(got(&mut world, device).0.is_empty() && parts == 2);
        assert!(world.accounts.waiting(JULIET).is_empty());
    }
}

// A session that is kept goes on once: neither a copy of it nor what is damaged keeps a server from starting.
#[test]
fn what_is_damaged_is_passed_over() {
    let mut world = world(7);
    befriend(&mut world);
    let juliet = world.online("juliet@example.com/phone", "pencil", 0);
    world.vanish(juliet, 0, true);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    world.send(romeo, &chat(JULIET, 0, 10));
    world.run();
    world.shutdown();
    world.wait(Duration::from_secs(10));
    let kept = world.kept_sessions().clone();
    assert_eq!(kept.len(), 2);
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut saved = kept[0].clone();
        let mut bytes = saved.content.bytes.to_vec();
        change(&mut bytes);
        saved.content.bytes = bytes.into();
        saved
    };
    let length = kept[0].content.bytes.len();
    let mut all = kept.clone();
    all.extend((0..length).map(|length| damaged(&|bytes: &mut Vec<u8>| bytes.truncate(length))));
    all.extend((0..length).map(|at| damaged(&|bytes: &mut Vec<u8>| bytes[at] ^= 0xff)));
    all.extend(kept.clone());
    *world.kept_sessions() = all;
    world.start(Duration::from_secs(1));
    assert_eq!(world.server.router().counts().sessions, 2);
    let juliet = world.come_back(juliet);
    world.run();
    assert_eq!(got(&mut world, juliet).0, [0]);
}

// [SM9] RFC 6120 §4.4: who goes in good order has got what it has got, whether it came from somebody or out of the store.
#[test]
fn who_goes_in_good_order_gets_nothing_twice() {
    let mut world = world(3);
    befriend(&mut world);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    world.send(romeo, &chat(JULIET, 0, 10));
    world.run();
    for number in 1..4 {
        let juliet = world.online("juliet@example.com/phone", "pencil", 0);
        assert_eq!(got(&mut world, juliet).0, [number * 2 - 2], "out of the store");
        world.send(romeo, &chat(JULIET, number * 2 - 1, 10));
        world.run();
        assert_eq!(got(&mut world, juliet).0, [number * 2 - 1]);
        world.close(juliet);
        world.run();
        assert!(world.accounts.waiting(JULIET).is_empty());
        world.send(romeo, &chat(JULIET, number * 2, 10));
        world.run();
    }
}

// A connection breaks while its client may send no more, since the store does not answer, and is to be asked what it has got: nothing is
// left that is due (the world sees to that), and the session waits.
#[test]
fn a_broken_connection_that_is_held_has_nothing_due() {
    let mut world = world(4);
    befriend(&mut world);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    let juliet = world.online("juliet@example.com/phone", "pencil", 0);
    world.wait(Duration::from_secs(5));
    world.send(romeo, &chat(JULIET, 0, 10));
    world.close(romeo);
    world.run();
    (world.slow_store, world.store_hangs) = (true, true);
    for number in 0..100 {
        world.send(juliet, &chat(ROMEO, number, 10));
    }
    world.run();
    world.cut(juliet);
    world.wait(Duration::from_secs(5));
    assert_eq!(world.server.router().counts().sessions, 1);
}

// Limits::unacknowledged: who is not listened to, because it has asked for much, could never acknowledge. It gets what it has asked for.
#[test]
fn what_a_client_has_asked_for_waits_for_no_acknowledgement() {
    let accounts = Accounts::new().with(JULIET, "pencil").with(ROMEO, "pencil");
    let mut world = World::new(accounts, Chunks::Whole, 5, |config| {
        config.stream_management = true;
        config.limits.unacknowledged = 1;
    });
    befriend(&mut world);
    let juliet = world.online("juliet@example.com/phone", "pencil", 0);
    let notes = format!(
        "<query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'>{}</notes></query>",
        "n".repeat(100_000)
    );
    world.request(juliet, RequestKind::Set, None, &notes);
    world.run();
    world.wait(Duration::from_secs(5));
    assert_eq!(world.take_outcomes(juliet).len(), 1);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    world.send(romeo, &chat(JULIET, 0, 10));
    world.run();
    let get = "<query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'/></query>";
    for _ in 0..3 {
        world.request(juliet, RequestKind::Get, None, get);
    }
    world.run();
    world.wait(Duration::from_secs(120));
    assert_eq!((world.take_outcomes(juliet).len(), world.failed(juliet).is_none()), (3, true));
}
