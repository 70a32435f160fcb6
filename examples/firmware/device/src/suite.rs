//! The phone of the suite of scenarios (`runtimes/`) on this board: it is told what to do by its console, the third UART, and says there what happens.
//! The rest is as with the lamp.
#![no_std]
#![no_main]

extern crate alloc;

#[allow(dead_code, reason = "its line says itself whether it is there")]
mod board;
mod copy;
#[allow(dead_code, reason = "it says nothing to the debugger")]
mod debugger;
#[allow(dead_code, reason = "its peak is the lamp's to know")]
mod heap;
mod uart;
#[path = "../../../../runtimes/src/words.rs"]
mod words;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use balcony_client::{AgentEvent, ClientConfig, Device, DeviceStep, Discovery, answer};
use balcony_jid::Jid;
use balcony_machine::{Secret, Seed};
use balcony_sasl::Mechanism;
use balcony_stanza::ErrorCondition;
use balcony_stream::TlsPolicy;
use board::Board;
use cortex_m_rt::entry;
use debugger::{end, entropy, say};
use uart::{CONSOLE, LINE as SERVER};
use words::{Command, Teller};

/// The loop's own buffer.
const CHUNK: usize = 128;
/// The longest line that it can be told.
const LINE: usize = 512;

#[derive(Default)]
struct Phone {
    device: Option<Box<Device<(Discovery,)>>>,
    /// There is a connection on the line; it is spent if the device has done with it.
    is_up: bool,
    is_spent: bool,
    /// The device has it.
    is_connected: bool,
    is_closing: bool,
    teller: Teller,
    /// What has come of the next line.
    told: Vec<u8>,
}

#[entry]
fn main() -> ! {
    heap::start();
    if let Some(board) = Board::start() {
        CONSOLE.start(3);
        let done = Phone { told: Vec::with_capacity(LINE), ..Phone::default() }.run(board);
        say(&[done.unwrap_or("there is no randomness")]);
    }
    end(false)
}

fn tell(line: &str) {
    line.bytes().chain([b'\n']).for_each(|byte| CONSOLE.put(byte));
}

impl Phone {
    /// What was wrong; `None`: it has no randomness.
    fn run(&mut self, mut board: Board) -> Option<&'static str> {
        loop {
            let now = board.now();
            if self.listens() {
                let line = String::from_utf8(core::mem::replace(&mut self.told, Vec::with_capacity(LINE)));
                let line = line.unwrap_or_default();
                match (words::read(&line), &mut self.device) {
                    (Some(Command::Connect { address, priority, password, .. }), None) => {
                        let Ok(jid) = Jid::parse(address) else { return Some("this is no address") };
                        let mut config = ClientConfig::new(jid.to_bare(), Secret::new(password.into()));
                        config.stream.resource = jid.resourcepart().map(String::from);
                        // The line is the device's own, to a gateway that stands beside it.
                        config.stream.tls = TlsPolicy::None;
                        config.stream.mechanisms = vec![Mechanism::ScramSha256];
                        let discovery = (Discovery::new("Suite", "1"),);
                        let seed = Seed::new(entropy()?);
                        self.device =
                            Some(Box::new(Device::new(config, words::agent(priority), discovery, &seed)));
                    }
                    (Some(Command::Wake), Some(device)) => device.wake(now),
                    (Some(Command::Close), Some(device)) => {
                        self.is_closing = true;
                        device.close(now);
                    }
                    (Some(Command::Figures), _) => {
                        tell(&alloc::format!("figures {} {}", heap::used(), heap::allocations()));
                    }
                    (Some(command), Some(device)) => {
                        if !self.teller.command(device.agent(), now, &command) {
                            return Some("this cannot be done");
                        }
                    }
                    _ => return Some("this cannot be done now"),
                }
            }
            self.step(&mut board);
        }
    }

    /// Reads what has come on the console; whether that is a whole line.
    fn listens(&mut self) -> bool {
        while let Some(byte) = CONSOLE.byte() {
            match byte {
                b'\n' => return true,
                byte if self.told.len() < LINE => self.told.push(byte),
                _ => {}
            }
        }
        false
    }

    /// Reads what has come on the line, up to the end of a connection. On it 1 begins one and 0 ends it: XMPP has no such bytes.
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        while count < buffer.len()
            && let Some(byte) = SERVER.byte()
        {
            match byte {
                1 => self.is_up = true,
                0 => {
                    (self.is_up, self.is_spent) = (false, false);
                    break;
                }
                _ => {
                    buffer[count] = byte;
                    count += usize::from(self.is_connected);
                }
            }
        }
        count
    }

    /// The device has done with its connection.
    fn leave(&mut self) {
        (self.is_connected, self.is_spent) = (false, self.is_up);
    }

    fn step(&mut self, board: &mut Board) {
        let (now, mut buffer) = (board.now(), [0; CHUNK]);
        let Some(mut device) = self.device.take() else {
            self.read(&mut buffer);
            return;
        };
        match device.step(now) {
            DeviceStep::Connect if self.is_up && !self.is_spent => {
                device.connected(now);
                self.is_connected = true;
            }
            DeviceStep::Event(AgentEvent::Request((id, _))) => {
                device.agent().refuse(id, &ErrorCondition::ServiceUnavailable.into());
            }
            DeviceStep::Event(event) => self.teller.tell(&event).iter().for_each(|line| tell(line)),
            DeviceStep::Completed(call, completion) => {
                self.teller.completed(call, &completion).iter().for_each(|line| tell(line));
            }
            DeviceStep::Ask(ticket, ask) => device.answer(ticket, answer(ask)),
            DeviceStep::Wait if self.is_connected => {
                board.write(device.output());
                device.wrote(usize::MAX);
                let room = device.room().min(buffer.len());
                match self.read(&mut buffer[..room]) {
                    0 if self.is_up => {}
                    0 => {
                        self.leave();
                        device.broken(now, "the line is cut");
                    }
                    count => device.received(&buffer[..count]),
                }
            }
            DeviceStep::Disconnect => {
                board.write(device.output());
                self.leave();
            }
            DeviceStep::Ended(why) => {
                if core::mem::take(&mut self.is_closing) {
                    tell("closed");
                } else {
                    tell(&alloc::format!("ended: {why}"));
                }
                return self.leave();
            }
            DeviceStep::Connect | DeviceStep::Wait | DeviceStep::StartTls => {
                self.read(&mut buffer);
            }
        }
        self.device = Some(device);
    }
}
