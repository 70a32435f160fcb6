//! Transports that are polled, such as pipes and tunnels, as sockets of the driver.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Mutex, PoisonError};

use futures_io::{AsyncRead, AsyncWrite};

use crate::{Interest, Socket};

/// A [`Socket`] of anything that speaks the traits of `futures-io`: a pipe in memory, a tunnel, a socket of another kind.
#[derive(Debug)]
pub struct FuturesIo<T> {
    /// The lock is never taken by two.
    transport: Mutex<T>,
    /// Who is to be woken. Before anybody waits it is nobody.
    waker: Waker,
    /// That one will be, for reading and for writing.
    is_waiting: [bool; 2],
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> FuturesIo<T> {
    /// Takes a transport. Closing it must let the peer see the end of its input.
    #[must_use]
    pub fn new(transport: T) -> Self {
        FuturesIo { transport: Mutex::new(transport), waker: Waker::noop().clone(), is_waiting: [false; 2] }
    }

    fn attempt<R>(
        &mut self,
        interest: Interest,
        attempt: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> io::Result<R> {
        let transport = self.transport.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut cx = Context::from_waker(&self.waker);
        // What it has taken and still holds goes on. An error shows in what is tried.
        let _ = Pin::new(&mut *transport).poll_flush(&mut cx);
        let result = attempt(Pin::new(transport), &mut cx);
        self.is_waiting[interest as usize] = result.is_pending();
        match result {
            Poll::Ready(result) => result,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Socket for FuturesIo<T> {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.attempt(Interest::Read, |transport, cx| transport.poll_read(cx, buffer))
    }

    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.attempt(Interest::Write, |mut transport, cx| {
            let written = transport.as_mut().poll_write_vectored(cx, buffers);
            // An error shows at the next attempt.
            let _ = transport.poll_flush(cx);
            written
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
        if !self.waker.will_wake(cx.waker()) {
            self.waker = cx.waker().clone();
            self.is_waiting = [false; 2];
        }
        // The transport knows whom to wake only after it has been tried with this waker.
        if self.is_waiting[interest as usize] { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn try_shutdown(&mut self) -> io::Result<()> {
        self.attempt(Interest::Write, |transport, cx| transport.poll_close(cx))
    }
}
