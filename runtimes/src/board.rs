//! A board that QEMU plays, as a client of the suite: its console is this process's input and output, and its line goes to the server as that of
//! a modem does, which calls again as long as the client is not closed. Where a connection begins and ends is said on the line itself, by bytes that XMPP
//! does not have: nobody knows otherwise which byte belongs to which, since QEMU brings those of each UART in its own time.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{sleep, spawn};
use std::time::Instant;

use async_channel::Receiver;

use crate::Failure;
use crate::party::tell;
use crate::words::{self, Command as Line};

/// How long QEMU may take to start.
const START: Duration = Duration::from_secs(60);
/// How often the modem tries to get a connection.
const AGAIN: Duration = Duration::from_millis(200);

/// What begins a connection on the line, and what ends it.
const BEGIN: u8 = 1;
const END: u8 = 0;

/// What the modem does.
#[derive(Default)]
struct Modem {
    /// Where it calls, while the client is to be connected.
    place: Option<String>,
    connection: Option<TcpStream>,
}

impl Modem {
    fn hang_up(&mut self) {
        self.place = None;
        // It may be closed already.
        let _ = self.connection.take().map(|connection| connection.shutdown(Shutdown::Both));
    }
}

fn lock(modem: &Mutex<Modem>) -> MutexGuard<'_, Modem> {
    modem.lock().unwrap_or_else(PoisonError::into_inner)
}

/// QEMU, which ends with this.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays a program, until the input ends. The folder is for sockets.
///
/// # Errors
///
/// It does not start.
pub fn play(qemu: &str, program: &str, folder: &str, lines: &Receiver<String>) -> Result<(), Failure> {
    let mut command = Command::new(qemu);
    command.args(["-M", "mps2-an386", "-nographic", "-monitor", "none", "-kernel", program]);
    command.args(["-semihosting-config", "enable=on,target=native"]).stdin(std::process::Stdio::null());
    let mut listeners = Vec::new();
    for name in ["line", "console"] {
        let path = Path::new(folder).join(name);
        listeners.push(UnixListener::bind(&path)?);
        command.args(["-chardev", &format!("socket,id={name},path={}", path.display())]);
    }
    // The second says to lamps whether there is a line.
    command.args(["-serial", "chardev:line", "-serial", "null", "-serial", "chardev:console"]);
    let mut qemu = Qemu(command.spawn().map_err(|error| format!("{qemu}: {error}"))?);
    let mut sockets = Vec::new();
    for listener in &listeners {
        sockets.push(accept(listener, &mut qemu.0)?);
    }
    let [line, mut console] = <[UnixStream; 2]>::try_from(sockets).map_err(|_| "no sockets")?;
    let modem = Arc::<Mutex<Modem>>::default();

    let (up, from_board) = (Arc::clone(&modem), line.try_clone()?);
    spawn(move || send(from_board, &up));
    let calls = Arc::clone(&modem);
    spawn(move || call(&calls, line));
    let (over, said) = (Arc::clone(&modem), console.try_clone()?);
    spawn(move || {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            if line == "closed" || line.starts_with("ended") {
                lock(&over).hang_up();
            }
            tell(line);
        }
    });
    while let Ok(line) = lines.recv_blocking() {
        if let Some(Line::Connect { place, .. }) = words::read(&line) {
            lock(&modem).place = Some(place.into());
        }
        writeln!(console, "{line}")?;
    }
    Ok(())
}

/// What the board sends goes to the server, or, while there is no connection, nowhere.
fn send(mut line: UnixStream, modem: &Mutex<Modem>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = line.read(&mut buffer) {
        let connection = lock(modem).connection.as_ref().and_then(|connection| connection.try_clone().ok());
        if let Some(mut connection) = connection {
            // That it is broken is seen where it is read.
            let _ = connection.write_all(&buffer[..count]);
        }
    }
}

/// Calls, and brings what comes.
fn call(modem: &Mutex<Modem>, mut line: UnixStream) {
    loop {
        sleep(AGAIN);
        let Some(place) = lock(modem).place.clone() else { continue };
        let Ok(mut connection) = TcpStream::connect(&place) else { continue };
        {
            let mut modem = lock(modem);
            if modem.place.is_none() {
                continue;
            }
            modem.connection = connection.try_clone().ok();
        }
        let mut buffer = [0; 4096];
        let mut is_open = line.write_all(&[BEGIN]).is_ok();
        while is_open && let Ok(count @ 1..) = connection.read(&mut buffer) {
            is_open = line.write_all(&buffer[..count]).is_ok();
        }
        lock(modem).connection = None;
        if line.write_all(&[END]).is_err() {
            return;
        }
    }
}

fn accept(listener: &UnixListener, qemu: &mut Child) -> Result<UnixStream, Failure> {
    listener.set_nonblocking(true)?;
    let until = Instant::now() + START;
    loop {
        if let Ok((socket, _)) = listener.accept() {
            socket.set_nonblocking(false)?;
            return Ok(socket);
        }
        if let Some(status) = qemu.try_wait()? {
            return Err(format!("QEMU has ended with {status}").into());
        }
        if Instant::now() >= until {
            return Err("QEMU does not start".into());
        }
        sleep(Duration::from_millis(5));
    }
}
