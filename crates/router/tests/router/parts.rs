//! Stored mail (XEP-0160) that comes to one client in parts, while there are others: these get what is new at once, and copies (XEP-0280) of
//! it; the one client gets that behind the mail.

use core::time::Duration;

use balcony_machine::Limits;
use balcony_roster::Subscription;
use balcony_router::{Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};

use crate::hibernated::{crash, detach, restart};
use crate::world::{World, available, bare, config, content, jid, request, unavailable, wire, wires};

const JULIET: &str = "juliet@example.com";
const WAIT: Duration = Duration::from_secs(600);
/// How much mail there is: more than four parts.
const MAIL: usize = 12;

fn chat(number: usize) -> Stanza {
    let mut stanza = content(&format!("<body>{number} {}</body>", "x".repeat(500)));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.with_to(jid(JULIET))
}

fn numbers(effects: &[Effect], session: SessionId) -> Vec<usize> {
    let number = |wire: &String| wire.split_once("<body>")?.1.split_once(' ')?.0.parse().ok();
    wires(effects, session).iter().filter_map(number).collect()
}

/// A phone that is getting the first part of the mail, and acknowledges what it gets. A desk of less priority, which wants copies, and a hall
/// of the phone's priority.
struct Scene {
    world: World,
    romeo: SessionId,
    phone: SessionId,
    desk: SessionId,
    hall: SessionId,
    /// What the phone has been sent and has not acknowledged.
    sent: Vec<Effect>,
}

fn scene() -> Scene {
    scene_with(|_| {})
}

fn scene_with(change: impl FnOnce(&mut Limits)) -> Scene {
    scene_of(JULIET, 5, change)
}

/// With mail to this address, and a hall of this priority.
fn scene_of(to: &str, hall_priority: i8, change: impl FnOnce(&mut Limits)) -> Scene {
    let mut small = config();
    small.limits.output = 8_000;
    change(&mut small.limits);
    let mut world = World::with(small);
    for (one, other) in [("romeo@example.net", JULIET), (JULIET, "romeo@example.net")] {
        world.befriend(one, other, Subscription::Both);
    }
    let romeo = world.available("romeo@example.net/street", 0);
    (0..MAIL).for_each(|number| drop(world.send(romeo, chat(number).with_to(jid(to)))));
    let phone = world.connect("juliet@example.com/phone");
    assert!(world.router.manage(phone, WAIT, &mut Vec::new()));
    let mut sent = world.send(phone, available(5));
    let desk = world.connect("juliet@example.com/desk");
    sent.extend(world.send(desk, request(IqType::Set, "<enable xmlns='urn:xmpp:carbons:2'/>")));
    sent.extend(world.send(desk, available(0)));
    let hall = world.connect("juliet@example.com/hall");
    sent.extend(world.send(hall, available(hall_priority)));
    assert!((1..MAIL / 2).contains(&numbers(&sent, phone).len()));
    Scene { world, romeo, phone, desk, hall, sent }
}

impl Scene {
    /// Romeo writes; the phone gets nothing of it now.
    fn writes(&mut self, number: usize, to: &str) -> Vec<Effect> {
        let effects = self.world.send(self.romeo, chat(number).with_to(jid(to)));
        assert!(numbers(&effects, self.phone).is_empty(), "{effects:?}");
        effects
    }

    /// The phone acknowledges all that it gets. The numbers of that.
    fn takes_all(&mut self) -> Vec<usize> {
        let mut got = Vec::new();
        loop {
            let count = wires(&self.sent, self.phone).len();
            if count == 0 {
                return got;
            }
            got.extend(numbers(&self.sent, self.phone));
            let (now, count) = (self.world.now, u32::try_from(count).unwrap());
            self.sent.clear();
            self.world.router.acknowledged(now, self.phone, count, &mut self.sent);
            self.world.serve(&mut self.sent);
            for other in [self.desk, self.hall] {
                assert!(numbers(&self.sent, other).is_empty(), "once");
            }
        }
    }

