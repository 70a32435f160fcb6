//! The fast path: most addresses are ASCII and in normal form, and one look at each octet tells.

use crate::JidRef;
use crate::domain::{MAX_LABEL, MAX_NAME};
use crate::part::{MAX_OCTETS, is_local_ascii};
use crate::parts::offset;

/// Which octets a localpart in normal form may contain.
const LOCAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        table[b as usize] = is_local_ascii(b) && !b.is_ascii_uppercase();
        b += 1;
    }
    table
};

/// The address in `text`, if it is ASCII and easily seen to be in normal form. `None` says nothing: the whole rules decide.
pub(crate) fn normal_ascii(text: &str) -> Option<JidRef<'_>> {
    let bytes = text.as_bytes();
    let local =
        bytes.iter().position(|b| !LOCAL[usize::from(*b)]).filter(|at| bytes[*at] == b'@').unwrap_or(0);
    // An empty localpart leaves the `@` to the domain, which refuses it.
    let start = if local > 0 { local + 1 } else { 0 };
    let bare = start + domain(&bytes[start..])?;
    let resource_is_valid = match &bytes[bare..] {
        [] => true,
        [_, resource @ ..] => {
            let is_plain = resource.iter().fold(true, |plain, b| plain & matches!(b, b' '..=b'~'));
            is_plain && (1..=MAX_OCTETS).contains(&resource.len())
        }
    };
    (local <= MAX_OCTETS && resource_is_valid)
        .then(|| JidRef::from_offsets(text, offset(local), offset(bare)))
}

/// Octets before the first `/`, if they are labels of lower-case letters, digits and single hyphens.
fn domain(bytes: &[u8]) -> Option<usize> {
    let (mut label, mut previous) = (0, b'.');
    let mut len = bytes.len();
    for (at, &b) in bytes.iter().enumerate() {
        match b {
            b'a'..=b'z' | b'0'..=b'9' => {}
            // Two hyphens may be an A-label, or be wrong.
            b'.' | b'-' if matches!(previous, b'.' | b'-') => return None,
            b'.' if at - label > MAX_LABEL => return None,
            b'.' => label = at + 1,
            b'-' => {}
            b'/' => {
                len = at;
                break;
            }
            _ => return None,
        }
        previous = b;
    }
    (!matches!(previous, b'.' | b'-') && len <= MAX_NAME && len - label <= MAX_LABEL).then_some(len)
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use proptest::prelude::*;

    use super::*;
    use crate::parts::{Parsed, parse_by_rules};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        // The fast path and the rules say the same of every text of ASCII that has no two hyphens side by side.
        #[test]
        fn agrees_with_the_rules(text in "([a-cA-B'.-]{0,3}@)?[a-cA-B0-9._-]{0,6}(/[ab/@ \u{7}]{0,3})?") {
            check(&text)?;
        }

        #[test]
        fn agrees_at_the_limits(local in 0..1026usize, label in 60..66usize, name in 250..256usize, resource in 0..1026usize) {
            let mut domain = String::new();
            while domain.len() < name {
                domain.push_str(&"d".repeat(label.min(name - domain.len())));
                domain.push('.');
            }
            let domain = domain.trim_end_matches('.');
            check(&std::format!("{}@{domain}/{}", "l".repeat(local), "r".repeat(resource)))?;
        }
    }

    fn check(text: &str) -> Result<(), TestCaseError> {
        let fast = normal_ascii(text);
        let slow = match parse_by_rules(text) {
            Ok(Parsed::Normal(jid)) => Some(jid),
            _ => None,
        };
        let parts = |jid: Option<JidRef<'_>>| {
            jid.map(|jid| {
                (
                    jid.localpart().map(String::from),
                    String::from(jid.domainpart()),
                    jid.resourcepart().map(String::from),
                )
            })
        };
        if fast.is_some() || !text.contains("--") {
            prop_assert_eq!(parts(fast), parts(slow));
        }
        Ok(())
    }
}
