//! Where the server of an account is, and why no connection has come about.
//!
//! Here it is decided what needs no lookup in the DNS, which failures trying again can mend, and whom a client lets itself be
//! redirected by (RFC 6120 section 4.9.3.19). SRV records are read in [`srv`](crate::srv); names are resolved and sockets opened
//! by adapters.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use balcony_jid::BareJid;
use balcony_stream::TlsPolicy;

use crate::srv::Target;
use crate::{ClientConfig, Error};

/// Where the server of an account is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// Where the DNS says that the account's domain is (RFC 6120 section 3.2).
    #[default]
    Domain,
    /// At this address, whatever the DNS says.
    Address {
        /// A host name, or an IP address in text.
        host: String,
        /// The port.
        port: u16,
        /// Whether TLS begins with the first byte there.
        direct_tls: bool,
    },
    /// At this WebSocket (RFC 7395), whatever the DNS says. With `wss` the server must prove that it is the host in the URL,
    /// whatever the domain of the account is.
    #[cfg(feature = "websocket")]
    WebSocket(crate::WebSocketUrl),
    /// At a WebSocket that the web server of the account's domain tells (XEP-0156): `/.well-known/host-meta` there, in XML or in
    /// JSON. It is fetched over HTTPS, and has to be proven to be the domain's by its certificate; then the server at the
    /// WebSocket has to prove that it is the host in the URL. For networks in which nothing but the web gets through: the
    /// DNS is the usual way.
    #[cfg(feature = "websocket")]
    HostMeta {
        /// Where the web server is, if it is not at the domain itself, on port 443: host and port. It is asked for the domain, on that port, and
        /// has to prove to be the domain's all the same.
        server: Option<(String, u16)>,
    },
}

impl Endpoint {
    /// Reads `host`, `host:port`, `[v6 address]` or `[v6 address]:port`. Without a port it is 5222, or 5223 for direct
    /// TLS. With the feature `websocket` also the URL of a WebSocket. `None` if it is none of these.
    #[must_use]
    pub fn parse(text: &str, direct_tls: bool) -> Option<Endpoint> {
        #[cfg(feature = "websocket")]
        if let Some(url) = crate::WebSocketUrl::parse(text) {
            return Some(Endpoint::WebSocket(url));
        }
        let usual = if direct_tls { 5223 } else { 5222 };
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
            _ => (text, usual),
        };
        let host = unbracketed(host);
        if host.is_empty() || host.contains(['[', ']', '/', ' ']) {
            return None;
        }
        Some(Endpoint::Address { host: host.into(), port, direct_tls })
    }

    /// The places to try, where that is certain without the DNS: for an address, and for a domain that is an IP address
    /// or this machine. `None`: look up the SRV records and ask [`targets`](crate::srv::targets).
    #[must_use]
    pub fn target(&self, account: &BareJid) -> Option<Target> {
        match self {
            Endpoint::Address { host, port, direct_tls } => {
                Some(Target::new(host.clone(), *port, *direct_tls))
            }
            #[cfg(feature = "websocket")]
            Endpoint::WebSocket(url) => Some(Target::new(url.host().into(), url.port(), url.is_secure())),
            // The web server; what that tells are other endpoints.
            #[cfg(feature = "websocket")]
            Endpoint::HostMeta { server } => {
                let own = || (String::from(unbracketed(account.domainpart())), 443);
                let (host, port) = server.clone().unwrap_or_else(own);
                Some(Target::new(host, port, true))
            }
            Endpoint::Domain => {
                let host = unbracketed(account.domainpart());
                let certain =
                    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok();
                certain.then(|| Target::new(host.into(), 5222, false))
            }
        }
    }
}

