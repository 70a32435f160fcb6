//! What has gone wrong on a stream between servers: what the senders of waiting stanzas are told (RFC 6120 section 10.4), and the words
//! for the log.

use alloc::format;
use alloc::string::{String, ToString as _};

use balcony_connection::Error;
use balcony_stanza::{ErrorCondition, StreamCondition};
use balcony_stream::s2s::Verdict;

use super::link::{Link, Way};
use crate::action::Ended;

/// What the senders of stanzas are told that waited for a stream which has ended like this before it took any.
pub(super) fn condition(ended: &Ended) -> ErrorCondition {
    let Ended::Failed(Error::Stream(error)) = ended else {
        return match ended {
            // Nobody proved who they are, or no TLS came about: somebody has to change something.
            Ended::Failed(_) => ErrorCondition::InternalServerError,
            Ended::Closed => ErrorCondition::RemoteServerTimeout,
        };
    };
    match error {
        balcony_stream::Error::Remote(error) => match error.condition {
            StreamCondition::HostUnknown | StreamCondition::HostGone => ErrorCondition::RemoteServerNotFound,
            StreamCondition::SystemShutdown
            | StreamCondition::Reset
            | StreamCondition::ConnectionTimeout
            | StreamCondition::RemoteConnectionFailed
            | StreamCondition::ResourceConstraint => ErrorCondition::RemoteServerTimeout,
            _ => ErrorCondition::InternalServerError,
        },
        balcony_stream::Error::Local(error) => match error.condition {
            StreamCondition::ConnectionTimeout | StreamCondition::SystemShutdown | StreamCondition::Reset => {
                ErrorCondition::RemoteServerTimeout
            }
            _ => ErrorCondition::InternalServerError,
        },
        balcony_stream::Error::Truncated => ErrorCondition::RemoteServerTimeout,
        _ => ErrorCondition::InternalServerError,
    }
}

/// The same for the log, and for somebody who can act on it.
pub(super) fn reason(ended: &Ended) -> String {
    match ended {
        Ended::Closed => "it closed the stream".into(),
        Ended::Failed(Error::Stream(balcony_stream::Error::NoMechanism)) => {
            "it takes neither our certificate nor, as far as we may use it, dialback".into()
        }
        // There are no passwords here.
        Ended::Failed(Error::Stream(balcony_stream::Error::Authentication(condition, text))) => {
            let text = text.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            format!("it does not take our certificate ({}){text}", condition.name())
        }
        Ended::Failed(error) => error.to_string(),
    }
}

/// Whether a stream that we had opened has come to nothing since the other server does not take what shows who we are, or does not talk to this
/// domain of ours: that says nothing of our other domains, which may have other certificates (RFC 6120 sections 4.9.3.12, 4.9.3.14 and 6.5, RFC 8446
/// section 6.2).
pub(super) fn is_about_us(ended: &Ended) -> bool {
    match ended {
        Ended::Failed(Error::Stream(error)) => match error {
            balcony_stream::Error::NoMechanism | balcony_stream::Error::Authentication(..) => true,
            balcony_stream::Error::Remote(error) => matches!(
                error.condition,
                StreamCondition::PolicyViolation
                    | StreamCondition::NotAuthorized
                    | StreamCondition::InvalidFrom
            ),
            _ => false,
        },
        // Where it is TLS 1.3 the alert comes when the handshake is over for us.
        #[cfg(feature = "tls")]
        Ended::Failed(Error::Tls(balcony_tls::Error::Alert(alert))) => {
            alert.contains("Certificate") || matches!(alert.as_str(), "UnknownCA" | "AccessDenied")
        }
        _ => false,
    }
}

/// Whether a pair of domains that another server does not take may be taken in a moment: it could not find out about our key.
pub(super) fn is_passing(verdict: Verdict) -> bool {
    let Verdict::Error(condition) = verdict else { return false };
    matches!(
        condition,
        ErrorCondition::RemoteServerTimeout
            | ErrorCondition::ResourceConstraint
            | ErrorCondition::InternalServerError
    )
}

/// For the log: which name is missing from which certificate, if a stream of others has ended since it proves nobody (RFC 6120 section
/// 13.7.1.2).
pub(super) fn refused(link: &Link, ended: &Ended) -> String {
    let is_refused = matches!(ended, Ended::Failed(Error::Stream(balcony_stream::Error::Local(error)))
        if error.condition == StreamCondition::PolicyViolation);
    let Way::In(incoming) = &link.way else { return String::new() };
    if !is_refused || !incoming.domains.is_empty() || !link.is_encrypted() {
        return String::new();
    }
    let claimed = link.connected().and_then(|stream| stream.connection.claimed());
    let claimed = claimed
        .map_or_else(|| "it does not say who it is".into(), |name| format!("it says that it is {name}"));
    format!("; {claimed}, and {}", names(link))
}

/// The names that the certificate of a peer proves, and whether stanzas go both ways on the stream, in words. Of one that proves nothing it
/// is said for whom it is and who has signed it, so that somebody can tell which of the two is the matter.
pub(super) fn names(link: &Link) -> String {
    let vouched = match &link.way {
        Way::In(incoming) => incoming.vouched,
        Way::Out(_) => "",
    };
    let names = match link.proven() {
        _ if !vouched.is_empty() => format!("{vouched} vouches for its certificate"),
        [] => unproven(link),
        names => format!("its certificate is for {}", names.join(", ")),
    };
    if link.is_bidirectional() { format!("{names}; stanzas go both ways") } else { names }
}

/// A certificate that proves nothing.
fn unproven(link: &Link) -> String {
    #[cfg(feature = "tls")]
    if let Some(tls) = link.connected().and_then(|stream| stream.connection.tls()) {
        let Some(own) = tls.peer_certificates.first() else { return "it has shown no certificate".into() };
        if let Some(details) = balcony_tls::CertificateDetails::read(own) {
            let names: alloc::vec::Vec<_> = details.names.iter().take(8).map(String::as_str).collect();
            let names = if names.is_empty() { "nobody".into() } else { names.join(", ") };
            return format!(
                "its certificate proves nothing to us: it is for {names}, signed by {}",
                if details.is_self_signed { "itself" } else { &details.issuer }
            );
        }
    }
    let _ = link;
    "its certificate proves nothing to us".into()
}

#[cfg(test)]
mod tests {
    use balcony_sasl::SaslCondition;

    use super::*;

    // RFC 6120 §6.5, XEP-0178 §3: what another server says of our certificate is not about a password
    #[test]
    fn a_refused_certificate_is_called_one() {
        let text = Some("unsupported certificate purpose".into());
        let error = balcony_stream::Error::Authentication(SaslCondition::NotAuthorized, text);
        assert_eq!(
            reason(&Ended::Failed(Error::Stream(error))),
            "it does not take our certificate (not-authorized): unsupported certificate purpose"
        );
    }
}
