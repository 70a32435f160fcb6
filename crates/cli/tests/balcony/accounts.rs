//! `balcony user` does the same whether a server runs or not, the end of an account ends all that others had with it (XEP-0077
//! section 3.2), and `serve --demo` changes nothing that was there.

use crate::world::{PASSWORD, Server, World};

fn list(world: &World) -> Vec<String> {
    let list = world.run(&["user", "list"]);
    list.succeeded();
    list.stdout.lines().map(Into::into).collect()
}

/// What can be done with accounts, whoever has the store open.
fn manage(world: &World, is_new: bool) {
    let added = world.run_as(PASSWORD, &["user", "add", "romeo"]);
    assert_eq!(added.stdout, "romeo@localhost has been created\n");
    // The folder may be another one than was meant.
    let note = if is_new {
        "balcony: there were no accounts in ./balcony-data; they are kept there from now on\n"
    } else {
        ""
    };
    assert_eq!(added.stderr, note);
    let again = world.run_as("other", &["user", "add", "Romeo@localhost"]);
    again.failed(1, &["romeo@localhost exists already; `balcony user passwd`"]);
    let file = world.write("juliet.txt", "secret\nsomething else\n");
    let added = world.run(&["user", "add", "juliet", "--password-file", file.to_str().unwrap()]);
    added.succeeded();
    assert_eq!(list(world), ["juliet@localhost", "romeo@localhost"]);

    world.run_as("x", &["user", "passwd", "nobody"]).failed(1, &["nobody@localhost does not exist"]);
    world.run(&["user", "remove", "nobody"]).failed(1, &["nobody@localhost does not exist"]);
    let changed = world.run_as(PASSWORD, &["user", "passwd", "juliet"]);
    assert_eq!(changed.stdout, "juliet@localhost has its new password\n");
    let removed = world.run(&["user", "remove", "juliet"]);
    assert_eq!(removed.stdout, "juliet@localhost has been removed\n");
    assert_eq!(list(world), ["romeo@localhost"]);

    world.write("empty.txt", "\n");
    let empty = world.run(&["user", "add", "empty", "--password-file", "empty.txt"]);
    empty.failed(1, &["the password is empty"]);
    let emoji = world.run_as("pass\u{1F600}", &["user", "add", "smiley"]);
    emoji.failed(1, &["this password cannot be used", "such as an emoji"]);
    assert_eq!(list(world), ["romeo@localhost"]);
    world.run_as("x", &["user", "add", "ro meo"]).failed(2, &["not an account", "localpart"]);
}

#[test]
fn of_a_stopped_server() {
    let world = World::new();
    for command in [&["user", "list"][..], &["user", "passwd", "romeo"], &["user", "remove", "romeo"]] {
        let failed = world.run_as(PASSWORD, command);
        failed.failed(1, &["there are no accounts in ./balcony-data; name the data folder with --data"]);
    }
    world.run(&["user", "import", "none"]).failed(1, &["cannot read none: no such file"]);
    world.run(&["user", "import", "."]).failed(1, &["cannot read .: it is a folder"]);
    assert!(!world.path("balcony-data").exists());
    manage(&world, true);
    // The folder's first user made it; a server takes it over.
    let server = world.serve(&[]);
    assert_eq!(list(&world), ["romeo@localhost"]);
    world.listen(&server, "romeo@localhost", &[]);
}

#[test]
fn of_a_running_server() {
    let world = World::new();
    let server = world.serve(&[]);
    assert!(list(&world).is_empty());
    manage(&world, false);
    world.listen(&server, "romeo@localhost", &[]);

    let other = world.run_as("x", &["user", "add", "romeo@example.org"]);
    other.failed(1, &["the running server does not serve example.org, but localhost"]);
    server.stop();
    assert_eq!(list(&world), ["romeo@localhost"]);
    assert!(!world.path("balcony-data/control.sock").exists());
}

