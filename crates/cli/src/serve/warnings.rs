//! What the log of a server says of its certificates and settings, at the start and after each change.

use std::time::SystemTime;

use balcony_jid::BareJid;

use crate::certificate::{AUTHORITY, Certificate};
use crate::config::Settings;
use crate::small_file;

/// Clients refuse a certificate that has ended, and some say no more than that.
pub(super) fn warn_of_end(certificate: &Certificate) {
    for (path, days) in certificate.ending(SystemTime::now()) {
        let path = path.display();
        match days {
            0 => {
                tracing::warn!(target: "balcony", "the certificate {path} has ended, or does so today: clients refuse it");
            }
            days => {
                tracing::warn!(target: "balcony", "the certificate {path} ends in {days} days, and clients will refuse it");
            }
        }
    }
}

/// Says in the log what of the settings and certificates will not be as somebody expects.
pub(super) fn warn(settings: &Settings, domains: &[BareJid], certificate: &Certificate) {
    let lacking = certificate.lacks(domains);
    if !lacking.is_empty() {
        let advice = match certificate.trust {
            Some(_) => "move it and key.pem beside it away, and the next start makes a new one",
            None => "get one that is",
        };
        tracing::warn!(
            target: "balcony",
            "the certificate {} is not for {}, so clients will refuse it: {advice}",
            certificate.path.display(),
            lacking.join(", "),
        );
    }
    if certificate.is_self_signed() {
        tracing::info!(
            target: "balcony",
            "the certificate {} is its own authority, which some clients cannot be made to accept; move it and key.pem beside it \
             away, and the next start makes one that {AUTHORITY} has signed, and that is what clients have to trust then",
            certificate.path.display(),
        );
    }
    let roots = settings.federation.ca().and_then(|path| small_file::read(path).ok());
    for path in certificate.alone(roots.as_slice()) {
        tracing::info!(
            target: "balcony",
            "the certificate {} comes alone. If a root has signed it, nothing is missing, and clients have to trust that root. If an \
             authority between has, clients refuse it that do not know that one: put its certificate behind this one in the file, as \
             public authorities do in their fullchain.pem",
            path.display(),
        );
    }
    warn_of_end(certificate);
    if settings.allow_plaintext {
        tracing::warn!(target: "balcony", "clients may log in without TLS: every program on this machine that can capture traffic reads along");
    }
}
