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
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant as Clock;

use balcony::prelude::*;
use balcony::{AgentEvent, DeviceStep, Instant, answer};

const NS: &str = "urn:example:thermometer";

fn main() -> Result<(), Error> {
    let about = Discovery::new("Thermometer", "1.0").identity("client", "bot").feature(NS);
    let (mut device, place) = Client::from_env().with(about).patient().device()?;
    let (clock, mut socket) = (Clock::now(), None::<TcpStream>);
    let now = || Instant::from_elapsed(clock.elapsed());
    loop {
        match device.step(now()) {
            DeviceStep::Connect => match TcpStream::connect((place.host.as_str(), place.port)) {
                Ok(new) => {
                    device.connected(now());
                    socket = Some(new);
                }
                Err(error) => device.unreachable(now(), &error.to_string()),
            },
            DeviceStep::Event(AgentEvent::Request((id, request))) => match request.element() {
                // Others do not get it: a device has to know no more than this.
                asked if asked.is("temperature", NS) => {
                    let degrees = Element::new(Name::from_static("temperature"), NS).text("21.5");
                    device.agent().reply(id, degrees.into());
                }
                _ => drop(device.agent().refuse(id, &ErrorCondition::ServiceUnavailable.into())),
            },
            DeviceStep::Event(AgentEvent::Offline { why, .. }) => println!("{why}"),
            DeviceStep::Event(AgentEvent::Online(jid)) => println!("online as {jid}"),
            DeviceStep::Event(AgentEvent::Resumed) => println!("online again"),
            DeviceStep::Event(_) | DeviceStep::Completed(..) | DeviceStep::StartTls => {}
            // The answer to a question of the login, which takes some time to compute.
            DeviceStep::Ask(ticket, ask) => device.answer(ticket, answer(ask)),
            DeviceStep::Disconnect => {
                // Its last words, as far as they fit; whoever has gone does not hear them.
                let _ = socket.take().map(|mut socket| socket.write(device.output()));
            }
            DeviceStep::Ended(why) => return Err(Error::Ended(why)),
            DeviceStep::Wait => {
                // Zero would mean to wait for ever.
                let wait = device.deadline().map(|due| (due - now()).max(Duration::from_millis(1)));
                let Some(tcp) = &mut socket else {
                    std::thread::sleep(wait.unwrap_or_default());
                    continue;
                };
                let mut buffer = [0; 4096];
                let room = device.room().min(buffer.len());
                // Whoever reads nothing any more must not hold the loop past what is due. What is left is written the next time.
                let done = match device.output() {
                    [] => tcp
                        .set_read_timeout(wait)
                        .and_then(|()| tcp.read(&mut buffer[..room]))
                        .map(|count| device.received(&buffer[..count])),
                    output => tcp
                        .set_write_timeout(wait)
                        .and_then(|()| tcp.write(output))
                        .map(|count| device.wrote(count)),
                };
                match done {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(error) => {
                        socket = None;
                        device.broken(now(), &error.to_string());
                    }
                }
            }
        }
    }
}
