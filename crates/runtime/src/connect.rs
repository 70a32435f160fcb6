//! From an endpoint to a socket: the first of several places that answers (RFC 6120 section 3.2, RFC 8305).

use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::Instant;

use balcony_client::dns_name;
use balcony_client::srv::Target;
#[cfg(feature = "client")]
use balcony_client::srv::{self, Service};
#[cfg(feature = "client")]
use balcony_client::{Attempt, ConnectError, Endpoint};
use balcony_jid::BareJid;

#[cfg(feature = "client")]
use crate::clock::seed;
use crate::clock::timeout;
use crate::names;
use crate::{Runtime, Timer as _, reason};

/// How long one address may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many addresses of one place are tried: its DNS may name any number of them, and other people's machines among them.
const MOST_ADDRESSES: usize = 8;
/// How long an address has to itself before the next one is tried as well (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to where an account's server is.
#[cfg(feature = "client")]
pub(crate) async fn connect<R: Runtime>(
    runtime: &R,
    endpoint: &Endpoint,
    account: &BareJid,
) -> Result<(R::Socket, Target), ConnectError> {
    let targets = match endpoint.target(account) {
        Some(target) => vec![target],
        None => targets(runtime, dns_name(account)?).await?,
    };
    if targets.is_empty() {
        return Err(ConnectError::NoService(account.domainpart().into()));
    }
    match race(runtime, &targets, &Names::System).await {
        Ok((socket, index)) => Ok((socket, targets[index].clone())),
        Err(failures) => {
            let attempt = |(target, failure): (Target, Failure)| Attempt {
                host: target.host,
                port: target.port,
                reason: failure.reason,
            };
            Err(ConnectError::Unreachable(targets.into_iter().zip(failures).map(attempt).collect()))
        }
    }
}

/// The places to try for a client's domain.
#[cfg(feature = "client")]
async fn targets(runtime: &impl Runtime, domain: String) -> Result<Vec<Target>, ConnectError> {
    match runtime.records(Service::Client, domain.clone()).await {
        Ok(records) => Ok(srv::targets(&domain, Service::Client, records, &mut seed().random())),
        Err(reason) => Err(ConnectError::Lookup { name: domain, reason }),
    }
}

/// Why a place could not be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// It has no address.
    pub(crate) is_unknown: bool,
    /// In words.
    pub(crate) reason: String,
}

/// Who knows the addresses of places, and which of them may be connected to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Names {
    /// The operating system, and all of them.
    System,
    /// The DNS, and those for which this holds.
    #[cfg(feature = "server")]
    Dns(fn(IpAddr) -> bool),
}

impl Names {
    fn admits(self, address: IpAddr) -> bool {
        match self {
            Names::System => {
                let _ = address;
                true
            }
            #[cfg(feature = "server")]
            Names::Dns(admits) => admits(address),
        }
    }
}

type Connecting<'a, S> = Pin<Box<dyn Future<Output = Option<io::Result<S>>> + Send + 'a>>;
type LookingUp<'a> = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send + 'a>>;

/// Connects to the first of these that answers, and says which it is. They are tried in this order, each with all of its addresses,
/// of both families in turn; the next one is tried when the one before has failed, or has not answered for a quarter of a second.
pub(crate) async fn race<R: Runtime>(
    runtime: &R,
    targets: &[Target],
    names: &Names,
) -> Result<(R::Socket, usize), Vec<Failure>> {
    let mut race = Race {
        runtime,
        targets,
        names: *names,
        next: 0,
        looking_up: None,
        addresses: VecDeque::new(),
        running: Vec::new(),
        timer: runtime.timer(),
        not_before: None,
        failures: vec![Failure { is_unknown: true, reason: "not tried".into() }; targets.len()],
    };
    poll_fn(|cx| race.poll(cx)).await.map_err(|()| race.failures)
}

struct Race<'a, R: Runtime> {
    runtime: &'a R,
    targets: &'a [Target],
    names: Names,
    /// The target that is looked up next.
    next: usize,
    looking_up: Option<LookingUp<'a>>,
    /// What is to be tried, and which target it is of.
    addresses: VecDeque<(usize, SocketAddr)>,
    running: Vec<(usize, Connecting<'a, R::Socket>)>,
    timer: R::Timer,
    /// When the next one may be tried although the last one has not failed.
    not_before: Option<Instant>,
    failures: Vec<Failure>,
}

