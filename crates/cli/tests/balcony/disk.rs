//! A server whose disk is full for a while says so, loses nothing that it has acknowledged, and goes on when there is room again.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::world::{PASSWORD, Server, World};

/// From now on the server's files may have so many bytes at most.
fn limit(server: &Server, bytes: &str) {
    let pid = server.process.id().to_string();
    let limited =
        Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")]).status();
    assert!(limited.unwrap().success());
}

/// Whether romeo's message to himself, who is away, has been accepted.
fn keep(world: &World, server: &Server, number: usize) -> bool {
    let text = format!("{number} {}", "x".repeat(60_000));
    let sent = world.send(server, "romeo@localhost", "romeo@localhost", &text, &[]);
    if sent.status != Some(0) {
        assert!(sent.stderr.contains("service-unavailable"), "{sent:?}");
    }
    sent.status == Some(0)
}

#[test]
fn a_server_goes_on_when_there_is_room_again() {
    let world = World::new();
    // Where files are limited, writing too much ends a program by a signal unless it catches that, as the server does.
    let server = Server::start(world.shell("balcony serve --listen 127.0.0.1:0 --listen-tls 127.0.0.1:0"));
    world.account("romeo");
    assert!(keep(&world, &server, 0));
    let size = std::fs::metadata(world.path("balcony-data/balcony.redb")).unwrap().len();
    limit(&server, &size.to_string());
    let mut kept: Vec<usize> = (1..90).take_while(|&number| keep(&world, &server, number)).collect();
    assert!(kept.len() < 80, "the file does not grow");
    kept.insert(0, 0);
    // What is there can still be read: he has just logged in. Nothing can be written.
    let refused = kept.len();
    assert!(!keep(&world, &server, refused));
    world.run_as(PASSWORD, &["user", "add", "juliet"]).failed(1, &["is the disk full?"]);

    limit(&server, "unlimited");
    let start = Instant::now();
    while !keep(&world, &server, 100) {
        assert!(start.elapsed() < Duration::from_secs(30), "the server does not go on");
    }
    kept.push(100);
    let count = kept.len().to_string();
    let romeo = world.listen(&server, "romeo@localhost/garden", &["--count", &count]);
    for number in kept {
        let line = romeo.stdout();
        assert!(line.contains(&format!(": {number} xxx")), "{number}: {:?}", line.get(..60));
    }
    romeo.wait().succeeded();
    let ended = server.stop();
    let log: Vec<_> = ended.stderr.lines().filter(|line| line.contains("database")).collect();
    assert!(log[0].contains("ERROR the database cannot be read or written"), "{log:#?}");
    assert!(log[1].contains("WARN the database can be written again"), "{log:#?}");
    assert_eq!(log.len(), 2, "{log:#?}");
    assert_eq!(world.run(&["store", "check"]).stdout, "checked accounts: 1; nothing is broken\n");
}
