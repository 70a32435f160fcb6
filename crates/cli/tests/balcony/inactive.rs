//! `listen --inactive`, and `[csi]` in the configuration of the server (XEP-0352).

use crate::world::{PASSWORD, Process, Server, World};

/// A server with this in its configuration, and Romeo and Juliet on it, who see each other.
fn people(configuration: &str) -> (World, Server) {
    let world = World::new();
    let file = world.write("balcony.toml", configuration);
    let server = world.serve(&["--config", file.to_str().unwrap()]);
    for account in ["romeo", "juliet"] {
        world.account(account);
    }
    for (who, whom) in [("romeo", "juliet"), ("juliet", "romeo")] {
        let (who, whom) = (format!("{who}@localhost"), format!("{whom}@localhost"));
        let there = ["roster", "--as", &who, "--connect", &server.address];
        world.run_as(PASSWORD, &[&there[..], &["add", &whom]].concat()).succeeded();
    }
    (world, server)
}

fn next(listener: &Process) -> String {
    listener.stdout().split_once("] ").unwrap().1.to_owned()
}

// XEP-0352 1.0.0 §3.2: that Romeo comes waits for what he says.
#[test]
fn nobody_looks() {
    let (world, server) = people("");
    let phone = world.listen(&server, "juliet@localhost/phone", &["--inactive"]);
    let garden = world.listen(&server, "romeo@localhost/garden", &[]);
    assert_eq!(next(&garden), "juliet@localhost/phone is online");
    assert!(phone.is_silent());
    let shown = world.run(&["user", "sessions"]);
    let lines: Vec<_> = shown.stdout.lines().collect();
    assert!(lines[0].starts_with("juliet@localhost/phone  available with priority 0, not in use  for "));
    assert!(
        lines[1].starts_with("romeo@localhost/garden  available with priority 0              for "),
        "{lines:?}"
    );
    world.send(&server, "romeo@localhost/quill", "juliet@localhost", "But soft!", &[]).succeeded();
    assert_eq!(next(&phone), "romeo@localhost/garden is online");
    assert_eq!(next(&phone), "romeo@localhost/quill: But soft!");
}

// XEP-0352 §4.1: a server that has been told not to offer it; the client says so, and gets everything.
#[test]
fn a_server_without_it() {
    let (world, server) = people("[csi]\nenabled = false\n");
    let phone = world.listener(&server.address, "juliet@localhost/phone", &["--inactive"]);
    phone.stderr_with("the server does not want to know whether somebody looks");
    phone.stderr_with("listening as juliet@localhost/phone");
    let _garden = world.listen(&server, "romeo@localhost/garden", &[]);
    assert_eq!(next(&phone), "romeo@localhost/garden is online");
}
