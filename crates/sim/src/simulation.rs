//! A world whose clients live by themselves: they log in, do what a closure says, lose their connections and make new ones, and wait.

use core::any::Any;
use core::time::Duration;
use std::collections::BTreeMap;

use balcony_client::{
    Agent, AgentConfig, AgentEvent, CallId, ClientConfig, ClientMachine, Completion, ConnectError,
    Disconnected, Extensions, Iq, MachineEvent, Pump, PumpError, PumpStep, RequestError, Response,
};
use balcony_jid::FullJid;
use balcony_machine::{Instant, Random, Secret};
use balcony_stanza::{ErrorCondition, Stanza};
use balcony_stream::TlsPolicy;

use crate::{Accounts, Peer, World};

/// What a client does with what happens to it: it may send, request and call, by the [`Agent`].
pub trait Logic<X>: FnMut(&mut Agent<X>, Instant, AgentEvent) {}

impl<X, F: FnMut(&mut Agent<X>, Instant, AgentEvent)> Logic<X> for F {}

/// A server, and clients that live by themselves: see the [crate documentation](crate).
///
/// 1. **Make it**: [`new`](Simulation::new) around a [`World`], which has the server's configuration and the seed; clients by
///    [`client`](Simulation::client), or [`bot`](Simulation::bot) with logic of their own.
/// 2. **Do something**: [`send`](Simulation::send), [`request`](Simulation::request), [`cut`](Simulation::cut),
///    [`unplug`](Simulation::unplug), or anything with the `world`.
/// 3. **Let it happen**: [`run`](Simulation::run) until nothing is on its way, or [`wait`](Simulation::wait) while time passes. What is done in
///    step 2 runs by itself.
/// 4. **Look**: [`events`](Simulation::events), [`messages`](Simulation::messages), [`outcome`](Simulation::outcome),
///    [`jid`](Simulation::jid).
pub struct Simulation {
    /// The server, its accounts and the time.
    pub world: World,
    clients: Vec<Box<dyn Living>>,
    random: Random,
}

/// Names a client of a [`Simulation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(usize);

/// What a simulation does with a client, whatever its extensions.
trait Living {
    /// Does what there is to do now; whether that was anything.
    fn step(&mut self, world: &mut World, random: &mut Random) -> bool;
    fn deadline(&self) -> Option<Instant>;
    fn send(&mut self, stanza: Stanza);
    fn request(&mut self, now: Instant, iq: Iq) -> Result<CallId, RequestError>;
    fn line(&mut self) -> &mut Line;
    fn agent(&mut self) -> &mut dyn Any;
    fn jid(&self) -> Option<&FullJid>;
    fn end(&self) -> Option<&Disconnected>;
}

/// What a client has between itself and the server, and what it has told.
struct Line {
    peer: Option<Peer>,
    /// How much of what the server has sent has been taken.
    read: usize,
    /// Whether there is a network.
    is_plugged: bool,
    events: Vec<AgentEvent>,
    outcomes: BTreeMap<CallId, Result<Response, RequestError>>,
    calls: BTreeMap<CallId, Box<dyn Any + Send>>,
}

struct Bot<X, L> {
    agent: Agent<X>,
    config: ClientConfig,
    /// Without one its events are kept.
    logic: Option<L>,
    pump: Option<Pump>,
    line: Line,
}

impl Simulation {
    /// With the server of this world, and no clients.
    #[must_use]
    pub fn new(mut world: World) -> Self {
        let random = world.seed().random();
        Simulation { world, clients: Vec::new(), random }
    }

    /// What a client needs to log in at the server of this world: in the clear, unless the server of the world has TLS and you give it
    /// a client configuration with the trust.
    ///
    /// # Panics
    ///
    /// If the address has no resource.
    #[must_use]
    pub fn config(&self, jid: &str, password: &str) -> ClientConfig {
        let jid = FullJid::parse(jid).expect("a full address");
        let mut config = ClientConfig::new(jid.to_bare(), Secret::new(password.into()));
        config.stream.tls = TlsPolicy::None;
        config.stream.resource = Some(jid.resourcepart().into());
        config.for_agent()
    }

