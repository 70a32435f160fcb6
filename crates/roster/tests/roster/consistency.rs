//! Two rosters, each the other's only contact: whatever their users do, both servers come to agree.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_roster::{Decision, Item, Parts, Roster, RosterConfig, State, Version};
use balcony_stanza::{PresenceType, Stanza};

use crate::world::{TYPES, bare};

/// One side, as far as it matters to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Side {
    state: State,
    has_item: bool,
    approved: bool,
    /// Whether the other side has last been sent presence of an available resource.
    shown: bool,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Send(PresenceType),
    Remove,
}

fn names() -> [BareJid; 2] {
    [bare("juliet@example.com"), bare("romeo@example.net")]
}

fn roster(own: usize, side: Side) -> Roster {
    let [own, other] = [&names()[own], &names()[1 - own]];
    let mut item = Item::new(other.clone());
    (item.subscription, item.ask) = (side.state.subscription(), side.state.is_pending_out());
    item.approved = side.approved;
    let request = Stanza::presence(PresenceType::Subscribe).with_from(other.to_jid()).with_to(own.to_jid());
    let parts = Parts {
        version: Version(1),
        items: side.has_item.then_some(item).into_iter().collect(),
        requests: side.state.is_pending_in().then(|| Arc::new(request)).into_iter().collect(),
        changes: vec![],
    };
    Roster::from_parts(own.clone(), parts, RosterConfig::default())
}

/// Lets one user act, and delivers what comes of it until nothing more does.
fn act(sides: [Side; 2], actor: usize, action: Action) -> [Side; 2] {
    let mut rosters = [roster(0, sides[0]), roster(1, sides[1])];
    let mut shown = sides.map(|side| side.shown);
    let mut decisions = Vec::new();
    match action {
        Action::Send(kind) => {
            let stanza = Stanza::presence(kind).with_to(names()[1 - actor].to_jid());
            rosters[actor].outbound(stanza, &mut decisions).unwrap();
        }
        Action::Remove => rosters[actor].remove(&names()[1 - actor], &mut decisions).unwrap(),
    }
    let mut waiting: VecDeque<_> = decisions.into_iter().map(|decision| (actor, decision)).collect();
    let mut steps = 0;
    while let Some((at, decision)) = waiting.pop_front() {
        steps += 1;
        assert!(steps < 50, "{sides:?} {actor} {action:?}: the servers answer each other for ever");
        match decision {
            Decision::Send(stanza) => {
                let mut decisions = Vec::new();
                rosters[1 - at].inbound(stanza, &mut decisions);
                waiting.extend(decisions.into_iter().map(|decision| (1 - at, decision)));
            }
            Decision::Available(_) => shown[at] = true,
            Decision::Unavailable(_) => shown[at] = false,
            Decision::Save(_) | Decision::Result | Decision::Push(_) | Decision::Deliver { .. } => {}
        }
    }
    [0, 1].map(|own| {
        let other = &names()[1 - own];
        let item = rosters[own].item(other);
        Side {
            state: rosters[own].state(other),
            has_item: item.is_some(),
            approved: item.is_some_and(|item| item.approved),
            shown: shown[own],
        }
    })
}

// RFC 6121 §3, §A.1: what one side sees is what the other shows, what one has asked waits at the other, and nobody is shown
// presence without a subscription (§11 [SC1, SC3]). All histories of any length: the pairs of states are few.
#[test]
fn both_sides_agree() {
    let actions = TYPES.map(Action::Send).into_iter().chain([Action::Remove]).collect::<Vec<_>>();
    let mut seen = BTreeSet::from([[Side::default(); 2]]);
    let mut waiting: VecDeque<_> = seen.iter().copied().collect();
    while let Some(sides) = waiting.pop_front() {
        for (own, other) in [(sides[0], sides[1]), (sides[1], sides[0])] {
            let (sub, contra) = (own.state.subscription(), other.state.subscription());
            assert_eq!(sub.has_to(), contra.has_from(), "{sides:?}");
            assert_eq!(own.state.is_pending_out(), other.state.is_pending_in(), "{sides:?}");
            assert_eq!(own.shown, sub.has_from(), "{sides:?}");
            assert!(!own.approved || !(sub.has_from() || own.state.is_pending_in()), "{sides:?}");
            assert!(own.has_item || crate::world::may_lack_item(own.state), "{sides:?}");
        }
        for actor in [0, 1] {
            for &action in &actions {
                if matches!(action, Action::Remove) && !sides[actor].has_item {
                    continue;
                }
                let next = act(sides, actor, action);
                if seen.insert(next) {
                    waiting.push_back(next);
                }
            }
        }
    }
    // Every state is reached on either side.
    for own in [0, 1] {
        let states: BTreeSet<State> = seen.iter().map(|sides| sides[own].state).collect();
        assert_eq!(states.len(), 9);
    }
}

/// Two servers by their tables, with stanzas under way between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    states: [State; 2],
    /// What is on its way to either side: places in `TYPES`.
    to: [VecDeque<usize>; 2],
}

impl Flight {
    fn send(mut self, own: usize, kind: usize) -> Self {
        if let Some(next) = self.states[own].outbound(TYPES[kind]) {
            self.states[own] = next;
            self.to[1 - own].push_back(kind);
        }
        self
    }

    fn arrive(mut self, own: usize) -> Option<Self> {
        let kind = TYPES[self.to[own].pop_front()?];
        let before = self.states[own];
        self.states[own] = before.inbound(kind).unwrap_or(before);
        let reply = before.reply(kind);
        self.to[1 - own].extend(reply.and_then(|reply| TYPES.iter().position(|&kind| kind == reply)));
        Some(self)
    }

    fn is_at_rest(&self) -> bool {
        self.to.iter().all(VecDeque::is_empty)
    }

    fn settle(mut self) -> Self {
        while let Some(next) = self.clone().arrive(0).or_else(|| self.clone().arrive(1)) {
            self = next;
        }
        self
    }
}

// RFC 6121 §3, §A.2, §A.3: stanzas can cross. The RFC's tables then let a server believe that the other side still sees or
// still asks, but never that its own user sees or waits for an answer in vain; and asking again mends the rest.
#[test]
fn crossing_stanzas_mislead_nobody_about_their_own() {
    let mut seen = BTreeSet::from([Flight::default()]);
    let mut waiting: VecDeque<_> = seen.iter().cloned().collect();
    let mut mended = 0;
    while let Some(now) = waiting.pop_front() {
        for own in [0, 1] {
            if now.is_at_rest() {
                let agrees = |flight: &Flight| {
                    let (own, other) = (flight.states[own], flight.states[1 - own]);
                    let sees = (own.subscription().has_to(), other.subscription().has_from());
                    let asks = (own.is_pending_out(), other.is_pending_in());
                    assert!(sees.1 || !sees.0, "{flight:?}");
                    assert!(asks.1 || !asks.0, "{flight:?}");
                    sees.0 == sees.1 && asks.0 == asks.1
                };
                mended += usize::from(!agrees(&now));
                assert!(agrees(&now.clone().send(own, 0).settle()), "{now:?}");
            }
            let sent = (0..TYPES.len()).map(|kind| now.clone().send(own, kind));
            for next in sent.chain(now.clone().arrive(own)) {
                if next.to.iter().all(|queue| queue.len() <= 3) && seen.insert(next.clone()) {
                    waiting.push_back(next);
                }
            }
        }
    }
    assert!(mended > 0);
}
