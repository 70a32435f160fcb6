//! Clients without async, and their commands: threads, waking, extensions.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::thread;
use std::time::{Duration, Instant};

use balcony::blocking::{self, Waited};
use balcony::prelude::*;
use balcony::server::{ServerHandle, test_certificate};
use balcony::xep::commands::{Action, Status};
use balcony::xep::ping::Ping;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server in a thread of its own, and what its clients trust.
struct World {
    runtime: tokio::runtime::Runtime,
    server: ServerHandle,
    pem: String,
}

impl World {
    fn new() -> World {
        let (pem, key) = test_certificate("localhost").unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let accounts = MemoryAccounts::new().with("romeo@localhost", "r").unwrap();
        let server = Server::builder("localhost")
            .accounts(accounts.with("juliet@localhost", "j").unwrap())
            .certificate_pem(pem.as_bytes(), key.expose().as_bytes())
            .configure(|config| config.iq_needs_presence = false)
            .listen("127.0.0.1:0".parse().unwrap())
            .start()
            .unwrap();
        drop(_inside);
        World { runtime, server, pem }
    }

    fn client(&self, name: &str, commands: Commands) -> blocking::BlockingClient {
        Client::builder(format!("{name}@localhost/thread"))
            .password(&name[..1])
            .connect(self.server.local_addrs()[0].to_string())
            .trust_pem(self.pem.as_bytes())
            .with(commands)
            .with(Discovery::new("Test", "1"))
            .start_blocking()
            .unwrap()
    }
}

fn body(client: &mut blocking::BlockingClient) -> String {
    loop {
        match client.wait(PATIENCE).unwrap() {
            Waited::Event(Event::Message(message)) => return message.body().unwrap().into(),
            Waited::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Takes what has happened up to now.
fn quiet(client: &mut blocking::BlockingClient) {
    while !matches!(client.wait(Duration::from_millis(100)).unwrap(), Waited::TimedOut) {}
}

#[test]
fn threads_share_a_client() {
    let world = World::new();
    let mut romeo = world.client("romeo", Commands::new());
    let mut juliet = world.client("juliet", Commands::new());
    assert_eq!(romeo.jid().unwrap().as_str(), "romeo@localhost/thread");
    assert!(romeo.request(Iq::get(Ping.to_element()).to("localhost".parse().unwrap())).is_ok());
    let sender = romeo.sender();
    let other = thread::spawn(move || {
        for number in 0..5 {
            let message = Message::chat("juliet@localhost/thread".parse().unwrap()).body(number.to_string());
            sender.send(message).unwrap();
        }
        sender
    });
    for number in 0..5 {
        assert_eq!(body(&mut juliet), number.to_string());
    }
    let sender = other.join().unwrap();
    // The end of one thread's work ends the waiting of another.
    let waits = thread::spawn(move || {
        while romeo.next().unwrap().is_some() {}
        romeo.close()
    });
    sender.close();
    waits.join().unwrap().unwrap();
    assert!(sender.send(Message::chat("juliet@localhost".parse().unwrap())).is_err());
    juliet.close().unwrap();
    world.runtime.block_on(world.server.shutdown());
}

#[test]
fn waiting_is_ended_by_others_and_by_time() {
    let world = World::new();
    let mut romeo = world.client("romeo", Commands::new());
    quiet(&mut romeo);
    let start = Instant::now();
    assert!(matches!(romeo.wait(Duration::from_millis(50)).unwrap(), Waited::TimedOut));
    assert!(start.elapsed() >= Duration::from_millis(50));
    // Before it waits, and while it does.
    let waker = romeo.waker();
    waker.wake();
    assert!(matches!(romeo.wait(PATIENCE).unwrap(), Waited::Woken));
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        waker.wake();
    });
    let start = Instant::now();
    assert!(matches!(romeo.wait(PATIENCE).unwrap(), Waited::Woken));
    assert!(start.elapsed() < PATIENCE);
    other.join().unwrap();
    assert!(matches!(romeo.wait(Duration::from_millis(20)).unwrap(), Waited::TimedOut), "once is once");
    // A wrong password is an error that is told at once.
    let wrong = Client::builder("romeo@localhost").password("x").trust_pem(world.pem.as_bytes());
    let wrong = wrong.connect(world.server.local_addrs()[0].to_string()).start_blocking();
    assert!(matches!(wrong, Err(Error::Ended(_))));
}

#[test]
fn a_client_that_is_dropped_leaves_no_session() {
    let world = World::new();
    for _ in 0..3 {
        let mut romeo = world.client("romeo", Commands::new());
        quiet(&mut romeo);
        assert_eq!(world.runtime.block_on(world.server.sessions()).len(), 1);
        drop(romeo);
        assert!(world.runtime.block_on(world.server.sessions()).is_empty());
    }
}

// XEP-0050 1.3.0 §2.2, §2.4; XEP-0308 1.2.1 §4
#[test]
fn commands_and_corrections_through_sockets() {
    let world = World::new();
    let offered = Commands::new().allow(|asker| asker.is("juliet@localhost")).command(
        "greet",
        "Greet somebody",
        |asked| match asked.value("name") {
            None => CommandAnswer::ask(
                DataForm::new(FormKind::Form).with(Field::new(FieldKind::TextSingle, "name").required()),
            ),
            Some(name) => CommandAnswer::done(format!("Hello, {name}!")),
        },
    );
    let romeo = world.client("romeo", offered);
    let mut juliet = world.client("juliet", Commands::new());
    let of: Jid = romeo.jid().unwrap().into();
    let commands = juliet.inner().ext::<Commands>().unwrap();
    let listed = blocking::block_on(commands.list(of.clone())).unwrap();
    assert_eq!(listed, [("greet".to_owned(), Some("Greet somebody".to_owned()))]);
    let step = blocking::block_on(commands.run(of.clone(), "greet")).unwrap();
    assert_eq!(step.status, Status::Executing);
    let answer = step.form.as_ref().unwrap().answer().set("name", ["Juliet"]);
    let step = blocking::block_on(commands.go_on(of, &step, Action::Execute, Some(answer))).unwrap();
    assert_eq!((step.status, &*step.notes[0].text), (Status::Completed, "Hello, Juliet!"));
    // Not by somebody who is not allowed, be it the owner.
    let own: Jid = romeo.jid().unwrap().into();
    let refused = blocking::block_on(romeo.inner().ext::<Commands>().unwrap().run(own, "greet"));
    assert!(matches!(refused, Err(Error::Request(RequestError::Refused(_)))), "{refused:?}");

    let to = || "juliet@localhost/thread".parse().unwrap();
    let id = romeo.send(Message::chat(to()).body("But soft, what lihgt?")).unwrap();
    romeo.send(Message::chat(to()).body("But soft, what light?").correct(&id)).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if let Waited::Event(Event::Message(message)) = juliet.wait(PATIENCE).unwrap() {
            seen.push((message.id().map(String::from), message.corrects().map(String::from)));
        }
    }
    assert_eq!((seen[0].1.as_deref(), seen[1].1.as_deref()), (None, Some(&*id)));
    assert_eq!(seen[0].0.as_deref(), Some(&*id));
}

