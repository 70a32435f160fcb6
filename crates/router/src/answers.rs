//! What comes of the answers of the owner's store, and of their absence.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::mem;

use balcony_jid::{BareJid, Jid};
use balcony_machine::Ticket;
use balcony_roster::Version;
use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza, StreamCondition};

use crate::account::{Account, Note};
use crate::asks::{Charge, Open, Purpose};
use crate::flow::expects_reply;
use crate::known::Known;
use crate::line::{Origin, Task, Waiting};
use crate::phase::Outdated;
use crate::request::Seen;
use crate::router::{Router, deliver};
use crate::{Answer, Effect, Kept, Removal};
use crate::{farewells, owed, undelivered};

impl Router {
    /// An answer has come, or none in time.
    pub(crate) fn resolve(
        &mut self,
        ticket: Ticket,
        open: Open,
        answer: Option<Answer>,
        effects: &mut Vec<Effect>,
    ) {
        if matches!(open.purpose, Purpose::Put { .. } | Purpose::Keep(_))
            && let Some(charge) = &open.charge
        {
            self.end_turn(&open.account, charge.payer(), ticket, charge.bytes(), effects);
        }
        let Open { account: name, incarnation, purpose, charge, .. } = open;
        match purpose {
            Purpose::Look(about) => self.looked_up(&name, about, answer, effects),
            purpose => {
                let is_same = |account: &Account| account.incarnation == incarnation;
                if self.accounts.get(&name).is_some_and(is_same) {
                    self.answered(&name, purpose, answer, effects);
                } else if answer != Some(Answer::Saved) {
                    // What is written comes when the account is loaded again; the account is gone only if that is so as well.
                    if !matches!(purpose, Purpose::Put { is_written: true, .. }) {
                        self.refuse_unstored(&purpose, charge.as_ref(), effects);
                    }
                }
            }
        }
        if let Some(charge) = charge {
            self.release(charge, effects);
        }
        self.go_on(effects);
    }

    /// An ask will not be made: the account has ended that it is about.
    pub(crate) fn fail(&mut self, open: Open, effects: &mut Vec<Effect>) {
        self.refuse_unstored(&open.purpose, open.charge.as_ref(), effects);
        if let Some(charge) = open.charge {
            self.release(charge, effects);
        }
    }

    /// A message was not stored, and its account has ended meanwhile. The sender hears what one hears who writes to an account that does not
    /// exist; and so does who was to hear what becomes of it.
    fn refuse_unstored(&self, purpose: &Purpose, charge: Option<&Charge>, effects: &mut Vec<Effect>) {
        if let Purpose::Put { message, is_told, .. } = purpose
            && (*is_told || charge.is_some_and(Charge::is_awaited))
        {
            self.refuse(message, ErrorCondition::ServiceUnavailable, effects);
        }
    }

    fn answered(
        &mut self,
        name: &BareJid,
        purpose: Purpose,
        answer: Option<Answer>,
        effects: &mut Vec<Effect>,
    ) {
        let saved = answer == Some(Answer::Saved);
        match purpose {
            Purpose::Load => self.loaded(name, answer, effects),
            Purpose::Commit(commit) => self.committed(name, *commit, answer, effects),
            Purpose::Fetch => {
                self.fetched(name, answer, effects);
                self.drain_all(name, effects);
            }
            Purpose::Put { message, is_again, .. } => {
                if saved {
                    self.note_stored(name, &message, is_again);
                }
                self.put(name, &message, answer, effects);
            }
            Purpose::Drop => {
                let Some(account) = self.accounts.get_mut(name) else { return };
                account.asks -= 1;
                account.backlog.deleted(saved);
                account.deletions.count(saved);
                if !saved {
                    self.try_later(name);
                }
            }
            Purpose::Keep(keys) => {
                let Some(account) = self.accounts.get_mut(name) else { return };
                account.asks -= 1;
                if !saved {
                    self.not_written(name, keys);
                }
            }
            Purpose::KeepAgain(keys) => self.tried_again(name, keys, saved, effects),
            Purpose::Forget(keys) => self.forgotten(name, keys, saved),
            Purpose::Note => self.noted(name, effects),
            Purpose::Look(_) | Purpose::Settled => {}
        }
        self.settle(name, effects);
    }

