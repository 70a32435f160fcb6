//! Nothing waits without end, whatever happens and however late the store is: three accounts with several sessions each, which say and ask
//! everything, lose their connections (XEP-0198) and go, while the store answers late and refuses now and then.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use balcony_jid::Jid;
use balcony_router::{Ask, Effect, SessionId};
use balcony_stanza::{ErrorCondition, IqType, Kind, MessageType, Stanza};
use proptest::prelude::*;

use crate::behind::{At, REQUESTS, Request, extensions, written};
use crate::histories::{Grants, Op, address, connected, grants, op, step, world_of};
use crate::model::{ACCOUNTS, REMOTE};
use crate::slow::Slow;
use crate::world::{World, bare, jid, roster_get};

/// How many histories of each kind.
const CASES: u32 = 300;

#[derive(Clone, Debug)]
enum Event {
    Op(Op),
    Request(usize, Request, usize),
    /// A client of a contact is asked.
    Ping(usize, usize),
    Manage(usize, u64),
    Acknowledge(usize, usize),
    Drain(usize),
    Lose(usize),
    Resume(usize, usize),
    Gone(usize),
    Take(usize),
    Refuse(usize),
    Answer(usize),
    TakeIn,
    /// An answer to a request of another client.
    Reply(usize),
    RemoteFails(usize),
    Wait(u64),
}

fn event(refuses: bool) -> impl Strategy<Value = Event> {
    let session = || 0..12_usize;
    let percent = || prop_oneof![1 => Just(0_usize), 2 => 0..101_usize, 1 => Just(100)];
    prop_oneof![
        30 => op().prop_map(Event::Op),
        10 => (session(), prop::sample::select(&REQUESTS[..]), 0..=ACCOUNTS.len()).prop_map(|(s, r, c)| Event::Request(s, r, c)),
        4 => (session(), 0..ACCOUNTS.len() * 4).prop_map(|(s, to)| Event::Ping(s, to)),
        6 => (session(), 0..ACCOUNTS.len() * 4, prop_oneof![3 => Just(MessageType::Chat), 1 => Just(MessageType::Normal)]).prop_map(|(s, to, kind)| Event::Op(Op::Message(s, kind, to))),
        4 => (session(), prop_oneof![1 => Just(0), 2 => Just(60), 3 => Just(600)]).prop_map(|(s, wait)| Event::Manage(s, wait)),
        3 => (session(), percent()).prop_map(|(s, percent)| Event::Acknowledge(s, percent)),
        5 => session().prop_map(Event::Drain),
        3 => session().prop_map(Event::Lose),
        3 => (session(), percent()).prop_map(|(s, percent)| Event::Resume(s, percent)),
        3 => session().prop_map(Event::Gone),
        14 => (0..4_usize).prop_map(Event::Take),
        2 => (0..4_usize).prop_map(move |place| if refuses { Event::Refuse(place) } else { Event::Take(place) }),
        16 => (0..4_usize).prop_map(Event::Answer),
        4 => Just(Event::TakeIn),
        2 => session().prop_map(Event::Reply),
        1 => session().prop_map(Event::RemoteFails),
        2 => prop_oneof![2 => 0..35_u64, 1 => 250..700_u64].prop_map(move |seconds| if refuses { Event::Wait(seconds) } else { Event::TakeIn }),
    ]
}

/// A session, as its owner sees it.
#[derive(Debug, Default)]
struct Own {
    jid: Option<Jid>,
    is_over: bool,
    is_gone: bool,
    is_managed: bool,
    is_away: bool,
    /// Its client is back, and has not been told so.
    is_resuming: bool,
    pending: Vec<String>,
    sent: Vec<Option<String>>,
    got: Vec<String>,
    /// Requests of others that it has not answered.
    asked: Vec<(Jid, String)>,
    was_asked: BTreeSet<String>,
    log: Vec<String>,
}

struct Sent {
    session: SessionId,
    to: Option<Jid>,
    kind: Kind,
}

