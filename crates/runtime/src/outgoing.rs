//! Connections that a server opens to other servers: where they are, and the first place that answers. Which server is looked for, and
//! what is said there, the machine decides.

use core::time::Duration;
use std::sync::Arc;

use balcony_client::srv::{Service, Target};
use balcony_client::{Endpoint, dns_name};
use balcony_jid::BareJid;
use balcony_server::federation::Unreachable;
use balcony_server::{ConnectionId, Input};

use crate::clock::timeout;
use crate::connect::{Failure, race};
use crate::driver::{Driver, Message};
use crate::mailbox::Token;
use crate::peer::{Peer, Place};
use crate::{Runtime, Socket};

/// How long connecting to another server may take, with all the places where it may be. The machine waits no longer either.
const PATIENCE: Duration = Duration::from_secs(60);

/// What has come of connecting to another server: a socket, the place among those that were to be tried, and what the log calls it.
pub(crate) type Connected = Result<(Box<dyn Socket>, usize, String), Unreachable>;

impl<R: Runtime> Driver<R> {
    /// Asks the DNS where another server is.
    pub(crate) fn resolve(&self, domain: BareJid) {
        let (runtime, mailbox) = (self.runtime.clone(), Arc::clone(&self.mailbox));
        self.runtime.spawn(Box::pin(async move {
            let records = match dns_name(&domain) {
                // Addresses, and this machine, have no records.
                _ if Endpoint::Domain.target(&domain).is_some() => Ok(Vec::new()),
                Ok(name) => runtime.records(Service::Server, name).await,
                Err(error) => Err(error.to_string()),
            };
            // A server that has ended wants to know nothing any more.
            let _ = mailbox.send(Message::Resolved(domain, records));
        }));
    }

    /// Connects to another server.
    pub(crate) fn connect(&self, id: ConnectionId, targets: Vec<Target>) {
        let (runtime, mailbox) = (self.runtime.clone(), Arc::clone(&self.mailbox));
        self.runtime.spawn(Box::pin(async move {
            let race = timeout(&runtime, PATIENCE, race(&runtime, &targets)).await;
            let late = || {
                let failure = Failure { is_unknown: false, reason: "not in time".into() };
                Err(targets.iter().map(|_| failure.clone()).collect())
            };
            let connected: Connected = match race.unwrap_or_else(late) {
                Ok((socket, index)) => {
                    let Target { host, port, .. } = &targets[index];
                    Ok((Box::new(socket), index, format!("{host}:{port}")))
                }
                Err(failures) => Err(unreachable(&targets, &failures)),
            };
            let _ = mailbox.send(Message::Connected(id, connected));
        }));
    }

    /// A connection has come about, or not.
    pub(crate) fn connected(&mut self, id: ConnectionId, connected: Connected) {
        let now = self.now;
        let (socket, index, to) = match connected {
            Ok(connected) => connected,
            Err(unreachable) => return self.machine.handle(now, Input::Unreachable(id, &unreachable)),
        };
        let place = self.peers.vacant_entry();
        let key = place.key();
        if self.machine.connected(now, id, index, to, key) {
            place.insert(Peer::new(socket, Token::new(key, &self.mailbox)).open(id, Place::Outgoing));
            self.list(key);
        }
    }
}

/// Why nobody was there, in words.
fn unreachable(targets: &[Target], failures: &[Failure]) -> Unreachable {
    let words = targets.iter().zip(failures).map(|(target, failure)| {
        let Target { host, port, .. } = target;
        match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]:{port}: {}", failure.reason),
            false => format!("{host}:{port}: {}", failure.reason),
        }
    });
    Unreachable {
        is_unknown: failures.iter().all(|failure| failure.is_unknown),
        reason: words.collect::<Vec<_>>().join("; "),
    }
}
