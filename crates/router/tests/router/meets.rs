//! What is held, what is written, and what waits for clients, together.

use core::time::Duration;

use balcony_roster::Subscription;
use balcony_router::{Answer, Ask, SessionId};
use balcony_stanza::{Kind, MessageType, Stanza};
use balcony_xep::csi::ClientState;

use crate::csi::says;
use crate::world::{World, asks, available, bare, config, content, jid, wires};

const JULIET: &str = "juliet@example.com";
const WAIT: Duration = Duration::from_secs(600);

fn friends(config: balcony_router::Config) -> (World, SessionId) {
    let mut world = World::with(config);
    for (one, other) in [("romeo@example.net", JULIET), (JULIET, "romeo@example.net")] {
        world.befriend(one, other, Subscription::Both);
    }
    let romeo = world.available("romeo@example.net/street", 0);
    (world, romeo)
}

fn phone(world: &mut World, name: &str, wait: Duration) -> SessionId {
    let phone = world.available(&format!("{JULIET}/{name}"), 0);
    assert!(world.router.manage(phone, wait, &mut Vec::new()));
    phone
}

fn detach(world: &mut World, session: SessionId) {
    let mut effects = Vec::new();
    assert!(world.router.detach(world.now, session, &mut effects));
    world.serve(&mut effects);
}

fn message(xml: &str) -> Stanza {
    let mut stanza = content(xml);
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.with_to(jid(JULIET))
}

fn written(world: &World) -> Vec<String> {
    let juliet = bare(JULIET);
    world
        .store
        .documents(&juliet, "undelivered")
        .map(|(_, content)| String::from_utf8_lossy(&content.bytes).into_owned())
        .collect()
}

// Limits::queue_bytes, of what is not urgent as well.
#[test]
fn what_is_held_is_bounded_by_the_queue() {
    for is_detached in [false, true] {
        let mut small = config();
        (small.limits.queue_bytes, small.limits.held, small.limits.credit) = (20_000, 4, 2_000);
        let (mut world, romeo) = friends(small);
        let phone = phone(&mut world, "phone", WAIT);
        says(&mut world, phone, ClientState::Inactive);
        if is_detached {
            detach(&mut world, phone);
        }
        world.at_once = false;
        let receipt = format!("<received xmlns='urn:xmpp:receipts' id='{}'/>", "1".repeat(500));
        let mut most = 0;
        for _ in 0..200 {
            world.send(romeo, message(&receipt).with_to(jid("juliet@example.com/phone")));
            most = most.max(world.router.queued());
        }
        assert!(most < 30_000, "{is_detached}: {most} bytes");
        assert!(world.router.jid(phone).is_none());
    }
}

// A message for two sessions that wait, of which one ends: the other still waits, and a crash must not lose it.
#[test]
fn what_two_wait_for_is_written_as_long_as_one_waits() {
    let (mut world, romeo) = friends(config());
    let first = phone(&mut world, "first", Duration::from_secs(60));
    let second = phone(&mut world, "second", WAIT);
    detach(&mut world, first);
    detach(&mut world, second);
    world.send(romeo, message("<body>once</body>"));
    assert_eq!(written(&world).len(), 1);
    world.now = world.now + Duration::from_secs(60);
    world.tick();
    assert!(world.router.jid(first).is_none() && world.router.jid(second).is_some());
    assert_eq!(world.kept(JULIET).len(), 0);
    assert_eq!(written(&world).len(), 1, "it is in memory only");
    world.now = world.now + WAIT;
    world.tick();
    assert_eq!((world.kept(JULIET).len(), written(&world).len()), (1, 0));
}

