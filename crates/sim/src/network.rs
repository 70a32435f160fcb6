//! Several servers with their people, the DNS that they are found by, and the links between them, which break at any byte.
//!
//! Servers prove who they are by dialback, in the clear. In which order things happen is decided by the seed.

use core::mem;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use balcony_client::srv::{Record, Service, Signed};
use balcony_client::{ClientMachine, MachineEvent};
use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Instant, Progress, Random, Secret, Seed};
use balcony_server::federation::{FederationConfig, Unreachable};
use balcony_server::{Action, Answer, Ask, ConnectionId, Server, ServerConfig, Transport};
use balcony_stanza::Stanza;
use balcony_stream::TlsPolicy;

use crate::Accounts;
use crate::late::Late;

/// Several servers in one thread, with virtual time.
#[derive(Debug)]
pub struct Network {
    /// The virtual time.
    pub now: Instant,
    /// Domains for which the DNS does not answer.
    pub silent: BTreeSet<String>,
    /// What DNSSEC says of the place where a domain is, to servers that ask (RFC 7673). Of others it says nothing.
    pub signed: BTreeMap<String, Signed>,
    /// Servers, by their numbers, that take no connections of others.
    pub unreachable: BTreeSet<usize>,
    /// Servers, by their numbers, whose stores do nothing.
    pub stalled: BTreeSet<usize>,
    /// The links break when so many more bytes have gone over any of them.
    pub cut_after: Option<usize>,
    /// Whether what is on its way over a link that breaks is lost, although its sender was told that it is written; it is on its way for a
    /// while. Otherwise it arrives.
    pub is_lossy: bool,
    /// How many links have broken.
    pub cuts: usize,
    nodes: Vec<Node>,
    people: Vec<Wires>,
    links: Vec<Link>,
    /// Which server the DNS has for a domain.
    dns: BTreeMap<String, usize>,
    random: Random,
}

#[derive(Debug)]
struct Node {
    server: Server,
    config: ServerConfig,
    accounts: Accounts,
    /// What the store has not done yet.
    asks: Late,
}

/// Somebody's only device.
#[derive(Debug)]
struct Wires {
    node: usize,
    jid: FullJid,
    online: Option<Online>,
    got: Vec<Stanza>,
}

#[derive(Debug)]
struct Online {
    id: ConnectionId,
    client: ClientMachine,
    to_server: VecDeque<u8>,
    writing: bool,
    reads: bool,
}

#[derive(Debug)]
struct Link {
    ends: [End; 2],
    is_cut: bool,
}

/// One end of a link.
#[derive(Debug)]
struct End {
    node: usize,
    /// Unless the server has closed it, or was told that it is broken.
    id: Option<ConnectionId>,
    /// The server has something to write, is writing this, and has written this, which has not arrived.
    wants_to_write: bool,
    writing: VecDeque<u8>,
    wire: VecDeque<u8>,
    reads: bool,
    told_eof: bool,
}

/// The password of everybody.
const PASSWORD: &str = "pencil";
/// What the network takes that nobody reads.
const KERNEL: usize = 20_000;

impl Network {
    /// Servers, each with its domains, of which the DNS has those that no server before has. Whoever has a domain all the same lies.
    ///
    /// # Panics
    ///
    /// If one of the names is none.
    #[must_use]
    pub fn new(domains: &[&[&str]], seed: u64, change: impl Fn(&mut ServerConfig)) -> Network {
        let mut random = Seed::from_u64(seed).random();
        let mut dns = BTreeMap::new();
        let mut nodes = Vec::new();
        for (number, own) in domains.iter().enumerate() {
            let names: Vec<BareJid> = own.iter().map(|name| name.parse().expect("a domain")).collect();
            let mut config = ServerConfig::new(names.clone(), Secret::new([9; 32]));
            config.tls = TlsPolicy::None;
            config.stream_management = false;
            let mut federation = FederationConfig::new(names);
            federation.tls = TlsPolicy::None;
            federation.dialback = Some(Secret::new(format!("secret of server {number}")));
            config.federation = Some(federation);
            change(&mut config);
            for name in *own {
                dns.entry(String::from(*name)).or_insert(number);
            }
            let server = Server::new(config.clone(), random.seed());
            nodes.push(Node { server, config, accounts: Accounts::new(), asks: Late::default() });
        }
        Network {
            now: Instant::ZERO,
            silent: BTreeSet::new(),
            signed: BTreeMap::new(),
            unreachable: BTreeSet::new(),
            stalled: BTreeSet::new(),
            cut_after: None,
            is_lossy: false,
            cuts: 0,
            nodes,
            people: Vec::new(),
            links: Vec::new(),
            dns,
            random,
        }
    }

