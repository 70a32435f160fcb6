//! A client that knows its contacts: what `listen`, `presence` and `roster` have in common.

use core::time::Duration;

use balcony_client::{Contacts, MachineEvent, News, Presence, RequestId, RequestKind, RequestOutcome};
use balcony_jid::{BareJid, FullJid, Jid};
use balcony_stanza::{ErrorCondition, Payload, Stanza, StanzaError, StreamCondition};
use balcony_tokio::{ConnectedClient, Error};
use balcony_xep::ping::Ping;

use crate::connect::Connector;
use crate::failure::Failure;
use crate::message::{explained, show};
use crate::output::note;
use crate::stop::{Stop, interrupted};

/// How long a server may take to answer a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one may wait for those whose answer is not needed.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// How long an answer may take that comes without anybody's doing.
const AT_ONCE: Duration = Duration::from_secs(1);

/// One account, from one login to the next.
pub(crate) struct Session {
    pub(crate) client: ConnectedClient,
    pub(crate) contacts: Contacts,
    /// What is to be said if the command ends now, because something was sent that is not known to be done.
    pub(crate) doubt: Option<&'static str>,
    /// Messages that come while the stream is being closed are printed.
    pub(crate) shows_messages: bool,
}

/// The doubt about a change at the server.
const CHANGE: &str = "the change may or may not have been made";

impl Session {
    /// Takes over a client that has just come online, with what is known from an earlier session.
    pub(crate) fn new(client: ConnectedClient, mut contacts: Contacts) -> Session {
        contacts.offline();
        Session { client, contacts, doubt: None, shows_messages: false }
    }

    /// Loads the roster (RFC 6121 section 2.2).
    pub(crate) async fn load(&mut self) -> Result<(), Failure> {
        let get = self.contacts.get(self.client.machine().features());
        match self.client.request(RequestKind::Get, None, get, PATIENCE).await.map_err(ended)? {
            RequestOutcome::Result(result) => self.contacts.load(&result),
            // A server without rosters is of use for messages.
            RequestOutcome::Error(error) => note(&format!("there is no roster: {error}")),
            RequestOutcome::TimedOut | RequestOutcome::Lost => return Err(silent("the server")),
        }
        Ok(())
    }

    /// Connects for one command, does it, and closes the stream, whatever has become of it: also when somebody asks to stop. Who asks once
    /// more does not want to wait for that. What has been done is no failure, however the stream ends.
    pub(crate) async fn run(
        connector: &Connector,
        command: impl AsyncFnOnce(&mut Session) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut stop = Stop::new()?;
        let client = tokio::select! {
            client = connector.connect() => client.map_err(|error| connector.explain(&error))?,
            () = stop.asked() => return Err(interrupted()),
        };
        let account = client.jid().to_bare();
        let mut session = Session::new(client, Contacts::new(account));
        let done = tokio::select! {
            done = command(&mut session) => done,
            () = stop.asked() => Err(interrupted()),
        };
        let closed = session.close(stop.asked()).await;
        let failure = match (done, closed) {
            (Ok(()), Ok(())) => return Ok(()),
            // Whoever is told of a failure does it again.
            (Ok(()), Err(failure)) if session.doubt.is_none() => {
                note(&format!("{failure}; all had been done before that"));
                return Ok(());
            }
            (Ok(()), Err(failure)) => failure,
            // It is not whoever was asked that is silent, as far as can be known: the server does not even say goodbye.
            (Err(failure), Err(silence)) if failure.is_silence() && silence.is_silence() => silence,
            (Err(failure), _) => failure,
        };
        Err(match session.doubt {
            Some(doubt) => failure.with(doubt),
            None => failure,
        })
    }

    pub(crate) fn jid(&self) -> &FullJid {
        self.client.jid()
    }

    /// Whether the server counts what it sends, and has what we have not acknowledged for whoever comes next (XEP-0198).
    pub(crate) fn is_counted(&self) -> bool {
        self.client.machine().counts_sent()
    }

    /// Sends a stanza.
    pub(crate) async fn send(&mut self, stanza: &Stanza) -> Result<(), Failure> {
        self.client.send(stanza).await.map_err(ended)
    }

    /// Has the own account do something. What the server refuses is a failure.
    pub(crate) async fn set(&mut self, payload: Payload) -> Result<(), Failure> {
        self.change(payload).await?.map(|_| ()).map_err(|error| Failure::new(explained(&error)))
    }

