//! All streams to and from other servers, as one value without IO (RFC 6120 sections 4.5, 8.1 and 10.4, XEP-0178, XEP-0220).
//!
//! A [`Federation`] takes the stanzas that go to other domains, finds a stream for each pair of domains, or has one opened, and gives
//! to the router what others send. It opens no socket and asks no DNS: it says what it wants as [`FederationEvent`]s, and is told what
//! has come of it.
//!
//! # What it keeps to
//!
//! - Stanzas go from one domain to another on one stream at a time, so those of one sender to one recipient keep their order. A stream
//!   that is over gives way to the next one only when it is certain what it has written.
//! - What the other server has acknowledged is not sent again (XEP-0198). What it has not when a stream ends goes over the next one, in
//!   its order, as soon as it is known what of it has arrived.
//! - Where the other server does not count, nothing is sent twice. What the owner says to be [written](Federation::written) is gone; what
//!   was not wholly written when the transport broke has not arrived, as it was less than one record of TLS, or one stanza, and goes over
//!   the next stream.
//! - What can't be sent comes back as [`FederationEvent::Return`], once, with the condition that RFC 6120 section 10.4 and XEP-0220 name:
//!   `remote-server-not-found` if there is no such domain, `remote-server-timeout` if it does not answer, `internal-server-error` if it is
//!   there and no stream comes about; `not-allowed` if we don't talk to it, `resource-constraint` if too much waits.
//! - A domain that could not be reached is left alone for a while. If it may be there in a moment, what goes there waits and is tried
//!   again, but for requests, until its patience is over; otherwise, or if the domain has been away for longer, it comes back at once.
//! - Nobody can send in the name of a domain that they have not proven, neither by certificate nor by dialback, nor in the name of a
//!   domain of ours.
//!
//! # The way of a stanza
//!
//! ```text
//! send ─▶ queue of its pair ── no stream ─▶ Resolve ─ resolved ─▶ Connect ─ connected ─▶ negotiation ─▶ authorised
//!               │                                                                                            │
//!               └───────────────── Write ─ take_output ─ written ◀───────────────────────────────────────────┘
//! ```

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;

use balcony_connection::S2sConnection;
use balcony_connection::srv::{self, Record, Signed, Target};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Random, Seed};
use balcony_stanza::{
    ErrorCondition, IqType, Kind, MessageType, PresenceType, Stanza, StreamCondition, StreamError,
};
use balcony_stream::s2s::S2sReceivingConfig;
use hashbrown::HashMap;

mod attempts;
mod bounds;
mod config;
mod drive;
mod event;
mod find;
mod incoming;
mod keys;
mod link;
mod managed;
mod origin;
mod outgoing;
mod peer;
mod queue;
mod reach;
mod table;
mod unheard;
mod vouching;
mod words;

pub(crate) use bounds::{Bounds, Payer, Room};
#[cfg(feature = "tls")]
pub use config::FederationTls;
pub use config::{FederationConfig, FederationLimits};
pub use event::{FederationEvent, StreamId, Unreachable};
pub(crate) use queue::{Item, Queue};
pub use reach::Reach;

use attempts::Attempts;
use keys::KeysOf;
use link::{Incoming, Link, Places, Stage, Stream, Way};
use managed::EarlierStreams;
use origin::Origin;
use peer::{Finding, Peer};
use table::{Opened, Table};
use vouching::AskedAbout;

use crate::deadlines::Deadlines;
use crate::journal::{Level, one_line};
use crate::slots::Slots;

/// Places that are tried for a domain. Its DNS may name any number of them, and other people's machines among them.
const MOST_PLACES: usize = 8;

