//! What lies between the stream and the transport: nothing, TLS, a WebSocket, or a WebSocket on TLS.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::Instant;
use balcony_stream::Security;
use balcony_tls::{Established, Session, Status, TlsIdentity, TlsTrust};

use crate::Error;
#[cfg(feature = "websocket")]
use crate::websocket::{Fault, WebSocket};

/// The layer, and what is needed to put TLS in.
pub(crate) struct Layer {
    end: End,
    session: Option<Box<Session>>,
    /// White space may still come before the first byte of TLS.
    spaced: bool,
    established: bool,
    #[cfg(feature = "websocket")]
    websocket: Option<Box<WebSocket>>,
    /// Something has come for the WebSocket: a part of a message, or a frame of its own such as a ping.
    #[cfg(feature = "websocket")]
    has_heard: bool,
    peer_closed: bool,
}

enum End {
    /// TLS is somebody else's: whoever owns the connection.
    Absent,
    Client(Box<(TlsTrust, String)>),
    Server(TlsIdentity),
}

impl Layer {
    pub(crate) fn absent() -> Self {
        Layer::new(End::Absent)
    }

    pub(crate) fn client(config: TlsTrust, domain: &str) -> Self {
        Layer::new(End::Client(Box::new((config, String::from(domain)))))
    }

    pub(crate) fn server(config: TlsIdentity) -> Self {
        Layer::new(End::Server(config))
    }

    fn new(end: End) -> Self {
        Layer {
            end,
            session: None,
            spaced: false,
            established: false,
            #[cfg(feature = "websocket")]
            websocket: None,
            #[cfg(feature = "websocket")]
            has_heard: false,
            peer_closed: false,
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.end, End::Absent)
    }

    /// With a WebSocket on what there is. TLS, if there is any, begins with the first byte.
    #[cfg(feature = "websocket")]
    pub(crate) fn set_websocket(&mut self, websocket: WebSocket) {
        self.websocket = Some(Box::new(websocket));
    }

    /// Messages may have so many bytes from now on.
    #[cfg(feature = "websocket")]
    pub(crate) fn limit_messages(&mut self, bytes: usize) {
        if let Some(websocket) = &mut self.websocket {
            websocket.set_limit(bytes);
        }
    }

    /// Whether something has come for the WebSocket since the last time.
    #[cfg(feature = "websocket")]
    pub(crate) const fn take_heard(&mut self) -> bool {
        core::mem::replace(&mut self.has_heard, false)
    }

    /// Whether there may be another message in what has come for the WebSocket.
    pub(crate) fn has_more(&self) -> bool {
        #[cfg(feature = "websocket")]
        return self.websocket.as_ref().is_some_and(|websocket| websocket.has_more());
        #[cfg(not(feature = "websocket"))]
        false
    }

    /// Whether the stream's bytes are the transport's.
    pub(crate) fn is_plain(&self) -> bool {
        self.session.is_none() && !self.has_websocket()
    }

    fn has_websocket(&self) -> bool {
        #[cfg(feature = "websocket")]
        return self.websocket.is_some();
        #[cfg(not(feature = "websocket"))]
        false
    }

    /// Puts TLS in, where the stream has negotiated it.
    ///
    /// There must be no white space behind `<starttls/>` (RFC 6120 section 5.3.3), but some clients end each element with a
    /// line feed. TLS does not begin with one, so a server can pass over it.
    pub(crate) fn upgrade(&mut self) -> Result<(), Error> {
        self.spaced = matches!(self.end, End::Server(_));
        self.start()
    }

