//! `balcony serve --demo`: two accounts to try a server with.

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_store::Worker;

use crate::control::{Request, Response, perform};
use crate::failure::Failure;
use crate::random::random;

/// Ten million years of guessing.
const LENGTH: usize = 16;

/// An account to try.
pub(crate) struct Account {
    pub(crate) address: String,
    /// It may be printed. `None`: the account existed already, and keeps the one that it has.
    pub(crate) password: Option<Secret<String>>,
}

/// Creates romeo and juliet in the first of `domains`, as far as they are missing.
pub(crate) async fn accounts(worker: &Worker, domains: &[BareJid]) -> Result<Vec<Account>, Failure> {
    let mut random = random()?;
    let domain = domains.first().map(BareJid::domainpart).unwrap_or("localhost");
    let mut accounts = Vec::new();
    for name in ["romeo", "juliet"] {
        let address = format!("{name}@{domain}");
        let password = Secret::new(random.token(LENGTH));
        let request = Request::Add { account: address.clone(), password: password.clone(), replace: false };
        match perform(worker, domains, request, |_, _| {}).response().await {
            Response::Done(is_new) => {
                accounts.push(Account { address, password: is_new.then_some(password) });
            }
            other => return Err(crate::accounts::unexpected(other)),
        }
    }
    Ok(accounts)
}
