//! A client on a socket that blocks, without a runtime: it says something to somebody, prints the answer, and ends.
//!
//! `cargo run -p balcony-examples --example client_blocking -- juliet@example.com But soft`
//!
//! The account is in the environment: BALCONY_JID and BALCONY_PASSWORD; and if need be BALCONY_CONNECT, `host:port`, and BALCONY_CA, a
//! file with certificates. All that is asked of the network is in `exchange`; whoever has another transport writes that anew.
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
    ClientConfig, ClientMachine, Endpoint, MachineEvent, Message, Presence, Pump, Step, answer,
};
use balcony_examples::Failure;
use balcony_jid::Jid;
use balcony_machine::{Instant, Secret, Seed};

fn main() -> Result<(), Failure> {
    let mut words = env::args().skip(1);
    let to: Jid = words.next().ok_or("whom to write to is not said")?.parse()?;
    let words = words.collect::<Vec<_>>().join(" ");

    let (config, endpoint) = configuration()?;
    let target = endpoint.target(&config.stream.account).ok_or("the domain has no such service")?;
    let mut socket = TcpStream::connect((target.host.as_str(), target.port))?;

    // The machine has neither a clock nor randomness: it is told both.
    let clock = Clock::now();
    let now = || Instant::from_elapsed(clock.elapsed());
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let config = config.for_endpoint(&endpoint, &target);
    let mut pump = Pump::new(ClientMachine::new(config, &Seed::new(random), now()));
    loop {
        match pump.step(now())? {
            // The answer to a question of the login, which takes some time to compute.
            Step::Event(MachineEvent::Ask(ticket, ask)) => pump.answer(ticket, answer(ask)),
            Step::Event(MachineEvent::Online(jid)) => {
                println!("online as {jid}");
                // Without it nobody knows that we are here, and nothing comes that is addressed to the account.
                pump.send(now(), &Presence::available().to_stanza())?;
                pump.send(now(), &Message::chat(to.clone()).body(&words).to_stanza())?;
            }
            Step::Event(MachineEvent::Stanza(stanza)) => {
                if let Some(message) = Message::read(*stanza)
                    && let (Some(from), Some(body)) = (message.from(), message.body())
                    && from.to_bare() == to.to_bare()
                {
                    println!("{from}: {body}");
                    pump.close(now());
                }
            }
            Step::Event(_) => {}
            Step::Wait => exchange(&mut socket, &mut pump, now())?,
            Step::Closed => return Ok(socket.write_all(pump.output())?),
        }
    }
}

/// Writes what there is to write, and reads; no longer than until something is due.
fn exchange(socket: &mut TcpStream, pump: &mut Pump, now: Instant) -> std::io::Result<()> {
    socket.write_all(pump.output())?;
    pump.wrote(usize::MAX);
    // Zero would mean to wait for ever.
    socket.set_read_timeout(pump.deadline().map(|due| (due - now).max(Duration::from_millis(1))))?;
    let mut buffer = [0; 4096];
    let room = pump.room().min(buffer.len());
    match socket.read(&mut buffer[..room]) {
        // No bytes: the server has closed its side, and the pump says what that means.
        Ok(count) => pump.received(&buffer[..count]),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Who we are, and where to connect to.
fn configuration() -> Result<(ClientConfig, Endpoint), Failure> {
    let wanted = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let trust = balcony_tls::TlsTrust::builder();
    let trust = match env::var("BALCONY_CA") {
        Ok(file) => trust.roots_pem(&std::fs::read(file)?)?,
        Err(_) => trust.native_roots()?,
    };
    let jid: Jid = wanted("BALCONY_JID")?.parse()?;
    let password = Secret::new(wanted("BALCONY_PASSWORD")?);
    let mut config = ClientConfig::new(jid.to_bare(), password).with_tls(trust.build()?);
    config.stream.resource = jid.resourcepart().map(String::from);
    let place = env::var("BALCONY_CONNECT").unwrap_or_else(|_| jid.as_ref().domainpart().to_owned());
    let endpoint = Endpoint::parse(&place, false).ok_or("BALCONY_CONNECT is no place to connect to")?;
    Ok((config, endpoint))
}
