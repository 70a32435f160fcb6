//! The client that stays: what goes in, what comes out, and what must hold of it whatever happens.
#![allow(clippy::std_instead_of_core, clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use balcony_client::{
    Agent, AgentConfig, AgentEvent, Backoff, CallId, CommandAnswer, Commands, Completion, ConnectError,
    Contacts, Context, Delivered, Disconnected, Discovery, Error, Extension, IncomingId, Iq, Message, News,
    OutboxError, Presence, PrivateStorage, PumpError, Receipts, RequestError, RequestId, Response, Roster,
    Show, StorageCall,
};
use balcony_jid::{FullJid, Jid};
use balcony_machine::{Instant, Seed, XmlLimits};
use balcony_stanza::{
    ErrorCondition, IqType, Kind, MessageType, Payload, PresenceType, Stanza, StreamCondition,
};
use balcony_xep::ping::Ping;
use balcony_xep::private::Key;
use balcony_xml::{Element, Name};
use proptest::prelude::*;

const ROMEO: &str = "romeo@example.net/orchard";

fn jid() -> FullJid {
    FullJid::parse("juliet@example.com/balcony").unwrap()
}

fn stanza(xml: &str) -> Stanza {
    Stanza::parse(xml.as_bytes()).unwrap_or_else(|| panic!("no stanza: {xml}"))
}