/// All streams to and from other servers. See the [module](self) for what it keeps to.
///
/// 1. **What has happened goes in**: a server has connected, [`accept`](Federation::accept), or we have, [`connected`](Federation::connected)
///    or [`unreachable`](Federation::unreachable); what the DNS says, [`resolved`](Federation::resolved); [`receive`](Federation::receive)
///    the bytes of a stream, [`eof`](Federation::eof), [`broken`](Federation::broken), and [`written`](Federation::written) when what was taken
///    to be written has been; [`tick`](Federation::tick) at the [`deadline`](Federation::deadline).
/// 2. **What the owner wants**: [`send`](Federation::send) and [`answer`](Federation::answer), [`configure`](Federation::configure),
///    [`shutdown`](Federation::shutdown) and then [`close`](Federation::close).
/// 3. **What comes of it**: [`next`](Federation::next) after each of these, until it says nothing more; the bytes of a stream are had from
///    [`take_output`](Federation::take_output).
/// 4. **Looking**: [`streams`](Federation::streams), [`waiting_bytes`](Federation::waiting_bytes), [`knows`](Federation::knows),
///    [`is_connecting`](Federation::is_connecting).
///
/// The whole loop, in a world where no other server is; [`Server`](crate::Server) has one with sockets:
///
/// ```
/// use balcony_machine::{Instant, Seed};
/// use balcony_server::federation::{Federation, FederationConfig, FederationEvent, Unreachable};
/// use balcony_stanza::Stanza;
///
/// let config = FederationConfig::new(vec!["example.com".parse()?]);
/// let (mut federation, mut now) = (Federation::new(config, &Seed::from_u64(1)), Instant::ZERO);
/// let hello = "<message from='juliet@example.com' to='romeo@example.net'><body>Ay me!</body></message>";
/// federation.send(now, Stanza::parse(hello.as_bytes()).ok_or("no stanza")?, true);
/// let (mut bytes, mut returned) = (Vec::new(), None);
/// while returned.is_none() {
///     while let Some(event) = federation.next() {
///         match event {
///             // An SRV record is looked up. There is none: it is at the domain itself.
///             FederationEvent::Resolve(domain, _) => federation.resolved(now, &domain, Ok(Vec::new())),
///             FederationEvent::Connect(id, targets, _) => {
///                 assert_eq!((targets[0].host.as_str(), targets[0].port), ("example.net", 5269));
///                 let nowhere = Unreachable { is_unknown: true, reason: "it has no address".into() };
///                 federation.unreachable(now, id, &nowhere);
///             }
///             FederationEvent::Write(id) => {
///                 federation.take_output(id, &mut bytes); // to its socket
///                 federation.written(now, id);
///             }
///             FederationEvent::Read(_) | FederationEvent::Close(_) => {} // of its socket
///             // For the router, or the log.
///             FederationEvent::Return { condition, .. } => returned = Some(condition),
///             FederationEvent::Deliver(stanza) => println!("{stanza:?}"),
///             FederationEvent::Heard { .. } | FederationEvent::Reached(_) => {}
///             FederationEvent::Log(level, line) => println!("{level:?}: {line}"),
///         }
///     }
///     // A program sleeps until then, or until something comes.
///     now = federation.deadline().unwrap_or(now);
///     federation.tick(now);
/// }
/// assert_eq!(returned, Some(balcony_stanza::ErrorCondition::RemoteServerNotFound));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Federation {
    config: FederationConfig,
    /// What streams are made of that others open: those that begin in the clear, and those that begin with TLS.
    clear: Arc<S2sReceivingConfig>,
    direct: Arc<S2sReceivingConfig>,
    links: Slots<StreamId, Link>,
    /// Those of them that we have opened.
    opened: Opened,
    /// The domains that are known. It is looked through in no order that matters.
    peers: HashMap<BareJid, Peer>,
    /// The domains that are being looked for or connected to, and those that wait for their turn.
    attempts: Attempts,
    /// The domains that are not read from, since what they have sent has no room.
    held: BTreeSet<BareJid>,
    bounds: Bounds,
    /// How much of the table of domains is whose, and when there was room last.
    table: Table,
    /// The keys that others have shown and that are being asked about.
    keys: KeysOf,
    /// Streams of others whose certificates somebody is asked about.
    vouching: AskedAbout,
    /// Streams that are over and can be asked about.
    earlier: EarlierStreams,
    deadlines: Deadlines<Due>,
    random: Random,
    /// Streams that can go on. Empty between calls.
    ready: Vec<StreamId>,
    events: VecDeque<FederationEvent>,
    closing: Closing,
    /// The time of the last call that said it.
    clock: Instant,
}

/// How far shutting down has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// Nothing comes in any more.
    Incoming,
    /// Nothing more goes out, either, but what waits for a stream that is open.
    All,
}

/// What a deadline is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Link(StreamId),
    Peer(BareJid),
}

impl Federation {
    /// Without streams.
    #[must_use]
    pub fn new(config: FederationConfig, seed: &Seed) -> Self {
        Federation {
            clear: config.receiving(false),
            direct: config.receiving(true),
            config,
            links: Slots::new(),
            opened: Opened::default(),
            peers: HashMap::new(),
            attempts: Attempts::default(),
            held: BTreeSet::new(),
            bounds: Bounds::default(),
            table: Table::default(),
            keys: KeysOf::default(),
            vouching: AskedAbout::default(),
            earlier: EarlierStreams::default(),
            deadlines: Deadlines::new(),
            random: seed.random(),
            ready: Vec::new(),
            events: VecDeque::new(),
            closing: Closing::No,
            clock: Instant::ZERO,
        }
    }

