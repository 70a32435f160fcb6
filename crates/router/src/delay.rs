//! When something was held back: the element `<delay/>` of XEP-0203, with the time format of XEP-0082.

use alloc::format;
use alloc::string::String;

use balcony_stanza::ns;
use balcony_xml::{Element, Name};

/// `<delay/>`, by this server, since so many milliseconds after the start of 1970 (UTC).
pub(crate) fn delay(server: &str, at: u64) -> Element {
    const DELAY: Name = Name::from_static("delay");
    const FROM: Name = Name::from_static("from");
    const STAMP: Name = Name::from_static("stamp");
    Element::new(DELAY, ns::DELAY).attr(FROM, server).attr(STAMP, &stamp(at))
}

/// `CCYY-MM-DDThh:mm:ss.sssZ`. Years end with 9999.
fn stamp(at: u64) -> String {
    const END: u64 = 253_402_300_799_999;
    let at = at.min(END);
    let (seconds, millis) = (at / 1000, at % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The date so many days after the start of 1970. Years are counted from March on, so that a leap day is the last of its year.
const fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    // Days since the first of March of the year 0.
    let days = days + 719_468;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / (DAYS_OF_400_YEARS - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    // XEP-0082 1.1 §3.2, XEP-0203 2.0 §2
    #[test]
    fn stamps() {
        for (at, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_031_699_305_007, "2002-09-10T23:08:25.007Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(stamp(at), expected);
        }
    }

    // Every day is the one after that before.
    #[test]
    fn days_follow_each_other() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..400_000 {
            assert_eq!(date(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last =
                [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, d) if d == last => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }
}
