//! The work of reading grows with the bytes, and with nothing else: not with the square of depth, attributes, declarations,
//! length or the number of pieces. Work is bytes that were looked at or copied and steps of a search, which are the same in
//! each run; time is not.

extern crate std;

use alloc::string::String;
use alloc::{format, vec::Vec};
use std::println;

use balcony_machine::XmlLimits;

use super::{Reader, Token};
use crate::work::counted;

const WIDE: XmlLimits = XmlLimits { bytes: 1 << 28, depth: 1 << 20, attributes: 1 << 20, nodes: 1 << 22 };

/// The work for a stream that comes in pieces of so many bytes.
fn work(stream: &str, piece: usize, limits: XmlLimits) -> u64 {
    counted::of(|| {
        let mut reader = Reader::new(WIDE);
        let mut last = None;
        for mut piece in stream.as_bytes().chunks(piece) {
            while let Some(token) = reader.read(&mut piece).unwrap_or_else(|error| panic!("{error}")) {
                last = Some(token);
                reader.set_limits(limits);
            }
        }
        assert_eq!(last, Some(Token::End));
    })
}

type Family = (&'static str, fn(usize) -> String);

/// Streams that grow with a number, each in another way.
const FAMILIES: &[Family] = &[
    ("depth", |n| "<a>".repeat(n) + &"</a>".repeat(n)),
    ("depth, a prefix declared on each level", |n| {
        let open: String = (0..n).map(|n| format!("<a xmlns:p{n:06}='u' p000000:b=''>")).collect();
        open + &"</a>".repeat(n)
    }),
    ("depth, the same prefix declared on each level", |n| {
        "<p:a xmlns:p='u'>".repeat(n) + &"</p:a>".repeat(n)
    }),
    ("children, behind which all prefixes are looked up", |n| {
        let declared: String = (0..n).map(|n| format!(" xmlns:p{n:06}='u'")).collect();
        let children: String = (0..n).map(|n| format!("<p{n:06}:b/>")).collect();
        format!("<a{declared}>{children}</a>")
    }),
    ("attributes", |n| {
        let attrs: String = (0..n).map(|n| format!(" a{n:06}=''")).collect();
        format!("<a{attrs}/>")
    }),
    ("attributes, from the last to the first", |n| {
        let attrs: String = (0..n).rev().map(|n| format!(" a{n:06}=''")).collect();
        format!("<a{attrs}/>")
    }),
    ("attributes, each with a prefix of its own", |n| {
        let attrs: String = (0..n).map(|n| format!(" xmlns:p{n:06}='u{n}' p{n:06}:a=''")).collect();
        format!("<a{attrs}/>")
    }),
    ("text", |n| format!("<a>{}</a>", "word ".repeat(n))),
    ("text of references", |n| format!("<a>{}</a>", "x&amp;".repeat(n))),
    ("text of numbers", |n| format!("<a>{}</a>", format!("&#{}65;", "0".repeat(n)).repeat(8))),
    ("text of line ends", |n| format!("<a>{}</a>", "x\r\n\r".repeat(n))),
    ("text of brackets", |n| format!("<a>{}</a>", "]".repeat(8 * n))),
    ("text outside of ASCII", |n| format!("<a>{}</a>", "\u{ff01}\u{17e}\u{1f600}".repeat(n))),
    ("CDATA sections", |n| format!("<a>{}</a>", "<![CDATA[x]]>".repeat(n))),
    ("values of references", |n| {
        format!("<a>{}</a>", format!("<b c='{}'/>", "x&amp;\r".repeat(500)).repeat(n / 100))
    }),
    ("a long name", |n| format!("<{0}></{0}>", "\u{17e}".repeat(n))),
    ("children", |n| format!("<a>{}</a>", "<b c='d'>x</b>".repeat(n))),
    ("elements", |n| "<a><b c='d'/></a> ".repeat(n)),
    ("white space", |n| " \r\n".repeat(n)),
];

fn stream(content: &str) -> String {
    format!("<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>{content}</s:stream>")
}

// RFC 6120 §13.12: who sends more has to work more than who reads it.
#[test]
fn work_grows_with_the_bytes() {
    println!("| what grows | bytes | work a byte, in one piece | in pieces of 1,000 | of 7 | of 1 |");
    println!("|---|---|---|---|---|---|");
    for (name, family) in FAMILIES {
        let mut before: Option<Vec<f64>> = None;
        for n in [250, 1_000, 4_000] {
            let stream = stream(&family(n));
            let bytes = stream.len();
            let each: Vec<f64> = [bytes, 1_000, 7, 1]
                .into_iter()
                .map(|piece| work(&stream, piece, WIDE) as f64 / bytes as f64)
                .collect();
            println!(
                "| {name} | {bytes} | {:.1} | {:.1} | {:.1} | {:.1} |",
                each[0], each[1], each[2], each[3]
            );
            for (at, work) in each.iter().enumerate() {
                // A key has 20 bits more when there are a million more of them: there is the bound.
                assert!(*work < 40.0, "{name}: {work} a byte");
                if let Some(before) = &before {
                    let growth = work / before[at];
                    assert!(growth < 1.3, "{name}: {growth} times as much a byte for four times the bytes");
                }
            }
            before = Some(each);
        }
    }
}

// An element that is refused is read to its end by the same rule.
#[test]
fn what_is_refused_is_no_more_work() {
    let tight = XmlLimits { bytes: 1 << 28, depth: 4, attributes: 4, nodes: 1 << 22 };
    for (name, family) in FAMILIES {
        // Those that have too many in their first start tag end the stream at once.
        if name.starts_with("attributes") || name.contains("looked up") {
            continue;
        }
        let stream = stream(&family(4_000));
        for piece in [stream.len(), 7] {
            let (wide, tight) = (work(&stream, piece, WIDE), work(&stream, piece, tight));
            assert!(tight as f64 <= 1.1 * wide as f64, "{name}: {tight} beside {wide}");
        }
    }
}
