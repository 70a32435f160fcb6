//! Accounts as text: one line of JSON for each, after a line that says what it is and before one that says how many there
//! are. Behind the accounts come the other owners of documents and logs.
//!
//! Sessions that wait for their clients (XEP-0198) are left out. A session goes on once, and who reads the text may be one of several; it
//! also has the number with which its account was made, and where the text is read accounts get others. What waits for such sessions is
//! their accounts', and comes to the next ones.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use std::io::{self, BufRead, Write};

use balcony_jid::BareJid;
use balcony_router::collections::SESSIONS;
use serde::{Deserialize, Serialize};

use self::collection::OwnedLine;
use self::line::Line;
use crate::{Change, Collections, Owned, Owner, Store, StoreError};

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

/// A line with its end may have less than this. It is held in memory, there and back.
const LONGEST: usize = 256 << 20;

/// What an [export](Store::export) has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// How many accounts were written.
    pub accounts: u64,
    /// How many sessions wait for their clients, and were left out.
    pub sessions: u64,
}

/// Why accounts could not be exported or imported.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferError {
    /// The store.
    Store(StoreError),
    /// The text could not be read or written.
    Io(String),
    /// The text is something else, or was written by a newer version.
    Format,
    /// What is kept of this account or other owner is more than a line of the text may have, which is 256 MiB. Nothing is wrong with
    /// the store, but it cannot be exported with them.
    TooLong(Owner),
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
    /// each of them. Returns how many there were. Sessions that wait for their clients stay where they are.
    ///
    /// The text is worth as much as the passwords: it has what they are checked against, and the messages that wait. Each
    /// account is as it was at one moment. If the store is changed meanwhile, two accounts may be so at two moments.
    ///
    /// # Errors
    ///
    /// [`TransferError`] if the store fails, or `out`, or if there is more of one account than a line may have. What has been written
    /// then is no whole text.
    pub fn export(&self, out: &mut dyn Write, each: &mut dyn FnMut(u64)) -> Result<Exported, TransferError> {
        let header = Header { format: FORMAT.into(), version: VERSION };
        write_line(out, &header)?;
        let mut count = 0;
        let mut last: Option<BareJid> = None;
        loop {
            let page = self.list_all(last.as_ref(), PAGE)?;
            for address in &page {
                // It may have been removed meanwhile.
                if let Some(backup) = self.backup(address)? {
                    write_owner(out, &Line::from(&backup), &Owner::Account(address.clone()), LONGEST)?;
                    count += 1;
                    each(count);
                }
            }
            last = page.last().cloned();
            if last.is_none() {
                let (owners, sessions) = self.export_owned(out)?;
                write_line(out, &Footer { accounts: count, owners })?;
                out.flush()?;
                return Ok(Exported { accounts: count, sessions });
            }
        }
    }

    /// Writes the owners that are not accounts. Returns how many there were, and how many sessions were left out.
    fn export_owned(&self, out: &mut dyn Write) -> Result<(u64, u64), TransferError> {
        let (mut count, mut sessions, mut last) = (0, 0, None);
        while let Some(mut owned) = self.next_owned(last.as_ref())? {
            sessions += leave_out_sessions(&mut owned);
            if !owned.collections.is_empty() {
                write_owner(out, &OwnedLine::from(&owned), &owned.owner, LONGEST)?;
                count += 1;
            }
            last = Some(owned.owner);
        }
        Ok((count, sessions))
    }

    /// Makes the accounts that [`export`](Store::export) has written, but for those that exist, and gives other owners what they had,
    /// but for those that have something. `each` is told whom a line is about, in their order, what it has for collections, of which
    /// no extension may know some, and whether it was done.
    ///
    /// # Errors
    ///
    /// [`TransferError`] if the store fails, or `input`, or a line of it is not right. What `each` was told is done and stays.
    pub fn import(
        &self,
        input: &mut dyn BufRead,
        each: &mut dyn FnMut(&Owner, &Collections, bool),
    ) -> Result<(), TransferError> {
        let mut number = 0;
        let header = read_line(input, &mut number, LONGEST)?.and_then(|line| header(&line));
        let Some(Header { version, .. }) = header else { return Err(TransferError::Format) };
        let (mut accounts, mut owners) = (0, 0);
        let mut end = None;
        loop {
            let (mut batch, mut size) = (Vec::new(), 0);
            while size < BATCH && batch.len() < PAGE && end.is_none() {
                let Some(line) = read_line(input, &mut number, LONGEST)? else {
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
                    true => OwnedLine::read(&line).map(|mut owned| {
                        // Earlier versions have written them.
                        leave_out_sessions(&mut owned);
                        Change::RestoreOwned(Box::new(owned))
                    }),
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
                each(&change.owner(), collections(change), done);
            }
        }
    }
}

