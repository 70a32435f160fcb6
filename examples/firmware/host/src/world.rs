//! The server and everybody who is connected to it: the device by its line, two people in this process.

use std::time::Instant as Clock;

use balcony_client::{
    Agent, AgentConfig, AgentEvent, CallId, ClientConfig, ClientMachine, CommandCall, CommandOutcome,
    Commands, Completion, MachineEvent, Message, Presence, Pump, RequestError, PumpStep, answer,
};
use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Secret, Seed};
use balcony_router::Memory;
use balcony_sasl::{Credentials, Mechanism};
use balcony_server::{Action, Answer, Ask, ConnectionId, Notice, Server, Transport};
use balcony_stanza::ErrorCondition;
use balcony_stream::TlsPolicy;
use balcony_stream::server::{ServerAnswer, ServerAsk};
use balcony_xml::{Element, Name};

use crate::Failure;
use crate::board::Board;

const PASSWORD: &str = "pencil";
const ITERATIONS: u32 = 4096;

pub(crate) struct World {
    server: Server,
    actions: Vec<Action>,
    credentials: Credentials,
    kept: Memory,
    clock: Clock,
    board: Board,
    /// The device's connection, while it has a line, and what waits to go there.
    line: Option<(ConnectionId, Vec<u8>)>,
    pub(crate) people: Vec<Person>,
    /// What has happened to connections.
    pub(crate) notices: Vec<Notice>,
}

/// Somebody with a client.
pub(crate) struct Person {
    id: ConnectionId,
    pump: Pump,
    agent: Agent<(Commands,)>,
    pub(crate) is_online: bool,
    /// What others have written to them.
    pub(crate) messages: Vec<(String, String)>,
    /// Why what they have written was not delivered.
    pub(crate) refused: Vec<ErrorCondition>,
    /// Who is there, and with which priority; or gone.
    pub(crate) presences: Vec<(String, Option<i8>)>,
}

