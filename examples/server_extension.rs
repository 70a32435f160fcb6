//! An extension of a server, from outside of it: things to do, which a user's clients keep there; others can't tell whether they do.
//! See `docs/extensions.md`. It runs in a simulated server: `cargo run -p balcony-examples --example server_extension`
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use balcony_client::RequestKind::{Get, Set};
use balcony_router::DocumentEdit;
use balcony_router::extension::{
    Access, Addressee, Context, Damaged, Documents, Edit, Extension, Extensions, Hold, Registry, Reply,
    Request,
};
use balcony_sim::{Accounts, Chunks, World};
use balcony_stanza::ErrorCondition::ResourceConstraint;
use balcony_xml::{Element, Name};

const NS: &str = "urn:example:todo";
const ITEMS: &str = "todo-items";

/// With so many items an account, at most.
struct Todo(usize);

impl Extension for Todo {
    const NAME: &'static str = "todo";
    type Account = BTreeSet<String>; // The items.
    type Client = ();

    fn load(&self, documents: &Documents<'_>) -> Result<BTreeSet<String>, Damaged> {
        Ok(documents.of(ITEMS).map(|(item, _)| item.to_owned()).collect())
    }

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Account, NS);
        registry.documents(ITEMS, 1, true);
        registry.get(Access::Owner, "todo", NS, |_, context, _| {
            let item = |item: &String| Element::new(Name::from_static("item"), NS).text(item);
            let list = Element::new(Name::from_static("todo"), NS);
            context.state().iter().map(item).fold(list, Element::child).into()
        });
        registry.set("add", NS, add);
    }
}

/// `<add xmlns='urn:example:todo'>Buy a ladder</add>`
fn add(most: &Todo, context: &mut Context<'_, '_, Todo>, request: &Request<'_>) -> Reply {
    let item = request.element.text().into_owned();
    if item.len() > DocumentEdit::LONGEST_KEY || context.state().len() >= most.0 {
        return ResourceConstraint.into();
    }
    context.save([Edit::put(ITEMS, &item, 1, [])].into(), Hold::Requests, |_, context| {
        context.state_mut().map(|items| items.insert(item)); // It is durable.
        Reply::DONE
    })
}

fn main() {
    let accounts = Accounts::new().with("juliet@example.com", "j").with("romeo@example.com", "r");
    let mut world = World::new(accounts, Chunks::Whole, 1, |config| {
        config.extensions = Extensions::standard().with(Todo(1)).build().expect("nothing is there twice");
    });
    let juliet = world.client("juliet@example.com/a", "j");
    let romeo = world.client("romeo@example.com/b", "r");
    let mut ask = |who, kind, to, xml: &str| {
        let before = world.received(who).len();
        world.request(who, kind, to, xml);
        world.run();
        let answer = String::from_utf8_lossy(&world.received(who)[before..]).into_owned();
        println!("{xml}\n  {answer}");
        answer
    };
    let add = |item| format!("<add xmlns='{NS}'>{item}</add>");
    assert!(ask(juliet, Set, None, &add("Buy a ladder")).contains("type='result'"));
    assert!(ask(juliet, Set, None, &add("Empty a vial")).contains("<resource-constraint "));
    let list = format!("<todo xmlns='{NS}'/>");
    assert!(ask(juliet, Get, None, &list).contains("<item>Buy a ladder</item></todo>"));
    assert!(ask(juliet, Get, None, "<query xmlns='http://jabber.org/protocol/disco#info'/>").contains(NS));
    for account in ["juliet@example.com", "nobody@example.com"] {
        assert!(ask(romeo, Get, Some(account), &list).contains("<service-unavailable "));
    }
}