#[test]
fn accounts_belong_to_the_first_domain_unless_they_name_one() {
    let world = World::new();
    let server = world.serve(&["--domain", "a.example", "--domain", "b.example", "--domain", "a.example"]);
    assert_eq!(server.greeting[0].split_once(" serves ").unwrap().1, "a.example, b.example");
    for account in ["romeo", "juliet@b.example"] {
        world.account(account);
    }
    assert_eq!(list(&world), ["romeo@a.example", "juliet@b.example"]);
    server.stop();
    // Nobody says which domains there are, so all are shown.
    assert_eq!(list(&world), ["romeo@a.example", "juliet@b.example"]);
    let one = world.run(&["user", "list", "--domain", "b.example"]);
    assert_eq!(one.stdout, "juliet@b.example\n");
    let config = world.write("balcony.toml", "domain = ['a.example', 'b.example']");
    let all = world.run(&["user", "list", "--config", config.to_str().unwrap()]);
    assert_eq!(all.stdout, "romeo@a.example\njuliet@b.example\n");
}

// A domain that is mistyped is not the same as one where nobody has an account yet.
#[test]
fn a_domain_that_is_not_served_has_no_accounts() {
    let world = World::new();
    let list = |more: &[&str]| world.run(&[&["user", "list"], more].concat());
    let server = world.serve(&["--domain", "a.example", "--domain", "b.example"]);
    assert!(list(&[]).stderr.contains("there are no accounts yet"));
    world.account("romeo");
    list(&["--domain", "b.exmaple"]).failed(
        1,
        &["no accounts at b.exmaple, which the server does not serve; it serves a.example, b.example"],
    );
    let nobody = list(&["--domain", "b.example"]);
    nobody.succeeded();
    assert_eq!((&*nobody.stdout, &*nobody.stderr), ("", "balcony: there are no accounts at b.example\n"));
    server.stop();
    // Where nobody says which domains there are it can be no mistake.
    list(&["--domain", "b.exmaple"]).succeeded();
    world.write("balcony.toml", "domain = 'a.example'\ndata = 'balcony-data'");
    list(&["--domain", "b.exmaple", "--config", "balcony.toml"]).failed(1, &["it serves a.example"]);
}

#[test]
fn a_new_password_holds_for_new_connections_only() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("juliet");
    let listener = world.listen(&server, "juliet@localhost/balcony", &[]);
    world.run_as("new password", &["user", "passwd", "juliet"]).succeeded();
    let args =
        ["send", "--as", "juliet@localhost", "--connect", &server.address, "juliet@localhost", "still here?"];
    world.run_as(PASSWORD, &args).failed(1, &["not-authorized"]);
    world.run_as("new password", &args).succeeded();
    assert!(listener.stdout().ends_with(": still here?"));
}

// XEP-0077 §3.2: the streams of an account that is removed are closed with `not-authorized`
#[test]
fn removing_an_account_ends_its_streams() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("juliet");
    world.account("romeo");
    let juliet = world.listen(&server, "juliet@localhost/balcony", &[]);
    let romeo = world.listen(&server, "romeo@localhost/garden", &[]);
    world.run(&["user", "remove", "juliet"]).succeeded();
    juliet.wait().failed(1, &["the account has been removed"]);
    world.send(&server, "romeo@localhost", "romeo@localhost", "I am still here", &[]).succeeded();
    assert!(romeo.stdout().ends_with("I am still here"));
}

/// What juliet's roster shows.
fn contacts(world: &World, server: &Server) -> String {
    let list = ["roster", "list", "--requests", "--as", "juliet@localhost", "--connect", &server.address];
    let list = world.run_as(PASSWORD, &list);
    list.succeeded();
    list.stdout
}

