//! A second router, of plain lists and obviously right, beside the real one through random histories.
//!
//! Its store answers at once, and subscriptions do not change but by the end of an account: what happens while a store is slow,
//! and how subscriptions come about, other properties test.

use std::collections::BTreeMap;

use balcony_jid::Jid;
use balcony_roster::Subscription;
use balcony_router::{Config, Effect, Memory, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

use crate::world::{World, available, bare, iq, jid, request, tell};

const ACCOUNTS: [&str; 3] = ["a@x.example", "b@x.example", "c@y.example"];
/// A contact, if somebody has it.
const REMOTE: &str = "r@z.example";
const NAMES: [&str; 3] = ["1", "2", "3"];
/// Besides the accounts and their resources.
const ELSEWHERE: [&str; 6] =
    ["nobody@x.example", "nobody@x.example/1", "x.example", "r@z.example/1", REMOTE, "z.example"];
const ADDRESSES: usize = ACCOUNTS.len() * (NAMES.len() + 1) + ELSEWHERE.len();
const MOST_DIRECTED: usize = 3;
const MOST_STORED: usize = 2;

fn address(index: usize) -> String {
    let Some(account) = ACCOUNTS.get(index / (NAMES.len() + 1)) else {
        return ELSEWHERE[index - ACCOUNTS.len() * (NAMES.len() + 1)].to_owned();
    };
    match index % (NAMES.len() + 1) {
        0 => (*account).to_owned(),
        name => format!("{account}/{}", NAMES[name - 1]),
    }
}

/// Sessions are named by their place among all that have ever been.
#[derive(Clone, Debug)]
enum Op {
    Bind(usize, usize),
    Unbind(usize),
    Available(usize, i8),
    Unavailable(usize),
    Direct(usize, bool, usize),
    Message(usize, MessageType, usize),
    Iq(usize, IqType, usize),
    Probe(usize, usize),
    Carbons(usize, bool),
    Block(usize, usize),
    Unblock(usize, usize),
    Remove(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let session = || 0..12_usize;
    let to = || 0..ADDRESSES;
    let message = prop_oneof![
        1 => Just(MessageType::Normal),
        3 => Just(MessageType::Chat),
        1 => Just(MessageType::Groupchat),
        2 => Just(MessageType::Headline),
        1 => Just(MessageType::Error),
    ];
    prop_oneof![
        5 => (0..ACCOUNTS.len(), 0..NAMES.len()).prop_map(|(account, name)| Op::Bind(account, name)),
        1 => session().prop_map(Op::Unbind),
        6 => (session(), -2..3_i8).prop_map(|(s, priority)| Op::Available(s, priority)),
        2 => session().prop_map(Op::Unavailable),
        4 => (session(), any::<bool>(), to()).prop_map(|(s, there, to)| Op::Direct(s, there, to)),
        8 => (session(), message, to()).prop_map(|(s, kind, to)| Op::Message(s, kind, to)),
        3 => (session(), prop_oneof![Just(IqType::Get), Just(IqType::Result)], to())
            .prop_map(|(s, kind, to)| Op::Iq(s, kind, to)),
        2 => (session(), to()).prop_map(|(s, to)| Op::Probe(s, to)),
        2 => (session(), any::<bool>()).prop_map(|(s, on)| Op::Carbons(s, on)),
        2 => (session(), to()).prop_map(|(s, to)| Op::Block(s, to)),
        1 => (session(), to()).prop_map(|(s, to)| Op::Unblock(s, to)),
        1 => (0..ACCOUNTS.len()).prop_map(Op::Remove),
    ]
}

/// Who sees whom: each account its own contacts, by who grants it; and who is in whose roster.
type Grants = Vec<(usize, usize)>;

/// Pairs of accounts (the last is the remote contact), the first of which lets the second see its presence.
fn grants() -> impl Strategy<Value = Grants> {
    let pair = (0..=ACCOUNTS.len(), 0..=ACCOUNTS.len());
    let among = |pairs: Grants| {
        pairs.into_iter().filter(|(a, b)| a != b && *a.min(b) < ACCOUNTS.len()).collect::<Grants>()
    };
    prop::collection::vec(pair, 0..6).prop_map(among)
}

fn contact(index: usize) -> &'static str {
    ACCOUNTS.get(index).copied().unwrap_or(REMOTE)
}

#[derive(Clone, Debug)]
struct Resource {
    session: u64,
    jid: String,
    priority: Option<i8>,
    directed: Vec<String>,
    carbons: bool,
}

#[derive(Default)]
struct Model {
    here: Vec<Resource>,
    accounts: Vec<String>,
    /// The first lets the second see its presence.
    grants: Vec<(String, String)>,
    /// The first has the second in its roster.
    rosters: Vec<(String, String)>,
    /// The first has blocked the second.
    blocked: Vec<(String, String)>,
    /// Account, sender, what.
    stored: Vec<(String, String, String)>,
}

fn split(address: &str) -> (&str, Option<&str>) {
    match address.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (address, None),
    }
}

