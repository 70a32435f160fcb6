//! Answers that come behind what a request causes in the accounts of others (RFC 6121 section 2.5.2, XEP-0077 section 3.2): whoever ends a
//! subscription, or the own account, acts on the answer at once, and meets nothing of the old subscription on its way any more.
//!
//! Only contacts whose presence the user sees are waited for. How long others take must not show what there is of them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use balcony_stanza::Stanza;

use crate::router::Router;
use crate::{Effect, SessionId};

/// What is still to be said, each when no stanza waits any more that it comes behind.
#[derive(Debug, Default)]
pub(crate) struct Farewells {
    /// By the number of the first charge that they are behind.
    open: BTreeMap<u64, Farewell>,
    /// What is caused is being said: the number of the last charge before that, and how many later ones have been released.
    causing: Option<(u64, usize)>,
}

#[derive(Debug)]
struct Farewell {
    /// The number of the last charge that it is behind, and how many of them have not been released.
    last: u64,
    waiting: usize,
    then: Answer,
}

/// What is said then.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The result of a request, which this session has made.
    Result(Stanza, Option<SessionId>),
    /// To sessions that are no more.
    Effects(Vec<Effect>),
}

impl Farewells {
    /// From now on something is said to others that an answer comes behind. `last` is the number of the last charge.
    pub(crate) fn begin(&mut self, last: u64) {
        self.causing.get_or_insert((last, 0));
    }

    /// That was all, up to the charge with the number `last`. The answer is given back if nothing of it waits.
    pub(crate) fn end(&mut self, last: u64, then: Answer) -> Option<Answer> {
        let (before, released) = self.causing.take().unwrap_or((last, 0));
        let waiting = usize::try_from(last - before).unwrap_or(usize::MAX) - released;
        if waiting == 0 {
            return Some(then);
        }
        self.open.insert(before + 1, Farewell { last, waiting, then });
        None
    }

    /// A stanza waits no longer. What is to be said if it was the last.
    fn released(&mut self, number: u64) -> Option<Answer> {
        if let Some((_, released)) = self.causing.as_mut().filter(|(before, _)| number > *before) {
            *released += 1;
        }
        let (&first, farewell) = self.open.range_mut(..=number).next_back()?;
        if number > farewell.last {
            return None;
        }
        farewell.waiting -= 1;
        if farewell.waiting > 0 { None } else { self.open.remove(&first).map(|farewell| farewell.then) }
    }
}

impl Router {
    /// The charge with this number is released.
    pub(crate) fn bid_farewell(&mut self, number: u64, effects: &mut Vec<Effect>) {
        if let Some(answer) = self.farewells.released(number) {
            self.answer_at_last(answer, effects);
        }
    }

    pub(crate) fn answer_at_last(&mut self, answer: Answer, effects: &mut Vec<Effect>) {
        match answer {
            Answer::Effects(said) => effects.extend(said),
            Answer::Result(mut request, session) => {
                if let Some(session) = session {
                    self.disown(session, &mut request);
                }
                if let Some(result) = request.result() {
                    self.reply(result, effects);
                }
            }
        }
    }
}
