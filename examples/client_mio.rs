//! A client in an event loop of one's own: `mio` waits for a socket and for whatever else there is, here for lines that somebody types, and the
//! client is told what has happened. `calloop`, `libevent`, a game loop or `poll` itself have the same places: readiness, time, and one's own events.
//!
//! `cargo run -p balcony-examples --example client_mio -- juliet@example.com` sends each line to her, prints what she answers, and ends with
//! the input.
//!
//! The account is in the environment: BALCONY_JID and BALCONY_PASSWORD, BALCONY_CONNECT, `host:port`, and if need be BALCONY_CA, a file with
//! certificates.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it has a clock, a socket and a thread of its own"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::env;
use std::io::{BufRead as _, ErrorKind, Read as _, Write as _};
use std::net::ToSocketAddrs as _;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Instant as Clock;

use balcony_client::{
    ClientConfig, ClientMachine, Endpoint, MachineEvent, Message, Presence, Pump, PumpError, PumpStep, answer,
};
use balcony_examples::Failure;
use balcony_jid::Jid;
use balcony_machine::{Instant, Secret, Seed};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

const SOCKET: Token = Token(0);
const TYPED: Token = Token(1);

fn main() -> Result<(), Failure> {
    let to: Jid = env::args().nth(1).ok_or("whom to write to is not said")?.parse()?;
    let (config, endpoint) = configuration()?;
    let target = endpoint.target(&config.stream.account).ok_or("the domain has no such service")?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    let mut socket = connect(&mut poll, &mut events, (target.host.as_str(), target.port))?;
    let typed = typed(Waker::new(poll.registry(), TYPED)?);

    // The machine has neither a clock nor randomness: it is told both.
    let clock = Clock::now();
    let now = || Instant::from_elapsed(clock.elapsed());
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let config = config.for_endpoint(&endpoint, &target);
    let mut pump = Pump::new(ClientMachine::new(config, &Seed::new(random), now()));
    // Which of them mio has said, and the socket not yet taken back: `connect` has taken both from it.
    let (mut is_online, mut can_read, mut can_write) = (false, true, true);
    // A line for which there was no room yet.
    let mut unsent = None;
    loop {
        let step = match pump.step(now()) {
            Ok(step) => step,
            Err(error) => {
                // The server is told what was wrong, if there is room for it now; why it has gone wrong counts more.
                let _ = socket.write(pump.output());
                return Err(error.into());
            }
        };
        match step {
            // The answer to a question of the login, which takes some time to compute.
            PumpStep::Event(MachineEvent::Ask(ticket, ask)) => pump.answer(ticket, answer(ask)),
            PumpStep::Event(MachineEvent::Online(jid)) => {
                println!("online as {jid}");
                pump.send(now(), &Presence::available().to_stanza())?;
                is_online = true;
            }
            PumpStep::Event(MachineEvent::Stanza(stanza)) => {
                if let Some(message) = Message::read(*stanza)
                    && let (Some(from), Some(body)) = (message.from(), message.body())
                {
                    println!("{from}: {body}");
                }
            }
            PumpStep::Event(_) => {}
            PumpStep::Closed if pump.output().is_empty() || !can_write => return Ok(()),
            PumpStep::Wait | PumpStep::Closed => {
                // One's own events: here those who type have their turn when the stanza before is on its way.
                if is_online && pump.output().is_empty() {
                    match unsent.take().map_or_else(|| typed.try_recv(), Ok) {
                        Ok(line) => {
                            match pump.send(now(), &Message::chat(to.clone()).body(&line).to_stanza()) {
                                Ok(()) => continue,
                                // The server has yet to acknowledge what was sent before; when it has, the loop comes by here.
                                Err(PumpError::Full) => unsent = Some(line),
                                Err(error) => return Err(error.into()),
                            }
                        }
                        Err(TryRecvError::Disconnected) => {
                            is_online = false;
                            pump.close(now());
                            continue;
                        }
                        Err(TryRecvError::Empty) => {}
                    }
                }
                if exchange(&mut socket, &mut pump, &mut can_read, &mut can_write)? {
                    continue;
                }
                let due = pump.deadline().map(|due| due - now());
                match poll.poll(&mut events, due) {
                    Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                    _ => {}
                }
                for event in events.iter().filter(|event| event.token() == SOCKET) {
                    can_read |= event.is_readable() || event.is_read_closed();
                    can_write |= event.is_writable();
                }
            }
        }
    }
}

