//! The model of client state indication, beside the real router, through random histories: a session gets what it would have got without,
//! in the same order, only later, and of what a later one replaces the last.

use std::collections::BTreeMap;

use balcony_router::extension::Extensions;
use balcony_router::extension::offline::Offline;
use balcony_router::{Effect, SessionId};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};
use balcony_xep::csi::ClientState;
use proptest::prelude::*;

use crate::csi::says;
use crate::histories::{Op, address, grants, op, step, world_with};
use crate::model::{ACCOUNTS, MOST_STORED};
use crate::world::{World, bare, content, jid, wire};

/// What a message may hold.
const CONTENTS: [&str; 8] = [
    "<body>x</body>",
    "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
    "<paused xmlns='http://jabber.org/protocol/chatstates'/><thread>1</thread>",
    "<received xmlns='urn:xmpp:receipts' id='1'/>",
    "<x xmlns='jabber:x:conference' jid='room@muc.example.org'/>",
    "<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>",
    "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
    "<body>x</body><active xmlns='http://jabber.org/protocol/chatstates'/>",
];
/// Those of them that a person would want to see, by what is in them.
const URGENT: [&str; 3] = ["<body>", "jabber:x:conference", "jingle-message"];

#[derive(Clone, Debug)]
enum Event {
    Step(Op),
    /// A session sends a message of this kind, with one of the contents.
    Say(usize, MessageType, usize, usize),
    /// A session says whether somebody uses it.
    Use(usize, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        3 => Just(MessageType::Chat),
        1 => Just(MessageType::Normal),
        1 => Just(MessageType::Headline),
        1 => Just(MessageType::Error),
    ];
    prop_oneof![
        6 => op().prop_map(Event::Step),
        4 => (0..12_usize, kind, 0..CONTENTS.len(), 0..12_usize)
            .prop_map(|(session, kind, content, to)| Event::Say(session, kind, content, to)),
        3 => (0..12_usize, prop_oneof![1 => Just(true), 3 => Just(false)]).prop_map(|(session, is_used)| Event::Use(session, is_used)),
    ]
}

/// How a stanza comes for a client that nobody uses.
enum Way {
    Urgent,
    Held,
    /// In the place of the last one of this name.
    Latest(String),
}

fn way(stanza: &Stanza) -> Way {
    let from = stanza.head.from.as_ref().map(ToString::to_string).unwrap_or_default();
    let to = stanza.head.to.as_ref().map(ToString::to_string).unwrap_or_default();
    match stanza.head.kind {
        Kind::Presence(PresenceType::Available | PresenceType::Unavailable) => Way::Latest(from),
        // What comes from the store has been stamped by the server.
        _ if wire(stanza).contains("from='x.example' stamp=")
            || wire(stanza).contains("from='y.example' stamp=") =>
        {
            Way::Urgent
        }
        Kind::Message(kind) if kind != MessageType::Error => {
            let xml = wire(stanza);
            let (copy, message) = xml.split_once("<forwarded").unwrap_or(("", &xml));
            let is_copy = !copy.is_empty();
            let names = message.split_once(" from=").map(|(_, rest)| {
                [" type=", " id=", ">"].iter().fold(rest, |rest, end| rest.split(end).next().unwrap_or(rest))
            });
            if URGENT.iter().any(|mark| message.contains(mark)) || is_copy && message.contains("type='error'")
            {
                Way::Urgent
            } else if message.contains("chatstates") {
                Way::Latest(if is_copy {
                    names.unwrap_or_default().to_owned()
                } else {
                    format!("'{from}' to='{to}'")
                })
            } else if copy.contains("<sent ") {
                Way::Urgent
            } else {
                Way::Held
            }
        }
        _ => Way::Urgent,
    }
}

/// What is held for each session that nobody uses.
#[derive(Default)]
struct Model(BTreeMap<SessionId, Vec<(Option<String>, Stanza)>>);

impl Model {
    /// What the session gets when this comes.
    fn comes(&mut self, session: SessionId, stanza: &Stanza) -> Vec<Stanza> {
        let Some(held) = self.0.get_mut(&session) else { return vec![stanza.clone()] };
        match way(stanza) {
            Way::Urgent => {
                let mut all: Vec<_> = held.drain(..).map(|(_, stanza)| stanza).collect();
                all.push(stanza.clone());
                return all;
            }
            Way::Held => held.push((None, stanza.clone())),
            Way::Latest(name) => {
                held.retain(|(before, _)| before.as_ref() != Some(&name));
                held.push((Some(name), stanza.clone()));
            }
        }
        vec![]
    }

