//! Messages for accounts that are not there: appended to a log, if an extension wants it, and delivered from there to the first
//! available resource that takes messages, in order.
//!
//! They are deleted only after they have been written to the client's connection. Whoever dies in between loses nothing: they
//! are delivered again. If they are more than a connection takes at once they go in parts, all to one session. Messages that come for that
//! session before the last part is there wait behind it, so that order is kept; the account's other sessions get theirs at once.
//!
//! A session that has lost its connection meanwhile gets them when its client is back, unless there are more, and somebody is there who
//! would take them. Then the session ends if its client does not come back soon.
//!
//! A store in trouble keeps nobody from what comes later: then the rest waits for a while, and is tried again. Of many messages that come
//! together some wait here until it has those before them ([`turns`](crate::turns)).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;

use balcony_jid::{BareJid, Jid};
use balcony_machine::Limits;
use balcony_stanza::{ErrorCondition, Stanza};

use crate::account::Account;
use crate::asks::Purpose;
use crate::extension::Absent;
use crate::line::Origin;
use crate::router::{Router, Session};
use crate::undelivered;
use crate::{Answer, Ask, Change, Effect, LogEdit, SessionId};

/// What is known of an account's stored messages.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// There may be some that nobody has got.
    pub(crate) may_wait: bool,
    /// The store was in trouble. There may be more, but not now.
    given_up: bool,
    /// A message was given to somebody for whom stored ones are still to come, and is not in that one's queue yet, in which it waits behind these.
    /// Until it is, nobody of the account shows anything else, or it would be unknown for whom it waits there.
    pub(crate) is_placing: bool,
    /// How many are on their way to the store.
    pub(crate) puts: usize,
    /// Those that somebody is getting.
    pub(crate) delivering: Option<Delivering>,
    /// Who is to get the next of them, if it still takes messages: whoever had the ones before.
    pub(crate) next: Option<SessionId>,
    /// Those that somebody has got, but that could not be deleted.
    undeleted: Option<Delivering>,
}

/// How far the stored messages are on their way here, if they are wanted. Other messages wait until they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    #[default]
    No,
    /// The last of them are to be stored first.
    Stored,
    /// The store has been asked. Since then another may have been put there: one that came back from a session, which does not wait.
    Asked { put_since: bool },
}

impl Wanted {
    /// Whether stored messages are on their way here, so that others have to wait.
    pub(crate) fn is_any(self) -> bool {
        self != Wanted::No
    }
}

/// Messages that have been delivered but not deleted.
#[derive(Debug)]
pub(crate) struct Delivering {
    session: SessionId,
    up_to: u64,
    /// How many they are, if that is known.
    count: u64,
    /// They have been written, and the store is deleting them.
    is_written: bool,
}

impl Delivering {
    /// So many, up to this number of their log, are on their way to the session.
    pub(crate) const fn to(session: SessionId, up_to: u64, count: u64) -> Self {
        Delivering { session, up_to, count, is_written: false }
    }
}

/// So many bytes are fetched at once. With all that a message costs in a queue, which for a short one is several times what it has in the store,
/// they have room in that of a session.
fn part(limits: &Limits) -> usize {
    (limits.output / 4).min(limits.queue_bytes.min(limits.account_queue_bytes) / 16)
}

impl Account {
    /// Who gets the next stored messages: whoever had those before, if it still takes messages; or somebody who does, with a connection if
    /// one of them has one.
    fn recipient(&self) -> Option<SessionId> {
        let backlog = &self.backlog;
        let same = backlog.delivering.as_ref().map(|now| now.session).or(backlog.next);
        let connected = || self.most_available().iter().copied().find(|taker| self.is_connected(*taker));
        same.filter(|same| self.receptive().any(|session| session == *same))
            .or_else(connected)
            .or_else(|| self.most_available().first().copied())
    }

    /// The session for which later messages wait: stored ones are on their way to it, and not all of these are in its queue.
    pub(crate) fn has_older_to_come(&self) -> Option<SessionId> {
        (self.backlog.may_wait || self.wanted.is_any()).then(|| self.recipient()).flatten()
    }

    /// The session that was getting stored messages when it lost its connection, if there are more of them, and somebody else would take
    /// them who has a connection.
    fn absent_holder(&self) -> Option<SessionId> {
        let now =
            self.backlog.delivering.as_ref().filter(|now| self.backlog.has_more() && !now.is_written)?;
        let is_away =
            !self.is_connected(now.session) && self.resources().iter().any(|own| own.session == now.session);
        (is_away && self.most_available().iter().any(|other| self.is_connected(*other)))
            .then_some(now.session)
    }
}

impl Backlog {
    /// Up to which number of their log stored messages are on their way to the session, and how many, if they are.
    pub(crate) fn delivered_to(&self, session: SessionId) -> Option<(u64, u64)> {
        self.delivering.as_ref().filter(|_| self.is_open(session)).map(|now| (now.up_to, now.count))
    }

