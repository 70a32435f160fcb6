//! What the log of a server says of its certificates and settings, at the start and after each change.

use std::time::SystemTime;

use balcony_jid::BareJid;
use balcony_tls::Refusal;

use crate::certificate::{AUTHORITY, Certificate, Fault, Refused};
use crate::config::Settings;
use crate::counted::counted;

/// Clients refuse a certificate that has ended, and some say no more than that.
pub(super) fn warn_of_end(certificate: &Certificate) {
    const CHANGE: &str = "renew it, and send this process SIGHUP to have it read";
    for (path, days, day) in certificate.ending(SystemTime::now()) {
        let path = path.display();
        match days {
            0 => tracing::warn!(
                target: "balcony",
                "the certificate {path} has ended, or does so today: clients refuse it; {CHANGE}"
            ),
            days => tracing::warn!(
                target: "balcony",
                "the certificate {path} ends in {}: clients refuse it from {day} on; {CHANGE}",
                counted(days, "day", "days"),
            ),
        }
    }
}

/// Says what `balcony check` would find wrong with the certificates. Whether clients trust who has signed one is theirs to know.
fn warn_of_refusals(settings: &Settings, domains: &[BareJid], certificate: &Certificate) {
    let trust = match certificate.trust(settings) {
        Ok(trust) => trust,
        Err(error) => {
            tracing::warn!(target: "balcony", "cannot look whether clients take the certificate: {error}");
            return;
        }
    };
    for Refused { path, refusal, is_cut, fault } in certificate.refusals(domains, &trust) {
        let (path, Fault { says, change }) = (path.display(), fault);
        match refusal {
            Refusal::Untrusted if is_cut => tracing::info!(
                target: "balcony",
                "the certificate {path} comes alone. If a root has signed it, nothing is missing, and clients have to trust that root. If \
                 an authority between has, clients refuse it that do not know that one: put its certificate behind this one in the file, \
                 as public authorities do in their fullchain.pem",
            ),
            Refusal::Untrusted => tracing::info!(
                target: "balcony",
                "clients refuse {path} unless they are told to trust it: {says}; {change}",
            ),
            _ => tracing::warn!(target: "balcony", "clients refuse {path}: {says}; {change}"),
        }
    }
}

/// Says in the log what of the settings and certificates will not be as somebody expects.
pub(super) fn warn(settings: &Settings, domains: &[BareJid], certificate: &Certificate) {
    let lacking = certificate.lacks(domains);
    if !lacking.is_empty() {
        let advice = match certificate.trust {
            Some(_) => "move it and key.pem beside it away, and the next start makes a new one",
            None if certificate.names_nobody() => {
                "it has no subjectAltName, and what stands as CN in its subject counts no more; get one with the domain as DNS name there"
            }
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
    warn_of_refusals(settings, domains, certificate);
    warn_of_end(certificate);
    if settings.allow_plaintext {
        tracing::warn!(target: "balcony", "clients may log in without TLS: every program on this machine that can capture traffic reads along");
    }
}
