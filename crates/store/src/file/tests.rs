//! Damage in a file that was not looked through when it was opened; and what is read of it while others write.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;

use balcony_sasl::{Hash, MIN_ITERATIONS, fake_keys};

use super::*;

const ACCOUNTS: usize = 200;

fn address(number: usize) -> BareJid {
    alloc::format!("user{number}@example.org").parse().unwrap()
}

fn open(folder: &Path) -> Result<File, StoreError> {
    let database = open::find(folder, 0)?.unwrap();
    File::of(folder, database, StoreConfig::default())
}

/// What a check says of the file, with its problems.
fn check(file: &File) -> Result<u64, StoreError> {
    let mut problems = Vec::new();
    let count = file.check(&mut |problem| problems.push(problem))?;
    assert_eq!(problems, [""; 0]);
    Ok(count)
}

// Whatever the bytes say, it is an error or an answer and never the end of the program; and a check finds it.
#[test]
fn damage_ends_no_program_and_is_found_by_a_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balcony.redb");
    let file = File::open(folder.path(), StoreConfig::default()).unwrap();
    let creations: Vec<Change> = (0..ACCOUNTS)
        .map(|number| {
            let account = address(number);
            let mut credentials = balcony_sasl::Credentials::default();
            credentials.set(fake_keys(&[7; 32], account.as_str(), Hash::Sha256, MIN_ITERATIONS));
            Change::Create { account, credentials, replace: false }
        })
        .collect();
    file.commit(&creations.iter().collect::<Vec<_>>(), 0).unwrap();
    drop(file);
    let sound = fs::read(&path).unwrap();
    assert_eq!(check(&open(folder.path()).unwrap()), Ok(ACCOUNTS as u64));
    let (mut refused, mut found, mut unreadable) = (0, 0, false);
    for start in (0..sound.len()).step_by(sound.len() / 100) {
        let damage = |folder: &Path| {
            let mut damaged = sound.clone();
            let end = (start + 64).min(damaged.len());
            damaged[start..end].iter_mut().for_each(|byte| *byte ^= 0x55);
            fs::write(folder.join("balcony.redb"), &damaged).unwrap();
        };
        damage(folder.path());
        // What the check says must be what opening with a look has said.
        let looked = File::open(folder.path(), StoreConfig::default()).and_then(|file| check(&file));
        damage(folder.path());
        let file = match open(folder.path()) {
            Ok(file) => file,
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        if looked.is_err() {
            assert!(check(&file).is_err(), "at {start}");
            found += 1;
        }
        drop(file);
        damage(folder.path());
        let Ok(file) = open(folder.path()) else { continue };
        // Whoever reads what is damaged, even if that panics, spoils nothing for whoever reads the rest.
        let is_readable = |number: &usize| file.account(&address(*number)).is_ok();
        let readable: Vec<usize> = (0..ACCOUNTS).filter(is_readable).collect();
        let again: Vec<usize> = (0..ACCOUNTS).rev().filter(is_readable).collect();
        assert!(again.iter().rev().eq(&readable), "{} and {} at {start}", again.len(), readable.len());
        unreadable |= (1..ACCOUNTS).contains(&readable.len());
        let all = file.list(Some("example.org"), None, ACCOUNTS * 2);
        for number in 0..ACCOUNTS {
            let account = file.account(&address(number));
            let kept = file.kept(&address(number), &[]);
            if looked.is_ok() {
                assert!(account.unwrap().is_some() && kept.unwrap().is_some(), "{number} at {start}");
            }
        }
        let change = Change::Remove { account: address(7) };
        let removed = file.commit(&[&change], 0);
        if looked.is_ok() {
            assert_eq!((all.unwrap().len(), removed), (ACCOUNTS, Ok(Vec::from([true]))), "at {start}");
        }
    }
    assert!(refused > 0 && found > 10 && unreadable, "{refused} refused, {found} found");
}

/// A file with this account, which has been read, so that its tables are open.
fn read_once(folder: &Path, account: &BareJid) -> File {
    let file = File::open(folder, StoreConfig::default()).unwrap();
    let credentials = balcony_sasl::Credentials::default();
    file.commit(&[&Change::Create { account: account.clone(), credentials, replace: false }], 0).unwrap();
    assert!(file.kept(account, &[]).unwrap().is_some());
    file
}

// What has been read before stands in nobody's way: neither of what comes after it, nor of a check, nor of whoever opens the file next.
#[test]
fn tables_that_are_open_hide_nothing_and_are_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let account = address(0);
    let file = read_once(folder.path(), &account);
    for number in 1..10 {
        let change = Change::Create {
            account: address(number),
            credentials: balcony_sasl::Credentials::default(),
            replace: false,
        };
        assert!(file.account(&address(number)).unwrap().is_none());
        file.commit(&[&change], 0).unwrap();
        assert!(file.account(&address(number)).unwrap().is_some());
        assert_eq!(file.count(), Ok(number as u64 + 1));
        assert_eq!(check(&file), Ok(number as u64 + 1));
        assert!(file.account(&account).unwrap().is_some());
    }
    file.commit(&[&Change::Remove { account: account.clone() }], 0).unwrap();
    assert!(file.kept(&account, &[]).unwrap().is_none());
    drop(file);
    assert_eq!(check(&open(folder.path()).unwrap()), Ok(9));
}
