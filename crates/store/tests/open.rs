//! What a data folder can be, and what is said of each.
#![allow(clippy::unwrap_used, clippy::disallowed_types, reason = "these are tests")]

mod common;

use std::fs;
use std::path::Path;

use balcony_router::extension::blocking::BLOCKED;
use balcony_router::extension::offline::OFFLINE;
use balcony_sasl::Hash;
use balcony_store::{Owner, Store, StoreError};
use common::history::{account, message, put, save, waiting};
use common::{credentials, credentials_for, jid, same_credentials};
use redb::{Database, TableDefinition, TableHandle as _, WriteTransaction};

/// The error, and that its text is one line that holds `advice`.
fn refused(folder: &Path, advice: &str) -> StoreError {
    let error = Store::open(folder).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(advice) && !text.contains('\n'), "{text}");
    error
}

#[test]
fn a_missing_folder_is_made() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("var/balcony");
    Store::open(&folder).unwrap();
    assert!(folder.join("balcony.redb").is_file());
}

#[cfg(unix)]
#[test]
fn folder_and_file_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    Store::open(&folder).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("balcony.redb"))), (0o700, 0o600));
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let error = refused(folder.path(), "is another balcony running on this data folder?");
    assert_eq!(error, StoreError::Locked(folder.path().into()));
    drop(store);
    Store::open(folder.path()).unwrap();
}

// While one process makes the database, nobody else replaces it, or what it is made of.
#[test]
fn a_database_that_is_being_made_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let lock = fs::File::create(folder.path().join("balcony.redb.lock")).unwrap();
    lock.lock().unwrap();
    fs::write(folder.path().join("balcony.redb.new"), b"half of it").unwrap();
    assert_eq!(Store::open(folder.path()).unwrap_err(), StoreError::Locked(folder.path().into()));
    assert_eq!(fs::read(folder.path().join("balcony.redb.new")).unwrap(), b"half of it");
    // Whoever made it has died.
    drop(lock);
    drop(Store::open(folder.path()).unwrap());
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["balcony.redb"]);
}

#[test]
fn many_who_make_a_database_at_once_get_the_same() {
    const MANY: usize = 6;
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let together = std::sync::Barrier::new(MANY);
        std::thread::scope(|scope| {
            for number in 0..MANY {
                let (folder, together) = (folder.path(), &together);
                scope.spawn(move || {
                    together.wait();
                    let store = loop {
                        match Store::open(folder) {
                            Err(StoreError::Locked(_)) => std::thread::yield_now(),
                            other => break other.unwrap(),
                        }
                    };
                    let name = format!("romeo{number}@localhost");
                    assert!(store.create(&jid(&name), credentials("pencil")).unwrap());
                });
            }
        });
        assert_eq!(Store::open(folder.path()).unwrap().count(), Ok(MANY as u64));
    }
}

#[test]
fn something_that_is_not_a_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balcony.redb");
    for content in [&b"x"[..], b"my diary", &[0; 100_000]] {
        fs::write(&path, content).unwrap();
        assert_eq!(refused(folder.path(), "is not a database"), StoreError::NotADatabase(path.clone()));
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn an_empty_file_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balcony.redb");
    fs::write(&path, b"").unwrap();
    // Whatever was in it is gone, and nobody is to find that out from a server without accounts.
    for error in [Store::open_existing(folder.path()).unwrap_err(), Store::open(folder.path()).unwrap_err()] {
        assert!(error.to_string().contains("balcony.redb is empty): restore the data folder"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), b"");
    fs::remove_file(&path).unwrap();
    assert_eq!(Store::open(folder.path()).unwrap().count(), Ok(0));
    assert_eq!(Store::open_existing(folder.path()).unwrap().unwrap().count(), Ok(0));
}

// As where a disk is not mounted.
#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_refused_and_left_alone() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(Store::open(disk.path()).unwrap());
    let (link, target) = (folder.path().join("balcony.redb"), disk.path().join("balcony.redb"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let away = disk.path().join("away");
    fs::rename(&target, &away).unwrap();
    for error in [Store::open_existing(folder.path()).unwrap_err(), Store::open(folder.path()).unwrap_err()] {
        assert!(error.to_string().contains("it is a link to something that is not there"), "{error}");
    }
    assert!(link.is_symlink() && !target.exists());
    fs::rename(&away, &target).unwrap();
    assert_eq!(Store::open(folder.path()).unwrap().count(), Ok(0));
    assert!(link.is_symlink());
}

#[test]
fn where_there_is_no_store_none_is_made() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Store::open_existing(&folder.path().join("data")).unwrap().is_none());
    assert!(Store::open_existing(folder.path()).unwrap().is_none());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    tamper(folder.path(), |transaction| {
        transaction.open_table(META).unwrap().insert("schema", &7_u32.to_le_bytes()[..]).unwrap();
    });
    for _ in 0..2 {
        let error = refused(folder.path(), "newer balcony");
        assert_eq!(error, StoreError::NewerSchema { found: 7, supported: 6 });
    }
}

