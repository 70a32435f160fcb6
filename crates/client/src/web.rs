//! One small file over HTTPS, for [`Endpoint::HostMeta`](crate::Endpoint::HostMeta): a GET of HTTP/1.1 (RFC 9112) on the TLS of this
//! project. It is no more than that needs: no cookies, no compression, no connection that is kept, nothing in the clear.
//!
//! A [`Fetch`] is bytes in, bytes out; sockets and time are the owner's, which gives it up after a while.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use balcony_tls::{Session, Status, TlsTrust};

use crate::WebSocketUrl;

/// Bytes of a file.
pub const FILE: usize = 65_536;
/// Bytes of the head of a response.
const HEAD: usize = 8192;
/// Interim responses before the one that counts.
const INTERIM: usize = 8;
/// How often a file may be somewhere else.
pub const REDIRECTS: usize = 3;

/// Fetches a file from a web server.
///
/// Hand in what has come with [`received`](Fetch::received), beginning with nothing, and write what is in `out`, until it says what was
/// fetched; then close the socket.
pub struct Fetch {
    session: Session,
    request: Option<String>,
    plain: Vec<u8>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fetched {
    /// The file.
    File(Vec<u8>),
    /// It is at this URL.
    Elsewhere(String),
}

impl Fetch {
    /// A request for the file at `url`, which begins with `https://`. The server has to prove that it is `name`.
    ///
    /// # Errors
    ///
    /// If it is no such URL, or nobody can prove to be that.
    pub fn new(url: &str, name: &str, tls: &TlsTrust) -> Result<Fetch, String> {
        let place = place(url).ok_or_else(|| format!("{url} is no URL of HTTPS"))?;
        let tls = tls.clone().with_alpn(false);
        let session = Session::client(&tls, name).map_err(|error| error.to_string())?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            place.path(),
            place.authority()
        );
        Ok(Fetch { session, request: Some(request), plain: Vec::new() })
    }

