//! `balcony store`: all that a server keeps, there and back, and whether it is whole.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, BufWriter, Cursor, Read as _, Write as _};
use std::path::Path;

use balcony_router::extension::Kind;
use balcony_store::{Collections, Exported, Owner, Store, StoreConfig, TransferError, begins_export};
use indicatif::HumanCount;

use crate::args::{StoreArgs, StoreCommand};
use crate::database;
use crate::existing::{self, Existing};
use crate::failure::Failure;
use crate::import::{Source, open, progress};
use crate::new_file;
use crate::output::{note, say};

/// The first line of an export is shorter, in bytes.
const LONGEST_HEADER: usize = 1024;

pub(crate) fn run(args: StoreArgs) -> Result<(), Failure> {
    let settings = args.data.settings()?;
    let (data, database) = (settings.folder(), settings.database);
    let existing = || database::existing(&data, database.as_ref());
    match args.command {
        StoreCommand::Export { file } => export(&existing()?, &file),
        StoreCommand::Import { file } => {
            let (source, length) = open(&file)?;
            // What is no export makes no folder.
            let source = checked(source)?;
            import(&database::open(&data, database.as_ref())?, (source, length))
        }
        StoreCommand::Check => check(&existing()?),
    }
}

fn export(store: &Store, file: &Path) -> Result<(), Failure> {
    let progress = progress(Some(store.count()?));
    let mut each = |count| {
        progress.set_position(count);
        progress.set_message(HumanCount(count).to_string());
    };
    let mut write = |out: &mut dyn std::io::Write| -> Result<Exported, TransferError> {
        let mut out = BufWriter::new(out);
        let count = store.export(&mut out, &mut each)?;
        out.flush()?;
        Ok(count)
    };
    let is_stdout = file == Path::new("-");
    let result = match is_stdout {
        true => write(&mut std::io::stdout().lock()),
        // It has keys, which are worth as much as passwords to an attacker.
        false => new_file::write(file, 0o600, |out| write(out)),
    };
    progress.finish_and_clear();
    if let Ok(Exported { sessions: 1.., .. }) = result {
        note(
            "sessions that wait for their clients are not in an export: there clients log in anew, and get what has waited",
        );
    }
    match result {
        Ok(_) if is_stdout => Ok(()),
        Ok(Exported { accounts, .. }) => {
            say(&format!("exported accounts: {}", HumanCount(accounts)));
            Ok(())
        }
        Err(TransferError::Io(reason)) => {
            Err(Failure::new(format!("cannot write {}: {reason}", file.display())))
        }
        Err(error) => Err(error.into()),
    }
}

/// The same text, which begins as an export does.
fn checked(mut source: Box<dyn BufRead>) -> Result<Box<dyn BufRead>, Failure> {
    let (mut start, mut line) = (Vec::new(), Vec::new());
    while line.trim_ascii().is_empty() && start.len() < LONGEST_HEADER {
        line.clear();
        let count = source.by_ref().take(LONGEST_HEADER as u64).read_until(b'\n', &mut line);
        if count.map_err(TransferError::from)? == 0 {
            break;
        }
        start.extend_from_slice(&line);
    }
    match begins_export(line.trim_ascii()) {
        true => Ok(Box::new(Cursor::new(start).chain(source))),
        false => Err(TransferError::Format.into()),
    }
}

fn import(store: &Store, (source, length): Source) -> Result<(), Failure> {
    let progress = progress(length);
    let (mut done, mut existing) = (0, Existing::default());
    let mut unknown = Unknown::default();
    let result =
        store.import(&mut BufReader::new(progress.wrap_read(source)), &mut |account, collections, made| {
            if made {
                // A domain of the server may have something, too, and is no account.
                done += u64::from(matches!(account, Owner::Account(_)));
                unknown.see(collections);
                progress.set_message(HumanCount(done).to_string());
            } else {
                existing.see(&progress, &format!("{account} exists already"));
            }
        });
    progress.finish_and_clear();
    if let Some(line) = unknown.line() {
        note(&line);
    }
    let existing = existing
        .sum("to have one as it is in the file, remove it first, or import into an empty data folder");
    let is_all = existing.is_none();
    let sum = existing::sum(done, [existing]);
    match result {
        Ok(()) if is_all => {
            say(&sum);
            Ok(())
        }
        Ok(()) => Err(Failure::new(sum)),
        Err(error) => Err(Failure::new(format!("{error}; {sum}"))),
    }
}

/// Collections that came with accounts, and that nothing in this program knows: those of extensions of somebody's own, or of another
/// version.
#[derive(Default)]
struct Unknown {
    /// At most [`MOST`](Unknown::MOST).
    names: BTreeSet<String>,
    are_more: bool,
}

impl Unknown {
    /// As many names as a person reads.
    const MOST: usize = 20;

    fn see(&mut self, collections: &Collections) {
        let known = StoreConfig::default().collections;
        for (kind, name) in collections.names() {
            if known.iter().any(|known| known.kind == kind && known.name == name) {
                continue;
            }
            let name = match kind {
                Kind::Documents => format!("documents {name:?}"),
                Kind::Log => format!("log {name:?}"),
            };
            if self.names.len() < Self::MOST || self.names.contains(&name) {
                self.names.insert(name);
            } else {
                self.are_more = true;
            }
        }
    }

    /// What there is to be said, if any.
    fn line(&self) -> Option<String> {
        let names = self.names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if self.are_more { " and others" } else { "" };
        (!names.is_empty())
            .then(|| format!("kept as it is, though no extension of this balcony knows it: {names}{more}"))
    }
}

fn check(store: &Store) -> Result<(), Failure> {
    let progress = progress(None);
    let mut problems = 0;
    let count = store.check(&mut |problem| {
        problems += 1;
        progress.suspend(|| note(&problem));
    })?;
    let mut subscriptions = 0;
    store.check_subscriptions(&mut |problem| {
        subscriptions += 1;
        progress.suspend(|| note(&problem));
    })?;
    progress.finish_and_clear();
    let count = HumanCount(count);
    match (problems, subscriptions) {
        (0, 0) => {
            say(&format!("checked accounts: {count}; nothing is broken"));
            Ok(())
        }
        (0, _) => Err(Failure::new(format!(
            "checked accounts: {count}; nothing is broken, but there are subscriptions that only one side knows, see above: {}",
            HumanCount(subscriptions)
        ))),
        _ => Err(Failure::new(format!(
            "checked accounts: {count}; problems, see above: {}. Restore the data from a backup, or remove these accounts",
            HumanCount(problems)
        ))),
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        Failure::new(error.to_string())
    }
}
