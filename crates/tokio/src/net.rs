//! TCP on tokio.

use core::net::SocketAddr;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};

use balcony_runtime::{Interest, Listener, Socket, prepare, prepare_listener};
use socket2::SockRef;
use tokio::io::Interest as Ready;
use tokio::net::TcpStream;

/// `MSG_MORE`, by which what is not a full segment waits for what comes, a fifth of a second at most, and `MSG_NOSIGNAL`, as other writes have
/// it. They have these values on all processors.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MORE_COMES: core::ffi::c_int = 0x8000 | 0x4000;

/// A TCP socket of tokio.
#[derive(Debug)]
pub struct TcpSocket(TcpStream);

impl TcpSocket {
    /// Takes a socket that is connected, which is broken when so much time passes without an acknowledgement.
    #[must_use]
    pub fn new(stream: TcpStream, unacknowledged: Duration) -> Self {
        prepare(&stream, unacknowledged);
        TcpSocket(stream)
    }

    /// Tries something that could go as far as `all`. If it goes less far, the socket is not ready any more, which spares the system
    /// call that would say so.
    fn attempt(
        &self,
        ready: Ready,
        all: usize,
        work: impl FnOnce(&socket2::Socket) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut part = None;
        let result = self.0.try_io(ready, || match work(&SockRef::from(&self.0)) {
            Ok(count) if (1..all).contains(&count) => {
                part = Some(count);
                Err(ErrorKind::WouldBlock.into())
            }
            result => result,
        });
        part.map_or(result, Ok)
    }
}

impl Socket for TcpSocket {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.attempt(Ready::READABLE, buffer.len(), |mut socket| socket.read(buffer))
    }

    fn try_read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Whether tokio has heard of it or not.
        (&*SockRef::from(&self.0)).read(buffer)
    }

    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let all = buffers.iter().map(|buffer| buffer.len()).sum();
        self.attempt(Ready::WRITABLE, all, |mut socket| match buffers {
            // There is less for the system to look at.
            [buffer] => socket.write(buffer),
            _ => socket.write_vectored(buffers),
        })
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn try_write_last(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let all = buffers.iter().map(|buffer| buffer.len()).sum();
        self.attempt(Ready::WRITABLE, all, |socket| socket.send_vectored_with_flags(buffers, MORE_COMES))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
        match interest {
            Interest::Read => self.0.poll_read_ready(cx),
            Interest::Write => self.0.poll_write_ready(cx),
        }
    }

    fn try_shutdown(&mut self) -> io::Result<()> {
        SockRef::from(&self.0).shutdown(std::net::Shutdown::Write)
    }
}

/// A TCP socket of tokio that others connect to.
#[derive(Debug)]
pub struct TcpListener {
    listener: tokio::net::TcpListener,
    unacknowledged: Duration,
    /// What it brings is set up as it is itself.
    sets_up: bool,
}

impl TcpListener {
    pub(crate) fn new(listener: std::net::TcpListener, unacknowledged: Duration) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let sets_up = prepare_listener(&listener, unacknowledged);
        Ok(TcpListener { listener: tokio::net::TcpListener::from_std(listener)?, unacknowledged, sets_up })
    }
}

impl Listener for TcpListener {
    type Socket = TcpSocket;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpSocket, SocketAddr)>> {
        let (stream, from) = ready!(self.listener.poll_accept(cx))?;
        let socket = match self.sets_up {
            true => TcpSocket(stream),
            false => TcpSocket::new(stream, self.unacknowledged),
        };
        Poll::Ready(Ok((socket, from)))
    }
}

/// Datagrams of tokio, for the DNS.
#[cfg(feature = "dns")]
#[derive(Debug)]
pub struct UdpSocket(tokio::net::UdpSocket);

#[cfg(feature = "dns")]
impl UdpSocket {
    pub(crate) fn new(from: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(from)?;
        socket.set_nonblocking(true)?;
        tokio::net::UdpSocket::from_std(socket).map(UdpSocket)
    }
}

#[cfg(feature = "dns")]
impl balcony_runtime::dns::Datagrams for UdpSocket {
    fn poll_receive(&self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = tokio::io::ReadBuf::new(to);
        let from = ready!(self.0.poll_recv_from(cx, &mut buffer))?;
        Poll::Ready(Ok((buffer.filled().len(), from)))
    }

    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(cx, bytes, to)
    }
}
