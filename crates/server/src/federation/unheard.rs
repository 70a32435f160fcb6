//! What is said about subscriptions is noted until it has certainly arrived (RFC 6121 section 3): two rosters have to agree, and to say it
//! twice does no harm.
//!
//! Where stanzas are not counted it has arrived when the stream has been closed by both in good order, or is still there after the time in
//! which the kernel would have noticed that nobody acknowledges it. If the stream is lost before that it goes over the next one, once, and
//! comes back after that: whoever has said it keeps it, and says it again when the domain is reached.
//!
//! Where they [are](super::managed) the other server acknowledges what is in its memory, before it has written it down: when that is done
//! would tell strangers who has an account there. Should it die before that, its streams are lost. So it has the word for good if it still
//! answers after the time that its store may take. If the stream is lost before that the word comes back, as above.

use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, Payload};

use super::Federation;
use super::event::{FederationEvent, StreamId};
use super::link::Sending;
use super::queue::Item;
use crate::action::Ended;

/// After so long what was written has arrived, if the stream is still there. Sockets are broken when nothing is acknowledged for a
/// minute.
const LIVED_ON: Duration = Duration::from_secs(90);
/// After so long what was acknowledged is in the other server's store, or never will be.
const STORED: Duration = Duration::from_secs(30);
/// What is noted for one stream. What comes beyond that takes the place of the oldest: it comes back, or is taken to be there if it was
/// acknowledged.
const MOST: usize = 256;

impl Federation {
    /// A stream has taken these stanzas.
    pub(super) fn note_unheard(&mut self, now: Instant, id: StreamId, batch: Vec<Item>) {
        let Some(link) = self.link(id) else { return };
        for mut item in batch.into_iter().filter(|item| item.word().is_some()) {
            // The sender is not told of it any more: it is sent.
            item.is_told = false;
            item.stanza.payload = Payload::default();
            link.sending.unheard.push_back((now + LIVED_ON, item));
        }
        let too_many = link.sending.unheard.len().saturating_sub(MOST);
        let oldest: Vec<_> = link.sending.unheard.drain(..too_many).collect();
        for (_, item) in oldest {
            self.give_back(item, ErrorCondition::ResourceConstraint);
        }
    }

    /// Another server has these stanzas, as it has said on this stream.
    pub(super) fn note_arrived(&mut self, now: Instant, on: StreamId, items: Vec<Item>) {
        let Some(link) = self.link(on) else { return };
        let arrived = &mut link.sending.arrived;
        for mut item in items.into_iter().filter(|item| item.word().is_some()) {
            item.is_told = false;
            item.stanza.payload = Payload::default();
            arrived.push_back((now + STORED, item));
        }
        let too_many = arrived.len().saturating_sub(MOST);
        let oldest: Vec<_> = arrived.drain(..too_many).collect();
        oldest.iter().for_each(|(_, item)| self.is_heard(item));
    }

    /// The other end of a stream lives: it has for good what it had acknowledged so long ago.
    pub(super) fn is_alive(&mut self, now: Instant, id: StreamId) {
        while let Some(link) = self.link(id)
            && let Some((_, item)) = link.sending.arrived.pop_front_if(|(at, _)| *at <= now)
        {
            self.is_heard(&item);
        }
    }

    /// A stream is still there: what was written long ago has arrived.
    pub(super) fn lived_on(&mut self, now: Instant, id: StreamId) {
        let Some(link) = self.link(id) else { return };
        if link.stream().is_none_or(|stream| stream.has_ended() || stream.is_broken()) {
            return;
        }
        let mut heard = Vec::new();
        while let Some((_, item)) = link.sending.unheard.pop_front_if(|(at, _)| *at <= now) {
            heard.push(item);
        }
        heard.iter().for_each(|item| self.is_heard(item));
    }

    /// A stream is forgotten: what has not certainly arrived, to be sent once more.
    pub(super) fn take_unheard(&mut self, sending: &mut Sending, ended: &Ended) -> Vec<Item> {
        for (_, item) in mem::take(&mut sending.arrived) {
            match ended {
                Ended::Closed => self.is_heard(&item),
                Ended::Failed(_) => self.give_back(item, ErrorCondition::RemoteServerTimeout),
            }
        }
        let mut again = Vec::new();
        for (_, mut item) in mem::take(&mut sending.unheard) {
            match ended {
                Ended::Closed => self.is_heard(&item),
                Ended::Failed(_) if item.losses > 0 => {
                    self.give_back(item, ErrorCondition::RemoteServerTimeout);
                }
                Ended::Failed(_) => {
                    item.losses = 1;
                    again.push(item);
                }
            }
        }
        again
    }

    pub(super) fn is_heard(&mut self, item: &Item) {
        self.events.extend(item.word().map(|(from, to, kind)| FederationEvent::Heard { from, to, kind }));
    }
}
