//! A device without any runtime: a thermometer on a socket of the standard library, which answers what it measures, connects again
//! when its network is back, and goes on with its session.
//!
//! The account is in the environment: BALCONY_JID and BALCONY_PASSWORD; and if need be BALCONY_CONNECT, `host:port`, and BALCONY_CA, a
//! file with certificates. A device without an operating system has the same loop, with its own socket, clock and randomness.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it has a clock and a socket of its own"
)]

use core::time::Duration;
use std::env;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant as Clock;

use balcony_client::{
    Agent, AgentConfig, AgentEvent, ClientConfig, ClientMachine, ConnectError, Context, Disconnected,
    Discovery, Endpoint, Extension, IncomingRequest, MachineEvent, Pump, PumpError, Session, Step, answer,
};
use balcony_examples::Failure;
use balcony_jid::Jid;
use balcony_machine::{Instant, Secret, Seed};
use balcony_stanza::Stanza;
use balcony_xml::{Element, Name};

const NS: &str = "urn:example:thermometer";

/// Answers `<temperature xmlns='urn:example:thermometer'/>`.
struct Thermometer(f32);

impl Extension for Thermometer {
    fn features(&self) -> Vec<std::borrow::Cow<'static, str>> {
        vec![NS.into()]
    }

    fn take(&mut self, context: &mut Context<'_>, stanza: &Stanza) -> bool {
        let asks =
            IncomingRequest::read(stanza).is_some_and(|request| request.element().is("temperature", NS));
        if let (true, Some(result)) = (asks, stanza.result()) {
            let degrees = Element::new(Name::from_static("temperature"), NS).text(&self.0.to_string());
            // There is room for an answer, or nothing would be shown.
            return context.send(result.child(degrees)).is_ok();
        }
        asks
    }
}

struct Device {
    agent: Agent<(Discovery, Thermometer)>,
    config: ClientConfig,
    endpoint: Endpoint,
    seed: Seed,
    clock: Clock,
}

fn main() -> Result<(), Failure> {
    let wanted = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let trust = balcony_tls::TlsTrust::builder();
    let trust = match env::var("BALCONY_CA") {
        Ok(file) => trust.roots_pem(&std::fs::read(file)?)?,
        Err(_) => trust.native_roots()?,
    };
    let jid: Jid = wanted("BALCONY_JID")?.parse()?;
    let mut config =
        ClientConfig::new(jid.to_bare(), Secret::new(wanted("BALCONY_PASSWORD")?)).with_tls(trust.build()?);
    config = config.for_agent();
    config.stream.resource = jid.resourcepart().map(String::from);
    let place = env::var("BALCONY_CONNECT").unwrap_or_else(|_| jid.as_ref().domainpart().to_owned());
    let endpoint = Endpoint::parse(&place, false).ok_or("BALCONY_CONNECT is no place to connect to")?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let (seed, mut patient) = (Seed::new(bytes), AgentConfig::default());
    patient.is_patient = true;
    let extensions = (Discovery::new("Thermometer", "1.0").identity("client", "bot"), Thermometer(21.5));
    let agent = Agent::new(patient, extensions, &seed);
    Device { agent, config, endpoint, seed, clock: Clock::now() }.run()
}

impl Device {
    fn now(&self) -> Instant {
        Instant::from_elapsed(self.clock.elapsed())
    }

    fn run(mut self) -> Result<(), Failure> {
        let mut session = None;
        loop {
            if self.agent.connects(self.now()) {
                let why = self.connection(&mut session);
                let resumable =
                    session.as_ref().is_some_and(|session: &Session| session.resumable().is_some());
                self.agent.offline(self.now(), why, resumable);
                self.tell();
            }
            if let Some(end) = self.agent.end() {
                return Err(end.to_string().into());
            }
            let until = self.agent.deadline().unwrap_or(self.now());
            std::thread::sleep(until - self.now());
            self.agent.tick(self.now());
        }
    }

    /// From the first byte of a connection to the last.
    fn connection(&mut self, session: &mut Option<Session>) -> Disconnected {
        let lost = |error: std::io::Error| Disconnected::Lost(PumpError::Broken(error.to_string()));
        let Some(target) = self.endpoint.target(&self.config.stream.account) else {
            return Disconnected::Failed(ConnectError::NoService("the domain".into()));
        };
        let mut socket = match TcpStream::connect((target.host.as_str(), target.port)) {
            Ok(socket) => socket,
            Err(error) => return lost(error),
        };
        // What is random in one connection must not be so in the next.
        self.seed = self.seed.random().seed();
        let (config, now) = (self.config.clone().for_endpoint(&self.endpoint, &target), self.now());
        let client = match session.take() {
            Some(session) => match ClientMachine::resuming(config, session, &self.seed, now) {
                Ok(client) => client,
                Err(misuse) => return Disconnected::Lost(misuse.into()),
            },
            None => ClientMachine::new(config, &self.seed, now),
        };
        let mut pump = Pump::new(client);
        let why = loop {
            match self.turn(&mut pump) {
                Ok(true) => {}
                Ok(false) => break Disconnected::ByServer,
                Err(error) if self.agent.jid().is_none() => {
                    break Disconnected::Failed(pump.connect_error(error));
                }
                Err(error) => break Disconnected::Lost(error),
            }
            if let Err(error) = exchange(&mut socket, &mut pump, self.agent.deadline(), self.now()) {
                break lost(error);
            }
        };
        *session = Some(pump.into_session());
        why
    }

    /// Does all that can be done without input, output or time. `false`: the stream is closed.
    fn turn(&mut self, pump: &mut Pump) -> Result<bool, PumpError> {
        loop {
            let now = self.now();
            self.agent.tick(now);
            let step = pump.step(now)?;
            match step {
                Step::Event(event) => match self.agent.take(now, event, pump.client()) {
                    Some(MachineEvent::Ask(ticket, ask)) => pump.answer(ticket, answer(ask)),
                    _ => self.tell(),
                },
                Step::Wait => {
                    let Some(stanza) = self.agent.next_stanza() else { return Ok(true) };
                    if let Err(error) = pump.send(now, &stanza) {
                        self.agent.unsent(stanza);
                        return if error == PumpError::Full { Ok(true) } else { Err(error) };
                    }
                }
                Step::Closed => return Ok(false),
            }
        }
    }

    fn tell(&mut self) {
        while let Some(event) = self.agent.next_event() {
            match event {
                AgentEvent::Online(jid) => println!("online as {jid}"),
                AgentEvent::Resumed => println!("online again"),
                AgentEvent::Offline { why, .. } => println!("{why}"),
                // Others do not get it: a device has to know no more than this.
                AgentEvent::Request((id, _)) => {
                    self.agent.refuse(id, &balcony_stanza::ErrorCondition::ServiceUnavailable.into());
                }
                _ => {}
            }
        }
    }
}

/// Writes what there is to write, and reads; no longer than until something is due.
fn exchange(
    socket: &mut TcpStream,
    pump: &mut Pump,
    agent: Option<Instant>,
    now: Instant,
) -> std::io::Result<()> {
    socket.write_all(pump.output())?;
    pump.wrote(usize::MAX);
    let due = pump.deadline().into_iter().chain(agent).min();
    // Zero would mean to wait for ever.
    socket.set_read_timeout(due.map(|due| (due - now).max(Duration::from_millis(1))))?;
    let mut buffer = [0; 4096];
    let room = pump.room().min(buffer.len());
    match socket.read(&mut buffer[..room]) {
        Ok(count) => pump.received(&buffer[..count]),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
            ) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