    /// Puts TLS in.
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        let session = match &self.end {
            End::Client(trust) => Session::client(&trust.0, &trust.1),
            End::Server(config) => Session::server(config),
            End::Absent => return Err(Error::Stream(balcony_stream::Error::NoTls)),
        };
        self.session = Some(Box::new(session.map_err(Error::Tls)?));
        Ok(())
    }

    /// Decrypts into the empty `plain`, from a WebSocket one message at most; once, when the handshake is over, says what it has agreed on.
    pub(crate) fn read(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Security>, Error> {
        if self.session.is_none() && self.has_websocket() && !self.is_absent() {
            self.start()?;
        }
        #[cfg(feature = "websocket")]
        if let Some(mut websocket) = self.websocket.take() {
            let security = self.read_websocket(now, input, plain, out, &mut websocket);
            self.websocket = Some(websocket);
            return security;
        }
        self.read_session(now, input, plain, out)
    }

    #[cfg(feature = "websocket")]
    fn read_websocket(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
        websocket: &mut WebSocket,
    ) -> Result<Option<Security>, Error> {
        let mut security = None;
        let mut result = websocket.read_on(plain);
        if plain.is_empty() && result.is_ok() {
            result = match self.session {
                Some(_) => {
                    let mut below = Vec::new();
                    security = self.read_session(now, input, &mut below, out)?;
                    self.has_heard |= !below.is_empty();
                    websocket.read(&below, plain)
                }
                None => {
                    self.has_heard |= !input.is_empty();
                    websocket.read(core::mem::take(input), plain)
                }
            };
        }
        self.send_below(websocket, out)?;
        self.peer_closed |= websocket.peer_closed();
        match result {
            Ok(()) => Ok(security),
            Err(Fault::Stream(error)) => Err(Error::Stream(balcony_stream::Error::Local(error))),
            Err(Fault::WebSocket(reason)) => Err(Error::WebSocket(reason)),
        }
    }

    fn read_session(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Security>, Error> {
        let Some(session) = &mut self.session else { return Ok(None) };
        if self.spaced {
            while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = *input {
                *input = rest;
            }
            self.spaced = input.is_empty();
        }
        match session.read(input, plain, out) {
            Ok(status) => self.peer_closed = status == Status::PeerClosed,
            // What came before the fault counts, as it would in a piece of its own; the end of the handshake, too. The session fails
            // again next time.
            Err(_) if !plain.is_empty() => {}
            Err(error) => return Err(Error::Tls(error)),
        }
        match session.established() {
            Some(established) if !self.established => {
                self.established = true;
                Ok(Some(security(now, established)))
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        #[cfg(feature = "websocket")]
        if let Some(mut websocket) = self.websocket.take() {
            websocket.write(plain);
            let result = self.send_below(&mut websocket, out);
            self.websocket = Some(websocket);
            return result;
        }
        self.send(plain, out)
    }

    /// Passes on what the WebSocket has to say, as soon as TLS can take it.
    #[cfg(feature = "websocket")]
    fn send_below(&mut self, websocket: &mut WebSocket, out: &mut Vec<u8>) -> Result<(), Error> {
        match self.session.is_none() || self.established {
            true => self.send(&websocket.take_output(), out),
            false => Ok(()),
        }
    }

    /// Passes bytes to TLS, or to the transport.
    fn send(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.session {
            _ if bytes.is_empty() => Ok(()),
            Some(session) => session.write(bytes, out).map_err(Error::Tls),
            None => {
                out.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
        #[cfg(feature = "websocket")]
        if let Some(mut websocket) = self.websocket.take() {
            websocket.close();
            // Where TLS has failed there is nobody left to tell.
            let _ = self.send_below(&mut websocket, out);
            self.websocket = Some(websocket);
        }
        if let Some(session) = &mut self.session {
            session.close(out);
        }
    }

    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    pub(crate) fn established(&self) -> Option<&Established> {
        self.session.as_deref().and_then(Session::established)
    }

    pub(crate) fn is_established(&self) -> bool {
        self.established
    }

    pub(crate) fn forget(&mut self) {
        if let Some(session) = &mut self.session {
            session.forget();
        }
    }
}

/// What the stream has to know of a session.
fn security(now: Instant, established: &Established) -> Security {
    Security::new(established.exporter)
        .with_end_point(established.server_end_point.clone())
        .with_version(match established.protocol {
            "TLSv1.3" => Some(0x0304),
            "TLSv1.2" => Some(0x0303),
            _ => None,
        })
        .with_domains(established.peer_domains.clone())
        .with_expiry(established.peer_valid_for.map(|valid_for| now + valid_for))
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (&self.session, self.established) {
            (None, _) => "Plain",
            (Some(_), false) => "TlsHandshake",
            (Some(_), true) => "Tls",
        })
    }
}