    /// The hall reads all that it gets.
    fn hall_takes_all(&mut self, effects: &mut Vec<Effect>) {
        for _ in 0..MAIL {
            self.world.router.drained(self.world.now, self.hall, u64::MAX, effects);
            self.world.serve(effects);
        }
    }

    fn is_empty(&self) -> bool {
        let documents = self.world.store.documents(&bare(JULIET), "undelivered").count();
        (documents, self.world.kept(JULIET).len(), self.world.router.queued()) == (0, 0, 0)
    }
}

// RFC 6120 §10.1: what the sender of a message that waits behind the mail sends next waits behind that. What others send, and what the phone
// has asked for itself, does not.
#[test]
fn nothing_overtakes_a_message_that_waits_behind_mail() {
    let mut scene = scene();
    let ping = |id: &str| {
        let mut ping =
            request(IqType::Get, "<ping xmlns='urn:xmpp:ping'/>").with_to(jid("juliet@example.com/phone"));
        ping.head.id = Some(id.into());
        ping
    };
    let come = |effects: &[Effect], phone, what: &str| {
        wires(effects, phone).iter().filter(|wire| wire.contains(what)).count()
    };
    let effects = scene.world.send(scene.romeo, ping("before"));
    assert_eq!(come(&effects, scene.phone, "before"), 1);
    scene.sent.extend(effects);
    scene.writes(MAIL, JULIET);
    let effects = scene.world.send(scene.romeo, ping("behind"));
    assert_eq!(come(&effects, scene.phone, "behind"), 0);
    let mut presence = content("<status>gone</status>").with_to(jid(JULIET));
    presence.head.kind = Kind::Presence(PresenceType::Available);
    let effects = scene.world.send(scene.romeo, presence);
    assert_eq!(come(&effects, scene.phone, "gone"), 0);
    let effects = scene.world.send(scene.hall, ping("from another"));
    assert_eq!(come(&effects, scene.phone, "from another"), 1);
    scene.sent.extend(effects);
    let effects = scene.world.send(scene.phone, request(IqType::Get, "<query xmlns='jabber:iq:roster'/>"));
    assert_eq!(come(&effects, scene.phone, "jabber:iq:roster"), 1);
    scene.sent.extend(effects);
    let mut order = Vec::new();
    while !scene.sent.is_empty() {
        let told = wires(&scene.sent, scene.phone);
        let place =
            |what: &str| told.iter().position(|wire| wire.contains(what)).map(|place| (order.len(), place));
        let places = [place(&format!("<body>{MAIL} ")), place("'behind'"), place("gone")];
        order.push(places);
        let (now, count) = (scene.world.now, u32::try_from(told.len()).unwrap());
        scene.sent.clear();
        scene.world.router.acknowledged(now, scene.phone, count, &mut scene.sent);
        scene.world.serve(&mut scene.sent);
    }
    let places: Vec<_> = (0..3).map(|what| order.iter().find_map(|places| places[what]).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
}

// RFC 6120 §10.1: another resource of the account is a sender as all others. Its answer waits behind its message, and that of the server does
// not wait.
#[test]
fn an_answer_of_another_resource_waits_behind_its_message() {
    let mut scene = scene();
    let query = "<query xmlns='jabber:iq:version'/>";
    let mut asked = request(IqType::Get, query).with_to(jid("juliet@example.com/desk"));
    asked.head.id = Some("which".into());
    let effects = scene.world.send(scene.phone, asked);
    assert_eq!(wires(&effects, scene.desk).len(), 1);
    scene.world.send(scene.desk, chat(MAIL).with_to(jid("juliet@example.com/phone")));
    let mut answer = request(IqType::Result, query).with_to(jid("juliet@example.com/phone"));
    answer.head.id = Some("which".into());
    let effects = scene.world.send(scene.desk, answer);
    assert!(wires(&effects, scene.phone).is_empty(), "{:?}", wires(&effects, scene.phone));
    let mut got = Vec::new();
    while !scene.sent.is_empty() {
        got.extend(wires(&scene.sent, scene.phone));
        let count = u32::try_from(wires(&scene.sent, scene.phone).len()).unwrap();
        scene.sent.clear();
        scene.world.router.acknowledged(scene.world.now, scene.phone, count, &mut scene.sent);
        scene.world.serve(&mut scene.sent);
    }
    let place = |what: &str| got.iter().position(|wire| wire.contains(what)).unwrap();
    assert!(place(&format!("<body>{MAIL} ")) < place("'which'"), "{got:?}");
    assert!(scene.is_empty());
}

// RFC 6120 §10.1, XEP-0198 §5: what waits behind a message of its sender comes behind it after the client was away, and after a restart; if the
// session ends it is refused, and the message goes on.
#[test]
fn what_waits_behind_a_message_stays_behind_it() {
    for (is_restart, ends) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut scene = scene();
        scene.world.unbind(scene.desk);
        scene.world.unbind(scene.hall);
        detach(&mut scene.world, scene.phone);
        scene.writes(MAIL, "juliet@example.com/phone");
        let mut ping =
            request(IqType::Get, "<ping xmlns='urn:xmpp:ping'/>").with_to(jid("juliet@example.com/phone"));
        ping.head.id = Some("behind".into());
        scene.world.send(scene.romeo, ping);
        let mut presence = content("<status>gone</status>").with_to(jid(JULIET));
        presence.head.kind = Kind::Presence(PresenceType::Available);
        scene.world.send(scene.romeo, presence);
        if is_restart {
            scene.world.unbind(scene.romeo);
            scene.world = restart(scene.world, &[scene.phone], Duration::from_secs(5));
            scene.romeo = scene.world.available("romeo@example.net/street", 0);
        }
        scene.sent.clear();
        let now = scene.world.now;
        if ends {
            let mut effects = Vec::new();
            scene.world.router.unbind(now, scene.phone, &mut effects);
            scene.world.router.gone(now, scene.phone, &mut effects);
            scene.world.serve(&mut effects);
            let refused =
                wires(&effects, scene.romeo).iter().filter(|wire| wire.contains("'behind'")).count();
            assert_eq!(refused, 1, "{is_restart}");
            assert_eq!(scene.world.kept(JULIET).len(), MAIL + 1, "{is_restart}");
            assert_eq!(scene.world.router.queued(), 0);
            continue;
        }
        assert!(scene.world.router.resume(now, scene.phone, &bare(JULIET), 0, &mut scene.sent));
        scene.world.serve(&mut scene.sent);
        let mut got = Vec::new();
        while !wires(&scene.sent, scene.phone).is_empty() {
            got.extend(wires(&scene.sent, scene.phone));
            let count = u32::try_from(wires(&scene.sent, scene.phone).len()).unwrap();
            scene.sent.clear();
            scene.world.router.acknowledged(now, scene.phone, count, &mut scene.sent);
            scene.world.serve(&mut scene.sent);
        }
        let places = [&*format!("<body>{MAIL} "), "'behind'", "gone"]
            .map(|what| got.iter().position(|wire| wire.contains(what)).expect(what));
        assert!(places.is_sorted(), "{is_restart}: {places:?}");
        assert!(scene.is_empty());
    }
}

