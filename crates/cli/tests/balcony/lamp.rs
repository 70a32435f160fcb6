//! The example `lamp` at the real server: who sees it and how it is, and who may tell it what, by `balcony command`.

use std::time::{Duration, Instant};

use balcony::prelude::*;

use crate::world::{Ended, PASSWORD, World};

#[path = "../../../../examples/lamp.rs"]
mod example;

struct Balcony {
    world: World,
    address: String,
}

impl Balcony {
    fn run(&self, command: &str, who: &str, args: &[&str]) -> Ended {
        let account = format!("{who}@localhost");
        self.world
            .run_as(PASSWORD, &[&[command, "--as", &account, "--connect", &self.address], args].concat())
    }

    /// What has come of a command of the lamp's.
    fn command(&self, who: &str, args: &[&str]) -> String {
        let ended = self.run("command", who, &[&["lamp@localhost"], args].concat());
        ended.succeeded();
        ended.stdout
    }

    /// Waits until somebody sees the lamp like this.
    fn shows(&self, who: &str, line: &str) {
        let began = Instant::now();
        loop {
            let seen = self.run("presence", who, &[]).stdout;
            if seen == line {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{who} sees {seen}, not {line}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

// RFC 6121 §4.4.2; XEP-0050 1.3.0 §2.2 [AH2], §2.4.2
#[test]
fn a_lamp_is_seen_and_switched() {
    let world = World::new();
    let server = world.serve(&[]);
    let balcony = Balcony { address: server.address.clone(), world };
    for (account, group) in
        [("lamp", None), ("juliet", Some("Family")), ("nurse", Some("Guests")), ("paris", None)]
    {
        balcony.world.account(account);
        if account != "lamp" {
            let contact = format!("{account}@localhost");
            let group = group.map(|group| ["--group", group]);
            let group = group.as_ref().map_or(&[][..], |group| &group[..]);
            balcony.run("roster", "lamp", &[&["add", &contact], group].concat()).succeeded();
            balcony.run("roster", account, &["add", "lamp@localhost"]).succeeded();
        }
    }
    let ca = std::fs::read(balcony.world.path("balcony-data/ca.pem")).unwrap();
    let client =
        Client::builder("lamp@localhost/balcony").password(PASSWORD).connect(&balcony.address).trust_pem(&ca);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let lamp = runtime.spawn(example::run(client));

    balcony.shows("juliet", "lamp@localhost/balcony is online: the lamp is off, 21.5 °C\n");
    let all = "temperature  How warm it is\nswitch  Switch the lamp\nschedule  Switch it later\n";
    assert_eq!(balcony.command("juliet", &[]), all);
    assert_eq!(balcony.command("nurse", &[]), "temperature  How warm it is\n");
    assert_eq!(balcony.command("paris", &[]), "");
    assert_eq!(balcony.command("nurse", &["temperature"]), "Temperature in °C: 21.5\n");

    assert_eq!(balcony.command("juliet", &["switch", "on=yes"]), "The lamp is on.\n");
    balcony.shows("nurse", "lamp@localhost/balcony is online: the lamp is on, 21.5 °C\n");
    balcony.run("command", "nurse", &["lamp@localhost", "switch", "on=no"]).failed(1, &["forbidden"]);
    assert_eq!(balcony.command("juliet", &["switch", "on=no"]), "The lamp is off.\n");

    // Two steps, each with answers that are checked.
    let schedule =
        |args: &[&str]| balcony.run("command", "juliet", &[&["lamp@localhost", "schedule"], args].concat());
    schedule(&["after=0"]).succeeded();
    balcony.shows("juliet", "lamp@localhost/balcony is online: the lamp is on, 21.5 °C\n");
    schedule(&["after=soon"]).failed(2, &["`after` (In how many minutes): `soon` is no whole number"]);
    schedule(&["after=0", "length=601"]).failed(2, &["`601` is more than 600"]);
    let done = schedule(&["after=5", "length=3"]);
    assert_eq!(done.stdout, "The lamp will be on in 5 minutes, for 3 minutes.\n");

    // Without its presence it cannot be reached, and everybody sees that.
    lamp.abort();
    balcony.shows("juliet", "");
    balcony.run("command", "juliet", &["lamp@localhost"]).failed(1, &["lamp@localhost is not online"]);
}
