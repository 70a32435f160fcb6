//! Documents and logs, beside the model of the contract that the router's own crate has.
#![allow(clippy::unwrap_used, reason = "these are tests")]

#[macro_use]
mod common;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::mpsc::channel;

use balcony_jid::BareJid;
use balcony_router::extension::{Collection, Kind};
use balcony_router::{
    Answer, Append, Ask, Change, Collections, Content, Document, DocumentEdit, Entry, LogEdit, Memory, Room,
};
use balcony_server::{Answer as ServerAnswer, Ask as ServerAsk, SavedSession};
use balcony_store::{Edit, Owner, Store, StoreConfig, StoreError, TransferError, Worker};
use common::history::{account, message, messages, of, put, save, waiting};
use common::{Place, credentials, jid};
use proptest::prelude::*;

fn content(version: u8, bytes: &[u8]) -> Content {
    Content { version, bytes: bytes.into() }
}

fn document(collection: &'static str, key: &str, content: Option<Content>) -> DocumentEdit {
    DocumentEdit { collection: collection.into(), key: key.into(), content }
}

fn text(collection: &'static str, key: &str, bytes: &str) -> Edit {
    Edit::Document(document(collection, key, Some(content(1, bytes.as_bytes()))))
}

fn append(log: &'static str, bytes: &str, room: Room) -> LogEdit {
    LogEdit::Append(Append {
        log: log.into(),
        tag: "romeo@example.net".into(),
        content: content(1, bytes.as_bytes()),
        room,
    })
}

fn logged(log: &'static str, bytes: &str) -> Edit {
    Edit::Log(append(log, bytes, Room::UNBOUNDED))
}

fn trim(log: &'static str, up_to: u64) -> LogEdit {
    LogEdit::Trim { log: log.into(), up_to }
}

fn user(number: u8) -> Owner {
    Owner::Account(account(number))
}

fn creation(store: &Store, number: u8) -> u64 {
    store.get(&account(number)).unwrap().unwrap().creation
}

fn create(store: &Store, number: u8) {
    assert!(store.create(&account(number), credentials("pencil")).unwrap());
}

/// The keys and contents of a collection.
fn texts(store: &Store, owner: &Owner, collection: &str) -> Vec<(String, String)> {
    let found = store.documents(owner, collection, None, usize::MAX).unwrap();
    assert!(!found.more && found.documents.iter().all(|document| *document.collection == *collection));
    let text = |document: &Document| {
        (document.key.to_string(), String::from_utf8_lossy(&document.content.bytes).into_owned())
    };
    found.documents.iter().map(text).collect()
}

/// The contents of a log.
fn lines(store: &Store, owner: &Owner, log: &str) -> Vec<String> {
    let found = store.entries(owner, log, 0, usize::MAX).unwrap();
    assert!(!found.more && found.entries.is_sorted_by(|a, b| a.number < b.number));
    assert!(found.entries.iter().all(|entry| entry.at > 1_700_000_000_000 && entry.number > 0));
    let line = |entry: &Entry| String::from_utf8_lossy(&entry.content.bytes).into_owned();
    found.entries.iter().map(line).collect()
}

fn check(store: &Store) {
    store.check(&mut |problem| panic!("{problem}")).unwrap();
}

const NAMES: [&str; 3] = ["notes", "note", "notes2"];