struct History {
    world: World,
    store: Slow,
    sessions: u64,
    own: BTreeMap<SessionId, Own>,
    unhandled: BTreeSet<(SessionId, u64)>,
    sent: BTreeMap<String, Sent>,
    /// Who has got requests of which somebody else's client is to be the answerer, and is over.
    lost_asked: BTreeSet<String>,
    remotes: Vec<(Stanza, bool)>,
    number: usize,
    /// Something has been refused, or given up.
    is_troubled: bool,
    is_narrow: bool,
    blocking: BTreeSet<String>,
    removed: BTreeSet<String>,
    log: Vec<String>,
}

fn key(stanza: &Stanza) -> Option<String> {
    let text = String::from_utf8_lossy(stanza.payload.as_bytes()).into_owned();
    if matches!(stanza.head.kind, Kind::Message(_)) && text.starts_with("<received") {
        return Some(format!("copy {}", text.split_once(" id='")?.1.split_once('\'')?.0));
    }
    let id = stanza.head.id.as_deref()?;
    let is_error = stanza.head.kind.is_error();
    id.parse::<usize>().ok()?;
    Some(match stanza.head.kind {
        Kind::Message(_)
            if is_error && String::from_utf8_lossy(stanza.payload.as_bytes()).contains("<error") =>
        {
            format!("back {id}")
        }
        Kind::Message(_) => format!("message {id}"),
        Kind::Iq(IqType::Get | IqType::Set) => format!("asked {id}"),
        Kind::Iq(_) => format!("answer {id}"),
        Kind::Presence(_) => return None,
    })
}

impl History {
    fn new(grants: &Grants, bounds: u32, tells: bool) -> Self {
        let world = world_of(grants, |config| {
            config.extensions = extensions();
            config.tell_strangers = tells;
            config.limits.storing = [128, 1, 2][(bounds % 3) as usize];
            config.limits.unacknowledged = [1 << 20, 3_000, 1][(bounds / 3 % 3) as usize];
            config.limits.credit = [64 << 10, 1][(bounds / 9 % 2) as usize];
            config.limits.waiting = [1024, 5][(bounds / 18 % 2) as usize];
        });
        let mut world = world;
        (world.at_once, world.parks) = (false, true);
        History {
            world,
            store: Slow::default(),
            sessions: 0,
            own: BTreeMap::new(),
            unhandled: BTreeSet::new(),
            sent: BTreeMap::new(),
            lost_asked: BTreeSet::new(),
            remotes: vec![],
            number: 0,
            is_troubled: false,
            is_narrow: bounds >= 18,
            blocking: BTreeSet::new(),
            removed: BTreeSet::new(),
            log: vec![],
        }
    }

    fn take(&mut self, mut effects: Vec<Effect>) -> Result<(), TestCaseError> {
        self.unhandled.extend(self.world.waited.drain(..));
        for (session, number) in core::mem::take(&mut self.world.numbers) {
            prop_assert!(self.unhandled.remove(&(session, number)), "handled twice");
        }
        while !effects.is_empty() {
            let (more, mut lost) = (vec![], vec![]);
            let is_closed = |effect: &Effect, own: &SessionId| matches!(effect, Effect::Close { session, .. } if session == own);
            let closed: BTreeSet<SessionId> = self
                .own
                .keys()
                .filter(|own| effects.iter().any(|effect| is_closed(effect, own)))
                .copied()
                .collect();
            for effect in effects {
                self.log.push(format!("   {}", short(&effect)));
                match effect {
                    Effect::Ask { ticket, ask } => {
                        if let Ask::Remove { account } = &ask {
                            self.removed.insert(account.to_string());
                        }
                        self.store.ask(ticket, ask)
                    }
                    Effect::Handled { session, number } => {
                        prop_assert!(self.unhandled.remove(&(session, number)), "handled twice");
                    }
                    Effect::Deliver { session, .. }
                        if closed.contains(&session) && self.own[&session].is_away => {}
                    Effect::Deliver { session, stanza } => self.deliver(session, &stanza)?,
                    Effect::Close { session, .. } => self.over(session),
                    Effect::Disconnect { session, .. } => lost.push(session),
                    Effect::Resumed { session, .. } => {
                        let own = self.own.get_mut(&session).unwrap();
                        prop_assert!(own.is_resuming, "resumed twice");
                        (own.is_resuming, own.is_away) = (false, false);
                        self.world.away.remove(&session);
                    }
                    Effect::Remote { stanza, is_told, .. } => self.remotes.push((stanza, is_told)),
                    Effect::Removed { .. }
                    | Effect::Hold { .. }
                    | Effect::HoldDomain { .. }
                    | Effect::Log(..) => {}
                }
            }
            for session in lost {
                let effects = self.lose(session);
                self.take(effects)?;
            }
            effects = more;
        }
        Ok(())
    }

