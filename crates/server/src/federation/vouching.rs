//! Certificates for which signed DNS vouches (RFC 7673, RFC 7712 sections 5.1 and 6): those of servers that we find, and those of servers
//! that come to us and prove nothing else.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use balcony_connection::srv::Record;
#[cfg(feature = "tls")]
use balcony_connection::srv::Signed;
use balcony_jid::BareJid;
use balcony_machine::{Instant, Ticket};
use balcony_stream::s2s::S2sAnswer;
#[cfg(feature = "tls")]
use balcony_tls::Vouchers;

use super::event::{FederationEvent, StreamId};
use super::origin::Origin;
use super::{Closing, Federation};

/// Streams of others whose certificates somebody is asked about, by the domain that they say to be, and until when an answer is of use.
#[derive(Debug, Default)]
pub(super) struct AskedAbout(BTreeMap<BareJid, (Instant, Vec<Asked>)>);

#[derive(Debug)]
struct Asked {
    stream: StreamId,
    ticket: Ticket,
    origin: Origin,
}

impl AskedAbout {
    fn all(&self) -> impl Iterator<Item = &Asked> {
        self.0.values().flat_map(|(_, asked)| asked)
    }
}

impl Federation {
    /// A stream of others asks who vouches for the certificate that it was shown. The DNS is asked as if the domain were looked for, as
    /// often at the same time as for keys of dialback.
    pub(super) fn asked_to_vouch(&mut self, now: Instant, id: StreamId, ticket: Ticket, domain: BareJid) {
        let Some(incoming) = self.link(id).and_then(|link| link.incoming()) else { return };
        let asked = Asked { stream: id, ticket, origin: incoming.origin };
        self.vouching.0.retain(|_, (until, _)| *until > now);
        let limits = &self.config.limits;
        let of_one = self.vouching.all().filter(|other| other.origin == asked.origin).count();
        let is_too_much = self.vouching.all().count() >= limits.attempts.max(2) / 2
            || of_one >= limits.attempts_per_address.max(1);
        let is_wanted = self.config.admits(domain.as_str()) && !self.config.is_local(domain.as_str());
        if is_too_much || !is_wanted || self.closing != Closing::No {
            return self.answer_vouching(&asked, false);
        }
        let until = now + self.config.stream.answer;
        let is_new = !self.vouching.0.contains_key(&domain);
        self.vouching.0.entry(domain.clone()).or_insert((until, Vec::new())).1.push(asked);
        if is_new {
            self.events.push_back(FederationEvent::Resolve(domain, self.config.dane));
        }
    }

    /// The DNS has said what is signed about a domain.
    pub(super) fn vouched(&mut self, now: Instant, domain: &BareJid, records: &[Record]) {
        let Some((until, all)) = self.vouching.0.remove(domain) else { return };
        for asked in all {
            let is_vouched = until > now && self.vouches(&asked, domain, records);
            if is_vouched && let Some(incoming) = self.link(asked.stream).and_then(|link| link.incoming()) {
                incoming.vouched = "its signed DNS";
            }
            self.answer_vouching(&asked, is_vouched);
        }
    }

    /// Whether these records vouch for the certificate that was shown on a stream. Any place of the domain may connect to us.
    fn vouches(&self, asked: &Asked, domain: &BareJid, records: &[Record]) -> bool {
        #[cfg(feature = "tls")]
        if let Some(ours) = &self.config.certificate
            && let Some(link) = super::link_of(&self.links, asked.stream)
            && let Some(tls) = link.connected().and_then(|stream| stream.connection.tls())
        {
            return records.iter().take(super::MOST_PLACES).any(|record| {
                let vouchers = vouchers(&record.target, record.port, &record.signed);
                ours.accepts.believes(&tls.peer_certificates, domain.domainpart(), &vouchers)
            });
        }
        let _ = (asked, domain, records);
        false
    }

    fn answer_vouching(&mut self, asked: &Asked, is_vouched: bool) {
        if let Some(connection) = self.link(asked.stream).and_then(|link| link.connection()) {
            // Whoever has not waited for the answer does not want it.
            let _ = connection.answer(asked.ticket, S2sAnswer::Vouched(is_vouched));
            self.ready.push(asked.stream);
        }
    }
}

/// Who speaks for a domain at this place, beside the authorities that are trusted.
#[cfg(feature = "tls")]
pub(super) fn vouchers(host: &str, port: u16, signed: &Signed) -> Vouchers {
    let mut vouchers = Vouchers::default();
    if let Signed::Yes(tlsa) = signed {
        (vouchers.host, vouchers.port) = (Some(host.into()), port);
        vouchers.tlsa.clone_from(tlsa);
    }
    vouchers
}
