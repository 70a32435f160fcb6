//! Stanzas are read by the reader of `balcony-xml`, which checks them, and are written anew.

use balcony_machine::XmlLimits;
use balcony_xml::{Attr, ElementRef, Reader, Token, escape_attr};

use crate::Room;
use crate::copying::refuse;

/// What stanzas are in.
const CONTENT: &str = "jabber:client";

/// One client's reader.
pub(crate) struct Parser {
    reader: Reader,
}

impl Parser {
    /// A reader behind the header of a stream.
    pub(crate) fn new() -> Option<Parser> {
        let mut reader = Reader::new(XmlLimits::STANZA);
        let mut header =
            &b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>"[..];
        reader.read(&mut header).ok().flatten().map(|_| Parser { reader })
    }

    /// Passes on all stanzas that are whole. How many bytes were read; `None` if the stream is closed, or not well-formed.
    pub(crate) fn pass(
        &mut self,
        input: &[u8],
        from: &[u8],
        room: &mut Room,
        own: &mut Vec<u8>,
    ) -> Option<usize> {
        let mut rest = input;
        loop {
            match self.reader.read(&mut rest) {
                Ok(None) => return Some(input.len() - rest.len()),
                Ok(Some(Token::Element)) => one(self.reader.element(), from, room, own),
                Ok(Some(Token::Header | Token::Refused(_))) => {}
                Ok(Some(Token::End)) | Err(_) => {
                    own.extend_from_slice(b"</stream:stream>");
                    return None;
                }
            }
        }
    }
}

/// Passes on one stanza.
fn one(stanza: ElementRef<'_>, from: &[u8], room: &mut Room, own: &mut Vec<u8>) {
    let to = stanza.attr("to").map(str::as_bytes);
    if let Some(reader) = to.and_then(|to| room.reader(to)) {
        let out = &mut reader.output;
        out.push(b'<');
        out.extend_from_slice(stanza.name().as_bytes());
        out.extend_from_slice(b" from='");
        out.extend_from_slice(from);
        out.push(b'\'');
        // Those with a namespace are another thing for a server to write; nobody here has any but `xml:lang`.
        for Attr { name, value, .. } in
            stanza.attrs().filter(|attr| attr.namespace.is_empty() && attr.name != "from")
        {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"='");
            escape_attr(value, out);
            out.push(b'\'');
        }
        out.push(b'>');
        stanza.write_content(out, CONTENT);
        out.extend_from_slice(b"</");
        out.extend_from_slice(stanza.name().as_bytes());
        out.push(b'>');
    } else if stanza.name() == "iq" && matches!(stanza.attr("type"), Some("get" | "set")) {
        let mut escaped = [Vec::new(), Vec::new()];
        escape_attr(stanza.attr("id").unwrap_or_default(), &mut escaped[0]);
        escape_attr(stanza.attr("to").unwrap_or_default(), &mut escaped[1]);
        let [id, to] = escaped;
        refuse(&id, Some(&to[..]).filter(|to| !to.is_empty()), own);
    }
}
