//! Private XML storage (XEP-0049).

use balcony_machine::Instant;
use balcony_roster::Subscription;
use balcony_router::extension::Extensions;
use balcony_router::extension::private::Private;
use balcony_router::{Answer, Ask, Change, Effect, SessionId};
use balcony_stanza::{IqType, Stanza};
use proptest::prelude::*;

use crate::world::{World, asks, bare, brief, config, document, jid, request, wires};

const JULIET: &str = "juliet@example.com";

fn query(kind: IqType, content: &str) -> Stanza {
    request(kind, &format!("<query xmlns='jabber:iq:private'>{content}</query>"))
}

fn set(content: &str) -> Stanza {
    query(IqType::Set, content)
}

fn get(content: &str) -> Stanza {
    query(IqType::Get, content)
}

fn world() -> (World, SessionId) {
    let mut world = World::new();
    let balcony = world.connect("juliet@example.com/balcony");
    (world, balcony)
}

/// A world where so many documents, of so many bytes together, have room.
fn bounded(documents: usize, bytes: usize) -> (World, SessionId) {
    let mut config = config();
    config.extensions = Extensions::standard().with(Private { documents, bytes }).build().unwrap();
    let mut world = World::with(config);
    let balcony = world.connect("juliet@example.com/balcony");
    (world, balcony)
}

/// The one stanza that comes back, in short.
fn answer(world: &mut World, from: SessionId, stanza: Stanza) -> String {
    let effects = world.send(from, stanza);
    let told: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Deliver { session, stanza } => Some((*session, brief(stanza))),
            Effect::Ask { .. } => None,
            other => panic!("{other:?}"),
        })
        .collect();
    let [(to, text)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*to, from);
    text.clone()
}

/// What is kept under this name, as the content of the answer.
fn kept(world: &mut World, from: SessionId, element: &str) -> String {
    let told = wires(&world.send(from, get(element)), from);
    let [wire] = &told[..] else { panic!("{told:?}") };
    let content = wire
        .split_once("<query xmlns='jabber:iq:private'>")
        .and_then(|(_, rest)| rest.split_once("</query></iq>"));
    content.unwrap_or_else(|| panic!("{wire}")).0.to_owned()
}

const PREFS: &str = "<exodus xmlns='exodus:prefs'><defaultnick>Hamlet</defaultnick></exodus>";

// XEP-0049 1.2 §2.3: what a client keeps, all clients of its account get back as it was, and nothing is kept of nothing.
#[test]
fn kept_and_given_back() {
    let (mut world, balcony) = world();
    let attic = world.connect("juliet@example.com/attic");
    assert_eq!(kept(&mut world, attic, "<exodus xmlns='exodus:prefs'/>"), "<exodus xmlns='exodus:prefs'/>");
    assert_eq!(answer(&mut world, balcony, set(PREFS)), "iq result");
    assert_eq!(kept(&mut world, attic, "<exodus xmlns='exodus:prefs'/>"), PREFS);
    // What is in the element of the request does not matter.
    assert_eq!(kept(&mut world, attic, "<exodus xmlns='exodus:prefs' a='b'><x/></exodus>"), PREFS);
    // By its own address, too; the server itself keeps nothing.
    let own = |stanza: Stanza| stanza.with_to(jid(JULIET));
    assert_eq!(answer(&mut world, balcony, own(set(PREFS))), "iq result from juliet@example.com");
    assert!(wires(&world.send(balcony, own(get(PREFS))), balcony)[0].contains("Hamlet"));
    for server in ["example.com", "example.net", "juliet@example.com/attic"] {
        let told = answer_of(&mut world, balcony, set(PREFS).with_to(jid(server)));
        assert!(!told.contains("result"), "{server}: {told}");
    }
}

/// The first thing that anybody is told.
fn answer_of(world: &mut World, from: SessionId, stanza: Stanza) -> String {
    world.says(from, stanza)[0].clone()
}

