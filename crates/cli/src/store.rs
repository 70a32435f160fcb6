//! `balcony store`: all that a server keeps, there and back, and whether it is whole.

use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;

use balcony_store::{Store, TransferError};
use indicatif::HumanCount;

use crate::args::{StoreArgs, StoreCommand};
use crate::database;
use crate::failure::Failure;
use crate::import::{Source, open, progress};
use crate::new_file;
use crate::output::{note, say};

pub(crate) fn run(args: StoreArgs) -> Result<(), Failure> {
    let settings = args.data.settings()?;
    let (data, database) = (settings.folder(), settings.database);
    let existing = || database::existing(&data, database.as_ref());
    match args.command {
        StoreCommand::Export { file } => export(&existing()?, &file),
        StoreCommand::Import { file } => {
            let source = open(&file)?;
            import(&database::open(&data, database.as_ref())?, source)
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
    let mut write = |out: &mut dyn std::io::Write| -> Result<u64, TransferError> {
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
    match result {
        Ok(_) if is_stdout => Ok(()),
        Ok(count) => {
            say(&format!("exported accounts: {}", HumanCount(count)));
            Ok(())
        }
        Err(TransferError::Io(reason)) => {
            Err(Failure::new(format!("cannot write {}: {reason}", file.display())))
        }
        Err(error) => Err(error.into()),
    }
}

fn import(store: &Store, (source, length): Source) -> Result<(), Failure> {
    let progress = progress(length);
    let (mut done, mut existed) = (0, 0);
    let result = store.import(&mut BufReader::new(progress.wrap_read(source)), &mut |account, made| {
        if made {
            done += 1;
            progress.set_message(HumanCount(done).to_string());
        } else {
            existed += 1;
            progress.suspend(|| note(&format!("{account} exists already")));
        }
    });
    progress.finish_and_clear();
    let done = HumanCount(done);
    match (result, existed) {
        (Ok(()), 0) => {
            say(&format!("imported accounts: {done}"));
            Ok(())
        }
        (Ok(()), existed) => Err(Failure::new(format!(
            "imported accounts: {done}; accounts that stay as they were, see above: {}",
            HumanCount(existed)
        ))),
        (Err(error), _) => Err(Failure::new(format!("{error}; imported accounts: {done}"))),
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
