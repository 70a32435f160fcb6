//! The model's sessions with stream management (XEP-0198): what each was given and has not acknowledged, what it is still to be given, and
//! what becomes of that.

use std::collections::BTreeSet;

use balcony_stanza::MessageType;

use crate::model::{ACCOUNTS, Model, Resource, UNAVAILABLE, split};

/// Seconds that a session may take nothing, while something waits.
pub(crate) const STALL: u64 = 300;

/// A message that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) sender: String,
    pub(crate) to: String,
    pub(crate) kind: MessageType,
    /// Such is not kept for people who are away.
    pub(crate) is_needless: bool,
}

/// The place of a line among all that wait for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// It was sent on an earlier connection, behind so many others that wait again.
    Again(usize),
    /// It came first with this step. What came with the same is in any order.
    Step(usize),
}

/// What is known of a session that acknowledges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Managed {
    /// How long it waits for its client, in seconds.
    pub(crate) wait: u64,
    /// It has no connection, and ends then.
    pub(crate) until: Option<u64>,
    /// What its connection was given and it has not acknowledged, in order.
    pub(crate) sent: Vec<String>,
    /// What it is still to be given.
    pub(crate) waiting: Vec<(Place, String)>,
    /// Since when it takes nothing, though something waits.
    pub(crate) takes_nothing_since: Option<u64>,
}

impl Managed {
    /// All that it may not have got.
    fn lines(&self) -> impl Iterator<Item = &String> {
        self.sent.iter().chain(self.waiting.iter().map(|(_, line)| line))
    }

    /// How many stanzas it was sent that its client may have got.
    pub(crate) fn was_sent(&self) -> usize {
        self.sent.len() + self.waiting.iter().filter(|(place, _)| matches!(place, Place::Again(_))).count()
    }
}

/// The session and what it gets, if the line says that it gets something.
pub(crate) fn delivery(line: &str) -> Option<(u64, &str)> {
    let (session, what) = line.split_once(": ")?;
    let is_end = what.starts_with("closed") || what.starts_with("disconnected");
    Some((session.parse().ok().filter(|_| !is_end)?, what))
}

fn number(what: &str) -> Option<usize> {
    what.rsplit_once(" #")?.1.parse().ok()
}

fn is_copy(of: &Resource, what: &str) -> bool {
    what.contains(&format!(" from {} #", split(&of.jid).0))
}

impl Model {
    pub(crate) fn connected(&self) -> Vec<Resource> {
        let all = ACCOUNTS.iter().flat_map(|account| self.of(account));
        all.filter(|r| r.managed.as_ref().is_none_or(|m| m.until.is_none())).cloned().collect()
    }

    pub(crate) fn away(&self) -> Vec<Resource> {
        let all = ACCOUNTS.iter().flat_map(|account| self.of(account));
        all.filter(|r| r.managed.as_ref().is_some_and(|m| m.until.is_some())).cloned().collect()
    }

    /// What the session knows of its stream management, if it is there and has any.
    pub(crate) fn managed(&mut self, session: u64) -> Option<&mut Managed> {
        self.here.iter_mut().find(|r| r.session == session)?.managed.as_mut()
    }

    /// Which message that was for its account this line gives to the resource, itself or as a copy.
    fn own_message(&self, of: &Resource, what: &str) -> Option<usize> {
        let account = split(&of.jid).0;
        let is_error = what.starts_with("message error");
        // What the account has sent is copied as well.
        let is_own = |number: &usize| {
            !is_copy(of, what) || self.sent.get(number).is_some_and(|sent| split(&sent.to).0 == account)
        };
        number(what).filter(|_| what.starts_with("message") && !is_error).filter(is_own)
    }

    /// Puts what sessions with stream management are to get into their queues; the others have got it. What is left are the lines that
    /// somebody must see now.
    pub(crate) fn hand_out(&mut self, step: usize, lines: Vec<String>) -> Vec<String> {
        let mut plain = vec![];
        for line in lines {
            let to = delivery(&line).and_then(|(session, what)| {
                let resource = self.here.iter().find(|r| r.session == session)?;
                Some((session, self.own_message(resource, what), what.to_owned()))
            });
            let Some((session, message, what)) = to else {
                plain.push(line);
                continue;
            };
            match self.managed(session) {
                Some(managed) => {
                    // What comes to a session without a connection comes in the order in which it came first.
                    let step = message.filter(|_| managed.until.is_some()).unwrap_or(step);
                    managed.waiting.push((Place::Step(step), what));
                }
                None => {
                    self.got.extend(message);
                    plain.push(line);
                }
            }
        }
        plain
    }

