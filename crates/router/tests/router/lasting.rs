//! What a sender and the devices of a recipient are promised (docs/guarantees.md), through histories in which devices lose their connections
//! (XEP-0198) while they get stored mail (XEP-0160), the server begins anew, its store refuses, and all bounds are narrow.

use core::mem;
use core::time::Duration;
use std::collections::BTreeSet;

use balcony_roster::Subscription;
use balcony_router::{Config, Effect, Restoring, SessionId};
use balcony_stanza::{Kind, MessageType, Stanza};
use proptest::prelude::*;

use crate::world::{START, World, available, bare, config, content, jid};

const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.net";
const DEVICES: [&str; 3] = ["phone", "desk", "watch"];

/// What happens. Of what a session was sent it has got so many percent.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A message of this size for the account, or for one of its devices.
    Come(usize, Option<usize>),
    /// A device begins a session. It acknowledges, and waits so many seconds for its client, or not at all; or it does not acknowledge.
    Bind(usize, Option<u64>),
    Show(usize, i8),
    Acknowledge(usize, usize),
    Lose(usize),
    Resume(usize, usize),
    /// It goes in good order.
    Leave(usize, usize),
    Wait(u64),
    /// The server begins anew after so many seconds.
    Restart(u64),
    /// From now on the store refuses everything, or nothing.
    Refuse(bool),
    /// All connections are lost. Then the store works again; when it has done so for half a minute, the server dies, and another one begins.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let device = || 0..DEVICES.len();
    let percent = || prop_oneof![1 => Just(0_usize), 2 => 0..101_usize, 2 => Just(100)];
    let wait = prop_oneof![1 => Just(None), 1 => Just(Some(0)), 2 => Just(Some(60)), 4 => Just(Some(600))];
    prop_oneof![
        10 => (prop_oneof![1..20_usize, 1..3_000_usize], prop::option::weighted(0.3, device())).prop_map(|(size, to)| Step::Come(size, to)),
        3 => (device(), wait).prop_map(|(device, wait)| Step::Bind(device, wait)),
        4 => (device(), prop_oneof![1 => Just(-1_i8), 5 => 0..2_i8]).prop_map(|(device, priority)| Step::Show(device, priority)),
        4 => (device(), percent()).prop_map(|(device, percent)| Step::Acknowledge(device, percent)),
        3 => device().prop_map(Step::Lose),
        3 => (device(), percent()).prop_map(|(device, percent)| Step::Resume(device, percent)),
        1 => (device(), percent()).prop_map(|(device, percent)| Step::Leave(device, percent)),
        3 => prop_oneof![2 => 0..70_u64, 1 => 250..700_u64].prop_map(Step::Wait),
        1 => (0..700_u64).prop_map(Step::Restart),
        1 => any::<bool>().prop_map(Step::Refuse),
        1 => Just(Step::Crash),
    ]
}

/// A session of a device.
#[derive(Debug)]
struct Own {
    session: SessionId,
    device: usize,
    /// How long it waits, if it acknowledges.
    wait: Option<u64>,
    /// Whether it has a connection.
    is_here: bool,
    /// What it was sent and has not acknowledged: the numbers of messages, or something else.
    sent: Vec<Option<usize>>,
    /// The numbers of the messages that it has got, in order.
    got: Vec<usize>,
}

struct History {
    world: World,
    config: Config,
    romeo: SessionId,
    next: u64,
    /// Those that are not over.
    own: Vec<Own>,
    /// What all sessions have got that are over.
    got: BTreeSet<usize>,
    count: usize,
    /// The messages that have come back.
    errors: BTreeSet<usize>,
}

fn narrow(bounds: u32) -> Config {
    let mut narrow = config();
    narrow.limits.unacknowledged = [1 << 20, 3_000, 1][(bounds % 3) as usize];
    // Stored mail comes in parts of a fourth of the output, which have room in a queue.
    let (output, queue) =
        [(1 << 20, 16 << 20), (8_000, 16 << 20), (8_000, 20_000)][(bounds / 3 % 3) as usize];
    (narrow.limits.output, narrow.limits.queue_bytes) = (output, queue);
    narrow.limits.resources = [64, 2][(bounds / 9 % 2) as usize];
    narrow.limits.credit = [64 << 10, 2_000][(bounds / 18 % 2) as usize];
    narrow.limits.storing = [128, 1][(bounds / 36 % 2) as usize];
    narrow
}

