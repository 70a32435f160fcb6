//! A chat client on tokio: prints what others say, and sends what is typed: `juliet@example.com Good night!`
//!
//! The account is in the environment: BALCONY_JID and BALCONY_PASSWORD.
#![forbid(unsafe_code)]

use balcony::prelude::*;
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let mut client =
        Client::from_env().with(Discovery::new("Chat", "1.0").identity("client", "console")).start().await?;
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        // Both can be cancelled without losing anything.
        tokio::select! {
            event = client.next() => match event? {
                Some(Event::Online(jid)) => println!("You are {jid}"),
                Some(Event::Offline { why, next: Some(wait) }) => println!("{why}; again in {} s", wait.as_secs()),
                Some(Event::Message(message)) => {
                    if let (Some(from), Some(body)) = (message.from(), message.body()) {
                        println!("{from}: {body}");
                    }
                }
                Some(Event::Undelivered(message)) => println!("it could not be delivered: {}", message.error),
                Some(_) => {}
                None => return Ok(()),
            },
            line = lines.next_line() => match line?.as_deref().map(|line| line.split_once(' ')) {
                Some(Some((to, text))) => match to.parse() {
                    Ok(to) => drop(client.send(Message::chat(to).body(text)).await?),
                    Err(error) => println!("{to} is no address: {error}"),
                },
                Some(None) => println!("type an address, a space and a text"),
                None => break,
            },
        }
    }
    Ok(client.close().await?)
}
