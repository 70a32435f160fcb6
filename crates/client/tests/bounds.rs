//! What a client keeps is bounded in bytes, whatever its server, its peers and its owner do.
#![cfg(feature = "tls")]
#![allow(clippy::std_instead_of_core, clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use balcony_client::{
    Agent, AgentConfig, AgentEvent, ClientConfig, ClientMachine, Completion, Contacts, Context, Device,
    DeviceStep, Disconnected, Extension, Iq, MachineEvent, Message, OutboxError, Pump, PumpError, PumpStep,
    RequestError, RequestKind,
};
use balcony_jid::{FullJid, Jid};
use balcony_machine::{Instant, Secret, Seed};
use balcony_stanza::{ErrorCondition, IqType, MessageType, Payload, Stanza};
use balcony_stream::client::Management;
use balcony_stream::{Security, TlsPolicy};
use balcony_xep::ping::Ping;

const NOW: Instant = Instant::ZERO;
const SECOND: Duration = Duration::from_secs(1);
const MIB: usize = 1 << 20;
const BEFORE: &str = "<stream:stream from='example.com' id='s1' version='1.0' xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
     <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>\
     <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\
     <stream:stream from='example.com' id='s2' version='1.0' xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
     <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>\
     <iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
     <jid>juliet@example.com/balcony</jid></bind></iq>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true'/>";
const ROMEO: &str = "romeo@example.net/orchard";

/// A client whose TLS is somebody else's, before it has said anything.
fn new_pump(management: Management) -> Pump {
    let mut config = ClientConfig::new("juliet@example.com".parse().unwrap(), Secret::new("pencil".into()));
    config.stream.tls = TlsPolicy::Direct;
    config.stream.management = management;
    let mut client = ClientMachine::new(config, &Seed::from_u64(1), NOW);
    client.secured(Security::default()).unwrap();
    Pump::new(client)
}

/// One that is online and has been told of nothing else.
fn online(management: Management) -> Pump {
    let mut pump = new_pump(management);
    pump.received(BEFORE.as_bytes());
    if management != Management::Off {
        pump.received(ENABLED.as_bytes());
    }
    while let PumpStep::Event(_) = pump.step(NOW).unwrap() {}
    pump.wrote(usize::MAX);
    pump
}

fn output(pump: &mut Pump) -> String {
    let text = String::from_utf8(pump.output().to_vec()).unwrap();
    pump.wrote(usize::MAX);
    text
}

/// Hands it as many of these as it takes without an owner, and returns how many bytes that were.
fn flood(pump: &mut Pump, stanza: &str) -> usize {
    let (mut count, mut rest) = (0, stanza.as_bytes());
    loop {
        let room = pump.room();
        if room == 0 {
            return count;
        }
        let (now, later) = rest.split_at(room.min(rest.len()));
        pump.received(now);
        pump.absorb(NOW).unwrap();
        count += now.len();
        assert!(count < 100 * MIB, "without a bound");
        rest = if later.is_empty() { stanza.as_bytes() } else { later };
    }
}

// Contents, and all that stands in a head.
#[test]
fn what_a_pump_keeps_is_bounded_in_bytes() {
    let long = "x".repeat(60_000);
    for stanza in [
        format!("<message from='{ROMEO}'><body>{long}</body></message>"),
        format!("<message from='{ROMEO}' id='{}'/>", &long[..15_000]),
        format!("<message from='{ROMEO}' xml:lang='{}'/>", &long[..15_000]),
    ] {
        let mut pump = online(Management::Count);
        let count = flood(&mut pump, &stanza);
        assert!((MIB / 2..2 * MIB).contains(&count), "{count}");
        // Nothing of it is lost.
        let mut told = 0;
        while let PumpStep::Event(MachineEvent::Stanza(_)) = pump.step(NOW).unwrap() {
            told += 1;
        }
        assert_eq!(told, count / stanza.len());
    }
}

