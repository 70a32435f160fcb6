//! Probes: who may know gets the presence of an account, everybody else the same nothing (RFC 6121 section 4.3).

use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_stanza::{PresenceType, Stanza};
use balcony_xep::delay::Delay;

use crate::account::{Account, Resource};
use crate::facts::Said;
use crate::line::Origin;
use crate::lookup::{About, Looked};
use crate::router::Router;
use crate::shared::Shared;
use crate::waits::Place;
use crate::{Effect, LastSeen};

impl Router {
    /// A client sends a probe. It should not, but may.
    pub(crate) fn probe(&mut self, to: &Jid, stanza: Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        if !self.is_local(to.domainpart()) {
            effects.push(Effect::Remote { stanza, is_told: true, is_answer: false });
        } else {
            self.pass_across(stanza, origin, effects);
        }
    }

    /// Asks for the presence of those whom the user is subscribed to (section 4.2.2). Contacts of this server who are not
    /// in memory have no presence either, and do not answer.
    pub(crate) fn probe_contacts(&mut self, own: &FullJid, effects: &mut Vec<Effect>) {
        let account = self.accounts.get(own.bare_str());
        let contacts = account.map(|account| account.probed(&self.shared)).unwrap_or_default();
        for contact in contacts {
            let is_local = self.is_local(contact.domainpart());
            // Only this resource needs the answer of a contact of this server.
            let from = if is_local { own.to_jid() } else { own.to_bare().into() };
            let probe = Stanza::presence(PresenceType::Probe).with_from(from).with_to(contact.into());
            if is_local {
                self.pass_across(probe, &mut Origin::said(Said::WhoIsThere), effects);
            } else {
                effects.push(Effect::Remote { stanza: probe, is_told: false, is_answer: false });
            }
        }
    }

    /// Asks for the presence of these contacts, of which the user has not heard for a while: for all of its clients that are there, since none
    /// of them knows. A contact of this server who is away is asked as well: the clients may have seen that contact there.
    pub(crate) fn probe_again(
        &mut self,
        name: &BareJid,
        contacts: Vec<BareJid>,
        number: u64,
        effects: &mut Vec<Effect>,
    ) {
        if self.accounts.get(name).is_none_or(|account| account.available().next().is_none()) {
            return;
        }
        for contact in contacts {
            let probe =
                Stanza::presence(PresenceType::Probe).with_from(name.to_jid()).with_to(contact.into());
            self.leave(name, probe, Said::New, number, effects);
        }
    }

    /// A probe has come for an account.
    pub(crate) fn take_probe(&mut self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        let Some(to) = &stanza.head.to else { return };
        let Some(account) = self.accounts.get(to.bare_str()) else { return };
        match account.answer_probe(&self.shared, stanza, effects) {
            Some(answers) => answers.into_iter().for_each(|answer| self.reply(answer, effects)),
            // Not any more, or it would not have waited.
            None => self.deny_probe(stanza, effects),
        }
    }

    /// Answers a probe when the store has answered a question of its own about the account, as it has to where the account
    /// is not known: how soon the answer comes must not show who is online, nor what others want of them.
    pub(crate) fn probe_later(&mut self, stanza: Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        let Some(account) = stanza.head.to.as_ref().map(Jid::to_bare) else { return };
        let Some(charge) = self.charge_at(Place::Probe, &stanza, origin, effects) else { return };
        self.look_up(account, About::Presence, stanza, charge, effects);
    }

    /// The store has answered. In the meantime the account may have become known, or forgotten.
    pub(crate) fn probed(
        &mut self,
        stanza: Stanza,
        origin: &mut Origin,
        looked: Option<&Looked>,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(looked), Some(to)) = (looked, &stanza.head.to) else { return };
        let name = to.to_bare();
        let as_kept = looked.as_ref().map(|(account, _)| account);
        let known = self.accounts.get(&name).filter(|account| account.known().is_some()).or(as_kept);
        match known {
            Some(account) if !account.is_probed_by_stranger(&self.shared, &stanza) => {
                // It has been charged for, so it is not turned away.
                self.wait(stanza, origin, effects);
            }
            _ => self.deny_probe(&stanza, effects),
        }
        self.settle(&name, effects);
    }

    /// Whoever has no subscription hears so (section 4.3.2), and whether or not there is such an account.
    pub(crate) fn deny_probe(&mut self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        if let Some(to) = &stanza.head.to {
            let denial = answer(PresenceType::Unsubscribed, to.to_bare().into(), stanza);
            self.pass_on(denial, false, &mut Origin::Answer, effects);
        }
    }
}

