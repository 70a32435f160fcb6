//! What comes of it: docs/runtimes.md.

use core::fmt::Write as _;

use crate::drivers::root;
use crate::figures::{Costs, measure};
use crate::inside::Inside;
use crate::outside::Outside;
use crate::script::{Stage, scenarios};
use crate::{DRIVERS, Driver, Failure, Kind, Tools};

/// The page, in the checkout.
pub const PAGE: &str = "docs/runtimes.md";

const INTRODUCTION: &str = "\
# One client, wherever Rust runs

Made by `cargo xtask runtimes --write`. The same core is behind all of these; a driver brings it bytes and time. Each of them plays the phone in the same
scenarios (`runtimes/scenarios.txt`), against a real server, and has to say the same lines as all others; the other people are clients on
threads. In the simulator's row all of them, and the server, are in one virtual world.

";

const MEANING: &str = "
- **Lines**: what there is between the sans-IO client and the platform, without comments, empty lines and tests. `crates/runtime`, which is the same for
  all async runtimes, is not in it, and neither is the program that plays the phone.
- **Idle**: bytes of the heap that an idle connection holds, in the clear and with TLS, after a login with SCRAM: what an allocator that counts says in that process,
  before the login and a moment after it. What the first connection makes once and for all was made before. Stacks and the operating system's buffers are not in it.
- **Allocations a message**: how often memory is asked for, from the bytes of a chat message of 52 characters on, for it to be told to the
  program, or by the server to be brought from one client to the other; in the clear, one message at a time, of 200 the mean. In those that are written in Rust one of them is the program's, for the line
  that it says.
- The figures are those of a build for tests; they are the same each time but for some hundred bytes.
";

