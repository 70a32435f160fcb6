//! What a connection can do in one role only: how it begins, on what it lies, and what its stream is asked for.

use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{ApiMisuse, Instant, Seed};
use balcony_stream::client::{Client, ClientStreamConfig, Resumption, ServerFeatures};
use balcony_stream::component::{Component, ComponentInitiatingConfig, ComponentReceivingConfig};
use balcony_stream::s2s::{S2s, S2sInitiatingConfig, S2sReceivingConfig, Verification};
use balcony_stream::server::{Server, ServerStreamConfig};
use balcony_stream::{ClientStream, ComponentStream, Counts, S2sStream, ServerStream};

use crate::Connection;
#[cfg(all(doc, feature = "websocket"))]
use crate::WEBSOCKET_PATH;
#[cfg(feature = "tls")]
use crate::layer::Layer;
#[cfg(feature = "websocket")]
use crate::websocket::WebSocket;

impl Connection<Client> {
    /// A client's end.
    #[must_use]
    pub fn new(config: Arc<ClientStreamConfig>, seed: Seed, now: Instant) -> Self {
        let output_limit = config.limits.output;
        Connection::begin(ClientStream::new(config, seed, now), output_limit)
    }

    /// With TLS. The server must prove that it is `domain`, the domain of the account (RFC 6120 section 13.7.2.1).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: balcony_tls::TlsTrust, domain: &str) -> Self {
        self.layer = Layer::client(tls, domain);
        self
    }

    /// On a WebSocket (RFC 7395). The framing of the stream has to be [`Messages`](balcony_stream::Framing::Messages). With TLS,
    /// which is set before, it is `wss`. A message of more bytes than the stream's limits allow an element just then, before a login or
    /// after it, ends the stream with `policy-violation`, and no more of it is kept.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn with_websocket(mut self, url: &crate::WebSocketUrl, seed: &Seed) -> Self {
        self.layer.set_websocket(WebSocket::client(&url.authority(), url.path(), &mut seed.random()));
        self
    }

    /// The bound JID.
    #[must_use]
    pub fn jid(&self) -> Option<&FullJid> {
        self.stream.jid()
    }

    /// What the server has announced; see [`ClientStream::features`].
    #[must_use]
    pub fn features(&self) -> ServerFeatures {
        self.stream.features()
    }

    /// What the server has announced last; see [`ClientStream::offered`].
    #[cfg(feature = "look")]
    #[must_use]
    pub fn offered(&self) -> Option<&balcony_stream::Offered> {
        self.stream.offered()
    }

    /// Whether all that there is before a login has been seen; see [`ClientStream::has_looked`].
    #[cfg(feature = "look")]
    #[must_use]
    pub fn has_looked(&self) -> bool {
        self.stream.has_looked()
    }

    /// Sends a request that needs no login; see [`ClientStream::request_before_login`].
    ///
    /// # Errors
    ///
    /// As for [`ClientStream::request_before_login`].
    #[cfg(feature = "look")]
    pub fn request_before_login(&mut self, request: &balcony_stanza::Stanza) -> Result<(), ApiMisuse> {
        self.stream.request_before_login(request, &mut self.output)
    }

    /// Goes on with a session; see [`ClientStream::resume`].
    ///
    /// # Errors
    ///
    /// As for [`ClientStream::resume`].
    pub fn resume(&mut self, resumption: Resumption) -> Result<(), ApiMisuse> {
        self.stream.resume(resumption)
    }

    /// What is needed to go on with the session; see [`ClientStream::resumption`]. Nothing after the stream was closed in good order.
    #[must_use]
    pub fn resumption(&self) -> Option<Resumption> {
        self.stream.resumption()
    }

    /// So many more stanzas are handled; see [`ClientStream::handled`].
    pub fn handled(&mut self, count: u32) {
        self.stream.handled(count, &mut self.output);
    }

    /// Asks the server what it has handled; see [`ClientStream::request_ack`].
    pub fn request_ack(&mut self, now: Instant) -> bool {
        self.stream.request_ack(now, &mut self.output)
    }

    /// Asks the server whether it is still there; see [`ClientStream::probe`].
    pub fn probe(&mut self, now: Instant, patience: Duration) {
        self.stream.probe(now, patience, &mut self.output);
    }

    /// Says whether somebody uses this client; see [`ClientStream::set_active`].
    pub fn set_active(&mut self, is_active: bool) {
        self.stream.set_active(is_active, &mut self.output);
    }

    /// Whether somebody uses this client; see [`ClientStream::is_active`].
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.stream.is_active()
    }

    /// Nothing of the server is taken for now; see [`ClientStream::unread`].
    pub fn unread(&mut self, now: Instant) {
        self.stream.unread(now, &mut self.output);
    }

    /// Whether what is sent counts; see [`ClientStream::counts_sent`].
    #[must_use]
    pub fn counts_sent(&self) -> bool {
        self.stream.counts_sent()
    }

    /// Where the server has sent us when it closed the stream; see [`ClientStream::redirect`].
    #[must_use]
    pub fn redirect(&self) -> Option<&str> {
        self.stream.redirect()
    }
}

