//! How a server behaves on streams to and from other servers.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::{Limits, Secret, XmlLimits};

use crate::security::TlsPolicy;

/// How a server behaves on a stream that it opens to another server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct S2sInitiatingConfig {
    /// The domain of ours that stanzas come from.
    pub from: BareJid,
    /// The domain that they go to.
    pub to: BareJid,
    /// Whether this pair is to be authorised. Without that the stream only [verifies](crate::Stream::verify) keys, and opens
    /// without an event.
    pub authorize: bool,
    /// What TLS does. With a certificate of the other server that the layer does not accept, TLS that protects from
    /// listeners only, and dialback, are better than nothing (RFC 7590 section 3.4); that is for the layer to decide.
    pub tls: TlsPolicy,
    /// The secret that dialback keys are made from (XEP-0185), one for all streams of a server; `None` does without
    /// dialback.
    pub dialback: Option<Secret<String>>,
    /// Whether the other server may send on this stream as well, if it offers that (XEP-0288): from the domain that it was opened to.
    pub bidi: bool,
    /// Whether stanzas are counted, where the other server can do that (XEP-0198).
    pub management: bool,
    /// Whether the stream only looks: it gets as far as the features under what [`tls`](Self::tls) demands, keeps them for
    /// [`Stream::offered`](crate::Stream::offered), and does nothing more until it is closed.
    #[cfg(feature = "look")]
    pub look: bool,
    /// The language of the texts that are sent (RFC 5646).
    pub lang: Arc<str>,
    /// The bounds.
    pub limits: Limits,
}

impl S2sInitiatingConfig {
    /// A stream for stanzas between these domains, which proves who we are by certificate only.
    #[must_use]
    pub fn new(from: BareJid, to: BareJid) -> Self {
        let mut limits = Limits::federated();
        limits.before_auth = XmlLimits::FEATURES;
        S2sInitiatingConfig {
            from,
            to,
            authorize: true,
            tls: TlsPolicy::Required,
            dialback: None,
            bidi: false,
            management: false,
            #[cfg(feature = "look")]
            look: false,
            lang: Arc::from("en"),
            limits,
        }
    }
}

/// How a server behaves on the streams that other servers open to it: one value for all of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct S2sReceivingConfig {
    /// The domains served, in normal form. The first one answers headers that name none.
    pub domains: Vec<BareJid>,
    /// Domains that were served once, in normal form. Who asks for one is told that it is gone for good.
    pub gone: Vec<BareJid>,
    /// What TLS does.
    pub tls: TlsPolicy,
    /// The secret that our own dialback keys are made from (XEP-0185), to tell them from others; `None` does without
    /// dialback, and demands certificates.
    pub dialback: Option<Secret<String>>,
    /// Whether to offer that we send on the same stream, between the domains that the peer has proven and ours (XEP-0288).
    pub bidi: bool,
    /// Whether to offer that stanzas are counted (XEP-0198).
    pub management: bool,
    /// Whether somebody is [asked](super::S2sAsk::Vouch) who vouches for a certificate that proves nothing by itself. Where there is dialback
    /// nobody is: it does as well.
    pub vouching: bool,
    /// The bounds.
    pub limits: Limits,
}

impl S2sReceivingConfig {
    /// A server of these domains that wants to see certificates.
    #[must_use]
    pub fn new(domains: Vec<BareJid>) -> Self {
        S2sReceivingConfig {
            domains,
            gone: Vec::new(),
            tls: TlsPolicy::Required,
            dialback: None,
            bidi: false,
            management: false,
            vouching: false,
            limits: Limits::federated(),
        }
    }
}
