//! What tokio-xmpp writes to its log: each element that it sends and receives. It goes to a file, and what its
//! interface does not tell is read from it.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use log::{LevelFilter, Log, Metadata, Record};

static MECHANISM: OnceLock<String> = OnceLock::new();
static PROCEEDED: AtomicBool = AtomicBool::new(false);
static FOOTERS: AtomicUsize = AtomicUsize::new(0);

/// The SASL mechanism of the first login.
pub fn mechanism() -> Option<String> {
    MECHANISM.get().cloned()
}

/// Whether the server has agreed to begin with TLS.
pub fn has_proceeded() -> bool {
    PROCEEDED.load(Ordering::Relaxed)
}

/// How many streams have ended with the server's closing tag.
pub fn footers() -> usize {
    FOOTERS.load(Ordering::Relaxed)
}

/// Records everything from here on in the file.
pub fn record(path: &str) -> io::Result<()> {
    log::set_boxed_logger(Box::new(Wire(Mutex::new(File::create(path)?)))).map_err(io::Error::other)?;
    log::set_max_level(LevelFilter::Trace);
    Ok(())
}

struct Wire(Mutex<File>);

impl Log for Wire {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("tokio_xmpp")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = record.args().to_string();
        if let Some((_, rest)) = line.strip_prefix("SEND ").and_then(|sent| sent.split_once("mechanism=")) {
            let name: String = rest.chars().skip(1).take_while(|next| !matches!(next, '\'' | '"')).collect();
            let _ = MECHANISM.set(name);
        }
        if line.starts_with("RECV (ok) <proceed") {
            PROCEEDED.store(true, Ordering::Relaxed);
        }
        // Each event of the XML parser is there, too. An end between two elements is the end of the stream.
        if line.starts_with("ReadXsoState::PreData ev = Ok(Some(EndElement(") {
            FOOTERS.fetch_add(1, Ordering::Relaxed);
        }
        if line.starts_with("ReadXsoState") {
            return;
        }
        if let Ok(mut file) = self.0.lock() {
            let _ = writeln!(file, "{line}");
        }
    }

    fn flush(&self) {}
}
