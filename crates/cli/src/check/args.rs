//! What can be typed after `balcony check`. The texts here are the help.

use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use std::path::PathBuf;

use crate::values::{Domain, Place};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  balcony check example.org
  balcony check example.org --json
      for monitoring: the exit status says enough, and the object why
  balcony check example.org --config /etc/balcony.toml
      as other servers see it from this one: with its certificate, and the place in [federation.routes]
  balcony check localhost --client 127.0.0.1:5222

It looks where the DNS says that the domain is, connects to each address, and gets as far as clients do before they log in, and servers \
before they prove who they are. Nothing is changed, and no account is needed.

Nothing in the environment counts here: BALCONY_JID, BALCONY_CONNECT and BALCONY_CA are for clients, and --as and --ca mean other things than there.

Exit status: 0 all is well, 1 something will not work for somebody, 2 it could not be checked.")]
pub(crate) struct CheckArgs {
    /// The domain: one's own, or somebody else's
    pub(crate) domain: Domain,
    /// Print one object of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Ask this DNS server, instead of those of the system
    #[arg(long, value_name = "IP[:PORT]")]
    pub(crate) dns: Option<NameServer>,
    /// Look here for clients' streams that negotiate TLS; may be given several times. With this or one of the next four only places that
    /// are given are looked at, and the DNS is not asked for others
    #[arg(long, value_name = "HOST:PORT", help_heading = "Places")]
    pub(crate) client: Vec<Place>,
    /// Look here for clients' streams that begin with TLS
    #[arg(long, value_name = "HOST:PORT", help_heading = "Places")]
    pub(crate) client_tls: Vec<Place>,
    /// Look here for servers' streams that negotiate TLS
    #[arg(long, value_name = "HOST:PORT", help_heading = "Places")]
    pub(crate) server: Vec<Place>,
    /// Look here for servers' streams that begin with TLS
    #[arg(long, value_name = "HOST:PORT", help_heading = "Places")]
    pub(crate) server_tls: Vec<Place>,
    /// Look here for the web server of the domain, which tells where WebSockets are
    #[arg(long, value_name = "HOST:PORT", help_heading = "Places")]
    pub(crate) web: Option<Place>,
    /// Look as the server with this configuration: at the place that [federation.routes] has for the domain, as its first domain, with
    /// the certificate of that; its `ca` counts for the ports of servers, and not for those of clients. Of a domain that it serves, that other servers find nothing is no fault where federation is off
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Say to be the server of this domain [default: check.invalid, which nobody is]
    #[arg(long = "as", value_name = "DOMAIN")]
    pub(crate) own: Option<Domain>,
    /// Show this certificate to servers, in PEM, to see whether they believe it (EXTERNAL)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of the certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Trust the authorities in this PEM file beside those of the operating system [default: for localhost that of the server here: ./balcony-data/ca.pem, or with --config ca.pem in the folder that it names]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// How long each step may take: a question to the DNS, a connection with all that is said on it
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(crate) timeout: u64,
    /// A certificate that ends within so many days is wrong already
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    pub(crate) days: u64,
}

impl CheckArgs {
    /// Whether places are given, so that the DNS is not asked for them.
    pub(crate) fn has_places(&self) -> bool {
        let lists = [&self.client, &self.client_tls, &self.server, &self.server_tls];
        self.web.is_some() || lists.iter().any(|list| !list.is_empty())
    }
}

/// A DNS server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameServer(pub(crate) SocketAddr);

impl FromStr for NameServer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let alone = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        let address = alone.or_else(|_| text.parse());
        address
            .map(NameServer)
            .map_err(|_| "an IP address is wanted, with or without a port, such as 192.0.2.53 or [::1]:5353")
    }
}
