//! What is shown of it: for people at a terminal, and as a page of the documentation.

use core::fmt::Write as _;
use std::path::Path;

use super::figures::Messages;
use crate::interop::read;
use crate::run::{Result, seconds as length};

/// What was seen of one server with one kind of client.
pub(crate) struct Row {
    pub(crate) server: String,
    pub(crate) client: &'static str,
    pub(crate) messages: Messages,
    /// Sessions that went on, and those that began, of both clients.
    pub(crate) resumed: usize,
    pub(crate) begun: usize,
    pub(crate) outages: usize,
    pub(crate) addresses: usize,
    /// Seconds, the median and the worst.
    pub(crate) after_outage: Option<(f64, f64)>,
    pub(crate) after_address: Option<(f64, f64)>,
    pub(crate) bytes: u64,
}

/// The figures.
pub(crate) fn tables(rows: &[Row]) -> String {
    let mut text = String::from(
        "| server | clients | sent | lost | twice | out of order | sessions resumed | begun | back after an outage: median, worst | \
         after a change of address | KiB on the networks |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let times = |times: Option<(f64, f64)>| match times {
        Some((median, worst)) => format!("{median:.1} s, {worst:.1} s"),
        None => "-".into(),
    };
    for row in rows {
        let Messages { sent, lost, twice, disordered } = row.messages;
        let _ = writeln!(
            text,
            "| {} | {} | {sent} | {lost} | {twice} | {disordered} | {} | {} | {} | {} | {} |",
            row.server,
            row.client,
            row.resumed,
            row.begun,
            times(row.after_outage),
            times(row.after_address),
            row.bytes / 1024,
        );
    }
    text
}

/// The page docs/survival.md.
pub(crate) fn markdown(tables: &str, seconds: u64, seed: u64, rows: &[Row]) -> String {
    let (outages, addresses) = rows.first().map_or((0, 0), |row| (row.outages, row.addresses));
    format!(
        "{}\nOne run of {}, seed {seed}, with {} and {}, all in the same weather at the same time, on {}.\n\n\
         {tables}\n{}",
        include_str!("../../survive/head.md"),
        length(core::time::Duration::from_secs(seconds)),
        counted(outages, "outage", "outages"),
        counted(addresses, "change of address", "changes of address"),
        machine(),
        include_str!("../../survive/notes.md"),
    )
}

fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// What it ran on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read(Path::new("/proc/sys/kernel/osrelease"));
    let kernel = kernel.trim().split('-').next().unwrap_or_default().to_owned();
    let info = read(Path::new("/proc/cpuinfo"));
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{cores} cores ({}), Linux {kernel}", model.map_or("unknown", |(_, model)| model.trim()))
}

/// With Balcony at both ends nothing may be wrong.
pub(crate) fn verdict(rows: &[Row]) -> Result {
    let is_ours = |row: &&Row| row.client == "balcony" && row.server.starts_with("balcony ");
    let ours = rows.iter().find(is_ours).ok_or("Balcony did not run")?;
    let Messages { sent, lost, twice, disordered } = ours.messages;
    match (lost, twice, disordered) {
        _ if sent == 0 => Err("nothing was sent".into()),
        (0, 0, 0) => Ok(()),
        _ => {
            Err(format!("of {sent} messages {lost} were lost, {twice} came twice, {disordered} out of order"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(server: &str, client: &'static str, lost: usize) -> Row {
        let messages = Messages { sent: 10, lost, ..Messages::default() };
        let server = format!("{server} 1.0");
        let (after_outage, after_address) = (Some((1.25, 9.0)), None);
        Row {
            server,
            client,
            messages,
            resumed: 3,
            begun: 2,
            outages: 4,
            addresses: 0,
            after_outage,
            after_address,
            bytes: 2048,
        }
    }

    #[test]
    fn only_our_own_losses_are_a_failure() {
        let others = || [row("one", "balcony", 5), row("balcony", "slixmpp", 5)];
        let with = |ours: Row| verdict(&others().into_iter().chain([ours]).collect::<Vec<_>>());
        assert_eq!(with(row("balcony", "balcony", 0)), Ok(()));
        assert!(with(row("balcony", "balcony", 1)).is_err());
        assert!(verdict(&others()).is_err());
    }

    #[test]
    fn a_row_has_its_figures() {
        let tables = tables(&[row("one", "slixmpp", 5)]);
        assert!(
            tables.ends_with("| one 1.0 | slixmpp | 10 | 5 | 0 | 0 | 3 | 2 | 1.2 s, 9.0 s | - | 2 |\n"),
            "{tables}"
        );
    }
}
