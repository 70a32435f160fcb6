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

use alloc::collections::VecDeque;
use alloc::vec::Vec;
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
/// What is noted for one stream, each of what is written and what was acknowledged, in bytes. What comes beyond that takes the place of the
/// oldest, which comes back: whoever has said it keeps it. There is room for what the router says again within [`STORED`] when a server starts.
const MOST: usize = 2 << 20;

/// Stanzas that are noted, each until its time, in the order of these.
#[derive(Debug, Default)]
pub(super) struct Noted {
    items: VecDeque<(Instant, Item)>,
    /// What they cost.
    bytes: usize,
}

impl Noted {
    /// Without content: what it says is in its head. Its sender is not told of it any more: it is sent.
    fn push(&mut self, until: Instant, mut item: Item) {
        item.is_told = false;
        item.stanza.payload = Payload::default();
        self.bytes += balcony_router::cost(&item.stanza);
        self.items.push_back((until, item));
    }

    fn pop_if(&mut self, condition: impl FnOnce(Instant) -> bool) -> Option<Item> {
        let (_, item) = self.items.pop_front_if(|(until, _)| condition(*until))?;
        self.bytes -= balcony_router::cost(&item.stanza);
        Some(item)
    }

    /// The oldest of those for which there is no room.
    fn pop_excess(&mut self) -> Option<Item> {
        let is_over = self.bytes > MOST;
        self.pop_if(|_| is_over)
    }

    fn pop_due(&mut self, now: Instant) -> Option<Item> {
        self.pop_if(|until| until <= now)
    }

    fn pop(&mut self) -> Option<Item> {
        self.pop_if(|_| true)
    }

    /// When the time of the first is over.
    pub(super) fn due(&self) -> Option<Instant> {
        self.items.front().map(|(until, _)| *until)
    }
}

impl Federation {
    /// A stream has taken these stanzas.
    pub(super) fn note_unheard(&mut self, now: Instant, id: StreamId, batch: Vec<Item>) {
        self.note(id, |sending| &mut sending.unheard, now + LIVED_ON, batch);
    }

    /// Another server has these stanzas, as it has said on this stream.
    pub(super) fn note_arrived(&mut self, now: Instant, on: StreamId, items: Vec<Item>) {
        self.note(on, |sending| &mut sending.arrived, now + STORED, items);
    }

    /// Notes what of these says something about subscriptions.
    fn note(
        &mut self,
        id: StreamId,
        noted: fn(&mut Sending) -> &mut Noted,
        until: Instant,
        items: Vec<Item>,
    ) {
        let Some(link) = self.link(id) else { return };
        let noted = noted(&mut link.sending);
        for item in items.into_iter().filter(|item| item.word().is_some()) {
            noted.push(until, item);
        }
        let excess: Vec<Item> = core::iter::from_fn(|| noted.pop_excess()).collect();
        for item in excess {
            self.give_back(item, ErrorCondition::ResourceConstraint);
        }
    }

    /// The other end of a stream lives: it has for good what it had acknowledged so long ago.
    pub(super) fn is_alive(&mut self, now: Instant, id: StreamId) {
        while let Some(link) = self.link(id)
            && let Some(item) = link.sending.arrived.pop_due(now)
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
        while let Some(item) = link.sending.unheard.pop_due(now) {
            heard.push(item);
        }
        heard.iter().for_each(|item| self.is_heard(item));
    }

    /// A stream is forgotten: what has not certainly arrived, to be sent once more.
    pub(super) fn take_unheard(&mut self, sending: &mut Sending, ended: &Ended) -> Vec<Item> {
        while let Some(item) = sending.arrived.pop() {
            match ended {
                Ended::Closed => self.is_heard(&item),
                Ended::Failed(_) => self.give_back(item, ErrorCondition::RemoteServerTimeout),
            }
        }
        let mut again = Vec::new();
        while let Some(mut item) = sending.unheard.pop() {
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
