//! Errors of the operating system in words that a person understands, without their numbers.

use std::io::{Error, ErrorKind};

/// Why something with a socket or a file has failed, as the end of a sentence: `connection refused`, not `Connection refused (os error 111)`.
#[must_use]
pub fn reason(error: &Error) -> String {
    // What a program says of it is more than what kind of error it is.
    if let Some(said) = error.get_ref() {
        return said.downcast_ref().map_or_else(|| said.to_string(), reason);
    }
    let words = match error.kind() {
        ErrorKind::AddrInUse => "address in use",
        ErrorKind::AddrNotAvailable => "this machine has no such address",
        ErrorKind::PermissionDenied => "permission denied",
        ErrorKind::NotFound => "no such file or folder",
        ErrorKind::AlreadyExists => "something else is there",
        ErrorKind::NotADirectory => "there is a file where a folder is wanted",
        ErrorKind::IsADirectory => "it is a folder",
        ErrorKind::ConnectionRefused => "connection refused",
        ErrorKind::ConnectionReset => "the other end has cut it",
        ErrorKind::ConnectionAborted => "it was ended before it was used",
        ErrorKind::BrokenPipe => "the other end has closed it",
        ErrorKind::NotConnected => "it is not connected",
        ErrorKind::TimedOut => "the other end does not answer any more",
        ErrorKind::HostUnreachable => "there is no way to that machine",
        ErrorKind::NetworkUnreachable => "there is no way to that network",
        ErrorKind::NetworkDown => "the network is down",
        ErrorKind::StorageFull => "the disk is full",
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        _ => return without_number(error),
    };
    words.into()
}

/// What the operating system calls it, such as `Too many open files`.
fn without_number(error: &Error) -> String {
    let text = error.to_string();
    let number = error.raw_os_error().map(|number| format!(" (os error {number})"));
    let words = number.and_then(|number| text.strip_suffix(&number).map(String::from));
    words.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_of_the_operating_system_shows_its_number() {
        for number in 1..200 {
            let words = reason(&Error::from_raw_os_error(number));
            assert!(!words.is_empty() && !words.contains("os error"), "{number}: {words}");
        }
        let own = |kind| Error::new(kind, "its end has not come (os error 1)");
        assert_eq!(reason(&own(ErrorKind::TimedOut)), "its end has not come (os error 1)");
        assert_eq!(reason(&Error::other(Error::from_raw_os_error(111))), "connection refused");
        assert_eq!(reason(&ErrorKind::WriteZero.into()), "write zero");
    }
}
