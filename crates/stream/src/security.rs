//! What TLS does for a stream, and what it says of itself.

use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::Instant;

/// What TLS does for a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsPolicy {
    /// STARTTLS, and nothing else before it (RFC 6120 section 5.3.1).
    #[default]
    Required,
    /// TLS from the first byte (XEP-0368).
    Direct,
    /// STARTTLS is used if both sides can, and authentication goes on without it otherwise. For tests on loopback.
    Optional,
    /// No TLS at all. For tests on loopback, and where something else protects the bytes.
    None,
}

/// How much a client insists on channel binding (RFC 5802 section 6), by which a login fails if somebody with a certificate
/// that the client trusts stands between it and its server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelBinding {
    /// Only mechanisms with channel binding are used; PLAIN never is. Whoever stands in between gets nothing. It costs the
    /// servers that can't bind, or not to what TLS has here: Prosody 0.12 and ejabberd 23.01, for two, are out of reach.
    Required,
    /// Channel binding is used where the server offers it. Where it does not, or refuses at once each type that it has not
    /// announced (XEP-0440), the client says that it could bind (the flag `y`), which a server that can bind has to refuse. It
    /// costs what servers get wrong: some that can bind take `y` all the same (ejabberd did until 2026), and their users are
    /// not protected from somebody who hides it.
    #[default]
    Preferred,
    /// Nothing is bound, and the server is told that this client can't (the flag `n`). For servers that offer channel binding,
    /// but of no type that TLS has here, and refuse `y`, as Prosody 0.12 does on TLS 1.2. It costs all protection: somebody
    /// in between with a certificate that the client trusts is not noticed, and reads and changes all but a SCRAM password.
    Off,
}

/// What the TLS layer below says about itself when its handshake is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Security {
    /// The `tls-exporter` channel binding (RFC 9266): the same 32 bytes at both ends of one TLS connection.
    pub exporter: Option<[u8; 32]>,
    /// The `tls-server-end-point` channel binding (RFC 5929): a digest of the certificate of the server, of 32 to 64 bytes.
    pub end_point: Option<Vec<u8>>,
    /// The domain names that the peer's certificate proves, as they stand in it; a first label of `*` stands for any one
    /// label. Empty unless the whole path of the certificate was checked (RFC 6120 section 13.7.2). Only streams between
    /// servers look at it.
    pub domains: Vec<String>,
    /// When the certificate expires with which the peer has proven who it is: the stream ends then, so that it has to prove it
    /// again.
    pub expires: Option<Instant>,
    /// The version of TLS as it stands in its messages, 0x0304 for TLS 1.3; `None` if the layer below does not say. Both ends compare
    /// it, if both know it (XEP-0515): a layer that ends before the peer, as behind a proxy, must not say its own.
    pub version: Option<u16>,
}

impl Security {
    /// Security with this channel binding, if the layer can make one, and a peer that has proved nothing.
    #[must_use]
    pub const fn new(exporter: Option<[u8; 32]>) -> Self {
        Security { exporter, end_point: None, domains: Vec::new(), expires: None, version: None }
    }

    /// The same with the other channel binding as well.
    #[must_use]
    pub fn with_end_point(mut self, end_point: Option<Vec<u8>>) -> Self {
        self.end_point = end_point;
        self
    }

    /// The same on this version of TLS.
    #[must_use]
    pub const fn with_version(mut self, version: Option<u16>) -> Self {
        self.version = version;
        self
    }

    /// Whether TLS is known to be of a version before 1.3. Its clients know no channel binding but tls-unique (RFC 5929), which is not
    /// here, so a server does not offer them any.
    #[must_use]
    pub fn is_before_1_3(&self) -> bool {
        self.version.is_some_and(|version| version < 0x0304)
    }

    /// The same with a peer whose certificate expires then.
    #[must_use]
    pub fn with_expiry(mut self, expires: Option<Instant>) -> Self {
        self.expires = expires;
        self
    }

    /// The same with a peer whose certificate proves these domain names.
    #[must_use]
    pub fn with_domains(mut self, domains: Vec<String>) -> Self {
        self.domains = domains;
        self
    }

    /// Whether the peer's certificate proves that it is this domain (RFC 6120 section 13.7.1.2).
    #[must_use]
    pub fn proves(&self, domain: &BareJid) -> bool {
        self.domains.iter().any(|name| {
            let (name, domain) = match (name.strip_prefix("*."), domain.domainpart().split_once('.')) {
                (Some(parent), Some((_, of_domain))) => (parent, of_domain),
                (Some(_), None) => return false,
                (None, _) => (name.as_str(), domain.domainpart()),
            };
            // Certificates have A-labels, addresses U-labels.
            balcony_jid::domainpart(name).is_ok_and(|name| name == domain)
        })
    }
}
