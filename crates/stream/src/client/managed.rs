//! Stream management at the client (XEP-0198): its stanzas are counted, and its session goes on on another stream.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use balcony_jid::FullJid;
use balcony_machine::{ApiMisuse, Instant};
use balcony_stanza::{StreamCondition, StreamError};
use balcony_xep::sm::{Enable, Enabled, Failed, Request, Resumable, Resume, Resumed};
use balcony_xml::ElementRef;

use super::{Client, ClientEvent};
use crate::common::Common;
use crate::counts::Counts;
use crate::error::Error;
use crate::feature::sm;
use crate::state::{Phase, Step};
use crate::stream::Stream;

/// What a client does with stream management, where its server offers that (XEP-0198).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Management {
    /// Nothing: what is under way when a connection breaks is lost, and nobody knows what that was.
    Off,
    /// It has stanzas counted, and knows what has arrived.
    Count,
    /// The same, and when the connection breaks the session goes on on the next one.
    Resume {
        /// For how many seconds it wants the server to wait for that; `None` leaves it to the server.
        max: Option<u32>,
    },
}

impl Management {
    pub(super) fn request(self) -> Option<Enable> {
        match self {
            Management::Off => None,
            Management::Count => Some(Enable { resume: false, max: None }),
            Management::Resume { max } => Some(Enable { resume: true, max }),
        }
    }
}

/// What a client keeps of a stream to go on with its session on another one: from [`ClientEvent::Enabled`] on, if the server lets it
/// (XEP-0198 section 5).
#[derive(Clone, PartialEq, Eq)]
pub struct Resumption {
    jid: FullJid,
    id: Box<str>,
    max: Option<u32>,
    location: Option<Box<str>>,
    counts: Counts,
    /// The server wants to know whether somebody uses the client (XEP-0352): a stream that resumes need not say so again.
    client_state: bool,
}

impl Resumption {
    /// The resource of the session.
    #[must_use]
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// How long the server waits for the client, if it says so.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        self.max.map(|max| Duration::from_secs(max.into()))
    }

    /// Where the server wants the client to come back: a host, and the port after a colon. Whoever answers there has to be checked
    /// like the server itself.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// What has been counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn request(&self) -> Resume<'_> {
        Resume { previd: Cow::Borrowed(&self.id), h: self.counts.h() }
    }
}

impl fmt::Debug for Resumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The identifier is between the client and its server.
        f.debug_struct("Resumption").field("jid", &self.jid).field("max", &self.max).finish_non_exhaustive()
    }
}

/// What a client has of stream management.
#[derive(Default)]
pub(super) struct Managed {
    /// The session of an earlier stream, until it goes on here or is known to be over.
    pub(super) earlier: Option<Resumption>,
    /// What the server calls the session that is going on here, if it lets it be resumed.
    resumable: Option<Resumable<'static>>,
    /// Whether the server was asked for the earlier session, or for counting, with the login.
    pub(super) asked_inline: Asked,
    /// What it has said to that, to be told one after the other.
    told: Told,
    /// Whether the server has it, on this stream.
    pub(super) is_offered: bool,
    /// Whether a resource can be bound if the session is gone.
    pub(super) may_bind: bool,
}

/// What was asked for with a login.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked {
    pub(super) resume: bool,
    pub(super) enable: bool,
    pub(super) inactive: bool,
}

/// What a login has brought.
#[derive(Default)]
struct Told {
    resumed: Option<u32>,
    failed: Option<Failed>,
    enabled: Option<Enabled<'static>>,
}

impl Stream<Client> {
    /// Goes on with the session of an earlier stream: to be said before the first byte. If the server lets it, the stream says
    /// [`Resumed`](ClientEvent::Resumed) instead of [`Bound`](ClientEvent::Bound).
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if the session is another account's. Nothing has happened then.
    pub fn resume(&mut self, resumption: Resumption) -> Result<(), ApiMisuse> {
        if resumption.jid.bare_str() != self.side.config.account.as_str() {
            return Err(ApiMisuse::OtherAccount);
        }
        self.side.activity.is_offered = resumption.client_state;
        self.side.managed.earlier = Some(resumption);
        Ok(())
    }

