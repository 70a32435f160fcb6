//! Several devices of one account that get copies of everything (XEP-0280), and whose links die at any byte, with stream management (XEP-0198)
//! and without: what each of them gets, how often, and in which order.
#![allow(clippy::unwrap_used)]

use core::time::Duration;
use std::collections::BTreeSet;

use balcony_client::{RequestKind, RequestOutcome};
use balcony_machine::Seed;
use balcony_router::extension::Extensions;
use balcony_router::extension::offline::Offline;
use balcony_sim::{Accounts, Chunks, Peer, World};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza, ns};
use balcony_stream::client::Management;
use balcony_xep::carbons::{self, Carbon};
use proptest::prelude::*;

const JULIET: &str = "juliet@example.com";
const ROMEO: &str = "romeo@example.com";
const NURSE: &str = "nurse@example.com";
/// Who has given messages their stanza ids (XEP-0359).
const ROOM: &str = "room@rooms.example.net";
const SID: &str = "urn:xmpp:sid:0";
const DEVICES: [&str; 2] = ["juliet@example.com/phone", "juliet@example.com/desk"];

/// Who writes: a contact, a stranger, and the devices themselves.
const WRITERS: usize = 4;
const FIRST_DEVICE: usize = 2;

/// What a client does with stream management (XEP-0198).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Resumes,
    Counts,
    Off,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// One of the others writes so many messages of this size to the account, or to one of the devices.
    Come(usize, usize, usize, Option<usize>),
    /// A device writes so many messages of this size to the contact.
    Write(usize, usize, usize),
    /// So much arrives.
    Some(usize),
    /// The network of a device dies, when so many bytes more have arrived; the server is told or not.
    Vanish(usize, usize, bool),
    /// A device is back, with its session if it can.
    Back(usize),
    /// A device begins anew, whether or not it is there.
    Anew(usize, Manner),
    /// A device goes in good order.
    Leave(usize),
    /// Somebody uses the device, or nobody (XEP-0352).
    Use(usize, bool),
    Show(usize, i8),
    Wait(u64),
    /// The server ends, and keeps each part of its sessions when so many seconds have passed; after so many another begins.
    Restart(u64, u64),
    /// The server dies. If it is `calm` no device has a connection, and only what has come since is under way: each of the
    /// others has written so many messages of this size, of which so much has arrived.
    Crash {
        calm: bool,
        count: usize,
        size: usize,
        arrived: usize,
    },
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![4 => Just(Manner::Resumes), 1 => Just(Manner::Counts), 1 => Just(Manner::Off)]
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 1..200_usize, 1 => 10_000..60_000_usize]
}

fn step() -> impl Strategy<Value = Step> {
    let device = || 0..2_usize;
    prop_oneof![
        6 => (0..2_usize, 1..8_usize, size(), prop::option::of(device())).prop_map(|(who, count, size, to)| Step::Come(who, count, size, to)),
        2 => (device(), 1..5_usize, size()).prop_map(|(who, count, size)| Step::Write(who, count, size)),
        7 => (1..80_usize).prop_map(Step::Some),
        4 => (device(), 0..3_000_usize, any::<bool>()).prop_map(|(who, left, told)| Step::Vanish(who, left, told)),
        6 => device().prop_map(Step::Back),
        2 => (device(), manner()).prop_map(|(who, manner)| Step::Anew(who, manner)),
        1 => device().prop_map(Step::Leave),
        2 => (device(), any::<bool>()).prop_map(|(who, is_used)| Step::Use(who, is_used)),
        1 => (device(), 0..2_i8).prop_map(|(who, priority)| Step::Show(who, priority)),
        3 => prop_oneof![2 => 1..40_u64, 1 => 200..700_u64].prop_map(Step::Wait),
        1 => (prop_oneof![Just(0), 1..400_u64], 0..300_u64).prop_map(|(part, down)| Step::Restart(part, down)),
    ]
}

/// When the server dies, mostly never: behind so many of the other steps, or behind all of them.
fn crashes() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let crash = (0..41_usize, any::<bool>(), 0..5_usize, size(), 0..100_usize);
    let crash =
        crash.prop_map(|(at, calm, count, size, arrived)| (at, Step::Crash { calm, count, size, arrived }));
    prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(crash, 1..3)]
}

