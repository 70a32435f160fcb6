//! Which of its certificates a server shows: the one of the domain that is asked for (SNI, RFC 6066 section 3).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::end_point::server_end_point;

/// One certificate, with those that have signed it, and its key.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// Its own first; never empty.
    pub(crate) chain: Arc<[CertificateDer<'static>]>,
    /// The channel binding `tls-server-end-point` of all its connections.
    pub(crate) end_point: Option<Arc<[u8]>>,
    pub(crate) key: Arc<dyn ResolvesServerCert>,
}

impl Own {
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// Whether this name is among those in the certificate.
    pub(crate) fn covers(&self, name: &ServerName<'_>) -> bool {
        ParsedCertificate::try_from(self.certificate())
            .is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    /// Who asks for no name, or for one that nothing is known of, is shown this one.
    pub(crate) first: Own,
    /// Those of certain domains, in ASCII and small letters.
    pub(crate) named: BTreeMap<String, Own>,
}

impl Certificates {
    pub(crate) fn one(chain: Vec<CertificateDer<'static>>, key: Arc<dyn ResolvesServerCert>) -> Self {
        let end_point = chain.first().and_then(server_end_point).map(Arc::from);
        Certificates { first: Own { chain: chain.into(), end_point, key }, named: BTreeMap::new() }
    }

    /// The one for who asks for this name: that of the domain, or one that is for the name as well, as that of `example.org` may be for
    /// `rooms.example.org`; else the first.
    pub(crate) fn of(&self, name: Option<&str>) -> &Own {
        let Some(name) = name.filter(|_| !self.named.is_empty()) else { return &self.first };
        let name = name.to_ascii_lowercase();
        if let Some(own) = self.named.get(&name) {
            return own;
        }
        let Ok(name) = ServerName::try_from(name) else { return &self.first };
        let mut all = core::iter::once(&self.first).chain(self.named.values());
        all.find(|own| own.covers(&name)).unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.of(hello.server_name()).key.resolve(hello)
    }
}
