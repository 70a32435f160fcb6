//! Servers whose connections are in several parts: clients come back, and go again, while what the parts and the hub say to each other is
//! under way.
//!
//! A history follows from its seed. `BALCONY_PARTS=0..10000` goes through many more of them.

#![allow(clippy::unwrap_used)]

use core::time::Duration;

use balcony_client::RequestKind;
use balcony_machine::{Random, Seed};
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, MessageType, Stanza};

const JULIET: &str = "juliet@example.com/phone";
const ROMEO: &str = "romeo@example.com/garden";

/// Those that have found something come first.
fn for_each_seed(first: &[u64], history: impl FnMut(u64)) {
    balcony_sim::for_each_seed("BALCONY_PARTS", first, 200, history);
}

fn below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.next_u64() % end as u64).unwrap()
}

fn world(seed: u64) -> World {
    let accounts = Accounts::new().with("juliet@example.com", "pencil").with("romeo@example.com", "pencil");
    let world = World::new(accounts, Chunks::Whole, seed, |config| {
        (config.stream_management, config.keep_sessions) = (true, true);
        // Whoever has no connection and does not come back is gone soon.
        config.limits.resumption = Duration::from_secs(60);
    });
    world.in_parts((seed % 4) as u16)
}

fn numbers(world: &mut World, peer: Peer) -> Vec<usize> {
    let chats = |stanza: Stanza| match stanza.head.kind {
        Kind::Message(MessageType::Chat) => stanza.head.id?.parse().ok(),
        _ => None,
    };
    world.take_stanzas(peer).into_iter().filter_map(chats).collect()
}

fn chat(number: usize) -> Stanza {
    let xml = format!("<message to='{JULIET}' type='chat' id='{number}'><body>{number}</body></message>");
    Stanza::parse(xml.as_bytes()).unwrap()
}

// XEP-0198 §5 [SM17]: wherever a client is in coming back when its network goes again, and whether the server has noticed that, it gets its
// session the next time, with each message once and in order. No session is left that nobody has.
#[test]
fn who_comes_back_and_goes_comes_back_again() {
    for_each_seed(&[], |seed| {
        let mut random = Seed::from_u64(seed ^ 0x9a57).random();
        let mut world = world(seed);
        world.slow_store = seed % 3 == 0;
        let romeo = world.online(ROMEO, "pencil", 0);
        let mut juliet = world.online(JULIET, "pencil", 0);
        world.run();
        let (mut sent, mut got) = (0, Vec::new());
        for _ in 0..8 {
            for _ in 0..below(&mut random, 3) {
                world.send(romeo, &chat(sent));
                sent += 1;
            }
            let steps = below(&mut random, 40);
            world.run_some(steps);
            got.extend(numbers(&mut world, juliet));
            let is_told = random.next_u64().is_multiple_of(2);
            let left = below(&mut random, 400);
            world.vanish(juliet, left, is_told);
            let steps = below(&mut random, 10);
            world.run_some(steps);
            juliet = world.come_back(juliet);
        }
        world.run();
        world.wait(Duration::from_secs(5));
        got.extend(numbers(&mut world, juliet));
        assert_eq!(
            world.jid(juliet).map(ToString::to_string).as_deref(),
            Some(JULIET),
            "it does not come back"
        );
        assert_eq!(got, (0..sent).collect::<Vec<_>>());
        assert_eq!(world.server.router().counts().sessions, 2);
        world.close(juliet);
        world.close(romeo);
        world.run();
        world.wait(Duration::from_secs(120));
        assert_eq!((world.server.connections(), world.server.router().counts().sessions), (0, 0));
    });
}

// Two connections want one session at once: one of them has it, and the other hears that it has not, or ends.
#[test]
fn one_session_is_wanted_twice() {
    for_each_seed(&[], |seed| {
        let mut random = Seed::from_u64(seed ^ 0x7216).random();
        let mut world = world(seed);
        let juliet = world.online(JULIET, "pencil", 0);
        world.run();
        world.vanish(juliet, 0, random.next_u64().is_multiple_of(2));
        let first = world.come_back(juliet);
        let steps = below(&mut random, 60);
        world.run_some(steps);
        world.vanish(first, 0, false);
        let second = world.come_back(first);
        world.run();
        world.wait(Duration::from_secs(1));
        assert_eq!(
            world.jid(second).map(ToString::to_string).as_deref(),
            Some(JULIET),
            "{:?}",
            world.failed(second)
        );
        assert_eq!(world.server.router().counts().sessions, 1);
        world.close(second);
        world.run();
        world.wait(Duration::from_secs(400));
        assert_eq!((world.server.connections(), world.server.router().counts().sessions), (0, 0));
    });
}

