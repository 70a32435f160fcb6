//! Sessions that wait for their clients while the server is down (XEP-0198): they are kept when it has shut down, and go on at the next
//! one.
//!
//! When all connections are closed, no session is on its way to one, and nothing waits for the store any more, the sessions that can be resumed are handed to whoever runs
//! the server ([`Ask::Sessions`]), as they are at one moment, in parts, one after the other. What is kept is the server's part, as below,
//! and the [router's](balcony_router::Router::save). Where nobody keeps them they end with the server. If they can't be kept it is tried again
//! for a while: a disk that was full may have room again, and of what waits for them some may be nowhere else.
//!
//! The next server is given them before it takes connections ([`Server::restore`](crate::Server::restore)), when they are not kept any more: a session that
//! was restored once never is again.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Instant, RecordReader, RecordWriter};
use balcony_router::collections::SESSIONS_VERSION;
use balcony_router::{Content, Restoring, SessionId};
use balcony_stream::Counts;

use crate::action::{Action, Ask};
use crate::asks::Asker;
use crate::counted::counted;
use crate::hub::Hub;
use crate::journal::Level;
use crate::sessions::{DIGEST, Waiting};

/// The first version that can be read: these sessions lack how long they have been bound.
const FIRST_VERSION: u8 = 1;
/// As many as fit into so many bytes are kept with one ask, or one.
const PART: usize = 256 * 1024;
/// When it is tried again, if some could not be kept.
const AGAIN: Duration = Duration::from_secs(1);
/// How long it is, from the first time on that it has failed. What is left by then is tried once.
const TRYING: Duration = Duration::from_secs(15);

/// A session that is kept while its server is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedSession {
    /// Its address: no two have the same.
    pub key: Arc<str>,
    /// What is kept of it.
    pub content: Content,
}

/// How far the sessions of a server that shuts down are kept.
#[derive(Debug, Default)]
pub(crate) enum Saving {
    /// The server does not shut down, or waits for something.
    #[default]
    No,
    /// Some are being kept.
    Asked(ToKeep),
    /// They could not be kept, which is tried again then.
    Waits(Instant, ToKeep),
    /// All are kept, or are over.
    Done,
}

/// What is to be kept.
#[derive(Debug, Default)]
pub(crate) struct ToKeep {
    sessions: VecDeque<Unsaved>,
    /// So many of the first are being kept.
    asked: usize,
    /// How long it is tried again, since it has failed once.
    until: Option<Instant>,
    /// How many could not be kept.
    lost: usize,
    /// What has waited for these and is nowhere else.
    lost_messages: Waited,
    /// The same of those that are kept.
    kept_messages: Waited,
}

/// Messages that have waited for sessions, and were not in the store.
#[derive(Debug, Default)]
struct Waited {
    /// How many have waited for one session only.
    alone: usize,
    /// The numbers of those that have waited for several.
    shared: BTreeSet<u64>,
}

/// A session that is to be kept.
#[derive(Debug)]
struct Unsaved {
    domain: BareJid,
    saved: SavedSession,
    /// What waits for it and is nowhere else.
    messages: Waited,
}

impl Waited {
    fn add(&mut self, other: &Waited) {
        self.alone += other.alone;
        self.shared.extend(&other.shared);
    }

    /// Of how many messages no session is kept that they have waited for.
    fn count_without(&self, kept: &Waited) -> usize {
        self.alone + self.shared.difference(&kept.shared).count()
    }
}

impl ToKeep {
    /// What is lost, in words, if anything is.
    fn loss(&self) -> Option<String> {
        let (lost, lost_messages) = self.lost();
        let (them, they) = if lost == 1 { ("it", "it") } else { ("them", "they") };
        let of_messages = match lost_messages {
            0 => format!("the messages that waited for {them} are in the store"),
            1 => format!(
                "1 message that {they} had not acknowledged was in memory only: if it has not arrived it is lost, though its sender was told \
                 that it is safe, and so are errors that say what has not arrived"
            ),
            _ => format!(
                "{lost_messages} messages that {they} had not acknowledged were in memory only: those that have not arrived are lost, though \
                 their senders were told that they are safe, and so are errors that say what has not arrived"
            ),
        };
        let of_sessions = counted(
            lost,
            "session could not be kept: its client will begin another",
            "sessions could not be kept: their clients will begin others",
        );
        (lost > 0).then(|| format!("{of_sessions}, and {of_messages}"))
    }

