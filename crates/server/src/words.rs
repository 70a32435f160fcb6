//! What is said to the connections of one part, in order. What is delivered to them and was made by another part comes as bytes, one stanza behind
//! the other: a processor fetches such a run of memory ahead of whoever reads it. To read the stanza itself it would have to wait for the
//! other processor several times, as each piece of it says where the next one is.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use balcony_stanza::Stanza;

use crate::action::ConnectionId;
use crate::connections::Down;

/// Words, and the bytes of those that bring some.
#[derive(Debug, Default)]
pub(crate) struct Words {
    words: VecDeque<Word>,
    bytes: Vec<u8>,
    /// So many of them belong to words that have been heard.
    heard: usize,
}

#[derive(Debug)]
enum Word {
    Down(Down),
    Across { connection: ConnectionId, stanza: Arc<Stanza>, maker: u8, length: usize },
}

/// The next word.
pub(crate) enum Next<'a> {
    /// Anything.
    Down(Down),
    /// Deliver this stanza, which is written already.
    Across { connection: ConnectionId, stanza: Arc<Stanza>, maker: u8, bytes: &'a [u8] },
}

impl Next<'_> {
    /// The same without the bytes.
    pub(crate) fn into_down(self) -> Down {
        match self {
            Next::Down(down) => down,
            Next::Across { connection, stanza, maker, .. } => Down::Deliver { connection, stanza, maker },
        }
    }
}

/// Room for more bytes than that is not kept.
const ROOM: usize = 512 * 1_024;

impl Words {
    pub(crate) const fn new() -> Self {
        Words { words: VecDeque::new(), bytes: Vec::new(), heard: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(crate) fn push(&mut self, down: Down) {
        self.words.push_back(Word::Down(down));
    }

    /// A stanza is to be delivered, which is written here.
    pub(crate) fn push_across(&mut self, connection: ConnectionId, stanza: Arc<Stanza>, maker: u8) {
        let before = self.bytes.len();
        stanza.write(&mut self.bytes);
        let length = self.bytes.len() - before;
        self.words.push_back(Word::Across { connection, stanza, maker, length });
    }

    /// Takes all of the others in, behind these.
    pub(crate) fn append(&mut self, others: &mut Words) {
        if self.words.is_empty() {
            self.forget_bytes();
            return mem::swap(self, others);
        }
        self.words.append(&mut others.words);
        self.bytes.extend_from_slice(&others.bytes[others.heard..]);
        others.forget_bytes();
    }

    pub(crate) fn next(&mut self) -> Option<Next<'_>> {
        let Some(word) = self.words.pop_front() else {
            if self.heard > 0 {
                self.forget_bytes();
            }
            return None;
        };
        Some(match word {
            Word::Down(down) => Next::Down(down),
            Word::Across { connection, stanza, maker, length } => {
                let end = self.heard + length;
                let bytes = &self.bytes[mem::replace(&mut self.heard, end)..end];
                Next::Across { connection, stanza, maker, bytes }
            }
        })
    }

    fn forget_bytes(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(ROOM);
        self.heard = 0;
    }
}

#[cfg(test)]
mod tests {
    use balcony_machine::Ticket;
    use balcony_stanza::MessageType;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// Something is said, which brings no bytes.
        Say,
        Across(usize),
        /// The part comes for it.
        Come,
        Hear(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => Just(Step::Say),
            4 => (0_usize..300).prop_map(Step::Across),
            2 => Just(Step::Come),
            2 => (0_usize..6).prop_map(Step::Hear),
        ];
        prop::collection::vec(step, 1..80)
    }

    fn number(next: &Next<'_>) -> u64 {
        match next {
            Next::Down(down) => down.connection().0,
            Next::Across { connection, stanza, bytes, .. } => {
                let mut written = Vec::new();
                stanza.write(&mut written);
                assert_eq!(*bytes, written, "these are other bytes");
                connection.0
            }
        }
    }

    proptest! {
        // However often a part comes, and however much it has heard then: it hears each word once, in order, with its own bytes; and no bytes are
        // kept of what was heard.
        #[test]
        fn words_keep_their_order_and_their_bytes(steps in steps()) {
            let (mut mail, mut heard) = (Words::new(), Words::new());
            let (mut said, mut next) = (0, 0);
            for step in steps {
                match step {
                    Step::Say => {
                        said += 1;
                        mail.push(Down::NotResumed { connection: ConnectionId(said), ticket: Ticket(0), h: None });
                    }
                    Step::Across(length) => {
                        said += 1;
                        let stanza = Stanza::message(MessageType::Chat).with_id("x".repeat(length));
                        mail.push_across(ConnectionId(said), Arc::new(stanza), 0);
                    }
                    Step::Come => {
                        heard.append(&mut mail);
                        prop_assert!(mail.is_empty());
                    }
                    Step::Hear(count) => {
                        for _ in 0..count {
                            let Some(word) = heard.next() else { break };
                            next += 1;
                            prop_assert_eq!(number(&word), next);
                        }
                    }
                }
            }
            heard.append(&mut mail);
            while let Some(word) = heard.next() {
                next += 1;
                prop_assert_eq!(number(&word), next);
            }
            prop_assert_eq!(next, said);
            prop_assert!(heard.bytes.is_empty());
        }
    }

    // What comes at once once in a while does not stay.
    #[test]
    fn room_for_many_bytes_is_given_back() {
        let mut words = Words::new();
        let stanza = Arc::new(Stanza::message(MessageType::Chat).with_id("x".repeat(1_000)));
        (0..3_000).for_each(|_| words.push_across(ConnectionId(1), Arc::clone(&stanza), 0));
        assert!(words.bytes.capacity() > 2 * ROOM);
        while words.next().is_some() {}
        assert!(words.bytes.capacity() <= ROOM);
    }
}
