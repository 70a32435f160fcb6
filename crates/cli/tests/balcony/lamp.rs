//! The example `lamp` at the real server: who sees it and how it is, and who may tell it what, by `balcony command`.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use balcony::prelude::*;
use balcony::server::MemoryAccounts;
use balcony::server::extension::{Access, Extension, Extensions, Registry, Reply};
use balcony::xep::disco;

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
    let all = "temperature  How warm it is\nswitch       Switch the lamp\nschedule     Switch it later\n";
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

/// A server that publishes (XEP-0163), as far as a lamp needs it: it says what is published.
struct Pep(mpsc::Sender<String>);

impl Extension for Pep {
    const NAME: &'static str = "pep";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.get(Access::Owner, "query", disco::INFO, |_, _, _| {
            let identities =
                [disco::Identity::new("account", "registered"), disco::Identity::new("pubsub", "pep")];
            Reply::from(disco::info(None, &identities, [disco::INFO]))
        });
        registry.set("pubsub", "http://jabber.org/protocol/pubsub", |pep, _, request| {
            let publish = request.element.children().next().filter(|publish| publish.name() == "publish");
            let lamp = publish.and_then(|publish| publish.children().next()?.children().next());
            let node = publish.and_then(|publish| publish.attr("node"));
            let values = lamp.map(|lamp| {
                [lamp.attr("on"), lamp.attr("celsius")].map(|value| value.unwrap_or("-").to_owned())
            });
            pep.0.send(format!("{node:?} {values:?}")).unwrap();
            Reply::DONE
        });
    }
}

// XEP-0163 §6.1: where the server publishes, the values are published, and the presence says that the lamp can be reached.
#[test]
fn a_lamp_publishes_its_values_where_it_can() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let (published, values) = mpsc::channel();
    let extensions = Extensions::standard().without("disco").with(Pep(published)).build().unwrap();
    let server = Server::builder("localhost")
        .accounts(MemoryAccounts::new().with("lamp@localhost", "l").unwrap())
        .configure(|config| config.extensions = extensions)
        .dangerous_without_tls()
        .listen("127.0.0.1:0".parse().unwrap())
        .start()
        .unwrap();
    let place = server.local_addrs()[0].to_string();
    let client = |resource: &str| {
        let jid = format!("lamp@localhost/{resource}");
        Client::builder(jid).password("l").connect(&place).dangerous_without_tls()
    };
    let mut own = runtime.block_on(client("desk").start()).unwrap();
    runtime.spawn(example::run(client("balcony")));
    let next = || values.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(next(), r#"Some("urn:example:lamp") Some(["false", "21.5"])"#);
    runtime.block_on(async {
        while let Some(event) = own.next().await.unwrap() {
            if let Event::Presence(presence) = event
                && presence.from().and_then(|from| from.resourcepart()) == Some("balcony")
                && presence.status().is_none()
            {
                break;
            }
        }
        let ask = async |command: &str| {
            let command = balcony::stanza::Payload::from_bytes(command.as_bytes()).unwrap();
            own.request(Iq::set(command).to("lamp@localhost/balcony".parse().unwrap())).await.unwrap()
        };
        let asked = ask("<command xmlns='http://jabber.org/protocol/commands' node='switch'/>").await;
        let run = asked.element().and_then(|command| command.attr("sessionid")).unwrap();
        ask(&format!(
            "<command xmlns='http://jabber.org/protocol/commands' node='switch' sessionid='{run}' action='complete'>\
             <x xmlns='jabber:x:data' type='submit'><field var='on'><value>true</value></field></x></command>"
        ))
        .await;
    });
    assert_eq!(next(), r#"Some("urn:example:lamp") Some(["true", "21.5"])"#);
}
