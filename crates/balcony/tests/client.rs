//! Clients and servers of the front door, on tokio and on smol.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "tests"
)]

#[path = "../../runtime/tests/world/relay.rs"]
mod relay;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use balcony::prelude::*;
use balcony::runtime::{Runtime, timeout};
use balcony::server::{MemoryAccounts, ServerHandle, Transport, pipe, test_certificate};
use balcony::{Backoff, ClientBuilder, Contacts, Delivered, Disconnected, ErrorType, Push, StanzaError};

use relay::Relay;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn accounts() -> MemoryAccounts {
    let accounts = MemoryAccounts::new().with("romeo@localhost", "r").unwrap();
    accounts.with("juliet@localhost", "j").unwrap()
}

/// A server, and what its clients trust.
struct World<R> {
    runtime: R,
    pem: (String, String),
    server: ServerHandle,
    at: SocketAddr,
}

impl<R: Runtime> World<R> {
    fn new(runtime: R) -> World<R> {
        let (certificate, key) = test_certificate("localhost").unwrap();
        let pem = (certificate, key.expose().clone());
        let server = World::serve(&runtime, &pem, "127.0.0.1:0".parse().unwrap());
        World { at: server.local_addrs()[0], runtime, pem, server }
    }

    fn serve(runtime: &R, pem: &(String, String), at: SocketAddr) -> ServerHandle {
        let server = balcony::server::ServerBuilder::on(runtime.clone(), "localhost").accounts(accounts());
        let server = server.certificate_pem(pem.0.as_bytes(), pem.1.as_bytes());
        // Its users are strangers to each other, and are to hear of each other all the same.
        let server =
            server.configure(|config| (config.iq_needs_presence, config.tell_strangers) = (false, true));
        server.listen(at).start().unwrap()
    }

    fn client(&self, name: &str) -> ClientBuilder<R> {
        ClientBuilder::on(self.runtime.clone(), format!("{name}@localhost"))
            .password(&name[..1])
            .connect(self.at.to_string())
            .trust_pem(self.pem.0.as_bytes())
            .backoff(Backoff::new(Duration::from_millis(20), Duration::from_millis(100)))
    }

    async fn soon<T>(&self, future: impl Future<Output = T>) -> T {
        timeout(&self.runtime, PATIENCE, future).await.expect("too slow")
    }

    async fn online(&self, name: &str) -> Client {
        let mut client = self.soon(self.client(name).start()).await.unwrap();
        assert!(matches!(self.event(&mut client).await, Event::Online(_)));
        client
    }

    /// The next event that is no presence.
    async fn event(&self, client: &mut Client) -> Event {
        loop {
            match self.soon(client.next()).await.unwrap().expect("the client has been closed") {
                Event::Presence(_) => {}
                event => return event,
            }
        }
    }

    async fn message(&self, client: &mut Client) -> Box<Message> {
        loop {
            match self.event(client).await {
                Event::Message(message) => return message,
                Event::Note(_) => {}
                event => panic!("no message: {event:?}"),
            }
        }
    }
}

fn full(client: &Client) -> Jid {
    client.jid().unwrap().to_jid()
}

async fn messages_and_replies<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let (mut romeo, mut juliet) = (world.online("romeo").await, world.online("juliet").await);
    let message = Message::chat(full(&juliet)).body("But soft").body_in("de", "Doch still").subject("light");
    let id = world.soon(romeo.send(message.thread(balcony::Thread::new("t").unwrap()))).await.unwrap();
    let message = world.message(&mut juliet).await;
    assert_eq!((message.body(), message.bodies().get("de")), (Some("But soft"), Some("Doch still")));
    assert_eq!((message.subject(), message.id()), (Some("light"), Some(&*id)));
    world.soon(juliet.send(message.reply().body("Ay me"))).await.unwrap();
    let reply = world.message(&mut romeo).await;
    assert_eq!((reply.body(), reply.thread().unwrap().id()), (Some("Ay me"), "t"));
    assert_eq!(reply.from(), Some(&full(&juliet)));
    // What nobody gets comes back, and not as a message.
    let nobody = Message::chat("nobody@localhost".parse().unwrap()).body("x").id("lost");
    world.soon(romeo.send(nobody)).await.unwrap();
    let Event::Undelivered(undelivered) = world.event(&mut romeo).await else { panic!("it came") };
    assert_eq!(undelivered.id().as_deref(), Some("lost"));
}

