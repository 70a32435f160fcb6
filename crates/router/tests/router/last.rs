//! Last activity (XEP-0012).

use balcony_machine::Instant;
use balcony_roster::Subscription;
use balcony_router::{Answer, Ask, Effect, SessionId};
use balcony_stanza::{IqType, PresenceType, Stanza};

use crate::world::{World, asks, bare, content, jid, request, roster_set, tickets, unavailable, wire, wires};

const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.net";

fn get() -> Stanza {
    request(IqType::Get, "<query xmlns='jabber:iq:last'/>")
}

/// `<presence type='unavailable'/>` with this content.
fn leaving(xml: &str) -> Stanza {
    let mut stanza = content(xml);
    stanza.head.kind = balcony_stanza::Kind::Presence(PresenceType::Unavailable);
    stanza
}

/// Romeo sees Juliet, who was here ten seconds after the start.
fn world(said: &str) -> (World, SessionId) {
    let mut world = World::new();
    world.befriend(JULIET, ROMEO, Subscription::Both);
    world.befriend(ROMEO, JULIET, Subscription::Both);
    let romeo = world.connect("romeo@example.net/street");
    let balcony = world.available("juliet@example.com/balcony", 0);
    world.now = Instant::from_millis(10_000);
    world.send(balcony, leaving(said));
    world.unbind(balcony);
    (world, romeo)
}

fn query(wire: &str) -> &str {
    let from = wire.find("<query ").unwrap_or_else(|| panic!("{wire}"));
    wire[from..].strip_suffix("</iq>").unwrap()
}

// XEP-0012 2.0 §2, §3 [LA1, LA3]
#[test]
fn of_somebody_who_is_away() {
    for (said, expected) in [
        ("<status>Heading Home</status>", " seconds='903'>Heading Home</query>"),
        ("", " seconds='903'/>"),
        ("<status/>", " seconds='903'/>"),
        ("<show>xa</show><status xmlns='urn:x'>no</status>", " seconds='903'/>"),
        ("<status>&lt;/query&gt;</status>", " seconds='903'>&lt;/query&gt;</query>"),
    ] {
        let (mut world, romeo) = world(said);
        world.now = Instant::from_millis(913_000);
        let told = wires(&world.send(romeo, get().with_to(jid(JULIET))), romeo);
        assert_eq!(told.len(), 1);
        assert_eq!(query(&told[0]), format!("<query xmlns='jabber:iq:last'{expected}"), "{said}");
        assert!(told[0].starts_with(
            "<iq from='juliet@example.com' to='romeo@example.net/street' type='result' id='q'>"
        ));
        // While the account is in memory, too, and when she was there without being available.
        let balcony = world.connect("juliet@example.com/balcony");
        let told = wires(&world.send(romeo, get().with_to(jid(JULIET))), romeo);
        assert!(told[0].contains(" seconds='903'"), "{told:?}");
        world.unbind(balcony);
        let told = wires(&world.send(romeo, get().with_to(jid(JULIET))), romeo);
        assert!(told[0].contains(" seconds='903'"), "{told:?}");
    }
    // Whoever has never been there has not left.
    let mut world = World::new();
    world.befriend(JULIET, ROMEO, Subscription::From);
    world.befriend(ROMEO, JULIET, Subscription::To);
    let romeo = world.connect("romeo@example.net/street");
    let told = world.says(romeo, get().with_to(jid(JULIET)));
    assert_eq!(told, ["street: iq error item-not-found/cancel from juliet@example.com"]);
}

// XEP-0012 2.0 §3 [LA4]: who is there; for others, whom presence shows.
#[test]
fn of_somebody_who_is_there() {
    let (mut world, romeo) = world("<status>gone</status>");
    world.now = Instant::from_millis(60_000);
    let zero = "<query xmlns='jabber:iq:last' seconds='0'/>";
    let balcony = world.connect("juliet@example.com/balcony");
    for own in [get(), get().with_to(jid(JULIET))] {
        assert_eq!(query(&wires(&world.send(balcony, own), balcony)[0]), zero);
    }
    assert!(wires(&world.send(romeo, get().with_to(jid(JULIET))), romeo)[0].contains("seconds='50'"));
    for priority in [-1, 5] {
        world.send(balcony, crate::world::available(priority));
        assert_eq!(query(&wires(&world.send(romeo, get().with_to(jid(JULIET))), romeo)[0]), zero);
    }
    world.send(balcony, unavailable());
    world.now = Instant::from_millis(61_999);
    let told = wires(&world.send(romeo, get().with_to(jid(JULIET))), romeo);
    assert_eq!(query(&told[0]), "<query xmlns='jabber:iq:last' seconds='1'/>");
}