fn text(stanza: &Stanza) -> String {
    let mut bytes = Vec::new();
    stanza.write(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

fn config(change: impl FnOnce(&mut AgentConfig)) -> AgentConfig {
    let mut config = AgentConfig::default();
    change(&mut config);
    config
}

fn lost() -> Disconnected {
    Disconnected::Lost(PumpError::Broken("the wire is cut".into()))
}

fn agent<X: balcony_client::Extensions>(extensions: X) -> Agent<X> {
    Agent::new(AgentConfig::default(), extensions, &Seed::from_u64(7))
}

/// One that is online, and what that brought has been taken.
fn online<X: balcony_client::Extensions>(extensions: X) -> Agent<X> {
    let mut agent = agent(extensions);
    agent.online(Instant::ZERO, jid(), Default::default());
    while agent.next_stanza().is_some() {}
    assert!(matches!(agent.next_event(), Some(AgentEvent::Online(own)) if own == jid()));
    agent
}

fn sent<X: balcony_client::Extensions>(agent: &mut Agent<X>) -> Vec<String> {
    core::iter::from_fn(|| agent.next_stanza()).map(|stanza| text(&stanza)).collect()
}

// RFC 6121 §3.1.1 [SB3], §3.1.4 [SB4]: to an account, under an id that nothing else has had
#[test]
fn requests_go_to_accounts_and_have_ids() {
    let romeo = Jid::parse(ROMEO).unwrap().to_bare();
    let ways = [Presence::subscribe, Presence::approve, Presence::unsubscribe, Presence::refuse];
    let mut agent = online(());
    let ids: Vec<_> = ways.map(|way| agent.send(way(&romeo)).unwrap()).into();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    let kinds = ["subscribe", "subscribed", "unsubscribe", "unsubscribed"];
    let expected =
        kinds.iter().zip(&ids).map(|(kind, id)| format!("<presence to='{romeo}' type='{kind}' id='{id}'/>"));
    assert_eq!(sent(&mut agent), expected.collect::<Vec<_>>());
}

// RFC 6121 §4.2: presence goes out whenever a session begins, and it is what was said last.
#[test]
fn presence_is_said_again() {
    let presence = Presence::available().show(Show::Away).status("in exile").priority(5);
    let config = config(|config| config.presence = Some(presence));
    let mut agent = Agent::new(config, (), &Seed::from_u64(7));
    agent.online(Instant::ZERO, jid(), Default::default());
    let first = "<presence><show>away</show><status>in exile</status><priority>5</priority></presence>";
    assert_eq!(sent(&mut agent), [first]);
    agent.send(Presence::available().into()).unwrap();
    assert_eq!(sent(&mut agent).len(), 1);
    agent.offline(Instant::ZERO, lost(), false).unwrap();
    // What is said while nobody hears it is said later, once.
    agent.send(Presence::available().show(Show::Dnd).into()).unwrap();
    assert_eq!(agent.next_stanza(), None);
    agent.online(Instant::ZERO, jid(), Default::default());
    let again = sent(&mut agent);
    assert!(again.len() == 1 && again[0].contains("<show>dnd</show>"), "{again:?}");
    agent.send(Presence::unavailable(None)).unwrap();
    agent.offline(Instant::ZERO, lost(), false).unwrap();
    agent.online(Instant::ZERO, jid(), Default::default());
    assert_eq!(sent(&mut agent), Vec::<String>::new(), "it has said that it is gone");
}

// RFC 6120 §3.3: a server that ends each session right after its begin is not asked again and again: only a session that has lasted
// some time makes the next wait a first one.
#[test]
fn sessions_that_end_at_once_make_it_wait_longer() {
    let mut one = online(());
    let mut now = Instant::ZERO;
    for _ in 0..12 {
        now = one.offline(now, Disconnected::ByServer, false).unwrap();
        one.online(now, jid(), Default::default());
    }
    assert!(now > Instant::ZERO + Duration::from_secs(30 * 60), "{now:?}");
    let later = now + Duration::from_secs(3_600);
    let at = one.offline(later, Disconnected::ByServer, false).unwrap();
    assert!(at < later + Duration::from_secs(60));
}

// RFC 6120 §3.3: some time is half a minute, or the first wait if that is shorter.
#[test]
fn a_session_that_has_lasted_half_a_minute_begins_anew() {
    let minute = Duration::from_secs(60);
    for (first, lasting) in [(minute, 30_000), (Duration::from_secs(2), 2_000)] {
        let mut longest = [Duration::ZERO; 2];
        for seed in 0..40 {
            for (is_long, longest) in longest.iter_mut().enumerate() {
                let config = config(|config| config.backoff = Backoff::new(first, 32 * first));
                let mut one = Agent::new(config, (), &Seed::from_u64(seed));
                let mut now = Instant::ZERO;
                one.online(now, jid(), Default::default());
                for _ in 0..8 {
                    now = one.offline(now, Disconnected::ByServer, false).unwrap();
                    one.online(now, jid(), Default::default());
                }
                let over = now + Duration::from_millis(lasting - u64::from(is_long == 0));
                *longest = (one.offline(over, Disconnected::ByServer, false).unwrap() - over).max(*longest);
            }
        }
        assert!(longest[0] > 16 * first && longest[1] < first, "{longest:?}");
    }
}

// RFC 6120 §3.3: a network that is away for weeks is tried for weeks, at random within an hour each time, and then the session begins anew.
#[test]
fn it_never_gives_up() {
    let hour = Duration::from_secs(3_600);
    let mut one = online(());
    let (mut now, mut longest, mut shortest) = (Instant::ZERO, Duration::ZERO, hour);
    for number in 0..5_000 {
        let failed = Disconnected::Failed(ConnectError::Broken("x".into()));
        let next = one.offline(now, if number == 0 { lost() } else { failed }, true).unwrap();
        let wait = next - now;
        assert!(wait < hour && one.deadline() == Some(next) && !one.connects(now));
        if number > 10 {
            (longest, shortest) = (longest.max(wait), shortest.min(wait));
        }
        assert!(one.connects(next));
        while one.next_event().is_some() {}
        now = next;
    }
    assert!(longest > hour / 60 * 59 && shortest < hour / 60 && now > Instant::ZERO + 24 * 60 * hour);
    one.online(now, jid(), Default::default());
    assert!(one.offline(now + hour, lost(), false).unwrap() < now + hour + hour / 60);
}

// RFC 6120 §3.3: it waits before it tries again, and does not when that is of no use.
#[test]
fn it_connects_again_unless_that_is_of_no_use() {
    let mut one = agent(());
    assert!(one.connects(Instant::ZERO));
    // The first failure is for a person to see.
    assert_eq!(
        one.offline(Instant::ZERO, Disconnected::Failed(ConnectError::Broken("x".into())), false),
        None
    );
    assert!(one.end().is_some() && !one.connects(Instant::from_millis(1 << 40)));
    assert_eq!(one.send(Message::chat(ROMEO.parse().unwrap()).into()), Err(OutboxError::Ended));

    let patient = config(|config| config.is_patient = true);
    let mut two = Agent::new(patient, (), &Seed::from_u64(7));
    let at =
        two.offline(Instant::ZERO, Disconnected::Failed(ConnectError::Broken("x".into())), false).unwrap();
    assert!(at <= Instant::ZERO + Duration::from_secs(60));
    assert_eq!(two.deadline(), Some(at));
    assert!(at == Instant::ZERO || !two.connects(Instant::ZERO));
    assert!(two.connects(at));
    assert!(matches!(two.next_event(), Some(AgentEvent::Offline { next: Some(_), .. })));

    let mut three = online(());
    assert!(three.offline(Instant::ZERO, Disconnected::ByServer, false).is_some());
    assert!(matches!(three.next_event(), Some(AgentEvent::Offline { next: Some(_), .. })));
    three.online(Instant::ZERO, jid(), Default::default());
    three.next_event();
    // Another client has the resource now: it would take it back, and so on.
    let conflict = balcony_stream::Error::Remote(StreamCondition::Conflict.into());
    let conflict = Disconnected::Lost(PumpError::Ended(Error::Stream(conflict)));
    assert_eq!(conflict.to_string(), "another client has logged in with this resource");
    assert_eq!(three.offline(Instant::ZERO, conflict, true), None);
    assert!(matches!(three.next_event(), Some(AgentEvent::Offline { next: None, .. })));

    let once = config(|config| config.reconnects = false);
    let mut four = Agent::new(once, (), &Seed::from_u64(7));
    four.online(Instant::ZERO, jid(), Default::default());
    assert_eq!(four.offline(Instant::ZERO, lost(), false), None);
}

// RFC 6120 §8.2.3: every request is answered once: by its addressee, by time, or by the end of the session.
#[test]
fn requests_have_one_outcome() {
    let mut agent = online(());
    let ask = |agent: &mut Agent<()>| {
        let call =
            agent.request(Instant::ZERO, Iq::get(Ping.to_element()).to(ROMEO.parse().unwrap())).unwrap();
        (call, agent.next_stanza().unwrap().head.id.unwrap())
    };
    let (first, id) = ask(&mut agent);
    // Somebody else's answer is none.
    agent.stanza(Instant::ZERO, stanza(&format!("<iq type='result' id='{id}' from='tybalt@example.com'/>")));
    assert!(agent.next_completed().is_none() && matches!(agent.next_event(), Some(AgentEvent::Stanza(_))));
    agent.stanza(Instant::ZERO, stanza(&format!("<iq type='result' id='{id}' from='{ROMEO}'/>")));
    assert!(matches!(
        agent.next_completed(),
        Some((call, Completion::Response(Ok(response)))) if call == first && response.element().is_none()
    ));

    let (second, id) = ask(&mut agent);
    let refused = "<error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    agent.stanza(
        Instant::ZERO,
        stanza(&format!(
            "<iq type='error' id='{id}' from='{ROMEO}'><ping xmlns='urn:xmpp:ping'/>{refused}</iq>"
        )),
    );
    assert!(matches!(
        agent.next_completed(),
        Some((call, Completion::Response(Err(RequestError::Refused(error)))))
            if call == second && error.condition == ErrorCondition::Forbidden
    ));

    let (third, _) = ask(&mut agent);
    let late = Instant::ZERO + Duration::from_secs(30);
    assert_eq!(agent.deadline(), Some(late));
    agent.tick(late);
    assert!(matches!(
        agent.next_completed(),
        Some((call, Completion::Response(Err(RequestError::TimedOut)))) if call == third
    ));

    let (fourth, _) = ask(&mut agent);
    agent.offline(late, lost(), false);
    assert!(matches!(
        agent.next_completed(),
        Some((call, Completion::Response(Err(RequestError::Offline)))) if call == fourth
    ));
    assert_eq!(agent.request(late, Iq::get(Ping.to_element())), Err(RequestError::Offline));
    assert!(agent.next_completed().is_none());
}

#[test]
fn what_waits_goes_to_the_next_session_if_it_makes_sense_there() {
    let mut agent = online(());
    agent.request(Instant::ZERO, Iq::get(Ping.to_element())).unwrap();
    agent.send(Message::chat(ROMEO.parse().unwrap()).body("1").into()).unwrap();
    agent
        .send(Stanza::presence(PresenceType::Subscribe).with_to("romeo@example.net".parse().unwrap()))
        .unwrap();
    agent.send(Stanza::presence(PresenceType::Available).with_to(ROMEO.parse().unwrap())).unwrap();
    agent.next_stanza().unwrap();
    let broken = agent.next_stanza().unwrap();
    agent.unsent(broken);
    agent.offline(Instant::ZERO, lost(), false);
    agent.send(Message::chat(ROMEO.parse().unwrap()).body("2").into()).unwrap();
    assert_eq!(agent.next_stanza(), None);
    agent.online(Instant::ZERO, jid(), Default::default());
    let kinds: Vec<Kind> =
        core::iter::from_fn(|| agent.next_stanza()).map(|stanza| stanza.head.kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Presence(PresenceType::Available),
            Kind::Message(MessageType::Chat),
            Kind::Presence(PresenceType::Subscribe),
            Kind::Message(MessageType::Chat)
        ]
    );
}

#[test]
fn stanzas_get_an_id_unless_they_have_one() {
    let mut agent = online(());
    let message = || Message::chat(ROMEO.parse().unwrap()).body("x");
    let first = agent.send(message().into()).unwrap();
    let second = agent.send(message().into()).unwrap();
    assert_eq!(&*agent.send(message().id("mine").into()).unwrap(), "mine");
    // An iq without one would never be answered.
    let iq = agent.send(Stanza::iq(IqType::Get).with_child(Ping.to_element())).unwrap();
    let ids: BTreeSet<_> = [&first, &second, &iq].into_iter().collect();
    assert_eq!(ids.len(), 3);
    let sent: Vec<_> =
        core::iter::from_fn(|| agent.next_stanza()).map(|stanza| stanza.head.id.unwrap()).collect();
    assert_eq!(sent, [first, second, "mine".into(), iq]);
}