/// The name under which the DNS knows the domain of an account: A-labels where it is internationalised.
///
/// # Errors
///
/// [`ConnectError::Lookup`] if it can be no name in the DNS.
#[cfg(feature = "tls")]
pub fn dns_name(account: &BareJid) -> Result<String, ConnectError> {
    let domain = account.domainpart();
    balcony_tls::domain_to_ascii(domain).map_err(|_| ConnectError::Lookup {
        name: domain.into(),
        reason: "the DNS cannot have such a name".into(),
    })
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl ClientConfig {
    /// The same configuration, for one of the places where `endpoint` is: for a server where TLS begins with the first byte
    /// (XEP-0368), or where it does not, or for a WebSocket. On a WebSocket in the clear nothing but the policy that was configured
    /// allows to do without TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn for_endpoint(mut self, endpoint: &Endpoint, target: &Target) -> Self {
        if target.direct_tls {
            self.stream.tls = TlsPolicy::Direct;
        }
        #[cfg(feature = "websocket")]
        if let Endpoint::WebSocket(url) = endpoint {
            self.stream.framing = balcony_stream::Framing::Messages;
            self.websocket = Some(url.clone());
            // The protocol in ALPN would be HTTP.
            self.tls = self.tls.filter(|_| url.is_secure()).map(|tls| tls.with_alpn(false));
            return self;
        }
        let _ = endpoint;
        self.tls = self.tls.map(|tls| tls.with_alpn(target.direct_tls));
        self
    }

    /// What the server's certificate must be for: the account's domain (RFC 6120 section 13.7.2.1), or the host of the WebSocket.
    #[cfg(feature = "tls")]
    pub(crate) fn server_name(&self) -> &str {
        #[cfg(feature = "websocket")]
        if let Some(url) = &self.websocket {
            return url.host();
        }
        self.stream.account.domainpart()
    }
}

/// Why no connection came about.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The configuration demands TLS and does not say whose certificates to trust.
    NoTrust,
    /// The operating system, or the DNS, could not say where this is.
    Lookup {
        /// The name.
        name: String,
        /// Why, in words.
        reason: String,
    },
    /// The DNS says that this domain has decidedly no XMPP service for clients (RFC 6120 section 3.2.1).
    NoService(String),
    /// The web server of this domain does not tell where its WebSocket is.
    HostMeta {
        /// The domain.
        domain: String,
        /// Why, in words.
        reason: String,
    },
    /// Nobody was there. One attempt at least.
    Unreachable(Vec<Attempt>),
    /// Somebody was there, but the stream came to nothing.
    Stream {
        /// Why.
        error: Error,
        /// Whether that somebody [had proven](crate::ClientMachine::is_server_proven) to be the server. If not, anybody on the
        /// way there may have been it.
        proven: bool,
    },
    /// The connection broke down during negotiation, for this reason of the operating system.
    Broken(String),
}

/// A place that was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Where.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// Why it failed, in words.
    pub reason: String,
}

