//! `balcony listen`: messages, and who is online, as it happens.
//!
//! The server is told that a message is handled (XEP-0198) when its line has left. Until then the message is the server's, which has it for
//! whoever comes next: if nobody reads what is printed, or enough has been.

use core::time::Duration;
use std::time::Instant;

use balcony_client::{
    Backoff, Carbon, ClientMachine, ConnectError, Contacts, Disconnected, MachineEvent, News, Presence,
    RequestId, RequestOutcome,
};
use balcony_jid::Jid;
use balcony_stanza::{Payload, Stanza, StreamCondition};
use balcony_stream::client::Management;
use balcony_tokio::Error;
use balcony_xep::push::{Disable, Enable, Request};
use rustix::system::uname;
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::args::ListenArgs;
use crate::connect::{Connector, runtime};
use crate::failure::Failure;
use crate::message::Message;
use crate::news::Notice;
use crate::output::{self, note, now};
use crate::random::random;
use crate::session::{SOON, Session};
use crate::stop::{Stop, interrupted};

pub(crate) fn run(args: ListenArgs) -> Result<(), Failure> {
    let push = push(&args);
    let mut connector = Connector::of_client(args.account, args.connect)?;
    connector.config.stream.limits.closing = SOON;
    // It comes back.
    connector.config.stream.management = Management::Resume { max: None };
    connector.config.stream.request_token = true;
    connector.config.stream.software = Some(concat!("balcony listen ", env!("CARGO_PKG_VERSION")).into());
    connector.config.stream.device = uname().nodename().to_str().ok().map(Into::into);
    let mut listener = Listener {
        json: args.json,
        left: args.count,
        presence: {
            let presence = Presence::available().show(args.show.into()).priority(args.priority);
            args.status.iter().fold(presence, |presence, status| presence.status(status.as_str()))
        },
        copies: args.copies,
        inactive: args.inactive,
        push,
        is_announced: false,
        ready: None,
        held: Vec::new(),
    };
    // RFC 6120 section 3.3 wants a minute; who knows that nobody else connects may be quicker.
    let backoff = Backoff::new(Duration::from_secs(args.retry), Duration::from_secs(3600));
    let runtime = runtime()?;
    let done = runtime.block_on(async { listener.listen(&connector, backoff, &mut Stop::new()?).await });
    // A line that nobody reads keeps its thread for ever.
    runtime.shutdown_background();
    done
}

/// The request that enables or disables a push service, if one is to be.
fn push(args: &ListenArgs) -> Option<Payload> {
    let node = args.push_node.as_ref().map(|node| node.as_str().into());
    let enable = |jid: &Jid| Request::Enable(Enable { jid: jid.clone(), node, options: None });
    let disable = |jid: &Jid| Request::Disable(Disable { jid: jid.clone(), node: None });
    let request = args.push.as_ref().map(enable).or_else(|| args.no_push.as_ref().map(disable));
    request.map(|request| request.to_element().into())
}

struct Listener {
    json: bool,
    /// How many messages are still wanted; `None` for all.
    left: Option<u64>,
    presence: Presence,
    copies: bool,
    /// Nobody looks (XEP-0352).
    inactive: bool,
    /// What it says of a push service (XEP-0357).
    push: Option<Payload>,
    /// The server has been told that we are available, in this session.
    is_announced: bool,
    /// The answer that shows that it knows.
    ready: Option<RequestId>,
    /// What is to be told of others when it has come: whoever reads along knows by then that we listen.
    held: Vec<String>,
}

/// So many notices wait for that line; with more it is not waited for.
const HELD: usize = 1_000;

/// How one connection ended.
enum End {
    /// There was enough, or somebody has asked to stop.
    Done,
    /// It broke.
    Lost(Lost),
}

/// Why a connection is to be made again, and how soon.
struct Lost {
    reason: String,
    pause: Pause,
}

/// How soon to connect again: see [`Backoff`].
enum Pause {
    Failed,
    /// The server keeps the session for a while.
    Broken,
    /// The same, of a server that has said to all of its clients that it shuts down.
    ShutDown,
}

impl Lost {
    /// The session is over.
    fn over(reason: impl Into<String>) -> Lost {
        Lost { reason: reason.into(), pause: Pause::Failed }
    }
}

