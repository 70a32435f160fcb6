//! What signed DNS says about the certificates of a domain's servers (DANE: RFC 7671, RFC 7673), and whether it fits what they show.

use balcony_client::{Endpoint, dns_name};
use balcony_connection::srv::{Service, Signed, Target};
use balcony_jid::BareJid;
use balcony_machine::Tlsa;
use balcony_tls::{CertificateDetails, Error, Refusal, TlsTrust, Vouchers};
use balcony_tokio::Runtime as _;

use super::Look;
use super::report::{Finding, Level};

/// Notes with each of these places what is signed about it; and says if that could not be found out.
pub(super) async fn look(look: &Look, domain: &BareJid, places: &mut [Target]) -> Option<Finding> {
    let name = dns_name(domain).ok()?;
    // That the DNS does not answer at all has been said where its records are.
    if places.is_empty() || Endpoint::Domain.target(domain).is_some() {
        return None;
    }
    let late = |_| Err(format!("nothing within {} s", look.patience.as_secs()));
    let found = tokio::time::timeout(look.patience, look.tokio.signed_records(Service::Server, name)).await;
    let found = match found.unwrap_or_else(late) {
        Ok(found) => found,
        // Few look for it, and where it is, it is said of each place.
        Err(reason) => {
            let says = format!("whether they are signed (DANE) was not found out: {reason}");
            return Some(Finding::new(Level::Note, "SRV records for other servers", says));
        }
    };
    for record in found {
        for place in places.iter_mut() {
            if (&place.host, place.port) == (&record.target, record.port) {
                place.signed = record.signed.clone();
            }
        }
    }
    None
}

/// What is to be said of a place that has shown these certificates.
pub(super) fn judge(
    about: &str,
    domain: &str,
    target: &Target,
    trust: &TlsTrust,
    chain: &[Vec<u8>],
) -> Option<Finding> {
    let Target { host, port, signed, .. } = target;
    let whom = "servers that go by TLSA records (DANE), which do not talk to it";
    let wrong = |says: String| Finding::new(Level::Wrong, about, says).whom(whom);
    let tlsa = match signed {
        Signed::No => return None,
        Signed::Unknown(reason) => {
            let says = format!(
                "its SRV record is signed, but whether it has TLSA records can't be found out: {reason}"
            );
            return Some(
                wrong(says)
                    .change("have its DNS servers answer, with signatures, for what is not there as well"),
            );
        }
        Signed::Yes(tlsa) => tlsa,
    };
    let would = || {
        let record = CertificateDetails::read(chain.first()?)?.tlsa;
        Some(format!("_{port}._tcp.{host}. TLSA {record}"))
    };
    if Tlsa::that_count(tlsa).next().is_none() {
        let says = match tlsa.len() {
            0 => "its SRV record is signed, and there are no TLSA records (DANE)",
            _ => "none of its TLSA records (DANE) can be used, so that they make no difference",
        };
        let finding = Finding::new(Level::Note, about, says);
        return Some(match would() {
            Some(would) => finding.change(format!("`{would}` would fit its certificate")),
            None => finding,
        });
    }
    let mut vouchers = Vouchers::default();
    (vouchers.host, vouchers.port) = (Some(host.clone()), *port);
    vouchers.tlsa.clone_from(tlsa);
    Some(match trust.clone().vouched(vouchers).judge(chain, domain) {
        Err(Error::Certificate { refusal: Refusal::Tlsa(would), .. }) => wrong(
            "none of its TLSA records (DANE) fits the certificate that it shows".into(),
        )
        .change(format!("publish one that fits, such as `{would}`, or show the certificate that they name")),
        _ => Finding::new(Level::Fine, about, "a signed TLSA record (DANE) fits the certificate"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6698 §4.1, RFC 7673 §3, §4: what is said of each kind of answer
    #[test]
    fn records_are_held_against_the_certificate() {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert;
        let der = made.der().to_vec();
        let fits = CertificateDetails::read(&der).unwrap().tlsa;
        let trust = TlsTrust::builder().roots_pem(made.pem().as_bytes()).unwrap();
        let trust = trust.to_servers().build().unwrap();
        let level = |signed: Signed| {
            let target = Target { signed, ..Target::new("xmpp.a.example".into(), 5269, false) };
            judge("a port", "a.example", &target, &trust, core::slice::from_ref(&der))
                .map(|finding| finding.level)
        };
        let other = Tlsa { data: vec![1; 32], ..fits.clone() };
        assert_eq!(level(Signed::No), None);
        assert_eq!(level(Signed::Unknown("SERVFAIL".into())), Some(Level::Wrong));
        assert_eq!(level(Signed::Yes(Vec::new())), Some(Level::Note));
        assert_eq!(level(Signed::Yes(vec![Tlsa { usage: 9, ..fits.clone() }])), Some(Level::Note));
        assert_eq!(level(Signed::Yes(vec![other.clone(), fits])), Some(Level::Fine));
        assert_eq!(level(Signed::Yes(vec![other])), Some(Level::Wrong));
    }
}
