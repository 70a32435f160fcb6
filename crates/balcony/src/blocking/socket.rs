//! What a program without a runtime does with a socket of the standard library that blocks.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::thread;

use balcony_client::srv::Target;
use balcony_client::{Device, Extensions, Pump};
use balcony_machine::Instant;

/// How much is read at a time.
const CHUNK: usize = 4_096;
/// A socket takes no time-out of zero, and would wait for ever for what is due already.
const SHORTEST: Duration = Duration::from_millis(1);
/// How long all addresses of a place together may take to answer.
const CONNECTING: Duration = Duration::from_secs(30);
/// How many of them are tried.
const ADDRESSES: usize = 8;
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

/// Opens a socket to a place, at the first of its addresses that answers. They are tried one after the other, no more than eight of them, and half a
/// minute is shared among them, so that a host that drops packets does not hold its caller for minutes. How long the operating
/// system looks for the addresses is its own affair.
///
/// # Errors
///
/// Why the last of them did not answer, or that there is none.
pub fn connect(place: &Target) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> =
        (place.host.as_str(), place.port).to_socket_addrs()?.take(ADDRESSES).collect();
    let share = CONNECTING / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    connect_to(&addresses, share)
}

fn connect_to(addresses: &[SocketAddr], patience: Duration) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, patience) {
            Ok(socket) => {
                // What is written is a whole, and nothing is to wait for more of it.
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
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
        let written = socket.set_write_timeout(wait).and_then(|()| socket.write(machine.output()));
        match written {
            // What the other end had said before the connection broke may be why, and what to do about it.
            Err(error) if !is_time(&error) && machine.room() > 0 => {
                return match read(socket, machine, Some(SHORTEST)) {
                    Ok(1..) => Ok(()),
                    _ => Err(error),
                };
            }
            written => written.map(|count| machine.wrote(count)),
        }
    } else if machine.room() == 0 {
        // It waits for its owner, who is here.
        thread::sleep(wait.unwrap_or(SHORTEST));
        Ok(())
    } else {
        read(socket, machine, wait).map(|_| ())
    };
    match done {
        Err(error) if is_time(&error) => Ok(()),
        done => done,
    }
}

fn read(socket: &mut TcpStream, machine: &mut impl Buffered, wait: Option<Duration>) -> io::Result<usize> {
    let mut buffer = [0; CHUNK];
    let room = machine.room().min(CHUNK);
    socket.set_read_timeout(wait)?;
    let count = socket.read(&mut buffer[..room])?;
    machine.received(&buffer[..count]);
    Ok(count)
}

/// Whether nothing is wrong, and it only was not possible by now. On some systems a time-out is the one, on some the other.
fn is_time(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
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

#[cfg(all(test, feature = "tokio"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A host that drops packets: a listener whose queue is full, and which nobody empties.
    fn silent(runtime: &tokio::runtime::Runtime) -> (tokio::net::TcpListener, Vec<TcpStream>) {
        let _within = runtime.enter();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let at = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&at, Duration::from_millis(200)).ok();
        let held = core::iter::from_fn(connect).take(64).collect();
        (listener, held)
    }

    #[test]
    fn an_address_that_is_silent_does_not_hold_those_behind_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let (silent, _held) = silent(&runtime);
        let answers = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let places = [silent.local_addr().unwrap(), answers.local_addr().unwrap()];
        let begin = std::time::Instant::now();
        let socket = connect_to(&places, Duration::from_millis(500)).unwrap();
        assert_eq!(socket.peer_addr().unwrap(), places[1]);
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert_eq!(
            connect_to(&places[..1], Duration::from_millis(100)).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        assert_eq!(connect_to(&[], Duration::ZERO).unwrap_err().kind(), ErrorKind::NotFound);
    }

    /// One who always has something to say, and keeps what has come.
    #[derive(Default)]
    struct Talker(Vec<u8>);

    impl Buffered for Talker {
        fn deadline(&self) -> Option<Instant> {
            None
        }

        fn room(&self) -> usize {
            CHUNK
        }

        fn output(&self) -> &[u8] {
            b"more"
        }

        fn received(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }

        fn wrote(&mut self, _: usize) {}
    }

    // RFC 6120 §4.9: what ended the stream is read, though the connection broke while something was being written.
    #[test]
    fn what_has_come_is_read_before_a_broken_connection_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut talker = Talker::default();
        exchange(&mut socket, &mut talker, Instant::ZERO).unwrap();
        server.write_all(b"conflict").unwrap();
        // What it has not read resets the connection.
        drop(server);
        let broken = (0..1_000).find_map(|_| exchange(&mut socket, &mut talker, Instant::ZERO).err());
        assert!(broken.is_some());
        assert_eq!(talker.0, b"conflict");
    }

    #[test]
    fn a_place_is_found_by_its_name() {
        let answers = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = answers.local_addr().unwrap();
        let socket = connect(&Target::new("localhost".into(), at.port(), false)).unwrap();
        assert_eq!(socket.peer_addr().unwrap(), at);
    }
}
