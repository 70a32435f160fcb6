//! `balcony bench`: every load at a small size, and that it finds what a server does wrong.

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{Ended, PASSWORD, Process, Server, World, free_address};

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
    assert!(report.get("server_lost_after_seconds").is_none(), "{report}");
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
        // What is counted has no decimals; how it was protected is what came about.
        assert!(report["figures"]["messages"].is_u64() && report["settings"]["pairs"] == 3, "{report}");
        let tls = if more.contains(&"--plain") { "none" } else { "starttls" };
        assert_eq!((&report["tls"][0]["how"], &report["tls"][0]["connections"]), (&tls.into(), &6.into()));
        assert!(figure(&report, "messages_per_second") > 0.0, "{report}");
        let latency = &report["latency_ms"][0];
        assert!(latency["p50"].as_f64().unwrap() <= latency["max"].as_f64().unwrap(), "{report}");
    }
    // What it says to a person.
    let table = world
        .run_as(PASSWORD, &["bench", "chat", "--pairs", "1", "--connect", &server.address, "--seconds", "1"]);
    table.succeeded();
    assert!(table.stdout.contains("messages per second"), "{table:?}");
    assert!(table.stdout.contains("starttls (TLSv1.3, "), "{table:?}");
}

// What was set for chatting leads no load to the server that somebody chats at.
#[test]
fn the_environment_leads_no_load_anywhere() {
    let (world, server) = site(2, &[]);
    let there = &server.address;
    let variables = format!(
        "BALCONY_PASSWORD={PASSWORD} BALCONY_JID=romeo@@ BALCONY_CA=missing.pem BALCONY_CONNECT={there}"
    );
    let run = |options: &str| {
        let line = format!("{variables} balcony bench chat --pairs 1 --seconds 1 --warm-up 0 {options}");
        world.shell(&line).wait()
    };
    run("--as bench@nowhere.invalid").failed(1, &["nowhere.invalid"]);
    run(&format!("--connect {there}")).succeeded();
}