impl Connection<Server> {
    /// A server's end.
    #[must_use]
    pub fn new(config: Arc<ServerStreamConfig>, seed: Seed, now: Instant) -> Self {
        let output_limit = config.limits.output;
        Connection::begin(ServerStream::new(config, seed, now), output_limit)
    }

    /// With TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: balcony_tls::TlsIdentity) -> Self {
        self.layer = Layer::server(tls);
        self
    }

    /// On a WebSocket (RFC 7395), at [`WEBSOCKET_PATH`]. The framing of the stream has to be
    /// [`Messages`](balcony_stream::Framing::Messages). With TLS, which is set before, it is `wss`. A message of more
    /// bytes than the stream's limits allow an element just then, before a login or after it, ends the stream with `policy-violation`, and
    /// no more of it is kept.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn with_websocket(mut self) -> Self {
        self.layer.set_websocket(WebSocket::server());
        self
    }

    /// So many more stanzas are handled; see [`ServerStream::handled`].
    pub fn handled(&mut self, count: u32) {
        self.stream.handled(count, &mut self.output);
    }

    /// Asks the client what it has handled; see [`ServerStream::request_ack`].
    pub fn request_ack(&mut self, now: Instant) -> bool {
        self.stream.request_ack(now, &mut self.output)
    }

    /// Nothing of the client is read for now; see [`ServerStream::unread`].
    pub fn unread(&mut self, now: Instant) {
        self.stream.unread(now);
    }

    /// What both ends have counted; see [`ServerStream::counts`].
    #[must_use]
    pub fn counts(&self) -> Option<&Counts> {
        self.stream.counts()
    }

    /// The bound JID.
    #[must_use]
    pub fn jid(&self) -> Option<&FullJid> {
        self.stream.jid()
    }
}

impl Connection<S2s> {
    /// A server on a stream that it opens to another server, to send stanzas.
    #[must_use]
    pub fn initiating(config: Arc<S2sInitiatingConfig>, seed: Seed, now: Instant) -> Self {
        let output_limit = config.limits.output;
        Connection::begin(S2sStream::initiating(config, seed, now), output_limit)
    }

    /// A server on a stream that another server has opened, and sends stanzas on.
    #[must_use]
    pub fn receiving(config: Arc<S2sReceivingConfig>, seed: Seed, now: Instant) -> Self {
        let output_limit = config.limits.output;
        Connection::begin(S2sStream::receiving(config, seed, now), output_limit)
    }