// Accounts in memory are told the time like all others (XEP-0203).
async fn what_has_waited_says_since_when<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let romeo = world.online("romeo").await;
    let (acknowledged, message) = (romeo.sender(), Message::chat("juliet@localhost".parse().unwrap()));
    world.soon(acknowledged.send(message.body("But soft"))).await.unwrap();
    let since_1970 = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let before = since_1970() - PATIENCE;
    let mut juliet = world.online("juliet").await;
    let message = world.message(&mut juliet).await;
    let at = Duration::from_millis(message.delay().expect("it says nothing").at);
    assert!(before < at && at <= since_1970(), "{at:?}");
}

async fn requests<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let (mut romeo, juliet) = (world.online("romeo").await, world.online("juliet").await);
    let element = || Element::new(Name::from_static("mood"), "urn:mood").text("?");
    let ask = async |what: u8| {
        let asked = juliet.request(Iq::get(element()).to(full(&romeo)));
        let answer = async {
            let Event::Request(request) = world.event(&mut romeo).await else { panic!("no request") };
            assert!(request.element().is("mood", "urn:mood") && request.from() == Some(&full(&juliet)));
            match what {
                0 => request.reply(Element::new(Name::from_static("mood"), "urn:mood").text("amorous")),
                1 => request.refuse(ErrorCondition::Forbidden),
                _ => drop(request),
            }
        };
        world.soon(futures_lite::future::zip(asked, answer)).await.0
    };
    let mut ask = ask;
    let answer = ask(0).await.unwrap();
    assert_eq!(answer.element().unwrap().text(), "amorous");
    for (what, condition) in [(1, ErrorCondition::Forbidden), (2, ErrorCondition::ServiceUnavailable)] {
        let Err(Error::Request(RequestError::Refused(error))) = ask(what).await else { panic!("no error") };
        assert_eq!(error.condition, condition);
    }
    // The server answers what it does not know itself, and nobody answers what takes too long.
    let unknown = juliet.request(Iq::get(element()).to("localhost".parse().unwrap()));
    assert!(matches!(world.soon(unknown).await, Err(Error::Request(RequestError::Refused(_)))));
    let late = Iq::get(element()).to(full(&romeo)).timeout(Duration::from_millis(50));
    let late = world.soon(juliet.request(late)).await;
    assert!(matches!(late, Err(Error::Request(RequestError::TimedOut))), "{late:?}");
    // When the connection goes, and its session does not go on in time, the wait has an end.
    let asked = Iq::get(element()).to(full(&romeo)).timeout(Duration::from_secs(2));
    let (lost, _) =
        world.soon(futures_lite::future::zip(juliet.request(asked), world.server.shutdown())).await;
    let lost = lost.unwrap_err();
    assert!(matches!(lost, Error::Request(RequestError::Offline | RequestError::TimedOut)), "{lost}");
}

async fn it_comes_back<R: Runtime>(runtime: R) {
    let mut world = World::new(runtime);
    let mut romeo = world.online("romeo").await;
    world.soon(world.server.shutdown()).await;
    let Event::Offline { next: Some(_), why } = world.event(&mut romeo).await else { panic!("online") };
    assert!(!why.is_permanent() && !why.to_string().is_empty());
    assert_eq!(romeo.jid(), None);
    let refused = world.soon(romeo.request(Iq::get(balcony::xep::ping::Ping.to_element()))).await;
    assert_eq!(refused.unwrap_err(), Error::Request(RequestError::Offline));
    // It is sent when there is somebody to send it to.
    world.soon(romeo.send(Message::chat("juliet@localhost".parse().unwrap()).body("later"))).await.unwrap();
    world.server = World::serve(&world.runtime, &world.pem, world.at);
    loop {
        match world.event(&mut romeo).await {
            Event::Online(_) => break,
            Event::Offline { next, .. } => assert!(next.is_some()),
            event => panic!("{event:?}"),
        }
    }
    let mut juliet = world.online("juliet").await;
    assert_eq!(world.message(&mut juliet).await.body(), Some("later"));
}

