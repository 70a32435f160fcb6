//! What waits, and for what.
//!
//! An account takes what concerns it in order, be it sent by one of its sessions or addressed to it. While it waits for
//! its owner's store, all of that waits, too; other accounts go on. Most of the time there is nothing to wait for, and a
//! stanza goes straight through.
//!
//! What strangers are refused does not wait for what the account does: how long that takes would tell them that there is such
//! an account, or that somebody is there.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

use balcony_jid::BareJid;
use balcony_roster::{Decision, Version};
use balcony_stanza::{
    ErrorCondition, IqType, Kind, MessageType, PresenceType, Stanza, StanzaError, StreamCondition,
};

use crate::account::{Account, Phase};
use crate::asks::{Open, Purpose};
use crate::known::Known;
use crate::router::{Router, deliver};
use crate::{Answer, Ask, Busy, Change, Effect, Removal, SessionId};

/// A stanza that an account has not taken yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    task: Task,
    stanza: Stanza,
    payer: BareJid,
}

/// What the account has to do with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// This session has sent it.
    Sent(SessionId),
    /// It is addressed to the account or to one of its resources.
    Arrived,
}

/// A change on its way to the store.
#[derive(Debug)]
pub(crate) struct Saving {
    /// Who hears of its failure.
    pub(crate) request: Option<Stanza>,
    pub(crate) then: Then,
}

/// What happens once it is durable.
#[derive(Debug)]
pub(crate) enum Then {
    Roster(Vec<Decision>),
    Blocking(Change),
    Password,
    Removal,
}

