//! A client, and all that is done with it but to [step](crate::balcony_client_step).

use core::ffi::{c_char, c_int};
use core::time::Duration;
use core::{ptr, slice};

use balcony_client::{ClientConfig, ClientMachine, Message, Pump, PumpError, RequestKind};
use balcony_jid::Jid;
use balcony_machine::{Instant, Seed};
use balcony_stanza::{Payload, Stanza};

use crate::BalconyResult;
use crate::config::{BalconyConfig, text};

/// A client on a connection. What is in it is nobody's business.
#[derive(Debug)]
pub struct BalconyClient {
    pub(crate) pump: Pump,
    config: ClientConfig,
    /// Nothing more comes from this connection.
    pub(crate) is_over: bool,
    /// It has been online on this connection.
    pub(crate) was_online: bool,
    /// What the last event says, with a zero at its end.
    pub(crate) told: Vec<u8>,
}

pub(crate) fn instant(now: u64) -> Instant {
    Instant::from_elapsed(Duration::from_millis(now))
}

/// What came of something that can fail in one of the ways of a call.
fn result(done: Result<(), BalconyResult>) -> BalconyResult {
    done.err().unwrap_or(BalconyResult::Ok)
}

fn refused(error: &PumpError) -> BalconyResult {
    match error {
        PumpError::Misuse(_) => BalconyResult::Misuse,
        PumpError::Full | PumpError::Overrun => BalconyResult::Full,
        _ => BalconyResult::Ended,
    }
}

/// Makes a client for a connection that has just been made to its server, and puts it at `client`. Its time allowed for logging in begins
/// `now`. It ends with `balcony_client_free`.
///
/// `BALCONY_RESULT_BAD_TEXT`, `BALCONY_RESULT_BAD_TRUST` or `BALCONY_RESULT_MISUSE`, and null at `client`, if the configuration is none.
///
/// # Safety
///
/// `config` is null or points to one, whose texts are null or end with a zero; `client` is null or can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn balcony_client_new(
    config: *const BalconyConfig,
    now: u64,
    client: *mut *mut BalconyClient,
) -> BalconyResult {
    // SAFETY: as the caller says.
    let (Some(config), Some(client)) = (unsafe { config.as_ref() }, unsafe { client.as_mut() }) else {
        return BalconyResult::Misuse;
    };
    *client = ptr::null_mut();
    // SAFETY: as the caller says.
    match unsafe { config.read() } {
        Ok((config, seed)) => {
            let pump = Pump::new(ClientMachine::new(config.clone(), &seed, instant(now)));
            *client = Box::into_raw(Box::new(BalconyClient {
                pump,
                config,
                is_over: false,
                was_online: false,
                told: Vec::new(),
            }));
            BalconyResult::Ok
        }
        Err(why) => why,
    }
}

/// Ends a client without a word to its server. To say goodbye, close (`balcony_client_tell`) it first.
///
/// # Safety
///
/// `client` is null, or was made by `balcony_client_new` and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn balcony_client_free(client: *mut BalconyClient) {
    if !client.is_null() {
        // SAFETY: it comes from `Box::into_raw`, and nobody else has it, as the caller says.
        drop(unsafe { Box::from_raw(client) });
    }
}

/// The client goes on with its session on another connection, after the one before has ended or could not be made: what was sent and not
/// acknowledged is sent again, and what has come meanwhile comes (XEP-0198). Where the server has forgotten the session,
/// `BALCONY_STEP_ONLINE` comes instead of `BALCONY_STEP_RESUMED`, and messages are sent again with the ids that they had. What was received and not
/// stepped over is forgotten, since the server sends it again.
///
/// # Safety
///
/// `client` is null or a client; `seed` is null or thirty-two new bytes that nobody can guess, and not all 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn balcony_client_resume(
    client: *mut BalconyClient,
    now: u64,
    seed: *const u8,
) -> BalconyResult {
    // SAFETY: as the caller says.
    let (Some(client), Some(seed)) =
        (unsafe { client.as_mut() }, unsafe { seed.cast::<[u8; 32]>().as_ref() })
    else {
        return BalconyResult::Misuse;
    };
    if *seed == [0; 32] {
        return BalconyResult::Misuse;
    }
    (client.is_over, client.was_online) = (false, false);
    let resumed = client.pump.resume(client.config.clone(), &Seed::new(*seed), instant(now));
    result(resumed.map_err(|_| BalconyResult::Misuse))
}

