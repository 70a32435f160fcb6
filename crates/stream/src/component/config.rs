//! How a component behaves, and its server.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::{Limits, Secret};

/// How a component behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ComponentInitiatingConfig {
    /// The domain of the component.
    pub domain: BareJid,
    /// The secret that it shares with the server.
    pub secret: Secret<String>,
    /// Whether the stream runs on TLS from the first byte.
    pub direct_tls: bool,
    /// The language of the texts that are sent (RFC 5646).
    pub lang: Arc<str>,
    /// The bounds.
    pub limits: Limits,
}

impl ComponentInitiatingConfig {
    /// A component of this domain.
    #[must_use]
    pub fn new(domain: BareJid, secret: Secret<String>) -> Self {
        ComponentInitiatingConfig {
            domain,
            secret,
            direct_tls: false,
            lang: Arc::from("en"),
            limits: Limits::initiating(),
        }
    }
}

/// How a server behaves on the streams of components: one value for all of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ComponentReceivingConfig {
    /// The server's own domain.
    pub domain: BareJid,
    /// The domains of the components that may attach, in normal form, and the secret of each.
    pub components: Vec<(BareJid, Secret<String>)>,
    /// Whether the streams run on TLS from the first byte.
    pub direct_tls: bool,
    /// The bounds.
    pub limits: Limits,
}

impl ComponentReceivingConfig {
    /// A server of this domain with these components.
    #[must_use]
    pub fn new(domain: BareJid, components: Vec<(BareJid, Secret<String>)>) -> Self {
        ComponentReceivingConfig { domain, components, direct_tls: false, limits: Limits::federated() }
    }
}
