//! TLSA records: what the DNS says about the certificate of a server (RFC 6698, RFC 7671). Here is which of them count at all; whether a
//! certificate fits is told where there is TLS.

use alloc::vec::Vec;
use core::fmt;

/// A TLSA record (RFC 6698 section 2.1). Its numbers are those of the registry (RFC 7218 section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlsa {
    /// What it is about: an authority (0) or a certificate (1) beside those that are trusted anyway, an authority (2) or a certificate (3)
    /// that needs nobody else's word.
    pub usage: u8,
    /// What of a certificate it has: all (0), or its public key (1).
    pub selector: u8,
    /// How: as it is (0), SHA-256 of it (1), SHA-512 (2).
    pub matching: u8,
    /// That, in bytes.
    pub data: Vec<u8>,
}

impl Tlsa {
    /// How many of one server are looked at; what is more is passed over.
    pub const MOST: usize = 32;

    /// Whether its numbers are known and its data have the length that belongs to them. Others change nothing (RFC 6698 section 4.1).
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let has_length = match self.matching {
            0 => !self.data.is_empty(),
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            _ => false,
        };
        has_length && self.usage <= 3 && self.selector <= 1
    }

    /// Those that count: the first [`MOST`](Tlsa::MOST) that are usable, without those of a weaker hash where there is a stronger one of
    /// the same usage and selector (RFC 7671 section 9).
    pub fn that_count(records: &[Tlsa]) -> impl Iterator<Item = &Tlsa> {
        let usable = || records.iter().filter(|record| record.is_usable()).take(Tlsa::MOST);
        let is_weaker = move |record: &Tlsa| {
            let same = |other: &&Tlsa| (other.usage, other.selector) == (record.usage, record.selector);
            record.matching == 1 && usable().filter(same).any(|other| other.matching == 2)
        };
        usable().filter(move |record| !is_weaker(record))
    }
}

/// As in a zone file: `3 1 1` and the data in hexadecimal digits.
impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use alloc::vec;

    use super::*;

    fn record(usage: u8, selector: u8, matching: u8, length: usize) -> Tlsa {
        Tlsa { usage, selector, matching, data: vec![0xab; length] }
    }

    // RFC 6698 §4.1: all numbers there are, with all lengths that come near
    #[test]
    fn unknown_numbers_and_wrong_lengths_are_unusable() {
        for usage in 0..=255 {
            for selector in 0..=255 {
                for (matching, length) in
                    [(0, 0), (0, 1), (0, 900), (1, 31), (1, 32), (1, 64), (2, 32), (2, 64), (3, 32)]
                {
                    let is_usable = usage <= 3
                        && selector <= 1
                        && matches!((matching, length), (0, 1 | 900) | (1, 32) | (2, 64));
                    let record = record(usage, selector, matching, length);
                    assert_eq!(record.is_usable(), is_usable, "{record:?}");
                }
            }
        }
    }

    // RFC 7671 §9
    #[test]
    fn of_one_usage_and_selector_the_stronger_hash_counts() {
        let all = [
            record(3, 1, 1, 32),
            record(3, 1, 2, 64),
            record(3, 1, 0, 90),
            record(3, 0, 1, 32),
            record(2, 1, 1, 32),
            // This one is no reason to pass over others.
            record(2, 1, 2, 10),
        ];
        let kinds: Vec<_> =
            Tlsa::that_count(&all).map(|tlsa| (tlsa.usage, tlsa.selector, tlsa.matching)).collect();
        assert_eq!(kinds, [(3, 1, 2), (3, 1, 0), (3, 0, 1), (2, 1, 1)]);
        let many = vec![record(3, 1, 0, 1); 100];
        assert_eq!(Tlsa::that_count(&many).count(), Tlsa::MOST);
        assert_eq!(record(3, 1, 1, 2).to_string(), "3 1 1 abab");
    }
}
