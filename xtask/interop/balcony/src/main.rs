//! The scenarios "people", "resume" and "inactive" of `cargo xtask interop`, spoken by Balcony's own client on tokio, and a client of
//! `cargo xtask survive`.
//!
//! Started with the name of one, INTEROP_ADDRESS, _DOMAIN, _ROMEO, _JULIET and _PASSWORD in the environment, and with SSL_CERT_FILE. What it sends and gets goes to the
//! standard error.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the bans are for protocol crates")]
#![allow(clippy::std_instead_of_core, reason = "the scenario is compiled with tokio-xmpp, too")]

mod inactive;
#[path = "../../people.rs"]
mod people;
mod resume;
mod survive;

use core::time::Duration;
use std::env;

use balcony_jid::Jid;
use balcony_machine::Secret;
use balcony_stanza::{Payload, Stanza, ns};
use balcony_tls::TlsTrust;
use balcony_tokio::{ClientConfig, ConnectedClient, Endpoint, MachineEvent, RequestKind, RequestOutcome};
use minidom::Element;
use people::{Link, Request, Result};

const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        Some("resume") => resume::run().await,
        Some("inactive") => inactive::run().await,
        Some("survive") => survive::run().await,
        _ => people::run::<ConnectedClient>().await,
    }
}

impl Link for ConnectedClient {
    async fn open(account: &str, resource: &str) -> Result<Self> {
        let mut config = config(account, resource)?;
        config.take_requests = true;
        let address = env::var("INTEROP_ADDRESS")?;
        let endpoint = Endpoint::parse(&address, false).ok_or("INTEROP_ADDRESS is no address")?;
        Ok(ConnectedClient::connect(config, endpoint).await?)
    }

    async fn send(&mut self, stanza: &str) -> Result<()> {
        Ok(ConnectedClient::send(self, &parse(stanza)?).await?)
    }

    fn offers_preapproval(&self) -> Option<bool> {
        Some(self.machine().features().pre_approval)
    }

    async fn next(&mut self) -> Result<Element> {
        loop {
            match ConnectedClient::next(self).await? {
                Some(MachineEvent::Stanza(stanza)) => return element(&stanza),
                Some(_) => {}
                None => return Err("the server has closed the stream".into()),
            }
        }
    }

    async fn request(
        &mut self,
        kind: Request,
        to: Option<&str>,
        payload: &str,
    ) -> Result<core::result::Result<Element, String>> {
        let kind = match kind {
            Request::Get => RequestKind::Get,
            Request::Set => RequestKind::Set,
        };
        let to = to.map(str::parse::<Jid>).transpose()?;
        let payload: Payload = parse(&format!("<message>{payload}</message>"))?.payload;
        match ConnectedClient::request(self, kind, to, payload, PATIENCE).await? {
            RequestOutcome::Result(stanza) => Ok(Ok(element(&stanza)?)),
            RequestOutcome::Error(error) => Ok(Err(error.condition.to_string())),
            RequestOutcome::TimedOut | RequestOutcome::Lost => Err("a request was not answered".into()),
        }
    }

    async fn close(self) -> Result<()> {
        Ok(ConnectedClient::close(self).await?)
    }

    async fn lose(self) -> Result<bool> {
        Ok(true)
    }
}

fn config(account: &str, resource: &str) -> Result<ClientConfig> {
    let roots = std::fs::read(env::var("SSL_CERT_FILE")?)?;
    let trust = TlsTrust::builder().roots_pem(&roots)?.build()?;
    let password = Secret::new(env::var("INTEROP_PASSWORD")?);
    let mut config = ClientConfig::new(account.parse()?, password).with_tls(trust);
    config.stream.resource = Some(resource.into());
    Ok(config)
}

fn parse(stanza: &str) -> Result<Stanza> {
    eprintln!("C: {stanza}");
    Stanza::parse(stanza.as_bytes()).ok_or_else(|| format!("not a stanza: {stanza}").into())
}

fn element(stanza: &Stanza) -> Result<Element> {
    let mut xml = Vec::new();
    stanza.write_document(ns::CLIENT, &mut xml);
    eprintln!("S: {}", String::from_utf8_lossy(&xml));
    Ok(Element::from_reader(&*xml)?)
}
