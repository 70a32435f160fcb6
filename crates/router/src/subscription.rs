//! Rosters at work: what the decisions of a user's roster come to (RFC 6121 sections 2 and 3).
//!
//! What a client is told is on disk: whatever follows from a change waits until the change is durable.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_roster::{Answer, Audience, Decision, Push, Request, Roster};
use balcony_stanza::{IqType, Kind, Payload, PresenceType, Stanza};
use balcony_xml::ElementRef;

use crate::account::Account;
use crate::asks::Charge;
use crate::commit::{Commit, Scope, Then};
use crate::facts::Said;
use crate::farewells;
use crate::line::Origin;
use crate::presence::end_for;
use crate::router::{Router, deliver};
use crate::shared::Shared;
use crate::{Ask, Change, Effect, SessionId};

impl Router {
    /// A client asks for the roster, or changes it (section 2).
    pub(crate) fn roster_request(
        &mut self,
        from: SessionId,
        stanza: Stanza,
        query: ElementRef<'_>,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let request = match Request::read(&stanza.head, query) {
            Ok(request) => request,
            Err(error) => return self.refuse(&stanza, error, effects),
        };
        let Some(name) = stanza.head.from.as_ref().map(Jid::to_bare) else { return };
        let Some(account) = self.accounts.get_mut(&name) else { return };
        let Some(known) = account.known_mut() else { return };
        if let Request::Get { ver } = &request {
            let answer = known.roster.get(ver.as_deref());
            if let Some(resource) = account.by_session(from) {
                resource.interested = true;
            }
            return self.give_roster(&stanza, from, answer, effects);
        }
        let Some(charge) = self.charge_own(&stanza, origin, effects) else { return };
        let known = self.accounts.get_mut(&name).and_then(|account| account.known_mut());
        let Some(known) = known else { return };
        let mut decisions = Vec::new();
        // Whoever asks for a subscription again, with the result, is not to meet the end of the old one on its way.
        let waits = match &request {
            Request::Remove(contact) => sees_presence(&known.roster, contact),
            Request::Get { .. } | Request::Set(_) => false,
        };
        let done = match request {
            Request::Get { .. } => return,
            Request::Set(set) => known.roster.set(set, &mut decisions),
            Request::Remove(contact) => known.roster.remove(&contact, &mut decisions),
        };
        match done {
            Ok(()) => self.decide(&name, decisions, Some(stanza), None, (charge, waits), effects),
            Err(error) => {
                self.refuse(&stanza, error, effects);
                self.release(charge, effects);
            }
        }
    }

    fn give_roster(&mut self, stanza: &Stanza, to: SessionId, answer: Answer, effects: &mut Vec<Effect>) {
        let Some(result) = stanza.result() else { return };
        match answer {
            Answer::Whole(query) => self.reply(result.with_child(query), effects),
            Answer::Since(pushes) => {
                self.reply(result, effects);
                let Some(jid) = self.sessions.get(&to).map(|session| session.jid.to_jid()) else { return };
                for push in pushes {
                    self.push(to, jid.clone(), push.to_element().into(), effects);
                }
            }
        }
    }

    /// A client sends presence that manages a subscription (section A.2).
    pub(crate) fn subscription(
        &mut self,
        from: SessionId,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Some(name) = stanza.head.from.as_ref().map(Jid::to_bare) else { return };
        let Some(charge) = self.charge_own(&stanza, origin, effects) else { return };
        let known = self.accounts.get_mut(&name).and_then(|account| account.known_mut());
        let Some(known) = known else { return };
        let mut decisions = Vec::new();
        let done = known.roster.outbound(stanza.clone(), &mut decisions);
        let request = self.as_sent(from, stanza);
        match done {
            Ok(()) => self.decide(&name, decisions, Some(request), None, (charge, false), effects),
            Err(error) => {
                self.refuse(&request, error, effects);
                self.release(charge, effects);
            }
        }
    }

    /// A contact has sent presence that manages a subscription (section A.3).
    pub(crate) fn take_subscription(
        &mut self,
        kind: PresenceType,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Some(to) = &stanza.head.to else { return };
        let name = to.to_bare();
        let Some(account) = self.accounts.get_mut(&name) else { return };
        // Section 8.5.3.2.2. A request is for the account in any case (section 3.1.3).
        let is_lost = to.resourcepart().is_some_and(|resource| account.by_name(resource).is_none())
            && kind != PresenceType::Subscribe;
        if is_lost || account.shuts_out(&self.shared, &stanza) {
            return self.note_heard(&stanza);
        }
        if kind == PresenceType::Subscribe && self.crosses_refusal(&name, &stanza) {
            self.note_heard(&stanza);
            return self.say_owed(&name, effects);
        }
        let Some(charge) = self.charge(&stanza, origin, effects) else { return };
        let heard = stanza.head.from.as_ref().map(|from| (from.to_bare(), kind));
        let is_ours = heard.as_ref().is_some_and(|(contact, _)| self.is_local(contact.domainpart()));
        let known = self.accounts.get_mut(&name).and_then(|account| account.known_mut());
        let Some(known) = known else { return };
        let mut decisions = Vec::new();
        known.roster.inbound(stanza, &mut decisions);
        if let Some((contact, kind)) = heard.as_ref().filter(|_| is_ours) {
            agree(&known.roster, contact, *kind, &mut decisions);
        }
        self.decide(&name, decisions, None, heard, (charge, false), effects);
    }

    /// Carries out decisions, after the change that they begin with is durable. `request` is what a client has sent, and `heard` what a
    /// contact has said; whether its answer waits for the contact comes with the charge.
    fn decide(
        &mut self,
        name: &BareJid,
        mut decisions: Vec<Decision>,
        request: Option<Stanza>,
        heard: Option<(BareJid, PresenceType)>,
        (charge, waits_for_contact): (Charge, bool),
        effects: &mut Vec<Effect>,
    ) {
        let Some(Decision::Save(contact)) = decisions.first() else {
            if let Some((contact, kind)) = heard {
                self.note_heard(&Stanza::presence(kind).with_from(contact.into()).with_to(name.to_jid()));
            }
            let number = charge.number();
            self.act(name, |router| {
                router.carry_out(name, decisions, request.as_ref(), None, number, effects)
            });
            return self.release(charge, effects);
        };
        let known = self.accounts.get(name).and_then(|account| account.known());
        let Some(roster) = known.map(|known| &known.roster) else { return };
        let change = Change::Roster {
            contact: contact.clone(),
            item: roster.item(contact).cloned(),
            request: roster.request(contact).cloned(),
            version: roster.version(),
            pushed: decisions.iter().any(|decision| matches!(decision, Decision::Push(_))),
        };
        let (contact, scope) = (contact.clone(), Scope::Contact(contact.clone()));
        decisions.remove(0);
        let seen = decisions.iter().find_map(|decision| match decision {
            Decision::Available(_) => Some(false),
            Decision::Unavailable(_) => Some(true),
            _ => None,
        });
        if let (Some(seen), Some(account)) = (seen, self.accounts.get_mut(name)) {
            account.begin_change(contact, seen);
        }
        let mut changes = Vec::from([change]);
        changes.extend(self.owed_changes(name, &decisions, heard.as_ref()));
        let ask = Ask::Save { account: name.clone(), changes, by_others: request.is_none() };
        self.commit(
            ask,
            Commit {
                request,
                scope,
                then: Then::Roster(decisions, heard),
                may_change: true,
                asked_by: None,
                waits_for_contact,
                number: 0,
            },
            Some(charge),
            effects,
        );
    }

    /// Does what the account's roster has decided. The account takes nothing else meanwhile. If it `waits_for_contact` the result that
    /// this session gets comes behind what the contact has made of it. The contact hears of it before what the account has sent to it behind
    /// what has asked for the change, which has this number.
    pub(crate) fn carry_out(
        &mut self,
        name: &BareJid,
        decisions: Vec<Decision>,
        request: Option<&Stanza>,
        waits_for_contact: Option<SessionId>,
        number: u64,
        effects: &mut Vec<Effect>,
    ) {
        for decision in decisions {
            match decision {
                // Each begins with its only one, if any.
                Decision::Save(_) => {}
                Decision::Result => {
                    let answer =
                        request.map(|request| farewells::Answer::Result(request.clone(), waits_for_contact));
                    let answer = answer.and_then(|answer| self.farewells.end(self.asks.charged(), answer));
                    if let Some(answer) = answer {
                        self.answer_at_last(answer, effects);
                    }
                }
                Decision::Push(push) => self.push_all(name, &push, effects),
                Decision::Deliver { to, stanza } => {
                    if let Some(account) = self.accounts.get(name) {
                        account.deliver_to(to, &stanza, effects);
                    }
                }
                Decision::Send(stanza) => {
                    if waits_for_contact.is_some() {
                        self.farewells.begin(self.asks.charged());
                    }
                    self.saying(&stanza);
                    let is_sent =
                        request.is_some_and(|request| matches!(request.head.kind, Kind::Presence(_)));
                    let said = if is_sent { Said::ForClient } else { Said::New };
                    self.leave(name, stanza, said, number, effects);
                }
                Decision::Available(contact) => self.reveal(name, &contact, number, effects),
                Decision::Unavailable(contact) => self.hide(name, &contact, number, effects),
            }
        }
    }

    pub(crate) fn push_all(&mut self, name: &BareJid, push: &Push, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get(name) else { return };
        let interested = account.resources().iter().filter(|resource| resource.interested);
        let interested: Vec<_> =
            interested.map(|resource| (resource.session, resource.jid.to_jid())).collect();
        let payload = Payload::from(push.to_element());
        for (session, jid) in interested {
            self.push(session, jid, payload.clone(), effects);
        }
    }

    /// Sends a client news of its account.
    pub(crate) fn push(&mut self, session: SessionId, to: Jid, payload: Payload, effects: &mut Vec<Effect>) {
        let id = self.random.token(10);
        deliver([session], Stanza::iq(IqType::Set).with_to(to).with_id(&id).with_payload(payload), effects);
    }

    /// Sends presence to whom it is addressed to: through the roster of a contact of this server.
    /// `is_told`: somebody has sent it, and hears if it comes back from another server.
    pub(crate) fn pass_on(
        &mut self,
        stanza: Stanza,
        is_told: bool,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Some(to) = &stanza.head.to else { return };
        if !self.is_local(to.domainpart()) {
            let is_answer = matches!(origin, Origin::Answer);
            effects.push(Effect::Remote { stanza, is_told, is_answer });
        } else if to.localpart().is_some() {
            self.pass_across(stanza, origin, effects);
        }
    }

    /// Sends the contact the presence of each available resource (section 3.1.5).
    pub(crate) fn reveal(
        &mut self,
        name: &BareJid,
        contact: &BareJid,
        number: u64,
        effects: &mut Vec<Effect>,
    ) {
        let account = self.accounts.get(name);
        let shown = account.map(|account| account.shown_presence(&self.shared, contact)).unwrap_or_default();
        for stanza in shown {
            self.leave(name, stanza, Said::ToSubscriber, number, effects);
        }
    }

    /// Sends the contact the end of all presence that it has seen (section 3.2.2).
    fn hide(&mut self, name: &BareJid, contact: &BareJid, number: u64, effects: &mut Vec<Effect>) {
        let account = self.accounts.get(name).filter(|account| account.known().is_some());
        if account.is_some_and(|account| self.shared.allows(name, account, &contact.to_jid())) {
            let is_contact = |entity: &Jid| entity.bare_str() == contact.as_str();
            self.withdraw(name, core::slice::from_ref(contact), &is_contact, number, effects);
        }
    }

    /// Ends the presence of the account's resources for these subscribers, and for those who have seen some of it otherwise.
    pub(crate) fn withdraw(
        &mut self,
        name: &BareJid,
        subscribers: &[BareJid],
        otherwise: &dyn Fn(&Jid) -> bool,
        number: u64,
        effects: &mut Vec<Effect>,
    ) {
        let account = self.accounts.get_mut(name);
        let ends = account.map(|account| account.withdraw(&self.shared, subscribers, otherwise));
        for (end, said) in ends.unwrap_or_default() {
            self.leave(name, end, said, number, effects);
        }
    }

    /// Asks those again who have not answered the user's requests (section 3.1.2): the last one may be lost, to the network or,
    /// between two rosters of this server, to its end.
    pub(crate) fn ask_again(&mut self, own: &FullJid, effects: &mut Vec<Effect>) {
        let account = self.accounts.get_mut(own.bare_str());
        for request in account.map(|account| account.requests_again(&self.shared)).unwrap_or_default() {
            self.saying(&request);
            self.pass_on(request, false, &mut Origin::said(Said::Again), effects);
        }
        self.say_owed(&own.to_bare(), effects);
    }

    /// Ends the subscriptions of an account that is no more: with those whose presence it `sees`, or with all others.
    pub(crate) fn farewell(&mut self, roster: &Roster, sees: bool, effects: &mut Vec<Effect>) {
        let send = |kind, to: &BareJid| {
            Stanza::presence(kind).with_from(roster.owner().to_jid()).with_to(to.to_jid())
        };
        for item in roster.items().filter(|item| item.subscription.has_to() == sees) {
            if item.subscription.has_to() || item.ask {
                self.pass_on(
                    send(PresenceType::Unsubscribe, &item.jid),
                    false,
                    &mut Origin::said(Said::New),
                    effects,
                );
            }
            if item.subscription.has_from() {
                self.pass_on(
                    send(PresenceType::Unsubscribed, &item.jid),
                    false,
                    &mut Origin::said(Said::New),
                    effects,
                );
            }
        }
        let contacts = roster.requests().filter_map(|request| request.head.from.as_ref()).map(Jid::to_bare);
        for contact in contacts.filter(|contact| sees_presence(roster, contact) == sees) {
            self.pass_on(
                send(PresenceType::Unsubscribed, &contact),
                false,
                &mut Origin::said(Said::New),
                effects,
            );
        }
    }

    /// The stanza with the sender's full JID, so that an error about it finds the client.
    pub(crate) fn as_sent(&self, from: SessionId, mut stanza: Stanza) -> Stanza {
        if let Some(session) = self.sessions.get(&from) {
            stanza.head.from = Some(session.jid.to_jid());
        }
        stanza
    }
}

