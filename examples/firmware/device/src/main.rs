//! A lamp on a microcontroller: no operating system, no `std`, a fixed arena of memory. It logs in with SCRAM-SHA-256, shows that it is
//! there, answers messages, is controlled by commands (XEP-0050), and goes on with its session when its line was cut (XEP-0198).
//!
//! It checks that what happens is what should happen on the other end's script (`host`), says what it has needed, and ends with a status.
#![no_std]
#![no_main]

extern crate alloc;

mod board;
mod copy;
mod debugger;
mod heap;
mod lamp;
mod stack;

use core::time::Duration;

use alloc::string::String;
use alloc::vec;

use balcony_client::{
    Agent, AgentConfig, AgentEvent, ClientConfig, ClientMachine, Disconnected, Discovery, MachineEvent,
    Presence, Pump, PumpError, Session, Step, answer,
};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Secret, Seed};
use balcony_sasl::Mechanism;
use balcony_stream::TlsPolicy;
use board::Board;
use cortex_m_rt::entry;
use debugger::{check, end, entropy, say, say_number};
use lamp::LampCommands;

// What a device that is sold keeps in its settings.
const ACCOUNT: &str = "juliet@example.com";
const PASSWORD: &str = "pencil";
const RESOURCE: &str = "lamp";
const PRIORITY: i8 = 5;

/// What has to happen, in this order.
const STORY: &[&str] = &[
    "authenticated",
    "online",
    "message",
    "level 70",
    "offline",
    "authenticated",
    "resumed",
    "message",
    "sleep",
    "closed",
];

/// When nothing has come for so long, nothing is under way.
const QUIET: Duration = Duration::from_millis(200);

/// The loop's own buffer.
const CHUNK: usize = 128;

struct Device {
    board: Board,
    config: ClientConfig,
    agent: Agent<(Discovery, LampCommands)>,
    seed: Seed,
    told: usize,
    level: u8,
    /// When something has come last.
    heard: Instant,
    /// Nothing has come since the other end was told that nothing happens.
    rests: bool,
    /// The most memory in use while nothing happens.
    rest: usize,
}

#[entry]
fn main() -> ! {
    heap::start();
    match Board::start().and_then(Device::new) {
        Some(mut device) => device.run(),
        None => say(&["there is no account, or no randomness"]),
    }
    end(false)
}

impl Device {
    fn new(board: Board) -> Option<Device> {
        let account = BareJid::parse(ACCOUNT).ok()?;
        let mut config = ClientConfig::new(account, Secret::new(String::from(PASSWORD))).for_agent();
        config.stream.resource = Some(String::from(RESOURCE));
        // The line is the device's own, to a gateway that stands beside it.
        config.stream.tls = TlsPolicy::None;
        config.stream.mechanisms = vec![Mechanism::ScramSha256];
        let seed = Seed::new(entropy()?);
        let mut patient = AgentConfig::default();
        patient.is_patient = true;
        patient.presence = Some(Presence::available().priority(PRIORITY));
        let extensions =
            (Discovery::new("Lamp", "1.0").identity("client", "bot"), LampCommands::new(ACCOUNT));
        let agent = Agent::new(patient, extensions, &seed);
        Some(Device {
            board,
            config,
            agent,
            seed,
            told: 0,
            level: 0,
            heard: Instant::ZERO,
            rests: false,
            rest: 0,
        })
    }

    fn run(&mut self) {
        let mut session = None;
        loop {
            let now = self.board.now();
            self.agent.tick(now);
            if !self.board.is_up() {
                self.board.forget();
            } else if self.agent.connects(now) {
                let why = self.connection(&mut session);
                let resumable =
                    session.as_ref().is_some_and(|session: &Session| session.resumable().is_some());
                self.agent.offline(self.board.now(), why, resumable);
                self.tell();
            }
            if self.agent.end().is_some() {
                return self.finish();
            }
        }
    }

