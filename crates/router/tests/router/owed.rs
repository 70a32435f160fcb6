//! What is said about subscriptions is on disk until it has got there (RFC 6121 section 3): through crashes between two halves, lost
//! streams, and domains that are away.

use core::time::Duration;

use balcony_machine::Seed;
use balcony_roster::{Roster, State, Subscription};
use balcony_router::{Answer, Ask, Effect, Router};
use balcony_stanza::{ErrorCondition, PresenceType, Stanza};
use proptest::prelude::*;

use crate::world::{World, asks, bare, config, jid, roster_set, subscription, tickets};
use PresenceType::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};

const ROMEO: &str = "romeo@example.net";
const JULIET: &str = "juliet@example.com";
const AWAY: &str = "nurse@example.org";

fn owed(world: &World, account: &str) -> Vec<String> {
    let account = bare(account);
    let documents = world.store.documents(&account, "owed");
    let kind = |bytes: &[u8]| String::from_utf8_lossy(bytes).split(' ').next().unwrap().to_owned();
    documents.map(|(key, content)| format!("{key}: {}", kind(&content.bytes))).collect()
}

fn state(world: &World, user: &str, contact: &str) -> State {
    let parts = world.store.kept(&bare(user)).and_then(|kept| kept.roster.clone());
    parts.map_or(State::None, |parts| {
        Roster::from_parts(bare(user), parts, balcony_router::RosterConfig::default()).state(&bare(contact))
    })
}

/// Nothing of the router is left but what its store has; another one begins.
fn crash(world: &mut World) {
    world.router = Router::new(config(), &Seed::from_u64(8));
    world.at_once = true;
}

fn start(world: &mut World) -> Vec<String> {
    let accounts = [ROMEO, JULIET].map(bare).into_iter();
    let accounts: Vec<_> =
        accounts.filter(|account| world.store.documents(account, "owed").next().is_some()).collect();
    world.router.say_again(world.now, accounts);
    later(world, 1)
}

/// Time goes by, a second at once.
fn later(world: &mut World, seconds: u64) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..seconds {
        world.now = world.now + Duration::from_secs(1);
        told.extend(world.tick());
    }
    told
}

/// Long enough for what has got there to be deleted.
fn settle(world: &mut World) -> Vec<String> {
    later(world, 200)
}

fn friends(world: &mut World, one: &str, other: &str) {
    world.befriend(one, other, Subscription::Both);
    world.befriend(other, one, Subscription::Both);
}

// RFC 6121 §3.3: his half is durable and the server is killed before hers is; after the next start both agree.
#[test]
fn a_crash_between_two_halves() {
    for last in [Answer::Saved, Answer::Refused] {
        let mut world = World::new();
        friends(&mut world, ROMEO, JULIET);
        let romeo = world.available("romeo@example.net/street", 0);
        world.at_once = false;
        let mut effects = world.send(romeo, subscription(Unsubscribe, JULIET));
        let [(ticket, ask)] = &asks(&effects)[..] else { panic!("{effects:?}") };
        assert_eq!(world.ask(ask.clone()), Answer::Saved);
        let ticket = *ticket;
        effects = world.answer(ticket, Answer::Saved);
        // Her account is being loaded, or changed, when it happens.
        while last == Answer::Saved
            && let [(ticket, ask @ Ask::Load { .. })] = &asks(&effects)[..]
        {
            let (ticket, answer) = (*ticket, world.ask(ask.clone()));
            effects = world.answer(ticket, answer);
        }
        assert_eq!(state(&world, ROMEO, JULIET), State::From);
        assert_eq!(state(&world, JULIET, ROMEO), State::Both);
        assert_eq!(owed(&world, ROMEO), ["to juliet@example.com: unsubscribe"]);
        crash(&mut world);
        start(&mut world);
        assert_eq!(state(&world, JULIET, ROMEO), State::To);
        settle(&mut world);
        assert!(owed(&world, ROMEO).is_empty());
        assert_eq!(world.router.counts().loaded, 0);
        assert!(world.router.deadline().is_none());
    }
}

// The same, and the store can't load the account when it has its turn: it has it again when the store may have recovered.
#[test]
fn a_turn_that_failed_comes_again() {
    let mut world = World::new();
    world.befriend(ROMEO, AWAY, Subscription::Both);
    let romeo = world.available("romeo@example.net/street", 0);
    world.send(romeo, subscription(Unsubscribe, AWAY));
    crash(&mut world);
    world.router.say_again(world.now, [bare(ROMEO)]);
    world.at_once = false;
    for answer in [Some(Answer::Refused), None] {
        let mut effects = Vec::new();
        while effects.is_empty() {
            world.now = world.router.deadline().unwrap().at;
            world.router.tick(world.now, &mut effects);
        }
        let [(ticket, Ask::Load { .. })] = &asks(&effects)[..] else { panic!("{effects:?}") };
        match answer {
            Some(answer) => drop(world.answer(*ticket, answer)),
            // It does not answer at all.
            None => {
                world.now = world.router.deadline().unwrap().at;
                assert!(world.tick().is_empty());
            }
        }
    }
    world.at_once = true;
    assert_eq!(later(&mut world, 60), [format!("remote {AWAY}: presence unsubscribe from {ROMEO}")]);
}