    /// What is needed to go on with the session on another stream; `None` if the server does not let it, or has not got so far. Also
    /// after the end; but a session is over when its stream was closed in good order. If the transport ended before the server's closing tag had come,
    /// nobody knows whether it has heard the last words: then there may still be a session.
    #[must_use]
    pub fn resumption(&self) -> Option<Resumption> {
        if self.is_closed_in_good_order() {
            return None;
        }
        let managed = &self.side.managed;
        let (Some(counts), Some(resumable), Some(jid)) =
            (self.common.counts(), &managed.resumable, &self.side.jid)
        else {
            return managed.earlier.clone();
        };
        Some(Resumption {
            jid: jid.clone(),
            id: Box::from(&*resumable.id),
            max: resumable.max,
            location: resumable.location.as_deref().map(Box::from),
            counts: counts.clone(),
            client_state: self.side.activity.is_offered,
        })
    }

    /// So many more of the stanzas that came as [events](ClientEvent::Stanza) are handled: they are the owner's now, whatever
    /// happens to the stream. They count in the order in which they came. Where the stream may have stream management, every stanza has
    /// to be said to be handled in the end.
    pub fn handled(&mut self, count: u32, out: &mut Vec<u8>) {
        self.common.handled(count, out);
    }

    /// Asks the server how many stanzas it has handled (XEP-0198 section 4); the answer comes as [`ClientEvent::Acked`]. An
    /// [`AckPolicy`](crate::AckPolicy) says when. A server that neither answers nor sends anything else for as long as
    /// [`Limits::answer`](balcony_machine::Limits::answer) is given up.
    ///
    /// Whether it has been asked: not before stream management is enabled, and not after the stream was closed.
    pub fn request_ack(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        self.common.request_ack(now, out)
    }

    /// Asks the server whether it is still there, as after a sleep: by stream management, or by a ping. If nothing comes for so long,
    /// the stream ends with `connection-timeout`. Does nothing unless the stream is open.
    pub fn probe(&mut self, now: Instant, patience: Duration, out: &mut Vec<u8>) {
        self.ask_within(now, patience, out);
    }

    /// The owner takes nothing of the server's for now, so that it is no wonder if what the server answers does not come. Says by itself
    /// how many stanzas are handled (XEP-0198 section 4), or, where nothing is counted, pings: the server sees that the client is there,
    /// though it gets no answer to what it asks. Call it every few seconds, as long as what is sent leaves. Does nothing unless the stream
    /// is open.
    pub fn unread(&mut self, now: Instant, out: &mut Vec<u8>) {
        self.stay(now, out);
    }

    /// Whether stanzas that are [sent](Stream::send) now count, and come back as [`ClientEvent::Acked`], unless the server refuses
    /// ([`ClientEvent::NotEnabled`]).
    #[must_use]
    pub fn counts_sent(&self) -> bool {
        self.common.counts_sent()
    }
}

