//! Commands that end before they are done: by an error, a signal, or killed. The server is left without a session of theirs.

use std::ops::ControlFlow::Continue;
use std::sync::mpsc::channel;
use std::time::Duration;

use balcony_stanza::{Kind, PresenceType, Stanza};

use crate::network::Cable;
use crate::witness::{polite, witness};
use crate::world::{PASSWORD, PATIENCE, World};

/// Waits until nobody is connected any more.
fn nobody_is_left(world: &World) {
    let begin = std::time::Instant::now();
    loop {
        let shown = world.run(&["user", "sessions"]);
        shown.succeeded();
        if shown.stdout.is_empty() {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{}", shown.stdout);
        std::thread::sleep(Duration::from_millis(20));
    }
}

// RFC 6120 §4.4: whoever is told to end says goodbye, in whatever it is; a server that does not answer keeps nobody for long.
#[test]
fn commands_that_are_told_to_end_say_goodbye() {
    let world = World::new();
    for command in [
        &["presence"][..],
        &["roster"],
        &["roster", "add", "juliet@localhost"],
        &["send", "juliet@localhost", "But soft!"],
    ] {
        for signal in ["INT", "TERM"] {
            let (sender, heard) = channel();
            // It answers nothing.
            let (address, _server) = witness(move |stanza, _| {
                let _ = sender.send(stanza.head.kind);
                Continue(())
            });
            let options = ["--as", "romeo@localhost", "--allow-plaintext", "--connect", &address];
            let process = world.start_as(PASSWORD, &[command, &options[..]].concat());
            heard.recv_timeout(PATIENCE).unwrap();
            process.signal(signal);
            let ended = process.wait();
            assert_eq!(ended.status, Some(1), "{command:?}: {ended:?}");
            assert!(ended.stderr.contains("balcony: interrupted"), "{command:?}: {ended:?}");
            let is_goodbye = |kind| kind == Kind::Presence(PresenceType::Unavailable);
            assert!(heard.iter().any(is_goodbye), "{command:?}");
        }
    }
}

// XEP-0198 §5: the server does not wait for commands that do not come back.
#[test]
fn commands_that_are_killed_leave_nothing() {
    let world = World::new();
    world.account("romeo");
    let server = world.serve(&[]);
    let options = ["--as", "romeo@localhost/x", "--connect", &server.address];
    for command in [&["presence"][..], &["roster"]] {
        let process = world.start_as(PASSWORD, &[command, &options[..]].concat());
        // Somewhere on its way.
        server.process.stderr_with("romeo@localhost/x is online");
        process.signal("KILL");
        process.wait();
        nobody_is_left(&world);
    }
}

// Nobody reads any more what a listener prints: it ends with an error, and takes its leave.
#[test]
fn a_listener_without_a_reader_says_goodbye() {
    let world = World::new();
    world.account("romeo");
    let server = world.serve(&[]);
    let listener = world.shell(&format!(
        "BALCONY_PASSWORD={PASSWORD} balcony listen --as romeo@localhost/x --connect {} >/dev/full",
        server.address
    ));
    listener.stderr_with("listening as");
    world.send(&server, "romeo@localhost/y", "romeo@localhost/x", "anybody?", &[]).succeeded();
    let ended = listener.wait();
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("cannot print"), "{ended:?}");
    nobody_is_left(&world);
}

