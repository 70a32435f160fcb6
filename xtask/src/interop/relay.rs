//! A network between a client and its server that is cut again and again, at any byte.

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};

use crate::dice::Dice;
use crate::run::Result;

/// How often it is cut.
pub(crate) const CUTS: usize = 50;
/// A login with TLS takes less than so many bytes, both ways together.
const LOGIN: f64 = 15_000.0;

/// Listens until this is dropped. How often it has cut is in a file, for the programs that go by it.
pub(crate) struct Relay {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    cuts_logins: bool,
    count: PathBuf,
    state: Mutex<State>,
    is_over: AtomicBool,
}

struct State {
    dice: Dice,
    cuts: usize,
    /// Whether the last one was cut during its login. Not the next one, then: some libraries wait for seconds then, and sessions don't.
    was_early: bool,
}

/// What becomes of one connection: so many bytes, of both directions, get through; then nothing for a while; then it is cut.
struct Fate {
    left: Mutex<Option<u64>>,
    silence: Duration,
}

impl Relay {
    /// Begins to listen, for this server. What cuts logins, too, cuts every third of them or so.
    pub(crate) fn start(server: &str, seed: u64, cuts_logins: bool, count: PathBuf) -> Result<Relay> {
        let failed = |error: std::io::Error| format!("no relay: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?.to_string();
        fs::write(&count, "0").map_err(failed)?;
        let state = Mutex::new(State { dice: Dice(seed), cuts: 0, was_early: false });
        let is_over = AtomicBool::new(false);
        let shared = Arc::new(Shared { server: server.to_owned(), cuts_logins, count, state, is_over });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                if own.is_over.load(Ordering::SeqCst) {
                    return;
                }
                own.take(here);
            }
        });
        Ok(Relay { address, shared })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

impl Shared {
    fn take(self: &Arc<Self>, here: TcpStream) {
        let Ok(there) = TcpStream::connect(&self.server) else { return };
        let fate = Arc::new(self.fate());
        let ends = Arc::new([here, there]);
        for way in 0..2 {
            let (shared, fate, ends) = (Arc::clone(self), Arc::clone(&fate), Arc::clone(&ends));
            thread::spawn(move || shared.bring(&ends[way], &ends[1 - way], &fate));
        }
    }

    fn fate(&self) -> Fate {
        let Ok(mut state) = self.state.lock() else {
            return Fate { left: Mutex::new(None), silence: Duration::ZERO };
        };
        if state.cuts >= CUTS {
            return Fate { left: Mutex::new(None), silence: Duration::ZERO };
        }
        let (is_early, is_silent) = (state.dice.between(0.0, 2.0) < 1.0, state.dice.between(0.0, 2.0) < 1.0);
        let is_early = is_early && self.cuts_logins && !state.was_early;
        state.was_early = is_early;
        let bytes =
            if is_early { state.dice.between(1.0, LOGIN) } else { state.dice.between(LOGIN, 3.0 * LOGIN) };
        let silence = if is_silent { state.dice.between(0.02, 0.15) } else { 0.0 };
        Fate { left: Mutex::new(Some(bytes as u64)), silence: Duration::from_secs_f64(silence) }
    }

    fn bring(&self, mut from: &TcpStream, mut to: &TcpStream, fate: &Fate) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let (through, is_last) = fate.take(count as u64);
            if to.write_all(&buffer[..through]).is_err() {
                break;
            }
            if is_last {
                sleep(fate.silence);
                self.has_cut();
                break;
            }
        }
        for end in [from, to] {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn has_cut(&self) {
        if let Ok(mut state) = self.state.lock() {
            state.cuts += 1;
            if let Err(error) = fs::write(&self.count, state.cuts.to_string()) {
                println!("{}: {error}", self.count.display());
            }
        }
    }
}

impl Fate {
    /// How many of these bytes get through, and whether the connection is cut behind them. When none is left, they are swallowed.
    fn take(&self, count: u64) -> (usize, bool) {
        let Ok(mut left) = self.left.lock() else { return (0, false) };
        let Some(rest) = *left else { return (count as usize, false) };
        let through = count.min(rest);
        *left = Some(rest - through);
        (through as usize, rest > 0 && through == rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_get_through_until_it_is_cut() {
        let fate = Fate { left: Mutex::new(Some(10)), silence: Duration::ZERO };
        assert_eq!(fate.take(4), (4, false));
        assert_eq!(fate.take(9), (6, true));
        assert_eq!(fate.take(9), (0, false));
        let spared = Fate { left: Mutex::new(None), silence: Duration::ZERO };
        assert_eq!(spared.take(5000), (5000, false));
    }

    #[test]
    fn it_cuts_what_goes_through_and_counts() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = server.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for end in server.incoming().flatten() {
                thread::spawn(move || std::io::copy(&mut &end, &mut &end));
            }
        });
        let count = std::env::temp_dir().join(format!("relay-{}", std::process::id()));
        let relay = Relay::start(&address, 1, true, count.clone()).unwrap();
        for _ in 0..CUTS {
            let mut end = TcpStream::connect(&relay.address).unwrap();
            let mut got = 0;
            while end.write_all(&[7; 500]).is_ok() {
                match end.read(&mut [0; 500]) {
                    Ok(bytes @ 1..) => got += bytes,
                    _ => break,
                }
            }
            assert!(got as f64 <= 1.5 * LOGIN + 500.0, "both ways together: {got}");
        }
        assert_eq!(fs::read_to_string(&count).unwrap(), CUTS.to_string());
        let mut end = TcpStream::connect(&relay.address).unwrap();
        let mut got = 0;
        while got < 100_000 {
            end.write_all(&[7; 500]).unwrap();
            got += end.read(&mut [0; 500]).unwrap();
        }
        fs::remove_file(count).unwrap();
    }
}