    /// There are so many in the log: others than those, if any, that are on their way to somebody.
    pub(crate) fn are_in_log(&mut self, count: usize) {
        let delivering = self.delivering.as_ref().filter(|now| !now.is_written).map_or(0, |now| now.count);
        self.may_wait |= count as u64 > delivering;
    }

    /// Whether there are more messages than those that somebody is getting.
    fn has_more(&self) -> bool {
        self.may_wait && self.delivering.is_some()
    }

    /// Whether all is deleted that somebody has got.
    pub(crate) const fn is_deleted(&self) -> bool {
        self.undeleted.is_none()
    }

    /// What was delivered is deleted, or could not be.
    pub(crate) fn deleted(&mut self, saved: bool) {
        let delivered = self.delivering.take();
        let session = delivered.as_ref().map(|delivered| delivered.session);
        if saved {
            self.may_wait |= core::mem::take(&mut self.given_up);
        } else {
            // It must not be delivered again and again.
            (self.undeleted, self.given_up, self.may_wait) = (delivered, true, false);
        }
        self.next = session.filter(|_| self.may_wait);
    }

    /// The session is over. What it was getting may still be written; until that is known everything later goes behind it.
    pub(crate) fn unbind(&mut self, session: SessionId) {
        self.may_wait |= self.is_open(session);
    }

    /// Whether the session is getting messages that have not been written.
    fn is_open(&self, session: SessionId) -> bool {
        self.delivering.as_ref().is_some_and(|now| now.session == session && !now.is_written)
    }
}

