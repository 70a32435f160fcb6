//! What the driver needs of a runtime, as traits. A runtime says how it does these things, and decides nothing.

use core::fmt::Debug;
use core::net::{IpAddr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::net::TcpListener;
use std::time::Instant;

use balcony_client::srv::{Record, Service};

use crate::names;
use crate::tcp::UNACKNOWLEDGED;

/// A task for [`Runtime::spawn`].
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An async runtime: how it does tasks, timers, sockets and DNS. The value is a handle, cheap to clone.
pub trait Runtime: Clone + Debug + Send + Sync + 'static {
    /// A TCP socket.
    type Socket: Socket;
    /// A TCP socket that others connect to.
    type Listener: Listener<Socket = Self::Socket>;
    /// A timer.
    type Timer: Timer;

    /// Runs a task, which does so much at a time and no more: where the runtime has a budget for that, such as tokio's, the task
    /// is to be outside of it.
    fn spawn(&self, task: Task);

    /// Runs something that takes long on a thread where that does no harm.
    ///
    /// # Errors
    ///
    /// The runtime is ending.
    fn unblock<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send;

    /// Has the task that is polled now, and has more to do, polled again. Before that the runtime looks which sockets are ready, and lets
    /// other tasks have their turn. A runtime that does so anyway before it polls a task again that has woken itself keeps to this, which wakes it.
    fn yield_now(&self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }

    /// The time, as the timers see it.
    fn now(&self) -> Instant;

    /// A new timer.
    fn timer(&self) -> Self::Timer;

    /// Takes over a socket that listens.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn listen(&self, listener: TcpListener) -> io::Result<Self::Listener>;

    /// Connects.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Socket>> + Send;

    /// The SRV records of a domain's service, with TLS from the first byte and without (RFC 6120 section 3.2.1, XEP-0368); none if it has none. A runtime that can't look them up keeps to this, which knows of none: the domain itself
    /// is the place then.
    ///
    /// # Errors
    ///
    /// Why the DNS does not answer, in words.
    fn records(
        &self,
        service: Service,
        domain: String,
    ) -> impl Future<Output = Result<Vec<Record>, String>> + Send {
        let _ = (service, domain);
        core::future::ready(Ok(Vec::new()))
    }

    /// The same with what DNSSEC says of each, and of the TLSA records of the places (RFC 7673 section 3), validated here. A runtime that
    /// can't do that keeps to this, where nothing is signed.
    ///
    /// # Errors
    ///
    /// Why the DNS does not answer, in words; also if what it answers is not signed as it has to be.
    fn signed_records(
        &self,
        service: Service,
        domain: String,
    ) -> impl Future<Output = Result<Vec<Record>, String>> + Send {
        self.records(service, domain)
    }

    /// The addresses of a host, by the DNS, without a thread that waits for it: a server looks up what strangers want. A runtime that
    /// can't do that keeps to this, which asks the operating system.
    ///
    /// # Errors
    ///
    /// Why there are none, in words.
    fn addresses(&self, host: String) -> impl Future<Output = Result<Vec<IpAddr>, String>> + Send {
        names::of_system(self.clone(), host)
    }
}

/// What adapters let their users choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The DNS server to ask, instead of those that the system is configured for.
    pub name_server: Option<SocketAddr>,
    /// The keys of the root of the DNS, as DNSKEY records in the form of a zone file, for networks that have a root of their own; `None` are
    /// those of the world.
    pub trust_anchor: Option<&'static str>,
    /// How long a peer's network may leave what was sent to it unacknowledged, on systems that can tell.
    pub unacknowledged: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { name_server: None, trust_anchor: None, unacknowledged: UNACKNOWLEDGED }
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, or the end of it.
    Read,
    /// Room to write.
    Write,
}

/// What carries bytes both ways. Nothing here waits.
///
/// The driver tries first. When a try says [`WouldBlock`](io::ErrorKind::WouldBlock), or has done less than it could have, the
/// driver waits with [`poll_ready`](Socket::poll_ready) before it tries that again.
pub trait Socket: Send + Sync + 'static {
    /// Reads into `buffer`, which is not empty; 0 is the end of what the peer sends.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is nothing to be read now; another one if there never will be.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// The same, where the system itself is to be asked whether there is something, as a resource is about to be bound anew. It has to be said for a
    /// socket whose [`try_read`](Socket::try_read) does not ask it before the runtime has heard that there is something.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Socket::try_read).
    fn try_read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_read(buffer)
    }

    /// Writes some of these bytes, of which there are any.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing can be written now; another one if nothing ever can.
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// The same where these bytes are the last: when all of them are written [`try_shutdown`](Socket::try_shutdown) follows, or the socket is
    /// dropped. The system may hold them back until then, but no longer than a moment, so that they leave together with the end. Where it
    /// can't do that it is as `try_write`.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Socket::try_write).
    fn try_write_last(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write(buffers)
    }

    /// Whether to try again. If not, the task is woken when that has changed. One waker a way is enough; the last one counts. It may
    /// be ready more often than there is something to be done.
    ///
    /// # Errors
    ///
    /// Trying would be of no use.
    fn poll_ready(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>>;

    /// Lets the peer know that nothing more will be written.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock): again, when there is room to write.
    fn try_shutdown(&mut self) -> io::Result<()>;
}

impl Socket for Box<dyn Socket> {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).try_read(buffer)
    }

    fn try_read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).try_read_now(buffer)
    }

    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (**self).try_write(buffers)
    }

    fn try_write_last(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (**self).try_write_last(buffers)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
        (**self).poll_ready(cx, interest)
    }

    fn try_shutdown(&mut self) -> io::Result<()> {
        (**self).try_shutdown()
    }
}

/// Where connections come from.
pub trait Listener: Send + 'static {
    /// What they come as.
    type Socket: Socket;

    /// The next connection, and where it comes from.
    ///
    /// # Errors
    ///
    /// Those of the operating system. The next one may come all the same.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Socket, SocketAddr)>>;
}

/// Wakes a task in time.
pub trait Timer: Send + Sync + 'static {
    /// Ready when it is `at` or later. Otherwise the task is woken then; what was asked for before counts no more.
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()>;
}