    fn loaded(&mut self, name: &BareJid, answer: Option<Answer>, effects: &mut Vec<Effect>) {
        self.had_turn(name, matches!(answer, Some(Answer::Loaded(_))));
        // If it is about to end this is of no interest, and it is loaded once more if it does not.
        if !self.accounts.get(name).is_some_and(|account| account.phase.is_loading()) {
            return;
        }
        match answer {
            Some(Answer::Loaded(Some(mut kept))) => {
                let left = undelivered::split_off(&mut kept.documents);
                let owed = owed::split_off(&mut kept.documents);
                let is_first = self.accounts.get(name).is_some_and(|account| account.known().is_none());
                if is_first {
                    self.end_successors(name, kept.creation, effects);
                }
                let account = self.accounts.get(name).filter(|account| account.known().is_some());
                let seen = account.map(|account| Seen::now(&self.shared, name, account));
                let before = match self.know(name, *kept) {
                    Ok(before) => before,
                    Err(extension) => {
                        self.complain_of_damage(name, extension, effects);
                        return self.end_account(name, Removal::Failed, None, effects);
                    }
                };
                self.deny_strangers(name, effects);
                if let Some((before, seen)) = before.zip(seen) {
                    self.tell_difference(name, before, seen, effects);
                }
                if let Some(account) = self.accounts.get_mut(name) {
                    account.phase.end_acting();
                }
                self.refresh(name);
                // Those whose clients are back have waited for that.
                self.back.extend(
                    self.accounts.get(name).into_iter().flat_map(Account::resources).map(|r| r.session),
                );
                if is_first {
                    // What is stored is older than what waited for sessions.
                    self.fetch(name, effects);
                    self.take_left(name, left, effects);
                    self.note_restored(name);
                }
                self.resume_returned(name, effects);
                self.drain_all(name, effects);
                self.take_owed(name, &owed, effects);
            }
            Some(Answer::Loaded(None)) => self.end_account(name, Removal::Missing, None, effects),
            _ => self.end_account(name, Removal::Failed, None, effects),
        }
    }

    /// An account is known from now on; what was known before, if it was. Fails with the number of the extension whose documents are
    /// damaged.
    fn know(&mut self, name: &BareJid, kept: Kept) -> Result<Option<Outdated>, u8> {
        let fresh = Version(self.random.next_u64());
        let Some(account) = self.accounts.get_mut(name) else { return Ok(None) };
        // Messages may be on their way to the store that it did not count.
        let replay = self.shared.tables().replay();
        let own = replay.and_then(|replay| kept.logs.iter().find(|(log, _)| *log == replay.log));
        account.backlog.are_in_log(own.map_or(0, |(_, count)| *count));
        let now = self.asks.now();
        let mut known = Known::new(name.clone(), kept, &self.shared, now, fresh)?;
        if let Some(before) = account.known_mut() {
            // What has been kept since, or is to be, may be later than what was loaded.
            known.last = before.last.take();
        }
        if account.available().next().is_some() {
            known.last = None;
        }
        Ok(account.know(known))
    }

    /// A message is stored, or is not.
    fn put(&mut self, name: &BareJid, stanza: &Stanza, answer: Option<Answer>, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        account.asks -= 1;
        account.backlog.puts -= 1;
        let peer = stanza.head.from.as_ref().map(|from| from.to_bare());
        if let Some(peer) = &peer {
            account.line_mut(peer).puts -= 1;
        }
        match answer {
            Some(Answer::Saved) => {}
            Some(_) => self.bounce(stanza, ErrorCondition::ServiceUnavailable, effects),
            None => self.bounce(stanza, ErrorCondition::ResourceConstraint, effects),
        }
        if let Some(peer) = &peer {
            self.drain(name, peer, effects);
        }
    }

    /// Something was noted; the next thing, if there is one, is now.
    fn noted(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        account.asks -= 1;
        if let Note::Next(change) = mem::take(&mut account.note) {
            account.note = Note::Saving;
            self.save_beside(name, *change, Purpose::Note, None, effects);
        }
    }

    /// The account is known now. The probes of strangers wait for nothing more.
    fn deny_strangers(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        let all = account.take_queue();
        let (denied, mut others): (VecDeque<_>, VecDeque<_>) =
            all.into_iter().partition(|waiting| account.is_probed_by_stranger(&self.shared, &waiting.stanza));
        for Waiting { stanza, charge, .. } in denied {
            self.deny_probe(&stanza, effects);
            self.release(charge, effects);
        }
        if let Some(account) = self.accounts.get_mut(name) {
            // Behind them what has come of the denials.
            others.append(&mut account.take_queue());
            if !others.is_empty() {
                *account.queue_mut() = others;
            }
        }
    }

    /// Whether the sender of what waits for an account, which is no more, hears of that: of messages those who would if they were not stored.
    fn hears_of_end(&self, waiting: &Waiting, name: &BareJid, account: &Account) -> bool {
        let Waiting { stanza, charge, .. } = waiting;
        let may_hear = |from: &Jid| account.tells(from) || self.is_told(from, name);
        charge.is_awaited() || expects_reply(stanza) && stanza.head.from.as_ref().is_some_and(may_hear)
    }

