//! The life of a server: people come, talk and make friends, networks break, the store is slow, and now and then the server
//! dies. What a client was told is on disk; what was stored for somebody arrives.
//!
//! A history follows from its seed. `cargo xtask simulate` goes through many more of them.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use core::time::Duration;

use balcony_client::{RequestKind, RequestOutcome};
use balcony_jid::BareJid;
use balcony_machine::{Random, Seed};
use balcony_roster::{Parts, Roster, State};
use balcony_router::extension::Extensions;
use balcony_router::extension::offline::Offline;
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza, ns};
use balcony_xep::{blocking, delay};
use balcony_xml::ElementRef;

const ACCOUNTS: [&str; 3] = ["juliet@example.com", "romeo@example.com", "nurse@example.com"];
/// Whose account is removed now and then, and made anew for somebody else.
const GUEST: &str = "paris@example.com";
const DEVICES: usize = 2 * ACCOUNTS.len();
const PASSWORD: &str = "pencil";
const STEPS: usize = 200;

/// How far a device is with its connection.
#[derive(Clone, Copy, Default, PartialEq)]
enum Stage {
    #[default]
    Connecting,
    /// It has asked for the roster and sent presence.
    Here,
    /// It has closed its stream.
    Leaving,
}

/// One device of somebody, with what it remembers when it is not connected.
#[derive(Default)]
struct Device {
    peer: Option<Peer>,
    stage: Stage,
    /// The roster, and its version if it has one.
    version: Option<u64>,
    items: BTreeMap<String, String>,
    /// Whom it knows to be blocked.
    blocked: BTreeSet<String>,
}

struct Life {
    world: World,
    random: Random,
    devices: Vec<Device>,
    /// Nothing breaks.
    steady: bool,
    /// From which device and to whom each message was, by the number that is its text.
    sent: Vec<(usize, usize)>,
    /// The messages that were seen in the store.
    stored: BTreeSet<usize>,
    /// Who has got each: the connection, and whether it came from the store.
    received: BTreeMap<usize, Vec<(Peer, bool)>>,
    /// The latest that a connection has got from a device.
    latest: BTreeMap<(Peer, usize), usize>,
    /// The accounts of which a client has said that it takes no messages, if stored ones go in parts: the rest of them, which that one was getting, goes to
    /// another one, which may have got later messages (docs/guarantees.md). So does what has waited behind them, without a stamp if that was not for long.
    handed_on: BTreeSet<usize>,
    in_parts: bool,
    /// How often a connection was cut, or all of them.
    breaks: usize,
    blocks: usize,
    /// Who has come just now.
    newcomer: Option<Peer>,
    /// The guest has been here, and has asked everybody.
    guest: Option<Peer>,
}

impl Life {
    fn new(seed: u64, steady: bool) -> Self {
        let mut random = Seed::from_u64(seed).random();
        // There is always room, so that a message which is lost is a fault.
        let all = ACCOUNTS.iter().chain([&GUEST]);
        let accounts = all.fold(Accounts::new(), |all, account| all.with(account, PASSWORD));
        let chunks = Chunks::Random(Box::new(random.seed().random()));
        let small = random.next_u64().is_multiple_of(2);
        let mut world = World::new(accounts, chunks, random.next_u64(), |config| {
            // Half of the servers deliver what is stored in parts.
            config.limits.output = if small { 4_000 } else { config.limits.output };
            let offline = Offline { messages: usize::MAX, bytes: usize::MAX };
            config.extensions = Extensions::standard().with(offline).build().unwrap();
        });
        world = world.in_parts((seed % 4) as u16);
        (world.slow_store, world.take_requests) = (true, true);
        Life {
            world,
            random,
            devices: (0..DEVICES).map(|_| Device::default()).collect(),
            steady,
            sent: Vec::new(),
            stored: BTreeSet::new(),
            received: BTreeMap::new(),
            latest: BTreeMap::new(),
            handed_on: BTreeSet::new(),
            in_parts: small,
            breaks: 0,
            blocks: 0,
            newcomer: None,
            guest: None,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random.next_u64() % end as u64).unwrap()
    }