async fn what_is_of_no_use_fails_at_once<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let wrong = world.soon(world.client("romeo").password("wrong").start()).await.unwrap_err();
    assert!(matches!(&wrong, Error::Ended(why) if why.is_permanent()), "{wrong}");
    assert_eq!(format!("{wrong:?}"), "wrong password, or no such account (not-authorized)");
    // In the background, too, and the reason is told to whoever waits for events.
    let mut client = world.client("romeo").password("wrong").start_in_background().unwrap();
    assert!(matches!(world.event(&mut client).await, Event::Offline { next: None, .. }));
    assert_eq!(world.soon(client.next()).await.unwrap_err(), wrong);
    assert_eq!(world.soon(client.send(Message::chat("a@b".parse().unwrap()))).await.unwrap_err(), wrong);

    let untrusting = world.client("romeo").configure(|config| config.tls = None);
    let error = world.soon(untrusting.start()).await.unwrap_err();
    assert!(error.to_string().contains("no certificate is trusted"), "{error}");
    let strange = ClientBuilder::on(world.runtime.clone(), "romeo@localhost").password("pencil");
    let strange = strange.connect(world.at.to_string());
    let error = world.soon(strange.start()).await.unwrap_err();
    assert!(
        error.to_string().contains("to the trusted roots: with `trust_pem` of its builder, or `BALCONY_CA`"),
        "{error}"
    );
    for (builder, words) in [
        (ClientBuilder::on(world.runtime.clone(), "romeo@@"), "`romeo@@` is no address"),
        (ClientBuilder::on(world.runtime.clone(), "localhost").password("x"), "is no account"),
        (ClientBuilder::on(world.runtime.clone(), "romeo@localhost"), "needs a password"),
        (world.client("romeo").connect("a b"), "is no place to connect to"),
        (world.client("romeo").trust_pem(b"x"), "no certificate found"),
    ] {
        let error = world.soon(builder.start()).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let server = balcony::server::ServerBuilder::on(world.runtime.clone(), "localhost");
    let error = server.listen("127.0.0.1:0".parse().unwrap()).start().unwrap_err();
    assert!(error.to_string().contains("the server has no certificate"), "{error}");
    let server =
        balcony::server::ServerBuilder::on(world.runtime.clone(), "localhost").dangerous_without_tls();
    let error = server.listen(world.at).start().unwrap_err();
    assert!(matches!(error, Error::Listen(..)), "{error}");
}

/// A type of somebody else's that is made of an element, as those of xmpp-parsers are.
#[derive(Debug, PartialEq)]
struct Mood(String);

impl TryFrom<balcony::minidom::Element> for Mood {
    type Error = balcony::minidom::Element;

    fn try_from(element: balcony::minidom::Element) -> Result<Self, Self::Error> {
        if element.is("mood", "urn:mood") { Ok(Mood(element.text())) } else { Err(element) }
    }
}

async fn elements_as_types_of_others<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let (mut romeo, juliet) = (world.online("romeo").await, world.online("juliet").await);
    let mood = balcony::minidom::Element::builder("mood", "urn:mood").append("sad").build();
    let element = Element::try_from(&mood).unwrap();
    world.soon(juliet.send(Message::chat(full(&romeo)).body("x").child(element.clone()))).await.unwrap();
    assert_eq!(world.message(&mut romeo).await.get(), Some(Mood("sad".into())));
    let to = full(&romeo);
    let answer = async {
        let Event::Request(request) = world.event(&mut romeo).await else { panic!("no request") };
        assert_eq!(request.get(), Some(Mood("sad".into())));
        request.reply(element.clone());
    };
    let asked = juliet.request(Iq::set(element.clone()).to(to));
    let (answered, ()) = world.soon(futures_lite::future::zip(asked, answer)).await;
    assert_eq!(answered.unwrap().get(), Some(Mood("sad".into())));
}

