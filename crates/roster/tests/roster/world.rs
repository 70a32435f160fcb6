//! What the tests share: rosters in a given state, stanzas, and decisions as words.

use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_roster::{Audience, Decision, Item, Parts, Push, Roster, RosterConfig, State, Version};
use balcony_stanza::PresenceType as P;
use balcony_stanza::{Kind, PresenceType, Stanza};

pub(crate) const USER: &str = "juliet@example.com";
pub(crate) const CONTACT: &str = "romeo@example.net";

/// The types that manage subscriptions, in the order of the appendix.
pub(crate) const TYPES: [PresenceType; 4] = [P::Subscribe, P::Unsubscribe, P::Subscribed, P::Unsubscribed];

pub(crate) fn bare(text: &str) -> BareJid {
    text.parse().unwrap()
}

pub(crate) fn contact() -> BareJid {
    bare(CONTACT)
}

pub(crate) fn empty(config: RosterConfig) -> Roster {
    Roster::new(bare(USER), Version(1), config)
}

/// A stanza of the user's client. The `id` tells it from what the server makes.
pub(crate) fn outgoing(kind: PresenceType, to: &str) -> Stanza {
    Stanza::presence(kind)
        .with_from(format!("{USER}/balcony").parse().unwrap())
        .with_to(to.parse().unwrap())
        .with_id("id")
}

/// A stanza of a contact.
pub(crate) fn incoming(kind: PresenceType, from: &str) -> Stanza {
    Stanza::presence(kind).with_from(from.parse().unwrap()).with_to(USER.parse().unwrap()).with_id("id")
}

/// How the contact would show in the roster in this state.
pub(crate) fn item(state: State) -> Item {
    let mut item = Item::new(contact());
    item.name = Some("Romeo".into());
    item.groups = vec!["Friends".into()];
    item.subscription = state.subscription();
    item.ask = state.is_pending_out();
    item
}

/// A roster with this state, and with this item if there is one.
pub(crate) fn roster(state: State, item: Option<Item>, config: RosterConfig) -> Roster {
    let request = state.is_pending_in().then(|| Arc::new(incoming(P::Subscribe, CONTACT)));
    let parts = Parts {
        version: Version(1),
        items: item.into_iter().collect(),
        requests: request.into_iter().collect(),
        changes: vec![],
    };
    let roster = Roster::from_parts(bare(USER), parts, config);
    assert_eq!(roster.state(&contact()), state);
    roster
}

/// The states in which a contact need not be in the roster.
pub(crate) fn may_lack_item(state: State) -> bool {
    matches!(state, State::None | State::NonePendingIn)
}

pub(crate) fn type_name(kind: PresenceType) -> &'static str {
    Kind::Presence(kind).type_name().unwrap()
}

pub(crate) fn type_of(stanza: &Stanza) -> PresenceType {
    match stanza.head.kind {
        Kind::Presence(kind) => kind,
        other => panic!("{other:?} is no presence"),
    }
}

/// The decisions in the words of `appendix_a.txt`.
pub(crate) fn words(decisions: &[Decision]) -> String {
    let word = |decision: &Decision| match decision {
        Decision::Save(_) => "save".to_owned(),
        Decision::Result => "result".to_owned(),
        Decision::Push(_) => "push".to_owned(),
        Decision::Deliver { to: Audience::Available, .. } => "deliver:available".to_owned(),
        Decision::Deliver { to: Audience::Interested, .. } => "deliver:interested".to_owned(),
        Decision::Send(stanza) if stanza.head.id.is_some() => "send".to_owned(),
        Decision::Send(stanza) => format!("send:{}", type_name(type_of(stanza))),
        Decision::Available(_) => "available".to_owned(),
        Decision::Unavailable(_) => "unavailable".to_owned(),
    };
    decisions.iter().map(word).collect::<Vec<_>>().join(" ")
}

pub(crate) fn pushes(decisions: &[Decision]) -> Vec<&Push> {
    let mut pushes = Vec::new();
    for decision in decisions {
        if let Decision::Push(push) = decision {
            pushes.push(push);
        }
    }
    pushes
}

/// Every decision is about the contact, and everything that is sent goes from the bare to the bare address.
pub(crate) fn assert_addresses(decisions: &[Decision]) {
    for decision in decisions {
        match decision {
            Decision::Save(about) | Decision::Available(about) | Decision::Unavailable(about) => {
                assert_eq!(about, &contact());
            }
            Decision::Send(stanza) => {
                assert_eq!(stanza.head.from.as_ref().map(|from| from.as_str()), Some(USER));
                assert_eq!(stanza.head.to.as_ref().map(|to| to.as_str()), Some(CONTACT));
            }
            Decision::Deliver { stanza, .. } => {
                assert_eq!(stanza.head.from.as_ref().map(|from| from.as_str()), Some(CONTACT));
            }
            Decision::Push(_) | Decision::Result => {}
        }
    }
}
