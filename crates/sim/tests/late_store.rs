//! A store that is so late that the server has given up what it does: memory and disk are the same in the end.
#![allow(clippy::unwrap_used)]

use core::time::Duration;

use balcony_client::RequestKind;
use balcony_machine::{Random, Seed};
use balcony_sim::{Accounts, Chunks, Peer, World, for_each_seed};
use balcony_stanza::{MessageType, PresenceType, Stanza};

const PASSWORD: &str = "pencil";
const PEOPLE: [&str; 3] = ["juliet@example.com", "romeo@example.com", "tybalt@example.com"];
const DOCUMENTS: [&str; 2] = ["<one xmlns='urn:example:kept'/>", "<other xmlns='urn:example:kept'/>"];

fn below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.next_u64() % end as u64).unwrap()
}

fn set(world: &mut World, peer: Peer, xml: &str) {
    world.request(peer, RequestKind::Set, None, xml);
}

/// One of three people changes something that is kept, or has others change something of theirs.
fn change(world: &mut World, random: &mut Random, peer: Peer, number: usize) {
    let to = PEOPLE[below(random, PEOPLE.len())];
    match below(random, 9) {
        0 => {
            let change = ["name='x'", "name='y'", "subscription='remove'"][below(random, 3)];
            set(world, peer, &format!("<query xmlns='jabber:iq:roster'><item jid='{to}' {change}/></query>"));
        }
        1 | 2 => {
            use PresenceType::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};
            let kinds = [Subscribe, Subscribe, Subscribed, Subscribed, Unsubscribe, Unsubscribed];
            let kind = kinds[below(random, kinds.len())];
            world.send(peer, &Stanza::presence(kind).with_to(to.parse().unwrap()));
        }
        3 => {
            let what = ["block", "unblock"][below(random, 2)];
            let pest = below(random, 3);
            let item = format!("<item jid='pest{pest}@example.org'/>");
            set(world, peer, &format!("<{what} xmlns='urn:xmpp:blocking'>{item}</{what}>"));
        }
        4 => {
            let name = ["one", "other"][below(random, 2)];
            let document = format!("<{name} xmlns='urn:example:kept'>{number}</{name}>");
            set(world, peer, &format!("<query xmlns='jabber:iq:private'>{document}</query>"));
        }
        5 => set(world, peer, &format!("<vCard xmlns='vcard-temp'><FN>{number}</FN></vCard>")),
        6 => {
            let kind = [PresenceType::Available, PresenceType::Unavailable][below(random, 2)];
            world.send(peer, &Stanza::presence(kind));
        }
        _ => {
            let message = Stanza::message(MessageType::Chat).with_to(to.parse().unwrap());
            world.send(peer, &message.with_id(format!("message-{number}")));
        }
    }
}

fn history(seed: u64) -> usize {
    let mut random = Seed::from_u64(seed).random();
    let accounts = PEOPLE.iter().fold(Accounts::new(), |all, account| all.with(account, PASSWORD));
    let world = World::new(accounts, Chunks::random(seed), seed, |_| {});
    let mut world = world.in_parts((seed % 3) as u16);
    let mut peers: Vec<Option<Peer>> = vec![None; PEOPLE.len()];
    let mut errors = 0;
    world.slow_store = true;
    for number in 0..60 {
        let who = below(&mut random, PEOPLE.len());
        let is_there = peers[who].is_some_and(|peer| world.jid(peer).is_some());
        if !is_there {
            // Nobody logs in while the account can't be loaded.
            (world.slow_store, world.store_takes) = (true, Duration::ZERO);
            world.wait(Duration::from_secs(120));
            let resource = format!("{}/r{number}", PEOPLE[who]);
            peers[who] = Some(world.client(&resource, PASSWORD));
        }
        // Each of the three steps of the store; the server gives up after half a minute.
        world.store_takes = Duration::from_secs([1, 15, 40][below(&mut random, 3)]);
        let peer = peers[who].unwrap();
        change(&mut world, &mut random, peer, number);
        match below(&mut random, 10) {
            0 => {
                world.run();
                world.cut(peer);
            }
            1..4 => world.wait(Duration::from_secs(random.next_u64() % 60)),
            4..7 => world.run(),
            _ => world.run_some(20),
        }
        let failed = |outcome: &_| matches!(outcome, balcony_client::RequestOutcome::Error(_));
        errors += world.take_outcomes(peer).iter().filter(|outcome| failed(outcome)).count();
    }
    world.store_takes = Duration::ZERO;
    // What was given up, and what others are owed of it, is tried again.
    world.wait(Duration::from_secs(600));
    world.slow_store = false;
    world.wait(Duration::from_secs(600));
    let people: Vec<_> = PEOPLE.iter().map(|account| (*account, PASSWORD)).collect();
    world.check_at_rest(&people, &DOCUMENTS);
    errors
}

// habits.md invariants 4 and 5: a change may be given up by the server, its account be loaded again, and the change be carried out late. What
// is known of an account in the end is what is kept of it.
#[test]
fn memory_and_store_are_the_same_at_rest() {
    let mut errors = 0;
    for_each_seed("BALCONY_LATE", &[], 48, |seed| errors += history(seed));
    assert!(errors > 48, "{errors} changes were given up or refused");
}
