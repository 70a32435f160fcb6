//! `--listen-http`: the page that shows how messages find their way, for browsers on this machine, and the WebSocket that it speaks by.
//!
//! The files are in the program. A request is read up to its end, answered, and its connection closed; one for the WebSocket (RFC 7395) goes on to
//! the server with the bytes that were read of it. Who is asked for by another name than this machine's or the server's own is not
//! here (DNS rebinding), and a page of another site gets no WebSocket: its `Origin` is not what was asked for (RFC 6455 section 10.2).

use core::net::{IpAddr, SocketAddr};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_tokio::{Interest, Options, ServerHandle, Socket, TcpSocket, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::failure::{Failure, io};

/// Bytes of a request's head.
const HEAD: usize = 8_192;
/// Requests that are read or answered at the same time; others wait. WebSockets are counted by the server.
const REQUESTS: usize = 64;
/// How long a request, and its answer, may take each.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait when the operating system gives no more connections.
const PAUSE: Duration = Duration::from_millis(100);
/// Where the WebSocket is.
const WEBSOCKET: &str = "/xmpp-websocket";

/// A file of the page: its path, its media type, and what is in it.
type File = (&'static str, &'static str, &'static [u8]);

const SCRIPT: &str = "text/javascript; charset=utf-8";
const FILES: [File; 5] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../../web/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_bytes!("../../web/page.css")),
    ("/page.js", SCRIPT, include_bytes!("../../web/page.js")),
    ("/balcony/balcony.js", SCRIPT, include_bytes!("../../web/balcony/balcony.js")),
    ("/balcony/balcony.wasm", "application/wasm", include_bytes!("../../web/balcony/balcony.wasm")),
];

/// The page may load what is here and speak to here, and nothing else; WebAssembly is compiled, no text is evaluated.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where browsers are listened for.
pub(super) struct Http {
    listeners: Vec<TcpListener>,
}

impl Http {
    /// Listens at these addresses; if it `may_move`, on another port where one is in use.
    pub(super) async fn listen(
        addresses: impl Iterator<Item = SocketAddr>,
        may_move: bool,
    ) -> Result<Http, (SocketAddr, io::Error)> {
        let mut listeners = Vec::new();
        for address in addresses {
            let listener = match TcpListener::bind(address).await {
                Err(error) if may_move && error.kind() == io::ErrorKind::AddrInUse => {
                    TcpListener::bind(SocketAddr::new(address.ip(), 0)).await
                }
                bound => bound,
            };
            listeners.push(listener.map_err(|error| (address, error))?);
        }
        Ok(Http { listeners })
    }

    /// Where that is.
    pub(super) fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        let addresses = self.listeners.iter().map(TcpListener::local_addr);
        addresses.collect::<Result<_, _>>().map_err(io("cannot listen for browsers"))
    }

    /// Serves them, as long as the runtime lasts.
    pub(super) fn serve(self, server: &ServerHandle, domains: &Arc<[BareJid]>) {
        let free = Arc::new(Semaphore::new(REQUESTS));
        for listener in self.listeners {
            tokio::spawn(accept(listener, Arc::clone(&free), server.clone(), Arc::clone(domains)));
        }
    }
}

async fn accept(listener: TcpListener, free: Arc<Semaphore>, server: ServerHandle, domains: Arc<[BareJid]>) {
    // It is never closed.
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (server, domains) = (server.clone(), Arc::clone(&domains));
        tokio::spawn(async move {
            one(stream, from, &server, &domains).await;
            drop(permit);
        });
    }
}

/// One connection. What goes wrong on it is the browser's to tell.
async fn one(mut stream: TcpStream, from: SocketAddr, server: &ServerHandle, domains: &[BareJid]) {
    let mut head = Vec::new();
    let Ok(Ok(())) = timeout(PATIENCE, read(&mut stream, &mut head)).await else { return };
    match answer(&head, domains) {
        Answer::WebSocket => {
            let socket = TcpSocket::new(stream, Options::default().unacknowledged);
            server.connect(Begun { socket, head, taken: 0 }, from.to_string(), Transport::WebSocket);
        }
        Answer::Response { head, body } => {
            let written = async {
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(body).await?;
                stream.shutdown().await
            };
            let _ = timeout(PATIENCE, written).await;
        }
    }
}

