//! Servers whose streams to each other are pipes in memory: they are found by a table of names, and can be cut at any byte.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;
use std::time::SystemTime;

use balcony_connection::srv::{Record, Signed};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Limits, Random, Secret, Seed};
use balcony_server::Level;
use balcony_server::federation::{
    Federation, FederationConfig, FederationEvent, FederationTls, StreamId, Unreachable,
};
use balcony_stanza::{ErrorCondition, MessageType, PresenceType, Stanza};
use balcony_stream::TlsPolicy;
use balcony_tls::{Authority, TlsIdentity, TlsTrust};

pub static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new(today()).unwrap());
pub static STRANGER: LazyLock<Authority> = LazyLock::new(|| Authority::new(today()).unwrap());

#[expect(clippy::disallowed_methods, reason = "certificates are checked against the clock of this machine")]
pub fn today() -> SystemTime {
    SystemTime::now()
}

pub fn jid(text: &str) -> BareJid {
    text.parse().unwrap()
}

/// How servers prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// By certificates of one authority.
    Certificates,
    /// By dialback, on TLS.
    Dialback,
    /// By dialback, in the clear.
    Plain,
}

/// A server that serves these domains.
pub fn config(domains: &[&str], trust: Trust) -> FederationConfig {
    let issuer = if trust == Trust::Dialback { &STRANGER } else { &AUTHORITY };
    config_of(domains, domains, trust, issuer)
}

/// The same with a certificate of this authority, for these names.
pub fn config_of(domains: &[&str], names: &[&str], trust: Trust, issuer: &Authority) -> FederationConfig {
    let mut config = FederationConfig::new(domains.iter().map(|domain| jid(domain)).collect());
    config.stream.idle = Some(Duration::from_secs(300));
    if trust != Trust::Certificates {
        config.dialback = Some(Secret::new(format!("secret of {}", domains[0])));
    }
    if trust == Trust::Plain {
        config.tls = TlsPolicy::None;
        return config;
    }
    let (certificate, key) = issuer.issue(names, None, today()).unwrap();
    let (certificate, key) = (certificate.as_bytes(), key.expose().as_bytes());
    show(&mut config, certificate, key);
    config
}

/// Has it show this certificate, and trust the one authority.
pub fn show(config: &mut FederationConfig, certificate: &[u8], key: &[u8]) {
    let connects = TlsTrust::builder().roots_pem(AUTHORITY.certificate_pem().as_bytes()).unwrap();
    let mut connects = connects.federation(certificate, key).unwrap();
    if config.dialback.is_some() {
        connects = connects.accept_unproven();
    }
    let connects = connects.build().unwrap();
    let accepts = TlsIdentity::from_pem(certificate, key).unwrap().federation(&connects).unwrap();
    config.certificate = Some(FederationTls { accepts, connects });
}

/// A server with what it got.
pub struct Server {
    pub federation: Federation,
    pub is_up: bool,
    /// It accepts connections, and neither reads nor writes.
    pub is_mute: bool,
    pub delivered: Vec<Stanza>,
    pub returned: Vec<(Stanza, ErrorCondition)>,
    /// What came back of which nobody is told.
    pub dropped: Vec<Stanza>,
    /// What others have certainly got.
    pub heard: Vec<(BareJid, PresenceType)>,
    pub reached: Vec<BareJid>,
    pub log: Vec<(Level, String)>,
    pub resolved: usize,
    pub connects: usize,
}

impl Server {
    /// Nobody is told of results and errors that come back.
    pub fn returned_answers_are_dropped(&mut self) {
        self.returned
            .retain(|(stanza, _)| stanza.error(&ErrorCondition::ResourceConstraint.into()).is_some());
    }
}

/// One end of a connection.
#[derive(Default)]
struct End {
    server: usize,
    id: Option<StreamId>,
    /// What is being written, and what the network has.
    writing: VecDeque<u8>,
    is_writing: bool,
    wire: VecDeque<u8>,
    reads: bool,
    is_closed: bool,
    told_eof: bool,
}

/// What the network takes that nobody reads.
const KERNEL: usize = 20_000;

struct Pipe {
    ends: [End; 2],
    is_cut: bool,
    /// How many were made before it.
    number: usize,
}

