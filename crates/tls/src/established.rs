use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use rustls::{Connection, ProtocolVersion};

/// What the two sides agreed on in the handshake: what SASL needs, and what a user may be shown (RFC 7590 section 3.6).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Established {
    /// `TLSv1.3` or `TLSv1.2`.
    pub protocol: &'static str,
    /// The cipher suite, by its registered name.
    pub cipher_suite: String,
    /// The channel binding `tls-exporter` (RFC 9266), the same on both sides and in no other session.
    pub exporter: Option<[u8; 32]>,
    /// The protocol agreed on with ALPN, if both sides offered one.
    pub alpn: Option<Vec<u8>>,
    /// The certificates that the peer presented, in DER, its own first. Empty on a server.
    pub peer_certificates: Vec<Vec<u8>>,
    /// On a server: the domain that the client asked for (SNI), in ASCII form.
    pub server_name: Option<String>,
}

impl Established {
    /// What `connection`, whose handshake is over, has agreed on.
    pub(crate) fn of(connection: &Connection) -> Self {
        let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        let server_name = match connection {
            Connection::Server(server) => server.server_name().map(String::from),
            Connection::Client(_) => None,
        };
        Established {
            protocol: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLS",
            },
            // rustls has its own prefix for the suites of TLS 1.3.
            cipher_suite: suite.unwrap_or_default().replacen("TLS13_", "TLS_", 1),
            // RFC 9266 section 4.2 rules it out for TLS 1.2 without the extended master secret; both configurations
            // require that, so a session of 1.2 that gets here has it.
            exporter: connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok(),
            alpn: connection.alpn_protocol().map(Vec::from),
            peer_certificates: connection
                .peer_certificates()
                .map(|chain| chain.iter().map(|certificate| certificate.to_vec()).collect())
                .unwrap_or_default(),
            server_name,
        }
    }
}

impl fmt::Debug for Established {
    /// Without the channel binding, and with the number of certificates for their content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Established")
            .field("protocol", &self.protocol)
            .field("cipher_suite", &self.cipher_suite)
            .field("alpn", &self.alpn.as_deref().map(String::from_utf8_lossy))
            .field("peer_certificates", &self.peer_certificates.len())
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
