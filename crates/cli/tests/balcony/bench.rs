//! `balcony bench`: every load at a small size, and that it finds what a server does wrong.

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{Ended, PASSWORD, Server, World};

/// A server with this many accounts, and what `bench` is told of it.
fn site(accounts: u32, options: &[&str]) -> (World, Server) {
    let world = World::new();
    let server = world.serve(&[&["--allow-plaintext"], options].concat());
    if accounts > 0 {
        let lines: String = (0..accounts).map(|number| format!("bench{number},{PASSWORD}\n")).collect();
        world.write("accounts.csv", &lines);
        world.run(&["user", "import", "accounts.csv"]).succeeded();
    }
    (world, server)
}

fn bench(world: &World, server: &Server, args: &[&str]) -> Ended {
    let pid = server.process.id().to_string();
    let at = ["--connect", &server.address, "--seconds", "1", "--warm-up", "0", "--pid", &pid, "--json"];
    world.run_as(PASSWORD, &[&["bench"], args, &at].concat())
}

/// What it measured, if nothing was wrong.
#[track_caller]
fn measured(ended: &Ended) -> Value {
    ended.succeeded();
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["wrong"], Value::Array(vec![]), "{report}");
    assert_eq!(report["failed"], Value::Array(vec![]), "{report}");
    assert_eq!(report["interrupted"], false, "{report}");
    report
}

#[track_caller]
fn figure(report: &Value, name: &str) -> f64 {
    report["figures"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn pairs_chat_and_every_message_is_checked() {
    let (world, server) = site(6, &[]);
    for more in [&["--plain", "--window", "16"][..], &["--window", "1", "--size", "5000"]] {
        let report = measured(&bench(&world, &server, &[&["chat", "--pairs", "3"], more].concat()));
        let messages = figure(&report, "messages");
        assert!(messages > 0.0 && report["checked"].as_f64().unwrap() >= messages, "{report}");
        assert!(figure(&report, "messages_per_second") > 0.0, "{report}");
        let latency = &report["latency_ms"][0];
        assert!(latency["p50"].as_f64().unwrap() <= latency["max"].as_f64().unwrap(), "{report}");
    }
    // What it says to a person.
    let table = world
        .run_as(PASSWORD, &["bench", "chat", "--pairs", "1", "--connect", &server.address, "--seconds", "1"]);
    table.succeeded();
    assert!(table.stdout.contains("messages per second"), "{table:?}");
}

#[test]
fn users_log_in_with_and_without_tls() {
    let (world, server) = site(3, &[]);
    for more in [&["--plain", "--mechanism", "SCRAM-SHA-1"][..], &[]] {
        let args = [&["logins", "--users", "3", "--parallel", "4"], more].concat();
        let report = measured(&bench(&world, &server, &args));
        assert!(figure(&report, "logins") > 0.0, "{report}");
    }
}

#[test]
fn idle_sessions_live_on_and_are_weighed() {
    let (world, server) = site(10, &[]);
    let report = measured(&bench(&world, &server, &["idle", "--sessions", "20", "--resources", "2"]));
    assert_eq!(figure(&report, "sessions_that_lived_to_the_end"), 20.0);
    let grown = figure(&report, "server_kib_after") - figure(&report, "server_kib_before");
    assert!((grown / 20.0 - figure(&report, "kib_per_session")).abs() < 0.01, "{report}");
}

#[test]
fn headlines_reach_every_resource_but_the_one_with_a_negative_priority() {
    let (world, server) = site(4, &[]);
    let report = measured(&bench(&world, &server, &["fan-out", "--groups", "2", "--resources", "4"]));
    let checked = report["checked"].as_u64().unwrap();
    assert!(checked > 0 && checked.is_multiple_of(3), "{report}");
}

#[test]
fn presence_reaches_all_subscribers_also_when_they_are_subscribed_already() {
    let (world, server) = site(6, &[]);
    for _ in 0..2 {
        let report = measured(&bench(&world, &server, &["presence", "--subscribers", "5"]));
        let checked = report["checked"].as_u64().unwrap();
        assert!(checked > 0 && checked.is_multiple_of(5), "{report}");
    }
}

#[test]
fn good_clients_are_measured_before_and_in_the_storm() {
    let (world, server) = site(6, &[]);
    let pid = server.process.id().to_string();
    let at = ["--connect", &server.address, "--seconds", "4", "--pid", &pid, "--json"];
    let ended =
        world.run_as(PASSWORD, &[&["bench", "storm", "--pairs", "2", "--bad", "2"], &at[..]].concat());
    let report = measured(&ended);
    let rows: Vec<_> = report["latency_ms"].as_array().unwrap().iter().map(|row| &row["of"]).collect();
    assert_eq!(rows, ["while it is quiet", "in the storm"], "{report}");
    for kind in ["wrong_passwords_refused", "garbage_connections", "half_open_connections"] {
        assert!(figure(&report, kind) > 0.0, "{kind}: {report}");
    }
}

#[test]
fn accounts_that_are_missing_are_registered_and_those_that_exist_stay() {
    let (world, server) = site(0, &["--allow-registration"]);
    for tls in [&["--plain"][..], &[]] {
        measured(&bench(&world, &server, &[&["chat", "--pairs", "1", "--register"], tls].concat()));
    }
    assert_eq!(world.run(&["user", "list"]).stdout, "bench0@localhost\nbench1@localhost\n");
    let (world, server) = site(0, &[]);
    let refused = bench(&world, &server, &["chat", "--pairs", "1", "--register", "--plain"]);
    refused.failed(1, &["--register: bench0@localhost:", "may not let strangers register"]);
    assert!(!refused.stderr.contains(PASSWORD), "{refused:?}");
}

#[test]
fn what_is_not_near_is_not_loaded() {
    let world = World::new();
    let run = |more: &[&str]| {
        world.run_as(PASSWORD, &[&["bench", "chat", "--connect", "192.0.2.1:5222"], more].concat())
    };
    run(&[]).failed(2, &["192.0.2.1", "--yes-this-is-mine"]);
    // It gets further with that: to what is wrong next.
    let allowed = run(&["--yes-this-is-mine", "--pid", "4294967295"]);
    allowed.failed(1, &["--pid"]);
}

#[test]
fn accounts_that_cannot_log_in_are_told() {
    let (world, server) = site(1, &[]);
    bench(&world, &server, &["chat", "--pairs", "1"]).failed(1, &["bench1@localhost", "not-authorized"]);
}

#[test]
fn ctrl_c_ends_it_with_what_was_measured() {
    let (world, server) = site(2, &[]);
    let args = ["bench", "chat", "--pairs", "1", "--seconds", "600", "--warm-up", "0", "--json"];
    let running = world.start_as(PASSWORD, &[&args[..], &["--connect", &server.address]].concat());
    let start = Instant::now();
    while world.run(&["user", "sessions"]).stdout.lines().count() < 2 {
        assert!(start.elapsed() < Duration::from_secs(60), "nobody logs in");
    }
    thread::sleep(Duration::from_secs(2));
    running.signal("INT");
    let ended = running.wait();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["interrupted"], true, "{report}");
    assert!(figure(&report, "messages") > 0.0 && report["wrong"] == Value::Array(vec![]), "{report}");
}

/// What somebody between the clients and their server does to the fifth message that comes from it.
#[derive(Clone, Copy)]
enum Fault {
    Duplicate,
    Drop,
    /// It comes after the next one.
    Delay,
    Change,
}

/// A way to the server on which that happens.
fn faulty(server: &Server, fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, server) = (listener.local_addr().unwrap().to_string(), server.address.clone());
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(&server).unwrap();
            let (mut up, mut there) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut up, &mut there));
            thread::spawn(move || relay(server, client, fault));
        }
    });
    address
}

