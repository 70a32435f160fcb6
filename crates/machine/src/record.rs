//! Records: numbers and octets one behind the other, for what a machine has somebody keep and reads again later. Who reads knows what
//! comes next; what is damaged reads as nothing.
//!
//! A number has eight octets, the lowest first; octets have their length before them.

use alloc::vec::Vec;

/// Writes a record.
///
/// ```
/// use balcony_machine::{RecordReader, RecordWriter};
///
/// let mut writer = RecordWriter::default();
/// writer.number(7).bytes(b"phone");
/// let record = writer.into_bytes();
/// let mut reader = RecordReader::new(&record);
/// assert_eq!((reader.number(), reader.text(), reader.is_at_end()), (Some(7), Some("phone"), true));
/// assert_eq!(RecordReader::new(&record[..20]).number(), Some(7));
/// assert_eq!(reader.number(), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct RecordWriter(Vec<u8>);

impl RecordWriter {
    /// Appends a number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    /// Appends octets, or a text.
    pub fn bytes(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends yes or no.
    pub fn flag(&mut self, flag: bool) -> &mut Self {
        self.0.push(u8::from(flag));
        self
    }

    /// Appends whether there is something, and then what there is.
    pub fn option<T>(&mut self, option: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        self.flag(option.is_some());
        if let Some(value) = option {
            write(self, value);
        }
        self
    }

    /// Appends how many there are, and then each.
    pub fn list<T>(
        &mut self,
        list: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.number(list.len() as u64);
        list.for_each(|value| write(self, value));
        self
    }

    /// The record.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a record, in the order in which it was written. Everything is `None` that is not there, and all that comes after it is of no
/// use.
#[derive(Clone, Debug)]
pub struct RecordReader<'r>(&'r [u8]);

impl<'r> RecordReader<'r> {
    /// Begins to read.
    #[must_use]
    pub const fn new(record: &'r [u8]) -> Self {
        RecordReader(record)
    }

    /// A number.
    pub fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    /// Octets.
    pub fn bytes(&mut self) -> Option<&'r [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A text.
    pub fn text(&mut self) -> Option<&'r str> {
        core::str::from_utf8(self.bytes()?).ok()
    }

    /// Yes or no.
    pub fn flag(&mut self) -> Option<bool> {
        let (flag, rest) = self.0.split_first()?;
        self.0 = rest;
        match flag {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Something that may be missing.
    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    /// A list. It takes no memory for what is not there, whatever the record says.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(read(self)?);
        }
        Some(list)
    }

    /// Whether all of it is read.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Whatever the octets are, reading ends, and takes no more than there is.
    #[test]
    fn what_is_damaged_is_nothing() {
        let mut writer = RecordWriter::default();
        writer
            .option(Some(3), |writer, number| {
                writer.number(number);
            })
            .list([&b"ab"[..], b""].into_iter(), |writer, bytes| {
                writer.bytes(bytes);
            })
            .option(None::<u64>, |_, _| {});
        let record = writer.into_bytes();
        let read = |record: &[u8]| {
            let mut reader = RecordReader::new(record);
            let number = reader.option(RecordReader::number)?;
            let list: Vec<usize> = reader.list(|reader| Some(reader.bytes()?.len()))?;
            let none = reader.option(RecordReader::number)?;
            reader.is_at_end().then_some((number, list, none))
        };
        assert_eq!(read(&record), Some((Some(3), alloc::vec![2, 0], None)));
        for length in 0..record.len() {
            assert_eq!(read(&record[..length]), None, "{length}");
        }
        let mut more = record.clone();
        more.push(0);
        assert_eq!(read(&more), None);
        // A count that nothing could be behind.
        assert_eq!(RecordReader::new(&[0xff; 16]).list(RecordReader::flag), None);
        assert_eq!(RecordReader::new(&[2]).flag(), None);
    }
}
