//! Clients for the other tests, on `balcony-client`, that send requests for which the program has no command.

use std::sync::Mutex;
use std::time::Duration;

use balcony_client::{ClientConfig, Endpoint, RequestKind, RequestOutcome};
use balcony_machine::Secret;
use balcony_stanza::{Payload, Stanza};
use balcony_xml::{Element, Name};
use tokio::runtime::Runtime;

use crate::hostile::{HEADER, Raw};
use crate::world::{Server, World};

/// A client that is online.
pub struct Talk {
    runtime: Runtime,
    client: Mutex<balcony_tokio::ConnectedClient>,
}

impl Talk {
    pub fn with(world: &World, server: &Server, account: &str, password: &str) -> Result<Talk, String> {
        let pem = std::fs::read(world.path("balcony-data/ca.pem")).unwrap();
        let trust = balcony_tls::TlsTrust::builder().roots_pem(&pem).unwrap().build().unwrap();
        let config =
            ClientConfig::new(account.parse().unwrap(), Secret::new(password.into())).with_tls(trust);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let endpoint = Endpoint::parse(&server.address, false).unwrap();
        let client = runtime.block_on(balcony_tokio::ConnectedClient::connect(config, endpoint));
        Ok(Talk { client: Mutex::new(client.map_err(|error| error.to_string())?), runtime })
    }

    /// Asks the own account; what it refuses comes as text.
    pub fn request(&self, payload: Payload) -> Result<Stanza, String> {
        self.ask(RequestKind::Get, payload)
    }

    pub fn set(&self, payload: Payload) -> Result<Stanza, String> {
        self.ask(RequestKind::Set, payload)
    }

    fn ask(&self, kind: RequestKind, payload: Payload) -> Result<Stanza, String> {
        let mut client = self.client.lock().unwrap();
        let outcome = client.request(kind, None, payload, Duration::from_secs(30));
        match self.runtime.block_on(outcome) {
            Ok(RequestOutcome::Result(stanza)) => Ok(stanza),
            Ok(RequestOutcome::Error(error)) => Err(error.to_string()),
            other => Err(format!("{other:?}")),
        }
    }

    /// Why the stream has ended.
    pub fn end(&self) -> String {
        let mut client = self.client.lock().unwrap();
        self.runtime.block_on(async {
            loop {
                match client.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return "closed".into(),
                    Err(error) => return error.to_string(),
                }
            }
        })
    }
}

/// An empty `<query/>`.
pub fn query(namespace: &str) -> Payload {
    Element::new(Name::from_static("query"), namespace).into()
}

/// Whether strangers may register, at a server that tells so in the clear.
pub fn offers_registration(server: &Server) -> bool {
    let mut raw = Raw::connect(server);
    raw.write(HEADER.as_bytes());
    raw.until("</stream:features>").contains("http://jabber.org/features/iq-register")
}
