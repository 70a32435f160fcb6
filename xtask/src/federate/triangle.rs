//! Three domains, of which Balcony hosts two with a certificate each: everybody writes to everybody.

use std::path::Path;

use super::listener::{Listener, done};
use super::report::Tried;
use super::servers::{Proof, Server, Setup, user};
use crate::run::Result;

const DOMAINS: [&str; 3] = ["one.test", "two.test", "three.test"];

/// Each pair, and how it went.
pub(crate) fn run(other: &'static str, folder: &Path) -> Result<Tried> {
    let ours = Setup {
        second: Some("three.test"),
        ..Setup::new("balcony", "one.test", Proof::Certificate).with(other)
    };
    let ours = Server::prepare(&ours, folder)?;
    let theirs = Server::prepare(&Setup::new(other, "two.test", Proof::Certificate), folder)?;
    let of = |domain: &str| if domain == "two.test" { &theirs } else { &ours };
    let mut results = Vec::new();
    for to in DOMAINS {
        let mut command = of(to).command("listen", &format!("{}/home", user(to)));
        command.arg("--ca").arg(&ours.trusted);
        let listener = Listener::start(command, folder)?;
        for from in DOMAINS.into_iter().filter(|from| *from != to) {
            let text = format!("from {from} to {to}");
            let mut command = of(from).command("send", &format!("{}/quill", user(from)));
            command.arg("--ca").arg(&ours.trusted).args([&user(to), &text]);
            let result = done(&mut command).and_then(|_| listener.sees(&text));
            results.push((format!("{} to {}", user(from), user(to)), result));
        }
    }
    let log = ours.log();
    for domain in ["one.test", "three.test"] {
        let line = format!("{domain} sends to two.test, proven by our certificate");
        let back = format!("two.test sends to {domain}");
        let is_so = log.contains(&line) || log.contains(&back);
        let result = if is_so { Ok(()) } else { Err("the log does not say so".to_owned()) };
        results.push((format!("{domain} and two.test, proven by the certificate of {domain}"), result));
    }
    for (what, result) in &results {
        match result {
            Ok(()) => println!("  {what}: ok"),
            Err(error) => println!("  {what}: NO: {error}"),
        }
    }
    Ok(results)
}
