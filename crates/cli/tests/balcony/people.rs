//! People who know each other: `roster`, `presence`, and what `listen` says about contacts.

use serde_json::Value;

use crate::network::Cable;
use crate::world::{Ended, PASSWORD, Process, Server, World};

struct People {
    world: World,
    server: Server,
}

impl People {
    fn new(accounts: &[&str]) -> People {
        let world = World::new();
        let server = world.serve(&[]);
        for account in accounts {
            world.account(account);
        }
        People { world, server }
    }

    fn run(&self, command: &str, who: &str, args: &[&str]) -> Ended {
        let account = format!("{who}@localhost");
        let there = [command, "--as", &account, "--connect", &self.server.address];
        self.world.run_as(PASSWORD, &[&there, args].concat())
    }

    fn roster(&self, who: &str, args: &[&str]) -> String {
        let ended = self.run("roster", who, args);
        ended.succeeded();
        ended.stdout
    }

    fn listen(&self, jid: &str, options: &[&str]) -> Process {
        self.world.listen(&self.server, jid, options)
    }

    /// What a listener prints next that is not about those who only look.
    fn next(&self, listener: &Process) -> String {
        loop {
            let line = listener.stdout();
            let (_, line) = line.split_once("] ").unwrap();
            if !line.contains("/balcony/") {
                return line.to_owned();
            }
        }
    }
}

// RFC 6121 §3.1, §3.4, §4.2: two people who add each other see each other
#[test]
fn two_people_add_each_other() {
    let people = People::new(&["romeo", "juliet"]);
    let phone = people.listen("juliet@localhost/phone", &[]);
    let added =
        people.roster("romeo", &["add", "juliet@localhost", "--name", "Juliet", "--group", "Capulet"]);
    assert_eq!(added, "juliet@localhost is a contact now, and has been asked\n");
    let asked = people.next(&phone);
    assert!(asked.starts_with(
        "romeo@localhost asks to see when you are online: `balcony roster --as juliet@localhost approve"
    ));
    let asks = people.roster("juliet", &["list", "--requests"]);
    assert_eq!(asks, "romeo@localhost  they ask to see you (approve or deny)\n");
    assert_eq!(people.roster("juliet", &[]), "");
    let row =
        "juliet@localhost  you have asked to see them; they may see you when they ask  Juliet  [Capulet]\n";
    assert_eq!(people.roster("romeo", &["list"]), row);

    let garden =
        people.listen("romeo@localhost/garden", &["--show", "away", "--status", "under\nthe balcony"]);
    assert_eq!(
        people.roster("juliet", &["add", "romeo@localhost"]),
        "romeo@localhost is a contact: you see each other\n"
    );
    assert_eq!(people.next(&garden), "juliet@localhost lets you see when they are online");
    assert_eq!(people.next(&garden), "juliet@localhost/phone is online");
    assert_eq!(people.next(&phone), "romeo@localhost lets you see when they are online");
    assert_eq!(people.next(&phone), "romeo@localhost/garden is away: under\\nthe balcony");
    assert_eq!(people.roster("romeo", &[]), "juliet@localhost  you see each other  Juliet  [Capulet]\n");
    // What is not said again stays.
    people.roster("romeo", &["add", "juliet@localhost", "--name", "Love"]);
    assert_eq!(people.roster("romeo", &[]), "juliet@localhost  you see each other  Love  [Capulet]\n");

    // RFC 6121 §4.2.3, §4.5: who is there, and who has gone
    let online = people.run("presence", "juliet", &[]);
    online.succeeded();
    let expected =
        "romeo@localhost/garden is away: under\\nthe balcony\njuliet@localhost/phone (you) is online\n";
    assert_eq!(online.stdout, expected);
    let json = people.run("presence", "romeo", &["--json"]).stdout;
    let json: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&json["jid"], &json["name"], &json["priority"]),
        (&"juliet@localhost/phone".into(), &"Love".into(), &0.into())
    );
    phone.signal("INT");
    assert_eq!(people.next(&garden), "juliet@localhost/phone is offline");

    // RFC 6121 §2.5
    people.roster("juliet", &["remove", "romeo@localhost"]);
    people
        .run("roster", "juliet", &["remove", "romeo@localhost"])
        .failed(1, &["romeo@localhost is no contact"]);
    assert_eq!(people.next(&garden), "juliet@localhost no longer wants to see when you are online");
    assert_eq!(people.next(&garden), "juliet@localhost does not let you see when they are online");
    assert_eq!(people.roster("romeo", &[]), "juliet@localhost  neither sees the other  Love  [Capulet]\n");
}

