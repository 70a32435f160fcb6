//! `balcony store`: an export carries all that is kept to another folder or database, what is there stays, a server that runs has
//! its data to itself, and no line shows the password of a database.

use std::os::unix::fs::PermissionsExt as _;

#[cfg(feature = "postgres")]
#[allow(dead_code, reason = "it does more for the tests of the store")]
#[path = "../../../store/tests/common/postgresql.rs"]
pub mod postgresql;

use crate::world::World;

/// Romeo, with his block list empty, and juliet, for whom a message waits.
fn lived(options: &[&str]) -> World {
    let world = World::new();
    let server = world.serve(options);
    world.account("romeo");
    world.account("juliet");
    world.send(&server, "romeo@localhost", "juliet@localhost", "wherefore?", &[]).succeeded();
    server.stop();
    world
}

/// Whether juliet gets her message, with the password that she has always had.
fn goes_on(world: &World, options: &[&str]) {
    let server = world.serve(options);
    let juliet = world.listen(&server, "juliet@localhost/balcony", &["--count", "1", "--insecure"]);
    assert!(juliet.stdout().contains(": wherefore? (sent "));
    juliet.wait().succeeded();
    server.stop();
}

#[test]
fn a_server_moves_into_another_folder() {
    let world = lived(&[]);
    let exported = world.run(&["store", "export", "backup.jsonl"]);
    assert_eq!(
        (exported.status, exported.stdout.as_str()),
        (Some(0), "exported accounts: 2\n"),
        "{exported:?}"
    );
    let file = world.path("backup.jsonl");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let to_stdout = world.run(&["store", "export"]);
    to_stdout.succeeded();
    assert_eq!(to_stdout.stdout, std::fs::read_to_string(&file).unwrap());

    let imported = world.run(&["store", "import", "backup.jsonl", "--data", "new"]);
    assert_eq!(imported.stdout, "imported accounts: 2\n", "{imported:?}");
    let checked = world.run(&["store", "check", "--data", "new"]);
    assert_eq!(checked.stdout, "checked accounts: 2; nothing is broken\n", "{checked:?}");
    assert_eq!(world.run(&["store", "export", "--data", "new"]).stdout, to_stdout.stdout);
    goes_on(&world, &["--data", "new"]);

    // Some editors put a mark at the beginning.
    world.write("marked.jsonl", &format!("\u{feff}{}", to_stdout.stdout));
    let imported = world.run(&["store", "import", "marked.jsonl", "--data", "marked"]);
    assert_eq!(imported.stdout, "imported accounts: 2\n", "{imported:?}");
}

// XEP-0198 §5, docs/guarantees.md: a session goes on where its server does. A copy has none, whoever's account was made first, and what
// has waited for it is not lost.
#[test]
fn a_copy_has_no_sessions() {
    let world = World::new();
    let server = world.serve(&[]);
    ["zed", "amy", "bob"].iter().for_each(|name| world.account(name));
    for name in ["zed", "amy"] {
        world.listen(&server, &format!("{name}@localhost/phone"), &[]).kill();
        server.process.stderr_with(&format!("{name}@localhost/phone has lost its connection"));
        world.send(&server, "bob@localhost", &format!("{name}@localhost"), "wherefore?", &[]).succeeded();
    }
    server.stop();
    let exported = world.run(&["store", "export", "backup.jsonl"]);
    assert_eq!(exported.stdout, "exported accounts: 3\n");
    assert!(
        exported.stderr.contains("sessions that wait for their clients are not in an export"),
        "{exported:?}"
    );
    let imported = world.run(&["store", "import", "backup.jsonl", "--data", "new"]);
    assert_eq!(imported.stdout, "imported accounts: 3\n", "{imported:?}");

    let server = world.serve(&["--data", "new"]);
    for name in ["zed", "amy"] {
        let phone = world.listen(&server, &format!("{name}@localhost/phone"), &["--insecure"]);
        assert!(phone.stdout().contains(": wherefore? (sent "));
    }
    let log = server.stop().stderr;
    assert!(!log.contains("since the server was down") && !log.contains("has not come back"), "{log}");
    // Where they were they go on.
    world.serve(&[]).process.stderr_with("2 sessions wait for their clients since the server was down");
}

