//! The lines of a transcript. Accounts are of `example.com` and have the password `pencil`.
//!
//! | line | meaning |
//! |---|---|
//! | `# …` and empty lines | nothing |
//! | `* config registration`, `* config conflict refuse` … | how the server is made, before anything else; see `config` |
//! | `* account NAME` | there is an account `NAME@example.com` |
//! | `* login C JID` | opens the connection C and logs in; without a resource in the JID the server makes one up |
//! | `* login C JID shown [MECHANISM] [PASSWORD]` | the same, with all that is said; C= is what the client sends |
//! | `* connect C` | opens the connection C, and says nothing on it |
//! | `C> bytes` | C sends this |
//! | `C>> bytes` | C sends this and, at the same time, the next line, which is C's, too |
//! | `* cut C` | the network of C breaks |
//! | `* hang-up C` | C closes its side of the connection |
//! | `* wait SECONDS` | time passes |
//! | `* remove NAME` | whoever keeps the server removes the account |
//! | `* shutdown` | the server ends its streams |
//! | `C< bytes` | record: C receives this |
//! | `C= bytes` | record: the client of C sends this by itself |
//! | `C- …` | record: the server closes the connection |
//!
//! In bytes `\n` is a line feed, `\\` a backslash, and `\xHH` the octet HH.

use core::fmt::Write as _;
use core::time::Duration;

use balcony_router::ConflictPolicy;
use balcony_router::extension::blocking::Blocking;
use balcony_router::extension::offline::Offline;
use balcony_router::extension::{Builder, Extensions};
use balcony_sasl::Mechanism;
use balcony_server::ServerConfig;

use crate::names::Names;
use crate::stage::{How, Login, Stage, Wire};

/// What a transcript is when its script is replayed: the same, if the record is right.
///
/// # Panics
///
/// If a line is no part of a script, or speaks on a connection that has ended.
pub(crate) fn replay(name: &str, text: &str, how: How) -> String {
    let mut replay = Replay {
        stage: None,
        config: Vec::new(),
        how,
        names: Names::default(),
        shown: false,
        transcript: String::new(),
    };
    for (number, line) in text.lines().enumerate() {
        if replay.line(line).is_none() {
            panic!("{name}:{}: what is `{line}`?", number + 1);
        }
    }
    replay.transcript
}

struct Replay {
    /// There is one from the first line on that is no `config`.
    stage: Option<Stage>,
    config: Vec<String>,
    how: How,
    names: Names,
    /// Whether what a client sends by itself, and what it gets then, is to be written down.
    shown: bool,
    transcript: String,
}

impl Replay {
    /// `None` if it is none.
    fn line(&mut self, line: &str) -> Option<()> {
        let is_remark = line.is_empty() || line.starts_with('#');
        let (who, rest) = line.split_once(' ').unwrap_or((line, ""));
        if !is_remark && who.ends_with(['<', '=', '-']) {
            return Some(());
        }
        self.transcript.push_str(line);
        self.transcript.push('\n');
        if is_remark {
            return Some(());
        }
        if who == "*" {
            let words: Vec<&str> = rest.split(' ').collect();
            self.command(&words)?;
        } else if let Some(who) = who.strip_suffix(">>") {
            let bytes = unescape(&self.names.resolve(rest))?;
            self.stage().send(who, &bytes)?;
            return Some(());
        } else {
            let who = who.strip_suffix('>')?;
            let bytes = unescape(&self.names.resolve(rest))?;
            self.stage().send(who, &bytes)?;
        }
        if self.stage.is_some() {
            self.settle();
        }
        Some(())
    }

    fn stage(&mut self) -> &mut Stage {
        let (how, words) = (self.how, &self.config);
        self.stage.get_or_insert_with(|| {
            Stage::new(how, |server| words.iter().for_each(|words| config(server, words).unwrap()))
        })
    }

