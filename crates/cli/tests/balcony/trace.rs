//! `balcony trace` prints the page in the documentation, and on it a whole session, with no password on the wire.

use crate::world::World;

/// `cargo run -p balcony-cli -- trace >docs/trace.md` makes it new.
#[test]
fn the_page_in_the_documentation_is_what_happens() {
    let trace = World::new().run(&["trace"]);
    trace.succeeded();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/trace.md");
    let page = std::fs::read_to_string(path).unwrap();
    for (line, (now, then)) in trace.stdout.lines().zip(page.lines()).enumerate() {
        assert_eq!(now, then, "docs/trace.md:{}", line + 1);
    }
    assert_eq!(trace.stdout.len(), page.len());
}

#[test]
fn it_goes_from_the_first_header_to_the_last_tag() {
    let trace = World::new().run(&["trace"]).stdout;
    let lines: Vec<_> =
        trace.lines().filter(|line| line.starts_with("C: ") || line.starts_with("S: ")).collect();
    assert!(lines.first().unwrap().starts_with("C: <?xml"));
    assert_eq!(lines[lines.len() - 2..], ["C: </stream:stream>", "S: </stream:stream>"]);
    for part in [
        "<starttls ",
        "<proceed ",
        "(TLS handshake",
        "mechanism='SCRAM-SHA-256-PLUS'",
        "<success ",
        "<bind ",
        "<presence",
        "<body>",
    ] {
        assert!(trace.contains(part), "{part}");
    }
    // The password is in the text before it, and nowhere on the wire.
    assert!(!lines.iter().any(|line| line.contains("r0m30myr0m30")));
}
