//! The scenario "resume": romeo's network is cut again and again while he and juliet write to each other.

use core::time::Duration;
use std::env;
use std::fs;

use balcony::Backoff;
use balcony::prelude::*;
use tokio::time::{interval, timeout};

use crate::people::Result;

/// How often each of them writes.
const PACE: Duration = Duration::from_millis(20);
/// So many messages to each may be under way.
const UNDER_WAY: usize = 30;
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody, and what has happened to them.
struct Person {
    client: Client,
    got: Vec<usize>,
    resumed: usize,
    begun: usize,
    tokens: usize,
}

impl Person {
    async fn open(account: &str, resource: &str, address: &str) -> Result<Person> {
        let client = Client::builder(format!("{account}/{resource}"))
            .password(env::var("INTEROP_PASSWORD")?)
            .connect(address)
            .trust_pem(&fs::read(env::var("SSL_CERT_FILE")?)?)
            // As often as the network is cut here, the times for people are too long.
            .backoff(Backoff::new(Duration::from_millis(100), Duration::from_millis(300)))
            .start_in_background()?;
        Ok(Person { client, got: Vec::new(), resumed: 0, begun: 0, tokens: 0 })
    }

    async fn take(&mut self) -> Result<()> {
        match self.client.next().await?.ok_or("the client has ended")? {
            Event::Message(message) => {
                self.got.extend(message.body().and_then(|body| body.parse::<usize>().ok()));
            }
            Event::Resumed => self.resumed += 1,
            Event::Online(_) => self.begun += 1,
            Event::Token(_) => self.tokens += 1,
            other => {
                eprintln!("{}: {other:?}", self.client.jid().map_or_else(String::new, |jid| jid.to_string()))
            }
        }
        Ok(())
    }

    /// All messages, once, in order.
    fn check(&self, name: &str, sent: usize) {
        if self.got.iter().copied().eq(0..sent) {
            println!("ok\t{name}\t{sent} messages");
        } else {
            let lost: Vec<usize> = (0..sent).filter(|number| !self.got.contains(number)).collect();
            let (count, first) = (lost.len(), lost.first());
            println!(
                "FAIL\t{name}\t{} of {sent} have come; {count} lost, the first {first:?}",
                self.got.len()
            );
        }
    }
}

/// Takes what comes until both have had enough.
async fn take(romeo: &mut Person, juliet: &mut Person, is_enough: impl Fn(&Person) -> bool) -> Result<()> {
    while !(is_enough(romeo) && is_enough(juliet)) {
        tokio::select! {
            taken = romeo.take() => taken?,
            taken = juliet.take() => taken?,
        }
    }
    Ok(())
}

/// How often the network has been cut so far.
fn cuts() -> Result<usize> {
    // While it is being written there is nothing.
    Ok(fs::read_to_string(env::var("INTEROP_COUNT")?)?.parse().unwrap_or(0))
}

/// Runs it. Each check is a line.
pub(crate) async fn run() -> Result<()> {
    let all: usize = env::var("INTEROP_CUTS")?.parse()?;
    let [romeo_jid, juliet_jid] = [env::var("INTEROP_ROMEO")?, env::var("INTEROP_JULIET")?];
    let mut juliet = Person::open(&juliet_jid, "balcony", &env::var("INTEROP_ADDRESS")?).await?;
    let mut romeo = Person::open(&romeo_jid, "train", &env::var("INTEROP_RELAY")?).await?;
    timeout(PATIENCE, take(&mut romeo, &mut juliet, |person| person.begun > 0)).await??;
    let (to_romeo, to_juliet): (Jid, Jid) = (romeo_jid.parse()?, juliet_jid.parse()?);
    let (mut pace, mut sent) = (interval(PACE), 0);
    let (to, from) = (romeo.client.sender(), juliet.client.sender());
    while cuts()? < all {
        tokio::select! {
            taken = romeo.take() => taken?,
            taken = juliet.take() => taken?,
            // A connection lasts for some ten thousand bytes: more than that under way would not get through any of them.
            _ = pace.tick(), if sent < romeo.got.len().min(juliet.got.len()) + UNDER_WAY => {
                let body = sent.to_string();
                for (sender, peer) in [(&to, &to_juliet), (&from, &to_romeo)] {
                    let (sender, message) = (sender.clone(), Message::chat(peer.clone()).body(&body));
                    tokio::spawn(async move { sender.send(message).await });
                }
                sent += 1;
            }
        }
    }
    // What has not come in time is told below.
    if let Ok(taken) =
        timeout(PATIENCE, take(&mut romeo, &mut juliet, |person| person.got.len() >= sent)).await
    {
        taken?;
    }
    let how = if romeo.tokens > 0 { "SASL 2, with a token (FAST)" } else { "with stream management" };
    println!("ok\tlogin\t{how}");
    match (romeo.begun, romeo.resumed) {
        (1, 1..) => println!("ok\tresumed\t{} times", romeo.resumed),
        (begun, resumed) => println!("FAIL\tresumed\t{begun} begun, {resumed} resumed"),
    }
    romeo.check("down", sent);
    juliet.check("up", sent);
    for person in [romeo, juliet] {
        person.client.close().await?;
    }
    println!("ok\tclose\t");
    Ok(())
}
