//! The headers of records as they come (RFC 8446 section 5, RFC 5246 section 6.2), before rustls sees them: it refuses each that is wrong by the same
//! alert, whatever is wrong with it, and takes some that are too long.

/// What a record may have in the clear.
const PLAIN: u16 = 16_384;
/// What rustls takes of an encrypted one. It says what is wrong with those that have less and are too long for what is in them.
const ENCRYPTED: u16 = 16_384 + 2_047;

const CHANGE: u8 = 20;
const DATA: u8 = 23;

/// Reads the headers of all records of one side.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Records {
    kind: u8,
    /// The upper half of the length.
    high: u8,
    /// How many bytes of the header have come.
    seen: u8,
    /// What comes may be encrypted, whatever its type is (TLS 1.2).
    has_changed: bool,
    /// How many bytes of the record are to come behind the header.
    left: u16,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There are no records of this type.
    Type,
    /// It is too long.
    Length,
}

impl Fault {
    /// The alert that says so: `unexpected_message` or `record_overflow` (RFC 8446 sections 5, 5.1 and 5.2).
    pub(crate) const fn alert(self) -> u8 {
        match self {
            Fault::Type => 10,
            Fault::Length => 22,
        }
    }
}

impl Records {
    const HEADER: u8 = 5;

    /// Reads on. If the header of a record is wrong: how, and what is before the record, of these bytes.
    pub(crate) fn read<'a>(&mut self, bytes: &'a [u8]) -> Result<(), (Fault, &'a [u8])> {
        let mut rest = bytes;
        loop {
            let content = rest.len().min(self.left.into());
            self.left -= u16::try_from(content).unwrap_or(self.left);
            rest = &rest[content..];
            let Some((byte, behind)) = rest.split_first() else { return Ok(()) };
            match self.seen {
                0 if !(CHANGE..=DATA).contains(byte) => {
                    return Err((Fault::Type, &bytes[..bytes.len() - rest.len()]));
                }
                0 => self.kind = *byte,
                3 => self.high = *byte,
                4 => self.left = u16::from_be_bytes([self.high, *byte]),
                // The version means nothing here.
                _ => {}
            }
            rest = behind;
            self.seen += 1;
            if self.seen == Self::HEADER {
                let most = if self.kind == DATA || self.has_changed { ENCRYPTED } else { PLAIN };
                if self.left > most {
                    let before = bytes.len().saturating_sub(rest.len() + usize::from(Self::HEADER));
                    return Err((Fault::Length, &bytes[..before]));
                }
                self.has_changed |= self.kind == CHANGE;
                self.seen = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "these are tests")]

    use proptest::prelude::*;

    use super::*;

    fn record(kind: u8, length: u16) -> Vec<u8> {
        [&[kind, 3, 3], &length.to_be_bytes()[..], &vec![0xff; length.into()]].concat()
    }

    proptest! {
        // However the bytes are cut, what is before the first record that is wrong is passed on, but for what has come of its header.
        #[test]
        fn the_first_wrong_record_is_found(
            lengths in prop::collection::vec((20..24_u8, 0..300_u16), 0..6),
            wrong in prop_oneof![
                Just((Fault::Type, 19, 1)), Just((Fault::Type, 24, 40)), Just((Fault::Type, b'<', 7)),
                Just((Fault::Length, 23, 18_432)), Just((Fault::Length, 22, 18_432)),
            ],
            chunk in 1..400_usize,
        ) {
            let before: Vec<u8> = lengths.iter().flat_map(|(kind, length)| record(*kind, *length)).collect();
            let (fault, kind, length) = wrong;
            let wire = [before.clone(), record(kind, length)].concat();
            let (mut records, mut passed) = (Records::default(), Vec::new());
            let mut found = None;
            for chunk in wire.chunks(chunk) {
                match records.read(chunk) {
                    Ok(()) => passed.extend_from_slice(chunk),
                    Err((fault, before)) => {
                        passed.extend_from_slice(before);
                        found = Some(fault);
                        break;
                    }
                }
            }
            prop_assert_eq!(found, Some(fault));
            prop_assert!(passed.starts_with(&before) && passed.len() < before.len() + 5);
            prop_assert!(passed.len() == before.len() || fault == Fault::Length);
        }
    }

    // RFC 8446 sections 5.1 and 5.2: a handshake in the clear has shorter ones.
    #[test]
    fn what_is_in_the_clear_is_shorter() {
        for (wire, is_right) in [
            (record(22, 16_384), true),
            (record(22, 16_385), false),
            (record(21, 16_385), false),
            (record(23, 16_385), true),
            (record(23, 18_431), true),
            ([record(20, 1), record(22, 18_431)].concat(), true),
            ([record(20, 1), record(22, 18_432)].concat(), false),
        ] {
            assert_eq!(Records::default().read(&wire).is_ok(), is_right, "{:?}", &wire[..6]);
        }
    }
}
