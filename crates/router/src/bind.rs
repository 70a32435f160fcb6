//! Sessions come and go: resource binding (RFC 6120 section 7) and its end.

use alloc::vec::Vec;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, StanzaError, StreamCondition};

use crate::outbox::Outbox;
use crate::router::{Marks, Router, Session};
use crate::{ConflictPolicy, Effect, Removal, SessionId};

/// What is to be bound, and who makes way for it.
struct Way {
    /// The address, unless it is to be made up.
    wanted: Option<FullJid>,
    /// Those that it takes the place of.
    old: Vec<SessionId>,
    /// The one that has waited longest for its client, if there are too many.
    oldest: Option<SessionId>,
}

/// Characters of a resource that the server makes up: 80 random bits, so that it cannot be guessed.
const GENERATED: usize = 16;

impl Router {
    /// Binds a resource of `account`, who has authenticated, to the session; without `resource` one is made up.
    ///
    /// The JID returned is in normal form and may differ from what was asked for. The session is *connected* now, and
    /// reachable at that JID; it becomes *available* when it sends presence. With the first of an account's sessions the account
    /// is loaded, and what they send waits for that.
    ///
    /// # Errors
    ///
    /// - `not-allowed` if the account is not one of a local domain, or the session has bound a resource before.
    /// - `bad-request` if the resource breaks RFC 7622.
    /// - `conflict` if another session has the resource and the policy is [`ConflictPolicy::RefuseNew`].
    /// - `resource-constraint` if the account has [`Limits::resources`](balcony_machine::Limits::resources) bound, and all of them
    ///   have connections. Of those that wait for their clients the one that waits longest ends instead.
    pub fn bind(
        &mut self,
        now: Instant,
        session: SessionId,
        account: &BareJid,
        resource: Option<&str>,
        effects: &mut Vec<Effect>,
    ) -> Result<FullJid, StanzaError> {
        self.bind_of(now, session, account, resource, None, effects)
    }

