//! Files that are there whole or not at all.

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
    let filled = fill(&mut file)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    Ok(filled)
}