/// Reads until the head of a request is there, or more than that may have.
async fn read(stream: &mut TcpStream, head: &mut Vec<u8>) -> io::Result<()> {
    while !is_whole(head) && head.len() < HEAD {
        let mut chunk = [0; 1_024];
        let room = chunk.len().min(HEAD - head.len());
        match stream.read(&mut chunk[..room]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => head.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(())
}

fn is_whole(head: &[u8]) -> bool {
    head.windows(4).any(|four| four == b"\r\n\r\n")
}

/// What is done with a request.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// It is the server's.
    WebSocket,
    Response {
        head: String,
        body: &'static [u8],
    },
}

/// Decides what a request gets (RFC 9110, RFC 9112).
fn answer(head: &[u8], domains: &[BareJid]) -> Answer {
    if !is_whole(head) {
        return refuse("431 Request Header Fields Too Large", "");
    }
    let Some(request) = Request::read(head) else { return refuse("400 Bad Request", "") };
    if !request.is_for_us(domains) {
        return refuse("421 Misdirected Request", "");
    }
    // Nothing here depends on a query.
    let path = request.target.split('?').next().unwrap_or_default();
    if path == WEBSOCKET {
        return if request.is_from_here() { Answer::WebSocket } else { refuse("403 Forbidden", "") };
    }
    let Some((_, kind, content)) = FILES.iter().find(|(known, ..)| *known == path) else {
        return refuse("404 Not Found", "");
    };
    let body = match request.method {
        "GET" => *content,
        "HEAD" => b"",
        _ => return refuse("405 Method Not Allowed", "Allow: GET, HEAD\r\n"),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nContent-Security-Policy: {POLICY}\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         Cache-Control: no-cache\r\nConnection: close\r\n\r\n",
        content.len()
    );
    Answer::Response { head, body }
}

fn refuse(status: &str, more: &str) -> Answer {
    let head = format!("HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n");
    Answer::Response { head, body: b"" }
}

/// What counts of a request.
struct Request<'h> {
    method: &'h str,
    target: &'h str,
    host: &'h str,
    origin: Option<&'h str>,
}

impl<'h> Request<'h> {
    fn read(head: &'h [u8]) -> Option<Request<'h>> {
        let head = core::str::from_utf8(head).ok()?;
        let mut lines = head.split("\r\n\r\n").next()?.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target, version) = (first.next()?, first.next()?, first.next()?);
        if first.next().is_some() || !version.starts_with("HTTP/1.") || !target.starts_with('/') {
            return None;
        }
        let (mut host, mut origin) = (None, None);
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let seen = match name {
                name if name.eq_ignore_ascii_case("Host") => &mut host,
                name if name.eq_ignore_ascii_case("Origin") => &mut origin,
                _ => continue,
            };
            // Of two nobody knows which counts (RFC 9112 section 3.2).
            if seen.replace(value.trim()).is_some() {
                return None;
            }
        }
        Some(Request { method, target, host: host?, origin })
    }

    /// Whether it was asked for by a name of this machine's, or of the server's.
    fn is_for_us(&self, domains: &[BareJid]) -> bool {
        let port =
            self.host.rfind(':').filter(|at| self.host[at + 1..].bytes().all(|byte| byte.is_ascii_digit()));
        let name = &self.host[..port.unwrap_or(self.host.len())];
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        match name.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => {
                name.eq_ignore_ascii_case("localhost")
                    || domains.iter().any(|domain| domain.domainpart().eq_ignore_ascii_case(name))
            }
        }
    }

    /// Whether it is of a page from here, or of a program that is no browser.
    fn is_from_here(&self) -> bool {
        let Some(origin) = self.origin else { return true };
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(|host| host.eq_ignore_ascii_case(self.host))
    }
}

/// A connection of which something has been read.
struct Begun {
    socket: TcpSocket,
    head: Vec<u8>,
    taken: usize,
}

impl Begun {
    /// Gives of what has been read; `None` if nothing of it is left.
    fn read_head(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let rest = self.head.get(self.taken..).filter(|rest| !rest.is_empty())?;
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        if self.taken == self.head.len() {
            (self.head, self.taken) = (Vec::new(), 0);
        }
        Some(count)
    }
}