// XEP-0280 §6, RFC 6121 §8.5.2.1.1, docs/guarantees.md: others of the account get what is new at once, as it is for them, and once; the one
// that gets the mail has it behind that, in order, whomever it was sent to.
#[test]
fn others_do_not_wait_for_the_mail_of_one() {
    let mut scene = scene();
    let effects = scene.writes(MAIL, JULIET);
    assert_eq!((numbers(&effects, scene.desk), numbers(&effects, scene.hall)), (vec![MAIL], vec![MAIL]));
    let effects = scene.writes(MAIL + 1, "juliet@example.com/phone");
    assert_eq!((numbers(&effects, scene.desk), numbers(&effects, scene.hall)), (vec![MAIL + 1], vec![]));
    // One that comes now gets what comes from now on.
    let attic = scene.world.connect("juliet@example.com/attic");
    let mut shown = scene.world.send(attic, available(5));
    scene.sent.append(&mut shown);
    let effects = scene.writes(MAIL + 2, JULIET);
    assert_eq!((numbers(&effects, attic), numbers(&effects, scene.desk)), (vec![MAIL + 2], vec![MAIL + 2]));
    assert_eq!(scene.takes_all(), (0..MAIL + 3).collect::<Vec<_>>());
    assert!(scene.is_empty());
    // Nothing waits any more.
    let effects = scene.world.send(scene.romeo, chat(MAIL + 3));
    for session in [scene.phone, scene.desk, scene.hall, attic] {
        assert_eq!(numbers(&effects, session), [MAIL + 3]);
    }
}

