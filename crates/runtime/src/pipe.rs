//! A pipe in memory, as a socket: for tests, and for a server and its clients in one program.

use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Interest, Socket};

/// One end of a pipe in memory. Dropping it ends both ways.
#[derive(Debug)]
pub struct Pipe {
    reads: Arc<Mutex<Half>>,
    writes: Arc<Mutex<Half>>,
}

/// One way.
#[derive(Debug, Default)]
struct Half {
    bytes: VecDeque<u8>,
    room: usize,
    is_closed: bool,
    wakers: [Option<Waker>; 2],
}

impl Half {
    fn wake(&mut self) {
        self.wakers.iter_mut().filter_map(Option::take).for_each(Waker::wake);
    }
}

fn lock(half: &Mutex<Half>) -> MutexGuard<'_, Half> {
    half.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipe {
    /// Two ends. What is written on one and not read on the other takes so many bytes and no more.
    #[must_use]
    pub fn pair(room: usize) -> (Pipe, Pipe) {
        let half = || Arc::new(Mutex::new(Half { room, ..Half::default() }));
        let (one, other) = (half(), half());
        let first = Pipe { reads: Arc::clone(&one), writes: Arc::clone(&other) };
        (first, Pipe { reads: other, writes: one })
    }
}

impl Socket for Pipe {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut half = lock(&self.reads);
        if half.bytes.is_empty() && !half.is_closed {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = io::Read::read(&mut half.bytes, buffer)?;
        half.wake();
        Ok(count)
    }

    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut half = lock(&self.writes);
        let room = half.room.saturating_sub(half.bytes.len());
        if half.is_closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let before = half.bytes.len();
        let bytes = buffers.iter().flat_map(|buffer| buffer.iter().copied()).take(room);
        half.bytes.extend(bytes);
        half.wake();
        Ok(half.bytes.len() - before)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
        let half = if interest == Interest::Read { &self.reads } else { &self.writes };
        let mut half = lock(half);
        let is_ready = match interest {
            Interest::Read => !half.bytes.is_empty(),
            Interest::Write => half.bytes.len() < half.room,
        };
        if is_ready || half.is_closed {
            return Poll::Ready(Ok(()));
        }
        half.wakers[interest as usize] = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_shutdown(&mut self) -> io::Result<()> {
        let mut half = lock(&self.writes);
        half.is_closed = true;
        half.wake();
        Ok(())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        for half in [&self.reads, &self.writes] {
            let mut half = lock(half);
            half.is_closed = true;
            half.wake();
        }
    }
}