// A server shuts down while words are under way: it ends, and keeps the sessions that wait, each once.
#[test]
fn it_shuts_down_in_the_middle() {
    for_each_seed(&[], |seed| {
        let mut random = Seed::from_u64(seed ^ 0xe4d).random();
        let mut world = world(seed);
        world.slow_store = seed % 3 == 0;
        let romeo = world.online(ROMEO, "pencil", 0);
        let juliet = world.online(JULIET, "pencil", 0);
        world.run();
        for number in 0..below(&mut random, 5) {
            world.send(romeo, &chat(number));
        }
        let steps = below(&mut random, 30);
        world.run_some(steps);
        if random.next_u64().is_multiple_of(2) {
            // Who is back waits for what it has asked before.
            for number in 0..below(&mut random, 4) {
                let item =
                    format!("<query xmlns='jabber:iq:roster'><item jid='{number}@example.net'/></query>");
                world.request(juliet, RequestKind::Set, None, &item);
            }
            world.vanish(juliet, 10_000, random.next_u64().is_multiple_of(2));
            world.come_back(juliet);
            let steps = below(&mut random, 60);
            world.run_some(steps);
        }
        world.shutdown();
        world.run();
        world.wait(Duration::from_secs(60));
        assert_eq!((world.server.connections(), world.server.router().counts().sessions), (0, 0));
        let mut kept: Vec<_> = world.kept_sessions().iter().map(|session| session.key.clone()).collect();
        kept.sort();
        assert_eq!(kept.iter().map(|key| &**key).collect::<Vec<_>>(), [JULIET, ROMEO]);
    });
}

// The architecture's rule 8: however much is under way, what is due is dealt with, and nothing is lost or done twice by that. Much is said at
// once, so that parts have more to say than they may have at a time.
#[test]
fn what_is_due_is_done_while_much_is_under_way() {
    for_each_seed(&[495], |seed| {
        let mut random = Seed::from_u64(seed ^ 0xdee).random();
        let mut world = world(seed);
        let mut romeo = world.online(ROMEO, "pencil", 0);
        let mut juliet = world.online(JULIET, "pencil", 0);
        world.run();
        let (mut sent, mut got) = (0, Vec::new());
        for _ in 0..6 {
            if world.jid(romeo).is_none() {
                world.vanish(romeo, 0, true);
                romeo = world.come_back(romeo);
                world.run();
            }
            for _ in 0..below(&mut random, 200) {
                world.send(romeo, &chat(sent));
                sent += 1;
            }
            // Somebody who never says anything, and somebody who comes.
            world.raw();
            let nobody = world.connect("romeo@example.com/hall", "pencil");
            let steps = below(&mut random, 40);
            world.run_some(steps);
            if random.next_u64().is_multiple_of(2) {
                got.extend(numbers(&mut world, juliet));
                let left = below(&mut random, 4_000);
                world.vanish(juliet, left, random.next_u64().is_multiple_of(2));
                got.extend(numbers(&mut world, juliet));
                juliet = world.come_back(juliet);
            }
            let steps = below(&mut random, 40);
            world.run_some(steps);
            world.suspend(Duration::from_millis([1, 500, 2_000, 9_000][below(&mut random, 4)]));
            let steps = below(&mut random, 40);
            world.run_some(steps);
            world.vanish(nobody, 0, true);
        }
        // It may have given up itself.
        world.vanish(juliet, 0, true);
        got.extend(numbers(&mut world, juliet));
        juliet = world.come_back(juliet);
        world.run();
        world.wait(Duration::from_secs(5));
        got.extend(numbers(&mut world, juliet));
        assert_eq!(got, (0..sent).collect::<Vec<_>>(), "{:?}", world.failed(juliet));
    });
}
