//! Wrong certificates of seven kinds, between servers that demand right ones: nothing goes, the sender hears of it, and Balcony's log says
//! what is the matter.

use std::path::Path;

use super::certificates::Kind;
use super::listener::done;
use super::report::Kinds;
use super::servers::{Proof, Server, Setup, user};
use crate::run::Result;

/// What is tried with each.
pub(crate) const ROWS: [&str; 2] = ["theirs, refused by ours, whose log says why", "ours, refused by theirs"];

/// For each kind, both.
pub(crate) fn run(other: &'static str, folder: &Path) -> Kinds {
    let mut results = Vec::new();
    for kind in Kind::WRONG {
        let both = [theirs(other, kind, folder), ours(other, kind, folder)];
        for (row, result) in ROWS.iter().zip(&both) {
            match result {
                Ok(()) => println!("  {}: {row}: ok", kind.words()),
                Err(error) => println!("  {}: {row}: NO: {error}", kind.words()),
            }
        }
        results.push((kind, both));
    }
    results
}

/// Two servers, of which one has such a certificate.
fn pair(other: &'static str, [ours, theirs]: [Kind; 2], folder: &Path) -> Result<[Server; 2]> {
    let setup =
        |name, domain, kind| Setup { kind, ..Setup::new(name, domain, Proof::Certificate).with(other) };
    let theirs = Server::prepare(&setup(other, "two.test", theirs), folder)?;
    Ok([Server::prepare(&setup("balcony", "one.test", ours), folder)?, theirs])
}

/// Our user writes to theirs: an error comes back.
fn refused(ours: &Server) -> Result {
    let mut command = ours.command("send", &user("one.test"));
    // It is not what clients think of our certificate that is looked at.
    command.args(["--insecure", &user("two.test"), "But soft, what light?"]);
    match done(&mut command) {
        Err(error) if error.contains("internal-server-error") || error.contains("remote-server-timeout") => {
            Ok(())
        }
        other => Err(format!("{other:?}")),
    }
}

fn theirs(other: &'static str, kind: Kind, folder: &Path) -> Result {
    let [ours, _theirs] = pair(other, [Kind::Good, kind], folder)?;
    refused(&ours)?;
    let (log, reason) = (ours.log(), kind.reason());
    match log.lines().any(|line| line.contains("two.test") && line.contains(reason)) {
        true => Ok(()),
        false => Err(format!("the log does not say that it {reason}: {}", about(&log))),
    }
}

fn ours(other: &'static str, kind: Kind, folder: &Path) -> Result {
    let [ours, _theirs] = pair(other, [kind, Kind::Good], folder)?;
    refused(&ours)
}

/// What it says of the other.
fn about(log: &str) -> String {
    log.lines().filter(|line| line.contains("two.test")).collect::<Vec<_>>().join("; ")
}
