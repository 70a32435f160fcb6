//! What a server that has shut down could not do: what its log says, for whoever runs it.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use crate::counted::counted;
use crate::hub::Hub;

/// What a server that has shut down has given up, or nothing. Each of it stands in the log as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GivenUp {
    /// Requests to the store that it had not answered: what they were to change may be changed in the end, or not.
    pub requests: usize,
    /// Sessions that waited for their clients (XEP-0198) and are over, since the store has refused to keep them, or has not said that it
    /// does.
    pub sessions: usize,
    /// Messages that waited for these sessions in memory only: those that have not arrived are lost.
    pub messages: usize,
    /// Clients without stream management of which not all was taken that had come: the store was too slow for it. Those who do not
    /// read what they are told are not among them.
    pub clients: usize,
}

impl GivenUp {
    /// Whether it has done all that it had to do.
    #[must_use]
    pub const fn is_nothing(self) -> bool {
        self.requests == 0 && self.sessions == 0 && self.messages == 0 && self.clients == 0
    }
}

impl Hub {
    /// What it has given up. `None` if it has not shut down, be it that it still runs or that it has failed.
    #[must_use]
    pub const fn given_up(&self) -> Option<GivenUp> {
        if self.is_over { Some(self.given_up) } else { None }
    }

    /// The server is over. What the store has not done by then is given up. If it is anything: what the log says of it, of a store that has
    /// answered nothing for so long.
    pub(crate) fn give_up(&mut self, patience: Duration) -> Option<String> {
        self.is_over = true;
        let requests = self.open_asks();
        if requests == 0 {
            return None;
        }
        let (sessions, messages) = self.unsaved();
        self.given_up = GivenUp { requests, sessions, messages, ..self.given_up };
        let and_sessions = match sessions {
            0 => String::new(),
            1 => String::from(", and 1 session that is not kept yet ends with what waits for it"),
            _ => format!(", and {sessions} sessions that are not kept yet end with what waits for them"),
        };
        let patience = patience.as_secs();
        Some(format!(
            "the store has not answered for {patience} s: {} given up{and_sessions}",
            counted(requests, "request to it is", "requests to it are")
        ))
    }
}
