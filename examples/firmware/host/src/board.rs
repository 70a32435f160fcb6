//! The board: QEMU, with two sockets of this machine where it has its UARTs.

use core::time::Duration;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Instant;

use crate::Failure;

/// How long QEMU may take to start.
const START: Duration = Duration::from_secs(60);

pub(crate) struct Board {
    qemu: Child,
    line: UnixStream,
    carrier: UnixStream,
    rests: usize,
}

impl Board {
    /// Starts `program` on a board of its own.
    pub(crate) fn start(qemu: &str, program: &str, folder: &Path) -> Result<Board, Failure> {
        let mut command = Command::new(qemu);
        command.args(["-M", "mps2-an386", "-nographic", "-monitor", "none", "-kernel", program]);
        command.args(["-semihosting-config", "enable=on,target=native"]);
        let mut listeners = Vec::new();
        for name in ["line", "carrier"] {
            let path = folder.join(name);
            listeners.push(UnixListener::bind(&path)?);
            command.args(["-chardev", &format!("socket,id={name},path={}", path.display())]);
            command.args(["-serial", &format!("chardev:{name}")]);
        }
        let mut qemu = command.spawn().map_err(|error| format!("{qemu}: {error}"))?;
        let mut sockets = Vec::new();
        for listener in listeners {
            match accept(&listener, &mut qemu) {
                Ok(socket) => sockets.push(socket),
                Err(error) => {
                    qemu.kill()?;
                    return Err(error);
                }
            }
        }
        let (carrier, line) = (sockets.pop(), sockets.pop());
        let (Some(line), Some(carrier)) = (line, carrier) else { return Err("no sockets".into()) };
        Ok(Board { qemu, line, carrier, rests: 0 })
    }

    /// What has come over the line; `None` when QEMU has ended.
    pub(crate) fn read(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut buffer = vec![0; 4096];
        match self.line.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(count) => buffer.truncate(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => buffer.clear(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        Ok(Some(buffer))
    }

    /// Sends as much as the line takes now; how much.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        match self.line.write(bytes) {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            // It has ended; why is seen elsewhere.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Ok(bytes.len())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is a line.
    pub(crate) fn set_carrier(&mut self, is_up: bool) -> Result<(), Failure> {
        Ok(self.carrier.write_all(if is_up { b"1" } else { b"0" })?)
    }

    /// How often the device has said that it is at rest.
    pub(crate) fn rests(&mut self) -> Result<usize, Failure> {
        let mut buffer = [0; 64];
        match self.carrier.read(&mut buffer) {
            Ok(count) => self.rests += buffer[..count].iter().filter(|byte| **byte == b'r').count(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionReset) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.rests)
    }

    pub(crate) fn has_ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        Ok(self.qemu.try_wait()?)
    }
}

fn accept(listener: &UnixListener, qemu: &mut Child) -> Result<UnixStream, Failure> {
    listener.set_nonblocking(true)?;
    let until = Instant::now() + START;
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(true)?;
                return Ok(socket);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = qemu.try_wait()? {
            return Err(format!("QEMU has ended with {status}").into());
        }
        if Instant::now() >= until {
            return Err("QEMU does not start".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // It has ended by itself if all went well.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