    /// The same, for whoever knows what the refusal means.
    pub(crate) async fn change(&mut self, payload: Payload) -> Result<Result<Stanza, StanzaError>, Failure> {
        self.doubt = Some(CHANGE);
        let answer = self.request(RequestKind::Set, payload).await?;
        self.doubt = None;
        Ok(answer)
    }

    /// Sends presence that changes who sees whom (RFC 6121 section 3).
    pub(crate) async fn tell(&mut self, presence: &Stanza) -> Result<(), Failure> {
        self.doubt = Some(CHANGE);
        self.send(presence).await
    }

    /// Asks the own account.
    pub(crate) async fn request(
        &mut self,
        kind: RequestKind,
        payload: Payload,
    ) -> Result<Result<Stanza, StanzaError>, Failure> {
        match self.client.request(kind, None, payload, PATIENCE).await.map_err(ended)? {
            RequestOutcome::Result(result) => Ok(Ok(result)),
            RequestOutcome::Error(error) => Ok(Err(error)),
            RequestOutcome::TimedOut | RequestOutcome::Lost => Err(silent("the server")),
        }
    }

    /// Reads along until the server has processed all that was sent; returns the errors among what has come.
    pub(crate) async fn settle(&mut self) -> Result<Vec<Stanza>, Failure> {
        let mut errors = Vec::new();
        self.read_until(self.server(), PATIENCE, &mut errors).await?;
        self.doubt = None;
        Ok(errors)
    }

    /// The same, after the server of a contact has processed what it has got, if it answers soon; with the reason why it
    /// cannot be reached, if the own server says so.
    pub(crate) async fn settle_with(
        &mut self,
        contact: &BareJid,
    ) -> Result<(Vec<Stanza>, Option<StanzaError>), Failure> {
        let mut errors = Vec::new();
        let answer = match self.read_until(Some(contact.to_jid()), SOON, &mut errors).await {
            Err(failure) if failure.is_silence() => None,
            other => other?,
        };
        self.read_until(self.server(), PATIENCE, &mut errors).await?;
        self.doubt = None;
        // All other errors are answers of the contact's server, which need not know a ping.
        let unreachable = [ErrorCondition::RemoteServerNotFound, ErrorCondition::RemoteServerTimeout];
        Ok((errors, answer.filter(|error| unreachable.contains(&error.condition))))
    }

    /// The same for the presence of contacts on other servers, as far as those answer soon.
    pub(crate) async fn settle_everywhere(&mut self) -> Result<(), Failure> {
        self.settle().await?;
        let mut domains: Vec<Jid> =
            self.contacts.items().filter_map(|item| domain(item.jid.domainpart())).collect();
        domains.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        domains.dedup();
        let own = self.server();
        for domain in domains.into_iter().filter(|domain| Some(domain) != own.as_ref()) {
            // Whoever does not answer is not there, for all that can be known.
            match self.read_until(Some(domain), SOON, &mut Vec::new()).await {
                Err(failure) if failure.is_silence() => {}
                other => drop(other?),
            }
        }
        Ok(())
    }

    /// Reads along until `whom` answers, and collects the errors that come before, even if no answer does.
    async fn read_until(
        &mut self,
        whom: Option<Jid>,
        patience: Duration,
        errors: &mut Vec<Stanza>,
    ) -> Result<Option<StanzaError>, Failure> {
        let contacts = &mut self.contacts;
        fence(&mut self.client, whom, patience, |stanza| {
            contacts.take(&stanza);
            if stanza.head.kind.is_error() {
                errors.push(stanza);
            }
        })
        .await
    }

    /// Reads along until the contacts are as wanted, but not for long.
    pub(crate) async fn watch(&mut self, is_done: impl Fn(&Contacts) -> bool) -> Result<(), Failure> {
        let done = async {
            while !is_done(&self.contacts) && self.next().await?.is_some() {}
            Ok(())
        };
        tokio::time::timeout(AT_ONCE, done).await.unwrap_or(Ok(())).map_err(ended)
    }

    /// Asks the server to say when it has processed all that was sent; [`next`](Session::next) brings the answer.
    pub(crate) async fn ping(&mut self) -> Result<RequestId, Failure> {
        let server = self.server();
        self.client.start_request(RequestKind::Get, server, ping(), PATIENCE).await.map_err(ended)
    }

