//! Who may connect: how many connections there are, in total and from one address, and how often an address tries (RFC 6120
//! section 13.12); and what those are told that may not.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use balcony_machine::Instant;
use balcony_stanza::{StreamCondition, StreamError};

use crate::counted::counted;
use crate::pace::{Bucket, Rate};
use crate::registrations::is_news;
use crate::{Level, ServerConfig, Transport};

/// Addresses that are remembered at most for how often they have tried, beside those that have a connection. Past it the attempts
/// of all others are forgotten.
const REMEMBERED: usize = 65_536;
/// In this time an address has [`ServerConfig::attempts_per_ip`] attempts.
const MINUTE: Duration = Duration::from_secs(60);

/// Counts the connections of a server: one value for all of its listeners.
///
/// [`enter`](Acceptor::enter) comes first, [`leave`](Acceptor::leave) when the socket is closed.
#[derive(Debug)]
pub struct Acceptor {
    /// Those of clients.
    most: usize,
    clients: Part,
    servers: Part,
    origins: BTreeMap<IpAddr, Origin>,
    /// When the log was told of an address that is turned away.
    told: Option<Instant>,
}

/// The connections of clients, or those of other servers and components: neither takes the room of the other.
#[derive(Debug, Default)]
struct Part {
    count: usize,
    /// The log knows that connections are being turned away.
    is_full: bool,
}

/// One address.
#[derive(Debug)]
struct Origin {
    connections: usize,
    attempts: Bucket,
}

/// A connection that has been let in; give it back to [`Acceptor::leave`].
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    origin: Option<IpAddr>,
    is_of_server: bool,
}

impl Entry {
    /// Whom the connection is put down to; `None` for this machine, where proxies are, and for what is no address.
    #[must_use]
    pub fn origin(&self) -> Option<IpAddr> {
        self.origin
    }
}

/// Why a connection is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the peer is told.
    pub error: StreamError,
    /// What the log is told, if anything. It is one line and holds nothing secret.
    pub line: Option<(Level, String)>,
}

impl Acceptor {
    /// For so many connections of clients at most. Those of other servers and components have
    /// [a number of their own](ServerConfig::server_connections).
    #[must_use]
    pub fn new(most: usize) -> Self {
        Acceptor {
            most,
            clients: Part::default(),
            servers: Part::default(),
            origins: BTreeMap::new(),
            told: None,
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.clients.count + self.servers.count
    }

    fn part(&mut self, is_of_server: bool) -> &mut Part {
        if is_of_server { &mut self.servers } else { &mut self.clients }
    }

    /// Counts one more connection, which begins in this way, from `peer`, the address of a socket such as `192.0.2.1:40000`.
    ///
    /// Of those from one IP address (of IPv6 the first 64 bits) there may be no more than the configuration says; what is no
    /// address, and addresses of this machine, where proxies are, are not counted.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if there are too many, or one address tries too often: close the socket, after the peer has been told why
    /// ([`Server::last_words`](crate::Server::last_words)) if that is cheap.
    pub fn enter(
        &mut self,
        now: Instant,
        config: &ServerConfig,
        transport: Transport,
        peer: &str,
    ) -> Result<Entry, Refusal> {
        let is_of_server = transport.is_of_server();
        let (whose, most) = match is_of_server {
            true => ("servers", config.server_connections),
            false => ("clients", self.most),
        };
        let part = self.part(is_of_server);
        if part.count >= most {
            let told = core::mem::replace(&mut part.is_full, true);
            let line = || {
                let connections = counted(most, "connection", "connections");
                format!(
                    "{peer} is turned away, and so are others: there is room for {connections} of {whose}"
                )
            };
            return Err(Refusal {
                error: StreamError::new(
                    StreamCondition::ResourceConstraint,
                    "there are too many connections",
                ),
                line: (!told).then(|| (Level::Warn, line())),
            });
        }
        part.is_full = false;
        let origin = origin(peer);
        if let Some(address) = origin
            && let Err(why) = self.enter_from(now, config, address)
        {
            // Anybody can be turned away as often as they like.
            let line = match is_news(&mut self.told, now) {
                true => (Level::Warn, format!("{peer} is turned away, and maybe others: {why}")),
                false => (Level::Debug, format!("{peer} is turned away: {why}")),
            };
            let error = StreamError::new(StreamCondition::PolicyViolation, why);
            return Err(Refusal { error, line: Some(line) });
        }
        self.part(is_of_server).count += 1;
        Ok(Entry { origin, is_of_server })
    }

    fn enter_from(
        &mut self,
        now: Instant,
        config: &ServerConfig,
        address: IpAddr,
    ) -> Result<(), &'static str> {
        if self.origins.len() >= REMEMBERED {
            self.forget(now);
        }
        let origin = self.origins.entry(address).or_insert(Origin { connections: 0, attempts: Bucket::FULL });
        if let Some(burst) = config.attempts_per_ip {
            let rate = Rate { burst, each: MINUTE / burst.max(1) };
            origin.attempts = origin
                .attempts
                .without_one(now, rate)
                .ok_or("there are too many attempts from that address")?;
        }
        if config.connections_per_ip.is_some_and(|most| origin.connections >= most) {
            return Err("there are too many connections from that address");
        }
        origin.connections += 1;
        Ok(())
    }

    /// A connection has ended.
    pub fn leave(&mut self, now: Instant, entry: Entry) {
        let part = self.part(entry.is_of_server);
        part.count = part.count.saturating_sub(1);
        let Some(address) = entry.origin else { return };
        if let Some(origin) = self.origins.get_mut(&address) {
            origin.connections = origin.connections.saturating_sub(1);
            if origin.is_forgettable(now) {
                self.origins.remove(&address);
            }
        }
    }

    /// Makes room among the addresses that have no connection: those go whose attempts count no more, and if that is none, all.
    fn forget(&mut self, now: Instant) {
        self.origins.retain(|_, origin| !origin.is_forgettable(now));
        if self.origins.len() >= REMEMBERED {
            self.origins.retain(|_, origin| origin.connections > 0);
        }
    }
}

impl Origin {
    fn is_forgettable(&self, now: Instant) -> bool {
        self.connections == 0 && self.attempts.is_full(now)
    }
}

/// An [`origin`] for the log.
pub(crate) fn place(origin: Option<IpAddr>) -> String {
    match origin {
        None => String::from("this machine"),
        Some(IpAddr::V6(network)) => format!("{network}/64"),
        Some(address) => format!("{address}"),
    }
}

/// Whom connections from `peer`, the address of a socket as text, are put down to. `None` for what is no address, and for this
/// machine: a proxy on it brings the connections of many.
pub(crate) fn origin(peer: &str) -> Option<IpAddr> {
    let address: SocketAddr = peer.parse().ok()?;
    match address.ip().to_canonical() {
        ip if ip.is_loopback() => None,
        // One customer has 64 bits of addresses to choose from.
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
        ip => Some(ip),
    }
}