// XEP-0077 §3.2: whoever gets the name of an account that was removed, while nobody was there, gets none of its contacts
#[test]
fn the_next_user_of_a_name_is_nobody_to_its_contacts() {
    for is_running in [true, false] {
        let world = World::new();
        let server = world.serve(&[]);
        for (who, whom) in [("juliet", "romeo"), ("romeo", "juliet")] {
            world.account(who);
            let (who, whom) = (format!("{who}@localhost"), format!("{whom}@localhost"));
            let add = ["roster", "add", "--as", &who, "--connect", &server.address, &whom];
            world.run_as(PASSWORD, &add).succeeded();
        }
        // Each of her logins asks again, until he, who has let her in in advance, has answered.
        let friends = "romeo@localhost  you see each other\n";
        assert!((0..100).any(|_| contacts(&world, &server) == friends), "{}", contacts(&world, &server));
        let running = is_running.then_some(server);
        world.run(&["user", "remove", "romeo"]).succeeded();
        world.run(&["user", "remove", "romeo"]).failed(1, &["romeo@localhost does not exist"]);
        drop(running.map(Server::stop));
        let checked = world.run(&["store", "check"]);
        assert_eq!(checked.stdout, "checked accounts: 1; nothing is broken\n", "{checked:?}");
        let server = world.serve(&[]);
        assert_eq!(contacts(&world, &server), "romeo@localhost  neither sees the other\n");
        let juliet = world.listen(&server, "juliet@localhost/balcony", &[]);
        world.account("romeo");
        let romeo = world.listen(&server, "romeo@localhost/garden", &[]);
        world.send(&server, "juliet@localhost", "juliet@localhost", "nobody there", &[]).succeeded();
        while !juliet.stdout().ends_with("nobody there") {}
        assert!(romeo.is_silent());
    }
}

/// The lines of a demo that `what` is in.
fn said(server: &Server, what: &str) -> Vec<String> {
    server.greeting.iter().map(|line| line.trim().to_owned()).filter(|line| line.contains(what)).collect()
}

#[test]
fn a_demo_is_two_accounts_and_two_lines_to_type() {
    let world = World::new();
    let server = world.serve(&["--demo"]);
    let commands = said(&server, "BALCONY_PASSWORD=");
    let [listen, send] = &commands[..] else { panic!("{:#?}", server.greeting) };
    let listener = world.shell(listen);
    listener.stderr_with("listening as juliet@localhost/");
    world.shell(send).wait().succeeded();
    let line = listener.stdout();
    assert!(line.contains("] romeo@localhost/") && line.ends_with(": Art thou not Juliet?"), "{line}");
    // Another server has other passwords.
    let accounts = said(&server, "demo account");
    assert_eq!(accounts.len(), 2, "{accounts:#?}");
    assert_ne!(said(&World::new().serve(&["--demo"]), "demo account"), accounts);
}

#[test]
fn a_demo_changes_no_account_that_exists() {
    let world = World::new();
    world.account("romeo");
    let server = world.serve(&["--demo"]);
    let accounts = said(&server, "demo account");
    let [romeo, juliet] = &accounts[..] else { panic!("{:#?}", server.greeting) };
    assert!(
        romeo.starts_with("demo account romeo@localhost exists already, and keeps its password"),
        "{romeo}"
    );
    assert!(romeo.contains(" user passwd romeo@localhost` gives it another"), "{romeo}");
    assert!(juliet.starts_with("demo account juliet@localhost with password "), "{juliet}");
    assert!(said(&server, " listen --as")[0].starts_with("BALCONY_PASSWORD="));
    let send = &said(&server, " send --as")[0];
    assert!(!send.contains("BALCONY_PASSWORD"), "{send}");
    world.shell(&format!("BALCONY_PASSWORD={PASSWORD} {send}")).wait().succeeded();
    server.stop();

    // The same accounts, hours later.
    let server = world.serve(&["--demo"]);
    assert_eq!(said(&server, "exists already, and keeps its password").len(), 2, "{:#?}", server.greeting);
    assert!(said(&server, "BALCONY_PASSWORD").is_empty(), "{:#?}", server.greeting);
}

