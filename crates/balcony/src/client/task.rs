//! The task of a client: it connects, carries stanzas to and fro, and waits.

use core::future::poll_fn;
use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::Arc;

use balcony_client::{
    ClientConfig, ConnectError, Disconnected, Endpoint, MachineEvent, Presence, PumpError, outlives_session,
};
use balcony_machine::Instant;
use balcony_runtime::{Clock, ConnectedClient, Runtime, Socket, Timer as _, timeout};
use balcony_stanza::Stanza;

use super::shared::{Shared, Stop, Todo};

/// How long the end may take: to send what waits, have it acknowledged, and say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long nothing is sent after the server has been found to be behind.
const PAUSE: Duration = Duration::from_millis(50);
/// How long nothing can be sent while nobody takes what has come, until the connection is given up.
const STUCK: Duration = Duration::from_secs(5);
/// After so many stanzas other tasks of the runtime have their turn, however many more there are.
const TURNS: u32 = 32;

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
    pub(super) config: ClientConfig,
    pub(super) way: Way,
    /// Dropped with the task, be it that the runtime ends before it has begun.
    pub(super) over: Over,
    /// The last connection, for the sake of its session.
    pub(super) connection: Option<Box<ConnectedClient<R>>>,
}

/// Why a session is over.
enum End {
    /// And this was not sent any more.
    Because(Disconnected, Option<Stanza>),
    /// The owner wants it.
    Closed,
}

impl<R: Runtime> Task<R> {
    /// All that a client does. Steps that are short and need much room, such as to find the server and log in, are futures of their own: without
    /// that an idle client would hold the room of the largest one.
    pub(super) async fn run(mut self) {
        while self.time_to_connect().await {
            let why = match Box::pin(self.connect()).await {
                None => break,
                Some(Ok((mut connection, is_resumed))) => {
                    if !(is_resumed && self.shared.resumed()) {
                        self.shared.online(connection.jid().clone(), connection.machine().features());
                    }
                    let end = self.serve(&mut connection).await;
                    if let End::Closed = end {
                        Box::pin(self.goodbye(&mut connection)).await;
                    }
                    self.connection = Some(connection);
                    match end {
                        End::Because(why, unsent) => {
                            self.shared.sent(unsent);
                            why
                        }
                        End::Closed => break,
                    }
                }
                Some(Err(why)) => why,
            };
            let resumable = self.connection.as_ref().is_some_and(|last| last.machine().is_resumable());
            if !resumable {
                // What has come in this session is told as something of this session, as far as there is room.
                while !self.shared.is_full() && self.tell_kept() {}
            }
            if !self.shared.offline(why, resumable) {
                break;
            }
        }
        while self.tell_kept() {}
        let unacknowledged = self.connection.iter().flat_map(|last| last.machine().unacknowledged());
        let unacknowledged = unacknowledged.filter(|stanza| outlives_session(stanza)).cloned().collect();
        Box::pin(self.log_out()).await;
        self.shared.end(unacknowledged);
        drop(self.over);
    }

    /// Ends the token, if the owner does not come back.
    async fn log_out(&mut self) {
        // On a socket that can be used once there is no other login.
        if !self.shared.logs_out() || matches!(self.way, Way::Over(_)) {
            return;
        }
        let Some(connection) = self.connection.take() else { return };
        let done = timeout(&self.runtime, GOODBYE, connection.log_out()).await;
        if let Some(Err(error)) = done {
            self.shared.not_logged_out(Disconnected::Failed(error));
        } else if done.is_none() {
            let error = ConnectError::Broken("the server did not answer in time".into());
            self.shared.not_logged_out(Disconnected::Failed(error));
        }
    }

    /// Tells one thing that the last connection has kept. Whether there was one.
    fn tell_kept(&mut self) -> bool {
        let event = self.connection.as_mut().and_then(|last| last.next_kept());
        let is_one = event.is_some();
        event.into_iter().for_each(|event| self.tell(event));
        is_one
    }

    fn tell(&self, event: MachineEvent) {
        match event {
            MachineEvent::Stanza(stanza) => self.shared.stanza(*stanza),
            MachineEvent::Token(token) => self.shared.token(token),
            MachineEvent::Acknowledged(id) => self.shared.acknowledged(id),
            _ => {}
        }
    }