impl World {
    pub(crate) fn new(board: Board) -> Result<World, Failure> {
        let domain: BareJid = "example.com".parse()?;
        let mut config = balcony_server::ServerConfig::new(vec![domain], Secret::new([7; 32]));
        config.tls = TlsPolicy::None;
        // The lamp itself has to know who may ask it.
        config.iq_needs_presence = false;
        let mut kept = Memory::default();
        for account in ["juliet@example.com", "romeo@example.com"] {
            kept.create(account.parse()?);
        }
        Ok(World {
            server: Server::new(config, Seed::from_u64(0)),
            actions: Vec::new(),
            credentials: Credentials::derive(PASSWORD, b"sixteen bytes ok", ITERATIONS)?,
            kept,
            clock: Clock::now(),
            board,
            line: None,
            people: Vec::new(),
            notices: Vec::new(),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_elapsed(self.clock.elapsed())
    }

    /// Somebody connects, and logs in in the turns that follow; their place.
    pub(crate) fn person(&mut self, jid: &str, priority: i8) -> Result<usize, Failure> {
        let (jid, now) = (jid.parse::<Jid>()?, self.now());
        let seed = Seed::from_u64(1 + self.people.len() as u64);
        let mut config = ClientConfig::new(jid.to_bare(), Secret::new(PASSWORD.into())).for_agent();
        config.stream.resource = jid.resourcepart().map(String::from);
        config.stream.tls = TlsPolicy::None;
        config.stream.mechanisms = vec![Mechanism::ScramSha256];
        let mut says = AgentConfig::default();
        says.presence = Some(Presence::available().priority(priority));
        self.people.push(Person {
            id: self.server.accept(now, Transport::Stream, &mut self.actions),
            pump: Pump::new(ClientMachine::new(config, &seed, now)),
            agent: Agent::new(says, (Commands::new(),), &seed),
            is_online: false,
            messages: Vec::new(),
            refused: Vec::new(),
            presences: Vec::new(),
        });
        Ok(self.people.len() - 1)
    }

    /// The device has a line from now on, or none.
    pub(crate) fn set_line(&mut self, is_up: bool) -> Result<(), Failure> {
        let now = self.now();
        if let Some((id, _)) = self.line.take() {
            self.server.broken(now, id, &mut self.actions);
        }
        if is_up {
            // What the device has said to nobody is lost.
            while self.board.read()?.is_some_and(|bytes| !bytes.is_empty()) {}
            self.line = Some((self.server.accept(now, Transport::Stream, &mut self.actions), Vec::new()));
        }
        self.board.set_carrier(is_up)
    }

    pub(crate) fn board(&mut self) -> &mut Board {
        &mut self.board
    }

    /// Writes a message.
    pub(crate) fn write(&mut self, from: usize, to: &str, text: &str) -> Result<(), Failure> {
        let message = Message::chat(to.parse()?).body(text).to_stanza();
        self.people[from].agent.send(message)?;
        Ok(())
    }

    /// Writes a message with so many elements, which takes the recipient many times the memory of its bytes.
    pub(crate) fn crowd(&mut self, from: usize, to: &str, elements: usize) -> Result<(), Failure> {
        let mut crowd = Element::new(Name::from_static("crowd"), "urn:example:crowd");
        for _ in 0..elements {
            crowd = crowd.child(Element::new(Name::from_static("a"), "urn:example:crowd"));
        }
        self.people[from].agent.send(Message::chat(to.parse()?).child(crowd).to_stanza())?;
        Ok(())
    }

    /// Lists commands, or takes a step of one.
    pub(crate) fn command(&mut self, from: usize, command: CommandCall) -> Result<CallId, Failure> {
        let now = self.now();
        let call = self.people[from].agent.call::<Commands>(now, command);
        Ok(call.ok_or("no commands")??)
    }

    /// What has come of it.
    pub(crate) fn outcome(
        &mut self,
        from: usize,
        call: CallId,
    ) -> Option<Result<CommandOutcome, RequestError>> {
        match self.people[from].agent.take_completed(call)? {
            Completion::Call(outcome) => outcome.downcast().ok().map(|outcome| *outcome),
            _ => Some(Err(RequestError::Offline)),
        }
    }

    /// Does all that can be done now; whether anything was.
    pub(crate) fn turn(&mut self) -> Result<bool, Failure> {
        let now = self.now();
        let mut is_busy = false;
        self.server.tick(now, &mut self.actions);
        if let Some(bytes) = self.board.read()?.filter(|bytes| !bytes.is_empty())
            && let Some((id, _)) = &self.line
        {
            is_busy = true;
            self.server.receive(now, *id, &bytes, &mut self.actions);
        }
        for person in &mut self.people {
            person.turn(now)?;
            let output = person.pump.output();
            if !output.is_empty() {
                is_busy = true;
                self.server.receive(now, person.id, output, &mut self.actions);
                person.pump.wrote(usize::MAX);
            }
        }
        while !self.actions.is_empty() || self.server.router().has_parked() {
            if self.actions.is_empty() {
                self.server.take_in(now, &mut self.actions);
            }
            is_busy = true;
            for action in core::mem::take(&mut self.actions) {
                self.act(now, action)?;
            }
        }
        if let Some((_, out)) = &mut self.line
            && !out.is_empty()
        {
            let count = self.board.write(out)?;
            out.drain(..count);
            is_busy |= count > 0;
        }
        Ok(is_busy)
    }

    fn act(&mut self, now: Instant, action: Action) -> Result<(), Failure> {
        match action {
            Action::Write(id) => {
                let mut bytes = Vec::new();
                self.server.take_output(id, &mut bytes);
                if let Some((line, out)) = &mut self.line
                    && *line == id
                {
                    out.append(&mut bytes);
                } else if let Some(person) = self.people.iter_mut().find(|person| person.id == id) {
                    person.pump.received(&bytes);
                }
                self.server.written(now, id, &mut self.actions);
            }
            Action::Ask(ticket, Ask::Stream(ServerAsk::Credentials { hash, .. })) => {
                let keys = self.credentials.get(hash).cloned();
                let answer = Answer::Stream(ServerAnswer::Credentials(keys));
                self.server.answer(now, ticket, answer, &mut self.actions);
            }
            Action::Ask(ticket, Ask::Router(ask)) => {
                let answer = Answer::Router(self.kept.answer(0, ask));
                self.server.answer(now, ticket, answer, &mut self.actions);
            }
            Action::Ask(ticket, Ask::Holders { collection, after, limit }) => {
                let holders = self.kept.holders(collection, after.as_ref(), limit);
                self.server.answer(now, ticket, Answer::Holders(Some(holders)), &mut self.actions);
            }
            Action::Ask(_, ask) => {
                return Err(format!("the server asks for more than it may: {ask:?}").into());
            }
            Action::Notice(_, notice) => {
                println!("server: {notice:?}");
                self.notices.push(notice);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Person {
    fn turn(&mut self, now: Instant) -> Result<(), Failure> {
        loop {
            self.agent.tick(now);
            match self.pump.step(now)? {
                PumpStep::Event(event) => {
                    if let Some(MachineEvent::Ask(ticket, ask)) =
                        self.agent.take(now, event, self.pump.client())
                    {
                        self.pump.answer(ticket, answer(ask));
                    }
                    self.tell();
                }
                PumpStep::Wait => match self.agent.next_stanza() {
                    Some(stanza) => self.pump.send(now, &stanza)?,
                    None => return Ok(()),
                },
                PumpStep::Closed => return Err("the server has closed the stream of a person".into()),
            }
        }
    }

    fn tell(&mut self) {
        while let Some(event) = self.agent.next_event() {
            let name = |from: Option<&Jid>| from.map(Jid::to_string).unwrap_or_default();
            match event {
                AgentEvent::Online(_) => self.is_online = true,
                AgentEvent::Message(message) => {
                    let body = message.body().unwrap_or_default().to_owned();
                    self.messages.push((name(message.from()), body));
                }
                AgentEvent::Presence(presence) => {
                    let priority = presence.is_available().then(|| presence.priority());
                    self.presences.push((name(presence.from()), priority));
                }
                AgentEvent::Undelivered(what) => self.refused.push(what.error.condition),
                _ => {}
            }
        }
    }
}
