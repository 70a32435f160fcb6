//! Messages between clients and a server as people run them: who gets which (RFC 6121 section 8.5), what comes back, what waits
//! for those who are offline (XEP-0160), and that a text arrives as it was typed, or is refused.

use std::ops::ControlFlow;

use balcony_stanza::{ErrorCondition, Kind, Stanza, StanzaError};

use crate::network::{Way, network, stream_error};
use crate::witness::{hello, polite, witness};
use crate::world::{PASSWORD, Process, Server, World, free_address};

/// Sends a mark to each listener by its full JID; nothing else may have come before it.
fn nothing_else_came(world: &World, server: &Server, listeners: &[(&str, &Process)]) {
    for (resource, listener) in listeners {
        let to = format!("juliet@localhost/{resource}");
        world.send(server, "romeo@localhost", &to, "mark", &[]).succeeded();
        let line = listener.stdout();
        assert!(line.ends_with(": mark"), "{resource}: {line}");
        assert!(listener.is_silent());
    }
}

// RFC 6120 §3 stream-tcp-binding, §15 security-mti-both-scram
#[test]
fn messages_go_where_their_address_and_type_say() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    world.account("juliet");
    let five = world.listen(&server, "juliet@localhost/five", &["--priority", "5"]);
    let ten = world.listen(&server, "juliet@localhost/ten", &["--priority", "10"]);
    let none = world.listen(&server, "juliet@localhost/none", &["--priority", "-1"]);
    let all = [("five", &five), ("ten", &ten), ("none", &none)];

    // RFC 6121 §8.5.2.1.1 [D4b]: the most available resource
    for kind in ["chat", "normal"] {
        world
            .send(&server, "romeo@localhost/garden", "juliet@localhost", kind, &["--type", kind])
            .succeeded();
        let line = ten.stdout();
        assert!(line.ends_with(&format!("] romeo@localhost/garden: {kind}")), "{line}");
    }
    nothing_else_came(&world, &server, &all);

    // RFC 6121 §8.5.2.1.1: a headline goes to all whose priority is not negative
    world.send(&server, "romeo@localhost", "juliet@localhost", "news", &["--type", "headline"]).succeeded();
    assert!(five.stdout().ends_with(": news") && ten.stdout().ends_with(": news"));
    nothing_else_came(&world, &server, &all);

    // RFC 6121 §8.5.3.1: a full JID is exactly one resource, whatever its priority
    world.send(&server, "romeo@localhost", "juliet@localhost/none", "you", &[]).succeeded();
    assert!(none.stdout().ends_with(": you"));
    nothing_else_came(&world, &server, &all);

    // RFC 6121 §8.5.2.1.1: a groupchat message to an account is an error
    let refused = world.send(&server, "romeo@localhost", "juliet@localhost", "all", &["--type", "groupchat"]);
    refused.failed(1, &["the message to juliet@localhost came back: service-unavailable"]);
    nothing_else_came(&world, &server, &all);

    // When the most available resource goes, the next one takes its place.
    ten.signal("INT");
    ten.wait().succeeded();
    world.send(&server, "romeo@localhost", "juliet@localhost", "and now?", &[]).succeeded();
    assert!(five.stdout().ends_with(": and now?"));
    nothing_else_came(&world, &server, &[("five", &five), ("none", &none)]);
}

// RFC 6121 §8.5.2.2.1
#[test]
fn what_cannot_be_delivered_comes_back() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    world.account("juliet");
    // Like one that waits for somebody who is offline: nothing tells a stranger which accounts there are.
    world.send(&server, "romeo@localhost", "nobody@localhost", "hello?", &[]).succeeded();
    let sent = world.send(&server, "romeo@localhost", "juliet@localhost", "all?", &["--type", "groupchat"]);
    sent.failed(1, &["the message to juliet@localhost came back: service-unavailable"]);
    let sent = world.send(&server, "romeo@localhost", "juliet@example.org", "hello?", &[]);
    // The name of the condition says something to programs, the rest to people.
    sent.failed(1, &["came back: remote-server-not-found (there is no such server, or "]);
    let sent = world.send(&server, "romeo@localhost", "juliet", "hello?", &[]);
    sent.failed(1, &["`juliet` is a domain; an account is juliet@DOMAIN"]);
}

