//! Copies (XEP-0280) and sessions that are lost (XEP-0198): whoever has a copy has the message.

use core::mem;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use balcony_roster::Subscription;
use balcony_router::{Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, Stanza};
use proptest::prelude::*;

use crate::hibernated::{crash, detach, restart};
use crate::world::{World, bare, content, jid, request, wires};

const JULIET: &str = "juliet@example.com";
const NAMES: [&str; 2] = ["juliet@example.com/phone", "juliet@example.com/desk"];
const WAIT: Duration = Duration::from_secs(600);

fn chat(number: usize) -> Stanza {
    let mut stanza = content(&format!("<body>{number}</body>"));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.with_to(jid(JULIET))
}

fn number(wire: &str) -> Option<usize> {
    wire.split_once("<body>")?.1.split_once("</body>")?.0.parse().ok()
}

fn numbers(effects: &[Effect], session: SessionId) -> Vec<usize> {
    wires(effects, session).iter().filter_map(|wire| number(wire)).collect()
}

fn with_copies(world: &mut World, name: &str, priority: i8) -> SessionId {
    let session = world.available(name, priority);
    world.send(session, request(IqType::Set, "<enable xmlns='urn:xmpp:carbons:2'/>"));
    session
}

/// A phone, which gets what is for Juliet, and a desk, which gets copies; both can be resumed.
fn scene() -> (World, SessionId, [SessionId; 2]) {
    let mut world = World::new();
    for (one, other) in [("romeo@example.net", JULIET), (JULIET, "romeo@example.net")] {
        world.befriend(one, other, Subscription::Both);
    }
    let romeo = world.available("romeo@example.net/street", 0);
    let both = [with_copies(&mut world, NAMES[0], 5), with_copies(&mut world, NAMES[1], 0)];
    assert!(both.iter().all(|session| world.router.manage(*session, WAIT, &mut Vec::new())));
    (world, romeo, both)
}

/// How many documents of messages there are, and how many messages are stored.
fn written(world: &World) -> (usize, usize) {
    (world.store.documents(&bare(JULIET), "undelivered").count(), world.kept(JULIET).len())
}

/// So much time passes.
fn pass(world: &mut World, span: Duration) -> Vec<Effect> {
    world.now = world.now + span;
    let mut effects = Vec::new();
    world.router.tick(world.now, &mut effects);
    world.serve(&mut effects);
    effects
}

/// The session has got all that is among these effects.
fn acknowledge(world: &mut World, session: SessionId, effects: &[Effect]) {
    let count = wires(effects, session).len() as u32;
    let mut more = Vec::new();
    world.router.acknowledged(world.now, session, count, &mut more);
    world.serve(&mut more);
    assert!(numbers(&more, session).is_empty());
}

// A phone that never comes back: what the desk has got as a copy does not come to it once more, nor is it stored.
#[test]
fn what_another_has_as_a_copy_is_not_given_again() {
    for (is_away, to) in [(false, JULIET), (true, JULIET), (false, NAMES[0]), (true, NAMES[0])] {
        let (mut world, romeo, [phone, desk]) = scene();
        if is_away {
            detach(&mut world, phone);
        }
        let effects = world.send(romeo, chat(1).with_to(jid(to)));
        assert_eq!(numbers(&effects, desk), [1]);
        acknowledge(&mut world, desk, &effects);
        if !is_away {
            detach(&mut world, phone);
        }
        let over = pass(&mut world, WAIT);
        assert_eq!(numbers(&over, desk), [0; 0], "{is_away} {to}");
        acknowledge(&mut world, desk, &over);
        assert_eq!((written(&world), world.router.queued()), ((0, 0), 0));
        // One that has got no copy does get it.
        let mut effects = world.send(romeo, chat(2).with_to(jid(NAMES[1])));
        world.unbind(desk);
        effects.extend(pass(&mut world, WAIT));
        assert_eq!(written(&world), (0, 1));
    }
}

// A message of which only copies are left is written, as the message that it is, and comes once to whoever has it then: to the desk as a
// copy, to somebody new as a message.
#[test]
fn a_copy_stands_for_its_message() {
    for is_crash in [false, true] {
        let (mut world, romeo, [phone, desk]) = scene();
        detach(&mut world, desk);
        world.at_once = false;
        world.send(romeo, chat(1));
        // The network did not take it, and its session is over.
        let mut effects = Vec::new();
        world.router.unbind(world.now, phone, &mut effects);
        world.router.gone(world.now, phone, &mut effects);
        world.at_once = true;
        world.serve(&mut effects);
        assert_eq!((numbers(&effects, desk), written(&world)), (vec![], (1, 0)));
        if is_crash {
            let mut world = crash(world);
            let hall = world.connect("juliet@example.com/hall");
            let effects = world.send(hall, crate::world::available(0));
            assert_eq!((numbers(&effects, hall), written(&world)), (vec![1], (0, 0)));
            assert!(!wires(&effects, hall).iter().any(|wire| wire.contains("carbons")));
            continue;
        }
        let mut back = Vec::new();
        assert!(world.router.resume(world.now, desk, &bare(JULIET), 0, &mut back));
        let got: Vec<_> = wires(&back, desk).into_iter().filter(|wire| number(wire).is_some()).collect();
        assert!(got.len() == 1 && got[0].contains("carbons"), "{got:?}");
        acknowledge(&mut world, desk, &back);
        world.unbind(desk);
        assert_eq!((written(&world), world.router.queued()), ((0, 0), 0));
    }
}