// XEP-0012 2.0 §3, §8 [LA2, LA11, LA12]: nobody else, and not whom she has blocked; the same as of an account that is not there.
#[test]
fn who_may_not_see() {
    for is_there in [false, true] {
        for (hers, his, is_blocked) in [
            (Subscription::None, Subscription::None, false),
            (Subscription::To, Subscription::From, false),
            // Her roster counts, and not what his claims.
            (Subscription::None, Subscription::Both, false),
            (Subscription::Both, Subscription::Both, true),
        ] {
            let mut world = World::new();
            for account in [JULIET, "nobody@example.com"] {
                world.befriend(ROMEO, account, his);
            }
            world.befriend(JULIET, ROMEO, hers);
            if is_blocked {
                world.block(JULIET, ROMEO);
            }
            let romeo = world.available("romeo@example.net/street", 0);
            let balcony = world.available("juliet@example.com/balcony", 0);
            if !is_there {
                world.unbind(balcony);
            }
            for stanza in [get(), request(IqType::Set, "<query xmlns='jabber:iq:last'/>")] {
                for to in ["nobody@example.com", JULIET] {
                    let told = world.says(romeo, stanza.clone().with_to(jid(to)));
                    assert_eq!(told, [format!("street: iq error service-unavailable/cancel from {to}")]);
                }
            }
            let told = world.receives("friar@example.org/cell", get().with_to(jid(JULIET)));
            assert_eq!(
                told,
                [
                    "remote friar@example.org/cell: iq error service-unavailable/cancel from juliet@example.com"
                ]
            );
        }
    }
}

// XEP-0012 2.0 §3 [LA1, LA2], RFC 6120 §13.10.2 [Q12]: a subscriber of another server gets what one of this server gets, whether or not
// the account is in memory; for everybody else the store is asked as often, whoever is there, and the refusal is the same.
#[test]
fn of_another_server() {
    const NURSE: &str = "nurse@example.org/cell";
    let seconds = |world: &mut World| {
        let effects = world.received(NURSE, get().with_to(jid(JULIET)));
        let answers = effects.iter().filter_map(|effect| match effect {
            Effect::Remote { stanza, .. } => Some(wire(stanza)),
            _ => None,
        });
        let [answer] = &answers.collect::<Vec<_>>()[..] else { panic!("{effects:?}") };
        query(answer).to_owned()
    };
    for (subscription, sees) in [
        (Subscription::From, true),
        (Subscription::Both, true),
        (Subscription::To, false),
        (Subscription::None, false),
    ] {
        let mut world = World::new();
        world.befriend(JULIET, "nurse@example.org", subscription);
        let balcony = world.available("juliet@example.com/balcony", 0);
        if sees {
            assert_eq!(seconds(&mut world), "<query xmlns='jabber:iq:last' seconds='0'/>");
        }
        let (mut there, mut asked) = (Vec::new(), Vec::new());
        for step in 0..4 {
            match step {
                1 => {
                    world.now = Instant::from_millis(10_000);
                    world.send(balcony, leaving("<status>gone</status>"));
                    world.unbind(balcony);
                    world.now = Instant::from_millis(15_000);
                }
                2 => world.block(JULIET, "nurse@example.org"),
                3 => world.store.remove(&bare(JULIET)),
                _ => {}
            }
            if sees && step == 1 {
                let told = seconds(&mut world);
                assert_eq!(told, "<query xmlns='jabber:iq:last' seconds='5'>gone</query>");
                assert_eq!(world.router.counts().loaded, 0, "it is not kept in memory");
                continue;
            }
            if !sees || step > 1 {
                let effects = world.received(NURSE, get().with_to(jid(JULIET)));
                there.push(world.tell(&effects));
                asked.push(asks(&effects).into_iter().map(|(_, ask)| ask).collect::<Vec<_>>());
            }
        }
        let refused = format!("remote {NURSE}: iq error service-unavailable/cancel from juliet@example.com");
        assert!(there.iter().all(|told| *told == [refused.clone()]), "{there:?}");
        assert!(asked.iter().all(|now| now.len() == 1 && *now == asked[0]), "{asked:?}");
        // A store in trouble is one for all.
        world.at_once = false;
        for name in [JULIET, "nobody@example.com"] {
            let effects = world.received(NURSE, get().with_to(jid(name)));
            let effects = world.answer(tickets(&effects)[0], Answer::Refused);
            let told = world.tell(&effects);
            assert_eq!(told, [format!("remote {NURSE}: iq error internal-server-error/cancel from {name}")]);
        }
    }
}

// RFC 6120 §13.10.2 [Q12]: whoever asks from elsewhere, by a probe or a request, asks the store no more than one thing at a time of an
// account, so that its user can log in.
#[test]
fn others_share_what_they_ask_of_the_store() {
    let mut world = World::new();
    world.at_once = false;
    let probe = Stanza::presence(PresenceType::Probe).with_to(jid(JULIET));
    let first = world.received("friar@example.org/cell", probe);
    let [(ticket, Ask::Load { .. })] = asks(&first)[..] else { panic!("{first:?}") };
    for number in 0..5 {
        let from = format!("friar@example.org/{number}");
        assert_eq!(world.received(&from, get().with_to(jid(JULIET))), []);
    }
    let second = world.answer(ticket, Answer::Loaded(None));
    let [(ticket, Ask::Load { .. })] = asks(&second)[..] else { panic!("{second:?}") };
    let effects = world.answer(ticket, Answer::Loaded(None));
    assert_eq!((asks(&effects).len(), world.tell(&effects).len()), (0, 5));
}

