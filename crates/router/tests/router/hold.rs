//! Extensions from outside that hold back what comes for a client, and take elements beside stanzas.

use balcony_router::Effect;
use balcony_router::extension::{Delivery, Extension, Extensions, Registry};
use balcony_stanza::{Kind, MessageType, Stanza};
use balcony_xml::{Element, Name};

use crate::world::{World, config, content, jid, wires};

/// A client says how much it bears: messages with a longer subject are held, those with the same only once. What begins with `!`
/// lets all go, and what begins with `+` goes at once.
#[derive(Clone, Copy, Debug)]
struct Patience;

impl Extension for Patience {
    const NAME: &'static str = "patience";
    type Account = ();
    type Client = usize;

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.stream_feature("patience", "urn:example:patience");
        registry.element("bear", "urn:example:patience", |_, context, element| {
            if let Some(patience) = context.client_mut() {
                *patience = element.text().parse().unwrap_or(0);
            }
        });
        registry.hold(|_, patience, stanza| {
            let text = subject(stanza);
            match text.chars().next() {
                Some('!') | None => Delivery::Flush,
                Some('+') => Delivery::Pass,
                _ if text.len() <= *patience => Delivery::Hold,
                _ => Delivery::Latest(text.into()),
            }
        });
    }
}

fn subject(stanza: &Stanza) -> String {
    let content = stanza.payload.parse().unwrap();
    let mut all = content.root().children().filter(|child| child.name() == "subject");
    all.next().map(|subject| subject.text().into_owned()).unwrap_or_default()
}

fn bear(world: &mut World, session: balcony_router::SessionId, patience: usize) -> Vec<Effect> {
    let element = Element::new(Name::from_static("bear"), "urn:example:patience").text(patience.to_string());
    let mut effects = Vec::new();
    world.router.element(world.now, session, element.root(), &mut effects);
    world.serve(&mut effects);
    effects
}

#[test]
fn an_extension_holds() {
    let mut config = config();
    config.extensions = Extensions::standard().with(Patience).build().unwrap();
    assert!(
        config.extensions.stream_features().any(|feature| feature == ("patience", "urn:example:patience"))
    );
    assert!(config.extensions.elements().any(|element| element == ("bear", "urn:example:patience")));
    let mut world = World::with(config);
    let romeo = world.connect("romeo@example.net/street");
    let phone = world.available("juliet@example.com/phone", 0);
    let send = |world: &mut World, text: &str| {
        let mut stanza = content(&format!("<subject>{text}</subject>")).with_to(jid("juliet@example.com"));
        stanza.head.kind = Kind::Message(MessageType::Normal);
        let effects = world.send(romeo, stanza);
        got(&effects, phone)
    };
    // It knows nothing of the client, and is not asked.
    assert_eq!(send(&mut world, "longer"), ["longer"]);
    assert!(bear(&mut world, phone, 3).is_empty());
    for held in ["abc", "longer", "abc", "longer", "ab"] {
        assert!(send(&mut world, held).is_empty());
    }
    assert_eq!(send(&mut world, "+now"), ["+now"], "past what is held");
    assert_eq!(send(&mut world, "!"), ["abc", "abc", "longer", "ab", "!"]);
    assert!(send(&mut world, "abc").is_empty());
    // It knows nothing any more.
    assert_eq!(got(&bear(&mut world, phone, 0), phone), ["abc"]);
    assert_eq!(send(&mut world, "longer"), ["longer"]);
    // What nobody knows says nothing.
    let element = Element::new(Name::from_static("bear"), "urn:example:other");
    let mut effects = Vec::new();
    world.router.element(world.now, phone, element.root(), &mut effects);
    assert!(effects.is_empty());
    assert_eq!(world.router.queued(), 0);
}

fn got(effects: &[Effect], phone: balcony_router::SessionId) -> Vec<String> {
    let subject =
        |wire: &String| Some(wire.split_once("<subject>")?.1.split_once("</subject>")?.0.to_owned());
    wires(effects, phone).iter().filter_map(subject).collect()
}

// Two of them: the first that does not let it pass decides, and they do not replace what the other holds.
#[test]
fn two_extensions_hold() {
    #[derive(Clone, Copy, Debug)]
    struct Other;
    impl Extension for Other {
        const NAME: &'static str = "other";
        type Account = ();
        type Client = bool;

        fn register(&self, registry: &mut Registry<'_, Self>) {
            registry.element("bear", "urn:example:other", |_, context, _| {
                if let Some(holds) = context.client_mut() {
                    *holds = true;
                }
            });
            registry.hold(|_, holds, stanza| match (holds, subject(stanza).as_str()) {
                (true, "+now") => Delivery::Latest("longer".into()),
                (true, _) => Delivery::Pass,
                (false, _) => Delivery::Flush,
            });
        }
    }
    let mut config = config();
    config.extensions = Extensions::standard().with(Patience).with(Other).build().unwrap();
    let mut world = World::with(config);
    let romeo = world.connect("romeo@example.net/street");
    let phone = world.available("juliet@example.com/phone", 0);
    bear(&mut world, phone, 1);
    let element = Element::new(Name::from_static("bear"), "urn:example:other");
    world.router.element(world.now, phone, element.root(), &mut Vec::new());
    let mut all = Vec::new();
    for text in ["longer", "+now", "longer", "+now", "!"] {
        let stanza = content(&format!("<subject>{text}</subject>")).with_to(jid("juliet@example.com"));
        all.extend(got(&world.send(romeo, stanza), phone));
    }
    assert_eq!(all, ["longer", "+now", "!"]);
}
