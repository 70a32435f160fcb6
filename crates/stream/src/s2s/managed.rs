//! Stream management between servers (XEP-0198): each end knows which of its stanzas the other has got, also after their stream.
//!
//! Sessions do not go on on another stream. The end that opens the next one asks about the stream before, by its identifier
//! (`<resume/>`), is told how many stanzas had arrived on that (`<failed h=''/>`, section 5), says the same of the other direction, and
//! has stanzas counted anew. So no identifier stands for two streams, whichever of the two servers comes first, and an answer is the same
//! however often it is given. A peer that does go on with the session (`<resumed/>`) is followed.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_machine::{ApiMisuse, Instant};
use balcony_stanza::{ErrorCondition, StreamCondition, StreamError};
use balcony_xep::sm::{Enable, Enabled, Failed, Request, Resumable, Resume, Resumed};

use super::{End, S2s, S2sAnswer, S2sAsk, S2sEvent};
use crate::common::Common;
use crate::counts::Counts;
use crate::error::Error;
use crate::feature::sm;
use crate::state::Phase;
use crate::stream::Stream;

/// How long an identifier is, in characters, of which each is one of 32 or more: nobody guesses one.
const ID: usize = 26;

impl Stream<S2s> {
    /// Has the other server asked, before stanzas are counted on this stream, what it has got on an earlier one: that with this
    /// [identifier](Stream::managed_id), on which both had [counted](Stream::counts) so much. The answer is [`S2sEvent::Earlier`]. It is not
    /// asked if it has no stream management, or refuses the pair of domains.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] unless this is the initiating end, and its stream is not authorised yet.
    pub fn ask_about(&mut self, id: String, counts: Counts) -> Result<(), ApiMisuse> {
        if matches!(self.common.phase(), Phase::Open | Phase::Closing | Phase::Closed) {
            return Err(ApiMisuse::StreamEnded);
        }
        self.side.initiator()?.managed.earlier = Some(Box::new((id, counts)));
        Ok(())
    }

    /// Whether it is still to be found out if stanzas that are sent now are counted. Better send them [then](S2sEvent::Managed).
    #[must_use]
    pub fn is_settling(&self) -> bool {
        match &self.side.0 {
            End::Initiating(end) => end.managed.is_settling(),
            End::Receiving(_) => false,
        }
    }

    /// Whether stanzas that are [sent](Stream::send) now count, and come back as [`S2sEvent::Acked`].
    #[must_use]
    pub fn counts_sent(&self) -> bool {
        self.common.counts_sent()
    }

    /// Asks the other server how many stanzas it has handled (XEP-0198 section 4); the answer comes as [`S2sEvent::Acked`]. A server that
    /// says nothing for as long as [`Limits::answer`](balcony_machine::Limits::answer) is given up.
    ///
    /// Whether it has been asked: not before stanzas are counted, and not after the stream was closed.
    pub fn request_ack(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        self.common.request_ack(now, out)
    }

    /// The owner takes nothing of the other server's for now: its silence means nothing, and where stanzas are counted it is told how many
    /// are handled, without being heard when it asks (XEP-0198 section 4). So neither end gives the other up. Call it more often than
    /// every [`Limits::answer`](balcony_machine::Limits::answer), as long as what is sent leaves. Does nothing unless the stream is open.
    pub fn unread(&mut self, now: Instant, out: &mut Vec<u8>) {
        if self.is_open() {
            self.heard(now);
            self.common.write_ack(out);
        }
    }

    /// What both ends have counted; `None` unless they have. Also after the end. What has come as an event counts as handled.
    #[must_use]
    pub fn counts(&self) -> Option<&Counts> {
        self.common.counts()
    }

    /// By what name this stream can be asked about on a later one, by either server; `None` if it can't.
    #[must_use]
    pub fn managed_id(&self) -> Option<&str> {
        match &self.side.0 {
            End::Initiating(end) => end.managed.id.as_deref(),
            End::Receiving(end) => end.managed_id.as_deref(),
        }
    }
}

/// What the initiating end has of stream management.
#[derive(Default)]
pub(super) struct Managed {
    state: State,
    /// The stream before, which the peer is to be asked about.
    earlier: Option<Box<(String, Counts)>>,
    id: Option<Box<str>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// The peer has none, or does not want it.
    #[default]
    Off,
    /// The peer has it.
    Offered,
    /// The peer is asked about the stream before, and has to answer until then.
    Asked(Instant),
    /// Stanzas are to be counted, and the peer has to answer until then.
    Enabling(Instant),
    /// They are counted, which is not told yet.
    Untold,
    On,
}

impl Managed {
    pub(super) fn set_offered(&mut self, is_offered: bool) {
        self.state = if is_offered { State::Offered } else { State::Off };
    }

    fn is_settling(&self) -> bool {
        !matches!(self.state, State::Off | State::On)
    }

    pub(super) fn expires(&self) -> Option<Instant> {
        match self.state {
            State::Asked(at) | State::Enabling(at) => Some(at),
            _ => None,
        }
    }