    fn deliver(&mut self, session: SessionId, stanza: &Stanza) -> Result<(), TestCaseError> {
        let own = self.own.entry(session).or_default();
        prop_assert!(
            !own.is_away && !own.is_resuming,
            "{:?} {:?} gets {:?}\n{}",
            session,
            own,
            stanza,
            self.log.join("\n")
        );
        if own.is_gone {
            return Ok(());
        }
        let key = key(stanza);
        own.log.extend(key.clone());
        if own.is_managed {
            own.sent.push(key)
        } else {
            own.pending.extend(key)
        }
        if let (Kind::Iq(IqType::Get | IqType::Set), Some(from), Some(id)) =
            (stanza.head.kind, &stanza.head.from, &stanza.head.id)
            && own.was_asked.insert(id.to_string())
        {
            own.asked.push((from.clone(), id.to_string()));
        }
        Ok(())
    }

    fn over(&mut self, session: SessionId) {
        self.world.away.remove(&session);
        let own = self.own.entry(session).or_default();
        (own.is_over, own.is_away, own.is_resuming) = (true, false, false);
        self.lost_asked.extend(own.asked.drain(..).map(|(_, id)| id));
    }

    fn lose(&mut self, session: SessionId) -> Vec<Effect> {
        let mut effects = vec![];
        self.log.push(format!("lose {session:?} at {:?}", self.world.now));
        if self.world.router.detach(self.world.now, session, &mut effects) {
            let own = self.own.get_mut(&session).unwrap();
            (own.is_away, own.is_resuming) = (true, false);
            self.world.away.insert(session);
        } else {
            self.world.router.unbind(self.world.now, session, &mut effects);
            self.over(session);
        }
        effects
    }

    fn drain(&mut self, session: SessionId) -> Vec<Effect> {
        let mut effects = vec![];
        if let Some(own) = self.own.get_mut(&session)
            && !own.is_away
            && !own.is_resuming
            && !own.is_gone
        {
            own.got.append(&mut own.pending);
            self.world.router.drained(self.world.now, session, u64::MAX, &mut effects);
        }
        effects
    }

    fn acknowledge(&mut self, session: SessionId, percent: usize) -> Vec<Effect> {
        let mut effects = vec![];
        if let Some(own) = self.own.get_mut(&session)
            && own.is_managed
            && !own.is_over
            && !own.is_away
            && !own.is_resuming
        {
            let count = own.sent.len() * percent / 100;
            // It has got what it was sent before it acknowledges.
            own.got.append(&mut own.pending);
            own.got.extend(own.sent.drain(..count).flatten());
            self.world.router.acknowledged(self.world.now, session, count as u32, &mut effects);
        }
        effects
    }

    fn resume(&mut self, session: SessionId, percent: usize) -> Vec<Effect> {
        let mut effects = vec![];
        let Some(own) =
            self.own.get_mut(&session).filter(|own| own.is_away && !own.is_over && !own.is_resuming)
        else {
            return effects;
        };
        let account = own.jid.as_ref().unwrap().to_bare();
        let count = own.sent.len() * percent / 100;
        own.got.append(&mut own.pending);
        own.got.extend(own.sent.drain(..count).flatten());
        own.sent.clear();
        own.is_resuming = true;
        if !self.world.router.resume(self.world.now, session, &account, count as u32, &mut effects) {
            // Its account has ended, and it is to be told so.
            assert!(self.world.router.jid(session).is_none());
            own.is_resuming = false;
        }
        effects
    }

