//! Accounts in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use balcony_jid::BareJid;
use balcony_router::Memory;
use balcony_runtime::{Answer, Ask, Reply, seed};
use balcony_sasl::{Credentials, MIN_ITERATIONS};
use balcony_stream::server::{ServerAnswer, ServerAsk};

use crate::Error;

/// Accounts that live as long as their server, for tests and for services that make them up; so does what its extensions keep for them.
///
/// Passwords are kept as others keep them, salted and hashed, and every login checks them.
#[derive(Clone, Default)]
pub struct MemoryAccounts {
    credentials: BTreeMap<BareJid, Credentials>,
}

impl MemoryAccounts {
    /// No accounts.
    #[must_use]
    pub fn new() -> MemoryAccounts {
        MemoryAccounts::default()
    }

    /// Adds an account, or gives it another password. That takes some milliseconds.
    ///
    /// # Errors
    ///
    /// [`Error::Address`]; [`Error::Config`]: there can be no such password (RFC 8265).
    pub fn with(mut self, account: &str, password: &str) -> Result<MemoryAccounts, Error> {
        let jid = BareJid::parse(account).map_err(|error| Error::Address(account.into(), error))?;
        let mut salt = [0; 16];
        seed().random().fill(&mut salt);
        let credentials = Credentials::derive(password, &salt, MIN_ITERATIONS)
            .map_err(|error| Error::Config(format!("the password of {account} can't be used: {error}")))?;
        self.credentials.insert(jid, credentials);
        Ok(self)
    }

    /// What a server wants that has these accounts.
    pub(super) fn into_answers(self) -> impl Fn(Ask, Reply) + Send + Sync + 'static {
        let mut memory = Memory::default();
        for account in self.credentials.keys() {
            memory.create(account.clone());
        }
        let (memory, credentials) = (Mutex::new(memory), self.credentials);
        move |ask, reply| {
            reply(match ask {
                Ask::Stream(ServerAsk::Credentials { account, hash }) => {
                    let known = credentials.get(&account).and_then(|account| account.get(hash));
                    Answer::Stream(ServerAnswer::Credentials(known.cloned()))
                }
                Ask::Stream(ServerAsk::Verify { account, password }) => {
                    let keys = credentials.get(&account).and_then(Credentials::to_verify);
                    let right = keys.filter(|keys| keys.verify_password(password.expose()));
                    Answer::Stream(ServerAnswer::Verified(right.map(|keys| keys.salt().into())))
                }
                // Accounts are made before the server starts.
                Ask::Stream(_) => Answer::Stream(ServerAnswer::Unavailable),
                Ask::Router(ask) => {
                    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                    Answer::Router(memory.answer(super::now(), ask))
                }
                // Nothing outlives the server.
                Ask::Sessions { .. } => Answer::Sessions(false),
                Ask::Holders { .. } => Answer::Holders(Some(Vec::new())),
            });
        }
    }
}

impl core::fmt::Debug for MemoryAccounts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MemoryAccounts").field("accounts", &self.credentials.len()).finish()
    }
}
