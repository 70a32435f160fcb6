//! How a server behaves towards other servers: who may talk to it, what they have to prove, and how much they may ask for.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use balcony_connection::srv::Target;
use balcony_jid::BareJid;
use balcony_machine::{Limits, Secret};
use balcony_stream::TlsPolicy;
use balcony_stream::s2s::{S2sInitiatingConfig, S2sReceivingConfig};

use super::bounds::Room;
use super::reach::Reach;

/// How a server behaves towards other servers; see [`Federation`](super::Federation).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FederationConfig {
    /// The domains of ours: stanzas go out from these, and come in for these. The first answers streams that name none.
    pub domains: Vec<BareJid>,
    /// What TLS does on streams that do not begin with it. Where it is not demanded, that holds for streams which others open, and for
    /// those to domains that have a [route](FederationConfig::routes); the DNS can lead anywhere, and there TLS is required unless there
    /// is [none](TlsPolicy::None) at all.
    pub tls: TlsPolicy,
    /// Our certificate, with whom we believe about others. See [`FederationTls`].
    #[cfg(feature = "tls")]
    pub certificate: Option<FederationTls>,
    /// The secret that our dialback keys are made from (XEP-0185), for servers that no certificate proves. `None` demands
    /// certificates of everybody.
    pub dialback: Option<Secret<String>>,
    /// Whether one stream may carry stanzas both ways, with servers that can do that (XEP-0288).
    pub bidi: bool,
    /// Whether stanzas are counted, with servers that can do that (XEP-0198): what a stream has lost is sent again.
    pub management: bool,
    /// The only domains that may talk to ours; `None` allows all.
    pub allow: Option<BTreeSet<BareJid>>,
    /// Domains that may not.
    pub deny: BTreeSet<BareJid>,
    /// Where certain domains are, whatever the DNS says. These may be anywhere.
    pub routes: BTreeMap<BareJid, Target>,
    /// Whether the addresses that the DNS names may be of private networks and of this machine, too. Whoever has a domain decides
    /// where a server connects to for it, so this is for networks whose DNS is that of the operator.
    pub private_addresses: bool,
    /// Whether the DNS may say, signed, which certificates a domain has, and which hosts speak for it (DANE: RFC 7673, RFC 7712 sections 5.1
    /// and 6). It costs several more questions to the DNS for each domain that is looked for. It needs TLS.
    pub dane: bool,
    /// The bounds of one stream.
    pub stream: Limits,
    /// The bounds of all of them together.
    pub limits: FederationLimits,
}

/// The certificate that a server shows to other servers, and whose word counts about theirs.
#[cfg(feature = "tls")]
#[derive(Clone, Debug)]
pub struct FederationTls {
    /// Where we accept: made by [`TlsIdentity::federation`](balcony_tls::TlsIdentity::federation).
    pub accepts: balcony_tls::TlsIdentity,
    /// Where we connect: made with [`federation`](balcony_tls::TlsTrustBuilder::federation), and, if dialback is to serve where
    /// a certificate does not, with [`accept_unproven`](balcony_tls::TlsTrustBuilder::accept_unproven).
    pub connects: balcony_tls::TlsTrust,
}

/// The bounds of all streams to and from other servers together. Bytes are as [`cost`](balcony_router::cost) counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FederationLimits {
    /// What may wait for streams to others altogether.
    pub waiting_bytes: usize,
    /// What may wait of one account of ours. One stanza has room.
    pub sender_bytes: usize,
    /// What may wait for one domain from one of ours.
    pub domain_bytes: usize,
    /// What may wait altogether to answer what others have sent, beside `waiting_bytes`; more of it is dropped.
    pub answers_bytes: usize,
    /// What may wait so for one domain. One stanza has room.
    pub answer_bytes: usize,
    /// Domains that are looked for, or connected to, at the same time; others wait for their turn. What other servers cause, by
    /// keys that are to be asked about, takes no more than half of them.
    pub attempts: usize,
    /// Domains that one account of ours may have looked for, with those that wait for their turn or are tried again.
    pub attempts_per_sender: usize,
    /// Domains that are looked for at the same time because of keys that servers at one address have shown.
    pub attempts_per_address: usize,
    /// Keys from one address that are being asked about, or wait for that; others are refused.
    pub keys_per_address: usize,
    /// Streams that are open to others at the same time; for one more the one goes that was not used for longest.
    pub outgoing_streams: usize,
    /// Streams on which one domain sends to us; a new one ends the oldest.
    pub streams_per_domain: usize,
    /// How many bytes a domain may send in a second on average, over all of its streams; above that it is read from more slowly.
    /// `None`: as fast as they come.
    pub bytes_per_second: Option<u32>,
    /// Subscription requests of one domain at once, and then as many in a minute; what is more is dropped.
    pub subscriptions_per_minute: u32,
    /// How long stanzas wait for a stream that takes none, or for a domain that can't be reached and is tried again, until they go back to
    /// their senders with `remote-server-timeout`. Requests come back as soon as the domain could not be reached once, and everything does
    /// where it has been away for that long.
    pub patience: Duration,
    /// How long a domain that could not be reached is left alone after the first time; twice as long after each further one.
    pub backoff: Duration,
    /// At most so long.
    pub most_backoff: Duration,
    /// A stream to another server on which nothing has been sent for so long is closed.
    pub idle: Duration,
    /// Domains that are remembered, with or without a stream. For others those go that have been idle for a minute, the longest first.
    pub domains: usize,
    /// Domains that servers at one address have proven, on all of their streams.
    pub domains_per_address: usize,
}