// RFC 6121 §3.1.4, §3.2 [SB14]
#[test]
fn requests_are_answered() {
    let people = People::new(&["juliet", "romeo", "paris"]);
    for suitor in ["romeo", "paris"] {
        people.roster(suitor, &["add", "juliet@localhost"]);
    }
    let rows = people.roster("juliet", &["list", "--json", "--requests"]);
    let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["asks"] == true && row["subscription"] == "none"));
    assert_eq!(
        people.roster("juliet", &["deny", "paris@localhost"]),
        "paris@localhost does not see when you are online\n"
    );
    assert_eq!(
        people.roster("juliet", &["approve", "romeo@localhost/x"]),
        "romeo@localhost sees when you are online\n"
    );
    assert_eq!(people.roster("juliet", &[]), "romeo@localhost  they see you\n");
    assert_eq!(
        people.roster("romeo", &[]),
        "juliet@localhost  you see them; they may see you when they ask\n"
    );
    assert!(people.roster("juliet", &["approve", "nurse@localhost"]).contains("has not asked; once they do"));
    people.roster("juliet", &["deny", "romeo@localhost"]);
    assert!(people.roster("juliet", &[]).contains("romeo@localhost  neither sees the other\n"));
    // Options may stand before and behind.
    let empty = people.world.run_as(
        PASSWORD,
        &["roster", "list", "--connect", &people.server.address, "--as", "nurse@localhost"],
    );
    empty.failed(1, &["wrong password, or no such account"]);
    people.run("roster", "juliet", &["add", "juliet@localhost"]).failed(1, &["is this account itself"]);
    people
        .run("roster", "juliet", &["add", "romeo"])
        .failed(2, &["an address such as romeo@localhost is wanted"]);
    people.world.run(&["roster"]).failed(2, &["--as: which account?"]);
}

// The error about the request itself goes to clients that are available, and this one is not.
#[test]
fn who_cannot_be_reached_has_not_been_asked() {
    let people = People::new(&["juliet"]);
    let add = ["add", "romeo@nowhere.example", "--name", "Romeo"];
    for _ in 0..2 {
        people.run("roster", "juliet", &add).failed(
            1,
            &[
                "romeo@nowhere.example cannot be reached: remote-server-not-found (there is no such server",
                "is a contact all the same, until `balcony roster remove`",
            ],
        );
    }
    let list = people.run("roster", "juliet", &["list"]);
    list.succeeded();
    assert!(list.stdout.starts_with("romeo@nowhere.example  "), "{list:?}");
}

// XEP-0191 1.3
// What cannot be printed is not done; a reader who has had enough, such as `head`, is no news.
#[test]
fn what_nobody_reads_is_a_failure() {
    let people = People::new(&["romeo", "juliet"]);
    people.roster("romeo", &["add", "juliet@localhost"]);
    people.roster("romeo", &["block", "tybalt@localhost"]);
    let address = &people.server.address;
    let at = |command: &str| format!("balcony {command} --as romeo@localhost --connect {address}");
    for command in [&at("roster"), &at("roster blocked"), "balcony user list", "balcony trace"] {
        let run = |to: &str| {
            people.world.shell(&format!("BALCONY_PASSWORD={PASSWORD} sh -c \"{command} {to}\"")).wait()
        };
        run("> /dev/full").failed(1, &["cannot print: the disk is full"]);
        // Whoever is gone before anything comes.
        let closed = run("| true");
        assert_eq!(closed.stderr, "", "{command}: {closed:?}");
    }
}

