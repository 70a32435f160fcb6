//! The bounds of all machines in one place, with defaults for each end of a stream.
//!
//! Each field says what happens when it is passed. To keep to them is up to the machine that each of them concerns.

use core::fmt;
use core::time::Duration;

/// Bounds on one top-level XML element (a stanza, a nonza or the stream header).
///
/// A stanza that passes `depth`, `attributes` or `nodes` in its content is dropped, and its sender gets a stanza error,
/// `policy-violation` (RFC 6120 section 8.3.3.12). Past `bytes`, and before anybody has authenticated, the stream ends with
/// that (section 4.9.3.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XmlLimits {
    /// Bytes, from `<` to the closing `>`. RFC 6120 section 13.12 wants at least 10,000 for stanzas.
    pub bytes: usize,
    /// Levels of elements, the top-level element being the first. Nothing recurses over them; one that is open takes about
    /// 70 bytes, so a device may do with 32.
    pub depth: usize,
    /// Attributes (namespace declarations among them) of one element.
    pub attributes: usize,
    /// Elements and runs of text together.
    pub nodes: usize,
}

impl XmlLimits {
    /// What a peer may send before it has authenticated: enough for every negotiation, too little to hurt.
    pub const UNAUTHENTICATED: XmlLimits = XmlLimits { bytes: 10_000, depth: 8, attributes: 32, nodes: 64 };
    /// What an authenticated client may send to its server.
    pub const STANZA: XmlLimits = XmlLimits { bytes: 262_144, depth: 256, attributes: 64, nodes: 4_096 };
    /// What another server may send: stanzas of its clients, and what it has written on them. Twice of what a client may send,
    /// since the other's clients may be allowed more than ours.
    pub const FEDERATED: XmlLimits = XmlLimits { bytes: 524_288, depth: 512, attributes: 64, nodes: 8_192 };
    /// What its server may send to a client or a component before it has authenticated: every feature there is.
    pub const FEATURES: XmlLimits = XmlLimits { bytes: 65_536, depth: 16, attributes: 64, nodes: 2_048 };
    /// What its server may send to a client or a component: stanzas of others, with what servers have written on them and
    /// wrapped around them, so it must be more than any server takes from those; and whole rosters.
    pub const DELIVERED: XmlLimits =
        XmlLimits { bytes: 16 << 20, depth: 768, attributes: 128, nodes: 1 << 18 };
}

