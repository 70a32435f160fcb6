//! Certificates: of an authority that all servers trust, or of one that none does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::interop::output;
use crate::run::Result;

/// A certificate with its key, in PEM.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Makes an authority in the folder, unless it is there: its certificate.
fn authority(folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    if !certificate.exists() {
        let mut command = openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
        ]);
        command.args(["-subj", "/CN=authority", "-addext", "keyUsage=critical,keyCertSign"]);
        output(command.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
    }
    Ok((certificate, key))
}

/// What everybody trusts.
pub(crate) fn trusted(folder: &Path) -> Result<PathBuf> {
    Ok(authority(folder, "ca")?.0)
}

/// A certificate for a domain, of the authority that everybody trusts, or of another one.
pub(crate) fn issue(folder: &Path, domain: &str, is_trusted: bool) -> Result<Files> {
    let (authority, authority_key) = authority(folder, if is_trusted { "ca" } else { "stranger" })?;
    let file = |end: &str| folder.join(format!("{domain}.{end}"));
    let (request, extensions) = (file("csr"), file("ext"));
    let files = Files { certificate: file("pem"), key: file("key") };
    let mut command =
        openssl(&["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.arg("-subj").arg(format!("/CN={domain}"));
    output(command.arg("-keyout").arg(&files.key).arg("-out").arg(&request))?;
    // As public authorities make them now: for servers only.
    fs::write(&extensions, format!("subjectAltName=DNS:{domain}\nextendedKeyUsage=serverAuth\n"))
        .map_err(|error| format!("{}: {error}", extensions.display()))?;
    let mut command = openssl(&["x509", "-req", "-days", "30", "-CAcreateserial", "-in"]);
    command.arg(&request).arg("-CA").arg(&authority).arg("-CAkey").arg(&authority_key);
    output(command.arg("-extfile").arg(&extensions).arg("-out").arg(&files.certificate))?;
    Ok(files)
}

fn openssl(args: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(args);
    command
}
