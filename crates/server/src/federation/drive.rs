//! How a stream goes on: bytes in, events out, time, and its end.

use alloc::format;

use balcony_connection::Error;
use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress};
use balcony_stanza::{StreamCondition, StreamError};
use balcony_stream::s2s::{S2sAsk, S2sEvent};

use super::event::{FederationEvent, StreamId};
use super::link::{Link, Stage, Way};
use super::{Due, Federation, words};
use crate::action::Ended;
use crate::journal::{Level, one_line};
use crate::link::Next;

impl Federation {
    /// Lets a stream take what it was left with before and then `fresh`, and does what comes of it.
    pub(super) fn advance(&mut self, now: Instant, id: StreamId, mut fresh: &[u8]) {
        while let Some(stream) = self.link(id).and_then(Link::stream).filter(|stream| !stream.has_ended()) {
            match stream.step(now, &mut fresh) {
                Ok(Progress::Event(event)) => self.event(now, id, event),
                Ok(Progress::NeedInput | Progress::Blocked(_)) => break,
                Ok(Progress::Closed) => self.end(now, id, Ended::Closed),
                Err(error) => self.end(now, id, Ended::Failed(error)),
            }
        }
        self.settle(now, id);
    }

    fn event(&mut self, now: Instant, id: StreamId, event: S2sEvent) {
        match event {
            // A server brings its own certificate, or must not offer TLS, nor ask for it.
            S2sEvent::StartTls => {
                self.end(now, id, Ended::Failed(Error::Stream(balcony_stream::Error::NoTls)));
            }
            S2sEvent::Ask(ticket, S2sAsk::VerifyDialback(verification)) => {
                self.asked(now, id, ticket, verification);
            }
            S2sEvent::Ask(ticket, S2sAsk::Earlier { id: earlier, h }) => {
                self.asked_about(now, id, ticket, &earlier, h);
            }
            S2sEvent::Ask(ticket, S2sAsk::Vouch(domain)) => self.asked_to_vouch(now, id, ticket, domain),
            S2sEvent::Earlier { h } => self.told_about(now, id, h),
            S2sEvent::Managed => {
                self.has_begun(id);
                self.managed(now, id);
            }
            S2sEvent::Acked(count) => self.acked(now, id, count),
            S2sEvent::AuthenticationFailed { reason } => self.log(id, Level::Info, reason),
            S2sEvent::Authorized { from, to, proof } => {
                match self.link(id).is_some_and(|link| link.outgoing().is_some()) {
                    true => self.authorized(now, id, &from, &to, proof),
                    false => self.proven(now, id, from, &to, proof),
                }
            }
            S2sEvent::Refused { from, to, verdict } => self.refused(now, id, &from, &to, verdict),
            S2sEvent::KeyVerified(verification, verdict) => self.verified(now, id, &verification, verdict),
            S2sEvent::Reply(reply) => self.send_for(now, *reply, false, true),
            S2sEvent::Stanza(stanza) => {
                if let Some(link) = self.link(id) {
                    link.sending.used = now;
                }
                self.has_begun(id);
                self.is_not_managed(now, id);
                self.deliver(now, stanza);
            }
        }
    }

    fn has_begun(&mut self, id: StreamId) {
        if let Some(link) = self.link(id) {
            link.has_begun = true;
        }
    }

    /// Ends a stream at once with this error.
    pub(super) fn abort(&mut self, now: Instant, id: StreamId, error: StreamError) {
        let Some(link) = self.link(id).filter(|link| !link.has_ended()) else { return };
        let why = match link.stream() {
            Some(stream) => stream.abort(now, error),
            None => Ended::Failed(Error::Stream(balcony_stream::Error::Local(error))),
        };
        self.end(now, id, why);
        self.settle(now, id);
    }

    /// The stream is over; what is left is to write the rest and close.
    pub(super) fn end(&mut self, now: Instant, id: StreamId, ended: Ended) {
        let closing = self.config.stream.closing;
        let Some(link) = self.link(id).filter(|link| !link.has_ended()) else { return };
        let (was_connecting, reason) =
            (link.is_connecting(), words::reason(&ended) + &words::refused(link, &ended));
        let level = match (&link.way, &ended) {
            (Way::In(_), Ended::Failed(Error::Stream(balcony_stream::Error::Local(error))))
                if error.condition != StreamCondition::SystemShutdown =>
            {
                Level::Info
            }
            _ => Level::Debug,
        };
        match &mut link.stage {
            Stage::Connected(stream) => stream.end(now, ended, closing),
            stage => *stage = Stage::GivenUp(ended),
        }
        self.log(id, level, &format!("the stream has ended: {reason}"));
        if was_connecting {
            self.forget(now, id);
            self.events.push_back(FederationEvent::Close(id));
        }
    }

