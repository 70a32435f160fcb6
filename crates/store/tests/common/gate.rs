//! A backend whose changes take as long as a test wants.

use std::borrow::Cow;
use std::sync::{Arc, Condvar, Mutex};

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::{Content, Kept};
use balcony_store::{Account, Backend, Backup, Change, Documents, Entries, Owned, Owner, Store, StoreError};

/// Changes wait before it until it is open. It opens at the latest when it is dropped, so that a test that fails ends.
#[derive(Default)]
pub struct Gate(Arc<(Mutex<Inner>, Condvar)>);

#[derive(Default)]
struct Inner {
    is_open: bool,
    /// Commits that have come to the gate, each with the accounts of its changes.
    commits: Vec<Vec<BareJid>>,
    /// After so many readings of documents and commits each of them fails.
    left: Option<usize>,
}

impl Gate {
    /// A store behind this gate, which is closed.
    pub fn before(&self, store: Store) -> Store {
        Store::new(Gated { store, gate: Arc::clone(&self.0) })
    }

    /// After so many readings of documents and commits each of them fails.
    pub fn fail_after(&self, left: usize) {
        self.0.0.lock().unwrap().left = Some(left);
    }

    pub fn open(&self) {
        self.0.0.lock().unwrap().is_open = true;
        self.0.1.notify_all();
    }

    /// The commits until now.
    pub fn commits(&self) -> Vec<Vec<BareJid>> {
        self.0.0.lock().unwrap().commits.clone()
    }

    /// Waits until as many commits have come.
    pub fn wait(&self, commits: usize) {
        let inner = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(inner, |inner| inner.commits.len() < commits).unwrap());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

struct Gated {
    store: Store,
    gate: Arc<(Mutex<Inner>, Condvar)>,
}

impl Gated {
    fn fails(&self) -> Result<(), StoreError> {
        match &mut self.gate.0.lock().unwrap().left {
            Some(0) => Err(StoreError::Io("this is part of the test".into())),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Backend for Gated {
    fn secret(&self) -> Secret<[u8; 32]> {
        self.store.secret()
    }

    fn account(&self, account: &BareJid) -> Result<Option<Account>, StoreError> {
        self.store.get(account)
    }

    fn kept(&self, account: &BareJid, collections: &[Cow<'static, str>]) -> Result<Option<Kept>, StoreError> {
        self.store.kept(account, collections)
    }

    fn backup(&self, account: &BareJid) -> Result<Option<Backup>, StoreError> {
        self.store.backup(account)
    }

    fn list(
        &self,
        _: Option<&str>,
        after: Option<&BareJid>,
        most: usize,
    ) -> Result<Vec<BareJid>, StoreError> {
        self.store.list_all(after, most)
    }

    fn document(&self, owner: &Owner, collection: &str, key: &str) -> Result<Option<Content>, StoreError> {
        self.store.document(owner, collection, key)
    }

    fn documents(
        &self,
        owner: &Owner,
        collection: &str,
        after: Option<&str>,
        bytes: usize,
    ) -> Result<Documents, StoreError> {
        self.fails()?;
        self.store.documents(owner, collection, after, bytes)
    }

    fn entries(&self, owner: &Owner, log: &str, after: u64, bytes: usize) -> Result<Entries, StoreError> {
        self.store.entries(owner, log, after, bytes)
    }

    fn next_owned(&self, after: Option<&Owner>) -> Result<Option<Owned>, StoreError> {
        self.store.next_owned(after)
    }

    fn count(&self) -> Result<u64, StoreError> {
        self.store.count()
    }

    fn commit(&self, changes: &[&Change], _: u64) -> Result<Vec<bool>, StoreError> {
        self.fails()?;
        let mut inner = self.gate.0.lock().unwrap();
        inner.commits.push(changes.iter().map(|change| change.owner().address().clone()).collect());
        self.gate.1.notify_all();
        drop(self.gate.1.wait_while(inner, |inner| !inner.is_open).unwrap());
        self.store.commit(changes.iter().copied())
    }

    fn check(&self, problem: &mut dyn FnMut(String)) -> Result<u64, StoreError> {
        self.store.check(problem)
    }
}
