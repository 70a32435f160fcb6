//! `balcony user import`: many accounts at once. Hashing their passwords is the work; all processors share it.

use core::time::Duration;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read as _};
use std::path::Path;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::accounts::{Accounts, unexpected};
use crate::control::{Request, Response, WINDOW};
use crate::existing::{self, Existing};
use crate::failure::{Failure, io};
use crate::output::{note, say};
use crate::password::MARK;

/// A line longer than this is no account.
const LONGEST: usize = 8192;

/// What is in a file, and how long it is if that is known.
pub(crate) type Source = (Box<dyn BufRead>, Option<u64>);

/// Creates the accounts in `file`, which is open.
pub(crate) fn run(
    accounts: &mut Accounts,
    domain: &BareJid,
    file: &Path,
    (source, length): Source,
    replace: bool,
) -> Result<(), Failure> {
    let name = file.display();
    let mut import = Import {
        progress: progress(length),
        open: VecDeque::new(),
        existing: Existing::default(),
        done: 0,
        bad: 0,
    };
    let mut lines = Lines { source, number: 0 };
    while let Some((number, size, line)) = lines.next().map_err(io(format!("cannot read {name}")))? {
        let content = match request(&line, domain, replace) {
            Ok(None) => Content::Empty,
            Ok(Some((account, request))) => {
                accounts.submit(request)?;
                Content::Account(account)
            }
            Err(reason) => Content::Bad(reason),
        };
        import.open.push_back(Line { number, size, content });
        if import.open.len() == WINDOW {
            import.settle(accounts)?;
        }
    }
    while !import.open.is_empty() {
        import.settle(accounts)?;
    }
    import.progress.finish_and_clear();
    let existing = import.existing.sum("--replace gives them the passwords in the file");
    let bad = HumanCount(import.bad);
    let bad = (import.bad > 0).then(|| format!("lines that could not be used, see above: {bad}"));
    let is_all = existing.is_none() && bad.is_none();
    let sum = existing::sum(import.done, [existing, bad]);
    match is_all {
        true => {
            say(&sum);
            Ok(())
        }
        false => Err(Failure::new(sum)),
    }
}

/// Opens `file`, and makes sure that it can be read before anything is done because of it.
pub(crate) fn open(file: &Path) -> Result<Source, Failure> {
    if file == Path::new("-") {
        let input = without_mark(std::io::stdin().lock()).map_err(io("cannot read the standard input"))?;
        return Ok((input, None));
    }
    let failed = || io(format!("cannot read {}", file.display()));
    let open = File::open(file).map_err(failed())?;
    let length = open.metadata().ok().filter(|data| data.is_file()).map(|data| data.len());
    Ok((without_mark(BufReader::new(open)).map_err(failed())?, length))
}

/// The same without the byte order mark that it may begin with.
fn without_mark(mut source: impl BufRead + 'static) -> std::io::Result<Box<dyn BufRead>> {
    let mut start = Vec::new();
    source.by_ref().take(MARK.len() as u64).read_to_end(&mut start)?;
    if start == MARK.as_bytes() {
        start.clear();
    }
    Ok(Box::new(Cursor::new(start).chain(source)))
}

struct Import {
    progress: ProgressBar,
    /// In their order, so that they are reported in it.
    open: VecDeque<Line>,
    existing: Existing,
    done: u64,
    bad: u64,
}

struct Line {
    number: u64,
    /// Bytes in the file.
    size: u64,
    content: Content,
}

enum Content {
    Empty,
    /// Its response is still to come.
    Account(String),
    /// It stands for no account, for this reason.
    Bad(String),
}

impl Import {
    /// Sees what has become of one line.
    fn settle(&mut self, accounts: &mut Accounts) -> Result<(), Failure> {
        let Some(Line { number, size, content }) = self.open.pop_front() else { return Ok(()) };
        self.progress.inc(size);
        let account = match content {
            Content::Empty => return Ok(()),
            Content::Bad(reason) => {
                self.complain(number, &reason);
                return Ok(());
            }
            Content::Account(account) => account,
        };
        match accounts.receive()? {
            Response::Done(true) => {
                self.done += 1;
                self.progress.set_message(HumanCount(self.done).to_string());
            }
            Response::Done(false) => {
                self.existing.see(&self.progress, &format!("line {number}: {account} exists already"));
            }
            Response::Failed(reason) => self.complain(number, &reason),
            other => return Err(unexpected(other)),
        }
        Ok(())
    }

