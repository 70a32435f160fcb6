//! One connection of a client as it is kept: its [stream](Link), what is between that and the router, and when to look at it again.
//!
//! Here it is decided whether more may be taken from the peer now: not while too much of what it has sent waits in the router,
//! not while it leaves the answers to its requests unread, and not while it sends too fast (RFC 6120 section 13.12). What is then
//! done about it is in `connections`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::IpAddr;
use core::num::NonZeroU32;
use core::time::Duration;

use balcony_connection::ServerConnection;
use balcony_machine::{Instant, Limits, Reason};
use balcony_router::SessionId;
use balcony_stanza::StreamError;
use balcony_stream::AckPace;
use balcony_stream::server::Server as ServerStream;

use crate::deadlines::Armed;
use crate::link::Link;
use crate::pace::Pace;

/// One connection, with what is kept beside it.
pub(crate) struct Conn {
    pub(crate) link: Link<ServerStream>,
    /// The session that has bound a resource on it.
    pub(crate) attached: Option<Attached>,
    /// How many stanzas were delivered to it, and how many of them were there when the owner last took output.
    pub(crate) delivered: u64,
    pub(crate) taken: u64,
    /// It has asked for so much that it does not read: nothing more of it is taken.
    pub(crate) owes: bool,
    /// Something that was delivered did not get into its output, because the stream was over.
    pub(crate) missed: bool,
    /// It is among those whose turn comes.
    pub(crate) is_ready: bool,
    /// It has what it needs for reading.
    pub(crate) is_awake: bool,
    /// What the router has not handled yet of its stanzas.
    pub(crate) unhandled: Unhandled,
    /// Where it comes from, if that is known and counts.
    pub(crate) origin: Option<IpAddr>,
    /// Which question to the store the keys have answered by which its client has proven who it is, or is about to.
    pub(crate) proven: u64,
    /// How fast its peer sends.
    pub(crate) pace: Pace,
    /// When to ask what its peer has got, if that counts: most don't, and have a pointer for it.
    pub(crate) acks: Option<Box<AckPace>>,
    /// It takes what has come of its peer, and ends then.
    pub(crate) finish: Option<Box<Finish>>,
    /// Its entry among the deadlines.
    pub(crate) armed: Armed,
}

impl Conn {
    pub(crate) fn new(connection: ServerConnection) -> Self {
        Conn {
            link: Link::new(connection),
            attached: None,
            delivered: 0,
            taken: 0,
            owes: false,
            missed: false,
            is_ready: false,
            is_awake: false,
            unhandled: Unhandled::default(),
            origin: None,
            proven: 0,
            pace: Pace::NEW,
            acks: None,
            finish: None,
            armed: Armed::default(),
        }
    }

    /// Whether the router knows its session as one that is there.
    pub(crate) fn is_bound(&self) -> bool {
        self.attached.is_some_and(|attached| !attached.is_over)
    }

    /// When there is something to do for it even if nothing comes.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        if self.link.has_ended() {
            return self.link.closes_at();
        }
        // A peer is not read from while too much of it waits, so it is not silent.
        let is_kept_waiting = self.is_held();
        let deadline = self.link.connection.deadline();
        let deadline = deadline.filter(|deadline| !(is_kept_waiting && deadline.reason == Reason::Idle));
        let acks = self.acks.as_ref().filter(|_| self.is_quiet()).and_then(|acks| acks.deadline());
        let finish = self.finish.as_ref().map(|finish| finish.due());
        let deadline = deadline.map(|deadline| deadline.at).into_iter().chain(finish);
        deadline.chain(self.pause(now)).chain(acks).min()
    }

    /// Whether the peer may be asked now what it has got: everything has left, and the answer would be read.
    const fn is_quiet(&self) -> bool {
        !self.link.is_writing() && !self.link.has_ended() && !self.link.is_broken() && !self.is_held()
    }

    /// Asks the peer what it has got, if it is time and everything has left.
    pub(crate) fn ask_for_acks(&mut self, now: Instant) {
        let is_quiet = self.is_quiet();
        if let Some(acks) = self.acks.as_mut().filter(|acks| is_quiet && acks.is_due(now)) {
            // A stream that is over is not asked any more.
            let _ = self.link.connection.request_ack(now);
            acks.asked();
        }
    }

    /// Until when the peer is not read from because it sends too fast (RFC 6120 section 13.12).
    pub(crate) fn pause(&self, now: Instant) -> Option<Instant> {
        if self.link.is_unread() && !self.link.has_ended() { self.pace.wait(now) } else { None }
    }

    /// If it finishes, it does so no later than then: its peer does not read what it is sent, say.
    pub(crate) fn hurry(&mut self, until: Instant) {
        if let Some(finish) = &mut self.finish {
            finish.until = finish.until.min(until);
        }
    }

    /// Whether it finishes, and all is read that it waits for.
    pub(crate) fn has_finished(&self) -> bool {
        self.finish.as_ref().is_some_and(|finish| finish.rest == Rest::Nothing)
    }

    /// Whether its owner is to be told now to read on and to say if there is nothing, as it finishes and has taken all that was read.
    pub(crate) fn reads_rest(&mut self, now: Instant) -> bool {
        let may_read = self.pause(now).is_none();
        let reads = may_read && self.finish.as_mut().is_some_and(|finish| finish.ask());
        if reads {
            self.link.reads_on();
        }
        reads
    }

    /// Whether no more of its stanzas may be taken now.
    pub(crate) const fn is_held(&self) -> bool {
        self.unhandled.is_full || self.owes && !self.link.is_broken()
    }
}

