//! Base64 (RFC 4648), the standard alphabet with padding and the one for URLs without: what SASL and its neighbours need, in a few
//! hundred bytes of code. It is for messages, which are short.

use alloc::string::String;
use alloc::vec::Vec;

/// The characters of an alphabet, by what they stand for.
type Alphabet = [u8; 64];

const STANDARD: Alphabet = alphabet(*b"+/");
const FOR_URLS: Alphabet = alphabet(*b"-_");
/// What the characters of [`STANDARD`] stand for, and [`NOTHING`] for all others.
const VALUES: [u8; 128] = values();
/// No value has these bits.
const NOTHING: u8 = 0xc0;

/// `data` in base64 with padding (RFC 4648 section 4).
#[must_use]
pub fn to_base64(data: &[u8]) -> String {
    encode(data, &STANDARD, true)
}

/// `data` in the alphabet that is safe in URLs and names of files, without padding (RFC 4648 section 5).
#[must_use]
pub fn to_base64_url(data: &[u8]) -> String {
    encode(data, &FOR_URLS, false)
}

/// What `text` says in base64 with padding (RFC 4648 section 4). Nothing is passed over: other characters, padding that is missing or
/// out of place, and bits in the last character that are not zero make it `None` (RFC 6120 section 13.9.1).
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let padded = text.as_bytes();
    let digits = padded.strip_suffix(b"==").or(padded.strip_suffix(b"=")).unwrap_or(padded);
    let mut data = Vec::with_capacity(padded.len() / 4 * 3);
    // A branch for each character would go wrong half of the time: what is wrong is seen at the end.
    let mut all = 0;
    let mut take = |group: [u8; 4], count: usize| {
        let values = group.map(|digit| VALUES[usize::from(digit & 0x7f)] | digit & 0x80);
        all |= values[0] | values[1] | values[2] | values[3];
        let bits = values.iter().fold(0, |bits, value| bits << 6 | u32::from(*value));
        let [_, bytes @ ..] = bits.to_be_bytes();
        data.extend_from_slice(&bytes[..count]);
        bytes
    };
    let (groups, rest) = digits.as_chunks();
    for group in groups {
        take(*group, 3);
    }
    // Two characters of padding belong to four bits that are left of the last character, one to two.
    let is_whole = match (rest, padded.len() - digits.len()) {
        ([], 0) => true,
        (&[a, b], 2) => take([a, b, STANDARD[0], STANDARD[0]], 1)[1] == 0,
        (&[a, b, c], 1) => take([a, b, c, STANDARD[0]], 2)[2] == 0,
        _ => false,
    };
    (is_whole && all & NOTHING == 0).then_some(data)
}

fn encode(data: &[u8], alphabet: &Alphabet, is_padded: bool) -> String {
    let mut text = Vec::with_capacity(data.len().div_ceil(3) * 4);
    let mut put = |group: [u8; 3], count: usize| {
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        let digits = [18, 12, 6, 0].map(|shift| alphabet[(bits >> shift & 63) as usize]);
        text.extend_from_slice(&digits[..count]);
    };
    let (groups, rest) = data.as_chunks();
    groups.iter().for_each(|group| put(*group, 4));
    match *rest {
        [first] => put([first, 0, 0], 2),
        [first, second] => put([first, second, 0], 3),
        _ => {}
    }
    let missing = if is_padded { text.len().wrapping_neg() % 4 } else { 0 };
    text.extend_from_slice(&b"=="[..missing]);
    // They are all ASCII.
    String::from_utf8(text).unwrap_or_default()
}

const fn alphabet(last: [u8; 2]) -> Alphabet {
    let mut alphabet = [0; 64];
    let mut value = 0;
    while value < 64 {
        alphabet[value as usize] = match value {
            0..26 => b'A' + value,
            26..52 => b'a' - 26 + value,
            52..62 => b'0' + (value - 52),
            _ => last[(value & 1) as usize],
        };
        value += 1;
    }
    alphabet
}

const fn values() -> [u8; 128] {
    let mut values = [NOTHING; 128];
    let mut value = 0;
    while value < 64 {
        values[STANDARD[value as usize] as usize] = value;
        value += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::{STANDARD as OTHER, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    // RFC 4648 section 10
    #[test]
    fn vectors_of_the_rfc() {
        for (data, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(to_base64(data.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(data.as_bytes()));
        }
    }

    // RFC6120 §13.9.1
    #[test]
    fn nothing_is_passed_over() {
        for text in [
            "Zg", "Zg=", "Z===", "Z", "====", "=", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "Zm-v", "=Zg=",
            "Zg==Zg==", "Zé==",
        ] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_that_of_another_program(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let text = to_base64(&data);
            prop_assert_eq!(&text, &OTHER.encode(&data));
            prop_assert_eq!(to_base64_url(&data), URL_SAFE_NO_PAD.encode(&data));
            prop_assert_eq!(from_base64(&text), Some(data));
        }

        #[test]
        fn the_same_texts_are_refused(text in "[A-Da-d0-2+/=-]{0,12}|.{0,8}") {
            prop_assert_eq!(from_base64(&text), OTHER.decode(&text).ok());
        }
    }
}
