//! How connections begin, and what a new one is made of then: the configuration of its stream, TLS, a WebSocket. Also what is
//! said to those who are not let in.

use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_connection::ServerConnection;
use balcony_machine::{Instant, Seed};
use balcony_stanza::StreamError;
use balcony_stream::server::ServerStreamConfig;
use balcony_stream::{Framing, TlsPolicy};

use crate::config::ServerConfig;

/// How a connection begins. Whether TLS must follow where it is not the first thing is another question, and has one answer for all
/// connections: [`ServerConfig::tls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// With a stream of XML, in the clear.
    Stream,
    /// With TLS, and a stream of XML on it (XEP-0368).
    DirectTls,
    /// With a request for a WebSocket in the clear (RFC 7395), for a proxy on the same machine that adds TLS.
    #[cfg(feature = "websocket")]
    WebSocket,
    /// With a request for a WebSocket on TLS (`wss`).
    #[cfg(feature = "websocket")]
    SecureWebSocket,
    /// Of another server, with a stream of XML, in the clear. It needs [`ServerConfig::federation`].
    Server,
    /// Of another server, with TLS, and a stream of XML on it (XEP-0368). It needs [`ServerConfig::federation`].
    ServerDirectTls,
    /// Of a component, with a stream of XML, in the clear (XEP-0114). It needs [`ServerConfig::components`].
    Component,
}

impl Transport {
    /// Whether it is one of other servers, or of components.
    #[must_use]
    pub fn is_of_server(self) -> bool {
        matches!(self, Transport::Server | Transport::ServerDirectTls | Transport::Component)
    }
}

/// What connections are made of, one configuration for each way in which they can begin.
pub(crate) struct Streams {
    clear: Arc<ServerStreamConfig>,
    direct: Arc<ServerStreamConfig>,
    #[cfg(feature = "tls")]
    certificate: Option<balcony_tls::TlsIdentity>,
    #[cfg(feature = "websocket")]
    web: Web,
}

#[cfg(feature = "websocket")]
struct Web {
    clear: Arc<ServerStreamConfig>,
    secure: Arc<ServerStreamConfig>,
    certificate: Option<balcony_tls::TlsIdentity>,
}

impl Streams {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        Streams {
            clear: config.stream(config.tls, Framing::Document),
            direct: config.stream(TlsPolicy::Direct, Framing::Document),
            #[cfg(feature = "tls")]
            certificate: config.certificate.clone(),
            #[cfg(feature = "websocket")]
            web: Web {
                clear: config.stream(TlsPolicy::None, Framing::Messages),
                secure: config.stream(TlsPolicy::Direct, Framing::Messages),
                certificate: config.certificate.as_ref().map(balcony_tls::TlsIdentity::web),
            },
        }
    }

    pub(crate) fn connection(&self, transport: Transport, seed: Seed, now: Instant) -> ServerConnection {
        let connection =
            |config: &Arc<ServerStreamConfig>| ServerConnection::new(Arc::clone(config), seed, now);
        match transport {
            // Without federation another server is no more than a client that speaks the wrong language; a component likewise.
            Transport::Stream
            | Transport::DirectTls
            | Transport::Server
            | Transport::ServerDirectTls
            | Transport::Component => {
                let is_direct = matches!(transport, Transport::DirectTls | Transport::ServerDirectTls);
                let connection = connection(if is_direct { &self.direct } else { &self.clear });
                #[cfg(feature = "tls")]
                return with_tls(connection, self.certificate.as_ref());
                #[cfg(not(feature = "tls"))]
                connection
            }
            #[cfg(feature = "websocket")]
            Transport::WebSocket => connection(&self.web.clear).with_websocket(),
            #[cfg(feature = "websocket")]
            Transport::SecureWebSocket => {
                with_tls(connection(&self.web.secure), self.web.certificate.as_ref()).with_websocket()
            }
        }
    }
}

/// What the peer of a new connection reads before that is closed at once for this reason; see
/// [`Server::last_words`](crate::Server::last_words).
pub(crate) fn last_words(
    streams: &Streams,
    transport: Transport,
    error: StreamError,
    seed: Seed,
    now: Instant,
) -> Vec<u8> {
    #[cfg(feature = "websocket")]
    if transport == Transport::WebSocket {
        return b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            .to_vec();
    }
    let (mut connection, mut out) = (streams.connection(transport, seed, now), Vec::new());
    connection.abort(error);
    // It fails with the error that it was just given.
    let _ = connection.tick(now, &mut out);
    out
}

#[cfg(feature = "tls")]
fn with_tls(
    connection: ServerConnection,
    certificate: Option<&balcony_tls::TlsIdentity>,
) -> ServerConnection {
    match certificate {
        Some(certificate) => connection.with_tls(certificate.clone()),
        None => connection,
    }
}