impl Listener {
    /// Keeps a connection up (RFC 6120 section 3.3), in the same session where the server lets it go on (XEP-0198). What fails at
    /// the first attempt is reported: somebody is there to mend it. Later only the server itself can end this; a network that has
    /// gone bad gets good again.
    async fn listen(
        &mut self,
        connector: &Connector,
        mut backoff: Backoff,
        stop: &mut Stop,
    ) -> Result<(), Failure> {
        let mut random = random()?;
        let mut session = None;
        loop {
            let connected = tokio::select! {
                connected = self.connect(connector, &mut session) => connected,
                () = stop.asked() => {
                    // The server may still have to hear what has been printed last.
                    if let Some(session) = &mut session {
                        session.end(stop).await;
                    }
                    return Ok(());
                }
            };
            let Lost { reason, pause } = match (connected, &mut session) {
                (Ok(()), Some(session)) => {
                    let begin = Instant::now();
                    let end = match self.attend(session, stop).await {
                        Ok(end) => end,
                        Err(failure) => {
                            if stop.times() < 2 {
                                // The stream may be over, which the failure says then.
                                let _ = session.close(stop.insisted()).await;
                            }
                            return Err(failure);
                        }
                    };
                    self.tell_held(session, stop).await?;
                    backoff.lasted(begin.elapsed());
                    match end {
                        End::Done => {
                            // Unless the stream was closed the server does not know what has been printed last.
                            if stop.times() < 2 {
                                session.end(stop).await;
                            }
                            return Ok(());
                        }
                        End::Lost(lost) => lost,
                    }
                }
                (Err(error), Some(session)) if !error.is_permanent() => {
                    let pause = match session.client.machine().is_resumable() {
                        true => Pause::Broken,
                        false => Pause::Failed,
                    };
                    Lost { reason: error.to_string(), pause }
                }
                (Err(error), _) => return Err(connector.explain(&error)),
                (Ok(()), None) => return Ok(()),
            };
            let wait = match pause {
                Pause::Failed => backoff.failed(&mut random),
                Pause::Broken => backoff.broken(&mut random),
                Pause::ShutDown => backoff.shut_down(&mut random),
            };
            note(&format!("{reason}; connecting again in {} s", wait.as_secs() + 1));
            let is_told_to_stop = stop.times() > 0
                || tokio::select! {
                    () = tokio::time::sleep(wait) => false,
                    () = stop.asked() => true,
                };
            if is_told_to_stop {
                if let Some(session) = &mut session {
                    session.end(stop).await;
                }
                return Ok(());
            }
        }
    }

    /// Comes online: for the first time, or again.
    async fn connect(
        &mut self,
        connector: &Connector,
        before: &mut Option<Session>,
    ) -> Result<(), ConnectError> {
        let Some(session) = before else {
            let mut client = connector.connect().await?;
            client.tell_handled();
            client.set_active(!self.inactive);
            let contacts = Contacts::new(client.jid().to_bare());
            *before = Some(Session::new(client, contacts));
            return Ok(());
        };
        if session.client.reconnect().await? {
            if self.is_announced {
                note(&format!(
                    "listening as {} again; the session goes on, and nothing is lost",
                    session.jid()
                ));
            }
        } else {
            session.contacts.offline();
            (self.is_announced, self.ready) = (false, None);
        }
        Ok(())
    }

    /// Prints what comes, up to the end of the stream, whatever has brought that about; but nothing that comes again, once we leave. Whoever
    /// asks a second time to stop does not want to wait for that.
    async fn attend(&mut self, session: &mut Session, stop: &mut Stop) -> Result<End, Failure> {
        // Why we leave once we do.
        let mut end = None;
        if !self.is_announced {
            tokio::select! {
                announced = self.announce(session) => if let Err(failure) = announced {
                    end = Some(End::Lost(Lost::over(failure.to_string())));
                },
                () = stop.asked() => {}
            }
        }
        let mut is_leaving = false;
        loop {
            if self.left == Some(0) || stop.times() > 0 {
                end = Some(End::Done);
            }
            if end.is_some() && !is_leaving {
                tokio::select! {
                    () = session.leave() => {}
                    () = stop.insisted() => return Ok(End::Done),
                }
                is_leaving = true;
            }
            let next = tokio::select! {
                next = session.next() => next,
                () = stop.asked() => {
                    if is_leaving && stop.times() > 1 {
                        return Ok(End::Done);
                    }
                    continue;
                }
            };
            match next {
                // The last acknowledgement has been sent.
                Ok(Some((MachineEvent::Stanza(_), _))) if is_leaving && session.is_counted() => {}
                Ok(Some((MachineEvent::Stanza(stanza), news))) => {
                    self.print(session, stop, &stanza, news).await?;
                    session.client.handled(1);
                }
                Ok(Some((MachineEvent::Response(answered, outcome), _))) if self.ready == Some(answered) => {
                    if outcome == RequestOutcome::TimedOut {
                        end.get_or_insert(End::Lost(Lost::over("the server does not answer")));
                    } else {
                        let (jid, priority) = (session.jid(), self.presence.priority);
                        note(&format!("listening as {jid} with priority {priority}"));
                        self.ready = None;
                    }
                    self.tell_held(session, stop).await?;
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    let lost = Lost::over("the server has closed the stream");
                    return Ok(end.unwrap_or(End::Lost(lost)));
                }
                Err(error) => {
                    let lost = lost(error, session.client.machine())?;
                    return Ok(end.unwrap_or(End::Lost(lost)));
                }
            }
        }
    }