    /// There is no such account, or it can't be served: those who know that its sessions were there hear of it, what waits has
    /// failed, and then its sessions end. `request` is its own request for that.
    pub(crate) fn end_account(
        &mut self,
        name: &BareJid,
        removal: Removal,
        request: Option<&Stanza>,
        effects: &mut Vec<Effect>,
    ) {
        // Taken out first: sessions that are closed need not hear of each other's end.
        let Some(mut account) = self.accounts.remove(name) else { return };
        self.owed.remove(name);
        // What waits in them has nobody to wait for any more.
        self.abandoned.extend(mem::take(&mut account.gone));
        let is_gone = removal != Removal::Failed;
        self.end_turns(name, removal, effects);
        // What the account has said before its end goes before it.
        let (left, waiting): (Vec<_>, Vec<_>) =
            account.take_waiting().partition(|waiting| matches!(waiting.task, Task::Leaving));
        let is_told = |waiting: &Waiting| self.hears_of_end(waiting, name, &account);
        let told: Vec<bool> = waiting.iter().map(|waiting| is_gone && is_told(waiting)).collect();
        let acquainted = if is_gone { self.acquainted(name, &account) } else { BTreeSet::new() };
        let resources = account.take_resources();
        self.online -= usize::from(!resources.is_empty());
        for Waiting { stanza, charge, .. } in left {
            let mut origin = Origin::Waited(charge);
            if let Some(stanza) = account.said_now(&self.shared, stanza, origin.facts().said) {
                self.say(stanza, &mut origin, effects);
            }
            self.finish(origin, effects);
        }
        let (mut ends, mut answers) = (Vec::new(), Vec::new());
        let witnesses = if resources.is_empty() { Vec::new() } else { account.witnesses(&self.shared) };
        for resource in resources {
            if let Some(own) = self.sessions.remove(&resource.session) {
                self.waits_no_longer(resource.session, &own);
                self.leave_queue(
                    resource.session,
                    name,
                    account.known().map(|known| known.creation),
                    own.outbox,
                );
            }
            let error =
                if is_gone { StreamCondition::NotAuthorized } else { StreamCondition::InternalServerError };
            let is_own = |stanza: &&Stanza| {
                stanza.head.from.as_ref().is_some_and(|from| from.as_str() == resource.jid.as_str())
            };
            let end = Effect::Close { session: resource.session, error };
            if let Some(result) = request.filter(is_own).and_then(Stanza::result) {
                deliver([resource.session], result, &mut answers);
                answers.push(end);
            } else {
                ends.push(end);
            }
            self.announce_lost(resource, &witnesses, effects);
        }
        if is_gone {
            self.end_queues(name, acquainted);
        }
        let wanted_removal = account.removing || removal == Removal::Removed;
        self.farewells.begin(self.asks.charged());
        let known = account.phase.into_known().filter(|_| is_gone);
        if let Some(known) = &known {
            self.farewell(&known.roster, true, effects);
        }
        let answered = self.farewells.end(self.asks.charged(), farewells::Answer::Effects(answers));
        if let Some(known) = &known {
            self.farewell(&known.roster, false, effects);
        }
        for (Waiting { task, stanza, charge }, is_told) in waiting.into_iter().zip(told) {
            // Of an account that may be there the sender's keeps what it has said, and says it again.
            if is_gone && matches!(task, Task::Arrived) {
                self.note_heard(&stanza);
            }
            match task {
                Task::Arrived | Task::Returned if is_told => {
                    self.come_back(&stanza, ErrorCondition::ServiceUnavailable, true, effects);
                }
                Task::Arrived | Task::Returned
                    if charge.is_awaited() || !is_gone && self.shared.config.tell_strangers =>
                {
                    self.come_back(&stanza, ErrorCondition::ResourceConstraint, true, effects);
                }
                // Strangers see of it what they would see of any account.
                Task::Arrived | Task::Returned => self.nobody(&stanza, effects),
                // Whoever has asked hears what the client has answered before its end.
                Task::Sent(_) if matches!(stanza.head.kind, Kind::Iq(IqType::Result | IqType::Error)) => {
                    let mut origin = Origin::Waited(charge);
                    match stanza.head.to.as_ref().is_some_and(|to| self.is_local(to.domainpart())) {
                        true => self.pass_across(stanza, &mut origin, effects),
                        false => effects.push(Effect::Remote { stanza, is_told: false, is_answer: false }),
                    }
                    self.finish(origin, effects);
                    continue;
                }
                // Clients whose requests wait hear that they have failed before their streams end (RFC 6121 section 2.2).
                Task::Sent(session) if !is_gone => {
                    if let Some(reply) = stanza.error(&ErrorCondition::InternalServerError.into()) {
                        deliver([session], reply, effects);
                    }
                }
                // Whoever has sent it is gone, too.
                Task::Sent(_) | Task::Leaving => {}
            }
            self.release(charge, effects);
        }
        effects.append(&mut ends);
        // First what the request has caused for others, and then its answer.
        if let Some(answers) = answered {
            self.answer_at_last(answers, effects);
        }
        if wanted_removal {
            effects.push(Effect::Removed { account: name.clone(), removal });
        }
    }
}
