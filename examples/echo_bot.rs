//! A bot on tokio that says what was said to it, for as long as it runs: it reconnects by itself.
#![forbid(unsafe_code)]

use core::error::Error;

use balcony_examples::{Args, Failure, args, chat, said};
use balcony_machine::{Random, Seed};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};
use balcony_tokio::{Backoff, Client, ConnectError, Event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args = args("Says what was said to it.", &[]);
    let (mut random, mut backoff) = (random()?, Backoff::default());
    loop {
        match serve(&args, &mut backoff).await {
            // Nobody can log in with this, now or later.
            Err(error) if error.downcast_ref().is_some_and(ConnectError::is_permanent) => {
                return Err(error.into());
            }
            Err(error) => eprintln!("{error}"),
            Ok(()) => eprintln!("the server has closed the stream"),
        }
        let wait = backoff.failed(&mut random);
        eprintln!("connecting again in {} s", wait.as_secs());
        tokio::time::sleep(wait).await;
    }
}

/// Connects, and answers until the connection ends.
async fn serve(args: &Args, backoff: &mut Backoff) -> Result<(), Box<dyn Error>> {
    let mut client = Client::connect(args.config.clone(), args.endpoint.clone()).await?;
    let begin = tokio::time::Instant::now();
    let end = answer(&mut client).await;
    backoff.lasted(begin.elapsed());
    end
}

async fn answer(client: &mut Client) -> Result<(), Box<dyn Error>> {
    eprintln!("{} is listening", client.jid());
    client.send(&Stanza::presence(PresenceType::Available)).await?;
    while let Some(event) = client.next().await? {
        let Event::Stanza(stanza) = event else { continue };
        // The other types expect no answer.
        if stanza.head.kind != Kind::Message(MessageType::Chat) {
            continue;
        }
        if let Some((from, text)) = said(&stanza) {
            client.send(&chat(from, &text)?).await?;
        }
    }
    Ok(())
}

fn random() -> Result<Random, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Seed::new(bytes).random())
}
