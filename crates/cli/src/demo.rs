//! `balcony serve --demo`: two accounts to try a server with.

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_store::Worker;

use crate::control::{Request, Response, perform};
use crate::failure::Failure;
use crate::random::random;

/// Ten million years of guessing.
const LENGTH: usize = 16;

/// An account whose password may be printed.
pub(crate) struct Account {
    pub(crate) address: String,
    pub(crate) password: Secret<String>,
}

/// Creates romeo and juliet in the first of `domains`, or gives them new passwords: the old ones were printed, but kept
/// nowhere.
pub(crate) async fn accounts(worker: &Worker, domains: &[BareJid]) -> Result<Vec<Account>, Failure> {
    let mut random = random()?;
    let domain = domains.first().map(BareJid::domainpart).unwrap_or("localhost");
    let mut accounts = Vec::new();
    for name in ["romeo", "juliet"] {
        let account =
            Account { address: format!("{name}@{domain}"), password: Secret::new(random.token(LENGTH)) };
        let request = Request::Add {
            account: account.address.clone(),
            password: account.password.clone(),
            replace: true,
        };
        match perform(worker, domains, request, |_, _| {}).response().await {
            Response::Done(_) => accounts.push(account),
            other => return Err(crate::user::unexpected(other)),
        }
    }
    Ok(accounts)
}