fn bare_of(address: &str) -> String {
    split(address).0.to_owned()
}

fn is_remote(address: &str) -> bool {
    address.contains("z.example")
}

fn includes(blocked: &str, entity: &str) -> bool {
    let bare = split(entity).0;
    let domain = bare.split_once('@').map_or(bare, |(_, domain)| domain);
    [entity, bare, domain].contains(&blocked)
}

const UNAVAILABLE: &str = "service-unavailable/cancel";
const BLOCKED: &str = "not-acceptable/cancel";

impl Model {
    fn new(grants: &Grants) -> Self {
        let mut model = Model { accounts: ACCOUNTS.map(str::to_owned).to_vec(), ..Model::default() };
        for &(from, to) in grants {
            let (from, to) = (contact(from).to_owned(), contact(to).to_owned());
            model.grants.push((from.clone(), to.clone()));
            model.rosters.push((from.clone(), to.clone()));
            model.rosters.push((to, from));
        }
        model
    }

    fn of<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Resource> {
        self.here.iter().filter(move |r| split(&r.jid).0 == account)
    }

    fn at(&self, full: &str) -> Option<&Resource> {
        self.here.iter().find(|r| r.jid == full)
    }

    fn session(&self, full: &str) -> u64 {
        self.at(full).unwrap().session
    }

    fn error(&self, kind: &str, condition: &str, sender: &str, from: &str) -> Vec<String> {
        self.at(sender)
            .map(|r| format!("{}: {kind} error {condition} from {from}", r.session))
            .into_iter()
            .collect()
    }

    fn has(list: &[(String, String)], one: &str, other: &str) -> bool {
        list.iter().any(|(a, b)| a == one && b == split(other).0)
    }

    fn blocks(&self, account: &str, entity: &str) -> bool {
        account != split(entity).0
            && self.blocked.iter().any(|(who, blocked)| who == account && includes(blocked, entity))
    }

    /// Those who see the account's presence.
    fn audience(&self, account: &str) -> Vec<String> {
        let mut all: Vec<String> =
            self.grants.iter().filter(|(from, _)| from == account).map(|(_, to)| to.clone()).collect();
        all.retain(|to| !self.blocks(account, to));
        all.sort();
        all.dedup();
        all
    }

    fn top(&self, account: &str) -> Vec<Resource> {
        let willing: Vec<_> = self.of(account).filter(|r| r.priority >= Some(0)).collect();
        let top = willing.iter().map(|r| r.priority).max().unwrap_or_default();
        willing.into_iter().filter(|r| r.priority == top).cloned().collect()
    }

    fn copies(&self, account: &str, kind: MessageType, except: &[u64]) -> Vec<String> {
        let copied = self.of(account).filter(|r| r.carbons && !except.contains(&r.session));
        // Normal ones and errors have no content that would matter.
        copied
            .filter(|_| kind == MessageType::Chat)
            .map(|r| format!("{}: message chat from {account}", r.session))
            .collect()
    }

    fn message(&mut self, sender: &str, kind: MessageType, to: &str) -> Vec<String> {
        let (own, account) = (bare_of(sender), bare_of(to));
        if self.blocks(&own, to) {
            return if kind == MessageType::Error {
                vec![]
            } else {
                self.error("message", BLOCKED, sender, to)
            };
        }
        let mut lines =
            if own == account { vec![] } else { self.copies(&own, kind, &[self.session(sender)]) };
        lines.extend(self.pass(sender, kind, to));
        lines
    }