    /// A client that keeps what happens to it, available with priority 0. It is online when this returns, if it can be.
    ///
    /// # Panics
    ///
    /// If the address has no resource.
    pub fn client(&mut self, jid: &str, password: &str) -> ClientId {
        self.add(
            self.config(jid, password),
            AgentConfig::default(),
            (),
            None::<fn(&mut Agent<()>, Instant, AgentEvent)>,
        )
    }

    /// A client with extensions, and a closure for what happens to it. It connects again for ever. Requests are
    /// the closure's to answer or refuse, those of the server, too: it gives up a client that does not say that it is there.
    pub fn bot<X: Extensions + 'static>(
        &mut self,
        config: ClientConfig,
        extensions: X,
        logic: impl Logic<X> + 'static,
    ) -> ClientId {
        let mut agent = AgentConfig::default();
        agent.is_patient = true;
        self.bot_with(config, agent, extensions, logic)
    }

    /// The same, with everything said of when it connects and what it shows.
    pub fn bot_with<X: Extensions + 'static>(
        &mut self,
        config: ClientConfig,
        agent: AgentConfig,
        extensions: X,
        logic: impl Logic<X> + 'static,
    ) -> ClientId {
        self.add(config, agent, extensions, Some(logic))
    }

    fn add<X: Extensions + 'static>(
        &mut self,
        config: ClientConfig,
        agent: AgentConfig,
        extensions: X,
        logic: Option<impl Logic<X> + 'static>,
    ) -> ClientId {
        let agent = Agent::new(agent, extensions, &self.random.seed());
        let line = Line {
            peer: None,
            read: 0,
            is_plugged: true,
            events: Vec::new(),
            outcomes: BTreeMap::new(),
            calls: BTreeMap::new(),
        };
        self.clients.push(Box::new(Bot { agent, config, logic, pump: None, line }));
        self.run();
        ClientId(self.clients.len() - 1)
    }

    /// Sends a stanza from a client, or puts it into its outbox while it is offline, and lets it arrive.
    pub fn send(&mut self, client: ClientId, stanza: impl Into<Stanza>) {
        self.clients[client.0].send(stanza.into());
        self.run();
    }

    /// Sends a request from a client, and lets it arrive. By the id [`outcome`](Simulation::outcome) has what comes of it.
    ///
    /// # Errors
    ///
    /// [`RequestError::Offline`].
    pub fn request(&mut self, client: ClientId, iq: Iq) -> Result<CallId, RequestError> {
        let call = self.clients[client.0].request(self.world.now, iq)?;
        self.run();
        Ok(call)
    }

    /// What has come of a request of a client, once; `None`: nothing yet.
    pub fn outcome(&mut self, client: ClientId, request: CallId) -> Option<Result<Response, RequestError>> {
        self.clients[client.0].line().outcomes.remove(&request)
    }

    /// What has come of a call of one of a client's extensions, which its [agent](Simulation::agent) has made, once; `None`: nothing of this
    /// type yet.
    pub fn called<T: Any>(&mut self, client: ClientId, call: CallId) -> Option<T> {
        let calls = &mut self.clients[client.0].line().calls;
        let outcome = calls.remove(&call)?;
        outcome.downcast().ok().map(|outcome| *outcome)
    }

    /// The agent of a client that has these extensions, to tell it to do something; [`run`](Simulation::run) after that.
    ///
    /// # Panics
    ///
    /// If its extensions are others.
    pub fn agent<X: Extensions + 'static>(&mut self, client: ClientId) -> &mut Agent<X> {
        self.clients[client.0].agent().downcast_mut().expect("the extensions that it was made with")
    }

    /// What has happened to a client without logic since the last call. Requests among it have been refused.
    pub fn events(&mut self, client: ClientId) -> Vec<AgentEvent> {
        core::mem::take(&mut self.clients[client.0].line().events)
    }

    /// The bodies of the messages among [`events`](Simulation::events), which are taken.
    pub fn messages(&mut self, client: ClientId) -> Vec<String> {
        let events = self.events(client).into_iter();
        let body = |event| match event {
            AgentEvent::Message(message) => message.body().map(String::from),
            _ => None,
        };
        events.filter_map(body).collect()
    }

    /// Cuts a client's connection, as a network does; neither end can write any more.
    pub fn cut(&mut self, client: ClientId) {
        self.lose(client);
        self.run();
    }

    /// Takes a client's network away, and its connection with it, or gives it back. Without it each attempt to connect fails.
    pub fn unplug(&mut self, client: ClientId, is_unplugged: bool) {
        self.clients[client.0].line().is_plugged = !is_unplugged;
        if is_unplugged {
            self.lose(client);
        }
        self.run();
    }

    fn lose(&mut self, client: ClientId) {
        if let Some(peer) = self.clients[client.0].line().peer {
            self.world.cut(peer);
        }
    }

    /// The address of a client while it is online.
    #[must_use]
    pub fn jid(&self, client: ClientId) -> Option<&FullJid> {
        self.clients[client.0].jid()
    }

    /// Why a client has ended for good; `None` as long as it has not.
    #[must_use]
    pub fn end(&self, client: ClientId) -> Option<&Disconnected> {
        self.clients[client.0].end()
    }

    /// Lets everything that is on its way arrive. Timers run, as far as they are due when something happens.
    pub fn run(&mut self) {
        loop {
            self.world.run();
            let mut busy = false;
            for client in &mut self.clients {
                busy |= client.step(&mut self.world, &mut self.random);
            }
            if !busy {
                return;
            }
        }
    }

    /// Lets so much time pass: server and clients do what becomes due, when it does.
    ///
    /// # Panics
    ///
    /// If a machine leaves something undone that is due.
    pub fn wait(&mut self, length: Duration) {
        let end = self.world.now + length;
        self.run();
        loop {
            let clients = self.clients.iter().filter_map(|client| client.deadline());
            let Some(next) = clients.chain(self.world.next()).min().filter(|next| *next <= end) else {
                break;
            };
            self.world.now = self.world.now.max(next);
            let now = self.world.now;
            self.world.tick();
            self.run();
            let left = self.clients.iter().filter_map(|client| client.deadline()).min();
            assert!(left.is_none_or(|left| left > now), "a client has something left at {now:?}");
        }
        self.world.now = self.world.now.max(end);
    }
}

