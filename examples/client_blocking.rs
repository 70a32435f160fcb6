//! A client without any runtime: `balcony-client` on a socket of the standard library. It sends one message.
//!
//! `cargo run -p balcony-examples --example client_blocking -- juliet@example.com 'Good night!'`, with the account in the environment:
//! BALCONY_JID and BALCONY_PASSWORD; and if need be BALCONY_CONNECT, `host:port`, and BALCONY_CA, a file with certificates.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it has a clock and a socket of its own"
)]

use core::error::Error;
use core::time::Duration;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant as Clock;

use balcony_client::srv::targets;
use balcony_client::{Client, Config, Endpoint, Event, Message, Pump, RequestKind, Step, answer};
use balcony_examples::Failure;
use balcony_jid::Jid;
use balcony_machine::{Instant, Secret, Seed};
use balcony_xep::ping::Ping;

fn main() -> Result<(), Failure> {
    let rest: Vec<String> = std::env::args().skip(1).collect();
    let [to, text] = &rest[..] else { return Err("an address and a text are wanted".into()) };
    let message = Message::chat(to.parse()?).body(text).to_stanza();
    let (config, endpoint) = configured()?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let seed = Seed::new(bytes);
    // Without a resolver for SRV records a domain is itself the place.
    let account = &config.stream.account;
    let server: Jid = account.domainpart().parse()?;
    let domain = || targets(account.domainpart(), Vec::new(), &mut seed.random()).remove(0);
    let target = endpoint.target(account).unwrap_or_else(domain);
    let socket = TcpStream::connect((target.host.as_str(), target.port))?;
    socket.set_nodelay(true)?;

    let clock = Clock::now();
    let pump = Pump::new(Client::new(config.for_endpoint(&endpoint, &target), &seed, now(clock)));
    let mut wire = Wire { pump, socket, clock };
    loop {
        match wire.next()? {
            Some(Event::Online(_)) => break,
            Some(Event::Ask(ticket, ask)) => wire.pump.answer(ticket, answer(ask)),
            Some(_) => {}
            None => return Err("the server has closed the stream".into()),
        }
    }

    wire.pump.send(&message)?;
    // When the server answers this, it has taken the message as well.
    let ping = Ping.to_element().into();
    let request =
        wire.pump.request(now(clock), RequestKind::Get, Some(server), ping, Duration::from_secs(30))?;
    while let Some(event) = wire.next()? {
        match event {
            Event::Response(id, _) if id == request => break,
            Event::Stanza(stanza) if stanza.head.kind.is_error() => {
                eprintln!("{to} could not be reached");
            }
            Event::Stanza(stanza) => {
                let message = Message::read(*stanza);
                if let Some(body) = message.as_ref().and_then(Message::body) {
                    println!("{body}");
                }
            }
            _ => {}
        }
    }
    wire.pump.close(now(clock));
    while wire.next()?.is_some() {}
    Ok(())
}

fn configured() -> Result<(Config, Endpoint), Failure> {
    let wanted = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let trust = balcony_tls::ClientConfig::builder();
    let trust = match std::env::var("BALCONY_CA") {
        Ok(file) => trust.roots_pem(&std::fs::read(file)?)?,
        Err(_) => trust.native_roots()?,
    };
    let jid: Jid = wanted("BALCONY_JID")?.parse()?;
    let mut config =
        Config::new(jid.to_bare(), Secret::new(wanted("BALCONY_PASSWORD")?)).with_tls(trust.build()?);
    config.stream.resource = jid.resourcepart().map(String::from);
    let endpoint = match std::env::var("BALCONY_CONNECT") {
        Ok(place) => Endpoint::parse(&place, false).ok_or("BALCONY_CONNECT is no place to connect to")?,
        Err(_) => Endpoint::Domain,
    };
    Ok((config, endpoint))
}

struct Wire {
    pump: Pump,
    socket: TcpStream,
    clock: Clock,
}

impl Wire {
    /// The next event; `None` when the stream has ended.
    fn next(&mut self) -> Result<Option<Event>, Box<dyn Error>> {
        loop {
            let step = self.pump.step(now(self.clock));
            self.socket.write_all(self.pump.output())?;
            self.pump.wrote(usize::MAX);
            match step? {
                Step::Event(event) => return Ok(Some(event)),
                Step::Wait => self.read()?,
                Step::Closed => return Ok(None),
            }
        }
    }

    /// Waits for bytes, but not longer than until the client has something to do.
    fn read(&mut self) -> Result<(), Box<dyn Error>> {
        let due = self.pump.deadline().map(|at| at - now(self.clock));
        // Zero would mean to wait for ever.
        self.socket.set_read_timeout(due.map(|due| due.max(Duration::from_millis(1))))?;
        let mut buffer = [0; 4096];
        let room = self.pump.room().min(buffer.len());
        match self.socket.read(&mut buffer[..room]) {
            Ok(count) => self.pump.received(&buffer[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn now(clock: Clock) -> Instant {
    Instant::from_elapsed(clock.elapsed())
}
