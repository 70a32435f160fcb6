//! Accounts as text, there and back, within and between kinds of places.
#![allow(clippy::unwrap_used, reason = "these are tests")]

#[macro_use]
mod common;

use balcony_jid::BareJid;
use balcony_router::Change;
use balcony_store::{Collections, Owner, Store, StoreError, TransferError};
use common::history::{
    account, block, change, comparable, contact, drop_up_to, message, messages, number, put, save, waiting,
};
use common::{Place, credentials, jid};
use proptest::prelude::*;

fn export(store: &Store) -> String {
    let mut text = Vec::new();
    let mut told = 0;
    let count = store.export(&mut text, &mut |count| told = count).unwrap().accounts;
    assert_eq!((count, told), (store.count().unwrap(), count));
    String::from_utf8(text).unwrap()
}

/// Those that were made, and those that existed.
fn import(store: &Store, text: &str) -> Result<(Vec<BareJid>, Vec<BareJid>), TransferError> {
    let (mut made, mut existed) = (Vec::new(), Vec::new());
    let mut each = |owner: &Owner, _: &Collections, done| {
        if done { &mut made } else { &mut existed }.push(owner.address().clone());
    };
    store.import(&mut text.as_bytes(), &mut each).map(|()| (made, existed))
}

/// A store with accounts that have lived.
fn lived(place: &Place, histories: Vec<Vec<Change>>) -> Store {
    let store = place.open();
    for (name, mut changes) in (0..).zip(histories) {
        store.create(&account(name), credentials(&name.to_string())).unwrap();
        number(&mut changes, &mut u64::from(name));
        assert!(save(&store, &account(name), changes));
    }
    store
}

fn histories() -> impl Strategy<Value = Vec<Vec<Change>>> {
    prop::collection::vec(prop::collection::vec(change(), 0..12), 0..6)
}

/// The text is the same after it has been read in each of these places, one after the other.
fn comes_back_the_same(store: &Store, places: &[&Place]) -> Result<(), TestCaseError> {
    let text = export(store);
    let mut before = text.clone();
    for place in places {
        let store = place.open();
        let (made, existed) = import(&store, &before).unwrap();
        prop_assert_eq!((made.len() as u64, existed.len()), (store.count().unwrap(), 0));
        store.check(&mut |problem| panic!("{problem}")).unwrap();
        before = export(&store);
        prop_assert_eq!(&before, &text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn from_file_to_file(histories in histories()) {
        comes_back_the_same(&lived(&Place::file(), histories), &[&Place::file()])?;
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn from_file_to_tables_and_back(histories in histories()) {
        if let (Some(one), Some(other)) = (Place::tables(), Place::tables()) {
            comes_back_the_same(&lived(&Place::file(), histories), &[&one, &other, &Place::file()])?;
        }
    }
}

in_every_place!(
    accounts_that_exist_stay_as_they_are,
    a_text_that_is_cut_is_reported,
    a_bad_line_is_named,
    an_imported_account_goes_on
);

fn two_accounts() -> String {
    let changes = vec![put(message("hi")), block(&contact(1).to_jid(), true)];
    export(&lived(&Place::file(), vec![changes.clone(), changes]))
}

fn accounts_that_exist_stay_as_they_are(place: &Place) {
    let store = place.open();
    store.create(&account(0), credentials("mine")).unwrap();
    let (made, existed) = import(&store, &two_accounts()).unwrap();
    assert_eq!((made, existed), (vec![account(1)], vec![account(0)]));
    assert_eq!(store.kept(&account(0), &[]).unwrap().map(comparable), Some(balcony_router::Kept::default()));
    assert_eq!(waiting(&store.kept(&account(1), &[]).unwrap().unwrap()), 1);
}

fn a_text_that_is_cut_is_reported(place: &Place) {
    let text = two_accounts();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 4, "header, accounts, footer");
    let store = place.open();
    assert_eq!(import(&store, &lines[..3].concat()), Err(TransferError::Incomplete));
    assert_eq!(store.count().unwrap(), 2, "what is there is taken");
    assert_eq!(import(&store, &[lines[0], lines[1], lines[3]].concat()), Err(TransferError::Incomplete));
    let header = TransferError::Format;
    for text in
        ["", "\n", "romeo,pencil\n", &lines[1..].concat(), &text.replace("\"version\":2", "\"version\":3")]
    {
        assert_eq!(import(&store, text), Err(header.clone()), "{text}");
    }
}

fn a_bad_line_is_named(place: &Place) {
    let text = two_accounts();
    let store = place.open();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (good, bad) in [
        ("user1@", "user 1@"),
        ("\"collection\":\"blocked\",\"key\":\"", "\"collection\":\"blocked\",\"key\":\"@"),
        (
            "\"tag\":\"romeo@example.net\",\"version\":1,\"content\":\"",
            "\"tag\":\"\",\"version\":1,\"content\":\"AAAA",
        ),
        ("\"created\"", "\"blocked\":[\"a@b\"],\"created\""),
        ("\"salt\":\"", "\"salt\":\"!"),
        ("\"created\"", "\"made\""),
    ] {
        assert!(lines[2].contains(good), "{good}");
        let text = [lines[0], lines[1], &lines[2].replace(good, bad), lines[3]].concat();
        let error = import(&store, &text).unwrap_err();
        assert!(matches!(error, TransferError::Line { number: 3, .. }), "{bad}: {error}");
        let text = error.to_string();
        assert!(text.starts_with("line 3: ") && !text.contains('\n') && !text.contains("at line"), "{text}");
        assert!(store.remove(&account(0)).unwrap(), "what came before it is done");
    }
}

#[test]
fn a_bad_line_of_version_1_is_named() {
    let text = include_str!("data/version-2.jsonl");
    let store = Place::file().open();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (good, bad) in [
        ("\"blocked\":[\"", "\"blocked\":[\"@"),
        ("\"stanza\":\"<message", "\"stanza\":\"<<message"),
        ("\"created\"", "\"made\""),
    ] {
        assert!(lines[2].contains(good), "{good}");
        let error = import(&store, &[lines[0], &lines[2].replace(good, bad)].concat()).unwrap_err();
        assert!(matches!(error, TransferError::Line { number: 2, .. }), "{bad}: {error}");
    }
}

// XEP-0160 §2: messages that come later stand behind those that were imported.
fn an_imported_account_goes_on(place: &Place) {
    let store = place.open();
    import(&store, &two_accounts()).unwrap();
    assert!(save(&store, &account(0), vec![put(message("later"))]));
    let found = messages(&store, &account(0), usize::MAX).0;
    assert_eq!(found[1].stanza, message("later"));
    assert!(found[0].number < found[1].number);
    // Even where the numbers of the text were higher.
    assert!(save(&store, &account(0), vec![drop_up_to(found[1].number)]));
    assert!(messages(&store, &account(0), usize::MAX).0.is_empty());
    assert_eq!(messages(&store, &account(1), usize::MAX).0.len(), 1);
}

#[test]
fn a_store_that_fails_is_no_empty_list() {
    struct Broken;
    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let place = Place::file();
    let store = lived(&place, vec![Vec::new()]);
    assert!(matches!(store.export(&mut Broken, &mut |_| {}), Err(TransferError::Io(_))));
    assert_eq!(TransferError::from(StoreError::InUse).to_string(), StoreError::InUse.to_string());
    assert!(store.get(&jid("user0@example.com")).unwrap().is_some());
}
