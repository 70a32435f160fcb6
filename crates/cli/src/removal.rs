//! The end of an account where no server runs: as a running one would do it, with all that its contacts are told.

use std::sync::Arc;

use balcony_jid::{BareJid, Jid};
use balcony_store::{Store, StoreError, Worker};
use balcony_tokio::{Removal, Server, ServerConfig};

use crate::control::Response;
use crate::failure::{Failure, io};
use crate::given_up::{has_failed, judge};

/// Removes an account as a running server does: others' rosters have to change, too. For that there is a server for a moment,
/// to which nobody can connect.
pub(crate) fn remove(store: &Store, worker: &Arc<Worker>, account: BareJid) -> Response {
    let removal = || -> Result<Removal, Failure> {
        let domains = domains_around(store, &account)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io("cannot start"))?;
        let answers = Arc::clone(worker);
        runtime.block_on(async {
            let config = ServerConfig::new(domains, store.secret());
            let server = Server::builder(config, move |ask, reply| answers.handle(ask, reply));
            let server = server.start().map_err(|error| Failure::new(error.to_string()))?;
            let removal = server.remove_account(account).await;
            // It waits for all that it has asked of the store.
            judge(server.shutdown().await.ok_or_else(has_failed)?)?;
            Ok(removal)
        })
    };
    removal().map_or_else(|failure| Response::Failed(failure.message().to_owned()), Response::from)
}

/// The domains of an account and of its contacts. Those that are others' have no account here, so nothing comes of them.
fn domains_around(store: &Store, account: &BareJid) -> Result<Vec<BareJid>, StoreError> {
    let roster = store.kept(account, &[])?.and_then(|kept| kept.roster);
    let (items, requests) = roster.map(|roster| (roster.items, roster.requests)).unwrap_or_default();
    let asking = requests.iter().filter_map(|request| request.head.from.as_ref()).map(Jid::domainpart);
    let mut domains: Vec<&str> = items.iter().map(|item| item.jid.domainpart()).chain(asking).collect();
    domains.push(account.domainpart());
    domains.sort_unstable();
    domains.dedup();
    Ok(domains.into_iter().filter_map(|domain| BareJid::parse(domain).ok()).collect())
}
