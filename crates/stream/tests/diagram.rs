//! The diagram in `docs/stream.md` is drawn from the table of transitions.
#![allow(clippy::disallowed_methods, reason = "a test may read files and the environment")]

use core::fmt::Write as _;
use std::path::Path;

use balcony_stream::state::{Phase, ROLES, Role, Step, TRANSITIONS};

fn page() -> String {
    let mut page = String::from(
        "# The states of a stream\n\n\
         Drawn from the table in `crates/stream/src/state.rs`, by `cargo test -p balcony-stream --test diagram`; with\n\
         `BALCONY_WRITE=1` in the environment that test writes this page anew. Each role has its own type of stream, but all go\n\
         through the same phases; a step that not all of them take names those that do.\n\
         `End` leads from every phase to `Closed`, and `Close` from every phase with a stream to `Closing`; they are left out here.\n\n\
         ```mermaid\nstateDiagram-v2\n    [*] --> Header\n    [*] --> Tls: direct TLS\n",
    );
    let drawn = || TRANSITIONS.iter().filter(|(_, step, ..)| !matches!(step, Step::End | Step::Close));
    for (from, step, to, roles) in drawn() {
        let names: Vec<_> = roles.iter().map(|role| name(*role)).collect();
        let names =
            if names.len() == ROLES.len() { String::new() } else { format!(" ({})", names.join(", ")) };
        writeln!(page, "    {from:?} --> {to:?}: {step:?}{names}").expect("writing to a string");
    }
    page.push_str("    Closed --> [*]\n```\n\n## Who takes which step\n\n| from | step | to |");
    for role in ROLES {
        write!(page, " {} |", name(*role)).expect("writing to a string");
    }
    page.push_str("\n|---|---|---|");
    page.push_str(&"---|".repeat(ROLES.len()));
    page.push('\n');
    for (from, step, to, roles) in drawn() {
        write!(page, "| {from:?} | {step:?} | {to:?} |").expect("writing to a string");
        for role in ROLES {
            page.push_str(if roles.contains(role) { " x |" } else { " |" });
        }
        page.push('\n');
    }
    page
}

/// As the modules are called.
fn name(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
        Role::S2s => "s2s",
        Role::Component => "component",
    }
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
    for role in ROLES {
        // A phase that a role goes through is one that a step of it leads to.
        let enters = |phase| {
            matches!(phase, Tls | Header)
                || TRANSITIONS.iter().any(|(.., to, roles)| *to == phase && roles.contains(role))
        };
        for phase in [Tls, Header, Negotiate, Proceed, Sasl, Bind, Handshake, Open, Closing] {
            assert_eq!(phase.after(*role, Step::End), enters(phase).then_some(Closed), "{role:?} {phase:?}");
            let closes = enters(phase) && !matches!(phase, Tls | Closing);
            assert_eq!(phase.after(*role, Step::Close).is_some(), closes, "{role:?} {phase:?}");
        }
        // Nothing is negotiated that leads nowhere, and every role opens.
        assert!(enters(Open), "{role:?}");
    }
    assert!(TRANSITIONS.iter().all(|(from, ..)| *from != Closed), "nothing leads out of the end");
    // One way at most for each step: the table is a function.
    for (index, (from, step, ..)) in TRANSITIONS.iter().enumerate() {
        assert!(TRANSITIONS[index + 1..].iter().all(|(other, by, ..)| (other, by) != (from, step)));
    }
}
