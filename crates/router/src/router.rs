use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_machine::{Deadline, Instant, Random, Reason, Seed, Ticket};
use balcony_stanza::{ErrorCondition, Kind, PresenceType, Stanza, StanzaError};
use hashbrown::HashMap;

use crate::account::{Account, Resource};
use crate::asks::{Asks, payer};
use crate::flow::Task;
use crate::known::Known;
use crate::{Answer, Busy, Config, Effect, SessionId};

/// The router of one or more local domains: see the [crate documentation](crate).
#[derive(Debug)]
pub struct Router {
    pub(crate) config: Config,
    pub(crate) random: Random,
    /// Accounts with bound resources, and those for which something waits. Never iterated.
    pub(crate) accounts: HashMap<BareJid, Account>,
    pub(crate) sessions: HashMap<SessionId, Session>,
    /// Sessions that are over, while stored messages are still being written to them.
    pub(crate) leaving: HashMap<SessionId, BareJid>,
    pub(crate) asks: Asks,
    /// Whose stored messages are to be looked at again, and when, the next one first: all wait equally long.
    pub(crate) retries: VecDeque<(Instant, BareJid)>,
    /// How many accounts have bound resources.
    pub(crate) online: usize,
}

/// A bound resource, as seen from its connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) jid: FullJid,
    /// Its messages go past its account: that waits for nothing, blocks nobody and copies nothing.
    pub(crate) is_plain: bool,
}

