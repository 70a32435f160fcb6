//! A server in a program of your own: on tokio, with accounts in a folder, and with an extension by which users say how they feel. Those
//! who see a user's presence may ask; to others it is as if there were no such user. See `docs/extensions.md`.
//!
//! It tries itself, with clients on real sockets, and what it keeps is there after a restart:
//! `cargo run -p balcony-examples --example server_tokio -- FOLDER`
#![forbid(unsafe_code)]

use core::time::Duration;
use std::path::Path;
use std::sync::{Arc, mpsc};

use balcony_client::RequestKind::{self, Get, Set};
use balcony_examples::Failure;
use balcony_machine::Secret;
use balcony_router::extension::{
    Access, Addressee, Context, Damaged, Documents, Edit, Extension, Extensions, Hold, Registry, Reply,
    Request,
};
use balcony_stanza::ErrorCondition::NotAcceptable;
use balcony_stanza::{Kind, PresenceType, Stanza};
use balcony_store::{Request as StoreRequest, Store, StoreConfig, Worker};
use balcony_tokio::{
    Client, ClientConfig, Endpoint, Event, RequestOutcome, Server, ServerConfig, ServerHandle, TlsPolicy,
    Transport,
};
use balcony_xml::{Element, Name};

const NS: &str = "urn:example:mood";
const MOODS: &str = "mood-texts";

/// With a text of so many bytes, at most.
struct Mood(usize);

impl Extension for Mood {
    const NAME: &'static str = "mood";
    type Account = String; // Empty: the user does not say.
    type Client = ();

    fn load(&self, documents: &Documents<'_>) -> Result<String, Damaged> {
        let kept = documents.of(MOODS).next(); // There is one at most, without a key.
        let text = kept.map(|(_, content)| core::str::from_utf8(&content.bytes));
        text.transpose().map(|text| text.unwrap_or_default().to_owned()).map_err(|_| Damaged)
    }

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Account, NS);
        registry.documents(MOODS, 1, true);
        registry.get(Access::Subscribers, "mood", NS, |_, context, _| mood(context.state()).into());
        registry.set("mood", NS, set);
    }
}

fn mood(text: &str) -> Element {
    Element::new(Name::from_static("mood"), NS).text(text)
}

/// `<mood xmlns='urn:example:mood'>amorous</mood>`
fn set(most: &Mood, context: &mut Context<'_, '_, Mood>, request: &Request<'_>) -> Reply {
    let text = request.element.text().into_owned();
    if text.len() > most.0 {
        return NotAcceptable.into();
    }
    let edit =
        if text.is_empty() { Edit::remove(MOODS, "") } else { Edit::put(MOODS, "", 1, text.as_bytes()) };
    context.save(vec![edit], Hold::Requests, |_, context| {
        // It is durable now.
        if let Some(state) = context.state_mut() {
            *state = text;
        }
        Reply::DONE
    })
}

fn start(folder: &Path) -> Result<ServerHandle, Failure> {
    let extensions = Extensions::standard().with(Mood(200)).build();
    // The store is told what the extensions keep: it does not open one in which a later version of them has written.
    let kept = StoreConfig { collections: extensions.collections().into(), ..StoreConfig::default() };
    let store = Store::open_with(folder, kept)?;
    let mut config = ServerConfig::new(vec!["localhost".parse()?], store.secret());
    config.extensions = extensions;
    config.tls = TlsPolicy::None; // Only this machine can connect. Any other server needs a certificate.
    let worker = Arc::new(Worker::start(store));
    for name in ["juliet", "romeo", "tybalt"] {
        let (account, password) = (format!("{name}@localhost").parse()?, Secret::new(name.to_owned()));
        let request = StoreRequest::Create { account, password, replace: false };
        let (done, wait) = mpsc::channel();
        worker.submit(request, Box::new(move |reply| done.send(reply).unwrap_or_default()))?;
        wait.recv()?; // It is made, or was there before.
    }
    let server = Server::builder(config, move |ask, reply| worker.handle(ask, reply));
    Ok(server.listen("127.0.0.1:0".parse()?, Transport::Stream)?.start())
}

async fn connect(server: &ServerHandle, name: &str) -> Result<Client, Failure> {
    let mut config = ClientConfig::new(format!("{name}@localhost").parse()?, Secret::new(name.to_owned()));
    config.stream.tls = TlsPolicy::None;
    let to = server.local_addrs()[0];
    let endpoint = Endpoint::Address { host: to.ip().to_string(), port: to.port(), direct_tls: false };
    let mut client = Client::connect(config, endpoint).await?;
    client.send(&Stanza::presence(PresenceType::Available)).await?;
    Ok(client)
}

async fn ask(client: &mut Client, kind: RequestKind, of: &str, text: &str) -> Result<String, Failure> {
    let payload = mood(text).into();
    let answer = match client.request(kind, Some(of.parse()?), payload, Duration::from_secs(10)).await? {
        RequestOutcome::Result(stanza) => String::from_utf8_lossy(stanza.payload.as_bytes()).into_owned(),
        RequestOutcome::Error(error) => format!("{:?}", error.condition),
        RequestOutcome::TimedOut | RequestOutcome::Lost => "nothing".to_owned(),
    };
    println!("{} asks {of} ({kind:?} {text:?}): {answer}", client.jid());
    Ok(answer)
}

/// Waits until somebody wants to see the presence of this client's user.
async fn wait_for_request(client: &mut Client) -> Result<(), Failure> {
    while let Some(event) = client.next().await? {
        if matches!(event, Event::Stanza(stanza) if stanza.head.kind == Kind::Presence(PresenceType::Subscribe))
        {
            return Ok(());
        }
    }
    Err("the server has closed the stream".into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let folder = std::env::args().nth(1).ok_or("name a folder for the accounts")?;
    let server = start(folder.as_ref())?;
    let mut juliet = connect(&server, "juliet").await?;
    let mut romeo = connect(&server, "romeo").await?;
    let mut tybalt = connect(&server, "tybalt").await?;
    ask(&mut juliet, Set, "juliet@localhost", "amorous").await?;
    assert_eq!(ask(&mut juliet, Set, "juliet@localhost", &"sad ".repeat(51)).await?, "NotAcceptable");
    if ask(&mut romeo, Get, "juliet@localhost", "").await? == "ServiceUnavailable" {
        romeo.send(&Stanza::presence(PresenceType::Subscribe).to("juliet@localhost".parse()?)).await?;
        wait_for_request(&mut juliet).await?;
        juliet.send(&Stanza::presence(PresenceType::Subscribed).to("romeo@localhost".parse()?)).await?;
        // What she asks next is answered when that is done.
        ask(&mut juliet, Get, "juliet@localhost", "").await?;
    }
    assert!(ask(&mut romeo, Get, "juliet@localhost", "").await?.contains(">amorous<"));
    for of in ["juliet@localhost", "nobody@localhost"] {
        assert_eq!(ask(&mut tybalt, Get, of, "").await?, "ServiceUnavailable");
    }
    server.shutdown().await;

    let server = start(folder.as_ref())?;
    let mut romeo = connect(&server, "romeo").await?;
    assert!(ask(&mut romeo, Get, "juliet@localhost", "").await?.contains(">amorous<"));
    server.shutdown().await;
    Ok(())
}
