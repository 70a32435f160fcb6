//! A WebSocket between the stream and what lies below, of either side (RFC 7395, on RFC 6455).
//!
//! Frames are tungstenite's. What XMPP wants of them stands here: the subprotocol, one element a text message, and the end.
//! A client's masks, which RFC 6455 wants unpredictable, tungstenite draws from the system; nothing else here depends on chance.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::io;

use balcony_machine::Random;
use balcony_stanza::{StreamCondition, StreamError};
use balcony_xep::host_meta::Format;
use tungstenite::handshake::client::Response;
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse as _;
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::{HeaderMap, HeaderValue, StatusCode};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, Utf8Bytes};

/// Where the server's end is, as everywhere.
pub const WEBSOCKET_PATH: &str = "/xmpp-websocket";

const PROTOCOL: &str = "xmpp";
const PROTOCOL_HEADER: &str = "Sec-WebSocket-Protocol";
/// Bytes of a request or a response.
const HANDSHAKE: usize = 8192;
const READ_BUFFER: usize = 4096;
/// Bytes of a URL with the name by which a client has asked.
const HOST: usize = 512;

pub(crate) struct WebSocket {
    state: State,
    wire: Wire,
    /// What the stream has written before the handshake was over.
    early: Vec<u8>,
    /// Bytes of a message, and so of what has come of one.
    limit: usize,
    /// There may be another message in what has come.
    has_more: bool,
    peer_closed: bool,
    /// Sticks. What came before it counts.
    fault: Option<Fault>,
    /// What the peer is told of the end (RFC 6455 section 7.4.1).
    close_code: CloseCode,
}

enum State {
    /// The client's request is due.
    Request,
    /// The server's response is due, to a request with this key.
    Response(String),
    Open(Box<WebSocketContext>),
    /// The handshake has failed.
    Failed,
}

/// Why it can't go on.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The peer has broken a rule of XMPP, and is to be told this.
    Stream(StreamError),
    /// There is no WebSocket, or none any more.
    WebSocket(String),
}

/// The two ends of memory between tungstenite and the layer below.
#[derive(Default)]
struct Wire {
    input: Vec<u8>,
    taken: usize,
    output: Vec<u8>,
}

impl Wire {
    /// Lets go of what has been taken.
    fn forget(&mut self) {
        let taken = core::mem::take(&mut self.taken);
        self.input.drain(..taken);
        if self.input.is_empty() {
            self.input = Vec::new();
        }
    }
}

impl io::Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.input[self.taken..];
        if rest.is_empty() {
            // An empty read would be the end.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.taken += length;
        Ok(length)
    }
}

impl io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WebSocket {
    /// The end that waits for a client.
    pub(crate) fn server() -> WebSocket {
        WebSocket::new(State::Request)
    }

