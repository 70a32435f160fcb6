//! A chat client on tokio: prints what others say, and sends what is typed.
#![forbid(unsafe_code)]

use balcony_examples::{Failure, args, said, typed};
use balcony_stanza::{PresenceType, Stanza};
use balcony_tokio::{Client, Event};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args = args("Chats in the terminal, on tokio. Type: juliet@example.com Good night!", &[]);
    let mut client = Client::connect(args.config, args.endpoint).await?;
    println!("You are {}", client.jid());
    client.send(&Stanza::presence(PresenceType::Available)).await?;

    let mut lines = BufReader::new(stdin()).lines();
    loop {
        // Both can be cancelled without losing anything.
        tokio::select! {
            event = client.next() => match event? {
                Some(Event::Stanza(stanza)) => {
                    if let Some((from, text)) = said(&stanza) {
                        println!("{from}: {text}");
                    }
                }
                Some(_) => {}
                None => return Ok(()),
            },
            line = lines.next_line() => match line?.as_deref().map(typed) {
                Some(Ok(message)) => client.send(&message).await?,
                Some(Err(error)) => eprintln!("{error}"),
                None => break,
            },
        }
    }
    client.send(&Stanza::presence(PresenceType::Unavailable)).await?;
    client.close().await?;
    Ok(())
}
