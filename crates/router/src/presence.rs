//! Presence that clients send: broadcast, directed, and the end of both (RFC 6121 section 4).

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_stanza::{ErrorCondition, Kind, PresenceType, Stanza, StanzaError, ns};

use crate::account::{Account, Note, Presence, Resource};
use crate::asks::{Purpose, cost};
use crate::charging::sees;
use crate::directed::Directed;
use crate::facts::Said;
use crate::line::Origin;
use crate::request::For;
use crate::router::Router;
use crate::shared::Shared;
use crate::{Change, Effect, LastSeen, SessionId};

/// What a resource leaves behind that goes offline.
struct Ended<'a> {
    was_available: bool,
    directed: Directed,
    /// The session, if it is still there to hear of it.
    session: Option<SessionId>,
    /// Who has been shown the user's presence by broadcasts.
    witnesses: &'a [BareJid],
}

impl Router {
    pub(crate) fn presence(
        &mut self,
        from: SessionId,
        kind: PresenceType,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        use PresenceType as P;
        if self.is_refused(&stanza, Some(from), effects) {
            return;
        }
        match (kind, stanza.head.to.clone()) {
            (P::Available, None) => self.broadcast(from, stanza, effects),
            (P::Unavailable, None) => self.end(from, stanza, effects),
            // The server itself sees no presence.
            (_, Some(to)) if to.localpart().is_none() && self.is_local(to.domainpart()) => {}
            (P::Available | P::Unavailable, Some(to)) => self.direct(from, to, stanza, origin, effects),
            (P::Probe, Some(to)) => self.probe(&to, stanza, origin, effects),
            // Errors concern one resource; to a bare JID they would reach those who have done nothing.
            (P::Error, Some(to)) if to.is_full() || !self.is_local(to.domainpart()) => {
                self.show(stanza, origin, effects);
            }
            (P::Error | P::Probe, _) => {}
            (P::Subscribe | P::Subscribed | P::Unsubscribe | P::Unsubscribed, _) => {
                self.subscription(from, stanza, origin, effects);
            }
        }
    }

    /// Initial presence, or an update of it (RFC 6121 sections 4.2 and 4.4).
    fn broadcast(&mut self, from: SessionId, stanza: Stanza, effects: &mut Vec<Effect>) {
        let priority = match priority(&stanza) {
            Ok(priority) => priority,
            Err(text) => {
                return self.refuse(&stanza, StanzaError::new(ErrorCondition::BadRequest, text), effects);
            }
        };
        let Some(own) = self.sessions.get(&from).map(|session| session.jid.clone()) else { return };
        let limit = self.shared.config.limits.presence_bytes;
        let Some(account) = self.accounts.get_mut(own.bare_str()) else { return };
        let shown = account.by_session(from).and_then(|resource| resource.presence());
        let before = shown.map_or(0, |presence| cost(&presence.stanza));
        if account.presence_bytes() - before + cost(&stanza) + own.bare_str().len() > limit {
            let error =
                StanzaError::new(ErrorCondition::ResourceConstraint, "the account shows too much presence");
            return self.refuse(&stanza, error, effects);
        }
        let stanza = Arc::new(stanza.with_to(own.to_bare().into()));
        if let Some(known) = account.known_mut() {
            known.last = None;
        }
        let before = account.set_presence(from, Some(Presence { stanza: Arc::clone(&stanza), priority }));
        // Before what has been sent to the account behind this.
        self.give_back(from, effects);
        let Some(account) = self.accounts.get_mut(own.bare_str()) else { return };
        for resource in account.available() {
            effects.push(Effect::Deliver { session: resource.session, stanza: Arc::clone(&stanza) });
        }
        if before.is_none() {
            welcome(&self.shared, account, from, effects);
        }
        for contact in account.audience(&self.shared) {
            self.leave(
                &own.to_bare(),
                Stanza::clone(&stanza).with_to(contact.into()),
                Said::ToSubscriber,
                u64::MAX,
                effects,
            );
        }
        if before.is_none() {
            self.probe_contacts(&own, effects);
            self.ask_again(&own, effects);
        }
    }

    /// The client says that it goes offline (section 4.5).
    fn end(&mut self, from: SessionId, stanza: Stanza, effects: &mut Vec<Effect>) {
        let Some(own) = self.sessions.get(&from).map(|session| session.jid.clone()) else { return };
        let Some(account) = self.accounts.get_mut(own.bare_str()) else { return };
        let was_available = account.set_presence(from, None).is_some();
        self.give_back(from, effects);
        let Some(account) = self.accounts.get_mut(own.bare_str()) else { return };
        let directed = account.by_session(from).map(|own| core::mem::take(&mut own.directed));
        let witnesses = account.witnesses(&self.shared);
        let directed = directed.unwrap_or_default();
        let ended = Ended { was_available, directed, session: Some(from), witnesses: &witnesses };
        self.announce_end(&own, ended, &stanza, effects);
        if was_available {
            self.note_last(&own, stanza, effects);
        }
    }

