//! What hangs outside must not hang the server: a terminal, a database; and what happens while it starts.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::hostile::Raw;
use crate::world::{PASSWORD, PROGRAM, Server, World, free_address};

/// A program whose stderr is a pipe that nobody reads.
struct Mute(Child);

impl Drop for Mute {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let world = World::new();
    let address = free_address();
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--listen", &address, "--log", "debug", "--demo"]).current_dir(world.path(""));
    let mut server = Mute(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let begin = Instant::now();
    while TcpStream::connect(&address).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    // Each leaves a line of some hundred bytes; a pipe takes 64 kB.
    for _ in 0..2_000 {
        let mut raw = Raw::open(&address);
        raw.write(b"<no-xml<");
        // Until the server closes it, or too much time has passed.
        raw.rest();
    }
    // It ends when it is told to, too.
    let pid = server.0.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    let begin = Instant::now();
    while server.0.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(30), "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn who_sees_a_port_open_can_manage_accounts() {
    for _ in 0..5 {
        let world = World::new();
        let address = free_address();
        let server = world.start(&["serve", "--listen", &address]);
        let begin = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60));
        }
        assert!(world.path("balcony-data/control.sock").exists());
        world.account("romeo");
        Server::start(server).stop();
    }
}

#[test]
fn accounts_can_be_managed_from_the_first_moment_on() {
    for _ in 0..5 {
        let world = World::new();
        let server = world.start(&["serve", "--listen", "127.0.0.1:0"]);
        let begin = Instant::now();
        // From here on the server has the store.
        while !world.path("balcony-data/balcony.redb").exists() {
            assert!(begin.elapsed() < Duration::from_secs(60));
        }
        let added = world.run_as(PASSWORD, &["user", "add", "romeo"]);
        added.succeeded();
        Server::start(server).stop();
    }
}

#[cfg(feature = "postgres")]
mod database {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use crate::hostile::Raw;
    use crate::packet::{asked, login};
    use crate::relay::Relay;
    use crate::store::postgresql;
    use crate::world::World;

    #[test]
    fn a_database_that_hangs_does_not_keep_a_server_from_its_end() {
        hangs_at_the_end(false);
    }

    // docs/guarantees.md: what was given up the exit status tells, also if the database answers again while it is closed.
    #[test]
    fn a_database_that_goes_on_too_late_is_told_by_the_exit_status() {
        hangs_at_the_end(true);
    }

    fn hangs_at_the_end(recovers: bool) {
        let Some(server) = postgresql::shared() else { return };
        let world = World::new();
        let parameters = server.schema();
        let own = parameters.strip_prefix("host=").unwrap().split(' ').next().unwrap();
        let socket = ".s.PGSQL.5432";
        let way = Relay::between(&world.path(socket), std::path::Path::new(own).join(socket));
        let through = parameters.replace(own, world.path("").to_str().unwrap());
        let server = world.serve(&["--database", &through]);
        world.account("romeo");
        world.account("juliet");
        let listener = world.listen(&server, "romeo@localhost/garden", &[]);
        way.is_silent(true);
        // His end has to be stored, and this as well.
        let send = ["send", "--as", "romeo@localhost", "--connect", &server.address, "juliet@localhost", "?"];
        let sender = world.start_as(crate::world::PASSWORD, &send);
        std::thread::sleep(Duration::from_millis(500));
        let begin = Instant::now();
        server.process.signal("TERM");
        let said = server.process.stderr_with("the store has not answered for 20 s");
        assert!(said.contains(" given up"), "{said}");
        if recovers {
            // It is connected to anew.
            way.is_silent(false);
            way.cut();
        }
        let ended = server.process.wait();
        assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", begin.elapsed());
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert_eq!(ended.stderr.contains("the database does not answer"), !recovers, "{ended:?}");
        assert_eq!(ended.stderr.contains("given up: of the last changes"), recovers, "{ended:?}");
        drop((listener, sender));
    }

    // docs/limits.md: what others have saved without end holds up nobody's own changes: each account has its turn, and of the last presence
    // of an account one note waits.
    #[test]
    fn presence_that_comes_and_goes_keeps_nobody_from_changing_a_roster() {
        let Some(database) = postgresql::shared() else { return };
        let world = World::new();
        let server = world.serve(&["--allow-plaintext", "--database", &database.schema()]);
        world.account("romeo");
        world.account("juliet");
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (mut romeo, is_over) = (login(&server, "romeo"), &is_over);
            scope.spawn(move || {
                let pairs = "<presence/><presence type='unavailable'/>".repeat(500);
                while !is_over.load(Ordering::SeqCst) {
                    // Behind each five hundred an answer: his client takes part in it.
                    asked(&mut romeo, &pairs, "p");
                }
            });
            let mut juliet = login(&server, "juliet");
            std::thread::sleep(Duration::from_secs(1));
            let answers: Vec<String> = (0..11).map(|number| change_roster(&mut juliet, number)).collect();
            is_over.store(true, Ordering::SeqCst);
            let failed = answers.iter().filter(|answer| !answer.contains("type='result'"));
            assert_eq!(failed.count(), 0, "{answers:#?}");
        });
        server.stop();
    }

    /// Sets an item; the answer.
    fn change_roster(raw: &mut Raw, number: usize) -> String {
        let set = format!(
            "<iq type='set' id='r{number}'><query xmlns='jabber:iq:roster'><item jid='friar{number}@example.org'/></query></iq>"
        );
        raw.write(set.as_bytes());
        let head = raw.until(&format!("id='r{number}'"));
        head.rsplit_once("<iq ").unwrap().1.to_owned()
    }

    // What it has in memory, and tells its clients, may not hold any more.
    #[test]
    fn a_server_ends_when_another_balcony_has_had_its_database() {
        let Some(database) = postgresql::shared() else { return };
        let world = World::new();
        let parameters = database.schema();
        let server = world.serve(&["--database", &parameters]);
        world.account("romeo");
        let listener = world.listen(&server, "romeo@localhost/garden", &[]);
        let begin = Instant::now();
        // The server may be faster now and then, and is to go on.
        loop {
            database.cut(&parameters);
            let check = ["store", "check", "--data", "elsewhere", "--database", &parameters];
            if world.run(&check).status == Some(0) {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(100));
        }
        let ended = server.process.wait();
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("another balcony has used this database"), "{ended:?}");
        drop(listener);
        // Nothing else is wrong.
        world.serve(&["--database", &parameters]).stop();
    }
}
