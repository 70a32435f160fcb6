//! The newest releases of Prosody and ejabberd: those of Debian's unstable suite, in a folder of its own below target/interop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::output;
use super::{folder, install};
use crate::run::{Result, command, run, target};

/// What is installed there.
const PACKAGES: [&str; 2] = ["prosody", "ejabberd"];

/// The name of the script that enters the root, beside that.
const SCRIPT: &str = "enter.sh";

/// The suite, a root of its own.
#[derive(Clone)]
pub(crate) struct Newest {
    root: PathBuf,
}

/// A script that enters the root ($1), which has the folder of all builds ($2) at the same place, and the DNS of whoever enters, and runs the rest from $3. What is
/// mounted for that is seen by nobody else, and gone when it has ended.
const ENTER: &str = r#"
root=$1 shared=$2 folder=$3; shift 3
set -e
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root$shared"
mount --bind "$shared" "$root$shared"
touch "$root/etc/resolv.conf"
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
exec chroot "$root" sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
"#;

impl Newest {
    /// Installs it, if it isn't.
    pub(crate) fn prepare() -> Result<Self> {
        let newest = Newest { root: folder("newest")?.join("root") };
        let script = newest.root.with_file_name(SCRIPT);
        fs::write(&script, ENTER).map_err(|error| format!("{}: {error}", script.display()))?;
        let marker = newest.root.join("installed");
        if marker.exists() {
            return Ok(newest);
        }
        if !install::is_root() {
            return Err("it is installed into a root of its own, and only root can do that".into());
        }
        install::debian("debootstrap")?;
        let _ = fs::remove_dir_all(&newest.root);
        println!("The newest Prosody and ejabberd are fetched, about 600 MB");
        run(command("debootstrap", &["--variant=minbase", "sid"]).arg(&newest.root))?;
        // As in install.rs: nothing is started.
        let policy = newest.root.join("usr/sbin/policy-rc.d");
        fs::write(&policy, "#!/bin/sh\nexit 101\n")
            .map_err(|error| format!("{}: {error}", policy.display()))?;
        run(command("chmod", &["755"]).arg(&policy))?;
        let words = ["install", "--yes", "--quiet", "--no-install-recommends"];
        let mut install = newest.command("apt-get", Path::new("/"));
        run(install.args(words).args(PACKAGES).env("DEBIAN_FRONTEND", "noninteractive"))?;
        fs::write(&marker, "").map_err(|error| format!("{}: {error}", marker.display()))?;
        Ok(newest)
    }

    /// The version of a package, as its authors count.
    pub(crate) fn version(&self, package: &str) -> Result<String> {
        let words = ["-W", "-f", "${Version}", package];
        let version = output(self.command("dpkg-query", Path::new("/")).args(words))?;
        Ok(version.split(['-', '+']).next().unwrap_or(&version).to_owned())
    }

    /// One of its programs, in this folder, which is below that of all builds.
    pub(crate) fn command(&self, program: &str, current: &Path) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "--", "sh"])
            .arg(self.root.with_file_name(SCRIPT));
        command.arg(&self.root).arg(target()).arg(current).arg(program);
        command
    }
}