/// A session of a device, on however many connections.
#[derive(Debug)]
struct Session {
    device: usize,
    /// How many messages each writer had sent when it was certainly there, and had its copies if it wants some: then it is to get all
    /// that come later.
    since: Option<[usize; WRITERS]>,
    /// What it has got, by writer and number, in order.
    got: Vec<(usize, usize)>,
    /// When its first connection was made, and when it ended, in steps.
    begun: usize,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It has not ended, as far as is known.
    None,
    /// Its client has said that it was going, and the server that it may; in this step.
    Good(usize),
    Bad,
}

#[derive(Debug)]
struct Device {
    peer: Peer,
    manner: Manner,
    /// Whether its connection has a network.
    is_here: bool,
    /// Whether it is known which session this connection has.
    is_known: bool,
    session: Option<usize>,
    /// In which step this connection was made.
    begun: usize,
    /// Whether it goes in good order.
    is_leaving: bool,
    /// What its client had not been told to be handled when the connection before was lost.
    open: Vec<usize>,
}

struct History {
    /// Which devices want copies.
    copies: [bool; 2],
    world: World,
    others: [Peer; 2],
    devices: [Device; 2],
    sessions: Vec<Session>,
    sent: [usize; WRITERS],
    /// Messages that were sent to the address of a device.
    direct: BTreeSet<(usize, usize)>,
    /// How many steps there were.
    step: usize,
    /// What the contact has got from the devices.
    answers: Vec<(usize, usize)>,
    /// What devices without stream management were about to get when their connections were lost, and what they had sent.
    lost: BTreeSet<(usize, usize)>,
    /// What devices have sent again in other sessions.
    again: BTreeSet<(usize, usize)>,
}

/// How many histories: so many, or as `BALCONY_SESSIONS` says.
#[allow(clippy::disallowed_methods, reason = "whoever runs this by hand says how long")]
fn seeds(usual: u32) -> u32 {
    std::env::var("BALCONY_SESSIONS").map_or(usual, |seeds| seeds.parse().unwrap())
}

/// Whether stored messages go to a device in several parts, of a fourth of `Limits::output`.
fn comes_in_parts(seed: u64) -> bool {
    (seed / 16).is_multiple_of(2)
}

fn world(seed: u64) -> World {
    let accounts = Accounts::new().with(JULIET, "pencil").with(ROMEO, "pencil").with(NURSE, "pencil");
    let chunks = Chunks::Random(Box::new(Seed::from_u64(seed).random()));
    World::new(accounts, chunks, seed, |config| {
        (config.stream_management, config.keep_sessions) = (true, true);
        config.limits.unacknowledged = [1 << 20, 1 << 20, 50_000, 1][(seed / 4 % 4) as usize];
        config.limits.output = if comes_in_parts(seed) { 16_000 } else { 64 << 20 };
        let offline = Offline { messages: 10_000, bytes: 1 << 30 };
        config.extensions = Extensions::standard().with(offline).build().unwrap();
    })
    .in_parts((seed % 4) as u16)
}

/// Juliet and Romeo see each other. None of their sessions is left.
fn befriend(world: &mut World) {
    let juliet = world.client("juliet@example.com/window", "pencil");
    let romeo = world.client("romeo@example.com/garden", "pencil");
    for (from, kind, to) in [
        (romeo, PresenceType::Subscribe, JULIET),
        (juliet, PresenceType::Subscribed, ROMEO),
        (juliet, PresenceType::Subscribe, ROMEO),
        (romeo, PresenceType::Subscribed, JULIET),
    ] {
        world.send(from, &Stanza::presence(kind).with_to(to.parse().unwrap()));
        world.run();
    }
    world.close(romeo);
    world.close(juliet);
    world.run();
}