async fn dropping_it_ends_it<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let romeo = world.online("romeo").await;
    let sender = romeo.sender();
    assert_eq!(world.soon(world.server.stats()).await.sessions, 1);
    drop(romeo);
    world
        .soon(async {
            while world.server.stats().await.sessions > 0 {
                timeout(&world.runtime, Duration::from_millis(10), core::future::pending::<()>()).await;
            }
        })
        .await;
    let gone = world.soon(sender.send(Message::chat("juliet@localhost".parse().unwrap()))).await;
    assert_eq!(gone.unwrap_err(), Error::Ended(Arc::new(Disconnected::ByOwner)));
    // One that is not online ends as well.
    let client = world.client("romeo").connect("127.0.0.1:1").start_in_background().unwrap();
    world.soon(client.close()).await.unwrap();
}

async fn senders_are_for_other_tasks<R: Runtime>(runtime: R) {
    fn is_send<T: Send + Sync + Clone + 'static>(_: &T) {}
    let world = World::new(runtime);
    let (mut romeo, mut juliet) = (world.online("romeo").await, world.online("juliet").await);
    let sender = romeo.sender();
    is_send(&sender);
    let to = full(&juliet);
    world.runtime.spawn(Box::pin(async move {
        for number in 0..100 {
            sender.send(Message::chat(to.clone()).body(number.to_string())).await.unwrap();
        }
        // What it has sent goes out before that.
        sender.close();
    }));
    for number in 0..100 {
        assert_eq!(world.message(&mut juliet).await.body(), Some(&*number.to_string()));
    }
    assert!(matches!(world.event(&mut romeo).await, Event::Offline { next: None, .. }));
    assert!(world.soon(romeo.next()).await.unwrap().is_none());
}