/// Makes a change that no store makes.
fn tamper(folder: &Path, change: impl FnOnce(&WriteTransaction)) {
    let database = Database::open(folder.join("balcony.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

#[test]
fn an_older_schema_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let juliet = jid("juliet@example.org");
    store.create(&juliet, credentials("pw")).unwrap();
    let secret = *store.secret().expose();
    drop(store);
    // As version 1 has left it: accounts, and nothing else.
    tamper(folder.path(), |transaction| {
        let tables: Vec<_> = transaction.list_tables().unwrap().collect();
        for table in tables {
            if !["meta", "accounts"].contains(&table.name()) {
                transaction.delete_table(table).unwrap();
            }
        }
        let mut meta = transaction.open_table(META).unwrap();
        meta.insert("schema", &1_u32.to_le_bytes()[..]).unwrap();
        meta.remove("offline").unwrap();
    });
    for _ in 0..2 {
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(*store.secret().expose(), secret);
        let found = store.get(&juliet).unwrap().unwrap();
        assert!(same_credentials(&found.credentials, &credentials("pw")));
        assert!(store.kept(&juliet, &[]).unwrap().is_some());
        assert!(save(&store, &juliet, vec![put(message("hi"))]));
        store.check(&mut |problem| panic!("{problem}")).unwrap();
    }
    assert_eq!(waiting(&Store::open(folder.path()).unwrap().kept(&juliet, &[]).unwrap().unwrap()), 2);
}

// Version 6 counts which accounts have no keys for SHA-512.
#[test]
fn what_was_not_counted_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.create(&account(0), credentials("pw")).unwrap();
    store.create(&account(1), credentials_for(&[Hash::Sha1, Hash::Sha256], "pw")).unwrap();
    drop(store);
    // As version 5 has left it, and then as nobody should.
    for (schema, counted) in [(5_u32, None), (6, Some(7_u64))] {
        tamper(folder.path(), |transaction| {
            let mut meta = transaction.open_table(META).unwrap();
            meta.insert("schema", &schema.to_le_bytes()[..]).unwrap();
            match counted {
                None => drop(meta.remove("without sha-512").unwrap()),
                Some(number) => drop(meta.insert("without sha-512", &number.to_le_bytes()[..]).unwrap()),
            }
        });
        let store = Store::open(folder.path()).unwrap();
        assert!(!store.all_have_sha512().unwrap());
        let mut problems = Vec::new();
        store.check(&mut |problem| problems.push(problem)).unwrap();
        let expected = counted.map(|_| "accounts without keys for SHA-512 are counted wrongly");
        assert_eq!(problems, Vec::from_iter(expected));
        if counted.is_none() {
            store.remove(&account(1)).unwrap();
            assert!(store.all_have_sha512().unwrap());
            store.create(&account(1), credentials_for(&[Hash::Sha1], "pw")).unwrap();
        }
    }
}

// What cannot be read in old tables is kept, and told.
#[test]
fn damage_is_moved_with_the_rest() {
    type Blocked<'a> = (&'a str, &'a str, &'a str);
    type Message<'a> = (&'a str, &'a str, u64);
    const DOMAIN: &str = "example.com";
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.create(&account(0), credentials("pw")).unwrap();
    drop(store);
    // As version 4 has left it.
    tamper(folder.path(), |transaction| {
        let blocked = TableDefinition::<Blocked<'_>, ()>::new("blocked");
        transaction.open_table(blocked).unwrap().insert((DOMAIN, "user0", "@"), ()).unwrap();
        let offline = TableDefinition::<Message<'_>, (u64, &[u8])>::new("offline");
        let mut offline = transaction.open_table(offline).unwrap();
        offline.insert((DOMAIN, "user0", 7), (1_800_000_000_000, &b"<x"[..])).unwrap();
        let mut meta = transaction.open_table(META).unwrap();
        meta.insert("schema", &4_u32.to_le_bytes()[..]).unwrap();
        meta.insert("offline", &9_u64.to_le_bytes()[..]).unwrap();
    });
    let store = Store::open(folder.path()).unwrap();
    let mut problems = Vec::new();
    assert_eq!(store.check(&mut |problem| problems.push(problem)), Ok(1));
    assert_eq!(
        problems,
        [
            "user0@example.com: an address: the localpart of the address is empty",
            "user0@example.com: a stanza"
        ]
    );
    // Numbers go on behind all that were given.
    assert!(save(&store, &account(0), vec![put(message("hi"))]));
    let owner = Owner::Account(account(0));
    let numbers: Vec<u64> = store
        .entries(&owner, OFFLINE, 0, usize::MAX)
        .unwrap()
        .entries
        .iter()
        .map(|entry| entry.number)
        .collect();
    assert_eq!(numbers, [7, 10]);
}