impl History {
    fn new(bounds: u32) -> Self {
        let config = narrow(bounds);
        let mut world = World::with(config.clone());
        for (one, other) in [(ROMEO, JULIET), (JULIET, ROMEO)] {
            world.store.create(bare(one));
            world.befriend(one, other, Subscription::Both);
        }
        let mut history = History {
            world,
            config,
            romeo: SessionId(0),
            next: 1,
            own: vec![],
            got: BTreeSet::new(),
            count: 0,
            errors: BTreeSet::new(),
        };
        history.enter();
        history
    }

    /// Romeo comes.
    fn enter(&mut self) {
        self.romeo = SessionId(self.next);
        self.next += 1;
        let mut effects = self.world.bind(self.romeo, ROMEO, "street");
        effects.extend(self.world.send(self.romeo, available(0)));
        self.take(effects);
    }

    fn is_here(&self, session: SessionId) -> bool {
        self.own.iter().any(|own| own.session == session && own.is_here)
    }

    fn place(&self, device: usize) -> Option<usize> {
        self.own.iter().position(|own| own.device == device)
    }

    /// Everybody gets what is for them.
    fn take(&mut self, mut effects: Vec<Effect>) {
        while !effects.is_empty() {
            let mut more = vec![];
            let closed = |effect: &Effect| match effect {
                Effect::Close { session, .. } => Some(*session),
                _ => None,
            };
            let closed: BTreeSet<_> = effects.iter().filter_map(closed).collect();
            for effect in effects {
                match effect {
                    // Two that have waited for their clients end at once.
                    Effect::Deliver { session, .. }
                        if closed.contains(&session) && !self.is_here(session) => {}
                    Effect::Deliver { session, stanza } if session == self.romeo => {
                        let is_error = stanza.head.kind == Kind::Message(MessageType::Error);
                        self.errors.extend(number(&stanza).filter(|_| is_error));
                    }
                    Effect::Deliver { session, stanza } => self.deliver(session, &stanza),
                    Effect::Close { session, .. } => {
                        assert_ne!(session, self.romeo, "nobody has a reason to end this one");
                        self.end(session);
                        self.world.router.gone(self.world.now, session, &mut more);
                    }
                    Effect::Disconnect { session, .. } => more.extend(self.lost(session)),
                    _ => {}
                }
            }
            self.world.serve(&mut more);
            effects = more;
        }
    }

    fn deliver(&mut self, session: SessionId, stanza: &Stanza) {
        let own = self.own.iter_mut().find(|own| own.session == session);
        let own = own.unwrap_or_else(|| panic!("{session:?} gets {stanza:?} when it is over"));
        assert!(own.is_here, "{own:?} has no connection: {}", stanza.to_xml());
        let number =
            matches!(stanza.head.kind, Kind::Message(MessageType::Chat)).then(|| number(stanza)).flatten();
        match own.wait {
            Some(_) => own.sent.push(number),
            None => own.got.extend(number),
        }
    }

    /// It is over. Nobody knows what it had got of what it had not acknowledged.
    fn end(&mut self, session: SessionId) {
        let Some(index) = self.own.iter().position(|own| own.session == session) else { return };
        let own = self.own.remove(index);
        own.is_once();
        self.got.extend(own.got);
    }

    fn lost(&mut self, session: SessionId) -> Vec<Effect> {
        let Some(own) = self.own.iter_mut().find(|own| own.session == session) else { return vec![] };
        let mut effects = vec![];
        if self.world.router.detach(self.world.now, session, &mut effects) {
            own.is_here = false;
            self.world.take_in(&mut effects);
            self.world.serve(&mut effects);
        } else {
            effects = self.world.unbound(session);
            self.end(session);
        }
        effects
    }

    fn acknowledge(&mut self, place: usize, percent: usize) {
        let own = &mut self.own[place];
        let count = own.sent.len() * percent / 100;
        own.got.extend(own.sent.drain(..count).flatten());
        let (session, mut effects) = (own.session, vec![]);
        self.world.router.acknowledged(self.world.now, session, u32::try_from(count).unwrap(), &mut effects);
        self.world.serve(&mut effects);
        self.take(effects);
    }

    fn tick(&mut self) {
        let mut effects = vec![];
        self.world.router.tick(self.world.now, &mut effects);
        self.world.take_in(&mut effects);
        self.world.serve(&mut effects);
        self.take(effects);
    }