    /// Something happens.
    fn happen(&mut self) {
        let steady = self.steady;
        // A bad moment: what was stored is on its way to the newcomer.
        if let Some(peer) = self.newcomer.take().filter(|_| !steady)
            && self.below(2) == 0
        {
            let steps = self.below(40);
            self.world.run_some(steps);
            self.breaks += 1;
            match self.below(2) {
                0 => self.world.cut(peer),
                _ => self.world.crash(),
            }
            return self.pass();
        }
        let at = |stage| {
            let devices = self.devices.iter().enumerate();
            let at = devices.filter(move |(_, device)| device.peer.is_some() && device.stage == stage);
            at.filter_map(|(number, device)| Some((number, device.peer?))).collect::<Vec<_>>()
        };
        let (here, connecting) = (at(Stage::Here), at(Stage::Connecting));
        let away: Vec<_> = (0..DEVICES).filter(|&number| self.devices[number].peer.is_none()).collect();
        let whom = self.below(ACCOUNTS.len());
        let to = ACCOUNTS[whom];
        let what = self.below(110);
        if what >= 105 {
            self.host(what == 105);
            return self.pass();
        }
        if let (0..12, Some(&device)) = (what, pick(&away, &mut self.random)) {
            self.connect(device);
        }
        if let (12..15, Some(&(_, peer)), false) = (what, pick(&connecting, &mut self.random), steady) {
            self.breaks += 1;
            self.world.cut(peer);
        }
        let Some(&(device, peer)) = pick(&here, &mut self.random) else { return self.pass() };
        match what {
            15..50 => {
                for _ in 0..=self.below(4) {
                    let text = self.sent.len();
                    let xml = format!("<message type='chat' to='{to}'><body>{text}</body></message>");
                    self.sent.push((device, whom));
                    self.world.send(peer, &Stanza::parse(xml.as_bytes()).unwrap());
                }
            }
            50..70 => {
                use PresenceType::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};
                let kinds = [Subscribe, Subscribe, Subscribed, Subscribed, Unsubscribe, Unsubscribed];
                let kind = kinds[self.below(kinds.len())];
                self.world.send(peer, &Stanza::presence(kind).with_to(to.parse().unwrap()));
            }
            70..75 => {
                let change = ["name='x'", "name='y'", "subscription='remove'"][self.below(3)];
                let set = format!("<query xmlns='{}'><item jid='{to}' {change}/></query>", ns::ROSTER);
                self.world.request(peer, RequestKind::Set, None, &set);
            }
            75..77 => {
                self.blocks += 1;
                let item = format!("<item jid='spam{}@example.org'/>", self.blocks);
                let block = format!("<block xmlns='{}'>{item}</block>", blocking::NS);
                self.world.request(peer, RequestKind::Set, None, &block);
            }
            77..79 => {
                let is_active = self.below(2) == 0;
                self.world.set_active(peer, is_active);
            }
            79..84 => {
                let priority = self.below(3);
                self.show(peer, priority);
            }
            84..93 if !steady => {
                self.breaks += 1;
                self.world.cut(peer);
            }
            93..96 if !steady => {
                self.breaks += 1;
                self.devices[device].stage = Stage::Leaving;
                self.world.close(peer);
            }
            100..105 => {
                let kind = [PresenceType::Subscribed, PresenceType::Unsubscribed][self.below(2)];
                self.world.send(peer, &Stanza::presence(kind).with_to(GUEST.parse().unwrap()));
            }
            96..100 if !steady => {
                self.breaks += 1;
                self.world.crash();
            }
            _ => {}
        }
        self.pass();
    }

    /// The guest comes, once, and asks everybody; and is removed some day, there or not. Then somebody else has that name.
    fn host(&mut self, removed: bool) {
        let exists = self.world.accounts.kept.kept(&GUEST.parse().unwrap()).is_some();
        if !exists {
            let accounts = core::mem::take(&mut self.world.accounts);
            self.world.accounts = accounts.with(GUEST, PASSWORD);
            self.guest = None;
        } else if removed {
            self.world.remove(GUEST);
        } else if self.guest.is_none() {
            let guest = self.world.connect(&format!("{GUEST}/hall"), PASSWORD);
            self.guest = Some(guest);
            self.world.run();
            if self.world.jid(guest).is_some() {
                for account in ACCOUNTS {
                    let request = Stanza::presence(PresenceType::Subscribe).with_to(account.parse().unwrap());
                    self.world.send(guest, &request);
                }
            }
        } else if let (Some(guest), 0) = (self.guest, self.below(4)) {
            self.world.cut(guest);
        }
    }

    /// Something of what is on its way arrives.
    fn pass(&mut self) {
        match self.below(10) {
            0 => self.world.run(),
            _ => {
                let steps = self.below(60);
                self.world.run_some(steps);
            }
        }
        self.look();
    }

    fn connect(&mut self, device: usize) {
        let jid = format!("{}/{device}", ACCOUNTS[device % ACCOUNTS.len()]);
        self.devices[device].peer = Some(self.world.connect(&jid, PASSWORD));
        self.devices[device].stage = Stage::Connecting;
    }

    fn show(&mut self, peer: Peer, priority: usize) {
        if priority == 0 && self.in_parts {
            let device = self.devices.iter().position(|device| device.peer == Some(peer));
            self.handed_on.extend(device.map(|device| device % ACCOUNTS.len()));
        }
        let priority = ["-1", "0", "1"][priority];
        let xml = format!("<presence><priority>{priority}</priority></presence>");
        self.world.send(peer, &Stanza::parse(xml.as_bytes()).unwrap());
    }

    /// Devices look at what has come, and the test at what they were told.
    fn look(&mut self) {
        for number in 0..DEVICES {
            let Some(peer) = self.devices[number].peer else { continue };
            let is_over = self.world.is_closed(peer) || self.world.failed(peer).is_some();
            if is_over {
                self.world.drain(peer);
            }
            self.take(number, peer);
            if is_over {
                self.devices[number].peer = None;
            } else if self.world.jid(peer).is_some() && self.devices[number].stage == Stage::Connecting {
                self.devices[number].stage = Stage::Here;
                self.newcomer = Some(peer);
                let version = self.devices[number].version.map(|version| version.to_string());
                let get = format!("<query xmlns='{}' ver='{}'/>", ns::ROSTER, version.unwrap_or_default());
                self.world.request(peer, RequestKind::Get, None, &get);
                let list = format!("<blocklist xmlns='{}'/>", blocking::NS);
                self.world.request(peer, RequestKind::Get, None, &list);
                let priority = self.below(3);
                self.show(peer, priority);
            }
            self.check_told(number);
        }
        for account in ACCOUNTS {
            let waiting = self.world.accounts.waiting(account);
            self.stored.extend(waiting.iter().filter_map(text));
        }
    }

    fn take(&mut self, number: usize, peer: Peer) {
        let device = &mut self.devices[number];
        for outcome in self.world.take_outcomes(peer) {
            let RequestOutcome::Result(result) = outcome else { continue };
            let content = result.payload.parse().unwrap();
            if let Some(query) = content.root().child("query", ns::ROSTER) {
                device.items.clear();
                device.learn(query);
            }
            if let Some(list) = content.root().child("blocklist", blocking::NS) {
                device.blocked.extend(jids(list));
            }
        }
        for stanza in self.world.take_stanzas(peer) {
            let content = stanza.payload.parse().unwrap();
            match stanza.head.kind {
                Kind::Iq(_) => {
                    if let Some(query) = content.root().child("query", ns::ROSTER) {
                        device.learn(query);
                    }
                    if let Some(list) = content.root().child("block", blocking::NS) {
                        device.blocked.extend(jids(list));
                    }
                }
                Kind::Message(MessageType::Chat) => {
                    let is_late = content.root().child("delay", delay::NS).is_some();
                    let text = text(&stanza).unwrap();
                    assert_eq!(self.sent[text].1, number % ACCOUNTS.len(), "{text} is for somebody else");
                    self.received.entry(text).or_default().push((peer, is_late));
                    let before = self.latest.insert((peer, self.sent[text].0), text);
                    let may_be_late = self.handed_on.contains(&(number % ACCOUNTS.len()));
                    assert!(
                        !self.steady || before < Some(text) || may_be_late,
                        "{text} has overtaken {before:?}"
                    );
                }
                _ => {}
            }
        }
    }

    /// What a client was told is on disk.
    fn check_told(&self, number: usize) {
        let account: BareJid = ACCOUNTS[number % ACCOUNTS.len()].parse().unwrap();
        let kept = self.world.accounts.kept.kept(&account).unwrap();
        let device = &self.devices[number];
        for blocked in &device.blocked {
            assert!(
                self.world.accounts.has_blocked(&account, blocked),
                "{account} has not blocked {blocked}"
            );
        }
        let (Some(version), Some(parts)) = (device.version, &kept.roster) else {
            return assert!(device.items.is_empty(), "{account} has no roster");
        };
        let later = parts.version.0.wrapping_sub(version);
        // A roster that was never changed gets a new version with each server.
        assert!(later < 10_000 || device.items.is_empty(), "{account} is behind version {version}");
        if later == 0 {
            assert_eq!(device.items, items(parts), "{account}, version {version}");
        }
    }

    /// Everybody who is there leaves, and comes back with the other device.
    fn meet_again(&mut self, devices: core::ops::Range<usize>) {
        for peer in self.devices.iter().filter_map(|device| device.peer).collect::<Vec<_>>() {
            self.world.cut(peer);
        }
        self.world.run();
        self.look();
        for number in devices.clone() {
            self.connect(number);
        }
        // Logins, first words, and the answers to them.
        for _ in 0..3 {
            self.world.run();
            self.look();
        }
        for number in devices {
            let peer = self.devices[number].peer.unwrap();
            self.show(peer, 2);
        }
        self.world.run();
        self.look();
    }

    /// In the end all is well.
    fn check_end(&mut self) {
        let steady = self.steady;
        self.world.run();
        self.look();
        self.world.slow_store = false;
        // What a crash has left to be said of subscriptions is said soon, and again after half a minute if it had to wait behind something: of
        // several words to one account it may be one in each half minute.
        self.world.wait(Duration::from_secs(300));
        self.look();
        self.meet_again(0..ACCOUNTS.len());
        self.meet_again(ACCOUNTS.len()..DEVICES);
        for number in ACCOUNTS.len()..DEVICES {
            let parts = self.parts(ACCOUNTS[number % ACCOUNTS.len()]);
            assert_eq!(self.devices[number].items, parts.as_ref().map(items).unwrap_or_default());
        }
        for (text, &(from, to)) in self.sent.iter().enumerate() {
            let (from, to) = (ACCOUNTS[from % ACCOUNTS.len()], ACCOUNTS[to]);
            let copies = self.received.get(&text).map(Vec::as_slice).unwrap_or_default();
            if steady || self.stored.contains(&text) {
                assert!(!copies.is_empty(), "{text}, from {from} to {to}, is lost");
            }
            for (index, (peer, _)) in copies.iter().enumerate() {
                assert!(copies[..index].iter().all(|(other, _)| other != peer), "{text} came twice at once");
            }
            let late = copies.iter().filter(|(_, is_late)| *is_late).count();
            assert!(late <= 1 + if steady { 0 } else { self.breaks }, "{text} came {late} times");
        }
        for account in ACCOUNTS {
            assert!(self.world.accounts.waiting(account).is_empty());
        }
        self.check_subscriptions();
        self.check_guest();
        for peer in self.devices.iter().filter_map(|device| device.peer).collect::<Vec<_>>() {
            self.world.cut(peer);
        }
        self.world.run();
        self.world.check_at_rest(&ACCOUNTS.map(|account| (account, PASSWORD)), &[]);
    }

    /// Nobody shows presence to somebody who has not asked for it, but only has the name of somebody who did.
    fn check_guest(&self) {
        let exists = self.world.accounts.kept.kept(&GUEST.parse().unwrap()).is_some();
        for account in ACCOUNTS.iter().filter(|_| self.steady) {
            let sees = exists && self.state(GUEST, account).subscription().has_to();
            assert!(
                sees || !self.state(account, GUEST).subscription().has_from(),
                "{account} is seen by a stranger"
            );
        }
    }

    /// Whatever was lost between two rosters: who believes to see somebody does, and who has asked somebody has.
    fn check_subscriptions(&self) {
        for user in ACCOUNTS {
            for contact in ACCOUNTS {
                let (state, back) = (self.state(user, contact), self.state(contact, user));
                let sees = state.subscription().has_to();
                assert!(!sees || back.subscription().has_from(), "{user} sees {contact}: {state:?} {back:?}");
                let asks = state.is_pending_out();
                assert!(!asks || back.is_pending_in(), "{user} has asked {contact}: {state:?} {back:?}");
            }
        }
    }

    fn parts(&self, account: &str) -> Option<Parts> {
        self.world.accounts.kept.kept(&account.parse().unwrap()).unwrap().roster.clone()
    }

    fn state(&self, user: &str, contact: &str) -> State {
        self.parts(user).map_or(State::None, |parts| {
            let roster =
                Roster::from_parts(user.parse().unwrap(), parts, balcony_roster::RosterConfig::default());
            roster.state(&contact.parse().unwrap())
        })
    }
}

