//! Randomness as an argument. Where the bytes of a seed come from is the caller's choice: the operating system, or a number in a
//! test.

use alloc::string::String;
use core::fmt;

use chacha20::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Thirty-two bytes from which a machine draws all its randomness.
///
/// In production they come from the operating system, once for each endpoint; in a test they are a number, and the
/// same number gives the same run. Children get seeds [drawn](Random::seed) from their parent, so that two machines never share a sequence.
#[derive(Clone)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed of these bytes. For anything that faces a network they must be unpredictable.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Seed(bytes)
    }

    /// A seed for tests and simulations, from a number that can be printed and typed again.
    #[must_use]
    pub fn from_u64(number: u64) -> Self {
        let mut bytes = [0; 32];
        for (chunk, byte) in bytes.chunks_exact_mut(8).zip(0_u8..) {
            chunk.copy_from_slice(&number.to_le_bytes());
            chunk[0] ^= byte;
        }
        Seed(bytes)
    }

    /// The sequence of random values that this seed stands for.
    #[must_use]
    pub fn random(&self) -> Random {
        Random(ChaCha20Rng::from_seed(self.0))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A cryptographically strong random sequence (ChaCha20), fixed by its [`Seed`].
pub struct Random(ChaCha20Rng);

impl Random {
    /// Fills `bytes` with random values.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A random number of 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A seed for a child machine, independent of everything else drawn from this sequence.
    pub fn seed(&mut self) -> Seed {
        let mut bytes = [0; 32];
        self.fill(&mut bytes);
        Seed(bytes)
    }

    /// `length` random characters of `a-z0-9` without look-alikes, five bits each: 26 of them hold 130 bits.
    ///
    /// They are safe in XML, in JIDs and in SASL nonces.
    pub fn token(&mut self, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut token = String::with_capacity(length);
        let mut bits = 0;
        for i in 0..length {
            if i % 12 == 0 {
                bits = self.next_u64();
            }
            token.push(char::from(ALPHABET[(bits & 31) as usize]));
            bits >>= 5;
        }
        token
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8439 appendix A.1, test vectors 1 and 2: whoever repeats an old run gets the bytes that it had.
    #[test]
    fn the_sequence_is_the_key_stream_of_the_rfc() {
        let mut random = Seed::new([0; 32]).random();
        let mut bytes = [0; 3];
        random.fill(&mut bytes);
        assert_eq!(bytes, [0x76, 0xb8, 0xe0]);
        // A word that was begun is not used again.
        assert_eq!(random.next_u64(), u64::from_le_bytes([0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5]));
        random.fill(&mut [0; 52]);
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        assert_eq!(bytes, [0x9f, 0x07, 0xe7, 0xbe, 0x55, 0x51, 0x38, 0x7a]);
        // And over the end of what is made at once.
        random.fill(&mut [0; 180]);
        assert_eq!(random.token(26), "t33nb9x6gfcjm3tk6yq93cx9ym");
    }
}
