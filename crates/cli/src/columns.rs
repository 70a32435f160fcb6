//! Lines whose parts stand below each other, for a person to read.

/// A part that is longer, in characters, moves what stands behind it, instead of making all other lines as wide.
const WIDEST: usize = 48;

/// The lines of a table, two spaces between its columns.
pub(crate) fn lines<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let length = |cell: &String| cell.chars().count();
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(length(cell).min(WIDEST));
        }
    }
    let line = |row: &[String; N]| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(core::iter::repeat_n(' ', 2 + width.saturating_sub(length(cell))));
        }
        line.truncate(line.trim_end().len());
        line
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_stands_below_each_other() {
        let row = |cells: [&str; 3]| cells.map(String::from);
        let rows = [row(["a", "bä", "c"]), row(["aaa", "b", "cc"]), row(["", "", "c"]), row(["a", "b", ""])];
        assert_eq!(lines(&rows), ["a    bä  c", "aaa  b   cc", "         c", "a    b"]);
        // One that is very long is nobody else's affair.
        let long = "x".repeat(WIDEST + 12);
        let rows = [row([&long, "b", "c"]), row(["a", "b", "c"])];
        let a = format!("a{}  b  c", " ".repeat(WIDEST - 1));
        assert_eq!(lines(&rows), [format!("{long}  b  c"), a]);
        assert!(lines::<3>(&[]).is_empty());
    }
}