    fn wait(&mut self, seconds: u64) {
        let end = self.world.now + Duration::from_secs(seconds);
        while let Some(due) = self.world.router.deadline().filter(|due| due.at <= end) {
            self.world.now = self.world.now.max(due.at);
            self.tick();
        }
        self.world.now = end;
        self.tick();
    }

    fn bind(&mut self, device: usize, wait: Option<u64>) {
        if let Some(place) = self.place(device) {
            // It ends with a conflict, and whoever it was has got what was under way or not.
            let session = self.own[place].session;
            self.end(session);
        }
        let (session, now, mut effects) = (SessionId(self.next), self.world.now, vec![]);
        self.next += 1;
        self.own.push(Own { session, device, wait, is_here: true, sent: vec![], got: vec![] });
        if self.world.router.bind(now, session, &bare(JULIET), Some(DEVICES[device]), &mut effects).is_err() {
            self.own.pop();
        } else if let Some(wait) = wait {
            assert!(self.world.router.manage(session, Duration::from_secs(wait), &mut effects));
        }
        self.world.serve(&mut effects);
        self.take(effects);
    }

    fn restart(&mut self, down: u64) {
        // What it could not delete when the server ends comes again: docs/guarantees.md. It tries that every half minute.
        self.world.refuses = false;
        self.wait(31);
        let all: Vec<_> = self.own.iter().filter(|own| own.is_here).map(|own| own.session).collect();
        for session in all {
            let effects = self.lost(session);
            self.take(effects);
        }
        let effects = self.world.unbound(self.romeo);
        self.take(effects);
        let all: Vec<_> = self.own.iter().map(|own| own.session).collect();
        let saved: Vec<_> = all
            .iter()
            .map(|session| (*session, self.world.router.save(self.world.now, *session).expect("it waits")))
            .collect();
        all.iter().for_each(|session| self.world.router.let_go(*session));
        assert_eq!((self.world.router.queued(), self.world.router.counts().sessions), (0, 0));
        let store = mem::take(&mut self.world.store);
        let now = self.world.now + Duration::from_secs(down);
        self.world = World::with(self.config.clone());
        (self.world.store, self.world.now) = (store, now);
        let (mut restoring, mut effects) = (Restoring::at(START + now.as_nanos() / 1_000_000), vec![]);
        for (session, saved) in saved {
            assert!(self.world.router.restore(now, session, &saved, &mut restoring, &mut effects).is_some());
        }
        self.world.serve(&mut effects);
        self.take(effects);
        self.enter();
    }

    /// docs/guarantees.md: what was in the queue of a session without a connection is on disk.
    fn crash(&mut self) {
        for device in 0..DEVICES.len() {
            self.happen(Step::Lose(device));
        }
        self.world.refuses = false;
        self.wait(31);
        for own in self.own.drain(..) {
            self.got.extend(own.got);
        }
        let (store, now) = (mem::take(&mut self.world.store), self.world.now);
        self.world = World::with(self.config.clone());
        (self.world.store, self.world.now) = (store, now);
        self.enter();
    }

    fn happen(&mut self, step: Step) {
        match step {
            Step::Come(size, to) => {
                let mut stanza = content(&format!("<body>{}</body>", "x".repeat(size)));
                stanza.head.kind = Kind::Message(MessageType::Chat);
                let to = to.map_or(JULIET.to_owned(), |device| format!("{JULIET}/{}", DEVICES[device]));
                let effects =
                    self.world.send(self.romeo, stanza.with_to(jid(&to)).with_id(self.count.to_string()));
                self.count += 1;
                self.take(effects);
            }
            Step::Bind(device, wait) => self.bind(device, wait),
            Step::Show(device, priority) => {
                if let Some(own) = self.place(device).map(|place| &self.own[place]).filter(|own| own.is_here)
                {
                    let effects = self.world.send(own.session, available(priority));
                    self.take(effects);
                }
            }
            Step::Acknowledge(device, percent) => {
                if let Some(place) = self
                    .place(device)
                    .filter(|place| self.own[*place].is_here && self.own[*place].wait.is_some())
                {
                    self.acknowledge(place, percent);
                }
            }
            Step::Lose(device) => {
                if let Some(own) = self.place(device).map(|place| &self.own[place]).filter(|own| own.is_here)
                {
                    let effects = self.lost(own.session);
                    self.take(effects);
                }
            }
            Step::Resume(device, percent) => {
                if let Some(place) = self.place(device).filter(|place| !self.own[*place].is_here) {
                    self.resume(place, percent);
                }
            }
            Step::Leave(device, percent) => {
                if let Some(place) = self.place(device).filter(|place| self.own[*place].is_here) {
                    if self.own[place].wait.is_some() {
                        self.acknowledge(place, percent);
                    }
                    let session =
                        self.own.get(place).filter(|own| own.device == device).map(|own| own.session);
                    if let Some(session) = session {
                        self.end(session);
                        let effects = self.world.unbound(session);
                        self.take(effects);
                    }
                }
            }
            Step::Wait(seconds) => self.wait(seconds),
            Step::Restart(down) => self.restart(down),
            Step::Refuse(refuses) => self.world.refuses = refuses,
            Step::Crash => self.crash(),
        }
        self.own.iter().for_each(Own::is_once);
    }

