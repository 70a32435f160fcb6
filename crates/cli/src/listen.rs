//! `balcony listen`: messages as they come.

use core::time::Duration;
use std::io::Write as _;
use std::time::SystemTime;

use balcony_client::{Backoff, Event};
use balcony_stanza::{Payload, PresenceType, Stanza, StreamCondition, ns};
use balcony_tokio::{Client, Error};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::ListenArgs;
use crate::connect::{Connector, explain, ping, runtime};
use crate::failure::{Failure, io};
use crate::message::Message;
use crate::random::random;

pub(crate) fn run(args: ListenArgs) -> Result<(), Failure> {
    let connector = Connector::new(&args.account, &args.connect)?;
    let mut listener = Listener { json: args.json, left: args.count, priority: args.priority };
    // RFC 6120 section 3.3 wants a minute; who knows that nobody else connects may be quicker.
    let backoff = Backoff::new(Duration::from_secs(args.retry), Duration::from_secs(3600));
    runtime()?.block_on(async { listener.listen(&connector, backoff, &mut Stop::new()?).await })
}

struct Listener {
    json: bool,
    /// How many messages are still wanted; `None` for all.
    left: Option<u64>,
    priority: i8,
}

/// How one connection ended.
enum End {
    /// There was enough, or somebody has asked to stop.
    Done,
    /// It broke, for this reason.
    Lost(String),
}

impl Listener {
    /// Keeps a connection up (RFC 6120 section 3.3). What fails at the first attempt is reported: somebody is there to
    /// mend it.
    async fn listen(
        &mut self,
        connector: &Connector,
        mut backoff: Backoff,
        stop: &mut Stop,
    ) -> Result<(), Failure> {
        let mut random = random()?;
        let mut was_online = false;
        loop {
            let connected = tokio::select! {
                connected = connector.connect() => connected,
                () = stop.asked() => return Ok(()),
            };
            let reason = match connected {
                Ok(mut client) => {
                    was_online = true;
                    backoff.succeeded();
                    match self.session(&mut client, stop).await? {
                        End::Done => return goodbye(client).await,
                        End::Lost(reason) => reason,
                    }
                }
                Err(error) if !was_online || error.is_permanent() => return Err(explain(&error)),
                Err(error) => error.to_string(),
            };
            let wait = backoff.failed(&mut random);
            eprintln!("balcony: {reason}; connecting again in {} s", wait.as_secs() + 1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.asked() => return Ok(()),
            }
        }
    }

    async fn session(&mut self, client: &mut Client, stop: &mut Stop) -> Result<End, Failure> {
        if let Err(error) = client.send(&presence(self.priority)?).await {
            return lost(error);
        }
        // Whoever waits for the line below may send at once: the server knows by then that we are available.
        if let Err(failure) = ping(client).await {
            return Ok(End::Lost(failure.to_string()));
        }
        eprintln!("balcony: listening as {} with priority {}", client.jid(), self.priority);
        while self.left != Some(0) {
            let next = tokio::select! {
                next = client.next() => next,
                () = stop.asked() => return Ok(End::Done),
            };
            match next {
                Ok(Some(Event::Stanza(stanza))) => self.print(&stanza)?,
                Ok(Some(_)) => {}
                Ok(None) => return Ok(End::Lost("the server has closed the stream".into())),
                Err(error) => return lost(error),
            }
        }
        Ok(End::Done)
    }

    fn print(&mut self, stanza: &Stanza) -> Result<(), Failure> {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let Some(message) = Message::read(stanza, time) else { return Ok(()) };
        let line = match self.json {
            true => serde_json::to_string(&message).map_err(std::io::Error::from),
            false => Ok(message.line()),
        };
        self.left = self.left.map(|left| left.saturating_sub(1));
        let mut out = std::io::stdout().lock();
        line.and_then(|line| writeln!(out, "{line}").and_then(|()| out.flush())).map_err(io("cannot print"))
    }
}

/// Initial presence (RFC 6121 section 4.2).
fn presence(priority: i8) -> Result<Stanza, Failure> {
    let priority = minidom::Element::builder("priority", ns::CLIENT).append(priority.to_string()).build();
    let priority =
        balcony_xml::Element::try_from(&priority).map_err(|error| Failure::new(error.to_string()))?;
    Ok(Stanza::presence(PresenceType::Available).payload(Payload::from(priority)))
}

/// A connection has ended. Coming back would only take it away again from whoever has it now, or is of no use.
fn lost(error: Error) -> Result<End, Failure> {
    if let Error::Ended(balcony_client::Error::Stream(balcony_stream::Error::Remote(error))) = &error {
        match error.condition {
            StreamCondition::Conflict => {
                return Err(Failure::new(
                    "another client has taken this resource; choose another one with --as",
                ));
            }
            StreamCondition::NotAuthorized => return Err(Failure::new("the account has been removed")),
            _ => {}
        }
    }
    Ok(End::Lost(error.to_string()))
}

/// Says that nobody listens any more (RFC 6121 section 4.5), and closes the stream.
async fn goodbye(mut client: Client) -> Result<(), Failure> {
    let said = client.send(&Stanza::presence(PresenceType::Unavailable)).await;
    let closed = client.close().await;
    said.and(closed).map_err(|error| Failure::new(error.to_string()))
}

/// Ctrl-C, or a polite request of the system to end.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Stop, Failure> {
        let catch = |kind| signal(kind).map_err(io("cannot catch signals"));
        Ok(Stop { interrupt: catch(SignalKind::interrupt())?, terminate: catch(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