#[test]
fn a_check_names_what_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for number in 0..2 {
        store.create(&account(number), credentials("pw")).unwrap();
        assert!(save(&store, &account(number), vec![put(message("hi"))]));
    }
    store.check(&mut |problem| panic!("{problem}")).unwrap();
    drop(store);
    type Kept<'a> = (&'a str, &'a str);
    type Part<'a> = (&'a str, &'a str, &'a str);
    type Numbered<'a> = (&'a str, &'a str, u64);
    type Document<'a> = (u8, &'a str, &'a str, &'a str, &'a str);
    type Entry<'a> = (u8, &'a str, &'a str, &'a str, u64);
    const DOMAIN: &str = "example.com";
    let bytes: &[u8] = b"\x07";
    tamper(folder.path(), |transaction| {
        let accounts = TableDefinition::<Kept<'_>, &[u8]>::new("accounts");
        transaction.open_table(accounts).unwrap().insert((DOMAIN, "user0"), bytes).unwrap();
        let contacts = TableDefinition::<Part<'_>, &[u8]>::new("contacts");
        transaction.open_table(contacts).unwrap().insert((DOMAIN, "user0", "a@b"), bytes).unwrap();
        let documents = TableDefinition::<Document<'_>, (u8, &[u8])>::new("documents");
        let mut documents = transaction.open_table(documents).unwrap();
        for (user, key) in [("user0", "a@b"), ("user1", "@"), ("user2", "a@b"), ("user2", "a@c")] {
            documents.insert((0, DOMAIN, user, BLOCKED, key), (1, &b""[..])).unwrap();
        }
        let versions = TableDefinition::<Kept<'_>, u8>::new("collections");
        transaction.open_table(versions).unwrap().insert(("documents", BLOCKED), 1).unwrap();
        let changes = TableDefinition::<Numbered<'_>, &str>::new("roster changes");
        transaction.open_table(changes).unwrap().insert((DOMAIN, "user1", 1), "@").unwrap();
        let entries = TableDefinition::<Entry<'_>, (u64, &str, u8, &[u8])>::new("entries");
        let mut entries = transaction.open_table(entries).unwrap();
        entries.insert((0, DOMAIN, "user1", OFFLINE, 99), (0, "", 1, bytes)).unwrap();
        let last = TableDefinition::<Kept<'_>, (u64, &[u8])>::new("last");
        transaction.open_table(last).unwrap().insert((DOMAIN, "user0"), (0, bytes)).unwrap();
    });
    let store = Store::open(folder.path()).unwrap();
    let mut problems = Vec::new();
    assert_eq!(store.check(&mut |problem| problems.push(problem)), Ok(2));
    let expected = [
        "user0@example.com: the record of an account",
        "user0@example.com: contacts without a roster",
        "user0@example.com: the record of a contact",
        "user1@example.com: changes of contacts without a roster",
        "user1@example.com: an address",
        "user0@example.com: a stanza",
        "user1@example.com: an address",
        "user2@example.com: documents, but no such account",
        "user1@example.com: an entry with a number of the future in \"offline\"",
        "user1@example.com: a stanza",
        "user1@example.com: entries of \"offline\" are counted wrongly",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problems:#?}");
    }
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, b"").unwrap();
    assert!(matches!(
        refused(&file, "data: it is a file, and a folder is wanted"),
        StoreError::Folder { .. }
    ));
    let below = refused(&file.join("below"), "there is something in the way that is no folder");
    assert!(matches!(below, StoreError::Folder { .. }));
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_made_is_refused() {
    assert!(matches!(
        refused(Path::new("/proc/balcony"), "/proc/balcony: no folder"),
        StoreError::Folder { .. }
    ));
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(folder.path().join("probe"), b"").is_ok() {
        // Permissions mean nothing to this user.
        return;
    }
    let error = refused(folder.path(), "this user may not read and write it; the data folder must belong to");
    assert!(matches!(error, StoreError::Folder { .. }));
}