    /// Somebody who has an account at this server, and is not online. Their number.
    ///
    /// # Panics
    ///
    /// If it is no full JID.
    pub fn person(&mut self, server: usize, jid: &str) -> usize {
        let jid = FullJid::parse(jid).expect("a full JID");
        let accounts = mem::take(&mut self.nodes[server].accounts);
        self.nodes[server].accounts = accounts.with(jid.to_bare().as_str(), PASSWORD);
        self.people.push(Wires { node: server, jid, online: None, got: Vec::new() });
        self.people.len() - 1
    }

    /// Logs somebody in who is not online, and sends presence.
    ///
    /// # Panics
    ///
    /// If the server does not let them in.
    pub fn come(&mut self, person: usize) {
        let Wires { node, jid, .. } = &self.people[person];
        let (node, jid) = (*node, jid.clone());
        let mut config =
            balcony_client::ClientConfig::new(jid.to_bare(), Secret::new(String::from(PASSWORD)));
        config.stream.tls = TlsPolicy::None;
        config.stream.resource = Some(String::from(jid.resourcepart()));
        let client = ClientMachine::new(config, &self.random.seed(), self.now);
        let mut actions = Vec::new();
        let id = self.nodes[node].server.accept(self.now, Transport::Stream, &mut actions);
        let online = Online { id, client, to_server: VecDeque::new(), writing: false, reads: true };
        self.people[person].online = Some(online);
        self.act(node, actions);
        while self.people[person].online.as_ref().is_none_or(|online| online.client.jid().is_none()) {
            assert!(self.step_person(person) || self.step_store(node), "{jid} can't log in");
        }
        self.send(person, &Stanza::presence(balcony_stanza::PresenceType::Available));
    }

    /// Somebody's network is gone, and the server knows.
    pub fn go(&mut self, person: usize) {
        while self.step_person(person) {}
        let Some(online) = self.people[person].online.take() else { return };
        let mut actions = Vec::new();
        let node = self.people[person].node;
        self.nodes[node].server.broken(self.now, online.id, &mut actions);
        self.act(node, actions);
    }

    /// Whether somebody is online.
    #[must_use]
    pub fn is_online(&self, person: usize) -> bool {
        self.people[person].online.is_some()
    }

    /// Sends a stanza from somebody who is online.
    ///
    /// # Panics
    ///
    /// If they are not.
    pub fn send(&mut self, person: usize, stanza: &Stanza) {
        let now = self.now;
        let online = self.people[person].online.as_mut().expect("somebody who is online");
        let mut out = Vec::new();
        online.client.send(now, stanza, &mut out).expect("a stream that is open");
        online.to_server.extend(out);
    }

    /// What somebody has got since the last call.
    pub fn take(&mut self, person: usize) -> Vec<Stanza> {
        mem::take(&mut self.people[person].got)
    }

    /// What a server keeps.
    #[must_use]
    pub fn accounts(&self, server: usize) -> &Accounts {
        &self.nodes[server].accounts
    }

    /// Whether a server has asked its store for something that is not done.
    #[must_use]
    pub fn is_asking(&self, server: usize) -> bool {
        !self.nodes[server].asks.is_empty()
    }

    /// How many connections a server has, of clients and of other servers.
    #[must_use]
    pub fn connections(&self, server: usize) -> usize {
        self.nodes[server].server.connections()
    }

    /// A server dies, and another one begins with what its store has. Its people are not online any more.
    pub fn restart(&mut self, server: usize) {
        for link in &mut self.links {
            for end in link.ends.iter_mut().filter(|end| end.node == server) {
                (end.id, end.wants_to_write, end.writing) = (None, false, VecDeque::new());
            }
        }
        for link in 0..self.links.len() {
            if self.links[link].ends.iter().any(|end| end.node == server) {
                self.cut(link);
            }
        }
        for wires in self.people.iter_mut().filter(|wires| wires.node == server) {
            wires.online = None;
        }
        let node = &mut self.nodes[server];
        node.asks = Late::default();
        node.server = Server::new(node.config.clone(), self.random.seed());
    }

