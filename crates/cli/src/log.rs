//! The log on stderr. Nobody waits for whoever reads it: a thread writes, and what it can't write in time is dropped and counted.

use core::time::Duration;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

use crate::counted::counted;
use crate::values::LogLevel;

/// Lines that may wait, each of them no longer than [`LINE`].
const LINES: usize = 4096;
/// Bytes of a line. Peers choose some of the words, and may choose long ones.
const LINE: usize = 4096;
/// So long after it has written the thread writes again: what comes meanwhile is written together, and wakes nobody.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the end waits for what is still to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// The log of this program. What waits when this is dropped is still written, unless that takes longer than a second.
pub(crate) struct Log {
    level: reload::Handle<Targets, Registry>,
    _thread: Thread,
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
    let (writer, thread) = unhurried(io::stderr(), LINES);
    let (targets, level) = reload::Layer::new(targets(level));
    let format = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(targets).with(format).init();
    Log { level, _thread: thread }
}

/// What libraries have to say below a warning is for their authors.
fn targets(level: LogLevel) -> Targets {
    let ours: LevelFilter = level.into();
    // What is wrong with somebody's DNS is said by whoever has asked it, and anybody could fill the log with it.
    let dns = if ours >= LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::OFF };
    let all = Targets::new().with_default(ours.min(LevelFilter::WARN));
    all.with_target("hickory", dns).with_target("balcony", ours)
}

/// A writer that never waits for `out`, and the thread that does.
fn unhurried(out: impl Write + Send + 'static, lines: usize) -> (Short, Thread) {
    let shared =
        Arc::new(Shared { waiting: Mutex::default(), news: Condvar::new(), end: Condvar::new(), lines });
    let mine = Arc::clone(&shared);
    #[expect(clippy::disallowed_methods, reason = "a program may have threads")]
    std::thread::spawn(move || mine.write_all(out));
    (Short(Arc::clone(&shared)), Thread(shared))
}

/// What waits, and those who wait for it.
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to write, or there will be nothing more.
    news: Condvar,
    /// All is written.
    end: Condvar,
    /// Lines that may wait.
    lines: usize,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    lines: usize,
    /// Lines that found no room, and have not been told of.
    dropped: usize,
    /// The thread waits for something to write.
    is_idle: bool,
    /// There will be nothing more.
    is_over: bool,
    is_written: bool,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.lines >= self.lines {
            waiting.dropped += 1;
            return;
        }
        waiting.lines += 1;
        waiting.text.extend_from_slice(line);
        if core::mem::take(&mut waiting.is_idle) {
            drop(waiting);
            self.news.notify_one();
        }
    }

    /// Writes until there will be nothing more: what has come by then in one piece, and behind it how many lines are missing.
    fn write_all(&self, mut out: impl Write) {
        let mut text = Vec::new();
        loop {
            let mut waiting = self.waiting();
            while waiting.lines == 0 && waiting.dropped == 0 && !waiting.is_over {
                waiting.is_idle = true;
                waiting = self.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            let is_over = waiting.is_over && waiting.lines == 0 && waiting.dropped == 0;
            waiting.is_written = is_over;
            // Of a flood of lines no more memory stays than of some.
            text.clear();
            text.shrink_to(LINE);
            core::mem::swap(&mut text, &mut waiting.text);
            let missing = core::mem::take(&mut waiting.dropped);
            waiting.lines = 0;
            drop(waiting);
            if is_over {
                self.end.notify_all();
                return;
            }
            // There is nobody to be told that nobody can be told.
            let _ = out.write_all(&text);
            if missing > 0 {
                let lines = counted(missing, "line of the log is", "lines of the log are");
                let _ = writeln!(
                    out,
                    "balcony: {lines} missing here or behind this line: the log was not read in time"
                );
            }
            let _ = out.flush();
            let pause = self.news.wait_timeout_while(self.waiting(), PAUSE, |waiting| !waiting.is_over);
            drop(pause.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// The thread that writes. When this is dropped all that waits is written, unless that takes longer than a second.
struct Thread(Arc<Shared>);

impl Drop for Thread {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.is_over = true;
        self.0.news.notify_all();
        let end = self.0.end.wait_timeout_while(waiting, PATIENCE, |waiting| !waiting.is_written);
        drop(end.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Cuts what is too long. A line comes in one piece.
#[derive(Clone)]
struct Short(Arc<Shared>);

impl Write for Short {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match line.get(..LINE) {
            Some(begin) => {
                let text = String::from_utf8_lossy(begin);
                self.0.add(format!("{} [...]\n", text.trim_end_matches('\u{fffd}')).as_bytes());
            }
            None => self.0.add(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
    use std::io::{Read as _, pipe};
    use std::time::Instant;

    use super::*;

    #[test]
    fn nobody_waits_for_a_reader_and_what_is_missing_is_counted() {
        let (mut reader, out) = pipe().unwrap();
        let (mut writer, thread) = unhurried(out, 8);
        // A pipe takes 64 kB.
        for number in 0..1_000 {
            writer.write_all(format!("{number} {}\n", "x".repeat(1_000)).as_bytes()).unwrap();
        }
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        // It is said behind a line that is written.
        std::thread::sleep(Duration::from_millis(100));
        writer.write_all(b"at last\n").unwrap();
        drop((writer, thread));
        let text = reading.join().unwrap().unwrap();
        let counts = text.lines().filter_map(|line| line.strip_prefix("balcony: ")?.split(' ').next());
        let missing: usize = counts.map(|count| count.parse::<usize>().unwrap()).sum();
        assert!((850..1_000).contains(&missing), "{missing}");
        assert_eq!(text.lines().filter(|line| line.ends_with('x')).count(), 1_000 - missing);
        assert!(text.contains("at last\n"));
    }

    // Many lines in a moment are written together.
    #[test]
    fn a_burst_is_written_in_few_pieces() {
        struct Counting(Arc<Mutex<(usize, usize)>>);
        impl Write for Counting {
            fn write(&mut self, text: &[u8]) -> io::Result<usize> {
                let mut seen = self.0.lock().unwrap();
                *seen = (seen.0 + 1, seen.1 + text.len());
                Ok(text.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let seen = Arc::default();
        let (mut writer, thread) = unhurried(Counting(Arc::clone(&seen)), 4096);
        let start = Instant::now();
        (0..1_000).for_each(|_| writer.write_all(b"a line\n").unwrap());
        drop(thread);
        // One at first, then one each pause, and one at the end.
        let most = 2 + start.elapsed().as_millis() / PAUSE.as_millis();
        let (pieces, bytes) = *seen.lock().unwrap();
        assert!(
            bytes == 7_000 && pieces as u128 <= most,
            "{bytes} bytes in {pieces} pieces of at most {most}"
        );
    }

    #[test]
    fn lines_have_a_bound() {
        let (mut reader, out) = pipe().unwrap();
        let (mut writer, thread) = unhurried(out, 8);
        for line in ["short\n".to_owned(), format!("{}\n", "é".repeat(10_000)), "short\n".to_owned()] {
            assert_eq!(writer.write(line.as_bytes()).unwrap(), line.len());
        }
        drop((writer, thread));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("short\n{} [...]\nshort\n", "é".repeat(LINE / 2)));
    }
}
