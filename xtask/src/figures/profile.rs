//! Where the instructions of a path go, and what an idle session is made of: `cargo xtask figures --profile`, from what valgrind's cachegrind
//! and dhat write. Of two runs only the difference counts, so that beginning and end fall out.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::measure::{self, Compiler, SESSIONS};
use crate::run::{Result, root};

/// Where the tables are.
const PAGE: &str = "docs/profile.md";
/// What stands between these lines is made; what stands around them is written by people.
const MARKS: [&str; 2] = ["<!-- made by `cargo xtask figures --profile --write` -->", "<!-- end -->"];
/// The paths, with how often each is gone in the shorter run.
const PATHS: [(&str, &str, u64); 3] = [
    ("message", "a chat message to a contact", 500),
    ("message-offline", "a message that is stored", 500),
    ("login", "a login with SCRAM-SHA-256", 20),
];
/// What is made of sessions, and what is said of them.
const SESSION_PATHS: [(&str, &str); 2] = [("session", ""), ("session-contacts", " with 100 contacts")];
/// What costs less than this part of all has no line of its own.
const LEAST: f64 = 0.01;

pub(super) fn main(compiler: &Compiler, write: bool) -> Result {
    let program = measure::with_lines(compiler)?;
    let mut text = String::from("\n");
    for (path, title, few) in PATHS {
        let (less, more) = (instructions(&program, path, few)?, instructions(&program, path, 3 * few)?);
        let times = (2 * few) as f64;
        let mut parts: BTreeMap<String, f64> = BTreeMap::new();
        for (file, count) in more {
            let each = (count - less.get(&file).copied().unwrap_or(0.0)) / times;
            *parts.entry(part(&file)).or_default() += each;
        }
        table(&mut text, &format!("Instructions of {title}"), "instructions", parts);
    }
    for (path, title) in SESSION_PATHS {
        let title = format!("Bytes of an idle session{title}, by who has asked for them");
        table(&mut text, &title, "bytes", memory(&program, path)?);
    }
    print!("{text}");
    if !write {
        return Ok(());
    }
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path).map_err(|error| format!("{PAGE}: {error}"))?;
    let page = page.split_once(MARKS[0]).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(MARKS[1])?;
        Some(format!("{before}{}\n{text}\n{}{after}", MARKS[0], MARKS[1]))
    });
    let page =
        page.ok_or_else(|| format!("{PAGE}: the lines `{}` and `{}` are missing", MARKS[0], MARKS[1]))?;
    fs::write(path, page).map_err(|error| format!("{PAGE}: {error}"))?;
    println!("{PAGE} is written");
    Ok(())
}

/// One table, the largest first.
fn table(text: &mut String, title: &str, unit: &str, parts: BTreeMap<String, f64>) {
    let total: f64 = parts.values().sum();
    let (mut named, small): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|(_, each)| *each >= total * LEAST);
    named.sort_by(|one, other| other.1.total_cmp(&one.1));
    let rest: f64 = small.iter().map(|(_, each)| each).sum();
    named.push((format!("{} others", small.len()), rest));
    let _ = write!(text, "### {title}\n\n| where | {unit} | share |\n|---|--:|--:|\n");
    let mut line = |what: &str, each: f64| {
        let _ = writeln!(text, "| {what} | {each:.0} | {:.1} % |", 100.0 * each / total);
    };
    named.iter().for_each(|(what, each)| line(what, *each));
    line("all", total);
    text.push('\n');
}

/// Of which part of the program a file is. What is inlined counts where it was written.
fn part(file: &str) -> String {
    let after = |mark: &str| file.rsplit_once(mark).map(|(_, rest)| rest);
    if file.contains("/malloc/") {
        return "the allocator".into();
    }
    if file.contains("mem") && file.contains("multiarch") {
        return "copying and comparing memory".into();
    }
    if file.contains("/library/") {
        return "the standard library".into();
    }
    if let Some(package) = after("packages/").or_else(|| after("registry/src/")) {
        let name = package.split('/').find(|name| name.contains('-')).unwrap_or(package);
        return format!("package {}", name.rsplit_once('-').map_or(name, |(name, _)| name));
    }
    match after("crates/").and_then(|rest| rest.split_once("/src/")) {
        Some((package, path)) => {
            let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
            format!("`{package}` {}", if path == "lib" { "" } else { path }).trim_end().to_owned()
        }
        None => "elsewhere".into(),
    }
}

/// The instructions of a run, by the files where they were written.
fn instructions(program: &Path, path: &str, count: u64) -> Result<BTreeMap<String, f64>> {
    let text = measure::traced(program, "cachegrind", &["--cache-sim=no"], path, count)?;
    let mut files: BTreeMap<String, f64> = BTreeMap::new();
    let mut file = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fl=") {
            name.clone_into(&mut file);
        } else if line.starts_with(|first: char| first.is_ascii_digit())
            && let Some(count) = line.split(' ').nth(1).and_then(|count| count.parse::<f64>().ok())
        {
            *files.entry(file.clone()).or_default() += count;
        }
    }
    Ok(files)
}

/// The bytes that a session holds, by the functions of ours that have asked for them.
fn memory(program: &Path, path: &str) -> Result<BTreeMap<String, f64>> {
    let text = measure::traced(program, "dhat", &[], path, SESSIONS)?;
    let (points, frames) = text.split_once("\"ftbl\":").ok_or("dhat has written no frames")?;
    // The first is in the line behind that.
    let frames: Vec<&str> = frames.lines().skip(1).collect();
    let mut sites: BTreeMap<String, f64> = BTreeMap::new();
    for point in points.split("{\"tb\":").skip(1) {
        // What it held when the program held most, which is when all sessions were there.
        let bytes =
            point.split_once("\"gb\":").and_then(|(_, rest)| rest.split(',').next()?.parse::<f64>().ok());
        let stack = point.split_once("\"fs\":[").and_then(|(_, rest)| rest.split_once(']'));
        let (Some(bytes), Some((stack, _))) = (bytes.filter(|bytes| *bytes > 0.0), stack) else { continue };
        let names = stack.split(',').filter_map(|number| frames.get(number.trim().parse::<usize>().ok()?));
        let site = names.filter_map(|frame| function(frame)).next().unwrap_or_else(|| "elsewhere".into());
        *sites.entry(site).or_default() += bytes / SESSIONS as f64;
    }
    Ok(sites)
}

/// A function of ours: `"0x41B2: balcony_router::bind::<impl balcony_router::router::Router>::bind_of (bind.rs:60)"`.
fn function(frame: &str) -> Option<String> {
    let (_, name) = frame.split_once(": ")?;
    let name = name.split_once(" (")?.0;
    if !name.starts_with("balcony_") {
        return None;
    }
    let mut short = name.to_owned();
    while let Some(start) = short.find("::<") {
        let end = short[start..].find('>').map_or(short.len(), |end| start + end + 1);
        short.replace_range(start..end, "");
    }
    Some(format!("`{}`", short.trim_start_matches("balcony_")))
}