    /// A client's end, which asks `host` for `path`.
    pub(crate) fn client(host: &str, path: &str, random: &mut Random) -> WebSocket {
        // RFC 6455 section 4.1: 16 bytes in base64; these are random in every digit but the last.
        let key = format!("{}A==", random.token(21));
        let mut websocket = WebSocket::new(State::Response(key.clone()));
        websocket.wire.output = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{PROTOCOL_HEADER}: {PROTOCOL}\r\n\r\n"
        )
        .into();
        websocket
    }

    fn new(state: State) -> WebSocket {
        WebSocket {
            state,
            wire: Wire::default(),
            early: Vec::new(),
            limit: 0,
            has_more: false,
            peer_closed: false,
            fault: None,
            close_code: CloseCode::Normal,
        }
    }

    /// A message may have so many bytes from now on.
    pub(crate) fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
        if let State::Open(context) = &mut self.state {
            context.set_config(|config| {
                (config.max_message_size, config.max_frame_size) = (Some(bytes), Some(bytes));
            });
        }
    }

    /// Takes what has come from below, and appends the first message that is complete, with its byte of zero, to the empty `plain`. Those
    /// behind it wait for [`read_on`](WebSocket::read_on): what they may be is for the stream to say when it has this one.
    pub(crate) fn read(&mut self, input: &[u8], plain: &mut Vec<u8>) -> Result<(), Fault> {
        self.wire.input.extend_from_slice(input);
        self.has_more = true;
        self.read_on(plain)
    }

    /// Appends the next message of what came earlier.
    pub(crate) fn read_on(&mut self, plain: &mut Vec<u8>) -> Result<(), Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if !self.has_more {
            return Ok(());
        }
        let result = self.shake_hands().and_then(|()| self.message(plain));
        self.has_more = !plain.is_empty();
        if !self.has_more {
            self.wire.forget();
        }
        self.fault = result.as_ref().err().cloned();
        result
    }

    /// Sends messages, each with its byte of zero.
    pub(crate) fn write(&mut self, plain: &[u8]) {
        let State::Open(context) = &mut self.state else {
            self.early.extend_from_slice(plain);
            return;
        };
        for message in plain.split(|byte| *byte == 0).filter(|message| !message.is_empty()) {
            let Ok(text) = core::str::from_utf8(message) else { continue };
            // It fails only when the peer has closed, and reads no more.
            let _ = context.write(&mut self.wire, Message::text(text));
        }
        let _ = context.flush(&mut self.wire);
    }

    /// Ends the WebSocket, after the stream (RFC 7395 section 3.6), and says whose fault that is, if it is one of the WebSocket.
    pub(crate) fn close(&mut self) {
        if let State::Open(context) = &mut self.state {
            let frame = CloseFrame { code: self.close_code, reason: Utf8Bytes::default() };
            let _ = context.close(&mut self.wire, Some(frame));
        }
    }

    /// What is to go to the layer below.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.wire.output)
    }

    /// Whether there may be another message in what has come.
    pub(crate) const fn has_more(&self) -> bool {
        self.has_more
    }

    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    fn shake_hands(&mut self) -> Result<(), Fault> {
        let (used, role) = match &self.state {
            State::Open(_) => return Ok(()),
            State::Failed => return Err(Fault::WebSocket("the handshake has failed".into())),
            State::Request => match Request::try_parse(&self.wire.input) {
                Ok(Some((used, request))) if used <= HANDSHAKE => {
                    match respond(&request, &mut self.wire.output) {
                        Ok(()) => (used, Role::Server),
                        Err(reason) => return Err(self.fail(reason)),
                    }
                }
                Ok(None) if self.wire.input.len() <= HANDSHAKE => return Ok(()),
                _ => {
                    refuse(StatusCode::BAD_REQUEST, &mut self.wire.output);
                    return Err(self.fail("what came is no request for a WebSocket"));
                }
            },
            State::Response(key) => match Response::try_parse(&self.wire.input) {
                Ok(Some((used, response))) if used <= HANDSHAKE => match accept(&response, key) {
                    Ok(()) => (used, Role::Client),
                    Err(reason) => return Err(self.fail(reason)),
                },
                Ok(None) if self.wire.input.len() <= HANDSHAKE => return Ok(()),
                _ => return Err(self.fail("what came is no answer to a request for a WebSocket")),
            },
        };
        self.wire.taken = used;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(self.limit))
            .max_frame_size(Some(self.limit));
        self.state = State::Open(Box::new(WebSocketContext::new(role, Some(config))));
        let early = core::mem::take(&mut self.early);
        self.write(&early);
        Ok(())
    }

    fn fail(&mut self, reason: &str) -> Fault {
        self.state = State::Failed;
        self.early = Vec::new();
        Fault::WebSocket(reason.into())
    }

    fn message(&mut self, plain: &mut Vec<u8>) -> Result<(), Fault> {
        let State::Open(context) = &mut self.state else { return Ok(()) };
        while !self.peer_closed {
            match context.read(&mut self.wire) {
                Ok(Message::Text(text)) if text.as_bytes().contains(&0) => {
                    return Err(stream(StreamCondition::NotWellFormed, "U+0000 stands in no XML"));
                }
                Ok(Message::Text(text)) => {
                    plain.extend_from_slice(text.as_bytes());
                    plain.push(0);
                    return Ok(());
                }
                // RFC 7395 section 3.2.
                Ok(Message::Binary(_)) => {
                    self.close_code = CloseCode::Unsupported;
                    return Err(stream(StreamCondition::BadFormat, "only text messages are understood here"));
                }
                // A ping has been answered.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    self.peer_closed = true;
                    // The answer.
                    let _ = context.flush(&mut self.wire);
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(Error::Capacity(_)) => {
                    self.close_code = CloseCode::Size;
                    return Err(stream(StreamCondition::PolicyViolation, "the message is too long"));
                }
                Err(error) => {
                    self.close_code = match error {
                        Error::Utf8(_) => CloseCode::Invalid,
                        _ => CloseCode::Protocol,
                    };
                    return Err(Fault::WebSocket(format!("{error}")));
                }
            }
        }
        Ok(())
    }
}

