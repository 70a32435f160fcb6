//! What a program does for its server's extensions, beside whatever answers for the accounts.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a program, with threads of its own")]
#![cfg(feature = "server")]

use core::time::Duration;
use std::time::Instant;

use balcony::prelude::*;
use balcony::server::extension::{self, Access, Context, Extension, Extensions, Registry};
use balcony::server::{ExternalReply, Transport, pipe};
use balcony::{Error, Response};

const NS: &str = "urn:example:oracle";

struct Oracle;

impl Extension for Oracle {
    const NAME: &'static str = "oracle";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.get(Access::Owner, "question", NS, question);
    }
}

fn question(
    _: &Oracle,
    context: &mut Context<'_, '_, Oracle>,
    request: &extension::Request<'_>,
) -> extension::Reply {
    context.external(request.element.text().as_bytes(), |_, _, answer| {
        let answer = String::from_utf8_lossy(&answer);
        Element::new(Name::from_static("answer"), NS).text(&answer).into()
    })
}

/// Has a client ask, of a server with accounts in memory whose program does `answer`.
fn ask(
    questions: &[&str],
    answer: impl Fn(String, ExternalReply) + Send + Sync + 'static,
) -> Vec<Result<Response, Error>> {
    block_on(async {
        let accounts = MemoryAccounts::new().with("romeo@localhost", "r0m30").unwrap();
        let extensions = Extensions::standard().with(Oracle).build().unwrap();
        let server = Server::builder("localhost")
            .external("oracle", move |account, question, reply| {
                answer(format!("{account}: {}", String::from_utf8_lossy(&question)), reply);
            })
            .accounts(accounts)
            .configure(|config| config.extensions = extensions)
            .dangerous_without_tls()
            .start()
            .unwrap();
        let (ours, theirs) = pipe();
        server.connect(theirs, "memory", Transport::Stream);
        let client = Client::builder("romeo@localhost/garden").password("r0m30").dangerous_without_tls();
        let client = client.over(ours).await.unwrap();
        let mut answers = Vec::new();
        for question in questions {
            let element = Element::new(Name::from_static("question"), NS).text(question);
            answers.push(client.request(Iq::get(element)).await);
        }
        answers
    })
}

#[test]
fn the_program_answers_extensions_beside_accounts_in_memory() {
    let answers = ask(&["where?", "how?"], |question, reply| {
        std::thread::spawn(move || reply.answer(question.into_bytes()));
    });
    let words: Vec<String> =
        answers.into_iter().map(|answer| answer.unwrap().element().unwrap().text().into_owned()).collect();
    assert_eq!(words, ["romeo@localhost: where?", "romeo@localhost: how?"]);
}

#[test]
fn a_reply_that_is_dropped_fails_the_request_at_once() {
    let start = Instant::now();
    let answers = ask(&["refuse", "drop", "panic"], |question, reply| {
        if question.ends_with("refuse") {
            reply.refuse();
        } else if question.ends_with("panic") {
            // The thread is not waited for, and what it holds is dropped with it.
            std::thread::spawn(move || {
                let _held = reply;
                std::panic::resume_unwind(Box::new("no oracle"));
            });
        }
    });
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    for answer in answers {
        let Err(Error::Request(RequestError::Refused(error))) = answer else { panic!("{answer:?}") };
        assert_eq!(error.condition, ErrorCondition::InternalServerError);
    }
}

/// `?` on an address works in a `main` that returns the error of this crate, and says what is wrong.
#[test]
fn what_is_wrong_with_an_address_is_an_error_of_the_front_door() {
    fn parse(text: &str) -> Result<Jid, Error> {
        Ok(text.parse()?)
    }
    let error = parse("@example.com").unwrap_err();
    assert!(matches!(error, Error::Address(..)));
    assert_eq!(error.to_string(), "@example.com".parse::<Jid>().unwrap_err().to_string());
    assert!(core::error::Error::source(&error).is_none(), "the same words twice");
}

/// A name that is misspelt is said at once, instead of failing each request.
#[test]
fn a_server_does_not_start_with_answers_for_an_extension_that_it_does_not_have() {
    let server = Server::builder("localhost").external("orakle", |_, _, reply| reply.refuse());
    let error = server.dangerous_without_tls().start().map(drop).unwrap_err();
    assert!(matches!(error, Error::Config(_)) && error.to_string().contains("orakle"), "{error}");
}