    /// A server is told to shut down. Its people are not online any more.
    pub fn shutdown(&mut self, server: usize) {
        let mut actions = Vec::new();
        let node = &mut self.nodes[server].server;
        node.shutdown(self.now, &mut actions);
        for wires in self.people.iter_mut().filter(|wires| wires.node == server) {
            if let Some(online) = wires.online.take() {
                node.broken(self.now, online.id, &mut actions);
            }
        }
        self.act(server, actions);
    }

    /// All links break.
    pub fn cut_all(&mut self) {
        for link in 0..self.links.len() {
            self.cut(link);
        }
    }

    /// Lets so many pieces of what is on its way arrive, or so many asks be answered.
    pub fn run_some(&mut self, steps: usize) {
        for _ in 0..steps {
            let all = self.links.len() + self.people.len() + self.nodes.len();
            let one = self.below(all);
            self.step(one);
        }
    }

    /// Lets everything that is on its way arrive.
    ///
    /// # Panics
    ///
    /// If that does not end.
    pub fn run(&mut self) {
        for _ in 0..1_000_000 {
            let all = self.links.len() + self.people.len() + self.nodes.len();
            let first = self.below(all);
            let mut busy = false;
            for turn in 0..all {
                busy |= self.step((first + turn) % all);
            }
            if !busy && !self.break_what_is_stuck() {
                self.links.retain(|link| link.ends.iter().any(|end| end.id.is_some()));
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Lets time pass, with all that becomes due meanwhile.
    ///
    /// # Panics
    ///
    /// If a server leaves something undone that is due.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.run();
            let due = self.nodes.iter().filter_map(|node| node.server.deadline()).map(|due| due.at).min();
            let Some(at) = due.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.tick();
        }
        self.now = self.now.max(end);
    }

    /// Has all servers do what is due.
    ///
    /// # Panics
    ///
    /// If one leaves something undone that is.
    pub fn tick(&mut self) {
        for node in 0..self.nodes.len() {
            let mut actions = Vec::new();
            self.nodes[node].server.tick(self.now, &mut actions);
            let left = self.nodes[node].server.deadline();
            assert!(left.is_none_or(|left| left.at > self.now), "{left:?} is still due at {:?}", self.now);
            self.act(node, actions);
        }
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random.next_u64() % end.max(1) as u64).unwrap_or(0)
    }

    /// One thing happens, if there is any to happen to this link, person or store.
    fn step(&mut self, one: usize) -> bool {
        self.now = self.now + Duration::from_micros(1);
        if one < self.links.len() {
            return self.flow(one, 0) | self.flow(one, 1);
        }
        let one = one - self.links.len();
        match one.checked_sub(self.people.len()) {
            None => self.step_person(one),
            Some(node) => node < self.nodes.len() && self.step_store(node),
        }
    }

    /// The store of a server takes something that it is asked, carries it out or answers. It keeps the order within an account.
    fn step_store(&mut self, node: usize) -> bool {
        if self.stalled.contains(&node) || self.nodes[node].asks.is_empty() {
            return false;
        }
        let random = self.random.next_u64();
        let clock = self.now.as_nanos() / 1_000_000;
        let Node { server, accounts, asks, .. } = &mut self.nodes[node];
        let done = asks.step(self.now, self.now, random, |ask| accounts.kept.answer(clock, ask));
        let Some(answered) = done else { return false };
        let mut actions = Vec::new();
        if let Some((ticket, answer)) = answered {
            server.answer(self.now, ticket, Answer::Router(answer), &mut actions);
        }
        self.act(node, actions);
        true
    }

    /// A client and its server read what the other has written.
    fn step_person(&mut self, person: usize) -> bool {
        let now = self.now;
        let Wires { node, online: Some(online), got, .. } = &mut self.people[person] else { return false };
        let node = *node;
        let Node { server, accounts, .. } = &mut self.nodes[node];
        let (mut actions, mut bytes) = (Vec::new(), Vec::new());
        let mut busy = false;
        if mem::take(&mut online.writing) {
            server.take_output(online.id, &mut bytes);
            server.written(now, online.id, &mut actions);
            busy = true;
        }
        let (mut input, mut out) = (bytes.as_slice(), Vec::new());
        loop {
            match online.client.advance(now, &mut input, &mut out) {
                Ok(Progress::Event(MachineEvent::Ask(ticket, ask))) => {
                    let answer = accounts.answer(ask);
                    online.client.answer(ticket, answer).expect("the ask has just been opened");
                }
                Ok(Progress::Event(MachineEvent::Stanza(stanza))) => got.push(*stanza),
                Ok(Progress::Event(_)) => {}
                Ok(_) => break,
                Err(error) => panic!("a client has failed: {error}"),
            }
        }
        online.to_server.extend(out);
        if online.reads && !online.to_server.is_empty() {
            online.reads = false;
            let bytes: Vec<u8> = online.to_server.drain(..).collect();
            server.receive(now, online.id, &bytes, &mut actions);
            busy = true;
        }
        self.act(node, actions);
        busy
    }

