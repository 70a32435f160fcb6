//! An extension whose answers come later, from IO of the program that runs the server: what a user asks goes to another service.
//!
//! The extension asks ([`Context::external`]) and goes on with the answer; the server hands the question to its owner like everything
//! that may be slow. Here the server is a simulated one and the service a function; with `balcony_tokio::Server` it is what the program
//! does with `Ask::Router(Ask::External { .. })`, on whatever thread, before it hands all other asks to its store.
//!
//! `cargo run -p balcony-examples --example server_extension_io`
#![forbid(unsafe_code)]

use balcony_client::{RequestKind, RequestOutcome};
use balcony_router::extension::{
    Access, Addressee, Context, Extension, Extensions, Registry, Reply, Request,
};
use balcony_sim::{Accounts, Chunks, World};
use balcony_stanza::ErrorCondition::{BadRequest, ItemNotFound};
use balcony_xml::{Element, Name};

const NS: &str = "urn:example:dictionary";

struct Dictionary;

impl Extension for Dictionary {
    const NAME: &'static str = "dictionary";
    type Account = (); // It keeps nothing.
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Account, NS);
        registry.get(Access::Owner, "word", NS, word);
    }
}

/// `<word xmlns='urn:example:dictionary'>wherefore</word>`
fn word(_: &Dictionary, context: &mut Context<'_, '_, Dictionary>, request: &Request<'_>) -> Reply {
    let word = request.element.text();
    if word.is_empty() {
        return BadRequest.into();
    }
    context.external(word.as_bytes(), |_, _, answer| match core::str::from_utf8(&answer) {
        Ok("") | Err(_) => ItemNotFound.into(),
        Ok(meaning) => Element::new(Name::from_static("meaning"), NS).text(meaning).into(),
    })
}

/// The other service. A real one may take its time; a request that gets no answer in `Limits::answer` fails.
fn service(word: &[u8]) -> Option<Vec<u8>> {
    match word {
        b"wherefore" => Some(b"why".to_vec()),
        b"fire" => None, // It burns.
        _ => Some(Vec::new()),
    }
}

fn main() {
    let mut world = World::new(Accounts::new().with("juliet@example.com", "j"), Chunks::Whole, 1, |config| {
        config.extensions = Extensions::standard().with(Dictionary).build().expect("nothing is there twice");
    });
    world.slow_store = true; // All answers come later.
    world.external = |account, extension, question| {
        println!("{account} asks by {extension}: {}", String::from_utf8_lossy(question));
        if extension == Dictionary::NAME { service(question) } else { None }
    };
    let juliet = world.client("juliet@example.com/balcony", "j");
    for (word, expected) in
        [("wherefore", "why"), ("thou", "ItemNotFound"), ("fire", "InternalServerError"), ("", "BadRequest")]
    {
        world.request(juliet, RequestKind::Get, None, &format!("<word xmlns='{NS}'>{word}</word>"));
        world.run();
        let answer = match &world.take_outcomes(juliet)[..] {
            [RequestOutcome::Result(stanza)] => {
                String::from_utf8_lossy(stanza.payload.as_bytes()).into_owned()
            }
            other => format!("{other:?}"),
        };
        println!("  {answer}");
        assert!(answer.contains(expected), "{answer}");
    }
}
