//! The chat client of `client_tokio` on async-std.
#![forbid(unsafe_code)]

use std::io;

use async_std::io::{BufReader, prelude::BufReadExt as _, stdin};
use async_std::stream::StreamExt as _;
use balcony_async_std::{Client, Event};
use balcony_examples::{Failure, args, said, typed};
use balcony_stanza::{PresenceType, Stanza};
use futures_lite::future::or;

enum Either {
    Event(Option<Event>),
    Line(Option<io::Result<String>>),
}

fn main() -> Result<(), Failure> {
    let args = args("Chats in the terminal, on async-std. Type: juliet@example.com Good night!", &[]);
    async_std::task::block_on(async {
        let mut client = Client::connect(args.config, args.endpoint).await?;
        println!("You are {}", client.jid());
        client.send(&Stanza::presence(PresenceType::Available)).await?;

        let mut lines = BufReader::new(stdin()).lines();
        loop {
            // Both can be cancelled without losing anything.
            let event = async { Ok::<_, Failure>(Either::Event(client.next().await?)) };
            let line = async { Ok(Either::Line(lines.next().await)) };
            match or(event, line).await? {
                Either::Event(Some(Event::Stanza(stanza))) => {
                    if let Some((from, text)) = said(&stanza) {
                        println!("{from}: {text}");
                    }
                }
                Either::Event(Some(_)) => {}
                Either::Event(None) => return Ok(()),
                Either::Line(Some(line)) => match typed(&line?) {
                    Ok(message) => client.send(&message).await?,
                    Err(error) => eprintln!("{error}"),
                },
                Either::Line(None) => break,
            }
        }
        client.send(&Stanza::presence(PresenceType::Unavailable)).await?;
        client.close().await?;
        Ok(())
    })
}