    fn uses(&mut self, session: SessionId, is_used: bool) -> Vec<Stanza> {
        if !is_used {
            self.0.entry(session).or_default();
            return vec![];
        }
        self.0.remove(&session).unwrap_or_default().into_iter().map(|(_, stanza)| stanza).collect()
    }
}

fn live(world: &World) -> Vec<SessionId> {
    ACCOUNTS.iter().flat_map(|account| world.router.sessions(&bare(account)).collect::<Vec<_>>()).collect()
}

/// The sessions that may end with this.
fn ending(world: &World, event: &Event) -> Vec<SessionId> {
    let all = live(world);
    match *event {
        Event::Step(Op::Unbind(place)) => all.get(place % all.len().max(1)).copied().into_iter().collect(),
        Event::Step(Op::Bind(account, _) | Op::Remove(account)) => {
            world.router.sessions(&bare(ACCOUNTS[account])).collect()
        }
        _ => vec![],
    }
}

/// What comes to each session, in order; and all else.
fn sort(effects: Vec<Effect>) -> (BTreeMap<SessionId, Vec<Stanza>>, Vec<Effect>) {
    let (mut to, mut rest) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
    for effect in effects {
        match effect {
            Effect::Deliver { session, stanza } => {
                to.entry(session).or_default().push(Stanza::clone(&stanza))
            }
            other => rest.push(other),
        }
    }
    (to, rest)
}

fn happen(world: &mut World, sessions: &mut u64, number: usize, event: &Event) -> Vec<Effect> {
    match event {
        Event::Step(op) => step(world, sessions, number, op),
        Event::Say(place, kind, content_index, to) => {
            let all = live(world);
            let Some(session) = all.get(place % all.len().max(1)).copied() else { return vec![] };
            let mut stanza = content(CONTENTS[*content_index]);
            stanza.head.kind = Kind::Message(*kind);
            world.send(session, stanza.with_to(jid(&address(*to))).with_id(number.to_string()))
        }
        Event::Use(place, is_used) => {
            let all = live(world);
            let Some(session) = all.get(place % all.len().max(1)).copied() else { return vec![] };
            let state = if *is_used { ClientState::Active } else { ClientState::Inactive };
            says(world, session, state)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // XEP-0352 §3.2, §5.1: in any history a client gets exactly what the model says; nobody else is affected. Sessions that end are used again
    // before, since what they have not got goes elsewhere.
    #[test]
    fn delivers_like_the_model(grants in grants(), events in prop::collection::vec(event(), 1..100)) {
        let standard = || Extensions::standard().with(Offline { messages: MOST_STORED, ..Offline::default() });
        let mut with = world_with(&grants, standard().build().unwrap());
        let mut without = world_with(&grants, standard().without("csi").build().unwrap());
        let (mut model, mut one, mut two) = (Model::default(), 0, 0);
        for (number, event) in events.iter().enumerate() {
            for session in ending(&with, event) {
                let (got, _) = sort(says(&mut with, session, ClientState::Active));
                prop_assert_eq!(got.get(&session).cloned().unwrap_or_default(), model.uses(session, true));
            }
            let mut expected = BTreeMap::<SessionId, Vec<Stanza>>::new();
            if let Event::Use(place, is_used) = event {
                let all = live(&with);
                if let Some(session) = all.get(place % all.len().max(1)) {
                    expected.insert(*session, model.uses(*session, *is_used));
                }
            }
            let (would, would_too) = sort(happen(&mut without, &mut one, number, event));
            for (session, stanzas) in &would {
                for stanza in stanzas {
                    expected.entry(*session).or_default().extend(model.comes(*session, stanza));
                }
            }
            expected.retain(|_, stanzas| !stanzas.is_empty());
            let (got, got_too) = sort(happen(&mut with, &mut two, number, event));
            prop_assert_eq!(got, expected, "step {} {:?}", number, event);
            prop_assert_eq!(got_too, would_too, "step {} {:?}", number, event);
        }
    }
}
