//! Each extension left out in turn, and none of them passed over.
//!
//! What an extension does is there with it, and gone without it; what it keeps stays where it is. Histories that do not use it do not
//! change.

use std::collections::BTreeSet;

use balcony_router::extension::offline::Offline;
use balcony_router::extension::{Addressee, Asked, Builder, Extensions};
use balcony_router::{Ask, Change, Collections, Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, Stanza};
use balcony_xep::csi::ClientState;
use proptest::prelude::*;

use crate::histories::{Grants, Op, grants, op, step, world_with};
use crate::model::{ACCOUNTS, MOST_STORED};
use crate::world::{World, available, bare, condition, config, content, document, jid, request, wires};

const JULIET: &str = "juliet@example.com";

/// Those of a server that nobody has configured, by their names.
fn names() -> Vec<&'static str> {
    Extensions::default().names().to_vec()
}

fn world(extensions: Builder) -> World {
    let mut config = config();
    config.extensions = extensions.build().unwrap();
    World::with(config)
}

/// The same store, and another server.
fn restart(old: World, extensions: Builder) -> World {
    let mut world = world(extensions);
    world.store = old.store;
    world
}

/// What of the first is not in the second.
fn lost<T: Clone + PartialEq>(
    with: impl IntoIterator<Item = T>,
    without: impl IntoIterator<Item = T>,
) -> Vec<T> {
    let without: Vec<T> = without.into_iter().collect();
    with.into_iter().filter(|one| !without.contains(one)).collect()
}

/// What the server says about itself or the account, if it answers.
fn announced(world: &mut World, session: SessionId, of: Addressee) -> Option<BTreeSet<String>> {
    let mut get = request(IqType::Get, "<query xmlns='http://jabber.org/protocol/disco#info'/>");
    get.head.to = (of == Addressee::Server).then(|| jid("example.com"));
    let told = wires(&world.send(session, get), session);
    let [wire] = &told[..] else { panic!("{told:?}") };
    let features =
        wire.split("<feature var='").skip(1).map(|rest| rest.split_once('\'').unwrap().0.to_owned());
    wire.contains("type='result'").then(|| features.collect())
}

/// What becomes of a request of a client to its account or server: the condition, if it is an error.
fn asked(world: &mut World, session: SessionId, asked: Asked) -> Option<String> {
    let mut stanza = request(asked.kind, &format!("<{} xmlns='{}'/>", asked.name, asked.namespace));
    stanza.head.to = (asked.of == Addressee::Server).then(|| jid("example.com"));
    let effects = world.send(session, stanza);
    let answers: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Deliver { session: to, stanza }
                if *to == session && matches!(stanza.head.kind, Kind::Iq(IqType::Result | IqType::Error)) =>
            {
                Some(stanza)
            }
            _ => None,
        })
        .collect();
    let [answer] = &answers[..] else { panic!("{asked:?}: {effects:?}") };
    answer.head.kind.is_error().then(|| condition(answer).unwrap())
}

// XEP-0030 2.5.0 §3.1: what is announced is what is registered, with each extension and without it; and each request that it answers is
// refused without it as one that nobody knows.
#[test]
fn features_and_answers() {
    let standard = Extensions::default();
    for name in names() {
        let without = Extensions::standard().without(name).build().unwrap();
        assert_eq!(lost(names(), without.names().to_vec()), [name]);
        for (extensions, is_there) in [(&standard, true), (&without, false)] {
            let mut config = config();
            config.extensions = extensions.clone();
            let mut world = World::with(config);
            let balcony = world.connect("juliet@example.com/balcony");
            for of in [Addressee::Server, Addressee::Account] {
                let expected = (is_there || name != "disco")
                    .then(|| extensions.features(of).map(String::from).collect());
                assert_eq!(announced(&mut world, balcony, of), expected, "{name} {of:?}");
            }
            for request in lost(standard.requests(), without.requests()) {
                let is_refused =
                    asked(&mut world, balcony, request) == Some("service-unavailable/cancel".to_owned());
                assert_eq!(is_refused, !is_there, "{name} {request:?}");
            }
        }
        // Each answers something, takes elements, or does something with messages.
        let does = lost(standard.requests(), without.requests()).len()
            + lost(standard.elements(), without.elements()).len();
        assert!(does > 0 || name == "offline", "{name}");
    }
    // No two answer the same, and what there is stands in docs/extensions.md.
    let all: Vec<_> = standard.requests().collect();
    let distinct: BTreeSet<_> = all
        .iter()
        .map(|one| (one.of == Addressee::Server, one.kind == IqType::Set, one.name, one.namespace))
        .collect();
    assert_eq!(distinct.len(), all.len());
    let docs = include_str!("../../../../docs/extensions.md");
    for name in names().into_iter().chain(all.iter().map(|one| one.namespace)) {
        assert!(docs.contains(&format!("`{name}`")), "{name}");
    }
}

