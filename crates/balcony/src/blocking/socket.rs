//! What a program without a runtime does with a socket of the standard library that blocks.

use core::time::Duration;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;

use balcony_client::{Device, Extensions, Pump};
use balcony_machine::Instant;

/// How much is read at a time.
const CHUNK: usize = 4_096;
/// A socket takes no time-out of zero, and would wait for ever for what is due already.
const SHORTEST: Duration = Duration::from_millis(1);
/// How long the last words may take.
const LEAVING: Duration = Duration::from_secs(5);

/// A machine with its buffers: a [`Pump`] or a [`Device`].
pub trait Buffered {
    /// When it has to go on even if nothing has come.
    fn deadline(&self) -> Option<Instant>;
    /// How many bytes it may receive now.
    fn room(&self) -> usize;
    /// What it wants to be written.
    fn output(&self) -> &[u8];
    /// Takes in received bytes; none of them are their end.
    fn received(&mut self, bytes: &[u8]);
    /// So many bytes of the output have been written.
    fn wrote(&mut self, count: usize);
}

/// Waits for a machine that has nothing to do until something comes: writes what it wants to be written, or else reads. It comes back when
/// that is done, if only in part, and when the machine's deadline is there, so that nothing that is due waits for a peer that neither
/// sends nor takes anything. Then step again.
///
/// # Errors
///
/// The connection is broken, and why. That the time is over is none.
pub fn exchange(socket: &mut TcpStream, machine: &mut impl Buffered, now: Instant) -> io::Result<()> {
    let wait = machine.deadline().map(|due| (due - now).max(SHORTEST));
    let done = if !machine.output().is_empty() {
        // What is left is written the next time.
        socket
            .set_write_timeout(wait)
            .and_then(|()| socket.write(machine.output()))
            .map(|count| machine.wrote(count))
    } else if machine.room() == 0 {
        // It waits for its owner, who is here.
        thread::sleep(wait.unwrap_or(SHORTEST));
        Ok(())
    } else {
        let mut buffer = [0; CHUNK];
        let room = machine.room().min(CHUNK);
        socket
            .set_read_timeout(wait)
            .and_then(|()| socket.read(&mut buffer[..room]))
            .map(|count| machine.received(&buffer[..count]))
    };
    match done {
        // On some systems a time-out is the one, on some the other.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
            ) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// Writes the last words of a machine, and closes the socket. A peer that does not take them has five seconds.
///
/// # Errors
///
/// They were not written, and why. The socket is closed all the same.
pub fn finish(mut socket: TcpStream, last_words: &[u8]) -> io::Result<()> {
    let written = socket.set_write_timeout(Some(LEAVING)).and_then(|()| socket.write_all(last_words));
    // It may be closed already.
    let _ = socket.shutdown(Shutdown::Write);
    written
}

impl Buffered for Pump {
    fn deadline(&self) -> Option<Instant> {
        Pump::deadline(self)
    }

    fn room(&self) -> usize {
        Pump::room(self)
    }

    fn output(&self) -> &[u8] {
        Pump::output(self)
    }

    fn received(&mut self, bytes: &[u8]) {
        Pump::received(self, bytes);
    }

    fn wrote(&mut self, count: usize) {
        Pump::wrote(self, count);
    }
}

impl<X: Extensions> Buffered for Device<X> {
    fn deadline(&self) -> Option<Instant> {
        Device::deadline(self)
    }

    fn room(&self) -> usize {
        Device::room(self)
    }

    fn output(&self) -> &[u8] {
        Device::output(self)
    }

    fn received(&mut self, bytes: &[u8]) {
        Device::received(self, bytes);
    }

    fn wrote(&mut self, count: usize) {
        Device::wrote(self, count);
    }
}
