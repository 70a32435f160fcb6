//! The functions that JavaScript calls. All that can be wrong with what it hands in is found where texts are read; what it reads and writes in the
//! memory of the module are bytes of a `Vec` that stays where it is until the next call.
#![allow(unsafe_code, reason = "the names of exported functions, and nothing else")]

use core::cell::RefCell;
use core::time::Duration;

use balcony_machine::{Instant, Secret};

use crate::client::{ENDED, MESSAGE, WebClient};
use crate::shown::shown;

/// What is handed in at most at once.
const INPUT: usize = MESSAGE;
/// Clients at most: a page with more of them has lost count.
const CLIENTS: usize = 1_024;

#[derive(Default)]
struct Module {
    clients: Vec<Option<Box<WebClient>>>,
    input: Vec<u8>,
    output: Vec<u8>,
}

thread_local! {
    static MODULE: RefCell<Module> = RefCell::default();
}

impl Module {
    /// Takes what was handed in.
    fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.input)
    }

    fn take_text(&mut self) -> Result<String, String> {
        String::from_utf8(self.take()).map_err(|_| "this is not UTF-8".into())
    }

    fn client(&mut self, number: u32) -> Option<&mut WebClient> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.clients.get_mut(index)?.as_deref_mut()
    }

    /// Makes a client, in the first place that is free.
    fn make(&mut self, input: &[u8]) -> Result<u32, String> {
        let client = WebClient::new(input)?;
        let free = self.clients.iter().position(Option::is_none).unwrap_or(self.clients.len());
        if free >= CLIENTS {
            return Err("there are too many clients".into());
        }
        if free == self.clients.len() {
            self.clients.push(None);
        }
        self.clients[free] = Some(Box::new(client));
        u32::try_from(free + 1).map_err(|error| error.to_string())
    }

    /// Gives the output its text, and says whether something was done.
    fn give(&mut self, result: Result<String, String>) -> u32 {
        let is_done = result.is_ok();
        self.output = result.unwrap_or_else(|reason| reason).into_bytes();
        is_done.into()
    }

    /// What a client does with the text that was handed in.
    fn with_text(
        &mut self,
        number: u32,
        act: impl FnOnce(&mut WebClient, &str) -> Result<String, String>,
    ) -> u32 {
        let text = self.take_text();
        let result = text.and_then(|text| match self.client(number) {
            Some(client) => act(client, &text),
            None => Err("the client has ended".into()),
        });
        self.give(result)
    }
}

fn with<T>(act: impl FnOnce(&mut Module) -> T) -> T {
    MODULE.with_borrow_mut(act)
}

/// Milliseconds, as the browser has them, with a fraction.
fn instant(now: f64) -> Instant {
    Instant::from_elapsed(Duration::try_from_secs_f64(now / 1e3).unwrap_or_default())
}

/// Makes a place for so many bytes that are handed in with the next call, and says where it is; 0 if they are too many.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_input(length: usize) -> *mut u8 {
    with(|module| {
        module.input = Vec::new();
        if length > INPUT {
            return core::ptr::null_mut();
        }
        module.input.resize(length, 0);
        module.input.as_mut_ptr()
    })
}

/// Where the text is that the last call has given.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_output() -> *const u8 {
    with(|module| module.output.as_ptr())
}

/// How many bytes it has.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_output_length() -> usize {
    with(|module| module.output.len())
}

/// Makes a client of what was handed in: 32 bytes that nobody can guess, then the address, the password, `wss` or `ws`, the priority, milliseconds from the
/// start of 1970 to the start of the clock, and `1` if it is to connect again or `0`, with bytes of zero between them. Its number; 0 if that is no
/// configuration, and the output says why.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_make() -> u32 {
    with(|module| {
        // The password is in it.
        let input = Secret::new(module.take());
        let made = module.make(input.expose());
        made.unwrap_or_else(|reason| {
            module.give(Err(reason));
            0
        })
    })
}

/// Ends a client without a word to its server.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_free(client: u32) {
    with(|module| {
        let index = (client as usize).checked_sub(1);
        if let Some(place) = index.and_then(|index| module.clients.get_mut(index)) {
            *place = None;
        }
    });
}

/// What is to be done next, or has happened: one of the numbers above, and what there is to say of it in the output.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_step(client: u32, now: f64) -> u32 {
    with(|module| {
        let (step, text) = match module.client(client) {
            Some(client) => client.step(instant(now)),
            None => (ENDED, String::from("the client has ended")),
        };
        module.output = text.into_bytes();
        step
    })
}

/// A WebSocket is open.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_connected(client: u32, now: f64) {
    with(|module| module.client(client).map(|client| client.connected(instant(now))));
}

/// No WebSocket could be opened, for the reason that was handed in.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_unreachable(client: u32, now: f64) {
    with(|module| {
        let reason = module.take_text().unwrap_or_default();
        module.client(client).map(|client| client.unreachable(instant(now), &reason))
    });
}

/// The WebSocket is gone, for the reason that was handed in.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_broken(client: u32, now: f64) {
    with(|module| {
        let reason = module.take_text().unwrap_or_default();
        module.client(client).map(|client| client.broken(instant(now), &reason))
    });
}

/// The message that was handed in has come on the WebSocket. Then step. At most [`WAITING`](crate::WAITING) bytes wait while the client has no room for them.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_received(client: u32, now: f64) {
    with(|module| {
        let message = module.take();
        module.client(client).map(|client| client.received(instant(now), &message))
    });
}

/// Takes the next message to be sent on the WebSocket, which is in the output then; 0 if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_message(client: u32) -> u32 {
    with(|module| {
        let message = module.client(client).and_then(WebClient::message);
        message.map_or(0, |message| module.give(Ok(message)))
    })
}

/// How many milliseconds from `now` on there is nothing to do but for what comes; -1 if for ever.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_deadline(client: u32, now: f64) -> f64 {
    with(|module| {
        let due = module.client(client).and_then(|client| client.deadline());
        due.map_or(-1.0, |due| due.saturating_since(instant(now)).as_secs_f64() * 1e3)
    })
}

/// Sends a message: its type, the address and the text were handed in. 1, and its id in the output; or 0, and the reason. While there is no
/// connection it waits, up to the bounds of the [`Agent`](balcony_client::Agent).
#[unsafe(no_mangle)]
pub extern "C" fn balcony_send(client: u32) -> u32 {
    with(|module| module.with_text(client, WebClient::send))
}

/// Sends the stanza that was handed in, in the same way.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_stanza(client: u32) -> u32 {
    with(|module| module.with_text(client, WebClient::stanza))
}

/// Says that the client is there: a priority, a `show` and a status were handed in, each of which may be empty: the priority is that of before
/// then. Nothing at all: that it is not. It is said again whenever the client comes online.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_presence(client: u32) -> u32 {
    with(|module| module.with_text(client, WebClient::presence))
}

/// Sends what waits if the client is online, and ends the stream in good order: step until it says [`ENDED`]. What was not sent is told by events before that.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_close(client: u32, now: f64) {
    with(|module| module.client(client).map(|client| client.close(instant(now))));
}

/// The device has slept, or its network has changed: the server is asked at once whether it is still there, or it connects now.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_wake(client: u32, now: f64) {
    with(|module| module.client(client).map(|client| client.wake(instant(now))));
}

/// The message of the wire that was handed in, without what is secret in it, is in the output then.
#[unsafe(no_mangle)]
pub extern "C" fn balcony_shown() {
    with(|module| {
        let text = module.take_text();
        module.give(text.map(|text| shown(&text)))
    });
}