    fn wait(&mut self, seconds: u64) -> Result<(), TestCaseError> {
        self.is_troubled = true;
        let end = self.world.now + Duration::from_secs(seconds);
        for round in 0.. {
            prop_assert!(round < 10_000, "ticks without end");
            let Some(due) = self.world.router.deadline().filter(|due| due.at <= end) else { break };
            self.world.now = self.world.now.max(due.at);
            let mut effects = vec![];
            self.log.push(format!("tick {:?}", self.world.now));
            self.world.router.tick(self.world.now, &mut effects);
            self.take(effects)?;
            // The store may answer now what it is asked again.
        }
        self.world.now = end;
        let mut effects = vec![];
        self.world.router.tick(self.world.now, &mut effects);
        self.take(effects)
    }

    fn note_sent(&mut self, session: Option<SessionId>, stanza: &Stanza) {
        if let Some(session) = session {
            let sent = Sent { session, to: stanza.head.to.clone(), kind: stanza.head.kind };
            self.sent.insert(self.number.to_string(), sent);
        }
    }

    fn happen(&mut self, event: &Event) -> Result<(), TestCaseError> {
        self.number += 1;
        self.log.push(format!("{} {event:?}", self.number));
        let live = connected(&self.world);
        let at = |place: usize| live.get(place % live.len().max(1)).copied();
        let any = |place: usize| SessionId(place as u64 % self.sessions.max(1));
        let effects = match event {
            Event::Op(op) => {
                let from = match *op {
                    Op::Message(session, kind, to) => Some((session, Kind::Message(kind), to)),
                    Op::Iq(session, kind, to) => Some((session, Kind::Iq(kind), to)),
                    _ => None,
                };
                if let Some((session, kind, to)) =
                    from.and_then(|(place, kind, to)| Some((at(place)?, kind, to)))
                {
                    let stanza = Stanza::new(kind).with_to(jid(&address(to)));
                    self.note_sent(Some(session), &stanza);
                }
                match *op {
                    Op::Block(session, _) => {
                        let account = at(session).and_then(|session| self.world.router.jid(session));
                        self.blocking.extend(account.map(|jid| jid.to_bare().to_string()));
                    }
                    Op::Unbind(session) => at(session).into_iter().for_each(|session| self.over(session)),
                    Op::Roster(session)
                    | Op::SetItem(session, _)
                    | Op::RemoveItem(session, _)
                    | Op::Carbons(session, _)
                    | Op::Unblock(session, _) => {
                        let stanza = Stanza::new(Kind::Iq(IqType::Set));
                        self.note_sent(at(session), &stanza);
                    }
                    _ => {}
                }
                if let Op::Block(session, _) = *op {
                    self.note_sent(at(session), &Stanza::new(Kind::Iq(IqType::Set)));
                }
                if let Op::Bind(account, name) = *op {
                    let own = Own { jid: Some(jid(&address(account * 4 + name + 1))), ..Own::default() };
                    self.own.insert(SessionId(self.sessions), own);
                }
                step(&mut self.world, &mut self.sessions, self.number, op)
            }
            Event::Request(session, request, contact) => {
                let Some(session) = at(*session) else { return Ok(()) };
                let own = self.world.router.jid(session).unwrap().to_bare();
                let contact = ACCOUNTS.get(*contact).copied().unwrap_or(REMOTE);
                let stanza = written(*request, own.as_str(), contact).with_id(self.number.to_string());
                if request.2.starts_with("<block ") {
                    self.blocking.insert(own.to_string());
                }
                self.note_sent(Some(session), &stanza);
                self.world.send(session, stanza)
            }
            Event::Ping(session, to) => {
                let Some(session) = at(*session) else { return Ok(()) };
                let stanza = written(
                    (IqType::Get, At::Contact, "<ping xmlns='urn:xmpp:ping'/>"),
                    "a@x.example",
                    &address(*to),
                );
                self.note_sent(Some(session), &stanza);
                self.world.send(session, stanza.with_id(self.number.to_string()))
            }
            Event::Manage(session, wait) => {
                let Some(session) = at(*session).filter(|session| !self.own[session].is_managed) else {
                    return Ok(());
                };
                let effects = self.drain(session);
                self.take(effects)?;
                let mut effects = vec![];
                if self.world.router.manage(session, Duration::from_secs(*wait), &mut effects) {
                    self.own.get_mut(&session).unwrap().is_managed = true;
                }
                effects
            }
            Event::Acknowledge(session, percent) => {
                at(*session).map(|session| self.acknowledge(session, *percent)).unwrap_or_default()
            }
            Event::Drain(place) => {
                let session = any(*place);
                self.drain(session)
            }
            Event::Lose(session) => at(*session).map(|session| self.lose(session)).unwrap_or_default(),
            Event::Resume(place, percent) => {
                let away: Vec<_> =
                    self.own.iter().filter(|(_, own)| own.is_away).map(|(session, _)| *session).collect();
                let session = away.get(place % away.len().max(1)).copied();
                session.map(|session| self.resume(session, *percent)).unwrap_or_default()
            }
            Event::Gone(place) => {
                let over: Vec<_> = self
                    .own
                    .iter()
                    .filter(|(_, own)| own.is_over && !own.is_gone)
                    .map(|(session, _)| *session)
                    .collect();
                match over.get(place % over.len().max(1)) {
                    Some(session) => self.gone(*session),
                    None => vec![],
                }
            }
            Event::Take(place) => {
                self.store.take(&mut self.world, *place, true);
                vec![]
            }
            Event::Refuse(place) => {
                self.is_troubled = true;
                self.store.take(&mut self.world, *place, false);
                vec![]
            }
            Event::Answer(place) => self.answer(*place),
            Event::TakeIn => {
                let mut effects = vec![];
                self.world.router.take_in(self.world.now, &mut effects);
                effects
            }
            Event::Reply(session) => {
                let Some(session) = at(*session) else { return Ok(()) };
                self.reply(session)
            }
            Event::RemoteFails(place) => {
                if self.remotes.is_empty() {
                    return Ok(());
                }
                let (stanza, is_told) = self.remotes.swap_remove(place % self.remotes.len());
                let mut effects = vec![];
                self.world.router.undeliverable(
                    &stanza,
                    ErrorCondition::RemoteServerTimeout,
                    is_told,
                    &mut effects,
                );
                effects
            }
            Event::Wait(seconds) => return self.wait(*seconds),
        };
        self.take(effects)
    }

