//! What is said about subscriptions is noted until it has certainly arrived (RFC 6121 section 3): two rosters have to agree, and to say it
//! twice does no harm. This is for streams on which stanzas are not counted; [elsewhere](super::managed) the other server says what it has.
//!
//! It has arrived when the stream has been closed by both in good order, or is still there after the time in which the kernel would
//! have noticed that nobody acknowledges it. If the stream is lost before that it goes over the next one, once, and comes back after
//! that: whoever has said it keeps it, and says it again when the domain is reached.

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
/// What is noted for one stream. What comes beyond that takes the place of the oldest, which comes back.
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