fn stream(condition: StreamCondition, text: &'static str) -> Fault {
    Fault::Stream(StreamError::new(condition, text))
}

/// Whether `xmpp` is in the list of subprotocols.
fn has_protocol(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PROTOCOL_HEADER).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|protocol| protocol.trim() == PROTOCOL)
}

/// Answers a client (RFC 7395 section 3.1).
fn respond(request: &Request, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let path = request.uri().path();
    if let Some(format) = [Format::Xrd, Format::Jrd].into_iter().find(|format| format.path() == path) {
        return host_meta(request, format, out);
    }
    if path != WEBSOCKET_PATH {
        refuse(StatusCode::NOT_FOUND, out);
        return Err("the client asked for something else than the WebSocket");
    }
    let Ok(mut response) = create_response(request) else {
        refuse(StatusCode::UPGRADE_REQUIRED, out);
        return Err("the client asked for no WebSocket");
    };
    if !has_protocol(request.headers()) {
        refuse(StatusCode::BAD_REQUEST, out);
        return Err("the client did not offer the subprotocol xmpp");
    }
    response.headers_mut().insert(PROTOCOL_HEADER, HeaderValue::from_static(PROTOCOL));
    write_response(&mut *out, &response).map_err(|_| "the response could not be written")
}

/// Says where the WebSocket is: here, under the name by which the client has asked (RFC 7395 section 4, XEP-0156). TLS ends here or in a
/// proxy before. Programs of other sites may read it, and nobody keeps it for others, since it is about the name in this request.
fn host_meta(request: &Request, format: Format, out: &mut Vec<u8>) -> Result<(), &'static str> {
    // RFC 9112 section 3.2: one, which is a host and perhaps a port.
    let mut hosts = request.headers().get_all("Host").into_iter();
    let host = hosts.next().filter(|_| hosts.next().is_none()).and_then(|host| host.to_str().ok());
    let url = host.map(|host| format!("wss://{host}{WEBSOCKET_PATH}"));
    let is_host = |url: &String| {
        url.len() <= HOST && crate::WebSocketUrl::parse(url).is_some_and(|read| read.path() == WEBSOCKET_PATH)
    };
    let Some(url) = url.filter(is_host) else {
        refuse(StatusCode::BAD_REQUEST, out);
        return Err("the client asked for host-meta of no host");
    };
    let (file, kind) = (format.write(&[&url]), format.media_type());
    let length = file.len();
    out.extend_from_slice(
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nAccess-Control-Allow-Origin: *\r\nCache-Control: no-store\r\n\
             Connection: close\r\nContent-Length: {length}\r\n\r\n{file}"
        )
        .as_bytes(),
    );
    Err("the client asked for host-meta, and has it")
}

fn refuse(status: StatusCode, out: &mut Vec<u8>) {
    let upgrade = match status {
        StatusCode::UPGRADE_REQUIRED => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        _ => "",
    };
    out.extend_from_slice(
        format!("HTTP/1.1 {status}\r\n{upgrade}Connection: close\r\nContent-Length: 0\r\n\r\n").as_bytes(),
    );
}

/// Checks what the server answered (RFC 7395 section 3.1, RFC 6455 section 4.1).
fn accept(response: &Response, key: &str) -> Result<(), &'static str> {
    let header =
        |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS
        || !header("Upgrade").eq_ignore_ascii_case("websocket")
        || header("Sec-WebSocket-Accept") != derive_accept_key(key.as_bytes())
    {
        return Err("the server has no WebSocket there");
    }
    match header(PROTOCOL_HEADER) {
        PROTOCOL => Ok(()),
        _ => Err("the WebSocket of the server does not speak XMPP"),
    }
}
