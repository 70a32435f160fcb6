//! One stream of any role as its owner keeps it: the machine, the bytes before and behind it, and its end. Clients, other servers and
//! components have it alike; what is between a stream and the rest of the server is their owners'.
//!
//! ```text
//! received ─▶ input ─▶ connection ─▶ event, or the end      out ─▶ take_output ─▶ written
//! ```
//!
//! After each call that may have changed something its owner [settles](Link::settle) it, and does what that says.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use balcony_connection::{Connection, Error, Left};
use balcony_machine::{Instant, On, Progress};
use balcony_stanza::StreamError;
use balcony_stream::Side;

use crate::action::Ended;

/// So many bytes are taken before it is seen what that came to.
const PIECE: usize = 16_384;
/// A time that is later than now, and short.
pub(crate) const SOON: Duration = Duration::from_millis(1);

/// One stream, with what is kept beside it.
pub(crate) struct Link<S: Side> {
    /// The machine.
    pub(crate) connection: Connection<S>,
    /// Received, but not taken yet. At most what the owner of the socket handed in at once.
    input: Left,
    /// To be written.
    out: Vec<u8>,
    /// The owner of the socket is writing, or has been told to.
    is_writing: bool,
    /// The owner of the socket waits until it is told to read on.
    is_unread: bool,
    transport: Below,
    end: Option<Box<End>>,
}

/// What has become of the transport.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Open,
    /// The peer has closed its side. What it sent before that is still dealt with.
    Eof,
    /// Nothing can be written any more, either; the owner of the socket has forgotten it.
    Broken,
}

/// The stream is over: what is in the output is the last.
struct End {
    why: Ended,
    /// When it is closed even if its peer does not read.
    until: Instant,
}

/// What is to be done for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is over, and so is its transport: forget it.
    Forget,
    /// It is over, and has written all: close its transport, and forget it.
    Close,
    /// It goes on.
    Go {
        /// Have it written: there is output.
        write: bool,
        /// Read on.
        read: bool,
    },
}

impl<S: Side> Link<S> {
    pub(crate) const fn new(connection: Connection<S>) -> Self {
        Link {
            connection,
            input: Left::new(),
            out: Vec::new(),
            is_writing: false,
            is_unread: false,
            transport: Below::Open,
            end: None,
        }
    }

    /// Lets it take what it was left with before and then `fresh`, up to the next event, or until it waits. `Closed`, or an error: it is
    /// to [end](Link::end).
    pub(crate) fn step(&mut self, now: Instant, fresh: &mut &[u8]) -> Result<Progress<S::Event>, Error> {
        loop {
            if let Some(progress) = self.step_some(now, fresh)? {
                return Ok(progress);
            }
        }
    }

    /// The same, or `None`: so many bytes have been taken that it is time to see what it has [said](Link::said) itself, and there are more.
    pub(crate) fn step_some(
        &mut self,
        now: Instant,
        fresh: &mut &[u8],
    ) -> Result<Option<Progress<S::Event>>, Error> {
        loop {
            let is_left = !self.input.is_empty();
            if is_left {
                self.leave(fresh);
            }
            let all = if is_left { self.input.as_slice() } else { *fresh };
            let (mut input, rest) = all.split_at(all.len().min(PIECE));
            let has_more = !rest.is_empty();
            let result = self.connection.advance(now, &mut input, &mut self.out);
            let left = input.len() + rest.len();
            if is_left {
                self.input.keep_last(left);
            } else {
                *fresh = &fresh[fresh.len() - left..];
            }
            if matches!(result, Ok(Progress::Blocked(On::OutputFull))) && self.has_no_reader() {
                self.forget_output();
                continue;
            }
            if has_more && matches!(result, Ok(Progress::NeedInput)) {
                return Ok(None);
            }
            if matches!(result, Ok(Progress::NeedInput | Progress::Blocked(_))) {
                self.leave(fresh);
                let waits = matches!(result, Ok(Progress::Blocked(On::Answer | On::OutputFull)));
                if self.is_eof() && !waits {
                    return self.end_of_input(now).map(Some);
                }
            }
            return result.map(Some);
        }
    }

    /// How many bytes are to be written.
    pub(crate) const fn said(&self) -> usize {
        self.out.len() + self.connection.pending()
    }

    /// Lets time pass for it, and takes nothing in; like [`step`](Link::step).
    pub(crate) fn pass(&mut self, now: Instant) -> Result<Progress<S::Event>, Error> {
        loop {
            let result = self.connection.tick(now, &mut self.out);
            if !(matches!(result, Ok(Progress::Blocked(On::OutputFull))) && self.has_no_reader()) {
                return result;
            }
            self.forget_output();
        }
    }

    /// What is written to nobody takes no room.
    const fn has_no_reader(&self) -> bool {
        self.is_broken() && self.said() > 0
    }

    /// There is nobody to write to.
    fn forget_output(&mut self) {
        let _ = self.connection.flush(&mut self.out);
        self.out.clear();
    }

