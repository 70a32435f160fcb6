//! SRV records, and the TLSA records of the places that they name, with what DNSSEC says of both (RFC 7673 section 3). What follows from
//! them is decided in `balcony-server` and `balcony-tls`.
//!
//! The answers are validated here, from the keys of the root down, so that it does not matter whose word the DNS server takes. A server
//! that leaves the signatures out lets nobody validate anything: then it is as if nothing were signed. But who has given signatures once
//! gives them as long as this process runs: if they stay away then, somebody keeps them away, and the DNS has not answered.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Poll;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use balcony_client::srv::{Record, Service, Signed, Target};
use balcony_machine::Tlsa;
use hickory_resolver::Resolver;
use hickory_resolver::lookup::Lookup as Answer;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::rr::{RData, Record as Entry, RecordType};

use super::sockets::Provider;
use super::{Lookup, both, builder, record, words};
use crate::{Options, timeout};

/// How long the TLSA records of a place may take.
const PATIENCE: Duration = Duration::from_secs(12);
/// Places whose TLSA records are looked up; nobody connects to others.
const MOST_PLACES: usize = 16;
/// How often a name may stand for another one.
const MOST_ALIASES: usize = 8;

static IS_SAID: AtomicBool = AtomicBool::new(false);

static IS_WARNED: AtomicBool = AtomicBool::new(false);

/// DNS servers that have given signatures, with the keys of the root to which these have led; those of the system are `None`, all together.
/// An owner names one or two.
static GIVE_SIGNATURES: Mutex<BTreeSet<(Option<SocketAddr>, Option<&'static str>)>> =
    Mutex::new(BTreeSet::new());

/// What both services of a domain have, like [`records`](super::records), and what DNSSEC says of it, by the keys of the root
/// of the DNS that the options have.
///
/// # Errors
///
/// Why the DNS does not answer, in words; also if what it answers is not signed as it has to be.
pub async fn signed_records<R: Lookup>(
    runtime: R,
    options: &Options,
    service: Service,
    domain: &str,
) -> Result<Vec<Record>, String> {
    let resolver = resolver(runtime.clone(), options.name_server, options.trust_anchor)?;
    let validates = validates(&resolver).await;
    let has_validated = {
        let mut known = GIVE_SIGNATURES.lock().unwrap_or_else(PoisonError::into_inner);
        let own = (options.name_server, options.trust_anchor);
        validates.is_ok() && known.insert(own) || known.contains(&own)
    };
    if let Err(reason) = validates {
        if has_validated {
            if !IS_WARNED.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "the DNS server gives no signatures any more ({reason}): while that is so servers of others can't be found, as `dane` is on"
                );
            }
            return Err(format!("the DNS server gives no signatures any more ({reason})"));
        }
        if !IS_SAID.swap(true, Ordering::Relaxed) {
            tracing::debug!(
                "DANE is off: the DNS server gives no signatures that lead to the keys of the root ({reason})"
            );
        }
        return super::records(runtime, options, service, domain).await;
    }
    let [in_the_clear, with_tls] = service.labels();
    let direct = places(&resolver, with_tls, domain, true);
    let (clear, direct) = both(places(&resolver, in_the_clear, domain, false), direct).await;
    let mut found = clear.map_err(words)?;
    match direct {
        Ok(direct) => found.extend(direct),
        // Not every DNS answers for a service that it has not heard of. Where there is no other, an answer that is kept away must not pass for
        // none: the domain itself would be the place, without the TLSA records of the one that it names.
        Err(error) if found.is_empty() => return Err(words(error)),
        Err(_) => {}
    }
    let has_none = found.is_empty();
    if has_none {
        // The domain itself is the place, and may have TLSA records all the same.
        let Target { host: target, port, direct_tls, .. } = Target::without_records(domain, service);
        let signed = Signed::Yes(Vec::new());
        found.push(Record { priority: 0, weight: 0, port, target, direct_tls, signed });
    }
    // The best first, as they are tried.
    found.sort_by_key(|record| record.priority);
    let late = || Signed::Unknown("the DNS does not answer in time".into());
    let looks =
        found.iter().take(MOST_PLACES).map(|record| -> Pin<Box<dyn Future<Output = Signed> + Send>> {
            match record.signed {
                Signed::Yes(_) if !record.target.is_empty() => {
                    // Each has its own time: one that is slow, and may be somebody else's, keeps nobody from the others.
                    let look = timeout(&runtime, PATIENCE, tlsa(&resolver, &record.target, record.port));
                    Box::pin(async move { look.await.unwrap_or_else(late) })
                }
                _ => Box::pin(core::future::ready(record.signed.clone())),
            }
        });
    let signed = all(looks.collect()).await;
    for (number, record) in found.iter_mut().enumerate() {
        if matches!(record.signed, Signed::Yes(_)) {
            record.signed = signed.get(number).cloned().unwrap_or_else(late);
        }
    }
    if has_none {
        found.retain(|record| !matches!(&record.signed, Signed::Yes(tlsa) if tlsa.is_empty()));
    }
    Ok(found)
}

