//! The network between the phone and its server, which can be taken away: then what is connected breaks, and nobody listens.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};

/// How often it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) port: u16,
    server: u16,
    up: Option<Up>,
}

#[derive(Debug)]
struct Up {
    ends: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    listens: JoinHandle<()>,
}

impl Relay {
    /// To this port of this machine.
    pub(crate) fn to(server: u16) -> io::Result<Relay> {
        let mut relay = Relay { port: 0, server, up: None };
        relay.set(true)?;
        Ok(relay)
    }

    pub(crate) fn set(&mut self, is_there: bool) -> io::Result<()> {
        self.cut();
        if !is_there {
            return Ok(());
        }
        let listener = TcpListener::bind(("127.0.0.1", self.port))?;
        listener.set_nonblocking(true)?;
        self.port = listener.local_addr()?.port();
        let (ends, streams) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<TcpStream>>>::default());
        let (ending, joined, server) = (Arc::clone(&ends), Arc::clone(&streams), self.server);
        let listens = spawn(move || {
            while !ending.load(SeqCst) {
                // What can't be joined is closed, and its client sees that.
                if listener.accept().and_then(|(client, _)| join(client, server, &joined)).is_err() {
                    sleep(LOOK);
                }
            }
        });
        self.up = Some(Up { ends, streams, listens });
        Ok(())
    }

    fn cut(&mut self) {
        let Some(up) = self.up.take() else { return };
        up.ends.store(true, SeqCst);
        // It has no reason to panic; and the port is free when it has ended.
        let _ = up.listens.join();
        for stream in up.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
    }
}

fn join(client: TcpStream, server: u16, all: &Mutex<Vec<TcpStream>>) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let server = TcpStream::connect(("127.0.0.1", server))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    for (mut from, mut to) in
        [(client.try_clone()?, server.try_clone()?), (server.try_clone()?, client.try_clone()?)]
    {
        spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            // Whoever is cut off is told so.
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    all.lock().unwrap_or_else(PoisonError::into_inner).extend([client, server]);
    Ok(())
}
