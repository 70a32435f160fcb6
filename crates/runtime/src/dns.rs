//! SRV records and addresses, for [`Runtime::records`](crate::Runtime::records) and [`Runtime::addresses`](crate::Runtime::addresses), by
//! `hickory` on the sockets of any runtime that has [datagrams](Lookup). What is made of them is decided in `balcony-client`.

use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::pin::pin;
use core::task::Poll;

use balcony_client::srv::{Record, Service, Signed};
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver, ResolverBuilder};

use crate::Options;

mod signed;
mod sockets;

pub use signed::signed_records;
use sockets::Provider;
pub use sockets::{Datagrams, Lookup};

/// What both services of a domain have (XEP-0368 section 2.1), from the name server of the options or from those that the system is
/// configured for.
///
/// # Errors
///
/// Why the DNS does not answer, in words.
pub async fn records<R: Lookup>(
    runtime: R,
    options: &Options,
    service: Service,
    domain: &str,
) -> Result<Vec<Record>, String> {
    let [in_the_clear, with_tls] = service.labels();
    let resolver = resolver(runtime, options.name_server).map_err(words)?;
    // Not every DNS answers for a service that it has not heard of.
    let direct = async { lookup(&resolver, with_tls, domain, true).await.unwrap_or_default() };
    let clear = lookup(&resolver, in_the_clear, domain, false);
    let (clear, direct) = both(clear, direct).await;
    let mut records = clear.map_err(words)?;
    records.extend(direct);
    Ok(records)
}

/// The addresses of a host, of both families, from the name server of the options or from those that the system is configured for; its file of hosts
/// counts as well.
///
/// # Errors
///
/// Why there are none, in words.
pub async fn addresses<R: Lookup>(runtime: R, options: &Options, host: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let resolver = resolver(runtime, options.name_server).map_err(words)?;
    // The dot at the end says that the name is complete.
    match resolver.lookup_ip(format!("{}.", host.trim_end_matches('.'))).await {
        Ok(found) => Ok(found.iter().collect()),
        Err(error) if error.is_no_records_found() => Ok(Vec::new()),
        Err(error) => Err(words(error)),
    }
}

/// Why nothing was found.
fn words(error: NetError) -> String {
    match error {
        NetError::Io(error) => crate::reason(&error),
        NetError::NoConnections => "no DNS server can be reached".into(),
        error => error.to_string(),
    }
}

fn resolver<R: Lookup>(
    runtime: R,
    name_server: Option<SocketAddr>,
) -> Result<Resolver<Provider<R>>, NetError> {
    builder(runtime, name_server)?.build()
}

fn builder<R: Lookup>(
    runtime: R,
    name_server: Option<SocketAddr>,
) -> Result<ResolverBuilder<Provider<R>>, NetError> {
    let provider = Provider(runtime);
    let Some(address) = name_server else { return Resolver::builder(provider) };
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    server.connections.iter_mut().for_each(|connection| connection.port = address.port());
    Ok(Resolver::builder_with_config(ResolverConfig::from_name_servers(vec![server]), provider))
}

async fn lookup<R: Lookup>(
    resolver: &Resolver<Provider<R>>,
    service: &str,
    domain: &str,
    direct_tls: bool,
) -> Result<Vec<Record>, NetError> {
    // The dot at the end says that the name is complete.
    let found = match resolver.srv_lookup(format!("{service}.{domain}.")).await {
        Ok(found) => found,
        Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(found.answers().iter().filter_map(|answer| record(&answer.data, direct_tls)).collect())
}

/// An SRV record, as it is without signatures.
fn record(data: &RData, direct_tls: bool) -> Option<Record> {
    match data {
        RData::SRV(srv) => Some(Record {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_ascii().trim_end_matches('.').into(),
            direct_tls,
            signed: Signed::No,
        }),
        _ => None,
    }
}

/// Waits for both, at the same time.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(result) = a.as_mut().poll(cx)
        {
            first = Some(result);
        }
        if second.is_none()
            && let Poll::Ready(result) = b.as_mut().poll(cx)
        {
            second = Some(result);
        }
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (first, second) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}