/// A message whose ids and text say which it is. Some say nothing to a person.
fn chat(to: &str, (writer, number): (usize, usize), size: usize) -> Stanza {
    let text = format!("{writer}-{number} {}", "x".repeat(size));
    let content = if size.is_multiple_of(3) {
        format!("<received xmlns='urn:xmpp:receipts' id='1'>{text}</received>")
    } else {
        format!("<body>{text}</body>")
    };
    let id = format!("{writer}-{number}");
    let ids =
        format!("<origin-id xmlns='{SID}' id='o{id}'/><stanza-id xmlns='{SID}' id='s{id}' by='{ROOM}'/>");
    let xml = format!("<message to='{to}' type='chat' id='{id}'>{content}{ids}</message>");
    Stanza::parse(xml.as_bytes()).unwrap()
}

/// The writer and the number, if this is the id of one of these messages.
fn named(id: &str) -> Option<(usize, usize)> {
    let (writer, number) = id.split_once('-')?;
    Some((writer.parse().ok()?, number.parse().ok()?))
}

/// Which message this is, if it is one, itself or as a copy.
fn message(stanza: &Stanza) -> Option<(usize, usize)> {
    let content = stanza.payload.parse().unwrap();
    match stanza.head.kind {
        Kind::Message(MessageType::Chat) => {}
        Kind::Message(kind) => panic!("a message of type {kind:?}: {}", stanza.to_xml()),
        _ => return None,
    }
    if let Some(copy) = Carbon::read(content.root()) {
        return message(&copy.message);
    }
    let id = stanza.head.id.as_deref().unwrap();
    let mut children = content.root().children();
    let text =
        children.find(|child| child.is("body", ns::CLIENT) || child.is("received", "urn:xmpp:receipts"));
    assert!(text.unwrap().text().starts_with(&format!("{id} ")), "{}", stanza.to_xml());
    // However often it comes, and by whatever way, it is the same.
    for (name, letter, by) in [("origin-id", "o", None), ("stanza-id", "s", Some(ROOM))] {
        let own = content.root().children().filter(|child| child.is(name, SID));
        let own: Vec<_> = own.map(|child| (child.attr("id"), child.attr("by"))).collect();
        assert_eq!(own, [(Some(&*format!("{letter}{id}")), by)], "{}", stanza.to_xml());
    }
    Some(named(id).unwrap())
}

impl History {
    fn new(seed: u64, slow: bool, manners: [Manner; 2], copies: [bool; 2], mail: &[(usize, usize)]) -> Self {
        let mut world = world(seed);
        befriend(&mut world);
        let others = ["romeo@example.com/garden", "nurse@example.com/ward"];
        let others = others.map(|name| world.online(name, "pencil", 0));
        let mut sent = [0; WRITERS];
        for &(who, size) in mail {
            world.send(others[who], &chat(JULIET, (who, sent[who]), size));
            sent[who] += 1;
            world.run_some(5);
        }
        world.run();
        let devices = [0, 1].map(|who| Device::begin(&mut world, who, manners[who]));
        let mut history = History {
            copies,
            world,
            others,
            devices,
            sessions: Vec::new(),
            sent,
            direct: BTreeSet::new(),
            step: 0,
            answers: Vec::new(),
            lost: BTreeSet::new(),
            again: BTreeSet::new(),
        };
        history.world.run_some(mail.len());
        if mail.is_empty() {
            for _ in 0..2 {
                history.world.run();
                history.look();
            }
        }
        history.world.slow_store = slow;
        history
    }