async fn extensions<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let romeo = world
        .client("romeo")
        .with(Discovery::new("Echo", "1.0").for_everyone())
        .with(Receipts::for_everyone());
    let mut romeo = world.soon(romeo.with(Roster::new()).start()).await.unwrap();
    let juliet = world.client("juliet").with(PrivateStorage::new()).with(Receipts::for_nobody());
    let juliet = juliet.with(Push::new());
    let mut juliet = world.soon(juliet.start()).await.unwrap();
    let storage = juliet.ext::<PrivateStorage>().unwrap();
    assert_eq!(world.soon(storage.get("notes", "urn:notes")).await.unwrap(), None);
    let notes = Element::new(Name::from_static("notes"), "urn:notes").text("Romeo!");
    world.soon(storage.set(notes.root())).await.unwrap();
    assert_eq!(world.soon(storage.get("notes", "urn:notes")).await.unwrap(), Some(notes));
    assert!(matches!(world.soon(storage.get("a b", "")).await, Err(Error::Config(_))));
    assert!(
        matches!(romeo.ext::<PrivateStorage>(), Err(Error::NoExtension(name)) if name.contains("PrivateStorage"))
    );

    // XEP-0357 0.4.1 §5 [PN2], §6 [PN5]
    let push = juliet.ext::<Push>().unwrap();
    let service = || "push.example.org".parse::<Jid>().unwrap();
    world.soon(push.enable(service(), Some("x"), None)).await.unwrap();
    world.soon(push.disable(service(), None)).await.unwrap();
    let refused = world.soon(push.enable("localhost".parse().unwrap(), None, None)).await;
    let is_refused = |error: &Error| error.to_string().contains("item-not-found");
    assert!(refused.as_ref().is_err_and(is_refused), "{refused:?}");

    let version = Iq::get(balcony::xep::version::Query.to_element()).to(full(&romeo));
    let version = world.soon(juliet.request(version)).await.unwrap();
    let version = balcony::xep::version::Software::read(version.element().unwrap()).unwrap();
    assert_eq!((&*version.name, &*version.version), ("Echo", "1.0"));
    let asks = Message::chat(full(&romeo)).body("x").request_receipt();
    let id = world.soon(juliet.send(asks)).await.unwrap();
    assert!(matches!(world.event(&mut juliet).await, Event::Online(_)));
    let Event::Note(note) = world.event(&mut juliet).await else { panic!("no receipt") };
    assert_eq!(note.get::<Delivered>().map(|delivered| &*delivered.id), Some(&*id));
    // The roster, which was asked for before anything else.
    assert!(matches!(world.event(&mut romeo).await, Event::Online(_)));
    assert_eq!(world.message(&mut romeo).await.body(), Some("x"));
    let count = romeo.ext::<Roster>().unwrap().contacts(|contacts| contacts.items().len()).unwrap();
    assert_eq!(count, Some(0));

    // A contact is added, asked, and removed again (RFC 6121 sections 2.3, 2.5 and 3.1).
    let her: BareJid = "juliet@localhost".parse().unwrap();
    let named = balcony::roster::Set { jid: her.clone(), name: Some("Juliet".into()), groups: Vec::new() };
    world.soon(romeo.ext::<Roster>().unwrap().set(named)).await.unwrap();
    world.soon(romeo.ext::<Roster>().unwrap().subscribe(&her)).await.unwrap();
    let asked = loop {
        match world.soon(juliet.next()).await.unwrap().unwrap() {
            Event::Presence(asked) if asked.is_subscription_request() => break asked,
            _ => {}
        }
    };
    world.soon(juliet.send(asked.approve())).await.unwrap();
    let is_approved = |news: &News| matches!(news, News::Approved(who) if *who == her);
    while !is_approved(&news(&world, &mut romeo).await) {}
    let name = |contacts: &Contacts| contacts.item(&her).and_then(|item| item.name.clone());
    let name = romeo.ext::<Roster>().unwrap().contacts(name).unwrap();
    assert_eq!(name.flatten().as_deref(), Some("Juliet"));
    world.soon(romeo.ext::<Roster>().unwrap().remove(her.clone())).await.unwrap();
    let is_removed =
        |news: &News| matches!(news, News::Roster(balcony::roster::Change::Removed(who)) if *who == her);
    while !is_removed(&news(&world, &mut romeo).await) {}
    let of_nobody = world.soon(romeo.ext::<Roster>().unwrap().remove(her)).await;
    assert!(matches!(of_nobody, Err(Error::Request(RequestError::Refused(_)))), "{of_nobody:?}");
}

async fn news<R: Runtime>(world: &World<R>, client: &mut Client) -> News {
    loop {
        if let Event::Note(note) = world.event(client).await
            && let Some(news) = note.get::<News>()
        {
            return news.clone();
        }
    }
}

async fn pipes<R: Runtime>(runtime: R) {
    let server = balcony::server::ServerBuilder::on(runtime.clone(), "localhost");
    let server = server.accounts(accounts()).dangerous_without_tls().start().unwrap();
    let (ours, theirs) = pipe();
    server.connect(theirs, "memory", Transport::Stream);
    let client = ClientBuilder::on(runtime.clone(), "romeo@localhost").password("r").dangerous_without_tls();
    let mut client = timeout(&runtime, PATIENCE, client.over(ours)).await.unwrap().unwrap();
    timeout(&runtime, PATIENCE, server.shutdown()).await.unwrap();
    // There is no second one.
    let end = timeout(&runtime, PATIENCE, async {
        loop {
            match client.next().await {
                Ok(event) => assert!(event.is_some()),
                Err(error) => return error,
            }
        }
    });
    assert!(matches!(end.await.unwrap(), Error::Ended(why) if !why.is_permanent()));
}

async fn unread_events_are_bounded<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let (mut romeo, juliet) = (world.online("romeo").await, world.online("juliet").await);
    let to = full(&romeo);
    // Nobody takes them: neither does it harm, nor is one lost.
    for number in 0..3_000 {
        world.soon(juliet.send(Message::chat(to.clone()).body(number.to_string()))).await.unwrap();
    }
    for number in 0..3_000 {
        assert_eq!(world.message(&mut romeo).await.body(), Some(&*number.to_string()));
    }
    world.soon(romeo.close()).await.unwrap();
}