    fn answer(&mut self, place: usize) -> Vec<Effect> {
        let mut effects = vec![];
        if let Some((ticket, answer)) = self.store.answer(place) {
            self.world.router.answer(self.world.now, ticket, answer, &mut effects);
        }
        effects
    }

    fn reply(&mut self, session: SessionId) -> Vec<Effect> {
        let Some(own) = self.own.get_mut(&session) else { return vec![] };
        let mut effects = vec![];
        for (from, id) in core::mem::take(&mut own.asked) {
            self.log.push(format!("reply of {session:?} to {from} {id}"));
            effects.extend(self.world.send(session, Stanza::iq(IqType::Result).with_to(from).with_id(&id)));
        }
        effects
    }

    fn gone(&mut self, session: SessionId) -> Vec<Effect> {
        let mut effects = vec![];
        let own = self.own.get_mut(&session).unwrap();
        own.is_gone = true;
        self.world.router.gone(self.world.now, session, &mut effects);
        effects
    }

    /// The store answers all, strangers' stanzas are taken in, everybody gets everything.
    fn rest(&mut self) -> Result<(), TestCaseError> {
        for round in 0.. {
            prop_assert!(round < 3_000, "no rest");
            let before = self.log.len();
            let mut effects = vec![];
            self.world.router.take_in(self.world.now, &mut effects);
            self.take(effects)?;
            self.store.take(&mut self.world, 0, true);
            let effects = self.answer(0);
            self.take(effects)?;
            for session in self.own.keys().copied().collect::<Vec<_>>() {
                let effects = self.drain(session);
                self.take(effects)?;
                let effects = self.acknowledge(session, 100);
                self.take(effects)?;
                if self.own[&session].is_over && !self.own[&session].is_gone {
                    let effects = self.gone(session);
                    self.take(effects)?;
                }
                if self.world.router.jid(session).is_some() && !self.world.away.contains(&session) {
                    let effects = self.reply(session);
                    self.take(effects)?;
                }
            }
            if self.log.len() == before && self.store.is_idle() && !self.world.router.has_parked() {
                break;
            }
        }
        Ok(())
    }

