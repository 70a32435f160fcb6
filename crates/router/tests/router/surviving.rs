//! Sessions that survive their connections (XEP-0198) beside the model, through random histories: who gets what, in which order, and how
//! often.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use balcony_router::{Effect, SessionId};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

use crate::histories::{
    Grants, Op, address, connected, contact, grants, model_step, op, same_state, step, told, world,
};
use crate::model::{ACCOUNTS, Model};
use crate::model_sessions::delivery;
use crate::world::{World, bare, content, jid};

/// Sessions are named as in [`Op`]: those that have a connection, or those that have lost it. Of what a session was sent it has got so many
/// percent.
#[derive(Clone, Debug)]
enum Life {
    Op(Op),
    /// A message that says only what its sender is doing.
    Typing(usize, usize),
    /// From now on it acknowledges, and waits so many seconds for its client.
    Manage(usize, u64),
    Acknowledge(usize, usize),
    Lose(usize),
    Resume(usize, usize),
    /// So many seconds pass.
    Wait(u64),
}

fn life() -> impl Strategy<Value = Life> {
    let session = || 0..12_usize;
    let percent = || prop_oneof![1 => Just(0_usize), 2 => 0..101_usize, 1 => Just(100)];
    let to = || 0..ACCOUNTS.len() * 4;
    let message = prop_oneof![
        5 => Just(MessageType::Chat),
        2 => Just(MessageType::Normal),
        1 => Just(MessageType::Headline),
        1 => Just(MessageType::Groupchat),
    ];
    prop_oneof![
        10 => op().prop_map(Life::Op),
        6 => (session(), message, to()).prop_map(|(s, kind, to)| Life::Op(Op::Message(s, kind, to))),
        1 => (session(), to()).prop_map(|(s, to)| Life::Typing(s, to)),
        4 => (session(), prop_oneof![1 => Just(0), 2 => Just(60), 3 => Just(600)]).prop_map(|(s, wait)| Life::Manage(s, wait)),
        2 => (session(), percent()).prop_map(|(s, percent)| Life::Acknowledge(s, percent)),
        4 => session().prop_map(Life::Lose),
        3 => (session(), percent()).prop_map(|(s, percent)| Life::Resume(s, percent)),
        2 => prop_oneof![2 => 0..70_u64, 1 => 250..700_u64].prop_map(Life::Wait),
    ]
}

fn is_owed(line: &str) -> bool {
    line.starts_with("remote ")
        && (line.contains(": presence subscri") || line.contains(": presence unsubscri"))
}

/// Both, and how far they are.
struct Pair {
    world: World,
    model: Model,
    sessions: u64,
    number: usize,
    after: String,
}

impl Pair {
    fn new(grants: &Grants, one_by_one: bool) -> Self {
        let mut world = world(grants);
        if one_by_one {
            world = crate::histories::world_of(grants, |config| config.limits.unacknowledged = 1);
        }
        let mut model = Model::new(grants.iter().map(|&(from, to)| (contact(from), contact(to))));
        model.one_by_one = one_by_one;
        Pair { world, model, sessions: 0, number: 0, after: String::new() }
    }