impl Device {
    /// A roster result or push has come.
    fn learn(&mut self, query: ElementRef<'_>) {
        self.version = query.attr("ver").map(|version| version.parse().unwrap());
        for item in query.children() {
            let jid = item.attr("jid").unwrap().to_owned();
            let attr = |name| item.attr(name).unwrap_or("-");
            match attr("subscription") {
                "remove" => drop(self.items.remove(&jid)),
                subscription => {
                    let line = [subscription, attr("ask"), attr("approved"), attr("name")].join(" ");
                    self.items.insert(jid, line);
                }
            }
        }
    }
}

/// The items as a [`Device`] has them.
fn items(parts: &Parts) -> BTreeMap<String, String> {
    let line = |item: &balcony_roster::Item| {
        let ask = if item.ask { "subscribe" } else { "-" };
        let approved = if item.approved { "true" } else { "-" };
        [item.subscription.name(), ask, approved, item.name.as_deref().unwrap_or("-")].join(" ")
    };
    parts.items.iter().map(|item| (item.jid.to_string(), line(item))).collect()
}

fn pick<'a, T>(list: &'a [T], random: &mut Random) -> Option<&'a T> {
    list.get(usize::try_from(random.next_u64() % list.len().max(1) as u64).unwrap())
}

fn jids(list: ElementRef<'_>) -> Vec<String> {
    list.children().filter_map(|item| item.attr("jid").map(str::to_owned)).collect()
}

/// The number that is the text of a message.
fn text(message: &Stanza) -> Option<usize> {
    let content = message.payload.parse().unwrap();
    content.root().child("body", ns::CLIENT)?.text().parse().ok()
}

/// Says which life it was if it ends badly.
struct Of(u64);

impl Drop for Of {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was life {0}: cargo xtask simulate --seed {0}", self.0);
        }
    }
}

// RFC 6121 §2.1.6 [RV7], §3.1.2 [SB6], XEP-0160, habits.md invariant 4. Every fourth life is one in which nothing breaks: there no
// message is lost.
#[test]
#[allow(clippy::disallowed_methods, reason = "whoever runs it may name other seeds")]
fn lives() {
    let range = std::env::var("BALCONY_LIVES").unwrap_or_else(|_| "0..24".into());
    let (from, to) = range.split_once("..").expect("BALCONY_LIVES is a range of seeds, such as 0..24");
    for seed in from.parse().unwrap()..to.parse().unwrap() {
        let _of = Of(seed);
        let mut life = Life::new(seed, seed.is_multiple_of(4));
        for _ in 0..STEPS {
            life.happen();
        }
        life.check_end();
    }
}