/// What one account says and to whom, which nobody else has to be asked about.
impl Account {
    /// Gives a stanza to those of its resources that it is for.
    fn deliver_to(&self, to: Audience, stanza: &Arc<Stanza>, effects: &mut Vec<Effect>) {
        let gets = self.resources().iter().filter(|resource| match to {
            Audience::Available => resource.presence().is_some(),
            Audience::Interested => resource.interested,
        });
        effects.extend(
            gets.map(|resource| Effect::Deliver { session: resource.session, stanza: Arc::clone(stanza) }),
        );
    }

    /// The presence of each available resource, for a contact.
    fn shown_presence(&self, shared: &Shared, contact: &BareJid) -> Vec<Stanza> {
        let Some(known) = self.known() else { return Vec::new() };
        if !shared.allows(known.roster.owner(), self, &contact.to_jid()) {
            return Vec::new();
        }
        let presence = self.available().filter_map(|resource| resource.presence());
        presence.map(|presence| Stanza::clone(&presence.stanza).with_to(contact.to_jid())).collect()
    }

    /// The ends of its presence for these subscribers, and for those who have seen some of it otherwise.
    fn withdraw(
        &mut self,
        shared: &Shared,
        subscribers: &[BareJid],
        otherwise: &dyn Fn(&Jid) -> bool,
    ) -> Vec<(Stanza, Said)> {
        let end = |own: &FullJid, to: Jid| {
            Stanza::presence(PresenceType::Unavailable).with_from(own.to_jid()).with_to(to)
        };
        let told: BTreeSet<&str> = subscribers.iter().map(BareJid::as_str).collect();
        let mut ends = Vec::new();
        for resource in self.available() {
            ends.extend(subscribers.iter().map(|contact| (end(&resource.jid, contact.to_jid()), Said::New)));
        }
        for resource in self.all() {
            let is_available = resource.presence().is_some();
            for entity in resource.directed.take_if(otherwise) {
                let said = end_for(shared, &entity, is_available && told.contains(entity.bare_str()));
                ends.extend(said.map(|said| (end(&resource.jid, entity), said)));
            }
        }
        ends
    }