    /// Takes what has come, and says what was fetched when it is whole.
    ///
    /// # Errors
    ///
    /// In words: the certificate is wrong, there is no such file, it is larger than [`FILE`].
    pub fn received(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<Fetched>, String> {
        let status =
            self.session.read(&mut bytes, &mut self.plain, out).map_err(|error| error.to_string())?;
        if status != Status::Handshaking
            && let Some(request) = self.request.take()
        {
            self.session.write(request.as_bytes(), out).map_err(|error| error.to_string())?;
        }
        response(&self.plain, status == Status::PeerClosed)
    }

    /// The server has closed its side of the socket.
    ///
    /// # Errors
    ///
    /// As [`received`](Fetch::received); also if the file may not be whole.
    pub fn eof(&mut self) -> Result<Fetched, String> {
        self.session.eof().map_err(|error| error.to_string())?;
        response(&self.plain, true)?.ok_or_else(|| "the response is not whole".into())
    }
}

/// The place that a URL of HTTPS names; it has the form of one of a WebSocket.
#[must_use]
pub fn place(url: &str) -> Option<WebSocketUrl> {
    let (scheme, rest) = url.split_once("://")?;
    scheme.eq_ignore_ascii_case("https").then(|| WebSocketUrl::parse(&format!("wss://{rest}")))?
}

/// Reads a response. `None`: it is not whole yet.
fn response(bytes: &[u8], is_end: bool) -> Result<Option<Fetched>, String> {
    response_behind(bytes, is_end, INTERIM)
}

/// The same, behind so many interim ones at most.
fn response_behind(bytes: &[u8], is_end: bool, interim: usize) -> Result<Option<Fetched>, String> {
    let incomplete = || if is_end { Err("the response is not whole".into()) } else { Ok(None) };
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n").filter(|end| *end <= HEAD) else {
        return if bytes.len() > HEAD {
            Err("the head of the response is too long".into())
        } else {
            incomplete()
        };
    };
    let head = core::str::from_utf8(&bytes[..end]).map_err(|_| "the head of the response is no text")?;
    let rest = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1));
    let status: u16 = status.and_then(|status| status.parse().ok()).ok_or("what came is no HTTP")?;
    let header = |name: &str| {
        let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    match status {
        // Interim responses (RFC 9110 section 15.2).
        100..200 if status != 101 => match interim.checked_sub(1) {
            Some(interim) => response_behind(rest, is_end, interim),
            None => Err("the web server does not come to its response".into()),
        },
        301 | 302 | 303 | 307 | 308 => {
            let to = header("Location").ok_or("the file is elsewhere, but nobody says where")?;
            Ok(Some(Fetched::Elsewhere(to.into())))
        }
        200 => {
            let body = match (header("Transfer-Encoding"), header("Content-Length")) {
                (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => chunks(rest)?,
                (Some(_), _) => return Err("the file is coded in a way that is not understood".into()),
                (None, Some(length)) => {
                    let length: usize = length.parse().map_err(|_| "the length of the file is no number")?;
                    if length > FILE {
                        return Err(too_large());
                    }
                    rest.get(..length).map(<[u8]>::to_vec)
                }
                (None, None) => is_end.then(|| rest.to_vec()),
            };
            if rest.len() > FILE * 2 || body.as_ref().is_some_and(|body| body.len() > FILE) {
                return Err(too_large());
            }
            body.map_or_else(incomplete, |body| Ok(Some(Fetched::File(body))))
        }
        _ => Err(format!("the web server says {status}")),
    }
}

fn too_large() -> String {
    format!("the file has more than {FILE} bytes")
}

/// Puts the chunks of a body together (RFC 9112 section 7.1). `None`: the last is not there yet.
fn chunks(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let line = core::str::from_utf8(&bytes[..end]).unwrap_or_default();
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length =
            usize::from_str_radix(digits, 16).map_err(|_| "the file comes in pieces without length")?;
        if body.len() + length.min(FILE + 1) > FILE {
            return Err(too_large());
        }
        if length == 0 {
            return Ok(Some(body));
        }
        let Some(chunk) = bytes.get(end + 2..end + 2 + length) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some(rest) = bytes.get(end + 4 + length..) else { return Ok(None) };
        bytes = rest;
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Option<Fetched>, String> {
        Ok(Some(Fetched::File(text.into())))
    }

    // RFC 9112 §6: by length, in chunks, or up to the end, and whole wherever it was cut
    #[test]
    fn files_are_read_whole() {
        let whole = [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n<XRD>",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length:5\r\n\r\n<XRD>",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n<X\r\n3\r\nRD>\r\n0\r\n\r\n",
        ];
        for text in whole {
            assert_eq!(response(text.as_bytes(), false), file("<XRD>"), "{text}");
            for cut in 0..text.len() - 4 {
                assert_eq!(response(&text.as_bytes()[..cut], false), Ok(None), "{cut} of {text}");
                assert!(response(&text.as_bytes()[..cut], true).is_err(), "{cut} of {text}");
            }
        }
        let open = b"HTTP/1.0 200 OK\r\n\r\n<XRD>";
        assert_eq!(response(open, false), Ok(None));
        assert_eq!(response(open, true), file("<XRD>"));
        let moved = b"HTTP/1.1 301 Moved\r\nLocation: https://www.example.com/x\r\n\r\n";
        assert_eq!(response(moved, false), Ok(Some(Fetched::Elsewhere("https://www.example.com/x".into()))));
    }

    #[test]
    fn what_is_no_file_or_too_large() {
        let long = "x".repeat(HEAD + 10);
        let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", FILE + 1);
        let chunk = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", FILE + 1);
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(FILE * 2 + 1));
        let huge = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n";
        let coded = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n";
        let lost = "HTTP/1.1 404 Not Found\r\n\r\n";
        let nowhere = "HTTP/1.1 302 Found\r\n\r\n";
        let other = "SSH-2.0\r\n\r\n";
        for text in [&*long, &*large, &*chunk, &*endless, huge, coded, lost, nowhere, other] {
            assert!(response(text.as_bytes(), false).is_err(), "{}", &text[..text.len().min(80)]);
        }
    }

    // RFC 9110 §15.2: interim responses come before the one that counts, but not without end.
    #[test]
    fn interim_responses_have_an_end() {
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
        let few = format!("{}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<XRD>", interim.repeat(3));
        assert_eq!(response(few.as_bytes(), false), file("<XRD>"));
        assert!(response(interim.repeat(200_000).as_bytes(), false).is_err());
    }

    #[test]
    fn only_https_is_a_place() {
        assert_eq!(place("https://example.com/x").map(|place| place.port()), Some(443));
        assert_eq!(place("HTTPS://example.com:8443/x").map(|place| place.port()), Some(8443));
        for wrong in ["http://example.com/x", "wss://example.com/x", "/x", "https://", "https://a b/"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