// RFC 6120 §13.12: a message that is too long has not arrived, and who sends it learns how much is taken
#[test]
fn a_message_that_is_too_long() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    let send = ["send", "--as", "romeo@localhost", "--connect", &server.address, "juliet@localhost", "-"];
    let mut sending = world.start_as(PASSWORD, &send);
    sending.input(&"x".repeat(300_000));
    let ended = sending.wait();
    ended.failed(1, &["no more than 262144 bytes are taken", "has not arrived if its length is the reason"]);
}

// As with bots: who it is, where to connect to and whom to trust may be in the environment, and what is typed counts more.
#[test]
fn the_environment_says_who_and_where() {
    let world = World::new();
    let server = world.serve(&["--data", "elsewhere"]);
    world.run_as(PASSWORD, &["user", "add", "romeo", "--data", "elsewhere"]).succeeded();
    let there =
        format!("BALCONY_CONNECT={} BALCONY_CA=elsewhere/ca.pem BALCONY_PASSWORD={PASSWORD}", server.address);
    let run = |line: &str| world.shell(&format!("{there} {line}")).wait();
    run("BALCONY_JID=romeo@localhost/bot balcony send romeo@localhost hello").succeeded();
    run("BALCONY_JID=romeo@localhost balcony roster").succeeded();
    run("BALCONY_JID=nobody@localhost balcony send --as romeo@localhost romeo@localhost hello").succeeded();
    run("BALCONY_JID=romeo@localhost BALCONY_CA=missing.pem balcony presence --ca elsewhere/ca.pem")
        .succeeded();
    run("BALCONY_JID=romeo@localhost balcony presence --insecure").succeeded();
    run("BALCONY_JID=romeo@localhost BALCONY_CA=missing.pem balcony presence").failed(1, &["missing.pem"]);
    run("BALCONY_JID=romeo@localhost balcony presence --connect 127.0.0.1:1").failed(1, &["127.0.0.1:1"]);
    // What is wrong there is not taken for something that was typed.
    run("BALCONY_JID=romeo@@ balcony presence").failed(2, &["BALCONY_JID in the environment: `romeo@@`: "]);
    run("BALCONY_JID=romeo@@ balcony roster").failed(2, &["BALCONY_JID in the environment: `romeo@@`: "]);
    run("BALCONY_JID=localhost balcony presence")
        .failed(2, &["BALCONY_JID in the environment: `localhost`: an account such as romeo@localhost"]);
    for command in ["presence", "listen", "command localhost", "send romeo@localhost hello"] {
        run(&format!("balcony {command}")).failed(2, &["--as: which account?", "BALCONY_JID"]);
    }
    run("BALCONY_JID=romeo@localhost BALCONY_CONNECT=: balcony presence")
        .failed(2, &["BALCONY_CONNECT in the environment: `:`: "]);
}

// As scripts set them that have nothing to say: `BALCONY_CA= balcony ...`.
#[test]
fn empty_variables_are_none() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    world.write("password.txt", PASSWORD);
    let empty = "BALCONY_JID= BALCONY_CONNECT= BALCONY_CA= BALCONY_PASSWORD=";
    let at = format!("--connect {} --password-file password.txt", server.address);
    let run = |line: &str| world.shell(&format!("{empty} balcony {line}")).wait();
    for command in ["presence", "roster", "command", "listen", "send"] {
        let more = match command {
            "command" => "localhost",
            "send" => "romeo@localhost hello",
            "listen" => "--count 0",
            _ => "",
        };
        let ended = run(&format!("{command} --as romeo@localhost {at} {more}"));
        match command {
            // It has got so far.
            "command" => ended.failed(1, &["localhost offers no commands"]),
            _ => ended.succeeded(),
        }
        let nobody = run(&format!("{command} {at} {more}"));
        assert!(nobody.status == Some(2) && nobody.stderr.contains("--as"), "{nobody:?}");
    }
    // The domain of the account is where it goes, and nowhere else.
    run("presence --as romeo@nowhere.invalid --password-file password.txt").failed(1, &["nowhere.invalid"]);
}

