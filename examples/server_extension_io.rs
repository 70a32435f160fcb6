//! An extension of a server whose answers come later, from IO of its own: a dictionary in another program, which is asked over TCP. The
//! extension hands over a question ([`Context::external`]) and goes on with the answer. What is between is the server's owner's: here a
//! task with a socket. The server waits for none of it, and whoever asks is told if it fails.
//!
//! `cargo run -p balcony-examples --example server_extension_io`
#![forbid(unsafe_code)]

use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use balcony::prelude::*;
use balcony::server::extension::{
    Access, Addressee, Context, Extension, Extensions, Registry, Reply, Request,
};
use balcony::server::{Transport, pipe};
use balcony::spawn;
use balcony_examples::Failure;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const NS: &str = "urn:example:dictionary";

struct Dictionary;

impl Extension for Dictionary {
    const NAME: &'static str = "dictionary";
    type Account = (); // It keeps nothing.
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Account, NS);
        registry.get(Access::Owner, "word", NS, word);
    }
}

/// `<word xmlns='urn:example:dictionary'>wherefore</word>`
fn word(_: &Dictionary, context: &mut Context<'_, '_, Dictionary>, request: &Request<'_>) -> Reply {
    let word = request.element.text();
    if word.is_empty() || word.contains('\n') {
        return ErrorCondition::BadRequest.into();
    }
    context.external(word.as_bytes(), |_, _, answer| match core::str::from_utf8(&answer) {
        Ok("") | Err(_) => ErrorCondition::ItemNotFound.into(),
        Ok(meaning) => Element::new(Name::from_static("meaning"), NS).text(meaning).into(),
    })
}

/// Asks the dictionary: a line there, and back what it means, of which no more than this is read.
async fn look_up(dictionary: SocketAddr, word: &[u8]) -> io::Result<Vec<u8>> {
    let (mut socket, mut meaning) = (TcpStream::connect(dictionary).await?, Vec::new());
    socket.write_all(&[word, b"\n"].concat()).await?;
    socket.take(4_096).read_to_end(&mut meaning).await?;
    Ok(meaning)
}

fn main() -> Result<(), Failure> {
    block_on(run())
}

async fn run() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let dictionary = listener.local_addr()?;
    spawn(serve(listener));
    let server = Server::builder("localhost")
        .accounts(MemoryAccounts::new().with("juliet@localhost", "j")?)
        .configure(|config| {
            config.extensions =
                Extensions::standard().with(Dictionary).build().expect("nothing is there twice");
        })
        .external(Dictionary::NAME, move |_account, question, reply| {
            // If it takes too long, `reply` is dropped, and the request fails.
            let answer = async move {
                match look_up(dictionary, &question).await {
                    Ok(meaning) => reply.answer(meaning),
                    Err(_) => reply.refuse(),
                }
            };
            spawn(async { timeout(Duration::from_secs(1), answer).await.unwrap_or_default() });
        })
        .dangerous_without_tls()
        .start()?;
    let (ours, theirs) = pipe();
    server.connect(theirs, "memory", Transport::Stream);
    let client = Client::builder("juliet@localhost/balcony").password("j").dangerous_without_tls();
    let client = client.over(ours).await?;
    for (word, expected) in [
        ("wherefore", "why"),
        ("thou", "item-not-found"),
        ("fire", "internal-server-error"),
        ("", "bad-request"),
    ] {
        let answer =
            match client.request(Iq::get(Element::new(Name::from_static("word"), NS).text(word))).await {
                Ok(response) => response.element().ok_or("no answer")?.text().into_owned(),
                Err(Error::Request(RequestError::Refused(error))) => error.condition.to_string(),
                Err(error) => return Err(error.into()),
            };
        println!("{word}: {answer}");
        assert_eq!(answer, expected);
    }
    server.shutdown().await;
    Ok(())
}

/// The other program. It says nothing about fire, and does not hang up either.
async fn serve(dictionary: TcpListener) {
    let mut burning = Vec::new();
    while let Ok((socket, _)) = dictionary.accept().await {
        let (mut socket, mut word) = (BufReader::new(socket), String::new());
        match socket.read_line(&mut word).await.map(|_| word.trim_end()) {
            Ok("wherefore") => socket.write_all(b"why").await.unwrap_or_default(),
            Ok("fire") => burning.push(socket),
            _ => {}
        }
    }
}
