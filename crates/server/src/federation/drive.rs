//! How a stream goes on: bytes in, events out, time, and its end.

use alloc::format;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use balcony_connection::Error;
use balcony_jid::BareJid;
use balcony_machine::{Instant, On, Progress};
use balcony_stanza::{StreamCondition, StreamError};
use balcony_stream::s2s::S2sEvent;

use super::event::{FederationEvent, StreamId};
use super::link::{Ended, Link, Way};
use super::{Due, Federation, words};
use crate::journal::{Level, one_line};

/// A time that is later than now, and short.
const SOON: Duration = Duration::from_millis(1);

impl Federation {
    /// Lets a stream take what it was left with before and then `fresh`, and does what comes of it.
    pub(super) fn advance(&mut self, now: Instant, id: StreamId, mut fresh: &[u8]) {
        loop {
            let Some(link) = self.link(id) else { return };
            let Some(connection) = link.connection.as_mut().filter(|_| link.ended.is_none()) else { break };
            let result = if link.input.is_empty() {
                connection.advance(now, &mut fresh, &mut link.out)
            } else {
                link.input.extend_from_slice(mem::take(&mut fresh));
                let mut input = link.input.as_slice();
                let result = connection.advance(now, &mut input, &mut link.out);
                let taken = link.input.len() - input.len();
                link.input.drain(..taken);
                result
            };
            match result {
                Ok(Progress::Event(event)) => self.event(now, id, event),
                // What is written to nobody takes no room.
                Ok(Progress::Blocked(On::OutputFull)) if link.broken && !link.out.is_empty() => {
                    link.out.clear();
                }
                Ok(progress @ (Progress::NeedInput | Progress::Blocked(_))) => {
                    link.input.extend_from_slice(fresh);
                    let is_full = matches!(progress, Progress::Blocked(On::OutputFull));
                    if link.eof && !is_full {
                        self.end_of_input(now, id);
                    }
                    break;
                }
                Ok(Progress::Closed) => {
                    self.end(now, id, Ended::Closed);
                    break;
                }
                Err(error) => {
                    self.end(now, id, Ended::Failed(error));
                    break;
                }
            }
        }
        self.settle(now, id);
    }

    /// All that the peer has sent is dealt with, and no more will come.
    fn end_of_input(&mut self, now: Instant, id: StreamId) {
        let Some(link) = self.link(id) else { return };
        let Some(connection) = &mut link.connection else { return };
        let ended = match connection.eof(now, &mut link.out) {
            Ok(_) => Ended::Closed,
            Err(error) => Ended::Failed(error),
        };
        self.end(now, id, ended);
    }

