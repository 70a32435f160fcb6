//! A bot that says what was said to it. It connects again by itself, and tells who it is.

use balcony::prelude::*;

fn main() -> Result<(), Error> {
    // Who it is, and its password, are in the environment: BALCONY_JID and BALCONY_PASSWORD.
    let bot = Client::from_env().with(Discovery::new("Echo bot", "1.0"));
    block_on(async {
        let mut client = bot.start().await?;
        while let Some(event) = client.next().await? {
            if let Event::Message(message) = event
                && let Some(body) = message.body()
            {
                client.send(message.reply().body(body)).await?;
            }
        }
        Ok(())
    })
}