    fn command(&mut self, words: &[&str]) -> Option<()> {
        match *words {
            ["config", ..] if self.stage.is_none() => {
                self.config.push(words[1..].join(" "));
                config(
                    &mut ServerConfig::new(Vec::new(), balcony_machine::Secret::new([0; 32])),
                    &words[1..].join(" "),
                )
            }
            ["account", name] => self.stage().account(name),
            ["login", who, jid] => {
                self.stage().login(who, jid, Login::default())?;
                self.settle_login(who, false)
            }
            ["login", who, jid, "shown", ref rest @ ..] => {
                let mut login = Login::default();
                for word in rest {
                    match Mechanism::from_name(word) {
                        Some(mechanism) => login.mechanism = mechanism,
                        None => login.password = (*word).to_owned(),
                    }
                }
                self.stage().login(who, jid, login)?;
                self.settle_login(who, true)
            }
            ["connect", who] => self.stage().connect(who),
            ["cut", who] => self.stage().cut(who),
            ["hang-up", who] => self.stage().hang_up(who),
            ["wait", seconds] => {
                let seconds = seconds.parse().ok()?;
                self.stage().wait(Duration::from_secs(seconds));
                Some(())
            }
            ["remove", name] => self.stage().remove(name),
            ["shutdown"] => {
                self.stage().shutdown();
                Some(())
            }
            _ => None,
        }
    }

    /// Lets a client log in; a resource that the server has made up has a name then.
    fn settle_login(&mut self, who: &str, shown: bool) -> Option<()> {
        self.shown = shown;
        self.stage().settle();
        if let Some(resource) = self.stage().made_up(who) {
            self.names.give("resource", &resource);
        }
        self.settle();
        self.shown = false;
        Some(())
    }

    /// Lets happen what happens, and writes it down.
    fn settle(&mut self) {
        self.stage().settle();
        for (who, wire) in self.stage().take_wires() {
            let (sign, text) = match wire {
                Wire::Sent(text) => {
                    self.names.hear(&text);
                    ('=', text)
                }
                Wire::Received(text) => ('<', text),
                Wire::Closed => ('-', "the server closes the connection".into()),
            };
            if self.shown || sign == '-' || !self.stage().is_logging_in(&who) {
                let text = self.names.hide(&escape(&text));
                writeln!(self.transcript, "{who}{sign} {text}").unwrap();
            }
        }
        self.stage().end_logins();
    }
}

/// The usual extensions, with room for eight messages that wait.
pub(crate) fn extensions() -> Builder {
    Extensions::standard().with(Offline { messages: 8, ..Offline::default() })
}

/// One `* config` line.
fn config(server: &mut ServerConfig, words: &str) -> Option<()> {
    let (name, value) = words.split_once(' ').unwrap_or((words, ""));
    match (name, value) {
        ("registration", "") => server.registration = true,
        ("conflict", "refuse") => server.conflict = ConflictPolicy::RefuseNew,
        ("conflict", "rename") => server.conflict = ConflictPolicy::Rename,
        ("tell-strangers", "") => server.tell_strangers = true,
        ("iq-to-strangers", "") => server.iq_needs_presence = false,
        ("resources", most) => server.limits.resources = most.parse().ok()?,
        ("blocked", most) => {
            let blocking = Blocking { addresses: most.parse().ok()?, ..Blocking::default() };
            server.extensions = extensions().with(blocking).build().unwrap();
        }
        ("idle", seconds) => server.limits.idle = Some(Duration::from_secs(seconds.parse().ok()?)),
        _ => return None,
    }
    Some(())
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        bytes.extend(before.as_bytes());
        let (escape, length) = match behind.chars().next()? {
            'n' => (b'\n', 1),
            '\\' => (b'\\', 1),
            'x' => (u8::from_str_radix(behind.get(1..3)?, 16).ok()?, 3),
            _ => return None,
        };
        bytes.push(escape);
        rest = &behind[length..];
    }
    bytes.extend(rest.as_bytes());
    Some(bytes)
}