    /// From the first byte of a connection to the last.
    #[inline(never)]
    fn connection(&mut self, session: &mut Option<Session>) -> Disconnected {
        // What is random in one connection must not be so in the next.
        self.seed = self.seed.random().seed();
        let (config, now) = (self.config.clone(), self.board.now());
        let client = match session.take() {
            Some(session) => match ClientMachine::resuming(config, session, &self.seed, now) {
                Ok(client) => client,
                Err(misuse) => return Disconnected::Lost(misuse.into()),
            },
            None => ClientMachine::new(config, &self.seed, now),
        };
        let mut pump = Pump::new(client);
        let mut buffer = [0; CHUNK];
        let why = loop {
            match self.turn(&mut pump) {
                Ok(true) => {}
                Ok(false) if lamp::sleeps() => break Disconnected::ByOwner,
                Ok(false) => break Disconnected::ByServer,
                Err(error) if self.agent.jid().is_none() => {
                    break Disconnected::Failed(pump.connect_error(error));
                }
                Err(error) => break Disconnected::Lost(error),
            }
            self.board.write(pump.output());
            pump.wrote(usize::MAX);
            if !self.board.is_up() {
                break Disconnected::Lost(PumpError::Broken(String::from("the line is cut")));
            }
            let room = pump.room().min(buffer.len());
            match self.board.read(&mut buffer[..room]) {
                0 => self.idle(&pump),
                count => {
                    (self.heard, self.rests) = (self.board.now(), false);
                    pump.received(&buffer[..count]);
                }
            }
        };
        *session = Some(pump.into_session());
        why
    }

    /// Does all that can be done without input, output or time. `false`: the stream is closed.
    fn turn(&mut self, pump: &mut Pump) -> Result<bool, PumpError> {
        loop {
            let now = self.board.now();
            self.agent.tick(now);
            match pump.step(now)? {
                Step::Event(event) => match self.agent.take(now, event, pump.client()) {
                    Some(MachineEvent::Ask(ticket, ask)) => pump.answer(ticket, answer(ask)),
                    Some(MachineEvent::Authenticated { mechanism: Mechanism::ScramSha256, .. }) => {
                        self.happened("authenticated");
                    }
                    _ => self.tell(),
                },
                Step::Wait => {
                    if let Some(stanza) = self.agent.next_stanza() {
                        if let Err(error) = pump.send(now, &stanza) {
                            self.agent.unsent(stanza);
                            return if error == PumpError::Full { Ok(true) } else { Err(error) };
                        }
                    } else {
                        self.look(now, pump);
                        return Ok(true);
                    }
                }
                Step::Closed => return Ok(false),
            }
        }
    }

    /// What the commands have done.
    fn look(&mut self, now: Instant, pump: &mut Pump) {
        let level = lamp::level();
        if level != self.level {
            self.level = level;
            self.happened("level 70");
        }
        if lamp::sleeps() && STORY.get(self.told) == Some(&"sleep") {
            self.happened("sleep");
            let gone = pump.send(now, &Presence::unavailable(None));
            check(gone.is_ok(), "goodbye");
            pump.close(now);
        }
    }

    fn tell(&mut self) {
        while let Some(event) = self.agent.next_event() {
            match event {
                AgentEvent::Online(_) => {
                    self.happened("online");
                    say_number("figure login-allocations", heap::allocations());
                    say_number("figure login-peak", heap::take_peak());
                }
                AgentEvent::Resumed => self.happened("resumed"),
                AgentEvent::Offline { .. } if lamp::sleeps() => self.happened("closed"),
                AgentEvent::Offline { .. } => self.happened("offline"),
                AgentEvent::Message(message) => {
                    self.happened("message");
                    if STORY.get(self.told) == Some(&"sleep") {
                        // What comes next is more than there is memory for.
                        say_number("figure peak", heap::take_peak());
                    }
                    let text = if self.level == 0 { "It is dark." } else { "There is light." };
                    let sent = self.agent.send(message.reply().body(text).to_stanza());
                    check(sent.is_ok(), "a reply");
                }
                // Others do not get it: a device has to know no more than this.
                AgentEvent::Request((id, _)) => {
                    self.agent.refuse(id, &balcony_stanza::ErrorCondition::ServiceUnavailable.into());
                }
                _ => {}
            }
        }
    }

    /// Something has happened: is it what should?
    fn happened(&mut self, what: &str) {
        say(&["lamp: ", what]);
        check(STORY.get(self.told) == Some(&what), "the story is another one");
        self.told += 1;
    }

    /// Nothing is to be done. A device with a battery sleeps here until a byte comes or something is due (`wfi`, with the interrupts of the
    /// line and of a timer); this one only looks how much memory it holds.
    fn idle(&mut self, pump: &Pump) {
        let is_quiet = self.board.now() - self.heard >= QUIET;
        if is_quiet && self.agent.jid().is_some() && pump.client().unacknowledged().next().is_none() {
            self.rest = self.rest.max(heap::used());
            if !core::mem::replace(&mut self.rests, true) {
                self.board.rests();
            }
        }
    }

    fn finish(&mut self) {
        check(self.told == STORY.len(), "the story is not over");
        check(self.rest > 0, "it was never at rest");
        say_number("figure rest", self.rest);
        say_number("figure arena", heap::ARENA);
        say_number("figure allocations", heap::allocations());
        say_number("figure stack", stack::used());
        end(true)
    }
}
