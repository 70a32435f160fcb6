//! The log on stderr. Nobody waits for whoever reads it: a thread writes, and what it can't write in time is dropped and counted.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, OnceLock};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

use crate::values::LogLevel;

/// Lines that may wait, each of them no longer than [`LINE`].
const LINES: usize = 4096;
/// Bytes of a line. Peers choose some of the words, and may choose long ones.
const LINE: usize = 4096;

/// The log of this program. What waits when this is dropped is still written, unless that takes longer than a second.
pub(crate) struct Log {
    level: reload::Handle<Targets, Registry>,
    _guard: WorkerGuard,
}

impl Log {
    /// Changes how much is logged.
    pub(crate) fn set_level(&self, level: LogLevel) {
        // It fails only when there is no log any more.
        let _ = self.level.reload(targets(level));
    }
}

/// Begins to log what is of this level, or worse. Once for a process.
pub(crate) fn to_stderr(level: LogLevel) -> Log {
    let (writer, guard) = unhurried(io::stderr(), LINES);
    let (targets, level) = reload::Layer::new(targets(level));
    let format = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(targets).with(format).init();
    Log { level, _guard: guard }
}

/// What libraries have to say below a warning is for their authors.
fn targets(level: LogLevel) -> Targets {
    let ours: LevelFilter = level.into();
    // What is wrong with somebody's DNS is said by whoever has asked it, and anybody could fill the log with it.
    let dns = if ours >= LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::OFF };
    let all = Targets::new().with_default(ours.min(LevelFilter::WARN));
    all.with_target("hickory", dns).with_target("balcony", ours)
}

/// A writer that never waits for `out`, and its thread.
fn unhurried(out: impl Write + Send + 'static, lines: usize) -> (Short, WorkerGuard) {
    let dropped = Arc::new(OnceLock::new());
    let told = Counted { out, dropped: Arc::clone(&dropped), told: 0 };
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(lines).lossy(true).finish(told);
    // Nothing can have been dropped before.
    let _ = dropped.set(writer.error_counter());
    (Short(writer), guard)
}

/// Writes lines, and behind them how many are missing.
struct Counted<W> {
    out: W,
    dropped: Arc<OnceLock<ErrorCounter>>,
    told: usize,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.out.write_all(line)?;
        let dropped = self.dropped.get().map_or(0, ErrorCounter::dropped_lines);
        let missing = dropped.saturating_sub(self.told);
        if missing > 0 {
            writeln!(
                self.out,
                "balcony: {missing} lines of the log are missing here or behind this line: they were not read in time"
            )?;
            self.told = dropped;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Cuts what is too long. A line comes in one piece.
#[derive(Clone)]
struct Short(NonBlocking);

impl Write for Short {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match line.get(..LINE) {
            Some(begin) => {
                let text = String::from_utf8_lossy(begin);
                self.0.write_all(format!("{} [...]\n", text.trim_end_matches('\u{fffd}')).as_bytes())?;
            }
            None => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<'a> MakeWriter<'a> for Short {
    type Writer = Short;

    fn make_writer(&'a self) -> Short {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::io::{Read as _, pipe};

    use super::*;

    #[test]
    fn nobody_waits_for_a_reader_and_what_is_missing_is_counted() {
        let (mut reader, out) = pipe().unwrap();
        let (mut writer, guard) = unhurried(out, 8);
        // A pipe takes 64 kB.
        for number in 0..1_000 {
            writer.write_all(format!("{number} {}\n", "x".repeat(1_000)).as_bytes()).unwrap();
        }
        let missing = writer.0.error_counter().dropped_lines();
        assert!((850..1_000).contains(&missing), "{missing}");
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        // It is said behind a line that is written.
        std::thread::sleep(Duration::from_millis(100));
        writer.write_all(b"at last\n").unwrap();
        drop((writer, guard));
        let text = reading.join().unwrap().unwrap();
        let counts = text.lines().filter_map(|line| line.strip_prefix("balcony: ")?.split(' ').next());
        assert_eq!(counts.map(|count| count.parse::<usize>().unwrap()).sum::<usize>(), missing, "{text}");
        assert_eq!(text.lines().filter(|line| line.ends_with('x')).count(), 1_000 - missing);
        assert!(text.contains("at last\n"));
    }

    #[test]
    fn lines_have_a_bound() {
        let (mut reader, out) = pipe().unwrap();
        let (mut writer, guard) = unhurried(out, 8);
        for line in ["short\n".to_owned(), format!("{}\n", "é".repeat(10_000)), "short\n".to_owned()] {
            assert_eq!(writer.write(line.as_bytes()).unwrap(), line.len());
        }
        drop((writer, guard));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("short\n{} [...]\nshort\n", "é".repeat(LINE / 2)));
    }
}
