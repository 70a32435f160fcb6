//! The model beside the real router, through random histories.
//!
//! Its store answers at once: what happens while a store is slow, other properties test.

use std::collections::{BTreeMap, BTreeSet};

use balcony_jid::Jid;
use balcony_roster::Subscription;
use balcony_router::extension::Extensions;
use balcony_router::{Ask, Change, Config, Effect, LogEdit, SessionId};
use balcony_stanza::{ErrorCondition, IqType, Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

use crate::model::{ACCOUNTS, MOST_DIRECTED, MOST_STORED, Model, REMOTE, bare_of};
use crate::world::{World, available, bare, brief, iq, jid, request, room_for, roster_get, roster_set, tell};

const NAMES: [&str; 3] = ["1", "2", "3"];
/// Besides the accounts and their resources.
const ELSEWHERE: [&str; 6] =
    ["nobody@x.example", "nobody@x.example/1", "x.example", "r@z.example/1", REMOTE, "z.example"];
const ADDRESSES: usize = ACCOUNTS.len() * (NAMES.len() + 1) + ELSEWHERE.len();
/// Of [`REMOTE`] among the addresses.
const REMOTE_INDEX: usize = ADDRESSES - 2;

pub(crate) fn address(index: usize) -> String {
    let Some(account) = ACCOUNTS.get(index / (NAMES.len() + 1)) else {
        return ELSEWHERE[index - ACCOUNTS.len() * (NAMES.len() + 1)].to_owned();
    };
    match index % (NAMES.len() + 1) {
        0 => (*account).to_owned(),
        name => format!("{account}/{}", NAMES[name - 1]),
    }
}

/// Sessions are named by their place among those that are there, counted round and round.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Bind(usize, usize),
    Unbind(usize),
    Available(usize, i8),
    Unavailable(usize),
    Direct(usize, bool, usize),
    Message(usize, MessageType, usize),
    Iq(usize, IqType, usize),
    Probe(usize, usize),
    Subscription(usize, PresenceType, usize),
    /// Asks for the roster.
    Roster(usize),
    SetItem(usize, usize),
    RemoveItem(usize, usize),
    /// The remote contact sends presence.
    Receive(PresenceType, usize),
    Carbons(usize, bool),
    Block(usize, usize),
    Unblock(usize, usize),
    Remove(usize),
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let session = || 0..12_usize;
    let to = || 0..ADDRESSES;
    // Mostly somebody who may be a contact.
    let whom = || prop_oneof![5 => (0..ACCOUNTS.len()).prop_map(|a| a * (NAMES.len() + 1)), 2 => Just(REMOTE_INDEX), 1 => to()];
    let message = prop_oneof![
        1 => Just(MessageType::Normal),
        3 => Just(MessageType::Chat),
        1 => Just(MessageType::Groupchat),
        2 => Just(MessageType::Headline),
        1 => Just(MessageType::Error),
    ];
    let subscription = prop_oneof![
        3 => Just(PresenceType::Subscribe),
        3 => Just(PresenceType::Subscribed),
        1 => Just(PresenceType::Unsubscribe),
        1 => Just(PresenceType::Unsubscribed),
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
        8 => (session(), subscription.clone(), whom()).prop_map(|(s, kind, to)| Op::Subscription(s, kind, to)),
        3 => session().prop_map(Op::Roster),
        1 => (session(), whom()).prop_map(|(s, to)| Op::SetItem(s, to)),
        3 => (session(), whom()).prop_map(|(s, to)| Op::RemoveItem(s, to)),
        4 => (prop_oneof![4 => subscription, 1 => Just(PresenceType::Probe)], whom())
            .prop_map(|(kind, to)| Op::Receive(kind, to)),
        2 => (session(), any::<bool>()).prop_map(|(s, on)| Op::Carbons(s, on)),
        2 => (session(), whom()).prop_map(|(s, to)| Op::Block(s, to)),
        2 => (session(), whom()).prop_map(|(s, to)| Op::Unblock(s, to)),
        1 => (0..ACCOUNTS.len()).prop_map(Op::Remove),
    ]
}

/// Who sees whom at first, by who grants it; each is in the other's roster.
pub(crate) type Grants = Vec<(usize, usize)>;

