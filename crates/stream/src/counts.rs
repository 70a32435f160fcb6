//! Counting stanzas, so that both ends know which of them have arrived (XEP-0198 section 4).
//!
//! On the wire every stanza counts. The owner of a stream knows only of those that it has sent itself, or has got as events: a
//! stream answers some by itself. So there are two ways to count, and a [`Line`] leads from one to the other.

use alloc::collections::VecDeque;
use alloc::format;

use balcony_machine::{RecordReader, RecordWriter};
use balcony_stanza::{StreamCondition, StreamError};

use crate::error::Error;

/// Stanzas of one direction, in their order, until they are settled: acknowledged by the peer, or handled here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// All that are settled, as the wire counts them: modulo 2^32.
    settled: u32,
    /// Those that are not, the oldest first. None of the runs is empty.
    runs: VecDeque<Run>,
}

/// Stanzas of the owner, and behind them some of the stream itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run {
    owner: u32,
    stream: u32,
}

impl Line {
    /// Nothing is under way, and so many were settled before.
    pub(crate) fn at(settled: u32) -> Line {
        Line { settled, runs: VecDeque::new() }
    }

    /// How many are settled, as the wire counts them.
    pub(crate) fn settled(&self) -> u32 {
        self.settled
    }

    /// How many there were in all, as the wire counts them.
    pub(crate) fn total(&self) -> u32 {
        self.settled.wrapping_add(self.open())
    }

    /// How many are not settled.
    pub(crate) fn open(&self) -> u32 {
        self.runs.iter().fold(0, |sum: u32, run| sum.saturating_add(run.owner).saturating_add(run.stream))
    }

    /// How many of the owner's are not settled.
    pub(crate) fn open_of_owner(&self) -> u32 {
        self.runs.iter().fold(0, |sum: u32, run| sum.saturating_add(run.owner))
    }

    /// One more of the owner's.
    pub(crate) fn push_owner(&mut self) {
        match self.runs.back_mut() {
            Some(run) if run.stream == 0 => run.owner = run.owner.saturating_add(1),
            _ => self.runs.push_back(Run { owner: 1, stream: 0 }),
        }
    }

    /// One more of the stream itself.
    pub(crate) fn push_stream(&mut self) {
        match self.runs.back_mut() {
            Some(run) => run.stream = run.stream.saturating_add(1),
            None => self.runs.push_back(Run { owner: 0, stream: 1 }),
        }
    }

    /// All up to this number are settled, as the wire counts. How many of the owner's these are; `None`, and nothing has changed,
    /// if there were not so many.
    pub(crate) fn settle(&mut self, number: u32) -> Option<u32> {
        // Only the difference means something: the numbers begin anew after 2^32.
        let mut count = number.wrapping_sub(self.settled);
        if count > self.open() {
            return None;
        }
        self.settled = number;
        let mut of_owner: u32 = 0;
        while let Some(run) = self.runs.front_mut() {
            let owner = run.owner.min(count);
            run.owner -= owner;
            count -= owner;
            of_owner = of_owner.saturating_add(owner);
            let stream = if run.owner == 0 { run.stream.min(count) } else { 0 };
            run.stream -= stream;
            count -= stream;
            if *run != Run::default() {
                break;
            }
            self.runs.pop_front();
        }
        Some(of_owner)
    }

    /// Whether this number is one of those before what is settled. As the numbers begin anew after 2^32, half of them are.
    fn is_before(&self, number: u32) -> bool {
        (1..=1 << 31).contains(&self.settled.wrapping_sub(number))
    }

    /// Why the peer may not say that all up to this number are settled, when that can't be.
    pub(crate) fn refusal(&self, number: u32) -> Error {
        if !self.is_before(number) {
            return Error::HandledTooHigh { h: number, sent: self.total() };
        }
        let text = format!("h={number} goes back: {} were acknowledged before", self.settled);
        // XEP-0198 has no condition for it, and `undefined-condition` stands for none alone (RFC 6120 section 4.9.3.21).
        StreamError::new(StreamCondition::PolicyViolation, text).into()
    }

    /// So many more of the owner's are settled, and so are those of the stream that come before the next one.
    pub(crate) fn settle_owner(&mut self, count: u32) {
        let mut count = count;
        while let Some(run) = self.runs.front_mut() {
            let owner = run.owner.min(count);
            run.owner -= owner;
            count -= owner;
            self.settled = self.settled.wrapping_add(owner);
            if run.owner > 0 {
                break;
            }
            self.settled = self.settled.wrapping_add(run.stream);
            self.runs.pop_front();
        }
    }
}

/// What the two ends of a session have counted, from the side of one of them. It outlives the stream, and the next stream goes on
/// from it (XEP-0198 section 5).
///
/// Some dozens of bytes, and eight more for each time that the stream has answered something by itself while stanzas around it
/// were not settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// What the peer has sent.
    pub(crate) received: Line,
    /// What it was sent.
    pub(crate) sent: Line,
    /// How many of the stanzas that came before the counting began are not handled.
    pub(crate) before: u32,
}

impl Counts {
    /// So many more of the stanzas that the streams of this session have brought are handled: for those that were still under way
    /// when the stream ended. No more than these count, so with `u32::MAX` it is all of them.
    pub fn handled(&mut self, count: u32) {
        let before = self.before.min(count);
        self.before -= before;
        self.received.settle_owner(count - before);
    }

