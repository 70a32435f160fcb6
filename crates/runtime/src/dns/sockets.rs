//! What the resolver needs of a runtime, made of what the driver needs, and of datagrams.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io::{self, ErrorKind, IoSlice};
use std::time::SystemTime;

use futures_io::{AsyncRead, AsyncWrite};
use hickory_resolver::net::runtime::{DnsTcpStream, DnsUdpSocket, RuntimeProvider, Spawn, Time};

use crate::{Interest, Runtime, Socket};

/// How long a DNS server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// A runtime with all that looking something up takes.
pub trait Lookup: Runtime + Unpin {
    /// Datagrams of this runtime.
    type Datagrams: Datagrams;

    /// Datagrams from this address of the machine.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn datagrams(&self, from: SocketAddr) -> io::Result<Self::Datagrams>;

    /// Waits so long.
    fn sleep(length: Duration) -> impl Future<Output = ()> + Send;
}

/// A UDP socket. One task a way waits for it.
pub trait Datagrams: Send + Sync + Unpin + 'static {
    /// How many bytes of the next datagram are in `buffer` now, and from where it has come.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>>;

    /// Sends a datagram. How many bytes of it.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<usize>>;
}

type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// A runtime for the resolver.
#[derive(Clone)]
pub(super) struct Provider<R>(pub(super) R);

impl<R: Lookup> Spawn for Provider<R> {
    fn spawn_bg(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(Box::pin(task));
    }
}

impl<R: Lookup> RuntimeProvider for Provider<R> {
    type Handle = Self;
    type Timer = Clock<R>;
    type Udp = Udp<R>;
    type Tcp = Tcp<R>;

    fn create_handle(&self) -> Self {
        self.clone()
    }

    fn connect_tcp(
        &self,
        to: SocketAddr,
        _: Option<SocketAddr>,
        wait: Option<Duration>,
    ) -> Pending<Self::Tcp> {
        let runtime = self.0.clone();
        let connect = async move { Ok(Tcp(Box::new(runtime.connect(to).await?))) };
        Box::pin(async move { Clock::<R>::timeout(wait.unwrap_or(PATIENCE), connect).await? })
    }

    fn bind_udp(&self, from: SocketAddr, _: SocketAddr) -> Pending<Self::Udp> {
        let datagrams = self.0.datagrams(from);
        Box::pin(async move { Ok(Udp(datagrams?)) })
    }
}

/// The timers of a runtime.
pub(super) struct Clock<R>(core::marker::PhantomData<R>);

#[async_trait::async_trait]
impl<R: Lookup> Time for Clock<R> {
    async fn delay_for(length: Duration) {
        R::sleep(length).await;
    }

    /// The trait's own panics if the clock is before 1970; it is asked for each question that is sent.
    fn current_time() -> u64 {
        since_1970(SystemTime::now())
    }

    async fn timeout<F: Future + Send + 'static>(most: Duration, future: F) -> io::Result<F::Output> {
        let (mut late, mut future) = (pin!(R::sleep(most)), pin!(future));
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending => late.as_mut().poll(cx).map(|()| Err(ErrorKind::TimedOut.into())),
        })
        .await
    }
}

/// Seconds, by which signatures of the DNS are judged. Before 1970 none is valid yet.
fn since_1970(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Datagrams to and from DNS servers.
pub(super) struct Udp<R: Lookup>(R::Datagrams);

impl<R: Lookup> DnsUdpSocket for Udp<R> {
    type Time = Clock<R>;

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.0.poll_receive(cx, buffer)
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, bytes, to)
    }
}

/// A connection to a DNS server, for answers that are too large for a datagram.
pub(super) struct Tcp<R: Lookup>(Box<R::Socket>);

impl<R: Lookup> Tcp<R> {
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut attempt: impl FnMut(&mut R::Socket) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match attempt(&mut self.0) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.0.poll_ready(cx, interest))?;
                }
                result => return Poll::Ready(result),
            }
        }
    }
}

impl<R: Lookup> DnsTcpStream for Tcp<R> {
    type Time = Clock<R>;
}

impl<R: Lookup> AsyncRead for Tcp<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, Interest::Read, |socket| socket.try_read(to))
    }
}

impl<R: Lookup> AsyncWrite for Tcp<R> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, Interest::Write, |socket| socket.try_write(&[IoSlice::new(from)]))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, Interest::Write, Socket::try_shutdown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_1970_is_one_at_1970() {
        let second = Duration::from_secs(1);
        assert_eq!(since_1970(SystemTime::UNIX_EPOCH - second), 0);
        assert_eq!(since_1970(SystemTime::UNIX_EPOCH + second), 1);
    }
}
