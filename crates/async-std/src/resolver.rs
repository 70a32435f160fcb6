//! DNS on async-io.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::{TcpStream, UdpSocket};

use async_io::{Async, Timer};
use balcony_runtime::Task;
use balcony_runtime::dns::provider::{DnsTcpStream, DnsUdpSocket, RuntimeProvider, Spawn, Time};
use futures_io::{AsyncRead, AsyncWrite};

/// How long a DNS server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);

type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// What the resolver needs of a runtime.
#[derive(Clone, Copy)]
pub(crate) struct Provider(pub(crate) fn(Task));

impl Spawn for Provider {
    fn spawn_bg(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        (self.0)(Box::pin(task));
    }
}

impl RuntimeProvider for Provider {
    type Handle = Provider;
    type Timer = Clock;
    type Udp = Udp;
    type Tcp = Tcp;

    fn create_handle(&self) -> Provider {
        *self
    }

    fn connect_tcp(&self, to: SocketAddr, _: Option<SocketAddr>, wait: Option<Duration>) -> Pending<Tcp> {
        let connect = async move { Ok(Tcp(Async::<TcpStream>::connect(to).await?)) };
        Box::pin(async move { Clock::timeout(wait.unwrap_or(PATIENCE), connect).await? })
    }

    fn bind_udp(&self, from: SocketAddr, _: SocketAddr) -> Pending<Udp> {
        Box::pin(async move { Ok(Udp(Async::<UdpSocket>::bind(from)?)) })
    }
}

pub(crate) struct Clock;

#[async_trait::async_trait]
impl Time for Clock {
    async fn delay_for(length: Duration) {
        Timer::after(length).await;
    }

    async fn timeout<F: Future + Send + 'static>(most: Duration, future: F) -> io::Result<F::Output> {
        let (mut timer, mut future) = (Timer::after(most), Box::pin(future));
        core::future::poll_fn(move |cx| match future.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending => Pin::new(&mut timer).poll(cx).map(|_| Err(ErrorKind::TimedOut.into())),
        })
        .await
    }
}

pub(crate) struct Udp(Async<UdpSocket>);

impl Udp {
    fn poll<T>(
        &self,
        mut attempt: impl FnMut(&UdpSocket) -> io::Result<T>,
        mut ready: impl FnMut(&Async<UdpSocket>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<T>> {
        loop {
            match attempt(self.0.get_ref()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => match ready(&self.0) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                },
                result => return Poll::Ready(result),
            }
        }
    }
}

impl DnsUdpSocket for Udp {
    type Time = Clock;

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.poll(|socket| socket.recv_from(buffer), |socket| socket.poll_readable(cx))
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        self.poll(|socket| socket.send_to(bytes, to), |socket| socket.poll_writable(cx))
    }
}

pub(crate) struct Tcp(Async<TcpStream>);

impl DnsTcpStream for Tcp {
    type Time = Clock;
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

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