/// The bounds of a machine. The [default](Limits::default) suits a public server towards its clients; the other ends have
/// [others](Limits::initiating). Lower them for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// One element before authentication.
    pub before_auth: XmlLimits,
    /// One element after it.
    pub after_auth: XmlLimits,
    /// From the first byte to the bound resource; past it the stream ends with `connection-timeout`.
    pub negotiation: Duration,
    /// From our closing tag to the peer's; past it the transport is closed (RFC 6120 section 4.4).
    pub closing: Duration,
    /// Silence after which an established peer is taken for dead; `None` never asks.
    pub idle: Option<Duration>,
    /// How long an ask may stay unanswered before what waits for it fails.
    pub answer: Duration,
    /// Failed authentications on one stream, and apart from them registrations (XEP-0077) that are refused, unless for too many of them;
    /// the last one ends it with `policy-violation` (RFC 6120 section 6.4.4).
    pub sasl_attempts: u8,
    /// Refused binds on one stream; the last one ends it with `policy-violation` (RFC 6120 section 7.7.2.3).
    pub bind_attempts: u8,
    /// Bytes waiting to be written to one peer: while there are so many, a stream takes nothing more from it. Stored messages are
    /// fetched for a client a quarter of so much at a time, and no more than a sixteenth of what may wait for a session or its account.
    pub output: usize,
    /// Resources bound by one account at a time; past it binding gets `resource-constraint`.
    pub resources: usize,
    /// Entities that one resource may have sent directed presence to (RFC 6121 section 4.6).
    pub directed: usize,
    /// Bytes of presence that the resources of one account may show together: what each has broadcast, and the addresses that they
    /// have sent directed presence to. Past it presence gets `resource-constraint`.
    pub presence_bytes: usize,
    /// Stanzas of one account that may wait for the store, or for an account that is being loaded: so many in the account itself, so
    /// many with those whose presence it sees; past it a stanza that would have to wait gets `resource-constraint`. So many, too, with
    /// somebody whose presence it does not see, divided by how many such recipients it has had lately; past it they are dropped.
    pub waiting: usize,
    /// The bytes of these. One stanza always has room, unless it is for somebody whose presence its sender does not see.
    pub waiting_bytes: usize,
    /// Messages to one account that are on their way to the store at the same time; others wait for these, and their senders take turns. A
    /// store has to have room for so many that others cause, or it refuses some: these come back to contacts, and are lost to strangers.
    pub storing: usize,
    /// The bytes of these. One always has room.
    pub storing_bytes: usize,
    /// Stanzas of one session that may be unhandled; a server reads no more of it until some are.
    pub window: usize,
    /// The bytes of these.
    pub window_bytes: usize,
    /// Bytes on their way to one session that lie with its connection; the rest waits in the router. One stanza always has room.
    pub credit: usize,
    /// Bytes on their way to one session, wherever they lie, and 256 more a stanza, but for answers to what it has asked; a session of which more waits is closed with
    /// `resource-constraint`, and what it has not got goes elsewhere. There it counts for [`account_queue_bytes`](Limits::account_queue_bytes) only.
    pub queue_bytes: usize,
    /// Stanzas that may be held back for one session because they are not urgent (XEP-0352); when there are more, all of them go.
    pub held: usize,
    /// The same of the bytes of these, and 256 more a stanza.
    pub held_bytes: usize,
    /// The same as [`queue_bytes`](Limits::queue_bytes), of all sessions of one account.
    pub account_queue_bytes: usize,
    /// The same of all accounts: past it no session gets more than its [`credit`](Limits::credit).
    pub total_queue_bytes: usize,
    /// A session that has taken less than [`stall_bytes`](Limits::stall_bytes) for so long, while more waits than its credit, or it has
    /// not taken answers of more than [`window_bytes`](Limits::window_bytes), is closed with `resource-constraint`; one that can be
    /// resumed (XEP-0198) loses its connection only.
    pub stall: Duration,
    /// See [`stall`](Limits::stall).
    pub stall_bytes: usize,
    /// Bytes that a session may have been sent and not acknowledged (XEP-0198); it gets no more until it does. One stanza always has
    /// room.
    pub unacknowledged: usize,
    /// How long a session without a connection waits to be resumed, if its client wants no less.
    pub resumption: Duration,
    /// Contacts that a user who comes online asks again at a time, of those who have not answered a subscription request (RFC 6121
    /// section 3.1.2); the others are asked when the user comes again.
    pub asks: usize,
    /// Stanzas that a client keeps until its server has acknowledged them (XEP-0198); past it nothing more can be sent.
    pub outbox: usize,
    /// The bytes of their contents, and 256 more a stanza. One stanza always has room.
    pub outbox_bytes: usize,
    /// Pairs of domains that one stream between servers may carry or be asked for; past it a request is refused with
    /// `resource-constraint` (XEP-0220).
    pub domain_pairs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            before_auth: XmlLimits::UNAUTHENTICATED,
            after_auth: XmlLimits::STANZA,
            negotiation: Duration::from_secs(60),
            closing: Duration::from_secs(5),
            idle: Some(Duration::from_secs(600)),
            answer: Duration::from_secs(30),
            sasl_attempts: 5,
            bind_attempts: 5,
            output: 1 << 20,
            resources: 64,
            directed: 1_024,
            presence_bytes: 4 << 20,
            waiting: 1_024,
            waiting_bytes: 4 << 20,
            storing: 128,
            storing_bytes: 256 << 10,
            window: 64,
            window_bytes: 64 << 10,
            credit: 64 << 10,
            queue_bytes: 16 << 20,
            held: 1_024,
            held_bytes: 512 << 10,
            account_queue_bytes: 32 << 20,
            total_queue_bytes: 1 << 30,
            stall: Duration::from_secs(300),
            stall_bytes: 64 << 10,
            unacknowledged: 1 << 20,
            resumption: Duration::from_secs(600),
            asks: 256,
            outbox: 1_024,
            outbox_bytes: 4 << 20,
            domain_pairs: 64,
        }
    }
}

