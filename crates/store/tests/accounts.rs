//! Random histories of changes leave the same in each kind of store as in a plain map.
#![allow(clippy::unwrap_used, reason = "these are tests")]

extern crate alloc;

#[macro_use]
mod common;

use alloc::collections::BTreeMap;

use balcony_jid::BareJid;
use balcony_sasl::{Credentials, Hash, MIN_ITERATIONS, ScramKeys, fake_keys};
use balcony_store::{Change, Store};
use common::{Place, credentials, jid, same_credentials};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Create(BareJid, u8),
    CreateMany(Vec<(BareJid, u8)>),
    Set(BareJid, u8),
    Remove(BareJid),
    Commit(Vec<Change>, Vec<(BareJid, Meant)>),
    Reopen,
}

/// What a change may do, create or replace, and the password; or a removal.
type Meant = Option<(bool, bool, u8)>;

fn addresses() -> impl Strategy<Value = BareJid> {
    let domains = prop_oneof![Just("example.org"), Just("example.com"), Just("example.org.uk"), Just("ex")];
    (prop::option::weighted(0.95, "[a-cé]{1,2}"), domains)
        .prop_map(|(local, domain)| BareJid::from_parts(local.as_deref(), domain).unwrap())
}

/// A change, and what the model makes of it.
fn changes() -> impl Strategy<Value = (Change, (BareJid, Meant))> {
    (addresses(), 0..4_u8, any::<u8>()).prop_map(|(account, kind, password)| {
        let credentials = credentials(&password.to_string());
        let change = match kind {
            0 | 1 => Change::Create { account: account.clone(), credentials, replace: kind == 1 },
            2 => Change::SetCredentials { account: account.clone(), credentials },
            _ => return (Change::Remove { account: account.clone() }, (account, None)),
        };
        (change, (account, Some((kind != 2, kind != 0, password))))
    })
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (addresses(), any::<u8>()).prop_map(|(a, p)| Step::Create(a, p)),
        1 => prop::collection::vec((addresses(), any::<u8>()), 0..20).prop_map(Step::CreateMany),
        2 => (addresses(), any::<u8>()).prop_map(|(a, p)| Step::Set(a, p)),
        2 => addresses().prop_map(Step::Remove),
        2 => prop::collection::vec(changes(), 0..12).prop_map(|changes| {
            let (changes, meant) = changes.into_iter().unzip();
            Step::Commit(changes, meant)
        }),
        1 => Just(Step::Reopen),
    ]
}

type Model = BTreeMap<BareJid, u8>;

/// What one change does to the model.
fn apply(model: &mut Model, account: &BareJid, meant: Meant) -> bool {
    let Some((may_create, may_replace, password)) = meant else { return model.remove(account).is_some() };
    let allowed = if model.contains_key(account) { may_replace } else { may_create };
    if allowed {
        model.insert(account.clone(), password);
    }
    allowed
}

fn assert_same(store: &Store, model: &Model) {
    assert_eq!(store.count().unwrap(), model.len() as u64);
    let mut all: Vec<_> = model.keys().cloned().collect();
    all.sort_by(|one, other| {
        (one.domainpart(), one.localpart()).cmp(&(other.domainpart(), other.localpart()))
    });
    let mut found = Vec::new();
    while let page = store.list_all(found.last(), 4).unwrap()
        && !page.is_empty()
    {
        found.extend(page);
    }
    assert_eq!(found, all);
    for domain in ["example.org", "example.com", "example.org.uk", "ex", "example"] {
        let mut expected: Vec<_> = model.keys().filter(|jid| jid.domainpart() == domain).cloned().collect();
        expected.sort_by(|one, other| one.localpart().cmp(&other.localpart()));
        assert_eq!(store.list(domain, None, usize::MAX).unwrap(), expected);
        // The same in pages.
        let mut found = Vec::new();
        loop {
            let page = store.list(domain, found.last(), 3).unwrap();
            assert!(page.len() <= 3);
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, expected);
    }
    for (account, password) in model {
        let found = store.get(account).unwrap().unwrap();
        assert!(same_credentials(&found.credentials, &credentials(&password.to_string())), "{account}");
    }
}

