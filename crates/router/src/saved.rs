//! Sessions that wait for their clients while their server is down (XEP-0198): what is kept of each, and how it becomes a session again.
//!
//! A session is as it was: its resource is available, and what was in its queue still is. What a router has to know of its account is
//! loaded first; a client that is back waits for that.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use alloc::sync::Arc;
use balcony_jid::{BareJid, FullJid, Jid};
use balcony_machine::{Instant, RecordReader, RecordWriter};
use balcony_stanza::{Stanza, StreamCondition};

use crate::account::{Account, Presence, Resource};
use crate::outbox::{Group, Groups, Outbox};
use crate::presence::priority;
use crate::replay::Delivering;
use crate::resumption::stamped;
use crate::router::{Marks, Router, Session};
use crate::{Effect, SessionId};

/// However long a server was down, its sessions wait so long for their clients, or what was left of their time if that is less.
const LEAST: Duration = Duration::from_secs(60);

/// Sessions that are being [restored](Router::restore) together: what went to several of them is known to be the same.
#[derive(Debug, Default)]
pub struct Restoring {
    /// The clock of now, in milliseconds since the start of 1970 (UTC).
    clock: u64,
    groups: Groups,
}

impl Restoring {
    /// None so far. `clock` is what time it is, in milliseconds since the start of 1970 (UTC), by the clock of whoever has kept them.
    #[must_use]
    pub fn at(clock: u64) -> Self {
        Restoring { clock, groups: Groups::new() }
    }
}

impl Router {
    /// What has to be kept of a session that [waits](Router::detach) for its client, so that another router can
    /// [restore](Router::restore) it. `None` if it does not wait, or not everything is decided that it has sent.
    ///
    /// The sessions of an account are saved at one moment, and then [let go](Router::let_go): what ends in between gives to others what a
    /// saved one has, too.
    #[must_use]
    pub fn save(&self, now: Instant, session: SessionId) -> Option<Vec<u8>> {
        let now = now.max(self.asks.now());
        let (own, account) = self.waiting(session)?;
        let management = own.outbox.management();
        let (managed, until) = (management.managed()?, management.until()?);
        let known = account.known()?;
        let resource = account.resources().iter().find(|resource| resource.session == session)?;
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let mut record = RecordWriter::default();
        record.bytes(own.jid.as_str()).number(known.creation).number(known.clock(now)).number(own.received);
        record.number(millis(managed.wait)).number(millis(until.saturating_since(now)));
        record.flag(resource.interested).option(resource.presence(), |record, presence| {
            let mut bytes = Vec::new();
            presence.stanza.write(&mut bytes);
            record.bytes(bytes);
        });
        let directed: Vec<&Jid> = resource.directed.iter().collect();
        record.list(directed.into_iter(), |record, entity| {
            record.bytes(entity.as_str());
        });
        let states = self.shared.tables().client_states(resource.slots());
        let states: Vec<_> =
            states.map(|(index, state)| (self.shared.config.extensions.name(index), state)).collect();
        record.list(states.into_iter(), |record, (name, state)| {
            record.bytes(name).bytes(state);
        });
        let delivered = account.backlog.delivered_to(session);
        record.option(delivered, |record, (up_to, _)| {
            record.number(up_to);
        });
        own.outbox.write(&mut record, |stanza, at| stamped(Some(account), stanza, at));
        record.number(millis(own.age(now)));
        record.number(delivered.map_or(0, |(_, count)| count));
        record.number(own.outbox.behind() as u64);
        Some(record.into_bytes())
    }

    /// Whether the session can be [saved](Router::save).
    #[must_use]
    pub fn can_save(&self, session: SessionId) -> bool {
        self.waiting(session).is_some()
    }

    /// A session that waits for its client, with its account, which is known. Everything is decided that it has sent.
    fn waiting(&self, session: SessionId) -> Option<(&Session, &Account)> {
        let own = self.sessions.get(&session).filter(|own| own.undecided == 0)?;
        let account = self.accounts.get(own.jid.bare_str()).filter(|account| account.known().is_some())?;
        own.outbox.management().until().is_some().then_some((own, account))
    }

    /// What was [saved](Router::save) of this session is kept elsewhere: the router forgets it, and nobody hears of that. For a router
    /// that is about to end: nothing becomes due in it from then on, and what is written down for these sessions is left to them, if what
    /// still comes has an account loaded.
    pub fn let_go(&mut self, session: SessionId) {
        self.is_over = true;
        let Some(own) = self.sessions.remove(&session) else { return };
        self.waits_no_longer(session, &own);
        self.queued -= own.outbox.bytes();
        if let Some(account) = self.accounts.get_mut(own.jid.bare_str()) {
            account.unbind(session);
            account.backlog.unbind(session);
            if account.resources().is_empty() {
                self.online -= 1;
            }
        }
    }

    /// Makes a session that another router has [saved](Router::save), which waits for its client and has this number here. Of the time
    /// that it waits what has passed meanwhile is over, but a minute is left if it was. Its address; `None`, and nothing has changed, if
    /// what was saved is damaged, the resource is taken, or its domain is not served.
    ///
    /// Its account is loaded first. If there is none, or it is another one by now, the session ends, and what was in its queue is for
    /// nobody.
    pub fn restore(
        &mut self,
        now: Instant,
        session: SessionId,
        saved: &[u8],
        with: &mut Restoring,
        effects: &mut Vec<Effect>,
    ) -> Option<FullJid> {
        self.asks.clock(now);
        let start = effects.len();
        let read = Saved::read(self, saved, with)?;
        let jid = self.adopt(session, read, effects);
        self.go_on(effects);
        self.dispatch(start, effects);
        jid
    }

