//! What a listener prints is acknowledged (XEP-0198), and nothing else: what nobody has read, and what is beyond the number of messages that
//! were wanted, comes to the next client, and nothing comes twice.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, pipe};
use std::process::Stdio;

use crate::hostile::Raw;
use crate::network::Cable;
use crate::packet::{asked, login};
use crate::world::{Process, Server, World};

const JULIET: &str = "juliet@localhost/balcony";
/// More bytes than a pipe takes.
const LONG: usize = 200_000;

fn server(world: &World) -> Server {
    let server = world.serve(&["--allow-plaintext"]);
    world.account("romeo");
    world.account("juliet");
    server
}

/// Romeo, who is online by the time that he says something.
struct Romeo(Raw);

impl Romeo {
    fn of(server: &Server) -> Romeo {
        Romeo(login(server, "romeo"))
    }

    /// Says all of it at once.
    fn says(&mut self, texts: impl Iterator<Item = String>) {
        let message = |text| format!("<message to='{JULIET}' type='chat'><body>{text}</body></message>");
        let messages: String = texts.map(message).collect();
        asked(&mut self.0, &messages, "said");
    }
}

fn numbers(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|number| number.to_string())
}

/// The next client gets these, once, and nothing else.
fn next_gets(world: &World, server: &Server, texts: impl Iterator<Item = String>) {
    let next = world.listen(server, JULIET, &[]);
    world.send(server, "romeo@localhost", JULIET, "mark", &[]).succeeded();
    for text in texts.chain(["mark".into()]) {
        let line = next.stdout();
        let (_, said) = line.split_once(": ").unwrap();
        assert_eq!(said.split(" (sent ").next(), Some(text.as_str()), "{line:.100}");
    }
    next.signal("TERM");
    next.wait().succeeded();
}

fn listener_into(world: &World, server: &Server, stdout: impl Into<Stdio>) -> Process {
    world.listener_into(stdout, &server.address, JULIET, &["--json"])
}

fn failed(listener: Process, why: &str) {
    let ended = listener.wait();
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let said = ended.stderr.lines().last().unwrap();
    assert!(said.contains(why), "{ended:?}");
    assert!(said.ends_with(": what has not been printed comes to the next client"), "{ended:?}");
}

// XEP-0198 1.6.3 §4 [SM9] [SM11]
#[test]
fn what_cannot_be_printed_comes_to_the_next_client() {
    for count in [1, 5, 90] {
        for is_stored in [true, false] {
            let world = World::new();
            let server = server(&world);
            let mut romeo = Romeo::of(&server);
            for is_gone in [true, false] {
                let listener = || match is_gone {
                    true => listener_into(&world, &server, pipe().unwrap().1),
                    false => listener_into(&world, &server, File::create("/dev/full").unwrap()),
                };
                let listener = if is_stored {
                    romeo.says(numbers(0..count));
                    listener()
                } else {
                    let listener = listener();
                    listener.stderr_with("listening as");
                    romeo.says(numbers(0..count));
                    listener
                };
                failed(listener, if is_gone { "nobody reads what is printed" } else { "cannot print" });
                next_gets(&world, &server, numbers(0..count));
            }
        }
    }
}

// As `head -n 1` does.
#[test]
fn a_reader_who_has_had_enough_loses_nothing() {
    let world = World::new();
    let server = server(&world);
    let (reader, writer) = pipe().unwrap();
    let listener = listener_into(&world, &server, writer);
    listener.stderr_with("listening as");
    let mut romeo = Romeo::of(&server);
    romeo.says(numbers(0..1));
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    assert!(line.contains("\"body\":\"0\""), "{line}");
    romeo.says(numbers(1..4));
    failed(listener, "nobody reads what is printed");
    next_gets(&world, &server, numbers(1..4));
}

