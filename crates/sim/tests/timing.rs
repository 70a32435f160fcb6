//! When strangers get answers: it tells them nothing of the accounts that they write to (RFC 6120 section 13.10.2).
#![allow(clippy::unwrap_used)]

use core::time::Duration;

use balcony_client::RequestKind;
use balcony_router::extension::Extensions;
use balcony_router::extension::offline::Offline;
use balcony_sim::{Accounts, Chunks, Network, Peer, World};
use balcony_stanza::{MessageType, PresenceType, Stanza};

/// More than may be unhandled of a session, of a domain, or wait in an account.
const STANZAS: usize = 600;
const MILLISECOND: Duration = Duration::from_millis(1);
/// So long is looked at what comes back, in milliseconds.
const LOOKED_AT: u32 = 300;

/// To all of them Romeo is a stranger. Their names are of one length, since what waits is bounded in bytes.
const RECIPIENTS: [&str; 6] = [
    // Does not exist.
    "nobody", // Is offline.
    "tybalt", // Is there.
    "juliet", // Is there, and has blocked Romeo.
    "portia", // Is offline, and has room for no more messages.
    "hamlet", // Has a session whose connection is lost, and which waits for its client.
    "oberon",
];

/// What he sends so often.
const KINDS: [&str; 8] = [
    "<message to='WHO' type='chat' id='ID'><body>x</body></message>",
    "<presence to='WHO' id='ID'/>",
    "<presence to='WHO' type='subscribe' id='ID'/>",
    "<iq to='WHO' type='get' id='ID'><query xmlns='urn:example:unknown'/></iq>",
    "<iq to='WHO/desk' type='get' id='ID'><query xmlns='urn:example:unknown'/></iq>",
    "<iq to='WHO' type='get' id='ID'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    "<iq to='WHO' type='get' id='ID'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
    "<iq to='WHO' type='get' id='ID'><vCard xmlns='vcard-temp'/></iq>",
];

/// What he wants an answer to, behind all that: a ping, or a request to acknowledge it.
const PING: usize = 0;
const ACK: usize = 1;

fn world_of(accounts: Accounts, seed: u64, parts: u16) -> World {
    let world = World::new(accounts, Chunks::random(seed), seed, |config| {
        config.stream_management = true;
        let offline = Offline { messages: 2 * STANZAS, bytes: 100_000_000 };
        config.extensions = Extensions::standard().with(offline).build().unwrap();
    });
    world.in_parts(parts)
}

/// The accounts, of which one has blocked Romeo, and one has all messages of strangers for which there is room.
fn accounts() -> Accounts {
    let accounts = ["romeo"].into_iter().chain(RECIPIENTS).filter(|name| *name != "nobody");
    let accounts =
        accounts.fold(Accounts::new(), |all, name| all.with(&format!("{name}@example.com"), "pencil"));
    let mut world = world_of(accounts, 1, 0);
    let portia = world.online("portia@example.com/desk", "pencil", 0);
    let block = "<block xmlns='urn:xmpp:blocking'><item jid='romeo@example.com'/></block>";
    world.request(portia, RequestKind::Set, None, block);
    let romeo = world.online("romeo@example.com/orchard", "pencil", 0);
    // A stranger may have half of the room.
    for _ in 0..=STANZAS {
        let to = "hamlet@example.com".parse().unwrap();
        world.send(romeo, &Stanza::message(MessageType::Chat).with_to(to));
    }
    world.run();
    assert_eq!(world.accounts.waiting("hamlet@example.com").len(), STANZAS, "it has room for one more");
    assert!(world.accounts.has_blocked(&"portia@example.com".parse().unwrap(), "romeo@example.com"));
    world.accounts
}

fn world(accounts: &Accounts, seed: u64, parts: u16) -> (World, Peer) {
    let mut world = world_of(accounts.clone(), seed, parts);
    let [.., oberon] = ["juliet", "portia", "oberon"]
        .map(|name| world.online(&format!("{name}@example.com/desk"), "pencil", 0));
    let romeo = world.online("romeo@example.com/orchard", "pencil", 0);
    world.vanish(oberon, 0, true);
    world.wait(Duration::from_secs(1));
    (world, romeo)
}

