//! Where a domain is: its SRV records, and what is to be said of them (RFC 6120 section 3.2, XEP-0368).

use balcony_client::{Endpoint, dns_name};
use balcony_connection::srv::{Record, Service, Target};
use balcony_jid::BareJid;
use balcony_tokio::{Runtime as _, Tokio};

use super::Look;
use super::report::{Finding, Level};

/// Whom a service is for, in words.
pub(super) const fn whom(service: Service) -> &'static str {
    match service {
        Service::Client => "clients",
        Service::Server => "other servers",
    }
}

/// The places where the DNS says that the service is, each once; and what is to be said of the records.
pub(super) async fn places(
    look: &Look,
    tokio: Tokio,
    domain: &BareJid,
    service: Service,
) -> (Vec<Target>, Vec<Finding>) {
    let about = format!("SRV records for {}", whom(service));
    let unknown = |reason: String| {
        let finding =
            Finding::new(Level::Unknown, about.as_str(), format!("the DNS does not answer: {reason}"));
        (
            Vec::new(),
            vec![finding.change("look whether the network and the DNS servers work, or name one with --dns")],
        )
    };
    let name = match dns_name(domain) {
        Ok(name) => name,
        Err(error) => return unknown(error.to_string()),
    };
    // Addresses, and this machine, have no records.
    let records = match Endpoint::Domain.target(domain).is_some() {
        true => Ok(Vec::new()),
        false => match tokio::time::timeout(look.patience, tokio.records(service, name.clone())).await {
            Ok(records) => records,
            Err(_) => Err(format!("nothing within {} s", look.patience.as_secs())),
        },
    };
    match records {
        Ok(records) => judge(&about, service, &name, records),
        Err(reason) => unknown(reason),
    }
}

/// What is to be said of these records.
fn judge(about: &str, service: Service, name: &str, records: Vec<Record>) -> (Vec<Target>, Vec<Finding>) {
    let whom = whom(service);
    let [clear, direct] = service.labels();
    let mut findings = Vec::new();
    let itself = Target::without_records(name, service);
    if records.is_empty() {
        let says = format!("there are none, so {whom} try {name}:{} itself", itself.port);
        findings.push(Finding::new(Level::Note, about, says));
        return (vec![itself], findings);
    }
    let (dots, places): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| record.target.is_empty());
    let label = |record: &Record| if record.direct_tls { direct } else { clear };
    for record in &places {
        let Record { priority, weight, port, target, .. } = record;
        let says = format!("{}.{name} {priority} {weight} {port} {target}", label(record));
        let finding = match target.parse::<core::net::IpAddr>().is_ok() {
            false => Finding::new(Level::Fine, about, says),
            true => Finding::new(
                Level::Wrong,
                about,
                format!("{says}: its target is an address, and has to be a name"),
            )
            .whom(format!("{whom} that look for the addresses of that name"))
            .change("give the address a name (A or AAAA), and name that"),
        };
        findings.push(finding);
    }
    for dot in &dots {
        let has_others = places.iter().any(|place| place.direct_tls == dot.direct_tls);
        let says = format!("{}.{name} is `.`: there is no such service", label(dot));
        findings.push(match has_others {
            false => Finding::new(Level::Note, about, says),
            true => Finding::new(Level::Wrong, about, format!("{says}; but there are records beside it"))
                .whom(whom)
                .change("remove either `.` or the others (RFC 2782)"),
        });
    }
    let mut targets: Vec<Target> = Vec::new();
    for Record { port, target: host, direct_tls, signed, .. } in places {
        let target = Target { host, port, direct_tls, signed };
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    if dots.is_empty() && targets.iter().all(|target| target.direct_tls) {
        let says = format!(
            "there are records for direct TLS only; who does not know those tries {name}:{}",
            itself.port
        );
        findings.push(
            Finding::new(Level::Note, about, says)
                .change(format!("add records {clear}.{name}, with `.` for a target if there is nothing")),
        );
        targets.push(itself);
    }
    (targets, findings)
}

#[cfg(test)]
mod tests {
    use balcony_connection::srv::Signed;

    use super::*;

    fn record(target: &str, direct_tls: bool) -> Record {
        Record { priority: 5, weight: 1, port: 5222, target: target.into(), direct_tls, signed: Signed::No }
    }

    fn levels(records: Vec<Record>) -> (Vec<String>, Vec<Level>) {
        let (targets, findings) = judge("SRV", Service::Client, "example.org", records);
        let places = targets.iter().map(|to| format!("{}:{} {}", to.host, to.port, to.direct_tls)).collect();
        (places, findings.iter().map(|finding| finding.level).collect())
    }

    // RFC 6120 §3.2.1, §3.2.2, XEP-0368 §2.1 §3
    #[test]
    fn records_lead_to_places() {
        let (clear, direct) = ("xmpp.example.org:5222 false", "xmpp.example.org:5222 true");
        assert_eq!(levels(vec![]), (vec!["example.org:5222 false".into()], vec![Level::Note]));
        let both = vec![record("xmpp.example.org", false), record("xmpp.example.org", true)];
        assert_eq!(levels(both.clone()), (vec![clear.into(), direct.into()], vec![Level::Fine; 2]));
        assert_eq!(levels([both.clone(), both.clone()].concat()).0, [clear, direct], "each once");
        assert_eq!(levels(vec![record("", false), record("", true)]), (vec![], vec![Level::Note; 2]));
        let apart = levels(vec![record("xmpp.example.org", false), record("", true)]);
        assert_eq!(apart, (vec![clear.into()], vec![Level::Fine, Level::Note]));
        let mixed = levels(vec![record("xmpp.example.org", false), record("", false)]);
        assert_eq!(mixed, (vec![clear.into()], vec![Level::Fine, Level::Wrong]));
        let address = levels(vec![record("192.0.2.1", false)]);
        assert_eq!(address.1, [Level::Wrong]);
        let only = levels(vec![record("xmpp.example.org", true)]);
        assert_eq!(
            only,
            (vec![direct.into(), "example.org:5222 false".into()], vec![Level::Fine, Level::Note])
        );
    }
}