    fn happen(&mut self, step: Step) {
        self.step += 1;
        match step {
            Step::Come(who, count, size, to) => {
                for _ in 0..count {
                    let stanza = chat(to.map_or(JULIET, |to| DEVICES[to]), (who, self.sent[who]), size);
                    self.world.send(self.others[who], &stanza);
                    self.direct.extend(to.map(|_| (who, self.sent[who])));
                    self.sent[who] += 1;
                }
                if self.world.unacknowledged(self.others[who]).len() > 40 {
                    self.world.run();
                }
            }
            Step::Write(who, count, size) => {
                let writer = FIRST_DEVICE + who;
                for _ in 0..count {
                    if self.can_send(who) {
                        self.world
                            .send(self.devices[who].peer, &chat(ROMEO, (writer, self.sent[writer]), size));
                        self.sent[writer] += 1;
                    }
                }
            }
            Step::Some(steps) => self.world.run_some(steps),
            Step::Vanish(who, left, told) if self.devices[who].is_here => self.vanish(who, left, told),
            Step::Back(who) if !self.devices[who].is_here => self.come_back(who),
            Step::Anew(who, manner) => {
                if self.devices[who].is_here {
                    self.vanish(who, 0, false);
                }
                // Nobody sends again what that client had sent.
                let open = core::mem::take(&mut self.devices[who].open);
                self.lost.extend(open.into_iter().map(|number| (FIRST_DEVICE + who, number)));
                let session = self.devices[who].session;
                let device = Device::begin(&mut self.world, who, manner);
                self.devices[who] = Device { session, begun: self.step, ..device };
            }
            Step::Leave(who) if self.can_send(who) => {
                self.devices[who].is_leaving = true;
                self.world.close(self.devices[who].peer);
            }
            Step::Use(who, is_used) if self.can_send(who) => {
                self.world.set_active(self.devices[who].peer, is_used);
            }
            Step::Show(who, priority) => self.show(who, priority),
            Step::Wait(seconds) => self.world.wait(Duration::from_secs(seconds)),
            Step::Restart(part, down) => self.restart(part, down),
            Step::Crash { calm, count, size, arrived } => self.crash(calm, count, size, arrived),
            _ => {}
        }
        self.look();
    }

    fn can_send(&self, who: usize) -> bool {
        let device = &self.devices[who];
        device.is_here && !device.is_leaving && self.world.jid(device.peer).is_some()
    }

    fn show(&mut self, who: usize, priority: i8) {
        if self.can_send(who) {
            let peer = self.devices[who].peer;
            let xml = format!("<presence><priority>{priority}</priority></presence>");
            self.world.send(peer, &Stanza::parse(xml.as_bytes()).unwrap());
        }
    }

    fn restart(&mut self, part: u64, down: u64) {
        self.world.sessions_hang = true;
        self.world.shutdown();
        // Those that do not read are given up.
        self.world.wait(Duration::from_secs(6 + part));
        while self.world.keep_sessions() {
            self.world.wait(Duration::from_secs(part));
        }
        assert_eq!((self.world.server.connections(), self.world.server.router().counts().asks), (0, 0));
        self.world.sessions_hang = false;
        self.look();
        self.world.start(Duration::from_secs(down));
        for writer in [0, 1] {
            self.take_answers();
            self.others[writer] = self.world.come_back(self.others[writer]);
        }
        self.world.run();
    }

    /// The server dies, and keeps what its store has. What its sender was told to be handled is not lost while no device has a connection,
    /// but for a stranger's, which is handled some moments earlier; otherwise what is on its way to a client is.
    fn crash(&mut self, calm: bool, count: usize, size: usize, arrived: usize) {
        if calm {
            for who in [0, 1] {
                self.vanish(who, 0, true);
            }
            self.world.run();
        }
        // Of some the server may not know that they have lost theirs.
        let calm = calm && self.world.server.connections() == self.others.len();
        self.take_answers();
        let before = self.sent;
        for who in [0, 1] {
            self.happen(Step::Come(who, count, size, None));
        }
        self.world.run_some(arrived);
        for (writer, is_safe) in [(0, calm), (1, false)] {
            self.world.vanish(self.others[writer], 0, false);
            let open = self.world.unacknowledged(self.others[writer]).into_iter();
            let open: Vec<_> = open.filter_map(|stanza| named(stanza.head.id.as_deref()?)).collect();
            let first = if calm { before[writer] } else { 0 };
            let lost = (first..self.sent[writer]).map(|number| (writer, number));
            self.lost.extend(lost.filter(|message| !is_safe && !open.contains(message)));
            // Its client sends these again.
            self.again.extend(open);
        }
        self.take_answers();
        // The contact has a connection, and may be slow to say what it has got: what it has may come again in its next session, if that was
        // written down in one before, and what it has not may be lost.
        self.again.extend(&self.answers);
        for writer in FIRST_DEVICE..WRITERS {
            self.lost.extend((0..self.sent[writer]).map(|number| (writer, number)));
        }
        self.devices.iter_mut().for_each(|device| device.is_leaving = false);
        self.world.crash();
        self.look();
        for session in self.sessions.iter_mut().filter(|session| session.end == End::None) {
            session.end = End::Bad;
        }
        for writer in [0, 1] {
            self.others[writer] = self.world.come_back(self.others[writer]);
        }
        self.world.run();
        // Theirs are other sessions now.
        for other in self.others {
            self.world.send(other, &Stanza::presence(PresenceType::Available));
        }
        self.world.run();
    }

