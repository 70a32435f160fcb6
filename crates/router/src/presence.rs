//! Presence that clients send: broadcast, directed, and the end of both (RFC 6121 section 4).

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{FullJid, Jid};
use balcony_stanza::{ErrorCondition, Kind, PresenceType, Stanza, StanzaError, ns};

use crate::account::{Presence, Resource};
use crate::router::{Router, Target};
use crate::{Effect, SessionId};

/// What a resource leaves behind that goes offline.
struct Ended {
    was_available: bool,
    directed: BTreeSet<Jid>,
    /// The session, if it is still there to hear of it.
    session: Option<SessionId>,
}

impl Router {
    pub(crate) fn presence(
        &mut self,
        from: SessionId,
        kind: PresenceType,
        stanza: Stanza,
        effects: &mut Vec<Effect>,
    ) {
        use PresenceType as P;
        match (kind, stanza.head.to.clone()) {
            (P::Available, None) => self.broadcast(from, stanza, effects),
            (P::Unavailable, None) => self.end(from, stanza, effects),
            (P::Available | P::Unavailable, Some(to)) => self.direct(from, kind, to, stanza, effects),
            (P::Probe, Some(to)) => self.probe(from, &to, stanza, effects),
            // Errors concern one resource; to a bare JID they would reach those who have done nothing.
            (P::Error, Some(to)) if to.is_full() || !self.is_local(to.domainpart()) => {
                self.show(&to, stanza, effects);
            }
            (P::Error | P::Probe, _) => {}
            // Without rosters nothing can come of these. No answer says nothing about who exists.
            (P::Subscribe | P::Subscribed | P::Unsubscribe | P::Unsubscribed, _) => {}
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
        let Some(own) = self.sessions.get(&from) else { return };
        let Some(account) = self.accounts.get_mut(own.bare_str()) else { return };
        let stanza = Arc::new(stanza.to(own.to_bare().into()));
        let before = account.set_presence(from, Some(Presence { stanza: Arc::clone(&stanza), priority }));
        for resource in account.available() {
            effects.push(Effect::Deliver { session: resource.session, stanza: Arc::clone(&stanza) });
        }
        if before.is_none() {
            let others = account.available().filter(|other| other.session != from);
            for presence in others.filter_map(|other| other.presence()) {
                effects.push(Effect::Deliver { session: from, stanza: Arc::clone(&presence.stanza) });
            }
        }
    }

    /// The client says that it goes offline (section 4.5).
    fn end(&mut self, from: SessionId, stanza: Stanza, effects: &mut Vec<Effect>) {
        let Some(own) = self.sessions.get(&from).cloned() else { return };
        let Some(account) = self.accounts.get_mut(own.bare_str()) else { return };
        let was_available = account.set_presence(from, None).is_some();
        let directed = account.by_session(from).map(|own| core::mem::take(&mut own.directed));
        let ended = Ended { was_available, directed: directed.unwrap_or_default(), session: Some(from) };
        self.announce_end(&own, ended, stanza, effects);
    }

    /// Says for a resource what it can no longer say itself (section 4.5.2).
    pub(crate) fn announce_lost(&mut self, resource: Resource, effects: &mut Vec<Effect>) {
        let stanza = Stanza::presence(PresenceType::Unavailable).from(resource.jid.to_jid());
        let was_available = resource.presence().is_some();
        let ended = Ended { was_available, directed: resource.directed, session: None };
        self.announce_end(&resource.jid, ended, stanza, effects);
    }

    /// Tells exactly those who know that a resource was there that it is no longer (sections 4.5.2 and 4.6.3).
    fn announce_end(&mut self, own: &FullJid, ended: Ended, stanza: Stanza, effects: &mut Vec<Effect>) {
        let from = own.to_jid();
        if ended.was_available {
            let everybody = own.to_bare().to_jid();
            self.show(&everybody, stanza.clone().to(everybody.clone()), effects);
            if let Some(session) = ended.session {
                effects.push(Effect::Deliver { session, stanza: Arc::new(stanza.clone().to(everybody)) });
            }
        }
        for entity in ended.directed {
            // The account's own resources have been told just now.
            let told = ended.was_available
                && entity.same_bare(&from)
                && match self.locate(&entity) {
                    Target::Resource(_, resource) => resource.presence().is_some() || entity == from,
                    _ => true,
                };
            if !told {
                self.show(&entity, stanza.clone().to(entity.clone()), effects);
            }
        }
    }

    /// Presence to one entity (section 4.6).
    fn direct(
        &mut self,
        from: SessionId,
        kind: PresenceType,
        to: Jid,
        stanza: Stanza,
        effects: &mut Vec<Effect>,
    ) {
        let Some(own) = self.sessions.get(&from) else { return };
        let Some(resource) = self.accounts.get_mut(own.bare_str()).and_then(|a| a.by_session(from)) else {
            return;
        };
        let directed = &mut resource.directed;
        if kind == PresenceType::Unavailable {
            directed.remove(&to);
        } else if directed.contains(&to) || directed.len() < self.config.limits.directed {
            directed.insert(to.clone());
        } else {
            let error = StanzaError::new(ErrorCondition::ResourceConstraint, "directed presence to too many");
            return self.refuse(&stanza, error, effects);
        }
        self.show(&to, stanza, effects);
    }

    /// Delivers presence: to the resource with this full JID, or to all available ones (section 8.5).
    fn show(&mut self, to: &Jid, stanza: Stanza, effects: &mut Vec<Effect>) {
        if !self.is_local(to.domainpart()) {
            return effects.push(Effect::Remote { stanza });
        }
        let Some(account) = self.accounts.get_mut(to.bare_str()) else { return };
        let stanza = Arc::new(stanza);
        let gone = stanza
            .head
            .from
            .as_ref()
            .filter(|_| stanza.head.kind == Kind::Presence(PresenceType::Unavailable));
        for observer in account.observers(to.resourcepart()) {
            if let Some(gone) = gone {
                observer.directed.remove(gone);
            }
            effects.push(Effect::Deliver { session: observer.session, stanza: Arc::clone(&stanza) });
        }
    }
}

/// The priority of a presence stanza (RFC 6121 section 4.7.2.3).
///
/// It is all that a server needs to understand. Faults in `<show/>` and `<status/>` are for those to judge who show them:
/// refusing them would keep a client offline for a word.
fn priority(stanza: &Stanza) -> Result<i8, &'static str> {
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
