//! What is wrong with a certificate, and what to do about it, in words for whoever runs the server that shows it. `balcony check` says so
//! of any server, `balcony serve` of its own.

use std::time::SystemTime;

use balcony_tls::{CertificateDetails, Refusal};

use crate::check::date;

/// Why a certificate is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) says: String,
    /// What to do.
    pub(crate) change: String,
}

impl Fault {
    /// Why one who asks for `domain` refuses a certificate with these details, which is sent alone, or with others that have signed it.
    pub(crate) fn of(refusal: &Refusal, details: &CertificateDetails, is_alone: bool, domain: &str) -> Fault {
        let CertificateDetails { validity, issuer, is_self_signed, .. } = details;
        let fault = |says: String, change: &str| Fault { says, change: change.into() };
        match refusal {
            Refusal::WrongName(_) if details.names.is_empty() => fault(
                "the certificate names nobody in subjectAltName, and nothing else counts: not what stands as CN in its subject".into(),
                &format!("get a certificate with {domain} in subjectAltName (DNS:{domain})"),
            ),
            Refusal::WrongName(_) => fault(
                format!("the certificate is for {}, and {domain} is missing in it", names(details)),
                &format!("get a certificate for {domain}: the domain counts, not the host that it is on"),
            ),
            Refusal::Expired if !has_ended(details) => fault(
                "one of the certificates that are sent with it, of those who have signed it, has ended"
                    .into(),
                "put those behind it that its authority gives now, often all in one file called fullchain.pem, and have the server read it again",
            ),
            Refusal::Expired => fault(
                format!("the certificate has ended on {}", date(validity.end)),
                "renew it, and have the server read it again",
            ),
            Refusal::NotYetValid => fault(
                format!("the certificate is not valid before {}", date(validity.start)),
                "look at the clock of the machine that made it, and at that of this one",
            ),
            Refusal::Untrusted if *is_self_signed => fault(
                "the certificate is signed by nobody but itself".into(),
                "get one of an authority that others trust",
            ),
            Refusal::Untrusted if is_alone => fault(
                format!("the certificate comes alone, and who has signed it, {issuer}, is not known"),
                "send the certificates between with it: authorities give all in one file, often called fullchain.pem; if that is so, get one \
                 of an authority that others trust",
            ),
            Refusal::Untrusted => fault(
                format!(
                    "no authority that is trusted here vouches for the certificate, which {issuer} has signed"
                ),
                "get one of an authority that others trust; or look whether those between are complete",
            ),
            Refusal::Authority => fault(
                "the certificate is made for an authority, not for a server".into(),
                "get one of an authority that others trust; one of one's own is made with basicConstraints=CA:FALSE",
            ),
            Refusal::Other(reason) => fault(
                format!("the certificate cannot be accepted: {reason}"),
                "get one for a server, such as authorities give by ACME",
            ),
            _ => fault("the certificate cannot be accepted".into(), "get another one"),
        }
    }
}

/// Whether the certificate itself is too old.
pub(crate) fn has_ended(details: &CertificateDetails) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    details.validity.end < now.as_secs()
}

/// Whom a certificate is for.
pub(crate) fn names(details: &CertificateDetails) -> String {
    if details.names.is_empty() { "nobody".into() } else { details.names.join(", ") }
}