    /// How many sessions could not be kept, or are not kept yet, and of how many messages all that they have waited for are among these.
    fn lost(&self) -> (usize, usize) {
        let mut messages = Waited::default();
        let not_yet = self.sessions.iter().map(|unsaved| &unsaved.messages);
        not_yet.chain([&self.lost_messages]).for_each(|waited| messages.add(waited));
        (self.lost + self.sessions.len(), messages.count_without(&self.kept_messages))
    }
}

impl Hub {
    /// Whether a server that shuts down has sessions that are not kept yet.
    pub(crate) fn is_saving(&self) -> bool {
        self.is_closing && !matches!(self.saving, Saving::Done)
    }

    /// Has the sessions kept that wait for their clients, if nothing more can happen to them.
    pub(crate) fn save_when_settled(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while self.is_closing
            && matches!(self.saving, Saving::No)
            && self.is_alone()
            // A word may be under way by which one of the parts learns of a session, whose connection has gone meanwhile.
            && self.sessions.count().1 == 0
            && self.router.counts().asks == 0
            && !self.router.has_parked()
        {
            let is_unsettled = |session: &SessionId| {
                self.sessions.saved(*session).is_none() || !self.router.can_save(*session)
            };
            let unsettled: Vec<_> = self.sessions.all_waiting().into_iter().filter(is_unsettled).collect();
            if unsettled.is_empty() {
                let sessions = self.record_all(now);
                return self.save_next(ToKeep { sessions, ..ToKeep::default() }, actions);
            }
            // Their clients have sent what is not decided. It can't be known what of that is to be sent again.
            for session in unsettled {
                self.end_waiting(now, session);
            }
        }
    }

    /// What is to be kept of all sessions, as they are at one moment. From then on there are none: if one ended when another of its
    /// account is kept already, what was for both would come to that one, and to whoever comes next.
    fn record_all(&mut self, now: Instant) -> VecDeque<Unsaved> {
        let mut all = VecDeque::new();
        for session in self.sessions.all_waiting() {
            let messages = self.waited(session);
            let record = self.record(now, session);
            all.extend(record.map(|(domain, saved)| Unsaved { domain, saved, messages }));
            self.router.let_go(session);
            self.sessions.end(session);
        }
        all
    }

    /// What waits for a session and is not in the store.
    fn waited(&self, session: SessionId) -> Waited {
        let mut messages = Waited::default();
        for number in self.router.in_memory_only(session) {
            match number {
                Some(number) => _ = messages.shared.insert(number),
                None => messages.alone += 1,
            }
        }
        messages
    }

    /// Has the next of them kept.
    fn save_next(&mut self, mut all: ToKeep, actions: &mut Vec<Action>) {
        let Some(domain) = all.sessions.front().map(|first| first.domain.clone()) else {
            self.saving = Saving::Done;
            (self.given_up.sessions, self.given_up.messages) = all.lost();
            return actions.extend(all.loss().map(|line| Action::Log(Level::Warn, line)));
        };
        let mut size = 0;
        let part = all.sessions.iter().enumerate().take_while(|(place, next)| {
            size += next.saved.content.bytes.len();
            next.domain == domain && (size <= PART || *place == 0)
        });
        let sessions: Vec<_> = part.map(|(_, next)| next.saved.clone()).collect();
        all.asked = sessions.len();
        self.saving = Saving::Asked(all);
        let ticket = self.asks.open(Asker::Saving);
        actions.push(Action::Ask(ticket, Ask::Sessions { domain, sessions }));
    }