// RFC 6121 §2.5.3, §3.2, §3.3: whoever is removed from a roster hears of both ends, if need be after a restart.
#[test]
fn a_removal_reaches_another_server_after_a_crash() {
    let mut world = World::new();
    world.befriend(ROMEO, AWAY, Subscription::Both);
    let romeo = world.available("romeo@example.net/street", 0);
    let said = world.says(romeo, roster_set(&format!("<item jid='{AWAY}' subscription='remove'/>")));
    let ends =
        ["unsubscribe", "unsubscribed"].map(|kind| format!("remote {AWAY}: presence {kind} from {ROMEO}"));
    assert!(ends.iter().all(|end| said.contains(end)), "{said:?}");
    assert_eq!(owed(&world, ROMEO).len(), 2);
    crash(&mut world);
    let mut said = start(&mut world);
    said.sort();
    assert_eq!(said, ends);
    // One has got there, the other has not.
    world.router.heard(world.now, &bare(ROMEO), &bare(AWAY), Unsubscribe);
    let lost = Stanza::presence(Unsubscribed).with_from(jid(ROMEO)).with_to(jid(AWAY));
    let mut effects = Vec::new();
    world.router.undeliverable(&lost, ErrorCondition::RemoteServerTimeout, false, &mut effects);
    assert!(effects.is_empty());
    assert!(settle(&mut world).is_empty());
    assert_eq!(owed(&world, ROMEO), [format!("from {AWAY}: unsubscribed")]);
    assert_eq!(world.router.counts().loaded, 0, "who waits for a domain is not kept in memory");
    // The domain is back.
    world.router.domain_lives(world.now, &bare("example.org"));
    assert_eq!(later(&mut world, 1), [ends[1].clone()]);
    world.router.heard(world.now, &bare(ROMEO), &bare(AWAY), Unsubscribed);
    settle(&mut world);
    assert!(owed(&world, ROMEO).is_empty());
    world.router.domain_lives(world.now, &bare("example.org"));
    assert!(later(&mut world, 1).is_empty());
}

// Only the last word counts, and what is heard of an earlier one does not end it.
#[test]
fn the_last_word_counts() {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    for kind in [Subscribe, Unsubscribe, Subscribe] {
        world.send(romeo, subscription(kind, AWAY));
    }
    assert_eq!(owed(&world, ROMEO), [format!("to {AWAY}: subscribe")]);
    for kind in [Subscribe, Unsubscribe] {
        world.router.heard(world.now, &bare(ROMEO), &bare(AWAY), kind);
    }
    later(&mut world, 60);
    assert_eq!(owed(&world, ROMEO), [format!("to {AWAY}: subscribe")]);
    world.router.heard(world.now, &bare(ROMEO), &bare(AWAY), Subscribe);
    settle(&mut world);
    assert!(owed(&world, ROMEO).is_empty());
}

// What the contact says about the same subscription makes it pointless: to say `unsubscribed` again would deny a new request.
#[test]
fn the_contact_has_the_last_word() {
    let mut world = World::new();
    world.befriend(ROMEO, AWAY, Subscription::From);
    let romeo = world.available("romeo@example.net/street", 0);
    world.send(romeo, subscription(Unsubscribed, AWAY));
    assert_eq!(owed(&world, ROMEO), [format!("from {AWAY}: unsubscribed")]);
    world.received(AWAY, Stanza::presence(Subscribe).with_to(jid(ROMEO)));
    assert!(owed(&world, ROMEO).is_empty());
    crash(&mut world);
    world.available("romeo@example.net/street", 0);
    assert!(start(&mut world).is_empty());
    assert_eq!(state(&world, ROMEO, AWAY), State::NonePendingIn);
}

// RFC 6121 §3.2: two words for one contact are said in one breath. The second does not wait until the first is long forgotten: she would
// have asked again meanwhile, and never heard that he has ended her subscription.
#[test]
fn two_words_for_one_contact() {
    let mut world = World::new();
    [ROMEO, JULIET].into_iter().for_each(|account| world.store.create(bare(account)));
    let romeo = world.available("romeo@example.net/one", 0);
    world.send(romeo, subscription(Subscribe, JULIET));
    world.send(romeo, subscription(Subscribed, JULIET));
    let juliet = world.available("juliet@example.com/one", 0);
    world.send(juliet, subscription(Subscribe, ROMEO));
    world.at_once = false;
    let effects = world.send(romeo, subscription(Unsubscribed, JULIET));
    assert_eq!(world.ask(asks(&effects)[0].1.clone()), Answer::Saved);
    crash(&mut world);
    assert_eq!(
        owed(&world, ROMEO),
        [format!("from {JULIET}: unsubscribed"), format!("to {JULIET}: subscribe")]
    );
    start(&mut world);
    // The second may cross what the first one has caused; a tenth of a second later it is said again.
    world.now = world.now + Duration::from_millis(100);
    world.tick();
    assert_eq!(state(&world, JULIET, ROMEO), State::NonePendingIn);
    assert_eq!(state(&world, ROMEO, JULIET), State::NonePendingOut);
}

