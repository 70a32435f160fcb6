//! What a client sent before its connection ended counts, however slow the store is and however the connection ends.
#![allow(clippy::unwrap_used)]

use core::time::Duration;

use balcony_router::extension::Extensions;
use balcony_router::extension::offline::Offline;
use balcony_server::Ended;
use balcony_sim::{Accounts, Chunks, Peer, World};

const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.com";

/// How romeo's connection ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// With the closing tag of the stream.
    Closed,
    /// With the closing tag, and the end of the transport behind it.
    ClosedAndHungUp,
    /// With the end of the transport.
    HungUp,
    /// The network breaks.
    Broken,
}

/// Romeo sends so many messages to somebody who is away at once, and his connection ends; the store answers later. What is stored
/// then, in its order.
fn stored(to: &str, count: usize, end: End, change: impl FnOnce(&mut World, Peer)) -> Vec<String> {
    let accounts = Accounts::new().with(JULIET, "pencil").with(ROMEO, "crayon");
    let mut world = World::new(accounts, Chunks::Whole, 1, |config| {
        config.limits.output = 2_000;
        let offline = Offline { messages: usize::MAX, bytes: usize::MAX };
        config.extensions = Extensions::standard().with(offline).build().unwrap();
    });
    world.slow_store = true;
    let romeo = world.client("romeo@example.com/garden", "crayon");
    world.run();
    change(&mut world, romeo);
    let messages: String = (0..count)
        .map(|id| format!("<message to='{to}' type='chat' id='{id}'><body>x</body></message>"))
        .collect();
    world.write(romeo, messages.as_bytes());
    if matches!(end, End::Closed | End::ClosedAndHungUp) {
        world.write(romeo, b"</stream:stream>");
    }
    match end {
        End::Closed => {}
        End::ClosedAndHungUp | End::HungUp => world.hang_up(romeo),
        End::Broken => {
            world.hang_up(romeo);
            world.cut(romeo);
        }
    }
    world.run();
    assert_eq!(world.server.connections(), 0, "{end:?}");
    assert_eq!(world.server.router().counts().sessions, 0, "{end:?}");
    let is_in_order = matches!(world.ended(romeo), Some(Ended::Closed));
    assert_eq!(is_in_order, matches!(end, End::Closed | End::ClosedAndHungUp), "{end:?}");
    let stored = world.accounts.waiting(to);
    stored.iter().map(|message| message.head.id.as_deref().unwrap().to_owned()).collect()
}

const ENDS: [End; 4] = [End::Closed, End::ClosedAndHungUp, End::HungUp, End::Broken];

// RFC 6120 §10.1; RFC 6121 §8.5.2.2.1: the router takes 64 stanzas of a session whose fate it is to hear of, and the next one waits in
// the connection. What he sends to himself is of that kind; juliet is a stranger to him, and what he sends to her counts as handled.
#[test]
fn the_last_stanza_is_not_lost() {
    for to in [JULIET, ROMEO] {
        for end in ENDS {
            for count in [1, 64, 65, 66, 256, 257, 600] {
                let all: Vec<_> = (0..count).map(|id| id.to_string()).collect();
                assert_eq!(stored(to, count, end, |_, _| {}), all, "{to}: {end:?}");
            }
        }
    }
}

// The same where the answers to what comes before fill up the connection, and are never read.
#[test]
fn nor_is_it_behind_answers_that_nobody_reads() {
    let asked = |world: &mut World, romeo: Peer| {
        world.stall(romeo, true);
        // The stream itself refuses them.
        world.write(romeo, "<iq type='wish' id='w'/>".repeat(50).as_bytes());
    };
    for to in [JULIET, ROMEO] {
        assert_eq!(stored(to, 300, End::Broken, asked).len(), 300, "{to}");
    }
}

// RFC 6120 §8.3.3.18, §4.6 [W3]: nothing waits for ever, whoever hangs, and nobody is kept busy by it.
#[test]
fn a_store_that_hangs_ends_nothing_but_what_waits_for_it() {
    let accounts = Accounts::new().with(JULIET, "pencil").with("romeo@example.com", "crayon");
    let mut world = World::new(accounts, Chunks::Whole, 1, |_| {});
    world.slow_store = true;
    let romeo = world.client("romeo@example.com/garden", "crayon");
    let reader = world.client("romeo@example.com/orchard", "crayon");
    world.store_hangs = true;
    // To himself: of what becomes of messages to strangers he may not hear.
    let message = "<message to='romeo@example.com' type='chat' id='m'><body>x</body></message>";
    world.write(romeo, message.repeat(300).as_bytes());
    world.stall(reader, true);
    let ping = "<iq type='get' id='p' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>";
    world.write(reader, ping.repeat(20).as_bytes());
    // `World` checks that nothing is due any more after each tick.
    world.wait(Duration::from_secs(3_600));
    let told = world.take_stanzas(romeo).into_iter().filter(|stanza| stanza.head.kind.is_error());
    assert_eq!(told.count(), 300, "each has its error");
    assert!(!world.is_closed(romeo) && world.is_closed(reader));
    assert_eq!(world.server.router().counts().asks, 0);
}
