//! Ways to cut input into pieces.

/// Numbers that follow from the input.
pub struct Dice(u64);

impl Dice {
    /// Those of this input, and of this use of it.
    pub fn new(input: &[u8], purpose: u64) -> Self {
        // FNV-1a.
        let start = 0xcbf2_9ce4_8422_2325 ^ purpose;
        Dice(input.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// One of `sides` numbers, from 0.
    pub fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides.max(1) as u64) as usize
    }
}

/// Cuts input as a network might.
pub enum Cuts {
    /// Not at all.
    Whole,
    /// Behind every byte.
    Bytes,
    /// Somewhere.
    Random(Dice),
}

impl Cuts {
    /// Those that the input decides on: some inputs are cut behind every byte.
    pub fn of(input: &[u8]) -> Self {
        let mut dice = Dice::new(input, 1);
        if dice.roll(6) == 0 { Cuts::Bytes } else { Cuts::Random(dice) }
    }

    /// The pieces of `input`, in order. There is at least one.
    pub fn pieces(mut self, input: &[u8]) -> Vec<&[u8]> {
        let (mut pieces, mut rest) = (Vec::new(), input);
        while !rest.is_empty() {
            let length = match &mut self {
                Cuts::Whole => rest.len(),
                Cuts::Bytes => 1,
                Cuts::Random(dice) => {
                    let longest = [1, 4, 16, 64, 1024][dice.roll(5)];
                    1 + dice.roll(longest)
                }
            };
            let (piece, after) = rest.split_at(length.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        if pieces.is_empty() {
            pieces.push(input);
        }
        pieces
    }
}