// XEP-0198 §4: who answers each message in the loop that takes them, and has more of them before it than it may send without an
// acknowledgement, which is behind them.
async fn an_echo_gets_through_a_flood<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let (mut romeo, juliet) = (world.online("romeo").await, world.online("juliet").await);
    let to = full(&romeo);
    for number in 0..5_000 {
        world.soon(juliet.send(Message::chat(to.clone()).body(number.to_string()))).await.unwrap();
    }
    let mut next = 0;
    while next < 5_000 {
        let Event::Message(message) = world.event(&mut romeo).await else { continue };
        assert_eq!(message.body(), Some(&*next.to_string()));
        world.soon(romeo.send(message.reply().body("and back"))).await.unwrap();
        next += 1;
    }
}

// XEP-0198 §5: the network breaks, the session does not.
async fn a_session_survives_its_connection<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let relay = Relay::to(world.at.port());
    let romeo = world.client("romeo").connect(format!("localhost:{}", relay.port));
    let mut romeo = world.soon(romeo.start()).await.unwrap();
    let mut juliet = world.online("juliet").await;
    let (romeo_at, juliet_at) = (full(&romeo), full(&juliet));
    assert!(matches!(world.event(&mut romeo).await, Event::Online(_)));
    let element = || Element::new(Name::from_static("mood"), "urn:mood");
    let asked = async {
        let asked = romeo.request(Iq::get(element()).to(juliet_at.clone()));
        // It is answered when the connection is another one.
        let answer = async {
            let Event::Request(request) = world.event(&mut juliet).await else { panic!("no request") };
            relay.cut();
            juliet.send(Message::chat(romeo_at.clone()).body("1")).await.unwrap();
            request.reply(element().text("sad"));
            juliet.send(Message::chat(romeo_at.clone()).body("2")).await.unwrap();
        };
        futures_lite::future::zip(asked, answer).await.0
    };
    assert_eq!(world.soon(asked).await.unwrap().element().unwrap().text(), "sad");
    assert!(matches!(world.event(&mut romeo).await, Event::Offline { next: Some(_), .. }));
    let mut resumed = false;
    let mut bodies = Vec::new();
    while bodies.len() < 2 {
        match world.event(&mut romeo).await {
            Event::Resumed => resumed = true,
            Event::Message(message) => bodies.push(message.body().unwrap().to_owned()),
            Event::Offline { next: Some(_), .. } => {}
            event => panic!("{event:?}"),
        }
    }
    assert_eq!((resumed, bodies), (true, vec!["1".to_owned(), "2".to_owned()]));
    assert_eq!(full(&romeo), romeo_at);
}

// XEP-0198 §4 [SM10], §5 [SM14]: a program is told of each message that its server has taken over, once, also where the network breaks before.
async fn the_server_has_taken_it<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let relay = Relay::to(world.at.port());
    let romeo = world.client("romeo").connect(format!("localhost:{}", relay.port)).tell_acknowledged();
    let mut romeo = world.soon(romeo.start()).await.unwrap();
    let mut sent = Vec::new();
    for number in 0..30 {
        let message = Message::chat("juliet@localhost".parse().unwrap()).body(number.to_string());
        sent.push(world.soon(romeo.send(message)).await.unwrap());
        if number == 20 {
            relay.cut();
        }
    }
    let (mut acknowledged, mut resumed) = (Vec::new(), false);
    while acknowledged.len() < sent.len() {
        match world.event(&mut romeo).await {
            Event::Acknowledged(id) => acknowledged.push(id),
            Event::Resumed => resumed = true,
            Event::Online(_) | Event::Offline { next: Some(_), .. } => {}
            event => panic!("{event:?}"),
        }
    }
    assert_eq!((resumed, acknowledged), (true, sent));
    // Who has not asked for it hears nothing, and may send without taking events.
    let mut quiet = world.online("romeo").await;
    let message = || Message::chat("juliet@localhost".parse().unwrap()).body("x");
    world.soon(quiet.send(message())).await.unwrap();
    let nobody = Message::chat("nobody@localhost".parse().unwrap()).body("x").id("lost");
    world.soon(quiet.send(nobody)).await.unwrap();
    let event = world.event(&mut quiet).await;
    assert!(matches!(event, Event::Undelivered(_)), "{event:?}");
}