// RFC 6120 §8.2.3
#[test]
fn requests_of_others_are_answered_once_and_not_too_many_wait() {
    let mut agent = online(());
    let ask = |agent: &mut Agent<()>, id: usize| {
        agent.stanza(
            Instant::ZERO,
            stanza(&format!("<iq type='get' id='{id}' from='{ROMEO}'><x xmlns='urn:x'/></iq>")),
        );
    };
    ask(&mut agent, 1);
    let Some(AgentEvent::Request((id, request))) = agent.next_event() else { panic!("no request") };
    assert!(request.element().is("x", "urn:x") && request.from().unwrap().as_str() == ROMEO);
    assert!(agent.reply(id, Payload::EMPTY) && !agent.reply(id, Payload::EMPTY));
    assert!(!agent.refuse(id, &ErrorCondition::Forbidden.into()));
    assert_eq!(sent(&mut agent), [format!("<iq to='{ROMEO}' type='result' id='1'/>")]);
    ask(&mut agent, 2);
    let Some(AgentEvent::Request((id, _))) = agent.next_event() else { panic!("no request") };
    assert!(agent.refuse(id, &ErrorCondition::Forbidden.into()));
    assert!(sent(&mut agent)[0].contains("<forbidden "));

    for id in 0..65 {
        ask(&mut agent, id);
    }
    let refused = sent(&mut agent);
    assert!(refused.len() == 1 && refused[0].contains("<resource-constraint "), "{refused:?}");
    let Some(AgentEvent::Request((id, _))) = agent.next_event() else { panic!("no request") };
    agent.offline(Instant::ZERO, lost(), false);
    assert!(!agent.reply(id, Payload::EMPTY), "nobody waits for it any more");
}

// RFC 6120 §8.3.1: what comes back is told apart from what somebody says, or a bot answers its own words.
#[test]
fn errors_are_no_messages() {
    let mut agent = online(());
    let error =
        "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    agent.stanza(
        Instant::ZERO,
        stanza(&format!("<message type='error' id='7' from='{ROMEO}'><body>x</body>{error}</message>")),
    );
    let Some(AgentEvent::Undelivered(undelivered)) = agent.next_event() else { panic!("a message") };
    assert_eq!(undelivered.error.condition, ErrorCondition::ServiceUnavailable);
    assert_eq!((undelivered.id().as_deref(), undelivered.address().unwrap().as_str()), (Some("7"), ROMEO));
}

// RFC 6121 §2.1.6: the machine below has answered a push.
#[test]
fn pushes_are_told_and_not_asked() {
    let push = "<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='nurse@example.com' \
                subscription='both'/></query></iq>";
    let mut plain = online(());
    plain.stanza(Instant::ZERO, stanza(push));
    assert!(matches!(plain.next_event(), Some(AgentEvent::Stanza(_))));

    let mut agent = agent((Roster::new(),));
    agent.online(Instant::ZERO, jid(), Default::default());
    let first = sent(&mut agent);
    assert!(
        first.len() == 2 && first[0].contains("jabber:iq:roster") && first[1] == "<presence/>",
        "{first:?}"
    );
    agent.next_event();
    agent.stanza(Instant::ZERO, stanza(push));
    let Some(AgentEvent::Note(note)) = agent.next_event() else { panic!("no note") };
    assert!(matches!(note.get(), Some(News::Roster(_))));
    assert!(agent.next_event().is_none());
    // Presence is read along.
    agent.stanza(Instant::ZERO, stanza("<presence from='nurse@example.com/x'/>"));
    assert!(matches!(agent.next_event(), Some(AgentEvent::Note(_))));
    assert!(matches!(agent.next_event(), Some(AgentEvent::Presence(_))));
    let nurse: Jid = "nurse@example.com/x".parse().unwrap();
    assert!(agent.ext::<Roster>().unwrap().contacts().unwrap().presence_of(&nurse).is_some());
    agent.offline(Instant::ZERO, lost(), false);
    assert!(agent.ext::<Roster>().unwrap().contacts().unwrap().presence_of(&nurse).is_none());
}

#[test]
fn the_roster_is_loaded_whenever_a_session_begins() {
    let mut agent = agent((Roster::new(),));
    for _ in 0..2 {
        agent.online(Instant::ZERO, jid(), Default::default());
        let id = agent.next_stanza().unwrap().head.id.unwrap();
        assert!(!agent.ext::<Roster>().unwrap().is_loaded());
        let item = "<item jid='nurse@example.com' subscription='both'/>";
        let xml = format!("<iq type='result' id='{id}'><query xmlns='jabber:iq:roster'>{item}</query></iq>");
        agent.stanza(Instant::ZERO, stanza(&xml));
        let roster = agent.ext::<Roster>().unwrap();
        assert!(roster.is_loaded() && roster.contacts().unwrap().items().len() == 1);
        agent.offline(Instant::ZERO, lost(), false);
    }
}

// RFC 6121 §2.2: whoever is slow to give the roster, as a server may be to which all come back at once, gives it all the same.
#[test]
fn a_roster_that_takes_minutes_is_loaded() {
    let mut agent = agent((Roster::new(),));
    agent.online(Instant::ZERO, jid(), Default::default());
    let id = agent.next_stanza().unwrap().head.id.unwrap();
    let later = Instant::ZERO + Duration::from_secs(120);
    agent.tick(later);
    let xml = format!("<iq type='result' id='{id}'><query xmlns='jabber:iq:roster'/></iq>");
    agent.stanza(later, stanza(&xml));
    assert!(agent.ext::<Roster>().unwrap().is_loaded());
    // And one that gives none is not waited for for ever.
    agent.online(later, jid(), Default::default());
    let deadline = agent.deadline().unwrap();
    agent.tick(deadline);
    assert!(agent.deadline().is_none() && !agent.ext::<Roster>().unwrap().is_loaded());
}

/// Answers the request for the roster, with these items.
fn answer_roster<X: balcony_client::Extensions>(agent: &mut Agent<X>, get: &str, items: &str) {
    let id = stanza(get).head.id.unwrap();
    let xml = format!("<iq type='result' id='{id}'><query xmlns='jabber:iq:roster'>{items}</query></iq>");
    agent.stanza(Instant::ZERO, stanza(&xml));
}

/// Asks for the list of commands; what is answered.
fn listed<X: balcony_client::Extensions>(agent: &mut Agent<X>, from: &str) -> String {
    let query =
        "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>";
    agent.stanza(Instant::ZERO, stanza(&format!("<iq type='get' id='1' from='{from}'>{query}</iq>")));
    sent(agent).pop().unwrap()
}

fn greeting() -> Commands {
    let commands = Commands::new().allow(|asker| asker.is_in("Family"));
    commands.command("greet", "Greet", |_| CommandAnswer::done("hello")).command_for(
        |asker| asker.is("nurse@example.com"),
        "dance",
        "Dance",
        |_| CommandAnswer::done("done"),
    )
}

