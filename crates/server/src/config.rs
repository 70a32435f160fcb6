//! What an administrator decides about a server, in one value, and the parts of it that its streams and its router get.
//!
//! What it says about connections from one address is for the [`Acceptor`](crate::Acceptor) to keep.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::{Limits, Secret};
use balcony_router::extension::Extensions;
use balcony_router::{ConflictPolicy, Software};
use balcony_sasl::{Hash, Mechanism};
use balcony_stream::server::ServerStreamConfig;
use balcony_stream::{Framing, TlsPolicy};

use crate::components::ComponentsConfig;
use crate::federation::FederationConfig;

/// What a [`Server`](crate::Server) serves, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The domains served. The first answers clients that name none.
    pub domains: Vec<BareJid>,
    /// What TLS does on streams that do not begin with it.
    pub tls: TlsPolicy,
    /// The certificate and its key, for STARTTLS and direct TLS.
    #[cfg(feature = "tls")]
    pub certificate: Option<balcony_tls::TlsIdentity>,
    /// The SASL mechanisms, in order of preference.
    pub mechanisms: Vec<Mechanism>,
    /// The hashes that accounts may lack keys for, and that clients can give what it takes for when they log in (XEP-0480).
    pub upgrades: Vec<Hash>,
    /// The mechanisms by which clients log in with a token that they were given before (XEP-0484), the best first
    /// ([`Mechanism::for_tokens`]); none by default, since whoever answers for the accounts has to keep tokens.
    pub tokens: Vec<Mechanism>,
    /// Whether clients may have stanzas acknowledged, and sessions outlive their connections (XEP-0198).
    pub stream_management: bool,
    /// Whether whoever runs the server keeps its sessions while it is down ([`Ask::Sessions`](crate::Ask::Sessions)), so that clients
    /// resume at the next one. Otherwise sessions end with the server.
    pub keep_sessions: bool,
    /// Whether accounts can be registered in-band (XEP-0077). Their users can change the password and end them in any case.
    pub registration: bool,
    /// What happens when two clients want one resource.
    pub conflict: ConflictPolicy,
    /// Whether an iq reaches a resource only of somebody who shares presence with its sender (RFC 6121 section 8.5.3.1).
    pub iq_needs_presence: bool,
    /// Whether strangers, too, are told that a message was not delivered (RFC 6121 section 8.1).
    pub tell_strangers: bool,
    /// The bounds and choices of rosters.
    pub roster: balcony_router::RosterConfig,
    /// What the server does beyond the core, such as blocking and messages for users who are away.
    pub extensions: Extensions,
    /// What the server says it is (XEP-0092).
    pub software: Software,
    /// From this the salts of accounts that don't exist are made; keep it for the life of the server.
    pub decoy: Secret<[u8; 32]>,
    /// The iteration count of new accounts.
    pub iterations: u32,
    /// How many connections there may be from one address; see [`Acceptor::enter`](crate::Acceptor::enter). `None`: any number.
    pub connections_per_ip: Option<usize>,
    /// How many connections one address may begin in a minute; as many at once after a rest. `None`: any number.
    pub attempts_per_ip: Option<u32>,
    /// How many bytes a client may send in a second on average, with what it saves in a second to spare; above that it is
    /// read from more slowly. `None`: as fast as they come.
    pub bytes_per_second: Option<u32>,
    /// How many connections other servers and components may have, beside those of clients.
    pub server_connections: usize,
    /// How the server behaves towards other servers; `None` if it does not talk to any.
    pub federation: Option<FederationConfig>,
    /// The components that may attach (XEP-0114), if any. For those to talk to other servers, too, their domains stand among those of
    /// [`federation`](ServerConfig::federation).
    pub components: Option<ComponentsConfig>,
    /// The bounds.
    pub limits: Limits,
}

impl ServerConfig {
    /// A server for these domains with the defaults of a public one. It still needs a certificate.
    #[must_use]
    pub fn new(domains: Vec<BareJid>, decoy: Secret<[u8; 32]>) -> Self {
        let stream = ServerStreamConfig::new(Vec::new(), decoy);
        let router = balcony_router::Config::new(Vec::new());
        ServerConfig {
            domains,
            tls: stream.tls,
            #[cfg(feature = "tls")]
            certificate: None,
            mechanisms: stream.mechanisms,
            upgrades: stream.upgrades,
            tokens: stream.tokens,
            stream_management: true,
            keep_sessions: false,
            registration: stream.registration,
            conflict: router.conflict,
            iq_needs_presence: router.iq_needs_presence,
            tell_strangers: router.tell_strangers,
            roster: router.roster,
            extensions: router.extensions,
            software: router.software,
            decoy: stream.decoy,
            iterations: stream.iterations,
            connections_per_ip: None,
            attempts_per_ip: None,
            bytes_per_second: None,
            server_connections: 1_024,
            federation: None,
            components: None,
            limits: stream.limits,
        }
    }

    /// The streams' part, for connections that begin like this.
    pub(crate) fn stream(&self, tls: TlsPolicy, framing: Framing) -> Arc<ServerStreamConfig> {
        let mut stream = ServerStreamConfig::new(self.domains.clone(), self.decoy.clone());
        stream.tls = tls;
        stream.framing = framing;
        stream.bind_inline = self.extensions.bind_inline().map(Cow::Borrowed).collect();
        let owned = |(name, namespace)| (Cow::Borrowed(name), Cow::Borrowed(namespace));
        stream.features = self.extensions.stream_features().map(owned).collect();
        stream.elements = self.extensions.elements().map(owned).collect();
        stream.mechanisms = self.mechanisms.clone();
        stream.upgrades = self.upgrades.clone();
        stream.tokens = self.tokens.clone();
        stream.management = self.stream_management;
        stream.registration = self.registration;
        stream.iterations = self.iterations;
        stream.limits = self.limits;
        Arc::new(stream)
    }

    /// The router's part.
    pub(crate) fn router(&self) -> balcony_router::Config {
        balcony_router::Config {
            domains: self.domains.clone(),
            limits: self.limits,
            conflict: self.conflict,
            iq_needs_presence: self.iq_needs_presence,
            tell_strangers: self.tell_strangers,
            roster: self.roster,
            extensions: self.extensions.clone(),
            software: self.software.clone(),
        }
    }
}