impl Client {
    /// After the login, and before a resource: asks for the earlier session, if there is one. Whether it has.
    pub(super) fn ask_to_resume(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<bool, Error> {
        let Some(earlier) = self.managed.earlier.as_ref().filter(|_| self.managed.is_offered) else {
            return Ok(false);
        };
        sm::write(common.framing, &earlier.request().to_element(), out);
        common.step(Step::Resume)?;
        Ok(true)
    }

    /// A resource is bound, and with it comes a new session.
    pub(super) fn begin_session(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        self.managed.earlier = None;
        let asked = core::mem::take(&mut self.managed.asked_inline).enable;
        match (&self.managed.told.enabled, self.config.management.request()) {
            (Some(_), _) => common.count_sent(),
            (None, Some(enable)) if self.managed.is_offered && !asked => {
                sm::write(common.framing, &enable.to_element(), out);
                common.count_sent();
            }
            _ => {}
        }
    }

    /// What the server has said of stream management in the success of a login (XEP-0198 section 5, XEP-0386).
    pub(super) fn read_inline(&mut self, success: ElementRef<'_>, bound: Option<ElementRef<'_>>) {
        let Asked { resume, enable, inactive } = self.managed.asked_inline;
        self.activity.is_told = inactive && bound.is_some();
        let told = &mut self.managed.told;
        if resume {
            told.resumed = success.children().find_map(Resumed::read).map(|resumed| resumed.h);
            told.failed = success.children().find_map(Failed::read);
        }
        if let Some(bound) = bound.filter(|_| enable) {
            told.enabled = bound.children().find_map(Enabled::read).map(into_owned);
        }
    }

    /// What the login has brought, one event after the other.
    pub(super) fn tell_inline(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ClientEvent>, Error> {
        match common.phase() {
            Phase::Negotiate if self.authenticated => {}
            Phase::Open => {
                return Ok(self.managed.told.enabled.take().map(|enabled| self.enabled(common, enabled)));
            }
            _ => return Ok(None),
        }
        if let Some(failed) = self.managed.told.failed.take() {
            return Ok(self.not_resumed(failed));
        }
        match self.managed.told.resumed.take() {
            Some(h) => {
                common.step(Step::Resume)?;
                self.resumed(common, now, h, out).map(Some)
            }
            None => Ok(None),
        }
    }

    /// The answer to a request for the earlier session. `Ok(None)`: a resource is to be bound.
    pub(super) fn resume_answered(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ClientEvent>, Error> {
        let element = common.reader.element();
        if let Some(resumed) = Resumed::read(element) {
            return self.resumed(common, now, resumed.h, out).map(Some);
        }
        let Some(failed) = Failed::read(element) else { return Err(unexpected()) };
        common.step(Step::ResumeRefused)?;
        let event = self.not_resumed(failed);
        if !self.managed.may_bind {
            return Err(super::unsupported_feature());
        }
        self.request_bind(common, out)?;
        Ok(event)
    }

    fn resumed(
        &mut self,
        common: &mut Common,
        now: Instant,
        h: u32,
        out: &mut Vec<u8>,
    ) -> Result<ClientEvent, Error> {
        let Some(earlier) = self.managed.earlier.take() else { return Err(unexpected()) };
        let Some(acknowledged) = earlier.counts.acknowledged_by(h) else {
            return Err(earlier.counts.sent.refusal(h));
        };
        common.step(Step::Resumed)?;
        common.go_on_counting(earlier.counts.resumed(h));
        common.heard(now);
        self.managed.resumable = Some(Resumable {
            id: Cow::Owned(earlier.id.into()),
            max: earlier.max,
            location: earlier.location.map(|location| Cow::Owned(location.into())),
        });
        self.jid = Some(earlier.jid);
        self.tell_activity(common, out);
        Ok(ClientEvent::Resumed { acknowledged })
    }

    fn not_resumed(&mut self, failed: Failed) -> Option<ClientEvent> {
        let earlier = self.managed.earlier.take()?;
        // A server that has forgotten the session has no reason to be right about it.
        let acknowledged = failed.h.and_then(|h| earlier.counts.acknowledged_by(h)).unwrap_or_default();
        Some(ClientEvent::NotResumed { condition: failed.condition, acknowledged })
    }

    fn enabled(&mut self, common: &mut Common, enabled: Enabled<'static>) -> ClientEvent {
        common.count_received();
        self.managed.resumable = enabled.resumable;
        ClientEvent::Enabled { resumable: self.managed.resumable.is_some() }
    }

    /// An element of stream management on the open stream.
    pub(super) fn manage(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ClientEvent>, Error> {
        let element = common.reader.element();
        if common.is_being_managed() {
            if let Some(enabled) = Enabled::read(element).map(into_owned) {
                return Ok(Some(self.enabled(common, enabled)));
            }
            if let Some(failed) = Failed::read(element) {
                common.stop_counting();
                return Ok(Some(ClientEvent::NotEnabled(failed.condition)));
            }
        }
        if common.is_managed() && Request::read(element).is_some() {
            common.write_ack(out);
        } else if common.is_managed() && element.name() == "a" {
            let count = common.acknowledged(now)?;
            return Ok((count > 0).then_some(ClientEvent::Acked(count)));
        }
        // What else a server says here means nothing, and breaks nothing.
        Ok(None)
    }
}

fn into_owned(enabled: Enabled<'_>) -> Enabled<'static> {
    let own = |resumable: Resumable<'_>| Resumable {
        id: Cow::Owned(resumable.id.into_owned()),
        max: resumable.max,
        location: resumable.location.map(|location| Cow::Owned(location.into_owned())),
    };
    Enabled { resumable: enabled.resumable.map(own) }
}

fn unexpected() -> Error {
    StreamError::new(StreamCondition::UndefinedCondition, "a session goes on that was not asked for").into()
}
