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

use std::time::Instant as Clock;

use balcony::blocking::{connect, exchange, finish};
use balcony::prelude::*;
use balcony::{AgentEvent, DeviceStep, Instant, answer};

const NS: &str = "urn:example:thermometer";

fn main() -> Result<(), Error> {
    let about = Discovery::new("Thermometer", "1.0").identity("client", "bot").feature(NS);
    let (mut device, place) = Client::from_env().with(about).patient().device()?;
    let (clock, mut socket) = (Clock::now(), None);
    let now = || Instant::from_elapsed(clock.elapsed());
    loop {
        match device.step(now()) {
            DeviceStep::Connect => match connect(&place) {
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
            // Whoever has gone does not hear the last words.
            DeviceStep::Disconnect => drop(socket.take().map(|socket| finish(socket, device.output()))),
            DeviceStep::Ended(why) => return Err(Error::Ended(why)),
            DeviceStep::Wait => match &mut socket {
                Some(tcp) => {
                    if let Err(error) = exchange(tcp, &mut device, now()) {
                        socket = None;
                        device.broken(now(), &error.to_string());
                    }
                }
                None => std::thread::sleep(device.deadline().map(|due| due - now()).unwrap_or_default()),
            },
        }
    }
}