    fn pass(&mut self, sender: &str, kind: MessageType, to: &str) -> Vec<String> {
        use MessageType::{Chat, Error, Groupchat, Headline, Normal};
        let kind_name = Kind::Message(kind).type_name().map(|name| format!(" {name}")).unwrap_or_default();
        let what = format!("message{kind_name} from {sender}");
        let to_all = |all: &[Resource]| -> Vec<String> {
            all.iter().map(|r| format!("{}: {what}", r.session)).collect()
        };
        let (account, resource) = split(to);
        if is_remote(to) {
            return vec![format!("remote {to}: {what}")];
        }
        if self.blocks(account, sender) {
            let is_told = !matches!(kind, Error | Headline);
            return if is_told { self.error("message", UNAVAILABLE, sender, to) } else { vec![] };
        }
        let given = |model: &Model, all: Vec<Resource>| {
            let mut except: Vec<u64> = all.iter().map(|r| r.session).collect();
            except.push(model.session(sender));
            let mut lines = to_all(&all);
            lines.extend(model.copies(account, kind, &except));
            lines
        };
        if let Some(resource) = self.at(to).cloned() {
            return given(self, vec![resource]);
        }
        let lost = |model: &Model| {
            let seen =
                model.of(account).any(|r| r.directed.iter().any(|d| d == sender || d == split(sender).0));
            let is_known = seen || account == split(sender).0 || Model::has(&model.rosters, account, sender);
            if is_known { model.error("message", UNAVAILABLE, sender, to) } else { vec![] }
        };
        let top = self.top(account);
        match (kind, resource) {
            (Error, _) => vec![],
            _ if account == "x.example" => self.error("message", UNAVAILABLE, sender, to),
            (Headline, None) => {
                to_all(&self.of(account).filter(|r| r.priority >= Some(0)).cloned().collect::<Vec<_>>())
            }
            (Headline, Some(_)) => vec![],
            (Groupchat, None) => self.error("message", UNAVAILABLE, sender, to),
            _ if !self.accounts.iter().any(|a| a == account) => vec![],
            (Groupchat | Normal, Some(_)) => lost(self),
            (Chat, _) | (Normal, None) if !top.is_empty() => given(self, top),
            (Chat, _) | (Normal, None) => {
                let mut lines = vec![format!("store for {account}: {what}")];
                if self.stored.iter().filter(|message| message.0 == account).count() < MOST_STORED {
                    self.stored.push((account.to_owned(), sender.to_owned(), what));
                } else {
                    lines.extend(lost(self));
                }
                lines
            }
        }
    }

    fn iq(&self, sender: &str, kind: IqType, to: &str) -> Vec<String> {
        let what = format!("iq {} from {sender}", Kind::Iq(kind).type_name().unwrap());
        let fail = |condition: &str| match kind {
            IqType::Result => vec![],
            _ => self.error("iq", condition, sender, to),
        };
        if self.blocks(split(sender).0, to) {
            return fail(BLOCKED);
        }
        if is_remote(to) {
            return vec![format!("remote {to}: {what}")];
        }
        let may = |r: &Resource| {
            let account = split(&r.jid).0;
            !self.blocks(account, sender)
                && (kind == IqType::Result
                    || split(sender).0 == account
                    || Model::has(&self.grants, account, sender)
                    || r.directed.iter().any(|d| d == sender || d == split(sender).0))
        };
        match self.at(to) {
            Some(resource) if may(resource) => vec![format!("{}: {what}", resource.session)],
            _ => fail(UNAVAILABLE),
        }
    }

    /// Presence to an address; `gone` if it says that the sender is no longer there.
    fn show(&mut self, sender: &str, gone: bool, to: &str) -> Vec<String> {
        let what = format!("presence{} from {sender}", if gone { " unavailable" } else { "" });
        if is_remote(to) {
            return vec![format!("remote {to}: {what}")];
        }
        if self.blocks(split(to).0, sender) {
            return vec![];
        }
        let mut lines = vec![];
        for resource in &mut self.here {
            let (account, name) = split(&resource.jid);
            let told = match split(to) {
                (bare, None) => bare == account && resource.priority.is_some(),
                (bare, full) => bare == account && full == name,
            };
            if told {
                lines.push(format!("{}: {what}", resource.session));
                if gone {
                    resource.directed.retain(|entity| entity != sender);
                }
            }
        }
        lines
    }

    fn show_all(&mut self, sender: &str, gone: bool, to: &[String]) -> Vec<String> {
        to.iter().flat_map(|to| self.show(sender, gone, to)).collect()
    }