/// How a stream ends that is over as soon as what has come of its peer is taken.
#[derive(Debug)]
pub(crate) struct Finish {
    /// Why, as its peer is told.
    pub(crate) error: StreamError,
    /// When it ends all the same.
    pub(crate) until: Instant,
    /// What has come of its peer and is not read.
    pub(crate) rest: Rest,
}

/// What the owner of a socket has not read of what has come there, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// There is nothing more, or it is not wanted.
    Nothing,
    /// There may be more. Whether there was some since that counts.
    Unread { had_some: bool },
    /// The owner has been told to read on, and to say if there is nothing.
    Asked { had_some: bool },
    /// There was some, and then there was nothing. The peer's system may hold more that it had no room to send: it is looked once more then.
    Pause { until: Instant },
}

/// How long more may take that the peer's system holds, when what kept it back has been read.
const PAUSE: Duration = Duration::from_millis(20);

impl Finish {
    /// When to look at it again.
    fn due(&self) -> Instant {
        match self.rest {
            Rest::Pause { until } => until.min(self.until),
            _ => self.until,
        }
    }

    /// More has come.
    pub(crate) const fn received(&mut self) {
        if !matches!(self.rest, Rest::Nothing) {
            self.rest = Rest::Unread { had_some: true };
        }
    }

    /// The owner has been asked, and there is nothing now.
    pub(crate) fn nothing_yet(&mut self, now: Instant) {
        self.rest = match self.rest {
            Rest::Asked { had_some: true } => Rest::Pause { until: now + PAUSE },
            Rest::Asked { had_some: false } => Rest::Nothing,
            rest => rest,
        };
    }

    /// Time has passed.
    pub(crate) fn pass(&mut self, now: Instant) {
        if matches!(self.rest, Rest::Pause { until } if until <= now) {
            self.rest = Rest::Unread { had_some: false };
        }
    }

    /// All that was read is taken. Whether the owner is to be asked for more now.
    pub(crate) const fn ask(&mut self) -> bool {
        let Rest::Unread { had_some } = self.rest else { return false };
        self.rest = Rest::Asked { had_some };
        true
    }

    /// Whether its peer has sent more most likely than was read.
    pub(crate) const fn has_more(&self) -> bool {
        matches!(self.rest, Rest::Unread { had_some: true } | Rest::Asked { had_some: true })
    }
}

/// The session of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attached {
    pub(crate) session: SessionId,
    /// The router knows that its stream is over.
    pub(crate) is_over: bool,
    /// It waits for its client when its connection is lost.
    pub(crate) is_resumable: bool,
}

/// How much of what a peer has sent waits in the router: as long as it is too much no more is taken from the peer.
#[derive(Debug, Default)]
pub(crate) struct Unhandled {
    /// All stanzas before this one are handled.
    first: u64,
    /// What it and those behind it have cost; those that are handled cost nothing more.
    costs: VecDeque<Option<NonZeroU32>>,
    stanzas: usize,
    bytes: usize,
    pub(crate) is_full: bool,
}

impl Unhandled {
    /// All stanzas before this one are handled.
    pub(crate) fn beginning_at(first: u64) -> Self {
        Unhandled { first, ..Unhandled::default() }
    }

    /// How many stanzas are handled, without any before them that is not.
    pub(crate) const fn through(&self) -> u64 {
        self.first
    }

    /// One more stanza waits, which costs so much. Its number.
    pub(crate) fn add(&mut self, bytes: usize, limits: &Limits) -> u64 {
        let number = self.first + self.costs.len() as u64;
        // No stanza has as many bytes as do not fit, nor none.
        let cost = u32::try_from(bytes)
            .map_or(NonZeroU32::MAX, |bytes| NonZeroU32::MIN.saturating_add(bytes.saturating_sub(1)));
        self.costs.push_back(Some(cost));
        self.stanzas += 1;
        self.bytes += cost.get() as usize;
        self.is_full = self.stanzas >= limits.window || self.bytes >= limits.window_bytes;
        number
    }

    /// One of them is handled. Whether more may be taken now, and might not before.
    pub(crate) fn handled(&mut self, number: u64, limits: &Limits) -> bool {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let cost = place.and_then(|place| self.costs.get_mut(place)).and_then(Option::take);
        let Some(cost) = cost else { return false };
        while self.costs.pop_front_if(|cost| cost.is_none()).is_some() {
            self.first += 1;
        }
        self.stanzas -= 1;
        self.bytes -= cost.get() as usize;
        let is_full = self.stanzas >= limits.window || self.bytes >= limits.window_bytes;
        core::mem::replace(&mut self.is_full, is_full) && !is_full
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    // Each lies in a box, and allocators have none between 768 and 896 bytes.
    #[test]
    fn a_connection_fits_its_place() {
        assert!(size_of::<Conn>() <= 768, "{}", size_of::<Conn>());
    }
}