    fn live(&self) -> Vec<SessionId> {
        connected(&self.world)
    }

    /// Each request of a session that is there has been answered, once.
    fn are_answered(&self, what: &str) -> Result<(), TestCaseError> {
        prop_assert!(
            self.unhandled.is_empty(),
            "{}: not handled {:?}\n{}",
            what,
            self.unhandled,
            self.log.join("\n")
        );
        let live = self.live();
        for (id, sent) in &self.sent {
            let is_request = matches!(sent.kind, Kind::Iq(IqType::Get | IqType::Set));
            let is_far = sent.to.as_ref().is_some_and(|to| !self.world.router.is_local(to.domainpart()));
            let is_blocked = |jid: &Jid| self.blocking.contains(jid.bare_str());
            let own = self.own[&sent.session].jid.as_ref().unwrap();
            let may_be_blocked = sent
                .to
                .as_ref()
                .is_some_and(|to| to.bare_str() != own.bare_str() && (is_blocked(to) || is_blocked(own)));
            // Its client may come back.
            let is_away =
                !self.world.away.is_empty() && sent.to.as_ref().is_some_and(|to| to.resourcepart().is_some());
            // The answer may have ended with its account, or have had no room.
            let is_removed = sent.to.as_ref().is_some_and(|to| {
                to.resourcepart().is_some() && (self.is_narrow || self.removed.contains(to.bare_str()))
            });
            if !is_request
                || is_far
                || is_away
                || is_removed
                || may_be_blocked
                || !live.contains(&sent.session)
                || self.lost_asked.contains(id)
            {
                continue;
            }
            let got = &self.own[&sent.session].got;
            let count = got.iter().filter(|key| **key == format!("answer {id}")).count();
            prop_assert!(
                count == 1,
                "{}: {} answers to {} ({:?} to {:?})\n{}",
                what,
                count,
                id,
                sent.kind,
                sent.to,
                self.log.join("\n")
            );
        }
        Ok(())
    }

