//! The task of a client: it connects, carries stanzas to and fro, and waits.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use balcony_client::{Config, ConnectError, Disconnected, Endpoint, Event, Presence, PumpError};
use balcony_machine::Instant;
use balcony_runtime::{Client as Connection, Clock, Runtime, Socket, Timer as _, timeout};
use balcony_stanza::Stanza;

use super::shared::{Shared, Todo};

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long nothing is sent after the server has been found to be behind.
const PAUSE: Duration = Duration::from_millis(50);
/// How long nothing can be sent while nobody takes what has come, until the connection is given up.
const STUCK: Duration = Duration::from_secs(5);

/// How a client gets its connections.
pub(super) enum Way {
    /// From here, as often as it needs one.
    To(Endpoint),
    /// On this, which can be used once.
    Over(Option<Box<dyn Socket>>),
}

pub(super) struct Task<R: Runtime> {
    pub(super) shared: Arc<Shared>,
    pub(super) runtime: R,
    pub(super) clock: Clock,
    pub(super) config: Config,
    pub(super) way: Way,
    /// Dropped with the task, be it that the runtime ends before it has begun.
    pub(super) over: Over,
    /// The last connection, for the sake of its session.
    pub(super) connection: Option<Connection<R>>,
}

/// Why a session is over.
enum End {
    /// And this was not sent any more.
    Because(Disconnected, Option<Stanza>),
    /// The owner wants it.
    Closed,
}

impl<R: Runtime> Task<R> {
    pub(super) async fn run(mut self) {
        while self.time_to_connect().await {
            let why = match self.connect().await {
                None => break,
                Some(Ok((mut connection, is_resumed))) => {
                    if !(is_resumed && self.shared.resumed()) {
                        self.shared.online(connection.jid().clone(), connection.machine().features());
                    }
                    match self.serve(&mut connection).await {
                        End::Because(why, unsent) => {
                            let machine = connection.machine();
                            // What the session has is its business.
                            let is_kept =
                                |stanza: &Stanza| machine.unacknowledged().any(|kept| kept == stanza);
                            self.shared.sent(unsent.filter(|stanza| !is_kept(stanza)));
                            self.connection = Some(connection);
                            why
                        }
                        End::Closed => {
                            let goodbye = goodbye(connection, self.shared.is_available());
                            // Whether the server has heard it or not, it is the end.
                            let _: Option<Result<(), PumpError>> =
                                timeout(&self.runtime, GOODBYE, goodbye).await;
                            break;
                        }
                    }
                }
                Some(Err(why)) => why,
            };
            let resumable = self.connection.as_ref().is_some_and(|last| last.machine().is_resumable());
            if !self.shared.offline(why, resumable) {
                break;
            }
        }
        drop(self.over);
    }

