//! How the sessions of an agent begin, go on and end, and when its owner is to connect.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use balcony_jid::FullJid;
use balcony_machine::Instant;
use balcony_stream::client::ServerFeatures;

use super::{Agent, AgentEvent, Disconnected, Phase};
use crate::RequestError;
use crate::extension::Extensions;

/// A connection that ends so soon after the owner has [woken](Agent::wake) the client was gone before.
const WOKEN: Duration = Duration::from_secs(10);

impl<X: Extensions> Agent<X> {
    /// A session has begun: the resource is bound.
    pub fn online(&mut self, now: Instant, jid: FullJid, server: ServerFeatures) {
        if let Phase::Ended(_) = self.phase {
            return;
        }
        self.end_session(now);
        self.phase = Phase::Online(now);
        self.session = Some(Box::new(jid.clone()));
        let kept = self.state.begin(server);
        self.each(now, |extension, context| {
            extension.online(context);
            false
        });
        if let Some(presence) = &self.presence {
            self.state.push(presence.clone());
        }
        self.state.outbox.append(kept);
        self.state.change(AgentEvent::Online(jid));
    }

    /// The session of before goes on, on another connection. `false`: here it was over, so that it is a new one, and
    /// [`online`](Agent::online) is what has happened.
    pub fn resumed(&mut self, now: Instant) -> bool {
        let goes_on = self.session.is_some() && matches!(self.phase, Phase::Connecting | Phase::Waiting(_));
        if goes_on {
            self.phase = Phase::Online(now);
            self.state.change(AgentEvent::Resumed);
        }
        goes_on
    }

    /// There is no connection, or no longer; or it could not be made. `resumable`: the session may [go on](Agent::resumed) on the next
    /// one. Says when to connect again; `None`: never.
    pub fn offline(&mut self, now: Instant, why: Disconnected, resumable: bool) -> Option<Instant> {
        let was_online = match self.phase {
            Phase::Online(since) => Some(now.saturating_since(since)),
            Phase::Connecting | Phase::Waiting(_) => None,
            Phase::Ended(_) => return None,
        };
        self.config.backoff.lasted(was_online.unwrap_or_default());
        self.has_been_online |= was_online.is_some();
        let goes_on = self.config.reconnects && (self.has_been_online || self.config.is_patient);
        let is_end = why.is_permanent() || !goes_on;
        let is_over = is_end || !resumable || why.ends_session();
        let has_slept = self.woken.take().is_some_and(|at| now.saturating_since(at) <= WOKEN);
        let wait = if has_slept {
            Duration::ZERO
        } else if !is_over {
            match why.is_shutdown() {
                true => self.config.backoff.shut_down(&mut self.random),
                false => self.config.backoff.broken(&mut self.random),
            }
        } else {
            self.config.backoff.failed(&mut self.random)
        };
        let why = Arc::new(why);
        let next = (!is_end).then_some(wait);
        self.phase = match next {
            Some(wait) => Phase::Waiting(now + wait),
            None => Phase::Ended(Arc::clone(&why)),
        };
        if is_over {
            self.end_session(now);
        }
        self.state.change(AgentEvent::Offline { why, next });
        next.map(|wait| now + wait)
    }

    /// The device has slept, or its network has changed: if the client waits to connect again, it does so now. If it is online, the owner
    /// [asks](crate::ClientMachine::wake) the server whether the connection still lives; one that ends soon after this is followed by another at once.
    pub fn wake(&mut self, now: Instant) {
        match self.phase {
            Phase::Waiting(_) => self.phase = Phase::Connecting,
            Phase::Online(_) => self.woken = Some(now),
            Phase::Connecting | Phase::Ended(_) => {}
        }
    }

    /// If there is a session, it will not go on.
    fn end_session(&mut self, now: Instant) {
        if self.session.is_none() {
            return;
        }
        self.state.has_session = false;
        for (asker, request) in self.state.take_requests() {
            self.finish(now, asker, request, Err(RequestError::Offline));
        }
        let mut index = 0;
        while let Some(extension) = self.extensions.at(index) {
            extension.offline();
            index += 1;
        }
        self.state.end_session();
        self.session = None;
    }

    /// Whether the owner is to connect now, and then to say [`online`](Agent::online) or [`offline`](Agent::offline).
    pub fn connects(&mut self, now: Instant) -> bool {
        if matches!(self.phase, Phase::Waiting(until) if until <= now) {
            self.phase = Phase::Connecting;
        }
        matches!(self.phase, Phase::Connecting)
    }
}