#[test]
fn nothing_comes_from_the_blocked() {
    let people = People::new(&["juliet", "tybalt"]);
    let phone = people.listen("juliet@localhost/phone", &[]);
    let send = |from: &str, to: &str, text: &str| people.world.send(&people.server, from, to, text, &[]);
    assert!(people.run("roster", "juliet", &["blocked"]).stderr.contains("nobody is blocked"));
    // Oneself, and one's own devices, one can't block.
    for own in ["juliet@localhost", "Juliet@localhost/phone"] {
        people.run("roster", "juliet", &["block", own]).failed(1, &["is this account itself"]);
    }
    people.roster("juliet", &["block", "tybalt@localhost"]);
    assert_eq!(people.roster("juliet", &["blocked"]), "tybalt@localhost\n");
    send("juliet@localhost", "tybalt@localhost", "hi").failed(1, &["came back: not-acceptable"]);
    let _ = send("tybalt@localhost", "juliet@localhost", "thou art a villain");
    let unblock = |address: &str| people.run("roster", "juliet", &["unblock", address]);
    unblock("tybalt@localhost/hall")
        .failed(1, &["tybalt@localhost/hall is not blocked; `balcony roster blocked`"]);
    let unblocked = unblock("Tybalt@localhost");
    assert_eq!(unblocked.stdout, "tybalt@localhost is not blocked any more\n", "{unblocked:?}");
    unblock("tybalt@localhost").failed(1, &["tybalt@localhost is not blocked; `balcony roster blocked`"]);
    send("tybalt@localhost", "juliet@localhost", "peace").succeeded();
    assert!(phone.stdout().ends_with(": peace"));
}

// XEP-0280 1.0.1 §7, §8; XEP-0160 1.0.1 §3
#[test]
fn several_devices_follow_one_conversation() {
    let people = People::new(&["juliet", "romeo"]);
    let phone = people.listen("juliet@localhost/phone", &["--priority", "5"]);
    let desk = people.listen("juliet@localhost/desk", &["--copies"]);
    let json =
        people.listen("juliet@localhost/log", &["--copies", "--json", "--priority", "-1", "--count", "2"]);
    let send =
        |from: &str, to: &str, text: &str| people.world.send(&people.server, from, to, text, &[]).succeeded();
    send("romeo@localhost/garden", "juliet@localhost", "speak again");
    assert_eq!(people.next(&phone), "romeo@localhost/garden: speak again");
    assert_eq!(people.next(&desk), "romeo@localhost/garden to juliet@localhost: speak again");
    send("juliet@localhost/tablet", "romeo@localhost", "wherefore art thou");
    assert_eq!(people.next(&desk), "juliet@localhost/tablet to romeo@localhost: wherefore art thou");
    assert!(phone.is_silent());
    let copies = [json.stdout(), json.stdout()].map(|line| serde_json::from_str::<Value>(&line).unwrap());
    assert_eq!(copies[1]["from"], "juliet@localhost/tablet");
    assert_eq!(copies[1]["to"], "romeo@localhost");
    json.wait().succeeded();
    let late = people.listen("romeo@localhost/garden", &["--json"]);
    let late: Value = serde_json::from_str(&late.stdout()).unwrap();
    assert_eq!(late["body"], "wherefore art thou");
    assert!(late["sent"].as_u64() <= late["time"].as_u64() && late["sent"].is_u64());
}