pub struct World {
    pub now: Instant,
    pub servers: Vec<Server>,
    /// The records of domains; `None`: the DNS does not answer.
    pub dns: BTreeMap<String, Option<Vec<Record>>>,
    /// Domains about which the DNS says nothing at all.
    pub silent: BTreeSet<String>,
    /// Who is at which host and port.
    pub hosts: BTreeMap<(String, u16), usize>,
    pipes: Vec<Pipe>,
    /// How many connections have been made.
    pub made: usize,
    /// The number of a connection over which nothing goes.
    pub held: Option<usize>,
    /// Connecting takes longer than all else, until [`connect`](World::connect).
    pub is_slow: bool,
    pub connecting: Vec<(usize, FederationEvent)>,
    random: Random,
    /// The connections break when so many more bytes have gone over any of them.
    pub cut_after: Option<usize>,
    pub cuts: usize,
    /// Bytes are moved one by one, or in larger pieces.
    pub piece: usize,
}

impl World {
    /// Servers, each at the first of its domains.
    pub fn new(seed: u64, configs: Vec<FederationConfig>) -> World {
        let mut world = World {
            now: Instant::ZERO,
            servers: Vec::new(),
            dns: BTreeMap::new(),
            silent: BTreeSet::new(),
            hosts: BTreeMap::new(),
            pipes: Vec::new(),
            made: 0,
            held: None,
            is_slow: false,
            connecting: Vec::new(),
            random: Seed::from_u64(seed).random(),
            cut_after: None,
            cuts: 0,
            piece: 100_000,
        };
        for config in configs {
            let index = world.servers.len();
            let host = config.domains[0].as_str().to_owned();
            for domain in &config.domains {
                let record = world.record(&host, 5269, false);
                world.dns.insert(domain.as_str().into(), Some(vec![record]));
            }
            world.hosts.insert((host.clone(), 5269), index);
            world.hosts.insert((host, 5270), index);
            world.servers.push(Server {
                federation: Federation::new(config, &Seed::from_u64(seed * 100 + index as u64)),
                is_up: true,
                is_mute: false,
                delivered: Vec::new(),
                returned: Vec::new(),
                dropped: Vec::new(),
                heard: Vec::new(),
                reached: Vec::new(),
                log: Vec::new(),
                resolved: 0,
                connects: 0,
            });
        }
        world
    }

    pub fn record(&self, host: &str, port: u16, direct_tls: bool) -> Record {
        Record { priority: 1, weight: 1, port, target: host.into(), direct_tls, signed: Signed::No }
    }

    pub fn send(&mut self, server: usize, from: &str, to: &str, id: &str) {
        self.send_stanza(server, message(from, to, id));
    }

    pub fn send_stanza(&mut self, server: usize, stanza: Stanza) {
        self.servers[server].federation.send(self.now, stanza, true);
    }

