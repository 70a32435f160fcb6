//! A client on an async runtime: the front door's, the same for all of them.

use async_channel::Receiver;
use balcony::runtime::Runtime;
use balcony::{Client, ClientBuilder, Discovery, Error, Event, Presence};
use futures_lite::future::or;

use crate::Failure;
use crate::party::{figures, tell};
use crate::words::{self, Command, Teller};

enum Next {
    Event(Result<Option<Event>, Error>),
    /// `None`: there will be no other one.
    Line(Option<String>),
}

/// Does what it is told by a client that `begin` makes.
pub(crate) async fn play<R: Runtime>(
    begin: impl Fn(&str) -> ClientBuilder<R>,
    lines: Receiver<String>,
) -> Result<(), Failure> {
    let (mut client, mut teller) = (None::<Client>, Teller::default());
    loop {
        let line = async { Next::Line(lines.recv().await.ok()) };
        let next = match &mut client {
            Some(client) => or(async { Next::Event(client.next().await) }, line).await,
            None => line.await,
        };
        let line = match next {
            Next::Event(Ok(Some(event))) => {
                teller.tell(&event).into_iter().for_each(tell);
                continue;
            }
            Next::Event(Ok(None)) => return Err("a client has ended by itself".into()),
            Next::Event(Err(why)) => {
                tell(format_args!("ended: {why}"));
                client = None;
                continue;
            }
            Next::Line(Some(line)) => line,
            Next::Line(None) => return Ok(()),
        };
        match (words::read(&line), &client) {
            (Some(Command::Connect { address, priority, password, place, trust }), None) => {
                let builder = begin(address).password(password).connect(place);
                let builder = builder.presence(Presence::available().priority(priority));
                let builder = builder.with(Discovery::new("Suite", "1"));
                let builder = match trust {
                    "-" => builder.dangerous_without_tls(),
                    file => builder.trust_pem(&std::fs::read(file)?),
                };
                match builder.start().await {
                    Ok(online) => client = Some(online),
                    Err(why) => tell(format_args!("ended: {why}")),
                }
            }
            (Some(Command::Say { kind, to, text }), Some(client)) => {
                let message = words::message(kind, to, text).ok_or("nobody to write to")?;
                client.send(message).await?;
            }
            (Some(Command::Ask { of, what }), Some(client)) => {
                let outcome = client.request(words::request(of, what).ok_or("nobody to ask")?).await;
                match outcome {
                    Ok(_) => tell(format_args!("answer of {of}")),
                    Err(Error::Request(error)) => tell(words::outcome(of, &Err(error))),
                    Err(error) => tell(format_args!("no answer of {of}: {error}")),
                }
            }
            (Some(Command::Wake), Some(client)) => client.wake(),
            (Some(Command::Close), Some(_)) => {
                if let Some(client) = client.take() {
                    client.close().await?;
                }
                tell("closed");
            }
            (Some(Command::Figures), _) => figures(),
            _ => return Err(format!("this cannot be done now: {line}").into()),
        }
    }
}
