//! Order, loss and turns, with connections that break anywhere.

use core::time::Duration;
use std::collections::BTreeMap;

use balcony_stanza::Stanza;
use proptest::prelude::*;

use crate::world::{Trust, World, config, jid};

/// Numbers of the stanzas of one pair of addresses, as they arrived.
fn numbers<'a>(stanzas: impl IntoIterator<Item = &'a Stanza>) -> BTreeMap<(String, String), Vec<u32>> {
    let mut pairs = BTreeMap::<_, Vec<u32>>::new();
    for stanza in stanzas {
        let address = |jid: &Option<balcony_jid::Jid>| jid.as_ref().unwrap().as_str().to_owned();
        let pair = (address(&stanza.head.from), address(&stanza.head.to));
        pairs.entry(pair).or_default().push(stanza.head.id.as_deref().unwrap().parse().unwrap());
    }
    pairs
}

#[derive(Clone, Debug)]
enum Step {
    /// So many stanzas of this user of this server.
    Send(usize, u8, u8),
    /// The connections break after so many more bytes.
    CutAfter(usize),
    CutAll,
    Pass(u64),
    /// The machines are suspended for so many milliseconds.
    Sleep(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..2_usize, 0..3_u8, 1..40_u8).prop_map(|(server, user, count)| Step::Send(server, user, count)),
        2 => (1..6_000_usize).prop_map(Step::CutAfter),
        1 => Just(Step::CutAll),
        2 => (1..30_000_u64).prop_map(Step::Pass),
        1 => (1..200_000_u64).prop_map(Step::Sleep),
    ]
}

