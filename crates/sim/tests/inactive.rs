//! Client state indication (XEP-0352), with whole clients and a whole server.
#![allow(clippy::unwrap_used)]

use core::time::Duration;

use balcony_machine::Seed;
use balcony_roster::{Item, Parts, Subscription, Version};
use balcony_router::extension::Extensions;
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::Stanza;

const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.com";

/// Juliet and Romeo, who see each other.
fn world(seed: u64, has_csi: bool) -> World {
    let mut accounts = Accounts::new().with(JULIET, "pencil").with(ROMEO, "pencil");
    for (account, contact) in [(JULIET, ROMEO), (ROMEO, JULIET)] {
        let mut kept = accounts.kept.kept(&account.parse().unwrap()).unwrap().clone();
        let mut item = Item::new(contact.parse().unwrap());
        item.subscription = Subscription::Both;
        kept.roster =
            Some(Parts { version: Version(1), items: vec![item], requests: vec![], changes: vec![] });
        accounts.kept.keep(account.parse().unwrap(), kept);
    }
    let chunks = Chunks::Random(Box::new(Seed::from_u64(seed).random()));
    World::new(accounts, chunks, seed, |config| {
        config.stream_management = true;
        if !has_csi {
            config.extensions = Extensions::standard().without("csi").build().unwrap();
        }
    })
}

fn send(world: &mut World, from: Peer, xml: &str) {
    world.send(from, &Stanza::parse(xml.as_bytes()).unwrap());
    world.run();
}

fn shows(world: &mut World, romeo: Peer) {
    for show in ["away", "xa", "dnd"] {
        send(world, romeo, &format!("<presence><show>{show}</show></presence>"));
    }
}

/// What has come, by names and shows.
fn got(world: &mut World, peer: Peer) -> Vec<String> {
    let text = |stanza: Stanza| {
        let payload = String::from_utf8_lossy(stanza.payload.as_bytes()).into_owned();
        let mark = ["<show>away", "<show>xa", "<show>dnd", "composing", "receipts", "<body>"]
            .into_iter()
            .find(|mark| payload.contains(mark));
        format!("{} {}", stanza.head.kind.name(), mark.unwrap_or_default())
    };
    world.take_stanzas(peer).into_iter().map(text).collect()
}

// XEP-0352 1.0.0 §3.2, §4.2: not a byte is written as long as nothing is urgent.
#[test]
fn nothing_is_written() {
    for has_csi in [true, false] {
        let mut world = world(1, has_csi);
        let phone = world.online("juliet@example.com/phone", "pencil", 0);
        let romeo = world.online("romeo@example.com/street", "pencil", 0);
        world.wait(Duration::from_secs(5));
        world.set_active(phone, false);
        world.run();
        let (before, _) = (world.received(phone).len(), got(&mut world, phone));
        shows(&mut world, romeo);
        let composing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        send(&mut world, romeo, &format!("<message type='chat' to='{JULIET}'>{composing}</message>"));
        send(
            &mut world,
            romeo,
            &format!("<message to='{JULIET}'><received xmlns='urn:xmpp:receipts' id='1'/></message>"),
        );
        assert_eq!(world.received(phone).len() == before, has_csi);
        send(&mut world, romeo, &format!("<message type='chat' to='{JULIET}'><body>hist</body></message>"));
        let all = ["presence <show>dnd", "message composing", "message receipts", "message <body>"];
        let got = self::got(&mut world, phone);
        assert!(got.ends_with(&all.map(str::to_owned)), "{got:?}");
        assert_eq!(got.len() == all.len(), has_csi, "{got:?}");
        // And again, until somebody looks.
        shows(&mut world, romeo);
        assert_eq!(self::got(&mut world, phone).is_empty(), has_csi);
        world.set_active(phone, true);
        world.run();
        assert_eq!(self::got(&mut world, phone), if has_csi { vec!["presence <show>dnd"] } else { vec![] });
        shows(&mut world, romeo);
        assert_eq!(self::got(&mut world, phone).len(), 3);
    }
}

// XEP-0352 §5.2, XEP-0198 1.6.3 §5 [SM18]: the client says it again when its session goes on, and in a new session.
#[test]
fn the_client_says_it_again() {
    let mut world = world(2, true);
    let phone = world.online("juliet@example.com/phone", "pencil", 0);
    let romeo = world.online("romeo@example.com/street", "pencil", 0);
    world.set_active(phone, false);
    world.run();
    let _ = got(&mut world, phone);
    shows(&mut world, romeo);
    // What was held comes with the session, and it is held again.
    world.vanish(phone, 0, true);
    shows(&mut world, romeo);
    let phone = world.come_back(phone);
    world.run();
    assert_eq!(got(&mut world, phone), ["presence <show>dnd"]);
    shows(&mut world, romeo);
    assert!(got(&mut world, phone).is_empty());
    // The session is over; so is what was held, as the new one is told who is there.
    world.vanish(phone, 0, true);
    world.wait(Duration::from_secs(601));
    let phone = world.come_back(phone);
    world.run();
    world.available(phone, 0);
    world.set_active(phone, true);
    world.run();
    let got_now = got(&mut world, phone);
    assert!(got_now.contains(&"presence <show>dnd".to_owned()), "{got_now:?}");
    world.set_active(phone, false);
    world.run();
    shows(&mut world, romeo);
    assert!(got(&mut world, phone).is_empty());
}
