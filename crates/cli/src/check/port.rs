//! One connection to one address: as far as the features under TLS, on the machines that clients and servers are made of.

use core::net::SocketAddr;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use balcony_connection::srv::Service;
use balcony_connection::{ClientConnection, Connection, S2sConnection};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret};
use balcony_stream::client::ClientStreamConfig;
use balcony_stream::s2s::S2sInitiatingConfig;
use balcony_stream::{Offered, Side, TlsPolicy};
use balcony_tls::{Established, TlsTrust};
use balcony_tokio::{Clock, Tokio, seed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Look;
use crate::failure::reason;

/// Bytes read at once.
const CHUNK: usize = 16_384;

/// What has been seen on a connection.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What was offered before TLS.
    pub(super) clear: Option<Offered>,
    /// And under it.
    pub(super) secured: Option<Offered>,
    pub(super) tls: Option<Established>,
    /// How it ended, unless all was seen.
    pub(super) end: Option<End>,
}

/// How a connection has ended before its time.
#[derive(Debug)]
pub(super) enum End {
    /// There was none.
    NoConnection(io::Error),
    /// Nobody has answered at all.
    NoAnswer,
    /// It broke, or was just closed.
    Broken(String),
    /// Not all was said in time.
    Slow,
    /// By the stream, or by TLS.
    Failed(balcony_connection::Error),
}

/// Whether an error of a connection that did not come about is one of the machine on which this runs, and says nothing of the other end:
/// anything but what the other end, or the network in between, has answered.
pub(super) const fn is_of_this_machine(error: ErrorKind) -> bool {
    !matches!(
        error,
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::TimedOut
    )
}

/// Looks at a port.
pub(super) async fn look(
    look: &Look,
    domain: &BareJid,
    service: Service,
    to: SocketAddr,
    tls: TlsTrust,
    direct: bool,
) -> Seen {
    let mut seen = Seen::default();
    let socket = match tokio::time::timeout(look.patience, TcpStream::connect(to)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return Seen { end: Some(End::NoConnection(error)), ..seen },
        Err(_) => return Seen { end: Some(End::NoAnswer), ..seen },
    };
    let clock = Clock::start(&Tokio::default());
    let policy = if direct { TlsPolicy::Direct } else { TlsPolicy::Required };
    let tls = tls.with_alpn(direct);
    let patience = look.patience;
    let finished = match service {
        Service::Client => {
            let mut config = ClientStreamConfig::new(domain.clone(), Secret::new(String::new()));
            (config.tls, config.look) = (policy, true);
            let connection = ClientConnection::new(Arc::new(config), seed(), Instant::ZERO);
            let connection = connection.with_tls(tls, domain.domainpart());
            let talk = talk(connection, ClientConnection::offered, socket, clock, &mut seen);
            tokio::time::timeout(patience, talk).await
        }
        Service::Server => {
            let mut config = S2sInitiatingConfig::new(look.own.clone(), domain.clone());
            (config.tls, config.look) = (policy, true);
            let connection = S2sConnection::initiating(Arc::new(config), seed(), Instant::ZERO);
            let connection = connection.with_client_tls(tls, domain.domainpart());
            let talk = talk(connection, S2sConnection::offered, socket, clock, &mut seen);
            tokio::time::timeout(patience, talk).await
        }
    };
    seen.end = finished.unwrap_or(Some(End::Slow));
    seen
}

/// Carries bytes until the features under TLS are there, or nothing more can come.
async fn talk<S: Side>(
    mut connection: Connection<S>,
    offered: fn(&Connection<S>) -> Option<&Offered>,
    mut socket: TcpStream,
    clock: Clock,
    seen: &mut Seen,
) -> Option<End> {
    let broken = |error: io::Error| match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "it was cut".into(),
        _ => reason(&error),
    };
    let now = || clock.now(&Tokio::default());
    let (mut buffer, mut out) = (vec![0; CHUNK], Vec::new());
    let mut input: &[u8] = &[];
    loop {
        let before = input.len();
        let ended = loop {
            match connection.advance(now(), &mut input, &mut out) {
                Ok(Progress::Event(_)) => {}
                Ok(Progress::Closed) => break Some(End::Broken("it was closed".into())),
                Ok(_) => break None,
                Err(error) => break Some(End::Failed(error)),
            }
        };
        if let Some(features) = offered(&connection) {
            let place = if features.under_tls { &mut seen.secured } else { &mut seen.clear };
            *place = Some(features.clone());
        }
        seen.tls = connection.tls().cloned();
        let is_done = seen.secured.is_some();
        if is_done && ended.is_none() {
            connection.close(now());
        }
        // What cannot be said any more need not be.
        let _ = connection.flush(&mut out);
        let written = socket.write_all(&out).await;
        out.clear();
        if is_done {
            // All has been seen: how the other end takes the goodbye is its own affair.
            return None;
        }
        if ended.is_some() {
            return ended;
        }
        if let Err(error) = written {
            return Some(End::Broken(broken(error)));
        }
        if !input.is_empty() && input.len() < before {
            continue;
        }
        match socket.read(&mut buffer).await {
            Ok(0) => {
                return Some(match connection.eof(now(), &mut out) {
                    Err(error) => End::Failed(error),
                    Ok(_) => End::Broken("it was closed".into()),
                });
            }
            Ok(count) => input = &buffer[..count],
            Err(error) => return Some(End::Broken(broken(error))),
        }
    }
}