    /// The next thing to do. Call it until there is none, after every other call.
    #[expect(clippy::should_implement_trait, reason = "there is more after each call")]
    pub fn next(&mut self) -> Option<FederationEvent> {
        self.events.pop_front()
    }

    /// Takes a stanza from one of our domains to another one. `is_told` is whether its sender hears if it does not get there. A
    /// stanza that lacks an address, or whose addresses are not so, has no effect.
    ///
    /// Its sender pays for it while it waits, or, if it is a result or an error, the domain that has asked for it.
    pub fn send(&mut self, now: Instant, stanza: Stanza, is_told: bool) {
        let is_answer = matches!(
            stanza.head.kind,
            Kind::Message(MessageType::Error)
                | Kind::Presence(PresenceType::Error)
                | Kind::Iq(IqType::Result | IqType::Error)
        );
        self.send_for(now, stanza, is_told, is_answer);
        self.finish(now);
    }

    /// Takes what the server says to another domain to answer what that has sent. Nobody hears if it does not get there. The domain
    /// pays for it while it waits.
    pub fn answer(&mut self, now: Instant, stanza: Stanza) {
        self.send_for(now, stanza, false, true);
        self.finish(now);
    }

    fn send_for(&mut self, now: Instant, stanza: Stanza, is_told: bool, is_answer: bool) {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return };
        let (ours, theirs) = (from.domainpart(), to.domainpart());
        if !self.config.is_local(ours) || self.config.is_local(theirs) {
            return;
        }
        let payer = match find::domain(to).filter(|_| is_answer) {
            Some(domain) => Payer::Domain(domain),
            None => Payer::Sender(from.to_bare()),
        };
        let item = Item::new(stanza, is_told, payer);
        if let Err((item, condition)) = self.accept_item(now, item) {
            self.give_back(item, condition);
        }
    }

    /// Takes in a stream that another server has opened, from `address`, as the log is to name it. Read from it; that is not said
    /// again.
    pub fn accept(&mut self, now: Instant, direct_tls: bool, address: String) -> StreamId {
        let config = if direct_tls { &self.direct } else { &self.clear };
        let connection = S2sConnection::receiving(Arc::clone(config), self.random.seed(), now);
        #[cfg(feature = "tls")]
        let connection = match &self.config.certificate {
            Some(tls) => connection.with_server_tls(tls.accepts.clone()),
            None => connection,
        };
        let stage = Stage::Connected(Box::new(Stream::new(connection)));
        let id = self.links.insert(|id| {
            let origin = Origin::of(id, &address);
            let way =
                Way::In(Incoming { origin, address, domains: Vec::new(), vouched: "", back: Vec::new() });
            Link::new(way, stage, now)
        });
        self.ready.push(id);
        self.finish(now);
        id
    }

    /// The DNS has answered [`FederationEvent::Resolve`]: these records, none if there are none, or why it does not answer, in words.
    pub fn resolved(&mut self, now: Instant, domain: &BareJid, records: Result<Vec<Record>, String>) {
        self.vouched(now, domain, records.as_deref().unwrap_or_default());
        let is_asked = |peer: &Peer| matches!(peer.finding, Finding::Resolving(_));
        if !self.peers.get(domain).is_some_and(is_asked) {
            return self.finish(now);
        }
        match records {
            Ok(records) => {
                let service = srv::Service::Server;
                let mut targets = srv::targets(domain.domainpart(), service, records, &mut self.random);
                targets.truncate(MOST_PLACES);
                let unknown: Vec<Target> = targets
                    .extract_if(.., |target| matches!(target.signed, Signed::Unknown(_)))
                    .inspect(|target| self.log_unknown(domain, target))
                    .collect();
                if targets.is_empty() && !unknown.is_empty() {
                    let reason = "the DNS does not say in a way that can be checked which certificates its servers have";
                    self.fail(now, domain, ErrorCondition::RemoteServerTimeout, true, reason);
                } else if targets.is_empty() {
                    let reason = "its DNS says that it has no service for other servers";
                    self.fail(now, domain, ErrorCondition::RemoteServerNotFound, false, reason);
                } else {
                    let places = Places { targets, reach: self.config.reach() };
                    self.found(now, domain, &places);
                }
            }
            Err(reason) => self.fail(now, domain, ErrorCondition::RemoteServerTimeout, true, &reason),
        }
        self.finish(now);
    }

    /// Says that one of the places of a domain is not tried, and why.
    fn log_unknown(&mut self, domain: &BareJid, Target { host, port, signed, .. }: &Target) {
        let Signed::Unknown(reason) = signed else { return };
        let line = format!(
            "{domain} is not looked for at {host}:{port}, whose TLSA records (DANE) can't be had: {reason}"
        );
        self.events.push_back(FederationEvent::Log(Level::Info, one_line(line)));
    }

    /// The owner has connected to the target at this place in the list of [`FederationEvent::Connect`]. Read from it.
    pub fn connected(&mut self, now: Instant, id: StreamId, target: usize) {
        self.begin(now, id, target);
        self.finish(now);
    }

    /// None of the targets of [`FederationEvent::Connect`] could be connected to.
    pub fn unreachable(&mut self, now: Instant, id: StreamId, unreachable: &Unreachable) {
        self.not_reached(now, id, unreachable);
        self.finish(now);
    }

    /// Bytes have come. Hand in no more before [`FederationEvent::Read`].
    pub fn receive(&mut self, now: Instant, id: StreamId, bytes: &[u8]) {
        let Some(stream) = self.link(id).and_then(Link::stream) else { return };
        stream.received();
        self.advance(now, id, bytes);
        self.finish(now);
    }

    /// The peer has closed its side of the transport.
    pub fn eof(&mut self, now: Instant, id: StreamId) {
        let Some(stream) = self.link(id).and_then(Link::stream) else { return };
        stream.eof();
        self.ready.push(id);
        self.finish(now);
    }

    /// The transport is broken: nothing can be written any more, and what was [taken](Federation::take_output) last is not wholly
    /// written. The stream is forgotten without `Close`.
    pub fn broken(&mut self, now: Instant, id: StreamId) {
        let Some(stream) = self.link(id).and_then(Link::stream) else { return };
        stream.broken();
        self.ready.push(id);
        self.finish(now);
    }

    /// Swaps the bytes to be written into `buffer`, which must be empty.
    pub fn take_output(&mut self, id: StreamId, buffer: &mut Vec<u8>) {
        let now = self.clock;
        self.fill(now, id);
        if let Some(stream) = self.link(id).and_then(Link::stream) {
            stream.take_output(buffer);
        }
        self.finish(now);
    }

    /// What [`take_output`](Federation::take_output) gave has been written, all of it.
    pub fn written(&mut self, now: Instant, id: StreamId) {
        let stream = self.link(id).and_then(Link::stream).filter(|stream| !stream.is_broken());
        let Some(stream) = stream else { return };
        stream.written();
        self.batch_written(now, id);
        self.close_if_done(now, id);
        self.ready.push(id);
        self.finish(now);
    }

    /// What a domain has sent has no room: no more is read from its streams, those to come as well, until it is said that there is. They stay:
    /// the domain is told meanwhile what has come of it.
    pub fn hold(&mut self, now: Instant, domain: &BareJid, is_held: bool) {
        match is_held {
            true => _ = self.held.insert(domain.clone()),
            false => _ = self.held.remove(domain),
        }
        if let Some(peer) = self.peers.get(domain) {
            self.ready.extend(peer.incoming.iter().chain(&peer.links));
        }
        self.finish(now);
    }

    /// When to call [`tick`](Federation::tick).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    /// Does what has become due. After that no [`deadline`](Federation::deadline) is `now` or earlier.
    pub fn tick(&mut self, now: Instant) {
        for due in self.deadlines.due(now) {
            match due {
                Due::Link(id) => self.link_due(now, id),
                Due::Peer(domain) => self.peer_due(now, &domain),
            }
        }
        self.finish(now);
    }

    /// Opens no more streams, and ends those that others have opened with `system-shutdown`. What waits for a stream that is not open
    /// comes back with `remote-server-timeout`. Those that are open still take what comes, such as that our users have gone: call
    /// [`close`](Federation::close) when that is all.
    pub fn shutdown(&mut self, now: Instant) {
        self.closing = Closing::Incoming;
        let ids: Vec<StreamId> = self.links.iter().map(|(id, _)| id).collect();
        for id in ids {
            let takes_more =
                self.link(id).is_some_and(|link| !link.sending.pairs.is_empty() && link.is_open());
            if !takes_more {
                self.abort(now, id, shutting_down());
            }
        }
        let mut domains: Vec<BareJid> = self.peers.keys().cloned().collect();
        domains.sort_unstable();
        for domain in domains {
            self.give_unready_back(&domain, ErrorCondition::RemoteServerTimeout);
        }
        self.finish(now);
    }

    /// Ends the other streams as well, each when it has taken what waits for it.
    pub fn close(&mut self, now: Instant) {
        if self.closing == Closing::Incoming {
            self.closing = Closing::All;
            let ids: Vec<StreamId> = self.links.iter().map(|(id, _)| id).collect();
            for id in ids {
                self.close_if_done(now, id);
            }
            self.finish(now);
        }
    }

    /// Ends all streams, whatever waits for them.
    pub fn cut(&mut self, now: Instant) {
        self.closing = Closing::All;
        let ids: Vec<StreamId> = self.links.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.abort(now, id, shutting_down());
        }
        self.finish(now);
    }

    /// Ends a stream of a server that shuts down, if nothing more is to be sent on it.
    fn close_if_done(&mut self, now: Instant, id: StreamId) {
        if self.closing == Closing::All && !self.has_to_send(id) {
            self.abort(now, id, shutting_down());
        }
    }

    /// The configuration for streams that begin from now on; streams to and from domains that are not admitted any more end. Others that have not
    /// taken one of our domains are asked again, as its certificate may be another one. The domains of ours can't change.
    pub fn configure(&mut self, config: FederationConfig) {
        let now = self.clock;
        (self.clear, self.direct) = (config.receiving(false), config.receiving(true));
        self.config = config;
        let denied: Vec<StreamId> = self
            .peers
            .iter()
            .filter(|(domain, _)| !self.config.admits(domain.as_str()))
            .flat_map(|(_, peer)| peer.incoming.iter().chain(&peer.links).copied())
            .collect();
        for id in denied {
            self.abort(now, id, policy());
        }
        self.ask_again_who_has_refused(now);
        self.finish(now);
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &FederationConfig {
        &self.config
    }

    /// How many streams there are, with those that are being opened or closed.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.links.len()
    }

    /// How many bytes of stanzas wait for streams, or have gone over one and are not acknowledged.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.bounds.total()
    }

    /// Whether the stream is there. One that has ended is there until its last words are written.
    #[must_use]
    pub fn knows(&self, id: StreamId) -> bool {
        link_of(&self.links, id).is_some()
    }

    /// Whether the owner is to connect for this stream.
    #[must_use]
    pub fn is_connecting(&self, id: StreamId) -> bool {
        link_of(&self.links, id).is_some_and(Link::is_connecting)
    }

    /// What to write to a connection of another server that is not [taken in](Federation::accept), and closed at once: a stream with
    /// this error (RFC 6120 section 4.9.1.2). Empty where it would take a TLS handshake to say anything.
    pub fn last_words(&mut self, now: Instant, direct_tls: bool, error: StreamError) -> Vec<u8> {
        let config = if direct_tls { &self.direct } else { &self.clear };
        let mut connection = S2sConnection::receiving(Arc::clone(config), self.random.seed(), now);
        let mut out = Vec::new();
        connection.abort(error);
        // It fails with the error that it was just given.
        let _ = connection.tick(now, &mut out);
        out
    }

    fn link(&mut self, id: StreamId) -> Option<&mut Link> {
        self.links.get_mut(id)
    }

    /// Returns a stanza to its sender.
    fn give_back(&mut self, item: Item, condition: ErrorCondition) {
        let Item { stanza, is_told, .. } = item;
        self.events.push_back(FederationEvent::Return { stanza, condition, is_told });
    }

    /// Does what has come of what was done, until nothing is left.
    fn finish(&mut self, now: Instant) {
        self.clock = self.clock.max(now);
        while !self.ready.is_empty() {
            for id in mem::take(&mut self.ready) {
                self.advance(now, id, &[]);
            }
        }
    }
}

fn link_of(links: &Slots<StreamId, Link>, id: StreamId) -> Option<&Link> {
    links.get(id)
}

fn shutting_down() -> StreamError {
    StreamError::new(StreamCondition::SystemShutdown, "the server is shutting down")
}

/// What a domain is told that we don't talk to.
fn policy() -> StreamError {
    StreamError::new(StreamCondition::PolicyViolation, "this server does not talk to your domain")
}

impl fmt::Debug for Federation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Federation")
            .field("streams", &self.links.len())
            .field("domains", &self.peers.len())
            .finish_non_exhaustive()
    }
}