/// Passes on what the server says, with the fault.
fn relay(mut server: TcpStream, mut client: TcpStream, fault: Fault) {
    const START: &[u8] = b"<message";
    const END: &[u8] = b"</message>";
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|window| window == what);
    let (mut text, mut chunk, mut count, mut held) = (Vec::new(), [0; 4096], 0, Vec::new());
    while let Ok(read @ 1..) = server.read(&mut chunk) {
        text.extend_from_slice(&chunk[..read]);
        let mut out = Vec::new();
        loop {
            let start = find(&text, START).unwrap_or_else(|| {
                let is_begun = |length: &usize| text.ends_with(&START[..*length]);
                text.len() - (1..START.len()).rev().find(is_begun).unwrap_or(0)
            });
            out.extend(text.drain(..start));
            let Some(end) = find(&text, END) else { break };
            let mut message: Vec<u8> = text.drain(..end + END.len()).collect();
            count += 1;
            match fault {
                Fault::Duplicate if count == 5 => out.extend_from_slice(&message),
                Fault::Drop if count == 5 => continue,
                Fault::Delay if count == 5 => {
                    held = message;
                    continue;
                }
                Fault::Change if count == 5 => {
                    // The last letter of the body.
                    let body = find(&message, b"</body>").unwrap();
                    message[body - 1] = b'!';
                }
                _ => {}
            }
            out.extend_from_slice(&message);
            out.append(&mut held);
        }
        if client.write_all(&out).is_err() {
            return;
        }
    }
}

#[test]
fn a_server_that_duplicates_drops_reorders_or_changes_a_message_is_found() {
    let (world, server) = site(2, &[]);
    let faults = [
        (Fault::Duplicate, "duplicate"),
        (Fault::Drop, "missing"),
        (Fault::Delay, "order"),
        (Fault::Change, "body"),
    ];
    for (fault, name) in faults {
        let address = faulty(&server, fault);
        let args = ["bench", "chat", "--pairs", "1", "--window", "4", "--plain", "--connect", &address];
        let ended =
            world.run_as(PASSWORD, &[&args[..], &["--seconds", "1", "--warm-up", "0", "--json"]].concat());
        ended.failed(1, &["wrong deliveries"]);
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        let wrong: Vec<_> = report["wrong"].as_array().unwrap().iter().map(|row| &row["what"]).collect();
        assert!(wrong.contains(&&Value::from(name)), "{name}: {report}");
        // What is changed has not arrived as it was sent either.
        let others = if name == "body" { 2 } else { 1 };
        assert_eq!(wrong.len(), others, "{name}: {report}");
    }
}
