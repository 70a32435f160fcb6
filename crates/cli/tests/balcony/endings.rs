//! How servers and listeners end: told to, killed, or left alone by the other end. What was acknowledged or has come is not lost,
//! and a listener connects again where that can help (RFC 6120 section 3.3), ever more seldom.

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::atomic::Ordering;
use std::time::Duration;

use balcony_stanza::{Kind, PresenceType, Stanza};

use crate::witness::{hello, moody, polite, witness};
use crate::world::{Process, Server, World};

fn list(world: &World) -> String {
    world.run(&["user", "list"]).stdout
}

// RFC 6120 §4.9.3.20
#[test]
fn a_server_that_is_told_to_end_closes_every_stream() {
    for signal in ["TERM", "INT"] {
        let world = World::new();
        let server = world.serve(&[]);
        world.account("romeo");
        world.account("juliet");
        let listeners =
            ["romeo@localhost/a", "juliet@localhost/b"].map(|jid| world.listen(&server, jid, &[]));
        server.process.signal(signal);
        for listener in &listeners {
            let line = listener.stderr_with("system-shutdown");
            assert!(line.contains("connecting again in "), "{line}");
            listener.signal("TERM");
        }
        let ended = server.process.wait();
        ended.succeeded();
        assert!(ended.stderr.contains("closing all streams"), "{ended:#?}");
        for listener in listeners {
            listener.wait().succeeded();
        }
        assert_eq!(list(&world), "juliet@localhost\nromeo@localhost\n");
        assert!(!world.path("balcony-data/control.sock").exists());
    }
}

#[test]
fn what_was_done_outlives_a_kill() {
    let world = World::new();
    let mut server = world.serve(&[]);
    world.account("romeo");
    world.account("juliet");
    world.run(&["user", "remove", "juliet"]).succeeded();
    server.process.kill();
    // The dead server's socket is still there.
    assert!(world.path("balcony-data/control.sock").exists());
    assert_eq!(list(&world), "romeo@localhost\n");

    let server = world.serve(&[]);
    assert_eq!(list(&world), "romeo@localhost\n");
    let listener = world.listen(&server, "romeo@localhost/garden", &[]);
    world.send(&server, "romeo@localhost", "romeo@localhost", "alive", &[]).succeeded();
    assert!(listener.stdout().ends_with(": alive"));
}

// RFC 6120 §3.3 [C7] stream-reconnect
#[test]
fn a_listener_comes_back_when_its_server_does() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    let listener = world.listen(&server, "romeo@localhost/garden", &["--retry", "1"]);
    let address = server.address.clone();
    server.stop();
    let line = listener.stderr_with("connecting again");
    assert!(line.ends_with("connecting again in 1 s"), "{line}");
    let server = Server::start(world.start(&["serve", "--listen", &address]));
    listener.stderr_with("listening as");
    world.send(&server, "romeo@localhost", "romeo@localhost", "welcome back", &[]).succeeded();
    assert!(listener.stdout().ends_with(": welcome back"));

    // What no attempt can mend ends it.
    server.process.signal("KILL");
    listener.stderr_with("connecting again");
    server.process.wait();
    world.run_as("another", &["user", "passwd", "romeo"]).succeeded();
    let _server = Server::start(world.start(&["serve", "--listen", &address]));
    let ended = listener.wait();
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(
        ended.stderr.ends_with("balcony: wrong password, or no such account (not-authorized)\n"),
        "{ended:?}"
    );
}

// RFC 6120 §3.3 [C7] stream-reconnect: a session that ends at once is a failure like any other.
#[test]
fn a_server_that_ends_every_session_is_left_alone_ever_longer() {
    let world = World::new();
    let (address, lives) = moody();
    let listener = world.listener(&address, "romeo@localhost/garden", &["--allow-plaintext", "--retry", "1"]);
    listener.stderr_with("connecting again");
    std::thread::sleep(Duration::from_secs(10));
    // At half a second each it would be twenty.
    let lives = lives.load(Ordering::SeqCst);
    assert!((2..10).contains(&lives), "{lives}");
}