    fn resume(&mut self, place: usize, percent: usize) {
        let own = &mut self.own[place];
        let count = own.sent.len() * percent / 100;
        own.got.extend(own.sent.drain(..count).flatten());
        own.sent.clear();
        own.is_here = true;
        let (session, mut effects) = (own.session, vec![]);
        let count = u32::try_from(count).unwrap();
        assert!(self.world.router.resume(self.world.now, session, &bare(JULIET), count, &mut effects));
        self.world.serve(&mut effects);
        let is_back =
            |effect: &Effect| matches!(effect, Effect::Resumed { session: back, .. } if *back == session);
        assert!(effects.iter().any(is_back));
        self.take(effects);
    }

    /// Who takes everything gets everything that nobody else has got, but for what has come back.
    fn check(mut self) -> Result<(), TestCaseError> {
        self.world.refuses = false;
        // Those that do not come back are over, and so is all trouble.
        for device in 0..DEVICES.len() {
            self.happen(Step::Lose(device));
        }
        self.wait(2_000);
        prop_assert_eq!(self.own.len(), 0);
        self.bind(0, None);
        self.happen(Step::Show(0, 1));
        self.wait(2_000);
        prop_assert_eq!((self.world.router.queued(), self.world.kept(JULIET).len()), (0, 0));
        prop_assert_eq!(self.world.store.documents(&bare(JULIET), "undelivered").count(), 0);
        let session = self.own[0].session;
        self.end(session);
        let lost: Vec<_> = (0..self.count)
            .filter(|number| !self.got.contains(number) && !self.errors.contains(number))
            .collect();
        prop_assert!(lost.is_empty(), "{:?} of {} are lost", lost, self.count);
        Ok(())
    }
}

impl Own {
    /// It has got nothing twice, and will get nothing twice that it acknowledges.
    fn is_once(&self) {
        let all: Vec<_> = self.got.iter().copied().chain(self.sent.iter().copied().flatten()).collect();
        let once: BTreeSet<_> = all.iter().collect();
        assert_eq!(once.len(), all.len(), "twice: {self:?}");
    }
}

fn number(stanza: &Stanza) -> Option<usize> {
    stanza.head.id.as_deref()?.parse().ok()
}

// A message that was written for a session without a connection comes to its successor, which ends without having got it, while the store has refused for
// so long that nobody tries to delete any more what it has: what is stored then is not there twice (XEP-0198 §5, docs/guarantees.md).
#[test]
fn what_is_written_is_not_stored_besides() {
    use Step::{Bind, Come, Refuse, Restart, Wait};
    let mut history = History::new(0);
    for step in [
        Bind(2, Some(60)),
        Restart(0),
        Come(1, Some(2)),
        Refuse(true),
        Bind(2, Some(0)),
        Wait(62),
        Wait(397),
        Come(1, None),
        Wait(58),
        Wait(53),
    ] {
        history.happen(step);
    }
    history.check().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // XEP-0198 §4, §5, XEP-0160, RFC 6121 §8.5, docs/guarantees.md: a session gets each message once, whatever becomes of its connections, its
    // server and its store; each message comes to somebody, or back to its sender.
    #[test]
    fn each_message_comes_to_somebody_or_back(bounds: u32, steps in prop::collection::vec(step(), 1..100)) {
        let mut history = History::new(bounds);
        for &step in &steps {
            history.happen(step);
        }
        history.check()?;
    }
}
