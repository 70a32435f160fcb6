//! What the examples share: their command line, and chat messages as `minidom` elements.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "programs read their environment")]

use core::error::Error;
use core::fmt;

use balcony_client::{Config, Endpoint};
use balcony_jid::Jid;
use balcony_machine::Secret;
use balcony_stanza::{Kind, MessageType, Stanza, ns};
use balcony_xml::MinidomError;

const OPTIONS: &str = "\
Options:
  --connect HOST:PORT  where the server is; otherwise the DNS tells
  --direct-tls         TLS begins with the first byte there
  --ca FILE            certificates to trust (PEM); otherwise those of the operating system

The password is read from the environment variable BALCONY_PASSWORD.";

/// Why a program ends, in words: `main` prints the `Debug` form of what it returns.
pub struct Failure(Box<dyn Error>);

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What was on the command line.
#[derive(Debug)]
pub struct Args {
    /// The account, its password and whom it trusts.
    pub config: Config,
    /// Where its server is.
    pub endpoint: Endpoint,
    /// The arguments after the account.
    pub rest: Vec<String>,
}

/// Reads the command line: an account, with a resource or without, as many words as `words` names, and the options.
///
/// Where it is wrong, and where it asks for help, the process ends with a usage message that begins with `about`.
#[must_use]
pub fn args(about: &str, words: &[&str]) -> Args {
    let mut given = std::env::args();
    let program = given.next().unwrap_or_default();
    let program = program.rsplit(['/', '\\']).next().unwrap_or_default();
    let usage = format!(
        "{about}\n\nUsage: {program} [OPTIONS] {}\n\n{OPTIONS}",
        ["JID"].iter().chain(words).copied().collect::<Vec<_>>().join(" ")
    );
    match read(given, words) {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{usage}");
            std::process::exit(0);
        }
        Err(error) => {
            eprintln!("{program}: {error}\n\n{usage}");
            std::process::exit(2);
        }
    }
}

/// `None`: help was asked for.
fn read(mut given: impl Iterator<Item = String>, words: &[&str]) -> Result<Option<Args>, Box<dyn Error>> {
    let (mut rest, mut connect, mut ca, mut direct_tls) = (Vec::new(), None, None, false);
    while let Some(arg) = given.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--connect" => connect = Some(given.next().ok_or("--connect needs HOST:PORT")?),
            "--ca" => ca = Some(given.next().ok_or("--ca needs a FILE")?),
            "--direct-tls" => direct_tls = true,
            option if option.starts_with("--") => return Err(format!("there is no option {option}").into()),
            _ => rest.push(arg),
        }
    }
    if rest.len() != words.len() + 1 {
        return Err("the number of arguments is wrong".into());
    }
    let jid: Jid = rest.remove(0).parse()?;
    let password = std::env::var("BALCONY_PASSWORD").map_err(|_| "BALCONY_PASSWORD is not set")?;
    let trust = match ca {
        Some(file) => {
            let pem = std::fs::read(&file).map_err(|error| format!("{file} cannot be read: {error}"))?;
            balcony_tls::ClientConfig::builder().roots_pem(&pem)?
        }
        None => balcony_tls::ClientConfig::builder().native_roots()?,
    };
    let endpoint = match connect {
        Some(text) => Endpoint::parse(&text, direct_tls).ok_or("--connect needs HOST:PORT")?,
        None if direct_tls => return Err("--direct-tls needs --connect".into()),
        None => Endpoint::Domain,
    };
    let mut config = Config::new(jid.to_bare(), Secret::new(password)).with_tls(trust.build()?);
    config.stream.resource = jid.resourcepart().map(String::from);
    Ok(Some(Args { config, endpoint, rest }))
}

/// A chat message.
///
/// # Errors
///
/// None, as `body` is a name.
pub fn chat(to: Jid, text: &str) -> Result<Stanza, MinidomError> {
    let body = minidom::Element::builder("body", ns::CLIENT).append(text).build();
    Ok(Stanza::message(MessageType::Chat).to(to).child((&body).try_into()?))
}

/// Who says what in a message that has a text and is no error.
#[must_use]
pub fn said(stanza: &Stanza) -> Option<(Jid, String)> {
    let Kind::Message(kind) = stanza.head.kind else { return None };
    // A frame around the content of the stanza.
    let content = minidom::Element::try_from(&stanza.payload.parse().ok()?).ok()?;
    let body = content.get_child("body", ns::CLIENT)?;
    if kind == MessageType::Error { None } else { Some((stanza.head.from.clone()?, body.text())) }
}

/// What was typed: `juliet@example.com by yonder blessed moon I swear`.
///
/// # Errors
///
/// In words for a person.
pub fn typed(line: &str) -> Result<Stanza, Box<dyn Error + Send + Sync>> {
    let (to, text) = line.split_once(' ').ok_or("type an address, a space and a text")?;
    Ok(chat(to.parse()?, text)?)
}
