//! A second router, of plain lists and obviously right, beside the real one through random histories.

use std::collections::BTreeMap;

use balcony_jid::Jid;
use balcony_machine::{Instant, Seed, Ticket};
use balcony_router::{Answer, Ask, Config, Effect, Router, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

use crate::world::{available, bare, brief, iq, jid};

const ACCOUNTS: [&str; 3] = ["a@x.example", "b@x.example", "c@y.example"];
const NAMES: [&str; 3] = ["1", "2", "3"];
/// Besides the accounts and their resources.
const ELSEWHERE: [&str; 5] =
    ["nobody@x.example", "nobody@x.example/1", "x.example", "r@z.example/1", "r@z.example"];
const ADDRESSES: usize = ACCOUNTS.len() * (NAMES.len() + 1) + ELSEWHERE.len();
const MOST_DIRECTED: usize = 3;
const MOST_ASKS: usize = 2;

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
    Answer(usize, bool),
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
        1 => (session(), to()).prop_map(|(s, to)| Op::Probe(s, to)),
        3 => (0..16_usize, any::<bool>()).prop_map(|(ticket, stored)| Op::Answer(ticket, stored)),
        1 => (0..ACCOUNTS.len()).prop_map(Op::Remove),
    ]
}

#[derive(Clone, Debug)]
struct Resource {
    session: u64,
    jid: String,
    priority: Option<i8>,
    directed: Vec<String>,
}

#[derive(Default)]
struct Model {
    here: Vec<Resource>,
    /// Ticket, sender, recipient, id.
    asks: Vec<(u64, String, String)>,
    tickets: u64,
}

fn split(address: &str) -> (&str, Option<&str>) {
    match address.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (address, None),
    }
}

fn is_remote(address: &str) -> bool {
    address.contains("z.example")
}

const UNAVAILABLE: &str = "service-unavailable/cancel";

impl Model {
    fn of<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Resource> {
        self.here.iter().filter(move |r| split(&r.jid).0 == account)
    }

    fn at(&self, full: &str) -> Option<&Resource> {
        self.here.iter().find(|r| r.jid == full)
    }

    fn error(&self, kind: &str, condition: &str, sender: &str, from: &str) -> Vec<String> {
        self.at(sender)
            .map(|r| format!("{}: {kind} error {condition} from {from}", r.session))
            .into_iter()
            .collect()
    }

    fn message(&mut self, sender: &str, kind: MessageType, to: &str) -> Result<Vec<String>, ()> {
        use MessageType::{Chat, Error, Groupchat, Headline, Normal};
        let kind_name = Kind::Message(kind).type_name().map(|name| format!(" {name}")).unwrap_or_default();
        let what = format!("message{kind_name} from {sender}");
        let to_all = |all: Vec<&Resource>| all.iter().map(|r| format!("{}: {what}", r.session)).collect();
        if is_remote(to) {
            return Ok(vec![format!("remote {to}: {what}")]);
        }
        if let Some(resource) = self.at(to) {
            return Ok(to_all(vec![resource]));
        }
        let (account, resource) = split(to);
        let willing: Vec<_> = self.of(account).filter(|r| r.priority >= Some(0)).collect();
        let top = willing.iter().map(|r| r.priority).max().unwrap_or_default();
        let most: Vec<_> = willing.iter().copied().filter(|r| r.priority == top).collect();
        let server = account == "x.example";
        match (kind, resource) {
            (Error, _) => Ok(vec![]),
            _ if server => Ok(self.error("message", UNAVAILABLE, sender, to)),
            (Headline, None) => Ok(to_all(willing)),
            (Headline, Some(_)) => Ok(vec![]),
            (Groupchat, _) | (Normal, Some(_)) => Ok(self.error("message", UNAVAILABLE, sender, to)),
            (Chat, _) | (Normal, None) if !most.is_empty() => Ok(to_all(most)),
            (Chat, _) | (Normal, None) => {
                let mine = |ask: &&(u64, String, String)| split(&ask.1).0 == split(sender).0;
                if self.asks.iter().filter(mine).count() >= MOST_ASKS {
                    return Err(());
                }
                self.asks.push((self.tickets, sender.to_owned(), to.to_owned()));
                self.tickets += 1;
                Ok(vec![format!("store for {account}: {what}")])
            }
        }
    }

