//! What the log of a server says of its certificates and settings, at the start and after each change.

use std::time::SystemTime;

use balcony_jid::BareJid;
use balcony_tls::Refusal;

use crate::certificate::{AUTHORITY, Certificate, Fault, Made, Outdated, Refused, is_set, seconds};
use crate::check::date;
use crate::config::Settings;
use crate::counted::counted;

/// Says what of a development certificate was made anew while the server runs.
pub(super) fn tell_of_renewal(certificate: &Certificate) {
    if certificate.made != Made::Nothing {
        tracing::info!(target: "balcony", "renewed the development certificate {}", certificate.path.display());
    }
    warn_of_authority(certificate);
}

/// Clients have to be given an authority that was renewed, which nobody does unless they hear of it.
pub(super) fn warn_of_authority(certificate: &Certificate) {
    let (Made::Renewed(outdated), Some(path)) = (certificate.made, &certificate.trust) else { return };
    let until = match outdated {
        Outdated::EndsSoon(end) => format!("those that have the former one take it until {}", date(end)),
        Outdated::Ended(_) | Outdated::NotYetValid(_) => {
            "those that have the former one, and look at its dates, refuse this server".into()
        }
    };
    tracing::warn!(
        target: "balcony",
        "the development authority {path} {outdated} by the clock of this machine, and was renewed; its key is the same. Clients have to \
         be given the new {AUTHORITY}: {until}",
        path = path.display(),
    );
}

/// A certificate that is made by a clock that is not set is refused by all whose clocks are.
fn warn_of_clock(certificate: &Certificate, now: SystemTime) {
    if certificate.trust.is_some() && !is_set(seconds(now)) {
        tracing::warn!(
            target: "balcony",
            "the clock of this machine is not set, it says {}: clients refuse a certificate that is made now. This server makes such a one \
             anew when the clock is set",
            date(seconds(now)),
        );
    }
}

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
    warn_of_clock(certificate, SystemTime::now());
    warn_of_refusals(settings, domains, certificate);
    warn_of_end(certificate);
    if settings.allow_plaintext {
        tracing::warn!(target: "balcony", "clients may log in without TLS: every program on this machine that can capture traffic reads along");
    }
}
