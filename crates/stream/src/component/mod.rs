//! The role of an external component on its stream, and of its server (XEP-0114): a service with a domain of its own, which it shows to be its own by a secret
//! that it shares with the server.
//!
//! There is neither TLS nor SASL in the protocol, and no features. Put it on a loopback interface, or on TLS from the first
//! byte. Unlike a stream between servers it carries stanzas both ways.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::{ApiMisuse, Instant, Secret, Seed};
use balcony_stanza::Stanza;
use sha1::{Digest as _, Sha1};

use crate::common::Common;
use crate::error::Error;
use crate::framing::Framing;
use crate::hex::hex;
use crate::security::TlsPolicy;
use crate::side::{Sealed, Side, Silence, Sorted};
use crate::state::Role;
use crate::stream::Stream;

mod config;
mod event;
mod initiating;
mod receiving;

pub use config::{ComponentInitiatingConfig, ComponentReceivingConfig};
pub use event::{ComponentAnswer, ComponentAsk, ComponentEvent};
use initiating::Initiator;
use receiving::Receiver;

/// The role of a component, and of its server.
pub struct Component(End);

enum End {
    Initiating(Initiator),
    Receiving(Receiver),
}

/// A component's stream, seen from either of its ends. To what every [`Stream`] has it adds nothing but its events:
///
/// 1. **What has happened**: bytes, the time, and at the server the answer to [`ComponentAsk::Attach`].
/// 2. **What the owner wants**: [`send`](Stream::send), once it [is open](Stream::is_open); [`close`](Stream::close).
/// 3. **What comes of it**: [`ComponentEvent`]s: at the server `Ask`, at both ends `Attached`, then stanzas.
/// 4. **Looking**: [`is_open`](Stream::is_open), [`deadline`](Stream::deadline).
///
/// The whole loop of a component, with what its server says in the place of a socket:
///
/// ```
/// use std::sync::Arc;
/// use balcony_machine::{Instant, Progress, Secret, Seed};
/// use balcony_stanza::{ErrorCondition, IqType, Kind, MessageType, Stanza};
/// use balcony_stream::ComponentStream;
/// use balcony_stream::component::{ComponentEvent, ComponentInitiatingConfig};
///
/// # let header = "<stream:stream from='echo.example.com' id='3BF96D32' xmlns='jabber:component:accept' \
/// #               xmlns:stream='http://etherx.jabber.org/streams'>";
/// # let message = "<message from='juliet@example.com/balcony' to='echo.example.com'/>";
/// # let from_server = [header, "<handshake/>", message, "</stream:stream>"];
/// let config = ComponentInitiatingConfig::new("echo.example.com".parse()?, Secret::new("secret".into()));
/// let (now, mut out) = (Instant::ZERO, Vec::new());
/// let mut stream = ComponentStream::initiating(Arc::new(config), Seed::from_u64(1), now);
/// // The component speaks first: `advance` is called before anything has come.
/// for bytes in [""].into_iter().chain(from_server) {
///     let mut input = bytes.as_bytes();
///     loop {
///         match stream.advance(now, &mut input, &mut out)? {
///             Progress::Event(ComponentEvent::Stanza(stanza)) => {
///                 let reply = match stanza.head.kind {
///                     Kind::Message(kind) if kind != MessageType::Error => {
///                         let mut reply = Stanza::message(MessageType::Chat);
///                         (reply.head.from, reply.head.to) = (stanza.head.to, stanza.head.from);
///                         Some(reply)
///                     }
///                     // Each request has an answer (RFC 6120 section 8.2.3), and nothing else wants one.
///                     Kind::Iq(IqType::Get | IqType::Set) => stanza.error(&ErrorCondition::ServiceUnavailable.into()),
///                     _ => None,
///                 };
///                 reply.iter().try_for_each(|reply| stream.send(reply, &mut out))?;
///             }
///             Progress::Event(_) => {}
///             Progress::NeedInput | Progress::Blocked(_) | Progress::Closed => break,
///         }
///     }
///     // Here the bytes are written.
/// }
/// assert!(String::from_utf8(out)?.contains("to='juliet@example.com/balcony'"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// There is no STARTTLS, and whoever waits for it finds out soon:
///
/// ```compile_fail,E0599
/// use balcony_stream::component::ComponentEvent;
///
/// fn starts_tls(event: &ComponentEvent) -> bool {
///     matches!(event, ComponentEvent::StartTls)
/// }
/// ```
pub type ComponentStream = Stream<Component>;

