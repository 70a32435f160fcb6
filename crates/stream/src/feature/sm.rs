//! Stream management (XEP-0198): both ends count stanzas, and tell each other how many they have handled.
//!
//! What is the same at both ends is here, as far as the open stream: counting, asking, answering. When each end begins to count, and
//! who may go on with which session, is up to the roles.

use alloc::boxed::Box;
use alloc::vec::Vec;

use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, Stanza, StreamCondition, StreamError, ns};
use balcony_xep::sm::{Ack, Failed, Feature, NS, Request};
use balcony_xml::{Element, ElementRef};

use crate::common::Common;
use crate::counts::Counts;
use crate::error::Error;
use crate::framing::Framing;
use crate::state::Phase;

/// What a stream keeps that counts.
#[derive(Debug, Default)]
pub(crate) struct Managed {
    counts: Counts,
    /// Whether what comes is counted: it is from the peer's `<enable/>` or `<enabled/>` on.
    receives: bool,
    /// Whether what is sent is counted: it is from our `<enable/>` or `<enabled/>` on.
    sends: bool,
    /// How often the peer has been asked and has not answered.
    asked: u32,
    /// When the next answer must be there, or another sign of life.
    expires: Option<Instant>,
    /// The peer has asked when so many stanzas had come, and was told of fewer.
    owed: Option<u32>,
}

/// Whether these features, or this list of what SASL2 can have inline, have it.
pub(crate) fn is_offered(features: ElementRef<'_>) -> bool {
    features.children().any(|child| Feature::read(child).is_some())
}

/// The offer.
pub(crate) fn write_feature(out: &mut Vec<u8>) {
    out.extend_from_slice(b"<sm xmlns='urn:xmpp:sm:3'/>");
}

/// Writes one of the elements.
pub(crate) fn write(framing: Framing, element: &Element, out: &mut Vec<u8>) {
    framing.element(out, |out| element.root().write(out, ns::CLIENT));
}

/// Refuses what came at the wrong time, or is not to be had.
pub(crate) fn refuse(framing: Framing, condition: ErrorCondition, out: &mut Vec<u8>) {
    write(framing, &Failed { condition, h: None }.to_element(), out);
}

impl Common {
    /// Whether both directions are counted.
    pub(crate) fn is_managed(&self) -> bool {
        self.managed.as_ref().is_some_and(|managed| managed.receives && managed.sends)
    }

    /// Whether what is sent counts.
    pub(crate) fn counts_sent(&self) -> bool {
        self.managed.as_ref().is_some_and(|managed| managed.sends)
    }

    /// Whether only one direction is counted: the answer to the `<enable/>` is still to come.
    pub(crate) fn is_being_managed(&self) -> bool {
        self.managed.is_some() && !self.is_managed()
    }

    /// What is sent counts from here on.
    pub(crate) fn count_sent(&mut self) {
        self.managed.get_or_insert_default().sends = true;
    }

    /// What comes counts from here on.
    pub(crate) fn count_received(&mut self) {
        let before = self.unhandled;
        let managed = self.managed.get_or_insert_default();
        managed.receives = true;
        managed.counts.before = before;
    }

    /// Nothing is counted after all.
    pub(crate) fn stop_counting(&mut self) {
        self.managed = None;
    }

    /// The counting of another stream goes on here.
    pub(crate) fn go_on_counting(&mut self, counts: Counts) {
        self.managed = Some(Box::new(Managed { counts, receives: true, sends: true, ..Managed::default() }));
    }

    /// What has been counted so far; `None` if nothing is.
    pub(crate) fn counts(&self) -> Option<&Counts> {
        self.managed.as_ref().filter(|_| self.is_managed()).map(|managed| &managed.counts)
    }

    /// The owner gets a stanza of the peer's.
    pub(crate) fn brought(&mut self) {
        self.unhandled = self.unhandled.saturating_add(1);
        if let Some(managed) = self.managed.as_mut().filter(|managed| managed.receives) {
            managed.counts.received.push_owner();
        }
    }