    /// Each message has arrived, or is stored, or has come back.
    fn have_arrived(&self, tells: bool) -> Result<(), TestCaseError> {
        let mut kept = BTreeSet::new();
        for account in ACCOUNTS {
            kept.extend(self.world.kept(account).iter().filter_map(key));
            for (_, content) in self.world.store.documents(&bare(account), "undelivered") {
                let text = String::from_utf8_lossy(&content.bytes).into_owned();
                for part in text.split(" id='").skip(1) {
                    kept.insert(format!("message {}", part.split('\'').next().unwrap()));
                }
            }
        }
        let live = self.live();
        for (id, sent) in &self.sent {
            let Kind::Message(MessageType::Normal | MessageType::Chat | MessageType::Groupchat) = sent.kind
            else {
                continue;
            };
            let (Some(to), true) = (&sent.to, live.contains(&sent.session)) else { continue };
            let from = self.own[&sent.session].jid.as_ref().unwrap();
            if !self.world.router.is_local(to.domainpart())
                || to.localpart().is_none()
                || self.removed.contains(to.bare_str())
                || self.blocking.contains(to.bare_str())
                || self.blocking.contains(from.bare_str())
                || !tells
            {
                continue;
            }
            let (arrived, copied, back) =
                (format!("message {id}"), format!("copy {id}"), format!("back {id}"));
            let has_come =
                self.own.values().any(|own| own.got.contains(&arrived) || own.got.contains(&copied))
                    || kept.contains(&arrived);
            let has_come_back = self.own[&sent.session].got.contains(&back);
            prop_assert!(
                has_come || has_come_back,
                "message {} to {} of {} is lost\n{}",
                id,
                to,
                from,
                self.log.join("\n")
            );
            prop_assert!(
                !(has_come && has_come_back) || self.is_troubled,
                "message {} has come and come back\n{}",
                id,
                self.log.join("\n")
            );
        }
        for (session, own) in &self.own {
            let mut seen = BTreeSet::new();
            for key in own.got.iter().filter(|key| !key.starts_with("asked")) {
                prop_assert!(
                    seen.insert(key) || self.is_troubled && !key.starts_with("answer"),
                    "{:?} got {} twice\n{}",
                    session,
                    key,
                    self.log.join("\n")
                );
            }
        }
        Ok(())
    }
}

fn short(effect: &Effect) -> String {
    match effect {
        Effect::Deliver { session, stanza } => format!("to {}: {}", session.0, stanza.to_xml()),
        Effect::Remote { stanza, .. } => format!("remote: {}", stanza.to_xml()),
        Effect::Ask { ticket, ask } => format!("{ticket:?} {ask:?}").chars().take(300).collect(),
        other => format!("{other:?}").chars().take(200).collect(),
    }
}

fn endless(
    grants: &Grants,
    bounds: u32,
    tells: bool,
    resumes: bool,
    events: &[Event],
) -> Result<(), TestCaseError> {
    let mut history = History::new(grants, bounds, tells);
    // All are there, with several clients.
    for account in 0..ACCOUNTS.len() {
        for name in 0..2 {
            history.happen(&Event::Op(Op::Bind(account, name)))?;
        }
    }
    history.rest()?;
    for place in 0..6 {
        history.happen(&Event::Op(Op::Available(place, 0)))?;
        history.happen(&Event::Op(Op::Roster(place)))?;
    }
    if bounds.is_multiple_of(2) {
        history.rest()?;
    }
    for event in events {
        history.happen(event)?;
    }
    history.rest()?;
    // Nothing needs time but what was refused, or given up.
    if !history.is_troubled {
        history.are_answered("before any time passes")?;
    }
    if resumes {
        for session in history.world.away.clone() {
            let effects = history.resume(session, 50);
            history.take(effects)?;
        }
        history.rest()?;
        let resuming = history.own.iter().find(|(_, own)| own.is_resuming && !own.is_over);
        prop_assert!(resuming.is_none(), "{:?}\n{}", resuming, history.log.join("\n"));
    }
    let was_troubled = history.is_troubled;
    for _ in 0..30 {
        history.wait(61)?;
        history.rest()?;
    }
    history.is_troubled = was_troubled;
    history.are_answered("after a while")?;
    history.have_arrived(tells)?;
    prop_assert!(history.unhandled.is_empty());
    prop_assert_eq!(history.world.router.counts().asks, 0);
    // Each is answered at once, and each message to a client that is there arrives at once.
    let live = history.live();
    for session in live.clone() {
        for to in &live {
            history.number += 1;
            let to = history.world.router.jid(*to).unwrap().to_jid();
            let stanza = Stanza::message(MessageType::Chat).with_to(to).with_id(history.number.to_string());
            history.note_sent(Some(session), &stanza);
            let effects = history.world.send(session, stanza);
            history.take(effects)?;
        }
        history.number += 1;
        let stanza = roster_get().with_id(history.number.to_string());
        history.note_sent(Some(session), &stanza);
        let effects = history.world.send(session, stanza);
        history.take(effects)?;
    }
    history.rest()?;
    history.are_answered("at once")?;
    history.have_arrived(tells)?;
    prop_assert_eq!(history.world.router.queued(), 0, "queued\n{}", history.log.join("\n"));
    for account in ACCOUNTS {
        for session in history.world.router.sessions(&bare(account)).collect::<Vec<_>>() {
            let mut effects = vec![];
            history.world.router.unbind(history.world.now, session, &mut effects);
            history.over(session);
            history.take(effects)?;
        }
    }
    history.rest()?;
    for _ in 0..30 {
        history.wait(61)?;
        history.rest()?;
    }
    let counts = history.world.router.counts();
    prop_assert_eq!(
        (counts.loaded, counts.asks, counts.sessions),
        (0, 0, 0),
        "left\n{}",
        history.log.join("\n")
    );
    prop_assert_eq!(history.world.router.queued(), 0);
    prop_assert_eq!(history.world.router.deadline(), None);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    // RFC 6120 §8.2.3, §10.1: whatever happens, every request is answered, every message that expects an answer arrives, is stored, or comes
    // back, and nothing waits in the end: with a store that only is late, without any time passing.
    #[test]
    fn nothing_waits_without_end(
        grants in grants(),
        bounds in 0..36_u32,
        (tells, resumes) in any::<(bool, bool)>(),
        events in prop::collection::vec(event(false), 1..150),
    ) {
        endless(&grants, bounds, tells, resumes, &events)?;
    }

    // The same with a store that refuses, and gives up on by time.
    #[test]
    fn nothing_waits_without_end_in_trouble(
        grants in grants(),
        bounds in 0..36_u32,
        (tells, resumes) in any::<(bool, bool)>(),
        events in prop::collection::vec(event(true), 1..150),
    ) {
        endless(&grants, bounds, tells, resumes, &events)?;
    }
}

