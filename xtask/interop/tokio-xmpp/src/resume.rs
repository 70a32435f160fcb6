//! The scenario "resume": romeo's network is cut again and again while he and juliet write to each other.

use std::env;
use std::fs;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, interval, timeout};
use tokio_xmpp::Stanza;
use tokio_xmpp::connect::{DnsConfig, StartTlsServerConnector};
use tokio_xmpp::jid::Jid;
use tokio_xmpp::parsers::message::{Lang, Message, MessageType};
use tokio_xmpp::parsers::presence::{Presence, Type};
use tokio_xmpp::stanzastream::{Event, StanzaStream, StreamEvent};
use tokio_xmpp::xmlstream::Timeouts;

use crate::Result;
use crate::client::{Settings, log_in};

/// How often each of them writes.
const PACE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody, and what has happened to them.
struct Person {
    stream: StanzaStream,
    got: Vec<usize>,
    resumed: usize,
    begun: usize,
}

impl Person {
    fn open(account: &str, resource: &str, address: &str, password: &str) -> Result<Person> {
        let connector = StartTlsServerConnector(DnsConfig::addr(address));
        let jid = Jid::new(&format!("{account}/{resource}"))?;
        let stream = StanzaStream::new_c2s(connector, jid, password.into(), Timeouts::default(), 1024);
        Ok(Person { stream, got: Vec::new(), resumed: 0, begun: 0 })
    }

    async fn take(&mut self) -> Result<()> {
        match self.stream.next().await.ok_or("the stream has ended")? {
            Event::Stanza(Stanza::Message(message)) => {
                self.got.extend(message.bodies.values().filter_map(|body| body.parse::<usize>().ok()));
            }
            Event::Stanza(_) => {}
            Event::Stream(StreamEvent::Resumed) => self.resumed += 1,
            Event::Stream(StreamEvent::Reset { .. }) => {
                self.begun += 1;
                self.stream.send(Box::new(Presence::new(Type::None).into())).await;
            }
            Event::Stream(StreamEvent::Suspended) => {}
        }
        Ok(())
    }

    async fn say(&self, to: &Jid, number: usize) {
        let body = number.to_string();
        let message = Message::new_with_type(MessageType::Chat, Some(to.clone()));
        self.stream.send(Box::new(message.with_body(Lang::new(), body).into())).await;
    }

    /// All messages, once, in order.
    fn check(&self, name: &str, sent: usize) {
        if self.got.iter().copied().eq(0..sent) {
            return println!("ok\t{name}\t{sent} messages");
        }
        let lost: Vec<usize> = (0..sent).filter(|number| !self.got.contains(number)).collect();
        let (count, first) = (lost.len(), lost.first());
        println!("FAIL\t{name}\t{} of {sent} have come; {count} lost, the first {first:?}", self.got.len());
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
pub async fn run() -> Result<()> {
    let settings = Settings::from_environment()?;
    let all: usize = env::var("INTEROP_CUTS")?.parse()?;
    let [romeo_jid, juliet_jid] = [env::var("INTEROP_ROMEO")?, env::var("INTEROP_JULIET")?];
    // The stream hides that it can't log in.
    let user = juliet_jid.split('@').next().unwrap_or_default();
    if let Err(error) = log_in(settings.connector(), &settings, user).await {
        println!("FAIL\tlogin\t{error}");
        return Ok(());
    }
    let mut juliet = Person::open(&juliet_jid, "balcony", &settings.address, &settings.password)?;
    let mut romeo = Person::open(&romeo_jid, "train", &env::var("INTEROP_RELAY")?, &settings.password)?;
    timeout(PATIENCE, take(&mut romeo, &mut juliet, |person| person.begun > 0)).await??;
    println!("ok\tlogin\twith stream management");
    let (to_romeo, to_juliet) = (Jid::new(&romeo_jid)?, Jid::new(&juliet_jid)?);
    let (mut pace, mut sent, end) = (interval(PACE), 0, Instant::now() + 5 * PATIENCE);
    while cuts()? < all && Instant::now() < end {
        tokio::select! {
            taken = romeo.take() => taken?,
            taken = juliet.take() => taken?,
            _ = pace.tick() => {
                romeo.say(&to_juliet, sent).await;
                juliet.say(&to_romeo, sent).await;
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
    match (romeo.begun, romeo.resumed) {
        (1, 1..) => println!("ok\tresumed\t{} times", romeo.resumed),
        (begun, resumed) => println!("FAIL\tresumed\t{begun} begun, {resumed} resumed"),
    }
    romeo.check("down", sent);
    juliet.check("up", sent);
    romeo.stream.close().await;
    juliet.stream.close().await;
    println!("ok\tclose\t");
    Ok(())
}