/// A machine that wants what a test says.
struct Wants {
    due: Duration,
    room: usize,
    output: Vec<u8>,
    received: Vec<Vec<u8>>,
}

impl blocking::Buffered for Wants {
    fn deadline(&self) -> Option<balcony::Instant> {
        Some(balcony::Instant::ZERO + self.due)
    }

    fn room(&self) -> usize {
        self.room
    }

    fn output(&self) -> &[u8] {
        &self.output
    }

    fn received(&mut self, bytes: &[u8]) {
        self.received.push(bytes.into());
    }

    fn wrote(&mut self, count: usize) {
        self.output.drain(..count);
    }
}

fn sockets() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let here = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (here, listener.accept().unwrap().0)
}

// A peer that takes nothing, or says nothing, does not hold the loop past what is due, and neither is an error.
#[test]
fn nothing_waits_longer_than_until_something_is_due() {
    let (mut here, _there) = sockets();
    let due = Duration::from_millis(20);
    let mut machine = Wants { due, room: 10, output: vec![b' '; 50_000_000], received: Vec::new() };
    let began = Instant::now();
    // The buffers of the system are full some time.
    while !machine.output.is_empty() && began.elapsed() < PATIENCE {
        let (left, asked) = (machine.output.len(), Instant::now());
        blocking::exchange(&mut here, &mut machine, balcony::Instant::ZERO).unwrap();
        if machine.output.len() == left {
            assert!(asked.elapsed() >= due / 2);
            break;
        }
    }
    assert!(!machine.output.is_empty() && began.elapsed() < PATIENCE);
    machine.output.clear();
    blocking::exchange(&mut here, &mut machine, balcony::Instant::ZERO).unwrap();
    // What is due already is not waited for for ever.
    machine.due = Duration::ZERO;
    blocking::exchange(&mut here, &mut machine, balcony::Instant::ZERO).unwrap();
    assert!(machine.received.is_empty() && began.elapsed() < PATIENCE);
}

// No more is read than there is room for, without room the end is not seen in what was not read, and the last words are.
#[test]
fn as_much_is_read_as_there_is_room_for() {
    let (mut here, there) = sockets();
    let mut machine =
        Wants { due: Duration::from_millis(20), room: 0, output: Vec::new(), received: Vec::new() };
    blocking::finish(there, b"soft").unwrap();
    blocking::exchange(&mut here, &mut machine, balcony::Instant::ZERO).unwrap();
    assert!(machine.received.is_empty());
    machine.room = 3;
    for _ in 0..3 {
        blocking::exchange(&mut here, &mut machine, balcony::Instant::ZERO).unwrap();
    }
    assert_eq!(machine.received, [&b"sof"[..], b"t", b""]);
}

// A program with no other package has tasks and time.
#[test]
fn a_task_waits_beside_the_program() {
    let (said, heard) = std::sync::mpsc::channel();
    let began = Instant::now();
    balcony::block_on(async {
        balcony::spawn(async move {
            balcony::sleep(Duration::from_millis(30)).await;
            said.send(()).unwrap();
        });
        while heard.try_recv().is_err() {
            balcony::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!((Duration::from_millis(30)..PATIENCE).contains(&began.elapsed()));
}
