//! Components that are made with the crate `balcony`, at the real server (XEP-0114).

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use balcony::prelude::*;
use balcony::{Detached, IqType, Kind, Undelivered};

use crate::world::{PASSWORD, Server, World, free_port};

/// A server with two components, and where they attach.
struct Attached {
    world: World,
    place: String,
    server: Option<Server>,
}

impl Attached {
    fn new() -> Attached {
        let (world, place) = (World::new(), format!("127.0.0.1:{}", free_port()));
        let config = format!(
            "listen = '127.0.0.1:0'\n[components]\nlisten = '{place}'\n[components.secrets]\n'echo.localhost' = 'pencil'\n\
             'other.localhost' = 'rubber'\n"
        );
        let path = world.write("balcony.toml", &config);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut attached = Attached { world, place, server: None };
        attached.start();
        attached
    }

    fn start(&mut self) {
        self.server = Some(Server::start(self.world.start(&["serve", "--config", "balcony.toml"])));
    }

    async fn component(&self, domain: &str, secret: &str) -> Result<Component, Error> {
        Component::builder(domain).secret(secret).connect(&self.place).start().await
    }
}

/// What happens next, in time.
async fn next(component: &mut Component) -> Result<Option<ComponentEvent>, Error> {
    tokio::time::timeout(Duration::from_secs(60), component.next()).await.unwrap()
}

async fn online(component: &mut Component) {
    assert!(matches!(next(component).await.unwrap(), Some(ComponentEvent::Online)));
}

fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}

/// What comes next that is no request: `balcony send` asks whether what it has sent has come, and refused, it has.
async fn next_other(component: &mut Component) -> ComponentEvent {
    loop {
        match next(component).await.unwrap().unwrap() {
            ComponentEvent::Request(_) => {}
            event => return event,
        }
    }
}

// What is said to an address of the component comes back from that address, also after the server was away.
#[test]
fn a_component_echoes_and_comes_back() {
    let mut attached = Attached::new();
    attached.world.account("romeo");
    // Its task goes on while this thread waits for programs.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut echo = attached.component("echo.localhost", "pencil").await.unwrap();
        online(&mut echo).await;
        for round in ["first", "second"] {
            let server = attached.server.as_ref().unwrap();
            let listener = attached.world.listen(server, "romeo@localhost/garden", &[]);
            let send = ["send", "--as", "romeo@localhost/quill", "--connect", &server.address];
            let sending =
                attached.world.start_as(PASSWORD, &[&send[..], &["wall@echo.localhost", round]].concat());
            let ComponentEvent::Message(message) = next_other(&mut echo).await else {
                panic!("a message is wanted")
            };
            assert_eq!(message.to(), Some(&jid("wall@echo.localhost")));
            let reply = echo.reply(&message).to(jid("romeo@localhost/garden"));
            echo.send(reply.body(message.body().unwrap())).await.unwrap();
            // What the listener before had not acknowledged may come again first (XEP-0198).
            while !listener.stdout().ends_with(&format!("wall@echo.localhost: {round}")) {}
            drop((listener, sending));
            if round == "first" {
                attached.server.take().unwrap().stop();
                let offline = next_other(&mut echo).await;
                assert!(matches!(offline, ComponentEvent::Offline { next: Some(_), .. }), "{offline:?}");
                assert!(!echo.is_online());
                attached.start();
                while !matches!(next_other(&mut echo).await, ComponentEvent::Online) {}
            }
        }
        echo.close().await;
    });
}

// Requests go both ways, each from the address that it says; who drops one refuses it.
#[test]
fn requests_among_components() {
    let attached = Attached::new();
    block_on(async {
        let mut echo = attached.component("echo.localhost", "pencil").await.unwrap();
        let mut other = attached.component("other.localhost", "rubber").await.unwrap();
        online(&mut echo).await;
        online(&mut other).await;
        let ping = || Iq::get(balcony::xep::ping::Ping.to_element());
        let answering = async {
            for answers in [true, false] {
                let Some(ComponentEvent::Request(request)) = next(&mut other).await.unwrap() else {
                    panic!("a request is wanted")
                };
                assert_eq!(request.from(), Some(&jid("wall@echo.localhost")));
                assert_eq!(request.stanza().head.to, Some(jid("door@other.localhost")));
                if answers {
                    request.reply(Payload::EMPTY);
                }
            }
        };
        let asking = async {
            let ask =
                || echo.request_from(jid("wall@echo.localhost"), ping().to(jid("door@other.localhost")));
            let answer = ask().await.unwrap();
            assert_eq!(answer.stanza().head.kind, Kind::Iq(IqType::Result));
            let Err(Error::Request(RequestError::Refused(error))) = ask().await else {
                panic!("it was dropped")
            };
            assert_eq!(error.condition, ErrorCondition::ServiceUnavailable);
        };
        tokio::join!(answering, asking);
        // The server answers, too, and time runs out where nobody does.
        assert!(echo.request(ping().to(jid("localhost"))).await.is_ok());
        let late = ping().to(jid("other.localhost")).timeout(Duration::from_millis(50));
        assert_eq!(echo.request(late).await.unwrap_err(), Error::Request(RequestError::TimedOut));
        // It speaks for its domain and for no other.
        let forged = Message::chat(jid("other.localhost")).from(jid("localhost")).body("I am the server");
        assert!(matches!(echo.send(forged).await, Err(Error::Config(_))));

        // What can't be delivered comes back.
        other.close().await;
        echo.send(Message::chat(jid("other.localhost")).id("m1").body("gone?")).await.unwrap();
        let Some(ComponentEvent::Undelivered(undelivered)) = next(&mut echo).await.unwrap() else {
            panic!("it is away")
        };
        let Undelivered { stanza, .. } = &*undelivered;
        assert_eq!(stanza.head.id.as_deref(), Some("m1"));
    });
}

// A wrong secret is the end, and so is another component that takes the place (XEP-0114 has no resources).
#[test]
fn a_component_that_is_not_wanted() {
    let attached = Attached::new();
    block_on(async {
        let wrong = attached.component("echo.localhost", "pen").await.unwrap_err();
        assert!(wrong.to_string().contains("does not take the secret"), "{wrong}");
        let unknown = attached.component("nobody.localhost", "pen").await.unwrap_err();
        assert!(matches!(unknown, Error::Detached(why) if why.is_permanent()));
        assert!(matches!(attached.component("a@echo.localhost", "pen").await, Err(Error::Config(_))));

        let mut first = attached.component("echo.localhost", "pencil").await.unwrap();
        online(&mut first).await;
        let mut second = attached.component("echo.localhost", "pencil").await.unwrap();
        online(&mut second).await;
        assert!(matches!(next(&mut first).await.unwrap(), Some(ComponentEvent::Offline { next: None, .. })));
        let Err(Error::Detached(why)) = next(&mut first).await else { panic!("it was replaced") };
        assert!(matches!(&*why, Detached::Ended(_)), "{why}");
        assert!(second.is_online());
    });
}

// Nobody is there yet: it waits, and ends when it is dropped.
#[test]
fn a_component_that_waits_for_its_server() {
    let place = format!("127.0.0.1:{}", free_port());
    block_on(async {
        let start = Component::builder("echo.localhost").secret("pencil").connect(&place).start();
        assert!(tokio::time::timeout(Duration::from_millis(300), start).await.is_err());
        let nonsense = Component::builder("echo.localhost").secret("pencil").connect("a b").start().await;
        assert!(matches!(nonsense, Err(Error::Config(_))));
    });
}