    /// What both say of one step is the same. Order within it is another property's, but where it is that of earlier steps.
    fn compare(&mut self, mut effects: Vec<Effect>, expected: Vec<String>) -> Result<(), TestCaseError> {
        // Nothing more can be written to a session that was closed.
        let closed: Vec<SessionId> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Close { session, .. } => Some(*session),
                _ => None,
            })
            .collect();
        for session in closed {
            let mut more = Vec::new();
            self.world.away.remove(&session);
            self.world.router.gone(self.world.now, session, &mut more);
            self.world.take_in(&mut more);
            self.world.serve(&mut more);
            effects.append(&mut more);
        }
        let decided: Vec<String> = effects.iter().filter_map(told).collect();
        let mut expected = self.model.hand_out(self.number, expected);
        let (mut plain, mut given) = (Vec::new(), BTreeMap::<u64, Vec<&str>>::new());
        for line in &decided {
            match delivery(line).filter(|(session, _)| self.model.managed(*session).is_some()) {
                Some((session, what)) => given.entry(session).or_default().push(what),
                None => plain.push(line.clone()),
            }
        }
        // What the remote contact has to hear about a subscription is said until it has certainly arrived: that is another test's.
        for lines in [&mut plain, &mut expected] {
            lines.retain(|line| !is_owed(line));
            lines.sort();
        }
        prop_assert_eq!(plain, expected, "{}", self.after);
        let all: Vec<u64> = self.model.here.iter().map(|r| r.session).collect();
        for session in all {
            let lines = given.remove(&session).unwrap_or_default();
            if let Err(error) = self.model.take(session, &lines) {
                return Err(TestCaseError::fail(format!("{}: {error}", self.after)));
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, session: u64, count: usize) -> Result<(), TestCaseError> {
        self.model.acknowledge(session, count);
        let mut effects = Vec::new();
        let (now, count) = (self.world.now, u32::try_from(count).unwrap());
        self.world.router.acknowledged(now, SessionId(session), count, &mut effects);
        self.world.serve(&mut effects);
        self.compare(effects, vec![])
    }

    fn lose(&mut self, session: u64) -> Result<(), TestCaseError> {
        let expected = self.model.lose(session);
        let (id, mut effects) = (SessionId(session), Vec::new());
        if self.world.router.detach(self.world.now, id, &mut effects) {
            self.world.away.insert(id);
            self.world.take_in(&mut effects);
            self.world.serve(&mut effects);
        } else {
            effects = self.world.unbound(id);
        }
        self.compare(effects, expected)
    }

    fn tick(&mut self) -> Result<(), TestCaseError> {
        self.model.now = self.world.now.as_nanos() / 1_000_000_000;
        let (disconnected, expected) = self.model.tick();
        let mut effects = Vec::new();
        self.world.router.tick(self.world.now, &mut effects);
        self.world.take_in(&mut effects);
        self.world.serve(&mut effects);
        self.compare(effects, expected)?;
        disconnected.into_iter().try_for_each(|session| self.lose(session))
    }

    fn wait(&mut self, seconds: u64) -> Result<(), TestCaseError> {
        let end = self.world.now + Duration::from_secs(seconds);
        while let Some(due) = self.world.router.deadline().filter(|due| due.at <= end) {
            self.world.now = due.at;
            self.tick()?;
        }
        self.world.now = end;
        self.tick()
    }

    fn live(&mut self, life: &Life) -> Result<(), TestCaseError> {
        (self.model.number, self.after) = (self.number, format!("step {} {life:?}", self.number));
        let here = self.model.connected();
        let at = |place: usize| here.get(place % here.len().max(1)).map(|r| (r.session, r.jid.clone()));
        match *life {
            Life::Op(ref op) => {
                let expected = model_step(&mut self.model, self.sessions, op);
                let mut effects = step(&mut self.world, &mut self.sessions, self.number, op);
                if matches!(op, Op::Bind(..)) {
                    // What another session has left waits for the client to say something; this changes nothing.
                    let word = Stanza::presence(PresenceType::Unavailable);
                    effects.append(&mut self.world.send(SessionId(self.sessions - 1), word));
                }
                self.compare(effects, expected)?;
            }
            Life::Typing(place, to) => {
                let Some((session, sender)) = at(place) else { return Ok(()) };
                self.model.is_needless = true;
                let expected = self.model.message(&sender, MessageType::Chat, &address(to));
                self.model.is_needless = false;
                let mut stanza = content("<composing xmlns='http://jabber.org/protocol/chatstates'/>");
                stanza.head.kind = Kind::Message(MessageType::Chat);
                let stanza: Stanza = stanza.with_to(jid(&address(to))).with_id(self.number.to_string());
                let effects = self.world.send(SessionId(session), stanza);
                self.compare(effects, expected)?;
            }
            Life::Manage(place, wait) => {
                let Some((session, _)) = at(place) else { return Ok(()) };
                self.model.manage(session, wait);
                assert!(self.world.router.manage(
                    SessionId(session),
                    Duration::from_secs(wait),
                    &mut Vec::new()
                ));
            }
            Life::Acknowledge(place, percent) => {
                let Some((session, _)) = at(place) else { return Ok(()) };
                let sent = self.model.managed(session).map_or(0, |managed| managed.sent.len());
                self.acknowledge(session, sent * percent / 100)?;
            }
            Life::Lose(place) => {
                let Some((session, _)) = at(place) else { return Ok(()) };
                self.lose(session)?;
            }
            Life::Resume(place, percent) => {
                let away = self.model.away();
                let Some(own) = away.get(place % away.len().max(1)) else { return Ok(()) };
                let count = own.managed.as_ref().unwrap().was_sent() * percent / 100;
                self.model.resume(own.session, count);
                let (id, mut effects) = (SessionId(own.session), Vec::new());
                let (now, count) = (self.world.now, u32::try_from(count).unwrap());
                let account = bare(own.jid.split_once('/').unwrap().0);
                prop_assert!(self.world.router.resume(now, id, &account, count, &mut effects));
                self.world.away.remove(&id);
                self.world.serve(&mut effects);
                let is_back =
                    |effect: &Effect| matches!(effect, Effect::Resumed { session, .. } if *session == id);
                prop_assert!(effects.iter().any(is_back), "{}", self.after);
                self.compare(effects, vec![])?;
            }
            Life::Wait(seconds) => self.wait(seconds)?,
        }
        // Who gets what was stored says at once that it has come: until then the store has it still.
        if let Some(session) = self.model.replayed_to.take() {
            while let Some(sent) = self.model.managed(session).map(|m| m.sent.len()).filter(|sent| *sent > 0)
            {
                self.acknowledge(session, sent)?;
            }
        }
        self.number += 1;
        Ok(())
    }

    /// What waits for sessions without a connection is on disk, and nothing else.
    fn is_on_disk(&self) -> Result<(), TestCaseError> {
        for account in ACCOUNTS {
            let account_name = bare(account);
            let documents = self.world.store.documents(&account_name, "undelivered");
            let ids = documents.map(|(_, content)| Stanza::parse(&content.bytes).unwrap().head.id.unwrap());
            let written: Vec<usize> = ids.map(|id| id.parse().unwrap()).collect();
            let all: BTreeSet<usize> = written.iter().copied().collect();
            prop_assert_eq!(written.len(), all.len(), "{}: {:?} twice", self.after, written);
            let (must, may) = self.model.undelivered(account);
            prop_assert!(must.is_subset(&all), "{}: {:?} of {:?}", self.after, all, must);
            prop_assert!(all.is_subset(&may), "{}: {:?} of {:?}", self.after, all, may);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // XEP-0198 §4, §5 [SM14] [SM20], RFC 6121 §8.5, XEP-0160, XEP-0280: the same as the model, whoever loses the connection, comes back,
    // does not, or takes nothing: what a session has not acknowledged it gets again, once and in order, or it goes its way once more.
    #[test]
    fn sessions_survive_like_the_model(grants in grants(), lives in prop::collection::vec(life(), 1..80), one_by_one in prop::bool::weighted(0.3)) {
        let mut pair = Pair::new(&grants, one_by_one);
        for life in &lives {
            pair.live(life)?;
            same_state(&pair.world, &pair.model, &pair.after)?;
            pair.is_on_disk()?;
        }
        pair.world.away.clear();
        for session in connected(&pair.world) {
            pair.world.unbound(session);
        }
        prop_assert_eq!(pair.world.router.queued(), 0);
    }
}