    /// The requests that are made again, a part of those that are not answered: the next time those that follow.
    fn requests_again(&mut self, shared: &Shared) -> Vec<Stanza> {
        let Some(known) = self.known() else { return Vec::new() };
        let owner = known.roster.owner();
        // What is still on its way must not be crossed by a request that it answers. The contact's account sees to what waits there.
        let is_quiet = |contact: &BareJid| self.queue().is_empty() && self.line(contact.as_str()).is_none();
        let asked = known
            .roster
            .asked()
            .filter(|contact| shared.allows(owner, self, &contact.to_jid()))
            .filter(|contact| !shared.is_local(contact.domainpart()) || is_quiet(contact));
        let (before, after): (Vec<_>, Vec<_>) =
            asked.partition(|contact| self.asked_again.as_ref().is_some_and(|last| *contact <= last));
        let most = shared.config.limits.asks;
        let asked: Vec<BareJid> = after.into_iter().chain(before).take(most).cloned().collect();
        let request = |contact: &BareJid| {
            Stanza::presence(PresenceType::Subscribe).with_from(owner.to_jid()).with_to(contact.to_jid())
        };
        let requests = asked.iter().map(request).collect();
        self.asked_again = asked.last().cloned();
        requests
    }
}

/// Changes what section 3 has decided about the word of a contact of this server: their words may cross, as both say several of them about
/// one subscription, and yet their rosters are to agree in the end.
fn agree(roster: &Roster, contact: &BareJid, kind: PresenceType, decisions: &mut Vec<Decision>) {
    match kind {
        // The contact's account has seen to it that it is no subscriber. An answer would come to it when it may have asked anew already, and
        // take that back; between servers section 3.3.3 wants one.
        PresenceType::Unsubscribe => decisions.retain(|decision| {
            !matches!(decision, Decision::Send(stanza) if stanza.head.kind == Kind::Presence(PresenceType::Unsubscribed))
        }),
        // The contact approves what the user does not ask for any more, and would show its presence from now on.
        PresenceType::Subscribed if decisions.is_empty() && !sees_presence(roster, contact) => {
            let end = Stanza::presence(PresenceType::Unsubscribe).with_from(roster.owner().to_jid());
            decisions.push(Decision::Send(end.with_to(contact.to_jid())));
        }
        _ => {}
    }
}

/// Whether the user is subscribed to the contact's presence.
fn sees_presence(roster: &Roster, contact: &BareJid) -> bool {
    roster.item(contact).is_some_and(|item| item.subscription.has_to())
}