// XEP-0049 1.2 §2.1, §2.3: each name in each namespace is a document of its own, a set may have several, and each is replaced as a
// whole.
#[test]
fn documents_are_replaced() {
    let (mut world, balcony) = world();
    let both = format!("{PREFS}<storage xmlns='storage:bookmarks'><url name='a' url='b'/></storage>");
    assert_eq!(answer(&mut world, balcony, set(&both)), "iq result");
    assert_eq!(answer(&mut world, balcony, set("<storage xmlns='storage:rosternotes'/>")), "iq result");
    assert_eq!(
        answer(&mut world, balcony, set("<exodus xmlns='exodus:prefs'><other/></exodus>")),
        "iq result"
    );
    for (element, expected) in [
        ("<exodus xmlns='exodus:prefs'/>", "<exodus xmlns='exodus:prefs'><other/></exodus>"),
        (
            "<storage xmlns='storage:bookmarks'/>",
            "<storage xmlns='storage:bookmarks'><url name='a' url='b'/></storage>",
        ),
        ("<storage xmlns='storage:rosternotes'/>", "<storage xmlns='storage:rosternotes'/>"),
        ("<other xmlns='storage:bookmarks'/>", "<other xmlns='storage:bookmarks'/>"),
    ] {
        assert_eq!(kept(&mut world, balcony, element), expected);
    }
    // Of two with one name the later counts.
    let twice = "<a xmlns='urn:a'>1</a><a xmlns='urn:a'>2</a>";
    assert_eq!(answer(&mut world, balcony, set(twice)), "iq result");
    assert_eq!(kept(&mut world, balcony, "<a xmlns='urn:a'/>"), "<a xmlns='urn:a'>2</a>");
}

// XEP-0049 1.2 §2.3, §3
#[test]
fn what_is_no_document_is_refused() {
    let (mut world, balcony) = world();
    let many = "<a xmlns='urn:a'/>".repeat(17);
    let long = format!("<a xmlns='urn:{}'/>", "x".repeat(4_096));
    for (stanza, expected) in [
        (get(""), "bad-request/modify"),
        (get("<a xmlns='urn:a'/><b xmlns='urn:b'/>"), "bad-request/modify"),
        (get("<a/>"), "not-acceptable/modify"),
        (set(""), "not-acceptable/modify"),
        (set("text"), "not-acceptable/modify"),
        (set("<a/>"), "not-acceptable/modify"),
        (set("<a xmlns='urn:a'/><b/>"), "not-acceptable/modify"),
        (set(&many), "not-acceptable/modify"),
        (set(&long), "not-acceptable/modify"),
    ] {
        assert_eq!(answer(&mut world, balcony, stanza), format!("iq error {expected}"));
    }
    // Nothing can have been kept there.
    assert_eq!(kept(&mut world, balcony, &long), long);
    assert_eq!(world.store.documents(&bare(JULIET), "private").count(), 0);
}

// XEP-0049 1.2 §2.3, §4: nobody else, not even who sees the user's presence; nor can anybody tell that there is such an account.
#[test]
fn nobody_else_s() {
    let mut world = World::new();
    let mercutio = "mercutio@example.net";
    for (account, contact) in [(JULIET, mercutio), (mercutio, JULIET)] {
        world.befriend(account, contact, Subscription::Both);
    }
    let balcony = world.available("juliet@example.com/balcony", 0);
    assert_eq!(answer(&mut world, balcony, set(PREFS)), "iq result");
    let others = [world.available("mercutio@example.net/lane", 0), world.connect("romeo@example.net/street")];
    for other in others {
        for stanza in [get("<exodus xmlns='exodus:prefs'/>"), set("<exodus xmlns='exodus:prefs'/>")] {
            for to in [JULIET, "nobody@example.com"] {
                let told = answer(&mut world, other, stanza.clone().with_to(jid(to)));
                assert_eq!(told, format!("iq error service-unavailable/cancel from {to}"));
            }
        }
    }
    for kind in [IqType::Get, IqType::Set] {
        let told = world.receives("friar@example.org/cell", query(kind, PREFS).with_to(jid(JULIET)));
        assert_eq!(
            told,
            ["remote friar@example.org/cell: iq error service-unavailable/cancel from juliet@example.com"]
        );
    }
    assert_eq!(kept(&mut world, balcony, "<exodus xmlns='exodus:prefs'/>"), PREFS);
}

