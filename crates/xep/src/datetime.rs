//! Dates and times as XMPP writes them (XEP-0082).
//!
//! Times are milliseconds since the start of 1970 (UTC), without leap seconds, as in Unix.

use alloc::format;
use alloc::string::String;

/// The last millisecond of the year 9999, which is the last that can be written.
pub const END: u64 = 253_402_300_799_999;

/// `CCYY-MM-DDThh:mm:ss.sssZ` (section 3.2). What comes after [`END`] is written as that.
#[must_use]
pub fn format(at: u64) -> String {
    let at = at.min(END);
    let (seconds, millis) = (at / 1000, at % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Reads `CCYY-MM-DDThh:mm:ss[.sss]TZD` (section 3.2), in any zone, from 1970 to 9999. What is finer than a millisecond is left out.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let (day, time) = text.split_once('T')?;
    let mut day = day.splitn(3, '-');
    let days = days(digits(day.next()?, 4)?, digits(day.next()?, 2)?, digits(day.next()?, 2)?)?;
    let (clock, zone) = time.split_at(time.find(['Z', '+', '-'])?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let seconds = i64::try_from(days * 86_400 + seconds(clock)?).ok()?.checked_sub(offset(zone)?)?;
    let at = u64::try_from(seconds).ok()? * 1000 + millis(fraction)?;
    (at <= END).then_some(at)
}

/// Reads `CCYYMMDDThh:mm:ss`, the older way, which is always UTC (section 4).
pub(crate) fn parse_legacy(text: &str) -> Option<u64> {
    let (day, time) = text.split_once('T')?;
    let part = |range| day.get(range).unwrap_or_default();
    let days = days(digits(part(0..4), 4)?, digits(part(4..6), 2)?, digits(part(6..day.len()), 2)?)?;
    let at = (days * 86_400 + seconds(time)?) * 1000;
    (at <= END).then_some(at)
}

/// `hh:mm:ss`; the second may be a leap second.
fn seconds(clock: &str) -> Option<u64> {
    let mut parts = clock.splitn(3, ':');
    let mut part = || digits(parts.next()?, 2);
    let (hour, minute, second) = (part()?, part()?, part()?);
    (hour < 24 && minute < 60 && second <= 60).then_some((hour * 60 + minute) * 60 + second)
}

/// A day as XML Schema writes it, `CCYY-MM-DD` from the year 1 on and perhaps a zone, in seconds since the first day of that year.
#[cfg(feature = "validation")]
pub(crate) fn read_day(text: &str) -> Option<i64> {
    let (day, zone) = text.split_at_checked(10)?;
    Some(day_since_year_1(day)? * 86_400 - zone_of(zone)?)
}

/// A time of day, `hh:mm:ss` with a fraction and perhaps a zone, in seconds and milliseconds.
#[cfg(feature = "validation")]
pub(crate) fn read_time(text: &str) -> Option<(i64, u64)> {
    let (clock, zone) = text.split_at(text.find(['Z', '+', '-']).unwrap_or(text.len()));
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    Some((i64::try_from(seconds(clock)?).ok()? - zone_of(zone)?, millis(fraction)?))
}

/// A moment, a day and a time with `T` between them, as [`read_time`] counts.
#[cfg(feature = "validation")]
pub(crate) fn read_moment(text: &str) -> Option<(i64, u64)> {
    let (day, time) = text.split_once('T')?;
    let (seconds, millis) = read_time(time)?;
    Some((day_since_year_1(day)? * 86_400 + seconds, millis))
}

/// Seconds east of Greenwich, none where no zone is said.
#[cfg(feature = "validation")]
fn zone_of(zone: &str) -> Option<i64> {
    if zone.is_empty() { Some(0) } else { offset(zone) }
}

/// `CCYY-MM-DD`, from the year 1 on, if there is that day.
#[cfg(feature = "validation")]
fn day_since_year_1(text: &str) -> Option<i64> {
    let mut day = text.splitn(3, '-');
    let (year, month, day) = (digits(day.next()?, 4)?, digits(day.next()?, 2)?, digits(day.next()?, 2)?);
    // 400 years have the same days as the next 400, and none that is written here is before the year 1.
    let days = days(year.checked_sub(1)? + 2001, month, day)?;
    i64::try_from(days).ok()
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first()? {
        b'Z' => return (zone.len() == 1).then_some(0),
        b'+' => 1,
        _ => -1,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    let seconds = i64::try_from((hours * 60 + minutes) * 60).ok()?;
    (hours < 24 && minutes < 60).then_some(sign * seconds)
}

fn millis(fraction: &str) -> Option<u64> {
    if fraction.is_empty() || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digit = |place| fraction.as_bytes().get(place).map_or(0, |digit| u64::from(digit - b'0'));
    Some(digit(0) * 100 + digit(1) * 10 + digit(2))
}

/// A number of so many digits and nothing else.
fn digits(text: &str, count: usize) -> Option<u64> {
    let is_number = text.len() == count && text.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// Days since the start of 1970, if there is that day. Years are counted from March on, so that a leap day is the last of its year.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let (counted, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = counted / 4 - counted / 100 + counted / 400;
    let days = 365 * counted + leap_days + (153 * from_march + 2) / 5 + day - 1 - 719_468;
    (date(days) == (year, month, day)).then_some(days)
}

/// The date so many days after the start of 1970.
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

    // XEP-0082 1.1.1 §3.2
    #[test]
    fn times_are_written() {
        for (at, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_031_699_305_007, "2002-09-10T23:08:25.007Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format(at), expected);
        }
    }

    // XEP-0082 1.1.1 §3.2
    #[test]
    fn times_are_read() {
        for (text, at) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-28T23:59:59.999Z", Some(951_782_399_999)),
            ("2000-02-29T00:00:00.000Z", Some(951_782_400_000)),
            ("2002-09-10T23:08:25.007123Z", Some(1_031_699_305_007)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400_000)),
            ("9999-12-31T23:59:59.9Z", Some(253_402_300_799_900)),
            // The same moment in another zone.
            ("2002-09-10T17:08:25.5-06:00", Some(1_031_699_305_500)),
            ("2002-09-11T00:08:25.5+01:00", Some(1_031_699_305_500)),
            // Outside of what is read.
            ("1969-07-21T02:56:15Z", None),
            ("1970-01-01T00:00:00+01:00", None),
            ("9999-12-31T23:59:60Z", None),
            // There is no such day.
            ("2001-02-29T00:00:00Z", None),
            ("2002-04-31T00:00:00Z", None),
            ("2002-13-10T23:08:25Z", None),
            ("2002-00-10T23:08:25Z", None),
            // The zone is mandatory, and so are all digits.
            ("2002-09-10T23:08:25", None),
            ("2002-9-10T23:08:25Z", None),
            ("2002-09-10T23:08:25.Z", None),
            ("2002-09-10T23:08:25+1:00", None),
            ("2002-09-10", None),
            ("20020910T23:08:25Z", None),
            ("T", None),
            ("", None),
        ] {
            assert_eq!(parse(text), at, "{text}");
        }
    }

    // XEP-0082 1.1.1 §4, XEP-0091 1.4 §3
    #[test]
    fn the_older_way_is_read() {
        for (text, at) in [
            ("20020910T23:08:25", Some(1_031_699_305_000)),
            ("20000229T00:00:00", Some(951_782_400_000)),
            ("20010229T00:00:00", None),
            ("2002091T23:08:25", None),
            ("200209100T23:08:25", None),
            ("20020910T23:08:25Z", None),
            ("20\u{e9}20910T23:08:25", None),
        ] {
            assert_eq!(parse_legacy(text), at, "{text}");
        }
    }

    // Every day is the one after that before, in both directions.
    #[test]
    fn days_follow_each_other() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for count in 0..400_000 {
            assert_eq!(date(count), (year, month, day));
            assert_eq!(days(year, month, day), Some(count));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if leap { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, last) if last == lengths[month as usize - 1] => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(at in 0..=END) {
            assert_eq!(parse(&format(at)), Some(at));
        }

        #[test]
        fn whatever_others_write_is_read_or_not(text in "[-0-9T:.Z+]{0,30}|\\PC{0,12}") {
            let known = parse(&text).into_iter().chain(parse_legacy(&text));
            for at in known {
                assert_eq!(parse(&format(at)), Some(at), "{text}");
            }
        }
    }
}
