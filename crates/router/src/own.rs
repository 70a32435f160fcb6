//! What the owner of a server says and wants to know: stanzas in the server's own name, and the sessions of accounts.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use balcony_jid::FullJid;
use balcony_machine::Instant;
use balcony_stanza::{Kind, PresenceType, Stanza};

use crate::facts::Said;
use crate::line::Origin;
use crate::router::Router;
use crate::{Effect, SessionId};

/// Why a stanza is not sent in the server's name.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// It has no `from`.
    NoSender,
    /// It has no `to`.
    NoAddressee,
    /// Its `from` is not one that the server speaks for: a domain of it, with or without a resource, or the bare address of an account of
    /// one. What has an account's resource only its session sends.
    NotOurs,
    /// It is an iq. Requests have answers, and the server has nobody to give them to.
    Iq,
    /// It is presence, and not `available` or `unavailable` of a domain: what accounts show, and whom they let see it, is theirs to say.
    Presence,
    /// Too much waits that has been sent in this name, or too many have been written to lately who have never answered.
    Full,
    /// The server has ended. Only adapters say so.
    Ended,
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::NoSender => "the stanza has no sender: set `from` to a domain of the server",
            SendError::NoAddressee => "the stanza is addressed to nobody: set `to`",
            SendError::NotOurs => {
                "the sender is neither a domain of the server nor the bare address of an account"
            }
            SendError::Iq => "a server sends no requests of its own, since nobody gets their answers",
            SendError::Presence => {
                "a server sends only `available` and `unavailable` presence, and only of a domain"
            }
            SendError::Full => "too much waits that was sent in this name",
            SendError::Ended => "the server has ended",
        })
    }
}

impl core::error::Error for SendError {}

/// A bound resource, as the router knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound<'a> {
    /// Its full address.
    pub jid: &'a FullJid,
    /// Its priority (RFC 6121 section 4.7.2.3), if it is available: if it has sent presence.
    pub priority: Option<i8>,
    /// How long it has been bound, with what it was by routers before this one, and with the time between them.
    pub age: Duration,
    /// Its client has said that nobody uses it, as an extension knows (XEP-0352).
    pub is_inactive: bool,
    /// It has no connection: until then it waits for its client (XEP-0198 section 5).
    pub until: Option<Instant>,
}

impl Router {
    /// Sends a message, or presence of a domain, in the name of one of the router's own domains or accounts, whoever is connected: a
    /// word to a user, a notice. It goes the way of what other servers send; the account in whose name it is sent has no part in it, so
    /// its devices get no copies. An error about it is dropped.
    ///
    /// # Errors
    ///
    /// [`SendError`]; then nothing has been sent.
    pub fn send(&mut self, now: Instant, stanza: Stanza, effects: &mut Vec<Effect>) -> Result<(), SendError> {
        self.asks.clock(now);
        let from = stanza.head.from.as_ref().ok_or(SendError::NoSender)?;
        let to = stanza.head.to.as_ref().ok_or(SendError::NoAddressee)?;
        let is_domain = from.localpart().is_none();
        if !self.is_local(from.domainpart()) || !is_domain && !from.is_bare() {
            return Err(SendError::NotOurs);
        }
        let shown =
            matches!(stanza.head.kind, Kind::Presence(PresenceType::Available | PresenceType::Unavailable));
        match stanza.head.kind {
            Kind::Iq(_) => return Err(SendError::Iq),
            Kind::Presence(_) if !(shown && is_domain) => return Err(SendError::Presence),
            Kind::Presence(_) | Kind::Message(_) => {}
        }
        let (start, mut origin) = (effects.len(), Origin::said(Said::New));
        // Who may not be written to for now is found out here: behind this nobody would say so.
        let is_ours = to.localpart().is_some() && self.is_local(to.domainpart());
        if is_ours
            && !(self.crosses(&stanza, &mut origin, effects).is_some() && self.has_room(&stanza, &origin))
        {
            return Err(SendError::Full);
        }
        match stanza.head.kind {
            Kind::Message(kind) => self.pass_message(kind, stanza, &mut origin, effects),
            _ => self.pass_on(stanza, true, &mut origin, effects),
        }
        self.go_on(effects);
        self.dispatch(start, effects);
        Ok(())
    }

    /// The session that has bound this address.
    #[must_use]
    pub fn session(&self, jid: &FullJid) -> Option<SessionId> {
        Some(self.accounts.get(jid.bare_str())?.by_name(jid.resourcepart())?.session)
    }

    /// What is known of a session.
    #[must_use]
    pub fn bound(&self, now: Instant, session: SessionId) -> Option<Bound<'_>> {
        let own = self.sessions.get(&session)?;
        let resource = self.accounts.get(own.jid.bare_str())?.by_name(own.jid.resourcepart())?;
        let priority = resource.presence().map(|presence| presence.priority);
        let is_inactive = self.shared.tables().is_inactive(resource.slots());
        let until = own.outbox.management().until();
        Some(Bound { jid: &own.jid, priority, age: own.age(now), is_inactive, until })
    }
}