impl<X: Extensions, L: Logic<X>> Bot<X, L> {
    /// Gets a connection.
    fn connect(&mut self, world: &mut World, random: &mut Random) {
        let (now, seed) = (world.now, random.seed());
        if !self.line.is_plugged {
            let error = ConnectError::Broken("there is no network".into());
            return self.lost(now, Disconnected::Failed(error));
        }
        match &mut self.pump {
            Some(pump) => pump.resume(self.config.clone(), &seed, now).expect("an account of its own"),
            None => self.pump = Some(Pump::new(ClientMachine::new(self.config.clone(), &seed, now))),
        }
        (self.line.peer, self.line.read) = (Some(world.raw()), 0);
    }

    fn lost(&mut self, now: Instant, why: Disconnected) {
        self.line.peer = None;
        let is_resumable = self.pump.as_ref().is_some_and(|pump| pump.client().is_resumable());
        self.agent.offline(now, why, is_resumable);
    }

    /// Takes what the server has sent. `false`: there was nothing.
    fn receive(&mut self, world: &mut World, peer: Peer) -> bool {
        let Some(pump) = &mut self.pump else { return false };
        let fresh = world.received(peer).get(self.line.read..).unwrap_or_default();
        let length = fresh.len().min(pump.room());
        if length == 0 {
            return false;
        }
        let piece = fresh[..length].to_vec();
        let length = world.piece(length);
        pump.received(&piece[..length]);
        self.line.read += length;
        true
    }

