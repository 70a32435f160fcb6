//! What a handshake has come to: what SASL can be bound to, what the peer has proven, and what a user may be shown (RFC 7590
//! section 3.6). Whether that is enough is for others to decide.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use rustls::{CommonState, ProtocolVersion};

use crate::clock;
use crate::end_point::server_end_point;
use crate::session::Ours;
use crate::verify::Proven;
use crate::witness::Witness;

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
    /// The channel binding `tls-server-end-point` (RFC 5929): the same in all sessions with this server, and weaker for it.
    /// `None` if the signature of the certificate has no hash of its own.
    pub server_end_point: Option<Vec<u8>>,
    /// The protocol agreed on with ALPN, if both sides offered one.
    pub alpn: Option<Vec<u8>>,
    /// The certificates that the peer presented, in DER, its own first. On a server empty, unless it is one among servers.
    pub peer_certificates: Vec<Vec<u8>>,
    /// The domains that the peer's certificate proves it to be, as they stand in it, after the check of its whole path: DNS
    /// names, where a first label of `*` stands for any one label, SRV names of the service, and XMPP addresses that are
    /// domains (RFC 6120 section 13.7.1.2). Empty if there is nothing to be believed.
    pub peer_domains: Vec<String>,
    /// How much longer the peer's certificate is valid, from the end of the handshake; `None` if it proves nothing.
    pub peer_valid_for: Option<Duration>,
    /// On a server: the domain that the client asked for (SNI), in ASCII form.
    pub server_name: Option<String>,
}

impl Established {
    /// What `connection`, at whose handshake `witness` was and which is over, has agreed on.
    pub(crate) fn of(connection: &CommonState, witness: &Witness, ours: &Ours) -> Self {
        let suite = connection.negotiated_cipher_suite();
        let server_name = witness.server_name();
        let own = ours.certificates.as_ref().map(|own| own.of(server_name.as_deref()));
        let chain = connection.peer_certificates().unwrap_or_default();
        let proven = match &ours.trust {
            Some(trust) => ours.proven(trust, chain, clock::now()),
            None => Proven::default(),
        };
        Established {
            protocol: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLS",
            },
            // rustls has its own prefix for the suites of TLS 1.3.
            cipher_suite: suite
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or_default()
                .replacen("TLS13_", "TLS_", 1),
            // RFC 9266 section 4.2 rules it out for TLS 1.2 without the extended master secret; both configurations
            // require that, so a session of 1.2 that gets here has it.
            exporter: suite.and_then(|suite| witness.exporter(suite)),
            alpn: connection.alpn_protocol().map(Vec::from),
            // A server's own certificate was looked at when it was read.
            server_end_point: match own {
                Some(own) => own.end_point.as_deref().map(Vec::from),
                None => chain.first().and_then(server_end_point),
            },
            peer_certificates: chain.iter().map(|certificate| certificate.to_vec()).collect(),
            peer_domains: proven.domains,
            peer_valid_for: proven.valid_for,
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
            .field("peer_domains", &self.peer_domains)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