    /// Lets everything happen that does not need time.
    pub fn settle(&mut self) {
        for _ in 0..1_000_000 {
            if !self.step() {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Lets time pass, with all that becomes due meanwhile.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let due = self.servers.iter().filter(|server| server.is_up);
            let due = due.filter_map(|server| server.federation.deadline()).min();
            let Some(at) = due.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.tick();
        }
        self.now = end;
    }

    /// Lets time pass of which nobody takes notice before it is over, as when a machine is suspended.
    pub fn sleep(&mut self, time: Duration) {
        self.settle();
        self.now = self.now + time;
        self.tick();
        self.settle();
    }

    fn tick(&mut self) {
        for server in self.servers.iter_mut().filter(|server| server.is_up) {
            server.federation.tick(self.now);
            let left = server.federation.deadline();
            assert!(left.is_none_or(|left| left > self.now), "{left:?} is due at {:?}", self.now);
        }
    }

    fn step(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.servers.len() {
            while self.servers[index].is_up
                && !self.servers[index].is_mute
                && let Some(event) = self.servers[index].federation.next()
            {
                self.carry_out(index, event);
                moved = true;
            }
        }
        for index in 0..self.pipes.len() {
            moved |= self.flow(index);
        }
        self.pipes.retain(|pipe| !pipe.is_cut && !pipe.ends.iter().all(|end| end.is_closed));
        moved
    }

    fn end(&mut self, server: usize, id: StreamId) -> Option<(usize, usize)> {
        self.pipes.iter().enumerate().filter(|(_, pipe)| !pipe.is_cut).find_map(|(index, pipe)| {
            let side = pipe.ends.iter().position(|end| end.server == server && end.id == Some(id))?;
            Some((index, side))
        })
    }

    fn carry_out(&mut self, index: usize, event: FederationEvent) {
        let now = self.now;
        match event {
            FederationEvent::Resolve(domain, dane) => {
                let server = &mut self.servers[index];
                server.resolved += 1;
                if self.silent.contains(domain.as_str()) {
                    return;
                }
                match self.dns.get(domain.as_str()) {
                    Some(Some(records)) => {
                        let mut records = records.clone();
                        for record in records.iter_mut().filter(|_| !dane) {
                            record.signed = Signed::No;
                        }
                        server.federation.resolved(now, &domain, Ok(records));
                    }
                    Some(None) => server.federation.resolved(now, &domain, Err("SERVFAIL".into())),
                    None => server.federation.resolved(now, &domain, Ok(Vec::new())),
                }
            }
            event @ FederationEvent::Connect(..) if self.is_slow => self.connecting.push((index, event)),
            FederationEvent::Connect(id, targets, _) => {
                self.servers[index].connects += 1;
                let at = |target: &balcony_connection::srv::Target| {
                    let host = self.hosts.get(&(target.host.clone(), target.port)).copied();
                    host.filter(|host| self.servers[*host].is_up)
                };
                let found = targets.iter().enumerate().find_map(|(n, target)| Some((n, at(target)?)));
                let Some((n, to)) = found else {
                    let is_unknown = !targets
                        .iter()
                        .any(|target| self.hosts.contains_key(&(target.host.clone(), target.port)));
                    let unreachable = Unreachable { is_unknown, reason: "connection refused".into() };
                    return self.servers[index].federation.unreachable(now, id, &unreachable);
                };
                let accepted = self.servers[to].federation.accept(
                    now,
                    targets[n].direct_tls,
                    format!("198.51.100.{index}:40000"),
                );
                let end = |server, id| End { server, id: Some(id), reads: true, ..End::default() };
                let ends = [end(index, id), end(to, accepted)];
                self.pipes.push(Pipe { ends, is_cut: false, number: self.made });
                self.made += 1;
                self.servers[index].federation.connected(now, id, n);
            }
            FederationEvent::Write(id) => {
                let mut bytes = Vec::new();
                self.servers[index].federation.take_output(id, &mut bytes);
                match self.end(index, id).filter(|_| !bytes.is_empty()) {
                    Some((pipe, side)) => {
                        let end = &mut self.pipes[pipe].ends[side];
                        assert!(!end.is_writing, "two writes at once");
                        end.writing = bytes.into();
                        end.is_writing = true;
                    }
                    None => self.servers[index].federation.written(now, id),
                }
            }
            FederationEvent::Read(id) => {
                if let Some((pipe, side)) = self.end(index, id) {
                    self.pipes[pipe].ends[side].reads = true;
                }
            }
            FederationEvent::Close(id) => {
                if let Some((pipe, side)) = self.end(index, id) {
                    let end = &mut self.pipes[pipe].ends[side];
                    (end.is_closed, end.id, end.writing) = (true, None, VecDeque::new());
                }
            }
            FederationEvent::Deliver(stanza) => self.servers[index].delivered.push(*stanza),
            FederationEvent::Return { stanza, condition, is_told } => {
                if is_told {
                    self.servers[index].returned.push((*stanza, condition));
                } else {
                    self.servers[index].dropped.push(*stanza);
                }
            }
            FederationEvent::Heard { to, kind, .. } => self.servers[index].heard.push((to, kind)),
            FederationEvent::Reached(domain) => self.servers[index].reached.push(domain),
            FederationEvent::Log(level, line) => self.servers[index].log.push((level, line)),
        }
    }

    /// Moves some bytes of a pipe.
    fn flow(&mut self, index: usize) -> bool {
        let mut moved = false;
        if self.held == Some(self.pipes[index].number) {
            return false;
        }
        for side in 0..2 {
            if self.pipes[index].is_cut {
                return true;
            }
            moved |= self.flow_from(index, side);
        }
        moved
    }

    fn flow_from(&mut self, index: usize, side: usize) -> bool {
        let now = self.now;
        let most = 1 + (self.random.next_u64() as usize) % self.piece;
        let end = &mut self.pipes[index].ends[side];
        let mut moved = false;
        if end.is_writing && !end.is_closed && end.wire.len() < KERNEL {
            let count = most.min(end.writing.len());
            // A cut may come in the middle of what is being written.
            let count = self.cut_after.map_or(count, |left| count.min(left));
            let bytes: Vec<u8> = end.writing.drain(..count).collect();
            end.wire.extend(bytes);
            if let Some(left) = &mut self.cut_after {
                *left -= count;
                if *left == 0 {
                    self.cut_after = None;
                    self.cut(index);
                    return true;
                }
            }
            let end = &mut self.pipes[index].ends[side];
            moved = true;
            if end.writing.is_empty() {
                end.is_writing = false;
                let (server, id) = (end.server, end.id.unwrap());
                self.servers[server].federation.written(now, id);
            }
        }
        let [first, second] = &mut self.pipes[index].ends;
        let (from, to) = if side == 0 { (first, second) } else { (second, first) };
        if to.is_closed {
            from.wire.clear();
            return moved;
        }
        if !to.reads || to.told_eof || self.servers[to.server].is_mute {
            return moved;
        }
        let count = most.min(from.wire.len());
        if count > 0 {
            let bytes: Vec<u8> = from.wire.drain(..count).collect();
            to.reads = false;
            let (server, id) = (to.server, to.id.unwrap());
            self.servers[server].federation.receive(now, id, &bytes);
            return true;
        }
        if from.is_closed {
            to.told_eof = true;
            let (server, id) = (to.server, to.id.unwrap());
            self.servers[server].federation.eof(now, id);
            return true;
        }
        moved
    }

    /// Breaks a connection: both ends notice, and what is under way is lost.
    fn cut(&mut self, index: usize) {
        self.cuts += 1;
        self.pipes[index].is_cut = true;
        for side in 0..2 {
            let end = &self.pipes[index].ends[side];
            if let (server, Some(id)) = (end.server, end.id)
                && self.servers[server].is_up
            {
                self.servers[server].federation.broken(self.now, id);
            }
        }
    }

    /// Breaks all connections.
    pub fn cut_all(&mut self) {
        for index in 0..self.pipes.len() {
            if !self.pipes[index].is_cut {
                self.cut(index);
            }
        }
    }

    /// What was slow to connect does.
    pub fn connect(&mut self) {
        self.is_slow = false;
        for (index, event) in core::mem::take(&mut self.connecting) {
            self.carry_out(index, event);
        }
    }

    /// Breaks the connection over which nothing goes.
    pub fn cut_held(&mut self) {
        let held = self.held.take();
        if let Some(index) = self.pipes.iter().position(|pipe| Some(pipe.number) == held && !pipe.is_cut) {
            self.cut(index);
        }
    }

    /// Whether two servers are connected at all.
    pub fn connections(&self) -> usize {
        self.pipes.iter().filter(|pipe| !pipe.is_cut).count()
    }

    pub fn ids(&self, server: usize) -> Vec<&str> {
        self.servers[server].delivered.iter().map(|stanza| stanza.head.id.as_deref().unwrap()).collect()
    }

    pub fn returned(&self, server: usize) -> Vec<(&str, ErrorCondition)> {
        let returned = self.servers[server].returned.iter();
        returned.map(|(stanza, condition)| (stanza.head.id.as_deref().unwrap(), *condition)).collect()
    }

    pub fn has_logged(&self, server: usize, what: &str) -> bool {
        self.servers[server].log.iter().any(|(_, line)| line.contains(what))
    }

    /// A stream that a test plays by hand.
    pub fn accept(&mut self, server: usize) -> StreamId {
        self.servers[server].federation.accept(self.now, false, "by hand".into())
    }

    /// Hands bytes to a stream that a test plays by hand, and says what comes back.
    pub fn exchange(&mut self, server: usize, id: StreamId, bytes: &str) -> String {
        self.servers[server].federation.receive(self.now, id, bytes.as_bytes());
        let mut all = Vec::new();
        for _ in 0..100 {
            self.settle_but(server, id, &mut all);
        }
        String::from_utf8(all).unwrap()
    }

    fn settle_but(&mut self, server: usize, id: StreamId, all: &mut Vec<u8>) {
        while let Some(event) = self.servers[server].federation.next() {
            match event {
                FederationEvent::Write(of) if of == id => {
                    let mut bytes = Vec::new();
                    self.servers[server].federation.take_output(id, &mut bytes);
                    all.extend(bytes);
                    self.servers[server].federation.written(self.now, id);
                }
                event => self.carry_out(server, event),
            }
        }
        for index in 0..self.pipes.len() {
            self.flow(index);
        }
        for other in (0..self.servers.len()).filter(|other| *other != server) {
            while let Some(event) = self.servers[other].federation.next() {
                self.carry_out(other, event);
            }
        }
    }
}

pub fn message(from: &str, to: &str, id: &str) -> Stanza {
    Stanza::message(MessageType::Chat)
        .with_from(from.parse().unwrap())
        .with_to(to.parse().unwrap())
        .with_id(id)
}

/// The limits of tests that wait for something.
pub fn short() -> Limits {
    let mut limits = Limits::federated();
    limits.negotiation = Duration::from_secs(20);
    limits
}