/// So many bytes of what it gave the last time are `written` now; and the bytes that are to be written to the socket: their number, and at
/// `bytes` where they are. They last until the next call with this client.
///
/// # Safety
///
/// `client` is null or a client; `bytes` is null or can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn balcony_client_output(
    client: *mut BalconyClient,
    written: usize,
    bytes: *mut *const u8,
) -> usize {
    // SAFETY: as the caller says.
    let Some(client) = (unsafe { client.as_mut() }) else { return 0 };
    client.pump.wrote(written.min(client.pump.output().len()));
    // SAFETY: as the caller says.
    let Some(bytes) = (unsafe { bytes.as_mut() }) else { return 0 };
    let output = client.pump.output();
    *bytes = output.as_ptr();
    output.len()
}

/// Hands in bytes that were read from the socket, and says how many of them were taken: less than `length` while the client has not been
/// stepped on through what it has; the rest is handed in again then. A `length` of 0 says that the other side writes no more.
///
/// With null at `bytes` nothing is taken, and it says how many of so many would be: as long as that is none after
/// `BALCONY_STEP_WAIT`, the server does not read, and only writing helps; there is no use in polling for something to read.
///
/// # Safety
///
/// `client` is null or a client; `bytes` is null or there are `length` of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn balcony_client_received(
    client: *mut BalconyClient,
    bytes: *const u8,
    length: usize,
) -> usize {
    // SAFETY: as the caller says.
    let Some(client) = (unsafe { client.as_mut() }) else { return 0 };
    client.is_over |= length == 0;
    let count = client.pump.room().min(length);
    if bytes.is_null() || count == 0 {
        return count;
    }
    // SAFETY: there are at least so many, as the caller says.
    client.pump.received(unsafe { slice::from_raw_parts(bytes, count) });
    count
}

/// How many milliseconds from `now` on there is nothing to do but for what the socket brings, rounded up: -1 if for ever, as `poll` wants
/// it. When they are over it is stepped on (`balcony_client_step`).
///
/// # Safety
///
/// `client` is null or a client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn balcony_client_timeout(client: *const BalconyClient, now: u64) -> c_int {
    // SAFETY: as the caller says.
    let deadline = unsafe { client.as_ref() }.and_then(|client| client.pump.deadline());
    deadline.map_or(-1, |deadline| {
        let left = deadline - instant(now);
        c_int::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
    })
}

/// Sends a stanza: one element, `<message/>`, `<presence/>` or `<iq/>`, in the namespace `jabber:client` or in none. After
/// `BALCONY_STEP_ONLINE` an available `<presence/>` comes first: without it nothing comes that is for the account (RFC 6121 section 4.2). A
/// message with an `id` is told of when the server has taken it over.
///
/// # Safety
///
/// `client` is null or a client; `stanza` is null or ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn balcony_client_send(
    client: *mut BalconyClient,
    now: u64,
    stanza: *const c_char,
) -> BalconyResult {
    // SAFETY: as the caller says.
    let Some(client) = (unsafe { client.as_mut() }) else { return BalconyResult::Misuse };
    // SAFETY: as the caller says.
    let stanza = unsafe { text(stanza) };
    result((|| {
        let stanza = stanza?.ok_or(BalconyResult::Misuse)?;
        let stanza = Stanza::parse(stanza.as_bytes()).ok_or(BalconyResult::BadText)?;
        client.pump.send(instant(now), &stanza).map_err(|error| refused(&error))
    })())
}

