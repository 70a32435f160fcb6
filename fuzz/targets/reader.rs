//! Any bytes into the XML reader: the same tokens however they are cut, and never anything past the limits.
#![no_main]

use balcony_fuzz::{Cuts, size};
use balcony_machine::XmlLimits;
use balcony_xml::{Element, ReadError, Reader, Token};
use libfuzzer_sys::fuzz_target;

/// Low enough to be reached.
const TIGHT: XmlLimits = XmlLimits { bytes: 120, depth: 4, attributes: 4, nodes: 8 };
/// As they are before authentication.
const USUAL: XmlLimits = XmlLimits::UNAUTHENTICATED;

fuzz_target!(|data: &[u8]| {
    for limits in [USUAL, TIGHT] {
        let whole = read(data, Cuts::Whole, limits);
        assert_eq!(whole, read(data, Cuts::of(data), limits), "pieces");
    }
});

/// All that can be seen of a run: tokens with their bytes, white space and the error.
type Run = (Vec<(Token, Vec<u8>, Vec<u8>)>, u64, Option<ReadError>);

fn read(data: &[u8], cuts: Cuts, limits: XmlLimits) -> Run {
    let mut tokens = Vec::new();
    let mut reader = match data {
        // RFC 7395: a message an element.
        [b'<', b'o', b'p', b'e', b'n', ..] => Reader::framed(limits, "jabber:client"),
        _ => Reader::new(limits),
    };
    for mut piece in cuts.pieces(data) {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(token)) => {
                    match token {
                        Token::Element => check(&reader, limits),
                        Token::Refused(error) => {
                            assert_eq!(reader.refusal(), Some(error));
                            assert_eq!(size(reader.element()).nodes, 1, "the start tag alone is left");
                        }
                        Token::Header | Token::End => {}
                    }
                    tokens.push((token, reader.raw().to_vec(), reader.payload().to_vec()));
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.read(&mut &b"<a/>"[..]), Err(error), "errors stick");
                    return (tokens, 0, Some(error));
                }
            }
        }
        assert!(piece.is_empty(), "input was left over");
    }
    (tokens, reader.whitespace(), None)
}

fn check(reader: &Reader, limits: XmlLimits) {
    let (element, size) = (reader.element(), size(reader.element()));
    assert!(reader.raw().len() <= limits.bytes, "{} bytes", reader.raw().len());
    assert!(reader.payload().len() <= limits.bytes, "{} bytes", reader.payload().len());
    assert!(size.depth <= limits.depth && size.nodes <= limits.nodes, "{size:?}");
    assert!(size.attributes <= limits.attributes, "{size:?}");

    // What is written is what was read, and stands on its own.
    let mut written = Vec::new();
    element.write(&mut written, "");
    let again = Element::parse(&written, WIDE).expect("what we write can be read");
    assert_eq!(again.root(), element, "{}", String::from_utf8_lossy(&written));

    let payload = Element::parse_payload(reader.payload(), reader.content_namespace(), WIDE);
    let payload = payload.expect("a payload stands on its own");
    assert!(payload.root().nodes().eq(element.nodes()), "the payload is the content");
}

/// Writing may take more bytes, and declares more.
const WIDE: XmlLimits = XmlLimits { bytes: 1 << 24, depth: 4096, attributes: 4096, nodes: 1 << 20 };
