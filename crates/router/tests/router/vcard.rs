//! vcard-temp (XEP-0054).

use balcony_machine::Instant;
use balcony_roster::Subscription;
use balcony_router::extension::Extensions;
use balcony_router::extension::vcard::Vcard;
use balcony_router::{Answer, Ask, Change, SessionId};
use balcony_stanza::{IqType, Stanza};

use crate::world::{World, asks, bare, config, document, jid, request, tickets, wires};

const JULIET: &str = "juliet@example.com";
const CARD: &str = "<vCard xmlns='vcard-temp'><FN>Juliet</FN><N><FAMILY>Capulet</FAMILY></N></vCard>";

fn get() -> Stanza {
    request(IqType::Get, "<vCard xmlns='vcard-temp'/>")
}

fn set(card: &str) -> Stanza {
    request(IqType::Set, card)
}

/// Juliet, who has shown a card, and Romeo, whom she does not know.
fn world() -> (World, SessionId, SessionId) {
    let mut world = World::new();
    let balcony = world.connect("juliet@example.com/balcony");
    assert_eq!(world.says(balcony, set(CARD)), ["balcony: iq result"]);
    let romeo = world.connect("romeo@example.net/street");
    (world, balcony, romeo)
}

// XEP-0054 1.3 §3.1, §3.2
#[test]
fn the_own_card() {
    let mut world = World::new();
    let balcony = world.connect("juliet@example.com/balcony");
    for to in [None, Some(JULIET)] {
        let to_own = |mut stanza: Stanza| {
            stanza.head.to = to.map(jid);
            stanza
        };
        let from = to.map(|to| format!(" from {to}")).unwrap_or_default();
        let told = world.says(balcony, to_own(get()));
        assert_eq!(told, [format!("balcony: iq error item-not-found/cancel{from}")]);
        assert_eq!(world.says(balcony, to_own(set(CARD))), [format!("balcony: iq result{from}")]);
        assert!(wires(&world.send(balcony, to_own(get())), balcony)[0].contains(CARD));
        // The whole card is another one, and an empty one is one.
        for card in ["<vCard xmlns='vcard-temp'><URL>x</URL></vCard>", "<vCard xmlns='vcard-temp'/>"] {
            assert_eq!(world.says(balcony, to_own(set(card))), [format!("balcony: iq result{from}")]);
            assert!(wires(&world.send(balcony, to_own(get())), balcony)[0].contains(card));
        }
        let removed =
            world.says(balcony, request(IqType::Set, "<query xmlns='jabber:iq:register'><remove/></query>"));
        assert!(removed.contains(&"balcony: iq result".to_owned()), "{removed:?}");
        // Whoever gets the name next has no card.
        world.connect("juliet@example.com/balcony");
        let again = world.connect("juliet@example.com/again");
        assert_eq!(world.says(again, get()), ["again: iq error item-not-found/cancel"]);
        if to.is_none() {
            world = World::new();
            world.connect("juliet@example.com/balcony");
        }
    }
}

// XEP-0054 1.3 §3.3: anybody sees it, whether or not the user is there; the server answers, and nobody's client.
#[test]
fn the_card_of_somebody_else() {
    for is_there in [false, true] {
        let (mut world, balcony, romeo) = world();
        if is_there {
            world.send(balcony, crate::world::available(0));
        } else {
            world.unbind(balcony);
        }
        let expected =
            format!("<iq from='{JULIET}' to='romeo@example.net/street' type='result' id='q'>{CARD}</iq>");
        assert_eq!(wires(&world.send(romeo, get().with_to(jid(JULIET))), romeo), [expected]);
        assert_eq!(
            world.receives("friar@example.org/cell", get().with_to(jid(JULIET))),
            ["remote friar@example.org/cell: iq result from juliet@example.com"]
        );
        // A client of hers is another matter.
        assert_eq!(
            world.says(romeo, get().with_to(jid("juliet@example.com/balcony"))),
            ["street: iq error service-unavailable/cancel from juliet@example.com/balcony"]
        );
    }
}