fn histories_match_a_plain_map(place: &Place, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut store = place.open();
    let mut model = Model::new();
    for step in steps {
        let made = |password: u8| credentials(&password.to_string());
        match step {
            Step::Create(account, password) => prop_assert_eq!(
                store.create(&account, made(password)).unwrap(),
                apply(&mut model, &account, Some((true, false, password)))
            ),
            Step::CreateMany(accounts) => {
                let done = store.create_many(accounts.iter().map(|(a, p)| (a.clone(), made(*p)))).unwrap();
                let expected: Vec<bool> =
                    accounts.iter().map(|(a, p)| apply(&mut model, a, Some((true, false, *p)))).collect();
                prop_assert_eq!(done, expected);
            }
            Step::Set(account, password) => prop_assert_eq!(
                store.set_credentials(&account, made(password)).unwrap(),
                apply(&mut model, &account, Some((false, true, password)))
            ),
            Step::Remove(account) => {
                prop_assert_eq!(store.remove(&account).unwrap(), apply(&mut model, &account, None));
            }
            Step::Commit(changes, meant) => {
                let expected: Vec<bool> = meant.iter().map(|(a, m)| apply(&mut model, a, *m)).collect();
                prop_assert_eq!(store.commit(&changes).unwrap(), expected);
            }
            Step::Reopen => {
                drop(store);
                store = place.open();
            }
        }
    }
    assert_same(&store, &model);
    drop(store);
    assert_same(&place.open(), &model);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn histories_in_a_file(steps in prop::collection::vec(steps(), 1..30)) {
        histories_match_a_plain_map(&Place::file(), steps)?;
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn histories_in_tables(steps in prop::collection::vec(steps(), 1..30)) {
        if let Some(place) = Place::tables() {
            histories_match_a_plain_map(&place, steps)?;
        }
    }
}

in_every_place!(
    the_time_of_creation_survives_a_new_password,
    an_account_may_have_one_hash_only,
    sha_512_is_for_all_when_every_account_has_it,
    keys_are_added_to_those_of_the_same_password,
);

fn the_time_of_creation_survives_a_new_password(place: &Place) {
    let store = place.open();
    let juliet = jid("juliet@example.org");
    store.create(&juliet, credentials("old")).unwrap();
    let created = store.get(&juliet).unwrap().unwrap().created;
    assert!(created > 1_700_000_000, "seconds since 1970: {created}");
    store.set_credentials(&juliet, credentials("new")).unwrap();
    let after = store.get(&juliet).unwrap().unwrap();
    assert_eq!(after.created, created);
    assert!(same_credentials(&after.credentials, &credentials("new")));
}

fn an_account_may_have_one_hash_only(place: &Place) {
    let store = place.open();
    let juliet = jid("juliet@example.org");
    let imported = common::credentials_for(&[Hash::Sha1], "pw");
    store.create(&juliet, imported.clone()).unwrap();
    assert!(same_credentials(&store.get(&juliet).unwrap().unwrap().credentials, &imported));
}

fn sha_512_is_for_all_when_every_account_has_it(place: &Place) {
    let store = place.open();
    assert!(store.all_have_sha512().unwrap());
    let (juliet, romeo) = (jid("juliet@example.org"), jid("romeo@example.org"));
    store.create(&juliet, credentials("pw")).unwrap();
    assert!(store.all_have_sha512().unwrap());
    store.create(&romeo, common::credentials_for(&[Hash::Sha1, Hash::Sha256], "pw")).unwrap();
    assert!(!store.all_have_sha512().unwrap());
    store.set_credentials(&romeo, credentials("new")).unwrap();
    assert!(store.all_have_sha512().unwrap());
    // However an account comes, changes and goes, also in a store that is opened again.
    let old = common::credentials_for(&[Hash::Sha256], "pw");
    let create = |account: &BareJid, credentials: &Credentials| {
        let (account, credentials) = (account.clone(), credentials.clone());
        Change::Create { account, credentials, replace: true }
    };
    let nurse = jid("nurse@example.org");
    let keys = fake_keys(&[7; 32], "pw", Hash::Sha512, MIN_ITERATIONS);
    let mut all = Vec::new();
    for (change, all_have) in [
        (create(&nurse, &old), false),
        (create(&romeo, &old), false),
        (Change::Remove { account: romeo.clone() }, false),
        (Change::AddKeys { account: nurse.clone(), keys }, true),
        (create(&juliet, &old), false),
        (create(&juliet, &old), false),
        (create(&juliet, &credentials("pw")), true),
        (create(&juliet, &old), false),
    ] {
        store.commit([&change]).unwrap();
        all.push((store.all_have_sha512().unwrap(), all_have));
    }
    assert!(all.iter().all(|(found, expected)| found == expected), "{all:?}");
    let mut text = Vec::new();
    store.export(&mut text, &mut |_| {}).unwrap();
    drop(store);
    let store = place.open();
    assert!(!store.all_have_sha512().unwrap());
    store.remove(&juliet).unwrap();
    assert!(store.all_have_sha512().unwrap());
    store.import(&mut &text[..], &mut |_, _, _| {}).unwrap();
    assert!(!store.all_have_sha512().unwrap());
    store.check(&mut |problem| panic!("{problem}")).unwrap();
}

// XEP-0480 §3 [SU9] [SU10]: the older keys stay, and what was meant for another password is not kept
fn keys_are_added_to_those_of_the_same_password(place: &Place) {
    let store = place.open();
    let juliet = jid("juliet@example.org");
    let (old, new) = (credentials("old"), credentials("new"));
    let add = |keys: &ScramKeys| {
        let change = Change::AddKeys { account: juliet.clone(), keys: keys.clone() };
        store.commit([&change]).unwrap() == [true]
    };
    let [of_old, of_new] = [&old, &new].map(|all| all.get(Hash::Sha512).unwrap());
    assert!(!add(of_old), "there is no account");
    let older = |what| common::credentials_for(&[Hash::Sha1, Hash::Sha256], what);
    store.create(&juliet, older("old")).unwrap();
    let before = store.get(&juliet).unwrap().unwrap();
    assert!(!add(of_new), "another salt");
    assert!(add(of_old));
    let after = store.get(&juliet).unwrap().unwrap();
    assert!(same_credentials(&after.credentials, &old));
    assert_eq!((after.created, after.creation), (before.created, before.creation));
    assert!(!add(of_old), "it has some");
    // A new password came first.
    store.set_credentials(&juliet, older("new")).unwrap();
    assert!(
        !add(of_old) && same_credentials(&store.get(&juliet).unwrap().unwrap().credentials, &older("new"))
    );
}
