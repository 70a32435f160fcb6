//! Files that a person names, and of which a little is expected: a configuration, a certificate, a key. What stands there may as well be a
//! pipe, a device or on a network that is away, and reading it ends all the same.

use core::time::Duration;
use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;
use std::sync::mpsc;

/// Longer than all the certificates that a system trusts, shorter than a device.
const MOST: u64 = 4 << 20;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is in a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    within(PATIENCE, path)
}

fn within(patience: Duration, path: &Path) -> Result<Vec<u8>> {
    let path = path.to_owned();
    let (send, content) = mpsc::channel();
    // Nothing ends a call that waits for a pipe or a network; its thread is left behind until the call ends by itself.
    std::thread::spawn(move || {
        // Whoever has asked may have given up.
        let _ = send.send(bounded(&path));
    });
    content.recv_timeout(patience).unwrap_or_else(|_| {
        let text = format!("its end has not come for {} seconds", patience.as_secs_f32());
        Err(Error::new(ErrorKind::TimedOut, text))
    })
}

fn bounded(path: &Path) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MOST {
        let text = format!("it has more than {} MiB", MOST >> 20);
        return Err(Error::new(ErrorKind::FileTooLarge, text));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_no_small_file_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        std::fs::write(path("small"), "content").unwrap();
        assert_eq!(read(&path("small")).unwrap(), b"content");
        assert_eq!(read(&path("missing")).unwrap_err().kind(), ErrorKind::NotFound);
        // A file of as many bytes as may be, and of one more, without a disk full of them.
        for (bytes, is_taken) in [(MOST, true), (MOST + 1, false)] {
            File::create(path("sparse")).unwrap().set_len(bytes).unwrap();
            assert_eq!(read(&path("sparse")).is_ok(), is_taken);
        }
        let endless = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.to_string(), "it has more than 4 MiB");

        for name in ["silent", "pipe"] {
            assert!(Command::new("mkfifo").arg(path(name)).status().unwrap().success());
        }
        let silent = within(Duration::from_millis(50), &path("silent")).unwrap_err();
        assert_eq!(silent.to_string(), "its end has not come for 0.05 seconds");
        // One that somebody writes into is as good as a file.
        let writer = path("pipe");
        let writing = std::thread::spawn(move || std::fs::write(writer, "content").unwrap());
        assert_eq!(read(&path("pipe")).unwrap(), b"content");
        writing.join().unwrap();
    }
}
