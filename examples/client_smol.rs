//! Tells somebody something, on smol, and waits until it has come: XEP-0184.
//!
//! `cargo run -p balcony-examples --example client_smol -- juliet@example.com 'Good night!'`, with the account in the environment:
//! BALCONY_JID and BALCONY_PASSWORD.
#![forbid(unsafe_code)]

use std::env;

use balcony::prelude::*;
use balcony::{ClientBuilder, Delivered};

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [to, text] = &args[..] else { return Err("an address and a text are wanted".into()) };
    smol::block_on(async {
        // Without the feature `tokio` it would be `Client::from_env()`.
        let builder = ClientBuilder::from_env_on(balcony::on_smol()).with(Receipts::for_nobody());
        let mut client = builder.start().await?;
        let id = client.send(Message::chat(to.parse()?).body(text).request_receipt()).await?;
        while let Some(event) = client.next().await? {
            match event {
                Event::Note(note)
                    if note.get::<Delivered>().is_some_and(|delivered| *delivered.id == *id) =>
                {
                    println!("it has come");
                    break;
                }
                Event::Undelivered(message) => return Err(message.error.into()),
                _ => {}
            }
        }
        Ok(client.close().await?)
    })
}
