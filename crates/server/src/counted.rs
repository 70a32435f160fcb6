//! How many there are of something, in words for the log.

use alloc::format;
use alloc::string::String;

/// `1 session` or `3 sessions`, with the words for one and for several.
pub(crate) fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}