    fn vanish(&mut self, who: usize, left: usize, told: bool) {
        self.look();
        if self.devices[who].is_here {
            self.world.vanish(self.devices[who].peer, left, told);
            self.look_at(who);
            self.lose(who);
        }
    }

    /// The connection of a device is gone, and it has taken all that came by it.
    fn lose(&mut self, who: usize) {
        let device = &mut self.devices[who];
        device.is_here = false;
        if !core::mem::replace(&mut device.is_known, true) {
            // There may have been one of which its client does not know.
            let (since, got, begun) = (None, Vec::new(), device.begun);
            self.sessions.push(Session { device: who, since, got, begun, end: End::Bad });
        }
        if core::mem::take(&mut device.is_leaving)
            && self.world.is_closed(device.peer)
            && self.world.failed(device.peer).is_none()
            && let Some(session) = device.session
        {
            self.sessions[session].end = End::Good(self.step);
        }
        let unacknowledged = self.world.unacknowledged(device.peer).into_iter();
        let open = unacknowledged.filter_map(|stanza| Some(named(stanza.head.id.as_deref()?)?.1));
        device.open = open.collect();
        let text = String::from_utf8_lossy(self.world.received(device.peer)).into_owned();
        // What came before both ends began to count.
        let uncounted = match device.manner {
            Manner::Off => text.len(),
            _ if text.contains("<resumed ") => 0,
            _ => text.find("<enabled ").unwrap_or(text.len()),
        };
        // Nobody knows what of this has arrived.
        let ids = text[..uncounted].split(" id='").skip(1).filter_map(|rest| rest.split_once('\''));
        self.lost.extend(ids.filter_map(|(id, _)| named(id)));
        if device.manner == Manner::Off {
            self.lost.extend((0..self.sent[FIRST_DEVICE + who]).map(|number| (FIRST_DEVICE + who, number)));
        }
    }

    fn come_back(&mut self, who: usize) {
        let device = &mut self.devices[who];
        device.peer = self.world.come_back(device.peer);
        (device.is_here, device.is_known, device.begun) = (true, false, self.step);
    }

    /// Devices look at what has come, and do what is to be done first in a session. Those whose connections are over notice that.
    fn look(&mut self) {
        self.take_answers();
        for who in [0, 1] {
            if !self.devices[who].is_here {
                continue;
            }
            let peer = self.devices[who].peer;
            let is_over = self.world.is_closed(peer) || self.world.failed(peer).is_some();
            if is_over {
                self.world.drain(peer);
            }
            self.look_at(who);
            if is_over {
                self.lose(who);
            }
        }
    }

    fn look_at(&mut self, who: usize) {
        let peer = self.devices[who].peer;
        let device = &mut self.devices[who];
        if let Some(has_resumed) = self.world.has_resumed(peer).filter(|_| !device.is_known) {
            device.is_known = true;
            if !has_resumed {
                self.again.extend(device.open.iter().map(|number| (FIRST_DEVICE + who, *number)));
                // The one before is over, whatever had become of it.
                if let Some(before) = device
                    .session
                    .map(|before| &mut self.sessions[before])
                    .filter(|before| before.end == End::None)
                {
                    before.end = End::Bad;
                }
                let (begun, end) = (device.begun, End::None);
                self.sessions.push(Session { device: who, since: None, got: Vec::new(), begun, end });
                device.session = Some(self.sessions.len() - 1);
            }
            device.open.clear();
            let is_ready = device.session.is_some_and(|session| self.sessions[session].since.is_some());
            if !is_ready && self.can_send(who) {
                self.show(who, 0);
                let enable = format!("<enable xmlns='{}'/>", carbons::NS);
                let (kind, content) = match self.copies[who] {
                    true => (RequestKind::Set, &*enable),
                    false => (RequestKind::Get, "<query xmlns='jabber:iq:roster'/>"),
                };
                self.world.request(peer, kind, None, content);
            }
        }
        let (stanzas, outcomes) = (self.world.take_stanzas(peer), self.world.take_outcomes(peer));
        let Some(session) = self.devices[who].session else { return assert!(stanzas.is_empty()) };
        let session = &mut self.sessions[session];
        session.got.extend(stanzas.iter().filter_map(message));
        if session.since.is_none()
            && outcomes.iter().any(|outcome| matches!(outcome, RequestOutcome::Result(_)))
        {
            session.since = Some(self.sent);
        }
    }

