//! Writing files that are there whole or not at all, and secrets that nobody else can read meanwhile.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Has `fill` write the file at `path`, with these permissions. Nobody ever sees half a file, nor may others read a secret
/// for the moment before its permissions are set. A link stays one, and what is no file (a pipe, a device) is written to as it
/// is.
pub(crate) fn write<T, E: From<io::Error>>(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    if std::fs::metadata(path).is_ok_and(|existing| !existing.is_file()) {
        return fill(&mut OpenOptions::new().write(true).open(path)?);
    }
    // A link that leads nowhere yet is replaced.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    let written = fill(&mut file).and_then(|filled| {
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        sync_folder(path)?;
        Ok(filled)
    });
    if written.is_err() {
        // What is there of it is of no use, may be secret, and takes room on a disk that may be full. The error that is told is the
        // first one.
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// A new file is durable when its name is, too.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // A folder that may be written and not read, or a file system that does not know this.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, Write as _};

    use super::*;

    #[test]
    fn of_a_file_that_could_not_be_written_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.jsonl");
        let full = |file: &mut File| {
            file.write_all(b"half of it")?;
            Err::<(), _>(Error::from(io::ErrorKind::StorageFull))
        };
        for before in [None, Some("the former one")] {
            if let Some(before) = before {
                std::fs::write(&path, before).unwrap();
            }
            assert_eq!(write(&path, 0o600, full).unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), before);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), usize::from(before.is_some()));
        }
    }
}
