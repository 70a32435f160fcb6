//! A PostgreSQL server for tests: Debian's, on a Unix socket in a folder of its own. It ends with the process that has started
//! it, however that ends.

use core::sync::atomic::{AtomicU32, Ordering};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

pub struct Server {
    folder: PathBuf,
    programs: PathBuf,
    /// Whom it runs as, if not as us: user and group.
    user: Option<(u32, u32)>,
    schemas: AtomicU32,
    /// Stops the server at the end of its input, which comes with the end of this process.
    guard: Option<Child>,
}

/// The server that the tests of one process share. If there can't be one, a line on stderr says why.
pub fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::start).as_ref()
}

impl Server {
    /// If it can't be started, a line on stderr says why.
    pub fn start() -> Option<Server> {
        match Server::try_start() {
            Ok(server) => Some(server),
            Err(reason) => {
                // What is printed by `eprintln!` is shown only if a test fails.
                let line = format!("SKIP tests with PostgreSQL: {reason}\n");
                io::stderr().write_all(line.as_bytes()).unwrap();
                None
            }
        }
    }

    fn try_start() -> Result<Server, String> {
        let programs = programs().ok_or("no server in /usr/lib/postgresql/*/bin")?;
        let folder = tempfile::Builder::new().prefix("balcony-pg").tempdir().unwrap().keep();
        let mut server = Server { folder, programs, user: None, schemas: AtomicU32::new(0), guard: None };
        if fs::metadata(&server.folder).unwrap().uid() == 0 {
            let user =
                user().ok_or("it does not run as root, and there is no user `postgres` or `nobody`")?;
            chown(&server.folder, Some(user.0), Some(user.1)).unwrap();
            server.user = Some(user);
        }
        const GUARD: &str = r#"read nothing; "$1" -D "$2/data" -m immediate stop; rm -rf "$2""#;
        let mut guard = server.command(Path::new("/bin/sh"));
        guard.args(["-c", GUARD, "sh"]).arg(server.programs.join("pg_ctl")).arg(&server.folder);
        server.guard = Some(guard.stdin(Stdio::piped()).spawn().map_err(|error| error.to_string())?);
        let data = server.folder.join("data");
        let make = ["-U", "balcony", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"];
        server.run(server.command(&server.programs.join("initdb")).args(make).arg(data))?;
        server.resume()?;
        Ok(server)
    }

    /// Starts it again.
    pub fn resume(&self) -> Result<(), String> {
        let folder = self.folder.display();
        let options = format!(
            "-k {folder} -c listen_addresses= -c fsync=off -c max_connections=200 -c shared_buffers=16MB"
        );
        self.control(&["-l", &format!("{folder}/log"), "-o", &options, "start"])
    }

    /// Stops it as if it had crashed.
    pub fn stop(&self) -> Result<(), String> {
        self.control(&["-m", "immediate", "stop"])
    }

    /// How to connect to it.
    pub fn parameters(&self) -> String {
        format!("host={} user=balcony dbname=postgres", self.folder.display())
    }

    /// How to connect so that one has tables of one's own.
    pub fn schema(&self) -> String {
        let schema = format!("s{}", self.schemas.fetch_add(1, Ordering::Relaxed));
        self.execute(&self.parameters(), &format!("CREATE SCHEMA {schema}"));
        format!("{} options='-c search_path={schema}'", self.parameters())
    }

    /// Ends the connection of whoever has the lock of the tables that one comes to in this way, and nobody else's.
    pub fn cut(&self, parameters: &str) {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
                   AND objid::bigint = hashtext(current_schema())::bigint & 4294967295";
        self.execute(parameters, cut);
    }

    fn execute(&self, parameters: &str, statement: &str) {
        let psql = self.programs.join("psql");
        self.run(self.command(&psql).arg(parameters).args(["-c", statement])).unwrap();
    }

    fn control(&self, args: &[&str]) -> Result<(), String> {
        let data = self.folder.join("data");
        self.run(self.command(&self.programs.join("pg_ctl")).arg("-w").arg("-D").arg(data).args(args))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn run(&self, command: &mut Command) -> Result<(), String> {
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            other => {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                Err(format!("{}: {other:?} {log}", command.get_program().display()))
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

/// The folder with the programs of the newest server.
fn programs() -> Option<PathBuf> {
    let versions =
        fs::read_dir("/usr/lib/postgresql").and_then(Iterator::collect::<io::Result<Vec<_>>>).ok()?;
    let folders = versions.iter().map(|version| version.path().join("bin"));
    folders
        .filter(|bin| ["initdb", "pg_ctl", "postgres", "psql"].iter().all(|name| bin.join(name).exists()))
        .max()
}

/// User and group that it can run as.
fn user() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let user = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    user("postgres").or_else(|| user("nobody"))
}