    /// Whether to connect, as soon as it is time; otherwise it is the end.
    async fn time_to_connect(&self) -> bool {
        let mut timer = self.runtime.timer();
        poll_fn(|cx| {
            loop {
                let (is_closing, at) = self.shared.poll_closing(cx);
                if is_closing || self.shared.connects() {
                    return Poll::Ready(!is_closing);
                }
                match at.map(|at| timer.poll_until(cx, self.clock.at(at))) {
                    Some(Poll::Ready(())) => {}
                    _ => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// A connection, and whether it goes on with the session of the one before; `None` if the client is closed meanwhile.
    async fn connect(&mut self) -> Option<Result<(Connection<R>, bool), Disconnected>> {
        let failed = |error: ConnectError| Disconnected::Failed(error);
        if let Some(mut connection) = self.connection.take() {
            connection.set_active(self.shared.is_active());
            let reconnected = attend(&self.shared, &self.runtime, self.clock, connection.reconnect()).await?;
            return Some(match reconnected {
                Ok(is_resumed) => Ok((connection, is_resumed)),
                Err(error) => {
                    self.connection = Some(connection);
                    Err(failed(error))
                }
            });
        }
        let (runtime, mut config) = (self.runtime.clone(), self.config.clone());
        config.stream.active = self.shared.is_active();
        let connected = match &mut self.way {
            Way::To(endpoint) => {
                let connect = Connection::connect_on(runtime, config, endpoint.clone());
                attend(&self.shared, &self.runtime, self.clock, connect).await?
            }
            Way::Over(socket) => {
                let connect = Connection::over(runtime, socket.take()?, config);
                attend(&self.shared, &self.runtime, self.clock, connect).await?
            }
        };
        Some(connected.map(|connection| (connection, false)).map_err(failed))
    }

    /// Carries stanzas to and fro until the connection is over.
    async fn serve(&self, connection: &mut Connection<R>) -> End {
        let mut timer = self.runtime.timer();
        // The server has to acknowledge something before it is sent more.
        let mut blocked = None;
        let mut stuck = None;
        loop {
            let is_active = connection.machine().is_active();
            let step = {
                let mut next = pin!(connection.next());
                poll_fn(|cx| {
                    loop {
                        blocked = blocked.filter(|until| self.shared.now() < *until);
                        let (todo, at) = self.shared.poll_todo(cx, blocked.is_none(), is_active);
                        let at = at.into_iter().chain(blocked).min();
                        match todo {
                            Todo::Send(stanza) => return Poll::Ready(Step::Send(stanza)),
                            Todo::SetActive(is_active) => return Poll::Ready(Step::SetActive(is_active)),
                            Todo::Close => return Poll::Ready(Step::Close),
                            Todo::Read => {
                                if let Poll::Ready(event) = next.as_mut().poll(cx) {
                                    return Poll::Ready(Step::Happened(event));
                                }
                            }
                            Todo::Wait => {}
                        }
                        match at.map(|at| timer.poll_until(cx, self.clock.at(at))) {
                            Some(Poll::Ready(())) => {}
                            _ => return Poll::Pending,
                        }
                    }
                })
                .await
            };
            match step {
                Step::Happened(Ok(Some(Event::Stanza(stanza)))) => self.shared.stanza(*stanza),
                Step::Happened(Ok(Some(_))) => {}
                Step::Happened(Ok(None)) => return End::Because(Disconnected::ByServer, None),
                Step::Happened(Err(error)) => return End::Because(Disconnected::Lost(error), None),
                Step::Send(stanza) => {
                    let send = connection.send(&stanza);
                    match attend(&self.shared, &self.runtime, self.clock, send).await {
                        Some(Ok(())) => {
                            self.shared.sent(None);
                            stuck = None;
                        }
                        Some(Err(PumpError::Full)) => {
                            let now = self.shared.now();
                            blocked = Some(now + PAUSE);
                            self.shared.sent(Some(stanza));
                            // The server's acknowledgement is behind what the owner does not take, since it waits to send. The next
                            // connection begins with it.
                            let since = *stuck.get_or_insert(now);
                            if !self.shared.is_full() {
                                stuck = None;
                            } else if now >= since + STUCK {
                                return End::Because(Disconnected::Lost(PumpError::Full), None);
                            }
                        }
                        Some(Err(error)) => {
                            return End::Because(Disconnected::Lost(error), Some(stanza));
                        }
                        // It goes out with the goodbye.
                        None => self.shared.sent(None),
                    }
                }
                Step::SetActive(is_active) => connection.set_active(is_active),
                Step::Close => return End::Closed,
            }
        }
    }
}

enum Step {
    Happened(Result<Option<Event>, PumpError>),
    Send(Stanza),
    SetActive(bool),
    Close,
}

async fn goodbye<R: Runtime>(mut connection: Connection<R>, is_available: bool) -> Result<(), PumpError> {
    if is_available {
        connection.send(&Presence::unavailable(None)).await?;
    }
    connection.close().await
}

/// Waits for something, and does what is due meanwhile; `None` if the client is closed before.
async fn attend<T, R: Runtime>(
    shared: &Shared,
    runtime: &R,
    clock: Clock,
    future: impl Future<Output = T>,
) -> Option<T> {
    let (mut future, mut timer) = (pin!(future), runtime.timer());
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            let (is_closing, at): (bool, Option<Instant>) = shared.poll_closing(cx);
            if is_closing {
                return Poll::Ready(None);
            }
            match at.map(|at| timer.poll_until(cx, clock.at(at))) {
                Some(Poll::Ready(())) => {}
                _ => return Poll::Pending,
            }
        }
    })
    .await
}

/// The end of the task, be it that the runtime drops it.
pub(super) struct Over(pub(super) Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.over();
    }
}