    fn iq(&self, sender: &str, kind: IqType, to: &str) -> Vec<String> {
        let what = format!("iq {} from {sender}", Kind::Iq(kind).type_name().unwrap());
        if is_remote(to) {
            return vec![format!("remote {to}: {what}")];
        }
        let may = |r: &Resource| {
            kind == IqType::Result
                || split(sender).0 == split(to).0
                || r.directed.iter().any(|d| d == sender || d == split(sender).0)
        };
        match self.at(to) {
            Some(resource) if may(resource) => vec![format!("{}: {what}", resource.session)],
            _ if kind == IqType::Result => vec![],
            _ => self.error("iq", UNAVAILABLE, sender, to),
        }
    }

    /// Presence to an address; `gone` if it says that the sender is no longer there.
    fn show(&mut self, sender: &str, gone: bool, to: &str) -> Vec<String> {
        let what = format!("presence{} from {sender}", if gone { " unavailable" } else { "" });
        if is_remote(to) {
            return vec![format!("remote {to}: {what}")];
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

    fn available(&mut self, sender: &str, priority: i8) -> Vec<String> {
        let session = self.at(sender).unwrap().session;
        let initial = self.at(sender).unwrap().priority.is_none();
        let others: Vec<_> = self
            .of(split(sender).0)
            .filter(|r| r.priority.is_some() && r.jid != sender)
            .map(|r| format!("{session}: presence from {}", r.jid))
            .collect();
        self.here.iter_mut().find(|r| r.jid == sender).unwrap().priority = Some(priority);
        let mut lines = self.show(sender, false, split(sender).0);
        if initial {
            lines.extend(others);
        }
        lines
    }

    /// The resource goes offline; what it was is `ended`, and if it is still connected it is among those here.
    fn end(&mut self, ended: &Resource) -> Vec<String> {
        let mut lines = vec![];
        let account = split(&ended.jid).0;
        if ended.priority.is_some() {
            lines.extend(self.show(&ended.jid, true, account));
            if self.at(&ended.jid).is_some_and(|r| r.session == ended.session) {
                lines.push(format!("{}: presence unavailable from {}", ended.session, ended.jid));
            }
        }
        for entity in &ended.directed {
            let broadcast_reached = ended.priority.is_some()
                && split(entity).0 == account
                && (entity == account
                    || *entity == ended.jid
                    || self.at(entity).is_some_and(|r| r.priority.is_some()));
            if !broadcast_reached {
                lines.extend(self.show(&ended.jid, true, entity));
            }
        }
        lines
    }

    fn unbind(&mut self, session: u64) -> Vec<String> {
        let Some(index) = self.here.iter().position(|r| r.session == session) else { return vec![] };
        let ended = self.here.remove(index);
        self.end(&ended)
    }

    fn bind(&mut self, session: u64, account: &str, name: &str) -> Vec<String> {
        let jid = format!("{account}/{name}");
        let mut lines = vec![];
        if let Some(old) = self.at(&jid).map(|r| r.session) {
            lines.push(format!("{old}: closed with conflict"));
            lines.extend(self.unbind(old));
        }
        self.here.push(Resource { session, jid, priority: None, directed: vec![] });
        lines
    }

    fn remove(&mut self, account: &str) -> Vec<String> {
        let (gone, here) = self.here.drain(..).partition(|r| split(&r.jid).0 == account);
        self.here = here;
        let gone: Vec<Resource> = gone;
        let mut lines = vec![];
        for mut resource in gone {
            lines.push(format!("{}: closed with not-authorized", resource.session));
            resource.priority = None;
            lines.extend(self.end(&resource));
        }
        lines
    }

    fn direct(&mut self, sender: &str, there: bool, to: &str) -> Vec<String> {
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
        let session = self.at(sender).unwrap().session;
        let says = |kind: &str, of: &str| vec![format!("{session}: presence{kind} from {of}")];
        let (account, name) = split(to);
        if is_remote(to) {
            return vec![format!("remote {to}: presence probe from {sender}")];
        }
        if account == "x.example" {
            return vec![];
        }
        let probed = self.of(account).filter(|r| name.is_none() || r.jid == to);
        let seen: Vec<_> = if split(sender).0 == account {
            probed.filter(|r| r.priority.is_some()).flat_map(|r| says("", &r.jid)).collect()
        } else {
            let shown = |r: &&Resource| r.directed.iter().any(|d| d == sender || d == split(sender).0);
            probed.filter(shown).flat_map(|r| says("", &r.jid)).collect()
        };
        match seen[..] {
            [] if split(sender).0 == account => says(" unavailable", to),
            [] => says(" unsubscribed", account),
            _ => seen,
        }
    }

    fn answer(&mut self, ticket: u64, stored: bool) -> Vec<String> {
        let Some(index) = self.asks.iter().position(|ask| ask.0 == ticket) else { return vec![] };
        let (_, sender, to) = self.asks.remove(index);
        if stored { vec![] } else { self.error("message", UNAVAILABLE, &sender, &to) }
    }
}

fn router() -> Router {
    let mut config = Config::new(vec![bare("x.example"), bare("y.example")]);
    config.limits.directed = MOST_DIRECTED;
    config.limits.asks = MOST_ASKS;
    Router::new(config, &Seed::from_u64(1))
}

/// One step of the real router. `Err` if it was busy.
fn step(router: &mut Router, sessions: &mut u64, number: usize, op: &Op) -> Result<Vec<Effect>, ()> {
    let mut effects = Vec::new();
    let now = Instant::ZERO;
    let (session, mut stanza) = match *op {
        Op::Bind(account, name) => {
            let session = SessionId(*sessions);
            *sessions += 1;
            router.bind(now, session, &bare(ACCOUNTS[account]), Some(NAMES[name]), &mut effects).unwrap();
            return Ok(effects);
        }
        Op::Unbind(session) => {
            router.unbind(now, SessionId(session as u64), &mut effects);
            return Ok(effects);
        }
        Op::Remove(account) => {
            router.remove_account(now, &bare(ACCOUNTS[account]), &mut effects);
            return Ok(effects);
        }
        Op::Answer(ticket, stored) => {
            let answer = if stored { Answer::Stored } else { Answer::Refused };
            router.answer(now, Ticket(ticket as u64), answer, &mut effects);
            return Ok(effects);
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
    };
    stanza = stanza.id(&number.to_string());
    let session = SessionId(session as u64);
    stanza.head.from = router.jid(session).map(|own| own.to_jid());
    router.route(now, session, stanza, &mut effects).map(|()| effects).map_err(|_| ())
}

fn model_step(model: &mut Model, sessions: u64, op: &Op) -> Result<Vec<String>, ()> {
    let at = |session: usize| model.here.iter().find(|r| r.session == session as u64).cloned();
    let from = match *op {
        Op::Bind(account, name) => return Ok(model.bind(sessions, ACCOUNTS[account], NAMES[name])),
        Op::Unbind(session) => return Ok(model.unbind(session as u64)),
        Op::Remove(account) => return Ok(model.remove(ACCOUNTS[account])),
        Op::Answer(ticket, stored) => return Ok(model.answer(ticket as u64, stored)),
        Op::Available(session, _)
        | Op::Unavailable(session)
        | Op::Direct(session, ..)
        | Op::Message(session, ..)
        | Op::Iq(session, ..)
        | Op::Probe(session, _) => at(session),
    };
    // Whoever has not bound has no effects.
    let Some(from) = from else { return Ok(vec![]) };
    Ok(match *op {
        Op::Available(_, priority) => model.available(&from.jid, priority),
        Op::Unavailable(_) => {
            let own = model.here.iter_mut().find(|r| r.jid == from.jid).unwrap();
            (own.priority, own.directed) = (None, vec![]);
            model.end(&from)
        }
        Op::Direct(_, there, to) => model.direct(&from.jid, there, &address(to)),
        Op::Message(_, kind, to) => return model.message(&from.jid, kind, &address(to)),
        Op::Iq(_, kind, to) => model.iq(&from.jid, kind, &address(to)),
        Op::Probe(_, to) => model.probe(&from.jid, &address(to)),
        Op::Bind(..) | Op::Unbind(_) | Op::Remove(_) | Op::Answer(..) => unreachable!(),
    })
}

fn tell(effect: &Effect) -> String {
    match effect {
        Effect::Deliver { session, stanza } => format!("{}: {}", session.0, brief(stanza)),
        Effect::Close { session, error } => format!("{}: closed with {error}", session.0),
        Effect::Ask { ask: Ask::PutOffline { account, stanza }, .. } => {
            format!("store for {account}: {}", brief(stanza))
        }
        Effect::Remote { stanza } => {
            format!("remote {}: {}", stanza.head.to.as_ref().unwrap(), brief(stanza))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // RFC 6121 §4, §8.5: the same decisions as the model, in any history. Order within one step is another property's.
    #[test]
    fn decides_like_the_model(ops in prop::collection::vec(op(), 1..80)) {
        let (mut router, mut model, mut sessions) = (router(), Model::default(), 0);
        for (number, op) in ops.iter().enumerate() {
            let expected = model_step(&mut model, sessions, op).map(|mut lines| { lines.sort(); lines });
            let effects = step(&mut router, &mut sessions, number, op);
            let decided = effects.map(|effects| {
                let mut lines: Vec<_> = effects.iter().map(tell).collect();
                lines.sort();
                lines
            });
            prop_assert_eq!(decided, expected, "step {} {:?}", number, op);
            for account in ACCOUNTS {
                let here: Vec<_> = model.of(account).map(|r| SessionId(r.session)).collect();
                prop_assert_eq!(router.sessions(&bare(account)).collect::<Vec<_>>(), here);
            }
            prop_assert_eq!(router.counts().sessions, model.here.len());
            prop_assert_eq!(router.counts().asks, model.asks.len());
        }
    }

    // RFC 6120 §10.1 [Q10]: what one sends to one, by whatever address, arrives in order and once.
    #[test]
    fn keeps_the_order(ops in prop::collection::vec(op(), 1..120)) {
        let (mut router, mut sessions) = (router(), 0);
        let mut last: BTreeMap<(SessionId, Jid), usize> = BTreeMap::new();
        for (number, op) in ops.iter().enumerate() {
            for effect in step(&mut router, &mut sessions, number, op).unwrap_or_default() {
                let Effect::Deliver { session, stanza } = effect else { continue };
                if !matches!(op, Op::Message(..) | Op::Iq(..)) || stanza.head.kind.is_error() {
                    continue;
                }
                let from = stanza.head.from.clone().unwrap();
                let id = stanza.head.id.as_ref().unwrap().parse().unwrap();
                if let Some(before) = last.insert((session, from), id) {
                    prop_assert!(before < id);
                }
            }
        }
    }

    // The same seed and the same history give the same decisions, in the same order.
    #[test]
    fn is_deterministic(ops in prop::collection::vec(op(), 1..120)) {
        let (mut one, mut two) = ((router(), 0), (router(), 0));
        for (number, op) in ops.iter().enumerate() {
            let first = step(&mut one.0, &mut one.1, number, op);
            prop_assert_eq!(first, step(&mut two.0, &mut two.1, number, op));
        }
        let bind = |router: &mut Router| {
            router.bind(Instant::ZERO, SessionId(999), &bare(ACCOUNTS[0]), None, &mut Vec::new())
        };
        prop_assert_eq!(bind(&mut one.0), bind(&mut two.0));
    }
}
