use std::io::Write as _;

/// Prints to stdout. Whoever reads it may have gone away; that must end neither a server nor work that has been done.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
