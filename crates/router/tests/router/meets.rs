//! What is held, what is written, and what waits for clients, together.

use core::time::Duration;

use balcony_roster::Subscription;
use balcony_router::SessionId;
use balcony_stanza::{Kind, MessageType, Stanza};
use balcony_xep::csi::ClientState;

use crate::csi::says;
use crate::world::{World, config, content, jid};

const JULIET: &str = "juliet@example.com";
const WAIT: Duration = Duration::from_secs(600);

fn friends(config: balcony_router::Config) -> (World, SessionId) {
    let mut world = World::with(config);
    for (one, other) in [("romeo@example.net", JULIET), (JULIET, "romeo@example.net")] {
        world.befriend(one, other, Subscription::Both);
    }
    let romeo = world.available("romeo@example.net/street", 0);
    (world, romeo)
}

fn phone(world: &mut World, name: &str, wait: Duration) -> SessionId {
    let phone = world.available(&format!("{JULIET}/{name}"), 0);
    assert!(world.router.manage(phone, wait, &[]));
    phone
}

fn detach(world: &mut World, session: SessionId) {
    let mut effects = Vec::new();
    assert!(world.router.detach(world.now, session, &mut effects));
    world.serve(&mut effects);
}

fn message(xml: &str) -> Stanza {
    let mut stanza = content(xml);
    stanza.head.kind = Kind::Message(MessageType::Chat);
    stanza.to(jid(JULIET))
}

// Limits::queue_bytes, of what is not urgent as well.
#[test]
fn what_is_held_is_bounded_by_the_queue() {
    for is_detached in [false, true] {
        let mut small = config();
        (small.limits.queue_bytes, small.limits.held, small.limits.credit) = (20_000, 4, 2_000);
        let (mut world, romeo) = friends(small);
        let phone = phone(&mut world, "phone", WAIT);
        says(&mut world, phone, ClientState::Inactive);
        if is_detached {
            detach(&mut world, phone);
        }
        world.at_once = false;
        let receipt = format!("<received xmlns='urn:xmpp:receipts' id='{}'/>", "1".repeat(500));
        let mut most = 0;
        for _ in 0..200 {
            world.send(romeo, message(&receipt).to(jid("juliet@example.com/phone")));
            most = most.max(world.router.queued());
        }
        assert!(most < 30_000, "{is_detached}: {most} bytes");
        assert!(world.router.jid(phone).is_none());
    }
}