// XEP-0386 1.1.0 §3: what can be wanted at once is gone, too, and wanting it all the same does nothing.
#[test]
fn wanted_at_once() {
    let wanted = |extensions: Extensions| extensions.bind_inline().collect::<Vec<_>>();
    assert_eq!(wanted(Extensions::default()), ["urn:xmpp:carbons:2", "urn:xmpp:csi:0"]);
    assert_eq!(wanted(Extensions::standard().without("carbons").build().unwrap()), ["urn:xmpp:csi:0"]);
    assert_eq!(wanted(Extensions::standard().without("csi").build().unwrap()), ["urn:xmpp:carbons:2"]);
    let without = Extensions::standard().without("carbons");
    let mut world = self::world(without);
    assert_eq!(copies_of_one_bound(&mut world), 0);
    let mut world = self::world(Extensions::standard());
    assert_eq!(copies_of_one_bound(&mut world), 1);
}

// XEP-0352 1.0.0 §4.1: what is announced on a stream, and what is taken there beside stanzas, is gone, too; and who says all the same that
// nobody looks gets everything.
#[test]
fn said_on_the_stream() {
    let (with, without) = (Extensions::default(), Extensions::standard().without("csi").build().unwrap());
    assert_eq!(with.stream_features().collect::<Vec<_>>(), [("csi", "urn:xmpp:csi:0")]);
    assert_eq!(
        with.elements().collect::<Vec<_>>(),
        [("active", "urn:xmpp:csi:0"), ("inactive", "urn:xmpp:csi:0")]
    );
    assert_eq!((without.stream_features().count(), without.elements().count()), (0, 0));
    for (extensions, gets) in [(Extensions::standard(), 0), (Extensions::standard().without("csi"), 1)] {
        let mut world = self::world(extensions);
        let hall = world.available("juliet@example.com/hall", 0);
        crate::csi::says(&mut world, hall, ClientState::Inactive);
        let romeo = world.connect("romeo@example.net/street");
        let receipt = content("<received xmlns='urn:xmpp:receipts' id='1'/>").with_to(jid(JULIET));
        assert_eq!(wires(&world.send(romeo, receipt), hall).len(), gets);
    }
}

/// How many copies a client gets that has wanted them when it bound.
fn copies_of_one_bound(world: &mut World) -> usize {
    let hall = world.connect("juliet@example.com/hall");
    let wanted = content("<enable xmlns='urn:xmpp:carbons:2'/>");
    world.router.bind_inline(hall, wanted.payload.parse().unwrap().root(), &mut Vec::new());
    let balcony = world.available("juliet@example.com/balcony", 0);
    let mut chat = content("<body>x</body>").with_to(jid("nobody@example.com"));
    chat.head.kind = Kind::Message(MessageType::Chat);
    wires(&world.send(balcony, chat), hall).len()
}

/// The documents and entries that the store has of an account.
fn kept(world: &World) -> Vec<String> {
    let account = bare(JULIET);
    let documents = ["blocked", "private", "private-sizes", "vcard"].into_iter().flat_map(|collection| {
        world
            .store
            .documents(&account, collection)
            .map(move |(key, content)| format!("{collection} {key} {:?}", content.bytes))
    });
    let entries = world
        .store
        .entries(&account, "offline")
        .map(|entry| format!("{} {:?}", entry.number, entry.content.bytes));
    documents.chain(entries).collect()
}

