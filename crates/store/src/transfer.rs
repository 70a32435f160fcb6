//! Accounts as text: one line of JSON for each, after a line that says what it is and before one that says how many there
//! are. Behind the accounts come the other owners of documents and logs.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use std::io::{self, BufRead, Write};

use balcony_jid::BareJid;
use serde::{Deserialize, Serialize};

use self::collection::OwnedLine;
use self::line::Line;
use crate::{Change, Owner, Store, StoreError};

mod collection;
mod line;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// The last line. Without it a part of the text is missing.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    accounts: u64,
    /// Other owners.
    #[serde(default, skip_serializing_if = "is_zero")]
    owners: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

const FORMAT: &str = "balcony-accounts";

/// The version that is written, and the oldest that is read: version 1 has blocked addresses and messages, and no other documents
/// and logs.
const VERSION: u32 = 2;
const OLDEST: u32 = 1;

/// Accounts that are read at once.
const PAGE: usize = 256;

/// Bytes of lines that are written at once.
const BATCH: usize = 4 << 20;

/// A line longer than this is not one of ours: the fullest account has less.
const LONGEST: usize = 256 << 20;

/// Why accounts could not be exported or imported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferError {
    /// The store.
    Store(StoreError),
    /// The text could not be read or written.
    Io(String),
    /// The text is something else, or was written by a newer version.
    Format,
    /// The text ends too early. What was there has been imported.
    Incomplete,
    /// A line of the text. What comes before it has been imported.
    Line {
        /// Which, from 1.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl Store {
    /// Writes all accounts, with everything that is kept for them, as text. `each` is told how many have been written, after
    /// each of them. Returns how many there were.
    ///
    /// The text is worth as much as the passwords: it has what they are checked against, and the messages that wait. Each
    /// account is as it was at one moment. If the store is changed meanwhile, two accounts may be so at two moments.
    ///
    /// # Errors
    ///
    /// [`TransferError`] if the store fails, or `out`.
    pub fn export(&self, out: &mut dyn Write, each: &mut dyn FnMut(u64)) -> Result<u64, TransferError> {
        let header = Header { format: FORMAT.into(), version: VERSION };
        write_line(out, &header)?;
        let mut count = 0;
        let mut last: Option<BareJid> = None;
        loop {
            let page = self.list_all(last.as_ref(), PAGE)?;
            for address in &page {
                // It may have been removed meanwhile.
                if let Some(backup) = self.backup(address)? {
                    write_line(out, &Line::from(&backup))?;
                    count += 1;
                    each(count);
                }
            }
            last = page.last().cloned();
            if last.is_none() {
                let owners = self.export_owned(out)?;
                write_line(out, &Footer { accounts: count, owners })?;
                out.flush()?;
                return Ok(count);
            }
        }
    }

    /// Writes the owners that are not accounts. Returns how many there were.
    fn export_owned(&self, out: &mut dyn Write) -> Result<u64, TransferError> {
        let (mut count, mut last) = (0, None);
        while let Some(owned) = self.next_owned(last.as_ref())? {
            write_line(out, &OwnedLine::from(&owned))?;
            count += 1;
            last = Some(owned.owner);
        }
        Ok(count)
    }

    /// Makes the accounts that [`export`](Store::export) has written, but for those that exist, and gives other owners what they had,
    /// but for those that have something. `each` is told whom a line is about, in their order, and whether it was done.
    ///
    /// # Errors
    ///
    /// [`TransferError`] if the store fails, or `input`, or a line of it is not right. What `each` was told is done and stays.
    pub fn import(
        &self,
        input: &mut dyn BufRead,
        each: &mut dyn FnMut(&Owner, bool),
    ) -> Result<(), TransferError> {
        let mut number = 0;
        let header =
            read_line(input, &mut number)?.and_then(|line| serde_json::from_slice::<Header>(&line).ok());
        let is_ours =
            |header: &Header| header.format == FORMAT && (OLDEST..=VERSION).contains(&header.version);
        let Some(Header { version, .. }) = header.filter(is_ours) else { return Err(TransferError::Format) };
        let (mut accounts, mut owners) = (0, 0);
        let mut end = None;
        loop {
            let (mut batch, mut size) = (Vec::new(), 0);
            while size < BATCH && batch.len() < PAGE && end.is_none() {
                let Some(line) = read_line(input, &mut number)? else {
                    end = Some(Err(TransferError::Incomplete));
                    break;
                };
                size += line.len();
                if let Ok(footer) = serde_json::from_slice::<Footer>(&line) {
                    let is_all = (footer.accounts, footer.owners) == (accounts, owners);
                    end = Some(if is_all { Ok(()) } else { Err(TransferError::Incomplete) });
                    break;
                }
                let is_owned = OwnedLine::is_one(&line);
                let change = match is_owned {
                    true => OwnedLine::read(&line).map(|owned| Change::RestoreOwned(Box::new(owned))),
                    false => Line::read(&line, version).map(|backup| Change::Restore(Box::new(backup))),
                };
                match change {
                    Ok(change) => batch.push(change),
                    Err(reason) => end = Some(Err(TransferError::Line { number, reason })),
                }
                *if is_owned { &mut owners } else { &mut accounts } += 1;
            }
            if batch.is_empty()
                && let Some(end) = end
            {
                return end;
            }
            let done = self.commit(&batch)?;
            for (change, done) in batch.iter().zip(done) {
                each(&change.owner(), done);
            }
        }
    }
}

fn write_line(out: &mut dyn Write, line: &impl Serialize) -> Result<(), TransferError> {
    serde_json::to_writer(&mut *out, line).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

/// A line without its end; `None` after the last. Empty lines are left out.
fn read_line(input: &mut dyn BufRead, number: &mut u64) -> Result<Option<Vec<u8>>, TransferError> {
    use std::io::Read as _;
    loop {
        let mut line = Vec::new();
        *number += 1;
        let length = (&mut *input).take(LONGEST as u64).read_until(b'\n', &mut line)?;
        if length == LONGEST {
            return Err(TransferError::Format);
        }
        if length == 0 {
            return Ok(None);
        }
        let trimmed = line.trim_ascii_end().len();
        line.truncate(trimmed);
        if trimmed > 0 {
            return Ok(Some(line));
        }
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransferError::Store(error) => error.fmt(f),
            TransferError::Io(reason) => write!(f, "the text cannot be read or written: {reason}"),
            TransferError::Format => write!(
                f,
                "this is not a list of accounts that this version of balcony can read: the first line must say format \
                 {FORMAT:?} and version {VERSION} or less"
            ),
            TransferError::Incomplete => f.write_str(
                "the list of accounts is not complete: what is there has been imported, but some are missing",
            ),
            TransferError::Line { number, reason } => write!(f, "line {number}: {reason}"),
        }
    }
}

impl core::error::Error for TransferError {}

impl From<StoreError> for TransferError {
    fn from(error: StoreError) -> Self {
        TransferError::Store(error)
    }
}

impl From<io::Error> for TransferError {
    fn from(error: io::Error) -> Self {
        TransferError::Io(error.to_string())
    }
}