// RFC 6121 §8.5.3.1: answers to its full address reach `send` while it is there, and nobody else gets them
#[test]
fn a_quick_answer_is_printed() {
    let answer = |stanza: &Stanza, out: &mut Vec<u8>| {
        let text = match stanza.head.kind {
            Kind::Message(_) => "ay me",
            Kind::Presence(_) => "he speaks",
            _ => return polite(stanza, out),
        };
        hello(text).with_from("juliet@localhost/bot".parse().unwrap()).write(out);
        ControlFlow::Continue(())
    };
    let (address, _server) = witness(answer);
    let world = World::new();
    let send = ["send", "--as", "romeo@localhost", "--connect", &address, "--allow-plaintext"];
    let ended = world.run_as(PASSWORD, &[&send[..], &["juliet@localhost", "hello"]].concat());
    ended.succeeded();
    let texts: Vec<_> = ended.stdout.lines().map(|line| line.split_once("] ").unwrap().1).collect();
    assert_eq!(texts, ["juliet@localhost/bot: ay me", "juliet@localhost/bot: he speaks"]);
}

// RFC 6120 §7.7.2.1: an account that has as many resources as it may has not given a wrong password, and the log says whose it is
#[test]
fn too_many_resources_are_no_failed_login() {
    let world = World::new();
    world.write("balcony.toml", "listen = '127.0.0.1:0'\nmax-resources = 1\n");
    let server = Server::start(world.start(&["serve", "--config", "balcony.toml"]));
    world.account("romeo");
    let _only = world.listen(&server, "romeo@localhost/garden", &[]);
    let sent = world.send(&server, "romeo@localhost/street", "romeo@localhost", "hello", &[]);
    sent.failed(1, &["too many resources are connected"]);
    let line = server.process.stderr_with("romeo@localhost from 127.0.0.1");
    assert!(line.contains("INFO") && line.contains("too many resources are connected"), "{line}");
    assert!(server.stop().stderr.lines().all(|line| !line.contains("failed to authenticate")));
}

// RFC 6120 §8.3.2: the text of an error is somebody's, and so is that of a server that nobody knows yet
#[test]
fn a_refusal_is_printed_on_one_line() {
    let refuse = |stanza: &Stanza, out: &mut Vec<u8>| {
        let refusal = StanzaError::from(ErrorCondition::Gone);
        let text = "in\nvain\u{9b}2J\u{202e}".into();
        stanza.error(&StanzaError { text: Some(text), ..refusal }).unwrap().write(out);
        ControlFlow::Continue(())
    };
    let send = |address: &str| {
        let world = World::new();
        let send = ["send", "--as", "romeo@localhost", "--connect", address, "--allow-plaintext"];
        world.run_as(PASSWORD, &[&send[..], &["juliet@localhost", "hello"]].concat())
    };
    let (address, _server) = witness(refuse);
    send(&address).failed(1, &["came back: gone: in\\nvain\\u{9b}2J\\u{202e}"]);

    let error = stream_error("reset", "again\u{9b}2J");
    send(&network(vec![Way::Says(error)])).failed(1, &["reset: again\\u{9b}2J"]);
}

// RFC 7395 §3.1 [V1]: one client on a WebSocket, the other on a stream of XML
#[test]
fn a_client_on_a_websocket() {
    let world = World::new();
    let web = free_address();
    let server = world.serve(&["--listen-wss", &web]);
    world.account("romeo");
    world.account("juliet");
    let listener = world.listen(&server, "juliet@localhost/balcony", &[]);
    let (_, port) = web.rsplit_once(':').unwrap();
    let url = format!("wss://localhost:{port}/xmpp-websocket");
    let send = ["send", "--as", "romeo@localhost", "--connect", &url, "juliet@localhost", "by the web"];
    world.run_as(PASSWORD, &send).succeeded();
    assert!(listener.stdout().contains("by the web"));
}

