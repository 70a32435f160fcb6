//! Any bytes as the content of a stanza: every parser of an extension's form on every element, and what parses is written and
//! parsed to the same. The same bytes as a domain's host-meta.
#![no_main]

#[path = "../../crates/xep/tests/every/mod.rs"]
mod every;

use balcony_machine::XmlLimits;
use balcony_xep::datetime;
use balcony_xep::host_meta::Format;
use balcony_xml::{Element, ElementRef};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(content) = Element::parse_payload(data, "jabber:client", XmlLimits::STANZA) {
        let mut open: Vec<ElementRef<'_>> = content.root().children().collect();
        // Forms stand in forms, but none this deep.
        for _ in 0..4 {
            open.iter().for_each(|element| every::every(*element));
            open = open.iter().flat_map(|element| element.children()).collect();
        }
    }
    for format in [Format::Xrd, Format::Jrd] {
        if let Ok(links) = format.websockets("https://example.com/", data) {
            assert!(links.len() <= 16 && links.iter().all(|link| link.len() <= data.len()));
            let file = format.write(&links.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(format.websockets("https://example.com/", file.as_bytes()), Ok(links));
        }
    }
    if let Some(at) = core::str::from_utf8(data).ok().and_then(datetime::parse) {
        assert_eq!(datetime::parse(&datetime::format(at)), Some(at));
    }
});