    fn event(&mut self, now: Instant, id: StreamId, event: S2sEvent) {
        match event {
            // A server brings its own certificate, or must not offer TLS, nor ask for it.
            S2sEvent::StartTls => {
                self.end(now, id, Ended::Failed(Error::Stream(balcony_stream::Error::NoTls)));
            }
            S2sEvent::Ask(ticket, ask) => self.asked(now, id, ticket, ask),
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
                self.deliver(now, stanza);
            }
        }
    }

    /// Ends a stream at once with this error.
    pub(super) fn abort(&mut self, now: Instant, id: StreamId, error: StreamError) {
        let Some(link) = self.link(id).filter(|link| link.ended.is_none()) else { return };
        let Some(connection) = &mut link.connection else {
            return self.end(now, id, Ended::Failed(Error::Stream(balcony_stream::Error::Local(error))));
        };
        connection.abort(error.clone());
        // This encrypts its last words, closes TLS and returns the same error.
        let ended = match connection.tick(now, &mut link.out) {
            Err(error) => error,
            Ok(_) => Error::Stream(balcony_stream::Error::Local(error)),
        };
        self.end(now, id, Ended::Failed(ended));
        self.settle(now, id);
    }

    /// The stream is over; what is left is to write the rest and close.
    pub(super) fn end(&mut self, now: Instant, id: StreamId, ended: Ended) {
        let until = now + self.config.stream.closing.max(SOON);
        let Some(link) = self.link(id).filter(|link| link.ended.is_none()) else { return };
        (link.until, link.input) = (Some(until), Vec::new());
        let is_connected = link.connection.is_some();
        let level = match (&link.way, &ended) {
            (Way::In(_), Ended::Failed(Error::Stream(balcony_stream::Error::Local(error))))
                if error.condition != StreamCondition::SystemShutdown =>
            {
                Level::Info
            }
            _ => Level::Debug,
        };
        let reason = words::reason(&ended);
        link.ended = Some(ended);
        self.log(id, level, &format!("the stream has ended: {reason}"));
        if !is_connected {
            self.forget(now, id);
            self.events.push_back(FederationEvent::Close(id));
        }
    }

    /// Brings the owner and the set of deadlines up to date about one stream.
    fn settle(&mut self, now: Instant, id: StreamId) {
        let pause = self.pause(now, id);
        let idle = self.config.limits.idle;
        let Some(link) = self.link(id) else { return };
        let has_ended = link.ended.is_some();
        if link.broken {
            if let Some(connection) = &mut link.connection {
                // There is nobody to write to, nor to read from.
                let _ = connection.flush(&mut link.out);
            }
            link.out = Vec::new();
            (link.writing, link.unread) = (false, false);
            if has_ended {
                return self.forget(now, id);
            }
        }
        let pending = link.connection.as_ref().map_or(0, balcony_connection::S2sConnection::pending);
        let has_output = !link.out.is_empty() || pending > 0;
        if !link.writing && has_output {
            link.writing = true;
            self.events.push_back(FederationEvent::Write(id));
        }
        let Some(link) = self.link(id) else { return };
        if has_ended && !link.writing {
            self.forget(now, id);
            self.events.push_back(FederationEvent::Close(id));
            return;
        }
        if link.unread && !has_ended && link.input.is_empty() && pause.is_none() {
            link.unread = false;
            // An idle stream keeps no buffer.
            link.input = Vec::new();
            self.events.push_back(FederationEvent::Read(id));
        }
        let Some(link) = self.link(id) else { return };
        let due = link.due(pause.filter(|_| link.unread), idle);
        self.arm_link(id, due);
    }

    fn arm_link(&mut self, id: StreamId, due: Option<Instant>) {
        let Some(link) = self.link(id) else { return };
        let old = mem::replace(&mut link.deadline, due);
        if old != due {
            if let Some(old) = old {
                self.deadlines.remove(&(old, Due::Link(id)));
            }
            if let Some(due) = due {
                self.deadlines.insert((due, Due::Link(id)));
            }
        }
    }

    /// Brings the set of deadlines up to date about a domain, and forgets it if nothing is known of it.
    pub(super) fn arm_peer(&mut self, domain: &BareJid) {
        let Some(peer) = self.peers.get_mut(domain) else { return };
        let due = peer.due(&self.config.limits);
        let old = mem::replace(&mut peer.deadline, due);
        let is_idle = peer.is_idle();
        if old != due {
            if let Some(old) = old {
                self.deadlines.remove(&(old, Due::Peer(domain.clone())));
            }
            if let Some(due) = due {
                self.deadlines.insert((due, Due::Peer(domain.clone())));
            }
        }
        if is_idle && due.is_none() {
            self.peers.remove(domain);
        }
    }

    /// Something is due on a stream.
    pub(super) fn link_due(&mut self, now: Instant, id: StreamId) {
        let idle = self.config.limits.idle;
        let Some(link) = self.link(id) else { return };
        if link.until.is_some_and(|until| now >= until) {
            if link.ended.is_none() {
                // The owner has not connected in time.
                return self.not_connected_in_time(now, id);
            }
            self.forget(now, id);
            self.events.push_back(FederationEvent::Close(id));
            return;
        }
        if link.sending.stalled.is_some_and(|until| now >= until) {
            let text = "what was sent to you has not been read for too long";
            return self.abort(now, id, StreamError::new(StreamCondition::ConnectionTimeout, text));
        }
        if let (true, Way::Out(out)) = (link.is_open(), &link.way)
            && out.authorize
            && !link.writing
            && now >= link.sending.used + idle
            && let Some(connection) = &mut link.connection
        {
            connection.close(now);
        }
        self.ready.push(id);
    }

    /// Forgets a stream: what it has not written, and who waited for it, need another.
    fn forget(&mut self, now: Instant, id: StreamId) {
        self.arm_link(id, None);
        if self.link(id).is_none() {
            return;
        }
        let link = self.links.remove((id.0 & u64::from(u32::MAX)) as usize);
        let Link { way, ended, connection, sending, .. } = *link;
        let ended = ended.unwrap_or(Ended::Closed);
        match way {
            Way::Out(out) => self.outgoing_over(now, id, out, sending, &ended, connection.is_some()),
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
