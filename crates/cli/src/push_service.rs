//! `balcony push-service`: a push service (XEP-0357) that wakes no device, and prints what it is told. It attaches to a server as a component
//! (XEP-0114).

use core::time::Duration;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant as Clock;

use balcony_jid::Jid;
use balcony_machine::{Instant, Progress};
use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza};
use balcony_stream::ComponentStream;
use balcony_stream::component::{ComponentEvent, ComponentInitiatingConfig};
use balcony_xep::disco::{self, About, Identity, Info};
use balcony_xep::push::{self, Publish};
use serde::Serialize;

use crate::args::PushServiceArgs;
use crate::failure::{Failure, io};
use crate::output::{self, note, now};
use crate::password;
use crate::random::random;

/// How long the server may take to attach it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(args: PushServiceArgs) -> Result<(), Failure> {
    let domain = args.domain.0.clone();
    let secret = password::known(args.secret_file.as_deref(), domain.as_str())?;
    let address = args.connect.0;
    let lost = || io(format!("cannot connect to {address}"));
    let socket = TcpStream::connect(address).map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => Failure::new(format!(
            "cannot connect to {address}: connection refused (a server listens for components where [components.secrets] of its configuration \
             has one; --connect says where)"
        )),
        _ => lost()(error),
    })?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(lost())?;
    let config = Arc::new(ComponentInitiatingConfig::new(domain, secret));
    let begin = Clock::now();
    let now = || Instant::ZERO + begin.elapsed();
    let stream = ComponentStream::initiating(config, random()?.seed(), now());
    let left = args.count;
    Service { args, stream, socket, out: Vec::new(), left }.serve(now)
}

struct Service {
    args: PushServiceArgs,
    stream: ComponentStream,
    socket: TcpStream,
    out: Vec<u8>,
    /// How many notifications are still wanted; `None` for all.
    left: Option<u64>,
}

impl Service {
    /// Answers until the stream ends, or there was enough.
    fn serve(mut self, now: impl Fn() -> Instant) -> Result<(), Failure> {
        let mut buffer = [0; 16_384];
        let mut length = 0;
        loop {
            let mut input = &buffer[..length];
            loop {
                let progress = self.stream.advance(now(), &mut input, &mut self.out);
                self.write()?;
                match progress.map_err(ended)? {
                    Progress::Event(ComponentEvent::Attached(domain)) => {
                        self.socket.set_read_timeout(None).map_err(io("the connection is lost"))?;
                        note(&format!("the push service {domain} is attached"));
                    }
                    Progress::Event(ComponentEvent::Stanza(stanza)) => self.take(&stanza)?,
                    // The other end asks.
                    Progress::Event(ComponentEvent::Ask(..)) => {}
                    Progress::Closed => return Err(Failure::new("the server has closed the stream")),
                    Progress::NeedInput | Progress::Blocked(_) => break,
                }
                if self.left == Some(0) {
                    return self.write();
                }
            }
            length = self.socket.read(&mut buffer).map_err(io("the connection is lost"))?;
            if length == 0 {
                return Err(Failure::new("the server has closed the connection"));
            }
        }
    }

    fn write(&mut self) -> Result<(), Failure> {
        let written = self.socket.write_all(&self.out).map_err(io("the connection is lost"));
        self.out.clear();
        written
    }

    /// Prints a notification, and answers whatever is a request.
    fn take(&mut self, stanza: &Stanza) -> Result<(), Failure> {
        let content = stanza.payload.parse().ok();
        let element = content.as_ref().and_then(|content| content.root().children().next());
        let answer = match (stanza.head.kind, element) {
            (Kind::Iq(IqType::Set), Some(element)) => match Publish::read(element) {
                Some(publish) if self.takes(&publish) => {
                    self.print(stanza, &publish)?;
                    stanza.result()
                }
                Some(_) => stanza.error(&ErrorCondition::ItemNotFound.into()),
                None => stanza.error(&ErrorCondition::FeatureNotImplemented.into()),
            },
            (Kind::Iq(IqType::Get), Some(element)) => match disco::Query::read(element) {
                Some(query) if query.about == About::Info && query.node.is_none() => {
                    stanza.result().map(|result| result.with_payload(about().to_element().into()))
                }
                _ => stanza.error(&ErrorCondition::ServiceUnavailable.into()),
            },
            _ => None,
        };
        if let Some(answer) = answer {
            self.stream.send(&answer, &mut self.out).map_err(|error| Failure::new(error.to_string()))?;
        }
        Ok(())
    }

    /// Whether there is a node of this name. Without `--node` there is any.
    fn takes(&self, publish: &Publish<'_>) -> bool {
        let nodes = &self.args.node;
        nodes.is_empty() || publish.node.as_ref().is_some_and(|node| nodes.iter().any(|one| *one == **node))
    }

    fn print(&mut self, stanza: &Stanza, publish: &Publish<'_>) -> Result<(), Failure> {
        self.left = self.left.map(|left| left.saturating_sub(1));
        let summary = publish.notification.summary.as_ref();
        output::print(&output::json(&Told {
            time: now(),
            from: stanza.head.from.as_ref().map_or("", Jid::as_str),
            node: publish.node.as_deref(),
            messages: summary.and_then(|summary| summary.messages),
            sender: summary.and_then(|summary| summary.sender.as_ref()).map(Jid::as_str),
            body: summary.and_then(|summary| summary.body.as_deref()),
        })?)
    }
}

fn ended(error: balcony_stream::Error) -> Failure {
    Failure::new(format!("the server has ended the stream: {error}"))
}

/// A notification, as it is printed.
#[derive(Serialize)]
struct Told<'a> {
    /// Seconds since the start of 1970 (UTC).
    time: u64,
    from: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
}

/// XEP-0357 section 4.2.
fn about() -> Info<'static> {
    let (category, kind) = push::IDENTITY;
    Info {
        node: None,
        identities: vec![Identity { name: Some("Balcony".into()), ..Identity::new(category, kind) }],
        features: vec![disco::INFO.into(), push::NS.into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // XEP-0357 §4.2 [PN15]
    #[test]
    fn it_says_what_it_is() {
        let about = about();
        let [identity] = &about.identities[..] else { panic!("{about:?}") };
        assert_eq!((&*identity.category, &*identity.kind), ("pubsub", "push"));
        assert!(about.features.contains(&"urn:xmpp:push:0".into()));
    }
}
