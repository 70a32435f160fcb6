//! What an agent and its extensions share: the outbox, what is open, and what is to be told.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_machine::Instant;
use balcony_stanza::{IqType, Kind, PresenceType, Stanza};
use balcony_stream::client::ServerFeatures;

use super::event::{AgentEvent, Completion};
use super::outbox::Outbox;
use crate::extension::{CallId, Note};
use crate::queue::{ENTRY, Queue, cost, error_cost};
use crate::requests::Requests;
use crate::sorted::SortedMap;
use crate::{Iq, RequestError, RequestId, RequestKind};

/// Events, and outcomes of requests, that wait for the owner.
pub(super) const MOST: usize = 1_024;
/// Bytes of each of them.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// Requests of others that wait for their answer at a time. More are refused.
const INCOMING: usize = 64;
/// Entities that have been sent directed presence and are remembered.
const DIRECTED: usize = 1_024;
/// What extensions and answers put into the outbox may be so many times what the owner may: the connection is read until then, so that
/// the owner's stanzas do not keep acknowledgements from being read.
const RESERVE: usize = 2;

/// Who has made a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The owner, who waits for this.
    Owner(CallId),
    /// The extension in this place.
    Extension(usize),
}

pub(crate) struct State {
    /// There is a session, be it without a connection for a while.
    pub(super) has_session: bool,
    pub(crate) server: ServerFeatures,
    pub(crate) features: Vec<Cow<'static, str>>,
    pub(super) requests: Requests,
    askers: SortedMap<RequestId, Asker>,
    /// Requests and calls of the owner's that have not been completed.
    open: SortedMap<CallId, ()>,
    completed: Queue<(CallId, Completion)>,
    /// The heads of requests of others.
    incoming: Queue<(u64, Stanza)>,
    pub(super) outbox: Outbox,
    events: Queue<AgentEvent>,
    /// What the stanza costs that is being shown, and so at most what is made of it.
    pub(super) shown: usize,
    /// Whether its sender may see that the client is there; `None`: nobody here knows.
    pub(crate) sender_sees: Option<bool>,
    /// The groups of the roster in which its sender is, if it is a request.
    pub(crate) sender_groups: Vec<String>,
    /// Whom directed presence has been sent to in this session.
    directed: SortedMap<BareJid, ()>,
    prefix: String,
    next: u64,
    timeout: Duration,
}

impl State {
    pub(super) fn new(prefix: String, timeout: Duration) -> State {
        State {
            has_session: false,
            server: ServerFeatures::default(),
            features: Vec::new(),
            requests: Requests::new(prefix.clone()),
            askers: SortedMap::new(),
            open: SortedMap::new(),
            completed: Queue::new(MOST, MOST_BYTES),
            incoming: Queue::new(INCOMING, MOST_BYTES),
            outbox: Outbox::default(),
            events: Queue::new(MOST, MOST_BYTES),
            shown: 0,
            sender_sees: None,
            sender_groups: Vec::new(),
            directed: SortedMap::new(),
            prefix,
            next: 0,
            timeout,
        }
    }

    /// A session has begun. Returns what has waited for it, so that others can go before.
    pub(super) fn begin(&mut self, server: ServerFeatures) -> Outbox {
        (self.has_session, self.server) = (true, server);
        self.outbox.take()
    }

    /// The session is over.
    pub(super) fn end_session(&mut self) {
        self.incoming.take().for_each(drop);
        self.directed.clear();
        self.outbox.retain_lasting();
        for (call, ()) in self.open.take() {
            self.completed.push((call, Completion::Lost), ENTRY);
        }
    }

    /// Every open request, which is no longer open.
    pub(super) fn take_requests(&mut self) -> Vec<(Asker, RequestId)> {
        while self.requests.lose().is_some() {}
        self.askers.take().into_iter().map(|(request, asker)| (asker, request)).collect()
    }