// The same if both never come back, through a restart as well: it is stored once, with the time at which it came.
#[test]
fn a_message_that_nobody_has_got_is_stored_once() {
    for is_restarted in [false, true] {
        let (mut world, romeo, both) = scene();
        world.at_once = false;
        world.send(romeo, chat(1));
        world.at_once = true;
        detach(&mut world, both[0]);
        world.now = world.now + Duration::from_secs(60);
        detach(&mut world, both[1]);
        if is_restarted {
            world.unbind(romeo);
            world = restart(world, &both, Duration::from_secs(5));
        }
        let over = pass(&mut world, WAIT - Duration::from_secs(30));
        assert_eq!(world.router.sessions(&bare(JULIET)).count(), 1);
        assert_eq!((numbers(&over, both[1]), written(&world)), (vec![], (1, 0)));
        pass(&mut world, WAIT);
        assert_eq!((written(&world), world.router.queued()), ((0, 1), 0));
        let hall = world.connect("juliet@example.com/hall");
        let effects = world.send(hall, crate::world::available(0));
        let got: Vec<_> = wires(&effects, hall).into_iter().filter(|wire| number(wire).is_some()).collect();
        assert!(got.len() == 1 && !got[0].contains("carbons"), "{got:?}");
        assert!(
            got[0].contains("stamp='2002-09-10T23:08:25") && got[0].matches("<delay").count() == 1,
            "{got:?}"
        );
    }
}

/// What happens to Juliet's devices.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// Romeo writes: to her, or to one of them.
    Write(Option<usize>),
    /// What is on its way to a device arrives there. It says so, or not yet.
    Take(usize, bool),
    /// Its connection is lost, and what is on its way.
    Lose(usize),
    /// It comes back, or begins anew if its session is over.
    Back(usize),
    /// It ends its session.
    End(usize),
    /// So many seconds pass.
    Wait(u64),
    /// The server is restarted.
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => proptest::option::of(0..2usize).prop_map(Op::Write),
        3 => (0..2usize, any::<bool>()).prop_map(|(device, says)| Op::Take(device, says)),
        3 => (0..2usize).prop_map(Op::Lose),
        3 => (0..2usize).prop_map(Op::Back),
        1 => (0..2usize).prop_map(Op::End),
        2 => prop_oneof![Just(1), Just(300), Just(601)].prop_map(Op::Wait),
        1 => Just(Op::Restart),
    ]
}

/// One of the devices, as it sees itself.
#[derive(Default)]
struct Device {
    session: Option<SessionId>,
    is_away: bool,
    /// What is on its way, each with its number if it is a message of Romeo's.
    coming: Vec<Option<usize>>,
    /// How much it has got that it has not acknowledged.
    unsaid: u32,
    /// What this session has got.
    got: Vec<usize>,
    /// What of that it has not acknowledged.
    untold: Vec<usize>,
}

struct Home {
    world: World,
    romeo: SessionId,
    devices: [Device; 2],
    sent: usize,
    /// What anybody has got, and what the server knows of that.
    got: BTreeSet<usize>,
    told: BTreeSet<usize>,
    lives: usize,
}

impl Home {
    fn new() -> Self {
        let (world, romeo, sessions) = scene();
        let devices = sessions.map(|session| Device { session: Some(session), ..Device::default() });
        let (got, told) = (BTreeSet::new(), BTreeSet::new());
        Home { world, romeo, devices, sent: 0, got, told, lives: 0 }
    }

    /// What is delivered is on its way; those whose sessions were closed know it.
    fn see(&mut self, effects: &[Effect]) {
        for device in &mut self.devices {
            let Some(session) = device.session else { continue };
            if !device.is_away {
                device.coming.extend(wires(effects, session).iter().map(|wire| number(wire)));
            }
            if effects
                .iter()
                .any(|effect| matches!(effect, Effect::Close { session: of, .. } if *of == session))
            {
                *device = Device::default();
            }
        }
    }