#[test]
fn a_listener_that_nobody_reads_ends_when_it_is_told_to() {
    for (signals, why) in [(&["TERM"][..], "nobody reads what is printed"), (&["INT", "TERM"], "interrupted")]
    {
        let world = World::new();
        let server = server(&world);
        let (mut reader, writer) = pipe().unwrap();
        let listener = listener_into(&world, &server, writer);
        listener.stderr_with("listening as");
        let texts = || (0..3).map(|number| number.to_string().repeat(LONG));
        Romeo::of(&server).says(texts());
        // It has begun to print, and cannot be done.
        reader.read_exact(&mut [0]).unwrap();
        signals.iter().for_each(|signal| listener.signal(signal));
        failed(listener, why);
        next_gets(&world, &server, texts());
    }
}

#[test]
fn what_a_slow_reader_gets_does_not_come_again() {
    for signal in ["INT", "TERM"] {
        let world = World::new();
        let server = server(&world);
        let (mut reader, writer) = pipe().unwrap();
        let listener = listener_into(&world, &server, writer);
        listener.stderr_with("listening as");
        let text = |number: usize| format!("{number}{}", "x".repeat(LONG));
        Romeo::of(&server).says((0..4).map(text));
        reader.read_exact(&mut [0]).unwrap();
        listener.signal(signal);
        let printed = BufReader::new(reader).lines().count();
        listener.wait().succeeded();
        next_gets(&world, &server, (printed..4).map(text));
    }
}

#[test]
fn a_listener_that_wants_some_messages_leaves_the_others() {
    let world = World::new();
    let server = server(&world);
    let mut romeo = Romeo::of(&server);
    for (wanted, count) in [(1, 3), (1, 90), (70, 90)] {
        for is_stored in [true, false] {
            let listener = || world.listener(&server.address, JULIET, &["--count", &wanted.to_string()]);
            let listener = if is_stored {
                romeo.says(numbers(0..count));
                listener()
            } else {
                let listener = listener();
                listener.stderr_with("listening as");
                romeo.says(numbers(0..count));
                listener
            };
            let ended = listener.wait();
            ended.succeeded();
            assert_eq!(ended.stdout.lines().count(), wanted, "{ended:?}");
            next_gets(&world, &server, numbers(wanted..count));
        }
    }
}

// XEP-0198 §5: a connection that breaks while the last line leaves does not bring that line to the next client.
#[test]
fn what_is_printed_when_the_connection_is_broken_does_not_come_again() {
    for signal in [None, Some("TERM")] {
        let world = World::new();
        let server = server(&world);
        let cable = Cable::to(&server.address);
        let (mut reader, writer) = pipe().unwrap();
        let listener = world.listener_into(writer, &cable.address, JULIET, &["--json", "--count", "1"]);
        listener.stderr_with("listening as");
        let text = |number: usize| format!("{number}{}", "x".repeat(LONG));
        Romeo::of(&server).says((0..2).map(text));
        reader.read_exact(&mut [0]).unwrap();
        cable.cut();
        server.process.stderr_with("has lost its connection");
        cable.mend();
        signal.iter().for_each(|signal| listener.signal(signal));
        assert_eq!(BufReader::new(reader).lines().count(), 1);
        listener.wait().succeeded();
        next_gets(&world, &server, (1..2).map(text));
    }
}

// XEP-0198 §5: nor if the listener is told to end while it comes back.
#[test]
fn what_was_printed_before_a_connection_that_is_being_made_does_not_come_again() {
    let world = World::new();
    let server = server(&world);
    let cable = Cable::to(&server.address);
    let (mut reader, writer) = pipe().unwrap();
    let listener = world.listener_into(writer, &cable.address, JULIET, &["--json"]);
    listener.stderr_with("listening as");
    let text = |number: usize| format!("{number}{}", "x".repeat(LONG));
    Romeo::of(&server).says((0..1).map(text));
    reader.read_exact(&mut [0]).unwrap();
    cable.cut_silently();
    server.process.stderr_with("has lost its connection");
    let printed = std::thread::spawn(move || BufReader::new(reader).lines().count());
    cable.client_waits();
    cable.mend();
    listener.signal("TERM");
    listener.wait().succeeded();
    assert_eq!(printed.join().unwrap(), 1);
    next_gets(&world, &server, core::iter::empty());
}