// Where a server has none it is not enough that TLS was not forbidden.
#[test]
fn whether_there_is_tls_is_told_as_it_came_about() {
    let (world, server) = site(2, &["--listen-ws", "127.0.0.1:0", "--listen-wss", "127.0.0.1:0"]);
    let at = |how: &str| {
        let find =
            |line: &String| Some(line.trim().strip_prefix("listening on ")?.strip_suffix(how)?.to_owned());
        server.greeting.iter().find_map(find).unwrap()
    };
    let clear = at(" (WebSocket without TLS, at /xmpp-websocket)");
    let secured = at(" (WebSocket on TLS, at /xmpp-websocket)").replace("127.0.0.1", "localhost");
    for (place, more, how) in [
        (format!("ws://{clear}/xmpp-websocket"), "--allow-plaintext", "none"),
        (format!("wss://{secured}/xmpp-websocket"), "--allow-plaintext", "wss"),
        (server.address_tls.clone(), "--direct-tls", "direct"),
    ] {
        let args = ["bench", "chat", "--pairs", "1", "--seconds", "1", "--warm-up", "0", "--json"];
        let report = measured(&world.run_as(PASSWORD, &[&args[..], &[more, "--connect", &place]].concat()));
        assert_eq!(report["tls"][0]["how"], how, "{report}");
    }
    let place = format!("wss://{secured}/xmpp-websocket");
    world
        .run_as(PASSWORD, &["bench", "chat", "--plain", "--connect", &place])
        .failed(2, &["--plain: TLS is part of this place"]);
    let strict = world.serve(&["--data", "strict"]);
    let place = ["bench", "chat", "--plain", "--connect", &strict.address];
    world
        .run_as(PASSWORD, &place)
        .failed(1, &["start the server with --allow-plaintext, or leave --plain out"]);
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
fn what_is_kept_for_those_who_are_away_is_read_by_them() {
    let (world, server) = site(11, &[]);
    let args = ["offline", "--readers", "8", "--messages", "20", "--writers", "3", "--window", "5"];
    for _ in 0..2 {
        let report = measured(&bench(&world, &server, &args));
        assert_eq!((figure(&report, "messages"), report["checked"].as_u64()), (160.0, Some(160)), "{report}");
        assert!(figure(&report, "messages_read_per_second") > 0.0, "{report}");
    }
    // More than a server keeps for one come back as errors.
    let ended = bench(&world, &server, &["offline", "--readers", "1", "--messages", "201", "--writers", "1"]);
    ended.failed(1, &["wrong deliveries: 1"]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (&report["wrong"][0]["what"], &report["checked"]),
        (&"returned".into(), &200.into()),
        "{report}"
    );
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
    let bad = report["bad_clients"].as_array().unwrap();
    let kinds: Vec<_> = bad.iter().map(|bad| bad["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["wrong passwords", "garbage", "half-open", "never reading"], "{report}");
    for bad in bad {
        let sum = |what: &str| -> u64 {
            bad[what].as_array().unwrap().iter().map(|row| row["count"].as_u64().unwrap()).sum()
        };
        let tried = bad["tried"].as_u64().unwrap();
        // Each is told once, and none is forgotten.
        assert!(tried > 0 && sum("refused") + sum("ended") + bad["open"].as_u64().unwrap() == tried, "{bad}");
    }
    let reasons = |place: usize| bad[place]["ended"].to_string();
    assert!(
        reasons(0).contains("not-authorized") && reasons(1).contains("by the server: not-well-formed"),
        "{report}"
    );
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
    refused.failed(
        1,
        &["--register: bench0@localhost:", "does not let strangers register", "--allow-registration"],
    );
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
    bench(&world, &server, &["chat", "--pairs", "1"])
        .failed(1, &["bench1@localhost", "not-authorized", "--register creates those that are missing"]);
    // Nobody can be deaf who is not let in.
    let (world, server) = site(2, &[]);
    bench(&world, &server, &["storm", "--pairs", "1"]).failed(1, &["bench2@localhost", "not-authorized"]);
}

// What is wrong is said with what to do about it.
#[test]
fn a_server_that_is_not_there_or_not_trusted() {
    let world = World::new();
    let run = |args: &[&str]| world.run_as(PASSWORD, &[&["bench", "chat"], args].concat());
    for more in [&[][..], &["--register"]] {
        run(&[&["--connect", &free_address()], more].concat())
            .failed(1, &["connection refused", "start the server", "--connect HOST:PORT"]);
    }
    let server = world.serve(&[]);
    std::fs::remove_file(world.path("balcony-data/ca.pem")).unwrap();
    run(&["--connect", &server.address]).failed(1, &["--ca FILE trusts it"]);
    run(&["--as", "bench@localhost/x"]).failed(2, &["--as <JID>", "such as bench@localhost"]);
}

/// Some that run in `bench` against a server, and are at it.
fn running(world: &World, server: &Server, load: &[&str]) -> Process {
    let at = ["--seconds", "600", "--warm-up", "0", "--json", "--connect", &server.address];
    let running = world.start_as(PASSWORD, &[&["bench"], load, &at].concat());
    let start = Instant::now();
    while world.run(&["user", "sessions"]).stdout.lines().count() < 2 {
        assert!(start.elapsed() < Duration::from_secs(60), "nobody logs in");
    }
    thread::sleep(Duration::from_secs(1));
    running
}

#[test]
fn a_server_that_dies_is_told_with_what_was_measured_by_then() {
    let loads: [(&[&str], &str); 4] = [
        (&["chat", "--pairs", "2"], "messages"),
        (&["logins", "--users", "4"], "logins"),
        (&["fan-out", "--groups", "2", "--resources", "3"], "deliveries"),
        (&["storm", "--pairs", "1", "--bad", "2"], "messages_while_quiet"),
    ];
    for (load, what) in loads {
        for with_process in [false, true] {
            let (world, mut server) = site(4, &[]);
            let pid = server.process.id().to_string();
            let more = if with_process { &["--pid", &pid][..] } else { &[] };
            let running = running(&world, &server, &[load, more].concat());
            server.process.kill();
            let ended = running.wait();
            ended.failed(1, &["the server at ", " was lost after ", "measured until then is above"]);
            let report: Value = serde_json::from_str(&ended.stdout).unwrap();
            assert!(figure(&report, what) > 0.0, "{report}");
            let (lost, measured) =
                (report["server_lost_after_seconds"].as_f64(), report["measured_seconds"].as_f64());
            assert!(lost.unwrap() > 0.0 && measured.unwrap() < 60.0, "{report}");
            if with_process && what != "messages_while_quiet" {
                assert!(figure(&report, &format!("{what}_per_cpu_second")) > 0.0, "{report}");
            }
        }
    }
}

// One that hangs is no reason to wait longer than somebody does who has asked for the end.
#[test]
fn a_server_that_hangs_does_not_keep_it_from_ending() {
    for load in [&["chat", "--pairs", "2"][..], &["logins", "--users", "4"]] {
        let (world, server) = site(4, &[]);
        let running = running(&world, &server, load);
        server.process.signal("STOP");
        let start = Instant::now();
        running.signal("TERM");
        let ended = running.wait();
        server.process.signal("CONT");
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert_eq!(ended.status, Some(1), "{ended:?}");
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert!(
            report["interrupted"] == true && !report["failed"].as_array().unwrap().is_empty(),
            "{report}"
        );
    }
}

#[test]
fn signals_end_it_with_what_was_measured() {
    let (world, server) = site(2, &[]);
    for signal in ["INT", "TERM"] {
        let running = running(&world, &server, &["chat", "--pairs", "1"]);
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(report["interrupted"], true, "{report}");
        assert!(figure(&report, "messages") > 0.0 && report["wrong"] == Value::Array(vec![]), "{report}");
    }
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