/// What a step does for an account.
#[derive(Clone, Debug)]
enum Step {
    Save(u8, Vec<Edit>, bool),
    /// Trims a log behind so many of its entries.
    Trim(u8, &'static str, usize),
    Remake(u8),
    Reopen,
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = || prop::sample::select(&NAMES[..]);
    let bytes = || prop::collection::vec(any::<u8>(), 0..12);
    let keys = prop::sample::select(&KEYS[..]);
    let room = prop_oneof![
        Just(Room::UNBOUNDED),
        (0..6_usize, 0..40_usize).prop_map(|(entries, bytes)| Room { entries, bytes })
    ];
    prop_oneof![
        (name(), keys, prop::option::weighted(0.7, (any::<u8>(), bytes()))).prop_map(|(name, key, new)| {
            Edit::Document(document(name, key, new.map(|(version, bytes)| content(version, &bytes))))
        }),
        (name(), "[a-z\0\u{2665}]{0,3}", any::<u8>(), bytes(), room).prop_map(
            |(name, tag, version, bytes, room)| {
                let content = content(version, &bytes);
                Edit::Log(LogEdit::Append(Append { log: name.into(), tag: tag.into(), content, room }))
            }
        ),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3_u8, prop::collection::vec(edit(), 1..4), any::<bool>()).prop_map(|(who, edits, by_router)| Step::Save(who, edits, by_router)),
        2 => (0..2_u8, prop::sample::select(&NAMES[..]), 0..4_usize).prop_map(|(who, log, count)| Step::Trim(who, log, count)),
        1 => (0..2_u8).prop_map(Step::Remake),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

fn changes(creation: u64, edits: &[Edit]) -> Vec<Change> {
    let change = |edit: &Edit| match edit.clone() {
        Edit::Document(edit) => Change::Document { creation, edit },
        Edit::Log(edit) => Change::Log { creation, edit },
    };
    edits.iter().map(change).collect()
}

// The store has what the model has, after any history, and after it was opened again.
fn the_store_keeps_what_the_model_keeps(place: &Place, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut store = place.open();
    let mut model = Memory::default();
    // The third account never exists.
    for number in 0..2 {
        create(&store, number);
        model.create(account(number));
    }
    for step in steps {
        match step {
            Step::Save(who, edits, by_router) => {
                let own = store.get(&account(who)).unwrap().map_or(7, |account| account.creation);
                let theirs = model.kept(&account(who)).map_or(7, |kept| kept.creation);
                let done = match by_router {
                    true => store.save(&account(who), changes(own, &edits)).unwrap(),
                    false => store.edit(&user(who), None, edits.clone()).unwrap(),
                };
                let ask =
                    Ask::Save { account: account(who), changes: changes(theirs, &edits), by_others: false };
                prop_assert_eq!(done, model.answer(0, ask) == Answer::Saved);
            }
            Step::Trim(who, log, count) => {
                let last = |numbers: Vec<u64>| numbers.into_iter().take(count).next_back().unwrap_or(0);
                let found = store.entries(&user(who), log, 0, usize::MAX).unwrap().entries;
                let ours = last(found.iter().map(|entry| entry.number).collect());
                let theirs: Vec<u64> = model.entries(&account(who), log).map(|entry| entry.number).collect();
                if theirs.is_empty() || count == 0 {
                    continue;
                }
                prop_assert!(store.edit(&user(who), None, vec![Edit::Log(trim(log, ours))]).unwrap());
                let creation = model.kept(&account(who)).unwrap().creation;
                let changes = vec![Change::Log { creation, edit: trim(log, last(theirs)) }];
                prop_assert_eq!(
                    model.answer(0, Ask::Save { account: account(who), changes, by_others: false }),
                    Answer::Saved
                );
            }
            Step::Remake(who) => {
                prop_assert!(store.remove(&account(who)).unwrap());
                create(&store, who);
                model.remove(&account(who));
                model.create(account(who));
            }
            Step::Reopen => {
                drop(store);
                store = place.open();
            }
        }
    }
    for number in 0..3 {
        is_answered_as_by_the_model(&store, &mut model, &account(number))?;
    }
    for (number, name) in (0..3).flat_map(|number| NAMES.map(|name| (number, name))) {
        let found = store.documents(&user(number), name, None, usize::MAX).unwrap().documents;
        let found: Vec<_> = found.iter().map(|document| (&*document.key, &document.content)).collect();
        prop_assert_eq!(found, model.documents(&account(number), name).collect::<Vec<_>>());
        let found = store.entries(&user(number), name, 0, usize::MAX).unwrap().entries;
        let found: Vec<_> = found.iter().map(|entry| (&entry.tag, &entry.content)).collect();
        let expected: Vec<_> =
            model.entries(&account(number), name).map(|entry| (&entry.tag, &entry.content)).collect();
        prop_assert_eq!(found, expected);
    }
    check(&store);
    Ok(())
}

const KEYS: [&str; 6] = ["", "a", "a\0", "b", "\u{2665}", "romeo@example.net"];

/// What a router asks. Each store has numbers and a clock of its own.
fn is_answered_as_by_the_model(
    store: &Store,
    model: &mut Memory,
    account: &BareJid,
) -> Result<(), TestCaseError> {
    let owner = Owner::Account(account.clone());
    for names in [&NAMES[..], &NAMES[..1], &["notes2", "none", "notes2"], &[]] {
        let collections: Collections = names.iter().copied().map(Cow::Borrowed).collect();
        let mut kept = store.kept(account, &collections).unwrap();
        let Answer::Loaded(mut expected) =
            model.answer(0, Ask::Load { account: account.clone(), collections })
        else {
            unreachable!()
        };
        for kept in kept.iter_mut().chain(expected.as_deref_mut()) {
            (kept.creation, kept.now) = (0, 0);
            kept.documents
                .sort_by_key(|document| (document.collection.to_string(), document.key.to_string()));
        }
        prop_assert_eq!(kept, expected.map(|kept| *kept));
    }
    for (name, key) in NAMES.into_iter().flat_map(|name| KEYS.map(|key| (name, key))) {
        let (account, collection, key) = (account.clone(), name.into(), key.into());
        let expected = model.answer(0, Ask::Document { account, collection, key: Arc::clone(&key) });
        prop_assert_eq!(Answer::Document(store.document(&owner, name, &key).unwrap()), expected);
    }
    for (name, bytes) in
        NAMES.into_iter().flat_map(|name| [0, 7, 12, 30, usize::MAX].map(|bytes| (name, bytes)))
    {
        let found = store.entries(&owner, name, 0, bytes).unwrap();
        let Answer::Entries { entries, more } =
            model.answer(0, Ask::Entries { account: account.clone(), log: name.into(), bytes })
        else {
            unreachable!()
        };
        let parts = |entries: Vec<Entry>| -> Vec<_> {
            entries.into_iter().map(|entry| (entry.tag, entry.content)).collect()
        };
        prop_assert_eq!((parts(found.entries), found.more), (parts(entries), more), "{} {}", name, bytes);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn histories_in_a_file(steps in steps()) {
        the_store_keeps_what_the_model_keeps(&Place::file(), steps)?;
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn histories_in_tables(steps in steps()) {
        if let Some(place) = Place::tables() {
            the_store_keeps_what_the_model_keeps(&place, steps)?;
        }
    }
}

in_every_place!(
    holders_are_found,
    sessions_are_taken_once,
    an_account_that_was_made_anew_is_another,
    an_account_takes_its_collections_with_it,
    owners_are_told_apart,
    changes_of_one_owner_are_one_commit,
    a_log_has_as_much_room_as_is_wanted,
    a_router_is_answered,
    parts_follow_each_other,
    names_and_keys_have_bounds,
    a_newer_collection_is_refused,
    everything_is_exported,
    what_is_there_twice_is_not_imported,
    a_newer_collection_is_not_imported,
    a_text_without_an_owner_is_incomplete
);

// What was meant for an account is not done to its successor by the same name.
// Those who have documents in a collection are found in parts, whatever else they and others have.
fn holders_are_found(place: &Place) {
    let store = place.open();
    for number in 0..6 {
        create(&store, number);
    }
    let has = [
        (0, "owed"),
        (1, "notes"),
        (1, "zeal"),
        (2, "notes"),
        (2, "owed"),
        (4, "owed"),
        (4, "zeal"),
        (5, "owe"),
    ];
    for (number, collection) in has {
        for key in ["one", "two"] {
            assert!(store.edit(&user(number), None, vec![text(collection, key, "x")]).unwrap());
        }
    }
    let domain = Owner::Domain(jid("example.com"));
    assert!(store.edit(&domain, None, vec![text("owed", "one", "x")]).unwrap());
    let mut expected = [0, 2, 4].map(account);
    expected.sort();
    for limit in 1..5 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let part = store.holders("owed", after.as_ref(), limit).unwrap();
            assert!(part.len() <= limit);
            let Some(last) = part.last() else { break };
            after = Some(last.clone());
            found.extend(part);
        }
        found.sort();
        assert_eq!(found, expected);
    }
    assert!(store.holders("nothing", None, 9).unwrap().is_empty());
}

fn an_account_that_was_made_anew_is_another(place: &Place) {
    let store = place.open();
    create(&store, 0);
    let before = creation(&store, 0);
    assert_eq!(store.kept(&account(0), &[]).unwrap().unwrap().creation, before);
    assert!(store.set_credentials(&account(0), credentials("other")).unwrap());
    assert_eq!(creation(&store, 0), before, "a new password makes no new account");
    assert!(store.save(&account(0), changes(before, &[text("notes", "a", "mine")])).unwrap());

    assert!(store.remove(&account(0)).unwrap());
    create(&store, 0);
    let now = creation(&store, 0);
    assert!(now > before);
    // Nothing of it is done, also what has no number.
    for late in [text("notes", "a", "late"), Edit::Log(trim("log", 9)), logged("log", "late")] {
        let mut late_changes = of(before, vec![put(message("hi"))]);
        late_changes.extend(changes(before, core::slice::from_ref(&late)));
        assert!(!store.save(&account(0), late_changes).unwrap());
        assert!(!store.edit(&user(0), Some(before), vec![late.clone()]).unwrap());
        assert!(store.edit(&user(0), Some(now), vec![late]).unwrap());
    }
    assert_eq!(waiting(&store.kept(&account(0), &[]).unwrap().unwrap()), 0);
    drop(store);
    let store = place.open();
    assert_eq!(creation(&store, 0), now);
    assert!(store.remove(&account(0)).unwrap());
    create(&store, 0);
    assert!(creation(&store, 0) > now);
}

fn an_account_takes_its_collections_with_it(place: &Place) {
    let store = place.open();
    // Names of which one begins as the other does.
    let names = ["user@example.com", "user0@example.com", "use@example.com", "user@example.org"].map(jid);
    for name in &names {
        store.create(name, credentials("pencil")).unwrap();
        let edits = vec![text("an extension of tomorrow", "a", "x"), logged("its log", "y")];
        assert!(store.edit(&Owner::Account(name.clone()), None, edits).unwrap());
    }
    assert!(store.remove(&names[0]).unwrap());
    check(&store);
    let found = |name: &balcony_jid::BareJid| {
        let owner = Owner::Account(name.clone());
        (texts(&store, &owner, "an extension of tomorrow").len(), lines(&store, &owner, "its log").len())
    };
    assert_eq!(names.each_ref().map(found), [(0, 0), (1, 1), (1, 1), (1, 1)]);
    store.create(&names[0], credentials("pencil")).unwrap();
    assert_eq!(found(&names[0]), (0, 0));
    assert!(store.backup(&names[0]).unwrap().unwrap().collections.is_empty());
    assert!(!store.edit(&user(9), None, vec![text("notes", "a", "x")]).unwrap(), "there is no such account");
}

fn owners_are_told_apart(place: &Place) {
    let store = place.open();
    let address = jid("example.org");
    store.create(&address, credentials("pencil")).unwrap();
    let room = Owner::Service(jid("balcony@rooms.example.org"));
    let owners = [
        Owner::Account(address.clone()),
        Owner::Service(address.clone()),
        Owner::Domain(address.clone()),
        room,
    ];
    for (number, owner) in owners.iter().enumerate() {
        let edits = vec![text("notes", "a", &number.to_string()), logged("log", &number.to_string())];
        assert!(store.edit(owner, None, edits).unwrap());
    }
    for (number, owner) in owners.iter().enumerate() {
        assert_eq!(texts(&store, owner, "notes"), [("a".into(), number.to_string())]);
        assert_eq!(lines(&store, owner, "log"), [number.to_string()]);
    }
    let others = || {
        let mut found = Vec::new();
        while let Some(owned) = store.next_owned(found.last()).unwrap() {
            assert!(!owned.collections.is_empty());
            found.push(owned.owner);
        }
        found
    };
    assert_eq!(others(), [owners[1].clone(), owners[3].clone(), owners[2].clone()]);
    check(&store);
    let clear = |owner: &Owner| {
        let change = balcony_store::Change::Clear { owner: owner.clone() };
        store.commit([&change]).unwrap() == [true]
    };
    assert!(clear(&owners[1]) && !clear(&owners[1]));
    assert!(store.remove(&address).unwrap());
    assert_eq!(others(), owners[2..].iter().rev().cloned().collect::<Vec<_>>());
    check(&store);
}

fn changes_of_one_owner_are_one_commit(place: &Place) {
    let store = place.open();
    create(&store, 0);
    let before = store.commits();
    let edits = vec![
        text("notes", "a", "one"),
        text("notes", "a", "two"),
        text("others", "b", "three"),
        Edit::Document(document("others", "b", None)),
        logged("log", "four"),
        logged("log", "five"),
    ];
    let mut all = changes(creation(&store, 0), &edits);
    all.extend(of(creation(&store, 0), vec![put(message("hi"))]));
    assert!(store.save(&account(0), all).unwrap());
    assert_eq!(store.commits(), before + 1);
    assert_eq!(texts(&store, &user(0), "notes"), [("a".into(), "two".into())]);
    assert!(texts(&store, &user(0), "others").is_empty());
    assert_eq!(lines(&store, &user(0), "log"), ["four", "five"]);
    assert_eq!(waiting(&store.kept(&account(0), &[]).unwrap().unwrap()), 1);
}

// Messages that wait for an account are such a log (XEP-0160 §2).
fn a_log_has_as_much_room_as_is_wanted(place: &Place) {
    let store = place.open();
    create(&store, 0);
    let owner = user(0);
    let room = Room { entries: 3, bytes: 10 };
    let append = |bytes: &str, room| Edit::Log(append("log", bytes, room));
    let put = |edits: Vec<Edit>| store.edit(&owner, None, edits).unwrap();
    assert!(!put(vec![append("elevenbytes", room)]));
    assert!(put(vec![append("four", room), append("five", room)]));
    assert!(!put(vec![append("six", room)]), "eleven bytes");
    assert!(!put(vec![append("s", room), append("t", room)]), "four entries, and all or none");
    assert!(put(vec![append("s", room)]));
    assert!(!put(vec![append("", room)]));
    // Who has less room than others finds it taken by them.
    assert!(!put(vec![append("", Room { entries: 2, bytes: 5 })]));
    // What makes room may come with what needs it.
    let first = store.entries(&owner, "log", 0, 1).unwrap().entries[0].number;
    assert!(put(vec![Edit::Log(trim("log", first)), append("four", room)]));
    assert_eq!(lines(&store, &owner, "log"), ["five", "s", "four"]);
    // A part that is trimmed twice makes room once.
    let entries = store.entries(&owner, "log", 0, usize::MAX).unwrap().entries;
    let [first, second, _] = [0, 1, 2].map(|place| entries[place].number);
    let trims = || [first, first, second].map(|up_to| Edit::Log(trim("log", up_to))).into_iter();
    assert!(!put(trims().chain(["x", "y", "z"].map(|bytes| append(bytes, room))).collect()));
    assert!(put(trims().chain([append("five", room), append("s", room)]).collect()));
    assert_eq!(lines(&store, &owner, "log"), ["four", "five", "s"]);
    check(&store);
    // Others' logs, and other logs, are others' affair.
    assert!(put(vec![logged("log2", "xxxxxxxxxxxx"), append("", Room::UNBOUNDED)]));
    // No number is used twice.
    let last = store.entries(&owner, "log", 0, usize::MAX).unwrap().entries.last().unwrap().number;
    assert!(put(vec![Edit::Log(trim("log", u64::MAX))]));
    assert!(put(vec![append("next", room)]));
    assert!(store.entries(&owner, "log", 0, 1).unwrap().entries[0].number > last);
}

// What a router asks of a worker, also for an account that does not exist.
fn a_router_is_answered(place: &Place) {
    let store = place.open();
    create(&store, 0);
    let edits =
        vec![text("notes", "a", "x"), text("other", "a", "y"), logged("log", "one"), logged("log", "two")];
    assert!(store.edit(&user(0), None, edits).unwrap());
    let worker = Worker::start(store);
    let ask = |ask| {
        let (send, reply) = channel();
        worker.handle(ServerAsk::Router(ask), Box::new(move |answer| send.send(answer).unwrap()));
        match reply.recv().unwrap() {
            ServerAnswer::Router(answer) => answer,
            other => panic!("{other:?}"),
        }
    };
    let load = |account| match ask(Ask::Load { account, collections: [Cow::Borrowed("notes")].into() }) {
        Answer::Loaded(kept) => kept,
        other => panic!("{other:?}"),
    };
    let kept = load(account(0)).unwrap();
    assert_eq!(kept.logs, [("log".into(), 2)]);
    let [Document { collection, key, content }] = &kept.documents[..] else { panic!("{kept:?}") };
    assert_eq!((&**collection, &**key, &*content.bytes), ("notes", "a", &b"x"[..]));
    assert_eq!(load(account(9)), None);

    let document =
        |account, key: &str| ask(Ask::Document { account, collection: "other".into(), key: key.into() });
    assert_eq!(document(account(0), "a"), Answer::Document(Some(content_of("y"))));
    assert_eq!(document(account(0), "b"), Answer::Document(None));
    assert_eq!(document(account(9), "a"), Answer::Document(None));

    let entries = |account, bytes| match ask(Ask::Entries { account, log: "log".into(), bytes }) {
        Answer::Entries { entries, more } => (entries.len(), more),
        other => panic!("{other:?}"),
    };
    assert_eq!([5, 6].map(|bytes| entries(account(0), bytes)), [(1, true), (2, false)]);
    assert_eq!(entries(account(9), 5), (0, false));
}

fn content_of(text: &str) -> Content {
    content(1, text.as_bytes())
}

fn parts_follow_each_other(place: &Place) {
    let store = place.open();
    create(&store, 0);
    let owner = user(0);
    let keys = ["", "a", "a\0", "b", "b@c"];
    let mut edits: Vec<Edit> = keys.iter().rev().map(|key| text("notes", key, "12345")).collect();
    edits.extend((0..5).map(|number| logged("log", &number.to_string().repeat(5))));
    edits.extend([text("note", "x", ""), text("notes\u{1}", "x", ""), logged("lo", ""), logged("logs", "")]);
    assert!(store.edit(&owner, None, edits).unwrap());
    for bytes in [0, 1, 11, 12, 24, 25, 1_000] {
        let mut found: Vec<Document> = Vec::new();
        let mut parts = 0;
        loop {
            let after = found.last().map(|document| document.key.clone());
            let part = store.documents(&owner, "notes", after.as_deref(), bytes).unwrap();
            assert!(!part.documents.is_empty());
            found.extend(part.documents);
            parts += 1;
            if !part.more {
                break;
            }
        }
        assert_eq!(found.iter().map(|document| &*document.key).collect::<Vec<_>>(), keys, "{bytes}");
        assert_eq!(parts == 1, bytes == 1_000, "{bytes}");
        let mut found: Vec<Entry> = Vec::new();
        loop {
            let part =
                store.entries(&owner, "log", found.last().map_or(0, |last| last.number), bytes).unwrap();
            assert!(!part.entries.is_empty());
            found.extend(part.entries);
            if !part.more {
                break;
            }
        }
        assert_eq!(found.len(), 5, "{bytes}");
    }
    for after in ["b@c", "c"] {
        assert!(store.documents(&owner, "notes", Some(after), 9).unwrap().documents.is_empty());
    }
    for after in [u64::MAX, u64::MAX - 1, i64::MAX.cast_unsigned()] {
        assert!(store.entries(&owner, "log", after, 9).unwrap().entries.is_empty());
    }
}

fn names_and_keys_have_bounds(place: &Place) {
    let store = place.open();
    create(&store, 0);
    let long: String = (0_u32..)
        .map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 26))
        .take(4_096)
        .collect();
    let put = |collection: &str, key: &str| {
        let collection: Cow<'static, str> = Cow::Owned(collection.to_owned());
        let entry = Append {
            log: collection.clone(),
            tag: key.into(),
            content: content(0, b""),
            room: Room::UNBOUNDED,
        };
        let edit = DocumentEdit { collection, key: key.into(), content: Some(content(0, b"x")) };
        let both = [Edit::Document(edit), Edit::Log(LogEdit::Append(entry))];
        both.map(|edit| store.edit(&user(0), None, vec![edit]).unwrap())
    };
    let name = "n".repeat(64);
    assert_eq!(put(&name, &long), [true; 2]);
    assert_eq!(put("\u{2665}", "\0\u{10ffff}"), [true; 2]);
    for (name, key) in [("", "a"), ("a\0", "a"), (&*format!("{name}n"), "a"), ("a", &*format!("{long}n"))] {
        assert_eq!(put(name, key), [false; 2], "{name:?}");
    }
    assert_eq!(texts(&store, &user(0), &name), [(long, "x".into())]);
    check(&store);
}