/// An acknowledgement, or a request for one. How many of them there are depends on how much comes at once.
fn is_ack(tag: &str) -> bool {
    tag.contains("urn:xmpp:sm:3")
}

/// How long the store does nothing, in milliseconds, and how long each of its steps takes at most after that.
type Lateness = (u32, u32);

/// How many stanzas the server has acknowledged to Romeo, which are all that he has sent.
fn sent(world: &mut World, romeo: Peer) -> usize {
    let from = world.received(romeo).len();
    world.write(romeo, b"<r xmlns='urn:xmpp:sm:3'/>");
    world.run();
    let told = String::from_utf8(world.received(romeo)[from..].to_vec()).unwrap();
    told.split_once("h='").unwrap().1.split_once('\'').unwrap().0.parse().unwrap()
}

/// What Romeo is told, without the name of the recipient, and after how many milliseconds; and when his last question is answered.
fn told(
    accounts: &Accounts,
    kind: &str,
    end: usize,
    who: &str,
    late: Lateness,
    seed: u64,
    parts: u16,
) -> (Vec<(u32, String)>, u32) {
    let (mut world, romeo) = world(accounts, seed, parts);
    let before = sent(&mut world, romeo);
    (world.slow_store, world.store_hangs) = (true, true);
    world.store_takes = MILLISECOND * late.1;
    let mut seen = world.received(romeo).len();
    for number in 0..STANZAS {
        let stanza = kind.replace("WHO", &format!("{who}@example.com")).replace("ID", &number.to_string());
        world.send(romeo, &Stanza::parse(stanza.as_bytes()).unwrap());
    }
    match end {
        PING => world.request(romeo, RequestKind::Get, None, "<ping xmlns='urn:xmpp:ping'/>"),
        _ => world.write(romeo, b"<r xmlns='urn:xmpp:sm:3'/>"),
    }
    let (mut told, mut answered) = (Vec::new(), None);
    for waited in 0..LOOKED_AT {
        world.store_hangs = waited < late.0;
        world.run();
        let fresh = String::from_utf8(world.received(romeo)[seen..].to_vec()).unwrap();
        seen += fresh.len();
        let (acks, fresh): (Vec<_>, Vec<_>) = fresh.split_inclusive('>').partition(|tag| is_ack(tag));
        let is_answer = match end {
            PING => !world.take_outcomes(romeo).is_empty(),
            _ => acks.iter().any(|ack| ack.contains(&format!("h='{}'", before + STANZAS))),
        };
        if answered.is_none() && is_answer {
            answered = Some(waited);
        }
        if !fresh.is_empty() {
            told.push((waited, fresh.concat().replace(who, "WHO")));
        }
        world.wait(MILLISECOND);
    }
    (told, answered.unwrap_or_else(|| panic!("{kind} to {who}: no answer")))
}

// RFC 6120 §13.10.2 [Q12]: six hundred stanzas and then a ping, or a request to acknowledge them, to an account that does not exist and to
// others of all kinds, while the store is late. The last answer is there at once, and no answer depends on which it is.
#[test]
fn the_time_of_an_answer_tells_strangers_nothing() {
    let accounts = accounts();
    for (number, kind) in KINDS.into_iter().enumerate() {
        for (round, late) in [(0, 0), (7, 0), (30, 9), (110, 40)].into_iter().enumerate() {
            let (seed, parts, end) =
                ((4 * number + round) as u64, 2 * (round as u16 % 2), [PING, ACK][(number + round / 2) % 2]);
            // It changes the sender's own roster first, for which he waits whoever it is; how long the store takes for that is chance.
            let is_own = kind.contains("subscribe");
            if is_own && late.1 > 0 {
                continue;
            }
            let all = RECIPIENTS.map(|who| told(&accounts, kind, end, who, late, seed, parts));
            for (who, (told, answered)) in RECIPIENTS.iter().zip(&all) {
                let place = format!("{kind} to {who}, the store is late by {late:?}, seed {seed}");
                assert!(is_own || *answered == 0, "he waits for {answered} ms: {place}");
                assert_eq!(*answered, all[0].1, "{place}");
                assert_eq!(told.len(), all[0].0.len(), "{place}");
                for (one, other) in told.iter().zip(&all[0].0) {
                    assert_eq!(one, other, "{place}");
                }
            }
        }
    }
}

