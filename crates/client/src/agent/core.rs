//! What an agent and its extensions share: the outbox, what is open, and what is to be told.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use balcony_machine::Instant;
use balcony_stanza::{IqType, Kind, PresenceType, Stanza};
use balcony_stream::client::ServerFeatures;

use super::{AgentEvent, Completion};
use crate::extension::{CallId, Note};
use crate::requests::Requests;
use crate::{Iq, RequestId, RequestKind};

/// Stanzas in the outbox, and events that wait.
const MOST: usize = 1_024;
/// Bytes of each of them.
const MOST_BYTES: usize = 1 << 20;
/// What a stanza counts beside its content.
const OVERHEAD: usize = 256;

/// Who has made a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The owner, who waits for this.
    Owner(CallId),
    /// The extension in this place.
    Extension(usize),
}

#[derive(Debug)]
pub(crate) struct Core {
    /// There is a session, be it without a connection for a while.
    pub(super) has_session: bool,
    pub(crate) server: ServerFeatures,
    pub(crate) features: Vec<Cow<'static, str>>,
    pub(super) requests: Requests,
    askers: BTreeMap<RequestId, Asker>,
    /// Requests of extensions that were made while there was no session.
    pub(super) unsent: Vec<(usize, RequestId)>,
    /// Requests and calls of the owner's that have not been completed.
    open: BTreeSet<CallId>,
    pub(super) completed: VecDeque<(CallId, Completion)>,
    /// Requests of others.
    pub(super) incoming: BTreeMap<u64, Stanza>,
    pub(super) outbox: Outbox,
    events: VecDeque<(AgentEvent, usize)>,
    event_bytes: usize,
    prefix: String,
    next: u64,
    timeout: Duration,
}

impl Core {
    pub(super) fn new(prefix: String, timeout: Duration) -> Core {
        Core {
            has_session: false,
            server: ServerFeatures::default(),
            features: Vec::new(),
            requests: Requests::new(prefix.clone()),
            askers: BTreeMap::new(),
            unsent: Vec::new(),
            open: BTreeSet::new(),
            completed: VecDeque::new(),
            incoming: BTreeMap::new(),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            event_bytes: 0,
            prefix,
            next: 0,
            timeout,
        }
    }

    /// A session has begun. Returns what has waited for it, so that others can go before.
    pub(super) fn begin(&mut self, server: ServerFeatures) -> Outbox {
        (self.has_session, self.server) = (true, server);
        let next = Outbox { start: self.outbox.numbers().end, ..Outbox::default() };
        core::mem::replace(&mut self.outbox, next)
    }

    /// The session is over.
    pub(super) fn end_session(&mut self) {
        self.incoming.clear();
        self.outbox.retain_lasting();
        for call in core::mem::take(&mut self.open) {
            self.completed.push_back((call, Completion::Lost));
        }
    }

    /// Every open request, which is no longer open.
    pub(super) fn take_requests(&mut self) -> Vec<(Asker, RequestId)> {
        while self.requests.lose().is_some() {}
        core::mem::take(&mut self.askers).into_iter().map(|(request, asker)| (asker, request)).collect()
    }

