//! TCP on async-io.

use core::net::SocketAddr;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use async_io::Async;
use balcony_runtime::{Interest, Listener, Socket, prepare, prepare_listener};

/// A TCP socket of `async-io`.
#[derive(Debug)]
pub struct TcpSocket(Async<TcpStream>);

impl TcpSocket {
    /// Takes a socket that is connected, which is broken when so much time passes without an acknowledgement.
    #[must_use]
    pub fn new(stream: Async<TcpStream>, unacknowledged: Duration) -> Self {
        prepare(stream.get_ref(), unacknowledged);
        TcpSocket(stream)
    }
}

impl Socket for TcpSocket {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.get_ref().read(buffer)
    }

    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_ref().write_vectored(buffers)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
        match interest {
            Interest::Read => self.0.poll_readable(cx),
            Interest::Write => self.0.poll_writable(cx),
        }
    }

    fn try_shutdown(&mut self) -> io::Result<()> {
        self.0.get_ref().shutdown(Shutdown::Write)
    }
}

/// A TCP socket of `async-io` that others connect to.
#[derive(Debug)]
pub struct TcpListener {
    listener: Async<std::net::TcpListener>,
    unacknowledged: Duration,
    /// What it brings is set up as it is itself.
    sets_up: bool,
}

impl TcpListener {
    pub(crate) fn new(listener: std::net::TcpListener, unacknowledged: Duration) -> io::Result<Self> {
        let sets_up = prepare_listener(&listener, unacknowledged);
        Ok(TcpListener { listener: Async::new(listener)?, unacknowledged, sets_up })
    }
}

impl Listener for TcpListener {
    type Socket = TcpSocket;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpSocket, SocketAddr)>> {
        let (stream, from) =
            ready!(attempt(|| self.listener.get_ref().accept(), || self.listener.poll_readable(cx)))?;
        let stream = Async::new(stream)?;
        let socket = match self.sets_up {
            true => TcpSocket(stream),
            false => TcpSocket::new(stream, self.unacknowledged),
        };
        Poll::Ready(Ok((socket, from)))
    }
}

/// Datagrams of `async-io`, for the DNS.
#[cfg(feature = "dns")]
#[derive(Debug)]
pub struct UdpSocket(Async<std::net::UdpSocket>);

#[cfg(feature = "dns")]
impl UdpSocket {
    pub(crate) fn new(from: SocketAddr) -> io::Result<Self> {
        Async::<std::net::UdpSocket>::bind(from).map(UdpSocket)
    }
}

#[cfg(feature = "dns")]
impl balcony_runtime::dns::Datagrams for UdpSocket {
    fn poll_receive(&self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        attempt(|| self.0.get_ref().recv_from(to), || self.0.poll_readable(cx))
    }

    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        attempt(|| self.0.get_ref().send_to(bytes, to), || self.0.poll_writable(cx))
    }
}

/// Tries something whenever it may succeed.
fn attempt<T>(
    mut attempt: impl FnMut() -> io::Result<T>,
    mut poll_ready: impl FnMut() -> Poll<io::Result<()>>,
) -> Poll<io::Result<T>> {
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(poll_ready())?,
            result => return Poll::Ready(result),
        }
    }
}