    /// Moves some bytes from one end of a link to the other.
    fn flow(&mut self, link: usize, side: usize) -> bool {
        let now = self.now;
        let most = 1 + self.below(3_000);
        let Link { ends, is_cut } = &mut self.links[link];
        let end = &mut ends[side];
        let (node, mut busy) = (end.node, false);
        if let Some(id) = end.id.filter(|_| !*is_cut) {
            let mut actions = Vec::new();
            if end.writing.is_empty() && mem::take(&mut end.wants_to_write) {
                let mut bytes = Vec::new();
                self.nodes[node].server.take_output(id, &mut bytes);
                if bytes.is_empty() {
                    self.nodes[node].server.written(now, id, &mut actions);
                }
                end.writing = bytes.into();
                busy = true;
            }
            if !end.writing.is_empty() && end.wire.len() < KERNEL {
                let count = most.min(end.writing.len());
                let count = self.cut_after.map_or(count, |left| count.min(left));
                let bytes: Vec<u8> = end.writing.drain(..count).collect();
                end.wire.extend(bytes);
                busy = true;
                if end.writing.is_empty() {
                    self.nodes[node].server.written(now, id, &mut actions);
                }
                if let Some(left) = &mut self.cut_after {
                    *left -= count;
                    if *left == 0 {
                        self.cut_after = None;
                        self.cut(link);
                    }
                }
            }
            self.act(node, actions);
        }
        busy | self.arrive(link, side, most)
    }

    /// What one end has written arrives at the other.
    fn arrive(&mut self, link: usize, side: usize, most: usize) -> bool {
        let now = self.now;
        let is_late = self.is_lossy && self.below(8) != 0;
        let Link { ends: [first, second], is_cut } = &mut self.links[link];
        let (from, to) = if side == 0 { (first, second) } else { (second, first) };
        let Some(id) = to.id else {
            from.wire.clear();
            return false;
        };
        let node = to.node;
        let mut actions = Vec::new();
        if !from.wire.is_empty() {
            if !to.reads {
                return false;
            }
            // What is lost by a link that breaks is what has been written and is not there yet: most of the time there is something.
            if is_late {
                return true;
            }
            let count = most.min(from.wire.len());
            let bytes: Vec<u8> = from.wire.drain(..count).collect();
            to.reads = false;
            self.nodes[node].server.receive(now, id, &bytes, &mut actions);
        } else if *is_cut {
            to.id = None;
            self.nodes[node].server.broken(now, id, &mut actions);
        } else if from.id.is_none() && to.reads && !mem::replace(&mut to.told_eof, true) {
            self.nodes[node].server.eof(now, id, &mut actions);
        } else {
            return false;
        }
        self.act(node, actions);
        true
    }

    /// A link breaks.
    fn cut(&mut self, link: usize) {
        let link = &mut self.links[link];
        link.is_cut = true;
        self.cuts += 1;
        if self.is_lossy {
            link.ends.iter_mut().for_each(|end| end.wire.clear());
        }
    }

    /// Who does not read what has come over a link that is cut sees that it is cut.
    fn break_what_is_stuck(&mut self) -> bool {
        for link in 0..self.links.len() {
            for side in 0..2 {
                let ends = &mut self.links[link];
                if ends.is_cut && ends.ends[1 - side].id.is_some() {
                    ends.ends[side].wire.clear();
                    return self.arrive(link, side, 0);
                }
            }
        }
        false
    }

