//! A DNS server that knows the servers of this network (RFC 1035, RFC 2782).

use core::sync::atomic::{AtomicBool, Ordering};
use std::net::UdpSocket;
use std::sync::Once;

use crate::run::Result;

/// Whether the records for servers say that streams begin with TLS, and no others.
pub(crate) static DIRECT_TLS: AtomicBool = AtomicBool::new(false);

static STARTED: Once = Once::new();

/// Serves `one.test`, what is below that, and what else is hosted there, at 127.0.0.2, and `two.test` at 127.0.0.3, for as long as this process runs.
pub(crate) fn serve() -> Result {
    let mut result = Ok(());
    STARTED.call_once(|| match UdpSocket::bind("127.0.0.1:53") {
        Ok(socket) => {
            std::thread::spawn(move || {
                let mut query = [0; 4096];
                while let Ok((length, from)) = socket.recv_from(&mut query) {
                    if let Some(answer) = query.get(..length).and_then(answer) {
                        // Whoever asked may have gone.
                        let _ = socket.send_to(&answer, from);
                    }
                }
            });
        }
        Err(error) => result = Err(format!("cannot serve DNS at 127.0.0.1:53: {error}")),
    });
    result
}

/// The address of a domain, and of the host that it is on.
fn host(domain: &str) -> Option<[u8; 4]> {
    match domain {
        "one.test" | "three.test" => Some([127, 0, 0, 2]),
        "two.test" => Some([127, 0, 0, 3]),
        _ if domain.ends_with(".one.test") => Some([127, 0, 0, 2]),
        _ => None,
    }
}

/// The port of a service, if there are records for it.
fn port(service: &str) -> Option<u16> {
    let direct = DIRECT_TLS.load(Ordering::SeqCst);
    match service {
        "_xmpp-client" => Some(5222),
        "_xmpps-client" => Some(5223),
        "_xmpp-server" if !direct => Some(5269),
        "_xmpps-server" if direct => Some(5270),
        _ => None,
    }
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let end = 12 + query.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = query.get(12..end + 4)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    let name = name(&query[12..end])?;
    let service = name.split_once("._tcp.").filter(|(_, domain)| host(domain).is_some());
    let data = match (kind, service) {
        (1, None) => host(&name).map(Vec::from),
        // Priority, weight, port, target.
        (33, Some((service, domain))) => {
            port(service).map(|port| [&[0, 1, 0, 1], &port.to_be_bytes()[..], &labels(domain)].concat())
        }
        _ => None,
    };
    // A name that has other records than those asked for is no mistake.
    let is_known = data.is_some() || host(&name).is_some();
    let flags = if is_known { [0x81, 0x80] } else { [0x81, 0x83] };
    let count = u8::from(data.is_some());
    let mut out = [query.get(..2)?, &flags, &[0, 1, 0, count, 0, 0, 0, 0], question].concat();
    if let Some(data) = data {
        // The name of the question, the type, IN, a second.
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 1, 0, u8::try_from(data.len()).ok()?]);
        out.extend(data);
    }
    Some(out)
}

fn name(mut labels: &[u8]) -> Option<String> {
    let mut name = Vec::new();
    while let [length, rest @ ..] = labels
        && *length > 0
    {
        name.push(String::from_utf8_lossy(rest.get(..usize::from(*length))?).to_ascii_lowercase());
        labels = rest.get(usize::from(*length)..)?;
    }
    Some(name.join("."))
}

fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).unwrap_or(63));
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}
