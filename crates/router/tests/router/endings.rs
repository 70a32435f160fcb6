//! Several sessions of an account that end, with a connection or without one (XEP-0198): what they leave behind is in the order in which it
//! came, and there once.

use core::time::Duration;

use balcony_roster::Subscription;
use balcony_router::{Effect, Restoring, SessionId};
use balcony_stanza::{Kind, MessageType, Stanza};
use proptest::prelude::*;

use crate::world::{START, World, available, content, jid, wire, wires};

const JULIET: &str = "juliet@example.com";
const TO: [&str; 3] = [JULIET, "juliet@example.com/phone", "juliet@example.com/desk"];

fn chat(number: usize, to: &str) -> Stanza {
    let mut stanza = content(&format!("<body>{number}</body>"));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.with_to(jid(to))
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
            prop_assert!(world.router.manage(*session, Duration::from_secs(wait), &mut Vec::new()));
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

/// What happens to sessions with connections.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// A message comes for one of [`TO`].
    Send(usize),
    /// The network takes so much more of what was delivered to one of them.
    Drain(usize, usize),
    /// The stream of one of them is over.
    End(usize),
    /// Nothing more can be written to it, if its stream is over.
    Gone(usize),
    /// Time passes.
    Wait,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..3_usize).prop_map(Op::Send),
        2 => (0..2_usize, 0..4_usize).prop_map(|(session, count)| Op::Drain(session, count)),
        1 => (0..2_usize).prop_map(Op::End),
        1 => (0..2_usize).prop_map(Op::Gone),
        1 => Just(Op::Wait),
    ]
}

/// A session with its connection.
struct Connected {
    session: SessionId,
    /// The messages that were delivered, and other stanzas.
    delivered: Vec<Option<usize>>,
    /// How many of them the network has.
    taken: usize,
    is_over: bool,
    is_gone: bool,
}

/// The store answers at once, and connections have what is delivered.
fn serve(world: &mut World, all: &mut [Connected], mut effects: Vec<Effect>) {
    let mut next = 0;
    while next < effects.len() {
        match effects[next].clone() {
            Effect::Ask { ticket, ask } => {
                let answer = world.ask(ask);
                world.router.answer(world.now, ticket, answer, &mut effects);
            }
            Effect::Deliver { session, stanza } => match all.iter_mut().find(|own| own.session == session) {
                Some(own) => own.delivered.push(number(&wire(&stanza))),
                None => world.router.drained(world.now, session, u64::MAX, &mut effects),
            },
            _ => {}
        }
        next += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    // RFC 6121 §8.5.3.2.1, RFC 6120 §10.1: two sessions with connections end in any order, together or one after the other, and what is then
    // stored of one sender is in the order in which it was sent, each message once: all that the network has not taken.
    #[test]
    fn what_connections_leave_is_in_order(
        ops in prop::collection::vec(op(), 0..30),
        is_phone_first in any::<bool>(),
        is_together in any::<bool>(),
    ) {
        let mut world = World::new();
        world.befriend("romeo@example.net", JULIET, Subscription::Both);
        world.befriend(JULIET, "romeo@example.net", Subscription::Both);
        let romeo = world.available("romeo@example.net/street", 0);
        let mut all: Vec<Connected> = Vec::new();
        for (number, name) in ["phone", "desk"].into_iter().enumerate() {
            let session = SessionId(500 + number as u64);
            all.push(Connected { session, delivered: Vec::new(), taken: 0, is_over: false, is_gone: false });
            let effects = world.bind(session, JULIET, name);
            serve(&mut world, &mut all, effects);
            let effects = world.brings(session, available(0));
            serve(&mut world, &mut all, effects);
        }
        let (first, second) = if is_phone_first { (0, 1) } else { (1, 0) };
        // Another message comes when the streams are over, and what was delivered may still be written.
        let end = if is_together {
            [Op::End(first), Op::End(second), Op::Send(0), Op::Gone(first), Op::Gone(second)]
        } else {
            [Op::End(first), Op::Gone(first), Op::End(second), Op::Send(0), Op::Gone(second)]
        };
        let mut sent = 0;
        for op in ops.into_iter().chain(end) {
            let mut effects = Vec::new();
            match op {
                Op::Send(to) => {
                    effects = world.brings(romeo, chat(sent, TO[to]));
                    sent += 1;
                }
                Op::Drain(at, count) => {
                    let own = &mut all[at];
                    if !own.is_gone {
                        own.taken = own.delivered.len().min(own.taken + count);
                        world.router.drained(world.now, own.session, own.taken as u64, &mut effects);
                    }
                }
                Op::End(at) => {
                    if !all[at].is_over {
                        all[at].is_over = true;
                        world.router.unbind(world.now, all[at].session, &mut effects);
                    }
                }
                Op::Gone(at) => {
                    if all[at].is_over && !all[at].is_gone {
                        all[at].is_gone = true;
                        world.router.gone(world.now, all[at].session, &mut effects);
                    }
                }
                Op::Wait => world.now = world.now + Duration::from_secs(1),
            }
            serve(&mut world, &mut all, effects);
        }
        let kept: Vec<_> = world.kept(JULIET).iter().filter_map(|stanza| number(&wire(stanza))).collect();
        prop_assert!(kept.is_sorted_by(|one, other| one < other), "{:?}", kept);
        let taken = all.iter().flat_map(|own| &own.delivered[..own.taken]).flatten();
        let mut arrived: Vec<_> = kept.iter().chain(taken).copied().collect();
        arrived.sort_unstable();
        arrived.dedup();
        prop_assert_eq!(arrived, (0..sent).collect::<Vec<_>>());
        prop_assert_eq!((world.router.counts().sessions, world.router.queued()), (1, 0));
    }
}
