//! Probes: who may know gets the presence of an account, everybody else the same nothing (RFC 6121 section 4.3).

use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_stanza::{PresenceType, Stanza};
use balcony_xep::delay::Delay;

use crate::account::{Account, Resource};
use crate::facts::{Said, SenderFacts};
use crate::line::Origin;
use crate::lookup::{About, Looked};
use crate::router::Router;
use crate::waits::Place;
use crate::{Effect, LastSeen};

impl Router {
    /// A client sends a probe. It should not, but may.
    pub(crate) fn probe(&mut self, to: &Jid, stanza: Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        if !self.is_local(to.domainpart()) {
            effects.push(Effect::Remote { stanza, is_told: true });
        } else {
            self.pass_across(stanza, origin, effects);
        }
    }

    /// Asks for the presence of those whom the user is subscribed to (section 4.2.2). Contacts of this server who are not
    /// in memory have no presence either, and do not answer.
    pub(crate) fn probe_contacts(&mut self, own: &FullJid, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get(own.bare_str()) else { return };
        let Some(known) = account.known() else { return };
        let name = known.roster.owner();
        let contacts: Vec<BareJid> = known
            .roster
            .probed()
            .filter(|contact| self.shared.allows(name, account, &contact.to_jid()))
            .cloned()
            .collect();
        for contact in contacts {
            let is_local = self.is_local(contact.domainpart());
            // Only this resource needs the answer of a contact of this server.
            let from = if is_local { own.to_jid() } else { own.to_bare().into() };
            let probe = Stanza::presence(PresenceType::Probe).from(from).to(contact.into());
            if is_local {
                self.pass_across(probe, &mut Origin::said(Said::WhoIsThere), effects);
            } else {
                effects.push(Effect::Remote { stanza: probe, is_told: false });
            }
        }
    }

    /// A probe has come for an account.
    pub(crate) fn take_probe(&mut self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        let (Some(prober), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return };
        let Some(account) = self.accounts.get(to.bare_str()) else { return };
        if account.shuts_out(&self.shared, stanza) {
            return;
        }
        let known = account.known();
        if prober.same_bare(to) {
            return self.show_own(account, stanza, effects);
        }
        let is_subscriber = known.is_some_and(|known| known.roster.is_subscriber(&prober.to_bare()));
        let answers: Vec<Stanza> = match to.resourcepart() {
            _ if !is_subscriber => {
                // Directed presence shows one resource, and of it no more than that it is there.
                let shown = account.shown_to(prober, stanza);
                shown.map(|resource| answer(PresenceType::Available, resource.jid.to_jid(), stanza)).collect()
            }
            Some(name) => {
                let is_there = account.by_name(name).is_some_and(|resource| resource.presence().is_some());
                let kind = if is_there { PresenceType::Available } else { PresenceType::Unavailable };
                Vec::from([answer(kind, to.clone(), stanza)])
            }
            None => {
                let available = account.available().filter_map(Resource::presence);
                available.map(|presence| Stanza::clone(&presence.stanza).to(prober.clone())).collect()
            }
        };
        match answers.is_empty() {
            true if is_subscriber => {
                let last = known.and_then(|known| known.last.as_ref());
                let answer = answer(PresenceType::Unavailable, to.to_bare().into(), stanza);
                self.reply(absent(last, answer), effects);
            }
            // Not any more, or it would not have waited.
            true => self.deny_probe(stanza, effects),
            false => answers.into_iter().for_each(|answer| self.reply(answer, effects)),
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
        facts: SenderFacts,
        looked: Option<&Looked>,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(looked), Some(to)) = (looked, &stanza.head.to) else { return };
        let name = to.to_bare();
        let as_kept = looked.as_ref().map(|(account, _)| account);
        let known = self.accounts.get(&name).filter(|account| account.known().is_some()).or(as_kept);
        match known {
            Some(account) if !account.is_probed_by_stranger(&self.shared, &stanza) => {
                // It has been admitted, so it is not turned away.
                self.wait(stanza, &mut Origin::Server(facts), effects);
            }
            _ => self.deny_probe(&stanza, effects),
        }
        self.settle(&name, effects);
    }

    /// Whoever has no subscription hears so (section 4.3.2), and whether or not there is such an account.
    pub(crate) fn deny_probe(&mut self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        if let Some(to) = &stanza.head.to {
            let denial = answer(PresenceType::Unsubscribed, to.to_bare().into(), stanza);
            self.pass_on(denial, &mut Origin::Answer, effects);
        }
    }

    /// The user asks about the own account.
    fn show_own(&self, account: &Account, stanza: &Stanza, effects: &mut Vec<Effect>) {
        let (Some(prober), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return };
        if let Some(name) = to.resourcepart() {
            let is_there = account.by_name(name).is_some_and(|resource| resource.presence().is_some());
            let kind = if is_there { PresenceType::Available } else { PresenceType::Unavailable };
            return self.reply(answer(kind, to.clone(), stanza), effects);
        }
        if account.available().next().is_none() {
            return self.reply(answer(PresenceType::Unavailable, to.clone(), stanza), effects);
        }
        let Some(prober) = prober.resourcepart().and_then(|name| account.by_name(name)) else { return };
        effects.extend(account.available().filter_map(Resource::presence).map(|presence| Effect::Deliver {
            session: prober.session,
            stanza: Arc::clone(&presence.stanza),
        }));
    }
}

/// What is said of an address to who has probed it.
fn answer(kind: PresenceType, of: Jid, probe: &Stanza) -> Stanza {
    let mut answer = Stanza::presence(kind).from(of);
    answer.head.to.clone_from(&probe.head.from);
    answer.head.id.clone_from(&probe.head.id);
    answer
}

/// The answer of an account that is not there, with how and when it went (section 4.3.2).
fn absent(last: Option<&LastSeen>, answer: Stanza) -> Stanza {
    let Some(last) = last else { return answer };
    let server = answer.head.from.as_ref().map_or("", Jid::domainpart);
    let delay = Delay::new(server, last.at).to_element();
    answer.payload(last.presence.payload.with(&delay))
}