    /// Says for a resource what it can no longer say itself (section 4.5.2).
    pub(crate) fn announce_lost(
        &mut self,
        resource: Resource,
        witnesses: &[BareJid],
        effects: &mut Vec<Effect>,
    ) {
        let stanza = Stanza::presence(PresenceType::Unavailable).with_from(resource.jid.to_jid());
        let was_available = resource.presence().is_some();
        let ended = Ended { was_available, directed: resource.directed, session: None, witnesses };
        self.announce_end(&resource.jid, ended, &stanza, effects);
        if was_available {
            self.note_last(&resource.jid, stanza, effects);
        }
    }

    /// Tells exactly those who know that a resource was there that it is no longer (sections 4.5.2 and 4.6.3).
    fn announce_end(&mut self, own: &FullJid, ended: Ended<'_>, stanza: &Stanza, effects: &mut Vec<Effect>) {
        let name = own.to_bare();
        if ended.was_available {
            let everybody = name.to_jid();
            if let Some(account) = self.accounts.get_mut(&name) {
                account.observe(&self.shared, stanza.clone().with_to(everybody.clone()), Said::New, effects);
            }
            if let Some(session) = ended.session {
                effects
                    .push(Effect::Deliver { session, stanza: Arc::new(stanza.clone().with_to(everybody)) });
            }
        }
        for (to, said) in ended.who_hears(&self.shared, own) {
            self.leave(&name, stanza.clone().with_to(to), said, u64::MAX, effects);
        }
    }

    /// Directed presence of a resource has not reached the entity.
    pub(crate) fn forget_directed(&mut self, own: &Jid, entity: &Jid) {
        let account = self.accounts.get_mut(own.bare_str());
        let name = own.resourcepart();
        let resource =
            account.and_then(|account| account.all().iter_mut().find(|r| Some(r.jid.resourcepart()) == name));
        if let Some(resource) = resource {
            resource.directed.remove(entity);
        }
    }

    /// Keeps how the account's last resource has gone, for those who ask later.
    fn note_last(&mut self, own: &FullJid, stanza: Stanza, effects: &mut Vec<Effect>) {
        let name = own.to_bare();
        if self.accounts.get(&name).is_some_and(|account| account.available().next().is_none()) {
            let now = self.asks.now();
            let presence = Arc::new(stanza.with_from(own.to_jid()));
            let change = Change::LastSeen(Arc::clone(&presence));
            let Some(account) = self.accounts.get_mut(&name) else { return };
            if let Some(known) = account.known_mut() {
                known.last = Some(LastSeen { at: known.clock(now), presence });
            }
            if let Note::Nothing = account.note {
                account.note = Note::Saving;
                self.save_beside(&name, change, Purpose::Note, None, effects);
            } else {
                account.note = Note::Next(Box::new(change));
            }
        }
    }

    /// Presence to one entity (section 4.6).
    fn direct(
        &mut self,
        from: SessionId,
        to: Jid,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        // Who is gone by now can't show itself any more: nobody would say when it ends.
        let Some(own) = self.sessions.get(&from) else { return };
        let Some(account) = self.accounts.get_mut(own.jid.bare_str()) else { return };
        let room = self.shared.config.limits.presence_bytes.saturating_sub(account.presence_bytes());
        let Some(resource) = account.by_session(from) else { return };
        let directed = &mut resource.directed;
        let mut ended = None;
        if stanza.head.kind == Kind::Presence(PresenceType::Unavailable) {
            ended = directed.remove(&to).then_some(to);
        } else if directed.contains(&to)
            || directed.len() < self.shared.config.limits.directed && Directed::cost(&to) <= room
        {
            directed.insert(to);
        } else {
            let error = StanzaError::new(ErrorCondition::ResourceConstraint, "directed presence to too many");
            return self.refuse(&stanza, error, effects);
        }
        self.show(stanza, origin, effects);
        // Whom that has not reached is still to be told.
        if let Some(entity) = ended.filter(|_| matches!(origin, Origin::Refused))
            && let Some(own) = self.sessions.get(&from)
            && let Some(account) = self.accounts.get_mut(own.jid.bare_str())
            && let Some(resource) = account.by_session(from)
        {
            resource.directed.insert(entity);
        }
    }

    /// Passes presence on to whom it is addressed to. If nobody is there it comes to nothing (section 8.5.2.2.2).
    pub(crate) fn show(&mut self, stanza: Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        let Some(to) = &stanza.head.to else { return };
        if !self.is_local(to.domainpart()) {
            // What the server says in a client's name the client has not asked for.
            let is_told = !origin.is_said();
            return effects.push(Effect::Remote { stanza, is_told, is_answer: false });
        }
        // What the server says is for those who have seen the sender before, however many these are.
        if self.crosses(&stanza, origin, effects).is_none() && !origin.is_said() {
            return;
        }
        let sees = sees(&stanza, origin);
        if self.has_to_park(&stanza, sees, origin, effects) {
            return self.park(stanza, origin, effects);
        }
        let Some(to) = &stanza.head.to else { return };
        let Some(account) = self.accounts.get_mut(to.bare_str()) else { return };
        if account.open().is_some() && !account.is_held(&stanza, false, None, u64::MAX) {
            return account.observe(&self.shared, stanza, origin.facts().said, effects);
        }
        self.arrive(For::Others, stanza, origin, effects);
    }

