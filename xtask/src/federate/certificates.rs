//! Certificates: of an authority that all servers trust, and wrong ones of several kinds.

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

/// What is the matter with a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Good,
    Expired,
    NotYetValid,
    /// It is for another domain.
    OtherDomain,
    /// Nobody has signed it but itself.
    SelfSigned,
    /// Of an authority that nobody trusts.
    Stranger,
    /// The certificate between it and the authority is not sent along.
    Incomplete,
    /// It may be used for mail and nothing else.
    OtherPurpose,
}

impl Kind {
    /// The wrong ones.
    pub(crate) const WRONG: [Kind; 7] = [
        Kind::Expired,
        Kind::NotYetValid,
        Kind::OtherDomain,
        Kind::SelfSigned,
        Kind::Stranger,
        Kind::Incomplete,
        Kind::OtherPurpose,
    ];

    pub(crate) fn words(self) -> &'static str {
        match self {
            Kind::Good => "right",
            Kind::Expired => "expired",
            Kind::NotYetValid => "not valid yet",
            Kind::OtherDomain => "for another domain",
            Kind::SelfSigned => "signed by itself",
            Kind::Stranger => "of an unknown authority",
            Kind::Incomplete => "without the one between",
            Kind::OtherPurpose => "for mail only",
        }
    }

    /// What Balcony says of one.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Kind::Good => "",
            Kind::Expired => "has expired",
            Kind::NotYetValid => "is not valid yet",
            Kind::OtherDomain => "is not for two.test but only for",
            Kind::SelfSigned | Kind::Stranger | Kind::Incomplete => "is not signed by a trusted authority",
            Kind::OtherPurpose => "cannot be accepted",
        }
    }
}

/// Runs openssl.
fn openssl(words: &[&str], paths: &[(&str, &Path)]) -> Result {
    let mut command = Command::new("openssl");
    command.args(words);
    for (option, path) in paths {
        command.arg(option).arg(path);
    }
    output(&mut command).map(drop)
}

fn write(path: &Path, text: &str) -> Result {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

const CURVE: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// Makes an authority in the folder, unless it is there.
fn authority(folder: &Path, name: &str) -> Result<Files> {
    let files =
        Files { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
    if !files.certificate.exists() {
        let subject = format!("/CN=the authority {name}");
        let words =
            ["req", "-x509", "-days", "30", "-subj", &subject, "-addext", "keyUsage=critical,keyCertSign"];
        openssl(&[&words[..], &CURVE].concat(), &[("-keyout", &files.key), ("-out", &files.certificate)])?;
    }
    Ok(files)
}

/// What everybody trusts.
pub(crate) fn trusted(folder: &Path) -> Result<PathBuf> {
    Ok(authority(folder, "ca")?.certificate)
}

/// A certificate for a domain; for servers only, as public authorities make them now, or for clients as well.
pub(crate) fn issue(folder: &Path, domain: &str, kind: Kind, for_clients: bool) -> Result<Files> {
    let signer = match kind {
        Kind::Stranger => authority(folder, "stranger")?,
        Kind::Incomplete => between(folder)?,
        _ => authority(folder, "ca")?,
    };
    let name = if kind == Kind::OtherDomain { "elsewhere.test" } else { domain };
    let usage = match (kind, for_clients) {
        (Kind::OtherPurpose, _) => "emailProtection",
        (_, true) => "serverAuth,clientAuth",
        (_, false) => "serverAuth",
    };
    let extensions = format!("subjectAltName=DNS:{name},DNS:*.{name}\nextendedKeyUsage={usage}\n");
    let dates: [&str; 2] = match kind {
        Kind::Expired => ["20200101000000Z", "20210101000000Z"],
        Kind::NotYetValid => ["20900101000000Z", "20910101000000Z"],
        _ => ["20200101000000Z", "20900101000000Z"],
    };
    sign(
        folder,
        domain,
        &format!("/CN={name}"),
        &extensions,
        dates,
        (kind != Kind::SelfSigned).then_some(&signer),
    )
}

/// An authority that the trusted one has signed.
fn between(folder: &Path) -> Result<Files> {
    let extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";
    let dates = ["20200101000000Z", "20900101000000Z"];
    sign(folder, "between", "/CN=the one between", extensions, dates, Some(&authority(folder, "ca")?))
}

/// Makes a certificate with these dates, signed by that, or by itself.
fn sign(
    folder: &Path,
    name: &str,
    subject: &str,
    extensions: &str,
    [from, until]: [&str; 2],
    signer: Option<&Files>,
) -> Result<Files> {
    let file = |end: &str| folder.join(format!("{name}.{end}"));
    let files = Files { certificate: file("pem"), key: file("key") };
    let (request, more, config) = (file("csr"), file("ext"), file("cnf"));
    openssl(
        &[&["req", "-new", "-subj", subject][..], &CURVE].concat(),
        &[("-keyout", &files.key), ("-out", &request)],
    )?;
    write(&more, extensions)?;
    // Only `ca` takes dates, and it wants a database.
    let database = file("index");
    write(&database, "")?;
    let settings = format!(
        "[ca]\ndefault_ca=this\n[this]\ndatabase={}\nnew_certs_dir={}\ndefault_md=sha256\npolicy=any\nrand_serial=yes\n\
         unique_subject=no\n[any]\ncommonName=supplied\n",
        database.display(),
        folder.display()
    );
    write(&config, &settings)?;
    let words = ["ca", "-batch", "-notext", "-startdate", from, "-enddate", until];
    let mut paths =
        vec![("-config", &*config), ("-in", &request), ("-extfile", &more), ("-out", &files.certificate)];
    match signer {
        Some(signer) => {
            paths.extend([("-cert", &*signer.certificate), ("-keyfile", &*signer.key)]);
            openssl(&words, &paths)?;
        }
        None => {
            paths.push(("-keyfile", &files.key));
            openssl(&[&words[..], &["-selfsign"]].concat(), &paths)?;
        }
    }
    Ok(files)
}
