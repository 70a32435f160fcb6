//! From an endpoint to a socket: all places of a domain, and all addresses of each, one after the other (RFC 6120 section 3.2).
//! Which places there are, and in which order, is decided in `balcony-client`.

use core::time::Duration;
use std::io::ErrorKind;
use std::net::ToSocketAddrs as _;

use balcony_client::srv::{self, Target};
use balcony_client::{Attempt, ConnectError, Endpoint, dns_name};
use balcony_jid::BareJid;

use crate::Runtime;
use crate::clock::{seed, timeout};

/// How long one address may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tries one place after the other (RFC 6120 section 3.2), and all addresses of each.
pub(crate) async fn connect<R: Runtime>(
    runtime: &R,
    endpoint: &Endpoint,
    account: &BareJid,
) -> Result<(R::Socket, Target), ConnectError> {
    let targets = match endpoint.target(account) {
        Some(target) => vec![target],
        None => targets(runtime, dns_name(account)?).await?,
    };
    let mut attempts = Vec::new();
    for target in targets {
        match reach(runtime, &target).await {
            Ok(socket) => return Ok((socket, target)),
            Err(reason) => attempts.push(Attempt { host: target.host, port: target.port, reason }),
        }
    }
    match attempts.is_empty() {
        true => Err(ConnectError::NoService(account.domainpart().into())),
        false => Err(ConnectError::Unreachable(attempts)),
    }
}

/// The places to try for a domain.
async fn targets(runtime: &impl Runtime, domain: String) -> Result<Vec<Target>, ConnectError> {
    match runtime.records(domain.clone()).await {
        Ok(records) => Ok(srv::targets(&domain, srv::CLIENT_PORT, records, &mut seed().random())),
        Err(reason) => Err(ConnectError::Lookup { name: domain, reason }),
    }
}

async fn reach<R: Runtime>(runtime: &R, target: &Target) -> Result<R::Socket, String> {
    let (host, port) = (target.host.clone(), target.port);
    let found = runtime.unblock(move || (host.as_str(), port).to_socket_addrs()).await;
    let addresses = found.and_then(|found| found).map_err(|error| {
        format!("the name could not be looked up ({error}) - is it spelled right, and is there a network?")
    })?;
    let mut reason = String::from("the name has no addresses");
    for address in addresses {
        match timeout(runtime, PATIENCE, runtime.connect(address)).await {
            Some(Ok(socket)) => return Ok(socket),
            Some(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                reason = "connection refused - is a server running there?".into();
            }
            Some(Err(error)) => reason = error.to_string(),
            None => reason = format!("no answer within {} seconds", PATIENCE.as_secs()),
        }
    }
    Err(reason)
}
