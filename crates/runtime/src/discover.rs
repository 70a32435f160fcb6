//! Where the WebSocket of a domain is, as its web server tells (XEP-0156): fetched over HTTPS, within a bounded time.

use core::future::poll_fn;
use core::time::Duration;

use balcony_client::host_meta::Format;
use balcony_client::web::{Fetch, Fetched, REDIRECTS, place};
use balcony_client::{ClientConfig, ConnectError, Endpoint, WebSocketUrl, dns_name};

use crate::client::{poll_try, poll_write};
use crate::{Interest, Runtime, connect, reason, timeout};

/// How long it may take to find out, in both formats.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes read at once.
const CHUNK: usize = 16_384;

/// The places to try, one after the other, for an endpoint: what the web server tells, or the endpoint itself.
pub(crate) async fn places(
    runtime: &impl Runtime,
    config: &ClientConfig,
    endpoint: &Endpoint,
) -> Result<Vec<Endpoint>, ConnectError> {
    let Endpoint::HostMeta { .. } = endpoint else { return Ok(vec![endpoint.clone()]) };
    let failed =
        |reason: String| ConnectError::HostMeta { domain: config.stream.account.domainpart().into(), reason };
    let found = timeout(runtime, PATIENCE, find(runtime, config, endpoint)).await;
    let found = found.unwrap_or_else(|| Err(format!("no answer within {} seconds", PATIENCE.as_secs())));
    let urls = found.map_err(failed)?;
    Ok(urls.into_iter().map(Endpoint::WebSocket).collect())
}

/// What the domain says, in either format; never nothing.
async fn find(
    runtime: &impl Runtime,
    config: &ClientConfig,
    endpoint: &Endpoint,
) -> Result<Vec<WebSocketUrl>, String> {
    let mut why = None;
    for format in [Format::Xrd, Format::Jrd] {
        match look(runtime, config, endpoint, format).await {
            Ok(urls) if !urls.is_empty() => return Ok(urls),
            Ok(_) => {}
            // Of what every domain has, if it has any.
            Err(error) => why = why.or(Some(error)),
        }
    }
    Err(why.unwrap_or_else(|| "host-meta has none".into()))
}

async fn look(
    runtime: &impl Runtime,
    config: &ClientConfig,
    endpoint: &Endpoint,
    format: Format,
) -> Result<Vec<WebSocketUrl>, String> {
    let account = &config.stream.account;
    let mut domain = dns_name(account).map_err(|error| error.to_string())?;
    if let Endpoint::HostMeta { server: Some((_, port)) } = endpoint {
        domain = format!("{domain}:{port}");
    }
    let mut url = format.url(&domain);
    let (mut at, mut name) = (endpoint.clone(), String::from(account.domainpart()));
    for _ in 0..=REDIRECTS {
        match fetch(runtime, config, &url, &name, &at).await? {
            Fetched::File(file) => {
                let urls = format.websockets(&url, &file).map_err(|error| error.to_string())?;
                return Ok(urls.iter().filter_map(|url| WebSocketUrl::parse(url)).collect());
            }
            Fetched::Elsewhere(to) => {
                // On the same server, or at another, which has to prove that it is that.
                let to = if to.starts_with('/') && !to.starts_with("//") { relative(&url, &to) } else { to };
                let other =
                    place(&to).ok_or_else(|| format!("it is said to be at {to}, which is no HTTPS"))?;
                if place(&url).is_none_or(|before| before.authority() != other.authority()) {
                    name = other.host().into();
                    at = Endpoint::WebSocket(other);
                }
                url = to;
            }
            _ => return Err("what was fetched is not understood".into()),
        }
    }
    Err("it is always said to be somewhere else".into())
}

/// A path at the same server as this URL.
fn relative(url: &str, path: &str) -> String {
    let end = url.find("://").and_then(|at| Some(at + 3 + url[at + 3..].find('/')?)).unwrap_or(url.len());
    format!("{}{path}", &url[..end])
}

async fn fetch(
    runtime: &impl Runtime,
    config: &ClientConfig,
    url: &str,
    name: &str,
    at: &Endpoint,
) -> Result<Fetched, String> {
    let tls = config.tls.as_ref().ok_or("no certificate is trusted")?;
    let mut fetch = Fetch::new(url, name, tls)?;
    let connected = connect::connect(runtime, at, &config.stream.account).await;
    let (mut socket, _) = connected.map_err(|error| error.to_string())?;
    let broken = |error: std::io::Error| format!("the connection broke down: {}", reason(&error));
    let (mut out, mut buffer) = (Vec::new(), vec![0; CHUNK]);
    let mut fetched = fetch.received(&[], &mut out)?;
    loop {
        while !out.is_empty() {
            let count = poll_fn(|cx| poll_write(&mut socket, cx, &out)).await.map_err(broken)?;
            out.drain(..count);
        }
        if let Some(fetched) = fetched {
            return Ok(fetched);
        }
        let read =
            poll_fn(|cx| poll_try(&mut socket, cx, Interest::Read, |socket| socket.try_read(&mut buffer)));
        match read.await.map_err(broken)? {
            0 => return fetch.eof(),
            count => fetched = fetch.received(&buffer[..count], &mut out)?,
        }
    }
}