// The account can't be loaded again, and its sessions end. What waited for them comes once.
#[test]
fn what_waited_comes_once_after_a_failure() {
    let (mut world, romeo) = friends(config());
    let phone = phone(&mut world, "phone", WAIT);
    detach(&mut world, phone);
    world.send(romeo, message("<body>once</body>"));
    assert_eq!(written(&world).len(), 1);
    // A change of Juliet's that fails has her account loaded again, which fails.
    let desk = world.available("juliet@example.com/desk", -1);
    world.at_once = false;
    let mut effects =
        world.send(desk, crate::world::roster_set("<item jid='nurse@example.com' name='Nurse'/>"));
    let mut all = Vec::new();
    let mut failed = 0;
    while !effects.is_empty() {
        let mut next = Vec::new();
        for (ticket, ask) in asks(&effects) {
            let answer = match &ask {
                _ if failed >= 2 => world.ask(ask),
                Ask::Save { .. } | Ask::Load { .. } => {
                    failed += 1;
                    Answer::Refused
                }
                _ => world.ask(ask),
            };
            next.append(&mut world.answer(ticket, answer));
        }
        all.extend(effects);
        effects = next;
    }
    assert_eq!(failed, 2);
    assert!(world.router.jid(phone).is_none());
    world.at_once = true;
    assert_eq!(world.kept(JULIET).len(), 1, "{:?}", written(&world));
    assert_eq!(written(&world).len(), 0);
    let later = world.connect("juliet@example.com/later");
    let effects = world.send(later, available(0));
    let got: Vec<_> = wires(&effects, later).into_iter().filter(|wire| wire.contains("once")).collect();
    assert_eq!(got.len(), 1, "{got:?}");
}

// What a later one replaces while it is held needs no document any more, and what is dropped at the end of its session neither.
#[test]
fn what_is_replaced_is_not_written_for_ever() {
    let (mut world, romeo) = friends(config());
    let phone = phone(&mut world, "phone", WAIT);
    says(&mut world, phone, ClientState::Inactive);
    detach(&mut world, phone);
    let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/>";
    for _ in 0..20 {
        world.send(romeo, message(state));
    }
    assert_eq!(written(&world).len(), 1);
    world.now = world.now + WAIT;
    world.tick();
    assert_eq!((written(&world).len(), world.router.queued()), (0, 0));
}

// What has waited keeps its time, also if it had to wait for its account on its way into the store.
#[test]
fn what_comes_back_says_since_when() {
    let (mut world, romeo) = friends(config());
    let phone = phone(&mut world, "phone", WAIT);
    detach(&mut world, phone);
    world.send(romeo, message("<body>once</body>"));
    world.now = world.now + (WAIT - Duration::from_secs(1));
    let desk = world.available("juliet@example.com/desk", -1);
    world.at_once = false;
    // A change that fails has the account loaded again; meanwhile the phone's time is over.
    let effects = world.send(desk, crate::world::roster_set("<item jid='nurse@example.com' name='Nurse'/>"));
    let effects = world.answer(asks(&effects)[0].0, Answer::Refused);
    world.now = world.now + Duration::from_secs(1);
    let mut later = Vec::new();
    world.router.tick(world.now, &mut later);
    world.at_once = true;
    let mut effects: Vec<_> = effects.into_iter().chain(later).collect();
    world.serve(&mut effects);
    assert!(world.router.jid(phone).is_none());
    assert_eq!(world.kept(JULIET).len(), 1);
    world.now = world.now + WAIT;
    let later = world.connect("juliet@example.com/later");
    let effects = world.send(later, available(0));
    let got: Vec<_> = wires(&effects, later).into_iter().filter(|wire| wire.contains("once")).collect();
    assert!(got.len() == 1 && got[0].contains("23:08:25"), "{got:?}");
}

// What is held when the connection is lost is written, and stays held: a later one still takes its place.
#[test]
fn what_is_held_is_written_where_it_is() {
    let (mut world, romeo) = friends(config());
    let phone = phone(&mut world, "phone", WAIT);
    says(&mut world, phone, ClientState::Inactive);
    world.send(romeo, message("<received xmlns='urn:xmpp:receipts' id='1'/>"));
    world.send(romeo, available(1));
    assert!(written(&world).is_empty());
    detach(&mut world, phone);
    assert_eq!(written(&world).len(), 1);
    world.send(romeo, available(2));
    let mut effects = Vec::new();
    assert!(world.router.resume(world.now, phone, &bare(JULIET), 0, &mut effects));
    let got = wires(&effects, phone);
    assert!(got.iter().any(|wire| wire.contains("receipts")), "{got:?}");
    assert!(got.iter().all(|wire| !wire.contains("<priority>1")), "{got:?}");
    world.router.acknowledged(world.now, phone, got.len() as u32, &mut effects);
    world.serve(&mut effects);
    assert_eq!((written(&world).len(), world.router.queued()), (0, 0));
}
