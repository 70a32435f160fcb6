//! The lamp of `device` on embassy: the same story, memory and commands, in a task of embassy's executor, which sleeps while nothing happens.
//!
//! `balcony_embedded::Client` drives the connection; beside it the task looks whether the lamp was switched, and whether all is quiet.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "../../device/src/copy.rs"]
mod copy;
#[path = "../../device/src/debugger.rs"]
mod debugger;
#[path = "../../device/src/heap.rs"]
mod heap;
#[path = "../../device/src/lamp.rs"]
mod lamp;
mod line;
#[path = "../../device/src/report.rs"]
mod report;
#[path = "../../device/src/stack.rs"]
mod stack;
mod time;
#[path = "../../device/src/uart.rs"]
mod uart;

use core::future::poll_fn;
use core::task::Poll;

use alloc::string::String;
use alloc::vec;

use balcony_client::{AgentConfig, AgentEvent, ClientConfig, Device, Discovery, Presence};
use balcony_embedded::{Client, EmbassyClock, Event};
use balcony_jid::BareJid;
use balcony_machine::{Secret, Seed};
use balcony_sasl::Mechanism;
use balcony_stanza::ErrorCondition;
use balcony_stream::TlsPolicy;
use debugger::{check, end, entropy, say, say_number};
use embassy_executor::Spawner;
use embassy_futures::select::{Either3, select3};
use embassy_time::{Duration, Instant, Timer};
use lamp::LampCommands;
use line::Line;
use report::finish;

// What a device that is sold keeps in its settings.
const ACCOUNT: &str = "juliet@example.com";
const PASSWORD: &str = "pencil";
const RESOURCE: &str = "lamp";
const PRIORITY: i8 = 5;

/// What has to happen, in this order.
const STORY: &[&str] = &["online", "message", "level 70", "offline", "resumed", "message", "sleep", "closed"];

/// When nothing has come for so long, nothing is under way.
const QUIET: Duration = Duration::from_millis(200);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);

type LampClient = Client<(Discovery, LampCommands), Line, EmbassyClock>;

struct Lamp {
    client: LampClient,
    told: usize,
    level: u8,
    /// It has not been told to end.
    is_awake: bool,
    /// What had come last when the other end was told that nothing happens.
    rested: Instant,
    /// The most memory in use while nothing happens.
    rest: usize,
}

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    heap::start();
    if let Some(mut peripherals) = cortex_m::Peripherals::take() {
        time::start(&mut peripherals.SYST);
        line::start();
    }
    match client() {
        Some(client) => {
            Lamp { client, told: 0, level: 0, is_awake: true, rested: Instant::MIN, rest: 0 }.run().await
        }
        None => say(&["there is no account, or no randomness"]),
    }
    end(false)
}

fn client() -> Option<LampClient> {
    let account = BareJid::parse(ACCOUNT).ok()?;
    let mut config = ClientConfig::new(account, Secret::new(String::from(PASSWORD)));
    config.stream.resource = Some(String::from(RESOURCE));
    // The line is the device's own, to a gateway that stands beside it.
    config.stream.tls = TlsPolicy::None;
    config.stream.mechanisms = vec![Mechanism::ScramSha256];
    let mut agent = AgentConfig::patient();
    agent.presence = Some(Presence::available().priority(PRIORITY));
    let extensions = (Discovery::new("Lamp", "1.0").identity("client", "bot"), LampCommands::new(ACCOUNT));
    let device = Device::new(config, agent, extensions, &Seed::new(entropy()?));
    Some(Client::new(device, Line::new(), EmbassyClock))
}

impl Lamp {
    async fn run(mut self) {
        loop {
            let (level, is_awake) = (self.level, self.is_awake);
            // The commands run while the next event is awaited, and what they have done is seen after it.
            let switched = poll_fn(|_| match lamp::level() != level || (is_awake && lamp::sleeps()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
            match select3(self.client.next(), switched, Timer::after(LOOK)).await {
                Either3::First(Ok(Event::Agent(event))) => self.tell(event),
                Either3::First(Ok(_)) => {}
                Either3::First(Err(_)) => {
                    self.happened("closed");
                    finish(self.told == STORY.len(), self.rest);
                }
                Either3::Second(()) if lamp::sleeps() => {
                    self.happened("sleep");
                    self.is_awake = false;
                    self.client.close();
                }
                Either3::Second(()) => {
                    self.level = lamp::level();
                    self.happened("level 70");
                }
                Either3::Third(()) => self.look(),
            }
        }
    }

    fn tell(&mut self, event: AgentEvent) {
        match event {
            AgentEvent::Online(_) => {
                self.happened("online");
                let mechanism = self.client.device().client().and_then(|client| client.mechanism());
                check(mechanism == Some(Mechanism::ScramSha256), "the mechanism is another one");
                say_number("figure login-allocations", heap::allocations());
                say_number("figure login-peak", heap::take_peak());
            }
            AgentEvent::Resumed => self.happened("resumed"),
            AgentEvent::Offline { .. } if self.is_awake => self.happened("offline"),
            AgentEvent::Message(message) => {
                self.happened("message");
                if STORY.get(self.told) == Some(&"sleep") {
                    // What comes next is more than there is memory for.
                    say_number("figure peak", heap::take_peak());
                }
                let text = if self.level == 0 { "It is dark." } else { "There is light." };
                let sent = self.client.agent().send(message.reply().body(text).to_stanza());
                check(sent.is_ok(), "a reply");
            }
            // Others do not get it: a device has to know no more than this.
            AgentEvent::Request((id, _)) => {
                self.client.agent().refuse(id, &ErrorCondition::ServiceUnavailable.into());
            }
            _ => {}
        }
    }

    /// Something has happened: is it what should?
    fn happened(&mut self, what: &str) {
        say(&["lamp: ", what]);
        check(STORY.get(self.told) == Some(&what), "the story is another one");
        self.told += 1;
    }

    /// Tells the other end once that nothing is under way.
    fn look(&mut self) {
        let (heard, client) = (line::heard(), self.client.device().client());
        let is_settled =
            client.is_some_and(|client| client.jid().is_some() && client.unacknowledged().next().is_none());
        if is_settled && heard != self.rested && Instant::now() - heard >= QUIET {
            self.rest = self.rest.max(heap::used());
            self.rested = heard;
            line::rests();
        }
    }
}
