//! Which stanzas a client has handled (XEP-0198 section 4), where its owner says so.

use alloc::collections::VecDeque;

/// Stanzas that the owner was told of and has not handled, in the order in which they came.
///
/// An acknowledgement is one number, and says that all stanzas up to there are handled. So what the client deals with by itself has to
/// wait for what came before it.
#[derive(Debug, Default)]
pub(crate) struct Unhandled {
    /// How many of the server's stanzas are handled with each: that one, unless it was made here, and those behind it that the client
    /// has dealt with.
    told: VecDeque<u32>,
}

impl Unhandled {
    /// The owner is told of a stanza that the server has sent.
    pub(crate) fn tell(&mut self) {
        self.told.push_back(1);
    }

    /// The owner is told of a stanza that was made here.
    pub(crate) fn tell_own(&mut self) {
        self.told.push_back(0);
    }

    /// The client has dealt with a stanza of the server's by itself. How many more are handled now.
    #[must_use]
    pub(crate) fn took(&mut self) -> u32 {
        match self.told.back_mut() {
            Some(last) => {
                *last += 1;
                0
            }
            None => 1,
        }
    }

    /// The owner has handled so many more of those it was told of. How many more of the server's are handled now.
    #[must_use]
    pub(crate) fn handled(&mut self, count: u32) -> u32 {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.told.len());
        self.told.drain(..count).sum()
    }
}