/// Pairs of accounts (the last is the remote contact), the first of which lets the second see its presence.
pub(crate) fn grants() -> impl Strategy<Value = Grants> {
    let pair = (0..=ACCOUNTS.len(), 0..=ACCOUNTS.len());
    let among = |pairs: Grants| {
        pairs.into_iter().filter(|(a, b)| a != b && *a.min(b) < ACCOUNTS.len()).collect::<Grants>()
    };
    prop::collection::vec(pair, 0..6).prop_map(among)
}

pub(crate) fn contact(index: usize) -> &'static str {
    ACCOUNTS.get(index).copied().unwrap_or(REMOTE)
}

pub(crate) fn world(grants: &Grants) -> World {
    world_with(grants, room_for(MOST_STORED))
}

/// The same, with these extensions.
pub(crate) fn world_with(grants: &Grants, extensions: Extensions) -> World {
    world_of(grants, |config| config.extensions = extensions)
}

/// The same, with this changed in its configuration.
pub(crate) fn world_of(grants: &Grants, change: impl FnOnce(&mut Config)) -> World {
    let mut config = Config::new(vec![bare("x.example"), bare("y.example")]);
    config.limits.directed = MOST_DIRECTED;
    config.extensions = room_for(MOST_STORED);
    change(&mut config);
    let mut world = World::with(config);
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

/// What the store has of the account's contacts, a line for each.
pub(crate) fn roster(world: &World, account: &str) -> Vec<String> {
    let parts = world.store.kept(&bare(account)).and_then(|kept| kept.roster.clone());
    let Some(parts) = parts else { return vec![] };
    let items = parts
        .items
        .iter()
        .map(|item| format!("{} {} {} {}", item.jid, item.subscription.name(), item.ask, item.approved));
    let requests =
        parts.requests.iter().map(|request| format!("{} has asked", request.head.from.as_ref().unwrap()));
    let mut lines: Vec<_> = items.chain(requests).collect();
    lines.sort();
    lines
}

/// The sessions that have a connection.
pub(crate) fn connected(world: &World) -> Vec<SessionId> {
    let all = ACCOUNTS.iter().flat_map(|account| world.router.sessions(&bare(account)).collect::<Vec<_>>());
    all.filter(|session| !world.away.contains(session)).collect()
}

/// An effect as the model says it: with the id of a message, or of the one that is copied, and of what passes between users.
pub(crate) fn told(effect: &Effect) -> Option<String> {
    let told = tell(effect, &|session| session.0.to_string());
    let (line, stanza) = match effect {
        Effect::Deliver { stanza, .. } => (told?, Stanza::clone(stanza)),
        Effect::Remote { stanza, .. } => (told?, stanza.clone()),
        Effect::Ask { ask: Ask::Save { account, changes, .. }, .. } => match &changes[..] {
            [Change::Log { edit: LogEdit::Append(append), .. }, ..] => {
                let stanza = Stanza::parse(&append.content.bytes).unwrap();
                (format!("store for {account}: {}", brief(&stanza)), stanza)
            }
            _ => return told,
        },
        _ => return told,
    };
    let head = &stanza.head;
    let is_between =
        matches!(head.kind, Kind::Message(_)) || matches!(head.kind, Kind::Iq(_)) && head.from.is_some();
    if !is_between {
        return Some(line);
    }
    let copied = || {
        let content = String::from_utf8_lossy(stanza.payload.as_bytes()).into_owned();
        Some(content.split_once(" id='")?.1.split_once('\'')?.0.to_owned())
    };
    let id = head.id.as_ref().map(|id| id.to_string()).or_else(copied);
    Some(format!("{line} #{}", id.unwrap_or_default()))
}

/// One step of the real router.
pub(crate) fn step(world: &mut World, sessions: &mut u64, number: usize, op: &Op) -> Vec<Effect> {
    let blocking = |name: &str, to: usize| {
        let jid = address(to);
        request(IqType::Set, &format!("<{name} xmlns='urn:xmpp:blocking'><item jid='{jid}'/></{name}>"))
    };
    let live = connected(world);
    let session = |place: usize| live.get(place % live.len().max(1)).copied().unwrap_or(SessionId(u64::MAX));
    let (place, stanza) = match *op {
        Op::Bind(account, name) => {
            let session = SessionId(*sessions);
            *sessions += 1;
            return world.bind(session, ACCOUNTS[account], NAMES[name]);
        }
        Op::Unbind(place) => return world.unbound(session(place)),
        Op::Remove(account) => return world.removed(ACCOUNTS[account]),
        Op::Available(session, priority) => (session, available(priority)),
        Op::Unavailable(session) => (session, Stanza::presence(PresenceType::Unavailable)),
        Op::Direct(session, there, to) => {
            let kind = if there { PresenceType::Available } else { PresenceType::Unavailable };
            (session, Stanza::presence(kind).with_to(jid(&address(to))))
        }
        Op::Message(session, kind, to) => (session, Stanza::message(kind).with_to(jid(&address(to)))),
        Op::Iq(session, kind, to) => {
            (session, iq(kind, "query", "urn:example:unknown").with_to(jid(&address(to))))
        }
        Op::Probe(session, to) => (session, Stanza::presence(PresenceType::Probe).with_to(jid(&address(to)))),
        Op::Subscription(session, kind, to) => (session, Stanza::presence(kind).with_to(jid(&address(to)))),
        Op::Roster(session) => (session, roster_get()),
        Op::SetItem(session, to) => {
            (session, roster_set(&format!("<item jid='{}'/>", bare_of(&address(to)))))
        }
        Op::RemoveItem(session, to) => {
            (session, roster_set(&format!("<item jid='{}' subscription='remove'/>", bare_of(&address(to)))))
        }
        Op::Receive(kind, to) => {
            return world.received(REMOTE, Stanza::presence(kind).with_to(jid(&address(to))));
        }
        Op::Carbons(session, on) => {
            let name = if on { "enable" } else { "disable" };
            (session, request(IqType::Set, &format!("<{name} xmlns='urn:xmpp:carbons:2'/>")))
        }
        Op::Block(session, to) => (session, blocking("block", to)),
        Op::Unblock(session, to) => (session, blocking("unblock", to)),
    };
    world.send(session(place), stanza.with_id(number.to_string()))
}

pub(crate) fn model_step(model: &mut Model, sessions: u64, op: &Op) -> Vec<String> {
    let live = model.connected();
    let at = |place: usize| live.get(place % live.len().max(1)).cloned();
    let from = match *op {
        Op::Bind(account, name) => return model.bind(sessions, ACCOUNTS[account], NAMES[name]),
        Op::Unbind(place) => return at(place).map(|r| model.unbind(r.session)).unwrap_or_default(),
        Op::Remove(account) => return model.remove(ACCOUNTS[account]),
        Op::Receive(kind, to) => return model.receive(kind, &address(to)),
        Op::Available(session, _)
        | Op::Unavailable(session)
        | Op::Direct(session, ..)
        | Op::Message(session, ..)
        | Op::Iq(session, ..)
        | Op::Carbons(session, _)
        | Op::Block(session, _)
        | Op::Unblock(session, _)
        | Op::Subscription(session, ..)
        | Op::Roster(session)
        | Op::SetItem(session, _)
        | Op::RemoveItem(session, _)
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
        Op::Subscription(_, kind, to) => model.subscription(&from.jid, kind, &address(to)),
        Op::Roster(_) => model.roster(&from.jid),
        Op::SetItem(_, to) => model.set_item(&from.jid, &bare_of(&address(to))),
        Op::RemoveItem(_, to) => model.remove_item(&from.jid, &bare_of(&address(to))),
        Op::Bind(..) | Op::Unbind(_) | Op::Remove(_) | Op::Receive(..) => unreachable!(),
    }
}

/// Both know the same sessions, stored messages and contacts, and the store has answered everything.
pub(crate) fn same_state(world: &World, model: &Model, after: &str) -> Result<(), TestCaseError> {
    for account in ACCOUNTS {
        let here: Vec<_> = model.of(account).map(|r| SessionId(r.session)).collect();
        prop_assert_eq!(world.router.sessions(&bare(account)).collect::<Vec<_>>(), here, "{}", after);
        let stored = model.stored.iter().filter(|message| message.account == account);
        let stored: Vec<_> = stored.map(|message| Some(message.number.to_string().into())).collect();
        let kept: Vec<_> = world.kept(account).into_iter().map(|message| message.head.id).collect();
        prop_assert_eq!(kept, stored, "{}", after);
        prop_assert_eq!(roster(world, account), model.shown_roster(account), "{}", after);
    }
    let counts = world.router.counts();
    prop_assert_eq!((counts.sessions, counts.asks), (model.here.len(), 0), "{}", after);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // RFC 6121 §4, §8.5, XEP-0160, XEP-0191, XEP-0280: the same decisions as the model, in any history. Order within one step is
    // another property's.
    #[test]
    fn decides_like_the_model(grants in grants(), ops in prop::collection::vec(op(), 1..80)) {
        let (mut world, mut model, mut sessions) = (world(&grants), Model::new(grants.iter().map(|&(from, to)| (contact(from), contact(to)))), 0);
        for (number, op) in ops.iter().enumerate() {
            model.number = number;
            let mut expected = model_step(&mut model, sessions, op);
            expected.sort();
            let effects = step(&mut world, &mut sessions, number, op);
            let mut decided: Vec<_> = effects.iter().filter_map(told).collect();
            decided.sort();
            prop_assert_eq!(decided, expected, "step {} {:?}", number, op);
            same_state(&world, &model, &format!("step {number} {op:?}"))?;
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

    // What a request causes, for oneself and for others, comes before its answer; but for what others do in turn.
    #[test]
    fn answers_come_last(grants in grants(), ops in prop::collection::vec(op(), 1..80)) {
        let (mut world, mut sessions) = (world(&grants), 0);
        for (number, op) in ops.iter().enumerate() {
            let effects = step(&mut world, &mut sessions, number, op);
            let is_answer = |stanza: &Stanza| {
                matches!(stanza.head.kind, Kind::Iq(IqType::Result | IqType::Error)) && stanza.head.id.as_deref() == Some(&*number.to_string())
            };
            let (mut asked, mut changed) = (None, BTreeSet::new());
            for effect in &effects {
                if let Effect::Ask { ask: Ask::Save { account, .. }, .. } = effect {
                    changed.insert(account.clone());
                }
                let waits = changed.len() > 1;
                let (to, stanza) = match effect {
                    Effect::Deliver { session, stanza } => (Some(*session), &**stanza),
                    Effect::Remote { stanza, .. } => (None, stanza),
                    _ => continue,
                };
                if let Some((requester, account)) = &asked {
                    let from = stanza.head.from.as_ref().map(|from| from.bare_str().to_owned());
                    // A contact who is asked for presence may say that it does not show any.
                    let is_asked = matches!(op, Op::Unblock(..));
                    let is_push = from.is_none() && to == Some(*requester) && !is_asked;
                    prop_assert!(!is_push, "{:?}: {:?}", op, effects);
                    // What a contact's own roster has to take first waits for that.
                    let is_late = !waits && from.as_ref() == Some(account);
                    prop_assert!(!is_late, "{:?}: {:?}", op, effects);
                } else if let Some(session) = to.filter(|_| is_answer(stanza))
                    && matches!(op, Op::SetItem(..) | Op::RemoveItem(..) | Op::Block(..) | Op::Unblock(..) | Op::Carbons(..))
                    && let Some(jid) = world.router.jid(session)
                {
                    asked = Some((session, jid.bare_str().to_owned()));
                }
            }
        }
    }

    // RFC 6121 §4.5.2, §4.6.3: what the server says in the name of a client that has named nobody, as when it logs out, is not worth an
    // error to anybody, whenever it comes back: not to the client, nor to the next one with its address.
    #[test]
    fn nobody_hears_that_what_the_server_says_came_back(
        grants in grants(),
        ops in prop::collection::vec((op(), 0..4_u8), 1..120),
    ) {
        let (mut world, mut sessions) = (world(&grants), 0);
        let mut under_way = Vec::new();
        for (number, (op, bounces)) in ops.iter().enumerate() {
            let named = match *op {
                Op::Direct(_, _, to) | Op::Message(_, _, to) | Op::Iq(_, _, to) | Op::Probe(_, to) | Op::Subscription(_, _, to) => Some(jid(&address(to))),
                _ => None,
            };
            for effect in step(&mut world, &mut sessions, number, op) {
                if let Effect::Remote { stanza, is_told, .. } = effect {
                    let bare = |jid: &Jid| jid.bare_str().to_owned();
                    let is_named = named.is_some() && stanza.head.to.as_ref().map(bare) == named.as_ref().map(bare);
                    under_way.push((stanza, is_told, is_named));
                }
            }
            if *bounces > 0 || under_way.is_empty() {
                continue;
            }
            for (stanza, is_told, is_named) in core::mem::take(&mut under_way) {
                let mut effects = Vec::new();
                world.router.undeliverable(&stanza, ErrorCondition::RemoteServerNotFound, is_told, &mut effects);
                world.serve(&mut effects);
                let told = world.tell(&effects);
                prop_assert!(is_named || told.is_empty(), "{:?} after {:?}: {:?}", stanza, op, told);
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