// XEP-0160 1.0.1 §2: what comes for an account that is offline waits for it, on the disk.
#[test]
fn messages_wait_for_those_who_are_offline() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    world.account("juliet");
    // Who sees the other's presence hears when a message is stored, and is told so by the end of `send`.
    for (who, whom) in [("romeo@localhost", "juliet@localhost"), ("juliet@localhost", "romeo@localhost")] {
        let add = ["roster", "--as", who, "--connect", &server.address, "add", whom];
        world.run_as(PASSWORD, &add).succeeded();
    }
    for text in ["one", "two"] {
        world.send(&server, "romeo@localhost", "juliet@localhost", text, &[]).succeeded();
    }
    server.process.signal("KILL");
    server.process.wait();
    let server = world.serve(&[]);
    let listener = world.listen(&server, "juliet@localhost/balcony", &[]);
    for text in ["one", "two"] {
        let line = listener.stdout();
        assert!(line.contains(&format!(": {text} (sent ")), "{line}");
    }
    listener.signal("TERM");
    listener.wait().succeeded();
    // Once only.
    let listener = world.listen(&server, "juliet@localhost/balcony", &[]);
    assert!(listener.is_silent());
}

#[test]
fn text_is_kept_as_it_is_and_printed_on_one_line() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("juliet");
    let lines = world.listen(&server, "juliet@localhost/lines", &["--count", "1"]);
    let json = world.listen(&server, "juliet@localhost/json", &["--count", "2", "--json"]);
    let text = "<b>&amp;</b> 'ä' \u{1f339}\nnext";
    for to in ["juliet@localhost/lines", "juliet@localhost/json"] {
        let mut send = world.start(&[
            "send",
            "--as",
            "juliet@localhost",
            "--connect",
            &server.address,
            "--password-file",
            "p",
            to,
            "-",
        ]);
        world.write("p", crate::world::PASSWORD);
        send.input(&format!("{text}\n"));
        send.wait().succeeded();
    }
    let line = lines.stdout();
    let time = &line[..11];
    assert!(time.starts_with('[') && time.ends_with("] ") && time.matches(':').count() == 2, "{line}");
    assert!(line.ends_with(": <b>&amp;</b> 'ä' \u{1f339}\\nnext"), "{line}");
    // One message was wanted.
    lines.wait().succeeded();

    let value: serde_json::Value = serde_json::from_str(&json.stdout()).unwrap();
    assert_eq!(value["body"], text);
    assert_eq!(value["type"], "chat");
    assert!(value["from"].as_str().unwrap().starts_with("juliet@localhost/") && value["time"].is_u64());
    world.send(&server, "juliet@localhost", "juliet@localhost/json", "last", &[]).succeeded();
    json.wait().succeeded();
}

