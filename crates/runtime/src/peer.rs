//! One socket of a server, with what is being written to it, until it is closed.

use core::task::{Context, Poll, Waker};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use balcony_machine::Instant;
use balcony_server::{ConnectionId, Entry};

use crate::driver::Message;
use crate::mailbox::Token;
use crate::{Interest, Socket};

/// A socket with what is being written to it. It has no task, no channel, and no buffer while it is idle.
pub(crate) struct Peer {
    socket: Box<dyn Socket>,
    pub(crate) token: Arc<Token<Message>>,
    waker: Waker,
    pub(crate) phase: Phase,
    place: Place,
    output: Vec<u8>,
    written: usize,
    /// Nothing is written after it.
    is_last: bool,
    /// So many bytes are read at a time.
    turn: usize,
    /// The last read has filled the buffer.
    pub(crate) has_more: bool,
    /// The peer has closed its side.
    pub(crate) is_eof: bool,
    pub(crate) is_broken: bool,
    is_shut: bool,
}

/// As what it is counted.
#[derive(Debug)]
pub(crate) enum Place {
    /// As one of those that have come.
    Entry(Entry),
    /// As one of those that were turned away.
    TurnedAway,
    /// It is one of ours, to another server.
    Outgoing,
}

/// How far it has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// Nobody knows of it yet.
    New,
    /// The machine knows it.
    Open {
        /// As this.
        id: ConnectionId,
        /// What the machine wants of what it sends.
        wants: Wants,
    },
    /// Everything is written, and nobody cares for what comes.
    Lingering {
        /// When it is closed, at the latest.
        until: Instant,
    },
}

/// What the machine wants of what a peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// Nothing for now.
    Nothing,
    /// To read on.
    Input,
    /// To read on, and to know if there is nothing to be read.
    InputNow,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    /// All is written.
    Done,
    /// There was no room for all.
    Part,
    /// Nothing can be written any more.
    Broken,
}

impl Peer {
    pub(crate) fn new(socket: Box<dyn Socket>, token: Arc<Token<Message>>) -> Self {
        Peer {
            socket,
            waker: Waker::from(Arc::clone(&token)),
            token,
            phase: Phase::New,
            place: Place::TurnedAway,
            output: Vec::new(),
            written: 0,
            is_last: false,
            turn: usize::MAX,
            has_more: true,
            is_eof: false,
            is_broken: false,
            is_shut: false,
        }
    }

    /// The machine has taken it in, and wants to read, so many bytes at a time.
    pub(crate) fn open(mut self, id: ConnectionId, turn: usize, place: Place) -> Self {
        self.phase = Phase::Open { id, wants: Wants::Input };
        (self.turn, self.place) = (turn, place);
        self
    }

    /// From now on the machine wants this of what it sends.
    pub(crate) const fn wants(&mut self, what: Wants) {
        if let Phase::Open { wants, .. } = &mut self.phase {
            *wants = what;
        }
    }

    pub(crate) fn linger(&mut self, until: Instant) {
        self.phase = Phase::Lingering { until };
    }

    pub(crate) fn lingers_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Lingering { until } => Some(until),
            Phase::New | Phase::Open { .. } => None,
        }
    }

    pub(crate) fn into_place(self) -> Place {
        self.place
    }

    pub(crate) fn is_writing(&self) -> bool {
        !self.output.is_empty()
    }

    /// Reads once, into the beginning of `buffer`.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_by(buffer, |socket, buffer| socket.try_read(buffer))
    }

    /// The same, also if the runtime does not know yet that there is something.
    pub(crate) fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_by(buffer, |socket, buffer| socket.try_read_now(buffer))
    }

    fn read_by(
        &mut self,
        buffer: &mut [u8],
        read: impl FnOnce(&mut dyn Socket, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let turn = self.turn.min(buffer.len());
        let buffer = &mut buffer[..turn];
        let result = read(&mut *self.socket, buffer);
        self.has_more = matches!(result, Ok(count) if count == buffer.len());
        result
    }

    /// Begins to write this, when nothing else is being written. If it is the last, it has to be [shut down](Peer::shutdown) or dropped as soon as
    /// that is done.
    pub(crate) fn begin(&mut self, bytes: Vec<u8>, is_last: bool) -> Tried {
        (self.output, self.written, self.is_last) = (bytes, 0, is_last);
        self.write()
    }

    /// Writes once.
    pub(crate) fn write(&mut self) -> Tried {
        let rest = self.output.get(self.written..).unwrap_or_default();
        let rest = &[IoSlice::new(rest)];
        let result = match self.is_last {
            true => self.socket.try_write_last(rest),
            false => self.socket.try_write(rest),
        };
        match result {
            Ok(0) => return Tried::Broken,
            Ok(count) => self.written += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Tried::Broken,
        }
        if self.written < self.output.len() {
            return Tried::Part;
        }
        self.output = Vec::new();
        Tried::Done
    }

    pub(crate) fn poll_ready(&mut self, interest: Interest) -> Poll<io::Result<()>> {
        self.socket.poll_ready(&mut Context::from_waker(&self.waker), interest)
    }

    /// Says that nothing more will be written, once.
    pub(crate) fn shutdown(&mut self) -> io::Result<()> {
        if !self.is_shut {
            self.socket.try_shutdown()?;
            self.is_shut = true;
        }
        Ok(())
    }
}
