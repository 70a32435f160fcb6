//! From an endpoint to a socket.

use core::time::Duration;
use std::io;

use balcony_client::srv::Target;
use balcony_client::{Attempt, ConnectError, Endpoint, dns_name};
use balcony_jid::BareJid;
use tokio::net::{TcpStream, lookup_host};
use tokio::time;

/// How long one address may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tries one place after the other (RFC 6120 section 3.2), and all addresses of each.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    account: &BareJid,
) -> Result<(TcpStream, Target), ConnectError> {
    let targets = match endpoint.target(account) {
        Some(target) => vec![target],
        None => targets(&dns_name(account)?).await?,
    };
    let mut attempts = Vec::new();
    for target in targets {
        match reach(&target).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok((stream, target));
            }
            Err(reason) => attempts.push(Attempt { host: target.host, port: target.port, reason }),
        }
    }
    match attempts.is_empty() {
        true => Err(ConnectError::NoService(account.domainpart().into())),
        false => Err(ConnectError::Unreachable(attempts)),
    }
}

#[cfg(feature = "dns")]
use crate::dns::targets;

/// Without DNS the domain itself is the place (RFC 6120 section 3.2.2).
#[cfg(not(feature = "dns"))]
async fn targets(domain: &str) -> Result<Vec<Target>, ConnectError> {
    let mut random = crate::clock::seed().random();
    Ok(balcony_client::srv::targets(domain, Vec::new(), &mut random))
}

async fn reach(target: &Target) -> Result<TcpStream, String> {
    let addresses = lookup_host((target.host.as_str(), target.port)).await.map_err(|error| {
        format!("the name could not be looked up ({error}) - is it spelled right, and is there a network?")
    })?;
    let mut reason = String::from("the name has no addresses");
    for address in addresses {
        match time::timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                reason = "connection refused - is a server running there?".into();
            }
            Ok(Err(error)) => reason = error.to_string(),
            Err(_) => reason = format!("no answer within {} seconds", PATIENCE.as_secs()),
        }
    }
    Err(reason)
}