    fn available(&mut self, sender: &str, priority: i8) -> Vec<String> {
        let session = self.session(sender);
        let account = bare_of(sender);
        let initial = self.at(sender).unwrap().priority.is_none();
        let others: Vec<_> = self
            .of(&account)
            .filter(|r| r.priority.is_some() && r.jid != sender)
            .map(|r| format!("{session}: presence from {}", r.jid))
            .collect();
        self.here.iter_mut().find(|r| r.jid == sender).unwrap().priority = Some(priority);
        let mut lines = self.show(sender, false, &account);
        let audience = self.audience(&account);
        lines.extend(self.show_all(sender, false, &audience));
        if initial {
            lines.extend(others);
            // Whom the account sees.
            let mut seen: Vec<_> =
                self.grants.iter().filter(|(_, to)| *to == account).map(|(from, _)| from.clone()).collect();
            seen.sort();
            seen.dedup();
            seen.retain(|contact| !self.blocks(&account, contact));
            for contact in seen {
                if is_remote(&contact) {
                    lines.push(format!("remote {contact}: presence probe from {account}"));
                } else if !self.blocks(&contact, sender) {
                    let there: Vec<_> = self.of(&contact).collect();
                    let answers = there.iter().filter(|r| r.priority.is_some());
                    lines.extend(answers.map(|r| format!("{session}: presence from {}", r.jid)));
                    // Whoever is connected, but not there, is not there. Who is not connected is not asked.
                    if !there.is_empty() && there.iter().all(|r| r.priority.is_none()) {
                        lines.push(format!("{session}: presence unavailable from {contact}"));
                    }
                }
            }
        }
        if let Some(first) = self.top(&account).first() {
            let (mine, rest) = self.stored.drain(..).partition(|message| message.0 == account);
            self.stored = rest;
            let mine: Vec<(String, String, String)> = mine;
            let may = mine.iter().filter(|message| !self.blocks(&account, &message.1));
            lines.extend(may.map(|message| format!("{}: {}", first.session, message.2)));
        }
        lines
    }

    /// The resource goes offline; what it was is `ended`, and if it is still connected it is among those here.
    fn end(&mut self, ended: &Resource) -> Vec<String> {
        let mut lines = vec![];
        let account = bare_of(&ended.jid);
        let audience = self.audience(&account);
        if ended.priority.is_some() {
            lines.extend(self.show(&ended.jid, true, &account));
            if self.at(&ended.jid).is_some_and(|r| r.session == ended.session) {
                lines.push(format!("{}: presence unavailable from {}", ended.session, ended.jid));
            }
            lines.extend(self.show_all(&ended.jid, true, &audience));
        }
        for entity in &ended.directed {
            if !(ended.priority.is_some() && self.is_reached(ended, entity, &audience)) {
                lines.extend(self.show(&ended.jid, true, entity));
            }
        }
        lines
    }

    /// Whether a broadcast of the resource reaches the entity.
    fn is_reached(&self, of: &Resource, entity: &str, audience: &[String]) -> bool {
        let bare = bare_of(entity);
        (bare == split(&of.jid).0 || audience.contains(&bare))
            && (bare == entity
                || is_remote(entity)
                || entity == of.jid
                || self.at(entity).is_some_and(|r| r.priority.is_some()))
    }

    fn unbind(&mut self, session: u64) -> Vec<String> {
        let Some(index) = self.here.iter().position(|r| r.session == session) else { return vec![] };
        let ended = self.here.remove(index);
        self.end(&ended)
    }

    fn bind(&mut self, session: u64, account: &str, name: &str) -> Vec<String> {
        if !self.accounts.iter().any(|a| a == account) {
            self.accounts.push(account.to_owned());
        }
        let jid = format!("{account}/{name}");
        let mut lines = vec![];
        if let Some(old) = self.at(&jid).map(|r| r.session) {
            lines.push(format!("{old}: closed with conflict"));
            lines.extend(self.unbind(old));
        }
        self.here.push(Resource { session, jid, priority: None, directed: vec![], carbons: false });
        lines
    }