fn known(all: &[(Kind, u8)]) -> Arc<[Collection]> {
    all.iter()
        .map(|(kind, version)| Collection { kind: *kind, name: "notes".into(), version: *version })
        .collect()
}

fn two() -> Arc<[Collection]> {
    known(&[(Kind::Documents, 2)])
}

fn a_newer_collection_is_refused(place: &Place) {
    let log = || known(&[(Kind::Log, 0)]);
    let open = |collections: Arc<[Collection]>| {
        place.try_open(StoreConfig { collections, ..StoreConfig::default() })
    };
    let store = open(two()).unwrap();
    create(&store, 0);
    let version = |version| vec![Edit::Document(document("notes", "a", Some(content(version, b"x"))))];
    assert!(store.edit(&user(0), None, version(2)).unwrap());
    drop(store);
    let store = open(two()).unwrap();
    assert!(store.edit(&user(0), None, version(3)).unwrap());
    assert!(store.edit(&user(0), None, version(1)).unwrap());
    drop(store);
    for _ in 0..2 {
        let error = open(two()).unwrap_err();
        assert_eq!(error, StoreError::NewerCollection { name: "notes".into(), found: 3, supported: 2 });
        let line = error.to_string();
        assert!(line.contains("\"notes\" was written by a newer balcony") && !line.contains('\n'), "{line}");
    }
    // Who knows it, or does not know the collection at all, finds everything as it is.
    for collections in [known(&[(Kind::Documents, 3), (Kind::Log, 0)]), log(), known(&[])] {
        let store = open(collections).unwrap();
        assert_eq!(texts(&store, &user(0), "notes"), [("a".into(), "x".into())]);
    }
    let store = open(log()).unwrap();
    let late =
        Append { log: "notes".into(), tag: "".into(), content: content(1, b""), room: Room::UNBOUNDED };
    assert!(store.edit(&user(0), None, vec![Edit::Log(LogEdit::Append(late))]).unwrap());
    drop(store);
    assert!(matches!(open(log()).unwrap_err(), StoreError::NewerCollection { found: 1, supported: 0, .. }));
}

