use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_machine::{Deadline, Instant, Random, Reason, Seed, Ticket};
use balcony_stanza::{ErrorCondition, Kind, Stanza, StanzaError};
use hashbrown::HashMap;

use crate::account::{Account, Resource};
use crate::asks::Asks;
use crate::{Answer, Busy, Config, Effect, SessionId};

/// The router of one or more local domains: see the [crate documentation](crate).
#[derive(Debug)]
pub struct Router {
    pub(crate) config: Config,
    pub(crate) random: Random,
    /// Accounts with bound resources, and no others. Never iterated.
    pub(crate) accounts: HashMap<BareJid, Account>,
    pub(crate) sessions: HashMap<SessionId, FullJid>,
    pub(crate) asks: Asks,
}

/// Where an address leads.
pub(crate) enum Target<'a> {
    /// To another server.
    Remote,
    /// To a local domain, or to a resource of one.
    Server,
    /// To a bound resource.
    Resource(&'a Account, &'a Resource),
    /// To an account; if the address is full the account has no such resource. `None` if it has no resource at all, or
    /// does not exist, which is the same to the router.
    Account(Option<&'a Account>),
}

/// How much a router holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Accounts with at least one bound resource.
    pub accounts: usize,
    /// Bound resources.
    pub sessions: usize,
    /// Asks that wait for an answer.
    pub asks: usize,
}

impl Router {
    /// A router without sessions. The seed is for the resources that it makes up.
    #[must_use]
    pub fn new(config: Config, seed: &Seed) -> Self {
        Router {
            config,
            random: seed.random(),
            accounts: HashMap::new(),
            sessions: HashMap::new(),
            asks: Asks::new(),
        }
    }

    /// Takes a stanza that a session has sent. Its `from` is the session's full JID, as the stream has stamped it;
    /// for presence that manages subscriptions it is the bare JID (RFC 6120 section 8.1.2.1).
    ///
    /// Whatever is wrong with the stanza, its sender is told by an effect. A session that is not bound has no effects.
    ///
    /// # Errors
    ///
    /// [`Busy`], with the stanza, if the sender's account has [`Limits::asks`](balcony_machine::Limits::asks) open.
    pub fn route(
        &mut self,
        now: Instant,
        from: SessionId,
        mut stanza: Stanza,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Busy> {
        let Some(own) = self.sessions.get(&from) else { return Ok(()) };
        stanza.head.from.get_or_insert_with(|| own.to_jid());
        match stanza.head.kind {
            Kind::Message(kind) => {
                // RFC 6120 section 10.3.1: without `to` it is for the sender's own account.
                let to = stanza.head.to.get_or_insert_with(|| own.to_bare().into()).clone();
                return self.message(now, kind, &to, stanza, effects);
            }
            Kind::Presence(kind) => self.presence(from, kind, stanza, effects),
            Kind::Iq(_) => self.iq(stanza, effects),
        }
        Ok(())
    }

    /// Tells the sender of a stanza that it could not be sent to its remote domain: `remote-server-not-found` if there
    /// is none, `remote-server-timeout` if no stream came about (RFC 6120 section 10.4).
    pub fn undeliverable(&mut self, stanza: &Stanza, condition: ErrorCondition, effects: &mut Vec<Effect>) {
        self.refuse(stanza, condition, effects);
    }

    /// Takes the answer to an ask. One that comes too late, or for the second time, has no effects.
    pub fn answer(&mut self, _now: Instant, ticket: Ticket, answer: Answer, effects: &mut Vec<Effect>) {
        match (self.asks.close(ticket), answer) {
            (None, _) | (Some(_), Answer::Saved) => {}
            (Some(stanza), _) => {
                self.refuse(&stanza, ErrorCondition::ServiceUnavailable, effects)
            }
        }
    }

    /// Everything that had been delivered to the session when [`Effect::Flush`] came is written.
    pub fn flushed(&mut self, _now: Instant, _session: SessionId, _effects: &mut Vec<Effect>) {}

    /// When to call [`tick`](Router::tick): the next ask expires then.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        self.asks.deadline().map(|at| Deadline { at, reason: Reason::Answer })
    }

    /// Expires the asks whose time is over. Their senders are told to try again later.
    pub fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        while let Some(stanza) = self.asks.expire(now) {
            self.refuse(&stanza, ErrorCondition::ResourceConstraint, effects);
        }
    }

    /// Whether the session's next message may come back as [`Busy`]: rather leave it in the connection for now.
    #[must_use]
    pub fn is_busy(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|own| self.asks.of(own.bare_str()) >= self.config.limits.asks)
    }

    /// The full JID that the session has bound.
    #[must_use]
    pub fn jid(&self, session: SessionId) -> Option<&FullJid> {
        self.sessions.get(&session)
    }

    /// The account's sessions, in the order in which they bound.
    pub fn sessions(&self, account: &BareJid) -> impl Iterator<Item = SessionId> {
        self.accounts.get(account).map(Account::resources).unwrap_or_default().iter().map(|r| r.session)
    }

    /// Whether this is one of the domains that the router serves.
    #[must_use]
    pub fn is_local(&self, domain: &str) -> bool {
        self.config.domains.iter().any(|local| local.domainpart() == domain)
    }

    /// How much the router holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { accounts: self.accounts.len(), sessions: self.sessions.len(), asks: self.asks.len() }
    }

    pub(crate) fn locate(&self, to: &Jid) -> Target<'_> {
        if !self.is_local(to.domainpart()) {
            return Target::Remote;
        }
        if to.localpart().is_none() {
            return Target::Server;
        }
        let account = self.accounts.get(to.bare_str());
        let resource = account.zip(to.resourcepart()).and_then(|(a, name)| Some((a, a.by_name(name)?)));
        resource.map_or(Target::Account(account), |(account, resource)| Target::Resource(account, resource))
    }

    /// Tells the sender that its stanza failed, if the rules allow it (RFC 6120 section 8.3.1).
    pub(crate) fn refuse(&self, stanza: &Stanza, error: impl Into<StanzaError>, effects: &mut Vec<Effect>) {
        if let Some(reply) = stanza.error(&error.into()) {
            self.reply(reply, effects);
        }
    }

    /// Sends what the server itself says to the entity that it answers; drops it if that has gone away.
    pub(crate) fn reply(&self, stanza: Stanza, effects: &mut Vec<Effect>) {
        let Some(to) = &stanza.head.to else { return };
        match self.locate(to) {
            Target::Remote => effects.push(Effect::Remote { stanza }),
            Target::Resource(_, resource) => deliver([resource.session], stanza, effects),
            Target::Server | Target::Account(_) => {}
        }
    }
}

/// Gives the same stanza to several sessions.
pub(crate) fn deliver(
    sessions: impl IntoIterator<Item = SessionId>,
    stanza: Stanza,
    effects: &mut Vec<Effect>,
) {
    let stanza = Arc::new(stanza);
    effects
        .extend(sessions.into_iter().map(|session| Effect::Deliver { session, stanza: Arc::clone(&stanza) }));
}