    fn remove(&mut self, account: &str) -> Vec<String> {
        if self.of(account).next().is_none() {
            return vec![];
        }
        let (gone, here) = self.here.drain(..).partition(|r| split(&r.jid).0 == account);
        self.here = here;
        let gone: Vec<Resource> = gone;
        let mut lines = vec![];
        for resource in &gone {
            lines.push(format!("{}: closed with not-authorized", resource.session));
            let remote = self.audience(account);
            // None of its own resources is left to see the others go.
            if resource.priority.is_some() {
                lines.extend(self.show_all(&resource.jid, true, &remote));
            }
            for entity in &resource.directed {
                let told = resource.priority.is_some()
                    && (split(entity).0 == account || self.is_reached(resource, entity, &remote));
                if !told {
                    lines.extend(self.show(&resource.jid, true, entity));
                }
            }
        }
        let remote = REMOTE.to_owned();
        for (has, kind) in [
            (self.grants.contains(&(remote.clone(), account.to_owned())), "unsubscribe"),
            (self.grants.contains(&(account.to_owned(), remote)), "unsubscribed"),
        ] {
            if has {
                lines.push(format!("remote {REMOTE}: presence {kind} from {account}"));
            }
        }
        self.accounts.retain(|a| a != account);
        self.stored.retain(|message| message.0 != account);
        self.blocked.retain(|(who, _)| who != account);
        self.rosters.retain(|(who, _)| who != account);
        self.grants.retain(|(from, to)| from != account && to != account);
        lines
    }

    fn direct(&mut self, sender: &str, there: bool, to: &str) -> Vec<String> {
        if self.blocks(split(sender).0, to) {
            return self.error("presence", BLOCKED, sender, to);
        }
        if to == "x.example" {
            return vec![];
        }
        let resource = self.here.iter_mut().find(|r| r.jid == sender).unwrap();
        if !there {
            resource.directed.retain(|entity| entity != to);
        } else if !resource.directed.iter().any(|entity| entity == to) {
            if resource.directed.len() == MOST_DIRECTED {
                return self.error("presence", "resource-constraint/wait", sender, to);
            }
            resource.directed.push(to.to_owned());
        }
        self.show(sender, !there, to)
    }

    fn probe(&self, sender: &str, to: &str) -> Vec<String> {
        let session = self.session(sender);
        let says = |kind: &str, of: &str| vec![format!("{session}: presence{kind} from {of}")];
        let (account, name) = split(to);
        if self.blocks(split(sender).0, to) {
            return self.error("presence", BLOCKED, sender, to);
        }
        if is_remote(to) {
            return vec![format!("remote {to}: presence probe from {sender}")];
        }
        if account == "x.example" || self.blocks(account, sender) {
            return vec![];
        }
        let may = split(sender).0 == account || Model::has(&self.grants, account, sender);
        let probed = self.of(account).filter(|r| name.is_none() || r.jid == to);
        let seen: Vec<_> = if may {
            probed.filter(|r| r.priority.is_some()).flat_map(|r| says("", &r.jid)).collect()
        } else {
            let shown = |r: &&Resource| r.directed.iter().any(|d| d == sender || d == split(sender).0);
            probed.filter(shown).flat_map(|r| says("", &r.jid)).collect()
        };
        match seen[..] {
            [] if may => says(" unavailable", to),
            // The prober's roster knows already.
            [] => vec![],
            _ => seen,
        }
    }

    fn carbons(&mut self, sender: &str, on: bool) -> Vec<String> {
        let own = self.here.iter_mut().find(|r| r.jid == sender).unwrap();
        own.carbons = on;
        vec![format!("{}: iq result", own.session)]
    }

    fn block(&mut self, sender: &str, whom: &str) -> Vec<String> {
        let account = bare_of(sender);
        let mut lines = vec![format!("{}: iq result", self.session(sender))];
        let newly = |entity: &str| includes(whom, entity) && split(entity).0 != account;
        let mut ending = self.audience(&account);
        ending.retain(|contact| newly(contact));
        for resource in self.of(&account).cloned().collect::<Vec<_>>() {
            if resource.priority.is_some() {
                lines.extend(self.show_all(&resource.jid, true, &ending));
            }
            let own = self.here.iter_mut().find(|r| r.jid == resource.jid).unwrap();
            own.directed.retain(|entity| !newly(entity));
            for entity in resource.directed.iter().filter(|entity| newly(entity)) {
                if !(resource.priority.is_some() && self.is_reached(&resource, entity, &ending)) {
                    lines.extend(self.show(&resource.jid, true, entity));
                }
            }
        }
        self.blocked.push((account, whom.to_owned()));
        lines
    }

