//! Streams of external components (XEP-0114): a service with a domain of its own, which it shows to be its own by a secret
//! that it shares with the server.
//!
//! There is neither TLS nor SASL in the protocol, and no features. Put it on a loopback interface, or on TLS from the first
//! byte. Unlike a stream between servers it carries stanzas both ways.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::{Limits, Secret};
use sha1::{Digest as _, Sha1};

use crate::hex::hex;

mod initiating;
mod receiving;

pub(crate) use initiating::Initiator;
pub(crate) use receiving::Receiver;

/// How a component behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Initiating {
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

impl Initiating {
    /// A component of this domain.
    #[must_use]
    pub fn new(domain: BareJid, secret: Secret<String>) -> Self {
        Initiating { domain, secret, direct_tls: false, lang: Arc::from("en"), limits: Limits::initiating() }
    }
}

/// How a server behaves on the streams of components: one value for all of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Receiving {
    /// The server's own domain.
    pub domain: BareJid,
    /// The domains of the components that may attach, in normal form, and the secret of each.
    pub components: Vec<(BareJid, Secret<String>)>,
    /// Whether the streams run on TLS from the first byte.
    pub direct_tls: bool,
    /// The bounds.
    pub limits: Limits,
}

impl Receiving {
    /// A server of this domain with these components.
    #[must_use]
    pub fn new(domain: BareJid, components: Vec<(BareJid, Secret<String>)>) -> Self {
        Receiving { domain, components, direct_tls: false, limits: Limits::federated() }
    }
}

/// What shows that the component knows the secret: the digest of the stream's id and the secret (XEP-0114 section 3).
fn handshake(id: &str, secret: &Secret<String>) -> String {
    hex(&Sha1::new().chain_update(id).chain_update(secret.expose()).finalize())
}