// What the phone has not got when its session ends comes to nobody who has it: the rest of the mail goes to another, and nothing else.
#[test]
fn what_waits_behind_mail_is_for_nobody_who_has_it() {
    let mut scene = scene();
    scene.writes(MAIL, JULIET);
    let (world, hall) = (&mut scene.world, scene.hall);
    let mut got = Vec::new();
    let mut effects = Vec::new();
    world.router.unbind(world.now, scene.phone, &mut effects);
    world.router.gone(world.now, scene.phone, &mut effects);
    world.serve(&mut effects);
    got.extend(numbers(&effects, hall));
    assert_eq!(got, (0..MAIL).collect::<Vec<_>>());
    assert!(scene.is_empty());
}

// A message that only the phone was to get goes with the rest, behind the mail.
#[test]
fn what_waits_behind_mail_goes_on_with_it() {
    let mut scene = scene();
    scene.world.unbind(scene.desk);
    scene.world.unbind(scene.hall);
    scene.writes(MAIL, JULIET);
    scene.writes(MAIL + 1, "juliet@example.com/phone");
    scene.world.unbound(scene.phone);
    assert_eq!(scene.world.kept(JULIET).len(), MAIL + 2);
    let late = scene.world.connect("juliet@example.com/late");
    let effects = scene.world.send(late, available(0));
    assert_eq!(numbers(&effects, late), (0..MAIL + 2).collect::<Vec<_>>());
    assert!(scene.is_empty());
}

// XEP-0198 §5, docs/guarantees.md: the same as for all that waits for a session without a connection: it is written, outlives a crash and a
// restart, and comes in order.
#[test]
fn what_waits_behind_mail_survives() {
    for (is_away, is_crash, is_restart) in
        [(true, false, false), (false, false, false), (true, true, false), (true, false, true)]
    {
        let mut scene = scene();
        scene.world.unbind(scene.desk);
        scene.world.unbind(scene.hall);
        if is_away {
            detach(&mut scene.world, scene.phone);
        }
        scene.writes(MAIL, JULIET);
        if !is_away {
            detach(&mut scene.world, scene.phone);
        }
        assert_eq!(scene.world.store.documents(&bare(JULIET), "undelivered").count(), 1);
        if is_crash {
            let mut world = crash(scene.world);
            let late = world.connect("juliet@example.com/late");
            let effects = world.send(late, available(0));
            assert_eq!(numbers(&effects, late), (0..=MAIL).collect::<Vec<_>>());
            continue;
        }
        if is_restart {
            scene.world.unbind(scene.romeo);
            let mut world = restart(scene.world, &[scene.phone], Duration::from_secs(5));
            scene.romeo = world.available("romeo@example.net/street", 0);
            scene.world = world;
            // More comes, to one that is still at it.
            scene.writes(MAIL + 1, JULIET);
        }
        scene.sent.clear();
        let (router, now) = (&mut scene.world.router, scene.world.now);
        assert!(router.resume(now, scene.phone, &bare(JULIET), 0, &mut scene.sent));
        scene.world.serve(&mut scene.sent);
        assert_eq!(scene.takes_all(), (0..=MAIL + usize::from(is_restart)).collect::<Vec<_>>());
        assert!(scene.is_empty());
    }
}