    /// A session with stream management has got these lines, which had waited for it; whether they are the ones.
    pub(crate) fn take(&mut self, session: u64, lines: &[&str]) -> Result<(), String> {
        let (one_by_one, now) = (self.one_by_one, self.now);
        let Some(managed) = self.managed(session) else { return Ok(()) };
        for line in lines {
            let first = managed.waiting.iter().map(|(place, _)| *place).min();
            let is_it = |(place, waiting): &(Place, String)| Some(*place) == first && waiting == line;
            let Some(index) = managed.waiting.iter().position(is_it) else {
                return Err(format!("{session} gets {line:?}, and not the first of {:?}", managed.waiting));
            };
            managed.waiting.remove(index);
            managed.sent.push((*line).to_owned());
        }
        let has_room = !one_by_one || managed.sent.is_empty();
        let is_full = one_by_one && managed.sent.len() > 1;
        let is_away = managed.until.is_some();
        if is_away && !lines.is_empty() || !is_away && (is_full || has_room && !managed.waiting.is_empty()) {
            return Err(format!("{session} gets {lines:?}: {managed:?}"));
        }
        if managed.waiting.is_empty() || is_away {
            managed.takes_nothing_since = None;
        } else {
            managed.takes_nothing_since.get_or_insert(now);
        }
        Ok(())
    }

    pub(crate) fn manage(&mut self, session: u64, wait: u64) {
        let own = self.here.iter_mut().find(|r| r.session == session);
        own.unwrap().managed.get_or_insert_default().wait = wait;
    }

    /// The session has got so many more.
    pub(crate) fn acknowledge(&mut self, session: u64, count: usize) {
        let now = self.now;
        let Some(managed) = self.managed(session) else { return };
        let lines: Vec<String> = managed.sent.drain(..count).collect();
        if count > 0 {
            managed.takes_nothing_since = managed.takes_nothing_since.map(|_| now);
        }
        self.note_got(session, &lines);
    }

    fn note_got(&mut self, session: u64, lines: &[String]) {
        let resource = self.here.iter().find(|r| r.session == session).unwrap();
        let got: Vec<usize> = lines.iter().filter_map(|line| self.own_message(resource, line)).collect();
        self.got.extend(got);
    }

    /// The session loses its connection.
    pub(crate) fn lose(&mut self, session: u64) -> Vec<String> {
        let now = self.now;
        let Some(managed) = self.managed(session).filter(|managed| managed.wait > 0) else {
            return self.unbind(session);
        };
        managed.until = Some(now + managed.wait);
        managed.takes_nothing_since = None;
        // What it has not acknowledged comes once more, before anything else.
        managed.waiting.sort_by_key(|(place, _)| *place);
        let was_sent = managed.was_sent() - managed.sent.len();
        let later = managed.waiting.split_off(was_sent);
        let again = managed.sent.drain(..).chain(managed.waiting.drain(..).map(|(_, line)| line));
        let again: Vec<_> = again.enumerate().map(|(index, line)| (Place::Again(index), line)).collect();
        managed.waiting.extend(again);
        managed.waiting.extend(later);
        vec![]
    }

    /// Its client is back, and has got so many more.
    pub(crate) fn resume(&mut self, session: u64, count: usize) {
        let managed = self.managed(session).unwrap();
        managed.until = None;
        managed.waiting.sort_by_key(|(place, _)| *place);
        let got: Vec<String> = managed.waiting.drain(..count).map(|(_, line)| line).collect();
        self.note_got(session, &got);
    }

    /// It is that time: who has taken nothing for too long is to lose the connection, and who has waited long enough for the client ends.
    /// The former, and what is seen of it.
    pub(crate) fn tick(&mut self) -> (Vec<u64>, Vec<String>) {
        let now = self.now;
        let mut lines = vec![];
        let stalls = |r: &Resource| {
            let since = r.managed.as_ref().and_then(|managed| managed.takes_nothing_since);
            since.is_some_and(|since| since + STALL <= now)
        };
        let stalled: Vec<u64> = self.here.iter().filter(|r| stalls(r)).map(|r| r.session).collect();
        let is_over =
            |r: &Resource| r.managed.as_ref().and_then(|m| m.until).is_some_and(|until| until <= now);
        let mut over: Vec<Resource> = self.here.extract_if(.., |r| is_over(r)).collect();
        for ended in &over {
            lines.push(format!("{}: closed with connection-timeout", ended.session));
            lines.extend(self.end(ended));
        }
        let mut disconnected = vec![];
        for session in stalled {
            if self.managed(session).unwrap().wait > 0 {
                lines.push(format!("{session}: disconnected with connection-timeout"));
                disconnected.push(session);
            } else {
                lines.push(format!("{session}: closed with resource-constraint"));
                let index = self.here.iter().position(|r| r.session == session).unwrap();
                let ended = self.here.remove(index);
                lines.extend(self.end(&ended));
                over.push(ended);
            }
        }
        lines.extend(self.leave(over));
        (disconnected, lines)
    }