    /// They are kept, or are not: then it is tried again, until that is no use. What waited for those that are over is where the router has
    /// written it.
    pub(crate) fn saved(&mut self, now: Instant, is_kept: bool, actions: &mut Vec<Action>) {
        let Saving::Asked(mut all) = mem::take(&mut self.saving) else { return };
        let again = now + AGAIN;
        if !is_kept && again <= *all.until.get_or_insert(now + TRYING) {
            self.saving = Saving::Waits(again, all);
            return;
        }
        for unsaved in all.sessions.drain(..all.asked) {
            all.lost += usize::from(!is_kept);
            let messages = if is_kept { &mut all.kept_messages } else { &mut all.lost_messages };
            messages.add(&unsaved.messages);
        }
        self.save_next(all, actions);
    }

    /// How many sessions are not kept, as far as is known, and how many messages wait for these that are nowhere else.
    pub(crate) fn unsaved(&self) -> (usize, usize) {
        match &self.saving {
            Saving::No => {
                let waiting = self.sessions.all_waiting();
                let mut messages = Waited::default();
                waiting.iter().for_each(|session| messages.add(&self.waited(*session)));
                (waiting.len(), messages.count_without(&Waited::default()))
            }
            Saving::Asked(all) | Saving::Waits(_, all) => all.lost(),
            Saving::Done => (self.given_up.sessions, self.given_up.messages),
        }
    }

    /// When it is tried again to keep sessions that could not be kept.
    pub(crate) fn saving_due(&self) -> Option<Instant> {
        if let Saving::Waits(at, _) = &self.saving { Some(*at) } else { None }
    }

    /// Tries that if it is time.
    pub(crate) fn save_again(&mut self, now: Instant, actions: &mut Vec<Action>) {
        match mem::take(&mut self.saving) {
            Saving::Waits(at, all) if at <= now => self.save_next(all, actions),
            saving => self.saving = saving,
        }
    }

    /// A session that waits for its client is over.
    pub(crate) fn end_waiting(&mut self, now: Instant, session: SessionId) {
        self.router.unbind(now, session, &mut self.effects);
        self.end_session(session);
    }

    fn record(&self, now: Instant, session: SessionId) -> Option<(BareJid, SavedSession)> {
        let (digest, Waiting { jid, counts, .. }) = self.sessions.saved(session)?;
        let of_router = self.router.save(now, session)?;
        let mut counts = counts.clone();
        // The router has decided all of it.
        counts.handled(u32::MAX);
        let mut record = RecordWriter::default();
        record.bytes(digest);
        counts.write(&mut record);
        record.bytes(of_router);
        let content = Content { version: SESSIONS_VERSION, bytes: record.into_bytes().into() };
        let domain = BareJid::from_parts(None, jid.domainpart()).ok()?;
        Some((domain, SavedSession { key: jid.as_str().into(), content }))
    }

    /// See [`Server::restore`](crate::Server::restore).
    pub(crate) fn restore(
        &mut self,
        now: Instant,
        clock: u64,
        sessions: impl IntoIterator<Item = SavedSession>,
        actions: &mut Vec<Action>,
    ) {
        let (mut with, mut count) = (Restoring::at(clock), 0_usize);
        for SavedSession { key, content } in sessions {
            if self.restore_one(now, &content, &mut with).is_some() {
                count += 1;
            } else {
                let line =
                    format!("the session {key:?} that was kept can't go on: it is damaged, or not served");
                actions.push(Action::Log(Level::Warn, line));
            }
        }
        if count > 0 {
            let line = counted(
                count,
                "session waits for its client since the server was down",
                "sessions wait for their clients since the server was down",
            );
            actions.push(Action::Log(Level::Info, line));
        }
    }

    fn restore_one(&mut self, now: Instant, content: &Content, with: &mut Restoring) -> Option<FullJid> {
        if !(FIRST_VERSION..=SESSIONS_VERSION).contains(&content.version) {
            return None;
        }
        let mut record = RecordReader::new(&content.bytes);
        let digest: [u8; DIGEST] = record.bytes()?.try_into().ok()?;
        let counts = Counts::read(&mut record)?;
        let of_router = record.bytes().filter(|_| record.is_at_end())?;
        let session = self.sessions.restore(digest)?;
        let jid = self.router.restore(now, session, of_router, with, &mut self.effects);
        match &jid {
            Some(jid) => drop(self.sessions.lose(session, jid.clone(), counts)),
            None => drop(self.sessions.end(session)),
        }
        jid
    }
}
