//! Several sessions of an account that end without a connection (XEP-0198): what they leave behind is in the order in which it came,
//! and there once.

use core::time::Duration;

use balcony_roster::Subscription;
use balcony_router::{Effect, Restoring, SessionId};
use balcony_stanza::{Kind, MessageType, Stanza};
use proptest::prelude::*;

use crate::world::{START, World, available, content, jid, wires};

const JULIET: &str = "juliet@example.com";
const TO: [&str; 3] = [JULIET, "juliet@example.com/phone", "juliet@example.com/desk"];

fn chat(number: usize, to: &str) -> Stanza {
    let mut stanza = content(&format!("<body>{number}</body>"));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.to(jid(to))
}

fn number(wire: &str) -> Option<usize> {
    wire.split_once("<body>")?.1.split_once("</body>")?.0.parse().ok()
}

fn stamp(wire: &str) -> &str {
    wire.split_once("stamp='").map_or("", |(_, rest)| rest.get(..19).unwrap_or(rest))
}

/// How they end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Both have waited long enough at the same time.
    Together,
    /// So many seconds later the other one.
    Apart(u64),
    /// The server with them, as in a crash.
    Crash,
}

fn restart(mut world: World, sessions: &[SessionId], is_crash: bool) -> World {
    let saved: Vec<_> =
        sessions.iter().map(|session| world.router.save(world.now, *session).unwrap()).collect();
    sessions.iter().for_each(|session| world.router.let_go(*session));
    let mut next = World::new();
    (next.store, next.now) = (world.store, world.now);
    let mut effects = Vec::new();
    let mut restoring = Restoring::at(START + next.now.as_nanos() / 1_000_000);
    // In whatever order.
    for (session, saved) in sessions.iter().zip(saved).rev().filter(|_| !is_crash) {
        assert!(next.router.restore(next.now, *session, &saved, &mut restoring, &mut effects).is_some());
    }
    next.serve(&mut effects);
    next
}

fn steps() -> impl Strategy<Value = Vec<(usize, u64)>> {
    prop::collection::vec((0..3_usize, 0..3_u64), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // [SM20], XEP-0160 §3: whichever of them messages were for, and whenever their connections were lost, what is left for the next client
    // comes in the order in which it came, once, with the time of that; also after a restart in between.
    #[test]
    fn what_sessions_leave_is_in_order(
        parts in [steps(), steps(), steps(), steps()],
        is_phone_first in any::<bool>(),
        end in prop_oneof![Just(End::Together), (1..20_u64).prop_map(End::Apart), Just(End::Crash)],
        is_restarted in any::<bool>(),
    ) {
        let mut world = World::new();
        world.befriend("romeo@example.net", JULIET, Subscription::Both);
        world.befriend(JULIET, "romeo@example.net", Subscription::Both);
        let romeo = world.available("romeo@example.net/street", 0);
        let mut sessions = [TO[1], TO[2]].map(|name| world.available(name, 0));
        let mut waits = [600, 600];
        if let End::Apart(seconds) = end {
            waits[1] += seconds;
        }
        for (session, wait) in sessions.iter().zip(waits) {
            prop_assert!(world.router.manage(*session, Duration::from_secs(wait), &[]));
        }
        if !is_phone_first {
            sessions.reverse();
        }
        let (mut sent, mut stamps) = (0, Vec::new());
        let mut romeo = romeo;
        for (part, steps) in parts.into_iter().enumerate() {
            for (to, pause) in steps {
                world.send(romeo, chat(sent, TO[to]));
                let at = balcony_xep::datetime::format(START + world.now.as_nanos() / 1_000_000);
                stamps.push(at);
                sent += 1;
                world.now = world.now + Duration::from_secs(pause);
            }
            if let Some(session) = sessions.get(part) {
                let mut effects = Vec::new();
                prop_assert!(world.router.detach(world.now, *session, &mut effects));
                world.serve(&mut effects);
            }
            if part == 2 && is_restarted {
                world = restart(world, &sessions, false);
                romeo = world.available("romeo@example.net/street", 0);
            }
        }
        match end {
            End::Together | End::Apart(_) => while world.router.counts().sessions > 1 {
                world.now = world.router.deadline().unwrap().at;
                world.tick();
            },
            End::Crash => world = restart(world, &sessions, true),
        }
        let tablet = world.connect("juliet@example.com/tablet");
        let effects: Vec<Effect> = world.send(tablet, available(0));
        let got: Vec<_> = wires(&effects, tablet).into_iter().filter(|wire| number(wire).is_some()).collect();
        let numbers: Vec<_> = got.iter().filter_map(|wire| number(wire)).collect();
        prop_assert_eq!(numbers, (0..sent).collect::<Vec<_>>());
        for (wire, at) in got.iter().zip(&stamps) {
            prop_assert_eq!(stamp(wire), at.get(..19).unwrap_or(at));
        }
        prop_assert_eq!(world.store.documents(&JULIET.parse().unwrap(), "undelivered").count(), 0);
    }
}