/// Where an address leads.
enum Target<'a> {
    /// To another server.
    Remote,
    /// To a local domain, or to a resource of one.
    Server,
    /// To a bound resource.
    Resource(&'a Resource),
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
            leaving: HashMap::new(),
            asks: Asks::new(),
            retries: VecDeque::new(),
            online: 0,
        }
    }

    /// Takes a stanza that a session has sent. Its `from` is the session's full JID, as the stream has stamped it;
    /// for presence that manages subscriptions it is the bare JID (RFC 6120 section 8.1.2.1).
    ///
    /// Whatever is wrong with the stanza, its sender is told by an effect. A session that is not bound has no effects.
    ///
    /// # Errors
    ///
    /// [`Busy`], with the stanza, if [`Limits::asks`](balcony_machine::Limits::asks) of the account's stanzas wait for answers.
    pub fn route(
        &mut self,
        now: Instant,
        from: SessionId,
        mut stanza: Stanza,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Busy> {
        self.asks.clock(now);
        let Some(session) = self.sessions.get(&from) else { return Ok(()) };
        stanza.head.from.get_or_insert_with(|| session.jid.to_jid());
        if let Kind::Message(kind) = stanza.head.kind {
            // RFC 6120 section 10.3.1: without `to` it is for the sender's own account.
            stanza.head.to.get_or_insert_with(|| session.jid.to_bare().into());
            if session.is_plain {
                return self.pass_message(kind, stanza, false, effects);
            }
        }
        let name = session.jid.to_bare();
        let is_open = |account: &Account| account.open().is_some();
        if !self.accounts.get(&name).is_some_and(is_open) || self.holds_back(&name, &stanza) {
            return self.wait(&name, Task::Sent(from), stanza, false, effects);
        }
        if let Kind::Message(kind) = stanza.head.kind {
            return self.message(from, kind, stanza, false, effects);
        }
        if self.is_full(name.as_str()) {
            return Err(Busy(stanza));
        }
        self.sent(from, stanza, effects);
        self.settle(&name, effects);
        Ok(())
    }

    /// Takes a stanza that another server has sent; one that has no `from` there, or no `to` here, has no effects.
    ///
    /// # Errors
    ///
    /// [`Busy`], with the stanza, if [`Limits::asks`](balcony_machine::Limits::asks) stanzas of its `from`'s domain wait for
    /// answers.
    pub fn receive(&mut self, now: Instant, stanza: Stanza, effects: &mut Vec<Effect>) -> Result<(), Busy> {
        self.asks.clock(now);
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return Ok(()) };
        if self.is_local(from.domainpart()) || !self.is_local(to.domainpart()) {
            return Ok(());
        }
        match stanza.head.kind {
            Kind::Message(kind) => return self.pass_message(kind, stanza, false, effects),
            Kind::Iq(_) if to.localpart().is_none() => self.serve(&stanza, effects),
            Kind::Presence(_) if to.localpart().is_none() => {}
            _ if self.is_full(self.payer(from).as_str()) => return Err(Busy(stanza)),
            _ => return self.arrive(stanza, false, effects),
        }
        Ok(())
    }

    /// Tells the sender of a stanza that it could not be sent to its remote domain: `remote-server-not-found` if there
    /// is none, `remote-server-timeout` if no stream came about (RFC 6120 section 10.4). Probes get no error.
    pub fn undeliverable(&mut self, stanza: &Stanza, condition: ErrorCondition, effects: &mut Vec<Effect>) {
        // Probes are the server's own.
        if stanza.head.kind != Kind::Presence(PresenceType::Probe) {
            self.refuse(stanza, condition, effects);
        }
    }

    /// Takes the answer to an ask. One that comes too late, or for the second time, has no effects.
    pub fn answer(&mut self, now: Instant, ticket: Ticket, answer: Answer, effects: &mut Vec<Effect>) {
        self.asks.clock(now);
        if let Some(open) = self.asks.close(ticket) {
            self.resolve(open, Some(answer), effects);
        }
    }

    /// Everything that had been delivered to the session when [`Effect::Flush`] came is written.
    pub fn flushed(&mut self, now: Instant, session: SessionId, effects: &mut Vec<Effect>) {
        self.asks.clock(now);
        self.written(session, effects);
    }

    /// What had been delivered to the session when [`Effect::Flush`] came can't be written any more.
    pub fn lost(&mut self, now: Instant, session: SessionId, effects: &mut Vec<Effect>) {
        self.asks.clock(now);
        self.unwritten(session, effects);
    }

    /// When to call [`tick`](Router::tick): the next ask expires then, or one that has failed is made again.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        let retry = self.retries.front().map(|(at, _)| *at);
        let at = self.asks.deadline().into_iter().chain(retry).min()?;
        Some(Deadline { at, reason: Reason::Answer })
    }

    /// Expires the asks whose time is over. Their senders are told to try again later. Stored messages that could not be got or
    /// deleted are tried again.
    pub fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.asks.clock(now);
        while let Some(open) = self.asks.expire() {
            self.resolve(open, None, effects);
        }
        let now = self.asks.now();
        while let Some((_, account)) = self.retries.pop_front_if(|(at, _)| *at <= now) {
            self.try_again(&account, effects);
        }
    }

    /// Whether the session's next message may come back as [`Busy`]: rather leave it in the connection for now.
    #[must_use]
    pub fn is_busy(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|session| self.is_full(session.jid.bare_str()))
    }

    /// The full JID that the session has bound.
    #[must_use]
    pub fn jid(&self, session: SessionId) -> Option<&FullJid> {
        self.sessions.get(&session).map(|session| &session.jid)
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
        Counts { accounts: self.online, sessions: self.sessions.len(), asks: self.asks.len() }
    }

    /// Whether as many of the sender's stanzas wait as may.
    pub(crate) fn is_full(&self, payer: &str) -> bool {
        self.asks.of(payer) >= self.config.limits.asks
    }

    /// Who answers for the stanzas of this sender that wait.
    pub(crate) fn payer(&self, sender: &Jid) -> BareJid {
        payer(sender, self.is_local(sender.domainpart()))
    }

    /// Who sees the presence of this account's user.
    pub(crate) fn audience(&self, name: &BareJid) -> Vec<BareJid> {
        let known = self.accounts.get(name).and_then(|account| account.known.as_deref());
        known.map(Known::audience).unwrap_or_default()
    }

    fn locate(&self, to: &Jid) -> Target<'_> {
        if !self.is_local(to.domainpart()) {
            return Target::Remote;
        }
        if to.localpart().is_none() {
            return Target::Server;
        }
        let account = self.accounts.get(to.bare_str());
        let resource = account.zip(to.resourcepart()).and_then(|(account, name)| account.by_name(name));
        resource.map_or(Target::Account(account), Target::Resource)
    }

    /// Tells the sender that its stanza failed, if the rules allow it (RFC 6120 section 8.3.1).
    pub(crate) fn refuse(&self, stanza: &Stanza, error: impl Into<StanzaError>, effects: &mut Vec<Effect>) {
        if let Some(reply) = stanza.error(&error.into()) {
            self.reply(reply, effects);
        }
    }

    /// Sends what the server itself says to the entity that it answers; drops it if that has gone away. What has become of
    /// the presence that an account has sent concerns all its available resources.
    pub(crate) fn reply(&self, stanza: Stanza, effects: &mut Vec<Effect>) {
        let Some(to) = &stanza.head.to else { return };
        match self.locate(to) {
            Target::Remote => effects.push(Effect::Remote { stanza }),
            Target::Resource(resource) => deliver([resource.session], stanza, effects),
            Target::Account(Some(account))
                if to.is_bare() && matches!(stanza.head.kind, Kind::Presence(_)) =>
            {
                deliver(account.available().map(|resource| resource.session), stanza, effects);
            }
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
