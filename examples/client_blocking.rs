//! A client on a socket that blocks, without a runtime: it says something to somebody, prints the answer, and ends.
//!
//! `cargo run -p balcony-examples --example client_blocking -- juliet@example.com But soft`
//!
//! The account is in the environment: BALCONY_JID and BALCONY_PASSWORD; and if need be BALCONY_CONNECT, `host:port`, and BALCONY_CA, a
//! file with certificates. All that is asked of the network is in `connect`, `exchange` and `finish`; whoever has another transport writes these anew.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it has a clock and a socket of its own"
)]

use std::env;
use std::time::Instant as Clock;

use balcony::blocking::{connect, exchange, finish};
use balcony::prelude::*;
use balcony::runtime::seed;
use balcony::{ClientMachine, Instant, MachineEvent, Pump, PumpStep, answer};
use balcony_examples::Failure;

fn main() -> Result<(), Failure> {
    let mut words = env::args().skip(1);
    let to: Jid = words.next().ok_or("whom to write to is not said")?.parse()?;
    let words = words.collect::<Vec<_>>().join(" ");
    let (config, place) = Client::from_env().config()?;
    let mut socket = connect(&place)?;

    // The machine has neither a clock nor randomness: it is told both.
    let clock = Clock::now();
    let now = || Instant::from_elapsed(clock.elapsed());
    let mut pump = Pump::new(ClientMachine::new(config, &seed(), now()));
    loop {
        let step = match pump.step(now()) {
            Ok(step) => step,
            Err(error) => {
                // The server is told what was wrong, if it still listens; why it has gone wrong counts more.
                let _ = finish(socket, pump.output());
                return Err(error.into());
            }
        };
        match step {
            // The answer to a question of the login, which takes some time to compute.
            PumpStep::Event(MachineEvent::Ask(ticket, ask)) => pump.answer(ticket, answer(ask)),
            PumpStep::Event(MachineEvent::Online(jid)) => {
                println!("online as {jid}");
                // Without it nobody knows that we are here, and nothing comes that is addressed to the account.
                pump.send(now(), &Presence::available().to_stanza())?;
                pump.send(now(), &Message::chat(to.clone()).body(&words).to_stanza())?;
            }
            PumpStep::Event(MachineEvent::Stanza(stanza)) => {
                if let Some(message) = Message::read(*stanza)
                    && let (Some(from), Some(body)) = (message.from(), message.body())
                    && from.to_bare() == to.to_bare()
                {
                    println!("{from}: {body}");
                    pump.close(now());
                }
            }
            PumpStep::Event(_) => {}
            PumpStep::Wait => exchange(&mut socket, &mut pump, now())?,
            PumpStep::Closed => return Ok(finish(socket, pump.output())?),
        }
    }
}