    /// Whether to connect, as soon as it is time; otherwise it is the end.
    async fn time_to_connect(&self) -> bool {
        let mut timer = self.runtime.timer();
        poll_fn(|cx| {
            loop {
                // Whoever has woken up connects now.
                let (stop, at) = self.shared.poll_stop(cx);
                let is_closing = stop == Some(Stop::Closing);
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

    /// A connection, and whether it goes on with the session of the one before; `None` if the client is closed meanwhile. An attempt that
    /// was under way while the device slept begins anew when it wakes up.
    async fn connect(&mut self) -> Option<Result<(Box<ConnectedClient<R>>, bool), Disconnected>> {
        loop {
            let patience = match self.way {
                Way::To(_) => Some(self.config.wake),
                Way::Over(_) => None,
            };
            let attending = self.attending(patience);
            match attending.attend(self.attempt()).await {
                Attended::Done(result) => return result.map(|result| result.map_err(Disconnected::Failed)),
                Attended::Stopped(Stop::Closing) => return None,
                Attended::Stopped(Stop::Woken) => {}
            }
        }
    }

    /// `None`: there is nothing to connect on.
    async fn attempt(&mut self) -> Option<Result<(Box<ConnectedClient<R>>, bool), ConnectError>> {
        if let Some(connection) = &mut self.connection {
            connection.set_active(self.shared.is_active());
            let reconnected = connection.reconnect().await;
            return match reconnected {
                Ok(is_resumed) => self.connection.take().map(|connection| Ok((connection, is_resumed))),
                Err(error) => Some(Err(error)),
            };
        }
        let (runtime, mut config) = (self.runtime.clone(), self.config.clone());
        config.stream.active = self.shared.is_active();
        let connected = match &mut self.way {
            Way::To(endpoint) => ConnectedClient::connect_on(runtime, config, endpoint.clone()).await,
            Way::Over(socket) => ConnectedClient::over(runtime, socket.take()?, config).await,
        };
        Some(connected.map(|connection| (Box::new(connection), false)))
    }

    fn attending(&self, patience: Option<Duration>) -> Attending<R> {
        let woken_from = patience.map(|patience| self.shared.now() + patience);
        Attending {
            shared: Arc::clone(&self.shared),
            runtime: self.runtime.clone(),
            clock: self.clock,
            woken_from,
        }
    }

    /// Carries stanzas to and fro until the connection is over.
    async fn serve(&self, connection: &mut ConnectedClient<R>) -> End {
        let mut timer = self.runtime.timer();
        // The server has to acknowledge something before it is sent more.
        let mut blocked = None;
        let mut stuck = None;
        // Nothing can be sent any more; what comes last says why.
        let mut is_ending = false;
        let mut turns = 0_u32;
        loop {
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(TURNS) {
                give_way().await;
            }
            let holds = self.shared.is_full();
            let is_active = connection.machine().is_active();
            let step = {
                let mut next = pin!(async {
                    if holds { connection.hold().await.map(|()| None) } else { connection.next().await }
                });
                poll_fn(|cx| {
                    loop {
                        blocked = blocked.filter(|until| self.shared.now() < *until);
                        let (todo, at) =
                            self.shared.poll_todo(cx, blocked.is_none() && !is_ending, is_active);
                        let at = at.into_iter().chain(blocked).min();
                        match todo {
                            Todo::Send(stanza) => return Poll::Ready(Step::Send(stanza)),
                            Todo::SetActive(is_active) => return Poll::Ready(Step::SetActive(is_active)),
                            Todo::Close => return Poll::Ready(Step::Close),
                            Todo::Wake => return Poll::Ready(Step::Wake),
                            Todo::Read if holds => return Poll::Ready(Step::Again),
                            Todo::Hold if !holds => return Poll::Ready(Step::Again),
                            Todo::Read | Todo::Hold => {
                                if let Poll::Ready(event) = next.as_mut().poll(cx) {
                                    return Poll::Ready(Step::Happened(event));
                                }
                            }
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
                Step::Again => {}
                Step::Happened(Ok(Some(event))) => self.tell(event),
                Step::Happened(Ok(None)) => return End::Because(Disconnected::ByServer, None),
                Step::Happened(Err(error)) => return End::Because(Disconnected::Lost(error), None),
                Step::Wake => connection.wake(),
                Step::Close => return End::Closed,
                Step::Send(stanza) => {
                    match self.attending(Some(Duration::ZERO)).send(connection, &stanza).await {
                        Ok(()) => {
                            self.shared.sent(None);
                            stuck = None;
                        }
                        Err(Unsent::Stopped(stop)) => {
                            self.shared.sent(Some(stanza));
                            if stop == Stop::Woken {
                                connection.wake();
                            }
                        }
                        Err(Unsent::Error(PumpError::Misuse(_) | PumpError::Ended(_))) => {
                            self.shared.sent(Some(stanza));
                            is_ending = true;
                        }
                        Err(Unsent::Error(PumpError::Full)) => {
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
                        Err(Unsent::Error(error)) => {
                            return End::Because(Disconnected::Lost(error), Some(stanza));
                        }
                    }
                }
                Step::SetActive(is_active) => connection.set_active(is_active),
            }
        }
    }

    /// Sends what waits, has it acknowledged, and says goodbye. What has not got through by then is left where it is.
    async fn goodbye(&self, connection: &mut ConnectedClient<R>) {
        let mut in_hand = None;
        // Whether the server has heard it or not, it is the end.
        let _: Option<Result<(), PumpError>> =
            timeout(&self.runtime, GOODBYE, self.say_goodbye(connection, &mut in_hand)).await;
        self.shared.sent(in_hand);
    }

    async fn say_goodbye(
        &self,
        connection: &mut ConnectedClient<R>,
        in_hand: &mut Option<Stanza>,
    ) -> Result<(), PumpError> {
        loop {
            if in_hand.is_none() {
                *in_hand = self.shared.next_stanza();
            }
            let Some(stanza) = &*in_hand else { break };
            match connection.queue(stanza).await {
                Ok(queued) => {
                    if connection.machine().counts_sent() {
                        // The session has it, and says at the end what became of it.
                        *in_hand = None;
                    }
                    connection.written(queued).await?;
                    *in_hand = None;
                    self.shared.sent(None);
                }
                // The acknowledgement is behind what has come.
                Err(PumpError::Full) if !self.shared.is_full() => match connection.next().await? {
                    Some(event) => self.tell(event),
                    None => return Ok(()),
                },
                Err(error) => return Err(error),
            }
        }
        if self.shared.is_available() {
            connection.send(&Presence::unavailable(None)).await?;
        }
        match connection.acknowledged().await {
            // More has come than can be kept; what is not acknowledged by now is not known to have arrived.
            Ok(()) | Err(PumpError::Overrun) => {}
            Err(error) => return Err(error),
        }
        while let Some(event) = connection.next_kept() {
            self.tell(event);
        }
        connection.start_close();
        // What still comes has not been acknowledged, so that the server keeps it if there is no room for it here.
        while let Some(event) = connection.next().await? {
            if !self.shared.is_full() {
                self.tell(event);
            }
        }
        Ok(())
    }
}

enum Step {
    /// Look again what there is to do.
    Again,
    Happened(Result<Option<MachineEvent>, PumpError>),
    Send(Stanza),
    SetActive(bool),
    Wake,
    Close,
}

/// Lets other tasks have their turn.
async fn give_way() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if core::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits for something, and does what is due meanwhile, until the client is closed or woken.
struct Attending<R> {
    shared: Arc<Shared>,
    runtime: R,
    clock: Clock,
    /// From when on it stops because the client is woken; `None`: never.
    woken_from: Option<Instant>,
}

enum Attended<T> {
    Done(T),
    Stopped(Stop),
}

/// Why a stanza was not sent.
enum Unsent {
    Stopped(Stop),
    Error(PumpError),
}

impl<R: Runtime> Attending<R> {
    async fn attend<T>(&self, future: impl Future<Output = T>) -> Attended<T> {
        let (mut future, mut timer) = (pin!(future), self.runtime.timer());
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = future.as_mut().poll(cx) {
                    return Poll::Ready(Attended::Done(result));
                }
                let (stop, at) = self.shared.poll_stop(cx);
                match stop {
                    Some(Stop::Woken) if self.woken_from.is_none_or(|from| self.shared.now() < from) => {}
                    Some(stop) => return Poll::Ready(Attended::Stopped(stop)),
                    None => {}
                }
                match at.map(|at| timer.poll_until(cx, self.clock.at(at))) {
                    Some(Poll::Ready(())) => {}
                    _ => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Sends a stanza, as long as nothing stops that. What was taken by then leaves in any case.
    async fn send(&self, connection: &mut ConnectedClient<R>, stanza: &Stanza) -> Result<(), Unsent> {
        let queued = match self.attend(connection.queue(stanza)).await {
            Attended::Done(queued) => queued.map_err(Unsent::Error)?,
            Attended::Stopped(stop) => return Err(Unsent::Stopped(stop)),
        };
        match self.attend(connection.written(queued)).await {
            Attended::Done(written) => written.map_err(Unsent::Error),
            Attended::Stopped(stop) => {
                if stop == Stop::Woken {
                    connection.wake();
                }
                Ok(())
            }
        }
    }
}

/// The end of the task, be it that the runtime drops it.
pub(super) struct Over(pub(super) Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        // An extension that has panicked may do so again when it is told, which would end the whole program.
        if catch_unwind(AssertUnwindSafe(|| self.0.end(Vec::new()))).is_err() {
            self.0.abandon();
        }
    }
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use super::*;

    fn size<F: Future>(_: impl FnOnce(Task<balcony_tokio::Tokio>) -> F) -> usize {
        size_of::<F>()
    }

    // What the task of a client holds as long as it lives. To find the server and log in takes ten times as much.
    #[test]
    fn an_idle_client_is_small() {
        let size = size(Task::run);
        assert!(size <= 4_096, "{size}");
    }
}