#[test]
fn damage_is_reported_and_never_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balcony.redb");
    let store = Store::open(folder.path()).unwrap();
    let accounts: Vec<_> =
        (0..200).map(|i| (jid(&format!("user{i}@example.org")), credentials("pw"))).collect();
    store.create_many(accounts).unwrap();
    drop(store);
    let sound = fs::read(&path).unwrap();
    let mut reported = 0;
    for start in (0..sound.len()).step_by(sound.len() / 60) {
        let mut damaged = sound.clone();
        let end = (start + 64).min(damaged.len());
        damaged[start..end].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(&path, &damaged).unwrap();
        match Store::open(folder.path()) {
            Ok(store) => assert_eq!(store.list("example.org", None, 1000).unwrap().len(), 200, "at {start}"),
            Err(error) => {
                says_what_to_do(&error, &path);
                reported += 1;
            }
        }
    }
    assert!(reported > 10, "{reported} of 60");
    // A file that has lost its end, wherever that is.
    let cuts = (1..700).chain((700..sound.len()).step_by(sound.len() / 60)).chain([sound.len() - 1]);
    for end in cuts {
        fs::write(&path, &sound[..end]).unwrap();
        for error in [Store::open(folder.path()), Store::open_existing(folder.path()).map(Option::unwrap)] {
            says_what_to_do(&error.unwrap_err(), &path);
        }
        assert_eq!(fs::read(&path).unwrap().len(), end, "it is left alone");
    }
}

/// The error names the file, and is one line that says what can be done.
fn says_what_to_do(error: &StoreError, path: &Path) {
    let text = error.to_string();
    assert!(text.contains(&*path.to_string_lossy()) && !text.contains('\n'), "{text}");
    let advice = ["is damaged", "is not a database of this program: move it away"];
    assert!(advice.iter().any(|advice| text.contains(advice)), "{text}");
}

#[test]
fn a_folder_in_place_of_the_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balcony.redb");
    fs::create_dir(&path).unwrap();
    for error in [Store::open(folder.path()).unwrap_err(), Store::open_existing(folder.path()).unwrap_err()] {
        let wanted = format!("cannot use {}: it is a folder, and a file is wanted", path.display());
        assert!(error.to_string().starts_with(&wanted), "{error}");
    }
}

// RFC 6120 §6.5.10: what an unknown account is answered must not change from one start to the next
#[test]
fn the_secret_stays_and_is_each_folders_own() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secret = |folder: &Path| *Store::open(folder).unwrap().secret().expose();
    assert_eq!(secret(one.path()), secret(one.path()));
    assert_ne!(secret(one.path()), secret(other.path()));
}