    fn take_answers(&mut self) {
        for writer in [0, 1] {
            let stanzas = self.world.take_stanzas(self.others[writer]);
            self.answers.extend(stanzas.iter().filter_map(message));
        }
    }

    /// Everybody who is there, or comes back, has got everything.
    fn check(mut self, comes_back: [bool; 2]) {
        for who in [0, 1] {
            if !self.devices[who].is_here && comes_back[who] {
                self.come_back(who);
            }
        }
        // Who logs in does so, and says the first words.
        for _ in 0..3 {
            self.world.run();
            self.look();
            (0..2).for_each(|who| self.happen(Step::Use(who, true)));
        }
        self.world.wait(Duration::from_secs(3));
        self.look();
        // What a device has not got that does not come back is for the other one, or waits for the next.
        self.world.wait(Duration::from_secs(1_300));
        self.look();
        let next = self.world.online("juliet@example.com/next", "pencil", 1);
        // It gets stored messages in parts, each when it has acknowledged the one before.
        self.world.wait(Duration::from_secs(600));
        self.look();
        let next: Vec<_> = self.world.take_stanzas(next).iter().filter_map(message).collect();
        let live: Vec<_> =
            self.devices.iter().filter(|device| device.is_here).filter_map(|device| device.session).collect();
        for (index, session) in self.sessions.iter_mut().enumerate() {
            if session.end == End::None && !live.contains(&index) {
                session.end = End::Bad;
            }
        }
        for (who, device) in self.devices.iter().enumerate().filter(|(_, device)| !device.is_here) {
            // This one would send it again.
            self.lost.extend(device.open.iter().map(|number| (FIRST_DEVICE + who, *number)));
        }
        for session in &self.sessions {
            self.check_session(session, session.end == End::None);
        }
        let all: BTreeSet<_> = self
            .sessions
            .iter()
            .flat_map(|session| &session.got)
            .chain(&next)
            .chain(&self.answers)
            .copied()
            .collect();
        for (writer, sent) in self.sent.into_iter().enumerate() {
            let is_missing =
                |number: &usize| !all.contains(&(writer, *number)) && !self.lost.contains(&(writer, *number));
            let missing: Vec<_> = (0..sent).filter(is_missing).collect();
            assert!(missing.is_empty(), "{missing:?} of {writer} are lost");
            if writer >= FIRST_DEVICE {
                let got: Vec<_> =
                    self.answers.iter().filter(|(by, _)| *by == writer).map(|(_, number)| *number).collect();
                self.check_order("the contact", writer, &got);
            }
        }
        let juliet: balcony_jid::BareJid = JULIET.parse().unwrap();
        assert_eq!(self.world.accounts.kept.documents(&juliet, "undelivered").count(), 0);
        assert!(self.world.accounts.waiting(JULIET).is_empty());
    }

    /// What has come is in the order in which it was sent, and once, but for what a device has sent again.
    fn check_order(&self, whose: &str, writer: usize, got: &[usize]) {
        let (mut latest, mut seen) = (None, BTreeSet::new());
        for &number in got {
            let is_new = seen.insert(number);
            assert!(
                is_new || self.again.contains(&(writer, number)),
                "{whose} gets {number} of {writer} twice: {got:?}"
            );
            assert!(
                !is_new || Some(number) > latest,
                "{whose} gets {number} of {writer} behind {latest:?}: {got:?}"
            );
            latest = latest.max(Some(number));
        }
    }

