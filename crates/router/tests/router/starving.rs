//! Who asks one thing after the other, without a pause, keeps nobody else waiting.

use core::time::Duration;
use std::collections::VecDeque;

use balcony_machine::Ticket;
use balcony_roster::Subscription;
use balcony_router::{Ask, Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};

use crate::behind::extensions;
use crate::histories::{Grants, world_with};
use crate::model::ACCOUNTS;
use crate::world::{World, config, jid, request, roster_get, roster_set, subscription};

/// So often somebody asks or says something.
const TURNS: usize = 1_000;
/// Of these so many may come before somebody else's request is answered.
const SOON: usize = 10;
const OURS: &str = "ours";
const THEIRS: &str = "theirs";

/// A store that answers one thing at each turn, in order.
struct Scene {
    world: World,
    asks: VecDeque<(Ticket, Ask)>,
    /// How many requests of the one who does not pause are answered.
    theirs: usize,
    /// After how many of these ours was.
    ours: Option<usize>,
}

impl Scene {
    fn new(mut world: World) -> Scene {
        (world.at_once, world.parks) = (false, true);
        Scene { world, asks: VecDeque::new(), theirs: 0, ours: None }
    }

    fn send(&mut self, session: SessionId, stanza: Stanza) {
        let effects = self.world.send(session, stanza);
        self.see(effects);
    }

    /// How many more requests of the one who does not pause are answered.
    fn see(&mut self, effects: Vec<Effect>) -> usize {
        let before = self.theirs;
        for effect in effects {
            match effect {
                Effect::Ask { ticket, ask } => self.asks.push_back((ticket, ask)),
                Effect::Deliver { session, stanza } if matches!(stanza.head.kind, Kind::Iq(_)) => {
                    match stanza.head.id.as_deref() {
                        Some(OURS) => self.ours = self.ours.or(Some(self.theirs)),
                        Some(THEIRS) => self.theirs += 1,
                        _ => {}
                    }
                    let mut effects = Vec::new();
                    self.world.router.drained(self.world.now, session, u64::MAX, &mut effects);
                    self.see(effects);
                }
                _ => {}
            }
        }
        self.theirs - before
    }

    /// The store answers something, and strangers' stanzas are taken in. How many more requests are answered.
    fn turn(&mut self) -> usize {
        let mut effects = Vec::new();
        while self.world.router.take_in(self.world.now, &mut effects) {}
        if let Some((ticket, ask)) = self.asks.pop_front() {
            let answer = self.world.ask(ask);
            effects.extend(self.world.answer(ticket, answer));
        }
        self.world.now = self.world.now + Duration::from_millis(100);
        self.world.router.tick(self.world.now, &mut effects);
        self.see(effects)
    }
}

// RFC 6120 §8.2.3: what somebody says and asks is done and answered, though the contact whom it concerns always has two requests under way.
#[test]
fn a_contact_that_never_pauses() {
    let [own, contact] = [ACCOUNTS[0], ACCOUNTS[1]];
    let remove = || roster_set(&format!("<item jid='{contact}' subscription='remove'/>"));
    let message = || Stanza::message(MessageType::Chat).with_to(jid(contact));
    let end = || request(IqType::Set, "<query xmlns='jabber:iq:register'><remove/></query>");
    let keep = || request(IqType::Set, "<query xmlns='jabber:iq:private'><x xmlns='urn:example:x'/></query>");
    let mut all = vec![vec![remove()], vec![end()], vec![message(), roster_get()]];
    for kind in [
        PresenceType::Subscribe,
        PresenceType::Subscribed,
        PresenceType::Unsubscribe,
        PresenceType::Unsubscribed,
    ] {
        all.push(vec![subscription(kind, contact), roster_get()]);
        all.push(vec![subscription(kind, contact), message(), keep()]);
    }
    for said in all {
        let mut world = world_with(&Grants::new(), extensions());
        world.befriend(own, contact, Subscription::Both);
        world.befriend(contact, own, Subscription::Both);
        let ours = world.available(&format!("{own}/here"), 0);
        let theirs = world.available(&format!("{contact}/there"), 0);
        let mut scene = Scene::new(world);
        let write = || request(IqType::Set, "<vCard xmlns='vcard-temp'><FN>x</FN></vCard>").with_id(THEIRS);
        (0..3).for_each(|_| scene.send(theirs, write()));
        let last = said.len() - 1;
        for (place, stanza) in said.iter().cloned().enumerate() {
            scene.send(ours, if place == last { stanza.with_id(OURS) } else { stanza });
        }
        for _ in 0..TURNS {
            for _ in 0..scene.turn() {
                scene.send(theirs, write());
            }
        }
        assert!(scene.theirs > TURNS / 2, "{}", scene.theirs);
        assert!(
            scene.ours.is_some_and(|ours| ours < SOON),
            "after {:?} of {}: {said:?}",
            scene.ours,
            scene.theirs
        );
    }
}

// The same of another client of the account, that says one thing after the other to others.
#[test]
fn another_client_that_never_pauses() {
    let own = ACCOUNTS[0];
    let mut world = world_with(&Grants::new(), extensions());
    let ours = world.available(&format!("{own}/here"), 0);
    let other = world.available(&format!("{own}/there"), 0);
    let mut scene = Scene::new(world);
    let mut answered = None;
    for turn in 0..TURNS {
        scene.send(other, subscription(PresenceType::Subscribe, &format!("contact{turn}@z.example")));
        match turn {
            // Two are always under way.
            0..2 => {}
            2 => scene.send(ours, roster_get().with_id(OURS)),
            _ => drop(scene.turn()),
        }
        answered = answered.or(scene.ours.map(|_| turn));
    }
    assert!(answered.is_some_and(|turn| turn < SOON), "{answered:?}");
}

// Limits::window_bytes: who has asked for more than it takes is listened to again also if it acknowledges that before the network is known to have
// it (XEP-0198).
#[test]
fn who_acknowledges_is_listened_to_again() {
    let mut small = config();
    small.limits.window_bytes = 600;
    let mut world = World::with(small);
    let romeo = world.available("romeo@example.net/street", 0);
    assert!(world.router.manage(romeo, Duration::from_secs(60), &mut Vec::new()));
    world.at_once = false;
    let mut effects: Vec<Effect> = (0..3).flat_map(|_| world.send(romeo, roster_get())).collect();
    let count = effects.iter().filter(|effect| matches!(effect, Effect::Deliver { .. })).count();
    world.router.acknowledged(world.now, romeo, u32::try_from(count).unwrap(), &mut effects);
    world.router.drained(world.now, romeo, u64::MAX, &mut effects);
    let hold =
        |effect: &Effect| if let Effect::Hold { is_held, .. } = effect { Some(*is_held) } else { None };
    assert_eq!(effects.iter().filter_map(hold).collect::<Vec<_>>(), [true, false]);
}
