//! How a server behaves on its clients' streams.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::{Limits, Secret};
use balcony_sasl::{Hash, Mechanism};

use crate::framing::Framing;
use crate::security::TlsPolicy;

/// How a server behaves on the streams of its clients: one value for all of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerStreamConfig {
    /// The domains served, in normal form. The first one answers headers that name none.
    pub domains: Vec<BareJid>,
    /// Domains that were served once, in normal form. Who asks for one is told that it is gone for good.
    pub gone: Vec<BareJid>,
    /// What TLS does.
    pub tls: TlsPolicy,
    /// How the streams lie on their transport.
    pub framing: Framing,
    /// The mechanisms offered, in order of preference. Which of them fit a stream (TLS, channel binding) is seen to. SCRAM with
    /// SHA-512 is not among them unless you add it ([`Mechanism::all`]): accounts that were made before it was known here have no
    /// keys for it, and whose client prefers it would be locked out. Whose account it is, and so which keys it has, is not known
    /// when mechanisms are offered.
    pub mechanisms: Vec<Mechanism>,
    /// The hashes that accounts may lack keys for, and that a client can give what it takes for when it logs in with its password by
    /// SASL2 (XEP-0480). Empty where all accounts have all keys. The owner then answers
    /// [`KeysLacking`](super::ServerAsk::KeysLacking) and [`AddKeys`](super::ServerAsk::AddKeys).
    pub upgrades: Vec<Hash>,
    /// The mechanisms by which clients can log in with a token that they were given before (XEP-0484), the best first; see
    /// [`Mechanism::for_tokens`]. Empty: none are given. The owner then answers [`Tokens`](super::ServerAsk::Tokens) and
    /// [`KeepToken`](super::ServerAsk::KeepToken).
    pub tokens: Vec<Mechanism>,
    /// Whether accounts can be registered in-band (XEP-0077).
    pub registration: bool,
    /// The namespaces of what a client can have done when it binds its resource by Bind 2, such as copies of messages (XEP-0386
    /// section 3.1): what [`ServerAsk::Bind`](super::ServerAsk::Bind) brings.
    pub bind_inline: Vec<Cow<'static, str>>,
    /// What is announced to clients that have authenticated beside what the stream itself negotiates: features, by name and namespace.
    pub features: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// First-level elements that are no stanzas and are the owner's, by name and namespace:
    /// [`ServerEvent::Element`](super::ServerEvent::Element), once a resource is bound.
    pub elements: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// Whether stream management is offered (XEP-0198), and that sessions go on after their streams. The owner then answers
    /// [`Enable`](super::ServerAsk::Enable) and [`Resume`](super::ServerAsk::Resume), and says what is
    /// [handled](crate::Stream::handled).
    pub management: bool,
    /// From this the salts of accounts that don't exist are made, so that they look like those that do. Keep it for
    /// the life of the server.
    pub decoy: Secret<[u8; 32]>,
    /// The iteration count of new accounts, which those that don't exist show as well.
    pub iterations: u32,
    /// The bounds.
    pub limits: Limits,
}

impl ServerStreamConfig {
    /// A server for these domains with the defaults of a public one.
    #[must_use]
    pub fn new(domains: Vec<BareJid>, decoy: Secret<[u8; 32]>) -> Self {
        ServerStreamConfig {
            domains,
            gone: Vec::new(),
            tls: TlsPolicy::Required,
            framing: Framing::default(),
            mechanisms: Mechanism::for_every_account(),
            upgrades: Vec::new(),
            tokens: Vec::new(),
            registration: false,
            bind_inline: Vec::new(),
            features: Vec::new(),
            elements: Vec::new(),
            management: false,
            decoy,
            iterations: 10_000,
            limits: Limits::default(),
        }
    }
}