    /// With TLS at the initiating end: one that is made for [federation](balcony_tls::TlsTrustBuilder::federation), with
    /// [`S2sInitiatingConfig::to`] for the domain. The certificate that is shown is that of the domain which the stream is from.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_client_tls(mut self, tls: balcony_tls::TlsTrust, domain: &str) -> Self {
        let tls = match self.stream.opened_for() {
            Some(ours) => tls.of(ours.as_str()),
            None => tls,
        };
        self.layer = Layer::client(tls, domain);
        self
    }

    /// With TLS at the receiving end: one that is made for [federation](balcony_tls::TlsIdentity::federation), since what the
    /// peer's certificate proves comes from there.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_server_tls(mut self, tls: balcony_tls::TlsIdentity) -> Self {
        self.layer = Layer::server(tls);
        self
    }

    /// Asks for one more pair of domains; see [`S2sStream::authorize`].
    ///
    /// # Errors
    ///
    /// As for [`S2sStream::authorize`].
    pub fn authorize(&mut self, from: BareJid, to: BareJid) -> Result<(), ApiMisuse> {
        self.stream.authorize(from, to)
    }

    /// What the server has announced last; see [`S2sStream::offered`].
    #[cfg(feature = "look")]
    #[must_use]
    pub fn offered(&self) -> Option<&balcony_stream::Offered> {
        self.stream.offered()
    }

    /// The domain that the other server says it is; see [`S2sStream::claimed`].
    #[must_use]
    pub fn claimed(&self) -> Option<&BareJid> {
        self.stream.claimed()
    }

    /// Whether stanzas go both ways; see [`S2sStream::is_bidirectional`].
    #[must_use]
    pub fn is_bidirectional(&self) -> bool {
        self.stream.is_bidirectional()
    }

    /// Has the other server asked about an earlier stream; see [`S2sStream::ask_about`].
    ///
    /// # Errors
    ///
    /// As for [`S2sStream::ask_about`].
    pub fn ask_about(&mut self, id: String, counts: Counts) -> Result<(), ApiMisuse> {
        self.stream.ask_about(id, counts)
    }

    /// Whether it is still to be found out if stanzas count; see [`S2sStream::is_settling`].
    #[must_use]
    pub fn is_settling(&self) -> bool {
        self.stream.is_settling()
    }

    /// Whether stanzas that are sent count; see [`S2sStream::counts_sent`].
    #[must_use]
    pub fn counts_sent(&self) -> bool {
        self.stream.counts_sent()
    }

    /// Asks the other server what it has handled; see [`S2sStream::request_ack`].
    pub fn request_ack(&mut self, now: Instant) -> bool {
        self.stream.request_ack(now, &mut self.output)
    }

    /// Nothing of the other server's is taken for now; see [`S2sStream::unread`].
    pub fn unread(&mut self, now: Instant) {
        self.stream.unread(now, &mut self.output);
    }

    /// What both ends have counted; see [`S2sStream::counts`].
    #[must_use]
    pub fn counts(&self) -> Option<&Counts> {
        self.stream.counts()
    }

    /// By what name the stream can be asked about; see [`S2sStream::managed_id`].
    #[must_use]
    pub fn managed_id(&self) -> Option<&str> {
        self.stream.managed_id()
    }

    /// Asks about a key; see [`S2sStream::verify`].
    ///
    /// # Errors
    ///
    /// As for [`S2sStream::verify`].
    pub fn verify(&mut self, now: Instant, verification: Verification) -> Result<(), ApiMisuse> {
        self.stream.verify(now, verification)
    }
}

impl Connection<Component> {
    /// Nothing of the component's is taken for now, so it is not silent.
    pub fn unread(&mut self, now: Instant) {
        self.stream.heard(now);
    }

    /// A component on its stream to a server (XEP-0114).
    #[must_use]
    pub fn initiating(config: Arc<ComponentInitiatingConfig>, seed: Seed, now: Instant) -> Self {
        let output_limit = config.limits.output;
        Connection::begin(ComponentStream::initiating(config, seed, now), output_limit)
    }

    /// A server on the stream of a component (XEP-0114).
    #[must_use]
    pub fn receiving(config: Arc<ComponentReceivingConfig>, seed: Seed, now: Instant) -> Self {
        let output_limit = config.limits.output;
        Connection::begin(ComponentStream::receiving(config, seed, now), output_limit)
    }

    /// With TLS from the first byte, at the component's end. The server must prove that it is `domain`.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_client_tls(mut self, tls: balcony_tls::TlsTrust, domain: &str) -> Self {
        self.layer = Layer::client(tls, domain);
        self
    }

    /// With TLS from the first byte, at the server's end.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_server_tls(mut self, tls: balcony_tls::TlsIdentity) -> Self {
        self.layer = Layer::server(tls);
        self
    }
}