    /// Who has made a request that is closed now.
    pub(super) fn asker(&mut self, request: RequestId) -> Option<Asker> {
        self.askers.remove(&request)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// An id for a stanza that is no request of ours.
    pub(crate) fn id(&mut self) -> Arc<str> {
        let number = self.number();
        Arc::from(alloc::format!("{}m{number}", self.prefix))
    }

    pub(crate) fn push(&mut self, stanza: Stanza) {
        self.outbox.push(stanza);
    }

    /// Sends the answer to somebody's request, if there is one.
    pub(super) fn answer(&mut self, answer: Option<Stanza>) -> bool {
        let is_one = answer.is_some() && self.has_session;
        if is_one {
            self.outbox.extend(answer);
        }
        is_one
    }

    pub(crate) fn request(&mut self, now: Instant, asker: Asker, iq: Iq) -> RequestId {
        let timeout = iq.timeout.unwrap_or(self.timeout);
        if let (false, Asker::Extension(index)) = (self.has_session, asker) {
            let (request, _) = self.requests.open(now, iq.to, timeout);
            // Its outcome comes when there is a session again, and somebody can do something about it.
            self.requests.forget(request);
            self.unsent.push((index, request));
            return request;
        }
        let (request, id) = self.requests.open(now, iq.to.clone(), timeout);
        self.askers.insert(request, asker);
        let kind = match iq.kind {
            RequestKind::Get => IqType::Get,
            RequestKind::Set => IqType::Set,
        };
        let mut stanza = Stanza::iq(kind).id(&id).payload(iq.payload);
        stanza.head.to = iq.to;
        self.push(stanza);
        request
    }

    pub(super) fn open_call(&mut self) -> CallId {
        let call = CallId(self.number());
        self.open.insert(call);
        call
    }

    /// Once, and only for those that are open.
    pub(crate) fn complete(&mut self, call: CallId, completion: Completion) {
        if self.open.remove(&call) {
            self.completed.push_back((call, completion));
        }
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.event(AgentEvent::Note(note), 0);
    }

    pub(super) fn event(&mut self, event: AgentEvent, bytes: usize) {
        let bytes = bytes + OVERHEAD;
        self.event_bytes += bytes;
        self.events.push_back((event, bytes));
    }

    pub(super) fn next_event(&mut self) -> Option<AgentEvent> {
        let (event, bytes) = self.events.pop_front()?;
        self.event_bytes -= bytes;
        Some(event)
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= MOST || self.event_bytes >= MOST_BYTES
    }
}

/// What is to be sent, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    stanzas: VecDeque<Stanza>,
    bytes: usize,
    /// The number of the first one. Numbers only grow.
    start: u64,
}

fn cost(stanza: &Stanza) -> usize {
    stanza.payload.as_bytes().len() + OVERHEAD
}

impl Outbox {
    pub(super) fn has_room(&self) -> bool {
        self.stanzas.len() < MOST && self.bytes < MOST_BYTES
    }

    pub(super) fn numbers(&self) -> Range<u64> {
        self.start..self.start + self.stanzas.len() as u64
    }

    fn push(&mut self, stanza: Stanza) {
        self.bytes += cost(&stanza);
        self.stanzas.push_back(stanza);
    }

    pub(super) fn pop(&mut self) -> Option<Stanza> {
        let stanza = self.stanzas.pop_front()?;
        self.bytes -= cost(&stanza);
        self.start += 1;
        Some(stanza)
    }

    pub(super) fn put_back(&mut self, stanza: Stanza) {
        self.bytes += cost(&stanza);
        self.start = self.start.saturating_sub(1);
        self.stanzas.push_front(stanza);
    }

    /// What makes sense on another session, too: messages, and what is said about subscriptions.
    fn retain_lasting(&mut self) {
        let before = self.stanzas.len();
        self.stanzas.retain(|stanza| match stanza.head.kind {
            Kind::Message(_) => true,
            Kind::Presence(kind) => kind != PresenceType::Error && kind.is_subscription(),
            Kind::Iq(_) => false,
        });
        self.bytes = self.stanzas.iter().map(cost).sum();
        self.start += (before - self.stanzas.len()) as u64;
    }
}

impl Extend<Stanza> for Outbox {
    fn extend<I: IntoIterator<Item = Stanza>>(&mut self, stanzas: I) {
        stanzas.into_iter().for_each(|stanza| self.push(stanza));
    }
}

impl IntoIterator for Outbox {
    type Item = Stanza;
    type IntoIter = alloc::collections::vec_deque::IntoIter<Stanza>;

    fn into_iter(self) -> Self::IntoIter {
        self.stanzas.into_iter()
    }
}
