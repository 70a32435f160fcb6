//! A server in a program of your own: on tokio, with accounts in a folder, and with an extension by which users say how they feel. Those
//! who see a user's presence may ask; to others it is as if there were no such user. See `docs/extensions.md`.
//!
//! It tries itself, with clients on real sockets, and what it keeps is there after a restart:
//! `cargo run -p balcony-examples --example server_tokio -- FOLDER`
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::{Arc, mpsc};

use balcony::prelude::*;
use balcony::server::ServerHandle;
use balcony::server::extension::{
    Access, Addressee, Context, Damaged, Documents, Edit, Extension, Extensions, Hold, Registry, Reply,
    Request,
};
use balcony_store::{Request as StoreRequest, Store, StoreConfig, Worker};

type Failure = Box<dyn core::error::Error>;

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
        return ErrorCondition::NotAcceptable.into();
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
    let extensions = Extensions::standard().with(Mood(200)).build()?;
    // The store is told what the extensions keep: it does not open one in which a later version of them has written.
    let kept = StoreConfig { collections: extensions.collections().into(), ..StoreConfig::default() };
    let store = Store::open_with(folder, kept)?;
    let secret = store.secret();
    let worker = Arc::new(Worker::start(store));
    for name in ["juliet", "romeo", "tybalt"] {
        let (account, password) =
            (format!("{name}@localhost").parse()?, balcony::Secret::new(name.to_owned()));
        let request = StoreRequest::Create { account, password, replace: false };
        let (done, wait) = mpsc::channel();
        worker.submit(request, Box::new(move |reply| done.send(reply).unwrap_or_default()))?;
        wait.recv()?; // It is made, or was there before.
    }
    let server = Server::builder("localhost")
        .configure(|config| (config.extensions, config.decoy) = (extensions, secret))
        .dangerous_without_tls() // Only this machine can connect. Any other server needs a certificate.
        .answers(move |ask, reply| worker.handle(ask, reply))
        .listen("127.0.0.1:0".parse()?);
    Ok(server.start()?)
}

async fn connect(server: &ServerHandle, name: &str) -> Result<Client, Failure> {
    let to = server.local_addrs()[0].to_string();
    let client =
        Client::builder(format!("{name}@localhost/x")).password(name).connect(&to).dangerous_without_tls();
    Ok(client.start().await?)
}

async fn ask(client: &Client, iq: Iq, of: &str) -> Result<String, Failure> {
    let answer = match client.request(iq.to(of.parse()?)).await {
        Ok(response) => response.element().map(|mood| mood.text().into_owned()).unwrap_or_default(),
        Err(Error::Request(RequestError::Refused(error))) => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    println!("{} asks {of}: {answer}", client.jid().ok_or("offline")?);
    Ok(answer)
}

/// Waits until somebody wants to see the presence of this client's user, and lets them.
async fn approve(client: &mut Client) -> Result<(), Failure> {
    while let Some(event) = client.next().await? {
        if let Event::Presence(presence) = event
            && presence.is_subscription_request()
        {
            client.send(presence.approve()).await?;
            return Ok(());
        }
    }
    Err("the client has been closed".into())
}

fn main() -> Result<(), Failure> {
    block_on(run(std::env::args().nth(1).ok_or("name a folder for the accounts")?.as_ref()))
}

async fn run(folder: &Path) -> Result<(), Failure> {
    let get = || Iq::get(mood(""));
    let server = start(folder)?;
    let mut juliet = connect(&server, "juliet").await?;
    let (romeo, tybalt) = (connect(&server, "romeo").await?, connect(&server, "tybalt").await?);
    ask(&juliet, Iq::set(mood("amorous")), "juliet@localhost").await?;
    let long = Iq::set(mood(&"sad ".repeat(51)));
    assert_eq!(ask(&juliet, long, "juliet@localhost").await?, "not-acceptable");
    if ask(&romeo, get(), "juliet@localhost").await? == "service-unavailable" {
        romeo.send(Stanza::presence(PresenceType::Subscribe).with_to("juliet@localhost".parse()?)).await?;
        approve(&mut juliet).await?;
        // What she asks next is answered when that is done.
        ask(&juliet, get(), "juliet@localhost").await?;
    }
    assert_eq!(ask(&romeo, get(), "juliet@localhost").await?, "amorous");
    for of in ["juliet@localhost", "nobody@localhost"] {
        assert_eq!(ask(&tybalt, get(), of).await?, "service-unavailable");
    }
    server.shutdown().await;

    let server = start(folder)?;
    let romeo = connect(&server, "romeo").await?;
    assert_eq!(ask(&romeo, get(), "juliet@localhost").await?, "amorous");
    server.shutdown().await;
    Ok(())
}
