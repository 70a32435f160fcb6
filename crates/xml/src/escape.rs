//! What stands for characters of a text that mean something to XML, or that it cannot carry.

use alloc::vec::Vec;

/// The first character of `text` that XML 1.0 can't carry at all (section 2.2): most control characters, U+FFFE and U+FFFF.
///
/// What writes XML replaces these. A program that takes text from a person, or from another program, looks here first, and
/// says so instead.
///
/// ```
/// assert_eq!(balcony_xml::forbidden_char("tab\t, line\r\n, \u{85} and \u{1f600}"), None);
/// assert_eq!(balcony_xml::forbidden_char("\u{1b}[1mbold"), Some('\u{1b}'));
/// ```
#[must_use]
pub fn forbidden_char(text: &str) -> Option<char> {
    text.chars().find(|c| match c {
        '\t' | '\n' | '\r' => false,
        '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => true,
        _ => false,
    })
}

/// Appends `text` as element content: `&`, `<`, `>` and carriage returns become references.
///
/// Characters that XML 1.0 can't carry at all, see [`forbidden_char`], become U+FFFD.
pub fn escape_text(text: &str, out: &mut Vec<u8>) {
    escape(text.as_bytes(), TEXT, out);
}

/// Appends `value` as the inside of an attribute value, whichever quotes stand around it: as [`escape_text`], and quotes,
/// tabs and line feeds become references too.
pub fn escape_attr(value: &str, out: &mut Vec<u8>) {
    escape(value.as_bytes(), ATTR, out);
}

const TEXT: u8 = 1;
const ATTR: u8 = 2;
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// For each byte, where it can't stand as it is; 0xEF is the first byte of U+FFFE and U+FFFF, and of many others.
static SPECIAL: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = TEXT | ATTR;
        byte += 1;
    }
    table[b'\t' as usize] = ATTR;
    table[b'\n' as usize] = ATTR;
    table[b'&' as usize] = TEXT | ATTR;
    table[b'<' as usize] = TEXT | ATTR;
    // In text only `]]>` needs it, but this way nobody has to look back.
    table[b'>' as usize] = TEXT | ATTR;
    table[b'\'' as usize] = ATTR;
    table[b'"' as usize] = ATTR;
    table[0xef] = TEXT | ATTR;
    table
};

fn escape(text: &[u8], place: u8, out: &mut Vec<u8>) {
    let mut done = 0;
    let mut from = 0;
    while let Some(offset) = text[from..].iter().position(|&byte| SPECIAL[usize::from(byte)] & place != 0) {
        let at = from + offset;
        let mut len = 1;
        let escaped: &[u8] = match text[at] {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'\'' => b"&apos;",
            b'"' => b"&quot;",
            b'\t' => b"&#9;",
            b'\n' => b"&#10;",
            b'\r' => b"&#13;",
            0xef => {
                len = 3;
                match text.get(at + 1..at + 3) {
                    Some([0xbf, 0xbe | 0xbf]) => REPLACEMENT,
                    _ => &text[at..at + 3],
                }
            }
            _ => REPLACEMENT,
        };
        out.extend_from_slice(&text[done..at]);
        out.extend_from_slice(escaped);
        from = at + len;
        done = from;
    }
    out.extend_from_slice(&text[done..]);
}