impl<R: Runtime> Race<'_, R> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(R::Socket, usize), ()>> {
        loop {
            if let Some(winner) = self.poll_running(cx) {
                return Poll::Ready(Ok(winner));
            }
            self.poll_looking_up(cx);
            if self.running.is_empty() {
                self.not_before = None;
            }
            let is_time = match self.not_before {
                None => true,
                Some(at) => self.timer.poll_until(cx, at).is_ready(),
            };
            match self.addresses.pop_front_if(|_| is_time) {
                Some((target, address)) => {
                    let runtime = self.runtime;
                    let connecting = Box::pin(timeout(runtime, PATIENCE, runtime.connect(address)));
                    self.running.push((target, connecting));
                    self.not_before = Some(runtime.now() + HEAD_START);
                }
                None if self.running.is_empty() && self.looking_up.is_none() && self.addresses.is_empty() => {
                    return Poll::Ready(Err(()));
                }
                None => return Poll::Pending,
            }
        }
    }

    /// Who has answered first. Of those who have failed it is noted why.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Option<(R::Socket, usize)> {
        let mut index = 0;
        while let Some((target, connecting)) = self.running.get_mut(index) {
            let target = *target;
            let Poll::Ready(result) = connecting.as_mut().poll(cx) else {
                index += 1;
                continue;
            };
            drop(self.running.remove(index));
            // It had its chance: the next one need not wait.
            self.not_before = None;
            let reason = match result {
                Some(Ok(socket)) => return Some((socket, target)),
                Some(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                    "connection refused - is a server running there?".into()
                }
                Some(Err(error)) => reason(&error),
                None => format!("no answer within {} seconds", PATIENCE.as_secs()),
            };
            self.failures[target] = Failure { is_unknown: false, reason };
        }
        None
    }

    /// Looks up the addresses of the next target when those of the others are used up.
    fn poll_looking_up(&mut self, cx: &mut Context<'_>) {
        loop {
            if self.looking_up.is_none() && self.addresses.is_empty() {
                let Some(target) = self.targets.get(self.next) else { return };
                self.next += 1;
                let (host, runtime) = (host_name(&target.host), self.runtime);
                self.looking_up = Some(match self.names {
                    Names::System => Box::pin(names::of_system(runtime.clone(), host)),
                    #[cfg(feature = "server")]
                    Names::Dns(_) => Box::pin(runtime.addresses(host)),
                });
            }
            let Some(Poll::Ready(found)) = self.looking_up.as_mut().map(|found| found.as_mut().poll(cx))
            else {
                return;
            };
            self.looking_up = None;
            let target = self.next - 1;
            let port = self.targets[target].port;
            match found {
                Ok(found) if !found.is_empty() => match tried(found, self.names) {
                    Ok(found) => {
                        self.failures[target].is_unknown = false;
                        let found = found.into_iter().map(|address| SocketAddr::new(address, port));
                        self.addresses.extend(found.map(|address| (target, address)));
                    }
                    Err(address) => {
                        self.failures[target].reason = format!(
                            "its address {address} is one of a private network, or for a special purpose, and not connected to"
                        );
                    }
                },
                Ok(_) => self.failures[target].reason = "the name has no addresses".into(),
                Err(error) => {
                    self.failures[target].reason = format!(
                        "the name could not be looked up ({error}) - is it spelled right, and is there a network?"
                    );
                }
            }
        }
    }
}

/// Which of the addresses of one place are tried, in this order; or if there are none one that may not be.
fn tried(found: Vec<IpAddr>, names: Names) -> Result<Vec<IpAddr>, IpAddr> {
    let refused = found.iter().copied().find(|address| !names.admits(*address));
    let admitted = found.into_iter().filter(|address| names.admits(*address));
    let mut tried = in_turn(admitted.collect());
    tried.truncate(MOST_ADDRESSES);
    match refused.filter(|_| tried.is_empty()) {
        Some(refused) => Err(refused),
        None => Ok(tried),
    }
}

/// The families in turn, beginning with that of the first, which is preferred (RFC 8305 section 4).
fn in_turn(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let mut ordered = Vec::with_capacity(one.len() + other.len());
    while !one.is_empty() || !other.is_empty() {
        ordered.extend(one.pop_front());
        ordered.extend(other.pop_front());
    }
    ordered
}

/// A host as the operating system looks it up: A-labels, and an IPv6 address without brackets.
fn host_name(host: &str) -> String {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Some(address) = bare {
        return address.into();
    }
    let domain = BareJid::from_parts(None, host).ok();
    domain.and_then(|domain| dns_name(&domain).ok()).unwrap_or_else(|| host.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8305 §4
    #[test]
    fn families_take_turns() {
        let addresses = ["2001:db8::1", "2001:db8::2", "192.0.2.1", "2001:db8::3", "192.0.2.2"];
        let ordered = in_turn(addresses.iter().map(|text| text.parse().unwrap()).collect());
        let ordered: Vec<String> = ordered.iter().map(IpAddr::to_string).collect();
        assert_eq!(ordered, ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"]);
    }

    // A place has so many addresses, of both families, however many its DNS names.
    #[test]
    fn addresses_of_a_place_are_bounded() {
        let many = (0..4_000_u16).map(|n| core::net::Ipv6Addr::new(0x2a00, 0, 0, 0, 0, 0, 0, n).into());
        let found: Vec<IpAddr> = many.chain(["192.0.2.1".parse().unwrap()]).collect();
        let tried = tried(found, Names::System).unwrap();
        assert_eq!(tried.len(), MOST_ADDRESSES);
        assert!(tried[1].is_ipv4(), "{tried:?}");
    }

    // Those that may not be connected to are left out, and if they are all it is said.
    #[cfg(feature = "server")]
    #[test]
    fn some_addresses_are_not_tried() {
        let [public, private]: [IpAddr; 2] = ["1.1.1.1".parse().unwrap(), "10.0.0.5".parse().unwrap()];
        let names = Names::Dns(|address| balcony_server::federation::Reach::Public.admits(address));
        assert_eq!(tried(vec![private, public], names), Ok(vec![public]));
        assert_eq!(tried(vec![private], names), Err(private));
        assert_eq!(tried(vec![private], Names::System), Ok(vec![private]));
    }

    // RFC 7622 §3.2: the operating system knows no U-labels, and no brackets
    #[test]
    fn hosts_are_spelled_as_the_system_spells_them() {
        assert_eq!(host_name("fußball.example"), "xn--fuball-cta.example");
        assert_eq!(host_name("[::1]"), "::1");
        assert_eq!(host_name("192.0.2.1"), "192.0.2.1");
        assert_eq!(host_name("xmpp.example"), "xmpp.example");
    }
}