    /// A session during which no other one ended, and before which none ended that may have left something, has got everything in order,
    /// whether it was stored or not: but what was sent to its own address while it was not available goes before what was stored.
    fn check_undisturbed(&self, session: &Session, writer: usize) {
        let is_quiet = |other: &Session| match other.end {
            End::None => true,
            End::Good(step) => step < session.begun,
            End::Bad => false,
        };
        if self.sessions.iter().any(|other| !core::ptr::eq(other, session) && !is_quiet(other)) {
            return;
        }
        let since = session.since.map_or(usize::MAX, |since| since[writer]);
        let is_direct = |number: usize| number < since && self.direct.contains(&(writer, number));
        let got = session.got.iter().filter(|(by, number)| *by == writer && !is_direct(*number));
        let got: Vec<_> = got.map(|(_, number)| *number).collect();
        self.check_order(DEVICES[session.device], writer, &got);
    }

    fn check_session(&self, session: &Session, is_live: bool) {
        let name = DEVICES[session.device];
        for writer in (0..WRITERS).filter(|writer| *writer != FIRST_DEVICE + session.device) {
            let all = || session.got.iter().filter(|(by, _)| *by == writer).map(|(_, number)| *number);
            let mut once: Vec<_> = all().filter(|number| !self.again.contains(&(writer, *number))).collect();
            let count = once.len();
            once.sort_unstable();
            once.dedup();
            assert_eq!(
                once.len(),
                count,
                "{name} gets some of {writer} twice: {:?}",
                all().collect::<Vec<_>>()
            );
            self.check_undisturbed(session, writer);
            let Some(since) = session.since.map(|since| since[writer]) else { continue };
            // What was sent before it was there comes when it is nobody else's any more.
            if !self.copies[session.device] {
                continue;
            }
            let got: Vec<_> = all().filter(|number| *number >= since).collect();
            self.check_order(name, writer, &got);
            let end =
                if is_live { self.sent[writer] } else { got.iter().max().map_or(since, |last| last + 1) };
            let missing = (since..end)
                .filter(|number| !got.contains(number) && !self.lost.contains(&(writer, *number)));
            let missing: Vec<_> = missing.collect();
            assert!(
                missing.is_empty(),
                "{name} lacks {missing:?} of {writer}, of {since}..{end}, live: {is_live}"
            );
        }
    }
}

impl Device {
    /// It logs in, with a session of its own.
    fn begin(world: &mut World, who: usize, manner: Manner) -> Self {
        let peer = world.connect_with(DEVICES[who], "pencil", |config| {
            config.stream.management = match manner {
                Manner::Resumes => Management::Resume { max: None },
                Manner::Counts => Management::Count,
                Manner::Off => Management::Off,
            };
        });
        Device {
            peer,
            manner,
            is_here: true,
            is_known: false,
            session: None,
            begun: 0,
            is_leaving: false,
            open: Vec::new(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(seeds(48)))]

    // XEP-0198 §5, XEP-0280 §6, RFC 6120 §10.1, docs/guarantees.md: a device gets all that is sent while its session is there, as original or as
    // copy, once and in the order of each writer, on however many connections; one that begins anew may get again what it had. Each message
    // comes to one device of the account at least, but for what was under way to one without stream management.
    #[test]
    fn each_device_sees_what_was_sent_in_order(
        seed: u64,
        slow: bool,
        manners in [manner(), manner()],
        copies in [prop::bool::weighted(0.8), prop::bool::weighted(0.8)],
        steps in prop::collection::vec(step(), 1..40),
        mail in prop_oneof![Just(Vec::new()), prop::collection::vec((0..2_usize, prop_oneof![1..200_usize, 1..12_000_usize]), 1..40)],
        comes_back: [bool; 2],
        crashes in crashes(),
    ) {
        let mut history = History::new(seed, slow, manners, copies, &mail);
        let mut steps = steps;
        for (at, crash) in crashes {
            steps.insert(at.min(steps.len()), crash);
        }
        steps.into_iter().for_each(|step| history.happen(step));
        history.check(comes_back);
    }
}
