//! The diagram in `docs/stream.md` is drawn from the table of transitions.
#![allow(clippy::disallowed_methods, reason = "a test may read files and the environment")]

use core::fmt::Write as _;
use std::path::Path;

use balcony_stream::state::{Phase, Step, TRANSITIONS};

fn page() -> String {
    let mut page = String::from(
        "# The states of a stream\n\n\
         Drawn from the table in `crates/stream/src/state.rs`, by `cargo test -p balcony-stream --test diagram`; with\n\
         `BALCONY_WRITE=1` in the environment that test writes this page anew. All roles go through the same phases,\n\
         except that only clients bind, and only components shake hands.\n\
         `End` leads from every phase to `Closed`, and `Close` from every phase with a stream to `Closing`; they are left out here.\n\n\
         ```mermaid\nstateDiagram-v2\n    [*] --> Header\n    [*] --> Tls: direct TLS\n",
    );
    for (from, step, to) in TRANSITIONS.iter().filter(|(_, step, _)| !matches!(step, Step::End | Step::Close))
    {
        writeln!(page, "    {from:?} --> {to:?}: {step:?}").expect("writing to a string");
    }
    page.push_str("    Closed --> [*]\n```\n");
    page
}

#[test]
fn the_diagram_shows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/stream.md");
    if std::env::var_os("BALCONY_WRITE").is_some() {
        std::fs::write(&path, page()).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, page(), "docs/stream.md is out of date: run this test with BALCONY_WRITE=1");
}

/// What the page says of the transitions that it leaves out.
#[test]
fn every_phase_can_end_and_streams_can_be_closed() {
    use Phase::{Bind, Closed, Closing, Handshake, Header, Negotiate, Open, Proceed, Sasl, Tls};
    for phase in [Tls, Header, Negotiate, Proceed, Sasl, Bind, Handshake, Open, Closing] {
        assert_eq!(phase.after(Step::End), Some(Closed));
        let closes = !matches!(phase, Tls | Closing);
        assert_eq!(phase.after(Step::Close).is_some(), closes, "{phase:?}");
    }
    assert!(TRANSITIONS.iter().all(|(from, ..)| *from != Closed), "nothing leads out of the end");
    // One way at most for each step: the table is a function.
    for (index, (from, step, _)) in TRANSITIONS.iter().enumerate() {
        assert!(TRANSITIONS[index + 1..].iter().all(|(other, by, _)| (other, by) != (from, step)));
    }
}
