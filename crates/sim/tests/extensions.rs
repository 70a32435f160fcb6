//! An extension of somebody else in a whole server: what it asks reaches whoever runs the server, and the answer its client.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use core::time::Duration;

use balcony_client::{RequestKind, RequestOutcome};
use balcony_router::extension::{Access, Addressee, Extension, Extensions, Registry, Reply};
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::ErrorCondition;

const NS: &str = "urn:example:echo";

struct Echo;

impl Extension for Echo {
    const NAME: &'static str = "echo";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Account, NS);
        registry.get(Access::Owner, "echo", NS, |_, context, request| {
            context.external(request.element.text().as_bytes(), |_, _, answer| {
                let payload = balcony_stanza::Payload::from_bytes(&answer);
                payload.map_or(ErrorCondition::UndefinedCondition.into(), Reply::from)
            })
        });
    }
}

fn world(slow: bool) -> (World, Peer) {
    let accounts = Accounts::new().with("juliet@example.com", "j");
    let mut world = World::new(accounts, Chunks::Bytes, 3, |config| {
        config.extensions = Extensions::standard().with(Echo).build().unwrap();
    });
    let juliet = world.client("juliet@example.com/balcony", "j");
    world.slow_store = slow;
    world.external = |account, extension, question| {
        assert_eq!((account.as_str(), extension), ("juliet@example.com", "echo"));
        match question {
            b"nothing" => None,
            b"nonsense" => Some(b"</iq>".to_vec()),
            other => Some([b"<a xmlns='urn:a'>", other, b"</a>"].concat()),
        }
    };
    (world, juliet)
}

fn ask(world: &mut World, juliet: Peer, text: &str) {
    world.request(juliet, RequestKind::Get, None, &format!("<echo xmlns='{NS}'>{text}</echo>"));
}

fn condition(outcome: &RequestOutcome) -> ErrorCondition {
    let RequestOutcome::Error(error) = outcome else { panic!("{outcome:?}") };
    error.condition
}

#[test]
fn the_owner_answers() {
    for slow in [false, true] {
        let (mut world, juliet) = world(slow);
        for text in ["one", "two"] {
            ask(&mut world, juliet, text);
        }
        world.run();
        let outcomes = world.take_outcomes(juliet);
        let mut answers: Vec<_> = outcomes
            .iter()
            .map(|outcome| match outcome {
                RequestOutcome::Result(stanza) => {
                    String::from_utf8(stanza.payload.as_bytes().to_vec()).unwrap()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        answers.sort();
        assert_eq!(answers, ["<a xmlns='urn:a'>one</a>", "<a xmlns='urn:a'>two</a>"]);
        for (text, expected) in [
            ("nothing", ErrorCondition::InternalServerError),
            ("nonsense", ErrorCondition::UndefinedCondition),
        ] {
            ask(&mut world, juliet, text);
            world.run();
            assert_eq!(condition(&world.take_outcomes(juliet)[0]), expected);
        }
    }
}

// What is never answered fails in time, and keeps nobody from anything else.
#[test]
fn the_owner_says_nothing() {
    let (mut world, juliet) = world(true);
    world.store_hangs = true;
    ask(&mut world, juliet, "one");
    world.request(juliet, RequestKind::Get, None, "<ping xmlns='urn:xmpp:ping'/>");
    world.run();
    assert!(matches!(world.take_outcomes(juliet)[..], [RequestOutcome::Result(_)]));
    world.wait(Duration::from_secs(31));
    let outcomes = world.take_outcomes(juliet);
    assert!(outcomes.len() == 1 && !matches!(outcomes[0], RequestOutcome::Result(_)), "{outcomes:?}");
}
