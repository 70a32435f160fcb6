//! Channel binding: what ties a login to the TLS channel that it is made on, and what a client says of it (RFC 5056, RFC 5802
//! section 6). The data comes from TLS; whether that of both ends is the same is checked by the server's exchange.

use alloc::boxed::Box;
use core::fmt;

/// What identifies the TLS channel below the stream, so that a `-PLUS` mechanism can prove that both ends see the same
/// one (RFC 5056).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binding {
    /// Keying material exported from TLS with the label `EXPORTER-Channel-Binding`, an empty context and 32 bytes
    /// (RFC 9266). In TLS 1.2 only with the extended master secret.
    TlsExporter([u8; 32]),
    /// The hash of the server's certificate (RFC 5929 section 4.1). Weaker: it is the same for all connections.
    TlsServerEndPoint(Box<[u8]>),
}

impl Binding {
    /// The registered name of the type, as in the SCRAM flag `p=` and in XEP-0440.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Binding::TlsExporter(_) => "tls-exporter",
            Binding::TlsServerEndPoint(_) => "tls-server-end-point",
        }
    }

    /// The data that both ends must agree on.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        match self {
            Binding::TlsExporter(data) => data,
            Binding::TlsServerEndPoint(data) => data,
        }
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binding({})", self.name())
    }
}

/// What a client says about channel binding (RFC 5802 section 6).
///
/// The server checks it, which is how an attacker who hides the `-PLUS` mechanisms from a client is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindingState {
    /// This client can't bind on this connection: flag `n`.
    Unsupported,
    /// It could, but the server offered no `-PLUS` mechanism that it can use: flag `y`.
    SupportedNotOffered,
    /// It does, by a `-PLUS` mechanism: flag `p`.
    Use(Binding),
}
