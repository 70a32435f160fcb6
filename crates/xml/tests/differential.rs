//! The reader beside `rxml`: the same streams taken, with the same content, and the same refused.

mod common;
mod oracle;

use common::{HEADER, document, soup, stream};
use oracle::{HOLES, Reading, compare, ours};
use proptest::prelude::*;
use proptest::sample::select;

/// A change of a stream that makes it a bit worse, or not.
#[derive(Clone, Debug)]
enum Mutation {
    Replace(usize, u8),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
    Cut(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = prop_oneof![any::<u8>(), select(&b"<>&;'\"=/:!?[]- \t\r\nax#1\x00\xc3\xef\xbf\xbe"[..])];
    prop_oneof![
        (any::<usize>(), byte).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<usize>(), 1..6_usize).prop_map(|(at, len)| Mutation::Remove(at, len)),
        (any::<usize>(), piece()).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (any::<usize>(), 1..30_usize).prop_map(|(at, len)| Mutation::Repeat(at, len)),
        any::<usize>().prop_map(Mutation::Cut),
    ]
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "xmlns:xml='http://www.w3.org/XML/1998/namespace'",
        " xmlns='http://www.w3.org/2000/xmlns/'",
        "&#x41;",
        "&#0000000000065;",
        "&#xfffe;",
        "&quot;",
        "\u{fffe}",
        "\u{ffff}",
        "\u{fffd}",
        "\u{d7}",
        "\u{b7}",
        "\u{37e}",
        "\u{10ffff}",
        "\u{300}",
        "\u{feff}",
        "<![CDATA[]]]]]>",
        "]]",
        " standalone='yes'",
        " encoding='UTF-8'",
        "<?xml version='1.0'?>",
        "xml:",
        "xmlns:",
    ];
    prop_oneof![select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()), soup()]
}

fn mutated(mut stream: Vec<u8>, mutations: Vec<Mutation>) -> Vec<u8> {
    for mutation in mutations {
        let place = |at: usize| at % (stream.len() + 1);
        match mutation {
            Mutation::Replace(at, byte) => {
                let at = place(at);
                if let Some(old) = stream.get_mut(at) {
                    *old = byte;
                }
            }
            Mutation::Remove(at, len) => {
                let at = place(at);
                stream.drain(at..stream.len().min(at + len));
            }
            Mutation::Insert(at, bytes) => {
                let at = place(at);
                stream.splice(at..at, bytes);
            }
            Mutation::Repeat(at, len) => {
                let at = place(at);
                let again = stream[at..stream.len().min(at + len)].to_vec();
                stream.splice(at..at, again);
            }
            Mutation::Cut(at) => stream.truncate(place(at)),
        }
    }
    stream
}

/// A stream from its first byte.
fn whole() -> impl Strategy<Value = Vec<u8>> {
    const BEFORE: &[&str] = &[
        "",
        "",
        " \n",
        "<?xml version='1.0'?>",
        "<?xml version=\"1.0\" encoding='utf-8'?>\r\n",
        "<?xml version = '1.0' encoding='UTF-8' standalone='yes' ?>",
        " <?xml version='1.0'?>",
    ];
    (select(BEFORE), stream()).prop_map(|(before, stream)| [before.as_bytes(), &stream].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // RFC 6120 §11.1, §11.3-11.6 rfc6120.md [X1] [X3] [X4] [X5] [X7] [X9]
    #[test]
    fn rxml_says_the_same(stream in whole()) {
        compare(&stream);
    }

    #[test]
    fn rxml_says_the_same_of_what_is_damaged(
        stream in whole(),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        compare(&mutated(stream, mutations));
    }

    // RFC 6120 §4.1: the cuts are the transport's, and mean nothing.
    #[test]
    fn every_cut_reads_the_same(
        document in document(),
        mutations in prop::collection::vec(mutation(), 0..3),
    ) {
        let stream = mutated(format!("{HEADER}{document}").into_bytes(), mutations);
        let uncut = ours([&stream[..]]);
        for at in 0..=stream.len() {
            let (before, after) = stream.split_at(at);
            prop_assert_eq!(&ours([before, after]), &uncut, "cut at {}", at);
            // Nothing that has been refused is taken when more of it comes, and the other way round.
            let early = ours([before]);
            prop_assert!(uncut.parts.starts_with(&early.parts));
            if early.error.is_some() {
                prop_assert_eq!(early, uncut.clone());
            }
        }
        prop_assert_eq!(&ours(stream.chunks(1)), &uncut);
    }
}

// The table is worth its name: each hole is there, and says which row decides it.
#[test]
fn every_hole_is_there() {
    let rules = include_str!("../../../docs/spec/rfc6120.md");
    let header = HEADER;
    let streams = [
        format!("{header}<a xmlns='u' xmlns='v'/>"),
        format!("{header}<a xmlns:x='http://www.w3.org/2000/xmlns/'/>"),
        format!("{header}hello<a/>"),
        "<?xml version='1&#46;0'?><s>".to_owned(),
        "<?xml version='1.0' encoding='utf-8' standalone='YES'?><s>".to_owned(),
        format!("{header}<a>&#000000065;</a>"),
        "<s a\u{feff}=''>".to_owned(),
        format!("{header}<?xml"),
        "<s></s><s>".to_owned(),
    ];
    assert_eq!(streams.len(), HOLES.len());
    for (hole, stream) in HOLES.iter().zip(streams) {
        assert_eq!(compare(stream.as_bytes()), Some(hole.name));
        let row = hole.row.trim_start_matches("rfc6120.md [").trim_end_matches(']');
        assert!(rules.contains(&format!("| {row} |")), "{row}");
    }
}

#[test]
fn most_streams_are_compared_to_their_end() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut tally = [0; 3];
    for _ in 0..300 {
        let stream = whole().new_tree(&mut runner).unwrap().current();
        let Reading { parts, error, .. } = ours([&stream[..]]);
        tally[0] += usize::from(parts.len() > 1);
        tally[1] += usize::from(error.is_some());
        tally[2] += usize::from(compare(&stream).is_none());
    }
    assert!(tally[0] > 100 && (30..290).contains(&tally[1]) && tally[2] > 150, "{tally:?}");
}