// Documents and their bytes have bounds, also when several come at once; what is replaced makes room.
#[test]
fn bounds() {
    let (mut world, balcony) = bounded(3, 400);
    let full = "iq error resource-constraint/wait";
    assert_eq!(answer(&mut world, balcony, set("<a xmlns='urn:a'/><b xmlns='urn:b'/>")), "iq result");
    assert_eq!(answer(&mut world, balcony, set("<c xmlns='urn:c'/><d xmlns='urn:d'/>")), full);
    assert_eq!(answer(&mut world, balcony, set("<c xmlns='urn:c'/><b xmlns='urn:b'/>")), "iq result");
    assert_eq!(answer(&mut world, balcony, set("<d xmlns='urn:d'/>")), full);
    let long = |name: &str, length| format!("<{name} xmlns='urn:{name}'>{}</{name}>", "x".repeat(length));
    assert_eq!(answer(&mut world, balcony, set(&long("a", 500))), "iq error not-acceptable/modify");
    assert_eq!(answer(&mut world, balcony, set(&long("a", 200))), "iq result");
    assert_eq!(answer(&mut world, balcony, set(&long("b", 200))), full);
    assert_eq!(answer(&mut world, balcony, set("<a xmlns='urn:a'/>")), "iq result");
    assert_eq!(answer(&mut world, balcony, set(&long("b", 200))), "iq result");
    // Nothing of what was refused is kept, and the bounds outlive the account's stay in memory.
    assert_eq!(world.store.documents(&bare(JULIET), "private").count(), 3);
    world.unbind(balcony);
    let balcony = world.connect("juliet@example.com/balcony");
    assert_eq!(answer(&mut world, balcony, set(&long("a", 200))), full);
    assert_eq!(kept(&mut world, balcony, "<a xmlns='urn:a'/>"), "<a xmlns='urn:a'/>");
}

// What a client was told is on disk: two sets in a row, of one client or of two, are one after the other, so that the second knows
// what the first has used up, and a get behind them sees both.
#[test]
fn one_after_the_other() {
    let (mut world, balcony) = bounded(1, 1_000);
    let attic = world.connect("juliet@example.com/attic");
    for second in [balcony, attic] {
        world.at_once = false;
        let (first, value) = (set("<a xmlns='urn:a'>1</a>"), "<a xmlns='urn:a'>1</a>");
        let mut effects = world.send(balcony, first);
        assert!(world.send(second, set("<b xmlns='urn:b'/>")).is_empty());
        assert!(world.send(second, get("<a xmlns='urn:a'/>")).is_empty());
        let [(_, Ask::Save { changes, by_others: false, .. })] = &asks(&effects)[..] else {
            panic!("{effects:?}")
        };
        assert!(changes.iter().all(|change| matches!(change, Change::Document { .. })));
        world.at_once = true;
        world.serve(&mut effects);
        let told: Vec<_> = world.tell(&effects);
        let name = world.name(second);
        assert_eq!(
            told,
            [
                "balcony: iq result".to_owned(),
                format!("{name}: iq error resource-constraint/wait"),
                format!("{name}: iq result")
            ]
        );
        assert!(wires(&effects, second).last().unwrap().contains(value));
    }
}