/// Takes the sessions that wait for their clients out; how many there were.
fn leave_out_sessions(owned: &mut Owned) -> u64 {
    let documents = &mut owned.collections.documents;
    let before = documents.len();
    documents.retain(|document| document.collection != SESSIONS);
    (before - documents.len()) as u64
}

/// Whether a text with this first line is one that [`Store::export`] has written, or an earlier version of it.
#[must_use]
pub fn begins_export(line: &[u8]) -> bool {
    header(line).is_some()
}

fn header(line: &[u8]) -> Option<Header> {
    let header = serde_json::from_slice::<Header>(line).ok()?;
    (header.format == FORMAT && (OLDEST..=VERSION).contains(&header.version)).then_some(header)
}

/// What a line has brought.
fn collections(change: &Change) -> &Collections {
    static NONE: Collections = Collections { documents: Vec::new(), logs: Vec::new() };
    match change {
        Change::Restore(backup) => &backup.collections,
        Change::RestoreOwned(owned) => &owned.collections,
        _ => &NONE,
    }
}

fn write_line(out: &mut dyn Write, line: &impl Serialize) -> Result<(), TransferError> {
    serde_json::to_writer(&mut *out, line).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

/// Writes the line of an owner, unless it is too long to be read again.
fn write_owner(
    out: &mut dyn Write,
    line: &impl Serialize,
    owner: &Owner,
    longest: usize,
) -> Result<(), TransferError> {
    let mut room = Room { out, left: longest - 1, is_full: false };
    write_line(&mut room, line).map_err(|error| match room.is_full {
        true => TransferError::TooLong(owner.clone()),
        false => error,
    })
}

/// Takes so many bytes at most.
struct Room<'r> {
    out: &'r mut dyn Write,
    left: usize,
    /// There was more.
    is_full: bool,
}

impl Write for Room<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.left {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.out.write(bytes)?;
        self.left -= written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A line without its end; `None` after the last. Empty lines are left out.
fn read_line(
    input: &mut dyn BufRead,
    number: &mut u64,
    longest: usize,
) -> Result<Option<Vec<u8>>, TransferError> {
    use std::io::Read as _;
    loop {
        let mut line = Vec::new();
        *number += 1;
        let length = (&mut *input).take(longest as u64).read_until(b'\n', &mut line)?;
        if length == longest {
            // What is no text of ours at all may well be one endless line.
            let reason = || "it has more than 256 MiB, and no account has as much".into();
            return Err(if *number == 1 {
                TransferError::Format
            } else {
                TransferError::Line { number: *number, reason: reason() }
            });
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

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
            TransferError::TooLong(owner) => write!(
                f,
                "{owner} has more than the 256 MiB that can be exported of one: let it take its messages, or remove what fills it"
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
        TransferError::Io(crate::error::reason(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Whatever can be written can be read, and nothing longer is written.
    #[test]
    fn a_line_is_as_long_when_it_is_written_as_when_it_is_read() {
        let owner = Owner::Domain(BareJid::parse("example.com").unwrap());
        for length in 0..40 {
            let (text, mut line) = ("x".repeat(length), Vec::new());
            // Two quotation marks, the text and a line feed.
            let fits = length + 3 < 32;
            let written = write_owner(&mut line, &text, &owner, 32);
            assert_eq!(written, if fits { Ok(()) } else { Err(TransferError::TooLong(owner.clone())) });
            let whole = alloc::format!("{text:?}\n");
            assert!(!fits || line == whole.as_bytes());
            let read = read_line(&mut whole.as_bytes(), &mut 1, 32);
            assert_eq!(read.is_ok(), fits);
            assert!(fits || matches!(read, Err(TransferError::Line { number: 2, .. })));
            // Of the first line nobody knows whether it is one of ours.
            assert!(fits || read_line(&mut whole.as_bytes(), &mut 0, 32) == Err(TransferError::Format));
        }
    }
}