    fn adopt(&mut self, session: SessionId, saved: Saved, effects: &mut Vec<Effect>) -> Option<FullJid> {
        let Saved {
            jid,
            received,
            until,
            interested,
            presence,
            directed,
            states,
            delivering,
            outbox,
            delivered,
        } = saved;
        let name = jid.to_bare();
        let is_taken = self.accounts.get(&name).is_some_and(|account| {
            account.by_name(jid.resourcepart()).is_some()
                || account.resources().len() >= self.shared.config.limits.resources
        });
        if is_taken
            || self.sessions.contains_key(&session)
            || !self.is_local(name.domainpart())
            || name.localpart().is_none()
        {
            return None;
        }
        self.queued += outbox.bytes();
        let extensions = self.shared.config.extensions.clone();
        let account = self.load(&name, effects);
        account.bind(session, jid.clone());
        let is_first = account.resources().len() == 1;
        if let Some(resource) = account.by_session(session) {
            for (extension, state) in &states {
                extensions.tables().restore_client(extensions.index(extension), state, resource.slots_mut());
            }
            resource.interested = interested;
            resource.is_connected = false;
            directed.into_iter().for_each(|entity| resource.directed.insert(entity));
        }
        account.count_slots();
        if let Some(up_to) = delivering {
            account.backlog.delivering = Some(Delivering::to(session, up_to, delivered));
        }
        if outbox.behind() > 0 {
            account.backlog.next = Some(session);
        }
        account.set_presence(session, presence.map(|(stanza, priority)| Presence { stanza, priority }));
        self.online += usize::from(is_first);
        self.waiting_for_clients.insert((until, session));
        let own = Session {
            jid: jid.clone(),
            since: self.asks.now(),
            is_plain: false,
            holds: false,
            is_told: false,
            outbox,
            received,
            undecided: 0,
            recent: None,
            recent_to: None,
            marks: Marks::default(),
        };
        self.sessions.insert(session, own);
        self.look_at_replay_later(session);
        self.refresh(&name);
        Some(jid)
    }

    /// The account is not the one that these sessions were of: they end, and nobody hears of them.
    pub(crate) fn end_successors(&mut self, name: &BareJid, creation: u64, effects: &mut Vec<Effect>) {
        let is_other = |session: &SessionId| {
            let managed = self.sessions.get(session).and_then(|own| own.outbox.management().managed());
            managed.is_some_and(|managed| managed.creation.is_some_and(|of| of != creation))
        };
        let others: Vec<SessionId> = self.sessions(name).filter(is_other).collect();
        for session in others {
            effects.push(Effect::Close { session, error: StreamCondition::NotAuthorized });
            let Some(own) = self.sessions.get_mut(&session) else { continue };
            self.queued -= own.outbox.clear();
            if let Some(account) = self.accounts.get_mut(name) {
                account.set_presence(session, None);
                account.backlog.delivering = None;
                account.by_session(session).map(|own: &mut Resource| core::mem::take(&mut own.directed));
            }
            self.end_session(session, effects);
        }
    }
}

/// A session as it was saved.
struct Saved {
    jid: FullJid,
    received: u64,
    /// When it ends, if its client does not come back.
    until: Instant,
    interested: bool,
    presence: Option<(Arc<Stanza>, i8)>,
    directed: Vec<Jid>,
    states: Vec<(String, Vec<u8>)>,
    /// Up to which number of their log stored messages are on their way to it.
    delivering: Option<u64>,
    outbox: Outbox,
    /// How many stored messages were on their way to it; 0 if that is not known.
    delivered: u64,
}

impl Saved {
    fn read(router: &mut Router, saved: &[u8], with: &mut Restoring) -> Option<Saved> {
        let mut record = RecordReader::new(saved);
        let jid = FullJid::parse(record.text()?).ok()?;
        let (creation, clock, received) = (record.number()?, record.number()?, record.number()?);
        let (wait, left) = (Duration::from_millis(record.number()?), Duration::from_millis(record.number()?));
        let passed = Duration::from_millis(with.clock.saturating_sub(clock));
        let left = left.saturating_sub(passed).max(left.min(LEAST));
        let interested = record.flag()?;
        let presence = record.option(|record| {
            let stanza = Stanza::parse(record.bytes()?)?;
            let priority = priority(&stanza).ok()?;
            Some((Arc::new(stanza), priority))
        })?;
        let directed = record.list(|record| Jid::parse(record.text()?).ok())?;
        let states = record.list(|record| Some((record.text()?.into(), record.bytes()?.to_vec())))?;
        let delivering = record.option(RecordReader::number)?;
        let mut new_group = |is_taken| {
            router.groups += 1;
            Arc::new(Group::new(router.groups, is_taken))
        };
        let now = router.asks.now();
        let until = now + left;
        let waits = (wait, until, creation);
        let outbox = Outbox::read(now, waits, &mut record, &mut with.groups, &mut new_group)?;
        // Routers before this number did not keep it.
        let age = if record.is_at_end() { 0 } else { record.number()? };
        let age = Duration::from_millis(age).saturating_add(passed);
        // Nor did they keep this.
        let delivered = if record.is_at_end() { 0 } else { record.number()? };
        // Nor this.
        let behind = if record.is_at_end() { 0 } else { record.number()? };
        let mut outbox = outbox.put_behind(behind)?;
        outbox.set_age(age);
        router.delivered = router.delivered.max(outbox.last_order());
        let saved = Saved {
            jid,
            received,
            until,
            interested,
            presence,
            directed,
            states,
            delivering,
            outbox,
            delivered,
        };
        record.is_at_end().then_some(saved)
    }
}
