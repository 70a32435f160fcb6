//! What a connection and a message cost the heap, by the allocators of the client's process and of the server's.

use core::time::Duration;

use crate::outside::Outside;
use crate::script::Stage as _;
use crate::{Driver, Failure, Tools};

/// So many messages are counted, after a few by which everything has got its size.
const MESSAGES: u64 = 200;
const FIRST: u64 = 20;

/// How long nothing happens before a connection passes for idle.
const QUIET: Duration = Duration::from_millis(700);

/// What a connection and a message cost one end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Bytes that an idle connection holds.
    pub(crate) idle: u64,
    /// Allocations for a message, in tenths.
    pub(crate) message: u64,
}

/// The cost for the client, and for the server where that counts.
pub(crate) type Costs = (Cost, Option<Cost>);

/// Measures a driver, with TLS or without.
pub(crate) fn measure(driver: &Driver, tools: &Tools, has_tls: bool) -> Result<Costs, Failure> {
    let mut stage = Outside::new(driver, tools, has_tls)?;
    // What is made once, by the first connection, is not the second one's.
    for _ in 0..2 {
        connect(&mut stage, "phone", "juliet@localhost/phone 5 r0m30")?;
        close(&mut stage)?;
    }
    std::thread::sleep(QUIET);
    let mut ends = vec!["phone"];
    if driver.server != "threads" {
        ends.push("server");
    }
    let before = look(&mut stage, &ends)?;
    connect(&mut stage, "phone", "juliet@localhost/phone 5 r0m30")?;
    std::thread::sleep(QUIET);
    let idle = look(&mut stage, &ends)?;
    connect(&mut stage, "romeo", "romeo@localhost/garden 0 jul13t")?;
    talk(&mut stage, FIRST)?;
    let first = look(&mut stage, &ends)?;
    talk(&mut stage, MESSAGES)?;
    let last = look(&mut stage, &ends)?;
    close(&mut stage)?;
    let costs: Vec<Cost> = (0..ends.len())
        .map(|end| Cost {
            idle: idle[end].0.saturating_sub(before[end].0),
            message: ((last[end].1 - first[end].1) * 10 + MESSAGES / 2) / MESSAGES,
        })
        .collect();
    Ok((costs[0], costs.get(1).copied()))
}

fn look(stage: &mut Outside, ends: &[&str]) -> Result<Vec<(u64, u64)>, Failure> {
    ends.iter().map(|end| stage.figures(end)).collect()
}

fn connect(stage: &mut Outside, who: &str, account: &str) -> Result<(), Failure> {
    stage.tell(who, &format!("connect {account}"))?;
    heard(stage, who, "online ")
}

fn close(stage: &mut Outside) -> Result<(), Failure> {
    stage.tell("phone", "close")?;
    heard(stage, "phone", "closed")
}

fn talk(stage: &mut Outside, count: u64) -> Result<(), Failure> {
    for _ in 0..count {
        stage.tell("romeo", "say juliet@localhost But soft, what light through yonder window breaks?")?;
        heard(stage, "phone", "message ")?;
    }
    Ok(())
}

fn heard(stage: &mut Outside, who: &str, start: &str) -> Result<(), Failure> {
    let line = stage.hear(who).ok_or_else(|| format!("{who} does not say `{start}`"))?;
    if line.starts_with(start) { Ok(()) } else { Err(format!("{who} says `{line}`, not `{start}`").into()) }
}
