//! What a request causes comes before its answer, however late the store is, and in whatever order it answers.

use balcony_jid::{FullJid, Jid};
use balcony_roster::Subscription;
use balcony_router::extension::offline::Offline;
use balcony_router::extension::{self, Access, Context, Extension, Extensions, Registry, Reply};
use balcony_router::{Effect, SessionId};
use balcony_stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use proptest::prelude::*;

use crate::histories::{Grants, Op, grants, op, step, world_with};
use crate::model::{ACCOUNTS, MOST_STORED, REMOTE};
use crate::slow::Slow;
use crate::world::{World, available, bare, jid, request, roster_get, roster_set, subscription};

/// To whom a request is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// Nobody in particular: to the own account.
    Nobody,
    Account,
    Server,
    Contact,
}

/// Every request that the server answers; `CONTACT` stands for somebody's address, and `USER` for the own user name.
pub(crate) const REQUESTS: [(IqType, At, &str); 40] = {
    use At::*;
    use IqType::{Get, Set};
    [
        (Get, Nobody, "<query xmlns='jabber:iq:roster'/>"),
        (Set, Nobody, "<query xmlns='jabber:iq:roster'><item jid='CONTACT' name='x'/></query>"),
        (REMOVES.0, REMOVES.1, REMOVES.2),
        (Get, Contact, "<query xmlns='jabber:iq:roster'/>"),
        (Get, Nobody, "<blocklist xmlns='urn:xmpp:blocking'/>"),
        (Set, Nobody, "<blocklist xmlns='urn:xmpp:blocking'/>"),
        (Set, Nobody, "<block xmlns='urn:xmpp:blocking'><item jid='CONTACT'/></block>"),
        (Get, Nobody, "<block xmlns='urn:xmpp:blocking'/>"),
        (Set, Nobody, "<unblock xmlns='urn:xmpp:blocking'><item jid='CONTACT'/></unblock>"),
        (Set, Nobody, "<unblock xmlns='urn:xmpp:blocking'/>"),
        (Get, Nobody, "<unblock xmlns='urn:xmpp:blocking'/>"),
        (Set, Nobody, "<enable xmlns='urn:xmpp:carbons:2'/>"),
        (Set, Nobody, "<disable xmlns='urn:xmpp:carbons:2'/>"),
        (Set, Nobody, "<enable xmlns='urn:xmpp:push:0' jid='push.example.org' node='x'/>"),
        (Set, Nobody, "<disable xmlns='urn:xmpp:push:0' jid='push.example.org'/>"),
        (Set, Nobody, "<vCard xmlns='vcard-temp'><FN>x</FN></vCard>"),
        (Get, Nobody, "<vCard xmlns='vcard-temp'/>"),
        (Get, Contact, "<vCard xmlns='vcard-temp'/>"),
        (Set, Nobody, "<query xmlns='jabber:iq:private'><x xmlns='urn:example:x'/></query>"),
        (Get, Nobody, "<query xmlns='jabber:iq:private'><x xmlns='urn:example:x'/></query>"),
        (Get, Nobody, "<query xmlns='jabber:iq:register'/>"),
        (
            Set,
            Server,
            "<query xmlns='jabber:iq:register'><username>USER</username><password>p</password></query>",
        ),
        (ENDS.0, ENDS.1, ENDS.2),
        (Set, Nobody, "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"),
        (Get, Nobody, "<ping xmlns='urn:xmpp:ping'/>"),
        (Get, Server, "<ping xmlns='urn:xmpp:ping'/>"),
        (Get, Contact, "<ping xmlns='urn:xmpp:ping'/>"),
        (Get, Account, "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
        (Get, Server, "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
        (Get, Contact, "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
        (Get, Account, "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
        (Get, Server, "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
        (Get, Contact, "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
        (Get, Account, "<query xmlns='jabber:iq:last'/>"),
        (Get, Server, "<query xmlns='jabber:iq:last'/>"),
        (Get, Contact, "<query xmlns='jabber:iq:last'/>"),
        (Get, Server, "<query xmlns='jabber:iq:version'/>"),
        (Set, Nobody, "<ask xmlns='urn:example:outside'/>"),
        (Get, Contact, "<ask xmlns='urn:example:outside'/>"),
        (Get, Contact, "<nothing xmlns='urn:example:unknown'/>"),
    ]
};
/// Ends a subscription (RFC 6121 section 2.5), and an account (XEP-0077 section 3.2).
const REMOVES: (IqType, At, &str) = (
    IqType::Set,
    At::Nobody,
    "<query xmlns='jabber:iq:roster'><item jid='CONTACT' subscription='remove'/></query>",
);
const ENDS: (IqType, At, &str) =
    (IqType::Set, At::Nobody, "<query xmlns='jabber:iq:register'><remove/></query>");

pub(crate) type Request = (IqType, At, &'static str);

pub(crate) fn written((kind, at, xml): Request, own: &str, contact: &str) -> Stanza {
    let user = own.split('@').next().unwrap();
    let stanza = request(kind, &xml.replace("CONTACT", contact).replace("USER", user));
    match at {
        At::Nobody => stanza,
        At::Account => stanza.with_to(jid(own)),
        At::Server => stanza.with_to(jid(own.split_once('@').unwrap().1)),
        At::Contact => stanza.with_to(jid(contact)),
    }
}

/// It asks somebody outside before it answers.
#[derive(Debug)]
struct Outside;

impl Extension for Outside {
    const NAME: &'static str = "outside";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        let ask = |_: &Outside, context: &mut Context<'_, '_, Outside>, _: &extension::Request<'_>| {
            context.external(*b"question", |_, _, _| Reply::DONE)
        };
        registry.set("ask", "urn:example:outside", ask);
        registry.get(Access::Subscribers, "ask", "urn:example:outside", ask);
    }
}

pub(crate) fn extensions() -> Extensions {
    let room = Offline { messages: MOST_STORED, ..Offline::default() };
    Extensions::standard().with(room).with(Outside).build().unwrap()
}

/// A request of one of the sessions, by its place among them, and the contact that it is about.
fn requests() -> impl Strategy<Value = (usize, Request, usize)> {
    let request = prop_oneof![
        2 => Just(REMOVES),
        2 => Just(ENDS),
        6 => prop::sample::select(&REQUESTS[..]),
    ];
    (0..12_usize, request, 0..=ACCOUNTS.len())
}

// Whoever adds a request adds it here.
#[test]
fn every_request_is_among_these() {
    let all: Vec<_> = extensions().requests().collect();
    assert!(all.len() > 20);
    for asked in all {
        let is_it = |(kind, _, xml): &&Request| {
            *kind == asked.kind && xml.starts_with(&format!("<{} xmlns='{}'", asked.name, asked.namespace))
        };
        assert!(REQUESTS.iter().any(|request| is_it(&request)), "{asked:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

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
    let (mut world, mut sessions) = (world_with(grants, extensions()), 0);
    for (number, op) in ops.iter().enumerate() {
        step(&mut world, &mut sessions, number, op);
    }
    let of_account = |account: &&str| world.router.sessions(&bare(account)).collect::<Vec<_>>();
    let live: Vec<SessionId> = ACCOUNTS.iter().flat_map(of_account).collect();
    let Some(&requester) = live.get(place % live.len().max(1)) else { return Ok(()) };
    let own = world.router.jid(requester).unwrap().to_bare();
    // What others are asked other servers answer.
    let contact = if request.1 == At::Contact { contact % ACCOUNTS.len() } else { contact };
    let contact = ACCOUNTS.get(contact).copied().unwrap_or(REMOTE);
    // What ends a subscription to somebody whose presence one sees is with that contact before it is answered.
    let ends = [REMOVES, ENDS].contains(&request);
    let kept = world.store.kept(&own).and_then(|kept| kept.roster.as_ref());
    let items = kept.into_iter().flat_map(|parts| &parts.items);
    let seen: Vec<String> =
        items.filter(|item| item.subscription.has_to()).map(|item| item.jid.to_string()).collect();
    (world.at_once, world.parks) = (false, true);
    let (mut store, mut log) = (Slow::default(), Vec::new());
    let effects = world.send(requester, written(request, own.as_str(), contact).with_id("request"));
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
        let is_late = ends && to.is_some_and(|to| seen.iter().any(|seen| seen == to));
        prop_assert!(
            !is_late && to.is_some_and(asked),
            "{:?} of {}: {:?} among {:?}",
            request,
            own,
            effect,
            log
        );
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

/// What changes who sees whom, or who may: by presence, or by a request to the own account.
fn changes() -> impl Strategy<Value = Result<PresenceType, &'static str>> {
    use PresenceType as P;
    prop_oneof![
        3 => Just(Ok(P::Unsubscribed)),
        3 => Just(Ok(P::Subscribed)),
        1 => Just(Ok(P::Unsubscribe)),
        1 => Just(Ok(P::Subscribe)),
        3 => Just(Err(REMOVES.2)),
        2 => Just(Err("<block xmlns='urn:xmpp:blocking'><item jid='CONTACT'/></block>")),
        2 => Just(Err("<unblock xmlns='urn:xmpp:blocking'/>")),
    ]
}

/// The id of what is sent before a change.
const BEFORE: &str = "before";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    // RFC 6120 §10.1, RFC 6121 §3: what one sends to another in a row comes in this order, and so does what a change in the middle of it
    // causes: behind what was sent before, and before what was sent later. However late the store is.
    #[test]
    fn what_a_change_causes_comes_in_its_place(
        grants in grants(),
        ops in prop::collection::vec(op(), 1..60),
        place in 0..12_usize,
        change in changes(),
        (contact, goes) in (0..=ACCOUNTS.len(), any::<bool>()),
        places in prop::collection::vec(0..12_usize, 100),
    ) {
        in_its_place(&grants, &ops, place, change, (contact, goes), &places)?;
    }
}

fn in_its_place(
    grants: &Grants,
    ops: &[Op],
    place: usize,
    change: Result<PresenceType, &str>,
    (contact, goes): (usize, bool),
    places: &[usize],
) -> Result<(), TestCaseError> {
    let (mut world, mut sessions) = (world_with(grants, extensions()), 0);
    for (number, op) in ops.iter().enumerate() {
        step(&mut world, &mut sessions, number, op);
    }
    let live: Vec<SessionId> = ACCOUNTS.iter().flat_map(|account| sessions_of(&world, account)).collect();
    let Some(&sender) = live.get(place % live.len().max(1)) else { return Ok(()) };
    let own = world.router.jid(sender).unwrap().to_bare();
    let contact = ACCOUNTS.get(contact).copied().unwrap_or(REMOTE);
    if contact == own.as_str() {
        return Ok(());
    }
    let resources = sessions_of(&world, contact).into_iter().filter_map(|session| world.router.jid(session));
    let to: Vec<Jid> = resources.map(FullJid::to_jid).chain([jid(contact)]).collect();
    (world.at_once, world.parks) = (false, true);
    let (mut store, mut log) = (Slow::default(), Vec::new());
    let messages =
        |id| to.iter().map(move |to| Stanza::message(MessageType::Chat).with_to(to.clone()).with_id(id));
    let change = match change {
        Ok(kind) => subscription(kind, contact),
        Err(xml) => request(IqType::Set, &xml.replace("CONTACT", contact)),
    };
    for stanza in messages(BEFORE) {
        let effects = world.send(sender, stanza);
        note(&mut world, &mut store, effects, &mut log);
    }
    // A request to the own account is begun when what was sent before is decided; messages do not wait for one that is not.
    if matches!(change.head.kind, Kind::Iq(_)) {
        go_on(&mut world, &mut store, &[], &mut log);
    }
    let effects = world.send(sender, change);
    note(&mut world, &mut store, effects, &mut log);
    // Another client of the user goes meanwhile.
    let other = sessions_of(&world, own.as_str()).into_iter().find(|session| goes && *session != sender);
    let gone = other.and_then(|other| world.router.jid(other)).map(FullJid::to_jid);
    if let Some(other) = other {
        let effects = world.unbound(other);
        note(&mut world, &mut store, effects, &mut log);
    }
    for stanza in messages(THEN) {
        let effects = world.send(sender, stanza);
        note(&mut world, &mut store, effects, &mut log);
    }
    go_on(&mut world, &mut store, places, &mut log);
    prop_assert!(store.is_idle());
    let is_for_contact = |effect: &&Effect| match destination(effect) {
        Some(To::Session(session)) => world.router.jid(session).is_some_and(|jid| jid.bare_str() == contact),
        Some(To::Remote(name)) => name == contact,
        None => false,
    };
    // Where each of them is: before the change, caused by it, or behind it. Presence has ended when the subscription has.
    let mut latest = Vec::<(To, usize)>::new();
    for effect in log.iter().filter(is_for_contact).filter(|effect| from(effect) == Some(own.as_str())) {
        let to = destination(effect).unwrap();
        let before = latest.iter().filter(|(other, _)| *other == to).map(|(_, part)| *part).max();
        let head = &stanza(effect).unwrap().head;
        let part = match id(effect) {
            Some(BEFORE) => 0,
            Some(THEN) => 3,
            _ if head.kind == Kind::Presence(PresenceType::Unsubscribed) => 2,
            // It went behind the change.
            _ if head.from == gone => before.map_or(1, |before| before.clamp(1, 2)),
            _ => 1,
        };
        prop_assert!(before.is_none_or(|before| before <= part), "{:?}: {:?}", to, log);
        latest.push((to, part));
    }
    Ok(())
}

/// What a client may say about a contact that changes its roster, and what it may have to wait for meanwhile.
#[derive(Clone, Copy, Debug)]
enum Word {
    Says(PresenceType),
    Removes,
    /// Something else that the store is asked for.
    Writes,
}

impl Word {
    /// As a client sends it.
    fn to(self, contact: &str) -> Stanza {
        match self {
            Word::Says(kind) => subscription(kind, contact),
            Word::Removes => roster_set(&format!("<item jid='{contact}' subscription='remove'/>")),
            Word::Writes => request(IqType::Set, "<vCard xmlns='vcard-temp'><FN>x</FN></vCard>"),
        }
    }
}

fn word() -> impl Strategy<Value = Word> {
    use PresenceType::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};
    prop_oneof![
        2 => prop::sample::select(vec![Subscribe, Subscribed, Unsubscribe, Unsubscribed]).prop_map(Word::Says),
        1 => Just(Word::Removes),
        1 => Just(Word::Writes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // RFC 6120 §10.1, RFC 6121 §3: what a client says of subscriptions and asks of its roster in a row comes to what it comes to one by one,
    // however late the store is; also where the contact's server has an answer to some of it.
    #[test]
    fn what_is_said_in_a_row_comes_to_the_same(
        subscription in prop::sample::select(vec![None, Some(Subscription::To), Some(Subscription::From), Some(Subscription::Both)]),
        words in prop::collection::vec(word(), 1..6),
        asks in any::<bool>(),
        places in prop::collection::vec(0..12_usize, 100),
    ) {
        prop_assert_eq!(
            in_the_end(subscription, &words, asks, &places, true),
            in_the_end(subscription, &words, asks, &[], false)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    // RFC 6121 §3: two users of this server who change a subscription at once have rosters that agree when all requests are answered, however
    // their words cross.
    #[test]
    fn rosters_agree_when_words_cross(
        subscription in prop::sample::select(vec![None, Some(Subscription::To), Some(Subscription::From), Some(Subscription::Both)]),
        said in prop::collection::vec((any::<bool>(), word(), prop::collection::vec(0..12_usize, 0..8)), 1..8),
        approves in any::<bool>(),
        places in prop::collection::vec(0..12_usize, 100),
    ) {
        crossing(subscription, &said, approves, &places)?;
    }
}

/// Who says what, and how far what is said has come before the next. What is asked then is approved, or not.
fn crossing(
    subscription_to: Option<Subscription>,
    said: &[(bool, Word, Vec<usize>)],
    approves: bool,
    places: &[usize],
) -> Result<(), TestCaseError> {
    let [own, contact] = [ACCOUNTS[0], ACCOUNTS[1]];
    let mut world = world_with(&Grants::new(), extensions());
    befriend(&mut world, [own, contact], subscription_to);
    let mine = world.available(&format!("{own}/here"), 0);
    let theirs = world.available(&format!("{contact}/there"), 0);
    let (mut store, mut log) = (Slow::default(), Vec::new());
    (world.at_once, world.parks) = (false, true);
    for (is_mine, word, places) in said {
        let (speaker, other) = if *is_mine { (mine, contact) } else { (theirs, own) };
        let effects = world.send(speaker, word.to(other));
        note(&mut world, &mut store, effects, &mut log);
        pump(&mut world, &mut store, places.iter(), &mut log);
    }
    go_on(&mut world, &mut store, places, &mut log);
    prop_assert!(store.is_idle());
    for (session, account, other) in [(mine, own, contact), (theirs, contact, own)] {
        if world
            .store
            .kept(&bare(account))
            .and_then(|kept| kept.roster.as_ref())
            .is_some_and(|roster| !roster.requests.is_empty())
        {
            let kind = if approves { PresenceType::Subscribed } else { PresenceType::Unsubscribed };
            let effects = world.send(session, subscription(kind, other));
            note(&mut world, &mut store, effects, &mut log);
        }
    }
    go_on(&mut world, &mut store, &[], &mut log);
    let of = |account: &str, contact: &str| {
        let roster = world.store.kept(&bare(account)).and_then(|kept| kept.roster.as_ref());
        let item = roster.and_then(|roster| roster.items.iter().find(|item| item.jid == bare(contact)));
        let subscription = item.map(|item| item.subscription).unwrap_or_default();
        (subscription.has_to(), subscription.has_from())
    };
    let (one, (to, from)) = (of(own, contact), of(contact, own));
    prop_assert_eq!(one, (from, to));
    Ok(())
}

// RFC 6120 §10.1: two who change their rosters and then say something of their subscriptions do not wait for each other: the message of one for
// what the other says, which waits for a request, which waits for what becomes of the other's message.
#[test]
fn two_accounts_do_not_wait_for_each_other() {
    let [own, contact] = [ACCOUNTS[0], ACCOUNTS[1]];
    let mut world = world_with(&Grants::new(), extensions());
    befriend(&mut world, [own, contact], Some(Subscription::Both));
    let mine = world.available(&format!("{own}/here"), 0);
    let theirs = world.available(&format!("{contact}/there"), 0);
    let (mut store, mut log) = (Slow::default(), Vec::new());
    (world.at_once, world.parks) = (false, true);
    let message = |to: &str| Stanza::message(MessageType::Chat).with_to(jid(to)).with_id(THEN);
    for (from, said) in [
        (mine, roster_set(&format!("<item jid='{contact}' name='J'/>"))),
        (mine, message(contact)),
        (mine, Word::Writes.to(contact)),
        (mine, Word::Says(PresenceType::Subscribe).to(contact)),
        (theirs, message(own)),
        (theirs, Word::Writes.to(own)),
        (theirs, Word::Says(PresenceType::Subscribe).to(own)),
    ] {
        let effects = world.send(from, said);
        note(&mut world, &mut store, effects, &mut log);
    }
    go_on(&mut world, &mut store, &[], &mut log);
    assert_eq!(log.iter().filter(|effect| id(effect) == Some(THEN)).count(), 2, "both messages have come");
    for session in [mine, theirs] {
        let effects = world.send(session, roster_get());
        note(&mut world, &mut store, effects, &mut log);
        assert!(matches!(log.last(), Some(Effect::Deliver { session: to, .. }) if *to == session));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    // The same whatever the two say to each other and ask: when the store has answered all of it, all is answered, and nothing waits.
    #[test]
    fn nobody_waits_without_end(
        said in prop::collection::vec(
            (any::<bool>(), 0..6_u8, word(), prop::collection::vec(0..12_usize, 0..2)),
            7..18,
        ),
        places in prop::collection::vec(0..12_usize, 0..60),
    ) {
        let names = [ACCOUNTS[0], ACCOUNTS[1]];
        let mut world = world_with(&Grants::new(), extensions());
        befriend(&mut world, names, Some(Subscription::Both));
        let sessions = names.map(|name| world.available(&format!("{name}/here"), 0));
        let (mut store, mut log) = (Slow::default(), Vec::new());
        (world.at_once, world.parks) = (false, true);
        let (mut asked, mut messages) = ([0; 2], 0);
        for (is_first, kind, word, places) in said {
            let (who, other) = if is_first { (0, names[1]) } else { (1, names[0]) };
            let said = match kind {
                0 | 1 => Stanza::message(MessageType::Chat).with_to(jid(other)).with_id(THEN),
                2 => roster_set(&format!("<item jid='{other}' name='a friend'/>")),
                3 => Word::Writes.to(other),
                4 => Word::Says(PresenceType::Subscribe).to(other),
                _ => word.to(other),
            };
            asked[who] += usize::from(matches!(said.head.kind, Kind::Iq(_)));
            messages += usize::from(matches!(said.head.kind, Kind::Message(_)));
            let effects = world.send(sessions[who], said);
            note(&mut world, &mut store, effects, &mut log);
            pump(&mut world, &mut store, places.iter(), &mut log);
        }
        go_on(&mut world, &mut store, &places, &mut log);
        prop_assert!(store.is_idle());
        let answers = sessions.map(|own| {
            let is_answer = |effect: &&Effect| matches!(effect, Effect::Deliver { session, stanza }
                if *session == own && matches!(stanza.head.kind, Kind::Iq(IqType::Result | IqType::Error)));
            log.iter().filter(is_answer).count()
        });
        prop_assert_eq!(answers, asked);
        prop_assert_eq!(log.iter().filter(|effect| id(effect) == Some(THEN)).count(), messages);
    }
}

/// What both rosters have in the end, and what the contact is asked when it comes; `asks` if it has asked for a subscription before.
fn in_the_end(
    subscription_to: Option<Subscription>,
    words: &[Word],
    asks: bool,
    places: &[usize],
    in_a_row: bool,
) -> [Vec<String>; 3] {
    let [own, contact] = [ACCOUNTS[0], ACCOUNTS[1]];
    let mut world = world_with(&Grants::new(), extensions());
    befriend(&mut world, [own, contact], subscription_to);
    let mine = world.available(&format!("{own}/here"), 0);
    let theirs = world.available(&format!("{contact}/there"), 0);
    if asks {
        world.send(theirs, subscription(PresenceType::Subscribe, own));
    }
    let (mut store, mut log) = (Slow::default(), Vec::new());
    (world.at_once, world.parks) = (false, true);
    for word in words {
        let effects = world.send(mine, word.to(contact));
        note(&mut world, &mut store, effects, &mut log);
        if !in_a_row {
            go_on(&mut world, &mut store, &[], &mut log);
        }
    }
    go_on(&mut world, &mut store, places, &mut log);
    assert!(store.is_idle());
    (world.at_once, world.parks) = (true, false);
    let later = world.connect(&format!("{contact}/later"));
    let asked = world.says(later, available(0)).into_iter().filter(|line| line.contains("subscribe"));
    [asked.collect(), world.says(mine, roster_get()), world.says(theirs, roster_get())]
}

/// The rosters of both have this: of the first one, and what belongs to it.
fn befriend(world: &mut World, [own, contact]: [&str; 2], mine: Option<Subscription>) {
    let Some(mine) = mine else { return };
    let theirs = match mine {
        Subscription::To => Subscription::From,
        Subscription::From => Subscription::To,
        both => both,
    };
    world.befriend(own, contact, mine);
    world.befriend(contact, own, theirs);
}

/// The store does what it is asked and answers, and strangers' stanzas are taken in: in this order, and then all that is left.
fn go_on(world: &mut World, store: &mut Slow, places: &[usize], log: &mut Vec<Effect>) {
    pump(world, store, places.iter().chain([&0, &1, &2].into_iter().cycle().take(600)), log);
}

/// The same, and nothing after that.
fn pump<'a>(
    world: &mut World,
    store: &mut Slow,
    places: impl Iterator<Item = &'a usize>,
    log: &mut Vec<Effect>,
) {
    for place in places {
        let mut effects = Vec::new();
        match place % 3 {
            0 => store.take(world, place / 3, true),
            1 => drop(world.router.take_in(world.now, &mut effects)),
            _ => {
                let answered = store.answer(place / 3);
                effects
                    .extend(answered.into_iter().flat_map(|(ticket, answer)| world.answer(ticket, answer)));
            }
        }
        note(world, store, effects, log);
    }
}

fn sessions_of(world: &World, account: &str) -> Vec<SessionId> {
    world.router.sessions(&bare(account)).collect()
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
