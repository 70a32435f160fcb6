//! Domainparts (RFC 7622 §3.2): what can be decided without Unicode tables.

use alloc::borrow::Cow;

use crate::part::lowercase;
use crate::{Reason, unicode};

/// What DNS holds, written without the dot of the root (RFC 1035 §2.3.4, of whose 255 octets two are not seen here).
pub(crate) const MAX_NAME: usize = 253;
/// What DNS holds in one label.
pub(crate) const MAX_LABEL: usize = 63;

pub(crate) fn enforce(text: &str) -> Result<Cow<'_, str>, Reason> {
    if text.starts_with('[') {
        return ip_literal(strip_root(text));
    }
    if !text.is_ascii() || text.split('.').any(is_a_label) {
        return unicode::domainpart(text);
    }
    let name = strip_root(text);
    if name.is_empty() {
        return Err(Reason::Empty);
    }
    // An IPv4 address is made of labels too, so it needs no case of its own.
    name.split('.').try_for_each(check_ldh)?;
    if name.len() > MAX_NAME { Err(Reason::DnsLength) } else { Ok(lowercase(name)) }
}

/// Without the one dot at the end that says 'this name is complete'.
pub(crate) fn strip_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

pub(crate) fn is_a_label(label: &str) -> bool {
    label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"))
}

/// The rules for a label of letters, digits and hyphens (NR-LDH, RFC 5890 §2.3.1), in either case.
pub(crate) fn check_ldh(label: &str) -> Result<(), Reason> {
    if let Some(bad) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
        return Err(Reason::Forbidden(bad));
    }
    if label.len() > MAX_LABEL {
        return Err(Reason::DnsLength);
    }
    check_hyphens(label)
}

/// The rules for hyphens, which are the same in every label that is not an A-label (RFC 5891 §4.2.3.1).
pub(crate) fn check_hyphens(label: &str) -> Result<(), Reason> {
    if label.is_empty() {
        Err(Reason::EmptyLabel)
    } else if label.starts_with('-') || label.ends_with('-') || label.chars().skip(2).take(2).eq("--".chars())
    {
        Err(Reason::Hyphen)
    } else {
        Ok(())
    }
}

/// `[` IPv6 address, zone `]`, or `[` address of a later version `]` (RFC 3986 §3.2.2, RFC 6874 §2).
///
/// The digits become lower case. They are not brought into one of the many ways to write the same address: the RFC maps case
/// only. A zone names an interface of one machine, whose case may matter there, so it stays.
fn ip_literal(text: &str) -> Result<Cow<'_, str>, Reason> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or(Reason::IpLiteral)?;
    let (address, zone) = match inner.split_once('%') {
        Some((address, zone)) => (address, Some(zone.strip_prefix("25").ok_or(Reason::IpLiteral)?)),
        None => (inner, None),
    };
    let valid = match address.strip_prefix(['v', 'V']) {
        Some(future) => zone.is_none() && is_ip_future(future),
        None => is_ipv6(address) && zone.is_none_or(is_zone),
    };
    match (valid, zone) {
        (false, _) => Err(Reason::IpLiteral),
        (true, None) => Ok(lowercase(text)),
        (true, Some(zone)) => Ok(match lowercase(address) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(address) => Cow::Owned(alloc::format!("[{address}%25{zone}]")),
        }),
    }
}

/// Eight groups of up to four hexadecimal digits, of which `::` stands for one or more that are zero; the last two may be an IPv4 address
/// (RFC 3986 §3.2.2). It says what the parser of the standard library says, in a quarter of its code.
fn is_ipv6(text: &str) -> bool {
    match text.as_bytes().windows(2).position(|pair| pair == b"::") {
        None => count_groups(text, true) == Some(8),
        Some(at) => {
            let (head, tail) = (text.get(..at).unwrap_or_default(), text.get(at + 2..).unwrap_or_default());
            let counts = (count_groups(head, false), count_groups(tail, true));
            matches!(counts, (Some(head), Some(tail)) if head + tail < 8)
        }
    }
}

/// How many groups there are in a part of an IPv6 address; `None` if something else is there.
fn count_groups(text: &str, may_end_in_ipv4: bool) -> Option<usize> {
    let mut count = 0;
    let mut rest = Some(text).filter(|text| !text.is_empty());
    while let Some(text) = rest {
        let (group, after) = text.split_once(':').map_or((text, None), |(group, after)| (group, Some(after)));
        if matches!(group.len(), 1..=4) && group.bytes().all(|b| b.is_ascii_hexdigit()) {
            count += 1;
        } else if may_end_in_ipv4 && after.is_none() && is_ipv4(group) {
            count += 2;
        } else {
            return None;
        }
        rest = after;
    }
    Some(count)
}

/// Four numbers below 256 without needless zeros.
fn is_ipv4(text: &str) -> bool {
    let is_number = |part: &str| {
        let is_short = matches!(part.len(), 1..=3) && (part.len() == 1 || !part.starts_with('0'));
        let digits = || part.bytes().map(|b| u32::from(b.wrapping_sub(b'0')));
        is_short && digits().all(|digit| digit < 10) && digits().fold(0, |all, digit| all * 10 + digit) < 256
    };
    text.split('.').count() == 4 && text.split('.').all(is_number)
}

/// Hexadecimal version, dot, address.
fn is_ip_future(text: &str) -> bool {
    text.split_once('.').is_some_and(|(version, address)| {
        !version.is_empty()
            && version.bytes().all(|b| b.is_ascii_hexdigit())
            && !address.is_empty()
            && address.bytes().all(|b| is_unreserved(b) || b"!$&'()*+,;=:".contains(&b))
    })
}

/// Unreserved characters, and others as `%` with two hexadecimal digits.
fn is_zone(text: &str) -> bool {
    let is_plain = |run: &str| run.bytes().all(is_unreserved);
    let is_escape = |run: &str| run.len() >= 2 && run.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    let mut runs = text.split('%');
    !text.is_empty() && runs.next().is_some_and(is_plain) && runs.all(|run| is_escape(run) && is_plain(run))
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~".contains(&b)
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_at_the_edges() {
        for text in [
            "::",
            "::1",
            "1::",
            "1::8",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:1.2.3.4",
            "::1.2.3.4",
            "::ffff:255.255.255.255",
            "1::0.0.0.0",
        ] {
            assert!(is_ipv6(text) && text.parse::<Ipv6Addr>().is_ok(), "{text}");
        }
        for text in [
            "",
            ":",
            ":::",
            "1",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7:8::",
            "1:2:3:4::5:6:7:8",
            "1::2::3",
            ":1::",
            "1::2:",
            "12345::",
            "g::",
            "1.2.3.4",
            "1.2.3.4::",
            "::1.2.3.4:5",
            "::1.2.3",
            "::1.2.3.4.5",
            "::1.2.3.256",
            "::1.2.3.04",
            "::1.2.3.",
            "1:2:3:4:5:6:7:1.2.3.4",
            "::+1",
            "::1.2.3.+4",
            "::é",
        ] {
            assert!(!is_ipv6(text) && text.parse::<Ipv6Addr>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn addresses_are_those_of_the_standard_library(
            text in "([0-9a-fA-F]{0,2}:{1,2}){0,8}[0-9a-f]{0,5}|(:|::|0|1|ff|1234|255|256|\\.|1\\.2\\.3\\.4){0,17}",
        ) {
            prop_assert_eq!(is_ipv6(&text), text.parse::<Ipv6Addr>().is_ok());
        }
    }
}