// RFC 6121 §2.1.2.6, XEP-0050 §3.3 [AH13]: what the roster said in an earlier session lets nobody in, and shows nobody that this is there
#[test]
fn nobody_is_in_a_group_before_the_roster_has_come() {
    const FAMILY: &str = "<item jid='romeo@example.net' subscription='both'><group>Family</group></item>";
    let may = |agent: &mut Agent<(Commands, Discovery, Roster)>| {
        let commands = listed(agent, ROMEO).contains("node='greet'");
        let ping = format!("<iq type='get' id='1' from='{ROMEO}'><ping xmlns='urn:xmpp:ping'/></iq>");
        agent.stanza(Instant::ZERO, stanza(&ping));
        (commands, sent(agent)[0].contains("type='result'"))
    };
    let item = balcony_roster::Item::read(
        Element::parse(
            FAMILY.replace("<item", "<item xmlns='jabber:iq:roster'").as_bytes(),
            XmlLimits::STANZA,
        )
        .unwrap()
        .root(),
    );
    let kept = Contacts::cached(jid().to_bare(), "v1", item);
    let mut agent = agent((greeting(), Discovery::new("Echo", "1.0"), Roster::with(kept)));
    for (items, then) in [(FAMILY, (true, true)), ("", (false, false)), (FAMILY, (true, true))] {
        agent.online(Instant::ZERO, jid(), Default::default());
        let asked = sent(&mut agent);
        assert_eq!(may(&mut agent), (false, false), "of an earlier session");
        answer_roster(&mut agent, &asked[0], items);
        assert_eq!(may(&mut agent), then);
        // It is the same session on another connection.
        agent.offline(Instant::ZERO, lost(), true).unwrap();
        assert!(agent.resumed(Instant::ZERO));
        assert_eq!(may(&mut agent), then);
        agent.offline(Instant::ZERO, lost(), false);
    }
    // A server that does not give it.
    agent.online(Instant::ZERO, jid(), Default::default());
    let id = stanza(&sent(&mut agent)[0]).head.id.unwrap();
    let refused =
        "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    agent.stanza(Instant::ZERO, stanza(&format!("<iq type='error' id='{id}'>{refused}</iq>")));
    assert_eq!(may(&mut agent), (false, false));
}

// RFC 6121 §2.6.3 [RV9, RV10]: the server says that what the client has is right, and sends what is not. Until that is here nobody is let in by
// what was kept.
#[test]
fn nobody_is_in_a_group_before_the_changes_of_a_roster_have_come() {
    const ITEM: &str = "<item jid='romeo@example.net' subscription='both'><group>Family</group></item>";
    let mut kept = Contacts::new(jid().to_bare());
    let query = format!("<query xmlns='jabber:iq:roster' ver='7'>{ITEM}</query>");
    kept.load(&stanza(&format!("<iq type='result' id='1'>{query}</iq>")));
    let refused =
        "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    for answer in
        ["<iq type='result' id='ID'/>".to_owned(), format!("<iq type='error' id='ID'>{refused}</iq>")]
    {
        for is_removed in [true, false] {
            let mut agent = agent((greeting(), Discovery::new("Echo", "1.0"), Roster::with(kept.clone())));
            let mut features = balcony_stream::client::ServerFeatures::default();
            features.roster_versions = true;
            agent.online(Instant::ZERO, jid(), features);
            let asked = sent(&mut agent).remove(0);
            assert!(asked.contains("ver='7'"), "{asked}");
            let id = |request: &str| stanza(request).head.id.unwrap().to_string();
            agent.stanza(Instant::ZERO, stanza(&format!("<iq type='result' id='{}'/>", id(&asked))));
            let asked = sent(&mut agent).remove(0);
            assert!(asked.contains("urn:xmpp:ping") && !asked.contains(" to="), "{asked}");
            let may = |agent: &mut Agent<_>| listed(agent, ROMEO).contains("node='greet'");
            assert!(!may(&mut agent) && !agent.ext::<Roster>().unwrap().is_loaded());
            if is_removed {
                let item = "<item jid='romeo@example.net' subscription='remove'/>";
                let query = format!("<query xmlns='jabber:iq:roster' ver='8'>{item}</query>");
                agent.stanza(Instant::ZERO, stanza(&format!("<iq type='set' id='2'>{query}</iq>")));
                assert!(!may(&mut agent));
            }
            agent.stanza(Instant::ZERO, stanza(&answer.replace("ID", &id(&asked))));
            assert!(agent.ext::<Roster>().unwrap().is_loaded());
            assert_eq!(may(&mut agent), !is_removed);
        }
    }
}

// XEP-0030 §3.1, XEP-0092 §2, XEP-0199 §4: and nothing of it without the extension.
#[test]
fn discovery_says_what_all_extensions_can_do() {
    let disco = format!(
        "<iq type='get' id='1' from='{ROMEO}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    );
    let mut none = online(());
    none.stanza(Instant::ZERO, stanza(&disco));
    assert!(matches!(none.next_event(), Some(AgentEvent::Request(..))));

    let discovery = Discovery::new("Echo", "1.0").identity("client", "phone").feature("urn:x");
    let mut agent = online((discovery, Receipts::for_everyone()));
    agent.stanza(Instant::ZERO, stanza(&disco));
    let answer = sent(&mut agent).remove(0);
    for part in
        ["category='client' type='phone' name='Echo'", "'urn:xmpp:receipts'", "'urn:x'", "'urn:xmpp:ping'"]
    {
        assert!(answer.contains(part), "{answer}");
    }
    assert!(agent.next_event().is_none());
    let mut quiet = online((Discovery::new("Echo", "1.0"), Receipts::for_nobody()));
    quiet.stanza(Instant::ZERO, stanza(&disco));
    let answer = sent(&mut quiet).remove(0);
    assert!(answer.contains("type='bot'") && !answer.contains("receipts"), "{answer}");
}

// XEP-0184 §5
#[test]
fn receipts() {
    let mut agent = online((Receipts::for_everyone(),));
    let request = "<request xmlns='urn:xmpp:receipts'/>";
    agent.stanza(
        Instant::ZERO,
        stanza(&format!("<message type='chat' id='9' from='{ROMEO}'><body>x</body>{request}</message>")),
    );
    assert_eq!(
        sent(&mut agent),
        [format!("<message to='{ROMEO}' type='chat'><received xmlns='urn:xmpp:receipts' id='9'/></message>")]
    );
    assert!(matches!(agent.next_event(), Some(AgentEvent::Message(_))));
    agent.stanza(
        Instant::ZERO,
        stanza(&format!("<message from='{ROMEO}'><received xmlns='urn:xmpp:receipts' id='8'/></message>")),
    );
    let Some(AgentEvent::Note(note)) = agent.next_event() else { panic!("no note") };
    assert_eq!(note.get(), Some(&Delivered { id: "8".into(), by: ROMEO.parse().unwrap() }));
    // What is said beside a receipt is for the owner.
    let received = "<received xmlns='urn:xmpp:receipts' id='7'/><body>and another thing</body>";
    agent.stanza(Instant::ZERO, stanza(&format!("<message type='chat' from='{ROMEO}'>{received}</message>")));
    assert!(matches!(agent.next_event(), Some(AgentEvent::Note(_))));
    assert!(matches!(agent.next_event(), Some(AgentEvent::Message(_))));
    // Neither for a room, nor without an id, nor for an error.
    for head in ["type='groupchat' id='1'", "type='chat'", "type='error' id='1'"] {
        agent.stanza(Instant::ZERO, stanza(&format!("<message {head} from='{ROMEO}'>{request}</message>")));
        assert_eq!(sent(&mut agent), Vec::<String>::new(), "{head}");
    }
}

// XEP-0049 §2
#[test]
fn calls_to_an_extension_end_once() {
    let key = || Key::new(Name::from_static("notes"), "urn:notes").unwrap();
    let mut agent = online((PrivateStorage::new(),));
    let call = agent.call::<PrivateStorage>(Instant::ZERO, StorageCall::Get(key())).unwrap().unwrap();
    let id = agent.next_stanza().unwrap().head.id.unwrap();
    let query = "<query xmlns='jabber:iq:private'><notes xmlns='urn:notes'>x</notes></query>";
    agent.stanza(Instant::ZERO, stanza(&format!("<iq type='result' id='{id}'>{query}</iq>")));
    let Some((done, Completion::Call(outcome))) = agent.next_completed() else { panic!("no outcome") };
    let outcome = outcome.downcast::<Result<Option<balcony_xep::private::Document>, RequestError>>().unwrap();
    assert_eq!((done, outcome.unwrap().unwrap().element().unwrap().root().text()), (call, "x".into()));

    let call = agent.call::<PrivateStorage>(Instant::ZERO, StorageCall::Get(key())).unwrap().unwrap();
    agent.offline(Instant::ZERO, lost(), false);
    let Some((done, Completion::Call(outcome))) = agent.next_completed() else { panic!("no outcome") };
    let outcome = outcome.downcast::<Result<Option<balcony_xep::private::Document>, RequestError>>().unwrap();
    assert_eq!((done, *outcome), (call, Err(RequestError::Offline)));
    assert!(agent.next_completed().is_none());
    assert_eq!(
        agent.call::<PrivateStorage>(Instant::ZERO, StorageCall::Get(key())),
        Some(Err(RequestError::Offline))
    );
    assert!(online(()).call::<PrivateStorage>(Instant::ZERO, StorageCall::Get(key())).is_none());
}

// XEP-0357 0.4.1 §5 [PN2], §6 [PN5]
#[test]
fn push_is_enabled_and_disabled() {
    use balcony_client::Push;
    use balcony_xep::push::{Disable, Enable, Request};
    let jid: balcony_jid::Jid = "push.example.org".parse().unwrap();
    let enable = Request::Enable(Enable { jid: jid.clone(), node: Some("x".into()), options: None });
    let disable = Request::Disable(Disable { jid, node: None });
    let mut agent = online((Push::new(),));
    for (request, answer) in [(enable, Ok(())), (disable, Err(()))] {
        let call = agent.call::<Push>(Instant::ZERO, request.clone()).unwrap().unwrap();
        let sent = agent.next_stanza().unwrap();
        let content = sent.payload.parse().unwrap();
        assert_eq!(Request::read(content.root().children().next().unwrap()), Ok(request));
        let id = sent.head.id.unwrap();
        let error =
            "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        agent.stanza(
            Instant::ZERO,
            stanza(&match answer {
                Ok(()) => format!("<iq type='result' id='{id}'/>"),
                Err(()) => format!("<iq type='error' id='{id}'>{error}</iq>"),
            }),
        );
        let Some((done, Completion::Call(outcome))) = agent.next_completed() else { panic!("no outcome") };
        let outcome = outcome.downcast::<Result<(), RequestError>>().unwrap();
        assert_eq!((done, outcome.map_err(drop)), (call, answer));
    }
}