impl Limits {
    /// Those of a client or a component: it takes more from its server than a server takes from it, or what others are
    /// allowed to send would end its stream.
    #[must_use]
    pub fn initiating() -> Self {
        Limits { before_auth: XmlLimits::FEATURES, after_auth: XmlLimits::DELIVERED, ..Limits::default() }
    }

    /// Those of a server towards other servers.
    #[must_use]
    pub fn federated() -> Self {
        Limits { after_auth: XmlLimits::FEDERATED, ..Limits::default() }
    }

    /// Whether a machine can work within these bounds. One that is zero where there is always room for one stanza is right; some
    /// others must not be.
    ///
    /// # Errors
    ///
    /// [`LimitsError`] names the first that must not.
    pub fn check(&self) -> Result<(), LimitsError> {
        let Limits { before_auth, after_auth, .. } = self;
        let xml = |limits: &XmlLimits| {
            [limits.bytes, limits.depth, limits.attributes, limits.nodes].into_iter().any(|bound| bound == 0)
        };
        let zeros = [
            ("before_auth", xml(before_auth), "no element could be read"),
            ("after_auth", xml(after_auth), "no element could be read"),
            ("negotiation", self.negotiation.is_zero(), "every stream would end as it begins"),
            (
                "idle",
                self.idle.is_some_and(|idle| idle.is_zero()),
                "every peer would be taken for dead; `None` never asks",
            ),
            ("answer", self.answer.is_zero(), "nothing that is asked could be answered in time"),
            ("sasl_attempts", self.sasl_attempts == 0, "nobody could log in"),
            ("bind_attempts", self.bind_attempts == 0, "nobody could bind a resource"),
            ("resources", self.resources == 0, "nobody could bind a resource"),
            ("window", self.window == 0, "no stanza could be read"),
            ("window_bytes", self.window_bytes == 0, "no stanza could be read"),
            ("stall", self.stall.is_zero(), "a session would be closed as soon as something waits for it"),
            ("stall_bytes", self.stall_bytes == 0, "no session would ever be taken for stalled"),
        ];
        let wrong = zeros.into_iter().find(|(_, is_zero, _)| *is_zero);
        wrong.map_or(Ok(()), |(name, _, reason)| Err(LimitsError { name, reason }))
    }
}

/// A bound that is zero and must not be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LimitsError {
    /// The field of [`Limits`].
    pub name: &'static str,
    /// What would come of it.
    pub reason: &'static str,
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit `{}` must not be zero: {}", self.name, self.reason)
    }
}

impl core::error::Error for LimitsError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn limits_that_stop_everything_are_named() {
        for limits in [Limits::default(), Limits::initiating(), Limits::federated()] {
            assert_eq!(limits.check(), Ok(()));
        }
        let zero = XmlLimits { depth: 0, ..XmlLimits::STANZA };
        for (name, limits) in [
            ("before_auth", Limits { before_auth: zero, ..Limits::default() }),
            ("after_auth", Limits { after_auth: zero, ..Limits::default() }),
            ("negotiation", Limits { negotiation: Duration::ZERO, ..Limits::default() }),
            ("idle", Limits { idle: Some(Duration::ZERO), ..Limits::default() }),
            ("answer", Limits { answer: Duration::ZERO, ..Limits::default() }),
            ("sasl_attempts", Limits { sasl_attempts: 0, ..Limits::default() }),
            ("bind_attempts", Limits { bind_attempts: 0, ..Limits::default() }),
            ("resources", Limits { resources: 0, ..Limits::default() }),
            ("window", Limits { window: 0, ..Limits::default() }),
            ("window_bytes", Limits { window_bytes: 0, ..Limits::default() }),
            ("stall", Limits { stall: Duration::ZERO, ..Limits::default() }),
            ("stall_bytes", Limits { stall_bytes: 0, ..Limits::default() }),
        ] {
            let error = limits.check().unwrap_err();
            assert_eq!(error.name, name);
            assert!(error.to_string().starts_with(&alloc::format!("the limit `{name}` must not be zero: ")));
        }
        // There is room for one stanza, whatever these are, and presence to nobody in particular is enough for some.
        let small =
            Limits { output: 0, credit: 0, queue_bytes: 0, idle: None, directed: 0, ..Limits::default() };
        assert_eq!(small.check(), Ok(()));
    }
}
