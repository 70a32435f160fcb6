//! Accounts in memory, in the place of a store.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use balcony_jid::BareJid;
use balcony_router::Memory;
use balcony_sasl::{Credentials, MIN_ITERATIONS};
use balcony_server::{Answer, Ask, Reply};

/// All accounts have their localpart, doubled, as password.
pub(crate) fn ask() -> impl Fn(Ask, Reply) + Send + Sync + 'static {
    let names = [
        ("romeo", "localhost"),
        ("juliet", "localhost"),
        ("mercutio", "localhost"),
        ("romeo", "example.com"),
    ];
    let accounts: BTreeMap<BareJid, Credentials> = names
        .map(|(name, domain)| {
            let credentials = Credentials::derive(&password(name), b"salt of sixteen!", MIN_ITERATIONS);
            (BareJid::from_parts(Some(name), domain).unwrap(), credentials.unwrap())
        })
        .into();
    let mut memory = Memory::default();
    for account in accounts.keys() {
        memory.create(account.clone());
    }
    let memory = Mutex::new(memory);
    move |ask, reply| {
        use balcony_stream::server::{ServerAnswer as Stream, ServerAsk as Asked};
        reply(match ask {
            Ask::Stream(Asked::Credentials { account, hash }) => Answer::Stream(Stream::Credentials(
                accounts.get(&account).and_then(|account| account.get(hash)).cloned(),
            )),
            Ask::Stream(Asked::Verify { account, password }) => Answer::Stream(Stream::Verified(
                accounts
                    .get(&account)
                    .and_then(Credentials::to_verify)
                    .filter(|keys| keys.verify_password(password.expose()))
                    .map(|keys| keys.salt().into()),
            )),
            Ask::Stream(_) => Answer::Stream(Stream::Unavailable),
            Ask::Router(ask) => {
                Answer::Router(memory.lock().unwrap_or_else(PoisonError::into_inner).answer(0, ask))
            }
            Ask::Sessions { .. } => Answer::Sessions(false),
            Ask::Holders { .. } => Answer::Holders(Some(Vec::new())),
        });
    }
}

/// The password of an account.
pub(crate) fn password(localpart: &str) -> String {
    format!("{localpart}-{localpart}")
}
