//! The drivers: what each is, where its code is, and how its client is started.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::outside::newest;

/// What plays the phone.
#[derive(Debug)]
pub struct Driver {
    /// Its name here.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// How its client is started.
    pub kind: Kind,
    /// Whose server it plays with.
    pub server: &'static str,
    /// Whether it is played with TLS; if not, why.
    pub tls: Result<(), &'static str>,
    /// What there is between the sans-IO client and the runtime or platform, in the checkout: folders, and files.
    pub code: &'static [&'static str],
    /// Whether its heap can be counted; if not, why.
    pub counts: Result<(), &'static str>,
}

/// How the client of a driver is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By this program.
    Here,
    /// All in one, in virtual time.
    Simulator,
    /// A program in C.
    C,
    /// A page in a browser.
    Browser,
    /// A program on a board that QEMU plays.
    Board(&'static str),
}

/// All of them, in the order of the table.
pub const DRIVERS: &[Driver] = &[
    Driver {
        name: "tokio",
        about: "crate `balcony` on tokio",
        kind: Kind::Here,
        server: "tokio",
        tls: Ok(()),
        code: &["crates/tokio/src"],
        counts: Ok(()),
    },
    Driver {
        name: "async-std",
        about: "crate `balcony` on async-std",
        kind: Kind::Here,
        server: "async-std",
        tls: Ok(()),
        code: &["crates/async-io/src"],
        counts: Ok(()),
    },
    Driver {
        name: "smol",
        about: "crate `balcony` on smol",
        kind: Kind::Here,
        server: "smol",
        tls: Ok(()),
        code: &["crates/async-io/src"],
        counts: Ok(()),
    },
    Driver {
        name: "threads",
        about: "a `Device` and `balcony::blocking` on `std::net`; the server is the example `server_blocking`",
        kind: Kind::Here,
        server: "threads",
        tls: Err("the example of a server has none"),
        code: &["crates/balcony/src/blocking/socket.rs"],
        counts: Ok(()),
    },
    Driver {
        name: "simulator",
        about: "a `Device` in a `World` of `balcony-sim`, in virtual time",
        kind: Kind::Simulator,
        server: "simulator",
        tls: Err("streams of a world go in the clear"),
        code: &["crates/sim/src/world.rs", "crates/sim/src/world"],
        counts: Err("server, clients and network share one heap"),
    },
    Driver {
        name: "C",
        about: "a program with a loop of its own around `poll`, with `balcony.h`",
        kind: Kind::C,
        server: "tokio",
        tls: Ok(()),
        code: &["crates/ffi/src"],
        counts: Ok(()),
    },
    Driver {
        name: "browser",
        about: "the package for npm in headless Chromium, over a WebSocket",
        kind: Kind::Browser,
        server: "tokio",
        tls: Err("`ws://` to this machine; with `wss://` TLS is the browser's"),
        code: &["crates/web/src", "crates/web/npm/balcony.js"],
        counts: Err("a browser does not tell what a page has on its heap"),
    },
    Driver {
        name: "bare metal",
        about: "a `Device` on a Cortex-M4 without an operating system, in QEMU, over a UART",
        kind: Kind::Board("suite"),
        server: "tokio",
        tls: Err("the line is the device's own, to a gateway that stands beside it"),
        code: &["examples/firmware/device/src/board.rs", "examples/firmware/device/src/uart.rs"],
        counts: Ok(()),
    },
];

/// What is needed to start a driver.
#[derive(Debug)]
pub struct Tools {
    /// The program of this package.
    pub program: PathBuf,
    /// Where programs for boards are, if they were built.
    pub boards: Option<PathBuf>,
}

/// The player of boards.
const QEMU: &str = "qemu-system-arm";

impl Tools {
    /// Why a driver can't be played here.
    ///
    /// # Errors
    ///
    /// That, in words.
    pub fn have(&self, driver: &Driver) -> Result<(), String> {
        let wanted: &[(&str, &str)] = match driver.kind {
            Kind::Here | Kind::Simulator => &[],
            Kind::C => &[("cc", "gcc")],
            Kind::Browser => &[("node", "nodejs"), ("chromedriver", "chromium-driver")],
            Kind::Board(_) => &[(QEMU, QEMU)],
        };
        for (program, package) in wanted {
            let found =
                Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            if !found.is_ok_and(|status| status.success()) {
                return Err(format!("there is no {program}, which Debian has in the package {package}"));
            }
        }
        match driver.kind {
            Kind::Board(program) if !self.boards.as_ref().is_some_and(|folder| folder.join(program).exists()) => {
                Err("its program is not built: `cargo xtask runtimes` does it where Rust has the target thumbv7em-none-eabihf".into())
            }
            _ => Ok(()),
        }
    }

    /// A server.
    pub(crate) fn server(&self, name: &str, certificate: &str, key: &str) -> Command {
        if name == "threads" {
            let mut command = Command::new(self.program.with_file_name("examples").join("server_on_threads"));
            command.args(["127.0.0.1:0", "juliet:r0m30", "romeo:jul13t"]);
            return command;
        }
        let mut command = Command::new(&self.program);
        command.args(["serve", name, certificate, key]);
        command
    }

    /// The client of a driver, which may have this folder.
    pub(crate) fn client(&self, driver: &Driver, folder: &Path) -> Result<Command, Failure> {
        let here = root().join("runtimes");
        Ok(match driver.kind {
            Kind::Here => {
                let mut command = Command::new(&self.program);
                command.args(["client", driver.name]);
                command
            }
            Kind::Simulator => return Err("it has no process".into()),
            Kind::C => Command::new(self.compiled(folder)?),
            Kind::Browser => {
                let mut command = Command::new("node");
                command.arg(here.join("web/phone.mjs"));
                command
            }
            Kind::Board(program) => {
                let mut command = Command::new(&self.program);
                command.args(["board", QEMU]);
                command.arg(self.boards.as_ref().ok_or("no boards")?.join(program)).arg(folder);
                command
            }
        })
    }

    /// The program in C.
    fn compiled(&self, folder: &Path) -> Result<PathBuf, Failure> {
        let built = self.program.parent().ok_or("no folder")?;
        let library = [built.to_path_buf(), built.join("deps")];
        let library = library.iter().filter_map(|folder| newest(folder, "libbalcony_ffi", ".a")).next_back();
        let library = library.ok_or("crates/ffi is not built beside this")?;
        let program = folder.join("phone");
        let mut compiler = Command::new("cc");
        compiler.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-I"]);
        compiler.arg(root().join("crates/ffi/include")).arg(root().join("runtimes/c/phone.c")).arg(library);
        compiler.args(["-lm", "-lpthread", "-ldl", "-o"]).arg(&program);
        let output = compiler.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(program)
    }
}

impl Driver {
    /// How many lines its code has, without those that are empty or comments, and without tests.
    ///
    /// # Errors
    ///
    /// It can't be read.
    pub fn lines(&self) -> Result<usize, Failure> {
        self.code.iter().map(|path| lines(&root().join(path))).sum()
    }
}

fn lines(path: &Path) -> Result<usize, Failure> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        return entries.iter().map(|entry| lines(&entry.path())).sum();
    }
    if path.ends_with("tests.rs") {
        return Ok(0);
    }
    let text = std::fs::read_to_string(path)?;
    let code =
        text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().split("#[cfg(all(test").next();
    let lines = code.unwrap_or_default().lines().map(str::trim);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count())
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}