// XEP-0054 1.3 §3.3: no account, one without a card, and one whose user has blocked who asks: the same answer, after as many asks of the
// store, and after the same wait.
#[test]
fn nobody_can_tell_who_has_none() {
    let blocked: Vec<String> =
        ["romeo@example.net", "example.net", "romeo@example.net/street"].map(String::from).into();
    let cases = [
        None,
        Some(vec![]),
        Some(blocked[..1].to_vec()),
        Some(blocked[1..2].to_vec()),
        Some(blocked[2..].to_vec()),
    ];
    for is_there in [false, true] {
        let mut seen = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            let mut world = World::new();
            let romeo = world.connect("romeo@example.net/street");
            if let Some(blocked) = case {
                world.store.create(bare(JULIET));
                for jid in blocked {
                    world.block(JULIET, jid);
                    document(&mut world, JULIET, "vcard", "", CARD.as_bytes());
                }
                if is_there {
                    world.available("juliet@example.com/balcony", 0);
                }
            }
            world.at_once = false;
            let mut effects = world.send(romeo, get().with_to(jid(JULIET)));
            assert!(wires(&effects, romeo).is_empty(), "case {number} is answered before the store");
            let all = asks(&effects);
            let [(ticket, Ask::Load { account, .. })] = &all[..] else { panic!("{effects:?}") };
            assert_eq!(account.as_str(), JULIET);
            let answer = world.ask(all[0].1.clone());
            effects = world.answer(*ticket, answer);
            assert!(tickets(&effects).is_empty());
            seen.push(wires(&effects, romeo));
        }
        assert!(seen[0].len() == 1 && seen[0][0].contains("<service-unavailable "), "{seen:?}");
        assert!(seen.iter().all(|wires| *wires == seen[0]), "{seen:?}");
    }
}

// XEP-0054 1.3 §3.2: nobody sets another's card, and nobody learns by trying who is there.
#[test]
fn the_own_card_is_the_own() {
    let (mut world, balcony, romeo) = world();
    for to in [JULIET, "nobody@example.com"] {
        let told = world.says(romeo, set("<vCard xmlns='vcard-temp'/>").with_to(jid(to)));
        assert_eq!(told, [format!("street: iq error service-unavailable/cancel from {to}")]);
    }
    for to in ["example.com", "example.net"] {
        for stanza in [get(), set(CARD)] {
            let told = world.says(romeo, stanza.with_to(jid(to)));
            assert_eq!(told, [format!("street: iq error service-unavailable/cancel from {to}")]);
        }
    }
    world.befriend("romeo@example.net", JULIET, Subscription::Both);
    assert!(wires(&world.send(balcony, get()), balcony)[0].contains(CARD));
}

#[test]
fn bounds() {
    let mut config = config();
    config.extensions = Extensions::standard().with(Vcard { bytes: 100 }).build().unwrap();
    let mut world = World::with(config);
    let balcony = world.connect("juliet@example.com/balcony");
    let card = |length| format!("<vCard xmlns='vcard-temp'><FN>{}</FN></vCard>", "x".repeat(length));
    assert_eq!(world.says(balcony, set(&card(40))), ["balcony: iq result"]);
    assert_eq!(world.says(balcony, set(&card(200))), ["balcony: iq error not-acceptable/modify"]);
    assert!(wires(&world.send(balcony, get()), balcony)[0].contains(&card(40)));
}

// What waits of one who asks for cards has a bound, at which the answer is the same for all; the user's own card is not kept from the
// user by what others ask.
#[test]
fn what_waits_is_bounded() {
    let mut config = config();
    config.limits.waiting = 3;
    let mut world = World::with(config);
    let romeo = world.connect("romeo@example.net/street");
    let balcony = world.connect("juliet@example.com/balcony");
    world.at_once = false;
    for to in ["nobody@example.com", JULIET, JULIET] {
        assert!(world.says(romeo, get().with_to(jid(to))).is_empty());
    }
    for to in ["nobody@example.com", JULIET] {
        let told = world.says(romeo, get().with_to(jid(to)));
        assert_eq!(told, [format!("street: iq error resource-constraint/wait from {to}")]);
    }
    for _ in 0..3 {
        assert!(world.says(balcony, get()).is_empty());
    }
    assert_eq!(world.says(balcony, get()), ["balcony: iq error resource-constraint/wait"]);
    // A client reads on when its own requests are answered; a stranger at once.
    assert!(world.handled.iter().all(|session| *session == romeo), "{:?}", world.handled);
}

