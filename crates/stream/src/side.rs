//! What differs between the roles of a stream.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{ApiMisuse, Instant, Ticket};
use balcony_stanza::Stanza;

use crate::common::Common;
use crate::error::Error;
use crate::state::{Phase, Role};

/// One role of a stream: [`Client`](crate::client::Client), [`Server`](crate::server::Server), [`S2s`](crate::s2s::S2s) or
/// [`Component`](crate::component::Component). A [`Stream`](crate::Stream) drives it, and does itself what all of them have in
/// common.
///
/// It can't be implemented outside of this crate, and its methods are the stream's.
pub trait Side: Sized + fmt::Debug + Sealed {
    /// The column of the [table](crate::state::TRANSITIONS).
    const ROLE: Role;

    /// What a stream of this role tells its owner.
    type Event: fmt::Debug;

    /// What it asks of its owner.
    type Ask: fmt::Debug;

    /// The answers.
    type Answer: fmt::Debug;

    /// Tells apart what the events of all roles have in common.
    fn sort(event: Self::Event) -> Sorted<Self>;

    /// Whether TLS is to begin below the stream after this event.
    fn starts_tls(event: &Self::Event) -> bool;

    /// The answer if none comes in time.
    #[doc(hidden)]
    fn unavailable() -> Self::Answer;

    /// Writes our header if it is time for it; a receiving entity waits for the peer's.
    #[doc(hidden)]
    fn open(&mut self, _common: &mut Common, _out: &mut Vec<u8>) {}

    /// Writes our header because an error or the end has to follow it (RFC 6120 section 4.9.1.2).
    #[doc(hidden)]
    fn force_header(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        self.open(common, out);
    }

    /// The peer's header has been read.
    #[doc(hidden)]
    fn header(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Self::Event>, Error>;

    /// A first-level element has been read; no stream error.
    #[doc(hidden)]
    fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Self::Event>, Error>;

    /// Whether the peer may send nothing now but elements that are due, not even white space between them (XEP-0388 section 2.4).
    #[doc(hidden)]
    fn is_strict(&self, _common: &Common) -> bool {
        false
    }

    /// The ask that input waited for is answered.
    #[doc(hidden)]
    fn answered(
        &mut self,
        _common: &mut Common,
        _now: Instant,
        _answer: Self::Answer,
        _out: &mut Vec<u8>,
    ) -> Result<Option<Self::Event>, Error> {
        Ok(None)
    }

    /// What this end does of itself, without waiting for the peer. It is called until it has no more events.
    #[doc(hidden)]
    fn due(
        &mut self,
        _common: &mut Common,
        _now: Instant,
        _out: &mut Vec<u8>,
    ) -> Result<Option<Self::Event>, Error> {
        Ok(None)
    }

    /// Accepts the answer to an ask that input does not wait for; whether there was one.
    #[doc(hidden)]
    fn put_answer(&mut self, _ticket: Ticket, _answer: Self::Answer) -> bool {
        false
    }

    /// When the first thing that this end waits for aside from the stream itself has taken too long:
    /// [`due`](Side::due) deals with it in this phase.
    #[doc(hidden)]
    fn expires(&self, _phase: Phase) -> Option<Instant> {
        None
    }

    /// Something has come from the peer: it is not silent.
    #[doc(hidden)]
    fn heard(&self, common: &mut Common, now: Instant) {
        common.heard(now);
    }

    /// What is done about a peer that has been silent.
    #[doc(hidden)]
    fn silence(&self) -> Silence {
        Silence::Ping
    }

    /// Whether this stanza may be sent on the open stream.
    #[doc(hidden)]
    fn may_send(&self, _stanza: &Stanza) -> Result<(), ApiMisuse> {
        Ok(())
    }

    /// The peer has closed the stream, and names another place (RFC 7395 section 3.6.1).
    #[doc(hidden)]
    fn sent_elsewhere(&mut self, _common: &Common) {}

    /// The bound JID.
    #[doc(hidden)]
    fn jid(&self) -> Option<&FullJid> {
        None
    }

    /// Why a login was refused, while it is tried once more.
    #[doc(hidden)]
    fn refusal(&self) -> Option<&Error> {
        None
    }
}

/// Keeps [`Side`] to this crate.
pub trait Sealed {}

/// An event, sorted by what all roles have in common. For those who drive streams of any role alike; see [`Side::sort`].
#[derive(Debug)]
pub enum Sorted<S: Side> {
    /// The next byte of input is the first of TLS.
    StartTls,
    /// Something slow is needed.
    Ask(Ticket, S::Ask),
    /// The peer sent a stanza.
    Stanza(Box<Stanza>),
    /// What only this role has.
    Other(S::Event),
}

/// What is done about a peer that has been silent for too long (RFC 6120 section 4.6).
#[derive(Debug)]
pub enum Silence {
    /// It is asked whether it still lives.
    Ping,
    /// The same, with addresses.
    PingFrom(BareJid, BareJid),
    /// The stream is closed; it is opened again when there is something to say.
    Close,
    /// A space is written (section 4.6.4): whoever is below the stream finds out if nobody is there to acknowledge it.
    Space,
    /// Nothing.
    Keep,
}