fn resolver<R: Lookup>(
    runtime: R,
    name_server: Option<SocketAddr>,
    anchor: Option<&str>,
) -> Result<Resolver<Provider<R>>, String> {
    let anchors = match anchor {
        None => TrustAnchors::default(),
        Some(text) => text.parse().map_err(|error| format!("the keys of the root can't be read: {error}"))?,
    };
    let mut builder = builder(runtime, name_server).map_err(words)?.with_trust_anchor(Arc::new(anchors));
    builder.options_mut().preserve_intermediates = true;
    builder.build().map_err(words)
}

/// Whether the DNS server gives signatures: it has those of the root in any case.
async fn validates<R: Lookup>(resolver: &Resolver<Provider<R>>) -> Result<(), String> {
    let keys = resolver.lookup(".", RecordType::DNSKEY).await.map_err(words)?;
    let mut keys = keys.answers().iter().filter(|entry| entry.record_type() == RecordType::DNSKEY);
    if keys.any(|key| key.proof.is_secure()) { Ok(()) } else { Err("they are not signed".into()) }
}

async fn places<R: Lookup>(
    resolver: &Resolver<Provider<R>>,
    service: &str,
    domain: &str,
    direct_tls: bool,
) -> Result<Vec<Record>, NetError> {
    let name = format!("{service}.{domain}.");
    let found = match resolver.srv_lookup(name.as_str()).await {
        Ok(found) => found,
        Err(error) if is_nothing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let secure = secure(&found, &name, RecordType::SRV);
    let place = |entry: &Entry| {
        let mut record = record(&entry.data, direct_tls)?;
        if secure.iter().any(|one| core::ptr::eq(*one, entry)) {
            record.signed = Signed::Yes(Vec::new());
        }
        Some(record)
    };
    Ok(found.answers().iter().filter_map(place).collect())
}

/// The TLSA records of a place.
async fn tlsa<R: Lookup>(resolver: &Resolver<Provider<R>>, host: &str, port: u16) -> Signed {
    let name = format!("_{port}._tcp.{}.", host.trim_end_matches('.'));
    let error = match resolver.tlsa_lookup(name.as_str()).await {
        Ok(found) => {
            let entries = secure(&found, &name, RecordType::TLSA);
            let records = entries.iter().filter_map(|entry| match &entry.data {
                RData::TLSA(tlsa) => Some(Tlsa {
                    usage: tlsa.cert_usage.into(),
                    selector: tlsa.selector.into(),
                    matching: tlsa.matching.into(),
                    data: tlsa.cert_data.clone(),
                }),
                _ => None,
            });
            return Signed::Yes(records.take(Tlsa::MOST).collect());
        }
        Err(error) if is_nothing(&error) => return Signed::Yes(Vec::new()),
        Err(error) => error,
    };
    // Where even the addresses are unsigned there is nothing to be had, and some DNS servers do not answer for what they do not know
    // (RFC 7673 section 3.2).
    let host = format!("{}.", host.trim_end_matches('.'));
    let is_unsigned = |found: Result<Answer, NetError>| match found {
        Ok(found) => found.answers().iter().any(|entry| entry.proof == Proof::Insecure),
        Err(NetError::Dns(DnsError::Nsec { proof, .. })) => proof == Proof::Insecure,
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => none
            .authorities
            .iter()
            .flat_map(|entries| entries.iter())
            .any(|entry| entry.proof == Proof::Insecure),
        Err(_) => false,
    };
    let addresses = [RecordType::A, RecordType::AAAA];
    for family in addresses {
        if is_unsigned(resolver.lookup(host.as_str(), family).await) {
            return Signed::Yes(Vec::new());
        }
    }
    Signed::Unknown(words(error))
}

/// Whether it is certain that there is nothing, or that what there is is not signed.
fn is_nothing(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(_)) => true,
        NetError::Dns(DnsError::Nsec { proof, .. }) => matches!(proof, Proof::Secure | Proof::Insecure),
        _ => false,
    }
}

/// Those of these records that are signed, with every alias on the way to them.
fn secure<'a>(found: &'a Answer, name: &str, kind: RecordType) -> Vec<&'a Entry> {
    let mut entries = found.answers().iter().filter(|entry| entry.proof.is_secure()).collect::<Vec<_>>();
    let Ok(mut name) = name.parse() else { return Vec::new() };
    for _ in 0..MOST_ALIASES {
        let alias = entries.iter().find_map(|entry| match &entry.data {
            RData::CNAME(alias) if entry.name == name => Some(alias.0.clone()),
            _ => None,
        });
        match alias {
            Some(alias) => name = alias,
            None => break,
        }
    }
    entries.retain(|entry| entry.name == name && entry.record_type() == kind);
    entries
}

/// Waits for all, at the same time.
async fn all<T: Clone + Unpin>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut results: Vec<Option<T>> = vec![None; futures.len()];
    poll_fn(|cx| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(cx)
            {
                *result = Some(ready);
            }
        }
        if results.iter().all(Option::is_some) {
            Poll::Ready(results.iter_mut().filter_map(Option::take).collect())
        } else {
            Poll::Pending
        }
    })
    .await
}