// Two sets in a row: the later one stays, and its answer is the later one; a get behind them waits for both.
#[test]
fn one_after_the_other() {
    let (mut world, balcony, _) = world();
    world.at_once = false;
    let mut effects = world.send(balcony, set("<vCard xmlns='vcard-temp'><FN>1</FN></vCard>"));
    assert!(world.send(balcony, set("<vCard xmlns='vcard-temp'><FN>2</FN></vCard>")).is_empty());
    assert!(world.send(balcony, get()).is_empty());
    let [(_, Ask::Save { changes, .. })] = &asks(&effects)[..] else { panic!("{effects:?}") };
    assert!(matches!(changes[..], [Change::Document { .. }]));
    world.at_once = true;
    world.serve(&mut effects);
    let told = wires(&effects, balcony);
    assert_eq!(told.len(), 3);
    assert!(told[2].contains("<FN>2</FN>"), "{told:?}");
}

// A store that refuses, or is late.
#[test]
fn a_store_in_trouble() {
    for is_late in [false, true] {
        let (mut world, balcony, romeo) = world();
        world.at_once = false;
        let failed = "internal-server-error/cancel";
        for (session, stanza, from) in [
            (balcony, set("<vCard xmlns='vcard-temp'/>"), ""),
            (balcony, get(), ""),
            (romeo, get().with_to(jid(JULIET)), " from juliet@example.com"),
        ] {
            let effects = world.send(session, stanza);
            let told = if is_late {
                world.now = world.now + core::time::Duration::from_secs(3_600);
                world.at_once = true;
                let told = world.tick();
                world.at_once = false;
                told
            } else {
                let effects = world.answer(tickets(&effects)[0], Answer::Refused);
                world.tell(&effects)
            };
            assert_eq!(told, [format!("{}: iq error {failed}{from}", world.name(session))]);
        }
        world.at_once = true;
        assert!(wires(&world.send(balcony, get()), balcony)[0].contains(CARD));
        assert!(world.now == Instant::ZERO || is_late);
    }
}

// A card that is no XML is not given out; others of the account's requests go on.
#[test]
fn damaged_documents() {
    let (mut world, balcony, romeo) = world();
    for damaged in [&b"<vCard xmlns='vcard-temp'>"[..], b"</vCard>", b"\xff\x00"] {
        document(&mut world, JULIET, "vcard", "", damaged);
        assert_eq!(world.says(balcony, get()), ["balcony: iq error internal-server-error/cancel"]);
        let told = world.says(romeo, get().with_to(jid(JULIET)));
        assert_eq!(told, ["street: iq error internal-server-error/cancel from juliet@example.com"]);
    }
    assert_eq!(world.says(balcony, set(CARD)), ["balcony: iq result"]);
    assert!(wires(&world.send(romeo, get().with_to(jid(JULIET))), romeo)[0].contains(CARD));
}

// A card may be large, and there may be many who want it: each answer of the store is for some of them, so that others have their turn before
// the next. If there is none in time, nobody waits for another.
#[test]
fn many_gets_of_one_card_are_answered_by_turns() {
    for hangs in [false, true] {
        let (mut world, _, romeo) = world();
        world.at_once = false;
        let mut asked = Vec::new();
        for _ in 0..40 {
            asked.extend(asks(&world.send(romeo, get().with_to(jid(JULIET)))));
        }
        let mut answered = Vec::new();
        while let Some((ticket, ask)) = asked.pop() {
            assert!(asked.is_empty(), "they share a question");
            let effects = if hangs {
                let mut effects = Vec::new();
                world.now = world.router.deadline().unwrap().at;
                world.router.tick(world.now, &mut effects);
                effects
            } else {
                let answer = world.ask(ask);
                world.answer(ticket, answer)
            };
            answered.push(wires(&effects, romeo).len());
            asked = asks(&effects);
        }
        let expected: &[usize] = if hangs { &[40] } else { &[1, 16, 16, 7] };
        assert_eq!(answered, expected);
    }
}