    /// The same for an installation of a client, if it says which one it is. The sessions that the installation has begun before end
    /// (XEP-0386 section 3.2): those of the account whose resource is `installation`, or ends with a slash and that. Only where newcomers
    /// replace others ([`ConflictPolicy::ReplaceOld`]).
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Router::bind). Then nobody's session has ended.
    pub fn bind_of(
        &mut self,
        now: Instant,
        session: SessionId,
        account: &BareJid,
        resource: Option<&str>,
        installation: Option<&str>,
        effects: &mut Vec<Effect>,
    ) -> Result<FullJid, StanzaError> {
        self.asks.clock(now);
        let start = effects.len();
        let bound = self.bind_now(session, account, resource, installation, effects);
        self.go_on(effects);
        self.dispatch(start, effects);
        bound
    }

    /// The sessions that an installation has begun.
    fn begun_by(&self, account: &BareJid, installation: &str) -> Vec<SessionId> {
        // In the form that it has in an address. What can't be in one is nobody's.
        let Ok(installation) = account.with_resource(installation) else { return Vec::new() };
        let is_of_it = |resource: &str| {
            let rest = resource.strip_suffix(installation.resourcepart());
            rest.is_some_and(|tag| tag.is_empty() || tag.ends_with('/'))
        };
        let resources = self.accounts.get(account).map(|account| account.resources()).unwrap_or_default();
        let own = resources.iter().filter(|resource| is_of_it(resource.jid.resourcepart()));
        own.map(|resource| resource.session).collect()
    }

    /// The sessions that end when this is [bound](Router::bind_of), since they have the address or are of the same installation; none if it would
    /// be refused. Whoever knows their connections may have these end before, so that all that their clients have sent comes first.
    #[must_use]
    pub fn replaced_by(
        &self,
        account: &BareJid,
        resource: Option<&str>,
        installation: Option<&str>,
    ) -> Vec<SessionId> {
        self.way(account, resource, installation).map(|way| way.old).unwrap_or_default()
    }

    fn way(
        &self,
        account: &BareJid,
        resource: Option<&str>,
        installation: Option<&str>,
    ) -> Result<Way, StanzaError> {
        if !self.is_local(account.domainpart()) || account.localpart().is_none() {
            return Err(StanzaError::new(
                ErrorCondition::NotAllowed,
                "this is not an account of this server",
            ));
        }
        let mut wanted = match resource {
            Some(resource) => Some(account.with_resource(resource).map_err(|_| {
                StanzaError::new(ErrorCondition::BadRequest, "this cannot be the resource of an address")
            })?),
            None => None,
        };
        let policy = self.shared.config.conflict;
        let installation = installation.filter(|_| policy == ConflictPolicy::ReplaceOld);
        let mut old = installation.map(|own| self.begun_by(account, own)).unwrap_or_default();
        if let Some(holder) = wanted.as_ref().and_then(|jid| self.holder(jid)) {
            match policy {
                ConflictPolicy::ReplaceOld if old.contains(&holder) => {}
                ConflictPolicy::ReplaceOld => old.push(holder),
                ConflictPolicy::RefuseNew => return Err(ErrorCondition::Conflict.into()),
                ConflictPolicy::Rename => wanted = None,
            }
        }
        let mut oldest = None;
        if self.sessions(account).count() - old.len() >= self.shared.config.limits.resources {
            oldest = self.waits_longest(account, &old);
            if oldest.is_none() {
                let text = "too many resources are connected";
                return Err(StanzaError::new(ErrorCondition::ResourceConstraint, text));
            }
        }
        Ok(Way { wanted, old, oldest })
    }

    fn bind_now(
        &mut self,
        session: SessionId,
        account: &BareJid,
        resource: Option<&str>,
        installation: Option<&str>,
        effects: &mut Vec<Effect>,
    ) -> Result<FullJid, StanzaError> {
        let Way { wanted, old, oldest } = self.way(account, resource, installation)?;
        if self.sessions.contains_key(&session) {
            return Err(StanzaError::new(ErrorCondition::NotAllowed, "a stream binds one resource"));
        }
        let old = old.into_iter().map(|session| (session, StreamCondition::Conflict));
        let oldest = oldest.map(|session| (session, StreamCondition::ResourceConstraint));
        for (session, error) in old.chain(oldest) {
            effects.push(Effect::Close { session, error });
            self.end_session(session, effects);
        }
        let jid = match wanted {
            Some(jid) => jid,
            None => self.make_up(account)?,
        };
        let known = self.load(account, effects);
        known.bind(session, jid.clone());
        if known.resources().len() == 1 {
            self.online += 1;
        }
        let own = Session {
            jid: jid.clone(),
            since: self.asks.now(),
            is_plain: false,
            holds: false,
            is_told: false,
            outbox: Outbox::default(),
            received: 0,
            undecided: 0,
            recent: None,
            recent_to: None,
            marks: Marks::default(),
        };
        self.sessions.insert(session, own);
        self.refresh(account);
        Ok(jid)
    }

    /// The session is over, for whatever reason. If its resource was available, those who know that learn of the end
    /// (RFC 6121 section 4.5.2). What it has sent still goes its way. A session that is not bound has no effects.
    ///
    /// What was delivered to it may still be written: say so with [`drained`](Router::drained), and at last call
    /// [`gone`](Router::gone), once for each session.
    pub fn unbind(&mut self, now: Instant, session: SessionId, effects: &mut Vec<Effect>) {
        self.asks.clock(now);
        let start = effects.len();
        self.end_session(session, effects);
        self.go_on(effects);
        self.dispatch(start, effects);
    }

    pub(crate) fn end_session(&mut self, session: SessionId, effects: &mut Vec<Effect>) {
        let Some(own) = self.sessions.remove(&session) else { return };
        self.waits_no_longer(session, &own);
        let name = own.jid.to_bare();
        let Some(account) = self.accounts.get_mut(&name) else { return };
        let Some(resource) = account.unbind(session) else { return };
        account.backlog.unbind(session);
        let creation = account.known().map(|known| known.creation);
        if account.resources().is_empty() {
            self.online -= 1;
        }
        self.leave_queue(session, &name, creation, own.outbox);
        let witnesses = self.witnesses(&name);
        self.announce_lost(resource, &witnesses, effects);
        self.settle(&name, effects);
    }

    /// Removes an account: from the store, as [`Ask::Remove`](crate::Ask::Remove) says; then its sessions are closed with
    /// `not-authorized` (XEP-0077 section 3.2), those who have received presence from it learn of the end, and subscriptions
    /// from and to it are ended, whether or not it has sessions.
    ///
    /// [`Effect::Removed`] says when that is so. Contacts on this server are told at the same time, and what changes in their
    /// rosters is saved behind it.
    pub fn remove_account(&mut self, now: Instant, account: &BareJid, effects: &mut Vec<Effect>) {
        self.asks.clock(now);
        let start = effects.len();
        if !self.is_local(account.domainpart()) || account.localpart().is_none() {
            return effects.push(Effect::Removed { account: account.clone(), removal: Removal::Missing });
        }
        self.load(account, effects).removing = true;
        self.settle(account, effects);
        self.go_on(effects);
        self.dispatch(start, effects);
    }

    fn holder(&self, jid: &FullJid) -> Option<SessionId> {
        Some(self.accounts.get(jid.bare_str())?.by_name(jid.resourcepart())?.session)
    }

    fn make_up(&mut self, account: &BareJid) -> Result<FullJid, StanzaError> {
        loop {
            let resource = self.random.token(GENERATED);
            let jid = account.with_resource(&resource).map_err(|_| ErrorCondition::InternalServerError)?;
            if self.holder(&jid).is_none() {
                return Ok(jid);
            }
        }
    }
}
