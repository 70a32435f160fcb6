//! What an extension costs: a table in docs/benchmarks.md, made of the committed figures. `cargo xtask figures --write` writes it anew, and a test
//! compares it with them.

use core::fmt::Write as _;

use super::table::{ALLOCATIONS, INSTRUCTIONS, Table};
use crate::run::Result;

/// Where the table is.
pub(super) const PAGE: &str = "docs/benchmarks.md";
/// What stands between these lines is made.
const MARKS: [&str; 2] = ["<!-- made by `cargo xtask figures --write` -->", "<!-- end -->"];

/// A row: what people use, what comes of a message then, and the path of the figures. The first is what the others are compared with.
const ROWS: &[(&str, &str, &str)] = &[
    ("none", "one delivery", "message"),
    ("carbons (XEP-0280), with a second resource of both", "three deliveries", "message-carbons"),
    ("block lists of both (XEP-0191), ten addresses each", "one delivery", "message-blocking"),
    ("stream management of both (XEP-0198), an acknowledgement for ten", "one delivery", "message-sm"),
    ("client state indication (XEP-0352), the recipient inactive", "one delivery", "message-csi"),
    ("these four", "three deliveries", "message-all"),
    ("offline messages (XEP-0160), to somebody who is away", "one change for the store", "message-offline"),
];

/// The table, if all figures are there.
fn table(figures: &Table) -> Result<String> {
    let mut text = String::from(
        "\n| in use | what comes of a message | instructions | more | allocations | more |\n|---|---|--:|--:|--:|--:|\n",
    );
    let figure = |group: &'static str, path: &str| {
        figures.value(group, path).ok_or_else(|| format!("{group}.{path} was never written"))
    };
    let (_, _, least) = ROWS[0];
    for &(used, outcome, path) in ROWS {
        let _ = write!(text, "| {used} | {outcome} |");
        for group in [INSTRUCTIONS.name, ALLOCATIONS.name] {
            let value = figure(group, path)?;
            let more = value - figure(group, least)?;
            let more = if path == least { String::new() } else { format!("{more:+.1}") };
            let more = more.strip_suffix(".0").unwrap_or(&more);
            let _ = write!(text, " {value} | {more} |");
        }
        text.push('\n');
    }
    Ok(text)
}

/// The page with this table.
pub(super) fn page(page: &str, figures: &Table) -> Result<String> {
    let parts =
        page.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
    let (before, after) =
        parts.ok_or_else(|| format!("{PAGE}: the lines `{}` and `{}` are missing", MARKS[0], MARKS[1]))?;
    Ok(format!("{before}{}\n{}\n{}{after}", MARKS[0], table(figures)?, MARKS[1]))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::figures::FILE;
    use crate::run::root;

    #[test]
    fn the_page_shows_the_committed_figures() {
        let read = |name: &str| fs::read_to_string(root().join(name)).expect("a file");
        let figures = Table::parse(&read(FILE)).expect("good figures");
        let shown = read(PAGE);
        assert_eq!(
            page(&shown, &figures).as_ref(),
            Ok(&shown),
            "`cargo xtask figures --write` writes it anew"
        );
    }

    #[test]
    fn each_row_says_how_much_more_it_is() {
        let mut text = String::from("[instructions]\n");
        for (number, (_, _, path)) in ROWS.iter().enumerate() {
            let _ = writeln!(text, "{path} = {}", 1_000 + 10 * number);
        }
        text += "[allocations]\n";
        for (number, (_, _, path)) in ROWS.iter().enumerate() {
            let _ = writeln!(text, "{path} = {}", 6.3 + number as f64 / 2.0);
        }
        let table = table(&Table::parse(&text).expect("good figures")).expect("all are there");
        assert!(table.contains("| none | one delivery | 1000 |  | 6.3 |  |\n"), "{table}");
        assert!(table.contains("| three deliveries | 1010 | +10 | 6.8 | +0.5 |\n"), "{table}");
        assert!(super::table(&Table::parse("").expect("no figures")).is_err());
    }
}
