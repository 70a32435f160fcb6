//! The client of a session in a server's world, which need run in the first of two runs only.

use std::collections::VecDeque;

use balcony_machine::Instant;
use balcony_stream::ClientStream;

/// Who sits at the other end of a session.
pub enum Client {
    /// Nobody: the input is all that is sent.
    Nobody,
    /// A client that logs in and listens.
    Listens(Box<ClientStream>),
    /// What the client of another run has said, and has yet to say here. A client is the same function of what it is sent, so it
    /// need not run again to find out whether it is sent the same.
    Again(VecDeque<Said>),
}

/// Something that a client says.
#[derive(Clone, Debug)]
pub struct Said {
    /// When in a run.
    pub moment: Moment,
    /// What.
    pub bytes: Vec<u8>,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The client has taken so many bytes, over all its connections.
    pub taken: usize,
    /// The time.
    pub at: Instant,
    /// Which of its connections it is.
    pub connection: usize,
}

impl Client {
    /// What is due to be said again, of what was said in another run.
    pub fn again(&mut self, now: Moment, out: &mut Vec<u8>) {
        let Client::Again(said) = self else { return };
        let due = |said: &mut Said| {
            let then = said.moment;
            then.taken <= now.taken && then.at <= now.at && then.connection == now.connection
        };
        while let Some(said) = said.pop_front_if(due) {
            out.extend_from_slice(&said.bytes);
        }
    }
}
