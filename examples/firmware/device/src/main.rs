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
mod report;
mod stack;
mod uart;

use core::time::Duration;

use alloc::string::String;
use alloc::vec;

use balcony_client::{
    AgentConfig, AgentEvent, ClientConfig, ClientMachine, Device, DeviceStep, Discovery, Presence, answer,
};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Secret, Seed};
use balcony_sasl::Mechanism;
use balcony_stream::TlsPolicy;
use board::Board;
use cortex_m_rt::entry;
use debugger::{check, end, entropy, say, say_number};
use lamp::LampCommands;
use report::finish;

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

struct Lamp {
    board: Board,
    device: Device<(Discovery, LampCommands)>,
    /// There is a connection on the line.
    is_connected: bool,
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
    match Board::start().and_then(Lamp::new) {
        Some(mut lamp) => lamp.run(),
        None => say(&["there is no account, or no randomness"]),
    }
    end(false)
}

impl Lamp {
    fn new(board: Board) -> Option<Lamp> {
        let account = BareJid::parse(ACCOUNT).ok()?;
        let mut config = ClientConfig::new(account, Secret::new(String::from(PASSWORD)));
        config.stream.resource = Some(String::from(RESOURCE));
        // The line is the device's own, to a gateway that stands beside it.
        config.stream.tls = TlsPolicy::None;
        config.stream.mechanisms = vec![Mechanism::ScramSha256];
        let seed = Seed::new(entropy()?);
        let mut agent = AgentConfig::patient();
        agent.presence = Some(Presence::available().priority(PRIORITY));
        let extensions =
            (Discovery::new("Lamp", "1.0").identity("client", "bot"), LampCommands::new(ACCOUNT));
        Some(Lamp {
            board,
            device: Device::new(config, agent, extensions, &seed),
            is_connected: false,
            told: 0,
            level: 0,
            heard: Instant::ZERO,
            rests: false,
            rest: 0,
        })
    }

    fn run(&mut self) {
        loop {
            let now = self.board.now();
            match self.device.step(now) {
                DeviceStep::Connect if self.board.is_up() => {
                    self.device.connected(now);
                    self.is_connected = true;
                }
                DeviceStep::Connect => self.board.forget(),
                DeviceStep::Event(event) => self.tell(event),
                DeviceStep::Ask(ticket, ask) => self.device.answer(ticket, answer(ask)),
                DeviceStep::Wait if self.is_connected => {
                    self.look(now);
                    self.exchange(now);
                }
                DeviceStep::Wait if !self.board.is_up() => self.board.forget(),
                DeviceStep::Disconnect => {
                    self.board.write(self.device.output());
                    self.is_connected = false;
                }
                DeviceStep::Ended(_) => finish(self.told == STORY.len(), self.rest),
                DeviceStep::Wait | DeviceStep::StartTls | DeviceStep::Completed(..) => {}
            }
        }
    }

    /// Writes what there is to write, and reads.
    fn exchange(&mut self, now: Instant) {
        self.board.write(self.device.output());
        self.device.wrote(usize::MAX);
        if !self.board.is_up() {
            self.is_connected = false;
            return self.device.broken(now, "the line is cut");
        }
        let mut buffer = [0; CHUNK];
        let room = self.device.room().min(buffer.len());
        match self.board.read(&mut buffer[..room]) {
            0 => self.idle(),
            count => {
                (self.heard, self.rests) = (self.board.now(), false);
                self.device.received(&buffer[..count]);
            }
        }
    }

    /// What the commands have done.
    fn look(&mut self, now: Instant) {
        let level = lamp::level();
        if level != self.level {
            self.level = level;
            self.happened("level 70");
        }
        if lamp::sleeps() && STORY.get(self.told) == Some(&"sleep") {
            self.happened("sleep");
            self.device.close(now);
        }
    }

    fn tell(&mut self, event: AgentEvent) {
        match event {
            AgentEvent::Online(_) => {
                self.authenticated();
                self.happened("online");
                say_number("figure login-allocations", heap::allocations());
                say_number("figure login-peak", heap::take_peak());
            }
            AgentEvent::Resumed => {
                self.authenticated();
                self.happened("resumed");
            }
            AgentEvent::Offline { .. } if lamp::sleeps() => self.happened("closed"),
            AgentEvent::Offline { .. } => self.happened("offline"),
            AgentEvent::Message(message) => {
                self.happened("message");
                if STORY.get(self.told) == Some(&"sleep") {
                    // What comes next is more than there is memory for.
                    say_number("figure peak", heap::take_peak());
                }
                let text = if self.level == 0 { "It is dark." } else { "There is light." };
                let sent = self.device.agent().send(message.reply().body(text).to_stanza());
                check(sent.is_ok(), "a reply");
            }
            // Others do not get it: a device has to know no more than this.
            AgentEvent::Request((id, _)) => {
                self.device.agent().refuse(id, &balcony_stanza::ErrorCondition::ServiceUnavailable.into());
            }
            _ => {}
        }
    }

    fn authenticated(&mut self) {
        let mechanism = self.device.client().and_then(|client| client.mechanism());
        check(mechanism == Some(Mechanism::ScramSha256), "the mechanism is another one");
        self.happened("authenticated");
    }

    /// Something has happened: is it what should?
    fn happened(&mut self, what: &str) {
        say(&["lamp: ", what]);
        check(STORY.get(self.told) == Some(&what), "the story is another one");
        self.told += 1;
    }

    /// Nothing is to be done. A device with a battery sleeps here until a byte comes or something is due (`wfi`, with the interrupts of the
    /// line and of a timer); this one only looks how much memory it holds.
    fn idle(&mut self) {
        let is_quiet = self.board.now() - self.heard >= QUIET;
        let is_settled =
            |client: &ClientMachine| client.jid().is_some() && client.unacknowledged().next().is_none();
        if is_quiet && self.device.client().is_some_and(is_settled) {
            self.rest = self.rest.max(heap::used());
            if !core::mem::replace(&mut self.rests, true) {
                self.board.rests();
            }
        }
    }
}