// XEP-0198 §5: a listener that waits to connect again, and is told to end, ends the session that waits for it. What has waited there it does not print,
// and the next client gets it.
#[test]
fn a_listener_that_waits_ends_its_session() {
    let world = World::new();
    world.account("romeo");
    let server = world.serve(&[]);
    let cable = Cable::to(&server.address);
    let listener = world.listen_at(&cable.address, "romeo@localhost/x", &[]);
    cable.cut();
    // Long enough to be told.
    let is_long = |line: &str| {
        let wait = line.split(" again in ").nth(1).and_then(|rest| rest.strip_suffix(" s"));
        wait.is_some_and(|seconds| seconds.parse::<u32>().unwrap() >= 5)
    };
    while !is_long(&listener.stderr_with("connecting again in ")) {}
    assert!(world.run(&["user", "sessions"]).stdout.contains("romeo@localhost/x"));
    for number in 0..8 {
        let text = format!("number {number}");
        world.send(&server, "romeo@localhost/y", "romeo@localhost/x", &text, &[]).succeeded();
    }
    cable.mend();
    listener.signal("INT");
    let ended = listener.wait();
    ended.succeeded();
    assert_eq!(ended.stdout, "", "{ended:?}");
    nobody_is_left(&world);
    let next = world.listen(&server, "romeo@localhost/x", &[]);
    for number in 0..8 {
        let line = next.stdout();
        assert!(line.contains(&format!(": number {number} (sent ")), "{line}");
    }
}

// A terminal that is closed tells its programs to end, but for those that were begun with `nohup`.
#[cfg(target_os = "linux")]
#[test]
fn a_listener_whose_terminal_is_closed_says_goodbye() {
    let world = World::new();
    world.account("romeo");
    let server = world.serve(&[]);
    let address = &server.address;
    let listen = |signal: &str| {
        world.shell(&format!(
            "{signal}-signal=HUP BALCONY_PASSWORD={PASSWORD} balcony listen --as romeo@localhost/x --connect {address}"
        ))
    };
    let listener = listen("--default");
    listener.stderr_with("listening as");
    listener.signal("HUP");
    listener.wait().succeeded();
    nobody_is_left(&world);

    let listener = listen("--ignore");
    listener.stderr_with("listening as");
    listener.signal("HUP");
    world.send(&server, "romeo@localhost/y", "romeo@localhost/x", "still there?", &[]).succeeded();
    assert!(listener.stdout().ends_with(": still there?"));
    listener.signal("TERM");
    listener.wait().succeeded();
}

/// Says nothing for longer than anybody waits.
fn hangs() -> ! {
    loop {
        std::thread::park();
    }
}

fn is_goodbye(stanza: &Stanza) -> bool {
    stanza.head.kind == Kind::Presence(PresenceType::Unavailable)
}

// Who is told that it has failed does it again.
#[test]
fn a_server_that_does_not_say_goodbye_undoes_nothing() {
    let commands = [&["send", "juliet@localhost", "But soft!"][..], &["roster"]];
    let running = commands.map(|command| {
        let (address, _server) =
            witness(|stanza, out| if is_goodbye(stanza) { hangs() } else { polite(stanza, out) });
        let world = World::new();
        let options = ["--as", "romeo@localhost", "--allow-plaintext", "--connect", &address];
        (world.start_as(PASSWORD, &[command, &options[..]].concat()), world)
    });
    for (process, _world) in running {
        let ended = process.wait();
        ended.succeeded();
        assert!(
            ended.stderr.contains("the server does not answer; all had been done before that"),
            "{ended:?}"
        );
    }
}

// A connection that has fallen silent says nothing of whom a message is for.
#[test]
fn who_does_not_answer_is_named() {
    let is_message = |stanza: &Stanza| matches!(stanza.head.kind, Kind::Message(_));
    let is_to = |stanza: &Stanza, whom: &str| stanza.head.to.as_ref().is_some_and(|to| to.as_str() == whom);
    let silent = witness(move |stanza, out| if is_message(stanza) { hangs() } else { polite(stanza, out) });
    let friendly = witness(move |stanza, out| match is_to(stanza, "juliet@localhost") {
        true => Continue(()),
        false => polite(stanza, out),
    });
    let running = [(silent.0, "the server"), (friendly.0, "juliet@localhost")].map(|(address, whom)| {
        let world = World::new();
        let options = ["--as", "romeo@localhost", "--allow-plaintext", "--connect", &address];
        let send = [&["send", "juliet@localhost", "But soft!"], &options[..]].concat();
        (world.start_as(PASSWORD, &send), whom, world)
    });
    for (process, whom, _world) in running {
        let said = format!("balcony: {whom} does not answer: the message may or may not have arrived");
        process.wait().failed(1, &[&said]);
    }
}