/// Of friends, who say and ask what others wait for.
fn dense() -> impl Strategy<Value = Event> {
    use balcony_stanza::PresenceType as P;
    let session = || 0..6_usize;
    let whom = || (0..ACCOUNTS.len()).prop_map(|account| account * 4);
    let word = prop::sample::select(vec![P::Subscribe, P::Subscribed, P::Unsubscribe, P::Unsubscribed]);
    let set = |name: &str| {
        let is_it = |request: &&Request| request.0 == IqType::Set && request.2.starts_with(name);
        *REQUESTS.iter().find(is_it).unwrap()
    };
    let requests = vec![
        set("<query xmlns='jabber:iq:roster'><item jid='CONTACT' name"),
        set("<query xmlns='jabber:iq:roster'><item jid='CONTACT' sub"),
        set("<vCard"),
        set("<query xmlns='jabber:iq:private'"),
        set("<ask"),
    ];
    prop_oneof![
        8 => (session(), whom()).prop_map(|(s, to)| Event::Op(Op::Message(s, MessageType::Chat, to))),
        8 => (session(), word, whom()).prop_map(|(s, kind, to)| Event::Op(Op::Subscription(s, kind, to))),
        8 => (session(), prop::sample::select(requests), 0..ACCOUNTS.len()).prop_map(|(s, r, c)| Event::Request(s, r, c)),
        1 => session().prop_map(|s| Event::Op(Op::Roster(s))),
        1 => session().prop_map(|s| Event::Op(Op::Available(s, 0))),
        1 => session().prop_map(|s| Event::Op(Op::Unavailable(s))),
        1 => (session(), 0..12_usize).prop_map(|(s, to)| Event::Ping(s, to)),
        3 => (0..4_usize).prop_map(Event::Take),
        4 => (0..4_usize).prop_map(Event::Answer),
        1 => Just(Event::TakeIn),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4 * CASES))]

    // The same of friends who all write at once.
    #[test]
    fn nothing_waits_without_end_among_friends(
        bounds in 0..18_u32,
        events in prop::collection::vec(dense(), 7..40),
    ) {
        let grants = vec![(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)];
        endless(&grants, bounds / 2 * 2, true, true, &events)?;
    }
}