impl Stream<Component> {
    /// The end of the component, which opens the stream.
    #[must_use]
    pub fn initiating(config: Arc<ComponentInitiatingConfig>, seed: Seed, now: Instant) -> Self {
        let bounds = Arc::<ComponentInitiatingConfig>::clone(&config);
        let common =
            Common::new(Role::Component, tls(config.direct_tls), Framing::Document, bounds, &seed, now);
        Stream::begin(common, Component(End::Initiating(Initiator::new(config))))
    }

    /// The end of its server.
    #[must_use]
    pub fn receiving(config: Arc<ComponentReceivingConfig>, seed: Seed, now: Instant) -> Self {
        let bounds = Arc::<ComponentReceivingConfig>::clone(&config);
        let common =
            Common::new(Role::Component, tls(config.direct_tls), Framing::Document, bounds, &seed, now);
        Stream::begin(common, Component(End::Receiving(Receiver::new(config))))
    }
}

/// XEP-0114 knows no STARTTLS.
const fn tls(direct: bool) -> TlsPolicy {
    if direct { TlsPolicy::Direct } else { TlsPolicy::None }
}

impl Sealed for Component {}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it holds is secret, or said by the stream.
        f.debug_struct("Component").finish_non_exhaustive()
    }
}

impl Side for Component {
    const ROLE: Role = Role::Component;

    type Event = ComponentEvent;
    type Ask = ComponentAsk;
    type Answer = ComponentAnswer;

    fn sort(event: ComponentEvent) -> Sorted<Self> {
        match event {
            ComponentEvent::Ask(ticket, ask) => Sorted::Ask(ticket, ask),
            ComponentEvent::Stanza(stanza) => Sorted::Stanza(stanza),
            event => Sorted::Other(event),
        }
    }

    fn starts_tls(_event: &ComponentEvent) -> bool {
        false
    }

    fn unavailable() -> ComponentAnswer {
        ComponentAnswer::Unavailable
    }

    fn open(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        match &mut self.0 {
            End::Initiating(end) => end.open(common, out),
            End::Receiving(_) => {}
        }
    }

    fn force_header(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        match &mut self.0 {
            End::Initiating(end) => end.open(common, out),
            End::Receiving(end) => end.force_header(common, out),
        }
    }

    fn header(
        &mut self,
        common: &mut Common,
        _now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ComponentEvent>, Error> {
        match &mut self.0 {
            End::Initiating(end) => end.header(common, out),
            End::Receiving(end) => end.header(common, out),
        }
        .map(|()| None)
    }

    fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ComponentEvent>, Error> {
        match &mut self.0 {
            End::Initiating(end) => end.element(common, now, out),
            End::Receiving(end) => end.element(common, now, out),
        }
    }

    fn answered(
        &mut self,
        common: &mut Common,
        now: Instant,
        answer: ComponentAnswer,
        out: &mut Vec<u8>,
    ) -> Result<Option<ComponentEvent>, Error> {
        match &mut self.0 {
            // It has asked nothing.
            End::Initiating(_) => Ok(None),
            End::Receiving(end) => end.answered(common, now, &answer, out).map(Some),
        }
    }

    fn silence(&self) -> Silence {
        match &self.0 {
            // Nobody at this end has an address of the server to ask; and a server that is gone without a word asks nothing either.
            End::Initiating(_) => Silence::Space,
            End::Receiving(end) => end.silence(),
        }
    }

    fn may_send(&self, stanza: &Stanza) -> Result<(), ApiMisuse> {
        match &self.0 {
            End::Initiating(end) => end.may_send(stanza),
            End::Receiving(end) => end.may_send(stanza),
        }
    }
}

/// What shows that the component knows the secret: the digest of the stream's id and the secret (XEP-0114 section 3).
fn handshake(id: &str, secret: &Secret<String>) -> String {
    hex(&Sha1::new().chain_update(id).chain_update(secret.expose()).finalize())
}