// Several have a word for one contact. Only one of them gets through while her account is loaded; the others are soon said once more, and
// do not wait until nobody may know any more whether she has heard them.
#[test]
fn several_words_for_one_contact() {
    let mut world = World::new();
    let senders: Vec<String> = (0..20).map(|number| format!("friend{number}@example.net")).collect();
    senders.iter().for_each(|sender| friends(&mut world, sender, JULIET));
    let sessions: Vec<_> =
        senders.iter().map(|sender| world.available(&format!("{sender}/one"), 0)).collect();
    world.at_once = false;
    for session in sessions {
        let effects = world.send(session, subscription(Unsubscribe, JULIET));
        assert_eq!(world.ask(asks(&effects)[0].1.clone()), Answer::Saved);
    }
    crash(&mut world);
    world.router.say_again(world.now, senders.iter().map(|sender| bare(sender)));
    for _ in 0..30 {
        world.now = world.now + Duration::from_millis(100);
        world.tick();
    }
    for sender in &senders {
        assert_eq!(state(&world, JULIET, sender), State::To, "{sender}");
    }
    settle(&mut world);
    assert!(senders.iter().all(|sender| owed(&world, sender).is_empty()));
    assert!(world.router.deadline().is_none());
}

// Nobody fills a disk, and nobody is asked for ever.
#[test]
fn it_is_bounded() {
    let mut world = World::new();
    let romeo = world.available("romeo@example.net/street", 0);
    for number in 0..300 {
        world.send(romeo, subscription(Subscribe, &format!("friend{number}@example.org")));
    }
    assert_eq!(owed(&world, ROMEO).len(), 256);
    // In a month they have answered, or are not there.
    crash(&mut world);
    world.now = world.now + Duration::from_secs(31 * 24 * 3600);
    assert!(start(&mut world).is_empty());
    settle(&mut world);
    assert!(owed(&world, ROMEO).is_empty());
}

// A contact who is not there, or who has blocked the sender, is as good as one who has heard it: the sender can't tell which.
#[test]
fn nobody_is_owed_anything_for_ever() {
    let mut world = World::new();
    world.block(JULIET, ROMEO);
    let romeo = world.available("romeo@example.net/street", 0);
    world.send(romeo, subscription(Subscribe, JULIET));
    world.send(romeo, subscription(Subscribe, "nobody@example.com"));
    assert_eq!(owed(&world, ROMEO).len(), 2);
    settle(&mut world);
    assert!(owed(&world, ROMEO).is_empty());
}

proptest! {
    // Whatever two users do, and whenever the server is killed in the middle of it: after the next start both rosters agree.
    #[test]
    fn rosters_agree_after_crashes(
        steps in prop::collection::vec((0..4_usize, any::<bool>(), 0..6_usize, prop::bool::weighted(0.3)), 1..20),
    ) {
        let mut world = World::new();
        world.store.create(bare(ROMEO));
        world.store.create(bare(JULIET));
        for (kind, is_his, answers, crashes) in steps {
            let (own, other) = if is_his { (ROMEO, JULIET) } else { (JULIET, ROMEO) };
            let there = world.router.sessions(&bare(own)).next();
            let session = match there {
                Some(session) => session,
                None => world.available(&format!("{own}/one"), 0),
            };
            world.at_once = !crashes;
            let kind = [Subscribe, Subscribed, Unsubscribe, Unsubscribed][kind];
            let mut effects = world.send(session, subscription(kind, other));
            if crashes {
                // The store does so much, and no more.
                for _ in 0..answers {
                    let Some(ticket) = tickets(&effects).first().copied() else { break };
                    let ask = asks(&effects)[0].1.clone();
                    effects.retain(|effect| !matches!(effect, Effect::Ask { ticket: open, .. } if *open == ticket));
                    let answer = world.ask(ask);
                    effects.extend(world.answer(ticket, answer));
                }
                crash(&mut world);
                start(&mut world);
            }
        }
        world.at_once = true;
        settle(&mut world);
        let (his, hers) = (state(&world, ROMEO, JULIET), state(&world, JULIET, ROMEO));
        prop_assert_eq!(his.subscription().has_to(), hers.subscription().has_from());
        prop_assert_eq!(his.subscription().has_from(), hers.subscription().has_to());
        prop_assert!(owed(&world, ROMEO).is_empty() && owed(&world, JULIET).is_empty());
    }
}