// A store that refuses, or says nothing in time: the client hears so, and what is in memory is what the store has.
#[test]
fn a_store_in_trouble() {
    for works in [false, true] {
        let (mut world, balcony) = bounded(1, 1_000);
        world.at_once = false;
        let effects = world.send(balcony, set("<a xmlns='urn:a'/>"));
        let [(ticket, ask)] = &asks(&effects)[..] else { panic!("{effects:?}") };
        let told = if works {
            // It is done, but too late.
            assert_eq!(world.ask(ask.clone()), Answer::Saved);
            world.at_once = true;
            world.now = Instant::from_millis(3_600_000);
            world.tick()
        } else {
            let effects = world.answer(*ticket, Answer::Refused);
            world.tell(&effects)
        };
        assert_eq!(told, ["balcony: iq error internal-server-error/cancel"]);
        world.at_once = true;
        let expected = if works { "iq error resource-constraint/wait" } else { "iq result" };
        assert_eq!(answer(&mut world, balcony, set("<b xmlns='urn:b'/>")), expected);
        // The same when something is read.
        world.at_once = false;
        let effects = world.send(balcony, get("<b xmlns='urn:b'/>"));
        let [(ticket, Ask::Document { .. })] = &asks(&effects)[..] else { panic!("{effects:?}") };
        let effects = world.answer(*ticket, Answer::Refused);
        assert_eq!(world.tell(&effects), ["balcony: iq error internal-server-error/cancel"]);
    }
}

// A document that is no XML can't be given out, and nothing else suffers; without sizes there is no bound, so the account can't be
// used until somebody has seen to it.
#[test]
fn damaged_documents() {
    let (mut world, balcony) = world();
    for damaged in [&b"<query xmlns='jabber:iq:private'>"[..], b"</query><x/>", b"\xff"] {
        document(&mut world, JULIET, "private", "urn:a a", damaged);
        assert_eq!(
            answer(&mut world, balcony, get("<a xmlns='urn:a'/>")),
            "iq error internal-server-error/cancel",
            "{damaged:?}"
        );
    }
    assert_eq!(answer(&mut world, balcony, set("<a xmlns='urn:a'/>")), "iq result");
    assert_eq!(kept(&mut world, balcony, "<a xmlns='urn:a'/>"), "<a xmlns='urn:a'/>");
    document(&mut world, JULIET, "private-sizes", "urn:a a", b"123");
    world.unbind(balcony);
    let effects = world.bind(SessionId(1), JULIET, "balcony");
    assert_eq!(world.tell(&effects), ["1: closed with internal-server-error"]);
    assert_eq!(world.store.documents(&bare(JULIET), "private").count(), 1);
    assert_eq!(world.router.counts().loaded, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // XEP-0049 1.2 §2.1: any element, such as one that looks like an answer, or like the end of one, comes back as it was, and the
    // answer around it is one query with one child.
    #[test]
    fn whatever_is_kept_comes_back(name in "[a-z]{1,5}", namespace in "[a-z:<>&'\" ]{1,9}", text in "[ -~]{0,20}", depth in 0..4_usize) {
        prop_assume!(namespace != "jabber:iq:private" && !namespace.trim().is_empty());
        let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;").replace('"', "&quot;");
        let inside = format!(
            "{}{}{}",
            "<query xmlns='jabber:iq:private'><iq xmlns='jabber:client' type='result' id='q'>".repeat(depth),
            escape(&text),
            "</iq></query>".repeat(depth)
        );
        let (mut world, balcony) = world();
        let element = |content: &str| format!("<{name} xmlns='{}'>{content}</{name}>", escape(&namespace));
        prop_assert_eq!(answer(&mut world, balcony, set(&element(&inside))), "iq result");
        let effects = world.send(balcony, get(&element("")));
        let result = effects.iter().find_map(|effect| match effect {
            Effect::Deliver { stanza, .. } => Some(stanza),
            _ => None,
        });
        let content = result.unwrap().payload.parse().unwrap();
        let queries: Vec<_> = content.root().children().collect();
        prop_assert!(queries.len() == 1 && queries[0].is("query", "jabber:iq:private"));
        let kept: Vec<_> = queries[0].children().collect();
        prop_assert!(kept.len() == 1 && kept[0].is(&name, &namespace));
        prop_assert_eq!(kept[0].children().count(), usize::from(depth > 0));
        if depth == 0 {
            prop_assert_eq!(kept[0].text(), text);
        }
    }
}
