//! Sockets of async-std.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::net::Shutdown;

use async_std::net::{TcpStream, ToSocketAddrs as _};
use balcony_client::srv::{self, Target};
use balcony_client::{Attempt, ConnectError, Endpoint, dns_name};
use balcony_jid::BareJid;
use futures_io::{AsyncRead, AsyncWrite};

use crate::clock::{seed, timeout};

/// How long one address may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A TCP socket of async-std which, when closed, tells its peer so. The original does that only when it is dropped.
#[derive(Debug)]
pub struct Tcp(TcpStream);

impl From<TcpStream> for Tcp {
    fn from(stream: TcpStream) -> Self {
        // What is written together leaves together; there is nothing for Nagle's algorithm to wait for.
        let _ = stream.set_nodelay(true);
        Tcp(stream)
    }
}

impl AsyncRead for Tcp {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, to)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown(Shutdown::Write))
    }
}

/// Connects to an endpoint. There are no SRV records here, so a domain is itself the place (RFC 6120 section 3.2.2).
pub(crate) async fn connect(endpoint: &Endpoint, account: &BareJid) -> Result<(Tcp, Target), ConnectError> {
    let targets = match endpoint.target(account) {
        Some(target) => vec![target],
        None => srv::targets(&dns_name(account)?, Vec::new(), &mut seed().random()),
    };
    let mut attempts = Vec::new();
    for target in targets {
        match reach(&target).await {
            Ok(stream) => return Ok((stream.into(), target)),
            Err(reason) => attempts.push(Attempt { host: target.host, port: target.port, reason }),
        }
    }
    Err(ConnectError::Unreachable(attempts))
}

async fn reach(target: &Target) -> Result<TcpStream, String> {
    let addresses = (target.host.as_str(), target.port).to_socket_addrs().await.map_err(|error| {
        format!("the name could not be looked up ({error}) - is it spelled right, and is there a network?")
    })?;
    let mut reason = String::from("the name has no addresses");
    for address in addresses {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                reason = "connection refused - is a server running there?".into();
            }
            Some(Err(error)) => reason = error.to_string(),
            None => reason = format!("no answer within {} seconds", PATIENCE.as_secs()),
        }
    }
    Err(reason)
}
