//! What the web server of the domain tells clients in browsers (XEP-0156).

use core::net::SocketAddr;

use balcony_client::dns_name;
use balcony_client::host_meta::Format;
use balcony_client::web::{Fetch, Fetched, REDIRECTS, place};
use balcony_connection::srv::Target;
use balcony_jid::BareJid;
use balcony_tls::TlsTrust;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::port::is_of_this_machine;
use super::report::{Finding, Level};
use super::{Look, addresses};

const CHUNK: usize = 16_384;

/// What is to be said of both forms of the file. `at` is where the web server is, if it is not where the DNS says.
pub(super) async fn look(look: &Look, domain: &BareJid, at: Option<&Target>, tls: &TlsTrust) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (format, what) in [(Format::Xrd, "host-meta"), (Format::Jrd, "host-meta.json")] {
        findings.push(match find(look, domain, at, tls, format).await {
            Ok(urls) if urls.is_empty() => Finding::new(Level::Note, what, "it names no WebSocket"),
            Ok(urls) => Finding::new(
                Level::Fine,
                what,
                format!("clients in browsers are sent to {}", urls.join(", ")),
            ),
            Err(Trouble::NotAsked(reason)) => Finding::new(
                Level::Unknown,
                what,
                format!("whether there is one was not found out: {reason}"),
            ),
            Err(Trouble::None(reason)) => {
                Finding::new(Level::Note, what, format!("clients get none: {reason}"))
                    .whom("clients in browsers, which have to be told the WebSocket otherwise")
                    .change("if there is a WebSocket, have the web server pass on /.well-known/host-meta")
            }
            Err(Trouble::Bad(reason)) => {
                Finding::new(Level::Wrong, what, format!("it cannot be understood: {reason}"))
                    .whom("clients in browsers")
                    .change("correct the file, or take it out")
            }
        });
    }
    findings
}

/// Why no WebSocket is known.
#[derive(Debug)]
enum Trouble {
    /// There is no such file, or nobody who answers.
    None(String),
    /// Nobody could be asked: it says nothing of the domain.
    NotAsked(String),
    /// There is one, which is wrong.
    Bad(String),
}

/// The WebSockets that the file names.
async fn find(
    look: &Look,
    domain: &BareJid,
    at: Option<&Target>,
    tls: &TlsTrust,
    format: Format,
) -> Result<Vec<String>, Trouble> {
    let none = |error: &dyn core::fmt::Display| Trouble::None(error.to_string());
    let name = dns_name(domain).map_err(|error| none(&error))?;
    let mut url = format.url(&name);
    let mut at = at.cloned();
    for _ in 0..=REDIRECTS {
        let there = place(&url).ok_or_else(|| Trouble::None(format!("{url} is no URL of HTTPS")))?;
        let target = at.take().unwrap_or_else(|| Target::new(there.host().into(), there.port(), true));
        match fetch(look, &url, there.host(), &target, tls).await? {
            Fetched::File(file) => {
                return format.websockets(&url, &file).map_err(|error| Trouble::Bad(error.to_string()));
            }
            Fetched::Elsewhere(to) => url = to,
            _ => return Err(Trouble::None("what was fetched is not understood".into())),
        }
    }
    Err(Trouble::None("it is always said to be somewhere else".into()))
}

async fn fetch(look: &Look, url: &str, name: &str, at: &Target, tls: &TlsTrust) -> Result<Fetched, Trouble> {
    let fetch = Fetch::new(url, name, tls).map_err(Trouble::None)?;
    let found = addresses(look, &at.host).await;
    let found = found
        .map_err(|reason| Trouble::NotAsked(format!("the DNS does not answer for {}: {reason}", at.host)))?;
    if found.is_empty() {
        return Err(Trouble::None(format!("{} has no address", at.host)));
    }
    let places: Vec<SocketAddr> = found.into_iter().map(|ip| SocketAddr::new(ip, at.port)).collect();
    let talk = async { talk(fetch, connect(&places).await?).await.map_err(Trouble::None) };
    let late = || Trouble::None(format!("no answer within {} s", look.patience.as_secs()));
    tokio::time::timeout(look.patience, talk).await.unwrap_or_else(|_| Err(late()))
}

/// A connection to the first of these places that takes one.
async fn connect(places: &[SocketAddr]) -> Result<TcpStream, Trouble> {
    let mut trouble = None;
    for place in places {
        let error = match TcpStream::connect(place).await {
            Ok(socket) => return Ok(socket),
            Err(error) => error,
        };
        let reason = format!("no connection: {}", crate::failure::reason(&error));
        match is_of_this_machine(error.kind()) {
            // Where one has answered, what was not asked does not count.
            true => trouble = trouble.or(Some(Trouble::NotAsked(reason))),
            false => trouble = Some(Trouble::None(reason)),
        }
    }
    Err(trouble.unwrap_or_else(|| Trouble::None("there is no address".into())))
}

async fn talk(mut fetch: Fetch, mut socket: TcpStream) -> Result<Fetched, String> {
    let broken = |error: std::io::Error| format!("the connection broke: {}", crate::failure::reason(&error));
    let (mut out, mut buffer) = (Vec::new(), vec![0; CHUNK]);
    let mut fetched = fetch.received(&[], &mut out)?;
    loop {
        socket.write_all(&out).await.map_err(broken)?;
        out.clear();
        if let Some(fetched) = fetched {
            return Ok(fetched);
        }
        match socket.read(&mut buffer).await.map_err(broken)? {
            0 => return fetch.eof(),
            count => fetched = fetch.received(&buffer[..count], &mut out)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // That this machine has no way there says nothing of the domain, unless somebody there has answered.
    #[tokio::test]
    async fn what_cannot_be_asked_is_not_missing() {
        let nowhere = SocketAddr::from(([255, 255, 255, 255], 443));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = listener.local_addr().unwrap();
        drop(listener);
        for (places, is_asked) in [
            (&[nowhere][..], false),
            (&[refused], true),
            (&[refused, nowhere], true),
            (&[nowhere, refused], true),
        ] {
            let trouble = connect(places).await.unwrap_err();
            assert_eq!(matches!(trouble, Trouble::None(_)), is_asked, "{places:?}: {trouble:?}");
        }
    }
}