#[test]
fn what_no_extension_knows_is_kept_and_named() {
    let world = lived(&[]);
    let text = world.run(&["store", "export"]).stdout;
    let content = r#""version":1,"content":"QQ==""#;
    let mine = format!(
        r#","documents":[{{"collection":"wiki","key":"a",{content}}},{{"collection":"wiki","key":"b",{content}}}],"#
    ) + &format!(
        r#""logs":[{{"log":"audit","entries":[{{"number":1,"at":1,"tag":"",{content}}}]}}]}}"#
    );
    let romeo = text.lines().find(|line| line.starts_with(r#"{"account":"romeo"#)).unwrap();
    let more = romeo.strip_suffix('}').unwrap().to_owned() + &mine;
    world.write("more.jsonl", &text.replace(romeo, &more));
    let imported = world.run(&["store", "import", "more.jsonl", "--data", "new"]);
    assert_eq!(imported.stdout, "imported accounts: 2\n", "{imported:?}");
    let line = "balcony: kept as it is, though no extension of this balcony knows it: documents \"wiki\", log \"audit\"\n";
    assert_eq!(imported.stderr, line);
    assert!(world.run(&["store", "export", "--data", "new"]).stdout.contains(&mine));
    // What stays as it was has not been kept, and without such collections there is nothing to say.
    world.write("plain.jsonl", &text);
    for file in ["more.jsonl", "plain.jsonl"] {
        let again = world.run(&["store", "import", file, "--data", "new"]);
        assert!(!again.stderr.contains("no extension"), "{again:?}");
    }
}

#[test]
fn what_is_there_stays() {
    let world = lived(&[]);
    world.run(&["store", "export", "backup.jsonl"]).succeeded();
    world.run(&["user", "remove", "romeo"]).succeeded();
    let imported = world.run(&["store", "import", "backup.jsonl"]);
    assert_eq!(imported.status, Some(1));
    let lines: Vec<_> = imported.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "balcony: juliet@localhost exists already",
            "balcony: imported accounts: 1; accounts that exist and stay as they were, see above: 1 (to have one as it is in the file, \
             remove it first, or import into an empty data folder)"
        ]
    );
    // Of many a few are named.
    let text = (0..30).map(|number| format!("user{number},password\n")).collect::<String>();
    world.write("accounts.csv", &text);
    world.run(&["user", "import", "accounts.csv"]).succeeded();
    world.run(&["store", "export", "many.jsonl"]).succeeded();
    let imported = world.run(&["store", "import", "many.jsonl"]);
    assert_eq!(imported.status, Some(1));
    let lines: Vec<_> = imported.stderr.lines().collect();
    assert_eq!(lines.len(), 11, "{lines:#?}");
    let sum =
        "imported accounts: 0; accounts that exist and stay as they were, the first of them above: 32 (";
    assert!(lines[10].contains(sum), "{}", lines[10]);
}

#[test]
fn a_running_server_has_its_data_to_itself() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    let other = World::new();
    other.account("juliet");
    world.write("backup.jsonl", &other.run(&["store", "export"]).stdout);
    for command in
        [&["store", "export", "out.jsonl"][..], &["store", "import", "backup.jsonl"], &["store", "check"]]
    {
        world.run(command).failed(1, &["is another balcony running on this data folder?", "stop it first"]);
    }
    assert!(!world.path("out.jsonl").exists());
    server.stop();
}

#[test]
fn an_export_goes_where_its_name_leads() {
    let world = World::new();
    world.account("romeo");
    let exported = world.run(&["store", "export"]).stdout;
    world.write("file", "old");
    std::os::unix::fs::symlink("file", world.path("link")).unwrap();
    world.run(&["store", "export", "link"]).succeeded();
    assert!(std::fs::symlink_metadata(world.path("link")).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(world.path("file")).unwrap(), exported);

    let pipe = world.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).unwrap()
    });
    world.run(&["store", "export", "pipe"]).succeeded();
    assert!(!std::fs::metadata(&pipe).unwrap().is_file());
    assert_eq!(reader.join().unwrap(), exported);
}