fn chat() -> Stanza {
    let mut chat = content("<body>x</body>").with_to(jid(JULIET));
    chat.head.kind = Kind::Message(MessageType::Chat);
    chat
}

/// What of Juliet's is there to be seen: whom she has blocked, her notes, her card, and a message that waits.
fn seen(world: &mut World) -> Vec<&'static str> {
    let romeo = world.connect("romeo@example.net/street");
    let hall = world.connect("juliet@example.com/hall");
    let mut seen = Vec::new();
    for (name, stanza, mark) in [
        ("blocking", request(IqType::Get, "<blocklist xmlns='urn:xmpp:blocking'/>"), "tybalt@example.com"),
        (
            "private",
            request(IqType::Get, "<query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query>"),
            "a note",
        ),
        ("vcard", request(IqType::Get, "<vCard xmlns='vcard-temp'/>"), "<FN>Juliet</FN>"),
    ] {
        if wires(&world.send(hall, stanza), hall)[0].contains(mark) {
            seen.push(name);
        }
    }
    if wires(
        &world.send(romeo, request(IqType::Get, "<vCard xmlns='vcard-temp'/>").with_to(jid(JULIET))),
        romeo,
    )[0]
    .contains("Juliet<")
        != seen.contains(&"vcard")
    {
        seen.push("vcard for others");
    }
    let tybalt = world.connect("tybalt@example.com/lane");
    world.send(hall, available(-1));
    let balcony = world.connect("juliet@example.com/balcony");
    if wires(&world.send(balcony, available(0)), balcony).iter().any(|wire| wire.contains("<body>")) {
        seen.push("offline");
    }
    if wires(&world.send(tybalt, chat()), balcony).is_empty() != seen.contains(&"blocking") {
        seen.push("blocking for others");
    }
    seen
}

// What an extension has kept stays when it is left out, hidden, and is back when it is back.
#[test]
fn what_is_kept() {
    let all = ["blocking", "private", "vcard", "offline"];
    for name in names() {
        let mut world = world(Extensions::standard());
        let hall = world.connect("juliet@example.com/hall");
        let romeo = world.connect("romeo@example.net/street");
        for child in [
            "<block xmlns='urn:xmpp:blocking'><item jid='tybalt@example.com'/></block>",
            "<query xmlns='jabber:iq:private'><a xmlns='urn:a'>a note</a></query>",
            "<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>",
        ] {
            assert_eq!(world.says(hall, request(IqType::Set, child)), ["hall: iq result"]);
        }
        world.send(romeo, chat());
        let before = kept(&world);
        assert_eq!(before.len(), 5, "{before:?}");
        let mut without = restart(world, Extensions::standard().without(name));
        let expected: Vec<_> = all.into_iter().filter(|one| *one != name).collect();
        assert_eq!(seen(&mut without), expected);
        // Messages that were delivered are no more.
        let after: Vec<_> = before
            .iter()
            .filter(|line| name == "offline" || line.contains(' ') && !line.starts_with(char::is_numeric))
            .cloned()
            .collect();
        assert_eq!(kept(&without), after, "without {name}");
        if name != "offline" {
            let again = without.connect("romeo@example.net/again");
            let sessions: Vec<_> = without.router.sessions(&bare(JULIET)).collect();
            for session in sessions {
                without.unbound(session);
            }
            without.send(again, chat());
        }
        let mut back = restart(without, Extensions::standard());
        assert_eq!(seen(&mut back), all, "with {name} again");
    }
}

// A damaged document hurts nobody whose server does not have the extension.
#[test]
fn what_is_not_looked_at() {
    let mut world = world(Extensions::standard().without("private"));
    world.store.create(bare(JULIET));
    document(&mut world, JULIET, "private-sizes", "x", b"no size");
    let balcony = world.connect("juliet@example.com/balcony");
    assert_eq!(world.router.sessions(&bare(JULIET)).collect::<Vec<_>>(), [balcony]);
}

/// A step of a history: an operation of the core and others, or a request that an extension answers.
#[derive(Clone, Debug)]
enum Event {
    Step(Op),
    Ask(usize, prop::sample::Index),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => op().prop_map(Event::Step),
        1 => (0..12_usize, any::<prop::sample::Index>()).prop_map(|(session, request)| Event::Ask(session, request)),
    ]
}