/// Runs the steps, and says what was sent and what has become of it.
fn run(seed: u64, trust: Trust, is_managed: bool, piece: usize, steps: &[Step]) -> Result<(), TestCaseError> {
    let domains = ["a.example", "b.example"];
    let mut configs = vec![config(&[domains[0]], trust), config(&[domains[1]], trust)];
    // On streams that go both ways, and on two of them.
    configs[0].bidi = !seed.is_multiple_of(3);
    configs[1].management = is_managed;
    let mut world = World::new(seed, configs);
    world.piece = piece;
    let mut sent = 0;
    for step in steps {
        match step {
            Step::Send(server, user, count) => {
                let to = format!("x@{}", domains[1 - server]);
                for _ in 0..*count {
                    let from = format!("u{user}@{}/r", domains[*server]);
                    world.send(*server, &from, &to, &sent.to_string());
                    sent += 1;
                }
            }
            Step::CutAfter(bytes) => world.cut_after = Some(*bytes),
            Step::CutAll => world.cut_all(),
            Step::Pass(millis) => world.pass(Duration::from_millis(*millis)),
            Step::Sleep(millis) => world.sleep(Duration::from_millis(*millis)),
        }
        if seed.is_multiple_of(2) {
            world.settle();
        }
    }
    world.pass(Duration::from_secs(200));
    let mut seen = vec![0_u32; sent];
    let mut count = |stanza: &Stanza| {
        let number: usize = stanza.head.id.as_deref().unwrap().parse().unwrap();
        seen[number] += 1;
    };
    for server in &world.servers {
        server.delivered.iter().for_each(&mut count);
        server.returned.iter().for_each(|(stanza, _)| count(stanza));
        for (pair, numbers) in numbers(&server.delivered) {
            prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{pair:?} out of order or twice: {numbers:?}");
        }
        prop_assert_eq!(server.federation.waiting_bytes(), 0);
    }
    prop_assert!(seen.iter().all(|times| *times <= 1), "delivered and returned, or twice: {:?}", seen);
    let lost = seen.iter().filter(|times| **times == 0).count();
    if world.cuts == 0 || is_managed {
        prop_assert_eq!(lost, 0, "lost: {:?}", seen);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    // RFC 6120 §10.1 [N19], XEP-0198 §5 [SM24], XEP-0220 1.1.1 §2.1.1 [DB10]: what one user sends to another arrives in its order, nothing twice, and nothing is lost
    // without an error; without stream management but what the network had when it broke
    #[test]
    fn stanzas_keep_their_order_wherever_it_breaks(
        seed in 0..1_000_u64,
        is_plain: bool,
        is_managed in proptest::bool::weighted(0.75),
        piece in prop_oneof![Just(7_usize), Just(400), Just(100_000)],
        steps in proptest::collection::vec(step(), 0..14),
    ) {
        run(seed, if is_plain { Trust::Plain } else { Trust::Certificates }, is_managed, piece, &steps)?;
    }
}

// The connection breaks at every byte of it, once, before anything has been read behind that byte.
#[test]
fn a_connection_that_breaks_at_each_byte() {
    for trust in [Trust::Plain, Trust::Certificates] {
        let stride = if trust == Trust::Plain { 1 } else { 23 };
        for cut in (1..6_000).step_by(stride) {
            let steps = [Step::CutAfter(cut), Step::Send(0, 0, 12), Step::Send(0, 1, 3), Step::Pass(1_000)];
            run(2 * cut as u64, trust, true, 50, &steps).unwrap();
        }
    }
}

// A sender with much to say does not hold up the others of the same domain.
#[test]
fn senders_take_turns() {
    let mut world = World::new(
        1,
        vec![config(&["a.example"], Trust::Certificates), config(&["b.example"], Trust::Certificates)],
    );
    for n in 0..1_000 {
        world.send(0, "loud@a.example/x", "juliet@b.example", &n.to_string());
    }
    world.send(0, "quiet@a.example/x", "juliet@b.example", "quiet");
    world.settle();
    let ids = world.ids(1);
    assert_eq!(ids.len(), 1_001);
    assert!(ids.iter().position(|id| *id == "quiet").unwrap() < 3);
}

// RFC 6121 §3: what is said about a subscription goes over the next stream if the one that took it is lost, once, and counts as heard
// when the stream has lived on, or was closed in good order. A message does not: it may have arrived.
#[test]
fn a_word_on_a_subscription_is_followed() {
    use balcony_stanza::PresenceType;
    let word = || {
        let presence =
            Stanza::presence(PresenceType::Unsubscribe).with_from("romeo@a.example".parse().unwrap());
        presence.with_to("juliet@b.example".parse().unwrap()).with_id("9")
    };
    let heard = |world: &World| world.servers[0].heard.len();
    for trust in [Trust::Plain, Trust::Dialback, Trust::Certificates] {
        for cuts in 0..3 {
            let mut configs = vec![config(&["a.example"], trust), config(&["b.example"], trust)];
            // What is acknowledged is asked about (XEP-0198).
            configs[0].management = false;
            configs[0].limits.idle = Duration::from_secs(if cuts == 0 { 30 } else { 600 });
            let mut world = World::new(cuts, configs);
            world.send_stanza(0, word());
            world.send(0, "romeo@a.example/r", "juliet@b.example", "0");
            world.settle();
            assert_eq!((heard(&world), world.servers[1].delivered.len()), (0, 2));
            for _ in 0..cuts {
                world.cut_all();
                world.settle();
            }
            let words = world.ids(1).iter().filter(|id| **id == "9").count();
            assert_eq!(
                (words, world.ids(1).len()),
                (1 + cuts.min(1) as usize, words + 1),
                "{trust:?} {cuts}"
            );
            assert_eq!(world.servers[0].reached, vec![jid("b.example"); words]);
            world.pass(Duration::from_secs(if cuts == 0 { 40 } else { 100 }));
            // After the second time it is up to whoever has said it.
            assert_eq!(heard(&world), usize::from(cuts < 2), "{trust:?} {cuts}");
            assert_eq!(world.servers[0].dropped.len(), usize::from(cuts == 2));
            assert!(world.servers[0].returned.is_empty());
            assert!(world.servers[0].dropped.iter().all(|stanza| stanza.head == word().head));
        }
    }
}

// XEP-0198 §5 [SM24]: what a stream of the other side has taken, and has not acknowledged, is asked for on one of our own, and goes once.
#[test]
fn what_a_stream_of_the_other_side_has_taken() {
    let steps = [Step::CutAfter(3_746), Step::Send(0, 0, 6), Step::Send(1, 0, 13)];
    run(44, Trust::Plain, true, 400, &steps).unwrap();
}