    /// A stanza of the peer's has been dealt with here.
    pub(crate) fn took(&mut self) {
        if let Some(managed) = self.managed.as_mut().filter(|managed| managed.receives) {
            managed.counts.received.push_stream();
            if managed.counts.received.open_of_owner() == 0 {
                managed.counts.received.settle_owner(0);
            }
        }
    }

    /// The owner has sent a stanza.
    pub(crate) fn sent(&mut self) {
        if let Some(managed) = self.managed.as_mut().filter(|managed| managed.sends) {
            managed.counts.sent.push_owner();
        }
    }

    /// Writes a stanza of the stream's own.
    pub(crate) fn write_stanza(&mut self, stanza: &Stanza, out: &mut Vec<u8>) {
        self.framing.stanza(stanza, out);
        if let Some(managed) = self.managed.as_mut().filter(|managed| managed.sends) {
            managed.counts.sent.push_stream();
        }
    }

    /// So many more of the stanzas that the owner has got are handled.
    pub(crate) fn handled(&mut self, count: u32, out: &mut Vec<u8>) {
        let count = count.min(self.unhandled);
        self.unhandled -= count;
        let Some(managed) = self.managed.as_mut().filter(|managed| managed.receives) else { return };
        managed.counts.handled(count);
        // Two numbers that are close to each other, whichever is ahead, also where they begin anew.
        let h = managed.counts.h();
        let is_paid = |owed: u32| h.wrapping_sub(owed) <= u32::MAX / 2;
        if managed.owed.is_some_and(is_paid) {
            self.write_ack(out);
        }
    }

    /// Says how many stanzas are handled, if that may still be said.
    pub(crate) fn write_ack(&mut self, out: &mut Vec<u8>) {
        let is_open = self.phase() == Phase::Open;
        let Some(managed) = self.managed.as_mut().filter(|managed| is_open && managed.receives) else {
            return;
        };
        let received = &managed.counts.received;
        managed.owed = (received.open() > 0).then(|| received.total());
        write(self.framing, &Ack { h: received.settled() }.to_element(), out);
    }

    /// Asks the peer how many it has handled. Whether that can be asked.
    pub(crate) fn request_ack(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        if self.phase() != Phase::Open || !self.is_managed() {
            return false;
        }
        write(self.framing, &Request.to_element(), out);
        let expires = now + self.limits().answer;
        if let Some(managed) = &mut self.managed {
            managed.asked = managed.asked.saturating_add(1);
            managed.expires.get_or_insert(expires);
        }
        true
    }

    /// Something has come, which shows that the peer lives even if it is no answer yet.
    pub(crate) fn heard_while_asked(&mut self, now: Instant) {
        if self.managed.is_some() {
            let expires = now + self.limits().answer;
            if let Some(managed) = &mut self.managed {
                managed.expires = managed.expires.map(|_| expires);
            }
        }
    }

    /// When the peer will have owed an answer for too long.
    pub(crate) fn ack_expires(&self) -> Option<Instant> {
        let managed = self.managed.as_ref().filter(|_| self.phase() == Phase::Open);
        managed.and_then(|managed| managed.expires)
    }

    /// The peer says how many it has handled: this many more of the owner's.
    pub(crate) fn acknowledged(&mut self, now: Instant) -> Result<u32, Error> {
        let Some(Ack { h }) = Ack::read(self.reader.element()) else {
            return Err(StreamError::new(
                StreamCondition::InvalidXml,
                "an acknowledgement says how many stanzas are handled",
            )
            .into());
        };
        let expires = now + self.limits().answer;
        let Some(managed) = self.managed.as_mut().filter(|managed| managed.sends) else { return Ok(0) };
        let sent = &mut managed.counts.sent;
        let Some(count) = sent.settle(h) else { return Err(sent.refusal(h)) };
        managed.asked = managed.asked.saturating_sub(1);
        managed.expires = (managed.asked > 0).then_some(expires);
        Ok(count)
    }
}

/// Whether an element is one of stream management.
pub(crate) fn is_element(element: ElementRef<'_>) -> bool {
    element.namespace() == NS
}
