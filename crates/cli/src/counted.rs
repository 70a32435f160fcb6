//! How many there are of something, in words.

use core::fmt::Display;

/// `1 day` or `3 days`, with the words for one and for several.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str, several: &str) -> String {
    let what = if count == N::from(1) { one } else { several };
    format!("{count} {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_several() {
        let days = [0_u64, 1, 2, 11, 101].map(|count| counted(count, "day", "days"));
        assert_eq!(days, ["0 days", "1 day", "2 days", "11 days", "101 days"]);
    }
}
