//! When something was held back (XEP-0203), in the time format of XEP-0082.

use balcony_jid::FullJid;
use balcony_stanza::{Stanza, ns};

/// When the own server stored this stanza, in milliseconds since the start of 1970 (UTC); `None` if it has come at once.
///
/// What others say about delays is ignored. A sender can still pretend to be the server: believe it for display only.
#[must_use]
pub fn held_back(stanza: &Stanza, own: &FullJid) -> Option<u64> {
    let content = stanza.payload.parse().ok()?;
    let is_server = |from: Option<&str>| from == Some(own.domainpart()) || from == Some(own.bare_str());
    let mut delays = content.root().children().filter(|child| child.is("delay", ns::DELAY));
    delays.find(|delay| is_server(delay.attr("from")))?.attr("stamp").and_then(read)
}

/// `CCYY-MM-DDThh:mm:ss[.sss]TZD` (XEP-0082 section 3.2), from 1970 on.
fn read(stamp: &str) -> Option<u64> {
    let (date, time) = stamp.split_once('T')?;
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone_at = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let is_real = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_real {
        return None;
    }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    let seconds = seconds.checked_sub(offset(zone)?)?;
    u64::try_from(seconds * 1000 + millis(fraction)?).ok()
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first()? {
        b'Z' => return (zone.len() == 1).then_some(0),
        b'+' => 1,
        _ => -1,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

fn millis(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digit = |place| fraction.as_bytes().get(place).map_or(0, |digit| i64::from(digit - b'0'));
    Some(digit(0) * 100 + digit(1) * 10 + digit(2))
}

/// A number of a few digits and nothing else.
fn number(text: &str) -> Option<i64> {
    let is_short = (1..=4).contains(&text.len());
    (is_short && text.bytes().all(|digit| digit.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days since the start of 1970. Years are counted from March on, so that a leap day is the last of its year.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    // XEP-0082 1.1.1 §3.2
    #[test]
    fn stamps() {
        for (stamp, at) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-28T23:59:59.999Z", Some(951_782_399_999)),
            ("2000-02-29T00:00:00.000Z", Some(951_782_400_000)),
            ("2002-09-10T23:08:25.007123Z", Some(1_031_699_305_007)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400_000)),
            ("9999-12-31T23:59:59.9Z", Some(253_402_300_799_900)),
            // The same moment in another zone.
            ("1969-07-21T02:56:15Z", None),
            ("2002-09-10T17:08:25.5-06:00", Some(1_031_699_305_500)),
            ("2002-09-11T00:08:25.5+01:00", Some(1_031_699_305_500)),
            ("1970-01-01T00:00:00+01:00", None),
        ] {
            assert_eq!(read(stamp), at, "{stamp}");
        }
        for wrong in
            ["", "T", "2002-09-10", "2002-09-10T23:08:25", "2002-9-10T23:08:25.Z", "2002-13-10T23:08:25Z"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_others_write_is_read_or_not(stamp in "[-0-9T:.Z+]{0,30}|\\PC{0,12}") {
            let _ = read(&stamp);
        }

        // Each second is the one after that before: days have no holes.
        #[test]
        fn days_follow_each_other(year in 1970_i64..9999, month in 1_i64..=12) {
            let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
            assert_eq!(days(next_year, next, 1) - days(year, month, 1), length);
        }
    }
}