    /// Becomes available. The answer to a ping comes when the server knows; whoever waits for the line that follows may send at once.
    async fn announce(&mut self, session: &mut Session) -> Result<(), Failure> {
        session.load().await?;
        if self.copies {
            session.set(Carbon::enable().into()).await?;
        }
        if let Some(push) = &self.push {
            session.set(push.clone()).await?;
        }
        session.send(&self.presence.to_stanza()).await?;
        if self.inactive && !session.client.machine().features().client_state {
            note("the server does not want to know whether somebody looks, and sends everything at once");
        }
        self.ready = Some(session.ping().await?);
        self.is_announced = true;
        Ok(())
    }

    /// Prints what a stanza says, or keeps that for later if it is presence: the next client is told of that anew.
    async fn print(
        &mut self,
        session: &mut Session,
        stop: &mut Stop,
        stanza: &Stanza,
        news: Option<News>,
    ) -> Result<(), Failure> {
        let time = now();
        if let Some(message) = Message::read(stanza, session.jid(), time) {
            put(session, stop, vec![self.text(&message, message.line())?]).await?;
            self.left = self.left.map(|left| left.saturating_sub(1));
            return Ok(());
        }
        let own = session.jid().to_bare();
        let Some(notice) = news.and_then(|news| Notice::of(&news, &session.contacts, &own, time)) else {
            return Ok(());
        };
        self.held.push(self.text(&notice, notice.line(&own))?);
        if self.ready.is_none() || self.held.len() > HELD {
            self.tell_held(session, stop).await?;
        }
        Ok(())
    }

    async fn tell_held(&mut self, session: &mut Session, stop: &mut Stop) -> Result<(), Failure> {
        match core::mem::take(&mut self.held) {
            held if held.is_empty() => Ok(()),
            held => put(session, stop, held).await,
        }
    }

    fn text(&self, what: &impl Serialize, line: String) -> Result<String, Failure> {
        if self.json { output::json(what) } else { Ok(line) }
    }
}

/// Prints lines, and goes on with the connection until they have left, however long that takes; but not for long when somebody has asked to
/// stop.
async fn put(session: &mut Session, stop: &mut Stop, lines: Vec<String>) -> Result<(), Failure> {
    let mut printing = spawn_blocking(move || lines.iter().try_for_each(|line| output::print(line)));
    let mut is_connected = true;
    let failure = loop {
        tokio::select! {
            biased;
            printed = &mut printing => match printed {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(failure)) if failure.message().is_empty() => break Failure::new(UNREAD),
                Ok(Err(failure)) => break failure,
                Err(panic) => break Failure::new(panic.to_string()),
            },
            () = stop.asked() => if stop.times() > 1 {
                break interrupted();
            },
            // Why it has ended shows when all has been printed.
            _ = session.client.hold(), if is_connected => is_connected = false,
            () = tokio::time::sleep(SOON), if stop.times() > 0 => break Failure::new(UNREAD),
        }
    };
    Err(match session.is_counted() {
        true => failure.with("what has not been printed comes to the next client"),
        false => failure,
    })
}

const UNREAD: &str = "nobody reads what is printed";

/// A connection has ended. Coming back would only take it away again from whoever has it now, or is of no use.
fn lost(error: Error, machine: &ClientMachine) -> Result<Lost, Failure> {
    if let Error::Ended(balcony_client::Error::Stream(balcony_stream::Error::Remote(error))) = &error {
        match error.condition {
            // RFC 6120 section 4.9.3.3 forbids to come back with this resource, whoever has said it.
            StreamCondition::Conflict => {
                return Err(Failure::new(
                    "another client has taken this resource; choose another one with --as",
                ));
            }
            StreamCondition::NotAuthorized if machine.is_server_proven() => {
                return Err(Failure::new("the account has been removed"));
            }
            _ => {}
        }
    }
    let why = Disconnected::Lost(error);
    let pause = match why.ends_session() || !machine.is_resumable() {
        true => Pause::Failed,
        false if why.is_shutdown() => Pause::ShutDown,
        false => Pause::Broken,
    };
    Ok(Lost { reason: why.to_string(), pause })
}