    /// Goes on with what has come, until there is no more of it. Why the connection is over, if it is.
    fn advance(&mut self, now: Instant, accounts: &mut Accounts) -> Option<Disconnected> {
        while let Some(pump) = self.pump.as_mut().filter(|_| !self.agent.is_full()) {
            match pump.step(now) {
                Ok(PumpStep::Event(event)) => {
                    if let Some(MachineEvent::Ask(ticket, ask)) = self.agent.take(now, event, pump.client()) {
                        pump.answer(ticket, accounts.answer(ask));
                    }
                    self.talk(now);
                }
                Ok(PumpStep::Wait) => break,
                Ok(PumpStep::Closed) => return Some(Disconnected::ByServer),
                Err(error) if self.agent.jid().is_none() => {
                    return Some(Disconnected::Failed(pump.connect_error(error)));
                }
                Err(error) => return Some(Disconnected::Lost(error)),
            }
        }
        None
    }

    /// Shows its logic what has happened.
    fn talk(&mut self, now: Instant) {
        self.agent.tick(now);
        while let Some(event) = self.agent.next_event() {
            match &mut self.logic {
                Some(logic) => logic(&mut self.agent, now, event),
                None => {
                    // Nobody waits in vain, least of all the server, which asks whether the client is still there.
                    if let AgentEvent::Request((id, _)) = &event {
                        self.agent.refuse(*id, &ErrorCondition::ServiceUnavailable.into());
                    }
                    self.line.events.push(event);
                }
            }
        }
        while let Some((call, completion)) = self.agent.next_completed() {
            let outcome = match completion {
                Completion::Response(outcome) => outcome,
                Completion::Lost => Err(RequestError::Offline),
                Completion::Call(outcome) => {
                    self.line.calls.insert(call, outcome);
                    continue;
                }
            };
            self.line.outcomes.insert(call, outcome);
        }
    }

    /// Puts what is to be sent on the wire. `false`: there was nothing.
    fn write(&mut self, world: &mut World, peer: Peer) -> bool {
        let Some(pump) = &mut self.pump else { return false };
        while let Some(stanza) = self.agent.next_stanza() {
            if let Err(error) = pump.send(world.now, &stanza) {
                self.agent.unsent(stanza);
                // What is not acknowledged yet is not there for ever, and a stream that is over says so.
                debug_assert!(
                    matches!(error, PumpError::Full | PumpError::Misuse(_) | PumpError::Ended(_)),
                    "{error}"
                );
                break;
            }
        }
        let bytes = pump.output().to_vec();
        world.write(peer, &bytes);
        pump.wrote(bytes.len());
        !bytes.is_empty()
    }
}

impl<X: Extensions + 'static, L: Logic<X>> Living for Bot<X, L> {
    fn step(&mut self, world: &mut World, random: &mut Random) -> bool {
        let now = world.now;
        let mut busy = false;
        if self.line.peer.is_none() && self.agent.connects(now) {
            self.connect(world, random);
            busy = true;
        }
        self.talk(now);
        let Some(peer) = self.line.peer else { return busy };
        busy |= self.receive(world, peer);
        let mut why = self.advance(now, &mut world.accounts);
        self.talk(now);
        if why.is_none() && !busy && world.is_closed(peer) {
            let error = PumpError::Broken("the connection was cut".into());
            why = Some(match (self.agent.jid(), &self.pump) {
                (None, Some(pump)) => Disconnected::Failed(pump.connect_error(error)),
                _ => Disconnected::Lost(error),
            });
        }
        busy |= self.write(world, peer);
        if let Some(why) = why {
            world.hang_up(peer);
            self.lost(now, why);
            self.talk(now);
            return true;
        }
        busy
    }

    fn deadline(&self) -> Option<Instant> {
        let connection = self.line.peer.and(self.pump.as_ref()).and_then(Pump::deadline);
        connection.into_iter().chain(self.agent.deadline()).min()
    }

    fn send(&mut self, stanza: Stanza) {
        self.agent.send(stanza).expect("a client that has not ended, and room for one more");
    }

    fn request(&mut self, now: Instant, iq: Iq) -> Result<CallId, RequestError> {
        self.agent.request(now, iq)
    }

    fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    fn agent(&mut self) -> &mut dyn Any {
        &mut self.agent
    }

    fn jid(&self) -> Option<&FullJid> {
        self.agent.jid()
    }

    fn end(&self) -> Option<&Disconnected> {
        self.agent.end().map(AsRef::as_ref)
    }
}

impl core::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Simulation").field("clients", &self.clients.len()).finish_non_exhaustive()
    }
}
