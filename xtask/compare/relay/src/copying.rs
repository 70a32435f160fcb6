//! Stanzas are found by counting tags, and copied. Nothing is checked: not names, not namespaces, not characters. A CDATA section, which clients
//! need not write, is not understood.

use crate::Room;

/// Passes on all stanzas that are whole. How many bytes those were; `None` if the stream is closed, or begins with something else.
pub(crate) fn pass(input: &[u8], from: &[u8], room: &mut Room, own: &mut Vec<u8>) -> Option<usize> {
    let mut taken = 0;
    loop {
        let rest = &input[taken..];
        let rest = rest.trim_ascii_start();
        taken = input.len() - rest.len();
        if rest.len() < 2 {
            return Some(taken);
        }
        if rest.starts_with(b"</") {
            own.extend_from_slice(b"</stream:stream>");
            return None;
        }
        if rest[0] != b'<' {
            return None;
        }
        let Some((start, end)) = ends(rest) else { return Some(taken) };
        one(&rest[..end], start, from, room, own);
        taken += end;
    }
}

/// Passes on one stanza, of which the start tag has so many bytes.
fn one(stanza: &[u8], start: usize, from: &[u8], room: &mut Room, own: &mut Vec<u8>) {
    let tag = &stanza[..start];
    let name = tag.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>'));
    let name = name.unwrap_or(start);
    let to = attribute(&tag[name..], b"to");
    // Nobody here says by itself who it is.
    if let Some(reader) =
        to.and_then(|to| room.reader(to)).filter(|_| attribute(&tag[name..], b"from").is_none())
    {
        let out = &mut reader.output;
        out.reserve(stanza.len() + from.len() + 8);
        out.extend_from_slice(&stanza[..name]);
        out.extend_from_slice(b" from='");
        out.extend_from_slice(from);
        out.push(b'\'');
        out.extend_from_slice(&stanza[name..]);
    } else if &tag[1..name] == b"iq" && matches!(attribute(&tag[name..], b"type"), Some(b"get" | b"set")) {
        refuse(attribute(&tag[name..], b"id").unwrap_or_default(), to, own);
    }
}

/// Answers a request of which nothing is known here.
pub(crate) fn refuse(id: &[u8], to: Option<&[u8]>, own: &mut Vec<u8>) {
    own.extend_from_slice(b"<iq type='error' id='");
    own.extend_from_slice(id);
    if let Some(to) = to {
        own.extend_from_slice(b"' from='");
        own.extend_from_slice(to);
    }
    own.extend_from_slice(
        b"'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );
}

/// The value of an attribute, as it stands between its quotes.
fn attribute<'a>(mut rest: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    loop {
        rest = rest.trim_ascii_start();
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (rest[..equals].trim_ascii_end(), rest[equals + 1..].trim_ascii_start());
        let quote = *value.first().filter(|quote| matches!(quote, b'\'' | b'"'))?;
        let end = find(&value[1..], quote)?;
        if key == name {
            return Some(&value[1..=end]);
        }
        rest = &value[end + 2..];
    }
}

/// Where the start tag and the whole of an element end, if it is whole.
fn ends(input: &[u8]) -> Option<(usize, usize)> {
    let (mut at, mut depth, mut start) = (0, 0_usize, None);
    loop {
        at += find(&input[at..], b'<')?;
        let end = at + tag(&input[at..])?;
        start = start.or(Some(end));
        if input[at + 1] == b'/' {
            depth = depth.saturating_sub(1);
        } else if input[end - 2] != b'/' {
            depth += 1;
        }
        if depth == 0 {
            return Some((start?, end));
        }
        at = end;
    }
}

/// How long the tag is that begins here.
fn tag(input: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += input[at..].iter().position(|byte| matches!(byte, b'>' | b'\'' | b'"'))?;
        match input[at] {
            b'>' => return Some(at + 1),
            quote => at += 2 + find(&input[at + 1..], quote)?,
        }
    }
}

/// Where this byte is first, looked for in pieces that the compiler compares at once.
fn find(input: &[u8], wanted: u8) -> Option<usize> {
    const PIECE: usize = 32;
    let mut before = 0;
    for piece in input.chunks_exact(PIECE) {
        if piece.iter().fold(false, |found, byte| found | (*byte == wanted)) {
            break;
        }
        before += PIECE;
    }
    input[before..].iter().position(|byte| *byte == wanted).map(|place| before + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_ends_where_its_tags_do_wherever_it_is_cut() {
        let stanza = br#"<message to='a@b/c' note="x > '/>"><body>1 &lt; 2 > 0 and a longer text, which has more than one piece</body><a><b c='/'/></a></message>"#;
        let more = [&stanza[..], b"<presence/>"].concat();
        let start = stanza.windows(6).position(|piece| piece == b"<body>").expect("a body");
        assert_eq!(ends(&more), Some((start, stanza.len())));
        assert!((0..stanza.len()).all(|cut| ends(&stanza[..cut]).is_none()));
        assert_eq!(ends(b"<presence/>"), Some((11, 11)));
    }

    #[test]
    fn attributes_are_found_by_their_whole_names() {
        let tag = br#" into='x' id = "1'2" to='a@b/c'/>"#;
        assert_eq!(attribute(tag, b"to"), Some(&b"a@b/c"[..]));
        assert_eq!(attribute(tag, b"id"), Some(&b"1'2"[..]));
        assert_eq!(attribute(tag, b"from"), None);
        assert_eq!(attribute(b" to='", b"to"), None);
        assert_eq!(attribute(b"/>", b"to"), None);
    }
}