impl ConnectError {
    /// Whether trying again is of no use, because somebody has to change something first: the password, the account,
    /// what is asked for here.
    ///
    /// Of what comes from the network only the server itself can say so, after its certificate has proven who it is. No
    /// service in the DNS, no TLS, a wrong certificate, an error in the clear: a captive portal or an attacker on the
    /// way can bring these about for a while, to a client that has been online with the same configuration a minute
    /// ago. At a first attempt they may well need a person, so show that person whatever it is. Without TLS, or with
    /// certificates that are not checked, nobody proves anything.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        use balcony_sasl::SaslCondition::TemporaryAuthFailure;
        match self {
            // These are found here, before anybody is asked.
            ConnectError::NoTrust => true,
            #[cfg(feature = "tls")]
            ConnectError::Stream { error: Error::Tls(error), .. } => {
                matches!(error, balcony_tls::Error::Domain(_) | balcony_tls::Error::Config(_))
            }
            ConnectError::Stream { error: Error::Stream(error), proven: true } => match error {
                balcony_stream::Error::Authentication(condition, _) => *condition != TemporaryAuthFailure,
                balcony_stream::Error::NoMechanism
                | balcony_stream::Error::ChannelBinding
                | balcony_stream::Error::Downgraded
                | balcony_stream::Error::ServerNotAuthentic => true,
                balcony_stream::Error::Remote(error) => {
                    error.condition == balcony_stanza::StreamCondition::HostUnknown
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// How often a client lets itself be sent elsewhere before it gives up (RFC 6120 section 4.9.3.19).
pub const REDIRECTS: usize = 3;

impl ConnectError {
    /// Where the server wants the client to go instead (`see-other-host`), if `config` allows to follow.
    ///
    /// Everything else stays: the domain that is asked for, the certificate that must prove it, the security that is
    /// demanded. Without TLS nothing would show that the new host is the right one, so nobody is followed then; nor to a WebSocket, where the
    /// certificate is that of the host in its URL.
    #[must_use]
    pub fn redirect(&self, config: &ClientConfig) -> Option<Endpoint> {
        let ConnectError::Stream { error: Error::Stream(balcony_stream::Error::Remote(error)), .. } = self
        else {
            return None;
        };
        let is_elsewhere = error.condition == balcony_stanza::StreamCondition::SeeOtherHost;
        let host = error.text.as_deref().filter(|_| is_elsewhere)?;
        elsewhere(host, config)
    }
}

impl crate::Session {
    /// Where the server wants the client to come back to its session, if `config` allows to follow (XEP-0198 section 5). If nobody is
    /// there, the server is where it always is.
    ///
    /// As for [`redirect`](ConnectError::redirect), everything else stays, and without TLS nobody is followed.
    #[must_use]
    pub fn location(&self, config: &ClientConfig) -> Option<Endpoint> {
        elsewhere(self.resumption.as_ref()?.location()?, config)
    }
}

impl crate::ClientMachine {
    /// Where to go on with the session; see [`Session::location`](crate::Session::location).
    #[must_use]
    pub fn location(&self, config: &ClientConfig) -> Option<Endpoint> {
        elsewhere(self.resumption()?.location()?, config)
    }
}

/// The host that a server names, and the port after a colon, unless nothing would show that it is the right one. A WebSocket shows that it is the
/// host in its URL, which whoever names it may have chosen, so nobody is followed there.
fn elsewhere(host: &str, config: &ClientConfig) -> Option<Endpoint> {
    let protected = matches!(config.stream.tls, TlsPolicy::Required | TlsPolicy::Direct);
    let endpoint = protected.then(|| Endpoint::parse(host, config.stream.tls == TlsPolicy::Direct))??;
    matches!(endpoint, Endpoint::Address { .. }).then_some(endpoint)
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { host, port, reason } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}: {reason}")
        } else {
            write!(f, "{host}:{port}: {reason}")
        }
    }
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::NoTrust => f.write_str(
                "TLS is wanted, but no certificate is trusted: give the configuration a `balcony_tls::TlsTrust` \
                 with `with_tls`, or set `stream.tls` to `TlsPolicy::None` on a connection that nobody else can read",
            ),
            ConnectError::Lookup { name, reason } => write!(f, "could not look up {name}: {reason}"),
            ConnectError::NoService(domain) => {
                write!(f, "{domain} says in the DNS that it has no XMPP service for clients")
            }
            ConnectError::HostMeta { domain, reason } => {
                write!(f, "the web server of {domain} does not tell where its WebSocket is: {reason}")
            }
            ConnectError::Unreachable(attempts) => {
                f.write_str("could not connect to ")?;
                for (index, attempt) in attempts.iter().enumerate() {
                    if index > 0 {
                        f.write_str("; nor to ")?;
                    }
                    attempt.fmt(f)?;
                }
                Ok(())
            }
            ConnectError::Stream { error, .. } => error.fmt(f),
            ConnectError::Broken(reason) => write!(f, "the connection broke down: {reason}"),
        }
    }
}