// RFC 6120 §4.9.3.14: who is connected is seen, and sent away with a reason.
#[test]
fn sessions_are_shown_and_ended() {
    let world = World::new();
    world.account("juliet");
    world.account("romeo");
    let none = ["user", "sessions"];
    world.run(&none).failed(1, &["no server runs on this data folder"]);
    let server = world.serve(&[]);
    let nobody = world.run(&none);
    assert_eq!((nobody.stdout.as_str(), nobody.stderr.as_str()), ("", "balcony: nobody is connected\n"));
    // It does not come back while this runs.
    let mut phone = world.listen(&server, "juliet@localhost/phone", &["--priority", "5", "--retry", "3600"]);
    let desk = world.listen(&server, "juliet@localhost/desk", &[]);

    let shown = world.run(&["user", "sessions", "juliet"]);
    shown.succeeded();
    let lines: Vec<_> = shown.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", shown.stdout);
    assert!(
        lines[0].starts_with("juliet@localhost/desk   available with priority 0  for "),
        "in the order of their names: {}",
        lines[0]
    );
    assert!(lines[1].starts_with("juliet@localhost/phone  available with priority 5  for "), "{}", lines[1]);
    assert!(lines[1].ends_with(" s  through TLS") || lines[1].contains(" min"), "{}", lines[1]);
    let away = world.run(&["user", "sessions", "romeo"]);
    away.succeeded();
    assert_eq!(away.stderr, "balcony: romeo@localhost is not connected\n");
    // A name that was mistyped.
    for command in [
        &["sessions", "juliett"][..],
        &["disconnect", "juliett/phone"],
        &["tokens", "juliett"],
        &["revoke", "juliett", "--all"],
        &["revoke", "juliett", "17"],
    ] {
        let failed = world.run(&[&["user"], command].concat());
        failed.failed(1, &["juliett@localhost does not exist; `balcony user list` shows which do"]);
    }
    let json = world.run(&["user", "sessions", "--json"]);
    let desks = json.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_desk: Vec<_> = desks.filter(|one| one["session"] == "juliet@localhost/desk").collect();
    assert_eq!(of_desk.len(), 1);
    assert_eq!((&of_desk[0]["priority"], &of_desk[0]["connection"]), (&0.into(), &"secured".into()));
    assert!(of_desk[0]["age"].is_u64());
    let null = serde_json::Value::Null;
    assert_eq!(
        [&of_desk[0]["inactive"], &of_desk[0]["waits"], &of_desk[0]["address"]],
        [&false.into(), &null, &null],
        "it is on this machine"
    );

    let ended = world.run(&["user", "disconnect", "juliet/phone", "--reason", "not at night"]);
    assert_eq!(ended.stdout, "juliet@localhost/phone is disconnected\n");
    phone.stderr_with("policy-violation: not at night");
    server.process.stderr_with("juliet@localhost/phone has been disconnected, by `balcony user`");
    phone.kill();
    let again = world.run(&["user", "disconnect", "juliet/phone"]);
    again.failed(1, &["juliet@localhost/phone is not connected; `balcony user sessions` shows who is"]);
    world.run(&["user", "disconnect", "juliet"]).failed(2, &["juliet names no session"]);
    assert_eq!(world.run(&["user", "sessions", "juliet"]).stdout.lines().count(), 1);
    world.send(&server, "juliet@localhost", "juliet@localhost", "still here", &[]).succeeded();
    assert!(desk.stdout().ends_with("still here"));

    // ADR 26: its client comes back, with another session.
    let quick = world.listen(&server, "juliet@localhost/quick", &["--retry", "1"]);
    world.run(&["user", "disconnect", "juliet/quick"]).succeeded();
    let line = quick.stderr_with("policy-violation: ended by the administrator of this server");
    assert!(line.ends_with("; connecting again in 1 s"), "{line}");
    assert!(quick.stderr_with("listening as juliet@localhost/quick").ends_with("with priority 0"));
}
