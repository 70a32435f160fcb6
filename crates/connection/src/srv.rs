//! Where to connect to: the order of SRV records (RFC 6120 section 3.2.1, RFC 2782), for clients and for servers alike.
//!
//! Looking them up is an adapter's work; what to make of them is decided here.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use balcony_machine::{Random, Tlsa};

/// Whom a server is looked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// A client.
    Client,
    /// Another server.
    Server,
}

impl Service {
    /// The port where the service is if no SRV record names another (RFC 6120 section 3.2.2).
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Service::Client => 5222,
            Service::Server => 5269,
        }
    }

    /// What stands before a domain in the name of the service's SRV records: of places where streams begin in the clear, and of those
    /// where they begin with TLS (XEP-0368).
    #[must_use]
    pub const fn labels(self) -> [&'static str; 2] {
        match self {
            Service::Client => ["_xmpp-client._tcp", "_xmpps-client._tcp"],
            Service::Server => ["_xmpp-server._tcp", "_xmpps-server._tcp"],
        }
    }
}

/// One SRV record of `_xmpp-client._tcp` or `_xmpps-client._tcp`, or of `_xmpp-server._tcp` or `_xmpps-server._tcp` (XEP-0368).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Lower ones are tried first.
    pub priority: u16,
    /// Among equal priorities, the share of those who connect that try this one first.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host name, without the trailing dot; empty if the service is decidedly not there.
    pub target: String,
    /// Whether TLS begins with the first byte there.
    pub direct_tls: bool,
    /// What DNSSEC says about the place, where that was [asked](Signed).
    pub signed: Signed,
}

/// What DNSSEC says about a place where a service is (RFC 7673 section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Signed {
    /// Nothing: nobody has asked, or what the DNS says is not signed.
    #[default]
    No,
    /// The record that names the place is signed, so that its host speaks for the domain (RFC 7712 section 6), and these TLSA records of it
    /// are; there may be none.
    Yes(Vec<Tlsa>),
    /// The record that names the place is signed, and the DNS does not say in a way that could be checked whether it has TLSA records.
    /// Nobody may connect there (RFC 7673 sections 3.2 and 3.4). Why, in words.
    Unknown(String),
}

/// A place to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A host name, or an IP address in text.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether TLS begins with the first byte there.
    pub direct_tls: bool,
    /// What DNSSEC says about it.
    pub signed: Signed,
}

impl Target {
    /// A place of which DNSSEC says nothing.
    #[must_use]
    pub const fn new(host: String, port: u16, direct_tls: bool) -> Target {
        Target { host, port, direct_tls, signed: Signed::No }
    }

    /// Where a service is if no SRV record says so: at its domain (RFC 6120 section 3.2.2).
    #[must_use]
    pub fn without_records(domain: &str, service: Service) -> Target {
        Target::new(String::from(domain), service.port(), false)
    }
}

/// The places to try for `domain`, in order.
///
/// `records` are those of both of the service's [labels](Service::labels) together (XEP-0368 section 2.1). Without records it is the
/// domain itself at the service's port (section 3.2.2); with nothing but the target `.` there is no such service, and the list is empty.
#[must_use]
pub fn targets(domain: &str, service: Service, mut records: Vec<Record>, random: &mut Random) -> Vec<Target> {
    if records.is_empty() {
        return vec![Target::without_records(domain, service)];
    }
    records.retain(|record| !record.target.is_empty());
    // RFC 2782: within a priority, draw by weight; weights of zero come first into the drawing.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut targets = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let group = records.iter().take_while(|record| record.priority == priority);
        let total: u64 = group.clone().map(|record| u64::from(record.weight)).sum();
        let drawn = random.next_u64() % (total + 1);
        let mut sum = 0;
        let chosen = group
            .map(|record| {
                sum += u64::from(record.weight);
                sum
            })
            .position(|sum| sum >= drawn)
            .unwrap_or(0);
        let Record { target: host, port, direct_tls, signed, .. } = records.remove(chosen);
        targets.push(Target { host, port, direct_tls, signed });
    }
    targets
}

#[cfg(test)]
mod tests {
    use balcony_machine::Seed;

    use super::*;

    fn record(priority: u16, weight: u16, target: &str) -> Record {
        Record {
            priority,
            weight,
            port: 5222,
            target: String::from(target),
            direct_tls: false,
            signed: Signed::No,
        }
    }

    // RFC 6120 §3.2.2 [C5]
    #[test]
    fn without_records_the_domain_itself() {
        let targets = targets("example.com", Service::Client, Vec::new(), &mut Seed::from_u64(1).random());
        assert_eq!(targets, [Target::new("example.com".into(), 5222, false)]);
    }

    // RFC 6120 §3.2.1 [C2] [C4]: and there is no way around it
    #[test]
    fn a_dot_means_no_service() {
        let targets =
            targets("example.com", Service::Server, vec![record(0, 0, "")], &mut Seed::from_u64(1).random());
        assert!(targets.is_empty());
    }

    // RFC 6120 §3.2.1 [C1] [C3] stream-fqdn-resolution: every target gets its turn
    #[test]
    fn priorities_in_order_weights_by_chance() {
        let mut random = Seed::from_u64(1).random();
        let mut first = [0; 2];
        for _ in 0..4000 {
            let records = vec![record(20, 9, "late"), record(10, 30, "b"), record(10, 10, "a")];
            let order = targets("example.com", Service::Client, records, &mut random);
            assert_eq!(order.len(), 3);
            assert_eq!(order[2].host, "late");
            first[usize::from(order[0].host == "b")] += 1;
        }
        // Three quarters begin with the one of three quarters of the weight.
        assert!((2800..3200).contains(&first[1]), "{first:?}");
    }

    // XEP-0368 1.1 §3 [DT1], §5 [DT7]: both kinds are one list; that one of them is not there says nothing of the other, nor leads it to the
    // domain itself
    #[test]
    fn both_kinds_are_one_list() {
        let direct = |priority, target: &str| Record { direct_tls: true, ..record(priority, 1, target) };
        let order = |records: Vec<Record>| {
            let targets = targets("example.com", Service::Server, records, &mut Seed::from_u64(1).random());
            let text = |target: &Target| (target.host.clone(), target.direct_tls);
            targets.iter().map(text).collect::<Vec<_>>()
        };
        let is = |host: &str, direct_tls| (String::from(host), direct_tls);
        let all = vec![record(2, 1, "c"), direct(3, "d"), record(0, 1, "a"), direct(1, "b")];
        assert_eq!(order(all), [is("a", false), is("b", true), is("c", false), is("d", true)]);
        assert_eq!(order(vec![direct(0, ""), record(0, 0, "a")]), [is("a", false)]);
        assert_eq!(order(vec![direct(0, "")]), []);
    }
}
