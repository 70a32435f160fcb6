//! Tokens for logging in, as a store keeps them (XEP-0484).
#![allow(clippy::unwrap_used)]

#[macro_use]
mod common;

use std::sync::mpsc;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_sasl::{Credentials, Hash, KeptToken, Mechanism, TokenUse};
use balcony_server::{Answer, Ask};
use balcony_store::{Change, Store, Worker, WorkerConfig};
use balcony_stream::server::{NewToken, ServerAnswer, ServerAsk};
use common::{Place, credentials, jid};

in_every_place!(
    tokens_end_with_what_they_stand_for,
    a_login_and_the_next_one,
    no_token_for_a_password_of_before,
    what_an_account_lacks_does_not_show,
    tokens_are_not_exported,
    tokens_that_have_ended_are_forgotten,
);

fn worker(store: &Store, lifetime: u64) -> Worker {
    let config = WorkerConfig {
        iterations: 4096,
        token_lifetime: core::time::Duration::from_secs(lifetime),
        ..WorkerConfig::default()
    };
    Worker::start_with(store.clone(), config)
}

fn ask(worker: &Worker, ask: ServerAsk) -> ServerAnswer {
    let (send, answer) = mpsc::channel();
    worker.handle(Ask::Stream(ask), Box::new(move |answer| send.send(answer).unwrap()));
    let Answer::Stream(answer) = answer.recv().unwrap() else { panic!("another answer") };
    answer
}

const NONE: Mechanism = Mechanism::HtSha256None;

fn keep(worker: &Worker, used: Option<TokenUse>, wanted: Option<Mechanism>) -> ServerAnswer {
    let (account, agent, name) = (jid("juliet@example.org"), String::from("phone"), String::from("Phone"));
    ask(worker, ServerAsk::KeepToken { account, agent, name, used, wanted, salt: None })
}

fn give(worker: &Worker) -> NewToken {
    match keep(worker, None, Some(NONE)) {
        ServerAnswer::TokenKept(Some(token)) => token,
        other => panic!("{other:?}"),
    }
}

/// The tokens that the client has, with their numbers.
fn held(worker: &Worker, agent: &str) -> Vec<(u64, Secret<String>, bool)> {
    let ask_for = ServerAsk::Tokens { account: jid("juliet@example.org"), agent: agent.into() };
    let ServerAnswer::Tokens(tokens) = ask(worker, ask_for) else { panic!("no tokens") };
    tokens.into_iter().map(|token| (token.id, token.token, token.is_new)).collect()
}

// RFC 6120 §6.5.10: whoever asks by each hash sees one salt, also of an account that has keys for one hash only.
fn what_an_account_lacks_does_not_show(place: &Place) {
    let store = place.open();
    let juliet = jid("juliet@example.org");
    let mut old = Credentials::default();
    old.set(credentials("pencil").get(Hash::Sha1).unwrap().clone());
    store.commit([&Change::Create { account: juliet.clone(), credentials: old, replace: false }]).unwrap();
    let worker = worker(&store, 1_000);
    let salt = |hash: Hash| match ask(&worker, ServerAsk::Credentials { account: juliet.clone(), hash }) {
        ServerAnswer::Credentials(keys) => keys.map(|keys| keys.salt().to_owned()),
        other => panic!("{other:?}"),
    };
    let shown = salt(Hash::Sha1);
    assert!(shown.is_some());
    assert!(Hash::all().iter().all(|hash| salt(*hash) == shown));
}

// [FA28]
fn tokens_end_with_what_they_stand_for(place: &Place) {
    let store = place.open();
    let juliet = jid("juliet@example.org");
    let worker = worker(&store, 1_000);
    assert!(matches!(keep(&worker, None, Some(NONE)), ServerAnswer::TokenGone), "there is no account");
    type End = fn(&Store, BareJid) -> bool;
    let ends: [(&str, End); 4] = [
        ("a new password", |store, account| store.set_credentials(&account, credentials("new")).unwrap()),
        ("an account that is replaced", |store, account| {
            let credentials = credentials("other");
            store.commit([&Change::Create { account, credentials, replace: true }]).unwrap() == [true]
        }),
        ("the end of the account", |store, account| store.remove(&account).unwrap()),
        ("its user's will", |store, account| {
            let revoke = Change::RevokeToken { account, id: None };
            store.commit([&revoke]).unwrap() == [true] && store.commit([&revoke]).unwrap() == [false]
        }),
    ];
    for (what, end) in ends {
        store.create(&juliet, credentials("old")).unwrap();
        let token = give(&worker);
        let [(id, text, true)] = &held(&worker, "phone")[..] else { panic!("one new token") };
        assert_eq!(text.expose(), token.token.expose());
        assert!(end(&store, juliet.clone()), "{what}");
        assert!(held(&worker, "phone").is_empty(), "{what}");
        let used = TokenUse { id: *id, invalidate: false };
        assert!(matches!(keep(&worker, Some(used), None), ServerAnswer::TokenGone), "{what}");
        // An account by the same name has none either.
        store.create(&juliet, credentials("old")).unwrap();
        assert!(held(&worker, "phone").is_empty(), "{what}");
        store.remove(&juliet).unwrap();
    }
    // Keys for another hash are of the same password.
    store.create(&juliet, common::credentials_for(&[Hash::Sha1, Hash::Sha256], "old")).unwrap();
    give(&worker);
    let before = held(&worker, "phone")[0].0;
    let keys = credentials("old").get(Hash::Sha512).unwrap().clone();
    assert_eq!(store.commit([&Change::AddKeys { account: juliet, keys }]).unwrap(), [true]);
    assert_eq!(held(&worker, "phone")[0].0, before);
}