// A transport that takes nothing: what is sent has a bound, also where nothing is counted.
#[test]
fn what_waits_to_be_written_is_bounded() {
    let mut pump = online(Management::Off);
    let message = Stanza::message(MessageType::Chat)
        .with_payload(balcony_stanza::Content::body("x".repeat(10_000)).to_payload());
    let mut sent = 0;
    let error = loop {
        match pump.send(NOW, &message) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(pump.output().len() < 2 * MIB, "without a bound");
    };
    assert_eq!(error, PumpError::Full);
    assert!(sent > 100);
    let ping = Payload::from(Ping.to_element());
    let request = pump.request(NOW, RequestKind::Get, None, ping, SECOND);
    assert_eq!(request, Err(PumpError::Full));
    let mark = pump.mark();
    pump.wrote(1_000);
    assert!(!pump.has_written(mark));
    pump.wrote(usize::MAX);
    assert!(pump.has_written(mark));
    assert_eq!(pump.send(NOW, &message), Ok(()));
    assert!(!pump.has_written(pump.mark()));
}

#[test]
fn requests_that_wait_are_bounded() {
    let mut pump = online(Management::Off);
    let mut ask = || {
        let ping = Payload::from(Ping.to_element());
        let asked = pump.request(NOW, RequestKind::Get, None, ping, SECOND);
        pump.wrote(usize::MAX);
        asked
    };
    for _ in 0..1_024 {
        ask().unwrap();
    }
    assert_eq!(ask(), Err(PumpError::Full));
    pump.absorb(NOW + SECOND).unwrap();
    let ping = Payload::from(Ping.to_element());
    assert!(pump.request(NOW + SECOND, RequestKind::Get, None, ping, SECOND).is_ok());
}

// XEP-0198 §4, XEP-0199: an owner who takes nothing keeps the connection all the same, as long as what is sent leaves. Its server hears how
// much was taken, though what it asks is not read.
#[test]
fn a_server_hears_of_a_client_whose_owner_takes_nothing() {
    let message = format!("<message from='{ROMEO}'/>");
    for (management, word) in [
        (Management::Count, "<a xmlns='urn:xmpp:sm:3' h='1024'/>"),
        (Management::Off, "<ping xmlns='urn:xmpp:ping'/>"),
    ] {
        let mut pump = online(management);
        flood(&mut pump, &message);
        let (mut now, mut words, mut looks) = (NOW, 0, 0);
        while now < NOW + 3_600 * SECOND {
            let next = pump.deadline().unwrap();
            assert!(next > now, "no busy waiting");
            now = next;
            pump.absorb(now).unwrap();
            words += usize::from(output(&mut pump).contains(word));
            looks += 1;
        }
        // Twice as often as a server may ask in vain, and no more.
        assert!((200..=241).contains(&words) && looks <= 2 * words, "{words} {looks}");
        // A device that wakes up is not given up because nobody reads what the server says to that.
        pump.wake(now);
        assert!(output(&mut pump).contains(word));
        now = now + 30 * SECOND;
        pump.absorb(now).unwrap();
        // When all has been read, everything is as ever.
        while let PumpStep::Event(_) = pump.step(now).unwrap() {}
        output(&mut pump);
        assert!(pump.deadline().unwrap() >= now + 60 * SECOND);

        // What does not leave is no word.
        let mut pump = online(management);
        flood(&mut pump, &message);
        let error = loop {
            now = pump.deadline().unwrap();
            if let Err(error) = pump.absorb(now) {
                break error;
            }
            assert!(now < NOW + 3_600 * SECOND, "it waits for ever");
        };
        assert!(matches!(error, PumpError::Ended(_)), "{error:?}");
    }
}