    /// What sessions that are over have not got goes its way once more, as if it came now, in the order in which it came (RFC 6121 §8.5):
    /// but for what another session has got, or may still get, itself or as a copy.
    pub(crate) fn leave(&mut self, over: Vec<Resource>) -> Vec<String> {
        let mut lines = self.refuse_requests(&over);
        let mut left = BTreeSet::new();
        for resource in &over {
            let own = resource.managed.iter().flat_map(Managed::lines);
            left.extend(own.filter_map(|line| self.own_message(resource, line)));
        }
        for resource in &self.here {
            for line in resource.managed.iter().flat_map(Managed::lines) {
                if let Some(number) = self.own_message(resource, line) {
                    left.remove(&number);
                }
            }
        }
        // An error is for the one resource, whoever has that now. One that the own account has sent looks like a copy to the router, which
        // may be of type error as well, and is dropped.
        for resource in &over {
            let account = split(&resource.jid).0;
            let errors = resource
                .managed
                .iter()
                .flat_map(Managed::lines)
                .filter(|line| line.starts_with("message error"));
            for error in errors {
                let from = error.rsplit_once(" from ").unwrap().1.rsplit_once(" #").unwrap().0;
                if let Some(heir) =
                    self.at(&resource.jid).filter(|_| from != account && !self.blocks(account, from))
                {
                    lines.push(format!("{}: {error}", heir.session));
                }
            }
        }
        let now = self.number;
        for message in left {
            if self.got.contains(&message) {
                continue;
            }
            let Sent { sender, to, kind, is_needless } = self.sent[&message].clone();
            (self.number, self.is_needless) = (message, is_needless);
            lines.extend(self.pass(&sender, kind, &to, false));
        }
        (self.number, self.is_needless) = (now, false);
        lines
    }

    /// Requests that sessions have not got before they ended are refused.
    pub(crate) fn refuse_requests(&mut self, over: &[Resource]) -> Vec<String> {
        let now = self.number;
        let mut lines = vec![];
        for resource in over {
            for line in resource.managed.iter().flat_map(Managed::lines) {
                if let Some(request) = line.strip_prefix("iq get from ") {
                    self.number = number(line).unwrap();
                    let sender = request.split_once(' ').unwrap().0;
                    lines.extend(self.error("iq", UNAVAILABLE, sender, &resource.jid));
                }
            }
        }
        self.number = now;
        lines
    }

    /// Of messages that sessions of an account have not got which is removed those senders hear who are its contacts, or were shown presence.
    pub(crate) fn refuse_messages(&mut self, account: &str, over: &[Resource]) -> Vec<String> {
        let mut left = BTreeSet::new();
        for resource in over {
            let own = resource.managed.iter().flat_map(Managed::lines);
            left.extend(own.filter_map(|line| self.own_message(resource, line)));
        }
        let now = self.number;
        let mut lines = vec![];
        for message in left {
            let Sent { sender, to, kind, .. } = self.sent[&message].clone();
            let is_kind = matches!(kind, MessageType::Normal | MessageType::Chat | MessageType::Groupchat);
            let is_shown =
                || over.iter().any(|r| r.directed.iter().any(|d| *d == sender || d == split(&sender).0));
            let is_known =
                split(&sender).0 != account && (is_shown() || self.contact(account, &sender).listed);
            if is_kind && is_known && !self.got.contains(&message) {
                self.number = message;
                lines.extend(self.error("message", UNAVAILABLE, &sender, &to));
            }
        }
        self.number = now;
        lines
    }

    /// The messages that must be on disk, as they wait for sessions without a connection and nobody else has got them; and those that
    /// may be, as some session has not acknowledged them.
    pub(crate) fn undelivered(&self, account: &str) -> (BTreeSet<usize>, BTreeSet<usize>) {
        let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
        for resource in self.of(account) {
            let Some(managed) = &resource.managed else { continue };
            let numbers: Vec<_> =
                managed.lines().filter_map(|line| self.own_message(resource, line)).collect();
            may.extend(&numbers);
            let is_kept = |number: &usize| {
                let Sent { kind, is_needless, .. } = &self.sent[number];
                let is_kind =
                    matches!(kind, MessageType::Normal | MessageType::Chat | MessageType::Groupchat);
                is_kind && !is_needless && !self.got.contains(number)
            };
            let is_original = |number: &usize| {
                managed.lines().any(|line| self::number(line) == Some(*number) && !is_copy(resource, line))
            };
            let others = || self.of(account).filter_map(|other| Some((other, other.managed.as_ref()?)));
            let is_elsewhere = |number: &usize| {
                others().any(|(other, managed)| {
                    managed.until.is_none()
                        && managed.lines().any(|line| self.own_message(other, line) == Some(*number))
                })
            };
            // Somebody who is there may get that of which there is a copy.
            let is_due = |number: &usize| is_original(number) || !is_elsewhere(number);
            if managed.until.is_some() {
                must.extend(numbers.iter().copied().filter(|number| is_kept(number) && is_due(number)));
            }
        }
        (must, may)
    }
}
