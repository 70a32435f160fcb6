//! To `minidom` and back.
#![cfg(feature = "minidom")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use balcony_machine::XmlLimits;
use balcony_xml::{Element, ElementRef, MinidomError};
use common::{HEADER, canonical, document};
use proptest::prelude::*;

fn nested(levels: usize) -> Element {
    let limits = XmlLimits { depth: 1_000, ..XmlLimits::STANZA };
    let xml = "<a>".repeat(levels) + "text" + &"</a>".repeat(levels);
    Element::parse(xml.as_bytes(), limits).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn there_and_back_is_identity(document in document()) {
        let streamed = format!("{HEADER}{document}</s:stream>");
        let Ok(element) = Element::parse(streamed.as_bytes(), XmlLimits::STANZA) else { return Ok(()) };
        let there = minidom::Element::try_from(&element).unwrap();
        prop_assert_eq!(Element::try_from(&there).unwrap(), element.clone());
        // And what got there is what minidom would have read itself, where it can read it.
        if let Ok(read) = streamed.parse::<minidom::Element>() {
            prop_assert_eq!(Element::try_from(&read).unwrap(), element.clone());
            prop_assert_eq!(there.text(), read.text());
        }
        let child: Option<ElementRef<'_>> = element.root().children().next();
        if let Some(child) = child {
            let there = minidom::Element::try_from(child).unwrap();
            prop_assert_eq!(canonical(Element::try_from(&there).unwrap().root()), canonical(child));
        }
    }
}

#[test]
fn depth_has_a_bound_both_ways() {
    let deepest = minidom::Element::try_from(&nested(768)).unwrap();
    assert_eq!(Element::try_from(&deepest), Ok(nested(768)));
    assert_eq!(minidom::Element::try_from(&nested(769)), Err(MinidomError::TooDeep));
    let mut deeper = minidom::Element::bare("a", "");
    deeper.append_child(deepest);
    assert_eq!(Element::try_from(&deeper), Err(MinidomError::TooDeep));
}

// It is dropped recursively, and written so.
#[test]
fn the_deepest_fits_on_a_small_stack() {
    let work = || {
        let deepest = minidom::Element::try_from(&nested(XmlLimits::DELIVERED.depth)).unwrap();
        assert!(String::from(&deepest.clone()).contains("text"));
        Element::try_from(&deepest).unwrap() == nested(XmlLimits::DELIVERED.depth)
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap();
    assert!(thread.join().unwrap());
}

#[test]
fn names_are_checked() {
    use minidom::rxml::{Namespace, NcName};
    for name in ["", "a b", "a:b", "<"] {
        assert_eq!(Element::try_from(&minidom::Element::bare(name, "u")), Err(MinidomError::InvalidName));
    }
    let xmlns = "http://www.w3.org/2000/xmlns/";
    assert_eq!(Element::try_from(&minidom::Element::bare("a", xmlns)), Err(MinidomError::InvalidName));
    for (ns, name) in [("", "xmlns"), (xmlns, "a")] {
        let mut element = minidom::Element::bare("a", "u");
        element.set_attr(Namespace::from(ns.to_owned()), NcName::try_from(name).unwrap(), "u");
        assert_eq!(Element::try_from(&element), Err(MinidomError::InvalidName));
    }
}

#[test]
fn long_namespaces_have_a_bound() {
    let used = |times: usize| {
        let xml = format!("<a xmlns:x='{}'>{}</a>", "u".repeat(1 << 14), "<x:b/>".repeat(times));
        minidom::Element::try_from(&Element::parse(xml.as_bytes(), XmlLimits::STANZA).unwrap()).map(drop)
    };
    assert_eq!(used(64), Ok(()));
    assert_eq!(used(65), Err(MinidomError::TooLarge));
}
