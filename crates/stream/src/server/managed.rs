//! Stream management at the server (XEP-0198): the client has its stanzas counted, or goes on with a session of an earlier stream.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::FullJid;
use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, StreamCondition, StreamError};
use balcony_xep::sm::{Enable, Enabled, Failed, Request, Resume, Resumed};
use balcony_xml::Element;

use super::{Server, ServerAnswer, ServerAsk, ServerEvent};
use crate::common::Common;
use crate::counts::Counts;
use crate::error::Error;
use crate::feature::sm;
use crate::state::{Phase, Step};
use crate::stream::Stream;

impl Stream<Server> {
    /// So many more of the stanzas that came as [events](ServerEvent::Stanza) are handled: the server has taken responsibility for
    /// them (XEP-0198 section 4). They count in the order in which they came. Every stanza has to be said to be handled in the end, also
    /// those that came before the client enabled stream management; where that is not
    /// [offered](super::ServerStreamConfig::management) none needs to.
    ///
    /// `<r/>` is answered at once with what is handled by then, and once more when all is that had come.
    pub fn handled(&mut self, count: u32, out: &mut Vec<u8>) {
        self.common.handled(count, out);
    }

    /// Asks the client how many stanzas it has handled (XEP-0198 section 4); the answer comes as [`ServerEvent::Acked`]. When to ask is
    /// up to the owner; an [`AckPolicy`](crate::AckPolicy) says when. Ask when what was sent has left: a client that neither answers nor
    /// sends anything else for as long as [`Limits::answer`](balcony_machine::Limits::answer) is given up.
    ///
    /// Whether it has been asked: not before stream management is enabled, and not after the stream was closed.
    pub fn request_ack(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        self.common.request_ack(now, out)
    }

    /// The owner reads nothing of the client for now, so that it is no wonder if its answers do not come.
    pub fn unread(&mut self, now: Instant) {
        self.common.heard_while_asked(now);
    }

    /// What both ends have counted, to go on from on another stream; `None` unless stream management is enabled. Also after the end.
    #[must_use]
    pub fn counts(&self) -> Option<&Counts> {
        self.common.counts()
    }
}

/// A resource that is bound, or a session that goes on, and what the client is told of stream management then.
pub(super) struct Granted {
    pub(super) jid: FullJid,
    /// `<enabled/>`, or `<failed/>`.
    pub(super) enabled: Option<Element>,
}

impl Server {
    /// An element of stream management, in any phase.
    pub(super) fn manage(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let element = common.reader.element();
        match common.phase() {
            Phase::Open => {}
            Phase::Negotiate if self.account.is_some() && element.name() == "resume" => {
                return self.resume(common, now, out);
            }
            Phase::Closing if self.jid.is_some() => {
                let is_ack = element.name() == "a" && common.is_managed();
                return if is_ack { acked(common, now) } else { Ok(None) };
            }
            // Neither known nor bound: too early (section 3).
            _ => {
                sm::refuse(common.framing, ErrorCondition::UnexpectedRequest, out);
                return Ok(None);
            }
        }
        if let Some(enable) = Enable::read(element) {
            if common.is_managed() || common.is_being_managed() {
                return Err(StreamError::new(
                    StreamCondition::PolicyViolation,
                    "stream management is enabled already",
                )
                .into());
            }
            common.count_received();
            return Ok(Some(ServerEvent::Ask(common.ask(now), Box::new(ServerAsk::Enable(enable)))));
        }
        if !common.is_managed() {
            sm::refuse(common.framing, ErrorCondition::UnexpectedRequest, out);
        } else if Request::read(element).is_some() {
            common.write_ack(out);
        } else if element.name() == "a" {
            return acked(common, now);
        } else {
            // Section 5: a session is bound to this stream.
            sm::refuse(common.framing, ErrorCondition::UnexpectedRequest, out);
        }
        Ok(None)
    }

    pub(super) fn enable_answered(
        &mut self,
        common: &mut Common,
        answer: ServerAnswer,
        out: &mut Vec<u8>,
    ) -> Option<ServerEvent> {
        let ServerAnswer::Enabled(result) = answer else {
            common.stop_counting();
            sm::refuse(common.framing, ErrorCondition::InternalServerError, out);
            return None;
        };
        match result {
            Ok(enabled) => {
                sm::write(common.framing, &enabled.to_element(), out);
                common.count_sent();
                Some(ServerEvent::Enabled)
            }
            Err(condition) => {
                common.stop_counting();
                sm::refuse(common.framing, condition, out);
                None
            }
        }
    }

