//! Which characters may stand where (XML 1.0 sections 2.2 and 2.3), and how far a run of ordinary ones reaches.

/// May begin a name.
pub(crate) const NAME_START: u8 = 1;
/// May stand in a name behind its first character.
pub(crate) const NAME: u8 = 1 << 1;
/// White space (XML section 2.3).
pub(crate) const SPACE: u8 = 1 << 2;
/// Text, and the content of a CDATA section, may stop.
const TEXT_STOP: u8 = 1 << 3;
/// An attribute value may stop.
const VALUE_STOP: u8 = 1 << 4;

/// The first byte of U+FFFE and U+FFFF, which are no characters, and of many that are.
pub(crate) const NONCHARACTER: u8 = 0xef;

/// What each byte may be. The bytes of characters outside of ASCII are nothing here: see [`name_char`].
pub(crate) static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => NAME_START | NAME,
            b'0'..=b'9' | b'-' | b'.' => NAME,
            b' ' => SPACE,
            b'\t' | b'\n' => SPACE | VALUE_STOP,
            b'\r' => SPACE | TEXT_STOP | VALUE_STOP,
            // `]]>` can't stand in text; what comes before the `>` is looked at then.
            b'>' => TEXT_STOP,
            b'<' | b'&' => TEXT_STOP | VALUE_STOP,
            b'\'' | b'"' => VALUE_STOP,
            0..=0x1f | NONCHARACTER => TEXT_STOP | VALUE_STOP,
            _ => 0,
        };
        if byte == 0xff {
            break;
        }
        byte += 1;
    }
    table
};

/// Whether a byte is of a class.
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASS[usize::from(byte)] & class != 0
}

/// How many bytes there are before the first at which text may stop.
#[inline]
pub(crate) fn text_run(bytes: &[u8]) -> usize {
    let marks = |word| less(word, b' ') | any(word, b'<') | any(word, b'&') | any(word, b'>');
    run(bytes, TEXT_STOP, marks)
}

/// How many bytes there are before the first at which an attribute value may stop.
#[inline]
pub(crate) fn value_run(bytes: &[u8]) -> usize {
    // Both quotes and `&` are less than `(`. So is a space, of which values have few.
    run(bytes, VALUE_STOP, |word| less(word, b'(') | any(word, b'<'))
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHS: u64 = ONES << 7;

/// Marks the bytes of ASCII in a word that are less than this one by their highest bits, and maybe others behind the first of
/// them. What it says of other bytes means nothing.
const fn less(word: u64, byte: u8) -> u64 {
    word.wrapping_sub(ONES * byte as u64)
}

/// The same for those that are this one.
const fn any(word: u64, byte: u8) -> u64 {
    less(word ^ (ONES * byte as u64), 1)
}

/// After so many bytes one may expect many more, and looks at them in larger blocks, as the processor may do at once.
const NEAR: usize = 64;
const BLOCK: usize = 32;

/// How many bytes there are before the first of a class, which is one of those that `marks` marks, or not of ASCII.
#[inline(always)]
fn run(bytes: &[u8], class: u8, marks: impl Fn(u64) -> u64) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*word);
        let others = word ^ (ONES * NONCHARACTER as u64);
        let marked = (marks(word) & !word | less(others, 1) & !others) & HIGHS;
        if marked == 0 {
            at += 8;
            if at == NEAR {
                at += clear_blocks(&bytes[at..]);
            }
            continue;
        }
        at += marked.trailing_zeros() as usize / 8;
        if is(bytes[at], class) {
            crate::work::looked_at(at);
            return at;
        }
        at += 1;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at += rest.iter().position(|&byte| is(byte, class)).unwrap_or(rest.len());
    crate::work::looked_at(at);
    at
}

/// The bytes of the blocks at the beginning in which neither text nor a value stops.
fn clear_blocks(bytes: &[u8]) -> usize {
    // The branches of `CLASS` as comparisons.
    let stops = |byte| {
        (byte < b' ')
            | (byte == b'<')
            | (byte == b'>')
            | (byte == b'&')
            | (byte == b'\'')
            | (byte == b'"')
            | (byte == NONCHARACTER)
    };
    let clear = |block: &&[u8]| !block.iter().fold(false, |any, &byte| any | stops(byte));
    BLOCK * bytes.chunks_exact(BLOCK).take_while(clear).count()
}

/// The length of the character that begins with this byte, if it is one of UTF-8; the others are invalid, and one long.
pub(crate) const fn utf8_len(first: u8) -> usize {
    match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    }
}

/// A character outside of ASCII that may stand in a name; `Some(true)` if it may also begin one (XML productions 4 and 4a).
pub(crate) const fn name_char(c: char) -> Option<bool> {
    match c {
        '\u{c0}'..='\u{d6}'
        | '\u{d8}'..='\u{f6}'
        | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}'
        | '\u{200c}'..='\u{200d}'
        | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}'
        | '\u{f900}'..='\u{fdcf}'
        | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}' => Some(true),
        '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}' => Some(false),
        _ => None,
    }
}

/// Whether XML has the character at all (production 2).
pub(crate) const fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether the text is a name without a colon (Namespaces in XML production 4).
pub(crate) fn is_ncname(text: &str) -> bool {
    let mut first = true;
    !text.is_empty()
        && text.chars().all(|c| {
            let class = if core::mem::take(&mut first) { NAME_START } else { NAME };
            match u8::try_from(c) {
                Ok(byte) if byte.is_ascii() => is(byte, class),
                _ => name_char(c).is_some_and(|begins| begins || class == NAME),
            }
        })
}
