//! tokio-xmpp as the scenario "people" needs it.

use std::collections::VecDeque;

use futures::StreamExt;
use minidom::Element;
use tokio_xmpp::Stanza;
use tokio_xmpp::jid::Jid;
use tokio_xmpp::stanzastream::{Event, StanzaStream, StreamEvent};
use tokio_xmpp::xmlstream::Timeouts;

use crate::client::{Settings, log_in};
use crate::people::{self, Request, Result, condition};

const CLIENT: &str = "jabber:client";

pub struct Link {
    stream: StanzaStream,
    requests: u32,
    /// What came before the answer to a request.
    kept: VecDeque<Element>,
}

impl people::Link for Link {
    async fn open(account: &str, resource: &str) -> Result<Self> {
        let settings = Settings::from_environment()?;
        let user = account.split('@').next().unwrap_or_default();
        // The stream hides that it can't log in.
        log_in(settings.connector(), &settings, user).await?;
        let jid = Jid::new(&format!("{account}/{resource}"))?;
        let (connector, password) = (settings.connector(), settings.password.clone());
        let mut stream = StanzaStream::new_c2s(connector, jid.clone(), password, Timeouts::default(), 16);
        match stream.next().await {
            Some(Event::Stream(StreamEvent::Reset { bound_jid, .. })) if bound_jid == jid => {}
            other => return Err(format!("instead of being bound: {other:?}").into()),
        }
        Ok(Link { stream, requests: 0, kept: VecDeque::new() })
    }

    async fn send(&mut self, stanza: &str) -> Result<()> {
        self.stream.send(Box::new(xso::from_bytes::<Stanza>(stanza.as_bytes())?)).await;
        Ok(())
    }

    fn offers_preapproval(&self) -> Option<bool> {
        None
    }

    async fn next(&mut self) -> Result<Element> {
        match self.kept.pop_front() {
            Some(stanza) => Ok(stanza),
            None => self.receive().await,
        }
    }

    async fn request(
        &mut self,
        kind: Request,
        to: Option<&str>,
        payload: &str,
    ) -> Result<core::result::Result<Element, String>> {
        self.requests += 1;
        let id = format!("request-{}", self.requests);
        let kind = if kind == Request::Get { "get" } else { "set" };
        let to = to.map(|to| format!("to='{to}'")).unwrap_or_default();
        self.send(&format!("<iq xmlns='jabber:client' type='{kind}' id='{id}' {to}>{payload}</iq>")).await?;
        loop {
            let stanza = self.receive().await?;
            match stanza.attr("type") {
                Some("result") if stanza.attr("id") == Some(&id) => return Ok(Ok(stanza)),
                Some("error") if stanza.attr("id") == Some(&id) => return Ok(Err(condition(&stanza))),
                _ => self.kept.push_back(stanza),
            }
        }
    }

    async fn close(self) -> Result<()> {
        self.stream.close().await;
        Ok(())
    }

    async fn lose(self) -> Result<bool> {
        self.stream.close().await;
        Ok(false)
    }
}

impl Link {
    async fn receive(&mut self) -> Result<Element> {
        match self.stream.next().await {
            Some(Event::Stanza(stanza)) => {
                let stanza = xso::transform(&stanza)?;
                if let Some(answer) = pushed(&stanza) {
                    people::Link::send(self, &answer).await?;
                }
                Ok(stanza)
            }
            other => Err(format!("instead of a stanza: {other:?}").into()),
        }
    }
}

/// The result that answers a push; nothing if it is none.
fn pushed(stanza: &Element) -> Option<String> {
    let id = stanza.attr("id").filter(|_| stanza.is("iq", CLIENT) && stanza.attr("type") == Some("set"))?;
    Some(format!("<iq xmlns='{CLIENT}' type='result' id='{id}'/>"))
}
