//! What a handshake shows to whoever is there, and what `tls-exporter` (RFC 9266) is made of.
//!
//! Connections of rustls that bring no buffers of their own export no keying material, and don't say which name a client has asked for.
//! Both are told to those who are part of a configuration: the secret to its log of keys, the name to whoever has the certificates. So each
//! connection has a witness in its configuration, until the handshake is over.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use balcony_machine::Secret;
use rustls::crypto::tls13::OkmBlock;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, KeyLog, ServerConfig, SupportedCipherSuite};

/// The label of `tls-exporter` (RFC 9266 section 4.2); its context is empty.
const LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// What the secret is called that TLS 1.3 exports from, and what the master secret of TLS 1.2 is.
const SECRETS: [&str; 2] = ["EXPORTER_SECRET", "CLIENT_RANDOM"];

/// The random bytes of either side.
type Random = [u8; 32];

/// Is there at one handshake.
pub(crate) struct Witness {
    /// On a server: who has the certificates.
    certificates: Option<Arc<dyn ResolvesServerCert>>,
    heard: Mutex<Heard>,
    hello: Mutex<Hello>,
}

#[derive(Default)]
struct Heard {
    /// The secret to export from, and what the client has brought.
    secret: Option<(Secret<Vec<u8>>, Random)>,
    server_name: Option<String>,
}

impl Witness {
    /// The configuration of a server's connection, and who is there at its handshake.
    pub(crate) fn of_server(config: &ServerConfig) -> (Arc<ServerConfig>, Arc<Self>) {
        let witness = Arc::new(Witness::new(Some(Arc::clone(&config.cert_resolver))));
        let mut config = config.clone();
        config.cert_resolver = Arc::clone(&witness) as Arc<dyn ResolvesServerCert>;
        config.key_log = Arc::clone(&witness) as Arc<dyn KeyLog>;
        (Arc::new(config), witness)
    }

    /// The configuration of a client's connection, and who is there at its handshake.
    pub(crate) fn of_client(config: &ClientConfig) -> (Arc<ClientConfig>, Arc<Self>) {
        let witness = Arc::new(Witness::new(None));
        let mut config = config.clone();
        config.key_log = Arc::clone(&witness) as Arc<dyn KeyLog>;
        (Arc::new(config), witness)
    }

    fn new(certificates: Option<Arc<dyn ResolvesServerCert>>) -> Self {
        Witness { certificates, heard: Mutex::default(), hello: Mutex::default() }
    }

    /// Sees what the server sends: once, in order, from its first byte.
    pub(crate) fn sees(&self, sent: &[u8]) {
        lock(&self.hello).read(sent);
    }

    /// The name that the client has asked for (SNI).
    pub(crate) fn server_name(&self) -> Option<String> {
        lock(&self.heard).server_name.clone()
    }

    /// The channel binding `tls-exporter` of a connection whose handshake is over.
    pub(crate) fn exporter(&self, suite: SupportedCipherSuite) -> Option<[u8; 32]> {
        // The connection keeps its configuration, and whoever is in that; nobody needs this any more.
        let (secret, client) = lock(&self.heard).secret.take()?;
        let mut exported = [0; 32];
        match suite {
            // RFC 8446 section 7.5
            SupportedCipherSuite::Tls13(suite) => {
                let nothing = suite.common.hash_provider.hash(&[]);
                let hash = nothing.as_ref();
                let expand = |secret: &Secret<Vec<u8>>, label: &[u8], length: usize| {
                    let mut out = alloc::vec![0; length];
                    let length = u16::try_from(length).ok()?.to_be_bytes();
                    let label_length = u8::try_from(b"tls13 ".len() + label.len()).ok()?;
                    let hash_length = u8::try_from(hash.len()).ok()?;
                    let info = [&length[..], &[label_length], b"tls13 ", label, &[hash_length], hash];
                    let expander = suite.hkdf_provider.expander_for_okm(&OkmBlock::new(secret.expose()));
                    expander.expand_slice(&info, &mut out).ok()?;
                    Some(Secret::new(out))
                };
                let own = expand(&secret, LABEL, hash.len())?;
                let value = expand(&own, b"exporter", exported.len())?;
                exported.copy_from_slice(value.expose());
            }
            // RFC 5705 section 4
            SupportedCipherSuite::Tls12(suite) => {
                let server = lock(&self.hello).random()?;
                let seed = [&client[..], &server, &[0, 0]].concat();
                suite.prf_provider.for_secret(&mut exported, secret.expose(), LABEL, &seed);
            }
        }
        Some(exported)
    }
}