fn export(store: &Store) -> String {
    let mut text = Vec::new();
    store.export(&mut text, &mut |_| {}).unwrap();
    String::from_utf8(text).unwrap()
}

fn import(store: &Store, text: &str) -> Result<Vec<(Owner, bool)>, TransferError> {
    let mut told = Vec::new();
    store.import(&mut text.as_bytes(), &mut |owner, _, done| told.push((owner.clone(), done))).map(|()| told)
}

/// Accounts and others, with documents and logs that have gaps.
fn lived(place: &Place) -> Store {
    let store = place.open();
    create(&store, 0);
    create(&store, 1);
    let room = Owner::Service(jid("balcony@rooms.example.org"));
    for owner in [user(0), room, Owner::Domain(jid("example.org"))] {
        let edits = vec![
            text("notes", "\0\u{2665}", "<&>"),
            Edit::Document(document("notes", "b", Some(content(9, &[0, 255, 7])))),
            logged("log", "one"),
            logged("log", "two"),
            logged("other", "three"),
        ];
        assert!(store.edit(&owner, None, edits).unwrap());
        let first = store.entries(&owner, "log", 0, 1).unwrap().entries[0].number;
        assert!(
            store.edit(&owner, None, vec![Edit::Log(trim("log", first)), logged("log", "four")]).unwrap()
        );
    }
    store
}

