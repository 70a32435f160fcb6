//! Sessions without a connection (XEP-0198) among others: which of them give way, and who answers for them.

use core::time::Duration;

use balcony_router::{Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, Stanza};

use crate::world::{World, bare, config, content, jid, request, wires};

const JULIET: &str = "juliet@example.com";
const WAIT: Duration = Duration::from_secs(600);

fn chat(number: usize, size: usize) -> Stanza {
    let mut stanza = content(&format!("<body>{number}</body><x xmlns='{}'/>", "x".repeat(size)));
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.to(jid(JULIET))
}

fn closed(effects: &[Effect]) -> Vec<SessionId> {
    let closed = |effect: &Effect| match effect {
        Effect::Close { session, .. } => Some(*session),
        _ => None,
    };
    effects.iter().filter_map(closed).collect()
}

fn detach(world: &mut World, session: SessionId) {
    assert!(world.router.detach(world.now, session));
    world.now = world.now + Duration::from_secs(1);
}

// Limits::resources: a phone that begins session after session is not locked out by those that it has left behind: of these the one that
// waits longest ends.
#[test]
fn sessions_that_wait_keep_nobody_out() {
    let mut small = config();
    small.limits.resources = 3;
    let mut world = World::with(small);
    let romeo = world.available("romeo@example.net/street", 0);
    let desk = world.available("juliet@example.com/desk", -1);
    let first = world.available("juliet@example.com/first", 1);
    let second = world.available("juliet@example.com/second", 0);
    for session in [first, second] {
        assert!(world.router.manage(session, WAIT));
    }
    detach(&mut world, first);
    detach(&mut world, second);
    world.send(romeo, chat(0, 1));
    let effects = world.bind(SessionId(1_000), JULIET, "third");
    assert_eq!(closed(&effects), [first], "the one that has waited longest");
    // What waited for it goes its way once more.
    let mut effects = Vec::new();
    assert!(world.router.resume(world.now, second, &bare(JULIET), 0, &mut effects));
    assert!(wires(&effects, second).iter().any(|wire| wire.contains("<body>0</body>")), "{effects:?}");
    assert_eq!(world.router.sessions(&bare(JULIET)).collect::<Vec<_>>(), [desk, second, SessionId(1_000)]);
    // Those with connections stay.
    let refused = world.router.bind(world.now, SessionId(1_001), &bare(JULIET), Some("fourth"), &mut effects);
    assert!(refused.is_err());
}

// Limits::total_queue_bytes: when it is full those without a connection go first, the oldest of them before the others, and no more than
// it takes.
#[test]
fn the_oldest_goes_first_when_all_is_full() {
    let mut small = config();
    small.limits.total_queue_bytes = 20_000;
    let mut world = World::with(small);
    let romeo = world.available("romeo@example.net/street", 0);
    let names = ["a", "b", "c", "d"].map(|name| format!("{name}@example.com"));
    let phones = names.clone().map(|name| world.available(&format!("{name}/phone"), 0));
    for phone in phones {
        assert!(world.router.manage(phone, WAIT));
    }
    for phone in [phones[2], phones[0], phones[1]] {
        detach(&mut world, phone);
    }
    let mut effects = Vec::new();
    // For the one that is oldest nothing waits, so nothing would be won by its end.
    for number in 0..40 {
        let to = [0, 1][number % 2];
        effects.append(&mut world.send(romeo, chat(number, 500).to(jid(&names[to]))));
        if closed(&effects).len() == 1 {
            break;
        }
    }
    assert_eq!(closed(&effects), [phones[0]]);
    assert!(world.router.queued() <= 20_000 && world.router.jid(phones[1]).is_some());
    assert!(world.router.jid(phones[3]).is_some() && world.router.jid(phones[2]).is_some());
}

// RFC 6120 §8.2.3: a request has one answer. The phone has answered, and its connection was lost before it could say that it had got the
// request; then its session ends.
#[test]
fn what_was_answered_is_not_refused() {
    let mut world = World::new();
    let desk = world.available("juliet@example.com/desk", 0);
    let phone = world.available("juliet@example.com/phone", 0);
    assert!(world.router.manage(phone, WAIT));
    let ping = |id: &str| {
        request(IqType::Get, "<ping xmlns='urn:xmpp:ping'/>").id(id).to(jid("juliet@example.com/phone"))
    };
    world.send(desk, ping("one"));
    world.send(desk, ping("two"));
    let answer = Stanza::iq(IqType::Result).id("one").to(jid("juliet@example.com/desk"));
    assert_eq!(wires(&world.send(phone, answer), desk).len(), 1);
    detach(&mut world, phone);
    world.now = world.now + WAIT;
    let mut effects = Vec::new();
    world.router.tick(world.now, &mut effects);
    let refused: Vec<_> = wires(&effects, desk).into_iter().filter(|wire| wire.contains("<iq ")).collect();
    assert!(refused.len() == 1 && refused[0].contains("id='two'"), "{refused:?}");
}
