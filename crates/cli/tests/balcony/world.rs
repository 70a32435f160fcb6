//! A folder, and programs that run in it.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_balcony");
/// Nothing here takes longer unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const PASSWORD: &str = "r0m30myr0m30";

/// A port that stays free until this test uses it: below those that systems give to who asks for any
/// (from 32,768 on Linux, from 49,152 elsewhere), and each given once.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs of these tests side by side begin at different places.
    let start = u16::try_from(std::process::id() % 200).unwrap() * 50;
    loop {
        let port = 20_000 + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The same as an address of this machine.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// A working folder. `./balcony-data` in it is where programs look.
pub struct World {
    folder: TempDir,
}

/// What a program that has ended leaves behind.
#[derive(Debug)]
pub struct Ended {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub fn new() -> World {
        World { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    pub fn start(&self, args: &[&str]) -> Process {
        Process::start(Command::new(PROGRAM).args(args), self.folder.path())
    }

    /// Runs a line as a shell would in this folder.
    pub fn shell(&self, line: &str) -> Process {
        let programs = Path::new(PROGRAM).parent().unwrap().display();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
        Process::start(
            Command::new("sh").args(["-c", &format!("exec env {line}")]).env("PATH", path),
            self.folder.path(),
        )
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        self.start(args).wait()
    }

    /// Runs a program with this password in its environment.
    pub fn run_as(&self, password: &str, args: &[&str]) -> Ended {
        self.start_as(password, args).wait()
    }

    /// Starts it in that way.
    pub fn start_as(&self, password: &str, args: &[&str]) -> Process {
        let mut command = Command::new(PROGRAM);
        Process::start(command.args(args).env("BALCONY_PASSWORD", password), self.folder.path())
    }

    pub fn serve(&self, options: &[&str]) -> Server {
        let args = [&["serve", "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0"], options].concat();
        Server::start(self.start(&args))
    }

    /// Replaces the certificate in `./balcony-data` with a new one, and its authority.
    pub fn renew_certificate(&self) {
        let other = World::new();
        other.serve(&[]).stop();
        for file in ["ca.pem", "ca-key.pem", "cert.pem", "key.pem"].map(|file| format!("balcony-data/{file}"))
        {
            std::fs::copy(other.path(&file), self.path(&file)).unwrap();
        }
    }

    /// An account with the usual password.
    pub fn account(&self, name: &str) {
        let added = self.run_as(PASSWORD, &["user", "add", name]);
        assert_eq!(added.status, Some(0), "{added:?}");
    }

    /// A listener that is online.
    pub fn listen(&self, server: &Server, jid: &str, options: &[&str]) -> Process {
        self.listen_at(&server.address, jid, options)
    }

    /// The same, by way of another address.
    pub fn listen_at(&self, address: &str, jid: &str, options: &[&str]) -> Process {
        let listener = self.listener(address, jid, options);
        listener.stderr_with("listening as");
        listener
    }

    /// A listener that may never come online.
    pub fn listener(&self, address: &str, jid: &str, options: &[&str]) -> Process {
        self.listener_into(Stdio::piped(), address, jid, options)
    }

    /// The same with another stdout, which nobody reads but whoever has its other end.
    pub fn listener_into(
        &self,
        stdout: impl Into<Stdio>,
        address: &str,
        jid: &str,
        options: &[&str],
    ) -> Process {
        let mut command = Command::new(PROGRAM);
        command.args(["listen", "--as", jid, "--connect", address]).args(options);
        Process::start_into(stdout.into(), command.env("BALCONY_PASSWORD", PASSWORD), self.folder.path())
    }

    pub fn send(&self, server: &Server, from: &str, to: &str, text: &str, options: &[&str]) -> Ended {
        let args = ["send", "--as", from, "--connect", &server.address, to, text];
        self.run_as(PASSWORD, &[&args, options].concat())
    }
}

/// A server that listens.
pub struct Server {
    pub process: Process,
    /// All that it said when it started.
    pub greeting: Vec<String>,
    /// Where it listens for STARTTLS, and for direct TLS.
    pub address: String,
    pub address_tls: String,
}

impl Server {
    pub fn start(process: Process) -> Server {
        let mut greeting = Vec::new();
        while !greeting.last().is_some_and(|line: &String| line.contains("balcony listen")) {
            greeting.push(process.stdout());
        }
        // The example of `send` comes after that of `listen`.
        if greeting.iter().any(|line| line.contains("demo account")) {
            greeting.push(process.stdout());
        }
        let address = |how: &str| {
            let find = |line: &String| {
                Some(line.trim().strip_prefix("listening on ")?.strip_suffix(how)?.to_owned())
            };
            greeting.iter().find_map(find).unwrap_or_default()
        };
        let starttls = address(" (STARTTLS)");
        let address_tls = address(" (direct TLS)");
        let address = if starttls.is_empty() { address(" (STARTTLS, or no TLS at all)") } else { starttls };
        Server { address, address_tls, process, greeting }
    }

    /// Ends it in good order.
    pub fn stop(self) -> Ended {
        self.process.signal("TERM");
        let ended = self.process.wait();
        assert_eq!(ended.status, Some(0), "{ended:?}");
        ended
    }
}

/// A program that may still run. It is killed with this value.
pub struct Process {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Process {
    fn start(command: &mut Command, folder: &Path) -> Process {
        Process::start_into(Stdio::piped(), command, folder)
    }

    fn start_into(stdout: Stdio, command: &mut Command, folder: &Path) -> Process {
        command.current_dir(folder).stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().map_or_else(|| channel().1, lines);
        let stderr = lines(child.stderr.take().unwrap());
        Process { child, stdout, stderr }
    }

    /// The next line of stdout.
    pub fn stdout(&self) -> String {
        self.stdout.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            let stderr: Vec<_> = self.stderr.try_iter().collect();
            panic!("no line of output: {error}; on stderr: {stderr:#?}")
        })
    }

    /// The next line of stderr that contains `text`.
    pub fn stderr_with(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no `{text}` on stderr: {error}; but {seen:#?}"),
            }
        }
    }

    /// The lines of stderr that have come since somebody last looked.
    pub fn stderr_so_far(&self) -> Vec<String> {
        self.stderr.try_iter().collect()
    }

    /// Writes to its standard input, and closes that.
    pub fn input(&mut self, text: &str) {
        self.child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Ends it at once, and leaves it no chance to do anything.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end, and takes the output that nobody has looked at.
    pub fn wait(mut self) -> Ended {
        drop(self.child.stdin.take());
        let start = Instant::now();
        let status: ExitStatus = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => {
                    self.child.kill().unwrap();
                    let stderr: Vec<_> = self.stderr.iter().collect();
                    panic!("it does not end; on stderr: {stderr:#?}");
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let rest = |lines: &Receiver<String>| lines.iter().map(|line| line + "\n").collect::<String>();
        Ended { status: status.code(), stdout: rest(&self.stdout), stderr: rest(&self.stderr) }
    }

    /// Whether nothing has been printed since somebody last looked.
    pub fn is_silent(&self) -> bool {
        matches!(self.stdout.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

impl Ended {
    /// Asserts that it failed with this status and one line that contains all of `texts`.
    #[track_caller]
    pub fn failed(&self, status: i32, texts: &[&str]) {
        assert_eq!(self.status, Some(status), "{self:#?}");
        let lines: Vec<_> = self.stderr.lines().filter(|line| line.starts_with("balcony: ")).collect();
        assert!(lines.len() == 1 && self.stderr.lines().count() == 1, "one line is wanted: {self:#?}");
        for text in texts {
            assert!(lines[0].contains(text), "{text} is missing: {self:#?}");
        }
    }

    #[track_caller]
    pub fn succeeded(&self) {
        assert_eq!(self.status, Some(0), "{self:#?}");
    }
}