impl Account {
    /// Those whom the user is subscribed to and who may be asked.
    pub(crate) fn probed(&self, shared: &Shared) -> Vec<BareJid> {
        let Some(known) = self.known() else { return Vec::new() };
        let owner = known.roster.owner();
        let allows = |contact: &&BareJid| shared.allows(owner, self, &contact.to_jid());
        known.roster.probed().filter(allows).cloned().collect()
    }

    /// What the sender of a probe is answered, which may be nothing; `None` if it may see nothing. What the user's own client gets, which
    /// has asked for all of its presence, is delivered.
    fn answer_probe(
        &self,
        shared: &Shared,
        stanza: &Stanza,
        effects: &mut Vec<Effect>,
    ) -> Option<Vec<Stanza>> {
        let (Some(prober), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return Some(Vec::new()) };
        if self.shuts_out(shared, stanza) {
            return Some(Vec::new());
        }
        if prober.same_bare(to) {
            return Some(self.show_own(stanza, effects));
        }
        let known = self.known();
        if !known.is_some_and(|known| known.roster.is_subscriber(&prober.to_bare())) {
            // Directed presence shows one resource, and of it no more than that it is there.
            let shown = self.shown_to(prober, stanza);
            let shown = shown.map(|shown| answer(PresenceType::Available, shown.jid.to_jid(), stanza));
            return Some(shown.collect::<Vec<_>>()).filter(|answers| !answers.is_empty());
        }
        if let Some(name) = to.resourcepart() {
            return Some(Vec::from([self.of_resource(name, to, stanza)]));
        }
        let available = self.available().filter_map(Resource::presence);
        let mut answers: Vec<Stanza> =
            available.map(|presence| Stanza::clone(&presence.stanza).with_to(prober.clone())).collect();
        if answers.is_empty() {
            let last = known.and_then(|known| known.last.as_ref());
            answers.push(absent(last, answer(PresenceType::Unavailable, to.to_bare().into(), stanza)));
        }
        Some(answers)
    }

    /// The user asks about the own account.
    fn show_own(&self, stanza: &Stanza, effects: &mut Vec<Effect>) -> Vec<Stanza> {
        let (Some(prober), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return Vec::new() };
        if let Some(name) = to.resourcepart() {
            return Vec::from([self.of_resource(name, to, stanza)]);
        }
        if self.available().next().is_none() {
            return Vec::from([answer(PresenceType::Unavailable, to.clone(), stanza)]);
        }
        if let Some(prober) = prober.resourcepart().and_then(|name| self.by_name(name)) {
            let presence = self.available().filter_map(Resource::presence);
            effects.extend(presence.map(|presence| Effect::Deliver {
                session: prober.session,
                stanza: Arc::clone(&presence.stanza),
            }));
        }
        Vec::new()
    }

    /// Whether a resource is there, for somebody who may know.
    fn of_resource(&self, name: &str, to: &Jid, stanza: &Stanza) -> Stanza {
        let is_there = self.by_name(name).is_some_and(|resource| resource.presence().is_some());
        let kind = if is_there { PresenceType::Available } else { PresenceType::Unavailable };
        answer(kind, to.clone(), stanza)
    }
}

/// What is said of an address to who has probed it.
fn answer(kind: PresenceType, of: Jid, probe: &Stanza) -> Stanza {
    let mut answer = Stanza::presence(kind).with_from(of);
    answer.head.to.clone_from(&probe.head.from);
    answer.head.id.clone_from(&probe.head.id);
    answer
}

/// The answer of an account that is not there, with how and when it went (section 4.3.2).
fn absent(last: Option<&LastSeen>, answer: Stanza) -> Stanza {
    let Some(last) = last else { return answer };
    let server = answer.head.from.as_ref().map_or("", Jid::domainpart);
    let delay = Delay::new(server, last.at).to_element();
    answer.with_payload(last.presence.payload.with(&delay))
}
