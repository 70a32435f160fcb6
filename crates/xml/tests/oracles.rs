//! The same documents read by others: `rxml`'s own namespace-aware parser and `minidom`.

mod common;

use balcony_machine::XmlLimits;
use balcony_xml::{ReadError, Reader, Token};
use common::{HEADER, canonical, document};
use minidom::rxml::{self, Event, Parse};
use proptest::prelude::*;

/// The element in a document `<header>element`, or why there is none.
fn ours(document: &str) -> Result<Vec<String>, ReadError> {
    let mut reader = Reader::new(XmlLimits::STANZA);
    let mut input = document.as_bytes();
    loop {
        match reader.read(&mut input)? {
            Some(Token::Element) => return Ok(canonical(reader.element())),
            Some(_) => {}
            None => panic!("incomplete: {document}"),
        }
    }
}

fn rxmls(document: &str) -> Option<Vec<String>> {
    let mut parser = rxml::Parser::new();
    let mut input = document.as_bytes();
    let mut events: Vec<String> = Vec::new();
    let mut depth = 0;
    loop {
        match parser.parse(&mut input, false).ok()?? {
            Event::XmlDeclaration(..) => {}
            Event::StartElement(_, (ns, name), attrs) => {
                depth += 1;
                if depth > 1 {
                    let mut attrs: Vec<String> =
                        attrs.iter().map(|((ns, name), value)| format!("{{{ns}}}{name}={value}")).collect();
                    attrs.sort();
                    events.push(format!("{{{ns}}}{name} {attrs:?}"));
                }
            }
            Event::Text(_, text) => match events.last_mut() {
                Some(last) if last.starts_with("text ") => last.push_str(&text),
                _ => events.push(format!("text {text}")),
            },
            Event::EndElement(_) => {
                depth -= 1;
                events.push("/".to_owned());
                if depth == 1 {
                    return Some(events);
                }
            }
        }
    }
}

fn minidoms(element: &minidom::Element) -> Vec<String> {
    let mut attrs: Vec<String> =
        element.attrs().iter().map(|((ns, name), value)| format!("{{{ns}}}{name}={value}")).collect();
    attrs.sort();
    let mut events = vec![format!("{{{}}}{} {attrs:?}", element.ns(), element.name())];
    for node in element.nodes() {
        match (node, events.last_mut()) {
            (minidom::Node::Element(child), _) => events.extend(minidoms(child)),
            (minidom::Node::Text(text), Some(last)) if last.starts_with("text ") => last.push_str(text),
            (minidom::Node::Text(text), _) => events.push(format!("text {text}")),
        }
    }
    events.push("/".to_owned());
    events
}

/// What `rxml` lets through although Namespaces in XML doesn't.
fn known_difference(error: ReadError, document: &str) -> bool {
    match error {
        ReadError::NotWellFormed(what) => what.contains("declared twice"),
        ReadError::BadNamespace(_) => document.contains("http://www.w3.org/2000/xmlns/"),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn others_read_the_same(document in document()) {
        let streamed = format!("{HEADER}{document}");
        match (ours(&streamed), rxmls(&streamed)) {
            (Ok(ours), theirs) => {
                prop_assert_eq!(Some(&ours), theirs.as_ref());
                match format!("{streamed}</s:stream>").parse::<minidom::Element>() {
                    Ok(whole) => prop_assert_eq!(ours, minidoms(whole.children().next().unwrap())),
                    // Elements named with the prefix `xml` or in no namespace are beyond it.
                    Err(error) => {
                        prop_assert!(matches!(error, minidom::Error::MissingNamespace), "{}", error);
                        prop_assert!(document.contains("<xml:") || document.contains("xmlns=''"), "{}", document);
                    }
                }
            }
            (Err(error), Some(_)) => prop_assert!(known_difference(error, &document), "{}: {}", error, document),
            (Err(_), None) => {}
        }
    }
}

// The generator is worth its name: most of what it makes is read, and not all.
#[test]
fn enough_documents_are_in_order() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let documents = (0..300).map(|_| document().new_tree(&mut runner).unwrap().current());
    let good = documents.filter(|document| ours(&format!("{HEADER}{document}")).is_ok()).count();
    assert!((60..290).contains(&good), "{good} of 300");
}