impl Router {
    /// Stores a message for an account where nobody takes it.
    pub(crate) fn keep_for_absent(
        &mut self,
        name: &BareJid,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(from), Some(account)) = (&stanza.head.from, self.accounts.get(name)) else { return };
        let append = match self.shared.tables().absent(name, account, &stanza, origin.is_stamped()) {
            Absent::Keep(append) => append,
            Absent::Return => return self.bounce(&stanza, ErrorCondition::ServiceUnavailable, effects),
            Absent::Drop => return,
        };
        let Some(creation) = account.known().map(|known| known.creation) else { return };
        let is_again = origin.is_stamped();
        let is_told = self.is_told(from, name);
        let Some(mut charge) = self.charge(&stanza, origin, effects) else { return };
        let document = charge.again.as_mut().and_then(|again| again.document.take());
        if let Some(account) = self.accounts.get_mut(name) {
            account.backlog.puts += 1;
            if let Wanted::Asked { put_since } = &mut account.wanted {
                *put_since = true;
            }
            // Only what is in the one log that is delivered comes again.
            account.backlog.may_wait |=
                self.shared.tables().replay().is_some_and(|replay| append.log == replay.log);
            account.line_mut(&from.to_bare()).puts += 1;
        }
        self.refresh(name);
        let is_written = document.is_some();
        let append = Change::Log { creation, edit: LogEdit::Append(append) };
        let delete = document.map(|document| undelivered::deletion(creation, document));
        let changes = iter::once(append).chain(delete).collect();
        let purpose = Purpose::Put { message: Arc::new(stanza), is_again, is_told, is_written };
        self.save_all_beside(name, changes, purpose, Some(charge), effects);
    }

    /// If somebody takes messages again, gets those that wait. Until they are there later messages wait.
    pub(crate) fn fetch(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        if let Some(holder) = account.absent_holder() {
            // Its client may be on its way back.
            let since = self.sessions.get(&holder).and_then(Session::waits_since);
            if since.is_some_and(|since| self.asks.now() - since >= self.shared.config.limits.answer) {
                self.superseded.push(holder);
            }
            return;
        }
        let is_taken = !account.most_available().is_empty();
        let backlog = &mut account.backlog;
        if !account.phase.is_open()
            || !(backlog.may_wait && is_taken || account.wanted == Wanted::Stored)
            || backlog.delivering.is_some()
            || matches!(account.wanted, Wanted::Asked { .. })
        {
            return;
        }
        if backlog.puts > 0 {
            account.wanted = Wanted::Stored;
            return;
        }
        if backlog.undeleted.is_some() {
            account.wanted = Wanted::No;
            self.delete_again(name, effects);
            return self.drain_all(name, effects);
        }
        let Some(replay) = self.shared.tables().replay() else { return };
        account.wanted = Wanted::Asked { put_since: false };
        let (account, log) = (name.clone(), replay.log.into());
        let ask = Ask::Entries { account, log, bytes: part(&self.shared.config.limits) };
        self.ask(ask, Purpose::Fetch, None, effects);
    }

    /// The messages that wait are here. If they are not, they stay in the store until later.
    pub(crate) fn fetched(&mut self, name: &BareJid, answer: Option<Answer>, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        let wanted = core::mem::take(&mut account.wanted);
        let Some(session) = account.recipient() else { return };
        account.backlog.may_wait = matches!(wanted, Wanted::Asked { put_since: true });
        account.backlog.next = account.backlog.may_wait.then_some(session);
        let Some(Answer::Entries { entries, more }) = answer else {
            account.backlog.given_up = true;
            return self.try_later(name);
        };
        let Some(last) = entries.last() else { return };
        account.backlog.may_wait |= more;
        account.backlog.delivering = Some(Delivering::to(session, last.number, entries.len() as u64));
        if !account.is_connected(session) {
            // It has just lost its connection, and may not come back: then others get the rest.
            self.retries.push_back((self.asks.now() + self.shared.config.limits.answer, name.clone()));
        }
        let Some(replay) = self.shared.tables().replay() else { return };
        let restore = |entry| (replay.restore)(name.domainpart(), entry);
        let restored = entries.iter().filter_map(|entry| Some((entry.number, restore(entry)?)));
        for (number, stanza) in restored.filter(|(_, stanza)| !account.shuts_out(&self.shared, stanza)) {
            let stanza = Arc::new(stanza);
            self.replays.push_back((Arc::clone(&stanza), number, false));
            effects.push(Effect::Deliver { session, stanza });
        }
        match self.replays.back_mut() {
            Some((.., is_last)) => *is_last = true,
            None => self.written(session, effects),
        }
    }

    /// The stored messages have been written to the session, and can be deleted.
    pub(crate) fn written(&mut self, session: SessionId, effects: &mut Vec<Effect>) {
        let Some(name) = self.recipient(session) else { return };
        let backlog = self.accounts.get_mut(&name).map(|account| &mut account.backlog);
        let Some(now) = backlog.filter(|backlog| backlog.is_open(session)) else { return };
        if let Some(now) = &mut now.delivering {
            now.is_written = true;
            let up_to = now.up_to;
            self.trim(&name, up_to, effects);
        }
    }

    /// The stored messages will not be written to the session, but for those up to this number. The others wait for somebody else.
    pub(crate) fn unwritten(
        &mut self,
        name: &BareJid,
        session: SessionId,
        written: Option<u64>,
        effects: &mut Vec<Effect>,
    ) {
        let account = self.accounts.get_mut(name).filter(|account| account.backlog.is_open(session));
        let Some(account) = account else { return };
        let is_known = account.known().is_some();
        let backlog = &mut account.backlog;
        (backlog.may_wait, backlog.delivering) = (true, None);
        let Some(up_to) = written else { return };
        let written = Some(Delivering { session, up_to, count: 0, is_written: true });
        if is_known {
            backlog.delivering = written;
            self.trim(name, up_to, effects);
        } else {
            // They are deleted when the account is there.
            backlog.undeleted = written;
        }
    }

    /// After a while it is seen whether the store is still in trouble.
    pub(crate) fn try_later(&mut self, name: &BareJid) {
        let at = self.asks.now() + self.shared.config.limits.answer;
        self.retries.push_back((at, name.clone()));
    }

    /// It is time to see that.
    pub(crate) fn try_again(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        self.look_at_owed(name, effects);
        self.refresh(name);
        self.take_turn_again(name);
        self.write_when_due(name, effects);
        let Some(account) = self.accounts.get_mut(name) else { return };
        account.obsolete.try_again();
        let backlog = &mut account.backlog;
        match (&backlog.undeleted, &backlog.delivering) {
            (Some(_), None) => self.delete_again(name, effects),
            // Whoever gets messages now gets the others, too.
            (_, Some(_)) => {}
            (None, None) => backlog.may_wait |= core::mem::take(&mut backlog.given_up),
        }
        self.settle(name, effects);
    }

    /// Deletes what was delivered earlier. What comes meanwhile need not wait for that.
    fn delete_again(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        let Some(undeleted) = account.backlog.undeleted.take() else { return };
        let up_to = undeleted.up_to;
        account.backlog.delivering = Some(undeleted);
        self.trim(name, up_to, effects);
    }

    fn trim(&mut self, name: &BareJid, up_to: u64, effects: &mut Vec<Effect>) {
        let known = self.accounts.get(name).and_then(|account| account.known());
        let (Some(replay), Some(known)) = (self.shared.tables().replay(), known) else { return };
        let edit = LogEdit::Trim { log: replay.log.into(), up_to };
        let change = Change::Log { creation: known.creation, edit };
        self.save_beside(name, change, Purpose::Drop, None, effects);
    }

    /// Whose session it is, or was when messages were delivered to it.
    fn recipient(&self, session: SessionId) -> Option<BareJid> {
        let left = self.leaving.get(session).map(|left| left.account.clone());
        left.or_else(|| self.sessions.get(&session).map(|own| own.jid.to_bare()))
    }

    /// A message goes nowhere. Its sender hears of it, but not a stranger: an error would say who has an account, and who is
    /// there (RFC 6121 section 8.1).
    pub(crate) fn bounce(&self, stanza: &Stanza, condition: ErrorCondition, effects: &mut Vec<Effect>) {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return };
        if self.is_told(from, &to.to_bare()) {
            self.refuse(stanza, condition, effects);
        }
    }

    /// Whether the sender may hear of what becomes of messages to the account.
    pub(crate) fn is_told(&self, from: &Jid, name: &BareJid) -> bool {
        let is_known = self.accounts.get(name).is_some_and(|account| account.tells(from));
        is_known || from.bare_str() == name.as_str() || self.shared.config.tell_strangers
    }
}