    /// Leaves what has come for later.
    pub(crate) fn leave(&mut self, fresh: &mut &[u8]) {
        if !fresh.is_empty() {
            self.input.buffer().extend_from_slice(mem::take(fresh));
        }
    }

    /// Whether something was left for later, as it has come or decrypted.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty() || self.connection.has_input()
    }

    /// No more will come, and all that has come is dealt with, or never will be.
    pub(crate) fn end_of_input(&mut self, now: Instant) -> Result<Progress<S::Event>, Error> {
        self.connection.eof(now, &mut self.out).map(|_| Progress::Closed)
    }

    /// Has it fail with this error, which its peer is told. It is to [end](Link::end) for this reason.
    pub(crate) fn abort(&mut self, now: Instant, error: StreamError) -> Ended {
        self.connection.abort(error.clone());
        // This encrypts its last words, closes TLS and returns the same error.
        Ended::Failed(match self.connection.tick(now, &mut self.out) {
            Err(error) => error,
            Ok(_) => Error::Stream(balcony_stream::Error::Local(error)),
        })
    }

    /// It is over; what is left is to write the rest, for so long, and close.
    pub(crate) fn end(&mut self, now: Instant, why: Ended, closing: Duration) {
        self.end = Some(Box::new(End { why, until: now + closing.max(SOON) }));
        self.input = Left::new();
    }

    /// What is to be done for it. `may_read`: its owner would take more from it now.
    pub(crate) fn settle(&mut self, may_read: bool) -> Next {
        if self.is_broken() {
            // There is nobody to write to, nor to read from.
            self.forget_output();
            self.out = Vec::new();
            (self.is_writing, self.is_unread) = (false, false);
            if self.has_ended() {
                return Next::Forget;
            }
        }
        let has_output = self.said() > 0;
        let write = has_output && self.begin_writing();
        if self.has_ended() {
            return if self.is_writing { Next::Go { write, read: false } } else { Next::Close };
        }
        let read = may_read && self.is_unread && self.input.is_empty();
        if read {
            self.reads_on();
        }
        Next::Go { write, read }
    }

    /// The owner of the socket is told to read on: all that had come is taken.
    pub(crate) fn reads_on(&mut self) {
        self.is_unread = false;
        // An idle stream keeps no buffer.
        self.input = Left::new();
    }

    /// Its output is to be taken. Whether its owner has to say so: not if it has.
    pub(crate) const fn begin_writing(&mut self) -> bool {
        !mem::replace(&mut self.is_writing, true)
    }

    /// Whether the owner of the socket is writing, or has been told to.
    pub(crate) const fn is_writing(&self) -> bool {
        self.is_writing
    }

    /// Swaps the bytes to be written into `buffer`, which must be empty, with what has gathered since that was said.
    pub(crate) fn take_output(&mut self, buffer: &mut Vec<u8>) {
        // A failure of TLS shows when it goes on.
        let _ = self.connection.flush(&mut self.out);
        mem::swap(buffer, &mut self.out);
    }

    /// What was [taken](Link::take_output) is written.
    pub(crate) const fn written(&mut self) {
        self.is_writing = false;
    }

    /// Bytes have come, which it is about to take.
    pub(crate) const fn received(&mut self) {
        self.is_unread = true;
    }

    /// Whether the owner of the socket waits until it is told to read on.
    pub(crate) const fn is_unread(&self) -> bool {
        self.is_unread
    }

    /// The owner of the socket is not told to read on before this is set again; whether it waited for that.
    pub(crate) const fn keep_unread(&mut self, is_unread: bool) -> bool {
        mem::replace(&mut self.is_unread, is_unread)
    }

    /// The peer has closed its side of the transport.
    pub(crate) fn eof(&mut self) {
        if self.transport == Below::Open {
            self.transport = Below::Eof;
        }
    }

    /// The transport is broken.
    pub(crate) const fn broken(&mut self) {
        self.transport = Below::Broken;
    }

    const fn is_eof(&self) -> bool {
        matches!(self.transport, Below::Eof | Below::Broken)
    }

    pub(crate) const fn is_broken(&self) -> bool {
        matches!(self.transport, Below::Broken)
    }

    pub(crate) const fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Why it is over, if it is.
    pub(crate) fn why(&self) -> Option<&Ended> {
        self.end.as_ref().map(|end| &end.why)
    }

    /// When it is closed even if its peer does not read; `None` if it is not over.
    pub(crate) fn closes_at(&self) -> Option<Instant> {
        self.end.as_ref().map(|end| end.until)
    }

    /// Whether it is over, and has had its time to write the rest.
    pub(crate) fn has_lingered(&self, now: Instant) -> bool {
        self.closes_at().is_some_and(|until| now >= until)
    }

    /// Whether stanzas can be given to it now.
    pub(crate) fn is_open(&self) -> bool {
        !self.has_ended() && self.connection.is_open()
    }
}