#[test]
fn what_cannot_be_done_is_said() {
    let world = World::new();
    for command in [&["store", "check"][..], &["store", "export"]] {
        world.run(command).failed(1, &["there are no accounts in ./balcony-data; name the data folder"]);
    }
    world.run(&["store", "import", "none"]).failed(1, &["cannot read none: no such file"]);
    assert!(!world.path("balcony-data").exists());
    world.write("list.csv", "romeo,pencil\n");
    world
        .run(&["store", "import", "list.csv"])
        .failed(1, &["this is not a list of accounts that this version"]);
    // What has made nothing leaves nothing.
    assert!(!world.path("balcony-data").exists());
    world.account("romeo");
    world.run(&["store", "export", "none/backup"]).failed(1, &["cannot write none/backup: "]);
    let exported = world.run(&["store", "export"]).stdout;
    world.write("cut", exported.lines().next().unwrap());
    world.run(&["store", "import", "cut"]).failed(1, &["is not complete", "imported accounts: 0"]);
    world.write("balcony-data/balcony.redb", &"damaged".repeat(1000));
    world.run(&["store", "check"]).failed(1, &["is not a database of this program"]);
    world.write("balcony-data/balcony.redb", "");
    for command in [&["store", "check"][..], &["store", "export"], &["user", "list"], &["serve"]] {
        world.run(command).failed(1, &["the database is damaged (./balcony-data/balcony.redb is empty)"]);
    }
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_program_without_postgresql_says_so() {
    let world = World::new();
    for command in ["serve", "user", "store"] {
        let rest = match command {
            "user" => &["list"][..],
            "store" => &["check"],
            _ => &[],
        };
        let args = [&[command, "--database", "postgresql://balcony:s3cret@localhost/x"], rest].concat();
        let ended = world.run(&args);
        ended.failed(2, &["built without PostgreSQL", "feature `postgres`"]);
        assert!(!ended.stderr.contains("s3cret"));
    }
}

#[cfg(feature = "postgres")]
#[test]
fn a_server_moves_into_postgresql_and_back() {
    let Some(postgresql) = postgresql::shared() else { return };
    let world = lived(&[]);
    world.run(&["store", "export", "one.jsonl"]).succeeded();
    let database = postgresql.schema();
    world.write("balcony.toml", &format!("data = 'other'\ndatabase = {database:?}\n"));
    let config = ["--config", "balcony.toml"];
    let run = |args: &[&str]| world.run(&[args, &config[..]].concat());
    run(&["store", "import", "one.jsonl"]).succeeded();
    run(&["store", "check"]).succeeded();
    run(&["store", "export", "two.jsonl"]).succeeded();
    world.run(&["store", "import", "two.jsonl", "--data", "third"]).succeeded();
    let texts = ["one.jsonl", "two.jsonl"].map(|file| std::fs::read_to_string(world.path(file)).unwrap());
    assert_eq!(texts[0], texts[1]);
    assert_eq!(world.run(&["store", "export", "--data", "third"]).stdout, texts[0]);

    // A server on the database, and who manages it meanwhile.
    let server = world.serve(&config);
    run(&["store", "check"]).failed(1, &["is another balcony running on this database?", "stop it first"]);
    world.run_as("pencil", &[&["user", "add", "nurse"][..], &config].concat()).succeeded();
    server.stop();
    assert_eq!(run(&["user", "list"]).stdout, "juliet@localhost\nnurse@localhost\nromeo@localhost\n");
    assert_eq!(run(&["user", "remove", "nurse"]).stdout, "nurse@localhost has been removed\n");
    assert_eq!(run(&["user", "list"]).stdout, "juliet@localhost\nromeo@localhost\n");
    goes_on(&world, &config);
}

#[cfg(feature = "postgres")]
#[test]
fn secrets_of_a_database_stay_secret() {
    let world = World::new();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = busy.local_addr().unwrap().to_string();
    for database in ["postgresql://balcony:s3cret@127.0.0.1:1/x", "host=/nowhere password=s3cret", "s3cret"] {
        for log in ["info", "debug"] {
            let ended = world.run(&["serve", "--database", database, "--log", log]);
            assert!(ended.status == Some(1) && !ended.stderr.contains("s3cret"), "{ended:?}");
        }
    }
    // What fails while the database is in use still ends in good order.
    let Some(postgresql) = postgresql::shared() else { return };
    let failed = world.run(&["serve", "--database", &postgresql.schema(), "--listen", &busy]);
    failed.failed(1, &["cannot listen on"]);
}