// XEP-0012 2.0 §4 [LA5, LA6]: a request to a full JID is that client's matter, if its sender may see it.
#[test]
fn of_a_client() {
    let (mut world, romeo) = world("");
    let balcony = world.available("juliet@example.com/balcony", 0);
    let stranger = world.connect("tybalt@example.com/lane");
    let to = "juliet@example.com/balcony";
    assert_eq!(world.says(romeo, get().with_to(jid(to))), ["balcony: iq get from romeo@example.net/street"]);
    for (from, to) in [(stranger, to), (romeo, "juliet@example.com/none"), (stranger, "nobody@example.com/x")]
    {
        let name = world.name(from);
        let told = world.says(from, get().with_to(jid(to)));
        assert_eq!(told, [format!("{name}: iq error service-unavailable/cancel from {to}")]);
    }
    // XEP-0012 2.0 §4 [LA7]
    assert!(
        world.says(balcony, get().with_to(jid("romeo@example.net/street")))
            == ["street: iq get from juliet@example.com/balcony"]
    );
}

// XEP-0012 2.0 §5, §6 [LA9, LA10]: the server says how long it has been up, and nothing else.
#[test]
fn of_the_server() {
    let mut world = World::new();
    let romeo = world.connect("romeo@example.net/street");
    world.now = Instant::from_millis(123_456_789);
    for domain in ["example.com", "example.net"] {
        let told = wires(&world.send(romeo, get().with_to(jid(domain))), romeo);
        assert_eq!(query(&told[0]), "<query xmlns='jabber:iq:last' seconds='123456'/>");
    }
    let told = world.receives("friar@example.org/cell", get().with_to(jid("example.com")));
    assert_eq!(told, ["remote friar@example.org/cell: iq result from example.com"]);
    let set = request(IqType::Set, "<query xmlns='jabber:iq:last'/>");
    assert_eq!(
        world.says(romeo, set.with_to(jid("example.com"))),
        ["street: iq error service-unavailable/cancel from example.com"]
    );
}

// A contact who asks while the account is not in memory waits for the store, and hears if that fails or the account is gone.
#[test]
fn a_store_in_trouble() {
    for (answer, expected) in
        [(Answer::Refused, "resource-constraint/wait"), (Answer::Loaded(None), "service-unavailable/cancel")]
    {
        let (mut world, romeo) = world("");
        world.at_once = false;
        let effects = world.send(romeo, get().with_to(jid(JULIET)));
        assert!(wires(&effects, romeo).is_empty());
        let effects = world.answer(tickets(&effects)[0], answer);
        assert_eq!(world.tell(&effects), [format!("street: iq error {expected} from juliet@example.com")]);
        assert_eq!(world.router.counts().loaded, 1);
    }
    let (mut world, romeo) = world("");
    world.store.remove(&bare(JULIET));
    assert_eq!(
        world.says(romeo, get().with_to(jid(JULIET))),
        ["street: iq error service-unavailable/cancel from juliet@example.com"]
    );
}

// XEP-0012 2.0 §3 [LA4], habits.md invariant 4: a change is given up, and the account is loaded again. Presence that ends while the
// answer is on its way is later than what that has.
#[test]
fn presence_ends_while_the_account_is_loaded_again() {
    let (mut world, romeo) = world("");
    let balcony = world.available("juliet@example.com/balcony", 0);
    let attic = world.connect("juliet@example.com/attic");
    world.at_once = false;
    let changes = asks(&world.send(attic, roster_set("<item jid='nurse@example.com'/>")));
    world.now = Instant::from_millis(41_000);
    let mut effects = Vec::new();
    world.router.tick(world.now, &mut effects);
    let loads = asks(&effects);
    // The store gets to it after all, and its answers are late.
    for (_, change) in changes {
        assert_eq!(world.ask(change), Answer::Saved);
    }
    let [(ticket, load @ Ask::Load { .. })] = &loads[..] else { panic!("{loads:?}") };
    let loaded = world.ask(load.clone());
    let notes = asks(&world.unbound(balcony));
    world.answer(*ticket, loaded);
    world.at_once = true;
    for (ticket, note) in notes {
        let noted = world.ask(note);
        world.answer(ticket, noted);
    }
    world.now = Instant::from_millis(46_000);
    let told = wires(&world.send(romeo, get().with_to(jid(JULIET))), romeo);
    assert!(told[0].contains(" seconds='5'"), "{told:?}");
}
