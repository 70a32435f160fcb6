//! What differs between the roles of a stream.

use alloc::vec::Vec;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{ApiMisuse, Instant, Ticket};
use balcony_stanza::Stanza;

use crate::common::Common;
use crate::error::Error;
use crate::event::{Answer, Event};
use crate::federation::Verification;
use crate::initiating::ServerFeatures;
use crate::state::Phase;

/// One end of a stream in one role. [`Stream`](crate::Stream) drives it, and does itself what all of them have in common.
pub(crate) trait Side: Send + Sync {
    /// Writes our header if it is time for it; a receiving entity waits for the peer's.
    fn open(&mut self, _common: &mut Common, _out: &mut Vec<u8>) {}

    /// Writes our header because an error or the end has to follow it (RFC 6120 section 4.9.1.2).
    fn force_header(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        self.open(common, out);
    }

    /// The peer's header has been read.
    fn header(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error>;

    /// A first-level element has been read; no stream error.
    fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error>;

    /// The ask that input waited for is answered.
    fn answered(
        &mut self,
        _common: &mut Common,
        _now: Instant,
        _answer: Answer,
        _out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        Ok(None)
    }

    /// What this end does of itself, without waiting for the peer. It is called until it has no more events.
    fn due(
        &mut self,
        _common: &mut Common,
        _now: Instant,
        _out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        Ok(None)
    }

    /// Accepts the answer to an ask that input does not wait for; whether there was one.
    fn put_answer(&mut self, _ticket: Ticket, _answer: Answer) -> bool {
        false
    }

    /// When the first thing that this end waits for aside from the stream itself has taken too long:
    /// [`due`](Side::due) deals with it in this phase.
    fn expires(&self, _phase: Phase) -> Option<Instant> {
        None
    }

    /// Something has come from the peer: it is not silent.
    fn heard(&self, common: &mut Common, now: Instant) {
        common.heard(now);
    }

    /// What is done about a peer that has been silent.
    fn silence(&self) -> Silence {
        Silence::Ping
    }

    /// Whether this stanza may be sent on the open stream.
    fn may_send(&self, _stanza: &Stanza) -> Result<(), ApiMisuse> {
        Ok(())
    }

    /// Wants one more pair of domains authorised.
    fn authorize(&mut self, _from: BareJid, _to: BareJid) -> Result<(), ApiMisuse> {
        Err(ApiMisuse("only the initiating end of a stream between servers asks to be authorised"))
    }

    /// Wants a key verified.
    fn verify(&mut self, _now: Instant, _verification: Verification) -> Result<(), ApiMisuse> {
        Err(ApiMisuse("only the initiating end of a stream between servers asks about keys"))
    }

    /// The bound JID.
    fn jid(&self) -> Option<&FullJid> {
        None
    }

    /// Why a login was refused, while it is tried once more.
    fn refusal(&self) -> Option<&Error> {
        None
    }

    /// What the server has announced.
    fn server_features(&self) -> ServerFeatures {
        ServerFeatures::default()
    }
}

/// What is done about a peer that has been silent for too long (RFC 6120 section 4.6).
pub(crate) enum Silence {
    /// It is asked whether it still lives.
    Ping,
    /// The same, with addresses.
    PingFrom(BareJid, BareJid),
    /// The stream is closed; it is opened again when there is something to say.
    Close,
    /// Nothing.
    Keep,
}
