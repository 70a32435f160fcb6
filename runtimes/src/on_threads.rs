//! A client on a socket of the standard library that blocks: no runtime, one thread, and one for the input.

use core::time::Duration;
use std::net::TcpStream;
use std::time::Instant as Clock;

use async_channel::{Receiver, TryRecvError};
use balcony::blocking::{Buffered, connect, exchange, finish};
use balcony::stanza::ErrorCondition;
use balcony::{AgentEvent, Client, Device, DeviceStep, Disconnected, Discovery, Instant, Presence, answer};

use crate::Failure;
use crate::party::{figures, tell};
use crate::words::{self, Command, Teller};

/// How often it looks whether it is told something, while it waits for its socket.
const LOOK: Duration = Duration::from_millis(10);

type Extensions = balcony::BoxedExtensions;

/// A device that does not wait for its socket for ever, since its owner may want something.
struct Impatient<'a>(&'a mut Device<Extensions>, Instant);

impl Buffered for Impatient<'_> {
    fn deadline(&self) -> Option<Instant> {
        Some(self.0.deadline().map_or(self.1, |due| due.min(self.1)))
    }

    fn room(&self) -> usize {
        self.0.room()
    }

    fn output(&self) -> &[u8] {
        self.0.output()
    }

    fn received(&mut self, bytes: &[u8]) {
        self.0.received(bytes);
    }

    fn wrote(&mut self, count: usize) {
        self.0.wrote(count);
    }
}

/// Does what it is told.
pub(crate) fn play(lines: &Receiver<String>) -> Result<(), Failure> {
    let clock = Clock::now();
    let now = || Instant::from_elapsed(clock.elapsed());
    let (mut device, mut socket, mut teller) = (None, None::<TcpStream>, Teller::default());
    let mut is_closing = false;
    loop {
        let line = match &device {
            Some(_) => lines.try_recv(),
            // Nothing else can happen.
            None => lines.recv_blocking().map_err(|_| TryRecvError::Closed),
        };
        match line {
            Ok(line) => match (words::read(&line).ok_or("no such command")?, &mut device) {
                (Command::Connect { address, priority, password, place, trust }, None) => {
                    let builder = Client::builder(address).password(password).connect(place);
                    let builder = builder.presence(Presence::available().priority(priority));
                    let builder = builder.with(Discovery::new("Suite", "1"));
                    let builder = match trust {
                        "-" => builder.dangerous_without_tls(),
                        file => builder.trust_pem(&std::fs::read(file)?),
                    };
                    device = Some(builder.device()?);
                }
                (Command::Wake, Some((device, _))) => device.wake(now()),
                (Command::Close, Some((device, _))) => {
                    is_closing = true;
                    device.close(now());
                }
                (Command::Figures, _) => figures(),
                (command, Some((device, _))) => {
                    if !teller.command(device.agent(), now(), &command) {
                        return Err(format!("this cannot be done: {line}").into());
                    }
                }
                _ => return Err(format!("this cannot be done now: {line}").into()),
            },
            Err(TryRecvError::Closed) => return Ok(()),
            Err(TryRecvError::Empty) => {}
        }
        let Some((client, place)) = &mut device else { continue };
        match client.step(now()) {
            DeviceStep::Connect => match connect(place) {
                Ok(new) => {
                    client.connected(now());
                    socket = Some(new);
                }
                Err(error) => client.unreachable(now(), &error.to_string()),
            },
            DeviceStep::Event(AgentEvent::Request((id, _))) => {
                client.agent().refuse(id, &ErrorCondition::ServiceUnavailable.into());
            }
            DeviceStep::Event(event) => teller.tell(&event).into_iter().for_each(tell),
            DeviceStep::Completed(call, completion) => {
                teller.completed(call, &completion).into_iter().for_each(tell);
            }
            DeviceStep::Ask(ticket, ask) => client.answer(ticket, answer(ask)),
            DeviceStep::StartTls => return Err("TLS is the device's own".into()),
            DeviceStep::Disconnect => {
                // Whoever has gone does not hear its last words.
                let _ = socket.take().map_or(Ok(()), |socket| finish(socket, client.output()));
            }
            DeviceStep::Ended(why) if is_closing && *why == Disconnected::ByOwner => {
                tell("closed");
                (device, is_closing) = (None, false);
            }
            DeviceStep::Ended(why) => {
                tell(format_args!("ended: {why}"));
                device = None;
            }
            DeviceStep::Wait => match &mut socket {
                Some(open) => {
                    let until = now() + LOOK;
                    if let Err(error) = exchange(open, &mut Impatient(client, until), now()) {
                        socket = None;
                        client.broken(now(), &error.to_string());
                    }
                }
                None => std::thread::sleep(LOOK),
            },
        }
    }
}
