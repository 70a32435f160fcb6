//! What users of one server send to contacts at another one whose store is slow: not one message is lost without a word.
#![allow(clippy::unwrap_used)]

use core::time::Duration;
use std::collections::BTreeSet;

use balcony_router::extension::Extensions;
use balcony_router::extension::offline::Offline;
use balcony_sim::{Network, for_each_seed};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};

const THEIRS: usize = 0;
const OURS: usize = 1;
/// More than may wait of a domain.
const MESSAGES: usize = 4_000;

fn message(number: usize) -> Stanza {
    let message =
        format!("<message type='chat' to='juliet@two.example' id='{number}'><body>{number}</body></message>");
    Stanza::parse(message.as_bytes()).unwrap()
}

fn subscription(kind: PresenceType, to: &str) -> Stanza {
    Stanza::presence(kind).with_to(to.parse().unwrap())
}

fn numbers(stanzas: &[Stanza], kind: MessageType) -> Vec<usize> {
    let own = stanzas.iter().filter(|stanza| stanza.head.kind == Kind::Message(kind));
    own.map(|stanza| stanza.head.id.as_deref().unwrap().parse().unwrap()).collect()
}

// docs/guarantees.md: a burst for a session that waits for its client, while the store does nothing for a while: each message comes, in order. No more
// is read than has room, so none has to come back.
#[test]
fn a_burst_of_a_contact_is_not_lost() {
    for_each_seed("BALCONY_HELD", &[], 3, |seed| {
        let (got, back) = burst(seed, Duration::from_secs(5));
        assert!(
            got.is_sorted() && back.is_empty(),
            "seed {seed}: {} came back, though there was time",
            back.len()
        );
    });
}

// The same if it does nothing for longer than it is waited for: messages come back then, and each comes all the same, or has come back. The
// servers keep their streams meanwhile, so that none comes twice.
#[test]
fn a_burst_of_a_contact_comes_once_however_long_it_takes() {
    for_each_seed("BALCONY_HELD", &[], 1, |seed| {
        for seconds in [40, 200] {
            let (got, _) = burst(seed, Duration::from_secs(seconds));
            let twice = got.windows(2).find(|two| two[0] >= two[1]);
            assert_eq!(twice, None, "seed {seed}, {seconds} s: out of order, or twice");
        }
    });
}

/// What of the burst has come, in its order, and what has come back, if the store does nothing for so long.
fn burst(seed: u64, stalled: Duration) -> (Vec<usize>, BTreeSet<usize>) {
    let mut network = Network::new(&[&["one.example"], &["two.example"]], seed, |config| {
        config.stream_management = true;
        // There is always room in the end.
        let offline = Offline { messages: 2 * MESSAGES, bytes: 100_000_000 };
        config.extensions = Extensions::standard().with(offline).build().unwrap();
    });
    let romeo = network.person(THEIRS, "romeo@one.example/phone");
    let juliet = network.person(OURS, "juliet@two.example/phone");
    network.come(romeo);
    network.come(juliet);
    for (who, kind, to) in [
        (romeo, PresenceType::Subscribe, "juliet@two.example"),
        (juliet, PresenceType::Subscribed, "romeo@one.example"),
    ] {
        network.send(who, &subscription(kind, to));
        network.wait(Duration::from_secs(1));
    }
    // Her session waits.
    network.go(juliet);
    network.take(romeo);
    network.stalled.insert(OURS);
    for number in 0..MESSAGES {
        network.send(romeo, &message(number));
        if number % 64 == 0 {
            network.run();
        }
    }
    network.wait(stalled);
    network.stalled.clear();
    network.wait(Duration::from_secs(120));
    // A new session gets what waited for the old one.
    network.take(juliet);
    network.wait(Duration::from_secs(600));
    network.come(juliet);
    network.wait(Duration::from_secs(60));
    let got = numbers(&network.take(juliet), MessageType::Chat);
    let back: BTreeSet<usize> = numbers(&network.take(romeo), MessageType::Error).into_iter().collect();
    let missing: Vec<usize> =
        (0..MESSAGES).filter(|number| !got.contains(number) && !back.contains(number)).collect();
    assert!(
        missing.is_empty(),
        "seed {seed}: {} are lost: {:?}",
        missing.len(),
        &missing[..missing.len().min(9)]
    );
    (got, back)
}