/// Connects to the first of the host's addresses where somebody listens, each within ten seconds.
fn connect(poll: &mut Poll, events: &mut Events, place: (&str, u16)) -> Result<TcpStream, Failure> {
    let mut failed = Failure::from("there is no such host");
    for address in place.to_socket_addrs()? {
        match connect_to(poll, events, address) {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = format!("{address}: {error}").into(),
        }
    }
    Err(failed)
}

fn connect_to(poll: &mut Poll, events: &mut Events, address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    poll.registry().register(&mut socket, SOCKET, Interest::READABLE | Interest::WRITABLE)?;
    let until = Clock::now() + Duration::from_secs(10);
    loop {
        match poll.poll(events, Some(until.saturating_duration_since(Clock::now()))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        // Connected is who has a peer, once there has been a word on writing.
        match socket.peer_addr() {
            Ok(_) => return Ok(socket),
            Err(error) if error.kind() != ErrorKind::NotConnected => return Err(error),
            Err(_) if Clock::now() >= until => return Err(ErrorKind::TimedOut.into()),
            Err(_) => {}
        }
    }
}

/// Writes and reads what can be without waiting, which mio does not say again before the socket has. Whether there was anything.
fn exchange(
    socket: &mut TcpStream,
    pump: &mut Pump,
    can_read: &mut bool,
    can_write: &mut bool,
) -> std::io::Result<bool> {
    let mut has_done = false;
    if *can_write && !pump.output().is_empty() {
        match socket.write(pump.output()) {
            Ok(count) => {
                pump.wrote(count);
                has_done = true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => *can_write = false,
            Err(error) => return Err(error),
        }
    }
    let mut buffer = [0; 4096];
    let room = pump.room().min(buffer.len());
    if *can_read && room > 0 {
        match socket.read(&mut buffer[..room]) {
            Ok(count) => {
                // No bytes: the server has closed its side, and the pump says what that means.
                pump.received(&buffer[..count]);
                *can_read = count > 0;
                has_done = true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => *can_read = false,
            Err(error) => return Err(error),
        }
    }
    Ok(has_done)
}

/// What somebody types, line by line, from a thread that wakes the loop: a file or a terminal cannot be waited for everywhere.
fn typed(waker: Waker) -> Receiver<String> {
    // Whoever pours in a file waits here, until there is room.
    let (send, typed) = sync_channel(16);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(std::io::Result::ok);
        for line in lines.filter(|line| !line.is_empty()) {
            if send.send(line).is_err() || waker.wake().is_err() {
                return;
            }
        }
        drop(send);
        // Where nobody waits any more there is nobody to wake.
        waker.wake().unwrap_or_default();
    });
    typed
}

/// Who we are, and where to connect to.
fn configuration() -> Result<(ClientConfig, Endpoint), Failure> {
    // What is empty counts as what is not set.
    let given = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let wanted = |name: &str| given(name).ok_or_else(|| format!("{name} is not set"));
    let trust = balcony_tls::TlsTrust::builder();
    let trust = match given("BALCONY_CA") {
        Some(file) => trust.roots_pem(&std::fs::read(file)?)?,
        None => trust.native_roots()?,
    };
    let jid: Jid = wanted("BALCONY_JID")?.parse()?;
    let password = Secret::new(wanted("BALCONY_PASSWORD")?);
    let mut config = ClientConfig::new(jid.to_bare(), password).with_tls(trust.build()?);
    config.stream.resource = jid.resourcepart().map(String::from);
    let place = given("BALCONY_CONNECT").unwrap_or_else(|| jid.as_ref().domainpart().to_owned());
    let endpoint = Endpoint::parse(&place, false).ok_or("BALCONY_CONNECT is no place to connect to")?;
    Ok((config, endpoint))
}
