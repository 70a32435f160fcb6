//! One client: the socket, TLS if it wants that, its login, and what lies between.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use balcony_machine::{Instant, Progress, Seed};
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent};
use balcony_stream::{Security, ServerStream};
use balcony_tls::Session;
use balcony_xml::escape_attr;
use mio::net::TcpStream;

use crate::parsing::Parser;
use crate::{Door, HELD, Room, Way, copying};

/// Time does not pass: nobody is late here.
const NOW: Instant = Instant::ZERO;

/// What becomes of what a client says.
enum Phase {
    /// It logs in.
    Login(Box<ServerStream>),
    Copying,
    Parsing(Box<Parser>),
}

pub(crate) struct Client {
    socket: TcpStream,
    session: Option<Box<Session>>,
    /// The stream knows what TLS has agreed on.
    is_secured: bool,
    phase: Phase,
    /// Its full JID, as it stands in an attribute, once it is bound.
    address: Box<[u8]>,
    /// What has come, and is not whole.
    input: Vec<u8>,
    /// What it gets, before TLS; without TLS it is sent from here.
    pub(crate) output: Vec<u8>,
    /// What is sent with TLS.
    sealed: Vec<u8>,
    /// Whether it is among those to be written to.
    pub(crate) is_dirty: bool,
}

impl Client {
    pub(crate) fn new(socket: TcpStream, door: &Door, seed: Seed) -> Client {
        Client {
            socket,
            session: None,
            is_secured: false,
            phase: Phase::Login(Box::new(ServerStream::new(Arc::clone(&door.config), seed, NOW))),
            address: Box::default(),
            input: Vec::new(),
            output: Vec::new(),
            sealed: Vec::new(),
            is_dirty: false,
        }
    }

    /// Its full JID, once it is bound.
    pub(crate) fn address(&self) -> Option<&[u8]> {
        (!self.address.is_empty()).then_some(&*self.address)
    }

    /// Reads what has come, and does something with it. Whether the client stays.
    pub(crate) fn read(&mut self, chunk: &mut [u8], door: &Door, place: usize, room: &mut Room) -> bool {
        loop {
            let count = match self.socket.read(chunk) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            };
            if !self.take(&chunk[..count], door, place, room) || self.input.len() > HELD {
                return false;
            }
            // What came later than this is another event (epoll(7)).
            if count < chunk.len() {
                return true;
            }
        }
    }

    /// Takes bytes of the socket. Whether the client stays.
    fn take(&mut self, mut bytes: &[u8], door: &Door, place: usize, room: &mut Room) -> bool {
        if self.session.is_none() && self.input.is_empty() {
            // As they came, without a copy.
            let Some(taken) = self.hear(bytes, door, place, room) else { return false };
            bytes = &bytes[taken..];
            self.input.extend_from_slice(bytes);
            return true;
        }
        match &mut self.session {
            None => self.input.extend_from_slice(bytes),
            Some(session) => {
                if session.read(&mut bytes, &mut self.input, &mut self.sealed).is_err() {
                    return false;
                }
                self.is_dirty |= !self.sealed.is_empty();
                if let (Phase::Login(stream), Some(established), false) =
                    (&mut self.phase, session.established(), self.is_secured)
                {
                    self.is_secured = true;
                    let security = Security::new(established.exporter)
                        .with_end_point(established.server_end_point.clone());
                    if stream.secured(security).is_err() {
                        return false;
                    }
                }
            }
        }
        let mut input = core::mem::take(&mut self.input);
        let taken = self.hear(&input, door, place, room);
        input.drain(..taken.unwrap_or_default());
        self.input = input;
        taken.is_some()
    }

    /// Does something with what was said, and says how much of it was whole. `None` if the client goes.
    fn hear(&mut self, input: &[u8], door: &Door, place: usize, room: &mut Room) -> Option<usize> {
        let mut rest = input;
        if let Phase::Login(_) = self.phase {
            self.log_in(&mut rest, door, place, room)?;
            self.is_dirty |= !self.output.is_empty() || !self.sealed.is_empty();
        }
        let before = input.len() - rest.len();
        let said = match &mut self.phase {
            Phase::Login(_) => Some(0),
            Phase::Copying => copying::pass(rest, &self.address, room, &mut self.output),
            Phase::Parsing(parser) => parser.pass(rest, &self.address, room, &mut self.output),
        };
        self.is_dirty |= !self.output.is_empty();
        if said.is_none() {
            // Its last word, if the socket takes it.
            self.write();
        }
        Some(before + said?)
    }

    /// Goes on with the login as far as it goes. `None` if the client goes.
    fn log_in(&mut self, rest: &mut &[u8], door: &Door, place: usize, room: &mut Room) -> Option<()> {
        while let Phase::Login(stream) = &mut self.phase {
            let event = match stream.advance(NOW, rest, &mut self.output) {
                Ok(Progress::Event(event)) => event,
                Ok(Progress::NeedInput | Progress::Blocked(_)) => return Some(()),
                Ok(Progress::Closed) | Err(_) => {
                    self.write();
                    return None;
                }
            };
            match event {
                ServerEvent::StartTls => {
                    // The word for it is not of TLS yet.
                    self.sealed.append(&mut self.output);
                    self.session = Some(Box::new(Session::server(&door.identity).ok()?));
                }
                ServerEvent::Ask(ticket, ask) => {
                    let answer = match *ask {
                        ServerAsk::Credentials { hash, .. } => {
                            ServerAnswer::Credentials(door.credentials.get(hash).cloned())
                        }
                        ServerAsk::Bind { account, resource, .. } => {
                            let resource = resource.unwrap_or_else(|| format!("relay{place}"));
                            ServerAnswer::Bound(Ok(account.with_resource(&resource).ok()?))
                        }
                        _ => ServerAnswer::Unavailable,
                    };
                    stream.answer(ticket, answer).ok()?;
                }
                ServerEvent::Bound(jid) => {
                    // What is left to say about that.
                    let _ = stream.advance(NOW, &mut &[][..], &mut self.output).ok()?;
                    let mut address = Vec::new();
                    escape_attr(jid.as_str(), &mut address);
                    self.address = address.into();
                    room.places.insert(self.address.clone(), place);
                    self.phase = match door.way {
                        Way::Copying => Phase::Copying,
                        Way::Parsing => Phase::Parsing(Box::new(Parser::new()?)),
                    };
                }
                _ => {}
            }
        }
        Some(())
    }

    /// Writes what there is, as far as the socket takes it. Whether the client stays.
    pub(crate) fn write(&mut self) -> bool {
        let outgoing = match &mut self.session {
            None => &mut self.output,
            Some(session) => {
                if !self.output.is_empty() && session.write(&self.output, &mut self.sealed).is_err() {
                    return false;
                }
                self.output.clear();
                &mut self.sealed
            }
        };
        let mut written = 0;
        while written < outgoing.len() {
            match self.socket.write(&outgoing[written..]) {
                Ok(0) => return false,
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        outgoing.drain(..written);
        outgoing.len() <= HELD
    }
}
