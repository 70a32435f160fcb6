//! What is to be said of what was seen on a port: for whom it will not work, and what to change.

use std::io::ErrorKind;
use std::time::SystemTime;

use balcony_connection::Error;
use balcony_connection::srv::Service;
use balcony_stanza::{StreamCondition, StreamError};
use balcony_stream::Offered;
use balcony_tls::{CertificateDetails, Error as TlsError, Refusal};

use super::Look;
use super::find::whom;
use super::port::{End, Seen, is_of_this_machine};
use super::report::{Finding, Level, date};
use crate::certificate::{Fault, names};
use crate::counted::counted;
use crate::failure::reason;

const DAY: u64 = 86_400;

/// Which port it is.
pub(super) struct Port<'a> {
    /// For the reader.
    pub(super) about: &'a str,
    pub(super) domain: &'a str,
    pub(super) service: Service,
    /// TLS begins with the first byte.
    pub(super) direct: bool,
    /// Other addresses of the same place have been reached.
    pub(super) has_others: bool,
    /// The domain is this machine for everybody: nobody comes from elsewhere.
    pub(super) is_local: bool,
    /// Nothing says that there is anybody, and there need not be.
    pub(super) is_optional: bool,
}

impl Port<'_> {
    fn finding(&self, level: Level, says: impl Into<String>) -> Finding {
        Finding::new(level, self.about, says)
    }

    fn wrong(&self, says: impl Into<String>) -> Finding {
        self.finding(Level::Wrong, says).whom(self.whom())
    }

    const fn whom(&self) -> &'static str {
        whom(self.service)
    }

    /// All that is to be said.
    pub(super) fn judge(&self, look: &Look, seen: &Seen) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(clear) = seen.clear.as_ref().filter(|clear| !clear.mechanisms.is_empty()) {
            let says = format!("a login without TLS is offered ({})", clear.mechanisms.join(", "));
            let whom = "users whose password or messages somebody on the way reads";
            findings.push(match self.is_local {
                true => self.finding(Level::Note, format!("{says}, on this machine only")),
                false => self.wrong(says).whom(whom).change("have the server demand TLS before a login"),
            });
        }
        if let Some(tls) = &seen.tls {
            let how = if self.direct { "direct TLS" } else { "STARTTLS" };
            findings
                .push(self.finding(Level::Fine, format!("{how}, {}, {}", tls.protocol, tls.cipher_suite)));
            if tls.protocol != "TLSv1.3" {
                findings.push(
                    self.finding(Level::Note, "it has no TLS 1.3")
                        .change("a newer TLS library, or its configuration; TLS 1.3 hides more, and takes fewer round trips"),
                );
            }
            findings.extend(self.certificate(look, seen, &tls.peer_certificates));
        }
        match (&seen.secured, &seen.end) {
            (Some(offered), _) => findings.extend(match self.service {
                Service::Client => self.login(offered),
                Service::Server => self.proofs(look, offered),
            }),
            (None, Some(end)) => findings.push(self.end(look, seen, end)),
            (None, None) => findings.push(self.finding(Level::Unknown, "not all was seen")),
        }
        findings
    }

    /// Whether others believe the certificate, and for how long.
    fn certificate(&self, look: &Look, seen: &Seen, chain: &[Vec<u8>]) -> Option<Finding> {
        let details = CertificateDetails::read(chain.first()?)?;
        let CertificateDetails { validity, issuer, .. } = &details;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let days = validity.end.saturating_sub(now) / DAY;
        let whom = match self.service {
            Service::Client => "clients, which refuse it".to_owned(),
            // What dialback can do is said where it is offered.
            Service::Server => match seen.secured.as_ref().is_some_and(|offered| offered.dialback) {
                true => "servers that demand certificates; others go on with dialback".to_owned(),
                false => "other servers".to_owned(),
            },
        };
        let wrong = |says: String, change: String| {
            Some(self.finding(Level::Wrong, says).whom(whom.as_str()).change(change))
        };
        match look.tls(self.service).judge(chain, self.domain) {
            Ok(()) if days < look.days => {
                let until = date(validity.end);
                let whom = match self.service {
                    Service::Client => format!("clients, which refuse it from {until} on"),
                    Service::Server => format!("{whom}, from {until} on"),
                };
                let says = format!("the certificate ends on {until}, in {}", counted(days, "day", "days"));
                let finding = self.finding(Level::Wrong, says).whom(whom);
                Some(finding.change("renew it, and have the server read it again"))
            }
            Ok(()) => {
                let (names, until) = (names(&details), date(validity.end));
                Some(self.finding(
                    Level::Fine,
                    format!(
                        "the certificate is for {names}, until {until} ({}), signed by {issuer}",
                        counted(days, "day", "days")
                    ),
                ))
            }
            Err(TlsError::Certificate { refusal, .. }) => {
                let Fault { says, mut change } = Fault::of(&refusal, &details, chain.len() == 1, self.domain);
                if refusal == Refusal::Untrusted && !details.is_self_signed {
                    change.push_str("; if it is an authority of your own: --ca FILE");
                }
                wrong(says, change)
            }
            Err(error) => wrong(format!("the certificate cannot be read: {error}"), "get another one".into()),
        }
    }

    /// What clients are offered.
    fn login(&self, offered: &Offered) -> Vec<Finding> {
        let mut names: Vec<&str> = Vec::new();
        for name in offered.sasl2.iter().chain(&offered.mechanisms) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        if names.is_empty() {
            let finding = self.wrong("no mechanism for a login is offered");
            return vec![finding.change("look at how accounts are configured at the server")];
        }
        let has = |part: &str| names.iter().any(|name| name.contains(part));
        let mut findings = Vec::new();
        let sasl2 = if offered.sasl2.is_empty() { "" } else { ", also by SASL2" };
        findings.push(self.finding(Level::Fine, format!("logins by {}{sasl2}", names.join(", "))));
        if !has("SCRAM-") {
            findings.push(
                self.finding(Level::Note, "there is no SCRAM")
                    .whom("users whose passwords the server, and who breaks into it, gets to read; some clients refuse")
                    .change("have the server keep keys for SCRAM instead of passwords"),
            );
        } else if !has("-PLUS") {
            findings.push(self.finding(
                Level::Note,
                "no mechanism binds a login to its TLS connection (-PLUS): nobody would notice somebody in between who has a certificate",
            ));
        }
        if offered.registration {
            let finding = self.finding(Level::Note, "everybody can create accounts");
            findings.push(finding.change("if that is not meant, turn registration off"));
        }
        findings
    }

    /// How other servers can prove who they are.
    fn proofs(&self, look: &Look, offered: &Offered) -> Vec<Finding> {
        let mut findings = Vec::new();
        match (look.shows_certificate, offered.external) {
            (true, true) => {
                findings.push(
                    self.finding(
                        Level::Fine,
                        format!("it believes the certificate of {} (EXTERNAL)", look.own),
                    ),
                );
            }
            (true, false) => findings.push(
                self.finding(
                    Level::Wrong,
                    format!("it does not believe the certificate of {} (EXTERNAL)", look.own),
                )
                .whom(if offered.dialback {
                    "nobody, as long as dialback serves"
                } else {
                    "whoever writes from there"
                })
                .change("check that domain, too; or the other server has no EXTERNAL"),
            ),
            (false, true) => {
                findings.push(self.finding(Level::Note, "it offers EXTERNAL to who has shown no certificate"))
            }
            (false, false) => {}
        }
        findings.push(match offered.dialback {
            true => self.finding(Level::Fine, "it takes servers without a certificate that it believes (dialback)"),
            false => self.finding(
                Level::Note,
                "it does not say that it takes dialback, so maybe only servers with a certificate that it believes",
            ),
        });
        if offered.bidi {
            findings.push(self.finding(Level::Fine, "one stream carries stanzas both ways (XEP-0288)"));
        }
        findings
    }

    /// Why not all could be seen.
    fn end(&self, look: &Look, seen: &Seen, end: &End) -> Finding {
        let patience = look.patience.as_secs();
        match end {
            End::NoConnection(error) => match error.kind() {
                ErrorKind::ConnectionRefused if self.is_optional => self.finding(
                    Level::Note,
                    "nobody listens there, which is in order for a server that is for this machine only: no other one finds it by this name",
                ),
                ErrorKind::ConnectionRefused => self
                    .wrong("connection refused: nobody listens there, or a firewall says so")
                    .change("start the server, have it listen on this address, or open the port; if an SRV record leads here by mistake, take that out"),
                kind if is_of_this_machine(kind) => {
                    let level = if self.has_others { Level::Note } else { Level::Unknown };
                    let why = match kind {
                        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
                            "from here there is no way to such addresses".into()
                        }
                        _ => format!("this machine makes no connection: {}", reason(error)),
                    };
                    self.finding(level, format!("not looked at: {why}"))
                }
                _ => self.wrong(format!("there is no connection: {}", reason(error))).change("look at the network in between"),
            },
            End::NoAnswer => self
                .wrong(format!("no answer within {patience} s"))
                .change("look whether a firewall drops what comes to this port, and whether the address is right"),
            End::Slow => self
                .wrong(format!("it takes connections, but did not get as far as a login within {patience} s"))
                .change("look whether the server hangs, or whether it is a server for XMPP at all"),
            End::Broken(how) => self
                .wrong(format!("{how} before there was anything to log in with"))
                .change("look into the log of the server"),
            End::Failed(Error::Stream(balcony_stream::Error::Remote(fault)))
                if self.service == Service::Server
                    && seen.tls.is_some()
                    && matches!(
                        fault.condition,
                        StreamCondition::PolicyViolation | StreamCondition::NotAuthorized
                    ) =>
            {
                self.not_believed(look, fault)
            }
            End::Failed(error) => self.failed(seen, error),
        }
    }

    /// It has ended the stream because of what we have, or have not, proven.
    fn not_believed(&self, look: &Look, fault: &StreamError) -> Finding {
        match look.shows_certificate {
            true => self
                .finding(Level::Wrong, format!("it does not believe the certificate of {}: {fault}", look.own))
                .whom("whoever writes from there")
                .change("check that domain, too"),
            false => self.finding(
                Level::Note,
                format!("it demands a certificate, and none was shown to it ({fault}); with --cert it can be seen which it believes"),
            ),
        }
    }

    fn failed(&self, seen: &Seen, error: &Error) -> Finding {
        let newest = "clients and servers that want TLS 1.2 or newer, and so all that are up to date";
        match error {
            Error::Tls(TlsError::NotTls) if self.direct => self
                .wrong("what comes is no TLS, though it should begin with the first byte here")
                .change("have the server listen for direct TLS on this port; if a record that begins with _xmpps leads here by mistake, take that out"),
            Error::Tls(TlsError::Alert(alert)) if alert == "NoApplicationProtocol" => self
                .wrong("it refuses the protocol that is offered in TLS (ALPN)")
                .change("have what listens there take `xmpp-client` or `xmpp-server` (XEP-0368)"),
            Error::Tls(TlsError::Alert(alert)) if alert == "ProtocolVersion" || alert == "HandshakeFailure" => self
                .wrong(format!("there is no version of TLS, or no cipher, that both ends have ({alert})"))
                .whom(newest)
                .change("have the server take TLS 1.2 and 1.3"),
            Error::Tls(error @ (TlsError::Alert(_) | TlsError::Protocol(_) | TlsError::Truncated)) => self
                .wrong(format!("there is no TLS: {error}"))
                .whom(newest)
                .change("have the server take TLS 1.2 and 1.3, and look into its log"),
            Error::Stream(balcony_stream::Error::NoTls) => self
                .wrong(match seen.clear.as_ref().is_some_and(|clear| clear.starttls) {
                    true => "STARTTLS is offered, and then refused",
                    false => "STARTTLS is not offered",
                })
                .whom(format!("{} that want TLS, and so nearly all", self.whom()))
                .change("give the server a certificate that it can read, and look into its log"),
            Error::Stream(balcony_stream::Error::Local(fault))
                if fault.condition == StreamCondition::NotWellFormed && !self.direct && seen.clear.is_none() =>
            {
                let [_, label] = self.service.labels();
                self.wrong(fault.to_string()).change(format!(
                    "if this port is for direct TLS, name it in records {label}.{}; if not, see what listens there",
                    self.domain
                ))
            }
            error => self.wrong(error.to_string()).change("look into the log of the server"),
        }
    }

    /// What comes of another try with TLS 1.2 only.
    pub(super) fn old_tls(&self, seen: &Seen) -> Finding {
        match (&seen.tls, &seen.end) {
            (Some(_), _) => self.finding(Level::Fine, "TLS 1.2 is taken as well"),
            // What has ended before TLS began says nothing about it.
            (None, Some(End::NoConnection(_) | End::NoAnswer | End::Slow)) => self.finding(
                Level::Unknown,
                "whether TLS 1.2 is taken was not found out: another connection came to nothing",
            ),
            (None, _) => self
                .finding(Level::Note, "TLS 1.2 is not taken")
                .whom(format!("{} of before 2020 or so", self.whom())),
        }
    }
}
