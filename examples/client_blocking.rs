//! A client without any runtime: `balcony-client` on a socket of the standard library. It sends one message.
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

use balcony_client::srv::{Service, targets};
use balcony_client::{Client, Event, Pump, RequestKind, Step, answer};
use balcony_examples::{Args, Failure, args, chat, said};
use balcony_jid::Jid;
use balcony_machine::{Instant, Seed};
use balcony_stanza::Payload;
use balcony_xep::ping;
use balcony_xml::Element;

fn main() -> Result<(), Failure> {
    let Args { config, endpoint, rest } = args("Sends one message, without a runtime.", &["TO", "TEXT"]);
    let message = chat(rest[0].parse()?, &rest[1])?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let seed = Seed::new(bytes);
    // Without a resolver for SRV records a domain is itself the place.
    let account = &config.stream.account;
    let server: Jid = account.domainpart().parse()?;
    let domain = || targets(account.domainpart(), Service::Client, Vec::new(), &mut seed.random()).remove(0);
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
    let ping = Payload::from(Element::try_from(&minidom::Element::bare("ping", ping::NS))?);
    let request =
        wire.pump.request(now(clock), RequestKind::Get, Some(server), ping, Duration::from_secs(30))?;
    while let Some(event) = wire.next()? {
        match event {
            Event::Response(id, _) if id == request => break,
            Event::Stanza(stanza) if stanza.head.kind.is_error() => {
                eprintln!("{} could not be reached", rest[0]);
            }
            Event::Stanza(stanza) => {
                if let Some((from, text)) = said(&stanza) {
                    println!("{from}: {text}");
                }
            }
            _ => {}
        }
    }
    wire.pump.close(now(clock));
    while wire.next()?.is_some() {}
    Ok(())
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