impl Router {
    /// Has an account take a stanza that is addressed to it, now or later.
    pub(crate) fn arrive(
        &mut self,
        stanza: Stanza,
        admitted: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Busy> {
        let Some(to) = &stanza.head.to else { return Ok(()) };
        match self.accounts.get(to.bare_str()) {
            // A stranger who gets nothing is told so without regard to what the account waits for, or the wait would tell of it.
            Some(account)
                if matches!(stanza.head.kind, Kind::Iq(_))
                    && self.reached(account, &stanza).is_none()
                    && !self.sees_recipient(&stanza) =>
            {
                self.refuse_iq(&stanza, effects);
                Ok(())
            }
            Some(account) if account.is_probed_by_stranger(&stanza) || account.may_deny(&stanza) => {
                self.probe_later(stanza, admitted, effects)
            }
            Some(account)
                if account.taking(&stanza).is_some() && !self.holds_back(&to.to_bare(), &stanza) =>
            {
                let name = to.to_bare();
                self.arrived(stanza, effects);
                self.settle(&name, effects);
                Ok(())
            }
            None if !needs_account(&stanza) => {
                self.nobody(&stanza, effects);
                Ok(())
            }
            _ => {
                let name = to.to_bare();
                self.wait(&name, Task::Arrived, stanza, admitted, effects)
            }
        }
    }

    /// The account, which is known and waits for nothing, takes what is addressed to it.
    fn arrived(&mut self, stanza: Stanza, effects: &mut Vec<Effect>) {
        match stanza.head.kind {
            Kind::Message(kind) => self.take_message(kind, stanza, effects),
            Kind::Iq(_) => self.take_iq(&stanza, effects),
            Kind::Presence(PresenceType::Probe) => self.take_probe(&stanza, effects),
            Kind::Presence(kind) if kind.is_subscription() => self.take_subscription(kind, stanza, effects),
            Kind::Presence(_) => self.take_presence(stanza, effects),
        }
    }

    /// The account, which is known and waits for nothing, does what its session wants.
    pub(crate) fn sent(&mut self, from: SessionId, stanza: Stanza, effects: &mut Vec<Effect>) {
        match stanza.head.kind {
            // It has been admitted, so it is not turned away.
            Kind::Message(kind) => drop(self.message(from, kind, stanza, true, effects)),
            Kind::Presence(kind) => self.presence(from, kind, stanza, effects),
            Kind::Iq(_) => self.iq(from, stanza, effects),
        }
    }

    /// Leaves a stanza to an account until it can take it. What is not `admitted` must keep within the sender's bound.
    pub(crate) fn wait(
        &mut self,
        name: &BareJid,
        task: Task,
        stanza: Stanza,
        admitted: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Busy> {
        let Some(from) = &stanza.head.from else { return Ok(()) };
        let payer = self.payer(from);
        if !admitted && self.is_full(payer.as_str()) {
            return Err(Busy(stanza));
        }
        self.asks.charge(&payer);
        self.load(name, effects).queue.push_back(Waiting { task, stanza, payer });
        Ok(())
    }

    /// The account, which may have to be loaded first.
    pub(crate) fn load(&mut self, name: &BareJid, effects: &mut Vec<Effect>) -> &mut Account {
        if !self.accounts.contains_key(name) {
            self.ask(Ask::Load { account: name.clone() }, Purpose::Load, None, effects);
        }
        self.accounts.entry(name.clone()).or_insert_with(Account::loading)
    }

    pub(crate) fn ask(
        &mut self,
        ask: Ask,
        purpose: Purpose,
        payer: Option<BareJid>,
        effects: &mut Vec<Effect>,
    ) {
        let ticket = self.asks.open(self.config.limits.answer, ask.account().clone(), purpose, payer);
        effects.push(Effect::Ask { ticket, ask });
    }

    /// Saves a change while the account waits.
    pub(crate) fn save(
        &mut self,
        name: &BareJid,
        change: Change,
        payer: BareJid,
        saving: Saving,
        effects: &mut Vec<Effect>,
    ) {
        self.change(
            Ask::Save { account: name.clone(), changes: Vec::from([change]) },
            payer,
            saving,
            effects,
        );
    }

    /// Has something changed while the account waits.
    pub(crate) fn change(&mut self, ask: Ask, payer: BareJid, saving: Saving, effects: &mut Vec<Effect>) {
        let name = ask.account().clone();
        self.ask(ask, Purpose::Save, Some(payer), effects);
        self.enter(&name, Phase::Saving(Box::new(saving)));
    }

    /// Saves a change while the account goes on.
    pub(crate) fn save_beside(
        &mut self,
        name: &BareJid,
        change: Change,
        purpose: Purpose,
        payer: Option<BareJid>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        account.asks += 1;
        let ask = Ask::Save { account: name.clone(), changes: Vec::from([change]) };
        self.ask(ask, purpose, payer, effects);
    }

    pub(crate) fn enter(&mut self, name: &BareJid, phase: Phase) {
        if let Some(account) = self.accounts.get_mut(name) {
            account.phase = phase;
            self.refresh(name);
        }
    }

    /// An answer has come, or none in time.
    pub(crate) fn resolve(&mut self, open: Open, answer: Option<Answer>, effects: &mut Vec<Effect>) {
        let name = &open.account;
        if let Purpose::Probe(stanza) = open.purpose {
            return self.probed(stanza, answer, effects);
        }
        let Some(account) = self.accounts.get_mut(name) else { return };
        let saved = answer == Some(Answer::Saved);
        match open.purpose {
            Purpose::Load => match answer {
                Some(Answer::Loaded(Some(kept))) => {
                    account.backlog.may_wait = kept.offline > 0;
                    let fresh = Version(self.random.next_u64());
                    account.known = Some(Known::new(name.clone(), *kept, self.config.roster, fresh));
                    self.deny_strangers(name, effects);
                    self.enter(name, Phase::Open);
                }
                Some(Answer::Loaded(None)) => {
                    return self.end_account(name, Removal::Missing, effects);
                }
                _ => return self.end_account(name, Removal::Failed, effects),
            },
            Purpose::Save => {
                if let Phase::Saving(saving) = mem::replace(&mut account.phase, Phase::Acting) {
                    self.saved(name, *saving, answer, effects);
                }
            }
            Purpose::Fetch => {
                account.phase = Phase::Open;
                self.fetched(name, answer, effects);
            }
            Purpose::Put(stanza) => {
                account.asks -= 1;
                account.backlog.puts -= 1;
                match answer {
                    Some(_) if saved => {}
                    Some(_) => self.bounce(&stanza, ErrorCondition::ServiceUnavailable, effects),
                    None => self.bounce(&stanza, ErrorCondition::ResourceConstraint, effects),
                }
            }
            Purpose::Drop => {
                account.asks -= 1;
                account.backlog.deleted(saved);
                if !saved {
                    self.try_later(name);
                }
            }
            Purpose::Note => account.asks -= 1,
            Purpose::Probe(_) => {}
        }
        self.settle(name, effects);
    }

    /// A change is durable, or was not made.
    fn saved(&mut self, name: &BareJid, saving: Saving, answer: Option<Answer>, effects: &mut Vec<Effect>) {
        let request = saving.request.as_ref();
        let saved = answer == Some(Answer::Saved);
        match saving.then {
            Then::Roster(decisions) if saved => self.carry_out(name, decisions, request, effects),
            Then::Blocking(change) if saved => self.change_blocks(name, &change, request, effects),
            Then::Password if saved => self.confirm(request, effects),
            Then::Removal if saved => {
                self.confirm(request, effects);
                return self.end_account(name, Removal::Removed, effects);
            }
            Then::Password if answer == Some(Answer::Unacceptable) => {
                if let Some(request) = request {
                    let error =
                        StanzaError::new(ErrorCondition::NotAcceptable, "this password cannot be used");
                    self.refuse(request, error, effects);
                }
            }
            Then::Roster(_) => {
                self.apologise(request, effects);
                // The roster in memory has changed already, so it is not what the store has.
                self.ask(Ask::Load { account: name.clone() }, Purpose::Load, None, effects);
                return self.enter(name, Phase::Loading);
            }
            Then::Removal => {
                self.apologise(request, effects);
                if let Some(account) = self.accounts.get_mut(name).filter(|account| account.removing) {
                    account.removing = false;
                    effects.push(Effect::Removed { account: name.clone(), removal: Removal::Failed });
                }
            }
            Then::Blocking(_) | Then::Password => self.apologise(request, effects),
        }
        self.enter(name, Phase::Open);
    }

    fn confirm(&self, request: Option<&Stanza>, effects: &mut Vec<Effect>) {
        if let Some(result) = request.and_then(Stanza::result) {
            self.reply(result, effects);
        }
    }

    /// The account is known now. The probes of strangers wait for nothing more.
    fn deny_strangers(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        let all = mem::take(&mut account.queue);
        let (denied, mut others): (VecDeque<_>, VecDeque<_>) =
            all.into_iter().partition(|waiting| account.is_probed_by_stranger(&waiting.stanza));
        for Waiting { stanza, payer, .. } in denied {
            self.asks.release(&payer);
            self.deny_probe(&stanza, effects);
        }
        if let Some(account) = self.accounts.get_mut(name) {
            // Behind them what has come of the denials.
            others.append(&mut account.queue);
            account.queue = others;
        }
    }

    fn apologise(&self, request: Option<&Stanza>, effects: &mut Vec<Effect>) {
        if let Some(request) = request {
            self.refuse(request, ErrorCondition::InternalServerError, effects);
        }
    }

    /// Lets an account take what waits for it, as far as it can, and forgets it when nothing more can come of it.
    pub(crate) fn settle(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        loop {
            self.remove(name, effects);
            self.fetch(name, effects);
            let Some(account) = self.accounts.get(name) else { return };
            let waits = |next: &Waiting| self.holds_back(name, &next.stanza);
            if !matches!(account.phase, Phase::Open) || account.queue.front().is_some_and(waits) {
                break;
            }
            let next = self.accounts.get_mut(name).and_then(|account| account.queue.pop_front());
            let Some(Waiting { task, stanza, payer }) = next else { break };
            self.asks.release(&payer);
            match task {
                Task::Sent(session) => self.sent(session, stanza, effects),
                Task::Arrived => self.arrived(stanza, effects),
            }
        }
        if self.accounts.get(name).is_some_and(Account::is_idle) {
            self.accounts.remove(name);
        } else {
            self.refresh(name);
        }
    }

    /// If the account is to be removed, and open, that comes before everything that waits.
    fn remove(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let is_next = |account: &Account| account.removing && matches!(account.phase, Phase::Open);
        if self.accounts.get(name).is_some_and(is_next) {
            let saving = Saving { request: None, then: Then::Removal };
            self.change(Ask::Remove { account: name.clone() }, name.clone(), saving, effects);
        }
    }

    /// The sessions know whether their messages have to look at the account.
    pub(crate) fn refresh(&mut self, name: &BareJid) {
        let Some(account) = self.accounts.get(name) else { return };
        let is_plain = account.is_plain();
        for resource in account.resources() {
            if let Some(session) = self.sessions.get_mut(&resource.session) {
                session.is_plain = is_plain;
            }
        }
    }

    /// There is no such account, or it can't be served: its sessions end, those who know that they were there hear of it,
    /// and what waits has failed.
    pub(crate) fn end_account(&mut self, name: &BareJid, removal: Removal, effects: &mut Vec<Effect>) {
        // Taken out first: sessions that are closed need not hear of each other's end.
        let Some(mut account) = self.accounts.remove(name) else { return };
        self.asks.forget(name);
        let resources = account.take_resources();
        self.online -= usize::from(!resources.is_empty());
        let is_gone = removal != Removal::Failed;
        let condition =
            if is_gone { StreamCondition::NotAuthorized } else { StreamCondition::InternalServerError };
        // Clients whose requests wait hear that they have failed before their streams end (RFC 6121 section 2.2).
        for Waiting { task, stanza, .. } in account.queue.iter().filter(|_| !is_gone) {
            if let (Task::Sent(session), Some(reply)) =
                (*task, stanza.error(&ErrorCondition::InternalServerError.into()))
            {
                deliver([session], reply, effects);
            }
        }
        for resource in resources {
            self.sessions.remove(&resource.session);
            effects.push(Effect::Close { session: resource.session, error: condition });
            let audience = account.known.as_deref().map(Known::audience).unwrap_or_default();
            self.announce_lost(resource, audience, effects);
        }
        if let Some(known) = account.known.filter(|_| is_gone) {
            self.farewell(&known.roster, effects);
        }
        for Waiting { task, stanza, payer } in account.queue {
            self.asks.release(&payer);
            match task {
                Task::Arrived if is_gone => self.nobody(&stanza, effects),
                Task::Arrived => self.undeliverable(&stanza, ErrorCondition::ResourceConstraint, effects),
                // Whoever has sent it is gone, too.
                Task::Sent(_) => {}
            }
        }
        if account.removing || removal == Removal::Removed {
            effects.push(Effect::Removed { account: name.clone(), removal });
        }
    }

    /// What becomes of a stanza to an account that does not exist; or, if it [needs none](needs_account), is not there.
    pub(crate) fn nobody(&mut self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        use MessageType as M;
        match stanza.head.kind {
            Kind::Message(M::Normal | M::Chat | M::Groupchat) if self.config.tell_strangers => {
                self.refuse(stanza, ErrorCondition::ServiceUnavailable, effects);
            }
            Kind::Iq(_) => self.refuse_iq(stanza, effects),
            Kind::Presence(PresenceType::Probe) => self.deny_probe(stanza, effects),
            Kind::Message(_) | Kind::Presence(_) => {}
        }
    }
}

/// Whether an account that has nobody there has to be known to say what becomes of this stanza.
fn needs_account(stanza: &Stanza) -> bool {
    use {MessageType as M, PresenceType as P};
    let is_bare = stanza.head.to.as_ref().is_some_and(|to| to.is_bare());
    match stanza.head.kind {
        Kind::Message(M::Normal | M::Chat | M::Groupchat) => true,
        Kind::Message(M::Headline | M::Error) => false,
        Kind::Presence(P::Probe | P::Subscribe) => true,
        // Without a match these are ignored (RFC 6121 section 8.5.3.2.2).
        Kind::Presence(kind) => kind.is_subscription() && is_bare,
        Kind::Iq(IqType::Get | IqType::Set | IqType::Result | IqType::Error) => false,
    }
}