// XEP-0352 1.0.0 §3.2, §5.2: as long as nobody looks presence waits, also on the next connection.
async fn nobody_looks<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let relay = Relay::to(world.at.port());
    let phone = world.client("romeo").connect(format!("localhost:{}", relay.port));
    let mut phone = world.soon(phone.start()).await.unwrap();
    let desk = world.online("romeo").await;
    let ping =
        || Iq::get(Element::new(Name::from_static("ping"), "urn:xmpp:ping")).to("localhost".parse().unwrap());
    let seen = |presence: &balcony::ReceivedPresence| presence.from() == Some(&full(&desk));
    // What is shown of the desk, up to the message.
    let shown = async |phone: &mut Client| {
        // The server has what was said before.
        world.soon(phone.request(ping())).await.unwrap();
        for status in ["1", "2", "3"] {
            world.soon(desk.send(Presence::available().status(status))).await.unwrap();
        }
        world.soon(desk.send(Message::chat(full(phone)).body("end"))).await.unwrap();
        let mut shown = Vec::new();
        loop {
            match world.soon(phone.next()).await.unwrap().expect("the client has been closed") {
                Event::Presence(presence) if seen(&presence) => {
                    shown.extend(presence.status().map(str::to_owned));
                }
                Event::Message(message) if message.body() == Some("end") => return shown,
                _ => {}
            }
        }
    };
    assert_eq!(shown(&mut phone).await, ["1", "2", "3"]);
    phone.set_active(false);
    assert_eq!(shown(&mut phone).await, ["3"]);
    relay.cut();
    while !matches!(world.event(&mut phone).await, Event::Resumed) {}
    assert_eq!(shown(&mut phone).await, ["3"]);
    phone.sender().set_active(true);
    assert_eq!(shown(&mut phone).await, ["1", "2", "3"]);
    // From the beginning, when it is shown what there is.
    let tablet = world.client("romeo").configure(|config| config.stream.active = false);
    let mut tablet = world.soon(tablet.start()).await.unwrap();
    assert_eq!(shown(&mut tablet).await, ["3", "3"]);
}

// XEP-0198 §5: a device that comes out of its sleep, whose link has died meanwhile, is back at once, whatever it would have waited otherwise.
async fn waking_up_goes_on_with_the_session<R: Runtime>(runtime: R) {
    let world = World::new(runtime);
    let relay = Relay::to(world.at.port());
    let hours = Backoff::new(Duration::from_secs(36_000), Duration::from_secs(36_000));
    let romeo = world.client("romeo").connect(format!("localhost:{}", relay.port)).backoff(hours.clone());
    let mut romeo = world.soon(romeo.start()).await.unwrap();
    let juliet = world.online("juliet").await;
    assert!(matches!(world.event(&mut romeo).await, Event::Online(_)));
    // So that the session can go on.
    world.soon(romeo.request(Iq::get(balcony::xep::ping::Ping.to_element()))).await.unwrap();
    let romeo_at = full(&romeo);
    relay.is_silent(true);
    world.soon(juliet.send(Message::chat(romeo_at.clone()).body("1"))).await.unwrap();
    romeo.wake();
    let Event::Offline { next: Some(next), .. } = world.event(&mut romeo).await else { panic!("online") };
    assert_eq!(next, Duration::ZERO);
    relay.is_silent(false);
    // What an attempt has sent meanwhile is lost: it must not wait for an answer.
    relay.cut();
    loop {
        match world.event(&mut romeo).await {
            Event::Resumed => break,
            // An attempt was made before the network was back.
            Event::Offline { .. } => romeo.wake(),
            event => panic!("{event:?}"),
        }
    }
    assert_eq!((world.message(&mut romeo).await.body(), full(&romeo)), (Some("1"), romeo_at));
    // One that waits for hours to connect does not wait any longer.
    drop(romeo);
    world.soon(world.server.shutdown()).await;
    let at = world.at.to_string();
    let mut romeo = world.client("romeo").connect(&at).backoff(hours).start_in_background().unwrap();
    loop {
        let Event::Offline { next: Some(next), .. } = world.event(&mut romeo).await else { panic!("online") };
        if next > Duration::from_secs(60) {
            break;
        }
    }
    let _server = World::serve(&world.runtime, &world.pem, world.at);
    romeo.wake();
    while let Event::Offline { .. } = world.event(&mut romeo).await {}
    assert!(romeo.jid().is_some());
}

