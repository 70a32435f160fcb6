//! Digests in hexadecimal, such as those of component handshakes (XEP-0114) and dialback keys (XEP-0220): written, and compared
//! without telling where they differ.

use alloc::string::String;

use subtle::ConstantTimeEq as _;

/// Two lower-case digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// Whether two digests are the same, in a time that does not tell where they differ.
pub(crate) fn same(ours: &str, theirs: &str) -> bool {
    ours.as_bytes().ct_eq(theirs.as_bytes()).into()
}
