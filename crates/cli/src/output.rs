use std::io::Write as _;
use std::time::SystemTime;

/// Prints to stdout. Whoever reads it may have gone away; that must end neither a server nor work that has been done.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The time in seconds since the start of 1970 (UTC).
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The time of the day (UTC), for the beginning of a line.
pub(crate) fn clock(time: u64) -> String {
    let seconds = time % 86_400;
    format!("[{:02}:{:02}:{:02}]", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// One line of a text that strangers may have written: nothing in it moves the cursor or begins a new line.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().flat_map(|c| if is_harmful(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Control characters, and those that turn the direction of what follows.
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}