    /// Presence has come for an account.
    pub(crate) fn take_presence(&mut self, stanza: Stanza, said: Said, effects: &mut Vec<Effect>) {
        let Some(to) = &stanza.head.to else { return };
        let Some(account) = self.accounts.get_mut(to.bare_str()) else { return };
        if !(stanza.head.kind.is_error() && to.is_bare()) {
            account.observe(&self.shared, stanza, said, effects);
        }
    }
}

impl Account {
    /// Delivers presence: to the resource with this full JID, or to all available ones (section 8.5).
    fn observe(&mut self, shared: &Shared, stanza: Stanza, said: Said, effects: &mut Vec<Effect>) {
        let Some(to) = stanza.head.to.clone().filter(|_| !self.shuts_out(shared, &stanza)) else { return };
        let stanza = Arc::new(stanza);
        // Who is gone, or was not reached, has not to be told of the end.
        let is_end =
            matches!(stanza.head.kind, Kind::Presence(PresenceType::Unavailable | PresenceType::Error));
        let gone = stanza.head.from.as_ref().filter(|_| is_end);
        for observer in self.observers(to.resourcepart()) {
            if said == Said::ToAll && observer.presence().is_some() {
                continue;
            }
            if let Some(gone) = gone {
                observer.directed.remove(gone);
            }
            effects.push(Effect::Deliver { session: observer.session, stanza: Arc::clone(&stanza) });
        }
    }
}

impl Ended<'_> {
    /// Who hears of it, and why.
    fn who_hears(self, shared: &Shared, own: &FullJid) -> Vec<(Jid, Said)> {
        let Ended { was_available, directed, witnesses, .. } = self;
        let all =
            witnesses.iter().filter(|_| was_available).map(|contact| (contact.to_jid(), Said::ToSubscriber));
        let mut who: Vec<_> = all.collect();
        if directed.is_empty() {
            return who;
        }
        let witnesses: BTreeSet<&str> = witnesses.iter().map(BareJid::as_str).collect();
        for entity in directed {
            let is_witness = entity.bare_str() == own.bare_str() || witnesses.contains(entity.bare_str());
            let is_told = was_available && is_witness;
            let is_itself = entity.as_str() == own.as_str();
            let said = end_for(shared, &entity, is_told).filter(|_| !(is_told && is_itself));
            who.extend(said.map(|said| (entity, said)));
        }
        who
    }
}

/// How the end of directed presence is said to an entity, if at all. If its bare JID `is_told`, that reaches everybody there but the
/// resources of ours that are not available, which only their account knows.
pub(crate) fn end_for(shared: &Shared, entity: &Jid, is_told: bool) -> Option<Said> {
    match is_told {
        false => Some(Said::New),
        true if entity.is_full() && shared.is_local(entity.domainpart()) => Some(Said::ToAll),
        true => None,
    }
}

/// What a resource gets that has become available: the presence of the others (section 4.2.2) and the subscription requests
/// that wait for the user (section 3.1.3).
fn welcome(shared: &Shared, account: &Account, session: SessionId, effects: &mut Vec<Effect>) {
    let others = account.available().filter(|other| other.session != session);
    let presence = others.filter_map(|other| other.presence()).map(|presence| &presence.stanza);
    let known = account.known();
    let requests = known.into_iter().flat_map(|known| known.roster.requests());
    let requests = requests.filter(|request| !account.shuts_out(shared, request));
    effects.extend(
        presence.chain(requests).map(|stanza| Effect::Deliver { session, stanza: Arc::clone(stanza) }),
    );
}

/// The priority of a presence stanza (RFC 6121 section 4.7.2.3).
///
/// It is all that a server needs to understand. Faults in `<show/>` and `<status/>` are for those to judge who show them:
/// refusing them would keep a client offline for a word.
pub(crate) fn priority(stanza: &Stanza) -> Result<i8, &'static str> {
    if stanza.payload.is_empty() {
        return Ok(0);
    }
    let payload = stanza.payload.parse().map_err(|_| "the content is not well-formed")?;
    let root = payload.root();
    let mut priorities =
        root.children().filter(|child| child.name() == "priority" && ns::is_content(child.namespace()));
    let Some(priority) = priorities.next() else { return Ok(0) };
    if priorities.next().is_some() {
        return Err("there is more than one priority");
    }
    priority.text().trim().parse().map_err(|_| "the priority is an integer from -128 to 127")
}