/// Sends a chat message with this text, and this `id` unless it is null, by which it is told of when the server has taken it over. What may be
/// in the text that means something in XML is seen to; what XML cannot hold, as most control characters, is `BALCONY_RESULT_BAD_TEXT`.
///
/// # Safety
///
/// `client` is null or a client; `to`, `id` and `body` are null or end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn balcony_client_message(
    client: *mut BalconyClient,
    now: u64,
    to: *const c_char,
    id: *const c_char,
    body: *const c_char,
) -> BalconyResult {
    // SAFETY: as the caller says.
    let Some(client) = (unsafe { client.as_mut() }) else { return BalconyResult::Misuse };
    // SAFETY: as the caller says.
    let (to, id, body) = unsafe { (text(to), text(id), text(body)) };
    result((|| {
        let (Some(to), id, Some(body)) = (to?, id?, body?) else { return Err(BalconyResult::Misuse) };
        let to: Jid = to.parse().map_err(|_| BalconyResult::BadText)?;
        let message = Message::chat(to).body(body);
        let message = match id {
            Some(id) => message.id(id),
            None => message,
        };
        let stanza = message.to_stanza();
        // What XML cannot hold would be written as another character.
        let written = Stanza::parse(stanza.to_xml().as_bytes()).ok_or(BalconyResult::BadText)?;
        if written.head.id.as_deref() != stanza.head.id.as_deref()
            || Message::read(written).is_none_or(|written| written.body() != Some(body))
        {
            return Err(BalconyResult::BadText);
        }
        client.pump.send(instant(now), &stanza).map_err(|error| refused(&error))
    })())
}

/// Sends a request (RFC 6120 section 8.2.3), and puts its number at `id`: a `get` if `is_set` is 0, otherwise a `set`, with `payload`, one element,
/// in it; to the account itself if `to` is null. What comes of it is an event with that number, after at most `timeout` milliseconds.
///
/// # Safety
///
/// `client` is null or a client; `to` and `payload` are null or end with a zero; `id` is null or can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn balcony_client_request(
    client: *mut BalconyClient,
    now: u64,
    is_set: u32,
    to: *const c_char,
    payload: *const c_char,
    timeout: u32,
    id: *mut u64,
) -> BalconyResult {
    // SAFETY: as the caller says.
    let (Some(client), Some(id)) = (unsafe { client.as_mut() }, unsafe { id.as_mut() }) else {
        return BalconyResult::Misuse;
    };
    // SAFETY: as the caller says.
    let (to, payload) = unsafe { (text(to), text(payload)) };
    result((|| {
        let to: Option<Jid> = to?.map(str::parse).transpose().map_err(|_| BalconyResult::BadText)?;
        let payload = payload?.ok_or(BalconyResult::Misuse)?;
        let kind = if is_set != 0 { RequestKind::Set } else { RequestKind::Get };
        let payload = Payload::from_bytes(payload.as_bytes()).map_err(|_| BalconyResult::BadText)?;
        let timeout = Duration::from_millis(timeout.into());
        let request = client.pump.request(instant(now), kind, to, payload, timeout);
        *id = request.map_err(|error| refused(&error))?.0;
        Ok(())
    })())
}

/// Something that a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum BalconyTell {
    /// To end its stream in good order. It is stepped on (`balcony_client_step`) until `BALCONY_STEP_CLOSED`.
    Close = 0,
    /// To find out at once whether the connection still lives: the device comes out of sleep, or the network has changed.
    Wake = 1,
    /// Nobody looks (XEP-0352): what is not urgent may wait.
    Inactive = 2,
    /// Somebody does again.
    Active = 3,
}

/// Tells a client something: a `balcony_tell`.
///
/// # Safety
///
/// `client` is null or a client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn balcony_client_tell(
    client: *mut BalconyClient,
    now: u64,
    what: u32,
) -> BalconyResult {
    // SAFETY: as the caller says.
    let Some(client) = (unsafe { client.as_mut() }) else { return BalconyResult::Misuse };
    match what {
        0 => client.pump.close(instant(now)),
        1 => client.pump.wake(instant(now)),
        2 | 3 => client.pump.set_active(what == 3),
        _ => return BalconyResult::BadText,
    }
    BalconyResult::Ok
}