// RFC 6121 §4.5
#[test]
fn a_listener_that_is_told_to_end_says_so() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    for signal in ["INT", "TERM"] {
        let listener = world.listen(&server, "romeo@localhost/garden", &[]);
        listener.signal(signal);
        listener.wait().succeeded();
        // Nobody is there: it waits for the next to come.
        world.send(&server, "romeo@localhost", "romeo@localhost", signal, &[]).succeeded();
        let next = world.listen(&server, "romeo@localhost/garden", &[]);
        let line = next.stdout();
        assert!(line.contains(&format!(": {signal} (sent ")), "{line}");
        next.signal(signal);
        next.wait().succeeded();
    }
}

// RFC 6120 §7.7.2.2
#[test]
fn a_listener_whose_resource_is_taken_does_not_take_it_back() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    let first = world.listen(&server, "romeo@localhost/garden", &[]);
    let second = world.listen(&server, "romeo@localhost/garden", &[]);
    first.wait().failed(1, &["another client has taken this resource"]);
    world.send(&server, "romeo@localhost", "romeo@localhost", "hello", &[]).succeeded();
    assert!(second.stdout().ends_with(": hello"));
}

/// A listener at a server that `answer`s.
fn listener_at<F>(world: &World, answer: F) -> Process
where
    F: FnMut(&Stanza, &mut Vec<u8>) -> ControlFlow<()> + Send + 'static,
{
    let (address, _server) = witness(answer);
    world.listener(&address, "romeo@localhost/garden", &["--allow-plaintext"])
}

/// Whether this is the ping behind the initial presence.
fn is_ping(stanza: &Stanza) -> bool {
    String::from_utf8_lossy(stanza.payload.as_bytes()).contains("urn:xmpp:ping")
}

// A server that does not answer, or not even read, keeps nobody.
#[test]
fn a_listener_that_is_told_to_end_does_so_at_once() {
    let world = World::new();
    for hangs in [false, true] {
        let (sender, asked) = std::sync::mpsc::channel();
        // It says nothing to the request for the roster.
        let listener = listener_at(&world, move |_, _| {
            sender.send(()).unwrap();
            if hangs {
                std::thread::sleep(Duration::from_secs(60));
            }
            Continue(())
        });
        asked.recv_timeout(Duration::from_secs(60)).unwrap();
        let begin = std::time::Instant::now();
        listener.signal("INT");
        if hangs {
            std::thread::sleep(Duration::from_millis(500));
            listener.signal("INT");
        }
        listener.wait().succeeded();
        assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    }
}

/// Says so much to whoever comes.
fn talkative(stanza: &Stanza, count: usize, out: &mut Vec<u8>) {
    if stanza.head.kind == Kind::Presence(PresenceType::Available) {
        (0..count).for_each(|number| hello(&number.to_string()).write(out));
    }
}

// XEP-0160 1.0.1 §2: a server keeps nothing that it has delivered
#[test]
fn what_has_come_is_printed_before_a_listener_ends() {
    let world = World::new();
    // The server dies before it answers.
    let listener = listener_at(&world, |stanza, out| {
        talkative(stanza, 3, out);
        if is_ping(stanza) { Break(()) } else { polite(stanza, out) }
    });
    for number in ["0", "1", "2", "hello"] {
        assert!(listener.stdout().ends_with(&format!(": {number}")));
    }
    listener.stderr_with("connecting again");

    // It dies of a request that comes before presence.
    let listener = listener_at(&world, |stanza, out| {
        hello("early").write(out);
        let is_roster = stanza.payload.as_bytes().starts_with(b"<query xmlns='jabber:iq:roster'");
        if is_roster { Break(()) } else { polite(stanza, out) }
    });
    assert!(listener.stdout().ends_with(": early"));
    listener.stderr_with("connecting again");

    // There is more than anybody keeps.
    let listener = listener_at(&world, |stanza, out| {
        talkative(stanza, 2_000, out);
        polite(stanza, out)
    });
    for number in 0..2_000 {
        assert!(listener.stdout().ends_with(&format!(": {number}")));
    }
    listener.stderr_with("listening as");

    // Something crosses the goodbye.
    let listener = listener_at(&world, |stanza, out| {
        if stanza.head.kind == Kind::Presence(PresenceType::Unavailable) {
            hello("late").write(out);
        }
        polite(stanza, out)
    });
    listener.stderr_with("listening as");
    listener.signal("TERM");
    let ended = listener.wait();
    ended.succeeded();
    assert!(ended.stdout.ends_with(": late\n"), "{ended:?}");
}