impl core::error::Error for ConnectError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16, direct_tls: bool) -> Option<Endpoint> {
        Some(Endpoint::Address { host: host.into(), port, direct_tls })
    }

    // RFC 6120 §4.9.3.19 [N20], §13.7.2: anybody on the way can say where to go before TLS, and only the domain's own certificate counts there.
    #[test]
    fn nobody_is_followed_to_where_another_certificate_counts() {
        use balcony_stanza::{StreamCondition, StreamError};
        let account = "romeo@example.net".parse().unwrap();
        let mut config = ClientConfig::new(account, balcony_machine::Secret::new("pencil".into()));
        let sent = |to: &str, config: &ClientConfig| {
            let error =
                StreamError { condition: StreamCondition::SeeOtherHost, text: Some(String::from(to).into()) };
            let error = balcony_stream::Error::Remote(error).into();
            ConnectError::Stream { error, proven: false }.redirect(config)
        };
        for (tls, port) in [(TlsPolicy::Required, 5222), (TlsPolicy::Direct, 5223)] {
            config.stream.tls = tls;
            assert_eq!(
                sent("other.example", &config),
                address("other.example", port, tls == TlsPolicy::Direct)
            );
            for to in ["wss://evil.example/x", "ws://evil.example/x", "WSS://evil.example:443/x"] {
                assert_eq!(sent(to, &config), None, "{to}");
                assert_eq!(elsewhere(to, &config), None, "{to}");
            }
        }
        config.stream.tls = TlsPolicy::Optional;
        assert_eq!(sent("other.example", &config), None);
    }

    #[test]
    fn addresses_are_read_with_and_without_port() {
        assert_eq!(Endpoint::parse("localhost", false), address("localhost", 5222, false));
        assert_eq!(Endpoint::parse("localhost", true), address("localhost", 5223, true));
        assert_eq!(Endpoint::parse("127.0.0.1:15222", false), address("127.0.0.1", 15222, false));
        assert_eq!(Endpoint::parse("[::1]:15222", false), address("::1", 15222, false));
        assert_eq!(Endpoint::parse("[::1]", false), address("::1", 5222, false));
        assert_eq!(Endpoint::parse("::1", false), address("::1", 5222, false));
        #[cfg(feature = "websocket")]
        assert!(matches!(
            Endpoint::parse("wss://localhost:5281/x", false),
            Some(Endpoint::WebSocket(url)) if url.port() == 5281 && url.is_secure()
        ));
        for wrong in
            ["", ":5222", "localhost:", "localhost:x", "localhost:65536", "a b:1", "[::1", "http://a"]
        {
            assert_eq!(Endpoint::parse(wrong, false), None, "{wrong}");
        }
    }

    // RFC 6120 §3.2.1 [C1], §3.2.3 [C6]: what is no DNS domain has no SRV records, and a named host replaces them
    #[test]
    fn addresses_and_this_machine_are_not_looked_up() {
        let target = |account: &str| Endpoint::Domain.target(&account.parse().unwrap());
        let at = |host: &str| Some(Target::new(host.into(), 5222, false));
        assert_eq!(target("a@example.com"), None);
        assert_eq!(target("a@localhost"), at("localhost"));
        assert_eq!(target("a@127.0.0.1"), at("127.0.0.1"));
        assert_eq!(target("a@[::1]"), at("::1"));
    }

    // RFC 7622 §3.2.1: the DNS has A-labels, addresses have U-labels
    #[cfg(feature = "tls")]
    #[test]
    fn the_dns_has_its_own_spelling() {
        let name = |account: &str| dns_name(&BareJid::parse(account).unwrap()).unwrap();
        assert_eq!(name("a@example.com"), "example.com");
        assert_eq!(name("a@fußball.example"), "xn--fuball-cta.example");
    }

    // RFC 6120 §13.7.2: nobody is the server before the certificate has shown it
    #[test]
    fn only_the_server_itself_can_turn_a_client_away_for_good() {
        use balcony_sasl::SaslCondition;
        use balcony_stanza::{StreamCondition, StreamError};
        use balcony_stream::Error as Ended;
        let is_permanent = |error: &Ended, proven| {
            ConnectError::Stream { error: error.clone().into(), proven }.is_permanent()
        };
        let remote = |condition| Ended::Remote(StreamError { condition, text: None });
        let wrong_password = Ended::Authentication(SaslCondition::NotAuthorized, None);
        let host_unknown = remote(StreamCondition::HostUnknown);
        for error in [wrong_password, Ended::NoMechanism, Ended::ServerNotAuthentic, host_unknown] {
            assert!(is_permanent(&error, true) && !is_permanent(&error, false), "{error}");
        }
        let later = Ended::Authentication(SaslCondition::TemporaryAuthFailure, None);
        for error in [later, remote(StreamCondition::SystemShutdown), Ended::NoTls, Ended::Truncated] {
            assert!(!is_permanent(&error, true) && !is_permanent(&error, false), "{error}");
        }
        assert!(!ConnectError::NoService("example.com".into()).is_permanent());
    }

    // What is wrong with the configuration stays so; a certificate is as foreign as the network is.
    #[cfg(feature = "tls")]
    #[test]
    fn a_foreign_certificate_may_be_gone_tomorrow() {
        use balcony_tls::{ConfigError, Error as Tls, Refusal};
        let is_permanent =
            |error| ConnectError::Stream { error: Error::Tls(error), proven: false }.is_permanent();
        assert!(is_permanent(Tls::Domain("a b".into())) && is_permanent(ConfigError::NoRoots.into()));
        for refusal in [Refusal::Untrusted, Refusal::Expired] {
            assert!(!is_permanent(Tls::Certificate { domain: "example.com".into(), refusal }));
        }
        assert!(!is_permanent(Tls::NotTls));
    }

    #[test]
    fn attempts_say_where_and_why() {
        let refused = |host: &str| Attempt { host: host.into(), port: 5222, reason: "refused".into() };
        let error = ConnectError::Unreachable(alloc::vec![refused("localhost"), refused("::1")]);
        assert_eq!(
            alloc::format!("{error}"),
            "could not connect to localhost:5222: refused; nor to [::1]:5222: refused"
        );
    }
}
