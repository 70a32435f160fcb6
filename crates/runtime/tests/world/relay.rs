//! A network between a client and its server that can be cut, and that can fall silent. The tests of `balcony` and `balcony-ffi` have it, too.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

/// Brings connections to a port of this machine.
pub(crate) struct Relay {
    /// Where clients connect to.
    pub(crate) port: u16,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    is_silent: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) fn to(port: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay {
            port: listener.local_addr().unwrap().port(),
            streams: Arc::default(),
            is_silent: Arc::default(),
        };
        let (streams, is_silent) = (Arc::clone(&relay.streams), Arc::clone(&relay.is_silent));
        spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                // Nobody may be there.
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let is_silent = Arc::clone(&is_silent);
                    spawn(move || bring(from, to, &is_silent));
                }
                streams.lock().unwrap().extend([client, server]);
            }
        });
        relay
    }

    /// Cuts all connections that there are.
    pub(crate) fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// From now on, or no longer, what comes is dropped, and nobody is told.
    pub(crate) fn is_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::SeqCst);
    }
}

fn bring(mut from: TcpStream, mut to: TcpStream, is_silent: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !is_silent.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Whoever is cut off is told so, unless it is closed already.
    let _ = to.shutdown(Shutdown::Both);
}