    fn complain(&mut self, number: u64, reason: &str) {
        self.bad += 1;
        self.progress.suspend(|| note(&format!("line {number}: {reason}")));
    }
}

/// The request that a line stands for; `None` for an empty one.
fn request(line: &[u8], domain: &BareJid, replace: bool) -> Result<Option<(String, Request)>, String> {
    if line.len() > LONGEST {
        return Err(format!("it has more than {LONGEST} bytes"));
    }
    let line = str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    if line.is_empty() {
        return Ok(None);
    }
    let (local, password) = line.split_once(',').ok_or("a localpart, a comma and a password are wanted")?;
    let account = match local.contains('@') {
        true => BareJid::parse(local),
        false => BareJid::from_parts(Some(local), domain.domainpart()),
    };
    let account = account.map_err(|error| error.to_string())?.to_string();
    let password = Secret::new(password.to_owned());
    Ok(Some((account.clone(), Request::Add { account, password, replace })))
}

/// The lines of a file, with their numbers and how many bytes they take there.
struct Lines {
    source: Box<dyn BufRead>,
    number: u64,
}

impl Lines {
    fn next(&mut self) -> std::io::Result<Option<(u64, u64, Vec<u8>)>> {
        let mut line = Vec::new();
        let most = LONGEST as u64 + 2;
        let mut size = self.source.by_ref().take(most).read_until(b'\n', &mut line)? as u64;
        if size == 0 {
            return Ok(None);
        }
        if size == most && line.last() != Some(&b'\n') {
            size += self.source.skip_until(b'\n')? as u64;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.number += 1;
        Ok(Some((self.number, size, line)))
    }
}

/// It shows itself only where stderr is a terminal.
pub(crate) fn progress(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:40} {percent}%  accounts: {msg}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} accounts: {msg}  {elapsed}"),
    };
    // The templates are constant and good.
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_whatever_is_in_them() {
        let long = "x".repeat(3 * LONGEST);
        let text = format!("a,1\r\n\n{long}\nb,2,3\nc");
        let length = text.len() as u64;
        let mut lines = Lines { source: Box::new(std::io::Cursor::new(text)), number: 0 };
        let mut found = Vec::new();
        let mut sizes = 0;
        while let Some((number, size, line)) = lines.next().unwrap() {
            sizes += size;
            let is_long = line.len() > LONGEST;
            found.push((number, if is_long { "long".into() } else { String::from_utf8(line).unwrap() }));
        }
        let expected = [(1, "a,1"), (2, ""), (3, "long"), (4, "b,2,3"), (5, "c")];
        assert_eq!(found, expected.map(|(number, line)| (number, line.to_owned())));
        assert_eq!(sizes, length);
    }

    #[test]
    fn a_byte_order_mark_is_left_out_once() {
        for (text, expected) in [
            ("\u{feff}a", "a"),
            ("\u{feff}", ""),
            ("\u{feff}\u{feff}a", "\u{feff}a"),
            ("", ""),
            ("a", "a"),
            ("a\u{feff}", "a\u{feff}"),
        ] {
            // However few bytes come at a time.
            let source = BufReader::with_capacity(1, text.as_bytes());
            let mut read = String::new();
            without_mark(source).unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn a_password_may_have_commas() {
        let domain = BareJid::parse("localhost").unwrap();
        let Ok(Some((account, Request::Add { password, .. }))) = request(b"romeo,a,b", &domain, false) else {
            panic!("no account")
        };
        assert_eq!((account.as_str(), password.expose().as_str()), ("romeo@localhost", "a,b"));
        assert!(request(b"", &domain, false).unwrap().is_none());
        let Ok(Some((account, _))) = request(b"juliet@example.org,a@b", &domain, false) else {
            panic!("no account")
        };
        assert_eq!(account, "juliet@example.org");
        for bad in [&b"romeo"[..], b",x", b"ro meo,x", b"\xff,x", b"@localhost,x", b"romeo@localhost/x,x"] {
            assert!(request(bad, &domain, false).is_err());
        }
    }
}