// docs/guarantees.md: the rest of the mail goes to another when its client takes no messages any more, which has got what is new at once.
#[test]
fn who_takes_no_more_leaves_the_mail_to_others() {
    let mut scene = scene();
    let at_once = scene.writes(MAIL, JULIET);
    let mut effects = scene.world.send(scene.phone, unavailable());
    scene.sent.append(&mut effects);
    let mut got = numbers(&scene.sent, scene.phone);
    let count = u32::try_from(wires(&scene.sent, scene.phone).len()).unwrap();
    scene.world.router.acknowledged(scene.world.now, scene.phone, count, &mut effects);
    scene.world.serve(&mut effects);
    got.extend(numbers(&effects, scene.phone));
    scene.hall_takes_all(&mut effects);
    let rest = numbers(&effects, scene.hall);
    assert_eq!(got.into_iter().chain(rest).collect::<Vec<_>>(), (0..MAIL).collect::<Vec<_>>());
    assert_eq!(numbers(&at_once, scene.hall), [MAIL]);
}

// XEP-0198 §4, docs/limits.md: messages that have waited behind mail say so when they go on, and are longer then. If that is more than may wait
// for the session it ends; what others hear of that goes through their queues, and is counted there.
#[test]
fn what_others_hear_of_one_that_catches_up_and_is_full_is_counted() {
    const BEHIND: usize = 40;
    let mut ended = 0;
    for most in (24_000..48_000).step_by(500) {
        let mut scene = scene_with(|limits| (limits.queue_bytes, limits.credit) = (most, 4_000));
        let (phone, hall) = (scene.phone, scene.hall);
        assert!(scene.world.router.manage(hall, WAIT, &mut Vec::new()));
        for number in MAIL..MAIL + BEHIND {
            scene.world.send(scene.romeo, chat(number).with_to(jid("juliet@example.com/phone")));
        }
        if scene.world.router.jid(phone).is_none() {
            continue;
        }
        scene.world.now = scene.world.now + Duration::from_secs(10);
        let mut heard = 0;
        while scene.world.router.jid(phone).is_some() && !wires(&scene.sent, phone).is_empty() {
            let count = u32::try_from(wires(&scene.sent, phone).len()).unwrap();
            scene.sent.clear();
            scene.world.router.acknowledged(scene.world.now, phone, count, &mut scene.sent);
            scene.world.serve(&mut scene.sent);
            heard += wires(&scene.sent, hall).len();
        }
        if scene.world.router.jid(phone).is_some() {
            continue;
        }
        ended += 1;
        assert!(heard > 0, "that it is over");
        // Its client has got so many, and says so.
        detach(&mut scene.world, hall);
        let (mut effects, count) = (Vec::new(), u32::try_from(heard).unwrap());
        let now = scene.world.now;
        assert!(scene.world.router.resume(now, hall, &bare(JULIET), count, &mut effects), "{most}");
    }
    assert!(ended > 0);
}

// docs/guarantees.md: what comes back from a session that is over goes before what waits behind mail and is later, in order. (In a list each of
// it would move all that has come back before: it took seconds for as many as there may be.)
#[test]
fn much_comes_back_before_much_that_waits_behind_mail() {
    const EACH: usize = 2_000;
    let mut scene = scene();
    let cellar = scene.world.connect("juliet@example.com/cellar");
    assert!(scene.world.router.manage(cellar, WAIT, &mut Vec::new()));
    let mut shown = scene.world.send(cellar, available(-1));
    for session in [scene.hall, scene.desk] {
        shown.extend(scene.world.unbound(session));
    }
    for (at, to) in ["cellar", "phone"].into_iter().enumerate() {
        for next in 0..EACH {
            let number = MAIL + at * EACH + next;
            let effects =
                scene.world.send(scene.romeo, chat(number).with_to(jid(&format!("juliet@example.com/{to}"))));
            shown.extend(effects);
        }
    }
    let world = &mut scene.world;
    world.router.unbind(world.now, cellar, &mut shown);
    world.router.gone(world.now, cellar, &mut shown);
    world.serve(&mut shown);
    scene.sent.append(&mut shown);
    assert!(scene.takes_all().into_iter().eq(0..MAIL + 2 * EACH));
    assert!(scene.is_empty());
}

