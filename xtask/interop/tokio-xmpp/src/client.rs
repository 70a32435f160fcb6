//! A client that keeps the bodies of the messages that it gets.

use std::env;

use futures::StreamExt;
use sasl::common::Credentials;
use tokio_xmpp::connect::{DirectTlsServerConnector, DnsConfig, ServerConnector, StartTlsServerConnector};
use tokio_xmpp::error::Error;
use tokio_xmpp::jid::Jid;
use tokio_xmpp::minidom::Element;
use tokio_xmpp::parsers::iq::Iq;
use tokio_xmpp::parsers::message::{Lang, Message, MessageType};
use tokio_xmpp::parsers::presence::{Presence, Type};
use tokio_xmpp::parsers::{ns, ping};
use tokio_xmpp::stanzastream::{Event, StanzaStream, StreamEvent};
use tokio_xmpp::xmlstream::Timeouts;
use tokio_xmpp::{Stanza, client_login};

use crate::Result;

/// Where the server is and how to log in.
#[derive(Clone)]
pub struct Settings {
    pub address: String,
    pub direct: String,
    pub domain: String,
    pub password: String,
}

impl Settings {
    pub fn from_environment() -> Result<Self> {
        Ok(Settings {
            domain: env::var("INTEROP_DOMAIN")?,
            address: env::var("INTEROP_ADDRESS")?,
            direct: env::var("INTEROP_DIRECT")?,
            password: env::var("INTEROP_PASSWORD")?,
        })
    }

    pub fn connector(&self) -> StartTlsServerConnector {
        StartTlsServerConnector(DnsConfig::addr(&self.address))
    }
}

pub struct Client {
    stream: StanzaStream,
    domain: Jid,
    requests: u32,
    pub bodies: Vec<String>,
}

impl Client {
    /// Logs in and binds the resource.
    pub async fn open(settings: &Settings, user: &str, resource: &str) -> Result<Self> {
        let jid = Jid::new(&format!("{user}@{}/{resource}", settings.domain))?;
        let mut stream = StanzaStream::new_c2s(
            settings.connector(),
            jid.clone(),
            settings.password.clone(),
            Timeouts::default(),
            16,
        );
        match stream.next().await {
            Some(Event::Stream(StreamEvent::Reset { bound_jid, .. })) if bound_jid == jid => {}
            other => return Err(format!("instead of being bound: {other:?}").into()),
        }
        Ok(Client { stream, domain: Jid::new(&settings.domain)?, requests: 0, bodies: Vec::new() })
    }

    pub async fn available(&mut self, priority: i8) -> Result<()> {
        self.send(Presence::new(Type::None).with_priority(priority).into()).await
    }

    pub async fn message(&mut self, to: &str, kind: MessageType, body: &str) -> Result<()> {
        let message = Message::new_with_type(kind, Some(Jid::new(to)?)).with_body(Lang::new(), body.into());
        self.send(message.into()).await
    }

    /// Asks the server something; what else comes in before its answer is kept.
    pub async fn request(&mut self, payload: Element) -> Result<Iq> {
        self.requests += 1;
        let id = format!("request-{}", self.requests);
        let to = Some(self.domain.clone());
        self.send(Iq::Get { from: None, to, id: id.clone(), payload }.into()).await?;
        loop {
            match self.stream.next().await {
                Some(Event::Stanza(Stanza::Iq(answer))) if *answer.id() == *id => return Ok(answer),
                Some(Event::Stanza(Stanza::Message(message))) => {
                    self.bodies.extend(message.bodies.into_values())
                }
                Some(Event::Stanza(_)) => {}
                other => return Err(format!("instead of an answer: {other:?}").into()),
            }
        }
    }

    /// Waits until the server has done what this client has asked for, and this client has what was on its way.
    pub async fn settle(&mut self) -> Result<()> {
        self.request(ping::Ping.into()).await.map(drop)
    }

    /// Closes the stream and waits for the server to close its own.
    pub async fn close(self) -> Result<()> {
        self.stream.close().await;
        Ok(())
    }

    async fn send(&mut self, stanza: Stanza) -> Result<()> {
        self.stream.send(Box::new(stanza)).await;
        Ok(())
    }
}

/// The way in that begins with TLS.
pub fn direct(settings: &Settings) -> DirectTlsServerConnector {
    DirectTlsServerConnector(DnsConfig::addr(&settings.direct))
}

/// Logs in without binding anything. A `StanzaStream` hides failures and tries again for ever; this tells them.
pub async fn log_in<C: ServerConnector>(
    connector: C,
    settings: &Settings,
    user: &str,
) -> core::result::Result<(), Error> {
    let jid = Jid::new(&format!("{user}@{}", settings.domain))?;
    let (stream, binding) = connector.connect(&jid, ns::JABBER_CLIENT, Timeouts::default()).await?;
    let (features, stream) = stream.recv_features().await?;
    let credentials = Credentials::default()
        .with_username(user)
        .with_password(settings.password.clone())
        .with_channel_binding(binding);
    client_login(stream, features.sasl_mechanisms, credentials).await.map(drop)
}