fn places() -> Vec<Place> {
    #[cfg(feature = "postgres")]
    return [Some(Place::file()), Place::tables(), Some(Place::file())].into_iter().flatten().collect();
    #[cfg(not(feature = "postgres"))]
    return vec![Place::file()];
}

fn everything_is_exported(place: &Place) {
    let store = lived(place);
    let text = export(&store);
    let last = store.entries(&Owner::Domain(jid("example.org")), "log", 0, usize::MAX).unwrap();
    let last = last.entries.last().unwrap().number;
    for place in places() {
        let store = place.open();
        let told = import(&store, &text).unwrap();
        assert!(told.len() == 4 && told.iter().all(|(_, done)| *done), "{told:?}");
        check(&store);
        assert_eq!(export(&store), text, "the numbers of entries, too");
        // It goes on behind what was imported.
        let owner = Owner::Domain(jid("example.org"));
        assert!(store.edit(&owner, None, vec![logged("log", "five")]).unwrap());
        assert!(store.entries(&owner, "log", last, 9).unwrap().entries[0].number > last);
        // Those that have something stay as they are.
        let before = export(&store);
        let told = import(&store, &text).unwrap();
        assert!(told.iter().all(|(_, done)| !done), "{told:?}");
        assert_eq!(export(&store), before);
    }
}

