//! Whether what was sent has arrived: at whom it was for, once, in order, and as it was sent.
//!
//! A lane is all that one sender says to one receiver. Each text begins with the run that it is of, the number of the lane and its own number,
//! so a text alone tells where it belongs and what it has to be.

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use serde::Serialize;

/// Numbers that are missing and may still come are remembered up to so many; later ones are found missing at the end, and wrong if they
/// come after all.
const MOST_MISSING: usize = 100_000;

/// What can be wrong with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wrong {
    /// It was for somebody else.
    Recipient,
    /// It says to be from somebody who has not sent it.
    Sender,
    /// It has come before.
    Duplicate,
    /// One that was sent later has come before.
    Order,
    /// It does not say what was sent.
    Body,
    /// It was sent, and has not come.
    Missing,
    /// It has come back as an error.
    Returned,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wrong::Recipient => "at the wrong recipient",
            Wrong::Sender => "from the wrong sender",
            Wrong::Duplicate => "more than once",
            Wrong::Order => "out of order",
            Wrong::Body => "not as sent",
            Wrong::Missing => "not arrived",
            Wrong::Returned => "come back as errors",
        })
    }
}

/// What becomes of a text that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one, or a later one if some are missing: its number.
    Good(u64),
    /// Nothing of this run: what waited from an earlier one, or what somebody else says.
    Stranger,
    /// It is wrong.
    Bad(Wrong),
}

/// What all texts of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    run: Rc<str>,
    size: usize,
}

impl Texts {
    /// Of a run with this name, which no other has, each of so many bytes, or longer if their numbers don't fit.
    pub(crate) fn new(run: &str, size: u32) -> Texts {
        Texts { run: run.into(), size: size as usize }
    }

    /// The text with this number.
    pub(crate) fn text(&self, lane: u32, number: u64) -> String {
        /// What has to be escaped, and what takes several bytes.
        const TRICKY: &str = "<&>'\"é€";
        let mut text = format!("{} {lane} {number} ", self.run);
        if text.len() + TRICKY.len() <= self.size {
            text.push_str(TRICKY);
        }
        // Another letter for each: what belongs to another text is seen.
        let filler = b'a' + (number % 26) as u8;
        text.extend(core::iter::repeat_n(char::from(filler), self.size.saturating_sub(text.len())));
        text
    }

    /// The lane and the number of a text, if it is of this run.
    fn read(&self, text: &str) -> Option<(u32, u64)> {
        let mut words = text.strip_prefix(&*self.run)?.strip_prefix(' ')?.splitn(3, ' ');
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    }

    fn is_of_this_run(&self, text: &str) -> bool {
        text.starts_with(&*self.run)
    }
}

/// What one receiver has got of one sender.
#[derive(Debug)]
pub(crate) struct Lane {
    texts: Texts,
    number: u32,
    /// One more than the highest number that has come.
    reached: u64,
    /// Lower numbers that have not come.
    missing: BTreeSet<u64>,
    /// More of these than are remembered.
    forgotten: u64,
}

impl Lane {
    pub(crate) fn new(texts: Texts, number: u32) -> Lane {
        Lane { texts, number, reached: 0, missing: BTreeSet::new(), forgotten: 0 }
    }

    /// One more than the highest number that has come.
    pub(crate) fn reached(&self) -> u64 {
        self.reached
    }

    /// Looks at a text that has come, after so many were sent.
    pub(crate) fn take(&mut self, text: &str, sent: u64) -> Verdict {
        if !self.texts.is_of_this_run(text) {
            return Verdict::Stranger;
        }
        let Some((lane, number)) = self.texts.read(text) else { return Verdict::Bad(Wrong::Body) };
        if lane != self.number {
            return Verdict::Bad(Wrong::Recipient);
        }
        if number >= sent || self.texts.text(lane, number) != text {
            return Verdict::Bad(Wrong::Body);
        }
        if number < self.reached {
            return Verdict::Bad(if self.missing.remove(&number) { Wrong::Order } else { Wrong::Duplicate });
        }
        let room = MOST_MISSING.saturating_sub(self.missing.len()) as u64;
        let gap = number - self.reached;
        self.missing.extend(self.reached..self.reached + gap.min(room));
        self.forgotten += gap.saturating_sub(room);
        self.reached = number + 1;
        Verdict::Good(number)
    }

    /// How many of those that were sent have not come at all.
    pub(crate) fn lacks(&self, sent: u64) -> u64 {
        self.missing.len() as u64 + self.forgotten + sent.saturating_sub(self.reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a lane says of these numbers, in this order, after ten were sent, and how many it lacks.
    fn judged(order: &[u64]) -> (Vec<Verdict>, u64) {
        let texts = Texts::new("run", 80);
        let mut lane = Lane::new(texts.clone(), 3);
        let verdicts = order.iter().map(|number| lane.take(&texts.text(3, *number), 10)).collect();
        (verdicts, lane.lacks(10))
    }

    #[test]
    fn what_comes_once_and_in_order_is_good() {
        let all: Vec<u64> = (0..10).collect();
        assert_eq!(judged(&all), (all.iter().copied().map(Verdict::Good).collect(), 0));
    }

    #[test]
    fn a_duplicate_is_found() {
        let (verdicts, lacks) = judged(&[0, 1, 1, 2, 0]);
        assert_eq!(
            (verdicts[2], verdicts[4]),
            (Verdict::Bad(Wrong::Duplicate), Verdict::Bad(Wrong::Duplicate))
        );
        assert_eq!((verdicts[3], lacks), (Verdict::Good(2), 7));
    }

    #[test]
    fn what_is_overtaken_is_out_of_order_and_not_missing() {
        let (verdicts, lacks) = judged(&[0, 2, 1, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(verdicts[..3], [Verdict::Good(0), Verdict::Good(2), Verdict::Bad(Wrong::Order)]);
        assert_eq!(lacks, 0);
    }

    #[test]
    fn what_is_dropped_is_missing_wherever_it_was() {
        assert_eq!(judged(&[1, 2, 3, 5, 6, 7, 8]).1, 3);
        assert_eq!(judged(&[]).1, 10);
    }

    #[test]
    fn what_is_changed_or_for_somebody_else_is_found() {
        let texts = Texts::new("run", 80);
        let mut lane = Lane::new(texts.clone(), 3);
        let good = texts.text(3, 0);
        assert_eq!(good.len(), 80);
        for bad in [&good[..79], &format!("{good}a"), &good.replace("<&>", "&lt;&amp;&gt;"), "run 3 x", "run"]
        {
            assert_eq!(lane.take(bad, 10), Verdict::Bad(Wrong::Body), "{bad}");
        }
        assert_eq!(lane.take(&texts.text(4, 0), 10), Verdict::Bad(Wrong::Recipient));
        // Not sent yet.
        assert_eq!(lane.take(&texts.text(3, 10), 10), Verdict::Bad(Wrong::Body));
        assert_eq!(lane.take(&Texts::new("other", 80).text(3, 0), 10), Verdict::Stranger);
        assert_eq!(lane.take(&good, 10), Verdict::Good(0));
    }
}
