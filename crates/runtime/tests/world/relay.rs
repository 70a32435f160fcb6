//! A network between a client and its server that can be cut, and that can fall silent. The tests of `balcony`, `balcony-ffi` and
//! `balcony-cli` have it, too.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

/// Brings connections to a port of this machine, or to a socket in its files.
pub(crate) struct Relay {
    /// Where clients connect to; zero for a socket in files.
    pub(crate) port: u16,
    network: Network,
}

/// What all connections share.
#[derive(Clone, Default)]
struct Network {
    streams: Arc<Mutex<Vec<Box<dyn Wire>>>>,
    is_silent: Arc<AtomicBool>,
}

/// One end of a connection.
trait Wire: Read + Write + Send + 'static {
    fn again(&self) -> Self
    where
        Self: Sized;
    fn close(&self);
}

impl Wire for TcpStream {
    fn again(&self) -> Self {
        self.try_clone().unwrap()
    }

    fn close(&self) {
        // It may be closed already.
        let _ = self.shutdown(Shutdown::Both);
    }
}

#[cfg(unix)]
impl Wire for UnixStream {
    fn again(&self) -> Self {
        self.try_clone().unwrap()
    }

    fn close(&self) {
        // It may be closed already.
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Relay {
    pub(crate) fn to(port: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay { port: listener.local_addr().unwrap().port(), network: Network::default() };
        let network = relay.network.clone();
        spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                // Nobody may be there.
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                network.join(client, server);
            }
        });
        relay
    }

    /// Who connects to the first of these is brought to the other.
    #[cfg(unix)]
    #[allow(dead_code, reason = "only servers are reached so, by the tests of `balcony-cli`")]
    pub(crate) fn between(path: &Path, server: PathBuf) -> Relay {
        let listener = UnixListener::bind(path).unwrap();
        let relay = Relay { port: 0, network: Network::default() };
        let network = relay.network.clone();
        spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let Ok(server) = UnixStream::connect(&server) else { continue };
                network.join(client, server);
            }
        });
        relay
    }

    /// Cuts all connections that there are.
    pub(crate) fn cut(&self) {
        for stream in self.network.streams.lock().unwrap().drain(..) {
            stream.close();
        }
    }

    /// From now on, or no longer, what comes is dropped, and nobody is told.
    pub(crate) fn is_silent(&self, is_silent: bool) {
        self.network.is_silent.store(is_silent, Ordering::SeqCst);
    }
}

impl Network {
    fn join<W: Wire>(&self, client: W, server: W) {
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (from, to, is_silent) = (from.again(), to.again(), Arc::clone(&self.is_silent));
            spawn(move || bring(from, to, &is_silent));
        }
        self.streams.lock().unwrap().extend([Box::new(client) as Box<dyn Wire>, Box::new(server)]);
    }
}

fn bring<W: Wire>(mut from: W, mut to: W, is_silent: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !is_silent.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Whoever is cut off is told so.
    to.close();
}
