//! Base64 (RFC 4648), the standard alphabet with padding and the one for URLs without: what SASL and its neighbours need, in a few
//! hundred bytes of code. It is for messages, which are short.

use alloc::string::String;
use alloc::vec::Vec;

const STANDARD: [u8; 2] = *b"+/";
const FOR_URLS: [u8; 2] = *b"-_";

/// `data` in base64 with padding (RFC 4648 section 4).
#[must_use]
pub fn to_base64(data: &[u8]) -> String {
    encode(data, STANDARD, true)
}

/// `data` in the alphabet that is safe in URLs and names of files, without padding (RFC 4648 section 5).
#[must_use]
pub fn to_base64_url(data: &[u8]) -> String {
    encode(data, FOR_URLS, false)
}

/// What `text` says in base64 with padding (RFC 4648 section 4). Nothing is passed over: other characters, padding that is missing or
/// out of place, and bits in the last character that are not zero make it `None` (RFC 6120 section 13.9.1).
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let padded = text.as_bytes();
    let digits = padded.strip_suffix(b"==").or(padded.strip_suffix(b"=")).unwrap_or(padded);
    if !padded.len().is_multiple_of(4) {
        return None;
    }
    let mut data = Vec::with_capacity(padded.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        bits = bits << 6 | u32::from(value(*digit)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            data.push((bits >> count) as u8);
        }
    }
    // What is left of the last character; two characters of padding belong to four bits, one to two.
    let is_whole = bits & ((1 << count) - 1) == 0 && padded.len() - digits.len() == count / 2;
    is_whole.then_some(data)
}

fn encode(data: &[u8], last: [u8; 2], is_padded: bool) -> String {
    let mut text = String::with_capacity(data.len().div_ceil(3) * 4);
    let mut put = |group: [u8; 3], count: usize| {
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        let digits = [18, 12, 6, 0].map(|shift| digit((bits >> shift) as u8 & 63, last));
        // They are all ASCII.
        text.push_str(core::str::from_utf8(&digits[..count]).unwrap_or_default());
    };
    let (groups, rest) = data.as_chunks();
    groups.iter().for_each(|group| put(*group, 4));
    match *rest {
        [first] => put([first, 0, 0], 2),
        [first, second] => put([first, second, 0], 3),
        _ => {}
    }
    let missing = if is_padded { text.len().wrapping_neg() % 4 } else { 0 };
    text.push_str(&"=="[..missing]);
    text
}

fn digit(value: u8, last: [u8; 2]) -> u8 {
    match value {
        0..26 => b'A' + value,
        26..52 => b'a' - 26 + value,
        52..62 => b'0' + (value - 52),
        _ => last[usize::from(value & 1)],
    }
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
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