// XEP-0198 1.6.2 §5 [SM14] [SM18] [SM19], RFC 6121 §4.5.2, XEP-0160 1.0.1 §3: the walk of the README. Nothing is lost while a phone is
// in a tunnel, and nobody sees that it was.
#[test]
fn a_phone_loses_its_network() {
    let people = People::new(&["juliet", "romeo"]);
    let cable = Cable::to(&people.server.address);
    let phone = people.world.listen_at(
        &cable.address,
        "juliet@localhost/phone",
        &["--priority", "5", "--retry", "1"],
    );
    let laptop = people.listen("juliet@localhost/laptop", &[]);
    people.roster("romeo", &["add", "juliet@localhost"]);
    people.roster("juliet", &["add", "romeo@localhost"]);
    let garden = people.listen("romeo@localhost/garden", &[]);
    for device in ["phone", "laptop"] {
        assert_eq!(people.next(&garden), format!("juliet@localhost/{device} is online"));
    }
    let send =
        |text| people.world.send(&people.server, "romeo@localhost/quill", "juliet@localhost", text, &[]);
    // The phone gets what is sent meanwhile, and no other device does; it is as online as before.
    for text in ["one", "two"] {
        cable.cut();
        phone.stderr_with("connecting again in ");
        send(text).succeeded();
        let online = people.run("presence", "romeo", &[]).stdout;
        assert!(online.contains("juliet@localhost/phone is online"), "{online}");
        cable.mend();
        phone.stderr_with("listening as juliet@localhost/phone again; the session goes on");
        let prefix = format!("romeo@localhost/quill: {text}");
        while !people.next(&phone).starts_with(&prefix) {}
    }
    // Its session waits for it, and so does what is sent to it, until it begins another.
    phone.signal("KILL");
    send("three").succeeded();
    let phone = people.listen("juliet@localhost/phone", &[]);
    loop {
        let line = people.next(&laptop);
        // What the phone got last it may not have acknowledged.
        assert!(!line.contains(": one"), "{line}");
        if line.starts_with("romeo@localhost/quill: three (sent ") {
            break;
        }
    }
    assert_eq!(people.next(&garden), "juliet@localhost/phone is offline");
    assert_eq!(people.next(&garden), "juliet@localhost/phone is online");
    for (device, process) in [("laptop", laptop), ("phone", phone)] {
        process.signal("INT");
        process.wait().succeeded();
        assert_eq!(people.next(&garden), format!("juliet@localhost/{device} is offline"));
    }
    send("four").succeeded();
    let phone = people.listen("juliet@localhost/phone", &[]);
    while !people.next(&phone).starts_with("romeo@localhost/quill: four (sent ") {}
    assert_eq!(people.next(&garden), "juliet@localhost/phone is online");
}

// RFC 6121 §4.7.2: who looks is nobody to talk to, and who changes a roster is not there at all.
#[test]
fn who_looks_does_not_look_available() {
    let people = People::new(&["juliet", "romeo"]);
    people.roster("romeo", &["add", "juliet@localhost"]);
    people.roster("juliet", &["add", "romeo@localhost"]);
    let garden = people.listen("romeo@localhost/garden", &["--json"]);
    // A message waits for whoever is there to get it.
    people
        .world
        .send(&people.server, "romeo@localhost/quill", "juliet@localhost", "But soft!", &[])
        .succeeded();
    for quiet in [&[][..], &["list"], &["add", "romeo@localhost", "--name", "Romeo"], &["blocked"]] {
        people.roster("juliet", quiet);
    }
    assert!(garden.is_silent(), "nobody has come");
    people.roster("juliet", &["list", "--requests"]);
    people.run("presence", "juliet", &[]).succeeded();
    for _ in 0..2 {
        let here: Value = serde_json::from_str(&garden.stdout()).unwrap();
        assert_eq!((&here["type"], &here["show"]), (&"available".into(), &"xa".into()), "{here}");
        let gone: Value = serde_json::from_str(&garden.stdout()).unwrap();
        assert_eq!((&gone["type"], &gone["from"]), (&"unavailable".into(), &here["from"]), "{gone}");
    }
    let phone = people.listen("juliet@localhost/phone", &[]);
    while !people.next(&phone).starts_with("romeo@localhost/quill: But soft! (sent ") {}
}
