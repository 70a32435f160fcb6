//! What whoever runs the server hears of extensions that do not work: clients hear `internal-server-error`, whatever it is.

use balcony_router::extension::{Access, Context, Damaged, Documents, Edit, Extension, Extensions, Hold};
use balcony_router::extension::{Registry, Reply, Request};
use balcony_router::{Answer, Effect, Level, SessionId};
use balcony_stanza::{IqType, Stanza};

use crate::world::{World, asks, config, document, request};

const NS: &str = "urn:example:broken";
const JULIET: &str = "juliet@example.com";
const FAILED: &str = "balcony: iq error internal-server-error/cancel";

/// Keeps something in a collection that it has forgotten to register, and asks for what nobody knows.
struct Broken;

impl Extension for Broken {
    const NAME: &'static str = "broken";
    type Account = bool;
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.documents("broken", 1, true);
        registry.set("save", NS, |_, context, _| {
            let edits = vec![Edit::put("borken", "key", 1, *b"typing error")];
            context.save(edits, Hold::Requests, |_, _| Reply::DONE)
        });
        registry.get(
            Access::Owner,
            "ask",
            NS,
            |_, context: &mut Context<'_, '_, Broken>, _: &Request<'_>| {
                context.external(*b"what?", |_, _, _| Reply::DONE)
            },
        );
    }

    fn load(&self, documents: &Documents<'_>) -> Result<bool, Damaged> {
        match documents.of("broken").next() {
            Some((_, content)) if &content.bytes[..] != b"whole" => Err(Damaged),
            found => Ok(found.is_some()),
        }
    }
}

fn empty() -> World {
    let mut config = config();
    config.extensions = Extensions::standard().with(Broken).build().unwrap();
    World::with(config)
}

fn world() -> (World, SessionId) {
    let mut world = empty();
    let balcony = world.available("juliet@example.com/balcony", 0);
    (world, balcony)
}

fn iq(kind: IqType, name: &str) -> Stanza {
    request(kind, &format!("<{name} xmlns='{NS}'/>"))
}

fn lines(effects: &[Effect]) -> Vec<&str> {
    let lines = effects.iter().filter_map(|effect| match effect {
        Effect::Log(Level::Warn, line) => Some(&**line),
        _ => None,
    });
    lines.collect()
}

// A client can ask as often as it likes; it does not fill the log by that.
#[test]
fn what_was_not_registered_is_said_once() {
    let (mut world, balcony) = world();
    let effects = world.send(balcony, iq(IqType::Set, "save"));
    assert_eq!(world.tell(&effects), [FAILED]);
    let [line] = &lines(&effects)[..] else { panic!("{effects:?}") };
    assert!(line.contains("extension broken") && line.contains("not registered"), "{line}");
    let effects = world.send(balcony, iq(IqType::Set, "save"));
    assert_eq!(world.tell(&effects), [FAILED]);
    assert!(lines(&effects).is_empty());
}

#[test]
fn what_the_program_does_not_answer_is_said_once() {
    let (mut world, balcony) = world();
    world.at_once = false;
    for is_said in [true, false] {
        let effects = world.send(balcony, iq(IqType::Get, "ask"));
        let [(ticket, _)] = asks(&effects)[..] else { panic!("{effects:?}") };
        let effects = world.answer(ticket, Answer::Refused);
        assert_eq!(world.tell(&effects), [FAILED]);
        let said = lines(&effects);
        assert_eq!(said.len(), usize::from(is_said), "{said:?}");
        assert!(said.iter().all(|line| line.contains("extension broken") && line.contains("program")));
    }
}

// Otherwise nobody could find out why this user's clients can't log in.
#[test]
fn a_damaged_document_is_named_by_account_and_extension() {
    let (mut world, _) = world();
    document(&mut world, JULIET, "broken", "key", b"secret, and torn");
    let mut again = empty();
    again.store = world.store;
    let effects = again.bind(SessionId(1), JULIET, "garden");
    let said = lines(&effects);
    assert!(
        said.iter().any(|line| line.contains(JULIET) && line.contains("extension broken")),
        "{effects:?}"
    );
    assert!(said.iter().all(|line| !line.contains("secret")));
}