    /// Does what a server wants done.
    fn act(&mut self, node: usize, actions: Vec<Action>) {
        let mut all: VecDeque<(usize, Action)> = actions.into_iter().map(|action| (node, action)).collect();
        while let Some((node, action)) = all.pop_front() {
            let mut next = Vec::new();
            match action {
                Action::Ask(ticket, Ask::Router(ask)) => self.nodes[node].asks.ask(ticket, ask, self.now),
                // These servers keep no sessions through a restart.
                Action::Ask(ticket, Ask::Sessions { .. }) => {
                    self.nodes[node].server.answer(self.now, ticket, Answer::Sessions(false), &mut next);
                }
                Action::Ask(ticket, Ask::Holders { collection, after, limit }) => {
                    let Node { server, accounts, .. } = &mut self.nodes[node];
                    let holders = accounts.kept.holders(collection, after.as_ref(), limit);
                    server.answer(self.now, ticket, Answer::Holders(Some(holders)), &mut next);
                }
                Action::Ask(ticket, Ask::Stream(ask)) => {
                    let Node { server, accounts, .. } = &mut self.nodes[node];
                    let answer = Answer::Stream(accounts.answer(ask));
                    server.answer(self.now, ticket, answer, &mut next);
                }
                Action::Write(id) => {
                    self.with(node, id, |end| end.wants_to_write = true, |online| online.writing = true);
                }
                Action::Read(id) => {
                    self.with(node, id, |end| end.reads = true, |online| online.reads = true);
                }
                Action::ReadNow(id) => {
                    self.with(node, id, |end| end.reads = true, |online| online.reads = true);
                    let is_there = |one: &Wires| {
                        let online = one.online.as_ref().filter(|online| one.node == node && online.id == id);
                        online.is_some_and(|online| !online.to_server.is_empty())
                    };
                    if !self.people.iter().any(is_there) {
                        self.nodes[node].server.nothing_yet(self.now, id, &mut next);
                    }
                }
                Action::Close(id) => {
                    let close = |end: &mut End| {
                        (end.id, end.writing, end.wants_to_write) = (None, VecDeque::new(), false);
                    };
                    self.with(node, id, close, |_| {});
                }
                Action::Resolve(domain, dane) => {
                    let is_silent = self.silent.contains(domain.as_str());
                    let signed = self.signed.get(domain.as_str()).filter(|_| dane).cloned();
                    let record = |signed| Record {
                        priority: 0,
                        weight: 0,
                        port: Service::Server.port(),
                        target: domain.as_str().into(),
                        direct_tls: false,
                        signed,
                    };
                    let records = if is_silent {
                        Err("no answer".into())
                    } else {
                        Ok(signed.map(record).into_iter().collect())
                    };
                    self.nodes[node].server.resolved(self.now, &domain, records, &mut next);
                }
                Action::Connect(id, targets, _) => {
                    let host = targets.first().and_then(|target| self.dns.get(&target.host)).copied();
                    match host.filter(|host| !self.unreachable.contains(host)) {
                        Some(host) => all.extend(self.link(node, id, host, &mut next)),
                        None => {
                            let is_unknown = host.is_none();
                            let unreachable = Unreachable { is_unknown, reason: "nobody is there".into() };
                            self.nodes[node].server.unreachable(self.now, id, &unreachable, &mut next);
                        }
                    }
                }
                Action::Notice(..) | Action::Removed(..) | Action::Abandoned(_) | Action::Log(..) => {}
            }
            all.extend(next.into_iter().map(|action| (node, action)));
        }
    }

    /// A server has connected to another one. What that wants done.
    fn link(
        &mut self,
        node: usize,
        id: ConnectionId,
        host: usize,
        next: &mut Vec<Action>,
    ) -> Vec<(usize, Action)> {
        let mut theirs = Vec::new();
        let from = format!("198.51.100.{}:40000", node + 1);
        let accepted = self.nodes[host].server.accept_server(self.now, Transport::Server, from, &mut theirs);
        let end = |node, id| End {
            node,
            id: Some(id),
            wants_to_write: false,
            writing: VecDeque::new(),
            wire: VecDeque::new(),
            reads: true,
            told_eof: false,
        };
        self.links.push(Link { ends: [end(node, id), end(host, accepted)], is_cut: false });
        self.nodes[node].server.connected(self.now, id, 0, next);
        theirs.into_iter().map(|action| (host, action)).collect()
    }

    fn with(
        &mut self,
        node: usize,
        id: ConnectionId,
        of_link: impl FnOnce(&mut End),
        of_person: impl FnOnce(&mut Online),
    ) {
        let ends = self.links.iter_mut().flat_map(|link| &mut link.ends);
        if let Some(end) = ends.into_iter().find(|end| end.node == node && end.id == Some(id)) {
            return of_link(end);
        }
        let people = self.people.iter_mut().filter(|wires| wires.node == node);
        let mut online = people.filter_map(|wires| wires.online.as_mut());
        if let Some(online) = online.find(|online| online.id == id) {
            of_person(online);
        }
    }
}