// An entry whose number another one has would take its place in one kind of store, and fail its neighbours' accounts, too, in another.
fn what_is_there_twice_is_not_imported(place: &Place) {
    let text = export(&lived(&Place::file()));
    let store = place.open();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for line in [lines[1], lines[3]] {
        let numbers: Vec<&str> =
            line.split("\"number\":").skip(1).map(|rest| rest.split(',').next().unwrap()).collect();
        let number = |of: &str| format!("\"number\":{of},");
        let same_number = line.replacen(&number(numbers[1]), &number(numbers[0]), 1);
        let same_key = line.replacen("\"key\":\"b\"", "\"key\":\"\\u0000\u{2665}\"", 1);
        let same_log = line.replacen("\"log\":\"other\"", "\"log\":\"log\"", 1);
        for bad in [same_number, same_key, same_log] {
            assert_ne!(bad, line);
            let error = import(&store, &[lines[0], lines[2], &bad].concat()).unwrap_err();
            assert!(matches!(error, TransferError::Line { number: 3, .. }), "{bad}: {error}");
            assert!(store.remove(&account(1)).unwrap(), "what came before it is done");
        }
    }
}

// What this program could not open later, it does not take.
fn a_newer_collection_is_not_imported(place: &Place) {
    let text = export(&lived(&Place::file()));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let open = || place.try_open(StoreConfig { collections: two(), ..StoreConfig::default() });
    for line in [lines[1], lines[3]] {
        let store = open().unwrap();
        let error = import(&store, &[lines[0], line].concat()).unwrap_err();
        let newer = StoreError::NewerCollection { name: "notes".into(), found: 9, supported: 2 };
        assert_eq!(error, TransferError::Store(newer));
        drop(store);
    }
    assert!(open().is_ok());
}

fn a_text_without_an_owner_is_incomplete(place: &Place) {
    let text = export(&lived(&Place::file()));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 6, "header, accounts, owners, footer");
    let without = [&lines[..3], &lines[4..]].concat().concat();
    let store = place.open();
    assert_eq!(import(&store, &without), Err(TransferError::Incomplete));
    for (good, bad) in [
        ("\"owner\":\"service\"", "\"owner\":\"account\""),
        ("\"owner\":\"service\"", "\"owner\":\"serviced\""),
        ("\"collection\":\"notes\"", "\"collection\":\"\""),
        ("\"content\":\"", "\"content\":\"!"),
        ("\"number\":", "\"number\":0,\"was\":"),
        ("\"version\":9", "\"version\":900"),
    ] {
        assert!(lines[3].contains(good), "{good}");
        let text = [lines[0], &lines[3].replacen(good, bad, 1)].concat();
        let error = import(&store, &text).unwrap_err();
        assert!(matches!(error, TransferError::Line { number: 2, .. }), "{bad}: {error}");
    }
}

