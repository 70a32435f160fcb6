//! SIGHUP: the configuration and the certificate are read again, and nobody loses a connection.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::hostile::Raw;
use crate::login::{Talk, offers_registration, query};
use crate::world::{PASSWORD, Server, World};

fn start(world: &World, config: &str) -> Server {
    world.write("balcony.toml", config);
    Server::start(world.start(&["serve", "--config", "balcony.toml"]))
}

/// Plaintext shows what is offered.
const FIXED: &str = "listen = '127.0.0.1:0'\nlisten-tls = '127.0.0.1:0'\nallow-plaintext = true\n";

fn reload(world: &World, server: &Server, config: &str, line: &str) -> String {
    world.write("balcony.toml", config);
    server.process.signal("HUP");
    server.process.stderr_with(line)
}

#[test]
fn what_can_change_does_and_connections_stay() {
    let world = World::new();
    let server = start(&world, FIXED);
    world.account("romeo");
    let listener = world.listen(&server, "romeo@localhost/garden", &[]);
    let talk = Talk::with(&world, &server, "romeo@localhost", PASSWORD).unwrap();
    let (authority, old) = (world.path("balcony-data/ca.pem"), world.path("old.pem"));
    std::fs::copy(&authority, &old).unwrap();
    let old = old.to_str().unwrap();
    world.send(&server, "romeo@localhost", "romeo@localhost", "before", &["--ca", old]).succeeded();
    assert!(listener.stdout().ends_with(": before"));
    assert!(!offers_registration(&server));

    // A new certificate, registration, and a log that says less.
    world.renew_certificate();
    let config = format!("{FIXED}allow-registration = true\nlog = 'warn'\n");
    reload(
        &world,
        &server,
        &format!("{config}log-level = 1"),
        "everything stays as it was: balcony.toml:6: unknown field",
    );
    assert!(!offers_registration(&server));
    // At the new level nothing is said of it.
    world.write("balcony.toml", &config);
    server.process.signal("HUP");
    while !offers_registration(&server) {}

    // Those who were there still are, on the old certificate; those who come see the new one.
    world
        .send(&server, "romeo@localhost", "romeo@localhost", "x", &["--ca", old])
        .failed(1, &["not signed by a trusted"]);
    world.send(&server, "romeo@localhost/quiet", "romeo@localhost", "after", &[]).succeeded();
    assert!(listener.stdout().ends_with(": after"));
    talk.request(query("jabber:iq:roster")).unwrap();

    // A connection that says nothing is closed after the new time.
    world.write("balcony.toml", &format!("{FIXED}log = 'warn'\nnegotiation-timeout = 1\n"));
    server.process.signal("HUP");
    while offers_registration(&server) {}
    let said = Raw::connect(&server).rest();
    assert!(said.contains("nothing was sent for too long"), "{said}");
    world.write("balcony.toml", &format!("{FIXED}log = 'info'\nallow-registration = true"));
    server.process.signal("HUP");
    while !offers_registration(&server) {}
    listener.signal("TERM");
    listener.wait().succeeded();
    let ended = server.stop();
    assert!(!ended.stderr.contains("romeo@localhost/quiet is online"), "{ended:#?}");
    let read = ended.stderr.lines().filter(|line| line.contains("read balcony.toml and the certificate "));
    assert_eq!(read.filter(|line| line.ends_with("cert.pem again")).count(), 1, "{ended:#?}");
}

/// Puts a pipe, into which nobody writes, where the configuration was.
fn hang(world: &World) {
    let path = world.path("balcony.toml");
    let _ = std::fs::remove_file(&path);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
}

#[test]
fn a_configuration_that_cannot_be_read_keeps_nobody_waiting() {
    let world = World::new();
    let server = start(&world, FIXED);
    world.account("romeo");
    hang(&world);
    let begin = Instant::now();
    server.process.signal("HUP");
    world.send(&server, "romeo@localhost", "romeo@localhost", "still there?", &[]).succeeded();
    server.process.stderr_with(
        "everything stays as it was: cannot read balcony.toml: its end has not come for 10 seconds",
    );
    // And again, but this time it is to end while it reads.
    server.process.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    let (told, ended) = (Instant::now(), server.stop());
    assert!(told.elapsed() < Duration::from_secs(9), "{:?} {ended:?}", told.elapsed());
    assert!(begin.elapsed() > Duration::from_secs(10));
}

#[test]
fn a_server_whose_configuration_cannot_be_read_does_not_start() {
    let world = World::new();
    hang(&world);
    let ended = world.run(&["serve", "--config", "balcony.toml"]);
    ended.failed(1, &["cannot read balcony.toml: its end has not come for 10 seconds"]);
    world
        .run(&["serve", "--config", "/dev/zero"])
        .failed(1, &["cannot read /dev/zero: it has more than 4 MiB"]);
}

#[test]
fn what_cannot_change_is_named_and_stays() {
    let world = World::new();
    let server = start(&world, FIXED);
    world.account("romeo");
    let config = "domain = 'example.org'\nlisten = '127.0.0.1:1'\ndata = 'elsewhere'\n";
    let line = reload(&world, &server, config, "needs a restart");
    assert!(line.contains("a change of domain, listen, listen-tls, data, allow-plaintext needs"), "{line}");
    server.process.stderr_with("read balcony.toml and the certificate");
    world.send(&server, "romeo@localhost", "romeo@localhost", "still here", &[]).succeeded();
    assert!(!world.path("elsewhere").exists());
}

#[test]
fn a_broken_configuration_or_certificate_changes_nothing() {
    let world = World::new();
    let server = start(&world, FIXED);
    world.account("romeo");
    for (config, expected) in [
        ("listen = 'nowhere'", "balcony.toml:1: `listen`: `nowhere`: an IP address and a port is wanted"),
        ("allow-registration = true\ncert = 'c.pem'", "balcony.toml: `cert` and `key` need each other"),
        (
            "allow-registration = true\ncert = 'c.pem'\nkey = 'k.pem'",
            "cannot read the certificate c.pem: no such file",
        ),
        (
            "allow-registration = true\nmax-stanza-bytes = 10000000",
            "`max-stanza-bytes` may be half of `session-bytes`",
        ),
        // They would go together, but what waits for sessions cannot change.
        (
            "allow-registration = true\nmax-stanza-bytes = 10000000\n[queues]\nsession-bytes = 30000000",
            "`max-stanza-bytes` may be half of `session-bytes`",
        ),
    ] {
        let line = reload(&world, &server, config, "everything stays as it was");
        assert!(line.contains("ERROR") && line.contains(expected), "{line}");
        assert!(!offers_registration(&server), "{config}");
        world.send(&server, "romeo@localhost", "romeo@localhost", "still here", &[]).succeeded();
    }
    std::fs::remove_file(world.path("balcony.toml")).unwrap();
    server.process.signal("HUP");
    server
        .process
        .stderr_with("everything stays as it was: cannot read balcony.toml: no such file or folder");
}
