//! Which stream takes the stanzas of a pair of domains.
#![allow(clippy::unwrap_used)]

use core::time::Duration;
use std::collections::BTreeMap;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Limits};
use balcony_server::{Dispatch, Outgoing};
use balcony_stanza::{MessageType, Stanza};
use proptest::prelude::*;

fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.asks, limits.negotiation) = (3, Duration::from_secs(5));
    limits
}

fn domain(index: u8) -> BareJid {
    format!("d{index}.example").parse().unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Send(u8, u8),
    Ready(u8, u8, u8),
    Failed(u8, u8),
    Closed(u8),
    Pass(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (from, to, stream) = (0..2_u8, 2..4_u8, 0..4_u8);
    prop_oneof![
        4 => (from.clone(), to.clone()).prop_map(|(from, to)| Step::Send(from, to)),
        2 => (stream.clone(), from.clone(), to.clone()).prop_map(|(stream, from, to)| Step::Ready(stream, from, to)),
        1 => (from, to).prop_map(|(from, to)| Step::Failed(from, to)),
        1 => stream.prop_map(Step::Closed),
        1 => (0..8_u8).prop_map(Step::Pass),
    ]
}

type Key = (u8, u8);

/// What has happened to the stanzas of each pair, which are numbered.
#[derive(Default)]
struct World {
    sent: u32,
    /// The numbers that went out, and those that came back, of each pair.
    out: BTreeMap<Key, Vec<u32>>,
    back: Vec<u32>,
    waiting: usize,
    /// The stream of each pair; `None` while one is being opened.
    streams: BTreeMap<Key, Option<u8>>,
}

fn number(stanza: &Stanza) -> u32 {
    stanza.head.id.as_deref().unwrap().parse().unwrap()
}

proptest! {
    // RFC 6120 §10.1 [N19]: one output stream for a pair of domains at a time, on which the order is kept; nothing is lost
    #[test]
    fn one_stream_for_a_pair_and_order_on_it(steps in proptest::collection::vec(step(), 0..60)) {
        let mut outgoing = Outgoing::<u8>::new(limits());
        let (mut world, mut now) = (World::default(), Instant::ZERO);
        for step in steps {
            match step {
                Step::Send(from, to) => {
                    let id = world.sent.to_string();
                    world.sent += 1;
                    let stanza = Stanza::message(MessageType::Chat).id(&id);
                    let open = world.streams.get(&(from, to)).copied();
                    match outgoing.dispatch(now, &domain(from), &domain(to), stanza) {
                        Dispatch::Open => {
                            prop_assert_eq!(open, None, "a second stream");
                            world.streams.insert((from, to), None);
                            world.waiting += 1;
                        }
                        Dispatch::Wait => {
                            prop_assert_eq!(open, Some(None));
                            world.waiting += 1;
                        }
                        Dispatch::Send(stream, stanza) => {
                            prop_assert_eq!(open, Some(Some(stream)));
                            world.out.entry((from, to)).or_default().push(number(&stanza));
                        }
                        Dispatch::Refuse(stanza) => {
                            prop_assert_eq!(open, Some(None));
                            world.back.push(number(&stanza));
                        }
                    }
                }
                Step::Ready(stream, from, to) => {
                    let line = outgoing.ready(stream, &domain(from), &domain(to));
                    let open = world.streams.get(&(from, to)).copied();
                    prop_assert_eq!(open == Some(None), !line.is_empty());
                    if open == Some(None) {
                        world.streams.insert((from, to), Some(stream));
                    }
                    world.waiting -= line.len();
                    world.out.entry((from, to)).or_default().extend(line.iter().map(number));
                }
                Step::Failed(from, to) => {
                    let line = outgoing.failed(&domain(from), &domain(to));
                    prop_assert!(line.len() <= limits().asks);
                    world.waiting -= line.len();
                    world.back.extend(line.iter().map(number));
                    world.streams.retain(|pair, stream| *pair != (from, to) || stream.is_some());
                }
                Step::Closed(stream) => {
                    outgoing.closed(stream);
                    world.streams.retain(|_, open| *open != Some(stream));
                }
                Step::Pass(seconds) => {
                    now = now + Duration::from_secs(seconds.into());
                    let late = outgoing.expire(now);
                    world.waiting -= late.len();
                    world.back.extend(late.iter().map(number));
                    prop_assert!(outgoing.deadline().is_none_or(|at| at > now));
                    if outgoing.deadline().is_none() {
                        world.streams.retain(|_, stream| stream.is_some());
                    } else if !late.is_empty() {
                        // Some pairs of them; ask which, by what they do.
                        let waits: Vec<Key> =
                            world.streams.iter().filter(|(_, s)| s.is_none()).map(|(key, _)| *key).collect();
                        for (from, to) in waits {
                            let line = outgoing.failed(&domain(from), &domain(to));
                            world.waiting -= line.len();
                            world.back.extend(line.iter().map(number));
                            world.streams.remove(&(from, to));
                        }
                    }
                }
            }
            for sent in world.out.values() {
                prop_assert!(sent.is_sorted(), "{:?}", sent);
            }
            let gone = world.out.values().map(Vec::len).sum::<usize>() + world.back.len();
            prop_assert_eq!(gone + world.waiting, world.sent as usize, "lost, or twice");
        }
    }
}