// XML §2.2: nobody is sent another text than was written.
#[test]
fn text_that_xml_cannot_carry_is_refused() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("juliet");
    let as_juliet = ["--as", "juliet@localhost", "--connect", &server.address];
    let refused = |args: &[&str], texts: &[&str]| {
        world.run_as(PASSWORD, &[args, &as_juliet].concat()).failed(2, texts);
    };
    refused(&["send", "juliet@localhost", "a\u{1b}[1mb"], &["<TEXT>: `a\\u{1b}[1mb`: it contains U+001B"]);
    refused(
        &["send", "juliet@localhost", "\u{fffe}"],
        &["it contains U+FFFE, which XML, and so XMPP, cannot"],
    );
    refused(&["listen", "--status", "\u{7}"], &["--status <TEXT>: ", "it contains U+0007"]);
    refused(&["roster", "add", "romeo@localhost", "--name", "\u{ffff}"], &["--name <NAME>: ", "U+FFFF"]);
    refused(
        &["roster", "add", "romeo@localhost", "--group", "a", "--group", "\u{1}"],
        &["--group <GROUP>: "],
    );
    refused(&["send", "juliet@localhost", ""], &["the text is empty"]);
    // Addresses have rules of their own.
    refused(&["send", "juliet@localhost/\u{1b}", "x"], &["U+001B"]);
    for (input, expected, text) in [
        ("a\0b\n", Some("it contains U+0000"), "the text on the standard input: "),
        ("\n", Some("there is nothing to send"), "the text is empty"),
        ("\u{feff}ok\n", None, ""),
    ] {
        world.write("p", PASSWORD);
        let args = ["send", "--password-file", "p", "juliet@localhost/desk", "-"];
        let desk = world.listen(&server, "juliet@localhost/desk", &["--json"]);
        let mut send = world.start(&[&args, &as_juliet[..]].concat());
        send.input(input);
        match expected {
            Some(expected) => send.wait().failed(2, &[text, expected]),
            None => {
                send.wait().succeeded();
                assert!(desk.stdout().contains(r#""body":"ok""#));
            }
        }
    }
}

// XEP-0160 §3; RFC 6121 §2.3.3: as many as the server was told
#[test]
fn so_much_is_kept_and_no_more() {
    let world = World::new();
    let server = world.serve(&["--max-offline-messages", "2", "--max-contacts", "1"]);
    world.account("juliet");
    let send = |text: &str| world.send(&server, "juliet@localhost", "juliet@localhost", text, &[]);
    send("one").succeeded();
    send("two").succeeded();
    send("three").failed(1, &["the message to juliet@localhost came back: service-unavailable"]);
    let listener = world.listen(&server, "juliet@localhost/balcony", &["--count", "2"]);
    assert!(listener.stdout().contains(": one (sent ") && listener.stdout().contains(": two (sent "));
    listener.wait().succeeded();
    send("four").succeeded();

    let add = |whom: &str| {
        let args = ["roster", "add", "--as", "juliet@localhost", "--connect", &server.address, whom];
        world.run_as(PASSWORD, &args)
    };
    add("romeo@localhost").succeeded();
    add("nurse@localhost").failed(1, &["resource-constraint"]);
}

// Whoever is told to end while nobody knows yet what has become of the message says so.
#[test]
fn a_send_that_is_interrupted_says_what_is_not_known() {
    let world = World::new();
    world.account("romeo");
    // The other server takes the connection, and says nothing.
    let far = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    world.write(
        "balcony.toml",
        &format!(
            "listen = '127.0.0.1:0'\nlisten-tls = '127.0.0.1:0'\ndata = 'balcony-data'\n[federation]\nenabled = true\nlisten = '{}'\n\
             ca = 'balcony-data/ca.pem'\n[federation.routes]\n'far.example' = '{}'\n",
            free_address(),
            far.local_addr().unwrap()
        ),
    );
    world.serve(&[]).stop();
    let server = Server::start(world.start(&["serve", "--config", "balcony.toml"]));
    let connect = ["--as", "romeo@localhost", "--connect", &server.address];
    let send = world.start_as(PASSWORD, &[&["send"], &connect[..], &["juliet@far.example", "x"]].concat());
    let _far = far.accept().unwrap();
    send.signal("INT");
    send.wait().failed(1, &["interrupted: the message may or may not have arrived"]);
    // Before it has said anything there is nothing to be unsure of.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap().to_string();
    let send = world.start_as(
        PASSWORD,
        &["send", "--as", "romeo@localhost", "--connect", &address, "juliet@localhost", "x"],
    );
    let _mute = mute.accept().unwrap();
    send.signal("TERM");
    let ended = send.wait();
    ended.failed(1, &["interrupted"]);
    assert!(!ended.stderr.contains("may"), "{ended:?}");
}
