//! What lies between the stream and the transport: nothing, or TLS.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::Instant;
use balcony_stream::Security;
use balcony_tls::{ClientConfig, Established, ServerConfig, Session, Status};

use crate::Error;

/// The layer, and what is needed to put TLS in.
pub(crate) struct Layer {
    end: End,
    session: Option<Box<Session>>,
    established: bool,
    peer_closed: bool,
}

enum End {
    /// TLS is somebody else's: whoever owns the connection.
    Absent,
    Client(ClientConfig, String),
    Server(ServerConfig),
}

impl Layer {
    pub(crate) fn absent() -> Self {
        Layer::new(End::Absent)
    }

    pub(crate) fn client(config: ClientConfig, domain: &str) -> Self {
        Layer::new(End::Client(config, String::from(domain)))
    }

    pub(crate) fn server(config: ServerConfig) -> Self {
        Layer::new(End::Server(config))
    }

    fn new(end: End) -> Self {
        Layer { end, session: None, established: false, peer_closed: false }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.end, End::Absent)
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.session.is_none()
    }

    /// Puts TLS in.
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        let session = match &self.end {
            End::Client(config, domain) => Session::client(config, domain),
            End::Server(config) => Session::server(config),
            End::Absent => return Err(Error::Stream(balcony_stream::Error::NoTls)),
        };
        self.session = Some(Box::new(session.map_err(Error::Tls)?));
        Ok(())
    }

    /// Decrypts into the empty `plain`; once, when the handshake is over, says what it has agreed on.
    pub(crate) fn read(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Security>, Error> {
        let Some(session) = &mut self.session else { return Ok(None) };
        let status = match session.read(input, plain, out) {
            Ok(status) => status,
            // What came before the fault counts, as it would in a piece of its own. The session fails again next time.
            Err(_) if !plain.is_empty() => return Ok(None),
            Err(error) => return Err(Error::Tls(error)),
        };
        self.peer_closed = status == Status::PeerClosed;
        match session.established() {
            Some(established) if !self.established => {
                self.established = true;
                Ok(Some(security(now, established)))
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.session {
            Some(session) => session.write(plain, out).map_err(Error::Tls),
            None => Ok(()),
        }
    }

    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
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
}

/// What the stream has to know of a session.
fn security(now: Instant, established: &Established) -> Security {
    Security::new(established.exporter)
        .with_end_point(established.server_end_point.clone())
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