    fn unblock(&mut self, sender: &str, whom: &str) -> Vec<String> {
        let account = bare_of(sender);
        let mut lines = vec![format!("{}: iq result", self.session(sender))];
        let before = self.audience(&account);
        self.blocked.retain(|(who, blocked)| *who != account || blocked != whom);
        let mut after = self.audience(&account);
        after.retain(|contact| !before.contains(contact));
        let there: Vec<_> = self.of(&account).filter(|r| r.priority.is_some()).cloned().collect();
        for resource in there {
            lines.extend(self.show_all(&resource.jid, false, &after));
        }
        lines
    }
}

fn world(grants: &Grants) -> World {
    let mut config = Config::new(vec![bare("x.example"), bare("y.example")]);
    config.limits.directed = MOST_DIRECTED;
    let mut world = World::with(config);
    world.store = Memory::new(MOST_STORED);
    for (account, &address) in ACCOUNTS.iter().enumerate() {
        world.store.create(bare(address));
        for contact_index in 0..=ACCOUNTS.len() {
            let subscription = match (
                grants.contains(&(account, contact_index)),
                grants.contains(&(contact_index, account)),
            ) {
                (true, true) => Subscription::Both,
                (true, false) => Subscription::From,
                (false, true) => Subscription::To,
                (false, false) => continue,
            };
            world.befriend(address, contact(contact_index), subscription);
        }
    }
    world
}

/// One step of the real router.
fn step(world: &mut World, sessions: &mut u64, number: usize, op: &Op) -> Vec<Effect> {
    let blocking = |name: &str, to: usize| {
        let jid = address(to);
        request(IqType::Set, &format!("<{name} xmlns='urn:xmpp:blocking'><item jid='{jid}'/></{name}>"))
    };
    let (session, stanza) = match *op {
        Op::Bind(account, name) => {
            let session = SessionId(*sessions);
            *sessions += 1;
            return world.bind(session, ACCOUNTS[account], NAMES[name]);
        }
        Op::Unbind(session) => return world.unbound(SessionId(session as u64)),
        Op::Remove(account) => {
            // Of an account that nobody uses nothing is known, so that its contacts learn of its end later.
            let is_used = world.router.sessions(&bare(ACCOUNTS[account])).next().is_some();
            return if is_used { world.removed(ACCOUNTS[account]) } else { Vec::new() };
        }
        Op::Available(session, priority) => (session, available(priority)),
        Op::Unavailable(session) => (session, Stanza::presence(PresenceType::Unavailable)),
        Op::Direct(session, there, to) => {
            let kind = if there { PresenceType::Available } else { PresenceType::Unavailable };
            (session, Stanza::presence(kind).to(jid(&address(to))))
        }
        Op::Message(session, kind, to) => (session, Stanza::message(kind).to(jid(&address(to)))),
        Op::Iq(session, kind, to) => {
            (session, iq(kind, "query", "urn:example:unknown").to(jid(&address(to))))
        }
        Op::Probe(session, to) => (session, Stanza::presence(PresenceType::Probe).to(jid(&address(to)))),
        Op::Carbons(session, on) => {
            let name = if on { "enable" } else { "disable" };
            (session, request(IqType::Set, &format!("<{name} xmlns='urn:xmpp:carbons:2'/>")))
        }
        Op::Block(session, to) => (session, blocking("block", to)),
        Op::Unblock(session, to) => (session, blocking("unblock", to)),
    };
    world.send(SessionId(session as u64), stanza.id(&number.to_string()))
}