impl Default for FederationLimits {
    fn default() -> Self {
        FederationLimits {
            waiting_bytes: 256 << 20,
            sender_bytes: 4 << 20,
            domain_bytes: 16 << 20,
            answers_bytes: 64 << 20,
            answer_bytes: 1 << 20,
            attempts: 256,
            attempts_per_sender: 64,
            attempts_per_address: 32,
            keys_per_address: 256,
            outgoing_streams: 1_024,
            streams_per_domain: 16,
            bytes_per_second: None,
            subscriptions_per_minute: 60,
            patience: Duration::from_secs(60),
            backoff: Duration::from_secs(5),
            most_backoff: Duration::from_secs(600),
            idle: Duration::from_secs(600),
            domains: 16_384,
            domains_per_address: 1_024,
        }
    }
}

impl FederationLimits {
    /// What may wait.
    pub(super) fn room(&self) -> Room {
        Room {
            of_senders: self.waiting_bytes,
            of_sender: self.sender_bytes,
            of_domains: self.answers_bytes,
            of_domain: self.answer_bytes,
        }
    }
}

impl FederationConfig {
    /// For these domains, with everybody who proves who they are by certificate. It still needs a certificate of ours.
    #[must_use]
    pub fn new(domains: Vec<BareJid>) -> Self {
        FederationConfig {
            domains,
            tls: TlsPolicy::Required,
            #[cfg(feature = "tls")]
            certificate: None,
            dialback: None,
            bidi: true,
            management: true,
            allow: None,
            deny: BTreeSet::new(),
            routes: BTreeMap::new(),
            private_addresses: false,
            dane: false,
            stream: Limits::federated(),
            limits: FederationLimits::default(),
        }
    }

    /// Whether this is one of our domains.
    #[must_use]
    pub fn is_local(&self, domain: &str) -> bool {
        self.domains.iter().any(|local| local.as_str() == domain)
    }

    /// Whether this domain may talk to ours, and ours to it.
    #[must_use]
    pub fn admits(&self, domain: &str) -> bool {
        !self.deny.contains(domain) && self.allow.as_ref().is_none_or(|allow| allow.contains(domain))
    }

    /// Which addresses the DNS may name.
    pub(super) fn reach(&self) -> Reach {
        if self.private_addresses { Reach::Anywhere } else { Reach::Public }
    }

    /// For the streams that others open.
    pub(super) fn receiving(&self, direct_tls: bool) -> Arc<S2sReceivingConfig> {
        let mut config = S2sReceivingConfig::new(self.domains.clone());
        config.tls = if direct_tls { TlsPolicy::Direct } else { self.tls };
        config.dialback.clone_from(&self.dialback);
        (config.bidi, config.management) = (self.bidi, self.management);
        config.vouching = self.dane;
        config.limits = self.stream;
        Arc::new(config)
    }

    /// For a stream from one of our domains to another's, or one that only asks about keys.
    pub(super) fn initiating(
        &self,
        from: &BareJid,
        to: &BareJid,
        authorize: bool,
        direct_tls: bool,
        reach: Reach,
    ) -> Arc<S2sInitiatingConfig> {
        let mut config = S2sInitiatingConfig::new(from.clone(), to.clone());
        config.authorize = authorize;
        config.tls = match self.tls {
            _ if direct_tls => TlsPolicy::Direct,
            TlsPolicy::Optional if reach != Reach::Route => TlsPolicy::Required,
            policy => policy,
        };
        config.dialback.clone_from(&self.dialback);
        (config.bidi, config.management) = (self.bidi, self.management);
        let features = config.limits.before_auth;
        config.limits = self.stream;
        config.limits.before_auth = features;
        Arc::new(config)
    }
}