    /// What this end does of itself on the open stream.
    pub(super) fn due(&mut self, common: &mut Common, now: Instant, out: &mut Vec<u8>) -> Option<S2sEvent> {
        if common.phase() != Phase::Open {
            return None;
        }
        let expires = now + common.limits().answer;
        match self.state {
            State::Offered => {
                if let Some(earlier) = &self.earlier {
                    let (previd, h) = (Cow::Borrowed(earlier.0.as_str()), earlier.1.h());
                    sm::write(common.framing, &Resume { previd, h }.to_element(), out);
                    self.state = State::Asked(expires);
                } else {
                    sm::write(common.framing, &Enable { resume: true, max: None }.to_element(), out);
                    common.count_sent();
                    self.state = State::Enabling(expires);
                }
                None
            }
            // It has offered what it does not do.
            State::Asked(at) | State::Enabling(at) if now >= at => {
                common.stop_counting();
                self.state = State::Off;
                Some(S2sEvent::Managed)
            }
            State::Untold => {
                self.state = State::On;
                Some(S2sEvent::Managed)
            }
            _ => None,
        }
    }

    /// An element of stream management has come. One that answers nothing is dropped.
    pub(super) fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<S2sEvent>, Error> {
        let element = common.reader.element();
        if common.is_managed() && element.name() == "a" {
            return acked(common, now);
        }
        if common.phase() != Phase::Open {
            return Ok(None);
        }
        if Request::read(element).is_some() {
            common.write_ack(out);
            return Ok(None);
        }
        match self.state {
            State::Asked(_) => {
                if let Some(failed) = Failed::read(element) {
                    (self.earlier, self.state) = (None, State::Offered);
                    return Ok(Some(S2sEvent::Earlier { h: failed.h }));
                }
                let Some(Resumed { previd, h }) = Resumed::read(element) else { return Ok(None) };
                let Some(earlier) = self.earlier.take_if(|earlier| earlier.0 == *previd) else {
                    let text = "that is not the session which was asked about";
                    return Err(StreamError::new(StreamCondition::InvalidXml, text).into());
                };
                let (id, counts) = *earlier;
                if counts.acknowledged_by(h).is_none() {
                    return Err(counts.sent.refusal(h));
                }
                common.go_on_counting(counts.resumed(h));
                (self.id, self.state) = (Some(id.into()), State::Untold);
                Ok(Some(S2sEvent::Earlier { h: Some(h) }))
            }
            State::Enabling(_) => {
                if let Some(Enabled { resumable }) = Enabled::read(element) {
                    let id = resumable.map(|resumable| Box::from(&*resumable.id));
                    common.count_received();
                    (self.id, self.state) = (id, State::On);
                    return Ok(Some(S2sEvent::Managed));
                }
                if Failed::read(element).is_none() {
                    return Ok(None);
                }
                common.stop_counting();
                self.state = State::Off;
                Ok(Some(S2sEvent::Managed))
            }
            _ => Ok(None),
        }
    }
}

/// An element of stream management has come to the receiving end. `id` is what this stream is called from `<enable/>` on.
pub(super) fn received(
    id: &mut Option<Box<str>>,
    common: &mut Common,
    now: Instant,
    out: &mut Vec<u8>,
) -> Result<Option<S2sEvent>, Error> {
    let element = common.reader.element();
    if common.is_managed() && element.name() == "a" {
        return acked(common, now);
    }
    match common.phase() {
        Phase::Closing => return Ok(None),
        Phase::Open => {}
        // Nobody is authorised (section 3).
        _ => {
            sm::refuse(common.framing, ErrorCondition::UnexpectedRequest, out);
            return Ok(None);
        }
    }
    let is_managed = common.is_managed();
    if let Some(enable) = Enable::read(element) {
        if is_managed {
            let text = "stream management is enabled already";
            return Err(StreamError::new(StreamCondition::PolicyViolation, text).into());
        }
        let token = enable.resume.then(|| common.random.token(ID));
        let resumable = token.as_deref().map(|id| Resumable { id: id.into(), max: None, location: None });
        sm::write(common.framing, &Enabled { resumable }.to_element(), out);
        *id = token.map(Into::into);
        common.count_received();
        common.count_sent();
        return Ok(Some(S2sEvent::Managed));
    }
    if let Some(Resume { previd, h }) = Resume::read(element).filter(|_| !is_managed) {
        let ask = S2sAsk::Earlier { id: previd.into_owned(), h };
        return Ok(Some(S2sEvent::Ask(common.ask(now), ask)));
    }
    if is_managed && Request::read(element).is_some() {
        common.write_ack(out);
    } else {
        sm::refuse(common.framing, ErrorCondition::UnexpectedRequest, out);
    }
    Ok(None)
}

/// The owner knows what has come on an earlier stream, or does not.
pub(super) fn told(common: &Common, answer: &S2sAnswer, out: &mut Vec<u8>) {
    let h = if let S2sAnswer::Earlier(h) = answer { *h } else { None };
    sm::write(common.framing, &Failed { condition: ErrorCondition::ItemNotFound, h }.to_element(), out);
}

/// The `<a/>` that has just been read.
fn acked(common: &mut Common, now: Instant) -> Result<Option<S2sEvent>, Error> {
    Ok(Some(S2sEvent::Acked(common.acknowledged(now)?)))
}