fn model_step(model: &mut Model, sessions: u64, op: &Op) -> Vec<String> {
    let at = |session: usize| model.here.iter().find(|r| r.session == session as u64).cloned();
    let from = match *op {
        Op::Bind(account, name) => return model.bind(sessions, ACCOUNTS[account], NAMES[name]),
        Op::Unbind(session) => return model.unbind(session as u64),
        Op::Remove(account) => return model.remove(ACCOUNTS[account]),
        Op::Available(session, _)
        | Op::Unavailable(session)
        | Op::Direct(session, ..)
        | Op::Message(session, ..)
        | Op::Iq(session, ..)
        | Op::Carbons(session, _)
        | Op::Block(session, _)
        | Op::Unblock(session, _)
        | Op::Probe(session, _) => at(session),
    };
    // Whoever has not bound has no effects.
    let Some(from) = from else { return vec![] };
    match *op {
        Op::Available(_, priority) => model.available(&from.jid, priority),
        Op::Unavailable(_) => {
            let own = model.here.iter_mut().find(|r| r.jid == from.jid).unwrap();
            (own.priority, own.directed) = (None, vec![]);
            model.end(&from)
        }
        Op::Direct(_, there, to) => model.direct(&from.jid, there, &address(to)),
        Op::Message(_, kind, to) => model.message(&from.jid, kind, &address(to)),
        Op::Iq(_, kind, to) => model.iq(&from.jid, kind, &address(to)),
        Op::Probe(_, to) => model.probe(&from.jid, &address(to)),
        Op::Carbons(_, on) => model.carbons(&from.jid, on),
        Op::Block(_, to) => model.block(&from.jid, &address(to)),
        Op::Unblock(_, to) => model.unblock(&from.jid, &address(to)),
        Op::Bind(..) | Op::Unbind(_) | Op::Remove(_) => unreachable!(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // RFC 6121 §4, §8.5, XEP-0160, XEP-0191, XEP-0280: the same decisions as the model, in any history. Order within one step is
    // another property's.
    #[test]
    fn decides_like_the_model(grants in grants(), ops in prop::collection::vec(op(), 1..80)) {
        let (mut world, mut model, mut sessions) = (world(&grants), Model::new(&grants), 0);
        for (number, op) in ops.iter().enumerate() {
            let mut expected = model_step(&mut model, sessions, op);
            expected.sort();
            let effects = step(&mut world, &mut sessions, number, op);
            let mut decided: Vec<_> =
                effects.iter().filter_map(|effect| tell(effect, &|session| session.0.to_string())).collect();
            decided.sort();
            prop_assert_eq!(decided, expected, "step {} {:?}", number, op);
            for account in ACCOUNTS {
                let here: Vec<_> = model.of(account).map(|r| SessionId(r.session)).collect();
                prop_assert_eq!(world.router.sessions(&bare(account)).collect::<Vec<_>>(), here);
                let stored = model.stored.iter().filter(|message| message.0 == account).count();
                prop_assert_eq!(world.store.offline(&bare(account)).len(), stored);
            }
            let counts = world.router.counts();
            prop_assert_eq!((counts.sessions, counts.asks), (model.here.len(), 0));
        }
    }

    // RFC 6120 §10.1 [Q10]: what one sends to one arrives in order and once, at once or from the store.
    #[test]
    fn keeps_the_order(grants in grants(), ops in prop::collection::vec(op(), 1..120)) {
        let (mut world, mut sessions) = (world(&grants), 0);
        let mut last: BTreeMap<(SessionId, Jid, Jid, bool), usize> = BTreeMap::new();
        for (number, op) in ops.iter().enumerate() {
            for effect in step(&mut world, &mut sessions, number, op) {
                let Effect::Deliver { session, stanza } = effect else { continue };
                let is_talk = matches!(stanza.head.kind, Kind::Message(_) | Kind::Iq(IqType::Get | IqType::Result));
                let Some(id) = stanza.head.id.as_ref().filter(|_| is_talk && !stanza.head.kind.is_error()) else { continue };
                let (Some(from), Ok(id)) = (stanza.head.from.clone(), id.parse()) else { continue };
                // Whoever addresses a resource that is connected but not available overtakes what is stored.
                let to = stanza.head.to.clone().unwrap();
                let overtaken = to.is_full() && String::from_utf8_lossy(stanza.payload.as_bytes()).contains("<delay");
                if let Some(before) = last.insert((session, from, to, overtaken), id) {
                    prop_assert!(before < id);
                }
            }
        }
    }

    // The same seed and the same history give the same decisions, in the same order.
    #[test]
    fn is_deterministic(grants in grants(), ops in prop::collection::vec(op(), 1..120)) {
        let (mut one, mut two) = ((world(&grants), 0), (world(&grants), 0));
        for (number, op) in ops.iter().enumerate() {
            let first = step(&mut one.0, &mut one.1, number, op);
            prop_assert_eq!(first, step(&mut two.0, &mut two.1, number, op));
        }
        let bind = |world: &mut World| {
            let account = bare(ACCOUNTS[0]);
            world.router.bind(world.now, SessionId(999), &account, None, &mut Vec::new())
        };
        prop_assert_eq!(bind(&mut one.0), bind(&mut two.0));
    }
}
