//! Any messages in a SASL exchange, from either side: no step out of order, and an end that is one.
//!
//! The first line names the mechanism, with `+` behind it if the channel can be bound; every other line is a message.
#![no_main]

use balcony_fuzz::{PASSWORD, credentials};
use balcony_machine::Secret;
use balcony_sasl::{
    Binding, BindingState, ClientExchange, ClientStep, Mechanism, ServerExchange, ServerStep, fake_keys,
    salt_password,
};
use libfuzzer_sys::fuzz_target;

const CHANNEL: Binding = Binding::TlsExporter([5; 32]);

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let (name, bound) = first.strip_suffix(b"+").map_or((first, false), |name| (name, true));
    let Some(mechanism) = core::str::from_utf8(name).ok().and_then(Mechanism::from_name) else { return };
    let messages: Vec<&[u8]> = lines.collect();
    server(mechanism, bound, &messages);
    client(mechanism, bound, &messages);
});

fn server(mechanism: Mechanism, bound: bool, messages: &[&[u8]]) {
    let mut exchange = ServerExchange::new(mechanism, bound.then_some(CHANNEL), bound, "servers-nonce");
    let mut step = exchange.initial(messages.first().copied());
    let mut messages = messages.iter().skip(1);
    loop {
        step = match step {
            Ok(ServerStep::Challenge(challenge)) => {
                assert!(challenge.len() <= 16 * 1024 + 1024, "a bounded challenge");
                let Some(message) = messages.next() else { return };
                exchange.response(message)
            }
            Ok(ServerStep::AskCredentials { username, .. }) => {
                let hash = mechanism.hash().expect("only SCRAM asks for keys");
                let stored = credentials().get(hash).filter(|_| username == "juliet").cloned();
                exchange.credentials(stored.unwrap_or_else(|| fake_keys(&[9; 32], &username, hash, 4096)))
            }
            Ok(ServerStep::AskVerify { username, password, .. }) => {
                assert_eq!(mechanism, Mechanism::Plain, "only PLAIN shows the password");
                exchange.verified(username == "juliet" && password.expose() == PASSWORD)
            }
            Ok(ServerStep::Success { username, .. }) => {
                assert_eq!(username, "juliet", "nobody else knows a password");
                assert!(!mechanism.is_plus() || bound, "bound without a channel");
                assert!(exchange.response(b"").is_err(), "the end is the end");
                return;
            }
            Err(_) => {
                assert!(
                    exchange.response(b"").is_err() && exchange.initial(Some(b"")).is_err(),
                    "errors stick"
                );
                return;
            }
        };
    }
}

fn client(mechanism: Mechanism, bound: bool, messages: &[&[u8]]) {
    let binding = match (mechanism.is_plus(), bound) {
        (true, true) => BindingState::Use(CHANNEL),
        (true, false) => return,
        (false, true) => BindingState::SupportedNotOffered,
        (false, false) => BindingState::Unsupported,
    };
    let password = Secret::new(String::from(PASSWORD));
    let mut exchange = ClientExchange::new(mechanism, "juliet", password, None, binding, "clients-nonce")
        .expect("good arguments")
        .with_max_iterations(4096);
    let Some((last, challenges)) = messages.split_last() else { return };
    let mut proven = 0;
    for challenge in challenges {
        match exchange.challenge(challenge) {
            Ok(ClientStep::Send(response)) => {
                assert!(response.len() <= 64 * 1024, "a bounded response");
                proven += 1;
            }
            Ok(ClientStep::AskSalted { hash, password, salt, iterations }) => {
                let stored = credentials().get(hash).expect("keys");
                let known = *salt == *stored.salt() && iterations == stored.iterations();
                // Whatever else the server says its salt is costs one hash only, and is as good as wrong.
                let salt = if known { &*salt } else { &b"wrong"[..] };
                let salted = salted(hash, password.expose(), salt);
                assert!(exchange.salted(salted).is_ok());
                proven += 1;
            }
            Err(_) => {
                assert!(exchange.success(None).is_err() && exchange.challenge(b"").is_err(), "errors stick");
                return;
            }
        }
    }
    let accepted = exchange.success(Some(last)).is_ok();
    // SCRAM takes its challenge first, whatever the server claims.
    assert!(!accepted || mechanism == Mechanism::Plain || proven >= 1, "a server that has shown nothing");
}

/// Two salts are asked for: each is hashed once.
fn salted(hash: balcony_sasl::Hash, password: &str, salt: &[u8]) -> balcony_sasl::SaltedPassword {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};
    type Known = BTreeMap<(balcony_sasl::Hash, Vec<u8>), balcony_sasl::SaltedPassword>;
    static KNOWN: Mutex<Known> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (hash, salt.to_vec());
    known.entry(key).or_insert_with(|| salt_password(hash, password, salt, 4096).expect("a password")).clone()
}