    /// Brings the owner and the deadlines up to date about one stream.
    fn settle(&mut self, now: Instant, id: StreamId) {
        let pause = self.pause(now, id);
        if let Some(stream) = self.link(id).and_then(Link::stream) {
            match stream.settle(pause.is_none()) {
                Next::Forget => return self.forget(now, id),
                Next::Close => {
                    self.forget(now, id);
                    return self.events.push_back(FederationEvent::Close(id));
                }
                Next::Go { write, read } => {
                    self.events.extend(write.then_some(FederationEvent::Write(id)));
                    self.events.extend(read.then_some(FederationEvent::Read(id)));
                }
            }
        }
        let next = now + self.staying();
        if let Some(link) = self.link(id) {
            let is_unread = pause.is_some() && link.stream().is_some_and(|stream| stream.is_unread());
            link.stays_at = is_unread.then(|| link.stays_at.unwrap_or(next));
        }
        self.list_if_resting(id);
        let idle = self.config.limits.idle;
        let due = self.link(id).and_then(|link| link.due(pause, idle));
        self.arm_link(id, due);
    }

    pub(super) fn arm_link(&mut self, id: StreamId, due: Option<Instant>) {
        if let Some(link) = self.links.get_mut(id) {
            self.deadlines.arm(&mut link.armed, due, || Due::Link(id));
        }
    }

    /// Brings the deadlines up to date about a domain, and forgets it if nothing is known of it.
    pub(super) fn arm_peer(&mut self, domain: &BareJid) {
        let Some(peer) = self.peers.get_mut(domain) else { return };
        let due = peer.due(&self.config.limits);
        let is_idle = peer.is_idle();
        if !peer.is_waited_for() {
            self.attempts.has_rested(domain);
        }
        self.deadlines.arm(&mut peer.armed, due, || Due::Peer(domain.clone()));
        if is_idle && due.is_none() {
            self.peers.remove(domain);
        }
    }

    /// Something is due on a stream.
    pub(super) fn link_due(&mut self, now: Instant, id: StreamId) {
        let idle = self.config.limits.idle;
        let Some(link) = self.link(id) else { return };
        match &link.stage {
            // The owner has not connected in time.
            Stage::Connecting(until) if now >= *until => return self.not_connected_in_time(now, id),
            Stage::Connected(stream) if stream.has_lingered(now) => {
                self.forget(now, id);
                return self.events.push_back(FederationEvent::Close(id));
            }
            _ => {}
        }
        if link.stays_at.take_if(|at| *at <= now).is_some()
            && let Some(stream) = link.stream().filter(|stream| !stream.is_writing())
        {
            stream.connection.unread(now);
        }
        self.lived_on(now, id);
        self.ask_what_has_come(now, id);
        if self.link(id).is_some_and(|link| link.sending.counts_from.is_some_and(|at| at <= now)) {
            self.managed(now, id);
        }
        let Some(link) = self.link(id) else { return };
        if link.sending.stalled.is_some_and(|until| now >= until) {
            let text = "what was sent to you has not been read for too long";
            return self.abort(now, id, StreamError::new(StreamCondition::ConnectionTimeout, text));
        }
        let is_of_use = match &link.way {
            Way::Out(out) => {
                !out.authorize
                    || link.is_writing()
                    || !link.sending.unacked.is_empty()
                    || now < link.sending.used + idle
            }
            Way::In(_) => true,
        };
        if let Some(stream) = link.stream().filter(|stream| stream.is_open() && !is_of_use) {
            stream.connection.close(now);
        }
        self.ready.push(id);
    }

    /// Forgets a stream: what it has not written, and who waited for it, need another.
    pub(super) fn forget(&mut self, now: Instant, id: StreamId) {
        self.arm_link(id, None);
        let Some(mut link) = self.links.remove(id) else { return };
        link.sending.name = self.note_earlier(now, id, &link);
        let Link { way, stage, sending, listed, .. } = link;
        let unanswered = sending.asks_about.clone();
        let (ended, was_connected) = match stage {
            Stage::Connected(stream) => (stream.why().cloned().unwrap_or(Ended::Closed), true),
            Stage::GivenUp(ended) => (ended, false),
            Stage::Connecting(_) => (Ended::Closed, false),
        };
        match way {
            Way::Out(out) => {
                self.opened.gone(id, listed);
                let theirs = out.to.clone();
                self.outgoing_over(now, id, out, sending, &ended, was_connected);
                if let Some(asked) = unanswered {
                    self.does_not_ask(&theirs, &asked);
                }
            }
            Way::In(incoming) => {
                self.table.gone(incoming.origin, incoming.domains.len());
                for domain in incoming.domains {
                    if let Some(peer) = self.peers.get_mut(&domain) {
                        peer.incoming.retain(|known| *known != id);
                    }
                    self.arm_peer(&domain);
                }
                self.incoming_over(now, id, sending, &ended);
            }
        }
    }

    /// Writes a line about a stream to the log.
    pub(super) fn log(&mut self, id: StreamId, level: Level, what: &str) {
        let Some(link) = self.link(id) else { return };
        let line = match &link.way {
            Way::Out(out) => format!("stream to {}: {what}", out.to),
            Way::In(incoming) => match incoming.domains.first() {
                Some(domain) => format!("stream from {domain} at {}: {what}", incoming.address),
                None => format!("stream of a server at {}: {what}", incoming.address),
            },
        };
        self.events.push_back(FederationEvent::Log(level, one_line(line)));
    }
}