    fn do_it(&mut self, op: Op) {
        let mut effects = Vec::new();
        match op {
            Op::Write(to) => {
                self.sent += 1;
                let to = to.map_or(JULIET, |device| NAMES[device]);
                effects = self.world.send(self.romeo, chat(self.sent).with_to(jid(to)));
            }
            Op::Take(device, says) => {
                let device = &mut self.devices[device];
                let Some(session) = device.session.filter(|_| !device.is_away) else { return };
                let coming = mem::take(&mut device.coming);
                device.unsaid += coming.len() as u32;
                for number in coming.into_iter().flatten() {
                    assert!(!device.got.contains(&number), "{number} comes twice");
                    device.got.push(number);
                    device.untold.push(number);
                    self.got.insert(number);
                }
                if says {
                    self.told.extend(device.untold.drain(..));
                    let count = mem::take(&mut device.unsaid);
                    self.world.router.acknowledged(self.world.now, session, count, &mut effects);
                }
            }
            Op::Lose(device) => {
                let device = &mut self.devices[device];
                let Some(session) = device.session.filter(|_| !device.is_away) else { return };
                device.is_away = true;
                device.coming.clear();
                assert!(self.world.router.detach(self.world.now, session, &mut effects));
            }
            Op::Back(which) => {
                let device = &mut self.devices[which];
                match device.session {
                    Some(_) if !device.is_away => return,
                    Some(session) => {
                        device.is_away = false;
                        let count = mem::take(&mut device.unsaid);
                        self.told.extend(device.untold.drain(..));
                        let (router, account) = (&mut self.world.router, bare(JULIET));
                        assert!(router.resume(self.world.now, session, &account, count, &mut effects));
                    }
                    None => {
                        self.lives += 1;
                        let session = SessionId(1_000 + self.lives as u64);
                        let name = jid(NAMES[which]).to_full().unwrap();
                        let bound = self.world.bind(session, JULIET, name.resourcepart());
                        self.see(&bound);
                        self.world
                            .send(session, request(IqType::Set, "<enable xmlns='urn:xmpp:carbons:2'/>"));
                        assert!(self.world.router.manage(session, WAIT, &mut Vec::new()));
                        self.devices[which].session = Some(session);
                        let shown = self.world.send(session, crate::world::available([5, 0][which]));
                        self.see(&shown);
                    }
                }
            }
            Op::End(device) => {
                let Some(session) = self.devices[device].session else { return };
                self.devices[device] = Device::default();
                self.world.router.unbind(self.world.now, session, &mut effects);
                self.world.router.gone(self.world.now, session, &mut effects);
            }
            Op::Wait(seconds) => {
                effects = pass(&mut self.world, Duration::from_secs(seconds));
            }
            Op::Restart => {
                for device in 0..2 {
                    self.do_it(Op::Lose(device));
                }
                let sessions: Vec<_> = self.devices.iter().filter_map(|device| device.session).collect();
                self.world.unbind(self.romeo);
                let world = mem::replace(&mut self.world, World::new());
                self.world = restart(world, &sessions, Duration::from_secs(1));
                self.romeo = self.world.available("romeo@example.net/street", 0);
            }
        }
        if !matches!(op, Op::Write(_) | Op::Wait(_)) {
            self.world.serve(&mut effects);
        }
        self.see(&effects);
    }

    /// Everything ends, and somebody new comes.
    fn end(mut self) {
        for device in 0..2 {
            self.do_it(Op::End(device));
        }
        let mut effects = self.world.unbound(self.romeo);
        effects.extend(pass(&mut self.world, WAIT));
        let hall = self.world.connect("juliet@example.com/hall");
        let effects = self.world.send(hall, crate::world::available(0));
        let mut last = BTreeMap::new();
        numbers(&effects, hall).into_iter().for_each(|number| *last.entry(number).or_insert(0) += 1);
        for number in 1..=self.sent {
            let again = last.get(&number).copied().unwrap_or(0);
            assert!(again <= 1, "{number} is there {again} times");
            assert!(again == 0 || !self.told.contains(&number), "{number} was acknowledged");
            assert!(again == 1 || self.got.contains(&number), "{number} is lost");
        }
        self.world.unbind(hall);
        assert_eq!((written(&self.world), self.world.router.queued()), ((0, 0), 0));
    }
}

proptest! {
    // Nobody gets a message twice, be it as a copy; none is lost; and none that a device has acknowledged, as a message or as a copy, comes to
    // anybody who comes later.
    #[test]
    fn each_device_gets_each_message_once(ops in proptest::collection::vec(op(), 1..40)) {
        let mut home = Home::new();
        ops.into_iter().for_each(|op| home.do_it(op));
        home.end();
    }
}
