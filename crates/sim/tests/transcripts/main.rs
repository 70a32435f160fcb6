//! Golden transcripts: who sends what to a server, and what it sends to whom, byte for byte, as text files that lie beside this one.
//!
//! They show what the server does on the wire, so that it can be built anew inside without a byte changing outside. A
//! transcript is a script and its own record. These lines are the script:
//!
//! ```text
//! # A remark.
//! * login balcony juliet@example.com/balcony
//! balcony> <presence/>
//! ```
//!
//! After each of them the record says what has come of it, one line for each stanza, in the order in which the connections
//! were opened:
//!
//! ```text
//! balcony< <presence from='juliet@example.com/balcony' to='juliet@example.com' xml:lang='en'/>
//! ```
//!
//! `cargo test -p balcony-sim --test transcripts` replays every script and compares the record; with
//! `BALCONY_TRANSCRIPTS=write` in the environment it writes the record anew, and the difference can be read before it is
//! committed. [`script`] lists the commands.
//!
//! Each script is replayed three times, with one result: as it stands, with every byte in a piece of its own, and with a store
//! that answers when nothing else is left to do. Time passes only where the script says so. Values that the server makes up at
//! random (ids of its requests and streams, versions of rosters, resources) have names, such as `{id1}`, so that they can be sent
//! back, and so that another number of draws changes nothing.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "it reads the transcripts from their files")]

mod names;
mod script;
mod stage;

use std::fs;
use std::path::{Path, PathBuf};

use script::replay;
use stage::How;

/// Where the transcripts are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

fn transcripts() -> Vec<PathBuf> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "txt")).collect();
    files.sort();
    files
}

/// The first line that differs, with what stands before it.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let at = expected.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let context = expected[at.saturating_sub(3)..at].iter().map(|line| format!("    {line}\n"));
    let line = |lines: &[&str]| lines.get(at).map_or("(the end)".into(), |line| (*line).to_owned());
    format!("line {}:\n{}  - {}\n  + {}", at + 1, context.collect::<String>(), line(&expected), line(&found))
}

#[test]
fn the_server_sends_what_the_transcripts_say() {
    let write = std::env::var("BALCONY_TRANSCRIPTS").is_ok_and(|what| what == "write");
    let mut differences = Vec::new();
    for path in transcripts() {
        let name = path.file_name().unwrap().to_string_lossy();
        let text = fs::read_to_string(&path).unwrap();
        let whole = replay(&name, &text, How::Whole);
        let expected = if write { &whole } else { &text };
        for (how, found) in [
            ("", whole.clone()),
            (", byte by byte", replay(&name, &text, How::Bytes)),
            (", with a late store", replay(&name, &text, How::LateStore)),
        ] {
            if found != *expected {
                differences.push(format!("{name}{how}, {}", difference(expected, &found)));
            }
        }
        if write && whole != text {
            fs::write(&path, whole).unwrap();
        }
    }
    let hint = "BALCONY_TRANSCRIPTS=write writes them anew";
    assert!(differences.is_empty(), "{}\n({hint})", differences.join("\n"));
}

#[test]
fn there_is_a_transcript_of_each_part() {
    let names: Vec<_> =
        transcripts().iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    for part in [
        "blocking",
        "carbons",
        "errors",
        "inactive",
        "login",
        "messages",
        "offline",
        "presence",
        "registration",
        "requests",
        "roster",
        "services",
        "subscription",
    ] {
        assert!(names.iter().any(|name| name == part), "there is no transcript `{part}`");
    }
}

const SHORT: &str = "\
* account juliet
* login balcony juliet@example.com/balcony
balcony> <presence/>
balcony< <presence from='juliet@example.com/balcony' to='juliet@example.com' xml:lang='en'/>
";

#[test]
fn a_record_is_compared_and_not_copied() {
    assert_eq!(replay("short", SHORT, How::Whole), SHORT);
    for changed in [
        SHORT.replace("xml:lang='en'", "xml:lang='de'"),
        SHORT.replace("balcony< ", "balcony< <presence/>\nbalcony< "),
        SHORT.lines().take(3).map(|line| format!("{line}\n")).collect(),
    ] {
        assert_ne!(changed, SHORT);
        assert_eq!(replay("short", &changed, How::Whole), SHORT);
    }
    assert!(difference("a\nb\n", "a\nc\n").contains("line 2:\n    a\n  - b\n  + c"));
    assert!(difference("a\n", "a\nc\n").contains("- (the end)\n  + c"));
}

#[test]
#[should_panic(expected = "short:2: what is `whatever`?")]
fn a_line_that_is_no_part_of_a_script_is_no_remark() {
    replay("short", "# Fine.\nwhatever\n", How::Whole);
}
