//! How a stream lies on its transport: one long document (RFC 6120), or a message an element (RFC 7395).

use alloc::vec::Vec;

use balcony_machine::XmlLimits;
use balcony_stanza::{Stanza, StreamError, ns};
use balcony_xml::{Element, Reader};

use crate::header::Header;
use crate::state::Role;

/// How a stream lies on its transport.
///
/// It is the same machine either way; only headers, the end, and namespace declarations look different.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// One XML document over a byte stream (RFC 6120 section 4).
    #[default]
    Document,
    /// One element a message, as on a WebSocket (RFC 7395). In the bytes that go in and out of the machine each message
    /// is followed by a byte of zero, which stands in no XML; the adapter cuts there, and puts it in.
    ///
    /// TLS is the transport's (`wss`): [`TlsPolicy::Direct`](crate::TlsPolicy::Direct), or
    /// [`None`](crate::TlsPolicy::None) for tests.
    Messages,
}

/// What a stream says at once while it is negotiated is seldom longer: with so many bytes a buffer does not grow in steps.
const FIRST: usize = 512;

/// A buffer that holds nothing has no memory.
fn make_room(out: &mut Vec<u8>) {
    if out.capacity() == 0 {
        out.reserve(FIRST);
    }
}

impl Role {
    /// The namespace of the stanzas (RFC 6120 section 4.8.2).
    pub(crate) const fn content(self) -> &'static str {
        match self {
            Role::Client | Role::Server => ns::CLIENT,
            Role::S2s => ns::SERVER,
            Role::Component => ns::COMPONENT,
        }
    }
}

impl Framing {
    pub(crate) fn reader(self, role: Role, limits: XmlLimits) -> Reader {
        match self {
            Framing::Document => Reader::new(limits),
            Framing::Messages => Reader::framed(limits, role.content()),
        }
    }

    pub(crate) fn open(self, role: Role, header: &Header<'_>, out: &mut Vec<u8>) {
        make_room(out);
        match self {
            Framing::Document => {
                out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
                header.write_attributes(out);
                let dialback = match role {
                    // Old servers know dialback by its prefix, and that it is spoken by the declaration (XEP-0220 section 2).
                    Role::S2s => " xmlns:db='jabber:server:dialback'",
                    Role::Client | Role::Server | Role::Component => "",
                };
                for part in [" xmlns='", role.content(), "' xmlns:stream='", ns::STREAM, "'", dialback, ">"] {
                    out.extend_from_slice(part.as_bytes());
                }
            }
            Framing::Messages => {
                out.extend_from_slice(b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'");
                header.write_attributes(out);
                out.extend_from_slice(b"/>\0");
            }
        }
    }

    pub(crate) fn close(self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self {
            Framing::Document => b"</stream:stream>".as_slice(),
            Framing::Messages => b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>\0",
        });
    }

    pub(crate) fn stanza(self, stanza: &Stanza, out: &mut Vec<u8>) {
        match self {
            Framing::Document => stanza.write(out),
            // RFC 7395 is for clients only.
            Framing::Messages => {
                stanza.write_document(ns::CLIENT, out);
                out.push(0);
            }
        }
    }

    /// The same of a stanza that is written already, in the way that all streams of clients have in common.
    pub(crate) fn written(self, stanza: &Stanza, written: &[u8], out: &mut Vec<u8>) {
        match self {
            Framing::Document => out.extend_from_slice(written),
            Framing::Messages => self.stanza(stanza, out),
        }
    }

    /// An element that declares its own namespace.
    pub(crate) fn element(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        make_room(out);
        write(out);
        if self == Framing::Messages {
            out.push(0);
        }
    }

    /// An element of the stream namespace, whose prefix the header declares, if there is one.
    fn stream_element(self, name: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let declaration = match self {
            Framing::Document => "",
            Framing::Messages => " xmlns:stream='http://etherx.jabber.org/streams'",
        };
        self.element(out, |out| {
            for part in ["<stream:", name, declaration, ">"] {
                out.extend_from_slice(part.as_bytes());
            }
            write(out);
            for part in ["</stream:", name, ">"] {
                out.extend_from_slice(part.as_bytes());
            }
        });
    }

    pub(crate) fn features(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        self.stream_element("features", out, write);
    }

    /// A stream error, and what an application says more of it (RFC 6120 section 4.9.4).
    pub(crate) fn error(self, error: &StreamError, detail: Option<&Element>, out: &mut Vec<u8>) {
        self.stream_element("error", out, |out| {
            error.write_content(out);
            if let Some(detail) = detail {
                detail.root().write(out, ns::CLIENT);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use balcony_stanza::MessageType;

    use super::*;

    // Whoever has written a stanza does not know what kind of stream it goes to: on a WebSocket it declares its namespace (RFC 7395 section 3.3.3).
    #[test]
    fn what_is_written_already_is_the_same_on_any_stream() {
        let stanza = Stanza::message(MessageType::Chat).with_id("1");
        let mut written = Vec::new();
        stanza.write(&mut written);
        for framing in [Framing::Document, Framing::Messages] {
            let [mut before, mut out] = [Vec::new(), Vec::new()];
            framing.stanza(&stanza, &mut before);
            framing.written(&stanza, &written, &mut out);
            assert_eq!(out, before);
        }
    }
}
