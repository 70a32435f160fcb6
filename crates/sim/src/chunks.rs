//! How a simulated network cuts what it carries, since nothing may depend on that.

use balcony_machine::{Random, Seed};

/// How a wire cuts what it carries.
#[derive(Debug)]
pub enum Chunks {
    /// Everything there is at once.
    Whole,
    /// One byte at a time.
    Bytes,
    /// Pieces of random length, mostly short: see [`Chunks::random`].
    Random(Box<Random>),
}

impl Chunks {
    /// Pieces of random length, mostly short: the same ones for the same number.
    #[must_use]
    pub fn random(seed: u64) -> Chunks {
        Chunks::Random(Box::new(Seed::from_u64(seed).random()))
    }

    /// The length of the next piece of `available` bytes.
    pub(crate) fn next(&mut self, available: usize) -> usize {
        let wanted = match self {
            Chunks::Whole => available,
            Chunks::Bytes => 1,
            Chunks::Random(random) => {
                let longest = 1 << (random.next_u64() % 11);
                usize::try_from(1 + random.next_u64() % longest).unwrap_or(1)
            }
        };
        wanted.min(available)
    }
}
