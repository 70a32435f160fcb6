//! A measuring stick: what any server could do on this machine with the messages of `balcony bench chat`. `cargo xtask compare` runs it beside the
//! servers.
//!
//! `compare-relay copying|parsing ADDRESS CERTIFICATE KEY`, with the password of all accounts in `BALCONY_PASSWORD`.
//!
//! **It is no server.** Clients log in by the stream of `balcony-stream`, so that they are who they say. What comes behind that is passed on to
//! the full JID in its `to`, if that is here, with `from`, and else is dropped; requests are answered with an error. There are no accounts, no
//! rosters, no queues that anybody looks after, and what there is of bounds only keeps it from falling over: who lets more than
//! [`HELD`] bytes lie is thrown out.
//!
//! One thread waits for sockets, as a server's does. It reads all that has come on a socket at once, and when all sockets are read writes all that
//! there is for each at once.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it has its own sockets")]

mod client;
mod copying;
mod parsing;

use core::error::Error;
use core::net::SocketAddr;
use std::collections::HashMap;
use std::env;
use std::io::ErrorKind;
use std::process::ExitCode;
use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_machine::{Random, Secret, Seed};
use balcony_sasl::Credentials;
use balcony_stream::TlsPolicy;
use balcony_stream::server::ServerStreamConfig;
use balcony_tls::TlsIdentity;
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use client::Client;

/// Bytes read at once.
const CHUNK: usize = 65_536;
/// Bytes that may lie for somebody who does not read, or of a stanza that does not end.
const HELD: usize = 16 << 20;
/// Of the hashes of the password, as Balcony has.
const ITERATIONS: u32 = 10_000;
/// The token of the listener; those of clients are their places.
const LISTENER: Token = Token(usize::MAX);

/// How stanzas are passed on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Their bytes are copied, behind a look for their ends that checks nothing.
    Copying,
    /// They are read, checked, and written anew.
    Parsing,
}

/// Who may log in, and how.
struct Door {
    config: Arc<ServerStreamConfig>,
    credentials: Credentials,
    identity: TlsIdentity,
    random: Random,
    way: Way,
}

/// The clients at their places, and where each full JID is, as it stands in an attribute.
#[derive(Default)]
struct Room {
    clients: Vec<Option<Client>>,
    places: HashMap<Box<[u8]>, usize>,
    /// For whom there is something to write.
    dirty: Vec<usize>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [way, address, certificate, key] = &words[..] else {
        return Err("compare-relay copying|parsing ADDRESS CERTIFICATE KEY".into());
    };
    let way = match &**way {
        "copying" => Way::Copying,
        "parsing" => Way::Parsing,
        other => return Err(format!("`{other}` is no way to pass something on").into()),
    };
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let password = env::var("BALCONY_PASSWORD")?;
    let mut config = ServerStreamConfig::new(vec![BareJid::parse("localhost")?], Secret::new(random));
    config.tls = TlsPolicy::Optional;
    config.iterations = ITERATIONS;
    let mut door = Door {
        config: Arc::new(config),
        // The salt is the same for all: whoever knows one password knows them all.
        credentials: Credentials::derive(&password, b"sixteen grains..", ITERATIONS)?,
        identity: TlsIdentity::from_pem(&std::fs::read(certificate)?, &std::fs::read(key)?)?,
        random: Seed::new(random).random(),
        way,
    };
    let mut listener = TcpListener::bind(address.parse::<SocketAddr>()?)?;
    let (mut poll, mut events, mut room) = (Poll::new()?, Events::with_capacity(1024), Room::default());
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            match event.token() {
                LISTENER => room.accept(&poll, &listener, &mut door)?,
                Token(place) => room.on(place, event, &mut chunk, &door),
            }
        }
        room.write();
    }
}

impl Room {
    /// Takes in all who wait at the listener.
    fn accept(&mut self, poll: &Poll, listener: &TcpListener, door: &mut Door) -> Result<(), Box<dyn Error>> {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            socket.set_nodelay(true)?;
            let place = self.clients.iter().position(Option::is_none).unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            poll.registry().register(&mut socket, Token(place), Interest::READABLE | Interest::WRITABLE)?;
            let seed = door.random.seed();
            self.clients[place] = Some(Client::new(socket, door, seed));
        }
    }

    /// Something has happened at a client's socket.
    fn on(&mut self, place: usize, event: &Event, chunk: &mut [u8], door: &Door) {
        // It is out of the room while the others are in, to get what it says.
        let Some(mut client) = self.clients.get_mut(place).and_then(Option::take) else { return };
        let is_open = !event.is_readable() || client.read(chunk, door, place, self);
        let is_open = is_open && (!event.is_writable() || client.write());
        self.put(place, client, is_open);
    }

    /// Writes to all for whom there is something.
    fn write(&mut self) {
        let mut dirty = core::mem::take(&mut self.dirty);
        for place in dirty.drain(..) {
            let Some(mut client) = self.clients.get_mut(place).and_then(Option::take) else { continue };
            client.is_dirty = false;
            let is_open = client.write();
            self.put(place, client, is_open);
        }
        self.dirty = dirty;
    }

    /// Brings a client back to its place, or ends it.
    fn put(&mut self, place: usize, client: Client, is_open: bool) {
        if is_open {
            if client.is_dirty {
                self.dirty.push(place);
            }
            self.clients[place] = Some(client);
        } else if let Some(address) = client.address() {
            self.places.remove(address);
        }
    }

    /// Who is there, to be written to, unless it is too full.
    fn reader(&mut self, to: &[u8]) -> Option<&mut Client> {
        let place = *self.places.get(to)?;
        let client = self.clients.get_mut(place)?.as_mut()?;
        if !client.is_dirty {
            client.is_dirty = true;
            self.dirty.push(place);
        }
        Some(client)
    }
}
