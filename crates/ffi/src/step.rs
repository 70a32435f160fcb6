//! What happens to a client, an event at a time.

use core::ffi::c_char;

use balcony_client::{Disconnected, MachineEvent, PumpStep, RequestOutcome, answer};

use crate::client::{BalconyClient, instant};

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum BalconyStep {
    /// Nothing more without input, output or time: write, read, or wait.
    Wait = 0,
    /// Logged in, with a session that begins; the text is the full address. Send `<presence/>` first.
    Online = 1,
    /// Logged in, and the session from before goes on: its presence and its roster are as they were.
    Resumed = 2,
    /// A stanza has come; the text is its XML.
    Stanza = 3,
    /// The request of this `id` was carried out; the text is the whole answer as XML.
    Answer = 4,
    /// The request of this `id` was refused; the text is the condition (RFC 6120 section 8.3.3), and what the other side has said about it.
    Refused = 5,
    /// The request of this `id` was not answered in time.
    TimedOut = 6,
    /// The session of the request of this `id` is over: nobody knows whether it was carried out, and no answer comes.
    Lost = 7,
    /// The server has taken over the message whose id is the text.
    Acknowledged = 8,
    /// The message whose id is the text was sent again in a new session: the server has not said whether it had got it.
    Resent = 9,
    /// The stream has ended in good order. What is left of the output is written, then the socket is closed.
    Closed = 10,
    /// The connection is of no use any more; the text says why, and the `id` is 1 if trying again is of no use, because somebody has to change
    /// something first, such as a wrong password, or because another client has taken the resource. What is left of the output is written, then the socket is closed. The session goes on
    /// with `balcony_client_resume` and another one.
    Failed = 11,
}

/// What has happened.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BalconyEvent {
    /// The request that it is about, where it is about one.
    pub id: u64,
    /// What there is to say, with a zero behind it; never null. It lasts until the next call with the client.
    pub text: *const c_char,
    /// The number of its bytes, without that zero.
    pub length: usize,
}

impl BalconyClient {
    fn step(&mut self, now: u64) -> (BalconyStep, u64, String) {
        loop {
            if self.is_over && self.pump.room() > 0 {
                self.pump.received(&[]);
            }
            let event = match self.pump.step(instant(now)) {
                Ok(PumpStep::Event(event)) => event,
                Ok(PumpStep::Wait) => return (BalconyStep::Wait, 0, String::new()),
                Ok(PumpStep::Closed) => return (BalconyStep::Closed, 0, String::new()),
                Err(error) => {
                    let text = error.to_string();
                    let why = match self.was_online {
                        true => Disconnected::Lost(error),
                        false => Disconnected::Failed(self.pump.connect_error(error)),
                    };
                    return (BalconyStep::Failed, why.is_permanent().into(), text);
                }
            };
            return match event {
                // Some milliseconds, at a login; a server may ask for up to a million rounds.
                MachineEvent::Ask(ticket, ask) => {
                    self.pump.answer(ticket, answer(ask));
                    continue;
                }
                MachineEvent::Online(jid) => {
                    self.was_online = true;
                    (BalconyStep::Online, 0, jid.to_string())
                }
                MachineEvent::Resumed => {
                    self.was_online = true;
                    (BalconyStep::Resumed, 0, String::new())
                }
                MachineEvent::Stanza(stanza) => (BalconyStep::Stanza, 0, stanza.to_xml()),
                MachineEvent::Response(id, outcome) => match outcome {
                    RequestOutcome::Result(stanza) => (BalconyStep::Answer, id.0, stanza.to_xml()),
                    RequestOutcome::Error(error) => (BalconyStep::Refused, id.0, error.to_string()),
                    RequestOutcome::TimedOut => (BalconyStep::TimedOut, id.0, String::new()),
                    RequestOutcome::Lost => (BalconyStep::Lost, id.0, String::new()),
                },
                MachineEvent::Acknowledged(id) => (BalconyStep::Acknowledged, 0, id.as_ref().into()),
                MachineEvent::Resent(id) => (BalconyStep::Resent, 0, id.as_ref().into()),
                // The client uses its tokens by itself, and nobody here has TLS of their own.
                _ => continue,
            };
        }
    }
}

/// Goes on to what has happened next, and puts it at `event`; until it says `BALCONY_STEP_WAIT`. Then the caller does whichever comes first:
/// writes of the output, reads, or waits as long as the timeout (`balcony_client_timeout`) says; and steps again. At a login a step computes
/// what proves the password, which takes some milliseconds, or as long as the rounds that the server asks for do, of which a million are the most.
///
/// # Safety
///
/// `client` is null or a client; `event` is null or can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn balcony_client_step(
    client: *mut BalconyClient,
    now: u64,
    event: *mut BalconyEvent,
) -> BalconyStep {
    // SAFETY: as the caller says.
    let Some(event) = (unsafe { event.as_mut() }) else { return BalconyStep::Failed };
    // SAFETY: as the caller says.
    let Some(client) = (unsafe { client.as_mut() }) else {
        let none = c"there is no client";
        *event = BalconyEvent { id: 0, text: none.as_ptr(), length: none.count_bytes() };
        return BalconyStep::Failed;
    };
    let (step, id, text) = client.step(now);
    client.told = text.into_bytes();
    let length = client.told.len();
    client.told.push(0);
    *event = BalconyEvent { id, text: client.told.as_ptr().cast(), length };
    step
}
