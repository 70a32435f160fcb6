//! What one step of a machine comes to, and what it may wait for.

/// What one call of a byte machine's `advance` achieved.
///
/// A machine returns at most one event a call and keeps none back, so the caller decides how fast it goes. Call
/// `advance` again after an [`Event`](Progress::Event), even if no input is left.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<E> {
    /// Something happened; there may be more. Call again.
    Event(E),
    /// All input has been taken; call again with more.
    NeedInput,
    /// No input is taken until the caller has done something else first.
    Blocked(On),
    /// The stream has ended in good order; close the transport.
    Closed,
}

impl<E> Progress<E> {
    /// Changes the event, if there is one.
    pub fn map<T>(self, change: impl FnOnce(E) -> T) -> Progress<T> {
        match self {
            Progress::Event(event) => Progress::Event(change(event)),
            Progress::NeedInput => Progress::NeedInput,
            Progress::Blocked(on) => Progress::Blocked(on),
            Progress::Closed => Progress::Closed,
        }
    }
}

/// What a blocked machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum On {
    /// The TLS handshake below it.
    Tls,
    /// The answer to an ask.
    Answer,
    /// Room in the output buffer: write some of it to the peer first.
    OutputFull,
}

/// Names one ask among those that a machine has open. Hand it back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);