    /// The client asks for a session instead of a resource.
    fn resume(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let Some(resume) = own(common) else {
            sm::refuse(common.framing, ErrorCondition::BadRequest, out);
            return self.refused_bind(common).map(|()| None);
        };
        self.ask_to_resume(common, now, resume)
    }

    /// Asks for the session that a client wants to go on with.
    pub(super) fn ask_to_resume(
        &mut self,
        common: &mut Common,
        now: Instant,
        resume: Resume<'static>,
    ) -> Result<Option<ServerEvent>, Error> {
        let Some(account) = self.account.clone() else { return Ok(None) };
        let ask = ServerAsk::Resume { account, previd: String::from(&*resume.previd), h: resume.h };
        self.login.resume = Some(Box::new(resume));
        common.step(Step::Resume)?;
        Ok(Some(ServerEvent::Ask(common.ask(now), Box::new(ask))))
    }

    /// The session goes on, or the client may bind a resource on this stream.
    pub(super) fn resume_answered(
        &mut self,
        common: &mut Common,
        now: Instant,
        answer: ServerAnswer,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let Some(resume) = self.login.resume.take() else { return Ok(None) };
        let failed = match answer {
            // What the client says that it lacks is not there any more: it learns so, and does not lose its stream, on which it can bind a resource.
            ServerAnswer::Resumed { jid, counts } if self.owns(&jid) && counts.goes_back(resume.h) => {
                let h = counts.is_settled().then(|| counts.h());
                Failed { condition: ErrorCondition::ItemNotFound, h }
            }
            ServerAnswer::Resumed { jid, counts } if self.owns(&jid) => {
                return self.resumed(common, now, *resume, jid, &counts, out).map(Some);
            }
            // An identifier means nothing to any other account.
            ServerAnswer::Resumed { .. } => Failed { condition: ErrorCondition::ItemNotFound, h: None },
            ServerAnswer::NotResumed { condition, h } => Failed { condition, h },
            _ => Failed { condition: ErrorCondition::InternalServerError, h: None },
        };
        common.step(Step::ResumeRefused)?;
        match &mut self.login.inline {
            Some(inline) => inline.refused = Some(failed),
            None => sm::write(common.framing, &failed.to_element(), out),
        }
        self.refused_bind(common)?;
        Ok(None)
    }

    fn owns(&self, jid: &FullJid) -> bool {
        self.account.as_ref().is_some_and(|account| account.as_str() == jid.bare_str())
    }

    fn resumed(
        &mut self,
        common: &mut Common,
        now: Instant,
        resume: Resume<'static>,
        jid: FullJid,
        counts: &Counts,
        out: &mut Vec<u8>,
    ) -> Result<ServerEvent, Error> {
        let Some(acknowledged) = counts.acknowledged_by(resume.h) else {
            return Err(counts.sent.refusal(resume.h));
        };
        let element = Resumed { previd: resume.previd, h: counts.h() }.to_element();
        match self.login.inline.take() {
            Some(inline) => inline.write_resumed(common.framing, &jid, &element, &self.login.issued, out),
            None => sm::write(common.framing, &element, out),
        }
        common.step(Step::Resumed)?;
        common.go_on_counting(counts.resumed(resume.h));
        common.heard(now);
        self.is_bound(common, jid.clone());
        Ok(ServerEvent::Resumed { jid, acknowledged })
    }

    /// What the owner says to a bind that was to enable stream management as well, or not.
    pub(super) fn granted(common: &mut Common, wanted: bool, answer: ServerAnswer) -> Option<Granted> {
        let (jid, enabled) = match answer {
            ServerAnswer::Bound(Ok(jid)) => (jid, None),
            ServerAnswer::BoundEnabled(jid, enabled) => (jid, Some(enabled)),
            _ => return None,
        };
        let element = |enabled: Enabled<'_>| {
            common.count_received();
            common.count_sent();
            enabled.to_element()
        };
        let refusal = || Failed { condition: ErrorCondition::FeatureNotImplemented, h: None }.to_element();
        let enabled = wanted.then(|| enabled.map_or_else(refusal, element));
        Some(Granted { jid, enabled })
    }
}

/// The `<resume/>` that has just been read, without the reader.
fn own(common: &Common) -> Option<Resume<'static>> {
    let resume = Resume::read(common.reader.element())?;
    Some(Resume { previd: Cow::Owned(resume.previd.into_owned()), h: resume.h })
}

/// The `<a/>` that has just been read.
fn acked(common: &mut Common, now: Instant) -> Result<Option<ServerEvent>, Error> {
    let count = common.acknowledged(now)?;
    Ok((count > 0).then_some(ServerEvent::Acked(count)))
}
