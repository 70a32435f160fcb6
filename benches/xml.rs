//! Reading and writing stanzas: `balcony-xml` beside `rxml` and `minidom`.
//!
//! `rxml` only tells events; `balcony-xml` also builds the element, keeps the exact bytes and holds its limits; `minidom`
//! builds its tree and nothing else.
#![allow(missing_docs)]

use core::hint::black_box;

use balcony_machine::XmlLimits;
use balcony_xml::{Element, Reader, Token};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rxml::Parse;

const HEADER: &[u8] =
    b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>";

/// A chat message as clients send it, 338 bytes.
const STANZA: &str = "<message from='juliet@capulet.example/balcony' to='romeo@montague.example/orchard' \
    type='chat' id='c8f3a2d1-77b0-4e55-9f1c-3d0e6b5a4f21' xml:lang='en'><body>My ears have not yet drunk a hundred \
    words</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
    <store xmlns='urn:xmpp:hints'/></message>";

const COUNT: usize = 100;

fn read(c: &mut Criterion) {
    let input = STANZA.repeat(COUNT);
    let mut group = c.benchmark_group("xml/read");
    group.throughput(Throughput::Bytes(input.len() as u64));
    group.bench_function("balcony", |b| {
        let mut reader = Reader::new(XmlLimits::STANZA);
        reader.read(&mut &HEADER[..]).expect("a header");
        b.iter(|| {
            let mut input = black_box(input.as_bytes());
            let mut bytes = 0;
            while let Some(Token::Element) = reader.read(&mut input).expect("stanzas") {
                bytes += reader.payload().len();
            }
            bytes
        });
    });
    group.bench_function("rxml raw events", |b| {
        let mut parser = rxml::RawParser::new();
        parser.parse_all(&mut &HEADER[..], false, drop).expect_err("more to come");
        b.iter(|| {
            let mut input = black_box(input.as_bytes());
            parser.parse_all(&mut input, false, |event| drop(black_box(event))).expect_err("more to come");
        });
    });
    group.bench_function("rxml events", |b| {
        let mut parser = rxml::Parser::new();
        parser.parse_all(&mut &HEADER[..], false, drop).expect_err("more to come");
        b.iter(|| {
            let mut input = black_box(input.as_bytes());
            parser.parse_all(&mut input, false, |event| drop(black_box(event))).expect_err("more to come");
        });
    });
    group.bench_function("minidom", |b| {
        let stanza = STANZA.replacen("<message ", "<message xmlns='jabber:client' ", 1);
        b.iter(|| {
            for _ in 0..COUNT {
                black_box(black_box(stanza.as_bytes()));
                let element = minidom::Element::from_reader(stanza.as_bytes());
                black_box(element.expect("a stanza"));
            }
        });
    });
    group.finish();
}

fn write(c: &mut Criterion) {
    let stanza = STANZA.replacen("<message ", "<message xmlns='jabber:client' ", 1);
    let element = Element::parse(stanza.as_bytes(), XmlLimits::STANZA).expect("a stanza");
    let tree: minidom::Element = stanza.parse().expect("a stanza");
    let mut group = c.benchmark_group("xml/write");
    group.throughput(Throughput::Bytes(STANZA.len() as u64));
    let mut out = Vec::new();
    group.bench_function("balcony", |b| {
        b.iter(|| {
            out.clear();
            black_box(&element).root().write(&mut out, "jabber:client");
        });
    });
    group.bench_function("minidom", |b| {
        b.iter(|| {
            out.clear();
            black_box(&tree).write_to(&mut out).expect("a stanza");
        });
    });
    group.finish();
}

/// Other stanzas, and other ways for the same to come.
fn read_others(c: &mut Criterion) {
    let message = |body: &str| {
        format!("<message to='romeo@montague.example' type='chat'><body>{body}</body></message>")
    };
    let words = message(&"My ears have not yet drunk a hundred words ".repeat(240));
    let others = message(&"M\u{e9} u\u{161}i je\u{161}t\u{11b} nevypily sto slov \u{1f600} ".repeat(240));
    let references = message(&"ears &amp; words &lt;3 ".repeat(480));
    let stanzas = STANZA.repeat(COUNT);
    let inputs = [
        ("10 KiB of text", &words, usize::MAX),
        ("10 KiB of text outside of ASCII", &others, usize::MAX),
        ("10 KiB of text with references", &references, usize::MAX),
        ("in pieces of 1,400 bytes", &stanzas, 1_400),
        ("in pieces of 100 bytes", &stanzas, 100),
        ("byte by byte", &stanzas, 1),
    ];
    let mut group = c.benchmark_group("xml/read others");
    for (name, input, piece) in inputs {
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(name, |b| {
            let mut reader = Reader::new(XmlLimits::STANZA);
            reader.read(&mut &HEADER[..]).expect("a header");
            b.iter(|| {
                let mut bytes = 0;
                for mut piece in black_box(input.as_bytes()).chunks(piece) {
                    while let Some(Token::Element) = reader.read(&mut piece).expect("stanzas") {
                        bytes += reader.payload().len();
                    }
                }
                bytes
            });
        });
    }
    group.finish();
}

/// A stanza as deep as it may be, with a declaration on each level, and look-ups that pass all of them.
fn deepest(c: &mut Criterion) {
    let levels = XmlLimits::STANZA.depth - 2;
    let open: String = (0..levels).map(|n| format!("<x xmlns:p{n:04}='u'>")).collect();
    let attributes: String = (0..60).map(|n| format!(" p0000:a{n}=''")).collect();
    let input = format!("{open}{}{}", format!("<y{attributes}/>").repeat(200), "</x>".repeat(levels));
    let mut group = c.benchmark_group("xml/deepest");
    group.throughput(Throughput::Bytes(input.len() as u64));
    group.bench_function("balcony", |b| {
        let mut reader = Reader::new(XmlLimits::STANZA);
        reader.read(&mut &HEADER[..]).expect("a header");
        b.iter(|| assert_eq!(reader.read(&mut black_box(input.as_bytes())), Ok(Some(Token::Element))));
    });
    group.finish();
}

criterion_group!(benches, read, read_others, deepest, write);
criterion_main!(benches);