// [FA14] [FA15] [FA18] [FA23], and it is durable before the client is told
fn a_login_and_the_next_one(place: &Place) {
    let store = place.open();
    store.create(&jid("juliet@example.org"), credentials("pw")).unwrap();
    let first = {
        let worker = worker(&store, 1_000);
        let token = give(&worker);
        let [(id, _, true)] = &held(&worker, "phone")[..] else { panic!("one new token") };
        assert!(held(&worker, "another").is_empty());
        let used = TokenUse { id: *id, invalidate: false };
        assert!(matches!(keep(&worker, Some(used), None), ServerAnswer::TokenKept(None)));
        token
    };
    drop(store);
    let store = place.open();
    let worker = worker(&store, 1_000);
    let [(id, text, false)] = &held(&worker, "phone")[..] else { panic!("one token in use") };
    assert_eq!(text.expose(), first.token.expose());
    // Another one beside it, until that is used.
    let used = TokenUse { id: *id, invalidate: false };
    let ServerAnswer::TokenKept(Some(next)) = keep(&worker, Some(used), Some(NONE)) else { panic!() };
    let [(new, text, true), (old, _, false)] = &held(&worker, "phone")[..] else { panic!("two tokens") };
    assert!(text.expose() == next.token.expose() && old == id);
    let used = TokenUse { id: *new, invalidate: false };
    assert!(matches!(keep(&worker, Some(used), None), ServerAnswer::TokenKept(None)));
    assert_eq!(held(&worker, "phone").len(), 1);
    let used = TokenUse { id: *new, invalidate: true };
    assert!(matches!(keep(&worker, Some(used), None), ServerAnswer::TokenKept(None)));
    assert!(held(&worker, "phone").is_empty());
}

// Who has begun with the old password, and ends after the new one is set, gets no token; nor of an account by the same name.
fn no_token_for_a_password_of_before(place: &Place) {
    let store = place.open();
    let juliet = jid("juliet@example.org");
    store.create(&juliet, credentials("old")).unwrap();
    let worker = worker(&store, 1_000);
    let salt = |what| Some(Box::from(credentials(what).get(Hash::Sha256).unwrap().salt()));
    let keep = |salt| {
        let (account, agent, name) = (juliet.clone(), String::from("phone"), String::new());
        ask(&worker, ServerAsk::KeepToken { account, agent, name, used: None, wanted: Some(NONE), salt })
    };
    assert!(matches!(keep(salt("old")), ServerAnswer::TokenKept(Some(_))));
    store.set_credentials(&juliet, credentials("new")).unwrap();
    assert!(matches!(keep(salt("old")), ServerAnswer::TokenGone));
    assert!(held(&worker, "phone").is_empty());
    store.remove(&juliet).unwrap();
    store.create(&juliet, credentials("other")).unwrap();
    assert!(matches!(keep(salt("new")), ServerAnswer::TokenGone));
    assert!(matches!(keep(salt("other")), ServerAnswer::TokenKept(Some(_))));
}

// [FA19]: what is kept is not the token, and does not leave the store
fn tokens_are_not_exported(place: &Place) {
    let store = place.open();
    store.create(&jid("juliet@example.org"), credentials("pw")).unwrap();
    let token = give(&worker(&store, 1_000));
    let mut text = Vec::new();
    store.export(&mut text, &mut |_| {}).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains(token.token.expose()) && !text.contains("phone"), "{text}");
    let account = store.get(&jid("juliet@example.org")).unwrap().unwrap();
    let [KeptToken { name, agent, .. }] = account.tokens.all() else { panic!("one token") };
    assert_eq!((&**name, &**agent), ("Phone", "phone"));
    assert!(!format!("{account:?}").contains(token.token.expose()));
}

fn tokens_that_have_ended_are_forgotten(place: &Place) {
    let store = place.open();
    let juliet = jid("juliet@example.org");
    store.create(&juliet, credentials("pw")).unwrap();
    let brief = worker(&store, 0);
    give(&brief);
    let all = || store.get(&juliet).unwrap().unwrap().tokens.all().len();
    assert_eq!(all(), 0);
    let longer = worker(&store, 1_000);
    give(&longer);
    assert_eq!(all(), 1);
    // Of a store that is full of them no record grows without bound.
    for agent in 0..50 {
        let (account, agent, name) = (juliet.clone(), format!("{agent}"), "x".repeat(64));
        let wanted = Some(NONE);
        let kept =
            ask(&longer, ServerAsk::KeepToken { account, agent, name, used: None, wanted, salt: None });
        assert!(matches!(kept, ServerAnswer::TokenKept(Some(_))));
    }
    assert_eq!(all(), balcony_sasl::MOST_CLIENTS);
}
