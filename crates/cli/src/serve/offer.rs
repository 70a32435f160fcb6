//! The mechanisms that a server offers its clients.

use balcony_sasl::{Hash, Mechanism};
use balcony_store::Store;
use balcony_tokio::ServerConfig;

/// Which mechanisms clients are offered.
pub(super) struct Offer {
    sha512: bool,
}

impl Offer {
    /// Those that every account has keys for: whose it will be is not known when they are offered, and one that depended on the account
    /// would tell which accounts there are.
    pub(super) fn of(store: &Store) -> Offer {
        let sha512 = store.all_have_sha512().unwrap_or_else(|error| {
            tracing::warn!(target: "balcony", "cannot find out whether all accounts have keys for SCRAM-SHA-512: {error}");
            false
        });
        if !sha512 {
            tracing::info!(
                target: "balcony",
                "SCRAM-SHA-512 is not offered, since there are accounts of earlier versions, which have no keys for it until their \
                 password is set again, or a client that can make them (XEP-0480) logs in"
            );
        }
        Offer { sha512 }
    }

    /// Where accounts lack keys their clients can give them, without the password.
    pub(super) fn configure(&self, config: &mut ServerConfig) {
        (config.mechanisms, config.upgrades) = match self.sha512 {
            true => (Mechanism::all().to_vec(), Vec::new()),
            false => (Mechanism::for_every_account(), vec![Hash::Sha256, Hash::Sha512]),
        };
    }
}
