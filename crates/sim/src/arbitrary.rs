//! `Arbitrary` for fuzzers: types around addresses, names, elements, stanzas and streams, made of any bytes.
//!
//! They are fields of a fuzzer's input like any others:
//!
//! ```
//! use arbitrary::{Arbitrary, Unstructured};
//! use balcony_sim::arbitrary::{AnyJid, AnyStanza};
//!
//! let bytes: Vec<u8> = (0..=255).collect();
//! let mut bytes = Unstructured::new(&bytes);
//! let (AnyJid(jid), AnyStanza(stanza)) = Arbitrary::arbitrary(&mut bytes)?;
//! println!("{jid}: {}", stanza.to_xml());
//! # Ok::<(), arbitrary::Error>(())
//! ```

use arbitrary::{Arbitrary, Result, Unstructured};
use balcony_jid::Jid;
use balcony_stanza::{IqType, Kind, Payload, Stanza};
use balcony_xml::{Element, Name};

use crate::values::{DOMAINS, KINDS, LOCALS, NAMES, NAMESPACES, RESOURCES, SPECIAL, is_xml};

/// How deep elements get.
const DEPTH: usize = 4;

/// Any address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyJid(pub Jid);

/// Any name of an element or attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyName(pub Name);

/// Any text that XML can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyText(pub String);

/// Any element, up to five deep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyElement(pub Element);

/// Any stanza that may stand on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyStanza(pub Stanza);

/// Stanzas as a network brings them behind the header of a stream: in pieces, none of them empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyStream {
    /// What it holds.
    pub stanzas: Vec<Stanza>,
    /// Its bytes.
    pub pieces: Vec<Vec<u8>>,
}

impl<'a> Arbitrary<'a> for AnyJid {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let mut part = |known: &[&'static str]| -> Result<String> {
            if bytes.ratio(3, 4)? {
                return Ok((*bytes.choose(known)?).into());
            }
            bytes.arbitrary::<&str>().map(String::from)
        };
        let (local, domain, resource) = (part(LOCALS)?, part(DOMAINS)?, part(RESOURCES)?);
        let local = bytes.arbitrary::<bool>()?.then_some(&*local);
        let resource = bytes.arbitrary::<bool>()?.then_some(&*resource);
        // What is no address is of no use, but what follows in the input may be.
        let jid = Jid::from_parts(local, &domain, resource).or_else(|_| Jid::parse(DOMAINS[0]));
        jid.map(AnyJid).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for AnyName {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        if bytes.ratio(3, 4)? {
            return Ok(AnyName(Name::from_static(bytes.choose(NAMES)?)));
        }
        let name = Name::new(bytes.arbitrary()?);
        Ok(AnyName(name.unwrap_or_else(|_| Name::from_static(NAMES[0]))))
    }
}

impl<'a> Arbitrary<'a> for AnyText {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let (length, mut text) = (bytes.int_in_range(0..=12)?, String::new());
        for _ in 0..length {
            let any: char = if bytes.ratio(1, 2)? { *bytes.choose(SPECIAL)? } else { bytes.arbitrary()? };
            text.push(if is_xml(any) { any } else { 'x' });
        }
        Ok(AnyText(text))
    }
}

impl<'a> Arbitrary<'a> for AnyElement {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        element(bytes, DEPTH).map(AnyElement)
    }
}

fn element(bytes: &mut Unstructured<'_>, depth: usize) -> Result<Element> {
    let AnyName(name) = bytes.arbitrary()?;
    let mut element = Element::new(name, bytes.choose(NAMESPACES)?);
    for _ in 0..bytes.int_in_range(0..=2)? {
        let (AnyName(name), AnyText(value)) = bytes.arbitrary()?;
        element.push_attr_ns(name, bytes.choose(NAMESPACES)?, &value);
    }
    if bytes.ratio(1, 4)? {
        element.push_lang(&bytes.arbitrary::<AnyText>()?.0);
    }
    for _ in 0..bytes.int_in_range(0..=3)? {
        if depth > 0 && bytes.arbitrary()? {
            element.push_child(self::element(bytes, depth - 1)?.root());
        } else {
            element.push_text(&bytes.arbitrary::<AnyText>()?.0);
        }
    }
    Ok(element)
}

impl<'a> Arbitrary<'a> for AnyStanza {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let kind = *bytes.choose(KINDS)?;
        let least = usize::from(matches!(kind, Kind::Iq(IqType::Get | IqType::Set)));
        let most = if least == 1 { 1 } else { 3 };
        let mut elements = Vec::new();
        for _ in 0..bytes.int_in_range(least..=most)? {
            elements.push(element(bytes, DEPTH)?);
        }
        let mut stanza = Stanza::new(kind).with_payload(elements.iter().collect::<Payload>());
        stanza.head.to = bytes.arbitrary::<Option<AnyJid>>()?.map(|AnyJid(jid)| jid);
        stanza.head.from = bytes.arbitrary::<Option<AnyJid>>()?.map(|AnyJid(jid)| jid);
        stanza.head.id = bytes.arbitrary::<Option<AnyText>>()?.map(|AnyText(id)| id.into());
        stanza.head.lang = bytes.arbitrary::<Option<AnyText>>()?.map(|AnyText(lang)| lang.into());
        if let (Kind::Iq(_), None) = (kind, &stanza.head.id) {
            stanza.head.id = Some("1".into());
        }
        Ok(AnyStanza(stanza))
    }
}

impl<'a> Arbitrary<'a> for AnyStream {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let mut stanzas = Vec::new();
        for _ in 0..bytes.int_in_range(0..=5)? {
            stanzas.push(bytes.arbitrary::<AnyStanza>()?.0);
        }
        let mut whole = Vec::new();
        stanzas.iter().for_each(|stanza| stanza.write(&mut whole));
        let mut pieces = Vec::new();
        while !whole.is_empty() {
            let rest = whole.split_off(bytes.int_in_range(1..=whole.len())?);
            pieces.push(core::mem::replace(&mut whole, rest));
        }
        Ok(AnyStream { stanzas, pieces })
    }
}