// The head of replay.rs: a session that has lost its connection gets the rest when its client is back soon; otherwise somebody else gets it who is
// there, also if the next part came to it when its connection was lost already.
#[test]
fn a_part_for_one_that_has_just_been_lost_does_not_wait_for_it_for_long() {
    let mut scene = scene();
    let (phone, hall) = (scene.phone, scene.hall);
    let count = u32::try_from(wires(&scene.sent, phone).len()).unwrap();
    let got = numbers(&scene.sent, phone).len();
    // The store takes its time to delete the first part.
    let world = &mut scene.world;
    let mut effects = Vec::new();
    world.router.acknowledged(world.now, phone, count, &mut effects);
    let mut lost = Vec::new();
    assert!(world.router.detach(world.now, phone, &mut lost));
    effects.append(&mut lost);
    world.serve(&mut effects);
    world.now = world.now + config().limits.answer + Duration::from_secs(1);
    world.router.tick(world.now, &mut effects);
    world.serve(&mut effects);
    assert_eq!(numbers(&effects, hall), (got..MAIL).collect::<Vec<_>>());
}

// RFC 6120 §10.1, RFC 6121 §8.5.2.1.1 and §8.5.3.2.1: whoever takes no messages any more before the last part gets neither that nor what waits
// behind it, be it for the account or for a resource that is not there.
#[test]
fn what_waits_behind_mail_stays_behind_it_when_nobody_takes_messages_any_more() {
    for (hall_stays, to) in
        [false, true].into_iter().flat_map(|stays| [(stays, JULIET), (stays, "juliet@example.com/gone")])
    {
        let mut scene = scene_of(to, 4, |_| {});
        // Without the desk, which would get copies.
        let goes = [Some(scene.desk), (!hall_stays).then_some(scene.hall)];
        for other in goes.into_iter().flatten() {
            let effects = scene.world.unbound(other);
            scene.sent.extend(effects);
        }
        let at_once = scene.writes(100, to);
        assert!(numbers(&at_once, scene.hall).is_empty(), "it has less priority");
        let mut effects = scene.world.send(scene.phone, available(-1));
        let (mut hall, mut got) = (numbers(&effects, scene.hall), numbers(&scene.sent, scene.phone));
        got.extend(numbers(&effects, scene.phone));
        scene.sent.append(&mut effects);
        let count = u32::try_from(wires(&scene.sent, scene.phone).len()).unwrap();
        scene.sent.clear();
        scene.world.router.acknowledged(scene.world.now, scene.phone, count, &mut effects);
        scene.world.serve(&mut effects);
        scene.hall_takes_all(&mut effects);
        hall.extend(numbers(&effects, scene.hall));
        got.extend(numbers(&effects, scene.phone));
        assert!(!got.is_empty() && !got.contains(&100), "{to} {got:?}");
        if hall_stays {
            got.append(&mut hall);
        } else {
            assert!(hall.is_empty());
            let mut effects = scene.world.send(scene.phone, available(0));
            scene.sent.append(&mut effects);
            got.extend(scene.takes_all());
        }
        assert_eq!(got, (0..MAIL).chain([100]).collect::<Vec<_>>(), "{to}");
    }
}

