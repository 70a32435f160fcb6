//! What a request causes comes before its answer, however late the store is, and in whatever order it answers.

use balcony_jid::{FullJid, Jid};
use balcony_router::{Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

use crate::histories::{Grants, Op, grants, op, step, world};
use crate::model::{ACCOUNTS, REMOTE};
use crate::slow::Slow;
use crate::world::{World, bare, jid, request, roster_get, roster_set, subscription};

#[derive(Clone, Copy, Debug)]
enum Request {
    Roster,
    SetItem,
    RemoveItem,
    Block,
    Unblock,
    Carbons,
    Card,
    Private,
}

impl Request {
    fn stanza(self, contact: &str) -> Stanza {
        let set = |child: &str| request(IqType::Set, child);
        match self {
            Request::Roster => roster_get(),
            Request::SetItem => roster_set(&format!("<item jid='{contact}' name='x'/>")),
            Request::RemoveItem => roster_set(&format!("<item jid='{contact}' subscription='remove'/>")),
            Request::Block => {
                set(&format!("<block xmlns='urn:xmpp:blocking'><item jid='{contact}'/></block>"))
            }
            Request::Unblock => {
                set(&format!("<unblock xmlns='urn:xmpp:blocking'><item jid='{contact}'/></unblock>"))
            }
            Request::Carbons => set("<enable xmlns='urn:xmpp:carbons:2'/>"),
            Request::Card => set("<vCard xmlns='vcard-temp'><FN>x</FN></vCard>"),
            Request::Private => set("<query xmlns='jabber:iq:private'><x xmlns='urn:example:x'/></query>"),
        }
    }
}

/// A request of one of the sessions, by its place among them, and the contact that it is about.
fn requests() -> impl Strategy<Value = (usize, Request, usize)> {
    let request = prop_oneof![
        4 => Just(Request::RemoveItem),
        2 => Just(Request::SetItem),
        2 => Just(Request::Block),
        2 => Just(Request::Unblock),
        1 => Just(Request::Roster),
        1 => Just(Request::Carbons),
        1 => Just(Request::Card),
        1 => Just(Request::Private),
    ];
    (0..12_usize, request, 0..=ACCOUNTS.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    // RFC 6121 §2.1.6, §2.5.2, §3.3.2, XEP-0191 §3: whoever acts on an answer finds it done. Nothing that the request causes comes to its
    // sender behind the answer, and nothing of it reaches others behind what the sender says to them then.
    #[test]
    fn nothing_of_a_request_comes_behind_its_answer(
        grants in grants(),
        ops in prop::collection::vec(op(), 1..60),
        requested in requests(),
        subscribes in any::<bool>(),
        places in prop::collection::vec(0..12_usize, 100),
    ) {
        behind_the_answer(&grants, &ops, requested, subscribes, &places)?;
    }
}

fn behind_the_answer(
    grants: &Grants,
    ops: &[Op],
    (place, request, contact): (usize, Request, usize),
    subscribes: bool,
    places: &[usize],
) -> Result<(), TestCaseError> {
    let (mut world, mut sessions) = (world(grants), 0);
    for (number, op) in ops.iter().enumerate() {
        step(&mut world, &mut sessions, number, op);
    }
    let of_account = |account: &&str| world.router.sessions(&bare(account)).collect::<Vec<_>>();
    let live: Vec<SessionId> = ACCOUNTS.iter().flat_map(of_account).collect();
    let Some(&requester) = live.get(place % live.len().max(1)) else { return Ok(()) };
    let own = world.router.jid(requester).unwrap().to_bare();
    let contact = ACCOUNTS.get(contact).copied().unwrap_or(REMOTE);
    (world.at_once, world.parks) = (false, true);
    let (mut store, mut log) = (Slow::default(), Vec::new());
    let effects = world.send(requester, request.stanza(contact).with_id("request"));
    note(&mut world, &mut store, effects, &mut log);
    let to_requester = Some(To::Session(requester));
    let is_answer = |effect: &Effect| destination(effect) == to_requester && id(effect) == Some("request");
    let mut acts = None;
    for place in places.iter().chain([&0, &1, &2].into_iter().cycle().take(600)) {
        if acts.is_none() && log.iter().any(is_answer) {
            acts = Some(log.len());
            act(&mut world, &mut store, requester, &live, subscribes.then_some(contact), &mut log);
        }
        let mut effects = Vec::new();
        match place % 3 {
            0 => store.take(&mut world, place / 3, true),
            1 => drop(world.router.take_in(world.now, &mut effects)),
            _ => {
                let answered = store.answer(place / 3);
                effects
                    .extend(answered.into_iter().flat_map(|(ticket, answer)| world.answer(ticket, answer)));
            }
        }
        note(&mut world, &mut store, effects, &mut log);
    }
    prop_assert!(store.is_idle());
    let (Some(answered), Some(acts)) = (log.iter().position(is_answer), acts) else {
        panic!("{request:?} was not answered: {log:?}")
    };
    // What the server says in the account's name, but for what comes of what the sender does then, such as copies.
    let causes =
        |effect: &&Effect| id(effect) != Some(THEN) && from(effect).is_none_or(|from| from == own.as_str());
    // A subscription that is asked for then has a push of its own.
    let until = if subscribes { acts } else { log.len() };
    let late =
        log[answered + 1..until].iter().filter(causes).find(|effect| destination(effect) == to_requester);
    prop_assert!(late.is_none(), "{:?} of {}: {:?} among {:?}", request, own, late, log);
    // What others are told has been said before, and may only wait for their own rosters.
    let asked = |account: &str| {
        log[..answered]
            .iter()
            .any(|effect| matches!(effect, Effect::Ask { ask, .. } if ask.account().as_str() == account))
    };
    for effect in log[answered + 1..].iter().filter(|effect| is_told(effect, own.as_str())) {
        let to = stanza(effect).and_then(|stanza| stanza.head.to.as_ref()).map(Jid::bare_str);
        prop_assert!(to.is_some_and(asked), "{:?} of {}: {:?} among {:?}", request, own, effect, log);
    }
    let mut told = Vec::new();
    for effect in &log[acts..] {
        let Some(to) = destination(effect).filter(|to| Some(to) != to_requester.as_ref()) else { continue };
        if id(effect) == Some(THEN) {
            told.push(to);
        } else if is_told(effect, own.as_str()) {
            prop_assert!(!told.contains(&to), "{:?} of {}: {:?} among {:?}", request, own, effect, log);
        }
    }
    Ok(())
}

/// The id of what the sender says when it has the answer.
const THEN: &str = "then";

/// The sender has its answer, and says something to everybody at once.
fn act(
    world: &mut World,
    store: &mut Slow,
    sender: SessionId,
    live: &[SessionId],
    subscribes_to: Option<&str>,
    log: &mut Vec<Effect>,
) {
    let others = live.iter().filter(|session| **session != sender);
    let all =
        others.filter_map(|session| world.router.jid(*session)).map(FullJid::to_jid).chain([jid(REMOTE)]);
    let mut said: Vec<_> = all.map(|to| Stanza::message(MessageType::Chat).with_to(to)).collect();
    said.extend(subscribes_to.map(|contact| subscription(PresenceType::Subscribe, contact)));
    for stanza in said {
        let effects = world.send(sender, stanza.with_id(THEN));
        note(world, store, effects, log);
    }
}

/// Has the store asked what is to be asked, and everybody read; and writes down the rest.
fn note(world: &mut World, store: &mut Slow, mut effects: Vec<Effect>, log: &mut Vec<Effect>) {
    let mut next = 0;
    while next < effects.len() {
        match effects[next].clone() {
            Effect::Ask { ticket, ask } => store.ask(ticket, ask),
            Effect::Deliver { session, .. } => {
                world.router.drained(world.now, session, u64::MAX, &mut effects)
            }
            _ => {}
        }
        next += 1;
    }
    log.extend(effects);
}

/// Where something goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum To {
    Session(SessionId),
    Remote(String),
}

fn stanza(effect: &Effect) -> Option<&Stanza> {
    match effect {
        Effect::Deliver { stanza, .. } => Some(stanza),
        Effect::Remote { stanza, .. } => Some(stanza),
        _ => None,
    }
}

fn destination(effect: &Effect) -> Option<To> {
    match effect {
        Effect::Deliver { session, .. } => Some(To::Session(*session)),
        Effect::Remote { stanza, .. } => Some(To::Remote(stanza.head.to.as_ref()?.bare_str().to_owned())),
        _ => None,
    }
}

fn id(effect: &Effect) -> Option<&str> {
    stanza(effect)?.head.id.as_deref()
}

/// The bare JID that it is from.
fn from(effect: &Effect) -> Option<&str> {
    stanza(effect)?.head.from.as_ref().map(Jid::bare_str)
}

/// Whether others are told something in the account's name, but for copies of messages.
fn is_told(effect: &Effect, account: &str) -> bool {
    let is_message = |stanza: &Stanza| matches!(stanza.head.kind, Kind::Message(_));
    from(effect) == Some(account) && id(effect) != Some(THEN) && !stanza(effect).is_some_and(is_message)
}
