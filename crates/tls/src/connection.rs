//! A connection of rustls without buffers of its own, of either side: what it says is to be done next is done here.

use alloc::vec::Vec;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{CommonState, Error};

use crate::records::Fault;

/// Either side. Both are as large as each other, but for some bytes.
pub(crate) enum Connection {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What the owner wants to say.
#[derive(Clone, Copy)]
pub(crate) enum Say<'a> {
    /// Some plaintext; not empty.
    Text(&'a [u8]),
    /// `close_notify`.
    Goodbye,
}

/// Where a connection gets and puts things.
pub(crate) struct Buffers<'a> {
    /// What the peer says.
    pub(crate) plain: &'a mut Vec<u8>,
    /// What is to be sent.
    pub(crate) out: &'a mut Vec<u8>,
    /// What the owner wants to say; taken when that is in `out`.
    pub(crate) say: Option<Say<'a>>,
    /// The peer has said `close_notify`.
    pub(crate) peer_closed: bool,
}

impl Connection {
    /// What both sides have.
    pub(crate) fn common(&self) -> &CommonState {
        match self {
            Connection::Client(client) => client,
            Connection::Server(server) => server,
        }
    }

    /// Tells the peer of an error that is its fault, where rustls has not: it breaks off without an alert (RFC 8446 section 6.2) at its bounds on
    /// what costs and brings nothing, such as empty records, and at some rules on records. It has no call for alerts, so it is shown what
    /// it does answer with one, in the place of `input`, which is of no use any more: a change_cipher_spec where none may be
    /// (`unexpected_message`), and where that is not looked at, what is no record (`decode_error`).
    pub(crate) fn tell(&mut self, input: Vec<u8>, buffers: &mut Buffers<'_>) {
        let mut change = CHANGE;
        if self.common().is_handshaking() {
            // Of TLS 1.3, where one may come, but not with this value.
            change[CHANGE.len() - 1] = 2;
        }
        self.show(&change, input, buffers);
    }

    /// Tells the peer what is wrong with a record of which nothing was shown to rustls. In the clear that is said as it is. Where what this side
    /// says is encrypted it is for rustls to say, which knows no more of a record that is too long than that it is none (`decode_error`).
    pub(crate) fn tell_of_record(&mut self, fault: Fault, input: Vec<u8>, buffers: &mut Buffers<'_>) {
        let start = buffers.out.len();
        match fault {
            Fault::Type => self.tell(input, buffers),
            Fault::Length => self.show(&[], input, buffers),
        }
        // A fatal alert. An encrypted one is longer.
        if let Some([21, _, _, 0, 2, 2, description]) = buffers.out.get_mut(start..) {
            *description = fault.alert();
        }
    }

    /// Shows this in the place of `input`, and behind it what is no record, until there is something to be said.
    fn show(&mut self, this: &[u8], mut input: Vec<u8>, buffers: &mut Buffers<'_>) {
        // No less than there was: rustls goes on where it has stopped, which may be at the end.
        let length = input.len().max(this.len()) + HEADER;
        input.clear();
        input.extend_from_slice(this);
        input.resize(length, 0xff);
        let mut taken = 0;
        // What it has still to look at of a record comes first, a message each time.
        for _ in 0..MESSAGES {
            if self.common().wants_write() {
                break;
            }
            taken += self.step(&mut input[taken..], buffers).0;
        }
        self.flush(&mut input[taken..], buffers);
    }

    /// Writes what there is to be sent after an error: an alert.
    pub(crate) fn flush(&mut self, input: &mut [u8], buffers: &mut Buffers<'_>) {
        let mut taken = 0;
        while self.common().wants_write() {
            let (more, sent) = self.step(&mut input[taken..], buffers);
            taken += more;
            if sent != Ok(true) {
                break;
            }
        }
    }

    /// Does the next thing. `input` is what has come and was not taken yet; what is taken of it now, so many bytes from its beginning, must not
    /// be there the next time, and the rest must. `Ok(false)`: there is nothing to be done until more has come, or the owner wants something.
    pub(crate) fn step(
        &mut self,
        input: &mut [u8],
        buffers: &mut Buffers<'_>,
    ) -> (usize, Result<bool, Error>) {
        match self {
            Connection::Client(client) => done(client.process_tls_records(input), buffers),
            Connection::Server(server) => done(server.process_tls_records(input), buffers),
        }
    }
}

/// Does what a connection says.
fn done<Side>(
    status: UnbufferedStatus<'_, '_, Side>,
    buffers: &mut Buffers<'_>,
) -> (usize, Result<bool, Error>) {
    let mut taken = status.discard;
    let result = status.state.and_then(|state| {
        match state {
            ConnectionState::ReadTraffic(mut records) => {
                while let Some(record) = records.next_record() {
                    let record = record?;
                    taken += record.discard;
                    buffers.plain.extend_from_slice(record.payload);
                }
            }
            ConnectionState::EncodeTlsData(mut record) => {
                append(buffers.out, 0, |room| record.encode(room)).map_err(general)?;
            }
            ConnectionState::TransmitTlsData(sent) => sent.done(),
            ConnectionState::PeerClosed => buffers.peer_closed = true,
            ConnectionState::WriteTraffic(mut traffic) => match buffers.say.take() {
                Some(Say::Text(text)) => {
                    let room = text.len() + (text.len() / RECORD + 1) * AROUND;
                    append(buffers.out, room, |room| traffic.encrypt(text, room)).map_err(general)?;
                }
                Some(Say::Goodbye) => {
                    append(buffers.out, AROUND, |room| traffic.queue_close_notify(room)).map_err(general)?;
                }
                None => return Ok(false),
            },
            // Nobody may send early data here.
            _ => return Ok(false),
        }
        Ok(true)
    });
    (taken, result)
}

/// Plaintext in a record.
const RECORD: usize = 16_384;
/// What stands before each record: type, version and length.
const HEADER: usize = 5;
/// A change_cipher_spec.
const CHANGE: [u8; 6] = [20, 3, 3, 0, 1, 1];
/// Handshake messages that a record can hold.
const MESSAGES: usize = RECORD / 4 + 1;
/// Room for what TLS puts around it: header, explicit nonce, tag, type.
const AROUND: usize = 5 + 8 + 16 + 1;

/// What needs room.
trait Needs {
    /// How much; `None` if that is not what is wrong.
    fn needs(&self) -> Option<usize>;
}

impl Needs for EncodeError {
    fn needs(&self) -> Option<usize> {
        match self {
            EncodeError::InsufficientSize(error) => Some(error.required_size),
            EncodeError::AlreadyEncoded => None,
        }
    }
}

impl Needs for EncryptError {
    fn needs(&self) -> Option<usize> {
        match self {
            EncryptError::InsufficientSize(error) => Some(error.required_size),
            EncryptError::EncryptExhausted => None,
        }
    }
}

/// Appends what `write` writes: it is given so much room, or as much as it says that it needs.
fn append<E: Needs>(
    out: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), E> {
    let start = out.len();
    loop {
        out.resize(start + room, 0);
        let result = write(&mut out[start..]);
        out.truncate(start + result.as_ref().ok().copied().unwrap_or_default());
        match result {
            Ok(_) => return Ok(()),
            Err(error) => room = error.needs().filter(|needs| *needs > room).ok_or(error)?,
        }
    }
}

fn general(error: impl core::fmt::Display) -> Error {
    Error::General(alloc::format!("{error}"))
}
