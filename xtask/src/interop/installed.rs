//! Servers of others as they are installed here: those of Debian's release that runs here, and the newest.

use std::path::Path;
use std::process::Command;

use super::install;
use super::newest::Newest;
use crate::run::Result;

/// What stands behind the name of a server that is the newest.
const NEWEST: &str = "-newest";

/// Of ejabberd's Erlang where its CPU time is measured: its schedulers don't spin while they wait, so that it is that of its work.
pub(crate) const MEASURED: [&str; 10] =
    ["+K", "true", "+P", "1000000", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"];

/// A server of others, installed.
#[derive(Clone)]
pub(crate) struct Installed {
    pub(crate) version: String,
    /// Where it is; `None`: where everything is.
    newest: Option<Newest>,
}

impl Installed {
    /// Installs `prosody` or `ejabberd`, or the newest of them (`prosody-newest`), if it isn't.
    pub(crate) fn prepare(name: &str) -> Result<Self> {
        match name.strip_suffix(NEWEST) {
            None => Ok(Installed { version: install::debian(name)?, newest: None }),
            Some(package) => {
                let newest = Newest::prepare()?;
                Ok(Installed { version: newest.version(package)?, newest: Some(newest) })
            }
        }
    }

    /// Whether it is of the newest.
    pub(crate) fn is_newest(&self) -> bool {
        self.newest.is_some()
    }

    /// One of its programs, in this folder, which is below that of all builds.
    pub(crate) fn command(&self, program: &str, current: &Path) -> Command {
        match &self.newest {
            Some(newest) => newest.command(program, current),
            None => {
                let mut command = Command::new(program);
                command.current_dir(current);
                command
            }
        }
    }

    /// Erlang with ejabberd, without `ejabberdctl`: that would change the user, and start a daemon that outlives the server. It has `config`, and
    /// writes what it has to say and to keep into the folder, below `data`.
    pub(crate) fn ejabberd(&self, folder: &Path, config: &Path) -> Command {
        let libraries = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
        let mut command = self.command("erl", folder);
        command.args(["-noinput", "-mnesia", "dir", "\"data\"", "-s", "ejabberd"]);
        command.env("ERL_LIBS", libraries.join(":")).env("EJABBERD_CONFIG_PATH", config);
        command.env("EJABBERD_LOG_PATH", folder.join("ejabberd.log"));
        command
    }
}

/// What a server is, whichever version: `prosody`, `ejabberd` or `balcony`.
pub(crate) fn kind(name: &str) -> &str {
    name.strip_suffix(NEWEST).unwrap_or(name)
}