/// The server of the recipients, and that of the stranger.
const OURS: usize = 0;
const THEIRS: usize = 1;

/// To whom he writes: nobody, one who is away, one who is there, and one who has blocked him.
const ABROAD: [&str; 4] = ["nobody", "tybalt", "juliet", "portia"];

/// What a stranger of another server is told, without the name of the recipient: while our store does nothing, and after that.
fn told_abroad(kind: &str, who: &str, seed: u64) -> [Vec<String>; 2] {
    let mut network = Network::new(&[&["example.com"], &["example.net"]], seed, |_| {});
    let [juliet, portia, tybalt] =
        ["juliet", "portia", "tybalt"].map(|name| network.person(OURS, &format!("{name}@example.com/desk")));
    let romeo = network.person(THEIRS, "romeo@example.net/orchard");
    for person in [juliet, portia, tybalt, romeo] {
        network.come(person);
    }
    let block =
        "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='romeo@example.net'/></block></iq>";
    network.send(portia, &Stanza::parse(block.as_bytes()).unwrap());
    // He is known to the server, and away.
    network.send(tybalt, &Stanza::presence(PresenceType::Unavailable));
    network.wait(Duration::from_secs(1));
    network.go(tybalt);
    // The servers know each other.
    let ping = |number: usize| {
        let ping =
            format!("<iq to='example.com' type='get' id='ping{number}'><ping xmlns='urn:xmpp:ping'/></iq>");
        Stanza::parse(ping.as_bytes()).unwrap()
    };
    network.send(romeo, &ping(0));
    network.wait(Duration::from_secs(1));
    assert!(
        network.take(romeo).iter().any(|stanza| stanza.head.id.as_deref() == Some("ping0")),
        "the other server is there"
    );

    network.stalled.insert(OURS);
    for number in 0..STANZAS {
        let stanza = kind.replace("WHO", &format!("{who}@example.com")).replace("ID", &number.to_string());
        network.send(romeo, &Stanza::parse(stanza.as_bytes()).unwrap());
    }
    network.send(romeo, &ping(1));
    let mut take = || {
        network.wait(Duration::from_secs(1));
        let told = network.take(romeo);
        network.stalled.clear();
        let mut words = vec![Vec::new(); told.len()];
        told.iter().zip(&mut words).for_each(|(stanza, word)| stanza.write(word));
        let words = words.into_iter().map(|word| String::from_utf8(word).unwrap().replace(who, "WHO"));
        words.collect::<Vec<_>>()
    };
    [take(), take()]
}

// RFC 6120 §13.10.2 [Q12]: the same for a stranger of another server, whose stanzas come over a stream that is bounded as a whole.
#[test]
fn the_time_of_an_answer_tells_strangers_of_other_servers_nothing() {
    for (seed, kind) in (0..).zip(KINDS) {
        let all = ABROAD.map(|who| told_abroad(kind, who, seed));
        for (who, told) in ABROAD.iter().zip(&all) {
            let is_answered = told[0].iter().any(|word| word.contains("ping1"));
            assert!(is_answered, "the server itself answers while the store does nothing, {kind} to {who}");
            for (when, (one, other)) in ["before", "after"].into_iter().zip(told.iter().zip(&all[0])) {
                assert_eq!(one.len(), other.len(), "{when} the store goes on, {kind} to {who}");
                assert_eq!(one, other, "{when} the store goes on, {kind} to {who}");
            }
        }
    }
}