// Passwords are in what is sent first, and what people say in all the rest.
#[test]
fn debug_shows_nothing_that_was_sent_or_has_come() {
    let mut pump = new_pump(Management::Resume { max: None });
    pump.received(BEFORE.replace("<success", "<x:y xmlns:x='urn:secret'/><success").as_bytes());
    let mut shown = String::new();
    // PLAIN is in the output.
    while let Ok(PumpStep::Event(_)) = pump.step(NOW) {
        shown += &format!("{pump:?}");
    }
    assert!(pump.output().windows(8).any(|bytes| bytes == b"PLAIN'>A"), "it has sent a password");
    shown += &format!("{pump:?}");
    let mut pump = online(Management::Resume { max: None });
    let said = Stanza::message(MessageType::Chat)
        .with_payload(balcony_stanza::Content::body("urn:secret").to_payload());
    pump.send(NOW, &said).unwrap();
    pump.received(b"<message id='urn:secret'><body>urn:secret</body></message>");
    pump.absorb(NOW).unwrap();
    pump.received(b"<message><body>urn:secret");
    shown += &format!("{pump:?} {:?}", pump.client());
    shown += &format!("{:?}", pump.into_session());
    for secret in ["urn:secret", "117, 114, 110, 58", "pencil", "112, 101, 110, 99", "anVsaWV0"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

/// Sends so many stanzas, and asks so much, whenever it is shown a message.
struct Eager {
    sends: usize,
    asks: usize,
    refused: usize,
}

impl Extension for Eager {
    fn take(&mut self, context: &mut Context<'_>, stanza: &Stanza) -> bool {
        for _ in 0..self.sends {
            let answer = Stanza::message(MessageType::Chat).with_to(stanza.head.from.clone().unwrap());
            self.refused += usize::from(context.send(answer) == Err(OutboxError::Full));
        }
        for _ in 0..self.asks {
            let asked = context.request(Iq::get(Ping.to_element()));
            self.refused += usize::from(asked == Err(RequestError::Full));
        }
        context.note(());
        true
    }
}

fn agent(extension: Eager) -> Agent<(Eager,)> {
    let mut config = AgentConfig::default();
    config.is_patient = true;
    let mut agent = Agent::new(config, (extension,), &Seed::from_u64(7));
    agent.online(NOW, FullJid::parse("juliet@example.com/balcony").unwrap(), Default::default());
    agent
}

fn romeo() -> Jid {
    ROMEO.parse().unwrap()
}

fn message(id: &str) -> Stanza {
    Stanza::message(MessageType::Chat).with_from(romeo()).with_id(id)
}

// Whoever sends hears that there is no room; and so that it does not come to that, nothing more is read before.
#[test]
fn the_outbox_of_an_agent_is_bounded_for_everybody() {
    let mut one = agent(Eager { sends: 1, asks: 0, refused: 0 });
    let mut shown = 0;
    while !one.is_full() {
        one.stanza(NOW, message("1"));
        while one.next_event().is_some() {}
        shown += 1;
        assert!(shown < 10_000, "without a bound");
    }
    assert_eq!(one.ext::<Eager>().unwrap().refused, 0, "whoever answers what comes has room");
    // Its owner had none for long.
    assert!(!one.has_room());
    assert_eq!(one.send(message("1")), Err(OutboxError::Full));
    assert_eq!(one.request(NOW, Iq::get(Ping.to_element())), Err(RequestError::Full));

    let mut many = agent(Eager { sends: 10_000, asks: 1, refused: 0 });
    many.stanza(NOW, message("1"));
    assert_eq!(core::iter::from_fn(|| many.next_stanza()).count(), 2_048);
    assert!(many.ext::<Eager>().unwrap().refused > 7_000);
    // In bytes, too, and with all that a stanza holds.
    let mut large = agent(Eager { sends: 0, asks: 0, refused: 0 });
    let id = "x".repeat(100_000);
    let sent = (0..1_000).take_while(|_| large.send(message(&id)).is_ok()).count();
    assert_eq!(sent, 11);

    let mut asks = agent(Eager { sends: 0, asks: 1_500, refused: 0 });
    asks.stanza(NOW, message("1"));
    assert_eq!(asks.ext::<Eager>().unwrap().refused, 1_500 - 1_024);
    while asks.next_stanza().is_some() {}
    assert_eq!(asks.request(NOW, Iq::get(Ping.to_element())), Err(RequestError::Full));
}

// What an agent tells, and what it has to tell of requests.
#[test]
fn what_an_agent_has_to_tell_is_bounded_in_bytes() {
    let long = "x".repeat(100_000);
    let nodes = "<x/>".repeat(4_000);
    let asks = "<iq type='get' id='1' from='romeo@example.net/orchard'>";
    let parsed = |xml: String| Stanza::parse(xml.as_bytes()).unwrap();
    let parsed = [
        format!("<message from='{ROMEO}'><body>{long}</body></message>"),
        // Far more in memory than on the wire.
        format!("<message from='{ROMEO}'><y xmlns='urn:y'>{nodes}</y></message>"),
        format!("<presence from='{ROMEO}'><status>{long}</status></presence>"),
        format!(
            "<message type='error' from='{ROMEO}'><error type='cancel'>{nodes}<gone \
                 xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>{long}</gone></error></message>"
        ),
        format!("{asks}<y xmlns='urn:y'>{nodes}</y></iq>"),
        format!("{asks}<y xmlns='urn:y'>{long}</y></iq>"),
    ]
    .map(parsed);
    for stanza in parsed.into_iter().chain([message(&long), Stanza::iq(IqType::Result).with_id(&long)]) {
        let mut agent = Agent::new(AgentConfig::default(), (), &Seed::from_u64(7));
        agent.online(NOW, FullJid::parse("juliet@example.com/balcony").unwrap(), Default::default());
        let mut count = 0;
        while !agent.is_full() {
            agent.stanza(NOW, stanza.clone());
            count += 1;
        }
        assert!(count <= 11, "{count} of {:?}", stanza.head);
    }
    // A note costs what the stanza does that it is made of.
    let mut agent = agent(Eager { sends: 0, asks: 0, refused: 0 });
    let large = (0..100).take_while(|_| {
        agent.stanza(NOW, message(&long));
        !agent.is_full()
    });
    assert!(large.count() <= 11);
    // Outcomes that nobody takes.
    let mut agent = Agent::new(AgentConfig::default(), (), &Seed::from_u64(7));
    agent.online(NOW, FullJid::parse("juliet@example.com/balcony").unwrap(), Default::default());
    while agent.next_stanza().is_some() {}
    let mut calls = Vec::new();
    while !agent.is_full() {
        calls.push(agent.request(NOW, Iq::get(Ping.to_element())).unwrap());
        let id = agent.next_stanza().unwrap().head.id.unwrap();
        let xml = format!("<iq type='result' id='{id}'><y xmlns='urn:y'>{long}</y></iq>");
        agent.stanza(NOW, Stanza::parse(xml.as_bytes()).unwrap());
        assert!(calls.len() <= 11, "without a bound");
    }
    assert!(agent.completed().eq(calls.iter().copied()));
    // One that nobody waits for is forgotten, and another one taken.
    agent.forget(calls[0]);
    assert!(agent.take_completed(calls[0]).is_none());
    assert!(matches!(agent.take_completed(calls[1]), Some(Completion::Response(Ok(_)))));
    assert!(!agent.is_full());
}

// The requests of others that wait for an answer: their ids may be long.
#[test]
fn requests_of_others_are_bounded_in_bytes() {
    let mut agent = Agent::new(AgentConfig::default(), (), &Seed::from_u64(7));
    agent.online(NOW, FullJid::parse("juliet@example.com/balcony").unwrap(), Default::default());
    while agent.next_stanza().is_some() {}
    let id = "x".repeat(100_000);
    let ask = Stanza::iq(IqType::Get).with_id(&id).with_from(romeo()).with_child(Ping.to_element());
    for _ in 0..20 {
        agent.stanza(NOW, ask.clone());
        while agent.next_event().is_some() {}
    }
    assert_eq!(core::iter::from_fn(|| agent.next_stanza()).count(), 10, "as many are refused");
}

// Connections that come and go while nobody looks: what is told in the end is what is so, in its order, and costs no more.
#[test]
fn what_comes_and_goes_unseen_costs_nothing() {
    for new_sessions in [false, true] {
        let mut config = AgentConfig::default();
        config.is_patient = true;
        let mut agent = Agent::new(config, (), &Seed::from_u64(7));
        let jid = FullJid::parse("juliet@example.com/balcony").unwrap();
        agent.online(NOW, jid.clone(), Default::default());
        while !agent.is_full() {
            agent.stanza(NOW, message("1"));
        }
        let lost = || Disconnected::Lost(PumpError::Broken("the wire is cut".into()));
        for round in 0..10_000 {
            agent.offline(NOW, lost(), !new_sessions);
            if round % 3 == 0 {
                agent.offline(NOW, Disconnected::ByServer, !new_sessions);
            }
            while agent.next_stanza().is_some() {}
            if new_sessions || !agent.resumed(NOW) {
                agent.online(NOW, jid.clone(), Default::default());
            }
            while agent.next_stanza().is_some() {}
        }
        let events: Vec<AgentEvent> = core::iter::from_fn(|| agent.next_event()).collect();
        let states: Vec<u8> = events
            .iter()
            .filter_map(|event| match event {
                AgentEvent::Online(_) => Some(0),
                AgentEvent::Resumed => Some(1),
                AgentEvent::Offline { .. } => Some(2),
                _ => None,
            })
            .collect();
        let expected: &[u8] = if new_sessions { &[0, 2, 0] } else { &[0, 2, 0, 2, 1] };
        assert!(states.starts_with(&expected[..3]) && states.len() <= 5, "{states:?}");
        assert!(events.len() <= 1_024 + 5);
    }
}

// Each contact can have any number of resources, with a status of any length.
#[test]
fn what_contacts_say_of_themselves_is_bounded_in_bytes() {
    let mut contacts = Contacts::new("juliet@example.com".parse().unwrap());
    let items: String =
        (0..100).map(|n| format!("<item jid='c{n}@example.net' subscription='both'/>")).collect();
    let roster = format!("<iq type='result' id='1'><query xmlns='jabber:iq:roster'>{items}</query></iq>");
    contacts.load(&Stanza::parse(roster.as_bytes()).unwrap());
    let status = "x".repeat(50_000);
    for contact in 0..100 {
        for resource in 0..10 {
            let xml = format!(
                "<presence from='c{contact}@example.net/{resource}'><show>dnd</show><status>{status}</status></presence>"
            );
            contacts.take(&Stanza::parse(xml.as_bytes()).unwrap());
        }
    }
    let all = || contacts.items().flat_map(|item| contacts.resources(&item.jid));
    let bytes: usize =
        all().filter_map(|(_, presence)| presence.statuses.best("")).map(|status| status.len()).sum();
    assert!(bytes <= 4 * MIB, "{bytes}");
    // Who is there is known all the same.
    assert_eq!(all().count(), 1_000);
    assert!(all().all(|(_, presence)| presence.show == balcony_client::Show::Dnd));
    // Nor does one contact use up what there is for all.
    let kept = contacts
        .items()
        .filter(|item| contacts.resources(&item.jid).any(|(_, presence)| !presence.statuses.is_empty()));
    assert!(kept.count() > 10);
    // A message of the same does no harm.
    let message: Stanza = Message::chat(romeo()).body("x").into();
    assert_eq!(contacts.take(&message), None);
}

/// A device that is online.
fn device() -> Device<()> {
    let mut config = ClientConfig::new("juliet@example.com".parse().unwrap(), Secret::new("pencil".into()));
    config.stream.tls = TlsPolicy::Direct;
    let mut device = Device::new(config, AgentConfig::default(), (), &Seed::from_u64(1));
    assert!(matches!(device.step(NOW), DeviceStep::Connect));
    device.connected(NOW);
    device.secured(Security::default()).unwrap();
    device.received(BEFORE.as_bytes());
    device.received(ENABLED.as_bytes());
    while !matches!(device.step(NOW), DeviceStep::Wait) {}
    device
}

/// Refuses all that it is asked, as an owner does who has no use for it.
fn refuse_all(device: &mut Device<()>) {
    loop {
        match device.step(NOW) {
            DeviceStep::Event(AgentEvent::Request((id, _))) => {
                device.agent().refuse(id, &ErrorCondition::ServiceUnavailable.into());
            }
            DeviceStep::Wait => return,
            _ => {}
        }
    }
}

// Answers are kept until they are acknowledged. Who asks without end and acknowledges nothing is not read at last; when it does, all are answered.
#[test]
fn a_device_does_not_answer_for_ever_what_nobody_acknowledges() {
    let mut device = device();
    let (mut asked, mut answers) = (0, String::new());
    loop {
        let request = format!("<iq type='get' id='n{asked}' from='x@example.net/y'><q xmlns='u'/></iq>");
        refuse_all(&mut device);
        answers.push_str(std::str::from_utf8(device.output()).unwrap());
        device.wrote(usize::MAX);
        if device.room() < request.len() {
            break;
        }
        device.received(request.as_bytes());
        asked += 1;
        assert!(asked < 20_000, "it takes whatever comes");
    }
    let kept = answers.matches("type='error'").count();
    assert!(kept <= 1_024 + 8, "{kept}");
    assert!(asked > 3_000);
}