/// Makes a request of its own for each message, and one more when it fails.
#[derive(Default)]
struct Asker {
    open: BTreeMap<RequestId, u32>,
}

impl Extension for Asker {
    fn features(&self) -> Vec<Cow<'static, str>> {
        vec!["urn:asker".into()]
    }

    fn take(&mut self, context: &mut Context<'_>, stanza: &Stanza) -> bool {
        if matches!(stanza.head.kind, Kind::Message(_))
            && let Ok(request) = context.request(Iq::get(Ping.to_element()))
        {
            *self.open.entry(request).or_default() += 1;
        }
        false
    }

    fn answered(
        &mut self,
        context: &mut Context<'_>,
        request: RequestId,
        outcome: Result<Response, RequestError>,
    ) {
        assert_eq!(self.open.remove(&request), Some(1), "answered once");
        if outcome.is_err()
            && self.open.len() < 3
            && let Ok(request) = context.request(Iq::get(Ping.to_element()))
        {
            *self.open.entry(request).or_default() += 1;
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Online,
    Offline(bool, bool),
    Resumed,
    Message,
    Request(u8),
    Ask,
    Call,
    Answer(usize),
    Reply(usize),
    Wait(u16),
    Take(usize),
    Unsent,
    Events(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::Online),
        1 => any::<(bool, bool)>().prop_map(|(closed, resumable)| Step::Offline(closed, resumable)),
        2 => Just(Step::Resumed),
        3 => Just(Step::Message),
        2 => any::<u8>().prop_map(Step::Request),
        2 => Just(Step::Ask),
        2 => Just(Step::Call),
        3 => any::<usize>().prop_map(Step::Answer),
        2 => any::<usize>().prop_map(Step::Reply),
        2 => any::<u16>().prop_map(Step::Wait),
        3 => (0_usize..8).prop_map(Step::Take),
        1 => Just(Step::Unsent),
        2 => (0_usize..8).prop_map(Step::Events),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    /// Whatever happens in whatever order: every request and call has one outcome, every message that is accepted is sent once, in
    /// order, every request of others gets one answer at most, and nothing is due after a tick.
    #[test]
    fn nothing_is_lost_or_told_twice(steps in steps()) {
        let config = config(|config| config.is_patient = true);
        let mut agent =
            Agent::new(config, (Asker::default(), PrivateStorage::new()), &Seed::from_u64(7));
        let mut now = Instant::ZERO;
        let mut calls: BTreeMap<CallId, u32> = BTreeMap::new();
        let (mut accepted, mut written, mut last) = (0_u32, Vec::new(), None::<Stanza>);
        let mut open: Vec<Stanza> = Vec::new();
        let mut asked: Vec<IncomingId> = Vec::new();
        let (mut theirs, mut answers) = (0_u32, BTreeMap::<String, u32>::new());
        let (mut is_online, mut is_suspended) = (false, false);
        for step in steps {
            match step {
                Step::Online => {
                    if !is_online && agent.connects(now + Duration::from_secs(3600)) {
                        agent.online(now, jid(), Default::default());
                        (is_online, is_suspended) = (true, false);
                        open.clear();
                    }
                }
                Step::Offline(closed, resumable) => {
                    if is_online {
                        agent.offline(now, if closed { Disconnected::ByServer } else { lost() }, resumable);
                        (is_online, is_suspended, last) = (false, resumable && !closed, None);
                        if !is_suspended {
                            open.clear();
                        }
                    }
                }
                Step::Resumed => {
                    if is_suspended && agent.connects(now + Duration::from_secs(3600)) {
                        prop_assert!(agent.resumed(now));
                        (is_online, is_suspended) = (true, false);
                    }
                }
                Step::Message => {
                    if agent.has_room() {
                        let message = Message::chat(ROMEO.parse().unwrap()).id(accepted.to_string());
                        prop_assert!(agent.send(message.into()).is_ok());
                        accepted += 1;
                    }
                    if is_online && !agent.is_full() {
                        agent.stanza(now, stanza(&format!("<message from='{ROMEO}'/>")));
                    }
                }
                Step::Request(seconds) => {
                    let iq = Iq::get(Ping.to_element()).timeout(Duration::from_secs(seconds.into()));
                    let call = agent.request(now, iq);
                    prop_assert_eq!(call.is_ok(), is_online);
                    calls.extend(call.map(|call| (call, 0)));
                }
                Step::Call => {
                    let key = Key::new(Name::from_static("notes"), "urn:notes").unwrap();
                    let call = agent.call::<PrivateStorage>(now, StorageCall::Get(key)).unwrap();
                    prop_assert_eq!(call.is_ok(), is_online);
                    calls.extend(call.map(|call| (call, 0)));
                }
                Step::Ask => {
                    if is_online || is_suspended {
                        let xml = format!("<iq type='set' id='{theirs}' from='{ROMEO}'><x xmlns='urn:x'/></iq>");
                        agent.stanza(now, stanza(&xml));
                        theirs += 1;
                    }
                }
                Step::Answer(which) => {
                    if !open.is_empty() && is_online {
                        let request = open.remove(which % open.len());
                        agent.stanza(now, Stanza { head: balcony_stanza::Head {
                            kind: Kind::Iq(IqType::Result), ..request.head }, payload: Payload::EMPTY });
                    }
                }
                Step::Reply(which) => {
                    if !asked.is_empty() {
                        agent.reply(asked.remove(which % asked.len()), Payload::EMPTY);
                    }
                }
                Step::Wait(millis) => now = now + Duration::from_millis(millis.into()),
                Step::Take(count) => {
                    for _ in 0..count {
                        let Some(stanza) = agent.next_stanza() else { break };
                        prop_assert!(is_online);
                        let id = stanza.head.id.as_deref().unwrap_or_default().to_owned();
                        match stanza.head.kind {
                            Kind::Message(_) => written.push(id.parse::<u32>().unwrap()),
                            Kind::Iq(IqType::Get) => open.push(stanza.clone()),
                            Kind::Iq(_) => *answers.entry(id).or_default() += 1,
                            Kind::Presence(_) => {}
                        }
                        last = Some(stanza);
                    }
                }
                Step::Unsent => {
                    if let Some(stanza) = last.take()
                        && matches!(stanza.head.kind, Kind::Message(_)) && is_online
                    {
                        written.pop();
                        agent.unsent(stanza);
                    }
                }
                Step::Events(count) => {
                    for _ in 0..count {
                        if let Some(AgentEvent::Request((id, _))) = agent.next_event() {
                            asked.push(id);
                        }
                    }
                }
            }
            agent.tick(now);
            if is_online {
                prop_assert!(agent.deadline().is_none_or(|at| at > now));
            }
            while let Some((call, _)) = agent.next_completed() {
                *calls.get_mut(&call).unwrap() += 1;
            }
            prop_assert!(calls.values().all(|count| *count <= 1));
        }
        // The end of the session is the end of all of them.
        if !is_online && agent.connects(now + Duration::from_secs(3600)) {
            // Whatever waits in an old session goes to this one, if it makes sense there.
            agent.online(now, jid(), Default::default());
        }
        while let Some(stanza) = agent.next_stanza() {
            if matches!(stanza.head.kind, Kind::Message(_)) {
                written.push(stanza.head.id.unwrap().parse().unwrap());
            }
        }
        agent.offline(now, lost(), false);
        while let Some((call, _)) = agent.next_completed() {
            *calls.get_mut(&call).unwrap() += 1;
        }
        prop_assert!(calls.values().all(|count| *count == 1));
        prop_assert_eq!(written, (0..accepted).collect::<Vec<_>>());
        prop_assert!(answers.values().all(|count| *count == 1));
        prop_assert!(agent.ext::<Asker>().unwrap().open.len() <= 3);
    }
}

// XEP-0198 §5: what a session has goes on with it, on another connection.
#[test]
fn a_session_goes_on() {
    let mut agent = online((Roster::new(),));
    let call = agent.request(Instant::ZERO, Iq::get(Ping.to_element()).to(ROMEO.parse().unwrap())).unwrap();
    let id = agent.next_stanza().unwrap().head.id.unwrap();
    agent.stanza(
        Instant::ZERO,
        stanza(&format!("<iq type='get' id='q' from='{ROMEO}'><x xmlns='urn:x'/></iq>")),
    );
    let Some(AgentEvent::Request((theirs, _))) = agent.next_event() else { panic!("no request") };
    agent.offline(Instant::ZERO, lost(), true).unwrap();
    assert!(agent.jid().is_none() && agent.next_completed().is_none());
    assert!(matches!(agent.next_event(), Some(AgentEvent::Offline { .. })));
    // What is said meanwhile goes out when it goes on; presence too, since nobody says it anew.
    agent.send(Presence::available().show(Show::Away).into()).unwrap();
    assert!(agent.reply(theirs, Payload::EMPTY));
    assert_eq!(agent.next_stanza(), None);
    assert!(agent.resumed(Instant::ZERO));
    assert!(matches!(agent.next_event(), Some(AgentEvent::Resumed)) && agent.jid() == Some(&jid()));
    let kinds: Vec<Kind> =
        core::iter::from_fn(|| agent.next_stanza()).map(|stanza| stanza.head.kind).collect();
    assert_eq!(kinds, [Kind::Presence(PresenceType::Available), Kind::Iq(IqType::Result)]);
    agent.stanza(Instant::ZERO, stanza(&format!("<iq type='result' id='{id}' from='{ROMEO}'/>")));
    assert!(matches!(
        agent.next_completed(),
        Some((done, Completion::Response(Ok(_)))) if done == call
    ));

    // If it does not go on, it is the end of all that.
    let call = agent.request(Instant::ZERO, Iq::get(Ping.to_element())).unwrap();
    agent.offline(Instant::ZERO, lost(), true).unwrap();
    assert!(agent.next_completed().is_none());
    agent.online(Instant::ZERO, jid(), Default::default());
    assert!(matches!(
        agent.next_completed(),
        Some((done, Completion::Response(Err(RequestError::Offline)))) if done == call
    ));
    // Waiting for it has an end in any case.
    let call = agent.request(Instant::ZERO, Iq::get(Ping.to_element())).unwrap();
    agent.offline(Instant::ZERO, lost(), true).unwrap();
    agent.tick(Instant::ZERO + Duration::from_secs(30));
    assert!(matches!(
        agent.next_completed(),
        Some((done, Completion::Response(Err(RequestError::TimedOut)))) if done == call
    ));
    // A server that is about to be down may keep the session.
    let call = agent.request(Instant::ZERO, Iq::get(Ping.to_element()));
    assert_eq!(call, Err(RequestError::Offline));
    agent.online(Instant::ZERO, jid(), Default::default());
    let ended = |condition: StreamCondition| {
        let error = balcony_stream::Error::Remote(condition.into());
        Disconnected::Lost(PumpError::Ended(Error::Stream(error)))
    };
    agent.offline(Instant::ZERO, ended(StreamCondition::SystemShutdown), true).unwrap();
    assert!(agent.resumed(Instant::ZERO) && agent.jid().is_some());
    // One that has ended the stream for another reason has ended the session, whatever it says later.
    let call = agent.request(Instant::ZERO, Iq::get(Ping.to_element())).unwrap();
    agent.offline(Instant::ZERO, ended(StreamCondition::Reset), true).unwrap();
    assert!(matches!(
        agent.next_completed(),
        Some((done, Completion::Response(Err(RequestError::Offline)))) if done == call
    ));
    assert!(!agent.resumed(Instant::ZERO) && agent.jid().is_none());
}

// RFC 6120 §3.3, §4.9.3.20: a server that shuts down ends all streams in one moment. Its clients do not come back in one.
#[test]
fn after_a_shutdown_clients_come_back_one_by_one() {
    let second = Duration::from_secs(1);
    let mut seconds = [0; 20];
    for seed in 0..2_000 {
        let mut agent = Agent::new(AgentConfig::default(), (), &Seed::from_u64(seed));
        agent.online(Instant::ZERO, jid(), Default::default());
        let now = Instant::ZERO + 100 * second;
        let error = balcony_stream::Error::Remote(StreamCondition::SystemShutdown.into());
        let why = Disconnected::Lost(PumpError::Ended(Error::Stream(error)));
        let wait = agent.offline(now, why, true).unwrap() - now;
        seconds[wait.as_secs() as usize] += 1;
        // It is not up yet: then as ever.
        let at = now + wait;
        let failed = Disconnected::Failed(ConnectError::Broken("x".into()));
        assert!(agent.offline(at, failed, true).unwrap() < at + 60 * second);
    }
    assert!(seconds.iter().all(|clients| (50..200).contains(clients)), "{seconds:?}");
}

// RFC 6120 §3.3, XEP-0198 §5: whoever goes on with a session comes back almost at once, and soon again while that fails: a session does not
// wait for long.
#[test]
fn the_first_attempt_to_go_on_is_made_at_once() {
    let second = Duration::from_secs(1);
    let (mut longest, mut next_longest) = (Duration::ZERO, Duration::ZERO);
    for seed in 0..200 {
        let mut agent = Agent::new(AgentConfig::default(), (), &Seed::from_u64(seed));
        agent.online(Instant::ZERO, jid(), Default::default());
        let now = Instant::ZERO + 100 * second;
        let at = agent.offline(now, lost(), true).unwrap();
        assert!(at < now + 2 * second);
        longest = longest.max(at - now);
        // The next waits a little longer, be it that there was no connection, or that it was lost soon.
        let failed = Disconnected::Failed(ConnectError::Broken("x".into()));
        let next = if seed % 2 == 0 {
            agent.offline(at, failed, true).unwrap()
        } else {
            assert!(agent.connects(at) && agent.resumed(at));
            agent.offline(at + second, lost(), true).unwrap()
        };
        assert!(next < at + 5 * second);
        next_longest = next_longest.max(next - at);
        // When a session has lasted, it is.
        assert!(agent.connects(next) && agent.resumed(next));
        let at = next + 30 * second;
        assert!(agent.offline(at, lost(), true).unwrap() < at + 2 * second);
    }
    assert!(longest > second && next_longest > 3 * second, "at random");

    // None of ten minutes without a network is long.
    for seed in 0..50 {
        let mut agent = Agent::new(AgentConfig::default(), (), &Seed::from_u64(seed));
        agent.online(Instant::ZERO, jid(), Default::default());
        let mut at = agent.offline(Instant::ZERO, lost(), true).unwrap();
        while at < Instant::ZERO + 240 * second {
            assert!(agent.connects(at));
            let failed = Disconnected::Failed(ConnectError::Broken("x".into()));
            let next = agent.offline(at, failed, true).unwrap();
            assert!(next < at + 32 * second);
            at = next;
        }
    }

    // A session that can't go on, or that the server has ended, begins as RFC 6120 wants it.
    let ended = balcony_stream::Error::Remote(StreamCondition::ResourceConstraint.into());
    let ended = Disconnected::Lost(PumpError::Ended(Error::Stream(ended)));
    for (why, resumable) in [(lost(), false), (ended, true), (Disconnected::ByServer, true)] {
        let waits: Vec<Duration> = (0..50)
            .map(|seed| {
                let mut agent = Agent::new(AgentConfig::default(), (), &Seed::from_u64(seed));
                agent.online(Instant::ZERO, jid(), Default::default());
                agent.offline(Instant::ZERO, why.clone(), resumable).unwrap() - Instant::ZERO
            })
            .collect();
        assert!(waits.iter().any(|wait| *wait > 30 * second) && waits.iter().all(|wait| *wait < 60 * second));
    }
}

// A device that wakes up does not wait for what was drawn before it slept, nor if its connection turns out to be dead.
#[test]
fn a_device_that_wakes_up_connects_at_once() {
    let second = Duration::from_secs(1);
    let mut agent = online(());
    let at = agent.offline(Instant::ZERO, Disconnected::ByServer, false).unwrap();
    assert!(at > Instant::ZERO + second && !agent.connects(Instant::ZERO));
    agent.wake(Instant::ZERO + second);
    assert!(agent.connects(Instant::ZERO + second));
    agent.online(Instant::ZERO + second, jid(), Default::default());
    // As long as the connection lives nothing comes of it; if it ends soon after, that is no failure.
    let now = Instant::ZERO + 100 * second;
    agent.wake(now);
    assert_eq!(agent.jid(), Some(&jid()));
    let now = now + second;
    assert_eq!(agent.offline(now, lost(), false), Some(now));
    assert!(agent.connects(now));
    agent.online(now, jid(), Default::default());
    agent.wake(now);
    let later = now + 20 * second;
    assert!(agent.offline(later, lost(), false).unwrap() > later, "that has nothing to do with it");
    // The end is the end.
    let mut agent = online(());
    agent.offline(Instant::ZERO, Disconnected::ByOwner, false);
    agent.wake(Instant::ZERO);
    assert!(!agent.connects(Instant::ZERO));
}

// RFC 6121 §4: who was there in an old session says nothing of the new one. What people have said is not lost.
#[test]
fn what_came_in_an_old_session_is_not_told_of_the_new_one() {
    let late = [
        format!("<presence from='{ROMEO}'/>"),
        format!("<message from='{ROMEO}' id='m'><body>x</body></message>"),
        format!("<iq type='get' id='i' from='{ROMEO}'><x xmlns='urn:x'/></iq>"),
        format!("<presence type='subscribe' from='{ROMEO}'/>"),
        format!(
            "<message from='{ROMEO}'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
        ),
        format!(
            "<message type='error' from='{ROMEO}' id='e'><error type='cancel'><gone \
             xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        ),
    ];
    let roster =
        "<query xmlns='jabber:iq:roster'><item jid='romeo@example.net' subscription='both'/></query>";
    let mut agent = online((Roster::new(),));
    agent.stanza(Instant::ZERO, stanza(&format!("<iq type='set' id='1'>{roster}</iq>")));
    agent.offline(Instant::ZERO, Disconnected::ByServer, false);
    while agent.next_event().is_some() {}
    for xml in &late {
        agent.stanza(Instant::ZERO, stanza(xml));
    }
    agent.online(Instant::ZERO, jid(), Default::default());
    let mut told = Vec::new();
    while let Some(event) = agent.next_event() {
        told.push(match event {
            AgentEvent::Message(message) => message.id().unwrap_or_default().to_owned(),
            AgentEvent::Undelivered(undelivered) => undelivered.id().unwrap(),
            AgentEvent::Presence(presence) => format!("{:?}", presence.kind()),
            AgentEvent::Online(_) => "online".to_owned(),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(told, ["m", "Subscribe", "e", "online"]);
    let romeo: Jid = ROMEO.parse().unwrap();
    assert!(agent.ext::<Roster>().unwrap().contacts().unwrap().presence_of(&romeo).is_none());
    assert!(sent(&mut agent).iter().all(|xml| !xml.contains("id='i'")), "nobody waits for an answer");
}

// The same rule as for what was sent and is not acknowledged.
#[test]
fn what_waits_to_be_sent_outlives_a_session_as_what_was_sent_does() {
    let mut agent = online(());
    let all = [
        format!("<message to='{ROMEO}' id='m'><body>x</body></message>"),
        format!(
            "<message to='{ROMEO}' id='t'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
        ),
        format!("<message type='error' to='{ROMEO}' id='e'/>"),
        format!("<presence type='subscribed' to='{ROMEO}' id='s'/>"),
        format!("<presence to='{ROMEO}' id='p'/>"),
        format!("<iq type='get' to='{ROMEO}' id='i'><x xmlns='urn:x'/></iq>"),
    ];
    for xml in &all {
        agent.send(stanza(xml)).unwrap();
        let outlives = balcony_client::outlives_session(&stanza(xml));
        assert_eq!(outlives, xml.contains("id='m'") || xml.contains("id='s'"), "{xml}");
    }
    agent.offline(Instant::ZERO, Disconnected::ByServer, false);
    let ids: Vec<_> =
        agent.take_unsent().into_iter().map(|stanza| stanza.head.id.unwrap().to_string()).collect();
    assert_eq!(ids, ["m", "s"]);
    assert!(agent.take_unsent().is_empty());
}

// XEP-0050 §3.3 [AH13], §4.4; XEP-0030: as of other answers: who may neither see the client nor command it learns nothing, whatever is asked
#[test]
fn strangers_learn_nothing_from_commands() {
    let disco = |what: &str, node: &str| {
        format!("<query xmlns='http://jabber.org/protocol/disco#{what}' node='{node}'/>")
    };
    let step = |attrs: &str| format!("<command xmlns='http://jabber.org/protocol/commands' {attrs}/>");
    let requests = [
        ("get", disco("info", "http://jabber.org/protocol/commands")),
        ("get", disco("items", "http://jabber.org/protocol/commands")),
        ("get", disco("info", "greet")),
        ("get", disco("items", "none")),
        ("set", step("node='greet'")),
        ("set", step("node='dance'")),
        ("set", step("node='none'")),
        ("set", step("node='greet' action='jump'")),
        ("set", step("node='greet' sessionid='x' action='cancel'")),
        ("set", step("node='greet' xml:lang='fr'")),
        ("set", step("")),
    ];
    let mut agent = agent((Discovery::new("Echo", "1.0"), greeting().languages(["en"]), Roster::new()));
    agent.online(Instant::ZERO, jid(), Default::default());
    let get = sent(&mut agent).remove(0);
    let family = "<group>Family</group>";
    let items = [("a", "from", ""), ("b", "to", family), ("c", "both", family), ("d", "to", "")];
    let items = items.map(|(contact, subscription, group)| {
        format!("<item jid='{contact}@example.net' subscription='{subscription}'>{group}</item>")
    });
    answer_roster(&mut agent, &get, &items.concat());
    let mut answers = |from: &str| -> Vec<String> {
        let answer = |(kind, xml): &(&str, String)| {
            agent
                .stanza(Instant::ZERO, stanza(&format!("<iq type='{kind}' id='1' from='{from}'>{xml}</iq>")));
            let answer = sent(&mut agent);
            assert_eq!(answer.len(), 1, "{from} {xml}: {answer:?}");
            answer[0].clone()
        };
        requests.iter().map(answer).collect()
    };
    for stranger in [ROMEO, "d@example.net/x", "example.net"] {
        let none =
            "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        for answer in answers(stranger) {
            assert!(answer.contains("type='error'") && answer.contains(none), "{stranger}: {answer}");
        }
    }
    // Who may see it and command nothing: which commands there are is not told.
    let seen = answers("a@example.net/x");
    assert!(seen[0].contains("command-list") && seen[1].contains("type='result'"), "{seen:?}");
    for forbidden in [2, 3, 4, 5, 6] {
        assert!(seen[forbidden].contains("<forbidden "), "{}", seen[forbidden]);
    }
    // Who may command some: what is for others looks as what is not there.
    for family in ["b@example.net/x", "c@example.net/x"] {
        let seen = answers(family);
        assert!(seen[1].contains("node='greet'") && !seen[1].contains("node='dance'"));
        assert!(
            seen[4].contains("hello") && seen[5] == seen[6] && seen[5].contains("<forbidden "),
            "{seen:?}"
        );
    }
}

// XEP-0030: an answer shows that somebody is there, which those may know who see the presence.
#[test]
fn strangers_learn_nothing_from_discovery() {
    let ask = |from: &str| {
        let from = if from.is_empty() { String::new() } else { format!("from='{from}'") };
        stanza(&format!(
            "<iq type='get' id='1' {from}><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        ))
    };
    let asks = |agent: &mut Agent<(Discovery, Roster)>, from: &str| {
        agent.stanza(Instant::ZERO, ask(from));
        let answer = sent(agent);
        assert_eq!(answer.len(), 1, "{from}: {answer:?}");
        // As a server answers for somebody who is not there.
        assert!(
            answer[0].contains("type='result'") || answer[0].contains("<service-unavailable "),
            "{answer:?}"
        );
        answer[0].contains("type='result'")
    };
    let mut agent = agent((Discovery::new("Echo", "1.0"), Roster::new()));
    agent.online(Instant::ZERO, jid(), Default::default());
    let get = sent(&mut agent).remove(0);
    assert!(!asks(&mut agent, ROMEO), "the roster has not come yet");
    let items = [("a", "both"), ("b", "from"), ("c", "to"), ("d", "none")].map(|(contact, subscription)| {
        format!("<item jid='{contact}@example.net' subscription='{subscription}'/>")
    });
    answer_roster(&mut agent, &get, &items.concat());
    let seen = [
        "a@example.net/x",
        "b@example.net",
        "",
        "juliet@example.com",
        "juliet@example.com/other",
        "example.com",
    ];
    for from in seen {
        assert!(asks(&mut agent, from), "{from}");
    }
    for from in ["c@example.net/x", "d@example.net/x", ROMEO, "example.net", "room@rooms.example.net/romeo"] {
        assert!(!asks(&mut agent, from), "{from}");
    }
    // Whoever was sent presence sees it, until that is taken back, or the session is over.
    let presence = |kind| Stanza::presence(kind).with_to("room@rooms.example.net/juliet".parse().unwrap());
    agent.send(presence(PresenceType::Available)).unwrap();
    sent(&mut agent);
    assert!(asks(&mut agent, "room@rooms.example.net/romeo"));
    agent.send(presence(PresenceType::Unavailable)).unwrap();
    sent(&mut agent);
    assert!(!asks(&mut agent, "room@rooms.example.net/romeo"));
    agent.send(presence(PresenceType::Available)).unwrap();
    agent.offline(Instant::ZERO, Disconnected::ByServer, false);
    agent.online(Instant::ZERO, jid(), Default::default());
    sent(&mut agent);
    assert!(!asks(&mut agent, "room@rooms.example.net/romeo"));

    let mut open = online((Discovery::new("Echo", "1.0").for_everyone(), Roster::new()));
    assert!(asks(&mut open, ROMEO));
    // A bot without a roster is there for everybody.
    let mut bot = online((Discovery::new("Echo", "1.0"),));
    bot.stanza(Instant::ZERO, ask(ROMEO));
    assert!(sent(&mut bot)[0].contains("type='result'"));
}