// The same if all of it happens before the store has said what the first part is: with so much mail the phone gets a part of it, and then shows that
// it takes no more; without more of it what has come before that is the phone's, and what has come behind it is stored.
#[test]
fn what_waits_for_the_first_part_stays_behind_the_rest() {
    for mail in [2, MAIL] {
        let mut small = config();
        small.limits.output = 8_000;
        let mut world = World::with(small);
        for (one, other) in [("romeo@example.net", JULIET), (JULIET, "romeo@example.net")] {
            world.befriend(one, other, Subscription::Both);
        }
        let romeo = world.available("romeo@example.net/street", 0);
        (0..mail).for_each(|number| drop(world.send(romeo, chat(number))));
        let phone = world.connect("juliet@example.com/phone");
        let desk = world.connect("juliet@example.com/desk");
        world.at_once = false;
        let mut effects = world.send(phone, available(5));
        // All of these are for the own account, and wait one behind the other.
        effects.extend(world.send(desk, chat(mail)));
        effects.extend(world.send(phone, available(-1)));
        effects.extend(world.send(desk, chat(mail + 1)));
        (world.at_once, world.now) = (true, world.now + Duration::from_secs(1));
        world.serve(&mut effects);
        let mut got = numbers(&effects, phone);
        assert!(got.iter().copied().eq(0..got.len()), "{got:?}");
        assert_eq!(got.len() == mail + 1, mail < MAIL, "{got:?}");
        let mut effects = Vec::new();
        world.router.drained(world.now, phone, u64::MAX, &mut effects);
        world.serve(&mut effects);
        effects.extend(world.send(phone, available(0)));
        for _ in 0..MAIL {
            world.router.drained(world.now, phone, u64::MAX, &mut effects);
            world.serve(&mut effects);
        }
        got.extend(numbers(&effects, phone));
        assert_eq!(got, (0..=mail + 1).collect::<Vec<_>>());
    }
}

// docs/guarantees.md: a message that has waited says since when it does: behind the mail as well, if it goes elsewhere from there, as its client takes
// no messages any more or is gone.
#[test]
fn what_has_waited_behind_mail_says_since_when() {
    for is_over in [false, true] {
        let mut scene = scene();
        for other in [scene.desk, scene.hall] {
            scene.world.unbind(other);
        }
        scene.writes(100, JULIET);
        let came = scene.world.now;
        scene.world.now = came + WAIT;
        match is_over {
            true => drop(scene.world.unbind(scene.phone)),
            false => drop(scene.world.send(scene.phone, available(-1))),
        }
        let wire = wire(scene.world.kept(JULIET).last().unwrap());
        assert!(wire.contains("<body>100 "), "{wire}");
        assert!(wire.contains("stamp='2002-09-10T23:08:25"), "{is_over}: {wire}");
    }
}

// docs/guarantees.md: what waits is written as long as somebody may still get it: a message of which another client has taken a copy is not when the
// one that it was for takes no messages any more.
#[test]
fn what_waited_behind_mail_is_written_no_longer_than_it_waits() {
    let mut scene = scene();
    scene.world.unbind(scene.hall);
    detach(&mut scene.world, scene.phone);
    let copied = scene.writes(100, JULIET);
    assert_eq!(numbers(&copied, scene.desk), [100]);
    let (now, phone, desk) = (scene.world.now, scene.phone, scene.desk);
    let mut effects = Vec::new();
    scene.world.router.drained(now, desk, u64::MAX, &mut effects);
    scene.world.serve(&mut effects);
    let written = |scene: &Scene| scene.world.store.documents(&bare(JULIET), "undelivered").count();
    assert_eq!(written(&scene), 1);
    scene.sent.clear();
    assert!(scene.world.router.resume(now, phone, &bare(JULIET), 0, &mut scene.sent));
    scene.world.serve(&mut scene.sent);
    let mut effects = scene.world.send(phone, available(-1));
    let count = wires(&scene.sent, phone).len() + wires(&effects, phone).len();
    scene.world.router.acknowledged(now, phone, u32::try_from(count).unwrap(), &mut effects);
    scene.world.serve(&mut effects);
    for _ in 0..MAIL {
        scene.world.router.drained(now, desk, u64::MAX, &mut effects);
        scene.world.serve(&mut effects);
    }
    assert_eq!(numbers(&scene.sent, phone).into_iter().chain(numbers(&effects, desk)).max(), Some(MAIL - 1));
    assert_eq!(written(&scene), 0, "it has come, by the copy");
    for session in [phone, desk] {
        scene.world.unbind(session);
    }
    let late = scene.world.connect("juliet@example.com/late");
    let effects = scene.world.send(late, available(0));
    assert!(numbers(&effects, late).is_empty(), "once");
}
