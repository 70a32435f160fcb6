//! Known gaps: a client that reads is cut off all the same when the bound on its output is hit inside one batch, before anything
//! could be written. Each test ends with what is today, and says what should be there instead: whoever mends it turns these
//! lines round.
#![allow(clippy::unwrap_used)]

use balcony_client::RequestKind;
use balcony_server::Ended;
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};

const JULIET: &str = "juliet@example.com";
const CONTACTS: [&str; 2] = ["romeo@example.com", "nurse@example.com"];

fn world() -> World {
    let accounts = Accounts::new().with(JULIET, "pencil");
    let accounts = CONTACTS.iter().fold(accounts, |all, contact| all.with(contact, "pencil"));
    World::new(accounts, Chunks::Whole, 1, |_| {})
}

fn juliet(world: &mut World) -> Peer {
    world.client("juliet@example.com/balcony", "pencil")
}

fn is_cut_off(world: &World, peer: Peer) -> bool {
    matches!(world.ended(peer), Some(ended @ Ended::Failed(_)) if format!("{ended:?}").contains("ResourceConstraint"))
}

/// Messages, or errors about them, that a client has got since it was last asked.
fn messages(world: &mut World, peer: Peer, errors: bool) -> usize {
    let is_one = |kind| matches!(kind, Kind::Message(kind) if (kind == MessageType::Error) == errors);
    world.take_stanzas(peer).iter().filter(|stanza| is_one(stanza.head.kind)).count()
}

// RFC 6121 §4.2.2: two contacts with four resources each, whose status is 250 kB long, two megabytes in all.
#[test]
fn gap_large_presences_keep_a_user_from_logging_in() {
    let mut world = world();
    let phone = world.client("juliet@example.com/phone", "pencil");
    for contact in CONTACTS {
        let friend = world.client(&format!("{contact}/0"), "pencil");
        let subscription = |kind, to: &str| Stanza::presence(kind).to(to.parse().unwrap());
        world.send(phone, &subscription(PresenceType::Subscribe, contact));
        world.run();
        world.send(friend, &subscription(PresenceType::Subscribed, JULIET));
        world.run();
    }
    world.close(phone);
    world.run();
    let status = format!("<presence><status>{}</status></presence>", "x".repeat(250_000));
    for contact in CONTACTS {
        for resource in 1..=4 {
            let peer = world.client(&format!("{contact}/{resource}"), "pencil");
            world.write(peer, status.as_bytes());
            world.run();
        }
    }
    let juliet = juliet(&mut world);
    world.available(juliet, 0);
    // She should see all eight, and stay.
    assert!(is_cut_off(&world, juliet));
}

// RFC 6121 §2.1.3: sixty requests in a pipeline for a roster of 300 items, 5 MB of answers, to a client that reads.
#[test]
fn gap_answers_to_what_a_client_has_asked_cut_it_off() {
    let mut world = world();
    let juliet = juliet(&mut world);
    for item in 0..300 {
        let name = "n".repeat(200);
        let item = format!("<item jid='{item}@example.org' name='{name}'/>");
        let set = format!("<query xmlns='jabber:iq:roster'>{item}</query>");
        world.request(juliet, RequestKind::Set, None, &set);
        world.run();
    }
    world.take_outcomes(juliet);
    for _ in 0..60 {
        world.request(juliet, RequestKind::Get, None, "<query xmlns='jabber:iq:roster'/>");
    }
    world.run();
    // She should get all sixty, and stay; what she sends meanwhile waits.
    assert!(world.take_outcomes(juliet).len() < 60);
    assert!(is_cut_off(&world, juliet));
}

// RFC 6120 §10.1, §4.9.3.17: a burst for somebody who reads, but not as fast as it comes.
#[test]
fn gap_a_burst_cuts_off_a_reader_and_its_last_message_vanishes() {
    let mut world = world();
    let juliet = juliet(&mut world);
    world.available(juliet, 0);
    let romeo = world.online("romeo@example.com/garden", "pencil", 0);
    let message =
        format!("<message to='{JULIET}/balcony' type='chat'><body>{}</body></message>", "x".repeat(100_000));
    world.stall(juliet, true);
    for _ in 0..80 {
        world.write(romeo, message.as_bytes());
    }
    world.run();
    world.stall(juliet, false);
    world.run();
    world.drain(juliet);
    let (got, refused) = (messages(&mut world, juliet, false), messages(&mut world, romeo, true));
    // All eighty should reach her. If they can't, each that does not should come back, or be stored.
    assert!(is_cut_off(&world, juliet));
    let stored = world.accounts.waiting(JULIET).len();
    assert!(got + refused + stored < 80, "{got} {refused} {stored}");
}