/// With room for a few messages.
fn standard() -> Builder {
    Extensions::standard().with(Offline { messages: MOST_STORED, ..Offline::default() })
}

/// Whether an event is a request to the extension that is left out.
fn uses(name: &str, event: &Event, requests: &[Asked], left: &[Asked]) -> bool {
    match event {
        Event::Step(Op::Block(..) | Op::Unblock(..)) => name == "blocking",
        Event::Step(Op::Carbons(..)) => name == "carbons",
        Event::Step(_) => false,
        Event::Ask(_, index) => {
            let asked = index.get(requests);
            // Discovery tells of all of them.
            !left.contains(asked) || asked.namespace.ends_with("#info")
        }
    }
}

fn happen(
    world: &mut World,
    sessions: &mut u64,
    number: usize,
    event: &Event,
    requests: &[Asked],
) -> Vec<Effect> {
    match event {
        Event::Step(op) => step(world, sessions, number, op),
        Event::Ask(place, index) => {
            let live: Vec<_> = ACCOUNTS
                .iter()
                .flat_map(|account| world.router.sessions(&bare(account)).collect::<Vec<_>>())
                .collect();
            let Some(session) = live.get(place % live.len().max(1)).copied() else { return vec![] };
            let asked = index.get(requests);
            let mut stanza = request(asked.kind, &format!("<{} xmlns='{}'/>", asked.name, asked.namespace));
            stanza.head.to = (asked.of == Addressee::Server).then(|| jid("x.example"));
            world.send(session, stanza.with_id(number.to_string()))
        }
    }
}

/// The same effects, but for which collections are loaded.
fn alike(effects: Vec<Effect>) -> Vec<Effect> {
    let mut effects = effects;
    for effect in &mut effects {
        if let Effect::Ask { ask: Ask::Load { collections, .. }, .. } = effect {
            *collections = Collections::from([]);
        }
    }
    effects
}

fn is_kept(effect: &Effect) -> bool {
    matches!(effect, Effect::Ask { ask: Ask::Save { changes, .. }, .. } if matches!(changes[..], [Change::Log { .. }]))
}

fn built(grants: &Grants, extensions: Builder) -> World {
    world_with(grants, extensions.build().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    // A history that does not use an extension is the same without it, effect for effect and byte for byte.
    #[test]
    fn a_history_that_does_not_use_it(grants in grants(), events in prop::collection::vec(event(), 1..60)) {
        let standard_requests: Vec<_> = Extensions::default().requests().collect();
        for name in names() {
            let (mut with, mut without) = (built(&grants, standard()), built(&grants, standard().without(name)));
            let left: Vec<_> = Extensions::standard().without(name).build().unwrap().requests().collect();
            let (mut one, mut two) = (0, 0);
            let events = events.iter().enumerate().filter(|(_, event)| !uses(name, event, &standard_requests, &left));
            for (number, event) in events {
                let expected = happen(&mut with, &mut one, number, event, &standard_requests);
                // From here on it is used.
                if name == "offline" && expected.iter().any(is_kept) {
                    break;
                }
                let effects = happen(&mut without, &mut two, number, event, &standard_requests);
                prop_assert_eq!(alike(effects), alike(expected), "without {}: step {} {:?}", name, number, event);
            }
        }
    }

    // An extension is asked where it knows something; that it is not asked elsewhere changes nothing.
    #[test]
    fn asked_about_everything(grants in grants(), events in prop::collection::vec(event(), 1..100)) {
        let requests: Vec<_> = Extensions::default().requests().collect();
        let (mut usual, mut always) = (built(&grants, standard()), built(&grants, standard().always()));
        let (mut one, mut two) = (0, 0);
        for (number, event) in events.iter().enumerate() {
            let expected = happen(&mut usual, &mut one, number, event, &requests);
            let effects = happen(&mut always, &mut two, number, event, &requests);
            prop_assert_eq!(effects, expected, "step {} {:?}", number, event);
        }
        prop_assert_eq!(always.router.counts(), usual.router.counts());
    }
}