/// The folder of a program that knew no collections, and the text that it has exported then.
const OLD: &[u8] = include_bytes!("data/version-2.redb");
const OLD_TEXT: &str = include_str!("data/version-2.jsonl");

/// The same, with blocked addresses and messages in collections.
const MOVED_TEXT: &str = include_str!("data/version-2-moved.jsonl");

/// What has happened to old data.
fn is_whole_and_goes_on(place: &Place, expected: &str) {
    let juliet = jid("juliet@example.org");
    let before = place.open().get(&juliet).unwrap().unwrap().creation;
    for round in 0..2 {
        let store = place.open();
        assert_eq!(export(&store), expected);
        check(&store);
        let kept = store.kept(&juliet, &[]).unwrap().unwrap();
        assert_eq!((waiting(&kept), kept.creation), (3, before));
        let owner = Owner::Account(juliet.clone());
        assert!(store.save(&juliet, changes(before, &[text("notes", "a", "new")])).unwrap());
        assert_eq!(texts(&store, &owner, "notes").len(), 1, "{round}");
        assert!(store.edit(&owner, None, vec![Edit::Document(document("notes", "a", None))]).unwrap());
    }
    // Numbers go on behind all that were given.
    let store = place.open();
    let nurse = jid("nurse@example.org");
    let four = messages(&store, &nurse, usize::MAX).0[0].number;
    assert!(save(&store, &nurse, vec![put(message("five"))]));
    let (found, _) = messages(&store, &nurse, usize::MAX);
    assert!(found.len() == 2 && found[1].number > before && found[1].stanza == message("five"));
    drop(store);
    // An account that is made anew is not the old one.
    let store = place.open();
    assert!(store.remove(&juliet).unwrap());
    store.create(&juliet, credentials("pencil")).unwrap();
    assert!(found.len() == 2 && found[1].number > four && found[1].stanza == message("five"));
    assert!(!store.save(&juliet, changes(before, &[text("notes", "a", "late")])).unwrap());
}

#[test]
fn an_old_data_folder_keeps_all_it_had() {
    let place = Place::file();
    std::fs::write(place.folder().join("balcony.redb"), OLD).unwrap();
    let secret = [118, 158, 243, 147, 14, 99, 53, 247, 239, 103, 205, 77, 68, 15, 17, 0];
    assert_eq!(place.open().secret().expose()[..16], secret);
    is_whole_and_goes_on(&place, MOVED_TEXT);
    // As it is imported elsewhere, where messages get numbers of their own.
    let renumbered = (1..5).fold(MOVED_TEXT.to_owned(), |text, number| {
        text.replace(&format!("\"number\":{},", number + 1), &format!("\"number\":{number},"))
    });
    let other = Place::file();
    assert_eq!(import(&other.open(), OLD_TEXT).unwrap().len(), 3);
    is_whole_and_goes_on(&other, &renumbered);
}

#[cfg(feature = "postgres")]
#[test]
fn old_tables_keep_all_they_had() {
    let Some(place) = Place::tables() else { return };
    let Place::Tables(parameters) = &place else { unreachable!() };
    let mut client = postgres::Client::connect(parameters, postgres::NoTls).unwrap();
    client.batch_execute(include_str!("data/version-1.sql")).unwrap();
    let version: i32 = client.query_one("SELECT schema FROM balcony", &[]).unwrap().get(0);
    assert_eq!(version, 1);
    is_whole_and_goes_on(&place, MOVED_TEXT);
    let version: i32 = client.query_one("SELECT schema FROM balcony", &[]).unwrap().get(0);
    assert_eq!(version, 5);
}

/// The same with collections, whose logs are not counted yet.
const UNCOUNTED: &[u8] = include_bytes!("data/version-3.redb");
const UNCOUNTED_TEXT: &str = include_str!("data/version-3.jsonl");

fn is_whole_and_counts_on(place: &Place) {
    let juliet = jid("juliet@example.org");
    let store = place.open();
    assert_eq!(export(&store), UNCOUNTED_TEXT);
    check(&store);
    let counts = || store.kept(&juliet, &[]).unwrap().unwrap().logs;
    assert_eq!(counts(), [("log".into(), 1), ("offline".into(), 3), ("other".into(), 1)]);
    let owner = Owner::Account(juliet.clone());
    let room = Room { entries: 2, bytes: 6 };
    for (bytes, done) in [("four", false), ("one", true), ("", false)] {
        assert_eq!(store.edit(&owner, None, vec![Edit::Log(append("log", bytes, room))]).unwrap(), done);
    }
    assert_eq!(counts(), [("log".into(), 2), ("offline".into(), 3), ("other".into(), 1)]);
    assert!(store.edit(&owner, None, vec![Edit::Log(trim("other", u64::MAX))]).unwrap());
    assert_eq!(counts(), [("log".into(), 2), ("offline".into(), 3)]);
    check(&store);
}