// Whoever waits on another thread is not left waiting.
#[test]
fn the_end_of_the_runtime_is_the_end_of_its_clients() {
    let tokio = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let runtime = tokio();
    let (mut client, sender) = runtime.block_on(async {
        let world = World::new(balcony::DefaultRuntime::default());
        let client = world.online("romeo").await;
        let sender = client.sender();
        (client, sender)
    });
    // This one's task has never run.
    let enter = runtime.enter();
    let idle = Client::builder("romeo@localhost").password("r").dangerous_trust_anyone();
    let idle = idle.start_in_background().unwrap();
    drop(enter);
    drop(runtime);
    tokio().block_on(async {
        let end = async {
            while client.next().await.unwrap().is_some() {}
            assert!(sender.send(Message::chat("juliet@localhost".parse().unwrap())).await.is_err());
            idle.close().await.unwrap();
        };
        tokio::time::timeout(PATIENCE, end).await.expect("too slow");
    });
}

#[test]
fn errors_can_be_told_apart() {
    let error = StanzaError { kind: ErrorType::Wait, ..ErrorCondition::Forbidden.into() };
    let error = Error::Request(RequestError::Refused(error));
    let boxed: Box<dyn std::error::Error> = error.into();
    assert_eq!(format!("{boxed:?}"), "the request was refused: forbidden");
    assert!(boxed.source().is_some_and(|source| source.is::<StanzaError>()));
}

// What `?` takes to the `main` of a program, in whichever layer that works.
#[test]
fn errors_are_sentences_when_main_returns_them() {
    let errors: [Box<dyn std::error::Error>; 9] = [
        Box::new(balcony::OutboxError::Full),
        Box::new(balcony::PumpError::Overrun),
        Box::new(balcony::PumpError::Misuse(balcony::machine::ApiMisuse::NotOpen)),
        Box::new(balcony::ConnectError::NoTrust),
        Box::new(balcony::MachineSendError::Full),
        Box::new(balcony::connection::Error::from(balcony::stream::Error::Truncated)),
        Box::new(balcony::tls::TlsTrust::builder().roots_pem(b"x").err().unwrap()),
        Box::new(balcony::server::extension::Clash::TooMany("todo")),
        Box::new(Payload::from_bytes(b"<a").unwrap_err()),
    ];
    for error in errors {
        assert_eq!(format!("{error:?}"), error.to_string());
    }
}

macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod on_tokio { $(
            #[test]
            fn $name() {
                balcony::block_on(Box::pin(super::$name(balcony::DefaultRuntime::default())));
            }
        )+ }
        mod on_smol { $(
            #[test]
            fn $name() {
                futures_lite::future::block_on(Box::pin(super::$name(balcony::on_smol())));
            }
        )+ }
    };
}

on_both!(
    messages_and_replies,
    what_has_waited_says_since_when,
    requests,
    it_comes_back,
    waking_up_goes_on_with_the_session,
    a_session_survives_its_connection,
    the_server_has_taken_it,
    nobody_looks,
    what_is_of_no_use_fails_at_once,
    elements_as_types_of_others,
    dropping_it_ends_it,
    senders_are_for_other_tasks,
    extensions,
    pipes,
    unread_events_are_bounded,
    an_echo_gets_through_a_flood,
);