impl Socket for Begun {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_head(buffer).map_or_else(|| self.socket.try_read(buffer), Ok)
    }

    fn try_read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_head(buffer).map_or_else(|| self.socket.try_read_now(buffer), Ok)
    }

    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.try_write(buffers)
    }

    fn try_write_last(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.try_write_last(buffers)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
        match interest {
            Interest::Read if !self.head.is_empty() => Poll::Ready(Ok(())),
            interest => self.socket.poll_ready(cx, interest),
        }
    }

    fn try_shutdown(&mut self) -> io::Result<()> {
        self.socket.try_shutdown()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // As on other sockets, what has come can be read before tokio has heard of it, behind what was read first.
    #[test]
    #[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "test of a socket")]
    fn what_has_come_behind_the_request_can_be_read_now() {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let mut theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (ours, _) = listener.accept().unwrap();
            ours.set_nonblocking(true).unwrap();
            let ours = TcpSocket::new(TcpStream::from_std(ours).unwrap(), Options::default().unacknowledged);
            let mut ours = Begun { socket: ours, head: b"GET".to_vec(), taken: 0 };
            io::Write::write_all(&mut theirs, b"now").unwrap();
            let mut buffer = [0; 64];
            assert_eq!(ours.try_read_now(&mut buffer).unwrap(), 3);
            assert!(buffer.starts_with(b"GET"));
            // Nobody has looked at the socket since, as this task has not let anybody.
            assert_eq!(ours.try_read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert_eq!(ours.try_read_now(&mut buffer).unwrap(), 3);
            assert!(buffer.starts_with(b"now"));
        });
    }

    fn said(request: &str) -> String {
        let domains = [BareJid::parse("example.org").unwrap()];
        match answer(request.as_bytes(), &domains) {
            Answer::WebSocket => "WebSocket".into(),
            Answer::Response { head, .. } => {
                head.split("\r\n").next().unwrap_or_default()["HTTP/1.1 ".len()..].into()
            }
        }
    }

    fn get(target: &str, more: &str) -> String {
        said(&format!("GET {target} HTTP/1.1\r\nHost: localhost:5280\r\n{more}\r\n"))
    }

    #[test]
    fn files_have_their_types_and_the_policy() {
        for (path, kind, content) in FILES {
            let request = format!("GET {path}?x HTTP/1.1\r\nhost: 127.0.0.1:5280\r\n\r\n");
            let Answer::Response { head, body } = answer(request.as_bytes(), &[]) else { panic!("{path}") };
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
            for line in [format!("Content-Type: {kind}"), format!("Content-Length: {}", content.len())] {
                assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
            }
            assert!(
                head.contains("'wasm-unsafe-eval'")
                    && !head.contains("unsafe-inline")
                    && !head.contains("'unsafe-eval'")
            );
            assert!(head.contains("\r\nX-Content-Type-Options: nosniff\r\n"));
            assert_eq!(body, content);
            let head_only = format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(answer(head_only.as_bytes(), &[]), Answer::Response { head, body: b"" });
        }
    }

    #[test]
    fn there_is_nothing_but_the_files() {
        for path in [
            "/../Cargo.toml",
            "/%2e%2e/Cargo.toml",
            "/balcony/",
            "/balcony",
            "/page.js/",
            "//page.js",
            "/page.html",
        ] {
            assert_eq!(get(path, ""), "404 Not Found", "{path}");
        }
        assert_eq!(said("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "405 Method Not Allowed");
        for wrong in [
            "GET / HTTP/2\r\nHost: localhost\r\n\r\n",
            "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            "\u{16}\u{3}\r\n\r\n",
        ] {
            assert_eq!(said(wrong), "400 Bad Request", "{wrong}");
        }
        assert_eq!(said(&"x".repeat(HEAD)), "431 Request Header Fields Too Large");
    }

    #[test]
    fn other_names_are_not_here() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:5280",
            "127.1.2.3",
            "[::1]:5280",
            "[::1]",
            "example.org",
            "example.org:443",
        ] {
            assert_eq!(said(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), "200 OK", "{host}");
        }
        for host in [
            "rebound.example",
            "192.0.2.1",
            "localhost.rebound.example",
            "127.0.0.1.rebound.example:5280",
            "",
            "[::2]",
            "é",
        ] {
            assert_eq!(
                said(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")),
                "421 Misdirected Request",
                "{host}"
            );
        }
    }

    #[tokio::test]
    async fn a_page_that_nobody_has_given_a_place_moves() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let failed =
            Http::listen([address].into_iter(), false).await.err().map(|(at, error)| (at, error.kind()));
        assert_eq!(failed, Some((address, io::ErrorKind::AddrInUse)));
        let moved = Http::listen([address].into_iter(), true).await.ok().unwrap().addresses().unwrap();
        assert!(moved[0].ip() == address.ip() && moved[0].port() != address.port(), "{moved:?}");
    }

    // RFC 6455 §10.2
    #[test]
    fn pages_of_other_sites_get_no_websocket() {
        assert_eq!(get(WEBSOCKET, "Origin: http://localhost:5280\r\n"), "WebSocket");
        assert_eq!(get(WEBSOCKET, ""), "WebSocket");
        for origin in [
            "http://localhost",
            "http://localhost:1",
            "http://rebound.example:5280",
            "null",
            "",
            "http://localhost:5280/",
        ] {
            assert_eq!(get(WEBSOCKET, &format!("Origin: {origin}\r\n")), "403 Forbidden", "{origin}");
        }
        let two = "Origin: http://localhost:5280\r\nOrigin: http://rebound.example\r\n";
        assert_eq!(get(WEBSOCKET, two), "400 Bad Request");
    }
}