    /// Who has made a request that is closed now.
    pub(super) fn asker(&mut self, request: RequestId) -> Option<Asker> {
        self.askers.remove(&request)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// An id that nobody else has, for a stanza that is no request of ours, for example.
    pub(crate) fn id(&mut self) -> Arc<str> {
        let number = self.number();
        Arc::from(alloc::format!("{}m{number}", self.prefix))
    }

    /// Gives it an id of its own unless it has one.
    pub(super) fn name(&mut self, stanza: &mut Stanza) -> Arc<str> {
        let id = stanza.head.id.take().unwrap_or_else(|| self.id());
        Arc::clone(stanza.head.id.insert(id))
    }

    /// Puts it into the outbox, whether there is room or not. A request without an id could never be answered.
    pub(super) fn push(&mut self, mut stanza: Stanza) {
        if matches!(stanza.head.kind, Kind::Iq(_)) {
            self.name(&mut stanza);
        }
        match (stanza.head.kind, &stanza.head.to) {
            (Kind::Presence(PresenceType::Available), Some(to)) if self.directed.len() < DIRECTED => {
                self.directed.insert(to.to_bare(), ());
            }
            (Kind::Presence(PresenceType::Unavailable), Some(to)) => {
                self.directed.remove(to.bare_str());
            }
            _ => {}
        }
        self.outbox.push(stanza);
    }

    /// Whether there is room for another stanza of an extension's, or an answer.
    pub(crate) fn has_reserve(&self) -> bool {
        !self.outbox.is_full_times(RESERVE)
    }

    /// Puts what an extension sends into the outbox. Whether there was room.
    pub(crate) fn send(&mut self, stanza: Stanza) -> bool {
        let has_room = self.has_reserve();
        if has_room {
            self.push(stanza);
        }
        has_room
    }

    /// Whether somebody is known to see that the client is there: as the own account and its server do, and those who were told.
    pub(super) fn is_seen_by(&self, from: Option<&Jid>, own: &FullJid) -> bool {
        from.is_none_or(|from| {
            from.bare_str() == own.bare_str()
                || from.as_str() == own.domainpart()
                || self.directed.contains(from.bare_str())
        })
    }

    /// A request of somebody else's waits for its answer. `None`: too many do.
    pub(super) fn wait_for_answer(&mut self, request: &Stanza) -> Option<u64> {
        let head = Stanza { head: request.head.clone(), payload: Default::default() };
        let cost = cost(&head);
        self.incoming.has_room(cost).then(|| {
            let id = self.number();
            self.incoming.push((id, head), cost);
            id
        })
    }

    /// The request of somebody else's of that number, once.
    pub(super) fn take_incoming(&mut self, number: u64) -> Option<Stanza> {
        self.incoming.remove_first(|(id, _)| *id == number).map(|(_, request)| request)
    }

    /// Sends the answer to somebody's request, if there is one. There are no more of them than requests that wait.
    pub(super) fn answer(&mut self, answer: Option<Stanza>) -> bool {
        let is_one = answer.is_some() && self.has_session;
        answer.filter(|_| is_one).into_iter().for_each(|answer| self.push(answer));
        is_one
    }

    pub(crate) fn request(&mut self, now: Instant, asker: Asker, iq: Iq) -> Result<RequestId, RequestError> {
        if !self.has_session {
            return Err(RequestError::Offline);
        }
        let times = if let Asker::Owner(_) = asker { 1 } else { RESERVE };
        if self.outbox.is_full_times(times) {
            return Err(RequestError::Full);
        }
        let opened = self.requests.open(now, iq.to.clone(), iq.timeout.unwrap_or(self.timeout));
        let (request, id) = opened.ok_or(RequestError::Full)?;
        self.askers.insert(request, asker);
        let kind = match iq.kind {
            RequestKind::Get => IqType::Get,
            RequestKind::Set => IqType::Set,
        };
        let mut stanza = Stanza::iq(kind).with_id(&id).with_payload(iq.payload);
        stanza.head.to = iq.to;
        self.push(stanza);
        Ok(request)
    }

    pub(super) fn open_call(&mut self) -> CallId {
        let call = CallId(self.number());
        self.open.insert(call, ());
        call
    }

    /// Nobody waits for it any more.
    pub(super) fn forget(&mut self, call: CallId) {
        self.open.remove(&call);
        self.take_completed(call);
    }

    /// Once, and only for those that are open.
    pub(crate) fn complete(&mut self, call: CallId, completion: Completion) {
        if self.open.remove(&call).is_some() {
            let cost = match &completion {
                Completion::Response(Ok(response)) => response.memory(),
                Completion::Response(Err(RequestError::Refused(error))) => error_cost(error),
                Completion::Call(_) => ENTRY + self.shown,
                Completion::Response(Err(_)) | Completion::Lost => ENTRY,
            };
            self.completed.push((call, completion), cost);
        }
    }

    pub(super) fn next_completed(&mut self) -> Option<(CallId, Completion)> {
        self.completed.pop()
    }

    pub(super) fn take_completed(&mut self, call: CallId) -> Option<Completion> {
        self.completed.remove_first(|(done, _)| *done == call).map(|(_, completion)| completion)
    }

    pub(super) fn completed(&self) -> impl Iterator<Item = CallId> {
        self.completed.iter().map(|(call, _)| *call)
    }

    /// Of an owner who takes nothing for so long that there is no room for what has come and as much again, the notes are dropped.
    pub(crate) fn note(&mut self, note: Note) {
        if !self.events.is_full_times(RESERVE) {
            self.events.push(AgentEvent::Note(note), ENTRY + self.shown);
        }
    }

    pub(super) fn event(&mut self, event: AgentEvent) {
        let cost = event.cost();
        self.events.push(event, cost);
    }

    /// The session or its connection has come or gone. Of an owner who takes nothing what is out of date is forgotten, so that connections
    /// that come and go while nobody looks cost nothing.
    pub(super) fn change(&mut self, event: AgentEvent) {
        if self.events.is_full() {
            let is_offline = |event: Option<&AgentEvent>| matches!(event, Some(AgentEvent::Offline { .. }));
            match event {
                AgentEvent::Offline { .. } => {
                    if matches!(self.events.last(), Some(AgentEvent::Resumed)) {
                        self.events.pop_back();
                    }
                    if is_offline(self.events.last()) {
                        self.events.pop_back();
                    }
                }
                AgentEvent::Online(_) if is_offline(self.events.last()) => {
                    let offline = self.events.pop_back();
                    if matches!(self.events.last(), Some(AgentEvent::Online(_))) {
                        self.events.pop_back();
                    } else {
                        offline.into_iter().for_each(|event| self.event(event));
                    }
                }
                _ => {}
            }
        }
        self.event(event);
    }

    pub(super) fn next_event(&mut self) -> Option<AgentEvent> {
        self.events.pop()
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.is_full() || self.completed.is_full() || !self.has_reserve()
    }
}