/// What has come of the scenarios with a driver, in their order; or why it can't be played here.
pub type Played = Result<Vec<(&'static str, Result<(), String>)>, String>;

/// Plays all scenarios with a driver.
pub fn play(driver: &Driver, tools: &Tools) -> Played {
    tools.have(driver)?;
    let mut stage: Option<Box<dyn Stage>> = None;
    let mut results = Vec::new();
    for (number, scenario) in scenarios().iter().enumerate() {
        let mut play = || -> Result<(), Failure> {
            let stage = match &mut stage {
                Some(stage) => stage,
                none => none.insert(match driver.kind {
                    Kind::Simulator => Box::new(Inside::new(number as u64)),
                    _ => Box::new(Outside::new(driver, tools, driver.tls.is_ok())?),
                }),
            };
            scenario.play(stage.as_mut())
        };
        let result = play().map_err(|error| error.to_string());
        // After that nobody knows in what state everybody is.
        if result.is_err() {
            stage = None;
        }
        results.push((scenario.name, result));
    }
    Ok(results)
}

/// Plays and measures everything, prints what comes of it, and writes the page if that is wanted.
///
/// # Errors
///
/// A scenario has gone another way, or a driver can't be measured; that a driver can't be played here only if the page is to be written.
pub fn main(tools: &Tools, write: bool) -> Result<(), Failure> {
    let mut failed = Vec::new();
    let mut rows = Vec::new();
    for driver in DRIVERS {
        let played = play(driver, tools);
        let mut costs = None;
        match &played {
            Err(reason) => println!("runtimes: SKIP: {}: {reason}", driver.name),
            Ok(results) => {
                println!("runtimes: {} has played", driver.name);
                for (scenario, result) in results {
                    if let Err(error) = result {
                        failed.push(format!("{}: {scenario}: {error}", driver.name));
                    }
                }
                if driver.counts.is_ok() {
                    let clear = measure(driver, tools, false)?;
                    let secure = driver.tls.is_ok().then(|| measure(driver, tools, true)).transpose()?;
                    costs = Some((clear, secure));
                }
            }
        }
        rows.push(Row { driver, played, costs });
    }
    let page = page(&rows)?;
    print!("{}", page.trim_start_matches(INTRODUCTION).trim_end_matches(MEANING));
    if !failed.is_empty() {
        return Err(failed.join("\n").into());
    }
    if write {
        if let Some(row) = rows.iter().find(|row| row.played.is_err()) {
            return Err(format!("{} was not played here, so {PAGE} is not written", row.driver.name).into());
        }
        std::fs::write(root().join(PAGE), page)?;
        println!("{PAGE} is written");
    }
    Ok(())
}

/// Plays the drivers with these names, and says how that went.
///
/// # Errors
///
/// A scenario has gone another way, or there is no such driver.
pub fn some(tools: &Tools, names: &[&str]) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for name in names {
        let driver = DRIVERS.iter().find(|driver| driver.name == *name);
        let driver = driver.ok_or_else(|| format!("there is no driver `{name}`"))?;
        match play(driver, tools) {
            Err(reason) => println!("runtimes: SKIP: {name}: {reason}"),
            Ok(results) => {
                for (scenario, result) in results {
                    let word = if result.is_ok() { "ok" } else { "FAILS" };
                    println!("{name}: {scenario}: {word}");
                    failed.extend(result.err().map(|error| format!("{name}: {scenario}: {error}")));
                }
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
}

struct Row {
    driver: &'static Driver,
    played: Played,
    /// In the clear, and with TLS.
    costs: Option<(Costs, Option<Costs>)>,
}

fn page(rows: &[Row]) -> Result<String, Failure> {
    let mut page = String::from(INTRODUCTION);
    page.push_str("| driver | what it is | lines | client: idle | with TLS | allocations a message | server: idle | with TLS | allocations a message |\n");
    page.push_str("|---|---|---:|---:|---:|---:|---:|---:|---:|\n");
    for Row { driver, costs, .. } in rows {
        let clear = costs.as_ref().map(|(clear, _)| clear);
        let secure = costs.as_ref().and_then(|(_, secure)| secure.as_ref());
        // The server of another row is not said again.
        let has_server = driver.server == driver.name;
        let server = |costs: Option<&Costs>| costs.and_then(|(_, server)| *server).filter(|_| has_server);
        let bytes = |cost: Option<u64>| cost.map_or("-".into(), |bytes| bytes.to_string());
        let tenths =
            |cost: Option<u64>| cost.map_or("-".into(), |count| format!("{}.{}", count / 10, count % 10));
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            driver.name,
            driver.about,
            driver.lines()?,
            bytes(clear.map(|(client, _)| client.idle)),
            bytes(secure.map(|(client, _)| client.idle)),
            tenths(clear.map(|(client, _)| client.message)),
            bytes(server(clear).map(|server| server.idle)),
            bytes(server(secure).map(|server| server.idle)),
            tenths(server(clear).map(|server| server.message)),
        )?;
    }
    page.push_str("\nWhere there is a `-`:\n\n");
    for driver in DRIVERS {
        if let Err(reason) = driver.counts {
            writeln!(page, "- {}: {reason}.", driver.name)?;
        }
        if let Err(reason) = driver.tls {
            writeln!(page, "- {}, with TLS: {reason}.", driver.name)?;
        }
        match driver.server {
            "threads" => writeln!(page, "- {}, the server: the example does not count.", driver.name)?,
            server if server != driver.name => {
                writeln!(page, "- {}: it has no server, and plays with that of {server}.", driver.name)?
            }
            _ => {}
        }
    }
    page.push_str("\n## What each has shown\n\n| scenario |");
    rows.iter().for_each(|row| page.push_str(&format!(" {} |", row.driver.name)));
    page.push_str("\n|---|");
    rows.iter().for_each(|_| page.push_str("---|"));
    page.push('\n');
    for scenario in scenarios() {
        write!(page, "| {} |", scenario.name)?;
        for row in rows {
            let result =
                row.played.as_ref().ok().and_then(|all| all.iter().find(|(name, _)| *name == scenario.name));
            let word = match result {
                None => "not played",
                Some((_, Ok(()))) => "ok",
                Some((_, Err(_))) => "FAILS",
            };
            write!(page, " {word} |")?;
        }
        page.push('\n');
    }
    page.push_str(MEANING);
    Ok(page)
}