    fn server(&self) -> Option<Jid> {
        domain(self.jid().domainpart())
    }

    /// The next event, with what it says about contacts. `None`: the stream has been closed in good order.
    pub(crate) async fn next(&mut self) -> Result<Option<(MachineEvent, Option<News>)>, Error> {
        let event = self.client.next().await?;
        Ok(event.map(|event| {
            let news = match &event {
                MachineEvent::Stanza(stanza) => self.contacts.take(stanza),
                _ => None,
            };
            (event, news)
        }))
    }

    /// Says that nobody is here any more (RFC 6121 section 4.5), and begins to close the stream.
    pub(crate) async fn leave(&mut self) {
        // If it cannot be said there is nobody to say it to, as `next` will show.
        let _ = self.client.send(&Presence::unavailable(None)).await;
        self.client.start_close();
    }

    /// Ends a session without a connection, if the server keeps it and can be reached soon. Otherwise it ends by itself, which nobody here can
    /// change. Who insists does not want to wait for that.
    pub(crate) async fn end(&mut self, stop: &mut Stop) {
        if !self.client.machine().is_resumable() {
            return;
        }
        let reconnected = tokio::select! {
            reconnected = tokio::time::timeout(SOON, self.client.reconnect()) => matches!(reconnected, Ok(Ok(_))),
            () = stop.insisted() => false,
        };
        if reconnected {
            let _ = self.close(stop.insisted()).await;
        }
    }

    /// Leaves, and waits until the stream has been closed, but not for long, and no longer than until `enough`.
    pub(crate) async fn close(&mut self, enough: impl Future<Output = ()>) -> Result<(), Failure> {
        let closed = async {
            self.leave().await;
            while let Some((event, _)) = self.next().await.map_err(ended)? {
                match event {
                    MachineEvent::Stanza(stanza) if self.shows_messages => show(&stanza, self.jid()),
                    _ => {}
                }
            }
            Ok(())
        };
        tokio::select! {
            closed = tokio::time::timeout(SOON, closed) => closed.unwrap_or_else(|_| Err(silent("the server"))),
            () = enough => Err(interrupted()),
        }
    }
}

fn domain(name: &str) -> Option<Jid> {
    BareJid::from_parts(None, name).ok().map(Jid::from)
}

/// Waits until `whom` has answered a ping (XEP-0199), with whatever, and hands over all stanzas that come before. Stanzas
/// from one to the other keep their order (RFC 6120 section 10.1), so what was sent to `whom` before has been processed then,
/// and errors about it are among these stanzas, if `whom` is at the own server; another one may answer a request while it still stores what
/// came before it. Returns the error, if that is the answer.
pub(crate) async fn fence(
    client: &mut ConnectedClient,
    whom: Option<Jid>,
    patience: Duration,
    mut seen: impl FnMut(Stanza),
) -> Result<Option<StanzaError>, Failure> {
    let name = whom.as_ref().map_or_else(|| "the server".into(), ToString::to_string);
    let request = client.start_request(RequestKind::Get, whom, ping(), patience).await.map_err(ended)?;
    loop {
        match client.next().await.map_err(ended)? {
            Some(MachineEvent::Stanza(stanza)) => seen(*stanza),
            Some(MachineEvent::Response(response, RequestOutcome::TimedOut)) if response == request => {
                return Err(silent(&name));
            }
            Some(MachineEvent::Response(response, outcome)) if response == request => {
                return Ok(match outcome {
                    RequestOutcome::Error(error) => Some(error),
                    _ => None,
                });
            }
            Some(_) => {}
            None => return Err(Failure::new("the server has closed the stream")),
        }
    }
}

fn ping() -> Payload {
    Ping.to_element().into()
}

pub(crate) fn silent(whom: &str) -> Failure {
    Failure::silence(format!("{whom} does not answer"))
}

pub(crate) fn ended(error: Error) -> Failure {
    match &error {
        Error::Ended(balcony_client::Error::Stream(balcony_stream::Error::Remote(of)))
            if of.condition == StreamCondition::PolicyViolation =>
        {
            Failure::of_policy(error.to_string())
        }
        // We have ended it, since nothing came.
        Error::Ended(balcony_client::Error::Stream(balcony_stream::Error::Local(of)))
            if of.condition == StreamCondition::ConnectionTimeout =>
        {
            Failure::new(silent("the server").message())
        }
        _ => Failure::new(error.to_string()),
    }
}
