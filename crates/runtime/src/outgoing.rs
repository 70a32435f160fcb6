//! Connections that a server opens to other servers: where they are, and the first place that answers. Which server is looked for, and
//! what is said there, the machine decides.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use async_channel::{Receiver, bounded};
use balcony_client::srv::{Service, Target};
use balcony_client::{Endpoint, dns_name};
use balcony_jid::BareJid;
use balcony_server::federation::{Reach, Unreachable};
use balcony_server::{ConnectionId, Input};

use crate::clock::timeout;
use crate::connect::{Failure, Names, race};
use crate::driver::{Driver, Message, TURN_OF_SERVER};
use crate::mailbox::Token;
use crate::peer::{Peer, Place};
use crate::{Runtime, Socket};

/// How long connecting to another server may take, with all the places where it may be. The machine waits no longer either.
const PATIENCE: Duration = Duration::from_secs(60);

/// What has come of connecting to another server: a socket, the place among those that were to be tried, and what the log calls it.
pub(crate) type Connected = Result<(Box<dyn Socket>, usize, String), Unreachable>;

impl<R: Runtime> Driver<R> {
    /// Asks the DNS where another server is, and what of that is signed if that is wanted.
    pub(crate) fn resolve(&self, domain: BareJid, dane: bool) {
        let (runtime, mailbox) = (self.runtime.clone(), Arc::clone(&self.mailbox));
        self.runtime.spawn(Box::pin(async move {
            let records = match dns_name(&domain) {
                // Addresses, and this machine, have no records.
                _ if Endpoint::Domain.target(&domain).is_some() => Ok(Vec::new()),
                Ok(name) if dane => runtime.signed_records(Service::Server, name).await,
                Ok(name) => runtime.records(Service::Server, name).await,
                Err(error) => Err(error.to_string()),
            };
            // A server that has ended wants to know nothing any more.
            let _ = mailbox.send(Message::Resolved(domain, records));
        }));
    }

    /// Connects to another server.
    pub(crate) fn connect(&mut self, id: ConnectionId, targets: Vec<Target>, reach: Reach) {
        let (runtime, mailbox) = (self.runtime.clone(), Arc::clone(&self.mailbox));
        let names = match reach {
            Reach::Route => Names::System,
            Reach::Anywhere => Names::Dns(|_| true),
            Reach::Public => Names::Dns(|address| Reach::Public.admits(address)),
        };
        // When the other end is dropped nobody wants the connection any more.
        let (wanted, unwanted) = bounded::<()>(1);
        self.connecting.insert(id, wanted);
        self.runtime.spawn(Box::pin(async move {
            let race = timeout(&runtime, PATIENCE, race(&runtime, &targets, &names));
            let Some(race) = unless(unwanted, race).await else { return };
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

    /// Nobody wants this connection any more.
    pub(crate) fn give_up(&mut self, id: ConnectionId) {
        self.connecting.remove(&id);
    }

    /// A connection has come about, or not.
    pub(crate) fn connected(&mut self, id: ConnectionId, connected: Connected) {
        let now = self.now;
        self.connecting.remove(&id);
        let (socket, index, to) = match connected {
            Ok(connected) => connected,
            Err(unreachable) => return self.machine.handle(now, Input::Unreachable(id, &unreachable)),
        };
        let place = self.peers.vacant_entry();
        let key = place.key();
        if self.machine.connected(now, id, index, to, key) {
            place.insert(Peer::new(socket, Token::new(key, &self.mailbox)).open(
                id,
                TURN_OF_SERVER,
                Place::Outgoing,
            ));
            self.list(key);
        }
    }
}

/// What comes of `future`, unless the other end of `unwanted` is dropped before; then it is dropped as well.
async fn unless<T>(unwanted: Receiver<()>, future: impl Future<Output = T>) -> Option<T> {
    let (mut unwanted, mut future) = (pin!(unwanted.recv()), pin!(future));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => unwanted.as_mut().poll(cx).map(|_| None),
    })
    .await
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

#[cfg(test)]
mod tests {
    use core::future::pending;
    use core::task::{Context, Waker};

    use super::*;

    // What nobody wants any more is dropped, with the socket and the look-up that it may have.
    #[test]
    fn an_attempt_that_is_given_up_is_dropped() {
        let (wanted, unwanted) = bounded::<()>(1);
        let held = Arc::new(());
        let attempt = Arc::clone(&held);
        let mut future = Box::pin(unless(unwanted, async move {
            pending::<()>().await;
            drop(attempt);
        }));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_pending());
        drop(wanted);
        assert_eq!(future.as_mut().poll(&mut cx), Poll::Ready(None));
        drop(future);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
