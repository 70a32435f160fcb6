//! What a client is told before it connects: its stream, whom TLS is to trust, and what becomes of requests that it does not
//! know.
//!
//! What depends on the place that it connects to is set by `ClientConfig::for_endpoint`, in `endpoint.rs`.

use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

use balcony_connection::ClientConnection;
use balcony_jid::BareJid;
use balcony_machine::{Instant, Random, Secret};
use balcony_stream::AckPolicy;
use balcony_stream::client::ClientStreamConfig;

/// What a [`ClientMachine`](crate::ClientMachine) is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The stream: account, password, resource, TLS, mechanisms, limits.
    pub stream: ClientStreamConfig,
    /// Whom to believe that they are the server. `None`: TLS is the owner's
    /// ([`MachineEvent::StartTls`](crate::MachineEvent::StartTls)).
    #[cfg(feature = "tls")]
    pub tls: Option<balcony_tls::TlsTrust>,
    /// Whether the owner sees to it that only the server itself is at the other end: it runs TLS and has checked the certificate for the
    /// account's domain, or for the host that it was told to connect to; or, without TLS, nobody else can be on the way, as within one
    /// machine. The server is taken to be [proven](crate::ClientMachine::is_server_proven) then, once that TLS is up, so that a wrong password
    /// is the end of a client, and is not tried again. With an owner who lets any certificate pass, somebody on the way could end it.
    /// False unless it is set; TLS that the client runs itself finds out by itself.
    pub proven_by_owner: bool,
    /// Where the WebSocket is that the stream is on (RFC 7395); see [`for_endpoint`](ClientConfig::for_endpoint). `None`: the stream is a
    /// document of XML.
    #[cfg(feature = "websocket")]
    pub websocket: Option<crate::WebSocketUrl>,
    /// When the server is asked what has arrived, where stanzas are counted
    /// ([`management`](ClientStreamConfig::management)).
    pub acks: AckPolicy,
    /// How long the server may take to show that it is still there after [`wake`](crate::ClientMachine::wake).
    pub wake: Duration,
    /// Milliseconds from the start of 1970 (UTC) to the start of the clock that the client is given. Messages that are sent again in
    /// another session say when they were sent first (XEP-0203), if this is known.
    pub clock_start: Option<u64>,
    /// What the client says of itself to those who ask: all who have its full address and whom the server lets through, since the machine
    /// knows no contacts. They learn by that that it is online. An [`Agent`](crate::Agent) with the same value as an extension, beside a
    /// [`Roster`](crate::Roster), knows [who may](crate::Discovery); a machine without one that is not to be found by strangers has `None`
    /// here, and such requests are like all others: they get what the server says where nobody is. Unless it is said otherwise it is a
    /// program of the name Balcony.
    pub discovery: Option<crate::Discovery>,
    /// Whether requests that [`discovery`](ClientConfig::discovery) does not answer come to the owner as [`MachineEvent::Stanza`](crate::MachineEvent::Stanza), to
    /// be answered there. Otherwise the machine refuses them with `service-unavailable`, since every request must be
    /// answered (RFC 6120 section 8.2.3).
    pub take_requests: bool,
}

impl ClientConfig {
    /// With TLS that trusts as this says.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: balcony_tls::TlsTrust) -> Self {
        self.tls = Some(tls);
        self
    }

    /// A connection that is configured like this, on which nothing has happened yet: below a [`ClientMachine`](crate::ClientMachine), or for
    /// those who want no more of a server than what comes before a login. `now` begins the time allowed for negotiation.
    #[must_use]
    pub fn connection(&self, random: &mut Random, now: Instant) -> ClientConnection {
        let connection = ClientConnection::new(Arc::new(self.stream.clone()), random.seed(), now);
        #[cfg(feature = "tls")]
        let connection = match &self.tls {
            Some(tls) => connection.with_tls(tls.clone(), self.server_name()),
            None => connection,
        };
        #[cfg(feature = "websocket")]
        let connection = match &self.websocket {
            Some(url) => connection.with_websocket(url, &random.seed()),
            None => connection,
        };
        connection
    }

    /// For a client of an [`Agent`](crate::Agent): its extensions answer requests, or its owner does, and nobody else.
    #[must_use]
    pub fn for_agent(mut self) -> Self {
        (self.discovery, self.take_requests) = (None, true);
        self
    }

    /// The defaults, for this account.
    #[must_use]
    pub fn new(account: BareJid, password: Secret<String>) -> Self {
        let mut stream = ClientStreamConfig::new(account, password);
        stream.software = Some(concat!("Balcony ", env!("CARGO_PKG_VERSION")).into());
        ClientConfig {
            stream,
            #[cfg(feature = "tls")]
            tls: None,
            proven_by_owner: false,
            #[cfg(feature = "websocket")]
            websocket: None,
            acks: AckPolicy::default(),
            wake: Duration::from_secs(1),
            clock_start: None,
            discovery: Some(
                crate::Discovery::new("Balcony", env!("CARGO_PKG_VERSION")).identity("client", "console"),
            ),
            take_requests: false,
        }
    }
}