    /// Whether all are handled that have come. Before that, what `<resumed/>` says would have the peer send again what is about
    /// to be handled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.received.open() == 0
    }

    /// The number of handled stanzas, as the peer is told.
    #[must_use]
    pub fn h(&self) -> u32 {
        self.received.settled()
    }

    /// How many of the stanzas that were given to [`send`](crate::Stream::send) are not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> u32 {
        self.sent.open_of_owner()
    }

    /// How many of these are acknowledged by an `h` of the peer; `None` if it is higher than what was sent, or lower than what was acknowledged
    /// before.
    #[must_use]
    pub fn acknowledged_by(&self, h: u32) -> Option<u32> {
        self.sent.clone().settle(h)
    }

    /// Whether an `h` of the peer is lower than what it has acknowledged before: that is not there any more, and can't be sent again.
    pub(crate) fn goes_back(&self, h: u32) -> bool {
        self.sent.is_before(h)
    }

    /// The counts of the stream on which the session goes on: what has not got through is sent again, by whoever has sent it, and is
    /// counted then.
    #[must_use]
    pub fn resumed(&self, h: u32) -> Counts {
        Counts { received: Line::at(self.received.settled()), sent: Line::at(h), before: 0 }
    }

    /// Writes what is needed to go on with a session later, if [all](Counts::is_settled) that has come is handled.
    pub fn write(&self, record: &mut RecordWriter) {
        let number = |record: &mut RecordWriter, number: u32| {
            record.number(number.into());
        };
        number(record, self.received.settled());
        number(record, self.sent.settled());
        record.list(self.sent.runs.iter(), |record, run| {
            number(record, run.owner);
            number(record, run.stream);
        });
    }

    /// Reads what was [written](Counts::write); `None` if it is damaged.
    #[must_use]
    pub fn read(record: &mut RecordReader<'_>) -> Option<Counts> {
        let number = |record: &mut RecordReader<'_>| u32::try_from(record.number()?).ok();
        let (received, settled) = (number(record)?, number(record)?);
        let runs = record.list(|record| Some(Run { owner: number(record)?, stream: number(record)? }))?;
        let sent = Line { settled, runs: runs.into() };
        Some(Counts { received: Line::at(received), sent, before: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line as it would be with a list of all its stanzas.
    #[derive(Default)]
    struct Model {
        settled: u32,
        /// Whether each is the owner's.
        open: Vec<bool>,
    }

    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Owner,
        Stream,
        Settle(u32),
        SettleOwner(u32),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            3 => Just(Act::Owner),
            2 => Just(Act::Stream),
            1 => (0_u32..6).prop_map(Act::Settle),
            1 => (0_u32..4).prop_map(Act::SettleOwner),
        ]
    }

    proptest! {
        // XEP-0198 §4 [SM7, SM10]: from any number on, over the end of the numbers too.
        #[test]
        fn a_line_counts_like_a_list(
            start in prop_oneof![Just(0), Just(u32::MAX - 3), any::<u32>()],
            acts in prop::collection::vec(act(), 0..60),
        ) {
            let mut line = Line::at(start);
            let mut model = Model { settled: start, open: Vec::new() };
            for act in acts {
                match act {
                    Act::Owner => { line.push_owner(); model.open.push(true); }
                    Act::Stream => { line.push_stream(); model.open.push(false); }
                    Act::Settle(count) => {
                        let number = model.settled.wrapping_add(count);
                        let settled = line.settle(number);
                        if count as usize > model.open.len() {
                            prop_assert_eq!(settled, None);
                        } else {
                            let of_owner = model.open.drain(..count as usize).filter(|is_owner| *is_owner).count();
                            prop_assert_eq!(settled, Some(of_owner as u32));
                            model.settled = number;
                        }
                    }
                    Act::SettleOwner(mut count) => {
                        line.settle_owner(count);
                        while let Some(is_owner) = model.open.first() {
                            if *is_owner && count == 0 {
                                break;
                            }
                            count -= u32::from(*is_owner);
                            model.open.remove(0);
                            model.settled = model.settled.wrapping_add(1);
                        }
                    }
                }
                let of_owner = model.open.iter().filter(|is_owner| **is_owner).count() as u32;
                prop_assert_eq!((line.settled(), line.open()), (model.settled, model.open.len() as u32));
                prop_assert_eq!(line.open_of_owner(), of_owner);
                prop_assert_eq!(line.total(), model.settled.wrapping_add(model.open.len() as u32));
                // What the owner sends is bounded; so is this.
                prop_assert!(line.runs.len() <= of_owner as usize + 1);
            }
            // XEP-0198 §5: it goes on where it was, also after its server was down.
            let counts = Counts { received: Line::at(start), sent: line, before: 0 };
            let mut record = RecordWriter::default();
            counts.write(&mut record);
            let record = record.into_bytes();
            prop_assert_eq!(Counts::read(&mut RecordReader::new(&record)), Some(counts));
            prop_assert_eq!(Counts::read(&mut RecordReader::new(&record[1..])), None);
        }
    }

    // XEP-0198 §4 [SM7]
    #[test]
    fn after_the_last_number_comes_the_first() {
        let mut line = Line::at(u32::MAX);
        line.push_owner();
        line.push_owner();
        assert_eq!((line.total(), line.settle(1)), (1, Some(2)));
        assert_eq!((line.settled(), line.settle(2)), (1, None));
    }

    #[test]
    fn what_came_before_the_counting_does_not_count() {
        let mut counts = Counts { before: 2, ..Counts::default() };
        counts.received.push_owner();
        counts.handled(2);
        assert_eq!((counts.h(), counts.is_settled()), (0, false));
        counts.handled(1);
        assert_eq!((counts.h(), counts.is_settled()), (1, true));
    }
}
