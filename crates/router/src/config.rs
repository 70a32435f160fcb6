//! What a router serves, within which bounds, and by which of the choices that the RFCs leave to a server.
//!
//! A router is made with it and keeps it: nothing here changes while it runs.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::Limits;

use crate::extension::Extensions;

/// What a [`Router`](crate::Router) serves, and by which of the choices that the RFCs leave open.
#[derive(Clone, Debug)]
pub struct Config {
    /// The local domains. A localpart among them has no meaning.
    pub domains: Vec<BareJid>,
    /// Bounds; the router keeps those of accounts, of queues, and of what waits.
    pub limits: Limits,
    /// What happens when two sessions want the same resource.
    pub conflict: ConflictPolicy,
    /// Whether an iq get or set reaches a resource only if that resource shares presence with the sender (RFC 6121
    /// section 8.5.3.1). Without it, strangers can find out which resources an account has.
    pub iq_needs_presence: bool,
    /// Whether strangers, too, are told that a message was not delivered. It shows them who has an account and who is there;
    /// without it they are told nothing (RFC 6121 section 8.1).
    pub tell_strangers: bool,
    /// The bounds and choices of rosters.
    pub roster: balcony_roster::RosterConfig,
    /// What the server does beyond RFC 6120 and 6121.
    pub extensions: Extensions,
    /// What the server says it is.
    pub software: Software,
}

impl Config {
    /// The defaults, for these domains.
    #[must_use]
    pub fn new(domains: Vec<BareJid>) -> Self {
        Config {
            domains,
            limits: Limits::default(),
            conflict: ConflictPolicy::default(),
            iq_needs_presence: true,
            tell_strangers: false,
            roster: balcony_roster::RosterConfig::default(),
            extensions: Extensions::default(),
            software: Software::default(),
        }
    }
}

/// What happens when a session asks for a resource that another session of the account has (RFC 6120 section 7.7.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConflictPolicy {
    /// The old session is closed with `conflict`: mostly it is a dead connection of the very same client.
    #[default]
    ReplaceOld,
    /// The newcomer gets the error `conflict` and may try another resource.
    RefuseNew,
    /// The newcomer gets a resource that the server makes up.
    Rename,
}

/// What the server says it is, in discovery (XEP-0030) and to version requests (XEP-0092).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Software {
    /// The name, such as `Balcony`.
    pub name: Cow<'static, str>,
    /// The version, in any form.
    pub version: Cow<'static, str>,
}

impl Default for Software {
    fn default() -> Self {
        Software { name: Cow::Borrowed("Balcony"), version: Cow::Borrowed(env!("CARGO_PKG_VERSION")) }
    }
}