#[test]
fn an_old_data_folder_with_collections_is_counted() {
    let place = Place::file();
    std::fs::write(place.folder().join("balcony.redb"), UNCOUNTED).unwrap();
    is_whole_and_counts_on(&place);
}

#[cfg(feature = "postgres")]
#[test]
fn old_tables_with_collections_are_counted() {
    let Some(place) = Place::tables() else { return };
    let Place::Tables(parameters) = &place else { unreachable!() };
    let mut client = postgres::Client::connect(parameters, postgres::NoTls).unwrap();
    client.batch_execute(include_str!("data/version-1.sql")).unwrap();
    client.batch_execute(include_str!("data/version-2.sql")).unwrap();
    is_whole_and_counts_on(&place);
}

#[test]
fn a_check_names_what_is_broken() {
    use redb::{Database, TableDefinition};
    type DocumentKey<'k> = (u8, &'k str, &'k str, &'k str, &'k str);
    type EntryKey<'k> = (u8, &'k str, &'k str, &'k str, u64);
    const DOCUMENTS: TableDefinition<'_, DocumentKey<'_>, (u8, &[u8])> = TableDefinition::new("documents");
    const ENTRIES: TableDefinition<'_, EntryKey<'_>, (u64, &str, u8, &[u8])> =
        TableDefinition::new("entries");
    const DOMAIN: &str = "example.com";
    let place = Place::file();
    let store = place.open();
    create(&store, 0);
    assert!(store.edit(&user(0), None, vec![text("notes", "a", "x"), logged("log", "y")]).unwrap());
    drop(store);
    let database = Database::open(place.folder().join("balcony.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut documents = transaction.open_table(DOCUMENTS).unwrap();
        documents.insert((0, DOMAIN, "user0", "notes", "b"), (2, &b""[..])).unwrap();
        documents.insert((0, DOMAIN, "user1", "notes", "a"), (1, &b""[..])).unwrap();
        documents.insert((1, "@", "", "notes", "a"), (1, &b""[..])).unwrap();
        documents.insert((7, DOMAIN, "", "notes", "a"), (1, &b""[..])).unwrap();
        let mut entries = transaction.open_table(ENTRIES).unwrap();
        entries.insert((0, DOMAIN, "user0", "log", 99), (0, "", 1, &b""[..])).unwrap();
        entries.insert((0, DOMAIN, "user0", "nobody's", 1), (0, "", 1, &b""[..])).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let mut problems = Vec::new();
    assert_eq!(place.open().check(&mut |problem| problems.push(problem)), Ok(1));
    let expected = [
        "user0@example.com: a document with an unknown version in \"notes\"",
        "user1@example.com: documents, but no such account",
        "@: an address",
        "example.com: the owner of a collection",
        "user0@example.com: an entry with a number of the future in \"log\"",
        "user0@example.com: an entry with an unknown version in \"nobody's\"",
        "user0@example.com: an entry that is not counted in \"nobody's\"",
        "user0@example.com: entries of \"log\" are counted wrongly",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problems:#?}");
    }
}

// Nobody reads secrets of extensions in a log.
#[test]
fn contents_do_not_print() {
    let edit = text("tokens", "a", "s3cret");
    assert!(!format!("{edit:?}").contains("s3cret") && format!("{edit:?}").contains("length: 6"));
    let place = Place::file();
    let store = place.open();
    create(&store, 0);
    store.edit(&user(0), None, vec![edit]).unwrap();
    let found = store.documents(&user(0), "tokens", None, 9).unwrap();
    assert!(!format!("{found:?}").contains(&format!("{:?}", Arc::<[u8]>::from(&b"s3cret"[..]))));
}

// Ask::Sessions: they wait as long as the server is down, and are taken out once, each by the domain that it is of, however many and large
// they are.
fn sessions_are_taken_once(place: &Place) {
    let domains = [jid("example.org"), jid("example.net")];
    let session = |number: usize| SavedSession {
        key: format!("user{number}@example.org/phone").into(),
        content: content(1, &vec![7; if number.is_multiple_of(10) { 3 << 20 } else { 100 }]),
    };
    let sessions: Vec<_> = (0..25).map(session).collect();
    {
        let worker = Worker::start(place.open());
        for part in sessions.chunks(4) {
            let (send, reply) = channel();
            let ask = ServerAsk::Sessions { domain: domains[0].clone(), sessions: part.to_vec() };
            worker.handle(ask, Box::new(move |answer| send.send(answer).unwrap()));
            assert!(matches!(reply.recv().unwrap(), ServerAnswer::Sessions(true)));
        }
    }
    assert!(place.open().take_sessions(&domains[1..]).unwrap().is_empty());
    // A store that fails at any moment gives none and keeps all.
    let take = |left| {
        let gate = common::gate::Gate::default();
        gate.open();
        gate.fail_after(left);
        gate.before(place.open()).take_sessions(&domains)
    };
    let owner = Owner::Domain(domains[0].clone());
    let mut failures = 0;
    let mut taken = loop {
        if let Ok(taken) = take(failures) {
            break taken;
        }
        failures += 1;
        let found = place.open().documents(&owner, "sessions", None, 1 << 30).unwrap();
        assert_eq!(found.documents.len(), sessions.len(), "after {failures}");
    };
    assert!(failures > 4, "{failures}");
    taken.sort_by_key(|one| sessions.iter().position(|session| session.key == one.key));
    assert!(taken == sessions, "{}", taken.len());
    check(&place.open());
    assert!(place.open().take_sessions(&domains).unwrap().is_empty());
}