impl KeyLog for Witness {
    fn will_log(&self, label: &str) -> bool {
        SECRETS.contains(&label)
    }

    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if let (true, Ok(random)) = (self.will_log(label), client_random.try_into()) {
            lock(&self.heard).secret = Some((Secret::new(secret.into()), random));
        }
    }
}

impl ResolvesServerCert for Witness {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        lock(&self.heard).server_name = hello.server_name().map(str::to_ascii_lowercase);
        self.certificates.as_ref()?.resolve(hello)
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The beginning of a server's first handshake message, out of whatever records it comes in.
#[derive(Default)]
struct Hello {
    /// The header of the record that is read: type, version, length.
    header: Vec<u8>,
    /// What is left of its content.
    left: usize,
    /// Type, length, version, and the random bytes.
    message: Vec<u8>,
}

impl Hello {
    const HEADER: usize = 5;
    const HANDSHAKE: u8 = 22;
    const BEFORE_RANDOM: usize = 6;
    const LENGTH: usize = Self::BEFORE_RANDOM + 32;

    fn read(&mut self, mut bytes: &[u8]) {
        while self.message.len() < Self::LENGTH && !bytes.is_empty() {
            let taken;
            if self.header.len() < Self::HEADER {
                (taken, bytes) = bytes.split_at(bytes.len().min(Self::HEADER - self.header.len()));
                self.header.extend_from_slice(taken);
                if let [.., high, low] = self.header[..]
                    && self.header.len() == Self::HEADER
                {
                    self.left = u16::from_be_bytes([high, low]).into();
                }
            } else {
                (taken, bytes) = bytes.split_at(bytes.len().min(self.left));
                self.left -= taken.len();
                // Others are warnings.
                if self.header[0] == Self::HANDSHAKE {
                    let wanted = taken.len().min(Self::LENGTH - self.message.len());
                    self.message.extend_from_slice(&taken[..wanted]);
                }
            }
            if self.header.len() == Self::HEADER && self.left == 0 {
                self.header.clear();
            }
        }
    }

    fn random(&self) -> Option<Random> {
        self.message.get(Self::BEFORE_RANDOM..Self::LENGTH)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "these are tests")]

    use super::*;

    // A warning may come first, and a message may be cut anywhere.
    #[test]
    fn a_servers_random_is_found_in_whatever_records_it_comes() {
        let random: Random = core::array::from_fn(|at| u8::try_from(at).unwrap() + 1);
        let message = [&[2, 0, 0, 70, 3, 3][..], &random, &[9; 36]].concat();
        for cut in [1, 5, 17, message.len()] {
            let mut sent = vec![21, 3, 3, 0, 2, 1, 112];
            for part in message.chunks(cut) {
                sent.extend_from_slice(&[22, 3, 3, 0, u8::try_from(part.len()).unwrap()]);
                sent.extend_from_slice(part);
            }
            for piece in [1, 3, sent.len()] {
                let mut hello = Hello::default();
                let seen: Vec<_> = sent
                    .chunks(piece)
                    .map(|piece| {
                        hello.read(piece);
                        hello.random()
                    })
                    .collect();
                assert_eq!(seen.last(), Some(&Some(random)), "cut into {cut}, {piece} at a time");
                assert!(seen.iter().all(|seen| seen.is_none_or(|seen| seen == random)));
            }
            // Empty records are none.
            let mut hello = Hello::default();
            hello.read(&[22, 3, 3, 0, 0]);
            hello.read(&sent);
            assert_eq!(hello.random(), Some(random));
        }
    }
}
